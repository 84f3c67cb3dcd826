//! Whether one host may join now.

use super::super::view::{HostView, Standing, View};
use super::forbidden::other_config;
use super::{Cause, Missing};
use crate::host::fact::EtcdMember;
use crate::model::HostName;

/// Whether a host may join now.
pub(super) enum Join {
    /// Yes; `resume` takes up what kubeadm has begun.
    Now { resume: bool },
    /// Once it is prepared.
    Later,
    /// Not in this run.
    Not(Missing),
}

/// Returns whether the host may join by `act`, `join` or `join-worker`.
pub(super) fn join(view: &View, name: &HostName, host: &HostView, act: &str) -> Join {
    let not = |reason: String, cause: Cause| Join::Not(Missing::new(name, reason, cause));
    let limit = || not("not in this run's --limit".into(), Cause::Limit);
    match &host.standing {
        Standing::Unknown(reason) => {
            return not(format!("cannot be reached: {reason}"), Cause::Trouble);
        }
        Standing::Failed(reason) => return not(reason.clone(), Cause::Trouble),
        Standing::Left => return limit(),
        Standing::Preparing => return Join::Later,
        Standing::Prepared => {}
    }
    if !host.ours {
        return limit();
    }
    let begun = host.unfinished(act);
    if begun && !host.is_marked_with_its_config() {
        return not(
            "a join was begun there with another configuration".into(),
            Cause::Unsafe(other_config(name, host)),
        );
    }
    if host.kubernetes.kubeadm_running && !begun {
        return not(
            "kubeadm is running there, and it is not this join".into(),
            Cause::Unsafe(format!(
                "wait for it, or end it with `systemctl stop quorate-kubeadm.service` on {name}"
            )),
        );
    }
    if !begun && host.shows_membership() {
        let at = host
            .kubernetes
            .server
            .as_deref()
            .unwrap_or("no server is named in its kubelet.conf");
        let known = if view.node(name).is_some() {
            "it is listed as a node but not complete"
        } else {
            "it is no node of this cluster"
        };
        return not(
            format!(
                "{known}, yet it shows membership ({}; {at})",
                host.kubernetes.traces.join(", ")
            ),
            Cause::Unsafe(format!(
                "quorate did not begin this join and will not undo it: run `kubeadm reset` on {name} yourself, then run again"
            )),
        );
    }
    let resume = begun && host.has_traces();
    if act == "join"
        && let Err(missing) = etcd_allows(view, name, host, resume)
    {
        return Join::Not(missing);
    }
    Join::Now { resume }
}

/// Says why etcd cannot take the host as a member now: it allows one learner, and a member that never started counts
/// against the quorum (etcd's learner design; `strict-reconfig-check`).
fn etcd_allows(view: &View, name: &HostName, host: &HostView, resume: bool) -> Result<(), Missing> {
    let members = view.api().and_then(|(_, api)| api.members.as_deref());
    let Some(members) = members else {
        return Err(Missing::new(
            name,
            "etcd's members could not be listed",
            Cause::Unsafe(
                "look at etcd's log with `crictl logs` on a control plane, then run again".into(),
            ),
        ));
    };
    let own = |m: &&EtcdMember| m.name == name.as_str() || host.is_peer(m);
    // A join that was cut off leaves its own member; one without any of its data is left of an earlier life.
    if !resume && members.iter().any(|m| own(&m)) {
        return Err(Missing::new(
            name,
            "etcd still lists a member for it, but the host carries none of its data",
            Cause::Unsafe(format!(
                "remove it: `etcdctl member remove` with the ID that `etcdctl member list` shows for {name}, and `kubectl delete node {name}`; then run again"
            )),
        ));
    }
    let open: Vec<String> = members
        .iter()
        .filter(|m| (m.learner || m.name.is_empty()) && !own(m))
        .map(|m| match m.name.as_str() {
            "" => format!("one that never started at {}", m.peers.join(", ")),
            name => name.to_string(),
        })
        .collect();
    if open.is_empty() {
        return Ok(());
    }
    Err(Missing::new(
        name,
        format!("etcd has a member without a vote: {}", open.join("; ")),
        Cause::Unsafe(
            "bring that host back and run again, or remove the member with `etcdctl member remove`"
                .into(),
        ),
    ))
}
