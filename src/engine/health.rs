//! How well a cluster is, in one sentence: what is down is named by its host.

use std::collections::HashSet;

use super::state::{HostState, State};
use crate::cluster::Standing;
use crate::cluster::load_balancer::Holders;
use crate::host::fact::{Kubernetes, Reach};
use crate::host::{Fact, Known};
use crate::model::HostName;

/// What is down on a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Down {
    /// What it is and how.
    pub said: String,
    /// Whether it may be well without anybody's doing.
    pub heals: Heals,
}

/// Whether what is down may be well without anybody's doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heals {
    /// It may be starting.
    Soon,
    /// The kubelet begins it again, the later the more often it has ended.
    Later,
    /// It stays so.
    Never,
}

impl Down {
    fn new(said: String, heals: Heals) -> Self {
        Self { said, heals }
    }
}

/// The kubelet's unit, as role `kubernetes` asks for it.
pub(super) const KUBELET: &str = "kubelet";

/// Returns one sentence on the cluster and whether it is as it should be; `None` where there is none yet.
pub(super) fn summary(state: &State) -> Option<(String, bool)> {
    let (_, api) = state.view.api()?;
    let desired = &state.settings.desired;
    let shape = desired.shape();
    let wanted = shape.control_planes.len() + shape.workers.len();
    let listed = |name: &&HostName| api.node(name.as_str());
    let there = shape.nodes().filter_map(|name| listed(&name)).count();
    let waiting: Vec<&HostName> = shape
        .nodes()
        .filter(|name| listed(name).is_some_and(|n| !n.is_ready()))
        .collect();
    let ready = there - waiting.len();
    let voters = api
        .members
        .as_ref()
        .map(|m| m.iter().filter(|m| !m.learner).count());
    let mut parts = vec![format!("{ready} of {} Ready", count(wanted, "node"))];
    parts.extend(api.version.iter().cloned());
    parts.extend(voters.map(|v| count(v, "etcd member")));
    let mut healthy = ready == wanted || (!desired.has_network() && there == wanted);
    let (address, well) = address(state);
    parts.extend(address);
    healthy &= well;
    if desired.is_external() {
        let (said, well) = external(state);
        parts.push(said);
        healthy &= well;
    }
    if !desired.has_network() && ready < wanted {
        parts.push("nodes are not Ready until a network (CNI) is installed".into());
    } else if !waiting.is_empty() {
        parts.push(format!("not Ready: {}", join(&waiting)));
    }
    let unknown: Vec<&HostName> = state
        .hosts
        .iter()
        .filter(|(_, host)| matches!(host.standing, Standing::Unknown(_)))
        .map(|(name, _)| name)
        .collect();
    if !unknown.is_empty() {
        parts.push(format!("not looked at: {}", join(&unknown)));
    }
    parts.extend(pressed(state));
    let unlisted: Vec<&HostName> = shape.nodes().filter(|n| listed(n).is_none()).collect();
    if !unlisted.is_empty() {
        parts.push(format!("not in it: {}", join(&unlisted)));
        healthy = false;
    }
    for (name, down) in ill(state) {
        let said: Vec<String> = down.into_iter().map(|down| down.said).collect();
        parts.push(format!("{name}: {}", said.join(", ")));
        healthy = false;
    }
    for member in api.members.iter().flatten().filter(|m| m.name.is_empty()) {
        let peers = member.peers.join(", ");
        parts.push(format!("an etcd member at {peers} has never started"));
        healthy = false;
    }
    let ours: HashSet<&str> = shape.nodes().map(HostName::as_str).collect();
    let nodes = api.nodes.iter().flatten().map(|n| n.name.as_str());
    let extra: Vec<&str> = nodes.filter(|n| !ours.contains(n)).collect();
    if !extra.is_empty() {
        parts.push(format!(
            "not in the inventory any more: {} (to remove one, in this order, since a control plane leaves etcd by its Node: `kubectl drain NODE --ignore-daemonsets`, `kubeadm reset` there, `kubectl delete node NODE`)",
            extra.join(", ")
        ));
    }
    Some((parts.join(" · "), healthy))
}

