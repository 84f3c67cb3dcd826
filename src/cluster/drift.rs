//! kubeadm's own state: what it was configured with, compared with what the inventory says, field by field.
//!
//! What is compared, and what brings it back:
//!
//! | place | act |
//! |---|---|
//! | the ConfigMaps kubeadm-config, kubelet-config, kube-proxy | [`Act::Upload`](super::Act::Upload) |
//! | the control plane's static pods, the API server's certificate | [`Act::RollOut`](super::Act::RollOut) |
//! | /var/lib/kubelet/config.yaml, kubeadm-flags.env, the server in kubelet.conf | [`Act::Kubelet`](super::Act::Kubelet) |
//! | labels and taints of a Node | [`Act::Mark`](super::Act::Mark) |
//!
//! What kubeadm fills in by itself is no difference ([`known`]). A static pod is compared with what kubeadm made of it, which
//! is kept beside the digest of the ClusterConfiguration that it was made from: so nothing has to be known of how kubeadm
//! writes a manifest, and an edit of any field is seen.

mod fields;
mod known;
mod manifest;
mod names;
pub mod stage;
pub mod steps;

use std::collections::BTreeMap;
use std::fmt;

pub use names::NAMES;

use crate::host::fact::{Api, Kubernetes, OwnNode, Written};
use crate::model::{MASK, Masks, Sha256, Value};

/// The label of a control plane and its taint where it runs no workload, and the label that keeps it out of external load balancers
/// (kubeadm's constants.go).
const CONTROL_PLANE: &str = "node-role.kubernetes.io/control-plane";
const EXCLUDED: &str = "node.kubernetes.io/exclude-from-external-load-balancers";

/// What differs where a static pod was made from another ClusterConfiguration.
pub const MADE_FROM: &str = "configuration";

/// What of a ClusterConfiguration no act can change on a live cluster, and why.
const FIXED: [(&str, &str); 5] = [
    (
        "networking",
        "pods and Services keep the addresses and names that they were given",
    ),
    (
        "certificatesDir",
        "kubeconfigs and manifests of every control plane name the files in it",
    ),
    (
        "clusterName",
        "every kubeconfig that kubeadm wrote names the cluster by it",
    ),
    (
        "etcd.local.dataDir",
        "etcd's data lie there, and nothing moves them",
    ),
    (
        "etcd.external",
        "a cluster keeps the etcd that it began with",
    ),
];

/// Where something differs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// The ConfigMap kube-system/kubeadm-config.
    ClusterConfiguration,
    /// The ConfigMap kube-system/kubelet-config.
    KubeletConfiguration,
    /// The ConfigMap kube-system/kube-proxy.
    KubeProxyConfiguration,
    /// The static pod of this component.
    Manifest(String),
    /// All static pods of the control plane: made from another ClusterConfiguration than is wanted.
    Manifests,
    /// The API server's certificate.
    Certificate,
    /// /var/lib/kubelet/config.yaml.
    Kubelet,
    /// /var/lib/kubelet/kubeadm-flags.env.
    KubeletFlags,
    /// /etc/kubernetes/kubelet.conf.
    KubeletConf,
    /// The Node's labels.
    Labels,
    /// The Node's taints.
    Taints,
}

/// One field that is not as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Where.
    pub place: Place,
    /// Which field there: `apiServer.extraArgs.audit-log-path`.
    pub path: String,
    /// What stands there; `None` where nothing does.
    pub live: Option<String>,
    /// What the inventory or kubeadm says; `None` where neither says anything.
    pub wanted: Option<String>,
}

/// What kubeadm is to be configured with, as far as it concerns one host.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// The ClusterConfiguration.
    pub cluster: Value,
    /// The KubeletConfiguration.
    pub kubelet: Value,
    /// The KubeProxyConfiguration.
    pub proxy: Value,
    /// Names and addresses that the API server's certificate on this host has to carry.
    pub names: Vec<String>,
    /// The host's name, as its Node has it.
    pub node: String,
    /// What the kubelet may talk to, as `https://HOST:PORT`: first what it is to talk to where it talks to none of them.
    pub servers: Vec<String>,
    /// The kubelet's flags, as its node registration has them: name and value.
    pub kubelet_flags: Vec<(String, String)>,
    /// The Node's labels.
    pub labels: BTreeMap<String, String>,
    /// The Node's taints: key, value, effect.
    pub taints: Vec<(String, String, String)>,
    /// Whether the host carries a control plane.
    pub is_control_plane: bool,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClusterConfiguration => f.write_str("ClusterConfiguration"),
            Self::KubeletConfiguration => f.write_str("KubeletConfiguration"),
            Self::KubeProxyConfiguration => f.write_str("KubeProxyConfiguration"),
            Self::Manifest(component) => f.write_str(component),
            Self::Manifests => f.write_str("static pods"),
            Self::Certificate => f.write_str("API server's certificate"),
            Self::Kubelet => f.write_str("kubelet"),
            Self::KubeletFlags => f.write_str("kubelet's flags"),
            Self::KubeletConf => f.write_str("kubelet for its kubelet.conf"),
            Self::Labels => f.write_str("label"),
            Self::Taints => f.write_str("taint"),
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.place, self.path, self.told())
    }
}

