//! A plan as a person reads it: per host what would be done and why, with the difference if asked for.

use std::collections::HashSet;
use std::fmt::Write as _;

use indexmap::IndexMap;

use crate::event::{Event, ExitCode, Health, PlannedChange, Recap, Record, printable};
use crate::model::HostName;

use super::text::{BOLD, CYAN, DIM, GREEN, RED, YELLOW, count, names, paint};

/// Above how many hosts those with the same plan are shown as one.
const GROUP_ABOVE: usize = 20;
/// How many hosts of such a group are named.
const NAMED: usize = 12;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Step {
    title: String,
    changes: Vec<(String, String, Option<String>)>,
    disturbs: bool,
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
        match &record.event {
            Event::RunStarted { hosts, .. } => {
                for host in hosts {
                    self.hosts.entry(host.clone()).or_default();
                }
            }
            Event::Probed { host, .. } => {
                self.answered.insert(host.clone());
            }
            Event::Unchanged { host, .. } => {
                self.planned.insert(host.clone());
            }
            Event::Planned {
                host,
                title,
                changes,
                disturbs,
            } => {
                let changes = changes.iter().map(|change| {
                    let diff = change.diff.as_ref().map(|diff| printable(diff, true));
                    (
                        printable(&change.what, false),
                        printable(&change.why, false),
                        diff,
                    )
                });
                let step = Step {
                    title: printable(title, false),
                    changes: changes.collect(),
                    disturbs: *disturbs,
                };
                self.hosts.entry(host.clone()).or_default().push(step);
            }
            _ => {}
        }
    }

    /// Returns the plan, styled, with its summary as the last line. `recap` tells which hosts could not be read.
    pub fn render(&self, recap: &Recap, diff: bool) -> String {
        let mut out = String::new();
        for (hosts, steps) in self.groups() {
            let _ = writeln!(out, "{}", paint(BOLD, names(&hosts, NAMED)));
            for step in steps {
                render_step(&mut out, step, diff);
            }
            out.push('\n');
        }
        if self.hosts.values().flatten().any(|step| step.disturbs) {
            let _ = writeln!(out, "{} disturbs the path to the API\n", paint(RED, "!"));
        }
        let _ = writeln!(out, "{}", self.summary(recap));
        out
    }

    /// Returns the hosts with changes, those with equal plans together where there are many hosts.
    fn groups(&self) -> Vec<(Vec<HostName>, &[Step])> {
        let changing = self.hosts.iter().filter(|(_, steps)| !steps.is_empty());
        if self.hosts.len() <= GROUP_ABOVE {
            return changing
                .map(|(host, steps)| (vec![host.clone()], steps.as_slice()))
                .collect();
        }
        let mut groups: IndexMap<&[Step], Vec<HostName>> = IndexMap::new();
        for (host, steps) in changing {
            groups
                .entry(steps.as_slice())
                .or_default()
                .push(host.clone());
        }
        groups
            .into_iter()
            .map(|(steps, hosts)| (hosts, steps))
            .collect()
    }

    /// Returns `plan: 3 hosts would change, 1 unchanged`, and how many of the hosts could not be or were not read.
    pub(super) fn summary(&self, recap: &Recap) -> String {
        let whole = recap.finished && !recap.interrupted;
        let (mut changing, mut unchanged, mut failed, mut unread) = (0u64, 0u64, 0u64, 0u64);
        for (host, steps) in &self.hosts {
            let good = recap
                .hosts
                .get(host)
                .is_none_or(|host| host.health == Health::Good);
            if !steps.is_empty() {
                changing += 1;
            } else if !good {
                failed += 1;
            } else if self.planned.contains(host) {
                unchanged += 1;
            } else if !whole || !self.answered.contains(host) {
                unread += 1;
            }
        }
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
        if unread > 0 {
            let _ = write!(text, ", {unread} not read");
        }
        paint(style, text)
    }
}

fn render_step(out: &mut String, step: &Step, diff: bool) {
    let mark = if step.disturbs {
        paint(RED, "!")
    } else {
        paint(YELLOW, "~")
    };
    let _ = writeln!(out, "  {mark} {}", step.title);
    for (what, why, text) in &step.changes {
        let _ = writeln!(out, "      {what}{}", reason(why));
        if let Some(text) = text.as_ref().filter(|_| diff) {
            for line in text.lines() {
                let _ = writeln!(out, "        {}", diff_line(line));
            }
        }
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

/// Returns a line of a unified diff in its colour.
pub(super) fn diff_line(line: &str) -> String {
    let style = if line.starts_with("+++") || line.starts_with("---") {
        BOLD
    } else if line.starts_with('+') {
        GREEN
    } else if line.starts_with('-') {
        RED
    } else if line.starts_with("@@") {
        CYAN
    } else {
        return line.to_string();
    };
    paint(style, line)
}

/// Returns a change as one line: `write /etc/x (content differs)`.
pub(super) fn change_line(change: &PlannedChange) -> String {
    if change.why.is_empty() {
        change.what.clone()
    } else {
        format!("{} {}", change.what, in_brackets(&change.why))
    }
}
