//! Floor 3: what needs order across hosts. Pure: (shape, view) -> the next safe acts, done, or a refusal.
//!
//! [`next()`] decides, [`act`] turns a decision into the steps of one host's wave, [`view`] is what it decides on;
//! [`spec`] is what the user's variables mean.

pub mod act;
pub mod addons;
pub mod drift;
pub mod drill;
pub mod kubeadm;
pub mod load_balancer;
pub mod migrate;
pub mod next;
pub mod preflight;
pub mod spec;
pub mod view;

pub use next::{Act, Decision, next};
pub use view::{HostView, Lasting, Moving, Shape, Standing, View};
