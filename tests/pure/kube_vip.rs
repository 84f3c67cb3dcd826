//! kube-vip's manifests against those of its own generator, and what an inventory changes in them.

use std::collections::BTreeSet;
use std::sync::Arc;

use quorate::cluster::load_balancer::{
    facts_of_others, found_of_others, found_of_sibling, kube_vip, parts,
};
use quorate::cluster::spec::{ClusterSpec, Way};
use quorate::host::fact::{ClientCertificate, Kubeconfig, Kubernetes, Marker};
use quorate::host::{Content, Effect, Observed};
use quorate::inventory::{Input, Inventory, Variables};
use quorate::model::Sha256;
use quorate::plan::HostPlan;
use quorate::role::{HostRoles, Library, Registered};
use quorate::template::{Binding, host_scope};
use serde_json::{Value, json};

use super::role::AllThere;

const HOSTS: &str = "\
kube_control_plane:
  hosts:
    cp1: {ansible_host: 10.77.0.11}
    cp2: {ansible_host: 10.77.0.12}
    cp3: {ansible_host: 10.77.0.13}
";
pub(super) const MANIFEST: &str = "/etc/kubernetes/manifests/kube-vip.yaml";
const NOW: i64 = 1_800_000_000;
const DAY: i64 = 86_400;

pub(super) fn built(all: &str) -> (ClusterSpec, Inventory, Vec<String>) {
    let all = format!("kubernetes_version: \"1.36.3\"\napiserver_vip: 10.77.0.100\n{all}");
    let input = Input::from_text("hosts.yml", HOSTS).with_group_vars("all", "all.yml", &all);
    let (inventory, found) = Inventory::build(&input);
    assert!(!found.has_errors(), "{found:#?}");
    let (spec, found) = ClusterSpec::build(&inventory, &BTreeSet::new());
    assert!(!found.has_errors(), "{all}\n{found:#?}");
    let warnings = found.iter().map(ToString::to_string).collect();
    (spec.unwrap(), inventory, warnings)
}

/// A control plane as kubeadm leaves it.
pub(crate) fn member() -> Kubernetes {
    Kubernetes {
        ca: Some(Sha256::of("ca")),
        traces: [
            "/etc/kubernetes/kubelet.conf",
            "/etc/kubernetes/admin.conf",
            "/etc/kubernetes/manifests/kube-apiserver.yaml",
        ]
        .map(String::from)
        .to_vec(),
        marker: Some(marker("init", true)),
        ..Kubernetes::default()
    }
}

pub(super) fn marker(act: &str, done: bool) -> Marker {
    Marker {
        act: act.into(),
        run: "r".into(),
        config: "c".into(),
        done,
    }
}

pub(super) fn signed(days: i64) -> Kubeconfig {
    Kubeconfig {
        ca: Some(Sha256::of("ca")),
        client: Some(ClientCertificate {
            digest: Sha256::of(days.to_string()),
            not_after: NOW + days * DAY,
        }),
        rights: None,
    }
}

pub(super) fn host(kubernetes: Kubernetes) -> Observed {
    let mut observed = Observed::default();
    observed.system.clock = NOW;
    observed.system.addresses = vec![
        ("lo".into(), "127.0.0.1".parse().unwrap(), 8),
        ("eth0".into(), "10.77.0.11".parse().unwrap(), 24),
    ];
    observed.kubernetes = Some(kubernetes);
    observed
}

pub(crate) fn planned(all: &str, kubernetes: Kubernetes) -> HostPlan {
    let (spec, inventory, _) = built(all);
    let (library, found) = Library::builtin();
    assert!(!found.has_errors(), "{found:#?}");
    let cp1 = &spec.hosts["cp1"];
    let observed = host(kubernetes);
    let scopes = spec.scopes(&inventory);
    let mut scope = host_scope(&inventory.hosts["cp1"], &Variables::default(), &scopes);
    let seen = kube_vip::host_variables(&spec, cp1, true, Some(&observed));
    for (name, value) in kube_vip::variables(&spec, cp1).into_iter().chain(seen) {
        scope.set(name, Binding::fixed(value));
    }
    HostRoles::new(vec![library.get("kube_vip").unwrap()], Arc::new(AllThere))
        .plan(&scope, &observed, &Registered::default())
        .unwrap()
}

