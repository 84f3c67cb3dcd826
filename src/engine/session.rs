//! One host's connection: a probe, a wave, and what goes wrong with either.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::Rng as _;
use tokio::sync::mpsc;

use super::Settings;
use super::advice;
use super::facts::FactReader;
use super::lines::{LineBuffer, Tail};
use super::order::{Heed, Order};
use crate::event::{Event, ExecKind, Status, Trouble};
use crate::host::record::{self, End, WaveRecord};
use crate::host::{Facts, Kind, Observed, Request, probe, script};
use crate::model::HostName;
use crate::plan::{self, HostPlan, OnFailure, Step};
use crate::role::StepResult;
use crate::transport::{Chunk, Exit, Target, Transport, TransportError};

/// How long a probe may take: it asks what is in memory, but a host may be busy or far.
const PROBE_SECONDS: u64 = 120;
/// How long a wave may take without a word: longer than any deadline inside it.
const WAVE_SILENCE_SECONDS: u64 = 1900;
/// The longest answer to a probe, in bytes; and what a wave may say beside its steps' records.
const ANSWER_LIMIT: usize = 16 << 20;

/// What to do about an answer that is none: mostly a login script or a forced command stands between.
const LOOK_IN: &str = "log in as the same user and run `sh -c true`: nothing should be printed, asked or waited for; then run again";

/// What went wrong with a host, for the user.
#[derive(Debug, Clone)]
pub(super) struct Problem {
    pub(super) trouble: Trouble,
    pub(super) message: String,
    pub(super) help: Option<String>,
}

/// An authenticated connection to a host.
#[derive(Clone)]
pub(super) struct Session {
    pub(super) host: HostName,
    settings: Settings,
    transport: Arc<dyn Transport>,
}

/// How a wave ended.
#[derive(Debug, Default)]
pub(super) struct WaveEnd {
    /// Each finished step with its status, its command's exit status and its output.
    pub(super) results: Vec<(Step, Status, i32, String)>,
    /// The step that failed, with its last lines.
    pub(super) failed: Option<(String, Vec<String>)>,
    /// Whether that is caught: the next plan goes on from there.
    pub(super) caught: bool,
    /// Whether it ended at a step boundary because it was asked to.
    pub(super) stopped: bool,
    /// The facts of its end.
    pub(super) observed: Option<Observed>,
    /// What broke the connection.
    pub(super) problem: Option<Problem>,
}

impl WaveEnd {
    /// Returns whether all steps were done.
    pub(super) fn is_good(&self) -> bool {
        self.failed.is_none() && !self.stopped && self.problem.is_none()
    }

    /// Returns whether what is left can be planned: all steps were done, or the one that failed was caught.
    pub(super) fn goes_on(&self) -> bool {
        let failed = self.failed.is_some() && !self.caught;
        !failed && !self.stopped && self.problem.is_none()
    }

    /// Returns the output of the step that registers `name`.
    pub(super) fn output(&self, name: &str) -> Option<&str> {
        let (.., output) = self
            .results
            .iter()
            .find(|(step, ..)| step.register.as_deref() == Some(name))?;
        Some(output)
    }
}

/// Returns a random word for one exec's records.
pub(super) fn nonce() -> String {
    format!("q{:032x}", rand::rng().random::<u128>())
}

impl Session {
    /// Connects to the host.
    pub(super) async fn open(settings: &Settings, target: &Target) -> Result<Self, Problem> {
        let started = Instant::now();
        let transport = settings
            .connect
            .connect(target)
            .await
            .map_err(Problem::from)?;
        let host = target.name.clone();
        let seconds = started.elapsed().as_secs_f64();
        settings
            .emit(Event::Connected {
                host: host.clone(),
                seconds,
            })
            .await;
        Ok(Self {
            host,
            settings: settings.clone(),
            transport,
        })
    }

