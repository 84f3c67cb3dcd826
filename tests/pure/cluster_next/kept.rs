//! What a live cluster keeps, whatever an inventory says: its endpoint, version, networks, address and VRRP group.

use quorate::cluster::load_balancer::Group;
use quorate::cluster::next::{Refusal, forbidden};
use quorate::cluster::{Decision, Lasting, View, next};

use super::{api, host, live, marker, refusal, shape};

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
