//! What the workflow decided, started on its host, and what comes of it.

use std::net::IpAddr;
use std::time::Duration;

use tokio::time::Instant;

use super::super::session::{Problem, Session, WaveEnd};
use super::super::state::{addons, cluster_facts, facts, trouble};
use super::{Done, Run};
use crate::cluster::kubeadm::Credentials;
use crate::cluster::load_balancer::Holders;
use crate::cluster::{self, Act, Standing, act, drift, migrate};
use crate::event::{Event, Status, Trouble};
use crate::host::{Fact, Facts, Observed};
use crate::model::{HostName, Secret};
use crate::plan::HostPlan;

/// How long exactly one load balancer may take to hold the VIP: three adverts and an election, many times over.
const VIP_SECONDS: u64 = 30;

impl Run {
    /// Starts acts; returns whether something is under way because of them.
    pub(super) async fn start_acts(&mut self, acts: Vec<Act>) -> bool {
        if self.checking {
            return true;
        }
        let mut started = false;
        for act in acts {
            let name = match &act {
                Act::CheckVip => "load balancer",
                Act::Init { .. } => "init",
                Act::Sign { .. } | Act::Release { .. } | Act::Switch { .. } => "load balancer",
                act if rolls(act) => "roll out",
                Act::Apply { .. } => "manifests",
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
                return true;
            }
            if !self.lock(&self.to_lock(&act)).await {
                for host in &hosts {
                    self.stand(host, Standing::Failed("a lock could not be taken".into()));
                }
                continue;
            }
            // What was decided on may be done by now.
            if !self.outwaited.is_empty() {
                for host in self.look_at_the_outwaited().await {
                    self.dispatch(&host).await;
                }
                return started || !self.tasks.is_empty();
            }
            if self.check_control_planes(&act) {
                return true;
            }
            match self.steps(&act) {
                Ok(plan) => started |= self.start_act(act, plan),
                Err(message) => {
                    for host in &hosts {
                        self.state.fail(host, &message).await;
                    }
                }
            }
        }
        started
    }

    /// Who changes the control plane's membership holds all control planes: two runs with different limits must meet.
    fn to_lock(&self, act: &Act) -> Vec<HostName> {
        let mut hosts: Vec<HostName> = act.host().cloned().into_iter().collect();
        let shape = self.state.settings.desired.shape();
        // Where one control plane is written anew, no other run may do the same to the next.
        if changes_membership(act) || rolls(act) {
            hosts.extend(shape.control_planes.clone());
        }
        if moves(act) {
            hosts.extend(shape.load_balancers.clone());
        }
        hosts.sort();
        hosts.dedup();
        hosts
    }

    /// Before membership changes: looks again at control planes that were last seen before their lock was held, because
    /// another run may have come to its end in between. Returns whether there were any.
    fn check_control_planes(&mut self, act: &Act) -> bool {
        let begins = moves(act) && !self.moved;
        if !changes_membership(act) && !begins {
            return false;
        }
        self.moved |= begins;
        let settings = self.settings();
        let stale: Vec<(HostName, Session)> = self
            .to_lock(act)
            .into_iter()
            .filter(|host| begins || !self.certain.contains(host))
            .filter_map(|host| {
                let session = self.state.hosts.get(&host)?.session.clone()?;
                Some((host, session))
            })
            .collect();
        if stale.is_empty() {
            return false;
        }
        self.checking = true;
        self.tasks.spawn(async move {
            let looks = stale.into_iter().map(|(host, session)| {
                let desired = settings.desired.as_ref();
                let facts = match begins {
                    true => facts(desired, &host),
                    false => cluster_facts(desired, &host),
                };
                async move { (host, session.probe(&facts).await) }
            });
            Done::Checked(futures::future::join_all(looks).await)
        });
        true
    }

    pub(super) async fn checked(&mut self, seen: Vec<(HostName, Result<Observed, Problem>)>) {
        self.checking = false;
        for (host, result) in seen {
            match result {
                Ok(observed) => {
                    self.observe(&host, observed);
                    // Once: a lock that is lost again and again must not make this go round for ever.
                    self.certain.insert(host);
                }
                Err(problem) => {
                    if let Some(state) = self.state.hosts.get_mut(&host) {
                        state.session = None;
                    }
                    self.stand(&host, Standing::Unknown(problem.message.clone()));
                    trouble(&self.settings(), &host, problem).await;
                }
            }
        }
        self.state.view.choose_api();
    }

