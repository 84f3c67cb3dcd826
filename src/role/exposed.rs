//! Secrets in the words of commands, which any user of a host can read.

use std::collections::BTreeSet;

use super::files::ControllerFiles;
use super::item;
use super::library::Role;
use super::module::{Action, Look, Verdict};
use super::task::Task;
use crate::host::Observed;
use crate::model::{Diagnostic, Masks, Value};
use crate::plan::Change;
use crate::template::{Scope, Watched};

/// Values that no command may have among its words, and the variables that hold them.
#[derive(Debug, Clone, Default)]
pub struct Unsaid {
    masks: Masks,
    names: BTreeSet<String>,
}

/// A task in the scope of a host, or of none.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub role: &'a Role,
    pub task: &'a Task,
    pub scope: &'a Scope,
    pub files: &'a dyn ControllerFiles,
    pub host_known: bool,
}

/// What other hosts' variables are read by: whose they are is not seen.
const OTHERS: &str = "hostvars";

impl Unsaid {
    /// Returns the values of these variables.
    pub fn new(masks: Masks, names: BTreeSet<String>) -> Self {
        Self { masks, names }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.masks.is_empty()
    }

    /// Returns what is wrong with a task that has one of the values among the words of a command. `of` returns the words of what its
    /// module is to do in another scope.
    ///
    /// A value that stands there by itself is none: `root` in an encrypted file does not make a secret of every `owner: root`. So
    /// the words have to come out otherwise when a variable that the task asks for has another value.
    pub(super) fn check(
        &self,
        asked: Asked<'_>,
        words: impl IntoIterator<Item = impl Into<String> + AsRef<str>>,
        of: &dyn Fn(&dyn Action) -> Vec<String>,
    ) -> Option<Diagnostic> {
        let words = words.into_iter();
        let words = words.filter(|word| self.masks.finds(word.as_ref()));
        let words: Vec<String> = words.map(Into::into).collect();
        if words.is_empty() {
            return None;
        }
        let Asked {
            role, task, scope, ..
        } = asked;
        // Where it means nothing in a scope, it has no words there.
        let again = |scope: &Scope| {
            let action = item::action(task, role, scope, asked.files, asked.host_known);
            action.map_or_else(|_| Vec::new(), |action| of(action.as_ref()))
        };
        let mut names = self.names_behind(scope, &|scope| drop(again(scope)));
        // An item is what the loop is made of, and that may be anybody's word.
        let made = |scope: &Scope| drop(item::items(task, role, scope));
        let of_loop = |name: &String| task.items.is_some() && *name == task.control.var;
        if names.iter().any(of_loop) && self.names_behind(scope, &made).is_empty() {
            names.retain(|name| !of_loop(name));
        }
        let decides = |name: &&String| {
            let Some(Ok(value)) = scope.get(name) else {
                return true;
            };
            let other = scope.with(name.as_str(), another(value));
            let others = again(&other);
            !words.iter().all(|word| others.contains(word))
        };
        let name = names.iter().find(decides)?;
        let title = format!("{} : {}", role.name, task.name);
        let error = Diagnostic::error(format!(
            "`{title}` has a secret, the value of `{name}`, in the words of its command or in a path, which any user of the host can read"
        ));
        let help = "put it into `stdin`, or into a file's content";
        Some(error.at(task.span.clone()).help(help))
    }

    /// Returns the names that `render` asks for, of variables with a value that is not to be said, or under which a task has left one.
    fn names_behind(&self, scope: &Scope, render: &dyn Fn(&Scope)) -> Vec<String> {
        let watched = Watched::new(scope);
        render(&watched.scope);
        let has_one = |value: &Value| self.masks.finds(&value.to_string());
        watched.asked().names_where(|name, left| {
            name == OTHERS || self.names.contains(name) || left.is_some_and(has_one)
        })
    }
}

/// Returns a value of the same kind that is none of anybody's.
fn another(value: Value) -> Value {
    match value {
        Value::String(text) => format!("{}-quorate-other", text.len()).into(),
        Value::Number(_) => 40_417.into(),
        Value::Bool(value) => (!value).into(),
        Value::Array(items) => items.into_iter().map(another).collect(),
        Value::Object(map) => {
            let parts = map.into_iter().map(|(key, value)| (key, another(value)));
            Value::Object(parts.collect())
        }
        Value::Null => Value::Null,
    }
}

/// Returns the words that are read whatever a host says.
pub(super) fn lasting(action: &dyn Action) -> Vec<String> {
    action.words().into_iter().map(str::to_owned).collect()
}

/// Returns the words of an action's commands on a host of which nothing is known. What hangs on what a host says, or on a result, is
/// found by the host's plan.
pub(super) fn certain(action: &dyn Action) -> Vec<String> {
    let nothing = Observed::default();
    let look = Look {
        now: &nothing,
        steady: &nothing,
    };
    let mut words = lasting(action);
    words.extend(words_of(&action.plan(&look)));
    words
}

/// Returns the words of the commands that make the changes of a verdict.
pub(super) fn words_of(verdict: &Verdict) -> Vec<String> {
    match verdict {
        Verdict::Changes(changes) | Verdict::Always(changes) => {
            words_in(changes).map(str::to_owned).collect()
        }
        _ => Vec::new(),
    }
}

/// Returns the words of the commands that make changes.
pub(super) fn words_in(changes: &[Change]) -> impl Iterator<Item = &str> {
    changes.iter().flat_map(|change| change.effect.words())
}
