//! The hosts' own waves: at once on a new cluster, one by one where a live one would feel it.

use std::time::Duration;

use tokio::time::Instant;

use super::super::lock::Lock;
use super::super::planned;
use super::super::session::{Problem, Session, WaveEnd};
use super::super::state::{cluster_facts, facts, trouble};
use super::super::{Settings, health};
use super::{Done, Run, pace};
use crate::cluster::{Standing, act, migrate};
use crate::event::{Event, Status, Trouble};
use crate::host::Observed;
use crate::model::HostName;
use crate::role::StepResult;
use crate::transport::Target;

/// How often a host's lost wave is begun again after a new look.
const RETRIES: u32 = 2;
/// How many waves one host may need: each ends where a task depends on the result of one before.
const MOST_WAVES: u32 = 50;

/// Connects to a host whose connection was lost: it may be starting anew, and is tried for a while.
async fn reach_again(settings: &Settings, target: &Target) -> Result<Session, Problem> {
    let deadline = Instant::now() + settings.patience.away;
    let mut cancel = settings.cancel.clone();
    let mut pause = Duration::from_millis(250);
    loop {
        match Session::open(settings, target).await {
            Err(problem)
                if matches!(problem.trouble, Trouble::Unreachable | Trouble::Lost)
                    && Instant::now() + pause < deadline
                    && !cancel.is_asked() =>
            {
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = cancel.asked() => {}
                }
                pause = (pause * 2).min(Duration::from_secs(5));
            }
            result => return result,
        }
    }
}

impl Run {
    /// Starts a host's next wave, now or when its turn comes.
    pub(super) async fn dispatch(&mut self, name: &HostName) {
        if self.state.settings.cancel.is_asked() {
            return self.stopped(name);
        }
        if !self.goes_alone(name) {
            return self.start_wave(name);
        }
        // Who waits in the queue holds up no play.
        self.turns.swap_remove(name);
        if let Some(failed) = self.abandoned.clone() {
            return self.give_up(name, &failed).await;
        }
        self.stand(name, Standing::Preparing);
        if !self.queue.contains(name) && self.queue.is_empty() && self.is_barred(name).await {
            return;
        }
        if !self.queue.contains(name) {
            self.queue.push_back(name.clone());
        }
        if self.queue.front() == Some(name) {
            self.start_wave(name);
        }
    }

    /// Returns whether the host's next wave disturbs a live cluster that the host is a part of.
    fn goes_alone(&self, name: &HostName) -> bool {
        let disturbs = |h: &super::super::state::HostState| h.plan.disturbs();
        let balancers = &self.state.settings.desired.shape().load_balancers;
        let member = self.state.view.hosts.get(name);
        // Nobody answers, and yet a cluster may live: then too one member after the other.
        let mut hosts = self.state.view.hosts.values();
        (self.live || hosts.any(crate::cluster::HostView::shows_membership))
            && self.state.hosts.get(name).is_some_and(disturbs)
            && (balancers.contains(name) || member.is_some_and(|h| h.has_traces()))
    }

    fn start_wave(&mut self, name: &HostName) {
        let settings = self.settings();
        let gate = self.wave_gate(name);
        let (courses, held) = self.courses(name);
        let waiting = pace::line_up(&courses, &held);
        let Some(host) = self.state.hosts.get_mut(name) else {
            return;
        };
        let Some(session) = host.session.clone() else {
            return;
        };
        host.standing = Standing::Preparing;
        host.busy = true;
        let mut plan = host.plan.clone();
        // After each wave that disturbs, not only after the last: the last may not.
        if plan.disturbs() || host.ungated {
            plan.gates.extend(gate);
        }
        let registered = host.registered.clone();
        let observed = host.observed.clone();
        self.state.refresh(name);
        *self.waves.entry(name.clone()).or_default() += 1;
        // A wave that ends with tasks left is followed by a plan, as one may be when the host or the cluster is another, and a
        // command may have changed what was seen before.
        let again = plan.more || plan.catches() || self.is_prepared_again(name);
        let facts = match again {
            true => facts(settings.desired.as_ref(), name),
            false => cluster_facts(settings.desired.as_ref(), name),
        };
        let name = name.clone();
        let forks = self.forks.clone();
        self.tasks.spawn(async move {
            let turns = match pace::take(&courses, held, waiting).await {
                Ok(turns) => turns,
                Err(play) => return Done::NotTried { host: name, play },
            };
            // The semaphore is never closed; without a permit the wave runs all the same.
            let _permit = forks.acquire_owned().await.ok();
            let desired = settings.desired.clone();
            let judge = |step: &crate::plan::Step, result: &StepResult| {
                desired.judge(&name, &observed, &registered, step, result)
            };
            planned::tell_differences(&settings, &name, &plan).await;
            let end = session.wave(&plan, &facts, judge).await;
            Done::Wave {
                host: name,
                end: Box::new(end),
                turns,
            }
        });
    }

