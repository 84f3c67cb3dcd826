//! A task, or one item of its loop, in the scope of a host.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::args::{Args, describe};
use super::files::ControllerFiles;
use super::library::{Role, RoleFile};
use super::module::Action;
use super::result::{self, StepResult};
use super::task::{Condition, LoopControl, Task};
use crate::event::Status;
use crate::host::script::Report;
use crate::model::{Diagnostic, Diagnostics, Map, Value};
use crate::template::{self, Binding, Scope};

/// An item of a loop and its number, or the one round of a task without.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Item(Option<(usize, Value)>);

/// The longest label of an item in a title.
const LABEL: usize = 60;

impl Item {
    /// Sets `item`, or what `loop_control` calls it.
    pub(super) fn enter(&self, control: &LoopControl, scope: &mut Scope) {
        if let Some((index, value)) = &self.0 {
            scope.set(control.var.clone(), Binding::fixed(value.clone()));
            if let Some(name) = &control.index {
                scope.set(name.clone(), Binding::fixed((*index).into()));
            }
        }
    }

    /// Returns what stands for it in a title; `scope` is the item's own.
    pub(super) fn label(
        &self,
        control: &LoopControl,
        scope: &Scope,
    ) -> Result<Option<String>, Diagnostic> {
        match (&self.0, &control.label) {
            (Some(_), Some((label, span))) => Ok(Some(cut(&scope.render_text(label, Some(span))?))),
            _ => Ok(self.plain_label()),
        }
    }

    fn plain_label(&self) -> Option<String> {
        let (_, value) = self.0.as_ref()?;
        let named = |map: &Map| {
            ["name", "key", "path", "dest"]
                .iter()
                .find_map(|k| map.get(*k)?.as_str().map(str::to_string))
        };
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Object(map) => named(map).unwrap_or_else(|| value.to_string()),
            _ => value.to_string(),
        };
        Some(cut(&text))
    }

    /// Returns the item, null for a task without a loop.
    pub(super) fn value(&self) -> Value {
        let value = self.0.as_ref().map(|(_, value)| value.clone());
        value.unwrap_or(Value::Null)
    }
}

fn cut(label: &str) -> String {
    let plain = label.chars().filter(|c| !c.is_control());
    plain.take(LABEL).collect()
}

/// Returns the items of a task's loop.
pub(super) fn items(task: &Task, role: &Role, scope: &Scope) -> Result<Vec<Item>, Diagnostics> {
    let Some(node) = &task.items else {
        return Ok(vec![Item(None)]);
    };
    let one = |error: Diagnostic| Diagnostics(vec![error]);
    let value = match node.as_str() {
        Some(text) if !template::is_template(text) => {
            scope.eval(text, Some(&node.span)).map_err(one)?
        }
        _ => scope.render_value(&node.to_value(), &|p| {
            node.pointer(p).map(|n| n.span.clone())
        })?,
    };
    match value {
        Value::Array(items) => {
            let numbered = items.into_iter().enumerate();
            Ok(numbered.map(|item| Item(Some(item))).collect())
        }
        other => {
            let message = format!(
                "`loop` of `{} : {}` takes a list, not {}",
                role.name,
                task.name,
                describe(&other)
            );
            Err(one(Diagnostic::error(message).at(node.span.clone())))
        }
    }
}

fn holds_one(condition: &Condition, scope: &Scope) -> Result<bool, Diagnostic> {
    match condition {
        Condition::Literal(value) => Ok(*value),
        Condition::Expression(text, span) => scope.eval_bool(text, Some(span)),
    }
}

/// Returns what is wrong with `failed_when` and `changed_when` whatever the result will be.
pub(super) fn unknown_in_judgement(task: &Task, mut scope: Scope) -> Diagnostics {
    if !task.is_judged() {
        return Diagnostics::default();
    }
    let judging = [&task.failed_when, &task.changed_when];
    let conditions = judging.into_iter().flatten().flatten();
    let result = result::value(Status::Ok, &StepResult::default());
    for name in [Some("result"), task.register.as_deref()]
        .into_iter()
        .flatten()
    {
        scope.set(name, Binding::fixed(result.clone()));
    }
    let errors = conditions.filter_map(|condition| holds_one(condition, &scope).err());
    Diagnostics(errors.filter(template::is_unknown).collect())
}

