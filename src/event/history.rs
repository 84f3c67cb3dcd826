//! What journals tell when they are read one after the other: which runs there were, and since when a host is not as
//! written. Folds over records; pure.

use std::borrow::Cow;
use std::collections::HashMap;

use indexmap::IndexMap;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Event, ExitCode, Health, PlannedChange, Recap, Record, Status};
use crate::model::HostName;

/// One run, as others name it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct RunRef {
    /// Its 16 hex digits.
    pub run: String,
    /// `plan`, `apply`, ...
    pub command: String,
    /// When it began, UTC.
    pub at: Timestamp,
}

/// What earlier runs said of a thing that is not as written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Since {
    /// The last run that found it as written, or made it so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_written: Option<RunRef>,
    /// The first run after that which found that it differs; absent where this one is the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub different: Option<RunRef>,
}

impl Since {
    pub(super) fn runs_mut(&mut self) -> impl Iterator<Item = &mut RunRef> {
        self.as_written.iter_mut().chain(&mut self.different)
    }

    /// Returns it as a sentence without its end: `as written in the apply of 2026-11-20 14:03Z, different since the plan of
    /// 2026-11-21 02:00Z`.
    pub fn sentence(&self) -> String {
        let seen = |run: &RunRef| {
            format!(
                "the {} of {}",
                run.command,
                run.at.strftime("%Y-%m-%d %H:%MZ")
            )
        };
        match (&self.as_written, &self.different) {
            (Some(last), Some(first)) => {
                format!(
                    "as written in {}, different since {}",
                    seen(last),
                    seen(first)
                )
            }
            (Some(last), None) => format!("as written in {}", seen(last)),
            (None, Some(first)) => format!("different since {}", seen(first)),
            (None, None) => String::new(),
        }
    }
}

/// How many runs that looked at a host and did not name a task say that the task is a new one: a few may have left it out
/// (`--tags`).
const ENOUGH: u32 = 20;

/// What runs said of each task of each host: a fold over journals, the newest first, because the newest mostly say all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    hosts: HashMap<HostName, Host>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Host {
    /// How many runs looked at it.
    runs: u32,
    /// The newest that compared what Kubernetes says with what is wanted here.
    compared: Option<RunRef>,
    tasks: HashMap<String, Task>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Task {
    since: Since,
    /// Of the runs that looked at the host, the oldest that named the task.
    named: u32,
}

impl History {
    /// Adds a run older than those added before. Runs that compare nothing, such as `status`, say nothing; so does a journal
    /// whose first record is lost, because nobody could name its run.
    pub fn add_older(&mut self, records: &[Record]) {
        let Some(Said { run, hosts }) = said(records) else {
            return;
        };
        for (name, SaidOfHost { compared, tasks }) in hosts {
            let host = self.hosts.entry(name).or_default();
            host.runs += 1;
            if compared {
                host.compared.get_or_insert_with(|| run.clone());
                // Nobody says of Kubernetes what is as written: whatever a comparison does not name.
                let kept = host.tasks.iter_mut();
                let kept = kept.filter(|(title, _)| {
                    title.starts_with(KUBERNETES) && !tasks.contains_key(*title)
                });
                for (_, task) in kept {
                    task.since.as_written.get_or_insert_with(|| run.clone());
                }
            }
            for (title, older) in tasks {
                let task = host.tasks.entry(title).or_default();
                task.named = host.runs;
                // What was as written later on has not differed since before.
                if task.since.as_written.is_none() {
                    task.since.as_written = older.as_written;
                    task.since.different = older.different.or(task.since.different.take());
                }
            }
        }
    }

    /// Returns what is known of a task that is found to differ now; `None` where no journal names it.
    pub fn since(&self, host: &HostName, title: &str) -> Option<Since> {
        let host = self.hosts.get(host)?;
        match host.tasks.get(title) {
            Some(task) => Some(task.since.clone()),
            None if title.starts_with(KUBERNETES) => Some(Since {
                as_written: host.compared.clone(),
                different: None,
            }),
            None => None,
        }
    }

    /// Returns whether older runs have nothing to add to that.
    pub fn is_settled(&self, host: &HostName, title: &str) -> bool {
        let Some(host) = self.hosts.get(host) else {
            return false;
        };
        let task = host.tasks.get(title);
        if task.is_none() && title.starts_with(KUBERNETES) && host.compared.is_some() {
            return true;
        }
        let named = task.map_or(0, |task| task.named);
        task.is_some_and(|task| task.since.as_written.is_some()) || host.runs - named >= ENOUGH
    }
}

/// What the names of Kubernetes' own differences begin with here; no task's title does.
const KUBERNETES: &str = "\0";

/// Returns the name by which a difference is known from run to run: its task's title, and of Kubernetes' own state, whose
/// title is `cluster` for all, what would be done.
pub fn name_of<'a>(title: &'a str, changes: &[PlannedChange]) -> Cow<'a, str> {
    match changes.first() {
        Some(change) if title == CLUSTER => Cow::Owned(format!("{KUBERNETES}{}", change.what)),
        _ => Cow::Borrowed(title),
    }
}

const CLUSTER: &str = "cluster";

/// What one run said.
struct Said {
    run: RunRef,
    hosts: HashMap<HostName, SaidOfHost>,
}

