//! Floor 2: what would have to be done on one host, and why. Pure: (desired, observed) -> plan.

mod wave;

use std::collections::HashSet;

use crate::event::{Category, PlannedChange};
use crate::host::Effect;
use crate::host::script::Report;
use crate::model::{MASK, Masks, Sha256};

pub use wave::{Titles, wave};

/// Two texts to compare.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diff {
    /// What it is the content of, such as a path.
    pub name: String,
    /// As it was seen; `None` where it was not looked at or is not text.
    pub before: Option<String>,
    /// As it will be.
    pub after: String,
}

/// An effect with its reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What is done.
    pub effect: Effect,
    /// Why, such as `content differs`, or `(known after apply)`.
    pub why: String,
    /// The difference, where there is text to show.
    pub diff: Option<Diff>,
}

/// What a step's failure leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnFailure {
    /// The host has failed.
    #[default]
    Stop,
    /// A block's `rescue`, planned when it is known how the host is then; the host has not failed.
    Rescue,
    /// A block's `always`, planned likewise; then the host has failed.
    Always,
}

/// A task, or one item of its loop, that has something to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// `role : task`, with the item of a loop behind it.
    pub title: String,
    /// What its time counts as.
    pub category: Category,
    /// Its changes, in order.
    pub changes: Vec<Change>,
    /// Identifiers of the handlers that it notifies.
    pub notify: Vec<String>,
    /// Whether nothing of its content or output may be shown (`no_log`).
    pub secret: bool,
    /// The variable that takes its result (`register`).
    pub register: Option<String>,
    /// Whether the wave goes on when it fails, because the controller judges its result.
    pub tolerant: bool,
    /// What its failure leads to.
    pub on_failure: OnFailure,
    /// How its success is reported.
    pub report: Report,
    /// Whether it disturbs the path to the API.
    pub disturbs: bool,
    /// What its changes do not say of themselves, such as the fields that a roll-out brings back: told once it has changed something.
    pub about: Vec<String>,
}

/// A handler that may run at the end of the wave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandlerPlan {
    /// Its identifier: `role.name` with every other character as `-`; names its mark on the host.
    pub id: String,
    /// Whether an earlier run left it pending: then it is a change of its own.
    pub pending: bool,
    /// What it does.
    pub steps: Vec<Step>,
}

/// How a play goes over its hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pace {
    /// The play's name.
    pub play: String,
    /// So many hosts at once; of several, a batch after the other, and the last again and again. Never empty.
    pub batches: Vec<Batch>,
    /// Whether a batch begins when the one before has ended, and not a host when one has.
    pub in_step: bool,
}

/// So many hosts of a play.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batch {
    /// How many hosts at once, one at least.
    pub at_once: usize,
    /// How many of them may fail before no other one is begun.
    pub may_fail: usize,
}

/// What a task has to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// The task's title.
    pub title: String,
    /// What it says.
    pub text: String,
    /// How many steps stand before it: where one of them fails, it is not reached.
    pub after: usize,
}

/// One wave of one host, and what is as written already.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HostPlan {
    /// Tasks that need nothing.
    pub ok: u32,
    /// Their titles, items of loops one by one.
    pub as_written: Vec<String>,
    /// Tasks that `when` left out.
    pub skipped: u32,
    /// What is to be done, in order.
    pub steps: Vec<Step>,
    /// Handlers that one of the steps notifies, or that are pending, in the order of their definition.
    pub handlers: Vec<HandlerPlan>,
    /// What is waited for behind the handlers: the health gate of a change that disturbs a live cluster.
    pub gates: Vec<Step>,
    /// Digest of what the host's tasks and variables say, where the plan cannot show all that may be done.
    pub unshown: Option<Sha256>,
    /// The title of the step whose failure nothing has rescued, once its `always` is done: nothing else is to be done here.
    pub lost: Option<String>,
    /// Whether tasks are left that depend on a result of this wave: after it, plan again.
    pub more: bool,
    /// What tasks have to say to who reads the run (`debug`), in order.
    pub notes: Vec<Note>,
    /// Titles of the tasks that are left, for a plan that cannot go further.
    pub known_after_apply: Vec<String>,
    /// The plays with steps in it that do not go over all hosts at once, in their order.
    pub paces: Vec<Pace>,
}

impl HostPlan {
    /// Returns whether nothing is to be done.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty() && !self.handlers.iter().any(|h| h.pending)
    }

    /// Returns whether something may be done that no plan shows beforehand: tasks that wait for a result, commands that say
    /// that they change nothing, and what follows a failure that is caught.
    pub fn hides(&self) -> bool {
        let hidden = |step: &Step| step.report == Report::Ok || step.on_failure != OnFailure::Stop;
        !self.known_after_apply.is_empty() || self.more || self.steps.iter().any(hidden)
    }

    /// Puts steps before all others.
    pub fn put_first(&mut self, steps: impl IntoIterator<Item = Step>) {
        let before = self.steps.len();
        self.steps.splice(0..0, steps);
        let more = self.steps.len() - before;
        self.notes.iter_mut().for_each(|note| note.after += more);
    }

    /// Hides secrets, given by name and value, in texts that are shown.
    pub fn mask(&mut self, secrets: &[(String, String)], decrypted: &Masks) {
        let handlers = self.handlers.iter_mut().flat_map(|h| &mut h.steps);
        let steps = self.steps.iter_mut().chain(handlers);
        let diffs = steps
            .flat_map(|s| &mut s.changes)
            .filter_map(|c| c.diff.as_mut());
        diffs.for_each(|diff| diff.mask(secrets, decrypted));
        for note in &mut self.notes {
            note.text = masked(&decrypted.hide(&note.text), secrets);
        }
    }

    /// Returns whether a failure of a step is followed by a wave that mends or cleans.
    pub fn catches(&self) -> bool {
        let caught = |step: &Step| step.on_failure != OnFailure::Stop;
        self.steps.iter().any(caught)
    }

    /// Returns whether a step or handler disturbs the path to the API.
    pub fn disturbs(&self) -> bool {
        self.steps
            .iter()
            .chain(self.handlers.iter().flat_map(|h| &h.steps))
            .any(|s| s.disturbs)
    }
}

