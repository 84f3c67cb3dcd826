//! `sysctl`: a kernel parameter, now and after the next boot.

use super::target::Target;
use super::{Action, LATER, Look, Module, Questions, Verdict};
use crate::event::Category;
use crate::host::{Content, Effect, Fact, Known};
use crate::plan::Change;
use crate::role::args::Args;

pub(super) const MODULE: Module = Module {
    name: "sysctl",
    aliases: &[],
    arguments: &["name", "value", "state", "sysctl_file"],
    bare: None,
    category: Category::Own,
    read,
};

/// The file that sysctl(8) reads at boot, unless a task names another; late in order, so that it wins.
const FILE: &str = "/etc/sysctl.d/99-quorate.conf";

#[derive(Debug)]
struct Sysctl {
    key: String,
    value: String,
    file: String,
}

fn read(args: &mut Args<'_>) -> Option<Box<dyn Action>> {
    let key = args.required("name");
    let value = args.required("value");
    args.choice("state", &["present"]);
    let file = args
        .optional_path("sysctl_file")
        .unwrap_or_else(|| FILE.into());
    let (key, value) = (key?, value?);
    let sound = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
    if !key.chars().all(sound) || key.starts_with(['/', '.', '-']) || key.contains("..") {
        args.complain(
            "name",
            format!("`{}` is no kernel parameter", key.escape_debug()),
            None,
        );
        return None;
    }
    let value = value.split_whitespace().collect::<Vec<_>>().join(" ");
    Some(Box::new(Sysctl { key, value, file }))
}

impl Sysctl {
    /// Returns the file's text with the parameter's line, once.
    fn file_text(&self, before: &str) -> String {
        let line = format!("{} = {}", self.key, self.value);
        let mine = |text: &str| {
            let (name, _) = text.split_once('=').unwrap_or((text, ""));
            let name = name.trim().trim_start_matches('-');
            !name.starts_with(['#', ';']) && name == self.key
        };
        let mut lines: Vec<&str> = Vec::new();
        let mut placed = false;
        for text in before.lines() {
            if !mine(text) {
                lines.push(text);
            } else if !placed {
                placed = true;
                lines.push(&line);
            }
        }
        if !placed {
            lines.push(&line);
        }
        lines.join("\n") + "\n"
    }
}

impl Action for Sysctl {
    fn facts(&self, questions: &mut Questions) {
        questions.facts.insert(Fact::Sysctl(self.key.clone()));
        questions.facts.insert(Fact::File(self.file.clone()));
        questions.facts.insert(Fact::Content(self.file.clone()));
    }

    fn words(&self) -> Vec<&str> {
        vec![&self.key, &self.value, &self.file]
    }

    fn plan(&self, look: &Look<'_>) -> Verdict {
        let Some((seen, before)) = look.text(&self.file) else {
            return Verdict::Unseen(self.file.clone());
        };
        let target = Target::new(self.file.clone(), Content::inline(self.file_text(&before)));
        let mut changes: Vec<Change> = target.change(seen).into_iter().collect();
        let why = match look.sysctl(&self.key) {
            Known::Is(Some(now)) if now == self.value => None,
            Known::Is(Some(now)) => Some(format!("is {now}")),
            // A module that is loaded before may bring it.
            Known::Is(None) => Some("is not there yet".into()),
            Known::Unknown => Some(LATER.into()),
        };
        if let Some(why) = why {
            changes.push(Change::new(
                Effect::Sysctl {
                    key: self.key.clone(),
                    value: self.value.clone(),
                },
                why,
            ));
        }
        Verdict::of(changes, format!("{} is {}", self.key, self.value))
    }
}
