//! What hosts say of a cluster, as it is read: sessions, an endpoint's answer, what it keeps, keepalived's group.

use quorate::cluster::load_balancer::Group;
use quorate::host::fact::Reach;
use quorate::host::{Fact, Facts, Known, probe};
use quorate::model::Endpoint;

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
