//! The ways to put a load balancer in front of the API servers: one file each.

mod external;
mod group;
pub mod kube_vip;
mod leaves;
mod pods;
mod services;
pub mod settings;

use super::spec::Way;
use crate::plan::Step;

pub use group::{CONFIGURATION, Group};
pub use leaves::{
    Leaves, Remains, TAKING_DOWN, facts_of_others, facts_of_ours, found_of_others, found_of_ours,
    found_of_sibling, has_own, is_movable, left_of_any, leftovers, remains, remains_of_any,
};

/// What a way brings to the hosts that carry it, and to the workflow.
pub struct Parts {
    /// The roles of a load-balancer host that come before all others.
    pub first: &'static [&'static str],
    /// The roles of a load-balancer host, in order.
    pub roles: &'static [&'static str],
    /// Whether the roles come behind those of a node, because they need its container runtime.
    pub behind_node: bool,
    /// systemd units whose state `status` shows.
    pub units: &'static [&'static str],
    /// Static pods whose state `status` shows, without the node's name.
    pub pods: &'static [&'static str],
    /// Whether exactly one load-balancer host must hold the VIP before init; else that is looked at when the cluster is
    /// whole.
    pub vip_before_init: bool,
    /// Who holds the VIP of a healthy cluster.
    pub holders: Holders,
    /// Whether the roles say something else on a member than on a host that is to be one, so that they are planned again
    /// after init and joins.
    pub differs_on_members: bool,
    /// What a host that carries the load balancer waits for behind a change on a live cluster, before the next host's
    /// turn; `None` where the change is done when its steps are.
    pub settled: Option<fn(&Carrier) -> Step>,
    /// What the way leaves on a host, for whoever takes it down.
    pub leaves: Leaves,
}

/// Who holds the VIP of a healthy cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holders {
    /// Exactly one host.
    One,
    /// Every host that carries the load balancer, and routers choose.
    Each,
}

/// A host that carries the load balancer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Carrier {
    /// Its node's name.
    pub node: String,
    /// Its address, which haproxy listens on too.
    pub address: std::net::IpAddr,
    /// `apiserver_dest_port`.
    pub dest_port: u16,
    /// `bgp_local_as`, and the routers by address and AS number; `None` where nobody announces.
    pub bgp: Option<(u32, Vec<(std::net::IpAddr, u32)>)>,
}

/// Returns the parts of a way; `None` for a way that is not built yet, which the inventory's reader refuses by name.
pub fn parts(way: Way) -> Option<Parts> {
    match way {
        Way::KeepalivedHaproxy => Some(services::PARTS),
        Way::KeepalivedHaproxyPods => Some(pods::PARTS),
        Way::KubeVipArp => Some(kube_vip::ARP),
        Way::KubeVipBgp => Some(kube_vip::BGP),
        Way::External => Some(external::PARTS),
    }
}
