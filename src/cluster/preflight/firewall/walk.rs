//! What a set of rules does to one packet, as far as that can be told for sure.

use std::collections::HashMap;
use std::net::IpAddr;

/// A packet of a new connection that arrives at a host.
#[derive(Debug, Clone)]
pub struct Packet {
    /// Where it comes from.
    pub source: IpAddr,
    /// Where it goes to: an address of the host, or VRRP's group.
    pub destination: IpAddr,
    /// The interface that it arrives on.
    pub interface: String,
    /// What it is.
    pub kind: Kind,
}

/// What a packet is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// TCP's first, to this port.
    Tcp(u16),
    /// An advert of VRRP.
    Vrrp,
}

impl Kind {
    /// Returns its number (IANA, Protocol Numbers).
    pub(super) fn number(self) -> u64 {
        match self {
            Self::Tcp(_) => 6,
            Self::Vrrp => 112,
        }
    }

    /// Returns whether `word` is its name or its number (protocols(5)).
    pub(super) fn is_called(self, word: &str) -> bool {
        let name = match self {
            Self::Tcp(_) => "tcp",
            Self::Vrrp => "vrrp",
        };
        word.eq_ignore_ascii_case(name) || word.parse() == Ok(self.number())
    }
}

/// What a rule does with a packet that it matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    Accept,
    Drop,
    Return,
    Jump(String),
    Goto(String),
    /// Nobody can tell.
    Any,
}

/// A rule, seen by one packet.
#[derive(Debug, Clone)]
pub(super) struct Rule {
    /// Whether it matches; `None` where that cannot be told.
    pub(super) matches: Option<bool>,
    /// `None` goes on.
    pub(super) verdict: Option<Verdict>,
}

/// A table's chains, and those that a packet enters by: with whether their policy drops.
#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) chains: HashMap<String, Vec<Rule>>,
    pub(super) entries: Vec<(String, bool)>,
}

/// How a packet may leave a chain.
#[derive(Debug, Clone, Copy, Default)]
struct Ways {
    accepted: bool,
    dropped: bool,
    /// At its end, back to where it came from.
    through: bool,
}

impl Ways {
    const ALL: Self = Self {
        accepted: true,
        dropped: true,
        through: true,
    };
}

/// How many rules are looked at for one packet: more are called unknown. Chains that jump into each other many times over
/// would take for ever.
const MOST_RULES: u32 = 100_000;
/// The kernel's own limit (NFT_JUMP_STACK_SIZE).
const MOST_JUMPS: u32 = 16;

/// Returns whether the packet is dropped, whatever is not known.
pub(super) fn drops(tables: &[Table]) -> bool {
    tables.iter().any(|table| {
        table.entries.iter().any(|(chain, policy_drops)| {
            let mut budget = MOST_RULES;
            let ways = walk(table, chain, 0, &mut budget);
            let through = ways.through && !policy_drops;
            !ways.accepted && !through
        })
    })
}

fn walk(table: &Table, chain: &str, depth: u32, budget: &mut u32) -> Ways {
    let mut ways = Ways::default();
    let Some(rules) = table.chains.get(chain).filter(|_| depth < MOST_JUMPS) else {
        return Ways::ALL;
    };
    for rule in rules {
        if *budget == 0 {
            return Ways::ALL;
        }
        *budget -= 1;
        let Some(verdict) = rule
            .verdict
            .as_ref()
            .filter(|_| rule.matches != Some(false))
        else {
            continue;
        };
        let sure = rule.matches == Some(true);
        // Whether the packet may come to the next rule.
        let goes_on = match verdict {
            Verdict::Accept => {
                ways.accepted = true;
                false
            }
            Verdict::Drop => {
                ways.dropped = true;
                false
            }
            Verdict::Return => {
                ways.through = true;
                false
            }
            Verdict::Jump(to) | Verdict::Goto(to) => {
                let inner = walk(table, to, depth + 1, budget);
                ways.accepted |= inner.accepted;
                ways.dropped |= inner.dropped;
                let jump = matches!(verdict, Verdict::Jump(_));
                ways.through |= inner.through && !jump;
                inner.through && jump
            }
            Verdict::Any => {
                ways = Ways::ALL;
                true
            }
        };
        if sure && !goes_on {
            return ways;
        }
    }
    ways.through = true;
    ways
}

/// Returns whether both hold.
pub(super) fn both(one: Option<bool>, other: Option<bool>) -> Option<bool> {
    match (one, other) {
        (Some(false), _) | (_, Some(false)) => Some(false),
        (Some(true), Some(true)) => Some(true),
        _ => None,
    }
}

/// Returns whether any holds.
pub(super) fn any(all: impl IntoIterator<Item = Option<bool>>) -> Option<bool> {
    let mut result = Some(false);
    for one in all {
        match one {
            Some(true) => return one,
            None => result = None,
            Some(false) => {}
        }
    }
    result
}
