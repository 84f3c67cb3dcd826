//! `quorate hosts trust`: the keys of all hosts in one table, and known_hosts written once somebody has said yes.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _};

use color_eyre::eyre::Result;
use futures::StreamExt as _;
use indexmap::IndexMap;
use serde_json::json;

use super::WrongInput;
use super::access;
use super::ask::{agrees, can_ask};
use super::choice::limited;
use super::project;
use super::request::Request;
use super::run::{print, warn, wrong};
use super::views::{is_json, line};
use crate::cluster::spec;
use crate::event::{ExitCode, VERSION};
use crate::model::{Diagnostic, Diagnostics, HostName};
use crate::report::{self, HostKeyEntry, KeyRow, KeyStanding, Output};
use crate::transport::ssh::{self, HostKeys, ShownKey, SshConnector, Standing};
use crate::transport::{Target, TransportError};

/// A host with what it showed.
type Seen = (HostName, Result<HostKeys, TransportError>);

pub(super) async fn trust(request: &Request) -> Result<ExitCode> {
    if request.shard.is_some() {
        let error = Diagnostic::error("`hosts trust` looks at all hosts at once: it has no shards");
        return Err(wrong(error.help("leave `--shard` out; `--limit` chooses hosts")).into());
    }
    let (inventory, mut found) = project::inventory(request);
    let (connections, wrong_ones) = spec::connections(&inventory);
    found.extend(wrong_ones);
    if found.has_errors() {
        return Err(WrongInput(found).into());
    }
    warn(request, &found);
    let masks = inventory.masks();
    let ours = limited(request, &inventory, connections.keys())?;
    if request.known_hosts.is_none() && std::env::var_os("HOME").is_none_or(|home| home.is_empty())
    {
        let error = Diagnostic::error("there is no known_hosts file to write to: HOME is not set");
        return Err(wrong(error.help("name one with `--known-hosts FILE`")).into());
    }
    let chosen: Vec<_> = connections
        .iter()
        .filter(|(name, _)| ours.contains(name))
        .collect();
    let reach = access::reach(request, &chosen).await?;
    let targets = reach.targets;
    let seen = look(SshConnector::new(reach.options), &targets, request.forks).await;

    let entries: Vec<HostKeyEntry> = seen.iter().map(|s| entry(s, &targets)).collect();
    let shown = if is_json(request) {
        report::host_keys_lines(&entries)
    } else {
        report::host_keys(&entries, columns(request))
    };
    print(request, &masks.hide(&shown))?;

    let hosts: Vec<HostKeys> = seen.iter().filter_map(|(_, s)| s.clone().ok()).collect();
    let exit = seen
        .iter()
        .map(|(_, seen)| verdict(seen))
        .fold(ExitCode::Done, ExitCode::and);
    let new: usize = hosts.iter().map(|host| host.new_keys().count()).sum();
    let from = hosts
        .iter()
        .filter(|host| host.new_keys().next().is_some())
        .count();
    let files = files(&hosts);
    let file = files.join(", ");
    let what = format!("{} of {}", count(new, "new key"), count(from, "host"));
    let agreed = new > 0 && !request.check && (request.yes || consents(request, &what, &file));
    let (written, exit) = if agreed {
        // A few lines: not worth a thread of its own.
        let trusted = ssh::trust(&hosts)?;
        for host in &trusted.left_out {
            let warning = Diagnostic::warning(format!(
                "nothing was written of `{host}`: hosts have shown different keys under that name, or what {file} says of it has changed meanwhile"
            ));
            warn(request, &Diagnostics(vec![warning]));
        }
        let exit = match trusted.left_out.is_empty() {
            true => exit,
            false => exit.and(ExitCode::Refused),
        };
        (trusted.keys, exit)
    } else if new > 0 {
        (0, exit.and(ExitCode::Changes))
    } else {
        (0, exit)
    };
    let end = if is_json(request) {
        line(json!({ "v": VERSION, "known_hosts": files, "new": new, "written": written }))
    } else if agreed {
        format!("\n{} written to {file}\n", count(written, "key"))
    } else if new == 0 {
        "\nnothing to write\n".to_owned()
    } else if can_ask() {
        format!("\n{what}: nothing was written to {file}\n")
    } else {
        format!(
            "\n{what}: nothing was written to {file}. Compare them with the hosts' own, then say --yes\n"
        )
    };
    print(request, &end)?;
    Ok(exit)
}

/// Asks all hosts for their keys; the answers come in the inventory's order.
async fn look(
    connector: SshConnector,
    targets: &IndexMap<HostName, Target>,
    forks: usize,
) -> Vec<Seen> {
    let asked = targets.iter().map(|(name, target)| {
        let connector = connector.clone();
        async move { (name.clone(), connector.host_keys(target).await) }
    });
    futures::stream::iter(asked)
        .buffered(forks.max(1))
        .collect()
        .await
}

