//! JSON Schema (draft 2020-12) of the stream's lines, made from the types that they are written from and read into.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};
use serde_json::{Value, json};

use super::Record;

/// Returns the schema of one record: a line of a journal.
pub fn record() -> Value {
    // As it is read: journals of earlier versions lack fields that came later.
    of::<Record>(
        SchemaSettings::draft2020_12(),
        "an event of quorate: a line of a journal",
    )
}

/// Returns the schema of a type; its documentation becomes descriptions.
pub fn of<T: JsonSchema>(settings: SchemaSettings, title: &str) -> Value {
    let schema = settings
        .with_transform(plain_links)
        .into_generator()
        .into_root_schema_for::<T>()
        .to_value();
    let mut named = json!({ "$schema": schema["$schema"], "title": title });
    if let (Value::Object(named), Value::Object(rest)) = (&mut named, schema) {
        for (key, value) in rest {
            named.entry(key).or_insert(value);
        }
    }
    named
}

/// Makes words of what is a link in the documentation alone.
fn plain_links(schema: &mut Schema) {
    if let Some(Value::String(text)) = schema.get_mut("description") {
        *text = text.replace("[`", "`").replace("`]", "`");
    }
    schemars::transform::transform_subschemas(&mut plain_links, schema);
}
