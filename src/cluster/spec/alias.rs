//! Kubespray's names of variables that mean the same as quorate's.

use std::collections::HashSet;

use super::known::{ALIASES, NOT_READ, stands_for};
use crate::inventory::{Host, Inventory, Variable};
use crate::model::{Diagnostic, Diagnostics, Value};

/// How variables begin that say how a host is reached: these are read by either name.
const CONNECTION: &str = "ansible_";

/// Gives each host the variables that have another name by quorate's own too. Where both are set, quorate's counts, and that
/// is told.
pub fn adopt(inventory: &mut Inventory) -> Diagnostics {
    let mut found = Diagnostics::default();
    let mut told: HashSet<String> = HashSet::new();
    for host in inventory.hosts.values_mut() {
        for (alias, name) in ALIASES.iter().filter(|(a, _)| !a.starts_with(CONNECTION)) {
            let Some(variable) = host.vars.get(*alias) else {
                continue;
            };
            if let Some(why) = not_read(host, alias) {
                let place = variable.origin.span.clone();
                let key = place.as_ref().map_or_else(String::new, ToString::to_string);
                if told.insert(format!("{alias} {key}")) {
                    let message = format!("`{alias}` is not read: {why}");
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

/// Returns why a variable that the host has is not read, as part of a sentence: it is one of another tool that has no place here, or
/// stands beside quorate's own name for the same. `None` where it is read, or nothing knows it. For an inventory before [`adopt`].
pub fn not_read(host: &Host, name: &str) -> Option<String> {
    if let Some((_, instead)) = NOT_READ.iter().find(|(other, _)| *other == name) {
        return Some((*instead).to_owned());
    }
    let own = stands_for(name).filter(|_| !name.starts_with(CONNECTION))?;
    host.vars
        .contains_key(own)
        .then(|| format!("`{own}` is set"))
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
