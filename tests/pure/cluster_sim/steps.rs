//! What one step of a controller does to the hosts, and what goes on without one.

use quorate::cluster::drift::Place;
use quorate::cluster::{Act, Standing};
use quorate::host::fact::Marker;

use super::history::{Controller, End, History, Mutation, Task, name};
use super::world::{Host, KUBELET, SERVER, Unit};

impl History {
    pub(super) fn step(&mut self, controller: &mut Controller, index: usize) -> End {
        let answers = self.world.answers();
        let left_at_work = self.left_at_work(controller);
        let task = &mut controller.tasks[index];
        let key = task.host.clone();
        if !self.world.up(&key) {
            return End::Bad;
        }
        let Some(act) = task.act.clone() else {
            task.step += 1;
            let step = task.step;
            return self.prepare(&key, step);
        };
        let (verb, resume) = match &act {
            Act::Init { resume, .. } => ("init", *resume),
            Act::JoinControlPlane { resume, .. } => ("join", *resume),
            Act::JoinWorker { resume, .. } => ("join-worker", *resume),
            Act::Mint { certificates, .. } => {
                if !answers {
                    return End::Bad;
                }
                let token = controller.run * 1000 + self.choices.below(900, 0) as u32;
                if self.mutation != Mutation::NoMint {
                    self.world.tokens.insert(token);
                }
                if *certificates && self.mutation != Mutation::NoCertificates {
                    self.world.keys.insert(token);
                }
                controller.token = Some(token);
                return End::Good;
            }
            Act::Release { .. } | Act::Switch { .. } => panic!("there is one way alone"),
            Act::Finish { .. } => {
                let control_plane = self.world.hosts[&key].control_plane;
                let act = if control_plane { "join" } else { "join-worker" };
                return self.mark(&key, act, controller.run, true, &task.seen);
            }
            Act::Sign { .. } => {
                if !answers {
                    return End::Bad;
                }
                if left_at_work {
                    return End::Going;
                }
                let joins = |h: &Host| h.unit.as_ref().is_some_and(|u| u.act == "join");
                if self.world.hosts.values().any(joins) {
                    let text = format!("the load balancer of {key} starts anew below a join");
                    self.world.wrong.push(text);
                }
                let host = self.world.hosts.get_mut(&key).unwrap();
                host.signed = self.mutation != Mutation::NoSignature;
                // The manifest is not as written any more: its role comes next, in this run or another.
                host.restarts = true;
                host.file = 0;
                return End::Good;
            }
            Act::CheckVip => return End::Good,
            Act::Upload { .. } | Act::RollOut { .. } | Act::Kubelet { .. } => {
                return self.roll(&key, &act);
            }
            Act::Mark { .. } => panic!("no labels are wanted"),
            Act::Apply { .. } => panic!("no manifests are wanted"),
        };
        // The locks of all control planes: what a dead run rolls out is waited for.
        let rolls = self.world.hosts.values().any(|h| h.rolling.is_some());
        if verb != "join-worker" && (rolls || left_at_work) {
            return End::Going;
        }
        task.step += 1;
        // The host itself decides what is skipped, when kubeadm starts.
        let open = task.seen.as_ref().filter(|m| m.act == verb && !m.done);
        let begun = open.is_some() || resume;
        let looked = controller.view.hosts[&name(&key)].has_trace(KUBELET)
            && controller.view.node(&name(&key)).is_some();
        match task.step {
            1 if verb != "init" && !answers => End::Bad,
            1 => End::Going,
            2 => match self.mark(&key, verb, controller.run, false, &task.seen) {
                End::Good => End::Going,
                end => end,
            },
            3 => {
                let token = *controller.token.get_or_insert(controller.run);
                if self.mutation == Mutation::NoKubeadm {
                    self.world.hosts.get_mut(&key).unwrap().result = Some((true, controller.run));
                    return End::Going;
                }
                if !self.world.is_prepared(&key) {
                    self.world
                        .wrong
                        .push(format!("kubeadm on {key}, which is not prepared"));
                    return End::Bad;
                }
                // One outside of the limit has its turn in another run.
                let restarts = |(name, h): (&String, &Host)| {
                    h.restarts && h.up && controller.limit.contains(name)
                };
                if verb == "join" && self.world.hosts.iter().any(restarts) {
                    let text = format!("{key} joins over a load balancer that starts anew");
                    self.world.wrong.push(text);
                }
                let host = self.world.hosts.get_mut(&key).unwrap();
                if host.unit.is_none() {
                    let mut skip = Vec::new();
                    let traces = begun && !host.traces.is_empty();
                    if traces && self.mutation != Mutation::AlwaysPreflight {
                        skip.push("preflight");
                    }
                    if begun && verb != "init" && !host.traces.contains(KUBELET) {
                        host.kubelet = false;
                    }
                    if begun
                        && verb != "init"
                        && match self.mutation {
                            Mutation::NeverSkipKubelet => false,
                            Mutation::SkipByTheLook => looked,
                            _ => host.traces.contains(KUBELET),
                        }
                    {
                        host.kubelet = true;
                        skip.push("kubelet-start");
                    }
                    host.result = None;
                    host.unit = Some(Unit {
                        act: verb,
                        phase: 0,
                        run: controller.run,
                        skip,
                        token,
                    });
                } else if self.mutation == Mutation::RunningUnseen && !resume {
                    return End::Bad;
                }
                End::Going
            }
            4 => match self.world.hosts[&key].result {
                None => {
                    self.world.advance(&key);
                    // It is waited for until it has ended.
                    task.step = 3;
                    End::Going
                }
                Some((true, run)) => {
                    if verb == "init"
                        && run != controller.run
                        && self.mutation != Mutation::AttachTrusted
                    {
                        controller.attached = true;
                    }
                    End::Going
                }
                Some((false, _)) => End::Bad,
            },
            5 if !self.world.answers() => End::Bad,
            5 => {
                self.settle();
                End::Going
            }
            _ => {
                if self.mutation == Mutation::NoDoneMarker {
                    return End::Good;
                }
                let begun = self.world.hosts[&key].marker.clone();
                self.mark(&key, verb, controller.run, true, &begun)
            }
        }
    }

