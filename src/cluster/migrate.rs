//! Moving a live cluster from one way of the load balancer to another, by what its hosts look like.
//!
//! Which host is where is read off the hosts alone, so that a run goes on where another was killed:
//!
//! 1. every host has what the new way needs (images, packages, a kubeconfig), while the old way serves;
//! 2. the old way is taken down on all hosts but the one that holds the address;
//! 3. the holder is switched: a bridge (the address on `lo`, its port redirected to the host's own API server) serves while
//!    the old way goes and the new one comes up on the same host, so that the address never leaves it;
//! 4. the other hosts are brought up, one at a time, as any change of a load balancer is.
//!
//! docs/design/0014-moving-a-live-cluster.md has the reasons.

pub mod steps;

use super::act::START_OVER;
use super::next::{Act, Refusal};
use super::spec::Way;
use super::view::{HostView, Shape, View};
use crate::model::HostName;

/// What a client may miss, as the end of a sentence.
pub const OUTAGE: &str =
    "at most 3 s for new connections; those through the old load balancer are cut once";

/// Where a move stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stage {
    /// Nothing is left of another way, and no bridge is up.
    Settled,
    /// What is to be done next: all of these at once.
    Next(Vec<Act>),
    /// Going on would be unsafe.
    Refuse(Refusal),
}

/// Returns whether a host is in a move: something of another way is left on it, or it serves by a bridge.
pub fn is_moving(host: &HostView) -> bool {
    host.moving.old.is_some() || host.moving.bridge
}

/// Returns whether a move is under way or to be begun. Until it is over no host is brought up with the new way.
pub fn under_way(shape: &Shape, view: &View) -> bool {
    balancers(shape, view).any(|(_, host)| is_moving(host))
}

fn balancers<'a>(
    shape: &'a Shape,
    view: &'a View,
) -> impl Iterator<Item = (&'a HostName, &'a HostView)> {
    shape
        .load_balancers
        .iter()
        .filter_map(|name| Some((name, view.hosts.get(name)?)))
}

/// Returns whether no cluster lives on any host, for sure: all of them could be looked at, and none shows membership. Then
/// nobody is served by what another way has left, and it is taken down with the host's preparation.
pub fn is_vacant(shape: &Shape, view: &View) -> bool {
    let vacant = |host: &HostView| {
        let kubernetes = &host.kubernetes;
        host.is_known()
            && !host.shows_membership()
            && kubernetes.ca.is_none()
            && kubernetes.marker.is_none()
            && !kubernetes.kubeadm_running
            && !host.moving.bridge
    };
    let mut all = shape.nodes().chain(&shape.load_balancers);
    view.api.is_none() && all.all(|name| view.hosts.get(name).is_some_and(vacant))
}

/// Returns why a host cannot be brought up where another way is at work on it or has left files, no API server answers, and yet a
/// cluster may live. Those files are what tells, once the host is bare, that an address there is ours to take away.
pub fn without_cluster(host: &HostView) -> Option<String> {
    let old = host.moving.old.as_ref().or(host.moving.left.as_ref())?;
    let from = match old.from {
        None => "another way".to_string(),
        // Both leave the same files.
        Some(Way::KubeVipArp | Way::KubeVipBgp) if !old.is_at_work() => {
            format!("`{}` or `{}`", Way::KubeVipArp, Way::KubeVipBgp)
        }
        Some(way) => format!("`load_balancer: {way}`"),
    };
    Some(format!(
        "{from} has left something here, the inventory says `{}`, and no API server answers, yet a host shows a cluster or could not be looked at: bring the cluster back with the old `load_balancer` and change it then; only where it is given up for good, with all its data, run `{START_OVER}` on all its nodes, then run again",
        old.to
    ))
}

/// Returns what is next in a move of a live cluster.
pub fn stage(shape: &Shape, view: &View) -> Stage {
    if !under_way(shape, view) {
        return Stage::Settled;
    }
    if let Some(refusal) = unfit(shape, view) {
        return Stage::Refuse(refusal);
    }
    let all: Vec<(&HostName, &HostView)> = balancers(shape, view).collect();
    let names = |test: &dyn Fn(&HostView) -> bool| -> Vec<&HostName> {
        all.iter()
            .filter(|(_, h)| test(h))
            .map(|(n, _)| *n)
            .collect()
    };
    let old = names(&|h| h.moving.old.is_some());
    let bridges = names(&|h| h.moving.bridge);
    let holders = names(&|h| h.holds_vip);
    let begun = begun(shape, view);
    // Who serves from here on: by the bridge that is up, as the one holder, or, where a move was begun and its holder
    // went down, the first that can.
    let serves = match (bridges.as_slice(), holders.as_slice()) {
        ([one], _) => *one,
        ([], [one]) => *one,
        ([], []) if begun => match old.first() {
            Some(first) => *first,
            None => return Stage::Settled,
        },
        ([], found) => return Stage::Refuse(not_one(found)),
        (found, _) => return Stage::Refuse(two_bridges(found)),
    };
    let bridged = !bridges.is_empty();
    let release: Vec<Act> = old
        .iter()
        .filter(|name| **name != serves)
        .map(|name| Act::Release {
            host: (*name).clone(),
            bridged,
        })
        .collect();
    if !release.is_empty() {
        return Stage::Next(release);
    }
    Stage::Next(vec![Act::Switch {
        host: serves.clone(),
        holds: holders.contains(&serves),
    }])
}

