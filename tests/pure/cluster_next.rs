//! States of a cluster and what is decided on them, each refusal with its words. Here are the states.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::type_complexity,
    reason = "helpers of tests are no tests to clippy"
)]

mod begin;
mod joins;
mod kept;
mod mend;

use quorate::cluster::next::{Missing, Refusal};
use quorate::cluster::{Act, Decision, HostView, Shape, Standing, View, next};
use quorate::host::fact::{Api, EtcdMember, Kubernetes, Marker, NodeState};
use quorate::model::{Endpoint, HostName, Sha256};

const MEMBER: [&str; 5] = [
    "/etc/kubernetes/kubelet.conf",
    "/etc/kubernetes/manifests/kube-apiserver.yaml",
    "/etc/kubernetes/manifests/etcd.yaml",
    "/var/lib/etcd/member",
    "/var/lib/kubelet/config.yaml",
];

fn name(text: &str) -> HostName {
    HostName::new(text).unwrap()
}

fn shape() -> Shape {
    let names = |all: &[&str]| all.iter().map(|n| name(n)).collect::<Vec<_>>();
    Shape {
        control_planes: names(&["cp1", "cp2", "cp3"]),
        workers: names(&["w1"]),
        load_balancers: names(&["cp1", "cp2", "cp3"]),
        vip_before_init: true,
        endpoint: Endpoint::new("vip.example", 8443).unwrap(),
        version: "1.36.3".into(),
        lasting: Default::default(),
    }
}

/// Four bare hosts, prepared, the VIP looked for.
fn bare() -> View {
    let mut view = View {
        vip_checked: true,
        ..View::default()
    };
    for (n, host) in ["cp1", "cp2", "cp3", "w1"].iter().enumerate() {
        let seen = HostView {
            standing: Standing::Prepared,
            kubernetes: Kubernetes::default(),
            address: Some(format!("10.0.0.{n}")),
            ours: true,
            holds_vip: false,
            vip_answered_by: None,
            reach: None,
            silent: None,
            links: Vec::new(),
            config: "config".into(),
            credential_due: None,
            busy: false,
            moving: Default::default(),
            drift: Vec::new(),
            cluster_drift: Vec::new(),
            joined: false,
        };
        view.hosts.insert(name(host), seen);
    }
    view
}

fn host<'a>(view: &'a mut View, host: &str) -> &'a mut HostView {
    view.hosts.get_mut(&name(host)).unwrap()
}

fn marker(act: &str, done: bool) -> Option<Marker> {
    Some(Marker {
        act: act.into(),
        run: "0".into(),
        config: "config".into(),
        done,
    })
}

fn member(n: &str, learner: bool, peer: usize) -> EtcdMember {
    EtcdMember {
        id: format!("{:x}", 0xa0 + peer),
        name: n.into(),
        learner,
        peers: vec![format!("https://10.0.0.{peer}:2380")],
    }
}

fn node(n: &str, status: &str) -> NodeState {
    let roles = if n.starts_with("cp") {
        "control-plane"
    } else {
        "<none>"
    };
    NodeState {
        name: n.into(),
        status: status.into(),
        roles: roles.into(),
        version: "v1.36.3".into(),
    }
}

/// A cluster of `in_it`, the rest bare.
fn live(in_it: &[&str]) -> View {
    let mut view = bare();
    let order = ["cp1", "cp2", "cp3", "w1"];
    for n in in_it {
        let control_plane = n.starts_with("cp");
        let seen = host(&mut view, n);
        seen.kubernetes.ca = Some(Sha256::of("ca"));
        let traces = MEMBER
            .iter()
            .filter(|t| control_plane || t.contains("kubelet"));
        seen.kubernetes.traces = traces.map(|t| (*t).to_string()).collect();
        let act = match *n {
            "cp1" => "init",
            "w1" => "join-worker",
            _ => "join",
        };
        seen.kubernetes.marker = marker(act, true);
    }
    let members = in_it.iter().filter(|n| n.starts_with("cp"));
    let api = Api {
        live: true,
        ready: true,
        configured: true,
        endpoint: Some("vip.example:8443".into()),
        version: Some("v1.36.3".into()),
        pod_subnet: Some("10.244.0.0/16".into()),
        service_subnet: Some("10.96.0.0/12".into()),
        nodes: Some(in_it.iter().map(|n| node(n, "Ready")).collect()),
        leads: None,
        members: Some(
            members
                .map(|n| member(n, false, order.iter().position(|o| o == n).unwrap()))
                .collect(),
        ),
        ..Api::default()
    };
    host(&mut view, "cp1").kubernetes.api = Some(api);
    view.choose_api();
    view
}

fn api(view: &mut View) -> &mut Api {
    &mut view.api.as_mut().unwrap().1
}

fn decide(view: &View) -> Decision {
    next(&shape(), view)
}

fn acts(view: &View) -> Vec<Act> {
    match decide(view) {
        Decision::Do(acts) => acts,
        other => panic!("{other:?}"),
    }
}

fn refusal(view: &View) -> Refusal {
    match decide(view) {
        Decision::Refuse(refusal) => refusal,
        other => panic!("{other:?}"),
    }
}

fn missing(view: &View) -> Vec<Missing> {
    match decide(view) {
        Decision::Done { missing } => missing,
        other => panic!("{other:?}"),
    }
}

fn init(host: &str, resume: bool) -> Act {
    Act::Init {
        host: name(host),
        resume,
    }
}

fn join(host: &str, resume: bool) -> Act {
    Act::JoinControlPlane {
        host: name(host),
        resume,
    }
}

fn join_worker(host: &str, resume: bool) -> Act {
    Act::JoinWorker {
        host: name(host),
        resume,
    }
}
