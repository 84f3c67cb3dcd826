//! The program as it is called: exit codes, help, completions, replay.

#![expect(clippy::unwrap_used, reason = "tests")]

use assert_cmd::Command;

fn quorate(arguments: &[&str]) -> Command {
    let mut command = Command::cargo_bin("quorate").unwrap();
    command
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(arguments);
    for variable in [
        "QUORATE_INVENTORY",
        "NO_COLOR",
        "CLICOLOR_FORCE",
        "RUST_BACKTRACE",
    ] {
        command.env_remove(variable);
    }
    command
}

/// Returns exit code, standard output and standard error.
fn run(arguments: &[&str]) -> (i32, String, String) {
    let output = quorate(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[test]
fn every_kind_of_schema_is_printed() {
    for (kind, title) in [
        ("inventory", "an inventory of quorate"),
        ("vars", "variables of a group or host of quorate"),
        ("tasks", "tasks/main.yml of a role of quorate"),
        ("handlers", "handlers/main.yml of a role of quorate"),
        ("site", "site.yml of quorate"),
        (
            "events",
            "a line of quorate's --output json or of its journals",
        ),
        ("plan", "a plan of quorate as one object"),
    ] {
        let (exit, out, err) = run(&["schema", kind]);
        assert_eq!((exit, err.as_str()), (0, ""), "{kind}");
        let schema: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!(schema["title"], title);
        let draft = "https://json-schema.org/draft/2020-12/schema";
        assert_eq!(schema["$schema"], draft, "{kind}");
    }
    assert_eq!(run(&["schema", "event"]).0, 4);
}

#[test]
fn wrong_arguments_are_exit_code_4() {
    for arguments in [
        &[][..],
        &["bogus"],
        &["plan", "--bogus"],
        &["plan", "--forks", "0"],
        &["plan", "-q", "-v"],
        &["plan", "--output", "xml"],
        &["exec"],
        &["inventory", "host"],
        &["replay", "/nonexistent.jsonl"],
        &["replay", "Cargo.toml"],
        &["report", "tests/data/apply.jsonl"],
        &["report", "Cargo.toml", "--html", "/nonexistent/page.html"],
        &["history", "-n", "0"],
        &["apply", "plan.json", "--check"],
        &["plan", "--check", "--out", "plan.json"],
        &["drill"],
        &["drill", "failover", "--by", "isolat"],
        &["drill", "failover", "--target", "a b"],
        &["drill", "failover", "--times", "0"],
        &["drill", "failover", "--for", "4"],
        &["drill", "failover", "--check", "-i", "inventory/example"],
    ] {
        let (exit, out, err) = run(arguments);
        assert_eq!((exit, out.as_str()), (4, ""), "{arguments:?}: {err}");
        assert!(
            !err.is_empty() && !err.contains('\x1b') && !err.contains("BACKTRACE"),
            "{arguments:?}: {err}"
        );
    }
}

#[test]
fn help_and_version() {
    let (exit, help, _) = run(&["--help"]);
    assert_eq!(exit, 0);
    for word in [
        "validate",
        "inventory",
        "plan",
        "apply",
        "status",
        "exec",
        "drill",
        "replay",
        "report",
        "history",
        "roles",
        "vars",
        "completions",
        "--limit",
        "--tags",
        "--skip-tags",
        "--extra-vars",
        "--forks",
        "--check",
        "--diff",
        "--become",
        "--user",
        "--ask-become-pass",
        "--verbose",
        "--quiet",
        "--output",
        "--color",
        "--yes",
        "--host-key",
        "--known-hosts",
        "--break-lock",
        "QUORATE_INVENTORY",
        "130  interrupted",
    ] {
        assert!(help.contains(word), "no {word} in\n{help}");
    }
    assert!(!help.contains("demo-progress"));
    let (exit, version, _) = run(&["--version"]);
    assert_eq!(
        (exit, version),
        (0, format!("quorate {}\n", env!("CARGO_PKG_VERSION")))
    );
    for command in [
        "validate",
        "plan",
        "apply",
        "status",
        "exec",
        "replay",
        "inventory",
        "roles",
    ] {
        assert_eq!(run(&[command, "--help"]).0, 0, "{command}");
    }
}

#[test]
fn completions_for_the_usual_shells() {
    for (shell, word) in [
        ("bash", "complete -F _quorate"),
        ("zsh", "#compdef quorate"),
        ("fish", "complete -c quorate"),
    ] {
        let (exit, script, _) = run(&["completions", shell]);
        assert_eq!(exit, 0);
        assert!(
            script.contains(word) && script.contains("known-hosts"),
            "{shell}"
        );
    }
}

#[test]
fn replay_gives_the_recap_and_the_exit_code_of_the_run() {
    let (exit, out, err) = run(&["replay", "tests/data/apply.jsonl"]);
    assert_eq!((exit, err.as_str()), (1, ""));
    insta::assert_snapshot!("replay_apply", out);
    let (exit, out, _) = run(&["replay", "tests/data/plan.jsonl"]);
    assert_eq!(exit, 2);
    insta::assert_snapshot!("replay_plan", out);
}

#[test]
fn replay_in_every_form() {
    let (exit, out, _) = run(&["replay", "tests/data/apply.jsonl", "--output", "json"]);
    assert_eq!(exit, 1);
    assert!(out.lines().all(|line| line.starts_with("{\"v\":1,")));
    let (_, out, _) = run(&["replay", "tests/data/apply.jsonl", "--output", "plain"]);
    assert!(out.contains("10:12:21Z cp3 failed kubeadm join (18 s)\n") && !out.contains('\x1b'));
    let (_, out, _) = run(&["replay", "tests/data/apply.jsonl", "--color", "always"]);
    assert!(out.contains("\x1b[31mfailed"), "{out:?}");
}

#[test]
fn replay_of_a_killed_run_is_no_success() {
    let text = std::fs::read_to_string("tests/data/plan.jsonl").unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &text[..text.len() - 40]).unwrap();
    let (exit, out, err) = run(&["replay", file.path().to_str().unwrap()]);
    assert_eq!(exit, 1);
    assert!(out.contains("the run did not end"), "{out}");
    assert!(err.contains("the last line is cut off"), "{err}");
}

#[test]
fn a_drill_s_journal_gives_its_result_again() {
    let (exit, out, err) = run(&["replay", "tests/data/drill.jsonl"]);
    assert_eq!((exit, err.as_str()), (0, ""));
    insta::assert_snapshot!("replay_drill", out);
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("page.html");
    let page = page.to_str().unwrap();
    let (exit, out, err) = run(&["report", "tests/data/drill.jsonl", "--html", page]);
    assert_eq!((exit, out.as_str(), err.as_str()), (0, "", ""));
    let html = std::fs::read_to_string(page).unwrap();
    assert!(html.contains("<svg") && html.ends_with("</html>\n"));
}

#[test]
fn replay_without_its_first_record_ends_as_the_run_did() {
    let text = std::fs::read_to_string("tests/data/plan.jsonl").unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(
        file.path(),
        text.replacen("\"run_started\"", "\"began\"", 1),
    )
    .unwrap();
    let (exit, out, err) = run(&["replay", file.path().to_str().unwrap()]);
    assert_eq!(exit, 2, "{out}");
    assert!(err.contains("does not know the event `began`"), "{err}");
}

#[test]
fn a_closed_pipe_is_quiet() {
    use std::process::{Command, Stdio};
    for arguments in [
        &["replay", "tests/data/apply.jsonl"][..],
        &["completions", "bash"],
        &["demo-progress", "--speed", "100"],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = Command::new(env!("CARGO_BIN_EXE_quorate"))
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .args(arguments)
            .stdout(writer)
            .stderr(Stdio::piped())
            .output()
            .unwrap();
        assert_eq!(
            String::from_utf8(output.stderr).unwrap(),
            "",
            "{arguments:?}"
        );
        assert!(
            output.status.code().is_some_and(|code| code < 2),
            "{arguments:?}"
        );
    }
}

#[test]
fn a_made_up_run_through_the_real_reporters() {
    let (exit, out, err) = run(&["demo-progress", "--speed", "100", "--fail", "--hosts", "30"]);
    assert_eq!((exit, err.as_str()), (1, ""));
    assert!(out.contains("failed: w27: unreachable"), "{out}");
    assert_eq!(run(&["demo-progress", "--speed", "100", "--plan"]).0, 2);
}

/// A folder with journals beside an inventory: of a plan, of an apply that was killed while it wrote, and of nothing.
fn with_journals() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let journals = folder.path().join(".quorate/journal");
    std::fs::create_dir_all(&journals).unwrap();
    let data = |name: &str| {
        let path = format!("{}/tests/data/{name}.jsonl", env!("CARGO_MANIFEST_DIR"));
        std::fs::read_to_string(path).unwrap()
    };
    let apply = data("lab-drift-apply");
    let cut = apply.find("\"step_finished\"").unwrap();
    for (name, text) in [
        // Two of one second: the second has a number.
        (
            "20261122T123819Z-plan.jsonl",
            data("lab-drift-plan").as_str(),
        ),
        ("20261122T123819Z-plan-2.jsonl", data("plan").as_str()),
        ("20261122T123821Z-apply.jsonl", &apply[..cut]),
        ("20261122T123829Z-apply.jsonl", ""),
        (
            "20261122T123814Z-apply.jsonl",
            data("lab-converged-apply").as_str(),
        ),
        ("notes.txt", "no journal"),
    ] {
        std::fs::write(journals.join(name), text).unwrap();
    }
    folder
}

