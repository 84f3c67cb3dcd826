//! What a run says of a cluster that is not as it should be, and what it does not touch.

use quorate::cluster::Lasting;
use quorate::event::ExitCode;
use quorate::host::Kind;

use super::engine::{Bench, Outcome, obey};

const HOSTS: [&str; 4] = ["cp1", "cp2", "cp3", "w1"];

/// How a host's answer differs from that of a healthy one.
type Bend = fn(&str, &mut Vec<String>);

/// A cluster that has what it was told, with a load balancer on its control planes.
fn cluster(bend: Bend) -> Bench {
    let mut bench = Bench::cluster(&HOSTS).converged();
    bench.shape.load_balancers = bench.shape.control_planes.clone();
    bench.model.lock().unwrap().bent = Some(bend);
    bench
}

fn replace(lines: &mut [String], from: &str, to: &str) {
    for line in lines {
        *line = line.replace(from, to);
    }
}

/// Takes away what the API server and etcd of a host would answer.
fn silence(lines: &mut Vec<String>, all: &[&str]) {
    lines.retain(|line| !line.starts_with("body ") && !line.starts_with("http "));
    lines.extend(all.iter().map(|what| format!("http {what} 000")));
}

fn units(host: &str, lines: &mut Vec<String>, haproxy: &str, kubelet: &str) {
    // In the order of the questions, as systemctl answers.
    if host.starts_with("cp") {
        lines.extend([format!("unit ActiveState={haproxy}"), "unit ".into()]);
    }
    lines.push(format!("unit ActiveState={kubelet}"));
}

fn summary(outcome: &Outcome) -> &str {
    outcome.recap.cluster.as_deref().unwrap_or_default()
}

#[tokio::test]
async fn what_is_down_is_named_and_status_is_not_well() {
    let cases: [(&str, Bend, &str); 7] = [
        (
            "haproxy",
            |host, lines| {
                units(
                    host,
                    lines,
                    if host == "cp2" { "inactive" } else { "active" },
                    "",
                )
            },
            "cp2: haproxy inactive",
        ),
        (
            "an API server",
            |host, lines| {
                if host == "cp2" {
                    replace(lines, "http readyz 200", "http readyz 500");
                }
            },
            "cp2: API server live, not ready",
        ),
        (
            "all of a control plane",
            |host, lines| {
                if host == "cp2" {
                    silence(
                        lines,
                        &["livez", "readyz", "nodes", "members", "etcd-status"],
                    );
                }
            },
            "cp2: API server down, etcd down",
        ),
        (
            "manifests",
            |host, lines| {
                if host == "cp2" {
                    silence(lines, &[]);
                    lines.retain(|line| !line.contains("/manifests/"));
                }
            },
            "cp2: API server without its manifest, etcd without its manifest",
        ),
        (
            "a vote",
            |_, lines| {
                replace(
                    lines,
                    r#"{"name":"cp3","#,
                    r#"{"name":"cp3","isLearner":true,"#,
                )
            },
            "cp3: etcd without a vote",
        ),
        (
            "a member that never started",
            |_, lines| {
                replace(
                    lines,
                    r#"{"members":["#,
                    r#"{"members":[{"peerURLs":["https://x:2380"]},"#,
                )
            },
            "an etcd member at https://x:2380 has never started",
        ),
        (
            "a node that is not the inventory's",
            |_, lines| {
                replace(
                    lines,
                    r#""rows":["#,
                    r#""rows":[{"cells":["db7","Ready","<none>","v1.36.3"]},"#,
                );
            },
            "",
        ),
    ];
    for (title, bend, said) in cases {
        let outcome = cluster(bend).run("status", obey).await;
        let ill = !said.is_empty();
        let exit = if ill {
            ExitCode::Failed
        } else {
            ExitCode::Done
        };
        assert_eq!(outcome.exit(), exit, "{title}: {}", outcome.text());
        assert!(
            summary(&outcome).contains(said),
            "{title}: {}",
            summary(&outcome)
        );
        // A plan says it too, by what it asks anyway, and an apply does not call it well.
        let plan = cluster(bend).run("plan", obey).await;
        assert_eq!(plan.tally.execs(), 4, "{title}");
        if title != "haproxy" {
            assert!(summary(&plan).contains(said), "{title}: {}", summary(&plan));
            assert_eq!(plan.recap.healthy, Some(!ill), "{title}");
        }
    }
    let stranger: Bend = cases[6].1;
    let outcome = cluster(stranger).run("status", obey).await;
    assert!(
        summary(&outcome).starts_with("0 of 4 nodes Ready"),
        "{}",
        summary(&outcome)
    );
    assert!(summary(&outcome).contains("not in the inventory any more: db7"));
}

/// At the end of a run that changed something, who was seen to be down is looked at again before it is called ill.
#[tokio::test]
async fn what_was_down_in_a_wave_and_is_up_at_the_end_is_not_named() {
    let bench = cluster(|_, _| ());
    bench.model.lock().unwrap().forget("w1");
    let outcome = bench
        .run("apply", |model, call| {
            // cp2 comes back when it is asked for the second time.
            let first = call.host == "cp2" && model.lock().unwrap().asked(call);
            model.lock().unwrap().bent = first.then_some(|host, lines| {
                if host == "cp2" {
                    replace(lines, "http readyz 200", "http readyz 500");
                }
            });
            obey(model, call)
        })
        .await;
    assert_eq!(outcome.exit(), ExitCode::Done, "{}", outcome.text());
    assert_eq!(outcome.recap.healthy, Some(true), "{}", summary(&outcome));
}

#[tokio::test]
async fn what_a_live_cluster_cannot_take_on_is_refused_before_any_wave() {
    let cases: [(&str, fn(&mut Lasting), Bend, &str); 3] = [
        (
            "another port",
            |l| l.port = Some(7443),
            |host, lines| {
                if host.starts_with("cp") {
                    // It was asked at the port that the inventory names.
                    silence(lines, &["livez", "readyz"]);
                    lines.push("kubernetes port 6443".into());
                }
            },
            "has port 6443, the inventory says 7443",
        ),
        (
            "swapped addresses",
            |_| (),
            |host, lines| match host {
                "cp3" => lines.push("kubernetes node w1".into()),
                "w1" => lines.push("kubernetes node cp3".into()),
                _ => {}
            },
            "the host at the address of cp3 is the node w1 of a cluster",
        ),
        (
            "other networks",
            |l| l.pod_subnet = Some("10.245.0.0/16".parse().unwrap()),
            |_, lines| {
                replace(
                    lines,
                    r"v1.36.3\n",
                    r"v1.36.3\nnetworking:\n  podSubnet: 10.244.0.0/16\n",
                )
            },
            "the live cluster's pod_subnet is 10.244.0.0/16",
        ),
    ];
    for (title, wanted, bend, said) in cases {
        for command in ["plan", "apply"] {
            let mut bench = cluster(bend);
            wanted(&mut bench.shape.lasting);
            // Something is to be done, were it not refused.
            bench.model.lock().unwrap().forget_file("cp1");
            let outcome = bench.run(command, obey).await;
            assert_eq!(
                outcome.exit(),
                ExitCode::Refused,
                "{title}: {}",
                outcome.text()
            );
            assert!(outcome.text().contains(said), "{title}: {}", outcome.text());
            assert_eq!(
                outcome.count(Kind::Wave) + outcome.count(Kind::Lock),
                0,
                "{title}"
            );
            assert!(!outcome.recap.has_changes(), "{title}");
        }
    }
}
