//! kubeadm's own state: what is a difference, what is none, and what is done about it.

use std::collections::BTreeMap;

use quorate::cluster::drift::{self, Difference, Place, Wanted};
use quorate::host::fact::{Api, Kubernetes, ManifestState, OwnNode, Written};
use quorate::model::Masks;
use serde_json::{Value, json};

/// As kubeadm 1.36 wrote them for the documents of [`wanted`]; seen in the lab.
const CLUSTER: &str = include_str!("../fixtures/drift/cluster.yaml");
const KUBELET: &str = include_str!("../fixtures/drift/kubelet.yaml");
const PROXY: &str = include_str!("../fixtures/drift/proxy.yaml");
const APISERVER: &str = include_str!("../fixtures/drift/kube-apiserver.yaml");

fn wanted() -> Wanted {
    Wanted {
        cluster: json!({
            "apiVersion": "kubeadm.k8s.io/v1beta4", "kind": "ClusterConfiguration",
            "clusterName": "kubernetes", "kubernetesVersion": "v1.36.3",
            "controlPlaneEndpoint": "vip.mycluster.local:8443",
            "networking": {"podSubnet": "10.244.0.0/16", "serviceSubnet": "10.96.0.0/12"},
            "apiServer": {"certSANs": ["vip.mycluster.local", "10.77.0.100", "10.77.0.11", "10.77.0.12", "10.77.0.13"]},
        }),
        kubelet: json!({
            "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
            "cgroupDriver": "cgroupfs", "failCgroupV1": false, "failSwapOn": false,
            "imageGCHighThresholdPercent": 100,
            "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "nodefs.inodesFree": "1%", "imagefs.available": "1%"},
            "featureGates": {"KubeletInUserNamespace": true},
        }),
        proxy: json!({
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration",
            "conntrack": {"maxPerCore": 0, "min": null, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        }),
        names: vec!["vip.mycluster.local".into(), "10.77.0.100".into()],
        node: "cp1".into(),
        servers: vec![
            "https://10.77.0.11:6443".into(),
            "https://vip.mycluster.local:8443".into(),
        ],
        kubelet_flags: vec![("node-ip".into(), "10.77.0.11".into())],
        labels: BTreeMap::new(),
        taints: vec![(
            "node-role.kubernetes.io/control-plane".into(),
            String::new(),
            "NoSchedule".into(),
        )],
        is_control_plane: true,
    }
}

fn api() -> Api {
    Api {
        configured: true,
        cluster_configuration: Some(CLUSTER.into()),
        kubelet_configuration: Some(KUBELET.into()),
        proxy_configuration: Some(PROXY.into()),
        proxy_kubeconfig: Some(PROXY_KUBECONFIG.into()),
        ..Api::default()
    }
}

/// As kubeadm 1.36 writes it (app/phases/addons/proxy).
const PROXY_KUBECONFIG: &str = "apiVersion: v1
kind: Config
clusters:
- cluster:
    certificate-authority: /var/run/secrets/kubernetes.io/serviceaccount/ca.crt
    server: https://vip.mycluster.local:8443
  name: default
";

#[test]
fn kube_proxy_speaks_to_the_endpoint() {
    let mut wanted = wanted();
    let elsewhere = PROXY_KUBECONFIG.replace("vip.mycluster.local:8443", "10.77.0.11:6443");
    for (title, live, is) in [
        ("past it", Some(elsewhere), "is https://10.77.0.11:6443"),
        ("none", None, "is not there"),
        ("no YAML", Some("- [".into()), "is not there"),
    ] {
        let mut api = api();
        api.proxy_kubeconfig = live;
        let found = drift::of_cluster(&wanted, &api);
        let said: Vec<String> = found.iter().map(ToString::to_string).collect();
        let told = format!(
            "KubeProxyConfiguration kubeconfig.conf server: {is}, is to be https://vip.mycluster.local:8443"
        );
        assert_eq!(said, [told], "{title}");
        assert_eq!(
            found[0].place.part(),
            quorate::cluster::drift::stage::Part::Cluster,
            "{title}"
        );
        // A pod of another proxy, or one that reads its own file, has nothing of this one.
        api.proxy_configuration = None;
        assert_eq!(drift::of_cluster(&wanted, &api), [], "{title}");
    }
    wanted.proxy["clientConnection"] = json!({"kubeconfig": "/etc/own.conf"});
    let mut api = api();
    api.proxy_kubeconfig = None;
    let found = drift::of_cluster(&wanted, &api);
    assert!(
        found.iter().all(|d| !d.path.contains("kubeconfig.conf")),
        "{found:?}"
    );
}

/// What is not there is no less than what is there otherwise; but a node may not read kube-proxy's where no pod of it runs.
#[test]
fn a_configuration_that_the_cluster_has_lost() {
    let wanted = wanted();
    for (name, status, told) in [
        (
            "kubeadm-config",
            404,
            "ClusterConfiguration ConfigMap: is not there, is to be what the inventory says",
        ),
        (
            "kubelet-config",
            404,
            "KubeletConfiguration ConfigMap: is not there, is to be what the inventory says",
        ),
        (
            "kube-proxy",
            404,
            "KubeProxyConfiguration ConfigMap: is not there, is to be what the inventory says",
        ),
        (
            "kubelet-config",
            200,
            "KubeletConfiguration data: is not there, is to be what the inventory says",
        ),
        (
            "kubelet-config",
            403,
            "KubeletConfiguration Role and RoleBinding: is such that nodes may not read it, is to be kubeadm's",
        ),
        ("kube-proxy", 403, ""),
    ] {
        let mut api = api();
        match name {
            "kubeadm-config" => api.cluster_configuration = None,
            "kubelet-config" => api.kubelet_configuration = None,
            _ => api.proxy_configuration = None,
        }
        api.unread.insert(name.into(), status);
        assert_eq!(drift::of_cluster(&wanted, &api), [], "not ready: {name}");
        api.ready = true;
        let found = drift::of_cluster(&wanted, &api);
        let found: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(found.join("\n"), told, "{name} {status}");
    }
}

/// A cluster whose ConfigMap kubeadm-config is gone is known all the same where kubeadm has come to its end; else it may be in the
/// middle of init.
#[test]
fn a_cluster_without_its_configuration_is_known_by_its_marker() {
    let wanted = wanted();
    let mut seen = host(&wanted);
    let lost = Api {
        live: true,
        ready: true,
        nodes: Some(Vec::new()),
        unread: [("kubeadm-config".to_string(), 404)].into(),
        ..Api::default()
    };
    seen.api = Some(lost);
    assert!(seen.cluster_api().is_some());
    seen.api.as_mut().unwrap().ready = false;
    assert!(seen.cluster_api().is_none(), "it may know no roles yet");
    seen.api.as_mut().unwrap().ready = true;
    seen.marker.as_mut().unwrap().done = false;
    assert!(seen.cluster_api().is_none());
    seen.marker = None;
    assert!(seen.cluster_api().is_none());
}

const COMPONENTS: [&str; 4] = [
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "etcd",
];

/// What kubeadm 1.36 put into the certificate of cp1, as openssl shows it.
const NAMES: [&str; 6] = [
    "cp1",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
    "vip.mycluster.local",
];
const ADDRESSES: [&str; 5] = [
    "10.96.0.1",
    "10.77.0.11",
    "10.77.0.100",
    "10.77.0.12",
    "10.77.0.13",
];

fn host(wanted: &Wanted) -> Kubernetes {
    let label = "node.kubernetes.io/exclude-from-external-load-balancers";
    let as_made = |name: &str| (name.to_string(), ManifestState::AsMade);
    Kubernetes {
        certificate_names: Some(NAMES.map(str::to_string).into()),
        certificate_addresses: Some(ADDRESSES.map(|a| a.parse().unwrap()).into()),
        server: Some("https://10.77.0.11:6443".into()),
        marker: Some(quorate::host::fact::Marker {
            act: "init".into(),
            run: "0".into(),
            config: "config".into(),
            done: true,
        }),
        written: Written {
            manifests: COMPONENTS.map(as_made).into(),
            made_from: Some(drift::digest(&wanted.cluster)),
            kubelet: Some(KUBELET.replace(
                "containerRuntimeEndpoint: \"\"",
                "containerRuntimeEndpoint: unix:///run/containerd/containerd.sock",
            )),
            kubelet_flags: Some(
                "KUBELET_KUBEADM_ARGS=\"--node-ip=10.77.0.11 --hostname-override=cp1\"".into(),
            ),
        },
        own_node: Some(OwnNode {
            labels: [label, "node-role.kubernetes.io/control-plane"]
                .map(|label| (label.to_string(), String::new()))
                .into(),
            taints: vec![
                (
                    "node-role.kubernetes.io/control-plane".into(),
                    String::new(),
                    "NoSchedule".into(),
                ),
                (
                    "example.com/others".into(),
                    String::new(),
                    "NoExecute".into(),
                ),
            ],
        }),
        ..Kubernetes::default()
    }
}

fn told(found: &[Difference]) -> Vec<String> {
    found.iter().map(ToString::to_string).collect()
}

/// A scheduler or controller manager whose manifest is gone is written anew; a host without its API server's or etcd's is no
/// control plane whose parts could be.
#[test]
fn a_manifest_that_is_gone_is_a_difference() {
    let wanted = wanted();
    let without = |gone: &[&str]| {
        let mut host = host(&wanted);
        let manifests = &mut host.written.manifests;
        manifests.retain(|name, _| !gone.contains(&name.as_str()));
        told(&drift::of_host(&wanted, &host))
    };
    assert_eq!(without(&["kube-scheduler"]).len(), 1);
    assert!(without(&["kube-scheduler"])[0].starts_with("kube-scheduler"));
    assert_eq!(
        without(&["kube-scheduler", "kube-controller-manager"]).len(),
        2
    );
    for gone in ["etcd", "kube-apiserver"] {
        assert_eq!(without(&[gone, "kube-scheduler"]), Vec::<String>::new());
    }
}

/// What kubeadm fills in by itself is no difference, in any of the documents.
#[test]
fn a_cluster_as_kubeadm_made_it_does_not_differ() {
    let wanted = wanted();
    assert_eq!(
        told(&drift::of_cluster(&wanted, &api())),
        Vec::<String>::new()
    );
    assert_eq!(
        told(&drift::of_host(&wanted, &host(&wanted))),
        Vec::<String>::new()
    );
    let live = drift::digest_of_text(CLUSTER);
    assert_eq!(live, Some(drift::digest(&wanted.cluster)));
}

fn set(document: &mut Value, pointer: &str, value: Value) {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    if document.pointer(parent).is_none() {
        set(document, parent, json!({}));
    }
    document.pointer_mut(parent).unwrap()[key] = value;
}

/// One change of the inventory each, and what is told of it.
#[test]
fn a_change_of_the_inventory_is_told_by_its_field() {
    type Pick = fn(&mut Wanted) -> &mut Value;
    let cluster: Pick = |w| &mut w.cluster;
    let kubelet: Pick = |w| &mut w.kubelet;
    let proxy: Pick = |w| &mut w.proxy;
    let flag = |name: &str, value: &str| json!([{"name": name, "value": value}]);
    let table: &[(Pick, &str, Value, &[&str])] = &[
        (
            cluster,
            "/apiServer/extraArgs",
            flag("audit-log-path", "/var/log/audit"),
            &[
                "ClusterConfiguration apiServer.extraArgs.audit-log-path: is not there, is to be /var/log/audit",
            ],
        ),
        (
            cluster,
            "/scheduler/extraArgs",
            flag("v", "4"),
            &["ClusterConfiguration scheduler.extraArgs.v: is not there, is to be 4"],
        ),
        (
            cluster,
            "/apiServer/extraVolumes",
            json!([{"name": "a", "hostPath": "/a", "mountPath": "/b"}]),
            &[
                "ClusterConfiguration apiServer.extraVolumes.a.hostPath: is not there, is to be /a",
                "ClusterConfiguration apiServer.extraVolumes.a.mountPath: is not there, is to be /b",
            ],
        ),
        (
            cluster,
            "/certificateValidityPeriod",
            json!("4380h"),
            &["ClusterConfiguration certificateValidityPeriod: is 8760h0m0s, is to be 4380h"],
        ),
        (
            cluster,
            "/networking/dnsDomain",
            json!("example.local"),
            &[
                "ClusterConfiguration networking.dnsDomain: is cluster.local, is to be example.local",
                "KubeletConfiguration clusterDomain: is cluster.local, is to be example.local",
            ],
        ),
        (
            cluster,
            "/networking/dnsDomain",
            json!("cluster.local"),
            &[],
        ),
        (cluster, "/certificateValidityPeriod", json!("8760h"), &[]),
        (cluster, "/apiServer/extraArgs", json!([]), &[]),
        (
            kubelet,
            "/maxPods",
            json!(250),
            &["KubeletConfiguration maxPods: is not there, is to be 250"],
        ),
        (
            kubelet,
            "/evictionHard/memory.available",
            json!("200Mi"),
            &["KubeletConfiguration evictionHard.memory.available: is 100Mi, is to be 200Mi"],
        ),
        (
            kubelet,
            "/healthzPort",
            json!(10249),
            &["KubeletConfiguration healthzPort: is 10248, is to be 10249"],
        ),
        (kubelet, "/syncFrequency", json!("0s"), &[]),
        (kubelet, "/registerWithTaints", json!([]), &[]),
        (
            proxy,
            "/mode",
            json!("ipvs"),
            &["KubeProxyConfiguration mode: is empty, is to be ipvs"],
        ),
        (
            proxy,
            "/ipvs/strictARP",
            json!(true),
            &["KubeProxyConfiguration ipvs.strictARP: is false, is to be true"],
        ),
        (proxy, "/ipvs/strictARP", json!(false), &[]),
    ];
    for (pick, pointer, value, expected) in table {
        let mut changed = wanted();
        set(pick(&mut changed), pointer, value.clone());
        let found = drift::of_cluster(&changed, &api());
        assert_eq!(told(&found), *expected, "{pointer} {value}");
        // Only what kubeadm cannot change is fixed.
        let fixed = found.iter().any(|d| d.fixed().is_some());
        assert_eq!(
            fixed,
            found.iter().any(|d| d.path.starts_with("networking")),
            "{pointer}"
        );
    }
}

/// One edit of what the cluster keeps each.
#[test]
fn an_edit_of_a_config_map_is_told_by_its_field() {
    let table: &[(&str, &str, &[&str])] = &[
        (
            "    dataDir: /var/lib/etcd\n",
            "    dataDir: /var/lib/etcd\n    extraArgs:\n    - name: quota-backend-bytes\n      value: \"1\"\n",
            &[
                "ClusterConfiguration etcd.local.extraArgs.quota-backend-bytes: is 1, and nothing asks for it",
            ],
        ),
        (
            "encryptionAlgorithm: RSA-2048",
            "encryptionAlgorithm: ECDSA-P256",
            &["ClusterConfiguration encryptionAlgorithm: is ECDSA-P256, is to be RSA-2048"],
        ),
        (
            "scheduler: {}",
            "scheduler:\n  extraArgs:\n  - {name: v, value: \"2\"}\n",
            &["ClusterConfiguration scheduler.extraArgs.v: is 2, and nothing asks for it"],
        ),
        (
            "  - 10.77.0.100\n",
            "  - old.example\n",
            &[
                "ClusterConfiguration apiServer.certSANs: is 10.77.0.11 10.77.0.12 10.77.0.13 old.example vip.mycluster.local, is to be 10.77.0.100 10.77.0.11 10.77.0.12 10.77.0.13 vip.mycluster.local",
            ],
        ),
        (
            "  - vip.mycluster.local\n",
            "",
            &[
                "ClusterConfiguration apiServer.certSANs: is 10.77.0.100 10.77.0.11 10.77.0.12 10.77.0.13, is to be 10.77.0.100 10.77.0.11 10.77.0.12 10.77.0.13 vip.mycluster.local",
            ],
        ),
        // A control plane that came later: kubeadm adds its address there.
        ("  - 10.77.0.13\n", "", &[]),
        // Another order, another style: nothing.
        (
            "  - vip.mycluster.local\n  - 10.77.0.100\n",
            "  - 10.77.0.100\n  - vip.mycluster.local\n",
            &[],
        ),
        (
            "  podSubnet: 10.244.0.0/16\n  serviceSubnet: 10.96.0.0/12\n",
            "  serviceSubnet: \"10.96.0.0/12\"\n  podSubnet: '10.244.0.0/16'\n",
            &[],
        ),
        (
            "apiServer:",
            "{{",
            &["ClusterConfiguration whole: is empty, or no YAML map, is to be what kubeadm writes"],
        ),
    ];
    for (from, to, expected) in table {
        assert!(CLUSTER.contains(from), "{from}");
        let api = Api {
            cluster_configuration: Some(CLUSTER.replace(from, to)),
            ..api()
        };
        assert_eq!(told(&drift::of_cluster(&wanted(), &api)), *expected, "{to}");
    }
    let table: &[(&str, &str, &[&str])] = &[
        (
            "rotateCertificates: true",
            "rotateCertificates: false",
            &["KubeletConfiguration rotateCertificates: is false, is to be true"],
        ),
        (
            "clusterDNS:\n- 10.96.0.10",
            "clusterDNS:\n- 10.96.0.11",
            &["KubeletConfiguration clusterDNS: is [\"10.96.0.11\"], is to be [\"10.96.0.10\"]"],
        ),
        (
            "failSwapOn: false",
            "failSwapOn: true",
            &["KubeletConfiguration failSwapOn: is true, is to be false"],
        ),
        (
            "failSwapOn: false",
            "failSwapOn: false\nserverTLSBootstrap: true",
            &["KubeletConfiguration serverTLSBootstrap: is true, and nothing asks for it"],
        ),
        (
            "syncFrequency: 0s",
            "syncFrequency: 0s\nvolumePluginDir: \"\"",
            &[],
        ),
    ];
    for (from, to, expected) in table {
        assert!(KUBELET.contains(from), "{from}");
        let api = Api {
            kubelet_configuration: Some(KUBELET.replace(from, to)),
            ..api()
        };
        assert_eq!(told(&drift::of_cluster(&wanted(), &api)), *expected, "{to}");
    }
    // What an API server would not say is not compared.
    assert_eq!(drift::of_cluster(&wanted(), &Api::default()), Vec::new());
}

/// One edit of a static pod's manifest each, told by flag and field.
#[test]
fn an_edit_of_a_static_pod_is_told_by_its_field() {
    let table: &[(&str, &str, &[&str])] = &[
        (
            "    - --secure-port=6443\n",
            "    - --secure-port=6443\n    - --profiling=false\n",
            &["kube-apiserver --profiling: is false, and nothing asks for it"],
        ),
        (
            "--authorization-mode=Node,RBAC",
            "--authorization-mode=AlwaysAllow",
            &["kube-apiserver --authorization-mode: is AlwaysAllow, is to be Node,RBAC"],
        ),
        (
            "    - --enable-admission-plugins=NodeRestriction\n",
            "",
            &["kube-apiserver --enable-admission-plugins: is not there, is to be NodeRestriction"],
        ),
        (
            "kube-apiserver:v1.36.3",
            "kube-apiserver:v1.36.2",
            &[
                "kube-apiserver image: is registry.k8s.io/kube-apiserver:v1.36.2, is to be registry.k8s.io/kube-apiserver:v1.36.3",
            ],
        ),
        (
            "        cpu: 250m",
            "        cpu: 100m",
            &["kube-apiserver resources.requests.cpu: is 100m, is to be 250m"],
        ),
        (
            "      failureThreshold: 8\n",
            "      failureThreshold: 80\n",
            &["kube-apiserver livenessProbe.failureThreshold: is 80, is to be 8"],
        ),
        (
            "  hostNetwork: true",
            "  hostNetwork: false",
            &["kube-apiserver spec.hostNetwork: is false, is to be true"],
        ),
        (
            "      path: /etc/ca-certificates\n",
            "      path: /elsewhere\n",
            &[
                "kube-apiserver spec.volumes.etc-ca-certificates.hostPath.path: is /elsewhere, is to be /etc/ca-certificates",
            ],
        ),
        ("spec:\n", "spec:\n  # a comment\n", &[]),
        (
            "    image: registry.k8s.io/kube-apiserver:v1.36.3\n    imagePullPolicy: IfNotPresent\n",
            "    imagePullPolicy: \"IfNotPresent\"\n    image: 'registry.k8s.io/kube-apiserver:v1.36.3'\n",
            &[],
        ),
        (
            APISERVER,
            "",
            &["kube-apiserver whole: is empty, or no YAML map, is to be what kubeadm writes"],
        ),
    ];
    for (from, to, expected) in table {
        assert!(APISERVER.contains(from), "{from}");
        let wanted = wanted();
        let mut host = host(&wanted);
        host.written.manifests.insert(
            "kube-apiserver".into(),
            ManifestState::Edited {
                live: APISERVER.replacen(from, to, 1),
                made: APISERVER.into(),
            },
        );
        assert_eq!(told(&drift::of_host(&wanted, &host)), *expected, "{to}");
    }
}

/// A cluster that quorate did not make: what is asked for is looked for, and nothing else can be said.
#[test]
fn without_a_record_what_is_asked_for_is_looked_for() {
    let mut wanted = wanted();
    set(
        &mut wanted.cluster,
        "/apiServer/extraArgs",
        json!([{"name": "secure-port", "value": "6443"}, {"name": "v", "value": "3"}]),
    );
    let mut host = host(&wanted);
    host.written.made_from = None;
    let state = ManifestState::Unrecorded(APISERVER.replace("cpu: 250m", "cpu: 1m"));
    host.written
        .manifests
        .insert("kube-apiserver".into(), state);
    assert_eq!(
        told(&drift::of_host(&wanted, &host)),
        ["kube-apiserver --v: is not there, is to be 3"]
    );
}

#[test]
fn a_host_is_told_by_what_differs_on_it() {
    let asked = wanted();
    let seen = |change: fn(&mut Kubernetes)| {
        let mut host = host(&asked);
        change(&mut host);
        told(&drift::of_host(&asked, &host))
    };
    assert_eq!(
        seen(|h| h.written.made_from = Some("other other".into())),
        [
            "static pods configuration: is made from another ClusterConfiguration, is to be made from the inventory's",
            "etcd configuration: is made from another ClusterConfiguration, is to be made from the inventory's"
        ]
    );
    assert_eq!(
        seen(|h| h.certificate_names = Some(Vec::new())),
        ["API server's certificate subjectAltName: is not there, is to be vip.mycluster.local"]
    );
    let named = |name: &str| format!("API server's certificate subjectAltName: {name}");
    let of_others = named("is old.example, and nothing asks for it");
    assert_eq!(
        seen(|h| h
            .certificate_names
            .as_mut()
            .unwrap()
            .push("old.example".into())),
        [of_others]
    );
    let address = named("is 192.0.2.7, and nothing asks for it");
    assert_eq!(
        seen(|h| h
            .certificate_addresses
            .as_mut()
            .unwrap()
            .push("192.0.2.7".parse().unwrap())),
        [address]
    );
    // Names have no case (RFC 4343).
    assert_eq!(
        seen(|h| h.certificate_names = Some(NAMES.map(str::to_uppercase).into())),
        Vec::<String>::new()
    );
    assert_eq!(
        seen(|h| (h.certificate_names, h.certificate_addresses) = (None, None)),
        ["API server's certificate file: is not there, is to be what kubeadm writes"]
    );
    // What somebody else gave his own control plane is his business.
    assert_eq!(
        seen(|h| {
            h.marker = None;
            h.certificate_names
                .as_mut()
                .unwrap()
                .push("old.example".into());
        }),
        Vec::<String>::new()
    );
    assert_eq!(
        seen(|h| h.server = Some("https://10.77.0.12:6443".into())),
        [
            "kubelet for its kubelet.conf server: is https://10.77.0.12:6443, is to be https://10.77.0.11:6443"
        ]
    );
    assert_eq!(
        seen(|h| h.server = Some("https://vip.mycluster.local:8443".into())),
        Vec::<String>::new()
    );
    assert_eq!(
        seen(|h| h.written.kubelet_flags =
            Some("KUBELET_KUBEADM_ARGS=\"--node-ip=10.0.0.1 --v=2\"".into())),
        [
            "kubelet's flags --node-ip: is 10.0.0.1, is to be 10.77.0.11",
            "kubelet's flags --v: is 2, and nothing asks for it"
        ]
    );
    assert_eq!(
        seen(|h| h.own_node = Some(OwnNode::default())),
        [
            "label node-role.kubernetes.io/control-plane: is not there, is to be empty",
            "label node.kubernetes.io/exclude-from-external-load-balancers: is not there, is to be empty",
            "taint node-role.kubernetes.io/control-plane: is not there, is to be NoSchedule"
        ]
    );
    // Unknown is not compared.
    assert_eq!(seen(|h| h.own_node = None), Vec::<String>::new());
    assert_eq!(
        seen(|h| h.written = Written::default()),
        Vec::<String>::new()
    );
    // A worker has no control plane, whatever lies there.
    let worker = Wanted {
        is_control_plane: false,
        taints: Vec::new(),
        ..wanted()
    };
    let mut host = host(&asked);
    host.written.made_from = Some("other other".into());
    assert_eq!(
        told(&drift::of_host(&worker, &host)),
        ["taint node-role.kubernetes.io/control-plane: is NoSchedule, and nothing asks for it"]
    );
}

/// Secrets of the inventory are not shown.
#[test]
fn a_secret_is_masked() {
    let mut difference = Difference {
        place: Place::Manifest("kube-apiserver".into()),
        path: "--token".into(),
        live: Some("was hunter2".into()),
        wanted: Some("hunter2".into()),
    };
    let mut decrypted = difference.clone();
    let secrets = [
        ("token".into(), "hunter2".into()),
        ("empty".into(), String::new()),
    ];
    difference.mask(&secrets, &Masks::default());
    assert_eq!(difference.told(), "is was ***, is to be ***");
    // An older value, which nobody here knows.
    decrypted.live = Some("older".into());
    decrypted.mask(&[], &Masks::new(["hunter2".to_owned()]));
    assert_eq!(decrypted.told(), "is ***, is to be ***");
}
