//! What a run says of a cluster that is not as it should be, and what it does not touch.

use std::sync::atomic::{AtomicU32, Ordering};

use quorate::cluster::Lasting;
use quorate::engine::Patience;
use quorate::event::ExitCode;
use quorate::host::Kind;
use quorate::model::HostName;
use quorate::transport::TransportError;
use quorate::transport::fake::{Call, Reply};

use super::engine::moving::to_be_moved;
use super::engine::{Bench, Outcome, framed, lost, obey};

const HOSTS: [&str; 4] = ["cp1", "cp2", "cp3", "w1"];

/// How a host's answer differs from that of a healthy one.
pub(super) type Bend = fn(&str, &mut Vec<String>);

/// What the inventory says otherwise of what a cluster keeps.
type Want = fn(&mut Lasting);

/// A cluster that has what it was told, with a load balancer on its control planes.
pub(super) fn cluster(bend: Bend) -> Bench {
    let mut bench = Bench::cluster(&HOSTS).converged();
    bench.shape.load_balancers = bench.shape.control_planes.clone();
    bench.model.lock().unwrap().bent = Some(bend);
    bench
}

pub(super) fn replace(lines: &mut [String], from: &str, to: &str) {
    for line in lines {
        *line = line.replace(from, to);
    }
}

/// Takes away what the API server and etcd of a host would answer.
pub(super) fn silence(lines: &mut Vec<String>, all: &[&str]) {
    lines.retain(|line| !line.starts_with("body ") && !line.starts_with("http "));
    lines.extend(all.iter().map(|what| format!("http {what} 000")));
}

