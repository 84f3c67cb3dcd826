//! One line an event, off a terminal: `TIME HOST WORD TEXT`, with `-` where no host is meant.
//!
//! The first three fields hold no blanks and the words are fixed, so that grep and awk can rely on them.

use std::fmt::Write as _;
use std::io::{self, Write};

use crate::event::{Certificate, Event, Recap, Record, Reporter, Seen, Status};

use super::Options;
use super::drill;
use super::plan::{PlanView, change_line};
use super::recap;
use super::text::{count, names, seconds, status};

/// Writes one line an event, then the recap.
pub struct Plain {
    out: Box<dyn Write + Send>,
    options: Options,
    recap: Recap,
    plan: PlanView,
}

impl Plain {
    /// Returns a reporter that writes to `out`.
    pub fn new(out: Box<dyn Write + Send>, options: Options) -> Self {
        Self {
            out,
            options,
            recap: Recap::default(),
            plan: PlanView::default(),
        }
    }
}

impl Reporter for Plain {
    fn record(&mut self, record: &Record) -> io::Result<()> {
        let record = record.to_printable();
        self.recap.add(&record);
        self.plan.add(&record);
        let mut text = lines(&record, &self.recap.command, &self.options);
        if self.recap.finished {
            text.push_str(&self.closing());
        }
        self.write(&text)
    }

    fn finish(&mut self) -> io::Result<()> {
        // Without its last event a run was killed; what is known is shown all the same.
        if self.recap.finished {
            return Ok(());
        }
        self.recap.close();
        let text = self.closing();
        self.write(&text)
    }
}

impl Plain {
    /// Returns the plan's sum and the recap.
    fn closing(&self) -> String {
        let mut text = String::new();
        if !recap::wanted(&self.recap, self.options.verbosity) {
            return text;
        }
        text.push('\n');
        if self.recap.is_read_only() {
            text.push_str(&self.plan.summary(&self.recap));
            text.push_str("\n\n");
        }
        let journal = self.options.journal.as_ref().map(|path| path.as_str());
        let verbose = self.options.verbosity > 0;
        text.push_str(&recap::render(&self.recap, journal, verbose));
        text
    }

    fn write(&mut self, text: &str) -> io::Result<()> {
        // The lines are for programs and have no colour, whatever the stream would take.
        let text = anstream::adapter::strip_str(text).to_string();
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }
}

/// How much must be asked for before an event is shown: -1 is shown even with `-q`, 1 only with `-v`.
fn level(event: &Event) -> i8 {
    match event {
        Event::StepFinished {
            status: Status::Failed,
            ..
        }
        | Event::HostTrouble { .. }
        | Event::Warning { .. }
        | Event::Refused { .. }
        | Event::ClusterFailed { .. }
        | Event::Interrupted { .. }
        | Event::Output { .. } => -1,
        Event::StepFinished {
            status: Status::Changed | Status::Rescued,
            ..
        }
        | Event::RunStarted { .. }
        | Event::ActStarted { .. }
        | Event::Unchanged { .. }
        | Event::Planned { .. }
        | Event::StepStarted { .. }
        | Event::Cluster { .. }
        | Event::DrillPlanned { .. }
        | Event::DrillStarted { .. }
        | Event::DrillMark { .. }
        | Event::DrillFinished { .. }
        | Event::HostFinished { .. }
        | Event::RunFinished { .. } => 0,
        Event::StepFinished { .. } | Event::Connected { .. } | Event::Probed { .. } => 1,
        Event::Progress { .. }
        | Event::ExecStarted { .. }
        | Event::Unsent { .. }
        | Event::AsWritten { .. }
        | Event::HostSeen { .. }
        | Event::DrillProbes { .. } => 2,
    }
}

/// Returns the event's line, and a line for each further line of text it has.
fn lines(record: &Record, command: &str, options: &Options) -> String {
    let needed = level(&record.event);
    // The output of a user's own command stands alone.
    let needed = if command == "exec" && needed == 0 {
        1
    } else {
        needed
    };
    if needed > options.verbosity {
        return String::new();
    }
    if let Event::Output { host, line, .. } = &record.event {
        return format!("{host} | {line}\n");
    }
    let mut out = Lines {
        out: String::new(),
        head: head(record),
    };
    out.event(&record.event, options);
    out.out
}

fn head(record: &Record) -> String {
    let host = record.event.host().map_or("-", |host| host.as_str());
    format!("{} {host}", record.at.strftime("%H:%M:%SZ"))
}

struct Lines {
    out: String,
    head: String,
}

impl Lines {
    /// Adds a line; what stands behind a line end in `text` becomes a line `|` of its own.
    fn line(&mut self, word: &str, text: impl AsRef<str>) {
        let mut lines = text.as_ref().lines();
        let first = lines.next().unwrap_or_default();
        let _ = writeln!(
            self.out,
            "{}",
            format!("{} {word} {first}", self.head).trim_end()
        );
        for line in lines {
            let _ = writeln!(self.out, "{} | {line}", self.head);
        }
    }

    fn more(&mut self, text: &str) {
        for line in text.lines() {
            let _ = writeln!(self.out, "{} | {line}", self.head);
        }
    }

    fn help(&mut self, help: Option<&String>) {
        if let Some(help) = help {
            self.line("help", help);
        }
    }

