//! `apply`: one coordinator that looks, decides, and starts what is safe; one task for each host that has something to do.

mod acts;
mod again;
mod ending;
mod pace;
mod waves;

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use futures::StreamExt as _;
use indexmap::IndexMap;
use tokio::sync::Semaphore;
use tokio::task::{JoinError, JoinSet};

use super::Settings;
use super::health;
use super::lock::Lock;
use super::look::{refuse, start, warn_of_endpoint};
use super::planned;
use super::preflight;
use super::session::{Problem, Session, WaveEnd};
use super::state::{State, cluster_facts, facts, trouble};
use crate::cluster::kubeadm::Credentials;
use crate::cluster::{self, Act, Decision, Standing};
use crate::event::Event;
use crate::host::Observed;
use crate::model::HostName;

/// How often in a row acts may fail to start before the run gives up: each time a host is marked as failed.
const MOST_FUTILE: u32 = 1000;

/// Something that a task did.
enum Done {
    Wave {
        host: HostName,
        end: Box<WaveEnd>,
        turns: Vec<pace::Turn>,
    },
    /// The host's play was over before its turn came.
    NotTried {
        host: HostName,
        play: String,
    },
    Act {
        act: Act,
        end: Box<WaveEnd>,
    },
    Vip(Result<Vec<(HostName, Observed)>, String>),
    /// The control planes, looked at once more under their locks.
    Checked(Vec<(HostName, Result<Observed, Problem>)>),
    Looked {
        host: HostName,
        result: Box<Result<(Session, Lock, Observed), Problem>>,
    },
}

struct Run {
    state: State,
    tasks: JoinSet<Done>,
    locks: IndexMap<HostName, Lock>,
    /// Hosts that were looked at since their lock is held: nobody else can have changed them since.
    certain: HashSet<HostName>,
    /// Whether control planes are being looked at again, or the load balancers for the VIP.
    checking: bool,
    /// Hosts whose waves disturb a live cluster, one after the other.
    queue: VecDeque<HostName>,
    /// The host that failed in the queue: after it no other is tried.
    abandoned: Option<HostName>,
    /// How many waves run at once.
    forks: Arc<Semaphore>,
    /// How plays go that do not go over all hosts at once, by their names.
    courses: IndexMap<String, Arc<pace::Course>>,
    /// What hosts hold of them between two waves.
    turns: IndexMap<HostName, Vec<pace::Turn>>,
    waves: IndexMap<HostName, u32>,
    retries: IndexMap<HostName, u32>,
    secrets: Option<Credentials>,
    ca: Option<String>,
    live: bool,
    /// Whether this run moves the load balancer: its hosts were looked at anew for that.
    moved: bool,
    under_way: Vec<HostName>,
    /// Whether what comes when all nodes are in the cluster was begun.
    completed: bool,
    /// Whether the failure that ends the run was told.
    told: bool,
    /// Hosts on which a dead run's step has come to its end since they were looked at.
    outwaited: Vec<HostName>,
    act: &'static str,
}

/// Converges hosts and cluster.
pub async fn apply(settings: &Settings) {
    start(settings).await;
    let state = State::look(settings).await;
    let mut run = Run {
        state,
        tasks: JoinSet::new(),
        locks: IndexMap::new(),
        certain: HashSet::new(),
        checking: false,
        queue: VecDeque::new(),
        abandoned: None,
        forks: Arc::new(Semaphore::new(settings.forks.max(1))),
        courses: IndexMap::new(),
        turns: IndexMap::new(),
        waves: IndexMap::new(),
        retries: IndexMap::new(),
        secrets: None,
        ca: None,
        live: false,
        moved: false,
        completed: false,
        under_way: Vec::new(),
        told: false,
        outwaited: Vec::new(),
        act: "probe",
    };
    if !settings.cancel.is_asked() {
        Box::pin(run.converge()).await;
    }
    let locks = std::mem::take(&mut run.locks);
    futures::future::join_all(locks.into_values().map(Lock::release)).await;
    if settings.cancel.is_asked() {
        settings
            .emit(Event::Interrupted {
                hosts: run.under_way.clone(),
            })
            .await;
    }
    run.state.close().await;
}

impl Run {
    fn settings(&self) -> Settings {
        self.state.settings.clone()
    }

