//! The recap and the exit code: a fold over events, so that a journal replayed offline gives the same.

use indexmap::IndexMap;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::{Category, DrillRecap, Event, ExecKind, ExitCode, Status};
use crate::model::HostName;

/// How a host stands at the end of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
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
    /// Tasks that failed inside a block whose `rescue` followed. What they did until then is not known.
    pub rescued: u32,
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

/// One thing that went wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Failure {
    /// The hosts it is about; empty for the cluster as a whole.
    pub hosts: Vec<HostName>,
    /// The step's title, or the kind of trouble.
    pub title: String,
    /// What was expected and found, or the last lines of a command's output.
    pub detail: Vec<String>,
    /// What to do next.
    pub help: Option<String>,
}

/// The run in figures.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Recap {
    /// The command that was run.
    pub command: String,
    /// Each host, in inventory order.
    pub hosts: IndexMap<HostName, HostRecap>,
    /// What went wrong, in order.
    pub failures: Vec<Failure>,
    /// How many warnings there were.
    pub warnings: u32,
    /// The last sentence on the cluster.
    pub cluster: Option<String>,
    /// Whether that sentence was one of health.
    pub healthy: Option<bool>,
    /// What a drill found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drill: Option<DrillRecap>,
    /// Why the run was refused.
    pub refused: Option<String>,
    /// Why the workflow stopped.
    pub failed: Option<String>,
    /// Whether the user stopped it.
    pub interrupted: bool,
    /// Hosts that had a step under way when the user stopped it.
    pub under_way: Vec<HostName>,
    /// Steps whose end was not seen, by their hosts: where the last event is not there either, a killed run was in these.
    #[serde(skip)]
    pub unended: IndexMap<HostName, String>,
    /// Whether the last event was seen; a journal without it is that of a killed run.
    pub finished: bool,
    /// Wall time in seconds.
    pub seconds: f64,
    /// Wall time by what the slowest thing under way was: kubeadm over transfer over packages over waits over own.
    pub wall: TimeSplit,
    #[serde(skip)]
    clock: Clock,
}

/// Which steps were under way when, to split wall time.
#[derive(Debug, Clone, Default, PartialEq)]
struct Clock {
    first: Option<Timestamp>,
    last: Option<Timestamp>,
    /// When each host was last heard of.
    hosts: IndexMap<HostName, Timestamp>,
    /// Start and end of each step that counts as one of [`ORDER`].
    spans: Vec<(Category, Timestamp, Timestamp)>,
}

/// Which category an instant counts as where several are under way; what is left is own.
const ORDER: [Category; 4] = [
    Category::Kubeadm,
    Category::Transfer,
    Category::Packages,
    Category::Wait,
];

