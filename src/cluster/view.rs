//! What the workflow decides on: the cluster as it is wanted, and each host as it was last seen.

use std::collections::BTreeMap;
use std::net::IpAddr;

use indexmap::IndexMap;
use ipnet::IpNet;

use super::drift::Difference;
use super::load_balancer::{Group, Remains};
use crate::host::AddonState;
use crate::host::fact::{Api, EtcdMember, Kubernetes, NodeState, Reach};
use crate::model::{Endpoint, HostName, Sha256};

/// The cluster as it is wanted.
#[derive(Debug, Clone)]
pub struct Shape {
    /// In inventory order: the first is where a new cluster begins.
    pub control_planes: Vec<HostName>,
    /// Nodes without a control plane.
    pub workers: Vec<HostName>,
    /// Hosts that carry the load balancer; empty where it is somebody else's.
    pub load_balancers: Vec<HostName>,
    /// Whether one of them must hold the VIP before init. Static pods start with the cluster: there is nothing to wait for.
    pub vip_before_init: bool,
    /// `controlPlaneEndpoint`.
    pub endpoint: Endpoint,
    /// `1.36.3`, without a `v`.
    pub version: String,
    /// What cannot be changed any more once there is a cluster.
    pub lasting: Lasting,
}

/// What is written into a cluster when it begins and stays; `None` where it is not compared.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lasting {
    /// `apiserver_vip`: clients know it, and the API servers' certificates name it.
    pub vip: Option<IpAddr>,
    /// `apiserver_src_port`: manifests and kubeconfigs of the control planes name it.
    pub port: Option<u16>,
    /// `pod_subnet`: every node has its part of it.
    pub pod_subnet: Option<IpNet>,
    /// `service_subnet`: Services keep their addresses.
    pub service_subnet: Option<IpNet>,
    /// `router_id`, the profile's VRRP version and `vrrp_unicast`: by them the load balancers hear each other.
    pub group: Option<Group>,
}

/// How far a host's own preparation is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It could not be looked at: nothing may be assumed of it.
    Unknown(String),
    /// Its roles are being applied, or wait to be.
    Preparing,
    /// Its roles are as written.
    Prepared,
    /// A step failed; nothing more is done there in this run.
    Failed(String),
    /// The run may not change it (`--limit`), and it is not as written.
    Left,
}

/// A host as it was last seen.
#[derive(Debug, Clone)]
pub struct HostView {
    /// Its preparation.
    pub standing: Standing,
    /// Its membership, as its own files and its API server tell.
    pub kubernetes: Kubernetes,
    /// Its cluster address, by which etcd knows a member that has not started yet.
    pub address: Option<String>,
    /// Whether the run may change it.
    pub ours: bool,
    /// Whether one of its addresses is the VIP.
    pub holds_vip: bool,
    /// The link-layer address that answered at the VIP when this host asked.
    pub vip_answered_by: Option<String>,
    /// How the endpoint answers from here, asked where the load balancer is somebody else's.
    pub reach: Option<Reach>,
    /// Why nobody learns the address from here, where routers are to; `None` where one does, or nobody has to.
    pub silent: Option<String>,
    /// The host's own link-layer addresses.
    pub links: Vec<String>,
    /// The digest of the kubeadm configuration that this run would use here, without its secrets.
    pub config: String,
    /// An act under way.
    pub busy: bool,
    /// Why a kubeconfig has to be signed here for the load balancer; `None` where none has to be.
    pub credential_due: Option<String>,
    /// What of a move between two ways of the load balancer is to be seen here.
    pub moving: Moving,
    /// Where kubeadm's own state on this host is not as written.
    pub drift: Vec<Difference>,
    /// Where the configurations that the cluster keeps are not, as this host's API server tells.
    pub cluster_drift: Vec<Difference>,
    /// Whether this run has seen its join end well, which a later look at the API will confirm.
    pub joined: bool,
}

/// What of a move between two ways of the load balancer is to be seen on a host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Moving {
    /// What another way left here, where a live cluster can be moved from it: it is at work, or its takedown was begun.
    pub old: Option<Remains>,
    /// What any other way left here, be it files alone.
    pub left: Option<Remains>,
    /// Whether files of any way lie here: by them an address on a host without a cluster is known to be ours.
    pub marked: bool,
    /// Whether the bridge is up: the host serves the address with its own API server.
    pub bridge: bool,
    /// What the host lacks for a move, as the end of a sentence.
    pub lacks: Option<String>,
    /// The VRRP group that keepalived is in here.
    pub group: Option<Group>,
}

/// The manifests of a control plane that are looked for.
const MANIFESTS: [&str; 2] = [
    "/etc/kubernetes/manifests/kube-apiserver.yaml",
    "/etc/kubernetes/manifests/etcd.yaml",
];

