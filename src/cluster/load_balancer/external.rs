//! `external`: somebody else's load balancer. Nothing is installed; the endpoint is waited for like any other.

use super::{Holders, Leaves, Parts};

pub(super) const PARTS: Parts = Parts {
    first: &[],
    roles: &[],
    behind_node: false,
    units: &[],
    pods: &[],
    vip_before_init: false,
    holders: Holders::One,
    differs_on_members: false,
    settled: None,
    leaves: Leaves {
        manifests: &[],
        units: &[],
        packages: &[],
        paths: &[],
        address: false,
    },
};
