//! The cluster's addresses: the virtual one, the endpoint, the networks of pods and services.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net};

use super::read::{self, Got};
use super::reader::Reader;
use super::way::Way;
use crate::model::{Diagnostic, Endpoint, Span};

pub(super) fn read_vip(reader: &mut Reader<'_>, way: Way) -> Option<Got<IpAddr>> {
    let Some(got) = reader.get("apiserver_vip") else {
        if way.has_vip() {
            reader.missing("apiserver_vip", "set it in group_vars/all.yml to an unused address in the hosts' network, or choose `load_balancer: external`");
        }
        return None;
    };
    if !way.has_vip() {
        let warning =
            Diagnostic::warning("`apiserver_vip` means nothing with `load_balancer: external`")
                .at(got.span);
        reader
            .findings
            .push(warning.help("`control_plane_endpoint` names the load balancer"));
        return None;
    }
    read::address("apiserver_vip", got, &mut reader.findings)
}

pub(super) fn read_endpoint(
    reader: &mut Reader<'_>,
    way: Way,
    vip: Option<&Got<IpAddr>>,
    dest_port: &mut Got<u16>,
) -> Option<Got<Endpoint>> {
    let Some(got) = reader.get("control_plane_endpoint") else {
        if way.has_vip() {
            let vip = vip?;
            return Endpoint::new(&vip.value.to_string(), dest_port.value)
                .ok()
                .map(|e| Got::new(e, vip.span.clone()));
        }
        reader.missing("control_plane_endpoint", "with `load_balancer: external` it names the load balancer: control_plane_endpoint: \"api.example.org:6443\"");
        return None;
    };
    let got = read::parsed::<Endpoint>("control_plane_endpoint", got, &mut reader.findings)?;
    if let Some(problem) = nowhere(&got.value, way) {
        let message = format!(
            "`control_plane_endpoint` cannot be at {}: {problem}",
            got.value.host()
        );
        let help = if way.has_vip() {
            "leave the endpoint out, or give it a DNS name of its own"
        } else {
            "name the load balancer that leads to all control planes"
        };
        let error = Diagnostic::error(message).at(got.span);
        reader.findings.push(error.help(help));
        return None;
    }
    let port = got.value.port();
    if way.uses_kube_vip() && dest_port.span.is_none() {
        // A cluster that was moved keeps its endpoint: its certificates and kubeconfigs name it.
        *dest_port = Got::new(port, got.span.clone());
    }
    if way.has_vip() {
        if port != dest_port.value {
            let error = Diagnostic::error(format!(
                "`control_plane_endpoint` has the port {port}, and `apiserver_dest_port` is {}",
                dest_port.value
            ));
            reader
                .findings
                .push(error.at(got.span.clone()).help(format!(
                    "set `apiserver_dest_port: {port}`, or the endpoint to that port"
                )));
        }
        if let (Some(address), Some(vip)) = (got.value.address(), vip)
            && address != vip.value
        {
            let error = Diagnostic::error(format!(
                "`control_plane_endpoint` is at {address}, and `apiserver_vip` is {}",
                vip.value
            ));
            reader.findings.push(
                error
                    .at(got.span.clone())
                    .help("leave the endpoint out, or give it a DNS name"),
            );
        }
    } else {
        if dest_port.span.is_some() && port != dest_port.value {
            let warning = Diagnostic::warning(
                "`apiserver_dest_port` means nothing with `load_balancer: external`",
            )
            .at(dest_port.span.clone());
            reader
                .findings
                .push(warning.help("the endpoint's own port counts"));
        }
        *dest_port = Got::new(port, got.span.clone());
    }
    Some(got)
}

/// Returns why an endpoint leads every host to itself, or nowhere.
fn nowhere(endpoint: &Endpoint, way: Way) -> Option<&'static str> {
    let host = endpoint.host();
    // RFC 6761, 6.3, and what distributions put into /etc/hosts.
    let names = [
        "localhost",
        "localhost.localdomain",
        "ip6-localhost",
        "ip6-loopback",
    ];
    if names.contains(&host) || host.ends_with(".localhost") {
        return Some("it is every host's own loopback");
    }
    // Another address than the virtual one is told apart from this.
    let address = endpoint.address().filter(|_| !way.has_vip())?;
    read::unusable(address)
}

/// `pod_subnet` unless it is set.
pub(super) const POD_SUBNET: IpNet = ipv4([10, 244, 0, 0], 16);
/// `service_subnet` unless it is set: kubeadm's own (kubeadm-config.v1beta4, networking.serviceSubnet).
pub(super) const SERVICE_SUBNET: IpNet = ipv4([10, 96, 0, 0], 12);

const fn ipv4([a, b, c, d]: [u8; 4], length: u8) -> IpNet {
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), length))
}

pub(super) fn read_subnet(
    reader: &mut Reader<'_>,
    name: &str,
    default: IpNet,
) -> Option<Got<IpNet>> {
    let Some(got) = reader.get(name) else {
        return Some(Got::new(default, None));
    };
    let got = read::text(name, got, &mut reader.findings)?;
    let error = |message: String, span: Option<Span>| Diagnostic::error(message).at(span);
    if got.value.contains(',') {
        let error = error(
            format!("`{name}` is one network: dual stack is not built yet"),
            got.span,
        );
        reader
            .findings
            .push(error.help("name the IPv4 network alone"));
        return None;
    }
    let net: IpNet = match got.value.parse() {
        Ok(net) => net,
        Err(_) => {
            let error = error(
                format!("`{name}` is a network in CIDR form, not `{}`", got.value),
                got.span,
            );
            reader.findings.push(error.help(format!("as in {default}")));
            return None;
        }
    };
    let problem = match net {
        IpNet::V6(_) => Some(format!("`{name}` cannot be {net}: IPv6 is not built yet")),
        IpNet::V4(v4) if v4.trunc() != v4 => {
            let trunc = v4.trunc();
            reader.findings.push(
                error(
                    format!("`{name}` has bits behind its prefix: {net}"),
                    got.span,
                )
                .help(format!("write {trunc}")),
            );
            return None;
        }
        // kubeadm gives each node a /24 of the pods' network, and takes at least eight addresses for services.
        IpNet::V4(v4) if name == "pod_subnet" && v4.prefix_len() > 24 => Some(format!(
            "`{name}` is too small: every node takes a /24 of it"
        )),
        IpNet::V4(v4) if v4.prefix_len() > 28 => Some(format!(
            "`{name}` is too small: Kubernetes takes several addresses at once"
        )),
        IpNet::V4(_) => None,
    };
    if let Some(problem) = problem {
        reader.findings.push(error(problem, got.span));
        return None;
    }
    Some(got.map(|_| net))
}

/// Adds what a node must never ask a proxy for: its own cluster.
pub(super) fn extend_no_proxy(
    no_proxy: &mut Vec<String>,
    endpoint: &Endpoint,
    vip: Option<IpAddr>,
    subnets: [IpNet; 2],
    hosts: impl Iterator<Item = IpAddr>,
) {
    let own = [
        "localhost".into(),
        "127.0.0.1".into(),
        ".svc".into(),
        ".cluster.local".into(),
        endpoint.host().to_owned(),
    ];
    let own = own
        .into_iter()
        .chain(vip.map(|v| v.to_string()))
        .chain(subnets.map(|s| s.to_string()))
        .chain(hosts.map(|h| h.to_string()));
    for name in own {
        if !no_proxy.contains(&name) {
            no_proxy.push(name);
        }
    }
}