#[derive(Default)]
struct SaidOfHost {
    /// Whether the run compared what Kubernetes says of it: a plan that saw it, and an apply that came to a good end.
    compared: bool,
    tasks: HashMap<String, Since>,
}

/// Returns the exit codes with which a run of this command compared what Kubernetes says; `None` of commands that compare nothing.
fn comparing(command: &str) -> Option<&'static [u8]> {
    match command {
        "plan" | "apply --check" => Some(&[0, 2]),
        "apply" => Some(&[0]),
        _ => None,
    }
}

/// Returns what one run said of each host that it looked at; `None` where it compares nothing, or nobody could name it.
fn said(records: &[Record]) -> Option<Said> {
    let run = records.iter().find_map(run_of)?;
    let good = comparing(&run.command)?;
    let mut hosts: HashMap<HostName, SaidOfHost> = HashMap::new();
    let mut seen: Vec<&HostName> = Vec::new();
    let mut is_good = false;
    let mut say = |host: &HostName, title: &str, is_as_written: bool| {
        let host = hosts.entry(host.clone()).or_default();
        let since = host.tasks.entry(title.to_string()).or_default();
        if is_as_written {
            *since = Since {
                as_written: Some(run.clone()),
                different: None,
            };
        } else {
            since.different.get_or_insert_with(|| run.clone());
        }
    };
    let mut looked: Vec<&HostName> = Vec::new();
    for record in records {
        match &record.event {
            Event::Unchanged { host, .. } => looked.push(host),
            Event::AsWritten { hosts, titles } => {
                for host in hosts {
                    titles.iter().for_each(|title| say(host, title, true));
                }
            }
            Event::StepFinished {
                host,
                title,
                status: Status::Ok | Status::Changed,
                ..
            } => say(host, title, true),
            Event::Planned {
                host,
                title,
                changes,
                ..
            } => say(host, &name_of(title, changes), false),
            Event::StepFinished {
                host,
                title,
                status: Status::Failed | Status::Rescued,
                ..
            } => say(host, title, false),
            Event::HostSeen { host, .. } => seen.push(host),
            Event::RunFinished { exit, .. } => is_good |= good.contains(exit),
            _ => {}
        }
    }
    for host in looked {
        hosts.entry(host.clone()).or_default();
    }
    // What was seen counts for hosts that tasks were looked at for.
    for host in seen.into_iter().filter(|_| is_good) {
        if let Some(host) = hosts.get_mut(host) {
            host.compared = true;
        }
    }
    Some(Said { run, hosts })
}

fn run_of(record: &Record) -> Option<RunRef> {
    match &record.event {
        Event::RunStarted { run, command, .. } => Some(RunRef {
            run: run.clone(),
            command: command.clone(),
            at: record.at,
        }),
        _ => None,
    }
}

/// One run as `history` lists it.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct RunSummary {
    /// Its 16 hex digits; empty where the journal lost its first record.
    pub run: String,
    /// When it began.
    pub at: Option<Timestamp>,
    /// `plan`, `apply`, ...
    pub command: String,
    /// Who ran it and where, as the run said.
    pub user: String,
    /// `cluster_name`.
    pub cluster: String,
    /// How many hosts were asked.
    pub hosts: usize,
    /// The exit code; absent where the run did not come to its end.
    pub exit: Option<u8>,
    /// Seconds; of a run without an end up to its last word.
    pub seconds: f64,
    /// How many tasks were changed on each host that was changed; in a plan, that would be.
    pub changed: IndexMap<HostName, u32>,
    /// Hosts on which something failed.
    pub failed: Vec<HostName>,
    /// Hosts that could not be reached.
    pub unreachable: Vec<HostName>,
    /// Why the run was refused, or what stopped it.
    pub reason: Option<String>,
}

impl RunSummary {
    /// Returns the summary of one journal's records.
    pub fn of(records: &[Record]) -> Self {
        let recap = Recap::of(records);
        let mut summary = Self {
            command: recap.command.clone(),
            at: records.first().map(|record| record.at),
            seconds: recap.seconds,
            hosts: recap.hosts.len(),
            reason: recap.refused.clone().or_else(|| recap.failed.clone()),
            ..Self::default()
        };
        for record in records {
            match &record.event {
                Event::RunStarted {
                    run, user, cluster, ..
                } => {
                    summary.run.clone_from(run);
                    summary.user.clone_from(user);
                    summary.cluster.clone_from(cluster);
                }
                // What the run itself said, and what its records say, whichever is worse: some may be lost.
                Event::RunFinished { exit, .. } => {
                    let said = ExitCode::from_code(*exit).unwrap_or(ExitCode::Failed);
                    summary.exit = Some(recap.exit().and(said).code());
                }
                _ => {}
            }
        }
        for (name, host) in &recap.hosts {
            if host.changed > 0 {
                summary.changed.insert(name.clone(), host.changed);
            }
            match host.health {
                Health::Good => {}
                Health::Failed => summary.failed.push(name.clone()),
                Health::Unreachable => summary.unreachable.push(name.clone()),
            }
        }
        summary
    }

    /// Returns whether what is counted as changed was not done: it would be.
    pub fn is_read_only(&self) -> bool {
        matches!(self.command.as_str(), "plan" | "apply --check")
    }
}
