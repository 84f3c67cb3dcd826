//! The user's documents, and how they are laid over the generated ones.

use super::input::refused_preflight_error;
use super::{KINDS, KUBEADM_API};
use crate::model::{Diagnostic, Diagnostics, Map, Span, Value, nearest};

/// Fields that are quorate's own: kind, path, and what to set instead.
const OWNED: [(&str, &str, &str); 15] = [
    (
        "ClusterConfiguration",
        "/controlPlaneEndpoint",
        "set the variable control_plane_endpoint",
    ),
    (
        "ClusterConfiguration",
        "/kubernetesVersion",
        "set the variable kubernetes_version",
    ),
    (
        "ClusterConfiguration",
        "/clusterName",
        "set the variable cluster_name",
    ),
    (
        "ClusterConfiguration",
        "/networking/podSubnet",
        "set the variable pod_subnet",
    ),
    (
        "ClusterConfiguration",
        "/networking/serviceSubnet",
        "set the variable service_subnet",
    ),
    (
        "ClusterConfiguration",
        "/imageRepository",
        "set the variable image_repository",
    ),
    (
        "ClusterConfiguration",
        "/etcd/external",
        "external etcd is not built yet",
    ),
    ("InitConfiguration", "/bootstrapTokens", OWN_TOKEN),
    ("InitConfiguration", "/certificateKey", OWN_KEY),
    (
        "InitConfiguration",
        "/localAPIEndpoint",
        "set the variables ip and apiserver_src_port",
    ),
    ("InitConfiguration", "/nodeRegistration/name", OWN_NAME),
    ("JoinConfiguration", "/discovery", OWN_TOKEN),
    ("JoinConfiguration", "/controlPlane/certificateKey", OWN_KEY),
    (
        "JoinConfiguration",
        "/controlPlane/localAPIEndpoint",
        "set the variables ip and apiserver_src_port",
    ),
    ("JoinConfiguration", "/nodeRegistration/name", OWN_NAME),
];
const OWN_TOKEN: &str = "quorate makes a token of its own for each run and pins the cluster's CA";
const OWN_KEY: &str = "quorate makes a key of its own for each run";
const OWN_NAME: &str = "a node has its host's name in the inventory";

