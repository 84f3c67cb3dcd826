//! Documents with their secrets apart.

use crate::model::{Map, Secret, Sha256, Value};

/// What stands for a secret wherever it is not needed.
const MASK: &str = "***";

/// The YAML documents of one kubeadm call. Their secrets are kept beside them and put in only by [`Self::yaml`].
#[derive(Debug, Clone, PartialEq)]
pub struct Documents {
    documents: Vec<Value>,
    secrets: Vec<Hidden>,
}

/// A secret's place: which document, and where in it (RFC 6901).
#[derive(Debug, Clone, PartialEq)]
struct Hidden {
    document: usize,
    pointer: &'static str,
    secret: Secret<String>,
}

impl Documents {
    pub(super) fn new(documents: Vec<Value>) -> Self {
        Self {
            documents,
            secrets: Vec::new(),
        }
    }

    /// Puts a secret where the document holds a mask already.
    pub(super) fn hide(
        mut self,
        document: usize,
        pointer: &'static str,
        secret: &Secret<String>,
    ) -> Self {
        debug_assert_eq!(
            self.documents[document].pointer(pointer),
            Some(&Value::String(MASK.into()))
        );
        self.secrets.push(Hidden {
            document,
            pointer,
            secret: secret.clone(),
        });
        self
    }

    /// Returns the mask that stands for a secret.
    pub(super) fn mask() -> Value {
        Value::String(MASK.into())
    }

    /// Returns the document of that kind, its secrets masked.
    pub fn get(&self, kind: &str) -> Option<&Value> {
        self.documents.iter().find(|d| d["kind"] == kind)
    }

    /// Returns all documents as kubeadm's `--config` takes them, secrets and all. The file belongs to root alone.
    pub fn yaml(&self) -> Result<Secret<String>, serde_saphyr::ser::Error> {
        let mut documents = self.documents.clone();
        for hidden in &self.secrets {
            if let Some(place) = documents
                .get_mut(hidden.document)
                .and_then(|d| d.pointer_mut(hidden.pointer))
            {
                *place = Value::String(hidden.secret.expose().clone());
            }
        }
        write(&documents).map(Secret::new)
    }

    /// Returns the same text with masks for secrets: for people, diffs and logs.
    pub fn masked_yaml(&self) -> Result<String, serde_saphyr::ser::Error> {
        write(&self.documents)
    }

    /// Returns the digest over everything but secrets: it tells a later run whether an unfinished kubeadm was started
    /// with the configuration that is wanted now. The order of keys does not count.
    pub fn config_digest(&self) -> Sha256 {
        let canonical: Vec<Value> = self.documents.iter().map(sorted).collect();
        Sha256::of(Value::Array(canonical).to_string())
    }
}

fn write(documents: &[Value]) -> Result<String, serde_saphyr::ser::Error> {
    let texts: Result<Vec<String>, _> = documents.iter().map(serde_saphyr::to_string).collect();
    Ok(texts?.join("---\n"))
}

fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort();
            Value::Object(
                keys.into_iter()
                    .map(|k| (k.clone(), sorted(&map[k])))
                    .collect::<Map>(),
            )
        }
        Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
        other => other.clone(),
    }
}
