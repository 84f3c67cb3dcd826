//! What a person reads of a host that cannot be worked on: one message for each cause, with its cure.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Instant;

use camino::Utf8PathBuf;
use tempfile::TempDir;

use crate::help::{LIMIT, user};
use crate::sshd::{Sshd, free_port, keygen};

/// Another user than root, as far as the script behind the login can tell.
const ID: &str = "#!/bin/sh\necho 1000\n";
/// sudo that answers as it is told, by file.
const SUDO: &str = r#"#!/bin/sh
while [ $# -gt 0 ] && [ "$1" != -p ]; do shift; done
case $(cat "$0.mode") in
wrong) for try in 1 2; do printf '%s' "$2" >&2; read -r given; echo 'Sorry, try again.' >&2; done; echo 'sudo: 1 incorrect password attempt' >&2 ;;
tty) echo 'sudo: sorry, you must have a tty to run sudo' >&2 ;;
norule) printf '%s' "$2" >&2; read -r given; echo 'operator is not in the sudoers file.' >&2 ;;
none) echo 'sudo: a password is required' >&2 ;;
esac
exit 1
"#;

/// Takes connections, says `words` to each and closes it; ends with the test.
fn says(words: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let _ = stream.unwrap().write_all(words.as_bytes());
        }
    });
    port
}

/// Connects until sshd says hello, and keeps the connection: the one of its start may hold the place for a moment.
fn takes_the_last_place(port: u16) -> TcpStream {
    let deadline = Instant::now() + LIMIT;
    while Instant::now() < deadline {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let mut first = [0; 4];
        if stream.read_exact(&mut first).is_ok() && &first == b"SSH-" {
            return stream;
        }
    }
    panic!("sshd says nothing");
}

/// The hosts of one inventory, each with something wrong.
struct Bed {
    folder: TempDir,
    lines: Vec<String>,
    known: String,
    words: Vec<(String, String)>,
    kept: Vec<Sshd>,
}

impl Bed {
    fn path(&self, name: &str) -> Utf8PathBuf {
        Utf8PathBuf::try_from(self.folder.path().join(name)).unwrap()
    }

    fn host(&mut self, name: &str, port: u16, more: &str) {
        let ip = self.lines.len() + 1;
        self.words.push((port.to_string(), "PORT".into()));
        self.lines.push(format!(
            "        {name}: {{ansible_host: 127.0.0.1, ansible_port: {port}, ip: 192.0.2.{ip}{more}}}\n"
        ));
    }

    /// A host that is known and takes the key; `further` goes into its sshd_config.
    fn login(&mut self, name: &str, further: &str, more: &str) {
        let sshd = Sshd::with(further);
        self.trust(&sshd);
        let key = sshd.user_key("ed25519");
        self.host(
            name,
            sshd.port,
            &format!(", ansible_ssh_private_key_file: {key}{more}"),
        );
        self.kept.push(sshd);
    }

    fn trust(&mut self, sshd: &Sshd) {
        let key = sshd.host_key("ed25519");
        self.known += &format!("[127.0.0.1]:{} {key}\n", sshd.port);
    }

    /// A host whose sudo answers as `mode` says.
    fn sudo(&mut self, name: &str, mode: &str, more: &str) {
        let bin = self.path(name);
        fs::create_dir(&bin).unwrap();
        for (program, text) in [("id", ID), ("sudo", SUDO)] {
            fs::write(bin.join(program), text).unwrap();
            fs::set_permissions(bin.join(program), fs::Permissions::from_mode(0o755)).unwrap();
        }
        fs::write(bin.join("sudo.mode"), mode).unwrap();
        let sshd = Sshd::with_path(&format!("{bin}:/usr/bin:/bin"));
        self.trust(&sshd);
        let key = sshd.user_key("ed25519");
        let more = format!(", ansible_ssh_private_key_file: {key}, ansible_become: true{more}");
        self.host(name, sshd.port, &more);
        self.kept.push(sshd);
    }

    /// Runs a command on all hosts and returns the exit code and what is said of those that failed.
    fn run(&self) -> (Option<i32>, String) {
        let (first, rest) = self.lines.split_at(1);
        let inventory = format!(
            "all:\n  vars: {{kubernetes_version: 1.36.3, apiserver_vip: 192.0.2.250, interface: lo, kubernetes_source: present, \
             container_runtime_source: present}}\n  children:\n    kube_control_plane:\n      hosts:\n{}    kube_node:\n      hosts:\n{}",
            first.concat(),
            rest.concat()
        );
        fs::write(self.path("hosts.yml"), inventory).unwrap();
        fs::write(self.path("known_hosts"), &self.known).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_quorate"))
            .args(["-i", self.path("hosts.yml").as_str()])
            .args(["--known-hosts", self.path("known_hosts").as_str()])
            .args(["--output", "plain", "exec", "--", "true"])
            .env_remove("QUORATE_INVENTORY")
            .env_remove("SSH_AUTH_SOCK")
            .env("HOME", self.folder.path())
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        let at = text
            .find("\n\nfailed: ")
            .unwrap_or_else(|| panic!("{text}{error}"));
        let text = text[at..].trim();
        let end = text.rfind("\n\n").unwrap();
        // Hosts fail in whatever order.
        let mut blocks: Vec<String> = text[..end].split("\n\n").map(|b| self.plain(b)).collect();
        blocks.sort();
        (output.status.code(), blocks.join("\n\n"))
    }