    /// Whether a dead run's kubeadm goes on on a control plane outside of the limit: the locks of all control planes wait for it.
    fn left_at_work(&self, controller: &Controller) -> bool {
        let outside = |(name, host): (&String, &Host)| {
            host.control_plane && host.unit.is_some() && !controller.limit.contains(name)
        };
        self.world.hosts.iter().any(outside)
    }

    /// One step of a wave by the host's roles: the mark of the handler, the file, and the handler.
    fn prepare(&mut self, key: &str, step: usize) -> End {
        let role = self.world.role;
        let writes = self.mutation != Mutation::NoPreparation;
        let marks = self.mutation != Mutation::NoHandlerMark;
        let at_once = !self.world.is_wide;
        let host = self.world.hosts.get_mut(key).unwrap();
        if at_once || step == 1 {
            // What is as written has its handler alone left.
            host.pending |= marks && host.file != role;
        }
        if (at_once || step == 2) && writes {
            host.file = role;
        }
        if !at_once && step < 3 {
            return End::Going;
        }
        host.loaded = host.file;
        host.pending = false;
        host.restarts = false;
        self.world.tell(|| format!("    {key}: its roles are done"));
        End::Good
    }

    /// One step of an act that brings the configuration back.
    pub(super) fn roll(&mut self, key: &str, act: &Act) -> End {
        let (wanted, kept) = (self.world.wanted, self.world.kept);
        let others: Vec<&String> = self.world.hosts.keys().filter(|n| *n != key).collect();
        let serves = others.iter().any(|n| self.world.api(n));
        let of_etcd = self.world.etcd.len() > 1;
        // The locks of all control planes: what a dead run has left at work is waited for.
        let occupied = self.world.hosts.values().any(|h| h.unit.is_some())
            || others
                .iter()
                .any(|n| self.world.hosts[*n].rolling.is_some());
        match act {
            Act::Upload { .. } if !self.world.api(key) => End::Bad,
            Act::Upload { .. } => {
                if self.mutation != Mutation::NoUpload {
                    self.world.kept = wanted;
                }
                End::Good
            }
            Act::Kubelet { .. } => {
                if !self.world.answers() {
                    return End::Bad;
                }
                self.world.hosts.get_mut(key).unwrap().configured = kept;
                End::Good
            }
            _ if self.mutation == Mutation::NoRollOut => End::Good,
            _ if self.world.hosts[key].rolling.is_some() => {
                self.rolled(key);
                End::Good
            }
            _ if occupied => End::Going,
            _ if of_etcd && !serves => End::Bad,
            // The script asks all members of etcd before it touches this one.
            _ if self.world.is_wide
                && self.mutation != Mutation::NoWaitForEtcd
                && !self.world.all_others_vote(key) =>
            {
                End::Bad
            }
            _ => {
                self.world.keeps_quorum(key, "a roll-out", |world| {
                    world.hosts.get_mut(key).unwrap().rolling = Some(wanted);
                });
                self.world
                    .tell(|| format!("    {key}: its static pods are written anew"));
                End::Going
            }
        }
    }

