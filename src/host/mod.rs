//! Floor 1: the two vocabularies, what can be asked of a host and what can be done to it. Pure.

mod request;

pub use request::{Kind, Request, Segment};
