//! A history: runs of a controller, the faults in and between them, and where it ends.

use std::collections::BTreeSet;

use quorate::cluster::drift::{Difference, Place};
use quorate::cluster::next::forecast;
use quorate::cluster::{Act, Decision, HostView, Shape, Standing, View, next};
use quorate::host::fact::{Api, EtcdMember, Kubernetes, Marker, NodeState};
use quorate::model::{Endpoint, HostName, Sha256};

use super::choices::{self, Choices};
use super::world::{Host, KUBELET, Member, SERVER, Unit, World};

/// What is left out of the workflow, or what the planner is kept from seeing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mutation {
    None,
    NoMarker,
    NoDoneMarker,
    NoMint,
    NoCertificates,
    NoPreparation,
    NoKubeadm,
    AttachTrusted,
    AlwaysPreflight,
    NeverSkipKubelet,
    SkipByTheLook,
    UnknownIsFine,
    BusyIsUnseen,
    MarkersUnseen,
    TracesUnseen,
    LearnersUnseen,
    RunningUnseen,
    TokenAssumed,
    StaleWord,
    NoSignature,
    SignatureUnseen,
    NoUpload,
    NoRollOut,
    DriftUnseen,
    LimitUnseen,
    NoHandlerMark,
    PeersUnseen,
    NoWaitForEtcd,
}

/// Something a controller has under way.
pub(super) struct Task {
    pub(super) host: String,
    pub(super) act: Option<Act>,
    pub(super) step: usize,
    pub(super) seen: Option<Marker>,
}

pub(super) enum End {
    Going,
    Good,
    Bad,
}

/// One run of the controller.
pub(super) struct Controller {
    pub(super) run: u32,
    pub(super) view: View,
    pub(super) tasks: Vec<Task>,
    pub(super) token: Option<u32>,
    /// Whether the control planes were looked at since the locks are held and no membership change went wrong.
    pub(super) certain: bool,
    /// Whether its init was another run's kubeadm, which has brought that one's token.
    pub(super) attached: bool,
    /// The hosts that it may change.
    pub(super) limit: BTreeSet<String>,
}

/// What a history begins with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Setup {
    pub(super) faults: u32,
    pub(super) control_planes: usize,
    pub(super) workers: usize,
    /// Whether Nodes become Ready.
    pub(super) network: bool,
    /// Whether control planes carry a load balancer that asks the API by a kubeconfig of its own.
    pub(super) dedicated: bool,
    /// Whether the VIP is up before there is a cluster.
    pub(super) services: bool,
    /// Whether runs have limits, roles change, and members of etcd start anew with their static pods.
    pub(super) is_wide: bool,
    pub(super) mutation: Mutation,
}

impl Setup {
    pub(super) fn new(seed: u64, faults: u32, control_planes: usize, workers: usize) -> Self {
        Self {
            faults,
            control_planes,
            workers,
            network: true,
            // Both ways, in as many histories of each.
            dedicated: seed % 4 < 2,
            services: true,
            is_wide: true,
            mutation: Mutation::None,
        }
    }
}

pub(super) struct History {
    pub(super) world: World,
    pub(super) shape: Shape,
    pub(super) choices: Choices,
    pub(super) faults: u32,
    pub(super) runs: u32,
    pub(super) mutation: Mutation,
}

pub(super) fn name(text: &str) -> HostName {
    HostName::new(text).unwrap()
}

impl History {
    pub(super) fn new(setup: Setup, choices: Choices) -> Self {
        let mut world = World {
            network: setup.network,
            dedicated: setup.dedicated,
            is_wide: setup.is_wide,
            role: 1,
            ..World::default()
        };
        let names =
            |kind: &str, n: usize| (1..=n).map(|i| format!("{kind}{i}")).collect::<Vec<_>>();
        let (cps, ws) = (names("cp", setup.control_planes), names("w", setup.workers));
        for host in cps.iter().chain(&ws) {
            let control_plane = cps.contains(host);
            world.hosts.insert(
                host.clone(),
                Host {
                    control_plane,
                    up: true,
                    ..Host::default()
                },
            );
        }
        let to_names = |all: &[String]| all.iter().map(|n| name(n)).collect::<Vec<_>>();
        let shape = Shape {
            control_planes: to_names(&cps),
            workers: to_names(&ws),
            load_balancers: to_names(&cps),
            vip_before_init: setup.services,
            endpoint: Endpoint::new("vip.example", 8443).unwrap(),
            version: "1.36.3".into(),
            lasting: Default::default(),
        };
        Self {
            world,
            shape,
            choices,
            faults: setup.faults,
            runs: 0,
            mutation: setup.mutation,
        }
    }

