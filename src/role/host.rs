//! The roles of one host: what they must know, and what is to be done.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::files::ControllerFiles;
use super::library::Role;
use super::module::{Look, Questions, Verdict};
use super::result::{self, Registered, StepResult};
use super::select::Selection;
use super::task::{Condition, Task, id};
use super::{item, scope};
use crate::event::Status;
use crate::host::script::Report;
use crate::host::{Effect, Facts, Observed, Run, System};
use crate::model::{Diagnostic, Diagnostics, Value, nearest};
use crate::plan::{Change, HandlerPlan, HostPlan, Step};
use crate::template::{self, Scope};

/// The roles that one host gets, in order.
#[derive(Clone)]
pub struct HostRoles {
    roles: Vec<Arc<Role>>,
    files: Arc<dyn ControllerFiles>,
    selection: Selection,
    fixed: BTreeSet<String>,
    diffs: bool,
}

impl HostRoles {
    /// Returns the roles in the order in which they are applied, with the files that they may send.
    pub fn new(roles: Vec<Arc<Role>>, files: Arc<dyn ControllerFiles>) -> Self {
        Self { roles, files, selection: Selection::default(), fixed: BTreeSet::new(), diffs: true }
    }

    /// Returns them with only the tasks that the user chose.
    #[must_use]
    pub fn select(mut self, selection: Selection) -> Self {
        self.selection = selection;
        self
    }

    /// Returns them with the names that `-e` sets: no role's variable wins over these.
    #[must_use]
    pub fn fixed(mut self, names: impl IntoIterator<Item = String>) -> Self {
        self.fixed.extend(names);
        self
    }

    /// Returns them with or without questions for the content of files that are written whole. Only a diff needs it; without
    /// the probe is smaller.
    #[must_use]
    pub fn diffs(mut self, diffs: bool) -> Self {
        self.diffs = diffs;
        self
    }

    /// Returns the variables that the roles name.
    pub fn used_names(&self) -> BTreeSet<String> {
        self.roles.iter().flat_map(|role| role.used_names()).collect()
    }

    /// Returns what must be asked of the host, or everything that is wrong with the roles and their variables. Nothing is known
    /// of the host yet: `facts` and `interface` have placeholders, and a task is left out only where its `when` says no
    /// without them.
    pub fn facts(&self, scope: &Scope) -> Result<Facts, Diagnostics> {
        self.questions(scope, None, &Registered::default())
    }

    /// Returns what must be asked of a host that is known already. Where it is more than was asked before (a path that is made
    /// from a fact), the host has to be asked again before `plan`.
    pub fn facts_of(&self, scope: &Scope, system: &System, registered: &Registered) -> Result<Facts, Diagnostics> {
        self.questions(scope, Some(system), registered)
    }

    /// Returns what is worth a look: marks of handlers that no role has any more.
    pub fn warnings(&self, observed: &Observed) -> Diagnostics {
        let known: BTreeSet<String> = self.handlers().map(|(role, handler)| id(&role.name, &handler.name)).collect();
        // A role that this run leaves out may still have it.
        let mine = |mark: &&String| self.roles.iter().any(|r| mark.starts_with(&format!("{}.", r.name)));
        let warn = |mark: &String| {
            Diagnostic::warning(format!("the handler `{mark}` is pending from an earlier run, but no role has it any more"))
                .help(format!("remove /var/lib/quorate/handlers/{mark} on the host"))
        };
        Diagnostics(observed.pending.iter().filter(|m| !known.contains(*m)).filter(mine).map(warn).collect())
    }

    fn handlers(&self) -> impl Iterator<Item = (&Arc<Role>, &Task)> {
        self.roles.iter().flat_map(|role| role.handlers.iter().map(move |handler| (role, handler)))
    }

