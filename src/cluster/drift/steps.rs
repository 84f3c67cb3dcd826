//! The acts that bring kubeadm's own state back, as the steps of one host's wave: the way of kubernetes.io's "Reconfiguring
//! a kubeadm cluster", by kubeadm's own phases.

use super::stage::{Part, due};
use super::{CONTROL_PLANE, Difference, EXCLUDED, Place, Wanted, flags, names};
use crate::cluster::act::{self, LAST_WORDS, REFUSED, file};
use crate::event::Category;
use crate::host::{Effect, Run};
use crate::model::{HostName, Mode, Secret};
use crate::plan::{Change, HostPlan, Step};

const ROLLOUT: &str = include_str!("rollout.sh");
const KUBELET: &str = include_str!("kubelet.sh");
/// Where the configuration lies while the phases run. /run is memory.
const CONFIG: &str = "/run/quorate/rollout.yaml";
/// Where what kubeadm made is kept, to compare with.
const KEPT: &str = "/var/lib/quorate/manifests";
/// Where the controller manager and the scheduler tell how they are (kubeadm's constants.go).
const MANAGER: &str = "https://127.0.0.1:10257/healthz";
const SCHEDULER: &str = "https://127.0.0.1:10259/healthz";
/// A roll-out waits four minutes at most for each of four components, of which kube-apiserver takes half a minute to end, and
/// two for what has to be well before.
const SECONDS: u64 = 1200;

/// A control plane whose static pods are written anew.
#[derive(Debug, Clone)]
pub struct RollOut<'a> {
    /// kubeadm's documents for this host.
    pub config: &'a Secret<String>,
    /// The digest of the ClusterConfiguration in them.
    pub digest: &'a str,
    /// What is not as written there.
    pub differences: &'a [Difference],
    /// `address:port` of its own API server.
    pub own: String,
    /// The same of the other control planes'.
    pub others: Vec<String>,
    /// The addresses of all control planes: of etcd's members.
    pub members: Vec<String>,
    /// What the inventory says.
    pub wanted: &'a Wanted,
}

fn configuration(config: &Secret<String>) -> Step {
    let validate = "kubeadm config validate --config %s".to_string();
    let mut step = Step::new(
        "cluster : kubeadm configuration",
        Category::Own,
        vec![Change::new(
            file(CONFIG, config.expose(), Mode::PRIVATE, Some(validate)),
            "for kubeadm",
        )],
    );
    step.secret = true;
    step
}

/// Returns one step that runs a script because of some differences.
fn run<'a>(
    title: &str,
    label: &str,
    script: &str,
    unit: Option<&str>,
    because: impl Iterator<Item = &'a Difference>,
) -> Step {
    let mut run = Run::new(["/bin/sh", "-c", script]);
    run.label = Some(label.into());
    run.unit = unit.map(|unit| (unit.to_string(), SECONDS));
    let because: Vec<&Difference> = because.collect();
    let paths = because.iter().map(|d| format!("{} {}", d.place, d.path));
    let why = paths.collect::<Vec<_>>().join(", ");
    let mut step = Step::new(
        title,
        Category::Kubeadm,
        vec![Change::new(Effect::Run(run), why)],
    );
    step.about = because.iter().map(|d| d.to_string()).collect();
    step
}

/// kubeadm's phase that writes ConfigMap kubeadm-config.
const UPLOAD: &str = "upload-config kubeadm";

/// Gives ConfigMap kubeadm-config its `data` where somebody took the only key out of it: kubeadm writes into what is there, and ends
/// with a panic where nothing is (kubeadm 1.36, app/phases/uploadconfig). An empty text is read as a missing one.
const DATA: &str = r#"kube() { kubectl --kubeconfig /etc/kubernetes/admin.conf -n kube-system "$@"; }
if [ "$(kube get configmap kubeadm-config -o 'jsonpath={.kind}{.data}' 2>/dev/null)" = ConfigMap ]; then
  kube patch configmap kubeadm-config --type merge -p '{"data":{"ClusterConfiguration":""}}' || exit 1
fi
"#;

