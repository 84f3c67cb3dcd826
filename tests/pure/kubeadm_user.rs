//! The user's documents over the generated ones, and what of them is refused.

use std::sync::Arc;

use quorate::cluster::kubeadm::UserDocuments;
use quorate::model::{Source, Span, Value};
use serde_json::json;

use super::kubeadm::{initialised, messages, with};

fn refused(user: Value) -> String {
    messages(&UserDocuments::read(&user, &|_| None).expect_err("this is refused")).join("\n")
}

#[test]
fn the_users_documents_are_laid_over() {
    // The document, what the user writes in it, where to look, and what is there then.
    let (cluster, kubelet, registration) = (
        "ClusterConfiguration",
        "KubeletConfiguration",
        "/nodeRegistration/criSocket",
    );
    let cases = [
        (
            "maps merge deep",
            cluster,
            json!({"networking": {"dnsDomain": "x"}}),
            "/networking",
            json!({"podSubnet": "10.244.0.0/16", "serviceSubnet": "10.96.0.0/12", "dnsDomain": "x"}),
        ),
        (
            "a value replaces",
            kubelet,
            json!({"cgroupDriver": "cgroupfs"}),
            "/cgroupDriver",
            json!("cgroupfs"),
        ),
        (
            "a null takes a value away",
            kubelet,
            json!({"cgroupDriver": null}),
            "/cgroupDriver",
            Value::Null,
        ),
        (
            "a null takes a deep value away",
            "InitConfiguration",
            json!({"nodeRegistration": {"criSocket": null}}),
            registration,
            Value::Null,
        ),
        (
            "an empty section says nothing",
            cluster,
            json!({"networking": null}),
            "/networking/podSubnet",
            json!("10.244.0.0/16"),
        ),
        (
            "an empty document says nothing",
            cluster,
            Value::Null,
            "/networking/podSubnet",
            json!("10.244.0.0/16"),
        ),
        (
            "certSANs are a set",
            cluster,
            json!({"apiServer": {"certSANs": ["b.example.org", "10.77.0.12"]}}),
            "/apiServer/certSANs",
            json!([
                "api.example.org",
                "10.77.0.100",
                "10.77.0.11",
                "10.77.0.12",
                "10.77.0.13",
                "b.example.org"
            ]),
        ),
        (
            "extraArgs of the user's own",
            cluster,
            json!({"scheduler": {"extraArgs": [{"name": "v", "value": "2"}]}}),
            "/scheduler/extraArgs",
            json!([{"name": "v", "value": "2"}]),
        ),
        (
            "a name may stand twice",
            cluster,
            json!({"apiServer": {"extraArgs": [{"name": "service-account-issuer", "value": "a"}, {"name": "service-account-issuer", "value": "b"}]}}),
            "/apiServer/extraArgs",
            json!([{"name": "service-account-issuer", "value": "a"}, {"name": "service-account-issuer", "value": "b"}]),
        ),
    ];
    for (what, kind, user, pointer, expected) in cases {
        let documents = initialised(&with(json!({kind: user})));
        let document = documents.get(kind).unwrap();
        assert_eq!(
            document.pointer(pointer).unwrap_or(&Value::Null),
            &expected,
            "{what}"
        );
    }
}

#[test]
fn kubelet_arguments_merge_by_name() {
    let mut input = with(json!({"InitConfiguration": {"nodeRegistration": {
        "kubeletExtraArgs": [{"name": "node-ip", "value": "10.0.0.1"}, {"name": "v", "value": "4"}],
        "taints": [],
        "ignorePreflightErrors": ["NumCPU"],
    }}}));
    input.node.labels = vec![("a".into(), "b".into())];
    input.ignore_preflight_errors = vec!["Swap".into()];
    let documents = initialised(&input);
    let registration = &documents.get("InitConfiguration").unwrap()["nodeRegistration"];
    assert_eq!(
        registration["kubeletExtraArgs"],
        json!([{"name": "node-labels", "value": "a=b"}, {"name": "node-ip", "value": "10.0.0.1"}, {"name": "v", "value": "4"}])
    );
    assert_eq!(registration["taints"], json!([]), "other lists replace");
    assert_eq!(
        registration["ignorePreflightErrors"],
        json!(["NumCPU"]),
        "other lists replace"
    );
}

