//! meta/main.yml: what a role is.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::library::Role;
use crate::inventory::yaml::Node;
use crate::model::{Diagnostic, Diagnostics, Span, nearest};

/// What a role says of itself.
#[derive(Debug, Clone, Default)]
pub struct Meta {
    /// What it is for, in one line.
    pub description: String,
    /// Whether its steps disturb the path to the API.
    pub disturbs_api: bool,
    /// The roles that it wants before it, which is refused.
    dependencies: Vec<(String, Span)>,
}

impl Meta {
    /// Returns what the file says, with what is wrong with it added to `diagnostics`.
    pub(super) fn read(node: &Node, diagnostics: &mut Diagnostics) -> Self {
        let mut meta = Self::default();
        let Some(entries) = node.as_map() else {
            let message = format!("a map is expected, not {}", node.describe());
            diagnostics.push(Diagnostic::error(message).at(node.span.clone()));
            return meta;
        };
        for entry in entries {
            let value = entry.value.to_value();
            match (entry.key.as_str(), value.as_str(), value.as_bool()) {
                ("description", Some(text), _) => meta.description = text.trim().to_string(),
                ("disturbs_api", _, Some(flag)) => meta.disturbs_api = flag,
                ("description", ..) => diagnostics.push(entry.wrong("text")),
                ("disturbs_api", ..) => diagnostics.push(entry.wrong("true or false")),
                // What Ansible Galaxy keeps there says nothing about hosts; the specs are read by themselves.
                ("galaxy_info" | "argument_specs", ..) => {}
                ("dependencies", ..) => match entry.value.as_seq() {
                    Some(items) => meta
                        .dependencies
                        .extend(items.iter().filter_map(dependency)),
                    None => diagnostics.push(entry.wrong("a list")),
                },
                (key, ..) => {
                    let near = nearest(key, ["description", "disturbs_api"]);
                    let message = format!("`{key}` is unknown in a role's meta");
                    let mut error = Diagnostic::error(message).at(entry.key_span.clone());
                    error.help = near.map(|n| format!("did you mean `{n}`?"));
                    diagnostics.push(error);
                }
            }
        }
        meta
    }
}

/// Returns a role's name: alone, or as `role` or `name` of a map.
fn dependency(node: &Node) -> Option<(String, Span)> {
    let named = ["role", "name"]
        .iter()
        .find_map(|key| node.get(key))
        .map_or(node, |e| &e.value);
    Some((named.as_str()?.to_string(), named.span.clone()))
}

/// Refuses the dependencies of roles; one that leads back to its role is told with the way it takes.
pub(super) fn refuse_dependencies<'r>(
    roles: impl Iterator<Item = &'r Arc<Role>>,
    diagnostics: &mut Diagnostics,
) {
    let all: BTreeMap<&str, &Meta> = roles.map(|r| (r.name.as_str(), &r.meta)).collect();
    for (role, meta) in &all {
        for (name, span) in &meta.dependencies {
            let error = match way_back(role, name, &all) {
                Some(way) => Diagnostic::error(format!("the role `{role}` needs itself: {way}"))
                    .help("take one of them out of meta/main.yml"),
                None => Diagnostic::error(format!(
                    "the role `{role}` wants the role `{name}` before it: roles have no `dependencies` here"
                ))
                .help("name both in a play of site.yml, in their order; the workflow says which built-in roles a host gets"),
            };
            diagnostics.push(error.at(span.clone()));
        }
    }
}

/// Returns the shortest way from a role over a dependency of it back to it.
fn way_back(role: &str, first: &str, all: &BTreeMap<&str, &Meta>) -> Option<String> {
    let mut ways = vec![vec![role.to_string(), first.to_string()]];
    let mut seen = Vec::new();
    while !ways.is_empty() {
        let mut longer = Vec::new();
        for way in ways {
            let last = way.last().cloned().unwrap_or_default();
            if last == role {
                return Some(way.join(" → "));
            }
            if seen.contains(&last) {
                continue;
            }
            for (next, _) in all.get(last.as_str()).iter().flat_map(|m| &m.dependencies) {
                longer.push([way.as_slice(), std::slice::from_ref(next)].concat());
            }
            seen.push(last);
        }
        ways = longer;
    }
    None
}
