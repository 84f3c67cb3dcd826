//! What the page shows, gathered out of the stream.

use indexmap::IndexMap;
use jiff::Timestamp;

use crate::event::{DrillProbe, DrillRound, Event, Mark, Record, Seen, Status};
use crate::model::HostName;
use crate::report::plan::PlanView;

use super::timeline::Timeline;

/// A step that ended.
pub(super) struct Step {
    pub(super) title: String,
    pub(super) status: Status,
    pub(super) seconds: f64,
    pub(super) detail: Vec<String>,
}

/// A drill's round; moments are milliseconds since 1970.
pub(super) struct Round {
    pub(super) number: u32,
    pub(super) target: HostName,
    pub(super) holder: Option<HostName>,
    pub(super) prober: HostName,
    pub(super) watcher: Option<HostName>,
    pub(super) probes: Vec<(i64, DrillProbe)>,
    pub(super) marks: Vec<(i64, HostName, Mark)>,
    pub(super) result: Option<DrillRound>,
}

impl Round {
    /// Returns when the target was taken away, or the first request was made; `None` where nothing happened.
    pub(super) fn zero(&self) -> Option<i64> {
        self.mark(Mark::TakenAway)
            .or_else(|| self.probes.iter().map(|(at, _)| *at).min())
    }

    /// Returns when the first mark of that kind was.
    pub(super) fn mark(&self, wanted: Mark) -> Option<i64> {
        self.marks
            .iter()
            .find(|(_, _, mark)| *mark == wanted)
            .map(|(at, ..)| *at)
    }
}

/// The run.
#[derive(Default)]
pub(super) struct View {
    pub(super) command: String,
    pub(super) cluster: String,
    pub(super) user: String,
    pub(super) version: String,
    pub(super) run: String,
    pub(super) begun: Option<Timestamp>,
    pub(super) steps: IndexMap<HostName, Vec<Step>>,
    pub(super) warnings: Vec<String>,
    pub(super) rounds: Vec<Round>,
    pub(super) plan: PlanView,
    pub(super) seen: IndexMap<HostName, Seen>,
    pub(super) timeline: Timeline,
}

impl View {
    /// Returns the view of these records.
    pub(super) fn of(records: &[Record]) -> Self {
        let mut view = Self::default();
        for record in records {
            view.add(record);
        }
        view
    }

    fn add(&mut self, record: &Record) {
        self.plan.add(record);
        self.timeline.add(record);
        match &record.event {
            Event::RunStarted {
                run,
                command,
                cluster,
                user,
                version,
                hosts,
            } => {
                self.begun = Some(record.at);
                self.run.clone_from(run);
                self.command.clone_from(command);
                self.cluster.clone_from(cluster);
                self.user.clone_from(user);
                self.version.clone_from(version);
                for host in hosts {
                    self.steps.entry(host.clone()).or_default();
                }
            }
            Event::StepFinished {
                host,
                title,
                status,
                seconds,
                detail,
                ..
            } => self.steps.entry(host.clone()).or_default().push(Step {
                title: title.clone(),
                status: *status,
                seconds: *seconds,
                detail: detail.clone(),
            }),
            Event::HostSeen { host, seen } => {
                self.seen.insert(host.clone(), seen.clone());
            }
            Event::Warning { host, message } => {
                let on = host.as_ref().map_or(String::new(), |h| format!("{h}: "));
                self.warnings.push(format!("{on}{message}"));
            }
            Event::DrillStarted {
                round,
                target,
                holder,
                prober,
                watcher,
            } => self.rounds.push(Round {
                number: *round,
                target: target.clone(),
                holder: holder.clone(),
                prober: prober.clone(),
                watcher: watcher.clone(),
                probes: Vec::new(),
                marks: Vec::new(),
                result: None,
            }),
            Event::DrillProbes { start, probes, .. } => {
                if let Some(round) = self.rounds.last_mut() {
                    let start = start.as_millisecond();
                    let at = |p: &DrillProbe| (start + i64::from(p.0), *p);
                    round.probes.extend(probes.iter().map(at));
                }
            }
            Event::DrillMark { host, mark, when } => {
                if let Some(round) = self.rounds.last_mut() {
                    round
                        .marks
                        .push((when.as_millisecond(), host.clone(), *mark));
                }
            }
            Event::DrillFinished { result } => {
                if let Some(round) = self.rounds.last_mut() {
                    round.result = Some(result.clone());
                }
            }
            _ => {}
        }
    }
}
