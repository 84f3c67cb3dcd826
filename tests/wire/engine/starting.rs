//! After a loss of power the hosts are there before their API servers are: apply waits for one, before it plans.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use quorate::engine::Patience;
use quorate::event::ExitCode;
use quorate::host::Kind;
use quorate::transport::fake::Reply;

use super::manifests::{ADDON_DIFFERS, with_a_manifest};
use super::moving::to_be_moved;
use super::{Bench, Outcome, lost, obey};
use crate::health::{Bend, cluster, replace, silence, units};

const ALL: [&str; 5] = ["livez", "readyz", "nodes", "members", "etcd-status"];
const GONE: &str = "belong to a cluster, but no API server answers";
const WAITED: &str = "wait for an API server";

fn kubelet(lines: &mut Vec<String>) {
    lines.push("kubernetes trace /var/lib/kubelet/config.yaml".into());
    lines.push("unit ActiveState=active".into());
}

fn balanced(host: &str, lines: &mut Vec<String>, kubelet: &str) {
    lines.push("kubernetes trace /var/lib/kubelet/config.yaml".into());
    units(host, lines, "active", kubelet);
}

const UP: Bend = |host, lines| balanced(host, lines, "active");
const DOWN: Bend = |host, lines| {
    silence(lines, &ALL);
    balanced(host, lines, "active");
};
const STOPPED: Bend = |host, lines| {
    silence(lines, &ALL);
    balanced(host, lines, "failed");
};
/// Of hosts without a load balancer.
const UP_ALONE: Bend = |_, lines| kubelet(lines);
const DOWN_ALONE: Bend = |_, lines| {
    silence(lines, &ALL);
    kubelet(lines);
};

/// For an API server alone, in seconds.
fn patience(seconds: u64) -> Patience {
    Patience {
        api: Duration::from_secs(seconds),
        ..Patience::NONE
    }
}

/// Runs it on hosts that are `down`, and `up` from the third look at cp1 on; returns how often that one was looked at, too.
async fn run(mut bench: Bench, command: &'static str, down: Bend, up: Bend) -> (Outcome, u32) {
    bench.patience = patience(30);
    bench.model.lock().unwrap().bent = Some(down);
    let looks = Arc::new(AtomicU32::new(0));
    let count = looks.clone();
    let outcome = bench
        .run(command, move |model, call| {
            if call.host == "cp1" && call.request.kind() == Kind::Probe {
                let is_up = count.fetch_add(1, Ordering::Relaxed) >= 2;
                model.lock().unwrap().bent = Some(if is_up { up } else { down });
            }
            obey(model, call)
        })
        .await;
    (outcome, looks.load(Ordering::Relaxed))
}

#[tokio::test]
async fn an_api_server_that_is_starting_is_waited_for() {
    let rows: [(&str, Bend, u32, ExitCode); 3] = [
        ("apply", DOWN, 3, ExitCode::Done),
        // A plan tells what there is.
        ("plan", DOWN, 1, ExitCode::Failed),
        // Nothing will start.
        ("apply", STOPPED, 1, ExitCode::Failed),
    ];
    for (command, down, looks, exit) in rows {
        let (outcome, looked) = run(cluster(down), command, down, UP).await;
        let text = outcome.text();
        assert_eq!(outcome.exit(), exit, "{command}: {text}");
        assert_eq!(looked, looks, "{command}: {text}");
        assert_eq!(text.contains(GONE), exit == ExitCode::Failed, "{text}");
        assert_eq!(text.contains(WAITED), looks > 2, "{command}: {text}");
    }
}

/// What there is to do hangs on what the API server says: no manifest, play or move of the load balancer is overlooked.
#[tokio::test]
async fn what_is_to_be_done_is_known_behind_the_wait() {
    let play = || {
        let mut bench = Bench::cluster(&["cp1", "cp2", "w1"]).converged();
        bench.last = true;
        bench
    };
    type Row = (fn() -> Bench, Bend, Bend, &'static str);
    let rows: [Row; 3] = [
        (
            || with_a_manifest(1, ADDON_DIFFERS, 0),
            DOWN_ALONE,
            UP_ALONE,
            "cluster : apply net.yml",
        ),
        (play, DOWN_ALONE, UP_ALONE, "last : member"),
        (to_be_moved, DOWN, UP, "switch"),
    ];
    for (bench, down, up, said) in rows {
        let (outcome, _) = run(bench(), "apply", down, up).await;
        let text = outcome.text();
        assert_eq!(outcome.exit(), ExitCode::Done, "{said}: {text}");
        assert!(text.contains(WAITED), "{said}: {text}");
        assert!(text.contains(said), "{text}");
        assert!(!text.contains("reset"), "{said}: {text}");
    }
}

/// One that answers and is not ready is starting, and a cluster that was made before quorate came is waited for as well.
#[tokio::test]
async fn whoever_made_it_and_however_far_it_is() {
    const HALF: Bend = |host, lines| {
        replace(lines, "http readyz 200", "http readyz 500");
        replace(lines, "http nodes 200", "http nodes 403");
        balanced(host, lines, "activating");
    };
    for (down, made_before) in [(HALF, false), (DOWN, true)] {
        let bench = cluster(down);
        if made_before {
            bench.model.lock().unwrap().markers.clear();
        }
        let (outcome, looked) = run(bench, "apply", down, UP).await;
        let text = outcome.text();
        assert_eq!(outcome.exit(), ExitCode::Done, "{text}");
        assert!(text.contains(WAITED) && looked > 2, "{text}");
    }
}

/// What was last seen counts when the time is over: here that the live cluster has another endpoint.
#[tokio::test]
async fn what_was_seen_in_a_vain_wait_forbids_to_go_on() {
    const OTHER: Bend = |host, lines| {
        replace(lines, "http readyz 200", "http readyz 500");
        replace(lines, "vip.example:8443", "old.example:8443");
        balanced(host, lines, "active");
    };
    let mut bench = cluster(DOWN);
    bench.patience = patience(3);
    bench
        .model
        .lock()
        .unwrap()
        .files
        .retain(|host| host != "w1");
    let looks = AtomicU32::new(0);
    let outcome = bench
        .run("apply", move |model, call| {
            if call.host == "cp1" && call.request.kind() == Kind::Probe {
                let first = looks.fetch_add(1, Ordering::Relaxed) == 0;
                model.lock().unwrap().bent = Some(if first { DOWN } else { OTHER });
            }
            obey(model, call)
        })
        .await;
    let text = outcome.text();
    assert_eq!(outcome.exit(), ExitCode::Refused, "{text}");
    assert!(text.contains("endpoint is old.example:8443"), "{text}");
    assert_eq!(outcome.count(Kind::Wave), 0, "{text}");
}

/// A host that is lost meanwhile keeps nobody from seeing the others.
#[tokio::test]
async fn one_lost_host_does_not_end_the_wait() {
    let mut bench = cluster(DOWN);
    bench.patience = patience(30);
    let looks = AtomicU32::new(0);
    let lost_on = AtomicU32::new(0);
    let outcome = bench
        .run("apply", move |model, call| {
            if call.request.kind() == Kind::Probe {
                if call.host == "cp2" && lost_on.fetch_add(1, Ordering::Relaxed) == 1 {
                    return Reply::error(lost());
                }
                if call.host == "cp1" {
                    let is_up = looks.fetch_add(1, Ordering::Relaxed) >= 2;
                    model.lock().unwrap().bent = Some(if is_up { UP } else { DOWN });
                }
            }
            obey(model, call)
        })
        .await;
    let text = outcome.text();
    assert!(!text.contains(GONE), "{text}");
}
