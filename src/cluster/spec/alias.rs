//! Kubespray's names of variables that mean the same as quorate's.

use std::collections::HashSet;

use super::known::ALIASES;
use crate::inventory::{Inventory, Variable};
use crate::model::{Diagnostic, Diagnostics, Value};

/// Gives each host the variables that have another name by quorate's own too. Where both are set, quorate's counts, and that
/// is told.
pub fn adopt(inventory: &mut Inventory) -> Diagnostics {
    let mut found = Diagnostics::default();
    let mut told: HashSet<String> = HashSet::new();
    for host in inventory.hosts.values_mut() {
        // How a host is reached is read by either name.
        for (alias, name) in ALIASES.iter().filter(|(a, _)| !a.starts_with("ansible_")) {
            let Some(variable) = host.vars.get(*alias) else {
                continue;
            };
            if host.vars.contains_key(*name) {
                let place = variable.origin.span.clone();
                let key = place.as_ref().map_or_else(String::new, ToString::to_string);
                if told.insert(format!("{alias} {key}")) {
                    let message = format!("`{alias}` is not read: `{name}` is set");
                    let mut warning = Diagnostic::warning(message);
                    warning.span = place;
                    found.push(warning.help("they mean the same: keep one of them"));
                }
                continue;
            }
            let adopted = adopted(alias, variable);
            host.vars.insert((*name).to_string(), adopted);
        }
    }
    found
}

fn adopted(alias: &str, variable: &Variable) -> Variable {
    let mut adopted = variable.clone();
    // Older Kubespray's versions have a `v` in front.
    if alias == "kube_version"
        && let Value::String(text) = &variable.value
        && let Some(numbers) = text.strip_prefix('v')
    {
        adopted.value = Value::String(numbers.to_string());
        adopted.node = None;
    }
    adopted
}
