//! kube-vip's kubeconfig: which one a host's stage asks for, when it is renewed, what it may, and how it is signed.

use quorate::cluster::act::Manifest;
use quorate::cluster::load_balancer::kube_vip::{self, Stage, sign};
use quorate::host::fact::{Kubeconfig, Kubernetes};
use quorate::host::{Content, Effect};
use quorate::model::Sha256;
use serde_json::json;

use super::kube_vip::{MANIFEST, built, host, marker, member, planned, signed, written, yaml};

/// Where the host is, what is asked of kube-vip, and which kubeconfig its manifest has.
#[test]
fn the_stage_of_a_host_decides_on_its_kubeconfig() {
    let arp = |dedicated: &str| {
        format!("load_balancer: kube-vip-arp\nkube_vip_kubeconfig: {dedicated}\n")
    };
    let bgp = |dedicated: &str, services: bool| {
        format!(
            "load_balancer: kube-vip-bgp\nbgp_peers: [\"10.77.0.2:65001\"]\nkube_vip_kubeconfig: {dedicated}\nkube_vip_services: {services}\n"
        )
    };
    let with = |act: &str, done: bool| Kubernetes {
        marker: Some(marker(act, done)),
        ..member()
    };
    let bare = Kubernetes::default;
    let own = || Kubernetes {
        kube_vip: Some(signed(300)),
        ..member()
    };
    let foreign = || Kubernetes {
        ca: Some(Sha256::of("another")),
        ..own()
    };
    let (admin, sup, conf) = (
        Some("/etc/kubernetes/admin.conf"),
        Some("/etc/kubernetes/super-admin.conf"),
        Some("/etc/kubernetes/kube-vip.conf"),
    );
    let table = [
        ("bare, first", arp("dedicated"), true, bare(), sup),
        ("bare, first", arp("admin"), true, bare(), sup),
        ("bare, first", bgp("dedicated", false), true, bare(), conf),
        ("bare, first", bgp("admin", false), true, bare(), admin),
        ("bare, first", bgp("dedicated", true), true, bare(), sup),
        ("bare, not first", arp("dedicated"), false, bare(), None),
        (
            "bare, not first",
            bgp("dedicated", false),
            false,
            bare(),
            None,
        ),
        (
            "init under way",
            arp("admin"),
            true,
            with("init", false),
            sup,
        ),
        (
            "init under way elsewhere",
            arp("admin"),
            false,
            with("init", false),
            sup,
        ),
        (
            "join under way",
            arp("admin"),
            true,
            with("join", false),
            None,
        ),
        (
            "join under way",
            bgp("admin", false),
            false,
            with("join", false),
            None,
        ),
        (
            "initialised, unsigned",
            arp("dedicated"),
            true,
            member(),
            None,
        ),
        ("initialised, signed", arp("dedicated"), true, own(), conf),
        ("initialised", arp("admin"), true, member(), admin),
        ("initialised", bgp("dedicated", false), true, member(), conf),
        (
            "joined",
            bgp("dedicated", false),
            false,
            with("join", true),
            conf,
        ),
        (
            "joined, unsigned",
            bgp("dedicated", true),
            false,
            with("join", true),
            None,
        ),
        ("joined", arp("admin"), false, with("join", true), admin),
        (
            "signed for another cluster",
            arp("dedicated"),
            false,
            foreign(),
            None,
        ),
    ];
    for (what, all, first, seen, expected) in table {
        let (spec, ..) = built(&all);
        let balancer = &spec.load_balancer;
        let settings = balancer.kube_vip.as_ref().unwrap();
        let found = match kube_vip::stage(balancer.way, settings, first, &seen) {
            Stage::Leave => None,
            Stage::Place { kubeconfig, .. } => Some(kubeconfig),
        };
        assert_eq!(found, expected, "{what}\n{all}");
    }
}

#[test]
fn a_kubeconfig_is_renewed_when_a_third_of_its_life_is_left() {
    let (spec, ..) = built("load_balancer: kube-vip-arp\n");
    let own = |days| Kubeconfig {
        rights: Some(sign::note(&spec)),
        ..signed(days)
    };
    let due = |kubernetes| kube_vip::due(&spec, &host(kubernetes));
    let with = |kube_vip| {
        due(Kubernetes {
            kube_vip: Some(kube_vip),
            ..member()
        })
    };
    assert_eq!(with(own(364)), None);
    assert_eq!(with(own(122)), None);
    assert_eq!(
        with(own(121)).unwrap(),
        "its kubeconfig expires in 121 days, less than a third of its life"
    );
    assert_eq!(with(own(-1)).unwrap(), "its kubeconfig has expired");
    assert!(due(member()).unwrap().contains("no kubeconfig of its own"));
    assert!(
        with(Kubeconfig::default())
            .unwrap()
            .contains("no certificate")
    );
    let foreign = Kubernetes {
        ca: Some(Sha256::of("another")),
        kube_vip: Some(own(300)),
        ..member()
    };
    assert!(due(foreign).unwrap().contains("another cluster"));
    // Services need more, and nobody has brought that into the cluster.
    let (more, ..) = built("load_balancer: kube-vip-arp\nkube_vip_services: true\n");
    let seen = Kubernetes {
        kube_vip: Some(own(300)),
        ..member()
    };
    let why = kube_vip::due(&more, &host(seen.clone()));
    assert_eq!(why.unwrap(), "kube-vip is to have other rights");
    // Nobody signs before init or a join is done.
    assert_eq!(due(Kubernetes::default()), None);
    let open = Kubernetes {
        marker: Some(marker("join", false)),
        ..member()
    };
    assert_eq!(due(open), None);
    // And nobody for a kube-vip that asks nothing, or that uses admin.conf.
    for all in [
        "load_balancer: kube-vip-bgp\nbgp_peers: [\"10.77.0.2:65001\"]\n",
        "load_balancer: kube-vip-arp\nkube_vip_kubeconfig: admin\n",
        "load_balancer: keepalived-haproxy\n",
    ] {
        assert_eq!(kube_vip::due(&built(all).0, &host(member())), None, "{all}");
    }
}

