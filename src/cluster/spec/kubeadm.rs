//! The user's kubeadm documents.

use indexmap::IndexMap;

use super::read::{self, Findings, Got};
use crate::model::{Diagnostic, Map, Value, nearest};

/// The user's documents by kind, to be merged over the generated ones.
pub type Documents = IndexMap<&'static str, Map>;

/// The kinds of documents that kubeadm reads (kubernetes.io, kubeadm configuration v1beta4; kubelet and kube-proxy have
/// groups of their own).
pub const DOCUMENTS: &[&str] =
    &["InitConfiguration", "ClusterConfiguration", "KubeletConfiguration", "KubeProxyConfiguration", "JoinConfiguration"];

/// The one version of kubeadm's documents that is written; it is there from Kubernetes 1.31 on.
const API_VERSION: &str = "kubeadm.k8s.io/v1beta4";

/// Fields that quorate has to know, with the variable that sets each. A second source for them would be a trap.
const REFUSED: &[(&str, &str, &str)] = &[
    ("ClusterConfiguration", "/controlPlaneEndpoint", "control_plane_endpoint"),
    ("ClusterConfiguration", "/kubernetesVersion", "kubernetes_version"),
    ("ClusterConfiguration", "/clusterName", "cluster_name"),
    ("ClusterConfiguration", "/networking/podSubnet", "pod_subnet"),
    ("ClusterConfiguration", "/networking/serviceSubnet", "service_subnet"),
    ("ClusterConfiguration", "/imageRepository", "image_repository"),
    ("InitConfiguration", "/localAPIEndpoint/advertiseAddress", "ip"),
    ("InitConfiguration", "/localAPIEndpoint/bindPort", "apiserver_src_port"),
    ("InitConfiguration", "/nodeRegistration/name", "the host's name in the inventory"),
    ("JoinConfiguration", "/controlPlane/localAPIEndpoint/advertiseAddress", "ip"),
    ("JoinConfiguration", "/controlPlane/localAPIEndpoint/bindPort", "apiserver_src_port"),
    ("JoinConfiguration", "/nodeRegistration/name", "the host's name in the inventory"),
];

pub(super) fn read(got: Got<Value>, findings: &mut Findings) -> Option<Documents> {
    let Value::Object(map) = &got.value else {
        let error = Diagnostic::error(format!("`kubeadm` is a map of documents by kind, not {}", read::describe(&got.value)));
        findings.push(error.at(got.span.clone()).help("as in `kubeadm: {ClusterConfiguration: {…}}`"));
        return None;
    };
    let mut documents = Documents::new();
    for (kind, document) in map {
        let Some(known) = DOCUMENTS.iter().find(|k| *k == kind) else {
            let error = Diagnostic::error(format!("`{kind}` is no document of kubeadm's; it reads {}", read::list(DOCUMENTS)));
            let error = error.at(got.key_at("", kind));
            findings.push(match nearest(kind, DOCUMENTS.iter().copied()) {
                Some(near) => error.help(format!("did you mean `{near}`?")),
                None => error,
            });
            continue;
        };
        let base = format!("/{kind}");
        match document {
            Value::Object(fields) => {
                check(known, document, &base, &got, findings);
                documents.insert(known, fields.clone());
            }
            Value::Null => {}
            other => {
                let error = Diagnostic::error(format!("`{kind}` is a map, not {}", read::describe(other)));
                findings.push(error.at(got.at(&base)));
            }
        }
    }
    Some(documents)
}

fn check(kind: &str, document: &Value, base: &str, got: &Got<Value>, findings: &mut Findings) {
    for (_, pointer, variable) in REFUSED.iter().filter(|(k, _, _)| *k == kind) {
        if document.pointer(pointer).is_some_and(|v| !v.is_null()) {
            let field = pointer.rsplit('/').next().unwrap_or_default();
            let error = Diagnostic::error(format!("`{field}` is not set in a kubeadm document"));
            let error = error.at(got.at(&format!("{base}{pointer}")));
            findings.push(error.help(if variable.contains(' ') {
                format!("it is {variable}")
            } else {
                format!("set the variable `{variable}`, which everything else goes by too")
            }));
        }
    }
    if let Some(version) = document.pointer("/apiVersion")
        && !kind.starts_with("Kube")
        && version != API_VERSION
    {
        let error = Diagnostic::error(format!("kubeadm's documents are written in {API_VERSION}, not {}", read::describe(version)));
        findings.push(error.at(got.at(&format!("{base}/apiVersion"))).help("`kubeadm config migrate` converts older ones; leave `apiVersion` out"));
    }
    if let Some(other) = document.pointer("/kind")
        && other != kind
    {
        let error = Diagnostic::error(format!("this is the {kind}, and its `kind` is {}", read::describe(other)));
        findings.push(error.at(got.at(&format!("{base}/kind"))).help("leave `kind` out"));
    }
    for pointer in ["/nodeRegistration/ignorePreflightErrors"] {
        for (i, item) in document.pointer(pointer).and_then(Value::as_array).into_iter().flatten().enumerate() {
            if let Some(problem) = item.as_str().and_then(refused_check) {
                findings.push(problem.at(got.at(&format!("{base}{pointer}/{i}"))));
            }
        }
    }
    walk(document, &mut base.to_owned(), got, findings);
}

/// Finds `extraArgs` in the form of v1beta3, wherever they stand.
fn walk(value: &Value, pointer: &mut String, got: &Got<Value>, findings: &mut Findings) {
    let Value::Object(map) = value else { return };
    for (key, item) in map {
        let length = pointer.len();
        pointer.push('/');
        pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
        if matches!(key.as_str(), "extraArgs" | "kubeletExtraArgs") && item.is_object() {
            let error = Diagnostic::error(format!("`{key}` is a list of names and values since v1beta4, not a map"));
            findings.push(error.at(got.at(pointer)).help("write `- {name: …, value: …}` for each"));
        } else {
            walk(item, pointer, got, findings);
        }
        pointer.truncate(length);
    }
}

/// Returns why a preflight check may not be ignored: a port in use is another cluster's, or another program that the API
/// server would then fight with; `all` hides that and everything else.
pub(super) fn refused_check(name: &str) -> Option<Diagnostic> {
    let lower = name.to_ascii_lowercase();
    if lower == "all" {
        let error = Diagnostic::error("not all of kubeadm's checks can be ignored");
        return Some(error.help("name the ones that may fail, as in `NumCPU`"));
    }
    if lower.starts_with("port-") {
        let error = Diagnostic::error(format!("the check `{name}` cannot be ignored"));
        return Some(error.help("whoever listens on that port would keep the control plane from working: free the port"));
    }
    None
}

pub(super) fn read_ignored(got: Got<Value>, findings: &mut Findings) -> Option<Vec<String>> {
    let got = read::texts("ignore_preflight_errors", got, findings)?;
    for (i, name) in got.value.iter().enumerate() {
        if let Some(problem) = refused_check(name) {
            findings.push(problem.at(got.at(&format!("/{i}"))));
        }
    }
    Some(got.value)
}
