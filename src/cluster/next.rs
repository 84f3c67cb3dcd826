//! The workflow's one decision: what is safe to do next.
//!
//! Level-triggered: it looks at the hosts as they are, never at what this run has done, so that going on after a crash
//! is the normal path. The rules, in the order in which they are asked:
//!
//! 1. One cluster: two identities, another endpoint, address, port, network or version, a host that is another node, and
//!    membership that no API server of the inventory knows are refused before anything is done.
//! 2. No cluster yet: a control plane that cannot be looked at forbids init. Exactly one host is initialised; an init
//!    that was begun is taken up again on its own host.
//! 3. A cluster whose load balancer is of another way than the inventory's: that is moved first ([`migrate`]).
//! 4. A cluster whose ConfigMaps for those who join are gone, or may not be read: they are put back before anybody joins.
//! 5. A cluster: control planes join one at a time, each only while every etcd member has its vote and nobody is at work
//!    on the path to the API; workers join beside.
//! 6. Everybody is a member: kubeadm's own state is brought to what is written, one control plane after the other ([`drift`]).
//! 7. Manifests of the inventory are applied where the cluster has them otherwise ([`addons`]).
//! 8. Everything is where it belongs: verify.

mod forbidden;
mod forecast;
mod join;
mod lasting;

use super::addons;
use super::drift;
use super::migrate;
use super::view::{HostView, Shape, Standing, View};
use crate::model::HostName;

pub use forbidden::forbidden;
pub use forecast::{Forecast, forecast, is_difference, kind_of};
use join::{Join, join};

/// Something to do on one host.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Act {
    /// Look at the load balancers until exactly one holds the VIP.
    CheckVip,
    /// `kubeadm init`; `resume` takes up one that was begun.
    Init {
        /// Where.
        host: HostName,
        /// Whether it was begun before.
        resume: bool,
    },
    /// Choose a token and a certificate key and bring them into the live cluster.
    Mint {
        /// A control plane of the cluster.
        host: HostName,
        /// Whether the control plane's certificates are uploaded too.
        certificates: bool,
    },
    /// `kubeadm join --control-plane`.
    JoinControlPlane {
        /// Where.
        host: HostName,
        /// Whether it was begun before.
        resume: bool,
    },
    /// `kubeadm join`.
    JoinWorker {
        /// Where.
        host: HostName,
        /// Whether it was begun before.
        resume: bool,
    },
    /// Sign a kubeconfig for the load balancer that runs on this control plane, and see to its rights.
    Sign {
        /// Where.
        host: HostName,
    },
    /// Take the load balancer's old way down on a host that does not serve.
    Release {
        /// Where.
        host: HostName,
        /// Whether another host serves by a bridge.
        bridged: bool,
    },
    /// Move the load balancer of the host that serves, under a bridge.
    Switch {
        /// Where.
        host: HostName,
        /// Whether it was seen to hold the address.
        holds: bool,
    },
    /// Bring the configurations that the cluster keeps (kubeadm's, the kubelets', kube-proxy's) to what is written.
    Upload {
        /// A control plane.
        host: HostName,
    },
    /// Write a control plane's static pods and certificate anew, and wait until they serve.
    RollOut {
        /// Where.
        host: HostName,
    },
    /// Bring a kubelet's configuration to what is written, and start it anew.
    Kubelet {
        /// Where.
        host: HostName,
    },
    /// Set labels and taints.
    Mark {
        /// A control plane.
        host: HostName,
        /// The nodes.
        nodes: Vec<HostName>,
    },
    /// Apply manifests that are not as written.
    Apply {
        /// A control plane.
        host: HostName,
        /// Their names.
        manifests: Vec<String>,
    },
    /// The host is a full member, but its marker says that kubeadm has not come to its end: mend the marker.
    Finish {
        /// Where.
        host: HostName,
    },
}

impl Act {
    /// Returns the host it is done on.
    pub fn host(&self) -> Option<&HostName> {
        match self {
            Self::CheckVip => None,
            Self::Init { host, .. }
            | Self::Mint { host, .. }
            | Self::JoinControlPlane { host, .. }
            | Self::JoinWorker { host, .. }
            | Self::Sign { host }
            | Self::Upload { host }
            | Self::RollOut { host }
            | Self::Kubelet { host }
            | Self::Mark { host, .. }
            | Self::Apply { host, .. }
            | Self::Release { host, .. }
            | Self::Switch { host, .. }
            | Self::Finish { host } => Some(host),
        }
    }
}

