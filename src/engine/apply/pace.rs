//! Plays that do not go over all hosts at once: who is under way, and whether it goes on where hosts have failed.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::Run;
use crate::model::HostName;
use crate::plan::{Batch, Pace};

/// How a play goes.
pub(super) struct Course {
    play: String,
    queue: Arc<Queue>,
}

/// A host's part in a play, until it is done with it.
pub(super) struct Turn {
    play: String,
    /// Given back when it is dropped.
    _place: Place,
}

/// Those who wait for their turn, in the order in which they came.
#[derive(Default)]
struct Queue(Mutex<Line>);

/// A turn that was given.
struct Place(Arc<Queue>);

#[derive(Default)]
struct Line {
    batches: VecDeque<Batch>,
    in_step: bool,
    /// Of the batch that is under way: how many were begun, are at work, and have failed.
    begun: usize,
    at_work: usize,
    failed: usize,
    is_over: bool,
    waiting: VecDeque<oneshot::Sender<Place>>,
}

impl Line {
    fn batch(&self) -> Batch {
        let one = Batch {
            at_once: 1,
            may_fail: 0,
        };
        self.batches.front().copied().unwrap_or(one)
    }

    /// Returns whether another host may begin now. Where batches go in step, the next one begins when all of this one have ended.
    fn has_room(&mut self) -> bool {
        let most = self.batch().at_once.max(1);
        if !self.in_step {
            return self.at_work < most;
        }
        if self.begun >= most && self.at_work == 0 {
            if self.batches.len() > 1 {
                self.batches.pop_front();
            }
            (self.begun, self.failed) = (0, 0);
        }
        self.begun < self.batch().at_once.max(1)
    }
}

impl Queue {
    fn line(&self) -> MutexGuard<'_, Line> {
        // Counters are never left half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns what brings a turn when it is time for it.
    fn enter(self: &Arc<Self>) -> oneshot::Receiver<Place> {
        let (sender, receiver) = oneshot::channel();
        self.line().waiting.push_back(sender);
        self.go_on();
        receiver
    }

    /// Gives turns to those that may begin now.
    fn go_on(self: &Arc<Self>) {
        let mut admitted = Vec::new();
        {
            let mut line = self.line();
            while !line.waiting.is_empty() && line.has_room() {
                line.begun += 1;
                line.at_work += 1;
                admitted.extend(line.waiting.pop_front());
            }
        }
        for sender in admitted {
            // Who does not wait any more gives it back by that.
            let _ = sender.send(Place(self.clone()));
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.line().at_work -= 1;
        self.0.go_on();
    }
}

impl Course {
    fn new(pace: &Pace) -> Self {
        let line = Line {
            batches: pace.batches.iter().copied().collect(),
            in_step: pace.in_step,
            ..Line::default()
        };
        Self {
            play: pace.play.clone(),
            queue: Arc::new(Queue(Mutex::new(line))),
        }
    }

    fn count_failed(&self) {
        let mut line = self.queue.line();
        line.failed += 1;
        line.is_over |= line.failed > line.batch().may_fail;
    }
}

/// A place in the line of the first play whose turn a host has not kept.
pub(super) struct Waiting(Option<oneshot::Receiver<Place>>);

/// Lines a host up in the first of its plays. Whoever does so for one host after the other, and not in their tasks, has them begin in that
/// order.
pub(super) fn line_up(courses: &[Arc<Course>], held: &[Turn]) -> Waiting {
    let mut left = courses
        .iter()
        .filter(|course| held.iter().all(|turn| turn.play != course.play));
    Waiting(left.next().map(|course| course.queue.enter()))
}

/// Waits for the turns in all plays, in their order, beside those that are `held`; an error names the play that is over.
pub(super) async fn take(
    courses: &[Arc<Course>],
    held: Vec<Turn>,
    mut waiting: Waiting,
) -> Result<Vec<Turn>, String> {
    let mut turns = held;
    for course in courses {
        if turns.iter().all(|turn| turn.play != course.play) {
            let place = waiting.0.take().unwrap_or_else(|| course.queue.enter());
            // Nobody goes away with what brings it.
            if let Ok(place) = place.await {
                turns.push(Turn {
                    play: course.play.clone(),
                    _place: place,
                });
            }
        }
        if course.queue.line().is_over {
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
                course.count_failed();
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
