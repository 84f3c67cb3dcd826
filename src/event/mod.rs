//! Floor 0: everything that happens in a run, as one versioned stream. Pure.
//!
//! The journal is this stream as JSON lines; what a person sees, the recap and the exit code are folds over it.

mod drill;
mod exit;
mod hide;
mod history;
mod merge;
mod plan_file;
mod planned;
mod recap;
mod reporter;
pub mod schema;
mod seen;
mod text;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::{HostName, Sha256};

pub use drill::{
    DrillPlan, DrillProbe, DrillRecap, DrillRound, Mark, SLOW_MS, Spread, Tenure, WatchGap,
};
pub use exit::ExitCode;
pub use history::{History, RunRef, RunSummary, Since, name_of};
pub use merge::{MergeError, merge};
pub use plan_file::{ACTS, PlanFile, PlanFileError, PlanOrigin, PlannedStep, planned_steps};
pub use planned::{ChangeKind, PlannedChange};
pub use recap::{Failure, Health, HostRecap, Recap, TimeSplit};
pub use reporter::Reporter;
pub use seen::{Certificate, Part, Seen};
pub use text::{is_hostile, printable, tame_json};

/// The stream's version, first in each line. A change that an old reader would misread raises it.
pub const VERSION: u32 = 1;

/// One line of the stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Record {
    /// [`VERSION`].
    #[schemars(range(min = 1, max = VERSION))]
    pub v: u32,
    /// Counts from 0. A journal has a gap where output was not kept; a warning tells of it.
    pub seq: u64,
    /// When the controller saw it, UTC.
    pub at: Timestamp,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// How a step ended.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It was as written already.
    Ok,
    /// It was changed.
    Changed,
    /// `when` said no.
    Skipped,
    /// It was tried and did not work.
    Failed,
    /// It was tried and did not work, and its block's `rescue` follows: the host has not failed.
    Rescued,
}

/// What a step's time is counted as in the recap.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Category {
    /// Installing packages.
    Packages,
    /// Sending and importing binaries and images.
    Transfer,
    /// `kubeadm init` and `kubeadm join`.
    Kubeadm,
    /// A named wait for a condition.
    Wait,
    /// Everything else.
    Own,
}

/// Why a host could not be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Trouble {
    /// No connection: refused, no route, name unknown, no answer in time.
    Unreachable,
    /// The host key is unknown or another one.
    HostKey,
    /// No key was accepted.
    Authentication,
    /// No root rights.
    Elevation,
    /// The connection broke in the middle.
    Lost,
    /// The host answered with something that is no record of ours.
    Protocol,
    /// Another controller holds the host's lock.
    Locked,
    /// What was found on the host and what is wanted of it do not go together.
    Unfit,
    /// What is next cannot be planned, or what was done did not come to what it was for.
    Stuck,
    /// The host would not come up as a part of the cluster.
    Preflight,
}

impl Trouble {
    /// Returns it in words, to stand behind a host's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::HostKey => "host key",
            Self::Authentication => "authentication",
            Self::Elevation => "no root rights",
            Self::Lost => "connection lost",
            Self::Protocol => "protocol",
            Self::Locked => "locked",
            Self::Unfit => "not as the inventory says",
            Self::Stuck => "cannot go on",
            Self::Preflight => "preflight",
        }
    }

    /// Returns whether the exit code for it is 3 (unreachable) and not 1 (failed).
    pub fn is_unreachable(self) -> bool {
        matches!(
            self,
            Self::Unreachable | Self::HostKey | Self::Authentication | Self::Lost
        )
    }
}

/// What kind of exec was made.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum ExecKind {
    /// Read-only questions.
    Probe,
    /// Steps.
    Wave,
    /// The host lock; counted apart.
    Lock,
    /// A request to stop; counted apart.
    Stop,
    /// The user's own command.
    Command,
}

