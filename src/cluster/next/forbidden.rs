//! What forbids everything: asked before the first wave of any host, and before every act.

use super::super::act::START_OVER;
use super::super::drift;
use super::super::migrate;
use super::super::view::{HostView, Shape, View};
use super::join;
use super::{Refusal, has_done, is, lasting, names, unseen};
use crate::host::fact::{Api, Marker, Reach};
use crate::model::HostName;

/// Returns why nothing at all may be done: asked before the first wave of any host. Later the address may be on its way
/// from one host to another, and its absence says nothing.
pub fn forbidden(shape: &Shape, view: &View) -> Option<Refusal> {
    always(shape, view).or_else(|| lasting::other_address(shape, view))
}

/// Returns why nothing at all may be done, at any time.
pub(super) fn always(shape: &Shape, view: &View) -> Option<Refusal> {
    let identities = view.identities();
    if identities.len() > 1 {
        let named: Vec<String> = identities
            .iter()
            .map(|(ca, hosts)| format!("{} on {}", ca.short(), names(hosts)))
            .collect();
        return Some(Refusal {
            hosts: identities.into_values().flatten().collect(),
            message: format!("the hosts belong to different clusters (digest of ca.crt): {}", named.join("; ")),
            help: "keep the hosts of one cluster in this inventory; on a host that is to leave its cluster run `kubeadm reset` yourself".into(),
        });
    }
    if let Some(refusal) = unreadable_marker(shape, view).or_else(|| begun_elsewhere(shape, view)) {
        return Some(refusal);
    }
    let kept = lasting::mistaken(shape, view).or_else(|| lasting::other_port(shape, view));
    if kept.is_some() {
        return kept;
    }
    let Some((host, api)) = view.api() else {
        let refusal = unknown_cluster(shape, view).or_else(|| claimed(shape, view));
        let refusal = refusal.or_else(|| stranded(shape, view));
        return refusal.or_else(|| unresolved(shape, view));
    };
    if let Some(refusal) = unverified(shape, view, host, api) {
        return Some(refusal);
    }
    let wanted = shape.endpoint.to_string();
    if let Some(live) = api.endpoint.as_ref().filter(|live| **live != wanted) {
        return Some(Refusal {
            hosts: vec![host.clone()],
            message: format!(
                "the live cluster's control-plane endpoint is {live}, the inventory says {wanted}"
            ),
            help: format!(
                "set control_plane_endpoint: {live}, or `load_balancer` to the way that the cluster was made with; every certificate and kubeconfig of the cluster names the endpoint"
            ),
        });
    }
    let wanted = format!("v{}", shape.version);
    if let Some(live) = api.version.as_ref().filter(|live| **live != wanted) {
        let mut nodes = api.nodes.iter().flatten().peekable();
        if nodes.peek().is_some() && nodes.all(|node| node.version == wanted) {
            return Some(Refusal {
                hosts: vec![host.clone()],
                message: format!(
                    "the ConfigMap kubeadm-config says Kubernetes {live}, and all nodes run {wanted} as the inventory says"
                ),
                help: "if it was edited, put its kubernetesVersion back: `kubectl -n kube-system edit configmap kubeadm-config`; if an upgrade was cut off, `kubeadm upgrade apply` ends it".into(),
            });
        }
        return Some(Refusal {
            hosts: vec![host.clone()],
            message: format!(
                "the live cluster runs Kubernetes {live}, the inventory says {wanted}"
            ),
            help: format!(
                "set kubernetes_version: \"{}\"; an upgrade is an act of its own",
                live.trim_start_matches('v')
            ),
        });
    }
    if let Some(refusal) = lasting::in_cluster(shape, view, host, api) {
        return Some(refusal);
    }
    if let Some(refusal) = drift::stage::refusal(view) {
        return Some(refusal);
    }
    if let migrate::Stage::Refuse(refusal) = migrate::stage(shape, view) {
        return Some(refusal);
    }
    if let Some(refusal) = lasting::other_group(shape, view) {
        return Some(refusal);
    }
    // A live cluster whose load balancer is on other hosts than the inventory's.
    held_elsewhere(shape, view).filter(|_| !shape.load_balancers.is_empty())
}

