//! How a host is reached.

use std::net::Ipv6Addr;

use camino::Utf8PathBuf;
use indexmap::IndexMap;

use super::read::{self, Findings, Got, Vars};
use crate::inventory::ssh_args::{SshArgs, is_plain_name};
use crate::inventory::{Inventory, Variable};
use crate::model::{Diagnostic, Diagnostics, HostName, Secret, Value};
use crate::template::host_scopes;

/// How SSH reaches a host, from Ansible's connection variables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// `ansible_host`: the name or address; the host's own name unless set.
    pub host: String,
    /// `ansible_port`; `None` is 22.
    pub port: Option<u16>,
    /// `ansible_user`; `None` leaves it to `-u`, and then the user's own name.
    pub user: Option<String>,
    /// `ansible_ssh_private_key_file`.
    pub private_key_file: Option<Utf8PathBuf>,
    /// `ansible_password`.
    pub password: Option<Secret<String>>,
    /// Options of ssh: ansible_ssh_args, ansible_ssh_common_args, ansible_ssh_extra_args.
    pub args: SshArgs,
    /// `ansible_become`; `None` leaves it to `-b`, and then to whether the user is root.
    pub r#become: Option<bool>,
    /// `ansible_become_user`; root alone can do what is to be done.
    pub become_user: String,
    /// `ansible_become_password`.
    pub become_password: Option<Secret<String>>,
}

/// Returns how each host of an inventory is reached, those outside the cluster included, and what is wrong with it.
pub fn connections(inventory: &Inventory) -> (IndexMap<HostName, Connection>, Diagnostics) {
    let names: Vec<&HostName> = inventory.hosts.values().map(|host| &host.name).collect();
    connections_of(inventory, &names)
}

/// Returns how some hosts of an inventory are reached, and what is wrong with it.
pub fn connections_of(
    inventory: &Inventory,
    names: &[&HostName],
) -> (IndexMap<HostName, Connection>, Diagnostics) {
    if names.is_empty() {
        return Default::default();
    }
    let hosts = host_scopes(inventory);
    let mut findings = Findings::default();
    let connections = names
        .iter()
        .filter_map(|name| {
            let host = inventory.hosts.get(name.as_str())?;
            let scope = hosts.get(name.as_str())?.clone().with_hosts(hosts.clone());
            let vars = Vars { host, scope };
            let (connection, is_reached) = read_connection(&vars, &mut findings);
            is_reached.then(|| (host.name.clone(), connection))
        })
        .collect();
    (connections, findings.into_diagnostics())
}

/// Returns the value of a connection variable under its own name or the older one.
fn either(
    vars: &Vars<'_>,
    name: &str,
    aliases: &[&str],
    findings: &mut Findings,
) -> Option<Got<Value>> {
    std::iter::once(&name)
        .chain(aliases)
        .find_map(|n| vars.get(n, findings))
}

