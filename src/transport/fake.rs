//! Transports without a network, for tests of what stands above: one that answers by a closure, and one that runs the
//! commands on this machine.

mod local;
mod scripted;

pub use local::{LocalConnector, LocalTransport};
pub use scripted::{Call, FakeConnector, FakeTransport, Reply};