/// Sections that the generated documents have: kind, path, and whether it is a map or else a list. Another type there has
/// nothing to be merged with (kubeadm Configuration (v1beta4), kubernetes.io reference).
const SECTIONS: [(&str, &str, bool); 8] = [
    ("ClusterConfiguration", "/apiServer", true),
    ("ClusterConfiguration", "/apiServer/certSANs", false),
    ("ClusterConfiguration", "/networking", true),
    ("InitConfiguration", "/nodeRegistration", true),
    ("InitConfiguration", "/nodeRegistration/taints", false),
    ("JoinConfiguration", "/nodeRegistration", true),
    ("JoinConfiguration", "/nodeRegistration/taints", false),
    ("JoinConfiguration", "/controlPlane", true),
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
    /// Reads the variable's value. `at` says where a JSON pointer (RFC 6901) into it stands, for messages.
    ///
    /// # Errors
    /// All that is refused or cannot be meant.
    pub fn read(value: &Value, at: &dyn Fn(&str) -> Option<Span>) -> Result<Self, Diagnostics> {
        let mut check = Check {
            at,
            found: Diagnostics::default(),
        };
        let documents = match value {
            Value::Null => Map::new(),
            Value::Object(documents) => documents.clone(),
            other => {
                check.complain(
                    "",
                    format!(
                        "{}; a map from kind to document is expected",
                        kind_of(other)
                    ),
                    "",
                );
                Map::new()
            }
        };
        for (kind, document) in &documents {
            check.document(kind, document);
        }
        if check.found.has_errors() {
            Err(check.found)
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

struct Check<'a> {
    at: &'a dyn Fn(&str) -> Option<Span>,
    found: Diagnostics,
}

impl Check<'_> {
    /// Adds that what stands at `pointer` is not as it should be; `what` completes "... is".
    fn complain(&mut self, pointer: &str, what: impl std::fmt::Display, help: impl Into<String>) {
        let path = pointer
            .replace('/', ".")
            .replace("~1", "/")
            .replace("~0", "~");
        let mut diagnostic =
            Diagnostic::error(format!("kubeadm{path} is {what}")).at((self.at)(pointer));
        diagnostic.help = Some(help.into()).filter(|help| !help.is_empty());
        self.found.push(diagnostic);
    }

    fn document(&mut self, kind: &str, document: &Value) {
        let place = format!("/{}", escape(kind));
        let Some((_, api)) = KINDS.iter().find(|(k, _)| *k == kind) else {
            let help = match nearest(kind, KINDS.iter().map(|(k, _)| *k)) {
                Some(near) => format!("did you mean {near}?"),
                None => format!("the kinds are {}", KINDS.map(|(k, _)| k).join(", ")),
            };
            self.complain(&place, "no document that kubeadm reads", help);
            return;
        };
        let Value::Object(map) = document else {
            if !document.is_null() {
                self.complain(
                    &place,
                    format!("{}; a map is expected", kind_of(document)),
                    "",
                );
            }
            return;
        };
        for (field, expected) in [("apiVersion", *api), ("kind", kind)] {
            if let Some(other) = map.get(field).filter(|v| **v != expected) {
                let old = *api == KUBEADM_API && field == "apiVersion";
                let help = if old {
                    "`kubeadm config migrate` converts older documents"
                } else {
                    "leave the field out"
                };
                self.complain(
                    &format!("{place}/{field}"),
                    format!("{other}, not {expected}"),
                    help,
                );
            }
        }
        for (_, pointer, help) in OWNED.iter().filter(|(owner, ..)| *owner == kind) {
            if document.pointer(pointer).is_some() {
                self.complain(
                    &format!("{place}{pointer}"),
                    "quorate's own to write",
                    *help,
                );
            }
        }
        for (_, pointer, is_map) in SECTIONS.iter().filter(|(owner, ..)| *owner == kind) {
            let expected = if *is_map { "map" } else { "list" };
            match document.pointer(pointer) {
                None | Some(Value::Null) => {}
                Some(section) if *is_map && section.is_object() => {}
                Some(section) if !*is_map && section.is_array() => {}
                Some(other) => self.complain(
                    &format!("{place}{pointer}"),
                    format!("{}; a {expected} is expected", kind_of(other)),
                    "",
                ),
            }
        }
        self.ignored_checks(&place, document);
        self.lists(&place, document);
    }

    fn ignored_checks(&mut self, place: &str, document: &Value) {
        const FIELD: &str = "/nodeRegistration/ignorePreflightErrors";
        match document.pointer(FIELD) {
            None | Some(Value::Null) => {}
            Some(Value::Array(names)) => {
                for (i, name) in names.iter().enumerate() {
                    let pointer = format!("{place}{FIELD}/{i}");
                    let path = format!("kubeadm{}", format!("{place}{FIELD}").replace('/', "."));
                    let refused = name
                        .as_str()
                        .and_then(|name| refused_preflight_error(&path, name));
                    self.found
                        .0
                        .extend(refused.map(|diagnostic| diagnostic.at((self.at)(&pointer))));
                }
            }
            Some(other) => self.complain(
                &format!("{place}{FIELD}"),
                format!("{}; a list is expected", kind_of(other)),
                "",
            ),
        }
    }

    /// Complains about lists that are no lists of named entries, such as the maps that v1beta3 had.
    fn lists(&mut self, place: &str, value: &Value) {
        let Value::Object(map) = value else { return };
        for (key, value) in map {
            let place = format!("{place}/{}", escape(key));
            if !BY_NAME.contains(&key.as_str()) {
                self.lists(&place, value);
                continue;
            }
            let named = |entry: &Value| entry.get("name").is_some_and(Value::is_string);
            if !value.is_null()
                && !value
                    .as_array()
                    .is_some_and(|entries| entries.iter().all(named))
            {
                let help =
                    "v1beta4 writes `- {name: v, value: \"4\"}` where v1beta3 wrote `v: \"4\"`";
                self.complain(&place, "not a list of entries with a name", help);
            }
        }
    }
}

/// Returns a key as it stands in a JSON pointer.
fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
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
