//! A host as a model, written apart from `Effect::apply` and from the shell: plan, apply, plan again, expect nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use quorate::host::script::Report;
use quorate::host::{Content, Effect, Expect, Fact, Facts, Observed, UnitAct, probe};
use quorate::model::Sha256;
use quorate::plan::HostPlan;
use quorate::role::{HostRoles, Library, Registered};
use quorate::template::{Binding, Scope};

use super::role::{AllThere, cluster, only, pods};

/// What lies at a path of the model.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Entry {
    File {
        bytes: Option<Vec<u8>>,
        sha: Sha256,
        mode: u32,
        owner: String,
        group: String,
    },
    Directory {
        mode: u32,
    },
    Link {
        target: String,
    },
}

/// A host.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Model {
    pub(crate) files: BTreeMap<String, Entry>,
    pub(crate) packages: BTreeSet<String>,
    /// Active, enabled, and how often it was started or told to read its files.
    pub(crate) units: BTreeMap<String, (bool, bool, u32)>,
    pub(crate) sysctls: BTreeMap<String, String>,
    pub(crate) modules: BTreeSet<String>,
    pub(crate) swap: bool,
    pub(crate) images: BTreeSet<String>,
    pub(crate) pending: BTreeSet<String>,
    pub(crate) stale: BTreeSet<String>,
    /// Lines of the answer that the model itself knows nothing of.
    pub(crate) more: Vec<String>,
}

pub(crate) fn text(text: &str) -> Entry {
    Entry::File {
        bytes: Some(text.into()),
        sha: Sha256::of(text),
        mode: 0o644,
        owner: "root".into(),
        group: "root".into(),
    }
}

impl Model {
    /// A freshly installed host.
    pub(crate) fn bare() -> Self {
        let mut model = Self {
            swap: true,
            ..Self::default()
        };
        model.files.insert(
            "/etc/fstab".into(),
            text("/dev/sda1 / ext4 defaults 0 1\n/dev/sda2 none swap sw 0 0\n"),
        );
        model
            .files
            .insert("/etc/hosts".into(), text("127.0.0.1 localhost\n"));
        model
            .sysctls
            .insert("net.ipv4.ip_forward".into(), "0".into());
        model
    }

    /// Answers a probe as a host's script does.
    pub(crate) fn observe(&self, facts: &Facts) -> Observed {
        let mut lines = vec![
            "system os debian||13".to_string(),
            "system uname x86_64 6.1 cp1".into(),
            "address eth1 10.77.0.11/24".into(),
        ];
        lines.extend(self.pending.iter().map(|p| format!("pending {p}")));
        for fact in facts {
            match fact {
                Fact::Path(path) | Fact::File(path) | Fact::LargeFile(path) => {
                    self.look(path, fact, &mut lines)
                }
                Fact::Content(path) => {
                    if let Some(Entry::File {
                        bytes: Some(bytes), ..
                    }) = self.files.get(path)
                    {
                        lines.push(format!("content {path} {}", BASE64.encode(bytes)));
                    }
                }
                Fact::Package(name) if self.packages.contains(name) => {
                    lines.push(format!("package {name} ii |1"))
                }
                Fact::Unit(name) => {
                    let unit = self.units.get(name).copied();
                    let (active, enabled) = unit.map_or((false, false), |(a, e, _)| (a, e));
                    let word =
                        |b, yes: &str, no: &str| if b { yes.to_string() } else { no.to_string() };
                    lines.push(format!(
                        "unit LoadState={}",
                        word(unit.is_some(), "loaded", "not-found")
                    ));
                    lines.push(format!(
                        "unit ActiveState={}",
                        word(active, "active", "inactive")
                    ));
                    let file = word(enabled, "enabled", "disabled");
                    lines.push(format!(
                        "unit UnitFileState={}",
                        if unit.is_some() { file } else { String::new() }
                    ));
                    lines.push(format!(
                        "unit NeedDaemonReload={}",
                        word(self.stale.contains(name), "yes", "no")
                    ));
                    lines.push("unit ".into());
                }
                Fact::Sysctl(key) => {
                    if let Some(value) = self.sysctls.get(key) {
                        lines.push(format!("sysctl {} {value}", key.replace('.', "/")));
                    }
                }
                Fact::Module(name) if self.modules.contains(name) => {
                    lines.push(format!("module {name}"))
                }
                Fact::Swap => {
                    if self.swap {
                        lines.push("swap /dev/sda2".into());
                    }
                    lines.push("swaps-listed".into());
                }
                Fact::Images if self.units.get("containerd").is_some_and(|u| u.0) => {
                    lines.extend(self.images.iter().map(|i| format!("image {i}")));
                    lines.push("images-listed".into());
                }
                _ => {}
            }
        }
        lines.extend(self.more.iter().cloned());
        lines.push("end".into());
        let output: String = lines.iter().map(|l| format!("N0NCE {l}\n")).collect();
        probe::parse(facts, "N0NCE", output.as_bytes()).unwrap()
    }

