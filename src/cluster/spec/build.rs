//! An inventory to a [`ClusterSpec`].

use std::collections::BTreeSet;
use std::net::IpAddr;

use camino::Utf8PathBuf;
use ipnet::IpNet;
use serde_json::json;

use super::check;
use super::host::Draft;
use super::known::WAYS;
use super::read::{self, Findings, Got, Vars};
use super::{Bgp, BgpPeer, ClusterSpec, Documents, KubeVip, LoadBalancer, Origin, Profile, Proxies, Version, Vrrp, Way};
use super::{kubeadm, unknown, vrrp};
use crate::inventory::Inventory;
use crate::model::{Diagnostic, Diagnostics, Endpoint, Secret, Span, Value};
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
        ("apiserver_dest_port", json!("{{ apiserver_src_port if load_balancer is starting_with(pat='kube-vip') else 8443 }}")),
        ("control_plane_endpoint", json!("{{ apiserver_vip }}:{{ apiserver_dest_port }}")),
        ("ip", json!("{{ ansible_host }}")),
        ("kubernetes_source", json!("packages")),
        ("container_runtime_source", json!("{{ kubernetes_source }}")),
        ("vrrp_unicast", json!(false)),
        ("pod_subnet", json!("10.244.0.0/16")),
        ("service_subnet", json!("10.96.0.0/12")),
        ("cni_manifest", json!([])),
        ("kubeadm", json!({})),
        ("ignore_preflight_errors", json!([])),
        ("node_labels", json!({})),
        ("strict_variables", json!(false)),
    ]
}

/// Reads variables that a whole cluster shares.
pub(super) struct Reader<'i> {
    /// The cluster's hosts, control planes first.
    pub(super) members: Vec<Vars<'i>>,
    pub(super) findings: Findings,
}