pub(super) fn written(plan: &HostPlan, path: &str) -> Option<(String, String)> {
    let effects = plan
        .steps
        .iter()
        .flat_map(|s| &s.changes)
        .map(|c| &c.effect);
    let mut files = effects.filter_map(|effect| match effect {
        Effect::WriteFile(file) if file.path == path => Some(file),
        _ => None,
    });
    let file = files.next()?;
    assert!(files.next().is_none(), "{path} is written twice");
    let Content::Inline(bytes) = &file.content else {
        panic!("{path} is no text")
    };
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    Some((text, file.mode.to_string()))
}

pub(super) fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap_or_else(|e| panic!("{e}\n{text}"))
}

fn manifest(all: &str, kubernetes: Kubernetes) -> Value {
    let (text, mode) = written(&planned(all, kubernetes), MANIFEST).expect("a manifest");
    assert_eq!(mode, "0600");
    yaml(&text)
}

fn environment(manifest: &Value) -> Vec<(String, Value)> {
    let list = manifest["spec"]["containers"][0]["env"].as_array().unwrap();
    list.iter()
        .map(|e| (e["name"].as_str().unwrap().to_string(), e.clone()))
        .collect()
}

/// Fixture, what the inventory says for the same options, how far the host is.
fn cases() -> Vec<(&'static str, String, Kubernetes)> {
    let own = |days| Kubernetes {
        kube_vip: Some(signed(days)),
        ..member()
    };
    let bgp = "load_balancer: kube-vip-bgp\nbgp_peers: [\"10.77.0.2:65001::false\"]\n";
    let seed = "load_balancer_profile: seed\n";
    vec![
        (
            "arp-init",
            "load_balancer: kube-vip-arp\n".into(),
            Kubernetes::default(),
        ),
        (
            "arp-dedicated",
            "load_balancer: kube-vip-arp\n".into(),
            own(300),
        ),
        (
            "arp-services-seed-admin",
            format!(
                "load_balancer: kube-vip-arp\n{seed}kube_vip_lease: 15/10/2\nkube_vip_services: true\nkube_vip_kubeconfig: admin\n"
            ),
            member(),
        ),
        (
            "bgp-seed",
            format!(
                "load_balancer: kube-vip-bgp\n{seed}bgp_peers: [\"10.77.0.2:65001::false\", \"10.77.0.3:65001::false\"]\n"
            ),
            Kubernetes::default(),
        ),
        (
            "bgp-services",
            format!("{bgp}kube_vip_services: true\n"),
            own(300),
        ),
        ("bgp-fast", bgp.into(), member()),
        ("bgp-bfd", format!("{bgp}bgp_bfd: true\n"), member()),
    ]
}

/// With profile `seed` every number of the document's example manifests is in ours. What is listed is a placeholder, or has
/// another name in the kube-vip of today.
#[test]
fn seed_has_the_numbers_of_the_document() {
    let seed = "load_balancer_profile: seed\nkube_vip_kubeconfig: admin\n";
    let peers = "bgp_peers: [\"192.168.0.10:65000::false\", \"192.168.0.11:65000::false\"]\n";
    for (fixture, all, numbers) in [
        (
            "kube-vip-arp",
            format!("load_balancer: kube-vip-arp\n{seed}"),
            8,
        ),
        (
            "kube-vip-bgp",
            format!("load_balancer: kube-vip-bgp\n{seed}{peers}"),
            10,
        ),
    ] {
        let path = format!("tests/fixtures/seed/{fixture}.yaml");
        let document = environment(&yaml(&std::fs::read_to_string(path).unwrap()));
        let ours = environment(&manifest(&all, member()));
        let value = |name: &str| ours.iter().find(|(n, _)| n == name).map(|(_, v)| v);
        let mut same = 0;
        for (name, theirs) in document {
            match (name.as_str(), value(&name)) {
                ("vip_interface" | "bgp_routerid", Some(_)) => {}
                ("vip_address", None) => assert!(value("address").is_some()),
                ("vip_cidr", None) => {
                    assert_eq!(value("vip_subnet").unwrap()["value"], theirs["value"]);
                }
                // Its default.
                ("vip_ddns", None) => assert_eq!(theirs["value"], "false"),
                (_, found) => {
                    assert_eq!(found, Some(&theirs), "{fixture}: {name}");
                    same += 1;
                }
            }
        }
        assert_eq!(same, numbers, "{fixture}");
    }
}

/// One manifest of each, and which options they were made by.
struct Pair {
    ours: Value,
    theirs: Value,
    bgp: bool,
    health: bool,
    fast: bool,
}

impl Pair {
    fn take(&mut self, pointer: &str, name: &str) -> Option<Value> {
        let parent = self.ours.pointer_mut(pointer).unwrap();
        parent.as_object_mut().unwrap().shift_remove(name)
    }

