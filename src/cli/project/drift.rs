//! kubeadm's own state as the inventory wants it, host by host.

use super::{Project, desired::sentence};
use crate::cluster::drift::{self, Difference, Wanted, steps};
use crate::cluster::kubeadm;
use crate::cluster::{Act, View};
use crate::host::Observed;
use crate::host::fact::Kubernetes;
use crate::model::{HostName, Secret, Sha256, Value};
use crate::plan::HostPlan;

/// kubeadm's marker of a member that it was initialised on.
const INIT: &str = "init";

impl Project {
    /// Returns what kubeadm is to be configured with, as far as it concerns the host; `of_init` where it was initialised there.
    fn wanted(&self, host: &HostName, of_init: bool) -> Result<Wanted, String> {
        let input = self.input(host)?;
        let documents = kubeadm::phases(input).map_err(|found| sentence(&found))?;
        let document = |kind: &str| documents.get(kind).cloned().unwrap_or_default();
        let cluster = document("ClusterConfiguration");
        let registration = kubeadm::registration(input, of_init);
        let text = |entry: &Value, key: &str| entry[key].as_str().unwrap_or_default().to_string();
        let list = |key: &str| registration[key].as_array().cloned().unwrap_or_default();
        // Each control plane's certificate carries its own address; those of the others are of no use in it.
        let others = input
            .control_planes
            .iter()
            .filter(|a| **a != input.node.address)
            .map(ToString::to_string)
            .collect::<Vec<_>>();
        let names = cluster
            .pointer("/apiServer/certSANs")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .filter(|name| !others.iter().any(|o| o == name))
            .map(str::to_string)
            .collect();
        // From 1.33 on a control plane's kubelet talks to its own API server (ControlPlaneKubeletLocalMode).
        let mut servers = vec![format!("https://{}", input.endpoint)];
        if input.node.is_control_plane {
            let own = format!("https://{}:{}", input.node.address, input.bind_port);
            servers.insert(0, own);
        }
        Ok(Wanted {
            names,
            node: input.node.name.clone(),
            servers,
            kubelet: document("KubeletConfiguration"),
            proxy: document("KubeProxyConfiguration"),
            kubelet_flags: list("kubeletExtraArgs")
                .iter()
                .map(|entry| (text(entry, "name"), text(entry, "value")))
                .collect(),
            labels: input.node.labels.iter().cloned().collect(),
            taints: list("taints")
                .iter()
                .map(|t| (text(t, "key"), text(t, "value"), text(t, "effect")))
                .collect(),
            is_control_plane: input.node.is_control_plane,
            cluster,
        })
    }

    pub(super) fn wanted_of(&self, host: &HostName, seen: &Kubernetes) -> Result<Wanted, String> {
        let marker = seen.marker.as_ref();
        let first = self.shape.control_planes.first() == Some(host);
        self.wanted(host, marker.map_or(first, |m| m.act == INIT))
    }

    /// Returns where kubeadm's own state is not as written; values of secrets are masked.
    pub(super) fn drift_of(
        &self,
        host: &HostName,
        seen: &Kubernetes,
    ) -> (Vec<Difference>, Vec<Difference>) {
        // Before a host is a member there is nothing to compare.
        if !seen.is_member() {
            return Default::default();
        }
        let (Ok(wanted), Ok(desired)) = (self.wanted_of(host, seen), self.host(host)) else {
            return Default::default();
        };
        let mut own = drift::of_host(&wanted, seen);
        let api = seen.cluster_api();
        let mut cluster = api.map_or_else(Vec::new, |api| drift::of_cluster(&wanted, api));
        // Whose control plane quorate did not make has names for clients of his own.
        if seen.marker.is_none() {
            cluster.retain(|difference| difference.path != drift::NAMES);
        }
        for difference in own.iter_mut().chain(&mut cluster) {
            difference.mask(&desired.secrets, &self.masks);
        }
        (own, cluster)
    }

    /// Returns kubeadm's documents for single phases on the host.
    fn phases(&self, host: &HostName) -> Result<Secret<String>, String> {
        let documents = kubeadm::phases(self.input(host)?).map_err(|found| sentence(&found))?;
        documents.yaml().map_err(|error| error.to_string())
    }

    pub(super) fn made_from_of(&self, host: &HostName) -> Result<String, String> {
        Ok(drift::digest(&self.wanted(host, true)?.cluster))
    }

    /// Returns a digest of kubeadm's documents for the host, with which it is made, joined and rolled out; `None` where they cannot be
    /// made.
    pub(super) fn bound_of(&self, host: &HostName) -> Option<Sha256> {
        let phases = self.phases(host).ok()?;
        let made = self.hosts.get(host).map(|desired| desired.digest.as_str());
        let input = self.input(host).ok()?;
        let labels = &input.node.labels;
        let node = [true, false].map(|of_init| kubeadm::registration(input, of_init));
        let all = serde_json::json!([phases.expose(), made, labels, node]);
        Some(Sha256::of(all.to_string()))
    }

    /// Returns the steps of an act that brings kubeadm's own state back.
    pub(super) fn bring_back_by(
        &self,
        act: &Act,
        view: &View,
        observed: &Observed,
    ) -> Result<HostPlan, String> {
        let seen = observed.kubernetes.clone().unwrap_or_default();
        let own = |host: &HostName| view.hosts.get(host).map_or(&[][..], |h| &h.drift);
        match act {
            Act::Upload { host } => Ok(steps::upload(&self.phases(host)?, view.cluster_drift())),
            Act::RollOut { host } => {
                let input = self.input(host)?;
                let port = input.bind_port;
                let members: Vec<String> = input
                    .control_planes
                    .iter()
                    .map(ToString::to_string)
                    .collect();
                let address = input.node.address.to_string();
                let others = members.iter().filter(|m| **m != address);
                let wanted = self.wanted_of(host, &seen)?;
                Ok(steps::roll_out(&steps::RollOut {
                    config: &self.phases(host)?,
                    digest: &drift::digest(&wanted.cluster),
                    differences: own(host),
                    own: format!("{address}:{port}"),
                    others: others.map(|other| format!("{other}:{port}")).collect(),
                    members: members.clone(),
                    wanted: &wanted,
                }))
            }
            Act::Kubelet { host } => Ok(steps::kubelet(
                &self.wanted_of(host, &seen)?,
                own(host),
                seen.written.kubelet_flags.as_deref(),
            )),
            Act::Mark { nodes, .. } => {
                let seen = |name: &HostName| view.hosts.get(name).map(|h| &h.kubernetes);
                let wanted = nodes
                    .iter()
                    .filter_map(|name| Some((name, self.wanted_of(name, seen(name)?))))
                    .map(|(name, wanted)| Ok((name, wanted?)))
                    .collect::<Result<Vec<_>, String>>()?;
                let all: Vec<_> = wanted
                    .iter()
                    .map(|(name, wanted)| (*name, wanted, own(name)))
                    .collect();
                Ok(steps::mark(&all))
            }
            other => Err(format!("nothing is known to bring back: {other:?}")),
        }
    }
}
