//! `package`: packages of the distribution.

use super::{Action, LATER, Look, Module, Questions, Verdict};
use crate::event::Category;
use crate::host::{Effect, Fact, Known};
use crate::plan::Change;
use crate::role::args::Args;

pub(super) const MODULE: Module = Module {
    name: "package",
    aliases: &["apt", "dnf", "yum"],
    arguments: &["name", "state"],
    bare: Some("name"),
    category: Category::Packages,
    read,
};

#[derive(Debug)]
struct Packages {
    names: Vec<String>,
    present: bool,
}

fn read(args: &mut Args<'_>) -> Option<Box<dyn Action>> {
    if !args.has("name") {
        args.missing("name");
    }
    let names = args.names("name");
    let state = args.choice("state", &["present", "absent", "installed", "removed"]);
    let names = names?;
    if let Some(pinned) = names.iter().find(|n| n.contains(['=', '*'])) {
        let message = format!("`{pinned}` is more than a package's name: versions are not chosen here");
        args.complain("name", message, "pin it with a file in /etc/apt/preferences.d".to_string());
    }
    Some(Box::new(Packages { names, present: matches!(state?, "present" | "installed") }))
}

impl Action for Packages {
    fn facts(&self, questions: &mut Questions) {
        questions.facts.extend(self.names.iter().cloned().map(Fact::Package));
    }

    fn plan(&self, look: &Look<'_>) -> Verdict {
        // What is not known is left to the host, which installs nothing twice.
        let concerned = |known: Known<Option<&str>>| match known {
            Known::Unknown => true,
            Known::Is(version) => version.is_some() != self.present,
        };
        let names: Vec<String> = self.names.iter().filter(|n| concerned(look.package(n))).cloned().collect();
        if names.is_empty() {
            let state = if self.present { "installed" } else { "absent" };
            return Verdict::Nothing(format!("{state}: {}", self.names.join(", ")));
        }
        let later = names.iter().all(|n| look.package(n) == Known::Unknown);
        let (effect, why) =
            if self.present { (Effect::InstallPackages(names), "not installed") } else { (Effect::RemovePackages(names), "installed") };
        Verdict::Changes(vec![Change::new(effect, if later { LATER } else { why })])
    }
}