    /// What a host's own wave waits for. While the load balancer is still of another way, the new one does not run yet: what
    /// is brought for it, such as its packages, is not waited for by its work.
    fn wave_gate(&self, name: &HostName) -> Vec<crate::plan::Step> {
        let shape = self.state.settings.desired.shape();
        let moves = shape.load_balancers.contains(name);
        if moves && migrate::under_way(shape, &self.state.view) {
            return self.path_gate(name);
        }
        self.gate(name)
    }

    /// On a live cluster a member, or a host outside of it that carries the load balancer, which disturbed the path to the API
    /// waits until it is whole again.
    pub(super) fn gate(&self, name: &HostName) -> Vec<crate::plan::Step> {
        let member = self
            .state
            .view
            .hosts
            .get(name)
            .is_some_and(|h| h.kubernetes.ca.is_some());
        if !self.live {
            return Vec::new();
        }
        let desired = &self.state.settings.desired;
        let mut steps = Vec::new();
        if member || !desired.shape().nodes().any(|node| node == name) {
            steps.extend(desired.settled(name));
        }
        steps.extend(self.path_gate(name));
        steps
    }

    /// On a live cluster a member waits until the API answers at the endpoint.
    fn path_gate(&self, name: &HostName) -> Vec<crate::plan::Step> {
        let hosts = &self.state.view.hosts;
        let member = hosts.get(name).is_some_and(|h| h.kubernetes.ca.is_some());
        let endpoint = self.state.settings.desired.shape().endpoint.to_string();
        let gate = act::endpoint_answers(&endpoint, "/etc/kubernetes/pki/ca.crt");
        (self.live && member).then_some(gate).into_iter().collect()
    }

    pub(super) async fn wave_done(&mut self, name: HostName, end: WaveEnd) {
        let Some(host) = self.state.hosts.get_mut(&name) else {
            return;
        };
        host.busy = false;
        host.ungated = end.caught && (host.ungated || host.plan.disturbs());
        for (step, status, rc, output) in &end.results {
            let result = StepResult {
                changed: *status == Status::Changed,
                rc: *rc,
                stdout: output.clone(),
            };
            host.registered.record(step.title.clone(), *status, result);
        }
        let good = end.results.iter();
        let good = good.take_while(|(_, status, ..)| *status != Status::Failed);
        let done = match end.is_good() {
            true => usize::MAX,
            false => good.count(),
        };
        self.state.tell(&name, done).await;
        if end.goes_on() {
            return self.wave_good(name, end).await;
        }
        if let Some(problem) = &end.problem {
            if problem.trouble == Trouble::Lost && self.again(&name) {
                return self.look_again(name, "the connection was lost").await;
            }
            self.count_failed(&name);
            self.stand(&name, Standing::Failed(problem.message.clone()));
            trouble(&self.settings(), &name, problem.clone()).await;
        } else if let Some((title, _)) = &end.failed {
            self.count_failed(&name);
            self.stand(&name, Standing::Failed(format!("`{title}` failed")));
        } else {
            self.interrupted(&name).await;
        }
        self.leave_queue(&name, false).await;
    }

