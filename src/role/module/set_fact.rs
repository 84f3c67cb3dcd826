//! `set_fact`: variables for the tasks behind it, in this role and in the host's later ones.

use super::{ANY, Action, Look, Module, Verdict};
use crate::event::Category;
use crate::model::Map;
use crate::role::args::{Args, is_variable};

pub(super) const MODULE: Module = Module {
    name: "set_fact",
    aliases: &[],
    arguments: ANY,
    bare: None,
    category: Category::Own,
    read,
};

#[derive(Debug)]
struct SetFact(Map);

fn read(args: &mut Args<'_>) -> Option<Box<dyn Action>> {
    for name in args.values.keys() {
        if name == "cacheable" {
            let help = "leave it out: a run keeps nothing for the next one".to_string();
            args.complain(name, "`set_fact` has no `cacheable`", help);
            return None;
        }
        if !is_variable(name) {
            let message = format!("`{}` is no name of a variable", name.escape_debug());
            let help = "letters, digits and `_`, the first no digit".to_string();
            args.complain(name, message, help);
            return None;
        }
    }
    if args.values.is_empty() {
        args.complain("", "`set_fact` sets nothing", None);
        return None;
    }
    Some(Box::new(SetFact(args.values.clone())))
}

impl Action for SetFact {
    fn plan(&self, _: &Look<'_>) -> Verdict {
        Verdict::Nothing("is set".into())
    }

    fn sets(&self) -> Option<&Map> {
        Some(&self.0)
    }
}