/// Says on which nodes nothing new is started since their disk, memory or processes run short. They are Ready all the same, and it
/// passes by itself where there is room again (kubernetes.io, Node-pressure Eviction).
fn pressed(state: &State) -> Option<String> {
    let nodes = state.settings.desired.shape().nodes();
    let said = nodes.flat_map(|name| {
        let host = state.hosts.get(name);
        let node = host.and_then(|host| host.observed.kubernetes.as_ref()?.own_node.as_ref());
        let taints = node.into_iter().flat_map(|node| &node.taints);
        let short = taints.filter_map(|(key, ..)| {
            let what = key.strip_prefix("node.kubernetes.io/")?;
            what.ends_with("-pressure").then_some(what)
        });
        short
            .map(|what| format!("{what} on {name}"))
            .collect::<Vec<_>>()
    });
    let said = said.collect::<Vec<_>>().join(", ");
    (!said.is_empty()).then(|| format!("starts no new pods: {said}"))
}

/// Says who holds the virtual address, where quorate manages one, and whether that is well.
fn address(state: &State) -> (Option<String>, bool) {
    let desired = &state.settings.desired;
    let carriers = &desired.shape().load_balancers;
    let Some(vip) = desired.vip().filter(|_| !carriers.is_empty()) else {
        return (None, true);
    };
    let holders = state.view.vip_holders(carriers);
    let rule = desired.holders();
    let said = match holders.as_slice() {
        many if rule == Holders::Each => format!("{vip} on {} of {}", many.len(), carriers.len()),
        [holder] => format!("{vip} on {holder}"),
        [] => format!("{vip} on no host"),
        many => format!("{vip} on {} hosts: {}", many.len(), join(many)),
    };
    let well = match rule {
        Holders::One => holders.len() == 1,
        Holders::Each => holders.len() == carriers.len(),
    };
    let others = state.view.hosts.iter().filter(|(_, host)| host.holds_vip);
    let others: Vec<&HostName> = others
        .map(|(name, _)| name)
        .filter(|n| !carriers.contains(n))
        .collect();
    if others.is_empty() {
        return (Some(said), well);
    }
    let said = format!(
        "{said}, and on {}, which is to have no load balancer",
        join(&others)
    );
    (Some(said), false)
}

/// Returns the hosts that have an address which one alone may have, where nothing that is to be done there would take it away.
pub(super) fn strays(state: &State) -> Vec<HostName> {
    let desired = &state.settings.desired;
    let holders = state.view.vip_holders(&desired.shape().load_balancers);
    let idle = |name: &&HostName| state.hosts.get(*name).is_some_and(|h| h.plan.is_empty());
    if desired.holders() != Holders::One || holders.len() < 2 || !holders.iter().all(idle) {
        return Vec::new();
    }
    holders.into_iter().cloned().collect()
}

/// Returns what to do about an address on several hosts.
pub(super) fn help_with_strays(state: &State) -> Option<String> {
    let vip = state.settings.desired.vip()?;
    let (keeper, _) = keeper(state);
    Some(format!(
        "an address that was put there by hand, or left behind, is nobody's to take away: see which interface has it with `ip -br address` on each, and remove it with `ip address del {vip}/32 dev INTERFACE` on all but one; {keeper} puts its own back: {}",
        where_to_look(state)
    ))
}

/// Returns what holds the address by the inventory's way, and whether that is a service.
fn keeper(state: &State) -> (&'static str, bool) {
    let desired = &state.settings.desired;
    let carrier = desired.shape().load_balancers.first();
    let parts = carrier.map_or_else(Vec::new, |host| desired.balancers(host));
    let keeper = parts.iter().find(|(name, _)| *name == "keepalived");
    let keeper = keeper.or(parts.first());
    keeper.map_or(("keepalived", true), |(name, fact)| {
        (*name, matches!(fact, Fact::Unit(_)))
    })
}

