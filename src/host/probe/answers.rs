//! What servers on a host said, and what certificates on it say: JSON and PEM to facts.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::Deserialize;
use x509_parser::extensions::GeneralName;

use super::super::fact::{AddonState, Api, ClientCertificate, EtcdMember, NodeState, OwnNode};
use crate::model::Sha256;

/// The status of an answer that is what was asked for (RFC 9110, 15.3.1).
pub(super) const OK: &str = "200";

/// Takes note of what the API server or etcd answered to one question, of which `what` is the name in the probe.
pub(super) fn note(api: &mut Api, what: &str, status: &str, body: &[u8]) {
    let good = status == OK;
    match what {
        "livez" => api.live = good,
        "readyz" => api.ready = good,
        "nodes" if good => api.nodes = nodes(body),
        "kubeadm-config" if good => {
            api.configured = true;
            let text = data(body, "ClusterConfiguration").unwrap_or_default();
            let field = |name: &str| {
                let line = text
                    .lines()
                    .find_map(|l| l.strip_prefix(name)?.strip_prefix(':'))?;
                Some(line.trim().trim_matches('"').to_string()).filter(|v| !v.is_empty())
            };
            api.endpoint = field("controlPlaneEndpoint");
            api.version = field("kubernetesVersion");
            api.pod_subnet = networking(&text, "podSubnet");
            api.service_subnet = networking(&text, "serviceSubnet");
            api.cluster_configuration = Some(text).filter(|text| !text.is_empty());
        }
        "kubelet-config" if good => api.kubelet_configuration = data(body, "kubelet"),
        "kube-proxy" if good => {
            api.proxy_configuration = data(body, "config.conf");
            api.proxy_kubeconfig = data(body, "kubeconfig.conf");
        }
        "members" if good => api.members = members(body),
        "etcd-status" if good => api.leads = leads(body),
        _ => {}
    }
    let unread = match what {
        "kubeadm-config" => api.cluster_configuration.is_none(),
        "kubelet-config" => api.kubelet_configuration.is_none(),
        "kube-proxy" => api.proxy_configuration.is_none(),
        _ => false,
    };
    if let (true, Ok(status)) = (unread, status.parse()) {
        api.unread.insert(what.to_string(), status);
    }
}

/// Reads a `meta.k8s.io/v1` Table of nodes: its first columns are name, status, roles, age and version.
fn nodes(body: &[u8]) -> Option<Vec<NodeState>> {
    #[derive(Deserialize)]
    struct Table {
        #[serde(rename = "columnDefinitions")]
        columns: Vec<Column>,
        rows: Option<Vec<Row>>,
    }
    #[derive(Deserialize)]
    struct Column {
        name: String,
    }
    #[derive(Deserialize)]
    struct Row {
        cells: Vec<serde_json::Value>,
    }
    let table: Table = serde_json::from_slice(body).ok()?;
    let column = |name: &str| table.columns.iter().position(|c| c.name == name);
    let (name, status, roles, version) = (
        column("Name")?,
        column("Status")?,
        column("Roles")?,
        column("Version")?,
    );
    let cell = |row: &Row, index: usize| {
        row.cells
            .get(index)
            .and_then(|c| c.as_str())
            .unwrap_or_default()
            .to_string()
    };
    let node = |row: &Row| NodeState {
        name: cell(row, name),
        status: cell(row, status),
        roles: cell(row, roles),
        version: cell(row, version),
    };
    Some(table.rows.unwrap_or_default().iter().map(node).collect())
}

/// Returns a PEM certificate's `notAfter` (RFC 5280, 4.1.2.5) in seconds since 1970.
pub(super) fn not_after(pem: &[u8]) -> Option<i64> {
    let (_, pem) = x509_parser::pem::parse_x509_pem(pem).ok()?;
    Some(pem.parse_x509().ok()?.validity().not_after.timestamp())
}

/// Returns a value without its quotes, if there is one.
pub(super) fn said(value: &str) -> Option<String> {
    Some(value.trim_matches('"').to_string()).filter(|value| !value.is_empty())
}

/// Returns which node a kubelet's certificate is for: its subject's common name is `system:node:NAME` (kubernetes.io, Using
/// Node Authorization).
pub(super) fn node_of(pem: &[u8]) -> Option<String> {
    let (_, pem) = x509_parser::pem::parse_x509_pem(pem).ok()?;
    let certificate = pem.parse_x509().ok()?;
    let name = certificate.subject().iter_common_name().next()?;
    said(name.as_str().ok()?.strip_prefix("system:node:")?)
}

/// Returns the addresses in a PEM certificate's `subjectAltName` (RFC 5280, 4.2.1.6).
pub(super) fn addresses(pem: &[u8]) -> Option<Vec<IpAddr>> {
    subjects(pem, |name| match name {
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => <[u8; 4]>::try_from(*bytes).ok().map(IpAddr::from),
            _ => <[u8; 16]>::try_from(*bytes).ok().map(IpAddr::from),
        },
        _ => None,
    })
}

/// Returns the DNS names in it.
pub(super) fn names(pem: &[u8]) -> Option<Vec<String>> {
    subjects(pem, |name| match name {
        GeneralName::DNSName(name) => Some((*name).to_string()),
        _ => None,
    })
}

