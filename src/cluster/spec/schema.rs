//! JSON Schemas (draft 2020-12) of inventories and their variables, made from the list of variables that quorate reads.

use serde_json::json;

use super::known::{ALIASES, KNOWN, KnownVariable, Type, find};
use crate::model::{Map, Value};
use crate::role::schema::DRAFT;

/// Returns the schema of a YAML inventory.
pub fn inventory() -> Value {
    let group = json!({
        "type": ["object", "null"],
        "properties": {
            "hosts": {
                "type": ["object", "null"],
                "additionalProperties": { "$ref": "#/$defs/variables" },
            },
            "children": {
                "type": ["object", "null"],
                "additionalProperties": { "$ref": "#/$defs/group" },
            },
            "vars": { "$ref": "#/$defs/variables" },
        },
        "additionalProperties": false,
    });
    json!({
        "$schema": DRAFT,
        "title": "an inventory of quorate",
        "type": ["object", "null"],
        "additionalProperties": { "$ref": "#/$defs/group" },
        "$defs": { "group": group, "variables": map() },
    })
}

/// Returns the schema of a file in group_vars/ or host_vars/.
pub fn variables() -> Value {
    let mut schema = map();
    schema["$schema"] = json!(DRAFT);
    schema["title"] = json!("variables of a group or host of quorate");
    schema
}

/// Variables by their names; any other name may be a role's.
fn map() -> Value {
    let mut properties: Map = KNOWN
        .iter()
        .map(|variable| (variable.name.to_string(), of(variable)))
        .collect();
    for (alias, name) in ALIASES {
        if let Some(variable) = find(name) {
            properties.insert((*alias).to_string(), of(variable));
        }
    }
    json!({ "type": ["object", "null"], "properties": properties })
}

/// What one variable may be: its own type, or a template that comes to it.
fn of(variable: &KnownVariable) -> Value {
    let mut schema = match variable.kind {
        Type::Text | Type::Secret => json!({ "type": ["string", "number", "null"] }),
        Type::Address | Type::Subnet | Type::Endpoint | Type::Version => {
            json!({ "type": ["string", "null"] })
        }
        Type::Bool => json!({ "type": ["boolean", "string", "null"] }),
        Type::Integer(least, most) => json!({
            "type": ["integer", "string", "null"], "minimum": least, "maximum": most,
        }),
        Type::Enum(words) => json!({ "anyOf": [
            { "enum": words }, { "type": "null" }, { "type": "string", "pattern": "\\{[{%]" },
        ] }),
        Type::List => json!({ "type": ["array", "string", "null"], "items": { "type": "string" } }),
        Type::Labels | Type::Map => json!({ "type": ["object", "string", "null"] }),
        Type::Taints => json!({
            "type": ["array", "string", "null"], "items": { "type": ["string", "object"] },
        }),
    };
    schema["description"] = json!(variable.doc);
    if !variable.default.is_empty() {
        // In words, such as `by profile`: JSON Schema's own `default` would be taken for a value.
        schema["$comment"] = json!(format!("default: {}", variable.default));
    }
    schema
}
