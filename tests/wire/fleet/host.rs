//! A host that is no host: it remembers what waves tell it, and answers probes from that. No process is started, so that
//! thousands of them cost the machine little beside the program that is measured.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use quorate::model::Sha256;

use super::words;

/// As kubeadm 1.36 wrote them in the lab.
const CLUSTER: &str = include_str!("../../fixtures/drift/cluster.yaml");
const KUBELET: &str = include_str!("../../fixtures/drift/kubelet.yaml");
/// A file larger than this is counted and not kept.
const KEPT: u64 = 1 << 20;

/// What lies at a path.
#[derive(Debug, Clone, PartialEq)]
enum Entry {
    File {
        digest: String,
        length: u64,
        mode: String,
        text: Option<Vec<u8>>,
    },
    Directory {
        mode: String,
    },
    Link {
        target: String,
    },
}

/// A unit: whether it runs, and whether it starts at boot.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Unit {
    active: bool,
    enabled: bool,
}

/// What the cluster is like, as any of its API servers tells.
#[derive(Debug, Clone)]
pub(crate) struct Cluster {
    pub(crate) version: String,
    pub(crate) endpoint: String,
    /// The virtual address, which the first control plane holds.
    pub(crate) vip: String,
    /// Names and addresses of the nodes, control planes first.
    pub(crate) nodes: Vec<(String, String)>,
    pub(crate) control_planes: usize,
}

/// One host's state.
#[derive(Debug, Default)]
pub(crate) struct Host {
    files: BTreeMap<String, Entry>,
    packages: BTreeSet<String>,
    units: BTreeMap<String, Unit>,
    sysctls: BTreeMap<String, String>,
    modules: BTreeSet<String>,
    images: BTreeSet<String>,
    swapless: bool,
    pending: BTreeSet<String>,
    /// How many waves it was told, and how many bytes of payload came with them.
    pub(crate) waves: u64,
}

/// The payload behind a wave's script.
struct Payload<'a>(&'a [u8]);

impl Payload<'_> {
    fn take(&mut self, length: &str) -> &[u8] {
        let length = length.parse().unwrap_or(0).min(self.0.len());
        let (taken, rest) = self.0.split_at(length);
        self.0 = rest;
        taken
    }
}

impl Host {
    /// Returns a freshly installed host with the programs of a node on it.
    pub(crate) fn bare() -> Self {
        let mut host = Self::default();
        host.text("/etc/hosts", "127.0.0.1 localhost\n");
        host.text("/etc/fstab", "/dev/sda1 / ext4 defaults 0 1\n");
        for unit in ["kubelet", "containerd"] {
            host.units.insert(unit.into(), Unit::default());
        }
        host
    }

    fn text(&mut self, path: &str, text: &str) {
        let entry = Entry::File {
            digest: Sha256::of(text).to_string(),
            length: text.len() as u64,
            mode: "0644".into(),
            text: Some(text.into()),
        };
        self.files.insert(path.into(), entry);
    }

    /// Returns what a probe or a wave's script prints, without the word before each line.
    pub(crate) fn answer(
        &mut self,
        number: usize,
        cluster: &Cluster,
        is_member: bool,
        script: &str,
        payload: &[u8],
        fails: bool,
    ) -> Vec<String> {
        let (definitions, body) = script.rsplit_once("\nmain() {\n").unwrap_or(("", script));
        let is_wave = definitions.contains("\nstop=");
        self.waves += u64::from(is_wave);
        if is_member && let Some(kubelet) = self.units.get_mut("kubelet") {
            kubelet.active = true;
        }
        let mut lines = Vec::new();
        let mut payload = Payload(payload);
        let mut notified: BTreeSet<String> = self.pending.clone();
        // The handler whose steps come next, and whether it is run.
        let mut handler: Option<bool> = None;
        let mut rest = body;
        while let Some(line) = rest.lines().next() {
            let known = ["run_step ", "probe_", "handler_now=", "receive "];
            let length = if known.iter().any(|word| line.starts_with(word)) && !line.contains("() {")
                // The script's own first value.
                && line != "handler_now="
            {
                let (words, length) = words::command(rest);
                let (name, arguments) = words
                    .split_first()
                    .map_or(("", &[][..]), |(n, a)| (n.as_str(), a));
                if let Some(id) = name.strip_prefix("handler_now=") {
                    handler = Some(notified.contains(id));
                    self.pending.remove(id);
                } else if name == "receive" && handler == Some(false) {
                    payload.take(&arguments[0]);
                    handler = None;
                } else if name == "run_step" && handler != Some(false) {
                    lines.push(format!("start {}", arguments[0]));
                    if fails {
                        let said = BASE64.encode("No space left on device");
                        lines.push(format!("done {} failed 1 {said}", arguments[0]));
                        return lines;
                    }
                    let changed = self.step(definitions, &arguments[0], &mut payload);
                    let word = match (arguments[3].as_str(), changed) {
                        ("changed", _) | ("auto", true) => "changed",
                        _ => "ok",
                    };
                    lines.push(format!("done {} {word} 0", arguments[0]));
                    if word == "changed" {
                        notified.extend(arguments[4..].iter().cloned());
                    }
                } else if name.starts_with("probe_") {
                    self.facts(number, cluster, is_member, name, arguments, &mut lines);
                }
                length.max(1)
            } else {
                if line == "fi" && handler == Some(true) {
                    handler = None;
                }
                line.len()
            };
            rest = rest.get(length + 1..).unwrap_or_default();
        }
        lines.push(if is_wave { "finished" } else { "end" }.into());
        lines
    }