    fn look(&self, path: &str, fact: &Fact, lines: &mut Vec<String>) {
        match self.files.get(path) {
            Some(Entry::File {
                bytes,
                sha,
                mode,
                owner,
                group,
            }) => {
                let size = bytes.as_ref().map_or(9, Vec::len);
                lines.push(format!(
                    "stat {:x} {size} {owner} {group} 0 0 {path}",
                    0o100_000 | mode
                ));
                if !matches!(fact, Fact::Path(_)) {
                    lines.push(format!("sum {sha}  {path}"));
                }
            }
            Some(Entry::Directory { mode }) => lines.push(format!(
                "stat {:x} 0 root root 0 0 {path}",
                0o040_000 | mode
            )),
            Some(Entry::Link { target }) => {
                lines.push(format!("stat {:x} 0 root root 0 0 {path}", 0o120_777));
                lines.push(format!("link {path} {}", BASE64.encode(target)));
            }
            None => {}
        }
    }

    fn notify(&mut self, notify: &[String]) {
        self.pending.extend(notify.iter().cloned());
    }

    /// Runs an effect; returns whether it changed something.
    pub(crate) fn run(
        &mut self,
        effect: &Effect,
        notify: &[String],
        started: &mut BTreeSet<String>,
    ) -> bool {
        let before = self.clone();
        match effect {
            Effect::WriteFile(file) => {
                let now = match self.files.get(&file.path) {
                    Some(Entry::File { sha, .. }) => Some(*sha),
                    _ => None,
                };
                match file.expect {
                    _ if now == Some(file.content.sha256()) => {}
                    Expect::Any => {}
                    Expect::AbsentOrKept if self.files.contains_key(&file.path) => return false,
                    Expect::AbsentOrKept => {}
                    Expect::Absent => assert_eq!(now, None, "the guard of {} fails", file.path),
                    Expect::Content(sha) => {
                        assert_eq!(now, Some(sha), "the guard of {} fails", file.path)
                    }
                }
                let bytes = match &file.content {
                    Content::Inline(bytes) => Some(bytes.to_vec()),
                    Content::File { .. } => None,
                };
                let entry = Entry::File {
                    bytes,
                    sha: file.content.sha256(),
                    mode: file.mode.bits(),
                    owner: file.owner.clone(),
                    group: file.group.clone(),
                };
                self.files.insert(file.path.clone(), entry);
                if let Some(unit) = file.path.strip_prefix("/etc/systemd/system/") {
                    let unit = unit.split('.').next().unwrap().to_string();
                    self.units.entry(unit.clone()).or_default();
                    if before.files.get(&file.path) != self.files.get(&file.path) {
                        self.stale.insert(unit);
                    }
                }
            }
            Effect::Directory { path, mode, .. } => {
                let mode = mode.map_or(0o755, |m| m.bits());
                self.files.insert(path.clone(), Entry::Directory { mode });
            }
            Effect::Attributes {
                path, mode: new, ..
            } => match self.files.get_mut(path) {
                Some(Entry::File { mode, .. } | Entry::Directory { mode }) => {
                    *mode = new.map_or(*mode, |m| m.bits())
                }
                _ => panic!("{path} has no attributes"),
            },
            Effect::Link { path, target } => {
                self.files.insert(
                    path.clone(),
                    Entry::Link {
                        target: target.clone(),
                    },
                );
            }
            Effect::Remove { path } => self
                .files
                .retain(|p, _| p != path && !p.starts_with(&format!("{path}/"))),
            Effect::InstallPackages(names) => {
                for name in names {
                    if self.packages.insert(name.clone())
                        && matches!(name.as_str(), "haproxy" | "keepalived")
                    {
                        // Debian starts what it installs.
                        self.units.insert(name.clone(), (true, true, 1));
                        self.files
                            .entry(format!("/etc/{name}/{name}.cfg"))
                            .or_insert(text("from the package"));
                    }
                }
            }
            Effect::RemovePackages(names) => self.packages.retain(|p| !names.contains(p)),
            Effect::Unit(act, name) => {
                let unit = self
                    .units
                    .get_mut(name)
                    .unwrap_or_else(|| panic!("there is no unit {name}"));
                match act {
                    UnitAct::Started if !unit.0 => {
                        *unit = (true, unit.1, unit.2 + 1);
                        started.insert(name.clone());
                    }
                    UnitAct::Restarted | UnitAct::Reloaded => *unit = (true, unit.1, unit.2 + 1),
                    UnitAct::Stopped => unit.0 = false,
                    UnitAct::Enabled => unit.1 = true,
                    UnitAct::Disabled => unit.1 = false,
                    _ => {}
                }
            }
            Effect::DaemonReload => self.stale.clear(),
            Effect::Sysctl { key, value } => {
                let there = self.sysctls.contains_key(key) || self.modules.contains("br_netfilter");
                assert!(there, "the kernel has no {key}");
                self.sysctls.insert(key.clone(), value.clone());
            }
            Effect::LoadModule(name) => {
                self.modules.insert(name.clone());
            }
            Effect::SwapOff => self.swap = false,
            Effect::ImportImage { names, .. } | Effect::PullImages { names, .. } => {
                assert!(
                    self.units.get("containerd").is_some_and(|u| u.0),
                    "images need containerd"
                );
                self.images.extend(names.iter().cloned());
            }
            Effect::Run(_) => {}
            other => panic!("the model does not know {other:?}"),
        }
        let changed = *self != before;
        if changed {
            self.notify(notify);
        }
        changed
    }