#[test]
fn what_quorate_must_know_is_refused() {
    let cases = [
        (
            json!({"ClusterConfiguration": {"controlPlaneEndpoint": "x:1"}}),
            "set the variable control_plane_endpoint",
        ),
        (
            json!({"ClusterConfiguration": {"kubernetesVersion": "v1.35.0"}}),
            "set the variable kubernetes_version",
        ),
        (
            json!({"ClusterConfiguration": {"clusterName": null}}),
            "set the variable cluster_name",
        ),
        (
            json!({"ClusterConfiguration": {"networking": {"podSubnet": "10.0.0.0/8"}}}),
            "set the variable pod_subnet",
        ),
        (
            json!({"ClusterConfiguration": {"etcd": {"external": {}}}}),
            "external etcd is not built yet",
        ),
        (
            json!({"InitConfiguration": {"bootstrapTokens": []}}),
            "a token of its own",
        ),
        (
            json!({"InitConfiguration": {"certificateKey": "x"}}),
            "a key of its own",
        ),
        (
            json!({"InitConfiguration": {"localAPIEndpoint": {"bindPort": 1}}}),
            "apiserver_src_port",
        ),
        (
            json!({"JoinConfiguration": {"discovery": {"tlsBootstrapToken": "x"}}}),
            "a token of its own",
        ),
        (
            json!({"JoinConfiguration": {"controlPlane": {"certificateKey": "x"}}}),
            "a key of its own",
        ),
        (
            json!({"JoinConfiguration": {"nodeRegistration": {"name": "x"}}}),
            "name in the inventory",
        ),
        (
            json!({"InitConfiguration": {"nodeRegistration": {"ignorePreflightErrors": ["Swap", "Port-6443"]}}}),
            "`Port-6443` is not ignored",
        ),
        (
            json!({"JoinConfiguration": {"nodeRegistration": {"ignorePreflightErrors": ["ALL"]}}}),
            "`ALL` is not ignored",
        ),
        (
            json!({"JoinConfiguration": {"nodeRegistration": {"ignorePreflightErrors": "all"}}}),
            "a list is expected",
        ),
        (
            json!({"ClusterConfigration": {}}),
            "did you mean ClusterConfiguration?",
        ),
        (
            json!({"ResetConfiguration": {}}),
            "the kinds are InitConfiguration",
        ),
        (json!({"ClusterConfiguration": ["x"]}), "a map is expected"),
        (
            json!({"ClusterConfiguration": {"apiVersion": "kubeadm.k8s.io/v1beta3"}}),
            "kubeadm config migrate",
        ),
        (
            json!({"KubeletConfiguration": {"kind": "Pod"}}),
            "leave the field out",
        ),
        (
            json!({"ClusterConfiguration": {"apiServer": {"extraArgs": {"v": "4"}}}}),
            "v1beta4 writes",
        ),
        (
            json!({"ClusterConfiguration": {"apiServer": {"extraVolumes": [{"hostPath": "/x"}]}}}),
            "not a list of entries with a name",
        ),
        (json!(["x"]), "a map from kind to document"),
    ];
    for (user, expected) in cases {
        let said = refused(user.clone());
        assert!(said.contains(expected), "{user}: {said}");
    }
    let both = refused(
        json!({"ClusterConfiguration": {"controlPlaneEndpoint": "x:1", "kubernetesVersion": "x"}, "Foo": {}}),
    );
    assert_eq!(both.lines().count(), 3, "every mistake at once: {both}");
    assert!(UserDocuments::read(&Value::Null, &|_| None).is_ok());

    let source = Arc::new(Source::new("all.yml", "x".repeat(99)));
    let at = |pointer: &str| {
        Some(Span {
            source: source.clone(),
            range: pointer.len()..pointer.len(),
        })
    };
    let found = UserDocuments::read(
        &json!({"ClusterConfiguration": {"kubernetesVersion": "x"}}),
        &at,
    )
    .unwrap_err();
    let pointer = "/ClusterConfiguration/kubernetesVersion";
    assert!(
        messages(&found)[0].starts_with(&format!("all.yml:1:{}: ", pointer.len() + 1)),
        "{found:?}"
    );
}
