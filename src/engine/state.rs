//! All hosts of a run as they were last seen.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::time::Instant;

use futures::StreamExt as _;
use indexmap::IndexMap;

use super::health::{self, KUBELET};
use super::look::probing;
use super::session::{Problem, Session};
use super::settings::APPLY;
use super::{Desired, Settings};
use crate::cluster::act::Manifest;
use crate::cluster::{HostView, Standing, View, migrate};
use crate::event::Event;
use crate::host::{AddonState, Fact, Facts, Observed};
use crate::model::HostName;
use crate::plan::HostPlan;
use crate::role::Registered;

/// The run that shows what of the load balancer runs, and so asks for it.
const STATUS: &str = "status";

/// One host of a run.
pub(super) struct HostState {
    pub(super) session: Option<Session>,
    pub(super) observed: Observed,
    pub(super) registered: Registered,
    /// The next wave by the host's roles.
    pub(super) plan: HostPlan,
    pub(super) standing: Standing,
    pub(super) busy: bool,
    pub(super) joined: bool,
    /// Whether a wave that disturbed ended before its gate, behind a failure that was caught.
    pub(super) ungated: bool,
    /// Titles of the tasks whose word was passed on.
    pub(super) told: BTreeSet<String>,
    pub(super) started: Instant,
}

/// All hosts, and what the workflow decides on.
pub(super) struct State {
    pub(super) settings: Settings,
    pub(super) hosts: IndexMap<HostName, HostState>,
    pub(super) view: View,
}

/// Returns what is asked of a host: what its roles need, and what the workflow needs.
pub(super) fn facts(desired: &dyn Desired, host: &HostName) -> Facts {
    let mut facts = desired.facts(host);
    facts.extend(cluster_facts(desired, host));
    facts
}

/// Returns what the workflow needs to know of a host.
pub(super) fn cluster_facts(desired: &dyn Desired, host: &HostName) -> Facts {
    let mut facts = Facts::from([Fact::System]);
    if desired.shape().has(host) {
        facts.insert(Fact::Additions);
    }
    if let Some((node, address, port)) = desired.node(host) {
        facts.insert(Fact::Kubernetes {
            address,
            port,
            node,
        });
        // At the end of an act too: what it was before kubeadm says nothing any more.
        facts.insert(Fact::Unit(KUBELET.into()));
        if desired.is_external() {
            facts.insert(Fact::Endpoint(desired.shape().endpoint.clone()));
        }
    }
    // How its load balancer is decides whether another one may be touched, and whether anybody may join.
    let parts = desired.balancers(host).into_iter();
    facts.extend(parts.map(|(_, fact)| fact));
    facts
}

/// Returns the questions for the inventory's manifests, for one control plane.
pub(super) fn addons(desired: &dyn Desired, host: &HostName) -> Facts {
    let Some((_, address, port)) = desired.node(host) else {
        return Facts::new();
    };
    let addon = |manifest: &Manifest| Fact::Addon {
        server: format!("{address}:{port}"),
        name: manifest.name.clone(),
        url: match manifest.text {
            Some(_) => String::new(),
            None => manifest.name.clone(),
        },
        text: manifest.text.clone().unwrap_or_default(),
    };
    desired.manifests().iter().map(addon).collect()
}

/// Returns the question of who answers at the address that is to be the cluster's own: for a run's first look alone.
fn claimed(desired: &dyn Desired, host: &HostName) -> Option<Fact> {
    let shape = desired.shape();
    let address = desired.vip()?;
    shape
        .load_balancers
        .contains(host)
        .then_some(Fact::Claimed {
            address,
            port: shape.endpoint.port(),
        })
}

