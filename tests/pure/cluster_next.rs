//! States of a cluster and what is decided on them, each refusal with its words.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::type_complexity,
    reason = "helpers of tests are no tests to clippy"
)]

use quorate::cluster::drift::{Difference, MADE_FROM, Place};
use quorate::cluster::load_balancer::Group;
use quorate::cluster::next::{Cause, Missing, Refusal, forbidden, forecast};
use quorate::cluster::{Act, Decision, HostView, Lasting, Shape, Standing, View, next};
use quorate::host::fact::{Api, EtcdMember, Kubernetes, Marker, NodeState, Reach};
use quorate::host::{AddonState, Fact, Facts, Known, probe};
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

/// A change of a view, and its name.
type Case = (&'static str, fn(&mut View));

#[test]
fn bare_hosts_are_initialised_once_all_is_ready() {
    let mut view = bare();
    assert_eq!(acts(&view), [init("cp1", false)]);
    view.vip_checked = false;
    assert_eq!(acts(&view), [Act::CheckVip]);
    // A worker may still be at it, a control plane not.
    host(&mut view, "w1").standing = Standing::Preparing;
    assert_eq!(acts(&view), [Act::CheckVip]);
    host(&mut view, "cp3").busy = true;
    assert_eq!(decide(&view), Decision::Wait);
    // Somebody else's load balancer has no address of ours to look for.
    let mut view = bare();
    view.vip_checked = false;
    let outside = Shape {
        load_balancers: Vec::new(),
        ..shape()
    };
    assert_eq!(
        next(&outside, &view),
        Decision::Do(vec![init("cp1", false)])
    );
    // Static pods start with the cluster: nothing to look for, and another control plane's are not waited for.
    let pods = Shape {
        vip_before_init: false,
        ..shape()
    };
    assert_eq!(next(&pods, &view), Decision::Do(vec![init("cp1", false)]));
    host(&mut view, "cp2").standing = Standing::Failed("disk full".into());
    assert_eq!(next(&pods, &view), Decision::Do(vec![init("cp1", false)]));
    assert!(matches!(next(&shape(), &view), Decision::Fail { .. }));
    let mut view = bare();
    view.vip_checked = false;
    // One control plane alone, the load balancer elsewhere.
    let single = Shape {
        control_planes: vec![name("cp1")],
        load_balancers: vec![name("cp2")],
        workers: vec![name("w1")],
        ..shape()
    };
    assert_eq!(next(&single, &view), Decision::Do(vec![Act::CheckVip]));
}

#[test]
fn an_init_that_was_begun_is_taken_up_where_it_was() {
    let mut view = bare();
    host(&mut view, "cp2").kubernetes.marker = marker("init", false);
    // Nothing was written yet: its preflight has still to run.
    assert_eq!(acts(&view), [init("cp2", false)]);
    host(&mut view, "cp2").kubernetes.traces = vec!["/etc/kubernetes/admin.conf".into()];
    assert_eq!(acts(&view), [init("cp2", true)]);
    // Another control plane's preparation has nothing to do with it, unless it carries the load balancer.
    host(&mut view, "cp1").standing = Standing::Failed("disk full".into());
    let elsewhere = Shape {
        load_balancers: vec![name("w1")],
        ..shape()
    };
    assert_eq!(
        next(&elsewhere, &view),
        Decision::Do(vec![init("cp2", true)])
    );
}

#[test]
fn a_second_cluster_is_refused() {
    let cases: [(&str, fn(&mut View), &str, &str); 13] = [
        (
            "a marker that power lost took the content of",
            |v| host(v, "w1").kubernetes.marker = marker("", false),
            "/var/lib/quorate/kubeadm on w1, which says what kubeadm has begun there, cannot be read (nothing of a cluster was found)",
            "remove that file on w1",
        ),
        (
            "unknown control plane",
            |v| host(v, "cp2").standing = Standing::Unknown("down".into()),
            "no init while cp2 cannot be looked at: a cluster may live there",
            "bring the host back",
        ),
        (
            "a member of another cluster",
            |v| host(v, "w1").kubernetes.traces = vec!["/etc/kubernetes/kubelet.conf".into()],
            "w1 is a member of some cluster already (found /etc/kubernetes/kubelet.conf), and no API server of this inventory knows it",
            "kubeadm reset",
        ),
        (
            "a join that was begun",
            |v| host(v, "cp2").kubernetes.marker = marker("join", false),
            "cp2 is a member of some cluster already (found a join that was begun)",
            "rm -f /var/lib/quorate/kubeadm",
        ),
        (
            "a worker's join that was begun",
            |v| host(v, "w1").kubernetes.marker = marker("join-worker", false),
            "w1 is a member of some cluster already (found a join-worker that was begun)",
            "kubeadm reset",
        ),
        (
            "a CA elsewhere",
            |v| host(v, "cp3").kubernetes.ca = Some(Sha256::of("other")),
            "cp3 is a member of some cluster already (found /etc/kubernetes/pki/ca.crt)",
            "kubeadm reset",
        ),
        (
            "kubeadm running",
            |v| host(v, "cp3").kubernetes.kubeadm_running = true,
            "cp3 is a member of some cluster already (found kubeadm running)",
            "kubeadm reset",
        ),
        (
            "two inits",
            |v| {
                host(v, "cp1").kubernetes.marker = marker("init", false);
                host(v, "cp3").kubernetes.marker = marker("init", false);
            },
            "init was begun on more than one host: cp1, cp3",
            "all of them but one",
        ),
        (
            "an init on a worker",
            |v| host(v, "w1").kubernetes.marker = marker("init", false),
            "init was begun on w1, which is no control plane any more",
            "put w1 back into kube_control_plane",
        ),
        (
            "another configuration",
            |v| {
                host(v, "cp1").kubernetes.marker = marker("init", false);
                host(v, "cp1").config = "new".into();
            },
            "init was begun on cp1 with another configuration",
            "put the old variables back",
        ),
        (
            "another configuration, running",
            |v| {
                let cp1 = host(v, "cp1");
                cp1.kubernetes.marker = marker("init", false);
                cp1.config = "new".into();
                cp1.kubernetes.kubeadm_running = true;
            },
            "init was begun on cp1 with another configuration",
            "kubeadm is still running there",
        ),
        (
            "two identities",
            |v| {
                host(v, "cp1").kubernetes.ca = Some(Sha256::of("a"));
                host(v, "w1").kubernetes.ca = Some(Sha256::of("b"));
            },
            "the hosts belong to different clusters (digest of ca.crt): ",
            "keep the hosts of one cluster",
        ),
        (
            "a worker's endpoint",
            |v| host(v, "w1").kubernetes.server = Some("https://old.example:6443".into()),
            "w1 belongs to the cluster at old.example:6443, the inventory's control-plane endpoint is vip.example:8443",
            "set control_plane_endpoint: old.example:6443",
        ),
    ];
    for (title, change, message, help) in cases {
        let mut view = bare();
        change(&mut view);
        let refusal = refusal(&view);
        assert!(
            refusal.message.starts_with(message),
            "{title}: {}",
            refusal.message
        );
        assert!(refusal.help.contains(help), "{title}: {}", refusal.help);
        assert!(!refusal.hosts.is_empty(), "{title}");
        // All but a host that is down is known before the first wave, and refused there.
        assert_eq!(
            forbidden(&shape(), &view).is_some(),
            title != "unknown control plane",
            "{title}"
        );
        assert_eq!(forecast(&shape(), &view).refusal, Some(refusal), "{title}");
    }
    // A CA of the user's own, on the host that is initialised, is none of these.
    let mut view = bare();
    host(&mut view, "cp1").kubernetes.ca = Some(Sha256::of("own"));
    assert_eq!(acts(&view), [init("cp1", false)]);
}

#[test]
fn another_endpoint_or_version_of_a_live_cluster_is_refused() {
    let mut view = live(&["cp1"]);
    api(&mut view).endpoint = Some("old.example:6443".into());
    let seen = refusal(&view);
    assert_eq!(
        seen.message,
        "the live cluster's control-plane endpoint is old.example:6443, the inventory says vip.example:8443"
    );
    assert_eq!(forbidden(&shape(), &view), Some(seen));
    let mut view = live(&["cp1"]);
    api(&mut view).version = Some("v1.35.0".into());
    // All nodes run what is asked for: it is the ConfigMap that is wrong.
    let said = refusal(&view).message;
    assert!(
        said.starts_with("the ConfigMap kubeadm-config says"),
        "{said}"
    );
    for node in api(&mut view).nodes.iter_mut().flatten() {
        node.version = "v1.35.0".into();
    }
    let seen = refusal(&view);
    assert_eq!(
        seen.message,
        "the live cluster runs Kubernetes v1.35.0, the inventory says v1.36.3"
    );
    assert_eq!(
        seen.help,
        "set kubernetes_version: \"1.35.0\"; an upgrade is an act of its own"
    );
}

#[test]
fn a_cluster_that_is_down_is_a_failure_and_never_a_second_init() {
    let mut view = live(&["cp1", "cp2"]);
    for host in view.hosts.values_mut() {
        host.kubernetes.api = None;
    }
    view.choose_api();
    let Decision::Fail { message, .. } = decide(&view) else {
        panic!("{:?}", decide(&view))
    };
    assert_eq!(
        message,
        "cp1, cp2 belong to a cluster, but no API server answers on any control plane"
    );
    assert!(forecast(&shape(), &view).failure.is_some());
    let mut lost = view.clone();
    let etcd = "/etc/kubernetes/manifests/etcd.yaml";
    host(&mut lost, "cp2")
        .kubernetes
        .traces
        .retain(|t| t != etcd);
    let Decision::Fail { message, .. } = decide(&lost) else {
        panic!("{:?}", decide(&lost))
    };
    assert!(
        message
            .ends_with("on any control plane; /etc/kubernetes/manifests/etcd.yaml is gone on cp2"),
        "{message}"
    );
    host(&mut view, "w1").standing = Standing::Preparing;
    assert_eq!(decide(&view), Decision::Wait);
    // The API answers, but says nothing: its hosts are not taken for strangers.
    let mut view = live(&["cp1"]);
    api(&mut view).nodes = None;
    let Decision::Fail { message, .. } = decide(&view) else {
        panic!("{:?}", decide(&view))
    };
    assert_eq!(
        message,
        "the API server on cp1 answers, but does not list its nodes"
    );
}

/// With BGP the address is on each control plane's own `lo`: whoever joins needs a router that has learnt the way.
#[test]
fn nobody_joins_over_an_address_that_no_router_has_learnt() {
    let why = "no BGP session with 10.0.0.99";
    let mut view = live(&["cp1", "cp2"]);
    host(&mut view, "cp1").silent = Some(why.into());
    assert!(!acts(&view).is_empty(), "cp2 announces");
    host(&mut view, "cp2").silent = Some(why.into());
    // Who is no member announces nothing yet.
    host(&mut view, "cp3").silent = Some(why.into());
    let Decision::Done { missing } = decide(&view) else {
        panic!("{:?}", decide(&view))
    };
    let told: Vec<String> = missing
        .iter()
        .map(|m| format!("{}: {}", m.host, m.reason))
        .collect();
    let reason = format!("nobody has learnt the way to the cluster's address: cp1 has {why}");
    assert_eq!(told, [format!("cp3: {reason}"), format!("w1: {reason}")]);
    assert!(matches!(&missing[0].cause, Cause::Unsafe(help) if help.contains("bgp_peers")));
}

#[test]
fn what_failed_before_init_is_named() {
    let mut view = bare();
    host(&mut view, "cp1").standing = Standing::Failed("`kubeadm` failed".into());
    let Decision::Fail { message, .. } = decide(&view) else {
        panic!("{:?}", decide(&view))
    };
    assert_eq!(
        message,
        "the cluster does not come any further: cp1 is not as it has to be (`kubeadm` failed)"
    );
    // A worker that is down stops nobody.
    let mut view = bare();
    host(&mut view, "w1").standing = Standing::Unknown("down".into());
    assert_eq!(acts(&view), [init("cp1", false)]);
}

#[test]
fn control_planes_join_one_by_one_and_workers_beside() {
    let mut view = live(&["cp1"]);
    assert_eq!(
        acts(&view),
        [Act::Mint {
            host: name("cp1"),
            certificates: true
        }]
    );
    view.token = true;
    assert_eq!(acts(&view), [join("cp2", false), join_worker("w1", false)]);
    host(&mut view, "cp2").busy = true;
    assert_eq!(acts(&view), [join_worker("w1", false)]);
    host(&mut view, "w1").busy = true;
    assert_eq!(decide(&view), Decision::Wait);
    // Somebody at work on the path to the API, be it a member.
    let mut view = live(&["cp1", "cp2"]);
    view.token = true;
    host(&mut view, "cp1").standing = Standing::Preparing;
    assert_eq!(acts(&view), [join_worker("w1", false)]);
    // A dead host blocks nobody.
    host(&mut view, "cp1").standing = Standing::Prepared;
    host(&mut view, "cp2").standing = Standing::Unknown("down".into());
    assert_eq!(acts(&view), [join("cp3", false), join_worker("w1", false)]);
    // Only workers: the certificates stay where they are.
    let view = live(&["cp1", "cp2", "cp3"]);
    assert_eq!(
        acts(&view),
        [Act::Mint {
            host: name("cp1"),
            certificates: false
        }]
    );
    let view = live(&["cp1", "cp2", "cp3", "w1"]);
    assert_eq!(missing(&view), []);
}

#[test]
fn what_kubeadm_did_not_finish_is_taken_up() {
    let all = ["cp1", "cp2", "cp3", "w1"];
    let cases: [(&str, fn(&mut View), Act); 8] = [
        (
            "init without its last phases",
            |v| host(v, "cp1").kubernetes.marker = marker("init", false),
            init("cp1", true),
        ),
        (
            "a full member",
            |v| host(v, "cp2").kubernetes.marker = marker("join", false),
            Act::Finish { host: name("cp2") },
        ),
        (
            "kubeadm still at it",
            |v| {
                let cp2 = host(v, "cp2");
                cp2.kubernetes.marker = marker("join", false);
                cp2.kubernetes.kubeadm_running = true;
            },
            join("cp2", true),
        ),
        (
            "no label",
            |v| {
                host(v, "cp2").kubernetes.marker = marker("join", false);
                api(v).nodes.as_mut().unwrap()[1].roles = "<none>".into();
            },
            join("cp2", true),
        ),
        (
            "no vote",
            |v| {
                host(v, "cp2").kubernetes.marker = marker("join", false);
                api(v).members.as_mut().unwrap()[1].learner = true;
            },
            join("cp2", true),
        ),
        (
            "a member that never started",
            |v| {
                host(v, "cp2").kubernetes.marker = marker("join", false);
                let m = &mut api(v).members.as_mut().unwrap()[1];
                m.name.clear();
                m.learner = true;
            },
            join("cp2", true),
        ),
        (
            "a ready worker",
            |v| host(v, "w1").kubernetes.marker = marker("join-worker", false),
            Act::Finish { host: name("w1") },
        ),
        (
            "a worker that is not Ready",
            |v| {
                host(v, "w1").kubernetes.marker = marker("join-worker", false);
                api(v).nodes.as_mut().unwrap()[3].status = "NotReady".into();
            },
            join_worker("w1", true),
        ),
    ];
    for (title, change, act) in cases {
        let mut view = live(&all);
        view.token = true;
        change(&mut view);
        assert_eq!(acts(&view), std::slice::from_ref(&act), "{title}");
        assert_eq!(forecast(&shape(), &view).acts.len(), 1, "{title}");
        // Once it has failed it is not done for ever.
        let failed = host(&mut view, act.host().unwrap().as_str());
        failed.standing = Standing::Failed("it failed".into());
        assert!(
            matches!(decide(&view), Decision::Done { .. }),
            "{title}: {:?}",
            decide(&view)
        );
    }
}

#[test]
fn a_token_that_cannot_be_brought_in_ends_the_joins() {
    let mut view = live(&["cp1"]);
    host(&mut view, "cp1").standing = Standing::Failed("mint failed".into());
    let all = missing(&view);
    assert_eq!(all.len(), 2, "{all:?}");
    assert!(
        all.iter()
            .all(|m| m.reason == "no control plane could bring a token into the cluster")
    );
}

#[test]
fn hosts_that_cannot_be_brought_in_are_named_with_the_reason() {
    let cases: [(&str, fn(&mut View), &str, &str); 9] = [
        (
            "down",
            |v| host(v, "cp2").standing = Standing::Unknown("no route".into()),
            "cannot be reached: no route",
            "trouble",
        ),
        (
            "failed",
            |v| host(v, "cp2").standing = Standing::Failed("disk full".into()),
            "disk full",
            "trouble",
        ),
        (
            "limit",
            |v| host(v, "cp2").ours = false,
            "not in this run's --limit",
            "limit",
        ),
        (
            "limit and not as written",
            |v| host(v, "cp2").standing = Standing::Left,
            "not in this run's --limit",
            "limit",
        ),
        (
            "another configuration",
            |v| {
                let cp2 = host(v, "cp2");
                cp2.kubernetes.marker = marker("join", false);
                cp2.config = "new".into();
            },
            "a join was begun there with another configuration",
            "put the old variables back",
        ),
        (
            "a stranger's join",
            |v| host(v, "cp2").kubernetes.traces = vec!["/etc/kubernetes/kubelet.conf".into()],
            "it is no node of this cluster, yet it shows membership (/etc/kubernetes/kubelet.conf; no server is named in its kubelet.conf)",
            "kubeadm reset",
        ),
        (
            "kubeadm by somebody else",
            |v| host(v, "cp2").kubernetes.kubeadm_running = true,
            "kubeadm is running there, and it is not this join",
            "systemctl stop",
        ),
        (
            "reset by hand",
            |v| {
                api(v)
                    .members
                    .as_mut()
                    .unwrap()
                    .push(member("cp2", false, 1))
            },
            "etcd still lists a member for it, but the host carries none of its data",
            "`kubectl -n kube-system exec etcd-cp1 -- etcdctl --endpoints=https://127.0.0.1:2379 --cacert=/etc/kubernetes/pki/etcd/ca.crt --cert=/etc/kubernetes/pki/etcd/healthcheck-client.crt --key=/etc/kubernetes/pki/etcd/healthcheck-client.key member remove a1`",
        ),
        (
            "another's learner",
            |v| api(v).members.as_mut().unwrap().push(member("", true, 9)),
            "etcd has a member without a vote: one that never started at https://10.0.0.9:2380",
            "member remove a9`",
        ),
    ];
    for (title, change, reason, what) in cases {
        let mut view = live(&["cp1", "cp3", "w1"]);
        view.token = true;
        change(&mut view);
        let all = missing(&view);
        assert_eq!(all.len(), 1, "{title}: {all:?}");
        assert_eq!(
            (all[0].host.as_str(), all[0].reason.as_str()),
            ("cp2", reason),
            "{title}"
        );
        match &all[0].cause {
            Cause::Trouble => assert_eq!(what, "trouble", "{title}"),
            Cause::Limit => assert_eq!(what, "limit", "{title}"),
            Cause::Unsafe(help) => {
                assert!(help.contains(what), "{title}: {help}");
                assert!(forecast(&shape(), &view).refusal.is_some(), "{title}");
            }
        }
    }
    let mut view = live(&["cp1", "cp3", "w1"]);
    view.token = true;
    api(&mut view).members = None;
    assert_eq!(
        missing(&view)[0].reason,
        "etcd's members could not be listed"
    );
}

#[test]
fn kubeadm_that_goes_on_by_itself_comes_first() {
    let mut view = live(&["cp1", "w1"]);
    view.token = true;
    host(&mut view, "cp3").kubernetes.marker = marker("join", false);
    host(&mut view, "cp3").kubernetes.kubeadm_running = true;
    assert_eq!(acts(&view), [join("cp3", true)]);
    host(&mut view, "cp3").standing = Standing::Failed("still running".into());
    let all = missing(&view);
    assert_eq!(all[1].reason, "kubeadm is still running on cp3");
}

#[test]
fn one_host_in_a_half_state_keeps_nobody_else_out() {
    let mut view = live(&["cp1"]);
    view.token = true;
    host(&mut view, "cp2").kubernetes.traces = vec!["/etc/kubernetes/kubelet.conf".into()];
    assert_eq!(acts(&view), [join("cp3", false), join_worker("w1", false)]);
    // A worker that was reset by hand joins again, although its Node is still listed.
    let mut view = live(&["cp1", "cp2", "cp3", "w1"]);
    view.token = true;
    host(&mut view, "w1").kubernetes = Kubernetes::default();
    assert_eq!(acts(&view), [join_worker("w1", false)]);
}

#[test]
fn an_init_beside_a_live_cluster_is_no_resume() {
    let mut view = live(&["cp1", "cp3", "w1"]);
    view.token = true;
    host(&mut view, "cp2").kubernetes.marker = marker("init", false);
    // It left nothing: it joins like a bare host.
    assert_eq!(acts(&view), [join("cp2", false)]);
    host(&mut view, "cp2").kubernetes.traces = vec!["/etc/kubernetes/admin.conf".into()];
    assert_eq!(missing(&view)[0].host.as_str(), "cp2");
}

#[test]
fn the_limit_is_no_refusal() {
    let mut view = bare();
    for n in ["cp2", "cp3", "w1"] {
        host(&mut view, n).ours = false;
        host(&mut view, n).standing = Standing::Left;
    }
    let all = missing(&view);
    assert_eq!(
        all[0].reason,
        "init waits for cp2, which is not in this run's --limit"
    );
    assert_eq!(all[0].cause, Cause::Limit);
}

#[test]
fn a_plan_of_bare_hosts_lists_init_and_joins() {
    let mut view = bare();
    view.vip_checked = false;
    for host in view.hosts.values_mut() {
        host.standing = Standing::Preparing;
    }
    let seen: Vec<String> = forecast(&shape(), &view)
        .acts
        .iter()
        .map(|(h, what, _)| format!("{h}: {what}"))
        .collect();
    assert_eq!(
        seen,
        [
            "cp1: kubeadm init",
            "cp2: kubeadm join --control-plane",
            "cp3: kubeadm join --control-plane",
            "w1: kubeadm join",
        ]
    );
    assert_eq!(
        forecast(&shape(), &live(&["cp1", "cp2", "cp3", "w1"])),
        Default::default()
    );
    // A dead control plane: nothing but the refusal.
    host(&mut view, "cp3").standing = Standing::Unknown("down".into());
    assert_eq!(forecast(&shape(), &view).acts, []);
}

#[test]
fn the_word_of_a_host_that_is_gone_counts_no_more() {
    let mut view = live(&["cp1", "cp2"]);
    let word = host(&mut view, "cp1").kubernetes.api.clone();
    host(&mut view, "cp2").kubernetes.api = word;
    host(&mut view, "cp1").standing = Standing::Unknown("lost".into());
    view.choose_api();
    assert_eq!(view.api().map(|(n, _)| n.as_str()), Some("cp2"));
    let cases: [Case; 1] = [("none left", |v| {
        host(v, "cp2").standing = Standing::Unknown("lost".into())
    })];
    for (title, change) in cases {
        change(&mut view);
        view.choose_api();
        assert!(view.api().is_none(), "{title}");
    }
}

#[test]
fn an_address_that_somebody_else_answers_at_is_refused() {
    let mut view = bare();
    for (n, seen) in view.hosts.values_mut().enumerate() {
        seen.links = vec!["00:00:00:00:00:00".into(), format!("02:00:00:00:00:0{n}")];
    }
    // One of ours, which has let go of it since.
    host(&mut view, "cp2").vip_answered_by = Some("02:00:00:00:00:00".into());
    assert!(!matches!(next(&shape(), &view), Decision::Refuse(_)));
    host(&mut view, "cp2").vip_answered_by = Some("02:AA:00:00:00:09".into());
    let refused = refusal(&view);
    assert_eq!(refused.hosts, [name("cp2")]);
    assert!(refused.message.contains("02:AA:00:00:00:09"), "{refused:?}");
    // Who has it answers itself.
    host(&mut view, "cp1").holds_vip = true;
    assert!(!matches!(next(&shape(), &view), Decision::Refuse(_)));
    // A live cluster is another question.
    let mut view = live(&["cp1"]);
    host(&mut view, "cp2").vip_answered_by = Some("02:aa:00:00:00:09".into());
    assert!(!matches!(next(&shape(), &view), Decision::Refuse(_)));
}

#[test]
fn an_endpoint_whose_name_means_nothing_is_refused_before_a_cluster_begins() {
    let mut view = bare();
    host(&mut view, "cp2").reach = Some(Reach::Refused);
    assert!(!matches!(next(&shape(), &view), Decision::Refuse(_)));
    host(&mut view, "w1").reach = Some(Reach::Unresolved);
    let refused = refusal(&view);
    assert_eq!(refused.hosts, [name("w1")]);
    assert!(
        refused.message.contains("does not resolve on w1"),
        "{refused:?}"
    );
    // A live cluster goes on: what can be mended is mended.
    let mut view = live(&["cp1"]);
    host(&mut view, "cp2").reach = Some(Reach::Unresolved);
    assert!(!matches!(next(&shape(), &view), Decision::Refuse(_)));
}

#[test]
fn bgp_sessions_count_when_all_of_them_stand() {
    let peers: Vec<std::net::IpAddr> = ["10.0.0.1", "fd00::1"].map(|p| p.parse().unwrap()).into();
    let facts = Facts::from([Fact::BgpSessions(peers.clone())]);
    for (said, known) in [
        (
            "n session 10.0.0.1 up\nn session fd00::1 up\n",
            Known::Is(true),
        ),
        (
            "n session 10.0.0.1 up\nn session fd00::1 down\n",
            Known::Is(false),
        ),
        (
            "n session 10.0.0.1 up\nn session fd00::1 as\n",
            Known::Is(false),
        ),
        ("n session 10.0.0.1 up\n", Known::Unknown),
        ("", Known::Unknown),
    ] {
        let answer = format!("{said}n end\n");
        let observed = probe::parse(&facts, "n", answer.as_bytes()).unwrap();
        assert_eq!(observed.peers_with(&peers), known, "{said}");
        let other = observed.peers_of_another_as(&peers);
        assert_eq!(!other.is_empty(), said.contains(" as"), "{said}");
    }
    assert!(probe::parse(&facts, "n", b"n session nobody up\nn end\n").is_err());
}

#[test]
fn how_an_endpoint_answers_is_read() {
    let fact = Fact::Endpoint(Endpoint::new("api.example", 6443).unwrap());
    let facts = Facts::from([fact]);
    for (said, reach) in [
        ("unresolved", Some(Reach::Unresolved)),
        ("connect 0", Some(Reach::Accepts)),
        ("connect 1", Some(Reach::Refused)),
        ("connect 124", Some(Reach::Silent)),
        ("curl 0 200", Some(Reach::Answers(200))),
        ("curl 0 500", Some(Reach::Answers(500))),
        ("curl 7 000", Some(Reach::Refused)),
        ("curl 28 000", Some(Reach::Silent)),
        ("curl 60 000", Some(Reach::Foreign)),
        ("curl 35 000", Some(Reach::Foreign)),
        ("curl 6 000", Some(Reach::Unresolved)),
    ] {
        let answer = format!("n endpoint {said}\nn end\n");
        let observed = probe::parse(&facts, "n", answer.as_bytes()).unwrap();
        assert_eq!(observed.reach, reach, "{said}");
    }
    assert!(probe::parse(&facts, "n", b"n endpoint nonsense\nn end\n").is_err());
    assert!(Reach::Answers(200).is_well() && !Reach::Answers(403).is_well());
}

#[test]
fn an_address_on_a_host_without_a_load_balancer_is_refused() {
    let mut view = bare();
    host(&mut view, "w1").holds_vip = true;
    let refused = refusal(&view);
    assert_eq!(refused.hosts, [name("w1")]);
    assert!(refused.help.contains("ip address del"), "{refused:?}");
}

/// What `forbidden` says of a live cluster of four after a change of the wanted or the seen.
fn kept(wanted: fn(&mut Lasting), seen: fn(&mut View)) -> Option<Refusal> {
    let mut view = live(&["cp1", "cp2", "cp3", "w1"]);
    for n in ["cp1", "cp2", "cp3"] {
        let kubernetes = &mut host(&mut view, n).kubernetes;
        kubernetes.port = Some(6443);
        let all = [
            "10.96.0.1",
            "10.0.0.0",
            "10.0.0.1",
            "10.0.0.2",
            "10.0.0.100",
        ];
        let all = all.iter().map(|a| a.parse().unwrap()).collect();
        kubernetes.certificate_addresses = Some(all);
    }
    for n in ["cp1", "cp2", "cp3", "w1"] {
        host(&mut view, n).kubernetes.node = Some(n.into());
    }
    seen(&mut view);
    view.choose_api();
    let mut shape = shape();
    shape.lasting = Lasting {
        vip: Some("10.0.0.100".parse().unwrap()),
        port: Some(6443),
        pod_subnet: Some("10.244.0.0/16".parse().unwrap()),
        service_subnet: Some("10.96.0.0/12".parse().unwrap()),
        group: None,
    };
    wanted(&mut shape.lasting);
    let refusal = forbidden(&shape, &view);
    assert!(refusal.as_ref().is_none_or(|r| !r.hosts.is_empty()));
    refusal
}

fn no_api(view: &mut View) {
    for host in view.hosts.values_mut() {
        host.kubernetes.api = None;
    }
}

#[test]
fn what_a_cluster_keeps_cannot_be_changed() {
    let same: fn(&mut Lasting) = |_| ();
    let as_is: fn(&mut View) = |_| ();
    let moved: fn(&mut Lasting) = |l| l.vip = Some("10.0.0.101".parse().unwrap());
    let cases: [(&str, fn(&mut Lasting), fn(&mut View), &str, &str); 8] = [
        (
            "another address",
            moved,
            as_is,
            "apiserver_vip is 10.0.0.101, which the cluster does not know: no host carries it, and the API server's certificate on cp1, cp2, cp3 does not name it",
            "set apiserver_vip: 10.0.0.100; to move",
        ),
        (
            "another address, no API",
            moved,
            no_api,
            "apiserver_vip is 10.0.0.101",
            "set apiserver_vip: 10.0.0.100",
        ),
        (
            "another port",
            |l| l.port = Some(7443),
            no_api,
            "the API server on cp1 has port 6443, the inventory says 7443",
            "set apiserver_src_port: 6443",
        ),
        (
            "other pods",
            |l| l.pod_subnet = Some("10.245.0.0/16".parse().unwrap()),
            as_is,
            "the live cluster's pod_subnet is 10.244.0.0/16, the inventory says 10.245.0.0/16",
            "set pod_subnet: \"10.244.0.0/16\"",
        ),
        (
            "other Services",
            |l| l.service_subnet = Some("10.97.0.0/16".parse().unwrap()),
            as_is,
            "the live cluster's service_subnet is 10.96.0.0/12, the inventory says 10.97.0.0/16",
            "set service_subnet",
        ),
        (
            "swapped addresses",
            same,
            |v| {
                host(v, "cp3").kubernetes.node = Some("w1".into());
                host(v, "w1").kubernetes.node = Some("cp3".into());
            },
            "the host at the address of cp3 is the node w1 of a cluster",
            "the addresses of cp3 and w1 may be swapped",
        ),
        (
            "a stranger",
            same,
            |v| host(v, "w1").kubernetes.node = Some("db7".into()),
            "the host at the address of w1 is the node db7 of a cluster",
            "check ansible_host of w1, or name it db7",
        ),
        (
            "a worker that is to be a control plane",
            same,
            |v| {
                host(v, "cp3").kubernetes.marker = marker("join-worker", true);
                let api = host(v, "cp1").kubernetes.api.as_mut().unwrap();
                api.nodes.as_mut().unwrap()[2].roles = "<none>".into();
            },
            "cp3 is a worker of the live cluster, and the inventory says it is a control plane",
            "put cp3 back into kube_node",
        ),
    ];
    for (title, wanted, seen, message, help) in cases {
        let refusal = kept(wanted, seen).unwrap_or_else(|| panic!("{title}"));
        assert!(
            refusal.message.starts_with(message),
            "{title}: {}",
            refusal.message
        );
        assert!(refusal.help.contains(help), "{title}: {}", refusal.help);
    }
    let fine: [(&str, fn(&mut Lasting), fn(&mut View)); 5] = [
        ("as it is", same, as_is),
        ("as it is, no API", same, no_api),
        // A cluster made by others, whose certificates do without the address.
        ("carried", moved, |v| host(v, "cp2").holds_vip = true),
        ("certificates unseen", moved, |v| {
            for host in v.hosts.values_mut() {
                host.kubernetes.certificate_addresses = None;
            }
        }),
        ("one certificate is new", moved, |v| {
            let new = Some(vec!["10.0.0.101".parse().unwrap()]);
            host(v, "cp2").kubernetes.certificate_addresses = new;
        }),
    ];
    for (title, wanted, seen) in fine {
        assert_eq!(kept(wanted, seen), None, "{title}");
    }
}

/// The lines of a probe's answer become what is compared.
#[test]
fn what_a_cluster_keeps_is_read_from_its_hosts() {
    use base64::Engine as _;
    let encode = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    // Made for this test alone: node cp2; vip.example, 10.0.0.100, fd00::1.
    let pem = encode(include_str!("../fixtures/certificates/node.pem"));
    let config = serde_json::json!({"data": {"ClusterConfiguration":
        "controlPlaneEndpoint: vip.example:8443\nnetworking:\n  dnsDomain: cluster.local\n  podSubnet: 10.244.0.0/16\n  serviceSubnet: 10.96.0.0/12\nscheduler: {}\n"}});
    let lines = [
        "kubernetes server ".to_string(),
        "kubernetes port 6443".into(),
        format!("kubernetes certificate {pem}"),
        format!("kubernetes kubelet {pem}"),
        format!("body {config}"),
        "http kubeadm-config 200".into(),
        "body {\"members\":[{\"ID\":\"17612345678901234567\",\"name\":\"cp2\"}]}".into(),
        "http members 200".into(),
        "end".into(),
    ];
    let answer: String = lines.iter().map(|l| format!("n {l}\n")).collect();
    let facts = Facts::from([Fact::Kubernetes {
        address: "10.0.0.1".into(),
        port: 6443,
        node: "cp1".into(),
    }]);
    let seen = probe::parse(&facts, "n", answer.as_bytes())
        .unwrap()
        .kubernetes
        .unwrap();
    assert_eq!(seen.server, None);
    assert_eq!(seen.port, Some(6443));
    assert_eq!(seen.node.as_deref(), Some("cp2"));
    let addresses: Vec<std::net::IpAddr> = ["10.0.0.100", "fd00::1"]
        .iter()
        .map(|a| a.parse().unwrap())
        .collect();
    assert_eq!(seen.certificate_addresses, Some(addresses));
    let api = seen.api.unwrap();
    assert_eq!(api.pod_subnet.as_deref(), Some("10.244.0.0/16"));
    assert_eq!(api.service_subnet.as_deref(), Some("10.96.0.0/12"));
    assert_eq!(
        api.members.unwrap()[0].id,
        format!("{:x}", 17612345678901234567_u64)
    );
    // Nothing there, or no certificate: nothing is said, and nothing fails.
    let bare = b"n kubernetes kubelet \nn kubernetes port \nn kubernetes node \nn end\n";
    let seen = probe::parse(&facts, "n", bare).unwrap().kubernetes.unwrap();
    assert_eq!((seen.node, seen.port), (None, None));
}

#[test]
fn whom_quorate_joined_and_who_lost_a_part_is_mended_where_it_is() {
    fn delete(view: &mut View, n: &str) {
        api(view)
            .nodes
            .as_mut()
            .unwrap()
            .retain(|node| node.name != n);
    }
    let cases: [(&str, &str, fn(&mut View), &str, &[&str]); 6] = [
        (
            "a worker's Node was deleted",
            "w1",
            |v| delete(v, "w1"),
            "its Node is gone (kubeadm join came to its end there, by quorate; found ",
            &[
                "`systemctl restart kubelet` on w1",
                "or start it over: run `kubeadm reset` on w1 yourself, then run again",
            ],
        ),
        (
            "a control plane's Node was deleted",
            "cp3",
            |v| delete(v, "cp3"),
            "its Node is gone (kubeadm join",
            &[
                "`systemctl restart kubelet` on cp3",
                "`kubeadm init phase mark-control-plane --node-name cp3`",
                "kubeadm reset` on cp3 yourself, then `kubectl -n kube-system exec etcd-cp1 -- etcdctl",
                "member remove a2`",
            ],
        ),
        (
            "manifests are gone",
            "cp2",
            |v| {
                host(v, "cp2")
                    .kubernetes
                    .traces
                    .retain(|t| !t.contains("/manifests/"))
            },
            "/etc/kubernetes/manifests/kube-apiserver.yaml and /etc/kubernetes/manifests/etcd.yaml is gone (kubeadm join",
            &[
                "put the manifests back",
                "member remove a1`, `kubectl delete node cp2`, then run again",
            ],
        ),
        (
            "etcd's manifest alone is gone",
            "cp2",
            |v| {
                host(v, "cp2")
                    .kubernetes
                    .traces
                    .retain(|t| !t.contains("/etcd.yaml"))
            },
            "/etc/kubernetes/manifests/etcd.yaml is gone (kubeadm join",
            &["put the manifests back"],
        ),
        (
            "the first control plane, asked over another one",
            "cp1",
            |v| {
                host(v, "cp1")
                    .kubernetes
                    .traces
                    .retain(|t| !t.contains("/manifests/"))
            },
            "/etc/kubernetes/manifests/kube-apiserver.yaml and /etc/kubernetes/manifests/etcd.yaml is gone (kubeadm init",
            &["exec etcd-cp2 -- etcdctl", "member remove a0`"],
        ),
        (
            "etcd has lost it",
            "cp3",
            |v| api(v).members.as_mut().unwrap().retain(|m| m.name != "cp3"),
            "etcd does not list it (kubeadm join",
            &["run `kubeadm reset` on cp3 yourself, `kubectl delete node cp3`, then run again"],
        ),
    ];
    for (title, who, change, reason, help) in cases {
        let mut view = live(&["cp1", "cp2", "cp3", "w1"]);
        for n in ["cp1", "cp2", "cp3"] {
            let traces = &mut host(&mut view, n).kubernetes.traces;
            traces.push("/etc/kubernetes/manifests/etcd.yaml".into());
        }
        change(&mut view);
        let all = missing(&view);
        assert_eq!(all.len(), 1, "{title}: {all:?}");
        assert_eq!(all[0].host.as_str(), who, "{title}");
        assert!(
            all[0].reason.starts_with(reason),
            "{title}: {}",
            all[0].reason
        );
        let Cause::Unsafe(seen) = &all[0].cause else {
            panic!("{title}: {:?}", all[0].cause)
        };
        for part in help {
            assert!(seen.contains(part), "{title}: {seen}");
        }
    }
}

#[test]
fn where_no_host_could_be_looked_at_nothing_is_said_of_the_cluster() {
    let mut view = bare();
    for host in view.hosts.values_mut() {
        host.standing = Standing::Unknown("sudo asks for a password".into());
    }
    let all = missing(&view);
    assert_eq!(all.len(), 4);
    assert!(all.iter().all(|m| m.cause == Cause::Trouble));
    // One that answers and is bare: a cluster may live on the others.
    host(&mut view, "w1").standing = Standing::Prepared;
    assert!(refusal(&view).help.contains("only if it is gone for good"));
}

/// Manifests come when all are in and kubeadm's own state is as written; by a control plane that the run may change.
#[test]
fn manifests_that_the_cluster_has_otherwise_are_applied_last() {
    let differs = || AddonState::Differs("diff -u /a/v1.ConfigMap.x.y /b/v1.ConfigMap.x.y".into());
    let view = |all: &[&str]| {
        let mut view = live(all);
        view.addons = [
            ("a.yml".to_string(), differs()),
            ("b.yml".to_string(), AddonState::AsWritten),
            ("c.yml".to_string(), AddonState::Unknown("no answer".into())),
        ]
        .into();
        view
    };
    let apply = |host: &str| {
        Decision::Do(vec![Act::Apply {
            host: name(host),
            manifests: vec!["a.yml".into()],
        }])
    };
    let all = ["cp1", "cp2", "cp3", "w1"];
    let done = Decision::Done {
        missing: Vec::new(),
    };
    let mut whole = view(&all);
    assert_eq!(next(&shape(), &whole), apply("cp1"));
    let told = |view: &View| forecast(&shape(), view).acts;
    let expected = (
        "apply a.yml".to_string(),
        "ConfigMap x/y differs".to_string(),
    );
    assert_eq!(told(&whole), [(name("cp1"), expected.0, expected.1)]);
    // Another control plane where the first is not in the limit or has failed; none where no control plane is.
    host(&mut whole, "cp1").ours = false;
    host(&mut whole, "cp2").kubernetes.api = host(&mut whole, "cp1").kubernetes.api.clone();
    assert_eq!(next(&shape(), &whole), apply("cp2"));
    for n in all {
        host(&mut whole, n).ours = false;
    }
    assert_eq!(next(&shape(), &whole), done);
    assert!(told(&whole).is_empty());
    // Joins come first.
    let joins = next(&shape(), &view(&all[..3]));
    assert!(
        !matches!(&joins, Decision::Do(acts) if acts.iter().any(|a| matches!(a, Act::Apply { .. })))
    );
    // What nobody could compare is not applied.
    let mut whole = view(&all);
    whole.addons.remove("a.yml");
    assert_eq!(next(&shape(), &whole), done);
}

/// Hosts that are changed one by one from one VRRP group to another do not hear each other meanwhile.
#[test]
fn another_vrrp_group_on_a_live_cluster_is_refused() {
    let group = |id: u8| Group {
        id,
        version: 3,
        unicast: false,
    };
    let view = |groups: [Option<u8>; 3]| {
        let mut view = live(&["cp1", "cp2", "cp3", "w1"]);
        for (n, id) in ["cp1", "cp2", "cp3"].iter().zip(groups) {
            host(&mut view, n).moving.group = id.map(group);
        }
        view
    };
    let mut shape = shape();
    shape.lasting.group = Some(group(7));
    let refused = |view: &View| matches!(next(&shape, view), Decision::Refuse(_));
    for (groups, is_refused) in [
        ([Some(7), Some(7), Some(7)], false),
        ([Some(8), Some(8), Some(8)], true),
        // One could not be looked at.
        ([Some(8), None, None], true),
        // An edit by hand of one or two is mended.
        ([Some(8), Some(7), Some(7)], false),
        ([Some(8), Some(8), Some(7)], false),
        ([None, None, None], false),
    ] {
        assert_eq!(refused(&view(groups)), is_refused, "{groups:?}");
    }
    let mut other = view([Some(7), Some(7), Some(7)]);
    for n in ["cp1", "cp2", "cp3"] {
        let seen = &mut host(&mut other, n).moving.group;
        *seen = seen.map(|group| Group {
            version: 2,
            ..group
        });
    }
    let Decision::Refuse(refusal) = next(&shape, &other) else {
        panic!("two versions do not hear each other");
    };
    insta::assert_snapshot!(
        "another_vrrp_group",
        format!("{}\n{}", refusal.message, refusal.help)
    );
    // A cluster that does not live has nobody to lose.
    let mut none = other.clone();
    none.api = None;
    assert!(forbidden(&shape, &none).is_none_or(|r| !r.message.contains("VRRP")));
    // One load balancer alone, or no keepalived.
    let mut alone = shape.clone();
    alone.load_balancers.truncate(1);
    assert!(!matches!(next(&alone, &other), Decision::Refuse(_)));
}

#[test]
fn a_vrrp_group_is_read_from_keepalived_s_own_configuration() {
    let conf = |lines: &str| {
        format!(
            "global_defs {{\n{lines}}}\nvrrp_instance VI_1 {{\n    virtual_router_id 51 ! one\n    virtual_ipaddress {{\n    }}\n}}\n"
        )
    };
    let read = |text: &str| Group::read(text).map(|g| (g.id, g.version, g.unicast));
    assert_eq!(read(&conf("")), Some((51, 2, false)));
    assert_eq!(read(&conf("    vrrp_version 3\n")), Some((51, 3, false)));
    assert_eq!(
        read(&conf("    # vrrp_version 3\n    unicast_peer {\n    }\n")),
        Some((51, 2, true))
    );
    for text in [
        "",
        "virtual_router_id",
        "virtual_router_id 300",
        "vrrp_version 3",
    ] {
        assert_eq!(read(text), None, "{text}");
    }
}

/// A control plane that has lost its label is one all the same where kubeadm has come to its end on it.
#[test]
fn a_label_that_was_taken_away_makes_no_stranger() {
    let mut view = live(&["cp1", "cp2", "cp3", "w1"]);
    let unlabelled = |view: &mut View| {
        let nodes = api(view).nodes.iter_mut().flatten();
        nodes.for_each(|n| n.roles = "<none>".into());
    };
    unlabelled(&mut view);
    assert_eq!(decide(&view), Decision::Done { missing: vec![] });
    host(&mut view, "cp2").kubernetes.marker = None;
    assert!(!view.is_control_plane(&name("cp2")));
    host(&mut view, "cp2").kubernetes.marker = marker("join", false);
    assert!(!view.is_control_plane(&name("cp2")));
}

/// What was in a ConfigMap that is gone only the control planes tell: another inventory than theirs is not written in its place.
#[test]
fn a_lost_configuration_is_not_replaced_by_another_one() {
    let mut view = live(&["cp1", "cp2", "cp3", "w1"]);
    api(&mut view).unread = [("kubeadm-config".to_string(), 403)].into();
    let said = refusal(&view).message;
    assert!(
        said.ends_with("no control plane was made from what the inventory says"),
        "{said}"
    );
    let made_from = Some("digest digest".to_string());
    host(&mut view, "cp2").kubernetes.written.made_from = made_from;
    assert_eq!(decide(&view), Decision::Done { missing: vec![] });
    host(&mut view, "cp2").drift = vec![Difference {
        place: Place::Manifests,
        path: MADE_FROM.into(),
        live: None,
        wanted: None,
    }];
    assert!(refusal(&view).message.contains("no control plane was made"));
    host(&mut view, "cp2").drift.clear();
    api(&mut view).nodes.as_mut().unwrap()[3].version = "v1.37.0".into();
    let said = refusal(&view).message;
    assert!(
        said.ends_with("w1 runs v1.37.0, the inventory says v1.36.3"),
        "{said}"
    );
}

/// kubeadm asks for the cluster's configurations when it joins: what is lost is put back before, and not while an init is under way.
#[test]
fn lost_configurations_come_back_before_anybody_joins() {
    let lost = Difference {
        place: Place::KubeletConfiguration,
        path: "ConfigMap".into(),
        live: None,
        wanted: Some("what the inventory says".into()),
    };
    let mut view = live(&["cp1", "cp2"]);
    host(&mut view, "cp1").cluster_drift = vec![lost.clone()];
    assert_eq!(acts(&view), [Act::Upload { host: name("cp1") }]);
    host(&mut view, "cp1").kubernetes.marker = marker("init", false);
    assert!(!acts(&view).contains(&Act::Upload { host: name("cp1") }));
    // Another difference waits until all are in.
    let mut view = live(&["cp1", "cp2"]);
    let other = Difference {
        path: "maxPods".into(),
        ..lost
    };
    host(&mut view, "cp1").cluster_drift = vec![other];
    assert!(!acts(&view).contains(&Act::Upload { host: name("cp1") }));
}

/// A member of etcd starts anew with its static pods: until then every other one with a vote has to be there. Found by a
/// history in which a join was killed between its vote and its Node's label.
#[test]
fn static_pods_wait_for_every_vote_in_etcd() {
    let seen = |component: &str| {
        let mut view = live(&["cp1", "cp2", "cp3", "w1"]);
        let api = host(&mut view, "cp1").kubernetes.api.clone();
        host(&mut view, "cp2").kubernetes.api.clone_from(&api);
        host(&mut view, "cp3").kubernetes.api = api;
        host(&mut view, "cp1").drift = vec![Difference {
            place: Place::Manifest(component.into()),
            path: "flag".into(),
            live: None,
            wanted: None,
        }];
        view
    };
    let cut_off = |view: &mut View| {
        let nodes = api(view).nodes.as_mut().unwrap();
        let node = nodes.iter_mut().find(|n| n.name == "cp3").unwrap();
        node.roles = "<none>".into();
        let third = host(view, "cp3");
        third.kubernetes.api = None;
        third.kubernetes.marker = marker("join", false);
        third.standing = Standing::Failed("killed".into());
    };
    let roll_out = [Act::RollOut { host: name("cp1") }];
    assert_eq!(acts(&seen("etcd")), roll_out);
    let mut view = seen("etcd");
    cut_off(&mut view);
    assert!(matches!(decide(&view), Decision::Done { .. }));
    host(&mut view, "cp3").standing = Standing::Unknown("lost".into());
    assert!(matches!(decide(&view), Decision::Done { .. }));
    // The API's last word may be of before that vote.
    api(&mut view).members.as_mut().unwrap().pop();
    assert!(matches!(decide(&view), Decision::Done { .. }));
    let mut view = seen("kube-apiserver");
    cut_off(&mut view);
    assert_eq!(acts(&view), roll_out);
}
