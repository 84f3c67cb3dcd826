//! `external`: somebody else's load balancer. Nothing is installed; the endpoint is waited for like any other.

use super::{Leaves, Parts};

pub(super) const PARTS: Parts = Parts {
    roles: &[],
    behind_node: false,
    units: &[],
    pods: &[],
    vip_before_init: false,
    settled: None,
    leaves: Leaves {
        manifests: &[],
        units: &[],
        packages: &[],
        paths: &[],
        address: false,
    },
};