impl State {
    /// Connects to the hosts of the run, asks each once, and plans its wave. Where no API server answers and the run may
    /// begin a cluster, the hosts left out by `--limit` are asked too: one of them may belong to a cluster already.
    pub(super) async fn look(settings: &Settings) -> Self {
        let mut state = Self {
            settings: settings.clone(),
            hosts: IndexMap::new(),
            view: View::default(),
        };
        state.look_at(settings.asked()).await;
        let shape = settings.desired.shape();
        let may_begin = shape.control_planes.iter().any(|h| settings.is_ours(h));
        if settings.command != STATUS && may_begin && state.view.api.is_none() {
            // What is no part of the cluster says nothing about it.
            let unseen = |host: &&HostName| shape.has(host) && !state.hosts.contains_key(*host);
            let unseen: Vec<HostName> = settings.targets.keys().filter(unseen).cloned().collect();
            if !unseen.is_empty() {
                probing(settings, unseen.clone()).await;
                state.look_at(unseen).await;
            }
        }
        if settings.command == APPLY {
            state.await_api().await;
        }
        // When all were looked at: what one is to do may hang on what another one is like.
        let names: Vec<HostName> = state.hosts.keys().cloned().collect();
        let is_whole = state.view.is_whole(shape);
        for name in &names {
            if let Err(message) = state.plan_where(name, is_whole) {
                state.fail_as(name, Problem::unfit(message)).await;
            }
        }
        if settings.command != STATUS {
            state.look_at_addons().await;
        }
        state
    }

    /// Asks one control plane how the manifests are that the inventory names: one exec more, and only there.
    async fn look_at_addons(&mut self) {
        let desired = self.settings.desired.clone();
        let Some((name, _)) = self.view.api().filter(|_| !desired.manifests().is_empty()) else {
            return;
        };
        let name = name.clone();
        let facts = addons(desired.as_ref(), &name);
        let Some(session) = self.hosts.get(&name).and_then(|h| h.session.clone()) else {
            return;
        };
        let mut cancel = self.settings.cancel.clone();
        let seen = tokio::select! {
            seen = session.probe(&facts) => seen,
            () = cancel.asked() => return,
        };
        match seen {
            Ok(seen) => self.view.addons = seen.addons,
            Err(problem) => {
                let unknown = AddonState::Unknown(problem.message);
                let manifests = self.settings.desired.manifests().iter();
                let names = manifests.map(|m| (m.name.clone(), unknown.clone()));
                self.view.addons = names.collect();
            }
        }
    }

    async fn look_at(&mut self, names: Vec<HostName>) {
        let settings = self.settings.clone();
        let targets = names.iter().filter_map(|name| settings.targets.get(name));
        let looks = targets.cloned().map(|target| {
            let settings = settings.clone();
            async move {
                let started = Instant::now();
                let looked = async {
                    let session = Session::open(&settings, &target).await?;
                    let mut facts = facts(settings.desired.as_ref(), &target.name);
                    facts.extend(claimed(settings.desired.as_ref(), &target.name));
                    if settings.command != STATUS {
                        facts.extend(settings.desired.preflight_facts(&target.name));
                    }
                    let mut observed = session.probe(&facts).await?;
                    // What the host is may say what else there is to ask.
                    let all = settings.desired.learn(&target.name, &observed);
                    let more: Facts = all.difference(&facts).cloned().collect();
                    if !more.is_empty() {
                        observed.update(session.probe(&more).await?);
                    }
                    if !settings.is_asked_again(&target.name) {
                        session.close().await;
                    }
                    Ok::<_, Problem>((session, observed))
                };
                let mut cancel = settings.cancel.clone();
                let result = tokio::select! {
                    result = looked => Some(result),
                    () = cancel.asked() => None,
                };
                (target.name, started, result)
            }
        });
        let mut stream = futures::stream::iter(looks).buffer_unordered(settings.forks.max(1));
        while let Some((name, started, result)) = stream.next().await {
            let mut state = HostState::new(started);
            match result {
                Some(Ok((session, observed))) => {
                    state.session = Some(session);
                    state.observed = observed;
                    state.standing = Standing::Prepared;
                }
                Some(Err(problem)) => {
                    state.standing = Standing::Unknown(problem.message.clone());
                    trouble(&settings, &name, problem).await;
                }
                None => state.standing = Standing::Unknown("the run was interrupted".into()),
            }
            self.hosts.insert(name, state);
        }
        drop(stream);
        let place = |name: &HostName| settings.targets.get_index_of(name);
        self.hosts.sort_by(|a, _, b, _| place(a).cmp(&place(b)));
        // What one host is to do may hang on what another one is like.
        for name in &names {
            self.refresh(name);
        }
        self.view
            .hosts
            .sort_by(|a, _, b, _| place(a).cmp(&place(b)));
        self.view.choose_api();
    }

