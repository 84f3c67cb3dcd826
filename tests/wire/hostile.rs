//! Hosts that answer what no host of ours would: the run says so of that host, goes on with the others, and keeps no more
//! of it than it has asked for.

use std::sync::Mutex;

use quorate::event::{Event, ExitCode, Trouble};
use quorate::host::Kind;
use quorate::transport::fake::{Call, Reply};

use crate::engine::{Bench, Model, Outcome, framed, obey, steps};

/// The host that is not ours.
const BAD: &str = "w2";
/// Pieces of an output that is longer than anything that is read of a host, and then never ends.
const PIECES: usize = 700;
const PIECE: usize = 64 << 10;

/// Runs an apply on bare hosts, of which one answers requests of that kind by `answer`, the first time or always.
async fn apply(
    kind: Kind,
    answer: impl Fn(&Mutex<Model>, &Call) -> Reply + Send + Sync + 'static,
) -> Outcome {
    let bench = Bench::cluster(&["cp1", "w1", BAD]);
    let run = bench.run("apply", move |model, call| {
        if call.host == BAD && call.request.kind() == kind {
            answer(model, call)
        } else {
            obey(model, call)
        }
    });
    run.await
}

/// Checks that the bad host is named with this reason, and that the others came to their end; returns how many events there
/// are of it.
fn told(outcome: &Outcome, reason: &str) -> usize {
    let text = outcome.text();
    let mut troubles = 0;
    for event in &outcome.events {
        if let Event::HostTrouble {
            host,
            trouble,
            message,
            ..
        } = event
        {
            assert_eq!(
                (host.as_str(), *trouble),
                (BAD, Trouble::Protocol),
                "{text}"
            );
            assert!(message.contains(reason), "{reason}: {message}");
            assert!(message.len() < 8192, "{} bytes", message.len());
            troubles += 1;
        }
    }
    assert_eq!(troubles, 1, "{reason}: {text}");
    // Their file, and the cluster.
    for (host, recap) in &outcome.recap.hosts {
        assert!(host.as_str() == BAD || recap.changed >= 2, "{host}: {text}");
    }
    assert_eq!(outcome.exit(), ExitCode::Failed);
    let of_bad = |e: &&Event| e.host().is_some_and(|host| host.as_str() == BAD);
    outcome.events.iter().filter(of_bad).count()
}

/// The records that a host of ours would send.
fn good(call: &Call) -> Vec<String> {
    steps(call)
        .into_iter()
        .flat_map(|(id, _)| [format!("start {id}"), format!("done {id} changed 0")])
        .collect()
}

#[tokio::test]
async fn records_that_cannot_be() {
    type Forge = fn(&mut Vec<String>);
    let cases: [(Forge, &str); 9] = [
        (|l| l.extend_from_within(..), "it begins step 0 again"),
        (
            |l| l.extend(["done 0 changed 0".into()]),
            "it ends step 0, which has not begun",
        ),
        (|l| l.swap(0, 1), "it ends step 0, which has not begun"),
        (
            |l| l.insert(0, "done 7 changed 0".into()),
            "it ends step 7, which has not begun",
        ),
        (
            |l| l.insert(0, "start 4294967295".into()),
            "it begins step 4294967295, and there are 1",
        ),
        (
            |l| l.insert(1, "finished".into()),
            "it is done in the middle of step 0",
        ),
        (
            |l| l.extend(["finished".into(), "system user 0".into()]),
            "it goes on behind its last word",
        ),
        (
            |l| l.insert(1, "stat 81a4 4 root root 0 0 /etc/shadow".into()),
            "it answers in the middle of step 0",
        ),
        (
            |l| l.insert(0, "progress 3 x".into()),
            "it tells of step 3, which has not begun",
        ),
    ];
    for (forge, reason) in cases {
        let outcome = apply(Kind::Wave, move |_, call| {
            let mut lines = good(call);
            forge(&mut lines);
            Reply::stdout(framed(call, lines)).and_never()
        })
        .await;
        assert!(told(&outcome, reason) < 20, "{reason}");
    }
}

