//! The variables of all hosts, for `hostvars`.

use std::sync::OnceLock;

use indexmap::IndexMap;

use super::engine;
use super::scope::Scope;
use crate::model::{Map, Value};

/// All hosts' scopes. They are rendered once, when the first template asks for `hostvars`.
#[derive(Debug, Default)]
pub struct Hosts {
    scopes: IndexMap<String, Scope>,
    rendered: OnceLock<tera::Value>,
}

impl Hosts {
    /// Returns the hosts with their scopes, which have no `hostvars` of their own: a variable that needs another host's
    /// `hostvars` is not defined for a third one.
    pub fn new(scopes: impl IntoIterator<Item = (String, Scope)>) -> Self {
        Self {
            scopes: scopes.into_iter().collect(),
            rendered: OnceLock::new(),
        }
    }

    /// Returns a host's scope.
    pub fn get(&self, host: &str) -> Option<&Scope> {
        self.scopes.get(host)
    }

    /// Returns `hostvars`. Values that cannot be rendered are left out: who needs one learns that it is not defined,
    /// and nobody else has to care.
    pub(super) fn rendered(&self) -> tera::Value {
        let build = || {
            let all: Map = self
                .scopes
                .iter()
                .map(|(host, scope)| {
                    let vars: Map = scope
                        .names()
                        .filter_map(|n| scope.get(n)?.ok().map(|value| (n.to_owned(), value)))
                        .collect();
                    (host.clone(), Value::Object(vars))
                })
                .collect();
            engine::to_tera(&Value::Object(all))
        };
        self.rendered.get_or_init(build).clone()
    }
}
