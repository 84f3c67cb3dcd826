//! A live cluster's load balancer is moved: who does what in which order, and where a move ends.

use std::sync::atomic::{AtomicU32, Ordering};

use quorate::event::ExitCode;
use quorate::host::Kind;
use quorate::transport::fake::{Call, Reply};

use super::{Bench, Outcome, READY, RELEASING, SWITCHING, WRITING, framed, lost, name, obey};

/// A live cluster whose three hosts carry the old load balancer; cp2 holds the address.
pub(crate) fn to_be_moved() -> Bench {
    let mut bench = Bench::cluster(&["cp1", "cp2", "cp3"]).converged();
    bench.shape.load_balancers = bench.shape.control_planes.clone();
    bench.moves = true;
    bench.disturbs = true;
    {
        let mut model = bench.model.lock().unwrap();
        model.files.clear();
        model.old = bench.hosts.iter().map(ToString::to_string).collect();
        model.holder = Some("cp2");
    }
    bench
}

/// What each wave was for, in order.
fn purposes(outcome: &Outcome) -> Vec<String> {
    let waves = outcome.calls.iter();
    let waves = waves.filter(|c| c.request.kind() == Kind::Wave);
    let purpose = |call: &Call| {
        let script = String::from_utf8_lossy(&call.stdin).into_owned();
        let ready = format!("put {READY}");
        let words = [
            (ready.as_str(), "ready"),
            (RELEASING, "release"),
            (SWITCHING, "switch"),
            (WRITING, "place"),
        ];
        let found = words.iter().find(|(sign, _)| script.contains(sign));
        format!("{} {}", found.map_or("verify", |(_, word)| word), call.host)
    };
    waves.map(purpose).collect()
}

#[tokio::test]
async fn a_load_balancer_is_moved_by_its_holder() {
    let bench = to_be_moved();
    let model = bench.model.clone();
    let outcome = bench.run("apply", obey).await;
    assert_eq!(outcome.exit(), ExitCode::Done, "{}", outcome.text());
    let mut done = purposes(&outcome);
    // At once on all hosts, and then on those that do not hold the address.
    done[..3].sort();
    done[3..5].sort();
    assert_eq!(
        done,
        [
            "ready cp1",
            "ready cp2",
            "ready cp3",
            "release cp1",
            "release cp3",
            "switch cp2",
            "place cp1",
            "place cp3",
            "verify cp3"
        ]
    );
    assert_eq!(outcome.count(Kind::Lock), 3, "all of them are locked");
    assert!(
        outcome.text().contains("10.0.0.100 on cp2"),
        "{}",
        outcome.text()
    );

    // Once more: one look at each, and nothing else.
    let mut again = to_be_moved();
    again.model = model;
    let outcome = again.run("apply", obey).await;
    assert_eq!(outcome.exit(), ExitCode::Done, "{}", outcome.text());
    assert_eq!(outcome.count(Kind::Probe), 3);
    assert_eq!(outcome.calls.len(), 3);
}

#[tokio::test]
async fn a_move_goes_on_where_the_holder_alone_is_left() {
    let bench = to_be_moved();
    {
        let mut model = bench.model.lock().unwrap();
        model.old = vec!["cp2".into()];
        model.ready = bench.hosts.iter().map(ToString::to_string).collect();
    }
    let outcome = bench.run("apply", obey).await;
    assert_eq!(outcome.exit(), ExitCode::Done, "{}", outcome.text());
    assert_eq!(
        purposes(&outcome),
        ["switch cp2", "place cp1", "place cp3", "verify cp3"]
    );
}

/// The connection goes while the holder is switched, and while a host is brought up behind it: the hosts themselves go on.
/// Each is looked at again, nothing is sent twice, and nobody is forgotten.
#[tokio::test]
async fn a_connection_that_is_lost_in_a_move_leaves_nobody_out() {
    for (sign, host) in [(SWITCHING, "cp2"), (WRITING, "cp1")] {
        let once = AtomicU32::new(0);
        let outcome = to_be_moved()
            .run("apply", move |model, call| {
                let script = String::from_utf8_lossy(&call.stdin).into_owned();
                let wave = call.request.kind() == Kind::Wave;
                if wave && call.host == host && script.contains(sign) {
                    // Of the holder all is done; of the other host nothing was.
                    if once.fetch_add(1, Ordering::Relaxed) == 0 {
                        if sign == SWITCHING {
                            obey(model, call);
                        }
                        return Reply::error(lost()).and_stdout(framed(call, ["start 0".into()]));
                    }
                }
                obey(model, call)
            })
            .await;
        assert_eq!(outcome.exit(), ExitCode::Done, "{}", outcome.text());
        let mut done = purposes(&outcome).split_off(5);
        done.retain(|purpose| !purpose.starts_with("verify"));
        done.sort();
        let expected: &[&str] = match sign {
            SWITCHING => &["place cp1", "place cp3", "switch cp2"],
            _ => &["place cp1", "place cp1", "place cp3", "switch cp2"],
        };
        assert_eq!(done, expected, "{}", outcome.text());
    }
}

#[tokio::test]
async fn a_takedown_that_fails_ends_the_move_there() {
    let outcome = to_be_moved()
        .run("apply", |model, call| {
            let script = String::from_utf8_lossy(&call.stdin).into_owned();
            if call.host == "cp3" && script.contains(RELEASING) {
                return Reply::stdout(framed(call, ["start 0".into(), "done 0 failed 1".into()]));
            }
            obey(model, call)
        })
        .await;
    assert_eq!(outcome.exit(), ExitCode::Failed, "{}", outcome.text());
    let done = purposes(&outcome);
    assert!(
        !done
            .iter()
            .any(|p| p.starts_with("switch") || p.starts_with("place")),
        "{done:?}"
    );
    assert!(
        outcome
            .text()
            .contains("the load balancer is not moved any further: cp3")
    );
}

#[tokio::test]
async fn a_move_is_refused_whole_or_told_whole() {
    let mut bench = to_be_moved();
    bench.limit = Some(vec![name("cp1"), name("cp2")]);
    let outcome = bench.run("apply", obey).await;
    assert_eq!(outcome.exit(), ExitCode::Refused, "{}", outcome.text());
    assert!(outcome.text().contains("cp3 is not in this run's --limit"));
    assert_eq!(outcome.count(Kind::Wave), 0);

    let bench = to_be_moved();
    bench.model.lock().unwrap().holder = None;
    let outcome = bench.run("apply", obey).await;
    assert_eq!(outcome.exit(), ExitCode::Refused, "{}", outcome.text());
    assert_eq!(outcome.count(Kind::Wave), 0);

    let mut bench = to_be_moved();
    bench.read_only = true;
    let outcome = bench.run("plan", obey).await;
    assert_eq!(outcome.exit(), ExitCode::Changes, "{}", outcome.text());
    let text = outcome.text();
    let place = |words: &str| {
        text.find(words)
            .unwrap_or_else(|| panic!("{words}: {text}"))
    };
    assert!(place("1. take the old") < place("3. switch to"));
    assert!(place("3. switch to") < place("5. bring the new"));
    assert!(text.contains("expected outage"));
}
