//! What a plan says and costs, and a plan file that is carried out while all is as it was seen.

use quorate::cluster::act::Manifest;
use quorate::event::{Event, ExitCode, PlanFile, PlanOrigin, planned_steps};
use quorate::host::Kind;

use super::{Bench, Outcome, RUN, lost, obey};

#[tokio::test]
async fn nothing_to_change_costs_one_connection_and_one_exec_a_host() {
    let many: Vec<String> = (1..=200).map(|n| format!("node{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    for (hosts, command) in [
        (vec!["cp1", "cp2", "w1"], "apply"),
        (many.clone(), "apply"),
        (many, "plan"),
    ] {
        let n = hosts.len();
        let outcome = Bench::cluster(&hosts).converged().run(command, obey).await;
        assert_eq!(outcome.exit(), ExitCode::Done, "{}", outcome.text());
        assert_eq!(
            (outcome.tally.connections, outcome.tally.execs()),
            (n as u64, n as u64)
        );
        assert_eq!(outcome.tally.probes, n as u64);
        for recap in outcome.recap.hosts.values() {
            assert_eq!(
                (
                    recap.ok,
                    recap.skipped,
                    recap.changed,
                    recap.sessions,
                    recap.execs
                ),
                (3, 1, 0, 1, 1)
            );
        }
    }
}

#[tokio::test]
async fn a_plan_sends_probes_only_and_lists_init_and_joins() {
    let mut bench = Bench::cluster(&["cp1", "cp2", "w1"]);
    bench.read_only = true;
    let outcome = bench.run("plan", obey).await;
    assert_eq!(outcome.exit(), ExitCode::Changes);
    assert_eq!(outcome.calls.len(), outcome.count(Kind::Probe));
    let planned: Vec<String> = outcome
        .events
        .iter()
        .filter_map(|e| match e {
            Event::Planned {
                host,
                changes,
                title,
                ..
            } if title == "cluster" => Some(format!("{host}: {}", changes[0].what)),
            _ => None,
        })
        .collect();
    assert_eq!(
        planned,
        [
            "cp1: kubeadm init",
            "cp2: kubeadm join --control-plane",
            "w1: kubeadm join"
        ]
    );
}

/// Returns the plan of a run as the file that `apply FILE` takes.
fn as_file(outcome: &Outcome, bench: &Bench) -> PlanFile {
    PlanFile {
        run: RUN.into(),
        at: jiff::Timestamp::UNIX_EPOCH,
        version: "0.1.0".into(),
        origin: PlanOrigin {
            shard: None,
            cluster: "kubernetes".into(),
            endpoint: bench.shape.endpoint.to_string(),
            inventory: bench.hosts.clone(),
            limit: None,
            tags: Vec::new(),
            skip_tags: Vec::new(),
            extra_vars: Vec::new(),
        },
        hosts: planned_steps(&outcome.events),
    }
}

#[tokio::test]
async fn a_plan_that_was_agreed_to_is_carried_out_while_all_is_as_it_was_seen() {
    let bench = || {
        let bench = Bench::cluster(&["cp1", "cp2", "w1"]).converged();
        bench.model.lock().unwrap().forget_file("w1");
        bench
    };
    let plan = bench().run("plan", obey).await;
    assert_eq!(plan.exit(), ExitCode::Changes, "{}", plan.text());
    let file = as_file(&plan, &bench());
    assert_eq!(file.hosts.values().map(Vec::len).sum::<usize>(), 1);

    let mut same = bench();
    same.approved = Some(file.clone());
    let outcome = same.run("apply", obey).await;
    assert_eq!(outcome.exit(), ExitCode::Done, "{}", outcome.text());
    assert_eq!(outcome.waves()[0], "w1");
    // With `--diff` the difference is told before the wave is sent.
    let place = |wanted: &dyn Fn(&Event) -> bool| outcome.events.iter().position(wanted).unwrap();
    let told = place(&|e| matches!(e, Event::Planned { changes, .. } if changes[0].diff.is_some()));
    let sent = place(
        &|e| matches!(e, Event::ExecStarted { kind, .. } if *kind == quorate::event::ExecKind::Wave),
    );
    assert!(told < sent, "{}", outcome.text());

    // Another host is not as it was: nothing at all is done, not even what still holds.
    let mut other = bench();
    other.model.lock().unwrap().forget_file("cp2");
    other.approved = Some(file.clone());
    let outcome = other.run("apply", obey).await;
    assert_eq!(outcome.exit(), ExitCode::Refused, "{}", outcome.text());
    assert!(
        outcome
            .text()
            .contains("cp2: `example : file 1` is not in the plan")
    );
    assert_eq!(
        (outcome.count(Kind::Wave), outcome.count(Kind::Lock)),
        (0, 0)
    );

    // Other variables may be why.
    let mut otherwise = bench();
    otherwise.model.lock().unwrap().forget_file("cp2");
    let mut with = file.clone();
    with.origin.extra_vars = vec!["word".into()];
    otherwise.approved = Some(with);
    let outcome = otherwise.run("apply", obey).await;
    assert_eq!(outcome.exit(), ExitCode::Refused, "{}", outcome.text());
    let hint = "the plan was made with `-e` of word, which this run lacks: say the same; or make a new plan";
    assert!(outcome.text().contains(hint), "{}", outcome.text());

    // Somebody has done it already.
    let mut done = Bench::cluster(&["cp1", "cp2", "w1"]).converged();
    done.approved = Some(file.clone());
    let outcome = done.run("apply", obey).await;
    assert_eq!(outcome.exit(), ExitCode::Refused, "{}", outcome.text());
    assert!(outcome.text().contains("has nothing to do any more"));

    // Who cannot be read may be anything by now.
    let mut gone = bench();
    gone.approved = Some(file);
    let outcome = gone
        .run_with("apply", obey, |target| match target.name.as_str() {
            "w1" => Err(lost()),
            _ => Ok(()),
        })
        .await;
    assert_eq!(outcome.exit(), ExitCode::Refused, "{}", outcome.text());
    assert_eq!(outcome.count(Kind::Wave), 0);
}

/// Init and joins belong to a plan too, and a host that could not be read makes the plan's exit code 3.
#[tokio::test]
async fn a_plan_on_bare_hosts_is_carried_out_as_a_whole() {
    let hosts = ["cp1", "cp2", "w1"];
    let plan = Bench::cluster(&hosts).run("plan", obey).await;
    let mut bench = Bench::cluster(&hosts);
    bench.approved = Some(as_file(&plan, &bench));
    let outcome = bench.run("apply", obey).await;
    assert_eq!(outcome.exit(), ExitCode::Done, "{}", outcome.text());

    // What init brings is a part of what was agreed to.
    let mut other = Bench::cluster(&hosts);
    other.manifests = vec![Manifest {
        name: "other.yaml".into(),
        text: Some("kind: ConfigMap\n".into()),
    }];
    other.approved = Some(as_file(&plan, &other));
    let outcome = other.run("apply", obey).await;
    assert_eq!(outcome.exit(), ExitCode::Refused, "{}", outcome.text());
    assert_eq!(outcome.count(Kind::Wave), 0);

    let unreached = Bench::cluster(&hosts)
        .converged()
        .run_with("plan", obey, |target| match target.name.as_str() {
            "w1" => Err(lost()),
            _ => Ok(()),
        })
        .await;
    assert_eq!(
        unreached.exit(),
        ExitCode::Unreachable,
        "{}",
        unreached.text()
    );
}

/// A cluster whose API is down everywhere is none that is as written, whatever its hosts' files say.
#[tokio::test]
async fn a_plan_fails_where_apply_would() {
    for command in ["plan", "apply"] {
        let mut bench = Bench::cluster(&["cp1", "w1"]);
        bench.waves = 0;
        let outcome = bench
            .run(command, |model, call| {
                let done = "init other config done".into();
                model.lock().unwrap().markers.insert("cp1".into(), done);
                obey(model, call)
            })
            .await;
        assert_eq!(outcome.exit(), ExitCode::Failed, "{}", outcome.text());
        let said = "cp1 belong to a cluster, but no API server answers";
        assert!(outcome.text().contains(said), "{}", outcome.text());
    }
}