    async fn wave_good(&mut self, name: HostName, end: WaveEnd) {
        let mut more = false;
        if let Some(host) = self.state.hosts.get_mut(&name) {
            more = host.plan.more || end.caught;
            let done = end.results.iter().filter(|r| r.1 != Status::Failed);
            for change in done.flat_map(|(step, ..)| &step.changes) {
                change.effect.apply(&mut host.observed);
            }
        }
        let Some(observed) = end.observed else {
            return self.without_facts(name).await;
        };
        self.observe(&name, observed);
        let waves = self.waves.get(&name).copied().unwrap_or_default();
        let planned = if more { self.state.plan(&name) } else { Ok(()) };
        self.state.tell(&name, 0).await;
        let lost = self
            .state
            .hosts
            .get(&name)
            .and_then(|h| h.plan.lost.clone());
        if let (Ok(()), Some(title)) = (&planned, lost) {
            // The step has said so itself.
            self.count_failed(&name);
            self.stand(&name, Standing::Failed(format!("`{title}` failed")));
            return self.leave_queue(&name, false).await;
        }
        let left = more && self.has_work(&name);
        let stuck = left
            && self
                .state
                .hosts
                .get(&name)
                .is_some_and(|h| h.plan.is_empty());
        // Where nothing is left to do the gate is: the wave before did not come to its own.
        let ungated = self.state.hosts.get(&name).is_some_and(|h| h.ungated);
        let goes_on = ungated || (left && !stuck);
        match planned {
            Ok(()) if goes_on && waves < MOST_WAVES => {
                // Its turn in the queue is over unless it disturbs once more.
                let over = !ungated && !self.goes_alone(&name);
                if over && self.queue.front() == Some(&name) {
                    self.leave_queue(&name, true).await;
                }
                return self.dispatch(&name).await;
            }
            Ok(()) if left => {
                let message = "tasks are left that wait for a result which does not come";
                self.state.fail(&name, message).await;
            }
            Ok(()) => self.stand(&name, Standing::Prepared),
            Err(message) => self.state.fail(&name, &message).await,
        }
        let good = self.is_prepared(&name);
        self.leave_queue(&name, good).await;
    }

    fn is_prepared(&self, name: &HostName) -> bool {
        let host = self.state.hosts.get(name);
        host.is_some_and(|h| h.standing == Standing::Prepared)
    }

    /// After a host that disturbs: the next one, or none where this one failed.
    pub(super) async fn leave_queue(&mut self, name: &HostName, good: bool) {
        if self.queue.front() != Some(name) {
            return;
        }
        self.queue.pop_front();
        if good {
            while let Some(next) = self.queue.front().cloned() {
                if self.is_barred(&next).await {
                    self.queue.pop_front();
                    continue;
                }
                return self.start_wave_or_stop(&next);
            }
            return;
        }
        if self.state.settings.cancel.is_asked() {
            for left in std::mem::take(&mut self.queue) {
                self.stopped(&left);
            }
            return;
        }
        self.abandoned = Some(name.clone());
        for left in std::mem::take(&mut self.queue) {
            self.give_up(&left, name).await;
        }
    }

    fn start_wave_or_stop(&mut self, name: &HostName) {
        if !self.state.settings.cancel.is_asked() {
            return self.start_wave(name);
        }
        for left in std::mem::take(&mut self.queue) {
            self.stopped(&left);
        }
    }

    /// Fails a host whose load balancer may not be touched now: another one is down.
    async fn is_barred(&mut self, name: &HostName) -> bool {
        let shape = self.state.settings.desired.shape();
        if !self.live || migrate::under_way(shape, &self.state.view) {
            return false;
        }
        let mut looked: Vec<HostName> = Vec::new();
        let (other, down) = loop {
            match health::bars(&self.state, name) {
                None => return false,
                Some(bar) if looked.contains(&bar.0) => break bar,
                // What was seen of it may be over.
                Some((other, _)) => {
                    self.look_anew(std::slice::from_ref(&other)).await;
                    looked.push(other);
                }
            }
        };
        let down = down.join(", ");
        let message = format!(
            "not changed because of {other} ({down}): while one load balancer is down no other is touched"
        );
        let help = format!(
            "see why on {other}, mend it there or in the inventory, and run again: those that are down come first"
        );
        self.stand(name, Standing::Failed(message.clone()));
        let problem = Problem {
            trouble: Trouble::Stuck,
            message,
            help: Some(help),
        };
        trouble(&self.settings(), name, problem).await;
        true
    }

    async fn give_up(&mut self, name: &HostName, failed: &HostName) {
        let reason =
            format!("not tried: {failed} failed before it, and both carry the path to the API");
        self.leave_out(name, reason).await;
    }

