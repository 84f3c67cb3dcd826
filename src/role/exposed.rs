//! Secrets in the words of commands, as far as they are certain before a host is known.

use super::library::Role;
use super::module::{Action, Look, Verdict};
use super::task::Task;
use crate::host::Observed;
use crate::model::{Diagnostic, Masks};
use crate::plan::{self, HostPlan};

/// Returns what is wrong with an action that has one of these values in the words of a command on a host of which nothing is
/// known. What hangs on what a host says, or on a result, is found by the host's plan.
pub(super) fn check(
    action: &dyn Action,
    masks: &Masks,
    role: &Role,
    task: &Task,
) -> Option<Diagnostic> {
    let nothing = Observed::default();
    let look = Look {
        now: &nothing,
        steady: &nothing,
    };
    let changes = match action.plan(&look) {
        Verdict::Changes(changes) | Verdict::Always(changes) => changes,
        _ => Vec::new(),
    };
    let says = changes.iter().any(|change| HostPlan::says(change, masks));
    if says {
        return Some(error(role, task));
    }
    lasting(action, masks, role, task)
}

/// Returns what is wrong with an action that has one of these values in words that are read whatever a host says.
pub(super) fn lasting(
    action: &dyn Action,
    masks: &Masks,
    role: &Role,
    task: &Task,
) -> Option<Diagnostic> {
    let mut words = action.words().into_iter();
    let says = words.any(|word| masks.hide(word) != word);
    says.then(|| error(role, task))
}

fn error(role: &Role, task: &Task) -> Diagnostic {
    let title = format!("{} : {}", role.name, task.name);
    let error = Diagnostic::error(plan::exposed(&title));
    error.at(task.span.clone()).help(plan::NOT_EXPOSED)
}
