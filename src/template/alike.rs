//! Whether two hosts are alike to whoever has asked one of them: then the answer for the one is that for the other.

use std::sync::Arc;

use super::binding::Binding;
use super::hosts::Hosts;
use super::layers::Watch;
use super::scope::Scope;
use crate::model::Value;

/// A scope that notes the names that it and its copies are asked for.
#[derive(Debug)]
pub struct Watched {
    /// The scope to ask.
    pub scope: Scope,
    watch: Watch,
}

/// The names that a scope was asked for, with what it had.
#[derive(Debug)]
pub struct Asked {
    names: Vec<(String, Option<Arc<Binding>>)>,
    hosts: Option<Arc<Hosts>>,
}

impl Watched {
    /// Returns a copy of a scope. Whoever asks it must not ask the original.
    pub fn new(scope: &Scope) -> Self {
        let (mut scope, watch) = (scope.clone(), Watch::default());
        scope.bindings.watch(watch.clone());
        Self { scope, watch }
    }

    /// Returns what was asked for. The names that a message lists are not among it: an answer that is an error is the asked
    /// host's alone.
    pub fn asked(self) -> Asked {
        let names = self.watch.names().into_iter();
        let had = |name: String| {
            let binding = self.scope.bindings.get(&name).cloned();
            (name, binding)
        };
        Asked {
            names: names.map(had).collect(),
            hosts: self.scope.hosts.clone(),
        }
    }
}

impl Asked {
    /// Returns the names of those for which `is_meant` holds: it is told a name, and what was left under it by another task (a
    /// result, a fact, a loop's item).
    pub fn names_where(&self, is_meant: impl Fn(&str, Option<&Value>) -> bool) -> Vec<String> {
        let meant = self
            .names
            .iter()
            .filter(|(name, had)| is_meant(name, had.as_deref().and_then(Binding::left)));
        meant.map(|(name, _)| name.clone()).collect()
    }

    /// Returns whether another scope has the same, so that whoever asked would come to the same.
    pub fn is_alike(&self, other: &Scope) -> bool {
        let hosts = match (&self.hosts, &other.hosts) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (a, b) => a.is_none() && b.is_none(),
        };
        let same =
            |(name, had): &(String, Option<Arc<Binding>>)| match (had, other.bindings.get(name)) {
                (Some(a), Some(b)) => Arc::ptr_eq(a, b) || a.is_same(b),
                (a, b) => a.is_none() && b.is_none(),
            };
        hosts && self.names.iter().all(same)
    }
}
