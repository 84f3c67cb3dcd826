//! An inventory to a [`ClusterSpec`].

use std::collections::BTreeSet;
use std::net::IpAddr;

use camino::Utf8PathBuf;
use indexmap::IndexSet;
use ipnet::IpNet;
use serde_json::json;

use super::check;
use super::host::Draft;
use super::known::WAYS;
use super::kube_vip::{read_bgp, read_kube_vip};
use super::network::{
    POD_SUBNET, SERVICE_SUBNET, extend_no_proxy, read_endpoint, read_subnet, read_vip,
};
use super::pods::read_images;
use super::read::{Findings, Got, Vars};
use super::reader::Reader;
use super::release::{read_containerd, read_version};
use super::stand_in::{self, StandIns};
use super::vrrp::read_vrrp;
use super::{ClusterSpec, LoadBalancer, Origin, Outline, Profile, Proxies, Version, Vrrp, Way};
use super::{kubeadm, ports, unknown, vrrp};
use crate::inventory::Inventory;
use crate::model::{Diagnostic, Diagnostics, Endpoint, Map, Severity, Value};
use crate::template::host_scopes_over;

/// The group of control planes.
pub(super) const CONTROL_PLANE: &str = "kube_control_plane";
/// The group of workers.
pub(super) const WORKER: &str = "kube_node";
/// The group of etcd members.
pub(super) const ETCD: &str = "etcd";
/// The group of hosts that hold the virtual address; without it the control planes do.
pub(super) const LOAD_BALANCER: &str = "load_balancer";
/// The group that is implied over control planes and workers.
pub(super) const CLUSTER: &str = "k8s_cluster";

/// What a cluster's variables are unless they are set, as templates, so that other variables can use them.
fn defaults() -> Vec<(&'static str, Value)> {
    vec![
        ("cluster_name", json!("kubernetes")),
        ("load_balancer", json!("keepalived-haproxy")),
        ("load_balancer_profile", json!("fast")),
        ("apiserver_src_port", json!(6443)),
        (
            "apiserver_dest_port",
            json!(
                "{{ apiserver_src_port if load_balancer is starting_with(pat='kube-vip') else 8443 }}"
            ),
        ),
        (
            "control_plane_endpoint",
            json!("{{ apiserver_vip }}:{{ apiserver_dest_port }}"),
        ),
        ("ip", json!("{{ ansible_host }}")),
        ("kubernetes_source", json!("packages")),
        ("container_runtime_source", json!("{{ kubernetes_source }}")),
        ("vrrp_unicast", json!(false)),
        ("pod_subnet", json!(POD_SUBNET.to_string())),
        ("service_subnet", json!(SERVICE_SUBNET.to_string())),
        ("cni_manifest", json!([])),
        ("manifests", json!([])),
        ("kubeadm", json!({})),
        ("ignore_preflight_errors", json!([])),
        ("prepare_firewall", json!(false)),
        ("node_labels", json!({})),
        ("strict_variables", json!(false)),
    ]
}

/// What is read of a cluster before it is known to be sound. A missing part was told, or has no default.
pub(super) struct Parts {
    pub(super) way: Way,
    pub(super) profile: Profile,
    pub(super) vip: Option<Got<IpAddr>>,
    pub(super) dest_port: Got<u16>,
    pub(super) src_port: Got<u16>,
    pub(super) endpoint: Option<Got<Endpoint>>,
    /// Whether `control_plane_endpoint` says it, and not the address and the port.
    pub(super) endpoint_is_set: bool,
    pub(super) weight: Option<Got<i16>>,
    pub(super) pod_subnet: Option<Got<IpNet>>,
    pub(super) service_subnet: Option<Got<IpNet>>,
    pub(super) hosts: Vec<Draft>,
}

impl ClusterSpec {
    /// Returns the cluster that an inventory describes, and everything that is wrong with it. With an error there is no
    /// cluster. `used` are the names that templates and conditions of roles use: a variable among them is not unknown.
    pub fn build(inventory: &Inventory, used: &BTreeSet<String>) -> (Option<Self>, Diagnostics) {
        let (outline, found) = Self::outline(inventory, used, true);
        let is_sound = outline.stand_ins.is_empty() && !found.has_errors();
        (is_sound.then_some(outline.spec), found)
    }

