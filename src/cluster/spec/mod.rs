//! The cluster that an inventory describes, typed: the one place where variables become values. Pure.
//!
//! Whoever needs a number of the cluster's takes it from [`ClusterSpec`]; whoever renders a template gets the same
//! numbers from [`ClusterSpec::variables`].

mod alias;
mod build;
mod carried;
mod check;
mod connection;
mod host;
pub mod known;
mod kube_vip;
mod kubeadm;
mod network;
mod node;
mod pods;
mod ports;
mod read;
mod reader;
mod release;
pub mod schema;
mod stand_in;
mod unknown;
mod variables;
mod version;
mod vrrp;
mod way;

use std::collections::BTreeSet;
use std::net::IpAddr;

use camino::Utf8PathBuf;
use indexmap::IndexMap;
use ipnet::IpNet;

pub use alias::{adopt, not_read};
pub use connection::{Connection, connections, connections_of};
pub use host::{Address, HostSpec, Roles};
pub use known::{ALIASES, HARMLESS, KNOWN, KnownVariable, Of, Type};
pub use kube_vip::Feature;
pub use node::{Effect, Taint};
pub use ports::taken;
pub use variables::ROLE_NAMES;
pub use version::{Version, VersionError};
pub use vrrp::State;
pub use way::{Profile, Way};

use crate::cluster::kubeadm::UserDocuments;
use crate::model::{Endpoint, HostName, Secret};

/// A cluster as the inventory describes it, sound as far as that can be told without asking a host.
#[derive(Debug, Clone)]
pub struct ClusterSpec {
    /// `cluster_name`.
    pub name: String,
    /// `kubernetes_version`.
    pub kubernetes_version: Version,
    /// `control_plane_endpoint`: where clients reach the API.
    pub endpoint: Endpoint,
    /// How the control planes are reached under one address.
    pub load_balancer: LoadBalancer,
    /// Where kubeadm, kubelet and kubectl come from.
    pub kubernetes_source: Origin,
    /// The controller's folder for [`Origin::Files`]; set wherever one of the sources is that.
    pub kubernetes_files: Option<Utf8PathBuf>,
    /// Where containerd comes from.
    pub container_runtime_source: Origin,
    /// `containerd_version`.
    pub containerd_version: Option<Version>,
    /// `image_repository`.
    pub image_repository: Option<String>,
    /// The proxies.
    pub proxies: Proxies,
    /// `pod_subnet`.
    pub pod_subnet: IpNet,
    /// `service_subnet`.
    pub service_subnet: IpNet,
    /// `cni_manifest`: files or URLs, applied in this order.
    pub cni_manifests: Vec<String>,
    /// `manifests`: likewise, behind those.
    pub manifests: Vec<String>,
    /// `kubeadm`: the user's documents, to be merged over the generated ones.
    pub kubeadm: UserDocuments,
    /// `ignore_preflight_errors`, never `all` and never a port.
    pub ignore_preflight_errors: Vec<String>,
    /// `prepare_firewall`.
    pub prepare_firewall: bool,
    /// The cluster's hosts, in the order of the inventory. Hosts in none of the cluster's groups are not among them.
    pub hosts: IndexMap<HostName, HostSpec>,
}

/// A cluster as far as an inventory tells it. Beside errors it serves for further checks alone.
#[derive(Debug, Clone)]
pub struct Outline {
    /// The cluster.
    pub spec: ClusterSpec,
    /// The variables that could not be read, or are not set and have to be: something else stands in for them.
    pub stand_ins: BTreeSet<&'static str>,
}

/// How the control planes are reached under one address.
#[derive(Debug, Clone)]
pub struct LoadBalancer {
    /// `load_balancer`.
    pub way: Way,
    /// `load_balancer_profile`.
    pub profile: Profile,
    /// `apiserver_vip`; `None` with [`Way::External`] alone.
    pub vip: Option<IpAddr>,
    /// `apiserver_dest_port`: the port at the virtual address.
    pub dest_port: u16,
    /// `apiserver_src_port`: the port of the API servers.
    pub src_port: u16,
    /// VRRP's numbers, where keepalived holds the address.
    pub vrrp: Option<Vrrp>,
    /// `keepalived_image`.
    pub keepalived_image: String,
    /// `haproxy_image`.
    pub haproxy_image: String,
    /// kube-vip's settings, where kube-vip holds the address.
    pub kube_vip: Option<KubeVip>,
    /// BGP's settings, with [`Way::KubeVipBgp`].
    pub bgp: Option<Bgp>,
}

