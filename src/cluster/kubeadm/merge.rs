//! The user's documents, and how they are laid over the generated ones.

use super::input::refused_preflight_error;
use super::{KINDS, KUBEADM_API};
use crate::model::{Diagnostic, Diagnostics, Map, Span, Value, nearest};

/// Fields that are quorate's own: kind, path, and what to set instead.
const OWNED: [(&str, &str, &str); 11] = [
    (
        "ClusterConfiguration",
        "controlPlaneEndpoint",
        "set the variable control_plane_endpoint",
    ),
    (
        "ClusterConfiguration",
        "kubernetesVersion",
        "set the variable kubernetes_version",
    ),
    (
        "ClusterConfiguration",
        "etcd.external",
        "external etcd is not built yet",
    ),
    (
        "InitConfiguration",
        "bootstrapTokens",
        "quorate makes a token of its own for each run",
    ),
    (
        "InitConfiguration",
        "certificateKey",
        "quorate makes a key of its own for each run",
    ),
    (
        "InitConfiguration",
        "localAPIEndpoint",
        "set the variables ip and apiserver_src_port",
    ),
    (
        "InitConfiguration",
        "nodeRegistration.name",
        "a node has its host's name in the inventory",
    ),
    (
        "JoinConfiguration",
        "discovery",
        "quorate makes a token of its own for each run and pins the cluster's CA",
    ),
    (
        "JoinConfiguration",
        "controlPlane.certificateKey",
        "quorate makes a key of its own for each run",
    ),
    (
        "JoinConfiguration",
        "controlPlane.localAPIEndpoint",
        "set the variables ip and apiserver_src_port",
    ),
    (
        "JoinConfiguration",
        "nodeRegistration.name",
        "a node has its host's name in the inventory",
    ),
];

/// Lists whose entries are told apart by `name`, so that one entry can be changed or added.
const BY_NAME: [&str; 3] = ["extraArgs", "kubeletExtraArgs", "extraVolumes"];
/// The list that is a set.
const UNION: &str = "certSANs";

/// The variable `kubeadm`: a map from kind to a document, each merged over the generated one.
///
/// - Maps merge key by key. A null takes a generated value or list away; over a map it is an empty section and says
///   nothing.
/// - `extraArgs`, `kubeletExtraArgs` and `extraVolumes` merge by `name`. A name that the user writes twice stays twice:
///   kubeadm passes both on.
/// - `certSANs` is a union.
/// - Any other list, and any other value, replaces the generated one.
///
/// What quorate itself must know the value of (endpoint, version, names, addresses, secrets) is refused, and so is
/// ignoring the preflight checks `Port-*` and `all`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct UserDocuments(Map);

impl UserDocuments {
    /// Reads the variable's value; `span` is where it stands, for messages.
    ///
    /// # Errors
    /// All that is refused or cannot be meant.
    pub fn read(value: &Value, span: Option<&Span>) -> Result<Self, Diagnostics> {
        let mut found = Diagnostics::default();
        let documents = match value {
            Value::Null => Map::new(),
            Value::Object(documents) => documents.clone(),
            other => {
                found.push(Diagnostic::error(format!(
                    "`kubeadm` is {}; a map from kind to document is expected",
                    kind_of(other)
                )));
                Map::new()
            }
        };
        for (kind, document) in &documents {
            check_document(kind, document, &mut found);
        }
        for diagnostic in &mut found.0 {
            diagnostic.span = span.cloned();
        }
        if found.has_errors() {
            Err(found)
        } else {
            Ok(Self(documents))
        }
    }

    /// Returns the generated document with the user's of that kind over it.
    pub(super) fn over(&self, kind: &str, generated: Value, found: &mut Diagnostics) -> Value {
        let mut result = generated;
        let Some(Value::Object(user)) = self.0.get(kind) else {
            return result;
        };
        let mut user = user.clone();
        // A worker's JoinConfiguration with `controlPlane` would make it a control plane.
        if result.get("controlPlane").is_none() {
            user.shift_remove("controlPlane");
        }
        merge(
            &mut result,
            &Value::Object(user),
            &format!("kubeadm.{kind}"),
            found,
        );
        result
    }
}

