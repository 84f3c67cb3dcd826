//! Plays that do not go over all hosts at once: who is under way, and whether it goes on where hosts have failed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Run;
use crate::model::HostName;
use crate::plan::Pace;

/// How a play goes.
pub(super) struct Course {
    play: String,
    turns: Arc<Semaphore>,
    failed: AtomicUsize,
    may_fail: usize,
}

/// A host's part in a play, until it is done with it.
pub(super) struct Turn {
    play: String,
    /// Given back when it is dropped.
    _permit: OwnedSemaphorePermit,
}

impl Course {
    fn new(pace: &Pace) -> Self {
        let most = pace.at_once.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            play: pace.play.clone(),
            turns: Arc::new(Semaphore::new(most)),
            failed: AtomicUsize::new(0),
            may_fail: pace.may_fail,
        }
    }

    fn is_over(&self) -> bool {
        self.failed.load(Ordering::Relaxed) > self.may_fail
    }
}

/// Waits for the turns in all plays, in their order, beside those that are `held`; an error names the play that is over.
pub(super) async fn take(courses: &[Arc<Course>], held: Vec<Turn>) -> Result<Vec<Turn>, String> {
    let mut turns = held;
    for course in courses {
        if turns.iter().all(|turn| turn.play != course.play) {
            // The semaphore is never closed.
            if let Ok(permit) = course.turns.clone().acquire_owned().await {
                turns.push(Turn {
                    play: course.play.clone(),
                    _permit: permit,
                });
            }
        }
        if course.is_over() {
            return Err(course.play.clone());
        }
    }
    Ok(turns)
}

impl Run {
    /// Returns the courses of the plays that a wave is part of, and the turns that the host has kept from the wave before: of
    /// the first of these plays, else none, so that no two hosts can wait for one another.
    pub(super) fn courses(&mut self, name: &HostName) -> (Vec<Arc<Course>>, Vec<Turn>) {
        let host = self.state.hosts.get(name);
        let paces = host.map_or(&[][..], |host| &host.plan.paces);
        let held = self.turns.swap_remove(name).unwrap_or_default();
        let mut kept = Vec::new();
        let mut plays = paces.iter().map(|pace| &pace.play);
        for turn in held {
            if plays.next() != Some(&turn.play) {
                break;
            }
            kept.push(turn);
        }
        let courses = paces.iter().map(|pace| {
            let course = self.courses.entry(pace.play.clone());
            let course = course.or_insert_with(|| Arc::new(Course::new(pace)));
            course.clone()
        });
        (courses.collect(), kept)
    }

    /// Keeps the turns of a host whose wave has ended: another one may follow at once.
    pub(super) fn keep_turns(&mut self, name: &HostName, turns: Vec<Turn>) {
        if !turns.is_empty() {
            self.turns.insert(name.clone(), turns);
        }
    }

    /// Takes down that a host has failed in the plays of its wave.
    pub(super) fn count_failed(&mut self, name: &HostName) {
        let Some(host) = self.state.hosts.get(name) else {
            return;
        };
        for pace in &host.plan.paces {
            if let Some(course) = self.courses.get(&pace.play) {
                course.failed.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// A host whose play is over before its turn came.
    pub(super) async fn not_tried(&mut self, name: &HostName, play: &str) {
        if let Some(host) = self.state.hosts.get_mut(name) {
            host.busy = false;
        }
        let reason = format!("not tried: too many hosts have failed in the play `{play}`");
        self.leave_out(name, reason).await;
    }
}
