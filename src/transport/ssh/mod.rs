//! SSH itself, on russh: connecting, host keys, authentication, and one channel per exec.

mod auth;
mod channel;
mod client;
mod connector;
mod identity;
mod known_hosts;
mod options;
mod wire;

pub use channel::SshTransport;

pub use connector::SshConnector;
pub use options::{HostKeyPolicy, SshOptions};

/// Returns why a file cannot be used as a private key, with what to do; `None` where it can, by itself or through an agent.
pub fn key_trouble(path: &camino::Utf8Path) -> Option<String> {
    identity::load(path).err().map(|error| error.to_string())
}

/// Reads a known_hosts file and asks it about a host, for the fuzz target of that name alone.
#[cfg(fuzzing)]
pub fn fuzz_known_hosts(file: &[u8], address: &str, port: u16) {
    known_hosts::fuzz(file, address, port);
}