/// What to do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Start these; decide again when one of them, or a preparation, has ended.
    Do(Vec<Act>),
    /// Something is under way that has to end first.
    Wait,
    /// Everything that can be done is done. Hosts that were left out are named with the reason.
    Done {
        /// Hosts that are not in the cluster although they should be.
        missing: Vec<Missing>,
    },
    /// Going on would be unsafe.
    Refuse(Refusal),
    /// Nothing is unsafe, but the cluster does not answer.
    Fail {
        /// What was expected and found.
        message: String,
        /// What to do next.
        help: String,
    },
}

/// A host that is not in the cluster although it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// Which.
    pub host: HostName,
    /// Why, as part of a sentence.
    pub reason: String,
    /// What kind of reason that is.
    pub cause: Cause,
}

/// Why a host was left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// It cannot be reached, or something failed there: it has said so itself.
    Trouble,
    /// The run may not change it.
    Limit,
    /// Bringing it in would be unsafe; what to do next.
    Unsafe(String),
}

/// Why going on would be unsafe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The hosts that the reason is about.
    pub hosts: Vec<HostName>,
    /// The reason.
    pub message: String,
    /// What to do next.
    pub help: String,
}

/// Returns what to do next.
pub fn next(shape: &Shape, view: &View) -> Decision {
    if let Some(refusal) = forbidden::always(shape, view) {
        return Decision::Refuse(refusal);
    }
    match view.api() {
        Some(_) => moving(shape, view).unwrap_or_else(|| grow(shape, view)),
        None => begin(shape, view),
    }
}

/// No API server knows of a cluster: begin one, or take one up that was begun.
fn begin(shape: &Shape, view: &View) -> Decision {
    let busy = view.hosts.values().any(HostView::is_at_work);
    // A host that finished init or a join belongs to a cluster whose API does not answer: never a second init.
    let finished: Vec<&HostName> = shape.nodes().filter(|n| is(view, n, has_done)).collect();
    if !finished.is_empty() {
        if busy {
            return Decision::Wait;
        }
        let gone: Vec<String> = finished
            .iter()
            .filter(|name| shape.control_planes.contains(name))
            .filter_map(|name| {
                let gone = view.hosts.get(*name)?.gone_manifests();
                (!gone.is_empty()).then(|| format!("; {} is gone on {name}", gone.join(" and ")))
            })
            .collect();
        return Decision::Fail {
            message: format!(
                "{} belong to a cluster, but no API server answers on any control plane{}",
                names(&finished),
                gone.concat()
            ),
            help: "look at the control planes with `systemctl status kubelet`, `ctr -n k8s.io tasks ls` and the logs under /var/log/pods, bring them back, and run again; on a host that was reset by hand remove /var/lib/quorate/kubeadm. Only a cluster that is given up for good, with all its data, is reset: `kubeadm reset -f` on each of its nodes".into(),
        };
    }
    // Workers may go on receiving files while the first control plane is initialised.
    let mut before = shape.control_planes.iter().chain(&shape.load_balancers);
    if before.any(|n| is(view, n, HostView::is_at_work)) {
        return Decision::Wait;
    }
    // Where nobody could be looked at, all is said by what went wrong there.
    let mut ours = view.hosts.iter().filter(|(name, _)| shape.has(name));
    if !view.hosts.is_empty() && !ours.any(|(_, host)| host.is_known()) {
        let nodes = shape.nodes().filter(|n| view.hosts.contains_key(*n));
        let missing = nodes.map(|n| Missing::new(n, reason(view, n), Cause::Trouble));
        return Decision::Done {
            missing: missing.collect(),
        };
    }
    let unknown = unseen(shape, view);
    if !unknown.is_empty() {
        if busy {
            return Decision::Wait;
        }
        return Decision::Refuse(Refusal {
            hosts: unknown.iter().map(|n| (*n).clone()).collect(),
            message: format!(
                "no init while {} cannot be looked at: a cluster may live there",
                names(&unknown)
            ),
            help: "mend the login, or bring the host back, and run again; take it out of kube_control_plane only if it is gone for good".into(),
        });
    }
    let begun = forbidden::begun(shape, view);
    let Some(first) = begun.or(shape.control_planes.first()) else {
        return Decision::Done {
            missing: Vec::new(),
        };
    };
    let balancers = shape.load_balancers.iter();
    let balancers = balancers.filter(|_| shape.vip_before_init);
    let mut needed = std::iter::once(first).chain(balancers);
    let blocked = needed.find(|n| !is(view, n, |h| h.standing == Standing::Prepared));
    if let Some(name) = blocked {
        if busy {
            return Decision::Wait;
        }
        if is(view, name, |h| h.standing == Standing::Left) {
            let reason = format!("init waits for {name}, which is not in this run's --limit");
            return Decision::Done {
                missing: vec![Missing::new(first, reason, Cause::Limit)],
            };
        }
        let message = match name == first {
            // Its own init may have come to its end before it failed.
            true => format!(
                "the cluster does not come any further: {first} is not as it has to be ({})",
                reason(view, name)
            ),
            false => format!(
                "no init on {first}: {name} is not ready for it ({})",
                reason(view, name)
            ),
        };
        return Decision::Fail {
            message,
            help: "mend what failed there and run again; what is done stays done".into(),
        };
    }
    let Some(host) = view.hosts.get(first) else {
        return Decision::Wait;
    };
    if !host.ours {
        let reason = "init is not in this run's --limit".to_string();
        return Decision::Done {
            missing: vec![Missing::new(first, reason, Cause::Limit)],
        };
    }
    if shape.vip_before_init && !view.vip_checked && !shape.load_balancers.is_empty() {
        return Decision::Do(vec![Act::CheckVip]);
    }
    Decision::Do(vec![Act::Init {
        host: first.clone(),
        resume: begun.is_some() && host.has_traces(),
    }])
}

