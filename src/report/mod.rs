//! Floor 4: what a person or a program reads of a run. It knows `event` (and `model`'s diagnostics) and nothing else.

pub mod diagnostics;
mod dispatch;
mod drill;
mod history;
mod host_keys;
mod html;
mod json;
mod letter;
mod live;
mod metrics;
mod options;
mod painter;
mod plain;
mod plan;
mod plan_file;
mod plan_json;
mod pretty;
mod recap;
pub mod schema;
mod screen;
mod syntax;
mod text;

pub use crate::event::Reporter;
pub use dispatch::{PLAN_FILE, Reporters};
pub use history::{Entry, history, history_lines};
pub use host_keys::{HostKeyEntry, KeyRow, KeyStanding, host_keys, host_keys_lines};
pub use html::page;
pub use json::Json;
pub use letter::letter;
pub use metrics::{Metrics, metrics};
pub use options::{Color, Options, Output, reporter};
pub use plain::Plain;
pub use plan::PlanView;
pub use plan_file::PlanWriter;
pub use pretty::{Pretty, Surface};
pub use recap::render as render_recap;