    pub(super) fn observe(&self, host: &str) -> Kubernetes {
        let seen = &self.world.hosts[host];
        let digest = |ca: u32| Sha256::of(ca.to_string());
        let mut kubernetes = Kubernetes {
            ca: seen.ca.map(digest),
            traces: seen.traces.iter().map(|t| (*t).to_string()).collect(),
            server: None,
            marker: seen.marker.clone(),
            kubeadm_running: seen.unit.is_some(),
            api: None,
            ..Kubernetes::default()
        };
        if self.world.api(host) {
            let node = |(n, (ready, label)): (&String, &(bool, bool))| NodeState {
                name: n.clone(),
                status: if *ready { "Ready" } else { "NotReady" }.into(),
                roles: if *label { "control-plane" } else { "<none>" }.into(),
                version: "v1.36.3".into(),
            };
            let member = |m: &Member| EtcdMember {
                id: String::new(),
                name: if m.started {
                    m.host.clone()
                } else {
                    String::new()
                },
                learner: m.learner,
                peers: vec![format!("https://{}:2380", m.host)],
            };
            kubernetes.api = Some(Api {
                live: true,
                ready: true,
                configured: self.world.configured,
                endpoint: self.world.configured.then(|| "vip.example:8443".into()),
                version: self.world.configured.then(|| "v1.36.3".into()),
                pod_subnet: None,
                service_subnet: None,
                nodes: Some(self.world.nodes.iter().map(node).collect()),
                leads: None,
                members: Some(self.world.etcd.iter().map(member).collect()),
                ..Api::default()
            });
        }
        match self.mutation {
            Mutation::MarkersUnseen => kubernetes.marker = None,
            Mutation::TracesUnseen => kubernetes.traces.clear(),
            Mutation::RunningUnseen => kubernetes.kubeadm_running = false,
            Mutation::LearnersUnseen => {
                for member in kubernetes
                    .api
                    .iter_mut()
                    .flat_map(|a| a.members.iter_mut().flatten())
                {
                    member.learner = false;
                    member.name = "somebody".into();
                    member.peers.clear();
                }
            }
            _ => {}
        }
        kubernetes
    }

    /// Where kubeadm's own state is not as wanted: on the host, and in what the cluster keeps.
    pub(super) fn drift(&self, host: &str) -> (Vec<Difference>, Vec<Difference>) {
        let seen = &self.world.hosts[host];
        let wanted = self.world.wanted;
        let done = seen.marker.as_ref().is_some_and(|m| m.done);
        if !done || !seen.up || self.mutation == Mutation::DriftUnseen {
            return Default::default();
        }
        let differs = |place: Place, found: bool| {
            found.then(|| Difference {
                place,
                path: "configuration".into(),
                live: None,
                wanted: None,
            })
        };
        let pods = seen.traces.contains(SERVER) && seen.made != wanted;
        let kubelet = seen.traces.contains(KUBELET) && seen.configured != wanted;
        let own = [
            differs(Place::Manifests, pods),
            differs(Place::Kubelet, kubelet),
        ];
        let kept = self.world.configured && self.world.api(host) && self.world.kept != wanted;
        (
            own.into_iter().flatten().collect(),
            differs(Place::ClusterConfiguration, kept)
                .into_iter()
                .collect(),
        )
    }

    /// Why a control plane needs a kubeconfig for its load balancer.
    pub(super) fn due(&self, host: &str) -> Option<String> {
        let seen = &self.world.hosts[host];
        let member = seen.traces.contains(SERVER)
            && seen.traces.contains(KUBELET)
            && seen.marker.as_ref().is_none_or(|m| m.done)
            && seen.unit.is_none();
        let unseen = self.mutation == Mutation::SignatureUnseen;
        (self.world.dedicated && seen.control_plane && member && !seen.signed && !unseen)
            .then(|| "none yet".to_string())
    }