impl Step {
    /// Returns a step with these changes and nothing special about it.
    pub fn new(title: impl Into<String>, category: Category, changes: Vec<Change>) -> Self {
        Self {
            title: title.into(),
            category,
            changes,
            notify: Vec::new(),
            secret: false,
            register: None,
            tolerant: false,
            on_failure: OnFailure::Stop,
            report: Report::Auto,
            disturbs: false,
            about: Vec::new(),
        }
    }

    /// Returns its changes as a reader sees them; nothing of a secret step's content.
    pub fn planned(&self) -> Vec<PlannedChange> {
        let planned = |change: &Change| PlannedChange {
            what: change.effect.describe(),
            why: change.why.clone(),
            kind: change.effect.kind(),
            guard: change.effect.guard(),
            digest: Some(change.effect.digest()),
            diff: match &change.diff {
                Some(_) if self.secret => Some("(content is not shown)".into()),
                Some(diff) => Some(diff.unified()),
                None => None,
            },
        };
        self.changes.iter().map(planned).collect()
    }
}

impl Change {
    /// Returns a change without a text to compare.
    pub fn new(effect: Effect, why: impl Into<String>) -> Self {
        Self {
            effect,
            why: why.into(),
            diff: None,
        }
    }
}

impl Diff {
    /// Hides secrets on both sides: their values, and what stands behind their names in a `name value`, `name: value` or
    /// `name=value` line (an older value, which nobody here knows).
    pub fn mask(&mut self, secrets: &[(String, String)], decrypted: &Masks) {
        let hide = |text: &str| masked(&decrypted.hide(text), secrets);
        let after = hide(&self.after);
        let before = self.before.as_deref().map(|text| aged(&hide(text), &after));
        // What differs in nothing else is a difference all the same.
        let hidden = before.as_ref() == Some(&after) && self.before.as_ref() != Some(&self.after);
        self.before = before;
        self.after = after;
        if hidden {
            self.after
                .push_str("(a secret that is not shown differs)\n");
        }
    }

    /// Returns the unified diff with three lines of context; where what is there now is not known, all that is to be there.
    pub fn unified(&self) -> String {
        let Some(before) = &self.before else {
            let mut text = format!("(what is there now was not read)\n+++ {}\n", self.name);
            for line in self.after.lines() {
                text.extend(["+", line, "\n"]);
            }
            return text;
        };
        similar::TextDiff::from_lines(before.as_str(), self.after.as_str())
            .unified_diff()
            .context_radius(3)
            .header(&self.name, &self.name)
            .to_string()
    }
}

/// Returns the text with a mask wherever the new one has it in the same line: what stands there now was a secret too, such
/// as a password before it was changed, and nobody here knows it.
fn aged(before: &str, after: &str) -> String {
    let masked: Vec<(&str, &str)> = after.lines().filter_map(|l| l.split_once(MASK)).collect();
    let same: HashSet<&str> = after.lines().collect();
    let line = |line: &str| {
        let text = line.trim_end_matches('\n');
        let found = masked.iter().find(|(head, tail)| {
            let tail = tail.rsplit(MASK).next().unwrap_or_default();
            !same.contains(text)
                && text.len() >= head.len() + tail.len()
                && text.starts_with(head)
                && text.ends_with(tail)
        });
        found.map_or_else(
            || line.to_owned(),
            |(head, tail)| format!("{head}{MASK}{tail}{}", &line[text.len()..]),
        )
    };
    before.split_inclusive('\n').map(line).collect()
}

fn masked(text: &str, secrets: &[(String, String)]) -> String {
    let mut text = text.to_string();
    for (name, value) in secrets {
        if !value.is_empty() {
            text = text.replace(value.as_str(), MASK);
        }
        text = text
            .split_inclusive('\n')
            .map(|line| behind(line, name).unwrap_or_else(|| line.to_string()))
            .collect();
    }
    text
}

/// Returns the line with a mask in the place of the word behind `name`; `None` where there is none.
fn behind(line: &str, name: &str) -> Option<String> {
    let start = line.find(name)? + name.len();
    let rest = line.get(start..)?;
    let gap = rest.len() - rest.trim_start_matches([' ', '\t', ':', '=', '"']).len();
    let word = rest.get(gap..)?.split([' ', '\t', '\n', '"']).next()?;
    if gap == 0 || word.is_empty() {
        return None;
    }
    let end = start + gap + word.len();
    Some(format!(
        "{}{MASK}{}",
        line.get(..start + gap)?,
        line.get(end..)?
    ))
}