/// The load balancer is moved before anybody joins over it; `None` where it is where it belongs.
fn moving(shape: &Shape, view: &View) -> Option<Decision> {
    let acts = match migrate::stage(shape, view) {
        migrate::Stage::Settled => return None,
        migrate::Stage::Refuse(refusal) => return Some(Decision::Refuse(refusal)),
        migrate::Stage::Next(acts) => acts,
    };
    let mut path = shape.control_planes.iter().chain(&shape.load_balancers);
    if path.any(|n| is(view, n, HostView::is_at_work)) {
        return Some(Decision::Wait);
    }
    let failed = |n: &&HostName| is(view, n, |h| matches!(h.standing, Standing::Failed(_)));
    if let Some(name) = shape.load_balancers.iter().find(failed) {
        return Some(Decision::Fail {
            message: format!(
                "the load balancer is not moved any further: {name} is not ready for it ({})",
                reason(view, name)
            ),
            help: "mend what failed there and run again: the move goes on from where it is, and where a bridge is up it serves meanwhile (`quorate status` shows it)".into(),
        });
    }
    // The new way's kubeconfig is a part of being ready.
    let due = |n: &&HostName| is(view, n, |h| h.credential_due.is_some() && h.may_act());
    if let Some(name) = shape.control_planes.iter().find(due) {
        return Some(Decision::Do(vec![Act::Sign { host: name.clone() }]));
    }
    Some(Decision::Do(acts))
}

/// Why no router has learnt the address, where routers are to: no control plane of the cluster has a session with one.
fn unheard(shape: &Shape, view: &View) -> Option<String> {
    let members = shape
        .load_balancers
        .iter()
        .filter(|name| view.is_control_plane(name));
    let mut first = None;
    for name in members {
        let why = view.hosts.get(name)?.silent.as_ref()?;
        first = first.or_else(|| Some(format!("{name} has {why}")));
    }
    first
}

/// A join that would not find the API is none.
fn heard(unheard: &Option<String>, name: &HostName, join: Join) -> Join {
    match (join, unheard) {
        (Join::Now { .. }, Some(why)) => {
            let reason = format!("nobody has learnt the way to the cluster's address: {why}");
            let help = "mend `bgp_peers`, `bgp_local_as` or the router, then run again".to_string();
            Join::Not(Missing::new(name, reason, Cause::Unsafe(help)))
        }
        (join, _) => join,
    }
}

