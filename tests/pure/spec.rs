//! The typed cluster: what is derived, what is refused and where.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::IpAddr;

use quorate::cluster::spec::{ClusterSpec, Profile, Way};
use quorate::inventory::{Input, Inventory, Level, Variable, Variables};
use quorate::model::Diagnostics;
use quorate::template::host_scope;

const HOSTS: &str = "\
kube_control_plane:
  hosts:
    cp1: {ansible_host: 10.0.0.11}
    cp2: {ansible_host: 10.0.0.12}
    cp3: {ansible_host: 10.0.0.13}
kube_node:
  hosts:
    w1: {ansible_host: 10.0.0.21}
";
const ALL: &str = "kubernetes_version: \"1.36.3\"\napiserver_vip: 10.0.0.10\n";

fn build(hosts: &str, all: &str) -> (Option<ClusterSpec>, Diagnostics) {
    let input = Input::from_text("hosts.yml", hosts).with_group_vars("all", "all.yml", all);
    let (inventory, mut diagnostics) = Inventory::build(&input);
    let (spec, found) = ClusterSpec::build(&inventory, &BTreeSet::new());
    diagnostics.extend(found);
    (spec, diagnostics)
}

fn sound(hosts: &str, all: &str) -> ClusterSpec {
    let (spec, diagnostics) = build(hosts, all);
    assert!(!diagnostics.has_errors(), "{diagnostics:#?}");
    spec.unwrap()
}

#[test]
fn defaults_are_those_of_the_contract() {
    let (spec, diagnostics) = build(HOSTS, ALL);
    assert_eq!(diagnostics, Diagnostics::default());
    let spec = spec.unwrap();
    assert_eq!(spec.endpoint.to_string(), "10.0.0.10:8443");
    assert_eq!(
        (spec.load_balancer.way, spec.load_balancer.profile),
        (Way::KeepalivedHaproxy, Profile::Fast)
    );
    let vars = spec.variables(&spec.hosts["cp2"]);
    insta::assert_snapshot!(serde_json::to_string_pretty(&vars).unwrap());
}

#[test]
fn what_a_host_carries_is_held_against_what_is_said_of_it() {
    let carried = |text: &str| -> Vec<(String, IpAddr, u8)> {
        let parts = text.split_whitespace().map(|part| {
            let (name, address) = part.split_once('=').unwrap();
            let (address, prefix) = address.split_once('/').unwrap();
            (
                name.into(),
                address.parse().unwrap(),
                prefix.parse().unwrap(),
            )
        });
        parts.collect()
    };
    let found = |all: &str, on_host: &str| {
        let spec = sound(HOSTS, &format!("{ALL}{all}"));
        let down: Vec<String> = on_host
            .split_whitespace()
            .filter_map(|part| Some(part.strip_suffix('!')?.split('=').next()?.into()))
            .collect();
        let found = spec.check_address(
            &spec.hosts["cp1"],
            &carried(&on_host.replace('!', "")),
            &down,
        );
        found.map(|d| d.to_string()).unwrap_or_default()
    };
    assert_eq!(found("", "lo=127.0.0.1/8 eth0=10.0.0.11/24"), "");
    // The virtual address itself makes no network.
    assert_eq!(found("", "eth0=10.0.0.11/24 eth0=10.0.0.10/32"), "");
    assert_eq!(
        found("", "lo=127.0.0.1/8 eth1=192.168.1.5/24"),
        "hosts.yml:3:25: `cp1` does not carry 10.0.0.11, its `ansible_host` (set `ip: 192.168.1.5` for it)"
    );
    assert_eq!(
        found("interface: eth1\n", "lo=127.0.0.1/8 eth0=10.0.0.11/24"),
        "`cp1` has no interface `eth1` with an address (its interfaces with an address are eth0, lo)"
    );
    assert_eq!(
        found("interface: eth1\n", "eth0=10.0.0.11/24 eth1=192.168.1.5/24"),
        "`apiserver_vip` 10.0.0.10 lies in no network of eth1 on `cp1` (192.168.1.0/24): no neighbour would ask for it there (choose an address of that network, or set `interface` to the one whose network it is in)"
    );
    assert_eq!(
        found("interface: eth1\n", "eth0=10.0.0.11/24 eth1=10.0.0.111/24!"),
        "eth1 on `cp1`, which `apiserver_vip` 10.0.0.10 is to be on, is down (bring it up with `ip link set eth1 up`, or set `interface` to another one)"
    );
    assert_eq!(found("", "eth0=10.0.0.11/24 eth1=10.0.0.111/24!"), "");
    let host_route = found("", "eth0=10.0.0.11/32 eth0=10.0.0.10/32");
    assert!(host_route.contains("10.0.0.11/32"), "{host_route}");
    // A network's own address and its broadcast are nobody's.
    let special = |vip: &str, on_host: &str| {
        let spec = sound(HOSTS, &ALL.replace("10.0.0.10", vip));
        let found = spec.check_address(&spec.hosts["cp1"], &carried(on_host), &[]);
        found.map(|d| d.to_string()).unwrap_or_default()
    };
    for (vip, on_host, is_wrong) in [
        ("10.0.0.255", "eth0=10.0.0.11/24", true),
        ("10.0.0.0", "eth0=10.0.0.11/24", true),
        ("10.0.0.254", "eth0=10.0.0.11/24", false),
        ("10.0.0.255", "eth0=10.0.0.11/16", false),
        ("10.0.0.10", "eth0=10.0.0.11/31", false),
    ] {
        let found = special(vip, on_host);
        assert_eq!(
            found.contains("no host's address in"),
            is_wrong,
            "{vip}: {found}"
        );
    }
}

