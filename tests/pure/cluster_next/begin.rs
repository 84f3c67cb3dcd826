//! Whether a cluster is begun, where, and what is in the way of it.

use quorate::cluster::next::{Cause, forbidden, forecast};
use quorate::cluster::{Act, Decision, Shape, Standing, View, next};
use quorate::host::fact::Reach;
use quorate::model::Sha256;

use super::{acts, bare, decide, host, init, live, marker, missing, name, refusal, shape};

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
    let cases: [(&str, fn(&mut View), &str, &str); 15] = [
        (
            "a marker that power lost took the content of",
            |v| host(v, "w1").kubernetes.marker = marker("", false),
            "/var/lib/quorate/kubeadm on w1, which says what kubeadm has begun there, cannot be read (nothing of a cluster was found)",
            "remove that file on w1",
        ),
        (
            "the same, where something lies there",
            |v| {
                let w1 = host(v, "w1");
                w1.kubernetes.marker = marker("", false);
                w1.kubernetes.traces = vec!["/etc/kubernetes/kubelet.conf".into()];
            },
            "/var/lib/quorate/kubeadm on w1, which says what kubeadm has begun there, cannot be read (found /etc/kubernetes/kubelet.conf)",
            "bring an API server of the cluster back first",
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
            "a join that was begun, and the cluster may be on a host that cannot be looked at",
            |v| {
                host(v, "cp1").standing = Standing::Unknown("down".into());
                host(v, "cp2").kubernetes.marker = marker("join", false);
            },
            "cp2 is a member of some cluster already (found a join that was begun), and no API server of this inventory knows it; cp1 cannot be looked at, and its cluster may live there",
            "bring cp1 back first and run again",
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
fn an_address_on_a_host_without_a_load_balancer_is_refused() {
    let mut view = bare();
    host(&mut view, "w1").holds_vip = true;
    let refused = refusal(&view);
    assert_eq!(refused.hosts, [name("w1")]);
    assert!(refused.help.contains("ip address del"), "{refused:?}");
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
