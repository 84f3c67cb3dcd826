//! Every variable that quorate itself reads. The JSON schema, the documentation and the search for the nearest name
//! come from this one list.

/// What a variable's value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// Text.
    Text,
    /// Text that must not be shown.
    Secret,
    /// true or false.
    Bool,
    /// A whole number between two bounds, both included.
    Integer(i64, i64),
    /// An IP address.
    Address,
    /// A network in CIDR form.
    Subnet,
    /// `host:port`.
    Endpoint,
    /// One of these words.
    Enum(&'static [&'static str]),
    /// `X.Y.Z`.
    Version,
    /// A list of texts; one text alone is a list of one.
    List,
    /// A map from text to text.
    Labels,
    /// A list of taints, `key=value:Effect` or maps.
    Taints,
    /// A map with its own set of keys.
    Map,
}

/// Whom a variable describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of {
    /// The cluster: all its hosts agree on the value.
    Cluster,
    /// Each host by itself.
    Host,
    /// How a host is reached (Ansible's connection variables).
    Connection,
}

/// A variable that quorate reads.
#[derive(Debug, Clone, Copy)]
pub struct KnownVariable {
    /// Its name.
    pub name: &'static str,
    /// What its value is.
    pub kind: Type,
    /// Whom it describes.
    pub of: Of,
    /// What it is without being set, in words; empty where it is then absent.
    pub default: &'static str,
    /// What it means, in one sentence.
    pub doc: &'static str,
}

const fn known(
    name: &'static str,
    kind: Type,
    of: Of,
    default: &'static str,
    doc: &'static str,
) -> KnownVariable {
    KnownVariable {
        name,
        kind,
        of,
        default,
        doc,
    }
}

use Of::{Cluster, Connection, Host};
use Type::{
    Address, Bool, Endpoint, Enum, Integer, Labels, List, Map, Secret, Subnet, Taints, Text,
    Version,
};

const PORT: Type = Integer(1, 65535);
const SECONDS: Type = Integer(1, 65535);
const AS_NUMBER: Type = Integer(1, 4_294_967_295);

/// The ways to hold the API's address, by their names in the inventory.
pub const WAYS: &[&str] = &[
    "keepalived-haproxy",
    "keepalived-haproxy-pods",
    "kube-vip-arp",
    "kube-vip-bgp",
    "external",
];

