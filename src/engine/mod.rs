//! Floor 4: runs plans on hosts. One session per host, one coordinator that decides, a stream of events.

pub mod journal;

mod advice;
mod apply;
mod command;
mod desired;
mod drill;
mod facts;
mod health;
mod lines;
mod lock;
mod look;
mod order;
mod planned;
mod preflight;
mod seen;
mod session;
mod settings;
mod state;
mod waiting;

pub use apply::apply;
pub use command::command;
pub use desired::{Config, Desired};
pub use drill::drill;
pub use look::{plan, status};
pub use preflight::Seen;
pub use settings::{Cancel, Patience, Settings};
