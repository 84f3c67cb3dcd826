//! Inventory files to groups and hosts, before variables are merged.

use std::sync::Arc;

use camino::Utf8PathBuf;
use indexmap::{IndexMap, IndexSet};

use super::variable::{Level, Variable, Variables, layer};
use super::yaml::{self, Entry, Kind, Node, Schema, Vaulted};
use super::{ini, range, script, ssh_config};
use crate::model::{Diagnostic, Diagnostics, GroupName, HostName, Source, Span, nearest};

/// The group that holds every host.
pub(super) const ALL: &str = "all";
/// The group of hosts that are in no other.
pub(super) const UNGROUPED: &str = "ungrouped";

#[derive(Debug, Default)]
pub(super) struct Graph {
    pub(super) groups: IndexMap<GroupName, RawGroup>,
    pub(super) hosts: IndexMap<HostName, RawHost>,
}

#[derive(Debug, Default)]
pub(super) struct RawGroup {
    pub(super) span: Option<Span>,
    pub(super) hosts: IndexSet<HostName>,
    pub(super) children: IndexSet<GroupName>,
    pub(super) vars: Variables,
    pub(super) priority: i64,
}

#[derive(Debug)]
pub(super) struct RawHost {
    pub(super) span: Span,
    pub(super) file: Utf8PathBuf,
    pub(super) vars: Variables,
}

/// Returns a name that is known to be one.
fn fixed(name: &str) -> Option<GroupName> {
    GroupName::new(name).ok()
}

impl Graph {
    /// Returns the groups and hosts of all inventory files, with `all` and `ungrouped` filled.
    pub(super) fn read(
        sources: &[Arc<Source>],
        vaulted: Vaulted<'_>,
        diagnostics: &mut Diagnostics,
    ) -> Self {
        let mut graph = Self::default();
        if let (Some(all), Some(ungrouped)) = (fixed(ALL), fixed(UNGROUPED)) {
            graph.group(&all, None).children.insert(ungrouped.clone());
            graph.group(&ungrouped, None);
        }
        for source in sources {
            graph.file(source, vaulted, diagnostics);
        }
        graph.imply_cluster();
        graph.reconcile();
        graph
    }

    pub(super) fn group(&mut self, name: &GroupName, span: Option<&Span>) -> &mut RawGroup {
        let group = self.groups.entry(name.clone()).or_insert_with(|| RawGroup {
            priority: 1,
            ..RawGroup::default()
        });
        if group.span.is_none() {
            group.span = span.cloned();
        }
        group
    }

    fn file(&mut self, source: &Arc<Source>, vaulted: Vaulted<'_>, diagnostics: &mut Diagnostics) {
        let start = Span {
            source: source.clone(),
            range: 0..0,
        };
        if source.text.starts_with("#!") {
            diagnostics.push(
                Diagnostic::error("this begins as a program does, and may not be executed")
                    .at(start)
                    .help("`chmod +x` makes it an inventory script, which is run"),
            );
            return;
        }
        if ssh_config::is_ssh_config(source) {
            return ssh_config::read(self, source, diagnostics);
        }
        if ini::is_ini(source) {
            if ini::is_misnamed(source) {
                let message = "this is an INI inventory, and its name that of a YAML one";
                let warning = Diagnostic::warning(message).at(start);
                diagnostics
                    .push(warning.help("it is read as INI; give it the ending .ini, or none"));
            }
            return ini::read(self, source, diagnostics);
        }
        let (node, found) = yaml::parse_with(source, Schema::Ansible, vaulted);
        let broken = found.has_errors();
        diagnostics.extend(found);
        let Some(node) = node else {
            if !broken {
                diagnostics.push(
                    Diagnostic::error("the inventory is empty")
                        .at(start)
                        .help("it names groups, as in `kube_control_plane: {hosts: {cp1:}}`"),
                );
            }
            return;
        };
        let span = node.span.clone();
        let Kind::Map(entries) = node.kind else {
            let what = node.describe();
            diagnostics.push(
                Diagnostic::error(format!("an inventory is a map of groups, not {what}"))
                    .at(span)
                    .help("begin with `all:` or a group's name"),
            );
            return;
        };
        if let Some(plugin) = entries
            .iter()
            .find(|e| e.key == "plugin" && e.value.as_str().is_some())
        {
            diagnostics.push(
                Diagnostic::error("inventory plugins are not run")
                    .at(plugin.key_span.clone())
                    .help("`ansible-inventory -i FILE --list --yaml --export` turns what they find into YAML"),
            );
            return;
        }
        for entry in entries {
            self.read_group(entry, source, 0, diagnostics);
        }
    }

