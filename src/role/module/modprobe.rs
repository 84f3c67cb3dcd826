//! `modprobe`: a kernel module, now and after the next boot.

use super::target::Target;
use super::{Action, LATER, Look, Module, Questions, Verdict};
use crate::event::Category;
use crate::host::{Content, Effect, Fact, Known};
use crate::plan::Change;
use crate::role::args::Args;

pub(super) const MODULE: Module = Module {
    name: "modprobe",
    aliases: &[],
    arguments: &["name", "state", "persistent"],
    bare: Some("name"),
    category: Category::Own,
    read,
};

#[derive(Debug)]
struct Modprobe {
    name: String,
    file: Option<Target>,
}

fn read(args: &mut Args<'_>) -> Option<Box<dyn Action>> {
    let name = args.name("name");
    args.choice("state", &["present"]);
    let persistent = args.choice("persistent", &["disabled", "present"]);
    let name = name?;
    if !name.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c)) {
        args.complain("name", format!("`{name}` is no kernel module"), None);
        return None;
    }
    // modules-load.d(5): one name a line.
    let file = (persistent? == "present")
        .then(|| Target::new(format!("/etc/modules-load.d/{name}.conf"), Content::inline(format!("{name}\n"))));
    Some(Box::new(Modprobe { name, file }))
}

impl Action for Modprobe {
    fn facts(&self, questions: &mut Questions) {
        questions.facts.insert(Fact::Module(self.name.clone()));
        if let Some(file) = &self.file {
            file.facts(questions);
        }
    }

    fn plan(&self, look: &Look<'_>) -> Verdict {
        let mut changes: Vec<Change> = self.file.iter().filter_map(|f| f.change(look)).collect();
        let why = match look.module(&self.name) {
            Known::Is(true) => None,
            Known::Is(false) => Some("not loaded"),
            Known::Unknown => Some(LATER),
        };
        changes.extend(why.map(|why| Change::new(Effect::LoadModule(self.name.clone()), why)));
        Verdict::of(changes, format!("{} is loaded", self.name))
    }
}
