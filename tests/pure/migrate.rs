//! A live cluster's load balancer is moved: what is next by what the hosts look like, wherever it was killed.

use std::collections::BTreeSet;

use quorate::cluster::load_balancer::Remains;
use quorate::cluster::migrate::{self, Stage};
use quorate::cluster::next::{forbidden, forecast};
use quorate::cluster::spec::Way;
use quorate::cluster::{Act, Decision, HostView, Moving, Shape, Standing, View, next};
use quorate::host::fact::{Api, EtcdMember, Kubernetes, NodeState};
use quorate::model::{Endpoint, HostName, Sha256};

const HOSTS: [&str; 3] = ["cp1", "cp2", "cp3"];

pub(super) fn name(text: &str) -> HostName {
    HostName::new(text).unwrap()
}

pub(super) fn shape() -> Shape {
    let names: Vec<HostName> = HOSTS.iter().map(|n| name(n)).collect();
    Shape {
        control_planes: names.clone(),
        workers: Vec::new(),
        load_balancers: names,
        vip_before_init: false,
        endpoint: Endpoint::new("vip.example", 8443).unwrap(),
        version: "1.36.3".into(),
        lasting: Default::default(),
    }
}

pub(super) fn services() -> Remains {
    Remains {
        from: Some(Way::KeepalivedHaproxy),
        to: Way::KeepalivedHaproxyPods,
        manifests: Vec::new(),
        pods: vec!["kube-vip"],
        units: vec!["keepalived", "haproxy"],
        paths: Vec::new(),
    }
}

/// A host of a live cluster: with something of the old way, with a bridge, with the address.
fn seen(old: bool, bridge: bool, holds: bool) -> HostView {
    let member = |n: &str| EtcdMember {
        id: String::new(),
        name: n.into(),
        learner: false,
        peers: Vec::new(),
    };
    let node = |n: &str| NodeState {
        name: n.into(),
        status: "Ready".into(),
        roles: "control-plane".into(),
        version: "v1.36.3".into(),
    };
    HostView {
        standing: Standing::Prepared,
        kubernetes: Kubernetes {
            ca: Some(Sha256::of("ca")),
            traces: vec![
                "/etc/kubernetes/kubelet.conf".into(),
                "/etc/kubernetes/manifests/kube-apiserver.yaml".into(),
                "/etc/kubernetes/manifests/etcd.yaml".into(),
            ],
            api: Some(Api {
                pod_subnet: None,
                service_subnet: None,
                live: true,
                ready: true,
                configured: true,
                endpoint: Some("vip.example:8443".into()),
                version: Some("v1.36.3".into()),
                nodes: Some(HOSTS.iter().map(|n| node(n)).collect()),
                leads: None,
                members: Some(HOSTS.iter().map(|n| member(n)).collect()),
                ..Api::default()
            }),
            ..Kubernetes::default()
        },
        address: None,
        ours: true,
        holds_vip: holds,
        vip_answered_by: None,
        reach: None,
        silent: None,
        links: Vec::new(),
        config: "config".into(),
        credential_due: None,
        busy: false,
        moving: Moving {
            old: old.then(services),
            bridge,
            ..Moving::default()
        },
        drift: Vec::new(),
        cluster_drift: Vec::new(),
        joined: false,
    }
}

fn view(hosts: [HostView; 3]) -> View {
    let mut view = View::default();
    for (n, host) in HOSTS.iter().zip(hosts) {
        view.hosts.insert(name(n), host);
    }
    view.choose_api();
    view
}

/// `o` something old, `b` a bridge, `v` the address.
pub(super) fn seen_as(marks: [&str; 3]) -> View {
    view(marks.map(|m| seen(m.contains('o'), m.contains('b'), m.contains('v'))))
}

fn said(decision: &Decision) -> String {
    let act = |act: &Act| match act {
        Act::Release { host, bridged } => {
            format!("release {host}{}", if *bridged { " bridged" } else { "" })
        }
        Act::Switch { host, holds } => {
            format!("switch {host}{}", if *holds { "" } else { " (takes)" })
        }
        other => format!("{other:?}"),
    };
    match decision {
        Decision::Do(acts) => acts.iter().map(act).collect::<Vec<_>>().join(", "),
        Decision::Refuse(refusal) => format!("refused: {}", refusal.message),
        Decision::Fail { message, .. } => format!("fails: {message}"),
        Decision::Done { .. } => "done".into(),
        Decision::Wait => "waits".into(),
    }
}

