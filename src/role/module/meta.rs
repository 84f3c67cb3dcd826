//! `meta`: handlers that were notified so far run here, and not only at the end.

use super::{Action, Look, Module, Verdict};
use crate::event::Category;
use crate::role::args::Args;

pub(super) const MODULE: Module = Module {
    name: "meta",
    aliases: &[],
    arguments: &["action"],
    bare: Some("action"),
    category: Category::Own,
    read,
};

#[derive(Debug)]
struct Flush;

fn read(args: &mut Args<'_>) -> Option<Box<dyn Action>> {
    args.required("action")?;
    args.choice("action", &["flush_handlers"])?;
    Some(Box::new(Flush))
}

impl Action for Flush {
    fn plan(&self, _: &Look<'_>) -> Verdict {
        Verdict::Nothing("no handler waits".into())
    }

    fn flushes(&self) -> bool {
        true
    }
}
