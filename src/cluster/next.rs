//! The workflow's one decision: what is safe to do next.
//!
//! Level-triggered: it looks at the hosts as they are, never at what this run has done, so that going on after a crash
//! is the normal path. The rules, in the order in which they are asked:
//!
//! 1. One cluster: two identities, another endpoint or another version are refused before anything is done.
//! 2. No cluster yet: a host that shows membership, or a control plane that cannot be looked at, forbids init. Exactly one
//!    host is initialised; an init that was begun is taken up again on its own host.
//! 3. A cluster: control planes join one at a time, each only while every etcd member has its vote; workers join beside.
//! 4. Everything is where it belongs: verify.

use super::view::{HostView, Shape, Standing, View};
use crate::model::HostName;

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
        missing: Vec<(HostName, String)>,
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

/// Returns why nothing at all may be done: asked before the first wave of any host.
pub fn forbidden(shape: &Shape, view: &View) -> Option<Refusal> {
    let identities = view.identities();
    if identities.len() > 1 {
        let named: Vec<String> = identities
            .iter()
            .map(|(ca, hosts)| format!("{} on {}", ca.short(), names(hosts)))
            .collect();
        return Some(Refusal {
            hosts: identities.into_values().flatten().collect(),
            message: format!("the hosts belong to different clusters (digest of ca.crt): {}", named.join("; ")),
            help: "keep the hosts of one cluster in this inventory; on a host that is to leave its cluster run `kubeadm reset` yourself".into(),
        });
    }
    let (host, api) = view.api()?;
    let wanted = shape.endpoint.to_string();
    if let Some(live) = api.endpoint.as_ref().filter(|live| **live != wanted) {
        return Some(Refusal {
            hosts: vec![host.clone()],
            message: format!(
                "the live cluster's control-plane endpoint is {live}, the inventory says {wanted}"
            ),
            help: format!(
                "set control_plane_endpoint: {live}; every certificate and kubeconfig of the cluster names it"
            ),
        });
    }
    let wanted = format!("v{}", shape.version);
    if let Some(live) = api.version.as_ref().filter(|live| **live != wanted) {
        return Some(Refusal {
            hosts: vec![host.clone()],
            message: format!(
                "the live cluster runs Kubernetes {live}, the inventory says {wanted}"
            ),
            help: format!(
                "set kubernetes_version: \"{}\"; an upgrade is an act of its own",
                live.trim_start_matches('v')
            ),
        });
    }
    None
}

/// Returns what to do next.
pub fn next(shape: &Shape, view: &View) -> Decision {
    if let Some(refusal) = forbidden(shape, view) {
        return Decision::Refuse(refusal);
    }
    match view.api() {
        Some(_) => grow(shape, view),
        None => begin(shape, view),
    }
}