/// An API server knows the cluster: bring in who is missing.
fn grow(shape: &Shape, view: &View) -> Decision {
    let Some((via, api)) = view.api() else {
        return Decision::Wait;
    };
    let mut acts = Vec::new();
    let mut missing = Vec::new();
    let mut waiting = view.hosts.values().any(HostView::is_at_work);
    if api.nodes.is_none() {
        if waiting {
            return Decision::Wait;
        }
        return Decision::Fail {
            message: format!("the API server on {via} answers, but does not list its nodes"),
            help: format!(
                "try `kubectl --kubeconfig /etc/kubernetes/admin.conf get nodes` on {via}, then run again"
            ),
        };
    }
    // Who joins talks to the cluster by its address.
    let unheard = unheard(shape, view);
    // One change of membership at a time, and none while somebody is at work on the path to the API.
    let mut path = shape.control_planes.iter().chain(&shape.load_balancers);
    let mut occupied = path.any(|n| is(view, n, HostView::is_at_work));
    // Who joins asks for them; an init that has not come to its end writes them itself.
    let begun = |n: &HostName| {
        is(view, n, |h| {
            h.unfinished("init") || h.kubernetes.kubeadm_running
        })
    };
    if !shape.nodes().any(begun)
        && view.cluster_drift().iter().any(|d| d.keeps_from_joining())
        && let Some(host) = view.may_configure(shape)
    {
        return match occupied {
            true => Decision::Wait,
            false => Decision::Do(vec![Act::Upload { host: host.clone() }]),
        };
    }
    // kubeadm that an earlier run has started goes on by itself: it comes first, and nobody beside it.
    let runs = |n: &&HostName| is(view, n, |h| h.is_known() && h.kubernetes.kubeadm_running);
    let running = shape.control_planes.iter().find(runs);
    let rest = shape.control_planes.iter().filter(|n| Some(*n) != running);
    for name in running.into_iter().chain(rest) {
        let Some(host) = view.hosts.get(name).filter(|h| !h.busy) else {
            continue;
        };
        let member = view.is_control_plane(name);
        // What kubeadm has not come to the end of is taken up, even where all that can be seen is in place.
        if host.unfinished("init") && host.may_act() && view.is_of_the_cluster(name) {
            if occupied {
                waiting = true;
            } else {
                occupied = true;
                acts.push(Act::Init {
                    host: name.clone(),
                    resume: true,
                });
            }
            continue;
        }
        let attach = host.unfinished("join") && host.kubernetes.kubeadm_running;
        if (member && !attach) || host.joined {
            if host.has_open_marker() && host.may_act() && !host.joined {
                acts.push(Act::Finish { host: name.clone() });
            } else if host.credential_due.is_some() && host.may_act() {
                // After it the load balancer starts anew: one host at a time, and nobody joins over it meanwhile.
                if occupied {
                    waiting = true;
                } else {
                    occupied = true;
                    acts.push(Act::Sign { host: name.clone() });
                }
            }
            continue;
        }
        match heard(&unheard, name, join(view, name, host, "join")) {
            Join::Not(missed) => missing.push(missed),
            Join::Later => waiting = true,
            Join::Now { .. } if occupied => waiting = true,
            Join::Now { resume } => {
                if let Some(other) = running.filter(|other| *other != name) {
                    let reason = format!("kubeadm is still running on {other}");
                    let help = "run again once it has ended".to_string();
                    missing.push(Missing::new(name, reason, Cause::Unsafe(help)));
                    continue;
                }
                occupied = true;
                acts.push(Act::JoinControlPlane {
                    host: name.clone(),
                    resume,
                });
            }
        }
    }
    for name in &shape.workers {
        let Some(host) = view.hosts.get(name).filter(|h| !h.busy) else {
            continue;
        };
        if is_worker(view, name, host) {
            if host.has_open_marker() && host.may_act() && !host.joined {
                acts.push(Act::Finish { host: name.clone() });
            }
            continue;
        }
        match heard(&unheard, name, join(view, name, host, "join-worker")) {
            Join::Not(missed) => missing.push(missed),
            Join::Later => waiting = true,
            Join::Now { resume } => acts.push(Act::JoinWorker {
                host: name.clone(),
                resume,
            }),
        }
    }
    if !view.token && acts.iter().any(Act::is_join) {
        mint(shape, view, &mut acts, &mut missing, &mut waiting);
    }
    match (acts.is_empty(), waiting) {
        (false, _) => Decision::Do(acts),
        (true, true) => Decision::Wait,
        (true, false) => settle(shape, view, missing),
    }
}