pub(super) fn units(host: &str, lines: &mut Vec<String>, haproxy: &str, kubelet: &str) {
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
async fn what_is_yet_to_come_is_not_down() {
    let bend: Bend = |host, lines| units(host, lines, "inactive", "");
    for (moved, told) in [(false, false), (true, true)] {
        let bench = to_be_moved();
        {
            let mut model = bench.model.lock().unwrap();
            model.bent = Some(bend);
            if moved {
                model.old.clear();
            }
        }
        let outcome = bench.run("plan", obey).await;
        let named = summary(&outcome).contains("cp1: haproxy inactive");
        assert_eq!(named, told, "moved {moved}: {}", outcome.text());
    }
}

#[tokio::test]
async fn what_is_down_is_named_and_status_is_not_well() {
    let cases: [(&str, Bend, &str); 8] = [
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
        (
            "a reload that failed",
            |host, lines| {
                units(host, lines, "active", "");
                if host == "cp2" {
                    lines.insert(0, "pending haproxy.reload-haproxy".into());
                }
            },
            "cp2: haproxy has not read its new configuration",
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

#[tokio::test]
async fn nodes_that_start_no_pods_are_named_and_are_ready() {
    let bend: Bend = |host, lines| {
        if host == "w1" {
            let taint = r#"{"key":"node.kubernetes.io/disk-pressure","effect":"NoSchedule"}"#;
            lines.push(format!(
                r#"body {{"metadata":{{}},"spec":{{"taints":[{taint}]}}}}"#
            ));
            lines.push("http node 200".into());
        }
    };
    let outcome = cluster(bend).run("status", obey).await;
    let said = summary(&outcome);
    assert!(
        said.contains("starts no new pods: disk-pressure on w1"),
        "{said}"
    );
    assert_eq!(outcome.exit(), ExitCode::Done, "{}", outcome.text());
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

/// What its API server says when it is back counts, not what another one said before.
#[tokio::test]
async fn what_an_api_server_says_that_is_back_is_the_newest_word() {
    let bench = cluster(|_, _| ());
    bench.model.lock().unwrap().forget("w1");
    let outcome = bench
        .run("apply", |model, call| {
            let first = call.host == "cp2" && model.lock().unwrap().asked(call);
            let bend: Bend = match first {
                true => |host, lines| {
                    if host == "cp2" {
                        replace(lines, "http readyz 200", "http readyz 500");
                    }
                },
                false => |host, lines| {
                    if host == "cp2" {
                        let other = r#""rows":[{"cells":["db7","Ready","<none>","v1.36.3"]},"#;
                        replace(lines, r#""rows":["#, other);
                    }
                },
            };
            model.lock().unwrap().bent = Some(bend);
            obey(model, call)
        })
        .await;
    let said = summary(&outcome);
    assert!(
        said.contains("not in the inventory any more: db7"),
        "{said}"
    );
}

#[tokio::test]
async fn an_apply_that_cannot_mend_what_is_down_says_so() {
    let bend: Bend = |host, lines| {
        units(host, lines, "active", "active");
        if host == "cp2" {
            lines.insert(0, "pending haproxy.reload-haproxy".into());
        }
    };
    for (limit, said) in [
        (
            None,
            "what this run asks for is as written, and yet the cluster is not well",
        ),
        (
            Some("w1"),
            "what this run asks for within `--limit` is as written, and yet the cluster is not well",
        ),
    ] {
        let mut bench = cluster(bend);
        if let Some(host) = limit {
            bench.limit = Some(vec![HostName::new(host).unwrap()]);
        }
        let outcome = bench.run("apply", obey).await;
        assert_eq!(outcome.exit(), ExitCode::Failed, "{}", outcome.text());
        assert!(outcome.text().contains(said), "{}", outcome.text());
    }
}

#[tokio::test]
async fn what_a_live_cluster_cannot_take_on_is_refused_before_any_wave() {
    let cases: [(&str, Want, Bend, &str); 3] = [
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

/// What a dead run left behind on a host comes to its end: it is waited for, and the host is looked at once more.
#[tokio::test]
async fn a_step_that_a_dead_run_left_behind_is_waited_for() {
    let patient = |seconds| {
        let mut bench = Bench::cluster(&["cp1", "w1"]).converged();
        bench.model.lock().unwrap().forget("w1");
        bench.patience = Patience {
            step: std::time::Duration::from_secs(seconds),
            ..Patience::NONE
        };
        bench
    };
    let held = |call: &Call| {
        let line = "held a step of an earlier run is still going, begun by root@vm (process 7)";
        Reply::stdout(framed(call, [line.to_string()]))
    };
    let outcome = patient(60)
        .run("apply", move |model, call| {
            if call.host == "w1" && call.request.kind() == Kind::Lock {
                let mut model = model.lock().unwrap();
                if model.asked(call) {
                    return held(call);
                }
                // Meanwhile its join came to its end.
                model.rejoin("w1");
            }
            obey(model, call)
        })
        .await;
    assert_eq!(outcome.exit(), ExitCode::Done, "{}", outcome.text());
    assert!(
        outcome.text().contains("waiting for its end, 60 s at most"),
        "{}",
        outcome.text()
    );
    assert!(
        !outcome.text().contains("kubeadm join"),
        "{}",
        outcome.text()
    );
    // One that does not end: refused, and the time of a lock is not promised for it.
    let outcome = patient(0)
        .run("apply", move |model, call| match call.request.kind() {
            Kind::Lock if call.host == "w1" => held(call),
            _ => obey(model, call),
        })
        .await;
    assert_eq!(outcome.exit(), ExitCode::Refused, "{}", outcome.text());
    assert!(outcome.text().contains("run again when it has ended"));
    assert!(
        !outcome.text().contains("--break-lock"),
        "{}",
        outcome.text()
    );
    assert_eq!(outcome.count(Kind::Wave), 0);
}

/// A host that starts anew in the middle of init is tried until it is back.
#[tokio::test]
async fn a_host_that_starts_anew_is_reached_again() {
    let mut bench = Bench::cluster(&["cp1"]);
    bench.patience = Patience {
        away: std::time::Duration::from_secs(30),
        ..Patience::NONE
    };
    let (lost_once, dials) = (AtomicU32::new(0), AtomicU32::new(0));
    let outcome = bench
        .run_with(
            "apply",
            move |model, call| {
                let init = String::from_utf8_lossy(&call.stdin).contains("kubeadm init --config");
                if init
                    && call.request.kind() == Kind::Wave
                    && lost_once.fetch_add(1, Ordering::Relaxed) == 0
                {
                    return Reply::error(lost());
                }
                obey(model, call)
            },
            move |_| match dials.fetch_add(1, Ordering::Relaxed) {
                1 | 2 => Err(TransportError::Unreachable {
                    address: "cp1:22".into(),
                    reason: "connection refused".into(),
                    help: String::new(),
                }),
                _ => Ok(()),
            },
        )
        .await;
    assert_eq!(outcome.exit(), ExitCode::Done, "{}", outcome.text());
    assert!(
        outcome
            .text()
            .contains("looking at the host again, for 30 s at most")
    );
}

/// A wrong password on every host is said of each; nobody is told to take control planes out of the inventory.
#[tokio::test]
async fn a_wrong_login_everywhere_is_no_word_on_the_cluster() {
    for command in ["plan", "apply"] {
        let outcome = cluster(|_, _| ())
            .run_with(command, obey, |_| {
                Err(TransportError::Authentication {
                    address: "x".into(),
                    user: "root".into(),
                    tried: "no key".into(),
                })
            })
            .await;
        assert_eq!(outcome.exit(), ExitCode::Unreachable, "{}", outcome.text());
        assert!(
            !outcome.text().contains("kube_control_plane"),
            "{}",
            outcome.text()
        );
    }
}

/// The first control plane was initialised and taken out of the inventory: its load balancer holds the address, those of the
/// others run beside it.
#[tokio::test]
async fn a_cluster_that_answers_at_the_address_is_not_begun_beside() {
    let bend: Bend = |host, lines| {
        lines.push(format!("link-address 02:00:00:00:00:0{}", &host[2..]));
        lines.push("claimed 02:00:00:00:00:01".into());
    };
    for command in ["plan", "apply"] {
        let mut bench = Bench::cluster(&["cp2", "cp3"]);
        bench.shape.load_balancers = bench.shape.control_planes.clone();
        bench.model.lock().unwrap().bent = Some(bend);
        let outcome = bench.run(command, obey).await;
        assert_eq!(outcome.exit(), ExitCode::Refused, "{}", outcome.text());
        assert_eq!(outcome.count(Kind::Wave), 0);
        assert!(
            outcome
                .text()
                .contains("cp2 was answered by 02:00:00:00:00:01")
        );
    }
}

/// What a daemon has not read may be what none bears: no second host gets it.
#[tokio::test]
async fn no_other_load_balancer_is_touched_beside_one_that_has_not_read_its_configuration() {
    for (host, exit) in [("cp2", ExitCode::Done), ("cp3", ExitCode::Failed)] {
        let mut bench = cluster(|host, lines| {
            units(host, lines, "active", "");
            // Until its file is written.
            if host == "cp2" && !lines.iter().any(|line| line.starts_with("stat ")) {
                lines.insert(0, "pending haproxy.reload-haproxy".into());
            }
        });
        bench.disturbs = true;
        bench.limit = Some(vec![HostName::new(host).unwrap()]);
        for lacking in ["cp2", "cp3"] {
            bench.model.lock().unwrap().forget_file(lacking);
        }
        let outcome = bench.run("apply", obey).await;
        assert_eq!(outcome.exit(), exit, "{host}: {}", outcome.text());
        let barred = "not changed because of cp2 (haproxy has not read its new configuration)";
        assert_eq!(outcome.text().contains(barred), host == "cp3", "{host}");
        assert_eq!(outcome.waves().contains(&host), host == "cp2", "{host}");
    }
}