#[test]
fn what_is_next_is_read_off_the_hosts() {
    for (marks, expected) in [
        (["", "v", ""], "done"),
        (["o", "ov", "o"], "release cp1, release cp3"),
        (["", "ov", "o"], "release cp3"),
        (["", "ov", ""], "switch cp2"),
        // Killed in the middle of the switch, before and after the old way was gone.
        (["", "obv", ""], "switch cp2"),
        (["", "bv", ""], "switch cp2"),
        // A bridge serves: an old one elsewhere goes, whatever it holds.
        (["o", "bv", ""], "release cp1 bridged"),
        (["ov", "bv", ""], "release cp1 bridged"),
        // Begun, and the holder went down: somebody has to serve.
        (["", "o", "o"], "release cp3"),
        (["", "", "o"], "switch cp3 (takes)"),
        // The new way holds it already, and something old is left elsewhere.
        (["v", "o", ""], "release cp2"),
        (
            ["o", "o", "o"],
            "refused: the load balancer is not moved: no host holds the address",
        ),
        (
            ["ov", "ov", "o"],
            "refused: the load balancer is not moved: cp1, cp2 hold the address at once",
        ),
        (
            ["", "bv", "bv"],
            "refused: the load balancer is not moved: cp2, cp3 serve by a bridge at once",
        ),
    ] {
        let found = said(&next(&shape(), &seen_as(marks)));
        assert_eq!(found, expected, "{marks:?}");
    }
}

#[test]
fn a_move_needs_all_its_hosts_and_a_healthy_beginning() {
    let change = |change: &dyn Fn(&mut HostView), marks: [&str; 3]| {
        let mut view = seen_as(marks);
        change(view.hosts.get_mut(&name("cp3")).unwrap());
        view
    };
    let begins = ["o", "ov", "o"];
    type Case<'a> = (&'a dyn Fn(&mut HostView), &'a str);
    let cases: [Case; 4] = [
        (&|h| h.ours = false, "cp3 is not in this run's --limit"),
        (
            &|h| h.standing = Standing::Unknown("no route".into()),
            "cp3 cannot be looked at: the address may be there",
        ),
        (
            &|h| h.kubernetes.api.as_mut().unwrap().ready = false,
            "the API server of cp3 is not ready, and a move needs all of them",
        ),
        (
            &|h| h.moving.lacks = Some("nftables".into()),
            "cp3 lacks nftables",
        ),
    ];
    for (edit, expected) in cases {
        let refusal = forbidden(&shape(), &change(edit, begins)).unwrap();
        assert_eq!(
            refusal.message,
            format!("the load balancer is not moved: {expected}")
        );
        assert!(!refusal.help.is_empty());
    }
    // To other hosts a live cluster is not moved.
    let mut fewer = shape();
    fewer.load_balancers.pop();
    let refusal = forbidden(&fewer, &seen_as(["", "", "v"])).unwrap();
    assert!(refusal.message.starts_with("cp3 carries apiserver_vip"));
    // Begun it goes on without a third API server.
    let view = change(
        &|h| h.kubernetes.api.as_mut().unwrap().ready = false,
        ["", "bv", ""],
    );
    assert_eq!(said(&next(&shape(), &view)), "switch cp2");
    // What is being made ready is waited for; what could not be made ready stops the move.
    let view = change(&|h| h.standing = Standing::Preparing, begins);
    assert_eq!(said(&next(&shape(), &view)), "waits");
    let view = change(
        &|h| h.standing = Standing::Failed("no image".into()),
        begins,
    );
    assert!(
        said(&next(&shape(), &view)).contains("cp3 is not ready for it (no image)"),
        "{}",
        said(&next(&shape(), &view))
    );
    // A kubeconfig is a part of being ready.
    let view = change(&|h| h.credential_due = Some("none yet".into()), begins);
    let sign = Decision::Do(vec![Act::Sign { host: name("cp3") }]);
    assert_eq!(next(&shape(), &view), sign);
}

/// A control plane that is yet to join never had the old way: by it no move was begun, and all that a beginning needs is asked.
#[test]
fn a_host_that_never_had_the_old_way_begins_no_move() {
    let mut view = seen_as(["ov", "o", ""]);
    view.hosts
        .get_mut(&name("cp1"))
        .unwrap()
        .kubernetes
        .api
        .as_mut()
        .unwrap()
        .ready = false;
    // A member without it: the move was begun, and goes on whoever is ill.
    assert_eq!(said(&next(&shape(), &view)), "release cp2");
    let (_, api) = view.api.as_mut().unwrap();
    api.nodes
        .as_mut()
        .unwrap()
        .retain(|node| node.name != "cp3");
    assert_eq!(
        said(&next(&shape(), &view)),
        "refused: the load balancer is not moved: the API server of cp1 is not ready, and a move needs all of them"
    );
}

#[test]
fn a_plan_tells_the_move_in_its_order() {
    let told = |marks| -> Vec<String> {
        let acts = forecast(&shape(), &seen_as(marks)).acts;
        let short = |what: &str| what.split(' ').take(3).collect::<Vec<_>>().join(" ");
        acts.iter()
            .map(|(host, what, _)| format!("{host} {}", short(what)))
            .collect()
    };
    assert_eq!(
        told(["o", "ov", "o"]),
        [
            "cp1 1. take the",
            "cp3 2. take the",
            "cp2 3. switch to",
            "cp1 4. bring the",
            "cp3 5. bring the"
        ]
    );
    assert_eq!(
        told(["", "bv", ""]),
        ["cp2 1. switch to", "cp1 2. bring the", "cp3 3. bring the"]
    );
    assert_eq!(told(["", "v", ""]), Vec::<String>::new());
    let acts = forecast(&shape(), &seen_as(["o", "ov", "o"])).acts;
    assert!(acts[2].1.contains(migrate::OUTAGE));
    assert_eq!(
        acts[0].2,
        "load_balancer: keepalived-haproxy -> keepalived-haproxy-pods"
    );
}

