//! Floor 4: runs a plan on many hosts at once.

pub mod journal;
