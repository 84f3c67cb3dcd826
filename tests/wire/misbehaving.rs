//! Against a server that misbehaves: every way out has its error, in time, and leaves nothing behind.

use std::fs;
use std::time::{Duration, Instant};

use quorate::host::{Kind, Request, Segment};
use quorate::transport::ssh::{SshConnector, SshOptions};
use quorate::transport::{Chunk, Connect, Transport, TransportError};
use std::sync::Arc;
use tokio::sync::mpsc;

use crate::bad_server::{BadServer, Vice, hasty};
use crate::help::{LIMIT, connect, exec, exec_live, refused, request, target, with_stdin, within};

async fn refusal(vice: Vice) -> TransportError {
    let server = BadServer::start(vice).await;
    let error = refused(
        &server.options(),
        &target(server.port, &[&server.user_key()]),
    )
    .await;
    // A server that hangs in authentication never looks whether the client is still there.
    if vice != Vice::AuthSilence {
        server.is_left_alone().await;
    }
    error
}

async fn open(server: &BadServer) -> Arc<dyn Transport> {
    connect(
        &server.options(),
        &target(server.port, &[&server.user_key()]),
    )
    .await
    .unwrap()
}

#[tokio::test]
async fn connections_end_in_time_and_leave_nothing() {
    let start = Instant::now();
    for vice in [Vice::Silence, Vice::BannerOnly] {
        let error = refusal(vice).await;
        assert!(
            matches!(error, TransportError::Unreachable { .. }),
            "{error:?}"
        );
        assert!(
            error
                .to_string()
                .ends_with("it took the connection, but no SSH handshake within 1 s"),
            "{error}"
        );
    }
    // However much comes, and however slowly: the limit is of the whole handshake.
    for vice in [Vice::Preamble, Vice::Drip, Vice::Noise, Vice::HugePacket] {
        let error = refusal(vice).await;
        assert!(
            matches!(error, TransportError::Unreachable { .. }),
            "{vice:?}: {error:?}"
        );
        assert!(error.to_string().len() < 400, "{vice:?}: {error}");
    }
    let error = refusal(Vice::AuthSilence).await;
    assert!(
        error.to_string().ends_with(
            "authentication was not over within 1 s: the host or the agent does not answer"
        ),
        "{error}"
    );
    let error = refusal(Vice::Http).await;
    assert!(
        matches!(error, TransportError::Unreachable { .. }),
        "{error:?}"
    );
    assert!(start.elapsed() < Duration::from_secs(15));
}

#[tokio::test]
async fn nobody_listens() {
    let port = crate::sshd::free_port();
    let server = BadServer::start(Vice::None).await;
    let error = refused(&server.options(), &target(port, &[])).await;
    assert_eq!(
        error.to_string(),
        format!(
            "cannot reach 127.0.0.1:{port}: connection refused: a machine answers, but nothing listens on port {port}"
        )
    );
}

#[tokio::test]
async fn keys_are_not_enough() {
    let error = refusal(Vice::PasswordOnly).await;
    assert!(error.to_string().contains("takes no keys, only"), "{error}");
    let error = refusal(Vice::MoreAuth).await;
    assert!(
        error
            .to_string()
            .contains("was accepted, but the host also wants"),
        "{error}"
    );
}