impl Difference {
    fn new(place: &Place, path: &str, live: Option<&Value>, wanted: Option<&Value>) -> Self {
        Self {
            place: place.clone(),
            path: path.to_string(),
            live: live.map(shown),
            wanted: wanted.map(shown),
        }
    }

    /// Returns what was found, and what was expected, as the rest of a sentence.
    pub fn told(&self) -> String {
        match (&self.live, &self.wanted) {
            (None, Some(wanted)) => format!("is not there, is to be {wanted}"),
            (Some(live), Some(wanted)) => format!("is {live}, is to be {wanted}"),
            (Some(live), None) => format!("is {live}, and nothing asks for it"),
            (None, None) => "differs".into(),
        }
    }

    /// Hides secrets, each with its name, in what is shown. What stands where a decrypted value is to be was a secret too.
    pub fn mask(&mut self, secrets: &[(String, String)], decrypted: &Masks) {
        if let Some(wanted) = &mut self.wanted {
            let hidden = decrypted.hide(wanted);
            if hidden != *wanted {
                *wanted = hidden;
                self.live = self.live.take().map(|_| MASK.to_owned());
            }
        }
        for text in [&mut self.live, &mut self.wanted].into_iter().flatten() {
            for (_, value) in secrets.iter().filter(|(_, value)| !value.is_empty()) {
                *text = text.replace(value.as_str(), "***");
            }
        }
    }

    /// Returns whether it is a ConfigMap that whoever joins asks for, and does not get.
    pub fn keeps_from_joining(&self) -> bool {
        let asked = [Place::ClusterConfiguration, Place::KubeletConfiguration];
        let lost = ["ConfigMap", "data", RIGHTS, "whole"];
        asked.contains(&self.place) && lost.contains(&self.path.as_str())
    }

    /// Returns why no act can change it on a live cluster; `None` where one can.
    pub fn fixed(&self) -> Option<&'static str> {
        if self.place != Place::ClusterConfiguration {
            return None;
        }
        let within = |prefix: &str| {
            let rest = self.path.strip_prefix(prefix);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        let mut all = FIXED.iter();
        all.find(|(path, _)| within(path)).map(|(_, why)| *why)
    }
}

/// What gives nodes the right to read a ConfigMap of kubeadm's.
const RIGHTS: &str = "Role and RoleBinding";

/// How long a value may be that is shown.
const SHOWN: usize = 160;

