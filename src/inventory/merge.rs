//! Groups, hosts and their variables as one inventory.

use std::collections::{HashMap, HashSet};

use indexmap::IndexMap;

use super::extra;
use super::graph::{ALL, Graph};
use super::input::{Input, Owner, VarsFile};
use super::variable::{Level, Variables, layer};
use super::yaml::{self, Schema, Vaulted};
use super::{Group, Host, Inventory};
use crate::model::{Diagnostic, Diagnostics, GroupName, Span, nearest};

impl Inventory {
    /// Returns the inventory that the input describes, and everything that is wrong with the input. With errors among
    /// the findings the inventory holds what could be understood.
    pub fn build(input: &Input) -> (Self, Diagnostics) {
        let mut diagnostics = input.diagnostics.clone();
        let vaulted = Vaulted::Opened(&input.keys);
        let graph = Graph::read(&input.inventories, vaulted, &mut diagnostics);
        let mut partial = diagnostics.has_errors();
        let files = read_vars(&input.vars, vaulted, &mut diagnostics);
        partial |= files.len() < input.vars.len() && diagnostics.has_errors();
        let extra = extra::read(&input.extra, vaulted, &mut diagnostics);
        let depths = depths(&graph);

        let mut parents: HashMap<&GroupName, Vec<GroupName>> = HashMap::new();
        for (name, group) in &graph.groups {
            for child in &group.children {
                parents.entry(child).or_default().push(name.clone());
            }
        }
        let mut groups: IndexMap<GroupName, Group> = IndexMap::new();
        for (name, raw) in &graph.groups {
            let mut vars = raw.vars.clone();
            layer_files(
                &mut vars,
                &files,
                |owner| matches!(owner, Owner::Group(g) if g == name.as_str()),
            );
            groups.insert(
                name.clone(),
                Group {
                    name: name.clone(),
                    span: raw.span.clone(),
                    hosts: raw.hosts.iter().cloned().collect(),
                    children: raw.children.iter().cloned().collect(),
                    parents: parents.remove(name).unwrap_or_default(),
                    depth: depths.get(name).copied().unwrap_or(0),
                    priority: raw.priority,
                    vars,
                },
            );
        }

        let mut direct: HashMap<&str, Vec<&GroupName>> = HashMap::new();
        for (name, group) in &graph.groups {
            for host in &group.hosts {
                direct.entry(host.as_str()).or_default().push(name);
            }
        }
        let mut hosts = IndexMap::new();
        for (name, raw) in &graph.hosts {
            let mine = above(
                direct
                    .get(name.as_str())
                    .map(Vec::as_slice)
                    .unwrap_or_default(),
                &groups,
            );
            let mut vars = Variables::new();
            // Ansible's VARIABLE_PRECEDENCE: what inventories say of `all`, then of the other groups, then
            // group_vars/all, then the other group_vars, from the top down; then the host's own.
            let all = graph.groups.get(ALL).into_iter();
            let others = mine.iter().filter_map(|group| graph.groups.get(*group));
            for group in all.chain(others) {
                layer(&mut vars, group.vars.clone());
            }
            layer_files(
                &mut vars,
                &files,
                |owner| matches!(owner, Owner::Group(g) if g == ALL),
            );
            layer_group_files(&mut vars, &files, &mine);
            layer(&mut vars, raw.vars.clone());
            layer_files(
                &mut vars,
                &files,
                |owner| matches!(owner, Owner::Host(h) if h == name.as_str()),
            );
            layer(&mut vars, extra.clone());
            let host = Host {
                name: name.clone(),
                span: raw.span.clone(),
                file: raw.file.clone(),
                groups: mine.into_iter().cloned().collect(),
                vars,
            };
            hosts.insert(name.clone(), host);
        }
        let inventory = Self {
            hosts,
            groups,
            extra,
            partial,
        };
        inventory.check(&input.vars, &mut diagnostics);
        (inventory, diagnostics)
    }

    fn check(&self, vars: &[VarsFile], diagnostics: &mut Diagnostics) {
        if self.hosts.is_empty() && !diagnostics.has_errors() {
            diagnostics.push(
                Diagnostic::error("the inventory names no host")
                    .help("a group names its hosts: `kube_control_plane: {hosts: {cp1:}}`"),
            );
        }
        for name in self.groups.keys() {
            if let Some(host) = self.hosts.get(name.as_str()) {
                diagnostics.push(
                    Diagnostic::warning(format!("`{name}` is the name of a host and of a group"))
                        .at(host.span.clone())
                        .help("patterns such as `--limit` mean both"),
                );
            }
        }
        // Files for groups of other inventories in the same folder are usual; only a slip of the pen is worth a word.
        let mut told = HashSet::new();
        for file in vars {
            let (kind, name, near) = match &file.owner {
                Owner::Group(name) if !self.groups.contains_key(name.as_str()) => (
                    "group",
                    name,
                    nearest(name, self.groups.keys().map(GroupName::as_str)),
                ),
                Owner::Host(name) if !self.hosts.contains_key(name.as_str()) => (
                    "host",
                    name,
                    nearest(name, self.hosts.keys().map(|h| h.as_str()))
                        .filter(|n| !one_digit_apart(n, name)),
                ),
                _ => continue,
            };
            if let Some(near) = near
                && told.insert((kind, name))
            {
                let at = Span {
                    source: file.source.clone(),
                    range: 0..0,
                };
                diagnostics.push(
                    Diagnostic::warning(format!(
                        "this file is for the {kind} `{name}`, which no inventory names"
                    ))
                    .at(at)
                    .help(format!(
                        "did you mean `{near}`? Nothing reads the file as it is"
                    )),
                );
            }
        }
    }
}

