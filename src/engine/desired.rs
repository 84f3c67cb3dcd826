//! What the engine is told about what is wanted. It knows neither inventories nor roles.

use crate::cluster::act::Manifest;
use crate::cluster::drift::Difference;
use crate::cluster::kubeadm::Credentials;
use crate::cluster::load_balancer::Holders;
use crate::cluster::preflight::Finding;
use crate::cluster::{Act, Moving, Shape, View};
use crate::event::{Event, Status};
use crate::host::fact::Kubernetes;
use crate::host::{Fact, Facts, Observed};
use crate::model::{HostName, Secret, Sha256};
use crate::plan::{HostPlan, Step};
use crate::role::{Registered, StepResult};

use super::preflight::Seen;

/// A kubeadm configuration: its documents, and their digest without secrets.
pub type Config = (Secret<String>, String);

/// What is wanted of hosts and cluster. Every answer is pure; an error is one sentence for the user.
pub trait Desired: Send + Sync {
    /// Returns the cluster as it is wanted.
    fn shape(&self) -> &Shape;
    /// Returns the virtual address, where quorate manages one.
    fn vip(&self) -> Option<std::net::IpAddr>;
    /// Returns whether something will give the nodes a network, so that they can be Ready.
    fn has_network(&self) -> bool;
    /// Returns the node's name, its cluster address, and the port of an API server on it.
    fn node(&self, host: &HostName) -> Option<(String, String, u16)>;
    /// Returns the questions that the host's roles need answered.
    fn facts(&self, host: &HostName) -> Facts;
    /// Returns the questions that the host's roles need answered now that it is known what the host is, such as a path made
    /// from a fact; [`Desired::facts`] has them from then on.
    fn learn(&self, host: &HostName, _observed: &Observed) -> Facts {
        self.facts(host)
    }
    /// Returns what the host is asked before it becomes a part of the cluster, with a run's first look alone.
    fn preflight_facts(&self, _host: &HostName) -> Facts {
        Facts::new()
    }
    /// Returns all that keeps hosts from becoming a cluster.
    fn preflight(&self, _hosts: &[Seen<'_>]) -> Vec<Finding> {
        Vec::new()
    }
    /// Returns what of the load balancer runs on this host, each by its name, for `status` to ask and show.
    fn balancers(&self, host: &HostName) -> Vec<(&'static str, Fact)>;
    /// Returns what the host waits for behind a change that disturbs a live cluster, before its health gate.
    fn settled(&self, host: &HostName) -> Option<Step>;
    /// Returns the host's next wave by its roles.
    fn plan(
        &self,
        host: &HostName,
        observed: &Observed,
        registered: &Registered,
    ) -> Result<HostPlan, String>;
    /// Returns how a tolerant step ended, judged by its `failed_when` and `changed_when`.
    fn judge(
        &self,
        host: &HostName,
        observed: &Observed,
        registered: &Registered,
        step: &Step,
        result: &StepResult,
    ) -> Result<Status, String>;
    /// Returns a fresh token and certificate key.
    fn credentials(&self) -> Result<Credentials, String>;
    /// Returns the configuration of `kubeadm init` on this host.
    fn init(&self, host: &HostName, credentials: &Credentials) -> Result<Config, String>;
    /// Returns the configuration of `kubeadm join` on this host.
    fn join(&self, host: &HostName, credentials: &Credentials) -> Result<Config, String>;
    /// Returns the configuration that brings the secrets into a live cluster.
    fn mint(&self, host: &HostName, credentials: &Credentials) -> Result<Secret<String>, String>;
    /// Returns why a kubeconfig has to be signed for the load balancer on this host; `None` where none has to be.
    fn credential_due(&self, _host: &HostName, _observed: &Observed) -> Option<String> {
        None
    }
    /// Returns the steps that sign it.
    fn sign(&self, host: &HostName) -> Result<HostPlan, String> {
        Err(format!("there is nothing to sign on {host}"))
    }
    /// Returns what of a move between two ways of the load balancer is to be seen on a host; `None` where that was not
    /// looked at.
    fn moving(&self, _host: &HostName, _observed: &Observed) -> Option<Moving> {
        Some(Moving::default())
    }
    /// Returns the next wave of a host that carries the load balancer, where no cluster lives: what another way has left goes
    /// first.
    fn fresh(
        &self,
        host: &HostName,
        observed: &Observed,
        registered: &Registered,
    ) -> Result<HostPlan, String> {
        self.plan(host, observed, registered)
    }
    /// Returns the host's next wave while the load balancer is of another way: what it needs for the new one, and nothing
    /// that disturbs the old one.
    fn ready(
        &self,
        host: &HostName,
        observed: &Observed,
        registered: &Registered,
    ) -> Result<HostPlan, String> {
        self.plan(host, observed, registered)
    }
    /// Returns the steps that take the old way down on a host that does not serve; `bridged` where another one serves by a
    /// bridge.
    fn release(
        &self,
        host: &HostName,
        _observed: &Observed,
        _bridged: bool,
    ) -> Result<HostPlan, String> {
        Err(format!("there is nothing to take down on {host}"))
    }
    /// Returns the steps that move the host that serves; `holds` where the address was seen there.
    fn switch(
        &self,
        host: &HostName,
        _observed: &Observed,
        _holds: bool,
    ) -> Result<HostPlan, String> {
        Err(format!("there is nothing to move on {host}"))
    }
    /// Returns where kubeadm's own state is not as written: on this host, and in the configurations that the cluster keeps, as
    /// its API server tells.
    fn drift(&self, _host: &HostName, _seen: &Kubernetes) -> (Vec<Difference>, Vec<Difference>) {
        Default::default()
    }
    /// Returns the digest of the ClusterConfiguration that is wanted (`drift::digest`).
    fn made_from(&self, _host: &HostName) -> Result<String, String> {
        Ok(String::new())
    }
    /// Returns a digest of all that acts of the workflow bring to the host: what a plan that shows them is bound by.
    fn bound(&self, _host: &HostName) -> Option<Sha256> {
        None
    }
    /// Returns the steps of an act that brings kubeadm's own state back.
    fn bring_back(
        &self,
        act: &Act,
        _view: &View,
        _observed: &Observed,
    ) -> Result<HostPlan, String> {
        Err(format!("nothing is known to bring back: {act:?}"))
    }
    /// Returns whether the host's roles say something else after an act on it than before.
    fn differs_on_members(&self, _host: &HostName) -> bool {
        false
    }
    /// Forgets the results of those of the host's roles that say something else after an act on it.
    fn forget(&self, _host: &HostName, registered: &mut Registered) {
        *registered = Registered::default();
    }
    /// Returns how many of the hosts that carry the load balancer hold the virtual address of a healthy cluster.
    fn holders(&self) -> Holders {
        Holders::One
    }
    /// Returns whether the load balancer is somebody else's, so that all that can be done is to ask whether it works.
    fn is_external(&self) -> bool {
        false
    }
    /// Returns what is to be said of handlers that an earlier run has notified, and that no role of the host has any more.
    fn left_pending(&self, _host: &HostName, _observed: &Observed) -> Vec<String> {
        Vec::new()
    }
    /// Returns an event as it is shown and kept, without secrets: a plan that was kept holds it so.
    fn shown(&self, event: Event) -> Event {
        event
    }
    /// Returns the digest of the configuration that init or join would use on this host.
    fn digest(&self, host: &HostName) -> String;
    /// Returns what is applied after init, and compared with what the cluster has from then on.
    fn manifests(&self) -> &[Manifest];
    /// Returns whether somebody asked for differences (`--diff`).
    fn shows_differences(&self) -> bool {
        false
    }
    /// Keeps the user's kubeconfig; returns where, or why not.
    fn keep_kubeconfig(&self, admin_conf: &str) -> Result<String, String>;
    /// Returns whether the user's kubeconfig is there already, for the cluster with this CA certificate.
    fn has_kubeconfig(&self, ca: Option<Sha256>) -> bool;
}
