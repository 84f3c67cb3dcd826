//! `hostname`: the host's own name.

use super::{Action, Look, Module, Questions, Verdict};
use crate::event::Category;
use crate::host::Effect;
use crate::plan::Change;
use crate::role::args::Args;

pub(super) const MODULE: Module = Module {
    name: "hostname",
    aliases: &[],
    arguments: &["name"],
    bare: Some("name"),
    category: Category::Own,
    read,
};

#[derive(Debug)]
struct Hostname(String);

fn read(args: &mut Args<'_>) -> Option<Box<dyn Action>> {
    let name = args.required("name")?;
    // hostname(7): at most 64 characters of labels.
    let label = |l: &str| !l.is_empty() && l.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') && !l.starts_with('-') && !l.ends_with('-');
    if name.len() > 64 || !name.split('.').all(label) {
        args.complain("name", format!("`{}` is no host name", name.escape_debug()), None);
        return None;
    }
    Some(Box::new(Hostname(name)))
}

impl Action for Hostname {
    fn facts(&self, _: &mut Questions) {}

    fn plan(&self, look: &Look<'_>) -> Verdict {
        let now = &look.system.hostname;
        if *now == self.0 {
            return Verdict::Nothing(format!("the name is {now}"));
        }
        Verdict::Changes(vec![Change::new(Effect::Hostname(self.0.clone()), format!("is {now}"))])
    }
}