/// Two backups of one priority both take the address: what is derived goes around what is set.
#[test]
fn a_derived_priority_is_none_that_is_set() {
    for (set, priorities, weight) in [
        ("_ 100 _", "200 100 99", -102),
        ("100 _ _", "100 150 99", -52),
        ("_ 100 101", "200 100 101", -101),
        ("_ 200 _", "199 200 100", -101),
        ("_ _ 150", "200 149 150", -52),
        ("_ _ 200 199", "198 167 200 199", -34),
    ] {
        let mut hosts = String::from("kube_control_plane:\n  hosts:\n");
        for (n, priority) in set.split(' ').enumerate() {
            let priority = if priority == "_" {
                String::new()
            } else {
                format!(", priority: {priority}")
            };
            hosts += &format!("    cp{n}: {{ip: 10.0.0.{}{priority}}}\n", n + 1);
        }
        let (spec, _) = build(&hosts, ALL);
        let spec = spec.unwrap();
        let found: Vec<_> = spec
            .load_balancers()
            .map(|h| h.priority.unwrap().to_string())
            .collect();
        assert_eq!(found.join(" "), priorities, "{set}");
        assert_eq!(spec.load_balancer.vrrp.unwrap().weight, weight, "{set}");
    }
}

#[test]
fn vrrp_is_derived() {
    let table = [
        ("fast", 1, "200", -1),
        ("fast", 2, "200 100", -101),
        ("fast", 3, "200 150 100", -101),
        ("fast", 4, "200 167 134 100", -101),
        ("fast", 5, "200 175 150 125 100", -101),
        ("fast", 7, "200 184 167 150 134 117 100", -101),
        ("seed", 1, "101", -2),
        ("seed", 3, "101 100 100", -2),
    ];
    for (profile, count, priorities, weight) in table {
        let hosts = format!(
            "kube_control_plane:\n  hosts:\n    cp[1:{count}]: {{ip: '10.0.0.1{{{{ inventory_hostname[2] }}}}'}}\n"
        );
        let spec = sound(&hosts, &format!("{ALL}load_balancer_profile: {profile}\n"));
        let found: Vec<_> = spec
            .load_balancers()
            .map(|h| h.priority.unwrap().to_string())
            .collect();
        assert_eq!(found.join(" "), priorities, "{profile} {count}");
        let states: Vec<_> = spec
            .load_balancers()
            .map(|h| h.state.unwrap().to_string())
            .collect();
        assert!(states[0] == "MASTER" && states[1..].iter().all(|s| s == "BACKUP"));
        let vrrp = spec.load_balancer.vrrp.unwrap();
        assert_eq!(vrrp.weight, weight);
        assert_eq!(vrrp.auth_pass.is_some(), profile == "seed");
    }
    // The numbers of an address never change: a cluster would lose its VIP over an update of quorate.
    let spec = sound(HOSTS, &format!("{ALL}load_balancer_profile: seed\n"));
    let vrrp = spec.load_balancer.vrrp.unwrap();
    assert_eq!(
        (vrrp.router_id, vrrp.auth_pass.unwrap().expose().as_str()),
        (42, "8myi4mpj")
    );
}

