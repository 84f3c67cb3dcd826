//! The engine over hosts that answer by a closure: what is sent, what is made of the answers, and how a run ends.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use indexmap::IndexMap;
use quorate::cluster::act::Manifest;
use quorate::cluster::kubeadm::Credentials;
use quorate::cluster::load_balancer::Remains;
use quorate::cluster::preflight::{Finding, Level};
use quorate::cluster::spec::Way;
use quorate::cluster::{Moving, Shape};
use quorate::engine::{self, Cancel, Config, Desired, Patience, Seen, Settings};
use quorate::event::{
    Category, Event, ExitCode, PlanFile, PlanOrigin, Recap, Status, Trouble, planned_steps,
};
use quorate::host::{Content, Effect, Expect, Fact, Facts, Kind, Known, Observed, Run, WriteFile};
use quorate::model::{Endpoint, HostName, Mode, Secret, Sha256};
use quorate::plan::{Batch, Change, Diff, HostPlan, Note, OnFailure, Pace, Step};
use quorate::role::{Registered, StepResult};
use quorate::transport::fake::{Call, FakeConnector, Reply};
use quorate::transport::{
    Access, Connect, Counters, CountingConnector, Elevation, ReadOnlyConnector, Tally, Target,
    TransportError,
};
use tokio::sync::mpsc;

use crate::help::told;

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
const ADDON_DIFFERS: &str =
    "diff -u -N /t/v1.ConfigMap.x.y /t/v1.ConfigMap.x.y\n--- /t/a\tx\n+++ /t/b\tx\n-a\n+b\n";
/// Lies where the old load balancer is, and where all is ready for the new one.
const OLD: &str = "/etc/of-the-old-way";
const READY: &str = "/etc/ready";
const RELEASING: &str = "release-the-old-way";
const SWITCHING: &str = "switch-to-the-new-way";
/// The host that cannot be as it is wanted.
const UNFIT: &str = "unfit";
/// Hosts with which preflight finds something.
const FOUND: [(&str, Level); 4] = [
    ("w-doubtful", Level::Warning),
    ("w-small", Level::Fault),
    ("cp-small", Level::Fault),
    ("w-twin", Level::Unsafe),
];
const TOKEN: &str = "the-secret-of-the-documents";

pub(crate) fn name(text: &str) -> HostName {
    HostName::new(text).unwrap()
}

/// One file on each host; a cluster of the hosts in `shape`.
pub(crate) struct Wanted {
    pub(crate) shape: Shape,
    /// Hosts whose file disturbs the path to the API.
    pub(crate) disturbs: bool,
    /// How many waves a host needs.
    pub(crate) waves: u32,
    /// Whether control planes carry a load balancer with a kubeconfig of its own.
    pub(crate) signs: bool,
    /// Whether the load balancer is to be of another way than it was.
    pub(crate) moves: bool,
    /// What the failure of the one step leads to, where it is in a block.
    pub(crate) catches: OnFailure,
    /// Whether a play comes when all nodes are in the cluster.
    pub(crate) last: bool,
    /// How a play goes over the hosts that has the one step.
    pub(crate) pace: Option<Pace>,
    pub(crate) manifests: Vec<Manifest>,
    pub(crate) planned: Mutex<HashMap<HostName, u32>>,
}

fn signed(observed: &Observed) -> bool {
    let seen = observed.kubernetes.as_ref();
    seen.is_some_and(|k| k.kube_vip.is_some())
}

impl Desired for Wanted {
    fn shape(&self) -> &Shape {
        &self.shape
    }
    fn vip(&self) -> Option<std::net::IpAddr> {
        self.moves.then(|| VIP.parse().unwrap())
    }
    fn has_network(&self) -> bool {
        false
    }
    fn node(&self, host: &HostName) -> Option<(String, String, u16)> {
        self.shape
            .nodes()
            .any(|n| n == host)
            .then(|| (host.to_string(), format!("{host}.example"), 6443))
    }
    fn facts(&self, _: &HostName) -> Facts {
        let mut facts = Facts::from([Fact::File(FILE.into()), Fact::File(MEMBER.into())]);
        if self.moves {
            facts.insert(Fact::Path(OLD.into()));
            facts.insert(Fact::Path(READY.into()));
        }
        facts
    }
    fn moving(&self, _: &HostName, observed: &Observed) -> Option<Moving> {
        let old = match observed.file(OLD) {
            Known::Unknown if self.moves => return None,
            found => found.is(|state| state.is_some()),
        };
        Some(Moving {
            old: old.then(|| Remains {
                from: Some(Way::KeepalivedHaproxy),
                to: Way::KeepalivedHaproxyPods,
                manifests: Vec::new(),
                pods: Vec::new(),
                units: vec!["keepalived"],
                paths: Vec::new(),
            }),
            ..Moving::default()
        })
    }
    fn ready(&self, _: &HostName, observed: &Observed, _: &Registered) -> Result<HostPlan, String> {
        let there = observed.file(READY).is(|state| state.is_some());
        let step = Step::new("example : image", Category::Transfer, vec![write(READY)]);
        Ok(HostPlan {
            steps: (!there).then_some(step).into_iter().collect(),
            ..HostPlan::default()
        })
    }
    fn release(&self, _: &HostName, _: &Observed, bridged: bool) -> Result<HostPlan, String> {
        assert!(!bridged);
        Ok(told_as(RELEASING))
    }
    fn switch(&self, _: &HostName, _: &Observed, holds: bool) -> Result<HostPlan, String> {
        assert!(holds);
        Ok(told_as(SWITCHING))
    }
    fn preflight(&self, hosts: &[Seen<'_>]) -> Vec<Finding> {
        let finding = |seen: &Seen<'_>| {
            let (_, level) = FOUND.iter().find(|(host, _)| *host == seen.host.as_str())?;
            Some(Finding {
                host: seen.host.clone(),
                name: "Mem".into(),
                level: *level,
                message: "it is small".into(),
                cure: "make it larger".into(),
            })
        };
        hosts
            .iter()
            .filter(|seen| seen.ours)
            .filter_map(finding)
            .collect()
    }
    fn balancers(&self, host: &HostName) -> Vec<(&'static str, Fact)> {
        let carries = self.shape.load_balancers.contains(host);
        let part = ("haproxy", Fact::Unit("haproxy".into()));
        carries.then_some(part).into_iter().collect()
    }
    fn settled(&self, _: &HostName) -> Option<Step> {
        None
    }
    fn plan(
        &self,
        host: &HostName,
        observed: &Observed,
        registered: &Registered,
    ) -> Result<HostPlan, String> {
        if self.catches != OnFailure::Stop {
            return caught(self, registered);
        }
        if self.signs && signed(observed) && observed.file(MEMBER).is(Option::is_none) {
            let mut step = Step::new("example : member", Category::Own, vec![write(MEMBER)]);
            step.disturbs = true;
            return Ok(HostPlan {
                steps: vec![step],
                ..HostPlan::default()
            });
        }
        if self.last && registered.is_whole && observed.file(MEMBER).is(Option::is_none) {
            let step = Step::new("last : member", Category::Own, vec![write(MEMBER)]);
            return Ok(HostPlan {
                steps: vec![step],
                ..HostPlan::default()
            });
        }
        if host.as_str() == UNFIT {
            return Err("it has another address".into());
        }
        let there = matches!(observed.file(FILE), Known::Is(Some(_)));
        let mut planned = self.planned.lock().unwrap();
        let count = planned.entry(host.clone()).or_default();
        *count += 1;
        if there && (self.waves == 1 || *count == 1) {
            return Ok(HostPlan {
                ok: 3,
                skipped: 1,
                ..HostPlan::default()
            });
        }
        if self.waves != 1 && *count > self.waves {
            return Ok(HostPlan::default());
        }
        let mut step = Step::new(
            format!("example : file {count}"),
            Category::Own,
            vec![write(FILE)],
        );
        step.disturbs = self.disturbs;
        Ok(HostPlan {
            ok: 2,
            skipped: 1,
            steps: vec![step],
            more: self.waves > 1 && *count < self.waves,
            paces: self.pace.iter().cloned().collect(),
            ..HostPlan::default()
        })
    }
    fn credential_due(&self, host: &HostName, observed: &Observed) -> Option<String> {
        let kubernetes = observed.kubernetes.as_ref()?;
        let member = kubernetes.marker.as_ref().is_some_and(|m| m.done);
        let due = self.signs && host.as_str().starts_with("cp") && member && !signed(observed);
        due.then(|| "none yet".into())
    }
    fn sign(&self, _: &HostName) -> Result<HostPlan, String> {
        let run = Effect::Run(Run::new([SIGNING]));
        let change = Change::new(run, "none yet");
        Ok(HostPlan {
            steps: vec![Step::new("cluster : sign", Category::Own, vec![change])],
            ..HostPlan::default()
        })
    }
    fn differs_on_members(&self, host: &HostName) -> bool {
        self.last || (self.signs && self.shape.load_balancers.contains(host))
    }
    fn judge(
        &self,
        _: &HostName,
        _: &Observed,
        _: &Registered,
        _: &Step,
        _: &StepResult,
    ) -> Result<Status, String> {
        Ok(Status::Ok)
    }
    fn credentials(&self) -> Result<Credentials, String> {
        Credentials::generate().map_err(|error| error.to_string())
    }
    fn init(&self, _: &HostName, _: &Credentials) -> Result<Config, String> {
        Ok((Secret::new(TOKEN.into()), "config".into()))
    }
    fn join(&self, _: &HostName, _: &Credentials) -> Result<Config, String> {
        Ok((Secret::new(TOKEN.into()), "config".into()))
    }
    fn mint(&self, _: &HostName, _: &Credentials) -> Result<Secret<String>, String> {
        Ok(Secret::new(TOKEN.into()))
    }
    fn digest(&self, _: &HostName) -> String {
        "config".into()
    }
    fn manifests(&self) -> &[Manifest] {
        &self.manifests
    }
    fn keep_kubeconfig(&self, _: &str) -> Result<String, String> {
        Ok("kubeconfig".into())
    }
    fn has_kubeconfig(&self, _: Option<Sha256>) -> bool {
        true
    }
}

