//! What keeps hosts from becoming a cluster: what is asked under dash and busybox, and what is made of the answers.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::os::unix::fs::symlink;
use std::sync::Arc;

use quorate::cluster::preflight::firewall::{self, Kind, Packet};
use quorate::cluster::preflight::{self, Finding, Host, Level, Wish};
use quorate::cluster::spec::ClusterSpec;
use quorate::host::fact::{Disk, Firewall, Listener, Preflight, Questions, Resolved, Rules};
use quorate::host::{Content, Effect, Fact, Facts, Observed, probe};
use quorate::inventory::{Input, Inventory, Variables};
use quorate::plan::{HostPlan, Step};
use quorate::role::{HostRoles, Library, Registered};
use quorate::template::{Binding, host_scope};
use serde_json::json;

use super::role::AllThere;
use super::sandbox::{NONCE, SHELLS, Sandbox};

const UFW: &str = include_str!("../data/preflight/ufw.iptables");
const FIREWALLD_CLOSED: &str = include_str!("../data/preflight/firewalld-closed.json");
const FIREWALLD_OPEN: &str = include_str!("../data/preflight/firewalld-open.json");

fn questions() -> Facts {
    Facts::from([Fact::Preflight(Questions {
        node: true,
        endpoint: Some("api.example".into()),
        in_hosts: false,
        ports: vec![6443, 8443, 10250],
        modules: vec!["overlay".into(), "no_such".into()],
    })])
}

#[test]
fn a_host_is_asked_what_may_keep_it_out() {
    for kind in SHELLS {
        let sandbox = Sandbox::new(kind);
        // 6443 on all addresses of IPv6, 8443 on 127.0.0.1; 10250 is a connection and no listener.
        sandbox.write(
            "/proc/net/tcp",
            "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
             \x20  0: 0100007F:20FB 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4242 1\n\
             \x20  1: 0100007F:280A 0100007F:1234 01 00000000:00000000 00:00000000 00000000     0        0 4243 1\n",
        );
        sandbox.write(
            "/proc/net/tcp6",
            "  sl  local_address                         remote_address                        st\n\
             \x20  0: 00000000000000000000000000000000:192B 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4444 1\n",
        );
        for (pid, fd, target) in [("1", "0", "/dev/null"), ("812", "3", "socket:[4242]")] {
            sandbox.write(&format!("/proc/{pid}/comm"), "nginx: a b\n");
            std::fs::create_dir_all(sandbox.path(&format!("/proc/{pid}/fd"))).unwrap();
            symlink(target, sandbox.path(&format!("/proc/{pid}/fd/{fd}"))).unwrap();
        }
        sandbox.write("/sys/module/overlay/x", "");
        sandbox.write("/etc/ufw/ufw.conf", "# x\nENABLED=yes\n");
        sandbox.write("/proc/self/mounts", "/dev/x / ext4 ro,relatime 0 0\n");
        sandbox.tool("modprobe", "exit 1");
        sandbox.tool(
            "getent",
            "case $2 in api.example) echo '10.0.0.100 STREAM api.example'; echo '10.0.0.100 DGRAM'; echo '10.0.0.9 STREAM' ;; *) exit 2 ;; esac",
        );
        sandbox.tool("df", "echo Filesystem 1024-blocks Used Available Capacity Mounted on; for p do case $p in -*) ;; *) echo /dev/x 1000 400 600 40% / ;; esac; done");
        sandbox.tool("nft", "echo '{\"nftables\": []}'");
        sandbox.tool(
            "iptables-nft-save",
            "printf '%s\\n' '# x' '*nat' ':A B' COMMIT '*filter' ':INPUT DROP [0:0]' COMMIT",
        );
        sandbox.tool("iptables-legacy-save", "exit 1");
        sandbox.tool(
            "systemctl",
            "case $* in show-environment) printf '%s\\n' HTTPS_PROXY=http://u:secret@p:3128 \"NO_PROXY=$'10.0.0.0/8,*.local'\" ;; *containerd*) echo 'Environment=no_proxy=a \"http_proxy=http://p\"' ;; *kubelet*) echo Environment= ;; *) exit 3 ;; esac",
        );
        let before = sandbox.tree();
        let (answer, _) = sandbox.exec(&probe::request(&questions(), NONCE), usize::MAX);
        assert_eq!(sandbox.tree(), before, "{kind:?}");
        let text = String::from_utf8_lossy(&answer);
        assert!(!text.contains("secret"), "{kind:?}: {text}");
        let seen = probe::parse(&questions(), NONCE, &answer).unwrap();
        let seen = seen.preflight.unwrap_or_else(|| panic!("{kind:?}: {text}"));
        let listener = |port, address: &str, process: Option<(u32, &str)>| Listener {
            port,
            address: address.parse().unwrap(),
            process: process.map(|(pid, name)| (pid, name.into())),
        };
        assert_eq!(
            seen.listeners,
            [
                listener(8443, "127.0.0.1", Some((812, "nginx: a b"))),
                listener(6443, "::", None)
            ],
            "{kind:?}"
        );
        assert_eq!(seen.missing_modules, ["no_such"], "{kind:?}");
        let addresses = ["10.0.0.100", "10.0.0.9"].map(|a| a.parse().unwrap());
        assert_eq!(seen.endpoint, Some(Resolved::To(addresses.to_vec())));
        assert!(
            matches!(seen.own_name, Some((_, Resolved::Unknown))),
            "{kind:?}"
        );
        assert_eq!(seen.disks.len(), 7, "{kind:?}");
        let disk = Disk {
            path: "/var".into(),
            mount: "/".into(),
            total: 1000,
            free: 600,
            read_only: true,
        };
        assert!(seen.disks.contains(&disk), "{kind:?}: {:?}", seen.disks);
        assert_eq!(seen.firewall, Some(Firewall::Ufw));
        let rules = [
            Rules::Nft("{\"nftables\": []}\n".into()),
            Rules::Iptables("*filter\n:INPUT DROP [0:0]\nCOMMIT\n".into()),
        ];
        assert_eq!(seen.rules, rules, "{kind:?}");
        let proxied: Vec<&str> = seen.proxied.iter().map(String::as_str).collect();
        assert_eq!(proxied, ["containerd", "systemd"], "{kind:?}");
        assert_eq!(seen.no_proxy["systemd"], "10.0.0.0/8,*.local");
        assert_eq!(seen.no_proxy["containerd"], "a", "{kind:?}");
    }
}

