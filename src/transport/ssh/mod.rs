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
pub(super) use connector::Address;
pub use connector::SshConnector;
pub use options::{HostKeyPolicy, SshOptions};
