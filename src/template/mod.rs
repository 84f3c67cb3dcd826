//! Floor 1, above `inventory`: strict rendering with Tera 2. Pure.
//!
//! A variable that nobody set is an error with a place and the nearest name. Values of variables are templates
//! themselves and are rendered when something needs them; a value that is one `{{ expression }}` keeps its type.

mod alike;
mod binding;
mod engine;
mod explain;
mod filters;
mod hosts;
mod inventory;
mod jinja;
mod layers;
mod place;
mod scope;

pub use alike::{Asked, Watched};
pub use binding::{Binding, Convert};
pub use explain::{is_undefined, is_unknown};
pub use hosts::Hosts;
pub use inventory::{MAGIC, bind, host_scope, host_scopes, host_scopes_over};
pub use layers::Layer;
pub use scope::Scope;

use std::collections::BTreeSet;

use crate::model::Value;

/// Returns whether a text holds anything to render.
pub fn is_template(text: &str) -> bool {
    text.contains("{{") || text.contains("{%") || text.contains("{#")
}

/// Returns the variables that a template names, without those it sets itself; none if it cannot be read.
pub fn names_in_text(text: &str) -> BTreeSet<String> {
    if is_template(text) {
        engine::names(text).unwrap_or_default()
    } else {
        BTreeSet::new()
    }
}

/// Returns the variables that an expression names, as `when` holds one.
pub fn names_in_expression(expression: &str) -> BTreeSet<String> {
    engine::names(&format!("{{{{ {expression} }}}}")).unwrap_or_default()
}

/// Returns the variables that any text in a value names.
pub fn names_in_value(value: &Value) -> BTreeSet<String> {
    match value {
        Value::String(text) => names_in_text(text),
        Value::Array(items) => items.iter().flat_map(names_in_value).collect(),
        Value::Object(map) => map
            .iter()
            .flat_map(|(key, v)| names_in_text(key).into_iter().chain(names_in_value(v)))
            .collect(),
        _ => BTreeSet::new(),
    }
}
