//! Tests of the floors without IO: tables of text and what comes of it.

mod pure {
    mod ansible;
    mod cluster_next;
    mod cluster_sim;
    mod example;
    mod fuzz;
    mod inventory;
    mod kubeadm;
    mod kubeadm_credentials;
    mod kubeadm_user;
    mod seed;
    mod spec;
    mod template;
    mod yaml;
}
