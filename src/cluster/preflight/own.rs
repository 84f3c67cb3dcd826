//! What is wrong with one host by itself.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;

use super::{Finding, Holder, Host, Level, UNITS, has_haproxy, ports};
use crate::cluster::spec::{ClusterSpec, Origin, Way};
use crate::host::fact::{Listener, Preflight, Resolved};
use crate::model::Value;

/// What a control plane needs (kubeadm 1.36, constants.ControlPlaneNumCPU and ControlPlaneMem): processors, MiB.
const CONTROL_PLANE: (u32, u64) = (2, 1700);
/// The first minor release whose kubelet does not start on cgroup v1 unless it is told to (KubeletConfiguration,
/// `failCgroupV1`).
const NO_CGROUP_V1: u32 = 35;

pub(super) fn findings(spec: &ClusterSpec, host: &Host<'_>, found: &mut Vec<Finding>) {
    let Some(preflight) = &host.observed.preflight else {
        return;
    };
    size(host, found);
    found.extend(listeners(spec, host, preflight));
    for name in &preflight.missing_modules {
        let kernel = &host.observed.system.kernel;
        found.push(host.finding(
            "KernelModule",
            Level::Fault,
            format!("its kernel {kernel} has no module {name}, which is to be loaded"),
            format!("install the package that has it (Debian, Ubuntu: linux-modules-extra-{kernel}; Fedora, RHEL: kernel-modules-core), reboot after a kernel update, or take it out of `kernel_modules`"),
        ));
    }
    names(spec, host, preflight, found);
    if host.spec.roles.node() {
        kubelet(spec, host, preflight, found);
    }
    selinux(spec, host, preflight, found);
    found.extend(proxies(spec, host, preflight));
}

fn size(host: &Host<'_>, found: &mut Vec<Finding>) {
    let system = &host.observed.system;
    if !host.spec.roles.control_plane {
        return;
    }
    let (processors, memory) = CONTROL_PLANE;
    // 0 is what could not be read.
    if (1..processors).contains(&system.processors) {
        found.push(host.finding(
            "NumCPU",
            Level::Fault,
            format!(
                "it has {} processor, and a control plane needs {processors}",
                system.processors
            ),
            "give the machine another one",
        ));
    }
    if (1..memory).contains(&system.memory_mib) {
        found.push(host.finding(
            "Mem",
            Level::Fault,
            format!(
                "it has {} MiB of memory, and a control plane needs {memory}",
                system.memory_mib
            ),
            "give the machine more",
        ));
    }
}

fn listeners(spec: &ClusterSpec, host: &Host<'_>, preflight: &Preflight) -> Vec<Finding> {
    let is_in_the_way = |holder: Holder, listener: &Listener| {
        let name = listener.process.as_ref().map(|(_, name)| name.as_str());
        let haproxy = name == Some("haproxy") && has_haproxy(spec.load_balancer.way);
        match holder {
            Holder::ApiServer | Holder::Kubernetes => true,
            // Ours from an earlier run, or one whose configuration will be ours.
            Holder::Balancer => !haproxy,
            Holder::Health => {
                !haproxy && (listener.address.is_unspecified() || listener.address.is_loopback())
            }
        }
    };
    let mut found = Vec::new();
    for (port, holder) in ports(spec, host.spec, host.wish) {
        let mut listeners = preflight.listeners.iter().filter(|l| l.port == port);
        let Some(listener) = listeners.find(|l| is_in_the_way(holder, l)) else {
            continue;
        };
        let (who, how) = match &listener.process {
            Some((pid, name)) => (
                format!("{name} (pid {pid})"),
                format!(
                    "`systemctl status {pid}` there names its service: stop that with `systemctl disable --now`"
                ),
            ),
            None => (
                "a process that was not seen".into(),
                format!("`ss -ltnp 'sport = :{port}'` there shows it: stop it"),
            ),
        };
        let (what, or) = match holder {
            Holder::ApiServer => ("the API server", ", or set another `apiserver_src_port`"),
            Holder::Kubernetes => (kubernetes(port), ""),
            Holder::Balancer => ("haproxy", ", or set another `apiserver_dest_port`"),
            Holder::Health => ("haproxy's health", ", or set another `haproxy_health_port`"),
        };
        found.push(host.finding(
            format!("Port-{port}"),
            Level::Fault,
            format!(
                "{who} listens on {}, which {what} needs",
                std::net::SocketAddr::new(listener.address, port)
            ),
            format!("{how}{or}"),
        ));
    }
    found
}