impl Recap {
    /// Returns the fold over `records`.
    pub fn of<'a>(records: impl IntoIterator<Item = &'a super::Record>) -> Self {
        let mut recap = Self::default();
        for record in records {
            recap.add(record);
        }
        recap.close();
        recap
    }

    /// Says that nothing comes any more. Where the run did not come to its end, nobody said how long it and its hosts took: up
    /// to their last word it was so long.
    pub fn close(&mut self) {
        if self.finished {
            return;
        }
        self.seconds = self.clock.until(self.clock.last);
        self.wall = self.clock.split();
        for (name, host) in self.hosts.iter_mut().filter(|(_, h)| h.seconds == 0.0) {
            host.seconds = self.clock.until(self.clock.hosts.get(name).copied());
        }
    }

    /// Adds one record.
    pub fn add(&mut self, record: &super::Record) {
        self.clock.first.get_or_insert(record.at);
        self.clock.last = Some(record.at);
        if let Some(host) = record.event.host() {
            self.clock.hosts.insert(host.clone(), record.at);
        }
        if let Event::StepFinished {
            category, seconds, ..
        } = &record.event
            && *category != Category::Own
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
            Event::Unsent { host, bytes } => {
                let recap = self.host(host);
                recap.bytes = recap.bytes.saturating_sub(*bytes);
            }
            Event::Unchanged {
                host, ok, skipped, ..
            } => {
                let recap = self.host(host);
                recap.ok += ok;
                recap.skipped += skipped;
            }
            // In an apply the step itself counts, once it is done.
            Event::Planned { host, .. } if self.is_read_only() => self.host(host).changed += 1,
            Event::StepStarted { host, title } => {
                self.unended.insert(host.clone(), title.clone());
            }
            Event::StepFinished {
                host,
                title,
                status,
                category,
                seconds,
                detail,
                help,
            } => {
                self.unended.shift_remove(host);
                let recap = self.host(host);
                match status {
                    Status::Ok => recap.ok += 1,
                    Status::Changed => recap.changed += 1,
                    Status::Skipped => recap.skipped += 1,
                    Status::Rescued => recap.rescued += 1,
                    Status::Failed => {
                        recap.failed += 1;
                        recap.health = Health::Failed;
                    }
                }
                *recap.time.of_mut(*category) += seconds;
                if *status == Status::Failed {
                    self.fail(std::slice::from_ref(host), title, detail.clone(), help);
                }
            }
            Event::HostTrouble {
                host,
                trouble,
                message,
                help,
            } => {
                self.unended.shift_remove(host);
                let recap = self.host(host);
                let health = if trouble.is_unreachable() {
                    Health::Unreachable
                } else {
                    Health::Failed
                };
                recap.health = recap.health.max(health);
                // A task that fails before a step of it is sent is a failed task all the same.
                if *trouble == super::Trouble::Stuck {
                    recap.failed = recap.failed.max(1);
                }
                if *trouble == super::Trouble::Locked {
                    self.refused = Some(format!("{host} is locked"));
                }
                self.fail(
                    std::slice::from_ref(host),
                    trouble.as_str(),
                    vec![message.clone()],
                    help,
                );
            }
            Event::Warning { .. } => self.warnings += 1,
            Event::Refused {
                hosts,
                message,
                help,
            } => {
                self.refused = Some(message.clone());
                self.fail(hosts, "refused", vec![message.clone()], help);
            }
            Event::ClusterFailed { message, help } => {
                self.failed = Some(message.clone());
                self.fail(&[], "cluster", vec![message.clone()], help);
            }
            Event::Cluster { summary, healthy } => {
                self.cluster = Some(summary.clone());
                self.healthy = Some(*healthy);
            }
            Event::DrillPlanned { plan } => {
                self.drill = Some(DrillRecap {
                    plan: plan.clone(),
                    rounds: Vec::new(),
                });
            }
            Event::DrillFinished { result } => {
                if let Some(drill) = &mut self.drill {
                    drill.rounds.push(result.clone());
                }
            }
            Event::Interrupted { hosts } => {
                self.interrupted = true;
                // Of a fleet each part was stopped by itself.
                self.under_way.extend(hosts.iter().cloned());
            }
            Event::HostFinished { host, seconds } => self.host(host).seconds = *seconds,
            Event::RunFinished { seconds, .. } => {
                self.finished = true;
                self.seconds = *seconds;
                self.wall = self.clock.split();
                // The journal's clock and the run's own may differ by a hair; the split adds up to the latter.
                self.wall.own = (self.wall.own + seconds - self.wall.total()).max(0.0);
            }
            _ => {}
        }
    }

    fn fail(
        &mut self,
        hosts: &[HostName],
        title: &str,
        detail: Vec<String>,
        help: &Option<String>,
    ) {
        let failure = Failure {
            hosts: hosts.to_vec(),
            title: title.to_string(),
            detail,
            help: help.clone(),
        };
        // Many hosts often fail alike: one entry that names them all.
        match self.failures.iter_mut().find(|seen| {
            (&seen.title, &seen.detail, &seen.help)
                == (&failure.title, &failure.detail, &failure.help)
                && !seen.hosts.is_empty()
        }) {
            Some(seen) => {
                let new: Vec<_> = failure
                    .hosts
                    .into_iter()
                    .filter(|host| !seen.hosts.contains(host))
                    .collect();
                seen.hosts.extend(new);
            }
            None => self.failures.push(failure),
        }
    }

    fn host(&mut self, host: &HostName) -> &mut HostRecap {
        self.hosts.entry(host.clone()).or_default()
    }

    /// Returns whether anything was changed, or would be.
    pub fn has_changes(&self) -> bool {
        self.hosts.values().any(|host| host.changed > 0)
    }

    /// Returns whether the command shows what would be done and does nothing.
    pub fn is_read_only(&self) -> bool {
        matches!(self.command.as_str(), "plan" | "apply --check")
    }

    /// Returns how the run ended. Wrong input never gets as far as a run.
    pub fn exit(&self) -> ExitCode {
        let any = |health| self.hosts.values().any(|host| host.health == health);
        let degraded = self.command == "status" && self.healthy == Some(false);
        [
            (self.interrupted, ExitCode::Interrupted),
            (self.refused.is_some(), ExitCode::Refused),
            (
                self.failed.is_some() || any(Health::Failed) || degraded,
                ExitCode::Failed,
            ),
            (any(Health::Unreachable), ExitCode::Unreachable),
            (self.is_read_only() && self.has_changes(), ExitCode::Changes),
        ]
        .into_iter()
        .filter_map(|(holds, exit)| holds.then_some(exit))
        .fold(ExitCode::Done, ExitCode::and)
    }

    /// Returns [`Recap::exit`] as a number.
    pub fn exit_code(&self) -> u8 {
        self.exit().code()
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
    /// Returns the seconds from the first record to `end`; 0 without either.
    fn until(&self, end: Option<Timestamp>) -> f64 {
        let since = self.first.zip(end);
        since.map_or(0.0, |(first, end)| end.duration_since(first).as_secs_f64())
    }

    /// Returns wall time by category: each instant counts once, for the first of [`ORDER`] that some host was in.
    fn split(&self) -> TimeSplit {
        let (Some(first), Some(last)) = (self.first, self.last) else {
            return TimeSplit::default();
        };
        let mut edges: Vec<(Timestamp, Option<usize>, i32)> = vec![(last, None, 0)];
        for (category, start, end) in &self.spans {
            let index = ORDER.iter().position(|c| c == category);
            edges.push(((*start).max(first), index, 1));
            edges.push(((*end).max(first), index, -1));
        }
        edges.sort_unstable_by_key(|(at, ..)| *at);
        let mut split = TimeSplit::default();
        let mut under_way = [0; ORDER.len()];
        let mut before = first;
        for (at, index, step) in edges {
            let category = under_way
                .iter()
                .position(|n| *n > 0)
                .map_or(Category::Own, |i| ORDER[i]);
            *split.of_mut(category) += at.duration_since(before).as_secs_f64();
            if let Some(index) = index {
                under_way[index] += step;
            }
            before = at;
        }
        split
    }
}
