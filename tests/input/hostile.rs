//! An inventory that somebody has made to harm whoever reads it: it is refused, in so many words, and steers no terminal.

use std::os::unix::ffi::OsStrExt as _;
use std::time::Duration;

use quorate::event::is_hostile;

use crate::bed::{Bed, HOSTS, HOSTS_FILE, Outcome, VARS, VARS_FILE};

/// So much of a refusal can still be read.
const READABLE: usize = 128 << 10;

/// Calls the program, which has to end by itself, and checks that what it says is short and tame.
fn call(bed: &Bed, arguments: &[&str]) -> Outcome {
    let mut command = bed.command(arguments);
    // Many times what it takes in a debug build on a loaded machine; without an end it would be for ever.
    let outcome = bed.outcome(command.timeout(Duration::from_secs(240)));
    for text in [&outcome.out, &outcome.err] {
        let hostile = text.chars().find(|c| *c != '\n' && is_hostile(*c));
        assert_eq!(hostile, None, "{text}");
    }
    assert!(outcome.err.len() < READABLE, "{} bytes", outcome.err.len());
    bed.nobody_came();
    outcome
}

fn refused(bed: &Bed) -> String {
    let outcome = call(bed, &["validate"]);
    assert_eq!(
        (outcome.exit, outcome.out.as_str()),
        (4, ""),
        "{}",
        outcome.err
    );
    outcome.err
}

const NAMES: &[&str] = &[
    "../../etc/cron.d/x",
    "..",
    "a/b",
    "a\nb",
    "$(touch pwned)",
    "`touch pwned`",
    "a;touch pwned",
    "a'b",
    "a\"b",
    "\u{1b}[2Ja",
    "a\u{202e}b",
    "a\u{0}b",
    "-oProxyCommand=touch pwned",
];

#[test]
fn names_that_are_paths_commands_or_escape_sequences() {
    for name in NAMES {
        let quoted = serde_json::to_string(name).unwrap();
        let as_host = format!(
            "kube_control_plane:\n  hosts:\n    {quoted}: {{ ansible_host: 127.0.0.1, ip: 10.0.0.11 }}\n"
        );
        let as_group = format!("{HOSTS}{quoted}:\n  hosts: {{ cp1: }}\n");
        let as_variable = format!("{HOSTS}  vars:\n    {quoted}: 1\n");
        for (text, must) in [
            (as_host, true),
            (as_group, *name != ".."),
            (as_variable, false),
        ] {
            let bed = Bed::empty().file(HOSTS_FILE, &text).file(VARS_FILE, VARS);
            let outcome = call(&bed, &["validate"]);
            assert!(
                outcome.exit == 4 || !must,
                "{name:?}: {}{}",
                outcome.out,
                outcome.err
            );
            call(&bed, &["inventory", "list"]);
            call(&bed, &["inventory", "graph"]);
            assert!(!bed.path("pwned").exists());
        }
        if !name.contains(['\n', '\0']) {
            let bed = Bed::sound().file("hosts.ini", &format!("[kube_node]\n{name} ip=10.0.0.9\n"));
            call(&bed, &["validate", "-i", "hosts.ini"]);
        }
    }
}

