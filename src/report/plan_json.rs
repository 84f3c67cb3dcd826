//! A plan as one object, the last line of `plan --output json`. Its fields only grow; docs/plan-and-drift.md lists them.

use indexmap::IndexMap;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use crate::event::{ChangeKind, Event, Failure, PlannedChange, Recap, Record, RunRef, VERSION};
use crate::model::HostName;

use super::plan::{PlanView, Stands, Step};

/// A plan as one object: the last line of `plan --output json` and of `apply --check --output json`.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Plan {
    /// The stream's version.
    #[schemars(range(min = VERSION, max = VERSION))]
    v: u32,
    /// `plan`.
    #[schemars(extend("const" = "plan"))]
    event: &'static str,
    /// The run's 16 hex digits.
    run: String,
    /// `cluster_name`.
    cluster: String,
    /// When it began, UTC.
    at: Option<Timestamp>,
    /// The exit code.
    exit: u8,
    /// Whether all hosts were read and nothing was refused or failed: only then an empty plan means that all is as written.
    complete: bool,
    /// In figures.
    summary: Summary,
    /// The hosts that have a part in it, by their names.
    hosts: IndexMap<HostName, HostPlan>,
    /// What went wrong.
    failures: Vec<Failure>,
    /// The cluster, where one was seen.
    health: Option<ClusterHealth>,
}

/// A plan in figures.
#[derive(Debug, Default, Serialize, JsonSchema)]
struct Summary {
    /// Hosts on which something would be done.
    changing: usize,
    /// Hosts that are as written.
    unchanged: usize,
    /// Hosts that could not be read.
    failed: usize,
    /// Hosts that were not asked any more.
    unread: usize,
    /// Numbers of steps by their kind; kinds that there are none of are absent.
    steps: IndexMap<ChangeKind, usize>,
}

/// What a plan says of one host.
#[derive(Debug, Serialize, JsonSchema)]
struct HostPlan {
    /// How it stands.
    state: State,
    /// How many tasks are as written.
    ok: u32,
    /// How many tasks `when` left out.
    skipped: u32,
    /// What would be done.
    steps: Vec<PlanStep>,
}

/// How a host stands in a plan.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum State {
    /// Something would be done.
    Changing,
    /// All is as written.
    Unchanged,
    /// It could not be read.
    Failed,
    /// It was not asked any more.
    Unread,
}

/// A step of a plan.
#[derive(Debug, Serialize, JsonSchema)]
struct PlanStep {
    /// Its title, such as `haproxy : configuration`.
    title: String,
    /// The strongest kind among its changes.
    kind: ChangeKind,
    /// Whether it disturbs the path to the API.
    disturbs: bool,
    /// Its changes.
    changes: Vec<Change>,
    /// The last run that found it as written, or made it so.
    as_written: Option<RunRef>,
    /// The first run after that which found that it differs.
    different: Option<RunRef>,
}

/// A change that a plan would make.
#[derive(Debug, Serialize, JsonSchema)]
struct Change {
    /// What would be done, such as `write /etc/haproxy/haproxy.cfg`.
    what: String,
    /// Why, such as `content differs`.
    why: String,
    /// Of which kind.
    kind: ChangeKind,
    /// Unified diff, secrets masked; only with `--diff`, and where there is a text to compare.
    diff: Option<String>,
    /// What is looked at once more on the host before it is done.
    guard: Option<String>,
}

/// How a cluster was seen.
#[derive(Debug, Serialize, JsonSchema)]
struct ClusterHealth {
    /// Whether everything is as it should be; null where nobody could say.
    healthy: Option<bool>,
    /// One sentence: nodes, versions, the VIP's holder.
    summary: String,
}

/// Collects a plan out of the stream.
#[derive(Default)]
pub(super) struct PlanObject {
    run: String,
    cluster: String,
    at: Option<Timestamp>,
    view: PlanView,
    recap: Recap,
}

impl PlanObject {
    /// Adds a record; returns the object with the last one of a plan.
    pub(super) fn add(&mut self, record: &Record) -> Option<Plan> {
        let begins = matches!(record.event, Event::RunStarted { .. });
        if !begins && !self.recap.is_read_only() {
            return None;
        }
        // What hosts have said must not steer the terminal of whoever looks at the object.
        let record = &record.to_printable();
        if let Event::RunStarted { run, cluster, .. } = &record.event {
            self.run.clone_from(run);
            self.cluster.clone_from(cluster);
            self.at = Some(record.at);
        }
        self.recap.add(record);
        self.view.add(record);
        matches!(record.event, Event::RunFinished { .. }).then(|| self.object())
    }

    fn object(&self) -> Plan {
        let mut hosts = IndexMap::new();
        let mut summary = Summary {
            steps: self.view.counts().into_iter().collect(),
            ..Summary::default()
        };
        for (name, steps, stands) in self.view.hosts(&self.recap) {
            let recap = self.recap.hosts.get(name);
            let (count, state) = match stands {
                Stands::Changing => (&mut summary.changing, State::Changing),
                Stands::Unchanged => (&mut summary.unchanged, State::Unchanged),
                Stands::Failed | Stands::Unfit => (&mut summary.failed, State::Failed),
                Stands::Unread => (&mut summary.unread, State::Unread),
                // It has no part in the plan.
                Stands::Asked => continue,
            };
            *count += 1;
            let host = HostPlan {
                state,
                ok: recap.map_or(0, |host| host.ok),
                skipped: recap.map_or(0, |host| host.skipped),
                steps: steps.iter().map(step).collect(),
            };
            hosts.insert(name.clone(), host);
        }
        let recap = &self.recap;
        Plan {
            v: VERSION,
            event: "plan",
            run: self.run.clone(),
            cluster: self.cluster.clone(),
            at: self.at,
            exit: recap.exit_code(),
            complete: summary.failed + summary.unread == 0
                && !recap.interrupted
                && recap.refused.is_none()
                && recap.failed.is_none(),
            summary,
            hosts,
            failures: recap.failures.clone(),
            health: recap.cluster.clone().map(|summary| ClusterHealth {
                healthy: recap.healthy,
                summary,
            }),
        }
    }
}

fn step(step: &Step) -> PlanStep {
    let since = step.since.as_ref();
    PlanStep {
        title: step.title.clone(),
        kind: step.kind,
        disturbs: step.disturbs,
        changes: step.changes.iter().map(change).collect(),
        as_written: since.and_then(|since| since.as_written.clone()),
        different: since.and_then(|since| since.different.clone()),
    }
}

fn change(change: &PlannedChange) -> Change {
    Change {
        what: change.what.clone(),
        why: change.why.clone(),
        kind: change.kind,
        diff: change.diff.clone(),
        guard: change.guard.clone(),
    }
}
