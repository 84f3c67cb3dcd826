//! What is wrong with the cluster as a whole although each value alone is sound.

use crate::bed::{Bed, HOSTS_FILE};

#[test]
fn a_virtual_address_that_is_a_host_s() {
    insta::assert_snapshot!(
        Bed::sound()
            .vars("cluster_name: mine\n")
            .replace("inventory/group_vars/all.yml", "10.0.0.10", "10.0.0.12")
            .refused()
    );
}

#[test]
fn two_hosts_with_one_address() {
    insta::assert_snapshot!(
        Bed::sound()
            .replace(HOSTS_FILE, "10.0.0.21", "10.0.0.12")
            .refused()
    );
}

#[test]
fn no_control_plane() {
    let bed = Bed::sound().file(
        HOSTS_FILE,
        "kube_node:\n  hosts:\n    w1: { ansible_host: 127.0.0.4, ip: 10.0.0.21 }\n",
    );
    insta::assert_snapshot!(bed.refused());
}

#[test]
fn a_group_by_its_old_name() {
    let bed = Bed::sound().replace(HOSTS_FILE, "kube_control_plane", "kube-master");
    insta::assert_snapshot!(bed.refused());
}

#[test]
fn a_group_with_a_dash() {
    let bed = Bed::sound().replace(HOSTS_FILE, "kube_control_plane", "kube_control_planes");
    insta::assert_snapshot!(bed.refused());
}

#[test]
fn an_even_number_of_control_planes() {
    let bed = Bed::sound().replace(
        HOSTS_FILE,
        "    cp3: { ansible_host: 127.0.0.3, ip: 10.0.0.13 }\n",
        "",
    );
    insta::assert_snapshot!(bed.warned());
}

#[test]
fn one_control_plane() {
    let bed = Bed::sound().file(
        HOSTS_FILE,
        "kube_control_plane:\n  hosts:\n    cp1: { ansible_host: 127.0.0.1, ip: 10.0.0.11 }\n",
    );
    insta::assert_snapshot!(bed.warned());
}

#[test]
fn the_load_balancer_s_port_is_the_api_server_s() {
    insta::assert_snapshot!(Bed::sound().vars("apiserver_dest_port: 6443\n").refused());
    // On hosts of their own there is nothing wrong with it.
    let bed = Bed::sound().vars("apiserver_dest_port: 6443\n").file(
        "inventory/lb.yml",
        "load_balancer:\n  hosts:\n    lb1: { ansible_host: 127.0.0.5, ip: 10.0.0.31 }\n    lb2: { ansible_host: 127.0.0.6, ip: 10.0.0.32 }\n",
    );
    assert_eq!(bed.warned(), "");
}

#[test]
fn an_endpoint_that_leads_elsewhere() {
    insta::assert_snapshot!(
        Bed::sound()
            .vars("control_plane_endpoint: api.example.org:9443\n")
            .refused()
    );
    insta::assert_snapshot!(
        "an_endpoint_without_a_port",
        Bed::sound()
            .vars("control_plane_endpoint: https://api.example.org\n")
            .refused()
    );
}

#[test]
fn networks_that_overlap() {
    insta::assert_snapshot!(
        Bed::sound()
            .vars("pod_subnet: 10.0.0.0/16\nservice_subnet: 10.0.0.0/24\n")
            .refused()
    );
}

#[test]
fn etcd_on_hosts_of_its_own() {
    let bed = Bed::sound().file(
        "inventory/etcd.yml",
        "etcd:\n  hosts:\n    e1: { ansible_host: 127.0.0.7, ip: 10.0.0.41 }\n",
    );
    insta::assert_snapshot!(bed.refused());
}

#[test]
fn external_without_an_endpoint() {
    insta::assert_snapshot!(
        "external_without_an_endpoint",
        Bed::sound().vars("load_balancer: external\n").refused()
    );
}

#[test]
fn static_pods() {
    let pods = "load_balancer: keepalived-haproxy-pods\n";
    insta::assert_snapshot!(
        "static_pods_of_an_old_image",
        Bed::sound().vars(pods).warned()
    );
    let named = format!("{pods}keepalived_image: registry.example.org/keepalived:2.3\n");
    assert_eq!(Bed::sound().vars(&named).warned(), "");
    insta::assert_snapshot!(
        "static_pods_on_the_api_server_s_port",
        Bed::sound()
            .vars(&format!("{named}apiserver_dest_port: 6443\n"))
            .refused()
    );
    let bed = Bed::sound().vars(&named).file(
        "inventory/lb.yml",
        "load_balancer:\n  hosts:\n    lb1: { ansible_host: 127.0.0.5, ip: 10.0.0.31 }\n",
    );
    insta::assert_snapshot!("static_pods_on_hosts_without_a_kubelet", bed.refused());
}

#[test]
fn all_hosts_at_one_address_of_ssh() {
    let bed = Bed::sound()
        .replace(HOSTS_FILE, "127.0.0.2", "127.0.0.1")
        .replace(HOSTS_FILE, "127.0.0.3", "127.0.0.1");
    insta::assert_snapshot!(bed.refused());
}
