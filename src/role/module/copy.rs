//! `copy`: a file of the role or the controller, or a text, as a file.

use super::template::Write;
use super::{Action, Module};
use crate::event::Category;
use crate::host::Content;
use crate::role::args::Args;

pub(super) const MODULE: Module = Module {
    name: "copy",
    aliases: &[],
    arguments: &[
        "src", "content", "dest", "mode", "owner", "group", "validate", "backup",
    ],
    bare: None,
    category: Category::Own,
    read,
};

fn read(args: &mut Args<'_>) -> Option<Box<dyn Action>> {
    let dest = args.file_path("dest");
    let content = match (args.has("src"), args.has("content")) {
        (true, false) => args.source("src"),
        (false, true) => args.text("content").map(Content::inline),
        (true, true) => {
            args.complain("content", "`copy` takes `src` or `content`, not both", None);
            None
        }
        (false, false) => {
            args.complain("src", "`copy` needs `src` or `content`", None);
            None
        }
    };
    Some(Box::new(Write::read(args, dest, content)?))
}
