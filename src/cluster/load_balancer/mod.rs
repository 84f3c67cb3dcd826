//! The ways to put a load balancer in front of the API servers: one file each.

mod external;
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
}

/// Returns the parts of a way; `None` for a way that is not built yet, which the inventory's reader refuses by name.
pub fn parts(way: Way) -> Option<Parts> {
    match way {
        Way::KeepalivedHaproxy => Some(services::PARTS),
        Way::External => Some(external::PARTS),
        _ => None,
    }
}