/// Every variable that quorate reads, in the order of the documentation.
pub const KNOWN: &[KnownVariable] = &[
    known(
        "ip",
        Address,
        Host,
        "ansible_host, if the host carries it",
        "The node's address in the cluster.",
    ),
    known(
        "cluster_name",
        Text,
        Cluster,
        "kubernetes",
        "The cluster's name in kubeadm and in the kubeconfig's file name.",
    ),
    known(
        "kubernetes_version",
        Version,
        Cluster,
        "",
        "The exact version, quoted: \"1.36.3\". Required.",
    ),
    known(
        "control_plane_endpoint",
        Endpoint,
        Cluster,
        "apiserver_vip:apiserver_dest_port",
        "Where clients reach the API, as kubeadm's controlPlaneEndpoint; a DNS name is put into /etc/hosts (control_plane_endpoint_in_hosts).",
    ),
    known(
        "load_balancer",
        Enum(WAYS),
        Cluster,
        "keepalived-haproxy",
        "How the control planes are reached under one address.",
    ),
    known(
        "load_balancer_profile",
        Enum(&["fast", "seed"]),
        Cluster,
        "fast",
        "`fast` moves the address within a second of a host's death (kube-vip by ARP: 5 to 8 s); `seed` has the values of the kubeadm document, and the programs' own where it names none.",
    ),
    known(
        "apiserver_vip",
        Address,
        Cluster,
        "",
        "The virtual address of the API. Required but for `external`.",
    ),
    known(
        "apiserver_dest_port",
        PORT,
        Cluster,
        "8443; with kube-vip apiserver_src_port",
        "The port of the API at the virtual address.",
    ),
    known(
        "apiserver_src_port",
        PORT,
        Cluster,
        "6443",
        "The port of the API servers themselves.",
    ),
    known(
        "interface",
        Text,
        Host,
        "the one that carries ip",
        "The network interface for the virtual address.",
    ),
    known(
        "state",
        Enum(&["MASTER", "BACKUP"]),
        Host,
        "MASTER on the first host, BACKUP on the others",
        "keepalived's initial state.",
    ),
    known(
        "router_id",
        Integer(1, 255),
        Cluster,
        "derived from apiserver_vip",
        "VRRP's virtual router id, one per cluster in a network.",
    ),
    known(
        "priority",
        Integer(1, 254),
        Host,
        "from the order of the hosts",
        "VRRP's priority; the highest healthy host holds the address.",
    ),
    known(
        "auth_pass",
        Secret,
        Cluster,
        "derived from apiserver_vip",
        "VRRP's password of up to 8 characters, with profile `seed` only.",
    ),
    known(
        "weight",
        Integer(-253, -1),
        Cluster,
        "one more than the span of priorities; -2 with profile `seed`",
        "What a failed health check takes off the priority, with profile `fast` only.",
    ),
    known(
        "vrrp_unicast",
        Bool,
        Cluster,
        "false",
        "Whether keepalived talks to its peers by address, where multicast is blocked.",
    ),
    known(
        "kubernetes_source",
        Enum(&["packages", "files", "present"]),
        Cluster,
        "packages",
        "Where kubeadm, kubelet and kubectl come from.",
    ),
    known(
        "kubernetes_files",
        Text,
        Cluster,
        "",
        "The controller's folder for `files`: bin/ and images/*.tar[.zst].",
    ),
    known(
        "container_runtime_source",
        Enum(&["packages", "files", "present"]),
        Cluster,
        "as kubernetes_source",
        "Where containerd comes from.",
    ),
    known(
        "containerd_version",
        Version,
        Cluster,
        "",
        "containerd's exact version; 2.0 or newer from Kubernetes 1.36 on.",
    ),
    known(
        "keepalived_image",
        Text,
        Cluster,
        "osixia/keepalived:2.0.20",
        "keepalived's image, for keepalived-haproxy-pods; it has curl too.",
    ),
    known(
        "haproxy_image",
        Text,
        Cluster,
        "haproxy:3.2.4; haproxy:2.8 with profile `seed`",
        "haproxy's image, for keepalived-haproxy-pods.",
    ),
    known(
        "kube_vip_image",
        Text,
        Cluster,
        "ghcr.io/kube-vip/kube-vip",
        "kube-vip's image without its tag.",
    ),
    known(
        "kube_vip_version",
        Text,
        Cluster,
        "v1.2.3",
        "kube-vip's tag.",
    ),
    known(
        "kube_vip_lease",
        Text,
        Cluster,
        "5/3/1",
        "kube-vip's lease, renewal and retry in seconds.",
    ),
    known(
        "kube_vip_services",
        Bool,
        Cluster,
        "false",
        "Whether kube-vip serves Services of type LoadBalancer too.",
    ),
    known(
        "kube_vip_kubeconfig",
        Enum(&["dedicated", "admin"]),
        Cluster,
        "dedicated",
        "Which rights kube-vip has once the cluster stands.",
    ),
    known(
        "bgp_local_as",
        AS_NUMBER,
        Cluster,
        "65000",
        "The AS number of the nodes.",
    ),
    known(
        "bgp_router_id",
        Address,
        Host,
        "ip",
        "The node's BGP router id.",
    ),
    known(
        "bgp_peers",
        List,
        Cluster,
        "",
        "The routers, as address:AS:password:multihop. Required for kube-vip-bgp.",
    ),
    known(
        "bgp_hold_time",
        SECONDS,
        Cluster,
        "3; 30 with profile `seed`",
        "BGP's hold time in seconds.",
    ),
    known(
        "bgp_keepalive_interval",
        SECONDS,
        Cluster,
        "1; 10 with profile `seed`",
        "BGP's keepalive interval in seconds.",
    ),
    known(
        "bgp_bfd",
        Bool,
        Cluster,
        "false",
        "Whether BFD watches the BGP sessions.",
    ),
    known(
        "image_repository",
        Text,
        Cluster,
        "registry.k8s.io",
        "The registry of Kubernetes' own images.",
    ),
    known(
        "http_proxy",
        Text,
        Cluster,
        "",
        "The proxy for http. Not shown: it may hold a password.",
    ),
    known(
        "https_proxy",
        Text,
        Cluster,
        "",
        "The proxy for https. Not shown either.",
    ),
    known(
        "no_proxy",
        List,
        Cluster,
        "",
        "What is reached without the proxy; the cluster's own addresses join it.",
    ),
    known("node_labels", Labels, Host, "{}", "The node's labels."),
    known(
        "node_taints",
        Taints,
        Host,
        "kubeadm's own",
        "The node's taints.",
    ),
    known(
        "cni_manifest",
        List,
        Cluster,
        "[]",
        "The network: files or URLs, applied after init and compared from then on; a file that ends in .tera is a template.",
    ),
    known(
        "manifests",
        List,
        Cluster,
        "[]",
        "More of them, for whatever is to be in the cluster; applied behind `cni_manifest`.",
    ),
    known(
        "pod_subnet",
        Subnet,
        Cluster,
        "10.244.0.0/16",
        "The addresses of pods.",
    ),
    known(
        "service_subnet",
        Subnet,
        Cluster,
        "10.96.0.0/12",
        "The addresses of services.",
    ),
    known(
        "kubeadm",
        Map,
        Cluster,
        "{}",
        "kubeadm documents by kind, merged over the generated ones.",
    ),
    known(
        "ignore_preflight_errors",
        List,
        Cluster,
        "[]",
        "Checks that may fail, kubeadm's and quorate's own.",
    ),
    known(
        "prepare_firewall",
        Bool,
        Cluster,
        "false",
        "Whether firewalld or ufw, where one runs, is opened for the cluster's hosts.",
    ),
    known(
        "strict_variables",
        Bool,
        Cluster,
        "false",
        "Whether a variable that nothing knows and nothing uses is an error.",
    ),
    known(
        "ansible_host",
        Text,
        Connection,
        "the host's name",
        "The name or address that SSH connects to.",
    ),
    known(
        "ansible_port",
        PORT,
        Connection,
        "as ~/.ssh/config says, else 22",
        "The port of SSH.",
    ),
    known(
        "ansible_user",
        Text,
        Connection,
        "as ~/.ssh/config says, else the user's own",
        "The user that SSH logs in as.",
    ),
    known(
        "ansible_ssh_private_key_file",
        Text,
        Connection,
        "as ~/.ssh/config says, else the agent's keys, then ~/.ssh",
        "The private key for SSH.",
    ),
    known(
        "ansible_password",
        Secret,
        Connection,
        "",
        "The password for SSH, where no key is configured or none is accepted.",
    ),
    known(
        "ansible_ssh_common_args",
        Text,
        Connection,
        "",
        "Options of ssh: jump hosts, keys, host keys (connections.md).",
    ),
    known(
        "ansible_ssh_extra_args",
        Text,
        Connection,
        "",
        "More of them.",
    ),
    known(
        "ansible_ssh_args",
        Text,
        Connection,
        "",
        "More of them, which win over the others.",
    ),
    known(
        "ansible_become",
        Bool,
        Connection,
        "true, unless the user is root",
        "Whether commands run through sudo.",
    ),
    known(
        "ansible_become_user",
        Text,
        Connection,
        "root",
        "Whom sudo becomes; root alone.",
    ),
    known(
        "ansible_become_password",
        Secret,
        Connection,
        "",
        "sudo's password.",
    ),
    known(
        "ansible_connection",
        Enum(&["ssh"]),
        Connection,
        "ssh",
        "How a host is reached.",
    ),
];

