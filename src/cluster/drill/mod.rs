//! `drill failover`, without IO: what was asked for, who is the target, whether the cluster can bear it, the scripts that
//! run on the hosts, and what the probes mean.

pub mod measure;
pub mod record;
pub mod redundancy;
pub mod script;
pub mod wish;

pub use super::next::Refusal;
pub use measure::{Course, Gap, Probe, Timeline};
pub use record::Heard;
pub use redundancy::{HostSeen, Missing, Seen};
pub use wish::{By, Holding, Site, Target, Wish};