    fn plain(&self, text: &str) -> String {
        let mut text = text.replace(self.folder.path().to_str().unwrap(), "DIR");
        for (word, stand_in) in &self.words {
            text = text.replace(word, stand_in);
        }
        for sshd in &self.kept {
            text = text.replace(sshd.path("").as_str().trim_end_matches('/'), "KEYS");
        }
        // "become root" is what it says, whoever runs the tests.
        for place in [
            "@127",
            "cannot run commands as ",
            "has to be in ",
            "does not let ",
            "passwd ",
            "su ",
            "bash ",
            "give ",
            "sudoers: ",
            "Defaults:",
        ] {
            let (user, stand_in) = match place {
                "@127" => (format!("{}@127", user()), "USER@127".to_owned()),
                place => (format!("{place}{}", user()), format!("{place}USER")),
            };
            text = text.replace(&user, &stand_in);
        }
        without_fingerprints(&text)
    }
}

fn without_fingerprints(text: &str) -> String {
    let mut parts = text.split("SHA256:");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        out += "SHA256:...";
        out += part.get(43..).unwrap_or_default();
    }
    out
}

#[test]
fn each_cause_has_its_message_and_its_cure() {
    let mut bed = Bed {
        folder: tempfile::tempdir().unwrap(),
        lines: Vec::new(),
        known: String::new(),
        words: Vec::new(),
        kept: Vec::new(),
    };
    bed.login("ok", "", ", ansible_become: false");
    // Nobody there.
    let nobody = free_port();
    bed.host("refused", nobody, "");
    bed.host("not-ssh", says("HTTP/1.1 400 Bad Request\r\n\r\n"), "");
    bed.host("closed-at-once", says(""), "");
    // OpenSSH 9.8 and newer; the one of these tests may be older.
    bed.host("penalised", says("Not allowed at this time\r\n"), "");
    let full = Sshd::with("MaxStartups 1:100:1\nLoginGraceTime 60");
    let _place = takes_the_last_place(full.port);
    bed.host("max-startups", full.port, "");
    // Somebody else, or nobody known.
    let unknown = Sshd::start();
    bed.host("unknown-key", unknown.port, "");
    let changed = Sshd::start();
    bed.host("changed-key", changed.port, "");
    bed.known += &format!(
        "[127.0.0.1]:{} ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ\n",
        changed.port
    );
    let revoked = Sshd::start();
    bed.host("revoked-key", revoked.port, "");
    let line = format!("@revoked * {}\n", revoked.host_key("ed25519"));
    // One line for this host alone: the tests' hosts share their keys.
    bed.known += &line.replace('*', &format!("[127.0.0.1]:{}", revoked.port));
    // Nobody who may log in.
    let stranger = bed.path("stranger");
    keygen(&stranger, "ed25519", "");
    let closed = Sshd::start();
    bed.trust(&closed);
    bed.host(
        "no-login",
        closed.port,
        &format!(", ansible_ssh_private_key_file: {stranger}"),
    );
    // No shell that runs commands.
    let shell = |line: &str| format!("ForceCommand {line}");
    let sudo = ", ansible_become: true";
    bed.login(
        "shell-restricted",
        &shell("exec bash --restricted -c \"$SSH_ORIGINAL_COMMAND\""),
        sudo,
    );
    bed.login(
        "shell-nologin",
        &shell("echo This account is currently not available.; exit 1"),
        sudo,
    );
    bed.login("shell-false", &shell("exit 1"), sudo);
    // No rights.
    let password = ", ansible_become_password: secret";
    bed.sudo("sudo-password-wrong", "wrong", password);
    bed.sudo("sudo-no-rule", "norule", password);
    bed.sudo("sudo-wants-password", "none", "");
    bed.sudo("sudo-wants-terminal", "tty", "");
    for sshd in [&full, &unknown, &changed, &revoked, &closed] {
        bed.words.push((sshd.port.to_string(), "PORT".into()));
    }
    let (exit, text) = bed.run();
    insta::assert_snapshot!("connection_messages", text);
    assert_eq!(exit, Some(1));
}