    pub(super) fn look(&mut self) -> Controller {
        self.runs += 1;
        let run = self.runs;
        self.world.tell(|| format!("run {run} begins"));
        let mut view = View::default();
        let limit = self.limit();
        let unlimited = self.mutation == Mutation::LimitUnseen;
        for host in self.shape.nodes() {
            let model = &self.world.hosts[host.as_str()];
            let ours = limit.contains(host.as_str());
            let standing = match (model.up, self.world.is_prepared(host.as_str())) {
                (false, _) if self.mutation == Mutation::UnknownIsFine => Standing::Prepared,
                (false, _) => Standing::Unknown("down".into()),
                (true, true) => Standing::Prepared,
                (true, false) if ours || unlimited => Standing::Preparing,
                (true, false) => Standing::Left,
            };
            let kubernetes = if model.up {
                self.observe(host.as_str())
            } else {
                Kubernetes::default()
            };
            let (drift, cluster_drift) = self.drift(host.as_str());
            let seen = HostView {
                standing,
                kubernetes,
                address: Some(host.to_string()),
                ours: ours || unlimited,
                holds_vip: false,
                vip_answered_by: None,
                reach: None,
                silent: None,
                links: Vec::new(),
                config: "config".into(),
                credential_due: self.due(host.as_str()),
                busy: false,
                moving: Default::default(),
                drift,
                cluster_drift,
                joined: false,
            };
            view.hosts.insert(host.clone(), seen);
        }
        view.choose_api();
        let token = (self.mutation == Mutation::TokenAssumed).then_some(self.runs);
        view.token = token.is_some();
        Controller {
            run: self.runs,
            view,
            tasks: Vec::new(),
            token,
            certain: self.mutation == Mutation::StaleWord,
            attached: false,
            limit,
        }
    }

    /// Which hosts the run may change: mostly all. In the end nothing is left out.
    fn limit(&mut self) -> BTreeSet<String> {
        let all = self.world.hosts.keys().cloned().collect::<Vec<_>>();
        let limited = self.world.is_wide && self.faults > 0 && self.choices.below(5, 4) == 0;
        let chosen = |_: &String| !limited || self.choices.below(2, 1) == 1;
        let limit: BTreeSet<String> = all.into_iter().filter(chosen).collect();
        if limited {
            self.world.tell(|| format!("  its limit: {limit:?}"));
        }
        limit
    }

    /// Runs a controller to its end; `None` when it was killed.
    pub(super) fn run(&mut self) -> Option<Decision> {
        let mut controller = self.look();
        for host in self.shape.nodes() {
            let state = controller.view.hosts.get_mut(host).unwrap();
            if state.standing == Standing::Preparing {
                state.busy = true;
                controller.tasks.push(Task {
                    host: host.to_string(),
                    act: None,
                    step: 0,
                    seen: None,
                });
            }
        }
        for _ in 0..3000 {
            let mut view = controller.view.clone();
            if self.mutation == Mutation::BusyIsUnseen {
                view.hosts.values_mut().for_each(|h| h.busy = false);
            }
            if self.mutation == Mutation::PeersUnseen {
                // A host that is gone still has its last word.
                let api = view.api().map(|(_, api)| api.clone());
                for host in view.hosts.values_mut().filter(|h| !h.is_known()) {
                    host.kubernetes.api.clone_from(&api);
                    host.standing = Standing::Prepared;
                }
            }
            match next(&self.shape, &view) {
                Decision::Do(acts) => self.start(&mut controller, acts),
                decision if controller.tasks.is_empty() => {
                    self.world
                        .tell(|| format!("run {} ends: {decision:?}", controller.run));
                    return Some(decision);
                }
                _ => {}
            }
            if self.fault() {
                self.world
                    .tell(|| format!("run {} is killed", controller.run));
                return None;
            }
            self.meanwhile(controller.run);
            if controller.tasks.is_empty() {
                continue;
            }
            let index = self.choices.below(controller.tasks.len(), 0);
            match self.step(&mut controller, index) {
                End::Going => {}
                End::Good => self.ended(&mut controller, index, true),
                End::Bad => self.ended(&mut controller, index, false),
            }
            self.world.check();
        }
        self.world.wrong.push("a run does not end".into());
        None
    }