/// A resolver that does not answer takes its two seconds: /etc/hosts comes before it, where the name will be written there.
#[test]
fn a_name_that_will_be_in_etc_hosts_is_looked_for_there_alone() {
    for kind in SHELLS {
        let sandbox = Sandbox::new(kind);
        sandbox.tool("getent", "exit 0");
        let facts = Facts::from([Fact::Preflight(Questions {
            node: true,
            endpoint: Some("api.example".into()),
            in_hosts: true,
            ports: Vec::new(),
            modules: Vec::new(),
        })]);
        let endpoint = || sandbox.probe(&facts).preflight.unwrap().endpoint;
        assert_eq!(endpoint(), Some(Resolved::Unknown), "{kind:?}");
        sandbox.write(
            "/etc/hosts",
            "10.0.0.8 x api.example.org # api.example\n10.0.0.9 x api.example # y\n",
        );
        let to = Resolved::To(vec![address("10.0.0.9")]);
        assert_eq!(endpoint(), Some(to), "{kind:?}");
    }
}

/// A converged host pays for nothing of this.
#[test]
fn a_member_is_not_asked() {
    for kind in SHELLS {
        for trace in [
            "/etc/kubernetes/kubelet.conf",
            "/etc/kubernetes/bootstrap-kubelet.conf",
            "/var/lib/quorate/kubeadm",
        ] {
            let sandbox = Sandbox::new(kind);
            sandbox.write(trace, "x\n");
            assert_eq!(
                sandbox.probe(&questions()).preflight,
                None,
                "{kind:?} {trace}"
            );
        }
        let sandbox = Sandbox::new(kind);
        let balancer = Facts::from([Fact::Preflight(Questions {
            node: false,
            endpoint: None,
            in_hosts: false,
            ports: vec![8443],
            modules: Vec::new(),
        })]);
        sandbox.write("/etc/kubernetes/kubelet.conf", "x\n");
        assert!(sandbox.probe(&balancer).preflight.is_some(), "{kind:?}");
        sandbox.write("/etc/keepalived/check_apiserver.sh", "x\n");
        assert_eq!(sandbox.probe(&balancer).preflight, None, "{kind:?}");
    }
}