#[test]
fn router_ids_spread_and_are_never_everybodys() {
    let mut ids = BTreeSet::new();
    for i in 0..=255_u8 {
        for j in 0..8_u8 {
            let hosts = "kube_control_plane: {hosts: {cp1: {ip: 172.16.0.1}}}\n";
            let spec = sound(
                hosts,
                &format!("kubernetes_version: 1.36.3\napiserver_vip: 10.0.{j}.{i}\n"),
            );
            ids.insert(spec.load_balancer.vrrp.unwrap().router_id);
        }
    }
    assert!(!ids.contains(&51) && !ids.contains(&0));
    assert!(ids.len() > 240, "{}", ids.len());
}

#[test]
fn other_variables_can_use_defaults() {
    let all = format!(
        "{ALL}cluster_name: \"c-{{{{ apiserver_dest_port }}}}\"\nno_proxy: [\"{{{{ hostvars['cp1'].ip }}}}\"]\nhttp_proxy: http://proxy:3128\n"
    );
    let spec = sound(HOSTS, &all);
    assert_eq!(spec.name, "c-8443");
    assert_eq!(
        spec.proxies.no_proxy.join(","),
        "10.0.0.11,localhost,127.0.0.1,.svc,.cluster.local,10.0.0.10,10.244.0.0/16,10.96.0.0/12,10.0.0.12,10.0.0.13,10.0.0.21"
    );
}

#[test]
fn roles_render_over_the_cluster() {
    let input = Input::from_text("hosts.yml", HOSTS).with_group_vars(
        "all",
        "all.yml",
        format!("{ALL}url: \"https://{{{{ control_plane_endpoint }}}}\"\n"),
    );
    let (inventory, _) = Inventory::build(&input);
    let (spec, _) = ClusterSpec::build(&inventory, &BTreeSet::from(["url".to_owned()]));
    let hosts = spec.unwrap().scopes(&inventory);
    let scope = hosts.get("cp2").unwrap().clone().with_hosts(hosts.clone());
    let text = "{{ url }} {{ hostvars['w1'].ip }} {% for b in load_balancer_backends %}{{ b.name }} {% endfor %}{{ groups['kube_node'] | join(sep=' ') }}";
    assert_eq!(
        scope.render_text(text, None).unwrap(),
        "https://10.0.0.10:8443 10.0.0.21 cp1 cp2 cp3 w1"
    );
    let defaults = Variables::from_iter(["apiserver_dest_port", "mine"].map(|name| {
        let variable = Variable::computed("{{ 1 + 1 }}".into(), Level::RoleDefaults, "defaults");
        (name.to_owned(), variable)
    }));
    let over = host_scope(&inventory.hosts["cp2"], &defaults, &hosts);
    assert_eq!(
        over.render_text("{{ apiserver_dest_port }} {{ mine }}", None)
            .unwrap(),
        "8443 2"
    );
    let missing = scope.render_text("{{ interface }}", None).unwrap_err();
    assert_eq!(missing.message, "the variable `interface` is not defined");
}

