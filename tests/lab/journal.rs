//! Reads a run's journal.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// A kind of record, of one host where it names one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment {
    words: String,
    host: Option<String>,
}

impl Moment {
    /// The host that a blow at this moment befalls.
    pub(crate) fn befalls(&self) -> &str {
        self.host.as_deref().unwrap_or("cp1")
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words)
    }
}

/// The records of one run.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    pub(crate) path: PathBuf,
    pub(crate) text: String,
    records: Vec<Value>,
}

impl Journal {
    /// Returns the journal in that folder whose first record names `mark`; an empty one where there is none yet.
    pub(crate) fn find(folder: &Path, mark: &str) -> Self {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let mut paths: Vec<PathBuf> = entries.map(|e| e.path()).collect();
        // The newest first: process ids come again.
        paths.sort();
        for path in paths.into_iter().rev() {
            let Ok(text) = fs::read_to_string(&path) else {
                continue;
            };
            if text.lines().next().is_some_and(|l| l.contains(mark)) {
                // The last line of a killed run may be cut.
                let records = text
                    .lines()
                    .filter_map(|l| serde_json::from_str(l).ok())
                    .collect();
                return Self {
                    path,
                    text,
                    records,
                };
            }
        }
        Self::default()
    }

    /// Its records, without words on a step's progress.
    fn of_weight(&self) -> impl Iterator<Item = &Value> {
        self.records.iter().filter(|r| r["event"] != "progress")
    }

    /// The host that each record names, in their order.
    pub(crate) fn hosts(&self) -> Vec<Option<String>> {
        let host = |record: &Value| record["host"].as_str().map(str::to_string);
        self.of_weight().map(host).collect()
    }

    /// What the run has come to: each kind of record, with the host and what it is about.
    pub(crate) fn moments(&self) -> BTreeSet<Moment> {
        let words = ["event", "host", "act", "kind", "title", "status"];
        self.of_weight()
            .map(|record| {
                let words = words.iter().filter_map(|key| record[key].as_str());
                Moment {
                    words: words.collect::<Vec<_>>().join(" "),
                    host: record["host"].as_str().map(str::to_string),
                }
            })
            .collect()
    }

    fn events<'a>(&'a self, event: &'a str) -> impl Iterator<Item = &'a Value> {
        self.records.iter().filter(move |r| r["event"] == event)
    }

    /// How many connections were made to each host.
    pub(crate) fn connections(&self) -> BTreeMap<String, u32> {
        count(self.events("connected"))
    }

    /// How many execs of any kind were made on each host.
    pub(crate) fn execs(&self) -> BTreeMap<String, u32> {
        count(self.events("exec_started"))
    }

    /// How many execs of a kind were made, over all hosts.
    pub(crate) fn execs_of(&self, kind: &str) -> usize {
        self.events("exec_started")
            .filter(|r| r["kind"] == kind)
            .count()
    }

    /// Host and title of each step with that status.
    pub(crate) fn steps(&self, status: &str) -> Vec<(String, String)> {
        self.events("step_finished")
            .filter(|r| r["status"] == status)
            .map(|r| (text(&r["host"]), text(&r["title"])))
            .collect()
    }

    /// Hosts on which something was changed.
    pub(crate) fn changed_hosts(&self) -> BTreeSet<String> {
        self.steps("changed").into_iter().map(|(h, _)| h).collect()
    }

    /// Host and title of each planned step.
    pub(crate) fn planned(&self) -> Vec<(String, String)> {
        self.events("planned")
            .map(|r| (text(&r["host"]), text(&r["title"])))
            .collect()
    }

    /// What each round of a drill found.
    pub(crate) fn drills(&self) -> Vec<&Value> {
        self.events("drill_finished").collect()
    }

    /// Whether an act has begun.
    pub(crate) fn has_act(&self, act: &str) -> bool {
        self.events("act_started").any(|r| r["act"] == act)
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_string()
}

fn count<'a>(records: impl Iterator<Item = &'a Value>) -> BTreeMap<String, u32> {
    let mut counts = BTreeMap::new();
    for record in records {
        *counts.entry(text(&record["host"])).or_default() += 1;
    }
    counts
}
