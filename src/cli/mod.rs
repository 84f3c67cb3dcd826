//! Floor 5: arguments in, exit code out. clap, color-eyre and exit codes live here alone.

mod access;
mod args;
mod ask;
mod choice;
mod controller;
mod demo;
mod descriptors;
mod drill;
mod eject;
mod exit;
mod history;
mod keys;
mod levels;
mod plan_file;
mod program;
mod project;
mod replay;
mod request;
mod run;
mod trust;
mod vault;
mod views;

pub use exit::WrongInput;
pub use program::{command, main};
pub use request::{Command, HostKey, InventoryView, Locks, Request};
