//! kubeadm's documents: what comes out, how the user's are laid over them, and what is refused.

use quorate::cluster::kubeadm::{
    CertificateKey, Credentials, Documents, Join, KubeadmInput, Node, Taint, Token, UserDocuments,
    init, join,
};
use quorate::model::{Diagnostics, Value};
use serde_json::json;

const TOKEN: &str = "abcdef.0123456789abcdef";
const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

pub(super) fn input() -> KubeadmInput {
    let node = Node {
        name: "cp1".into(),
        address: "10.77.0.11".parse().unwrap(),
        is_control_plane: true,
        is_worker: false,
        labels: Vec::new(),
        taints: None,
    };
    let mut input = KubeadmInput::new("1.36.3", "api.example.org:8443".parse().unwrap(), node);
    input.vip = Some("10.77.0.100".parse().unwrap());
    input.control_planes = (1..=3)
        .map(|n| format!("10.77.0.1{n}").parse().unwrap())
        .collect();
    input
}

fn worker() -> KubeadmInput {
    let mut input = input();
    input.node.name = "w1".into();
    input.node.address = "10.77.0.21".parse().unwrap();
    input.node.is_control_plane = false;
    input.node.is_worker = true;
    input
}

fn credentials() -> Credentials {
    Credentials {
        token: TOKEN.parse().unwrap(),
        certificate_key: KEY.parse().unwrap(),
    }
}

fn known() -> Join {
    Join {
        discovery: "/run/quorate/discovery.conf".into(),
    }
}

pub(super) fn with(user: Value) -> KubeadmInput {
    KubeadmInput {
        user: UserDocuments::read(&user, &|_| None).unwrap(),
        ..input()
    }
}

pub(super) fn messages(found: &Diagnostics) -> Vec<String> {
    found.iter().map(ToString::to_string).collect()
}

pub(super) fn initialised(input: &KubeadmInput) -> Documents {
    init(input, &credentials()).unwrap_or_else(|found| panic!("{:?}", messages(&found)))
}

#[test]
fn init_of_a_control_plane() {
    insta::assert_snapshot!(initialised(&input()).yaml().unwrap().expose());
}

#[test]
fn init_with_everything_set() {
    let mut input = with(json!({
        "InitConfiguration": {"nodeRegistration": {"kubeletExtraArgs": [{"name": "v", "value": "4"}]}},
        "ClusterConfiguration": {
            "apiServer": {
                "certSANs": ["api.example.org", "203.0.113.7"],
                "extraArgs": [{"name": "audit-log-path", "value": "-"}],
            },
            "networking": {"dnsDomain": "lab.local"},
        },
        "KubeletConfiguration": {"cgroupDriver": "cgroupfs", "failSwapOn": false},
        "KubeProxyConfiguration": {"conntrack": {"maxPerCore": 0, "min": null, "tcpEstablishedTimeout": "0s"}},
    }));
    input.node.is_worker = true;
    input.node.labels = vec![
        ("example.org/rack".into(), "no".into()),
        ("topology.kubernetes.io/zone".into(), "a".into()),
    ];
    input.node.taints = Some(vec!["example.org/gpu=12:NoSchedule".parse().unwrap()]);
    input.ignore_preflight_errors = vec!["Swap".into(), "SystemVerification".into()];
    input.image_repository = Some("registry.example.org/k8s".into());
    insta::assert_snapshot!(initialised(&input).masked_yaml().unwrap());
}

#[test]
fn join_of_a_control_plane() {
    let documents = join(
        &input(),
        &known(),
        &TOKEN.parse().unwrap(),
        Some(&KEY.parse().unwrap()),
    )
    .unwrap();
    insta::assert_snapshot!(documents.yaml().unwrap().expose());
}

#[test]
fn join_of_a_worker_holds_no_certificate_key() {
    let mut input = worker();
    // Meant for control planes: on a worker it would make it one.
    let user =
        json!({"JoinConfiguration": {"controlPlane": {}, "timeouts": {"discovery": "2m0s"}}});
    input.user = UserDocuments::read(&user, &|_| None).unwrap();
    let documents = join(
        &input,
        &known(),
        &TOKEN.parse().unwrap(),
        Some(&KEY.parse().unwrap()),
    )
    .unwrap();
    insta::assert_snapshot!(documents.yaml().unwrap().expose());
}

