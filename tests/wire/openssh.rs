//! Against OpenSSH's own server.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use camino::Utf8PathBuf;
use quorate::host::{Kind, Request, Segment};
use quorate::transport::ssh::SshOptions;
use quorate::transport::{Chunk, Transport, TransportError};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use crate::help::{connect, exec, exec_live, refused, request, target, with_stdin, within};
use crate::sshd::{Sshd, keygen};

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Bytes that no compression and no text mode lets through by luck.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    (0..length)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[3]
        })
        .collect()
}

async fn open(sshd: &Sshd) -> Arc<dyn Transport> {
    let target = target(sshd.port, &[&sshd.user_key("ed25519")]);
    connect(&sshd.options(), &target).await.unwrap()
}

#[tokio::test]
async fn every_kind_of_key_logs_in() {
    let sshd = Sshd::start();
    for kind in ["ed25519", "ecdsa", "rsa"] {
        let transport = connect(&sshd.options(), &target(sshd.port, &[&sshd.user_key(kind)]))
            .await
            .unwrap();
        let output = exec(&*transport, request("echo out; echo err >&2; exit 7"))
            .await
            .unwrap();
        assert_eq!(
            (output.status, output.stdout(), output.stderr()),
            (7, "out\n".into(), "err\n".into())
        );
        within(transport.close()).await;
    }
}

#[tokio::test]
async fn a_signal_is_an_exit_status() {
    let sshd = Sshd::start();
    let transport = open(&sshd).await;
    let output = exec(&*transport, request("kill -TERM $$")).await.unwrap();
    assert_eq!(output.status, 143);
    // A signal that SSH has no name for.
    let output = exec(&*transport, request("kill -USR2 $$")).await.unwrap();
    assert_eq!(output.status & 128, 128, "{}", output.status);
}

#[tokio::test]
async fn fifty_mebibytes_arrive_whole() {
    let sshd = Sshd::start();
    let transport = open(&sshd).await;
    let (first, second) = (noise(20 << 20), noise(30 << 20));
    let file = sshd.path("payload");
    fs::write(&file, &second).unwrap();
    let mut whole = first.clone();
    whole.extend(&second);
    let segments = vec![
        Segment::Bytes(Arc::new(first)),
        Segment::File {
            path: file,
            length: second.len() as u64,
        },
    ];
    let start = Instant::now();
    let output = exec(
        &*transport,
        Request::new(Kind::Wave, "sha256sum".into(), segments.clone()),
    )
    .await
    .unwrap();
    eprintln!("50 MiB up: {:?}", start.elapsed());
    assert_eq!(output.stdout().split(' ').next().unwrap(), hex(&whole));
    assert_eq!(output.sent.last(), Some(&(50 << 20)));
    assert!(
        output.sent.len() <= 51 && output.sent.is_sorted(),
        "{:?}",
        output.sent
    );
    // And back: what is sent and what is read flow at the same time.
    let start = Instant::now();
    let output = exec(
        &*transport,
        Request::new(Kind::Wave, "cat".into(), segments),
    )
    .await
    .unwrap();
    eprintln!("50 MiB up and down: {:?}", start.elapsed());
    assert_eq!(hex(&output.stdout), hex(&whole));
}

#[tokio::test]
async fn eight_execs_share_four_channels() {
    let sshd = Sshd::start();
    let transport = open(&sshd).await;
    let running = (0..8).map(|n| {
        let transport = transport.clone();
        async move {
            exec(&*transport, with_stdin("cat; echo done", format!("{n}\n")))
                .await
                .unwrap()
        }
    });
    let outputs = within(futures::future::join_all(running)).await;
    for (n, output) in outputs.iter().enumerate() {
        assert_eq!(output.stdout(), format!("{n}\ndone\n"));
    }
    // Hundreds one after the other: sessions are buried as fast as they are opened.
    let start = Instant::now();
    for _ in 0..100 {
        assert_eq!(exec(&*transport, request("true")).await.unwrap().status, 0);
    }
    eprintln!("exec: {:?} each", start.elapsed() / 100);
}