/// No API server knows of a cluster: begin one, take one up that was begun, or refuse.
fn begin(shape: &Shape, view: &View) -> Decision {
    let members = || shape.control_planes.iter().chain(&shape.workers);
    let busy = view
        .hosts
        .values()
        .any(|h| h.busy || h.standing == Standing::Preparing);
    let begun: Vec<&HostName> = shape
        .control_planes
        .iter()
        .filter(|n| host(view, n, |h| h.unfinished("init")))
        .collect();
    if begun.len() > 1 {
        return Decision::Refuse(Refusal {
            hosts: begun.iter().map(|n| (*n).clone()).collect(),
            message: format!("init was begun on more than one host: {}", names(&begun)),
            help: "run `kubeadm reset` yourself on all of them but one, and remove /var/lib/quorate/kubeadm there".into(),
        });
    }
    // A host that finished init or a join belongs to a cluster whose API does not answer: never a second init.
    let finished: Vec<&HostName> = members()
        .filter(|n| {
            host(view, n, |h| {
                h.kubernetes.marker.as_ref().is_some_and(|m| m.done)
            })
        })
        .collect();
    if !finished.is_empty() {
        if busy {
            return Decision::Wait;
        }
        return Decision::Fail {
            message: format!("{} belong to a cluster, but no API server answers on any control plane", names(&finished)),
            help: "look at the control planes with `systemctl status kubelet` and `crictl ps`, bring them back, and run again".into(),
        };
    }
    let foreign = members().find(|n| {
        !begun.contains(n)
            && host(view, n, |h| {
                h.kubernetes.marker.is_none() && shows_membership(h)
            })
    });
    if let Some(name) = foreign {
        let traces = view
            .hosts
            .get(name)
            .map(|h| h.kubernetes.traces.join(", "))
            .unwrap_or_default();
        return Decision::Refuse(Refusal {
            hosts: vec![name.clone()],
            message: format!(
                "{name} is a member of some cluster already (found {traces}), and no API server of this inventory knows it"
            ),
            help: format!(
                "if the host is to be used here, run `kubeadm reset` on {name} yourself, then run again"
            ),
        });
    }
    if busy {
        // Workers may go on receiving files while the first control plane is initialised.
        let waits = |n: &HostName| host(view, n, |h| h.busy || h.standing == Standing::Preparing);
        if shape
            .control_planes
            .iter()
            .chain(&shape.load_balancers)
            .any(waits)
            || !view.vip_checked && !begun.is_empty()
        {
            return Decision::Wait;
        }
    }
    let unknown: Vec<&HostName> = shape
        .control_planes
        .iter()
        .filter(|n| !host(view, n, HostView::is_known))
        .collect();
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
            help: "bring the host back, or take it out of kube_control_plane, and run again".into(),
        });
    }
    let first = begun
        .first()
        .copied()
        .or_else(|| shape.control_planes.first());
    let Some(first) = first else {
        return Decision::Done {
            missing: Vec::new(),
        };
    };
    let blocked: Vec<&HostName> = shape
        .control_planes
        .iter()
        .take(1)
        .chain(std::iter::once(first))
        .chain(&shape.load_balancers)
        .filter(|n| !host(view, n, |h| h.standing == Standing::Prepared))
        .collect();
    if let Some(name) = blocked.first() {
        if busy {
            return Decision::Wait;
        }
        return Decision::Fail {
            message: format!(
                "init was not begun: {name} is not prepared ({})",
                reason(view, name)
            ),
            help: "mend what failed there and run again; what is done stays done".into(),
        };
    }
    let Some(view_of_first) = view.hosts.get(first) else {
        return Decision::Wait;
    };
    let resume = begun.first().is_some();
    if resume {
        let marked = view_of_first
            .kubernetes
            .marker
            .as_ref()
            .map(|m| m.config.as_str())
            .unwrap_or_default();
        if marked != view_of_first.config {
            return Decision::Refuse(Refusal {
                hosts: vec![first.clone()],
                message: format!("init was begun on {first} with another configuration"),
                help: format!(
                    "put the old variables back and run again, or start over: `kubeadm reset -f && rm /var/lib/quorate/kubeadm` on {first}"
                ),
            });
        }
    }
    if !view_of_first.ours {
        return Decision::Done {
            missing: vec![(first.clone(), "init is not in this run's --limit".into())],
        };
    }
    if !view.vip_checked && !shape.load_balancers.is_empty() {
        return Decision::Do(vec![Act::CheckVip]);
    }
    Decision::Do(vec![Act::Init {
        host: first.clone(),
        resume,
    }])
}

