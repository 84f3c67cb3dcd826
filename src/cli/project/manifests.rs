//! The manifests of `cni_manifest` and `manifests`: files of the controller are read, rendered where they are templates, and
//! looked at; a URL is the host's to fetch.

use std::io::{self, Read as _};
use std::sync::Arc;

use camino::Utf8Path;
use serde_json::Value;

use crate::bounded;
use crate::cli::controller;
use crate::cluster::act::Manifest;
use crate::cluster::spec::ClusterSpec;
use crate::inventory::Inventory;
use crate::model::{Diagnostic, Diagnostics, Source};
use crate::template::Scope;

/// A manifest has fewer bytes than that: it is held in memory and sent as one piece.
const MAX_BYTES: u64 = 16 << 20;

/// How a file's name ends that is a template.
const TEMPLATE: &str = ".tera";

/// Returns the manifests in their order, and adds what is wrong with them. `scope` is the first control plane's.
pub(super) fn read(
    inventory: &Inventory,
    spec: &ClusterSpec,
    folder: &Utf8Path,
    scope: Option<&Scope>,
    found: &mut Diagnostics,
) -> Vec<Manifest> {
    let mut manifests: Vec<Manifest> = Vec::new();
    let lists = [
        ("cni_manifest", &spec.cni_manifests),
        ("manifests", &spec.manifests),
    ];
    for (variable, names) in lists {
        for (number, name) in names.iter().enumerate() {
            let at = || controller::place(inventory, variable, &format!("/{number}"));
            match one(name, folder, scope) {
                Ok((mut manifest, warning)) => {
                    found.0.extend(warning.map(|finding| finding.at(at())));
                    // Two folders may have a file of one name.
                    if manifests.iter().any(|m| m.name == manifest.name) {
                        manifest.name.clone_from(name);
                    }
                    if manifests.iter().any(|m| m.name == manifest.name) {
                        let error =
                            Diagnostic::error(format!("`{variable}`: {name} is named twice"));
                        found.push(error.at(at()).help("once is enough: take one out"));
                        continue;
                    }
                    manifests.push(manifest);
                }
                Err(Wrong::Name(message, help)) => {
                    let message = format!("`{variable}`: {message}");
                    found.push(Diagnostic::error(message).at(at()).help(help));
                }
                Err(Wrong::File(message)) => {
                    let help = format!(
                        "a relative path in `{variable}` begins in the folder {folder}; a URL begins with https://"
                    );
                    found.push(Diagnostic::error(message).at(at()).help(help));
                }
                Err(Wrong::Text(finding)) => found.push(*finding),
                Err(Wrong::Told) => {}
            }
        }
    }
    manifests
}

/// What is wrong with a manifest.
enum Wrong {
    /// Its name: message and help.
    Name(String, String),
    /// It cannot be read.
    File(String),
    /// It cannot be rendered.
    Text(Box<Diagnostic>),
    /// What it is rendered with, of which that was told.
    Told,
}

/// Returns a manifest, with a warning where it is odd.
fn one(
    name: &str,
    folder: &Utf8Path,
    scope: Option<&Scope>,
) -> Result<(Manifest, Option<Diagnostic>), Wrong> {
    match name.split_once("://") {
        Some(("https" | "http", _)) => {
            let manifest = Manifest {
                name: name.to_owned(),
                text: None,
            };
            return Ok((manifest, None));
        }
        Some((scheme, _)) => {
            return Err(Wrong::Name(
                format!("{name} cannot be fetched by {scheme}"),
                "a URL begins with https:// or http://; anything else is a file".into(),
            ));
        }
        None => {}
    }
    let path = folder.join(name);
    let text = text(&path)
        .map_err(|error| Wrong::File(format!("cannot read the manifest {path}: {error}")))?;
    let file = path.file_name().unwrap_or(name);
    let (file, text) = match file.strip_suffix(TEMPLATE) {
        None => (file, text),
        Some(file) => {
            let scope = scope.ok_or(Wrong::Told)?;
            let source = Arc::new(Source::new(path.clone(), text));
            let rendered = scope.render(&source);
            (
                file,
                rendered.map_err(|error| Wrong::Text(Box::new(error)))?,
            )
        }
    };
    let warning = look(&path, &text);
    let manifest = Manifest {
        name: file.to_owned(),
        text: Some(text),
    };
    Ok((manifest, warning))
}

/// Reads a regular file of at most [`MAX_BYTES`].
fn text(path: &Utf8Path) -> io::Result<String> {
    let mut text = String::new();
    bounded::open(path)?
        .take(MAX_BYTES + 1)
        .read_to_string(&mut text)?;
    if text.len() as u64 > MAX_BYTES {
        let message = format!("it is larger than {} MiB", MAX_BYTES >> 20);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok(text)
}

/// Returns what is wrong with a manifest, as far as it can be told without a cluster. kubectl has the last word on YAML.
fn look(path: &Utf8Path, text: &str) -> Option<Diagnostic> {
    let options =
        serde_saphyr::options! { duplicate_keys: serde_saphyr::DuplicateKeyPolicy::LastWins };
    match serde_saphyr::from_multiple_with_options::<Value>(text, options) {
        Ok(documents) if documents.iter().all(Value::is_null) => {
            let error = Diagnostic::error(format!("the manifest {path} holds nothing"));
            Some(error.help("take it out of the list, or write it again"))
        }
        Ok(documents) => {
            let is_object = |d: &Value| d.get("apiVersion").is_some() && d.get("kind").is_some();
            let is_other = documents.iter().any(|d| !d.is_null() && !is_object(d));
            let message =
                format!("the manifest {path} holds something that is no Kubernetes object");
            let warning = Diagnostic::warning(message);
            is_other.then(|| {
                warning.help("each of its documents has `apiVersion` and `kind`; look at the file")
            })
        }
        Err(error) => {
            let error = error.to_string();
            let line = error.lines().next().unwrap_or_default();
            let warning =
                Diagnostic::warning(format!("the manifest {path} is hardly YAML: {line}"));
            Some(warning.help(
                "it is applied after init: try `kubectl apply --dry-run=client -f` with it first",
            ))
        }
    }
}
