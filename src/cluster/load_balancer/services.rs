//! `keepalived-haproxy`: both as services of the operating system (the document's option 1), on the control planes or on
//! hosts of their own. They are up, and the VIP is on exactly one host, before init.

use super::{Holders, Leaves, Parts};

pub(super) const PARTS: Parts = Parts {
    first: &["vrrp"],
    roles: &["haproxy", "keepalived"],
    behind_node: false,
    units: &["keepalived", "haproxy"],
    pods: &[],
    vip_before_init: true,
    holders: Holders::One,
    differs_on_members: false,
    settled: None,
    leaves: Leaves {
        manifests: &[],
        units: &["keepalived", "haproxy"],
        packages: &["keepalived", "haproxy"],
        paths: &[
            "/etc/keepalived/keepalived.conf",
            "/etc/keepalived/check_apiserver.sh",
            "/etc/haproxy/haproxy.cfg",
        ],
        address: true,
    },
};
