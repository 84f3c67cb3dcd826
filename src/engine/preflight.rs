//! What keeps hosts from becoming a cluster, told of all of them at once before anything is changed.

use std::collections::BTreeSet;

use super::look::refuse;
use super::session::Problem;
use super::settings::APPLY;
use super::state::{HostState, State, trouble};
use crate::cluster::Standing;
use crate::cluster::next::Refusal;
use crate::cluster::preflight::{Finding, Level};
use crate::event::{Event, Trouble};
use crate::host::Observed;
use crate::model::HostName;
use crate::plan::HostPlan;

/// A host that was read, for [`super::Desired::preflight`].
pub struct Seen<'a> {
    /// The host.
    pub host: &'a HostName,
    /// What was observed.
    pub observed: &'a Observed,
    /// What its roles will do first.
    pub plan: &'a HostPlan,
    /// Whether the run may change it.
    pub ours: bool,
}

/// Returns whether something was found that is unsafe whatever an API server says: before hosts are planned.
pub(super) fn forbids(state: &State) -> bool {
    findings(state).iter().any(|f| f.level == Level::Unsafe)
}

fn findings(state: &State) -> Vec<Finding> {
    let settings = &state.settings;
    let hosts = state.hosts.iter().filter(|(_, h)| h.session.is_some());
    let seen: Vec<Seen<'_>> = hosts
        .map(|(host, seen)| Seen {
            host,
            observed: &seen.observed,
            plan: &seen.plan,
            ours: settings.is_ours(host),
        })
        .collect();
    settings.desired.preflight(&seen)
}

/// Tells of what was found, and returns whether the run may go on. Before there is a cluster nothing is begun beside a fault; a
/// cluster that lives goes on without the host that has one.
pub(super) async fn passes(state: &mut State) -> bool {
    let settings = state.settings.clone();
    let found = findings(state);
    let (warnings, faults): (Vec<&Finding>, Vec<&Finding>) =
        found.iter().partition(|f| f.level == Level::Warning);
    for finding in warnings {
        let event = Event::Warning {
            host: Some(finding.host.clone()),
            message: format!("{}. {}", finding.text(), finding.cure),
        };
        settings.emit(event).await;
    }
    let lives = state.view.has_cluster();
    for finding in &faults {
        match finding.level {
            Level::Unsafe => {
                let refusal = Refusal {
                    hosts: vec![finding.host.clone()],
                    message: finding.text(),
                    help: finding.cure.clone(),
                };
                refuse(&settings, refusal).await;
            }
            _ => trouble(&settings, &finding.host, problem(finding)).await,
        }
    }
    // What does not fit the inventory has been told when it was planned.
    let is_unfit = |host: &HostState| matches!(host.standing, Standing::Failed(_));
    // Hosts outside of the cluster keep it from nothing.
    let shape = settings.desired.shape();
    let is_part = |name: &HostName| {
        let mut all = shape.nodes().chain(&shape.load_balancers);
        all.any(|part| part == name)
    };
    let ours = state.hosts.iter();
    let ours = ours.filter(|(name, _)| settings.is_ours(name) && is_part(name));
    let unfit: Vec<&HostName> = ours.filter(|(_, h)| is_unfit(h)).map(|(n, _)| n).collect();
    if faults.is_empty() && (lives || unfit.is_empty()) {
        return true;
    }
    if !lives || faults.iter().any(|f| f.level == Level::Unsafe) {
        let count = faults.len() + unfit.len();
        let hosts: BTreeSet<_> = faults.iter().map(|f| &f.host).chain(unfit).collect();
        let things = |n: usize, thing: &str| match n {
            1 => format!("1 {thing}"),
            n => format!("{n} {thing}s"),
        };
        let changes = settings.command == APPLY;
        let message = format!(
            "{}: {} on {} would not let the cluster come up",
            if changes {
                "nothing was changed"
            } else {
                "apply would change nothing"
            },
            things(count, "finding"),
            things(hosts.len(), "host")
        );
        let help = "mend them and run again; a finding that is to be borne goes by its name into `ignore_preflight_errors` (docs/preflight.md)";
        let event = Event::ClusterFailed {
            message,
            help: Some(help.into()),
        };
        settings.emit(event).await;
        // A plan shows what apply would do once they are mended.
        return !changes && faults.iter().all(|f| f.level != Level::Unsafe);
    }
    for finding in &faults {
        if let Some(host) = state.hosts.get_mut(&finding.host) {
            host.standing = Standing::Failed(finding.text());
            host.plan = HostPlan::default();
        }
        state.refresh(&finding.host);
    }
    true
}

fn problem(finding: &Finding) -> Problem {
    Problem {
        trouble: Trouble::Preflight,
        message: finding.text(),
        help: Some(finding.cure.clone()),
    }
}
