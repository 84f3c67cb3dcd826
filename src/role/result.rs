//! What tasks gave back: results of steps, and the values of `register`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use crate::event::Status;
use crate::model::Value;

/// A step's end as the host's record tells it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StepResult {
    /// Whether it changed something.
    pub changed: bool,
    /// The exit status.
    pub rc: i32,
    /// Its standard output, where the step captures it (`register`).
    pub stdout: String,
}

/// The results of all steps of this run on one host, by their titles. A step that is in here is not planned again in the
/// same run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Registered {
    results: BTreeMap<String, (Status, StepResult)>,
    /// Whether all hosts that were reached are in the cluster: what plays wait for that come after the workflow.
    pub is_whole: bool,
}

impl Registered {
    /// Takes down how the step of that title ended. `status` is what `HostRoles::judge` made of the result.
    pub fn record(&mut self, title: impl Into<String>, status: Status, result: StepResult) {
        self.results.insert(title.into(), (status, result));
    }

    /// Forgets the steps of the roles that are not among `kept`: they may say something else now.
    pub fn keep(&mut self, kept: &BTreeSet<String>) {
        let is_of = |title: &str, role: &String| {
            let rest = title.strip_prefix(role.as_str());
            rest.is_some_and(|rest| rest.starts_with(" : "))
        };
        self.results
            .retain(|title, _| kept.iter().any(|role| is_of(title, role)));
    }

    /// Returns how the step of that title ended, if it ran in this run.
    pub fn get(&self, title: &str) -> Option<&(Status, StepResult)> {
        self.results.get(title)
    }
}

/// Returns the value of `register` for one task or item.
pub(super) fn value(status: Status, result: &StepResult) -> Value {
    let stdout = result.stdout.trim_end_matches(['\n', '\r']);
    json!({
        "changed": status == Status::Changed,
        "failed": status == Status::Failed,
        "skipped": status == Status::Skipped,
        "rc": result.rc,
        "stdout": stdout,
        "stdout_lines": stdout.lines().collect::<Vec<_>>(),
    })
}

/// Returns the value of `register` for a task with a loop.
pub(super) fn looped(results: Vec<(Value, Value)>) -> Value {
    let any = |key: &str| results.iter().any(|(_, r)| r[key] == Value::Bool(true));
    let all = |key: &str| results.iter().all(|(_, r)| r[key] == Value::Bool(true));
    let (changed, failed, skipped) = (any("changed"), any("failed"), all("skipped"));
    let items: Vec<Value> = results
        .into_iter()
        .map(|(item, mut result)| {
            if let Some(map) = result.as_object_mut() {
                map.insert("item".into(), item);
            }
            result
        })
        .collect();
    json!({ "changed": changed, "failed": failed, "skipped": skipped, "results": items })
}
