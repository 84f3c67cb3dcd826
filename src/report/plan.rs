//! A plan as a person reads it: per host and kind what would be done and why, with the difference if asked for.

use std::collections::HashSet;
use std::fmt::Write as _;

use indexmap::IndexMap;

use crate::event::{ChangeKind, Event, ExitCode, Health, PlannedChange, Recap, Record, Since};
use crate::model::HostName;

use super::text::{BOLD, CYAN, DIM, GREEN, RED, YELLOW, count, names, paint};
use super::{Options, syntax};

/// Above how many hosts those with the same plan are shown as one.
const GROUP_ABOVE: usize = 20;
/// How many hosts of such a group are named.
const NAMED: usize = 12;

/// What is said of a host that was asked alone.
pub(super) const NOT_IN_IT: &str = "not in this run";

/// A step of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Step {
    pub(super) title: String,
    pub(super) kind: ChangeKind,
    pub(super) changes: Vec<PlannedChange>,
    pub(super) disturbs: bool,
    pub(super) since: Option<Since>,
}

/// How a host stands in a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stands {
    /// Something would be done.
    Changing,
    /// All is as written.
    Unchanged,
    /// It could not be read.
    Failed,
    /// It was read, and is not what can be planned for.
    Unfit,
    /// It was not read.
    Unread,
    /// It was asked for what it knows of the cluster, and has no part in the plan (`--limit`).
    Asked,
}

/// Collects a plan's steps out of the stream.
#[derive(Debug, Clone, Default)]
pub struct PlanView {
    hosts: IndexMap<HostName, Vec<Step>>,
    /// Those whose answer was looked at.
    planned: HashSet<HostName>,
    /// Those that answered. One that is asked without being chosen answers and has no plan.
    answered: HashSet<HostName>,
}

impl PlanView {
    /// Adds one record; those that are no part of a plan are passed over.
    pub fn add(&mut self, record: &Record) {
        match record.to_printable().event {
            Event::RunStarted { hosts, .. } => {
                for host in hosts {
                    self.hosts.entry(host).or_default();
                }
            }
            Event::Probed { host, .. } => {
                self.answered.insert(host);
            }
            Event::Unchanged { host, .. } => {
                self.planned.insert(host);
            }
            Event::Planned {
                host,
                title,
                changes,
                disturbs,
                since,
            } => self.hosts.entry(host).or_default().push(Step {
                title,
                kind: ChangeKind::of(&changes),
                changes,
                disturbs,
                since,
            }),
            _ => {}
        }
    }

    /// Returns the plan, styled, with its summary as the last line. `recap` tells which hosts could not be read.
    pub fn render(&self, recap: &Recap, options: &Options) -> String {
        let mut out = String::new();
        for (hosts, steps) in self.groups(options) {
            let _ = writeln!(out, "{}", paint(BOLD, names(&hosts, NAMED)));
            for kind in ChangeKind::ALL {
                let of_kind: Vec<&Step> = steps.iter().filter(|step| step.kind == kind).collect();
                if !of_kind.is_empty() {
                    let _ = writeln!(out, "  {}", paint(CYAN, kind.as_str()));
                }
                of_kind
                    .iter()
                    .for_each(|step| render_step(&mut out, step, options));
            }
            out.push('\n');
        }
        if self.hosts.values().flatten().any(|step| step.disturbs) {
            let _ = writeln!(out, "{} disturbs the path to the API\n", paint(RED, "!"));
        }
        let counts: Vec<String> = self
            .counts()
            .iter()
            .map(|(kind, n)| format!("{} {n}", kind.as_str()))
            .collect();
        if !counts.is_empty() {
            let _ = writeln!(out, "in all: {}", counts.join(", "));
        }
        let _ = writeln!(out, "{}", self.summary(recap));
        out
    }

    /// Returns how many steps of each kind there are, kinds without any left out.
    pub(super) fn counts(&self) -> Vec<(ChangeKind, usize)> {
        let steps = || self.hosts.values().flatten();
        let count = |kind| (kind, steps().filter(|step| step.kind == kind).count());
        let counts = ChangeKind::ALL.into_iter().map(count);
        counts.filter(|(_, n)| *n > 0).collect()
    }

