//! What a plan would change: of which kind, why, what is looked at once more before it is done.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::Sha256;

/// What would happen to a host, in the order in which a plan shows it.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// Something that is not there is made.
    Create,
    /// Something that is there is changed.
    #[default]
    Change,
    /// Something goes.
    Remove,
    /// A command runs.
    Run,
    /// A unit is started.
    Start,
    /// A unit is stopped.
    Stop,
    /// A daemon reads its configuration again.
    Reload,
    /// A daemon ends and starts again.
    Restart,
    /// A cluster begins: `kubeadm init`.
    Init,
    /// A node becomes a member: `kubeadm join`.
    Join,
    /// Something changes on all members, one after the other.
    RollOut,
    /// What is done is decided when earlier steps are done.
    Undecided,
}

impl ChangeKind {
    /// All kinds, in the order in which a plan shows them.
    pub const ALL: [Self; 12] = [
        Self::Create,
        Self::Change,
        Self::Remove,
        Self::Run,
        Self::Start,
        Self::Stop,
        Self::Reload,
        Self::Restart,
        Self::Init,
        Self::Join,
        Self::RollOut,
        Self::Undecided,
    ];

    /// Returns it in words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Change => "change",
            Self::Remove => "remove",
            Self::Run => "run",
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Reload => "reload",
            Self::Restart => "restart",
            Self::Init => "init",
            Self::Join => "join",
            Self::RollOut => "roll out",
            Self::Undecided => "known after apply",
        }
    }

    /// Returns whether such a change makes a host's state as written. A reload or a command is a deed: it was never
    /// "as written" before.
    pub fn is_state(self) -> bool {
        matches!(
            self,
            Self::Create | Self::Change | Self::Remove | Self::Start | Self::Stop | Self::RollOut
        )
    }

    /// Returns the kind of a step with these changes: that which comes last in [`ChangeKind::ALL`], so that a restart is
    /// never hidden behind a file.
    pub fn of(changes: &[PlannedChange]) -> Self {
        let kinds = changes.iter().map(|change| change.kind);
        kinds.max().unwrap_or_default()
    }
}

/// A change that a plan would make: what, why, and the difference.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct PlannedChange {
    /// What would be done, such as `write /etc/haproxy/haproxy.cfg`.
    pub what: String,
    /// Why, such as `content differs`.
    pub why: String,
    /// Of which kind; journals before the plan knew kinds say nothing, and count as `change`.
    #[serde(default)]
    pub kind: ChangeKind,
    /// Unified diff, secrets masked; absent where there is no text to compare.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diff: Option<String>,
    /// What is looked at once more on the host before it is done; absent where nothing can be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guard: Option<String>,
    /// Digest of all that would be done and of the guard's word on what was seen: two plans with the same digest do the
    /// same, where the same was found. Absent for what the workflow decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Sha256>,
}

impl PlannedChange {
    /// Returns a change of the workflow's, without a text to compare.
    pub fn new(kind: ChangeKind, what: impl Into<String>, why: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            why: why.into(),
            kind,
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_of_its_strongest_kind() {
        let of = |kinds: &[ChangeKind]| {
            let changes = kinds.iter().map(|kind| PlannedChange::new(*kind, "", ""));
            ChangeKind::of(&changes.collect::<Vec<_>>())
        };
        assert_eq!(of(&[]), ChangeKind::Change);
        assert_eq!(
            of(&[ChangeKind::Change, ChangeKind::Start]),
            ChangeKind::Start
        );
        assert_eq!(
            of(&[ChangeKind::Restart, ChangeKind::Create]),
            ChangeKind::Restart
        );
        let mut sorted = ChangeKind::ALL;
        sorted.sort();
        assert_eq!(sorted, ChangeKind::ALL);
    }
}
