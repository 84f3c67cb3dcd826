//! Whether the cluster can bear the loss of a host: what is missing, by name.

use std::net::IpAddr;

use indexmap::IndexMap;

use super::wish::{Holding, Site, list};
use crate::host::fact::Api;
use crate::host::{Fact, Facts, Known, Observed};
use crate::model::HostName;

/// etcd keeps its quorum without one member from three on.
const LEAST_MEMBERS: usize = 3;
/// Somebody has to take over.
const LEAST_LOAD_BALANCERS: usize = 2;

/// A host as a drill looks at it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostSeen {
    /// Why it could not be looked at.
    pub unreachable: Option<String>,
    /// Whether it carries the virtual address.
    pub holds_vip: bool,
    /// Units and pods of the load balancer that do not run.
    pub stopped: Vec<String>,
    /// Whether the load balancer's port has a listener; `None` where that was not asked.
    pub listens: Option<bool>,
    /// What its API server says.
    pub api: Option<Api>,
    /// The interfaces that carry its cluster address or the virtual one.
    pub interfaces: Vec<String>,
}

/// All hosts of the cluster as they were last seen.
pub type Seen = IndexMap<HostName, HostSeen>;

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// The hosts that it is about; empty for the cluster.
    pub hosts: Vec<HostName>,
    /// What, as the end of a sentence.
    pub what: String,
}

/// Returns what has to run on a host that carries the load balancer.
fn parts<'a>(site: &'a Site, host: &HostName) -> &'a [(String, Fact)] {
    site.parts.get(host).map_or(&[], Vec::as_slice)
}

/// Returns what a host has to be asked.
pub fn facts(site: &Site, host: &HostName, port: u16) -> Facts {
    let mut facts = Facts::from([Fact::System]);
    if site.load_balancers.contains(host) {
        facts.extend(parts(site, host).iter().map(|(_, fact)| fact.clone()));
        facts.extend(site.frontend.map(Fact::Listening));
    }
    if let Some(address) = site
        .addresses
        .get(host)
        .filter(|_| site.control_planes.contains(host))
    {
        facts.insert(Fact::Kubernetes {
            address: address.to_string(),
            port,
            // A drill asks nothing about a Node's own settings.
            node: host.to_string(),
        });
    }
    facts
}

impl HostSeen {
    /// Returns what a host that could not be looked at is.
    pub fn unreachable(why: impl Into<String>) -> Self {
        Self {
            unreachable: Some(why.into()),
            ..Self::default()
        }
    }

    /// Returns what a host's answer to [`facts`] means.
    pub fn of(site: &Site, host: &HostName, observed: &Observed) -> Self {
        let carries = site.load_balancers.contains(host);
        let runs = |fact: &Fact| match fact {
            Fact::Unit(unit) => observed.unit(unit).is(|state| state.is_active()),
            Fact::Pod(pod) => observed.pod(pod).is(|runs| *runs),
            Fact::BgpSessions(peers) => observed.peers_with(peers).is(|up| *up),
            _ => true,
        };
        let stopped = parts(site, host).iter().filter(|(_, fact)| !runs(fact));
        let interface = |address: IpAddr| observed.interface_of(address).map(|(name, _)| name);
        let mut interfaces: Vec<String> = site
            .addresses
            .get(host)
            .into_iter()
            .chain(&site.vip)
            .filter_map(|address| interface(*address))
            // An address that is announced by routing lies on the loopback interface: cutting that cuts nobody off.
            .filter(|name| *name != "lo")
            .map(str::to_string)
            .collect();
        interfaces.dedup();
        Self {
            unreachable: None,
            holds_vip: site.vip.is_some_and(|vip| interface(vip).is_some()),
            stopped: stopped.map(|(name, _)| name.clone()).collect(),
            listens: site.frontend.filter(|_| carries).and_then(|port| {
                match observed.listens(port) {
                    Known::Is(listens) => Some(listens),
                    Known::Unknown => None,
                }
            }),
            api: observed.kubernetes.as_ref().and_then(|k| k.api.clone()),
            interfaces,
        }
    }
}

/// Returns the hosts that carry the virtual address, in the order of the site.
pub fn holders(site: &Site, seen: &Seen) -> Vec<HostName> {
    let carries = |host: &&HostName| seen.get(*host).is_some_and(|s| s.holds_vip);
    let mut hosts: Vec<HostName> = site
        .load_balancers
        .iter()
        .chain(&site.control_planes)
        .filter(carries)
        .cloned()
        .collect();
    let mut known = Vec::new();
    hosts.retain(|host| {
        !known.contains(host) && {
            known.push(host.clone());
            true
        }
    });
    hosts
}

