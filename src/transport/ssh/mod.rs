//! SSH itself, on russh: connecting, host keys, authentication, and one channel per exec.

mod auth;
mod channel;
mod client;
mod connector;
mod identity;
mod known_hosts;
mod options;
mod reach;
mod trust;
mod wire;

pub use channel::SshTransport;

pub(super) use connector::Address;
pub use connector::SshConnector;
pub use known_hosts::Standing;
pub use options::{HostKeyPolicy, SshOptions};
pub use trust::{HostKeys, ShownKey, TrustError, Trusted, removal, trust};

/// Returns why a file cannot be used as a private key, with what to do; `None` where it can, by itself or through an agent.
pub fn key_trouble(path: &camino::Utf8Path) -> Option<String> {
    identity::load(path).err().map(|error| error.to_string())
}