/// Returns how a host is reached, and whether `ansible_host` could be read: else the host's name stands in for it.
pub(super) fn read_connection(vars: &Vars<'_>, findings: &mut Findings) -> (Connection, bool) {
    if let Some(got) = vars.get("ansible_connection", findings) {
        // `smart` is an old word for ssh.
        if !matches!(
            got.value.as_str(),
            Some("ssh" | "smart" | "paramiko" | "paramiko_ssh")
        ) {
            let error = Diagnostic::error(format!(
                "hosts are reached by SSH alone, not by {}",
                read::describe(&got.value)
            ));
            findings.push(error.at(got.span).help("leave `ansible_connection` out"));
        }
    }
    if let Some(got) = vars.get("ansible_become_method", findings)
        && got.value.as_str() != Some("sudo")
    {
        let how = match got.value.as_str() {
            Some(text) => format!("`{text}`"),
            None => read::describe(&got.value),
        };
        let error = Diagnostic::error(format!("commands become root by sudo alone, not by {how}"));
        findings.push(error.at(got.span).help("leave `ansible_become_method` out"));
    }
    let host = read_host(vars, findings);
    let port = either(vars, "ansible_port", &["ansible_ssh_port"], findings)
        .and_then(|got| read::port("ansible_port", got, findings))
        .map(|got| got.value);
    let text = |name: &str, aliases: &[&str], findings: &mut Findings| {
        either(vars, name, aliases, findings).and_then(|got| read::text(name, got, findings))
    };
    let user = text("ansible_user", &["ansible_ssh_user"], findings);
    if let Some(got) = user.as_ref().filter(|got| got.value.trim().is_empty()) {
        let error = Diagnostic::error("`ansible_user` is empty").at(got.span.clone());
        findings.push(error.help("leave it out for your own name, or the one that `-u` says"));
    }
    let user = user.map(|got| got.value);
    let key = text(
        "ansible_ssh_private_key_file",
        &["ansible_private_key_file"],
        findings,
    )
    .map(|got| got.value.into());
    let ssh_password = text(
        "ansible_password",
        &["ansible_ssh_pass", "ansible_ssh_password"],
        findings,
    );
    let password = text(
        "ansible_become_password",
        &["ansible_become_pass", "ansible_sudo_pass"],
        findings,
    );
    let args = read_args(vars, findings);
    let r#become = vars
        .get("ansible_become", findings)
        .and_then(|got| read::boolean("ansible_become", got, findings));
    if let Some(got) = text("ansible_become_user", &[], findings)
        && got.value != "root"
    {
        let message = format!(
            "`ansible_become_user` can only be root, not `{}`",
            got.value
        );
        let error = Diagnostic::error(message).at(got.span);
        findings
            .push(error.help("installing packages and writing to /etc takes root: leave it out"));
    }
    let is_reached = host.is_some();
    let connection = Connection {
        host: host.unwrap_or_else(|| vars.host.name.to_string()),
        port,
        user,
        private_key_file: key,
        password: ssh_password.map(|got| Secret::new(got.value)),
        args,
        r#become: r#become.map(|got| got.value),
        become_user: "root".to_owned(),
        become_password: password.map(|got| Secret::new(got.value)),
    };
    (connection, is_reached)
}

/// Returns the options of ssh, in the order in which Ansible puts them on ssh's command line: the first counts.
fn read_args(vars: &Vars<'_>, findings: &mut Findings) -> SshArgs {
    let mut all = SshArgs::default();
    for name in [
        "ansible_ssh_args",
        "ansible_ssh_common_args",
        "ansible_ssh_extra_args",
    ] {
        let got = vars.get(name, findings);
        let Some(got) = got.and_then(|got| read::text(name, got, findings)) else {
            continue;
        };
        let (args, errors) = SshArgs::parse(&got.value);
        for error in errors {
            let diagnostic = Diagnostic::error(format!("`{name}`: {}", error.message));
            findings.push(diagnostic.at(got.span.clone()).help(error.help));
        }
        all = all.or(args);
    }
    all
}

/// Returns `ansible_host`, or the host's own name where it is not set; `None` if it cannot be read, which was told.
fn read_host(vars: &Vars<'_>, findings: &mut Findings) -> Option<String> {
    let Some(got) = either(vars, "ansible_host", &["ansible_ssh_host"], findings) else {
        // Set, but unreadable: told already.
        let is_set = vars
            .variable("ansible_host")
            .is_some_and(|v: &Variable| !v.value.is_null());
        return (!is_set).then(|| vars.host.name.to_string());
    };
    let span = got.span.clone();
    let host = read::text("ansible_host", got, findings)?.value;
    let bare = host
        .strip_prefix('[')
        .and_then(|h| h.strip_suffix(']'))
        .unwrap_or(&host);
    // Only an IPv6 address has colons, and perhaps a zone behind a `%`.
    let is_odd = match bare.split_once('%').unwrap_or((bare, "")) {
        (address, _) if bare.contains([':', '%']) => address.parse::<Ipv6Addr>().is_err(),
        (name, _) => !name.contains(char::is_alphanumeric),
    };
    if !is_plain_name(bare) || bare.contains(['[', ']']) || is_odd {
        let message = format!("`ansible_host` is a name or an address, not `{host}`");
        findings.push(Diagnostic::error(message).at(span));
        return None;
    }
    Some(bare.to_owned())
}
