//! Tests of the floors without IO: tables of text and what comes of it.

mod pure {
    mod ansible;
    mod example;
    mod fuzz;
    mod inventory;
    mod kubeadm;
    mod modules;
    mod role;
    mod sandbox;
    mod seed;
    mod shell;
    mod simulated;
    mod spec;
    mod template;
    mod yaml;
}