/// The address of this cluster is on a host that is to have no load balancer.
fn held_elsewhere(shape: &Shape, view: &View) -> Option<Refusal> {
    let mut holders = view.hosts.iter().filter(|(_, h)| h.holds_vip);
    let (name, _) = holders.find(|(n, _)| !shape.load_balancers.contains(n))?;
    Some(Refusal {
        hosts: vec![name.clone()],
        message: format!("{name} carries apiserver_vip, and is no load-balancer host"),
        help: format!(
            "take it off with `ip address del` on {name} (`ip -o address` shows the interface), and what puts it there, then run again; a live cluster is not moved to other load-balancer hosts"
        ),
    })
}

/// The address is on hosts that nothing of a load balancer is on: who joins would be led to itself, and not to the cluster.
fn stranded(shape: &Shape, view: &View) -> Option<Refusal> {
    // Else it is looked at once the load balancer is up, and before init.
    if shape.vip_before_init || !migrate::is_vacant(shape, view) {
        return None;
    }
    let holds = |h: &HostView| h.holds_vip && !h.moving.marked;
    let hosts: Vec<&HostName> = shape
        .load_balancers
        .iter()
        .filter(|n| is(view, n, holds))
        .collect();
    let vip = shape.lasting.vip?;
    (!hosts.is_empty()).then(|| Refusal {
        hosts: hosts.iter().map(|n| (*n).clone()).collect(),
        message: format!(
            "{} carr{} apiserver_vip, with no load balancer and no cluster there",
            names(&hosts),
            if hosts.len() == 1 { "ies" } else { "y" }
        ),
        help: format!(
            "an address that was put there by hand, or left behind, is nobody's to take away: see which interface has it with `ip -br address`, remove it with `ip address del {vip}/32 dev INTERFACE`, then run again"
        ),
    })
}

/// Somebody else's host answers at the address that this cluster is to have: two owners of one address.
fn claimed(shape: &Shape, view: &View) -> Option<Refusal> {
    if let Some(refusal) = held_elsewhere(shape, view) {
        return Some(refusal);
    }
    let (host, owner) = view.foreign_vip_owner()?;
    Some(Refusal {
        hosts: vec![host.clone()],
        message: format!(
            "another host answers at apiserver_vip already: {host} was answered by {owner}, which is none of this inventory's hosts"
        ),
        help: format!(
            "choose an address that is free, or take it off its owner (its answer is remembered for up to a minute after that); `ip neigh` on {host} shows the link-layer address"
        ),
    })
}

/// Without kubeadm-config nothing tells which endpoint, networks and version the cluster has, and the inventory's would be written in its place:
/// they have to be those from which a control plane was made.
fn unverified(shape: &Shape, view: &View, host: &HostName, api: &Api) -> Option<Refusal> {
    api.unread("kubeadm-config")?;
    let wanted = format!("v{}", shape.version);
    let mut nodes = api.nodes.iter().flatten();
    let why = match nodes.find(|node| node.version != wanted) {
        Some(node) => format!(
            "{} runs {}, the inventory says {wanted}",
            node.name, node.version
        ),
        None => {
            let made = |h: &HostView| {
                let mut drift = h.drift.iter();
                h.is_known()
                    && h.kubernetes.is_member()
                    && h.kubernetes.written.made_from.is_some()
                    && !drift.any(|d| d.path == drift::MADE_FROM)
            };
            if shape.control_planes.iter().any(|n| is(view, n, made)) {
                return None;
            }
            "no control plane was made from what the inventory says".to_string()
        }
    };
    Some(Refusal {
        hosts: vec![host.clone()],
        message: format!(
            "the ConfigMap kubeadm-config is gone or empty, or nodes may not read it, and {why}"
        ),
        help: "write into the inventory what the cluster was made with (version, endpoint, networks) and run again: the ConfigMap is put back, and may be changed then; where no inventory says it any more, put it back by hand with `kubeadm init phase upload-config kubeadm --config FILE`".into(),
    })
}