/// Everything that happens in a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Event {
    /// The first event: who runs what on which hosts.
    RunStarted {
        /// Random, 16 hex digits.
        run: String,
        /// `plan`, `apply`, `apply --check`, ...
        command: String,
        /// `cluster_name`.
        cluster: String,
        /// The controller's login user.
        user: String,
        /// quorate's version.
        version: String,
        /// All hosts of the run, in inventory order.
        hosts: Vec<HostName>,
    },
    /// An act of the workflow begins: `probe`, `prepare`, `load balancer`, `init`, `join`, `verify`.
    ActStarted {
        /// Its name.
        act: String,
        /// The hosts that take part.
        hosts: Vec<HostName>,
    },
    /// A connection was made.
    Connected {
        /// The host.
        host: HostName,
        /// Seconds from the first packet to the end of authentication.
        seconds: f64,
    },
    /// An exec was started.
    ExecStarted {
        /// The host.
        host: HostName,
        /// Which kind.
        kind: ExecKind,
        /// Bytes that it sends to standard input.
        bytes: u64,
    },
    /// An exec ended without an exit status before all of its standard input was taken.
    Unsent {
        /// The host.
        host: HostName,
        /// Bytes of [`Event::ExecStarted`] that were not handed to the network.
        bytes: u64,
    },
    /// The host answered the probe.
    Probed {
        /// The host.
        host: HostName,
        /// Seconds from start to parsed answer.
        seconds: f64,
    },
    /// What a task needs no change for; in a plan and in an apply alike.
    Unchanged {
        /// The host.
        host: HostName,
        /// How many tasks are as written.
        ok: u32,
        /// How many tasks `when` left out.
        skipped: u32,
        /// Digest of what tasks and variables say where a plan cannot show all that would be done: tasks that wait for a
        /// result, commands that change nothing, what follows a failure. Absent where it shows all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        unshown: Option<Sha256>,
    },
    /// Which tasks need no change, by their titles; hosts that are alike stand together. Behind [`Event::Unchanged`].
    AsWritten {
        /// The hosts.
        hosts: Vec<HostName>,
        /// Titles of tasks, with the item of a loop.
        titles: Vec<String>,
    },
    /// A plan's step.
    Planned {
        /// The host.
        host: HostName,
        /// The step's title, such as `haproxy : configuration`.
        title: String,
        /// Its changes.
        changes: Vec<PlannedChange>,
        /// Whether it disturbs the path to the API.
        #[serde(default)]
        disturbs: bool,
        /// What earlier runs said of it, as far as their journals tell; filled in by whoever keeps the journals.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        since: Option<Since>,
    },
    /// A step begins.
    StepStarted {
        /// The host.
        host: HostName,
        /// The step's title.
        title: String,
    },
    /// A step ended.
    StepFinished {
        /// The host.
        host: HostName,
        /// The step's title.
        title: String,
        /// How.
        status: Status,
        /// What its time counts as.
        category: Category,
        /// How long it took, seen from the controller.
        seconds: f64,
        /// What was done (one line a change); for a failure the last lines of the command's output.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        detail: Vec<String>,
        /// For a failure: what to do next.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        help: Option<String>,
    },
    /// Something moves on while a step takes long: bytes sent, a wait's state, a line of kubeadm.
    Progress {
        /// The host.
        host: HostName,
        /// One line.
        text: String,
        /// Done and total, where there is a total.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        of: Option<(u64, u64)>,
    },
    /// A host cannot be used, or not any more.
    HostTrouble {
        /// The host.
        host: HostName,
        /// The kind.
        trouble: Trouble,
        /// What was expected and found.
        message: String,
        /// What to do next.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        help: Option<String>,
    },
    /// Something worth a look that stops nothing.
    Warning {
        /// The host it is about, if one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        host: Option<HostName>,
        /// One sentence.
        message: String,
    },
    /// The run stops here because going on would be unsafe: exit code 5.
    Refused {
        /// The hosts that the reason names.
        hosts: Vec<HostName>,
        /// The reason.
        message: String,
        /// What to do next.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        help: Option<String>,
    },
    /// The workflow cannot go on although nothing is unsafe: exit code 1.
    ClusterFailed {
        /// What was waited for or tried.
        message: String,
        /// What to do next.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        help: Option<String>,
    },
    /// A host was seen to stand so in its cluster. Before [`Event::Cluster`].
    HostSeen {
        /// The host.
        host: HostName,
        /// How.
        #[serde(flatten)]
        seen: Seen,
    },
    /// The cluster was seen in this state.
    Cluster {
        /// One sentence: nodes, versions, the VIP's holder.
        summary: String,
        /// Whether everything is as it should be.
        healthy: bool,
    },
    /// A drill is to begin.
    DrillPlanned {
        /// What it is to be.
        #[serde(flatten)]
        plan: DrillPlan,
    },
    /// A drill's round begins.
    DrillStarted {
        /// Counts from 1.
        round: u32,
        /// Who is to be taken away.
        target: HostName,
        /// Who holds the virtual address, where one host does.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        holder: Option<HostName>,
        /// Where requests are made from.
        prober: HostName,
        /// Where the watch is open.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        watcher: Option<HostName>,
    },
    /// Requests of a drill, about a second of them.
    DrillProbes {
        /// Where they were made.
        host: HostName,
        /// What their starts count from, by the controller's clock.
        start: Timestamp,
        /// In the order of their ends.
        probes: Vec<DrillProbe>,
    },
    /// Something happened in a drill.
    DrillMark {
        /// To whom.
        host: HostName,
        /// What.
        mark: Mark,
        /// When, by the controller's clock.
        when: Timestamp,
    },
    /// A drill's round is over.
    DrillFinished {
        /// What it found.
        #[serde(flatten)]
        result: DrillRound,
    },
    /// The user asked to stop; what is under way ends at its step's boundary.
    Interrupted {
        /// Hosts that had a step under way.
        hosts: Vec<HostName>,
    },
    /// A line of a user's command (`quorate exec`).
    Output {
        /// The host.
        host: HostName,
        /// Whether it came on standard error.
        stderr: bool,
        /// The line, without its end.
        line: String,
    },
    /// A host's part of the run is over.
    HostFinished {
        /// The host.
        host: HostName,
        /// Seconds from its first connection attempt.
        seconds: f64,
    },
    /// The last event.
    RunFinished {
        /// The exit code: that of the fold over all events before.
        exit: u8,
        /// Wall time in seconds.
        seconds: f64,
    },
}

impl Event {
    /// Returns the host that the event is about, where it is about one.
    pub fn host(&self) -> Option<&HostName> {
        match self {
            Self::Connected { host, .. }
            | Self::ExecStarted { host, .. }
            | Self::Unsent { host, .. }
            | Self::Probed { host, .. }
            | Self::Unchanged { host, .. }
            | Self::Planned { host, .. }
            | Self::StepStarted { host, .. }
            | Self::StepFinished { host, .. }
            | Self::Progress { host, .. }
            | Self::HostTrouble { host, .. }
            | Self::Output { host, .. }
            | Self::HostSeen { host, .. }
            | Self::HostFinished { host, .. }
            | Self::DrillProbes { host, .. }
            | Self::DrillMark { host, .. } => Some(host),
            Self::DrillStarted { target, .. } => Some(target),
            Self::DrillFinished { result } => Some(&result.target),
            Self::Warning { host, .. } => host.as_ref(),
            _ => None,
        }
    }
}
