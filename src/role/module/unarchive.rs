//! `unarchive`: a tar archive of the controller, unpacked once.

use super::{Action, LATER, Look, Module, Questions, Verdict};
use crate::event::Category;
use crate::host::{Content, Effect, Fact, Known};
use crate::plan::Change;
use crate::role::args::Args;

pub(super) const MODULE: Module = Module {
    name: "unarchive",
    aliases: &[],
    arguments: &["src", "dest"],
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
    let (archive, dest) = (args.source("src"), args.path("dest"));
    Some(Box::new(Unarchive { archive: archive?, dest: dest? }))
}

impl Unarchive {
    /// The record of it on the host, as `Effect::Unpack` leaves it.
    fn mark(&self) -> String {
        format!("/var/lib/quorate/unpacked/{}", self.archive.sha256())
    }
}

impl Action for Unarchive {
    fn facts(&self, questions: &mut Questions) {
        questions.facts.extend([Fact::File(self.mark()), Fact::File(self.dest.clone())]);
    }

    fn plan(&self, look: &Look<'_>) -> Verdict {
        let why = match (look.file(&self.mark()), look.file(&self.dest)) {
            (Known::Is(Some(_)), Known::Is(Some(_))) => return Verdict::Nothing(format!("unpacked into {}", self.dest)),
            (Known::Unknown, _) | (_, Known::Unknown) => LATER,
            _ => "not unpacked yet",
        };
        let effect = Effect::Unpack { archive: self.archive.clone(), into: self.dest.clone() };
        Verdict::Changes(vec![Change::new(effect, why)])
    }
}