#[test]
fn history_lists_runs_and_says_which_journals_are_broken() {
    let folder = with_journals();
    let inventory = folder.path().join("inventory");
    let inventory = inventory.to_str().unwrap();
    let (exit, out, err) = run(&["history", "-i", inventory]);
    assert_eq!((exit, err.as_str()), (0, ""));
    let out = out.replace(folder.path().to_str().unwrap(), "DIR");
    insta::assert_snapshot!("history", out);
    let (exit, last, _) = run(&["history", "-i", inventory, "-n", "2", "--output", "json"]);
    assert_eq!((exit, last.lines().count()), (0, 2));
    let lines: Vec<serde_json::Value> = last
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines[0]["command"], "apply");
    assert_eq!(lines[0]["exit"], serde_json::Value::Null);
    assert!(
        lines[0]["problems"][0]
            .as_str()
            .unwrap()
            .contains("the last line is cut off")
    );
    assert!(lines[1].get("run").is_none(), "{last}");
}

#[test]
fn history_without_runs() {
    let folder = tempfile::tempdir().unwrap();
    let there = folder.path().join("inventory");
    let (exit, _, err) = run(&["history", "-i", there.to_str().unwrap()]);
    assert_eq!(exit, 4, "{err}");
    std::fs::create_dir(&there).unwrap();
    let (exit, out, _) = run(&["history", "-i", there.to_str().unwrap()]);
    assert_eq!(exit, 0);
    assert!(out.starts_with("no run has left a journal in"), "{out}");
    let (exit, out, _) = run(&["history", "-i", there.to_str().unwrap(), "--output", "json"]);
    assert_eq!((exit, out.as_str()), (0, ""));
}

