//! The roles of one host: what they must know, and what is to be done.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::json;

use super::exposed::Unsaid;
use super::files::ControllerFiles;
use super::kinds::Kinds;
use super::library::Role;
use super::module::Questions;
use super::result::{self, Registered, StepResult};
use super::scope::Left;
use super::select::Selection;
use super::spec;
use super::task::{Task, id};
use super::walk::{FAILED_RESULT, FAILED_TASK, Walk};
use super::{exposed, item, scope};
use crate::event::Status;
use crate::host::script::Report;
use crate::host::{Facts, Observed, System};
use crate::model::{Diagnostic, Diagnostics, nearest};
use crate::plan::{HostPlan, Pace, Step};
use crate::template::{self, Scope, Watched};

/// The roles that one host gets, in order.
#[derive(Clone)]
pub struct HostRoles {
    pub(super) roles: Vec<Arc<Role>>,
    pub(super) files: Arc<dyn ControllerFiles>,
    selection: Selection,
    pub(super) fixed: BTreeSet<String>,
    diffs: bool,
    pub(super) unsaid: Arc<Unsaid>,
    kinds: Option<Arc<Kinds>>,
}

impl HostRoles {
    /// Returns the roles in the order in which they are applied, with the files that they may send.
    pub fn new(roles: Vec<Arc<Role>>, files: Arc<dyn ControllerFiles>) -> Self {
        Self {
            roles,
            files,
            selection: Selection::default(),
            fixed: BTreeSet::new(),
            diffs: true,
            unsaid: Arc::default(),
            kinds: None,
        }
    }