    fn read_group(
        &mut self,
        entry: Entry,
        source: &Arc<Source>,
        depth: usize,
        diagnostics: &mut Diagnostics,
    ) -> Option<GroupName> {
        let name = match GroupName::new(&entry.key) {
            Ok(name) => name,
            Err(error) => {
                diagnostics.push(
                    Diagnostic::error(format!("`{}` is no group name: {error}", entry.key))
                        .at(entry.key_span),
                );
                return None;
            }
        };
        self.group(&name, Some(&entry.key_span));
        let what = entry.value.describe();
        let sections = match entry.value.kind {
            Kind::Map(sections) => sections,
            _ if entry.value.is_null() => return Some(name),
            _ => {
                diagnostics.push(
                    Diagnostic::error(format!("the group `{name}` is a map with `hosts`, `children` and `vars`, not {what}"))
                        .at(entry.value.span),
                );
                return Some(name);
            }
        };
        for section in sections {
            match section.key.as_str() {
                "hosts" => self.read_hosts(&name, section, source, diagnostics),
                "children" => self.read_children(&name, section, source, depth, diagnostics),
                "vars" => self.read_vars(&name, section, diagnostics),
                other => unexpected(&name, other, section.key_span, diagnostics),
            }
        }
        Some(name)
    }

    fn read_children(
        &mut self,
        parent: &GroupName,
        section: Entry,
        source: &Arc<Source>,
        depth: usize,
        diagnostics: &mut Diagnostics,
    ) {
        for child in section_entries(parent, section, "children", diagnostics) {
            let span = child.key_span.clone();
            let Some(child) = self.read_group(child, source, depth + 1, diagnostics) else {
                continue;
            };
            self.add_child(parent, child, span, diagnostics);
        }
    }

    /// Puts a group below another, unless that closes a loop.
    pub(super) fn add_child(
        &mut self,
        parent: &GroupName,
        child: GroupName,
        span: Span,
        diagnostics: &mut Diagnostics,
    ) {
        if child == *parent || self.reaches(&child, parent) {
            diagnostics.push(
                Diagnostic::error(format!(
                    "`{child}` as a child of `{parent}` closes a loop of groups"
                ))
                .at(span)
                .help(if child == *parent {
                    "a group holds its own hosts already".to_owned()
                } else {
                    format!("`{parent}` is below `{child}` already: remove one of the two")
                }),
            );
            return;
        }
        self.group(parent, None).children.insert(child);
    }

    /// Returns whether `to` is below `from`.
    fn reaches(&self, from: &GroupName, to: &GroupName) -> bool {
        let mut open = vec![from];
        let mut seen = std::collections::HashSet::new();
        while let Some(name) = open.pop() {
            for child in self.groups.get(name).iter().flat_map(|g| &g.children) {
                if child == to {
                    return true;
                }
                if seen.insert(child) {
                    open.push(child);
                }
            }
        }
        false
    }

    pub(super) fn read_vars(
        &mut self,
        name: &GroupName,
        section: Entry,
        diagnostics: &mut Diagnostics,
    ) {
        let entries = match section.value.kind {
            Kind::Map(entries) => entries,
            _ if section.value.is_null() => return,
            _ => {
                let what = section.value.describe();
                diagnostics.push(
                    Diagnostic::error(format!(
                        "`vars` of `{name}` is a map of variables, not {what}"
                    ))
                    .at(section.value.span),
                );
                return;
            }
        };
        let what = format!("vars of group {name}");
        for entry in entries {
            if entry.key == "ansible_group_priority" {
                self.set_priority(name, &entry.value, diagnostics);
                continue;
            }
            let variables = [set(entry, Level::GroupVars, &what, diagnostics)];
            layer(&mut self.group(name, None).vars, variables);
        }
    }