#[test]
fn external_needs_its_endpoint_alone() {
    let spec = sound(
        HOSTS,
        "kubernetes_version: \"1.36.3\"\nload_balancer: external\ncontrol_plane_endpoint: api.example.org:443\n",
    );
    assert_eq!(spec.load_balancer.vip, None);
    assert!(spec.load_balancer.vrrp.is_none());
    assert_eq!(spec.load_balancer.dest_port, 443);
    assert!(spec.hosts.values().all(|h| h.priority.is_none()));
}

#[test]
fn dedicated_load_balancers_take_the_place_of_control_planes() {
    let hosts = format!(
        "{HOSTS}load_balancer: {{hosts: {{lb1: {{ip: 10.0.0.31}}, lb2: {{ip: 10.0.0.32}}}}}}\n"
    );
    let spec = sound(
        &hosts,
        &format!("{ALL}apiserver_dest_port: 6443\nvrrp_unicast: true\n"),
    );
    let names: Vec<_> = spec.load_balancers().map(|h| h.name.as_str()).collect();
    assert_eq!(names, ["lb1", "lb2"]);
    assert_eq!(
        spec.variables(&spec.hosts["lb1"])["vrrp_peers"],
        serde_json::json!(["10.0.0.32"])
    );
    assert_eq!(
        spec.workers().map(|h| h.name.as_str()).collect::<Vec<_>>(),
        ["w1"]
    );
}

#[test]
fn secrets_are_not_shown() {
    let all = format!(
        "{ALL}load_balancer_profile: seed\nauth_pass: s3cr3tpw\nansible_become_password: hunter2\n"
    );
    let spec = sound(HOSTS, &all);
    let shown = format!("{spec:?}");
    assert!(!shown.contains("s3cr3tpw") && !shown.contains("hunter2"));
    let (_, diagnostics) = build(
        HOSTS,
        &format!(
            "{ALL}auth_pass: 123456789\nansible_become_password: 4711\nbgp_peers: [\"x:1:geheim\"]\n"
        ),
    );
    let shown = format!("{diagnostics:?}");
    assert!(
        !shown.contains("123456789") && !shown.contains("4711") && !shown.contains("geheim"),
        "{shown}"
    );
}

#[test]
fn every_mistake_is_told_at_once() {
    let (spec, diagnostics) = build(
        "kube_control_plane: {hosts: {cp1: {ip: 10.0.0.10}, cp2: {ip: 10.0.0.10}}}\n",
        "kubernetes_version: 1.30\napiserver_vip: 10.0.0.10\napiserver_dest_port: 99999\nload_balancer: keepalived\nfoo: 1\nvrrp_unicats: true\nignore_preflight_errors: [all]\n",
    );
    assert!(spec.is_none());
    insta::assert_snapshot!(
        diagnostics
            .iter()
            .map(|d| format!("{d}\n"))
            .collect::<String>()
    );
}

