//! What was said of a host's addresses against those that it carries.

use std::net::IpAddr;

use ipnet::IpNet;

use super::ClusterSpec;
use super::host::HostSpec;
use super::read;
use crate::model::Diagnostic;

/// Returns what is wrong with a host's address once the host was asked which addresses it carries.
pub(super) fn address(host: &HostSpec, carried: &[(String, IpAddr, u8)]) -> Option<Diagnostic> {
    let address = host.ip.address;
    if carried.iter().any(|(_, a, _)| *a == address) {
        return None;
    }
    let candidates: Vec<String> = carried
        .iter()
        .filter(|(_, a, _)| read::unusable(*a).is_none())
        .map(|(_, a, _)| a.to_string())
        .collect();
    let source = if host.ip.given {
        "its `ip`"
    } else {
        "its `ansible_host`"
    };
    let error = Diagnostic::error(format!(
        "`{}` does not carry {address}, {source}",
        host.name
    ))
    .at(host.ip.span.clone());
    Some(error.help(match &candidates[..] {
        [] => "it carries no other address that could be meant".to_owned(),
        [one] => format!("set `ip: {one}` for it"),
        many => format!("set `ip` for it to one of {}", many.join(", ")),
    }))
}

/// Returns what is wrong with the interface of the virtual address, on a host that holds it by ARP or VRRP.
pub(super) fn interface(
    spec: &ClusterSpec,
    host: &HostSpec,
    carried: &[(String, IpAddr, u8)],
    down: &[String],
) -> Option<Diagnostic> {
    let vip = spec.load_balancer.vip?;
    if !host.roles.load_balancer || !spec.load_balancer.way.is_on_the_link() {
        return None;
    }
    let mut names: Vec<&str> = carried.iter().map(|(name, _, _)| name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let name = match &host.interface {
        Some(name) if !names.contains(&name.as_str()) => {
            let message = format!("`{}` has no interface `{name}` with an address", host.name);
            let help = format!("its interfaces with an address are {}", names.join(", "));
            return Some(Diagnostic::error(message).help(help));
        }
        Some(name) => name.as_str(),
        None => carried
            .iter()
            .find(|(_, a, _)| *a == host.ip.address)
            .map(|(name, _, _)| name.as_str())?,
    };
    if down.iter().any(|other| other == name) {
        let message = format!(
            "{name} on `{}`, which `apiserver_vip` {vip} is to be on, is down",
            host.name
        );
        let help =
            format!("bring it up with `ip link set {name} up`, or set `interface` to another one");
        return Some(Diagnostic::error(message).help(help));
    }
    let networks: Vec<IpNet> = carried
        .iter()
        .filter(|(i, a, _)| i == name && *a != vip)
        .filter_map(|(_, a, prefix)| Some(IpNet::new(*a, *prefix).ok()?.trunc()))
        .collect();
    let inside = networks.iter().find(|network| network.contains(&vip));
    if let Some(network) = inside {
        // Of a network of two there are no others (RFC 3021).
        let special = [network.network(), network.broadcast()].contains(&vip);
        if !special || network.prefix_len() + 1 >= network.max_prefix_len() {
            return None;
        }
        let message = format!(
            "`apiserver_vip` {vip} is no host's address in {network}, the network of {name} on `{}`: it is the network's own, or its broadcast",
            host.name
        );
        return Some(Diagnostic::error(message).help("choose an address in between"));
    }
    let networks: Vec<String> = networks.iter().map(ToString::to_string).collect();
    let message = format!(
        "`apiserver_vip` {vip} lies in no network of {name} on `{}` ({}): no neighbour would ask for it there",
        host.name,
        networks.join(", ")
    );
    Some(Diagnostic::error(message).help(
        "choose an address of that network, or set `interface` to the one whose network it is in",
    ))
}
