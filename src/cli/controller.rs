//! What a run needs of the controller itself: private keys, known_hosts, folders of files, and tags that exist.

use std::collections::BTreeSet;
use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};

use super::request::{HostKey, Request};
use crate::cluster::spec::{Connection, Outline};
use crate::inventory::Inventory;
use crate::model::{Diagnostic, Diagnostics, HostName, Span, nearest};
use crate::role::Role;
use crate::transport::ssh;

/// Tags that stand for others, as in Ansible.
const SPECIAL_TAGS: [&str; 5] = ["all", "always", "never", "tagged", "untagged"];

/// Adds what is wrong with the files that the hosts' variables and the command line name.
pub(super) fn files(
    request: &Request,
    inventory: &Inventory,
    Outline { spec, stand_ins }: &Outline,
    folder: &Utf8Path,
    found: &mut Diagnostics,
) {
    let hosts = spec.hosts.iter();
    let connections = hosts.map(|(name, host)| (name, &host.connection));
    keys(inventory, connections, found);
    if let Some(path) = &request.known_hosts
        && request.host_key == HostKey::Strict
        && !path.is_file()
    {
        let error = Diagnostic::error(format!("there is no known_hosts file {path}"));
        found.push(error.help(
            "`--known-hosts` names a file with the hosts' keys; `quorate hosts trust` makes it",
        ));
    }
    if let Some(path) = &spec.kubernetes_files
        && !stand_ins.contains("kubernetes_files")
        && !folder.join(path).is_dir()
    {
        let at = place(inventory, "kubernetes_files", "");
        let error = Diagnostic::error(format!(
            "`kubernetes_files` names the folder {path}, which is not there"
        ));
        found.push(error.at(at).help(format!(
            "it holds bin/ and images/; a relative path begins in the folder {folder}"
        )));
    }
}

/// Returns the place of a cluster's variable, or of the part of it that a JSON pointer names.
pub(super) fn place(inventory: &Inventory, name: &str, pointer: &str) -> Option<Span> {
    let mut hosts = inventory.hosts.values();
    hosts.find_map(|host| host.vars.get(name)?.locate(pointer))
}

/// Adds what is wrong with the private keys that hosts are reached by.
pub(super) fn keys<'a>(
    inventory: &Inventory,
    connections: impl IntoIterator<Item = (&'a HostName, &'a Connection)>,
    found: &mut Diagnostics,
) {
    let mut seen = BTreeSet::new();
    for (name, connection) in connections {
        let Some(path) = &connection.private_key_file else {
            continue;
        };
        let path = home(path);
        if !seen.insert(path.clone()) {
            continue;
        }
        let Some(trouble) = ssh::key_trouble(&path) else {
            continue;
        };
        let vars = inventory.hosts.get(name).map(|host| &host.vars);
        let at = vars.and_then(|vars| {
            ["ansible_ssh_private_key_file", "ansible_private_key_file"]
                .into_iter()
                .find_map(|name| vars.get(name)?.origin.span.clone())
        });
        let error = Diagnostic::error(format!("`ansible_ssh_private_key_file`: {trouble}"));
        found.push(error.at(at).help(
            "a relative path begins where quorate is called; without a key file those of ~/.ssh and the agent are tried",
        ));
    }
}

/// Returns the path with `~/` replaced by the user's home, as ssh does.
pub(super) fn home(path: &Utf8Path) -> Utf8PathBuf {
    let home = std::env::var("HOME").unwrap_or_default();
    match path.strip_prefix("~") {
        Ok(rest) if !home.is_empty() => Utf8PathBuf::from(home).join(rest),
        _ => path.to_owned(),
    }
}

/// Adds the tags that no task has: nothing, or everything, would be done by mistake.
pub(super) fn tags<'r>(
    request: &Request,
    roles: impl Iterator<Item = &'r Arc<Role>>,
    found: &mut Diagnostics,
) {
    let mut known: BTreeSet<&str> = roles.flat_map(|role| role.tags()).collect();
    known.extend(SPECIAL_TAGS);
    for (flag, tags) in [
        ("--tags", &request.tags),
        ("--skip-tags", &request.skip_tags),
    ] {
        for tag in tags.iter().filter(|tag| !known.contains(tag.as_str())) {
            let error = Diagnostic::error(format!("`{flag}`: no task has the tag `{tag}`"));
            let help = match nearest(tag, known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => {
                    let names: Vec<&str> = known.iter().copied().collect();
                    format!("the tags are {}", names.join(", "))
                }
            };
            found.push(error.help(help));
        }
    }
}
