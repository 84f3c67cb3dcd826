//! Runs that stop before their end: the user asks for it, or somebody else has the lock.

use quorate::event::{Event, ExitCode};
use quorate::host::Kind;
use quorate::transport::fake::Reply;

use super::{Bench, framed, name, obey};

#[tokio::test]
async fn a_locked_host_refuses_the_run_and_nothing_is_changed() {
    let outcome = Bench::new(&["a", "b", "c"])
        .run("apply", |model, call| match call.request.kind() {
            Kind::Lock if call.host == "b" => {
                Reply::stdout(framed(call, ["held you@there (process 7)".into()]))
            }
            _ => obey(model, call),
        })
        .await;
    assert_eq!(outcome.exit(), ExitCode::Refused);
    assert_eq!(outcome.count(Kind::Wave), 0);
    assert!(
        outcome
            .text()
            .contains("another run is changing this host: you@there (process 7)")
    );
    assert!(!outcome.text().contains("lost connection"));
}

#[tokio::test]
async fn who_is_interrupted_changes_nothing_more() {
    let mut bench = Bench::new(&["a"]);
    bench.cancelled = true;
    let outcome = bench.run("apply", obey).await;
    assert_eq!(outcome.exit(), ExitCode::Interrupted);
    assert_eq!(outcome.count(Kind::Wave) + outcome.count(Kind::Lock), 0);
}

#[tokio::test]
async fn who_is_interrupted_while_looking_says_nothing_of_what_it_has_not_seen() {
    for command in ["plan", "status"] {
        let mut bench = Bench::cluster(&["cp1", "w1"]);
        bench.cancelled = true;
        let outcome = bench.run(command, obey).await;
        assert_eq!(outcome.exit(), ExitCode::Interrupted);
        let said = |event: &&Event| {
            matches!(
                event,
                Event::Unchanged { .. }
                    | Event::Planned { .. }
                    | Event::Refused { .. }
                    | Event::Cluster { .. }
                    | Event::Warning { .. }
            )
        };
        assert_eq!(outcome.events.iter().find(said), None, "{command}");
    }
}

#[tokio::test]
async fn ctrl_c_ends_at_a_steps_boundary_and_names_the_host() {
    for (waves, stops) in [(1, true), (3, false)] {
        let mut bench = Bench::new(&["a"]);
        bench.cancelled_in_wave = true;
        bench.waves = waves;
        let outcome = bench
            .run("apply", move |model, call| match call.request.kind() {
                Kind::Wave if stops => {
                    Reply::stdout(framed(call, ["start 0".into(), "stopped 1".into()]))
                }
                _ => obey(model, call),
            })
            .await;
        assert_eq!(outcome.exit(), ExitCode::Interrupted, "{}", outcome.text());
        // What was left of it is not begun.
        assert_eq!(outcome.waves(), ["a"]);
        let named = if stops { vec![name("a")] } else { Vec::new() };
        assert_eq!(outcome.recap.under_way, named);
    }
}

#[tokio::test]
async fn a_wave_that_stops_unasked_has_lost_its_lock() {
    let outcome = Bench::new(&["a"])
        .run("apply", |model, call| match call.request.kind() {
            Kind::Wave => Reply::stdout(framed(call, ["start 0".into(), "stopped 1".into()])),
            _ => obey(model, call),
        })
        .await;
    // Nobody asked for it: then it was the lock that went.
    assert_eq!(outcome.exit(), ExitCode::Refused, "{}", outcome.text());
    assert!(
        outcome
            .text()
            .contains("this run's lock was lost in the middle of a wave")
    );
}
