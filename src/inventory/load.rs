//! The only IO of this floor: which files belong to an inventory, and their text.

use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};

use super::input::{COMMAND_LINE, Input, Owner, VarsFile};
use super::locks::{Locks, Unlock};
use super::yaml::MAX_BYTES;
use super::{Inventory, pattern, script};
use crate::bounded;
use crate::model::{Diagnostic, Diagnostics, HostName, Source, Span, nearest};
use crate::vault::{self, Keys};

/// Returns the inventory that the values of `-i` and `-e` describe, and everything that is wrong with it. There are no keys for
/// what is encrypted.
pub fn load(inventories: &[Utf8PathBuf], extra: &[String]) -> (Inventory, Diagnostics) {
    load_with(inventories, extra, &no_keys)
}

/// As [`load`], with keys. The findings show nothing that was encrypted.
pub fn load_with(
    inventories: &[Utf8PathBuf],
    extra: &[String],
    unlock: Unlock<'_>,
) -> (Inventory, Diagnostics) {
    let (inventory, found) = Inventory::build(&read(inventories, extra, unlock));
    let found = found.hide(&inventory.masks());
    (inventory, found)
}

fn no_keys() -> (Keys, Diagnostics) {
    (Keys::default(), Diagnostics::default())
}

/// Reads every file that the values of `-i` and `-e` mean: an inventory file or a folder of them, group_vars/ and
/// host_vars/ beside each. What cannot be read is among the input's findings. Encrypted files are decrypted; the keys for
/// values inside the others come back with them.
pub fn read(inventories: &[Utf8PathBuf], extra: &[String], unlock: Unlock<'_>) -> Input {
    let mut input = Input::default();
    let mut locks = Locks::new(unlock);
    let mut bases: Vec<Utf8PathBuf> = Vec::new();
    for path in inventories {
        let base = if path.is_dir() {
            let before = input.inventories.len();
            folder(path, &mut locks, &mut input);
            if input.inventories.len() == before && !input.diagnostics.has_errors() {
                input.diagnostics.push(
                    Diagnostic::error(format!("the folder {path} holds no inventory file")).help(
                        "an inventory is a .yml, .yaml or .json file, one without an extension, or a program",
                    ),
                );
            }
            path.clone()
        } else {
            let source = inventory(path, &mut locks, &mut input.diagnostics);
            input.inventories.extend(source);
            path.parent().map_or_else(|| ".".into(), Utf8Path::to_owned)
        };
        let base = if base.as_str().is_empty() {
            ".".into()
        } else {
            base
        };
        // Named twice, the later place counts.
        bases.retain(|b| *b != base);
        bases.push(base);
    }
    for (place, base) in bases.iter().enumerate() {
        for (name, owner) in [
            ("group_vars", Owner::Group as fn(String) -> Owner),
            ("host_vars", Owner::Host),
        ] {
            vars(&base.join(name), place, owner, &mut locks, &mut input);
        }
    }
    for value in extra {
        let source = match value.strip_prefix('@') {
            Some(path) => text(
                Utf8Path::new(path),
                "file of variables",
                &mut locks,
                &mut input.diagnostics,
            ),
            None => Some(Arc::new(Source::new(COMMAND_LINE, value.as_str()))),
        };
        input.extra.extend(source);
    }
    let vars = input.vars.iter().map(|file| &file.source);
    let sources = input.inventories.iter().chain(vars).chain(&input.extra);
    input.keys = locks.for_values(sources, &mut input.diagnostics);
    input
}

