//! The documents themselves.

use serde_json::json;

use super::{
    CertificateKey, Credentials, Documents, Join, KUBE_PROXY_API, KUBEADM_API, KUBELET_API,
    KubeadmInput, Token,
};
use crate::model::{Diagnostic, Diagnostics, Map, Value};

/// How long a token lives: a run mints its own, so a day is only for a person who joins a node by hand.
const TOKEN_TTL: &str = "24h0m0s";

/// Returns the documents of `kubeadm init`: InitConfiguration, ClusterConfiguration, KubeletConfiguration and
/// KubeProxyConfiguration. `kubeadm token create` and `kubeadm init phase upload-certs` of a later run read the same ones.
///
/// # Errors
/// All that is wrong with the input and the user's documents.
pub fn init(input: &KubeadmInput, credentials: &Credentials) -> Result<Documents, Diagnostics> {
    let mut found = input.complaints();
    if !input.node.is_control_plane {
        found.push(Diagnostic::error(format!(
            "{} is no control plane: nothing is initialised there",
            input.node.name
        )));
    }
    let mut documents =
        vec![
            input
                .user
                .over("InitConfiguration", init_configuration(input), &mut found),
        ];
    documents.extend(of_the_cluster(input, &mut found));
    let documents = Documents::new(documents);
    if found.has_errors() {
        return Err(found);
    }
    Ok(documents
        .hide(0, "/bootstrapTokens/0/token", credentials.token.secret())
        .hide(0, "/certificateKey", credentials.certificate_key.secret()))
}

/// Returns the documents that kubeadm's single phases read on a member: those of init without secrets, which no phase needs.
///
/// # Errors
/// All that is wrong with the input and the user's documents.
pub fn phases(input: &KubeadmInput) -> Result<Documents, Diagnostics> {
    let mut found = input.complaints();
    let mut of_init = init_configuration(input);
    if let Some(map) = of_init.as_object_mut() {
        map.shift_remove("bootstrapTokens");
        map.shift_remove("certificateKey");
    }
    let mut documents = vec![input.user.over("InitConfiguration", of_init, &mut found)];
    documents.extend(of_the_cluster(input, &mut found));
    if found.has_errors() {
        return Err(found);
    }
    Ok(Documents::new(documents))
}

/// ClusterConfiguration, KubeletConfiguration and KubeProxyConfiguration.
fn of_the_cluster(input: &KubeadmInput, found: &mut Diagnostics) -> [Value; 3] {
    [
        input.user.over("ClusterConfiguration", cluster_configuration(input), found),
        // kubeadm's default, written out because containerd's setting must be the same.
        input.user.over(
            "KubeletConfiguration",
            json!({"apiVersion": KUBELET_API, "kind": "KubeletConfiguration", "cgroupDriver": "systemd"}),
            found,
        ),
        input.user.over(
            "KubeProxyConfiguration",
            json!({"apiVersion": KUBE_PROXY_API, "kind": "KubeProxyConfiguration"}),
            found,
        ),
    ]
}

/// Returns KubeletConfiguration as the user has it over quorate's own.
pub fn kubelet(input: &KubeadmInput) -> Value {
    let [_, kubelet, _] = of_the_cluster(input, &mut Diagnostics::default());
    kubelet
}

/// Returns `nodeRegistration` as kubeadm reads it on this node: of its InitConfiguration, or of its JoinConfiguration.
pub fn registration(input: &KubeadmInput, of_init: bool) -> Value {
    let kind = match of_init {
        true => "InitConfiguration",
        false => "JoinConfiguration",
    };
    let generated = json!({"nodeRegistration": node_registration(input)});
    let mut document = input
        .user
        .over(kind, generated, &mut Diagnostics::default());
    document["nodeRegistration"].take()
}

