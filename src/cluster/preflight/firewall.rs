//! Whether the rules of a host's packet filter close what the cluster needs open.
//!
//! The kernel's own rules are read, whoever wrote them: one way for firewalld, ufw and plain rules. Each rule is asked of the
//! packets that will come; what cannot be told (a set with a name, a limit, a mark) counts as open, so that a finding is
//! one for sure.

mod iptables;
mod nft;
mod walk;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use serde::Serialize;

use super::{Finding, Host, Level};
use crate::cluster::spec::{ClusterSpec, HostSpec};
use crate::host::fact::{Firewall, Rules};
use crate::model::{HostName, Value};

pub use walk::{Kind, Packet};

/// VRRP's group (RFC 9568, 1.3).
const VRRP_GROUP: IpAddr = IpAddr::V4(Ipv4Addr::new(224, 0, 0, 18));
/// How many hosts' packets are tried at each port: rules tell networks apart, hardly hosts.
const MOST_SOURCES: usize = 16;

/// A kind of packet that a host has to let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    /// What it is.
    pub kind: Kind,
    /// Where it comes from.
    pub from: Vec<HostName>,
    /// Whether there is no cluster without it.
    pub vital: bool,
}

/// Returns what a host has to let in from the cluster's other hosts (kubernetes.io, Ports and Protocols).
pub fn needs(spec: &ClusterSpec, host: &HostSpec) -> Vec<Need> {
    let balancer = &spec.load_balancer;
    let from = |test: &dyn Fn(&HostSpec) -> bool| -> Vec<HostName> {
        let others = spec.hosts.values().filter(|h| h.name != host.name);
        let sources = others.filter(|h| test(h));
        sources.map(|h| h.name.clone()).collect()
    };
    let all = from(&|_| true);
    let control_planes = from(&|h| h.roles.control_plane);
    let mut needs = Vec::new();
    let mut add = |kind, from: &[HostName], vital| {
        needs.push(Need {
            kind,
            from: from.to_vec(),
            vital,
        });
    };
    if host.roles.control_plane {
        add(Kind::Tcp(balancer.src_port), &all, true);
        for port in [2379, 2380] {
            add(Kind::Tcp(port), &control_planes, true);
        }
    }
    if host.roles.load_balancer && balancer.way.uses_vrrp() {
        add(Kind::Tcp(balancer.dest_port), &all, true);
        add(Kind::Vrrp, &from(&|h| h.roles.load_balancer), true);
    }
    if host.roles.node() {
        // Logs, exec and metrics: a cluster comes up without.
        add(Kind::Tcp(10250), &control_planes, false);
    }
    needs.retain(|need| !need.from.is_empty());
    needs
}

/// What is let in from one address, for the role that opens a firewall.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Opening {
    /// The address, or the pods' network; empty for everybody.
    pub from: String,
    /// TCP ports.
    pub tcp: Vec<String>,
    /// Whether adverts of VRRP are.
    pub vrrp: bool,
    /// Whether it is a host of the cluster.
    pub is_host: bool,
}

/// Returns what a host opens to whom. The endpoint's port is for everybody: clients come from anywhere.
pub fn openings(spec: &ClusterSpec, host: &HostSpec) -> Vec<Opening> {
    let needs = needs(spec, host);
    let endpoint = match spec.load_balancer.way.uses_vrrp() {
        true => host
            .roles
            .load_balancer
            .then_some(spec.load_balancer.dest_port),
        false => host
            .roles
            .control_plane
            .then_some(spec.load_balancer.src_port),
    };
    let mut openings = Vec::new();
    let opening = |from: String, kinds: &[Kind], is_host: bool| Opening {
        from,
        tcp: ports(kinds, "-"),
        vrrp: kinds.contains(&Kind::Vrrp),
        is_host,
    };
    if let Some(port) = endpoint {
        openings.push(opening(String::new(), &[Kind::Tcp(port)], false));
    }
    let own = |kind: &Kind| endpoint.is_none_or(|port| *kind != Kind::Tcp(port));
    for other in spec.hosts.values().filter(|h| h.name != host.name) {
        let asked = needs.iter().filter(|need| need.from.contains(&other.name));
        let kinds: Vec<Kind> = asked.map(|need| need.kind).filter(own).collect();
        openings.push(opening(other.ip.address.to_string(), &kinds, true));
    }
    // A pod that asks its own node's API server or kubelet comes with its own address.
    if host.roles.node() {
        let server = host
            .roles
            .control_plane
            .then_some(spec.load_balancer.src_port);
        let kinds: Vec<Kind> = server
            .into_iter()
            .chain([10250])
            .map(Kind::Tcp)
            .filter(own)
            .collect();
        openings.push(opening(spec.pod_subnet.to_string(), &kinds, false));
    }
    openings
}

