//! `template`: a rendered template of the role as a file.

use super::target::{Attributes, Target};
use super::{Action, Look, Module, Questions, Verdict};
use crate::event::Category;
use crate::host::Content;
use crate::plan::Change;
use crate::role::args::Args;

pub(super) const MODULE: Module = Module {
    name: "template",
    aliases: &[],
    arguments: &[
        "src", "dest", "mode", "owner", "group", "validate", "backup", "digests",
    ],
    bare: None,
    category: Category::Own,
    read,
};

fn read(args: &mut Args<'_>) -> Option<Box<dyn Action>> {
    let (digests, dest) = (args.digests("digests"), args.file_path("dest"));
    let text = args.template("src", &digests?);
    let write = Write::read(args, dest, text.map(Content::inline))?;
    Some(Box::new(write))
}

/// A file that is written whole: `template` and `copy`.
#[derive(Debug)]
pub(super) struct Write(pub(super) Target);

impl Write {
    /// Reads what `template` and `copy` share.
    pub(super) fn read(
        args: &mut Args<'_>,
        dest: Option<String>,
        content: Option<Content>,
    ) -> Option<Self> {
        let attributes = Attributes::read(args);
        let validate = args.validator();
        let backup = args.flag("backup").unwrap_or(false);
        let mut target = Target::new(dest?, content?);
        target.attributes = attributes;
        target.validate = validate;
        target.backup = backup;
        // What is read from a file of the controller is too large to be held here, and so to be hashed on the host each time.
        target.large = matches!(target.content, Content::File { .. });
        Some(Self(target))
    }
}

impl Action for Write {
    fn facts(&self, questions: &mut Questions) {
        self.0.facts(questions);
    }

    fn plan(&self, look: &Look<'_>) -> Verdict {
        let changes: Vec<Change> = self.0.change(look).into_iter().collect();
        Verdict::of(changes, format!("{} is as written", self.0.path))
    }
}
