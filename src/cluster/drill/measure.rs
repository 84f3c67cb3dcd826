//! What the probes mean. All moments are milliseconds since 1970 by the controller's clock.

use indexmap::IndexMap;

use crate::event::{DrillProbe, DrillRound, SLOW_MS, Tenure, WatchGap};
use crate::model::HostName;

/// A success ends an outage when nothing fails for so long after it: the contract's five seconds.
pub const CLEAN_MS: i64 = 5000;

/// One request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probe {
    /// When it was started.
    pub at: i64,
    /// HTTP status; 0 where there was none in time.
    pub code: u16,
    /// Milliseconds until its end.
    pub took: u32,
}

impl Probe {
    /// Returns whether the API server said 200.
    pub fn is_good(&self) -> bool {
        self.code == 200
    }

    /// Returns it as an event has it, counted from `start`.
    pub fn event(&self, start: i64) -> DrillProbe {
        let after = u32::try_from((self.at - start).max(0)).unwrap_or(u32::MAX);
        DrillProbe(after, self.code, self.took)
    }
}

/// A time in which requests failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// The start of its first failed request.
    pub from: i64,
    /// The start of the first good request after which nothing failed for [`CLEAN_MS`]; `None` where none was seen.
    pub until: Option<i64>,
    /// How many requests failed in it.
    pub failed: u32,
    /// The start of the first good request behind its last failure; of that failure where none was seen.
    last: i64,
}

impl Gap {
    /// Returns its length in milliseconds; of one that too few good requests follow, the least that it was.
    pub fn length(&self) -> i64 {
        self.until.unwrap_or(self.last) - self.from
    }
}

/// Returns the outages in `probes`, which may be in any order. A success counts as their end only if the probes go on
/// for [`CLEAN_MS`] after it.
pub fn gaps(probes: &[Probe]) -> Vec<Gap> {
    let mut sorted: Vec<&Probe> = probes.iter().collect();
    sorted.sort_by_key(|p| p.at);
    let mut gaps: Vec<Gap> = Vec::new();
    // The first good start since the last failure.
    let mut good: Option<i64> = None;
    for probe in sorted {
        let open = gaps.last_mut().filter(|gap| gap.until.is_none());
        match (probe.is_good(), open) {
            (true, Some(gap)) => {
                let since = *good.get_or_insert(probe.at);
                gap.last = since;
                if probe.at - since >= CLEAN_MS {
                    gap.until = Some(since);
                }
            }
            (true, None) => {}
            (false, Some(gap)) if good.is_none_or(|since| probe.at - since < CLEAN_MS) => {
                good = None;
                gap.failed += 1;
                gap.last = probe.at;
            }
            (false, open) => {
                // A pause in the probes may hide the end of five clean seconds.
                if let (Some(gap), Some(since)) = (open, good) {
                    gap.until = Some(since);
                }
                good = None;
                gaps.push(Gap {
                    from: probe.at,
                    until: None,
                    failed: 1,
                    last: probe.at,
                });
            }
        }
    }
    gaps
}

/// Returns the longest pause between the starts of two requests, in milliseconds.
pub fn longest_pause(probes: &[Probe]) -> i64 {
    let mut starts: Vec<i64> = probes.iter().map(|p| p.at).collect();
    starts.sort_unstable();
    starts
        .windows(2)
        .map(|pair| pair[1] - pair[0])
        .max()
        .unwrap_or(0)
}

/// Returns whether the last [`CLEAN_MS`] before `now` were free of failures, and probes go on: a round may end.
pub fn is_clean(probes: &[Probe], now: i64) -> bool {
    let recent = |p: &&Probe| p.at > now - CLEAN_MS && p.at <= now;
    let recent: Vec<&Probe> = probes.iter().filter(recent).collect();
    let begun = probes.iter().any(|p| p.at <= now - CLEAN_MS);
    // A second's worth of silence is no cleanness.
    let alive = recent.iter().any(|p| p.at > now - 2000);
    begun && alive && recent.iter().all(|p| p.is_good())
}

/// A round's course.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Course {
    /// When the target was taken away.
    pub away: i64,
    /// When it was brought back.
    pub back: Option<i64>,
    /// When all was well again.
    pub redundant: Option<i64>,
    /// Whether nobody could reach the target in between: what it carries then does not count.
    pub cut_off: bool,
}

/// Everything that a round's streams told.
#[derive(Debug, Clone, Default)]
pub struct Timeline {
    /// The requests.
    pub probes: Vec<Probe>,
    /// When each host began and ceased to carry the virtual address, in order.
    holders: IndexMap<HostName, Vec<(i64, bool)>>,
    /// The first word of hosts that are asked anew, once it has come.
    anew: IndexMap<HostName, Option<(i64, bool)>>,
    /// When a watch delivered (`true`) or broke.
    watch: Vec<(i64, bool)>,
}

impl Timeline {
    /// Takes a look at a host: whether it carries the address. Returns whether that is a change.
    pub fn holds(&mut self, host: &HostName, at: i64, holds: bool) -> bool {
        if let Some(word @ None) = self.anew.get_mut(host) {
            *word = Some((at, holds));
        }
        let states = self.holders.entry(host.clone()).or_default();
        let before = states.last().map(|(_, holds)| *holds);
        if before == Some(holds) {
            return false;
        }
        states.push((at, holds));
        // The first word is no news unless it is a yes.
        before.is_some() || holds
    }

    /// Notes that a host which nobody could reach is asked anew: what it said before says nothing of now.
    pub fn asks_anew(&mut self, host: &HostName) {
        self.anew.insert(host.clone(), None);
    }

