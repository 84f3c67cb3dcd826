//! A plan as a file that `apply FILE` takes: what was found and what would be done, as digests. It holds no contents.

use indexmap::IndexMap;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{ChangeKind, Event, PlannedChange};
use crate::model::{HostName, Sha256};

/// The format. A change that an older quorate would misread raises it.
const PLAN_FILE_VERSION: u64 = 1;
const VERSION_KEY: &str = "quorate_plan";
const SEAL_KEY: &str = "seal";

/// The title of what the workflow does on a host.
pub const ACTS: &str = "cluster";

/// Stands for all that a plan of a host cannot show.
const UNSHOWN: &str = "what is decided or run without being shown";

/// A step of a plan, as a digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedStep {
    /// Its title.
    pub title: String,
    /// Of which kind it is.
    pub kind: ChangeKind,
    /// Digest of what it does, and of what was found for that.
    pub digest: Sha256,
}

/// What a plan is of: an inventory, and the part of it that was chosen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanOrigin {
    /// `cluster_name`.
    pub cluster: String,
    /// Where clients reach the API.
    pub endpoint: String,
    /// All hosts of the inventory's cluster, chosen or not.
    pub inventory: Vec<HostName>,
    /// `--limit`.
    pub limit: Option<String>,
    /// `--shard`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<String>,
    /// `--tags`.
    pub tags: Vec<String>,
    /// `--skip-tags`.
    pub skip_tags: Vec<String>,
    /// The names of the variables that `-e` set, in the alphabet's order. Their values may be secrets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub extra_vars: Vec<String>,
}

impl PlanOrigin {
    /// Returns what a run with these variables set by `-e` says otherwise than the plan's did; `None` where the names are the
    /// same. What a plan of before this was recorded was made with is not known, and looks like none.
    pub fn other_extra_vars(&self, here: &[String]) -> Option<String> {
        let only = |one: &[String], other: &[String]| {
            let names = one.iter().filter(|name| !other.contains(name));
            names.cloned().collect::<Vec<_>>().join(", ")
        };
        let (gone, new) = (only(&self.extra_vars, here), only(here, &self.extra_vars));
        match (gone.as_str(), new.as_str()) {
            ("", "") => None,
            (gone, "") => Some(format!(
                "the plan was made with `-e` of {gone}, which this run lacks"
            )),
            ("", new) => Some(format!(
                "the plan was made without `-e` of {new}, which this run has"
            )),
            (gone, new) => Some(format!(
                "the plan was made with `-e` of {gone}, which this run lacks, and without {new}, which it has"
            )),
        }
    }
}

/// A plan, as digests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanFile {
    /// The run that made it.
    pub run: String,
    /// When.
    pub at: Timestamp,
    /// quorate's version.
    pub version: String,
    /// What it is of.
    pub origin: PlanOrigin,
    /// The hosts that were read, each with what would be done there.
    pub hosts: IndexMap<HostName, Vec<PlannedStep>>,
}

/// Why a text is no plan file that can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanFileError {
    /// It is something else.
    #[error("it is no plan file of quorate's")]
    Foreign,
    /// A newer quorate wrote it.
    #[error("it has format {0}, and this quorate reads {PLAN_FILE_VERSION}")]
    Newer(u64),
    /// It is not what was written.
    #[error("it was changed after it was written: its seal does not fit")]
    Edited,
}

/// Returns what `events` say of each host that was read: its steps, as digests.
pub fn planned_steps<'a>(
    events: impl IntoIterator<Item = &'a Event>,
) -> IndexMap<HostName, Vec<PlannedStep>> {
    let mut hosts: IndexMap<HostName, Vec<PlannedStep>> = IndexMap::new();
    for event in events {
        match event {
            Event::Unchanged { host, unshown, .. } => {
                let unshown = unshown.map(|digest| PlannedStep {
                    title: UNSHOWN.into(),
                    kind: ChangeKind::Undecided,
                    digest,
                });
                hosts.entry(host.clone()).or_default().extend(unshown);
            }
            Event::Planned {
                host,
                title,
                changes,
                ..
            } => hosts.entry(host.clone()).or_default().push(PlannedStep {
                title: named(title, changes),
                kind: ChangeKind::of(changes),
                digest: digest(title, changes),
            }),
            _ => {}
        }
    }
    hosts
}

