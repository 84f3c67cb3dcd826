//! The variables of a scope, in layers that scopes share: hosts differ in few of them, and the tasks of a host in fewer.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use indexmap::IndexMap;

use super::binding::Binding;

/// Variables that lie in many scopes, such as those of a role.
#[derive(Debug, Clone, Default)]
pub struct Layer(Arc<IndexMap<String, Arc<Binding>>>);

impl FromIterator<(String, Binding)> for Layer {
    fn from_iter<I: IntoIterator<Item = (String, Binding)>>(variables: I) -> Self {
        let shared = variables
            .into_iter()
            .map(|(name, binding)| (name, Arc::new(binding)));
        Self(Arc::new(shared.collect()))
    }
}

/// The names that a scope and its copies were asked for, whether set or not.
#[derive(Debug, Clone, Default)]
pub(super) struct Watch(Arc<Mutex<BTreeSet<String>>>);

impl Watch {
    fn note(&self, name: &str) {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !names.contains(name) {
            names.insert(name.to_owned());
        }
    }

    /// Returns the names so far.
    pub(super) fn names(&self) -> BTreeSet<String> {
        let names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        names.clone()
    }
}

/// Names with their variables. A copy shares all that is there; what is set in it later lies over that.
#[derive(Debug, Clone, Default)]
pub(super) struct Layers {
    /// The lowest first.
    layers: Vec<Layer>,
    /// Who is told of names, and how many layers came over those that are watched.
    watch: Option<(Watch, usize)>,
}

impl Layers {
    /// Sets a variable; no copy sees it.
    pub(super) fn insert(&mut self, name: String, binding: Arc<Binding>) {
        let is_watched = matches!(self.watch, Some((_, 0)));
        let top = self.layers.last_mut().filter(|_| !is_watched);
        if let Some(top) = top.and_then(|layer| Arc::get_mut(&mut layer.0)) {
            top.insert(name, binding);
            return;
        }
        let layer = IndexMap::from([(name, binding)]);
        self.push_over(&Layer(Arc::new(layer)));
    }

    /// Lays variables below all that are there: none of these changes.
    pub(super) fn push_below(&mut self, layer: &Layer) {
        if !layer.0.is_empty() {
            self.layers.insert(0, layer.clone());
        }
    }

    /// Lays variables over all that are there.
    pub(super) fn push_over(&mut self, layer: &Layer) {
        if layer.0.is_empty() {
            return;
        }
        self.layers.push(layer.clone());
        if let Some((_, above)) = &mut self.watch {
            *above += 1;
        }
    }

    /// Begins to note the names that what is there now is asked for.
    pub(super) fn watch(&mut self, watch: Watch) {
        self.watch = Some((watch, 0));
    }

    /// Returns a name with its variable.
    pub(super) fn get_key_value(&self, name: &str) -> Option<(&str, &Arc<Binding>)> {
        let above = self.watch.as_ref().map_or(0, |(_, above)| *above);
        let (below, above) = self.layers.split_at(self.layers.len() - above);
        find(above, name).or_else(|| {
            if let Some((watch, _)) = &self.watch {
                watch.note(name);
            }
            find(below, name)
        })
    }

    /// Returns a variable.
    pub(super) fn get(&self, name: &str) -> Option<&Arc<Binding>> {
        self.get_key_value(name).map(|(_, binding)| binding)
    }

    /// Returns whether there is a variable of that name.
    pub(super) fn contains_key(&self, name: &str) -> bool {
        self.get_key_value(name).is_some()
    }

    /// Returns each name once, from the lowest layer up.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.layers.iter().enumerate().flat_map(|(n, layer)| {
            let below = &self.layers[..n];
            let is_new = |name: &&String| below.iter().all(|l| !l.0.contains_key(*name));
            layer.0.keys().filter(is_new).map(String::as_str)
        })
    }
}

/// Returns a name with its variable in the uppermost layer that has it.
fn find<'l>(layers: &'l [Layer], name: &str) -> Option<(&'l str, &'l Arc<Binding>)> {
    let mut found = layers
        .iter()
        .rev()
        .filter_map(|layer| layer.0.get_key_value(name));
    found.next().map(|(name, binding)| (name.as_str(), binding))
}
