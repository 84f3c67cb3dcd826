//! What modules that write files share.

use super::{LATER, Look, Questions, Verdict};
use crate::host::{Content, Effect, Expect, Fact, FileKind, FileState, Known, Observed, WriteFile};
use crate::model::Mode;
use crate::plan::{Change, Diff};
use crate::role::args::Args;

/// Attributes that a task asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Attributes {
    pub(super) mode: Option<Mode>,
    pub(super) owner: Option<String>,
    pub(super) group: Option<String>,
}

impl Attributes {
    /// Reads `mode`, `owner` and `group`.
    pub(super) fn read(args: &mut Args<'_>) -> Self {
        Self {
            mode: args.mode("mode"),
            owner: args.account("owner"),
            group: args.account("group"),
        }
    }

    /// Returns the change that sets what differs.
    pub(super) fn change(&self, path: &str, look: &Observed) -> Option<Change> {
        let all = |why: &str| {
            (*self != Self::default()).then(|| {
                let effect = Effect::Attributes {
                    path: path.into(),
                    mode: self.mode,
                    owner: self.owner.clone(),
                    group: self.group.clone(),
                };
                Change::new(effect, why)
            })
        };
        let state = match look.file(path) {
            Known::Unknown => return all(LATER),
            Known::Is(None) => return all("is absent"),
            Known::Is(Some(state)) => state,
        };
        let mode = self.mode.filter(|m| *m != state.mode);
        let owner = self.owner.clone().filter(|o| *o != state.owner);
        let group = self.group.clone().filter(|g| *g != state.group);
        let mut why = Vec::new();
        why.extend(mode.map(|_| format!("mode is {}", state.mode)));
        why.extend(owner.as_ref().map(|_| format!("owner is {}", state.owner)));
        why.extend(group.as_ref().map(|_| format!("group is {}", state.group)));
        if why.is_empty() {
            return None;
        }
        Some(Change::new(
            Effect::Attributes {
                path: path.into(),
                mode,
                owner,
                group,
            },
            why.join(", "),
        ))
    }
}

/// A file as it is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) path: String,
    pub(super) content: Content,
    pub(super) attributes: Attributes,
    pub(super) validate: Option<String>,
    pub(super) backup: bool,
    pub(super) large: bool,
}

impl Target {
    /// Returns a target with nothing special about it.
    pub(super) fn new(path: impl Into<String>, content: Content) -> Self {
        Self {
            path: path.into(),
            content,
            attributes: Attributes::default(),
            validate: None,
            backup: false,
            large: false,
        }
    }

    /// Adds what must be known of the file.
    pub(super) fn facts(&self, questions: &mut Questions) {
        let fact = if self.large {
            Fact::LargeFile
        } else {
            Fact::File
        };
        questions.facts.insert(fact(self.path.clone()));
        if questions.diffs && !self.large && text(&self.content).is_some() {
            questions.facts.insert(Fact::Content(self.path.clone()));
        }
    }

    /// Returns the change that makes the file so.
    pub(super) fn change(&self, look: &Observed) -> Option<Change> {
        let (expect, why) = match look.file(&self.path) {
            Known::Unknown => (Expect::Any, LATER.to_string()),
            Known::Is(None) => (Expect::Absent, "is absent".to_string()),
            Known::Is(Some(state)) => match (state.kind, state.sha256) {
                (FileKind::File, Some(digest)) if digest == self.content.sha256() => {
                    return self.attributes.change(&self.path, look);
                }
                (FileKind::File, Some(digest)) => {
                    let others = self.attributes.change(&self.path, look);
                    let others = others.map_or_else(String::new, |c| format!(", {}", c.why));
                    (Expect::Content(digest), format!("content differs{others}"))
                }
                (FileKind::File, None) => (Expect::Any, LATER.to_string()),
                (FileKind::Link, _) => (Expect::Absent, "is a symbolic link".to_string()),
                (FileKind::Directory, _) => (Expect::Absent, "is a directory".to_string()),
                (FileKind::Other, _) => (Expect::Absent, "is no regular file".to_string()),
            },
        };
        let kept = match look.file(&self.path) {
            Known::Is(Some(state)) if state.kind == FileKind::File => Some(state),
            _ => None,
        };
        let name = |asked: &Option<String>, now: Option<&String>| {
            asked
                .clone()
                .or_else(|| now.cloned())
                .unwrap_or_else(|| "root".into())
        };
        let effect = Effect::WriteFile(WriteFile {
            path: self.path.clone(),
            content: self.content.clone(),
            mode: self
                .attributes
                .mode
                .or(kept.map(|s| s.mode))
                .unwrap_or(Mode::PUBLIC),
            owner: name(&self.attributes.owner, kept.map(|s| &s.owner)),
            group: name(&self.attributes.group, kept.map(|s| &s.group)),
            expect,
            validate: self.validate.clone(),
            backup: self.backup,
            large: self.large,
        });
        Some(Change {
            effect,
            why,
            diff: self.diff(look),
        })
    }