/// A host that says that all is done has told of each step; a forced command that drops lines is no success.
#[tokio::test]
async fn steps_that_were_never_told() {
    for keeps in ["", "start", "done"] {
        let outcome = apply(Kind::Wave, move |_, call| {
            let mut lines = good(call);
            lines.retain(|line| !keeps.is_empty() && line.starts_with(keeps));
            lines.push("finished".into());
            Reply::stdout(framed(call, lines))
        })
        .await;
        let reason = match keeps {
            "" => "it is done, and told nothing of `example : file 1`",
            "start" => "it is done in the middle of step 0",
            _ => "it ends step 0, which has not begun",
        };
        told(&outcome, reason);
    }
}

/// Numbers that fit nowhere are no records, and words that are none are passed over; what is missing then is told.
#[tokio::test]
async fn records_that_mean_nothing() {
    for lines in [
        ["start 99999999999999999999", "done -1 ok 0"],
        ["done 0 ok 99999999999999999999", "done 0 perhaps 0"],
        ["done 0 ok 0 ///not base64", "start zero"],
        ["stopped x", "progress"],
    ] {
        let outcome = apply(Kind::Wave, move |_, call| {
            Reply::stdout(framed(call, lines.map(String::from)))
        })
        .await;
        told(&outcome, "the wave ended without its last record");
    }
}

/// What a host says beside its records is not kept, and ends.
#[tokio::test]
async fn an_output_that_does_not_end() {
    let endless = |reply: Reply, piece: Vec<u8>| {
        (0..PIECES).fold(reply, |reply, _| reply.and_stdout(piece.clone()))
    };
    for kind in [Kind::Probe, Kind::Wave] {
        let reason = match kind {
            Kind::Probe => "its answer does not end",
            _ => "its output does not end",
        };
        // One line, NULs, many lines.
        for byte in [b'y', 0, b'\n'] {
            let outcome = apply(kind, move |_, _| {
                endless(Reply::status(0), vec![byte; PIECE]).and_never()
            })
            .await;
            told(&outcome, reason);
        }
        let outcome = apply(kind, move |_, _| {
            (0..PIECES)
                .fold(Reply::status(0), |r, _| r.and_stderr(vec![b'y'; PIECE]))
                .and_never()
        })
        .await;
        told(&outcome, "its output does not end");
    }
    // Facts, which count from the first to the last; progress, which is not told more often than a person can read.
    for line in ["address eth0 10.0.0.1/8", "progress 0 x"] {
        let outcome = apply(Kind::Wave, move |_, call| {
            let start = if line.starts_with("progress") {
                vec!["start 0".to_string()]
            } else {
                Vec::new()
            };
            let count = PIECE / line.len();
            let lines: Vec<String> = (0..count).map(|n| format!("{line}{n}")).collect();
            let reply = Reply::stdout(framed(call, start));
            endless(reply, framed(call, lines).into_bytes()).and_never()
        })
        .await;
        let events = told(&outcome, "its output does not end");
        assert!(events < 700, "{events} events");
    }
}

/// An answer that breaks off is shown in its last words alone.
#[tokio::test]
async fn an_answer_that_breaks_off() {
    for byte in [b'y', b'\n', 0xff] {
        let outcome = apply(Kind::Probe, move |_, _| Reply::stdout(vec![byte; 8 << 20])).await;
        told(
            &outcome,
            "the host's answer is not complete: its end is missing",
        );
    }
}

/// A lock that no other run holds, and that cannot be taken all the same: what the host said is told, cut to a line's length. Nothing
/// is begun on the others: a bootstrap needs them all.
#[tokio::test]
async fn a_lock_that_cannot_be_taken() {
    let read_only = "mkdir: cannot create directory '/run/quorate': Read-only file system";
    let broken = Reply::status(2).and_stderr(format!("{read_only}\n"));
    let long = Reply::stdout(vec![b'z'; 100 << 10]);
    for (reply, said) in [
        (broken, format!("(exit status 2); it said: {read_only}")),
        (long, "(exit status 0); it said: zzzz".to_owned()),
        (
            Reply::status(0),
            "(exit status 0); it said: nothing".to_owned(),
        ),
    ] {
        let outcome = apply(Kind::Lock, move |_, _| reply.clone()).await;
        let troubles: Vec<&str> = outcome
            .events
            .iter()
            .filter_map(|event| match event {
                Event::HostTrouble {
                    trouble: Trouble::Protocol,
                    message,
                    ..
                } => Some(message.as_str()),
                _ => None,
            })
            .collect();
        let [message] = troubles[..] else {
            panic!("{troubles:?}");
        };
        assert!(
            message.ends_with(&said) || message.contains("zzzz"),
            "{message}"
        );
        assert!(message.contains("the host's lock could not be taken") && message.len() < 1024);
        assert_eq!(
            (outcome.exit(), outcome.count(Kind::Wave)),
            (ExitCode::Failed, 0)
        );
    }
}

