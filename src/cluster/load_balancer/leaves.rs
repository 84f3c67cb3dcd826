//! What a way leaves on a host, and what is found of another one: two ways on one host would both take the VIP.

use super::kube_vip::MANIFEST;
use super::parts;
use crate::cluster::spec::Way;
use crate::host::{Fact, Facts, Known, Observed};

/// What a way leaves on a host that carried it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leaves {
    /// Manifests of static pods, to be removed before all else: the kubelet ends what has none. `kubeadm reset` empties
    /// their folder.
    pub manifests: &'static [&'static str],
    /// systemd units, to be stopped and disabled.
    pub units: &'static [&'static str],
    /// Packages, which may stay.
    pub packages: &'static [&'static str],
    /// Files and folders of ours.
    pub paths: &'static [&'static str],
    /// Whether the VIP may stay on an interface: keepalived that was killed takes nothing back.
    pub address: bool,
}

/// Lies on a host while what another way left there is taken down: whoever died in the middle has not waited for the end of
/// its pods.
pub const TAKING_DOWN: &str = "/var/lib/quorate/taking-down";
/// The file by which the services, whose names anybody may use, are known to be ours.
const CHECK: &str = "/etc/keepalived/check_apiserver.sh";
/// The services that others may run too.
const COMMON: [&str; 2] = ["keepalived", "haproxy"];
/// What haproxy's service reads; ours by what stands in it, while a run that was cut off has not written [`CHECK`] yet. Before that it is
/// the package's, which names no port: whoever runs it has not come to use it.
const HAPROXY: &str = "/etc/haproxy/haproxy.cfg";
/// Without it keepalived's service does not start (its unit's ConditionFileNotEmpty), whoever has installed it.
const KEEPALIVED: &str = "/etc/keepalived/keepalived.conf";

/// What other ways left on a host, to be taken down when this host's turn in a move comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remains {
    /// Whose it is; `None` where only a takedown was begun.
    pub from: Option<Way>,
    /// The way that the host is to carry.
    pub to: Way,
    /// Manifests of static pods that lie there.
    pub manifests: Vec<&'static str>,
    /// Static pods, without the node's name, that are to be gone.
    pub pods: Vec<&'static str>,
    /// Units that run, or would at boot.
    pub units: Vec<&'static str>,
    /// Files of ours that the way has no use for.
    pub paths: Vec<&'static str>,
}

impl Remains {
    /// Returns whether another way runs on the host, or would after a boot; else only its files are left.
    pub fn is_at_work(&self) -> bool {
        !(self.manifests.is_empty() && self.units.is_empty())
    }
}

/// Returns whether a live cluster can be moved from and to this way. By BGP every node holds the address, and what is
/// somebody else's is not ours to take down.
pub fn is_movable(way: Way) -> bool {
    matches!(
        way,
        Way::KeepalivedHaproxy | Way::KeepalivedHaproxyPods | Way::KubeVipArp
    )
}

/// Returns what other ways have at work on a host that is to carry this one, or would have after a boot, and what a
/// takedown that was begun has left; `None` where that is nothing.
///
/// keepalived and haproxy as services are ours only where our check script lies: it is the last to go.
pub fn remains(way: Way, observed: &Observed) -> Option<Remains> {
    all_remains(way, observed, is_movable, false).filter(|r| is_begun(observed) || r.is_at_work())
}

/// Returns all that is left of other ways on a host that no cluster lives on, whatever those ways are: after `kubeadm
/// reset`, which ends static pods and knows nothing of services, or where the inventory was changed before init.
pub fn remains_of_any(way: Way, observed: &Observed) -> Option<Remains> {
    anything(way, observed, true)
}

/// Returns all that is left of other ways on a host that may be a cluster's, whatever those ways are.
pub fn left_of_any(way: Way, observed: &Observed) -> Option<Remains> {
    anything(way, observed, false)
}

/// Returns whether files of the way itself lie on a host.
pub fn has_own(way: Way, observed: &Observed) -> bool {
    let there = |path: &&str| observed.file(path).is(|state| state.is_some());
    parts(way).is_some_and(|own| own.leaves.paths.iter().any(there))
}

fn anything(way: Way, observed: &Observed, vacant: bool) -> Option<Remains> {
    let any = |r: &Remains| r.is_at_work() || !r.paths.is_empty();
    all_remains(way, observed, |_| true, vacant).filter(|r| is_begun(observed) || any(r))
}

/// Returns whether a takedown was begun on the host, and not ended.
fn is_begun(observed: &Observed) -> bool {
    observed.file(TAKING_DOWN).is(|state| state.is_some())
}

