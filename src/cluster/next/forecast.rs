//! What the workflow would do, as far as it can be told beforehand.

use super::super::addons;
use super::super::drift::{Difference, stage::Part};
use super::super::migrate;
use super::super::view::{Shape, Standing, View};
use super::join::{Join, join};
use super::{Act, Cause, Decision, Missing, Refusal, is, is_worker, next};
use crate::event::ChangeKind;
use crate::model::HostName;

const INIT: &str = "kubeadm init";
const JOIN_CONTROL_PLANE: &str = "kubeadm join --control-plane";
const JOIN_WORKER: &str = "kubeadm join";
/// What goes from one control plane or kubelet to the next.
const ROLLED: [&str; 3] = ["upload", "roll out", "restart"];

/// What the workflow would do, as far as it can be told beforehand.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Forecast {
    /// Host, what, why.
    pub acts: Vec<(HostName, String, String)>,
    /// What, and the difference in its text, of those acts that have one.
    pub diffs: Vec<(String, String)>,
    /// What it would refuse.
    pub refusal: Option<Refusal>,
    /// What it would fail on: message, and what to do.
    pub failure: Option<(String, String)>,
}

/// Returns what `apply` would do to the cluster if every preparation went well.
pub fn forecast(shape: &Shape, view: &View) -> Forecast {
    let mut view = view.clone();
    view.vip_checked = true;
    view.token = true;
    for host in view.hosts.values_mut() {
        if host.standing == Standing::Preparing {
            host.standing = Standing::Prepared;
        }
    }
    let mut forecast = Forecast::default();
    let acts = match next(shape, &view) {
        Decision::Refuse(refusal) => {
            forecast.refusal = Some(refusal);
            return forecast;
        }
        Decision::Fail { message, help } => {
            forecast.failure = Some((message, help));
            return forecast;
        }
        Decision::Do(acts) => acts,
        Decision::Done { .. } | Decision::Wait => Vec::new(),
    };
    let mut first = None;
    for act in &acts {
        let (host, what, why) = match act {
            Act::Init {
                host,
                resume: false,
            } => (host, INIT, "no host shows a cluster"),
            Act::Init { host, resume: true } => (host, INIT, "begun before, not done"),
            Act::Finish { host } => (
                host,
                "mark kubeadm as done",
                "a full member whose marker says otherwise",
            ),
            Act::JoinControlPlane { host, resume } => (host, JOIN_CONTROL_PLANE, why_join(*resume)),
            Act::JoinWorker { host, resume } => (host, JOIN_WORKER, why_join(*resume)),
            // Those of all hosts, below.
            Act::Sign { .. } | Act::Release { .. } | Act::Switch { .. } => continue,
            // All that differs, below.
            Act::Upload { .. }
            | Act::RollOut { .. }
            | Act::Kubelet { .. }
            | Act::Mark { .. }
            | Act::Apply { .. } => continue,
            Act::CheckVip | Act::Mint { .. } => continue,
        };
        first = Some(host);
        forecast.acts.push((host.clone(), what.into(), why.into()));
    }
    for name in &shape.control_planes {
        let host = view.hosts.get(name);
        let due =
            host.filter(|h| h.may_act() && !h.has_open_marker() && view.is_control_plane(name));
        if let Some(why) = due.and_then(|h| h.credential_due.clone()) {
            let what = "sign a kubeconfig for the load balancer";
            forecast.acts.push((name.clone(), what.into(), why));
        }
    }
    if view.api.is_none() && first.is_none() {
        return forecast;
    }
    let moves = match view.api {
        Some(_) => migrate::forecast(shape, &view),
        None => Vec::new(),
    };
    for name in shape.nodes() {
        let Some(host) = view.hosts.get(name).filter(|h| !h.joined && !h.busy) else {
            continue;
        };
        let control_plane = shape.control_planes.contains(name);
        let is_in = if control_plane {
            view.is_control_plane(name)
        } else {
            is_worker(&view, name, host)
        };
        if is_in || forecast.acts.iter().any(|(host, ..)| host == name) {
            continue;
        }
        let why = if view.api.is_none() {
            // All that forbids a join before init has forbidden init.
            if !is(&view, name, |h| h.may_act()) {
                continue;
            }
            why_join(false)
        } else {
            match join(
                &view,
                name,
                host,
                if control_plane { "join" } else { "join-worker" },
            ) {
                Join::Now { resume } => why_join(resume),
                Join::Not(missing) => {
                    forecast.refuse(missing);
                    continue;
                }
                Join::Later => continue,
            }
        };
        let what = if control_plane {
            JOIN_CONTROL_PLANE
        } else {
            JOIN_WORKER
        };
        forecast.acts.push((name.clone(), what.into(), why.into()));
    }
    let place = |name: &HostName| shape.nodes().position(|n| n == name);
    forecast.acts.sort_by_key(|(name, ..)| place(name));
    // In their own order, which is what matters of them.
    forecast.acts.extend(moves);
    forecast.acts.extend(drifted(shape, &view));
    if let Some(host) = view.may_configure(shape) {
        for (name, said) in addons::due(&view) {
            let what = format!("apply {name}");
            let why = addons::told(said);
            forecast.diffs.push((what.clone(), addons::shown(said)));
            forecast.acts.push((host.clone(), what, why));
        }
    }
    forecast
}

