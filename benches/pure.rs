//! What a run computes before and between its connections, on its own: `cargo bench`.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a measurement of made-up input that should fail aloud"
)]

use std::fmt::Write as _;
use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};
use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use quorate::host::{Fact, Facts, Observed, probe};
use quorate::inventory::{self, Variables};
use quorate::model::Sha256;
use quorate::role::{Disk, HostRoles, Library, Registered};
use quorate::template::{self, Binding, Scope};
use serde_json::json;

fn main() {
    divan::main();
}

const NONCE: &str = "N0NCE";

/// Returns a folder with an inventory of so many hosts, as fleets have them: racks as groups, variables at each level.
fn inventory_of(hosts: usize) -> (tempfile::TempDir, Utf8PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = Utf8PathBuf::try_from(folder.path().join("hosts.yml")).unwrap();
    let mut text = String::from(
        "all:\n  vars: { ntp: [a.example, b.example], domain: example }\n  children:\n",
    );
    for rack in 0..hosts.div_ceil(40) {
        let _ = writeln!(
            text,
            "    rack{rack}:\n      vars: {{ rack: {rack}, gateway: \"10.{}.{}.1\" }}\n      hosts:",
            rack / 256,
            rack % 256
        );
        for host in (rack * 40)..((rack + 1) * 40).min(hosts) {
            let _ = writeln!(
                text,
                "        host{host:05}: {{ ansible_host: \"10.{}.{}.{}\", serial: \"S{host}\", fqdn: \"{{{{ inventory_hostname }}}}.{{{{ domain }}}}\" }}",
                rack / 256,
                rack % 256,
                2 + host % 40
            );
        }
    }
    std::fs::write(&path, text).unwrap();
    (folder, path)
}

/// An inventory read, merged, and each host's scope made.
#[divan::bench(args = [100, 10_000], sample_count = 10)]
fn inventory(bencher: Bencher, hosts: usize) {
    let (_folder, path) = inventory_of(hosts);
    bencher.counter(ItemsCount::new(hosts)).bench(|| {
        let (inventory, found) = inventory::load(std::slice::from_ref(&path), &[]);
        assert!(!found.has_errors() && inventory.hosts.len() == hosts);
        template::host_scopes(&inventory)
    });
}

/// The role of the comparison with other programs: twelve tasks.
fn role() -> (HostRoles, Scope) {
    let beside = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bench/quorate");
    let (library, found) = Library::load(&beside);
    assert!(!found.has_errors(), "{found:?}");
    let role = library.get("app").unwrap();
    let mut scope = Scope::new();
    for (name, value) in [
        ("dir", json!("/srv/app")),
        ("role", json!("app")),
        ("port", json!(8080)),
        ("workers", json!(8)),
        ("files", json!(1024)),
        ("users", json!(["u1", "u2", "u3", "u4", "u5", "u6"])),
        ("peers", json!(["10.0.0.1", "10.0.0.2", "10.0.0.3"])),
    ] {
        scope.set(name, Binding::fixed(value));
    }
    let roles = HostRoles::new(vec![role], Arc::new(Disk::new(beside))).diffs(false);
    (roles, scope)
}

/// Templates of a role, with loops and conditions, rendered for one host.
#[divan::bench]
fn templates(bencher: Bencher) {
    let (_, scope) = role();
    let text = include_str!("../tests/bench/quorate/roles/app/templates/server.conf.j2");
    bencher
        .counter(BytesCount::of_str(text))
        .bench(|| scope.render_text(text, None).unwrap());
}

/// The questions that a role of twelve tasks has for its host.
#[divan::bench]
fn questions(bencher: Bencher) {
    let (roles, scope) = role();
    bencher.bench(|| roles.facts(&scope).unwrap());
}

/// A host with nothing on it.
fn bare(facts: &Facts) -> Observed {
    let text = format!("{NONCE} system os debian||13\n{NONCE} end\n");
    probe::parse(facts, NONCE, text.as_bytes()).unwrap()
}

/// What is to be done on a bare host by a role of twelve tasks.
#[divan::bench]
fn plan(bencher: Bencher) {
    let (roles, scope) = role();
    let observed = bare(&roles.facts(&scope).unwrap());
    let registered = Registered::default();
    bencher.bench(|| {
        let plan = roles.plan(&scope, &observed, &registered).unwrap();
        assert_eq!(plan.steps.len(), 12);
        plan
    });
}

/// All that comes before the first connection, for an inventory of hosts with this role: read, render, ask.
#[divan::bench(args = [10, 1000], sample_count = 10)]
fn before_the_first_connection(bencher: Bencher, hosts: usize) {
    let (_folder, path) = inventory_of(hosts);
    let (roles, values) = role();
    bencher.counter(ItemsCount::new(hosts)).bench(|| {
        let (inventory, _) = inventory::load(std::slice::from_ref(&path), &[]);
        let scopes = template::host_scopes(&inventory);
        let facts = inventory.hosts.values().map(|host| {
            let mut scope = template::host_scope(host, &Variables::default(), &scopes);
            for name in ["dir", "role", "port", "workers", "files", "users", "peers"] {
                let value = values.get(name).unwrap().unwrap();
                scope.set(name, Binding::fixed(value));
            }
            roles.facts(&scope).unwrap().len()
        });
        facts.sum::<usize>()
    });
}

/// A host's answer about so many files.
#[divan::bench(args = [12, 1000])]
fn answers(bencher: Bencher, files: usize) {
    let path = |n: usize| format!("/etc/app/conf.d/file-{n:05}.conf");
    let facts: Facts = (0..files).map(|n| Fact::File(path(n))).collect();
    let mut text = format!("{NONCE} system os debian||13\n");
    for n in 0..files {
        let sum = Sha256::of(n.to_string());
        let path = path(n);
        let _ = writeln!(
            text,
            "{NONCE} stat 81a4 100 root root 0 0 {path}\n{NONCE} sum {sum}  {path}"
        );
    }
    let _ = writeln!(text, "{NONCE} end");
    bencher
        .counter(BytesCount::of_str(&text))
        .bench(|| probe::parse(&facts, NONCE, text.as_bytes()).unwrap());
}
