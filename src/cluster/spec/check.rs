//! Whether what was read makes a sound cluster.

use std::collections::HashMap;
use std::net::IpAddr;

use indexmap::IndexMap;

use super::Bgp;
use super::build::{CLUSTER, CONTROL_PLANE, ETCD, LOAD_BALANCER, Parts, WORKER};
use super::read::{self, Findings};
use super::way::Way;
use crate::inventory::Inventory;
use crate::model::{Diagnostic, Span};

/// Checks who is in which group.
pub(super) fn groups(
    inventory: &Inventory,
    way: Way,
    way_set: Option<Span>,
    findings: &mut Findings,
) {
    let control_planes = inventory.hosts_of(CONTROL_PLANE);
    let span = |group: &str| inventory.groups.get(group).and_then(|g| g.span.clone());
    match control_planes.len() {
        // The group may stand in what could not be read.
        0 if inventory.partial => {}
        0 => {
            let error =
                Diagnostic::error("the cluster has no control plane").at(span(CONTROL_PLANE));
            findings.push(error.help(format!(
                "the group `{CONTROL_PLANE}` names at least one host, better three"
            )));
        }
        1 => {
            let warning =
                Diagnostic::warning("one control plane alone: the cluster is lost with it")
                    .at(span(CONTROL_PLANE));
            findings.push(warning.help("three survive the loss of one"));
        }
        // etcd needs more than half of its members (etcd.io, FAQ "failure tolerance").
        n if n % 2 == 0 => {
            let message = format!(
                "an even number of control planes: {n} survive the loss of {}, and so would {}",
                (n - 1) / 2,
                n - 1
            );
            let warning = Diagnostic::warning(message).at(span(CONTROL_PLANE));
            findings.push(warning.help(format!(
                "etcd needs more than half of its members: add one ({} survive the loss of {}), or leave one out",
                n + 1,
                n / 2
            )));
        }
        _ => {}
    }
    for host in inventory.hosts_of(CLUSTER) {
        let member = |group| inventory.is_in(host.as_str(), group);
        if ![CONTROL_PLANE, WORKER, LOAD_BALANCER, ETCD]
            .into_iter()
            .any(member)
        {
            let at = inventory.hosts.get(host.as_str()).map(|h| h.span.clone());
            let warning = Diagnostic::warning(format!(
                "`{host}` is in `{CLUSTER}`, and neither a control plane nor a worker"
            ));
            findings.push(warning.at(at).help(format!(
                "put it into `{CONTROL_PLANE}` or `{WORKER}`: nothing is done to it as it is"
            )));
        }
    }
    for host in inventory.hosts_of(ETCD) {
        if !control_planes.contains(&host) {
            let at = inventory.hosts.get(host.as_str()).map(|h| h.span.clone());
            let error = Diagnostic::error(format!(
                "`{host}` is in `{ETCD}` and not in `{CONTROL_PLANE}`: external etcd is not built yet"
            ));
            findings.push(error.at(at).help(format!(
                "leave the group `{ETCD}` out: every control plane runs a member"
            )));
        }
    }
    let etcd = inventory.hosts_of(ETCD);
    if !etcd.is_empty()
        && etcd.iter().all(|h| control_planes.contains(h))
        && etcd.len() < control_planes.len()
    {
        let warning = Diagnostic::warning(format!(
            "`{ETCD}` names some of the control planes, and every one runs a member"
        ))
        .at(span(ETCD));
        findings.push(warning.help(format!("leave the group `{ETCD}` out")));
    }
    let balancers = inventory.hosts_of(LOAD_BALANCER);
    if !balancers.is_empty() {
        if balancers.len() == 1 && way.takes_other_hosts() {
            let message = "one load balancer alone: the API is lost with it";
            let warning = Diagnostic::warning(message).at(span(LOAD_BALANCER));
            findings.push(warning.help("two survive the loss of one"));
        }
        if !way.has_vip() {
            let warning = Diagnostic::warning(format!(
                "the group `{LOAD_BALANCER}` means nothing with `load_balancer: external`"
            ));
            findings.push(
                warning
                    .at(span(LOAD_BALANCER))
                    .help("somebody else runs the load balancer"),
            );
        } else if !way.takes_other_hosts() {
            let error = Diagnostic::error(format!(
                "`{way}` runs on the control planes, and the group `{LOAD_BALANCER}` names others"
            ));
            findings.push(
                error
                    .at(way_set.or_else(|| span(LOAD_BALANCER)))
                    .help(format!(
                        "leave the group `{LOAD_BALANCER}` out, or choose keepalived-haproxy"
                    )),
            );
        }
    }
}

