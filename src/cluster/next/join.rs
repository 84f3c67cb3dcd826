//! Whether one host may join now.

use super::super::act::START_OVER;
use super::super::view::{HostView, Standing, View};
use super::forbidden::other_config;
use super::{Cause, Missing};
use crate::host::fact::{EtcdMember, Marker};
use crate::model::HostName;

/// Where the certificates of etcd are, on the host and in its pod.
const PKI: &str = "/etc/kubernetes/pki/etcd";

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
            Cause::Unsafe(other_config(view, name, host)),
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
    // Whom quorate has joined, and whose Node is there, is in the cluster whatever it has lost; `kubeadm reset` takes the CA away.
    let done = host.kubernetes.marker.as_ref().is_some_and(|m| m.done);
    let lives = done && host.kubernetes.ca.is_some() && view.node(name).is_some();
    if !begun && (host.shows_membership() || lives) {
        let (reason, help) = half_a_member(view, name, host, act);
        return not(reason, Cause::Unsafe(help));
    }
    // kubeadm that runs may have gone further than what was seen of it.
    let resume = begun && (host.has_traces() || host.kubernetes.kubeadm_running);
    if act == "join"
        && let Err(missing) = etcd_allows(view, name, host, resume)
    {
        return Join::Not(missing);
    }
    Join::Now { resume }
}

/// Returns what of a member a host lacks that shows membership, and what to do: whom quorate joined is mended where it is.
fn half_a_member(view: &View, name: &HostName, host: &HostView, act: &str) -> (String, String) {
    let found = host.kubernetes.traces.join(", ");
    let marker = host.kubernetes.marker.as_ref().filter(|m| m.done);
    let control_plane = act == "join";
    let fits = |m: &&Marker| (m.act == "join-worker") != control_plane;
    let Some(marker) = marker.filter(fits) else {
        let server = host.kubernetes.server.as_deref();
        let at = server.unwrap_or("no server is named in its kubelet.conf");
        let known = match view.node(name) {
            Some(_) => "it is listed as a node but not complete",
            None => "it is no node of this cluster",
        };
        return (
            format!("{known}, yet it shows membership ({found}; {at})"),
            format!(
                "quorate did not bring it to this and will not undo it: {}",
                anew(view, name)
            ),
        );
    };
    let mut lacks = Vec::new();
    let mut cures = Vec::new();
    if !host.has_trace("/kubelet.conf") {
        lacks.push("/etc/kubernetes/kubelet.conf is gone".to_string());
        cures.push(format!(
            "put /etc/kubernetes/kubelet.conf back from a backup, or make it on a control plane (`kubeadm kubeconfig user --org system:nodes --client-name system:node:{name}`)"
        ));
    }
    let node = view.node(name);
    if node.is_none() {
        lacks.push("its Node is gone".into());
        cures.push(format!(
            "`systemctl restart kubelet` on {name} brings its Node back"
        ));
    }
    if control_plane {
        let gone = host.gone_manifests();
        if !gone.is_empty() {
            lacks.push(format!("{} is gone", gone.join(" and ")));
            cures.push(
                "put the manifests back as they were, from a backup or from /var/lib/quorate/manifests there, and its pods start again"
                    .into(),
            );
        }
        if node.is_none_or(|n| !n.is_control_plane()) {
            if node.is_some() {
                lacks.push("its Node has not the label of a control plane".into());
            }
            cures.push(format!(
                "`kubeadm init phase mark-control-plane --node-name {name}` on a control plane gives the Node its label and taint"
            ));
        }
        let members = view.api().and_then(|(_, api)| api.members.as_deref());
        if members.is_some_and(|all| !all.iter().any(|m| m.name == name.as_str())) {
            lacks.push("etcd does not list it".into());
            cures.clear();
        }
    }
    if lacks.is_empty() {
        lacks.push("its membership is not complete".into());
    }
    let begun_by = match marker.act.as_str() {
        "init" => "kubeadm init",
        _ => "kubeadm join",
    };
    let mut help = cures.join("; ");
    if !help.is_empty() {
        help.push_str("; or start it over: ");
    }
    help.push_str(&anew(view, name));
    (
        format!(
            "{} ({begun_by} came to its end there, by quorate; found {found})",
            lacks.join(", ")
        ),
        help,
    )
}

