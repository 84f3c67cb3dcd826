//! What keeps hosts from becoming a cluster: what is made of their answers.

use std::collections::BTreeSet;
use std::net::IpAddr;

use quorate::cluster::preflight::{self, Finding, Host, Level, Wish};
use quorate::cluster::spec::ClusterSpec;
use quorate::host::fact::{Disk, Listener, Preflight, Resolved};
use quorate::host::{Content, Effect, Fact, Facts, Observed, probe};
use quorate::inventory::{Input, Inventory};
use quorate::plan::{HostPlan, Step};
use serde_json::json;

pub(super) const HOSTS: &str = "\
kube_control_plane:
  hosts:
    cp1: {ansible_host: 10.77.0.11}
    cp2: {ansible_host: 10.77.0.12}
    cp3: {ansible_host: 10.77.0.13}
kube_node:
  hosts:
    w1: {ansible_host: 10.77.0.21}
";

pub(super) fn spec(more: &str) -> ClusterSpec {
    let all = format!(
        "kubernetes_version: \"1.36.3\"\nkubernetes_source: files\nkubernetes_files: x\napiserver_vip: 10.77.0.100\ncontrol_plane_endpoint: api.example:8443\n{more}"
    );
    let input = Input::from_text("hosts.yml", HOSTS).with_group_vars("all", "all.yml", &all);
    let (inventory, found) = Inventory::build(&input);
    assert!(!found.has_errors(), "{found:#?}");
    let (spec, found) = ClusterSpec::build(&inventory, &BTreeSet::new());
    assert!(!found.has_errors(), "{all}\n{found:#?}");
    spec.unwrap()
}

fn wish() -> Wish {
    Wish {
        kernel_modules: vec!["overlay".into()],
        swap_off: true,
        health_port: Some(8404),
        endpoint_in_hosts: true,
        prepare_firewall: false,
        kubelet: json!({"kind": "KubeletConfiguration"}),
        ignored: BTreeSet::new(),
    }
}

pub(super) fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn disks(free_mib: u64) -> Vec<Disk> {
    [
        "/",
        "/etc",
        "/var",
        "/var/lib/containerd",
        "/var/lib/etcd",
        "/var/lib/kubelet",
    ]
    .map(|path| Disk {
        path: path.into(),
        mount: "/".into(),
        total: 40 << 20,
        free: free_mib << 10,
        read_only: false,
    })
    .to_vec()
}

/// A host on which nothing is wrong.
fn sound(spec: &ClusterSpec, name: &str) -> Observed {
    let host = &spec.hosts[name];
    let mut seen = Observed::default();
    seen.system.hostname = name.into();
    seen.system.machine_id = format!("{name:0>32}");
    seen.system.product_uuid = format!("uuid-of-{name}");
    seen.system.links = vec!["00:00:00:00:00:00".into(), format!("02:42:{name}")];
    seen.system.kernel = "6.1.0".into();
    seen.system.memory_mib = 1700;
    seen.system.processors = 2;
    seen.system.addresses = vec![("eth0".into(), host.ip.address, 24)];
    seen.system.clock = 1_000;
    seen.asked = Some((1_000_000, 1_000_400));
    seen.swaps = Some(Vec::new());
    seen.preflight = Some(Preflight {
        disks: disks(20 << 10),
        own_name: Some((name.into(), Resolved::To(vec![address("127.0.1.1")]))),
        endpoint: Some(Resolved::Unknown),
        cgroup: Some(2),
        ..Preflight::default()
    });
    seen
}

/// What is found after `change` on one host of four.
pub(super) struct Bed {
    spec: ClusterSpec,
    pub(super) wish: Wish,
    plan: HostPlan,
    ours: Vec<&'static str>,
}

impl Bed {
    pub(super) fn new(more: &str) -> Self {
        Self {
            spec: spec(more),
            wish: wish(),
            plan: HostPlan::default(),
            ours: vec!["cp1", "cp2", "cp3", "w1"],
        }
    }