/// Returns files of ours that another way left on a host where it is not at work any more.
pub fn leftovers(way: Way, observed: &Observed) -> Vec<&'static str> {
    match remains(way, observed) {
        Some(_) => Vec::new(),
        None => all_remains(way, observed, is_movable, false).map_or_else(Vec::new, |r| r.paths),
    }
}

/// Where no cluster lives (`vacant`) a haproxy that serves nobody is no way of somebody else's.
fn all_remains(
    way: Way,
    observed: &Observed,
    among: fn(Way) -> bool,
    vacant: bool,
) -> Option<Remains> {
    let own = parts(way).filter(|_| among(way))?;
    let there = |path: &str| observed.file(path).is(|state| state.is_some());
    let begun = is_marked(observed, HAPROXY) || (vacant && listens_nowhere(observed));
    let ours = there(CHECK) || (!there(KEEPALIVED) && there(HAPROXY) && begun);
    let mut remains = Remains {
        from: None,
        to: way,
        manifests: Vec::new(),
        pods: Vec::new(),
        units: Vec::new(),
        paths: Vec::new(),
    };
    // Two ways have configuration files of one name: what is at work says whose they are.
    let mut left = None;
    for (other, leaves) in others(way).filter(|(other, _)| among(*other)) {
        let add = |all: &mut Vec<&'static str>, found: &mut dyn Iterator<Item = &'static str>| {
            let before = all.len();
            for item in found {
                if !all.contains(&item) {
                    all.push(item);
                }
            }
            all.len() > before
        };
        let manifests = leaves.manifests.iter().copied().filter(|m| there(m));
        let mut at_work_here = add(&mut remains.manifests, &mut { manifests });
        let at_work = |unit: &&str| {
            observed.unit(unit).is(|state| {
                let enabled = matches!(state.file.as_str(), "enabled" | "enabled-runtime");
                state.is_starting_or_active() || enabled
            })
        };
        let units = leaves.units.iter().copied().filter(at_work);
        let units = units.filter(|unit| ours || !COMMON.contains(unit));
        at_work_here |= add(&mut remains.units, &mut { units });
        let paths = leaves.paths.iter().copied().filter(|path| there(path));
        let of_services = |path: &str| {
            parts(Way::KeepalivedHaproxy).is_some_and(|p| p.leaves.paths.contains(&path))
        };
        let paths =
            paths.filter(|path| !own.leaves.paths.contains(path) && (ours || !of_services(path)));
        if add(&mut remains.paths, &mut { paths }) {
            left.get_or_insert(other);
        }
        let pods = parts(other).map_or(&[][..], |p| p.pods).iter().copied();
        add(
            &mut remains.pods,
            &mut pods.filter(|pod| !own.pods.contains(pod)),
        );
        if at_work_here {
            remains.from.get_or_insert(other);
        }
    }
    remains.from = remains.from.or(left);
    // By it the rest is known to be ours.
    remains.paths.sort_by_key(|path| *path == CHECK);
    Some(remains)
}

/// Returns the questions whose answers tell that a way other than this one is at work on a host, or has left something, and
/// that this one was there before ([`has_own`]).
pub fn facts_of_others(way: Way) -> Facts {
    let mut facts = Facts::new();
    facts.insert(Fact::Path(TAKING_DOWN.into()));
    facts.insert(Fact::Path(CHECK.into()));
    if way != Way::KeepalivedHaproxy {
        facts.insert(Fact::Content(HAPROXY.into()));
        facts.insert(Fact::Path(KEEPALIVED.into()));
    }
    let own = parts(way).map_or(&[][..], |own| own.leaves.paths);
    facts.extend(own.iter().map(|path| Fact::Path((*path).to_string())));
    for (_, leaves) in others(way) {
        let paths = leaves.manifests.iter().chain(leaves.paths);
        facts.extend(paths.map(|path| Fact::Path((*path).to_string())));
        let units = leaves.units.iter();
        facts.extend(units.map(|unit| Fact::Unit((*unit).to_string())));
    }
    if sibling(way).is_some() {
        facts.insert(Fact::Content(MANIFEST.into()));
    }
    facts
}

fn sibling(way: Way) -> Option<Way> {
    match way {
        Way::KubeVipArp => Some(Way::KubeVipBgp),
        Way::KubeVipBgp => Some(Way::KubeVipArp),
        _ => None,
    }
}

