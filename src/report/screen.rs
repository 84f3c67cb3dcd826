//! What the moving display shows, as text: a header with the act, one line a host, or counts where there are many.

use indexmap::IndexMap;
use jiff::Timestamp;

use crate::event::{Event, Record};
use crate::model::HostName;

use super::painter::{Size, cut, width};
use super::text::{BOLD, DIM, GREEN, RED, YELLOW, bytes, clock, names, paint};

/// Above how many hosts the lines fold into counts.
pub(super) const FOLD_ABOVE: usize = 20;
/// How many kinds of step the folded display names.
const KINDS: usize = 5;
/// So many columns of a title stay, however long its progress is.
const LEAST_TITLE: usize = 24;
/// The acts of an apply, in order.
const ACTS: [&str; 5] = ["prepare", "load balancer", "init", "join", "verify"];

#[derive(Debug, Clone, Default, PartialEq)]
enum State {
    /// Nothing is under way.
    #[default]
    Waiting,
    /// This, since then, and how far it is.
    Busy(String, Timestamp, Option<String>),
    Done,
    Failed(String),
}

/// The display's state.
#[derive(Debug, Clone, Default)]
pub(super) struct Screen {
    command: String,
    act: Option<String>,
    started: Option<Timestamp>,
    hosts: IndexMap<HostName, State>,
}

impl Screen {
    /// Takes one record.
    pub(super) fn add(&mut self, record: &Record) {
        let at = record.at;
        self.started.get_or_insert(at);
        match &record.event {
            Event::RunStarted { command, hosts, .. } => {
                self.command.clone_from(command);
                for host in hosts {
                    self.hosts.entry(host.clone()).or_default();
                }
            }
            Event::ActStarted { act, hosts } => {
                self.act = Some(act.clone());
                if act == "probe" {
                    hosts
                        .iter()
                        .for_each(|host| self.set(host, busy("connecting", at)));
                }
            }
            Event::Connected { host, .. } => self.set(host, busy("reading", at)),
            Event::Probed { host, .. } => self.set(host, State::Waiting),
            Event::StepStarted { host, title } => self.set(host, busy(title, at)),
            Event::Progress { host, text, of } => self.progress(host, text, *of, at),
            Event::StepFinished {
                host,
                title,
                status,
                ..
            } => {
                let failed = *status == crate::event::Status::Failed;
                self.set(
                    host,
                    if failed {
                        State::Failed(title.clone())
                    } else {
                        State::Waiting
                    },
                );
            }
            Event::HostTrouble { host, trouble, .. } => {
                self.set(host, State::Failed(trouble.as_str().to_string()))
            }
            Event::HostFinished { host, .. } => self.set(host, State::Done),
            _ => {}
        }
    }

    fn set(&mut self, host: &HostName, state: State) {
        let slot = self.hosts.entry(host.clone()).or_default();
        // A failure stays in sight until the end.
        if !matches!(slot, State::Failed(_)) {
            *slot = state;
        }
    }

    fn progress(&mut self, host: &HostName, text: &str, of: Option<(u64, u64)>, at: Timestamp) {
        let text = match of {
            // Large totals are bytes; small ones count things.
            Some((done, total)) if total >= 100_000 => {
                format!("{text} {} of {}", bytes(done), bytes(total))
            }
            Some((done, total)) => format!("{text} {done}/{total}"),
            None => text.to_string(),
        };
        let slot = self.hosts.entry(host.clone()).or_default();
        match slot {
            State::Busy(_, _, progress) => *progress = Some(text),
            State::Waiting => *slot = State::Busy(text, at, None),
            State::Done | State::Failed(_) => {}
        }
    }

    /// Returns the lines at the moment `now`, styled; they fold where a terminal of that size has no room.
    pub(super) fn lines(&self, now: Timestamp, size: Size) -> Vec<String> {
        if self.started.is_none() {
            return Vec::new();
        }
        let mut lines = vec![self.header(now)];
        if self.hosts.len() > FOLD_ABOVE.min(size.rows.saturating_sub(2)) {
            self.fold(now, &mut lines);
        } else {
            let width = self
                .hosts
                .keys()
                .map(|host| host.as_str().len())
                .max()
                .unwrap_or(0);
            for (host, state) in &self.hosts {
                let row = row(state, now, size.columns.saturating_sub(width + 5));
                lines.push(format!("  {host:<width$}  {row}"));
            }
        }
        lines
    }