/// A step in a block, then what its failure leads to.
fn caught(wanted: &Wanted, registered: &Registered) -> Result<HostPlan, String> {
    let on_failure = wanted.catches;
    let status = |title: &str| registered.get(title).map(|(status, _)| *status);
    let step = |title: &str| Step::new(title, Category::Own, vec![write(FILE)]);
    let mut plan = HostPlan::default();
    match (status("example : try"), status("example : behind")) {
        (None, _) => {
            let mut step = step("example : try");
            step.on_failure = on_failure;
            step.disturbs = wanted.disturbs;
            plan.steps.push(step);
            plan.notes = vec![said("before it", 0), said("not reached", 1)];
        }
        (Some(Status::Failed), None) => {
            plan.steps.push(step("example : behind"));
            plan.notes = vec![said("behind it", 1)];
            plan.more = on_failure == OnFailure::Always;
        }
        (Some(Status::Failed), _) if on_failure == OnFailure::Always => {
            return Err("`example : try` failed".into());
        }
        _ => {}
    }
    Ok(plan)
}

/// What a task says behind so many steps.
fn said(text: &str, after: usize) -> Note {
    Note {
        title: format!("note {text}"),
        text: text.into(),
        after,
    }
}

/// A plan of one command.
fn told_as(word: &str) -> HostPlan {
    let change = Change::new(Effect::Run(Run::new([word])), "of a move");
    HostPlan {
        steps: vec![Step::new(
            format!("move : {word}"),
            Category::Own,
            vec![change],
        )],
        ..HostPlan::default()
    }
}

