//! The cluster's kubeconfig as it is kept here. A host sent it, and kubectl runs programs and reads files that one names.

use std::net::ToSocketAddrs;

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::cluster::spec::ClusterSpec;

/// A kubeconfig as kubeadm writes it (k8s.io/client-go, tools/clientcmd/api/v1), and nothing else: `exec` and
/// `auth-provider` of a user would run a program, other fields would read files or trust anybody.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Kubeconfig {
    #[serde(rename = "apiVersion")]
    _version: IgnoredAny,
    #[serde(rename = "kind")]
    _kind: IgnoredAny,
    #[serde(rename = "preferences", default)]
    _preferences: IgnoredAny,
    #[serde(rename = "contexts")]
    _contexts: IgnoredAny,
    #[serde(rename = "current-context")]
    _current: IgnoredAny,
    clusters: Vec<Named>,
    #[serde(rename = "users")]
    _users: Vec<User>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    #[serde(rename = "name")]
    _name: IgnoredAny,
    cluster: Cluster,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Cluster {
    #[serde(rename = "certificate-authority-data")]
    _authority: IgnoredAny,
    server: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct User {
    #[serde(rename = "name")]
    _name: IgnoredAny,
    #[serde(rename = "user")]
    _user: Credential,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Credential {
    #[serde(rename = "client-certificate-data")]
    _certificate: IgnoredAny,
    #[serde(rename = "client-key-data")]
    _key: IgnoredAny,
}

/// Says why a kubeconfig is none that kubeadm writes.
pub(super) fn sound(text: &str) -> Result<(), String> {
    let help = "look at /etc/kubernetes/admin.conf there before anybody uses it";
    let read: Result<Kubeconfig, _> = serde_saphyr::from_str(text);
    let Ok(read) = read else {
        return Err(format!("it is none that kubeadm writes; {help}"));
    };
    match read
        .clusters
        .iter()
        .find(|c| !c.cluster.server.starts_with("https://"))
    {
        Some(_) => Err(format!("its server is asked without TLS; {help}")),
        None => Ok(()),
    }
}

/// Returns the kubeconfig with an address that this machine can reach: the VIP's where the endpoint's name means
/// nothing here. The VIP is in the API server's certificate.
pub(super) fn reachable(admin_conf: &str, spec: &ClusterSpec) -> String {
    let endpoint = &spec.endpoint;
    let known = (endpoint.host(), endpoint.port())
        .to_socket_addrs()
        .is_ok_and(|mut found| found.next().is_some());
    match spec.load_balancer.vip {
        Some(vip) if !known => admin_conf.replace(
            &format!("https://{endpoint}"),
            &format!(
                "https://{}",
                std::net::SocketAddr::new(vip, endpoint.port())
            ),
        ),
        _ => admin_conf.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `kubeadm init` of 1.36 writes it.
    const ADMIN: &str = "\
apiVersion: v1
clusters:
- cluster:
    certificate-authority-data: QUFB
    server: https://10.0.0.10:8443
  name: kubernetes
contexts:
- context:
    cluster: kubernetes
    user: kubernetes-admin
  name: kubernetes-admin@kubernetes
current-context: kubernetes-admin@kubernetes
kind: Config
users:
- name: kubernetes-admin
  user:
    client-certificate-data: QUFB
    client-key-data: QUFB
";

    #[test]
    fn what_kubeadm_writes_is_kept() {
        assert_eq!(sound(ADMIN), Ok(()));
        // Up to 1.35.
        assert_eq!(
            sound(&ADMIN.replace("kind:", "preferences: {}\nkind:")),
            Ok(())
        );
        let own = include_str!("../../../tests/fixtures/kube-vip/kube-vip.conf");
        assert_eq!(sound(own), Ok(()));
    }

    #[test]
    fn what_would_run_or_read_something_is_not() {
        let key = "    client-key-data: QUFB\n";
        for (from, to) in [
            (
                key,
                "    client-key-data: QUFB\n    exec: { command: sh, apiVersion: v1 }\n",
            ),
            (key, "    exec: { command: sh, apiVersion: v1 }\n"),
            (
                key,
                "    auth-provider: { name: x, config: { cmd-path: /bin/sh } }\n",
            ),
            (
                key,
                "    client-key-data: QUFB\n    tokenFile: /home/me/.ssh/id_rsa\n",
            ),
            (key, "    client-key: /home/me/.ssh/id_rsa\n"),
            (
                "    server: https:",
                "    proxy-url: http://a\n    server: https:",
            ),
            (
                "    server: https:",
                "    insecure-skip-tls-verify: true\n    server: https:",
            ),
            ("server: https:", "server: http:"),
            (
                "certificate-authority-data: QUFB",
                "certificate-authority: /etc/shadow",
            ),
            ("kind: Config", "kind: Config\nextensions: []"),
            ("apiVersion: v1", "&a [*a"),
        ] {
            let text = ADMIN.replace(from, to);
            assert_ne!(text, ADMIN);
            assert!(sound(&text).is_err(), "{text}");
        }
        assert!(sound("").is_err());
    }
}