/// Returns how many columns there are, where a person reads on a terminal.
fn columns(request: &Request) -> Option<usize> {
    if request.report.output == Output::Plain || !io::stdout().is_terminal() {
        return None;
    }
    terminal_size::terminal_size().map(|(width, _)| usize::from(width.0))
}

/// Asks where the table has been seen on the same terminal.
fn consents(request: &Request, what: &str, file: &str) -> bool {
    if is_json(request) || !io::stdout().is_terminal() {
        return false;
    }
    let compare = "\nThe same fingerprints on the hosts' own consoles?  for k in /etc/ssh/ssh_host_*_key.pub; do ssh-keygen -lf $k; done\n";
    print(request, compare).is_ok() && agrees(request, &format!("Write {what} to {file}?"))
}

/// Returns how the command ends because of this host, whatever is written of others.
fn verdict(seen: &Result<HostKeys, TransportError>) -> ExitCode {
    match seen {
        Ok(host) if host.is_sound() => ExitCode::Done,
        Ok(_) => ExitCode::Refused,
        Err(_) => ExitCode::Unreachable,
    }
}

fn entry((name, seen): &Seen, targets: &IndexMap<HostName, Target>) -> HostKeyEntry {
    let target = targets.get(name);
    let mut address = target.map(Target::endpoint).unwrap_or_default();
    // What is written is written under that name.
    if let Some(alias) = target.and_then(|target| target.access.host_key_name.as_ref()) {
        let _ = write!(address, " as {alias}");
    }
    let mut entry = HostKeyEntry {
        host: name.clone(),
        address,
        keys: Vec::new(),
        problems: Vec::new(),
    };
    match seen {
        Ok(host) => {
            entry.keys = host.keys.iter().map(row).collect();
            entry.problems = objections(host);
            if let Some(reason) = &host.certificate {
                let help = "have it signed anew; until then its keys count by themselves";
                entry.problems.push((reason.clone(), help.into()));
            }
        }
        Err(error) => entry.problems.push((error.to_string(), error.help())),
    }
    entry
}

fn row(key: &ShownKey) -> KeyRow {
    KeyRow {
        kind: key.kind.to_owned(),
        fingerprint: key.fingerprint.clone(),
        standing: match key.standing {
            Standing::New => KeyStanding::New,
            Standing::Known => KeyStanding::Known,
            Standing::Certified => KeyStanding::Certified,
            Standing::Unneeded => KeyStanding::Unneeded,
            Standing::Changed { .. } => KeyStanding::Changed,
            Standing::Revoked { .. } => KeyStanding::Revoked,
        },
    }
}

/// Returns what speaks against a host's keys, each line of known_hosts once, and what to do about it.
fn objections(host: &HostKeys) -> Vec<(String, String)> {
    let mut found: Vec<(&Standing, Vec<&str>)> = Vec::new();
    for key in host.keys.iter().filter(|key| key.standing.contradicts()) {
        match found.iter_mut().find(|(other, _)| **other == key.standing) {
            Some((_, kinds)) => kinds.push(key.kind),
            None => found.push((&key.standing, vec![key.kind])),
        }
    }
    let told = found.into_iter().filter_map(|(standing, kinds)| {
        let (keys, are) = match kinds.as_slice() {
            [_] => ("key", "is"),
            _ => ("keys", "are"),
        };
        let keys = format!("{} {keys}", kinds.join(", "));
        match standing {
            Standing::New | Standing::Known | Standing::Certified | Standing::Unneeded => None,
            Standing::Changed {
                place,
                file,
                algorithm,
            } => Some((
                format!(
                    "its {keys} {are} not the {algorithm} key on record in {place}: it was set up anew, or somebody else answers. No key of it is written"
                ),
                format!(
                    "if it was set up anew, remove the old key and run this again: {}",
                    ssh::removal(host, file)
                ),
            )),
            Standing::Revoked { place } => Some((
                format!("its {keys} {are} revoked by {place}. No key of it is written"),
                "nobody may trust this key again: remove it and make a new one on the host (/etc/ssh/ssh_host_*, `ssh-keygen -A`)".into(),
            )),
        }
    });
    told.collect()
}

/// Returns the files that the hosts' new keys go to; mostly it is one.
fn files(hosts: &[HostKeys]) -> Vec<&str> {
    let mut files: Vec<&str> = Vec::new();
    for file in hosts.iter().filter_map(HostKeys::file) {
        if !files.contains(&file.as_str()) {
            files.push(file.as_str());
        }
    }
    files
}

fn count(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}
