//! `binaries`: programs from a folder of the controller.

use camino::{Utf8Path, Utf8PathBuf};

use super::target::{Attributes, Target};
use super::{Action, Look, Module, Questions, Verdict};
use crate::event::Category;
use crate::model::Mode;
use crate::plan::Change;
use crate::role::args::Args;
use crate::role::files::FileError;

pub(super) const MODULE: Module = Module {
    name: "binaries",
    aliases: &[],
    arguments: &["src", "names", "dest", "mode", "owner", "group"],
    bare: None,
    category: Category::Transfer,
    read,
};

#[derive(Debug)]
struct Binaries(Vec<Target>);

fn read(args: &mut Args<'_>) -> Option<Box<dyn Action>> {
    let (src, dest) = (args.required("src"), args.path("dest"));
    if !args.has("names") {
        args.missing("names");
    }
    let names = args.names("names");
    let mut attributes = Attributes::read(args);
    attributes.mode = attributes.mode.or(Some(Mode::EXECUTABLE));
    attributes.owner = attributes.owner.or(Some("root".into()));
    attributes.group = attributes.group.or(Some("root".into()));
    let (src, dest, names) = (Utf8PathBuf::from(src?), dest?, names?);
    let mut targets = Vec::new();
    let missing: Vec<&str> = names
        .iter()
        .filter(|name| args.files.file(&src.join(name)) == Err(FileError::Missing))
        .map(String::as_str)
        .collect();
    if !missing.is_empty() {
        let message = format!("{src} holds no {}", missing.join(", no "));
        args.complain("src", message, help(&src));
        return None;
    }
    for name in names {
        // One complaint for each that cannot be read.
        let Some(file) = args.controller_file("src", &src.join(&name)) else {
            continue;
        };
        let mut target = Target::new(
            format!("{}/{name}", dest.trim_end_matches('/')),
            file.content(),
        );
        target.attributes = attributes.clone();
        target.large = true;
        targets.push(target);
    }
    Some(Box::new(Binaries(targets)))
}

/// Returns where a relative path begins.
pub(super) fn help(src: &Utf8Path) -> Option<String> {
    src.is_relative()
        .then(|| "a relative path begins in the inventory's folder".to_string())
}

impl Action for Binaries {
    fn facts(&self, questions: &mut Questions) {
        self.0.iter().for_each(|target| target.facts(questions));
    }

    fn plan(&self, look: &Look<'_>) -> Verdict {
        let changes: Vec<Change> = self
            .0
            .iter()
            .filter_map(|target| target.change(look))
            .collect();
        Verdict::of(changes, "all are there")
    }
}