    pub(super) fn start(&mut self, controller: &mut Controller, acts: Vec<Act>) {
        let membership = |act: &Act| matches!(act, Act::Init { .. } | Act::JoinControlPlane { .. });
        if acts.iter().any(membership) && !controller.certain {
            return self.check(controller);
        }
        for act in acts {
            let Some(host) = act.host().cloned() else {
                if !self.shape.vip_before_init {
                    let wrong = "the VIP is looked for before there is anybody to hold it";
                    self.world.wrong.push(wrong.into());
                }
                controller.view.vip_checked = true;
                continue;
            };
            self.world.tell(|| format!("  decided: {act:?}"));
            // A token is made by another one where no control plane of the limit can.
            let asked = matches!(&act, Act::Mint { .. })
                && !controller.limit.iter().any(|own| {
                    let own = controller.view.hosts.get(&name(own)).unwrap();
                    own.is_known()
                        && own.api().is_some()
                        && !matches!(own.standing, Standing::Failed(_))
                });
            if !controller.limit.contains(host.as_str()) && !asked {
                let wrong = format!("{host} is changed, and is outside of the limit: {act:?}");
                self.world.wrong.push(wrong);
            }
            if let Act::RollOut { .. } = &act {
                self.has_votes_to_spare(&controller.view, &host);
            }
            if let Act::Init { resume: false, .. } = &act {
                let members =
                    self.world.hosts.iter().any(|(n, h)| {
                        *n != host.as_str() && (h.ca.is_some() || !h.traces.is_empty())
                    });
                let down = self.world.hosts.values().any(|h| h.control_plane && !h.up);
                // An init of an earlier run, still at work there, may have left its first traces since the look.
                let own = &self.world.hosts[host.as_str()];
                let begun = own.marker.as_ref().is_some_and(|m| m.act == "init");
                let own = !own.traces.is_empty() && !begun;
                // A host may go down after it was looked at: what was decided on is the view.
                let unknown = self
                    .shape
                    .control_planes
                    .iter()
                    .any(|n| !controller.view.hosts[n].is_known());
                if members || own || (down && unknown) || self.world.configured {
                    self.world
                        .wrong
                        .push(format!("init of {host} beside a member or an unknown host"));
                }
            }
            let state = controller.view.hosts.get_mut(&host).unwrap();
            state.busy = true;
            let seen = state.kubernetes.marker.clone();
            let text = host.to_string();
            if self.mutation == Mutation::BusyIsUnseen
                && controller.tasks.iter().any(|t| t.host == text)
            {
                continue;
            }
            controller.tasks.push(Task {
                host: text,
                act: Some(act),
                step: 0,
                seen,
            });
        }
    }

    /// Whether etcd, as the run has seen it, has its quorum without this member.
    fn has_votes_to_spare(&mut self, view: &View, host: &HostName) {
        let voters: Vec<_> = self.world.etcd.iter().filter(|m| !m.learner).collect();
        let seen = |m: &&&Member| {
            let other = view.hosts.get(&name(&m.host));
            m.host != host.as_str() && other.is_some_and(|o| o.api().is_some_and(|a| a.ready))
        };
        let others = voters.iter().filter(seen).count();
        if self.world.is_wide && voters.len() > 2 && others * 2 <= voters.len() {
            let wrong = format!("etcd would lose its quorum by a roll-out on {host}");
            self.world.wrong.push(wrong);
        }
    }

    /// Looks at the control planes again.
    pub(super) fn check(&mut self, controller: &mut Controller) {
        for host in &self.shape.control_planes {
            let up = self.world.up(host.as_str());
            let kubernetes = self.observe(host.as_str());
            let (drift, cluster_drift) = self.drift(host.as_str());
            let state = controller.view.hosts.get_mut(host).unwrap();
            if !up && self.mutation != Mutation::UnknownIsFine {
                state.standing = Standing::Unknown("down".into());
            } else if up && state.is_known() {
                state.kubernetes = kubernetes;
                state.drift = drift;
                state.cluster_drift = cluster_drift;
            }
        }
        controller.view.choose_api();
        controller.certain = true;
    }

    /// One thing dies, perhaps; returns whether it was the controller.
    pub(super) fn fault(&mut self) -> bool {
        if self.faults == 0 || self.choices.below(14, 13) != 0 {
            return false;
        }
        self.faults -= 1;
        match self.choices.below(4, 0) {
            0 | 1 => return true,
            2 => {
                let running: Vec<_> = self
                    .world
                    .hosts
                    .values_mut()
                    .filter(|h| h.unit.is_some())
                    .collect();
                let count = running.len();
                if let Some(host) = running.into_iter().nth(self.choices.below(count, 0)) {
                    let run = host.unit.take().map_or(0, |u| u.run);
                    host.result = Some((false, run));
                    self.world
                        .tell(|| format!("    kubeadm of run {run} is killed"));
                }
            }
            _ => {
                let names: Vec<String> = self.world.hosts.keys().cloned().collect();
                let host = names[self.choices.below(names.len(), 0)].clone();
                self.world.tell(|| format!("    {host} goes down"));
                let state = self.world.hosts.get_mut(&host).unwrap();
                state.up = false;
                // A unit ends with its host, and leaves what it has written.
                if let Some(version) = state.rolling.take() {
                    state.made = if version % 2 == 0 {
                        version
                    } else {
                        state.made
                    };
                }
                if let Some(unit) = state.unit.take() {
                    state.result = Some((false, unit.run));
                }
                if let Some(node) = self.world.nodes.get_mut(&host) {
                    node.0 = false;
                }
            }
        }
        false
    }

