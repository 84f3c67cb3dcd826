//! Tests of the floors without IO: tables of text and what comes of it.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests are no tests to clippy"
)]

mod pure {
    mod ansible;
    mod cluster_next;
    mod cluster_read;
    mod cluster_sim;
    mod drift;
    mod drill;
    mod example;
    mod fuzz;
    mod inventory;
    mod kubeadm;
    mod kubeadm_credentials;
    mod kubeadm_user;
    mod masks;
    mod seed;
    mod spec;
    mod template;
    mod vault;
    mod yaml;
}