/// Nothing can be begun under a name that means nothing: kubeadm, kubelets and clients all ask for it.
fn unresolved(shape: &Shape, view: &View) -> Option<Refusal> {
    let without = |n: &&HostName| is(view, n, |h| h.reach == Some(Reach::Unresolved));
    let hosts: Vec<&HostName> = shape.nodes().filter(without).collect();
    (!hosts.is_empty()).then(|| Refusal {
        hosts: hosts.iter().map(|n| (*n).clone()).collect(),
        message: format!(
            "{}, the endpoint's name, does not resolve on {}",
            shape.endpoint.host(),
            names(&hosts)
        ),
        help: "the load balancer is yours (`load_balancer: external`): bring its name into DNS, or into /etc/hosts of every node, and run again".into(),
    })
}

/// Returns the control plane on which an init was begun and has not come to its end.
pub(super) fn begun<'a>(shape: &'a Shape, view: &View) -> Option<&'a HostName> {
    let mut all = shape.control_planes.iter();
    all.find(|n| is(view, n, |h| h.unfinished("init")))
}

/// A marker that says nothing: what was begun on that host is not known.
fn unreadable_marker(shape: &Shape, view: &View) -> Option<Refusal> {
    let known = |m: &Marker| matches!(m.act.as_str(), "init" | "join" | "join-worker");
    let lost = |h: &HostView| h.kubernetes.marker.as_ref().is_some_and(|m| !known(m));
    let name = shape.nodes().find(|n| is(view, n, lost))?;
    let traces = view.hosts.get(name).map(|h| h.kubernetes.traces.join(", "));
    let found = traces.filter(|t| !t.is_empty());
    Some(Refusal {
        hosts: vec![name.clone()],
        message: format!(
            "/var/lib/quorate/kubeadm on {name}, which says what kubeadm has begun there, cannot be read ({})",
            found
                .as_ref()
                .map_or("nothing of a cluster was found".to_string(), |f| format!(
                    "found {f}"
                ))
        ),
        help: match (found, view.api()) {
            (None, _) => format!("remove that file on {name} and run again"),
            (Some(_), None) => format!(
                "bring an API server of the cluster back first: if {name} is a node that is whole and Ready then, it needs nothing but the file removed"
            ),
            (Some(_), Some(_)) => format!(
                "a node that is whole and Ready needs nothing but the file removed; else {}",
                join::anew(view, name)
            ),
        },
    })
}

/// An init is taken up on its own control plane and with its own configuration, or not at all.
fn begun_elsewhere(shape: &Shape, view: &View) -> Option<Refusal> {
    let begun: Vec<&HostName> = shape
        .nodes()
        .filter(|n| is(view, n, |h| h.unfinished("init")))
        .collect();
    if begun.len() > 1 {
        return Some(Refusal {
            hosts: begun.iter().map(|n| (*n).clone()).collect(),
            message: format!("init was begun on more than one host: {}", names(&begun)),
            help: "find out which has the cluster that is to stay (`kubectl --kubeconfig /etc/kubernetes/admin.conf get nodes`); on all of them but one run `kubeadm reset` yourself, which takes etcd's data with it, and remove /var/lib/quorate/kubeadm there".into(),
        });
    }
    let name = *begun.first()?;
    let host = view.hosts.get(name)?;
    if !shape.control_planes.contains(name) {
        return Some(Refusal {
            hosts: vec![name.clone()],
            message: format!("init was begun on {name}, which is no control plane any more"),
            help: format!(
                "put {name} back into kube_control_plane, or start over: `{START_OVER}` on {name}, with etcd's data"
            ),
        });
    }
    (!host.is_marked_with_its_config()).then(|| Refusal {
        hosts: vec![name.clone()],
        message: format!("init was begun on {name} with another configuration"),
        help: other_config(view, name, host),
    })
}

