//! Names that nothing knows.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use super::build::{CLUSTER, CONTROL_PLANE, ETCD, LOAD_BALANCER, WORKER};
use super::known::{ALIASES, HARMLESS, KNOWN, NOT_READ};
use super::read::Findings;
use super::variables::ROLE_NAMES;
use crate::inventory::{Inventory, Level};
use crate::model::{Diagnostic, Severity, nearest};
use crate::template::{MAGIC, names_in_value};

/// Tells of variables that nothing knows and nothing uses: an error if the name is nearly a known one, since the known
/// one was then meant and is not set; else as grave as `unused` says, and not told of where it is `None`.
pub(super) fn variables(
    inventory: &Inventory,
    used: &BTreeSet<String>,
    unused: Option<Severity>,
    findings: &mut Findings,
) {
    let mut uses: HashSet<String> = used.iter().cloned().collect();
    // A group's variable has one node for all hosts: looking at it once is enough.
    let mut seen: HashSet<usize> = HashSet::new();
    for variable in inventory.hosts.values().flat_map(|h| h.vars.values()) {
        if variable
            .node
            .as_ref()
            .is_none_or(|n| seen.insert(Arc::as_ptr(n).addr()))
        {
            uses.extend(names_in_value(&variable.value));
        }
    }
    let known: HashSet<&str> = KNOWN
        .iter()
        .map(|v| v.name)
        .chain(ALIASES.iter().map(|a| a.0))
        .chain(HARMLESS.iter().copied())
        .chain(MAGIC.iter().copied())
        .collect();
    let mut told: HashSet<(String, String)> = HashSet::new();
    for host in inventory.hosts.values() {
        for (name, variable) in &host.vars {
            let at = variable
                .name_span
                .clone()
                .or_else(|| variable.origin.span.clone());
            if !told.insert((
                name.clone(),
                at.as_ref().map_or_else(String::new, ToString::to_string),
            )) {
                continue;
            }
            if let Some((_, help)) = NOT_READ.iter().find(|(n, _)| n == name) {
                findings.push(
                    Diagnostic::warning(format!("`{name}` is not read"))
                        .at(at)
                        .help(*help),
                );
                continue;
            }
            if ROLE_NAMES.contains(&name.as_str()) {
                let error = Diagnostic::error(format!(
                    "`{name}` cannot be set: it follows from the rest of the inventory"
                ));
                findings.push(error.at(at).help("give your own variable another name"));
                continue;
            }
            // `ansible_host` alone is both: there unless it is set.
            if MAGIC.contains(&name.as_str()) && name != "ansible_host" {
                let error = Diagnostic::error(format!(
                    "`{name}` cannot be set: it is what Ansible calls a magic variable"
                ));
                findings.push(error.at(at).help("give your own variable another name"));
                continue;
            }
            if known.contains(name.as_str()) || uses.contains(name) {
                continue;
            }
            let near = nearest(name, KNOWN.iter().map(|v| v.name));
            let severity = near.map(|_| Severity::Error).or(unused);
            let Some(severity) = severity else { continue };
            let message = format!("nothing knows the variable `{name}`, and nothing uses it");
            let finding = match severity {
                Severity::Error => Diagnostic::error(message),
                Severity::Warning => Diagnostic::warning(message),
            };
            findings.push(match near {
                Some(near) => finding.at(at).help(format!("did you mean `{near}`?")),
                None if variable.origin.level == Level::Extra => {
                    finding.at(at).help("look for a slip of the pen")
                }
                None => finding.at(at).help("remove it, or use it in a role"),
            });
        }
    }
}

/// Names that other tools and older documents have for quorate's groups.
const OTHER_NAMES: &[(&str, &str)] = &[
    ("kube-master", CONTROL_PLANE),
    ("kube_master", CONTROL_PLANE),
    ("kube-control-plane", CONTROL_PLANE),
    ("kube_controlplane", CONTROL_PLANE),
    ("control_plane", CONTROL_PLANE),
    ("control-plane", CONTROL_PLANE),
    ("controlplane", CONTROL_PLANE),
    ("controllers", CONTROL_PLANE),
    ("master", CONTROL_PLANE),
    ("masters", CONTROL_PLANE),
    ("kube-node", WORKER),
    ("kube_worker", WORKER),
    ("kube-worker", WORKER),
    ("node", WORKER),
    ("nodes", WORKER),
    ("worker", WORKER),
    ("workers", WORKER),
    ("k8s-cluster", CLUSTER),
    ("load-balancer", LOAD_BALANCER),
    ("loadbalancer", LOAD_BALANCER),
    ("load_balancers", LOAD_BALANCER),
    ("lb", LOAD_BALANCER),
    ("haproxy", LOAD_BALANCER),
];

/// Tells of groups whose names are nearly those that mean something. A group of any other name is the user's own.
pub(super) fn groups(inventory: &Inventory, findings: &mut Findings) {
    let known = [CONTROL_PLANE, WORKER, ETCD, LOAD_BALANCER, CLUSTER];
    for (name, group) in &inventory.groups {
        let name = name.as_str();
        if known.contains(&name) {
            continue;
        }
        let meant = OTHER_NAMES
            .iter()
            .find(|(other, _)| *other == name)
            .map(|(_, meant)| *meant)
            .or_else(|| nearest(name, known));
        // A group below or above the one that is meant is a finer or coarser one of the user's own.
        let related = |meant: &str| {
            inventory
                .descendants(name)
                .iter()
                .any(|g| g.name.as_str() == meant)
                || inventory
                    .descendants(meant)
                    .iter()
                    .any(|g| g.name.as_str() == name)
        };
        if let Some(meant) = meant.filter(|m| !related(m)) {
            let warning =
                Diagnostic::warning(format!("the group `{name}` means nothing to quorate"))
                    .at(group.span.clone());
            findings.push(warning.help(format!("did you mean `{meant}`?")));
        }
    }
}
