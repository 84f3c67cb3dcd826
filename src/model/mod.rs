//! Floor 0: names and values that every other module speaks. Pure.

mod diagnostic;
mod digest;
mod encoded;
mod endpoint;
mod mask;
mod mode;
mod name;
mod secret;
mod shard;
pub mod shlex;

pub use diagnostic::{Diagnostic, Diagnostics, Seal, Severity, Source, Span, nearest};
pub use digest::Sha256;
pub use endpoint::{Endpoint, EndpointError};
pub use mask::{MASK, Masks};
pub use mode::{Mode, ModeError};
pub use name::{GroupName, HostName, NameError};
pub use secret::Secret;
pub use shard::{Shard, ShardError};

/// A variable's value, as it comes out of YAML or JSON. Key order is that of the text.
pub type Value = serde_json::Value;

/// A map of variables, in the order in which the text names them.
pub type Map = serde_json::Map<String, Value>;
