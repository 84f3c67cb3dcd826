//! How a run ends: the cluster is whole, somebody is missing, or it was refused.

use std::time::Duration;

use tokio::time::Instant;

use super::super::health::{self, Down, Heals, summary};
use super::super::look::{self, refuse};
use super::super::seen;
use super::super::state::{HostState, cluster_facts, trouble};
use super::super::waiting::LOOK;
use super::Run;
use crate::cluster::next::{Cause, Missing};
use crate::cluster::{self, Decision, HostView, Standing, act};
use crate::event::{Event, Status};
use crate::host::Facts;
use crate::host::fact::Api;
use crate::model::HostName;

/// How long what was seen to be down may take to be up when the cluster is whole: an API server's start, many times over.
const WELL_SECONDS: u64 = 15;
/// The same of a process that the kubelet begins again: the third time it waits for 40 s (kubelet's CrashLoopBackOff: 10 s, doubled).
const BEGUN_AGAIN_SECONDS: u64 = 45;

/// The hosts are as written, and yet the cluster does not serve as it should: whoever looks at the exit code alone has to know.
fn unwell(limited: bool) -> Event {
    let rest = match limited {
        true => "a run without `--limit` shows whether apply can mend it",
        false => "nothing of it is in the inventory's words, so apply has nothing to change",
    };
    Event::ClusterFailed {
        message: match limited {
            true => "what this run asks for within `--limit` is as written, and yet the cluster is not well",
            false => "what this run asks for is as written, and yet the cluster is not well",
        }
        .into(),
        help: Some(format!(
            "what is not well stands behind `degraded`, and `quorate status` shows it by host; {rest}"
        )),
    }
}

impl Run {
    pub(super) async fn end_quietly(&mut self) {
        let settings = self.settings();
        let decision = cluster::next(settings.desired.shape(), &self.state.view);
        let mut told = true;
        match decision {
            Decision::Fail { message, help } => {
                settings
                    .emit(Event::ClusterFailed {
                        message,
                        help: Some(help),
                    })
                    .await;
            }
            Decision::Refuse(refusal) => return refuse(&self.settings(), refusal).await,
            Decision::Done { missing } => {
                told = !missing.is_empty();
                self.report_missing(missing).await;
            }
            Decision::Do(_) | Decision::Wait => {}
        }
        self.keep_missing_kubeconfig().await;
        if !health::strays(&self.state).is_empty()
            && let Err(message) = self.vip_is_up().await
        {
            let help = health::help_with_strays(&self.state);
            let event = Event::ClusterFailed { message, help };
            settings.emit(event).await;
            told = true;
        }
        if !told {
            self.look_at_the_ill().await;
        }
        self.conclude(told).await;
    }

    /// Says how each host and the cluster are. One that is not well is a failure, but where something was `told` already that
    /// explains it.
    async fn conclude(&mut self, told: bool) {
        let settings = self.settings();
        seen::report(&self.state).await;
        let Some((summary, healthy)) = summary(&self.state) else {
            return;
        };
        let troubled = |h: &HostState| !matches!(h.standing, Standing::Prepared | Standing::Left);
        let told = told || self.state.hosts.values().any(troubled);
        settings.emit(Event::Cluster { summary, healthy }).await;
        if !healthy && !told && !settings.cancel.is_asked() {
            settings.emit(unwell(self.is_limited())).await;
        }
    }

    /// Returns whether there are hosts that the run may not change.
    fn is_limited(&self) -> bool {
        let mut hosts = self.state.hosts.keys();
        hosts.any(|host| !self.state.settings.is_ours(host))
    }

    /// The user's kubeconfig, where it is not there although the cluster is.
    pub(super) async fn keep_missing_kubeconfig(&mut self) {
        let settings = self.settings();
        let ca = self.state.view.identities().keys().next().copied();
        if settings.desired.has_kubeconfig(ca) {
            return;
        }
        let Some(host) = self.state.view.api().map(|(host, _)| host.clone()) else {
            return;
        };
        let Some(session) = self.state.hosts.get(&host).and_then(|h| h.session.clone()) else {
            return;
        };
        let end = session
            .wave(&act::kubeconfig(), &Facts::new(), |_, _| Ok(Status::Ok))
            .await;
        self.take_outputs(&host, &end).await;
    }

    pub(super) async fn report_missing(&self, missing: Vec<Missing>) {
        look::report_left(&self.settings(), &self.state.view).await;
        for missed in missing {
            // A host in trouble has said so itself.
            let told =
                self.state.hosts.get(&missed.host).is_some_and(|h| {
                    matches!(h.standing, Standing::Unknown(_) | Standing::Failed(_))
                });
            let message = format!("{} is not in the cluster: {}", missed.host, missed.reason);
            let unfit = missed.unfit();
            let event = match missed.cause {
                Cause::Trouble if told => continue,
                Cause::Trouble | Cause::Limit => Event::Warning {
                    host: Some(missed.host),
                    message,
                },
                Cause::Unsafe(help) => Event::Refused {
                    message: unfit,
                    hosts: vec![missed.host],
                    help: Some(help),
                },
            };
            self.settings().emit(event).await;
        }
    }