    /// Returns the same where there are errors too, so that roles and files can be checked in the same go. `are_all_used` is false
    /// where not all roles could be read: `used` is then not all that they use, and a variable is told of only where its name is
    /// nearly a known one.
    pub fn outline(
        inventory: &Inventory,
        used: &BTreeSet<String>,
        are_all_used: bool,
    ) -> (Outline, Diagnostics) {
        let defaults = defaults();
        let scopes = host_scopes_over(inventory, &defaults, &|_| Map::new());
        let groups = [CONTROL_PLANE, WORKER, LOAD_BALANCER, ETCD];
        let hosts = groups.iter().flat_map(|group| inventory.hosts_of(group));
        let names: IndexSet<&str> = hosts.map(|host| host.as_str()).collect();
        let members = names
            .iter()
            .filter_map(|name| {
                let scope = scopes.get(name)?.clone().with_hosts(scopes.clone());
                Some(Vars {
                    host: inventory.hosts.get(*name)?,
                    scope,
                })
            })
            .collect();
        let mut reader = Reader {
            members,
            partial: inventory.partial,
            findings: Findings::default(),
        };
        let outline = read_cluster(&mut reader, inventory);
        // What is set and has no value all the same, since it is made of something that is null.
        if !reader.findings.has_errors() && !inventory.partial {
            for name in &outline.stand_ins {
                let error =
                    Diagnostic::error(format!("`{name}` has no value")).at(reader.place(name));
                reader.findings.push(
                    error.help("what it is made of is null: give that a value, or leave this out"),
                );
            }
        }
        let strict = reader.boolean("strict_variables").unwrap_or(false);
        let level = match (are_all_used, strict) {
            (false, _) => None,
            (true, true) => Some(Severity::Error),
            (true, false) => Some(Severity::Warning),
        };
        unknown::variables(inventory, used, level, &mut reader.findings);
        unknown::groups(inventory, &mut reader.findings);
        (outline, reader.findings.into_diagnostics())
    }
}