/// Returns why a move may not be begun, or not go on.
fn unfit(shape: &Shape, view: &View) -> Option<Refusal> {
    let refuse = |hosts: Vec<HostName>, message: String, help: String| {
        Some(Refusal {
            hosts,
            message: format!("the load balancer is not moved: {message}"),
            help,
        })
    };
    let among = |test: &dyn Fn(&HostName) -> bool| -> Vec<HostName> {
        let all = shape.load_balancers.iter();
        all.filter(|name| test(name)).cloned().collect()
    };
    let left = among(&|n| view.hosts.get(n).is_none_or(|h| !h.ours));
    if !left.is_empty() {
        let message = format!("{} not in this run's --limit", are(&left));
        let help = "a move concerns all hosts that carry the load balancer: run again without --limit, or with all of them in it";
        return refuse(left, message, help.into());
    }
    let unknown = among(&|n| view.hosts.get(n).is_some_and(|h| !h.is_known()));
    if !unknown.is_empty() {
        let message = format!(
            "{} cannot be looked at: the address may be there",
            super::next::names(&unknown)
        );
        return refuse(unknown, message, "bring the host back and run again".into());
    }
    for (name, host) in balancers(shape, view) {
        if let Some(lacks) = &host.moving.lacks {
            let help = format!("see to it on {name} and run again");
            return refuse(vec![name.clone()], format!("{name} lacks {lacks}"), help);
        }
    }
    // Begun it goes on, whoever is ill: who serves by a bridge alone has the less time.
    if begun(shape, view) {
        return None;
    }
    let ready = |n: &HostName| {
        let api = view.hosts.get(n).and_then(HostView::api);
        api.is_some_and(|api| api.ready)
    };
    let ill: Vec<HostName> = shape
        .control_planes
        .iter()
        .filter(|n| view.is_control_plane(n) && !ready(n))
        .cloned()
        .collect();
    if ill.is_empty() {
        return None;
    }
    let message = format!(
        "the API server of {} is not ready, and a move needs all of them",
        super::next::names(&ill)
    );
    let help = "bring it back first: put the old `load_balancer` into the inventory, run `quorate status` and `quorate apply`, then change it again".to_string();
    refuse(ill, message, help)
}

/// Returns whether a move was begun: a bridge is up, or a member has nothing of the old way any more. A host that is yet to
/// join never had any.
fn begun(shape: &Shape, view: &View) -> bool {
    balancers(shape, view).any(|(name, host)| {
        host.moving.bridge || (host.moving.old.is_none() && view.is_control_plane(name))
    })
}

fn are(names: &[HostName]) -> String {
    let verb = if names.len() == 1 { "is" } else { "are" };
    format!("{} {verb}", super::next::names(names))
}

fn not_one(holders: &[&HostName]) -> Refusal {
    let (message, help) = if holders.is_empty() {
        (
            "no host holds the address".to_string(),
            "bring the old way back first: put the old `load_balancer` into the inventory, look with `quorate status`, run `quorate apply`, then change it again".to_string(),
        )
    } else {
        (
            format!("{} hold the address at once", super::next::names(holders)),
            "take it off those that do not serve it with `ip address del` (`ip -o address` shows the interface), or, where keepalived runs on each and hears nobody, with `systemctl stop keepalived` on all but one; from and to kube-vip-bgp, where every host holds it, a live cluster is not moved".to_string(),
        )
    };
    Refusal {
        hosts: holders.iter().map(|n| (*n).clone()).collect(),
        message: format!("the load balancer is not moved: {message}"),
        help,
    }
}

fn two_bridges(found: &[&HostName]) -> Refusal {
    Refusal {
        hosts: found.iter().map(|n| (*n).clone()).collect(),
        message: format!(
            "the load balancer is not moved: {} serve by a bridge at once",
            super::next::names(found)
        ),
        help: format!(
            "run `systemctl stop {}` on all of them but one, and run again",
            steps::BRIDGE
        ),
    }
}

/// Returns what a move would do, for a plan: host, what, why, in the order in which it is done.
pub fn forecast(shape: &Shape, view: &View) -> Vec<(HostName, String, String)> {
    let mut view = view.clone();
    let mut acts = Vec::new();
    let mut place: Vec<HostName> = shape.load_balancers.clone();
    // Each round takes what was left off one host at least.
    for _ in 0..=2 * shape.load_balancers.len() {
        let Stage::Next(next) = stage(shape, &view) else {
            break;
        };
        for act in next {
            let Some(host) = act.host().and_then(|n| view.hosts.get_mut(n)) else {
                continue;
            };
            let old = host.moving.old.take();
            let words = old.as_ref().map_or_else(
                || "a move that was begun".to_string(),
                |old| match old.from {
                    Some(from) => format!("load_balancer: {from} -> {}", old.to),
                    None => format!("a move to {} that was begun", old.to),
                },
            );
            host.moving.bridge = false;
            match act {
                Act::Release { host, .. } => {
                    let what = "take the old load balancer down, while the holder of the address serves alone";
                    acts.push((host, what.to_string(), words));
                }
                Act::Switch { host: name, .. } => {
                    let what = format!(
                        "switch to the new load balancer under a bridge; expected outage: {OUTAGE}"
                    );
                    place.retain(|other| *other != name);
                    acts.push((name, what, words));
                }
                _ => {}
            }
        }
    }
    if acts.is_empty() {
        return acts;
    }
    let why = "one host at a time, each when the one before answers";
    acts.extend(place.into_iter().map(|host| {
        let what = "bring the new load balancer up".to_string();
        (host, what, why.to_string())
    }));
    for (number, (_, what, _)) in acts.iter_mut().enumerate() {
        *what = format!("{}. {what}", number + 1);
    }
    acts
}