    fn diff(&self, look: &Observed) -> Option<Diff> {
        let after = text(&self.content)?.to_string();
        let before = match look.content(&self.path) {
            Known::Is(bytes) => std::str::from_utf8(bytes).ok().map(str::to_string),
            Known::Unknown => None,
        };
        Some(Diff {
            name: self.path.clone(),
            before,
            after,
        })
    }
}

/// A file of somebody else's that a part is edited of.
#[derive(Debug)]
pub(super) struct Edited {
    pub(super) path: String,
    /// Whether the part is to be there.
    pub(super) present: bool,
    /// Whether a file that is not there is made.
    pub(super) create: bool,
    pub(super) attributes: Attributes,
    pub(super) validate: Option<String>,
    pub(super) backup: bool,
}

impl Edited {
    /// Adds what must be known of the file.
    pub(super) fn facts(&self, questions: &mut Questions) {
        questions.facts.insert(Fact::File(self.path.clone()));
        questions.facts.insert(Fact::Content(self.path.clone()));
    }

    /// Returns the words of the commands that edit it, where it needs that.
    pub(super) fn words(&self) -> Vec<&str> {
        let Attributes { owner, group, .. } = &self.attributes;
        let more = [&self.validate, owner, group];
        let more = more.into_iter().flatten().map(String::as_str);
        std::iter::once(self.path.as_str()).chain(more).collect()
    }

    /// Returns what becomes of the file by an edit of its text; `done` says that it needs none.
    pub(super) fn plan(
        &self,
        look: &Look<'_>,
        edit: impl Fn(&str) -> String,
        done: &str,
    ) -> Verdict {
        let seen = look.now.file(&self.path);
        if seen.is(|state| state.is_some_and(FileState::is_link)) {
            return Verdict::Refused(format!(
                "{} is a symbolic link: name the file that it leads to",
                self.path
            ));
        }
        let Some((seen, before)) = look.text(&self.path) else {
            return Verdict::Unseen(self.path.clone());
        };
        let absent = seen.file(&self.path) == Known::Is(None);
        if absent && !self.present {
            return Verdict::Nothing(format!("{} is absent", self.path));
        }
        if absent && !self.create {
            // A package, an archive or a user's home may bring it.
            if look.now.file(&self.path) != Known::Is(None) {
                return Verdict::Unseen(self.path.clone());
            }
            return Verdict::Refused(format!(
                "{} is absent, and the task does not say `create: true`",
                self.path
            ));
        }
        let mut target = Target::new(self.path.clone(), Content::inline(edit(&before)));
        target.attributes = self.attributes.clone();
        target.validate = self.validate.clone();
        target.backup = self.backup;
        let changes: Vec<Change> = target.change(seen).into_iter().collect();
        Verdict::of(changes, format!("{} {done}", self.path))
    }
}

/// Returns a content as text, where it is text of a size that somebody reads.
fn text(content: &Content) -> Option<&str> {
    match content {
        Content::Inline(bytes) if bytes.len() <= 1 << 18 && !bytes.contains(&0) => {
            std::str::from_utf8(bytes).ok()
        }
        _ => None,
    }
}
