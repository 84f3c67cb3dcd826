//! What keeps hosts from becoming a cluster, found in all hosts at once before anything is changed. Pure: what is wanted and
//! what was observed -> findings.
//!
//! A host that is a member has passed this, and is asked nothing but its clock. docs/preflight.md is the table of it.

mod across;
pub mod firewall;
mod own;
mod space;

use std::collections::BTreeSet;

use crate::cluster::spec::{ClusterSpec, HostSpec, Way};
use crate::host::fact::Questions;
use crate::host::{Fact, Facts, Observed};
use crate::model::{HostName, Value};
use crate::plan::HostPlan;

/// The unit of the kubelet, and that of the container runtime.
const UNITS: [&str; 2] = ["kubelet.service", "containerd.service"];

/// The names of what is looked for, as `ignore_preflight_errors` takes them; kubeadm's own where it looks for the same
/// (kubeadm 1.36, cmd/kubeadm/app/preflight/checks.go). Ports have no name here: they are never ignored.
pub const NAMES: [&str; 19] = [
    "NumCPU",
    "Mem",
    "Swap",
    "SystemVerification",
    "Hostname",
    "ClockSkew",
    "DiskSpace",
    "DiskPressure",
    "ReadOnly",
    "KernelModule",
    "MaskedUnit",
    "EndpointName",
    "DuplicateMachine",
    "DuplicateMachineId",
    "DuplicateProductUuid",
    "DuplicateHostname",
    "Firewall",
    "SELinux",
    "NoProxy",
];
/// Those of them that kubeadm knows too: the others are none of its configuration.
const KUBEADM: [&str; 5] = ["NumCPU", "Mem", "Swap", "SystemVerification", "Hostname"];

/// Returns whether a name is of this page alone, so that kubeadm is not told of it.
pub fn is_ours_alone(name: &str) -> bool {
    let is = |other: &str| other.eq_ignore_ascii_case(name.trim());
    NAMES.iter().any(|n| is(n)) && !KUBEADM.iter().any(|n| is(n))
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// It may go well.
    Warning,
    /// It will not go well: a host's fault, exit code 1.
    Fault,
    /// It would do harm: exit code 5.
    Unsafe,
}

/// Something that is wrong with a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The host.
    pub host: HostName,
    /// By what name it is ignored.
    pub name: String,
    /// How bad it is.
    pub level: Level,
    /// The cause.
    pub message: String,
    /// What mends it.
    pub cure: String,
}

impl Finding {
    /// Returns the cause with its name ahead.
    pub fn text(&self) -> String {
        format!("{}: {}", self.name, self.message)
    }
}

/// What the variables of roles say that matters here.
#[derive(Debug, Clone, PartialEq)]
pub struct Wish {
    /// `kernel_modules`.
    pub kernel_modules: Vec<String>,
    /// `swap_off`.
    pub swap_off: bool,
    /// `haproxy_health_port`, where haproxy has one.
    pub health_port: Option<u16>,
    /// Whether the endpoint's name is written into /etc/hosts.
    pub endpoint_in_hosts: bool,
    /// `prepare_firewall`.
    pub prepare_firewall: bool,
    /// The kubelet's configuration as it will be.
    pub kubelet: Value,
    /// `ignorePreflightErrors` as kubeadm will read it on this host.
    pub ignored: BTreeSet<String>,
}

/// A host with what was observed of it.
#[derive(Debug, Clone, Copy)]
pub struct Host<'a> {
    /// The host as it is wanted.
    pub spec: &'a HostSpec,
    /// What its roles say.
    pub wish: &'a Wish,
    /// What was observed.
    pub observed: &'a Observed,
    /// What will be done there first; `None` where that is not known.
    pub plan: Option<&'a HostPlan>,
    /// Whether the run may change it.
    pub ours: bool,
}

impl Host<'_> {
    /// Returns whether it is to become a part of the cluster, in this run.
    fn is_new(&self) -> bool {
        self.ours && self.observed.preflight.is_some()
    }

    fn finding(
        &self,
        name: impl Into<String>,
        level: Level,
        message: impl Into<String>,
        cure: impl Into<String>,
    ) -> Finding {
        Finding {
            host: self.spec.name.clone(),
            name: name.into(),
            level,
            message: message.into(),
            cure: cure.into(),
        }
    }
}

/// Returns what a host is asked, for a run's first look alone.
pub fn questions(spec: &ClusterSpec, host: &HostSpec, wish: &Wish) -> Facts {
    let ports = ports(spec, host, wish).into_iter().map(|(port, _)| port);
    let is_node = host.roles.node();
    let mut facts = Facts::from([Fact::Preflight(Questions {
        node: is_node,
        // Somebody else's load balancer is asked by Fact::Endpoint.
        endpoint: match spec.endpoint.address() {
            None if is_node && spec.load_balancer.vip.is_some() => {
                Some(spec.endpoint.host().to_string())
            }
            _ => None,
        },
        in_hosts: wish.endpoint_in_hosts,
        ports: ports.collect(),
        modules: match is_node {
            true => wish.kernel_modules.clone(),
            false => Vec::new(),
        },
    })]);
    if is_node {
        facts.insert(Fact::Swap);
        facts.extend(UNITS.map(|unit| Fact::Unit(unit.into())));
    }
    facts
}

/// Who needs a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holder {
    /// The API server.
    ApiServer,
    /// Another part of Kubernetes.
    Kubernetes,
    /// haproxy, at all addresses.
    Balancer,
    /// haproxy's own health, at 127.0.0.1.
    Health,
}

/// Returns the ports that have to be free on a host (kubernetes.io, Ports and Protocols; kubeadm asks for the same).
fn ports(spec: &ClusterSpec, host: &HostSpec, wish: &Wish) -> Vec<(u16, Holder)> {
    let balancer = &spec.load_balancer;
    let mut ports = Vec::new();
    if host.roles.control_plane {
        ports.push((balancer.src_port, Holder::ApiServer));
        ports.extend([2379, 2380, 10257, 10259].map(|port| (port, Holder::Kubernetes)));
    }
    if host.roles.node() {
        ports.push((10250, Holder::Kubernetes));
    }
    if host.roles.load_balancer && balancer.way.uses_vrrp() {
        ports.push((balancer.dest_port, Holder::Balancer));
        ports.extend(wish.health_port.map(|port| (port, Holder::Health)));
    }
    ports
}

/// Returns all that is wrong with all hosts, in the order of the hosts.
pub fn findings(spec: &ClusterSpec, hosts: &[Host<'_>]) -> Vec<Finding> {
    let mut found = Vec::new();
    for host in hosts.iter().filter(|host| host.is_new()) {
        own::findings(spec, host, &mut found);
        space::findings(spec, host, &mut found);
        found.extend(firewall::findings(spec, host));
    }
    across::findings(hosts, &mut found);
    found.retain(|finding| {
        let host = hosts.iter().find(|h| h.spec.name == finding.host);
        let ignored = |host: &Host<'_>| {
            let mut all = spec
                .ignore_preflight_errors
                .iter()
                .chain(&host.wish.ignored);
            all.any(|name| name.trim().eq_ignore_ascii_case(&finding.name))
        };
        !host.is_some_and(ignored)
    });
    let place = |name: &HostName| hosts.iter().position(|h| h.spec.name == *name);
    found.sort_by(|a, b| {
        let key = |f: &Finding| (std::cmp::Reverse(f.level), place(&f.host));
        key(a).cmp(&key(b))
    });
    found
}

/// Returns whether haproxy serves as a service or a pod of this way.
fn has_haproxy(way: Way) -> bool {
    way.uses_vrrp()
}
