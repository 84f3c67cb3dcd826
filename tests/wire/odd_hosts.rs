//! Login shells and start-up files as they are in the field: each works, or is refused by name.

use std::fs;
use std::process::Command;
use std::sync::Arc;

use quorate::host::{Kind, Request, Segment, script, sh};
use quorate::transport::ssh::SshConnector;
use quorate::transport::{Connect, Elevation, SudoConnector, Target, TransportError};

use crate::help::{Output, exec, target, user, within};
use crate::sshd::Sshd;

/// Whose `sudo` is none: the login user is the wanted one, and all the rest is as behind sudo.
async fn run(
    sshd: &Sshd,
    elevation: Elevation,
    request: Request,
) -> Result<Output, TransportError> {
    let connector = SudoConnector::new(Arc::new(SshConnector::new(sshd.options())));
    let target = Target {
        elevation,
        ..target(sshd.port, &[&sshd.user_key("ed25519")])
    };
    let transport = within(connector.connect(&target)).await.unwrap();
    exec(&*transport, request).await
}

fn behind_sudo() -> Elevation {
    Elevation::Sudo {
        user: user(),
        password: None,
    }
}

/// A script of ours that gives back what follows it on standard input.
fn echo(payload: &[u8]) -> Request {
    let request = script::command("", "say begun\ncat\numask\n", "NONCE");
    let mut stdin = request.stdin().to_vec();
    stdin.push(Segment::Bytes(Arc::new(payload.to_vec())));
    Request::new(Kind::Wave, request.command().to_owned(), stdin)
}

/// Returns an sshd whose login shell is `shell`, as far as a command can tell: sshd runs `SHELL -c COMMAND`.
fn with_shell(shell: &str) -> Sshd {
    Sshd::with(&format!(
        "ForceCommand exec {shell} -c \"$SSH_ORIGINAL_COMMAND\"\nBanner {{root}}/sshd_config"
    ))
}

fn is_there(program: &str) -> bool {
    Command::new(program).args(["-c", "true"]).output().is_ok()
}

#[tokio::test]
async fn any_login_shell_does() {
    let payload: Vec<u8> = (0..100_000_u32).map(|n| n.to_le_bytes()[1]).collect();
    for (shell, program) in [
        ("busybox sh", "busybox"),
        ("dash", "dash"),
        ("bash", "bash"),
        // Tried where they are installed.
        ("zsh", "zsh"),
        ("fish", "fish"),
        ("tcsh", "tcsh"),
        ("ksh", "ksh"),
    ] {
        if !is_there(program) {
            eprintln!("{program} is not installed: skipped");
            continue;
        }
        let sshd = with_shell(shell);
        for elevation in [Elevation::None, behind_sudo()] {
            let output = run(&sshd, elevation.clone(), echo(&payload)).await.unwrap();
            let wanted = [&b"NONCE begun\n"[..], &payload, b"0077\n"].concat();
            assert!(output.stdout == wanted, "{shell}: {:?}", output.stderr());
            // The user's own command, of characters that shells fight over.
            let words = r#"echo "it's" 'a!b' "\\" \' !"#;
            let line = format!("exec /bin/sh -c {}", sh::login_word(words));
            let request = Request::new(Kind::Command, line, Vec::new());
            let output = run(&sshd, elevation, request).await.unwrap();
            assert_eq!(
                output.stdout(),
                "it's a!b \\ ' !\n",
                "{shell}: {}",
                output.stderr()
            );
        }
    }
}

#[tokio::test]
async fn noise_of_a_login_is_no_part_of_the_answer() {
    let noise = "ForceCommand echo Welcome; printf 'no line end'; echo warning >&2; umask 000; eval \"$SSH_ORIGINAL_COMMAND\"";
    let sshd = Sshd::with(noise);
    let output = run(&sshd, behind_sudo(), echo(b"payload\n")).await.unwrap();
    assert_eq!(output.stdout(), "NONCE begun\npayload\n0077\n");
    assert_eq!(output.stderr(), "");
}

#[tokio::test]
async fn what_reads_at_login_is_told_and_nothing_is_run() {
    for reader in [
        "read -r line",
        "dd bs=10 count=1 2>/dev/null",
        "cat >/dev/null",
    ] {
        let line = format!("ForceCommand {reader}; eval \"$SSH_ORIGINAL_COMMAND\"");
        let sshd = Sshd::with(&line);
        let touched = sshd.path("touched");
        let request = script::command("", &format!("touch {touched}\n"), "NONCE");
        let payload = Segment::Bytes(Arc::new(format!("touch {touched}\n").repeat(9).into()));
        let mut stdin = request.stdin().to_vec();
        stdin.push(payload);
        let request = Request::new(Kind::Wave, request.command().to_owned(), stdin);
        for elevation in [Elevation::None, behind_sudo()] {
            let output = run(&sshd, elevation, request.clone()).await.unwrap();
            assert_eq!(output.status, 96, "{reader}");
            assert!(output.stderr().contains(script::INPUT_TAKEN), "{reader}");
        }
        assert!(!touched.exists(), "{reader}");
    }
}

#[tokio::test]
async fn a_shell_that_runs_nothing_is_not_taken_for_sudo() {
    for (shell, words, cure) in [
        (
            "bash --restricted -c \"$SSH_ORIGINAL_COMMAND\"",
            "restricted",
            "usermod -s",
        ),
        (
            "echo This account is currently not available.",
            "currently not available",
            "getent passwd",
        ),
        (
            "exit 7",
            "it ended without a word (exit status 7)",
            "getent passwd",
        ),
    ] {
        let sshd = Sshd::with(&format!("ForceCommand {shell}"));
        match run(&sshd, behind_sudo(), echo(b"")).await {
            Err(TransportError::Login { reason, help, .. }) => {
                assert!(reason.contains(words), "{shell}: {reason}");
                assert!(help.contains(cure), "{shell}: {help}");
            }
            other => panic!("{shell}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn bash_reads_its_start_up_file_and_all_is_well() {
    // bash reads it where sshd has started it: on Debian, not everywhere.
    let sshd = with_shell("/usr/bin/env SHLVL=0 /bin/bash");
    let seen = sshd.path("seen");
    let text =
        format!("touch {seen}; echo stdout; echo stderr >&2; umask 000; export PATH=/nowhere\n");
    fs::write(sshd.path(".bashrc"), text).unwrap();
    let output = run(&sshd, behind_sudo(), echo(b"payload\n")).await.unwrap();
    assert_eq!(output.stdout(), "NONCE begun\npayload\n0077\n");
    if !seen.exists() {
        eprintln!("bash does not read ~/.bashrc behind sshd here");
    }
}