/// Of hosts' addresses, users and key files, which come to the connection.
#[test]
fn connections_that_are_commands() {
    for name in [
        "ansible_host",
        "ansible_user",
        "ansible_ssh_private_key_file",
        "cluster_name",
        "interface",
        "http_proxy",
    ] {
        for value in NAMES {
            let value = serde_json::to_string(value).unwrap();
            let bed = Bed::sound().vars(&format!("{name}: {value}\n"));
            call(&bed, &["validate"]);
            for view in [
                &["vars", "explain", "cp1"][..],
                &["inventory", "host", "cp1"],
            ] {
                call(&bed, view);
            }
            assert!(!bed.path("pwned").exists());
        }
    }
    // It becomes the name of a file here.
    for name in ["../x", "a/b", "..", ".x", "-x", "a b", "a\nb"] {
        let value = serde_json::to_string(name).unwrap();
        refused(&Bed::sound().vars(&format!("cluster_name: {value}\n")));
    }
    // It becomes a part of a line of systemd's.
    for value in [
        "http://a\"\nExecStartPre=/bin/touch pwned\n\"",
        "http://a b",
        "http://a'b",
        "http://a\\nb",
    ] {
        let value = serde_json::to_string(value).unwrap();
        for name in ["http_proxy", "https_proxy", "no_proxy"] {
            let said = refused(&Bed::sound().vars(&format!("{name}: {value}\n")));
            assert!(said.contains("that no address has"), "{said}");
        }
    }
    assert_eq!(
        refused_proxy("http://me:secret%20word@proxy.example:3128"),
        0
    );
}

fn refused_proxy(address: &str) -> i32 {
    let bed = Bed::sound().vars(&format!("http_proxy: \"{address}\"\n"));
    for view in [
        &["vars", "explain", "cp1"][..],
        &["inventory", "host", "cp1"],
        &["inventory", "list"],
    ] {
        let outcome = call(&bed, view);
        assert!(!outcome.out.contains("secret"), "{}", outcome.out);
    }
    call(&bed, &["validate"]).exit
}

/// What a large file can cost is bounded, and so is what is said of it.
#[test]
fn large_files() {
    // What grows with the square of the length takes minutes already.
    let size = 2 << 20;
    let line = |text: &str| text.repeat(size / text.len());
    let cases = [
        (
            "one long value",
            format!("{HOSTS}  vars:\n    a: \"{}\"\n", "x".repeat(size)),
        ),
        (
            "one long key",
            format!("{HOSTS}  vars:\n    ? {}\n    : 1\n", "x".repeat(size)),
        ),
        (
            "one long mistake",
            format!("{HOSTS}wrong: [{}\n", line("1,")),
        ),
        (
            "many mistakes",
            format!("{HOSTS}  nothing: 1\n  hosts: 2\n{}", line("x: [}\n")),
        ),
        ("many groups", {
            let groups: String = (0..3000)
                .map(|n| format!("g{n}: {{ hosts: 1 }}\n"))
                .collect();
            format!("{HOSTS}{groups}")
        }),
        (
            "deep",
            format!("{HOSTS}  vars:\n    a: {}\n", "[".repeat(size)),
        ),
        ("tabs", format!("{HOSTS}{}", line("\t"))),
        ("comments", format!("{HOSTS}{}", line("# x\n"))),
        ("aliases", {
            let aliases: String = (1..40)
                .map(|n| format!("  a{n}: &a{n} [*a{}, *a{}]\n", n - 1, n - 1))
                .collect();
            format!("{HOSTS}x:\n  vars:\n  a0: &a0 [1]\n{aliases}")
        }),
        ("anchors", format!("{HOSTS}x: [{}]\n", line("&a 1, "))),
        ("quotes", format!("{HOSTS}x: '{}\n", line("''"))),
        ("documents", line("---\n")),
    ];
    for (what, text) in cases {
        let bed = Bed::empty().file(HOSTS_FILE, &text).file(VARS_FILE, VARS);
        let outcome = call(&bed, &["validate"]);
        assert!([0, 4].contains(&outcome.exit), "{what}: {}", outcome.err);
    }
}

