//! `user`: a user of the host's own.

use std::collections::BTreeSet;

use super::{Action, LATER, Look, Module, Questions, Verdict};
use crate::event::Category;
use crate::host::local::{Account, AccountAct, AccountKind, UserState};
use crate::host::{Effect, Fact, Known};
use crate::plan::Change;
use crate::role::args::Args;

pub(super) const MODULE: Module = Module {
    name: "user",
    aliases: &[],
    arguments: &[
        "name",
        "uid",
        "group",
        "groups",
        "append",
        "comment",
        "shell",
        "home",
        "create_home",
        "system",
        "state",
        "remove",
        "password",
    ],
    bare: None,
    category: Category::Own,
    read,
};

#[derive(Debug)]
struct User {
    name: String,
    uid: Option<u32>,
    group: Option<String>,
    groups: Option<BTreeSet<String>>,
    append: bool,
    comment: Option<String>,
    shell: Option<String>,
    home: Option<String>,
    create_home: bool,
    system: bool,
    present: bool,
    remove: bool,
}

fn read(args: &mut Args<'_>) -> Option<Box<dyn Action>> {
    args.required("name")?;
    if args.has("password") {
        let help = "let the user log in by key: a `copy` of .ssh/authorized_keys";
        let message =
            "`user` sets no password: its hash would stand in a command that everybody sees";
        args.complain("password", message, help.to_string());
    }
    let name = args.account("name");
    let group = match args.has("group") {
        true => Some(args.account("group")?),
        false => None,
    };
    let comment = args.text("comment");
    if comment.as_ref().is_some_and(|c| c.contains([':', '\n'])) {
        args.complain("comment", "a comment holds no `:` and is one line", None);
    }
    let groups = args
        .names("groups")
        .map(|names| names.into_iter().collect());
    Some(Box::new(User {
        name: name?,
        uid: args.number("uid"),
        group,
        groups,
        append: args.flag("append").unwrap_or(false),
        comment,
        shell: args.optional_path("shell"),
        home: args.optional_path("home"),
        create_home: args.flag("create_home").unwrap_or(true),
        system: args.flag("system").unwrap_or(false),
        present: args.choice("state", &["present", "absent"])? == "present",
        remove: args.flag("remove").unwrap_or(false),
    }))
}

/// Returns an option with its value, if there is one.
fn option<T: ToString>(flag: &str, value: Option<&T>) -> Vec<String> {
    value.map_or_else(Vec::new, |v| vec![flag.to_string(), v.to_string()])
}

fn joined(groups: &BTreeSet<String>) -> String {
    groups.iter().cloned().collect::<Vec<_>>().join(",")
}

impl User {
    /// Options of useradd(8).
    fn add(&self, why: &str) -> Verdict {
        let groups = self.groups.as_ref().filter(|g| !g.is_empty()).map(joined);
        let mut flags = [
            option("--uid", self.uid.as_ref()),
            option("--gid", self.group.as_ref()),
            option("--groups", groups.as_ref()),
            option("--comment", self.comment.as_ref()),
            option("--shell", self.shell.as_ref()),
            option("--home-dir", self.home.as_ref()),
        ]
        .concat();
        let home = if self.create_home {
            "--create-home"
        } else {
            "--no-create-home"
        };
        flags.push(home.into());
        if self.system {
            flags.push("--system".into());
        }
        self.change(AccountAct::Add, flags, why)
    }

    /// Options of usermod(8) for what differs.
    fn differs(&self, now: &UserState) -> Verdict {
        let mut flags = Vec::new();
        let mut why = Vec::new();
        let mut differ = |flag: &str, name: &str, wanted: String, is: &str| {
            flags.extend([flag.to_string(), wanted]);
            why.push(format!("{name} is {is}"));
        };
        if let Some(uid) = self.uid.filter(|uid| *uid != now.uid) {
            differ("--uid", "uid", uid.to_string(), &now.uid.to_string());
        }
        let is_own = |group: &&String| **group != now.group && **group != now.gid.to_string();
        if let Some(group) = self.group.as_ref().filter(is_own) {
            differ("--gid", "group", group.clone(), &now.group);
        }
        let others: BTreeSet<String> = now
            .groups
            .iter()
            .filter(|g| **g != now.group)
            .cloned()
            .collect();
        let lacks = |wanted: &&BTreeSet<String>| match self.append {
            true => !wanted.is_subset(&now.groups),
            // The user's own group is in any case.
            false => wanted.iter().filter(|g| **g != now.group).ne(others.iter()),
        };
        let of = |text: String| {
            if text.is_empty() {
                "none".to_string()
            } else {
                text
            }
        };
        if let Some(wanted) = self.groups.as_ref().filter(lacks) {
            differ("--groups", "groups", joined(wanted), &of(joined(&others)));
        }
        for (flag, name, wanted, is) in [
            ("--comment", "comment", &self.comment, &now.comment),
            ("--shell", "shell", &self.shell, &now.shell),
            ("--home", "home", &self.home, &now.home),
        ] {
            if let Some(wanted) = wanted.as_ref().filter(|w| *w != is) {
                differ(flag, name, wanted.clone(), &of(is.clone()));
            }
        }
        if flags.is_empty() {
            return Verdict::Nothing(format!("{} is as written", self.name));
        }
        if self.append && flags.iter().any(|f| f == "--groups") {
            flags.push("--append".into());
        }
        self.change(AccountAct::Change, flags, &why.join(", "))
    }

    fn absent(&self, why: &str) -> Verdict {
        let flags = self.remove.then(|| "--remove".to_string());
        self.change(AccountAct::Remove, flags.into_iter().collect(), why)
    }

    fn change(&self, act: AccountAct, flags: Vec<String>, why: &str) -> Verdict {
        let account = Account {
            kind: AccountKind::User,
            act,
            name: self.name.clone(),
            flags,
        };
        Verdict::Changes(vec![Change::new(Effect::Account(account), why)])
    }
}

impl Action for User {
    fn facts(&self, questions: &mut Questions) {
        questions.facts.insert(Fact::User(self.name.clone()));
    }

    fn plan(&self, look: &Look<'_>) -> Verdict {
        match (look.user(&self.name), self.present) {
            (Known::Is(None), false) => Verdict::Nothing(format!("{} is absent", self.name)),
            (Known::Is(Some(_)), false) => self.absent("is there"),
            (Known::Unknown, false) => self.absent(LATER),
            (Known::Is(None), true) => self.add("is absent"),
            // An account that is there by then is left as it is.
            (Known::Unknown, true) => self.add(LATER),
            (Known::Is(Some(now)), true) => self.differs(now),
        }
    }
}
