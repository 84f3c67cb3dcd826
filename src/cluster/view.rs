//! What the workflow decides on: the cluster as it is wanted, and each host as it was last seen.

use indexmap::IndexMap;

use crate::host::fact::{Api, Kubernetes, NodeState};
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
    /// `controlPlaneEndpoint`.
    pub endpoint: Endpoint,
    /// `1.36.3`, without a `v`.
    pub version: String,
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
    /// Whether the run may change it.
    pub ours: bool,
    /// Whether one of its addresses is the VIP.
    pub holds_vip: bool,
    /// The digest of the kubeadm configuration that this run would use here, without its secrets.
    pub config: String,
    /// An act under way.
    pub busy: bool,
    /// Whether this run has seen its join end well, which a later look at the API will confirm.
    pub joined: bool,
}

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
}

impl HostView {
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

    /// Returns the API server's word, if it is live and kubeadm's configuration is in it.
    pub fn api(&self) -> Option<&Api> {
        self.kubernetes
            .api
            .as_ref()
            .filter(|api| api.live && api.configured)
    }
}

impl View {
    /// Returns the newest word of an API server that knows the cluster.
    pub fn api(&self) -> Option<(&HostName, &Api)> {
        self.api.as_ref().map(|(name, api)| (name, api))
    }

    /// Takes the word of the best of all API servers as the newest: after all hosts were looked at.
    pub fn choose_api(&mut self) {
        let known = self
            .hosts
            .iter()
            .filter_map(|(name, host)| Some((name, host.api()?)));
        // The first of equals: max_by_key would take the last.
        let best = known
            .rev()
            .max_by_key(|(_, api)| (api.ready, api.nodes.is_some(), api.members.is_some()));
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
        self.api()?
            .1
            .nodes
            .as_ref()?
            .iter()
            .find(|node| node.name == name.as_str())
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

    /// Returns whether the control plane of this name is a full member: its node has the label, its etcd member has a
    /// vote, and its API server's manifest lies on it.
    pub fn is_control_plane(&self, name: &HostName) -> bool {
        let Some((_, api)) = self.api() else {
            return false;
        };
        let labelled = self
            .node(name)
            .is_some_and(|n| n.roles.split(',').any(|r| r == "control-plane"));
        let voting = match &api.members {
            Some(members) => members
                .iter()
                .any(|m| m.name == name.as_str() && !m.learner),
            None => true,
        };
        let placed = match self.hosts.get(name) {
            Some(host) if host.is_known() => host
                .kubernetes
                .traces
                .iter()
                .any(|t| t.ends_with("kube-apiserver.yaml")),
            _ => true,
        };
        labelled && voting && placed
    }

    /// Returns the names of the hosts that carry the VIP.
    pub fn vip_holders<'a>(&'a self, among: &'a [HostName]) -> Vec<&'a HostName> {
        among
            .iter()
            .filter(|name| self.hosts.get(*name).is_some_and(|h| h.holds_vip))
            .collect()
    }
}
