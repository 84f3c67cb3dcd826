//! Manifests of the inventory: compared by one control plane, planned and applied where the cluster has them otherwise.

use quorate::cluster::act::Manifest;
use quorate::event::{Event, ExitCode};
use quorate::host::Kind;

use super::{ADDON, Bench, obey};

pub(super) const ADDON_DIFFERS: &str =
    "diff -u -N /t/v1.ConfigMap.x.y /t/v1.ConfigMap.x.y\n--- /t/a\tx\n+++ /t/b\tx\n-a\n+b\n";

pub(super) fn with_a_manifest(status: u8, said: &'static str, then: u8) -> Bench {
    let mut bench = Bench::cluster(&["cp1", "cp2", "w1"]).converged();
    bench.manifests = vec![Manifest {
        name: ADDON.into(),
        text: Some("kind: ConfigMap\n".into()),
    }];
    bench.model.lock().unwrap().addon = Some((status, said, then));
    bench
}

#[tokio::test]
async fn manifests_cost_one_exec_on_one_control_plane() {
    for command in ["plan", "apply"] {
        let outcome = with_a_manifest(0, "", 0).run(command, obey).await;
        assert_eq!(outcome.exit(), ExitCode::Done, "{}", outcome.text());
        assert_eq!((outcome.tally.connections, outcome.tally.execs()), (3, 4));
        assert_eq!(outcome.count(Kind::Wave), 0);
    }
    // Nobody asks for them in a `status`.
    let outcome = with_a_manifest(0, "", 0).run("status", obey).await;
    assert_eq!(outcome.tally.execs(), 3);
}

#[tokio::test]
async fn a_manifest_that_the_cluster_has_otherwise_is_planned_and_applied() {
    let outcome = with_a_manifest(1, ADDON_DIFFERS, 0).run("plan", obey).await;
    assert_eq!(outcome.exit(), ExitCode::Changes, "{}", outcome.text());
    let planned = |event: &Event| match event {
        Event::Planned { host, changes, .. } => {
            Some(format!("{host}: {} ({})", changes[0].what, changes[0].why))
        }
        _ => None,
    };
    let planned: Vec<String> = outcome.events.iter().filter_map(planned).collect();
    let only = planned.as_slice();
    assert!(
        matches!(only, [one] if one.ends_with(": apply net.yml (ConfigMap x/y differs)")),
        "{only:?}"
    );
    let outcome = with_a_manifest(1, ADDON_DIFFERS, 0)
        .run("apply", obey)
        .await;
    assert_eq!(outcome.exit(), ExitCode::Done, "{}", outcome.text());
    let changed = |event: &Event| match event {
        Event::StepFinished { title, .. } => Some(title.clone()),
        _ => None,
    };
    let titles: Vec<String> = outcome.events.iter().filter_map(changed).collect();
    assert_eq!(titles[0], "cluster : apply net.yml");
}

#[tokio::test]
async fn a_manifest_that_differs_still_or_cannot_be_compared_is_a_failure() {
    // Applied, and yet otherwise: told once, and no other control plane is tried.
    let outcome = with_a_manifest(1, ADDON_DIFFERS, 1)
        .run("apply", obey)
        .await;
    assert_eq!(outcome.exit(), ExitCode::Failed);
    let said = "it was applied, and yet: net.yml: ConfigMap x/y differs";
    assert!(outcome.text().contains(said), "{}", outcome.text());
    let applied = outcome.text().matches("StepStarted").count();
    assert!(applied <= 3, "{}", outcome.text());
    for command in ["plan", "apply"] {
        let outcome = with_a_manifest(2, "no such host", 2)
            .run(command, obey)
            .await;
        assert_eq!(outcome.exit(), ExitCode::Failed, "{command}");
        let said =
            "whether the cluster has net.yml as written is not known: kubectl diff: no such host";
        assert!(outcome.text().contains(said), "{}", outcome.text());
        assert_eq!(outcome.count(Kind::Wave), 0);
    }
}
