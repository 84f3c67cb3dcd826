//! The hosts' locks: two controllers never change one host at once.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::Settings;
use super::lines::Tail;
use super::session::{Problem, Session, nonce};
use crate::event::{Event, Trouble};
use crate::host::{record, script};
use crate::transport::Chunk;

/// How long taking a lock may take.
const TAKE_SECONDS: u64 = 30;
/// What stands before the name of whose lock was broken.
const BROKEN: &str = "locked ";
/// How long between two tries, beside the seconds that the host itself waits.
const POLL: Duration = Duration::from_millis(500);
/// How long the lock of this run's own lost connection may take to go: its last beat's life, and a poll.
const AGAIN_SECONDS: u64 = script::LOCK_SECONDS + 15;

/// A held lock. It goes when this is released, when the connection breaks, or when nothing beats for
/// [`script::LOCK_SECONDS`].
pub(super) struct Lock {
    stop: mpsc::Sender<()>,
    held: JoinHandle<()>,
}

impl Lock {
    /// Takes the host's lock, or says who holds it.
    pub(super) async fn take(session: &Session, settings: &Settings) -> Result<Self, Problem> {
        Self::take_or_break(session, settings, settings.break_lock).await
    }

    async fn take_or_break(
        session: &Session,
        settings: &Settings,
        break_lock: bool,
    ) -> Result<Self, Problem> {
        let nonce = nonce();
        let request = script::lock_request(&settings.owner, &nonce, break_lock);
        let (stop, mut stopped) = mpsc::channel::<()>(1);
        let (beat, live) = mpsc::channel::<Vec<u8>>(1);
        let (sender, mut chunks) = mpsc::channel(16);
        let (told, answer) = oneshot::channel::<String>();
        let owned = session.clone();
        let held = tokio::spawn(async move {
            let hold = owned.hold(request, Some(live), sender);
            tokio::pin!(hold);
            let mut told = Some(told);
            let mut text = Vec::new();
            let mut noise = Tail::default();
            let mut holding = false;
            let mut beats = tokio::time::interval(Duration::from_secs(script::LOCK_SECONDS / 4));
            let mut beat = Some(beat);
            let mut ended = None;
            loop {
                tokio::select! {
                    chunk = chunks.recv() => match chunk {
                        Some(Chunk::Stdout(bytes)) if text.len() < 4096 => {
                            noise.add(&bytes);
                            text.extend(bytes);
                            let line = record::Lines::new(&nonce, &text).next();
                            if let (Some(line), true) = (line, told.is_some()) {
                                // Our own names of holders are shorter; others' words are cut.
                                let line: String = line.chars().take(400).collect();
                                holding = line == "locked" || line.starts_with(BROKEN);
                                let _ = told.take().map(|told| told.send(line));
                            }
                        }
                        Some(Chunk::Stderr(bytes) | Chunk::Stdout(bytes)) => noise.add(&bytes),
                        Some(Chunk::Sent(_)) => {}
                        // Its word may come after its end: both are waited for.
                        None if ended.is_some() => break,
                        None => {
                            ended = Some((&mut hold).await);
                            break;
                        }
                    },
                    _ = beats.tick() => if let Some(beat) = &beat {
                        let _ = beat.try_send(b".".to_vec());
                    },
                    _ = stopped.recv(), if beat.is_some() => beat = None,
                    result = &mut hold, if ended.is_none() => ended = Some(result),
                }
            }
            match (ended, told) {
                (Some(Err(problem)), Some(told)) => {
                    let _ = told.send(format!("broken {}", problem.message));
                }
                (Some(Ok(exit)), Some(told)) => {
                    let said = noise.lines();
                    let said = said.last().map_or("nothing", String::as_str);
                    let _ = told.send(format!(
                        "unable the host's lock could not be taken (exit status {}); it said: {said}",
                        exit.status
                    ));
                }
                // Held, not given back, and yet gone: whoever broke it may be at work here.
                (Some(Ok(_)), None) if holding && beat.is_some() => owned.ask_to_stop().await,
                _ => {}
            }
        });
        let lock = Self { stop, held };
        let answer = tokio::time::timeout(Duration::from_secs(TAKE_SECONDS), answer).await;
        match answer {
            Ok(Ok(line)) if line == "locked" => Ok(lock),
            Ok(Ok(line)) if line.starts_with(BROKEN) => {
                let whose = line.trim_start_matches(BROKEN);
                let event = Event::Warning {
                    host: Some(session.host.clone()),
                    message: format!("the lock of {whose} was broken (--break-lock)"),
                };
                settings.emit(event).await;
                Ok(lock)
            }
            Ok(Ok(line)) => {
                let problem = match line.split_once(' ') {
                    Some(("broken", message)) => Problem::protocol(message),
                    Some(("unable", message)) => Problem {
                        help: Some("root needs flock (of util-linux) there, and a /run that can be written to".into()),
                        ..Problem::protocol(message)
                    },
                    Some(("held", owner)) if owner.starts_with(script::LEFT_BEHIND) => Problem {
                        trouble: Trouble::Locked,
                        message: format!("another run is changing this host: {owner}"),
                        help: Some("that run is dead, and what it began goes on: run again when it has ended (`systemctl status quorate-kubeadm` on the host shows kubeadm)".into()),
                    },
                    Some(("held", owner)) if owner == settings.owner => Problem {
                        trouble: Trouble::Locked,
                        message: format!("this run holds the lock of this host itself, by a connection that was lost or under another name of the inventory: {owner}"),
                        help: Some(format!("after a lost connection run again: its lock goes {} s after its last sign of life; where two names lead to one machine, take one out", script::LOCK_SECONDS)),
                    },
                    Some(("held", owner)) if !owner.is_empty() => Problem {
                        trouble: Trouble::Locked,
                        message: format!("another run is changing this host: {owner}"),
                        help: Some("wait for it to end; if it is dead, its lock goes 60 s after its last sign of life, or use --break-lock".into()),
                    },
                    _ => Problem {
                        trouble: Trouble::Locked,
                        message: "another run is changing this host".into(),
                        help: Some("wait for it to end, or use --break-lock".into()),
                    },
                };
                lock.release().await;
                Err(problem)
            }
            Ok(Err(_)) => Err(Problem::protocol(
                "the host's lock could not be taken: the exec ended without a word",
            )),
            Err(_) => {
                lock.held.abort();
                Err(Problem::protocol(&format!(
                    "the host's lock could not be taken within {TAKE_SECONDS} s"
                )))
            }
        }
    }

