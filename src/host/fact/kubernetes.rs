//! What a host shows of a Kubernetes cluster.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::model::Sha256;

/// A mark that kubeadm was started here by quorate, written before it starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marker {
    /// `init`, `join` (control plane) or `join-worker`.
    pub act: String,
    /// The run that started it.
    pub run: String,
    /// The digest of the configuration without its secrets.
    pub config: String,
    /// Whether kubeadm came to its end.
    pub done: bool,
}

/// A node as the API server lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeState {
    /// Its name.
    pub name: String,
    /// Its `STATUS` column, such as `Ready` or `NotReady,SchedulingDisabled`.
    pub status: String,
    /// Its `ROLES` column.
    pub roles: String,
    /// The kubelet's version, such as `v1.36.3`.
    pub version: String,
}

impl NodeState {
    /// Returns whether the node is Ready.
    pub fn is_ready(&self) -> bool {
        self.status.split(',').any(|s| s == "Ready")
    }

    /// Returns whether it has the label of a control plane.
    pub fn is_control_plane(&self) -> bool {
        self.roles.split(',').any(|role| role == "control-plane")
    }
}

/// A member of etcd.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EtcdMember {
    /// Its ID as etcdctl takes it: hexadecimal.
    pub id: String,
    /// Its name; empty until it has started.
    pub name: String,
    /// Whether it has no vote yet.
    pub learner: bool,
    /// Its peer URLs.
    pub peers: Vec<String>,
}

/// What the API server of one control plane says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Api {
    /// Whether `/livez` answered 200.
    pub live: bool,
    /// Whether `/readyz` answered 200.
    pub ready: bool,
    /// Whether the ConfigMap kube-system/kubeadm-config is there: kubeadm writes it late in init.
    pub configured: bool,
    /// `controlPlaneEndpoint` in it.
    pub endpoint: Option<String>,
    /// `kubernetesVersion` in it.
    pub version: Option<String>,
    /// `networking.podSubnet` in it.
    pub pod_subnet: Option<String>,
    /// `networking.serviceSubnet` in it.
    pub service_subnet: Option<String>,
    /// The ClusterConfiguration in it, as YAML.
    pub cluster_configuration: Option<String>,
    /// The KubeletConfiguration in kube-system/kubelet-config, as YAML; `None` where it would not say.
    pub kubelet_configuration: Option<String>,
    /// The KubeProxyConfiguration in kube-system/kube-proxy, as YAML; `None` where it would not say.
    pub proxy_configuration: Option<String>,
    /// The kubeconfig beside it (`kubeconfig.conf`), as YAML.
    pub proxy_kubeconfig: Option<String>,
    /// kubeadm's ConfigMaps that were asked for and not read, by their names, with the status of the answer (RFC 9110): 404 is none, 403 one that a
    /// node may not read, 200 one without its key.
    pub unread: BTreeMap<String, u16>,
    /// All nodes; `None` where it would not say.
    pub nodes: Option<Vec<NodeState>>,
    /// etcd's members; `None` where it would not say.
    pub members: Option<Vec<EtcdMember>>,
    /// Whether this host's member leads; `None` where it would not say.
    pub leads: Option<bool>,
}

impl Api {
    /// Returns whether it is ready and lists its nodes: one that is starting does not know all yet.
    pub fn serves(&self) -> bool {
        self.ready && self.nodes.is_some()
    }

    /// Returns whether the ConfigMap kubeadm-config is gone from a cluster that lists its nodes, or may not be read.
    fn has_lost_its_configuration(&self) -> bool {
        matches!(self.unread("kubeadm-config"), Some(403 | 404)) && self.nodes.is_some()
    }

    /// Returns the status with which a ConfigMap of kubeadm's was not read. An API server that is starting refuses what it will grant as
    /// soon as it knows all roles (403 in the first two seconds of its life): only a ready one is believed.
    pub fn unread(&self, name: &str) -> Option<u16> {
        self.unread.get(name).copied().filter(|_| self.ready)
    }

    /// Returns the node of this name, as the API lists it.
    pub fn node(&self, name: &str) -> Option<&NodeState> {
        let nodes = self.nodes.as_deref()?;
        // An API server lists them in the order of etcd's keys, thousands of them too.
        let at = nodes.binary_search_by(|node| node.name.as_str().cmp(name));
        match at {
            Ok(at) => nodes.get(at),
            Err(_) => nodes.iter().find(|node| node.name == name),
        }
    }
}

