//! Filters and tests beside Tera's own, with the names that Ansible gave them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tera::{Error, Kwargs, State, Tera, TeraResult, Value};

use super::engine::{from_tera, ordered};
use crate::model::Sha256;

pub(super) fn register(tera: &mut Tera) {
    tera.register_filter("b64encode", |text: &str, _: Kwargs, _: &State| {
        STANDARD.encode(text)
    });
    tera.register_filter("b64decode", b64decode);
    tera.register_filter("sha256", |text: &str, _: Kwargs, _: &State| {
        Sha256::of(text).to_string()
    });
    tera.register_filter("quote", |value: &Value, _: Kwargs, _: &State| {
        quote(&value.to_string())
    });
    tera.register_filter("to_json", to_json);
    tera.register_filter("to_nice_json", to_nice_json);
    tera.register_filter("to_yaml", to_yaml);
    tera.register_filter("to_nice_yaml", to_yaml);
    tera.register_filter("basename", |path: &str, _: Kwargs, _: &State| {
        path.rsplit_once('/')
            .map_or(path, |(_, name)| name)
            .to_owned()
    });
    tera.register_filter("dirname", |path: &str, _: Kwargs, _: &State| {
        path.rsplit_once('/')
            .map_or("", |(dir, _)| if dir.is_empty() { "/" } else { dir })
            .to_owned()
    });
    tera.register_filter("map", map);
    tera.register_filter("dict2items", dict2items);
    // Over what `register` keeps. Ansible: playbook_guide/playbooks_tests, "Testing task results".
    for name in ["succeeded", "success", "successful"] {
        tera.register_test(name, |result: &tera::Map, _: Kwargs, _: &State| {
            !is_true(result, "failed")
        });
    }
    for (name, key) in [
        ("failed", "failed"),
        ("failure", "failed"),
        ("changed", "changed"),
        ("change", "changed"),
        ("skipped", "skipped"),
        ("skip", "skipped"),
    ] {
        tera.register_test(name, move |result: &tera::Map, _: Kwargs, _: &State| {
            is_true(result, key)
        });
    }
    if !ordered() {
        // Tera's own have another order each time then.
        tera.register_filter(
            "keys",
            |map: &tera::Map, _: Kwargs, _: &State| -> Vec<String> {
                sorted(map).into_iter().map(|(key, _)| key).collect()
            },
        );
        tera.register_filter(
            "values",
            |map: &tera::Map, _: Kwargs, _: &State| -> Vec<Value> {
                sorted(map)
                    .into_iter()
                    .map(|(_, value)| value.clone())
                    .collect()
            },
        );
    }
}

fn is_true(result: &tera::Map, key: &str) -> bool {
    let mut fields = result.iter();
    fields.any(|(name, value)| name.as_str() == Some(key) && value.is_truthy())
}

fn b64decode(text: &str, _: Kwargs, _: &State) -> TeraResult<String> {
    let bytes = STANDARD
        .decode(text.trim())
        .map_err(|e| Error::message(format!("not base64: {e}")))?;
    String::from_utf8(bytes).map_err(|_| Error::message("what the base64 holds is not UTF-8 text"))
}

/// Returns the text as one word of a POSIX shell, quoted only where it has to be (Python's `shlex.quote`).
fn quote(text: &str) -> String {
    let safe = |c: char| c.is_ascii_alphanumeric() || "@%+=:,./-_".contains(c);
    if !text.is_empty() && text.chars().all(safe) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r#"'"'"'"#))
    }
}

fn json(value: &Value) -> TeraResult<crate::model::Value> {
    from_tera(value).map_err(Error::message)
}

fn to_json(value: &Value, _: Kwargs, _: &State) -> TeraResult<String> {
    serde_json::to_string(&json(value)?).map_err(|e| Error::message(e.to_string()))
}

fn to_nice_json(value: &Value, _: Kwargs, _: &State) -> TeraResult<String> {
    serde_json::to_string_pretty(&json(value)?).map_err(|e| Error::message(e.to_string()))
}

/// Returns the value as YAML 1.2, block style, with a line feed at its end, as Ansible's `to_nice_yaml` has it. Text
/// that YAML 1.1 would take for a boolean or a number is quoted, so that every reader agrees.
fn to_yaml(value: &Value, kwargs: Kwargs, _: &State) -> TeraResult<String> {
    let indent: usize = kwargs.get::<usize>("indent")?.unwrap_or(2);
    let options = serde_saphyr::ser_options! { indent_step: indent.clamp(1, 8) };
    serde_saphyr::to_string_with_options(&json(value)?, options)
        .map_err(|e| Error::message(e.to_string()))
}

/// Returns one attribute of each item: `backends | map(attribute="address")`.
fn map(items: &[Value], kwargs: Kwargs, _: &State) -> TeraResult<Vec<Value>> {
    let attribute: &str = kwargs.must_get("attribute")?;
    items
        .iter()
        .enumerate()
        .map(|(i, item)| {
            item.get_from_path(attribute)
                .cloned()
                .ok_or_else(|| Error::message(format!("item {i} of the list has no `{attribute}`")))
        })
        .collect()
}

/// Returns a map's entries as a list of `{key, value}`, in the map's order, or by key where maps have none.
fn dict2items(map: &tera::Map, _: Kwargs, _: &State) -> Vec<Value> {
    let entry = |(key, value): (String, &Value)| {
        let pair = [("key", Value::from(key)), ("value", value.clone())];
        Value::from(
            pair.into_iter()
                .map(|(k, v)| (k.into(), v))
                .collect::<tera::Map>(),
        )
    };
    sorted(map).into_iter().map(entry).collect()
}

fn sorted(map: &tera::Map) -> Vec<(String, &Value)> {
    let mut entries: Vec<(String, &Value)> = map.iter().map(|(k, v)| (k.to_string(), v)).collect();
    if !ordered() {
        entries.sort_by(|a, b| a.0.cmp(&b.0));
    }
    entries
}