fn read_cluster(reader: &mut Reader<'_>, inventory: &Inventory) -> Outline {
    let mut stand_ins = StandIns::default();
    let way = reader.one_of("load_balancer", WAYS);
    let way_set = way.as_ref().and_then(|g| g.span.clone());
    let way = way
        .and_then(|g| Way::from_name(g.value))
        .unwrap_or(Way::KeepalivedHaproxy);
    let profile = match reader
        .one_of("load_balancer_profile", &["fast", "seed"])
        .map(|g| g.value)
    {
        Some("seed") => Profile::Seed,
        _ => Profile::Fast,
    };
    let version = read_version(reader);
    let src_port = reader
        .port("apiserver_src_port")
        .unwrap_or_else(|| Got::new(6443, None));
    let vip = read_vip(reader, way);
    let default_port = if matches!(way, Way::KubeVipArp | Way::KubeVipBgp) {
        src_port.value
    } else {
        8443
    };
    let dest_port = reader.port("apiserver_dest_port");
    // An endpoint that is made of something wrong is wrong too, and that is no news.
    let wrong: Vec<&str> = [
        ("apiserver_dest_port", dest_port.is_none()),
        ("apiserver_vip", way.has_vip() && vip.is_none()),
    ]
    .into_iter()
    .filter_map(|(name, is_missing)| (is_missing && reader.is_set(name)).then_some(name))
    .collect();
    let mut dest_port = dest_port.unwrap_or_else(|| Got::new(default_port, None));
    let endpoint = if reader.hangs_on("control_plane_endpoint", &wrong) {
        None
    } else {
        read_endpoint(reader, way, vip.as_ref(), &mut dest_port)
    };
    let endpoint_is_set = endpoint.is_some() && reader.get("control_plane_endpoint").is_some();

    let pod_subnet = read_subnet(reader, "pod_subnet", POD_SUBNET);
    let service_subnet = read_subnet(reader, "service_subnet", SERVICE_SUBNET);
    let address = way.has_vip().then(|| {
        stand_ins.take("apiserver_vip", vip.as_ref().map(|g| g.value), || {
            stand_in::address(254)
        })
    });
    let vrrp_set = read_vrrp(reader, way, profile, address);

    let hosts: Vec<Draft> = {
        let Reader {
            members, findings, ..
        } = reader;
        let mut order: Vec<&Vars<'_>> = members.iter().collect();
        order.sort_by_key(|m| inventory.hosts.get_index_of(m.host.name.as_str()));
        order
            .into_iter()
            .map(|vars| Draft::read(vars, inventory, findings))
            .collect()
    };
    let parts = Parts {
        way,
        profile,
        vip,
        dest_port,
        src_port,
        endpoint,
        endpoint_is_set,
        weight: vrrp_set.weight,
        pod_subnet,
        service_subnet,
        hosts,
    };
    check::groups(inventory, way, way_set, &mut reader.findings);
    check::addresses(&parts, &mut reader.findings);
    ports::check(&parts, &mut reader.findings);

    let kubernetes_source = read_origin(
        reader,
        "kubernetes_source",
        Origin::Packages,
        &mut stand_ins,
    );
    let container_runtime_source = read_origin(
        reader,
        "container_runtime_source",
        kubernetes_source,
        &mut stand_ins,
    );
    let kubernetes_files = reader
        .text("kubernetes_files")
        .map(|g| Utf8PathBuf::from(g.value));
    if kubernetes_files.is_none()
        && [kubernetes_source, container_runtime_source].contains(&Origin::Files)
    {
        let asks = if kubernetes_source == Origin::Files {
            "kubernetes_source"
        } else {
            "container_runtime_source"
        };
        reader.missing_for(
            "kubernetes_files",
            reader.place(asks),
            "`files` as a source needs the folder that holds bin/ and images/",
        );
    }
    let kubernetes_files = if [kubernetes_source, container_runtime_source].contains(&Origin::Files)
    {
        Some(stand_ins.take("kubernetes_files", kubernetes_files, || {
            "kubernetes_files".into()
        }))
    } else {
        kubernetes_files
    };
    let containerd_version = read_containerd(reader, version);
    let image_repository = reader.text("image_repository").and_then(|got| {
        if got.value.contains("://")
            || got.value.ends_with('/')
            || got.value.chars().any(char::is_whitespace)
        {
            let error = Diagnostic::error(format!(
                "`image_repository` is a registry with a path, not `{}`",
                got.value
            ))
            .at(got.span);
            reader.findings.push(
                error.help("without https:// and without / at the end: registry.example.org/k8s"),
            );
            return None;
        }
        Some(got.value)
    });
    let documents = reader
        .get("kubeadm")
        .and_then(|got| kubeadm::read(got, &mut reader.findings))
        .unwrap_or_default();
    let ignored = reader
        .get("ignore_preflight_errors")
        .and_then(|got| kubeadm::read_ignored(got, &mut reader.findings))
        .unwrap_or_default();
    let prepare_firewall = reader.boolean("prepare_firewall").unwrap_or(false);
    let cni_manifests = reader
        .texts("cni_manifest")
        .map(|g| g.value)
        .unwrap_or_default();
    let manifests = reader
        .texts("manifests")
        .map(|g| g.value)
        .unwrap_or_default();
    let name = read_name(reader);
    let (keepalived_image, haproxy_image) = read_images(reader, way, profile);
    let kube_vip = read_kube_vip(reader, way);
    let bgp = read_bgp(reader, way, profile, kube_vip.as_ref());
    check::bgp(&parts, bgp.as_ref(), &mut reader.findings);
    let http = reader.text("http_proxy");
    let https = reader.text("https_proxy");
    let no_proxy = reader.texts("no_proxy");
    for (name, got) in [("http_proxy", &http), ("https_proxy", &https)] {
        check::proxy(
            name,
            got.iter().map(|g| (g.value.as_str(), &g.span)),
            &mut reader.findings,
        );
    }
    let listed = no_proxy
        .iter()
        .flat_map(|g| g.value.iter().map(|v| (v.as_str(), &g.span)));
    check::proxy("no_proxy", listed, &mut reader.findings);
    let (http, https) = (http.map(|g| g.value), https.map(|g| g.value));
    let mut no_proxy = no_proxy.map(|g| g.value).unwrap_or_default();

    let balancing = parts.hosts.iter().filter(|h| h.roles.load_balancer).count();
    let profile_set = reader.place("load_balancer_profile");
    vrrp::check(&parts, balancing, profile_set, &mut reader.findings);
    let weight = weight(&parts);
    let priorities = vrrp::priorities_of(&parts);
    let (way, profile) = (parts.way, parts.profile);
    let (dest_port, src_port) = (parts.dest_port.value, parts.src_port.value);
    let mut subnet = |name, got: Option<Got<IpNet>>, default| {
        stand_ins.take(name, got.map(|g| g.value), || default)
    };
    let pod_subnet = subnet("pod_subnet", parts.pod_subnet, POD_SUBNET);
    let service_subnet = subnet("service_subnet", parts.service_subnet, SERVICE_SUBNET);
    let endpoint = stand_ins.take(
        "control_plane_endpoint",
        parts.endpoint.map(|g| g.value),
        || stand_in::address(254).into(),
    );
    let mut index = 0;
    let mut hosts = indexmap::IndexMap::new();
    for draft in parts.hosts {
        let (mut state, mut priority) = (None, None);
        if draft.roles.load_balancer && way.uses_vrrp() {
            state = Some(
                draft
                    .state
                    .as_ref()
                    .map_or_else(|| vrrp::state(index), |g| g.value),
            );
            priority = priorities.get(index).copied();
            index += 1;
        }
        let address = stand_in::address(u8::try_from(hosts.len() % 250 + 1).unwrap_or(1));
        let host = draft.finish(state, priority, address, &mut stand_ins);
        hosts.insert(host.name.clone(), host);
    }
    if http.is_some() || https.is_some() {
        extend_no_proxy(
            &mut no_proxy,
            &endpoint,
            address,
            [pod_subnet, service_subnet],
            hosts.values().map(|h| h.ip.address),
        );
    }
    let kubernetes_version =
        stand_ins.take("kubernetes_version", version, || Version::new(1, 36, 0));
    let spec = ClusterSpec {
        name,
        kubernetes_version,
        endpoint,
        load_balancer: LoadBalancer {
            way,
            profile,
            vip: address,
            dest_port,
            src_port,
            vrrp: vrrp_set
                .router_id
                .filter(|_| way.uses_vrrp())
                .map(|router_id| Vrrp {
                    router_id,
                    auth_pass: vrrp_set.auth_pass,
                    unicast: vrrp_set.unicast,
                    weight,
                }),
            keepalived_image,
            haproxy_image,
            kube_vip,
            bgp,
        },
        kubernetes_source,
        kubernetes_files,
        container_runtime_source,
        containerd_version,
        image_repository,
        proxies: Proxies {
            http,
            https,
            no_proxy,
        },
        pod_subnet,
        service_subnet,
        cni_manifests,
        manifests,
        kubeadm: documents,
        ignore_preflight_errors: ignored,
        prepare_firewall,
        hosts,
    };
    Outline {
        spec,
        stand_ins: stand_ins.into_names(),
    }
}