/// All hosts.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// By name, in inventory order.
    pub hosts: IndexMap<HostName, HostView>,
    /// The newest word of an API server that knows the cluster, and whose it is.
    pub api: Option<(HostName, Api)>,
    /// Whether the load balancer's check before init has been made: the VIP on exactly one host.
    pub vip_checked: bool,
    /// Whether this run holds a token, and a certificate key for control planes.
    pub token: bool,
    /// How the inventory's manifests are, by their names; none where nobody was asked.
    pub addons: BTreeMap<String, AddonState>,
}

impl Shape {
    /// Returns all nodes: control planes, then workers.
    pub fn nodes(&self) -> impl Iterator<Item = &HostName> {
        self.control_planes.iter().chain(&self.workers)
    }

    /// Returns whether the host is a node of the cluster, or carries its load balancer.
    pub fn has(&self, host: &HostName) -> bool {
        self.nodes()
            .chain(&self.load_balancers)
            .any(|of| of == host)
    }
}

impl View {
    /// Returns the control plane by which this run may change what the cluster keeps: the one that told of it, else the first
    /// that may be acted on and whose API server answers.
    pub fn may_configure<'a>(&'a self, shape: &'a Shape) -> Option<&'a HostName> {
        let able = |name: &&HostName| {
            let host = self.hosts.get(*name);
            host.is_some_and(|host| host.may_act() && host.api().is_some())
        };
        let via = self.api().map(|(name, _)| name);
        via.into_iter().chain(&shape.control_planes).find(able)
    }

    /// Returns whether there is a cluster already: an API server tells of it, or a host is a member.
    pub fn has_cluster(&self) -> bool {
        self.api.is_some() || self.hosts.values().any(HostView::is_member)
    }

    /// Returns whether the cluster lives, and every node that could be looked at is a member of it.
    pub fn is_whole(&self, shape: &Shape) -> bool {
        let is_in = |name: &HostName| {
            let host = self.hosts.get(name).filter(|host| host.is_known());
            host.is_none_or(|host| host.is_member() || self.node(name).is_some())
        };
        self.api.is_some() && shape.nodes().all(is_in)
    }
}

impl HostView {
    /// Returns whether the host is a member of the cluster, as kubeadm on it has told.
    pub fn is_member(&self) -> bool {
        self.joined || self.kubernetes.is_member()
    }

    /// Returns whether the host is a control plane of some cluster and whole, as its own files tell: by quorate, or before it.
    pub fn carries_a_control_plane(&self) -> bool {
        self.kubernetes.is_member() && self.gone_manifests().is_empty()
    }

    /// Returns whether the host could be looked at.
    pub fn is_known(&self) -> bool {
        !matches!(self.standing, Standing::Unknown(_))
    }

    /// Returns whether kubeadm was started here by quorate and has not come to its end.
    pub fn unfinished(&self, act: &str) -> bool {
        self.kubernetes
            .marker
            .as_ref()
            .is_some_and(|m| m.act == act && !m.done)
    }

    /// Returns whether kubeadm was started here by quorate, for whatever, and has not come to its end.
    pub fn has_open_marker(&self) -> bool {
        self.kubernetes.marker.as_ref().is_some_and(|m| !m.done)
    }

    /// Returns whether what was begun here was begun with the configuration that is wanted now.
    pub fn is_marked_with_its_config(&self) -> bool {
        let marker = self.kubernetes.marker.as_ref();
        marker.is_some_and(|m| m.config == self.config)
    }

    /// Returns whether the run may do something here now.
    pub fn may_act(&self) -> bool {
        self.ours && !self.busy && self.standing == Standing::Prepared
    }

    /// Returns whether something is under way here, or will be.
    pub fn is_at_work(&self) -> bool {
        self.busy || self.standing == Standing::Preparing
    }

    /// Returns the manifests of a control plane that are not here.
    pub fn gone_manifests(&self) -> Vec<&'static str> {
        let gone = MANIFESTS.into_iter().filter(|path| !self.has_trace(path));
        gone.collect()
    }

    /// Returns whether kubeadm has left anything here: then its preflight would refuse its own traces.
    pub fn has_traces(&self) -> bool {
        !self.kubernetes.traces.is_empty()
    }

    /// Returns whether a trace of this name is here.
    pub fn has_trace(&self, end: &str) -> bool {
        self.kubernetes.traces.iter().any(|t| t.ends_with(end))
    }

    /// Returns whether the host shows membership in a cluster. The kubelet's configuration alone does not:
    /// a package may bring one.
    pub fn shows_membership(&self) -> bool {
        let mut traces = self.kubernetes.traces.iter();
        traces.any(|trace| !trace.ends_with("/kubelet/config.yaml"))
    }

    /// Returns whether the member of etcd is this host's, by its address.
    pub fn is_peer(&self, member: &EtcdMember) -> bool {
        let Some(address) = &self.address else {
            return false;
        };
        let plain = format!("//{address}:");
        let bracketed = format!("//[{address}]:");
        let mut peers = member.peers.iter();
        peers.any(|p| p.contains(&plain) || p.contains(&bracketed))
    }

    /// Returns the API server's word, if it speaks of a cluster ([`Kubernetes::cluster_api`]).
    pub fn api(&self) -> Option<&Api> {
        self.kubernetes.cluster_api()
    }
}

