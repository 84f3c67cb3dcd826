//! Inventories as text: the shapes of `ansible-inventory`.

use std::fmt::Write as _;

use serde_json::json;

use super::graph::ALL;
use super::{Group, Host, Inventory, Variable};
use crate::event::tame_json;
use crate::model::{Diagnostic, GroupName, Map, Value, nearest};

/// Shows a variable's value, or something else in its place: secrets are masked by whoever knows which they are.
pub type Mask<'m> = &'m dyn Fn(&str, &Variable) -> Value;

impl Inventory {
    /// Returns the inventory in the shape of `ansible-inventory --list`: each group with its hosts and children, and
    /// all variables of each host under `_meta.hostvars`, templates unrendered. Keys are sorted.
    pub fn to_list(&self, mask: Mask<'_>) -> Value {
        let mut entries: Vec<(String, Value)> = Vec::new();
        for group in self.descendants(ALL) {
            let mut entry = Map::new();
            if !group.children.is_empty() {
                entry.insert(
                    "children".into(),
                    group.children.iter().map(GroupName::as_str).collect(),
                );
            }
            if group.name.as_str() != ALL && !group.hosts.is_empty() {
                entry.insert(
                    "hosts".into(),
                    group.hosts.iter().map(|h| h.as_str()).collect(),
                );
            }
            if !entry.is_empty() {
                entries.push((group.name.to_string(), Value::Object(entry)));
            }
        }
        let mut hostvars: Vec<(String, Value)> = self
            .hosts
            .values()
            .filter(|h| !h.vars.is_empty())
            .map(|h| (h.name.to_string(), h.to_vars(mask)))
            .collect();
        hostvars.sort_by(|a, b| a.0.cmp(&b.0));
        entries.push((
            "_meta".into(),
            json!({ "hostvars": hostvars.into_iter().collect::<Map>() }),
        ));
        entries.sort_by(|a, b| a.0.cmp(&b.0));
        Value::Object(entries.into_iter().collect())
    }

    /// Returns groups and hosts as `ansible-inventory --graph` draws them, from `group` down, or that there is no such
    /// group.
    pub fn to_graph(&self, group: &str) -> Result<String, Diagnostic> {
        let Some(top) = self.groups.get(group) else {
            let error = Diagnostic::error(format!("no group is called `{group}`"));
            return Err(
                match nearest(group, self.groups.keys().map(GroupName::as_str)) {
                    Some(near) => error.help(format!("did you mean `{near}`?")),
                    None => error,
                },
            );
        };
        let mut text = String::new();
        self.draw(top, 0, &mut text);
        Ok(text)
    }

    fn draw(&self, group: &Group, depth: usize, text: &mut String) {
        line(text, depth, &format!("@{}:", group.name));
        for child in group.children.iter().filter_map(|c| self.groups.get(c)) {
            self.draw(child, depth + 1, text);
        }
        if group.name.as_str() != ALL {
            for host in &group.hosts {
                line(text, depth + 1, host.as_str());
            }
        }
    }

    /// Returns why a name is no host's.
    pub fn no_such_host(&self, name: &str) -> Diagnostic {
        let error = Diagnostic::error(format!("no host is called `{name}`"));
        match nearest(name, self.hosts.keys().map(|h| h.as_str())) {
            Some(near) => error.help(format!("did you mean `{near}`?")),
            None => error.help("`quorate inventory graph` shows the groups and their hosts"),
        }
    }
}

impl Host {
    /// Returns the host's variables, templates unrendered, as `ansible-inventory --host` prints them; keys are sorted.
    pub fn to_vars(&self, mask: Mask<'_>) -> Value {
        let mut vars: Vec<(String, Value)> = self
            .vars
            .iter()
            .map(|(n, v)| (n.clone(), sorted(&mask(n, v))))
            .collect();
        vars.sort_by(|a, b| a.0.cmp(&b.0));
        Value::Object(vars.into_iter().collect())
    }
}

/// Returns a value with all keys sorted (`sort_keys` of Python's json).
fn sorted(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(sorted).collect(),
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().map(|(k, v)| (k.clone(), sorted(v))).collect();
            entries.sort_by(|a, b| a.0.cmp(&b.0));
            Value::Object(entries.into_iter().collect())
        }
        other => other.clone(),
    }
}

/// Returns JSON as Ansible prints it: indented by four, with a line feed at the end.
pub fn to_json(value: &Value) -> String {
    use serde::Serialize as _;
    let mut bytes = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, formatter);
    // A value whose keys are text can always be written to memory.
    if value.serialize(&mut serializer).is_err() {
        return String::new();
    }
    let mut text = tame_json(&String::from_utf8_lossy(&bytes));
    text.push('\n');
    text
}

/// Returns YAML that every reader of 1.1 and 1.2 understands the same.
pub fn to_yaml(value: &Value) -> String {
    serde_saphyr::to_string(value).unwrap_or_default()
}

fn line(text: &mut String, depth: usize, name: &str) {
    // Writing to a string cannot fail.
    let _ = if depth == 0 {
        writeln!(text, "{name}")
    } else {
        writeln!(text, "{}--{name}", "  |".repeat(depth))
    };
}