    /// Runs a step's effects; returns whether one of them changed something.
    fn step(&mut self, definitions: &str, id: &str, payload: &mut Payload<'_>) -> bool {
        let head = format!("\nstep_{id}() {{\n");
        let Some((_, body)) = definitions.split_once(&head) else {
            return false;
        };
        let body = body.split("\n}\nstep_").next().unwrap_or_default();
        let mut changed = false;
        for words in words::commands(body) {
            let words: Vec<&str> = words
                .iter()
                .map(String::as_str)
                .skip_while(|w| *w == "{")
                .collect();
            changed |= self.effect(&words, payload);
        }
        changed
    }

    fn effect(&mut self, words: &[&str], payload: &mut Payload<'_>) -> bool {
        match words {
            ["put", path, length, digest, mode, ..] => {
                let bytes = payload.take(length).to_vec();
                let length = length.parse().unwrap_or(0);
                let entry = Entry::File {
                    digest: (*digest).into(),
                    length,
                    mode: (*mode).into(),
                    text: (length <= KEPT).then_some(bytes),
                };
                let unit = path.strip_prefix("/etc/systemd/system/");
                if let Some(unit) = unit.and_then(|file| file.split('.').next()) {
                    self.units.entry(unit.into()).or_default();
                }
                self.files.insert((*path).into(), entry.clone()) != Some(entry)
            }
            ["directory", path, mode, ..] => {
                let mode = if *mode == "-" { "0755" } else { mode };
                let entry = Entry::Directory { mode: mode.into() };
                self.files.insert((*path).into(), entry.clone()) != Some(entry)
            }
            ["attributes", path, new, ..] => match self.files.get_mut(*path) {
                Some(Entry::File { mode, .. } | Entry::Directory { mode }) => {
                    *mode = (*new).into();
                    true
                }
                _ => false,
            },
            ["link", path, target] => {
                let entry = Entry::Link {
                    target: (*target).into(),
                };
                self.files.insert((*path).into(), entry.clone()) != Some(entry)
            }
            ["absent", path] => self.files.remove(*path).is_some(),
            ["packages", names @ ..] => {
                let names = names.iter().map(|name| (*name).to_owned());
                let new: Vec<String> = names.filter(|name| !self.packages.contains(name)).collect();
                for name in &new {
                    let unit = Unit {
                        active: true,
                        enabled: true,
                    };
                    self.units.insert(name.clone(), unit);
                }
                let any = !new.is_empty();
                self.packages.extend(new);
                any
            }
            ["unit", act, name] => {
                let unit = self.units.entry((*name).into()).or_default();
                let before = *unit;
                match *act {
                    "started" | "restarted" | "reloaded" => unit.active = true,
                    "stopped" => unit.active = false,
                    "enabled" => unit.enabled = true,
                    "disabled" => unit.enabled = false,
                    _ => return false,
                }
                *unit != before || matches!(*act, "restarted" | "reloaded")
            }
            ["sysctl_set", key, value] => {
                let old = self.sysctls.insert((*key).into(), (*value).into());
                old.as_deref() != Some(*value)
            }
            ["module_load", name] => self.modules.insert((*name).into()),
            ["swap_off"] => !std::mem::replace(&mut self.swapless, true),
            ["image", length, _, names @ ..] => {
                payload.take(length);
                self.images
                    .extend(names.iter().map(|name| (*name).to_owned()));
                true
            }
            ["unpack", length, ..] | ["receive", length, ..] => {
                payload.take(length);
                true
            }
            _ => false,
        }
    }

