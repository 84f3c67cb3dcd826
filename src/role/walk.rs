//! One pass over a host's tasks, in order, over a working copy of what is known of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::json;

use super::fate::Fates;
use super::host::HostRoles;
use super::library::Role;
use super::module::{Action, Look, Verdict};
use super::result::{self, Registered, StepResult};
use super::scope::Left;
use super::task::{Condition, Task, id};
use super::{exposed, item, scope, spec};
use crate::event::Status;
use crate::host::script::Report;
use crate::host::{Effect, FileKind, FileState, Observed, Run};
use crate::model::{Diagnostic, Diagnostics, Value};
use crate::plan::{Change, HandlerPlan, HostPlan, Note, OnFailure, Step};
use crate::template::{self, Scope};

/// The variables by which `rescue` and `always` know what failed; Ansible's names.
pub(super) const FAILED_RESULT: &str = "ansible_failed_result";
pub(super) const FAILED_TASK: &str = "ansible_failed_task";

/// One pass over all tasks.
pub(super) struct Walk<'a> {
    host: &'a HostRoles,
    registered: &'a Registered,
    observed: &'a Observed,
    /// The inventory's scope with the host's facts.
    pub(super) seen: Scope,
    now: Observed,
    steady: Observed,
    pub(super) plan: HostPlan,
    pub(super) errors: Diagnostics,
    /// Handlers that a step of this wave notifies.
    notified: BTreeSet<String>,
    /// Values of `register` so far.
    values: Left,
    /// Variables whose value this wave will bring.
    unknown: BTreeSet<String>,
    titles: BTreeMap<String, usize>,
    /// Whether the wave ends here.
    ended: bool,
    /// How the blocks of the role under way stand.
    fates: Fates,
    /// The title that `judge` looks for, and the scope of its item.
    pub(super) wanted: Option<String>,
    pub(super) found: Option<Scope>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(
        host: &'a HostRoles,
        scope: &Scope,
        observed: &'a Observed,
        registered: &'a Registered,
    ) -> Self {
        Self {
            host,
            registered,
            observed,
            seen: scope::with_facts(scope, Some(&observed.system)),
            now: observed.clone(),
            steady: observed.clone(),
            plan: HostPlan::default(),
            errors: Diagnostics::default(),
            notified: BTreeSet::new(),
            values: Left::new(),
            unknown: BTreeSet::new(),
            titles: BTreeMap::new(),
            ended: false,
            fates: Fates::default(),
            wanted: None,
            found: None,
        }
    }

    /// Returns a title that no other step has: results are kept by title.
    fn title(&mut self, role: &Role, name: &str, label: Option<String>) -> String {
        let title = match label {
            Some(label) => format!("{} : {name} ({label})", role.name),
            None => format!("{} : {name}", role.name),
        };
        let count = self.titles.entry(title.clone()).or_insert(0);
        *count += 1;
        if *count == 1 {
            title
        } else {
            format!("{title} #{count}")
        }
    }

    /// Counts the titles of a task that is not done: another one of the same title keeps its number, by which runs know it.
    fn pass_over(&mut self, role: &Role, task: &Task, base: &Scope) {
        let twice = self.host.roles.iter().filter(|r| r.name == role.name);
        let twins = role.tasks.iter().filter(|other| other.name == task.name);
        let is_known = twice.count() < 2 && twins.count() < 2;
        if is_known && !template::is_template(&task.name) {
            return;
        }
        let scope = self.host.scope(base, task, &self.values);
        // What is wrong with it is told where it is done.
        for each in item::items(task, role, &scope).unwrap_or_default() {
            let mut scope = scope.clone();
            each.enter(&task.control, &mut scope);
            let name = scope.render_text(&task.name, None);
            if let (Ok(name), Ok(label)) = (name, each.label(&task.control, &scope)) {
                self.title(role, &name, label);
            }
        }
    }

    /// Looks at a role's variables: what hangs on facts could not be looked at before.
    pub(super) fn check(&mut self, role: &Role) {
        let base = scope::with_role(&self.seen, role, &self.host.fixed);
        spec::check(role, &base, &mut self.errors);
    }

    /// Plans a role's tasks; returns the one that `judge` looks for as soon as it is found.
    pub(super) fn role<'r>(&mut self, role: &'r Arc<Role>) -> Option<&'r Task> {
        let base = scope::with_role(&self.seen, role, &self.host.fixed);
        for task in &role.tasks {
            if !self.host.takes(task) {
                self.pass_over(role, task, &base);
                continue;
            }
            self.fates.leave(&task.around);
            if !self.fates.reach(&task.around) {
                self.pass_over(role, task, &base);
                continue;
            }
            self.task(role, task, &base);
            if self.found.is_some() {
                return Some(task);
            }
        }
        self.fates.leave(&[]);
        None
    }

    /// Returns the title of the step whose failure nothing has rescued.
    pub(super) fn lost(&self) -> Option<&str> {
        self.fates.lost()
    }

    fn task(&mut self, role: &Arc<Role>, task: &Task, base: &Scope) {
        let scope = self.host.scope(base, task, &self.values);
        if !self.unknown.is_empty() && !self.ended {
            self.ended = !item::names(task, role, &scope).is_disjoint(&self.unknown);
        }
        if self.ended {
            self.later(role, task, &scope);
            return;
        }
        let items = match item::items(task, role, &scope) {
            Ok(items) => items,
            Err(errors) => return self.errors.extend(errors),
        };
        if items.is_empty() {
            self.plan.skipped += 1;
        }
        let looped = task.items.is_some();
        let mut results: Vec<(Value, Option<Value>)> = Vec::new();
        for each in items {
            // What one item sets, the next one sees.
            let mut scope = match task.module.is_local() {
                true => self.host.scope(base, task, &self.values),
                false => scope.clone(),
            };
            each.enter(&task.control, &mut scope);
            let named = scope.render_text(&task.name, None);
            let named = named.map_err(|error| error.at(task.span.clone()));
            let title = match (named, each.label(&task.control, &scope)) {
                (Ok(name), Ok(label)) => self.title(role, &name, label),
                (Err(error), _) | (_, Err(error)) => return self.errors.push(error),
            };
            if self.wanted.as_ref() == Some(&title) {
                self.found = Some(scope);
                return;
            }
            if self.ended {
                self.plan.known_after_apply.push(title);
                continue;
            }
            let value = self.item(role, task, &scope, title);
            results.push((each.value(), value));
            if !self.fates.reach(&task.around) {
                break;
            }
        }
        let Some(name) = &task.register else { return };
        if self.ended || results.iter().any(|(_, value)| value.is_none()) {
            self.unknown.insert(name.clone());
            return;
        }
        let mut known: Vec<(Value, Value)> = results
            .into_iter()
            .filter_map(|(item, value)| Some((item, value?)))
            .collect();
        let value = if looped {
            result::looped(known)
        } else {
            known.pop().map_or(Value::Null, |(_, value)| value)
        };
        self.values.insert(name.clone(), scope::fixed(value));
    }

    /// Takes down a task that the wave does not reach.
    fn later(&mut self, role: &Role, task: &Task, scope: &Scope) {
        self.plan.more = true;
        if let Some(name) = &task.register {
            self.unknown.insert(name.clone());
        }
        // Without a loop `when` may say no already.
        if task.items.is_none() && item::holds(&task.when, scope).is_ok_and(|holds| !holds) {
            return;
        }
        let name = scope
            .render_text(&task.name, None)
            .unwrap_or_else(|_| task.name.clone());
        let title = self.title(role, &name, None);
        self.plan.known_after_apply.push(title);
    }

    /// Plans a task or one item of its loop, and returns its result where it is known.
    fn item(
        &mut self,
        role: &Arc<Role>,
        task: &Task,
        scope: &Scope,
        title: String,
    ) -> Option<Value> {
        let known = |status: Status| Some(result::value(status, &StepResult::default()));
        match item::holds(&task.when, scope) {
            Ok(true) => {}
            Ok(false) => {
                self.plan.skipped += 1;
                return known(Status::Skipped);
            }
            Err(error) => {
                self.errors.push(error);
                return None;
            }
        }
        let notify = self.host.notified(role, task, &mut self.errors);
        if let Some((status, result)) = self.registered.get(&title) {
            let (status, value) = (*status, result::value(*status, result));
            if status == Status::Failed {
                self.fates.fail(&task.around, &title);
                let mut told = value.clone();
                if task.no_log {
                    told["stdout"] = "".into();
                    told["stdout_lines"] = json!([]);
                }
                self.values.insert(FAILED_RESULT.into(), scope::fixed(told));
                let failed = json!({ "name": task.name });
                self.values.insert(FAILED_TASK.into(), scope::fixed(failed));
                return Some(value);
            }
            if status == Status::Changed && item::judges_change(task) && !notify.is_empty() {
                self.notify_later(role, task, &title, notify);
            }
            return Some(value);
        }
        let action = match self.action(role, task, scope) {
            Ok(action) => action,
            Err(errors) => {
                self.errors.extend(errors);
                return None;
            }
        };
        if action.flushes() && self.handlers_wait() {
            self.ended = true;
            self.plan.more = true;
            return None;
        }
        self.values.extend(scope::left(action.sets()));
        if let Some(text) = action.says() {
            let text = if task.no_log {
                "(not shown: no_log)".into()
            } else {
                text
            };
            self.plan.notes.push(Note {
                title: title.clone(),
                text,
                after: self.plan.steps.len(),
            });
        }
        let changes = match self.verdict(action.as_ref()) {
            Verdict::Nothing(_) => {
                self.plan.ok += 1;
                self.plan.as_written.push(title);
                return known(Status::Ok);
            }
            Verdict::Changes(changes) | Verdict::Always(changes) => changes,
            Verdict::Refused(reason) if task.on_failure() != OnFailure::Stop => {
                vec![Change::new(Effect::Fail(reason), "leads out of its block")]
            }
            Verdict::Refused(reason) => {
                self.errors
                    .push(Diagnostic::error(format!("{title}: {reason}")).at(task.span.clone()));
                return None;
            }
            // Nothing before it could have changed the file: it cannot be read at all.
            Verdict::Unseen(path) if self.plan.steps.is_empty() => {
                let message = format!(
                    "{title}: {path} cannot be edited: it is no regular file, or larger than 256 KiB, or lies behind a symbolic link that others than root may change"
                );
                self.errors
                    .push(Diagnostic::error(message).at(task.span.clone()));
                return None;
            }
            Verdict::Unseen(_) => {
                self.ended = true;
                self.plan.more = true;
                self.plan.known_after_apply.push(title);
                return None;
            }
        };
        if self.says_nothing(role, task, scope, &changes) {
            self.step(role, task, title, changes, notify);
        }
        None
    }

    /// Returns what a task's module is to do, unless it would say what is not to be said.
    fn action(
        &self,
        role: &Role,
        task: &Task,
        scope: &Scope,
    ) -> Result<Box<dyn Action>, Diagnostics> {
        let action = item::action(task, role, scope, self.host.files.as_ref(), true)?;
        let asked = self.asked(role, task, scope);
        let unsaid = &self.host.unsaid;
        match unsaid.check(asked, action.words(), &exposed::lasting) {
            Some(error) => Err(Diagnostics(vec![error])),
            None => Ok(action),
        }
    }

    fn asked<'s>(&'s self, role: &'s Role, task: &'s Task, scope: &'s Scope) -> exposed::Asked<'s> {
        exposed::Asked {
            role,
            task,
            scope,
            files: self.host.files.as_ref(),
            host_known: true,
        }
    }

    /// Takes note of what a task's changes would say that is not to be said, and returns whether that is nothing.
    fn says_nothing(
        &mut self,
        role: &Role,
        task: &Task,
        scope: &Scope,
        changes: &[Change],
    ) -> bool {
        let of = |action: &dyn Action| exposed::words_of(&self.verdict(action));
        let asked = self.asked(role, task, scope);
        let words = exposed::words_in(changes);
        let Some(error) = self.host.unsaid.check(asked, words, &of) else {
            return true;
        };
        self.errors.push(error);
        false
    }

    /// Returns what is to be done, unless it is seen already that the host will refuse it.
    fn verdict(&self, action: &dyn Action) -> Verdict {
        let verdict = action.plan(&Look {
            now: &self.now,
            steady: &self.steady,
        });
        let refusal = match &verdict {
            Verdict::Changes(changes) | Verdict::Always(changes) => in_the_way(changes, &self.now),
            _ => None,
        };
        refusal.map_or(verdict, Verdict::Refused)
    }

    fn step(
        &mut self,
        role: &Role,
        task: &Task,
        title: String,
        changes: Vec<Change>,
        notify: Vec<String>,
    ) {
        let report = item::report(task);
        // What changes nothing, as its author says with `changed_when: false`, leaves what is known as it is.
        for change in changes.iter().filter(|_| report != Report::Ok) {
            change.effect.apply(&mut self.now);
            if !matches!(
                change.effect,
                Effect::InstallPackages(_) | Effect::RemovePackages(_)
            ) {
                change.effect.apply(&mut self.steady);
            }
        }
        let judged = task.is_judged();
        let mut failing = task.failed_when.iter().flatten();
        let never_fails = failing.any(|c| matches!(c, Condition::Literal(false)));
        let mut step = Step::new(title, task.module.category, changes);
        step.secret = task.no_log;
        step.disturbs = role.meta.disturbs_api;
        step.tolerant = judged || never_fails;
        step.on_failure = task.on_failure();
        step.register = task
            .register
            .clone()
            .or_else(|| judged.then(|| "result".to_string()));
        step.report = report;
        // Whether it changes anything is only known when its result is judged: the handlers are notified after that.
        let quiet = step.report == Report::Ok || item::judges_change(task);
        if !quiet {
            self.notified.extend(notify.iter().cloned());
            step.notify = notify;
        } else if step.report != Report::Ok && !notify.is_empty() {
            self.plan.more = true;
        }
        self.ended |= judged;
        self.plan.steps.push(step);
    }

    /// Plans the mark of handlers whose task was judged as changed in an earlier wave.
    fn notify_later(&mut self, role: &Role, task: &Task, title: &str, notify: Vec<String>) {
        let title = format!("{title} (handlers)");
        if self.registered.get(&title).is_some() {
            return;
        }
        let change = Change::new(
            Effect::Run(Run::new(["true"])),
            "the command changed something",
        );
        self.notified.extend(notify.iter().cloned());
        let mut step = Step::new(title, task.module.category, vec![change]);
        step.disturbs = role.meta.disturbs_api;
        step.notify = notify;
        self.plan.steps.push(step);
    }

    /// Returns whether the end of the wave has a handler to run.
    fn handlers_wait(&self) -> bool {
        let mut mine = self
            .host
            .handlers()
            .map(|(role, h)| id(&role.name, &h.name));
        let waits = |id: String| self.notified.contains(&id) || self.observed.pending.contains(&id);
        mine.any(waits)
    }

    pub(super) fn handlers(&mut self) {
        for role in &self.host.roles {
            let base = scope::with_role(&self.seen, role, &self.host.fixed);
            for handler in &role.handlers {
                let id = id(&role.name, &handler.name);
                // A host may have a role twice.
                if self.plan.handlers.iter().any(|h| h.id == id) {
                    continue;
                }
                let pending = self.observed.pending.contains(&id);
                if !pending && !self.notified.contains(&id) {
                    continue;
                }
                let steps = self.handler(role, handler, &base);
                self.plan.handlers.push(HandlerPlan { id, pending, steps });
            }
        }
    }

    fn handler(&mut self, role: &Arc<Role>, handler: &Task, base: &Scope) -> Vec<Step> {
        let scope = self.host.scope(base, handler, &self.values);
        let mut steps = Vec::new();
        let items = match item::items(handler, role, &scope) {
            Ok(items) => items,
            Err(errors) => {
                self.errors.extend(errors);
                return steps;
            }
        };
        for each in items {
            let mut scope = scope.clone();
            each.enter(&handler.control, &mut scope);
            let title = match each.label(&handler.control, &scope) {
                Ok(label) => self.title(role, &handler.name, label),
                Err(error) => {
                    self.errors.push(error);
                    continue;
                }
            };
            match item::holds(&handler.when, &scope) {
                Ok(true) => {}
                Ok(false) => continue,
                Err(error) => {
                    self.errors.push(error);
                    continue;
                }
            }
            let notify = self.host.notified(role, handler, &mut self.errors);
            match self.action(role, handler, &scope) {
                Ok(action) => match self.verdict(action.as_ref()) {
                    Verdict::Changes(changes) | Verdict::Always(changes) => {
                        if !self.says_nothing(role, handler, &scope, &changes) {
                            continue;
                        }
                        for change in &changes {
                            change.effect.apply(&mut self.now);
                            change.effect.apply(&mut self.steady);
                        }
                        self.notified.extend(notify.iter().cloned());
                        let mut step = Step::new(title, handler.module.category, changes);
                        step.secret = handler.no_log;
                        step.disturbs = role.meta.disturbs_api;
                        step.report = item::report(handler);
                        step.notify = notify;
                        steps.push(step);
                    }
                    Verdict::Nothing(_) => {}
                    Verdict::Refused(reason) => {
                        self.errors.push(
                            Diagnostic::error(format!("{title}: {reason}"))
                                .at(handler.span.clone()),
                        );
                    }
                    // The mark stays, and the next run plans it.
                    Verdict::Unseen(_) => {}
                },
                Err(errors) => self.errors.extend(errors),
            }
        }
        steps
    }
}

/// Returns why a file or link cannot be made: the host replaces no directory by one (`wave.sh`, `put`, `link` and `fetch`).
fn in_the_way(changes: &[Change], now: &Observed) -> Option<String> {
    let removes = |change: &&Change| matches!(change.effect, Effect::Remove { .. });
    let stay = changes.iter().take_while(|change| !removes(change));
    let mut made = stay.filter_map(|change| match &change.effect {
        Effect::WriteFile(file) => Some((&file.path, "file")),
        Effect::Fetch(fetch) => Some((&fetch.path, "file")),
        Effect::Link { path, .. } => Some((path, "link")),
        _ => None,
    });
    let is_directory =
        |state: &Option<&FileState>| state.is_some_and(|s| s.kind == FileKind::Directory);
    let (path, what) = made.find(|(path, _)| now.file(path).is(is_directory))?;
    Some(format!(
        "{path} is a directory: it is not replaced by a {what}; name another path, or remove it first"
    ))
}