    /// Runs a plan, up to `limit` effects; returns how many there are.
    pub(crate) fn apply(&mut self, plan: &HostPlan, limit: usize) -> usize {
        let mut done = 0;
        let mut started = BTreeSet::new();
        for step in &plan.steps {
            for change in &step.changes {
                if done == limit {
                    return done;
                }
                self.run(&change.effect, &step.notify, &mut started);
                done += 1;
            }
        }
        for handler in plan.handlers.iter() {
            if !self.pending.contains(&handler.id) {
                continue;
            }
            for change in handler.steps.iter().flat_map(|s| &s.changes) {
                if done == limit {
                    return done;
                }
                self.run(&change.effect, &[], &mut started);
                done += 1;
            }
            self.pending.remove(&handler.id);
        }
        done
    }
}

/// The built-in roles in the order in which pods need them, which services can live with.
pub(crate) fn builtin() -> HostRoles {
    let (library, diagnostics) = Library::builtin();
    assert!(!diagnostics.has_errors(), "{diagnostics:#?}");
    let names = [
        "vrrp",
        "hosts",
        "container_runtime",
        "kubernetes",
        "haproxy",
        "keepalived",
    ];
    HostRoles::new(
        names.iter().map(|n| library.get(n).unwrap()).collect(),
        Arc::new(AllThere),
    )
}

fn planned(roles: &HostRoles, scope: &Scope, model: &Model) -> HostPlan {
    let facts = roles.facts(scope).unwrap();
    let observed = model.observe(&facts);
    let more: Vec<_> = roles
        .facts_of(scope, &observed.system, &Registered::default())
        .unwrap()
        .difference(&facts)
        .cloned()
        .collect();
    assert!(more.is_empty(), "asked again: {more:?}");
    roles
        .plan(scope, &observed, &Registered::default())
        .unwrap()
}

