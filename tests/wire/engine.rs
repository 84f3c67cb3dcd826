//! The engine over hosts that answer by a closure: what is sent, what is made of the answers, and how a run ends. Here are the
//! hosts and the run; each story is beside its like.

#[path = "engine/answers.rs"]
mod answers;
#[path = "engine/batches.rs"]
mod batches;
#[path = "engine/bootstrap.rs"]
mod bootstrap;
#[path = "engine/interrupted.rs"]
mod interrupted;
#[path = "engine/manifests.rs"]
mod manifests;
#[path = "engine/moving.rs"]
pub(crate) mod moving;
#[path = "engine/plans.rs"]
mod plans;
#[path = "engine/preflight.rs"]
mod preflight;
#[path = "engine/rescue.rs"]
mod rescue;
#[path = "engine/starting.rs"]
mod starting;
#[path = "engine/wanted.rs"]
mod wanted;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use indexmap::IndexMap;
use quorate::cluster::Shape;
use quorate::cluster::act::Manifest;
use quorate::engine::{self, Cancel, Patience, Settings};
use quorate::event::{Event, ExitCode, PlanFile, Recap};
use quorate::host::Kind;
use quorate::model::{Endpoint, HostName, Sha256};
use quorate::plan::{OnFailure, Pace};
use quorate::transport::fake::{Call, FakeConnector, Reply};
use quorate::transport::{
    Access, Connect, Counters, CountingConnector, Elevation, ReadOnlyConnector, Tally, Target,
    TransportError,
};
use tokio::sync::mpsc;

use crate::help::told;
pub(crate) use wanted::Wanted;

const FILE: &str = "/etc/example";
/// What the load balancer is told on members alone, once a kubeconfig was signed for it.
const MEMBER: &str = "/etc/of-a-member";
/// How a wave writes it; that it is asked for proves nothing.
const TELLING: &str = "put /etc/of-a-member";
const SIGNING: &str = "sign-a-kubeconfig";
pub(crate) const WRITING: &str = "put /etc/example";
const VIP: &str = "10.0.0.100";
/// A manifest of the inventory.
const ADDON: &str = "net.yml";
/// Lies where the old load balancer is, and where all is ready for the new one.
const OLD: &str = "/etc/of-the-old-way";
const READY: &str = "/etc/ready";
const RELEASING: &str = "release-the-old-way";
const SWITCHING: &str = "switch-to-the-new-way";
/// The host that cannot be as it is wanted.
const UNFIT: &str = "unfit";
const TOKEN: &str = "the-secret-of-the-documents";

pub(crate) fn name(text: &str) -> HostName {
    HostName::new(text).unwrap()
}

/// What the hosts of a test are like; all of it shared by their connections.
#[derive(Default)]
pub(crate) struct Model {
    /// Hosts with the file.
    files: Vec<String>,
    markers: HashMap<String, String>,
    members: Vec<String>,
    /// Hosts with the other file, and with a kubeconfig for the load balancer.
    member_files: Vec<String>,
    signed: Vec<String>,
    /// Hosts with the old load balancer, those that are ready for the new one, and who holds the address.
    pub(super) old: Vec<String>,
    ready: Vec<String>,
    holder: Option<&'static str>,
    /// kubectl's exit status and words about each manifest, and what applying them makes of the status.
    addon: Option<(u8, &'static str, u8)>,
    /// Hosts that were asked something, for [`Model::asked`].
    seen: Vec<String>,
    /// What is otherwise on a host than the rest says.
    pub(crate) bent: Option<fn(&str, &mut Vec<String>)>,
}

impl Model {
    /// The lines of a probe's answer.
    pub(crate) fn facts(&self, host: &str) -> Vec<String> {
        let mut lines = self.as_told(host);
        if let Some(bend) = self.bent {
            bend(host, &mut lines);
        }
        lines
    }