    /// Asks the host `facts`.
    pub(super) async fn probe(&self, facts: &Facts) -> Result<Observed, Problem> {
        let started = Instant::now();
        let sent = jiff::Timestamp::now().as_millisecond();
        let nonce = nonce();
        let request = probe::request(facts, &nonce);
        let (mut stdout, mut stderr) = (Vec::new(), Tail::default());
        let mut noise = 0;
        let run = self.run(request, |chunk| match chunk {
            Chunk::Stdout(bytes) => {
                if stdout.len() + bytes.len() > ANSWER_LIMIT {
                    return Err(Problem::protocol("its answer does not end"));
                }
                stdout.extend(bytes);
                Ok(())
            }
            Chunk::Stderr(bytes) => {
                noise += bytes.len();
                if noise > ANSWER_LIMIT {
                    return Err(Problem::protocol("its output does not end"));
                }
                stderr.add(&bytes);
                Ok(())
            }
            Chunk::Sent(_) => Ok(()),
        });
        let deadline = Duration::from_secs(PROBE_SECONDS);
        let exit = tokio::time::timeout(deadline, run).await.map_err(|_| {
            Problem::protocol(&format!(
                "it did not answer the probe within {PROBE_SECONDS} s"
            ))
        })??;
        let answered = jiff::Timestamp::now().as_millisecond();
        let mut observed = probe::parse(facts, &nonce, &stdout).map_err(|error| {
            let lines = stderr.lines();
            if let Some(problem) = Problem::of_input(&lines) {
                return problem;
            }
            let said = lines.join(" / ");
            let said = if said.is_empty() {
                String::new()
            } else {
                format!("; it said: {said}")
            };
            // The word before each record is ours, and means nothing to a person.
            let error = error.to_string().replace(&format!("{nonce} "), "");
            let error = error.strip_suffix("; last lines: ").unwrap_or(&error);
            Problem::protocol(&format!("{error} (exit status {}){said}", exit.status))
        })?;
        observed.asked = Some((sent, answered));
        if let Some(user) = observed.system.user.filter(|user| *user != 0) {
            return Err(Problem {
                trouble: Trouble::Elevation,
                message: format!("commands run as user {user} there, not as root"),
                help: Some("set `ansible_become: true`, or log in as root: keys, markers and etcd's data are hidden from others".into()),
            });
        }
        let seconds = started.elapsed().as_secs_f64();
        self.settings
            .emit(Event::Probed {
                host: self.host.clone(),
                seconds,
            })
            .await;
        Ok(observed)
    }

    /// Runs a wave and asks `facts` at its end.
    pub(super) async fn wave(
        &self,
        plan: &HostPlan,
        facts: &Facts,
        judge: impl Fn(&Step, &StepResult) -> Result<Status, String>,
    ) -> WaveEnd {
        let (wave, titles) = plan::wave(plan, &self.settings.run, facts.clone());
        let nonce = nonce();
        let request = script::request(&wave, &nonce);
        let mut reader = WaveReader::new(self, Order::of(&wave, &titles), &titles, facts, &judge);
        let mut lines = LineBuffer::default();
        let mut stderr = Tail::default();
        let (sender, mut chunks) = mpsc::channel(64);
        self.started(&request).await;
        let length = request.length();
        let mut unsent = length;
        let exec = self.transport.exec(request, None, sender);
        tokio::pin!(exec);
        let mut exit = None;
        // Bytes, beside the records of the steps.
        let mut said = 0;
        let mut cancel = self.settings.cancel.clone();
        // Beside the reading: a host that waits to be read could not hear it.
        let stop = async {
            cancel.asked().await;
            self.ask_to_stop().await;
        };
        tokio::pin!(stop);
        let mut asked = false;
        // Records are words; whatever else comes is noise, and does not put the end off.
        let silence = Duration::from_secs(WAVE_SILENCE_SECONDS);
        let silent = tokio::time::sleep(silence);
        tokio::pin!(silent);
        loop {
            tokio::select! {
                biased;
                () = &mut silent => {
                    reader.end.problem = Some(Problem::protocol(&format!("no word for {WAVE_SILENCE_SECONDS} s in the middle of a wave")));
                    break;
                }
                chunk = chunks.recv() => match chunk {
                    Some(Chunk::Stdout(bytes)) => {
                        said += bytes.len();
                        for line in lines.add(&bytes) {
                            let framed = record::framed(&nonce, &line);
                            let Some(record) = framed.and_then(|l| record::wave_record(&l)) else {
                                continue;
                            };
                            match reader.order.take(&record) {
                                // Steps are few, and each has one start and one end: these alone are not counted.
                                Ok(Heed::Step) => said = said.saturating_sub(line.len()),
                                Ok(Heed::Word) => {}
                                Ok(Heed::Nothing) => continue,
                                Err(message) => {
                                    reader.end.problem = Some(Problem::foreign(&message));
                                    break;
                                }
                            }
                            silent.as_mut().reset(tokio::time::Instant::now() + silence);
                            reader.record(record).await;
                        }
                    }
                    Some(Chunk::Stderr(bytes)) => {
                        said += bytes.len();
                        stderr.add(&bytes);
                    }
                    Some(Chunk::Sent(bytes)) => {
                        silent.as_mut().reset(tokio::time::Instant::now() + silence);
                        unsent = length.saturating_sub(bytes);
                        reader.sent(bytes).await;
                    }
                    None => break,
                },
                result = &mut exec, if exit.is_none() => exit = Some(result),
                () = &mut stop, if !asked => asked = true,
            }
            if said > ANSWER_LIMIT {
                let endless = || Problem::protocol("its output does not end");
                reader.end.problem.get_or_insert_with(endless);
            }
            if reader.end.problem.is_some() {
                break;
            }
        }
        if exit.is_none() && reader.end.problem.is_none() {
            exit = Some(exec.await);
        }
        if unsent > 0 && !matches!(exit, Some(Ok(_))) {
            let host = self.host.clone();
            let event = Event::Unsent {
                host,
                bytes: unsent,
            };
            self.settings.emit(event).await;
        }
        let stderr = stderr.lines();
        reader.finish(exit, &stderr).await
    }

