//! quorate brings bare Linux hosts to a highly available kubeadm cluster over SSH, keeps them there, and proves it.
//!
//! Modules are floors; each uses only the floors below it (`tests/floors.rs` holds them to it).

mod bounded;
pub mod model;

pub mod event;

pub mod host;
pub mod inventory;
pub mod template;
pub mod vault;

pub mod plan;
pub mod role;

pub mod cluster;
pub mod transport;

pub mod engine;
pub mod report;

pub mod cli;
