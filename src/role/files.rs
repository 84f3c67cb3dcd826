//! Files of the controller: roles' folders, and what binaries and images are made of. The only place here that does IO.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt as _;
use std::sync::{Mutex, PoisonError};

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use super::archive;
use crate::bounded;
use crate::host::Content;
use crate::model::Sha256;

/// A file of the controller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControllerFile {
    /// Where it lies.
    pub path: Utf8PathBuf,
    /// Its length in bytes.
    pub length: u64,
    /// Its digest.
    pub sha256: Sha256,
}

impl ControllerFile {
    /// Returns it as a content that is sent from the file.
    pub fn content(self) -> Content {
        Content::File {
            path: self.path,
            length: self.length,
            sha256: self.sha256,
        }
    }
}

/// An archive of container images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageArchive {
    /// The file.
    pub file: ControllerFile,
    /// The names of the images in it, in full: `registry.k8s.io/pause:3.10`.
    pub names: Vec<String>,
}

/// Why a file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// Nothing lies there.
    #[error("there is no such file or folder")]
    Missing,
    /// It is not asked, since what is wrong with it was told already.
    #[error("it is known to be wrong")]
    Told,
    /// It is there and cannot be read.
    #[error("it cannot be read: {0}")]
    Unreadable(String),
    /// It is read, and is not what it should be.
    #[error("{path} is no archive of container images: {reason}")]
    NoArchive {
        /// The file.
        path: Utf8PathBuf,
        /// What is wrong.
        reason: String,
    },
}

impl From<io::Error> for FileError {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::NotFound {
            Self::Missing
        } else {
            Self::Unreadable(error.to_string())
        }
    }
}

/// What roles ask of the controller's disk.
pub trait ControllerFiles: Send + Sync {
    /// Returns a file with its length and digest.
    fn file(&self, path: &Utf8Path) -> Result<ControllerFile, FileError>;

    /// Returns the archives `*.tar`, `*.tar.gz` and `*.tar.zst` in a folder, by name, with the images in each.
    fn images(&self, folder: &Utf8Path) -> Result<Vec<ImageArchive>, FileError>;
}

/// The controller's disk, with a memory of digests, so that a run which changes nothing does not read 700 MB again.
#[derive(Debug, Default)]
pub struct Disk {
    /// Relative paths are taken from here: the inventory's folder.
    base: Utf8PathBuf,
    /// Where digests are remembered between runs.
    cache: Option<Utf8PathBuf>,
    /// A folder about which enough was said, and whether it is gone.
    told: Option<(Utf8PathBuf, bool)>,
    known: Mutex<Memory>,
}

/// Paths with what was found there.
#[derive(Debug, Default)]
struct Memory {
    entries: BTreeMap<String, Entry>,
    changed: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Entry {
    size: u64,
    mtime: i64,
    mtime_nsec: i64,
    inode: u64,
    device: u64,
    ctime: i64,
    sha256: Sha256,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    names: Option<Vec<String>>,
}

impl Entry {
    fn fits(&self, meta: &fs::Metadata) -> bool {
        (
            self.size,
            self.mtime,
            self.mtime_nsec,
            self.inode,
            self.device,
            self.ctime,
        ) == (
            meta.len(),
            meta.mtime(),
            meta.mtime_nsec(),
            meta.ino(),
            meta.dev(),
            meta.ctime(),
        )
    }
}

/// Entries that are remembered at most: some twenty files for each of a hundred versions.
const REMEMBERED: usize = 2000;

impl Disk {
    /// Returns the disk, relative paths taken from `base`; digests are remembered in quorate's cache folder
    /// (`$XDG_CACHE_HOME/quorate/files.json`).
    pub fn new(base: impl Into<Utf8PathBuf>) -> Self {
        let folder = |name: &str| {
            std::env::var(name)
                .ok()
                .filter(|v| v.starts_with('/'))
                .map(Utf8PathBuf::from)
        };
        let cache = folder("XDG_CACHE_HOME").or_else(|| folder("HOME").map(|h| h.join(".cache")));
        Self::with_cache(base, cache.map(|c| c.join("quorate/files.json")))
    }