    /// Waits on a control plane until the cluster is whole, but for the hosts that the run has left out and told of, and says
    /// how it is.
    pub(super) async fn verify(&mut self, left_out: &[HostName]) {
        let settings = self.settings();
        let shape = settings.desired.shape();
        let Some(host) = self.state.view.api().map(|(host, _)| host.clone()) else {
            return;
        };
        self.begin("verify", std::slice::from_ref(&host)).await;
        let in_it = |name: &&HostName| {
            self.state.view.node(name).is_some()
                || self.state.hosts.get(*name).is_some_and(|h| h.joined)
        };
        let reachable = |name: &&HostName| {
            self.state
                .hosts
                .get(*name)
                .is_some_and(|h| h.session.is_some())
        };
        let members: Vec<&str> = shape
            .control_planes
            .iter()
            .chain(&shape.workers)
            .filter(|name| !left_out.contains(name))
            .filter(in_it)
            .filter(reachable)
            .map(|n| n.as_str())
            .collect();
        let plan = act::verify(
            &shape.endpoint.to_string(),
            &members,
            settings.desired.has_network(),
        );
        let Some(session) = self.state.hosts.get(&host).and_then(|h| h.session.clone()) else {
            return;
        };
        let facts = cluster_facts(settings.desired.as_ref(), &host);
        let end = session.wave(&plan, &facts, |_, _| Ok(Status::Ok)).await;
        if let Some(problem) = &end.problem {
            return trouble(&settings, &host, problem.clone()).await;
        }
        if let Some(observed) = end.observed {
            self.observe(&host, observed);
        }
        if end.failed.is_some() || end.stopped {
            return;
        }
        self.keep_missing_kubeconfig().await;
        // What a limited run has changed is no less done for what is the matter elsewhere.
        let mut told = self.is_limited() || !left_out.is_empty();
        if let Err(message) = self.vip_is_up().await {
            let event = match self.is_limited() {
                true => Event::Warning {
                    host: None,
                    message,
                },
                false => Event::ClusterFailed {
                    message,
                    help: Some(health::where_to_look(&self.state)),
                },
            };
            told = true;
            settings.emit(event).await;
        }
        self.look_at_the_ill().await;
        self.conclude(told).await;
    }

    /// What was seen of a host at the end of its own wave may be over by now: where something was down, it is looked at again
    /// until it is up or the time is over, which counts as a wait of those hosts.
    async fn look_at_the_ill(&mut self) {
        const TITLE: &str = "cluster : wait for what is down";
        self.look_at_failed_balancers().await;
        let ill = self.healing().into_iter();
        let ill: Vec<HostName> = ill.map(|(host, _)| host).collect();
        if ill.is_empty() {
            return;
        }
        let began = self.state.wait_begins(TITLE, &ill).await;
        self.poll_the_ill().await;
        self.state.wait_ends(TITLE, ill, began).await;
    }

    /// A wave that failed has told nothing of its host: what is known of its load balancer is of before.
    async fn look_at_failed_balancers(&mut self) {
        let settings = self.settings();
        let desired = settings.desired.as_ref();
        let failed = |host: &&HostName| {
            let state = self.state.hosts.get(*host);
            state.is_some_and(|state| matches!(state.standing, Standing::Failed(_)))
        };
        let carriers = desired.shape().load_balancers.iter();
        let failed: Vec<HostName> = carriers.filter(failed).cloned().collect();
        self.look_anew(&failed).await;
    }

    /// Looks at hosts anew, as far as the workflow needs to know them, and returns whether all answered. Whoever cannot be reached
    /// any more is known as before.
    pub(super) async fn look_anew(&mut self, hosts: &[HostName]) -> bool {
        let settings = self.settings();
        let desired = settings.desired.as_ref();
        let looks = self
            .state
            .sessions_of(hosts)
            .into_iter()
            .map(|(host, session)| {
                let facts = cluster_facts(desired, &host);
                async move { (host, session.probe(&facts).await) }
            });
        let mut all = true;
        for (name, seen) in futures::future::join_all(looks).await {
            let (Some(host), Ok(seen)) = (self.state.hosts.get_mut(&name), seen) else {
                all = false;
                continue;
            };
            let asked = seen.kubernetes.is_some();
            host.observed.update(seen);
            self.state.refresh(&name);
            let view = self.state.view.hosts.get(&name);
            let api = view.and_then(HostView::api).filter(|_| asked);
            if api.is_some_and(Api::serves) {
                self.state.view.note_api(&name);
            }
        }
        all
    }

    /// Returns what is down and may be well without anybody's doing, by its host.
    fn healing(&self) -> Vec<(HostName, Vec<Down>)> {
        let mut ill = health::ill(&self.state);
        ill.extend(health::unreached(&self.state));
        for (_, down) in &mut ill {
            down.retain(|down| down.heals != Heals::Never);
        }
        ill.retain(|(_, down)| !down.is_empty());
        ill
    }

    async fn poll_the_ill(&mut self) {
        let settings = self.settings();
        let began = Instant::now();
        loop {
            let ill = self.healing();
            let mut down = ill.iter().flat_map(|(_, down)| down);
            let seconds = match down.all(|down| down.heals == Heals::Later) {
                true => BEGUN_AGAIN_SECONDS,
                false => WELL_SECONDS,
            };
            let deadline = began + Duration::from_secs(seconds);
            if ill.is_empty() || settings.cancel.is_asked() || Instant::now() > deadline {
                return;
            }
            let hosts: Vec<HostName> = ill.into_iter().map(|(host, _)| host).collect();
            if !self.look_anew(&hosts).await || self.healing().is_empty() {
                return;
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}
