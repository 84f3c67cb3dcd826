//! Hosts outside of the cluster, which have plays: they go with a run, and nothing of the cluster waits for them.

use quorate::event::{Event, ExitCode};
use quorate::host::Kind;
use quorate::transport::fake::Reply;
use quorate::transport::{Target, TransportError};

use crate::engine::{Bench, Outcome, framed, name, obey};

fn bench() -> Bench {
    Bench::cluster(&["cp1", "w1", "storage"])
}

/// The steps of each host, in order.
fn steps(outcome: &Outcome) -> Vec<String> {
    let started = |event: &Event| match event {
        Event::StepStarted { host, title, .. } => Some(format!("{host} {title}")),
        _ => None,
    };
    outcome.events.iter().filter_map(started).collect()
}

fn has_cluster(outcome: &Outcome) -> bool {
    let steps = steps(outcome);
    ["cp1 cluster : kubeadm init", "w1 cluster : kubeadm join"]
        .iter()
        .all(|step| steps.iter().any(|s| s == step))
}

#[tokio::test]
async fn a_host_outside_has_its_plays_and_nothing_of_the_cluster() {
    let mut bench = bench();
    bench.last = true;
    let outcome = bench.run("apply", obey).await;
    assert_eq!(outcome.exit(), ExitCode::Done, "{}", outcome.text());
    assert!(has_cluster(&outcome));
    let steps = steps(&outcome);
    let own: Vec<&String> = steps.iter().filter(|s| s.starts_with("storage")).collect();
    assert_eq!(own, ["storage example : file 1", "storage last : member"]);
    // `after` waits for the cluster that the host is no part of.
    let last = steps.iter().position(|s| s == "storage last : member");
    let join = steps.iter().position(|s| s == "w1 cluster : kubeadm join");
    assert!(last > join, "{steps:#?}");
    assert_eq!(outcome.recap.hosts["storage"].changed, 2);
    for event in &outcome.events {
        if let Event::HostSeen { host, .. } = event {
            assert_ne!(host.as_str(), "storage");
        }
    }
}

#[tokio::test]
async fn where_nothing_is_to_do_it_costs_one_connection_and_one_exec() {
    for command in ["apply", "plan"] {
        let outcome = bench().converged().run(command, obey).await;
        assert_eq!(outcome.exit(), ExitCode::Done, "{}", outcome.text());
        assert_eq!((outcome.tally.connections, outcome.tally.execs()), (3, 3));
    }
}

#[tokio::test]
async fn its_drift_is_planned_and_mended_alone() {
    let drifted = || {
        let bench = bench().converged();
        bench.model.lock().unwrap().forget_file("storage");
        bench
    };
    let outcome = drifted().run("plan", obey).await;
    assert_eq!(outcome.exit(), ExitCode::Changes, "{}", outcome.text());
    let planned = |event: &Event| match event {
        Event::Planned { host, .. } => Some(host.to_string()),
        _ => None,
    };
    let planned: Vec<String> = outcome.events.iter().filter_map(planned).collect();
    assert_eq!(planned, ["storage"]);
    let mut limited = drifted();
    limited.limit = Some(vec![name("storage")]);
    for bench in [drifted(), limited] {
        let outcome = bench.run("apply", obey).await;
        assert_eq!(outcome.exit(), ExitCode::Done, "{}", outcome.text());
        assert_eq!(steps(&outcome)[0], "storage example : file 1");
        assert_eq!(outcome.waves()[0], "storage");
    }
}

#[tokio::test]
async fn its_failure_holds_up_nobody() {
    let outcome = bench()
        .run("apply", |model, call| {
            if call.request.kind() == Kind::Wave && call.host == "storage" {
                let lines = ["start 0", "done 0 failed 1"];
                return Reply::stdout(framed(call, lines.map(String::from)));
            }
            obey(model, call)
        })
        .await;
    assert_eq!(outcome.exit(), ExitCode::Failed, "{}", outcome.text());
    assert!(has_cluster(&outcome), "{}", outcome.text());

    let unreachable = |names: &'static [&str]| {
        bench().run_with("apply", obey, move |target| {
            match names.contains(&target.name.as_str()) {
                true => Err(TransportError::Unreachable {
                    address: target.address.clone(),
                    reason: "no route to host".into(),
                    help: String::new(),
                }),
                false => Ok(()),
            }
        })
    };
    let outcome = unreachable(&["storage"]).await;
    assert_eq!(outcome.exit(), ExitCode::Unreachable, "{}", outcome.text());
    assert!(has_cluster(&outcome), "{}", outcome.text());
    // Nor does it stand for the cluster: of that nothing is known, and it says so itself.
    let outcome = unreachable(&["cp1", "w1"]).await;
    assert_eq!(outcome.exit(), ExitCode::Unreachable, "{}", outcome.text());
    assert_eq!(steps(&outcome), ["storage example : file 1"]);
}

/// Before a cluster begins all hosts are asked that may belong to one; a host outside is none of them.
#[tokio::test]
async fn it_is_not_asked_where_the_limit_leaves_it_out() {
    let mut bench = bench();
    bench.limit = Some(vec![name("cp1")]);
    let outcome = bench.run("plan", obey).await;
    assert_eq!(outcome.tally.connections, 2, "{}", outcome.text());
    assert!(!outcome.text().contains("storage"), "{}", outcome.text());
}

/// What is the matter with the cluster is no matter of a run that is for a host outside alone: it asks nobody else.
#[tokio::test]
async fn a_run_for_it_alone_does_not_fail_because_of_the_cluster() {
    let limited = |first: &str, of: &str| {
        let mut bench = Bench::cluster(&[first, "cp2", "w1", "storage"]);
        bench.shape.control_planes = vec![name(first), name("cp2")];
        bench.limit = Some(vec![name(of)]);
        bench
    };
    let away = |target: &Target| match target.name.as_str() {
        "storage" => Ok(()),
        _ => Err(TransportError::Unreachable {
            address: target.address.clone(),
            reason: "no route to host".into(),
            help: String::new(),
        }),
    };
    let ends = |outcome: &Outcome| (outcome.exit(), steps(outcome));
    for command in ["plan", "apply"] {
        let expected = match command {
            "plan" => (ExitCode::Changes, vec![]),
            _ => (ExitCode::Done, vec!["storage example : file 1".to_string()]),
        };
        // The first control plane is not as the inventory says, or no control plane can be reached.
        let outcome = limited("unfit", "storage").run(command, obey).await;
        assert_eq!(ends(&outcome), expected, "{}", outcome.text());
        assert_eq!(outcome.tally.connections, 1);
        let outcome = limited("cp1", "storage")
            .run_with(command, obey, away)
            .await;
        assert_eq!(ends(&outcome), expected, "{}", outcome.text());
    }
    // A node is a part of it, and so is a host with a play that waits for it.
    let outcome = limited("unfit", "w1").run("apply", obey).await;
    assert_eq!(outcome.exit(), ExitCode::Failed, "{}", outcome.text());
    let mut waits = limited("unfit", "storage");
    waits.last = true;
    let outcome = waits.run("apply", obey).await;
    assert_eq!(outcome.exit(), ExitCode::Failed, "{}", outcome.text());
    let mut both = limited("unfit", "storage");
    both.limit = Some(vec![name("storage"), name("w1")]);
    let outcome = both.run("apply", obey).await;
    assert_eq!(outcome.exit(), ExitCode::Failed, "{}", outcome.text());
}