/// What a line of group_vars/all.yml, added to a sound inventory, leads to. `name: value` in place of a line that is
/// there already replaces it.
#[test]
fn findings_about_variables() {
    let lines = [
        "kubernetes_version: 1.30",
        "kubernetes_version: \"1.36\"",
        "kubernetes_version: v1.36.3",
        "kubernetes_version: 1.30.4",
        "kubernetes_version: [1]",
        "kubernetes_version:",
        "apiserver_vip:",
        "apiserver_vip: 10.0.0.11",
        "apiserver_vip: 10.0.0.10/24",
        "apiserver_vip: api.example.org",
        "apiserver_vip: 127.0.0.1",
        "apiserver_vip: 2001:db8::1",
        "apiserver_vip: 10.244.0.5",
        "apiserver_dest_port: 6443",
        "apiserver_dest_port: yes",
        "apiserver_dest_port: 10250",
        "apiserver_src_port: 70000",
        "control_plane_endpoint: api.example.org",
        "control_plane_endpoint: api.example.org:6443",
        "control_plane_endpoint: 10.0.0.99:8443",
        "load_balancer: kube-vip-arp",
        "load_balancer: keepalived-haproxy-pods",
        "load_balancer: keepalived_haproxy",
        "load_balancer: external",
        "load_balancer_profile: fats",
        "router_id: 256",
        "router_id: 0",
        "auth_pass: waytoolong",
        "auth_pass: ok",
        "priority: 255",
        "priority: 100",
        "weight: -50",
        "weight: 0",
        "load_balancer_profile: seed",
        "load_balancer_profile: seed\nweight: -101",
        "load_balancer_profile: seed\nload_balancer: kube-vip-arp\nweight: -101",
        "load_balancer_profile: seed\npriority: 150",
        "apiserver_src_port: 2379",
        "load_balancer: external\ncontrol_plane_endpoint: api.example.org:443\napiserver_src_port: 10250",
        "load_balancer: external\ncontrol_plane_endpoint: localhost:6443",
        "load_balancer: external\ncontrol_plane_endpoint: api.localhost:6443",
        "load_balancer: external\ncontrol_plane_endpoint: 127.0.0.1:6443",
        "load_balancer: external\ncontrol_plane_endpoint: 0.0.0.0:6443",
        "load_balancer: external\ncontrol_plane_endpoint: '[::1]:6443'",
        "load_balancer: external\ncontrol_plane_endpoint: 192.0.2.1:6443",
        "control_plane_endpoint: localhost:8443",
        "kube_vip_image: ghcr.io/kube-vip/kube-vip:v1.0.0",
        "kube_vip_image: registry.example:5000/kube-vip",
        "kube_vip_image: registry.example:5000/kube-vip:v1.0.4@sha256:0a",
        "kube_vip_image: kube-vip@sha256:0a",
        "state: MASTER",
        "state: master",
        "pod_subnet: 10.0.0.0/16",
        "pod_subnet: 10.96.0.0/16",
        "pod_subnet: 10.244.1.0/16",
        "pod_subnet: 10.244.0.0",
        "pod_subnet: 10.244.0.0/16,fd00::/48",
        "pod_subnet: fd00::/48",
        "pod_subnet: 10.244.0.0/26",
        "service_subnet: 10.96.0.0/30",
        "kubernetes_source: file",
        "kubernetes_source: files",
        "containerd_version: \"1.6.20\"",
        "containerd_version: 2.0",
        "image_repository: https://registry.example.org",
        "cluster_name: 007",
        "cluster_name: \"a b\"",
        "kubeadm: [1]",
        "kubeadm: {ClusterConfig: {}}",
        "kubeadm: {ClusterConfiguration: {controlPlaneEndpoint: x, kubernetesVersion: y}}",
        "kubeadm: {ClusterConfiguration: {apiServer: {extraArgs: {v: '4'}}}}",
        "kubeadm: {InitConfiguration: {nodeRegistration: {ignorePreflightErrors: [Port-6443, NumCPU]}}}",
        "kubeadm: {ClusterConfiguration: {apiVersion: kubeadm.k8s.io/v1beta3}}",
        "ignore_preflight_errors: [NumCPU, Port-6443]",
        "ignore_preflight_errors: ALL",
        "ignore_preflight_errors: {a: b}",
        "node_labels: {disk: ssd, zone: yes, -x: 1}",
        "node_labels: [a]",
        "node_labels: {app: 'a b'}",
        "node_taints: ['dedicated=db:NoScheduel']",
        "node_taints: dedicated",
        "node_taints: [{key: a, efect: NoSchedule}]",
        "interface: averyverylonginterface",
        "cni_manifest: [1]",
        "kube_vip_lease: 3/5/1",
        "bgp_peers: [10.0.0.1]",
        "load_balancer: kube-vip-arp\nkube_vip_lease: 5/5/1",
        "load_balancer: kube-vip-arp\nkube_vip_lease: 5/3",
        "load_balancer: kube-vip-arp\nkube_vip_version: v0.4.0",
        "load_balancer: kube-vip-arp\nkube_vip_version: latest",
        "load_balancer: kube-vip-arp\nkube_vip_version: v1.9.0",
        "load_balancer: kube-vip-arp\nkube_vip_version: v1.2.3-iptables",
        "load_balancer: kube-vip-arp\napiserver_dest_port: 8443",
        "load_balancer: kube-vip-arp\ncontrol_plane_endpoint: api.example.org:8443",
        "load_balancer: kube-vip-bgp",
        "load_balancer: kube-vip-bgp\nbgp_peers: []",
        "load_balancer: kube-vip-bgp\nbgp_peers: ['10.0.0.1:65001::false', '10.0.0.1:65002']",
        "load_balancer: kube-vip-bgp\nbgp_peers: ['10.0.0.11:65001']",
        "load_balancer: kube-vip-bgp\nbgp_peers: ['10.0.0.10:65001']",
        "load_balancer: kube-vip-bgp\nbgp_peers: ['10.0.0.1:0']",
        "load_balancer: kube-vip-bgp\nbgp_peers: ['10.0.0.1:geheim:65001:false']",
        "load_balancer: kube-vip-bgp\nbgp_peers: ['geheim:65001']",
        "load_balancer: kube-vip-bgp\nbgp_peers: ['224.0.0.5:65001']",
        "load_balancer: kube-vip-bgp\nbgp_peers: ['10.0.0.1:65001::false:179:x']",
        "load_balancer: kube-vip-bgp\nbgp_peers: ['10.0.0.1:65001::true:179::true;300000;300000;3']",
        "load_balancer: kube-vip-bgp\nbgp_peers: ['10.0.0.1:65001::false:179::true;300000;300000;300']",
        "load_balancer: kube-vip-arp\nkube_vip_lease: 15/10/2x/1",
        "load_balancer: kube-vip-arp\nkube_vip_lease: 5/3/1/x",
        "interface: \"$(reboot)\"",
        "interface: \"a;b\"",
        "kube_vip_image: \"a: b\"",
        "haproxy_image: \"a b\"",
        "kube_vip_version: \"v1.2.3-\\n  x: y\"",
        "load_balancer: external\ncontrol_plane_endpoint: 10.0.0.11:6443",
        "load_balancer: kube-vip-bgp\nbgp_peers: ['10.0.0.1:4294967296']",
        "load_balancer: kube-vip-bgp\nbgp_peers: ['10.0.0.1:65001:pass:word']",
        "load_balancer: kube-vip-bgp\nbgp_peers: ['10.0.0.1:65001::false:1790']",
        "load_balancer: kube-vip-bgp\nbgp_peers: ['10.0.0.1:65001::false:179::true;300;300;3']",
        "load_balancer: kube-vip-bgp\nbgp_peers: ['10.0.0.1:65001::false:179::true;300000;300000']",
        "load_balancer: kube-vip-bgp\nbgp_peers: ['10.0.0.1:65001::false']\nbgp_local_as: 0",
        "load_balancer: kube-vip-bgp\nbgp_peers: ['10.0.0.1:65001::false']\nbgp_hold_time: 2",
        "load_balancer: kube-vip-bgp\nbgp_peers: ['10.0.0.1:65001::false']\nbgp_keepalive_interval: 2",
        "load_balancer: kube-vip-bgp\nbgp_peers: ['10.0.0.1:65001::false']\nbgp_router_id: 10.0.0.99",
        "load_balancer: kube-vip-bgp\nbgp_peers: ['10.0.0.1:65001::false']\nbgp_bfd: true\nkube_vip_version: v1.2.1",
        "load_balancer: kube-vip-bgp\nbgp_peers: ['10.0.0.1:65001::false']\nkube_vip_version: v1.1.2",
        "load_balancer: kube-vip-bgp\nbgp_peers: ['10.0.0.1:65001::false']\nload_balancer_profile: seed",
        "load_balancer: kube-vip-bgp\nbgp_peers: ['10.0.0.1:65001:a,b:false']\nkube_vip_version: v0.9.2",
        "vrrp_unicast: maybe",
        "strict_variables: true\nsomething_else: 1",
        "something_else: 1",
        "something: '{{ something_else }}'\nsomething_else: 1",
        "apiserver_vpi: 10.0.0.10",
        "node_name: x",
        "groups: x",
        "ansible_connection: local",
        "ansible_become_method: su",
        "ansible_become_user: admin",
        "ansible_ssh_common_args: -o ProxyJump=x -o Tunnel=yes",
        "ansible_python_interpreter: /usr/bin/python3",
        "ansible_host: 10.0.0.50",
        "ansible_port: ssh",
        "ip: 10.0.0.9",
        "cluster_name: '{{ nobody }}'",
        "cluster_name: \"{{ x | default('y') }}\"",
    ];
    let mut report = String::new();
    for line in lines {
        let name = line.split(':').next().unwrap();
        let all: String = ALL
            .lines()
            .filter(|l| !l.starts_with(&format!("{name}:")))
            .map(|l| format!("{l}\n"))
            .collect();
        let (_, diagnostics) = build(HOSTS, &format!("{all}{line}\n"));
        writeln!(report, "{line}").unwrap();
        for d in diagnostics.iter() {
            writeln!(report, "    {:?}: {d}", d.severity).unwrap();
        }
    }
    insta::assert_snapshot!(report);
}