/// Returns where to look when the address is not where it is to be.
pub(super) fn where_to_look(state: &State) -> String {
    let (name, service) = keeper(state);
    let mut help = match service {
        true => format!("look at `journalctl -u {name}` on the load balancers"),
        false => {
            format!("look at `kubectl -n kube-system logs {name}-NODE` of each control plane")
        }
    };
    if name == "keepalived" {
        help.push_str(": do they hear each other's adverts (IP protocol 112)?");
    }
    help
}

/// Returns what is down on which host that belongs to the cluster, or carries its load balancer. What was not asked, or not
/// answered by a host that cannot be reached, is not judged here.
pub(super) fn ill(state: &State) -> Vec<(HostName, Vec<Down>)> {
    let shape = state.settings.desired.shape();
    let seen = state
        .hosts
        .iter()
        .filter(|(_, host)| host.session.is_some());
    seen.filter_map(|(name, host)| {
        let mut down = Vec::new();
        let member = state.view.node(name).is_some();
        if member && shape.control_planes.contains(name) {
            let kubernetes = host.observed.kubernetes.as_ref();
            down.extend(kubernetes.map_or_else(Vec::new, |k| control_plane(state, name, k)));
        }
        if !waits_for_its_move(state, name) {
            let parts = balancer(state, name).into_iter();
            down.extend(parts.map(|said| Down::new(said, Heals::Soon)));
        }
        let stays = |said| Down::new(said, Heals::Never);
        down.extend(unread(state, name, host).into_iter().map(stays));
        down.extend(expired(state, name, host).into_iter().map(stays));
        let kubelet = host.observed.unit(KUBELET);
        if member
            && let Known::Is(unit) = kubelet
            && !unit.is_active()
        {
            let said = format!("{KUBELET} {}", unit.active);
            down.push(Down::new(said, Heals::Soon));
        }
        (!down.is_empty()).then(|| (name.clone(), down))
    })
    .collect()
}

/// Returns whether another way serves on a host, and nothing of the one that the inventory asks for: that one is yet to come.
fn waits_for_its_move(state: &State, name: &HostName) -> bool {
    let host = state.view.hosts.get(name);
    host.is_some_and(|host| host.moving.old.is_some()) && !serves(state, name)
}

/// Returns which parts of the load balancer run by an older configuration than the one that lies there: a handler of an earlier
/// run, which was to tell them, has failed or was not reached.
fn unread(state: &State, name: &HostName, host: &HostState) -> Vec<String> {
    let parts = parts(state, name).into_iter();
    // A pod reads its configuration when it starts: marks are of a way with services, which may have been left since.
    let unread = parts.filter(|(part, fact, _)| {
        let mut pending = host.observed.pending.iter();
        matches!(fact, Fact::Unit(_)) && pending.any(|mark| mark.split('.').next() == Some(part))
    });
    unread
        .map(|(part, ..)| format!("{part} has not read its new configuration"))
        .collect()
}

/// Returns which certificates are over on a host, by its own clock: what speaks by them goes on until it starts anew, or asks
/// again.
fn expired(state: &State, name: &HostName, host: &HostState) -> Vec<String> {
    let shape = state.settings.desired.shape();
    let Some(kubernetes) = &host.observed.kubernetes else {
        return Vec::new();
    };
    let client = kubernetes.kube_vip.as_ref().and_then(|k| k.client.as_ref());
    let client = client.filter(|_| shape.load_balancers.contains(name));
    let server = kubernetes.certificate_expiry;
    let server = server.filter(|_| shape.control_planes.contains(name));
    [
        ("the API server's", server),
        ("kube-vip's", client.map(|client| client.not_after)),
    ]
    .into_iter()
    .filter(|(_, end)| end.is_some_and(|end| end <= host.observed.system.clock))
    .map(|(whose, _)| format!("{whose} certificate has expired"))
    .collect()
}

