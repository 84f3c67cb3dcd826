//! The manifests of `cni_manifest`: files of the controller are read and looked at, a URL is the host's to fetch.

use std::fs::File;
use std::io::{self, Read as _};

use camino::Utf8Path;
use serde_json::Value;

use crate::cli::controller;
use crate::cluster::act::Manifest;
use crate::cluster::spec::ClusterSpec;
use crate::inventory::Inventory;
use crate::model::{Diagnostic, Diagnostics};

/// A manifest has fewer bytes than that: it is held in memory and sent as one piece.
const MAX_BYTES: u64 = 16 << 20;

/// Returns the manifests in their order, and adds what is wrong with them.
pub(super) fn read(
    inventory: &Inventory,
    spec: &ClusterSpec,
    folder: &Utf8Path,
    found: &mut Diagnostics,
) -> Vec<Manifest> {
    let mut manifests = Vec::new();
    for (number, name) in spec.cni_manifests.iter().enumerate() {
        let at = || controller::place(inventory, "cni_manifest", &format!("/{number}"));
        match name.split_once("://") {
            Some(("https" | "http", _)) => manifests.push(Manifest {
                name: name.clone(),
                text: None,
            }),
            Some((scheme, _)) => {
                let message = format!("`cni_manifest`: {name} cannot be fetched by {scheme}");
                let error = Diagnostic::error(message).at(at());
                found.push(
                    error.help("a URL begins with https:// or http://; anything else is a file"),
                );
            }
            None => {
                let path = folder.join(name);
                match text(&path) {
                    Ok(text) => {
                        found
                            .0
                            .extend(look(&path, &text).map(|finding| finding.at(at())));
                        manifests.push(Manifest {
                            name: path.file_name().unwrap_or(name).to_owned(),
                            text: Some(text),
                        });
                    }
                    Err(error) => {
                        let message = format!("cannot read the manifest {path}: {error}");
                        let help = format!(
                            "a relative path in `cni_manifest` begins in the folder {folder}; a URL begins with https://"
                        );
                        found.push(Diagnostic::error(message).at(at()).help(help));
                    }
                }
            }
        }
    }
    manifests
}

/// Reads a regular file: a pipe would wait for a writer.
fn text(path: &Utf8Path) -> io::Result<String> {
    let metadata = std::fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let mut text = String::new();
    File::open(path)?
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
            Some(error.help("take it out of `cni_manifest`, or write it again"))
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
