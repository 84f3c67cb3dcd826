//! What a role's templates see beside the inventory's variables: facts, and the role's own variables.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use serde_json::json;

use super::library::Role;
use super::spec;
use crate::host::System;
use crate::inventory::{Variable, Variables};
use crate::model::{Map, Value};
use crate::template::{Binding, Layer, Scope};

/// Returns the value of `facts`.
pub fn fact_values(system: &System) -> Value {
    let addresses: Vec<Value> = system
        .addresses
        .iter()
        .map(|(interface, address, prefix)| json!({ "interface": interface, "address": address.to_string(), "prefix": prefix }))
        .collect();
    json!({
        "os": system.os,
        "os_like": system.os_like,
        "os_version": system.os_version,
        "machine": system.machine,
        "architecture": architecture(&system.machine),
        "kernel": system.kernel,
        "hostname": system.hostname,
        "machine_id": system.machine_id,
        "addresses": addresses,
        "memory_mib": system.memory_mib,
        "processors": system.processors,
        "free_mib": system.free_mib,
        "package_manager": system.package_manager,
        "systemd": system.systemd,
    })
}

/// Returns Go's name for a machine, which downloads of Kubernetes carry (`runtime.GOARCH`).
fn architecture(machine: &str) -> &str {
    match machine {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// Returns a host that stands for any, so that everything can be rendered before one is asked.
pub(super) fn placeholder() -> System {
    System {
        user: Some(0),
        os: "linux".into(),
        os_like: String::new(),
        os_version: "0".into(),
        machine: "x86_64".into(),
        kernel: "0".into(),
        hostname: "host".into(),
        machine_id: "0".repeat(32),
        product_uuid: String::new(),
        addresses: Vec::new(),
        links: Vec::new(),
        down: Vec::new(),
        memory_mib: 4096,
        processors: 2,
        free_mib: 65536,
        clock: 0,
        package_manager: "apt".into(),
        systemd: true,
    }
}

/// Sets `facts`, and `interface` unless the inventory has it. `system` is `None` before the host was asked.
pub(super) fn with_facts(scope: &Scope, system: Option<&System>) -> Scope {
    let mut scope = scope.clone();
    let interface = match system {
        None => Some("eth0".to_string()),
        Some(system) => interface(&scope, system),
    };
    let values = match system {
        None => fact_values(&placeholder()),
        Some(system) => fact_values(system),
    };
    scope.set("facts", Binding::fixed(values));
    if let Some(interface) = interface.filter(|_| !scope.contains("interface")) {
        scope.set("interface", Binding::fixed(Value::String(interface)));
    }
    scope
}

/// Returns the interface that carries the node's address: `ip`, else `ansible_host`.
fn interface(scope: &Scope, system: &System) -> Option<String> {
    ["ip", "ansible_host"].iter().find_map(|name| {
        let address: IpAddr = scope.get(name)?.ok()?.as_str()?.parse().ok()?;
        system
            .addresses
            .iter()
            .find(|(_, a, _)| *a == address)
            .map(|(i, _, _)| i.clone())
    })
}

/// A role's variables as all hosts' scopes have them.
#[derive(Debug, Clone)]
pub(super) struct Layers {
    defaults: Layer,
    vars: Layer,
}

impl Layers {
    /// Returns the variables of a role.
    pub(super) fn of(defaults: &Variables, vars: &Variables) -> Self {
        let bound = |(name, variable): (&String, &Variable)| (name.clone(), binding(variable));
        // What hosts see of each other is no role's to say.
        let defaults = defaults.iter().filter(|(name, _)| *name != "hostvars");
        Self {
            defaults: defaults.map(bound).collect(),
            vars: vars.iter().map(bound).collect(),
        }
    }
}

/// Returns the scope with a role's variables: defaults below the inventory's, vars above them and below `-e`, whose names are
/// `fixed`. Text that a built-in role's spec, or that of a copy of it, has a whole number for, or true and false, is that: `-e` and INI files know text alone.
pub(super) fn with_role(scope: &Scope, role: &Role, fixed: &BTreeSet<String>) -> Scope {
    let mut inner = scope.clone();
    let layers = role.layers();
    inner.push_below(&layers.defaults);
    if role.vars.keys().any(|name| fixed.contains(name)) {
        set(&mut inner, &role.vars, fixed);
    } else {
        inner.push_over(&layers.vars);
    }
    // As in Ansible, any other role sees what was written: `no` is a word of sshd_config, and `007` one of a name.
    if role.stands_for_a_builtin() {
        for (name, convert) in spec::typed(&role.arguments) {
            inner.convert(name, convert);
        }
    }
    inner
}

/// Values that tasks leave for those behind them, by name.
pub(super) type Left = BTreeMap<String, Arc<Binding>>;

/// Returns a value that is what it is, for any number of scopes.
pub(super) fn fixed(value: Value) -> Arc<Binding> {
    Arc::new(Binding::fixed(value))
}

/// Returns what a task sets for those behind it.
pub(super) fn left(sets: Option<&Map>) -> Left {
    let sets = sets.into_iter().flatten();
    sets.map(|(name, value)| (name.clone(), fixed(value.clone())))
        .collect()
}

/// Sets variables that win over the inventory's, but not over `-e`.
pub(super) fn set(scope: &mut Scope, variables: &Variables, fixed: &BTreeSet<String>) {
    for (name, variable) in variables {
        if !fixed.contains(name) {
            scope.set(name, binding(variable));
        }
    }
}

fn binding(variable: &Variable) -> Binding {
    Binding::template(
        variable.value.clone(),
        variable.origin.span.clone(),
        variable.texts(),
    )
}