    /// Looks at the load balancers until exactly one holds the VIP.
    fn check_vip(&mut self) {
        let settings = self.settings();
        self.checking = true;
        let balancers = settings.desired.shape().load_balancers.clone();
        let known = self.state.view.vip_holders(&balancers).len();
        let vip = settings.desired.vip().filter(|_| known != 1);
        let Some(vip) = vip else {
            // The waves' own last facts say so already, or there is no address of ours: no further trip.
            self.tasks.spawn(async { Done::Vip(Ok(Vec::new())) });
            return;
        };
        let sessions = self.state.sessions_of(&balancers);
        let mut cancel = settings.cancel.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                result = held(vip, &sessions, Holders::One) => Done::Vip(result),
                // Nothing is decided any more: what is said here does not matter.
                () = cancel.asked() => Done::Vip(Ok(Vec::new())),
            }
        });
    }

    /// Where the VIP comes up with the cluster, it is looked for when the cluster is whole: on all its hosts at once,
    /// because what their waves saw of it is of different times.
    pub(super) async fn vip_is_up(&mut self) -> Result<(), String> {
        let settings = self.settings();
        let shape = settings.desired.shape();
        // What waves of different moments saw of an address that moved may add up to none, or to two.
        let certain = self.state.view.vip_holders(&shape.load_balancers).len() == 1;
        let looked = shape.vip_before_init && !self.moved && certain;
        let Some(vip) = settings.desired.vip().filter(|_| !looked) else {
            return Ok(());
        };
        let sessions = self.state.sessions_of(&shape.load_balancers);
        let mut cancel = settings.cancel.clone();
        let seen = tokio::select! {
            seen = held(vip, &sessions, settings.desired.holders()) => seen?,
            () = cancel.asked() => return Ok(()),
        };
        for (host, observed) in seen {
            self.observe(&host, observed);
        }
        Ok(())
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
        let marker = act.host().and_then(|host| {
            let host = self.state.view.hosts.get(host)?;
            host.kubernetes.marker.clone()
        });
        let seen = marker.as_ref();
        // What it has left by now is the host's to say: an earlier run's kubeadm may still be at work.
        let begun = |act: &str| seen.is_some_and(|m| m.act == act && !m.done);
        match act {
            Act::CheckVip => Ok(HostPlan::default()),
            Act::Init { host, .. } => {
                let secrets = self.secrets()?;
                let (config, digest) = desired.init(host, &secrets)?;
                let made_from = desired.made_from(host)?;
                let input = act::Init {
                    made_from: &made_from,
                    config: &config,
                    digest: &digest,
                    run: &settings.run,
                    endpoint: &endpoint,
                    manifests: desired.manifests(),
                    resume: begun("init"),
                    seen,
                };
                let mut plan = act::init(&input);
                // Its own address answers it; the others reach the endpoint over routers, or not at all.
                if desired.holders() == Holders::Each {
                    plan.steps.extend(desired.settled(host));
                }
                Ok(plan)
            }
            Act::Mint { host, certificates } => {
                // New ones: what an earlier run has brought may have expired.
                self.secrets = None;
                let secrets = self.secrets()?;
                let config: Secret<String> = desired.mint(host, &secrets)?;
                let id = secrets.token.id().to_string();
                Ok(act::mint(&config, &id, *certificates))
            }
            Act::JoinControlPlane { host, .. } | Act::JoinWorker { host, .. } => {
                let secrets = self.secrets()?;
                let ca = self
                    .ca
                    .clone()
                    .ok_or("the cluster's CA certificate is not known")?;
                let (config, digest) = desired.join(host, &secrets)?;
                let node = desired
                    .node(host)
                    .ok_or_else(|| format!("{host} has no cluster address"))?;
                let api = self.state.view.api();
                let kept = api.and_then(|(_, api)| api.cluster_configuration.as_deref());
                let made_from = kept.and_then(drift::digest_of_text);
                let input = act::Join {
                    made_from: made_from.as_deref(),
                    config: &config,
                    digest: &digest,
                    run: &settings.run,
                    endpoint: &endpoint,
                    ca: &ca,
                    control_plane: matches!(act, Act::JoinControlPlane { .. })
                        .then_some((node.1.as_str(), node.2)),
                    resume: begun("join") || begun("join-worker"),
                    seen,
                };
                Ok(act::join(&input))
            }
            Act::Sign { host } => desired.sign(host),
            Act::Apply { manifests, .. } => Ok(act::apply_again(desired.manifests(), manifests)),
            Act::Upload { host }
            | Act::RollOut { host }
            | Act::Kubelet { host }
            | Act::Mark { host, .. } => {
                let mut plan = desired.bring_back(act, &self.state.view, self.observed(host)?)?;
                if plan.disturbs() {
                    plan.gates.extend(self.gate(host));
                }
                Ok(plan)
            }
            Act::Release { host, bridged } => desired.release(host, self.observed(host)?, *bridged),
            Act::Switch { host, holds } => {
                let mut plan = desired.switch(host, self.observed(host)?, *holds)?;
                plan.gates.extend(self.gate(host));
                Ok(plan)
            }
            Act::Finish { host } => {
                let worker = desired.shape().workers.contains(host);
                Ok(act::finish(
                    if worker { "join-worker" } else { "join" },
                    &settings.run,
                    &desired.digest(host),
                    seen,
                ))
            }
        }
    }

    fn start_act(&mut self, act: Act, plan: HostPlan) -> bool {
        let settings = self.settings();
        let Some(name) = act.host().cloned() else {
            return false;
        };
        let session = self.state.hosts.get(&name).and_then(|h| h.session.clone());
        let Some(session) = session else {
            self.stand(&name, Standing::Unknown("there is no connection".into()));
            self.state.view.choose_api();
            return false;
        };
        if let Some(host) = self.state.hosts.get_mut(&name) {
            host.busy = true;
        }
        self.state.refresh(&name);
        let again = self.is_prepared_again(&name) || moves(&act);
        self.tasks.spawn(async move {
            let desired = settings.desired.as_ref();
            let mut facts = match again {
                true => facts(desired, &name),
                false => cluster_facts(desired, &name),
            };
            if matches!(act, Act::Apply { .. }) {
                facts.extend(addons(desired, &name));
            }
            let end = session.wave(&plan, &facts, |_, _| Ok(Status::Ok)).await;
            Done::Act {
                act,
                end: Box::new(end),
            }
        });
        true
    }

    pub(super) async fn act_done(&mut self, act: Act, end: WaveEnd) {
        let settings = self.settings();
        let Some(name) = act.host().cloned() else {
            return;
        };
        if let Some(host) = self.state.hosts.get_mut(&name) {
            host.busy = false;
        }
        self.take_outputs(&name, &end).await;
        if matches!(act, Act::Apply { .. }) && !end.is_good() {
            // Nor will another control plane be told something else.
            self.state.view.addons.clear();
        }
        if changes_membership(&act) && !end.is_good() {
            // It may have left a learner in etcd that no API server's last word knows of.
            self.certain.clear();
        }
        if let Some(problem) = end.problem {
            if problem.trouble == Trouble::Lost && self.again(&name) {
                return self.look_again(name, "the connection was lost").await;
            }
            self.stand(&name, Standing::Failed(problem.message.clone()));
            return trouble(&settings, &name, problem).await;
        }
        if let Some((title, _)) = &end.failed {
            return self.stand(&name, Standing::Failed(format!("`{title}` failed")));
        }
        if end.stopped {
            return self.interrupted(&name).await;
        }
        match &act {
            // Who attached to another run's kubeadm has brought no token of his own into the cluster.
            Act::Init { .. } => {
                let own = act::started_by(&settings.run);
                let said = end.output(act::KUBEADM).unwrap_or_default();
                self.state.view.token = said.contains(&own);
                // From here on there is somebody whom a disturbed load balancer disturbs.
                self.live = true;
            }
            Act::Mint { .. } => self.state.view.token = true,
            Act::JoinControlPlane { .. } | Act::JoinWorker { .. } => {
                if let Some(host) = self.state.hosts.get_mut(&name) {
                    host.joined = true;
                }
            }
            Act::CheckVip
            | Act::Sign { .. }
            | Act::Upload { .. }
            | Act::RollOut { .. }
            | Act::Kubelet { .. }
            | Act::Mark { .. }
            | Act::Apply { .. }
            | Act::Release { .. }
            | Act::Switch { .. }
            | Act::Finish { .. } => {}
        }
        let Some(observed) = end.observed else {
            return self.without_facts(name).await;
        };
        if matches!(act, Act::Apply { .. }) {
            self.state.view.addons = observed.addons.clone();
        }
        self.observe(&name, observed);
        if matches!(act, Act::Sign { .. }) {
            let due = |h: &crate::cluster::HostView| h.credential_due.clone();
            if let Some(why) = self.state.view.hosts.get(&name).and_then(due) {
                let message =
                    format!("a kubeconfig was signed, and yet: {why}; is the clock right?");
                return self.state.fail(&name, &message).await;
            }
        }
        if let Some(what) = self.unmended(&act) {
            self.state.view.addons.clear();
            let done = match act {
                Act::Apply { .. } => "applied",
                _ => "rolled out",
            };
            let message = format!("it was {done}, and yet: {what}");
            return self.state.fail(&name, &message).await;
        }
        if let Act::Mark { nodes, .. } = &act {
            self.forget_nodes(nodes);
        }
        if moves(&act) {
            return self.moved_on(&name).await;
        }
        if self.is_prepared_again(&name) {
            self.prepare_again(&name).await;
        }
    }

    /// What Nodes said of themselves is over; the next run asks again.
    fn forget_nodes(&mut self, nodes: &[HostName]) {
        for name in nodes {
            let host = self.state.hosts.get_mut(name);
            if let Some(seen) = host.and_then(|h| h.observed.kubernetes.as_mut()) {
                seen.own_node = None;
            }
            self.state.refresh(name);
        }
    }

    /// What an act was to bring back, and has not. A Node's own word is not heard anew on another host.
    fn unmended(&self, act: &Act) -> Option<String> {
        let view = &self.state.view;
        let told = |found: Vec<&drift::Difference>| {
            let all: Vec<String> = found.iter().map(ToString::to_string).collect();
            (!all.is_empty()).then(|| all.join("; "))
        };
        let left = |host: &HostName, part| {
            let host = view.hosts.get(host)?;
            told(drift::stage::due(&host.drift, part).collect())
        };
        match act {
            Act::Upload { .. } => told(view.cluster_drift().iter().collect()),
            Act::RollOut { host } => left(host, drift::stage::Part::ControlPlane),
            Act::Kubelet { host } => left(host, drift::stage::Part::Kubelet),
            Act::Apply { .. } => {
                let left = cluster::addons::due(view);
                let left: Vec<String> = left
                    .map(|(name, said)| format!("{name}: {}", cluster::addons::told(said)))
                    .collect();
                (!left.is_empty()).then(|| left.join("; "))
            }
            _ => None,
        }
    }

    /// After a step of a move: when it was the last one, all hosts are brought up with the new way.
    async fn moved_on(&mut self, name: &HostName) {
        if self.is_moving(name) {
            let message =
                "the old load balancer was taken down, and yet something of it is there again";
            return self.state.fail(name, message).await;
        }
        self.bring_up().await;
    }

    /// Whether the host was seen in a move.
    pub(super) fn is_moving(&self, name: &HostName) -> bool {
        let host = self.state.view.hosts.get(name);
        host.is_some_and(migrate::is_moving)
    }

    /// When nothing is left of a move, brings all hosts up with the new way. Returns whether it did.
    pub(super) async fn bring_up(&mut self) -> bool {
        let settings = self.settings();
        let shape = settings.desired.shape();
        if migrate::under_way(shape, &self.state.view) {
            return false;
        }
        for host in &shape.load_balancers {
            self.prepare_again(host).await;
        }
        true
    }

    fn observed(&self, name: &HostName) -> Result<&Observed, String> {
        let host = self.state.hosts.get(name);
        let host = host.ok_or_else(|| format!("{name} was not looked at"))?;
        Ok(&host.observed)
    }

    /// Takes what a wave brought back for the controller.
    pub(super) async fn take_outputs(&mut self, name: &HostName, end: &WaveEnd) {
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
}