/// Returns whether rules drop a packet for sure; `None` where they cannot be read.
pub fn drops(rules: &Rules, packet: &Packet) -> Option<bool> {
    match rules {
        Rules::Nft(text) => {
            let ruleset: Value = serde_json::from_str(text).ok()?;
            Some(walk::drops(&nft::tables(&ruleset, packet)?))
        }
        Rules::Iptables(text) => Some(walk::drops(&[iptables::table(text, packet)])),
        Rules::TooLong => None,
    }
}

/// Returns what is wrong with a host's firewall.
pub(super) fn findings(spec: &ClusterSpec, host: &Host<'_>) -> Vec<Finding> {
    let Some(preflight) = &host.observed.preflight else {
        return Vec::new();
    };
    let manager = preflight.firewall;
    // Its rules will be made.
    if host.wish.prepare_firewall && manager.is_some() {
        return Vec::new();
    }
    let unicast = is_unicast(spec);
    let mut closed: Vec<(Kind, Vec<HostName>, bool)> = Vec::new();
    for need in needs(spec, host.spec) {
        let shut = |name: &&HostName| {
            let packet = packet(spec, host, need.kind, name, unicast);
            let drops = |rules| packet.as_ref().and_then(|packet| drops(rules, packet));
            preflight
                .rules
                .iter()
                .any(|rules| drops(rules) == Some(true))
        };
        let from = need.from.iter().take(MOST_SOURCES);
        let shut: Vec<HostName> = from.filter(shut).cloned().collect();
        if !shut.is_empty() {
            closed.push((need.kind, shut, need.vital));
        }
    }
    let unread = |rules: &Rules| match rules {
        Rules::Nft(text) => serde_json::from_str::<Value>(text).is_err(),
        Rules::Iptables(_) => false,
        Rules::TooLong => true,
    };
    let mut findings = Vec::new();
    if preflight.rules.iter().any(unread) {
        findings.push(host.finding(
            "Firewall",
            Level::Warning,
            "its firewall's rules were not looked through: they are too many, or not in the form of libnftables-json(5)",
            format!("see with `nft list ruleset` that {} are open to the cluster's hosts", told(&needs(spec, host.spec))),
        ));
    }
    if closed.is_empty() {
        return findings;
    }
    let vital = closed.iter().any(|(_, _, vital)| *vital);
    // Those that are closed to the same hosts stand together.
    let mut by_hosts: BTreeMap<Vec<HostName>, Vec<Kind>> = BTreeMap::new();
    for (kind, from, _) in &closed {
        by_hosts.entry(from.clone()).or_default().push(*kind);
    }
    let parts: Vec<String> = by_hosts
        .iter()
        .map(|(from, kinds)| format!("{} to {}", words(kinds), names(from)))
        .collect();
    let who = match manager {
        Some(Firewall::Firewalld) => "firewalld",
        Some(Firewall::Ufw) => "ufw",
        None => "its packet filter",
    };
    let kinds: Vec<Kind> = closed.iter().map(|(kind, ..)| *kind).collect();
    let mut help = cure(manager, &kinds);
    if is_unicast_open(spec, host, &preflight.rules, &closed) {
        help.push_str("; or set `vrrp_unicast: true`: it is multicast alone that is closed");
    }
    findings.push(host.finding(
        "Firewall",
        if vital { Level::Fault } else { Level::Warning },
        format!("{who} closes {}", parts.join(", and ")),
        help,
    ));
    findings
}

/// Returns whether adverts that come by multicast are dropped, and would not be if they came to the host's own address.
fn is_unicast_open(
    spec: &ClusterSpec,
    host: &Host<'_>,
    rules: &[Rules],
    closed: &[(Kind, Vec<HostName>, bool)],
) -> bool {
    let Some((_, from, _)) = closed.iter().find(|(kind, ..)| *kind == Kind::Vrrp) else {
        return false;
    };
    let unicast = is_unicast(spec);
    let passes = |name: &HostName| {
        packet(spec, host, Kind::Vrrp, name, true).is_some_and(|packet| {
            rules
                .iter()
                .all(|rules| drops(rules, &packet) == Some(false))
        })
    };
    !unicast && from.iter().all(passes)
}

