//! Tasks and handlers as a role's file has them, typed, templates unrendered.

use std::collections::BTreeSet;

use super::args::RunAs;
use super::library::Role;
use super::module::Module;
use super::until::Polling;
use crate::inventory::Variables;
use crate::inventory::yaml::Node;
use crate::model::Span;
use crate::plan::OnFailure;
use crate::template;

/// A condition.
#[derive(Debug, Clone)]
pub(super) enum Condition {
    /// `true` or `false` itself.
    Literal(bool),
    /// A Tera expression.
    Expression(String, Span),
}

/// A part of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// `block`.
    Body,
    /// `rescue`: only where a task of the body failed.
    Rescue,
    /// `always`: whatever happened before.
    Always,
}

/// A block around a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Around {
    /// Its number in the role.
    pub(super) block: usize,
    /// The part that the task is in.
    pub(super) part: Part,
    /// Whether it has a `rescue`.
    pub(super) rescues: bool,
    /// Whether it has an `always`.
    pub(super) has_always: bool,
}

/// `loop_control`: what the item of a loop is called, and how it is shown.
#[derive(Debug, Clone)]
pub(super) struct LoopControl {
    /// The item's name.
    pub(super) var: String,
    /// The name of its number, from 0.
    pub(super) index: Option<String>,
    /// A template that stands for the item in titles.
    pub(super) label: Option<(String, Span)>,
}

impl Default for LoopControl {
    fn default() -> Self {
        Self {
            var: "item".into(),
            index: None,
            label: None,
        }
    }
}

/// A task or handler. What its blocks say of it is in it: `when`, `tags`, `vars` and the like.
#[derive(Debug, Clone)]
pub(super) struct Task {
    pub(super) name: String,
    pub(super) span: Span,
    pub(super) module: &'static Module,
    /// Always a map.
    pub(super) args: Node,
    /// All must hold.
    pub(super) when: Vec<Condition>,
    pub(super) items: Option<Node>,
    pub(super) control: LoopControl,
    pub(super) notify: Vec<(String, Span)>,
    /// Names beside its own by which a handler is notified.
    pub(super) listen: Vec<String>,
    pub(super) register: Option<String>,
    pub(super) tags: Vec<String>,
    pub(super) run_as: Option<RunAs>,
    /// All must hold.
    pub(super) changed_when: Option<Vec<Condition>>,
    /// All must hold (Ansible's "Error handling in playbooks": a list is joined with an implicit `and`).
    pub(super) failed_when: Option<Vec<Condition>>,
    /// How often a command is tried, and for what.
    pub(super) polling: Option<Polling>,
    pub(super) no_log: bool,
    pub(super) vars: Variables,
    /// The blocks around it, the outermost first.
    pub(super) around: Vec<Around>,
}

impl std::fmt::Debug for Module {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl Condition {
    fn names(&self) -> BTreeSet<String> {
        match self {
            Self::Literal(_) => BTreeSet::new(),
            Self::Expression(text, _) => template::names_in_expression(text),
        }
    }
}

impl Task {
    /// Returns the variables that its `when`, `loop`, arguments and own variables name.
    pub(super) fn used_names(&self) -> BTreeSet<String> {
        let mut names: BTreeSet<String> = self.when.iter().flat_map(Condition::names).collect();
        let judging = [&self.changed_when, &self.failed_when];
        names.extend(
            judging
                .into_iter()
                .flatten()
                .flatten()
                .flat_map(Condition::names),
        );
        names.extend(template::names_in_text(&self.name));
        if let Some((label, _)) = &self.control.label {
            names.extend(template::names_in_text(label));
        }
        names.extend(template::names_in_value(&self.args.to_value()));
        if let Some(items) = &self.items {
            names.extend(names_in_loop(items));
        }
        names.extend(
            self.vars
                .values()
                .flat_map(|v| template::names_in_value(&v.value)),
        );
        names.extend(self.names_in_expressions());
        names.extend(self.names_in_polling());
        names
    }

    /// Returns the name by which its own conditions know its result.
    pub(super) fn result_name(&self) -> &str {
        self.register.as_deref().unwrap_or("result")
    }

    fn names_in_polling(&self) -> BTreeSet<String> {
        let Some(polling) = &self.polling else {
            return BTreeSet::new();
        };
        let numbers = polling.retries.iter().chain(&polling.delay);
        let mut names: BTreeSet<String> = numbers
            .flat_map(|node| template::names_in_value(&node.to_value()))
            .collect();
        if let Some((until, _)) = &polling.until {
            names.extend(template::names_in_expression(until));
        }
        names.remove(self.result_name());
        names
    }

    /// Returns the variables that it sets, or may set, beside the registered one.
    pub(super) fn sets(&self, role: &Role) -> Vec<String> {
        match self.module.name {
            "set_fact" => {
                let entries = self.args.as_map().unwrap_or_default();
                entries.iter().map(|e| e.key.clone()).collect()
            }
            "include_vars" => {
                let files = role.variable_files();
                files.flat_map(|(_, v)| v.keys().cloned()).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Returns the variables that expressions among its arguments name.
    fn names_in_expressions(&self) -> BTreeSet<String> {
        let expressions = match self.module.name {
            "assert" => "that",
            "debug" => "var",
            _ => return BTreeSet::new(),
        };
        let node = self.args.get(expressions).map(|e| &e.value);
        let nodes = node.map(|n| n.as_seq().unwrap_or(std::slice::from_ref(n)));
        let texts = nodes.unwrap_or_default().iter().filter_map(Node::as_str);
        texts.flat_map(template::names_in_expression).collect()
    }

    /// Returns what a failure of it leads to.
    pub(super) fn on_failure(&self) -> OnFailure {
        let rescues = |a: &Around| a.rescues && a.part == Part::Body;
        let cleans = |a: &Around| a.has_always && a.part != Part::Always;
        if self.around.iter().any(rescues) {
            OnFailure::Rescue
        } else if self.around.iter().any(cleans) {
            OnFailure::Always
        } else {
            OnFailure::Stop
        }
    }

    /// Returns whether its result has to be judged by an expression before anything else can go on.
    pub(super) fn is_judged(&self) -> bool {
        let expression = |c: &Condition| matches!(c, Condition::Expression(..));
        let judging = [&self.changed_when, &self.failed_when];
        judging.into_iter().flatten().flatten().any(expression)
    }
}

fn names_in_loop(items: &Node) -> BTreeSet<String> {
    match items.as_str() {
        Some(text) if !template::is_template(text) => template::names_in_expression(text),
        _ => template::names_in_value(&items.to_value()),
    }
}

/// Returns a handler's identifier, which names its mark on a host.
pub(super) fn id(role: &str, handler: &str) -> String {
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || "-_.".contains(c) {
            c
        } else {
            '-'
        }
    };
    format!("{role}.{handler}").chars().map(plain).collect()
}
