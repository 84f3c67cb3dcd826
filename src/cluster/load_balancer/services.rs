//! `keepalived-haproxy`: both as services of the operating system (the document's option 1), on the control planes or on
//! hosts of their own. They are up, and the VIP is on exactly one host, before init.

use super::{Holders, Parts};

pub(super) const PARTS: Parts = Parts {
    roles: &["haproxy", "keepalived"],
    units: &["keepalived", "haproxy"],
    vip_before_init: true,
    holders: Holders::One,
    in_pods: false,
    differs_on_members: false,
};