    /// Returns the identifiers of the handlers that a task notifies: its own role's win.
    fn notified(&self, role: &Role, task: &Task, errors: &mut Diagnostics) -> Vec<String> {
        let mut ids = Vec::new();
        for (name, span) in &task.notify {
            let own = role.handlers.iter().find(|h| h.name == *name).map(|h| id(&role.name, &h.name));
            let any = || self.handlers().find(|(_, h)| h.name == *name).map(|(r, h)| id(&r.name, &h.name));
            match own.or_else(any) {
                Some(id) if ids.contains(&id) => {}
                Some(id) => ids.push(id),
                None => {
                    let mut error = Diagnostic::error(format!("there is no handler `{name}`")).at(span.clone());
                    let near = nearest(name, self.handlers().map(|(_, h)| h.name.as_str()));
                    error.help = near.map(|n| format!("did you mean `{n}`?"));
                    errors.push(error);
                }
            }
        }
        ids
    }

    fn questions(&self, scope: &Scope, system: Option<&System>, registered: &Registered) -> Result<Facts, Diagnostics> {
        let mut errors = Diagnostics::default();
        let mut questions = Questions { facts: Facts::new(), diffs: self.diffs };
        questions.facts.insert(crate::host::Fact::System);
        let seen = scope::with_facts(scope, system);
        let mut values: BTreeMap<String, Value> = BTreeMap::new();
        for role in &self.roles {
            let base = scope::with_role(&seen, role, &self.fixed);
            let bare = scope::with_role(scope, role, &self.fixed);
            for (task, handler) in role.tasks.iter().map(|t| (t, false)).chain(role.handlers.iter().map(|h| (h, true))) {
                self.notified(role, task, &mut errors);
                if !handler && !self.selection.takes(&task.tags) {
                    continue;
                }
                let waits = values.keys().any(|name| task.used_names().contains(name));
                let mut scope = self.scope(&base, task, &values);
                if let Some(name) = &task.register {
                    // A result that nobody has yet: whoever needs it is planned when it is there.
                    values.insert(name.clone(), result::value(Status::Skipped, &StepResult::default()));
                }
                // What `when` says without the host is certain.
                let certain = if system.is_some() { scope.clone() } else { self.scope(&bare, task, &BTreeMap::new()) };
                match item::items(task, role, &scope) {
                    Ok(items) => {
                        for each in items {
                            each.enter(&mut scope);
                            let mut alone = certain.clone();
                            each.enter(&mut alone);
                            if !waits && item::holds(&task.when, &alone).is_ok_and(|holds| !holds) {
                                continue;
                            }
                            let action = match item::holds(&task.when, &scope) {
                                Err(error) => Err(Diagnostics(vec![error])),
                                Ok(_) => item::action(task, role, &scope, self.files.as_ref()),
                            };
                            match action {
                                Ok(action) => action.facts(&mut questions),
                                Err(_) if waits => {}
                                Err(found) => errors.extend(found),
                            }
                        }
                    }
                    Err(_) if waits => {}
                    Err(found) => errors.extend(found),
                }
            }
        }
        let _ = registered;
        dedup(&mut errors);
        if errors.has_errors() { Err(errors) } else { Ok(questions.facts) }
    }

    fn scope(&self, base: &Scope, task: &Task, values: &BTreeMap<String, Value>) -> Scope {
        let mut scope = base.clone();
        scope::set(&mut scope, &task.vars, &self.fixed);
        for (name, value) in values.iter().filter(|(name, _)| !self.fixed.contains(*name)) {
            scope.set(name.clone(), template::Binding::fixed(value.clone()));
        }
        scope
    }

    /// Returns what is to be done where things are as `observed` says and the steps in `registered` ran before in this run.
    pub fn plan(&self, scope: &Scope, observed: &Observed, registered: &Registered) -> Result<HostPlan, Diagnostics> {
        let mut walk = Walk::new(self, scope, observed, registered);
        for role in &self.roles {
            let base = scope::with_role(&walk.seen, role, &self.fixed);
            for task in &role.tasks {
                if self.selection.takes(&task.tags) {
                    walk.task(role, task, &base);
                }
            }
        }
        walk.handlers();
        if walk.errors.has_errors() { Err(walk.errors) } else { Ok(walk.plan) }
    }

