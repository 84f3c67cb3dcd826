//! The ways to put a load balancer in front of the API servers: one file each.

mod external;
pub mod kube_vip;
mod services;

use super::spec::Way;

/// What a way brings to the hosts that carry it, and to the workflow.
pub struct Parts {
    /// The roles of a load-balancer host, in order.
    pub roles: &'static [&'static str],
    /// systemd units whose state `status` shows.
    pub units: &'static [&'static str],
    /// Whether exactly one load-balancer host must hold the VIP before init.
    pub vip_before_init: bool,
    /// Who holds the VIP of a healthy cluster.
    pub holders: Holders,
    /// Whether the roles place static pods: they come behind the node's own roles, which bring the images.
    pub in_pods: bool,
    /// Whether the roles say something else on a member than on a host that is to be one, so that they are planned again
    /// after init and joins.
    pub differs_on_members: bool,
}

/// Who holds the VIP of a healthy cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holders {
    /// Exactly one host.
    One,
    /// Every control plane, and routers choose.
    Each,
}

/// Returns the parts of a way; `None` for a way that is not built yet, which the inventory's reader refuses by name.
pub fn parts(way: Way) -> Option<Parts> {
    match way {
        Way::KeepalivedHaproxy => Some(services::PARTS),
        Way::KubeVipArp => Some(kube_vip::ARP),
        Way::KubeVipBgp => Some(kube_vip::BGP),
        Way::External => Some(external::PARTS),
        Way::KeepalivedHaproxyPods => None,
    }
}
