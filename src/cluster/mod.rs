//! cluster

pub mod spec;
