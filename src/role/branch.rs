//! Tasks that no host takes: what is undefined in them would show on the day when one does.

use std::collections::{BTreeMap, BTreeSet};

use super::host::HostRoles;
use super::library::Role;
use super::scope::Left;
use super::task::Task;
use super::{item, scope};
use crate::model::{Diagnostic, Diagnostics};
use crate::template::{self, Scope};

/// Which tasks hosts take, and what is undefined in those that they leave out.
#[derive(Debug, Default)]
pub struct Branches {
    taken: BTreeSet<String>,
    left: BTreeMap<String, Vec<Diagnostic>>,
}

impl Branches {
    /// Takes over what was found on another host.
    pub fn add(&mut self, other: Self) {
        self.taken.extend(other.taken);
        for (task, found) in other.left {
            self.left.entry(task).or_insert(found);
        }
    }

    /// Returns a warning for each variable that is undefined in a task which no host takes.
    pub fn warnings(self) -> Diagnostics {
        let left = self.left.into_iter();
        let alone = left.filter(|(task, _)| !self.taken.contains(task));
        Diagnostics(alone.flat_map(|(_, found)| found).collect())
    }
}

impl HostRoles {
    /// Returns which tasks of the user's own roles this host takes, as far as that is certain before it is known.
    pub fn branches(&self, scope: &Scope) -> Branches {
        let mut branches = Branches::default();
        let seen = scope::with_facts(scope, None);
        for role in self.roles.iter().filter(|role| !role.is_builtin()) {
            let base = scope::with_role(&seen, role, &self.fixed);
            let bare = scope::with_role(scope, role, &self.fixed);
            // What tasks set is not known here.
            let set: BTreeSet<String> = role
                .tasks
                .iter()
                .flat_map(|t| t.register.iter().cloned().chain(t.sets(role)))
                .collect();
            for task in &role.tasks {
                let certain = self.scope(&bare, task, &Left::new());
                let left_out = item::holds(&task.when, &certain).is_ok_and(|holds| !holds);
                if !left_out {
                    branches.taken.insert(task.span.to_string());
                } else if task.used_names().is_disjoint(&set) {
                    let scope = self.scope(&base, task, &Left::new());
                    let found = self.undefined(role, task, &scope);
                    branches.left.insert(task.span.to_string(), found);
                }
            }
        }
        branches
    }

    /// Returns a warning for each variable that a task would miss.
    fn undefined(&self, role: &Role, task: &Task, scope: &Scope) -> Vec<Diagnostic> {
        let mut found = Diagnostics::default();
        match item::items(task, role, scope) {
            Err(errors) => found.extend(errors),
            Ok(items) => {
                for each in items {
                    let mut scope = scope.clone();
                    each.enter(&task.control, &mut scope);
                    let action = item::action(task, role, &scope, self.files.as_ref(), false);
                    found.extend(action.err().unwrap_or_default());
                }
            }
        }
        let undefined = found.0.into_iter().filter(template::is_undefined);
        undefined
            .map(|error| {
                let help = "no host takes this task now; one that does will stop here";
                let mut warning = Diagnostic::warning(error.message).at(error.span);
                warning.help = Some(match error.help {
                    Some(old) => format!("{help}; {old}"),
                    None => help.into(),
                });
                warning
            })
            .collect()
    }
}