/// Returns what to do about a host where kubeadm was begun with another configuration.
pub(super) fn other_config(view: &View, name: &HostName, host: &HostView) -> String {
    if host.kubernetes.kubeadm_running {
        return format!(
            "kubeadm is still running there: wait for it, or end it with `systemctl stop quorate-kubeadm.service` on {name}"
        );
    }
    format!(
        "put the old variables back and run again, or start over: {}",
        join::anew(view, name)
    )
}

/// No API server knows a cluster, yet a host belongs to one: an init beside it would make a second one.
fn unknown_cluster(shape: &Shape, view: &View) -> Option<Refusal> {
    let wanted = shape.endpoint.to_string();
    let elsewhere = shape.workers.iter().find_map(|name| {
        let server = view.hosts.get(name)?.kubernetes.server.as_deref()?;
        let server = server.strip_prefix("https://").unwrap_or(server);
        (server != wanted).then(|| (name, server.to_string()))
    });
    if let Some((name, server)) = elsewhere {
        return Some(Refusal {
            hosts: vec![name.clone()],
            message: format!(
                "{name} belongs to the cluster at {server}, the inventory's control-plane endpoint is {wanted}"
            ),
            help: format!(
                "set control_plane_endpoint: {server}, or run `kubeadm reset` on {name} yourself if it is to leave that cluster"
            ),
        });
    }
    // The cluster of these hosts is down: that is a failure to be told of, not a reason to leave its hosts alone.
    if shape.nodes().any(|n| is(view, n, has_done)) {
        return None;
    }
    let begun = begun(shape, view);
    let first = begun.or(shape.control_planes.first());
    let rooted = first.is_some_and(|n| is(view, n, |h| h.kubernetes.ca.is_some()));
    let foreign = shape
        .nodes()
        .filter(|n| Some(*n) != begun)
        .find_map(|name| {
            let host = view.hosts.get(name)?;
            let mut found = host.kubernetes.traces.clone();
            found.retain(|trace| !trace.ends_with("/kubelet/config.yaml"));
            if let Some(marker) = host.kubernetes.marker.as_ref() {
                found.push(format!("a {} that was begun", marker.act));
            }
            if host.kubernetes.kubeadm_running {
                found.push("kubeadm running".into());
            }
            // Whoever brings a CA of his own puts it on the host that is initialised.
            if host.kubernetes.ca.is_some() && Some(name) != first && !rooted {
                found.push("/etc/kubernetes/pki/ca.crt".into());
            }
            (!found.is_empty()).then_some((name, found))
        });
    let (name, found) = foreign?;
    let reset = format!("`{START_OVER}` on {name} yourself");
    let unseen = unseen(shape, view);
    let (beside, first) = match unseen.as_slice() {
        [] => (String::new(), String::new()),
        // The cluster that it was brought into may live there.
        _ => (
            format!(
                "; {} cannot be looked at, and its cluster may live there",
                names(&unseen)
            ),
            format!("bring {} back first and run again; ", names(&unseen)),
        ),
    };
    // It may have been made before quorate came, and be down.
    let help = format!(
        "{first}where its cluster is only down, bring an API server of it back (`systemctl status kubelet` on its control planes) and run again; only where that cluster is given up for good, with all its data, run {reset}, then run again"
    );
    Some(Refusal {
        hosts: vec![name.clone()],
        message: format!(
            "{name} is a member of some cluster already (found {}), and no API server of this inventory knows it{beside}",
            found.join(", ")
        ),
        help,
    })
}