#[tokio::test]
async fn a_dropped_connection_attempt_leaves_nothing() {
    let server = BadServer::start(Vice::BannerOnly).await;
    let connector = SshConnector::new(server.options());
    let target = target(server.port, &[]);
    let mut attempt = connector.connect(&target);
    let begun = async {
        while server.open.load(std::sync::atomic::Ordering::SeqCst) == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::select! {
        _ = &mut attempt => panic!("nobody answers"),
        () = begun => {}
    }
    drop(attempt);
    server.is_left_alone().await;
}

#[tokio::test]
async fn a_dropped_transport_closes_its_connection() {
    let server = BadServer::start(Vice::None).await;
    let transport = open(&server).await;
    drop(transport);
    server.is_left_alone().await;
    let transport = open(&server).await;
    within(transport.close()).await;
    // Closed in order, and not only because it was dropped.
    server.is_left_alone().await;
    let error = exec(&*transport, request("true")).await.unwrap_err();
    assert!(matches!(error, TransportError::Lost { .. }), "{error:?}");
}

#[tokio::test]
async fn sessions_are_refused_or_never_answered() {
    for (vice, words) in [
        (Vice::NoChannel, "refuses a further session"),
        (
            Vice::ChannelSilence,
            "did not answer within 1 s (opening a session)",
        ),
        (
            Vice::ExecSilence,
            "did not answer within 1 s (the answer to exec)",
        ),
        (Vice::ExecRefused, "refuses to run commands"),
        (
            Vice::Idle,
            "did not answer within 2 s (any sign of the command)",
        ),
        (
            Vice::Stuck,
            "did not answer within 2 s (any sign of the command)",
        ),
        (
            Vice::ClosesChannel,
            "closed the session without an exit status",
        ),
        (Vice::Disconnects, "the host said: going down"),
        (Vice::Opens, "the host opens channels that nobody asked for"),
    ] {
        let server = BadServer::start(vice).await;
        let transport = open(&server).await;
        let error = exec(&*transport, with_stdin("cat", vec![0; 1 << 20]))
            .await
            .unwrap_err();
        assert!(error.to_string().contains(words), "{vice:?}: {error}");
        drop(transport);
        server.is_left_alone().await;
    }
}

/// A large file is read no faster than the host takes it: the rest stays on the disk.
#[tokio::test]
async fn what_a_host_does_not_take_is_not_read() {
    let server = BadServer::start(Vice::Stuck).await;
    let transport = open(&server).await;
    let file = server.path("large");
    let length = 2 << 30;
    fs::File::create(&file).unwrap().set_len(length).unwrap();
    let segment = Segment::File { path: file, length };
    let (sender, mut chunks) = mpsc::channel(8);
    let request = Request::new(Kind::Wave, "cat".into(), vec![segment]);
    let mut most = 0;
    let reading = async {
        while let Some(chunk) = chunks.recv().await {
            if let Chunk::Sent(sent) = chunk {
                most = most.max(sent);
            }
        }
    };
    let (result, ()) =
        within(async { tokio::join!(transport.exec(request, None, sender), reading) }).await;
    assert!(result.is_err());
    // The server's window, and what waits for it in russh's queue: 3 MiB were seen.
    assert!(
        most <= 16 << 20,
        "{most} bytes were read for a host that took 64 KiB"
    );
}

/// A goodbye is somebody else's words: so many of them are kept.
#[tokio::test]
async fn a_long_goodbye_is_cut() {
    let server = BadServer::start(Vice::Farewell).await;
    let transport = open(&server).await;
    let error = exec(&*transport, request("true")).await.unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("the host said: ") && text.contains("bye"),
        "{text}"
    );
    assert!(
        text.chars().count() < 500,
        "{} characters",
        text.chars().count()
    );
}

/// Reads `enough` bytes of what never ends and goes away: then nothing is left of the exec or its connection.
async fn stops_with_its_reader(vice: Vice, enough: usize, of: fn(Chunk) -> Option<usize>) {
    let server = BadServer::start(vice).await;
    let transport = open(&server).await;
    let (sender, mut output) = mpsc::channel(1);
    let mut running = transport.exec(request("yes"), None, sender);
    let mut bytes = 0;
    let reading = async {
        while bytes < enough {
            bytes += output.recv().await.and_then(of).unwrap_or_default();
        }
    };
    within(async {
        tokio::select! {
            result = &mut running => panic!("{result:?}"),
            () = reading => {}
        }
    })
    .await;
    drop(running);
    drop(transport);
    server.is_left_alone().await;
}

fn of_output(chunk: Chunk) -> Option<usize> {
    match chunk {
        Chunk::Stdout(bytes) => Some(bytes.len()),
        _ => None,
    }
}

fn of_errors(chunk: Chunk) -> Option<usize> {
    match chunk {
        Chunk::Stderr(bytes) => Some(bytes.len()),
        _ => None,
    }
}

/// One byte at a time is a sign of life to the connection. Whoever waits for records has a limit of its own
/// (`hostile::an_output_that_does_not_end` and the engine's silence); a command of the user's ends with the user's patience.
#[tokio::test]
async fn a_trickle_stops_with_its_reader() {
    stops_with_its_reader(Vice::Trickle, 5, of_output).await;
}

#[tokio::test]
async fn endless_errors_stop_with_their_reader() {
    stops_with_its_reader(Vice::EndlessErrors, 8 << 20, of_errors).await;
}