impl View {
    /// Returns the newest word of an API server that knows the cluster.
    pub fn api(&self) -> Option<(&HostName, &Api)> {
        self.api.as_ref().map(|(name, api)| (name, api))
    }

    /// Returns where the configurations that the cluster keeps are not as written, by the newest word of an API server.
    pub fn cluster_drift(&self) -> &[Difference] {
        let host = self.api().and_then(|(via, _)| self.hosts.get(via));
        host.map_or(&[], |host| &host.cluster_drift)
    }

    /// Takes the word of the best of all API servers as the newest: after all hosts were looked at.
    pub fn choose_api(&mut self) {
        let known = self
            .hosts
            .iter()
            .filter(|(_, host)| host.is_known())
            .filter_map(|(name, host)| Some((name, host.api()?)));
        // The first of equals: max_by_key would take the last.
        let best = known.rev().max_by_key(|(_, api)| {
            (
                api.ready,
                api.nodes.is_some(),
                api.configured,
                api.members.is_some(),
            )
        });
        self.api = best.map(|(name, api)| (name.clone(), api.clone()));
    }

    /// Takes the word of this host's API server as the newest, if it knows the cluster: after an act there.
    pub fn note_api(&mut self, name: &HostName) {
        if let Some(api) = self.hosts.get(name).and_then(HostView::api) {
            self.api = Some((name.clone(), api.clone()));
        }
    }

    /// Returns the node of this name, as the API lists it.
    pub fn node(&self, name: &HostName) -> Option<&NodeState> {
        self.api()?.1.node(name.as_str())
    }

    /// Returns whether the host carries the certificate of the cluster that the API server speaks for.
    pub fn is_of_the_cluster(&self, name: &HostName) -> bool {
        let ca = |name: &HostName| self.hosts.get(name).and_then(|h| h.kubernetes.ca);
        self.api()
            .is_some_and(|(via, _)| ca(name).is_some() && ca(name) == ca(via))
    }

    /// Returns each cluster identity seen (the digest of its CA's certificate) with the hosts that carry it.
    pub fn identities(&self) -> IndexMap<Sha256, Vec<HostName>> {
        let mut all: IndexMap<Sha256, Vec<HostName>> = IndexMap::new();
        for (name, host) in &self.hosts {
            if let Some(ca) = host.kubernetes.ca {
                all.entry(ca).or_default().push(name.clone());
            }
        }
        all
    }

    /// Returns whether the control plane of this name is a full member: its node has the label, or kubeadm has come to its end
    /// there; its etcd member has a vote, and both manifests lie on it.
    pub fn is_control_plane(&self, name: &HostName) -> bool {
        let Some((_, api)) = self.api() else {
            return false;
        };
        // kubeadm sets the label last; where it has come to its end somebody has taken it away since, and an act sets it again.
        let ended = |host: &HostView| {
            let marker = host.kubernetes.marker.as_ref();
            host.is_known()
                && marker.is_some_and(|m| m.done && matches!(m.act.as_str(), "init" | "join"))
        };
        let labelled = self.node(name).is_some_and(|n| {
            let labelled = n.roles.split(',').any(|r| r == "control-plane");
            labelled || self.hosts.get(name).is_some_and(ended)
        });
        let voting = match &api.members {
            Some(members) => members
                .iter()
                .any(|m| m.name == name.as_str() && !m.learner),
            None => true,
        };
        let placed = match self.hosts.get(name) {
            Some(host) if host.is_known() => host.gone_manifests().is_empty(),
            _ => true,
        };
        labelled && voting && placed
    }

    /// Returns the link-layer address that answers at the VIP and belongs to no host that was looked at, and who met it.
    /// Nobody foreign answers where one of the hosts carries the VIP: it answers itself.
    pub fn foreign_vip_owner(&self) -> Option<(&HostName, &str)> {
        if self.hosts.values().any(|h| h.holds_vip) {
            return None;
        }
        self.hosts.iter().find_map(|(name, host)| {
            let owner = host.vip_answered_by.as_deref()?;
            let ours = |h: &HostView| h.links.iter().any(|l| l.eq_ignore_ascii_case(owner));
            (!self.hosts.values().any(ours)).then_some((name, owner))
        })
    }

    /// Returns the names of the hosts that carry the VIP.
    pub fn vip_holders<'a>(&'a self, among: &'a [HostName]) -> Vec<&'a HostName> {
        among
            .iter()
            .filter(|name| self.hosts.get(*name).is_some_and(|h| h.holds_vip))
            .collect()
    }
}
