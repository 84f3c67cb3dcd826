//! The command line: what does not exist, what chooses nobody, and where output goes.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use crate::bed::{Bed, HOSTS_FILE};

#[test]
fn what_is_no_command() {
    let bed = Bed::sound();
    for (name, arguments) in [
        ("a_command_mistyped", &["aply"][..]),
        ("a_flag_mistyped", &["plan", "--lmit", "cp1"]),
        ("a_command_of_others", &["up"]),
        ("a_number_of_forks_that_is_none", &["plan", "-f", "0"]),
        ("exec_without_a_command", &["exec"]),
        ("exec_without_its_dashes", &["exec", "uptime"]),
        (
            "exec_that_only_checks",
            &["exec", "-C", "--", "touch", "/x"],
        ),
        ("inventory_without_more", &["inventory", "host"]),
        ("an_output_that_is_none", &["plan", "--output", "xml"]),
    ] {
        let outcome = bed.run(arguments);
        assert_eq!(
            (outcome.exit, outcome.out.as_str()),
            (4, ""),
            "{arguments:?}"
        );
        insta::assert_snapshot!(name, outcome.err);
    }
    bed.nobody_came();
}

/// What stands before the command counts beside what stands behind it, whatever clap makes of global flags.
#[test]
fn flags_on_both_sides_of_the_command() {
    let bed = Bed::sound()
        .file("more/hosts.yml", "kube_node: { hosts: { w9: } }\n")
        .file("x.yml", "from_file: 1\n");
    let host = [
        "-e",
        "first=1",
        "inventory",
        "-e",
        "second=2",
        "host",
        "cp1",
        "-e",
        "@x.yml",
    ];
    let outcome = bed.run(&host);
    assert_eq!(outcome.exit, 0, "{}", outcome.err);
    for line in ["\"first\": \"1\"", "\"second\": \"2\"", "\"from_file\": 1"] {
        assert!(outcome.out.contains(line), "no {line} in {}", outcome.out);
    }
    let last = bed.run(&["-e", "a=1", "inventory", "host", "cp1", "-e", "a=2"]);
    assert!(last.out.contains("\"a\": \"2\""), "{}", last.out);
    let graph = bed.run(&["-i", "inventory", "inventory", "graph", "-i", "more"]);
    assert!(
        graph.out.contains("--cp1\n") && graph.out.contains("--w9\n"),
        "{}",
        graph.out
    );
    for flag in ["--tags", "--skip-tags"] {
        let outcome = bed.run(&[flag, "nosuch", "validate", flag, "swap"]);
        assert_eq!(outcome.exit, 4, "{}", outcome.err);
        assert!(outcome.err.contains("the tag `nosuch`"), "{}", outcome.err);
    }
    for (flag, one, other) in [
        ("--limit", "cp1", "cp2"),
        ("--user", "root", "admin"),
        ("--output", "json", "plain"),
    ] {
        let outcome = bed.run(&[flag, one, "validate", flag, other]);
        assert_eq!((outcome.exit, outcome.out.as_str()), (4, ""), "{flag}");
        let said = "cannot be used both before and after the command";
        assert!(
            outcome.err.contains(said) && outcome.err.contains(flag),
            "{}",
            outcome.err
        );
    }
    // A flag from the environment is none of the command line's.
    let mut command = bed.command(&["inventory", "graph", "-i", "more"]);
    let graph = bed.outcome(command.env("QUORATE_INVENTORY", "inventory"));
    assert!(!graph.out.contains("--cp1\n"), "{}", graph.out);
    bed.nobody_came();
}

