//! SSH itself, on russh: connecting, jump hosts, host keys, authentication, and one channel per exec.

mod auth;
mod certificate;
mod channel;
mod client;
mod config;
mod connector;
mod identity;
mod jumps;
mod keyring;
mod known_hosts;
mod options;
mod place;
mod reach;
mod trust;
mod wire;

pub use channel::SshTransport;

pub use config::{Ask, SshConfig, Way, ways};
pub(super) use connector::Address;
pub use connector::SshConnector;
pub use keyring::{Keyring, WrongPassphrase, locked, unlock};
pub use known_hosts::Standing;
pub use options::{HostKeyPolicy, SshOptions};
pub use place::place;
pub use trust::{HostKeys, ShownKey, TrustError, Trusted, removal, trust};

/// Returns why a file cannot be used as a private key, with what to do; `None` where it can, by itself, with its passphrase or
/// through an agent.
pub fn key_trouble(path: &camino::Utf8Path) -> Option<String> {
    match identity::load(path) {
        Ok(_) | Err(identity::IdentityError::Encrypted(_)) => None,
        Err(error) => Some(error.to_string()),
    }
}

/// Reads a known_hosts file and asks it about a host, for the fuzz target of that name alone.
#[cfg(fuzzing)]
pub fn fuzz_known_hosts(file: &[u8], address: &str, port: u16) {
    known_hosts::fuzz(file, address, port);
}
