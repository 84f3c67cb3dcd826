//! `unarchive`: a tar archive of the controller, or of the host, unpacked once.

use super::command::Command;
use super::{Action, LATER, Look, Module, Questions, Verdict};
use crate::event::Category;
use crate::host::{Content, Effect, Fact, Known, Run};
use crate::plan::Change;
use crate::role::args::Args;

pub(super) const MODULE: Module = Module {
    name: "unarchive",
    aliases: &[],
    arguments: &["src", "dest", "remote_src", "creates"],
    bare: None,
    category: Category::Transfer,
    read,
};

#[derive(Debug)]
struct Unarchive {
    archive: Content,
    dest: String,
}

fn read(args: &mut Args<'_>) -> Option<Box<dyn Action>> {
    if args.flag("remote_src").unwrap_or(false) {
        return of_host(args);
    }
    if args.has("creates") {
        let help = "what was unpacked is known by the archive's digest".to_string();
        args.complain("creates", "`creates` is for `remote_src: true`", help);
    }
    let (archive, dest) = (args.source("src"), args.path("dest"));
    Some(Box::new(Unarchive {
        archive: archive?,
        dest: dest?,
    }))
}

/// An archive that lies on the host: what tells that it was unpacked is a path that it brings.
fn of_host(args: &mut Args<'_>) -> Option<Box<dyn Action>> {
    let (src, dest, creates) = (args.path("src"), args.path("dest"), args.path("creates"));
    let (src, dest) = (src?, dest?);
    let script = "mkdir -p -- \"$2\" && exec tar -xf \"$1\" -C \"$2\"";
    let run = Run {
        label: Some(format!("tar -xf {src} -C {dest}")),
        creates: Some(creates?),
        ..Run::new(["/bin/sh", "-c", script, "sh", &src, &dest])
    };
    Some(Box::new(Command(run)))
}

impl Unarchive {
    /// The record of it on the host, as `Effect::Unpack` leaves it.
    fn mark(&self) -> String {
        crate::host::effect::unpacked(&self.archive)
    }
}

impl Action for Unarchive {
    fn facts(&self, questions: &mut Questions) {
        questions
            .facts
            .extend([Fact::File(self.mark()), Fact::File(self.dest.clone())]);
    }

    fn plan(&self, look: &Look<'_>) -> Verdict {
        let why = match (look.file(&self.mark()), look.file(&self.dest)) {
            (Known::Is(Some(_)), Known::Is(Some(_))) => {
                return Verdict::Nothing(format!("unpacked into {}", self.dest));
            }
            (Known::Unknown, _) | (_, Known::Unknown) => LATER,
            _ => "not unpacked yet",
        };
        let effect = Effect::Unpack {
            archive: self.archive.clone(),
            into: self.dest.clone(),
        };
        Verdict::Changes(vec![Change::new(effect, why)])
    }
}
