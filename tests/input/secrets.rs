//! A canary in each place where a secret of the controller's may be, and whole runs over SSH: nobody who looks at processes,
//! environments, files and output meets one.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use quorate::cluster::spec::known::{ALIASES, KNOWN, is_secret};

use crate::bed::{Bed, HOSTS_FILE};
use crate::sshd::Sshd;

/// Each canary holds it; auth_pass has eight characters.
const WORD: &str = "c4n4ry";

/// The variables that are secret by what they are, with a value each.
const VARIABLES: &[(&str, &str)] = &[
    ("auth_pass", "c4n4ryAP"),
    ("ansible_become_password", "c4n4ry-become"),
    ("ansible_password", "c4n4ry-ssh"),
    ("http_proxy", "http://me:c4n4ry-http@proxy.example:3128"),
    ("https_proxy", "http://me:c4n4ry-https@proxy.example:3128"),
];

/// Those that only another way of load balancing reads.
const ELSEWHERE: &[&str] = &["bgp_peers", "ansible_ssh_pass"];

#[test]
fn every_secret_variable_has_a_canary() {
    let names = KNOWN
        .iter()
        .map(|v| v.name)
        .chain(ALIASES.iter().map(|(alias, _)| *alias));
    for name in names.filter(|name| is_secret(name)) {
        let meant = ALIASES
            .iter()
            .find(|(alias, _)| *alias == name)
            .map_or(name, |(_, meant)| meant);
        let has =
            VARIABLES.iter().any(|(v, _)| *v == name || *v == meant) || ELSEWHERE.contains(&name);
        assert!(has, "{name} has no canary here");
    }
}

/// Returns what of this machine's processes can be read that holds the word: name, and where it was found.
fn processes(pid: Option<u32>) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let path = entry.path();
        let name = entry.file_name();
        let Some(id) = name.to_str().and_then(|n| n.parse::<u32>().ok()) else {
            continue;
        };
        for part in ["cmdline", "environ"] {
            // A process that has ended, or is another user's.
            let Ok(bytes) = fs::read(path.join(part)) else {
                continue;
            };
            let text = String::from_utf8_lossy(&bytes).replace('\0', " ");
            if text.contains(WORD) {
                found.push(format!("{id} {part} (quorate is {pid:?}): {text}"));
            }
        }
    }
    found
}

struct Case {
    bed: Bed,
    _sshd: Sshd,
}

fn case() -> Case {
    let sshd = Sshd::start();
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.connect("192.0.2.1:9").unwrap();
    let ip = socket.local_addr().unwrap().ip();
    let user = std::process::Command::new("id")
        .arg("-un")
        .output()
        .unwrap();
    let user = String::from_utf8(user.stdout).unwrap().trim().to_owned();
    let hosts = format!("kube_control_plane: {{ hosts: {{ cp1: {{ ip: {ip} }} }} }}\n");
    let mut vars = format!(
        "ansible_host: 127.0.0.1\nansible_port: {}\nansible_user: {user}\nansible_become: false\nansible_ssh_private_key_file: {}\n\
         kubernetes_version: \"1.36.3\"\nkubernetes_source: present\nload_balancer_profile: seed\napiserver_vip: 192.0.2.77\n\
         ignore_preflight_errors: [NumCPU, Mem, SystemVerification, DiskSpace, KernelModule, MaskedUnit]\n",
        sshd.port,
        sshd.user_key("ed25519"),
    );
    for (name, value) in VARIABLES {
        vars += &format!("{name}: \"{value}\"\n");
    }
    let sealed = |text: &str| {
        quorate::vault::ansible::seal(text.as_bytes(), b"c4n4ry-vault", None).into_bytes()
    };
    let target = sshd.path("app.conf");
    fs::write(&target, "word = c4n4ry-before\nauth_pass c4n4ry-old\n").unwrap();
    let tasks = format!(
        "- name: write {{{{ app_word }}}}\n  copy: {{ dest: \"{target}\", content: \"word = {{{{ app_word }}}}\\nauth_pass {{{{ auth_pass }}}}\\n\", mode: \"0600\" }}\n\
         - name: own\n  copy: {{ dest: \"{target}.own\", content: \"{{{{ own_password }}}}\", mode: \"0600\" }}\n  no_log: true\n"
    );
    let known = format!("[127.0.0.1]:{} {}\n", sshd.port, sshd.host_key("ed25519"));
    let bed = Bed::empty()
        .file(HOSTS_FILE, &hosts)
        .file("inventory/group_vars/all/vars.yml", &vars)
        .bytes(
            "inventory/group_vars/all/vault.yml",
            &sealed("app_word: c4n4ry-sealed\nown_password: c4n4ry-own\n"),
        )
        .file("inventory/roles/hosts/tasks/main.yml", &tasks)
        .file("known", &known)
        .file("pw", "#!/bin/sh\necho c4n4ry-vault\n");
    fs::set_permissions(bed.path("pw"), fs::Permissions::from_mode(0o755)).unwrap();
    Case { bed, _sshd: sshd }
}