/// Returns what of the load balancer is down on a host.
fn balancer(state: &State, name: &HostName) -> Vec<String> {
    let parts = parts(state, name).into_iter();
    let down = parts.filter(|(.., how)| !is_up(how) && how != "unknown");
    let host = state.hosts.get(name);
    down.map(|(part, fact, how)| match (&fact, host) {
        (Fact::BgpSessions(peers), Some(host)) => {
            let lacking = list(&host.observed.peers_without(peers));
            format!("no BGP session with {lacking}{}", refused(host, &fact))
        }
        _ => format!("{part} {how}"),
    })
    .collect()
}

/// Returns how each part of the load balancer is on a host that was looked at, as far as it has to be there already.
fn parts(state: &State, name: &HostName) -> Vec<(&'static str, Fact, String)> {
    let Some(host) = state.hosts.get(name).filter(|host| host.session.is_some()) else {
        return Vec::new();
    };
    let member = state.view.node(name).is_some();
    let parts = state.settings.desired.balancers(name).into_iter();
    // A static pod waits for the kubelet, and with it for kubeadm; a unit that is not there yet comes with its package.
    let due = parts.filter(|(_, fact)| match fact {
        Fact::Unit(unit) => member || host.observed.unit(unit).is(|unit| unit.load == "loaded"),
        _ => member,
    });
    due.map(|(part, fact)| {
        let how = running(host, &fact).to_owned();
        (part, fact, how)
    })
    .collect()
}

fn is_up(how: &str) -> bool {
    matches!(how, "active" | "running" | "up")
}

/// Returns whose load balancer is down, and what of it, so that a host may not be changed whose own one is well: else a
/// configuration that no daemon bears would take one host after the other, run by run.
pub(super) fn bars(state: &State, name: &HostName) -> Option<(HostName, Vec<String>)> {
    // Who does not serve yet has nothing to lose either.
    if !serves(state, name) {
        return None;
    }
    let carriers = state.settings.desired.shape().load_balancers.iter();
    let down = carriers.map(|of| (of.clone(), unfit(state, of)));
    barred_by(name, down.collect())
}

fn barred_by(
    name: &HostName,
    down: Vec<(HostName, Vec<String>)>,
) -> Option<(HostName, Vec<String>)> {
    let (_, own) = down.iter().find(|(of, _)| of == name)?;
    if !own.is_empty() {
        return None;
    }
    down.into_iter().find(|(_, down)| !down.is_empty())
}

/// Returns in which order load balancers are changed: those that are down, then those that are well, then who has the address, and
/// last who has none yet: it would not hear the others (`vrrp_unicast`) before they know it.
pub(super) fn turn(state: &State, name: &HostName) -> u8 {
    let holds = state.view.hosts.get(name).is_some_and(|h| h.holds_vip);
    let carries = state.settings.desired.shape().load_balancers.contains(name);
    match unfit(state, name).is_empty() {
        false => 0,
        true if holds => 2,
        true if carries && !serves(state, name) => 3,
        true => 1,
    }
}

/// Returns why a host's load balancer serves nobody, or would not after its next start: what it has not read may be what no daemon
/// bears.
fn unfit(state: &State, name: &HostName) -> Vec<String> {
    let mut found = unserving(state, name);
    if let Some(host) = state.hosts.get(name) {
        found.extend(unread(state, name, host));
    }
    found
}

/// Returns what of the load balancer is down on a host so that it serves nobody: by BGP one router is enough.
fn unserving(state: &State, name: &HostName) -> Vec<String> {
    let bgp = |fact: &Fact| matches!(fact, Fact::BgpSessions(_));
    let others = parts(state, name)
        .iter()
        .any(|(_, fact, how)| !bgp(fact) && !is_up(how) && how != "unknown");
    if !others && silent(state, name).is_none() {
        return Vec::new();
    }
    balancer(state, name)
}