    pub(super) fn found(&self, change: impl Fn(&str, &mut Observed)) -> Vec<Finding> {
        let names = ["cp1", "cp2", "cp3", "w1"];
        let seen = names.map(|name| {
            let mut seen = sound(&self.spec, name);
            change(name, &mut seen);
            (name, seen)
        });
        let hosts: Vec<Host<'_>> = seen
            .iter()
            .map(|(name, observed)| Host {
                spec: &self.spec.hosts[*name],
                wish: &self.wish,
                observed,
                plan: Some(&self.plan),
                ours: self.ours.contains(name),
            })
            .collect();
        preflight::findings(&self.spec, &hosts)
    }

    /// Returns what is found after a change on cp2 alone, as host, name and level.
    fn on_cp2(
        &self,
        change: impl Fn(&mut Observed, &mut Preflight),
    ) -> Vec<(String, String, Level)> {
        let found = self.found(|name, seen| {
            if name == "cp2" {
                let mut preflight = seen.preflight.take().unwrap();
                change(seen, &mut preflight);
                seen.preflight = Some(preflight);
            }
        });
        for finding in &found {
            assert!(
                !finding.message.is_empty() && !finding.cure.is_empty(),
                "{finding:?}"
            );
        }
        let short = |f: Finding| (f.host.to_string(), f.name, f.level);
        found.into_iter().map(short).collect()
    }
}

fn on(host: &str, name: &str, level: Level) -> Vec<(String, String, Level)> {
    vec![(host.into(), name.into(), level)]
}

#[test]
fn sound_hosts_have_no_findings() {
    assert_eq!(Bed::new("").found(|_, _| {}), []);
    assert_eq!(Bed::new("").on_cp2(|_, _| {}), []);
}

type Change = fn(&mut Observed, &mut Preflight);

#[test]
fn each_fault_is_found_on_its_host() {
    use Level::{Fault, Warning};
    let listens = |port, at: &str, name: &str| Listener {
        port,
        address: at.parse().unwrap(),
        process: Some((812, name.into())),
    };
    let cases: &[(&str, Level, Change)] = &[
        ("NumCPU", Fault, |s, _| s.system.processors = 1),
        ("Mem", Fault, |s, _| s.system.memory_mib = 1699),
        ("DiskSpace", Fault, |_, p| p.disks = disks(200)),
        ("DiskPressure", Warning, |_, p| p.disks = disks(6 << 10)),
        ("ReadOnly", Fault, |_, p| p.disks[1].read_only = true),
        ("KernelModule", Fault, |_, p| {
            p.missing_modules = vec!["overlay".into()]
        }),
        ("Hostname", Warning, |_, p| {
            p.own_name = Some(("cp2".into(), Resolved::Unknown))
        }),
        ("Hostname", Warning, |_, p| {
            p.own_name = Some(("cp2".into(), Resolved::To(vec![address("10.9.9.9")])))
        }),
        ("EndpointName", Warning, |_, p| {
            p.endpoint = Some(Resolved::To(vec![address("10.9.9.9")]))
        }),
        ("SystemVerification", Fault, |_, p| p.cgroup = Some(1)),
        ("ClockSkew", Warning, |s, _| s.system.clock += 5),
        ("ClockSkew", Fault, |s, _| s.system.clock -= 302),
        ("DuplicateProductUuid", Warning, |s, _| {
            s.system.product_uuid = "uuid-of-cp1".into()
        }),
        ("DuplicateHostname", Warning, |s, _| {
            s.system.hostname = "cp1".into()
        }),
        ("DuplicateMachineId", Warning, |s, _| {
            s.system.machine_id = format!("{:0>32}", "cp1")
        }),
        ("NoProxy", Warning, |_, p| {
            p.proxied.insert("systemd".into());
            p.no_proxy.insert(
                "systemd".into(),
                "10.77.0.0/24,10.96.0.0/12,.example".into(),
            );
        }),
        ("NoProxy", Warning, |_, p| {
            // The kubelet's own list takes the place of the one that has all.
            p.proxied.insert("systemd".into());
            p.no_proxy.insert("systemd".into(), "*".into());
            p.no_proxy.insert("kubelet".into(), "localhost".into());
        }),
        ("SELinux", Fault, |_, p| {
            p.enforces = true;
            p.booleans.insert("haproxy_connect_any".into(), false);
        }),
    ];
    let bed = Bed::new("");
    for (name, level, change) in cases {
        assert_eq!(bed.on_cp2(change), on("cp2", name, *level), "{name}");
    }
    for (port, at, name) in [
        (6443, "0.0.0.0", "haproxy"),
        (2379, "127.0.0.1", "etcd"),
        (2380, "::", "etcd"),
        (10250, "::", "kubelet"),
        (10257, "127.0.0.1", "x"),
        (10259, "127.0.0.1", "x"),
        (8443, "10.77.0.12", "nginx"),
        (8404, "0.0.0.0", "nginx"),
    ] {
        let change =
            |_: &mut Observed, p: &mut Preflight| p.listeners = vec![listens(port, at, name)];
        assert_eq!(
            bed.on_cp2(change),
            on("cp2", &format!("Port-{port}"), Fault),
            "{port}"
        );
    }
    // haproxy of an earlier run, and a health port that is taken at an address of its own alone.
    for (port, at, name) in [
        (8443, "0.0.0.0", "haproxy"),
        (8404, "127.0.0.1", "haproxy"),
        (8404, "10.77.0.12", "nginx"),
    ] {
        let change =
            |_: &mut Observed, p: &mut Preflight| p.listeners = vec![listens(port, at, name)];
        assert_eq!(bed.on_cp2(change), [], "{port}");
    }
}

