//! What a way leaves on a host, and what is found of another one: two ways on one host would both take the VIP.

use super::parts;
use crate::cluster::spec::Way;
use crate::host::{Fact, Facts, Observed};

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

/// Returns the questions whose answers tell that a way other than this one is at work on a host.
pub fn facts_of_others(way: Way) -> Facts {
    let mut facts = Facts::new();
    for (_, leaves) in others(way) {
        let manifests = leaves.manifests.iter();
        facts.extend(manifests.map(|path| Fact::Path((*path).to_string())));
        let units = leaves.units.iter();
        facts.extend(units.map(|unit| Fact::Unit((*unit).to_string())));
    }
    facts
}

/// Returns what of another way is at work on a host, as a sentence for the user: a manifest that lies there, or a unit
/// that runs.
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
            .find(|unit| {
                let runs = |u: &&crate::host::UnitState| u.is_active() || u.active == "activating";
                observed.unit(unit).is(runs)
            })
            .map(|unit| format!("{unit}.service runs"));
        Some((manifest.or(unit)?, other))
    });
    found.map(|(what, other)| {
        format!(
            "{what}, which is `load_balancer: {other}`'s, and the inventory says `{way}`: a change of the way is not built yet; take the old one down on all hosts (docs/load-balancing.md), then run again"
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