    fn as_told(&self, host: &str) -> Vec<String> {
        let mut lines = vec!["system os debian||13".to_string()];
        if self.files.iter().any(|h| h == host) {
            lines.push(format!("stat 81a4 4 root root 0 0 {FILE}"));
        }
        if self.member_files.iter().any(|h| h == host) {
            lines.push(format!("stat 81a4 4 root root 0 0 {MEMBER}"));
        }
        if self.old.iter().any(|h| h == host) {
            lines.push(format!("stat 81a4 4 root root 0 0 {OLD}"));
        }
        if self.ready.iter().any(|h| h == host) {
            lines.push(format!("stat 81a4 4 root root 0 0 {READY}"));
        }
        if self.holder == Some(host) {
            lines.push(format!("address eth0 {VIP}/32"));
        }
        if self.signed.iter().any(|h| h == host) {
            lines.push("kubernetes kubeconfig - -".into());
        }
        if let Some(marker) = self.markers.get(host) {
            lines.push(format!("kubernetes marker {marker}"));
        }
        if !self.members.iter().any(|h| h == host) {
            return lines;
        }
        lines.push(format!("kubernetes ca {}  -", Sha256::of("ca")));
        lines.push("kubernetes trace /etc/kubernetes/kubelet.conf".into());
        if host.starts_with("cp") {
            for part in ["apiserver", "controller-manager", "scheduler"] {
                lines.push(format!(
                    "kubernetes trace /etc/kubernetes/manifests/kube-{part}.yaml"
                ));
            }
            lines.push("kubernetes trace /etc/kubernetes/manifests/etcd.yaml".into());
            lines.push("kubernetes process kube-controller-manager".into());
            lines.push("kubernetes process kube-scheduler".into());
            let body = |text: &str| format!("body {text}");
            let columns =
                r#"[{"name":"Name"},{"name":"Status"},{"name":"Roles"},{"name":"Version"}]"#;
            let row = |n: &String| {
                let role = if n.starts_with("cp") {
                    "control-plane"
                } else {
                    "<none>"
                };
                format!(r#"{{"cells":["{n}","NotReady","{role}","v1.36.3"]}}"#)
            };
            let rows: Vec<String> = self.members.iter().map(row).collect();
            let member = |n: &&String| {
                format!(r#"{{"name":"{n}","peerURLs":["https://{n}.example:2380"]}}"#)
            };
            let members: Vec<String> = self
                .members
                .iter()
                .filter(|n| n.starts_with("cp"))
                .map(|n| member(&n))
                .collect();
            lines.extend([
                "http livez 200".to_string(),
                "http readyz 200".into(),
                body(&format!(r#"{{"columnDefinitions":{columns},"rows":[{}]}}"#, rows.join(","))),
                "http nodes 200".into(),
                body(r#"{"data":{"ClusterConfiguration":"controlPlaneEndpoint: vip.example:8443\nkubernetesVersion: v1.36.3\n"}}"#),
                "http kubeadm-config 200".into(),
                body(&format!(r#"{{"members":[{}]}}"#, members.join(","))),
                "http members 200".into(),
            ]);
        }
        lines
    }
}

impl Model {
    /// Makes a host as it was before it joined.
    pub(crate) fn forget(&mut self, host: &str) {
        self.members.retain(|h| h != host);
        self.markers.remove(host);
    }

    /// Makes a host a worker of the cluster.
    pub(crate) fn rejoin(&mut self, host: &str) {
        self.members.push(host.into());
        self.markers
            .insert(host.into(), "join-worker old config done".into());
    }

    /// Takes a host's file away.
    pub(crate) fn forget_file(&mut self, host: &str) {
        self.files.retain(|h| h != host);
    }

    /// Returns whether this is the host's first request.
    pub(crate) fn asked(&mut self, call: &Call) -> bool {
        let first = !self.seen.contains(&call.host);
        self.seen.push(call.host.clone());
        first
    }
}

/// The word that marks an exec's records.
fn nonce(call: &Call) -> String {
    let text = String::from_utf8_lossy(&call.stdin);
    let line = text
        .lines()
        .find_map(|l| l.strip_prefix("nonce="))
        .unwrap_or_default();
    line.trim_matches('\'').to_string()
}

pub(crate) fn framed(call: &Call, lines: impl IntoIterator<Item = String>) -> String {
    let nonce = nonce(call);
    lines
        .into_iter()
        .map(|line| format!("{nonce} {line}\n"))
        .collect()
}

/// The numbers of a wave's steps, and whether their output comes back.
pub(crate) fn steps(call: &Call) -> Vec<(u32, bool)> {
    let text = String::from_utf8_lossy(&call.stdin).into_owned();
    let mut all = Vec::new();
    for line in text.lines().filter_map(|l| l.strip_prefix("run_step ")) {
        let mut words = line.split(' ');
        if let Some(id) = words.next().and_then(|id| id.parse().ok()) {
            all.push((id, words.next() == Some("capture")));
        }
    }
    all
}

/// How a host that does what it is told answers.
pub(crate) fn obey(model: &Mutex<Model>, call: &Call) -> Reply {
    let mut model = model.lock().unwrap();
    let script = String::from_utf8_lossy(&call.stdin).into_owned();
    let asks = script.contains(&format!(" {ADDON} '' "));
    let addon = |model: &Model| {
        let (status, said, _) = model.addon.filter(|_| asks)?;
        let (name, said) = (BASE64.encode(ADDON), BASE64.encode(said));
        Some(format!("addon {status} {name} {said}"))
    };
    match call.request.kind() {
        Kind::Probe => {
            let mut lines = model.facts(&call.host);
            lines.extend(addon(&model));
            lines.push("end".into());
            Reply::stdout(framed(call, lines))
        }
        Kind::Lock => Reply::stdout(framed(call, ["locked".into()])).until_eof(),
        Kind::Wave => {
            if script.contains(WRITING) {
                model.files.push(call.host.clone());
            }
            if script.contains(TELLING) {
                model.member_files.push(call.host.clone());
            }
            if script.contains(&format!("put {READY}")) {
                model.ready.push(call.host.clone());
            }
            if script.contains(RELEASING) || script.contains(SWITCHING) {
                model.old.retain(|h| *h != call.host);
                // The switch brings the new one up too.
                if script.contains(SWITCHING) {
                    model.files.push(call.host.clone());
                }
            }
            if script.contains(SIGNING) {
                model.signed.push(call.host.clone());
            }
            for (sign, marker) in [
                ("kubeadm init --config", "init"),
                ("kubeadm join --config", "join"),
            ] {
                if script.contains(sign) {
                    model.members.push(call.host.clone());
                    let marker = if call.host.starts_with('w') {
                        "join-worker"
                    } else {
                        marker
                    };
                    model
                        .markers
                        .insert(call.host.clone(), format!("{marker} {RUN} config done"));
                }
            }
            let mut lines = Vec::new();
            let output = BASE64.encode(format!("quorate: started by run {RUN}"));
            for (id, capture) in steps(call) {
                lines.push(format!("start {id}"));
                let output = if capture { output.as_str() } else { "" };
                lines.push(format!("done {id} changed 0 {output}"));
            }
            if let Some((status, _, then)) = &mut model.addon
                && script.contains("--field-manager=quorate -f \"$1\"")
            {
                *status = *then;
            }
            lines.extend(model.facts(&call.host));
            lines.extend(addon(&model));
            lines.push("finished".into());
            Reply::stdout(framed(call, lines))
        }
        Kind::Stop | Kind::Command => Reply::status(0),
    }
}

const RUN: &str = "0123456789abcdef";

pub(crate) struct Bench {
    pub(crate) model: Arc<Mutex<Model>>,
    hosts: Vec<HostName>,
    /// `--limit`, where it is not all of them.
    pub(crate) limit: Option<Vec<HostName>>,
    pub(crate) shape: Shape,
    pub(crate) disturbs: bool,
    waves: u32,
    signs: bool,
    moves: bool,
    catches: OnFailure,
    pub(crate) last: bool,
    pace: Option<Pace>,
    manifests: Vec<Manifest>,
    pub(crate) patience: Patience,
    cancelled: bool,
    /// Whether the user asks to stop when the first wave has begun.
    cancelled_in_wave: bool,
    read_only: bool,
    /// The plan that alone may be carried out.
    approved: Option<PlanFile>,
}

pub(crate) struct Outcome {
    pub(crate) events: Vec<Event>,
    pub(crate) recap: Recap,
    pub(crate) tally: Tally,
    calls: Vec<Call>,
}

impl Outcome {
    pub(crate) fn exit(&self) -> ExitCode {
        self.recap.exit()
    }

    pub(crate) fn count(&self, kind: Kind) -> usize {
        self.calls
            .iter()
            .filter(|c| c.request.kind() == kind)
            .count()
    }

    /// The hosts of the waves, in order.
    pub(crate) fn waves(&self) -> Vec<&str> {
        self.calls
            .iter()
            .filter(|c| c.request.kind() == Kind::Wave)
            .map(|c| c.host.as_str())
            .collect()
    }

    pub(crate) fn text(&self) -> String {
        self.events.iter().map(|e| format!("{e:?}\n")).collect()
    }
}

impl Bench {
    /// Hosts without a cluster to be.
    fn new(hosts: &[&str]) -> Self {
        Self {
            model: Arc::default(),
            hosts: hosts.iter().map(|n| name(n)).collect(),
            limit: None,
            shape: Shape {
                control_planes: Vec::new(),
                workers: Vec::new(),
                load_balancers: Vec::new(),
                vip_before_init: true,
                endpoint: Endpoint::new("vip.example", 8443).unwrap(),
                version: "1.36.3".into(),
                lasting: Default::default(),
            },
            disturbs: false,
            waves: 1,
            signs: false,
            moves: false,
            catches: OnFailure::Stop,
            last: false,
            pace: None,
            manifests: Vec::new(),
            patience: Patience::NONE,
            cancelled: false,
            cancelled_in_wave: false,
            read_only: false,
            approved: None,
        }
    }

    /// Hosts of a cluster, by their names.
    pub(crate) fn cluster(hosts: &[&str]) -> Self {
        let mut bench = Self::new(hosts);
        let of = |kind: &str| {
            hosts
                .iter()
                .filter(|h| h.starts_with(kind))
                .map(|h| name(h))
                .collect()
        };
        bench.shape.control_planes = of("cp");
        bench.shape.workers = of("w");
        bench
    }

    pub(crate) fn converged(self) -> Self {
        {
            let mut model = self.model.lock().unwrap();
            model.files = self.hosts.iter().map(ToString::to_string).collect();
            model.members = self.shape.nodes().map(ToString::to_string).collect();
            for host in self.shape.nodes() {
                let act = match host.as_str() {
                    "cp1" => "init",
                    other if other.starts_with('w') => "join-worker",
                    _ => "join",
                };
                model
                    .markers
                    .insert(host.to_string(), format!("{act} old config done"));
            }
        }
        self
    }

    pub(crate) async fn run(
        self,
        command: &str,
        answer: impl Fn(&Mutex<Model>, &Call) -> Reply + Send + Sync + 'static,
    ) -> Outcome {
        self.run_with(command, answer, |_| Ok(())).await
    }

    pub(crate) async fn run_with(
        self,
        command: &str,
        answer: impl Fn(&Mutex<Model>, &Call) -> Reply + Send + Sync + 'static,
        dial: impl Fn(&Target) -> Result<(), TransportError> + Send + Sync + 'static,
    ) -> Outcome {
        let model = self.model.clone();
        let (asked, cancel) = Cancel::new();
        if self.cancelled {
            asked.send(true).unwrap();
        }
        let in_wave = self.cancelled_in_wave;
        let fake = FakeConnector::new(move |call| {
            if in_wave && call.request.kind() == Kind::Wave {
                asked.send(true).unwrap();
            }
            answer(&model, call)
        })
        .with_dial(dial);
        let counters = Arc::new(Counters::default());
        let mut connect: Arc<dyn Connect> = Arc::new(CountingConnector::new(
            Arc::new(fake.clone()),
            counters.clone(),
        ));
        if self.read_only {
            connect = Arc::new(ReadOnlyConnector::new(connect));
        }
        let target = |host: &HostName| Target {
            name: host.clone(),
            address: host.to_string(),
            port: 22,
            user: "root".into(),
            keys: Vec::new(),
            elevation: Elevation::None,
            access: Access::default(),
            jumps: Vec::new(),
        };
        let targets: IndexMap<HostName, Target> =
            self.hosts.iter().map(|h| (h.clone(), target(h))).collect();
        let (events, receiver) = mpsc::channel(16);
        let settings = Settings {
            desired: Arc::new(Wanted {
                shape: self.shape,
                disturbs: self.disturbs,
                waves: self.waves,
                signs: self.signs,
                moves: self.moves,
                catches: self.catches,
                last: self.last,
                pace: self.pace,
                manifests: self.manifests,
                planned: Mutex::default(),
            }),
            connect,
            targets: Arc::new(targets),
            ours: Arc::new(self.limit.unwrap_or(self.hosts).into_iter().collect()),
            forks: 50,
            run: RUN.into(),
            command: command.into(),
            cluster: "kubernetes".into(),
            owner: "me@here".into(),
            break_lock: false,
            approved: self.approved.map(Arc::new),
            extra_vars: Vec::new(),
            patience: self.patience,
            events,
            cancel,
        };
        let work = async {
            match command {
                "plan" => engine::plan(&settings).await,
                "status" => engine::status(&settings).await,
                "exec" => engine::command(&settings, &["x".into()]).await,
                _ => engine::apply(&settings).await,
            }
            drop(settings);
        };
        let (events, records) = told(receiver, work).await;
        Outcome {
            recap: Recap::of(&records),
            events,
            tally: counters.tally(),
            calls: fake.calls(),
        }
    }
}

pub(crate) fn lost() -> TransportError {
    TransportError::Lost {
        address: "node:22".into(),
        reason: "reset".into(),
    }
}