fn kubernetes(port: u16) -> &'static str {
    match port {
        2379 | 2380 => "etcd",
        10257 => "the controller manager",
        10259 => "the scheduler",
        _ => "the kubelet",
    }
}

fn names(spec: &ClusterSpec, host: &Host<'_>, preflight: &Preflight, found: &mut Vec<Finding>) {
    let carried = &host.observed.system.addresses;
    let is_own = |a: &IpAddr| a.is_loopback() || carried.iter().any(|(_, own, _)| own == a);
    if let Some((name, resolved)) = &preflight.own_name {
        let wrong = match resolved {
            Resolved::To(all) if all.iter().any(is_own) => None,
            Resolved::To(all) => Some(format!("means {}, which it does not carry", addresses(all))),
            Resolved::Unknown => Some("does not resolve".into()),
            Resolved::Silent => Some("has no answer from its resolver in 2 s".into()),
        };
        if let Some(wrong) = wrong {
            found.push(host.finding(
                "Hostname",
                Level::Warning,
                format!("its own name `{name}` {wrong} there"),
                format!("`echo '{} {name}' >>/etc/hosts`", host.spec.ip.address),
            ));
        }
    }
    let (Some(resolved), Some(vip)) = (&preflight.endpoint, spec.load_balancer.vip) else {
        return;
    };
    let name = spec.endpoint.host();
    let (level, message) = match resolved {
        Resolved::To(all) if all.contains(&vip) => return,
        Resolved::To(all) => (
            Level::Warning,
            format!(
                "`{name}`, the endpoint's name, means {} there, and `apiserver_vip` is {vip}",
                addresses(all)
            ),
        ),
        // It will be in /etc/hosts.
        _ if host.wish.endpoint_in_hosts => return,
        Resolved::Unknown => (
            Level::Fault,
            format!("`{name}`, the endpoint's name, does not resolve there"),
        ),
        Resolved::Silent => (
            Level::Fault,
            format!("`{name}`, the endpoint's name, has no answer from its resolver in 2 s"),
        ),
    };
    let cure = match level {
        Level::Warning => format!(
            "let it mean {vip}: look for it in /etc/hosts there, and in DNS (`getent ahosts {name}`)"
        ),
        _ => format!(
            "bring it into DNS with {vip}, or leave `control_plane_endpoint_in_hosts` at true"
        ),
    };
    found.push(host.finding("EndpointName", level, message, cure));
}

fn addresses(all: &[IpAddr]) -> String {
    let all: Vec<String> = all.iter().map(ToString::to_string).collect();
    all.join(", ")
}

/// What the kubelet does not start with.
fn kubelet(spec: &ClusterSpec, host: &Host<'_>, preflight: &Preflight, found: &mut Vec<Finding>) {
    let is_off = |field: &str| host.wish.kubelet.get(field) == Some(&Value::Bool(false));
    let swaps = host.observed.swaps.as_deref().unwrap_or_default();
    if !swaps.is_empty() && !host.wish.swap_off && !is_off("failSwapOn") {
        found.push(host.finding(
            "Swap",
            Level::Fault,
            format!("it swaps to {}, and the kubelet does not start beside swap", swaps.join(", ")),
            "leave `swap_off` at true; or let the kubelet bear it with `kubeadm: {KubeletConfiguration: {failSwapOn: false}}`",
        ));
    }
    if preflight.cgroup == Some(1)
        && spec.kubernetes_version.minor >= NO_CGROUP_V1
        && !is_off("failCgroupV1")
    {
        found.push(host.finding(
            "SystemVerification",
            Level::Fault,
            format!("it has cgroups of version 1, and the kubelet of {} does not start with them", spec.kubernetes_version),
            "boot it with `systemd.unified_cgroup_hierarchy=1` on the kernel's command line; or set `kubeadm: {KubeletConfiguration: {failCgroupV1: false}}`",
        ));
    }
    for unit in UNITS {
        let masked = host
            .observed
            .unit(unit)
            .is(|unit| unit.load == "masked" || unit.file.starts_with("masked"));
        if masked {
            found.push(host.finding(
                "MaskedUnit",
                Level::Fault,
                format!("{unit} is masked there, and cannot be started"),
                format!("`systemctl unmask {unit}`"),
            ));
        }
    }
}

