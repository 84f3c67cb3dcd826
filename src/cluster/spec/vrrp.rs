//! VRRP's numbers: derived where nobody sets them, checked where somebody does.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use indexmap::IndexMap;

use super::build::Parts;
use super::host::Draft;
use super::read::{self, Findings, Got};
use super::reader::Reader;
use super::way::{Profile, Way};
use crate::model::{Diagnostic, Secret, Sha256, Span};

/// keepalived's initial state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Holds the address from the start.
    Master,
    /// Waits for adverts to stay away.
    Backup,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Master => "MASTER",
            Self::Backup => "BACKUP",
        })
    }
}

/// The highest derived priority with profile `fast`. With the lowest it was tried in failovers (docs/design).
const HIGHEST: usize = 200;
/// The lowest derived priority with profile `fast`.
const LOWEST: usize = 100;

/// How many hosts can have distinct derived priorities.
pub(super) const MOST_HOSTS: usize = HIGHEST - LOWEST + 1;

/// Returns the priorities of hosts in their order, `set` where somebody set one. `seed`: 101 and then 100, as kubeadm's
/// document has it. `fast`: distinct ones, since backups of one priority both take the address when the master dies; one
/// that is set already makes a derived one go to the nearest that is free, lower ones first.
pub(super) fn priorities(profile: Profile, set: &[Option<u8>]) -> Vec<u8> {
    let mut taken: BTreeSet<u8> = set.iter().copied().flatten().collect();
    let mut derive = |index: usize| {
        let wanted = derived(profile, index, set.len());
        if profile == Profile::Seed || taken.insert(wanted) {
            return wanted;
        }
        let below = (1..wanted).rev();
        // 255 is the address's owner's alone (RFC 9568, 5.2.4).
        let mut free = below.chain(wanted..255).filter(|p| !taken.contains(p));
        let found = free.next().unwrap_or(wanted);
        taken.insert(found);
        found
    };
    let hosts = set.iter().enumerate();
    hosts
        .map(|(index, set)| set.unwrap_or_else(|| derive(index)))
        .collect()
}

fn derived(profile: Profile, index: usize, count: usize) -> u8 {
    let priority = match profile {
        Profile::Seed => 100 + usize::from(index == 0),
        Profile::Fast => HIGHEST - (index * (HIGHEST - LOWEST)) / count.saturating_sub(1).max(1),
    };
    u8::try_from(priority).unwrap_or(1)
}

/// Returns the state of the host at `index`.
pub(super) fn state(index: usize) -> State {
    if index == 0 {
        State::Master
    } else {
        State::Backup
    }
}

/// Returns what a failed check takes off a priority. It has to be more than what lies between any two hosts, or the
/// address stays on a failed one. `seed`: -2, as kubeadm's document has it.
pub(super) fn weight(profile: Profile, priorities: &[u8]) -> i16 {
    match profile {
        Profile::Seed => -2,
        Profile::Fast => -(spread(priorities) + 1),
    }
}

/// Returns the highest priority less the lowest.
pub(super) fn spread(priorities: &[u8]) -> i16 {
    let highest = priorities.iter().max().copied().unwrap_or(0);
    let lowest = priorities.iter().min().copied().unwrap_or(0);
    i16::from(highest) - i16::from(lowest)
}

/// Returns the virtual router id of a virtual address, 1 to 255 (RFC 9568, 5.2.3) and never 51: that is the default of
/// keepalived's example and so of everybody else's cluster in the same network.
pub(super) fn router_id(vip: IpAddr) -> u8 {
    let byte = digest_bytes("router_id", vip).next().unwrap_or(0);
    let id = 1 + byte % 254;
    if id >= 51 { id + 1 } else { id }
}

/// Returns the VRRP password of a virtual address: 8 characters, more do not count (keepalived.conf(5)). It keeps apart
/// clusters that share a router id by mistake; it is no secret, since VRRP sends it in the clear.
pub(super) fn auth_pass(vip: IpAddr) -> String {
    const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    digest_bytes("auth_pass", vip)
        .take(8)
        .map(|byte| char::from(LETTERS[usize::from(byte % 32)]))
        .collect()
}

