//! `keepalived-haproxy-pods`: both as static pods of the control planes (the document's option 2). The manifests lie in
//! place before init and joins; the kubelet starts them as soon as kubeadm starts the kubelet, so that the VIP is up from
//! there on and not before.

use super::{Carrier, Holders, Leaves, Parts};
use crate::cluster::act::{self, LAST_WORDS};
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

/// How long a container has to have run, in seconds, before it counts. One that cannot work ends at once, and is begun again:
/// in between, containerd and the API call it running and ready.
const STAYS_SECONDS: u32 = 3;

/// Returns the step that waits until the pods run from the manifests that lie there now, and the API answers through this
/// host's own haproxy. Without it the next host's pods would be restarted while these are still going down.
///
/// A container is newer than its manifest if the folder of its task is (containerd's state directory).
fn settled(host: &Carrier) -> Step {
    let address = std::net::SocketAddr::new(host.address, host.dest_port);
    let pods = "haproxy keepalived";
    let condition = format!(
        "{}\n{}\ncurl -sSf --noproxy '*' --max-time 3 --cacert /etc/kubernetes/pki/ca.crt -o /dev/null https://{address}/healthz || {{\nlast_words haproxy 6\nexit 1\n}}",
        started(pods, host),
        stays(pods, host)
    );
    act::wait(
        "load balancer : static pods",
        "the pods run from the manifests that lie there, and the API answers through this host's haproxy",
        &condition,
        SETTLED_SECONDS,
    )
}

/// Returns the filter of containerd's client for the containers of `$pod` on `$node`, to stand in double quotes.
fn filter() -> String {
    let filter = "labels.\"io.kubernetes.pod.namespace\"==kube-system,labels.\"io.kubernetes.pod.name\"==\"$pod-$node\",labels.\"io.kubernetes.container.name\"==$pod";
    filter.replace('"', "\\\"")
}

/// Returns the shell condition that the containers of static pods run, and are the same some seconds later. What it prints says
/// which does not, with its last words.
pub(super) fn stays(pods: &str, host: &Carrier) -> String {
    format!(
        r#"{LAST_WORDS}node={node}
up() {{
  tasks=$(ctr -n k8s.io tasks ls 2>/dev/null)
  for pod in {pods}; do
    for id in $(ctr -n k8s.io containers ls -q "{filter}" 2>/dev/null); do
      printf '%s\n' "$tasks" | grep -q "^$id .*RUNNING" && echo "$pod $id"
    done
  done
}}
first=$(up)
sleep {STAYS_SECONDS}
later=$(up)
for pod in {pods}; do
  id=$(printf '%s\n' "$first" | sed -n "s/^$pod //p" | tail -n 1)
  [ -n "$id" ] && printf '%s\n' "$later" | grep -qxF "$pod $id" || {{ echo "$pod-$node does not stay up"; last_words "$pod" 6; exit 1; }}
done"#,
        node = sh::quote(&host.node),
        filter = filter(),
    )
}

/// Returns the shell condition that static pods, whose containers bear the pods' names, are newer than their manifests.
/// What it prints says which is not.
pub(super) fn started(pods: &str, host: &Carrier) -> String {
    let filter = filter();
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
