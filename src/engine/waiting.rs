//! What a run waits for beside its steps: what is down and may come up, told as a step of the hosts that are waited for.

use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use super::health::KUBELET;
use super::preflight;
use super::state::{State, cluster_facts};
use crate::cluster::{self, View};
use crate::event::{Category, Event, Status};
use crate::host::Known;
use crate::host::fact::{Api, Kubernetes, Marker};
use crate::model::HostName;

/// How long a kubelet may take to be started on a host that is starting: it comes behind the container runtime and the network.
const BOOT: Duration = Duration::from_secs(10);
/// How long the other control planes may take once one is up: they have started with it.
const OTHERS: Duration = Duration::from_secs(3);
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
        let is_in_vain = || {
            cluster::next::forbidden(shape, &self.hoped(&hosts)).is_some()
                || preflight::forbids(self)
        };
        if hosts.is_empty() || settings.patience.api.is_zero() || is_in_vain() {
            return;
        }
        let began = self.wait_begins(TITLE, &hosts).await;
        let found = Notify::new();
        // Each host's last look counts, however the wait ends: what an API server says may forbid to go on.
        let (sender, mut seen) = mpsc::unbounded_channel();
        let sessions = self.sessions_of(&hosts).into_iter();
        let looks = sessions.map(|(name, session)| {
            let facts = cluster_facts(settings.desired.as_ref(), &name);
            let (sender, found) = (&sender, &found);
            async move {
                // Whoever is lost is waited for no longer, nor a kubelet that does not come.
                while let Ok(observed) = session.probe(&facts).await {
                    let api = observed
                        .kubernetes
                        .as_ref()
                        .and_then(Kubernetes::cluster_api);
                    let is_up = api.is_some_and(Api::serves);
                    let runs = observed
                        .unit(KUBELET)
                        .is(|unit| unit.is_starting_or_active());
                    let _ = sender.send((name.clone(), observed));
                    if is_up {
                        found.notify_one();
                        return;
                    }
                    if !runs && began.elapsed() > BOOT {
                        return;
                    }
                    tokio::time::sleep(LOOK).await;
                }
            }
        });
        let looks = futures::future::join_all(looks);
        let enough = async {
            found.notified().await;
            tokio::time::sleep(OTHERS).await;
        };
        let mut cancel = settings.cancel.clone();
        tokio::select! {
            _ = looks => {}
            () = enough => {}
            () = cancel.asked() => {}
            () = tokio::time::sleep_until(began + settings.patience.api) => {}
        }
        while let Ok((name, observed)) = seen.try_recv() {
            if let Some(host) = self.hosts.get_mut(&name) {
                host.observed.update(observed);
            }
        }
        for name in &hosts {
            self.refresh(name);
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
            Some((_, api)) if api.serves() => Vec::new(),
            _ => {
                let shape = self.settings.desired.shape();
                shape
                    .control_planes
                    .iter()
                    .filter(starts)
                    .cloned()
                    .collect()
            }
        }
    }

    /// Returns what would be known if the cluster of those hosts were this inventory's, also where it was made before quorate came.
    fn hoped(&self, hosts: &[HostName]) -> View {
        let mut view = self.view.clone();
        for (name, host) in &mut view.hosts {
            if hosts.contains(name) && host.kubernetes.marker.is_none() {
                host.kubernetes.marker = Some(Marker {
                    act: "join".into(),
                    run: String::new(),
                    config: String::new(),
                    done: true,
                });
            }
        }
        view
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