fn digest_bytes(what: &str, vip: IpAddr) -> impl Iterator<Item = u8> {
    let hex = Sha256::of(format!("quorate {what} {vip}")).to_string();
    (0..hex.len() / 2).filter_map(move |i| u8::from_str_radix(hex.get(2 * i..2 * i + 2)?, 16).ok())
}

/// What is set of VRRP, or derived from the virtual address.
#[derive(Default)]
pub(super) struct VrrpSet {
    pub(super) router_id: Option<u8>,
    pub(super) auth_pass: Option<Secret<String>>,
    pub(super) unicast: bool,
    pub(super) weight: Option<Got<i16>>,
}

pub(super) fn read_vrrp(
    reader: &mut Reader<'_>,
    way: Way,
    profile: Profile,
    vip: Option<IpAddr>,
) -> VrrpSet {
    let router_id = reader
        .integer("router_id", 1, 255)
        .and_then(|got| u8::try_from(got.value).ok());
    let mut weight = reader
        .integer("weight", -253, -1)
        .and_then(|got| i16::try_from(got.value).ok().map(|w| got.map(|_| w)));
    if profile == Profile::Seed
        && way.uses_vrrp()
        && let Some(got) = weight.take()
    {
        let warning = Diagnostic::warning(
            "`weight` means nothing with the profile `seed`: -2 stands in the document's own text",
        );
        reader.findings.push(
            warning
                .at(got.span)
                .help("leave it out, or set `load_balancer_profile: fast`"),
        );
    }
    let unicast = reader.boolean("vrrp_unicast").unwrap_or(false);
    let mut auth_pass = None;
    if let Some(got) = reader.get("auth_pass")
        && let Some(got) = read::text("auth_pass", got, &mut reader.findings)
    {
        let length = got.value.len();
        if length > 8
            || length == 0
            || got.value.chars().any(|c| {
                c.is_whitespace() || c.is_control() || !c.is_ascii() || "\"'#!{}".contains(c)
            })
        {
            let message = if length > 8 {
                format!("`auth_pass` has {length} characters, and 8 count")
            } else {
                "`auth_pass` holds a character that keepalived.conf cannot, or nothing".to_owned()
            };
            let error = Diagnostic::error(message).at(got.span);
            reader
                .findings
                .push(error.help("leave it out: it is derived from `apiserver_vip`"));
        } else if profile == Profile::Fast && way.uses_vrrp() {
            let warning = Diagnostic::warning(
                "`auth_pass` means nothing with the profile `fast`: VRRPv3 has no passwords",
            )
            .at(got.span);
            reader
                .findings
                .push(warning.help("leave it out, or set `load_balancer_profile: seed`"));
        } else {
            auth_pass = Some(got.value);
        }
    }
    VrrpSet {
        router_id: router_id.or_else(|| vip.map(self::router_id)),
        auth_pass: match profile {
            Profile::Seed => auth_pass
                .or_else(|| vip.map(self::auth_pass))
                .map(Secret::new),
            Profile::Fast => None,
        },
        unicast,
        weight,
    }
}

/// Returns the priorities of all hosts that hold the address between them, set or derived, in their order.
pub(super) fn priorities_of(parts: &Parts) -> Vec<u8> {
    let hosts = parts.hosts.iter().filter(|h| h.roles.load_balancer);
    let set: Vec<Option<u8>> = hosts
        .map(|h| h.priority.as_ref().map(|g| g.value))
        .collect();
    priorities(parts.profile, &set)
}

