//! What the workflow decided, started on its host, and what comes of it.

use std::time::{Duration, Instant};

use super::super::session::{Session, WaveEnd};
use super::super::state::{cluster_facts, trouble};
use super::{Done, Run};
use crate::cluster::kubeadm::Credentials;
use crate::cluster::{Act, Standing, act};
use crate::event::{Event, Status, Trouble};
use crate::host::{Fact, Facts, Observed};
use crate::model::{HostName, Secret};
use crate::plan::HostPlan;

/// How long exactly one load balancer may take to hold the VIP: three adverts and an election, many times over.
const VIP_SECONDS: u64 = 30;

impl Run {
    /// Starts acts; returns whether one was started.
    pub(super) async fn start_acts(&mut self, acts: Vec<Act>) -> bool {
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
                let (config, digest) = desired.join(host, &secrets, &ca)?;
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

    pub(super) async fn act_done(&mut self, act: Act, end: WaveEnd) {
        let settings = self.settings();
        let Some(name) = act.host().cloned() else {
            return;
        };
        if let Some(host) = self.state.hosts.get_mut(&name) {
            host.busy = false;
        }
        self.take_outputs(&name, &end).await;
        if let Some(problem) = end.problem {
            if problem.trouble == Trouble::Lost && self.again(&name) {
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