/// Returns the document of `kubeadm join`: JoinConfiguration. A control plane presents the certificate key; a worker's
/// document holds none.
///
/// # Errors
/// All that is wrong with the input and the user's documents.
pub fn join(
    input: &KubeadmInput,
    join: &Join,
    token: &Token,
    key: Option<&CertificateKey>,
) -> Result<Documents, Diagnostics> {
    let mut found = input.complaints();
    if input.node.is_control_plane && key.is_none() {
        found.push(Diagnostic::error(format!(
            "{} is a control plane, and there is no certificate key to join it with",
            input.node.name
        )));
    }
    let document = input.user.over(
        "JoinConfiguration",
        join_configuration(input, join),
        &mut found,
    );
    if found.has_errors() {
        return Err(found);
    }
    let documents =
        Documents::new(vec![document]).hide(0, "/discovery/tlsBootstrapToken", token.secret());
    Ok(match key.filter(|_| input.node.is_control_plane) {
        Some(key) => documents.hide(0, "/controlPlane/certificateKey", key.secret()),
        None => documents,
    })
}

fn init_configuration(input: &KubeadmInput) -> Value {
    json!({
        "apiVersion": KUBEADM_API,
        "kind": "InitConfiguration",
        "bootstrapTokens": [{
            "token": Documents::mask(),
            "description": "quorate",
            "ttl": TOKEN_TTL,
            "usages": ["signing", "authentication"],
            "groups": ["system:bootstrappers:kubeadm:default-node-token"],
        }],
        "certificateKey": Documents::mask(),
        "localAPIEndpoint": local_api_endpoint(input),
        "nodeRegistration": node_registration(input),
    })
}

fn cluster_configuration(input: &KubeadmInput) -> Value {
    let mut document = json!({
        "apiVersion": KUBEADM_API,
        "kind": "ClusterConfiguration",
        "clusterName": input.cluster_name,
        "kubernetesVersion": format!("v{}", input.kubernetes_version),
        "controlPlaneEndpoint": input.endpoint.to_string(),
        "networking": {"podSubnet": input.pod_subnet, "serviceSubnet": input.service_subnet},
        "apiServer": {"certSANs": input.cert_sans()},
    });
    if let Some(repository) = &input.image_repository {
        document["imageRepository"] = repository.as_str().into();
    }
    document
}

fn join_configuration(input: &KubeadmInput, join: &Join) -> Value {
    let mut document = json!({
        "apiVersion": KUBEADM_API,
        "kind": "JoinConfiguration",
        "discovery": {
            // A file pins the whole CA, and unlike a token alone it needs no signature in cluster-info, which the
            // controller manager writes seconds after init; kubeadm asks for it only once in 5 s.
            "file": {"kubeConfigPath": join.discovery},
            "tlsBootstrapToken": Documents::mask(),
        },
        "nodeRegistration": node_registration(input),
    });
    if input.node.is_control_plane {
        document["controlPlane"] = json!({
            "certificateKey": Documents::mask(),
            "localAPIEndpoint": local_api_endpoint(input),
        });
    }
    document
}

fn local_api_endpoint(input: &KubeadmInput) -> Value {
    json!({"advertiseAddress": input.node.address.to_string(), "bindPort": input.bind_port})
}

fn node_registration(input: &KubeadmInput) -> Value {
    let mut arguments = vec![json!({"name": "node-ip", "value": input.node.address.to_string()})];
    if !input.node.labels.is_empty() {
        let labels: Vec<String> = input
            .node
            .labels
            .iter()
            .map(|(k, v)| format!("{k}={v}"))
            .collect();
        arguments.push(json!({"name": "node-labels", "value": labels.join(",")}));
    }
    let taints: Vec<Value> = input
        .taints()
        .into_iter()
        .map(|taint| {
            let mut map = Map::new();
            map.insert("key".into(), taint.key.into());
            if !taint.value.is_empty() {
                map.insert("value".into(), taint.value.into());
            }
            map.insert("effect".into(), taint.effect.into());
            Value::Object(map)
        })
        .collect();
    let mut registration = json!({
        "name": input.node.name,
        "criSocket": input.cri_socket,
        "kubeletExtraArgs": arguments,
        // Written out even where it is empty: left out, kubeadm would taint a control plane by itself.
        "taints": taints,
    });
    if !input.ignore_preflight_errors.is_empty() {
        registration["ignorePreflightErrors"] = json!(input.ignore_preflight_errors);
    }
    registration
}