    /// Sets a group's priority, which orders groups of one depth; 1 unless set (Ansible's "How variables are merged").
    pub(super) fn set_priority(
        &mut self,
        name: &GroupName,
        node: &Node,
        diagnostics: &mut Diagnostics,
    ) {
        let value = node
            .as_scalar()
            .map(|s| s.text.clone())
            .and_then(|t| t.parse().ok());
        match value {
            Some(priority) => self.group(name, None).priority = priority,
            None => diagnostics.push(
                Diagnostic::error(format!(
                    "`ansible_group_priority` is a whole number, not {}",
                    node.describe()
                ))
                .at(node.span.clone()),
            ),
        }
    }

    pub(super) fn read_hosts(
        &mut self,
        group: &GroupName,
        section: Entry,
        source: &Arc<Source>,
        diagnostics: &mut Diagnostics,
    ) {
        for entry in section_entries(group, section, "hosts", diagnostics) {
            let (pattern, port) = split_port(&entry.key);
            let names = match range::expand(pattern) {
                Ok(names) => names,
                Err(message) => {
                    diagnostics.push(Diagnostic::error(message).at(entry.key_span));
                    continue;
                }
            };
            let variables = match entry.value.kind {
                Kind::Map(entries) => entries,
                _ if entry.value.is_null() => Vec::new(),
                _ => {
                    let what = entry.value.describe();
                    diagnostics.push(
                        Diagnostic::error(format!("the host `{}` takes a map of variables, not {what}", entry.key))
                            .at(entry.value.span)
                            .help(format!("write `{}:` with nothing behind it, or with variables indented below it", entry.key)),
                    );
                    continue;
                }
            };
            // Mistakes in a range's variables are told once, not per host.
            let mut told = Diagnostics::default();
            let template: Vec<_> = variables
                .into_iter()
                .map(|e| set(e, Level::HostVars, "", &mut told))
                .collect();
            diagnostics.extend(told);
            for name in names {
                let name = match HostName::new(&name) {
                    Ok(name) => name,
                    Err(error) => {
                        diagnostics.push(
                            Diagnostic::error(format!("`{name}` is no host name: {error}"))
                                .at(entry.key_span.clone())
                                .help("give the host a name, and its address as `ansible_host`"),
                        );
                        break;
                    }
                };
                let host = self.hosts.entry(name.clone()).or_insert_with(|| RawHost {
                    span: entry.key_span.clone(),
                    file: script::file(&source.path),
                    vars: Variables::new(),
                });
                let what = format!("host {name}");
                if let Some(port) = port {
                    let mut variable =
                        Variable::computed(port.into(), Level::HostVars, what.clone());
                    variable.origin.span = Some(entry.key_span.clone());
                    layer(&mut host.vars, [("ansible_port".to_owned(), variable)]);
                }
                let own = template.iter().cloned().map(|(key, mut variable)| {
                    variable.origin.what.clone_from(&what);
                    (key, variable)
                });
                layer(&mut host.vars, own);
                self.group(group, None).hosts.insert(name);
            }
        }
    }

    /// Adds `k8s_cluster` over the groups that make up a cluster, unless an inventory names it itself.
    fn imply_cluster(&mut self) {
        let Some(cluster) = fixed("k8s_cluster") else {
            return;
        };
        if self.groups.contains_key(&cluster) {
            return;
        }
        let parts: IndexSet<GroupName> = ["kube_control_plane", "kube_node"]
            .into_iter()
            .filter_map(fixed)
            .filter(|g| self.groups.contains_key(g))
            .collect();
        if !parts.is_empty() {
            self.group(&cluster, None).children = parts;
        }
    }