/// VRRP's numbers that all hosts share.
#[derive(Debug, Clone)]
pub struct Vrrp {
    /// `router_id`, 1 to 255.
    pub router_id: u8,
    /// `auth_pass`, with [`Profile::Seed`] alone: VRRPv3 has no authentication.
    pub auth_pass: Option<Secret<String>>,
    /// `vrrp_unicast`.
    pub unicast: bool,
    /// What a failed check takes off the priority: below zero.
    pub weight: i16,
}

/// kube-vip's settings.
#[derive(Debug, Clone)]
pub struct KubeVip {
    /// `kube_vip_image`, without its tag.
    pub image: String,
    /// `kube_vip_version`, the tag.
    pub version: String,
    /// The tag's numbers.
    pub release: Version,
    /// `kube_vip_lease`: lease, renewal and retry in seconds.
    pub lease: [u16; 3],
    /// `kube_vip_services`.
    pub services: bool,
    /// `kube_vip_kubeconfig`: whether kube-vip has its own, narrow rights.
    pub dedicated_kubeconfig: bool,
}

/// BGP's settings.
#[derive(Debug, Clone)]
pub struct Bgp {
    /// `bgp_local_as`.
    pub local_as: u32,
    /// `bgp_peers`.
    pub peers: Vec<BgpPeer>,
    /// `bgp_hold_time` in seconds.
    pub hold_time: u16,
    /// `bgp_keepalive_interval` in seconds.
    pub keepalive_interval: u16,
    /// `bgp_bfd`.
    pub bfd: bool,
}

/// A router that the nodes announce the address to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BgpPeer {
    /// Its address.
    pub address: IpAddr,
    /// Its AS number.
    pub autonomous_system: u32,
    /// The session's password.
    pub password: Option<Secret<String>>,
    /// What follows the password in kube-vip's form, from `multihop` on.
    pub rest: String,
}

/// Where programs come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin {
    /// Package repositories, pinned and held.
    Packages,
    /// Files of the controller.
    Files,
    /// They are there already.
    Present,
}

/// Proxies of the hosts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    /// `http_proxy`.
    pub http: Option<String>,
    /// `https_proxy`.
    pub https: Option<String>,
    /// `no_proxy`, with the cluster's own addresses; empty where there is no proxy.
    pub no_proxy: Vec<String>,
}

impl ClusterSpec {
    /// Returns the control planes, in the order of the inventory; the first one is initialised.
    pub fn control_planes(&self) -> impl Iterator<Item = &HostSpec> {
        self.hosts.values().filter(|h| h.roles.control_plane)
    }

    /// Returns the nodes that are no control planes, in the order of the inventory.
    pub fn workers(&self) -> impl Iterator<Item = &HostSpec> {
        self.hosts
            .values()
            .filter(|h| h.roles.worker && !h.roles.control_plane)
    }

    /// Returns the hosts that hold the virtual address between them, in the order of the inventory.
    pub fn load_balancers(&self) -> impl Iterator<Item = &HostSpec> {
        self.hosts.values().filter(|h| h.roles.load_balancer)
    }

    /// Returns what cannot be known before a host is asked: whether it carries the address that is taken for its own,
    /// whether it has the interface that is named for the virtual address, and whether that address lies in the
    /// interface's network, where neighbours ask for it (ARP, VRRP). `addresses` are the host's interfaces with their
    /// addresses and prefix lengths, `down` those that carry nothing. `None` is fine; the finding names the candidates
    /// otherwise.
    pub fn check_address(
        &self,
        host: &HostSpec,
        addresses: &[(String, IpAddr, u8)],
        down: &[String],
    ) -> Option<crate::model::Diagnostic> {
        carried::address(host, addresses)
            .or_else(|| carried::interface(self, host, addresses, down))
    }
}
