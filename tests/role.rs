//! Tests of the role language, of plans, and of what hosts run for them.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests are no tests to clippy"
)]

#[path = "pure/modules.rs"]
mod modules;
#[path = "pure/role.rs"]
mod role;
#[path = "pure/sandbox.rs"]
mod sandbox;
#[path = "pure/shell.rs"]
mod shell;
#[path = "pure/simulated.rs"]
mod simulated;
