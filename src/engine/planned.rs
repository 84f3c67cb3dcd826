//! A host's plan and the workflow's forecast as events; and whether a plan that was made before still holds.

use super::Settings;
use super::state::State;
use crate::cluster;
use crate::cluster::next::{Forecast, Refusal};
use crate::event::{ACTS, ChangeKind, Event, PlannedChange, planned_steps};
use crate::host::script::Report;
use crate::model::{HostName, Sha256};
use crate::plan::{HostPlan, Step};

/// How many differences from an older plan are told; the rest are counted.
const TOLD: usize = 12;

/// Returns what would be done on a host, in order: its tasks, its handlers, and what is left until these are done.
pub(super) fn of_host(name: &HostName, plan: &HostPlan) -> Vec<Event> {
    let event = |step: &Step, changes| Event::Planned {
        host: name.clone(),
        title: step.title.clone(),
        changes,
        disturbs: step.disturbs,
        since: None,
    };
    // A command that changes nothing (`changed_when: false`) is run, and is no difference.
    let changing = plan.steps.iter().filter(|step| step.report != Report::Ok);
    let mut events: Vec<Event> = changing.map(|step| event(step, step.planned())).collect();
    for handler in &plan.handlers {
        let why = if handler.pending {
            "left pending by an earlier run"
        } else {
            "notified by a change above"
        };
        for step in &handler.steps {
            let mut changes = step.planned();
            changes
                .iter_mut()
                .for_each(|change| change.why = why.into());
            events.push(event(step, changes));
        }
    }
    let later = plan.known_after_apply.iter().map(|title| Event::Planned {
        host: name.clone(),
        title: title.clone(),
        changes: vec![PlannedChange::new(
            ChangeKind::Undecided,
            "not decided yet",
            "known after apply",
        )],
        disturbs: false,
        since: None,
    });
    events.extend(later);
    events
}

/// Returns what the workflow would do on the hosts of the run.
pub(super) fn of_cluster(settings: &Settings, forecast: &Forecast) -> Vec<Event> {
    let acts = forecast.acts.iter();
    acts.filter(|(host, ..)| settings.is_ours(host))
        .map(|(host, what, why)| {
            let kind = cluster::next::kind_of(what);
            let mut change = PlannedChange::new(kind, what.as_str(), why.as_str());
            let mut diffs = forecast.diffs.iter();
            let diff = diffs.find(|(of, _)| of == what && settings.desired.shows_differences());
            change.diff = diff.map(|(_, text)| text.clone());
            change.digest = Some(bound(settings, host, what, why));
            Event::Planned {
                host: host.clone(),
                title: ACTS.into(),
                changes: vec![change],
                disturbs: false,
                since: None,
            }
        })
        .collect()
}

/// Returns a digest of what an act does, and of what was found for that. Why somebody joins, or a certificate is signed, is no part
/// of it: it may count days.
fn bound(settings: &Settings, host: &HostName, what: &str, why: &str) -> Sha256 {
    let desired = &settings.desired;
    // A new cluster gets them all.
    let manifests = desired.manifests().iter();
    let text: Vec<_> = manifests.map(|m| (&m.name, &m.text)).collect();
    let found = cluster::next::is_difference(what).then_some(why);
    let bound = desired.bound(host).map(|digest| digest.to_string());
    Sha256::of(serde_json::json!([what, found, bound, text]).to_string())
}

/// Says the differences of a host's wave before it is sent, where somebody asked for differences (`apply --diff`).
pub(super) async fn tell_differences(settings: &Settings, name: &HostName, plan: &HostPlan) {
    for event in of_host(name, plan) {
        if let Event::Planned { changes, .. } = &event
            && changes.iter().any(|change| change.diff.is_some())
        {
            settings.emit(event).await;
        }
    }
}

const AGAIN: &str = "make a new plan with `quorate plan --out FILE`, look at it, and apply that";

/// Returns why the plan that the user agreed to may not be carried out: something is not as it was seen then. `None`
/// where all is, or where no plan binds the run.
pub(super) fn stale(state: &State) -> Option<Refusal> {
    let settings = &state.settings;
    let approved = settings.approved.as_ref()?;
    let mut events = Vec::new();
    for name in state.hosts.keys().filter(|name| settings.is_ours(name)) {
        let Some(plan) = state.whole_plan(name) else {
            continue;
        };
        events.push(Event::Unchanged {
            host: name.clone(),
            ok: plan.ok,
            skipped: plan.skipped,
            unshown: plan.unshown,
        });
        events.extend(of_host(name, &plan));
    }
    let forecast = cluster::next::forecast(settings.desired.shape(), &state.view);
    events.extend(of_cluster(settings, &forecast));
    let events: Vec<Event> = events
        .into_iter()
        .map(|event| settings.desired.shown(event))
        .collect();
    let mut found = approved.differences(&planned_steps(&events));
    if found.is_empty() {
        return None;
    }
    if found.len() > TOLD {
        let more = found.len() - TOLD;
        found.truncate(TOLD);
        found.push(format!("and {more} more"));
    }
    Some(Refusal {
        hosts: Vec::new(),
        message: format!(
            "the plan of {} does not hold any more; nothing was changed:\n{}",
            approved.at.strftime("%Y-%m-%d %H:%MZ"),
            found.join("\n")
        ),
        help: match approved.origin.other_extra_vars(&settings.extra_vars) {
            Some(otherwise) => format!("{otherwise}: say the same; or {AGAIN}"),
            None => AGAIN.into(),
        },
    })
}
