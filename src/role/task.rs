//! Tasks and handlers as a role's file has them, typed, templates unrendered.

use std::collections::BTreeSet;

use super::args::RunAs;
use super::keyword;
use super::module::{self, Module};
use crate::inventory::yaml::{Kind, Node};
use crate::inventory::{Level, Variable, Variables};
use crate::model::{Diagnostic, Diagnostics, Span, nearest};
use crate::template;

/// Whether a file holds tasks or handlers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sort {
    Task,
    Handler,
}

/// A condition.
#[derive(Debug, Clone)]
pub(super) enum Condition {
    /// `true` or `false` itself.
    Literal(bool),
    /// A Tera expression.
    Expression(String, Span),
}

/// A task or handler.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) name: String,
    pub(super) span: Span,
    pub(super) module: &'static Module,
    /// Always a map.
    pub(super) args: Node,
    /// All must hold.
    pub(super) when: Vec<Condition>,
    pub(super) items: Option<Node>,
    pub(super) notify: Vec<(String, Span)>,
    pub(super) register: Option<String>,
    pub(super) tags: Vec<String>,
    pub(super) run_as: Option<RunAs>,
    /// All must hold.
    pub(super) changed_when: Option<Vec<Condition>>,
    /// One must hold, as in Ansible, where a list means `or` nowhere else: here a list is refused.
    pub(super) failed_when: Option<Condition>,
    pub(super) no_log: bool,
    pub(super) vars: Variables,
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
        names.extend(
            self.changed_when
                .iter()
                .flatten()
                .flat_map(Condition::names),
        );
        names.extend(self.failed_when.iter().flat_map(Condition::names));
        names.extend(template::names_in_text(&self.name));
        names.extend(template::names_in_value(&self.args.to_value()));
        if let Some(items) = &self.items {
            names.extend(names_in_loop(items));
        }
        names.extend(
            self.vars
                .values()
                .flat_map(|v| template::names_in_value(&v.value)),
        );
        names
    }

    /// Returns whether its result has to be judged by an expression before anything else can go on.
    pub(super) fn is_judged(&self) -> bool {
        let expression = |c: &Condition| matches!(c, Condition::Expression(..));
        self.changed_when.iter().flatten().any(expression)
            || self.failed_when.iter().any(expression)
    }
}

fn names_in_loop(items: &Node) -> BTreeSet<String> {
    match items.as_str() {
        Some(text) if !template::is_template(text) => template::names_in_expression(text),
        _ => template::names_in_value(&items.to_value()),
    }
}

/// Returns the tasks of a file.
pub(super) fn read(
    node: &Node,
    role: &str,
    sort: Sort,
    diagnostics: &mut Diagnostics,
) -> Vec<Task> {
    let Some(items) = node.as_seq() else {
        let what = if sort == Sort::Task {
            "tasks"
        } else {
            "handlers"
        };
        diagnostics.push(
            Diagnostic::error(format!(
                "a list of {what} is expected, not {}",
                node.describe()
            ))
            .at(node.span.clone()),
        );
        return Vec::new();
    };
    let mut tasks: Vec<Task> = Vec::new();
    for (i, item) in items.iter().enumerate() {
        let mut reader = Reader {
            diagnostics,
            number: i + 1,
            role,
        };
        let Some(task) = reader.task(item, sort) else {
            continue;
        };
        if sort == Sort::Handler
            && let Some(other) = tasks
                .iter()
                .find(|t| id(role, &t.name) == id(role, &task.name))
        {
            let line = other.span.line_column().0;
            let message = format!(
                "the handler `{}` has the name of the one in line {line}",
                task.name
            );
            diagnostics.push(Diagnostic::error(message).at(task.span.clone()));
            continue;
        }
        tasks.push(task);
    }
    tasks
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

struct Reader<'d> {
    diagnostics: &'d mut Diagnostics,
    number: usize,
    role: &'d str,
}