/// Red Hat's policy confines both programs (haproxy_selinux(8), keepalived_selinux(8)).
fn selinux(spec: &ClusterSpec, host: &Host<'_>, preflight: &Preflight, found: &mut Vec<Finding>) {
    let services = spec.load_balancer.way == Way::KeepalivedHaproxy;
    if !preflight.enforces || !services || !host.spec.roles.load_balancer {
        return;
    }
    let off = |name: &str| preflight.booleans.get(name) == Some(&false);
    if off("haproxy_connect_any") {
        found.push(host.finding(
            "SELinux",
            Level::Fault,
            format!(
                "SELinux enforces its policy, and lets haproxy neither listen on {} nor reach {}: its boolean haproxy_connect_any is off",
                spec.load_balancer.dest_port, spec.load_balancer.src_port
            ),
            "`setsebool -P haproxy_connect_any=on`",
        ));
    }
    if off("keepalived_connect_any") {
        found.push(host.finding(
            "SELinux",
            Level::Warning,
            "SELinux enforces its policy, and may stop keepalived's check of the API server: its boolean keepalived_connect_any is off",
            "`setsebool -P keepalived_connect_any=on`; `ausearch -m avc -c curl` shows what was refused",
        ));
    }
}

/// Whoever asks a proxy for the cluster's own addresses gets no answer, or one of somebody else's.
fn proxies(spec: &ClusterSpec, host: &Host<'_>, preflight: &Preflight) -> Option<Finding> {
    let inventory = spec.proxies.http.is_some() || spec.proxies.https.is_some();
    let ours = inventory && spec.container_runtime_source != Origin::Present;
    let mut who: Vec<&str> = Vec::new();
    let mut lacking: Vec<String> = Vec::new();
    let own = host.spec.ip.address;
    // A unit has systemd's proxy too, and its own list takes the place of systemd's (systemd.exec(5), Environment=).
    let own_list = |unit: &&&str| preflight.no_proxy.contains_key(**unit);
    let heirs = ["containerd", "kubelet"];
    let heirs = heirs.iter().filter(own_list).map(ToString::to_string);
    let heirs = heirs.filter(|_| preflight.proxied.contains("systemd"));
    let proxied: BTreeSet<String> = preflight.proxied.iter().cloned().chain(heirs).collect();
    for one in proxied.iter().filter(|one| !(ours && *one == "containerd")) {
        let list = preflight.no_proxy.get(one);
        let list = list.or_else(|| preflight.no_proxy.get("systemd"));
        let lists: Vec<&str> = list
            .into_iter()
            .flat_map(|l| l.split(','))
            .map(str::trim)
            .collect();
        let mut lacks = Vec::new();
        let endpoint = spec.endpoint.host();
        match spec.endpoint.address() {
            Some(address) => lacks.extend((!reaches(&lists, address)).then(|| address.to_string())),
            None => lacks.extend((!means(&lists, endpoint)).then(|| endpoint.to_string())),
        }
        let vip = spec
            .load_balancer
            .vip
            .filter(|vip| spec.endpoint.address() != Some(*vip));
        let single = vip.into_iter().chain([own]);
        lacks.extend(
            single
                .filter(|a| !reaches(&lists, *a))
                .map(|a| a.to_string()),
        );
        let networks = [spec.pod_subnet, spec.service_subnet].into_iter();
        lacks.extend(
            networks
                .filter(|n| !spans(&lists, *n))
                .map(|n| n.to_string()),
        );
        if !lacks.is_empty() {
            who.push(one);
            lacking.extend(
                lacks
                    .into_iter()
                    .filter(|l| !lacking.contains(l))
                    .collect::<Vec<_>>(),
            );
        }
    }
    (!who.is_empty()).then(|| {
        host.finding(
            "NoProxy",
            Level::Warning,
            format!("a proxy is set for {}, and NO_PROXY lacks {}", who.join(" and "), lacking.join(", ")),
            format!("add them where the proxy is set (`systemctl show-environment`, `systemctl cat containerd kubelet`): NO_PROXY=...,{}", lacking.join(",")),
        )
    })
}

/// Returns whether an address is reached without a proxy (golang.org/x/net/http/httpproxy).
fn reaches(lists: &[&str], address: IpAddr) -> bool {
    lists.iter().any(|one| {
        *one == "*"
            || one.parse() == Ok(address)
            || one.parse::<IpNet>().is_ok_and(|net| net.contains(&address))
    })
}

fn spans(lists: &[&str], network: IpNet) -> bool {
    lists
        .iter()
        .any(|one| *one == "*" || one.parse::<IpNet>().is_ok_and(|net| net.contains(&network)))
}

fn means(lists: &[&str], name: &str) -> bool {
    lists.iter().any(|one| {
        let domain = one.trim_start_matches('*').trim_start_matches('.');
        *one == "*"
            || (!domain.is_empty() && (name == domain || name.ends_with(&format!(".{domain}"))))
    })
}