/// An API server knows the cluster: bring in who is missing.
fn grow(shape: &Shape, view: &View) -> Decision {
    let mut acts = Vec::new();
    let mut missing = Vec::new();
    let mut waiting = view
        .hosts
        .values()
        .any(|h| h.busy || h.standing == Standing::Preparing);
    let joining = shape
        .control_planes
        .iter()
        .any(|n| host(view, n, |h| h.busy && !view.is_control_plane(n)));
    let mut one_at_a_time = joining;
    let Some((via, api)) = view.api() else {
        return Decision::Wait;
    };

    for name in &shape.control_planes {
        let Some(host) = view.hosts.get(name) else {
            continue;
        };
        if host.busy {
            continue;
        }
        if view.is_control_plane(name) {
            if host.is_known()
                && host.kubernetes.marker.as_ref().is_some_and(|m| !m.done)
                && host.ours
            {
                // An init whose API answers may still lack its last phases: the same command finishes it.
                match host.unfinished("init") {
                    true => acts.push(Act::Init {
                        host: name.clone(),
                        resume: true,
                    }),
                    false => acts.push(Act::Finish { host: name.clone() }),
                }
            }
            continue;
        }
        if host.unfinished("init") && host.ours && host.standing == Standing::Prepared {
            acts.push(Act::Init {
                host: name.clone(),
                resume: true,
            });
            one_at_a_time = true;
            continue;
        }
        match join(view, name, host, "join") {
            Join::No(reason) => missing.push((name.clone(), reason)),
            Join::Refused(refusal) => {
                if waiting || !acts.is_empty() {
                    missing.push((name.clone(), refusal.message.clone()));
                    continue;
                }
                return Decision::Refuse(refusal);
            }
            Join::Later => waiting = true,
            Join::Now { .. } if one_at_a_time => waiting = true,
            Join::Now { resume } => {
                if let Some(reason) = etcd_forbids(api.members.as_deref(), name) {
                    missing.push((name.clone(), reason));
                    continue;
                }
                one_at_a_time = true;
                acts.push(Act::JoinControlPlane {
                    host: name.clone(),
                    resume,
                });
            }
        }
    }
    for name in &shape.workers {
        let Some(host) = view.hosts.get(name) else {
            continue;
        };
        if host.busy {
            continue;
        }
        let listed = view.node(name).is_some_and(|n| {
            n.is_ready() || host.kubernetes.marker.as_ref().is_none_or(|m| m.done)
        });
        if listed || host.joined {
            if host.is_known() && host.unfinished("join-worker") && host.ours {
                acts.push(Act::Finish { host: name.clone() });
            }
            continue;
        }
        match join(view, name, host, "join-worker") {
            Join::No(reason) => missing.push((name.clone(), reason)),
            Join::Refused(refusal) => missing.push((name.clone(), refusal.message)),
            Join::Later => waiting = true,
            Join::Now { resume } => acts.push(Act::JoinWorker {
                host: name.clone(),
                resume,
            }),
        }
    }
    let joins = |act: &Act| matches!(act, Act::JoinControlPlane { .. } | Act::JoinWorker { .. });
    if acts.iter().any(joins) && !view.token {
        let host = view.hosts.get(via);
        acts.retain(|act| !joins(act));
        if acts.is_empty() && host.is_some_and(|h| !h.busy) {
            let certificates = shape
                .control_planes
                .iter()
                .any(|n| !view.is_control_plane(n));
            acts.push(Act::Mint {
                host: via.clone(),
                certificates,
            });
        } else {
            waiting = true;
        }
    }
    match (acts.is_empty(), waiting) {
        (false, _) => Decision::Do(acts),
        (true, true) => Decision::Wait,
        (true, false) => Decision::Done { missing },
    }
}

/// Whether a host may join now.
enum Join {
    Now { resume: bool },
    Later,
    No(String),
    Refused(Refusal),
}

fn join(view: &View, name: &HostName, host: &HostView, act: &str) -> Join {
    match &host.standing {
        Standing::Unknown(reason) => return Join::No(format!("cannot be reached: {reason}")),
        Standing::Failed(reason) => return Join::No(reason.clone()),
        Standing::Left => return Join::No("not in this run's --limit".into()),
        Standing::Preparing => return Join::Later,
        Standing::Prepared => {}
    }
    if !host.ours {
        return Join::No("not in this run's --limit".into());
    }
    if host.unfinished(act) {
        let marked = host
            .kubernetes
            .marker
            .as_ref()
            .map(|m| m.config.as_str())
            .unwrap_or_default();
        if marked == host.config {
            return Join::Now { resume: true };
        }
        return Join::Refused(Refusal {
            hosts: vec![name.clone()],
            message: format!("a join was begun on {name} with another configuration"),
            help: format!(
                "put the old variables back and run again, or start over: `kubeadm reset -f && rm /var/lib/quorate/kubeadm` on {name}"
            ),
        });
    }
    if shows_membership(host) {
        let at = host
            .kubernetes
            .server
            .as_deref()
            .unwrap_or("no server is named in its kubelet.conf");
        let known = if view.node(name).is_some() {
            "is listed as a node but not complete"
        } else {
            "is no node of this cluster"
        };
        return Join::Refused(Refusal {
            hosts: vec![name.clone()],
            message: format!(
                "{name} {known}, yet it shows membership ({}; {at})",
                host.kubernetes.traces.join(", ")
            ),
            help: format!(
                "quorate did not begin this join and will not undo it: run `kubeadm reset` on {name} yourself, then run again"
            ),
        });
    }
    Join::Now { resume: false }
}

