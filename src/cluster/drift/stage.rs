//! Which act brings kubeadm's own state back, one control plane and one kubelet after the other.

use super::{Difference, Place};
use crate::cluster::next::{Act, Refusal};
use crate::cluster::view::{HostView, Shape, Standing, View};
use crate::model::HostName;

/// How far kubeadm's own state is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stage {
    /// It is as written, but for what this run may not or cannot change.
    Settled(Vec<Left>),
    /// What comes next.
    Next(Vec<Act>),
}

/// What is not as written, and stays so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// Where.
    pub host: HostName,
    /// What and why, as a sentence.
    pub message: String,
    /// What to do, where changing it now would be unsafe; `None` where the run may not change it (`--limit`).
    pub help: Option<String>,
}

/// What an act of this kind brings back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The configurations that the cluster keeps.
    Cluster,
    /// A control plane's static pods and certificate.
    ControlPlane,
    /// A kubelet.
    Kubelet,
    /// A Node's labels and taints.
    Node,
}

impl Place {
    /// Returns which act brings it back.
    pub fn part(&self) -> Part {
        match self {
            Self::ClusterConfiguration
            | Self::KubeletConfiguration
            | Self::KubeProxyConfiguration => Part::Cluster,
            Self::Manifest(_) | Self::Manifests | Self::Certificate => Part::ControlPlane,
            Self::Kubelet | Self::KubeletFlags | Self::KubeletConf => Part::Kubelet,
            Self::Labels | Self::Taints => Part::Node,
        }
    }
}

/// Returns the differences that an act of one kind brings back.
pub fn due(differences: &[Difference], part: Part) -> impl Iterator<Item = &Difference> {
    differences.iter().filter(move |d| d.place.part() == part)
}

/// Returns why nothing may be done: what kubeadm cannot change on a live cluster is to be changed.
pub fn refusal(view: &View) -> Option<Refusal> {
    let (via, _) = view.api()?;
    let found = view.cluster_drift();
    let fixed: Vec<(&Difference, &str)> =
        found.iter().filter_map(|d| Some((d, d.fixed()?))).collect();
    let (_, why) = fixed.first()?;
    let told: Vec<String> = fixed.iter().map(|(d, _)| d.to_string()).collect();
    Some(Refusal {
        hosts: vec![via.clone()],
        message: format!(
            "kubeadm cannot change this on a live cluster: {}",
            told.join("; ")
        ),
        help: format!(
            "{why}: write what is there into the inventory (`kubeadm: ClusterConfiguration:`), or begin a new cluster"
        ),
    })
}

/// Returns what comes next, once all that should be members are. A host that could not be looked at is passed over.
pub fn stage(shape: &Shape, view: &View) -> Stage {
    let mut left = Vec::new();
    if !view.cluster_drift().is_empty() {
        match view.may_configure(shape) {
            Some(host) => return Stage::Next(vec![Act::Upload { host: host.clone() }]),
            // All that comes after is made from it.
            None => {
                let via = view.api().map(|(name, _)| name);
                let host = via.or(shape.control_planes.first());
                left.extend(host.map(|host| Left {
                    host: host.clone(),
                    message: "kubeadm's configuration is not as written, and this run may change no control plane".into(),
                    help: None,
                }));
                return Stage::Settled(left);
            }
        }
    }
    for name in &shape.control_planes {
        let is_in = |host: &&HostView| host.joined || view.is_control_plane(name);
        let Some(host) = member(view, name).filter(is_in) else {
            continue;
        };
        if due(&host.drift, Part::ControlPlane).next().is_none() {
            continue;
        }
        // What came up badly on one is not tried on the next.
        if matches!(host.standing, Standing::Failed(_)) {
            return Stage::Settled(left);
        }
        match may(host, shape, view, name) {
            Ok(()) => return Stage::Next(vec![Act::RollOut { host: name.clone() }]),
            Err(kept) => left.extend(kept),
        }
    }
    let mut marks = Vec::new();
    for name in shape.nodes() {
        // Who has joined just now may not be in the API's last word.
        let is_in = |host: &&HostView| host.joined || view.node(name).is_some();
        let Some(host) = member(view, name).filter(is_in) else {
            continue;
        };
        if due(&host.drift, Part::Kubelet).next().is_some() {
            if matches!(host.standing, Standing::Failed(_)) {
                return Stage::Settled(left);
            }
            match allowed(host) {
                true => return Stage::Next(vec![Act::Kubelet { host: name.clone() }]),
                false => left.extend(not_ours(host, name, "its kubelet")),
            }
        }
        if due(&host.drift, Part::Node).next().is_some() && host.ours {
            marks.push(name.clone());
        }
    }
    if !marks.is_empty() {
        let able = |name: &&HostName| {
            view.hosts
                .get(*name)
                .is_some_and(|h| h.is_known() && !h.busy && h.api().is_some())
        };
        if let Some(host) = shape.control_planes.iter().find(able) {
            let host = host.clone();
            return Stage::Next(vec![Act::Mark { host, nodes: marks }]);
        }
    }
    Stage::Settled(left)
}