/// Checks addresses and ports against each other.
pub(super) fn addresses(parts: &Parts, findings: &mut Findings) {
    let mut by_ip: HashMap<IpAddr, (&str, Option<&Span>)> = HashMap::new();
    let mut by_ssh: IndexMap<(String, u16, _), Vec<(&str, &Span)>> = IndexMap::new();
    for host in &parts.hosts {
        let name = host.name.as_str();
        if let Some(ip) = &host.ip {
            let span = ip.span.clone();
            if let Some((other, place)) = by_ip.get(&ip.address) {
                let place = place.map_or_else(String::new, |p| format!(" ({p})"));
                let error = Diagnostic::error(format!(
                    "`{name}` has the address {}, and so has `{other}`{place}",
                    ip.address
                ));
                findings.push(
                    error
                        .at(span.clone())
                        .help("each host has an `ip` of its own"),
                );
            } else {
                by_ip.insert(ip.address, (name, ip.span.as_ref()));
            }
            if let Some(vip) = &parts.vip
                && vip.value == ip.address
            {
                let error = Diagnostic::error(format!(
                    "`apiserver_vip` is {}, which is the address of `{name}`",
                    vip.value
                ));
                findings.push(
                    error
                        .at(vip.span.clone())
                        .help("it is an address of its own, in the hosts' network and unused"),
                );
            }
        }
        if host.is_reached {
            let connection = &host.connection;
            if let Some(vip) = &parts.vip
                && connection.host.parse() == Ok(vip.value)
                && host.ip.as_ref().is_none_or(|ip| ip.address != vip.value)
            {
                let error = Diagnostic::error(format!(
                    "`{name}` is reached at {}, which is `apiserver_vip`",
                    vip.value
                ));
                findings.push(
                    error
                        .at(host.connection_span.clone())
                        .help("the virtual address wanders between hosts: name the host's own"),
                );
            }
            let key = (
                connection.host.to_ascii_lowercase(),
                connection.port.unwrap_or(22),
                // The same private address behind two jump hosts is two hosts.
                connection.args.jumps.clone(),
            );
            by_ssh
                .entry(key)
                .or_default()
                .push((name, &host.connection_span));
        }
    }
    for ((address, port, _), hosts) in by_ssh {
        let [.., (_, last)] = hosts[..] else { continue };
        if hosts.len() < 2 {
            continue;
        }
        let names: Vec<&str> = hosts.iter().map(|(name, _)| *name).collect();
        let error = Diagnostic::error(format!(
            "{} are {} reached at {address}:{port}",
            read::list(&names),
            if names.len() == 2 { "both" } else { "all" }
        ));
        findings.push(
            error
                .at(last.clone())
                .help("each host has its own `ansible_host`, or its own `ansible_port`"),
        );
    }
    for (what, subnet) in [
        ("pod_subnet", &parts.pod_subnet),
        ("service_subnet", &parts.service_subnet),
    ] {
        let inside: Vec<_> = parts
            .hosts
            .iter()
            .filter(|host| {
                let address = host.ip.as_ref().map(|ip| ip.address);
                subnet
                    .as_ref()
                    .zip(address)
                    .is_some_and(|(s, a)| s.value.contains(&a))
            })
            .collect();
        if let (Some(subnet), Some(first)) = (subnet, inside.first()) {
            let at = subnet
                .span
                .clone()
                .or_else(|| first.ip.as_ref()?.span.clone());
            let names: Vec<&str> = inside.iter().map(|host| host.name.as_str()).collect();
            let error = Diagnostic::error(format!(
                "`{what}` {} holds the {} of {}",
                subnet.value,
                if names.len() == 1 {
                    "address"
                } else {
                    "addresses"
                },
                read::list(&names)
            ));
            findings.push(
                error
                    .at(at)
                    .help(format!("choose a `{what}` that no host is in")),
            );
        }
        if let (Some(vip), Some(subnet)) = (&parts.vip, subnet)
            && subnet.value.contains(&vip.value)
        {
            let error = Diagnostic::error(format!(
                "`apiserver_vip` {} lies in `{what}` {}",
                vip.value, subnet.value
            ));
            findings.push(
                error
                    .at(vip.span.clone())
                    .help("it is an address in the hosts' network"),
            );
        }
    }
    if let (Some(pods), Some(services)) = (&parts.pod_subnet, &parts.service_subnet)
        && (pods.value.contains(&services.value) || services.value.contains(&pods.value))
    {
        let error = Diagnostic::error(format!(
            "`pod_subnet` {} and `service_subnet` {} overlap",
            pods.value, services.value
        ));
        findings.push(
            error
                .at(pods.span.clone().or_else(|| services.span.clone()))
                .help("choose networks apart from each other"),
        );
    }
    if let (Way::External, Some(endpoint)) = (parts.way, &parts.endpoint) {
        let own = |host: &&super::host::Draft| {
            let address = host.ip.as_ref().map(|ip| ip.address);
            host.roles.control_plane
                && address.is_some_and(|a| endpoint.value.host().parse() == Ok(a))
        };
        if let Some(host) = parts.hosts.iter().find(own) {
            let message = format!(
                "`control_plane_endpoint` is the address of `{}`: the API is lost with that host",
                host.name
            );
            let warning = Diagnostic::warning(message).at(endpoint.span.clone());
            findings.push(warning.help("name the load balancer that leads to all control planes"));
        }
    }
}

