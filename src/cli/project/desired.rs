//! What is wanted of hosts and cluster, as the engine asks for it.

use std::sync::PoisonError;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::{Project, credentials, is_member, kubeconfig, membership, preflight, set};
use crate::cluster::act::{self, Manifest};
use crate::cluster::drift::Difference;
use crate::cluster::kubeadm::{self, Credentials, Join};
use crate::cluster::load_balancer::{Group, Holders, Remains, kube_vip};
use crate::cluster::migrate::{self, steps::Mover};
use crate::cluster::preflight::Finding;
use crate::cluster::spec::{BgpPeer, Way};
use crate::cluster::{Act, Moving, Shape, View, load_balancer};
use crate::engine::{Config, Desired, Seen, journal};
use crate::event::{Category, Event, Status};
use crate::host::fact::Kubernetes;
use crate::host::{Effect, Fact, Facts, Known, Observed, UnitAct};
use crate::model::{Diagnostics, HostName, Secret, Sha256};
use crate::plan::{Change, HostPlan, OnFailure, Step};
use crate::role::{Registered, StepResult};

/// Where nftables' program is in all distributions that are known here.
const NFT: &str = "/usr/sbin/nft";

impl Project {
    /// Returns a host as a move sees it.
    fn mover(&self, host: &HostName) -> Result<Mover, String> {
        let balancer = &self.spec.load_balancer;
        let spec = self.spec.hosts.get(host);
        let spec = spec.ok_or_else(|| format!("{host} is not in the cluster"))?;
        Ok(Mover {
            node: spec.node_name.clone(),
            address: spec.ip.address,
            vip: balancer.vip.ok_or("there is no virtual address to move")?,
            dest_port: balancer.dest_port,
            src_port: balancer.src_port,
            frontend: balancer.way.uses_vrrp(),
        })
    }

    /// Returns whether a live cluster's load balancer can be moved on this host: the bridge leads to its own API server.
    fn is_movable(&self, host: &HostName) -> bool {
        let shape = &self.shape;
        let carries = shape.load_balancers.contains(host) && shape.control_planes.contains(host);
        carries && load_balancer::is_movable(self.spec.load_balancer.way)
    }

    /// Returns whether the host's load balancer is another one once the host is a member.
    fn balances_differently(&self, host: &HostName) -> bool {
        let differs = self.parts.as_ref().is_some_and(|p| p.differs_on_members);
        differs && self.shape.load_balancers.contains(host)
    }

    /// Files of another way that is not at work any more, such as those that `kubeadm reset` does not know.
    fn clean(&self, host: &HostName, observed: &Observed, plan: &mut HostPlan) {
        let left = load_balancer::leftovers(self.spec.load_balancer.way, observed);
        if !left.is_empty() && self.shape.load_balancers.contains(host) {
            plan.put_first([migrate::steps::clean(&left)]);
        }
    }

    /// Returns what the host's roles say, whatever lies there of another way of the load balancer.
    fn placed(
        &self,
        host: &HostName,
        observed: &Observed,
        registered: &Registered,
    ) -> Result<HostPlan, String> {
        let desired = self.host(host)?;
        if let Some(spec) = self.spec.hosts.get(host) {
            let (carried, down) = (&observed.system.addresses, &observed.system.down);
            if let Some(finding) = self.spec.check_address(spec, carried, down) {
                return Err(finding.to_string());
            }
        }
        if self.is_external()
            && self.spec.hosts.contains_key(host)
            && let Some(found) = load_balancer::found_of_ours(observed)
        {
            return Err(found);
        }
        let scope = self.scope(host, observed, registered.is_whole)?;
        let mut plan = desired
            .roles
            .plan(&scope, observed, registered)
            .map_err(|found| sentence(&found))?;
        let plays = &self.plays;
        let to_come = plays.to_come(host, is_member(observed), registered.is_whole);
        plan.known_after_apply.extend(to_come);
        if plan.hides() {
            plan.unshown = Some(desired.roles.definition(&scope));
        }
        let handlers = plan.handlers.iter_mut().flat_map(|h| &mut h.steps);
        for change in plan
            .steps
            .iter_mut()
            .chain(handlers)
            .flat_map(|s| &mut s.changes)
        {
            // Contents go into events and the journal only where somebody asked for differences.
            change.diff = change.diff.take().filter(|_| self.diffs);
        }
        plan.mask(&desired.secrets, &self.masks);
        self.unmask(host, observed, &mut plan);
        Ok(plan)
    }

