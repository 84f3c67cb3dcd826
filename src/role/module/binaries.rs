//! `binaries`: programs from a folder of the controller.

use camino::Utf8PathBuf;

use super::target::{Attributes, Target};
use super::{Action, Look, Module, Questions, Verdict};
use crate::event::Category;
use crate::model::Mode;
use crate::plan::Change;
use crate::role::args::Args;

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
    for name in names {
        // One complaint for each that is missing.
        let Some(file) = args.controller_file("src", &src.join(&name)) else { continue };
        let mut target = Target::new(format!("{}/{name}", dest.trim_end_matches('/')), file.content());
        target.attributes = attributes.clone();
        target.large = true;
        targets.push(target);
    }
    Some(Box::new(Binaries(targets)))
}

impl Action for Binaries {
    fn facts(&self, questions: &mut Questions) {
        self.0.iter().for_each(|target| target.facts(questions));
    }

    fn plan(&self, look: &Look<'_>) -> Verdict {
        let changes: Vec<Change> = self.0.iter().filter_map(|target| target.change(look)).collect();
        Verdict::of(changes, "all are there")
    }
}