fn serves(state: &State, name: &HostName) -> bool {
    parts(state, name).iter().any(|(.., how)| is_up(how))
}

/// Returns why no router learns the address from a host, where routers are to.
pub(super) fn silent(state: &State, name: &HostName) -> Option<String> {
    let host = state.hosts.get(name)?;
    let parts = state.settings.desired.balancers(name).into_iter();
    let mut sessions = parts.filter_map(|(_, fact)| match &fact {
        Fact::BgpSessions(peers) => {
            let none = host.observed.any_peer_of(peers).is(|any| !any);
            let why = refused(host, &fact);
            none.then(|| format!("no BGP session with {}{why}", list(peers)))
        }
        _ => None,
    });
    sessions.next()
}

/// Returns what of a control plane is down on a host that is a node of the cluster.
fn control_plane(state: &State, name: &HostName, seen: &Kubernetes) -> Vec<Down> {
    let mut down = Vec::new();
    let server = server(seen).filter(|s| *s != "ready");
    let soon = |said| Down::new(said, Heals::Soon);
    down.extend(server.map(|how| soon(format!("API server {how}"))));
    let etcd = etcd(state, name, seen).err();
    down.extend(etcd.map(|how| soon(format!("etcd {how}"))));
    for part in ["kube-controller-manager", "kube-scheduler"] {
        if !has_trace(seen, &format!("/{part}.yaml")) {
            down.push(soon(format!("{part} without its manifest")));
        } else if !seen.processes.iter().any(|process| process == part) {
            down.push(Down::new(format!("{part} not running"), Heals::Later));
        }
    }
    down
}

/// Returns how the API server of a control plane is; `None` where nothing on the host could ask it.
pub(super) fn server(seen: &Kubernetes) -> Option<&'static str> {
    if !has_trace(seen, "kube-apiserver.yaml") {
        return Some("without its manifest");
    }
    seen.api.as_ref().map(|api| match (api.ready, api.live) {
        (true, _) => "ready",
        (false, true) => "live, not ready",
        (false, false) => "down",
    })
}

/// Returns how the member of etcd on a control plane is: well, or not.
pub(super) fn etcd(
    state: &State,
    name: &HostName,
    seen: &Kubernetes,
) -> Result<&'static str, &'static str> {
    let known = state.view.api().and_then(|(_, api)| api.members.as_deref());
    let own = seen.api.as_ref();
    let members = own.and_then(|api| api.members.as_deref()).or(known);
    let leads = own.and_then(|api| api.leads);
    let member = members
        .unwrap_or_default()
        .iter()
        .find(|m| m.name == name.as_str());
    let placed = has_trace(seen, "/etcd.yaml");
    match member {
        Some(_) if !placed => Err("without its manifest"),
        None if members.is_some() => Err("does not list it"),
        _ if placed && own.is_some_and(|api| api.members.is_none() && api.leads.is_none()) => {
            Err("down")
        }
        Some(member) if member.learner => Err("without a vote"),
        Some(_) if leads == Some(true) => Ok("leader"),
        Some(_) => Ok("voting"),
        None => Ok("unknown"),
    }
}

fn has_trace(seen: &Kubernetes, end: &str) -> bool {
    seen.traces.iter().any(|trace| trace.ends_with(end))
}

/// Returns a number with its noun.
fn count(number: usize, noun: &str) -> String {
    let end = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{end}")
}

/// Returns how somebody else's load balancer answers from each node that was asked.
fn reached(state: &State) -> Vec<(&HostName, Reach)> {
    let member = |n: &&HostName| state.view.node(n).is_some();
    let nodes = state.settings.desired.shape().nodes().filter(member);
    nodes
        .filter_map(|n| Some((n, state.view.hosts.get(n)?.reach?)))
        .collect()
}