    /// What was masked while another way served, so that its installation would not start it, may start now.
    fn unmask(&self, host: &HostName, observed: &Observed, plan: &mut HostPlan) {
        if !self.shape.load_balancers.contains(host) {
            return;
        }
        let units = self.parts.iter().flat_map(|p| p.units);
        let masked = units.filter(|unit| observed.unit(unit).is(|u| u.file == "masked"));
        let changes: Vec<Change> = masked
            .map(|unit| {
                let effect = Effect::Unit(UnitAct::Unmasked, (*unit).to_string());
                Change::new(effect, "is masked")
            })
            .collect();
        if !changes.is_empty() {
            let step = Step::new(migrate::steps::UNMASK, Category::Own, changes);
            plan.put_first([step]);
        }
    }
}

/// Returns findings as one sentence.
pub(super) fn sentence(found: &Diagnostics) -> String {
    found
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("; ")
}

impl Desired for Project {
    fn shape(&self) -> &Shape {
        &self.shape
    }

    fn vip(&self) -> Option<std::net::IpAddr> {
        self.spec.load_balancer.vip
    }

    fn has_network(&self) -> bool {
        !self.spec.cni_manifests.is_empty()
    }

    fn node(&self, host: &HostName) -> Option<(String, String, u16)> {
        let input = self.hosts.get(host)?.input.as_ref()?;
        let address = input.node.address.to_string();
        Some((input.node.name.clone(), address, input.bind_port))
    }

    fn facts(&self, host: &HostName) -> Facts {
        let facts = self.hosts.get(host).map(|h| h.facts.clone());
        let mut facts = facts.unwrap_or_default();
        let learned = self.learned.lock().unwrap_or_else(PoisonError::into_inner);
        facts.extend(learned.get(host).cloned().unwrap_or_default());
        let way = self.spec.load_balancer.way;
        if self.is_external() && self.spec.hosts.contains_key(host) {
            facts.extend(load_balancer::facts_of_ours());
        }
        if self.spec.prepare_firewall {
            facts.extend(preflight::facts_of_firewalls());
        }
        if self.shape.load_balancers.contains(host) {
            facts.extend(load_balancer::facts_of_others(way));
            if self.spec.load_balancer.vrrp.is_some() {
                facts.insert(Fact::File(load_balancer::CONFIGURATION.into()));
                facts.insert(Fact::Content(load_balancer::CONFIGURATION.into()));
            }
            if load_balancer::is_movable(way) {
                facts.insert(Fact::Unit(migrate::steps::BRIDGE.into()));
                facts.insert(Fact::Path(NFT.into()));
            }
        }
        facts
    }

    fn learn(&self, host: &HostName, observed: &Observed) -> Facts {
        // The built-in roles ask for nothing that hangs on a fact: their tests see to that.
        let own = self.hosts.get(host).filter(|h| h.roles.has_own());
        if let (Some(desired), Ok(mut scope)) = (own, self.scope(host, observed, true)) {
            // What comes with membership is asked too: it may come in this run.
            set(&mut scope, membership(true, true));
            // What is wrong is told by the plan.
            let facts = desired.roles.own_facts_of(&scope, &observed.system);
            let mut learned = self.learned.lock().unwrap_or_else(PoisonError::into_inner);
            learned.insert(host.clone(), facts.unwrap_or_default());
        }
        self.facts(host)
    }

