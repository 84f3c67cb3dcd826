//! Connections that are lost, and answers that do not end, do not fit, or are none.

use std::sync::atomic::{AtomicU32, Ordering};

use quorate::event::{Event, ExitCode, Trouble};
use quorate::host::Kind;
use quorate::transport::TransportError;
use quorate::transport::fake::Reply;

use super::{Bench, Outcome, UNFIT, framed, lost, name, nonce, obey};

#[tokio::test]
async fn a_lost_connection_is_looked_at_again_before_anything_is_sent() {
    let lost_once = AtomicU32::new(0);
    let held = AtomicU32::new(0);
    let outcome = Bench::new(&["a"])
        .run("apply", move |model, call| match call.request.kind() {
            Kind::Wave if lost_once.fetch_add(1, Ordering::Relaxed) == 0 => {
                Reply::error(lost()).and_stdout(framed(call, ["start 0".into()]))
            }
            // The old connection's lock is still there for a while.
            Kind::Lock if (1..2).contains(&held.fetch_add(1, Ordering::Relaxed)) => {
                Reply::stdout(framed(call, ["held me@here".into()]))
            }
            _ => obey(model, call),
        })
        .await;
    assert_eq!(outcome.exit(), ExitCode::Done, "{}", outcome.text());
    let kinds: Vec<Kind> = outcome.calls.iter().map(|c| c.request.kind()).collect();
    let lock = Kind::Lock;
    assert_eq!(
        kinds,
        [
            Kind::Probe,
            lock,
            Kind::Wave,
            lock,
            lock,
            Kind::Probe,
            Kind::Wave
        ]
    );
    assert_eq!(outcome.tally.connections, 2);
}

#[tokio::test]
async fn a_connection_that_is_lost_for_ever_is_told_as_unreachable() {
    let dials = AtomicU32::new(0);
    let outcome = Bench::new(&["a", "b"])
        .run_with(
            "apply",
            |model, call| match call.request.kind() {
                Kind::Wave if call.host == "a" => Reply::error(lost()).taking(10),
                _ => obey(model, call),
            },
            move |target| {
                if target.name.as_str() == "a" && dials.fetch_add(1, Ordering::Relaxed) > 0 {
                    return Err(TransportError::Unreachable {
                        address: "a:22".into(),
                        reason: "down".into(),
                        help: String::new(),
                    });
                }
                Ok(())
            },
        )
        .await;
    assert_eq!(outcome.exit(), ExitCode::Unreachable, "{}", outcome.text());
    assert_eq!(outcome.recap.hosts[&name("b")].changed, 1);
    // What it did not take was not sent.
    let of_a = outcome.calls.iter().filter(|call| call.host == "a");
    let sent: u64 = of_a
        .map(|call| match call.request.kind() {
            Kind::Wave => 10,
            _ => call.request.length(),
        })
        .sum();
    assert_eq!(outcome.recap.hosts[&name("a")].bytes, sent);
}

#[tokio::test]
async fn a_command_that_says_much_is_shown_whole_and_kept_in_part() {
    let outcome = Bench::new(&["a"])
        .run("exec", |_, _| {
            Reply::stdout("a short line\n".repeat(20_000))
        })
        .await;
    assert_eq!(outcome.exit(), ExitCode::Done);
    let shown = |event: &&Event| matches!(event, Event::Output { .. });
    assert_eq!(outcome.events.iter().filter(shown).count(), 20_000);
    let warned: Vec<&Event> = outcome
        .events
        .iter()
        .filter(|event| matches!(event, Event::Warning { host: Some(host), message } if *host == name("a") && message.contains("not recorded")))
        .collect();
    assert_eq!(warned.len(), 1);
}

/// Fails where a host is in trouble and nothing says what to do.
fn assert_helped(outcome: &Outcome) {
    let troubles = outcome.events.iter().filter_map(|event| match event {
        Event::HostTrouble { message, help, .. } => Some((message, help)),
        _ => None,
    });
    for (message, help) in troubles {
        assert!(help.is_some(), "no help: {message}");
    }
}

#[tokio::test]
async fn what_does_not_fit_is_not_called_a_protocol() {
    let outcome = Bench::new(&["a", UNFIT]).run("plan", obey).await;
    assert_eq!(outcome.exit(), ExitCode::Failed);
    let told = outcome.events.iter().find_map(|event| match event {
        Event::HostTrouble {
            host,
            trouble,
            message,
            ..
        } => Some((host.as_str(), *trouble, message.as_str())),
        _ => None,
    });
    assert_eq!(
        told,
        Some((UNFIT, Trouble::Unfit, "it has another address"))
    );
}

#[tokio::test]
async fn garbage_and_endless_output_come_to_an_end() {
    for command in ["plan", "apply"] {
        let outcome = Bench::new(&["a", "b"])
            .run(command, |model, call| match call.host.as_str() {
                "a" => Reply::stdout(vec![0xff; 4096]),
                _ => obey(model, call),
            })
            .await;
        assert_eq!(outcome.exit(), ExitCode::Failed, "{}", outcome.text());
        assert!(outcome.text().contains("the host's answer is not complete"));
        assert_helped(&outcome);
    }
    for said in [&b""[..], b"hello\n"] {
        let cut = Bench::new(&["a"])
            .run("plan", move |_, call| {
                let text = String::from_utf8_lossy(said);
                let lines = text.lines().map(ToString::to_string);
                Reply::stdout(framed(call, lines))
            })
            .await;
        let text = cut.text();
        assert!(
            !text.contains("last lines: \"") && !text.contains("last lines:  ("),
            "{text}"
        );
        let nonce = nonce(
            cut.calls
                .iter()
                .find(|c| c.request.kind() == Kind::Probe)
                .unwrap(),
        );
        assert!(!nonce.is_empty() && !text.contains(&nonce), "{text}");
        assert_helped(&cut);
    }
    let endless = Bench::new(&["a"])
        .run("apply", |model, call| match call.request.kind() {
            Kind::Probe => Reply::stdout(vec![b'x'; 17 << 20]),
            _ => obey(model, call),
        })
        .await;
    assert!(
        endless.text().contains("its answer does not end"),
        "{}",
        endless.text()
    );
}

/// Others than root see neither keys nor markers: what they do not see is not "not there".
#[tokio::test]
async fn a_host_that_is_not_seen_with_roots_eyes_is_not_planned() {
    let outcome = Bench::new(&["a", "b"])
        .run("plan", |model, call| match call.request.kind() {
            Kind::Probe if call.host == "b" => {
                let lines = ["system user 1000".to_string(), "end".into()];
                Reply::stdout(framed(call, lines))
            }
            _ => obey(model, call),
        })
        .await;
    assert_eq!(outcome.exit(), ExitCode::Failed, "{}", outcome.text());
    assert!(
        outcome
            .text()
            .contains("commands run as user 1000 there, not as root"),
        "{}",
        outcome.text()
    );
}