#[test]
fn a_renewed_kubeconfig_changes_the_manifest_and_nothing_else_does() {
    let all = "load_balancer: kube-vip-arp\n";
    let text = |days| {
        let seen = Kubernetes {
            kube_vip: Some(signed(days)),
            ..member()
        };
        written(&planned(all, seen), MANIFEST).unwrap().0
    };
    assert_eq!(text(300), text(300));
    let (before, after) = (text(121), text(364));
    let changed: Vec<(&str, &str)> = before
        .lines()
        .zip(after.lines())
        .filter(|(a, b)| a != b)
        .collect();
    assert_eq!(changed.len(), 1, "{changed:?}");
    assert!(changed[0].0.contains("quorate/revision"));
}

#[test]
fn bgp_without_services_has_a_kubeconfig_without_rights() {
    let all = "load_balancer: kube-vip-bgp\nbgp_peers: [\"10.77.0.2:65001\"]\n";
    let (text, mode) = written(&planned(all, Kubernetes::default()), kube_vip::KUBECONFIG).unwrap();
    assert_eq!(mode, "0600");
    let config = yaml(&text);
    assert_eq!(config["users"][0]["user"], json!({}));
    assert_eq!(
        config["clusters"][0]["cluster"],
        json!({"server": "https://10.77.0.11:6443"})
    );
}

#[test]
fn rights_are_what_kube_vip_asks_for() {
    let rules = |all: &str| {
        let (spec, ..) = built(all);
        let Manifest { text, .. } = sign::rights(&spec);
        let list = yaml(&text.unwrap());
        let mut rules = Vec::new();
        for object in list["items"].as_array().unwrap() {
            let kind = object["kind"].as_str().unwrap();
            for rule in object["rules"].as_array().into_iter().flatten() {
                let names = &rule["resourceNames"];
                rules.push(format!(
                    "{kind} {} {} {names}",
                    rule["resources"], rule["verbs"]
                ));
            }
            if kind.ends_with("Binding") {
                assert_eq!(object["subjects"][0]["name"], "quorate:kube-vip");
                assert_eq!(object["roleRef"]["kind"], kind.trim_end_matches("Binding"));
            }
        }
        rules
    };
    assert_eq!(
        rules("load_balancer: kube-vip-arp\n"),
        [
            r#"Role ["leases"] ["create"] null"#,
            r#"Role ["leases"] ["get","update"] ["plndr-cp-lock"]"#,
        ]
    );
    let bgp = "load_balancer: kube-vip-bgp\nbgp_peers: [\"10.77.0.2:65001\"]\n";
    assert_eq!(rules(bgp), Vec::<String>::new());
    insta::assert_debug_snapshot!(rules(
        "load_balancer: kube-vip-arp\nkube_vip_services: true\n"
    ));
    let without = rules(&format!("{bgp}kube_vip_services: true\n"));
    assert!(without.iter().all(|r| !r.contains("leases")), "{without:?}");
}

#[test]
fn the_kubeconfig_is_signed_on_the_host_and_shown_to_nobody() {
    let (spec, ..) = built("load_balancer: kube-vip-arp\ncluster_name: prod\n");
    let plan = sign::steps(&spec, &spec.hosts["cp2"]);
    let effects: Vec<&Effect> = plan
        .steps
        .iter()
        .flat_map(|s| &s.changes)
        .map(|c| &c.effect)
        .collect();
    let runs: Vec<String> = effects
        .iter()
        .filter_map(|e| match e {
            Effect::Run(run) => Some(run.argv.join(" ")),
            _ => None,
        })
        .collect();
    // The rights first: kube-vip may use the kubeconfig from its first moment on.
    assert!(
        runs[0].contains("kubectl --kubeconfig=/etc/kubernetes/admin.conf apply --server-side"),
        "{runs:?}"
    );
    assert!(runs[1].contains("--client-name quorate:kube-vip:cp2 --org quorate:kube-vip --validity-period 8760h; } >\"$new\""), "{runs:?}");
    assert!(runs[1].contains("umask 077"));
    let configs: Vec<String> = effects
        .iter()
        .filter_map(|e| match e {
            Effect::WriteFile(f) => match &f.content {
                Content::Inline(bytes) => Some(String::from_utf8(bytes.to_vec()).unwrap()),
                Content::File { .. } => None,
            },
            _ => None,
        })
        .collect();
    insta::assert_snapshot!(configs.join(""));
}