    fn list(&mut self, pointer: &str) -> &mut Vec<Value> {
        let list = self.ours.pointer_mut(pointer).unwrap();
        list.as_array_mut().unwrap()
    }
}

type Difference = fn(&mut Pair);

/// What differs from the generator's manifest on purpose: why, and what is taken out of one or the other. Each must be there
/// where it is meant to be, and nowhere else.
const INTENDED: [(&str, Difference); 7] = [
    (
        "the kubelet sees only the manifest: another kubeconfig or peer must change it",
        |pair| {
            let revision = pair.take("/metadata", "annotations").unwrap();
            let revision = revision["quorate/revision"].as_str().unwrap().to_string();
            assert_eq!(revision.len(), 16);
        },
    ),
    (
        "kube-vip is evicted last, as kubeadm's own static pods",
        |pair| {
            let class = pair.take("/spec", "priorityClassName");
            assert_eq!(class, Some(json!("system-node-critical")));
        },
    ),
    (
        "a kubeconfig that is not there yet must not become a directory",
        |pair| {
            let kind = pair.take("/spec/volumes/0/hostPath", "type");
            assert_eq!(kind, Some(json!("File")));
        },
    ),
    (
        "the generator has flags for the timers and drops both (config_generator.go)",
        |pair| {
            let bgp = pair.bgp;
            let list = pair.list("/spec/containers/0/env");
            let before = list.len();
            list.retain(|e| e["name"] != "bgp_hold_time" && e["name"] != "bgp_keepalive_interval");
            assert_eq!(before - list.len(), if bgp { 2 } else { 0 });
        },
    ),
    (
        "the generator has no flag for the time between gratuitous ARPs",
        |pair| {
            let arp = usize::from(pair.fast && !pair.bgp);
            let list = pair.list("/spec/containers/0/env");
            let before = list.len();
            list.retain(|e| *e != json!({"name": "vip_arpRate", "value": "500"}));
            assert_eq!(before - list.len(), arp);
        },
    ),
    (
        "the generator names the health check's CA and does not mount it: CrashLoopBackOff",
        |pair| {
            let health = usize::from(pair.health);
            for (list, name) in [("volumes", "name"), ("containers/0/volumeMounts", "name")] {
                let list = pair.list(&format!("/spec/{list}"));
                assert_eq!(list.len(), 1 + health);
                let rest = list.split_off(1);
                assert!(rest.iter().all(|v| v[name] == "ca"), "{rest:?}");
            }
        },
    ),
    (
        "the API libraries of 0.8 and 0.9 print a field that nobody has set",
        |pair| {
            let metadata = pair.theirs["metadata"].as_object_mut().unwrap();
            let printed = metadata.shift_remove("creationTimestamp");
            assert!(printed.is_none_or(|v| v.is_null()));
        },
    ),
];

#[test]
fn manifests_are_those_of_kube_vips_own_generator() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/kube-vip");
    let mut compared = Vec::new();
    for version in ["v0.8.10", "v0.9.2", "v1.0.4", "v1.2.3"] {
        for (case, all, kubernetes) in cases() {
            let Ok(theirs) =
                std::fs::read_to_string(root.join(version).join(format!("{case}.yaml")))
            else {
                continue;
            };
            let flags = theirs.lines().next().unwrap().to_string();
            let theirs = yaml(&theirs);
            let mut pair = Pair {
                ours: manifest(&format!("{all}kube_vip_version: {version}\n"), kubernetes),
                theirs,
                bgp: flags.contains("--bgp "),
                health: flags.contains("HealthCheckAddress"),
                fast: !case.contains("seed"),
            };
            for (_, take_out) in INTENDED {
                take_out(&mut pair);
            }
            let Pair { ours, theirs, .. } = pair;
            // As lists, so that the order of the environment counts too.
            assert_eq!(
                environment(&ours),
                environment(&theirs),
                "{version} {case}\n{flags}"
            );
            assert_eq!(ours, theirs, "{version} {case}\n{flags}");
            compared.push(format!("{version} {case}"));
        }
    }
    insta::assert_debug_snapshot!(compared);
}

/// Whole manifests, with what the generator leaves out: as a reader of /etc/kubernetes/manifests sees them.
#[test]
fn manifests_in_full() {
    for (case, all, kubernetes) in cases() {
        if !["arp-dedicated", "bgp-bfd"].contains(&case) {
            continue;
        }
        let text = written(&planned(&all, kubernetes), MANIFEST).unwrap().0;
        insta::assert_snapshot!(format!("manifest_{case}"), text);
    }
}

