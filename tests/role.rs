//! Tests of the role language, of plans, and of what hosts run for them.

// Helpers of tests are tests.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr
)]

#[path = "pure/addons.rs"]
mod addons;
#[path = "pure/blocks.rs"]
mod blocks;
#[path = "pure/conditions.rs"]
mod conditions;
#[path = "pure/control.rs"]
mod control;
#[path = "pure/drill_scripts.rs"]
mod drill_scripts;
#[path = "pure/files.rs"]
mod files;
#[path = "pure/hostile.rs"]
mod hostile;
#[path = "pure/kube_vip.rs"]
mod kube_vip;
#[path = "pure/kube_vip_kubeconfig.rs"]
mod kube_vip_kubeconfig;
#[path = "pure/kube_vip_scripts.rs"]
mod kube_vip_scripts;
#[path = "pure/local.rs"]
mod local;
#[path = "pure/managers.rs"]
mod managers;
#[path = "pure/many.rs"]
mod many;
#[path = "pure/migrate.rs"]
mod migrate;
#[path = "pure/migrate_remains.rs"]
mod migrate_remains;
#[path = "pure/migrate_steps.rs"]
mod migrate_steps;
#[path = "pure/modules.rs"]
mod modules;
#[path = "pure/modules_mistakes.rs"]
mod modules_mistakes;
#[path = "pure/planted.rs"]
mod planted;
#[path = "pure/pods.rs"]
mod pods;
#[path = "pure/polling.rs"]
mod polling;
#[path = "pure/preflight.rs"]
mod preflight;
#[path = "pure/preflight_firewall.rs"]
mod preflight_firewall;
#[path = "pure/preflight_questions.rs"]
mod preflight_questions;
#[path = "pure/refused.rs"]
mod refused;
#[path = "pure/repositories.rs"]
mod repositories;
#[path = "pure/resume.rs"]
mod resume;
#[path = "pure/role.rs"]
mod role;
#[path = "pure/sandbox.rs"]
mod sandbox;
#[path = "pure/schema.rs"]
mod schema;
#[path = "pure/secrets.rs"]
mod secrets;
#[path = "pure/seed_inventory.rs"]
mod seed_inventory;
#[path = "pure/shell.rs"]
mod shell;
#[path = "pure/shell_packages.rs"]
mod shell_packages;
#[path = "pure/shell_probes.rs"]
mod shell_probes;
#[path = "pure/shell_waves.rs"]
mod shell_waves;
#[path = "pure/simulated.rs"]
mod simulated;
#[path = "pure/site.rs"]
mod site;
#[path = "pure/specs.rs"]
mod specs;