#[test]
fn units_that_are_masked_are_found() {
    let facts = Facts::from([
        Fact::Unit("containerd.service".into()),
        Fact::Unit("kubelet.service".into()),
    ]);
    let lines = [
        "LoadState=loaded",
        "",
        "LoadState=masked",
        "UnitFileState=masked",
    ];
    let answer: String = lines
        .iter()
        .map(|line| format!("n unit {line}\n"))
        .collect();
    let masked = probe::parse(&facts, "n", format!("{answer}n end\n").as_bytes()).unwrap();
    let found = Bed::new("").on_cp2(|seen, _| {
        let earlier = std::mem::replace(seen, masked.clone());
        seen.system = earlier.system;
        seen.swaps = earlier.swaps;
        seen.asked = earlier.asked;
    });
    assert_eq!(found, on("cp2", "MaskedUnit", Level::Fault));
}

#[test]
fn what_is_wanted_decides_too() {
    let mut bed = Bed::new("");
    let swap: Change = |seen, _| seen.swaps = Some(vec!["/dev/sda2".into()]);
    assert_eq!(bed.on_cp2(swap), [], "it is turned off");
    bed.wish.swap_off = false;
    assert_eq!(bed.on_cp2(swap), on("cp2", "Swap", Level::Fault));
    bed.wish.kubelet = json!({"failSwapOn": false, "failCgroupV1": false});
    assert_eq!(bed.on_cp2(swap), []);
    assert_eq!(bed.on_cp2(|_, p| p.cgroup = Some(1)), []);
    bed.wish.endpoint_in_hosts = false;
    let unresolved: Vec<_> = bed
        .found(|_, _| {})
        .into_iter()
        .map(|f| (f.name, f.level))
        .collect();
    assert_eq!(
        unresolved,
        vec![("EndpointName".to_string(), Level::Fault); 4]
    );

    // 3000 MiB of an archive are there twice once it is imported.
    let mut bed = Bed::new("");
    let archive = Content::File {
        path: "images/a.tar".into(),
        length: 3000 << 20,
        sha256: quorate::model::Sha256::of("x"),
    };
    let import = Effect::ImportImage {
        archive,
        names: vec!["a".into()],
    };
    let change = quorate::plan::Change::new(import, "not there");
    let step = Step::new("images", quorate::event::Category::Transfer, vec![change]);
    bed.plan.steps.push(step);
    assert_eq!(bed.on_cp2(|_, _| {}), []);
    assert_eq!(
        bed.on_cp2(|_, p| p.disks = disks(6200)),
        on("cp2", "DiskSpace", Level::Fault)
    );
    // Two file systems: what is written to one does not fill the other.
    let split: Change = |_, p| {
        for disk in &mut p.disks {
            if disk.path == "/var/lib/containerd" {
                disk.mount = "/var/lib/containerd".into();
            } else {
                disk.free = 6200 << 10;
            }
        }
    };
    assert_eq!(bed.on_cp2(split), []);
    bed.wish.kubelet =
        json!({"evictionHard": {"imagefs.available": "1%", "nodefs.available": "25Gi"}});
    assert_eq!(bed.on_cp2(|_, _| {}).len(), 4, "each host is below 25 GiB");
    bed.wish.kubelet = json!({"evictionHard": {"memory.available": "100Mi"}});
    assert_eq!(bed.on_cp2(|_, p| p.disks = disks(6400)), []);
}

