//! Becoming another user, with a `sudo` that behaves like the real one; the lab has the real one.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use quorate::host::{Kind, Request, Segment};
use quorate::model::Secret;
use quorate::transport::ssh::SshConnector;
use quorate::transport::{
    Connect, Counters, Elevation, SudoConnector, Target, Transport, TransportError, stack,
};
use tokio::sync::mpsc;

use crate::help::{Output, exec, exec_live, request, target, user, with_stdin, within};
use crate::sshd::Sshd;

/// Messages and behaviour of sudo 1.9 with the options that quorate uses; `MODE` is replaced.
const SUDO: &str = r#"#!/bin/sh
mode=$(cat "$0.mode")
echo "$*" >> "$0.argv"
prompt= ask=1
while [ $# -gt 0 ]; do
    case $1 in
        -n) ask= ;;
        -k|-S|-H) ;;
        -p) prompt=$2; shift ;;
        -u) shift ;;
        --) shift; break ;;
        *) echo "sudo: invalid option $1" >&2; exit 1 ;;
    esac
    shift
done
echo "sudo: unable to resolve host node: Name or service not known" >&2
case $mode in
    nopasswd) exec "$@" ;;
    tty) echo "sudo: sorry, you must have a tty to run sudo" >&2; exit 1 ;;
    nouser) echo "sudo: unknown user nosuchuser" >&2; exit 1 ;;
    dead) exit 1 ;;
esac
if [ -z "$ask" ]; then
    echo "sudo: a password is required" >&2
    exit 1
fi
printf '\nWe trust you have received the usual lecture from the local System\nAdministrator.\n\n' >&2
tries=0
while [ $tries -lt 3 ]; do
    printf '%s' "$prompt" >&2
    IFS= read -r given || { printf '\nsudo: no password was provided\nsudo: a password is required\n' >&2; exit 1; }
    tries=$((tries + 1))
    echo "$given" >> "$0.given"
    if [ "$given" = "it's \$ecret" ]; then
        [ "$mode" = denied ] && { echo "alice is not in the sudoers file." >&2; exit 1; }
        exec "$@"
    fi
    printf '\nSorry, try again.\n' >&2
done
echo "sudo: 3 incorrect password attempts" >&2
exit 1
"#;

const PASSWORD: &str = "it's $ecret";

struct Host {
    sshd: Sshd,
    bin: camino::Utf8PathBuf,
}

impl Host {
    fn start(mode: &str) -> Self {
        let directory = tempfile::TempDir::new().unwrap();
        let bin = camino::Utf8PathBuf::try_from(directory.keep()).unwrap();
        fs::write(bin.join("sudo"), SUDO).unwrap();
        fs::set_permissions(bin.join("sudo"), fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(bin.join("sudo.mode"), mode).unwrap();
        Self {
            sshd: Sshd::with_path(&format!("{bin}:/usr/bin:/bin")),
            bin,
        }
    }

    fn target(&self, become_user: &str, password: Option<&str>) -> Target {
        Target {
            elevation: Elevation::Sudo {
                user: become_user.to_owned(),
                password: password.map(|password| Secret::new(password.to_owned())),
            },
            ..target(self.sshd.port, &[&self.sshd.user_key("ed25519")])
        }
    }

    async fn connect(&self, become_user: &str, password: Option<&str>) -> Arc<dyn Transport> {
        let connector = SudoConnector::new(Arc::new(SshConnector::new(self.sshd.options())));
        within(connector.connect(&self.target(become_user, password)))
            .await
            .unwrap()
    }

    async fn run(
        &self,
        password: Option<&str>,
        request: Request,
    ) -> Result<Output, TransportError> {
        exec(&*self.connect("operator", password).await, request).await
    }

    async fn refused(&self, password: Option<&str>) -> (String, String) {
        match self.run(password, with_stdin("cat", "payload\n")).await {
            Err(TransportError::Elevation { user, reason, help }) => {
                assert_eq!(user, "operator");
                (reason, help)
            }
            other => panic!("{other:?}"),
        }
    }

    fn note(&self, name: &str) -> String {
        fs::read_to_string(self.bin.join(name)).unwrap_or_default()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.bin);
    }
}

/// Status, both streams and binary input must come through as if sudo were not there.
async fn comes_through(host: &Host, password: Option<&str>) {
    let command = "echo \"it's\" out; echo err >&2; exit 9";
    let output = host.run(password, request(command)).await.unwrap();
    assert_eq!(
        (output.status, output.stdout(), output.stderr()),
        (9, "it's out\n".into(), "err\n".into())
    );
    let payload: Vec<u8> = (0..3 << 20)
        .map(|n: u32| n.to_le_bytes()[1] ^ n.to_le_bytes()[0])
        .collect();
    let output = host
        .run(password, with_stdin("cat", payload.clone()))
        .await
        .unwrap();
    assert!(output.stdout == payload);
    assert_eq!(output.sent.last(), Some(&(3 << 20)));
    let output = host.run(password, request("exit 1")).await.unwrap();
    assert_eq!((output.status, output.stderr()), (1, String::new()));
}

#[tokio::test]
async fn without_a_password() {
    let host = Host::start("nopasswd");
    comes_through(&host, None).await;
    assert!(
        host.note("sudo.argv")
            .starts_with("-n -H -u operator -- /bin/sh -c ")
    );
}

