//! `quorate demo-progress` (hidden): a made-up run through the real reporters, to look at the display without hosts.

use std::time::Duration;

use color_eyre::eyre::Result;
use tokio::sync::mpsc::{Sender, channel};

use super::args::Demo;
use crate::event::{Category, Event, ExecKind, ExitCode, PlannedChange, Status, Trouble};
use crate::model::HostName;
use crate::report::{self, Options, Reporters};

/// A step: title, seconds, what they count as.
type Step = (&'static str, f64, Category);

/// The acts of a made-up apply, and the steps of each host.
const ACTS: [(&str, &[Step]); 5] = [
    (
        "prepare",
        &[
            ("sysctl : forwarding", 0.3, Category::Own),
            ("containerd : packages", 4.0, Category::Packages),
            (
                "kubernetes : packages pinned and held",
                3.0,
                Category::Packages,
            ),
            (
                "images : import registry.k8s.io/kube-apiserver, kube-controller-manager, etcd",
                6.0,
                Category::Transfer,
            ),
        ],
    ),
    (
        "load balancer",
        &[
            ("haproxy : configuration", 0.4, Category::Own),
            ("keepalived : service", 1.5, Category::Own),
        ],
    ),
    (
        "init",
        &[("cluster : kubeadm init", 9.0, Category::Kubeadm)],
    ),
    (
        "join",
        &[("cluster : kubeadm join", 7.0, Category::Kubeadm)],
    ),
    ("verify", &[("cluster : nodes", 3.0, Category::Wait)]),
];

struct Stage {
    events: Sender<Event>,
    demo: Demo,
}

/// Plays the run and returns its exit code.
pub(super) async fn demo(demo: Demo, options: Options) -> Result<ExitCode> {
    let reporters = Reporters::new().with("output", report::reporter(&options, true));
    let (events, receiver) = channel(256);
    let follow = tokio::spawn(reporters.follow(receiver));
    let stage = std::sync::Arc::new(Stage { events, demo });
    play(&stage).await?;
    drop(stage);
    Ok(follow.await??.exit())
}

async fn play(stage: &std::sync::Arc<Stage>) -> Result<()> {
    let hosts = (1..=stage.demo.hosts)
        .map(|n| {
            HostName::new(&if n <= 3 {
                format!("cp{n}")
            } else {
                format!("w{}", n - 3)
            })
        })
        .collect::<Result<Vec<_>, _>>()?;
    let command = if stage.demo.plan { "plan" } else { "apply" };
    stage
        .tell(Event::RunStarted {
            run: "0123456789abcdef".into(),
            command: command.into(),
            cluster: "demo".into(),
            user: "demo".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            hosts: hosts.clone(),
        })
        .await;
    stage
        .tell(Event::ActStarted {
            act: "probe".into(),
            hosts: hosts.clone(),
        })
        .await;
    each(stage, &hosts, |stage, host, n| async move {
        stage.probe(&host, n).await
    })
    .await?;
    let unreachable = stage.demo.fail.then(|| hosts.last().cloned()).flatten();
    let alive: Vec<_> = hosts
        .iter()
        .filter(|host| Some(*host) != unreachable.as_ref())
        .cloned()
        .collect();
    if stage.demo.plan {
        return Ok(());
    }
    for (act, steps) in ACTS {
        let on = match act {
            "init" | "verify" => &alive[..1.min(alive.len())],
            "join" => alive.get(1..).unwrap_or_default(),
            "load balancer" => &alive[..3.min(alive.len())],
            _ => &alive[..],
        };
        stage
            .tell(Event::ActStarted {
                act: act.into(),
                hosts: on.to_vec(),
            })
            .await;
        each(stage, on, move |stage, host, n| async move {
            stage.steps(&host, n, steps).await
        })
        .await?;
    }
    for host in &alive {
        stage
            .tell(Event::HostFinished {
                host: host.clone(),
                seconds: 30.0,
            })
            .await;
    }
    let n = alive.len();
    stage
        .tell(Event::Cluster {
            summary: format!("{n} nodes Ready, v1.36.3; cp1 holds the VIP 10.0.0.10"),
            healthy: true,
        })
        .await;
    Ok(())
}

/// Runs `f` for all hosts at once.
async fn each<F, R>(stage: &std::sync::Arc<Stage>, hosts: &[HostName], f: F) -> Result<()>
where
    F: Fn(std::sync::Arc<Stage>, HostName, u32) -> R,
    R: Future<Output = ()> + Send + 'static,
{
    let tasks: Vec<_> = (0..)
        .zip(hosts)
        .map(|(n, host)| tokio::spawn(f(stage.clone(), host.clone(), n)))
        .collect();
    for task in tasks {
        task.await?;
    }
    Ok(())
}

impl Stage {
    async fn tell(&self, event: Event) {
        // The reporters outlive the stage; if they are gone there is nothing left to show.
        let _ = self.events.send(event).await;
    }

    async fn sleep(&self, seconds: f64) {
        tokio::time::sleep(Duration::from_secs_f64(seconds / self.demo.speed.max(0.01))).await;
    }

    async fn probe(&self, host: &HostName, n: u32) {
        self.sleep(0.3 + f64::from(n % 7) * 0.2).await;
        let host = host.clone();
        if self.demo.fail && n + 1 == self.demo.hosts {
            let message = "connect to 10.0.0.19:22: no route to host".into();
            let help = Some("is the host up? `ansible_host` is set in inventory/hosts.yml".into());
            return self
                .tell(Event::HostTrouble {
                    host,
                    trouble: Trouble::Unreachable,
                    message,
                    help,
                })
                .await;
        }
        self.tell(Event::Connected {
            host: host.clone(),
            seconds: 0.1,
        })
        .await;
        self.tell(Event::ExecStarted {
            host: host.clone(),
            kind: ExecKind::Probe,
            bytes: 2048,
        })
        .await;
        self.sleep(0.4).await;
        self.tell(Event::Probed {
            host: host.clone(),
            seconds: 0.4,
        })
        .await;
        self.tell(Event::Unchanged {
            host: host.clone(),
            ok: 21,
            skipped: 2,
            unshown: None,
        })
        .await;
        if self.demo.plan && n != 1 {
            let diff = "--- /etc/haproxy/haproxy.cfg\n+++ /etc/haproxy/haproxy.cfg\n@@ -1,3 +1,3 @@\n global\n-    maxconn 1000\n+    maxconn 4000\n";
            let changes = vec![PlannedChange {
                what: "write /etc/haproxy/haproxy.cfg".into(),
                why: "content differs".into(),
                diff: Some(diff.into()),
                ..PlannedChange::default()
            }];
            self.tell(Event::Planned {
                host,
                title: "haproxy : configuration".into(),
                changes,
                disturbs: true,
                since: None,
            })
            .await;
        }
    }

    async fn steps(&self, host: &HostName, n: u32, steps: &[Step]) {
        self.tell(Event::ExecStarted {
            host: host.clone(),
            kind: ExecKind::Wave,
            bytes: 40 << 20,
        })
        .await;
        for (title, seconds, category) in steps {
            let seconds = seconds * (1.0 + f64::from(n % 5) * 0.3);
            self.tell(Event::StepStarted {
                host: host.clone(),
                title: (*title).into(),
            })
            .await;
            let total = 40 << 20;
            for part in 1..=10 {
                self.sleep(seconds / 10.0).await;
                let (text, of) = match category {
                    Category::Transfer => ("sent", Some((total / 10 * part, total))),
                    Category::Kubeadm => (
                        "[etcd] Waiting for the kubelet to boot up the control plane as static Pods",
                        None,
                    ),
                    Category::Wait => ("nodes", Some((part.min(5), 5))),
                    _ => continue,
                };
                self.tell(Event::Progress {
                    host: host.clone(),
                    text: text.into(),
                    of,
                })
                .await;
            }
            let failed = self.demo.fail && n == 1 && *category == Category::Kubeadm;
            let (detail, help) = if failed {
                let lines = [
                    "error execution phase preflight: [preflight] Some fatal errors occurred:",
                    "\t[ERROR Swap]: running with swap on is not supported \u{1b}[31m",
                ];
                (
                    lines.map(String::from).to_vec(),
                    Some("turn swap off: swapoff -a, and remove it from /etc/fstab".into()),
                )
            } else {
                (Vec::new(), None)
            };
            let status = if failed {
                Status::Failed
            } else {
                Status::Changed
            };
            self.tell(Event::StepFinished {
                host: host.clone(),
                title: (*title).into(),
                status,
                category: *category,
                seconds: seconds / self.demo.speed.max(0.01),
                detail,
                help,
            })
            .await;
            if failed {
                return;
            }
        }
    }
}