    /// Returns how a step ended, as `changed_when` and `failed_when` of its task judge the result. A step without them is
    /// failed where its command failed, else changed or ok as the host says.
    pub fn judge(
        &self,
        scope: &Scope,
        observed: &Observed,
        registered: &Registered,
        step: &Step,
        result: &StepResult,
    ) -> Result<Status, Diagnostics> {
        let plain = match (result.rc, result.changed) {
            (0, true) => Status::Changed,
            (0, false) => Status::Ok,
            _ => Status::Failed,
        };
        if !step.tolerant && step.report == Report::Auto && step.register.is_none() {
            return Ok(plain);
        }
        let mut walk = Walk::new(self, scope, observed, registered);
        walk.wanted = Some(step.title.clone());
        for role in &self.roles {
            let base = scope::with_role(&walk.seen, role, &self.fixed);
            for task in role.tasks.iter().filter(|t| self.selection.takes(&t.tags)) {
                walk.task(role, task, &base);
                let Some(mut scope) = walk.found.take() else { continue };
                let value = result::value(plain, result);
                let names = [Some("result".to_string()), task.register.clone()];
                for name in names.into_iter().flatten() {
                    scope.set(name, template::Binding::fixed(value.clone()));
                }
                return item::judge(task, &scope, plain, result).map_err(|error| Diagnostics(vec![error]));
            }
        }
        Ok(plain)
    }
}

fn dedup(errors: &mut Diagnostics) {
    let mut seen: Vec<Diagnostic> = Vec::new();
    for error in errors.0.drain(..) {
        if !seen.contains(&error) {
            seen.push(error);
        }
    }
    errors.0 = seen;
}

/// One pass over all tasks.
struct Walk<'a> {
    host: &'a HostRoles,
    registered: &'a Registered,
    observed: &'a Observed,
    /// The inventory's scope with the host's facts.
    seen: Scope,
    now: Observed,
    steady: Observed,
    plan: HostPlan,
    errors: Diagnostics,
    /// Handlers that a step of this wave notifies.
    notified: BTreeSet<String>,
    /// Values of `register` so far.
    values: BTreeMap<String, Value>,
    /// Variables whose value this wave will bring.
    unknown: BTreeSet<String>,
    titles: BTreeMap<String, usize>,
    /// Whether the wave ends here.
    ended: bool,
    /// The title that `judge` looks for, and the scope of its item.
    wanted: Option<String>,
    found: Option<Scope>,
}