/// Returns what a step is called: the acts of the cluster have one title, and are told apart by what they do.
fn named(title: &str, changes: &[PlannedChange]) -> String {
    match changes {
        [change] if title == ACTS => format!("{title}: {}", change.what),
        _ => title.to_owned(),
    }
}

fn digest(title: &str, changes: &[PlannedChange]) -> Sha256 {
    let each = |change: &PlannedChange| match change.digest {
        // It holds the reason where that is a part of what was found; others may count days.
        Some(digest) if title == ACTS => json!([change.what, digest.to_string()]),
        Some(digest) => json!([change.what, change.why, digest.to_string()]),
        None => json!([change.what]),
    };
    let changes: Vec<Value> = changes.iter().map(each).collect();
    Sha256::of(json!([title, changes]).to_string())
}

impl PlanFile {
    /// Returns the file's text: JSON, with a seal over all the rest. The seal finds slips and edits; whoever wants to
    /// forge a plan can seal it too.
    pub fn to_text(&self) -> Result<String, serde_json::Error> {
        let mut file = Map::new();
        file.insert(VERSION_KEY.into(), PLAN_FILE_VERSION.into());
        if let Value::Object(rest) = serde_json::to_value(self)? {
            file.extend(rest);
        }
        let seal = seal(&file);
        file.insert(SEAL_KEY.into(), seal.to_string().into());
        Ok(serde_json::to_string_pretty(&file)? + "\n")
    }

    /// Reads a file's text.
    pub fn parse(text: &str) -> Result<Self, PlanFileError> {
        let Ok(Value::Object(mut file)) = serde_json::from_str(text) else {
            return Err(PlanFileError::Foreign);
        };
        let version = file.get(VERSION_KEY).and_then(Value::as_u64);
        match version.ok_or(PlanFileError::Foreign)? {
            PLAN_FILE_VERSION => {}
            newer => return Err(PlanFileError::Newer(newer)),
        }
        let said = file.shift_remove(SEAL_KEY);
        if said != Some(seal(&file).to_string().into()) {
            return Err(PlanFileError::Edited);
        }
        file.shift_remove(VERSION_KEY);
        serde_json::from_value(Value::Object(file)).map_err(|_| PlanFileError::Foreign)
    }

    /// Returns what does not hold any more of what the plan saw, a line each; none where all holds. `now` is what
    /// [`planned_steps`] says of the same hosts today.
    pub fn differences(&self, now: &IndexMap<HostName, Vec<PlannedStep>>) -> Vec<String> {
        let mut found = Vec::new();
        for (host, steps) in &self.hosts {
            match now.get(host) {
                Some(now) => compare(&mut found, host, steps, now),
                None => found.push(format!(
                    "{host} was read for the plan and cannot be read now"
                )),
            }
        }
        for (host, steps) in now {
            if !self.hosts.contains_key(host) && !steps.is_empty() {
                found.push(format!(
                    "{host} was not read for the plan, and has something to do now: `{}`",
                    steps[0].title
                ));
            }
        }
        found
    }
}

fn compare(found: &mut Vec<String>, host: &HostName, then: &[PlannedStep], now: &[PlannedStep]) {
    let mut left: Vec<&PlannedStep> = now.iter().filter(|step| !then.contains(step)).collect();
    for step in then.iter().filter(|step| !now.contains(step)) {
        let title = &step.title;
        match left.iter().position(|new| new.title == *title) {
            Some(at) => {
                left.remove(at);
                found.push(format!(
                    "{host}: `{title}` found something else than the plan saw, or would do something else"
                ));
            }
            None => found.push(format!("{host}: `{title}` has nothing to do any more")),
        }
    }
    for step in left {
        found.push(format!("{host}: `{}` is not in the plan", step.title));
    }
}

/// Returns the digest of a file without its seal. JSON's white space does not count, its order does.
fn seal(file: &Map<String, Value>) -> Sha256 {
    Sha256::of(Value::Object(file.clone()).to_string())
}