    /// Runs a request and hands each piece of its output to `each`.
    pub(super) async fn run(
        &self,
        request: Request,
        mut each: impl FnMut(Chunk) -> Result<(), Problem>,
    ) -> Result<Exit, Problem> {
        let (sender, mut chunks) = mpsc::channel(64);
        self.started(&request).await;
        let exec = self.transport.exec(request, None, sender);
        tokio::pin!(exec);
        let mut exit = None;
        loop {
            tokio::select! {
                biased;
                chunk = chunks.recv() => match chunk {
                    Some(chunk) => each(chunk)?,
                    None => break,
                },
                result = &mut exec, if exit.is_none() => exit = Some(result),
            }
        }
        match exit {
            Some(exit) => exit.map_err(Problem::from),
            None => exec.await.map_err(Problem::from),
        }
    }

    /// Runs a request whose standard input stays open for `live`, and hands its output to a bounded queue.
    pub(super) async fn hold(
        &self,
        request: Request,
        live: Option<mpsc::Receiver<Vec<u8>>>,
        output: mpsc::Sender<Chunk>,
    ) -> Result<Exit, Problem> {
        self.started(&request).await;
        self.transport
            .exec(request, live, output)
            .await
            .map_err(Problem::from)
    }

    /// Asks a wave of this run on this host to stop before its next step.
    pub(super) async fn ask_to_stop(&self) {
        let request = script::stop_request(&self.settings.run);
        // Bounded: whoever waits for a stop must not wait for a host that is gone.
        let _ = tokio::time::timeout(Duration::from_secs(10), self.run(request, |_| Ok(()))).await;
    }

    /// Closes the connection.
    pub(super) async fn close(&self) {
        let _ = tokio::time::timeout(Duration::from_secs(5), self.transport.close()).await;
    }

    async fn started(&self, request: &Request) {
        let kind = match request.kind() {
            Kind::Probe => ExecKind::Probe,
            Kind::Wave => ExecKind::Wave,
            Kind::Lock => ExecKind::Lock,
            Kind::Stop => ExecKind::Stop,
            Kind::Command => ExecKind::Command,
        };
        self.settings
            .emit(Event::ExecStarted {
                host: self.host.clone(),
                kind,
                bytes: request.length(),
            })
            .await;
    }
}