#[test]
fn the_timers_are_those_of_the_profile_and_the_inventory() {
    let value = |all: &str, name: &str| {
        let all = format!("load_balancer: kube-vip-bgp\nbgp_peers: [\"10.77.0.2:65001\"]\n{all}");
        let found = environment(&manifest(&all, member()));
        let entry = found.into_iter().find(|(n, _)| n == name);
        entry.map(|(_, e)| e["value"].as_str().unwrap().to_string())
    };
    for (all, hold, keepalive) in [
        ("", "3", "1"),
        ("load_balancer_profile: seed\n", "30", "10"),
        ("bgp_hold_time: 9\nbgp_keepalive_interval: 3\n", "9", "3"),
    ] {
        assert_eq!(value(all, "bgp_hold_time").unwrap(), hold, "{all}");
        assert_eq!(value(all, "bgp_keepalive_interval").unwrap(), keepalive);
    }
    let url = "control_plane_health_check_address";
    assert_eq!(value("", url).unwrap(), "https://10.77.0.11:6443/livez");
    assert_eq!(value("load_balancer_profile: seed\n", url), None);
    assert_eq!(value("kube_vip_version: v1.1.2\n", url), None);
    assert_eq!(value("", "bgp_routerid").unwrap(), "10.77.0.11");
    assert_eq!(value("bgp_local_as: 64999\n", "bgp_as").unwrap(), "64999");
}

#[test]
fn a_peers_password_is_in_a_file_that_only_root_reads() {
    let all = "load_balancer: kube-vip-bgp\nbgp_bfd: true\nbgp_peers: [\"10.77.0.2:65001:s3cret,x:true\", \"10.77.0.3:65001::false:179:mpbgp_nexthop=fixed:true;100000;200000;5\"]\n";
    let plan = planned(all, member());
    let (text, mode) = written(&plan, "/etc/kubernetes/kube-vip-bgp.yaml").unwrap();
    assert_eq!(mode, "0600");
    let peers = &yaml(&text)["BGPConfig"]["Peers"];
    let expected = json!([
        {"Address": "10.77.0.2", "AS": 65001, "Port": 179, "MultiHop": true, "Password": "s3cret,x",
         "BFDEnabled": true, "BFDReceiveInterval": 300_000, "BFDTransmitInterval": 300_000, "BFDDetectMultiplier": 3},
        {"Address": "10.77.0.3", "AS": 65001, "Port": 179, "MultiHop": false, "MpbgpNexthop": "fixed",
         "BFDEnabled": true, "BFDReceiveInterval": 100_000, "BFDTransmitInterval": 200_000, "BFDDetectMultiplier": 5},
    ]);
    assert_eq!(*peers, expected);
    let (manifest, _) = written(&plan, MANIFEST).unwrap();
    assert!(!manifest.contains("s3cret"), "{manifest}");
    let manifest = yaml(&manifest);
    assert!(
        environment(&manifest)
            .iter()
            .all(|(name, _)| name != "bgp_peers")
    );
    let container = &manifest["spec"]["containers"][0];
    assert_eq!(
        container["args"],
        json!(["manager", "--config-file=/etc/kubernetes/kube-vip-bgp.yaml"])
    );
    assert_eq!(container["volumeMounts"].as_array().unwrap().len(), 3);
    // Neither does a plan show it.
    let shown = format!(
        "{:?}",
        plan.steps.iter().map(|s| s.planned()).collect::<Vec<_>>()
    );
    assert!(!shown.contains("s3cret") && shown.contains("kube-vip-bgp.yaml"));
    // Another password starts the pod anew.
    let other = planned(&all.replace("s3cret", "other"), member());
    let revision = |plan: &HostPlan| {
        let text = written(plan, MANIFEST).unwrap().0;
        yaml(&text)["metadata"]["annotations"]["quorate/revision"].clone()
    };
    assert_ne!(revision(&plan), revision(&other));
    // Releases that cannot read a file: said, and not shown either.
    let old = format!("{all}kube_vip_version: v1.0.0\n")
        .replace("s3cret,x", "s3cret")
        .replace("bgp_bfd: true\n", "");
    let old = old.replace(":179:mpbgp_nexthop=fixed:true;100000;200000;5", "");
    let warnings = built(&old).2.join("\n");
    assert!(
        warnings.contains("takes the password of a BGP peer from the pod's environment"),
        "{warnings}"
    );
    assert!(!warnings.contains("s3cret"));
    let plan = planned(&old, member());
    assert!(
        written(&plan, MANIFEST)
            .unwrap()
            .0
            .contains("10.77.0.2:65001:s3cret:true,10.77.0.3:65001::false")
    );
    let shown = format!(
        "{:?}",
        plan.steps.iter().map(|s| s.planned()).collect::<Vec<_>>()
    );
    assert!(!shown.contains("s3cret"), "{shown}");
}