    /// Returns the disk with this file as its memory, or none.
    pub fn with_cache(base: impl Into<Utf8PathBuf>, cache: Option<Utf8PathBuf>) -> Self {
        // A memory that cannot be read is no memory.
        let entries = cache
            .as_ref()
            .and_then(|c| serde_json::from_slice(&fs::read(c).ok()?).ok())
            .unwrap_or_default();
        Self {
            base: base.into(),
            cache,
            told: None,
            known: Mutex::new(Memory {
                entries,
                changed: false,
            }),
        }
    }

    /// Returns the disk for checks alone, with a folder about which enough was said: its images are [`FileError::Told`], and
    /// where it is `gone` altogether, every file in it is there and empty.
    pub fn without(mut self, folder: Option<Utf8PathBuf>, gone: bool) -> Self {
        self.told = folder.map(|folder| (folder, gone));
        self
    }

    /// Returns whether the path lies in such a folder, and whether that is gone.
    fn was_told(&self, path: &Utf8Path) -> Option<bool> {
        let (folder, gone) = self.told.as_ref()?;
        path.starts_with(folder).then_some(*gone)
    }

    /// Returns what is known of a file, `path` as the system takes it.
    fn look(&self, path: &Utf8Path, names: bool) -> Result<Entry, FileError> {
        let meta = fs::metadata(path)?;
        if !meta.is_file() {
            return Err(FileError::Unreadable("it is no regular file".into()));
        }
        let remembered = self
            .known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entries
            .get(path.as_str())
            .cloned();
        let mut entry = match remembered.filter(|e| e.fits(&meta)) {
            Some(entry) if entry.names.is_some() || !names => return Ok(entry),
            Some(entry) => entry,
            None => Entry {
                size: meta.len(),
                mtime: meta.mtime(),
                mtime_nsec: meta.mtime_nsec(),
                inode: meta.ino(),
                device: meta.dev(),
                ctime: meta.ctime(),
                sha256: Sha256::of_reader(bounded::open(path)?)?,
                names: None,
            },
        };
        if names {
            let open = || bounded::open(path).map(io::BufReader::new);
            let found = archive::names(path, &|| open().map(|f| Box::new(f) as Box<dyn Read>));
            entry.names = Some(found.map_err(|reason| FileError::NoArchive {
                path: path.to_owned(),
                reason,
            })?);
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.entries.insert(path.to_string(), entry.clone());
        known.changed = true;
        Ok(entry)
    }

    /// Writes down what was learned. A memory that cannot be written costs time and nothing else.
    pub fn remember(&self) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(cache) = self.cache.as_ref().filter(|_| known.changed) else {
            return;
        };
        known.changed = false;
        if known.entries.len() > REMEMBERED {
            known
                .entries
                .retain(|path, entry| fs::metadata(path).is_ok_and(|meta| entry.fits(&meta)));
        }
        let write = || -> io::Result<()> {
            let folder = cache.parent().unwrap_or(Utf8Path::new("."));
            fs::create_dir_all(folder)?;
            let mut file = tempfile::NamedTempFile::new_in(folder)?;
            serde_json::to_writer(&mut file, &known.entries)?;
            file.persist(cache)?;
            Ok(())
        };
        let _ = write();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.remember();
    }
}

impl ControllerFiles for Disk {
    fn file(&self, path: &Utf8Path) -> Result<ControllerFile, FileError> {
        if self.was_told(path) == Some(true) {
            return Ok(ControllerFile {
                path: self.base.join(path),
                length: 0,
                sha256: Sha256::of(""),
            });
        }
        let path = self.base.join(path);
        let entry = self.look(&path, false)?;
        Ok(ControllerFile {
            path,
            length: entry.size,
            sha256: entry.sha256,
        })
    }

    fn images(&self, folder: &Utf8Path) -> Result<Vec<ImageArchive>, FileError> {
        let told = self.was_told(folder);
        if told == Some(true) {
            return Err(FileError::Told);
        }
        let listed = list(&self.base.join(folder))?;
        if told.is_some() {
            return Err(FileError::Told);
        }
        let mut archives = Vec::new();
        for path in listed {
            if !archive::ENDINGS.iter().any(|e| path.as_str().ends_with(e)) {
                continue;
            }
            let entry = self.look(&path, true)?;
            let names = entry.names.unwrap_or_default();
            archives.push(ImageArchive {
                file: ControllerFile {
                    path,
                    length: entry.size,
                    sha256: entry.sha256,
                },
                names,
            });
        }
        Ok(archives)
    }
}

/// Returns what lies in a folder, sorted by name; names that are no UTF-8 are left out.
fn list(folder: &Utf8Path) -> io::Result<Vec<Utf8PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder)? {
        paths.extend(Utf8PathBuf::from_path_buf(entry?.path()).ok());
    }
    paths.sort();
    Ok(paths)
}

