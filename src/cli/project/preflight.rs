//! What is looked for before hosts become a cluster, by the variables of roles.

use std::collections::BTreeSet;

use super::Project;
use crate::cluster::kubeadm::{self, KubeadmInput};
use crate::cluster::load_balancer::settings::{health_port, setting};
use crate::cluster::preflight::{self, Finding, Host, Wish};
use crate::cluster::spec::ClusterSpec;
use crate::engine::Seen;
use crate::host::{Fact, Facts, Observed};
use crate::model::{HostName, Map, Value};
use crate::role::Library;
use crate::template::Scope;

/// Returns what a host's variables say.
pub(super) fn wish(
    spec: &ClusterSpec,
    library: &Library,
    scope: &Scope,
    input: Option<&KubeadmInput>,
) -> Wish {
    let of_hosts = |name: &str| setting(library, scope, "hosts", name);
    let is_on = |name: &str| !matches!(of_hosts(name), Some(Value::Bool(false)));
    let modules = of_hosts("kernel_modules");
    let modules = modules
        .as_ref()
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    let registrations =
        input.map(|input| [true, false].map(|init| kubeadm::registration(input, init)));
    let ignored = registrations.iter().flatten();
    let ignored = ignored.filter_map(|r| r.get("ignorePreflightErrors")?.as_array());
    let ignored: BTreeSet<String> = ignored
        .flatten()
        .filter_map(|name| Some(name.as_str()?.to_string()))
        .collect();
    Wish {
        kernel_modules: modules
            .filter_map(|m| Some(m.as_str()?.to_string()))
            .collect(),
        swap_off: is_on("swap_off"),
        health_port: health_port(spec, library, scope).and_then(|port| port.try_into().ok()),
        endpoint_in_hosts: is_on("control_plane_endpoint_in_hosts"),
        prepare_firewall: spec.prepare_firewall,
        kubelet: input.map_or(Value::Null, kubeadm::kubelet),
        ignored,
    }
}

/// Where ufw says whether it is on: its unit is active either way.
const UFW: &str = "/etc/ufw/ufw.conf";
const FIREWALLD: &str = "firewalld.service";

/// Returns what is asked for [`firewalls`].
pub(super) fn facts_of_firewalls() -> Facts {
    Facts::from([
        Fact::Unit(FIREWALLD.into()),
        Fact::Path(UFW.into()),
        Fact::Content(UFW.into()),
    ])
}

/// Returns which firewalls run, as variables; both before the host was asked, so that the questions of all tasks are collected.
pub(super) fn firewalls(observed: Option<&Observed>) -> Map {
    let firewalld = |seen: &Observed| seen.unit(FIREWALLD).is(|unit| unit.is_active());
    let on = |line: &str| line.trim().eq_ignore_ascii_case("ENABLED=yes");
    let ufw = |seen: &Observed| {
        let conf = seen.content(UFW);
        conf.is(|conf| String::from_utf8_lossy(conf).lines().any(on))
    };
    Map::from_iter([
        (
            "has_firewalld".to_owned(),
            observed.is_none_or(firewalld).into(),
        ),
        ("has_ufw".to_owned(), observed.is_none_or(ufw).into()),
    ])
}

impl Project {
    /// Returns what a host is asked before it becomes a part of the cluster.
    pub(super) fn questions(&self, host: &HostName) -> Facts {
        let wanted = (self.spec.hosts.get(host), self.hosts.get(host));
        let (Some(spec), Some(desired)) = wanted else {
            return Facts::new();
        };
        preflight::questions(&self.spec, spec, &desired.wish)
    }

    /// Returns all that keeps hosts from becoming a cluster.
    pub(super) fn findings(&self, hosts: &[Seen<'_>]) -> Vec<Finding> {
        let host =
            |seen: &Seen<'_>| Some((self.spec.hosts.get(seen.host)?, self.hosts.get(seen.host)?));
        let hosts: Vec<Host<'_>> = hosts
            .iter()
            .filter_map(|seen| {
                let (spec, desired) = host(seen)?;
                Some(Host {
                    spec,
                    wish: &desired.wish,
                    observed: seen.observed,
                    plan: Some(seen.plan),
                    ours: seen.ours,
                })
            })
            .collect();
        preflight::findings(&self.spec, &hosts)
    }
}