#[test]
fn findings_about_hosts() {
    let texts = [
        "kube_node: {hosts: {w1: {ip: 10.0.0.1}}}\n",
        "kube_control_plane: {hosts: {cp1: {ip: 10.0.0.1}}}\n",
        "kube_control_plane: {hosts: {cp1: {ip: 10.0.0.1}, cp2: {ip: 10.0.0.2}}}\n",
        "kube_control_plane:\n  hosts:\n    cp1: {ip: 10.0.0.1, ansible_host: 127.0.0.1, ansible_port: 2222}\n    cp2: {ip: 10.0.0.2, ansible_host: 127.0.0.1, ansible_port: 2200}\n    cp3: {ip: 10.0.0.3, ansible_host: 127.0.0.1, ansible_port: 2222}\n",
        "kube_control_plane:\n  hosts:\n    cp1: {ansible_host: 127.0.0.1, ansible_port: 2222}\n    cp2: {ansible_host: cp2.example.org}\n    cp3:\n",
        "kube_control_plane:\n  hosts:\n    cp1: {ip: 10.0.0.1, ansible_host: 10.0.0.10}\n    cp2: {ip: 10.0.0.1}\n    CP_3: {ip: 10.0.0.3}\n",
        "kube_control_plane:\n  hosts:\n    cp1: {ip: 10.0.0.1}\n    cp2: {ip: 10.0.0.2}\n    cp3: {ip: 10.0.0.3}\netcd: {hosts: {e1: {ip: 10.0.0.4}, cp1: }}\n",
        "kube-master: {hosts: {cp1: {ip: 10.0.0.1}}}\nworkers: {hosts: {w1: {ip: 10.0.0.2}}}\netdc: {}\nweb: {}\n",
        "kube_control_plane:\n  hosts:\n    cp1: {ip: 10.0.0.1, priority: 200}\n    cp2: {ip: 10.0.0.2, priority: 50}\n    cp3: {ip: 10.0.0.3, priority: 50}\n  vars: {weight: -20}\n",
        "kube_control_plane:\n  hosts:\n    cp1: {ip: 10.0.0.1, cluster_name: a}\n    cp2: {ip: 10.0.0.2, cluster_name: b}\n    cp3: {ip: 10.0.0.3}\n",
        "kube_control_plane:\n  hosts:\n    cp1: {ip: fd00::1}\n    cp2: {ip: 10.0.0.2, ansible_host: 'user@host'}\n    cp3: {ip: x}\n",
        "kube_control_plane:\n  hosts:\n    cp[1:3]: {ip: '10.0.0.1{{ nobody }}'}\n",
        "kube_control_plane: {hosts: {a: {ip: 10.0.0.1}, b: {ip: 10.0.0.2}, c: {ip: 10.0.0.3}}}\nk8s_cluster: {hosts: {d: {ip: 10.0.0.4}}, children: {kube_control_plane: }}\n",
        "kube_control_plane: {hosts: {a: {ip: 10.0.0.1}, b: {ip: 10.0.0.2}, c: {ip: 10.0.0.3}}}\nload_balancer: {hosts: {l: {ip: 10.0.0.4}}, vars: {x: 1}}\nall: {vars: {load_balancer: kube-vip-arp}}\n",
    ];
    let mut report = String::new();
    for text in texts {
        let (_, diagnostics) = build(text, ALL);
        report.push_str(text);
        for d in diagnostics.iter() {
            writeln!(report, "    {:?}: {d}", d.severity).unwrap();
        }
    }
    insta::assert_snapshot!(report);
}

