//! What kubeadm fills in by itself, as kubeadm 1.31 to 1.36 write it.

use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::json;

use super::fields::Filled;
use crate::model::Value;

/// `networking.dnsDomain` where nothing else is said.
pub(super) const DNS_DOMAIN: &str = "cluster.local";

/// Returns what stands in a ClusterConfiguration beside what was asked for (kubeadm's apis/kubeadm/v1beta4/defaults.go).
pub(super) fn cluster() -> Filled {
    Filled {
        values: vec![
            ("caCertificateValidityPeriod", json!("87600h0m0s")),
            ("certificateValidityPeriod", json!("8760h0m0s")),
            ("certificatesDir", json!("/etc/kubernetes/pki")),
            ("encryptionAlgorithm", json!("RSA-2048")),
            ("etcd.local.dataDir", json!("/var/lib/etcd")),
            ("imageRepository", json!("registry.k8s.io")),
            ("networking.dnsDomain", json!(DNS_DOMAIN)),
        ],
        // Compared as sets, by [`super::names`].
        ignored: &["apiServer.certSANs", "apiVersion", "kind"],
        spoken_false: None,
    }
}

/// Returns what stands in a KubeletConfiguration beside what was asked for (kubeadm's componentconfigs/kubelet.go), given the
/// ClusterConfiguration that is wanted.
pub(super) fn kubelet(cluster: &Value) -> Filled {
    let domain = cluster.pointer("/networking/dnsDomain");
    let mut values = vec![
        ("authentication.anonymous.enabled", json!(false)),
        ("authentication.webhook.enabled", json!(true)),
        (
            "authentication.x509.clientCAFile",
            json!("/etc/kubernetes/pki/ca.crt"),
        ),
        ("authorization.mode", json!("Webhook")),
        ("cgroupDriver", json!("systemd")),
        (
            "clusterDomain",
            domain.cloned().unwrap_or_else(|| json!(DNS_DOMAIN)),
        ),
        ("healthzBindAddress", json!("127.0.0.1")),
        ("healthzPort", json!(10248)),
        // Where systemd-resolved runs.
        ("resolvConf", json!("/run/systemd/resolve/resolv.conf")),
        ("rotateCertificates", json!(true)),
        ("staticPodPath", json!("/etc/kubernetes/manifests")),
    ];
    let services = cluster.pointer("/networking/serviceSubnet");
    if let Some(dns) = services
        .and_then(Value::as_str)
        .and_then(|subnet| service_address(subnet, DNS))
    {
        values.push(("clusterDNS", json!([dns.to_string()])));
    }
    Filled {
        values,
        // Each host's own, by instance-config.yaml.
        ignored: &["apiVersion", "kind", "containerRuntimeEndpoint"],
        spoken_false: None,
    }
}

/// Returns what stands in a KubeProxyConfiguration beside what was asked for (kubeadm's componentconfigs/kubeproxy.go).
pub(super) fn proxy(cluster: &Value) -> Filled {
    let pods = cluster.pointer("/networking/podSubnet");
    Filled {
        values: vec![
            ("bindAddress", json!("0.0.0.0")),
            (
                "clientConnection.kubeconfig",
                json!("/var/lib/kube-proxy/kubeconfig.conf"),
            ),
            ("clusterCIDR", pods.cloned().unwrap_or_default()),
        ],
        ignored: &["apiVersion", "kind"],
        // A pointer in kube-proxy's types, true where it is absent; all other booleans are written out as false.
        spoken_false: Some(&["iptables.localhostNodePorts"]),
    }
}

/// Which address of the services' network the cluster's DNS has (kubeadm's constants.GetDNSIP); the first is the API's
/// (constants.GetAPIServerVirtualIP).
const DNS: u8 = 10;

/// Returns an address of the services' network, counted from the network's own.
pub(super) fn service_address(subnet: &str, number: u8) -> Option<IpAddr> {
    match subnet.split(',').next()?.trim().parse().ok()? {
        IpNet::V4(net) => {
            let first = u32::from(net.network());
            let address = first.checked_add(number.into())?;
            Some(IpAddr::from(std::net::Ipv4Addr::from(address)))
        }
        IpNet::V6(net) => {
            let first = u128::from(net.network());
            let address = first.checked_add(number.into())?;
            Some(IpAddr::from(std::net::Ipv6Addr::from(address)))
        }
    }
}
