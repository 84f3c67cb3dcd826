//! Scopes of an inventory's hosts, with the magic variables that Ansible gives them.

use std::sync::Arc;

use super::{Binding, Hosts, Scope};
use crate::inventory::{Host, Inventory, Variables};
use crate::model::{Map, Value};

/// Returns the scopes of all hosts over their inventory variables, for `hostvars` and for [`host_scope`].
pub fn host_scopes(inventory: &Inventory) -> Arc<Hosts> {
    host_scopes_over(inventory, &[])
}

/// Returns the scopes of all hosts over their inventory variables, and below those over `defaults`, which are templates
/// like any other value.
pub fn host_scopes_over(inventory: &Inventory, defaults: &[(&str, Value)]) -> Arc<Hosts> {
    let groups = groups(inventory);
    Arc::new(Hosts::new(inventory.hosts.iter().map(|(name, host)| {
        let mut scope = magic(host, &groups);
        for (name, value) in defaults {
            scope.set(*name, Binding::template(value.clone(), None, []));
        }
        bind(&mut scope, &host.vars);
        (name.to_string(), scope)
    })))
}

/// Returns a host's scope over `variables` (the inventory's, or those with a role's layers) with `hostvars`.
pub fn host_scope(inventory: &Inventory, host: &Host, variables: &Variables, hosts: &Arc<Hosts>) -> Scope {
    let mut scope = magic(host, &groups(inventory)).with_hosts(hosts.clone());
    bind(&mut scope, variables);
    scope
}

/// Sets variables of an inventory or a role in a scope.
pub fn bind(scope: &mut Scope, variables: &Variables) {
    for (name, variable) in variables {
        let binding = Binding::template(variable.value.clone(), variable.origin.span.clone(), variable.texts());
        scope.set(name, binding);
    }
}

/// Returns the hosts of every group by its name: the variable `groups`.
fn groups(inventory: &Inventory) -> Value {
    let names = |group: &str| inventory.hosts_of(group).into_iter().map(|h| Value::from(h.as_str())).collect();
    Value::Object(inventory.groups.keys().map(|g| (g.to_string(), Value::Array(names(g.as_str())))).collect::<Map>())
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

fn magic(host: &Host, groups: &Value) -> Scope {
    let mut scope = Scope::new();
    let name = host.name.as_str();
    let mut names: Vec<&str> = host.groups.iter().map(|g| g.as_str()).collect();
    names.sort_unstable();
    // Ansible connects to a host by its name unless told otherwise; a variable of the inventory's takes its place.
    scope.set("ansible_host", Binding::fixed(name.into()));
    scope.set("inventory_hostname", Binding::fixed(name.into()));
    scope.set("inventory_hostname_short", Binding::fixed(name.split('.').next().unwrap_or(name).into()));
    scope.set("inventory_file", Binding::fixed(host.file.as_str().into()));
    scope.set("inventory_dir", Binding::fixed(host.dir().as_str().into()));
    scope.set("group_names", Binding::fixed(names.into()));
    scope.set("groups", Binding::fixed(groups.clone()));
    scope
}