/// Returns what to do so that a host can join anew. A member of etcd goes first: `kubeadm reset` leaves it behind where it finds no
/// manifest of etcd or no Node (kubeadm 1.36, cmd/phases/reset/removeetcdmember.go), and a member that is gone with its data may be the one
/// that the quorum lacks then. Its Node goes last: without one reset cannot tell that it has a member.
pub(super) fn anew(view: &View, name: &HostName) -> String {
    let reset = format!("run `{START_OVER}` on {name} yourself");
    let members = view.api().and_then(|(_, api)| api.members.as_deref());
    let host = view.hosts.get(name);
    let is_own =
        |m: &&EtcdMember| m.name == name.as_str() || host.is_some_and(|host| host.is_peer(m));
    let own = members.unwrap_or_default().iter().find(is_own);
    let mut others = members.unwrap_or_default().iter().filter(|m| !is_own(m));
    let votes = |m: &EtcdMember| !m.learner && !m.name.is_empty();
    let mut elsewhere = view.hosts.iter().filter(|(other, _)| *other != name);
    let is_last = match members {
        Some(_) => own.is_some_and(votes) && !others.any(votes),
        // Whose API server answers is another one, and who could not be looked at may be.
        None => {
            view.api().is_none_or(|(via, _)| via == name)
                && host.is_some_and(may_vote)
                && !elsewhere.any(|(_, h)| !h.is_known() || may_vote(h))
        }
    };
    // etcd does not let its last member go, and nothing is left behind it.
    if is_last {
        return format!(
            "it is the only member of etcd with a vote, so that this gives the cluster up with all its data: {reset}, then run again"
        );
    }
    let leave = match (own, members) {
        (Some(member), _) => format!("{}, then ", remove(view, name, Some(member))),
        // A worker has none.
        (None, None) if host.is_some_and(may_vote) => format!(
            "etcd's members could not be listed, and its own would have to go first (`member list` in the place of `member remove ID` lists them): {}, then ",
            remove(view, name, None)
        ),
        (None, _) => String::new(),
    };
    let delete = view
        .node(name)
        .map_or_else(String::new, |_| format!(", `kubectl delete node {name}`"));
    format!("{leave}{reset}{delete}, then run again")
}

/// Returns whether a host may have become a member of etcd.
fn may_vote(host: &HostView) -> bool {
    host.has_trace("/etcd.yaml") || host.has_trace("/var/lib/etcd/member")
}

/// Returns the command that removes a member of etcd. etcdctl is in the image of etcd alone.
fn remove(view: &View, name: &HostName, member: Option<&EtcdMember>) -> String {
    let via = view.api().map_or("NODE", |(via, _)| via.as_str());
    // Not on the host that is to leave.
    let members = view.api().and_then(|(_, api)| api.members.as_deref());
    let others = members.unwrap_or_default().iter();
    let others = others.filter(|m| !m.learner && !m.name.is_empty() && m.name != name.as_str());
    let others: Vec<&EtcdMember> = others.collect();
    let is_known = |m: &&&EtcdMember| {
        let mut hosts = view.hosts.iter();
        hosts.any(|(n, host)| n.as_str() == m.name && host.is_known())
    };
    let other = others.iter().find(is_known).or(others.first());
    let via = match other {
        Some(other) if via == name.as_str() => other.name.as_str(),
        _ => via,
    };
    let id = member.map(|m| m.id.as_str()).filter(|id| !id.is_empty());
    format!(
        "`kubectl -n kube-system exec etcd-{via} -- etcdctl --endpoints=https://127.0.0.1:2379 --cacert={PKI}/ca.crt --cert={PKI}/healthcheck-client.crt --key={PKI}/healthcheck-client.key member remove {}`",
        id.unwrap_or("ID")
    )
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
                "look at etcd's log, /var/log/pods/kube-system_etcd-NODE_*/etcd/*.log on a control plane, then run again".into(),
            ),
        ));
    };
    let own = |m: &&EtcdMember| m.name == name.as_str() || host.is_peer(m);
    // A join that was cut off leaves its own member; one without any of its data is left of an earlier life.
    if let Some(member) = members.iter().find(own).filter(|_| !resume) {
        return Err(Missing::new(
            name,
            "etcd still lists a member for it, but the host carries none of its data",
            Cause::Unsafe(format!(
                "remove it: {}, and `kubectl delete node {name}`; then run again",
                remove(view, name, Some(member))
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
        Cause::Unsafe(format!(
            "bring that host back and run again, or remove the member: {}",
            remove(
                view,
                name,
                members
                    .iter()
                    .find(|m| (m.learner || m.name.is_empty()) && !own(m))
            )
        )),
    ))
}