/// Returns everything that is missing for the cluster to bear the loss of a host; empty where nothing is.
pub fn missing(site: &Site, seen: &Seen) -> Vec<Missing> {
    let mut found = Vec::new();
    let mut add = |hosts: Vec<HostName>, what: String| found.push(Missing { hosts, what });
    let one = |host: &HostName| vec![host.clone()];
    for host in site.disturbed() {
        match seen.get(&host) {
            None => add(one(&host), "was not looked at".into()),
            Some(HostSeen {
                unreachable: Some(why),
                ..
            }) => add(one(&host), format!("cannot be looked at: {why}")),
            Some(_) => {}
        }
    }
    let reached = |host: &HostName| seen.get(host).filter(|s| s.unreachable.is_none());
    if site.holding != Holding::Nobody {
        if site.load_balancers.len() < LEAST_LOAD_BALANCERS {
            add(
                site.load_balancers.clone(),
                format!(
                    "load balancers: {} of at least {LEAST_LOAD_BALANCERS}; nobody could take over",
                    site.load_balancers.len()
                ),
            );
        }
        for host in &site.load_balancers {
            let Some(state) = reached(host) else { continue };
            for unit in &state.stopped {
                add(one(host), format!("{unit} does not run"));
            }
            if let (Some(false), Some(port)) = (state.listens, site.frontend) {
                add(one(host), format!("nothing listens on port {port}"));
            }
        }
        let holding = holders(site, seen);
        let vip = site.vip.map_or(String::new(), |vip| vip.to_string());
        match site.holding {
            Holding::One if holding.len() != 1 => add(
                holding.clone(),
                format!(
                    "{vip} is to be on exactly one host; it is on {}",
                    list(&holding)
                ),
            ),
            Holding::Each => {
                for host in site.load_balancers.iter().filter(|h| !holding.contains(h)) {
                    add(one(host), format!("does not carry {vip}"));
                }
            }
            Holding::One | Holding::Nobody => {}
        }
    }
    for host in &site.control_planes {
        let Some(state) = reached(host) else { continue };
        match &state.api {
            None => add(one(host), "has no API server".into()),
            Some(api) if !api.ready => add(one(host), "its API server is not ready".into()),
            Some(_) => {}
        }
        if state.api.as_ref().is_some_and(|api| api.members.is_none()) {
            add(one(host), "its member of etcd does not answer".into());
        }
    }
    members(site, seen, &mut add);
    nodes(site, seen, &mut add);
    found
}

/// Adds what is missing of etcd, by the word of the first member that answers.
fn members(site: &Site, seen: &Seen, add: &mut impl FnMut(Vec<HostName>, String)) {
    let word = site.control_planes.iter().find_map(|host| {
        let api = seen.get(host)?.api.as_ref()?;
        api.members.as_ref()
    });
    let Some(members) = word else { return };
    let voting = members.iter().filter(|m| !m.learner).count();
    if voting < LEAST_MEMBERS {
        add(
            Vec::new(),
            format!("etcd has {voting} voting members of at least {LEAST_MEMBERS}"),
        );
    }
    for host in &site.control_planes {
        let own = members.iter().find(|m| m.name == host.as_str());
        match own {
            None => add(vec![host.clone()], "is no member of etcd".into()),
            Some(member) if member.learner => {
                add(vec![host.clone()], "its member of etcd has no vote".into())
            }
            Some(_) => {}
        }
    }
}

/// Adds nodes that are not Ready, by the word of the first API server that is ready.
fn nodes(site: &Site, seen: &Seen, add: &mut impl FnMut(Vec<HostName>, String)) {
    let word = site.control_planes.iter().find_map(|host| {
        let api = seen.get(host)?.api.as_ref().filter(|api| api.ready)?;
        api.nodes.as_ref()
    });
    let Some(nodes) = word else {
        add(
            Vec::new(),
            "no API server says which nodes are Ready".into(),
        );
        return;
    };
    for host in site.control_planes.iter().chain(&site.workers) {
        match nodes.iter().find(|n| n.name == host.as_str()) {
            None => add(vec![host.clone()], "is no node of the cluster".into()),
            Some(node) if !node.is_ready() => {
                add(vec![host.clone()], format!("its node is {}", node.status))
            }
            Some(_) => {}
        }
    }
}

/// Returns what is missing as one sentence.
pub fn sentence(missing: &[Missing]) -> String {
    let parts: Vec<String> = missing
        .iter()
        .map(|m| match m.hosts.as_slice() {
            [host] => format!("{host}: {}", m.what),
            _ => m.what.clone(),
        })
        .collect();
    parts.join("; ")
}