/// All are members that can be: kubeadm's own state comes last.
fn settle(shape: &Shape, view: &View, missing: Vec<Missing>) -> Decision {
    match drift::stage::stage(shape, view) {
        drift::stage::Stage::Next(acts) => Decision::Do(acts),
        drift::stage::Stage::Settled(_) => match addons::act(shape, view) {
            Some(act) => Decision::Do(vec![act]),
            None => Decision::Done { missing },
        },
    }
}

/// Puts what brings a token into the cluster in the place of all joins.
fn mint(
    shape: &Shape,
    view: &View,
    acts: &mut Vec<Act>,
    missing: &mut Vec<Missing>,
    waiting: &mut bool,
) {
    let joins = acts.extract_if(.., |act| act.is_join()).collect::<Vec<_>>();
    let via = view.api().map(|(name, _)| name);
    let able = |n: &&HostName| {
        is(view, n, |h| {
            h.api().is_some() && h.is_known() && !matches!(h.standing, Standing::Failed(_))
        })
    };
    let asked = || via.into_iter().chain(&shape.control_planes);
    // One that the run may change, where there is one. Another is asked as well: it keeps nothing of it.
    let own = asked().find(|n| able(n) && is(view, n, |h| h.ours));
    match own.or_else(|| asked().find(able)) {
        Some(name) if acts.is_empty() && !is(view, name, |h| h.busy) => acts.push(Act::Mint {
            host: name.clone(),
            certificates: shape
                .control_planes
                .iter()
                .any(|n| !view.is_control_plane(n)),
        }),
        Some(_) => *waiting = true,
        None => {
            // Who waited for one of these joins waits in vain.
            *waiting = view.hosts.values().any(HostView::is_at_work);
            missing.extend(joins.iter().filter_map(Act::host).map(|name| {
                let reason = "no control plane could bring a token into the cluster";
                Missing::new(name, reason, Cause::Trouble)
            }));
        }
    }
}

/// Returns whether the worker is a node of the cluster already.
fn is_worker(view: &View, name: &HostName, host: &HostView) -> bool {
    if host.joined {
        return true;
    }
    let Some(node) = view.node(name) else {
        return false;
    };
    // A host that was reset by hand leaves its Node behind.
    let reset = host.is_known() && !host.has_trace("/kubelet.conf");
    let attach = host.unfinished("join-worker") && host.kubernetes.kubeadm_running;
    !reset && !attach && (node.is_ready() || !host.has_open_marker())
}

/// Returns the control planes that could not be looked at.
fn unseen<'a>(shape: &'a Shape, view: &View) -> Vec<&'a HostName> {
    let all = shape.control_planes.iter();
    all.filter(|n| !is(view, n, HostView::is_known)).collect()
}

fn has_done(host: &HostView) -> bool {
    host.kubernetes.marker.as_ref().is_some_and(|m| m.done)
}

impl Act {
    fn is_join(&self) -> bool {
        matches!(
            self,
            Self::JoinControlPlane { .. } | Self::JoinWorker { .. }
        )
    }
}

impl Missing {
    /// Returns the sentence that says why bringing the host in would be unsafe.
    pub fn unfit(&self) -> String {
        format!(
            "{} is no full member of the cluster: {}",
            self.host, self.reason
        )
    }

    fn new(host: &HostName, reason: impl Into<String>, cause: Cause) -> Self {
        Self {
            host: host.clone(),
            reason: reason.into(),
            cause,
        }
    }
}

fn is(view: &View, name: &HostName, test: impl FnOnce(&HostView) -> bool) -> bool {
    view.hosts.get(name).is_some_and(test)
}

fn reason(view: &View, name: &HostName) -> String {
    match view.hosts.get(name).map(|h| &h.standing) {
        Some(Standing::Unknown(reason) | Standing::Failed(reason)) => reason.clone(),
        Some(Standing::Left) => "it is not in this run's --limit".into(),
        Some(Standing::Preparing) => "it is being prepared".into(),
        _ => "it was not looked at".into(),
    }
}

pub(super) fn names(hosts: &[impl std::fmt::Display]) -> String {
    hosts
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}