#[test]
fn bfd_is_added_where_a_peer_has_none() {
    for (peer, expected) in [
        (
            "10.77.0.2:65001",
            "10.77.0.2:65001::false:179::true;300000;300000;3",
        ),
        (
            "10.77.0.2:65001::true",
            "10.77.0.2:65001::true:179::true;300000;300000;3",
        ),
        (
            "10.77.0.2:65001::true:179:mpbgp_nexthop=fixed",
            "10.77.0.2:65001::true:179:mpbgp_nexthop=fixed:true;300000;300000;3",
        ),
        (
            "10.77.0.2:65001::false:179::true;50000;50000;4",
            "10.77.0.2:65001::false:179::true;50000;50000;4",
        ),
    ] {
        let all = format!("load_balancer: kube-vip-bgp\nbgp_bfd: true\nbgp_peers: [\"{peer}\"]\n");
        let found = environment(&manifest(&all, member()));
        let peers = found.iter().find(|(n, _)| n == "bgp_peers").unwrap();
        assert_eq!(peers.1["value"], expected, "{peer}");
    }
}

#[test]
fn what_is_on_a_host_of_kube_vip_is_not_another_ways() {
    let mut model = super::simulated::Model::bare();
    let found = |way: Way, model: &super::simulated::Model| {
        found_of_others(way, &model.observe(&facts_of_others(way)))
    };
    let manifest = super::simulated::text("pod");
    model.files.insert(MANIFEST.into(), manifest);
    assert_eq!(found(Way::KubeVipArp, &model), None);
    assert_eq!(
        found(Way::KubeVipBgp, &model),
        None,
        "the one takes the place of the other"
    );
    let said = found(Way::KeepalivedHaproxy, &model).unwrap();
    assert!(
        said.starts_with("/etc/kubernetes/manifests/kube-vip.yaml is there"),
        "{said}"
    );
    // Of two ways with one manifest, what stands in it says which is at work.
    for (lies, wanted, is_other) in [
        ("kube-vip-bgp", Way::KubeVipArp, true),
        ("kube-vip-arp", Way::KubeVipBgp, true),
        ("kube-vip-arp", Way::KubeVipArp, false),
        ("kube-vip-bgp", Way::KubeVipBgp, false),
        ("kube-vip-bgp", Way::KeepalivedHaproxy, false),
    ] {
        // As the template has it, which is compared with kube-vip's own elsewhere.
        let is_arp = lies == "kube-vip-arp";
        let text = format!("    env:\n    - name: vip_arp\n      value: \"{is_arp}\"\n");
        model
            .files
            .insert(MANIFEST.into(), super::simulated::text(&text));
        let found = found_of_sibling(wanted, &model.observe(&facts_of_others(wanted)));
        assert_eq!(found.is_some(), is_other, "{lies} and {wanted}: {found:?}");
    }
    // What the role writes, and nothing else, is what the way leaves.
    let all = "load_balancer: kube-vip-bgp\ncontrol_plane_endpoint: vip.example:8443\nbgp_peers: [\"10.77.0.2:65001:secret\"]\n";
    let plan = planned(all, member());
    let leaves = parts(Way::KubeVipBgp).unwrap().leaves;
    let known: Vec<&str> = leaves
        .manifests
        .iter()
        .chain(leaves.paths)
        .copied()
        .collect();
    let effects = plan
        .steps
        .iter()
        .flat_map(|s| &s.changes)
        .map(|c| &c.effect);
    let mut count = 0;
    for effect in effects {
        if let Effect::WriteFile(file) = effect {
            assert!(known.contains(&file.path.as_str()), "{}", file.path);
            count += 1;
            if let (true, Content::Inline(bytes)) = (file.path.ends_with(".service"), &file.content)
            {
                let text = String::from_utf8_lossy(bytes);
                let rule = "ip daddr 10.77.0.100 tcp dport 8443 dnat to 10.77.0.100:6443;";
                assert_eq!(text.matches(rule).count(), 2, "{text}");
            }
        }
    }
    assert_eq!(count, known.len());
}
