//! What a rendering sees, and rendering itself.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tera::Context;

use super::binding::{Binding, Convert, Resolved};
use super::engine::{self, Fault};
use super::explain::{FAILED, Failure, asks_whether_defined};
use super::hosts::Hosts;
use super::is_template;
use super::layers::{Layer, Layers};
use super::place::within;
use crate::model::{Diagnostic, Diagnostics, Map, Sha256, Source, Span, Value};

/// The variables that a rendering sees. Values are rendered once, when they are first needed.
#[derive(Debug, Default)]
pub struct Scope {
    pub(super) bindings: Layers,
    pub(super) hosts: Option<Arc<Hosts>>,
    cache: Mutex<HashMap<String, Result<Resolved, Failure>>>,
}

impl Clone for Scope {
    fn clone(&self) -> Self {
        Self {
            bindings: self.bindings.clone(),
            hosts: self.hosts.clone(),
            cache: Mutex::default(),
        }
    }
}

/// Variables that are being rendered, the outermost first.
type Stack<'s> = Vec<&'s str>;

impl Scope {
    /// Returns a scope without variables.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a variable.
    pub fn set(&mut self, name: impl Into<String>, binding: Binding) {
        self.set_shared(name, Arc::new(binding));
    }

    /// Sets a variable that other scopes have too.
    pub fn set_shared(&mut self, name: impl Into<String>, binding: Arc<Binding>) {
        self.bindings.insert(name.into(), binding);
        // Any other value may have been rendered from it.
        self.cache = Mutex::default();
    }

    /// Lays variables below all others: they are there where nobody else sets one.
    pub fn push_below(&mut self, layer: &Layer) {
        self.bindings.push_below(layer);
        self.cache = Mutex::default();
    }

    /// Lays variables over all others.
    pub fn push_over(&mut self, layer: &Layer) {
        self.bindings.push_over(layer);
        self.cache = Mutex::default();
    }

    /// Returns the scope with one more variable: a loop's item, a registered result.
    #[must_use]
    pub fn with(&self, name: impl Into<String>, value: Value) -> Self {
        let mut scope = self.clone();
        scope.set(name, Binding::fixed(value));
        scope
    }

    /// Returns the scope with `hostvars`, the variables of all hosts.
    #[must_use]
    pub fn with_hosts(mut self, hosts: Arc<Hosts>) -> Self {
        self.hosts = Some(hosts);
        self
    }

    /// Returns a digest of the variables of all hosts; `None` where the scope has no `hostvars`.
    pub fn digest_of_hosts(&self) -> Option<Sha256> {
        self.hosts.as_ref().map(|hosts| hosts.digest())
    }

    /// Returns whether a variable is what it is ([`Binding::fixed`]).
    pub fn is_fixed(&self, name: &str) -> bool {
        self.bindings.get(name).is_some_and(|b| b.last)
    }

    /// Returns whether a variable is set.
    pub fn contains(&self, name: &str) -> bool {
        self.bindings.contains_key(name) || (name == "hostvars" && self.hosts.is_some())
    }

    /// Has a variable read as something else, whenever it is rendered.
    pub fn convert(&mut self, name: &str, convert: Convert) {
        let binding = self.bindings.get(name);
        let stands_for = |b: &&Arc<Binding>| b.template || convert(&b.value).is_some();
        if let Some(binding) = binding.filter(stands_for) {
            let converted = binding.converted(convert);
            self.set(name, converted);
        }
    }

    /// Returns where a variable was set, if that is in a file.
    pub fn span(&self, name: &str) -> Option<Span> {
        self.bindings.get(name)?.span.clone()
    }

