//! Which wave comes after which: hosts one by one, waves of one host, and the batches of a play.

use quorate::event::{Event, ExitCode};
use quorate::host::Kind;
use quorate::plan::{Batch, Pace};
use quorate::transport::fake::{Call, Reply};

use super::{Bench, FILE, framed, name, obey};

#[tokio::test]
async fn disturbing_waves_of_a_live_cluster_go_one_by_one_and_stop_at_a_failure() {
    for (fails, exit, waves) in [
        (None, ExitCode::Done, 3),
        (Some("cp2"), ExitCode::Failed, 2),
    ] {
        let mut bench = Bench::cluster(&["cp1", "cp2", "cp3"]).converged();
        bench.disturbs = true;
        bench.model.lock().unwrap().files.clear();
        let outcome = bench
            .run("apply", move |model, call| match call.request.kind() {
                Kind::Wave if Some(call.host.as_str()) == fails => {
                    Reply::stdout(framed(call, ["start 0".into(), "done 0 failed 1".into()]))
                }
                _ => obey(model, call),
            })
            .await;
        assert_eq!(outcome.exit(), exit, "{}", outcome.text());
        let disturbing: Vec<&Call> = outcome
            .calls
            .iter()
            .filter(|c| {
                c.request.kind() == Kind::Wave && String::from_utf8_lossy(&c.stdin).contains(FILE)
            })
            .collect();
        assert_eq!(disturbing.len(), waves);
        // The gate stands behind each.
        assert!(disturbing.iter().all(|c| {
            String::from_utf8_lossy(&c.stdin).contains("https://vip.example:8443/healthz")
        }));
    }
}

#[tokio::test]
async fn waves_that_depend_on_each_other_follow_and_end() {
    let mut bench = Bench::new(&["a"]);
    bench.waves = 3;
    let outcome = bench.run("apply", obey).await;
    assert_eq!(outcome.exit(), ExitCode::Done, "{}", outcome.text());
    assert_eq!(outcome.recap.hosts[&name("a")].changed, 3);
    let mut bench = Bench::new(&["a"]);
    bench.waves = 1000;
    let outcome = bench.run("apply", obey).await;
    assert_eq!(outcome.exit(), ExitCode::Failed);
    assert!(outcome.waves().len() < 100);
}

fn pace(at_once: usize, may_fail: usize) -> Option<Pace> {
    Some(Pace {
        play: "rolling".into(),
        batches: vec![Batch { at_once, may_fail }],
        in_step: false,
    })
}

#[tokio::test]
async fn a_play_that_goes_host_by_host_ends_with_one_before_the_next() {
    let mut bench = Bench::new(&["a", "b", "c"]);
    (bench.pace, bench.waves) = (pace(1, 0), 3);
    let outcome = bench.run("apply", obey).await;
    assert_eq!(outcome.exit(), ExitCode::Done, "{}", outcome.text());
    assert_eq!(
        outcome.waves(),
        ["a", "a", "a", "b", "b", "b", "c", "c", "c"]
    );
}

/// One host, then two, then two again: of each batch the last host ends before the next one's first begins, and hosts come in the
/// inventory's order, whichever task runs first.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_batch_begins_when_the_one_before_has_ended() {
    let batch = |at_once| Batch {
        at_once,
        may_fail: 0,
    };
    let of = |hosts: &[&str]| {
        let mut bench = Bench::new(hosts);
        bench.waves = 2;
        bench.pace = Some(Pace {
            play: "rolling".into(),
            batches: vec![batch(1), batch(2)],
            in_step: true,
        });
        bench
    };
    let hosts = ["a", "b", "c", "d", "e", "f"];
    let outcome = of(&hosts).run("apply", obey).await;
    assert_eq!(outcome.exit(), ExitCode::Done, "{}", outcome.text());
    let waves = outcome.waves();
    let parts: Vec<Vec<&str>> = [0..2, 2..6, 6..10, 10..12]
        .map(|part| {
            let mut part = waves[part].to_vec();
            part.sort_unstable();
            part
        })
        .to_vec();
    assert_eq!(
        parts,
        [
            vec!["a", "a"],
            vec!["b", "b", "c", "c"],
            vec!["d", "d", "e", "e"],
            vec!["f", "f"]
        ]
    );
    // The first one alone shows that it does not work, and nobody comes after it.
    let outcome = of(&hosts)
        .run("apply", |model, call| {
            if call.request.kind() == Kind::Wave && call.host == "a" {
                let lines = ["start 0", "done 0 failed 1"];
                return Reply::stdout(framed(call, lines.map(String::from)));
            }
            obey(model, call)
        })
        .await;
    assert_eq!(outcome.waves(), ["a"], "{}", outcome.text());
}

#[tokio::test]
async fn a_play_ends_where_too_many_hosts_have_failed() {
    // Of four hosts two fail: how many may, which waves there are, and who is not tried.
    for (may_fail, waves, left) in [
        (0, vec!["a"], vec!["b", "c", "d"]),
        (1, vec!["a", "b"], vec!["c", "d"]),
        (2, vec!["a", "b", "c", "d"], vec![]),
    ] {
        let mut bench = Bench::new(&["a", "b", "c", "d"]);
        bench.pace = pace(1, may_fail);
        let outcome = bench
            .run("apply", |model, call| {
                let fails = ["a", "b"].contains(&call.host.as_str());
                if call.request.kind() == Kind::Wave && fails {
                    let lines = ["start 0", "done 0 failed 1"];
                    return Reply::stdout(framed(call, lines.map(String::from)));
                }
                obey(model, call)
            })
            .await;
        assert_eq!(outcome.exit(), ExitCode::Failed);
        assert_eq!(outcome.waves(), waves, "{may_fail}");
        let told = |event: &Event| match event {
            Event::Warning {
                host: Some(host),
                message,
            } if message.contains("too many hosts have failed in the play `rolling`") => {
                Some(host.to_string())
            }
            _ => None,
        };
        let told: Vec<String> = outcome.events.iter().filter_map(told).collect();
        assert_eq!(told, left, "{may_fail}");
    }
}