    fn event(&mut self, event: &Event, options: &Options) {
        match event {
            Event::RunStarted {
                run,
                command,
                cluster,
                user,
                version,
                hosts,
            } => {
                let n = hosts.len();
                self.line("run", format!("{command} cluster={cluster} hosts={n} user={user} version={version} run={run}"));
            }
            Event::ActStarted { act, hosts } => {
                self.line("act", format!("{act} on {}", names(hosts, 20)))
            }
            Event::Connected { seconds: s, .. } => self.line("connected", seconds(*s)),
            Event::ExecStarted { kind, bytes, .. } => {
                self.line("exec", format!("{kind:?} {bytes} bytes").to_lowercase())
            }
            Event::Unsent { bytes, .. } => self.line("unsent", format!("{bytes} bytes")),
            Event::Probed { seconds: s, .. } => self.line("probed", seconds(*s)),
            Event::Unchanged { ok, skipped, .. } => {
                self.line("checked", format!("ok={ok} skipped={skipped}"))
            }
            Event::AsWritten { hosts, titles } => {
                let on = names(hosts, 20);
                titles
                    .iter()
                    .for_each(|title| self.line("as-written", format!("{title} on {on}")));
            }
            Event::Planned {
                title,
                changes,
                disturbs,
                since,
                ..
            } => {
                let disturbs = if *disturbs {
                    " (disturbs the path to the API)"
                } else {
                    ""
                };
                self.line("planned", format!("{title}{disturbs}"));
                for change in changes {
                    self.line("change", change_line(change));
                    change
                        .diff
                        .iter()
                        .filter(|_| options.diff)
                        .for_each(|diff| self.more(diff));
                    change
                        .guard
                        .iter()
                        .filter(|_| options.detailed)
                        .for_each(|guard| self.line("guard", guard));
                }
                since
                    .iter()
                    .for_each(|since| self.line("since", since.sentence()));
            }
            Event::StepStarted { title, .. } => self.line("started", title),
            Event::StepFinished {
                title,
                status: s,
                seconds: t,
                detail,
                help,
                ..
            } => {
                self.line(status(*s).0, format!("{title} ({})", seconds(*t)));
                if *s == Status::Failed || options.verbosity > 0 {
                    detail.iter().for_each(|text| self.more(text));
                }
                self.help(help.as_ref());
            }
            Event::Progress { text, of, .. } => match of {
                Some((done, total)) => self.line("progress", format!("{text} {done}/{total}")),
                None => self.line("progress", text),
            },
            Event::HostTrouble {
                trouble,
                message,
                help,
                ..
            } => {
                self.line("trouble", format!("{}: {message}", trouble.as_str()));
                self.help(help.as_ref());
            }
            Event::Warning { message, .. } => self.line("warning", message),
            Event::Refused {
                hosts,
                message,
                help,
            } => {
                let on = if hosts.is_empty() {
                    String::new()
                } else {
                    format!("{}: ", names(hosts, 20))
                };
                self.line("refused", format!("{on}{message}"));
                self.help(help.as_ref());
            }
            Event::ClusterFailed { message, help } => {
                self.line("failed", message);
                self.help(help.as_ref());
            }
            Event::HostSeen { seen, .. } => self.line("seen", seen_line(seen)),
            Event::Cluster { summary, healthy } => {
                self.line(if *healthy { "cluster" } else { "degraded" }, summary);
            }
            Event::DrillPlanned { plan } => self.line("drill", drill::headline(plan)),
            Event::DrillStarted {
                round,
                holder,
                prober,
                watcher,
                ..
            } => {
                let holder = holder.as_ref().map_or("-", |h| h.as_str());
                let watcher = watcher.as_ref().map_or("-", |h| h.as_str());
                self.line(
                    "round",
                    format!("{round} holder={holder} requests={prober} watch={watcher}"),
                );
            }
            Event::DrillProbes { probes, .. } => {
                let failed = probes.iter().filter(|p| !p.is_good()).count();
                self.line(
                    "requests",
                    format!("{} made, {failed} failed", probes.len()),
                );
            }
            Event::DrillMark { mark, when, .. } => {
                let when = when.strftime("%H:%M:%S%.3fZ");
                self.line("mark", format!("{} at {when}", mark.as_str()));
            }
            Event::DrillFinished { result } => {
                self.line(
                    "result",
                    format!("{} {}", result.round, drill::sentence(result)),
                );
                drill::holders(&result.holders)
                    .into_iter()
                    .chain(drill::watch(result.watch))
                    .for_each(|text| self.more(&text));
            }
            Event::Interrupted { hosts } => self.line(
                "interrupted",
                count(hosts.len() as u64, "host") + " in a step",
            ),
            Event::Output { line, .. } => self.more(line),
            Event::HostFinished { seconds: s, .. } => self.line("finished", seconds(*s)),
            Event::RunFinished { exit, seconds: s } => {
                self.line("end", format!("exit={exit} {}", seconds(*s)))
            }
        }
    }
}

/// Returns what is known of a host as `name=value` words.
fn seen_line(seen: &Seen) -> String {
    let mut words: Vec<String> = Vec::new();
    words.extend(seen.vip.map(|vip| format!("vip={vip}")));
    for (name, value) in [
        ("node", &seen.node),
        ("api", &seen.api),
        ("etcd", &seen.etcd),
    ] {
        words.extend(value.as_ref().map(|value| format!("{name}={value}")));
    }
    let days = |c: &Certificate| format!("{}={} days", c.name, c.days);
    words.extend(seen.certificates.iter().map(days));
    words.extend(seen.ill.iter().map(|what| format!("ill={what}")));
    words.join(", ")
}