#[tokio::test]
async fn with_a_password() {
    let host = Host::start("password");
    comes_through(&host, Some(PASSWORD)).await;
    assert_eq!(host.note("sudo.given"), format!("{PASSWORD}\n").repeat(3));
    assert!(
        !host.note("sudo.argv").contains("ecret"),
        "the password is in argv"
    );
}

#[tokio::test]
async fn with_a_password_that_nobody_asks_for() {
    let host = Host::start("nopasswd");
    comes_through(&host, Some(PASSWORD)).await;
    // It must not end up in what the command reads either.
    let output = host
        .run(Some(PASSWORD), with_stdin("cat", "payload\n"))
        .await
        .unwrap();
    assert_eq!(output.stdout(), "payload\n");
}

#[tokio::test]
async fn a_wrong_password_is_tried_once_and_costs_no_payload() {
    let host = Host::start("password");
    let (reason, help) = host.refused(Some("wrong")).await;
    assert_eq!(reason, "sudo does not accept the password");
    assert_eq!(help, "correct ansible_become_password");
    assert_eq!(host.note("sudo.given"), "wrong\n");
}

#[tokio::test]
async fn refusals_have_reason_and_help() {
    let host = Host::start("password");
    let (reason, help) = host.refused(None).await;
    assert_eq!(
        reason,
        "sudo wants a password (or has no rule for this user)"
    );
    assert!(help.starts_with("set ansible_become_password"), "{help}");
    for (mode, password, words) in [
        ("denied", Some(PASSWORD), "sudoers does not let"),
        ("tty", None, "requiretty"),
        ("tty", Some(PASSWORD), "requiretty"),
        ("nouser", None, "the host has no user operator"),
        ("dead", None, "unable to resolve host"),
    ] {
        fs::write(host.bin.join("sudo.mode"), mode).unwrap();
        let (reason, _) = host.refused(password).await;
        assert!(reason.contains(words), "{mode}: {reason}");
    }
}

#[tokio::test]
async fn the_login_user_needs_no_sudo() {
    let host = Host::start("dead");
    for password in [None, Some(PASSWORD)] {
        let transport = host.connect(&user(), password).await;
        let output = exec(&*transport, with_stdin("cat; exit 5", "as myself"))
            .await
            .unwrap();
        assert_eq!((output.status, output.stdout()), (5, "as myself".into()));
        // And what asks not to be elevated is not.
        let plain = Request::new(Kind::Command, "echo plain".into(), Vec::new()).as_login_user();
        let transport = host.connect("operator", password).await;
        assert_eq!(exec(&*transport, plain).await.unwrap().stdout(), "plain\n");
    }
    assert_eq!(host.note("sudo.argv"), "");
}

#[tokio::test]
async fn live_input_passes_through_sudo() {
    for (mode, password) in [("nopasswd", None), ("password", Some(PASSWORD))] {
        let host = Host::start(mode);
        let transport = host.connect("operator", password).await;
        let (live, receiver) = mpsc::channel(1);
        let command = "read -r a; read -r b; echo $a $b; cat; echo eof";
        let running = exec_live(&*transport, with_stdin(command, "own\n"), Some(receiver));
        let talking = async {
            live.send(b"beat\n".to_vec()).await.unwrap();
            live.send(b"more\n".to_vec()).await.unwrap();
            drop(live);
        };
        let (output, ()) = within(async { tokio::join!(running, talking) }).await;
        assert_eq!(output.unwrap().stdout(), "own beat\nmore\neof\n");
    }
}

#[tokio::test]
async fn a_missing_file_costs_no_password() {
    let host = Host::start("password");
    let path = host.sshd.path("missing");
    let request = Request::new(
        Kind::Wave,
        "cat".into(),
        vec![Segment::File { path, length: 1 }],
    );
    let error = host.run(Some(PASSWORD), request).await.unwrap_err();
    assert!(matches!(error, TransportError::Payload { .. }), "{error}");
    assert_eq!(host.note("sudo.argv"), "");
}

#[tokio::test]
async fn the_whole_stack_counts_and_guards() {
    let host = Host::start("nopasswd");
    let counters = Arc::new(Counters::default());
    let target = host.target("operator", None);
    let open = stack(host.sshd.options(), false, counters.clone());
    let transport = within(open.connect(&target)).await.unwrap();
    exec(&*transport, with_stdin("cat; echo x >&2", "12345"))
        .await
        .unwrap();
    let tally = counters.tally();
    assert_eq!((tally.connections, tally.waves, tally.execs()), (1, 1, 1));
    assert_eq!((tally.bytes_out, tally.bytes_in), (5, 7));

    let guarded = stack(host.sshd.options(), true, counters.clone());
    let transport = within(guarded.connect(&target)).await.unwrap();
    for kind in [
        Kind::Wave,
        Kind::Lock,
        Kind::Stop,
        Kind::Command,
        Kind::Probe,
    ] {
        // Request::new makes no probe of Kind::Probe either.
        let request = Request::new(kind, format!("touch {}/touched", host.bin), Vec::new());
        let error = exec(&*transport, request).await.unwrap_err();
        assert!(matches!(error, TransportError::ReadOnly), "{error}");
    }
    assert!(!host.bin.join("touched").exists());
    assert_eq!(counters.tally().execs(), 1);
}