    async fn converge(&mut self) {
        let settings = self.settings();
        let ours: Vec<HostName> = self
            .state
            .hosts
            .keys()
            .filter(|h| settings.is_ours(h))
            .cloned()
            .collect();
        let shape = settings.desired.shape();
        if let Some(refusal) = cluster::next::forbidden(shape, &self.state.view) {
            return refuse(&self.settings(), refusal).await;
        }
        if let Some(refusal) = planned::stale(&self.state) {
            return refuse(&self.settings(), refusal).await;
        }
        if !preflight::passes(&mut self.state).await {
            return;
        }
        warn_of_endpoint(&self.state).await;
        self.live = self.state.view.api.is_some();
        self.mark_standings();
        let forecast = cluster::next::forecast(shape, &self.state.view);
        let pending: Vec<HostName> = ours.iter().filter(|h| self.has_work(h)).cloned().collect();
        self.state.report_unchanged(ours.iter().cloned()).await;
        let quiet = pending.is_empty() && forecast.acts.is_empty();
        if quiet && forecast.refusal.is_none() {
            return self.end_quietly().await;
        }
        let mut locked = pending.clone();
        locked.extend(forecast.acts.iter().map(|(host, ..)| host.clone()));
        locked.retain(|h| settings.is_ours(h));
        if !forecast.acts.is_empty() {
            locked.extend(shape.control_planes.iter().cloned());
        }
        locked.sort();
        locked.dedup();
        if !self.lock(&locked).await {
            return;
        }
        let outwaited = self.outwaited.clone();
        let mut pending = pending;
        pending.retain(|h| !outwaited.contains(h));
        pending.extend(self.look_at_the_outwaited().await);
        pending.sort_by_key(|host| health::turn(&self.state, host));
        self.begin("prepare", &pending).await;
        for host in pending {
            self.dispatch(&host).await;
        }
        self.work().await;
    }

    /// A host with work is not prepared; one that the run may not change stays as it is.
    fn mark_standings(&mut self) {
        let names: Vec<HostName> = self.state.hosts.keys().cloned().collect();
        for name in names {
            let work = self.has_work(&name);
            let ours = self.state.settings.is_ours(&name);
            if let Some(host) = self.state.hosts.get_mut(&name)
                && host.standing == Standing::Prepared
                && work
            {
                host.standing = if ours {
                    Standing::Preparing
                } else {
                    Standing::Left
                };
            }
            self.state.refresh(&name);
        }
    }

    fn has_work(&self, name: &HostName) -> bool {
        self.state
            .hosts
            .get(name)
            .is_some_and(|h| h.session.is_some() && (!h.plan.is_empty() || h.plan.more))
    }

    /// Takes all locks, or says who holds one. A host that cannot be reached has none to take.
    async fn lock(&mut self, hosts: &[HostName]) -> bool {
        let settings = self.settings();
        let sessions: Vec<(HostName, Session)> = hosts
            .iter()
            .filter(|h| !self.locks.get(*h).is_some_and(Lock::is_held))
            .filter_map(|h| Some((h.clone(), self.state.hosts.get(h)?.session.clone()?)))
            .collect();
        let takes = sessions.into_iter().map(|(host, session)| {
            let settings = settings.clone();
            async move { (host, Lock::take_patiently(&session, &settings).await) }
        });
        let mut taken = futures::stream::iter(takes).buffer_unordered(settings.forks.max(1));
        let mut good = true;
        while let Some((host, result)) = taken.next().await {
            match result {
                Ok((lock, waited)) => {
                    self.certain.remove(&host);
                    self.locks.insert(host.clone(), lock);
                    self.outwaited.extend(waited.then_some(host));
                }
                Err(problem) => {
                    good = false;
                    trouble(&settings, &host, problem).await;
                }
            }
        }
        good
    }

    /// Looks again at hosts on which a dead run's step was still going when they were looked at; returns those of them that
    /// have work of their own.
    async fn look_at_the_outwaited(&mut self) -> Vec<HostName> {
        let settings = self.settings();
        let desired = settings.desired.as_ref();
        let hosts = std::mem::take(&mut self.outwaited);
        if hosts.is_empty() {
            return hosts;
        }
        // What the API servers said before does not know of a join that has come to its end since.
        let mut asked = hosts.clone();
        let others = desired.shape().control_planes.iter();
        asked.extend(others.filter(|h| !hosts.contains(h)).cloned());
        let sessions = self.state.sessions_of(&asked).into_iter();
        let looks = sessions.map(|(host, session)| {
            let facts = match hosts.contains(&host) {
                true => facts(desired, &host),
                false => cluster_facts(desired, &host),
            };
            async move { (host, session.probe(&facts).await) }
        });
        let seen = futures::future::join_all(looks).await;
        for (host, result) in &seen {
            if result.is_ok() && hosts.contains(host) {
                self.stand(host, Standing::Prepared);
            }
        }
        self.checked(seen).await;
        let mut left = Vec::new();
        for host in hosts {
            match self.state.plan(&host) {
                Err(message) => self.state.fail(&host, &message).await,
                Ok(()) if !self.has_work(&host) => {}
                Ok(()) if settings.is_ours(&host) => left.push(host),
                Ok(()) => self.stand(&host, Standing::Left),
            }
        }
        left
    }