/// A step's output that nobody has asked for is not kept with it.
#[tokio::test]
async fn what_was_not_asked_for_is_not_kept() {
    let outcome = apply(Kind::Wave, |model, call| {
        use base64::Engine as _;
        let output = base64::engine::general_purpose::STANDARD.encode(vec![b'z'; 700 << 10]);
        let _ = obey(model, call);
        let mut lines: Vec<String> = steps(call)
            .into_iter()
            .flat_map(|(id, _)| {
                [
                    format!("start {id}"),
                    format!("done {id} changed 0 {output}"),
                ]
            })
            .collect();
        lines.push("finished".into());
        Reply::stdout(framed(call, lines))
    })
    .await;
    assert!(!outcome.text().contains("zzzz"));
}

/// Escape sequences, other encodings and NULs reach the events as text; nothing of them steers what shows the events.
#[tokio::test]
async fn words_that_would_steer_a_terminal() {
    let said = "\u{1b}]0;owned\u{7}\u{1b}[2J\u{9b}31m\u{0}\u{202e}\u{61c}bad";
    let outcome = apply(Kind::Wave, move |_, call| {
        use base64::Engine as _;
        let mut bytes = said.as_bytes().to_vec();
        bytes.extend(b"\xff\xfe\x80latin \xe9\n");
        let output = base64::engine::general_purpose::STANDARD.encode(bytes);
        let lines = [
            "start 0".to_string(),
            format!("progress 0 {said}"),
            format!("done 0 failed 1 {output}"),
        ];
        Reply::stdout(framed(call, lines)).and_stderr(said)
    })
    .await;
    let text = outcome.text();
    assert!(text.contains("latin"), "{text}");
    let mut shown = 0;
    for (seq, event) in outcome.events.iter().enumerate() {
        let record = quorate::event::Record {
            v: quorate::event::VERSION,
            seq: seq as u64,
            at: jiff::Timestamp::UNIX_EPOCH,
            event: event.clone(),
        };
        // As the journal has it, and as all reporters do.
        let line = record.to_line().unwrap();
        assert!(
            !line.trim_end().contains(quorate::event::is_hostile),
            "{line}"
        );
        assert_eq!(
            serde_json::from_str::<quorate::event::Record>(&line).unwrap(),
            record
        );
        let printable = format!("{:?}", record.to_printable());
        shown += printable.matches("owned").count();
        assert!(
            !printable.contains(['\u{9b}', '\u{202e}', '\u{61c}']),
            "{printable}"
        );
    }
    assert!(shown > 0, "{text}");
}

/// A probe's answer with numbers that no machine has: the host is refused or taken for a strange one, and nothing overflows.
#[tokio::test]
async fn numbers_that_no_machine_has() {
    for line in [
        "system clock -9223372036854775808",
        "system clock 9223372036854775807",
        "system memory 18446744073709551615",
        "system free 18446744073709551615",
        "system processors 18446744073709551615",
        "stat ffffffff 18446744073709551615 root root 0 0 /etc/example",
        "kubernetes port 65535",
    ] {
        for command in ["status", "plan"] {
            let bench = Bench::cluster(&["cp1", "w1"]).converged();
            let outcome = bench
                .run(command, move |model, call| {
                    if call.host != "cp1" || call.request.kind() != Kind::Probe {
                        return obey(model, call);
                    }
                    let mut lines = model.lock().unwrap().facts(&call.host);
                    lines.extend([line.to_string(), "end".into()]);
                    Reply::stdout(framed(call, lines))
                })
                .await;
            assert!(!outcome.events.is_empty());
        }
    }
}