fn is_unicast(spec: &ClusterSpec) -> bool {
    spec.load_balancer.vrrp.as_ref().is_some_and(|v| v.unicast)
}

fn packet(
    spec: &ClusterSpec,
    host: &Host<'_>,
    kind: Kind,
    from: &HostName,
    unicast: bool,
) -> Option<Packet> {
    let own = host.spec.ip.address;
    let carrier = host.observed.interface_of(own).map(|(name, _)| name);
    let interface = match kind {
        Kind::Vrrp => host.spec.interface.as_deref().or(carrier),
        Kind::Tcp(_) => carrier,
    };
    Some(Packet {
        source: spec.hosts.get(from)?.ip.address,
        destination: match kind {
            Kind::Vrrp if !unicast => VRRP_GROUP,
            _ => own,
        },
        interface: interface?.to_string(),
        kind,
    })
}

/// Returns the ports of `kinds`, in ranges written with `to`.
fn ports(kinds: &[Kind], to: &str) -> Vec<String> {
    let mut ports: Vec<u16> = kinds
        .iter()
        .filter_map(|kind| match kind {
            Kind::Tcp(port) => Some(*port),
            Kind::Vrrp => None,
        })
        .collect();
    ports.sort_unstable();
    ports.dedup();
    let has_etcd =
        ports.ends_with(&[2379, 2380]) || ports.windows(2).any(|two| two == [2379, 2380]);
    let single = |port: &u16| match port {
        2379 if has_etcd => Some(format!("2379{to}2380")),
        2380 if has_etcd => None,
        port => Some(port.to_string()),
    };
    ports.iter().filter_map(single).collect()
}

fn words(kinds: &[Kind]) -> String {
    let mut words = ports(kinds, "-");
    if let Some(last) = words.last_mut() {
        last.push_str("/tcp");
    }
    if kinds.contains(&Kind::Vrrp) {
        words.push("VRRP (protocol 112)".into());
    }
    words.join(", ")
}

fn told(needs: &[Need]) -> String {
    let kinds: Vec<Kind> = needs.iter().map(|need| need.kind).collect();
    words(&kinds)
}

fn names(hosts: &[HostName]) -> String {
    match hosts {
        [one, two, three, _, _, ..] => {
            format!("{one}, {two}, {three} and {} more", hosts.len() - 3)
        }
        hosts => {
            let names: Vec<String> = hosts.iter().map(ToString::to_string).collect();
            names.join(", ")
        }
    }
}

/// Returns the commands that open what is closed.
fn cure(manager: Option<Firewall>, kinds: &[Kind]) -> String {
    let vrrp = kinds.contains(&Kind::Vrrp);
    match manager {
        Some(Firewall::Firewalld) => {
            let mut words: Vec<String> = ports(kinds, "-")
                .iter()
                .map(|port| format!("--add-port={port}/tcp"))
                .collect();
            if vrrp {
                words.push("--add-protocol=vrrp".into());
            }
            format!(
                "set `prepare_firewall: true`, or `firewall-cmd --permanent {} && firewall-cmd --reload`",
                words.join(" ")
            )
        }
        Some(Firewall::Ufw) => {
            let mut commands = Vec::new();
            let ports = ports(kinds, ":");
            if !ports.is_empty() {
                commands.push(format!("ufw allow {}/tcp", ports.join(",")));
            }
            if vrrp {
                commands.push("ufw allow proto vrrp from any".into());
            }
            format!(
                "set `prepare_firewall: true`, or `{}`",
                commands.join(" && ")
            )
        }
        None => {
            let mut commands = Vec::new();
            let ports = ports(kinds, ":");
            if !ports.is_empty() {
                commands.push(format!(
                    "iptables -I INPUT -p tcp -m multiport --dports {} -j ACCEPT",
                    ports.join(",")
                ));
            }
            if vrrp {
                commands.push("iptables -I INPUT -p 112 -j ACCEPT".into());
            }
            format!(
                "open it where the rules are written; with iptables `{}`, with nftables an accept of the same ahead of what drops it (`nft list ruleset`), and keep it for the next boot",
                commands.join("` and `")
            )
        }
    }
}
