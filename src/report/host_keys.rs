//! The keys of all hosts in one table, to be compared before any of them is trusted.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anstyle::Style;
use serde::Serialize;
use serde_json::json;

use super::text::{BOLD, DIM, GREEN, RED, YELLOW, names, paint};
use crate::event::{VERSION, printable};
use crate::model::HostName;

/// How many hosts a note names.
const NAMED: usize = 6;

/// What known_hosts says of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyStanding {
    /// Nothing.
    New,
    /// It is there.
    Known,
    /// It is not there and need not be: the host has a valid certificate for it.
    Certified,
    /// It is not there and need not be: another of the host's keys is certified.
    Unneeded,
    /// Another one is there.
    Changed,
    /// It is there as revoked.
    Revoked,
}

/// One key of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRow {
    /// `ed25519`, `ecdsa` or `rsa`.
    pub kind: String,
    /// `SHA256:...`.
    pub fingerprint: String,
    /// What known_hosts says now.
    pub standing: KeyStanding,
}

/// One host, with its keys or without.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostKeyEntry {
    /// Its name in the inventory.
    pub host: HostName,
    /// `address:port`.
    pub address: String,
    /// What it showed; empty where it was not reached.
    pub keys: Vec<KeyRow>,
    /// What is wrong with it, each with what to do.
    pub problems: Vec<(String, String)>,
}

/// Keys that several hosts show, as those do that were cloned from one image.
struct Shared {
    hosts: Vec<HostName>,
    kinds: Vec<String>,
}

/// Returns a line for each key, styled, and below the table what is wrong. Where `width` columns are too few for it, each
/// host has a line of its own above its keys.
pub fn host_keys(entries: &[HostKeyEntry], width: Option<usize>) -> String {
    let twice = shown_twice(entries);
    let mut rows = Vec::new();
    for (n, entry) in entries.iter().enumerate() {
        let host = printable(entry.host.as_str(), false);
        let address = printable(&entry.address, false);
        let row = |kind: &str, fingerprint: &str, state: String, style: Style| Row {
            of: n,
            cells: [
                host.clone(),
                address.clone(),
                kind.to_owned(),
                fingerprint.to_owned(),
            ],
            state,
            style,
        };
        if entry.keys.is_empty() {
            rows.push(row("-", "-", "no keys seen".into(), RED));
        }
        for key in &entry.keys {
            let (word, style) = word(key.standing);
            let shared = twice.contains_key(key.fingerprint.as_str());
            let state = if shared {
                format!("{word} (shared)")
            } else {
                word.to_owned()
            };
            rows.push(row(&key.kind, &key.fingerprint, state, style));
        }
    }
    let mut out = table(&rows, width);
    let mut note = |text: &str, help: &str| {
        let text = printable(text, false);
        let _ = write!(
            out,
            "\n{}\n  {}\n",
            paint(RED, text),
            printable(help, false)
        );
    };
    for entry in entries {
        for (problem, help) in &entry.problems {
            note(&format!("{}: {problem}", entry.host), help);
        }
    }
    for Shared { hosts, kinds } in shared(entries, &twice) {
        let text = format!(
            "{} show the same {} key{}: were they cloned from one image? Whoever has one of them can pose as the others",
            names(&hosts, NAMED),
            kinds.join(", "),
            if kinds.len() == 1 { "" } else { "s" },
        );
        note(
            &text,
            "new keys on each of them: rm /etc/ssh/ssh_host_*_key* && ssh-keygen -A && systemctl restart ssh; then run this again",
        );
    }
    out
}

struct Row {
    /// The entry's number.
    of: usize,
    cells: [String; 4],
    state: String,
    style: Style,
}