/// Returns whether two names differ in digits alone: host_vars/cp4.yml beside a host cp3 is a host of yesterday, not a
/// slip of the pen.
fn one_digit_apart(a: &str, b: &str) -> bool {
    let letters = |t: &str| {
        t.chars()
            .filter(|c| !c.is_ascii_digit())
            .collect::<String>()
    };
    letters(a) == letters(b)
}

struct Vars<'i> {
    file: &'i VarsFile,
    variables: Variables,
}

fn read_vars<'i>(
    files: &'i [VarsFile],
    vaulted: Vaulted<'_>,
    diagnostics: &mut Diagnostics,
) -> Vec<Vars<'i>> {
    let mut read = Vec::new();
    for file in files {
        let (level, what) = match &file.owner {
            Owner::Group(name) => (Level::GroupVars, format!("group_vars of {name}")),
            Owner::Host(name) => (Level::HostVars, format!("host_vars of {name}")),
        };
        let Some(entries) = yaml::parse_map(
            &file.source,
            Schema::Ansible,
            vaulted,
            "a file of variables is a map",
            diagnostics,
        ) else {
            continue;
        };
        let mut variables = Variables::new();
        for entry in entries {
            if entry.key == "ansible_group_priority" {
                // Ansible reads it in inventory files only, and so does this.
                diagnostics.push(
                    Diagnostic::warning(
                        "`ansible_group_priority` counts only in `vars` of an inventory file",
                    )
                    .at(entry.key_span)
                    .help("move it to the group's `vars` in the inventory"),
                );
                continue;
            }
            let (name, variable) = super::graph::set(entry, level, &what, diagnostics);
            variables.insert(name, variable);
        }
        read.push(Vars { file, variables });
    }
    read
}

fn layer_files(vars: &mut Variables, files: &[Vars<'_>], is: impl Fn(&Owner) -> bool) {
    for file in files.iter().filter(|f| is(&f.file.owner)) {
        layer(vars, file.variables.clone());
    }
}

/// Layers the group_vars files of several groups: place by place, and in each place from the top group down, as
/// Ansible's `get_vars_from_inventory_sources` does.
fn layer_group_files(vars: &mut Variables, files: &[Vars<'_>], groups: &[&GroupName]) {
    let places = files.iter().map(|f| f.file.place + 1).max().unwrap_or(0);
    for place in 0..places {
        for group in groups {
            for file in files.iter().filter(|f| f.file.place == place) {
                if matches!(&file.file.owner, Owner::Group(g) if g == group.as_str()) {
                    layer(vars, file.variables.clone());
                }
            }
        }
    }
}

/// Returns the groups that hold any of `direct`, and those themselves, without `all`: from the top down, then by
/// priority, then by name (Ansible's `sort_groups`).
fn above<'g>(direct: &[&GroupName], groups: &'g IndexMap<GroupName, Group>) -> Vec<&'g GroupName> {
    let mut open: Vec<&GroupName> = direct.to_vec();
    let mut found: IndexMap<&GroupName, ()> = IndexMap::new();
    while let Some(name) = open.pop() {
        let Some((name, group)) = groups.get_key_value(name) else {
            continue;
        };
        if found.insert(name, ()).is_none() {
            open.extend(&group.parents);
        }
    }
    let mut names: Vec<&GroupName> = found.into_keys().filter(|g| g.as_str() != ALL).collect();
    names.sort_by_key(|name| {
        groups
            .get(*name)
            .map(|g| (g.depth, g.priority, name.as_str()))
    });
    names
}

/// Returns how far below `all` each group is: the longest way counts, as in Ansible.
fn depths(graph: &Graph) -> HashMap<GroupName, usize> {
    let mut depths: HashMap<GroupName, usize> = HashMap::new();
    let mut waiting: HashMap<&GroupName, usize> = HashMap::new();
    for group in graph.groups.values() {
        for child in &group.children {
            *waiting.entry(child).or_default() += 1;
        }
    }
    // Kahn's order: a group is done once all its parents are. Loops were refused when the graph was read.
    let mut open: Vec<&GroupName> = graph
        .groups
        .keys()
        .filter(|g| !waiting.contains_key(g))
        .collect();
    while let Some(name) = open.pop() {
        let depth = *depths.entry(name.clone()).or_default();
        for child in graph.groups.get(name).iter().flat_map(|g| &g.children) {
            let below = depths.entry(child.clone()).or_default();
            *below = (*below).max(depth + 1);
            if let Some(parents) = waiting.get_mut(child) {
                *parents -= 1;
                if *parents == 0 {
                    open.push(child);
                }
            }
        }
    }
    depths
}