    fn facts(
        &self,
        number: usize,
        cluster: &Cluster,
        is_member: bool,
        call: &str,
        arguments: &[String],
        lines: &mut Vec<String>,
    ) {
        let (name, address) = &cluster.nodes[number];
        let mut say = |line: String| lines.push(line);
        match call {
            "probe_system" => {
                say("system os debian||12".into());
                say("system user 0".into());
                say(format!("system uname x86_64 6.1.0 {name}"));
                say(format!("system machine_id {number:032x}"));
                say("system processors 4".into());
                say("system memory 16384000".into());
                say("system free 50000000".into());
                say(format!(
                    "system clock {}",
                    jiff::Timestamp::now().as_second()
                ));
                say("system packages apt-get".into());
                say("system systemd".into());
                say("address lo 127.0.0.1/8".into());
                say(format!("address eth0 {address}/8"));
                if number == 0 && is_member {
                    say(format!("address eth0 {}/32", cluster.vip));
                }
                say(format!(
                    "link-address 02:00:00:00:{:02x}:{:02x}",
                    number / 256,
                    number % 256
                ));
                self.pending
                    .iter()
                    .for_each(|id| say(format!("pending {id}")));
            }
            "probe_files" => arguments.iter().for_each(|path| self.look(path, &mut say)),
            "probe_sums" | "probe_large" => {
                for path in arguments {
                    if let Some(Entry::File { digest, .. }) = self.files.get(path) {
                        say(format!("sum {digest}  {path}"));
                    }
                }
            }
            "probe_content" => {
                for path in arguments {
                    if let Some(Entry::File {
                        text: Some(text), ..
                    }) = self.files.get(path)
                    {
                        say(format!("content {path} {}", BASE64.encode(text)));
                    }
                }
            }
            "probe_packages" => {
                for name in arguments
                    .iter()
                    .filter(|name| self.packages.contains(*name))
                {
                    say(format!("package {name} ii |1.0"));
                }
            }
            "probe_units" => {
                for (n, name) in arguments.iter().enumerate() {
                    let unit = self.units.get(name);
                    let word = |is: bool, yes: &str, no: &str| {
                        if is { yes.to_owned() } else { no.to_owned() }
                    };
                    if n > 0 {
                        say("unit ".into());
                    }
                    say(format!(
                        "unit LoadState={}",
                        word(unit.is_some(), "loaded", "not-found")
                    ));
                    say(format!(
                        "unit ActiveState={}",
                        word(unit.is_some_and(|u| u.active), "active", "inactive")
                    ));
                    let file = word(unit.is_some_and(|u| u.enabled), "enabled", "disabled");
                    say(format!(
                        "unit UnitFileState={}",
                        if unit.is_some() { file } else { String::new() }
                    ));
                    say("unit NeedDaemonReload=no".into());
                }
            }
            "probe_sysctls" => {
                for key in arguments {
                    let value = self.sysctls.get(key).map_or("0", String::as_str);
                    say(format!("sysctl {key} {value}"));
                }
            }
            "probe_modules" => {
                for name in arguments.iter().filter(|name| self.modules.contains(*name)) {
                    say(format!("module {name}"));
                }
            }
            "probe_swap" => {
                if !self.swapless {
                    say("swap /dev/sda2".into());
                }
                say("swaps-listed".into());
            }
            "probe_images" => {
                self.images
                    .iter()
                    .for_each(|image| say(format!("image {image}")));
                say("images-listed".into());
            }
            "probe_pods" => {
                arguments.iter().for_each(|pod| say(format!("pod {pod}")));
                say("pods-listed".into());
            }
            "probe_endpoint" if is_member => say("endpoint curl 0 200".into()),
            "probe_endpoint" => say("endpoint connect 1".into()),
            "probe_kubernetes" if is_member => kubernetes(number, cluster, &mut say),
            _ => {}
        }
    }

    fn look(&self, path: &str, say: &mut impl FnMut(String)) {
        let bits = |mode: &str| u32::from_str_radix(mode, 8).unwrap_or(0o644);
        match self.files.get(path) {
            Some(Entry::File { length, mode, .. }) => {
                say(format!(
                    "stat {:x} {length} root root 0 0 {path}",
                    0o100_000 | bits(mode)
                ));
            }
            Some(Entry::Directory { mode }) => {
                say(format!(
                    "stat {:x} 0 root root 0 0 {path}",
                    0o040_000 | bits(mode)
                ));
            }
            Some(Entry::Link { target }) => {
                say(format!("stat {:x} 0 root root 0 0 {path}", 0o120_777));
                say(format!("link {path} {}", BASE64.encode(target)));
            }
            None => {}
        }
    }
}

