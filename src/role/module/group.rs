//! `group`: a group of the host's own.

use super::{Action, LATER, Look, Module, Questions, Verdict};
use crate::event::Category;
use crate::host::local::{Account, AccountAct, AccountKind};
use crate::host::{Effect, Fact, Known};
use crate::plan::Change;
use crate::role::args::Args;

pub(super) const MODULE: Module = Module {
    name: "group",
    aliases: &[],
    arguments: &["name", "gid", "system", "state"],
    bare: None,
    category: Category::Own,
    read,
};

#[derive(Debug)]
struct Group {
    name: String,
    gid: Option<u32>,
    system: bool,
    present: bool,
}

fn read(args: &mut Args<'_>) -> Option<Box<dyn Action>> {
    args.required("name")?;
    let name = args.account("name");
    let gid = args.number("gid");
    let system = args.flag("system").unwrap_or(false);
    let present = args.choice("state", &["present", "absent"])? == "present";
    Some(Box::new(Group {
        name: name?,
        gid,
        system,
        present,
    }))
}

impl Group {
    fn change(&self, act: AccountAct, why: impl Into<String>) -> Verdict {
        let mut flags = Vec::new();
        if act != AccountAct::Remove {
            let gid = self.gid.map(|gid| ["--gid".to_string(), gid.to_string()]);
            flags.extend(gid.into_iter().flatten());
        }
        if act == AccountAct::Add && self.system {
            flags.push("--system".into());
        }
        let account = Account {
            kind: AccountKind::Group,
            act,
            name: self.name.clone(),
            flags,
        };
        Verdict::Changes(vec![Change::new(Effect::Account(account), why)])
    }
}

impl Action for Group {
    fn facts(&self, questions: &mut Questions) {
        questions.facts.insert(Fact::Group(self.name.clone()));
    }

    fn plan(&self, look: &Look<'_>) -> Verdict {
        match (look.group(&self.name), self.present) {
            (Known::Is(None), false) => Verdict::Nothing(format!("{} is absent", self.name)),
            (Known::Is(Some(_)), false) => self.change(AccountAct::Remove, "is there"),
            (Known::Unknown, false) => self.change(AccountAct::Remove, LATER),
            (Known::Is(None), true) => self.change(AccountAct::Add, "is absent"),
            // An account that is there by then is left as it is.
            (Known::Unknown, true) => self.change(AccountAct::Add, LATER),
            (Known::Is(Some(gid)), true) => match self.gid.filter(|wanted| *wanted != gid) {
                Some(_) => self.change(AccountAct::Change, format!("gid is {gid}")),
                None => Verdict::Nothing(format!("{} is there", self.name)),
            },
        }
    }
}
