//! How a run is made.

use std::sync::Arc;
use std::time::Duration;

use indexmap::{IndexMap, IndexSet};
use tokio::sync::{mpsc, watch};

use super::Desired;
use crate::event::{Event, PlanFile};
use crate::model::HostName;
use crate::transport::{Connect, Target};

/// The run that changes something: the others show all that it comes to.
pub(super) const APPLY: &str = "apply";

/// A run's means. Cheap to clone.
#[derive(Clone)]
pub struct Settings {
    /// What is wanted.
    pub desired: Arc<dyn Desired>,
    /// How hosts are reached.
    pub connect: Arc<dyn Connect>,
    /// All hosts that may be looked at, in inventory order.
    pub targets: Arc<IndexMap<HostName, Target>>,
    /// The hosts that may be changed: `--limit`.
    pub ours: Arc<IndexSet<HostName>>,
    /// How many hosts at once.
    pub forks: usize,
    /// 16 hex digits that name the run.
    pub run: String,
    /// The command: `plan`, `apply`, ...
    pub command: String,
    /// `cluster_name`.
    pub cluster: String,
    /// Who runs it and where, for those who find a host locked.
    pub owner: String,
    /// Whether a lock that somebody else holds is broken.
    pub break_lock: bool,
    /// The plan that alone may be carried out (`apply FILE`).
    pub approved: Option<Arc<PlanFile>>,
    /// The names of the variables that `-e` sets, in the alphabet's order.
    pub extra_vars: Vec<String>,
    /// How long is waited for what comes to its end by itself.
    pub patience: Patience,
    /// Where events go. Bounded: whoever prints slowly slows the run, and loses nothing.
    pub events: mpsc::Sender<Event>,
    /// Asked to stop?
    pub cancel: Cancel,
}

impl Settings {
    /// Sends an event. A reporter that is gone does not stop the run.
    pub async fn emit(&self, event: Event) {
        let _ = self.events.send(event).await;
    }

    /// Returns whether the run may change the host.
    pub fn is_ours(&self, host: &HostName) -> bool {
        self.ours.contains(host)
    }

    /// Returns whether the run is for hosts outside of the cluster alone, none of which has plays that wait for it.
    fn is_outside(&self) -> bool {
        let shape = self.desired.shape();
        let is_free = |host| !shape.has(host) && !self.desired.differs_on_members(host);
        !self.ours.is_empty() && self.ours.iter().all(is_free)
    }

    /// Returns whether the host may be asked something after the first look: a connection that is not needed any more costs
    /// memory and an open file. Where nothing is changed only control planes are, for what the cluster says.
    pub(super) fn is_asked_again(&self, host: &HostName) -> bool {
        let control_planes = &self.desired.shape().control_planes;
        self.command == APPLY || control_planes.contains(host)
    }

    /// Returns the hosts that every run looks at, in inventory order: those that it may change, and the control planes,
    /// because without their word nothing about the cluster is safe. Where it may change a load balancer all of them: while one is
    /// down no other is touched. A run that has nothing to do with the cluster asks nobody of it.
    pub fn asked(&self) -> Vec<HostName> {
        let shape = self.desired.shape();
        let balances = shape.load_balancers.iter().any(|host| self.is_ours(host));
        let clustered = !self.is_outside();
        let asked = |host: &&HostName| {
            self.is_ours(host)
                || (clustered && shape.control_planes.contains(host))
                || (balances && shape.load_balancers.contains(host))
        };
        self.targets.keys().filter(asked).cloned().collect()
    }
}

/// How long a run waits for what it did not begin, or has lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// For a host whose connection was lost to be reached again: a restart of a machine.
    pub away: Duration,
    /// For a step that a dead run has left behind on a host to end: an installation, or kubeadm.
    pub step: Duration,
    /// For an API server of a cluster whose hosts have just started: the kubelet, etcd, and a round of the kubelet's
    /// CrashLoopBackOff where etcd was late.
    pub api: Duration,
}

impl Patience {
    /// What people can wait for.
    pub const USUAL: Self = Self {
        away: Duration::from_secs(60),
        step: Duration::from_secs(300),
        api: Duration::from_secs(60),
    };
    /// None at all.
    pub const NONE: Self = Self {
        away: Duration::ZERO,
        step: Duration::ZERO,
        api: Duration::ZERO,
    };
}

/// Whether the user asked to stop.
#[derive(Debug, Clone)]
pub struct Cancel(watch::Receiver<bool>);

impl Cancel {
    /// Returns the question, and what answers it with yes.
    pub fn new() -> (watch::Sender<bool>, Self) {
        let (sender, receiver) = watch::channel(false);
        (sender, Self(receiver))
    }

    /// Returns whether it was asked.
    pub fn is_asked(&self) -> bool {
        *self.0.borrow()
    }

    /// Returns when it is asked; never, where nobody can ask any more.
    pub async fn asked(&mut self) {
        if self.0.wait_for(|asked| *asked).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