impl Reader<'_> {
    fn complain(
        &mut self,
        message: impl Into<String>,
        span: &Span,
        help: impl Into<Option<String>>,
    ) {
        let mut error = Diagnostic::error(message).at(span.clone());
        error.help = help.into();
        self.diagnostics.push(error);
    }

    fn wrong(&mut self, key: &str, expected: &str, node: &Node) {
        self.complain(
            format!("`{key}` takes {expected}, not {}", node.describe()),
            &node.span,
            None,
        );
    }

    fn task(&mut self, node: &Node, sort: Sort) -> Option<Task> {
        let Some(entries) = node.as_map() else {
            self.wrong("task", "a map", node);
            return None;
        };
        let before = self.diagnostics.0.len();
        let mut module: Option<(&'static Module, &crate::inventory::yaml::Entry)> = None;
        for entry in entries {
            let key = entry.key.as_str();
            if keyword::KEYWORDS.contains(&key) {
                continue;
            }
            if let Some(found) = module::find(key) {
                if let Some((first, _)) = module {
                    let message = format!(
                        "a task has one module: this one has `{}` already",
                        first.name
                    );
                    self.complain(message, &entry.key_span, None);
                }
                module = Some((found, entry));
            } else if let Some((what, instead)) = keyword::refused(key) {
                self.complain(what, &entry.key_span, instead.to_string());
            } else {
                let known = keyword::KEYWORDS.iter().copied().chain(module::names());
                let help = nearest(key, known).map(|n| format!("did you mean `{n}`?"));
                let help = help.unwrap_or_else(|| {
                    format!(
                        "the modules are {}",
                        module::names().collect::<Vec<_>>().join(", ")
                    )
                });
                self.complain(
                    format!("`{key}` is neither a module nor a keyword of a task"),
                    &entry.key_span,
                    help,
                );
            }
        }
        let Some((module, entry)) = module else {
            if self.diagnostics.0.len() == before {
                self.complain("this task has no module", &node.span, None);
            }
            return None;
        };
        let args = self.args(module, &entry.value)?;
        let mut task = Task {
            name: String::new(),
            span: entry.key_span.clone(),
            module,
            args,
            when: Vec::new(),
            items: None,
            notify: Vec::new(),
            register: None,
            tags: Vec::new(),
            run_as: None,
            changed_when: None,
            failed_when: None,
            no_log: false,
            vars: Variables::new(),
        };
        for entry in entries {
            self.keyword(&mut task, &entry.key, &entry.value);
        }
        if task.name.is_empty() {
            if sort == Sort::Handler {
                self.complain(
                    "a handler needs a `name`, by which tasks notify it",
                    &node.span,
                    None,
                );
            }
            task.name = format!("{} (task {})", module.name, self.number);
        }
        if sort == Sort::Handler && (task.items.is_some() && task.register.is_some()) {
            self.complain(
                "a handler cannot `register`: nothing comes after it",
                &task.span.clone(),
                None,
            );
        }
        (self.diagnostics.0.len() == before).then_some(task)
    }

    fn args(&mut self, module: &'static Module, node: &Node) -> Option<Node> {
        match &node.kind {
            Kind::Map(entries) => {
                let mut good = true;
                for entry in entries {
                    if !module.arguments.contains(&entry.key.as_str()) {
                        good = false;
                        let near = nearest(&entry.key, module.arguments.iter().copied())
                            .map(|n| format!("did you mean `{n}`?"));
                        let help = near
                            .unwrap_or_else(|| format!("it has {}", module.arguments.join(", ")));
                        self.complain(
                            format!("`{}` has no argument `{}`", module.name, entry.key),
                            &entry.key_span,
                            help,
                        );
                    }
                }
                good.then(|| node.clone())
            }
            Kind::Scalar(_) if node.is_null() => {
                self.complain(
                    format!("`{}` has no arguments", module.name),
                    &node.span,
                    None,
                );
                None
            }
            Kind::Scalar(_) => match module.bare {
                Some(name) => {
                    let entry = crate::inventory::yaml::Entry {
                        key: name.into(),
                        key_span: node.span.clone(),
                        value: node.clone(),
                    };
                    Some(Node {
                        kind: Kind::Map(vec![entry]),
                        span: node.span.clone(),
                    })
                }
                None => {
                    let help = "write the arguments as a map, one in a line".to_string();
                    self.complain(
                        format!("`{}` takes a map, not {}", module.name, node.describe()),
                        &node.span,
                        help,
                    );
                    None
                }
            },
            Kind::Seq(_) => {
                self.wrong(module.name, "a map", node);
                None
            }
        }
    }

    fn keyword(&mut self, task: &mut Task, key: &str, node: &Node) {
        let is_command = matches!(task.module.name, "command" | "shell");
        let refuse = |reader: &mut Self, why: &str| {
            let message = format!(
                "`{key}` is for `command` and `shell` only, not for `{}`",
                task.module.name
            );
            reader.complain(message, &node.span, why.to_string());
        };
        match key {
            "name" => match node.as_scalar().filter(|s| !s.value.is_null()) {
                Some(scalar) => task.name = scalar.text.trim().replace(['\n', '\r'], " "),
                None => self.wrong(key, "text", node),
            },
            "when" => task.when = self.conditions(key, node),
            "loop" => match &node.kind {
                Kind::Seq(_) => task.items = Some(node.clone()),
                Kind::Scalar(_) if node.as_str().is_some() => task.items = Some(node.clone()),
                _ => self.wrong(key, "a list or an expression", node),
            },
            "notify" => task.notify = self.texts(key, node),
            "tags" => {
                task.tags = self
                    .texts(key, node)
                    .into_iter()
                    .map(|(text, _)| text)
                    .collect()
            }
            "register" => match node.as_str().filter(|t| is_variable(t)) {
                Some(text) => task.register = Some(text.to_string()),
                None => self.wrong(key, "the name of a variable", node),
            },
            "no_log" => task.no_log = self.flag(key, node),
            "become" => {
                let root = self.flag(key, node);
                if !root && !is_command {
                    let message = format!(
                        "`become: false` is for `command` only: `{}` needs root",
                        task.module.name
                    );
                    self.complain(message, &node.span, None);
                } else if !root {
                    task.run_as = Some(RunAs::Login);
                }
            }
            "become_user" => match node.as_str().filter(|t| is_account(t)) {
                Some("root") => {}
                Some(_) if !is_command => {
                    refuse(self, "the other modules run as root: leave it out")
                }
                Some(text) => task.run_as = Some(RunAs::User(text.to_string())),
                None => self.wrong(key, "the name of an account", node),
            },
            "changed_when" if is_command => task.changed_when = Some(self.conditions(key, node)),
            "failed_when" if is_command => match &node.kind {
                Kind::Scalar(_) => task.failed_when = self.conditions(key, node).into_iter().next(),
                _ => self.wrong(key, "one expression (join several with `or`)", node),
            },
            "changed_when" | "failed_when" => refuse(
                self,
                "the other modules know themselves whether they changed something",
            ),
            "vars" => match node.as_map() {
                Some(entries) => {
                    let what = format!("vars of task {} of role {}", self.number, self.role);
                    task.vars = entries
                        .iter()
                        .map(|e| {
                            (
                                e.key.clone(),
                                Variable::new(e.value.clone(), Level::RoleVars, what.clone()),
                            )
                        })
                        .collect();
                }
                None => self.wrong(key, "a map", node),
            },
            _ => {}
        }
    }

    fn flag(&mut self, key: &str, node: &Node) -> bool {
        match node.as_scalar().and_then(|s| s.value.as_bool()) {
            Some(flag) => flag,
            None => {
                self.wrong(key, "true or false", node);
                // The careful reading of both keywords that are read so.
                true
            }
        }
    }

    fn conditions(&mut self, key: &str, node: &Node) -> Vec<Condition> {
        let nodes = node.as_seq().unwrap_or(std::slice::from_ref(node));
        let mut conditions = Vec::new();
        for node in nodes {
            match node.as_scalar() {
                Some(scalar) if scalar.value.is_boolean() => {
                    conditions.push(Condition::Literal(scalar.value.as_bool() == Some(true)))
                }
                Some(scalar) if scalar.value.is_string() => {
                    conditions.push(Condition::Expression(
                        scalar.text.clone(),
                        node.span.clone(),
                    ));
                }
                _ => self.wrong(key, "an expression", node),
            }
        }
        conditions
    }

    fn texts(&mut self, key: &str, node: &Node) -> Vec<(String, Span)> {
        let nodes = node.as_seq().unwrap_or(std::slice::from_ref(node));
        let mut texts = Vec::new();
        for node in nodes {
            match node.as_str() {
                Some(text) => texts.push((text.to_string(), node.span.clone())),
                None => self.wrong(key, "text or a list of texts", node),
            }
        }
        texts
    }
}

fn is_variable(text: &str) -> bool {
    let mut chars = text.chars();
    chars
        .next()
        .is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn is_account(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with('-')
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_-.$".contains(c))
}