    fn header(&self, now: Timestamp) -> String {
        let elapsed = clock(self.started.map_or(0, |started| since(started, now)));
        let current = self.act.as_deref().unwrap_or_default();
        let acts = if self.command == "apply" {
            let at = ACTS.iter().position(|act| *act == current);
            let paint_act = |(i, act): (usize, &&str)| match at {
                Some(at) if i < at => paint(GREEN, act),
                // Brackets, because colour may be off.
                Some(at) if i == at => paint(BOLD, format_args!("[{act}]")),
                _ => paint(DIM, act),
            };
            let acts = ACTS
                .iter()
                .enumerate()
                .map(paint_act)
                .collect::<Vec<_>>()
                .join(" · ");
            // An act outside the list, such as the first look at the hosts, stands before it.
            if at.is_none() && !current.is_empty() {
                format!("{} · {acts}", paint(BOLD, format_args!("[{current}]")))
            } else {
                acts
            }
        } else {
            paint(BOLD, [self.command.as_str(), current].join(" ").trim())
        };
        format!("{elapsed:>5}  {acts}")
    }

    /// Adds a fixed number of lines for many hosts: counts, the steps most hosts are in, the slowest, the failed.
    fn fold(&self, now: Timestamp, lines: &mut Vec<String>) {
        let (mut busy, mut done, mut waiting) = (0, 0, 0);
        let mut failed = Vec::new();
        let mut kinds: IndexMap<&str, u32> = IndexMap::new();
        let mut slowest: Option<(&HostName, &State, Timestamp)> = None;
        for (host, state) in &self.hosts {
            match state {
                State::Waiting => waiting += 1,
                State::Done => done += 1,
                State::Failed(_) => failed.push(host.clone()),
                State::Busy(what, at, _) => {
                    busy += 1;
                    *kinds.entry(what).or_default() += 1;
                    if slowest.is_none_or(|(_, _, first)| *at < first) {
                        slowest = Some((host, state, *at));
                    }
                }
            }
        }
        let total = self.hosts.len();
        let failures = format!("{} failed", failed.len());
        let failures = if failed.is_empty() {
            failures
        } else {
            paint(RED, failures)
        };
        lines.push(format!(
            "  {total} hosts: {busy} busy · {waiting} waiting · {done} done · {failures}"
        ));
        kinds.sort_by(|_, a, _, b| b.cmp(a));
        for (what, n) in kinds.iter().take(KINDS) {
            lines.push(format!("  {n:>5}  {what}"));
        }
        if let Some((host, state, _)) = slowest {
            lines.push(format!("  longest: {host}  {}", row(state, now, 60)));
        }
        if !failed.is_empty() {
            lines.push(format!("  {} {}", paint(RED, "failed:"), names(&failed, 5)));
        }
    }
}

fn busy(what: &str, at: Timestamp) -> State {
    State::Busy(what.to_string(), at, None)
}

/// Returns whole seconds between two moments.
fn since(start: Timestamp, now: Timestamp) -> i64 {
    now.duration_since(start).as_secs().max(0)
}

/// Returns what a host is doing, in `room` columns: a long title gives way to how far it is.
fn row(state: &State, now: Timestamp, room: usize) -> String {
    match state {
        State::Waiting => paint(DIM, "     ·  waiting"),
        State::Done => paint(GREEN, "        done"),
        State::Failed(what) => paint(RED, format_args!("        failed: {what}")),
        State::Busy(what, at, progress) => {
            let elapsed = format!("{:>4} s", since(*at, now));
            let Some(progress) = progress else {
                return format!("{}  {what}", paint(YELLOW, elapsed));
            };
            let room = room.saturating_sub(width(&elapsed) + 5);
            let (what, _) = cut(what, room.saturating_sub(width(progress)).max(LEAST_TITLE));
            let progress = paint(DIM, format_args!("· {progress}"));
            format!("{}  {what} {progress}", paint(YELLOW, elapsed))
        }
    }
}
