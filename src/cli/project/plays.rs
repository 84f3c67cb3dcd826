//! The plays of site.yml, with the hosts that they are for.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::cluster::spec::ClusterSpec;
use crate::inventory::Inventory;
use crate::model::{Diagnostic, Diagnostics, HostName};
use crate::role::site::{MEMBER, WHOLE};
use crate::role::{Play, Role, Site};

/// All plays.
pub(super) struct Plays {
    all: Vec<Assigned>,
}

/// A play with its hosts.
struct Assigned {
    play: Play,
    roles: Vec<Arc<Role>>,
    hosts: BTreeSet<HostName>,
}

impl Plays {
    /// Returns which hosts each play means, and what is wrong with that.
    pub(super) fn assign(
        site: Site,
        inventory: &Inventory,
        spec: &ClusterSpec,
        found: &mut Diagnostics,
    ) -> Self {
        let first = spec.control_planes().next().map(|host| host.name.clone());
        let mut all = Vec::new();
        for play in site.plays {
            let (pattern, span) = &play.hosts;
            let selected = match inventory.select(pattern) {
                Ok(selected) => selected,
                // What a broken file holds may be what is meant.
                Err(_) if inventory.partial => continue,
                Err(error) => {
                    found.push(error.at(span.clone()));
                    continue;
                }
            };
            let is_outside = |name: &HostName| !spec.hosts.contains_key(name);
            let is_for = |name: &HostName| {
                let host = spec.hosts.get(name);
                let is_first = first.as_ref() == Some(name);
                play.stage
                    .is_for(host.is_some_and(|host| host.roles.node()), is_first)
            };
            let (hosts, left): (Vec<&HostName>, Vec<&HostName>) =
                selected.into_iter().partition(|name| is_for(name));
            let outside = left.iter().filter(|name| is_outside(name));
            let outside: Vec<&str> = outside.map(|name| name.as_str()).collect();
            if !outside.is_empty() {
                let message = format!(
                    "the play `{}` leaves out what is not of the cluster: {}",
                    play.name,
                    outside.join(", ")
                );
                let warning = Diagnostic::warning(message).at(span.clone());
                let help = format!(
                    "`{}` is for nodes; `before` and `after` are for all hosts",
                    play.stage.name()
                );
                found.push(warning.help(help));
            }
            let hosts: BTreeSet<HostName> = hosts.into_iter().cloned().collect();
            if hosts.is_empty() && outside.is_empty() {
                let stage = play.stage.name();
                let message = format!("the play `{}` is for no host at all", play.name);
                let warning = Diagnostic::warning(message).at(span.clone());
                let help = match (first.as_ref(), stage) {
                    (Some(first), "before_init" | "after_init") => {
                        format!("`{stage}` is for the host of kubeadm init alone: {first}")
                    }
                    (Some(first), _) => {
                        format!("`{stage}` is for nodes that join: kubeadm init runs on {first}")
                    }
                    (None, _) => "the inventory has no control plane".into(),
                };
                found.push(warning.help(help));
            }
            let roles = play.roles(hosts.len());
            all.push(Assigned { play, roles, hosts });
        }
        Self { all }
    }

    fn of<'a>(&'a self, host: &'a HostName) -> impl Iterator<Item = &'a Assigned> {
        self.all.iter().filter(move |a| a.hosts.contains(host))
    }

    /// Returns the hosts outside of the cluster that some play is for, in the inventory's order.
    pub(super) fn outside<'a>(
        &'a self,
        inventory: &'a Inventory,
        spec: &'a ClusterSpec,
    ) -> impl Iterator<Item = &'a HostName> {
        let outside = move |name: &&HostName| !spec.hosts.contains_key(*name);
        let names = inventory.hosts.values().map(|host| &host.name);
        names
            .filter(outside)
            .filter(move |name| self.of(name).next().is_some())
    }

    /// Returns the roles that a host gets: those of plays around the built-in ones.
    pub(super) fn around(&self, host: &HostName, builtin: Vec<Arc<Role>>) -> Vec<Arc<Role>> {
        let roles = |is_first: bool| {
            let plays = self.of(host);
            let plays = plays.filter(move |a| a.play.stage.is_first() == is_first);
            plays.flat_map(|a| &a.roles).cloned()
        };
        roles(true).chain(builtin).chain(roles(false)).collect()
    }

    /// Returns whether some of the host's plays come only when it is a member, or when all nodes are.
    pub(super) fn wait(&self, host: &HostName) -> bool {
        self.of(host).any(|a| a.play.stage.waits_for().is_some())
    }

    /// Returns what of the host's plays is still to come, for a plan.
    pub(super) fn to_come(&self, host: &HostName, is_member: bool, is_whole: bool) -> Vec<String> {
        let waits = |a: &&Assigned| match a.play.stage.waits_for() {
            Some(MEMBER) => !is_member,
            Some(WHOLE) => !is_whole,
            _ => false,
        };
        let told = |a: &Assigned| match a.play.tasks() {
            1 => format!("{} : one task", a.play.name),
            n => format!("{} : {n} tasks", a.play.name),
        };
        self.of(host).filter(waits).map(told).collect()
    }
}