fn shown(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    if text.is_empty() {
        return "empty".into();
    }
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

/// Returns two digests of what the control plane's static pods are made from, of a ClusterConfiguration that is wanted or
/// live: of all but etcd's, and of etcd's. What kubeadm fills in by itself does not count.
pub fn digest(cluster: &Value) -> String {
    const OF_NO_ACCOUNT: [&str; 5] = [
        "caCertificateValidityPeriod",
        "certificateValidityPeriod",
        "encryptionAlgorithm",
        "dns",
        "proxy",
    ];
    let mut essence = fields::essence(cluster, &known::cluster());
    let mut etcd = Value::Null;
    if let Some(map) = essence.as_object_mut() {
        for key in OF_NO_ACCOUNT {
            map.shift_remove(key);
        }
        let repository = map.get("imageRepository").cloned();
        etcd = serde_json::json!([map.shift_remove("etcd"), repository]);
    }
    let of = |value: &Value| Sha256::of(value.to_string());
    format!("{} {}", of(&essence), of(&etcd))
}

/// Returns the same of a live ClusterConfiguration, as YAML; `None` where it cannot be read.
pub fn digest_of_text(text: &str) -> Option<String> {
    read(text).map(|value| digest(&value))
}

/// Returns what a text says, if it is a YAML map: each of kubeadm's documents is one.
fn read(text: &str) -> Option<Value> {
    let value: Value = serde_saphyr::from_str(text).ok()?;
    value.is_object().then_some(value)
}

/// Returns where the configurations that the cluster keeps are not as wanted. What an API server would not say is not
/// compared.
pub fn of_cluster(wanted: &Wanted, api: &Api) -> Vec<Difference> {
    let cluster = &wanted.cluster;
    let maps = [
        (
            Place::ClusterConfiguration,
            cluster,
            known::cluster(),
            &api.cluster_configuration,
        ),
        (
            Place::KubeletConfiguration,
            &wanted.kubelet,
            known::kubelet(cluster),
            &api.kubelet_configuration,
        ),
        (
            Place::KubeProxyConfiguration,
            &wanted.proxy,
            known::proxy(cluster),
            &api.proxy_configuration,
        ),
    ];
    let mut found = Vec::new();
    for (place, wanted, filled, live) in maps {
        match live.as_deref().map(read) {
            None => found.extend(gone(&place, api)),
            Some(Some(live)) => {
                found.extend(fields::compare(&place, wanted, &live, &filled));
                if place == Place::ClusterConfiguration {
                    found.extend(names::of_configuration(wanted, &live));
                }
            }
            Some(None) => found.push(unreadable(&place)),
        }
    }
    found.extend(of_proxy(wanted, api));
    found
}

/// The kubeconfig that kube-proxy mounts beside its configuration leads to the endpoint (kubeadm, app/phases/addons/proxy). Where the
/// user has put it elsewhere, the one in the ConfigMap is read by nobody.
fn of_proxy(wanted: &Wanted, api: &Api) -> Option<Difference> {
    api.proxy_configuration.as_ref()?;
    let own = &wanted.proxy["clientConnection"]["kubeconfig"];
    let server = wanted.servers.last().filter(|_| own.is_null())?;
    let live = api.proxy_kubeconfig.as_deref().and_then(read);
    let live = live.and_then(|live| {
        Some(
            live["clusters"][0]["cluster"]["server"]
                .as_str()?
                .to_owned(),
        )
    });
    (live.as_ref() != Some(server)).then(|| Difference {
        place: Place::KubeProxyConfiguration,
        path: "kubeconfig.conf server".into(),
        live,
        wanted: Some(server.clone()),
    })
}

/// A ConfigMap that is not there, has lost its key, or may not be read by nodes, who need it to join: kubeadm's phases make it, and the rights
/// to read it, anew. A node may read kube-proxy's only while a pod of it runs there (kubernetes.io, Using Node Authorization).
fn gone(place: &Place, api: &Api) -> Option<Difference> {
    let name = match place {
        Place::ClusterConfiguration => "kubeadm-config",
        Place::KubeletConfiguration => "kubelet-config",
        _ => "kube-proxy",
    };
    let (path, live, wanted) = match api.unread(name)? {
        404 => ("ConfigMap", None, "what the inventory says"),
        200 => ("data", None, "what the inventory says"),
        403 if name != "kube-proxy" => {
            (RIGHTS, Some("such that nodes may not read it"), "kubeadm's")
        }
        _ => return None,
    };
    Some(Difference {
        place: place.clone(),
        path: path.into(),
        live: live.map(Into::into),
        wanted: Some(wanted.into()),
    })
}

fn unreadable(place: &Place) -> Difference {
    Difference {
        place: place.clone(),
        path: "whole".into(),
        live: Some("empty, or no YAML map".into()),
        wanted: Some("what kubeadm writes".into()),
    }
}

/// Returns where a member of the cluster is not as wanted.
pub fn of_host(wanted: &Wanted, host: &Kubernetes) -> Vec<Difference> {
    let written = &host.written;
    let mut found = Vec::new();
    if wanted.is_control_plane {
        for (component, state) in &written.manifests {
            found.extend(manifest::compare(component, state, &wanted.cluster));
        }
        found.extend(lost(written));
        if let Some(made_from) = &written.made_from {
            found.extend(of_making(made_from, &digest(&wanted.cluster)));
        }
        found.extend(names::of_certificate(wanted, host));
    }
    if let Some(live) = &written.kubelet {
        let filled = known::kubelet(&wanted.cluster);
        found.extend(match read(live) {
            Some(live) => fields::compare(&Place::Kubelet, &wanted.kubelet, &live, &filled),
            None => vec![unreadable(&Place::Kubelet)],
        });
    }
    if let Some(live) = &written.kubelet_flags {
        found.extend(of_flags(wanted, live));
    }
    if let Some(live) = &host.server
        && !wanted.servers.is_empty()
        && !wanted.servers.contains(live)
    {
        found.push(Difference {
            place: Place::KubeletConf,
            path: "server".into(),
            live: Some(live.clone()),
            wanted: wanted.servers.first().cloned(),
        });
    }
    if let Some(node) = &host.own_node {
        let serves = written.manifests.contains_key("kube-apiserver");
        found.extend(of_node(wanted, node, serves && wanted.is_control_plane));
    }
    found
}

/// Components of a control plane that serves whose manifest is gone. Without its API server's or etcd's it is no such thing:
/// what then has to be done is the workflow's to say.
fn lost(written: &Written) -> Vec<Difference> {
    let there = |component: &str| written.manifests.contains_key(component);
    if !there("kube-apiserver") || !there("etcd") {
        return Vec::new();
    }
    let parts = ["kube-controller-manager", "kube-scheduler"].into_iter();
    parts
        .filter(|part| !there(part))
        .map(|part| Difference {
            place: Place::Manifest(part.into()),
            path: "manifest".into(),
            live: None,
            wanted: Some("what kubeadm writes".into()),
        })
        .collect()
}

/// Static pods that are as kubeadm made them, of a configuration that is not the inventory's any more.
fn of_making(made_from: &str, wanted: &str) -> Vec<Difference> {
    let places = [Place::Manifests, Place::Manifest("etcd".into())];
    let pairs = made_from.split(' ').zip(wanted.split(' '));
    let other = pairs.zip(places).filter(|((was, is), _)| was != is);
    other
        .map(|(_, place)| Difference {
            place,
            path: MADE_FROM.into(),
            live: Some("made from another ClusterConfiguration".into()),
            wanted: Some("made from the inventory's".into()),
        })
        .collect()
}

/// Flags that kubeadm adds by itself (kubeadm's kubelet/flags.go), and one that counts at the registration alone.
const OWN_FLAGS: [&str; 5] = [
    "container-runtime-endpoint",
    "hostname-override",
    "node-labels",
    "pod-infra-container-image",
    "register-with-taints",
];

/// Returns the flags in a line of kubeadm-flags.env: `KUBELET_KUBEADM_ARGS="--node-ip=10.0.0.1 --v=2"`.
fn flags(line: &str) -> BTreeMap<String, String> {
    let text = line.split_once('=').map_or("", |(_, text)| text.trim());
    let words = text.trim_matches('"').split_whitespace();
    let flag = |word: &str| {
        let word = word.strip_prefix("--")?;
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        Some((name.to_string(), value.to_string()))
    };
    words.filter_map(flag).collect()
}

fn of_flags(wanted: &Wanted, live: &str) -> Vec<Difference> {
    let live = flags(live);
    let own = |name: &str| OWN_FLAGS.contains(&name);
    let asked: BTreeMap<&str, &str> = wanted
        .kubelet_flags
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .filter(|(name, _)| !own(name))
        .collect();
    let differs = |path: &str, live: Option<&String>, wanted: Option<&str>| Difference {
        place: Place::KubeletFlags,
        path: format!("--{path}"),
        live: live.cloned(),
        wanted: wanted.map(str::to_string),
    };
    let mut found: Vec<Difference> = asked
        .iter()
        .filter(|(name, value)| live.get(**name).map(String::as_str) != Some(**value))
        .map(|(name, value)| differs(name, live.get(*name), Some(value)))
        .collect();
    let extra = live
        .iter()
        .filter(|(name, _)| !own(name) && !asked.contains_key(name.as_str()));
    found.extend(extra.map(|(name, value)| differs(name, Some(value), None)));
    found
}

/// Labels and taints that are wanted have to be there; others are others' business, but for the control plane's own taint.
///
/// Only a host that `serves` as a control plane is marked as one: a worker may be listed as one by mistake.
fn of_node(wanted: &Wanted, node: &OwnNode, serves: bool) -> Vec<Difference> {
    let mut labels = wanted.labels.clone();
    if wanted.is_control_plane {
        labels.entry(EXCLUDED.into()).or_default();
    }
    if serves {
        labels.entry(CONTROL_PLANE.into()).or_default();
    }
    let quoted = |text: &String| {
        if text.is_empty() {
            "empty".to_string()
        } else {
            text.clone()
        }
    };
    let mut found: Vec<Difference> = labels
        .iter()
        .filter(|(name, value)| node.labels.get(*name) != Some(value))
        .map(|(name, value)| Difference {
            place: Place::Labels,
            path: name.clone(),
            live: node.labels.get(name).map(quoted),
            wanted: Some(quoted(value)),
        })
        .collect();
    let taint = |(_, value, effect): &(String, String, String)| {
        if value.is_empty() {
            effect.clone()
        } else {
            format!("{value}:{effect}")
        }
    };
    let lacking = wanted.taints.iter().filter(|t| !node.taints.contains(t));
    found.extend(lacking.map(|wanted| Difference {
        place: Place::Taints,
        path: wanted.0.clone(),
        live: None,
        wanted: Some(taint(wanted)),
    }));
    let unasked = node
        .taints
        .iter()
        .filter(|t| t.0 == CONTROL_PLANE && !wanted.taints.contains(t));
    found.extend(unasked.map(|live| Difference {
        place: Place::Taints,
        path: live.0.clone(),
        live: Some(taint(live)),
        wanted: None,
    }));
    found
}
