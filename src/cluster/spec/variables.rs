//! The cluster's numbers as variables, for the templates of roles.

use std::sync::Arc;

use serde_json::json;

use super::{ClusterSpec, HostSpec, Origin};
use crate::cluster::preflight::firewall;
use crate::inventory::Inventory;
use crate::model::{Map, Value};
use crate::template::{Hosts, host_scopes_over};

/// Variables that [`ClusterSpec::variables`] sets beside the known ones.
pub const ROLE_NAMES: &[&str] = &[
    "control_plane_endpoint_host",
    "control_plane_endpoint_is_name",
    "control_plane_endpoint_port",
    "control_planes",
    "firewall_openings",
    "has_firewalld",
    "has_ufw",
    "is_control_plane",
    "is_load_balancer",
    "is_worker",
    "kubernetes_minor",
    "listens_for_vrrp",
    "load_balancer_backends",
    "load_balancers",
    "node_name",
    "vrrp_peers",
];

impl ClusterSpec {
    /// Returns what templates see of the cluster and of `host`: every known variable that has a value, set, derived or
    /// by default, and those of [`ROLE_NAMES`]. Values are final, not templates. What does not apply (`auth_pass` with
    /// the profile `fast`) is left out and not null, since a null renders as nothing and a missing variable is an
    /// error; so is `interface` until facts say which one carries `ip`.
    ///
    /// `known::is_secret` says which values must not be shown.
    pub fn variables(&self, host: &HostSpec) -> Map {
        let balancer = &self.load_balancer;
        let vrrp = balancer.vrrp.as_ref();
        let members = |hosts: &mut dyn Iterator<Item = &HostSpec>| -> Value {
            hosts
                .map(|h| json!({"name": h.name.as_str(), "address": h.ip.address.to_string()}))
                .collect()
        };
        let peers: Value = self
            .load_balancers()
            .filter(|h| h.name != host.name)
            .map(|h| Value::from(h.ip.address.to_string()))
            .collect();
        let kube_vip = balancer.kube_vip.as_ref();
        let bgp = balancer.bgp.as_ref();
        let pairs = [
            ("ip", json!(host.ip.address.to_string())),
            ("node_name", json!(host.node_name)),
            ("is_control_plane", json!(host.roles.control_plane)),
            ("is_worker", json!(host.roles.worker)),
            ("is_load_balancer", json!(host.roles.load_balancer)),
            ("cluster_name", json!(self.name)),
            (
                "kubernetes_version",
                json!(self.kubernetes_version.to_string()),
            ),
            (
                "kubernetes_minor",
                json!(self.kubernetes_version.minor_release()),
            ),
            ("control_plane_endpoint", json!(self.endpoint.to_string())),
            ("control_plane_endpoint_host", json!(self.endpoint.host())),
            ("control_plane_endpoint_port", json!(self.endpoint.port())),
            (
                "control_plane_endpoint_is_name",
                json!(self.endpoint.address().is_none()),
            ),
            ("control_planes", members(&mut self.control_planes())),
            ("load_balancers", members(&mut self.load_balancers())),
            ("load_balancer", json!(balancer.way.name())),
            ("load_balancer_profile", json!(balancer.profile.to_string())),
            (
                "load_balancer_backends",
                members(&mut self.control_planes()),
            ),
            ("apiserver_vip", json!(balancer.vip.map(|v| v.to_string()))),
            ("apiserver_dest_port", json!(balancer.dest_port)),
            ("apiserver_src_port", json!(balancer.src_port)),
            ("interface", json!(host.interface)),
            ("state", json!(host.state.map(|s| s.to_string()))),
            ("priority", json!(host.priority)),
            ("router_id", json!(vrrp.map(|v| v.router_id))),
            (
                "auth_pass",
                json!(
                    vrrp.and_then(|v| v.auth_pass.as_ref())
                        .map(|s| s.expose().clone())
                ),
            ),
            ("weight", json!(vrrp.map(|v| v.weight))),
            ("vrrp_unicast", json!(vrrp.is_some_and(|v| v.unicast))),
            ("vrrp_peers", peers),
            // Adverts to single hosts are heard by nobody else, and those of IPv6 come from link-local addresses.
            (
                "listens_for_vrrp",
                json!(
                    host.roles.load_balancer
                        && host.ip.address.is_ipv4()
                        && vrrp.is_some_and(|v| !v.unicast)
                ),
            ),
            ("kubernetes_source", json!(origin(self.kubernetes_source))),
            (
                "kubernetes_files",
                json!(self.kubernetes_files.as_ref().map(|p| p.as_str())),
            ),
            (
                "container_runtime_source",
                json!(origin(self.container_runtime_source)),
            ),
            (
                "containerd_version",
                json!(self.containerd_version.map(|v| v.to_string())),
            ),
            ("keepalived_image", json!(balancer.keepalived_image)),
            ("haproxy_image", json!(balancer.haproxy_image)),
            ("kube_vip_image", json!(kube_vip.map(|k| &k.image))),
            ("kube_vip_version", json!(kube_vip.map(|k| &k.version))),
            (
                "kube_vip_lease",
                json!(kube_vip.map(|k| k.lease.map(|n| n.to_string()).join("/"))),
            ),
            (
                "kube_vip_services",
                json!(kube_vip.is_some_and(|k| k.services)),
            ),
            (
                "kube_vip_kubeconfig",
                json!(kube_vip.map(|k| if k.dedicated_kubeconfig {
                    "dedicated"
                } else {
                    "admin"
                })),
            ),
            ("bgp_local_as", json!(bgp.map(|b| b.local_as))),
            (
                "bgp_router_id",
                json!(bgp.map(|_| host.bgp_router_id.to_string())),
            ),
            ("bgp_hold_time", json!(bgp.map(|b| b.hold_time))),
            (
                "bgp_keepalive_interval",
                json!(bgp.map(|b| b.keepalive_interval)),
            ),
            ("bgp_bfd", json!(bgp.is_some_and(|b| b.bfd))),
            (
                "image_repository",
                json!(self.image_repository.as_deref().unwrap_or_default()),
            ),
            (
                "http_proxy",
                json!(self.proxies.http.as_deref().unwrap_or_default()),
            ),
            (
                "https_proxy",
                json!(self.proxies.https.as_deref().unwrap_or_default()),
            ),
            ("no_proxy", json!(self.proxies.no_proxy.join(","))),
            ("pod_subnet", json!(self.pod_subnet.to_string())),
            ("service_subnet", json!(self.service_subnet.to_string())),
            ("cni_manifest", json!(self.cni_manifests)),
            ("manifests", json!(self.manifests)),
            (
                "ignore_preflight_errors",
                json!(self.ignore_preflight_errors),
            ),
            ("prepare_firewall", json!(self.prepare_firewall)),
            (
                "firewall_openings",
                match self.prepare_firewall {
                    true => json!(firewall::openings(self, host)),
                    false => json!([]),
                },
            ),
            ("node_labels", json!(host.labels)),
            (
                "node_taints",
                json!(
                    host.taints
                        .as_ref()
                        .map(|t| t.iter().map(ToString::to_string).collect::<Vec<_>>())
                ),
            ),
        ];
        pairs
            .into_iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    }

    /// Returns the scopes of all hosts of the inventory, with the cluster's variables set over the inventory's on the
    /// hosts of the cluster: what roles render in, and what they see as `hostvars`.
    pub fn scopes(&self, inventory: &Inventory) -> Arc<Hosts> {
        host_scopes_over(inventory, &[], &|name| {
            self.hosts
                .get(name)
                .map(|host| self.variables(host))
                .unwrap_or_default()
        })
    }
}

fn origin(origin: Origin) -> &'static str {
    match origin {
        Origin::Packages => "packages",
        Origin::Files => "files",
        Origin::Present => "present",
    }
}
