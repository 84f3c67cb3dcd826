//! The transport over real wires: OpenSSH's server, a server that misbehaves, and sudo. Only loopback.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests are no tests to clippy"
)]

#[path = "wire/bad_server.rs"]
mod bad_server;
#[path = "wire/drill.rs"]
mod drill;
#[path = "wire/engine.rs"]
mod engine;
#[path = "wire/fleet.rs"]
mod fleet;
#[path = "wire/health.rs"]
mod health;
#[path = "wire/help.rs"]
mod help;
#[path = "wire/host_keys.rs"]
mod host_keys;
#[path = "wire/hostile.rs"]
mod hostile;
#[path = "wire/jumps.rs"]
mod jumps;
#[path = "wire/login.rs"]
mod login;
#[path = "wire/messages.rs"]
mod messages;
#[path = "wire/misbehaving.rs"]
mod misbehaving;
#[path = "wire/odd_hosts.rs"]
mod odd_hosts;
#[path = "wire/openssh.rs"]
mod openssh;
#[path = "wire/outside.rs"]
mod outside;
#[path = "wire/scale.rs"]
mod scale;
#[path = "wire/sshd.rs"]
mod sshd;
#[path = "wire/sudo.rs"]
mod sudo;
#[path = "wire/trust.rs"]
mod trust;
