//! Findings about hosts: when they stop a run before anything is changed, and when one host alone is left out.

use quorate::event::{Event, ExitCode, Trouble};
use quorate::host::Kind;

use super::{Bench, Outcome, UNFIT, name, obey};

fn told_of_preflight(outcome: &Outcome) -> Vec<&str> {
    let told = outcome.events.iter().filter_map(|event| match event {
        Event::HostTrouble {
            host,
            trouble: Trouble::Preflight,
            help,
            ..
        } => help.is_some().then(|| host.as_str()),
        _ => None,
    });
    told.collect()
}

/// All findings of all hosts, and nothing is changed on any.
#[tokio::test]
async fn a_fault_stops_a_bootstrap_before_anything_is_changed() {
    for command in ["plan", "apply"] {
        let hosts = ["cp1", "cp-small", "w-small", "w-doubtful"];
        let outcome = Bench::cluster(&hosts).run(command, obey).await;
        assert_eq!(outcome.exit(), ExitCode::Failed, "{}", outcome.text());
        assert_eq!(told_of_preflight(&outcome), ["cp-small", "w-small"]);
        assert_eq!(outcome.recap.warnings, 1);
        assert!(
            outcome.text().contains("2 findings on 2 hosts"),
            "{}",
            outcome.text()
        );
        assert_eq!(
            (outcome.count(Kind::Wave), outcome.count(Kind::Lock)),
            (0, 0)
        );
    }
    let outcome = Bench::cluster(&["cp1", "w-twin"]).run("apply", obey).await;
    assert_eq!(outcome.exit(), ExitCode::Refused, "{}", outcome.text());
    assert_eq!(outcome.count(Kind::Wave), 0);
    let mut bench = Bench::cluster(&["cp1", UNFIT]);
    bench.shape.workers.push(name(UNFIT));
    let outcome = bench.run("apply", obey).await;
    assert_eq!(outcome.exit(), ExitCode::Failed, "{}", outcome.text());
    assert_eq!(
        outcome.count(Kind::Wave),
        0,
        "what does not fit the inventory stops it too"
    );
}

#[tokio::test]
async fn a_warning_and_hosts_outside_the_limit_stop_nothing() {
    let outcome = Bench::cluster(&["cp1", "w-doubtful"])
        .run("apply", obey)
        .await;
    assert_eq!(outcome.exit(), ExitCode::Done, "{}", outcome.text());
    assert_eq!(outcome.recap.warnings, 1);
    let mut bench = Bench::cluster(&["cp1", "w-small"]);
    bench.limit = Some(vec![name("cp1")]);
    let outcome = bench.run("apply", obey).await;
    assert_eq!(told_of_preflight(&outcome), [""; 0], "{}", outcome.text());
    assert!(outcome.waves().contains(&"cp1"));
}

/// One bad host that is to join does not keep the others from being mended.
#[tokio::test]
async fn a_cluster_that_lives_goes_on_without_the_host_that_has_a_fault() {
    let bench = Bench::cluster(&["cp1", "w1", "w-small"]).converged();
    {
        let mut model = bench.model.lock().unwrap();
        model.files.retain(|host| host == "cp1");
        model.members.retain(|host| host != "w-small");
        model.markers.remove("w-small");
    }
    let outcome = bench.run("apply", obey).await;
    assert_eq!(outcome.exit(), ExitCode::Failed, "{}", outcome.text());
    assert_eq!(told_of_preflight(&outcome), ["w-small"]);
    assert!(outcome.waves().contains(&"w1"), "{}", outcome.text());
    assert!(!outcome.waves().contains(&"w-small"), "{}", outcome.text());
}
