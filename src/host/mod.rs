//! Floor 1: the two vocabularies, what can be asked of a host and what can be done to it. Pure.
//!
//! [`fact`] and [`probe`] are the questions and their rendering; [`effect`] and [`script`] the deeds and theirs;
//! [`record`] reads what comes back.

pub mod effect;
pub mod fact;
pub mod local;
pub mod probe;
pub mod record;
mod request;
pub mod script;
pub mod sh;

pub use effect::{Content, Effect, Expect, Run, UnitAct, WriteFile};
pub use fact::{AddonState, Fact, Facts, FileKind, FileState, Known, Observed, System, UnitState};
pub use request::{Kind, Request, Segment};
