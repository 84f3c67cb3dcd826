//! `keepalived-haproxy`: both as services of the operating system (the document's option 1), on the control planes or on
//! hosts of their own. They are up, and the VIP is on exactly one host, before init.

use super::{Carrier, Holders, Leaves, Parts};
use crate::cluster::act;
use crate::plan::Step;

pub(super) const PARTS: Parts = Parts {
    first: &["vrrp"],
    roles: &["haproxy", "keepalived"],
    behind_node: false,
    units: &["keepalived", "haproxy"],
    pods: &[],
    vip_before_init: true,
    holders: Holders::One,
    differs_on_members: false,
    settled: Some(settled),
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

/// How long both services may take to serve again: haproxy marks a new backend up within a second.
const SETTLED_SECONDS: u64 = 60;

/// Returns the step that waits until the API answers through this host's own haproxy. The virtual address may be on another
/// host by then, and would answer with that one's old configuration.
fn settled(host: &Carrier) -> Step {
    let address = std::net::SocketAddr::new(host.address, host.dest_port);
    // Not every host that carries the load balancer is a node, with a copy of the CA.
    let condition = format!(
        "for unit in keepalived haproxy; do systemctl is-active -q $unit || {{ echo \"$unit does not run\"; exit 1; }}; done\n\
         curl -sSfk --noproxy '*' --max-time 3 -o /dev/null https://{address}/readyz"
    );
    act::wait(
        "load balancer : services",
        "keepalived runs, and the API answers through this host's haproxy",
        &condition,
        SETTLED_SECONDS,
    )
}