    /// A host that is not tried, for a reason that is no fault of its own.
    pub(super) async fn leave_out(&mut self, name: &HostName, reason: String) {
        self.stand(name, Standing::Failed(reason.clone()));
        self.settings()
            .emit(Event::Warning {
                host: Some(name.clone()),
                message: reason,
            })
            .await;
    }

    fn stopped(&mut self, name: &HostName) {
        self.stand(
            name,
            Standing::Failed("stopped at a step's boundary".into()),
        );
    }

    /// A wave ended at a step's boundary: the user asked for it, or the lock was lost.
    pub(super) async fn interrupted(&mut self, name: &HostName) {
        self.stopped(name);
        if self.state.settings.cancel.is_asked() {
            return self.under_way.push(name.clone());
        }
        let problem = Problem {
            trouble: Trouble::Locked,
            message:
                "this run's lock was lost in the middle of a wave: another run may have broken it"
                    .into(),
            help: Some("see who else works on this host, then run again".into()),
        };
        trouble(&self.settings(), name, problem).await;
    }

    /// All steps were done, but what the host is like now is not known.
    pub(super) async fn without_facts(&mut self, name: HostName) {
        if self.again(&name) {
            return self
                .look_again(name, "its last facts could not be read")
                .await;
        }
        let message = "its facts could not be read, and again not after a new look";
        self.state.fail(&name, message).await;
        self.leave_queue(&name, false).await;
    }

    pub(super) fn again(&mut self, name: &HostName) -> bool {
        let count = self.retries.entry(name.clone()).or_default();
        *count += 1;
        *count <= RETRIES && !self.state.settings.cancel.is_asked()
    }

    /// After a lost channel: look again, never send again blindly.
    pub(super) async fn look_again(&mut self, name: HostName, why: &str) {
        let settings = self.settings();
        settings
            .emit(Event::Warning {
                host: Some(name.clone()),
                message: format!(
                    "{why}; looking at the host again, for {} s at most",
                    settings.patience.away.as_secs()
                ),
            })
            .await;
        let Some(target) = settings.targets.get(&name).cloned() else {
            return;
        };
        self.certain.remove(&name);
        let lock = self.locks.swap_remove(&name);
        let mut old = None;
        if let Some(host) = self.state.hosts.get_mut(&name) {
            host.busy = true;
            old = host.session.take();
        }
        self.state.refresh(&name);
        self.tasks.spawn(async move {
            if let Some(lock) = lock {
                lock.release().await;
            }
            if let Some(old) = old {
                old.close().await;
            }
            let looked = async {
                let session = reach_again(&settings, &target).await?;
                // The old connection's step has ended when its lock can be had.
                let lock = Lock::take_again(&session, &settings).await?;
                let observed = session
                    .probe(&facts(settings.desired.as_ref(), &name))
                    .await?;
                Ok((session, lock, observed))
            };
            let result = looked.await;
            Done::Looked {
                host: name,
                result: Box::new(result),
            }
        });
    }

    pub(super) async fn looked(
        &mut self,
        name: HostName,
        result: Result<(Session, Lock, Observed), Problem>,
    ) {
        if let Some(host) = self.state.hosts.get_mut(&name) {
            host.busy = false;
        }
        match result {
            Ok((session, lock, observed)) => {
                self.locks.insert(name.clone(), lock);
                if let Some(host) = self.state.hosts.get_mut(&name) {
                    host.session = Some(session);
                }
                let was_moving = self.is_moving(&name);
                self.observe(&name, observed);
                self.stand(&name, Standing::Prepared);
                // It has gone on by itself to the end of its step of a move: no act will say so.
                if was_moving && !self.is_moving(&name) && self.bring_up().await {
                    return;
                }
                match self.state.plan(&name) {
                    Ok(()) if self.has_work(&name) => return self.dispatch(&name).await,
                    Ok(()) => {}
                    Err(message) => self.state.fail(&name, &message).await,
                }
            }
            Err(problem) => {
                self.stand(&name, Standing::Unknown(problem.message.clone()));
                // What its API server said last is no word to go by any more.
                self.state.view.choose_api();
                trouble(&self.settings(), &name, problem).await;
            }
        }
        let good = self.is_prepared(&name);
        self.leave_queue(&name, good).await;
    }
}