/// What a host shows of a Kubernetes cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kubernetes {
    /// Digest of /etc/kubernetes/pki/ca.crt: the cluster's identity.
    pub ca: Option<Sha256>,
    /// Paths that only a member has, as found: kubelet.conf, admin.conf, manifests of the control plane, etcd's data.
    pub traces: Vec<String>,
    /// Files among the static pods' manifests whose names do not end as a manifest's does: copies that somebody left, and that
    /// the kubelet starts all the same (pkg/kubelet/config/file.go: whatever does not begin with a dot).
    #[serde(default)]
    pub copies: Vec<String>,
    /// Which of the controller manager and the scheduler run.
    #[serde(default)]
    pub processes: Vec<String>,
    /// `server:` in /etc/kubernetes/kubelet.conf.
    pub server: Option<String>,
    /// Which node the host is, as the certificate of its kubelet names it.
    pub node: Option<String>,
    /// The port in the API server's manifest.
    pub port: Option<u16>,
    /// quorate's own marker.
    pub marker: Option<Marker>,
    /// Whether quorate's kubeadm unit is running right now.
    pub kubeadm_running: bool,
    /// What the API server on this host says; `None` on a host without one.
    pub api: Option<Api>,
    /// `notAfter` of the API server's certificate, seconds since 1970.
    pub certificate_expiry: Option<i64>,
    /// The addresses in it; `None` where it was not seen.
    pub certificate_addresses: Option<Vec<IpAddr>>,
    /// The names in it; `None` where it was not seen.
    pub certificate_names: Option<Vec<String>>,
    /// What kubeadm has written here.
    pub written: Written,
    /// What the host's own Node says; `None` where nobody would say.
    pub own_node: Option<OwnNode>,
    /// /etc/kubernetes/kube-vip.conf, which quorate makes for kube-vip alone; `None` where it is not there.
    pub kube_vip: Option<Kubeconfig>,
}

impl Kubernetes {
    /// Returns the API server's word, if it is live and speaks of a cluster: kubeadm's configuration is in it, or was, since kubeadm has come to
    /// its end here.
    pub fn cluster_api(&self) -> Option<&Api> {
        let ended = self.marker.as_ref().is_some_and(|marker| marker.done);
        let api = self.api.as_ref().filter(|api| api.live)?;
        (api.configured || ended && api.has_lost_its_configuration()).then_some(api)
    }

    /// Returns whether kubeadm came to its end here, so that the kubelet has all it runs with; by quorate, or before it.
    pub fn is_member(&self) -> bool {
        let trace = |path: &str| self.traces.iter().any(|t| t == path);
        let open = self.marker.as_ref().is_some_and(|m| !m.done);
        trace("/etc/kubernetes/kubelet.conf")
            && trace("/var/lib/kubelet/config.yaml")
            && !open
            && !self.kubeadm_running
    }
}

/// A kubeconfig as far as it may be known: never its key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kubeconfig {
    /// Digest of the CA's certificate in it: whose cluster it is for.
    pub ca: Option<Sha256>,
    /// The client's certificate; `None` where it holds none.
    pub client: Option<ClientCertificate>,
    /// What was noted of the rights that the client has been given.
    pub rights: Option<String>,
}

/// A client's certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientCertificate {
    /// Digest of its PEM.
    pub digest: Sha256,
    /// `notAfter`, seconds since 1970.
    pub not_after: i64,
}

/// What kubeadm has written on a host, as it lies there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// The static pods of the control plane by their component, such as `kube-apiserver`.
    pub manifests: BTreeMap<String, ManifestState>,
    /// The digest of the ClusterConfiguration that they were made from, as quorate noted it.
    pub made_from: Option<String>,
    /// /var/lib/kubelet/config.yaml.
    pub kubelet: Option<String>,
    /// The flags in /var/lib/kubelet/kubeadm-flags.env, as one line.
    pub kubelet_flags: Option<String>,
}

/// A static pod's manifest beside what kubeadm made of it, which quorate has kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ManifestState {
    /// Byte for byte as kubeadm made it.
    AsMade,
    /// Something else than kubeadm made.
    Edited {
        /// As it lies there.
        live: String,
        /// As kubeadm made it.
        made: String,
    },
    /// Nothing was kept to compare it with.
    Unrecorded(String),
}

/// What a Node says that kubeadm or a user has set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnNode {
    /// `metadata.labels`.
    pub labels: BTreeMap<String, String>,
    /// `spec.taints`: key, value, effect.
    pub taints: Vec<(String, String, String)>,
}