/// Other names that Ansible has for connection variables, and the names they stand for (Ansible's ssh connection
/// plugin).
pub const ALIASES: &[(&str, &str)] = &[
    ("ansible_ssh_host", "ansible_host"),
    ("ansible_ssh_port", "ansible_port"),
    ("ansible_ssh_user", "ansible_user"),
    ("ansible_private_key_file", "ansible_ssh_private_key_file"),
    ("ansible_ssh_pass", "ansible_password"),
    ("ansible_ssh_password", "ansible_password"),
    ("ansible_become_pass", "ansible_become_password"),
    ("ansible_sudo_pass", "ansible_become_password"),
    ("kube_version", "kubernetes_version"),
    ("kube_pods_subnet", "pod_subnet"),
    ("kube_service_addresses", "service_subnet"),
    ("kube_apiserver_port", "apiserver_src_port"),
    ("kube_image_repo", "image_repository"),
    ("kube_vip_address", "apiserver_vip"),
];

/// Ansible's variables that change how a host is reached and that quorate does not read: it says so instead of reaching
/// the host in another way than the inventory asks for.
pub const NOT_READ: &[(&str, &str)] = &[
    // Kubespray's.
    (
        "loadbalancer_apiserver",
        "with somebody else's load balancer set `load_balancer: external` and `control_plane_endpoint: HOST:PORT`",
    ),
    (
        "kube_network_plugin",
        "name the manifest of the network in `cni_manifest`",
    ),
    (
        "container_manager",
        "quorate sets containerd up; for another one `container_runtime_source: present`",
    ),
    ("ansible_ssh_executable", "quorate speaks SSH itself"),
    ("ansible_become_flags", "sudo runs without further options"),
    ("ansible_become_exe", "sudo is found in the path"),
];

/// Ansible's variables that mean nothing to quorate and do no harm.
pub const HARMLESS: &[&str] = &[
    "ansible_become_method",
    "ansible_group_priority",
    "ansible_python_interpreter",
    "ansible_remote_tmp",
    "ansible_shell_executable",
    "ansible_shell_type",
    "ansible_ssh_pipelining",
    "ansible_ssh_retries",
    "ansible_ssh_transfer_method",
    "ansible_pipelining",
    "ansible_scp_if_ssh",
    "ansible_host_key_checking",
    "ansible_ssh_host_key_checking",
];

/// Returns the variable of that name.
pub fn find(name: &str) -> Option<&'static KnownVariable> {
    KNOWN.iter().find(|v| v.name == name)
}

/// Returns quorate's own name of a variable that has another one too; `None` where `name` is no such other name.
pub fn stands_for(name: &str) -> Option<&'static str> {
    let mut all = ALIASES.iter();
    all.find(|(alias, _)| *alias == name).map(|(_, own)| *own)
}

/// Returns whether a variable's value must not be shown.
pub fn is_secret(name: &str) -> bool {
    let name = stands_for(name).unwrap_or(name);
    find(name).is_some_and(|v| v.kind == Secret)
        // A peer may have a password in the middle of its text, and so may a proxy's address.
        || matches!(name, "bgp_peers" | "http_proxy" | "https_proxy")
}
