//! Hosts that are alike to their roles: what one of them has to be asked is what all of them have to be asked.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use super::library::Role;
use crate::host::Facts;
use crate::template::{Asked, Scope};

/// How many kinds of hosts are remembered. A cluster has a few; where a task has something of each host's own, such as its name,
/// all hosts differ, and remembering more would cost more than it saves.
const REMEMBERED: usize = 16;

/// The kinds of hosts that were seen, for the hosts of one run: all have the same files, selection and `-e`.
#[derive(Debug, Default)]
pub struct Kinds(Mutex<VecDeque<Kind>>);

#[derive(Debug)]
struct Kind {
    roles: Vec<Arc<Role>>,
    /// Whether `facts` are the host's own.
    is_known: bool,
    /// What was asked of the scope with facts, and of the one without.
    seen: Asked,
    bare: Asked,
    facts: Facts,
}

impl Kinds {
    /// Returns how many kinds are remembered.
    pub fn count(&self) -> usize {
        let kinds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kinds.len()
    }

    /// Returns what a host like this one had to be asked.
    pub(super) fn find(
        &self,
        roles: &[Arc<Role>],
        is_known: bool,
        seen: &Scope,
        bare: &Scope,
    ) -> Option<Facts> {
        let kinds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_same = |kind: &&Kind| {
            kind.is_known == is_known
                && kind.roles.len() == roles.len()
                && kind.roles.iter().zip(roles).all(|(a, b)| Arc::ptr_eq(a, b))
                && kind.seen.is_alike(seen)
                && kind.bare.is_alike(bare)
        };
        kinds.iter().find(is_same).map(|kind| kind.facts.clone())
    }

    /// Remembers what a host had to be asked.
    pub(super) fn add(
        &self,
        roles: &[Arc<Role>],
        is_known: bool,
        (seen, bare): (Asked, Asked),
        facts: &Facts,
    ) {
        let mut kinds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kinds.truncate(REMEMBERED - 1);
        kinds.push_front(Kind {
            roles: roles.to_vec(),
            is_known,
            seen,
            bare,
            facts: facts.clone(),
        });
    }
}
