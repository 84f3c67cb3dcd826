//! `apply`: one coordinator that looks, decides, and starts what is safe; one task for each host that has something to do.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use indexmap::IndexMap;
use tokio::task::JoinSet;

use super::Settings;
use super::lock::Lock;
use super::look::{start, summary};
use super::session::{Problem, Session, WaveEnd};
use super::state::{State, cluster_facts, facts, trouble};
use crate::cluster::kubeadm::Credentials;
use crate::cluster::{self, Act, Decision, Standing, act};
use crate::event::{Event, Status};
use crate::host::{Facts, Observed};
use crate::model::{HostName, Secret};
use crate::plan::HostPlan;
use crate::role::StepResult;

/// How long exactly one load balancer may take to hold the VIP: three adverts and an election, many times over.
const VIP_SECONDS: u64 = 30;
/// How often a host's lost wave is begun again after a new look.
const RETRIES: u32 = 2;

/// Something that a task did.
enum Done {
    Wave {
        host: HostName,
        end: Box<WaveEnd>,
    },
    Act {
        act: Act,
        end: Box<WaveEnd>,
    },
    Vip(Result<Vec<(HostName, Observed)>, String>),
    Looked {
        host: HostName,
        result: Box<Result<(Session, Observed), Problem>>,
    },
}

struct Run {
    state: State,
    tasks: JoinSet<Done>,
    locks: IndexMap<HostName, Lock>,
    /// Hosts whose waves disturb a live cluster, one after the other.
    queue: VecDeque<HostName>,
    retries: IndexMap<HostName, u32>,
    secrets: Option<Credentials>,
    ca: Option<String>,
    changed: bool,
    live: bool,
    under_way: Vec<HostName>,
    act: &'static str,
    abandoned: Option<HostName>,
}