impl<'a> Walk<'a> {
    fn new(host: &'a HostRoles, scope: &Scope, observed: &'a Observed, registered: &'a Registered) -> Self {
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
            values: BTreeMap::new(),
            unknown: BTreeSet::new(),
            titles: BTreeMap::new(),
            ended: false,
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
        if *count == 1 { title } else { format!("{title} #{count}") }
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
            let mut scope = scope.clone();
            each.enter(&mut scope);
            let name = match scope.render_text(&task.name, None) {
                Ok(name) => name,
                Err(error) => return self.errors.push(error.at(task.span.clone())),
            };
            let title = self.title(role, &name, each.label());
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
        }
        let Some(name) = &task.register else { return };
        if self.ended || results.iter().any(|(_, value)| value.is_none()) {
            self.unknown.insert(name.clone());
            return;
        }
        let mut known: Vec<(Value, Value)> = results.into_iter().filter_map(|(item, value)| Some((item, value?))).collect();
        let value = if looped { result::looped(known) } else { known.pop().map_or(Value::Null, |(_, value)| value) };
        self.values.insert(name.clone(), value);
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
        let name = scope.render_text(&task.name, None).unwrap_or_else(|_| task.name.clone());
        let title = self.title(role, &name, None);
        self.plan.known_after_apply.push(title);
    }

    /// Plans a task or one item of its loop, and returns its result where it is known.
    fn item(&mut self, role: &Arc<Role>, task: &Task, scope: &Scope, title: String) -> Option<Value> {
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
            if status == Status::Changed && item::judges_change(task) && !notify.is_empty() {
                self.notify_later(role, task, &title, notify);
            }
            return Some(value);
        }
        let action = match item::action(task, role, scope, self.host.files.as_ref()) {
            Ok(action) => action,
            Err(errors) => {
                self.errors.extend(errors);
                return None;
            }
        };
        let changes = match action.plan(&Look { now: &self.now, steady: &self.steady }) {
            Verdict::Nothing(_) => {
                self.plan.ok += 1;
                return known(Status::Ok);
            }
            Verdict::Changes(changes) | Verdict::Always(changes) => changes,
            Verdict::Refused(reason) => {
                self.errors.push(Diagnostic::error(format!("{title}: {reason}")).at(task.span.clone()));
                return None;
            }
            // Nothing before it could have changed the file: it cannot be read at all.
            Verdict::Unseen(path) if self.plan.steps.is_empty() => {
                let message = format!("{title}: {path} cannot be edited: it is no regular file, or larger than 256 KiB");
                self.errors.push(Diagnostic::error(message).at(task.span.clone()));
                return None;
            }
            Verdict::Unseen(_) => {
                self.ended = true;
                self.plan.more = true;
                self.plan.known_after_apply.push(title);
                return None;
            }
        };
        self.step(role, task, title, changes, notify);
        None
    }

    fn step(&mut self, role: &Role, task: &Task, title: String, changes: Vec<Change>, notify: Vec<String>) {
        for change in &changes {
            change.effect.apply(&mut self.now);
            if !matches!(change.effect, Effect::InstallPackages(_) | Effect::RemovePackages(_)) {
                change.effect.apply(&mut self.steady);
            }
        }
        let judged = task.is_judged();
        let never_fails = matches!(task.failed_when, Some(Condition::Literal(false)));
        let mut step = Step::new(title, task.module.category, changes);
        step.secret = task.no_log;
        step.disturbs = role.disturbs_api;
        step.tolerant = judged || never_fails;
        step.register = task.register.clone().or_else(|| judged.then(|| "result".to_string()));
        step.report = item::report(task);
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
        let change = Change::new(Effect::Run(Run::new(["true"])), "the command changed something");
        self.notified.extend(notify.iter().cloned());
        let mut step = Step::new(title, task.module.category, vec![change]);
        step.disturbs = role.disturbs_api;
        step.notify = notify;
        self.plan.steps.push(step);
    }

    fn handlers(&mut self) {
        for role in &self.host.roles {
            let base = scope::with_role(&self.seen, role, &self.host.fixed);
            for handler in &role.handlers {
                let id = id(&role.name, &handler.name);
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
            each.enter(&mut scope);
            let title = self.title(role, &handler.name, each.label());
            match item::holds(&handler.when, &scope) {
                Ok(true) => {}
                Ok(false) => continue,
                Err(error) => {
                    self.errors.push(error);
                    continue;
                }
            }
            let notify = self.host.notified(role, handler, &mut self.errors);
            match item::action(handler, role, &scope, self.host.files.as_ref()) {
                Ok(action) => match action.plan(&Look { now: &self.now, steady: &self.steady }) {
                    Verdict::Changes(changes) | Verdict::Always(changes) => {
                        for change in &changes {
                            change.effect.apply(&mut self.now);
                            change.effect.apply(&mut self.steady);
                        }
                        self.notified.extend(notify.iter().cloned());
                        let mut step = Step::new(title, handler.module.category, changes);
                        step.secret = handler.no_log;
                        step.disturbs = role.disturbs_api;
                        step.report = item::report(handler);
                        step.notify = notify;
                        steps.push(step);
                    }
                    Verdict::Nothing(_) => {}
                    Verdict::Refused(reason) => {
                        self.errors.push(Diagnostic::error(format!("{title}: {reason}")).at(handler.span.clone()));
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
