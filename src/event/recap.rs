//! The recap and the exit code: a fold over events, so that a journal replayed offline gives the same.

use indexmap::IndexMap;
use serde::Serialize;

use super::{Category, Event, ExecKind, Status};
use crate::model::HostName;

/// How a host stands at the end of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// Nothing went wrong.
    #[default]
    Good,
    /// It could not be reached.
    Unreachable,
    /// A step failed, or it answered wrongly.
    Failed,
}

/// Seconds by what they were spent on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct TimeSplit {
    /// Installing packages.
    pub packages: f64,
    /// Sending and importing binaries and images.
    pub transfer: f64,
    /// `kubeadm init` and `kubeadm join`.
    pub kubeadm: f64,
    /// Named waits.
    pub wait: f64,
    /// The rest.
    pub own: f64,
}

/// One host's line of the recap.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct HostRecap {
    /// Tasks that were as written.
    pub ok: u32,
    /// Tasks that changed something; in a plan, that would.
    pub changed: u32,
    /// Tasks that failed.
    pub failed: u32,
    /// Tasks that `when` left out.
    pub skipped: u32,
    /// Connections made.
    pub sessions: u32,
    /// Probe, wave and command execs; the lock's and the stop's are not among them.
    pub execs: u32,
    /// Bytes sent as payload.
    pub bytes: u64,
    /// Seconds.
    pub seconds: f64,
    /// Where the host's step time went.
    pub time: TimeSplit,
    /// How it stands.
    pub health: Health,
}

/// The run in figures.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Recap {
    /// The command that was run.
    pub command: String,
    /// Each host, in inventory order.
    pub hosts: IndexMap<HostName, HostRecap>,
    /// The last sentence on the cluster.
    pub cluster: Option<String>,
    /// Whether that sentence was one of health.
    pub healthy: Option<bool>,
    /// Why the run was refused.
    pub refused: Option<String>,
    /// Why the workflow stopped.
    pub failed: Option<String>,
    /// Whether the user stopped it.
    pub interrupted: bool,
    /// Wall time in seconds.
    pub seconds: f64,
    /// Wall time by what the slowest thing under way was: kubeadm over transfer over packages over waits over own.
    pub wall: TimeSplit,
    #[serde(skip)]
    clock: Clock,
}

/// Which steps are under way, to split wall time.
#[derive(Debug, Clone, Default, PartialEq)]
struct Clock {
    last: Option<jiff::Timestamp>,
    spans: Vec<(Category, jiff::Timestamp, jiff::Timestamp)>,
    first: Option<jiff::Timestamp>,
}

