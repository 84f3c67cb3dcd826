//! Who joins a live cluster, in which order, and who cannot be brought in for which reason.

use quorate::cluster::next::{Cause, forecast};
use quorate::cluster::{Act, Decision, Standing, View};
use quorate::host::fact::Kubernetes;

use super::{
    acts, api, decide, host, init, join, join_worker, live, marker, member, missing, name, shape,
};

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
    let cases: [(&str, fn(&mut View), &str, &str); 12] = [
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
            // Its Node may not be there yet: a reset would leave its vote behind.
            "another configuration, and it has a vote already",
            |v| {
                let cp2 = host(v, "cp2");
                cp2.kubernetes.marker = marker("join", false);
                cp2.config = "new".into();
                let members = api(v).members.as_mut().unwrap();
                members.push(member("cp2", false, 1));
            },
            "a join was begun there with another configuration",
            "member remove a1`, then run `kubeadm reset -f && rm -f /var/lib/quorate/kubeadm` on cp2 yourself",
        ),
        (
            "another configuration, and whether it has a vote cannot be known",
            |v| {
                let cp2 = host(v, "cp2");
                cp2.kubernetes.marker = marker("join", false);
                cp2.kubernetes.traces = vec!["/etc/kubernetes/manifests/etcd.yaml".into()];
                cp2.config = "new".into();
                api(v).members = None;
            },
            "a join was begun there with another configuration",
            "etcd's members could not be listed, and its own would have to go first",
        ),
        (
            "another configuration, and its member has not started yet",
            |v| {
                let cp2 = host(v, "cp2");
                cp2.kubernetes.marker = marker("join", false);
                cp2.config = "new".into();
                api(v).members.as_mut().unwrap().push(member("", true, 1));
            },
            "a join was begun there with another configuration",
            "member remove a1`, then run `kubeadm reset",
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
