//! A cluster whose API servers are starting, as they do behind a loss of power: `apply` waits for one, and goes on.

use std::time::Duration;

use tokio::time::Instant;

use super::super::health;
use super::Run;
use crate::host::Known;
use crate::model::HostName;

impl Run {
    /// Waits for an API server where control planes belong to a cluster and their kubelets run, once in a run; returns whether
    /// one has come.
    pub(super) async fn await_api(&mut self) -> bool {
        const TITLE: &str = "cluster : wait for an API server";
        let settings = self.settings();
        let hosts = self.starting();
        let is_over = self.awaited || settings.patience.api.is_zero();
        if hosts.is_empty() || is_over {
            return false;
        }
        self.awaited = true;
        let began = self.wait_begins(TITLE, &hosts).await;
        let deadline = began + settings.patience.api;
        while self.look_anew(&hosts).await
            && self.state.view.api().is_none()
            && !settings.cancel.is_asked()
            && Instant::now() < deadline
        {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        self.wait_ends(TITLE, hosts, began).await;
        self.live = self.state.view.api().is_some();
        self.live
    }

    /// Returns the control planes of a cluster that nobody tells of, whose kubelets run.
    fn starting(&self) -> Vec<HostName> {
        let view = &self.state.view;
        let starts = |name: &&HostName| {
            let member = view.hosts.get(*name).filter(|host| host.is_known());
            let unit = self.state.hosts.get(*name);
            let unit = unit.map(|host| host.observed.unit(health::KUBELET));
            member.is_some_and(|host| host.is_member() && host.gone_manifests().is_empty())
                && matches!(unit, Some(Known::Is(unit)) if unit.is_active())
        };
        let shape = self.state.settings.desired.shape();
        let of_them = shape.control_planes.iter().filter(starts);
        match view.api() {
            None => of_them.cloned().collect(),
            Some(_) => Vec::new(),
        }
    }
}