/// What is done about kubeadm's own state, as a plan names it.
const fn verb(part: Part) -> &'static str {
    match part {
        Part::Cluster => ROLLED[0],
        Part::ControlPlane => ROLLED[1],
        Part::Kubelet => ROLLED[2],
        Part::Node => "set",
    }
}

/// What differs of kubeadm's own state, where it would be brought back.
fn drifted(shape: &Shape, view: &View) -> Vec<(HostName, String, String)> {
    let mut acts = Vec::new();
    let mut tell = |host: &HostName, what: &str, difference: &Difference| {
        let why = format!("{} {}", difference.path, difference.told());
        acts.push((host.clone(), format!("{what} {}", difference.place), why));
    };
    if let Some((via, _)) = view.api() {
        let able = |name: &&HostName| is(view, name, |h| h.ours && h.api().is_some());
        let mut planes = std::iter::once(via).chain(&shape.control_planes);
        if let Some(host) = planes.find(able) {
            for difference in view.cluster_drift() {
                tell(host, verb(Part::Cluster), difference);
            }
        }
    }
    // All that comes after is made from what the cluster keeps (`drift::stage`).
    if !view.cluster_drift().is_empty() && view.may_configure(shape).is_none() {
        return acts;
    }
    for name in shape.nodes() {
        let Some(host) = view.hosts.get(name).filter(|h| h.ours && h.is_known()) else {
            continue;
        };
        for difference in &host.drift {
            tell(name, verb(difference.place.part()), difference);
        }
    }
    acts
}

/// Returns what kind of change an act of a forecast is.
pub fn kind_of(what: &str) -> ChangeKind {
    match what {
        INIT => ChangeKind::Init,
        JOIN_CONTROL_PLANE | JOIN_WORKER => ChangeKind::Join,
        _ if ROLLED.iter().any(|verb| what.starts_with(verb)) => ChangeKind::RollOut,
        _ => ChangeKind::Change,
    }
}

/// Returns whether an act of a forecast brings back what differs, as its reason says.
pub fn is_difference(what: &str) -> bool {
    let part = [Part::Cluster, Part::ControlPlane, Part::Kubelet, Part::Node];
    let mut verbs = part.into_iter().map(verb).chain(["apply"]);
    verbs.any(|verb| what.starts_with(verb))
}

fn why_join(resume: bool) -> &'static str {
    if resume {
        "begun before, not done"
    } else {
        "not a member yet"
    }
}

impl Forecast {
    fn refuse(&mut self, missing: Missing) {
        if let Cause::Unsafe(help) = &missing.cause {
            let (message, help) = (missing.unfit(), help.clone());
            self.refusal.get_or_insert(Refusal {
                hosts: vec![missing.host],
                message,
                help,
            });
        }
    }
}
