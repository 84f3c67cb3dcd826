//! What a cluster keeps from its beginning on: a host's place in it, its address, its port, its networks.

use std::net::IpAddr;

use ipnet::IpNet;

use super::super::load_balancer::Group;
use super::super::migrate;
use super::super::view::{HostView, Shape, View};
use super::{Refusal, is, names};
use crate::host::fact::Api;
use crate::model::HostName;

/// Returns which host is another node than the inventory takes it for: its address, or somebody else's, is wrong.
pub(super) fn mistaken(shape: &Shape, view: &View) -> Option<Refusal> {
    let (name, node) = shape.nodes().find_map(|name| {
        let node = view.hosts.get(name)?.kubernetes.node.as_deref()?;
        (node != name.as_str()).then_some((name, node))
    })?;
    let other = shape.nodes().find(|n| n.as_str() == node);
    let help = match other {
        Some(other) => format!(
            "the addresses of {name} and {other} may be swapped: put ansible_host (and ip) right and run again; nothing was changed, and nothing is to be reset"
        ),
        None => format!(
            "check ansible_host of {name}, or name it {node} in the inventory; if it is to leave its cluster, run `kubeadm reset` there yourself"
        ),
    };
    Some(Refusal {
        hosts: std::iter::once(name).chain(other).cloned().collect(),
        message: format!(
            "the host at the address of {name} is the node {node} of a cluster, as the certificate of its kubelet says"
        ),
        help,
    })
}

/// The hosts with an API server of the cluster.
fn servers<'a>(
    shape: &'a Shape,
    view: &'a View,
) -> impl Iterator<Item = (&'a HostName, &'a HostView)> {
    let all = shape.control_planes.iter();
    let seen = all.filter_map(|name| Some((name, view.hosts.get(name)?)));
    seen.filter(|(_, host)| {
        host.is_known() && host.has_trace("kube-apiserver.yaml") && !host.has_open_marker()
    })
}

/// Returns where the inventory has another port than the API servers, whether they answer or not.
pub(super) fn other_port(shape: &Shape, view: &View) -> Option<Refusal> {
    let wanted = shape.lasting.port?;
    let live = servers(shape, view).find_map(|(name, host)| {
        let port = host.kubernetes.port?;
        (port != wanted).then_some((name, port))
    });
    let (name, port) = live?;
    Some(Refusal {
        hosts: vec![name.clone()],
        message: format!("the API server on {name} has port {port}, the inventory says {wanted}"),
        help: format!(
            "set apiserver_src_port: {port}; manifests and kubeconfigs of the control planes name it, and nothing moves it on a live cluster"
        ),
    })
}

/// Returns where the inventory has another address than the cluster. It is in the certificates that quorate asked kubeadm
/// for; a cluster made by others may do without, but then one of the hosts carries it.
pub(super) fn other_address(shape: &Shape, view: &View) -> Option<Refusal> {
    let wanted = shape.lasting.vip?;
    if view.hosts.values().any(|h| h.holds_vip) {
        return None;
    }
    let named: Vec<(&HostName, &Vec<IpAddr>)> = servers(shape, view)
        .filter_map(|(name, host)| Some((name, host.kubernetes.certificate_addresses.as_ref()?)))
        .collect();
    if named.is_empty() || named.iter().any(|(_, all)| all.contains(&wanted)) {
        return None;
    }
    let own = |address: &IpAddr| {
        let text = address.to_string();
        let service = shape
            .lasting
            .service_subnet
            .is_some_and(|s| s.contains(address));
        let mut hosts = view.hosts.values();
        service || hosts.any(|h| h.address.as_ref() == Some(&text))
    };
    let mut others: Vec<&IpAddr> = Vec::new();
    for address in named.iter().flat_map(|(_, all)| all.iter()) {
        if !own(address) && !others.contains(&address) {
            others.push(address);
        }
    }
    let back = match others.as_slice() {
        [] => "put the old address back".to_string(),
        [one] => format!("set apiserver_vip: {one}"),
        many => format!(
            "set apiserver_vip to the one in use (the certificates name {})",
            names(many)
        ),
    };
    let hosts: Vec<HostName> = named.into_iter().map(|(name, _)| name.clone()).collect();
    Some(Refusal {
        message: format!(
            "apiserver_vip is {wanted}, which the cluster does not know: no host carries it, and the API server's certificate on {} does not name it",
            names(&hosts)
        ),
        help: format!(
            "{back}; to move to another address, first give every control plane a certificate that names it (`kubeadm init phase certs apiserver`, docs/limits.md), then run again"
        ),
        hosts,
    })
}

