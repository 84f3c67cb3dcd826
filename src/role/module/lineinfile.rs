//! `lineinfile`: one line of a file that is somebody else's.

use regex::Regex;

use super::target::{Attributes, Edited};
use super::{Action, Look, Module, Questions, Verdict};
use crate::event::Category;
use crate::role::args::Args;

pub(super) const MODULE: Module = Module {
    name: "lineinfile",
    aliases: &[],
    arguments: &[
        "path",
        "line",
        "regexp",
        "search_string",
        "state",
        "insertafter",
        "insertbefore",
        "create",
        "mode",
        "owner",
        "group",
        "backup",
        "validate",
    ],
    bare: None,
    category: Category::Own,
    read,
};

/// Where a line goes that is not there yet.
#[derive(Debug)]
enum Place {
    Begin,
    End,
    /// Behind the last line that matches, else at the end.
    After(Regex),
    /// Before the last line that matches, else at the end.
    Before(Regex),
}

/// Which lines are meant.
#[derive(Debug)]
enum Which {
    /// Those that are the line.
    Same,
    Matching(Regex),
    Containing(String),
}

#[derive(Debug)]
struct Line {
    file: Edited,
    line: String,
    which: Which,
    place: Place,
}

fn read(args: &mut Args<'_>) -> Option<Box<dyn Action>> {
    let path = args.file_path("path");
    let present = args.choice("state", &["present", "absent"])? == "present";
    let regexp = pattern(args, "regexp");
    let which = match (regexp?, args.text("search_string")) {
        (Some(_), Some(_)) => {
            let message = "`lineinfile` takes `regexp` or `search_string`, not both";
            args.complain("search_string", message, None);
            return None;
        }
        (Some(regex), None) => Which::Matching(regex),
        (None, Some(text)) => Which::Containing(text),
        (None, None) => Which::Same,
    };
    let line = match (present, &which) {
        (true, _) | (false, Which::Same) => args.required("line")?,
        (false, _) => args.text("line").unwrap_or_default(),
    };
    if line.contains(['\n', '\r']) {
        let help = "several lines are a `blockinfile`".to_string();
        args.complain("line", "`line` is one line", help);
        return None;
    }
    let validate = args.validator();
    Some(Box::new(Line {
        line,
        which,
        place: place(args)?,
        file: Edited {
            path: path?,
            present,
            create: args.flag("create").unwrap_or(false),
            attributes: Attributes::read(args),
            validate,
            backup: args.flag("backup").unwrap_or(false),
        },
    }))
}

/// Returns a regular expression, if there is one; `None` where it is wrong.
fn pattern(args: &mut Args<'_>, name: &str) -> Option<Option<Regex>> {
    let Some(text) = args.text(name) else {
        return Some(None);
    };
    match Regex::new(&text) {
        Ok(regex) => Some(Some(regex)),
        Err(error) => {
            let said = error.to_string();
            let said = said.lines().last().unwrap_or_default();
            let said = said.trim().trim_start_matches("error: ");
            let message = format!("`{name}` is no regular expression: {said}");
            let help = "as in Python, but without look-around and backreferences".to_string();
            args.complain(name, message, help);
            None
        }
    }
}

fn place(args: &mut Args<'_>) -> Option<Place> {
    if args.has("insertafter") && args.has("insertbefore") {
        let message = "`lineinfile` takes `insertafter` or `insertbefore`, not both";
        args.complain("insertbefore", message, None);
        return None;
    }
    if args.text("insertbefore").as_deref() == Some("BOF") {
        return Some(Place::Begin);
    }
    if args.text("insertafter").as_deref() == Some("EOF") {
        return Some(Place::End);
    }
    let (after, before) = (
        pattern(args, "insertafter")?,
        pattern(args, "insertbefore")?,
    );
    Some(match (after, before) {
        (Some(regex), _) => Place::After(regex),
        (None, Some(regex)) => Place::Before(regex),
        (None, None) => Place::End,
    })
}

impl Line {
    fn means(&self, text: &str) -> bool {
        match &self.which {
            Which::Same => text == self.line,
            Which::Matching(regex) => regex.is_match(text),
            Which::Containing(part) => text.contains(part),
        }
    }

    /// Returns the file's text as it is to be. As in Ansible the last line that is meant is replaced; where none is, a line that is
    /// there already as it should be is enough.
    fn edit(&self, before: &str) -> String {
        let mut lines: Vec<&str> = before.lines().collect();
        if !self.file.present {
            if !lines.iter().any(|l| self.means(l)) {
                return before.to_string();
            }
            lines.retain(|l| !self.means(l));
        } else if let Some(at) = lines.iter().rposition(|l| self.means(l)) {
            if lines[at] == self.line {
                return before.to_string();
            }
            lines[at] = &self.line;
        } else if lines.contains(&self.line.as_str()) {
            return before.to_string();
        } else {
            let last = |regex: &Regex| lines.iter().rposition(|l| regex.is_match(l));
            let at = match &self.place {
                Place::Begin => 0,
                Place::End => lines.len(),
                Place::After(regex) => last(regex).map_or(lines.len(), |at| at + 1),
                Place::Before(regex) => last(regex).unwrap_or(lines.len()),
            };
            lines.insert(at, &self.line);
        }
        lines.iter().map(|line| format!("{line}\n")).collect()
    }
}

impl Action for Line {
    fn facts(&self, questions: &mut Questions) {
        self.file.facts(questions);
    }

    fn words(&self) -> Vec<&str> {
        self.file.words()
    }

    fn plan(&self, look: &Look<'_>) -> Verdict {
        let has = if self.file.present {
            "has the line"
        } else {
            "has not the line"
        };
        self.file.plan(look, |before| self.edit(before), has)
    }
}