/// A role's folder as it was read.
#[derive(Debug)]
pub(super) struct Folder {
    /// The role's name.
    pub(super) name: String,
    /// Where it lies.
    pub(super) place: Utf8PathBuf,
    /// Its files by their path in the folder.
    pub(super) files: BTreeMap<String, Bytes>,
}

/// A file's bytes, or its absolute path where it is too large to hold.
#[derive(Debug)]
pub(super) enum Bytes {
    Held(Vec<u8>),
    Left(Utf8PathBuf),
}

/// Files of a role up to this size are held in memory and compared as text; larger ones are sent from the disk.
const HELD: u64 = 1 << 20;

/// Folders inside one another that are read at most.
const DEPTH: usize = 16;

/// Returns the roles beside the inventory: the folders in `roles/`. None where there is no such folder.
pub(super) fn folders(roles: &Utf8Path) -> Result<Vec<Folder>, (Utf8PathBuf, String)> {
    let fail = |path: &Utf8Path, error: io::Error| (path.to_path_buf(), error.to_string());
    let listed = match list(roles) {
        Ok(listed) => listed,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(fail(roles, error)),
    };
    let mut folders = Vec::new();
    for place in listed.into_iter().filter(|p| p.is_dir()) {
        let Some(name) = place
            .file_name()
            .filter(|n| !n.starts_with('.'))
            .map(str::to_string)
        else {
            continue;
        };
        let mut files = BTreeMap::new();
        walk(&place, &place, &mut files, 0).map_err(|e| fail(&place, e))?;
        folders.push(Folder { name, place, files });
    }
    Ok(folders)
}

/// Returns the files in some folders of a place by their paths there; none of a folder that is not there.
pub(super) fn parts(
    place: &Utf8Path,
    names: &[&str],
) -> Result<BTreeMap<String, Bytes>, (Utf8PathBuf, String)> {
    let mut files = BTreeMap::new();
    for folder in names.iter().map(|name| place.join(name)) {
        if folder.is_dir() {
            walk(place, &folder, &mut files, 1).map_err(|e| (folder, e.to_string()))?;
        }
    }
    Ok(files)
}

/// Returns a file of plays as text, or why not.
pub(super) fn text(path: &Utf8Path) -> Result<String, String> {
    let meta = fs::metadata(path).map_err(|error| error.to_string())?;
    if meta.len() > HELD {
        return Err(format!("it is larger than {HELD} bytes"));
    }
    let mut text = String::new();
    let read = bounded::open(path).and_then(|file| file.take(HELD).read_to_string(&mut text));
    read.map_err(|error| error.to_string())?;
    Ok(text)
}

fn walk(
    root: &Utf8Path,
    folder: &Utf8Path,
    files: &mut BTreeMap<String, Bytes>,
    depth: usize,
) -> io::Result<()> {
    if depth > DEPTH {
        return Err(io::Error::other(
            "its folders stand too deep in one another",
        ));
    }
    for path in list(folder)? {
        if path
            .file_name()
            .is_some_and(|n| n.starts_with('.') && depth == 0)
        {
            continue;
        }
        let meta = fs::metadata(&path)?;
        if meta.is_dir() {
            walk(root, &path, files, depth + 1)?;
        } else if meta.is_file() {
            let name = path.strip_prefix(root).unwrap_or(&path).to_string();
            let bytes = if meta.len() > HELD {
                // It is found from here, and looked for later from the inventory's folder.
                Bytes::Left(camino::absolute_utf8(&path)?)
            } else {
                Bytes::Held(bounded::read(&path, HELD)?)
            };
            files.insert(name, bytes);
        } else {
            return Err(io::Error::other(format!("{path} is no regular file")));
        }
    }
    Ok(())
}
