//! Two documents compared field by field.

use std::collections::BTreeSet;

use super::{Difference, Place};
use crate::model::{Map, Value};

/// What a program fills in by itself, by its path.
#[derive(Debug, Clone, Default)]
pub(super) struct Filled {
    /// A path and what is filled in there: that value alone is no difference.
    pub(super) values: Vec<(&'static str, Value)>,
    /// Paths that are of no account.
    pub(super) ignored: &'static [&'static str],
    /// Paths at which `false` says something, where it says nothing anywhere else; `None` where it does everywhere.
    pub(super) spoken_false: Option<&'static [&'static str]>,
}

impl Filled {
    fn is_ignored(&self, path: &str) -> bool {
        let within = |prefix: &&str| {
            path.strip_prefix(*prefix)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        self.ignored.iter().any(within)
    }

    fn at(&self, path: &str) -> Option<&Value> {
        let mut values = self.values.iter();
        values.find(|(p, _)| *p == path).map(|(_, value)| value)
    }

    /// Returns whether a value that nobody asked for is what the program writes where nothing is asked.
    fn accounts_for(&self, path: &str, live: &Value) -> bool {
        if self.is_ignored(path) {
            return true;
        }
        if let Some(filled) = self.at(path) {
            return same(filled, live);
        }
        match live {
            Value::Bool(false) => self.spoken_false.is_some_and(|all| !all.contains(&path)),
            Value::Object(map) => map
                .iter()
                .all(|(key, value)| self.accounts_for(&join(path, key), value)),
            other => is_nothing(other),
        }
    }
}

/// Returns where `live` is not as `wanted`. Lists of named entries are compared by name; other lists as they are.
pub(super) fn compare(
    place: &Place,
    wanted: &Value,
    live: &Value,
    filled: &Filled,
) -> Vec<Difference> {
    let mut found = Vec::new();
    let pair = (&keyed(wanted), &keyed(live));
    walk(place, "", pair, filled, &mut found);
    found
}

/// Returns the document without what says nothing: what is filled in anyway, what is empty. Keys are in order.
pub(super) fn essence(document: &Value, filled: &Filled) -> Value {
    fn strip(path: &str, value: &Value, filled: &Filled) -> Option<Value> {
        if filled.accounts_for(path, value) && !path.is_empty() {
            return None;
        }
        let Value::Object(map) = value else {
            return Some(value.clone());
        };
        let keys: BTreeSet<&String> = map.keys().collect();
        let kept = keys.into_iter().filter_map(|key| {
            let value = strip(&join(path, key), map.get(key)?, filled)?;
            Some((key.clone(), value))
        });
        Some(Value::Object(kept.collect::<Map>()))
    }
    strip("", &keyed(document), filled).unwrap_or(Value::Null)
}

fn walk(
    place: &Place,
    path: &str,
    (wanted, live): (&Value, &Value),
    filled: &Filled,
    found: &mut Vec<Difference>,
) {
    if filled.is_ignored(path) {
        return;
    }
    let (Value::Object(wanted), Value::Object(live)) = (wanted, live) else {
        let nothing = is_nothing(wanted) && is_nothing(live);
        if !nothing && !same(wanted, live) {
            found.push(Difference::new(place, path, Some(live), Some(wanted)));
        }
        return;
    };
    for (key, value) in wanted {
        let path = join(path, key);
        match live.get(key) {
            Some(live) => walk(place, &path, (value, live), filled, found),
            None if is_nothing(value) || filled.is_ignored(&path) => {}
            None => absent(place, &path, value, found),
        }
    }
    for (key, value) in live.iter().filter(|(key, _)| !wanted.contains_key(*key)) {
        unasked(place, &join(path, key), value, filled, found);
    }
}

/// Tells of each field of a value that is not there.
fn absent(place: &Place, path: &str, wanted: &Value, found: &mut Vec<Difference>) {
    match wanted {
        Value::Object(map) => {
            for (key, value) in map.iter().filter(|(_, value)| !is_nothing(value)) {
                absent(place, &join(path, key), value, found);
            }
        }
        other => found.push(Difference::new(place, path, None, Some(other))),
    }
}

/// Tells of each field of a value that nobody asked for.
fn unasked(place: &Place, path: &str, live: &Value, filled: &Filled, found: &mut Vec<Difference>) {
    if filled.accounts_for(path, live) {
        return;
    }
    match live {
        Value::Object(map) => {
            for (key, value) in map {
                unasked(place, &join(path, key), value, filled, found);
            }
        }
        other => {
            let wanted = filled.at(path);
            found.push(Difference::new(place, path, Some(other), wanted));
        }
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_string()
    } else {
        format!("{path}.{key}")
    }
}

/// Returns the document with each list of named entries as a map by name; an entry of name and value becomes its value.
fn keyed(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let entries = map.iter().map(|(key, value)| (key.clone(), keyed(value)));
            Value::Object(entries.collect())
        }
        Value::Array(items) => {
            let name = |item: &Value| Some(item.get("name")?.as_str()?.to_string());
            let names: Option<Vec<String>> = items.iter().map(name).collect();
            let Some(names) = names.filter(|names| !names.is_empty()) else {
                return Value::Array(items.iter().map(keyed).collect());
            };
            let mut map = Map::new();
            for (name, item) in names.into_iter().zip(items) {
                let mut rest = item.as_object().cloned().unwrap_or_default();
                rest.shift_remove("name");
                let entry = match rest.get("value") {
                    Some(value) if rest.len() == 1 => value.clone(),
                    _ => keyed(&Value::Object(rest)),
                };
                add(&mut map, name, entry);
            }
            Value::Object(map)
        }
        other => other.clone(),
    }
}

/// Puts an entry into a map; a name that stands there already gets a list, since a flag given twice is passed on twice.
pub(super) fn add(map: &mut Map, name: String, entry: Value) {
    match map.get_mut(&name) {
        None => {
            map.insert(name, entry);
        }
        Some(Value::Array(all)) => all.push(entry),
        Some(first) => *first = Value::Array(vec![first.clone(), entry]),
    }
}

/// Returns whether a value says nothing: absent, empty, zero. Go writes out many fields that nobody has set.
fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(_) => false,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty() || text == "0" || nanoseconds(text) == Some(0),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.values().all(is_nothing),
    }
}

/// Returns whether two values mean the same: `60s` is `1m0s`.
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::String(one), Value::String(other)) if one != other => {
            matches!((nanoseconds(one), nanoseconds(other)), (Some(a), Some(b)) if a == b)
        }
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(a, b)| same(a, b))
        }
        (Value::Number(one), Value::Number(other)) => one.as_f64() == other.as_f64(),
        _ => one == other,
    }
}

/// Reads a duration as Go writes and reads it (time.ParseDuration), whole numbers alone: `1h0m0s`, `500ms`.
fn nanoseconds(text: &str) -> Option<u128> {
    let mut rest = text;
    let mut total = 0u128;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let number: u64 = rest.get(..digits)?.parse().ok()?;
        rest = rest.get(digits..)?;
        let letters = rest.len() - rest.trim_start_matches(|c: char| c.is_alphabetic()).len();
        let unit: u128 = match rest.get(..letters)? {
            "h" => 3_600_000_000_000,
            "m" => 60_000_000_000,
            "s" => 1_000_000_000,
            "ms" => 1_000_000,
            "us" | "µs" => 1_000,
            "ns" => 1,
            _ => return None,
        };
        rest = rest.get(letters..)?;
        total = total.checked_add(u128::from(number) * unit)?;
    }
    Some(total)
}
