//! Hosts that cannot be used, beside hosts that can: OpenSSH's server on loopback, and the whole program.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use tempfile::TempDir;

use crate::bed::{Bed, HOSTS_FILE, Outcome, VARS_FILE};
use crate::sshd::{Sshd, free_port, keygen};

/// Returns the account that runs the tests.
fn account() -> String {
    let output = Command::new("id").arg("-un").output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_string()
}

/// A cluster of one control plane, whose sshd is `good`, and workers.
struct Cluster {
    bed: Bed,
    good: Sshd,
    known: String,
    workers: String,
}

impl Cluster {
    fn new() -> Self {
        let good = Sshd::start();
        let known = line(&good);
        Self {
            bed: Bed::empty(),
            good,
            known,
            workers: String::new(),
        }
    }

    /// Adds a worker with this port and these further variables.
    fn worker(mut self, name: &str, port: u16, further: &str) -> Self {
        let number = 20 + self.workers.lines().count();
        self.workers +=
            &format!("    {name}: {{ ansible_port: {port}, ip: 10.0.0.{number}{further} }}\n");
        self
    }

    fn knows(mut self, line: &str) -> Self {
        self.known += line;
        self
    }

    /// Runs the program. Ports and times have names in what it gives.
    fn run(self, arguments: &[&str]) -> Outcome {
        let port = self.good.port;
        let hosts = format!(
            "kube_control_plane:\n  hosts:\n    cp1: {{ ansible_port: {port}, ip: 10.0.0.11 }}\nkube_node:\n  hosts:\n{}",
            self.workers
        );
        let vars = format!(
            "ansible_host: 127.0.0.1\nansible_user: {}\nansible_become: false\nansible_ssh_private_key_file: {}\n\
             kubernetes_version: \"1.36.3\"\nkubernetes_source: present\napiserver_vip: 10.0.0.10\n",
            account(),
            self.good.user_key("ed25519"),
        );
        let bed = self
            .bed
            .file(HOSTS_FILE, &hosts)
            .file(VARS_FILE, &vars)
            .file("known", &self.known);
        bed.run(&[&["--known-hosts", "known"], arguments].concat())
    }
}

/// Returns the line of known_hosts for a server.
fn line(sshd: &Sshd) -> String {
    format!("[127.0.0.1]:{} {}\n", sshd.port, sshd.host_key("ed25519"))
}

const EXEC: [&str; 3] = ["exec", "--", "true"];

/// Says that the good host was not kept from its work.
fn good(outcome: &Outcome) {
    assert!(outcome.out.contains("\ncp1 : ok="), "{}", outcome.out);
    assert!(outcome.out.contains("w1"), "{}", outcome.out);
    let cp1 = outcome
        .out
        .lines()
        .find(|l| l.starts_with("cp1 : "))
        .unwrap();
    assert!(
        cp1.contains("failed=0")
            && cp1.contains("· 1 session ")
            && cp1.contains("· 1 exec ")
            && !cp1.contains("unreachable"),
        "{cp1}"
    );
}

/// Says that the parts stand in what was printed.
fn told(outcome: &Outcome, parts: &[&str]) {
    for part in parts {
        assert!(
            outcome.out.contains(part),
            "no {part:?} in\n{}{}",
            outcome.out,
            outcome.err
        );
    }
}

#[test]
fn all_are_well() {
    let other = Sshd::start();
    let known = line(&other);
    let outcome = Cluster::new()
        .worker("w1", other.port, "")
        .knows(&known)
        .run(&["exec", "--", "echo", "a word"]);
    assert_eq!(outcome.exit, 0, "{}{}", outcome.out, outcome.err);
    told(&outcome, &["cp1 | a word\n", "w1 | a word\n"]);
}

#[test]
fn a_command_that_fails_on_one_host() {
    let other = Sshd::start();
    let known = line(&other);
    // Each sshd has a home of its own.
    let marker = other.path("marker");
    fs::write(&marker, "").unwrap();
    let outcome = Cluster::new()
        .worker("w1", other.port, "")
        .knows(&known)
        .run(&[
            "exec",
            "--",
            "sh",
            "-c",
            "test ! -e ~/marker || { echo no more >&2; exit 7; }",
        ]);
    assert_eq!(outcome.exit, 1, "{}{}", outcome.out, outcome.err);
    told(&outcome, &["w1 | no more"]);
    good(&outcome);
}

#[test]
fn another_host_key() {
    let other = Sshd::start();
    let fresh = TempDir::new().unwrap();
    let key = camino::Utf8PathBuf::try_from(fresh.path().join("key")).unwrap();
    keygen(&key, "ed25519", "");
    let text = fs::read_to_string(format!("{key}.pub")).unwrap();
    let words: Vec<&str> = text.split_whitespace().take(2).collect();
    let wrong = format!("[127.0.0.1]:{} {}\n", other.port, words.join(" "));
    let outcome = Cluster::new()
        .worker("w1", other.port, "")
        .knows(&wrong)
        .run(&EXEC);
    assert_eq!(outcome.exit, 3, "{}{}", outcome.out, outcome.err);
    told(
        &outcome,
        &["w1 trouble host key: ", "w1 help ", "ssh-keygen -R"],
    );
    good(&outcome);
}