/// Turns a wave's records into events and its end.
struct WaveReader<'a, J> {
    session: &'a Session,
    order: Order<'a>,
    titles: &'a [Step],
    facts: FactReader<'a>,
    judge: &'a J,
    end: WaveEnd,
    under_way: Option<(u32, Instant)>,
    finished: bool,
    has_facts: bool,
}

impl<'a, J: Fn(&Step, &StepResult) -> Result<Status, String>> WaveReader<'a, J> {
    fn new(
        session: &'a Session,
        order: Order<'a>,
        titles: &'a [Step],
        facts: &'a Facts,
        judge: &'a J,
    ) -> Self {
        Self {
            session,
            order,
            titles,
            facts: FactReader::new(facts),
            judge,
            end: WaveEnd::default(),
            under_way: None,
            finished: false,
            has_facts: !facts.is_empty(),
        }
    }

    async fn record(&mut self, record: WaveRecord) {
        let host = self.session.host.clone();
        match record {
            WaveRecord::Start { id } => {
                self.under_way = Some((id, Instant::now()));
                if let Some(step) = self.titles.get(id as usize) {
                    self.session
                        .settings
                        .emit(Event::StepStarted {
                            host,
                            title: step.title.clone(),
                        })
                        .await;
                }
            }
            WaveRecord::Progress { text, .. } => {
                let text = text.chars().take(200).collect();
                self.session
                    .settings
                    .emit(Event::Progress {
                        host,
                        text,
                        of: None,
                    })
                    .await;
            }
            WaveRecord::End {
                id,
                end,
                status,
                output,
            } => self.step_ended(id, end, status, output).await,
            WaveRecord::Stopped { .. } => {
                // Also in the middle of a wait, which changes nothing.
                self.under_way = None;
                self.end.stopped = true;
            }
            WaveRecord::Fact(line) => self.facts.line(&line),
            WaveRecord::Finished => self.finished = true,
        }
    }

    async fn step_ended(&mut self, id: u32, end: End, status: i32, output: String) {
        let Some(step) = self.titles.get(id as usize) else {
            return;
        };
        // What nobody has asked for is not kept: it is the last lines of a failure, and of other steps nothing.
        let asked = step.register.is_some() || step.tolerant || end == End::Failed;
        let output = if asked { output } else { String::new() };
        let seconds = self
            .under_way
            .take()
            .map_or(0.0, |(_, at)| at.elapsed().as_secs_f64());
        let mut judged = match end {
            End::Ok => Status::Ok,
            End::Changed => Status::Changed,
            End::Failed => Status::Failed,
        };
        let mut detail: Vec<String> = Vec::new();
        if step.tolerant {
            match (self.judge)(
                step,
                &StepResult {
                    changed: end == End::Changed,
                    rc: status,
                    stdout: output.clone(),
                },
            ) {
                Ok(status) => judged = status,
                Err(message) => {
                    judged = Status::Failed;
                    detail.push(message);
                }
            }
        }
        match judged {
            Status::Changed => {
                detail.extend(step.changes.iter().map(|c| c.effect.describe()));
                detail.extend(step.about.iter().cloned());
            }
            Status::Failed if step.secret => detail.push("(output is not shown: no_log)".into()),
            Status::Failed => {
                detail.extend(advice::tail(&output));
                if detail.is_empty() {
                    detail.push(format!("it said nothing, and its exit status is {status}"));
                }
            }
            Status::Ok | Status::Skipped | Status::Rescued => {}
        }
        if judged == Status::Failed {
            self.end.failed = Some((step.title.clone(), detail.clone()));
            self.end.caught = step.on_failure != OnFailure::Stop;
        }
        let rescued = judged == Status::Failed && step.on_failure == OnFailure::Rescue;
        if rescued {
            let said = detail.last().cloned().unwrap_or_default();
            let message = format!(
                "`{}` failed, its block's `rescue` follows: {said}",
                step.title
            );
            let host = Some(self.session.host.clone());
            self.session
                .settings
                .emit(Event::Warning { host, message })
                .await;
        }
        let event = Event::StepFinished {
            host: self.session.host.clone(),
            title: step.title.clone(),
            status: if rescued { Status::Rescued } else { judged },
            category: step.category,
            seconds,
            help: (judged == Status::Failed && !rescued)
                .then(|| advice::help_for(&step.title, &detail, &self.session.host)),
            detail,
        };
        self.session.settings.emit(event).await;
        self.end
            .results
            .push((step.clone(), judged, status, output));
    }