    /// Returns them as those of one host of many, which share what they find out. All of these have the same files, selection,
    /// `-e`, wish for diffs and values that are not to be said.
    #[must_use]
    pub fn among(mut self, kinds: Arc<Kinds>) -> Self {
        self.kinds = Some(kinds);
        self
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

    /// Returns them with the values that no command may have among its words.
    #[must_use]
    pub fn unsaid(mut self, unsaid: Arc<Unsaid>) -> Self {
        self.unsaid = unsaid;
        self
    }

    /// Returns the names of the roles that are the user's own.
    pub fn own_names(&self) -> BTreeSet<String> {
        let own = self.roles.iter().filter(|role| role.is_own());
        own.map(|role| role.name.clone()).collect()
    }

    /// Returns whether one of the roles is the user's own.
    pub fn has_own(&self) -> bool {
        self.roles.iter().any(|role| role.is_own())
    }

    /// Returns the variables that the roles name.
    pub fn used_names(&self) -> BTreeSet<String> {
        self.roles
            .iter()
            .flat_map(|role| role.used_names())
            .collect()
    }

    /// Returns whether the user chose a task.
    pub(super) fn takes(&self, task: &Task) -> bool {
        self.selection.takes(&task.tags)
    }

    /// Returns what must be asked of the host, or everything that is wrong with the roles and their variables. Nothing is known
    /// of the host yet: `facts` and `interface` have placeholders, and a task is left out only where its `when` says no
    /// without them.
    pub fn facts(&self, scope: &Scope) -> Result<Facts, Diagnostics> {
        self.questions(scope, None, |_| true)
    }

    /// Returns what must be asked of a host that is known already. Where it is more than was asked before (a path that is made
    /// from a fact), the host has to be asked again before `plan`.
    pub fn facts_of(
        &self,
        scope: &Scope,
        system: &System,
        registered: &Registered,
    ) -> Result<Facts, Diagnostics> {
        let seen = scope::with_facts(scope, Some(system));
        self.collect(scope, &seen, true, registered, |_| true)
    }

    /// Returns what the user's own roles must ask of a host that is known already. The built-in ones ask for nothing that hangs on
    /// what a host is, and leave no variable to others.
    pub fn own_facts_of(&self, scope: &Scope, system: &System) -> Result<Facts, Diagnostics> {
        self.questions(scope, Some(system), Role::is_own)
    }

    /// Returns what is worth a look: handlers that an earlier run has notified, which nothing runs any more since they or their roles
    /// have another name now, or none.
    pub fn left_pending(&self, observed: &Observed) -> Vec<String> {
        let known: BTreeSet<String> = self
            .handlers()
            .map(|(role, handler)| id(&role.name, &handler.name))
            .collect();
        let unknown = observed.pending.iter().filter(|m| !known.contains(*m));
        let said = unknown.map(|mark| {
            format!(
                "the handler `{mark}` was notified by an earlier run and has not run, and no role of this host has it any more: do what it did, \
                 then remove /var/lib/quorate/handlers/{mark} on the host"
            )
        });
        said.collect()
    }

    pub(super) fn handlers(&self) -> impl Iterator<Item = (&Arc<Role>, &Task)> {
        self.roles
            .iter()
            .flat_map(|role| role.handlers.iter().map(move |handler| (role, handler)))
    }

    /// Returns all names by which handlers are notified.
    fn callable(&self) -> impl Iterator<Item = &str> {
        let handlers = self.roles.iter().flat_map(|role| &role.handlers);
        handlers.flat_map(|h| {
            std::iter::once(&h.name)
                .chain(&h.listen)
                .map(String::as_str)
        })
    }

    /// Returns which handlers a task of this role can notify.
    fn which_handlers(&self, role: &Role) -> String {
        let mut names: Vec<String> = self.callable().map(|name| format!("`{name}`")).collect();
        names.sort();
        names.dedup();
        match names.as_slice() {
            [] => format!("write it in roles/{}/handlers/main.yml", role.name),
            names => format!("the handlers are {}", names.join(", ")),
        }
    }

    /// Returns the identifiers of the handlers that a task notifies: of a name its own role's wins, of those that listen all are
    /// meant.
    pub(super) fn notified(
        &self,
        role: &Role,
        task: &Task,
        errors: &mut Diagnostics,
    ) -> Vec<String> {
        let mut ids: Vec<String> = Vec::new();
        for (name, span) in &task.notify {
            let own = role.handlers.iter().find(|h| h.name == *name);
            let own = own.map(|h| id(&role.name, &h.name));
            let any = || self.handlers().find(|(_, h)| h.name == *name);
            let by_name = own.or_else(|| any().map(|(r, h)| id(&r.name, &h.name)));
            let listens = self.handlers().filter(|(_, h)| h.listen.contains(name));
            let by_topic = listens.map(|(r, h)| id(&r.name, &h.name));
            let found: Vec<String> = by_name.into_iter().chain(by_topic).collect();
            if found.is_empty() {
                let error = Diagnostic::error(format!("there is no handler `{name}`"));
                let near = nearest(name, self.callable());
                errors.push(error.at(span.clone()).help(match near {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => self.which_handlers(role),
                }));
            }
            for id in found {
                if !ids.contains(&id) {
                    ids.push(id);
                }
            }
        }
        ids
    }

    /// Returns the questions of the roles that `takes` takes: those of another host where one was like this.
    fn questions(
        &self,
        scope: &Scope,
        system: Option<&System>,
        takes: fn(&Role) -> bool,
    ) -> Result<Facts, Diagnostics> {
        let (seen, is_known) = (scope::with_facts(scope, system), system.is_some());
        let none = Registered::default();
        let Some(kinds) = &self.kinds else {
            return self.collect(scope, &seen, is_known, &none, takes);
        };
        if let Some(facts) = kinds.find(&self.roles, is_known, &seen, scope) {
            return Ok(facts);
        }
        let (seen, bare) = (Watched::new(&seen), Watched::new(scope));
        let facts = self.collect(&bare.scope, &seen.scope, is_known, &none, takes)?;
        let asked = (seen.asked(), bare.asked());
        kinds.add(&self.roles, is_known, asked, &facts);
        Ok(facts)
    }

    /// Collects the questions of all tasks of these roles. `seen` is the scope with facts: the host's own where it is known.
    fn collect(
        &self,
        scope: &Scope,
        seen: &Scope,
        is_known: bool,
        registered: &Registered,
        takes: fn(&Role) -> bool,
    ) -> Result<Facts, Diagnostics> {
        let mut errors = Diagnostics::default();
        let mut questions = Questions {
            facts: Facts::new(),
            diffs: self.diffs,
        };
        questions.facts.insert(crate::host::Fact::System);
        // Nothing failed yet: who needs to know what did is planned when something has.
        let failed = result::value(Status::Failed, &StepResult::default());
        let mut values = Left::from([
            (FAILED_RESULT.to_string(), scope::fixed(failed)),
            (FAILED_TASK.to_string(), scope::fixed(json!({ "name": "" }))),
        ]);
        let mut open: BTreeSet<String> = values.keys().cloned().collect();
        for role in self.roles.iter().filter(|role| takes(role)) {
            let base = scope::with_role(seen, role, &self.fixed);
            let bare = scope::with_role(scope, role, &self.fixed);
            let known = if is_known { &base } else { &bare };
            spec::check(role, known, &mut errors);
            for (task, handler) in role
                .tasks
                .iter()
                .map(|t| (t, false))
                .chain(role.handlers.iter().map(|h| (h, true)))
            {
                self.notified(role, task, &mut errors);
                if !handler && !self.selection.takes(&task.tags) {
                    continue;
                }
                let waits = !task.used_names().is_disjoint(&open);
                if waits {
                    open.extend(task.sets(role));
                }
                let mut scope = self.scope(&base, task, &values);
                if let Some(name) = &task.register {
                    let result = registered.get(&format!("{} : {}", role.name, task.name));
                    let value = match result {
                        Some((status, result)) => result::value(*status, result),
                        // Nobody has it yet: who needs it is planned when it is there.
                        None => {
                            open.insert(name.clone());
                            result::value(Status::Skipped, &StepResult::default())
                        }
                    };
                    values.insert(name.clone(), scope::fixed(value));
                }
                questions.diffs = self.diffs && !task.no_log;
                // What `when` says without the host is certain.
                let certain = if is_known {
                    scope.clone()
                } else {
                    self.scope(&bare, task, &Left::new())
                };
                match item::items(task, role, &scope) {
                    Ok(items) => {
                        for each in items {
                            each.enter(&task.control, &mut scope);
                            let mut alone = certain.clone();
                            each.enter(&task.control, &mut alone);
                            if !waits && item::holds(&task.when, &alone).is_ok_and(|holds| !holds) {
                                continue;
                            }
                            let action = match item::holds(&task.when, &scope) {
                                Err(error) => Err(Diagnostics(vec![error])),
                                Ok(_) => {
                                    item::action(task, role, &scope, self.files.as_ref(), is_known)
                                }
                            };
                            match action {
                                Ok(action) => {
                                    if !is_known && !self.unsaid.is_empty() {
                                        let asked = exposed::Asked {
                                            role,
                                            task,
                                            scope: &scope,
                                            files: self.files.as_ref(),
                                            host_known: false,
                                        };
                                        let words = exposed::certain(action.as_ref());
                                        let found =
                                            self.unsaid.check(asked, words, &exposed::certain);
                                        errors.0.extend(found);
                                    }
                                    action.facts(&mut questions);
                                    values.extend(scope::left(action.sets()));
                                }
                                Err(found) => errors.extend(certainly(found, waits)),
                            }
                        }
                    }
                    Err(found) => errors.extend(certainly(found, waits)),
                }
                errors.extend(item::unknown_in_judgement(task, scope));
            }
        }
        dedup(&mut errors);
        self.name_left_out(&mut errors);
        if errors.has_errors() {
            Err(errors)
        } else {
            Ok(questions.facts)
        }
    }

    /// Says of variables that are not defined which task would set them, where `--tags` or `--skip-tags` left it out.
    fn name_left_out(&self, errors: &mut Diagnostics) {
        let all = self.roles.iter();
        let all = all.flat_map(|role| role.tasks.iter().map(move |task| (role, task)));
        let left_out: Vec<(&Arc<Role>, &Task)> =
            all.filter(|(_, task)| !self.takes(task)).collect();
        for error in errors.0.iter_mut().filter(|e| template::is_undefined(e)) {
            let name = error.message.split('`').nth(1).unwrap_or_default();
            let sets = |(role, task): &&(&Arc<Role>, &Task)| {
                task.register.as_deref() == Some(name) || task.sets(role).iter().any(|n| n == name)
            };
            if let Some((role, task)) = left_out.iter().find(sets) {
                error.help = Some(format!(
                    "`{} : {}` in line {} sets it, and the chosen tags leave that task out: choose one of its tags too, or give it the tag `always`",
                    role.name,
                    task.name,
                    task.span.line_column().0
                ));
            }
        }
    }

    pub(super) fn scope(&self, base: &Scope, task: &Task, values: &Left) -> Scope {
        let mut scope = base.clone();
        scope::set(&mut scope, &task.vars, &self.fixed);
        for (name, value) in values
            .iter()
            .filter(|(name, _)| !self.fixed.contains(*name))
        {
            scope.set_shared(name.clone(), value.clone());
        }
        scope
    }

    /// Returns what is to be done where things are as `observed` says and the steps in `registered` ran before in this run.
    pub fn plan(
        &self,
        scope: &Scope,
        observed: &Observed,
        registered: &Registered,
    ) -> Result<HostPlan, Diagnostics> {
        let mut walk = Walk::new(self, scope, observed, registered);
        for role in &self.roles {
            walk.check(role);
            walk.role(role);
            if walk.lost().is_some() {
                break;
            }
        }
        match walk.lost().map(str::to_string) {
            None => walk.handlers(),
            // First what `always` asks for; the plan after it says that the host has failed.
            Some(_) if !walk.plan.is_empty() => walk.plan.more = true,
            Some(title) => walk.plan.lost = Some(title),
        }
        if walk.errors.has_errors() {
            self.name_left_out(&mut walk.errors);
            return Err(walk.errors);
        }
        let mut plan = walk.plan;
        plan.paces = self.paces(&plan);
        Ok(plan)
    }

    /// Returns the plays with steps in a plan that do not go over all hosts at once.
    fn paces(&self, plan: &HostPlan) -> Vec<Pace> {
        let mut paces: Vec<Pace> = Vec::new();
        for role in &self.roles {
            let Some(pace) = &role.pace else { continue };
            let head = format!("{} : ", role.name);
            let has_steps = plan.steps.iter().any(|s| s.title.starts_with(&head));
            if has_steps && paces.iter().all(|p| p.play != pace.play) {
                paces.push(pace.clone());
            }
        }
        paces
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
            let task = walk.role(role);
            let (Some(task), Some(mut scope)) = (task, walk.found.take()) else {
                continue;
            };
            let value = result::value(plain, result);
            let names = [Some("result".to_string()), task.register.clone()];
            for name in names.into_iter().flatten() {
                scope.set(name, template::Binding::fixed(value.clone()));
            }
            return item::judge(task, &scope, plain, result)
                .map_err(|error| Diagnostics(vec![error]));
        }
        Ok(plain)
    }
}

/// Returns the errors of a task; of one that waits for a result those alone that no result can cure.
fn certainly(found: Diagnostics, waits: bool) -> Diagnostics {
    let certain = |error: &Diagnostic| !waits || template::is_unknown(error);
    Diagnostics(found.0.into_iter().filter(certain).collect())
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