#[test]
fn a_host_key_that_nobody_knows() {
    let other = Sshd::start();
    let outcome = Cluster::new().worker("w1", other.port, "").run(&EXEC);
    assert_eq!(outcome.exit, 3, "{}{}", outcome.out, outcome.err);
    told(
        &outcome,
        &[
            "w1 trouble host key: ",
            "w1 help ",
            "quorate hosts trust",
            "SHA256:",
        ],
    );
    good(&outcome);
}

#[test]
fn a_host_that_is_down() {
    let outcome = Cluster::new().worker("w1", free_port(), "").run(&EXEC);
    assert_eq!(outcome.exit, 3, "{}{}", outcome.out, outcome.err);
    told(
        &outcome,
        &[
            "w1 trouble unreachable: cannot reach 127.0.0.1:",
            "refused",
            "w1 help is sshd running there",
        ],
    );
    good(&outcome);
}

#[test]
fn a_name_that_does_not_resolve() {
    let outcome = Cluster::new()
        .worker("w1", 22, ", ansible_host: w1.invalid")
        .run(&EXEC);
    assert_eq!(outcome.exit, 3, "{}{}", outcome.out, outcome.err);
    told(&outcome, &["w1 trouble unreachable: ", "w1.invalid"]);
    good(&outcome);
}

#[test]
fn a_key_that_the_host_does_not_take() {
    let other = Sshd::start();
    let known = line(&other);
    let fresh = TempDir::new().unwrap();
    let key = camino::Utf8PathBuf::try_from(fresh.path().join("key")).unwrap();
    keygen(&key, "ed25519", "");
    let outcome = Cluster::new()
        .worker(
            "w1",
            other.port,
            &format!(", ansible_ssh_private_key_file: {key}"),
        )
        .knows(&known)
        .run(&EXEC);
    assert_eq!(outcome.exit, 3, "{}{}", outcome.out, outcome.err);
    told(
        &outcome,
        &["w1 trouble authentication: ", "w1 help ", key.as_str()],
    );
    good(&outcome);
}

#[test]
fn a_key_that_cannot_be_read_contacts_nobody() {
    let other = Sshd::start();
    let known = line(&other);
    let outcome = Cluster::new()
        .worker(
            "w1",
            other.port,
            ", ansible_ssh_private_key_file: /nonexistent/key",
        )
        .knows(&known)
        .run(&EXEC);
    assert_eq!(
        (outcome.exit, outcome.out.as_str()),
        (4, ""),
        "{}",
        outcome.err
    );
    assert!(
        outcome.err.contains("/nonexistent/key does not exist"),
        "{}",
        outcome.err
    );
    assert!(
        !other.log().contains("Connection from") && !other.log().contains("Accepted"),
        "{}",
        other.log()
    );
}

#[test]
fn no_rights_to_become_root() {
    // sudo's own words; wave execs with a real one are tests/wire's and the lab's.
    let folder = TempDir::new().unwrap();
    // The tests may run as root, who needs no sudo: to this host everybody is somebody else.
    for (name, text) in [
        ("sudo", "echo 'sudo: a password is required' >&2; exit 1"),
        ("id", "echo 1000"),
    ] {
        let path = folder.path().join(name);
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let other = Sshd::with_path(&format!("{}:/usr/bin:/bin", folder.path().display()));
    let known = line(&other);
    let outcome = Cluster::new()
        .worker("w1", other.port, ", ansible_become: true")
        .knows(&known)
        .run(&EXEC);
    assert_eq!(outcome.exit, 1, "{}{}", outcome.out, outcome.err);
    told(&outcome, &["w1 trouble no root rights: ", "w1 help "]);
    good(&outcome);
}

#[test]
fn a_plan_goes_on_without_a_worker() {
    // cp1 is the machine of the test: its address is none of the cluster's, and that is what the plan says.
    let outcome = Cluster::new().worker("w1", free_port(), "").run(&["plan"]);
    assert_eq!(outcome.exit, 1, "{}{}", outcome.out, outcome.err);
    told(&outcome, &["w1 trouble unreachable: ", "cp1", "10.0.0.11"]);
}

#[test]
fn a_failure_as_json() {
    let outcome = Cluster::new()
        .worker("w1", free_port(), "")
        .run(&["exec", "--output", "json", "--", "true"]);
    assert_eq!(outcome.exit, 3, "{}{}", outcome.out, outcome.err);
    let events: Vec<serde_json::Value> = outcome
        .out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let trouble = events
        .iter()
        .find(|e| e["event"] == "host_trouble")
        .unwrap();
    assert_eq!(
        (&trouble["host"], &trouble["trouble"]),
        (&"w1".into(), &"unreachable".into())
    );
    assert!(trouble["help"].is_string());
}
