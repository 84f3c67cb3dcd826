//! A kubeconfig for kube-vip alone: a client certificate that the cluster's CA signs on the control plane itself, and the
//! least rights that kube-vip's sources ask for.

use serde_json::json;

use super::KUBECONFIG;
use crate::cluster::act::{self, Manifest};
use crate::cluster::kubeadm::KUBEADM_API;
use crate::cluster::spec::{ClusterSpec, HostSpec, Way};
use crate::event::Category;
use crate::host::{Effect, Run};
use crate::model::{Mode, Sha256, Value};
use crate::plan::{Change, HostPlan, Step};

/// How long the certificate lives: as long as those that kubeadm makes (v1beta4, `certificateValidityPeriod`). What is left
/// is counted against this and not against `notBefore`, which kubeadm copies from the CA (pkiutil, NewSignedCert).
pub const LIFE_SECONDS: i64 = 365 * 24 * 3600;

/// The group that the rights are bound to; the user's name says which host it is.
const GROUP: &str = "quorate:kube-vip";
/// kube-vip's lease of the control plane's address and of the Services' (pkg `cmd`, defaults of `--leaseName` and
/// `--servicesLeaseName`).
const LEASES: [&str; 2] = ["plndr-cp-lock", "plndr-svcs-lock"];

/// Returns the rights as one manifest.
///
/// The source of each rule is what kube-vip 0.8 to 1.2 calls: client-go's LeaseLock (get, create, update), for Services
/// pkg/services (watch, get, update, status), pkg/endpoints (watch), and pods of kube-system for egress. `create` cannot be
/// limited to names (kubernetes.io, RBAC, "Referring to resources").
pub fn rights(spec: &ClusterSpec) -> Manifest {
    let balancer = &spec.load_balancer;
    let services = balancer.kube_vip.as_ref().is_some_and(|k| k.services);
    // By BGP every node serves Services: there is no election.
    let leases: &[&str] = match (balancer.way, services) {
        (Way::KubeVipArp, true) => &LEASES,
        (Way::KubeVipArp, false) => &LEASES[..1],
        _ => &[],
    };
    let mut local = Vec::new();
    if !leases.is_empty() {
        let group = "coordination.k8s.io";
        local.push(json!({"apiGroups": [group], "resources": ["leases"], "verbs": ["create"]}));
        local.push(json!({"apiGroups": [group], "resources": ["leases"], "resourceNames": leases, "verbs": ["get", "update"]}));
    }
    let mut documents = Vec::new();
    if services {
        local.push(json!({"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}));
        let everywhere = json!([
            {"apiGroups": [""], "resources": ["services"], "verbs": ["get", "list", "watch", "update"]},
            {"apiGroups": [""], "resources": ["services/status"], "verbs": ["update"]},
            {"apiGroups": [""], "resources": ["endpoints"], "verbs": ["get", "list", "watch"]},
            {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["get", "list", "watch"]},
        ]);
        documents.extend(pair("ClusterRole", None, everywhere));
    }
    if !local.is_empty() {
        documents.extend(pair("Role", Some("kube-system"), local.into()));
    }
    // JSON is YAML, and a list keeps it one text.
    let list = json!({"apiVersion": "v1", "kind": "List", "items": documents});
    Manifest {
        name: "kube-vip's rights".into(),
        text: Some(format!("{list:#}\n")),
    }
}

/// Returns what is noted in the kubeconfig of the rights: where it is another note, they are brought into the cluster anew.
pub fn note(spec: &ClusterSpec) -> String {
    let text = rights(spec).text.unwrap_or_default();
    format!("{:.12}", Sha256::of(text).to_string())
}

/// A role and its binding.
fn pair(kind: &str, namespace: Option<&str>, rules: Value) -> [Value; 2] {
    let api = "rbac.authorization.k8s.io";
    let mut metadata = json!({"name": GROUP});
    if let Some(namespace) = namespace {
        metadata["namespace"] = json!(namespace);
    }
    [
        json!({"apiVersion": format!("{api}/v1"), "kind": kind, "metadata": metadata, "rules": rules}),
        json!({
            "apiVersion": format!("{api}/v1"),
            "kind": format!("{kind}Binding"),
            "metadata": metadata,
            "roleRef": {"apiGroup": api, "kind": kind, "name": GROUP},
            "subjects": [{"apiGroup": api, "kind": "Group", "name": GROUP}],
        }),
    ]
}

/// Returns the step that takes kube-vip's rights and its lease out of the cluster, when another way takes its place.
pub fn forget() -> Step {
    let script = format!(
        "k='kubectl --kubeconfig /etc/kubernetes/admin.conf --request-timeout=10s'\n\
         $k -n kube-system delete --ignore-not-found role/{GROUP} rolebinding/{GROUP} lease/{} &&\n\
         $k delete --ignore-not-found clusterrole/{GROUP} clusterrolebinding/{GROUP}",
        LEASES[0]
    );
    let mut run = Run::new(["/bin/sh", "-c", &script]);
    run.label = Some("kubectl delete kube-vip's rights".into());
    Step::new(
        "load balancer : kube-vip has no rights any more",
        Category::Own,
        vec![Change::new(Effect::Run(run), "of the old way")],
    )
}

/// Returns the steps that give kube-vip on this control plane its rights and a kubeconfig. The key never leaves the host.
pub fn steps(spec: &ClusterSpec, host: &HostSpec) -> HostPlan {
    const CONFIG: &str = "/run/quorate/kube-vip-kubeadm.yaml";
    let documents = [
        json!({
            "apiVersion": KUBEADM_API,
            "kind": "InitConfiguration",
            "localAPIEndpoint": {"advertiseAddress": host.ip.address.to_string(), "bindPort": spec.load_balancer.src_port},
            "nodeRegistration": {"name": host.node_name},
        }),
        // With a version written out kubeadm asks nobody for the newest.
        json!({
            "apiVersion": KUBEADM_API,
            "kind": "ClusterConfiguration",
            "clusterName": spec.name,
            "kubernetesVersion": format!("v{}", spec.kubernetes_version),
            "controlPlaneEndpoint": spec.endpoint.to_string(),
        }),
    ];
    let config = documents.map(|d| format!("{d:#}\n")).join("---\n");
    let write = act::file(CONFIG, &config, Mode::PRIVATE, None);
    // Its output is the kubeconfig: it goes to a file and nowhere else.
    let script = format!(
        "umask 077\nnew={KUBECONFIG}.quorate-new\n\
         {{ echo '# quorate: rights {note}'; kubeadm kubeconfig user --config {CONFIG} --client-name {GROUP}:{node} --org {GROUP} --validity-period {hours}h; }} >\"$new\" \
         && mv -f \"$new\" {KUBECONFIG}\n\
         status=$?\nrm -f {CONFIG} \"$new\"\nexit $status",
        note = note(spec),
        node = host.node_name,
        hours = LIFE_SECONDS / 3600,
    );
    let mut run = Run::new(["/bin/sh", "-c", &script]);
    run.label = Some("kubeadm kubeconfig user, for kube-vip".into());
    let steps = vec![
        crate::cluster::act::apply(&rights(spec)),
        Step::new(
            "cluster : kube-vip's kubeconfig",
            Category::Own,
            vec![
                Change::new(write, "for kubeadm"),
                Change::new(Effect::Run(run), "signed by the cluster's CA, for a year"),
            ],
        ),
    ];
    HostPlan {
        steps,
        ..HostPlan::default()
    }
}