#[test]
fn a_journal_as_text_and_as_a_page_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("page.html");
    let page = page.to_str().unwrap();
    let (exit, out, _) = run(&["report", "tests/data/plan.jsonl", "--text", "--html", page]);
    assert_eq!(exit, 0);
    assert!(
        out.starts_with("plan of cluster kubernetes: differences found (exit 2)\n"),
        "{out}"
    );
    assert!(
        std::fs::read_to_string(page)
            .unwrap()
            .ends_with("</html>\n")
    );
    let printed = run(&["report", "tests/data/plan.jsonl", "--html", "-"]);
    assert_eq!((printed.0, printed.2.as_str()), (0, ""));
    assert_eq!(printed.1, std::fs::read_to_string(page).unwrap());
    assert!(!std::path::Path::new("-").exists());
}

/// `vagrant/lab attach` where no hosts run, and where no engine answers: it says what to do, and leaves nothing behind.
#[test]
fn the_lab_attaches_to_nothing_and_says_so() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let lab = folder.path().join("vagrant");
    let there = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("vagrant");
    for part in ["scripts", "kubernetes/kubernetes"] {
        std::fs::create_dir_all(lab.join(part)).unwrap();
    }
    for file in ["lab", "scripts/common.sh", "kubernetes/kubernetes/go.mod"] {
        std::fs::copy(there.join(file), lab.join(file)).unwrap();
    }
    let docker = folder.path().join("docker");
    for (engine, said) in [
        ("exit 0", "no hosts of a lab are running on this machine"),
        ("exit 1", "this machine's container engine does not answer"),
    ] {
        std::fs::write(&docker, format!("#!/bin/sh\n{engine}\n")).unwrap();
        std::fs::set_permissions(&docker, std::fs::Permissions::from_mode(0o755)).unwrap();
        let path = format!("{}:/usr/bin:/bin", folder.path().display());
        let outcome = Command::new(lab.join("lab"))
            .arg("attach")
            .env("PATH", path)
            .assert()
            .failure();
        let err = String::from_utf8_lossy(&outcome.get_output().stderr).into_owned();
        assert!(
            err.contains(said) && err.contains("vagrant/lab up"),
            "{err}"
        );
        assert!(!lab.join(".lab").exists(), "{err}");
    }
}