#[tokio::test]
async fn endless_output_stops_with_its_reader() {
    stops_with_its_reader(Vice::Endless, 8 << 20, of_output).await;
}

#[tokio::test]
async fn a_reader_that_stands_still_does_not_stop_other_execs() {
    let server = BadServer::start(Vice::None).await;
    let transport = open(&server).await;
    let payload = vec![7; 4 << 20];
    let (sender, mut output) = mpsc::channel(1);
    let mut standing = transport.exec(with_stdin("cat", payload.clone()), None, sender);
    // Nobody reads `output`, while another exec goes through the same connection.
    let other = exec(&*transport, with_stdin("cat", "word"));
    let other = within(async {
        tokio::select! {
            result = &mut standing => panic!("{result:?}"),
            other = other => other,
        }
    })
    .await;
    assert_eq!(other.unwrap().stdout(), "word");
    let reading = async {
        let mut bytes = Vec::new();
        while let Some(chunk) = output.recv().await {
            if let Chunk::Stdout(chunk) = chunk {
                bytes.extend(chunk);
            }
        }
        bytes
    };
    let (result, bytes) = within(async { tokio::join!(standing, reading) }).await;
    assert_eq!(result.unwrap().status, 0);
    assert!(bytes == payload);
}

#[tokio::test]
async fn new_keys_in_mid_stream_harm_nothing() {
    let server = BadServer::with(Vice::None, |config| config.limits = hasty()).await;
    let transport = open(&server).await;
    let payload: Vec<u8> = (0..10 << 20).map(|n: u32| n.to_le_bytes()[1]).collect();
    let output = exec(&*transport, with_stdin("cat", payload.clone()))
        .await
        .unwrap();
    assert!(output.stdout == payload);
}

#[tokio::test]
async fn a_thousand_execs_share_a_connection() {
    let server = BadServer::start(Vice::None).await;
    let transport = open(&server).await;
    let start = Instant::now();
    let running = (0..1000).map(|n| {
        let transport = transport.clone();
        async move {
            let output = exec(&*transport, with_stdin("cat", format!("{n}")))
                .await
                .unwrap();
            assert_eq!(output.stdout(), format!("{n}"));
        }
    });
    within(futures::future::join_all(running)).await;
    eprintln!("1000 execs: {:?}", start.elapsed());
}

#[tokio::test]
async fn a_hundred_hosts_at_once() {
    let server = BadServer::start(Vice::None).await;
    let key = server.user_key();
    let options = server.options();
    let start = Instant::now();
    let running = (0..100).map(|_| async {
        // A hundred handshakes on one core: each may take as long as all.
        let options = SshOptions {
            connect_timeout: LIMIT,
            reply_timeout: LIMIT,
            ..options.clone()
        };
        let transport = connect(&options, &target(server.port, &[&key]))
            .await
            .unwrap();
        assert_eq!(
            exec(&*transport, with_stdin("cat", "x"))
                .await
                .unwrap()
                .stdout(),
            "x"
        );
        within(transport.close()).await;
    });
    within(futures::future::join_all(running)).await;
    eprintln!("100 hosts: {:?}", start.elapsed());
    server.is_left_alone().await;
}

#[tokio::test]
async fn heartbeats_are_signs_of_life() {
    let server = BadServer::start(Vice::Idle).await;
    let options = SshOptions {
        idle_timeout: Some(Duration::from_millis(300)),
        ..server.options()
    };
    let transport = connect(&options, &target(server.port, &[&server.user_key()]))
        .await
        .unwrap();
    let (live, receiver) = mpsc::channel(1);
    let start = Instant::now();
    let beating = async {
        let mut beats = tokio::time::interval(Duration::from_millis(50));
        for _ in 0..20 {
            beats.tick().await;
            live.send(b"beat".to_vec()).await.unwrap();
        }
    };
    let running = exec_live(&*transport, request("hold"), Some(receiver));
    let (result, ()) = within(async { tokio::join!(running, beating) }).await;
    // The beats end after a second, and only then does silence begin.
    assert!(
        matches!(result, Err(TransportError::Deadline { .. })),
        "{result:?}"
    );
    assert!(
        start.elapsed() > Duration::from_millis(1150),
        "{:?}",
        start.elapsed()
    );
}
