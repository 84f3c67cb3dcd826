//! A cluster that is down or has lost a part: what is mended in which order, what is a failure, and what is left to its owner.

use quorate::cluster::drift::{Difference, MADE_FROM, Place};
use quorate::cluster::next::{Cause, forecast};
use quorate::cluster::{Act, Decision, Standing, View, next};
use quorate::host::AddonState;

use super::{acts, api, decide, host, live, marker, missing, name, refusal, shape};

/// A change of a view, and its name.
type Case = (&'static str, fn(&mut View));

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
    // What was made before quorate came, and is only down, is not to be reset at once.
    let mut before = live(&["cp1", "cp2"]);
    for host in before.hosts.values_mut() {
        host.kubernetes.api = None;
        host.kubernetes.marker = None;
    }
    before.choose_api();
    let help = refusal(&before).help;
    let first = "where its cluster is only down, bring an API server of it back";
    assert!(help.starts_with(first), "{help}");
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
                "or start it over: run `kubeadm reset -f && rm -f /var/lib/quorate/kubeadm` on w1 yourself, then run again",
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
                "or start it over: `kubectl -n kube-system exec etcd-cp1 -- etcdctl",
                "member remove a2`, then run `kubeadm reset",
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
                "member remove a1`, then run `kubeadm reset",
                "on cp2 yourself, `kubectl delete node cp2`, then run again",
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
            &[
                "run `kubeadm reset -f && rm -f /var/lib/quorate/kubeadm` on cp3 yourself, `kubectl delete node cp3`, then run again",
            ],
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

/// Who starts the only member of etcd over gives the cluster up.
#[test]
fn nobody_is_told_to_remove_the_last_member_of_etcd() {
    let lost = |in_it: &[&str]| {
        let mut view = live(in_it);
        host(&mut view, "cp1").kubernetes.marker = marker("", false);
        refusal(&view).help
    };
    let sole = lost(&["cp1", "w1"]);
    assert!(sole.contains("only member of etcd with a vote"), "{sole}");
    assert!(!sole.contains("member remove"), "{sole}");
    assert!(!sole.contains("delete node"), "{sole}");
    // Nor where etcd cannot be asked and nobody else may be a member.
    let mut view = live(&["cp1", "w1"]);
    host(&mut view, "cp1").kubernetes.marker = marker("", false);
    api(&mut view).members = None;
    let unheard = refusal(&view).help;
    assert!(
        unheard.contains("only member of etcd with a vote"),
        "{unheard}"
    );
    host(&mut view, "cp2").standing = Standing::Unknown("down".into());
    let unheard = refusal(&view).help;
    assert!(
        unheard.contains("etcd's members could not be listed"),
        "{unheard}"
    );
    let one_of_three = lost(&["cp1", "cp2", "cp3"]);
    let order = [
        "member remove a0`, then run `kubeadm reset",
        "delete node cp1`",
    ];
    let places = order.map(|part| one_of_three.find(part).expect(part));
    assert!(places.is_sorted(), "{one_of_three}");
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