/// Returns that kube-vip's other way is at work on a host, as a sentence for the user. By BGP the address is on every host's
/// `lo`, and stays there when the pod ends: who would answer for it by ARP then is anybody.
pub fn found_of_sibling(way: Way, observed: &Observed) -> Option<String> {
    let other = sibling(way)?;
    let Known::Is(bytes) = observed.content(MANIFEST) else {
        return None;
    };
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.lines().map(str::trim);
    lines.find(|line| *line == "- name: vip_arp")?;
    let is_arp = lines
        .next()?
        .strip_prefix("value:")?
        .trim()
        .trim_matches('"')
        == "true";
    (is_arp == (other == Way::KubeVipArp)).then(|| {
        format!(
            "{MANIFEST} is `load_balancer: {other}`'s, and the inventory says `{way}`: a live cluster is not moved between these two; take the old one down on all hosts (docs/load-balancing.md), then run again"
        )
    })
}

/// Returns what of another way is at work on a host that is not to be moved, as a sentence for the user: a manifest that
/// lies there, or a unit that runs.
pub fn found_of_others(way: Way, observed: &Observed) -> Option<String> {
    let found = others(way).find_map(|(other, leaves)| {
        let manifest = leaves
            .manifests
            .iter()
            .find(|path| observed.file(path).is(|state| state.is_some()))
            .map(|path| format!("{path} is there"));
        let unit = leaves
            .units
            .iter()
            .find(|unit| observed.unit(unit).is(|u| u.is_starting_or_active()))
            .map(|unit| format!("{unit}.service runs"));
        Some((manifest.or(unit)?, other))
    });
    found.map(|(what, other)| {
        format!(
            "{what}, which is `load_balancer: {other}`'s, and the inventory says `{way}`: a live cluster is not moved between these two; take the old one down on all hosts (docs/load-balancing.md), then run again"
        )
    })
}

/// What stands in every file of ours but those of the profile `seed`, which are another project's to the byte.
const MARK: &str = "Written by quorate";

/// Returns whether haproxy's configuration has no port to listen at (haproxy's configuration manual, 4: proxies).
fn listens_nowhere(observed: &Observed) -> bool {
    observed.content(HAPROXY).is(|bytes| {
        let text = String::from_utf8_lossy(bytes);
        let mut words = text
            .lines()
            .filter_map(|line| line.split_whitespace().next());
        !words.any(|word| matches!(word, "frontend" | "listen" | "bind"))
    })
}

fn is_marked(observed: &Observed, path: &str) -> bool {
    let content = observed.content(path);
    content.is(|bytes| String::from_utf8_lossy(bytes).contains(MARK))
}

/// Returns the questions whose answers tell that a load balancer of ours is at work where the inventory has somebody else's.
pub fn facts_of_ours() -> Facts {
    let mut facts = Facts::from([Fact::Content(CHECK.into())]);
    for (_, leaves) in others(Way::External) {
        let manifests = leaves.manifests.iter();
        facts.extend(manifests.map(|path| Fact::Content((*path).to_string())));
        let units = leaves.units.iter();
        facts.extend(units.map(|unit| Fact::Unit((*unit).to_string())));
    }
    facts
}

/// Returns what of a load balancer of ours is at work on a host, as a sentence for the user, where the inventory has somebody
/// else's.
pub fn found_of_ours(observed: &Observed) -> Option<String> {
    let ours = |path: &str| is_marked(observed, path);
    let found = others(Way::External).find_map(|(way, leaves)| {
        let manifest = leaves.manifests.iter().find(|path| ours(path));
        let manifest = manifest.map(|path| format!("{path} is there"));
        let runs = |unit: &&&str| ours(CHECK) && observed.unit(unit).is(|u| u.is_active());
        let unit = leaves.units.iter().find(runs);
        Some((
            manifest.or(unit.map(|unit| format!("{unit}.service runs")))?,
            way,
        ))
    });
    found.map(|(what, way)| {
        format!(
            "{what}, which quorate made for `load_balancer: {way}`, and the inventory says `{}`: put the old way back, or take it down on all hosts when the new one serves (docs/load-balancing.md), then run again",
            Way::External
        )
    })
}

fn others(way: Way) -> impl Iterator<Item = (Way, Leaves)> {
    let own = parts(way).map(|p| p.leaves);
    let all = Way::ALL.into_iter().filter(move |other| *other != way);
    let all = all.filter_map(|other| Some((other, parts(other)?.leaves)));
    // kube-vip's two ways have one manifest: it says which, and takes the place of the other.
    all.filter(move |(_, leaves)| {
        own.is_none_or(|own| own.manifests.is_empty() || own.manifests != leaves.manifests)
    })
}