    /// What is rolled out serves again.
    pub(super) fn rolled(&mut self, host: &str) {
        let host = self.world.hosts.get_mut(host).unwrap();
        if let Some(version) = host.rolling.take() {
            host.made = version;
        }
    }

    /// Nodes become Ready where there is a network.
    pub(super) fn settle(&mut self) {
        let up: Vec<String> = self
            .world
            .hosts
            .iter()
            .filter(|(_, h)| h.up && h.traces.contains(KUBELET))
            .map(|(n, _)| n.clone())
            .collect();
        for host in up {
            if let Some(node) = self.world.nodes.get_mut(&host) {
                node.0 |= self.world.network;
            }
        }
    }

    pub(super) fn mark(
        &mut self,
        host: &str,
        act: &str,
        run: u32,
        done: bool,
        seen: &Option<Marker>,
    ) -> End {
        let host = self.world.hosts.get_mut(host).unwrap();
        if self.mutation == Mutation::NoMarker {
            return End::Good;
        }
        if host.marker != *seen && self.mutation != Mutation::MarkersUnseen {
            return End::Bad;
        }
        host.marker = Some(Marker {
            act: act.into(),
            run: run.to_string(),
            config: "config".into(),
            done,
        });
        End::Good
    }

    pub(super) fn ended(&mut self, controller: &mut Controller, index: usize, good: bool) {
        let task = controller.tasks.remove(index);
        let host = name(&task.host);
        let up = self.world.up(&task.host);
        let kubernetes = up.then(|| self.observe(&task.host));
        let due = self.due(&task.host);
        let (drift, cluster_drift) = self.drift(&task.host);
        let state = controller.view.hosts.get_mut(&host).unwrap();
        state.busy = false;
        if let (true, Some(kubernetes)) = (good, kubernetes) {
            state.kubernetes = kubernetes;
            state.standing = Standing::Prepared;
            // Who is rolled out and differs all the same has failed.
            let left = match &task.act {
                Some(Act::Upload { .. }) => !cluster_drift.is_empty(),
                Some(Act::RollOut { .. }) => drift.iter().any(|d| d.place == Place::Manifests),
                Some(Act::Kubelet { .. }) => drift.iter().any(|d| d.place == Place::Kubelet),
                _ => false,
            };
            if left {
                state.standing = Standing::Failed("rolled out, and due all the same".into());
            }
            state.drift = drift;
            state.cluster_drift = cluster_drift;
            state.credential_due = due.clone();
            if matches!(task.act, Some(Act::Sign { .. })) {
                // The manifest names another kubeconfig now; and who is still due has failed.
                state.standing = if due.is_some() {
                    Standing::Failed("signed, and due all the same".into())
                } else {
                    state.busy = true;
                    Standing::Preparing
                };
                if state.busy {
                    controller.tasks.push(Task {
                        host: task.host.clone(),
                        act: None,
                        step: 0,
                        seen: None,
                    });
                }
            }
            state.joined |= matches!(
                task.act,
                Some(Act::JoinControlPlane { .. } | Act::JoinWorker { .. })
            );
            controller.view.note_api(&host);
        } else if up {
            controller.certain &= self.mutation == Mutation::StaleWord;
            state.standing = Standing::Failed("failed".into());
        } else {
            controller.certain &= self.mutation == Mutation::StaleWord;
            state.standing = Standing::Unknown("lost".into());
            controller.view.choose_api();
        }
        // Who attached to another run's init has no token in the cluster, whatever was minted before.
        match task.act {
            Some(Act::Init { .. }) if good => {
                controller.view.token = controller.token.is_some() && !controller.attached;
            }
            Some(Act::Mint { .. }) => controller.view.token |= good,
            _ => {}
        }
    }