    /// Returns the sessions of those hosts that are connected.
    pub(super) fn sessions_of(&self, hosts: &[HostName]) -> Vec<(HostName, Session)> {
        let session = |host: &HostName| self.hosts.get(host)?.session.clone();
        let with = |host: &HostName| Some((host.clone(), session(host)?));
        hosts.iter().filter_map(with).collect()
    }

    /// Plans the host's next wave from what is known of it.
    pub(super) fn plan(&mut self, name: &HostName) -> Result<(), String> {
        let is_whole = self.view.is_whole(self.settings.desired.shape());
        self.plan_where(name, is_whole)
    }

    fn plan_where(&mut self, name: &HostName, is_whole: bool) -> Result<(), String> {
        let all = self.settings.command != APPLY;
        if let Some(host) = self.hosts.get_mut(name) {
            host.registered.is_whole = is_whole;
        }
        if let Some(plan) = self.planned(name, all)?
            && let Some(host) = self.hosts.get_mut(name)
        {
            host.plan = plan;
        }
        Ok(())
    }

    /// Returns what `plan` would say of a host that was read; `None` of one that was not, or that cannot be planned and has
    /// said so.
    pub(super) fn whole_plan(&self, name: &HostName) -> Option<Cow<'_, HostPlan>> {
        let host = self.hosts.get(name).filter(|h| h.session.is_some())?;
        if matches!(host.standing, Standing::Failed(_)) {
            return None;
        }
        if self.moves(name) {
            return Some(Cow::Owned(self.planned(name, true).ok()??));
        }
        Some(Cow::Borrowed(&host.plan))
    }

    /// Returns whether a move of the load balancer is under way that the host takes part in.
    fn moves(&self, name: &HostName) -> bool {
        let shape = self.settings.desired.shape();
        shape.load_balancers.contains(name) && migrate::under_way(shape, &self.view)
    }

    /// Returns the host's next wave; `None` where it was not read. `all` asks for all that a move of the load balancer comes
    /// to, not only for what is done before it.
    fn planned(&self, name: &HostName, all: bool) -> Result<Option<HostPlan>, String> {
        let desired = &self.settings.desired;
        let carries = desired.shape().load_balancers.contains(name);
        let Some(host) = self.hosts.get(name).filter(|h| h.session.is_some()) else {
            return Ok(None);
        };
        if carries && migrate::is_vacant(desired.shape(), &self.view) {
            let plan = desired.fresh(name, &host.observed, &host.registered)?;
            return Ok(Some(plan));
        }
        let moves = self.moves(name);
        if carries
            && self.view.api.is_none()
            && let Some(message) = self.view.hosts.get(name).and_then(migrate::without_cluster)
        {
            return Err(message);
        }
        let plan = if moves && !all {
            desired.ready(name, &host.observed, &host.registered)?
        } else {
            desired.plan(name, &host.observed, &host.registered)?
        };
        Ok(Some(plan))
    }

    /// Brings the workflow's view of a host up to date.
    pub(super) fn refresh(&mut self, name: &HostName) {
        let desired = &self.settings.desired;
        let Some(host) = self.hosts.get(name) else {
            return;
        };
        let holds_vip = desired
            .vip()
            .is_some_and(|vip| host.observed.interface_of(vip).is_some());
        // A load balancer that runs already may be met by that of a host which was not looked at.
        let seen = |n: &HostName| self.hosts.get(n).is_some_and(|h| h.session.is_some());
        let balances = desired
            .balancers(name)
            .into_iter()
            .any(|(_, fact)| match fact {
                Fact::Unit(unit) => host.observed.unit(&unit).is(|unit| unit.is_active()),
                _ => false,
            });
        let sure = !balances || desired.shape().load_balancers.iter().all(seen);
        let kubernetes = host.observed.kubernetes.clone().unwrap_or_default();
        // Nothing of the desired state changes in a run: the same facts come to the same differences.
        let earlier = self.view.hosts.get(name);
        let (drift, cluster_drift) = match earlier.filter(|view| view.kubernetes == kubernetes) {
            Some(view) => (view.drift.clone(), view.cluster_drift.clone()),
            None => desired.drift(name, &kubernetes),
        };
        let view = HostView {
            standing: host.standing.clone(),
            kubernetes,
            address: desired.node(name).map(|(_, address, _)| address),
            ours: self.settings.is_ours(name),
            holds_vip,
            vip_answered_by: host.observed.claimed_by.clone().filter(|_| sure),
            reach: host.observed.reach,
            silent: health::silent(self, name),
            links: host.observed.system.links.clone(),
            config: desired.digest(name),
            credential_due: desired.credential_due(name, &host.observed),
            busy: host.busy,
            // What was not asked this time is as it was.
            moving: desired
                .moving(name, &host.observed)
                .or_else(|| Some(self.view.hosts.get(name)?.moving.clone()))
                .unwrap_or_default(),
            drift,
            cluster_drift,
            joined: host.joined,
        };
        self.view.hosts.insert(name.clone(), view);
    }

    /// Reports that a host failed for a reason of its own.
    pub(super) async fn fail(&mut self, name: &HostName, message: &str) {
        let problem = Problem {
            trouble: crate::event::Trouble::Stuck,
            message: message.into(),
            help: None,
        };
        self.fail_as(name, problem).await;
    }

    async fn fail_as(&mut self, name: &HostName, problem: Problem) {
        if let Some(host) = self.hosts.get_mut(name) {
            host.standing = Standing::Failed(problem.message.clone());
        }
        self.refresh(name);
        trouble(&self.settings, name, problem).await;
    }

    /// Says of each host that was looked at how many of its tasks need nothing, and which; and what its tasks have to say.
    pub(super) async fn report_unchanged(&mut self, names: impl Iterator<Item = HostName>) {
        let names: Vec<HostName> = names.collect();
        for name in &names {
            let reached = match self.settings.command == APPLY {
                true => 0,
                false => usize::MAX,
            };
            self.tell(name, reached).await;
        }
        let mut alike: IndexMap<&[String], Vec<HostName>> = IndexMap::new();
        for name in names {
            if let Some(host) = self.hosts.get(&name).filter(|h| h.session.is_some()) {
                if !host.plan.as_written.is_empty() {
                    let hosts = alike.entry(&host.plan.as_written).or_default();
                    hosts.push(name.clone());
                }
                let event = Event::Unchanged {
                    host: name,
                    ok: host.plan.ok,
                    skipped: host.plan.skipped,
                    // For a plan's file; an apply shows what it does.
                    unshown: host.plan.unshown.filter(|_| self.settings.command != APPLY),
                };
                self.settings.emit(event).await;
            }
        }
        for (titles, hosts) in alike {
            let titles = titles.to_vec();
            let event = Event::AsWritten { hosts, titles };
            self.settings.emit(event).await;
        }
    }

    /// Passes on what the host's tasks have to say, once each: those that are reached when so many steps are done.
    pub(super) async fn tell(&mut self, name: &HostName, done: usize) {
        let Some(host) = self.hosts.get_mut(name) else {
            return;
        };
        let notes = host.plan.notes.iter();
        let told = &mut host.told;
        let new: Vec<_> = notes
            .filter(|note| note.after <= done && told.insert(note.title.clone()))
            .collect();
        for note in new {
            let event = Event::Output {
                host: name.clone(),
                stderr: false,
                line: format!("{}: {}", note.title, note.text),
            };
            self.settings.emit(event).await;
        }
    }

    /// Closes all connections and says of each host that it is done.
    pub(super) async fn close(&mut self) {
        let sessions = self.hosts.values().filter_map(|h| h.session.clone());
        futures::future::join_all(sessions.map(|s| async move { s.close().await })).await;
        for (name, host) in &self.hosts {
            let seconds = host.started.elapsed().as_secs_f64();
            self.settings
                .emit(Event::HostFinished {
                    host: name.clone(),
                    seconds,
                })
                .await;
        }
    }
}

impl HostState {
    fn new(started: Instant) -> Self {
        Self {
            session: None,
            observed: Observed::default(),
            registered: Registered::default(),
            plan: HostPlan::default(),
            standing: Standing::Unknown("it was not looked at".into()),
            busy: false,
            joined: false,
            ungated: false,
            told: BTreeSet::new(),
            started,
        }
    }
}

/// Reports what went wrong with a host.
pub(super) async fn trouble(settings: &Settings, host: &HostName, problem: Problem) {
    let event = Event::HostTrouble {
        host: host.clone(),
        trouble: problem.trouble,
        message: problem.message,
        help: problem.help,
    };
    settings.emit(event).await;
}
