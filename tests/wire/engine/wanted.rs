//! What the hosts of the engine's tests are to be: one file, or what a story asks for beside it.

use std::collections::HashMap;
use std::sync::Mutex;

use quorate::cluster::act::Manifest;
use quorate::cluster::kubeadm::Credentials;
use quorate::cluster::load_balancer::Remains;
use quorate::cluster::preflight::{Finding, Level};
use quorate::cluster::spec::Way;
use quorate::cluster::{Moving, Shape};
use quorate::engine::{Config, Desired, Seen};
use quorate::event::{Category, Status};
use quorate::host::{Content, Effect, Expect, Fact, Facts, Known, Observed, Run, WriteFile};
use quorate::model::{HostName, Mode, Secret, Sha256};
use quorate::plan::{Change, Diff, HostPlan, Note, OnFailure, Pace, Step};
use quorate::role::{Registered, StepResult};

use super::{FILE, MEMBER, OLD, READY, RELEASING, SIGNING, SWITCHING, TOKEN, UNFIT, VIP};

/// Hosts with which preflight finds something.
const FOUND: [(&str, Level); 4] = [
    ("w-doubtful", Level::Warning),
    ("w-small", Level::Fault),
    ("cp-small", Level::Fault),
    ("w-twin", Level::Unsafe),
];

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