/// Returns why etcd cannot take another member now: it allows one learner, and a member that never started counts
/// against the quorum (etcd's learner design; `strict-reconfig-check`).
fn etcd_forbids(
    members: Option<&[crate::host::fact::EtcdMember]>,
    joining: &HostName,
) -> Option<String> {
    let Some(members) = members else {
        return Some("etcd's members could not be listed".into());
    };
    let open: Vec<&str> = members
        .iter()
        .filter(|m| (m.learner || m.name.is_empty()) && m.name != joining.as_str())
        .map(|m| {
            if m.name.is_empty() {
                "one that never started"
            } else {
                m.name.as_str()
            }
        })
        .collect();
    // A join that was cut off leaves its own member, without a name until it has started: resuming finishes it.
    if open.is_empty() || open == ["one that never started"] {
        return None;
    }
    Some(format!("etcd still has a learner: {}", open.join(", ")))
}

fn shows_membership(host: &HostView) -> bool {
    host.kubernetes
        .traces
        .iter()
        .any(|trace| !trace.ends_with("/kubelet/config.yaml"))
}

fn host(view: &View, name: &HostName, test: impl FnOnce(&HostView) -> bool) -> bool {
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

fn names(hosts: &[impl std::fmt::Display]) -> String {
    hosts
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}

/// What the workflow would do, as far as it can be told beforehand.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Forecast {
    /// Host, what, why.
    pub acts: Vec<(HostName, String, String)>,
    /// What it would refuse.
    pub refusal: Option<Refusal>,
}

/// Returns what `apply` would do to the cluster if every preparation went well.
pub fn forecast(shape: &Shape, view: &View) -> Forecast {
    let mut view = view.clone();
    view.vip_checked = true;
    view.token = true;
    for host in view.hosts.values_mut() {
        if matches!(host.standing, Standing::Preparing) {
            host.standing = Standing::Prepared;
        }
    }
    let mut forecast = Forecast::default();
    let begins = view.api.is_none();
    let decision = next(shape, &view);
    let mut first = None;
    if let Decision::Refuse(refusal) = decision {
        forecast.refusal = Some(refusal);
        return forecast;
    }
    if let Decision::Do(acts) = &decision {
        for act in acts {
            let (what, why) = match act {
                Act::Init { resume: false, .. } => ("kubeadm init", "no host shows a cluster"),
                Act::Init { resume: true, .. } => ("kubeadm init", "begun before, not done"),
                Act::Finish { .. } => (
                    "mark kubeadm as done",
                    "a full member whose marker says otherwise",
                ),
                _ => continue,
            };
            if let Some(host) = act.host() {
                first = Some(host.clone());
                forecast.acts.push((host.clone(), what.into(), why.into()));
            }
        }
    }
    if begins && first.is_none() {
        return forecast;
    }
    let may = |name: &HostName| {
        Some(name) != first.as_ref() && host(&view, name, |h| h.ours && h.is_known() && !h.joined)
    };
    for name in shape
        .control_planes
        .iter()
        .filter(|n| may(n) && !view.is_control_plane(n))
    {
        forecast.acts.push((
            name.clone(),
            "kubeadm join --control-plane".into(),
            "not a member yet".into(),
        ));
    }
    for name in shape
        .workers
        .iter()
        .filter(|n| may(n) && view.node(n).is_none())
    {
        forecast.acts.push((
            name.clone(),
            "kubeadm join".into(),
            "not a member yet".into(),
        ));
    }
    forecast
}
