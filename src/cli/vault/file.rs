//! Encrypted files on the disk: read, opened, and replaced as a whole.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, fchown};

use camino::{Utf8Path, Utf8PathBuf};
use color_eyre::eyre::{Result, WrapErr as _};
use tempfile::NamedTempFile;

use crate::model::{Diagnostic, Secret};
use crate::vault::{Keys, Kind, Opened, age, ansible, kind};

/// An encrypted file, and what it holds.
pub(super) struct Encrypted {
    pub(super) path: Utf8PathBuf,
    pub(super) kind: Kind,
    pub(super) is_armored: bool,
    /// How many private keys could open it, were all of them there.
    pub(super) recipients: usize,
    pub(super) opened: Opened,
}

pub(super) fn problem(message: String, help: &str) -> Diagnostic {
    Diagnostic::error(message).help(help)
}

pub(super) fn read(path: &Utf8Path) -> Result<Secret<Vec<u8>>, Diagnostic> {
    if path.is_dir() {
        let what = format!("{path} is a folder");
        return Err(problem(what, "name the files in it"));
    }
    fs::read(path).map(Secret::new).map_err(|error| {
        let what = format!("{path} cannot be read: {error}");
        problem(what, "look at the path and its permissions")
    })
}

impl Encrypted {
    /// Opens a file, or says why it stays closed.
    pub(super) fn open(path: &Utf8Path, keys: &Keys) -> Result<Self, Diagnostic> {
        let bytes = read(path)?;
        let bytes = bytes.expose();
        let Some(kind) = kind(bytes) else {
            let what = format!("{path} is not encrypted");
            return Err(problem(what, "`quorate vault encrypt` encrypts it"));
        };
        let opened = keys.open(bytes).map_err(|closed| {
            let what = closed.to_string();
            let what = what.strip_prefix("it ").unwrap_or(&what);
            problem(format!("{path} {what}"), &closed.help())
        })?;
        Ok(Self {
            path: path.to_owned(),
            kind,
            is_armored: age::is_armored(bytes),
            recipients: age::recipients(bytes),
            opened,
        })
    }

    /// Returns a content in ansible-vault's form, with the label that the file has.
    pub(super) fn seal_ansible(&self, content: &[u8], password: &Secret<Vec<u8>>) -> Vec<u8> {
        let label = self.opened.label.as_deref();
        ansible::seal(content, password.expose(), label).into_bytes()
    }
}

/// Returns a file beside the one that it is to replace: if there can be none, nothing can be written later.
pub(super) fn beside(path: &Utf8Path) -> Result<(NamedTempFile, Utf8PathBuf)> {
    // Behind a link the file itself is replaced.
    let path = path
        .canonicalize_utf8()
        .wrap_err_with(|| format!("cannot find {path}"))?;
    let folder = path.parent().unwrap_or(Utf8Path::new("/"));
    let temporary = tempfile::Builder::new()
        // A dot: whoever reads the inventory in this moment leaves it alone.
        .prefix(".quorate-vault-")
        .tempfile_in(folder)
        .wrap_err_with(|| format!("cannot write into {folder}"))?;
    Ok((temporary, path))
}

/// Replaces a file: with the whole of the new content or not at all, 0600, for the same owner.
pub(super) fn replace(path: &Utf8Path, bytes: &[u8]) -> Result<()> {
    let (temporary, path) = beside(path)?;
    finish(temporary, &path, bytes)
}

/// Writes the content into the file from [`beside`] and puts that in the other's place.
pub(super) fn finish(mut temporary: NamedTempFile, path: &Utf8Path, bytes: &[u8]) -> Result<()> {
    let mut write = || {
        // tempfile makes it 0600.
        temporary.write_all(bytes)?;
        let (old, new) = (fs::metadata(path)?, temporary.as_file().metadata()?);
        if (old.uid(), old.gid()) != (new.uid(), new.gid()) {
            fchown(temporary.as_file(), Some(old.uid()), Some(old.gid()))?;
        }
        temporary.as_file().sync_all()
    };
    write().wrap_err_with(|| format!("cannot write {path}"))?;
    temporary
        .persist(path)
        .wrap_err_with(|| format!("cannot write {path}"))?;
    Ok(())
}