    async fn begin(&mut self, act: &'static str, hosts: &[HostName]) {
        if self.act != act && !hosts.is_empty() {
            self.act = act;
            self.settings()
                .emit(Event::ActStarted {
                    act: act.into(),
                    hosts: hosts.to_vec(),
                })
                .await;
        }
    }

    /// Decides and starts until nothing is under way and nothing is left.
    async fn work(&mut self) {
        let mut futile = 0;
        loop {
            let settings = self.settings();
            if !settings.cancel.is_asked() {
                let decision = cluster::next(settings.desired.shape(), &self.state.view);
                let idle = self.tasks.is_empty();
                match decision {
                    Decision::Do(acts) => {
                        if self.start_acts(acts).await {
                            futile = 0;
                        } else if idle && futile < MOST_FUTILE {
                            // The hosts that could not be acted on are marked: what is left may differ.
                            futile += 1;
                            continue;
                        }
                    }
                    Decision::Refuse(refusal) if idle => {
                        return refuse(&self.settings(), refusal).await;
                    }
                    // The load balancer has said itself what became of it.
                    Decision::Fail { .. } if idle && self.told => return,
                    Decision::Fail { message, help } if idle => {
                        settings
                            .emit(Event::ClusterFailed {
                                message,
                                help: Some(help),
                            })
                            .await;
                        return;
                    }
                    Decision::Done { .. } if idle && self.complete().await => {}
                    Decision::Done { missing } if idle => {
                        let left_out: Vec<HostName> =
                            missing.iter().map(|m| m.host.clone()).collect();
                        self.report_missing(missing).await;
                        return self.verify(&left_out).await;
                    }
                    Decision::Wait if idle => {
                        let message =
                            "nothing is under way, yet hosts are not prepared".to_string();
                        settings
                            .emit(Event::ClusterFailed {
                                message,
                                help: Some("run again".into()),
                            })
                            .await;
                        return;
                    }
                    _ => {}
                }
            }
            match self.tasks.join_next().await {
                Some(ended) => self.ended(ended).await,
                None => return,
            }
            // Of thousands of hosts many are done while one decision is made, and it looks at all of them: one for all these.
            while let Some(ended) = self.tasks.try_join_next() {
                self.ended(ended).await;
            }
        }
    }

    async fn ended(&mut self, ended: Result<Done, JoinError>) {
        match ended {
            // On the heap: what a run holds at once would not fit a small stack.
            Ok(done) => Box::pin(self.done(done)).await,
            Err(error) => {
                let message = format!("a task ended abnormally: {error}");
                self.settings()
                    .emit(Event::ClusterFailed {
                        message,
                        help: None,
                    })
                    .await;
            }
        }
    }

    async fn done(&mut self, done: Done) {
        match done {
            Done::Wave { host, end, turns } => {
                self.keep_turns(&host, turns);
                Box::pin(self.wave_done(host.clone(), *end)).await;
                // What another wave has taken over is not among them any more.
                self.turns.swap_remove(&host);
            }
            Done::NotTried { host, play } => {
                self.not_tried(&host, &play).await;
                self.leave_queue(&host, true).await;
            }
            Done::Act { act, end } => Box::pin(self.act_done(act, *end)).await,
            Done::Looked { host, result } => Box::pin(self.looked(host, *result)).await,
            Done::Checked(seen) => self.checked(seen).await,
            Done::Vip(Ok(seen)) => {
                self.checking = false;
                self.state.view.vip_checked = true;
                for (host, observed) in seen {
                    self.observe(&host, observed);
                }
            }
            Done::Vip(Err(message)) => {
                self.checking = false;
                self.told = true;
                let help = health::where_to_look(&self.state);
                for host in &self.settings().desired.shape().load_balancers {
                    if let Some(state) = self.state.hosts.get_mut(host) {
                        state.standing = Standing::Failed(message.clone());
                    }
                    self.state.refresh(host);
                }
                self.settings()
                    .emit(Event::ClusterFailed {
                        message,
                        help: Some(help),
                    })
                    .await;
            }
        }
    }

    fn stand(&mut self, name: &HostName, standing: Standing) {
        if let Some(host) = self.state.hosts.get_mut(name) {
            host.standing = standing;
        }
        self.state.refresh(name);
    }

    fn observe(&mut self, name: &HostName, observed: Observed) {
        // A look for the address alone asks for no membership: what is known of that is as old as before.
        let asked = observed.kubernetes.is_some();
        if let Some(host) = self.state.hosts.get_mut(name) {
            host.observed.update(observed);
        }
        let member = self.state.settings.desired.node(name).is_some();
        if (asked || !member) && self.locks.get(name).is_some_and(Lock::is_held) {
            self.certain.insert(name.clone());
        }
        self.state.refresh(name);
        if asked {
            self.state.view.note_api(name);
        }
    }
}
