//! What the moving display shows, as text: a header with the act, one line a host, or counts where there are many.

use indexmap::IndexMap;
use jiff::Timestamp;

use crate::event::{Event, Mark, Record};
use crate::model::HostName;

use super::painter::{Size, cut, width};
use super::text::{BOLD, DIM, GREEN, RED, YELLOW, bytes, clock, names, paint};

/// Above how many hosts the lines fold into counts.
pub(super) const FOLD_ABOVE: usize = 20;
/// How many kinds of step the folded display names.
const KINDS: usize = 5;
/// So many columns of a title stay, however long its progress is.
const LEAST_TITLE: usize = 24;
/// How the titles of the workflow's own steps begin. Those are waited for before all others: a cluster is made, and grows by one
/// control plane at a time.
const WORKFLOW: &str = "cluster : ";
/// The acts of an apply, in order.
const ACTS: [&str; 5] = ["prepare", "load balancer", "init", "join", "verify"];

#[derive(Debug, Clone, Default, PartialEq)]
enum State {
    /// It was not begun with.
    #[default]
    Idle,
    /// Nothing is under way there since then.
    Waiting(Timestamp),
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
                        .for_each(|host| self.set(host, busy(CONNECTING, at)));
                }
            }
            Event::Connected { host, .. } => self.set(host, busy(READING, at)),
            // Who is looked at again and again in the middle of a step is at it still.
            Event::Probed { host, .. } if !self.is_at_a_step(host) => {
                self.set(host, State::Waiting(at));
            }
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
                        State::Waiting(at)
                    },
                );
            }
            Event::HostTrouble { host, trouble, .. } => {
                self.set(host, State::Failed(trouble.as_str().to_string()))
            }
            Event::HostFinished { host, .. } => self.set(host, State::Done),
            Event::DrillStarted {
                target,
                prober,
                watcher,
                ..
            } => {
                self.set(prober, busy("makes requests", at));
                if let Some(watcher) = watcher {
                    self.set(watcher, busy("keeps a watch open", at));
                }
                self.set(target, busy("is about to be taken away", at));
            }
            Event::DrillMark { host, mark, .. }
                if matches!(mark, Mark::TakenAway | Mark::BroughtBack) =>
            {
                self.set(host, busy(mark.as_str(), at));
            }
            Event::DrillFinished { result } => self.set(&result.target, State::Waiting(at)),
            _ => {}
        }
    }

    fn is_at_a_step(&self, host: &HostName) -> bool {
        let looking = |what: &str| [CONNECTING, READING].contains(&what);
        matches!(self.hosts.get(host), Some(State::Busy(what, ..)) if !looking(what))
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
            State::Idle | State::Waiting(_) => *slot = State::Busy(text, at, None),
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
            let awaited = self.awaited();
            for (host, state) in &self.hosts {
                let room = size.columns.saturating_sub(width + 5);
                let row = match (state, &awaited) {
                    (State::Waiting(at), Some(awaited)) => {
                        let text = format!("{:>4} s  waits for {awaited}", since(*at, now));
                        paint(DIM, cut(&text, room).0)
                    }
                    _ => row(state, now, room),
                };
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

    /// Returns whom those wait for that have nothing to do, and for what: the run goes on when something ends. A step of
    /// the workflow on the first host that is in one, and else what has taken longest; `None` where nothing is under way.
    fn awaited(&self) -> Option<String> {
        let busy = || {
            self.hosts.iter().filter_map(|(host, state)| match state {
                State::Busy(what, at, _) => Some((host, what, *at)),
                _ => None,
            })
        };
        let act = busy().find(|(_, what, _)| what.starts_with(WORKFLOW));
        let (host, what, _) = act.or_else(|| busy().min_by_key(|(.., at)| *at))?;
        let what = what.strip_prefix(WORKFLOW).unwrap_or(what);
        Some(match busy().count() {
            1 => format!("{host}: {what}"),
            n => format!("{host}: {what} (and {} more)", n - 1),
        })
    }

    /// Adds a fixed number of lines for many hosts: counts, the steps most hosts are in, the slowest, the failed.
    fn fold(&self, now: Timestamp, lines: &mut Vec<String>) {
        let (mut busy, mut done, mut waiting) = (0, 0, 0);
        let mut failed = Vec::new();
        let mut kinds: IndexMap<&str, u32> = IndexMap::new();
        let mut slowest: Option<(&HostName, &State, Timestamp)> = None;
        for (host, state) in &self.hosts {
            match state {
                State::Idle | State::Waiting(_) => waiting += 1,
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
        // Failures first: a low terminal cuts what comes last.
        if !failed.is_empty() {
            lines.push(format!("  {} {}", paint(RED, "failed:"), names(&failed, 5)));
        }
        kinds.sort_by(|_, a, _, b| b.cmp(a));
        for (what, n) in kinds.iter().take(KINDS) {
            lines.push(format!("  {n:>5}  {what}"));
        }
        if let Some((host, state, _)) = slowest {
            lines.push(format!("  longest: {host}  {}", row(state, now, 60)));
        }
    }
}

/// What a host does before it is at any step.
const CONNECTING: &str = "connecting";
const READING: &str = "reading";

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
        State::Idle => paint(DIM, "     ·  waiting"),
        State::Waiting(at) => paint(DIM, format_args!("{:>4} s  waiting", since(*at, now))),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Category, Status, Trouble, VERSION};
    use jiff::SignedDuration;

    fn host(name: &str) -> HostName {
        HostName::new(name).unwrap()
    }

    fn second(n: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_secs(n)
    }

    fn screen(command: &str, hosts: &[&str], events: Vec<(i64, Event)>) -> Screen {
        let started = Event::RunStarted {
            run: String::new(),
            command: command.into(),
            cluster: String::new(),
            user: String::new(),
            version: String::new(),
            hosts: hosts.iter().map(|name| host(name)).collect(),
        };
        let mut screen = Screen::default();
        for (at, event) in [(0, started)].into_iter().chain(events) {
            screen.add(&Record {
                v: VERSION,
                seq: 0,
                at: second(at),
                event,
            });
        }
        screen
    }

    fn shown(screen: &Screen, at: i64, size: Size) -> String {
        anstream::adapter::strip_str(&screen.lines(second(at), size).join("\n")).to_string()
    }

    fn act(act: &str, hosts: &[&str]) -> Event {
        Event::ActStarted {
            act: act.into(),
            hosts: hosts.iter().map(|name| host(name)).collect(),
        }
    }

    fn step(name: &str, title: &str) -> Event {
        Event::StepStarted {
            host: host(name),
            title: title.into(),
        }
    }

    #[test]
    fn one_line_a_host() {
        let finished = Event::StepFinished {
            host: host("cp10"),
            title: "kubeadm join".into(),
            status: Status::Failed,
            category: Category::Kubeadm,
            seconds: 1.0,
            detail: Vec::new(),
            help: None,
        };
        let lost = Event::HostTrouble {
            host: host("w2"),
            trouble: Trouble::Lost,
            message: String::new(),
            help: None,
        };
        let progress = |name: &str, of| Event::Progress {
            host: host(name),
            text: "sent".into(),
            of,
        };
        let screen = screen(
            "apply",
            &["cp1", "cp10", "w1", "w2", "w3"],
            vec![
                (0, act("probe", &["cp1"])),
                (1, act("join", &["cp10", "w1"])),
                (1, step("cp10", "kubeadm join")),
                (1, finished),
                // What comes after a failure does not hide it.
                (
                    1,
                    Event::HostFinished {
                        host: host("cp10"),
                        seconds: 1.0,
                    },
                ),
                (
                    2,
                    step(
                        "w1",
                        "images : import of a list of images that is longer than the line has room for",
                    ),
                ),
                (2, progress("w1", Some((10 << 20, 40 << 20)))),
                (2, lost),
                (
                    3,
                    Event::HostFinished {
                        host: host("w3"),
                        seconds: 1.0,
                    },
                ),
            ],
        );
        insta::assert_snapshot!(shown(&screen, 78, Size::default()), @r"
         1:18  prepare · load balancer · init · [join] · verify
          cp1     78 s  connecting
          cp10          failed: kubeadm join
          w1      76 s  images : import of a list of image… · sent 10.0 MiB of 40.0 MiB
          w2            failed: connection lost
          w3            done
        ");
    }

    #[test]
    fn who_has_nothing_to_do_says_whom_it_waits_for() {
        let all = ["cp1", "cp2", "cp3", "w1"];
        let probed = |name: &str| Event::Probed {
            host: host(name),
            seconds: 1.0,
        };
        let ended = |name: &str| Event::StepFinished {
            host: host(name),
            title: "a step".into(),
            status: Status::Changed,
            category: Category::Own,
            seconds: 1.0,
            detail: Vec::new(),
            help: None,
        };
        let rows = |screen: &Screen, at: i64| {
            let shown = shown(screen, at, Size::default());
            shown
                .lines()
                .skip(1)
                .map(str::to_string)
                .collect::<Vec<_>>()
        };
        // Nobody is decided on before all were looked at.
        let mut events = vec![(0, act("probe", &all)), (1, probed("cp1"))];
        assert_eq!(
            rows(&screen("plan", &all, events.clone()), 4)[0],
            "  cp1     3 s  waits for cp2: connecting (and 2 more)"
        );
        events.extend(all.iter().map(|name| (1, probed(name))));
        // Nothing is under way.
        assert_eq!(
            rows(&screen("plan", &all, events.clone()), 4)[0],
            "  cp1     3 s  waiting"
        );
        // An import on a worker does not keep a control plane from joining; the join before it does.
        events.extend([
            (2, act("join", &["cp2"])),
            (2, step("w1", "images : import")),
            (5, step("cp2", "cluster : kubeadm join")),
            (6, ended("cp3")),
        ]);
        // A step that looks at its host meanwhile goes on.
        events.push((6, probed("w1")));
        let joining = screen("apply", &all, events.clone());
        insta::assert_snapshot!(rows(&joining, 10).join("\n"), @r"
          cp1     9 s  waits for cp2: kubeadm join (and 1 more)
          cp2     5 s  cluster : kubeadm join
          cp3     4 s  waits for cp2: kubeadm join (and 1 more)
          w1      8 s  images : import
        ");
        let narrow = Size {
            columns: 40,
            rows: 24,
        };
        let shown = shown(&joining, 10, narrow);
        assert_eq!(
            shown.lines().nth(1),
            Some("  cp1     9 s  waits for cp2: kubeadm …")
        );
        // Who has failed is waited for by nobody.
        events.push((
            9,
            Event::HostTrouble {
                host: host("cp2"),
                trouble: Trouble::Lost,
                message: String::new(),
                help: None,
            },
        ));
        assert_eq!(
            rows(&screen("apply", &all, events), 10)[2],
            "  cp3     4 s  waits for w1: images : import"
        );
    }

    #[test]
    fn many_hosts_fold_into_counts() {
        let names: Vec<String> = (1..=30).map(|n| format!("w{n}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut events = vec![(1, act("prepare", &names))];
        events.extend(
            names[..20]
                .iter()
                .map(|name| (5, step(name, "containerd : packages"))),
        );
        events.extend(
            names[20..25]
                .iter()
                .map(|name| (2, step(name, "sysctl : forwarding"))),
        );
        events.push((
            6,
            Event::HostTrouble {
                host: host("w30"),
                trouble: Trouble::Unreachable,
                message: String::new(),
                help: None,
            },
        ));
        let folded = screen("apply", &names, events);
        insta::assert_snapshot!(shown(&folded, 12, Size::default()), @r"
         0:12  [prepare] · load balancer · init · join · verify
          30 hosts: 25 busy · 4 waiting · 0 done · 1 failed
          failed: w30
             20  containerd : packages
              5  sysctl : forwarding
          longest: w21    10 s  sysctl : forwarding
        ");
        // A terminal of few rows folds earlier.
        let few = screen(
            "plan",
            &["a", "b", "c", "d"],
            vec![(0, act("probe", &["a"]))],
        );
        assert_eq!(
            shown(
                &few,
                1,
                Size {
                    columns: 80,
                    rows: 5
                }
            )
            .lines()
            .count(),
            4
        );
        assert_eq!(
            shown(
                &few,
                1,
                Size {
                    columns: 80,
                    rows: 6
                }
            )
            .lines()
            .count(),
            5
        );
        assert_eq!(shown(&Screen::default(), 1, Size::default()), "");
    }

    #[test]
    fn commands_without_acts_name_themselves() {
        let plan = screen("plan", &["a"], vec![(0, act("probe", &["a"]))]);
        assert_eq!(
            shown(&plan, 3, Size::default()),
            " 0:03  plan probe\n  a     3 s  connecting"
        );
        let first = screen("apply", &["a"], vec![(0, act("probe", &["a"]))]);
        assert!(shown(&first, 3700, Size::default()).starts_with("1:01:40  [probe] · prepare · "));
    }
}