/// Returns whether all conditions hold; those behind one that does not are not looked at.
pub(super) fn holds(conditions: &[Condition], scope: &Scope) -> Result<bool, Diagnostic> {
    for condition in conditions {
        if !holds_one(condition, scope)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Returns what a task's module is to do, with its arguments rendered. `host_known` is whether `facts` are the host's own.
pub(super) fn action(
    task: &Task,
    role: &Role,
    scope: &Scope,
    files: &dyn ControllerFiles,
    host_known: bool,
) -> Result<Box<dyn Action>, Diagnostics> {
    let value = task.args.to_value();
    let rendered = scope.render_value(&value, &|p| task.args.pointer(p).map(|n| n.span.clone()))?;
    let values = match rendered {
        Value::Object(map) => map,
        _ => Map::new(),
    };
    let render = |file: &RoleFile, over: &[(String, Value)]| match &file.source {
        Some(source) => {
            let scope = over
                .iter()
                .fold(Cow::Borrowed(scope), |scope, (name, value)| {
                    Cow::Owned(scope.with(name, value.clone()))
                });
            scope.render(source).map_err(|e| Diagnostics(vec![e]))
        }
        None => Err(Diagnostics(vec![Diagnostic::error(format!(
            "{} is no UTF-8 text, or larger than 1 MiB",
            file.path
        ))])),
    };
    let mut args = Args {
        module: task.module.name,
        values: &values,
        node: &task.args,
        role,
        files,
        render: &render,
        scope,
        host_known,
        run_as: task.run_as.clone(),
        polling: task.polling.as_ref().map(|p| (p, task.result_name())),
        errors: Diagnostics::default(),
    };
    let action = (task.module.read)(&mut args);
    let mut errors = args.errors;
    if errors.has_errors() {
        return Err(errors);
    }
    action.ok_or_else(|| {
        errors.push(
            Diagnostic::error(format!(
                "the arguments of `{}` cannot be used",
                task.module.name
            ))
            .at(task.span.clone()),
        );
        errors
    })
}

/// Returns the variables that a task needs, those of its template and of the role's variables among them.
pub(super) fn names(task: &Task, role: &Role, scope: &Scope) -> BTreeSet<String> {
    let mut names = task.used_names();
    if task.module.name == "template" {
        let mut texts = vec![task.args.get("src").map(|e| e.value.to_value())];
        // Templates whose digest is asked for are rendered too.
        if let Some(Value::Object(map)) = task.args.get("digests").map(|e| e.value.to_value()) {
            texts.extend(map.into_iter().map(|(_, value)| Some(value)));
        }
        for src in texts.iter().flatten().flat_map(words) {
            if let Ok(src) = scope.render_text(src, None)
                && let Some(source) = role.template(&src).and_then(|f| f.source.as_ref())
            {
                names.extend(template::names_in_text(&source.text));
            }
        }
    }
    let mut queue: Vec<String> = names.iter().cloned().collect();
    while let Some(name) = queue.pop() {
        for variables in [&role.defaults, &role.vars, &task.vars] {
            let Some(variable) = variables.get(&name) else {
                continue;
            };
            queue.extend(
                template::names_in_value(&variable.value)
                    .into_iter()
                    .filter(|n| names.insert(n.clone())),
            );
        }
    }
    names
}

/// Returns a text, or the texts of a list.
fn words(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(items) => items.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

/// Returns what a step's success is reported as.
pub(super) fn report(task: &Task) -> Report {
    let Some(conditions) = &task.changed_when else {
        return Report::Auto;
    };
    if conditions
        .iter()
        .any(|c| matches!(c, Condition::Literal(false)))
    {
        return Report::Ok;
    }
    // An expression is judged later: until then the host's word counts.
    if judges_change(task) {
        Report::Auto
    } else {
        Report::Changed
    }
}

/// Returns whether an expression decides if the task changed something.
pub(super) fn judges_change(task: &Task) -> bool {
    let conditions = task.changed_when.as_deref().unwrap_or_default();
    let never = conditions
        .iter()
        .any(|c| matches!(c, Condition::Literal(false)));
    !never
        && conditions
            .iter()
            .any(|c| matches!(c, Condition::Expression(..)))
}

/// Returns how a result is to be taken. `plain` is what it is without the task's own conditions.
pub(super) fn judge(
    task: &Task,
    scope: &Scope,
    plain: Status,
    result: &StepResult,
) -> Result<Status, Diagnostic> {
    let failed = match &task.failed_when {
        Some(conditions) => holds(conditions, scope)?,
        None => plain == Status::Failed,
    };
    if failed {
        return Ok(Status::Failed);
    }
    let changed = match &task.changed_when {
        Some(conditions) => holds(conditions, scope)?,
        None => result.changed,
    };
    Ok(if changed { Status::Changed } else { Status::Ok })
}