/// Returns the nodes that somebody else's load balancer does not answer: it may not have noticed yet who serves.
pub(super) fn unreached(state: &State) -> Vec<(HostName, Vec<Down>)> {
    if !state.settings.desired.is_external() {
        return Vec::new();
    }
    let ill = reached(state).into_iter().filter(|(_, r)| !r.is_well());
    ill.map(|(name, reach)| {
        (
            name.clone(),
            vec![Down::new(reach.to_string(), Heals::Soon)],
        )
    })
    .collect()
}

/// Says how somebody else's load balancer answers from the nodes, and whether it is well.
fn external(state: &State) -> (String, bool) {
    let endpoint = &state.settings.desired.shape().endpoint;
    let asked = reached(state);
    let ill = asked.iter().filter(|(_, reach)| !reach.is_well());
    let ill: Vec<String> = ill
        .map(|(name, reach)| format!("{name} ({reach})"))
        .collect();
    if ill.is_empty() {
        let nodes = count(asked.len(), "node");
        return (format!("{endpoint} answers from {nodes}"), true);
    }
    let said = format!("{endpoint} does not answer from {}", ill.join(", "));
    (said, false)
}

/// Returns names as a list in a sentence.
pub(super) fn join(names: &[&HostName]) -> String {
    names
        .iter()
        .map(|n| n.as_str())
        .collect::<Vec<_>>()
        .join(", ")
}

/// Returns which BGP peers refuse the session because of an AS number, as the end of a sentence.
fn refused(host: &HostState, fact: &Fact) -> String {
    let Fact::BgpSessions(peers) = fact else {
        return String::new();
    };
    let peers = host.observed.peers_of_another_as(peers);
    if peers.is_empty() {
        return String::new();
    }
    format!(
        " (not agreed with {} on an AS number: `bgp_local_as` here, the second part of its entry in `bgp_peers` there)",
        list(&peers)
    )
}

fn list(addresses: &[std::net::IpAddr]) -> String {
    let all: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    all.join(", ")
}

/// Returns how a unit or a static pod is.
pub(super) fn running<'a>(host: &'a HostState, fact: &Fact) -> &'a str {
    match fact {
        Fact::Unit(unit) => match host.observed.unit(unit) {
            Known::Is(state) if state.is_active() => "active",
            Known::Is(state) if !state.active.is_empty() => &state.active,
            _ => "unknown",
        },
        Fact::Pod(pod) => match host.observed.pod(pod) {
            Known::Is(true) => "running",
            Known::Is(false) => "not running",
            Known::Unknown => "unknown",
        },
        Fact::BgpSessions(peers) => match host.observed.peers_with(peers) {
            Known::Is(true) => "up",
            Known::Is(false) => "down",
            Known::Unknown => "unknown",
        },
        _ => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_load_balancer_that_is_well_is_not_touched_while_another_is_down() {
        let name = |n: &str| HostName::new(n).unwrap();
        let hosts = |down: &[&str]| -> Vec<(HostName, Vec<String>)> {
            let what = |n: &str| match down.contains(&n) {
                true => vec!["haproxy not running".to_owned()],
                false => Vec::new(),
            };
            ["cp1", "cp2", "cp3"].map(|n| (name(n), what(n))).into()
        };
        for (down, host, by) in [
            (&[][..], "cp2", None),
            (&["cp1"], "cp2", Some("cp1")),
            (&["cp3"], "cp1", Some("cp3")),
            // Who is down himself has nothing to lose.
            (&["cp1"], "cp1", None),
            (&["cp1", "cp2"], "cp2", None),
            (&["cp1", "cp2"], "cp3", Some("cp1")),
            // Whoever carries none is no matter of theirs.
            (&["cp1"], "w1", None),
        ] {
            let barred = barred_by(&name(host), hosts(down));
            let barred = barred.map(|(of, _)| of.to_string());
            assert_eq!(barred.as_deref(), by, "{down:?}, {host}");
        }
    }
}