#[test]
fn the_seed_profile_warns_where_fast_refuses() {
    let hosts = "kube_control_plane:\n  hosts:\n    cp1: {ip: 10.0.0.1, priority: 101}\n    cp2: {ip: 10.0.0.2, priority: 100}\n    cp3: {ip: 10.0.0.3, priority: 99}\n";
    let (spec, diagnostics) = build(hosts, &format!("{ALL}load_balancer_profile: seed\n"));
    assert!(spec.is_some());
    let found: Vec<_> = diagnostics.iter().map(ToString::to_string).collect();
    assert_eq!(
        found,
        [
            "hosts.yml:3:35: a failed check takes 2 off a priority, and the priorities are 2 apart: the address would stay on a failed host (choose priorities that are 1 apart at most, or `load_balancer_profile: fast`)"
        ]
    );
}

/// The document's own text says -2: a `weight` beside it neither counts nor silences what is said of the priorities.
#[test]
fn the_seed_profile_has_the_documents_weight() {
    let hosts = "kube_control_plane:\n  hosts:\n    cp1: {ip: 10.0.0.1, priority: 200}\n    cp2: {ip: 10.0.0.2, priority: 150}\n    cp3: {ip: 10.0.0.3, priority: 100}\n";
    let (spec, diagnostics) = build(
        hosts,
        &format!("{ALL}load_balancer_profile: seed\nweight: -101\n"),
    );
    assert_eq!(spec.unwrap().load_balancer.vrrp.unwrap().weight, -2);
    let found: Vec<_> = diagnostics.iter().map(ToString::to_string).collect();
    assert_eq!(
        found,
        [
            "all.yml:4:9: `weight` means nothing with the profile `seed`: -2 stands in the document's own text (leave it out, or set `load_balancer_profile: fast`)",
            "hosts.yml:3:35: a failed check takes 2 off a priority, and the priorities are 100 apart: the address would stay on a failed host (choose priorities that are 1 apart at most, or `load_balancer_profile: fast`)"
        ]
    );
}