/// A member of the cluster, as its own files and its API server tell.
fn kubernetes(number: usize, cluster: &Cluster, say: &mut impl FnMut(String)) {
    let (name, address) = &cluster.nodes[number];
    say(format!(
        "kubernetes ca {}  -",
        Sha256::of("the cluster's CA")
    ));
    say("kubernetes trace /etc/kubernetes/kubelet.conf".into());
    say("kubernetes trace /var/lib/kubelet/config.yaml".into());
    say(format!("kubernetes server https://{}", cluster.endpoint));
    say(format!("kubernetes node {name}"));
    let is_control_plane = number < cluster.control_planes;
    let act = match number {
        0 => "init",
        _ if is_control_plane => "join",
        _ => "join-worker",
    };
    say(format!(
        "kubernetes marker {act} 0123456789abcdef config done"
    ));
    say(format!(
        "kubernetes kubelet-flags KUBELET_KUBEADM_ARGS=\"--node-ip={address} --hostname-override={name}\""
    ));
    say(format!(
        "kubernetes kubelet-config {}",
        BASE64.encode(kubelet())
    ));
    if !is_control_plane {
        return;
    }
    say("kubernetes trace /etc/kubernetes/admin.conf".into());
    say("kubernetes trace /var/lib/etcd/member".into());
    for part in [
        "kube-apiserver",
        "etcd",
        "kube-controller-manager",
        "kube-scheduler",
    ] {
        say(format!(
            "kubernetes trace /etc/kubernetes/manifests/{part}.yaml"
        ));
    }
    say("kubernetes process kube-controller-manager".into());
    say("kubernetes process kube-scheduler".into());
    say("kubernetes port 6443".into());
    let is_ok = |what: &str| format!("http {what} 200");
    say(is_ok("livez"));
    say(is_ok("readyz"));
    let row = |(n, (name, _)): (usize, &(String, String))| {
        let role = if n < cluster.control_planes {
            "control-plane"
        } else {
            "<none>"
        };
        format!(
            r#"{{"cells":["{name}","Ready","{role}","30d","v{}"]}}"#,
            cluster.version
        )
    };
    let rows: Vec<String> = cluster.nodes.iter().enumerate().map(row).collect();
    let columns =
        r#"[{"name":"Name"},{"name":"Status"},{"name":"Roles"},{"name":"Age"},{"name":"Version"}]"#;
    say(format!(
        r#"body {{"columnDefinitions":{columns},"rows":[{}]}}"#,
        rows.join(",")
    ));
    say(is_ok("nodes"));
    let text = serde_json::json!({"data": {"ClusterConfiguration": configuration(cluster)}});
    say(format!("body {text}"));
    say(is_ok("kubeadm-config"));
    let member = |(n, (name, address)): (usize, &(String, String))| {
        format!(
            r#"{{"ID":"{}","name":"{name}","peerURLs":["https://{address}:2380"]}}"#,
            n + 1
        )
    };
    let members = cluster.nodes[..cluster.control_planes]
        .iter()
        .enumerate()
        .map(member);
    let members: Vec<String> = members.collect();
    say(format!(r#"body {{"members":[{}]}}"#, members.join(",")));
    say(is_ok("members"));
}

/// Returns the ClusterConfiguration as kubeadm keeps it for this cluster.
fn configuration(cluster: &Cluster) -> String {
    let (name, _) = cluster.endpoint.split_once(':').unwrap_or_default();
    let mut text = CLUSTER
        .replace("vip.mycluster.local", name)
        .replace("10.77.0.100", &cluster.vip);
    for (n, (_, address)) in cluster.nodes[..cluster.control_planes].iter().enumerate() {
        text = text.replace(&format!("10.77.0.1{}\n", n + 1), &format!("{address}\n"));
    }
    text
}

/// Returns /var/lib/kubelet/config.yaml: the fixture without what the lab's inventory asks for.
fn kubelet() -> String {
    let of_the_lab = [
        "fail",
        "imageGCHigh",
        "featureGates",
        "  Kubelet",
        "evictionHard",
    ];
    let thresholds = ["  imagefs", "  memory", "  nodefs"];
    let kept = |line: &&str| {
        !of_the_lab
            .iter()
            .chain(&thresholds)
            .any(|head| line.starts_with(head))
    };
    let lines: Vec<&str> = KUBELET.lines().filter(kept).collect();
    let text = lines.join("\n").replace("cgroupfs", "systemd");
    text.replace(
        "containerRuntimeEndpoint: \"\"",
        "containerRuntimeEndpoint: unix:///run/containerd/containerd.sock",
    )
}