impl Reader<'_> {
    /// Returns the value that all hosts agree on. Hosts for which it is not set do not disagree: a group_vars file of
    /// the control planes is enough.
    fn get(&mut self, name: &str) -> Option<Got<Value>> {
        let mut first: Option<(&Vars<'_>, Got<Value>)> = None;
        for member in &self.members {
            let Some(got) = member.get(name, &mut self.findings) else { continue };
            match &first {
                None => first = Some((member, got)),
                Some((other, agreed)) if agreed.value != got.value => {
                    let (one, two) = (&other.host.name, &member.host.name);
                    let place = agreed.span.as_ref().map_or_else(String::new, |s| format!(" ({s})"));
                    let error = Diagnostic::error(format!("`{name}` is one for a whole cluster, and differs between {one}{place} and {two}"));
                    self.findings.push(error.at(got.span).help("set it once, in group_vars/all.yml"));
                }
                Some(_) => {}
            }
        }
        first.map(|(_, got)| got)
    }

    fn text(&mut self, name: &str) -> Option<Got<String>> {
        let got = self.get(name)?;
        let got = read::text(name, got, &mut self.findings)?;
        if got.value.trim().is_empty() {
            self.findings.push(Diagnostic::error(format!("`{name}` is empty")).at(got.span).help("leave it out, or give it a value"));
            return None;
        }
        Some(got)
    }

    fn boolean(&mut self, name: &str) -> Option<bool> {
        let got = self.get(name)?;
        read::boolean(name, got, &mut self.findings).map(|g| g.value)
    }

    fn integer(&mut self, name: &str, low: i64, high: i64) -> Option<Got<i64>> {
        let got = self.get(name)?;
        read::integer(name, low, high, got, &mut self.findings)
    }

    fn port(&mut self, name: &str) -> Option<Got<u16>> {
        let got = self.get(name)?;
        read::port(name, got, &mut self.findings)
    }

    fn one_of(&mut self, name: &str, words: &[&'static str]) -> Option<Got<&'static str>> {
        let got = self.get(name)?;
        read::one_of(name, words, got, &mut self.findings)
    }

    fn texts(&mut self, name: &str) -> Option<Got<Vec<String>>> {
        let got = self.get(name)?;
        read::texts(name, got, &mut self.findings)
    }

    fn missing(&mut self, name: &str, help: &str) {
        // Whoever set it wrongly was told so already.
        if !self.members.iter().any(|m| m.variable(name).is_some_and(|v| !v.value.is_null())) {
            self.findings.push(Diagnostic::error(format!("`{name}` is not set")).help(help));
        }
    }
}

/// What is read of a cluster before it is known to be sound. A missing part was told, or has no default.
pub(super) struct Parts {
    pub(super) way: Way,
    pub(super) profile: Profile,
    pub(super) vip: Option<Got<IpAddr>>,
    pub(super) dest_port: Got<u16>,
    pub(super) src_port: Got<u16>,
    pub(super) endpoint: Option<Got<Endpoint>>,
    pub(super) router_id: Option<u8>,
    pub(super) weight: Option<Got<i16>>,
    pub(super) pod_subnet: Option<Got<IpNet>>,
    pub(super) service_subnet: Option<Got<IpNet>>,
    pub(super) hosts: Vec<Draft>,
}

impl ClusterSpec {
    /// Returns the cluster that an inventory describes, and everything that is wrong with it. With an error there is no
    /// cluster. `used` are the names that templates and conditions of roles use: a variable among them is not unknown.
    pub fn build(inventory: &Inventory, used: &BTreeSet<String>) -> (Option<Self>, Diagnostics) {
        let defaults = defaults();
        let scopes = host_scopes_over(inventory, &defaults);
        let mut names: Vec<&str> = Vec::new();
        for group in [CONTROL_PLANE, WORKER, LOAD_BALANCER, ETCD] {
            for host in inventory.hosts_of(group) {
                if !names.contains(&host.as_str()) {
                    names.push(host.as_str());
                }
            }
        }
        let members = names
            .iter()
            .filter_map(|name| {
                let scope = scopes.get(name)?.clone().with_hosts(scopes.clone());
                Some(Vars { host: inventory.hosts.get(*name)?, scope })
            })
            .collect();
        let mut reader = Reader { members, findings: Findings::default() };
        let spec = read_cluster(&mut reader, inventory);
        let strict = reader.boolean("strict_variables").unwrap_or(false);
        unknown::variables(inventory, used, strict, &mut reader.findings);
        unknown::groups(inventory, &mut reader.findings);
        let spec = spec.filter(|_| !reader.findings.has_errors());
        (spec, reader.findings.into_diagnostics())
    }
}

fn read_cluster(reader: &mut Reader<'_>, inventory: &Inventory) -> Option<ClusterSpec> {
    let way = reader.one_of("load_balancer", WAYS);
    if let Some(got) = &way
        && let Some(way) = Way::from_name(got.value)
        && !way.is_built()
    {
        let error = Diagnostic::error(format!("the way `{way}` of `load_balancer` is not built yet")).at(got.span.clone());
        let built: Vec<&str> = Way::ALL.iter().filter(|w| w.is_built()).map(|w| w.name()).collect();
        reader.findings.push(error.help(format!("{} are", read::list(&built))));
    }
    let way_set = way.as_ref().and_then(|g| g.span.clone());
    let way = way.and_then(|g| Way::from_name(g.value)).unwrap_or(Way::KeepalivedHaproxy);
    let profile = match reader.one_of("load_balancer_profile", &["fast", "seed"]).map(|g| g.value) {
        Some("seed") => Profile::Seed,
        _ => Profile::Fast,
    };
    let version = read_version(reader);
    let src_port = reader.port("apiserver_src_port").unwrap_or_else(|| Got::new(6443, None));
    let vip = read_vip(reader, way);
    let default_port = if matches!(way, Way::KubeVipArp | Way::KubeVipBgp) { src_port.value } else { 8443 };
    let mut dest_port = reader.port("apiserver_dest_port").unwrap_or_else(|| Got::new(default_port, None));
    let endpoint = read_endpoint(reader, way, vip.as_ref(), &mut dest_port);

    let pod_subnet = read_subnet(reader, "pod_subnet", "10.244.0.0/16");
    let service_subnet = read_subnet(reader, "service_subnet", "10.96.0.0/12");
    let vrrp_set = read_vrrp(reader, way, profile, vip.as_ref());

    let hosts: Vec<Draft> = {
        let Reader { members, findings } = reader;
        let mut order: Vec<&Vars<'_>> = members.iter().collect();
        order.sort_by_key(|m| inventory.hosts.get_index_of(m.host.name.as_str()));
        order.into_iter().map(|vars| Draft::read(vars, inventory, findings)).collect()
    };
    let parts = Parts {
        way,
        profile,
        vip,
        dest_port,
        src_port,
        endpoint,
        router_id: vrrp_set.router_id,
        weight: vrrp_set.weight,
        pod_subnet,
        service_subnet,
        hosts,
    };
    check::groups(inventory, way, way_set, &mut reader.findings);
    check::addresses(&parts, &mut reader.findings);

    let kubernetes_source = read_origin(reader, "kubernetes_source").unwrap_or(Origin::Packages);
    let container_runtime_source = read_origin(reader, "container_runtime_source").unwrap_or(kubernetes_source);
    let kubernetes_files = reader.text("kubernetes_files").map(|g| Utf8PathBuf::from(g.value));
    if kubernetes_files.is_none() && [kubernetes_source, container_runtime_source].contains(&Origin::Files) {
        reader.missing("kubernetes_files", "`files` as a source needs the folder that holds bin/ and images/");
    }
    let containerd_version = read_containerd(reader, version);
    let image_repository = reader.text("image_repository").and_then(|got| {
        if got.value.contains("://") || got.value.ends_with('/') || got.value.chars().any(char::is_whitespace) {
            let error = Diagnostic::error(format!("`image_repository` is a registry with a path, not `{}`", got.value)).at(got.span);
            reader.findings.push(error.help("without https:// and without / at the end: registry.example.org/k8s"));
            return None;
        }
        Some(got.value)
    });
    let documents = reader.get("kubeadm").and_then(|got| kubeadm::read(got, &mut reader.findings)).unwrap_or_else(Documents::new);
    let ignored = reader
        .get("ignore_preflight_errors")
        .and_then(|got| kubeadm::read_ignored(got, &mut reader.findings))
        .unwrap_or_default();
    let cni_manifests = reader.texts("cni_manifest").map(|g| g.value).unwrap_or_default();
    let name = read_name(reader);
    let keepalived_image = reader.text("keepalived_image").map(|g| g.value);
    let haproxy_image = reader.text("haproxy_image").map(|g| g.value);
    let kube_vip = read_kube_vip(reader, way, profile);
    let bgp = read_bgp(reader, way, profile);
    let http = reader.text("http_proxy").map(|g| g.value);
    let https = reader.text("https_proxy").map(|g| g.value);
    let mut no_proxy = reader.texts("no_proxy").map(|g| g.value).unwrap_or_default();

    let balancing = parts.hosts.iter().filter(|h| h.roles.load_balancer).count();
    check::vrrp(&parts, balancing, &mut reader.findings);
    let weight = weight(&parts, balancing);
    let (way, profile) = (parts.way, parts.profile);
    let vip = parts.vip.as_ref().map(|g| g.value);
    let (dest_port, src_port) = (parts.dest_port.value, parts.src_port.value);
    let (pod_subnet, service_subnet) = (parts.pod_subnet?.value, parts.service_subnet?.value);
    let endpoint = parts.endpoint.map(|g| g.value);
    let mut index = 0;
    let mut hosts = indexmap::IndexMap::new();
    for draft in parts.hosts {
        let (mut state, mut priority) = (None, None);
        if draft.roles.load_balancer && way.uses_vrrp() {
            state = Some(draft.state.as_ref().map_or_else(|| vrrp::state(index), |g| g.value));
            priority = Some(draft.priority.as_ref().map_or_else(|| vrrp::priority(profile, index, balancing), |g| g.value));
            index += 1;
        }
        let host = draft.finish(state, priority)?;
        hosts.insert(host.name.clone(), host);
    }
    let endpoint = endpoint?;
    if http.is_some() || https.is_some() {
        extend_no_proxy(&mut no_proxy, &endpoint, vip, [pod_subnet, service_subnet], hosts.values().map(|h| h.ip.address));
    }
    Some(ClusterSpec {
        name,
        kubernetes_version: version?,
        endpoint,
        load_balancer: LoadBalancer {
            way,
            profile,
            vip,
            dest_port,
            src_port,
            vrrp: vrrp_set.router_id.filter(|_| way.uses_vrrp()).map(|router_id| Vrrp {
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
        proxies: Proxies { http, https, no_proxy },
        pod_subnet,
        service_subnet,
        cni_manifests,
        kubeadm: documents,
        ignore_preflight_errors: ignored,
        hosts,
    })
}

/// Returns the weight that was set, else one that keeps the law for the priorities that will be.
fn weight(parts: &Parts, balancing: usize) -> i16 {
    match &parts.weight {
        Some(weight) => weight.value,
        None => vrrp::weight(parts.profile, &check::priorities(parts, balancing)),
    }
}

fn read_version(reader: &mut Reader<'_>) -> Option<Version> {
    let Some(got) = reader.get("kubernetes_version") else {
        reader.missing("kubernetes_version", "set it in group_vars/all.yml, exact and quoted: kubernetes_version: \"1.36.3\"");
        return None;
    };
    let version = read_exact("kubernetes_version", &got, &mut reader.findings)?;
    // kubeadm's v1beta4, the one form that is written, is there from 1.31 on (kubernetes.io, kubeadm configuration).
    if version < Version::new(1, 31, 0) {
        let error = Diagnostic::error(format!("Kubernetes {version} is too old: 1.31 is the first with kubeadm's v1beta4")).at(got.span);
        reader.findings.push(error.help("choose a release that is still maintained"));
        return None;
    }
    Some(version)
}

fn read_exact(name: &str, got: &Got<Value>, findings: &mut Findings) -> Option<Version> {
    let error = match &got.value {
        Value::String(text) => match text.parse::<Version>() {
            Ok(version) => return Some(version),
            Err(error) => Diagnostic::error(format!("`{name}`: `{text}` {error}")),
        },
        Value::Number(number) => {
            let written = got.written("").unwrap_or_default();
            let error = Diagnostic::error(format!("`{name}` has no quotes, and YAML reads {written} as the number {number}"));
            error.help("write the exact version, three numbers with quotes, as in \"1.36.3\"")
        }
        other => Diagnostic::error(format!("`{name}` is a version, not {}", read::describe(other))).help("write three numbers with quotes, as in \"1.36.3\""),
    };
    findings.push(error.at(got.span.clone()));
    None
}

fn read_containerd(reader: &mut Reader<'_>, kubernetes: Option<Version>) -> Option<Version> {
    let got = reader.get("containerd_version")?;
    let version = read_exact("containerd_version", &got, &mut reader.findings)?;
    if version.major < 2 && kubernetes.is_some_and(|k| k >= Version::new(1, 36, 0)) {
        let error = Diagnostic::error(format!("containerd {version} is too old for Kubernetes 1.36 and newer")).at(got.span);
        reader.findings.push(error.help("choose 2.0 or newer"));
    }
    Some(version)
}

fn read_vip(reader: &mut Reader<'_>, way: Way) -> Option<Got<IpAddr>> {
    let Some(got) = reader.get("apiserver_vip") else {
        if way.has_vip() {
            reader.missing("apiserver_vip", "set it in group_vars/all.yml to an unused address in the hosts' network, or choose `load_balancer: external`");
        }
        return None;
    };
    if !way.has_vip() {
        let warning = Diagnostic::warning("`apiserver_vip` means nothing with `load_balancer: external`").at(got.span);
        reader.findings.push(warning.help("`control_plane_endpoint` names the load balancer"));
        return None;
    }
    read::address("apiserver_vip", got, &mut reader.findings)
}

fn read_endpoint(reader: &mut Reader<'_>, way: Way, vip: Option<&Got<IpAddr>>, dest_port: &mut Got<u16>) -> Option<Got<Endpoint>> {
    let Some(got) = reader.get("control_plane_endpoint") else {
        if way.has_vip() {
            let vip = vip?;
            return Endpoint::new(&vip.value.to_string(), dest_port.value).ok().map(|e| Got::new(e, vip.span.clone()));
        }
        reader.missing("control_plane_endpoint", "with `load_balancer: external` it names the load balancer: control_plane_endpoint: \"api.example.org:6443\"");
        return None;
    };
    let got = read::parsed::<Endpoint>("control_plane_endpoint", got, &mut reader.findings)?;
    let port = got.value.port();
    if way.has_vip() {
        if port != dest_port.value {
            let error = Diagnostic::error(format!(
                "`control_plane_endpoint` has the port {port}, and `apiserver_dest_port` is {}",
                dest_port.value
            ));
            reader.findings.push(error.at(got.span.clone()).help(format!("set `apiserver_dest_port: {port}`, or the endpoint to that port")));
        }
        if let (Some(address), Some(vip)) = (got.value.address(), vip)
            && address != vip.value
        {
            let error = Diagnostic::error(format!("`control_plane_endpoint` is at {address}, and `apiserver_vip` is {}", vip.value));
            reader.findings.push(error.at(got.span.clone()).help("leave the endpoint out, or give it a DNS name"));
        }
    } else {
        if dest_port.span.is_some() && port != dest_port.value {
            let warning = Diagnostic::warning("`apiserver_dest_port` means nothing with `load_balancer: external`").at(dest_port.span.clone());
            reader.findings.push(warning.help("the endpoint's own port counts"));
        }
        *dest_port = Got::new(port, got.span.clone());
    }
    Some(got)
}

fn read_subnet(reader: &mut Reader<'_>, name: &str, default: &str) -> Option<Got<IpNet>> {
    let Some(got) = reader.get(name) else { return default.parse().ok().map(|net| Got::new(net, None)) };
    let got = read::text(name, got, &mut reader.findings)?;
    let error = |message: String, span: Option<Span>| Diagnostic::error(message).at(span);
    if got.value.contains(',') {
        let error = error(format!("`{name}` is one network: dual stack is not built yet"), got.span);
        reader.findings.push(error.help("name the IPv4 network alone"));
        return None;
    }
    let net: IpNet = match got.value.parse() {
        Ok(net) => net,
        Err(_) => {
            let error = error(format!("`{name}` is a network in CIDR form, not `{}`", got.value), got.span);
            reader.findings.push(error.help(format!("as in {default}")));
            return None;
        }
    };
    let problem = match net {
        IpNet::V6(_) => Some(format!("`{name}` cannot be {net}: IPv6 is not built yet")),
        IpNet::V4(v4) if v4.trunc() != v4 => {
            let trunc = v4.trunc();
            reader.findings.push(error(format!("`{name}` has bits behind its prefix: {net}"), got.span).help(format!("write {trunc}")));
            return None;
        }
        // kubeadm gives each node a /24 of the pods' network, and takes at least eight addresses for services.
        IpNet::V4(v4) if name == "pod_subnet" && v4.prefix_len() > 24 => {
            Some(format!("`{name}` is too small: every node takes a /24 of it"))
        }
        IpNet::V4(v4) if v4.prefix_len() > 28 => Some(format!("`{name}` is too small: Kubernetes takes several addresses at once")),
        IpNet::V4(_) => None,
    };
    if let Some(problem) = problem {
        reader.findings.push(error(problem, got.span));
        return None;
    }
    Some(got.map(|_| net))
}

#[derive(Default)]
struct VrrpSet {
    router_id: Option<u8>,
    auth_pass: Option<Secret<String>>,
    unicast: bool,
    weight: Option<Got<i16>>,
}

fn read_vrrp(reader: &mut Reader<'_>, way: Way, profile: Profile, vip: Option<&Got<IpAddr>>) -> VrrpSet {
    let router_id = reader.integer("router_id", 1, 255).and_then(|got| u8::try_from(got.value).ok());
    let weight = reader.integer("weight", -253, -1).and_then(|got| i16::try_from(got.value).ok().map(|w| got.map(|_| w)));
    let unicast = reader.boolean("vrrp_unicast").unwrap_or(false);
    let mut auth_pass = None;
    if let Some(got) = reader.get("auth_pass")
        && let Some(got) = read::text("auth_pass", got, &mut reader.findings)
    {
        let length = got.value.len();
        if length > 8 || length == 0 || got.value.chars().any(|c| c.is_whitespace() || c.is_control() || !c.is_ascii() || "\"'#!{}".contains(c)) {
            let message = if length > 8 {
                format!("`auth_pass` has {length} characters, and 8 count")
            } else {
                "`auth_pass` holds a character that keepalived.conf cannot, or nothing".to_owned()
            };
            let error = Diagnostic::error(message).at(got.span);
            reader.findings.push(error.help("leave it out: it is derived from `apiserver_vip`"));
        } else if profile == Profile::Fast && way.uses_vrrp() {
            let warning = Diagnostic::warning("`auth_pass` means nothing with the profile `fast`: VRRPv3 has no passwords").at(got.span);
            reader.findings.push(warning.help("leave it out, or set `load_balancer_profile: seed`"));
        } else {
            auth_pass = Some(got.value);
        }
    }
    let vip = vip.map(|g| g.value);
    VrrpSet {
        router_id: router_id.or_else(|| vip.map(vrrp::router_id)),
        auth_pass: match profile {
            Profile::Seed => auth_pass.or_else(|| vip.map(vrrp::auth_pass)).map(Secret::new),
            Profile::Fast => None,
        },
        unicast,
        weight,
    }
}

fn read_origin(reader: &mut Reader<'_>, name: &str) -> Option<Origin> {
    Some(match reader.one_of(name, &["packages", "files", "present"])?.value {
        "files" => Origin::Files,
        "present" => Origin::Present,
        _ => Origin::Packages,
    })
}

/// Reads `cluster_name`: it becomes a file's name and a context's.
fn read_name(reader: &mut Reader<'_>) -> String {
    let default = || "kubernetes".to_owned();
    let Some(got) = reader.text("cluster_name") else { return default() };
    let name = &got.value;
    let fits = name.len() <= 63 && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)) && !name.starts_with(['.', '-']);
    if !fits {
        let error = Diagnostic::error(format!("`cluster_name` cannot be `{name}`")).at(got.span);
        reader.findings.push(error.help("it has up to 63 letters, digits, `-`, `_` and `.`, and begins with a letter or digit"));
        return default();
    }
    got.value
}

fn read_kube_vip(reader: &mut Reader<'_>, way: Way, profile: Profile) -> Option<KubeVip> {
    let image = reader.text("kube_vip_image").map_or_else(|| "ghcr.io/kube-vip/kube-vip".to_owned(), |g| g.value);
    let version = reader.text("kube_vip_version").map_or_else(|| "v1.2.3".to_owned(), |g| g.value);
    let services = reader.boolean("kube_vip_services").unwrap_or(false);
    let dedicated = reader.one_of("kube_vip_kubeconfig", &["dedicated", "admin"]).is_none_or(|g| g.value == "dedicated");
    let mut lease = match profile {
        Profile::Fast => [5, 3, 1],
        Profile::Seed => [15, 10, 2],
    };
    if let Some(got) = reader.text("kube_vip_lease") {
        let numbers: Vec<u16> = got.value.split('/').filter_map(|n| n.trim().parse().ok()).collect();
        match numbers[..] {
            // client-go's leader election refuses anything else (leaderelection.go, NewLeaderElector).
            [duration, renew, retry] if duration > renew && 5 * u32::from(renew) > 6 * u32::from(retry) && retry > 0 => {
                lease = [duration, renew, retry];
            }
            [_, _, _] => {
                let error = Diagnostic::error(format!("`kube_vip_lease` cannot be {}", got.value)).at(got.span);
                reader.findings.push(error.help("the lease is longer than the renewal, and the renewal than 1.2 times the retry: 5/3/1"));
            }
            _ => {
                let error = Diagnostic::error(format!("`kube_vip_lease` is three numbers of seconds, not `{}`", got.value)).at(got.span);
                reader.findings.push(error.help("as in \"5/3/1\": lease, renewal and retry"));
            }
        }
    }
    matches!(way, Way::KubeVipArp | Way::KubeVipBgp)
        .then_some(KubeVip { image, version, lease, services, dedicated_kubeconfig: dedicated })
}

fn read_bgp(reader: &mut Reader<'_>, way: Way, profile: Profile) -> Option<Bgp> {
    let local_as = reader.integer("bgp_local_as", 1, i64::from(u32::MAX)).and_then(|g| u32::try_from(g.value).ok());
    let (hold, keepalive) = match profile {
        Profile::Fast => (3, 1),
        Profile::Seed => (30, 10),
    };
    let seconds = |got: Option<Got<i64>>, default| got.and_then(|g| u16::try_from(g.value).ok()).unwrap_or(default);
    let hold_time = reader.integer("bgp_hold_time", 1, i64::from(u16::MAX));
    let hold_span = hold_time.as_ref().and_then(|g| g.span.clone());
    let hold_time = seconds(hold_time, hold);
    let keepalive_interval = seconds(reader.integer("bgp_keepalive_interval", 1, i64::from(u16::MAX)), keepalive);
    let bfd = reader.boolean("bgp_bfd").unwrap_or(false);
    let mut peers = Vec::new();
    if let Some(got) = reader.texts("bgp_peers") {
        for (i, text) in got.value.iter().enumerate() {
            match peer(text) {
                Ok(peer) => peers.push(peer),
                Err(problem) => reader.findings.push(Diagnostic::error(format!("`bgp_peers`: {problem}")).at(got.at(&format!("/{i}")))),
            }
        }
    } else if way == Way::KubeVipBgp {
        reader.missing("bgp_peers", "name the routers, as in bgp_peers: [\"192.0.2.1:65001::false\"]");
    }
    if way == Way::KubeVipBgp {
        // RFC 4271, 4.2 and 4.4: at least three seconds, and three keepalives within them.
        if hold_time < 3 || keepalive_interval.saturating_mul(3) > hold_time {
            let error = Diagnostic::error(format!("a hold time of {hold_time} s with keepalives each {keepalive_interval} s breaks BGP sessions"));
            reader.findings.push(error.at(hold_span).help("the hold time is three keepalive intervals or more, and 3 s at least (RFC 4271)"));
        }
        return Some(Bgp { local_as: local_as.unwrap_or(65000), peers, hold_time, keepalive_interval, bfd });
    }
    None
}

/// Returns the router of `address:AS[:password[:multihop…]]`. A password is never part of a message.
fn peer(text: &str) -> Result<BgpPeer, String> {
    let mut parts = text.splitn(4, ':');
    let address = parts.next().unwrap_or_default();
    let address: IpAddr = address.parse().map_err(|_| format!("`{address}` is no address; a peer is address:AS:password:multihop"))?;
    let number = parts.next().unwrap_or_default();
    let autonomous_system =
        number.parse().ok().filter(|n| *n > 0).ok_or_else(|| format!("`{number}` is no AS number; a peer is address:AS:password:multihop"))?;
    let password = parts.next().filter(|p| !p.is_empty()).map(|p| Secret::new(p.to_owned()));
    Ok(BgpPeer { address, autonomous_system, password, rest: parts.next().unwrap_or("false").to_owned() })
}

/// Adds what a node must never ask a proxy for: its own cluster.
fn extend_no_proxy(
    no_proxy: &mut Vec<String>,
    endpoint: &Endpoint,
    vip: Option<IpAddr>,
    subnets: [IpNet; 2],
    hosts: impl Iterator<Item = IpAddr>,
) {
    let own = ["localhost".into(), "127.0.0.1".into(), ".svc".into(), ".cluster.local".into(), endpoint.host().to_owned()];
    let own = own.into_iter().chain(vip.map(|v| v.to_string())).chain(subnets.map(|s| s.to_string())).chain(hosts.map(|h| h.to_string()));
    for name in own {
        if !no_proxy.contains(&name) {
            no_proxy.push(name);
        }
    }
}