    /// Returns the hosts with their steps, and how each stands.
    pub(super) fn hosts<'a>(
        &'a self,
        recap: &'a Recap,
    ) -> impl Iterator<Item = (&'a HostName, &'a [Step], Stands)> {
        let whole = recap.finished && !recap.interrupted;
        self.hosts.iter().map(move |(host, steps)| {
            let health = recap.hosts.get(host).map_or(Health::Good, |h| h.health);
            let stands = if !steps.is_empty() {
                Stands::Changing
            } else if health == Health::Unreachable {
                Stands::Failed
            } else if health == Health::Failed {
                Stands::Unfit
            } else if self.planned.contains(host) {
                Stands::Unchanged
            } else if !whole || !self.answered.contains(host) {
                Stands::Unread
            } else {
                Stands::Asked
            };
            (host, steps.as_slice(), stands)
        })
    }

    /// Returns whether a host of a plan or an apply was asked for what it knows of the cluster and has no part in the run (`--limit`).
    /// Those that have one are compared all at once: where none was, as in a run that was refused, nobody's part is known.
    pub(super) fn is_asked_alone(&self, host: &HostName, recap: &Recap) -> bool {
        let compares = recap.is_read_only() || recap.command == "apply";
        compares
            && self.answered.contains(host)
            && !self.planned.contains(host)
            && !(self.planned.is_empty() && is_stopped(recap))
    }

    /// Returns the hosts with changes, those with equal plans together where there are many hosts.
    fn groups(&self, options: &Options) -> Vec<(Vec<HostName>, Vec<Step>)> {
        let changing = self.hosts.iter().filter(|(_, steps)| !steps.is_empty());
        if self.hosts.len() <= GROUP_ABOVE {
            return changing
                .map(|(host, steps)| (vec![host.clone()], steps.clone()))
                .collect();
        }
        let mut groups: IndexMap<Vec<Step>, Vec<HostName>> = IndexMap::new();
        for (host, steps) in changing {
            let shown = steps.iter().map(|step| step.shown(options)).collect();
            groups.entry(shown).or_default().push(host.clone());
        }
        groups
            .into_iter()
            .map(|(steps, hosts)| (hosts, steps))
            .collect()
    }

    /// Returns `plan: 3 hosts would change, 1 unchanged`, and how many of the hosts could not be or were not read.
    pub(super) fn summary(&self, recap: &Recap) -> String {
        let of = |wanted| {
            let hosts = self.hosts(recap);
            hosts.filter(|(.., stands)| *stands == wanted).count() as u64
        };
        let (changing, failed, unfit, unread) = (
            of(Stands::Changing),
            of(Stands::Failed),
            of(Stands::Unfit),
            of(Stands::Unread),
        );
        let unchanged = of(Stands::Unchanged);
        let well = matches!(recap.exit(), ExitCode::Done | ExitCode::Changes);
        let style = if changing == 0 && well { GREEN } else { YELLOW };
        let mut text = format!(
            "plan: {} would change, {unchanged} unchanged",
            count(changing, "host")
        );
        if matches!(recap.exit(), ExitCode::Failed | ExitCode::Refused) {
            text.push_str(", but apply would not come to its end: see below");
        }
        if failed > 0 {
            let _ = write!(text, ", {failed} could not be read");
        }
        if unfit > 0 {
            let _ = write!(text, ", {unfit} could not be planned");
        }
        if unread > 0 {
            let _ = write!(text, ", {unread} not read");
        }
        paint(style, text)
    }
}

/// Returns whether a run was refused, has failed, was interrupted or killed: what it would have done is not known.
pub(super) fn is_stopped(recap: &Recap) -> bool {
    recap.refused.is_some() || recap.failed.is_some() || recap.interrupted || !recap.finished
}

impl Step {
    /// Returns it with what is shown alone: what two hosts differ in beside that keeps them not apart.
    fn shown(&self, options: &Options) -> Self {
        let changes = self.changes.iter().map(|change| PlannedChange {
            diff: change.diff.clone().filter(|_| options.diff),
            guard: change.guard.clone().filter(|_| options.detailed),
            digest: None,
            ..change.clone()
        });
        Self {
            changes: changes.collect(),
            ..self.clone()
        }
    }
}

fn render_step(out: &mut String, step: &Step, options: &Options) {
    let mark = match step.kind {
        _ if step.disturbs => paint(RED, "!"),
        ChangeKind::Create => paint(GREEN, "+"),
        ChangeKind::Remove => paint(RED, "-"),
        _ => paint(YELLOW, "~"),
    };
    let _ = writeln!(out, "    {mark} {}", step.title);
    for change in &step.changes {
        let _ = writeln!(out, "        {}{}", change.what, reason(&change.why));
        if let Some(guard) = change.guard.as_ref().filter(|_| options.detailed) {
            let _ = writeln!(
                out,
                "          {}",
                paint(DIM, format_args!("guard: {guard}"))
            );
        }
        if let Some(diff) = change.diff.as_ref().filter(|_| options.diff) {
            for line in syntax::diff(diff) {
                let _ = writeln!(out, "          {line}");
            }
        }
    }
    if let Some(since) = &step.since {
        let _ = writeln!(out, "        {}", paint(DIM, since.sentence()));
    }
}

fn reason(why: &str) -> String {
    if why.is_empty() {
        String::new()
    } else {
        paint(DIM, format_args!(" {}", in_brackets(why)))
    }
}

/// Returns the text in brackets, unless it has its own: `(known after apply)`.
fn in_brackets(text: &str) -> String {
    if text.starts_with('(') && text.ends_with(')') {
        text.to_string()
    } else {
        format!("({text})")
    }
}

/// Returns a change as one line: `write /etc/x (content differs)`.
pub(super) fn change_line(change: &PlannedChange) -> String {
    if change.why.is_empty() {
        change.what.clone()
    } else {
        format!("{} {}", change.what, in_brackets(&change.why))
    }
}
