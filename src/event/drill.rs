//! What a drill tells: who was taken away and how, each probe, who held the address, and what a client saw of it.

use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::HostName;

/// A request that took longer is shown as slow, in milliseconds: half of what a probe may take.
pub const SLOW_MS: u32 = 250;

/// One request at the API's address: start in milliseconds after its batch's, HTTP status (0 where there was none),
/// milliseconds that it took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DrillProbe(pub u32, pub u16, pub u32);

impl DrillProbe {
    /// Returns whether the API server said 200.
    pub fn is_good(self) -> bool {
        self.1 == 200
    }

    /// Returns whether it was answered, and late.
    pub fn is_slow(self) -> bool {
        self.is_good() && self.2 >= SLOW_MS
    }
}

/// What happened to whom in the middle of a drill.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mark {
    /// The target was taken away.
    TakenAway,
    /// The target was brought back: its network, its services, or a connection to it.
    BroughtBack,
    /// The host carries the virtual address from now on.
    VipGained,
    /// It does not carry it any more.
    VipLost,
    /// The open watch broke.
    WatchBroke,
    /// A new watch delivers.
    WatchUsable,
    /// All load balancers, API servers and members of etcd are well again.
    Redundant,
}

impl Mark {
    /// Returns it in words, to stand behind a host's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TakenAway => "taken away",
            Self::BroughtBack => "brought back",
            Self::VipGained => "holds the VIP",
            Self::VipLost => "holds the VIP no more",
            Self::WatchBroke => "watch broke",
            Self::WatchUsable => "watch usable again",
            Self::Redundant => "fully redundant again",
        }
    }
}

/// A time in which a host carried the virtual address, in seconds after the target was taken away.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Tenure {
    /// The host.
    pub host: HostName,
    /// From when on; below zero: before.
    pub from: f64,
    /// Until when; absent: to the end of the round.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<f64>,
}

/// What became of an open watch, in seconds after the target was taken away.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WatchGap {
    /// When its client found that it was broken; absent: it never was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broke: Option<f64>,
    /// When a new one delivered; absent: none did before the round's end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usable: Option<f64>,
}

/// What one round found. All times in seconds; those of moments count from when the target was taken away.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DrillRound {
    /// Counts from 1.
    pub round: u32,
    /// Who was taken away.
    pub target: HostName,
    /// How long it was away; absent where it never came back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub away: Option<f64>,
    /// From the start of the first failed request to the start of the first good one that is followed by five clean
    /// seconds; 0 where none failed.
    pub outage: f64,
    /// Whether the probes ended before five clean seconds had followed the last outage: it lasted at least so long.
    #[serde(default)]
    pub open: bool,
    /// Further outages of the round, as when the target came back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub later: Vec<f64>,
    /// How many requests failed, in all outages.
    pub failed: u32,
    /// How many were made.
    pub probes: u32,
    /// How many were answered later than [`SLOW_MS`].
    pub slow: u32,
    /// The longest pause between the starts of two requests: how fine the figures are.
    pub pause: f64,
    /// When everything was well again; absent where it was not in time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redundant: Option<f64>,
    /// Who carried the virtual address when.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub holders: Vec<Tenure>,
    /// How long two hosts that a client could reach carried it at once.
    #[serde(default)]
    pub doubled: f64,
    /// The open watch; absent where there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watch: Option<WatchGap>,
}

/// What a drill was to be, told once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DrillPlan {
    /// `isolate`, `stop-service`, `kill-api`, `reboot`, or the user's own command.
    pub by: String,
    /// How many rounds.
    pub rounds: u32,
    /// For how many seconds the target is taken away, where quorate decides that.
    pub seconds: u32,
    /// Where clients reach the API.
    pub endpoint: String,
    /// The virtual address, where quorate manages one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vip: Option<IpAddr>,
    /// Control planes, in inventory order.
    pub control_planes: Vec<HostName>,
    /// Hosts that carry the load balancer.
    pub load_balancers: Vec<HostName>,
    /// The other nodes.
    pub workers: Vec<HostName>,
}

/// A drill in figures, as far as it went.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DrillRecap {
    /// What it was to be.
    pub plan: DrillPlan,
    /// The rounds that came to their end.
    pub rounds: Vec<DrillRound>,
}

/// Median, least and most of several figures.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    /// The middle one; of an even number the mean of the two in the middle.
    pub median: f64,
    /// The least.
    pub min: f64,
    /// The most.
    pub max: f64,
}

impl Spread {
    /// Returns the spread of `figures`; `None` of none.
    pub fn of(figures: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut figures: Vec<f64> = figures.into_iter().collect();
        figures.sort_by(f64::total_cmp);
        let (min, max) = (*figures.first()?, *figures.last()?);
        let middle = figures.len() / 2;
        let median = if figures.len() % 2 == 1 {
            figures[middle]
        } else {
            f64::midpoint(figures[middle - 1], figures[middle])
        };
        Some(Self { median, min, max })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spreads() {
        let spread =
            |figures: &[f64]| Spread::of(figures.iter().copied()).map(|s| (s.median, s.min, s.max));
        assert_eq!(spread(&[]), None);
        assert_eq!(spread(&[0.7]), Some((0.7, 0.7, 0.7)));
        assert_eq!(spread(&[1.3, 0.7, 0.5]), Some((0.7, 0.5, 1.3)));
        assert_eq!(spread(&[4.0, 1.0, 2.0, 3.0]), Some((2.5, 1.0, 4.0)));
    }

    #[test]
    fn good_slow_failed() {
        let kinds = [(200, 12), (200, 250), (0, 500), (500, 3)]
            .map(|(code, took)| DrillProbe(0, code, took))
            .map(|p| (p.is_good(), p.is_slow()));
        assert_eq!(
            kinds,
            [(true, false), (true, true), (false, false), (false, false)]
        );
    }
}