#[test]
fn a_worker_needs_less() {
    let found = Bed::new("").found(|name, seen| {
        if name == "w1" {
            seen.system.processors = 1;
            seen.system.memory_mib = 500;
            let listener = |port| Listener {
                port,
                address: address("::"),
                process: None,
            };
            let preflight = seen.preflight.as_mut().unwrap();
            preflight.listeners = [6443, 2379, 8443, 10250].map(listener).to_vec();
        }
    });
    let names: Vec<&str> = found.iter().map(|f| f.name.as_str()).collect();
    assert_eq!(names, ["Port-10250"]);
    assert!(
        found[0].cure.contains("ss -ltnp 'sport = :10250'"),
        "{found:?}"
    );
}

#[test]
fn one_machine_under_two_names_is_refused() {
    let found = Bed::new("").found(|name, seen| {
        if name == "cp2" {
            let links = std::mem::take(&mut seen.system.links);
            assert_eq!(links.len(), 2);
            seen.system.links = vec!["02:42:cp1".into(), "00:00:00:00:00:00".into()];
            seen.system.machine_id = format!("{:0>32}", "cp1");
            seen.system.hostname = "cp1".into();
            seen.system.product_uuid = "uuid-of-cp1".into();
        }
    });
    let names: Vec<_> = found.iter().map(|f| (f.name.as_str(), f.level)).collect();
    assert_eq!(names, [("DuplicateMachine", Level::Unsafe)]);
    assert!(found[0].message.contains("cp1"), "{found:?}");
    // A clone: the identifiers, and not the network cards.
    let found = Bed::new("").on_cp2(|seen, _| {
        seen.system.machine_id = format!("{:0>32}", "cp1");
        seen.system.product_uuid = "uuid-of-cp1".into();
    });
    let clone = [
        ("cp2".into(), "DuplicateMachineId".into(), Level::Fault),
        ("cp2".into(), "DuplicateProductUuid".into(), Level::Warning),
    ];
    assert_eq!(found, clone);
}

#[test]
fn containers_of_one_machine_get_a_warning_and_no_more() {
    let found = Bed::new("").found(|_, seen| seen.system.product_uuid = "one".into());
    let all: Vec<_> = found
        .iter()
        .map(|f| (f.host.as_str(), f.name.as_str(), f.level))
        .collect();
    assert_eq!(all, [("w1", "DuplicateProductUuid", Level::Warning)]);
    let ignored = Bed::new("ignore_preflight_errors: [duplicateproductuuid]\n");
    assert_eq!(
        ignored.found(|_, seen| seen.system.product_uuid = "one".into()),
        []
    );
}