/// Returns the hosts that the value of `--limit` means, in the order of the inventory. A part `@FILE` stands for the
/// patterns in the lines of that file.
pub fn limit<'i>(
    inventory: &'i Inventory,
    pattern: &str,
) -> Result<Vec<&'i HostName>, Diagnostics> {
    let mut diagnostics = Diagnostics::default();
    let mut locks = Locks::new(&no_keys);
    let mut parts: Vec<String> = Vec::new();
    for part in pattern::split(pattern) {
        let Some(path) = part.strip_prefix('@') else {
            parts.push(part.to_owned());
            continue;
        };
        let path = Utf8Path::new(path);
        if let Some(source) = text(path, "list of hosts", &mut locks, &mut diagnostics) {
            let lines = source
                .text
                .lines()
                .map(str::trim)
                .filter(|l| !l.is_empty() && !l.starts_with('#'));
            parts.extend(lines.map(str::to_owned));
        }
    }
    if diagnostics.has_errors() {
        return Err(diagnostics);
    }
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let mut hosts = inventory
        .select_parts(&parts, pattern)
        .map_err(|d| Diagnostics(vec![d]))?;
    hosts.sort_by_key(|h| inventory.hosts.get_index_of(h.as_str()));
    Ok(hosts)
}

/// Reads an inventory file, or runs it where it is a program.
fn inventory(
    path: &Utf8Path,
    locks: &mut Locks<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<Arc<Source>> {
    if !script::is_script(path) {
        return text(path, "inventory", locks, diagnostics);
    }
    match script::read(path) {
        Ok(source) => Some(Arc::new(source)),
        Err(error) => {
            diagnostics.push(error);
            None
        }
    }
}

/// Reads a file that was found in a folder and not named. It has to be a regular one: a pipe would wait for a writer.
fn found_text(
    path: &Utf8Path,
    what: &str,
    locks: &mut Locks<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<Arc<Source>> {
    if path.metadata().is_ok_and(|metadata| !metadata.is_file()) {
        let error = Diagnostic::error(format!("the {what} {path} is no regular file"));
        diagnostics.push(error.help("take it out of the folder: all that lies there is read"));
        return None;
    }
    text(path, what, locks, diagnostics)
}

/// Reads a file of at most [`MAX_BYTES`], which may be a pipe.
fn read_bytes(path: &Utf8Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let limit = MAX_BYTES as u64 + 1;
    let file = match path.is_file() {
        true => bounded::open(path)?,
        false => File::open(path)?,
    };
    file.take(limit).read_to_end(&mut bytes)?;
    if bytes.len() > MAX_BYTES {
        let message = format!(
            "it is larger than the {} MiB that are read",
            MAX_BYTES >> 20
        );
        return Err(std::io::Error::new(ErrorKind::FileTooLarge, message));
    }
    Ok(bytes)
}

fn text(
    path: &Utf8Path,
    what: &str,
    locks: &mut Locks<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<Arc<Source>> {
    let error = match read_bytes(path) {
        Ok(bytes) if vault::kind(&bytes).is_some() => return locks.open(path, &bytes, diagnostics),
        Ok(bytes) => match String::from_utf8(bytes) {
            Ok(text) => {
                return Some(Arc::new(Source::new(path, text)));
            }
            Err(error) => {
                let upto = error.utf8_error().valid_up_to();
                let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
                let source = Arc::new(Source::new(path, text));
                diagnostics.push(
                    Diagnostic::error("the file is not UTF-8 text")
                        .help("save it as UTF-8")
                        .at(Span {
                            source,
                            range: upto..upto,
                        }),
                );
                return None;
            }
        },
        Err(error) => error,
    };
    let missing = error.kind() == ErrorKind::NotFound;
    diagnostics.push(if missing && what == "inventory" {
        no_inventory(path)
    } else if missing && path.as_str().is_empty() {
        Diagnostic::error(format!("a {what} has no name")).help("write its path behind the `@`")
    } else if missing {
        let error = Diagnostic::error(format!("there is no {what} {path}"));
        error.help(match similar(path) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "look at the path".into(),
        })
    } else {
        let help = match error.kind() {
            ErrorKind::FileTooLarge => "look at the path: is it the file that you mean?",
            _ => "look at the file's permissions",
        };
        Diagnostic::error(format!("failed to read the {what} {path}: {error}")).help(help)
    });
    None
}

/// Where the inventory is without `-i`.
const DEFAULT: &str = "inventory";

/// Names under which people keep an inventory elsewhere.
const USUAL: &[&str] = &[
    "hosts.yml",
    "hosts.yaml",
    "inventory.yml",
    "inventory.yaml",
    "hosts",
];

fn no_inventory(path: &Utf8Path) -> Diagnostic {
    let error = Diagnostic::error(format!("there is no inventory: `{path}` does not exist"));
    if let Some(near) = similar(path) {
        return error.help(format!("did you mean `-i {near}`?"));
    }
    if path != DEFAULT {
        return error.help("look at the path");
    }
    if let Some(other) = USUAL.iter().find(|name| Utf8Path::new(name).is_file()) {
        return error.help(format!("did you mean `-i {other}`?"));
    }
    error.help(format!(
        "go to the folder that holds `{DEFAULT}`, or name yours with `-i PATH`. A new one begins as the file {DEFAULT}/hosts.yml:\n{FIRST}"
    ))
}

/// The shortest inventory of a highly available cluster.
const FIRST: &str = "
    all:
      vars:
        kubernetes_version: \"1.36.3\"
        apiserver_vip: 192.0.2.10        # unused, in the hosts' network
    kube_control_plane:
      hosts:
        cp1: { ansible_host: 192.0.2.11 }
        cp2: { ansible_host: 192.0.2.12 }
        cp3: { ansible_host: 192.0.2.13 }
    kube_node:
      hosts:
        w1: { ansible_host: 192.0.2.21 }

Then `quorate validate` reads it and contacts nobody.";

/// Returns the path beside `path` whose name is nearly the same.
fn similar(path: &Utf8Path) -> Option<Utf8PathBuf> {
    let folder = path.parent().filter(|f| !f.as_str().is_empty());
    let listing = folder.unwrap_or(Utf8Path::new(".")).read_dir_utf8().ok()?;
    let mut names: Vec<String> = listing
        .flatten()
        .map(|entry| entry.file_name().to_owned())
        .collect();
    names.sort();
    let near = nearest(path.file_name()?, names.iter().map(String::as_str))?;
    Some(folder.map_or_else(|| near.into(), |folder| folder.join(near)))
}

/// Endings that Ansible skips in a folder of inventories (INVENTORY_IGNORE_EXTS and REJECT_EXTS).
const SKIPPED: &[&str] = &[
    ".pyc", ".pyo", ".swp", ".bak", "~", ".rpm", ".md", ".txt", ".rst", ".orig", ".cfg", ".retry",
];

/// Names in a folder of inventories that are no inventories: Ansible's own, and quorate's site.yml, with the
/// roles/, files/ and templates/ beside it. A known_hosts that lies there would be read as INI.
const NOT_INVENTORIES: &[&str] = &[
    "group_vars",
    "host_vars",
    "vars_plugins",
    "files",
    "templates",
    "roles",
    "site.yml",
    "site.yaml",
    "known_hosts",
];

fn folder(path: &Utf8Path, locks: &mut Locks<'_>, input: &mut Input) {
    for (name, path) in entries(path, &mut input.diagnostics) {
        if name.starts_with('.')
            || NOT_INVENTORIES.contains(&name.as_str())
            || SKIPPED.iter().any(|s| name.ends_with(s))
        {
            continue;
        }
        if path.is_dir() {
            folder(&path, locks, input);
        } else if script::is_script(&path) {
            let found = inventory(&path, locks, &mut input.diagnostics);
            input.inventories.extend(found);
        } else if is_vars_file(&path) || path.extension() == Some("ini") {
            let found = found_text(&path, "inventory", locks, &mut input.diagnostics);
            input.inventories.extend(found);
        }
    }
}

/// Returns whether the ending is one of YAML_FILENAME_EXTENSIONS, with age's own behind it or not, or there is none.
fn is_vars_file(path: &Utf8Path) -> bool {
    let inner = path.as_str().strip_suffix(".age").map(Utf8Path::new);
    match inner {
        Some(inner) => matches!(inner.extension(), Some("yml" | "yaml" | "json")),
        None => matches!(path.extension(), None | Some("yml" | "yaml" | "json")),
    }
}

/// What is added to the rank of an encrypted file's ending.
const AGE: usize = 4;

/// Reads NAME, NAME.yml, NAME.yaml or NAME.json, or all files of the folder NAME: the first that exists, as Ansible's
/// `find_vars_files` does. An encrypted NAME.yml.age is read behind it: such files are there for what the others must not hold.
fn vars(
    path: &Utf8Path,
    place: usize,
    owner: fn(String) -> Owner,
    locks: &mut Locks<'_>,
    input: &mut Input,
) {
    if !path.is_dir() {
        return;
    }
    let mut taken: Vec<(bool, String, Utf8PathBuf)> = Vec::new();
    let mut found: Vec<(usize, String, Utf8PathBuf)> = Vec::new();
    for (name, path) in entries(path, &mut input.diagnostics) {
        if name.starts_with('.') || name.ends_with('~') {
            continue;
        }
        let (owner, rank) = if path.is_dir() {
            (name.clone(), 0)
        } else {
            let (inner, behind) = match name.strip_suffix(".age") {
                Some(inner) if is_vars_file(&path) => (inner, AGE),
                _ => (name.as_str(), 0),
            };
            match inner.rsplit_once('.') {
                Some((stem, "yml")) => (stem.to_owned(), behind + 1),
                Some((stem, "yaml")) => (stem.to_owned(), behind + 2),
                Some((stem, "json")) => (stem.to_owned(), behind + 3),
                // A host's name may hold dots: host_vars/cp1.example.org is that host's file.
                _ => (name.clone(), 0),
            }
        };
        found.push((rank, owner, path));
    }
    found.sort();
    for (rank, name, path) in found {
        let age = rank > AGE;
        let same = |(a, n, _): &&(bool, String, Utf8PathBuf)| (*a, n) == (age, &name);
        if let Some((_, _, first)) = taken.iter().find(same) {
            input.diagnostics.push(
                Diagnostic::warning(format!("{path} is not read, because {first} is"))
                    .help("as in Ansible, one of them counts: move the file into the folder, or remove it"),
            );
            continue;
        }
        taken.push((age, name.clone(), path.clone()));
        let mut files = Vec::new();
        if path.is_dir() {
            nested(&path, &mut files, &mut input.diagnostics);
        } else {
            files.push(path);
        }
        for file in files {
            let source = found_text(&file, "file of variables", locks, &mut input.diagnostics);
            if let Some(source) = source {
                input.vars.push(VarsFile {
                    owner: owner(name.clone()),
                    place,
                    source,
                });
            }
        }
    }
}

fn nested(path: &Utf8Path, files: &mut Vec<Utf8PathBuf>, diagnostics: &mut Diagnostics) {
    for (name, path) in entries(path, diagnostics) {
        if name.starts_with('.') || name.ends_with('~') {
            continue;
        }
        if path.is_dir() {
            // As in Ansible: a folder with a dot in its name is none of variables.
            if path.extension().is_none() {
                nested(&path, files, diagnostics);
            }
        } else if is_vars_file(&path) {
            files.push(path);
        }
    }
}

/// Returns the entries of a folder in ASCII order.
fn entries(path: &Utf8Path, diagnostics: &mut Diagnostics) -> Vec<(String, Utf8PathBuf)> {
    let listing = match path.read_dir_utf8() {
        Ok(listing) => listing,
        Err(error) => {
            let error = Diagnostic::error(format!("failed to read the folder {path}: {error}"));
            diagnostics.push(error.help("look at the folder's permissions"));
            return Vec::new();
        }
    };
    let mut found = Vec::new();
    for entry in listing {
        match entry {
            Ok(entry) => found.push((entry.file_name().to_owned(), entry.path().to_owned())),
            Err(error) => diagnostics.push(Diagnostic::error(format!(
                "failed to read the folder {path}: {error}"
            ))),
        }
    }
    found.sort();
    found
}
