//! The names and addresses in the API servers' certificates: those that are asked for, and those that nobody asks for.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::known;
use super::{Difference, Place, Wanted};
use crate::host::fact::Kubernetes;
use crate::model::Value;

/// The field of a ClusterConfiguration that holds them.
pub const NAMES: &str = "apiServer.certSANs";

/// Returns where the names that the cluster keeps for certificates to come are not those that are wanted. A control plane's
/// own address need not be among them: kubeadm adds it on the host.
pub(super) fn of_configuration(wanted: &Value, live: &Value) -> Option<Difference> {
    let (wanted, live) = (asked(wanted), asked(live));
    let is_address = |name: &&&str| name.parse::<IpAddr>().is_ok();
    let missing = wanted.difference(&live).filter(|name| !is_address(name));
    let differs = missing.count() > 0 || live.difference(&wanted).count() > 0;
    let list = |names: &BTreeSet<&str>| {
        let all: Vec<&str> = names.iter().copied().collect();
        Some(all.join(" ")).filter(|all| !all.is_empty())
    };
    differs.then(|| Difference {
        place: Place::ClusterConfiguration,
        path: NAMES.into(),
        live: list(&live),
        wanted: list(&wanted),
    })
}

fn asked(cluster: &Value) -> BTreeSet<&str> {
    let names = cluster.pointer("/apiServer/certSANs");
    let names = names.and_then(Value::as_array).into_iter().flatten();
    names.filter_map(Value::as_str).collect()
}

/// Returns which names the certificate lacks, and which it has that nobody asks for. The latter are told of a control plane that
/// quorate has made alone: what somebody else gave his own is his business.
pub(super) fn of_certificate(wanted: &Wanted, host: &Kubernetes) -> Vec<Difference> {
    let (Some(names), Some(addresses)) = (&host.certificate_names, &host.certificate_addresses)
    else {
        return lost(host).into_iter().collect();
    };
    let differs = |live: Option<&str>, wanted: Option<&str>| Difference {
        place: Place::Certificate,
        path: "subjectAltName".into(),
        live: live.map(str::to_string),
        wanted: wanted.map(str::to_string),
    };
    let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    let live = || names.iter().chain(&addresses).map(String::as_str);
    let missing = wanted
        .names
        .iter()
        .filter(|name| !live().any(|l| same(l, name)));
    let mut found: Vec<Difference> = missing.map(|name| differs(None, Some(name))).collect();
    if host.marker.is_some() {
        let meant = meant(wanted);
        let unasked = live().filter(|name| !meant.iter().any(|m| same(m, name)));
        found.extend(unasked.map(|name| differs(Some(name), None)));
    }
    found
}

/// Returns whether the certificate is good for a name by one that is asked for: by a wildcard, which stands for one label
/// (RFC 6125, 6.4.3).
pub(super) fn stands_for(wanted: &Wanted, name: &str) -> bool {
    let rest = name.split_once('.').map_or("", |(_, rest)| rest);
    let wildcards = wanted.names.iter().filter_map(|n| n.strip_prefix("*."));
    let mut rests = wildcards.filter(|wild| !rest.is_empty() && wild.eq_ignore_ascii_case(rest));
    rests.next().is_some()
}

/// A certificate that is gone, as a roll-out that was killed leaves it: the API server lives on with what it has read, and does not
/// start again.
fn lost(host: &Kubernetes) -> Option<Difference> {
    let serves = host.written.manifests.contains_key("kube-apiserver");
    (serves && host.certificate_expiry.is_none()).then(|| Difference {
        place: Place::Certificate,
        path: "file".into(),
        live: None,
        wanted: Some("what kubeadm writes".into()),
    })
}

/// Whether two names, or two addresses, are one.
fn same(one: &str, other: &str) -> bool {
    match (one.parse::<IpAddr>(), other.parse::<IpAddr>()) {
        (Ok(one), Ok(other)) => one == other,
        _ => one.eq_ignore_ascii_case(other),
    }
}

/// All that the certificate may name: what is asked for, and what kubeadm adds by itself (kubeadm's
/// pkiutil.GetAPIServerAltNames): the node, the Service of the API and its address.
fn meant(wanted: &Wanted) -> Vec<String> {
    let cluster = &wanted.cluster;
    let domain = cluster.pointer("/networking/dnsDomain");
    let domain = domain.and_then(Value::as_str).unwrap_or(known::DNS_DOMAIN);
    let mut all = vec![
        wanted.node.clone(),
        "kubernetes".into(),
        "kubernetes.default".into(),
        "kubernetes.default.svc".into(),
        format!("kubernetes.default.svc.{domain}"),
    ];
    let services = cluster.pointer("/networking/serviceSubnet");
    let service = services
        .and_then(Value::as_str)
        .and_then(|subnet| known::service_address(subnet, 1));
    all.extend(service.map(|address| address.to_string()));
    all.extend(asked(cluster).into_iter().map(str::to_string));
    all.extend(wanted.names.iter().cloned());
    all
}