impl Recap {
    /// Returns the fold over `records`.
    pub fn of<'a>(records: impl IntoIterator<Item = &'a super::Record>) -> Self {
        let mut recap = Self::default();
        for record in records {
            recap.add(record);
        }
        recap
    }

    /// Adds one record.
    pub fn add(&mut self, record: &super::Record) {
        self.clock.first.get_or_insert(record.at);
        self.clock.last = Some(record.at);
        if let Event::StepFinished {
            category, seconds, ..
        } = &record.event
        {
            let length =
                jiff::SignedDuration::try_from_secs_f64(seconds.max(0.0)).unwrap_or_default();
            let start = record.at.checked_sub(length).unwrap_or(record.at);
            self.clock.spans.push((*category, start, record.at));
        }
        self.add_event(&record.event);
    }

    fn add_event(&mut self, event: &Event) {
        match event {
            Event::RunStarted { command, hosts, .. } => {
                self.command.clone_from(command);
                for host in hosts {
                    self.hosts.entry(host.clone()).or_default();
                }
            }
            Event::Connected { host, .. } => self.host(host).sessions += 1,
            Event::ExecStarted { host, kind, bytes } => {
                let recap = self.host(host);
                recap.bytes += bytes;
                recap.execs += u32::from(!matches!(kind, ExecKind::Lock | ExecKind::Stop));
            }
            Event::Unchanged { host, ok, skipped } => {
                let recap = self.host(host);
                recap.ok += ok;
                recap.skipped += skipped;
            }
            Event::Planned { host, .. } => self.host(host).changed += 1,
            Event::StepFinished {
                host,
                status,
                category,
                seconds,
                ..
            } => {
                let recap = self.host(host);
                match status {
                    Status::Ok => recap.ok += 1,
                    Status::Changed => recap.changed += 1,
                    Status::Skipped => recap.skipped += 1,
                    Status::Failed => {
                        recap.failed += 1;
                        recap.health = Health::Failed;
                    }
                }
                *recap.time.of_mut(*category) += seconds;
            }
            Event::HostTrouble { host, trouble, .. } => {
                let recap = self.host(host);
                let health = if trouble.is_unreachable() {
                    Health::Unreachable
                } else {
                    Health::Failed
                };
                recap.health = recap.health.max(health);
                if *trouble == super::Trouble::Locked {
                    self.refused = Some(format!("{host} is locked"));
                }
            }
            Event::Refused { message, .. } => self.refused = Some(message.clone()),
            Event::ClusterFailed { message, .. } => self.failed = Some(message.clone()),
            Event::Cluster { summary, healthy } => {
                self.cluster = Some(summary.clone());
                self.healthy = Some(*healthy);
            }
            Event::Interrupted { .. } => self.interrupted = true,
            Event::HostFinished { host, seconds } => self.host(host).seconds = *seconds,
            Event::RunFinished { seconds, .. } => {
                self.seconds = *seconds;
                self.wall = self.clock.split();
            }
            _ => {}
        }
    }

    fn host(&mut self, host: &HostName) -> &mut HostRecap {
        self.hosts.entry(host.clone()).or_default()
    }

    /// Returns whether anything was changed, or would be.
    pub fn has_changes(&self) -> bool {
        self.hosts.values().any(|host| host.changed > 0)
    }

    /// Returns the exit code. Where several hold: 130 > 5 > 1 > 3 > 2 > 0; wrong input (4) never gets as far as a run.
    pub fn exit_code(&self) -> u8 {
        let any = |health| self.hosts.values().any(|host| host.health == health);
        let read_only = matches!(self.command.as_str(), "plan" | "status");
        if self.interrupted {
            130
        } else if self.refused.is_some() {
            5
        } else if self.failed.is_some() || any(Health::Failed) {
            1
        } else if self.command == "status" && self.healthy == Some(false) {
            1
        } else if any(Health::Unreachable) {
            3
        } else if read_only && self.has_changes() {
            2
        } else {
            0
        }
    }
}

impl TimeSplit {
    fn of_mut(&mut self, category: Category) -> &mut f64 {
        match category {
            Category::Packages => &mut self.packages,
            Category::Transfer => &mut self.transfer,
            Category::Kubeadm => &mut self.kubeadm,
            Category::Wait => &mut self.wait,
            Category::Own => &mut self.own,
        }
    }

    /// Returns the sum in seconds.
    pub fn total(&self) -> f64 {
        self.packages + self.transfer + self.kubeadm + self.wait + self.own
    }
}

impl Clock {
    /// Returns wall time by category: each instant counts once, for the first of kubeadm, transfer, packages, wait
    /// that some host was in, else as own.
    fn split(&self) -> TimeSplit {
        let (Some(first), Some(last)) = (self.first, self.last) else {
            return TimeSplit::default();
        };
        const ORDER: [Category; 4] = [
            Category::Kubeadm,
            Category::Transfer,
            Category::Packages,
            Category::Wait,
        ];
        let mut edges: Vec<_> = self
            .spans
            .iter()
            .flat_map(|(_, start, end)| [*start, *end])
            .collect();
        edges.extend([first, last]);
        edges.sort_unstable();
        edges.dedup();
        let mut split = TimeSplit::default();
        for pair in edges.windows(2) {
            let (start, end) = (pair[0], pair[1]);
            if start < first {
                continue;
            }
            let under_way = |category| {
                self.spans
                    .iter()
                    .any(|(c, s, e)| *c == category && *s <= start && *e >= end)
            };
            let category = ORDER
                .into_iter()
                .find(|c| under_way(*c))
                .unwrap_or(Category::Own);
            *split.of_mut(category) += end.duration_since(start).as_secs_f64();
        }
        split
    }
}