/// Bytes that are no text, in each file that is read; NULs in those that are.
#[test]
fn bytes_that_are_no_text() {
    for bytes in [
        &b"a: \xff\xfe\n"[..],
        b"\x00\x00",
        b"a: \"\xc3\x28\"\n",
        b"\x1b[2J\x80",
    ] {
        for path in [
            HOSTS_FILE,
            VARS_FILE,
            "inventory/host_vars/cp1.yml",
            "inventory/roles/hosts/tasks/main.yml",
            "inventory/roles/hosts/defaults/main.yml",
            "inventory/roles/hosts/templates/x.tera",
            "inventory/site.yml",
            "extra.yml",
            "pw",
        ] {
            let bed = Bed::sound()
                .file("extra.yml", "a: 1\n")
                .file("pw", "x")
                .bytes(path, bytes);
            let arguments = [
                "validate",
                "-e",
                "@extra.yml",
                "--vault-password-file",
                "pw",
            ];
            let outcome = call(&bed, &arguments);
            assert!([0, 4].contains(&outcome.exit), "{path}: {}", outcome.err);
        }
    }
}

/// A file's own name is shown in what is said of it.
#[test]
fn file_names_that_would_steer_a_terminal() {
    for folder in [
        "group_vars",
        "host_vars",
        "group_vars/all",
        "roles",
        "roles/hosts/tasks",
    ] {
        for name in [
            &b"\x1b[2J\xc2\x9b31m.yml"[..],
            b"a\nerror: forged.yml",
            b"\xe2\x80\xaea.yml",
            b"\xff.yml",
        ] {
            let bed = Bed::empty()
                .file(HOSTS_FILE, HOSTS)
                .file("inventory/group_vars/all/all.yml", VARS);
            let bed = bed.file(
                "inventory/roles/hosts/tasks/main.yml",
                "- debug: { msg: x }\n",
            );
            let path = bed.path("inventory").join(folder);
            std::fs::create_dir_all(&path).unwrap();
            let path = path.as_std_path().join(std::ffi::OsStr::from_bytes(name));
            std::fs::write(&path, "a: [\n").unwrap();
            let outcome = call(&bed, &["validate"]);
            assert!(!outcome.err.contains("\nerror: forged"), "{}", outcome.err);
            call(&bed, &["validate", "--output", "json"]);
            call(&bed, &["inventory", "list"]);
            call(&bed, &["roles", "list"]);
        }
    }
}

/// Journals that somebody else has put beside the inventory.
#[test]
fn journals_of_somebody_else() {
    let evil = "\\u001b[2J\\u202eevil";
    let line =
        |event: &str| format!("{{\"v\":1,\"seq\":0,\"at\":\"2026-11-28T00:00:00Z\",{event}}}\n");
    let started = line(&format!(
        "\"event\":\"run_started\",\"run\":\"{evil}\",\"command\":\"plan\",\"cluster\":\"{evil}\",\"user\":\"{evil}\",\"version\":\"{evil}\",\"hosts\":[\"cp1\"]"
    ));
    let bed = Bed::sound()
        .file(".quorate/journal/20261128T000000Z-plan.jsonl", &started)
        .file(
            ".quorate/journal/20261128T000001Z-\u{1b}[2Jplan.jsonl",
            &started,
        )
        .file(
            ".quorate/journal/20261128T000002Z-apply.jsonl",
            &"x\n".repeat(100_000),
        )
        .bytes(
            ".quorate/journal/20261128T000003Z-apply.jsonl",
            &[0; 1 << 20],
        );
    for arguments in [
        &["history"][..],
        &["replay", ".quorate/journal/20261128T000000Z-plan.jsonl"],
        &["replay", ".quorate/journal/20261128T000002Z-apply.jsonl"],
        &[
            "report",
            "--text",
            ".quorate/journal/20261128T000000Z-plan.jsonl",
        ],
        &[
            "report",
            ".quorate/journal/20261128T000001Z-\u{1b}[2Jplan.jsonl",
            "--html",
            "page.html",
        ],
        &["replay", ".quorate/journal/\u{1b}[2J"],
    ] {
        let outcome = call(&bed, arguments);
        assert!(
            [0, 1, 4].contains(&outcome.exit),
            "{arguments:?}: {}",
            outcome.err
        );
    }
    let page = std::fs::read_to_string(bed.path("page.html")).unwrap();
    assert!(page.contains("evil") && !page.contains('\u{1b}'));
}
