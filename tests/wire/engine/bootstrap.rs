//! A cluster that is made of bare hosts: who is asked first, what init and joins bring, and what comes behind them.

use std::sync::atomic::{AtomicU32, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use quorate::event::{Event, ExitCode};
use quorate::host::Kind;
use quorate::transport::fake::{Call, Reply};
use quorate::transport::{Target, TransportError};

use super::{Bench, RUN, SIGNING, TELLING, TOKEN, framed, name, obey, steps};

#[tokio::test]
async fn a_cluster_is_made_of_bare_hosts_and_nothing_secret_is_said() {
    let hosts = ["cp1", "cp2", "cp3", "w1"];
    let outcome = Bench::cluster(&hosts).run("apply", obey).await;
    assert_eq!(outcome.exit(), ExitCode::Done, "{}", outcome.text());
    let titles: Vec<(String, String)> = outcome
        .events
        .iter()
        .filter_map(|e| match e {
            Event::StepFinished { host, title, .. }
                if title.contains("kubeadm init") || title.contains("kubeadm join") =>
            {
                Some((host.to_string(), title.clone()))
            }
            _ => None,
        })
        .collect();
    assert_eq!(titles[0], ("cp1".into(), "cluster : kubeadm init".into()));
    assert_eq!(titles.len(), 4, "{titles:?}");
    let place = |host: &str| titles.iter().position(|(h, _)| h == host).unwrap();
    assert!(place("cp2") < place("cp3"));
    // Every host was seen after its lock was taken: no second look.
    assert_eq!(outcome.count(Kind::Probe), 4);
    assert_eq!(outcome.count(Kind::Lock), 4);
    assert!(!outcome.text().contains(TOKEN));
    assert!(
        outcome
            .calls
            .iter()
            .all(|c| !c.request.command().contains(TOKEN))
    );
    // The acts in their order, each once, before what is done in them.
    let acts: Vec<&str> = outcome
        .events
        .iter()
        .filter_map(|e| match e {
            Event::ActStarted { act, .. } => Some(act.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(acts, ["probe", "prepare", "init", "join", "verify"]);
    assert!(matches!(outcome.events[0], Event::RunStarted { .. }));
    assert!(matches!(
        outcome.events.last(),
        Some(Event::HostFinished { .. })
    ));
}

/// A load balancer with a kubeconfig of its own: signed on each control plane once it is a member, then told to the load
/// balancer, behind its gate, before the next one joins over it.
#[tokio::test]
async fn a_kubeconfig_is_signed_on_members_before_the_next_one_joins() {
    let cluster = || {
        let mut bench = Bench::cluster(&["cp1", "cp2", "cp3", "w1"]);
        bench.signs = true;
        bench.shape.load_balancers = bench.shape.control_planes.clone();
        bench.shape.vip_before_init = false;
        bench
    };
    let bench = cluster();
    let model = bench.model.clone();
    let outcome = bench.run("apply", obey).await;
    assert_eq!(outcome.exit(), ExitCode::Done, "{}", outcome.text());
    let mut story = Vec::new();
    for call in outcome
        .calls
        .iter()
        .filter(|c| c.request.kind() == Kind::Wave)
    {
        let script = String::from_utf8_lossy(&call.stdin).into_owned();
        let gate = "https://vip.example:8443/healthz";
        for (sign, what) in [
            ("kubeadm init --config", "init"),
            ("kubeadm join --config", "join"),
            (SIGNING, "sign"),
            (TELLING, "tell"),
        ] {
            if script.contains(sign) && call.host != "w1" {
                story.push(format!("{} {what}", call.host));
            }
            assert!(what != "tell" || !script.contains(sign) || script.contains(gate));
        }
    }
    assert_eq!(
        story,
        [
            "cp1 init", "cp1 sign", "cp1 tell", "cp2 join", "cp2 sign", "cp2 tell", "cp3 join",
            "cp3 sign", "cp3 tell"
        ]
    );
    // Again: one exec a host, and nothing to do.
    let mut again = cluster();
    again.model = model.clone();
    let outcome = again.run("apply", obey).await;
    assert_eq!(outcome.exit(), ExitCode::Done, "{}", outcome.text());
    assert_eq!(outcome.tally.execs(), 4);
    // Lost on one host of a live cluster: foretold, signed again, and nothing else.
    model.lock().unwrap().signed.retain(|h| h != "cp2");
    let mut plan = cluster();
    plan.model = model.clone();
    plan.read_only = true;
    let outcome = plan.run("plan", obey).await;
    assert_eq!(outcome.exit(), ExitCode::Changes, "{}", outcome.text());
    assert!(
        outcome
            .text()
            .contains("sign a kubeconfig for the load balancer")
    );
    let mut apply = cluster();
    apply.model = model;
    let outcome = apply.run("apply", obey).await;
    assert_eq!(outcome.exit(), ExitCode::Done, "{}", outcome.text());
    assert!(outcome.waves().iter().filter(|h| **h == "cp2").count() >= 1);
    let signed = |c: &&Call| String::from_utf8_lossy(&c.stdin).contains(SIGNING);
    let hosts: Vec<&str> = outcome
        .calls
        .iter()
        .filter(signed)
        .map(|c| c.host.as_str())
        .collect();
    assert_eq!(hosts, ["cp2"]);
}

/// A certificate that is due again as soon as it was signed: told, and not signed for ever.
#[tokio::test]
async fn a_kubeconfig_that_stays_due_fails_its_host() {
    let mut bench = Bench::cluster(&["cp1"]).converged();
    bench.signs = true;
    let outcome = bench
        .run("apply", |model, call| {
            let reply = obey(model, call);
            model.lock().unwrap().signed.clear();
            if call.request.kind() != Kind::Wave {
                return reply;
            }
            let mut lines: Vec<String> = steps(call)
                .iter()
                .flat_map(|(id, _)| [format!("start {id}"), format!("done {id} changed 0")])
                .collect();
            lines.extend(model.lock().unwrap().facts(&call.host));
            lines.push("finished".into());
            Reply::stdout(framed(call, lines))
        })
        .await;
    assert_eq!(outcome.exit(), ExitCode::Failed, "{}", outcome.text());
    let text = outcome.text();
    assert!(
        text.contains("a kubeconfig was signed, and yet: none yet"),
        "{text}"
    );
    let signings = |c: &&Call| String::from_utf8_lossy(&c.stdin).contains(SIGNING);
    assert_eq!(outcome.calls.iter().filter(signings).count(), 1);
}

#[tokio::test]
async fn an_attached_init_brings_no_token_of_ours() {
    let bench = Bench::cluster(&["cp1", "cp2"]);
    let outcome = bench
        .run("apply", |model, call| {
            let reply = obey(model, call);
            let script = String::from_utf8_lossy(&call.stdin).into_owned();
            if call.request.kind() == Kind::Wave && script.contains("kubeadm init --config") {
                let output = BASE64.encode("quorate: started by run ffffffffffffffff");
                let mut lines: Vec<String> = steps(call)
                    .iter()
                    .flat_map(|(id, _)| [format!("start {id}"), format!("done {id} ok 0 {output}")])
                    .collect();
                lines.extend(model.lock().unwrap().facts(&call.host));
                lines.push("finished".into());
                return Reply::stdout(framed(call, lines));
            }
            reply
        })
        .await;
    assert_eq!(outcome.exit(), ExitCode::Done, "{}", outcome.text());
    assert!(
        outcome.text().contains("token and certificate key"),
        "{}",
        outcome.text()
    );
}

#[tokio::test]
async fn facts_that_cannot_be_read_are_asked_again() {
    let waves = AtomicU32::new(0);
    let outcome = Bench::cluster(&["cp1"])
        .run("apply", move |model, call| {
            let reply = obey(model, call);
            let init = String::from_utf8_lossy(&call.stdin).contains("kubeadm init --config");
            if call.request.kind() == Kind::Wave
                && init
                && waves.fetch_add(1, Ordering::Relaxed) == 0
            {
                let output = BASE64.encode(format!("quorate: started by run {RUN}"));
                let mut lines: Vec<String> = steps(call)
                    .iter()
                    .flat_map(|(id, _)| [format!("start {id}"), format!("done {id} ok 0 {output}")])
                    .collect();
                lines.extend(["kubernetes nonsense".into(), "finished".into()]);
                return Reply::stdout(framed(call, lines));
            }
            reply
        })
        .await;
    assert_eq!(outcome.exit(), ExitCode::Done, "{}", outcome.text());
    assert!(
        outcome
            .text()
            .contains("its last facts could not be read; looking at the host again")
    );
    let inits = outcome
        .calls
        .iter()
        .filter(|c| String::from_utf8_lossy(&c.stdin).contains("kubeadm init --config"));
    assert_eq!(inits.count(), 1, "never a second init");
}

#[tokio::test]
async fn a_run_that_ended_in_between_is_seen_before_init() {
    // The files are there, so that no wave looks at the hosts again; another controller initialises cp2 while cp1 is locked.
    let mut bench = Bench::cluster(&["cp1", "cp2"]);
    bench.waves = 0;
    let outcome = bench
        .run("apply", |model, call| {
            if call.request.kind() == Kind::Lock && call.host == "cp2" {
                let mut model = model.lock().unwrap();
                model.members = vec!["cp2".into()];
                model
                    .markers
                    .insert("cp2".into(), "init other config done".into());
            }
            obey(model, call)
        })
        .await;
    let inits = outcome
        .calls
        .iter()
        .filter(|c| String::from_utf8_lossy(&c.stdin).contains("kubeadm init --config"));
    assert_eq!(inits.count(), 0, "{}", outcome.text());
    assert_eq!(outcome.exit(), ExitCode::Done, "{}", outcome.text());
}

#[tokio::test]
async fn who_is_down_before_init_decides_what_happens() {
    let down = |who: &'static str| {
        move |target: &Target| {
            if target.name.as_str() == who {
                return Err(TransportError::Unreachable {
                    address: who.into(),
                    reason: "down".into(),
                    help: String::new(),
                });
            }
            Ok(())
        }
    };
    let seen = Bench::cluster(&["cp1", "w1"])
        .converged()
        .run_with("status", obey, down("w1"))
        .await;
    let cluster = seen.recap.cluster.as_deref().unwrap_or_default();
    assert!(cluster.contains("not looked at: w1"), "{cluster}");
    let worker = Bench::cluster(&["cp1", "w1"])
        .run_with("apply", obey, down("w1"))
        .await;
    assert_eq!(worker.exit(), ExitCode::Unreachable, "{}", worker.text());
    assert!(worker.text().contains("cluster : kubeadm init"));
    let control_plane = Bench::cluster(&["cp1", "cp2", "w1"])
        .run_with("apply", obey, down("cp2"))
        .await;
    assert_eq!(
        control_plane.exit(),
        ExitCode::Refused,
        "{}",
        control_plane.text()
    );
    assert!(!control_plane.text().contains("cluster : kubeadm init"));
    // The others were prepared all the same.
    assert_eq!(control_plane.waves().len(), 2);
}

#[tokio::test]
async fn hosts_outside_the_limit_are_asked_before_a_cluster_begins_and_only_then() {
    let limited = |limit: &[&str]| {
        let mut bench = Bench::cluster(&["cp1", "w1", "w2"]);
        bench.limit = Some(limit.iter().map(|n| name(n)).collect());
        bench
    };
    for command in ["apply", "plan"] {
        // w2 carries another cluster's certificate.
        let bench = limited(&["cp1"]);
        bench.model.lock().unwrap().members.push("w2".into());
        let outcome = bench.run(command, obey).await;
        assert_eq!(outcome.exit(), ExitCode::Refused, "{}", outcome.text());
        assert!(outcome.text().contains("w2"), "{}", outcome.text());
        assert_eq!(outcome.count(Kind::Wave), 0);
        assert_eq!(outcome.tally.probes, 3);
    }
    // Nothing is there: the cluster begins, and who is left out stays as it is.
    let outcome = limited(&["cp1"]).run("apply", obey).await;
    assert_eq!(outcome.exit(), ExitCode::Done, "{}", outcome.text());
    assert!(outcome.waves().iter().all(|host| *host == "cp1"));
    assert!(outcome.text().contains("cluster : kubeadm init"));
    // Without a control plane in the limit nothing can begin; with a live cluster nothing begins either.
    let outcome = limited(&["w1"]).run("plan", obey).await;
    assert_eq!(outcome.tally.probes, 2, "{}", outcome.text());
    let outcome = limited(&["cp1"]).converged().run("apply", obey).await;
    assert_eq!(outcome.exit(), ExitCode::Done, "{}", outcome.text());
    assert_eq!(outcome.tally.probes, 1, "{}", outcome.text());
}

#[tokio::test]
async fn what_comes_last_comes_when_all_are_in_the_cluster() {
    let mut bench = Bench::cluster(&["cp1", "cp2", "w1"]);
    bench.last = true;
    let model = bench.model.clone();
    let outcome = bench.run("apply", obey).await;
    assert_eq!(outcome.exit(), ExitCode::Done, "{}", outcome.text());
    let started = |event: &Event| match event {
        Event::StepStarted { host, title, .. } => Some(format!("{host} {title}")),
        _ => None,
    };
    let titles: Vec<String> = outcome.events.iter().filter_map(started).collect();
    let last = titles.iter().position(|t| t.ends_with("last : member"));
    let joins = titles.iter().rposition(|t| t.contains("kubeadm"));
    assert!(last > joins, "{titles:#?}");
    assert_eq!(model.lock().unwrap().member_files.len(), 3);
    // On a cluster that is whole it is in the first and only wave, and where nothing is to be done in none.
    let mut bench = Bench::cluster(&["cp1", "cp2", "w1"]).converged();
    bench.last = true;
    bench.model = model;
    let outcome = bench.run("apply", obey).await;
    assert_eq!(
        (outcome.exit(), outcome.count(Kind::Wave)),
        (ExitCode::Done, 0)
    );
    assert_eq!(outcome.tally.execs(), 3);
    let mut bench = Bench::cluster(&["cp1", "cp2", "w1"]).converged();
    bench.last = true;
    let outcome = bench.run("apply", obey).await;
    // The last one is the look at the whole cluster.
    assert_eq!(outcome.count(Kind::Wave), 4, "{}", outcome.text());
}

/// A look for the address alone says nothing of the cluster: what a host said of that before others joined is no newer for it.
#[tokio::test]
async fn a_look_for_the_address_brings_no_old_word_of_the_cluster() {
    let mut bench = Bench::cluster(&["cp1", "cp2", "cp3"]);
    bench.moves = true;
    bench.shape.vip_before_init = false;
    // Whoever is asked last has joined first.
    bench.shape.load_balancers = ["cp3", "cp2", "cp1"].map(name).to_vec();
    bench.model.lock().unwrap().holder = Some("cp1");
    let outcome = bench.run("apply", obey).await;
    assert_eq!(outcome.exit(), ExitCode::Done, "{}", outcome.text());
    assert_eq!(outcome.recap.healthy, Some(true), "{}", outcome.text());
}
