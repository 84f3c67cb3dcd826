//! A control plane's static pod, compared with what kubeadm made of it.

use serde_json::json;

use super::fields::{Filled, add, compare as fields};
use super::{Difference, Place, read, unreadable};
use crate::host::fact::ManifestState;
use crate::model::{Map, Value};

/// Flags of etcd that say how it joined, and nothing once it has data (etcd's configuration: "ignored if the member has been
/// initialized").
const OF_THE_JOIN: [&str; 2] = ["initial-cluster", "initial-cluster-state"];

/// Returns where the static pod of a component differs.
pub(super) fn compare(component: &str, state: &ManifestState, cluster: &Value) -> Vec<Difference> {
    let place = Place::Manifest(component.to_string());
    let (live, made) = match state {
        ManifestState::AsMade => return Vec::new(),
        ManifestState::Edited { live, made } => (live, Some(made)),
        ManifestState::Unrecorded(live) => (live, None),
    };
    let Some(live) = read(live) else {
        return vec![unreadable(&place)];
    };
    match made.map(|made| read(made)) {
        Some(Some(made)) => {
            let pair = (&plain(component, &made), &plain(component, &live));
            fields(&place, pair.0, pair.1, &Filled::default())
        }
        _ => asked_for(&place, component, &live, cluster),
    }
}

/// Returns the pod with its container's fields at the top and its command as a map of flags, each under its name with the
/// dashes.
fn plain(component: &str, pod: &Value) -> Value {
    let mut pod = pod.clone();
    let Some(root) = pod.as_object_mut() else {
        return pod;
    };
    root.shift_remove("status");
    let containers = root.get_mut("spec").and_then(|s| s.get_mut("containers"));
    let containers = containers.and_then(Value::as_array_mut);
    let own = containers.and_then(|all| {
        let place = all.iter().position(|c| c["name"] == component)?;
        Some(all.remove(place))
    });
    let mut result = Map::new();
    if let Some(Value::Object(mut own)) = own {
        let command = own.shift_remove("command").unwrap_or_default();
        own.shift_remove("name");
        for (name, value) in flags(&command) {
            result.insert(format!("--{name}"), value);
        }
        result.extend(own);
    }
    for (key, value) in root.iter() {
        result.insert(key.clone(), value.clone());
    }
    Value::Object(result)
}

/// Returns a command's flags, without those of etcd's own joining; the program and other words are flags without a value.
fn flags(command: &Value) -> Map {
    let mut map = Map::new();
    let words = command.as_array().into_iter().flatten();
    for word in words.filter_map(Value::as_str) {
        let word = word.strip_prefix("--").unwrap_or(word);
        let (name, value) = word.split_once('=').unwrap_or((word, "given"));
        if !OF_THE_JOIN.contains(&name) {
            add(&mut map, name.to_string(), json!(value));
        }
    }
    map
}

/// What the inventory asks for by name has to be there; where nothing was kept to compare with, no more can be said.
fn asked_for(place: &Place, component: &str, live: &Value, cluster: &Value) -> Vec<Difference> {
    let pointer = match component {
        "kube-apiserver" => "/apiServer/extraArgs",
        "kube-controller-manager" => "/controllerManager/extraArgs",
        "kube-scheduler" => "/scheduler/extraArgs",
        _ => "/etcd/local/extraArgs",
    };
    let live = plain(component, live);
    let mut wanted = Map::new();
    let entries = cluster.pointer(pointer).and_then(Value::as_array);
    for entry in entries.into_iter().flatten() {
        if let Some(name) = entry["name"].as_str() {
            let value = entry.get("value").cloned().unwrap_or_default();
            add(&mut wanted, format!("--{name}"), value);
        }
    }
    let differs = wanted
        .iter()
        .filter(|(name, value)| live.get(*name) != Some(value));
    differs
        .map(|(name, value)| Difference::new(place, name, live.get(name), Some(value)))
        .collect()
}