/// Returns where the load balancers are in another VRRP group than the inventory's: changed one by one they would not hear each
/// other, and two would hold the address. What one host alone has otherwise was edited there, and is mended.
pub(super) fn other_group(shape: &Shape, view: &View) -> Option<Refusal> {
    let wanted = shape.lasting.group?;
    if shape.load_balancers.len() < 2 || migrate::under_way(shape, view) {
        return None;
    }
    let seen = |name: &HostName| Some((name.clone(), view.hosts.get(name)?.moving.group?));
    let seen: Vec<(HostName, Group)> = shape.load_balancers.iter().filter_map(seen).collect();
    let (_, live) = seen.first()?;
    if seen.iter().any(|(_, group)| *group == wanted) {
        return None;
    }
    let hosts: Vec<HostName> = seen.iter().map(|(name, _)| name.clone()).collect();
    Some(Refusal {
        message: format!(
            "keepalived on {} is in {live}, and the inventory says {wanted}: changed one by one, hosts would not hear each other, and two would hold the address",
            names(&hosts)
        ),
        help: "put apiserver_vip or router_id, load_balancer_profile and vrrp_unicast back to what they were; to change them on a live cluster, change `load_balancer` between keepalived-haproxy and keepalived-haproxy-pods in the same step: a move takes the old group down first".into(),
        hosts,
    })
}

/// Returns what of the inventory goes against what the live cluster says of itself.
pub(super) fn in_cluster(
    shape: &Shape,
    view: &View,
    host: &HostName,
    api: &Api,
) -> Option<Refusal> {
    let lasting = &shape.lasting;
    let networks = [
        ("pod_subnet", lasting.pod_subnet, api.pod_subnet.as_deref()),
        (
            "service_subnet",
            lasting.service_subnet,
            api.service_subnet.as_deref(),
        ),
    ];
    for (variable, wanted, live) in networks {
        let (Some(wanted), Some(live)) = (wanted, live) else {
            continue;
        };
        // Two of them are dual stack, which quorate does not build and does not judge.
        let Some(net) = live
            .parse::<IpNet>()
            .ok()
            .filter(|net| net.trunc() != wanted.trunc())
        else {
            continue;
        };
        return Some(Refusal {
            hosts: vec![host.clone()],
            message: format!("the live cluster's {variable} is {net}, the inventory says {wanted}"),
            help: format!("set {variable}: \"{net}\"; kubeadm cannot change it on a live cluster"),
        });
    }
    let promoted = shape.control_planes.iter().find(|name| {
        let worker = is(view, name, |h| {
            let marker = h.kubernetes.marker.as_ref();
            marker.is_some_and(|m| m.act == "join-worker" && m.done) && h.has_trace("/kubelet.conf")
        });
        worker && view.node(name).is_some_and(|node| !node.is_control_plane())
    });
    promoted.map(|name| Refusal {
        hosts: vec![name.clone()],
        message: format!("{name} is a worker of the live cluster, and the inventory says it is a control plane"),
        help: format!(
            "put {name} back into kube_node alone; to make it a control plane, run `kubectl drain {name} --ignore-daemonsets`, on {name} `kubeadm reset`, and `kubectl delete node {name}` yourself, then run again"
        ),
    })
}
