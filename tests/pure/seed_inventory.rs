//! From an inventory's text through the cluster's specification to the built-in roles and kubeadm's documents.

use std::collections::BTreeSet;
use std::sync::Arc;

use quorate::cluster::kubeadm::{Credentials, KubeadmInput, init};
use quorate::cluster::spec::ClusterSpec;
use quorate::inventory::{Input, Inventory};
use quorate::role::{HostRoles, Library};
use serde_json::{Value, json};

use super::role::{AllThere, scope};

pub(crate) const HOSTS: &str = "\
kube_control_plane:
  hosts:
    cp1: {ansible_host: 10.0.0.11}
    cp2: {ansible_host: 10.0.0.12}
    cp3: {ansible_host: 10.0.0.13}
kube_node:
  hosts:
    w1: {ansible_host: 10.0.0.21}
";

fn spec(more: &str) -> ClusterSpec {
    let all = format!(
        "kubernetes_version: \"1.36.3\"\napiserver_vip: 10.0.0.10\nkubernetes_source: files\nkubernetes_files: /srv\n{more}"
    );
    let (inventory, found) = Inventory::build(
        &Input::from_text("hosts.yml", HOSTS).with_group_vars("all", "all.yml", &all),
    );
    assert!(!found.has_errors(), "{found:#?}");
    let (spec, found) = ClusterSpec::build(&inventory, &BTreeSet::new());
    assert!(!found.has_errors(), "{found:#?}");
    spec.unwrap()
}

#[test]
fn roles_need_no_variable_that_an_inventory_does_not_give() {
    let (library, found) = Library::builtin();
    assert!(!found.has_errors(), "{found:#?}");
    for more in [
        "",
        "control_plane_endpoint: api.example.org:8443\n",
        "load_balancer_profile: seed\n",
        "http_proxy: http://p:1\n",
        "vrrp_unicast: true\n",
        "load_balancer: keepalived-haproxy-pods\n",
    ] {
        let spec = spec(more);
        for host in spec.hosts.values() {
            let mut names = vec!["hosts", "container_runtime", "kubernetes"];
            if host.roles.load_balancer {
                names.extend(["vrrp", "haproxy", "keepalived"]);
            }
            let roles = names
                .iter()
                .map(|name| library.get(name).unwrap())
                .collect();
            let mut variables = spec.variables(host);
            variables.insert("inventory_hostname".into(), json!(host.name.as_str()));
            variables.insert("interface".into(), json!("eth0"));
            let facts =
                HostRoles::new(roles, Arc::new(AllThere)).facts(&scope(Value::Object(variables)));
            assert!(facts.is_ok(), "{more} {}: {facts:#?}", host.name);
        }
    }
}

#[test]
fn kubeadms_input_is_the_specifications() {
    let spec = spec(
        "control_plane_endpoint: api.example.org:8443\nkubeadm: {KubeletConfiguration: {cgroupDriver: cgroupfs}}\n",
    );
    let input = KubeadmInput::of(&spec, &spec.hosts["cp1"]);
    let documents = init(&input, &Credentials::generate().unwrap()).unwrap();
    let cluster = documents.get("ClusterConfiguration").unwrap();
    assert_eq!(
        cluster["apiServer"]["certSANs"],
        json!([
            "api.example.org",
            "10.0.0.10",
            "10.0.0.11",
            "10.0.0.12",
            "10.0.0.13"
        ])
    );
    assert_eq!(
        documents.get("KubeletConfiguration").unwrap()["cgroupDriver"],
        "cgroupfs"
    );
    assert_eq!(
        documents.get("InitConfiguration").unwrap()["nodeRegistration"]["name"],
        "cp1"
    );
}