/// Checks BGP's addresses: who announces, to whom, under which number.
pub(super) fn bgp(parts: &Parts, bgp: Option<&Bgp>, findings: &mut Findings) {
    let Some(bgp) = bgp else { return };
    for peer in &bgp.peers {
        let at = |span: Option<Span>, message: String, help: &str| {
            Diagnostic::error(message).at(span).help(help)
        };
        if let Some(vip) = parts.vip.as_ref().filter(|v| v.value == peer.address) {
            let message = format!("`bgp_peers` names {}, which is `apiserver_vip`", vip.value);
            findings.push(at(
                vip.span.clone(),
                message,
                "a peer is a router that learns the way to the virtual address",
            ));
        }
        let announces = |h: &&super::host::Draft| {
            h.roles.load_balancer && h.ip.as_ref().is_some_and(|ip| ip.address == peer.address)
        };
        if let Some(host) = parts.hosts.iter().find(announces) {
            let message = format!(
                "`bgp_peers` names {}, which is the address of `{}`",
                peer.address, host.name
            );
            let span = host.ip.as_ref().and_then(|ip| ip.span.clone());
            findings.push(at(
                span,
                message,
                "control planes announce the address, and routers learn it: name the routers",
            ));
        }
    }
    let mut seen: HashMap<IpAddr, &str> = HashMap::new();
    for host in parts.hosts.iter().filter(|h| h.roles.load_balancer) {
        let Some(address) = host.ip.as_ref().map(|ip| ip.address) else {
            continue;
        };
        let set = host.bgp_router_id.as_ref();
        let id = set.map_or(address, |got| got.value);
        let at = set
            .and_then(|got| got.span.clone())
            .unwrap_or_else(|| host.span.clone());
        // RFC 6286, 2.1: a router drops a session with one of its own number, and mixes up two neighbours of one.
        if let Some(other) = seen.insert(id, host.name.as_str()) {
            let message = format!("`{}` and `{other}` have the BGP router id {id}", host.name);
            let error = Diagnostic::error(message).at(at);
            findings.push(error.help("each host has one of its own: leave `bgp_router_id` out"));
        } else if set.is_some()
            && (parts.vip.as_ref().is_some_and(|v| v.value == id)
                || bgp.peers.iter().any(|p| p.address == id))
        {
            let message = format!(
                "`{}` has the BGP router id {id}, which is the virtual address or a router's",
                host.name
            );
            let error = Diagnostic::error(message).at(at);
            findings.push(error.help("each host has one of its own: leave `bgp_router_id` out"));
        }
    }
}

/// Checks that an address of a proxy is one word: it becomes a part of a line of systemd's, between quotes.
pub(super) fn proxy<'a>(
    name: &str,
    values: impl Iterator<Item = (&'a str, &'a Option<Span>)>,
    findings: &mut Findings,
) {
    let odd = |c: char| c.is_whitespace() || c.is_control() || "\"'`\\".contains(c);
    for (value, span) in values {
        if value.contains(odd) {
            let error = Diagnostic::error(format!(
                "`{name}` holds a space, a quote, a backslash or another character that no address has"
            ));
            findings.push(
                error
                    .at(span.clone())
                    .help("write such characters of a password as a URL does: `%20` is a space"),
            );
        }
    }
}