fn subjects<T>(pem: &[u8], pick: impl Fn(&GeneralName<'_>) -> Option<T>) -> Option<Vec<T>> {
    let (_, pem) = x509_parser::pem::parse_x509_pem(pem).ok()?;
    let certificate = pem.parse_x509().ok()?;
    let all = certificate.subject_alternative_name().ok()??;
    Some(all.value.general_names.iter().filter_map(pick).collect())
}

/// Returns a field of `networking` in a ClusterConfiguration, as kubeadm writes it into its ConfigMap.
fn networking(text: &str, name: &str) -> Option<String> {
    let mut lines = text.lines().skip_while(|line| *line != "networking:");
    let fields = lines.by_ref().skip(1).take_while(|l| l.starts_with(' '));
    let mut values = fields.filter_map(|l| l.trim().strip_prefix(name)?.strip_prefix(':'));
    said(values.next()?.trim())
}

/// Returns what is worth knowing of a client's certificate in PEM.
pub(super) fn client_certificate(pem: &[u8]) -> Option<ClientCertificate> {
    let digest = Sha256::of(pem);
    let (_, pem) = x509_parser::pem::parse_x509_pem(pem).ok()?;
    let not_after = pem.parse_x509().ok()?.validity().not_after.timestamp();
    Some(ClientCertificate { digest, not_after })
}

/// Returns a text in a ConfigMap's `data`.
fn data(body: &[u8], key: &str) -> Option<String> {
    let map: serde_json::Value = serde_json::from_slice(body).ok()?;
    Some(map.get("data")?.get(key)?.as_str()?.to_string())
}

/// Reads labels and taints of a Node (core/v1).
pub(super) fn own_node(body: &[u8]) -> Option<OwnNode> {
    #[derive(Deserialize)]
    struct Node {
        metadata: Metadata,
        #[serde(default)]
        spec: Spec,
    }
    #[derive(Deserialize)]
    struct Metadata {
        #[serde(default)]
        labels: BTreeMap<String, String>,
    }
    #[derive(Deserialize, Default)]
    struct Spec {
        #[serde(default)]
        taints: Vec<Taint>,
    }
    #[derive(Deserialize)]
    struct Taint {
        key: String,
        #[serde(default)]
        value: String,
        effect: String,
    }
    let node: Node = serde_json::from_slice(body).ok()?;
    let taints = node.spec.taints.into_iter();
    Some(OwnNode {
        labels: node.metadata.labels,
        taints: taints.map(|t| (t.key, t.value, t.effect)).collect(),
    })
}

/// Reads etcd's `MemberListResponse` as its gRPC gateway gives it.
fn members(body: &[u8]) -> Option<Vec<EtcdMember>> {
    #[derive(Deserialize)]
    struct List {
        #[serde(default)]
        members: Vec<Member>,
    }
    #[derive(Deserialize)]
    struct Member {
        #[serde(default, rename = "ID")]
        id: String,
        #[serde(default)]
        name: String,
        #[serde(default, rename = "isLearner")]
        learner: bool,
        #[serde(default, rename = "peerURLs")]
        peers: Vec<String>,
    }
    let list: List = serde_json::from_slice(body).ok()?;
    Some(
        list.members
            .into_iter()
            .map(|m| EtcdMember {
                // In JSON a decimal, as protobuf's mapping has it for 64 bits.
                id: m
                    .id
                    .parse()
                    .map_or_else(|_| m.id.clone(), |id: u64| format!("{id:x}")),
                name: m.name,
                learner: m.learner,
                peers: m.peers,
            })
            .collect(),
    )
}

/// Reads whether the member that answered leads (etcd's API, `StatusResponse`: `header.member_id`, `leader`).
fn leads(body: &[u8]) -> Option<bool> {
    let status: serde_json::Value = serde_json::from_slice(body).ok()?;
    let own = status.get("header")?.get("member_id")?.as_str()?;
    Some(status.get("leader")?.as_str()? == own)
}

/// Returns what an answer says of a manifest: kubectl's exit status, the name, and what it printed.
pub(super) fn addon(rest: &str) -> Option<(String, AddonState)> {
    let mut parts = rest.split(' ');
    let status = parts.next()?;
    let mut text = || super::text(parts.next()?);
    let (name, said) = (text()?, text()?);
    // What it cannot compare with, since it is not there yet, will be made.
    let lacks = [
        "not found",
        "no matches for kind",
        "could not find the requested resource",
    ];
    let state = match status {
        "0" => AddonState::AsWritten,
        "1" => AddonState::Differs(said),
        _ if lacks.iter().any(|lack| said.contains(lack)) => AddonState::Differs(said),
        // timeout(1)
        "124" => AddonState::Unknown("kubectl diff has not come to its end in 30 s".into()),
        _ => {
            let mut lines = said.lines().rev().map(str::trim);
            let last = lines.find(|line| !line.is_empty()).unwrap_or_default();
            AddonState::Unknown(format!("kubectl diff: {last}"))
        }
    };
    Some((name, state))
}
