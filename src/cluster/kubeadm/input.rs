//! What the documents are made of, and what can be wrong with it.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{CRI_SOCKET, FIRST_MINOR, UserDocuments};
use crate::model::{Diagnostic, Diagnostics, Endpoint};

/// The taint that kubeadm puts on a control plane of its own accord (kubeadm init, mark-control-plane).
const CONTROL_PLANE_TAINT: &str = "node-role.kubernetes.io/control-plane";

/// Label prefixes below kubernetes.io and k8s.io that a kubelet may set on its own node (NodeRestriction, kubernetes.io
/// reference: admission controllers).
const KUBELET_LABEL_PREFIXES: [&str; 2] = ["kubelet.kubernetes.io", "node.kubernetes.io"];
/// Single labels there that it may set (the same page).
const KUBELET_LABELS: [&str; 11] = [
    "kubernetes.io/hostname",
    "kubernetes.io/arch",
    "kubernetes.io/os",
    "beta.kubernetes.io/instance-type",
    "node.kubernetes.io/instance-type",
    "failure-domain.beta.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "topology.kubernetes.io/zone",
    "beta.kubernetes.io/arch",
    "beta.kubernetes.io/os",
];

/// A node's taint, as in `node_taints`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taint {
    /// Its key.
    pub key: String,
    /// Its value; empty for none.
    pub value: String,
    /// `NoSchedule`, `PreferNoSchedule` or `NoExecute`.
    pub effect: String,
}

impl std::str::FromStr for Taint {
    type Err = Diagnostic;

    /// Reads `key=value:effect` or `key:effect`, as kubectl(1) taint writes them.
    fn from_str(text: &str) -> Result<Self, Diagnostic> {
        let error = || {
            Diagnostic::error(format!("`{text}` is not a taint"))
                .help("write it as `key=value:NoSchedule`; the effects are NoSchedule, PreferNoSchedule and NoExecute")
        };
        let (rest, effect) = text.rsplit_once(':').ok_or_else(error)?;
        let (key, value) = rest.split_once('=').unwrap_or((rest, ""));
        if key.is_empty() || !matches!(effect, "NoSchedule" | "PreferNoSchedule" | "NoExecute") {
            return Err(error());
        }
        Ok(Self {
            key: key.into(),
            value: value.into(),
            effect: effect.into(),
        })
    }
}

/// The host that the documents are for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its node's name.
    pub name: String,
    /// Its cluster address, the variable `ip`.
    pub address: IpAddr,
    /// Whether it is in `kube_control_plane`.
    pub is_control_plane: bool,
    /// Whether it is in `kube_node`: a control plane that is both carries no taint of kubeadm's.
    pub is_worker: bool,
    /// `node_labels`, in the order of the inventory.
    pub labels: Vec<(String, String)>,
    /// `node_taints`; `None` is kubeadm's own taint for a control plane that is no worker, and none for any other node.
    pub taints: Option<Vec<Taint>>,
}

/// What a join needs to know of the cluster that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Join {
    /// The path on the host of a kubeconfig that names the endpoint and the cluster's CA, and holds no secret.
    pub discovery: String,
}

/// All that the documents of one node are made of, but for secrets.
#[derive(Debug, Clone, PartialEq)]
pub struct KubeadmInput {
    /// `cluster_name`.
    pub cluster_name: String,
    /// `kubernetes_version`, without a `v`.
    pub kubernetes_version: String,
    /// `control_plane_endpoint`.
    pub endpoint: Endpoint,
    /// `apiserver_vip`; `None` with an external load balancer.
    pub vip: Option<IpAddr>,
    /// The cluster addresses of all control planes, in the inventory's order.
    pub control_planes: Vec<IpAddr>,
    /// The host itself.
    pub node: Node,
    /// `pod_subnet`.
    pub pod_subnet: String,
    /// `service_subnet`.
    pub service_subnet: String,
    /// The API servers' port, `apiserver_src_port`.
    pub bind_port: u16,
    /// The container runtime's socket.
    pub cri_socket: String,
    /// `ignore_preflight_errors`.
    pub ignore_preflight_errors: Vec<String>,
    /// `image_repository`; `None` leaves kubeadm's own.
    pub image_repository: Option<String>,
    /// The variable `kubeadm`.
    pub user: UserDocuments,
}

impl KubeadmInput {
    /// Returns the input for a cluster as the defaults of the inventory describe it: no labels, taints or user documents.
    pub fn new(kubernetes_version: impl Into<String>, endpoint: Endpoint, node: Node) -> Self {
        Self {
            cluster_name: "kubernetes".into(),
            kubernetes_version: kubernetes_version.into(),
            endpoint,
            vip: None,
            control_planes: Vec::new(),
            node,
            pod_subnet: "10.244.0.0/16".into(),
            service_subnet: "10.96.0.0/12".into(),
            bind_port: 6443,
            cri_socket: CRI_SOCKET.into(),
            ignore_preflight_errors: Vec::new(),
            image_repository: None,
            user: UserDocuments::default(),
        }
    }