/// Whether some run was seen while it ran, and had no core dumps.
static LOOKED: AtomicBool = AtomicBool::new(false);

/// Runs the program while all processes are watched; returns what it said.
fn watched(case: &Case, arguments: &[&str]) -> (i32, String) {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_quorate"));
    command
        .current_dir(case.bed.root())
        .env_clear()
        .env("HOME", case.bed.root())
        .env("USER", "root")
        .env("PATH", "/usr/bin:/bin")
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    let pid = child.id();
    let ended = Arc::new(AtomicBool::new(false));
    let over = ended.clone();
    let watcher = std::thread::spawn(move || {
        let (mut found, mut rounds, mut limited) = (Vec::new(), 0_u32, false);
        while !over.load(Ordering::SeqCst) {
            found.extend(processes(Some(pid)));
            rounds += 1;
            let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap_or_default();
            let core = limits
                .lines()
                .find(|line| line.starts_with("Max core file size"));
            limited |= core.is_some_and(|line| line.split_whitespace().nth(4) == Some("0"));
        }
        (found, rounds, limited)
    });
    let output = child.wait_with_output().unwrap();
    ended.store(true, Ordering::SeqCst);
    let (found, rounds, limited) = watcher.join().unwrap();
    assert_eq!(found, [""; 0], "{arguments:?}");
    // On a busy machine a short run is over before anybody looks.
    LOOKED.fetch_or(rounds > 0 && limited, Ordering::SeqCst);
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    (output.status.code().unwrap(), text.into_owned())
}

/// Returns each file below the folder that holds the word, apart from those that it was put into.
fn files(folder: &std::path::Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if String::from_utf8_lossy(&fs::read(&path).unwrap_or_default()).contains(WORD) {
            found.push(path.display().to_string());
        }
    }
}

#[test]
fn no_run_shows_a_canary() {
    let case = case();
    // A plan asks the host what root alone may read.
    let root = case.bed.command(&["--version"]).output().is_ok() && is_root();
    let keys = ["--known-hosts", "known", "--vault-password-file", "./pw"];
    let mut said = String::new();
    let mut run = |arguments: &[&str], exits: &[i32]| {
        let (exit, text) = watched(
            &case,
            &[&arguments[..1], &keys[..], &arguments[1..]].concat(),
        );
        assert!(exits.contains(&exit), "{arguments:?}: {exit}\n{text}");
        assert!(!text.contains(WORD), "{arguments:?}: {text}");
        said += &text;
    };
    run(
        &[
            "exec",
            "-vvv",
            "--",
            "echo $SSH_CONNECTION; cat app.conf; env",
        ],
        &[0],
    );
    run(&["validate", "-vvv"], &[0]);
    run(&["inventory", "list"], &[0]);
    run(&["inventory", "host", "cp1", "--output", "json"], &[0]);
    run(&["vars", "explain", "cp1"], &[0]);
    if root {
        for output in ["plain", "pretty", "json"] {
            run(
                &[
                    "plan",
                    "--diff",
                    "--detailed",
                    "-vvv",
                    "--output",
                    output,
                    "--out",
                    "plan.json",
                ],
                &[2],
            );
        }
        run(&["status", "-vvv", "--metrics", "q.prom"], &[0, 1]);
    }
    for entry in fs::read_dir(case.bed.path(".quorate/journal")).unwrap() {
        let journal = entry.unwrap().path();
        assert_eq!(
            fs::metadata(&journal).unwrap().permissions().mode() & 0o777,
            0o600
        );
        let journal = journal.to_str().unwrap();
        for arguments in [
            &["replay", "-vvv", "--diff", journal][..],
            &["report", journal, "--text", "--html", "page.html"],
        ] {
            let outcome = case.bed.run(arguments);
            assert!(
                !(outcome.out + &outcome.err).contains(WORD),
                "{arguments:?}"
            );
        }
    }
    let mut found = Vec::new();
    files(case.bed.root().as_std_path(), &mut found);
    found.sort();
    let own =
        ["inventory/group_vars/all/vars.yml", "pw"].map(|path| case.bed.path(path).to_string());
    assert_eq!(found, own, "a file that nobody put it into");
    assert!(
        LOOKED.load(Ordering::SeqCst),
        "no run was seen without core dumps"
    );
}

fn is_root() -> bool {
    let output = std::process::Command::new("id").arg("-u").output().unwrap();
    output.stdout == b"0\n"
}

/// Errors about secrets do not hold them, in either form.
#[test]
fn no_mistake_shows_a_canary() {
    for (name, value) in VARIABLES {
        for wrong in [
            format!("[\"{value}\"]"),
            format!("{{ a: \"{value}\" }}"),
            format!("\"{value}{value}\\n \""),
        ] {
            let bed = Bed::sound().vars(&format!(
                "load_balancer_profile: seed\n{name}: {wrong}\napiserver_dest_prot: 1\n"
            ));
            for output in ["plain", "json"] {
                let outcome = bed.run(&["validate", "-vvv", "--output", output]);
                let text = outcome.out + &outcome.err;
                assert!(!text.contains(WORD), "{name}: {text}");
            }
        }
    }
}