    async fn sent(&mut self, bytes: u64) {
        let text = format!("sent {}", indicatif::HumanBytes(bytes));
        self.session
            .settings
            .emit(Event::Progress {
                host: self.session.host.clone(),
                text,
                of: None,
            })
            .await;
    }

    async fn finish(
        mut self,
        exit: Option<Result<Exit, TransportError>>,
        stderr: &[String],
    ) -> WaveEnd {
        match exit {
            Some(Err(error)) if self.end.problem.is_none() => {
                let mut problem = Problem::from(error);
                if let Some(step) = self
                    .under_way
                    .and_then(|(id, _)| self.titles.get(id as usize))
                {
                    problem.message =
                        format!("{} (in the middle of `{}`)", problem.message, step.title);
                }
                self.end.problem = Some(problem);
            }
            // What was found wrong in what it says is more than that its end is missing.
            Some(Ok(exit))
                if !self.finished
                    && !self.end.stopped
                    && self.end.failed.is_none()
                    && self.end.problem.is_none() =>
            {
                if let Some(problem) = Problem::of_input(stderr) {
                    self.end.problem = Some(problem);
                    return self.end;
                }
                let said = if stderr.is_empty() {
                    "nothing".to_string()
                } else {
                    stderr.join(" / ")
                };
                let message = format!(
                    "the wave ended without its last record (exit status {}); it said: {said}",
                    exit.status
                );
                self.end.problem = Some(Problem::protocol(&message));
            }
            _ => {}
        }
        if self.finished && self.has_facts {
            self.end.observed = self.facts.finish();
        }
        self.end
    }
}

impl Problem {
    pub(super) fn protocol(message: &str) -> Self {
        Self {
            trouble: Trouble::Protocol,
            message: message.into(),
            help: Some(LOOK_IN.into()),
        }
    }

    /// Returns what is wrong where the remote command says that its input has not arrived whole.
    pub(super) fn of_input(stderr: &[String]) -> Option<Self> {
        stderr
            .iter()
            .any(|line| line.contains(script::INPUT_TAKEN))
            .then(|| Self {
                trouble: Trouble::Protocol,
                message: "something at login reads from standard input, and so what is sent does not arrive whole; nothing was run".into(),
                help: Some("look for `read`, `cat` or `ssh` in the login user's start-up files (~/.bashrc, /etc/profile.d), and put `[ -t 0 ] &&` before it".into()),
            })
    }

    /// What answers there does not do what our scripts do.
    fn foreign(message: &str) -> Self {
        Self {
            trouble: Trouble::Protocol,
            message: format!("what it says is not what this wave would say: {message}"),
            help: Some("the host, or somebody on the way, answers in its name: do not trust it before you know why".into()),
        }
    }

    /// What was found on the host and what is wanted of it do not go together; the message says what to do.
    pub(super) fn unfit(message: String) -> Self {
        Self {
            trouble: Trouble::Unfit,
            message,
            help: None,
        }
    }
}

impl From<TransportError> for Problem {
    fn from(error: TransportError) -> Self {
        Self {
            trouble: trouble(&error),
            message: error.to_string(),
            help: Some(error.help()),
        }
    }
}

/// Returns what kind of trouble an error of the transport is; a jump host's own is that of the host behind it.
fn trouble(error: &TransportError) -> Trouble {
    match error {
        TransportError::Jump { error, .. } => trouble(error),
        TransportError::Unreachable { .. } | TransportError::Deadline { .. } => {
            Trouble::Unreachable
        }
        TransportError::HostKey { .. } => Trouble::HostKey,
        TransportError::Authentication { .. } => Trouble::Authentication,
        TransportError::Elevation { .. } => Trouble::Elevation,
        TransportError::Lost { .. } => Trouble::Lost,
        TransportError::Login { .. }
        | TransportError::Payload { .. }
        | TransportError::ReadOnly => Trouble::Protocol,
    }
}