fn titles(plan: &HostPlan) -> Vec<String> {
    let change = |s: &quorate::plan::Step| {
        let what: Vec<String> = s
            .changes
            .iter()
            .map(|c| format!("{} [{}]", c.effect.describe(), c.why))
            .collect();
        format!("{}: {}", s.title, what.join("; "))
    };
    plan.steps
        .iter()
        .map(change)
        .chain(plan.handlers.iter().map(|h| format!("handler {}", h.id)))
        .collect()
}

#[test]
fn a_bare_host_converges_in_one_wave() {
    let (roles, scope) = (builtin(), cluster());
    let mut model = Model::bare();
    let plan = planned(&roles, &scope, &model);
    assert!(!plan.more, "{:?}", plan.known_after_apply);
    insta::assert_debug_snapshot!("bare_host", titles(&plan));
    converges(&roles, &scope, &plan, &mut model);
}

fn converges(roles: &HostRoles, scope: &Scope, plan: &HostPlan, model: &mut Model) {
    model.apply(plan, usize::MAX);
    let again = planned(roles, scope, model);
    assert!(again.is_empty(), "{:#?}", titles(&again));
    assert_eq!(
        again.ok as usize + again.skipped as usize,
        plan.steps.len() + (plan.ok + plan.skipped) as usize
    );
}

#[test]
fn a_bare_host_with_static_pods_converges_in_one_wave() {
    let (roles, scope) = (builtin(), pods());
    let mut model = Model::bare();
    let plan = planned(&roles, &scope, &model);
    assert!(!plan.more, "{:?}", plan.known_after_apply);
    insta::assert_debug_snapshot!("bare_host_with_static_pods", titles(&plan));
    converges(&roles, &scope, &plan, &mut model);
    assert!(
        !model.packages.contains("haproxy") && !model.units.contains_key("keepalived"),
        "nothing of the services"
    );
}

#[test]
fn a_crash_after_any_effect_is_made_good_by_the_next_run() {
    for scope in [cluster(), pods()] {
        crashes_are_made_good(&builtin(), &scope);
    }
}

fn crashes_are_made_good(roles: &HostRoles, scope: &Scope) {
    let whole = planned(roles, scope, &Model::bare());
    let count = Model::bare().apply(&whole, usize::MAX);
    assert!(count > 30, "{count}");
    let mut reference = Model::bare();
    reference.apply(&whole, usize::MAX);
    for limit in 0..count {
        let mut model = Model::bare();
        model.apply(&whole, limit);
        let rest = planned(roles, scope, &model);
        model.apply(&rest, usize::MAX);
        let again = planned(roles, scope, &model);
        assert!(
            again.is_empty(),
            "after a crash behind effect {limit}: {:#?}",
            titles(&again)
        );
        // How often a unit was started may differ.
        let mut expected = reference.clone();
        expected
            .units
            .iter_mut()
            .for_each(|(name, unit)| unit.2 = model.units[name].2);
        assert_eq!(model, expected, "after a crash behind effect {limit}");
    }
}

#[test]
fn no_effect_can_be_left_out() {
    for scope in [cluster(), pods()] {
        all_are_needed(&builtin(), &scope);
    }
}

fn all_are_needed(roles: &HostRoles, scope: &Scope) {
    let whole = planned(roles, scope, &Model::bare());
    for (i, step) in whole.steps.iter().enumerate() {
        for j in 0..step.changes.len() {
            let effect = &step.changes[j].effect;
            // Others fail without them, which the model shows by itself.
            let needed = matches!(effect, Effect::Remove { .. } | Effect::LoadModule(_))
                // Debian enables what it installs.
                || matches!(effect, Effect::Unit(UnitAct::Enabled, unit) if unit == "haproxy" || unit == "keepalived")
                || matches!(effect, Effect::WriteFile(f) if f.path.contains("systemd") || f.path.contains("99") || f.path.contains("90-"))
                || matches!(
                    effect,
                    Effect::InstallPackages(_) | Effect::Unit(UnitAct::Started, _)
                );
            // `changed_when: false`: nothing can be seen of it.
            if needed || step.report == Report::Ok {
                continue;
            }
            let mut broken = whole.clone();
            broken.steps[i].changes.remove(j);
            let mut model = Model::bare();
            model.apply(&broken, usize::MAX);
            let again = planned(roles, scope, &model);
            assert!(
                !again.is_empty(),
                "without `{}` of {} the plan is empty",
                effect.describe(),
                step.title
            );
        }
    }
}