#[test]
fn a_limit_that_chooses_nobody() {
    let bed = Bed::sound()
        .file("hosts.txt", "# nobody\n")
        .file("wrong.txt", "cp1\ncp9\n");
    for (name, limit) in [
        ("limit_unknown", "nobody"),
        ("limit_mistyped", "cp[1:3]:w2"),
        ("limit_that_takes_all_away", "cp1:!kube_control_plane"),
        ("limit_glob", "db*"),
        ("limit_open_bracket", "cp["),
        ("limit_file_missing", "@nothing.txt"),
        ("limit_file_empty", "@hosts.txt"),
        ("limit_file_with_a_mistake", "@wrong.txt"),
        ("limit_empty", ""),
    ] {
        let outcome = bed.run(&["plan", "--limit", limit]);
        assert_eq!((outcome.exit, outcome.out.as_str()), (4, ""), "{limit}");
        insta::assert_snapshot!(name, outcome.err);
        assert_eq!(bed.run(&["apply", "--limit", limit]).exit, 4);
        let validated = bed.run(&["validate", "--limit", limit]);
        assert_eq!((validated.exit, validated.err), (4, outcome.err));
        assert_eq!(bed.run(&["exec", "--limit", limit, "--", "true"]).exit, 4);
        assert_eq!(bed.run(&["status", "--limit", limit]).exit, 4);
    }
    bed.nobody_came();
}

/// Nobody was contacted: the command line cannot work as it stands.
#[test]
fn a_password_that_nobody_can_be_asked_for() {
    let bed = Bed::sound();
    let mut command = assert_cmd::Command::new("setsid");
    command
        .current_dir(bed.root())
        .arg("--wait")
        .arg(assert_cmd::cargo::cargo_bin("quorate"));
    let outcome = bed.outcome(command.args(["exec", "-K", "--", "true"]));
    assert_eq!((outcome.exit, outcome.out.as_str()), (4, ""));
    assert!(
        outcome.err.contains("`-K` needs a terminal"),
        "{}",
        outcome.err
    );
    bed.nobody_came();
}

#[test]
fn unknown_names() {
    let bed = Bed::sound();
    for (name, arguments) in [
        (
            "inventory_of_an_unknown_host",
            &["inventory", "host", "cp9"][..],
        ),
        ("explain_an_unknown_host", &["vars", "explain", "cp9"]),
        (
            "explain_an_unknown_variable",
            &["vars", "explain", "cp1", "apiserver_vipp"],
        ),
        ("show_an_unknown_role", &["roles", "show", "haproxi"]),
        (
            "replay_of_nothing",
            &["replay", ".quorate/journal/none.jsonl"],
        ),
        (
            "replay_of_something_else",
            &["replay", "inventory/hosts.yml"],
        ),
        (
            "a_drill_at_a_host_that_carries_nothing",
            &["drill", "failover", "--target", "nobody"],
        ),
        (
            "a_drill_by_a_word_that_is_nearly_a_way",
            &["drill", "failover", "--by", "stop-servise"],
        ),
        ("unknown_tag", &["plan", "--tags", "pakages"]),
        ("known_hosts_missing", &["plan", "--known-hosts", "nothing"]),
    ] {
        let outcome = bed.run(arguments);
        assert_eq!(
            (outcome.exit, outcome.out.as_str()),
            (4, ""),
            "{arguments:?}: {}",
            outcome.err
        );
        insta::assert_snapshot!(name, outcome.err);
    }
    bed.nobody_came();
}

#[test]
fn a_drill_that_nobody_agreed_to() {
    let bed = Bed::sound();
    let outcome = bed.run(&["drill", "failover", "--by", "kill-api", "--times", "2"]);
    assert_eq!(outcome.exit, 5, "{}", outcome.err);
    assert!(
        outcome
            .out
            .contains("kills the API server on the host that holds the virtual address, 2 times, and nobody agreed"),
        "{}",
        outcome.out
    );
    bed.nobody_came();
}

#[test]
fn colours_only_where_they_are_wanted() {
    let bed = Bed::sound().vars("apiserver_src_prot: 1\n");
    let plain = bed.run(&["validate"]).err;
    assert!(!plain.contains('\x1b'));
    let always = bed.run(&["validate", "--color", "always"]).err;
    assert!(always.contains('\x1b'));
    let no_color = bed.outcome(
        bed.command(&["validate"])
            .env("NO_COLOR", "1")
            .env("CLICOLOR_FORCE", "1"),
    );
    assert!(!no_color.err.contains('\x1b'), "{}", no_color.err);
}