    /// Runs until nothing dies any more and a run after that has come to its end.
    pub(super) fn converge(&mut self) -> Result<(), String> {
        let mut last = None;
        for round in 0..40 {
            // A join left running by an earlier run may fail by that run's own lapse: then one more run is needed.
            let world = &self.world;
            let valid = |u: &Unit| world.tokens.contains(&u.token) && world.keys.contains(&u.token);
            let goes_on = |u: &Unit| u.act == "init" || (world.answers() && valid(u));
            let quiet =
                |h: &Host| h.up && h.rolling.is_none() && h.unit.as_ref().is_none_or(goes_on);
            let calm = self.faults == 0 && self.world.hosts.values().all(quiet);
            let decision = self.run();
            if let Some(wrong) = self.world.wrong.first() {
                return Err(wrong.clone());
            }
            if calm {
                // One run in which nothing dies is enough, wherever the ones before have ended.
                if !matches!(&decision, Some(Decision::Done { missing }) if missing.is_empty()) {
                    return Err(format!("nothing died, and yet: {decision:?}"));
                }
                self.whole()?;
                let after = self.look();
                let forecast = forecast_of(&self.shape, &after.view);
                return forecast.map_err(|what| format!("after convergence still: {what}"));
            }
            // Faults that never came must not keep a history from its end.
            if round > 12 {
                self.faults = 0;
            }
            last = Some(format!("{decision:?}"));
            self.between();
        }
        Err(format!("does not converge: {last:?}"))
    }
}

pub(super) fn forecast_of(shape: &Shape, view: &View) -> Result<(), String> {
    let seen = forecast_all(shape, view);
    if seen.is_empty() { Ok(()) } else { Err(seen) }
}

pub(super) fn forecast_all(shape: &Shape, view: &View) -> String {
    let forecast = forecast(shape, view);
    let mut text = String::new();
    for (host, what, why) in &forecast.acts {
        text.push_str(&format!("{host}: {what} ({why}); "));
    }
    if let Some(refusal) = forecast.refusal {
        text.push_str(&refusal.message);
    }
    if let Some((message, _)) = forecast.failure {
        text.push_str(&message);
    }
    text
}

/// Whether two histories go wrong alike: which host it is does not matter.
fn is_same(one: &str, other: &str) -> bool {
    let words = |text: &str| {
        let words = text.split_whitespace().map(str::to_owned);
        let is_host = |word: &String| word.chars().any(|c| c.is_ascii_digit());
        words
            .filter(|word| !is_host(word))
            .take(6)
            .collect::<Vec<_>>()
    };
    words(one) == words(other)
}

/// Runs a history to its end. One that goes wrong is told by the shortest of its kind that does.
pub(super) fn lives(setup: Setup, seed: u64) -> Result<(), String> {
    let mut history = History::new(setup, Choices::of(seed));
    let Err(first) = history.converge() else {
        return Ok(());
    };
    let of = |setup: Setup, tape: &[Option<u16>]| History::new(setup, Choices::on(tape.to_vec()));
    let mut setup = setup;
    let mut tape: Vec<Option<u16>> = history.choices.made.iter().copied().map(Some).collect();
    // Fewer hosts first: what is chosen means something else then, and still it may fail.
    for smaller in [
        Setup {
            workers: 0,
            ..setup
        },
        Setup {
            dedicated: false,
            ..setup
        },
        Setup {
            control_planes: 3.min(setup.control_planes),
            ..setup
        },
    ] {
        if of(smaller, &tape)
            .converge()
            .is_err_and(|wrong| is_same(&wrong, &first))
        {
            setup = smaller;
        }
    }
    let made: Vec<u16> = {
        let mut same = of(setup, &tape);
        let _ = same.converge();
        same.choices.made
    };
    tape = choices::shortest(&made, &|tape| {
        let wrong = of(setup, tape).converge();
        wrong.is_err_and(|wrong| is_same(&wrong, &first))
    });
    let mut told = of(setup, &tape);
    told.world.story = Some(Vec::new());
    let wrong = told.converge().err().unwrap_or(first);
    let story = told.world.story.unwrap_or_default().join("\n");
    Err(format!("{wrong}\nseed {seed}, {setup:?}:\n{story}"))
}