#[tokio::test]
async fn a_script_may_die_before_it_has_read_everything() {
    let sshd = Sshd::start();
    let transport = open(&sshd).await;
    let output = exec(
        &*transport,
        with_stdin("exec 0<&-; echo early >&2; exit 3", noise(30 << 20)),
    )
    .await
    .unwrap();
    assert_eq!((output.status, output.stderr()), (3, "early\n".into()));
    // The connection is as good as before.
    assert_eq!(exec(&*transport, request("true")).await.unwrap().status, 0);
}

#[tokio::test]
async fn live_input_follows_the_requests_own() {
    let sshd = Sshd::start();
    let transport = open(&sshd).await;
    let (live, receiver) = mpsc::channel(1);
    let (sender, mut output) = mpsc::channel(8);
    let request = with_stdin(
        "while read -r line; do echo \"got $line\"; done; echo eof",
        "first\n",
    );
    let running = tokio::spawn({
        let transport = transport.clone();
        async move { transport.exec(request, Some(receiver), sender).await }
    });
    let next = async |output: &mut mpsc::Receiver<Chunk>| loop {
        match within(output.recv()).await {
            Some(Chunk::Stdout(bytes)) => return String::from_utf8(bytes).unwrap(),
            Some(_) => {}
            None => return "end".to_owned(),
        }
    };
    assert_eq!(next(&mut output).await, "got first\n");
    live.send(b"second\n".to_vec()).await.unwrap();
    assert_eq!(next(&mut output).await, "got second\n");
    drop(live);
    assert_eq!(next(&mut output).await, "eof\n");
    assert_eq!(within(running).await.unwrap().unwrap().status, 0);
}

#[tokio::test]
async fn a_dropped_exec_closes_its_channel() {
    let sshd = Sshd::start();
    let transport = open(&sshd).await;
    let gone = sshd.path("gone");
    // cat ends when its standard input does; more of them than there are channels.
    for n in 0..6 {
        let (sender, mut output) = mpsc::channel(8);
        let (_live, receiver) = mpsc::channel::<Vec<u8>>(1);
        let command = format!("echo running; cat >/dev/null; echo {n} >> {gone}");
        let mut running = transport.exec(request(&command), Some(receiver), sender);
        within(async {
            tokio::select! {
                _ = &mut running => panic!("it should run until it is dropped"),
                chunk = output.recv() => assert_eq!(chunk, Some(Chunk::Stdout(b"running\n".to_vec()))),
            }
        })
        .await;
        drop(running);
    }
    let seen = async {
        while fs::read_to_string(&gone)
            .unwrap_or_default()
            .lines()
            .count()
            < 6
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    within(seen).await;
    assert_eq!(exec(&*transport, request("true")).await.unwrap().status, 0);
}

#[tokio::test]
async fn what_stays_in_the_background_does_not_hold_the_exec() {
    let sshd = Sshd::start();
    let transport = open(&sshd).await;
    let output = exec(&*transport, request("sleep 50 & echo $!; exit 4"))
        .await
        .unwrap();
    assert_eq!(output.status, 4);
    exec(
        &*transport,
        request(&format!("kill {}", output.stdout().trim())),
    )
    .await
    .unwrap();
}

#[tokio::test]
async fn a_killed_server_is_a_lost_connection() {
    let sshd = Sshd::start();
    let transport = open(&sshd).await;
    // The session's own sshd process is the shell's parent.
    let result = exec(&*transport, request("echo dying; kill -9 $PPID; sleep 50")).await;
    let Err(TransportError::Lost { reason, .. }) = result else {
        panic!("{result:?}")
    };
    assert!(
        reason.contains("closed the connection") || reason.contains("reset"),
        "{reason}"
    );
    let again = exec(&*transport, request("true")).await;
    assert!(
        matches!(again, Err(TransportError::Lost { .. })),
        "{again:?}"
    );
    within(transport.close()).await;
}

#[tokio::test]
async fn files_that_changed_are_not_sent() {
    let sshd = Sshd::start();
    let transport = open(&sshd).await;
    let touched = sshd.path("touched");
    let send = |path: &Utf8PathBuf, length| {
        let segment = Segment::File {
            path: path.clone(),
            length,
        };
        Request::new(Kind::Wave, format!("touch {touched}; cat"), vec![segment])
    };
    let file = sshd.path("file");
    fs::write(&file, "12345").unwrap();
    let error = exec(&*transport, send(&file, 6)).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("cannot send {file}: it had 6 bytes, and has 5 now")
    );
    let missing = sshd.path("missing");
    let error = exec(&*transport, send(&missing, 1)).await.unwrap_err();
    assert!(matches!(error, TransportError::Payload { .. }), "{error}");
    assert!(!touched.exists(), "nothing may have run");
    assert_eq!(
        exec(&*transport, send(&file, 5)).await.unwrap().stdout(),
        "12345"
    );
}

