//! Floor 4: what a person or a program reads of a run. It knows `event` (and `model`'s diagnostics) and nothing else.

pub mod diagnostics;
mod dispatch;
mod drill;
mod html;
mod json;
mod live;
mod options;
mod painter;
mod plain;
mod plan;
mod pretty;
mod recap;
mod screen;
mod text;

pub use crate::event::Reporter;
pub use dispatch::Reporters;
pub use html::page;
pub use json::Json;
pub use options::{Color, Options, Output, reporter};
pub use plain::Plain;
pub use plan::PlanView;
pub use pretty::{Pretty, Surface};
pub use recap::render as render_recap;