    /// Puts groups without a parent below `all`, and hosts without a group into `ungrouped`, as Ansible does.
    fn reconcile(&mut self) {
        let (Some(all), Some(ungrouped)) = (fixed(ALL), fixed(UNGROUPED)) else {
            return;
        };
        let below: std::collections::HashSet<GroupName> = self
            .groups
            .values()
            .flat_map(|g| g.children.iter().cloned())
            .collect();
        let tops: Vec<GroupName> = self
            .groups
            .keys()
            .filter(|g| **g != all && !below.contains(*g))
            .cloned()
            .collect();
        self.group(&all, None).children.extend(tops);

        let grouped: std::collections::HashSet<HostName> = self
            .groups
            .iter()
            .filter(|(name, _)| **name != all && **name != ungrouped)
            .flat_map(|(_, g)| g.hosts.iter().cloned())
            .collect();
        let lone: Vec<HostName> = self
            .hosts
            .keys()
            .filter(|h| !grouped.contains(*h))
            .cloned()
            .collect();
        let group = self.group(&ungrouped, None);
        group.hosts.retain(|h| !grouped.contains(h));
        group.hosts.extend(lone);
    }
}

fn unexpected(group: &GroupName, key: &str, span: Span, diagnostics: &mut Diagnostics) {
    let message = format!(
        "`{key}` in the group `{group}` has no meaning: a group has `hosts`, `children` and `vars`"
    );
    // Ansible skips such a key with a warning; one that is nearly right has lost hosts or variables.
    diagnostics.push(match nearest(key, ["hosts", "children", "vars"]) {
        Some(near) => Diagnostic::error(message)
            .at(span)
            .help(format!("did you mean `{near}`?")),
        None => Diagnostic::warning(message)
            .at(span)
            .help("it is ignored, with all that is below it"),
    });
}

/// Returns the entries of `hosts` or `children`. A single name in place of a map is one entry, as in Ansible.
fn section_entries(
    group: &GroupName,
    section: Entry,
    key: &str,
    diagnostics: &mut Diagnostics,
) -> Vec<Entry> {
    let span = section.value.span.clone();
    let what = section.value.describe();
    if section.value.is_null() {
        return Vec::new();
    }
    if let Some(name) = section.value.as_str() {
        let value = Node {
            kind: Kind::Scalar(yaml::Scalar {
                value: crate::model::Value::Null,
                text: String::new(),
                plain: true,
            }),
            span: span.clone(),
        };
        return vec![Entry {
            key: name.to_owned(),
            key_span: span,
            value,
        }];
    }
    if let Kind::Map(entries) = section.value.kind {
        return entries;
    }
    let error = Diagnostic::error(format!("`{key}` of `{group}` is a map, not {what}")).at(span);
    diagnostics.push(
        error.help(
            "write each name on a line of its own with a colon behind it, without `-`: `cp1:`",
        ),
    );
    Vec::new()
}

/// Returns the variable that an entry sets, with a warning if its name cannot be used in an expression.
pub(super) fn set(
    entry: Entry,
    level: Level,
    what: &str,
    diagnostics: &mut Diagnostics,
) -> (String, Variable) {
    let first = entry.key.chars().next().unwrap_or('0');
    let fits = (first.is_ascii_alphabetic() || first == '_')
        && entry
            .key
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !fits {
        diagnostics.push(
            Diagnostic::warning(format!(
                "`{}` is no name that an expression can use",
                entry.key
            ))
            .at(entry.key_span.clone())
            .help("a variable's name has letters, digits and `_`, and begins with no digit"),
        );
    }
    (
        entry.key,
        Variable::new(entry.value, level, what).named_at(entry.key_span),
    )
}

/// Returns the name and the port of `name:2222`; colons inside a range are the range's.
fn split_port(pattern: &str) -> (&str, Option<u16>) {
    let tail = pattern.rfind(']').map_or(0, |i| i + 1);
    let none = (pattern, None);
    let Some((name, port)) = pattern[tail..].split_once(':') else {
        return none;
    };
    if name.contains('[') || tail + name.len() == 0 {
        return none;
    }
    match port.parse() {
        Ok(port) => (&pattern[..tail + name.len()], Some(port)),
        Err(_) => none,
    }
}
