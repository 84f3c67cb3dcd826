//! Ports that two would listen on.

use super::build::Parts;
use super::host::Roles;
use super::read::{Findings, Got};
use super::way::Way;
use crate::model::Diagnostic;

/// On which hosts a port is taken.
#[derive(Debug, Clone, Copy)]
enum On {
    Any,
    Nodes,
    ControlPlanes,
}

/// Ports that are taken whatever the inventory says (kubernetes.io, "Ports and Protocols"; 22 is SSH's).
const TAKEN: &[(u16, &str, On)] = &[
    (22, "SSH", On::Any),
    (2379, "etcd", On::ControlPlanes),
    (2380, "etcd", On::ControlPlanes),
    (2381, "etcd's metrics", On::ControlPlanes),
    (10248, "the kubelet's health check", On::Nodes),
    (10249, "kube-proxy's metrics", On::Nodes),
    (10250, "the kubelet", On::Nodes),
    (10256, "kube-proxy's health check", On::Nodes),
    (10257, "the controller manager", On::ControlPlanes),
    (10259, "the scheduler", On::ControlPlanes),
];

/// Returns who listens on a port of a host with these roles, whatever the inventory says.
pub fn taken(port: u16, roles: Roles) -> Option<&'static str> {
    let is_there = |on: On| match on {
        On::Any => true,
        On::Nodes => roles.node(),
        On::ControlPlanes => roles.control_plane,
    };
    let mut all = TAKEN.iter();
    all.find(|(taken, _, on)| *taken == port && is_there(*on))
        .map(|(_, owner, _)| *owner)
}

/// Checks the ports of the API servers and of the virtual address against each other and against those that are taken.
pub(super) fn check(parts: &Parts, findings: &mut Findings) {
    let shares = parts
        .hosts
        .iter()
        .any(|h| h.roles.control_plane && h.roles.load_balancer);
    if matches!(
        parts.way,
        Way::KeepalivedHaproxy | Way::KeepalivedHaproxyPods
    ) && shares
        && parts.dest_port.value == parts.src_port.value
    {
        let port = parts.dest_port.value;
        let error = Diagnostic::error(format!(
            "haproxy and the API server would both listen on port {port} of the control planes"
        ));
        let at = parts
            .dest_port
            .span
            .clone()
            .or_else(|| parts.src_port.span.clone());
        findings.push(error.at(at).help("give `apiserver_dest_port` and `apiserver_src_port` different values, such as 8443 and 6443"));
    }
    if matches!(parts.way, Way::KubeVipArp | Way::KubeVipBgp)
        && parts.dest_port.value != parts.src_port.value
        // The endpoint of a cluster that was moved to kube-vip: its port is redirected.
        && !parts.endpoint_is_set
    {
        let message = format!(
            "kube-vip serves the API servers' own port {}, not {}",
            parts.src_port.value, parts.dest_port.value
        );
        findings.push(
            Diagnostic::error(message)
                .at(parts.dest_port.span.clone())
                .help("leave `apiserver_dest_port` out; for a live cluster that is moved here, set `control_plane_endpoint` to what it is"),
        );
    }
    let listens = |what: &str, port: &Got<u16>, on: fn(&Roles) -> bool| {
        let mut roles = parts.hosts.iter().map(|h| h.roles).filter(on);
        let owner = roles.find_map(|roles| taken(port.value, roles))?;
        let error = Diagnostic::error(format!(
            "`{what}` cannot be {}: {owner} listens there",
            port.value
        ));
        Some(error.at(port.span.clone()).help("choose a free port"))
    };
    let own = listens("apiserver_src_port", &parts.src_port, |r| r.control_plane);
    let shared = parts.way.has_vip();
    let shared =
        shared.then(|| listens("apiserver_dest_port", &parts.dest_port, |r| r.load_balancer));
    for error in own.into_iter().chain(shared.flatten()) {
        findings.push(error);
    }
}