/// Returns whether the act is a step of a move between two ways of the load balancer.
fn moves(act: &Act) -> bool {
    matches!(act, Act::Release { .. } | Act::Switch { .. })
}

/// Returns whether the act brings kubeadm's own state back.
fn rolls(act: &Act) -> bool {
    matches!(
        act,
        Act::Upload { .. } | Act::RollOut { .. } | Act::Kubelet { .. } | Act::Mark { .. }
    )
}

/// Returns whether the act changes who is a control plane.
fn changes_membership(act: &Act) -> bool {
    matches!(act, Act::Init { .. } | Act::JoinControlPlane { .. })
}

/// Looks at the hosts until exactly one carries the address, or each of them.
async fn held(
    vip: IpAddr,
    sessions: &[(HostName, Session)],
    rule: Holders,
) -> Result<Vec<(HostName, Observed)>, String> {
    let deadline = Instant::now() + Duration::from_secs(VIP_SECONDS);
    loop {
        let looks = sessions.iter().map(|(host, session)| async move {
            let observed = session.probe(&Facts::from([Fact::System])).await;
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
        let (wanted, where_to) = match rule {
            Holders::One => (1, "exactly one host"),
            Holders::Each => (sessions.len(), "every control plane"),
        };
        if holders.len() == wanted {
            return Ok(seen);
        }
        if Instant::now() > deadline {
            let who = if holders.is_empty() {
                "no host".to_string()
            } else {
                holders.join(", ")
            };
            return Err(format!(
                "{vip} is to be on {where_to}; after {VIP_SECONDS} s it is on {who}"
            ));
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}
