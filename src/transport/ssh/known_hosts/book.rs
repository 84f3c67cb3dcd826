//! known_hosts files as they are kept in memory: read once for all connections of a run, and found by name.

use std::collections::HashMap;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use camino::{Utf8Path, Utf8PathBuf};

use super::{Marker, names};
use crate::bounded;

/// A line that names hosts.
#[derive(Debug)]
pub(super) struct Line {
    /// Its number in the file, from 1.
    pub(super) number: usize,
    pub(super) marker: Marker,
    /// The key type as written.
    pub(super) algorithm: String,
    pub(super) blob: Vec<u8>,
    hosts: String,
}

/// What stands in a line of a file.
pub(super) enum Written {
    Key(Line),
    /// A comment, or nothing.
    Nothing,
    /// What ssh passes over.
    Other,
}

/// Returns what stands in a line (sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT").
pub(super) fn written(number: usize, line: &str) -> Written {
    let mut fields = line.split_ascii_whitespace().peekable();
    let marker = match fields.peek() {
        None => return Written::Nothing,
        Some(word) if word.starts_with('#') => return Written::Nothing,
        Some(&"@cert-authority") => Marker::Authority,
        Some(&"@revoked") => Marker::Revoked,
        // ssh skips lines with a marker that it does not know.
        Some(word) if word.starts_with('@') => return Written::Other,
        Some(_) => Marker::None,
    };
    if marker != Marker::None {
        fields.next();
    }
    let (Some(hosts), Some(algorithm), Some(key)) = (fields.next(), fields.next(), fields.next())
    else {
        return Written::Other;
    };
    let blob = STANDARD
        .decode(key)
        .or_else(|_| STANDARD_NO_PAD.decode(key));
    match blob {
        Ok(blob) => Written::Key(Line {
            number,
            marker,
            algorithm: algorithm.to_owned(),
            blob,
            hosts: hosts.to_owned(),
        }),
        Err(_) => Written::Other,
    }
}

/// Returns the number of the first line that no known_hosts file has: a key says of itself what it is (RFC 4253, section 6.6).
pub(super) fn other_line(text: &str) -> Option<usize> {
    let names_itself = |line: &Line| {
        let rest = line.blob.get(4..).unwrap_or_default();
        rest.starts_with(line.algorithm.as_bytes())
    };
    // Of SSH 1: bits, exponent and modulus.
    let is_of_old = |line: &str| {
        let is_number = |word: &&str| word.bytes().all(|b| b.is_ascii_digit());
        let numbers = line.split_ascii_whitespace().skip(1).take_while(is_number);
        numbers.count() >= 3
    };
    let is_other = |(index, line): &(usize, &str)| match written(index + 1, line) {
        Written::Nothing => false,
        Written::Key(line) if names_itself(&line) => false,
        Written::Key(_) | Written::Other => !is_of_old(line),
    };
    let other = text.lines().enumerate().find(is_other);
    other.map(|(index, _)| index + 1)
}

/// One file.
#[derive(Debug, Default)]
pub(super) struct KnownFile {
    lines: Vec<Line>,
    /// The lines by the names in them, where those are plain.
    named: HashMap<String, Vec<usize>>,
    /// The lines with patterns and hashed names, which have to be tried one by one.
    tried: Vec<usize>,
}

/// Bytes of the largest file that is read: some hundred thousand keys.
const LARGEST: u64 = 16 << 20;

impl KnownFile {
    /// Returns the lines of the file. Fails where it cannot be read, or is none to be read.
    pub(super) fn open(file: &Utf8Path) -> io::Result<Self> {
        let bytes = bounded::read(file, LARGEST)?;
        Ok(Self::read(&String::from_utf8_lossy(&bytes)))
    }

    /// Returns the lines of a file that can be read; what is none is passed over.
    pub(super) fn read(text: &str) -> Self {
        let mut book = Self::default();
        for (index, line) in text.lines().enumerate() {
            if let Written::Key(line) = written(index + 1, line) {
                book.add(line);
            }
        }
        book
    }

    fn add(&mut self, line: Line) {
        let place = self.lines.len();
        if line.hosts.contains(['*', '?', '!', '|']) {
            self.tried.push(place);
        } else {
            for name in line.hosts.split(',') {
                let places = self.named.entry(name.to_ascii_lowercase());
                places.or_default().push(place);
            }
        }
        self.lines.push(line);
    }

    /// Returns the lines that name the host as `name`, in the file's order.
    pub(super) fn lines_of(&self, name: &str) -> Vec<&Line> {
        let named = self.named.get(name).into_iter().flatten();
        let tried = self.tried.iter();
        let tried = tried.filter(|place| {
            self.lines
                .get(**place)
                .is_some_and(|l| names(&l.hosts, name))
        });
        let mut places: Vec<usize> = named.chain(tried).copied().collect();
        places.sort_unstable();
        places.dedup();
        places
            .into_iter()
            .filter_map(|place| self.lines.get(place))
            .collect()
    }
}

/// What shows that a file is still as it was read: inode, length, and when it was last written.
type Stamp = (u64, u64, i64, i64);

/// The files of a run. One that was changed since is read again.
#[derive(Debug, Default)]
pub(in crate::transport::ssh) struct Shelf(Mutex<HashMap<Utf8PathBuf, (Stamp, Arc<KnownFile>)>>);

impl Shelf {
    /// Returns a file's lines.
    pub(super) fn open(&self, file: &Utf8Path) -> io::Result<Arc<KnownFile>> {
        let stamp =
            |found: &Metadata| (found.ino(), found.len(), found.mtime(), found.mtime_nsec());
        let now = stamp(&std::fs::metadata(file)?);
        // Held while the file is read: who comes at the same time waits for it, and does not read it too.
        let mut books = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((then, book)) = books.get(file)
            && *then == now
        {
            return Ok(book.clone());
        }
        let book = Arc::new(KnownFile::open(file)?);
        books.insert(file.to_owned(), (now, book.clone()));
        Ok(book)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(book: &KnownFile, name: &str) -> Vec<usize> {
        book.lines_of(name).iter().map(|line| line.number).collect()
    }

    #[test]
    fn a_name_is_found_as_by_trying_each_line() {
        let text = "Host,other a AAAA\n*,!host a AAAA\n@revoked h?st a AAAA\nhost a AAAA\nhost,host a AAAA\n[host]:22 a AAAA\n";
        let book = KnownFile::read(text);
        assert_eq!(numbers(&book, "host"), [1, 3, 4, 5]);
        assert_eq!(numbers(&book, "other"), [1, 2]);
        assert_eq!(numbers(&book, "[host]:22"), [2, 6]);
        for line in &book.lines {
            for name in ["host", "other", "[host]:22", "x"] {
                let found = numbers(&book, name).contains(&line.number);
                assert_eq!(found, names(&line.hosts, name), "{line:?} {name}");
            }
        }
    }

    #[test]
    fn a_file_is_read_again_when_it_has_changed() {
        let folder = tempfile::tempdir().unwrap();
        let file = Utf8PathBuf::try_from(folder.path().join("known_hosts")).unwrap();
        let shelf = Shelf::default();
        assert_eq!(
            shelf.open(&file).unwrap_err().kind(),
            io::ErrorKind::NotFound
        );
        std::fs::write(&file, "host a AAAA\n").unwrap();
        let first = shelf.open(&file).unwrap();
        assert!(Arc::ptr_eq(&first, &shelf.open(&file).unwrap()));
        std::fs::write(&file, "host a AAAA\nhost b AAAA\n").unwrap();
        assert_eq!(numbers(&shelf.open(&file).unwrap(), "host"), [1, 2]);
    }
}