/// Returns the steps that bring the configurations that the cluster keeps to what is written.
pub fn upload(config: &Secret<String>, differences: &[Difference]) -> HostPlan {
    let at = |place: Place| differences.iter().filter(move |d| d.place == place);
    let mut steps = vec![configuration(config)];
    let mut phase = |title: &str, phase: &str, found: Vec<&Difference>| {
        if !found.is_empty() {
            let label = format!("kubeadm init phase {phase} --config {CONFIG}");
            let mut script = label.clone();
            if phase == UPLOAD {
                script.insert_str(0, DATA);
            }
            steps.push(run(title, &label, &script, None, found.into_iter()));
        }
    };
    phase(
        "cluster : upload ClusterConfiguration",
        UPLOAD,
        at(Place::ClusterConfiguration).collect(),
    );
    phase(
        "cluster : upload KubeletConfiguration",
        "upload-config kubelet",
        at(Place::KubeletConfiguration).collect(),
    );
    let dns = |d: &&Difference| d.path == "imageRepository" || d.path.starts_with("dns");
    phase(
        "cluster : CoreDNS",
        "addon coredns",
        at(Place::ClusterConfiguration).filter(dns).collect(),
    );
    let proxy: Vec<&Difference> = at(Place::KubeProxyConfiguration).collect();
    if !proxy.is_empty() {
        // kube-proxy reads its configuration when it starts.
        let kubectl = "kubectl --kubeconfig /etc/kubernetes/admin.conf -n kube-system rollout";
        let script = format!(
            "kubeadm init phase addon kube-proxy --config {CONFIG} && {kubectl} restart daemonset kube-proxy && {kubectl} status daemonset kube-proxy --timeout=300s"
        );
        let label = "kubeadm init phase addon kube-proxy, and its pods anew";
        let proxy = proxy.into_iter();
        steps.push(run("cluster : kube-proxy", label, &script, None, proxy));
    }
    let remove = Run::new(["rm", "-f", CONFIG]);
    steps.push(Step::new(
        "cluster : kubeadm configuration goes",
        Category::Own,
        vec![Change::new(
            Effect::Run(remove),
            "it is not needed any more",
        )],
    ));
    plan(steps)
}

/// Returns the steps that write a control plane's static pods and certificate anew.
pub fn roll_out(input: &RollOut) -> HostPlan {
    let found = || due(input.differences, Part::ControlPlane);
    let of_etcd = |d: &&Difference| d.place == Place::Manifest("etcd".into());
    let etcd = found().any(|d| of_etcd(&d));
    let pods = found().any(|d| !of_etcd(&d) && d.place != Place::Certificate);
    let certificate: Vec<&Difference> = found().filter(|d| d.place == Place::Certificate).collect();
    let list = |names: Vec<&str>| {
        let all: Vec<String> = names.into_iter().filter_map(asked_by).collect();
        all.join(" ")
    };
    let of =
        |pick: fn(&Difference) -> Option<&str>| certificate.iter().filter_map(move |d| pick(d));
    let names = of(|d| d.wanted.as_deref()).collect();
    let gone = of(|d| d.live.as_deref())
        .filter(|name| !names::stands_for(input.wanted, name))
        .collect();
    let quoted = crate::host::sh::words;
    let mut script = format!(
        "config={CONFIG}\nown={}\nothers={}\nmembers={}\nnames={}\ngone={}\n{REFUSED}{LAST_WORDS}{ROLLOUT}",
        crate::host::sh::quote(&input.own),
        crate::host::sh::quote(&input.others.join(" ")),
        crate::host::sh::quote(&input.members.join(" ")),
        crate::host::sh::quote(&list(names)),
        crate::host::sh::quote(&list(gone)),
    );
    if !certificate.is_empty() {
        script.push_str("certify\n");
    }
    if etcd {
        script.push_str("until_all_of_etcd_serve || exit 1\n");
        script.push_str("roll etcd http://127.0.0.1:2381/health etcd local\n");
    }
    if pods {
        script.push_str("until_others_serve || exit 1\n");
        let own = format!("https://{}/readyz", input.own);
        let manager = health(input.wanted, "controllerManager", MANAGER);
        let scheduler = health(input.wanted, "scheduler", SCHEDULER);
        for (component, url, phase) in [
            ("kube-apiserver", own.as_str(), "apiserver"),
            ("kube-controller-manager", manager, "controller-manager"),
            ("kube-scheduler", scheduler, "scheduler"),
        ] {
            let words = quoted(["roll", component, url, "control-plane", phase]);
            script.push_str(&format!("{words}\n"));
        }
    }
    if etcd || pods {
        script.push_str(&format!("{} || exit 1\n", note(input.digest)));
    }
    let title = "cluster : roll out the control plane";
    let label = "kubeadm init phase certs, etcd and control-plane, one after the other";
    let mut step = run(title, label, &script, Some("rollout"), found());
    step.disturbs = true;
    plan(vec![configuration(input.config), step])
}

/// Returns a name that a client can ask for to see whether a certificate has it: one of those that a wildcard stands for.
/// `None` for what no URL can name.
fn asked_by(name: &str) -> Option<String> {
    let name = name.replacen('*', "any", 1);
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    (!name.is_empty() && name.chars().all(plain)).then_some(name)
}

/// Returns where a component tells how it is; empty where the user has put it elsewhere.
fn health<'a>(wanted: &Wanted, section: &str, url: &'a str) -> &'a str {
    let arguments = wanted.cluster.pointer(&format!("/{section}/extraArgs"));
    let arguments = arguments.and_then(crate::model::Value::as_array);
    let mut names = arguments
        .into_iter()
        .flatten()
        .filter_map(|entry| entry["name"].as_str());
    if names.any(|name| name == "secure-port" || name == "bind-address") {
        return "";
    }
    url
}