/// Returns the weight that was set, else one that keeps the law for the priorities that will be.
fn weight(parts: &Parts) -> i16 {
    match &parts.weight {
        Some(weight) => weight.value,
        None => vrrp::weight(parts.profile, &vrrp::priorities_of(parts)),
    }
}

fn read_origin(
    reader: &mut Reader<'_>,
    name: &'static str,
    default: Origin,
    stand_ins: &mut StandIns,
) -> Origin {
    if !reader.is_set(name) {
        return stand_ins.follow(name, "kubernetes_source", default);
    }
    let word = reader.one_of(name, &["packages", "files", "present"]);
    let origin = word.map(|got| match got.value {
        "files" => Origin::Files,
        "present" => Origin::Present,
        _ => Origin::Packages,
    });
    stand_ins.take(name, origin, || default)
}

/// Reads `cluster_name`: it becomes a file's name and a context's.
fn read_name(reader: &mut Reader<'_>) -> String {
    let default = || "kubernetes".to_owned();
    let Some(got) = reader.text("cluster_name") else {
        return default();
    };
    let name = &got.value;
    let fits = name.len() <= 63
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        && !name.starts_with(['.', '-']);
    if !fits {
        let error = Diagnostic::error(format!("`cluster_name` cannot be `{name}`")).at(got.span);
        reader.findings.push(error.help(
            "it has up to 63 letters, digits, `-`, `_` and `.`, and begins with a letter or digit",
        ));
        return default();
    }
    got.value
}