#[test]
fn what_is_ignored_is_ignored_by_its_name() {
    let small: Change = |seen, _| {
        seen.system.processors = 1;
        seen.system.memory_mib = 100;
    };
    let bed = Bed::new("ignore_preflight_errors: [NumCPU]\n");
    assert_eq!(bed.on_cp2(small), on("cp2", "Mem", Level::Fault));
    let mut bed = Bed::new("ignore_preflight_errors: [NumCPU, ClockSkew]\n");
    bed.wish.ignored.insert("Mem".into());
    assert_eq!(bed.on_cp2(small), []);
    // kubeadm is told of its own names alone.
    let host = &bed.spec.hosts["cp1"];
    let input = quorate::cluster::kubeadm::KubeadmInput::of(&bed.spec, host);
    assert_eq!(input.ignore_preflight_errors, ["NumCPU"]);
}

#[test]
fn a_name_that_is_nearly_one_is_told() {
    let said = |name: &str| {
        let all = format!(
            "kubernetes_version: \"1.36.3\"\nkubernetes_source: present\napiserver_vip: 10.77.0.100\nignore_preflight_errors: [{name}]\n"
        );
        let input = Input::from_text("hosts.yml", HOSTS).with_group_vars("all", "all.yml", &all);
        let (inventory, _) = Inventory::build(&input);
        let (_, found) = ClusterSpec::build(&inventory, &BTreeSet::new());
        let help = found
            .iter()
            .map(|finding| finding.help.clone().unwrap_or_default());
        help.collect::<Vec<_>>()
    };
    assert_eq!(said("Firewal"), ["did you mean `Firewall`?"]);
    // kubeadm's own need not be known here.
    for name in [
        "firewall",
        "DiskSpace",
        "FileAvailable--etc-kubernetes-kubelet.conf",
        "CRI",
    ] {
        assert_eq!(said(name), [""; 0], "{name}");
    }
}

#[test]
fn members_and_hosts_outside_the_limit_are_left_alone() {
    let bad = |_: &str, seen: &mut Observed| {
        seen.system.processors = 1;
        seen.system.hostname = "same".into();
        seen.system.product_uuid = "same".into();
    };
    let mut bed = Bed::new("");
    bed.ours = vec!["w1"];
    let found = bed.found(bad);
    assert!(found.iter().all(|f| f.host.as_str() == "w1"), "{found:?}");
    let found = Bed::new("").found(|name, seen| {
        bad(name, seen);
        seen.preflight = None;
    });
    assert_eq!(found, []);
}

#[test]
fn clocks_are_apart_only_by_what_is_sure() {
    let bed = Bed::new("");
    // An answer that took ten seconds proves nothing of five.
    let slow = bed.on_cp2(|seen, _| {
        seen.system.clock += 5;
        seen.asked = Some((1_000_000, 1_010_000));
    });
    assert_eq!(slow, []);
    // All hosts agree: the controller's clock is another.
    let found = bed.found(|_, seen| seen.system.clock += 3_600);
    assert_eq!(found.len(), 1);
    assert!(
        found[0].message.contains("ahead of this machine's"),
        "{found:?}"
    );
    // Members are told of it, and stop nothing.
    let found = bed.found(|name, seen| {
        seen.preflight = None;
        seen.system.clock -= if name == "cp3" { 990 } else { 0 };
    });
    let all: Vec<_> = found.iter().map(|f| (f.host.as_str(), f.level)).collect();
    assert_eq!(all, [("cp3", Level::Warning)]);
    assert!(found[0].message.contains("16 min"), "{found:?}");
    // A host that is to join a cluster of another time is the one that is named.
    let found = bed.found(|name, seen| {
        if name == "w1" {
            return;
        }
        seen.preflight = None;
        seen.system.clock += 1_000;
    });
    let all: Vec<_> = found.iter().map(|f| (f.host.as_str(), f.level)).collect();
    assert_eq!(all, [("w1", Level::Fault)]);
}