    /// Takes the lock; where a run that is dead has left a step behind, waits for its end. That run is dead for sure: its lock
    /// went with its connection, and only the step's own is still there. Returns whether there was anything to wait for.
    pub(super) async fn take_patiently(
        session: &Session,
        settings: &Settings,
    ) -> Result<(Self, bool), Problem> {
        let deadline = tokio::time::Instant::now() + settings.patience.step;
        let mut cancel = settings.cancel.clone();
        let mut waited = false;
        loop {
            match Self::take(session, settings).await {
                Err(problem)
                    if problem.trouble == Trouble::Locked
                        && problem.message.contains(script::LEFT_BEHIND)
                        && tokio::time::Instant::now() < deadline
                        && !cancel.is_asked() =>
                {
                    if !waited {
                        let event = Event::Warning {
                            host: Some(session.host.clone()),
                            message: format!(
                                "{}; waiting for its end, {} s at most",
                                problem.message,
                                settings.patience.step.as_secs()
                            ),
                        };
                        settings.emit(event).await;
                    }
                    waited = true;
                    tokio::select! {
                        () = tokio::time::sleep(POLL) => {}
                        () = cancel.asked() => {}
                    }
                }
                result => return result.map(|lock| (lock, waited)),
            }
        }
    }

    /// Takes the lock after this run's own connection was lost: where the lock of that one is still there, waits until
    /// it goes. A step that the lost connection left behind counts as a lock until it has ended.
    pub(super) async fn take_again(
        session: &Session,
        settings: &Settings,
    ) -> Result<Self, Problem> {
        let begin = tokio::time::Instant::now();
        // A step that says nothing for long, such as kubeadm that waits, does not notice that nobody listens any more.
        let most = |problem: &Problem| match problem.message.contains(script::LEFT_BEHIND) {
            true => settings.patience.step,
            false => Duration::from_secs(AGAIN_SECONDS),
        };
        loop {
            // What is in the way is this run's own.
            match Self::take_or_break(session, settings, false).await {
                Err(problem)
                    if problem.trouble == Trouble::Locked
                        && problem.message.ends_with(&settings.owner)
                        && begin.elapsed() < most(&problem)
                        && !settings.cancel.is_asked() =>
                {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                result => return result,
            }
        }
    }

    /// Returns whether it is still held: it goes with its connection, or when somebody breaks it.
    pub(super) fn is_held(&self) -> bool {
        !self.held.is_finished()
    }

    /// Gives the lock back.
    pub(super) async fn release(self) {
        let _ = self.stop.send(()).await;
        let _ = tokio::time::timeout(Duration::from_secs(5), self.held).await;
    }
}