/// Returns the steps that bring a kubelet to what is written. `flags_line` is its line of flags as it lies there.
pub fn kubelet(wanted: &Wanted, differences: &[Difference], flags_line: Option<&str>) -> HostPlan {
    let found = || due(differences, Part::Kubelet);
    let changed = found().any(|d| d.place == Place::KubeletFlags);
    let flags = match flags_line.filter(|_| changed) {
        Some(line) => new_flags(wanted, line, found()),
        None => String::new(),
    };
    let number = |field: &str| wanted.kubelet.get(field);
    let port = number("healthzPort").and_then(crate::model::Value::as_u64);
    let address = number("healthzBindAddress").and_then(crate::model::Value::as_str);
    let health = format!(
        "http://{}:{}/healthz",
        address.filter(|a| *a != "0.0.0.0").unwrap_or("127.0.0.1"),
        port.unwrap_or(10248)
    );
    let mut servers = found().filter(|d| d.place == Place::KubeletConf);
    let server = servers.find_map(|d| d.wanted.as_deref()).unwrap_or("");
    let script = format!(
        "flags={}\nserver={}\nhealth={}\n{KUBELET}",
        crate::host::sh::quote(&flags),
        crate::host::sh::quote(server),
        crate::host::sh::quote(&health)
    );
    let label = "kubeadm upgrade node phase kubelet-config, and the kubelet anew";
    let mut step = run("cluster : kubelet", label, &script, None, found());
    step.disturbs = true;
    plan(vec![step])
}

/// Returns the line of flags with what is asked for in it, and without what nothing asks for.
fn new_flags<'a>(
    wanted: &Wanted,
    line: &str,
    found: impl Iterator<Item = &'a Difference>,
) -> String {
    let mut all = flags(line);
    for difference in found.filter(|d| d.place == Place::KubeletFlags) {
        let name = difference.path.trim_start_matches('-');
        match wanted.kubelet_flags.iter().find(|(n, _)| n == name) {
            Some((name, value)) => all.insert(name.clone(), value.clone()),
            None => all.remove(name),
        };
    }
    let words: Vec<String> = all.iter().map(|(n, v)| format!("--{n}={v}")).collect();
    format!("KUBELET_KUBEADM_ARGS=\"{}\"", words.join(" "))
}

/// Returns the steps that set labels and taints: each node with what it is to have and how its Node differs.
pub fn mark(nodes: &[(&HostName, &Wanted, &[Difference])]) -> HostPlan {
    let kubectl = "kubectl --kubeconfig /etc/kubernetes/admin.conf";
    let mut steps = Vec::new();
    for (name, wanted, differences) in nodes {
        let found: Vec<&Difference> = due(differences, Part::Node).collect();
        let mut lines = Vec::new();
        for difference in &found {
            let path = difference.path.as_str();
            let words = match difference.place {
                Place::Labels => {
                    let value = match wanted.labels.get(path) {
                        Some(value) => value.as_str(),
                        None if path == EXCLUDED || path == CONTROL_PLANE => "",
                        None => continue,
                    };
                    vec![format!("{path}={value}"), "--overwrite".into()]
                }
                _ => {
                    let mut all = wanted.taints.iter().filter(|t| t.0 == path);
                    match all.find(|_| difference.wanted.is_some()) {
                        Some((key, value, effect)) => {
                            vec![format!("{key}={value}:{effect}"), "--overwrite".into()]
                        }
                        None if path == CONTROL_PLANE => vec![format!("{path}-")],
                        None => continue,
                    }
                }
            };
            let verb = match difference.place {
                Place::Labels => "label",
                _ => "taint",
            };
            let words = crate::host::sh::words(words);
            let node = crate::host::sh::quote(name.as_str());
            lines.push(format!("{kubectl} {verb} node {node} {words}"));
        }
        let script = lines.join(" && ");
        let title = format!("cluster : labels and taints of {name}");
        let label = "kubectl label, kubectl taint";
        steps.push(run(&title, label, &script, None, found.into_iter()));
    }
    plan(steps)
}

/// Returns the step that keeps what kubeadm has just made, to compare with later; `digest` is that of the ClusterConfiguration
/// that it was made from.
pub fn record(digest: &str) -> Step {
    let script = format!(
        "keep={KEPT}\nmkdir -p \"$keep\" && chmod 700 \"$keep\" || exit 1\n\
         for component in kube-apiserver kube-controller-manager kube-scheduler etcd; do\n\
         made=/etc/kubernetes/manifests/$component.yaml\n\
         [ ! -f \"$made\" ] || {{ cp -p \"$made\" \"$keep/$component.yaml.new\" && mv -f \"$keep/$component.yaml.new\" \"$keep/$component.yaml\"; }} || exit 1\n\
         done\n\
         {}",
        note(digest)
    );
    let mut run = Run::new(["/bin/sh", "-c", &script]);
    run.label = Some("keep what kubeadm made, to compare with".into());
    let change = Change::new(Effect::Run(run), "kubeadm is done");
    Step::new(act::RECORD, Category::Own, vec![change])
}

/// Returns the command that writes down, in the folder `$keep`, what the static pods were made from.
fn note(digest: &str) -> String {
    let digest = crate::host::sh::quote(digest);
    format!(
        "printf '%s\\n' {digest} >\"$keep/made-from.new\" && mv -f \"$keep/made-from.new\" \"$keep/made-from\""
    )
}

fn plan(steps: Vec<Step>) -> HostPlan {
    HostPlan {
        steps,
        ..HostPlan::default()
    }
}
