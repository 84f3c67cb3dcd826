//! `fail`: the host cannot be as the role wants it, and the author says why.

use super::{Action, Look, Module, Verdict};
use crate::event::Category;
use crate::role::args::Args;

pub(super) const MODULE: Module = Module {
    name: "fail",
    aliases: &[],
    arguments: &["msg"],
    bare: None,
    category: Category::Own,
    read,
};

#[derive(Debug)]
struct Fail(String);

fn read(args: &mut Args<'_>) -> Option<Box<dyn Action>> {
    Some(Box::new(Fail(args.required("msg")?)))
}

impl Action for Fail {
    fn plan(&self, _: &Look<'_>) -> Verdict {
        Verdict::Refused(self.0.clone())
    }
}
