//! Tests of the floors without IO: tables of text and what comes of it.

mod pure {
    mod kubeadm;
    mod modules;
    mod role;
    mod sandbox;
    mod seed;
    mod shell;
    mod simulated;
    mod template;
    mod yaml;
}
