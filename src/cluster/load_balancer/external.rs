//! `external`: somebody else's load balancer. Nothing is installed; the endpoint is waited for like any other.

use super::{Holders, Parts};

pub(super) const PARTS: Parts = Parts {
    roles: &[],
    units: &[],
    vip_before_init: false,
    holders: Holders::One,
    in_pods: false,
    differs_on_members: false,
};