    /// Returns the names of all variables.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.bindings
            .names()
            .chain(self.hosts.as_ref().map(|_| "hostvars"))
    }

    /// Returns the whole text of a file, rendered, or the first thing that is wrong with it.
    pub fn render(&self, source: &Arc<Source>) -> Result<String, Diagnostic> {
        let span = Span {
            source: source.clone(),
            range: 0..source.text.len(),
        };
        self.render_text(&source.text, Some(&span))
    }

    /// Returns a text, rendered. `span` is the place of the text in its file.
    pub fn render_text(&self, text: &str, span: Option<&Span>) -> Result<String, Diagnostic> {
        if !is_template(text) {
            return Ok(text.to_owned());
        }
        self.text(text, span, &mut Stack::new())
            .map_err(|f| f.diagnostic)
    }

    /// Returns a value with all text in it rendered, and what is wrong with any of it. Text that is one
    /// `{{ expression }}` becomes that expression's value and keeps its type. `locate` returns the place of the text
    /// that a JSON pointer names.
    pub fn render_value(
        &self,
        value: &Value,
        locate: &dyn Fn(&str) -> Option<Span>,
    ) -> Result<Value, Diagnostics> {
        let mut failures = Vec::new();
        let rendered = self.value(
            value,
            &mut String::new(),
            locate,
            &mut Stack::new(),
            &mut failures,
            &mut engine::Room::of_a_variable(),
        );
        if failures.is_empty() {
            Ok(rendered)
        } else {
            Err(Diagnostics(
                failures.into_iter().map(|f| f.diagnostic).collect(),
            ))
        }
    }

    /// Returns a variable's value, rendered; `None` if it is not set.
    pub fn get(&self, name: &str) -> Option<Result<Value, Diagnostic>> {
        let (name, binding) = self.bindings.get_key_value(name)?;
        let resolved = self.resolve(name, binding, &mut Stack::new());
        Some(
            resolved
                .map(|r| (*r.value).clone())
                .map_err(|f| f.diagnostic),
        )
    }

    /// Returns Tera's form of a variable's value; `None` if it is not set or cannot be rendered.
    pub(super) fn tera(&self, name: &str) -> Option<tera::Value> {
        let (name, binding) = self.bindings.get_key_value(name)?;
        let resolved = self.resolve(name, binding, &mut Stack::new()).ok()?;
        Some(resolved.tera)
    }

    /// Returns an expression's value. `span` is the place of the expression in its file.
    pub fn eval(&self, expression: &str, span: Option<&Span>) -> Result<Value, Diagnostic> {
        self.expression(expression, span, &mut Stack::new())
            .map_err(|f| f.diagnostic)
    }

    /// Returns whether a condition holds, as in `when`. Unlike in Tera's `{% if %}`, a variable that nobody set is an
    /// error, unless the condition asks `is defined` or gives a `default`; so is a value that is no boolean.
    pub fn eval_bool(&self, expression: &str, span: Option<&Span>) -> Result<bool, Diagnostic> {
        let error = |message: String| Diagnostic::error(message).at(span.cloned());
        if is_template(expression) {
            let form = engine::lone_expression(expression).map_or(expression, |(_, e)| e.trim());
            return Err(
                error("a condition is an expression already, without braces".into())
                    .help(format!("write `{form}`")),
            );
        }
        for name in super::names_in_expression(expression) {
            if !self.contains(&name) && !asks_whether_defined(expression, &name) {
                return Err(self.undefined(&name, expression, span).diagnostic);
            }
        }
        match self.eval(expression, span)? {
            Value::Bool(holds) => Ok(holds),
            Value::String(text) => {
                let error = error(format!(
                    "the condition gives the text `{text}`, not a boolean"
                ));
                Err(error.help("compare it, as in `x == \"yes\"`; `-e NAME=VALUE` gives text, `-e '{\"NAME\": true}'` a boolean"))
            }
            Value::Null => Err(error("the condition gives null, not a boolean".into())
                .help("compare it, as in `x is none`")),
            value => {
                let error = error(format!("the condition gives `{value}`, not a boolean"));
                Err(error.help("compare it, as in `x | length > 0`"))
            }
        }
    }

    fn resolve<'s>(
        &'s self,
        name: &'s str,
        binding: &'s Binding,
        stack: &mut Stack<'s>,
    ) -> Result<Resolved, Failure> {
        if !binding.template {
            return Ok(binding.resolved());
        }
        if let Some(known) = self.cached(name) {
            return known;
        }
        if let Some(at) = stack.iter().position(|n| *n == name) {
            let way: Vec<&str> = stack[at..].iter().copied().chain([name]).collect();
            let diagnostic = Diagnostic::error(format!(
                "the variable `{name}` needs itself: {}",
                way.join(" → ")
            ));
            return Err(Failure {
                diagnostic: diagnostic.at(binding.span.clone()),
                undefined: false,
            });
        }
        stack.push(name);
        let locate = |pointer: &str| {
            binding
                .texts
                .get(pointer)
                .or(binding.span.as_ref())
                .cloned()
        };
        let mut failures = Vec::new();
        let value = self.value(
            &binding.value,
            &mut String::new(),
            &locate,
            stack,
            &mut failures,
            &mut engine::Room::of_a_variable(),
        );
        stack.pop();
        // The worst is told: what is wrong in itself before what is only not defined.
        failures.sort_by_key(|f| f.undefined);
        let value = match failures.into_iter().next() {
            None => Ok(value),
            Some(failure) => Err(failure),
        };
        let convert = |value: &Value| binding.convert.and_then(|convert| convert(value));
        let value = value.map(|value| convert(&value).unwrap_or(value));
        let resolved = value.map(|value| Resolved {
            tera: engine::to_tera(&value),
            value: Arc::new(value),
        });
        self.cache
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(name.to_owned(), resolved.clone());
        resolved
    }

    fn cached(&self, name: &str) -> Option<Result<Resolved, Failure>> {
        self.cache
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(name)
            .cloned()
    }

    fn value<'s>(
        &'s self,
        value: &Value,
        pointer: &mut String,
        locate: &dyn Fn(&str) -> Option<Span>,
        stack: &mut Stack<'s>,
        failures: &mut Vec<Failure>,
        room: &mut engine::Room,
    ) -> Value {
        let length = pointer.len();
        match value {
            Value::String(text) if is_template(text) => {
                let span = locate(pointer);
                let result = match engine::lone_expression(text) {
                    Some((start, expression)) => {
                        let at = span
                            .as_ref()
                            .and_then(|s| within(s, text, start..start + expression.len()));
                        self.expression(expression, at.as_ref().or(span.as_ref()), stack)
                    }
                    None => self.text(text, span.as_ref(), stack).map(Value::String),
                };
                let result = result.and_then(|value| {
                    let taken = room.take_value(&value, text);
                    taken.map_err(|fault| self.explain(fault, text, span.as_ref(), Vec::new()))?;
                    Ok(value)
                });
                result.unwrap_or_else(|failure| {
                    failures.push(failure);
                    Value::Null
                })
            }
            Value::Array(items) => {
                let mut rendered = Vec::with_capacity(items.len());
                for (i, item) in items.iter().enumerate() {
                    pointer.push('/');
                    pointer.push_str(&i.to_string());
                    rendered.push(self.value(item, pointer, locate, stack, failures, room));
                    pointer.truncate(length);
                }
                Value::Array(rendered)
            }
            Value::Object(map) => {
                let mut rendered = Map::with_capacity(map.len());
                for (key, item) in map {
                    pointer.push('/');
                    pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
                    rendered.insert(
                        key.clone(),
                        self.value(item, pointer, locate, stack, failures, room),
                    );
                    pointer.truncate(length);
                }
                Value::Object(rendered)
            }
            other => other.clone(),
        }
    }

    fn expression<'s>(
        &'s self,
        expression: &str,
        span: Option<&Span>,
        stack: &mut Stack<'s>,
    ) -> Result<Value, Failure> {
        // A variable alone is handed on as it is: no way through Tera can then change its order or its types.
        if let Some((name, binding)) = self.bindings.get_key_value(expression.trim()) {
            return self
                .resolve(name, binding, stack)
                .map(|r| (*r.value).clone());
        }
        let wrapped = format!("{{{{ {expression} }}}}");
        let (context, missing) = match engine::names(&wrapped) {
            Ok(names) => self.context(names, stack)?,
            // Read again below, where the ranges of faults are right.
            Err(_) => (Context::new(), Vec::new()),
        };
        match self.chained(&context, |context| engine::evaluate(expression, context)) {
            Ok(Some(value)) => Ok(value),
            Ok(None) => {
                // Tera names what is undefined when it prints it.
                let fault = match engine::render(&wrapped, &context) {
                    Err(fault) => Fault {
                        range: fault.range.start.saturating_sub(3)
                            ..fault.range.end.saturating_sub(3),
                        ..fault
                    },
                    Ok(_) => Fault {
                        message: "the expression has no value".into(),
                        range: 0..expression.len(),
                    },
                };
                Err(self.explain(fault, expression, span, missing))
            }
            Err(fault) => Err(self.explain(fault, expression, span, missing)),
        }
    }

    fn text<'s>(
        &'s self,
        text: &str,
        span: Option<&Span>,
        stack: &mut Stack<'s>,
    ) -> Result<String, Failure> {
        let names =
            engine::names(text).map_err(|fault| self.explain(fault, text, span, Vec::new()))?;
        let (context, missing) = self.context(names, stack)?;
        self.chained(&context, |context| engine::render(text, context))
            .map_err(|fault| self.explain(fault, text, span, missing))
    }

    /// Renders, and where only what failed is not defined once more with nothing in it: `ansible_failed_task.name | default(...)`
    /// is asked in an `always` that nothing failed before, and Tera has no defaults for a part of what is not there.
    fn chained<T>(
        &self,
        context: &Context,
        render: impl Fn(&Context) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let fault = match render(context) {
            Err(fault) => fault,
            done => return done,
        };
        let named = |name: &&str| fault.message.starts_with(&format!("Variable `{name}`"));
        if !FAILED.iter().any(named) {
            return Err(fault);
        }
        let mut chained = context.clone();
        for name in FAILED.iter().filter(|n| !self.bindings.contains_key(n)) {
            chained.insert_value(*name, engine::to_tera(&Value::Object(Map::new())));
        }
        render(&chained).map_err(|_| fault)
    }

    /// Returns the context with the named variables, and why those that were left out could not be had.
    fn context<'s>(
        &'s self,
        names: impl IntoIterator<Item = String>,
        stack: &mut Stack<'s>,
    ) -> Result<(Context, Vec<(String, Failure)>), Failure> {
        let mut context = Context::new();
        let mut missing = Vec::new();
        for name in names {
            if let Some((key, binding)) = self.bindings.get_key_value(&name) {
                match self.resolve(key, binding, stack) {
                    Ok(resolved) => context.insert_value(name, resolved.tera),
                    Err(failure) if failure.undefined => missing.push((name, failure)),
                    Err(failure) => return Err(failure),
                }
            } else if name == "hostvars"
                && let Some(hosts) = &self.hosts
            {
                context.insert_value("hostvars", hosts.rendered());
            }
        }
        Ok((context, missing))
    }
}
