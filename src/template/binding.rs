//! A variable as a scope has it.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use super::engine;
use super::is_template;
use crate::model::{Span, Value};

/// A variable of a scope.
#[derive(Debug)]
pub struct Binding {
    pub(super) value: Arc<Value>,
    /// Tera's form of a value without templates, the same in every scope.
    tera: OnceLock<tera::Value>,
    pub(super) template: bool,
    /// Whether no layer of variables may take its place.
    pub(super) last: bool,
    pub(super) span: Option<Span>,
    pub(super) texts: HashMap<String, Span>,
    /// What becomes of the rendered value.
    pub(super) convert: Option<Convert>,
}

/// Returns what a value stands for, or nothing where it stands for itself.
pub type Convert = fn(&Value) -> Option<Value>;

impl Binding {
    /// Returns a variable whose text is rendered when something needs it. `span` is the place of the whole value,
    /// `texts` are the places of the text in it by JSON pointer (`Variable::texts`).
    pub fn template(
        value: Value,
        span: Option<Span>,
        texts: impl IntoIterator<Item = (String, Span)>,
    ) -> Self {
        let template = holds_template(&value);
        let texts = if template {
            texts.into_iter().collect()
        } else {
            HashMap::new()
        };
        Self {
            template,
            last: false,
            span,
            texts,
            ..Self::fixed(value)
        }
    }

    /// Returns a variable that is what it is: a fact, a registered result, a loop's item.
    pub fn fixed(value: Value) -> Self {
        Self {
            value: Arc::new(value),
            tera: OnceLock::new(),
            template: false,
            last: true,
            span: None,
            texts: HashMap::new(),
            convert: None,
        }
    }

    /// Returns the same variable, read as something else.
    pub(super) fn converted(&self, convert: Convert) -> Self {
        let value = match self.template {
            true => self.value.clone(),
            false => convert(&self.value).map_or_else(|| self.value.clone(), Arc::new),
        };
        Self {
            value,
            tera: OnceLock::new(),
            template: self.template,
            last: self.last,
            span: self.span.clone(),
            texts: self.texts.clone(),
            convert: Some(convert),
        }
    }

    /// Returns the value of a variable that is what it is ([`Binding::fixed`]).
    pub(super) fn left(&self) -> Option<&Value> {
        self.last.then_some(self.value.as_ref())
    }

    /// Returns whether it says the same, wherever it was set.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let key = |one: &Self| (one.template, one.last, one.convert.is_some());
        key(self) == key(other) && self.value == other.value
    }

    pub(super) fn resolved(&self) -> Resolved {
        let tera = self.tera.get_or_init(|| engine::to_tera(&self.value));
        Resolved {
            value: self.value.clone(),
            tera: tera.clone(),
        }
    }
}

fn holds_template(value: &Value) -> bool {
    match value {
        Value::String(text) => is_template(text),
        Value::Array(items) => items.iter().any(holds_template),
        Value::Object(map) => map.values().any(holds_template),
        _ => false,
    }
}

/// A value that is rendered.
#[derive(Debug, Clone)]
pub(super) struct Resolved {
    pub(super) value: Arc<Value>,
    pub(super) tera: tera::Value,
}