fn table(rows: &[Row], width: Option<usize>) -> String {
    const HEAD: [&str; 4] = ["HOST", "ADDRESS", "TYPE", "FINGERPRINT"];
    const STATE: &str = "KNOWN_HOSTS";
    let widest = |column: usize| {
        let cells = rows.iter().map(|row| row.cells[column].chars().count());
        cells.chain([HEAD[column].len()]).max().unwrap_or(0)
    };
    let widths: [usize; 4] = std::array::from_fn(widest);
    let states = rows.iter().map(|row| row.state.len());
    let state = states.chain([STATE.len()]).max().unwrap_or(0);
    let whole = widths.iter().map(|width| width + 2).sum::<usize>() + state;
    let line = |cells: &[&str], widths: &[usize]| {
        let mut line = String::new();
        for (cell, &width) in cells.iter().zip(widths) {
            let _ = write!(line, "{cell:<width$}  ");
        }
        line
    };
    let mut out = String::new();
    if width.is_none_or(|width| whole <= width) {
        let _ = writeln!(out, "{}", paint(DIM, line(&HEAD, &widths) + STATE));
        for row in rows {
            let cells = line(&row.cells.each_ref().map(String::as_str), &widths);
            let _ = writeln!(out, "{cells}{}", paint(row.style, &row.state));
        }
        return out;
    }
    let mut last = None;
    for row in rows {
        let [host, address, kind, fingerprint] = row.cells.each_ref().map(String::as_str);
        if last != Some(row.of) {
            let _ = writeln!(out, "{}  {address}", paint(BOLD, host));
            last = Some(row.of);
        }
        let cells = line(&[kind, fingerprint], &widths[2..]);
        let _ = writeln!(out, "  {cells}{}", paint(row.style, &row.state));
    }
    out
}

fn word(standing: KeyStanding) -> (&'static str, Style) {
    match standing {
        KeyStanding::New => ("new", YELLOW),
        KeyStanding::Known => ("known", GREEN),
        KeyStanding::Certified => ("certified", GREEN),
        KeyStanding::Unneeded => ("not needed", GREEN),
        KeyStanding::Changed => ("CHANGED", RED),
        KeyStanding::Revoked => ("REVOKED", RED),
    }
}

/// Returns the fingerprints that hosts at different addresses show, with their type and the hosts.
fn shown_twice(entries: &[HostKeyEntry]) -> BTreeMap<&str, (&str, Vec<&HostKeyEntry>)> {
    let mut by_key: BTreeMap<&str, (&str, Vec<&HostKeyEntry>)> = BTreeMap::new();
    for entry in entries {
        for key in &entry.keys {
            let (_, hosts) = by_key
                .entry(&key.fingerprint)
                .or_insert_with(|| (&key.kind, Vec::new()));
            // One machine may stand in the inventory under two names.
            if hosts.iter().all(|other| other.address != entry.address) {
                hosts.push(entry);
            }
        }
    }
    by_key.retain(|_, (_, hosts)| hosts.len() > 1);
    by_key
}

/// Returns them by hosts: a clone has all its keys in common with the others.
fn shared(
    entries: &[HostKeyEntry],
    twice: &BTreeMap<&str, (&str, Vec<&HostKeyEntry>)>,
) -> Vec<Shared> {
    let mut all: Vec<Shared> = Vec::new();
    for key in entries.iter().flat_map(|entry| &entry.keys) {
        let Some((kind, hosts)) = twice.get(key.fingerprint.as_str()) else {
            continue;
        };
        let hosts: Vec<HostName> = hosts.iter().map(|entry| entry.host.clone()).collect();
        let kind = (*kind).to_owned();
        match all.iter_mut().find(|shared| shared.hosts == hosts) {
            Some(shared) if shared.kinds.contains(&kind) => {}
            Some(shared) => shared.kinds.push(kind),
            None => all.push(Shared {
                hosts,
                kinds: vec![kind],
            }),
        }
    }
    all
}

/// Returns a line of JSON a host.
pub fn host_keys_lines(entries: &[HostKeyEntry]) -> String {
    let twice = shown_twice(entries);
    let mut out = String::new();
    for entry in entries {
        let keys = entry.keys.iter().map(|key| {
            let others = twice.get(key.fingerprint.as_str()).map(|(_, hosts)| {
                let others = hosts.iter().filter(|other| other.address != entry.address);
                others.map(|other| other.host.as_str()).collect::<Vec<_>>()
            });
            json!({
                "type": key.kind, "fingerprint": key.fingerprint, "known_hosts": key.standing,
                "shared_with": others.unwrap_or_default(),
            })
        });
        let problems = entry.problems.iter();
        let problems = problems.map(|(message, help)| json!({ "message": message, "help": help }));
        let line = json!({
            "v": VERSION, "host": entry.host.as_str(), "address": entry.address,
            "keys": keys.collect::<Vec<_>>(), "problems": problems.collect::<Vec<_>>(),
        });
        let _ = writeln!(out, "{line}");
    }
    out
}