/// Checks VRRP's numbers.
pub(super) fn check(
    parts: &Parts,
    count: usize,
    profile_set: Option<Span>,
    findings: &mut Findings,
) {
    if !parts.way.uses_vrrp() {
        return;
    }
    // Profile `seed` is the document's own text, word for word: what is unsound in it is said, not refused.
    let finding = |message: String| match parts.profile {
        Profile::Fast => Diagnostic::error(message),
        Profile::Seed => Diagnostic::warning(message),
    };
    if parts.profile == Profile::Fast && count > MOST_HOSTS {
        findings.push(Diagnostic::error(format!(
            "{count} hosts cannot all have priorities of their own; {} can",
            MOST_HOSTS
        )));
        return;
    }
    let balancers: Vec<_> = parts
        .hosts
        .iter()
        .filter(|h| h.roles.load_balancer)
        .collect();
    let priorities = priorities_of(parts);
    let spread = spread(&priorities);
    let weight = parts
        .weight
        .as_ref()
        .map_or_else(|| weight(parts.profile, &priorities), |g| g.value);
    // keepalived's own limits of a weight are -253 and 253 (keepalived.conf(5)).
    if spread >= 253 {
        let message =
            format!("the priorities are {spread} apart: keepalived knows no weight that is larger");
        let at = balancers
            .iter()
            .find_map(|h| h.priority.as_ref()?.span.clone());
        findings.push(
            finding(message)
                .at(at)
                .help("choose priorities that are closer, or leave `priority` out"),
        );
        return;
    }
    if weight.abs() <= spread {
        let message = format!(
            "a failed check takes {} off a priority, and the priorities are {spread} apart: the address would stay on a failed host",
            weight.abs()
        );
        let at = parts.weight.as_ref().and_then(|g| g.span.clone());
        let at = at.or_else(|| {
            balancers
                .iter()
                .find_map(|h| h.priority.as_ref()?.span.clone())
        });
        let help = match parts.profile {
            Profile::Fast => format!(
                "set `weight: -{}`, or priorities that are closer",
                spread + 1
            ),
            Profile::Seed => format!(
                "choose priorities that are {} apart at most, or `load_balancer_profile: fast`",
                weight.abs() - 1
            ),
        };
        findings.push(finding(message).at(at).help(help));
    }
    let mut groups: IndexMap<u8, Vec<&Draft>> = IndexMap::new();
    for (host, priority) in balancers.iter().zip(&priorities) {
        groups.entry(*priority).or_default().push(host);
    }
    for (priority, hosts) in groups.iter().filter(|(_, hosts)| hosts.len() > 1) {
        let names: Vec<&str> = hosts.iter().map(|host| host.name.as_str()).collect();
        let set = hosts.iter().rev().find_map(|h| h.priority.as_ref());
        let both = if names.len() == 2 { "both" } else { "all" };
        let at = set.and_then(|got| got.span.clone());
        let (by, at) = match (parts.profile, set) {
            (Profile::Seed, None) => (", as kubeadm's document has it", profile_set.clone()),
            _ => ("", at),
        };
        // By hand in the lab, November 2026: in one of six rounds clients were without the address for 5.7 s.
        let message = format!(
            "{} have the priority {priority}{by}: {both} would take the address at once when its holder dies",
            read::list(&names)
        );
        findings.push(finding(message).at(at).help(match parts.profile {
            Profile::Fast => "give each host a priority of its own, or leave `priority` out",
            Profile::Seed => "`load_balancer_profile: fast` gives each host a priority of its own",
        }));
    }
    let masters: Vec<_> = balancers
        .iter()
        .enumerate()
        .filter(|(i, h)| h.state.as_ref().map_or_else(|| state(*i), |g| g.value) == State::Master)
        .collect();
    if let [(_, first), .., (_, last)] = masters[..] {
        let at = [last, first]
            .iter()
            .find_map(|h| h.state.as_ref()?.span.clone());
        let warning = Diagnostic::warning(format!(
            "`{}` and `{}` both start as MASTER",
            first.name, last.name
        ))
        .at(at);
        findings
            .push(warning.help("the highest priority holds the address anyway: leave `state` out"));
    }
}
