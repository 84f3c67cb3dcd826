//! A host's plan as the script's wave.

use super::{HostPlan, OnFailure, Step};
use crate::host::Facts;
use crate::host::script;

/// The steps of a wave by their numbers, handlers behind.
pub type Titles = Vec<Step>;

/// Returns the wave of a plan, with the steps in the order of their numbers: a record's `id` is the index.
pub fn wave(plan: &HostPlan, run: &str, facts: Facts) -> (script::Wave, Titles) {
    let mut titles = Titles::new();
    let mut number = |step: &Step| {
        let id = titles.len() as u32;
        titles.push(step.clone());
        script::Step {
            id,
            effects: step.changes.iter().map(|c| c.effect.clone()).collect(),
            notify: step.notify.clone(),
            capture: step.register.is_some() || step.tolerant,
            tolerant: step.tolerant,
            caught: step.on_failure != OnFailure::Stop,
            report: step.report,
        }
    };
    let steps = plan.steps.iter().map(&mut number).collect();
    let handlers = plan
        .handlers
        .iter()
        .map(|handler| script::Handler {
            name: handler.id.clone(),
            steps: handler.steps.iter().map(&mut number).collect(),
        })
        .collect();
    let gates = plan.gates.iter().map(&mut number).collect();
    (
        script::Wave {
            run: run.to_string(),
            steps,
            handlers,
            gates,
            facts,
        },
        titles,
    )
}