    /// Returns what is wrong with the values themselves.
    pub(super) fn complaints(&self) -> Diagnostics {
        let mut found = Diagnostics::default();
        self.check_version(&mut found);
        self.check_subnet("pod_subnet", &self.pod_subnet, &mut found);
        self.check_subnet("service_subnet", &self.service_subnet, &mut found);
        for name in &self.ignore_preflight_errors {
            found
                .0
                .extend(refused_preflight_error("ignore_preflight_errors", name));
        }
        for (label, _) in &self.node.labels {
            found.0.extend(refused_label(&self.node.name, label));
        }
        found
    }

    fn check_version(&self, found: &mut Diagnostics) {
        let version = &self.kubernetes_version;
        let parts: Vec<Option<u32>> = version.split('.').map(|p| p.parse().ok()).collect();
        match parts[..] {
            [Some(1), Some(minor), Some(_)] if minor >= FIRST_MINOR => {}
            [Some(1), Some(_), Some(_)] => found.push(
                Diagnostic::error(format!(
                    "kubernetes_version {version} is older than 1.{FIRST_MINOR}"
                ))
                .help(format!(
                    "kubeadm reads configuration v1beta4 from 1.{FIRST_MINOR} on"
                )),
            ),
            _ => found.push(
                Diagnostic::error(format!("kubernetes_version `{version}` is not a version"))
                    .help("write all three numbers, quoted: \"1.36.3\""),
            ),
        }
    }

    fn check_subnet(&self, name: &str, text: &str, found: &mut Diagnostics) {
        if text.contains(',') {
            let message =
                format!("{name} `{text}` names two networks: dual stack is not built yet");
            found.push(
                Diagnostic::error(message)
                    .help("give one network, of the family of the hosts' addresses"),
            );
            return;
        }
        match text.parse::<IpNet>() {
            Err(_) => found.push(
                Diagnostic::error(format!("{name} `{text}` is not a network"))
                    .help("write it as 10.244.0.0/16 or fd00:10:244::/56"),
            ),
            Ok(net) if net.addr().is_ipv4() != self.node.address.is_ipv4() => found.push(
                Diagnostic::error(format!(
                    "{name} {net} and the address {} of {} are not of one family",
                    self.node.address, self.node.name
                ))
                .help("a cluster is IPv4 or IPv6 throughout; dual stack is not built yet"),
            ),
            Ok(_) => {}
        }
    }

    /// Returns the names and addresses that the API servers' certificates hold beside kubeadm's own: endpoint, VIP and
    /// every control plane, so that the endpoint can move to any of them later.
    pub fn cert_sans(&self) -> Vec<String> {
        let mut sans = vec![self.endpoint.host().to_string()];
        let addresses = self.vip.iter().chain(&self.control_planes);
        for address in addresses.map(ToString::to_string) {
            if !sans.contains(&address) {
                sans.push(address);
            }
        }
        sans
    }

    /// Returns all taints of the node.
    pub(super) fn taints(&self) -> Vec<Taint> {
        let own = || Taint {
            key: CONTROL_PLANE_TAINT.into(),
            value: String::new(),
            effect: "NoSchedule".into(),
        };
        let tainted = self.node.is_control_plane && !self.node.is_worker;
        self.node
            .taints
            .clone()
            .unwrap_or_else(|| tainted.then(own).into_iter().collect())
    }
}

/// Returns why a preflight check must not be ignored, where it must not: a taken port means that something of a cluster
/// runs already, and `all` would hide that too. kubeadm compares the names in lower case.
pub(in crate::cluster) fn refused_preflight_error(place: &str, name: &str) -> Option<Diagnostic> {
    let lower = name.trim().to_ascii_lowercase();
    (lower == "all" || lower.starts_with("port-")).then(|| {
        Diagnostic::error(format!("{place}: `{name}` is not ignored"))
            .help("it is what keeps a second control plane from being started over the first; name the single checks that may fail")
    })
}

fn refused_label(node: &str, label: &str) -> Option<Diagnostic> {
    let prefix = label.split_once('/').map_or("", |(prefix, _)| prefix);
    let below = |domain: &str| {
        prefix == domain
            || prefix
                .strip_suffix(domain)
                .is_some_and(|p| p.ends_with('.'))
    };
    if !below("kubernetes.io") && !below("k8s.io") || KUBELET_LABELS.contains(&label) {
        return None;
    }
    if KUBELET_LABEL_PREFIXES.into_iter().any(below) {
        return None;
    }
    Some(
        Diagnostic::error(format!(
            "node_labels of {node}: a kubelet may not give its node the label `{label}`"
        ))
        .help("take a prefix of your own, or label the node with kubectl after it has joined"),
    )
}
