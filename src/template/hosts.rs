//! The variables of all hosts, for `hostvars`.

use std::sync::OnceLock;

use indexmap::IndexMap;

use super::scope::Scope;
use crate::model::Sha256;

/// All hosts' scopes. They are rendered once, when the first template asks for `hostvars`.
#[derive(Debug, Default)]
pub struct Hosts {
    scopes: IndexMap<String, Scope>,
    rendered: OnceLock<tera::Value>,
    digest: OnceLock<Sha256>,
}

impl Hosts {
    /// Returns the hosts with their scopes, which have no `hostvars` of their own: a variable that needs another host's
    /// `hostvars` is not defined for a third one.
    pub fn new(scopes: impl IntoIterator<Item = (String, Scope)>) -> Self {
        Self {
            scopes: scopes.into_iter().collect(),
            rendered: OnceLock::new(),
            digest: OnceLock::new(),
        }
    }

    /// Returns a host's scope.
    pub fn get(&self, host: &str) -> Option<&Scope> {
        self.scopes.get(host)
    }

    /// Returns a digest of all of them. It is made once.
    pub(super) fn digest(&self) -> Sha256 {
        let text = || serde_json::to_string(&self.rendered()).unwrap_or_default();
        *self.digest.get_or_init(|| Sha256::of(text()))
    }

    /// Returns `hostvars`. Values that cannot be rendered are left out: who needs one learns that it is not defined,
    /// and nobody else has to care.
    pub(super) fn rendered(&self) -> tera::Value {
        let build = || {
            let all: tera::Map = self
                .scopes
                .iter()
                .map(|(host, scope)| {
                    let vars: tera::Map = scope
                        .names()
                        .filter_map(|n| Some((n.to_owned().into(), scope.tera(n)?)))
                        .collect();
                    (host.clone().into(), tera::Value::from(vars))
                })
                .collect();
            tera::Value::from(all)
        };
        self.rendered.get_or_init(build).clone()
    }
}
