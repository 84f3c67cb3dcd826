//! Scopes of an inventory's hosts, with the magic variables that Ansible gives them.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Binding, Hosts, Scope};
use crate::inventory::{Host, Inventory, Variable, Variables};
use crate::model::{Map, Value};

/// Returns the scopes of all hosts over their inventory variables, for `hostvars` and for [`host_scope`]. Make them
/// once: they remember what was rendered.
pub fn host_scopes(inventory: &Inventory) -> Arc<Hosts> {
    host_scopes_over(inventory, &[], &|_| Map::new())
}

/// Returns the scopes of all hosts over their inventory variables. Below those lie `defaults`, which are templates like
/// any other value; above them, by host, the values of `fixed`, which are final.
pub fn host_scopes_over(
    inventory: &Inventory,
    defaults: &[(&str, Value)],
    fixed: &dyn Fn(&str) -> Map,
) -> Arc<Hosts> {
    let groups = groups(inventory);
    let defaults: Vec<(&str, Arc<Binding>)> = defaults
        .iter()
        .map(|(name, value)| (*name, Arc::new(Binding::template(value.clone(), None, []))))
        .collect();
    // A group's variable is one for all its hosts: it is bound once. The key is the address of its node.
    let mut bound: HashMap<usize, Arc<Binding>> = HashMap::new();
    Arc::new(Hosts::new(inventory.hosts.iter().map(|(name, host)| {
        let mut scope = magic(host, &groups);
        for (name, binding) in &defaults {
            scope.set_shared(*name, binding.clone());
        }
        for (name, variable) in &host.vars {
            let binding = match &variable.node {
                Some(node) => bound
                    .entry(Arc::as_ptr(node).addr())
                    .or_insert_with(|| Arc::new(binding(variable)))
                    .clone(),
                None => Arc::new(binding(variable)),
            };
            scope.set_shared(name, binding);
        }
        for (name, value) in fixed(name.as_str()) {
            scope.set(name, Binding::fixed(value));
        }
        (name.to_string(), scope)
    })))
}

/// Returns a host's scope over `variables` (the inventory's with a role's layers around them) with `hostvars`. What is
/// fixed in `hosts`, magic variables and the cluster's own, stays: a role's default is no second source for them.
pub fn host_scope(host: &Host, variables: &Variables, hosts: &Arc<Hosts>) -> Scope {
    let known = hosts.get(host.name.as_str()).cloned().unwrap_or_default();
    let mut scope = known.with_hosts(hosts.clone());
    for (name, variable) in variables {
        if !scope.is_fixed(name) {
            scope.set(name, binding(variable));
        }
    }
    scope
}

/// Sets variables of an inventory or a role in a scope.
pub fn bind(scope: &mut Scope, variables: &Variables) {
    for (name, variable) in variables {
        scope.set(name, binding(variable));
    }
}

fn binding(variable: &Variable) -> Binding {
    let span = variable.origin.span.clone();
    Binding::template(variable.value.clone(), span, variable.texts())
}

/// Returns the hosts of every group by its name: the variable `groups`.
fn groups(inventory: &Inventory) -> Arc<Binding> {
    let names = |group: &str| {
        inventory
            .hosts_of(group)
            .into_iter()
            .map(|h| Value::from(h.as_str()))
            .collect()
    };
    let groups = Value::Object(
        inventory
            .groups
            .keys()
            .map(|g| (g.to_string(), Value::Array(names(g.as_str()))))
            .collect::<Map>(),
    );
    Arc::new(Binding::fixed(groups))
}

/// Names that every host's scope has beside its variables (Ansible's "Special Variables").
pub const MAGIC: &[&str] = &[
    "ansible_host",
    "group_names",
    "groups",
    "hostvars",
    "inventory_dir",
    "inventory_file",
    "inventory_hostname",
    "inventory_hostname_short",
];

fn magic(host: &Host, groups: &Arc<Binding>) -> Scope {
    let mut scope = Scope::new();
    let name = host.name.as_str();
    let mut names: Vec<&str> = host.groups.iter().map(|g| g.as_str()).collect();
    names.sort_unstable();
    // Ansible connects to a host by its name unless told otherwise; a variable of the inventory's takes its place.
    scope.set("ansible_host", Binding::fixed(name.into()));
    scope.set("inventory_hostname", Binding::fixed(name.into()));
    scope.set(
        "inventory_hostname_short",
        Binding::fixed(name.split('.').next().unwrap_or(name).into()),
    );
    scope.set("inventory_file", Binding::fixed(host.file.as_str().into()));
    scope.set("inventory_dir", Binding::fixed(absolute(host.dir()).into()));
    scope.set("group_names", Binding::fixed(names.into()));
    scope.set_shared("groups", groups.clone());
    scope
}

/// Ansible's `inventory_dir` is absolute: a path made from it means the same from every folder.
fn absolute(path: &camino::Utf8Path) -> String {
    camino::absolute_utf8(path).map_or_else(|_| path.to_string(), |path| path.into_string())
}
