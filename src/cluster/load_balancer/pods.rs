//! `keepalived-haproxy-pods`: both as static pods of the control planes (the document's option 2). The manifests lie in
//! place before init and joins; the kubelet starts them as soon as kubeadm starts the kubelet, so that the VIP is up from
//! there on and not before.

use super::{Carrier, Holders, Leaves, Parts};
use crate::cluster::act;
use crate::host::sh;
use crate::plan::Step;

pub(super) const PARTS: Parts = Parts {
    first: &["vrrp"],
    roles: &["haproxy", "keepalived"],
    behind_node: true,
    units: &[],
    pods: &["keepalived", "haproxy"],
    vip_before_init: false,
    holders: Holders::One,
    differs_on_members: false,
    settled: Some(settled),
    leaves: Leaves {
        manifests: &[
            "/etc/kubernetes/manifests/keepalived.yaml",
            "/etc/kubernetes/manifests/haproxy.yaml",
        ],
        units: &[],
        packages: &[],
        paths: &[
            "/etc/keepalived/keepalived.conf",
            "/etc/keepalived/check_apiserver.sh",
            "/etc/haproxy/haproxy.cfg",
        ],
        address: true,
    },
};

/// How long a manifest that was written may stay without a newer container, in seconds. The kubelet looks at the folder
/// each 20 s even where it is told of no change (`fileCheckFrequency`); a manifest that says the same in other words
/// starts nothing, which is seen by waiting this long alone.
const UNHEARD_SECONDS: u32 = 25;
/// How long the pods may take to come back. An image may have to be fetched.
const SETTLED_SECONDS: u64 = 180;

/// Why haproxy does not serve stands nowhere but in its own log.
const LAST_WORDS: &str = r#"log=$(ls -t /var/log/pods/kube-system_haproxy-*/*/*.log 2>/dev/null | head -n 1)
[ -z "$log" ] || { echo "haproxy's last words, in $log:"; tail -n 4 "$log" | cut -c 1-300; }"#;

/// Returns the step that waits until the pods run from the manifests that lie there now, and the API answers through this
/// host's own haproxy. Without it the next host's pods would be restarted while these are still going down.
///
/// A container is newer than its manifest if the folder of its task is (containerd's state directory).
fn settled(host: &Carrier) -> Step {
    let address = std::net::SocketAddr::new(host.address, host.dest_port);
    let condition = format!(
        "{}\ncurl -sSf --noproxy '*' --max-time 3 --cacert /etc/kubernetes/pki/ca.crt -o /dev/null https://{address}/healthz || {{\n{LAST_WORDS}\nexit 1\n}}",
        started("haproxy keepalived", host)
    );
    act::wait(
        "load balancer : static pods",
        "the pods run from the manifests that lie there, and the API answers through this host's haproxy",
        &condition,
        SETTLED_SECONDS,
    )
}

/// Returns the shell condition that static pods, whose containers bear the pods' names, are newer than their manifests.
/// What it prints says which is not.
pub(super) fn started(pods: &str, host: &Carrier) -> String {
    let filter = "labels.\"io.kubernetes.pod.namespace\"==kube-system,labels.\"io.kubernetes.pod.name\"==\"$pod-$node\",labels.\"io.kubernetes.container.name\"==$pod";
    let filter = filter.replace('"', "\\\"");
    format!(
        r#"node={node}
for pod in {pods}; do
  manifest=/etc/kubernetes/manifests/$pod.yaml
  [ -e "$manifest" ] || {{ echo "$manifest is not there"; exit 1; }}
  now=
  for id in $(ctr -n k8s.io containers ls -q "{filter}" 2>/dev/null); do
    now=$now$(find "/run/containerd/io.containerd.runtime.v2.task/k8s.io/$id" -maxdepth 0 -newer "$manifest" 2>/dev/null)
  done
  [ -n "$now" ] || [ $(($(date +%s) - $(stat -c %Y "$manifest"))) -ge {UNHEARD_SECONDS} ] || {{ echo "$pod-$node has not been started since its manifest was written"; exit 1; }}
done"#,
        node = sh::quote(&host.node),
    )
}
