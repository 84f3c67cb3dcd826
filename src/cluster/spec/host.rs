//! One host of the cluster.

use std::net::IpAddr;

use indexmap::IndexMap;

use super::connection::{Connection, read_connection};
use super::node::{Taint, check_key, check_value};
use super::read::{self, Findings, Got, Vars};
use super::stand_in::StandIns;
use super::vrrp::State;
use crate::inventory::Inventory;
use crate::model::{Diagnostic, HostName, Span, Value};

/// A host of the cluster.
#[derive(Debug, Clone)]
pub struct HostSpec {
    /// Its name in the inventory.
    pub name: HostName,
    /// Its node's name: that of the inventory, whatever the host calls itself.
    pub node_name: String,
    /// Its address in the cluster.
    pub ip: Address,
    /// How SSH reaches it.
    pub connection: Connection,
    /// What it does in the cluster.
    pub roles: Roles,
    /// `interface`, where it was set; else it is the one that carries `ip`, which the host has to be asked for.
    pub interface: Option<String>,
    /// keepalived's initial state, on hosts where keepalived holds the address.
    pub state: Option<State>,
    /// VRRP's priority, likewise.
    pub priority: Option<u8>,
    /// `node_labels`.
    pub labels: IndexMap<String, String>,
    /// `node_taints`; `None` leaves them to kubeadm, or to none for a control plane that is a worker too.
    pub taints: Option<Vec<Taint>>,
    /// `bgp_router_id`; `ip` unless set.
    pub bgp_router_id: IpAddr,
    /// Where the inventory names it.
    pub span: Span,
}

/// An address of a host with how it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// The address.
    pub address: IpAddr,
    /// Whether `ip` was set; else it is `ansible_host`, which only counts if the host carries it.
    pub given: bool,
    /// Where it was set.
    pub span: Option<Span>,
}

/// What a host does in the cluster.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Roles {
    /// It runs an API server and a member of etcd.
    pub control_plane: bool,
    /// It runs pods of everybody's; together with `control_plane` it has no taint.
    pub worker: bool,
    /// It may hold the virtual address.
    pub load_balancer: bool,
}

impl Roles {
    /// Returns whether it is a node of the cluster, and not only a load balancer.
    pub fn node(self) -> bool {
        self.control_plane || self.worker
    }
}

/// A host before the cluster is known to be sound: what could be read of it.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) name: HostName,
    pub(super) span: Span,
    pub(super) roles: Roles,
    pub(super) ip: Option<Address>,
    pub(super) connection: Connection,
    /// Whether `ansible_host` could be read; else the host's name stands in.
    pub(super) is_reached: bool,
    pub(super) connection_span: Span,
    pub(super) interface: Option<String>,
    pub(super) state: Option<Got<State>>,
    pub(super) priority: Option<Got<u8>>,
    labels: IndexMap<String, String>,
    taints: Option<Vec<Taint>>,
    pub(super) bgp_router_id: Option<Got<IpAddr>>,
}

impl Draft {
    pub(super) fn read(vars: &Vars<'_>, inventory: &Inventory, findings: &mut Findings) -> Self {
        let host = vars.host;
        let name = host.name.as_str();
        let control_plane = inventory.is_in(name, super::build::CONTROL_PLANE);
        let load_balancer = inventory.is_in(name, super::build::LOAD_BALANCER)
            || (control_plane && inventory.hosts_of(super::build::LOAD_BALANCER).is_empty());
        let roles = Roles {
            control_plane,
            worker: inventory.is_in(name, super::build::WORKER),
            load_balancer,
        };
        let (connection, is_reached) = read_connection(vars, findings);
        let ip = read_ip(vars, Some(&connection).filter(|_| is_reached), findings);
        if roles.node() {
            check_node_name(host, findings);
        }
        let priority = vars
            .get("priority", findings)
            .and_then(|got| read::integer("priority", 1, 254, got, findings));
        let priority =
            priority.and_then(|got| u8::try_from(got.value).ok().map(|p| got.map(|_| p)));
        let state = vars
            .get("state", findings)
            .and_then(|got| read::one_of("state", &["MASTER", "BACKUP"], got, findings));
        let state = state.map(|got| {
            got.map(|s| {
                if s == "MASTER" {
                    State::Master
                } else {
                    State::Backup
                }
            })
        });
        let connection_span = ["ansible_port", "ansible_host"]
            .iter()
            .find_map(|n| vars.variable(n)?.origin.span.clone());
        Self {
            name: host.name.clone(),
            span: host.span.clone(),
            roles,
            ip,
            connection,
            is_reached,
            connection_span: connection_span.unwrap_or_else(|| host.span.clone()),
            interface: read_interface(vars, findings),
            state,
            priority,
            labels: read_labels(vars, findings),
            taints: read_taints(vars, findings),
            bgp_router_id: vars
                .get("bgp_router_id", findings)
                .and_then(|got| read::address("bgp_router_id", got, findings)),
        }
    }

    /// Returns the host. `address` stands in for one that could not be read.
    pub(super) fn finish(
        self,
        state: Option<State>,
        priority: Option<u8>,
        address: IpAddr,
        stand_ins: &mut StandIns,
    ) -> HostSpec {
        let ip = stand_ins.take("ip", self.ip, || Address {
            address,
            given: true,
            span: None,
        });
        HostSpec {
            node_name: self.name.to_string(),
            name: self.name,
            bgp_router_id: self.bgp_router_id.map_or(ip.address, |got| got.value),
            ip,
            connection: self.connection,
            roles: self.roles,
            interface: self.interface,
            state,
            priority,
            labels: self.labels,
            taints: self.taints,
            span: self.span,
        }
    }
}