fn write(path: &str) -> Change {
    let write = Effect::WriteFile(WriteFile {
        path: path.into(),
        content: Content::inline("text"),
        mode: Mode::PUBLIC,
        owner: "root".into(),
        group: "root".into(),
        expect: Expect::Any,
        validate: None,
        backup: false,
        large: false,
    });
    Change {
        // As with `--diff`.
        diff: Some(Diff {
            name: path.into(),
            before: None,
            after: "text\n".into(),
        }),
        ..Change::new(write, "absent")
    }
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

#[tokio::test]
async fn nothing_to_change_costs_one_connection_and_one_exec_a_host() {
    let many: Vec<String> = (1..=200).map(|n| format!("node{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    for (hosts, command) in [
        (vec!["cp1", "cp2", "w1"], "apply"),
        (many.clone(), "apply"),
        (many, "plan"),
    ] {
        let n = hosts.len();
        let outcome = Bench::cluster(&hosts).converged().run(command, obey).await;
        assert_eq!(outcome.exit(), ExitCode::Done, "{}", outcome.text());
        assert_eq!(
            (outcome.tally.connections, outcome.tally.execs()),
            (n as u64, n as u64)
        );
        assert_eq!(outcome.tally.probes, n as u64);
        for recap in outcome.recap.hosts.values() {
            assert_eq!(
                (
                    recap.ok,
                    recap.skipped,
                    recap.changed,
                    recap.sessions,
                    recap.execs
                ),
                (3, 1, 0, 1, 1)
            );
        }
    }
}

#[tokio::test]
async fn a_cluster_is_made_of_bare_hosts_and_nothing_secret_is_said() {
    let hosts = ["cp1", "cp2", "cp3", "w1"];
    let outcome = Bench::cluster(&hosts).run("apply", obey).await;
    assert_eq!(outcome.exit(), ExitCode::Done, "{}", outcome.text());
    let titles: Vec<(String, String)> = outcome
        .events
        .iter()
        .filter_map(|e| match e {
            Event::StepFinished { host, title, .. }
                if title.contains("kubeadm init") || title.contains("kubeadm join") =>
            {
                Some((host.to_string(), title.clone()))
            }
            _ => None,
        })
        .collect();
    assert_eq!(titles[0], ("cp1".into(), "cluster : kubeadm init".into()));
    assert_eq!(titles.len(), 4, "{titles:?}");
    let place = |host: &str| titles.iter().position(|(h, _)| h == host).unwrap();
    assert!(place("cp2") < place("cp3"));
    // Every host was seen after its lock was taken: no second look.
    assert_eq!(outcome.count(Kind::Probe), 4);
    assert_eq!(outcome.count(Kind::Lock), 4);
    assert!(!outcome.text().contains(TOKEN));
    assert!(
        outcome
            .calls
            .iter()
            .all(|c| !c.request.command().contains(TOKEN))
    );
    // The acts in their order, each once, before what is done in them.
    let acts: Vec<&str> = outcome
        .events
        .iter()
        .filter_map(|e| match e {
            Event::ActStarted { act, .. } => Some(act.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(acts, ["probe", "prepare", "init", "join", "verify"]);
    assert!(matches!(outcome.events[0], Event::RunStarted { .. }));
    assert!(matches!(
        outcome.events.last(),
        Some(Event::HostFinished { .. })
    ));
}

/// A load balancer with a kubeconfig of its own: signed on each control plane once it is a member, then told to the load
/// balancer, behind its gate, before the next one joins over it.
#[tokio::test]
async fn a_kubeconfig_is_signed_on_members_before_the_next_one_joins() {
    let cluster = || {
        let mut bench = Bench::cluster(&["cp1", "cp2", "cp3", "w1"]);
        bench.signs = true;
        bench.shape.load_balancers = bench.shape.control_planes.clone();
        bench.shape.vip_before_init = false;
        bench
    };
    let bench = cluster();
    let model = bench.model.clone();
    let outcome = bench.run("apply", obey).await;
    assert_eq!(outcome.exit(), ExitCode::Done, "{}", outcome.text());
    let mut story = Vec::new();
    for call in outcome
        .calls
        .iter()
        .filter(|c| c.request.kind() == Kind::Wave)
    {
        let script = String::from_utf8_lossy(&call.stdin).into_owned();
        let gate = "https://vip.example:8443/healthz";
        for (sign, what) in [
            ("kubeadm init --config", "init"),
            ("kubeadm join --config", "join"),
            (SIGNING, "sign"),
            (TELLING, "tell"),
        ] {
            if script.contains(sign) && call.host != "w1" {
                story.push(format!("{} {what}", call.host));
            }
            assert!(what != "tell" || !script.contains(sign) || script.contains(gate));
        }
    }
    assert_eq!(
        story,
        [
            "cp1 init", "cp1 sign", "cp1 tell", "cp2 join", "cp2 sign", "cp2 tell", "cp3 join",
            "cp3 sign", "cp3 tell"
        ]
    );
    // Again: one exec a host, and nothing to do.
    let mut again = cluster();
    again.model = model.clone();
    let outcome = again.run("apply", obey).await;
    assert_eq!(outcome.exit(), ExitCode::Done, "{}", outcome.text());
    assert_eq!(outcome.tally.execs(), 4);
    // Lost on one host of a live cluster: foretold, signed again, and nothing else.
    model.lock().unwrap().signed.retain(|h| h != "cp2");
    let mut plan = cluster();
    plan.model = model.clone();
    plan.read_only = true;
    let outcome = plan.run("plan", obey).await;
    assert_eq!(outcome.exit(), ExitCode::Changes, "{}", outcome.text());
    assert!(
        outcome
            .text()
            .contains("sign a kubeconfig for the load balancer")
    );
    let mut apply = cluster();
    apply.model = model;
    let outcome = apply.run("apply", obey).await;
    assert_eq!(outcome.exit(), ExitCode::Done, "{}", outcome.text());
    assert!(outcome.waves().iter().filter(|h| **h == "cp2").count() >= 1);
    let signed = |c: &&Call| String::from_utf8_lossy(&c.stdin).contains(SIGNING);
    let hosts: Vec<&str> = outcome
        .calls
        .iter()
        .filter(signed)
        .map(|c| c.host.as_str())
        .collect();
    assert_eq!(hosts, ["cp2"]);
}

/// A certificate that is due again as soon as it was signed: told, and not signed for ever.
#[tokio::test]
async fn a_kubeconfig_that_stays_due_fails_its_host() {
    let mut bench = Bench::cluster(&["cp1"]).converged();
    bench.signs = true;
    let outcome = bench
        .run("apply", |model, call| {
            let reply = obey(model, call);
            model.lock().unwrap().signed.clear();
            if call.request.kind() != Kind::Wave {
                return reply;
            }
            let mut lines: Vec<String> = steps(call)
                .iter()
                .flat_map(|(id, _)| [format!("start {id}"), format!("done {id} changed 0")])
                .collect();
            lines.extend(model.lock().unwrap().facts(&call.host));
            lines.push("finished".into());
            Reply::stdout(framed(call, lines))
        })
        .await;
    assert_eq!(outcome.exit(), ExitCode::Failed, "{}", outcome.text());
    let text = outcome.text();
    assert!(
        text.contains("a kubeconfig was signed, and yet: none yet"),
        "{text}"
    );
    let signings = |c: &&Call| String::from_utf8_lossy(&c.stdin).contains(SIGNING);
    assert_eq!(outcome.calls.iter().filter(signings).count(), 1);
}

#[tokio::test]
async fn an_attached_init_brings_no_token_of_ours() {
    let bench = Bench::cluster(&["cp1", "cp2"]);
    let outcome = bench
        .run("apply", |model, call| {
            let reply = obey(model, call);
            let script = String::from_utf8_lossy(&call.stdin).into_owned();
            if call.request.kind() == Kind::Wave && script.contains("kubeadm init --config") {
                let output = BASE64.encode("quorate: started by run ffffffffffffffff");
                let mut lines: Vec<String> = steps(call)
                    .iter()
                    .flat_map(|(id, _)| [format!("start {id}"), format!("done {id} ok 0 {output}")])
                    .collect();
                lines.extend(model.lock().unwrap().facts(&call.host));
                lines.push("finished".into());
                return Reply::stdout(framed(call, lines));
            }
            reply
        })
        .await;
    assert_eq!(outcome.exit(), ExitCode::Done, "{}", outcome.text());
    assert!(
        outcome.text().contains("token and certificate key"),
        "{}",
        outcome.text()
    );
}

#[tokio::test]
async fn a_plan_sends_probes_only_and_lists_init_and_joins() {
    let mut bench = Bench::cluster(&["cp1", "cp2", "w1"]);
    bench.read_only = true;
    let outcome = bench.run("plan", obey).await;
    assert_eq!(outcome.exit(), ExitCode::Changes);
    assert_eq!(outcome.calls.len(), outcome.count(Kind::Probe));
    let planned: Vec<String> = outcome
        .events
        .iter()
        .filter_map(|e| match e {
            Event::Planned {
                host,
                changes,
                title,
                ..
            } if title == "cluster" => Some(format!("{host}: {}", changes[0].what)),
            _ => None,
        })
        .collect();
    assert_eq!(
        planned,
        [
            "cp1: kubeadm init",
            "cp2: kubeadm join --control-plane",
            "w1: kubeadm join"
        ]
    );
}

/// A cluster whose API is down everywhere is none that is as written, whatever its hosts' files say.
/// Returns the plan of a run as the file that `apply FILE` takes.
fn as_file(outcome: &Outcome, bench: &Bench) -> PlanFile {
    PlanFile {
        run: RUN.into(),
        at: jiff::Timestamp::UNIX_EPOCH,
        version: "0.1.0".into(),
        origin: PlanOrigin {
            shard: None,
            cluster: "kubernetes".into(),
            endpoint: bench.shape.endpoint.to_string(),
            inventory: bench.hosts.clone(),
            limit: None,
            tags: Vec::new(),
            skip_tags: Vec::new(),
            extra_vars: Vec::new(),
        },
        hosts: planned_steps(&outcome.events),
    }
}

#[tokio::test]
async fn a_plan_that_was_agreed_to_is_carried_out_while_all_is_as_it_was_seen() {
    let bench = || {
        let bench = Bench::cluster(&["cp1", "cp2", "w1"]).converged();
        bench.model.lock().unwrap().forget_file("w1");
        bench
    };
    let plan = bench().run("plan", obey).await;
    assert_eq!(plan.exit(), ExitCode::Changes, "{}", plan.text());
    let file = as_file(&plan, &bench());
    assert_eq!(file.hosts.values().map(Vec::len).sum::<usize>(), 1);

    let mut same = bench();
    same.approved = Some(file.clone());
    let outcome = same.run("apply", obey).await;
    assert_eq!(outcome.exit(), ExitCode::Done, "{}", outcome.text());
    assert_eq!(outcome.waves()[0], "w1");
    // With `--diff` the difference is told before the wave is sent.
    let place = |wanted: &dyn Fn(&Event) -> bool| outcome.events.iter().position(wanted).unwrap();
    let told = place(&|e| matches!(e, Event::Planned { changes, .. } if changes[0].diff.is_some()));
    let sent = place(
        &|e| matches!(e, Event::ExecStarted { kind, .. } if *kind == quorate::event::ExecKind::Wave),
    );
    assert!(told < sent, "{}", outcome.text());

    // Another host is not as it was: nothing at all is done, not even what still holds.
    let mut other = bench();
    other.model.lock().unwrap().forget_file("cp2");
    other.approved = Some(file.clone());
    let outcome = other.run("apply", obey).await;
    assert_eq!(outcome.exit(), ExitCode::Refused, "{}", outcome.text());
    assert!(
        outcome
            .text()
            .contains("cp2: `example : file 1` is not in the plan")
    );
    assert_eq!(
        (outcome.count(Kind::Wave), outcome.count(Kind::Lock)),
        (0, 0)
    );

    // Other variables may be why.
    let mut otherwise = bench();
    otherwise.model.lock().unwrap().forget_file("cp2");
    let mut with = file.clone();
    with.origin.extra_vars = vec!["word".into()];
    otherwise.approved = Some(with);
    let outcome = otherwise.run("apply", obey).await;
    assert_eq!(outcome.exit(), ExitCode::Refused, "{}", outcome.text());
    let hint = "the plan was made with `-e` of word, which this run lacks: say the same; or make a new plan";
    assert!(outcome.text().contains(hint), "{}", outcome.text());

    // Somebody has done it already.
    let mut done = Bench::cluster(&["cp1", "cp2", "w1"]).converged();
    done.approved = Some(file.clone());
    let outcome = done.run("apply", obey).await;
    assert_eq!(outcome.exit(), ExitCode::Refused, "{}", outcome.text());
    assert!(outcome.text().contains("has nothing to do any more"));

    // Who cannot be read may be anything by now.
    let mut gone = bench();
    gone.approved = Some(file);
    let outcome = gone
        .run_with("apply", obey, |target| match target.name.as_str() {
            "w1" => Err(lost()),
            _ => Ok(()),
        })
        .await;
    assert_eq!(outcome.exit(), ExitCode::Refused, "{}", outcome.text());
    assert_eq!(outcome.count(Kind::Wave), 0);
}

/// Init and joins belong to a plan too, and a host that could not be read makes the plan's exit code 3.
#[tokio::test]
async fn a_plan_on_bare_hosts_is_carried_out_as_a_whole() {
    let hosts = ["cp1", "cp2", "w1"];
    let plan = Bench::cluster(&hosts).run("plan", obey).await;
    let mut bench = Bench::cluster(&hosts);
    bench.approved = Some(as_file(&plan, &bench));
    let outcome = bench.run("apply", obey).await;
    assert_eq!(outcome.exit(), ExitCode::Done, "{}", outcome.text());

    // What init brings is a part of what was agreed to.
    let mut other = Bench::cluster(&hosts);
    other.manifests = vec![Manifest {
        name: "other.yaml".into(),
        text: Some("kind: ConfigMap\n".into()),
    }];
    other.approved = Some(as_file(&plan, &other));
    let outcome = other.run("apply", obey).await;
    assert_eq!(outcome.exit(), ExitCode::Refused, "{}", outcome.text());
    assert_eq!(outcome.count(Kind::Wave), 0);

    let unreached = Bench::cluster(&hosts)
        .converged()
        .run_with("plan", obey, |target| match target.name.as_str() {
            "w1" => Err(lost()),
            _ => Ok(()),
        })
        .await;
    assert_eq!(
        unreached.exit(),
        ExitCode::Unreachable,
        "{}",
        unreached.text()
    );
}

#[tokio::test]
async fn a_plan_fails_where_apply_would() {
    for command in ["plan", "apply"] {
        let mut bench = Bench::cluster(&["cp1", "w1"]);
        bench.waves = 0;
        let outcome = bench
            .run(command, |model, call| {
                let done = "init other config done".into();
                model.lock().unwrap().markers.insert("cp1".into(), done);
                obey(model, call)
            })
            .await;
        assert_eq!(outcome.exit(), ExitCode::Failed, "{}", outcome.text());
        let said = "cp1 belong to a cluster, but no API server answers";
        assert!(outcome.text().contains(said), "{}", outcome.text());
    }
}

#[tokio::test]
async fn a_failing_step_stops_its_host_alone() {
    let outcome = Bench::new(&["a", "b"])
        .run("apply", |model, call| match call.request.kind() {
            Kind::Wave if call.host == "a" => {
                let output = BASE64.encode("No space left on device");
                Reply::stdout(framed(
                    call,
                    ["start 0".into(), format!("done 0 failed 1 {output}")],
                ))
            }
            _ => obey(model, call),
        })
        .await;
    assert_eq!(outcome.exit(), ExitCode::Failed);
    let failure = &outcome.recap.failures[0];
    assert_eq!(failure.title, "example : file 1");
    assert_eq!(failure.detail, ["No space left on device"]);
    assert_eq!(
        failure.help.as_deref(),
        Some("free space on the host and run again; the old file is as it was")
    );
    let b = &outcome.recap.hosts[&name("b")];
    assert_eq!((b.changed, b.failed, b.ok), (1, 0, 2));
}

/// The host's first wave ends behind a step that failed, with its facts, as the script does it.
fn fails_once(model: &Mutex<Model>, call: &Call) -> Reply {
    let first = call.request.kind() == Kind::Wave
        && String::from_utf8_lossy(&call.stdin).contains("run_step 0 plain caught");
    if !first {
        return obey(model, call);
    }
    let failed = format!("done 0 failed 3 {}", BASE64.encode("it is refused"));
    let mut lines = vec!["start 0".to_string(), failed];
    lines.extend(model.lock().unwrap().facts(&call.host));
    lines.push("finished".into());
    Reply::stdout(framed(call, lines))
}

#[tokio::test]
async fn a_failure_that_is_rescued_is_a_wave_more_and_no_failed_host() {
    let mut bench = Bench::new(&["a"]);
    bench.catches = OnFailure::Rescue;
    let outcome = bench.run("apply", fails_once).await;
    assert_eq!(outcome.exit(), ExitCode::Done, "{}", outcome.text());
    assert_eq!(outcome.waves(), ["a", "a"]);
    let a = &outcome.recap.hosts[&name("a")];
    // The rescue alone has changed something.
    assert_eq!((a.changed, a.failed, a.rescued), (1, 0, 1));
    let recap = quorate::report::render_recap(&outcome.recap, None, false);
    assert!(recap.contains("failed=0 skipped=0 rescued=1"), "{recap}");
    assert_eq!(outcome.recap.warnings, 1);
    let notes = outcome.text();
    assert!(notes.contains("note before it: before it"), "{notes}");
    assert!(notes.contains("note behind it: behind it"), "{notes}");
    assert!(!notes.contains("not reached"), "{notes}");
    let warned = "`example : try` failed, its block's `rescue` follows: it is refused";
    assert!(outcome.text().contains(warned), "{}", outcome.text());
}

#[tokio::test]
async fn what_a_failure_left_out_is_waited_for_behind_the_rescue() {
    let mut bench = Bench::cluster(&["cp1", "cp2"]).converged();
    bench.catches = OnFailure::Rescue;
    bench.disturbs = true;
    let outcome = bench.run("apply", fails_once).await;
    assert_eq!(outcome.exit(), ExitCode::Done, "{}", outcome.text());
    // One after the other, each with its rescue; the run's last act is a wave as well.
    let script = |c: &Call| String::from_utf8_lossy(&c.stdin).into_owned();
    let waves = outcome.calls.iter();
    let own: Vec<&Call> = waves
        .filter(|c| c.request.kind() == Kind::Wave && script(c).contains(WRITING))
        .collect();
    let hosts: Vec<&str> = own.iter().map(|c| c.host.as_str()).collect();
    assert_eq!(hosts, ["cp1", "cp1", "cp2", "cp2"]);
    for wave in own {
        let gate = "https://vip.example:8443/healthz";
        assert!(script(wave).contains(gate), "{}", wave.host);
    }
}

#[tokio::test]
async fn a_failure_that_nothing_rescues_is_cleaned_behind_and_fails_its_host() {
    let mut bench = Bench::new(&["a"]);
    bench.catches = OnFailure::Always;
    let outcome = bench.run("apply", fails_once).await;
    assert_eq!(outcome.exit(), ExitCode::Failed, "{}", outcome.text());
    assert_eq!(outcome.waves(), ["a", "a"]);
    assert_eq!(outcome.recap.failures[0].title, "example : try");
    let a = &outcome.recap.hosts[&name("a")];
    assert_eq!((a.changed, a.failed), (1, 1));
}

#[tokio::test]
async fn a_lost_connection_is_looked_at_again_before_anything_is_sent() {
    let lost_once = AtomicU32::new(0);
    let held = AtomicU32::new(0);
    let outcome = Bench::new(&["a"])
        .run("apply", move |model, call| match call.request.kind() {
            Kind::Wave if lost_once.fetch_add(1, Ordering::Relaxed) == 0 => {
                Reply::error(lost()).and_stdout(framed(call, ["start 0".into()]))
            }
            // The old connection's lock is still there for a while.
            Kind::Lock if (1..2).contains(&held.fetch_add(1, Ordering::Relaxed)) => {
                Reply::stdout(framed(call, ["held me@here".into()]))
            }
            _ => obey(model, call),
        })
        .await;
    assert_eq!(outcome.exit(), ExitCode::Done, "{}", outcome.text());
    let kinds: Vec<Kind> = outcome.calls.iter().map(|c| c.request.kind()).collect();
    let lock = Kind::Lock;
    assert_eq!(
        kinds,
        [
            Kind::Probe,
            lock,
            Kind::Wave,
            lock,
            lock,
            Kind::Probe,
            Kind::Wave
        ]
    );
    assert_eq!(outcome.tally.connections, 2);
}

#[tokio::test]
async fn a_connection_that_is_lost_for_ever_is_told_as_unreachable() {
    let dials = AtomicU32::new(0);
    let outcome = Bench::new(&["a", "b"])
        .run_with(
            "apply",
            |model, call| match call.request.kind() {
                Kind::Wave if call.host == "a" => Reply::error(lost()).taking(10),
                _ => obey(model, call),
            },
            move |target| {
                if target.name.as_str() == "a" && dials.fetch_add(1, Ordering::Relaxed) > 0 {
                    return Err(TransportError::Unreachable {
                        address: "a:22".into(),
                        reason: "down".into(),
                        help: String::new(),
                    });
                }
                Ok(())
            },
        )
        .await;
    assert_eq!(outcome.exit(), ExitCode::Unreachable, "{}", outcome.text());
    assert_eq!(outcome.recap.hosts[&name("b")].changed, 1);
    // What it did not take was not sent.
    let of_a = outcome.calls.iter().filter(|call| call.host == "a");
    let sent: u64 = of_a
        .map(|call| match call.request.kind() {
            Kind::Wave => 10,
            _ => call.request.length(),
        })
        .sum();
    assert_eq!(outcome.recap.hosts[&name("a")].bytes, sent);
}

#[tokio::test]
async fn facts_that_cannot_be_read_are_asked_again() {
    let waves = AtomicU32::new(0);
    let outcome = Bench::cluster(&["cp1"])
        .run("apply", move |model, call| {
            let reply = obey(model, call);
            let init = String::from_utf8_lossy(&call.stdin).contains("kubeadm init --config");
            if call.request.kind() == Kind::Wave
                && init
                && waves.fetch_add(1, Ordering::Relaxed) == 0
            {
                let output = BASE64.encode(format!("quorate: started by run {RUN}"));
                let mut lines: Vec<String> = steps(call)
                    .iter()
                    .flat_map(|(id, _)| [format!("start {id}"), format!("done {id} ok 0 {output}")])
                    .collect();
                lines.extend(["kubernetes nonsense".into(), "finished".into()]);
                return Reply::stdout(framed(call, lines));
            }
            reply
        })
        .await;
    assert_eq!(outcome.exit(), ExitCode::Done, "{}", outcome.text());
    assert!(
        outcome
            .text()
            .contains("its last facts could not be read; looking at the host again")
    );
    let inits = outcome
        .calls
        .iter()
        .filter(|c| String::from_utf8_lossy(&c.stdin).contains("kubeadm init --config"));
    assert_eq!(inits.count(), 1, "never a second init");
}

#[tokio::test]
async fn a_locked_host_refuses_the_run_and_nothing_is_changed() {
    let outcome = Bench::new(&["a", "b", "c"])
        .run("apply", |model, call| match call.request.kind() {
            Kind::Lock if call.host == "b" => {
                Reply::stdout(framed(call, ["held you@there (process 7)".into()]))
            }
            _ => obey(model, call),
        })
        .await;
    assert_eq!(outcome.exit(), ExitCode::Refused);
    assert_eq!(outcome.count(Kind::Wave), 0);
    assert!(
        outcome
            .text()
            .contains("another run is changing this host: you@there (process 7)")
    );
    assert!(!outcome.text().contains("lost connection"));
}

#[tokio::test]
async fn a_run_that_ended_in_between_is_seen_before_init() {
    // The files are there, so that no wave looks at the hosts again; another controller initialises cp2 while cp1 is locked.
    let mut bench = Bench::cluster(&["cp1", "cp2"]);
    bench.waves = 0;
    let outcome = bench
        .run("apply", |model, call| {
            if call.request.kind() == Kind::Lock && call.host == "cp2" {
                let mut model = model.lock().unwrap();
                model.members = vec!["cp2".into()];
                model
                    .markers
                    .insert("cp2".into(), "init other config done".into());
            }
            obey(model, call)
        })
        .await;
    let inits = outcome
        .calls
        .iter()
        .filter(|c| String::from_utf8_lossy(&c.stdin).contains("kubeadm init --config"));
    assert_eq!(inits.count(), 0, "{}", outcome.text());
    assert_eq!(outcome.exit(), ExitCode::Done, "{}", outcome.text());
}

#[tokio::test]
async fn who_is_down_before_init_decides_what_happens() {
    let down = |who: &'static str| {
        move |target: &Target| {
            if target.name.as_str() == who {
                return Err(TransportError::Unreachable {
                    address: who.into(),
                    reason: "down".into(),
                    help: String::new(),
                });
            }
            Ok(())
        }
    };
    let seen = Bench::cluster(&["cp1", "w1"])
        .converged()
        .run_with("status", obey, down("w1"))
        .await;
    let cluster = seen.recap.cluster.as_deref().unwrap_or_default();
    assert!(cluster.contains("not looked at: w1"), "{cluster}");
    let worker = Bench::cluster(&["cp1", "w1"])
        .run_with("apply", obey, down("w1"))
        .await;
    assert_eq!(worker.exit(), ExitCode::Unreachable, "{}", worker.text());
    assert!(worker.text().contains("cluster : kubeadm init"));
    let control_plane = Bench::cluster(&["cp1", "cp2", "w1"])
        .run_with("apply", obey, down("cp2"))
        .await;
    assert_eq!(
        control_plane.exit(),
        ExitCode::Refused,
        "{}",
        control_plane.text()
    );
    assert!(!control_plane.text().contains("cluster : kubeadm init"));
    // The others were prepared all the same.
    assert_eq!(control_plane.waves().len(), 2);
}

#[tokio::test]
async fn hosts_outside_the_limit_are_asked_before_a_cluster_begins_and_only_then() {
    let limited = |limit: &[&str]| {
        let mut bench = Bench::cluster(&["cp1", "w1", "w2"]);
        bench.limit = Some(limit.iter().map(|n| name(n)).collect());
        bench
    };
    for command in ["apply", "plan"] {
        // w2 carries another cluster's certificate.
        let bench = limited(&["cp1"]);
        bench.model.lock().unwrap().members.push("w2".into());
        let outcome = bench.run(command, obey).await;
        assert_eq!(outcome.exit(), ExitCode::Refused, "{}", outcome.text());
        assert!(outcome.text().contains("w2"), "{}", outcome.text());
        assert_eq!(outcome.count(Kind::Wave), 0);
        assert_eq!(outcome.tally.probes, 3);
    }
    // Nothing is there: the cluster begins, and who is left out stays as it is.
    let outcome = limited(&["cp1"]).run("apply", obey).await;
    assert_eq!(outcome.exit(), ExitCode::Done, "{}", outcome.text());
    assert!(outcome.waves().iter().all(|host| *host == "cp1"));
    assert!(outcome.text().contains("cluster : kubeadm init"));
    // Without a control plane in the limit nothing can begin; with a live cluster nothing begins either.
    let outcome = limited(&["w1"]).run("plan", obey).await;
    assert_eq!(outcome.tally.probes, 2, "{}", outcome.text());
    let outcome = limited(&["cp1"]).converged().run("apply", obey).await;
    assert_eq!(outcome.exit(), ExitCode::Done, "{}", outcome.text());
    assert_eq!(outcome.tally.probes, 1, "{}", outcome.text());
}

#[tokio::test]
async fn disturbing_waves_of_a_live_cluster_go_one_by_one_and_stop_at_a_failure() {
    for (fails, exit, waves) in [
        (None, ExitCode::Done, 3),
        (Some("cp2"), ExitCode::Failed, 2),
    ] {
        let mut bench = Bench::cluster(&["cp1", "cp2", "cp3"]).converged();
        bench.disturbs = true;
        bench.model.lock().unwrap().files.clear();
        let outcome = bench
            .run("apply", move |model, call| match call.request.kind() {
                Kind::Wave if Some(call.host.as_str()) == fails => {
                    Reply::stdout(framed(call, ["start 0".into(), "done 0 failed 1".into()]))
                }
                _ => obey(model, call),
            })
            .await;
        assert_eq!(outcome.exit(), exit, "{}", outcome.text());
        let disturbing: Vec<&Call> = outcome
            .calls
            .iter()
            .filter(|c| {
                c.request.kind() == Kind::Wave && String::from_utf8_lossy(&c.stdin).contains(FILE)
            })
            .collect();
        assert_eq!(disturbing.len(), waves);
        // The gate stands behind each.
        assert!(disturbing.iter().all(|c| {
            String::from_utf8_lossy(&c.stdin).contains("https://vip.example:8443/healthz")
        }));
    }
}

#[tokio::test]
async fn waves_that_depend_on_each_other_follow_and_end() {
    let mut bench = Bench::new(&["a"]);
    bench.waves = 3;
    let outcome = bench.run("apply", obey).await;
    assert_eq!(outcome.exit(), ExitCode::Done, "{}", outcome.text());
    assert_eq!(outcome.recap.hosts[&name("a")].changed, 3);
    let mut bench = Bench::new(&["a"]);
    bench.waves = 1000;
    let outcome = bench.run("apply", obey).await;
    assert_eq!(outcome.exit(), ExitCode::Failed);
    assert!(outcome.waves().len() < 100);
}

fn with_a_manifest(status: u8, said: &'static str, then: u8) -> Bench {
    let mut bench = Bench::cluster(&["cp1", "cp2", "w1"]).converged();
    bench.manifests = vec![Manifest {
        name: ADDON.into(),
        text: Some("kind: ConfigMap\n".into()),
    }];
    bench.model.lock().unwrap().addon = Some((status, said, then));
    bench
}

#[tokio::test]
async fn manifests_cost_one_exec_on_one_control_plane() {
    for command in ["plan", "apply"] {
        let outcome = with_a_manifest(0, "", 0).run(command, obey).await;
        assert_eq!(outcome.exit(), ExitCode::Done, "{}", outcome.text());
        assert_eq!((outcome.tally.connections, outcome.tally.execs()), (3, 4));
        assert_eq!(outcome.count(Kind::Wave), 0);
    }
    // Nobody asks for them in a `status`.
    let outcome = with_a_manifest(0, "", 0).run("status", obey).await;
    assert_eq!(outcome.tally.execs(), 3);
}

#[tokio::test]
async fn a_manifest_that_the_cluster_has_otherwise_is_planned_and_applied() {
    let outcome = with_a_manifest(1, ADDON_DIFFERS, 0).run("plan", obey).await;
    assert_eq!(outcome.exit(), ExitCode::Changes, "{}", outcome.text());
    let planned = |event: &Event| match event {
        Event::Planned { host, changes, .. } => {
            Some(format!("{host}: {} ({})", changes[0].what, changes[0].why))
        }
        _ => None,
    };
    let planned: Vec<String> = outcome.events.iter().filter_map(planned).collect();
    let only = planned.as_slice();
    assert!(
        matches!(only, [one] if one.ends_with(": apply net.yml (ConfigMap x/y differs)")),
        "{only:?}"
    );
    let outcome = with_a_manifest(1, ADDON_DIFFERS, 0)
        .run("apply", obey)
        .await;
    assert_eq!(outcome.exit(), ExitCode::Done, "{}", outcome.text());
    let changed = |event: &Event| match event {
        Event::StepFinished { title, .. } => Some(title.clone()),
        _ => None,
    };
    let titles: Vec<String> = outcome.events.iter().filter_map(changed).collect();
    assert_eq!(titles[0], "cluster : apply net.yml");
}

#[tokio::test]
async fn a_manifest_that_differs_still_or_cannot_be_compared_is_a_failure() {
    // Applied, and yet otherwise: told once, and no other control plane is tried.
    let outcome = with_a_manifest(1, ADDON_DIFFERS, 1)
        .run("apply", obey)
        .await;
    assert_eq!(outcome.exit(), ExitCode::Failed);
    let said = "it was applied, and yet: net.yml: ConfigMap x/y differs";
    assert!(outcome.text().contains(said), "{}", outcome.text());
    let applied = outcome.text().matches("StepStarted").count();
    assert!(applied <= 3, "{}", outcome.text());
    for command in ["plan", "apply"] {
        let outcome = with_a_manifest(2, "no such host", 2)
            .run(command, obey)
            .await;
        assert_eq!(outcome.exit(), ExitCode::Failed, "{command}");
        let said =
            "whether the cluster has net.yml as written is not known: kubectl diff: no such host";
        assert!(outcome.text().contains(said), "{}", outcome.text());
        assert_eq!(outcome.count(Kind::Wave), 0);
    }
}

fn pace(at_once: usize, may_fail: usize) -> Option<Pace> {
    Some(Pace {
        play: "rolling".into(),
        batches: vec![Batch { at_once, may_fail }],
        in_step: false,
    })
}

#[tokio::test]
async fn a_play_that_goes_host_by_host_ends_with_one_before_the_next() {
    let mut bench = Bench::new(&["a", "b", "c"]);
    (bench.pace, bench.waves) = (pace(1, 0), 3);
    let outcome = bench.run("apply", obey).await;
    assert_eq!(outcome.exit(), ExitCode::Done, "{}", outcome.text());
    assert_eq!(
        outcome.waves(),
        ["a", "a", "a", "b", "b", "b", "c", "c", "c"]
    );
}

/// One host, then two, then two again: of each batch the last host ends before the next one's first begins, and hosts come in the
/// inventory's order, whichever task runs first.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_batch_begins_when_the_one_before_has_ended() {
    let batch = |at_once| Batch {
        at_once,
        may_fail: 0,
    };
    let of = |hosts: &[&str]| {
        let mut bench = Bench::new(hosts);
        bench.waves = 2;
        bench.pace = Some(Pace {
            play: "rolling".into(),
            batches: vec![batch(1), batch(2)],
            in_step: true,
        });
        bench
    };
    let hosts = ["a", "b", "c", "d", "e", "f"];
    let outcome = of(&hosts).run("apply", obey).await;
    assert_eq!(outcome.exit(), ExitCode::Done, "{}", outcome.text());
    let waves = outcome.waves();
    let parts: Vec<Vec<&str>> = [0..2, 2..6, 6..10, 10..12]
        .map(|part| {
            let mut part = waves[part].to_vec();
            part.sort_unstable();
            part
        })
        .to_vec();
    assert_eq!(
        parts,
        [
            vec!["a", "a"],
            vec!["b", "b", "c", "c"],
            vec!["d", "d", "e", "e"],
            vec!["f", "f"]
        ]
    );
    // The first one alone shows that it does not work, and nobody comes after it.
    let outcome = of(&hosts)
        .run("apply", |model, call| {
            if call.request.kind() == Kind::Wave && call.host == "a" {
                let lines = ["start 0", "done 0 failed 1"];
                return Reply::stdout(framed(call, lines.map(String::from)));
            }
            obey(model, call)
        })
        .await;
    assert_eq!(outcome.waves(), ["a"], "{}", outcome.text());
}

#[tokio::test]
async fn a_play_ends_where_too_many_hosts_have_failed() {
    // Of four hosts two fail: how many may, which waves there are, and who is not tried.
    for (may_fail, waves, left) in [
        (0, vec!["a"], vec!["b", "c", "d"]),
        (1, vec!["a", "b"], vec!["c", "d"]),
        (2, vec!["a", "b", "c", "d"], vec![]),
    ] {
        let mut bench = Bench::new(&["a", "b", "c", "d"]);
        bench.pace = pace(1, may_fail);
        let outcome = bench
            .run("apply", |model, call| {
                let fails = ["a", "b"].contains(&call.host.as_str());
                if call.request.kind() == Kind::Wave && fails {
                    let lines = ["start 0", "done 0 failed 1"];
                    return Reply::stdout(framed(call, lines.map(String::from)));
                }
                obey(model, call)
            })
            .await;
        assert_eq!(outcome.exit(), ExitCode::Failed);
        assert_eq!(outcome.waves(), waves, "{may_fail}");
        let told = |event: &Event| match event {
            Event::Warning {
                host: Some(host),
                message,
            } if message.contains("too many hosts have failed in the play `rolling`") => {
                Some(host.to_string())
            }
            _ => None,
        };
        let told: Vec<String> = outcome.events.iter().filter_map(told).collect();
        assert_eq!(told, left, "{may_fail}");
    }
}

#[tokio::test]
async fn what_comes_last_comes_when_all_are_in_the_cluster() {
    let mut bench = Bench::cluster(&["cp1", "cp2", "w1"]);
    bench.last = true;
    let model = bench.model.clone();
    let outcome = bench.run("apply", obey).await;
    assert_eq!(outcome.exit(), ExitCode::Done, "{}", outcome.text());
    let started = |event: &Event| match event {
        Event::StepStarted { host, title, .. } => Some(format!("{host} {title}")),
        _ => None,
    };
    let titles: Vec<String> = outcome.events.iter().filter_map(started).collect();
    let last = titles.iter().position(|t| t.ends_with("last : member"));
    let joins = titles.iter().rposition(|t| t.contains("kubeadm"));
    assert!(last > joins, "{titles:#?}");
    assert_eq!(model.lock().unwrap().member_files.len(), 3);
    // On a cluster that is whole it is in the first and only wave, and where nothing is to be done in none.
    let mut bench = Bench::cluster(&["cp1", "cp2", "w1"]).converged();
    bench.last = true;
    bench.model = model;
    let outcome = bench.run("apply", obey).await;
    assert_eq!(
        (outcome.exit(), outcome.count(Kind::Wave)),
        (ExitCode::Done, 0)
    );
    assert_eq!(outcome.tally.execs(), 3);
    let mut bench = Bench::cluster(&["cp1", "cp2", "w1"]).converged();
    bench.last = true;
    let outcome = bench.run("apply", obey).await;
    // The last one is the look at the whole cluster.
    assert_eq!(outcome.count(Kind::Wave), 4, "{}", outcome.text());
}

#[tokio::test]
async fn who_is_interrupted_changes_nothing_more() {
    let mut bench = Bench::new(&["a"]);
    bench.cancelled = true;
    let outcome = bench.run("apply", obey).await;
    assert_eq!(outcome.exit(), ExitCode::Interrupted);
    assert_eq!(outcome.count(Kind::Wave) + outcome.count(Kind::Lock), 0);
}

#[tokio::test]
async fn who_is_interrupted_while_looking_says_nothing_of_what_it_has_not_seen() {
    for command in ["plan", "status"] {
        let mut bench = Bench::cluster(&["cp1", "w1"]);
        bench.cancelled = true;
        let outcome = bench.run(command, obey).await;
        assert_eq!(outcome.exit(), ExitCode::Interrupted);
        let said = |event: &&Event| {
            matches!(
                event,
                Event::Unchanged { .. }
                    | Event::Planned { .. }
                    | Event::Refused { .. }
                    | Event::Cluster { .. }
                    | Event::Warning { .. }
            )
        };
        assert_eq!(outcome.events.iter().find(said), None, "{command}");
    }
}

#[tokio::test]
async fn a_command_that_says_much_is_shown_whole_and_kept_in_part() {
    let outcome = Bench::new(&["a"])
        .run("exec", |_, _| {
            Reply::stdout("a short line\n".repeat(20_000))
        })
        .await;
    assert_eq!(outcome.exit(), ExitCode::Done);
    let shown = |event: &&Event| matches!(event, Event::Output { .. });
    assert_eq!(outcome.events.iter().filter(shown).count(), 20_000);
    let warned: Vec<&Event> = outcome
        .events
        .iter()
        .filter(|event| matches!(event, Event::Warning { host: Some(host), message } if *host == name("a") && message.contains("not recorded")))
        .collect();
    assert_eq!(warned.len(), 1);
}

#[tokio::test]
async fn ctrl_c_ends_at_a_steps_boundary_and_names_the_host() {
    for (waves, stops) in [(1, true), (3, false)] {
        let mut bench = Bench::new(&["a"]);
        bench.cancelled_in_wave = true;
        bench.waves = waves;
        let outcome = bench
            .run("apply", move |model, call| match call.request.kind() {
                Kind::Wave if stops => {
                    Reply::stdout(framed(call, ["start 0".into(), "stopped 1".into()]))
                }
                _ => obey(model, call),
            })
            .await;
        assert_eq!(outcome.exit(), ExitCode::Interrupted, "{}", outcome.text());
        // What was left of it is not begun.
        assert_eq!(outcome.waves(), ["a"]);
        let named = if stops { vec![name("a")] } else { Vec::new() };
        assert_eq!(outcome.recap.under_way, named);
    }
}

#[tokio::test]
async fn a_wave_that_stops_unasked_has_lost_its_lock() {
    let outcome = Bench::new(&["a"])
        .run("apply", |model, call| match call.request.kind() {
            Kind::Wave => Reply::stdout(framed(call, ["start 0".into(), "stopped 1".into()])),
            _ => obey(model, call),
        })
        .await;
    // Nobody asked for it: then it was the lock that went.
    assert_eq!(outcome.exit(), ExitCode::Refused, "{}", outcome.text());
    assert!(
        outcome
            .text()
            .contains("this run's lock was lost in the middle of a wave")
    );
}

/// Fails where a host is in trouble and nothing says what to do.
fn assert_helped(outcome: &Outcome) {
    let troubles = outcome.events.iter().filter_map(|event| match event {
        Event::HostTrouble { message, help, .. } => Some((message, help)),
        _ => None,
    });
    for (message, help) in troubles {
        assert!(help.is_some(), "no help: {message}");
    }
}

#[tokio::test]
async fn what_does_not_fit_is_not_called_a_protocol() {
    let outcome = Bench::new(&["a", UNFIT]).run("plan", obey).await;
    assert_eq!(outcome.exit(), ExitCode::Failed);
    let told = outcome.events.iter().find_map(|event| match event {
        Event::HostTrouble {
            host,
            trouble,
            message,
            ..
        } => Some((host.as_str(), *trouble, message.as_str())),
        _ => None,
    });
    assert_eq!(
        told,
        Some((UNFIT, Trouble::Unfit, "it has another address"))
    );
}

#[tokio::test]
async fn garbage_and_endless_output_come_to_an_end() {
    for command in ["plan", "apply"] {
        let outcome = Bench::new(&["a", "b"])
            .run(command, |model, call| match call.host.as_str() {
                "a" => Reply::stdout(vec![0xff; 4096]),
                _ => obey(model, call),
            })
            .await;
        assert_eq!(outcome.exit(), ExitCode::Failed, "{}", outcome.text());
        assert!(outcome.text().contains("the host's answer is not complete"));
        assert_helped(&outcome);
    }
    for said in [&b""[..], b"hello\n"] {
        let cut = Bench::new(&["a"])
            .run("plan", move |_, call| {
                let text = String::from_utf8_lossy(said);
                let lines = text.lines().map(ToString::to_string);
                Reply::stdout(framed(call, lines))
            })
            .await;
        let text = cut.text();
        assert!(
            !text.contains("last lines: \"") && !text.contains("last lines:  ("),
            "{text}"
        );
        let nonce = nonce(
            cut.calls
                .iter()
                .find(|c| c.request.kind() == Kind::Probe)
                .unwrap(),
        );
        assert!(!nonce.is_empty() && !text.contains(&nonce), "{text}");
        assert_helped(&cut);
    }
    let endless = Bench::new(&["a"])
        .run("apply", |model, call| match call.request.kind() {
            Kind::Probe => Reply::stdout(vec![b'x'; 17 << 20]),
            _ => obey(model, call),
        })
        .await;
    assert!(
        endless.text().contains("its answer does not end"),
        "{}",
        endless.text()
    );
}

/// Others than root see neither keys nor markers: what they do not see is not "not there".
#[tokio::test]
async fn a_host_that_is_not_seen_with_roots_eyes_is_not_planned() {
    let outcome = Bench::new(&["a", "b"])
        .run("plan", |model, call| match call.request.kind() {
            Kind::Probe if call.host == "b" => {
                let lines = ["system user 1000".to_string(), "end".into()];
                Reply::stdout(framed(call, lines))
            }
            _ => obey(model, call),
        })
        .await;
    assert_eq!(outcome.exit(), ExitCode::Failed, "{}", outcome.text());
    assert!(
        outcome
            .text()
            .contains("commands run as user 1000 there, not as root"),
        "{}",
        outcome.text()
    );
}

/// A live cluster whose three hosts carry the old load balancer; cp2 holds the address.
pub(super) fn to_be_moved() -> Bench {
    let mut bench = Bench::cluster(&["cp1", "cp2", "cp3"]).converged();
    bench.shape.load_balancers = bench.shape.control_planes.clone();
    bench.moves = true;
    bench.disturbs = true;
    {
        let mut model = bench.model.lock().unwrap();
        model.files.clear();
        model.old = bench.hosts.iter().map(ToString::to_string).collect();
        model.holder = Some("cp2");
    }
    bench
}

/// A look for the address alone says nothing of the cluster: what a host said of that before others joined is no newer for it.
#[tokio::test]
async fn a_look_for_the_address_brings_no_old_word_of_the_cluster() {
    let mut bench = Bench::cluster(&["cp1", "cp2", "cp3"]);
    bench.moves = true;
    bench.shape.vip_before_init = false;
    // Whoever is asked last has joined first.
    bench.shape.load_balancers = ["cp3", "cp2", "cp1"].map(name).to_vec();
    bench.model.lock().unwrap().holder = Some("cp1");
    let outcome = bench.run("apply", obey).await;
    assert_eq!(outcome.exit(), ExitCode::Done, "{}", outcome.text());
    assert_eq!(outcome.recap.healthy, Some(true), "{}", outcome.text());
}

/// What each wave was for, in order.
fn purposes(outcome: &Outcome) -> Vec<String> {
    let waves = outcome.calls.iter();
    let waves = waves.filter(|c| c.request.kind() == Kind::Wave);
    let purpose = |call: &Call| {
        let script = String::from_utf8_lossy(&call.stdin).into_owned();
        let ready = format!("put {READY}");
        let words = [
            (ready.as_str(), "ready"),
            (RELEASING, "release"),
            (SWITCHING, "switch"),
            (WRITING, "place"),
        ];
        let found = words.iter().find(|(sign, _)| script.contains(sign));
        format!("{} {}", found.map_or("verify", |(_, word)| word), call.host)
    };
    waves.map(purpose).collect()
}

#[tokio::test]
async fn a_load_balancer_is_moved_by_its_holder() {
    let bench = to_be_moved();
    let model = bench.model.clone();
    let outcome = bench.run("apply", obey).await;
    assert_eq!(outcome.exit(), ExitCode::Done, "{}", outcome.text());
    let mut done = purposes(&outcome);
    // At once on all hosts, and then on those that do not hold the address.
    done[..3].sort();
    done[3..5].sort();
    assert_eq!(
        done,
        [
            "ready cp1",
            "ready cp2",
            "ready cp3",
            "release cp1",
            "release cp3",
            "switch cp2",
            "place cp1",
            "place cp3",
            "verify cp3"
        ]
    );
    assert_eq!(outcome.count(Kind::Lock), 3, "all of them are locked");
    assert!(
        outcome.text().contains("10.0.0.100 on cp2"),
        "{}",
        outcome.text()
    );

    // Once more: one look at each, and nothing else.
    let mut again = to_be_moved();
    again.model = model;
    let outcome = again.run("apply", obey).await;
    assert_eq!(outcome.exit(), ExitCode::Done, "{}", outcome.text());
    assert_eq!(outcome.count(Kind::Probe), 3);
    assert_eq!(outcome.calls.len(), 3);
}

#[tokio::test]
async fn a_move_goes_on_where_the_holder_alone_is_left() {
    let bench = to_be_moved();
    {
        let mut model = bench.model.lock().unwrap();
        model.old = vec!["cp2".into()];
        model.ready = bench.hosts.iter().map(ToString::to_string).collect();
    }
    let outcome = bench.run("apply", obey).await;
    assert_eq!(outcome.exit(), ExitCode::Done, "{}", outcome.text());
    assert_eq!(
        purposes(&outcome),
        ["switch cp2", "place cp1", "place cp3", "verify cp3"]
    );
}

/// The connection goes while the holder is switched, and while a host is brought up behind it: the hosts themselves go on.
/// Each is looked at again, nothing is sent twice, and nobody is forgotten.
#[tokio::test]
async fn a_connection_that_is_lost_in_a_move_leaves_nobody_out() {
    for (sign, host) in [(SWITCHING, "cp2"), (WRITING, "cp1")] {
        let once = AtomicU32::new(0);
        let outcome = to_be_moved()
            .run("apply", move |model, call| {
                let script = String::from_utf8_lossy(&call.stdin).into_owned();
                let wave = call.request.kind() == Kind::Wave;
                if wave && call.host == host && script.contains(sign) {
                    // Of the holder all is done; of the other host nothing was.
                    if once.fetch_add(1, Ordering::Relaxed) == 0 {
                        if sign == SWITCHING {
                            obey(model, call);
                        }
                        return Reply::error(lost()).and_stdout(framed(call, ["start 0".into()]));
                    }
                }
                obey(model, call)
            })
            .await;
        assert_eq!(outcome.exit(), ExitCode::Done, "{}", outcome.text());
        let mut done = purposes(&outcome).split_off(5);
        done.retain(|purpose| !purpose.starts_with("verify"));
        done.sort();
        let expected: &[&str] = match sign {
            SWITCHING => &["place cp1", "place cp3", "switch cp2"],
            _ => &["place cp1", "place cp1", "place cp3", "switch cp2"],
        };
        assert_eq!(done, expected, "{}", outcome.text());
    }
}

#[tokio::test]
async fn a_takedown_that_fails_ends_the_move_there() {
    let outcome = to_be_moved()
        .run("apply", |model, call| {
            let script = String::from_utf8_lossy(&call.stdin).into_owned();
            if call.host == "cp3" && script.contains(RELEASING) {
                return Reply::stdout(framed(call, ["start 0".into(), "done 0 failed 1".into()]));
            }
            obey(model, call)
        })
        .await;
    assert_eq!(outcome.exit(), ExitCode::Failed, "{}", outcome.text());
    let done = purposes(&outcome);
    assert!(
        !done
            .iter()
            .any(|p| p.starts_with("switch") || p.starts_with("place")),
        "{done:?}"
    );
    assert!(
        outcome
            .text()
            .contains("the load balancer is not moved any further: cp3")
    );
}

#[tokio::test]
async fn a_move_is_refused_whole_or_told_whole() {
    let mut bench = to_be_moved();
    bench.limit = Some(vec![name("cp1"), name("cp2")]);
    let outcome = bench.run("apply", obey).await;
    assert_eq!(outcome.exit(), ExitCode::Refused, "{}", outcome.text());
    assert!(outcome.text().contains("cp3 is not in this run's --limit"));
    assert_eq!(outcome.count(Kind::Wave), 0);

    let bench = to_be_moved();
    bench.model.lock().unwrap().holder = None;
    let outcome = bench.run("apply", obey).await;
    assert_eq!(outcome.exit(), ExitCode::Refused, "{}", outcome.text());
    assert_eq!(outcome.count(Kind::Wave), 0);

    let mut bench = to_be_moved();
    bench.read_only = true;
    let outcome = bench.run("plan", obey).await;
    assert_eq!(outcome.exit(), ExitCode::Changes, "{}", outcome.text());
    let text = outcome.text();
    let place = |words: &str| {
        text.find(words)
            .unwrap_or_else(|| panic!("{words}: {text}"))
    };
    assert!(place("1. take the old") < place("3. switch to"));
    assert!(place("3. switch to") < place("5. bring the new"));
    assert!(text.contains("expected outage"));
}

fn told_of_preflight(outcome: &Outcome) -> Vec<&str> {
    let told = outcome.events.iter().filter_map(|event| match event {
        Event::HostTrouble {
            host,
            trouble: Trouble::Preflight,
            help,
            ..
        } => help.is_some().then(|| host.as_str()),
        _ => None,
    });
    told.collect()
}

/// All findings of all hosts, and nothing is changed on any.
#[tokio::test]
async fn a_fault_stops_a_bootstrap_before_anything_is_changed() {
    for command in ["plan", "apply"] {
        let hosts = ["cp1", "cp-small", "w-small", "w-doubtful"];
        let outcome = Bench::cluster(&hosts).run(command, obey).await;
        assert_eq!(outcome.exit(), ExitCode::Failed, "{}", outcome.text());
        assert_eq!(told_of_preflight(&outcome), ["cp-small", "w-small"]);
        assert_eq!(outcome.recap.warnings, 1);
        assert!(
            outcome.text().contains("2 findings on 2 hosts"),
            "{}",
            outcome.text()
        );
        assert_eq!(
            (outcome.count(Kind::Wave), outcome.count(Kind::Lock)),
            (0, 0)
        );
    }
    let outcome = Bench::cluster(&["cp1", "w-twin"]).run("apply", obey).await;
    assert_eq!(outcome.exit(), ExitCode::Refused, "{}", outcome.text());
    assert_eq!(outcome.count(Kind::Wave), 0);
    let mut bench = Bench::cluster(&["cp1", UNFIT]);
    bench.shape.workers.push(name(UNFIT));
    let outcome = bench.run("apply", obey).await;
    assert_eq!(outcome.exit(), ExitCode::Failed, "{}", outcome.text());
    assert_eq!(
        outcome.count(Kind::Wave),
        0,
        "what does not fit the inventory stops it too"
    );
}

#[tokio::test]
async fn a_warning_and_hosts_outside_the_limit_stop_nothing() {
    let outcome = Bench::cluster(&["cp1", "w-doubtful"])
        .run("apply", obey)
        .await;
    assert_eq!(outcome.exit(), ExitCode::Done, "{}", outcome.text());
    assert_eq!(outcome.recap.warnings, 1);
    let mut bench = Bench::cluster(&["cp1", "w-small"]);
    bench.limit = Some(vec![name("cp1")]);
    let outcome = bench.run("apply", obey).await;
    assert_eq!(told_of_preflight(&outcome), [""; 0], "{}", outcome.text());
    assert!(outcome.waves().contains(&"cp1"));
}

/// One bad host that is to join does not keep the others from being mended.
#[tokio::test]
async fn a_cluster_that_lives_goes_on_without_the_host_that_has_a_fault() {
    let bench = Bench::cluster(&["cp1", "w1", "w-small"]).converged();
    {
        let mut model = bench.model.lock().unwrap();
        model.files.retain(|host| host == "cp1");
        model.members.retain(|host| host != "w-small");
        model.markers.remove("w-small");
    }
    let outcome = bench.run("apply", obey).await;
    assert_eq!(outcome.exit(), ExitCode::Failed, "{}", outcome.text());
    assert_eq!(told_of_preflight(&outcome), ["w-small"]);
    assert!(outcome.waves().contains(&"w1"), "{}", outcome.text());
    assert!(!outcome.waves().contains(&"w-small"), "{}", outcome.text());
}
