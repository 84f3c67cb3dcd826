//! What a run waits for beside its steps: what is down and may come up, told as a step of the hosts that are waited for.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use tokio::time::Instant;

use super::health::KUBELET;
use super::state::{State, cluster_facts};
use crate::cluster;
use crate::event::{Category, Event, Status};
use crate::host::Known;
use crate::model::HostName;

/// How long a kubelet may take to be started on a host that is starting: it comes behind the container runtime and the network.
const BOOT: Duration = Duration::from_secs(10);
/// Between two looks at a host that is waited for.
pub(super) const LOOK: Duration = Duration::from_secs(1);

impl State {
    /// Waits for an API server where the cluster's control planes are there and none has answered, as behind a loss of power:
    /// before anything is planned, since what there is to do hangs on what it says.
    pub(super) async fn await_api(&mut self) {
        const TITLE: &str = "cluster : wait for an API server";
        let settings = self.settings.clone();
        let hosts = self.starting();
        let shape = settings.desired.shape();
        let is_in_vain = || cluster::next::forbidden(shape, &self.view).is_some();
        if hosts.is_empty() || settings.patience.api.is_zero() || is_in_vain() {
            return;
        }
        let began = self.wait_begins(TITLE, &hosts).await;
        let found = AtomicBool::new(false);
        let sessions = self.hosts.iter().filter(|(name, _)| hosts.contains(name));
        let sessions =
            sessions.filter_map(|(name, host)| Some((name.clone(), host.session.clone()?)));
        let mut looks: FuturesUnordered<_> = sessions
            .map(|(name, session)| {
                let facts = cluster_facts(settings.desired.as_ref(), &name);
                let found = &found;
                async move {
                    loop {
                        // Whoever is lost is waited for no longer, nor a kubelet that does not come.
                        let seen = session.probe(&facts).await.ok()?;
                        let runs = seen.unit(KUBELET).is(|unit| unit.is_active());
                        if !runs && began.elapsed() > BOOT {
                            return Some((name, seen));
                        }
                        let api = seen.kubernetes.as_ref().and_then(|k| k.cluster_api());
                        if api.is_some_and(|api| api.ready && api.nodes.is_some()) {
                            found.store(true, Ordering::Relaxed);
                        }
                        if found.load(Ordering::Relaxed) {
                            return Some((name, seen));
                        }
                        tokio::time::sleep(LOOK).await;
                    }
                }
            })
            .collect();
        let mut seen = Vec::new();
        let all = async {
            while let Some(look) = looks.next().await {
                seen.extend(look);
            }
        };
        let mut cancel = settings.cancel.clone();
        tokio::select! {
            () = all => {}
            () = cancel.asked() => {}
            () = tokio::time::sleep_until(began + settings.patience.api) => {}
        }
        drop(looks);
        for (name, observed) in seen {
            if let Some(host) = self.hosts.get_mut(&name) {
                host.observed.update(observed);
            }
            self.refresh(&name);
        }
        self.view.choose_api();
        self.wait_ends(TITLE, hosts, began).await;
    }

    /// Returns the control planes of a cluster that nobody tells of, whose kubelets run or may be started yet.
    fn starting(&self) -> Vec<HostName> {
        let view = &self.view;
        let starts = |name: &&HostName| {
            let known = view.hosts.get(*name).filter(|host| host.is_known());
            let unit = self.hosts.get(*name);
            let unit = unit.map(|host| host.observed.unit(KUBELET));
            known.is_some_and(|host| host.carries_a_control_plane())
                && matches!(unit, Some(Known::Is(unit)) if unit.active != "failed")
        };
        match view.api() {
            None => {
                let shape = self.settings.desired.shape();
                shape
                    .control_planes
                    .iter()
                    .filter(starts)
                    .cloned()
                    .collect()
            }
            Some(_) => Vec::new(),
        }
    }

    /// Says that hosts are waited for.
    pub(super) async fn wait_begins(&self, title: &str, hosts: &[HostName]) -> Instant {
        for host in hosts {
            let event = Event::StepStarted {
                host: host.clone(),
                title: title.into(),
            };
            self.settings.emit(event).await;
        }
        Instant::now()
    }

    /// Says how long hosts were waited for.
    pub(super) async fn wait_ends(&self, title: &str, hosts: Vec<HostName>, began: Instant) {
        for host in hosts {
            let event = Event::StepFinished {
                host,
                title: title.into(),
                status: Status::Ok,
                category: Category::Wait,
                seconds: began.elapsed().as_secs_f64(),
                detail: Vec::new(),
                help: None,
            };
            self.settings.emit(event).await;
        }
    }
}
