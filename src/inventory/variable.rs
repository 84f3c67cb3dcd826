//! Variables that know where they were set and what they overrode.

use std::sync::Arc;

use indexmap::IndexMap;
use serde::Serialize;

use super::yaml::{Kind, Node};
use crate::model::{MASK, Span, Value};

/// Who set a variable; a later level wins over an earlier one. The order is Ansible's ("Variable precedence" in its
/// documentation), without the levels that have no counterpart here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// A role's defaults/main.yml.
    RoleDefaults,
    /// `vars` of a group, and group_vars/.
    GroupVars,
    /// Variables beside a host, and host_vars/.
    HostVars,
    /// A role's vars/main.yml.
    RoleVars,
    /// What a task of the run registered.
    Registered,
    /// `-e` on the command line.
    Extra,
}

/// Where a variable was set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Who set it.
    pub level: Level,
    /// The place of the value; `None` for what is in no file.
    pub span: Option<Span>,
    /// In words: `group_vars of kube_node`.
    pub what: String,
}

/// A variable's value as it stands in its file, templates unrendered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// The value.
    pub value: Value,
    /// The value with the places of its parts, where it came from a file.
    pub node: Option<Arc<Node>>,
    /// Where its name stands, where it came from a file.
    pub name_span: Option<Span>,
    /// Where it was set.
    pub origin: Origin,
    /// What it overrode, the nearest first.
    pub overrode: Vec<Origin>,
}

/// Variables by name, in the order in which they were first set.
pub type Variables = IndexMap<String, Variable>;

impl Variable {
    /// Returns the variable that a file's node sets.
    pub fn new(node: Node, level: Level, what: impl Into<String>) -> Self {
        let origin = Origin {
            level,
            span: Some(node.span.clone()),
            what: what.into(),
        };
        Self {
            value: node.to_value(),
            node: Some(Arc::new(node)),
            name_span: None,
            origin,
            overrode: Vec::new(),
        }
    }

    /// Returns the variable with the place of its name.
    #[must_use]
    pub fn named_at(mut self, span: Span) -> Self {
        self.name_span = Some(span);
        self
    }

    /// Returns a variable that no file sets.
    pub fn computed(value: Value, level: Level, what: impl Into<String>) -> Self {
        let origin = Origin {
            level,
            span: None,
            what: what.into(),
        };
        Self {
            value,
            node: None,
            name_span: None,
            origin,
            overrode: Vec::new(),
        }
    }

    /// Returns the value with `***` for each part of it that was encrypted.
    pub fn shown(&self) -> Value {
        match &self.node {
            Some(node) if holds_secret(node) => shown(node),
            _ => self.value.clone(),
        }
    }

    /// Returns the decrypted texts and numbers in the value.
    pub fn secrets(&self) -> Vec<String> {
        let mut secrets = Vec::new();
        if let Some(node) = &self.node {
            decrypted(node, false, &mut secrets);
        }
        secrets
    }

    /// Returns the place of the part that a JSON pointer (RFC 6901) names, else that of the whole value.
    pub fn locate(&self, pointer: &str) -> Option<Span> {
        let part = self
            .node
            .as_ref()
            .and_then(|n| n.pointer(pointer))
            .map(|n| n.span.clone());
        part.or_else(|| self.origin.span.clone())
    }

    /// Returns the places of all text in the value, by JSON pointer.
    pub fn texts(&self) -> Vec<(String, Span)> {
        let mut texts = Vec::new();
        if let Some(node) = &self.node {
            collect(node, &mut String::new(), &mut texts);
        }
        texts
    }
}

fn holds_secret(node: &Node) -> bool {
    node.span.is_secret()
        || match &node.kind {
            Kind::Scalar(_) => false,
            Kind::Seq(items) => items.iter().any(holds_secret),
            Kind::Map(entries) => entries.iter().any(|e| holds_secret(&e.value)),
        }
}

fn shown(node: &Node) -> Value {
    if node.span.is_secret() {
        return MASK.into();
    }
    match &node.kind {
        Kind::Scalar(scalar) => scalar.value.clone(),
        Kind::Seq(items) => items.iter().map(shown).collect(),
        Kind::Map(entries) => {
            let entries = entries.iter().map(|e| (e.key.clone(), shown(&e.value)));
            Value::Object(entries.collect())
        }
    }
}

fn decrypted(node: &Node, within: bool, secrets: &mut Vec<String>) {
    let secret = within || node.span.is_secret();
    match &node.kind {
        Kind::Scalar(scalar) => match &scalar.value {
            Value::String(text) if secret => secrets.push(text.clone()),
            Value::Number(_) if secret => secrets.push(scalar.text.clone()),
            // `true` and `no` stand everywhere, and say nothing.
            _ => {}
        },
        Kind::Seq(items) => {
            for item in items {
                decrypted(item, secret, secrets);
            }
        }
        Kind::Map(entries) => {
            for entry in entries {
                decrypted(&entry.value, secret, secrets);
            }
        }
    }
}

fn collect(node: &Node, pointer: &mut String, texts: &mut Vec<(String, Span)>) {
    let length = pointer.len();
    if let Some(entries) = node.as_map() {
        for entry in entries {
            pointer.push('/');
            pointer.push_str(&entry.key.replace('~', "~0").replace('/', "~1"));
            collect(&entry.value, pointer, texts);
            pointer.truncate(length);
        }
    } else if let Some(items) = node.as_seq() {
        for (i, item) in items.iter().enumerate() {
            pointer.push('/');
            pointer.push_str(&i.to_string());
            collect(item, pointer, texts);
            pointer.truncate(length);
        }
    } else if node.as_str().is_some() {
        texts.push((pointer.clone(), node.span.clone()));
    }
}

/// Puts `over` on top of `base`. A variable of a lower level than the one it meets does not win, but is listed among
/// those that were overridden; of two of one level the later wins.
pub fn layer(base: &mut Variables, over: impl IntoIterator<Item = (String, Variable)>) {
    for (name, mut variable) in over {
        match base.get_mut(&name) {
            None => {
                base.insert(name, variable);
            }
            Some(below) if below.origin.level <= variable.origin.level => {
                variable.overrode.push(below.origin.clone());
                variable.overrode.append(&mut below.overrode);
                *below = variable;
            }
            Some(above) => {
                // In front of what it would itself have overridden; the sort is stable.
                let lost = std::iter::once(variable.origin).chain(variable.overrode);
                above.overrode.splice(0..0, lost);
                above.overrode.sort_by_key(|o| std::cmp::Reverse(o.level));
            }
        }
    }
}

/// Returns all layers as one, whatever their order: levels decide, and within a level the later layer.
pub fn merge(layers: impl IntoIterator<Item = Variables>) -> Variables {
    let mut merged = Variables::new();
    for variables in layers {
        layer(&mut merged, variables);
    }
    merged
}