/// A host of the walk. Ways do not hear each other: each elects a holder among its own.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Walker {
    old: bool,
    left: bool,
    bridge: bool,
    new: bool,
}

#[derive(Debug, Clone, Copy)]
enum Op {
    Begin,
    Stop,
    Clean,
    Bridge,
    Start,
    End,
}

#[derive(Clone)]
struct World {
    hosts: [Walker; 3],
    /// Who holds the address by the old way and by the new one.
    holders: [Option<usize>; 2],
}

impl World {
    fn elect(&mut self) {
        for (way, holder) in self.holders.iter_mut().enumerate() {
            let runs = |host: &Walker| if way == 0 { host.old } else { host.new };
            if !holder.is_some_and(|h| runs(&self.hosts[h])) {
                *holder = self.hosts.iter().position(runs);
            }
        }
    }

    fn holding(&self) -> BTreeSet<usize> {
        let bridges = (0..3).filter(|n| self.hosts[*n].bridge);
        bridges.chain(self.holders.into_iter().flatten()).collect()
    }

    fn view(&self) -> View {
        let holding = self.holding();
        let mut number = 0;
        view(self.hosts.map(|host| {
            let holds = holding.contains(&number);
            number += 1;
            seen(host.old || host.left, host.bridge, holds)
        }))
    }

    fn step(&mut self, host: usize, op: Op) {
        let at = &mut self.hosts[host];
        match op {
            Op::Begin => at.left = true,
            Op::Stop => at.old = false,
            Op::Clean => at.left = false,
            Op::Bridge => at.bridge = true,
            Op::Start => at.new = true,
            Op::End => at.bridge = false,
        }
        self.elect();
        assert_eq!(
            self.holding().len(),
            1,
            "{op:?} on {host}: {:?} {:?}",
            self.hosts,
            self.holders
        );
    }

    /// What is to be done now, as steps on hosts.
    fn todo(&self) -> Vec<(usize, Op)> {
        let at = |host: &HostName| HOSTS.iter().position(|n| *n == host.as_str()).unwrap();
        match migrate::stage(&shape(), &self.view()) {
            Stage::Refuse(refusal) => panic!("{refusal:?} {:?}", self.hosts),
            Stage::Settled => {
                let missing = (0..3).find(|n| !self.hosts[*n].new);
                missing.into_iter().map(|n| (n, Op::Start)).collect()
            }
            Stage::Next(acts) => acts
                .iter()
                .flat_map(|act| match act {
                    Act::Release { host, .. } => [Op::Begin, Op::Stop, Op::Clean]
                        .map(|op| (at(host), op))
                        .to_vec(),
                    Act::Switch { host, .. } => {
                        let left = self.hosts[at(host)];
                        let all = [
                            Op::Bridge,
                            Op::Begin,
                            Op::Stop,
                            Op::Clean,
                            Op::Start,
                            Op::End,
                        ];
                        let needed = |op: &Op| {
                            left.old || left.left || !matches!(op, Op::Begin | Op::Stop | Op::Clean)
                        };
                        let ops = all.into_iter().filter(needed);
                        ops.map(|op| (at(host), op)).collect()
                    }
                    other => panic!("{other:?}"),
                })
                .collect(),
        }
    }

    /// Runs a controller that is killed after so many steps; returns how many it made.
    fn run(&mut self, most: usize) -> usize {
        let mut made = 0;
        loop {
            let todo = self.todo();
            if todo.is_empty() {
                return made;
            }
            for (host, op) in todo {
                if made == most {
                    return made;
                }
                self.step(host, op);
                made += 1;
                assert!(made < 100, "it does not end");
            }
        }
    }
}

/// Wherever the controller is killed, once or twice: the next run goes on, the address is on exactly one host after every
/// step, and nothing old is left at the end.
#[test]
fn a_move_goes_on_from_wherever_it_was_killed() {
    let begin = |holder: usize| World {
        hosts: [Walker {
            old: true,
            ..Walker::default()
        }; 3],
        holders: [Some(holder), None],
    };
    let moved = Walker {
        new: true,
        ..Walker::default()
    };
    for holder in 0..3 {
        let mut world = begin(holder);
        let steps = world.run(usize::MAX);
        assert_eq!(world.hosts, [moved; 3]);
        assert_eq!(steps, 3 + 3 + 6 + 2);
        for first in 0..=steps {
            for second in 0..=steps {
                let mut world = begin(holder);
                world.run(first);
                world.run(second);
                world.run(usize::MAX);
                assert_eq!(world.hosts, [moved; 3], "{holder} {first} {second}");
                assert_eq!(world.run(usize::MAX), 0, "nothing is left to do");
            }
        }
    }
}