    /// Beside a run, what an earlier one has started goes on by itself, and kubelets do.
    pub(super) fn meanwhile(&mut self, run: u32) {
        let names: Vec<String> = self.world.hosts.keys().cloned().collect();
        for host in &names {
            // On a tape everything goes on in turn: what never did would be a fault of its own.
            let turn = self.choices.made.len() % 6;
            match self.choices.below(6, turn) {
                0 => {
                    let unit = self.world.hosts[host].unit.as_ref();
                    if unit.is_some_and(|unit| unit.run != run) {
                        self.world.advance(host);
                        self.world.check();
                    }
                }
                1 => self.world.kubelet(host),
                // Outlives the run that began it, and not its host.
                2 if self.world.up(host) => self.rolled(host),
                _ => {}
            }
        }
    }

    /// Between two runs kubeadm goes on by itself, and hosts come back.
    pub(super) fn between(&mut self) {
        let names: Vec<String> = self.world.hosts.keys().cloned().collect();
        for host in names {
            for _ in 0..self.choices.below(14, 0) {
                self.world.advance(&host);
                self.world.check();
            }
            let back = self.faults == 0 || self.choices.below(2, 0) == 0;
            self.world.hosts.get_mut(&host).unwrap().up |= back;
            if self.choices.below(2, 1) == 0 && self.world.up(&host) {
                self.rolled(&host);
            }
        }
        // Somebody writes another configuration, once nothing is half done.
        let open = |h: &Host| h.marker.as_ref().is_some_and(|m| !m.done);
        let begun = self.world.hosts.values().any(open);
        if self.faults > 0 && self.world.configured && !begun && self.choices.below(3, 2) == 0 {
            let wanted = self.choices.below(3, 0) as u32;
            self.world.wanted = wanted;
            self.world
                .tell(|| format!("somebody wants configuration {wanted}"));
        }
        if self.world.is_wide && self.faults > 0 && self.choices.below(4, 3) == 0 {
            self.world.role += 1;
            self.world.tell(|| "somebody edits a template".into());
        }
        if self.choices.below(2, 1) == 0 {
            self.settle();
        }
    }

    pub(super) fn whole(&self) -> Result<(), String> {
        for (host, state) in &self.world.hosts {
            if !self.world.nodes.contains_key(host) {
                return Err(format!("{host} is no node"));
            }
            let marked = state.marker.as_ref().is_some_and(|m| m.done);
            if !marked {
                return Err(format!("{host} is not marked as done"));
            }
            if state.file != self.world.role {
                return Err(format!("the files of {host} are not as written"));
            }
            if state.loaded != self.world.role {
                return Err(format!("the handler of {host} is lost"));
            }
            let voting = self
                .world
                .etcd
                .iter()
                .any(|m| m.host == *host && m.started && !m.learner);
            let labelled = self.world.nodes[host].1;
            if state.configured != self.world.wanted {
                return Err(format!("the kubelet of {host} has another configuration"));
            }
            if state.control_plane && state.made != self.world.wanted {
                return Err(format!(
                    "the static pods of {host} are of another configuration"
                ));
            }
            if state.control_plane && self.world.dedicated && !state.signed {
                return Err(format!("kube-vip on {host} has no kubeconfig"));
            }
            if state.control_plane && !(voting && labelled && state.traces.contains(SERVER)) {
                return Err(format!("{host} is no full control plane"));
            }
        }
        (self.world.cas == 1)
            .then_some(())
            .ok_or_else(|| format!("{} CAs", self.world.cas))
    }
}
