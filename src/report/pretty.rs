//! For a person: what changed and what failed scrolls by, on a terminal above a display that moves; then the recap.

use std::fmt::Write as _;
use std::io::{self, Write};

use crate::event::{Event, Recap, Record, Reporter, Status};

use super::Options;
use super::live::Live;
use super::plan::{PlanView, change_line};
use super::recap::{self, render_failure};
use super::screen::FOLD_ABOVE;
use super::syntax;
use super::text::{BOLD, CYAN, DIM, YELLOW, names, paint, seconds, status};

/// What is drawn on.
pub enum Surface {
    /// Lines, one below the other.
    Stream(Box<dyn Write + Send>),
    /// A terminal, with the moving display below the lines.
    Live(Live),
}

/// Reports to a person.
pub struct Pretty {
    surface: Surface,
    options: Options,
    /// Whether events are shown as they come; without it only the plan and the recap.
    scroll: bool,
    recap: Recap,
    plan: PlanView,
    /// The longest host name, so that columns line up.
    width: usize,
}

impl Pretty {
    /// Returns a reporter; without `scroll` it shows the plan and the recap alone.
    pub fn new(surface: Surface, options: Options, scroll: bool) -> Self {
        Self {
            surface,
            options,
            scroll,
            recap: Recap::default(),
            plan: PlanView::default(),
            width: 0,
        }
    }

    /// Returns the lines that scroll by for an event.
    fn scrolled(&self, event: &Event) -> String {
        let verbosity = self.options.verbosity;
        let host = |name: &dyn std::fmt::Display| format!("{name:<width$}", width = self.width);
        let mut out = String::new();
        match event {
            Event::ActStarted { act, hosts } if verbosity > 0 => {
                let _ = writeln!(out, "{} {}", paint(BOLD, act), paint(DIM, names(hosts, 8)));
            }
            Event::Planned {
                host: name,
                title,
                changes,
                ..
            } if self.options.diff && !self.recap.is_read_only() => {
                for change in changes {
                    let _ = writeln!(
                        out,
                        "{}  {}  {title}: {}",
                        host(name),
                        paint(CYAN, "diff   "),
                        change_line(change)
                    );
                    for line in change.diff.iter().flat_map(|diff| syntax::diff(diff)) {
                        let _ = writeln!(out, "    {line}");
                    }
                }
            }
            Event::StepFinished {
                status: Status::Failed,
                ..
            }
            | Event::HostTrouble { .. }
            | Event::Refused { .. } => {}
            Event::StepFinished {
                host: name,
                title,
                status: s,
                seconds: t,
                detail,
                ..
            } => {
                // Of many hosts each would have its lines, and what matters would scroll away among them.
                let shown = matches!(s, Status::Changed | Status::Rescued)
                    && self.recap.hosts.len() <= FOLD_ABOVE;
                let needed = if shown { 0 } else { 1 };
                if verbosity >= needed {
                    let (word, style) = status(*s);
                    let word = paint(style, format_args!("{word:<7}"));
                    let time = paint(DIM, format_args!("({})", seconds(*t)));
                    let _ = writeln!(out, "{}  {word}  {title} {time}", host(name));
                }
                if verbosity > 0 {
                    detail
                        .iter()
                        .flat_map(|text| text.lines())
                        .for_each(|line| {
                            let _ = writeln!(out, "    {line}");
                        });
                }
            }
            Event::Warning {
                host: name,
                message,
            } => {
                let on = name
                    .as_ref()
                    .map(|name| format!("{name}: "))
                    .unwrap_or_default();
                let _ = writeln!(out, "{} {on}{message}", paint(YELLOW, "warning:"));
            }
            Event::DrillStarted {
                target,
                round,
                prober,
                watcher,
                ..
            } => {
                let watch = watcher.as_ref().map(|w| format!(", watch on {w}"));
                let text = format!("requests from {prober}{}", watch.unwrap_or_default());
                let _ = writeln!(
                    out,
                    "{} {target} {}",
                    paint(BOLD, format_args!("round {round}:")),
                    paint(DIM, text)
                );
            }
            Event::DrillMark {
                host: name,
                mark,
                when,
            } => {
                let when = paint(DIM, when.strftime("%H:%M:%S%.3fZ"));
                let _ = writeln!(out, "{}  {when}  {}", host(name), mark.as_str());
            }
            Event::Output {
                host: name,
                line,
                stderr,
            } => {
                let bar = if *stderr {
                    paint(YELLOW, "|")
                } else {
                    "|".to_string()
                };
                let _ = writeln!(out, "{} {bar} {line}", host(name));
            }
            _ => {}
        }
        out
    }

    fn print(&mut self, text: &str) -> io::Result<()> {
        if text.is_empty() {
            return Ok(());
        }
        match &mut self.surface {
            Surface::Stream(out) => {
                out.write_all(text.as_bytes())?;
                out.flush()
            }
            Surface::Live(live) => live.print(text),
        }
    }

    /// Returns the plan and the recap.
    fn closing(&self) -> String {
        let mut text = String::new();
        let read_only = self.recap.is_read_only();
        if read_only && self.options.verbosity >= 0 {
            text.push_str(&self.plan.render(&self.recap, &self.options));
            text.push('\n');
        }
        if recap::wanted(&self.recap, self.options.verbosity) {
            let journal = self.options.journal.as_ref().map(|path| path.as_str());
            text.push_str(&recap::render(
                &self.recap,
                journal,
                self.options.verbosity > 0,
            ));
        }
        text
    }

    fn end(&mut self) -> io::Result<()> {
        if let Surface::Live(live) = &mut self.surface {
            live.end()?;
            self.surface = Surface::Stream(self.options.color.stdout());
        }
        let mut text = self.closing();
        if self.scroll && !text.is_empty() {
            text.insert(0, '\n');
        }
        self.print(&text)
    }
}

impl Reporter for Pretty {
    fn record(&mut self, record: &Record) -> io::Result<()> {
        let record = record.to_printable();
        self.recap.add(&record);
        self.plan.add(&record);
        if let Event::RunStarted { hosts, .. } = &record.event {
            self.width = hosts
                .iter()
                .map(|host| host.as_str().len())
                .max()
                .unwrap_or(0);
        }
        if let Surface::Live(live) = &mut self.surface {
            live.record(&record);
        }
        if self.scroll {
            let mut text = self.scrolled(&record.event);
            // The fold puts hosts that fail alike together; here each is named when it happens.
            text.extend(Recap::of([&record]).failures.iter().map(render_failure));
            self.print(&text)?;
        } else if matches!(record.event, Event::Output { .. }) {
            // What the user's own command said is all there is to show of it.
            self.print(&self.scrolled(&record.event))?;
        }
        if self.recap.finished {
            self.end()
        } else {
            Ok(())
        }
    }

    fn finish(&mut self) -> io::Result<()> {
        // Without its last event a run was killed; what is known is shown all the same.
        if self.recap.finished {
            Ok(())
        } else {
            self.recap.close();
            self.end()
        }
    }
}