const HOSTS: &str = "\
kube_control_plane:
  hosts:
    cp1: {ansible_host: 10.77.0.11}
    cp2: {ansible_host: 10.77.0.12}
    cp3: {ansible_host: 10.77.0.13}
kube_node:
  hosts:
    w1: {ansible_host: 10.77.0.21}
";

fn spec(more: &str) -> ClusterSpec {
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

fn address(text: &str) -> IpAddr {
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
struct Bed {
    spec: ClusterSpec,
    wish: Wish,
    plan: HostPlan,
    ours: Vec<&'static str>,
}

impl Bed {
    fn new(more: &str) -> Self {
        Self {
            spec: spec(more),
            wish: wish(),
            plan: HostPlan::default(),
            ours: vec!["cp1", "cp2", "cp3", "w1"],
        }
    }

    fn found(&self, change: impl Fn(&str, &mut Observed)) -> Vec<Finding> {
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

fn packet(from: &str, kind: Kind) -> Packet {
    Packet {
        source: address(from),
        destination: match kind {
            Kind::Vrrp => address("224.0.0.18"),
            Kind::Tcp(_) => address("10.77.0.11"),
        },
        interface: "eth0".into(),
        kind,
    }
}

fn drops(rules: &Rules, from: &str, kind: Kind) -> bool {
    firewall::drops(rules, &packet(from, kind)).unwrap()
}

/// The rules are those of real programs: tests/data/preflight/README.md.
#[test]
fn rules_of_real_firewalls_are_read() {
    let ufw = Rules::Iptables(UFW.into());
    let closed = Rules::Nft(FIREWALLD_CLOSED.into());
    let open = Rules::Nft(FIREWALLD_OPEN.into());
    let cases = [
        (&ufw, "10.77.0.12", Kind::Tcp(6443), false),
        (&ufw, "10.77.0.13", Kind::Tcp(6443), true),
        (&ufw, "10.77.0.13", Kind::Tcp(22), false),
        (&ufw, "10.77.0.13", Kind::Tcp(2380), false),
        (&ufw, "10.77.0.13", Kind::Tcp(10250), false),
        (&ufw, "10.77.0.13", Kind::Tcp(8443), true),
        (&ufw, "10.77.0.12", Kind::Vrrp, false),
        (&ufw, "10.77.0.13", Kind::Vrrp, true),
        (&closed, "10.77.0.12", Kind::Tcp(22), false),
        (&closed, "10.77.0.12", Kind::Tcp(6443), true),
        (&closed, "10.77.0.12", Kind::Vrrp, true),
        (&open, "10.77.0.12", Kind::Tcp(6443), false),
        (&open, "10.77.0.12", Kind::Tcp(2380), false),
        (&open, "10.77.0.99", Kind::Tcp(6443), true),
        (&open, "10.77.0.99", Kind::Tcp(8443), false),
        (&open, "10.77.0.12", Kind::Vrrp, false),
        (&open, "10.77.0.99", Kind::Vrrp, true),
    ];
    for (rules, from, kind, shut) in cases {
        assert_eq!(drops(rules, from, kind), shut, "{from} {kind:?}");
    }
}

fn iptables(policy: &str, rules: &str) -> Rules {
    Rules::Iptables(format!(
        "*filter\n:INPUT {policy} [0:0]\n:x - [0:0]\n{rules}\nCOMMIT\n"
    ))
}

#[test]
fn what_cannot_be_told_counts_as_open() {
    let iptables = |rules: &str| iptables("DROP", rules);
    let cases = [
        ("", true),
        (
            "-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
            true,
        ),
        (
            "-A INPUT -m conntrack --ctstate NEW,ESTABLISHED -j ACCEPT",
            false,
        ),
        ("-A INPUT -i lo -j ACCEPT", true),
        ("-A INPUT ! -i lo -j ACCEPT", false),
        (
            "-A INPUT -i eth+ -p tcp -m tcp --dport 6443 -j ACCEPT",
            false,
        ),
        ("-A INPUT -p udp -m udp --dport 6443 -j ACCEPT", true),
        (
            "-A INPUT -p tcp -m multiport --dports 22,6000:7000 -j ACCEPT",
            false,
        ),
        (
            "-A INPUT -p tcp -m multiport ! --dports 22,80 -j ACCEPT",
            false,
        ),
        (
            "-A INPUT -s 10.77.0.0/24 -j x\n-A x -p tcp -m tcp --dport 6443 -j ACCEPT",
            false,
        ),
        (
            "-A INPUT -s 10.77.0.0/24 -j x\n-A x -p tcp -m tcp --dport 6443 -j RETURN",
            true,
        ),
        ("-A INPUT -g x\n-A INPUT -j ACCEPT", true),
        ("-A INPUT -m set --match-set peers src -j ACCEPT", false),
        (
            "-A INPUT -m comment --comment \"-j ACCEPT \\\" x\" -j DROP",
            true,
        ),
        ("-A INPUT -j UNHEARD_OF", false),
        ("-A INPUT -j x\n-A x -j x", false),
    ];
    for (rules, shut) in cases {
        let rules_read = iptables(rules);
        assert_eq!(
            drops(&rules_read, "10.77.0.12", Kind::Tcp(6443)),
            shut,
            "{rules}"
        );
    }
    let nft = |expr: serde_json::Value| {
        let chain = json!({"family": "inet", "table": "f", "name": "i", "type": "filter", "hook": "input", "prio": 0, "policy": "drop"});
        let rule = json!({"family": "inet", "table": "f", "chain": "i", "expr": expr});
        Rules::Nft(json!({"nftables": [{"chain": chain}, {"rule": rule}]}).to_string())
    };
    let dport = json!({"payload": {"protocol": "tcp", "field": "dport"}});
    let accept = json!({"accept": null});
    let cases = [
        (json!([]), true),
        (
            json!([{"match": {"op": "==", "left": dport, "right": "@ports"}}, accept]),
            false,
        ),
        (
            json!([{"match": {"op": "!=", "left": dport, "right": {"set": [22, {"range": [6000, 7000]}]}}}, accept]),
            true,
        ),
        (
            json!([{"vmap": {"key": {"meta": {"key": "iifname"}}, "data": {"set": [["lo", accept], ["eth0", {"drop": null}]]}}}]),
            true,
        ),
        (
            json!([{"vmap": {"key": {"meta": {"key": "iifname"}}, "data": {"set": [["lo", {"drop": null}], ["eth*", accept]]}}}]),
            false,
        ),
        (
            json!([{"limit": {"rate": 1, "per": "second"}}, accept]),
            false,
        ),
        (
            json!([{"xt": {"type": "match", "name": "conntrack"}}, accept]),
            false,
        ),
        (
            json!([{"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": ["established", "related"]}}, accept]),
            true,
        ),
    ];
    for (expr, shut) in cases {
        let text = expr.to_string();
        assert_eq!(
            drops(&nft(expr), "10.77.0.12", Kind::Tcp(6443)),
            shut,
            "{text}"
        );
    }
    assert_eq!(
        firewall::drops(&Rules::Nft("{".into()), &packet("10.77.0.12", Kind::Vrrp)),
        None
    );
    assert_eq!(
        firewall::drops(&Rules::TooLong, &packet("10.77.0.12", Kind::Vrrp)),
        None
    );
}

#[test]
fn a_closed_firewall_is_told_with_what_opens_it() {
    let bed = Bed::new("");
    let with = |bed: &Bed, manager: Option<Firewall>, rules: Rules| {
        bed.found(|name, seen| {
            if name == "cp1" {
                let preflight = seen.preflight.as_mut().unwrap();
                preflight.firewall = manager;
                preflight.rules = vec![rules.clone()];
            }
        })
    };
    let firewalld = with(
        &bed,
        Some(Firewall::Firewalld),
        Rules::Nft(FIREWALLD_CLOSED.into()),
    );
    assert_eq!(firewalld.len(), 1);
    assert_eq!(firewalld[0].level, Level::Fault);
    insta::assert_snapshot!(
        "firewalld_closed",
        format!("{}\n{}", firewalld[0].text(), firewalld[0].cure)
    );
    let ufw = with(&bed, Some(Firewall::Ufw), Rules::Iptables(UFW.into()));
    insta::assert_snapshot!("ufw_closed", format!("{}\n{}", ufw[0].text(), ufw[0].cure));
    let plain = Rules::Iptables(
        "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -p tcp --dport 10250 -j REJECT\nCOMMIT\n".into(),
    );
    let found = with(&bed, None, plain);
    assert_eq!(
        found[0].level,
        Level::Warning,
        "a cluster comes up without its logs"
    );
    insta::assert_snapshot!(
        "rules_closed",
        format!("{}\n{}", found[0].text(), found[0].cure)
    );
    let answer = "it is multicast alone that is closed";
    for (rules, is_it) in [
        ("-A INPUT -d 224.0.0.0/4 -j DROP", true),
        ("-A INPUT -p 112 -j DROP", false),
        (
            "-A INPUT -d 224.0.0.0/4 -j DROP\n-A INPUT -s 10.77.0.13 -j DROP",
            false,
        ),
    ] {
        let found = with(&bed, None, iptables("ACCEPT", rules));
        assert!(found[0].text().contains("VRRP"), "{rules}");
        assert_eq!(found[0].cure.contains(answer), is_it, "{rules}");
        let unicast = Bed::new("vrrp_unicast: true\n");
        let found = with(&unicast, None, iptables("ACCEPT", rules));
        assert_eq!(found.is_empty(), is_it, "{rules}");
        assert!(!found.iter().any(|f| f.cure.contains(answer)), "{rules}");
    }
    let unread = with(&bed, None, Rules::TooLong);
    assert_eq!((unread.len(), unread[0].level), (1, Level::Warning));
    // It will be opened.
    let mut bed = Bed::new("prepare_firewall: true\n");
    bed.wish.prepare_firewall = true;
    assert_eq!(
        with(&bed, Some(Firewall::Ufw), Rules::Iptables(UFW.into())),
        []
    );
    assert_eq!(
        with(&bed, None, Rules::Iptables(UFW.into())).len(),
        1,
        "whose rules these are is not known"
    );
}

#[test]
fn openings_are_for_the_clusters_hosts() {
    let spec = spec("prepare_firewall: true\n");
    let of = |name: &str| {
        let openings = firewall::openings(&spec, &spec.hosts[name]);
        openings
            .iter()
            .map(|o| {
                format!(
                    "{} {}{}\n",
                    if o.from.is_empty() { "all" } else { &o.from },
                    o.tcp.join(","),
                    if o.vrrp { " vrrp" } else { "" }
                )
            })
            .collect::<String>()
    };
    insta::assert_snapshot!("openings", format!("cp1\n{}w1\n{}", of("cp1"), of("w1")));
}

#[test]
fn the_role_opens_the_firewall_that_runs() {
    let all = "kubernetes_version: \"1.36.3\"\nkubernetes_source: present\napiserver_vip: 10.77.0.100\nprepare_firewall: true\nfirewall_extra_ports: [8472/udp]\n";
    let input = Input::from_text("hosts.yml", HOSTS).with_group_vars("all", "all.yml", all);
    let (inventory, _) = Inventory::build(&input);
    let used = BTreeSet::from(["firewall_extra_ports".to_string()]);
    let spec = ClusterSpec::build(&inventory, &used).0.unwrap();
    let (library, found) = Library::builtin();
    assert!(!found.has_errors(), "{found:#?}");
    let scopes = spec.scopes(&inventory);
    let mut all = String::new();
    for (host, firewalld, ufw) in [
        ("cp1", true, false),
        ("w1", false, true),
        ("w1", false, false),
    ] {
        let mut scope = host_scope(&inventory.hosts[host], &Variables::default(), &scopes);
        for (name, is) in [("has_firewalld", firewalld), ("has_ufw", ufw)] {
            scope.set(name, Binding::fixed(is.into()));
        }
        let roles = HostRoles::new(vec![library.get("firewall").unwrap()], Arc::new(AllThere));
        let facts = roles.facts(&scope).unwrap();
        let seen = probe::parse(&facts, "n", b"n system systemd\nn end\n").unwrap();
        let plan = roles.plan(&scope, &seen, &Registered::default()).unwrap();
        for step in &plan.steps {
            for change in &step.changes {
                let Effect::WriteFile(file) = &change.effect else {
                    panic!("{change:?}")
                };
                let Content::Inline(bytes) = &file.content else {
                    panic!("{} is no text", file.path)
                };
                let text = String::from_utf8_lossy(bytes);
                all.push_str(&format!("{host} {} {}\n{text}\n", file.path, file.mode));
            }
        }
        assert_eq!(plan.steps.is_empty(), !firewalld && !ufw);
        assert_eq!(plan.handlers.is_empty(), !firewalld && !ufw);
    }
    insta::assert_snapshot!("role_firewall", all);
}