    fn preflight_facts(&self, host: &HostName) -> Facts {
        self.questions(host)
    }

    fn preflight(&self, hosts: &[Seen<'_>]) -> Vec<Finding> {
        self.findings(hosts)
    }

    fn balancers(&self, host: &HostName) -> Vec<(&'static str, Fact)> {
        let Some(parts) = &self.parts else {
            return Vec::new();
        };
        let Some(spec) = self.spec.hosts.get(host).filter(|h| h.roles.load_balancer) else {
            return Vec::new();
        };
        let units = parts
            .units
            .iter()
            .map(|unit| (*unit, Fact::Unit((*unit).to_string())));
        // A static pod's name ends in its node's.
        let pods = parts
            .pods
            .iter()
            .map(|pod| (*pod, Fact::Pod(format!("{pod}-{}", spec.node_name))));
        let bgp = self.spec.load_balancer.bgp.iter().map(|bgp| {
            let peers = bgp.peers.iter().map(|peer| peer.address).collect();
            ("BGP", Fact::BgpSessions(peers))
        });
        units.chain(pods).chain(bgp).collect()
    }

    fn settled(&self, host: &HostName) -> Option<Step> {
        let settled = self.parts.as_ref()?.settled?;
        let spec = self.spec.hosts.get(host)?;
        spec.roles.load_balancer.then(|| {
            settled(&load_balancer::Carrier {
                node: spec.node_name.clone(),
                address: spec.ip.address,
                dest_port: self.spec.load_balancer.dest_port,
                bgp: self.spec.load_balancer.bgp.as_ref().map(|bgp| {
                    let peer = |peer: &BgpPeer| (peer.address, peer.autonomous_system);
                    (bgp.local_as, bgp.peers.iter().map(peer).collect())
                }),
            })
        })
    }

    fn plan(
        &self,
        host: &HostName,
        observed: &Observed,
        registered: &Registered,
    ) -> Result<HostPlan, String> {
        let way = self.spec.load_balancer.way;
        if self.shape.load_balancers.contains(host)
            && (!self.is_movable(host) || load_balancer::remains(way, observed).is_none())
            && let Some(found) = load_balancer::found_of_others(way, observed)
        {
            return Err(found);
        }
        if self.shape.load_balancers.contains(host)
            && let Some(found) = load_balancer::found_of_sibling(way, observed)
        {
            return Err(found);
        }
        let mut plan = self.placed(host, observed, registered)?;
        self.clean(host, observed, &mut plan);
        Ok(plan)
    }

    fn left_pending(&self, host: &HostName, observed: &Observed) -> Vec<String> {
        let desired = self.host(host).ok();
        desired.map_or_else(Vec::new, |desired| desired.roles.left_pending(observed))
    }

    fn fresh(
        &self,
        host: &HostName,
        observed: &Observed,
        registered: &Registered,
    ) -> Result<HostPlan, String> {
        let way = self.spec.load_balancer.way;
        let remains = load_balancer::remains_of_any(way, observed);
        // What runs here and is not ours is not ours to stop.
        if !remains.as_ref().is_some_and(Remains::is_at_work)
            && let Some(found) = load_balancer::found_of_others(way, observed)
        {
            return Err(found);
        }
        let mut plan = self.placed(host, observed, registered)?;
        let vip = self.spec.load_balancer.vip;
        if let Some(remains) = remains {
            let steps = migrate::steps::vacate(&self.mover(host)?, &remains);
            plan.put_first(steps);
        } else if !self.shape.vip_before_init
            && load_balancer::has_own(way, observed)
            && vip.is_some_and(|vip| observed.interface_of(vip).is_some())
        {
            // Nothing of the way runs before init: the cluster before has left the address.
            plan.put_first([migrate::steps::no_address(&self.mover(host)?)]);
        }
        Ok(plan)
    }

    fn moving(&self, host: &HostName, observed: &Observed) -> Option<Moving> {
        let balancer = &self.spec.load_balancer;
        let group = match observed.content(load_balancer::CONFIGURATION) {
            Known::Is(bytes) if balancer.vrrp.is_some() => {
                Group::read(&String::from_utf8_lossy(bytes))
            }
            _ => None,
        };
        let carries = self.shape.load_balancers.contains(host);
        let left = carries.then(|| load_balancer::left_of_any(balancer.way, observed));
        let left = left.flatten();
        let marked = left.is_some() || load_balancer::has_own(balancer.way, observed);
        if !self.is_movable(host) {
            return Some(Moving {
                group,
                left,
                marked,
                ..Moving::default()
            });
        }
        if observed.file(load_balancer::TAKING_DOWN) == Known::Unknown
            || observed.unit(migrate::steps::BRIDGE) == Known::Unknown
        {
            return None;
        }
        let redirects = balancer.dest_port != balancer.src_port;
        let nft = observed.file(NFT).is(|state| state.is_some());
        Some(Moving {
            old: load_balancer::remains(balancer.way, observed),
            left,
            marked,
            bridge: observed
                .unit(migrate::steps::BRIDGE)
                .is(|unit| unit.is_active()),
            lacks: match (self.is_selective, redirects && !nft) {
                (true, _) => Some("the tasks that --tags or --skip-tags leave out".into()),
                (false, true) => Some(format!("nftables ({NFT})")),
                (false, false) => None,
            },
            group,
        })
    }

    fn ready(
        &self,
        host: &HostName,
        observed: &Observed,
        registered: &Registered,
    ) -> Result<HostPlan, String> {
        let mut plan = self.plan(host, observed, registered)?;
        let parts = self.parts.as_ref();
        migrate::steps::make_ready(
            &mut plan,
            parts.map_or(&[], |p| p.roles),
            parts.map_or(&[], |p| p.units),
        );
        Ok(plan)
    }

    fn release(
        &self,
        host: &HostName,
        observed: &Observed,
        bridged: bool,
    ) -> Result<HostPlan, String> {
        let remains = load_balancer::remains(self.spec.load_balancer.way, observed)
            .ok_or_else(|| format!("nothing of another load balancer is left on {host}"))?;
        Ok(migrate::steps::release(
            &self.mover(host)?,
            &remains,
            bridged,
        ))
    }

    fn switch(
        &self,
        host: &HostName,
        observed: &Observed,
        holds: bool,
    ) -> Result<HostPlan, String> {
        let mut place = self.plan(host, observed, &Registered::default())?;
        if place.more {
            return Err("its tasks cannot be done in one go, which a move needs".into());
        }
        // Nor is there a second wave that could rescue anything.
        place
            .steps
            .iter_mut()
            .for_each(|s| s.on_failure = OnFailure::Stop);
        let remains = load_balancer::remains(self.spec.load_balancer.way, observed);
        Ok(migrate::steps::switch(
            &self.mover(host)?,
            remains.as_ref(),
            place,
            self.settled(host),
            holds,
        ))
    }

    fn judge(
        &self,
        host: &HostName,
        observed: &Observed,
        registered: &Registered,
        step: &Step,
        result: &StepResult,
    ) -> Result<Status, String> {
        let desired = self.host(host)?;
        desired
            .roles
            .judge(
                &self.scope(host, observed, registered.is_whole)?,
                observed,
                registered,
                step,
                result,
            )
            .map_err(|found| sentence(&found))
    }

    fn credentials(&self) -> Result<Credentials, String> {
        credentials()
    }

    fn init(&self, host: &HostName, credentials: &Credentials) -> Result<Config, String> {
        let documents =
            kubeadm::init(self.input(host)?, credentials).map_err(|found| sentence(&found))?;
        Ok((
            documents.yaml().map_err(|error| error.to_string())?,
            self.digest(host),
        ))
    }

    fn join(&self, host: &HostName, credentials: &Credentials) -> Result<Config, String> {
        let input = self.input(host)?;
        let pin = Join {
            discovery: act::DISCOVERY.into(),
        };
        let key = input
            .node
            .is_control_plane
            .then_some(&credentials.certificate_key);
        let documents = kubeadm::join(input, &pin, &credentials.token, key)
            .map_err(|found| sentence(&found))?;
        Ok((
            documents.yaml().map_err(|error| error.to_string())?,
            self.digest(host),
        ))
    }

    fn mint(&self, host: &HostName, credentials: &Credentials) -> Result<Secret<String>, String> {
        Ok(self.init(host, credentials)?.0)
    }

    fn credential_due(&self, host: &HostName, observed: &Observed) -> Option<String> {
        let control_plane = self.spec.hosts.get(host)?.roles.control_plane;
        kube_vip::due(&self.spec, observed).filter(|_| control_plane)
    }

    fn sign(&self, host: &HostName) -> Result<HostPlan, String> {
        let spec = self.spec.hosts.get(host);
        let spec = spec.ok_or_else(|| format!("{host} is not in the cluster"))?;
        Ok(kube_vip::sign::steps(&self.spec, spec))
    }

    fn drift(&self, host: &HostName, seen: &Kubernetes) -> (Vec<Difference>, Vec<Difference>) {
        self.drift_of(host, seen)
    }

    fn made_from(&self, host: &HostName) -> Result<String, String> {
        self.made_from_of(host)
    }

    fn bound(&self, host: &HostName) -> Option<Sha256> {
        self.bound_of(host)
    }

    fn bring_back(&self, act: &Act, view: &View, observed: &Observed) -> Result<HostPlan, String> {
        self.bring_back_by(act, view, observed)
    }

    fn differs_on_members(&self, host: &HostName) -> bool {
        self.balances_differently(host) || self.plays.wait(host)
    }

    fn forget(&self, host: &HostName, registered: &mut Registered) {
        // Tasks of plays are the same; what comes with membership is not among their results yet.
        match self.host(host) {
            Ok(desired) if self.balances_differently(host) => {
                registered.keep(&desired.roles.own_names());
            }
            _ => {}
        }
    }

    fn holders(&self) -> Holders {
        self.parts.as_ref().map_or(Holders::One, |p| p.holders)
    }

    fn is_external(&self) -> bool {
        self.spec.load_balancer.way == Way::External
    }

    fn shown(&self, event: Event) -> Event {
        event.hide(&self.masks)
    }

    fn digest(&self, host: &HostName) -> String {
        self.hosts
            .get(host)
            .map(|h| h.digest.clone())
            .unwrap_or_default()
    }

    fn shows_differences(&self) -> bool {
        self.diffs
    }

    fn manifests(&self) -> &[Manifest] {
        &self.manifests
    }

    fn keep_kubeconfig(&self, admin_conf: &str) -> Result<String, String> {
        kubeconfig::sound(admin_conf)?;
        let path = self.kubeconfig();
        journal::prepare(&self.home).map_err(|error| format!("{}: {error}", self.home))?;
        let text = kubeconfig::reachable(admin_conf, &self.spec);
        let temporary = tempfile::Builder::new()
            .prefix(".kubeconfig")
            .tempfile_in(&self.home)
            .map_err(|error| format!("{}: {error}", self.home))?;
        // tempfile makes it 0600.
        std::fs::write(temporary.path(), text).map_err(|error| format!("{path}: {error}"))?;
        temporary
            .persist(&path)
            .map_err(|error| format!("{path}: {error}"))?;
        Ok(path.into_string())
    }

    fn has_kubeconfig(&self, ca: Option<Sha256>) -> bool {
        let Ok(text) = std::fs::read_to_string(self.kubeconfig()) else {
            return false;
        };
        let data = text
            .lines()
            .find_map(|line| line.trim().strip_prefix("certificate-authority-data: "));
        let kept = data
            .and_then(|data| BASE64.decode(data.trim()).ok())
            .map(Sha256::of);
        ca.is_none() || kept == ca
    }
}
