//! `file`: directories, links, attributes, and paths that are not to be.

use super::target::{Attributes, Target};
use super::{Action, LATER, Look, Module, Questions, Verdict};
use crate::event::Category;
use crate::host::{Content, Effect, Expect, Fact, FileKind, Known};
use crate::plan::Change;
use crate::role::args::Args;

pub(super) const MODULE: Module = Module {
    name: "file",
    aliases: &[],
    arguments: &["path", "state", "mode", "owner", "group", "src"],
    bare: None,
    category: Category::Own,
    read,
};

#[derive(Debug)]
struct File {
    path: String,
    state: State,
    attributes: Attributes,
}

#[derive(Debug)]
enum State {
    /// Nothing is said: what is there has these attributes.
    Any,
    File,
    Directory,
    Absent,
    Link(String),
    Touch,
}

fn read(args: &mut Args<'_>) -> Option<Box<dyn Action>> {
    let state = args.choice("state", &["file", "directory", "absent", "link", "touch"]);
    // A folder may be written with a slash behind it.
    let path = match state {
        Some("link" | "touch") => args.file_path("path"),
        Some("file") if args.has("state") => args.file_path("path"),
        _ => args.path("path"),
    };
    let attributes = Attributes::read(args);
    let state = match state? {
        "directory" => State::Directory,
        "absent" => State::Absent,
        "link" => State::Link(link_target(args)?),
        "touch" => State::Touch,
        _ if args.has("state") => State::File,
        _ => State::Any,
    };
    if args.has("src") && !matches!(state, State::Link(_)) {
        args.complain("src", "`src` is for `state: link` only", None);
    }
    let path = path?;
    // `/` and what stands directly in it belong to no role; a variable that came out empty must not reach them.
    if matches!(state, State::Absent) && path.matches('/').count() < 2 {
        args.complain(
            "path",
            format!(
                "{path} is not removed: neither / nor what stands directly in it belongs to a role"
            ),
            None,
        );
        return None;
    }
    Some(Box::new(File {
        path,
        state,
        attributes,
    }))
}

/// Returns where the link points to: unlike other paths it may be relative.
fn link_target(args: &mut Args<'_>) -> Option<String> {
    let target = args.required("src")?;
    if target.chars().any(|c| c.is_control() || c == '\\') {
        args.complain(
            "src",
            format!(
                "`{}` is no path that can be used here",
                target.escape_debug()
            ),
            None,
        );
        return None;
    }
    Some(target)
}

impl Action for File {
    fn facts(&self, questions: &mut Questions) {
        match self.state {
            State::Touch => self.touched().facts(questions),
            _ => {
                questions.facts.insert(Fact::File(self.path.clone()));
            }
        }
    }

    fn plan(&self, look: &Look<'_>) -> Verdict {
        let path = self.path.clone();
        let seen = look.file(&path);
        match &self.state {
            State::Any | State::File => {
                let is_file = matches!(self.state, State::File);
                let is_link = seen.is(|state| state.is_some_and(|state| state.is_link()));
                if let Some(why) = self.no_file(look).filter(|_| is_file || is_link) {
                    return Verdict::Refused(format!("{path} is {why}"));
                }
                let changes = self.attributes.change(&path, look).into_iter().collect();
                Verdict::of(changes, format!("{path} is as written"))
            }
            State::Touch => match seen {
                Known::Is(Some(_)) => Verdict::of(
                    self.attributes.change(&path, look).into_iter().collect(),
                    format!("{path} is there"),
                ),
                Known::Is(None) => {
                    Verdict::of(self.touched().change(look).into_iter().collect(), "")
                }
                // Whatever will be there then must not be emptied.
                Known::Unknown => Verdict::of(
                    self.touched().change(look).into_iter().map(kept).collect(),
                    "",
                ),
            },
            State::Directory => match seen {
                // Whoever may write beside it says what it points to, and would have that one's owner and mode changed.
                Known::Is(Some(state)) if state.is_link() => Verdict::Refused(format!(
                    "{path} is a symbolic link: name the directory that it points to"
                )),
                Known::Is(Some(state)) if state.kind == FileKind::Directory => Verdict::of(
                    self.attributes.change(&path, look).into_iter().collect(),
                    format!("{path} is as written"),
                ),
                // mkdir would fail there, and nobody has said that it may go.
                Known::Is(Some(state)) => {
                    let kind = match state.kind {
                        FileKind::File => "a file",
                        _ => "neither a file nor a directory",
                    };
                    Verdict::Refused(format!(
                        "{path} is {kind}, where a directory is to be: a task before with `state: absent` takes it away"
                    ))
                }
                seen => {
                    let why = match seen {
                        Known::Unknown => LATER,
                        _ => "is absent",
                    };
                    let Attributes { mode, owner, group } = self.attributes.clone();
                    Verdict::Changes(vec![Change::new(
                        Effect::Directory {
                            path,
                            mode,
                            owner,
                            group,
                        },
                        why,
                    )])
                }
            },
            State::Absent => match seen {
                Known::Is(None) => Verdict::Nothing(format!("{path} is absent")),
                Known::Is(Some(_)) => {
                    Verdict::Changes(vec![Change::new(Effect::Remove { path }, "is there")])
                }
                Known::Unknown => {
                    Verdict::Changes(vec![Change::new(Effect::Remove { path }, LATER)])
                }
            },
            State::Link(target) => {
                let why = match seen {
                    Known::Unknown => LATER.to_string(),
                    Known::Is(None) => "is absent".into(),
                    Known::Is(Some(state)) => match &state.target {
                        Some(now) if now == target => {
                            return Verdict::Nothing(format!("{path} points to {target}"));
                        }
                        Some(now) => format!("points to {now}"),
                        None => "is no link".into(),
                    },
                };
                Verdict::Changes(vec![Change::new(
                    Effect::Link {
                        path,
                        target: target.clone(),
                    },
                    why,
                )])
            }
        }
    }
}

impl File {
    /// Returns why the path is not the file that it is said to be. An absent one that is to have attributes may be made by then.
    fn no_file(&self, look: &Look<'_>) -> Option<&'static str> {
        let asks = self.attributes != Attributes::default();
        match look.file(&self.path) {
            Known::Unknown => None,
            Known::Is(None) => (!asks)
                .then_some("absent: `state: touch` makes an empty file, `copy` one with content"),
            Known::Is(Some(state)) => match state.kind {
                FileKind::File => None,
                // The attributes of what it points to are not seen, and would be set each time.
                FileKind::Link => {
                    asks.then_some("a symbolic link: name the file that it points to")
                }
                FileKind::Directory => {
                    Some("a directory, not a file: write `state: directory`, or name the file")
                }
                FileKind::Other => Some("neither a file nor a directory: name the file"),
            },
        }
    }

    fn touched(&self) -> Target {
        let mut target = Target::new(self.path.clone(), Content::inline(""));
        target.attributes = self.attributes.clone();
        target
    }
}

/// Returns the change as one that leaves what lies there by then.
fn kept(mut change: Change) -> Change {
    change.diff = None;
    if let Effect::WriteFile(file) = &mut change.effect {
        file.expect = Expect::AbsentOrKept;
    }
    change
}
