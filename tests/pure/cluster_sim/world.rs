//! The hosts, etcd and kubeadm of the model.

use std::collections::{BTreeMap, BTreeSet};

use quorate::host::fact::Marker;

/// kubeadm's phases, cut at the points of facts/resume.md.
pub(super) const INIT: [&str; 9] = [
    "preflight",
    "certs",
    "kubeconfig",
    "manifests",
    "kubelet-start",
    "upload-config",
    "upload-certs",
    "mark",
    "token",
];
pub(super) const JOIN: [&str; 9] = [
    "preflight",
    "discovery",
    "certs",
    "kubelet-start",
    "etcd-announce",
    "manifests",
    "promote",
    "bootstrap",
    "mark",
];
pub(super) const WORKER: [&str; 4] = ["preflight", "discovery", "kubelet-start", "bootstrap"];

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Unit {
    pub(super) act: &'static str,
    pub(super) phase: usize,
    pub(super) run: u32,
    pub(super) skip: Vec<&'static str>,
    pub(super) token: u32,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Host {
    pub(super) control_plane: bool,
    pub(super) up: bool,
    /// Of which version the files of its roles are, with which one their service runs, and whether a handler is marked to
    /// start it anew.
    pub(super) file: u32,
    pub(super) loaded: u32,
    pub(super) pending: bool,
    pub(super) ca: Option<u32>,
    pub(super) traces: BTreeSet<&'static str>,
    pub(super) marker: Option<Marker>,
    pub(super) unit: Option<Unit>,
    /// Whether its kubelet runs: it asks for its certificate and registers its Node without anybody.
    pub(super) kubelet: bool,
    /// Whether the load balancer on it has a kubeconfig of its own, and whether it starts anew because of that.
    pub(super) signed: bool,
    pub(super) restarts: bool,
    /// How the last unit ended: whether well, and whose it was.
    pub(super) result: Option<(bool, u32)>,
    /// Of which configuration its static pods and its kubelet are, and which one is being rolled out: its API server does not
    /// answer then.
    pub(super) made: u32,
    pub(super) configured: u32,
    pub(super) rolling: Option<u32>,
}

#[derive(Debug, Clone)]
pub(super) struct Member {
    pub(super) host: String,
    pub(super) started: bool,
    pub(super) learner: bool,
}

#[derive(Debug, Clone, Default)]
pub(super) struct World {
    pub(super) hosts: BTreeMap<String, Host>,
    pub(super) etcd: Vec<Member>,
    /// Name to Ready and labelled.
    pub(super) nodes: BTreeMap<String, (bool, bool)>,
    pub(super) configured: bool,
    pub(super) cas: u32,
    pub(super) tokens: BTreeSet<u32>,
    pub(super) keys: BTreeSet<u32>,
    /// The configuration that is wanted, and the one that the cluster keeps.
    pub(super) wanted: u32,
    pub(super) kept: u32,
    pub(super) network: bool,
    /// Whether control planes carry a load balancer that asks the API by a kubeconfig of its own.
    pub(super) dedicated: bool,
    pub(super) wrong: Vec<String>,
    /// Which version of the roles' files is wanted.
    pub(super) role: u32,
    /// Whether histories have limits, roles that change, and members of etcd that start anew.
    pub(super) is_wide: bool,
    /// What happened, where somebody wants to read it.
    pub(super) story: Option<Vec<String>>,
}

pub(super) const KUBELET: &str = "/etc/kubernetes/kubelet.conf";
pub(super) const BOOTSTRAP: &str = "/etc/kubernetes/bootstrap-kubelet.conf";
pub(super) const ADMIN: &str = "/etc/kubernetes/admin.conf";
pub(super) const SERVER: &str = "/etc/kubernetes/manifests/kube-apiserver.yaml";
pub(super) const ETCD: &str = "/etc/kubernetes/manifests/etcd.yaml";
pub(super) const DATA: &str = "/var/lib/etcd/member";
pub(super) const CONFIG: &str = "/var/lib/kubelet/config.yaml";

impl World {
    pub(super) fn up(&self, name: &str) -> bool {
        self.hosts.get(name).is_some_and(|h| h.up)
    }

    pub(super) fn quorum(&self) -> bool {
        let voters: Vec<_> = self.etcd.iter().filter(|m| !m.learner).collect();
        let alive = voters.iter().filter(|m| self.votes(m)).count();
        alive * 2 > voters.len()
    }

    /// Whether a member of etcd answers: one whose static pods are written anew starts anew.
    fn votes(&self, member: &Member) -> bool {
        let starts = self.is_wide && self.hosts[&member.host].rolling.is_some();
        member.started && self.up(&member.host) && !starts
    }

    /// Whether all members of etcd with a vote answer, but for the one on this host.
    pub(super) fn all_others_vote(&self, name: &str) -> bool {
        let mut others = self.etcd.iter().filter(|m| !m.learner && m.host != name);
        others.all(|m| self.votes(m))
    }

    /// Whether the host's roles are as wanted, and no handler of theirs is to come.
    pub(super) fn is_prepared(&self, name: &str) -> bool {
        let host = &self.hosts[name];
        host.file == self.role && !host.pending
    }

    /// Writes down what happened, where that is read.
    pub(super) fn tell(&mut self, what: impl FnOnce() -> String) {
        if let Some(story) = &mut self.story {
            story.push(what());
        }
    }

    /// Does something of ours to etcd: three members or more keep their quorum in it.
    pub(super) fn keeps_quorum(&mut self, name: &str, what: &str, does: impl FnOnce(&mut Self)) {
        let had = self.quorum();
        does(self);
        let voters = self.etcd.iter().filter(|m| !m.learner).count();
        if self.is_wide && had && voters > 2 && !self.quorum() {
            let wrong = format!("etcd loses its quorum by {what} on {name}");
            self.wrong.push(wrong);
        }
    }

    pub(super) fn api(&self, name: &str) -> bool {
        let host = &self.hosts[name];
        let member = self.etcd.iter().any(|m| m.host == name && m.started);
        host.up
            && host.rolling.is_none()
            && host.traces.contains(SERVER)
            && host.traces.contains(CONFIG)
            && member
            && self.quorum()
    }

    pub(super) fn answers(&self) -> bool {
        self.hosts.keys().any(|n| self.api(n))
    }

    /// One phase of the host's running kubeadm.
    pub(super) fn advance(&mut self, name: &str) {
        let Some(mut unit) = self.hosts[name].unit.clone() else {
            return;
        };
        let phases: &[&str] = match unit.act {
            "init" => &INIT,
            "join" => &JOIN,
            _ => &WORKER,
        };
        let phase = phases[unit.phase];
        let good = unit.skip.contains(&phase) || self.phase(name, &unit, phase);
        let (act, run) = (unit.act, unit.run);
        self.tell(|| {
            let end = if good { "" } else { ", which fails" };
            format!("    {name}: kubeadm of run {run}, {act}: {phase}{end}")
        });
        unit.phase += 1;
        let host = self.hosts.get_mut(name).unwrap();
        if good && unit.phase < phases.len() {
            host.unit = Some(unit);
        } else {
            host.unit = None;
            host.result = Some((good, unit.run));
        }
    }

    pub(super) fn phase(&mut self, name: &str, unit: &Unit, phase: &str) -> bool {
        let answers = self.answers();
        let (wanted, kept) = (self.wanted, self.kept);
        let network = self.network;
        let ready = self.nodes.get(name).is_some_and(|n| n.0);
        let host = self.hosts.get_mut(name).unwrap();
        match (unit.act, phase) {
            (_, "preflight") => {
                return host.traces.is_empty() || host.traces.iter().eq([&ADMIN, &KUBELET]);
            }
            ("init", "certs") if host.ca.is_none() => {
                self.cas += 1;
                host.ca = Some(self.cas);
            }
            (_, "kubeconfig") => host.traces.extend([ADMIN, KUBELET]),
            ("init", "manifests") => {
                host.traces.extend([SERVER, ETCD]);
                host.made = wanted;
            }
            ("init", "kubelet-start") => {
                host.traces.extend([CONFIG, DATA]);
                host.configured = wanted;
                host.kubelet = true;
                if !self.etcd.iter().any(|m| m.host == name) {
                    self.etcd.push(Member {
                        host: name.into(),
                        started: true,
                        learner: false,
                    });
                }
                self.nodes.entry(name.into()).or_insert((network, false));
            }
            ("init", "upload-config") => {
                self.configured = true;
                self.kept = wanted;
            }
            (_, "upload-certs") => {
                self.keys.insert(unit.token);
            }
            (_, "mark") => {
                if !answers {
                    return false;
                }
                self.nodes.entry(name.into()).or_insert((network, false)).1 = true;
            }
            (_, "token") => {
                self.tokens.insert(unit.token);
            }
            (_, "discovery") => {
                return answers && self.configured && self.tokens.contains(&unit.token);
            }
            ("join", "certs") => {
                if !self.keys.contains(&unit.token) && host.ca.is_none() {
                    return false;
                }
                host.ca = Some(1);
            }
            (_, "kubelet-start") => {
                // The one refusal that --skip-phases=preflight does not lift.
                if ready {
                    return false;
                }
                if !host.traces.contains(KUBELET) {
                    host.traces.insert(BOOTSTRAP);
                }
                host.traces.insert(CONFIG);
                host.configured = kept;
                host.ca = Some(1);
                host.kubelet = true;
            }
            (_, "etcd-announce") => {
                if !answers {
                    return false;
                }
                if let Some(other) = self
                    .etcd
                    .iter()
                    .find(|m| (m.learner || !m.started) && m.host != name)
                {
                    let text = format!("{name} joins etcd while {} has no vote", other.host);
                    self.wrong.push(text);
                    return false;
                }
                if !self.etcd.iter().any(|m| m.host == name) {
                    self.etcd.push(Member {
                        host: name.into(),
                        started: false,
                        learner: true,
                    });
                }
            }
            ("join", "manifests") => {
                host.made = kept;
                host.traces.extend([SERVER, ETCD, DATA, ADMIN]);
                self.etcd
                    .iter_mut()
                    .filter(|m| m.host == name)
                    .for_each(|m| m.started = true);
            }
            (_, "promote") => {
                if !answers {
                    return false;
                }
                self.keeps_quorum(name, "a member more", |world| {
                    let mut members = world.etcd.iter_mut();
                    members
                        .by_ref()
                        .filter(|m| m.host == name)
                        .for_each(|m| m.learner = false);
                });
            }
            (_, "bootstrap") => {
                if !answers {
                    return false;
                }
                host.traces.remove(BOOTSTRAP);
                host.traces.insert(KUBELET);
                self.nodes.entry(name.into()).or_insert((network, false)).0 |= network;
            }
            _ => {}
        }
        true
    }

    /// A kubelet that runs gets on by itself.
    pub(super) fn kubelet(&mut self, name: &str) {
        // A control plane's asks its own API server (kubeadm, ControlPlaneKubeletLocalMode).
        let asked = if self.hosts[name].control_plane {
            self.api(name)
        } else {
            self.answers()
        };
        let network = self.network;
        let host = self.hosts.get_mut(name).unwrap();
        if !(asked && host.up && host.kubelet && host.traces.contains(CONFIG)) {
            return;
        }
        // First the certificate, then the Node, then Ready: each is a moment of its own.
        if host.traces.contains(BOOTSTRAP) && host.traces.insert(KUBELET) {
            return;
        }
        if host.traces.contains(KUBELET) {
            let known = self.nodes.contains_key(name);
            let node = self.nodes.entry(name.into()).or_insert((false, false));
            node.0 |= known && network;
        }
    }

    /// What is true at every moment.
    pub(super) fn check(&mut self) {
        if self.cas > 1 {
            self.wrong.push("two CAs".into());
        }
        let changing = self
            .hosts
            .values()
            .filter(|h| h.control_plane && h.unit.is_some())
            .count();
        if changing > 1 {
            self.wrong
                .push("two changes of control-plane membership at once".into());
        }
        let rolling = self.hosts.values().filter(|h| h.rolling.is_some()).count();
        if rolling > 1 {
            self.wrong
                .push("two control planes are rolled out at once".into());
        }
        if rolling + changing > 1 {
            let text = "a control plane is rolled out beside a change of membership";
            self.wrong.push(text.into());
        }
    }
}