/// A member that kubeadm has come to its end on.
fn member<'a>(view: &'a View, name: &HostName) -> Option<&'a HostView> {
    let host = view.hosts.get(name)?;
    (host.is_known() && !host.has_open_marker() && !host.busy).then_some(host)
}

fn allowed(host: &HostView) -> bool {
    host.ours && host.standing == Standing::Prepared
}

fn not_ours(host: &HostView, name: &HostName, what: &str) -> Option<Left> {
    // A host in trouble has said so itself.
    (!host.ours).then(|| Left {
        host: name.clone(),
        message: format!("{what} is not as written, and it is not in this run's --limit"),
        help: None,
    })
}

/// Returns whether a control plane's static pods may be written anew now: while they start, another one has to serve.
fn may(host: &HostView, shape: &Shape, view: &View, name: &HostName) -> Result<(), Option<Left>> {
    if !allowed(host) {
        return Err(not_ours(host, name, "its control plane"));
    }
    let members: Vec<&HostName> = shape
        .control_planes
        .iter()
        .filter(|n| view.is_control_plane(n))
        .collect();
    let ready = |n: &&&HostName| {
        let host = view.hosts.get(**n);
        **n != name && host.is_some_and(|h| h.api().is_some_and(|api| api.ready))
    };
    let others = members.iter().filter(ready).count();
    // Whoever has a vote counts, a host whose join has not come to its end too.
    let members_of_etcd = view.api().and_then(|(_, api)| api.members.as_deref());
    let voters = members_of_etcd.unwrap_or_default().iter();
    let voters = voters.filter(|member| !member.learner).count();
    // What a join that failed or was lost has made of etcd's members, the API's last word does not know.
    let is_half = |n: &&HostName| {
        let host = view.hosts.get(*n);
        *n != name
            && !members.contains(n)
            && host.is_some_and(|h| {
                !h.is_known() || h.has_open_marker() || matches!(h.standing, Standing::Failed(_))
            })
    };
    let half = shape.control_planes.iter().any(|n| is_half(&n));
    let etcd = due(&host.drift, Part::ControlPlane)
        .any(|d| d.place == Place::Manifest("etcd".into()) || d.place == Place::Manifests);
    let reason = if members.len() > 1 && others == 0 {
        "its control plane is not as written, and no other API server is ready to serve meanwhile"
    } else if etcd && (half || others + 1 < members.len().max(voters)) {
        // A member of etcd starts anew: all others have to be there.
        "its control plane is not as written, and another one is not ready: etcd could lose its quorum"
    } else {
        return Ok(());
    };
    Err(Some(Left {
        host: name.clone(),
        message: reason.into(),
        help: Some("bring the other control planes back, and run again".into()),
    }))
}
