//! Bad input, given to the whole program: what it says, its exit code, and that nobody was contacted.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests are no tests to clippy"
)]

#[path = "input/bed.rs"]
mod bed;
#[path = "input/cluster.rs"]
mod cluster;
#[path = "input/command.rs"]
mod command;
#[path = "input/files.rs"]
mod files;
#[path = "input/hostile.rs"]
mod hostile;
#[path = "input/hosts.rs"]
mod hosts;
#[path = "input/plan_file.rs"]
mod plan_file;
#[path = "input/replay.rs"]
mod replay;
#[path = "input/role.rs"]
mod role;
#[path = "input/script.rs"]
mod script;
#[path = "input/secrets.rs"]
mod secrets;
#[path = "input/site.rs"]
mod site;
#[allow(dead_code, reason = "the tests of the wire use more of it")]
#[path = "wire/sshd.rs"]
mod sshd;
#[path = "input/variables.rs"]
mod variables;
#[path = "input/vault.rs"]
mod vault;
#[path = "input/vault_command.rs"]
mod vault_command;
