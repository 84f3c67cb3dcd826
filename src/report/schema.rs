//! JSON Schemas (draft 2020-12) of what programs read of a run, made from the types that it is written from.

use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use super::plan_json::Plan;
use crate::event::schema::{of, record};

/// Returns the schema of a line of `--output json` or of a journal: an event, or the plan that is a plan's last line.
pub fn events() -> Value {
    let mut schema = record();
    let mut plan = plan();
    let mut definitions = take(&mut schema, "$defs");
    for (name, definition) in as_object(take(&mut plan, "$defs")) {
        definitions[name] = definition;
    }
    let title = "a line of quorate's --output json or of its journals";
    let draft = take(&mut schema, "$schema");
    for schema in [&mut schema, &mut plan] {
        take(schema, "$schema");
        take(schema, "title");
    }
    definitions["record"] = schema;
    definitions["plan"] = plan;
    json!({
        "$schema": draft,
        "title": title,
        "if": { "properties": { "event": { "const": "plan" } }, "required": ["event"] },
        "then": { "$ref": "#/$defs/plan" },
        "else": { "$ref": "#/$defs/record" },
        "$defs": definitions,
    })
}

/// Returns the schema of a plan as one object.
pub fn plan() -> Value {
    // As it is written: nothing reads it back, and what is not there is null.
    let settings = SchemaSettings::draft2020_12().for_serialize();
    of::<Plan>(settings, "a plan of quorate as one object")
}

fn take(schema: &mut Value, key: &str) -> Value {
    let map = schema.as_object_mut();
    map.and_then(|map| map.shift_remove(key))
        .unwrap_or_default()
}

fn as_object(value: Value) -> serde_json::Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => serde_json::Map::new(),
    }
}