/// Converges hosts and cluster.
pub async fn apply(settings: &Settings) {
    start(settings).await;
    let state = State::look(settings).await;
    let mut run = Run {
        state,
        tasks: JoinSet::new(),
        locks: IndexMap::new(),
        queue: VecDeque::new(),
        retries: IndexMap::new(),
        secrets: None,
        ca: None,
        changed: false,
        live: false,
        under_way: Vec::new(),
        act: "probe",
        abandoned: None,
    };
    run.converge().await;
    for (_, lock) in std::mem::take(&mut run.locks) {
        lock.release().await;
    }
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
            return self.refuse(refusal).await;
        }
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
        locked.extend(
            forecast
                .acts
                .iter()
                .map(|(host, ..)| host.clone())
                .filter(|h| settings.is_ours(h)),
        );
        locked.sort();
        locked.dedup();
        if !self.lock(&locked).await {
            return;
        }
        self.changed = true;
        self.begin("prepare", &pending).await;
        for host in pending {
            let member = self
                .state
                .view
                .hosts
                .get(&host)
                .is_some_and(|h| !h.kubernetes.traces.is_empty());
            let balances = shape.load_balancers.contains(&host);
            let disturbs = self
                .state
                .hosts
                .get(&host)
                .is_some_and(|h| h.plan.disturbs());
            if self.live && disturbs && (member || balances) {
                self.queue.push_back(host);
            } else {
                self.start_wave(&host);
            }
        }
        self.start_queued();
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

    async fn end_quietly(&mut self) {
        let settings = self.settings();
        let decision = cluster::next(settings.desired.shape(), &self.state.view);
        match decision {
            Decision::Fail { message, help } => {
                settings
                    .emit(Event::ClusterFailed {
                        message,
                        help: Some(help),
                    })
                    .await;
            }
            Decision::Refuse(refusal) => return self.refuse(refusal).await,
            Decision::Done { missing } => self.report_missing(missing).await,
            Decision::Do(_) | Decision::Wait => {}
        }
        self.keep_missing_kubeconfig().await;
        if let Some((summary, healthy)) = summary(&self.state) {
            settings.emit(Event::Cluster { summary, healthy }).await;
        }
    }

    /// The user's kubeconfig, where it is not there although the cluster is.
    async fn keep_missing_kubeconfig(&mut self) {
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

    /// Takes all locks, or says who holds one and gives the others back.
    async fn lock(&mut self, hosts: &[HostName]) -> bool {
        let settings = self.settings();
        let sessions: Vec<(HostName, Session)> = hosts
            .iter()
            .filter_map(|h| Some((h.clone(), self.state.hosts.get(h)?.session.clone()?)))
            .filter(|(h, _)| !self.locks.contains_key(h))
            .collect();
        let takes = sessions.into_iter().map(|(host, session)| {
            let settings = settings.clone();
            async move { (host, Lock::take(&session, &settings).await) }
        });
        let mut good = true;
        for (host, result) in futures::future::join_all(takes).await {
            match result {
                Ok(lock) => {
                    self.locks.insert(host, lock);
                }
                Err(problem) => {
                    good = false;
                    trouble(&settings, &host, problem).await;
                }
            }
        }
        good
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
        loop {
            let settings = self.settings();
            let stopping = settings.cancel.is_asked();
            if !stopping {
                let decision = cluster::next(settings.desired.shape(), &self.state.view);
                let idle = self.tasks.is_empty();
                match decision {
                    Decision::Do(acts) => {
                        if !self.start_acts(acts).await && idle {
                            return;
                        }
                    }
                    Decision::Refuse(refusal) if idle => return self.refuse(refusal).await,
                    Decision::Fail { message, help } if idle => {
                        settings
                            .emit(Event::ClusterFailed {
                                message,
                                help: Some(help),
                            })
                            .await;
                        return;
                    }
                    Decision::Done { missing } if idle => {
                        self.report_missing(missing).await;
                        return self.verify().await;
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
                Some(Ok(done)) => self.done(done).await,
                Some(Err(error)) => {
                    let message = format!("a task ended abnormally: {error}");
                    settings
                        .emit(Event::ClusterFailed {
                            message,
                            help: None,
                        })
                        .await;
                }
                None => return,
            }
        }
    }

    fn start_wave(&mut self, name: &HostName) {
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

    fn start_queued(&mut self) {
        let busy = |host: &HostName| self.state.hosts.get(host).is_some_and(|h| h.busy);
        if self.queue.front().is_some_and(busy) {
            return;
        }
        if let Some(host) = self.queue.front().cloned() {
            self.start_wave(&host);
        }
    }

    async fn done(&mut self, done: Done) {
        match done {
            Done::Wave { host, end } => self.wave_done(host, *end).await,
            Done::Act { act, end } => self.act_done(act, *end).await,
            Done::Looked { host, result } => self.looked(host, *result).await,
            Done::Vip(Ok(seen)) => {
                self.state.view.vip_checked = true;
                for (host, observed) in seen {
                    self.observe(&host, observed);
                }
            }
            Done::Vip(Err(message)) => {
                let help = "look at `journalctl -u keepalived` on the load balancers: do they hear each other's adverts (IP protocol 112)?";
                for host in &self.settings().desired.shape().load_balancers {
                    if let Some(state) = self.state.hosts.get_mut(host) {
                        state.standing = Standing::Failed(message.clone());
                    }
                    self.state.refresh(host);
                }
                self.settings()
                    .emit(Event::ClusterFailed {
                        message,
                        help: Some(help.into()),
                    })
                    .await;
            }
        }
    }

    async fn wave_done(&mut self, name: HostName, end: WaveEnd) {
        let queued = self.queue.front() == Some(&name);
        let Some(host) = self.state.hosts.get_mut(&name) else {
            return;
        };
        host.busy = false;
        for (step, status, rc, output) in &end.results {
            let result = StepResult { changed: *status == Status::Changed, rc: *rc, stdout: output.clone() };
            host.registered.record(step.title.clone(), *status, result);
        }
        let good = end.is_good();
        if let Some(problem) = &end.problem {
            if problem.trouble == crate::event::Trouble::Lost && self.again(&name) {
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

    fn stand(&mut self, name: &HostName, standing: Standing) {
        if let Some(host) = self.state.hosts.get_mut(name) {
            host.standing = standing;
        }
        self.state.refresh(name);
    }

    fn observe(&mut self, name: &HostName, observed: Observed) {
        if let Some(host) = self.state.hosts.get_mut(name) {
            host.observed.update(observed);
        }
        self.state.refresh(name);
        self.state.view.note_api(name);
    }

    fn again(&mut self, name: &HostName) -> bool {
        let count = self.retries.entry(name.clone()).or_default();
        *count += 1;
        *count <= RETRIES && !self.state.settings.cancel.is_asked()
    }

    /// After a lost channel: look again, never send again blindly.
    async fn look_again(&mut self, name: HostName) {
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

    async fn looked(&mut self, name: HostName, result: Result<(Session, Observed), Problem>) {
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

    /// Starts acts; returns whether one was started.
    async fn start_acts(&mut self, acts: Vec<Act>) -> bool {
        let mut started = false;
        for act in acts {
            let name = match &act {
                Act::CheckVip => "load balancer",
                Act::Init { .. } => "init",
                _ => "join",
            };
            let hosts: Vec<HostName> = act.host().cloned().into_iter().collect();
            let shown = if hosts.is_empty() {
                self.settings().desired.shape().load_balancers.clone()
            } else {
                hosts.clone()
            };
            self.begin(name, &shown).await;
            if act == Act::CheckVip {
                self.check_vip();
                started = true;
                continue;
            }
            if !self.lock(&hosts).await {
                for host in &hosts {
                    self.stand(host, Standing::Failed("its lock could not be taken".into()));
                }
                continue;
            }
            match self.steps(&act) {
                Ok(plan) => {
                    self.start_act(act, plan);
                    started = true;
                }
                Err(message) => {
                    for host in &hosts {
                        self.state.fail(host, &message).await;
                    }
                }
            }
        }
        started
    }

    /// Looks at the load balancers until exactly one holds the VIP.
    fn check_vip(&mut self) {
        let settings = self.settings();
        let sessions: Vec<(HostName, Session)> = settings
            .desired
            .shape()
            .load_balancers
            .iter()
            .filter_map(|h| Some((h.clone(), self.state.hosts.get(h)?.session.clone()?)))
            .collect();
        let known = self
            .state
            .view
            .vip_holders(&settings.desired.shape().load_balancers)
            .len();
        if known == 1 {
            // The waves' own last facts say so already: no further trip.
            self.tasks.spawn(async { Done::Vip(Ok(Vec::new())) });
            return;
        }
        let Some(vip) = settings.desired.vip() else {
            return;
        };
        self.tasks.spawn(async move {
            let deadline = Instant::now() + Duration::from_secs(VIP_SECONDS);
            loop {
                let looks = sessions.iter().map(|(host, session)| async move {
                    let observed = session
                        .probe(&Facts::from([crate::host::Fact::System]))
                        .await;
                    (host.clone(), observed)
                });
                let seen: Vec<(HostName, Observed)> = futures::future::join_all(looks)
                    .await
                    .into_iter()
                    .filter_map(|(h, o)| Some((h, o.ok()?)))
                    .collect();
                let holders: Vec<&str> = seen
                    .iter()
                    .filter(|(_, o)| o.interface_of(vip).is_some())
                    .map(|(h, _)| h.as_str())
                    .collect();
                if holders.len() == 1 {
                    return Done::Vip(Ok(seen));
                }
                if Instant::now() > deadline {
                    let who = if holders.is_empty() {
                        "no host".to_string()
                    } else {
                        holders.join(", ")
                    };
                    return Done::Vip(Err(format!(
                        "{vip} is to be on exactly one host; after {VIP_SECONDS} s it is on {who}"
                    )));
                }
                tokio::time::sleep(Duration::from_millis(300)).await;
            }
        });
    }

    fn secrets(&mut self) -> Result<Credentials, String> {
        if let Some(secrets) = &self.secrets {
            return Ok(secrets.clone());
        }
        let secrets = self.state.settings.desired.credentials()?;
        Ok(self.secrets.insert(secrets).clone())
    }

    fn steps(&mut self, act: &Act) -> Result<HostPlan, String> {
        let settings = self.settings();
        let desired = settings.desired.as_ref();
        let endpoint = desired.shape().endpoint.to_string();
        match act {
            Act::CheckVip => Ok(HostPlan::default()),
            Act::Init { host, resume } => {
                let secrets = self.secrets()?;
                let (config, digest) = desired.init(host, &secrets)?;
                let input = act::Init {
                    config: &config,
                    digest: &digest,
                    run: &settings.run,
                    endpoint: &endpoint,
                    manifests: desired.manifests(),
                    resume: *resume,
                };
                Ok(act::init(&input))
            }
            Act::Mint { host, certificates } => {
                // New ones: what an earlier run has brought may have expired.
                self.secrets = None;
                let secrets = self.secrets()?;
                let config: Secret<String> = desired.mint(host, &secrets)?;
                let id = secrets.token.id().to_string();
                Ok(act::mint(&config, &id, *certificates))
            }
            Act::JoinControlPlane { host, resume } | Act::JoinWorker { host, resume } => {
                let secrets = self.secrets()?;
                let ca = self
                    .ca
                    .clone()
                    .ok_or("the cluster's CA certificate is not known")?;
                let (config, digest) = desired.join(host, &secrets)?;
                let node = desired
                    .node(host)
                    .ok_or_else(|| format!("{host} has no cluster address"))?;
                let input = act::Join {
                    config: &config,
                    digest: &digest,
                    run: &settings.run,
                    endpoint: &endpoint,
                    ca: &ca,
                    control_plane: matches!(act, Act::JoinControlPlane { .. })
                        .then_some((node.0.as_str(), node.1)),
                    resume: *resume,
                };
                Ok(act::join(&input))
            }
            Act::Finish { host } => {
                let worker = desired.shape().workers.contains(host);
                Ok(act::finish(
                    if worker { "join-worker" } else { "join" },
                    &settings.run,
                    &desired.digest(host),
                ))
            }
        }
    }

    fn start_act(&mut self, act: Act, plan: HostPlan) {
        let settings = self.settings();
        let Some(name) = act.host().cloned() else {
            return;
        };
        let Some(host) = self.state.hosts.get_mut(&name) else {
            return;
        };
        let Some(session) = host.session.clone() else {
            return;
        };
        host.busy = true;
        self.state.refresh(&name);
        self.tasks.spawn(async move {
            let facts = cluster_facts(settings.desired.as_ref(), &name);
            let end = session.wave(&plan, &facts, |_, _| Ok(Status::Ok)).await;
            Done::Act {
                act,
                end: Box::new(end),
            }
        });
    }

    async fn act_done(&mut self, act: Act, end: WaveEnd) {
        let settings = self.settings();
        let Some(name) = act.host().cloned() else {
            return;
        };
        if let Some(host) = self.state.hosts.get_mut(&name) {
            host.busy = false;
        }
        self.take_outputs(&name, &end).await;
        if let Some(problem) = end.problem {
            if problem.trouble == crate::event::Trouble::Lost && self.again(&name) {
                return self.look_again(name).await;
            }
            self.stand(&name, Standing::Failed(problem.message.clone()));
            return trouble(&settings, &name, problem).await;
        }
        if let Some((title, _)) = &end.failed {
            return self.stand(&name, Standing::Failed(format!("`{title}` failed")));
        }
        if end.stopped {
            self.under_way.push(name.clone());
            return self.stand(
                &name,
                Standing::Failed("stopped at a step's boundary".into()),
            );
        }
        if let Some(observed) = end.observed {
            self.observe(&name, observed);
        }
        match act {
            Act::Init { .. } | Act::Mint { .. } => self.state.view.token = true,
            Act::JoinControlPlane { .. } | Act::JoinWorker { .. } => {
                if let Some(host) = self.state.hosts.get_mut(&name) {
                    host.joined = true;
                }
            }
            Act::CheckVip | Act::Finish { .. } => {}
        }
        self.state.refresh(&name);
    }

    /// Takes what a wave brought back for the controller.
    async fn take_outputs(&mut self, name: &HostName, end: &WaveEnd) {
        if let Some(ca) = end.output(act::CA_CERTIFICATE) {
            self.ca = Some(ca.to_string());
        }
        if let Some(admin) = end.output(act::ADMIN_CONF) {
            let settings = self.settings();
            if let Err(message) = settings.desired.keep_kubeconfig(admin) {
                let message = format!("the kubeconfig could not be kept: {message}");
                settings
                    .emit(Event::Warning {
                        host: Some(name.clone()),
                        message,
                    })
                    .await;
            }
        }
    }

    async fn report_missing(&self, missing: Vec<(HostName, String)>) {
        for (host, reason) in missing {
            // A host in trouble has said so itself.
            let told =
                self.state.hosts.get(&host).is_some_and(|h| {
                    matches!(h.standing, Standing::Unknown(_) | Standing::Failed(_))
                });
            let settings = self.settings();
            if told {
                continue;
            }
            let message = format!("{host} is not in the cluster: {reason}");
            settings
                .emit(Event::Refused {
                    hosts: vec![host],
                    message,
                    help: None,
                })
                .await;
        }
    }

    /// Waits on a control plane until the cluster is whole, and says how it is.
    async fn verify(&mut self) {
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
        if end.failed.is_some() {
            return;
        }
        self.keep_missing_kubeconfig().await;
        if let Some((summary, healthy)) = summary(&self.state) {
            settings.emit(Event::Cluster { summary, healthy }).await;
        }
    }

    async fn refuse(&self, refusal: cluster::next::Refusal) {
        let event = Event::Refused {
            hosts: refusal.hosts,
            message: refusal.message,
            help: Some(refusal.help),
        };
        self.settings().emit(event).await;
    }
}

