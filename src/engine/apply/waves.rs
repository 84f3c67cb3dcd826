//! The hosts' own waves: at once on a new cluster, one by one where a live one would feel it.

use super::super::session::{Problem, Session, WaveEnd};
use super::super::state::{cluster_facts, facts, trouble};
use super::{Done, Run};
use crate::cluster::{Standing, act};
use crate::event::{Event, Status, Trouble};
use crate::host::Observed;
use crate::model::HostName;
use crate::role::StepResult;

/// How often a host's lost wave is begun again after a new look.
const RETRIES: u32 = 2;

impl Run {
    pub(super) fn start_wave(&mut self, name: &HostName) {
        let settings = self.settings();
        let gate = self.gate(name);
        let Some(host) = self.state.hosts.get_mut(name) else {
            return;
        };
        let Some(session) = host.session.clone() else {
            return;
        };
        host.standing = Standing::Preparing;
        host.busy = true;
        let mut plan = host.plan.clone();
        if plan.disturbs() && !plan.more {
            plan.gates.extend(gate);
        }
        let registered = host.registered.clone();
        let observed = host.observed.clone();
        self.state.refresh(name);
        let facts = cluster_facts(settings.desired.as_ref(), name);
        let name = name.clone();
        self.tasks.spawn(async move {
            let desired = settings.desired.clone();
            let judge = |step: &crate::plan::Step, result: &StepResult| {
                desired.judge(&name, &observed, &registered, step, result)
            };
            let end = session.wave(&plan, &facts, judge).await;
            Done::Wave {
                host: name,
                end: Box::new(end),
            }
        });
    }

    /// On a live cluster a member that disturbed the path to the API waits until it is whole again.
    fn gate(&self, name: &HostName) -> Option<crate::plan::Step> {
        let member = self
            .state
            .view
            .hosts
            .get(name)
            .is_some_and(|h| h.kubernetes.ca.is_some());
        let endpoint = self.state.settings.desired.shape().endpoint.to_string();
        (self.live && member)
            .then(|| act::endpoint_answers(&endpoint, "/etc/kubernetes/pki/ca.crt"))
    }

    pub(super) fn start_queued(&mut self) {
        let busy = |host: &HostName| self.state.hosts.get(host).is_some_and(|h| h.busy);
        if self.queue.front().is_some_and(busy) {
            return;
        }
        if let Some(host) = self.queue.front().cloned() {
            self.start_wave(&host);
        }
    }

    pub(super) async fn wave_done(&mut self, name: HostName, end: WaveEnd) {
        let queued = self.queue.front() == Some(&name);
        let Some(host) = self.state.hosts.get_mut(&name) else {
            return;
        };
        host.busy = false;
        for (step, status, rc, output) in &end.results {
            let result = StepResult {
                changed: *status == Status::Changed,
                rc: *rc,
                stdout: output.clone(),
            };
            host.registered.record(step.title.clone(), *status, result);
        }
        let good = end.is_good();
        if let Some(problem) = &end.problem {
            if problem.trouble == Trouble::Lost && self.again(&name) {
                return self.look_again(name).await;
            }
            trouble(&self.settings(), &name, problem.clone()).await;
            self.stand(&name, Standing::Failed(problem.message.clone()));
        } else if let Some((title, _)) = &end.failed {
            self.stand(&name, Standing::Failed(format!("`{title}` failed")));
        } else if end.stopped {
            self.under_way.push(name.clone());
            self.stand(
                &name,
                Standing::Failed("stopped at a step's boundary".into()),
            );
        }
        if good {
            let plan = self
                .state
                .hosts
                .get(&name)
                .map(|h| h.plan.clone())
                .unwrap_or_default();
            if let Some(host) = self.state.hosts.get_mut(&name) {
                let all = plan
                    .steps
                    .iter()
                    .chain(plan.handlers.iter().flat_map(|h| &h.steps));
                for change in all.flat_map(|s| &s.changes) {
                    change.effect.apply(&mut host.observed);
                }
            }
            if let Some(observed) = end.observed {
                self.observe(&name, observed);
            }
            if plan.more {
                match self.state.plan(&name) {
                    Ok(()) if self.has_work(&name) => return self.start_wave(&name),
                    Ok(()) => {}
                    Err(message) => {
                        self.state.fail(&name, &message).await;
                        return self.queue_done(&name, queued, false).await;
                    }
                }
            }
            self.stand(&name, Standing::Prepared);
        }
        self.queue_done(&name, queued, good).await;
    }

    /// After a host that disturbs: the next one, or none where this one failed.
    async fn queue_done(&mut self, name: &HostName, queued: bool, good: bool) {
        if !queued {
            return;
        }
        self.queue.pop_front();
        if good {
            return self.start_queued();
        }
        self.abandoned = Some(name.clone());
        for left in std::mem::take(&mut self.queue) {
            let reason =
                format!("not tried: {name} failed before it, and both carry the path to the API");
            self.stand(&left, Standing::Failed(reason.clone()));
            self.settings()
                .emit(Event::Warning {
                    host: Some(left),
                    message: reason,
                })
                .await;
        }
    }

    pub(super) fn again(&mut self, name: &HostName) -> bool {
        let count = self.retries.entry(name.clone()).or_default();
        *count += 1;
        *count <= RETRIES && !self.state.settings.cancel.is_asked()
    }

    /// After a lost channel: look again, never send again blindly.
    pub(super) async fn look_again(&mut self, name: HostName) {
        let settings = self.settings();
        settings
            .emit(Event::Warning {
                host: Some(name.clone()),
                message: "the connection was lost; looking at the host again".into(),
            })
            .await;
        // The lock went with the connection; the host's transient units go on.
        self.locks.swap_remove(&name);
        let Some(target) = settings.targets.get(&name).cloned() else {
            return;
        };
        if let Some(host) = self.state.hosts.get_mut(&name) {
            host.busy = true;
            host.session = None;
        }
        self.state.refresh(&name);
        self.tasks.spawn(async move {
            let looked = async {
                let session = Session::open(&settings, &target).await?;
                let observed = session
                    .probe(&facts(settings.desired.as_ref(), &name))
                    .await?;
                Ok((session, observed))
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
        result: Result<(Session, Observed), Problem>,
    ) {
        if let Some(host) = self.state.hosts.get_mut(&name) {
            host.busy = false;
        }
        match result {
            Ok((session, observed)) => {
                if let Some(host) = self.state.hosts.get_mut(&name) {
                    host.session = Some(session);
                    host.observed = observed;
                }
                self.stand(&name, Standing::Prepared);
                self.state.view.note_api(&name);
                if !self.lock(std::slice::from_ref(&name)).await {
                    return self.stand(
                        &name,
                        Standing::Failed("its lock could not be taken again".into()),
                    );
                }
                match self.state.plan(&name) {
                    Ok(()) if self.has_work(&name) => self.start_wave(&name),
                    Ok(()) => {}
                    Err(message) => self.state.fail(&name, &message).await,
                }
            }
            Err(problem) => {
                self.stand(&name, Standing::Unknown(problem.message.clone()));
                trouble(&self.settings(), &name, problem).await;
            }
        }
        let queued = self.queue.front() == Some(&name);
        let busy = self.state.hosts.get(&name).is_some_and(|h| h.busy);
        if queued && !busy {
            let good = self
                .state
                .hosts
                .get(&name)
                .is_some_and(|h| h.standing == Standing::Prepared);
            self.queue_done(&name, queued, good).await;
        }
    }
}
