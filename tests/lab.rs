//! The lab ring: real hosts, a real cluster. `make test-lab` runs the short stories, `make lab-long` and `make torture` the
//! rest. Each test brings the lab to the state that it begins from; where the one before left it so, that takes a second.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "helpers of tests are no tests to clippy"
)]

#[path = "lab/balancers.rs"]
mod balancers;
#[path = "lab/cluster.rs"]
mod cluster;
#[path = "lab/drift.rs"]
mod drift;
#[path = "lab/drill.rs"]
mod drill;
#[path = "lab/driver.rs"]
mod driver;
#[path = "lab/faults.rs"]
mod faults;
#[path = "lab/firewall.rs"]
mod firewall;
#[path = "lab/journal.rs"]
mod journal;
#[path = "lab/kill.rs"]
mod kill;
#[path = "lab/kube_vip.rs"]
mod kube_vip;
#[path = "lab/long.rs"]
mod long;
#[path = "lab/manifests.rs"]
mod manifests;
#[path = "lab/moves.rs"]
mod moves;
#[path = "lab/packages.rs"]
mod packages;
#[path = "lab/plays.rs"]
mod plays;
#[path = "lab/pods.rs"]
mod pods;
#[path = "lab/short.rs"]
mod short;
#[path = "lab/torture.rs"]
mod torture;
