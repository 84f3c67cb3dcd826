//! Floor 1: text to hosts, groups and merged variables, as Ansible reads it. Pure, but for `load`.
//!
//! `load` reads files into an [`Input`]; [`Inventory::build`] understands them. Both collect every mistake.

mod conceal;
mod extra;
mod graph;
mod ini;
mod input;
mod load;
mod locks;
mod merge;
mod pattern;
pub mod program;
mod python;
mod range;
mod render;
mod script;
pub mod ssh_args;
mod ssh_config;
mod variable;
pub mod yaml;

use std::collections::HashSet;
use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};
use indexmap::IndexMap;

pub use conceal::conceal;
pub use input::{COMMAND_LINE, Input, Owner, VarsFile};
pub use load::{limit, load, load_with, read};
pub use locks::Unlock;
pub use render::{Mask, to_json, to_yaml};
pub use variable::{Level, Origin, Variable, Variables, layer, merge};

use crate::model::{GroupName, HostName, Masks, Span};

/// Hosts and groups with their variables merged.
#[derive(Debug, Clone, Default)]
pub struct Inventory {
    /// The hosts, in the order in which inventories name them first.
    pub hosts: IndexMap<HostName, Host>,
    /// The groups, `all` and `ungrouped` first, then in the order in which inventories name them first.
    pub groups: IndexMap<GroupName, Group>,
    /// What `-e` sets, for every host.
    pub extra: Variables,
    /// Whether something of it could not be read: what seems to be missing may stand there.
    pub partial: bool,
}

/// A host.
#[derive(Debug, Clone)]
pub struct Host {
    /// Its name.
    pub name: HostName,
    /// Where an inventory names it first.
    pub span: Span,
    /// The file that names it first.
    pub file: Utf8PathBuf,
    /// The groups it is in, directly or not, without `all`: from the top down, then by priority and name.
    pub groups: Vec<GroupName>,
    /// All its variables, merged, templates unrendered.
    pub vars: Variables,
}

/// A group.
#[derive(Debug, Clone)]
pub struct Group {
    /// Its name.
    pub name: GroupName,
    /// Where an inventory names it first; `None` for groups that are implied.
    pub span: Option<Span>,
    /// The hosts directly in it.
    pub hosts: Vec<HostName>,
    /// The groups directly below it.
    pub children: Vec<GroupName>,
    /// The groups directly above it.
    pub parents: Vec<GroupName>,
    /// How far below `all` it is, by the longest way.
    pub depth: usize,
    /// `ansible_group_priority`, which orders groups of one depth; 1 unless set.
    pub priority: i64,
    /// Its own variables, from inventories and group_vars/.
    pub vars: Variables,
}

impl Inventory {
    /// Returns the hosts of a group and of all groups below it, nearest groups first; empty if there is no such group.
    pub fn hosts_of(&self, group: &str) -> Vec<&HostName> {
        let mut hosts: IndexMap<&HostName, ()> = IndexMap::new();
        for group in self.descendants(group) {
            hosts.extend(group.hosts.iter().map(|h| (h, ())));
        }
        hosts.into_keys().collect()
    }

    /// Returns a group and all groups below it, level by level; empty if there is no such group.
    pub fn descendants(&self, group: &str) -> Vec<&Group> {
        let mut found: IndexMap<&str, &Group> = IndexMap::new();
        let mut level: Vec<&Group> = self.groups.get(group).into_iter().collect();
        while !level.is_empty() {
            let mut next = Vec::new();
            for group in level {
                if found.insert(group.name.as_str(), group).is_none() {
                    next.extend(group.children.iter().filter_map(|c| self.groups.get(c)));
                }
            }
            level = next;
        }
        found.into_values().collect()
    }

    /// Returns whether a host is in a group, directly or not.
    pub fn is_in(&self, host: &str, group: &str) -> bool {
        group == graph::ALL && self.hosts.contains_key(host)
            || self
                .hosts
                .get(host)
                .is_some_and(|h| h.groups.iter().any(|g| g.as_str() == group))
    }
}

impl Inventory {
    /// Returns the masks of all values that were encrypted.
    pub fn masks(&self) -> Masks {
        let all = self.variables_of(&|_| true).into_iter();
        Masks::new(all.flat_map(|(_, variable)| variable.secrets()))
    }

    /// Returns the variables of these names, of all hosts, groups and `-e`; each once, however many hosts have it.
    pub fn variables_of(&self, is_meant: &dyn Fn(&str) -> bool) -> Vec<(&str, &Variable)> {
        let hosts = self.hosts.values().flat_map(|host| &host.vars);
        let groups = self.groups.values().flat_map(|group| &group.vars);
        // A group's variable has one node for all hosts: looking at it once is enough.
        let mut seen = HashSet::new();
        let all = hosts.chain(groups).chain(&self.extra);
        let once = all.filter(|(name, v)| {
            let node = v.node.as_ref();
            is_meant(name) && node.is_some_and(|node| seen.insert(Arc::as_ptr(node).addr()))
        });
        once.map(|(name, variable)| (name.as_str(), variable))
            .collect()
    }
}

impl Host {
    /// Returns the folder of the file that names the host first.
    pub fn dir(&self) -> &Utf8Path {
        self.file
            .parent()
            .filter(|p| !p.as_str().is_empty())
            .unwrap_or(Utf8Path::new("."))
    }
}