    /// Takes what the watch did. Returns whether that is news.
    pub fn watches(&mut self, at: i64, open: bool) -> bool {
        if self.watch.last().map_or(!open, |(_, last)| *last == open) {
            return false;
        }
        let first = self.watch.is_empty();
        self.watch.push((at, open));
        !first
    }

    /// Returns whether a watch is open.
    pub fn is_watching(&self) -> bool {
        self.watch.last().is_some_and(|(_, open)| *open)
    }

    /// Returns who carried the address when, in seconds after `zero`, in the order of their beginnings.
    pub fn tenures(&self, zero: i64) -> Vec<Tenure> {
        let mut all = Vec::new();
        for (host, states) in &self.holders {
            // Two streams may tell of one host: that of before it was booted, and that of after.
            let mut states = states.clone();
            states.sort_by_key(|(at, _)| *at);
            let mut from = None;
            for (at, holds) in states {
                match (holds, from) {
                    (true, None) => from = Some(at),
                    (false, Some(start)) => {
                        all.push((start, Some(at), host));
                        from = None;
                    }
                    _ => {}
                }
            }
            all.extend(from.map(|start| (start, None, host)));
        }
        all.sort_by_key(|(from, ..)| *from);
        all.into_iter()
            .map(|(from, until, host)| Tenure {
                host: host.clone(),
                from: seconds(from - zero),
                until: until.map(|until| seconds(until - zero)),
            })
            .collect()
    }

    /// Returns what the watch that was open at `zero` came to; `None` where none was.
    pub fn watch_gap(&self, zero: i64) -> Option<WatchGap> {
        let open = self.watch.iter().rfind(|(at, _)| *at <= zero);
        if !open.is_some_and(|(_, open)| *open) {
            return None;
        }
        let after = |wanted: bool, from: i64| {
            let mut later = self.watch.iter();
            later
                .find(|(at, open)| *at > from && *open == wanted)
                .map(|(at, _)| *at)
        };
        let broke = after(false, zero);
        let usable = broke.and_then(|broke| after(true, broke));
        Some(WatchGap {
            broke: broke.map(|at| seconds(at - zero)),
            usable: usable.map(|at| seconds(at - zero)),
        })
    }

    /// Returns what a round found.
    pub fn result(&self, round: u32, target: &HostName, course: &Course) -> DrillRound {
        let (zero, back) = (course.away, course.back);
        let gaps = gaps(&self.probes);
        let first = gaps.first();
        let mut holders = self.tenures(zero);
        if course.cut_off {
            holders = clipped(holders, target, back.map(|back| seconds(back - zero)));
            // Its first word was a no: nobody saw when it let go.
            if let Some(Some((at, false))) = self.anew.get(target) {
                let until = Some(seconds(at - zero));
                let is_seen = |t: &Tenure| t.host != *target || t.from <= 0.0 || t.until != until;
                holders.retain(is_seen);
            }
        }
        let doubled = doubled(&holders);
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        DrillRound {
            round,
            target: target.clone(),
            away: back.map(|back| seconds(back - zero)),
            outage: first.map_or(0.0, |gap| seconds(gap.length())),
            open: gaps.last().is_some_and(|gap| gap.until.is_none()),
            later: gaps
                .iter()
                .skip(1)
                .map(|gap| seconds(gap.length()))
                .collect(),
            failed: gaps.iter().map(|gap| gap.failed).sum(),
            probes: count(self.probes.len()),
            slow: count(
                self.probes
                    .iter()
                    .filter(|p| p.is_good() && p.took >= SLOW_MS)
                    .count(),
            ),
            pause: seconds(longest_pause(&self.probes)),
            redundant: course.redundant.map(|at| seconds(at - zero)),
            holders,
            doubled,
            watch: self.watch_gap(zero),
        }
    }
}

/// Returns the tenures without what the target carried while nobody could reach it.
fn clipped(tenures: Vec<Tenure>, target: &HostName, back: Option<f64>) -> Vec<Tenure> {
    let mut all = Vec::new();
    for tenure in tenures {
        if tenure.host != *target {
            all.push(tenure);
            continue;
        }
        let ends_after = |at: f64| tenure.until.is_none_or(|until| until > at);
        if tenure.from < 0.0 {
            let until = tenure.until.map_or(0.0, |until| until.min(0.0));
            all.push(Tenure {
                until: Some(until),
                ..tenure.clone()
            });
        }
        if let Some(back) = back.filter(|back| ends_after(*back)) {
            all.push(Tenure {
                from: tenure.from.max(back),
                ..tenure
            });
        }
    }
    all.sort_by(|a, b| a.from.total_cmp(&b.from));
    all
}

/// Returns for how many seconds two hosts carried the address at once.
fn doubled(tenures: &[Tenure]) -> f64 {
    let ends = tenures.iter().flat_map(|t| [Some(t.from), t.until]);
    let end = ends.flatten().fold(f64::MIN, f64::max);
    let mut edges: Vec<(f64, i32)> = tenures
        .iter()
        .flat_map(|t| [(t.from, 1), (t.until.unwrap_or(end), -1)])
        .collect();
    edges.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let (mut holding, mut before, mut sum) = (0, 0.0, 0.0);
    for (at, step) in edges {
        if holding > 1 {
            sum += at - before;
        }
        holding += step;
        before = at;
    }
    (sum * 1000.0_f64).round() / 1000.0
}

/// Returns milliseconds as seconds.
#[expect(
    clippy::cast_precision_loss,
    reason = "a round lasts minutes: far below 2^52 ms"
)]
pub fn seconds(ms: i64) -> f64 {
    ms as f64 / 1000.0
}