fn check_document(kind: &str, document: &Value, found: &mut Diagnostics) {
    let Some((_, api)) = KINDS.iter().find(|(k, _)| *k == kind) else {
        let help = match nearest(kind, KINDS.iter().map(|(k, _)| *k)) {
            Some(near) => format!("did you mean {near}?"),
            None => format!("the kinds are {}", KINDS.map(|(k, _)| k).join(", ")),
        };
        found.push(
            Diagnostic::error(format!("kubeadm.{kind}: kubeadm has no such document")).help(help),
        );
        return;
    };
    let place = format!("kubeadm.{kind}");
    let Value::Object(map) = document else {
        if !document.is_null() {
            found.push(Diagnostic::error(format!(
                "{place} is {}; a map is expected",
                kind_of(document)
            )));
        }
        return;
    };
    for (field, expected) in [("apiVersion", *api), ("kind", kind)] {
        if map.get(field).is_some_and(|v| v != expected) {
            let help = if *api == KUBEADM_API && field == "apiVersion" {
                "`kubeadm config migrate` converts older documents"
            } else {
                "leave the field out"
            };
            found.push(
                Diagnostic::error(format!("{place}.{field} is {}, not {expected}", map[field]))
                    .help(help),
            );
        }
    }
    for (owner, path, help) in OWNED {
        if owner == kind
            && path
                .split('.')
                .try_fold(document, |value, key| value.get(key))
                .is_some()
        {
            found.push(
                Diagnostic::error(format!("{place}.{path} is quorate's own to write")).help(help),
            );
        }
    }
    let ignored = format!("{place}.nodeRegistration.ignorePreflightErrors");
    match document.pointer("/nodeRegistration/ignorePreflightErrors") {
        None | Some(Value::Null) => {}
        Some(Value::Array(names)) => {
            found.0.extend(
                names
                    .iter()
                    .filter_map(Value::as_str)
                    .filter_map(|name| refused_preflight_error(&ignored, name)),
            );
        }
        Some(other) => found.push(Diagnostic::error(format!(
            "{ignored} is {}; a list is expected",
            kind_of(other)
        ))),
    }
    check_lists(document, &place, found);
}

/// Complains about lists that are no lists of named entries, such as the maps that v1beta3 had.
fn check_lists(value: &Value, place: &str, found: &mut Diagnostics) {
    let Value::Object(map) = value else { return };
    for (key, value) in map {
        let place = format!("{place}.{key}");
        if !BY_NAME.contains(&key.as_str()) {
            check_lists(value, &place, found);
            continue;
        }
        let named = |entry: &Value| entry.get("name").is_some_and(Value::is_string);
        let good = matches!(value, Value::Null)
            || value
                .as_array()
                .is_some_and(|entries| entries.iter().all(named));
        if !good {
            found.push(
                Diagnostic::error(format!("{place} is not a list of entries with a name")).help(
                    "v1beta4 writes `- {name: v, value: \"4\"}` where v1beta3 wrote `v: \"4\"`",
                ),
            );
        }
    }
}

fn merge(base: &mut Value, user: &Value, place: &str, found: &mut Diagnostics) {
    let (Value::Object(base), Value::Object(user)) = (base, user) else {
        return;
    };
    for (key, value) in user {
        let place = format!("{place}.{key}");
        let Some(ours) = base.get_mut(key) else {
            if !value.is_null() {
                base.insert(key.clone(), value.clone());
            }
            continue;
        };
        match (&mut *ours, value) {
            (Value::Object(_), Value::Null) => {}
            (_, Value::Null) => {
                base.shift_remove(key);
            }
            (Value::Object(_), Value::Object(_)) => merge(ours, value, &place, found),
            (Value::Array(ours), Value::Array(theirs)) if BY_NAME.contains(&key.as_str()) => {
                ours.retain(|entry| !theirs.iter().any(|their| their["name"] == entry["name"]));
                ours.extend(theirs.iter().cloned());
            }
            (Value::Array(ours), Value::Array(theirs)) if key == UNION => {
                for entry in theirs {
                    if !ours.contains(entry) {
                        ours.push(entry.clone());
                    }
                }
            }
            (Value::Object(_), other) => {
                found.push(Diagnostic::error(format!(
                    "{place} is {}; a map is expected",
                    kind_of(other)
                )));
            }
            (Value::Array(_), other) if !other.is_array() => {
                found.push(Diagnostic::error(format!(
                    "{place} is {}; a list is expected",
                    kind_of(other)
                )));
            }
            (ours, theirs) => *ours = theirs.clone(),
        }
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "empty",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}