fn read_ip(
    vars: &Vars<'_>,
    connection: Option<&Connection>,
    findings: &mut Findings,
) -> Option<Address> {
    let name = &vars.host.name;
    if vars.variable("ip").is_some_and(|v| !v.value.is_null()) {
        let got = read::address("ip", vars.get("ip", findings)?, findings)?;
        return Some(Address {
            address: got.value,
            given: true,
            span: got.span,
        });
    }
    let connection = connection?;
    let span = vars
        .variable("ansible_host")
        .and_then(|v| v.origin.span.clone())
        .or_else(|| Some(vars.host.span.clone()));
    let host = &connection.host;
    let error = match host.parse::<IpAddr>() {
        Ok(address) => match read::unusable(address) {
            None => {
                return Some(Address {
                    address,
                    given: false,
                    span,
                });
            }
            Some(problem) => format!(
                "`{name}` has no address in the cluster: `ansible_host` is {address}, and {problem}"
            ),
        },
        Err(_) => {
            format!("`{name}` has no address in the cluster: `ansible_host` is the name `{host}`")
        }
    };
    findings.push(Diagnostic::error(error).at(span).help(format!(
        "set `ip` for `{name}`: the address by which the other hosts reach it"
    )));
    None
}

/// Checks that an inventory name can be a node's: a DNS subdomain (RFC 1123) in lower case.
fn check_node_name(host: &crate::inventory::Host, findings: &mut Findings) {
    let name = host.name.as_str();
    let label = |l: &str| {
        !l.is_empty()
            && l.len() <= 63
            && l.chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
            && !l.starts_with('-')
            && !l.ends_with('-')
    };
    if name.len() > 253 || !name.split('.').all(label) {
        let error =
            Diagnostic::error(format!("`{name}` cannot be a node's name")).at(host.span.clone());
        findings.push(error.help("Kubernetes takes up to 253 lower-case letters, digits, `-` and `.`, 63 between two dots: rename the host in the inventory"));
    }
}

/// Reads `interface`: up to 15 bytes without `/` and white space (linux/if.h, IFNAMSIZ; dev_valid_name).
fn read_interface(vars: &Vars<'_>, findings: &mut Findings) -> Option<String> {
    let got = read::text("interface", vars.get("interface", findings)?, findings)?;
    let name = &got.value;
    if name.is_empty()
        || name.len() > 15
        || name == "."
        || name == ".."
        // The kernel takes more (net/core/dev.c, dev_valid_name); nobody gives a device such a name who means well.
        || !name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "._-@".contains(c))
    {
        findings.push(
            Diagnostic::error(format!(
                "`{}` is no name of a network interface",
                name.escape_debug()
            ))
            .at(got.span),
        );
        return None;
    }
    Some(got.value)
}

fn read_labels(vars: &Vars<'_>, findings: &mut Findings) -> IndexMap<String, String> {
    let mut labels = IndexMap::new();
    let Some(got) = vars.get("node_labels", findings) else {
        return labels;
    };
    let Value::Object(map) = &got.value else {
        let error = Diagnostic::error(format!(
            "`node_labels` is a map, not {}",
            read::describe(&got.value)
        ));
        findings.push(
            error
                .at(got.span.clone())
                .help("as in `node_labels: {disk: ssd}`"),
        );
        return labels;
    };
    for (key, value) in map {
        let pointer = format!("/{}", key.replace('~', "~0").replace('/', "~1"));
        if let Err(problem) = check_key(key) {
            findings.push(Diagnostic::error(problem).at(got.key_at("", key)));
            continue;
        }
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Null => String::new(),
            // A label is text: what was written counts, `yes` and not true.
            Value::Bool(_) | Value::Number(_) => got
                .written(&pointer)
                .map_or_else(|| value.to_string(), str::to_owned),
            other => {
                let error = Diagnostic::error(format!(
                    "the label `{key}` is text, not {}",
                    read::describe(other)
                ));
                findings.push(error.at(got.at(&pointer)));
                continue;
            }
        };
        match check_value(&text) {
            Ok(()) => {
                labels.insert(key.clone(), text);
            }
            Err(problem) => findings.push(
                Diagnostic::error(format!("the label `{key}`: {problem}")).at(got.at(&pointer)),
            ),
        }
    }
    labels
}

fn read_taints(vars: &Vars<'_>, findings: &mut Findings) -> Option<Vec<Taint>> {
    let got = vars.get("node_taints", findings)?;
    let items = match &got.value {
        Value::Array(items) => items.clone(),
        Value::String(text) => text.split(',').map(|t| Value::from(t.trim())).collect(),
        other => {
            let error = Diagnostic::error(format!(
                "`node_taints` is a list, not {}",
                read::describe(other)
            ));
            findings.push(
                error
                    .at(got.span.clone())
                    .help("as in `node_taints: [\"dedicated=db:NoSchedule\"]`"),
            );
            return None;
        }
    };
    let mut taints = Vec::new();
    for (i, item) in items.iter().enumerate() {
        let taint = match item {
            Value::String(text) => text.parse(),
            Value::Object(map) => {
                let field = |name: &str| map.get(name).and_then(Value::as_str);
                if let Some(other) = map
                    .keys()
                    .find(|k| !["key", "value", "effect"].contains(&k.as_str()))
                {
                    Err(format!(
                        "`{other}` is no part of a taint: key, value and effect are"
                    ))
                } else {
                    Taint::new(
                        field("key").unwrap_or_default(),
                        field("value"),
                        field("effect").unwrap_or_default(),
                    )
                }
            }
            other => Err(format!(
                "a taint is text or a map, not {}",
                read::describe(other)
            )),
        };
        match taint {
            Ok(taint) => taints.push(taint),
            Err(problem) => findings.push(Diagnostic::error(problem).at(got.at(&format!("/{i}")))),
        }
    }
    Some(taints)
}