#[test]
fn taints_follow_the_groups() {
    let gpu: Taint = "gpu:NoExecute".parse().unwrap();
    let own = json!([{"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}]);
    let cases = [
        (true, false, None, own),
        (true, false, Some(vec![]), json!([])),
        (true, true, None, json!([])),
        (
            true,
            true,
            Some(vec![gpu.clone()]),
            json!([{"key": "gpu", "effect": "NoExecute"}]),
        ),
        (false, true, None, json!([])),
        (
            false,
            true,
            Some(vec![gpu]),
            json!([{"key": "gpu", "effect": "NoExecute"}]),
        ),
    ];
    for (is_control_plane, is_worker, taints, expected) in cases {
        let mut input = input();
        (
            input.node.is_control_plane,
            input.node.is_worker,
            input.node.taints,
        ) = (is_control_plane, is_worker, taints);
        let documents = join(
            &input,
            &known(),
            &TOKEN.parse().unwrap(),
            Some(&KEY.parse().unwrap()),
        )
        .unwrap();
        assert_eq!(
            documents.get("JoinConfiguration").unwrap()["nodeRegistration"]["taints"],
            expected
        );
    }
    for wrong in ["gpu", "gpu=1", "=1:NoSchedule", "gpu:Never", ""] {
        assert!(wrong.parse::<Taint>().is_err(), "{wrong}");
    }
}

#[test]
fn values_that_cannot_be_meant_are_refused() {
    type Case = (&'static str, fn(&mut KubeadmInput));
    let cases: [Case; 8] = [
        ("is older than 1.31", |i| {
            i.kubernetes_version = "1.30.4".into()
        }),
        ("is not a version", |i| i.kubernetes_version = "1.36".into()),
        ("dual stack is not built yet", |i| {
            i.pod_subnet = "10.244.0.0/16,fd00::/56".into()
        }),
        ("not of one family", |i| {
            i.service_subnet = "fd00::/112".into()
        }),
        ("is not a network", |i| i.pod_subnet = "10.244.0.0".into()),
        ("`Port-10250` is not ignored", |i| {
            i.ignore_preflight_errors = vec!["Port-10250".into()]
        }),
        ("may not give its node the label", |i| {
            i.node.labels = vec![("node-role.kubernetes.io/worker".into(), String::new())]
        }),
        ("is no control plane", |i| i.node.is_control_plane = false),
    ];
    for (expected, change) in cases {
        let mut input = input();
        change(&mut input);
        let found = messages(&init(&input, &credentials()).expect_err(expected)).join("\n");
        assert!(found.contains(expected), "{expected}: {found}");
    }
    let documents = json!({"ClusterConfiguration": {"networking": "x"}});
    let found = UserDocuments::read(&documents, &|_| None).unwrap_err();
    assert_eq!(
        messages(&found),
        ["kubeadm.ClusterConfiguration.networking is text; a map is expected"]
    );
    for label in [
        "rack",
        "example.org/rack",
        "node.kubernetes.io/x",
        "x.kubelet.kubernetes.io/y",
        "topology.kubernetes.io/zone",
    ] {
        let mut input = input();
        input.node.labels = vec![(label.into(), "a".into())];
        assert!(init(&input, &credentials()).is_ok(), "{label}");
    }
    let token: Token = TOKEN.parse().unwrap();
    assert!(
        join(&input(), &known(), &token, None).is_err(),
        "a control plane needs the certificate key"
    );
    assert!(join(&worker(), &known(), &token, None).is_ok());
}

#[test]
fn the_digest_is_blind_to_secrets_and_to_nothing_else() {
    let digest = |input: &KubeadmInput, credentials: &Credentials| {
        init(input, credentials).unwrap().config_digest()
    };
    let first = digest(&input(), &credentials());
    assert_eq!(first, digest(&input(), &Credentials::generate().unwrap()));
    let one = with(json!({"KubeletConfiguration": {"a": 1, "b": 2}}));
    let other = with(json!({"KubeletConfiguration": {"b": 2, "a": 1}}));
    assert_eq!(
        digest(&one, &credentials()),
        digest(&other, &credentials()),
        "the order of keys does not count"
    );
    assert_ne!(first, digest(&one, &credentials()));
    let mut moved = input();
    moved.bind_port = 7443;
    assert_ne!(first, digest(&moved, &credentials()));
}

#[test]
fn secrets_show_only_in_yaml() {
    let documents = initialised(&input());
    for text in [
        format!("{documents:?}"),
        documents.masked_yaml().unwrap(),
        format!("{:?}", credentials()),
    ] {
        assert!(
            !text.contains(KEY) && !text.contains("0123456789abcdef"),
            "{text}"
        );
    }
    let yaml = documents.yaml().unwrap();
    assert!(yaml.expose().contains(KEY) && yaml.expose().contains(TOKEN));
}

#[test]
fn texts_that_older_yaml_misreads_come_out_as_texts() {
    let tricky = [
        "no",
        "on",
        "y",
        "Yes",
        "null",
        "~",
        "12:30",
        "0755",
        "1_000",
        "0b1",
        "1e3",
        ".inf",
        "0x1f",
        "<<",
        "=",
        "- x",
        "a: b",
        "# x",
        "",
        " x ",
        "2026-11-22",
        "!x",
        "*x",
        "&x",
        "%x",
        "@x",
        "a\nb",
        "é",
        "true",
        "1.36",
        "+1",
        "0o17",
        ".5",
        "123456.0123456789012345",
        "12e3456789",
    ];
    let arguments: Vec<Value> = tricky
        .iter()
        .map(|t| json!({"name": "x", "value": t}))
        .collect();
    let documents = initialised(&with(
        json!({"ClusterConfiguration": {"scheduler": {"extraArgs": arguments}}}),
    ));
    let yaml = documents.masked_yaml().unwrap();
    let bare: Vec<&str> = yaml
        .lines()
        .filter_map(|l| l.trim().strip_prefix("value: "))
        .filter(|v| !v.starts_with(['"', '\'', '|', '>']) && *v != "10.77.0.11")
        .collect();
    assert_eq!(bare, ["é"], "all others are quoted: {yaml}");
}

/// Needs kubeadm 1.31 or newer on the PATH: `cargo test --test pure -- --ignored kubeadm`.
#[test]
#[ignore = "needs kubeadm"]
fn kubeadm_accepts_the_documents() {
    let token: Token = TOKEN.parse().unwrap();
    let key: CertificateKey = KEY.parse().unwrap();
    let mut full = with(json!({
        "ClusterConfiguration": {
            "apiServer": {"extraArgs": [{"name": "audit-log-path", "value": "-"}, {"name": "v", "value": "no"}]},
            "networking": {"dnsDomain": "lab.local"},
        },
        "KubeletConfiguration": {"failSwapOn": false, "failCgroupV1": false, "cgroupDriver": "cgroupfs"},
        "KubeProxyConfiguration": {"conntrack": {"maxPerCore": 0, "min": null, "tcpEstablishedTimeout": "0s"}},
    }));
    full.node.is_worker = true;
    full.node.labels = vec![("example.org/rack".into(), "no".into())];
    full.node.taints = Some(vec![
        "gpu=12:NoSchedule".parse().unwrap(),
        "slow:PreferNoSchedule".parse().unwrap(),
    ]);
    full.ignore_preflight_errors = vec!["Swap".into()];
    full.image_repository = Some("registry.example.org/k8s".into());
    let mut six = input();
    six.vip = None;
    six.endpoint = "[fd00::100]:8443".parse().unwrap();
    six.node.address = "fd00::11".parse().unwrap();
    six.pod_subnet = "fd00:10:244::/56".into();
    six.service_subnet = "fd00:10:96::/112".into();
    let cases = [
        ("init", initialised(&input())),
        ("init, full", initialised(&full)),
        ("init, IPv6", initialised(&six)),
        (
            "join, control plane",
            join(&input(), &known(), &token, Some(&key)).unwrap(),
        ),
        (
            "join, full",
            join(&full, &known(), &token, Some(&key)).unwrap(),
        ),
        (
            "join, worker",
            join(&worker(), &known(), &token, None).unwrap(),
        ),
    ];
    for (case, documents) in cases {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kubeadm.yaml");
        // kubeadm looks whether the file to discover by is there.
        let discovery = folder.path().join("discovery.conf");
        std::fs::write(&discovery, "apiVersion: v1\nkind: Config\n").unwrap();
        let yaml = documents.yaml().unwrap();
        let yaml = yaml
            .expose()
            .replace("/run/quorate/discovery.conf", discovery.to_str().unwrap());
        std::fs::write(&path, yaml).unwrap();
        let output = std::process::Command::new("kubeadm")
            .args(["config", "validate", "--config"])
            .arg(&path)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.success(), "{case}: {said}");
        assert!(
            !said.to_lowercase().contains("warning") && !said.contains("W1"),
            "{case}: {said}"
        );
        println!("{case}: {said}");
    }
}
