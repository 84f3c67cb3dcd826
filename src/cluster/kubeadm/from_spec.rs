//! The cluster as the inventory describes it, as kubeadm's input.

use super::{CRI_SOCKET, KubeadmInput, Node, Taint};
use crate::cluster::preflight;
use crate::cluster::spec::{self, ClusterSpec, HostSpec};

impl KubeadmInput {
    /// Returns the input for the documents of `host`.
    pub fn of(spec: &ClusterSpec, host: &HostSpec) -> Self {
        Self {
            cluster_name: spec.name.clone(),
            kubernetes_version: spec.kubernetes_version.to_string(),
            endpoint: spec.endpoint.clone(),
            vip: spec.load_balancer.vip,
            control_planes: spec.control_planes().map(|h| h.ip.address).collect(),
            node: Node {
                name: host.node_name.clone(),
                address: host.ip.address,
                is_control_plane: host.roles.control_plane,
                is_worker: host.roles.worker,
                labels: host
                    .labels
                    .iter()
                    .map(|(k, v)| (k.clone(), v.clone()))
                    .collect(),
                taints: host
                    .taints
                    .as_ref()
                    .map(|taints| taints.iter().map(taint).collect()),
            },
            pod_subnet: spec.pod_subnet.to_string(),
            service_subnet: spec.service_subnet.to_string(),
            bind_port: spec.load_balancer.src_port,
            cri_socket: CRI_SOCKET.into(),
            ignore_preflight_errors: spec
                .ignore_preflight_errors
                .iter()
                .filter(|name| !preflight::is_ours_alone(name))
                .cloned()
                .collect(),
            image_repository: spec.image_repository.clone(),
            user: spec.kubeadm.clone(),
        }
    }
}

fn taint(taint: &spec::Taint) -> Taint {
    Taint {
        key: taint.key.clone(),
        value: taint.value.clone().unwrap_or_default(),
        effect: taint.effect.to_string(),
    }
}
