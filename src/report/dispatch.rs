//! One place owns the order: it numbers events, tells the journal first and then the reporters, and folds the recap.

use std::collections::HashMap;
use std::io::{self, Write as _};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::mpsc;

use crate::event::{ChangeKind, Event, History, Recap, Record, Reporter, Since, VERSION, name_of};
use crate::model::HostName;

/// Everything that is told of a run, in the order in which it is told.
pub struct Reporters {
    list: Vec<(&'static str, Box<dyn Reporter>)>,
    seq: u64,
    started: Instant,
    recap: Recap,
    /// When each host last told how far it is, and what.
    progress: HashMap<HostName, (Instant, String)>,
    past: Past,
}

/// What earlier runs said, read as far back as a difference asks for it: a run that finds none reads no journal.
#[derive(Default)]
struct Past {
    history: History,
    /// The runs that were not read yet, the newest first.
    older: Option<Box<dyn Iterator<Item = Vec<Record>> + Send>>,
}

impl Past {
    fn since(&mut self, host: &HostName, title: &str) -> Option<Since> {
        while !self.history.is_settled(host, title) {
            let Some(records) = self.older.as_mut().and_then(Iterator::next) else {
                self.older = None;
                break;
            };
            self.history.add_older(&records);
        }
        self.history.since(host, title)
    }
}

/// Reporters that a run was made for: if one of them cannot be written, the run has failed.
const NEEDED: [&str; 2] = ["output", PLAN_FILE];
/// The reporter that writes `plan --out`.
pub const PLAN_FILE: &str = "plan file";
/// How often a host's counter is passed on: a large upload counts thousands of times.
const COUNTER_EVERY: Duration = Duration::from_millis(200);

impl Default for Reporters {
    fn default() -> Self {
        Self {
            list: Vec::new(),
            seq: 0,
            started: Instant::now(),
            recap: Recap::default(),
            progress: HashMap::new(),
            past: Past::default(),
        }
    }
}

impl Reporters {
    /// Returns a dispatcher that tells nobody yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a reporter behind those added before, so the journal comes first. `name` is what a warning calls it.
    #[must_use]
    pub fn with(mut self, name: &'static str, reporter: Box<dyn Reporter>) -> Self {
        self.list.push((name, reporter));
        self
    }

    /// Lets each difference of a plan say what earlier runs said of it. `runs` gives their records, the newest run first; it is
    /// asked for no more of them than it takes.
    #[must_use]
    pub fn with_history(
        mut self,
        runs: impl Iterator<Item = Vec<Record>> + Send + 'static,
    ) -> Self {
        self.past.older = Some(Box::new(runs));
        self
    }

    /// Numbers and dates an event and tells everybody. One that fails is dropped with a warning to the others; a
    /// closed pipe is dropped quietly. Neither stops the run.
    ///
    /// Progress that says nothing new, and counters that come faster than a person can read, are left out.
    pub fn emit(&mut self, mut event: Event) {
        if self.is_noise(&event) {
            return;
        }
        self.remember(&mut event);
        let record = Record {
            v: VERSION,
            seq: self.seq,
            at: Timestamp::now(),
            event,
        };
        self.seq += 1;
        self.recap.add(&record);
        let failed = self.tell(|reporter| reporter.record(&record));
        self.warn(failed);
    }

    /// Adds what earlier runs said of a difference.
    fn remember(&mut self, event: &mut Event) {
        let Event::Planned {
            host,
            title,
            changes,
            since: since @ None,
            ..
        } = event
        else {
            return;
        };
        if !ChangeKind::of(changes).is_state() {
            return;
        }
        let known = self.past.since(host, &name_of(title, changes));
        // Of what never was as written, as on bare hosts, nobody asks since when.
        *since = known.filter(|known| known.as_written.is_some());
    }

    fn is_noise(&mut self, event: &Event) -> bool {
        let Event::Progress { host, text, of } = event else {
            return false;
        };
        let now = Instant::now();
        if let Some((at, last)) = self.progress.get(host) {
            let done = of.is_some_and(|(done, total)| done >= total);
            let counts = of.is_some() && !done && now.duration_since(*at) < COUNTER_EVERY;
            if counts || of.is_none() && last == text {
                return true;
            }
        }
        self.progress.insert(host.clone(), (now, text.clone()));
        false
    }

    /// Returns the fold over all events so far.
    pub fn recap(&self) -> &Recap {
        &self.recap
    }

    /// Emits the last event, with the exit code of the fold, ends all reports and returns the fold.
    pub fn finish(mut self) -> Recap {
        let exit = self.recap.exit_code();
        self.emit(Event::RunFinished {
            exit,
            seconds: self.started.elapsed().as_secs_f64(),
        });
        let failed = self.tell(|reporter| reporter.finish());
        self.warn(failed);
        self.recap
    }

    /// Emits what comes out of `events` until all senders are gone, then finishes. It runs on a thread of its own,
    /// because a terminal may block (Ctrl-S), and nothing else on the runtime should wait for that.
    pub async fn follow(mut self, mut events: mpsc::Receiver<Event>) -> io::Result<Recap> {
        tokio::task::spawn_blocking(move || {
            while let Some(event) = events.blocking_recv() {
                self.emit(event);
            }
            self.finish()
        })
        .await
        .map_err(io::Error::other)
    }

    /// Calls `f` with each reporter, and drops and returns those that fail for another reason than a closed pipe.
    fn tell(
        &mut self,
        mut f: impl FnMut(&mut dyn Reporter) -> io::Result<()>,
    ) -> Vec<(&'static str, io::Error)> {
        let mut failed = Vec::new();
        self.list
            .retain_mut(|(name, reporter)| match f(reporter.as_mut()) {
                Ok(()) => true,
                Err(error) => {
                    if error.kind() != io::ErrorKind::BrokenPipe {
                        failed.push((*name, error));
                    }
                    false
                }
            });
        failed
    }

    fn warn(&mut self, failed: Vec<(&'static str, io::Error)>) {
        for (name, error) in failed {
            if NEEDED.contains(&name) {
                // Whoever reads it must not take a part of it for the whole.
                let told = format!("error: the {name} cannot be written: {error}\n");
                let _ = io::stderr().write_all(told.as_bytes());
                self.recap.failed.get_or_insert(told.trim_end().to_string());
            }
            let message = format!("the {name} cannot be written any more and ends here: {error}");
            self.emit(Event::Warning {
                host: None,
                message,
            });
        }
    }
}