#[tokio::test]
async fn keys_that_cannot_be_used_are_named() {
    let sshd = Sshd::start();
    let options = sshd.options();
    let tried = async |key: &Utf8PathBuf| match refused(&options, &target(sshd.port, &[key])).await
    {
        TransportError::Authentication { tried, .. } => tried,
        other => panic!("{other}"),
    };
    let missing = sshd.path("missing");
    assert_eq!(tried(&missing).await, format!("{missing} does not exist"));

    let encrypted = sshd.path("encrypted");
    keygen(&encrypted, "ed25519", "secret");
    let text = tried(&encrypted).await;
    assert_eq!(
        text,
        format!(
            "{encrypted} is encrypted, and its passphrase was not given: ssh-add {encrypted}, or run quorate on a terminal, where it asks for it"
        )
    );

    let pkcs8 = sshd.path("pkcs8");
    let status = Command::new("ssh-keygen")
        .args([
            "-q",
            "-t",
            "ecdsa",
            "-m",
            "PKCS8",
            "-N",
            "secret",
            "-f",
            pkcs8.as_str(),
        ])
        .status()
        .unwrap();
    assert!(status.success());
    assert!(
        tried(&pkcs8)
            .await
            .starts_with(&format!("{pkcs8} is encrypted, and its passphrase"))
    );

    let open = sshd.path("open");
    fs::copy(sshd.user_key("ed25519"), &open).unwrap();
    fs::set_permissions(&open, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(tried(&open).await.ends_with(&format!("chmod 600 {open}")));

    let rubbish = sshd.path("rubbish");
    fs::write(&rubbish, "not a key").unwrap();
    assert!(tried(&rubbish).await.contains("holds no private key"));
    let directory = sshd.path("");
    assert!(tried(&directory).await.contains("no regular file"));

    let stranger = sshd.path("stranger");
    keygen(&stranger, "ed25519", "");
    assert_eq!(tried(&stranger).await, format!("{stranger} (ssh-ed25519)"));
}

#[tokio::test]
async fn a_second_key_is_tried_after_the_first() {
    let sshd = Sshd::start();
    let stranger = sshd.path("stranger");
    keygen(&stranger, "ed25519", "");
    let missing = sshd.path("missing");
    let keys = [&missing, &stranger, &sshd.user_key("rsa")];
    let transport = connect(&sshd.options(), &target(sshd.port, &keys))
        .await
        .unwrap();
    assert_eq!(exec(&*transport, request("true")).await.unwrap().status, 0);
}

#[tokio::test]
async fn keys_of_older_formats_log_in() {
    let sshd = Sshd::start();
    for (kind, format) in [("rsa", "PEM"), ("rsa", "PKCS8"), ("ecdsa", "PKCS8")] {
        let path = sshd.path(&format!("{kind}_{format}"));
        fs::copy(sshd.user_key(kind), &path).unwrap();
        let status = Command::new("ssh-keygen")
            .args([
                "-q",
                "-p",
                "-m",
                format,
                "-P",
                "",
                "-N",
                "",
                "-f",
                path.as_str(),
            ])
            .stdout(Stdio::null())
            .status()
            .unwrap();
        assert!(status.success());
        if let Err(error) = connect(&sshd.options(), &target(sshd.port, &[&path])).await {
            panic!("{kind} {format}: {error}");
        }
    }
}

/// An ssh-agent that ends with the test.
pub(crate) struct Agent {
    child: Child,
    pub(crate) socket: Utf8PathBuf,
}

impl Agent {
    pub(crate) async fn start(sshd: &Sshd) -> Self {
        let socket = sshd.path("agent");
        let child = Command::new("ssh-agent")
            .args(["-D", "-a", socket.as_str()])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let listening = async {
            while tokio::net::UnixStream::connect(&socket).await.is_err() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        within(listening).await;
        Self { child, socket }
    }

    pub(crate) fn add(&self, key: &Utf8PathBuf) {
        let status = Command::new("ssh-add")
            .args(["-q", key.as_str()])
            .env("SSH_AUTH_SOCK", &self.socket)
            .status()
            .unwrap();
        assert!(status.success());
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn an_agent_signs() {
    let sshd = Sshd::start();
    let agent = Agent::start(&sshd).await;
    let options = SshOptions {
        agent: Some(agent.socket.clone()),
        ..sshd.options()
    };
    let nobody = target(sshd.port, &[]);
    let error = refused(&options, &nobody).await;
    assert!(error.to_string().contains("holds no key"), "{error}");

    let stranger = sshd.path("stranger");
    keygen(&stranger, "ed25519", "");
    agent.add(&stranger);
    let error = refused(&options, &nobody).await;
    assert!(error.to_string().contains("agent key SHA256:"), "{error}");

    for kind in ["rsa", "ecdsa", "ed25519"] {
        agent.add(&sshd.user_key(kind));
        let transport = connect(&options, &nobody).await.unwrap();
        assert_eq!(exec(&*transport, request("true")).await.unwrap().status, 0);
    }

    // A configured key that is encrypted, or of which only the public half is there, is the agent's to use.
    let encrypted = sshd.path("encrypted");
    fs::copy(sshd.user_key("ed25519"), &encrypted).unwrap();
    let status = Command::new("ssh-keygen")
        .args([
            "-q",
            "-p",
            "-P",
            "",
            "-N",
            "secret",
            "-f",
            encrypted.as_str(),
        ])
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
    for key in [encrypted, sshd.path("user_rsa.pub")] {
        if let Err(error) = connect(&options, &target(sshd.port, &[&key])).await {
            panic!("{key}: {error}");
        }
    }
}

#[tokio::test]
async fn the_usual_files_come_after_the_agent() {
    let sshd = Sshd::start();
    let options = SshOptions {
        agent: Some(sshd.path("no-agent")),
        identities: vec![sshd.path("missing"), sshd.user_key("ecdsa")],
        ..sshd.options()
    };
    assert!(connect(&options, &target(sshd.port, &[])).await.is_ok());
    let options = SshOptions {
        identities: vec![sshd.path("missing")],
        agent: None,
        ..options
    };
    let error = refused(&options, &target(sshd.port, &[])).await;
    assert!(error.to_string().contains("no key at all"), "{error}");
}

#[tokio::test]
async fn live_input_ends_with_the_command() {
    let sshd = Sshd::start();
    let transport = open(&sshd).await;
    let (live, receiver) = mpsc::channel(1);
    let output = exec_live(
        &*transport,
        request("read -r word; echo $word"),
        Some(receiver),
    );
    let talk = async {
        live.send(b"beat\n".to_vec()).await.unwrap();
        live.closed().await;
    };
    let (output, ()) = within(async { tokio::join!(output, talk) }).await;
    assert_eq!(output.unwrap().stdout(), "beat\n");
}

#[tokio::test]
async fn long_commands_arrive_or_are_refused() {
    let sshd = Sshd::start();
    let transport = open(&sshd).await;
    let command = |length: usize| format!("echo {}", "x".repeat(length - 5));
    let output = exec(&*transport, request(&command((128 << 10) - 1)))
        .await
        .unwrap();
    assert_eq!(output.stdout.len(), (128 << 10) - 5);
    let error = exec(&*transport, request(&command(128 << 10)))
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("more than Linux takes"),
        "{error}"
    );
}

#[tokio::test]
async fn new_keys_under_four_busy_channels() {
    let sshd = Sshd::with("RekeyLimit 1M\n");
    let transport = open(&sshd).await;
    for command in ["sha256sum", "cat"] {
        let payload = noise(8 << 20);
        let running = (0..4).map(|_| exec(&*transport, with_stdin(command, payload.clone())));
        for output in within(futures::future::join_all(running)).await {
            let output =
                output.unwrap_or_else(|error| panic!("{command}: {error}\n{}", sshd.log()));
            if command == "cat" {
                assert!(output.stdout == payload);
            } else {
                assert!(output.stdout().starts_with(&hex(&payload)));
            }
        }
    }
}
