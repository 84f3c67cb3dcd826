//! A plan as one object, the last line of `plan --output json`. Its fields only grow; docs/plan-and-drift.md lists them.

use serde_json::{Map, Value, json};

use crate::event::{Event, Recap, Record, VERSION};

use super::plan::{PlanView, Stands, Step};

/// Collects a plan out of the stream.
#[derive(Default)]
pub(super) struct PlanObject {
    run: String,
    cluster: String,
    at: Option<jiff::Timestamp>,
    view: PlanView,
    recap: Recap,
}

impl PlanObject {
    /// Adds a record; returns the object with the last one of a plan.
    pub(super) fn add(&mut self, record: &Record) -> Option<Value> {
        let begins = matches!(record.event, Event::RunStarted { .. });
        if !begins && !self.recap.is_read_only() {
            return None;
        }
        // What hosts have said must not steer the terminal of whoever looks at the object.
        let record = &record.to_printable();
        if let Event::RunStarted { run, cluster, .. } = &record.event {
            self.run.clone_from(run);
            self.cluster.clone_from(cluster);
            self.at = Some(record.at);
        }
        self.recap.add(record);
        self.view.add(record);
        matches!(record.event, Event::RunFinished { .. }).then(|| self.object())
    }

    fn object(&self) -> Value {
        let mut hosts = Map::new();
        let mut counts = [0u64; 4];
        for (name, steps, stands) in self.view.hosts(&self.recap) {
            let recap = self.recap.hosts.get(name);
            let (place, word) = match stands {
                Stands::Changing => (0, "changing"),
                Stands::Unchanged => (1, "unchanged"),
                Stands::Failed => (2, "failed"),
                Stands::Unread => (3, "unread"),
                // It has no part in the plan.
                Stands::Asked => continue,
            };
            counts[place] += 1;
            hosts.insert(
                name.to_string(),
                json!({
                    "state": word,
                    "ok": recap.map_or(0, |host| host.ok),
                    "skipped": recap.map_or(0, |host| host.skipped),
                    "steps": steps.iter().map(step).collect::<Vec<_>>(),
                }),
            );
        }
        let kinds: Map<String, Value> = self
            .view
            .counts()
            .into_iter()
            .map(|(kind, n)| (word(kind), n.into()))
            .collect();
        json!({
            "v": VERSION,
            "event": "plan",
            "run": self.run,
            "cluster": self.cluster,
            "at": self.at,
            "exit": self.recap.exit_code(),
            "complete": counts[2] + counts[3] == 0 && !self.recap.interrupted
                && self.recap.refused.is_none() && self.recap.failed.is_none(),
            "summary": {
                "changing": counts[0], "unchanged": counts[1], "failed": counts[2], "unread": counts[3],
                "steps": kinds,
            },
            "hosts": hosts,
            "failures": self.recap.failures,
            "health": self.recap.cluster.as_ref().map(|text| json!({
                "healthy": self.recap.healthy, "summary": text,
            })),
        })
    }
}

fn word(kind: impl serde::Serialize) -> String {
    match serde_json::to_value(kind) {
        Ok(Value::String(word)) => word,
        _ => String::new(),
    }
}

fn step(step: &Step) -> Value {
    let since = step.since.as_ref();
    json!({
        "title": step.title,
        "kind": step.kind,
        "disturbs": step.disturbs,
        "changes": step.changes.iter().map(|change| json!({
            "what": change.what, "why": change.why, "kind": change.kind, "diff": change.diff, "guard": change.guard,
        })).collect::<Vec<_>>(),
        "as_written": since.and_then(|since| since.as_written.as_ref()),
        "different": since.and_then(|since| since.different.as_ref()),
    })
}