/// On hosts that hold the address alone only SSH is in the way.
#[test]
fn ports_are_taken_where_somebody_listens() {
    let apart = format!(
        "{HOSTS}load_balancer: {{hosts: {{lb1: {{ip: 10.0.0.31}}, lb2: {{ip: 10.0.0.32}}}}}}\n"
    );
    let worker = format!("{HOSTS}load_balancer: {{hosts: {{w1: , lb2: {{ip: 10.0.0.32}}}}}}\n");
    for (hosts, port, owner) in [
        (HOSTS, 2379, Some("etcd")),
        (HOSTS, 10259, Some("the scheduler")),
        (HOSTS, 443, None),
        (apart.as_str(), 6443, None),
        (&apart, 2379, None),
        (&apart, 10250, None),
        (&apart, 22, Some("SSH")),
        (&worker, 2379, None),
        (&worker, 10250, Some("the kubelet")),
    ] {
        let (_, diagnostics) = build(hosts, &format!("{ALL}apiserver_dest_port: {port}\n"));
        let found: Vec<_> = diagnostics.iter().map(ToString::to_string).collect();
        let expected = owner.map(|owner| {
            format!(
                "all.yml:3:22: `apiserver_dest_port` cannot be {port}: {owner} listens there (choose a free port)"
            )
        });
        assert_eq!(found, Vec::from_iter(expected), "{port}\n{hosts}");
    }
}