#[test]
fn a_pending_handler_is_a_change_of_its_own() {
    let (roles, scope) = (builtin(), cluster());
    let mut model = Model::bare();
    model.apply(&planned(&roles, &scope, &model), usize::MAX);
    model.pending.insert("haproxy.reload-haproxy".into());
    model.pending.insert("haproxy.gone".into());
    model.pending.insert("play-of-old.gone".into());
    let plan = planned(&roles, &scope, &model);
    assert!(plan.steps.is_empty() && !plan.is_empty());
    assert_eq!(titles(&plan), ["handler haproxy.reload-haproxy"]);
    let left = roles.left_pending(&model.observe(&roles.facts(&scope).unwrap()));
    for mark in ["haproxy.gone", "play-of-old.gone"] {
        let said = left.iter().filter(|said| said.contains(mark));
        assert_eq!(said.count(), 1, "{left:?}");
    }
    assert_eq!(left.len(), 2, "{left:?}");
    let starts = model.units["haproxy"].2;
    model.apply(&plan, usize::MAX);
    assert_eq!(model.units["haproxy"].2, starts + 1);
}

#[test]
fn an_edit_behind_a_package_starts_from_what_was_seen() {
    // Packages may bring files, but nobody waits for another look at /etc/hosts because of that.
    let tasks = "- package:\n    name: haproxy\n- blockinfile:\n    path: /etc/hosts\n    block: 10.0.0.1 a\n- file:\n    path: /etc/haproxy\n    state: directory\n";
    let (roles, scope) = only(tasks);
    let plan = planned(&roles, &scope, &Model::bare());
    assert_eq!(
        titles(&plan),
        [
            "r : package (task 1): install haproxy [not installed]",
            "r : blockinfile (task 2): write /etc/hosts [content differs]",
            "r : file (task 3): make directory /etc/haproxy [(known after apply)]",
        ]
    );
}

#[test]
fn an_edit_behind_a_command_waits_for_another_look() {
    let tasks = "- command: make-hosts\n- blockinfile:\n    path: /etc/hosts\n    block: 10.0.0.1 a\n- command: other\n";
    let (roles, scope) = only(tasks);
    let plan = planned(&roles, &scope, &Model::bare());
    assert_eq!(
        titles(&plan),
        ["r : command (task 1): run make-hosts [runs each time]"]
    );
    assert!(plan.more);
    assert_eq!(
        plan.known_after_apply,
        ["r : blockinfile (task 2)", "r : command (task 3)"]
    );
    // The next look knows what the command did, and the command is not run twice.
    let mut registered = Registered::default();
    registered.record(
        "r : command (task 1)",
        quorate::event::Status::Changed,
        Default::default(),
    );
    let observed = Model::bare().observe(&roles.facts(&scope).unwrap());
    let next = roles.plan(&scope, &observed, &registered).unwrap();
    assert_eq!(
        titles(&next),
        [
            "r : blockinfile (task 2): write /etc/hosts [content differs]",
            "r : command (task 3): run other [runs each time]"
        ]
    );
    assert!(!next.more);
}

#[test]
fn the_kubelet_of_a_member_runs_and_before_kubeadm_it_does_not() {
    let (roles, mut scope) = (builtin(), cluster());
    let mut model = Model::bare();
    model.apply(&planned(&roles, &scope, &model), usize::MAX);
    assert!(!model.units["kubelet"].0);
    scope.set("is_member", Binding::fixed(serde_json::json!(true)));
    let plan = planned(&roles, &scope, &model);
    assert_eq!(
        titles(&plan),
        ["kubernetes : The kubelet runs: start kubelet [is inactive]"]
    );
    converges(&roles, &scope, &plan, &mut model);
    model.units.entry("containerd".into()).or_default().0 = false;
    let plan = planned(&roles, &scope, &model);
    let first =
        "container_runtime : containerd runs, now and at boot: start containerd [is inactive]";
    assert_eq!(titles(&plan).first().map(String::as_str), Some(first));
}