#[test]
fn errors_as_json() {
    let bed = Bed::sound().vars("apiserver_src_prot: 1\napiserver_dest_port: high\n");
    let text = bed.refused_with(&["--output", "json"]);
    insta::assert_snapshot!(text);
    for line in text.lines() {
        serde_json::from_str::<serde_json::Value>(line).unwrap();
    }
    let outcome = Bed::sound().run(&["plan", "--limit", "nobody", "--output", "json"]);
    insta::assert_snapshot!("a_limit_as_json", outcome.err);
    let outcome = Bed::sound().run(&["replay", "nothing", "--output", "json"]);
    insta::assert_snapshot!("an_unreadable_journal_as_json", outcome.err);
}

/// Every command says the same with `--output json`, in lines that begin with the version.
#[test]
fn what_needs_no_host_as_json() {
    let bed = Bed::sound().vars("load_balancer_profile: seed\nauth_pass: horse\n");
    let lines = |arguments: &[&str]| -> Vec<serde_json::Value> {
        let outcome = bed.run(&[arguments, &["--output", "json"]].concat());
        assert_eq!(outcome.exit, 0, "{}", outcome.err);
        assert!(
            outcome
                .out
                .lines()
                .all(|line| line.starts_with("{\"v\":1,"))
        );
        let parse = |line: &str| serde_json::from_str(line).unwrap();
        outcome.out.lines().map(parse).collect()
    };
    let sound = lines(&["validate"]);
    assert_eq!(sound.len(), 1);
    assert_eq!(
        (&sound[0]["hosts"], &sound[0]["control_planes"]),
        (&4.into(), &3.into())
    );
    let graph = lines(&["inventory", "graph"]);
    let group = |name: &str| graph.iter().find(|g| g["group"] == name).unwrap().clone();
    assert_eq!(group("kube_node")["hosts"], serde_json::json!(["w1"]));
    let above = |g: &&serde_json::Value| {
        let children = g["children"].as_array().unwrap();
        children.contains(&"kube_node".into())
    };
    assert_eq!(graph.iter().filter(above).count(), 1, "{graph:?}");
    let roles = lines(&["roles", "list"]);
    let role = roles.iter().find(|r| r["role"] == "keepalived").unwrap();
    assert!(role["builtin"] == true && role["description"].as_str().is_some_and(|d| !d.is_empty()));
    let explain = |name| lines(&["vars", "explain", "cp1", name, "-e", "ip=10.0.0.99"]).remove(0);
    let ip = explain("ip");
    assert_eq!(
        (&ip["value"], &ip["set_by"]["level"]),
        (&"10.0.0.99".into(), &"extra".into())
    );
    assert_eq!(
        (&ip["over"][0]["file"], &ip["over"][0]["line"]),
        (&HOSTS_FILE.into(), &3.into())
    );
    assert_eq!(explain("auth_pass")["value"], "***");
    let unset = explain("weight");
    assert!(unset["set_by"].is_null() && unset["default"].is_string());
    // A warning is a line as well, beside the answer.
    let warned = Bed::sound()
        .vars("auth_pass: horse\n")
        .run(&["validate", "--output", "json"]);
    let warning: serde_json::Value = serde_json::from_str(warned.err.trim()).unwrap();
    assert_eq!((warned.exit, &warning["severity"]), (0, &"warning".into()));
    bed.nobody_came();
}

#[test]
fn a_reader_that_goes_away() {
    let bed = Bed::sound();
    for arguments in [
        &["inventory", "list"][..],
        &["roles", "show", "haproxy"],
        &["--help"],
        &["completions", "bash"],
        &["demo-progress", "--speed", "1000", "--output", "plain"],
    ] {
        let mut child = Command::new(assert_cmd::cargo::cargo_bin("quorate"))
            .args(arguments)
            .current_dir(bed.root())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut first = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut first)
            .unwrap();
        assert!(!first.is_empty());
        let output = child.wait_with_output().unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        assert_eq!(
            (output.status.code(), err.as_str()),
            (Some(0), ""),
            "{arguments:?}"
        );
    }
}
