//! The journal: a run's events as JSON lines in `.quorate/journal/`, for the recap offline and for who did what when.

use std::collections::HashMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};

use camino::{Utf8Path, Utf8PathBuf};
use jiff::Timestamp;
use serde::Deserialize;

use crate::bounded;
use crate::event::{Event, Record, Reporter, VERSION, printable};
use crate::model::HostName;

/// How many journals may begin in one second with the same command.
const MOST_PER_SECOND: u32 = 1000;
/// A longer line is no record: a step's detail is cut far below this, and a difference is of a text that somebody reads.
const LONGEST_LINE: u64 = 64 << 20;
/// So many lines that cannot be read are named; how many more there are is said.
const MOST_WARNINGS: usize = 20;

/// A larger file is not read: the output of a thousand hosts, cut at [`OUTPUT_LIMIT`] each.
const LARGEST: u64 = 1 << 30;
/// Bytes of a host's output that a journal keeps, with what each line costs beside its text.
pub const OUTPUT_LIMIT: usize = 1 << 20;
/// What a line of output costs in a journal beside its text: 110 bytes with a host's name of three letters and a number of
/// two digits (tests/data/lab-exec.jsonl).
const LINE_COST: usize = 128;

/// What a journal still keeps of one host's output.
#[derive(Debug, Clone)]
pub struct Allowance {
    left: Option<usize>,
}

impl Default for Allowance {
    fn default() -> Self {
        Self {
            left: Some(OUTPUT_LIMIT),
        }
    }
}

impl Allowance {
    /// Returns whether a line is kept. The first that is not ends it: a record with holes would tell another story.
    pub fn keeps(&mut self, line: &str) -> bool {
        self.left = self
            .left
            .and_then(|left| left.checked_sub(line.len() + LINE_COST));
        self.left.is_some()
    }
}

/// A journal being written.
pub struct Journal {
    path: Utf8PathBuf,
    file: File,
    outputs: HashMap<HostName, Allowance>,
}

/// Returns the `.quorate` folder that belongs to an inventory: beside the file or folder that `-i` names.
///
/// A path without a name of its own, such as `.`, means the same folder as its name from elsewhere would.
pub fn home(inventory: &Utf8Path) -> Utf8PathBuf {
    let named = match inventory.file_name() {
        Some(_) => None,
        None => inventory.canonicalize_utf8().ok(),
    };
    named
        .as_deref()
        .unwrap_or(inventory)
        .parent()
        .unwrap_or(Utf8Path::new(""))
        .join(".quorate")
}

/// Makes the folder `.quorate` with what belongs into it, readable by nobody else and kept out of version control.
pub fn prepare(home: &Utf8Path) -> io::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(home.join("journal"))?;
    ignore(home)
}

impl Journal {
    /// Creates `<home>/journal/<UTC time>-<command>.jsonl`, with the folders it needs, readable by nobody else.
    /// `.quorate/` is kept out of version control.
    pub fn create(home: &Utf8Path, command: &str, at: Timestamp) -> io::Result<Self> {
        prepare(home)?;
        let folder = home.join("journal");
        let command: String = command
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
            .collect();
        let stem = format!("{}-{command}", at.strftime("%Y%m%dT%H%M%SZ"));
        for n in 1..=MOST_PER_SECOND {
            let name = if n == 1 {
                format!("{stem}.jsonl")
            } else {
                format!("{stem}-{n}.jsonl")
            };
            let path = folder.join(name);
            match OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&path)
            {
                Ok(file) => {
                    return Ok(Self {
                        path,
                        file,
                        outputs: HashMap::new(),
                    });
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    /// Returns where it lies.
    pub fn path(&self) -> &Utf8Path {
        &self.path
    }
}

fn ignore(home: &Utf8Path) -> io::Result<()> {
    match OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(home.join(".gitignore"))
    {
        Ok(mut file) => file.write_all(b"*\n"),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

impl Reporter for Journal {
    fn record(&mut self, record: &Record) -> io::Result<()> {
        if let Event::Output { host, line, .. } = &record.event
            && !self.outputs.entry(host.clone()).or_default().keeps(line)
        {
            return Ok(());
        }
        // One write a line, unbuffered: what is journalled survives the program.
        self.file.write_all(record.to_line()?.as_bytes())
    }

    fn finish(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }
}

/// Returns the journals below a `.quorate` folder, the oldest first; none where there is no such folder yet.
pub fn list(home: &Utf8Path) -> io::Result<Vec<Utf8PathBuf>> {
    let entries = match home.join("journal").read_dir_utf8() {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry?.into_path();
        if path.extension() == Some("jsonl") {
            found.push(path);
        }
    }
    found.sort_by_cached_key(|path| order(path.file_stem().unwrap_or_default()));
    Ok(found)
}

/// Returns what orders journals' names: their time, and their number among those of one second and command.
fn order(stem: &str) -> (String, u32, String) {
    let (time, command) = stem.split_once('-').unwrap_or((stem, ""));
    let number = command
        .rsplit_once('-')
        .and_then(|(_, number)| number.parse().ok());
    (time.into(), number.unwrap_or(1), command.into())
}

/// How many bytes of journals are read for what earlier runs said: thousands of plans of a small cluster, dozens of a large
/// one, and a fraction of a second.
const PAST_LIMIT: u64 = 32 << 20;

/// The journals of earlier runs that compared something, the newest first. Each is read when it is asked for, and none before;
/// those that cannot be read are passed over.
pub struct Past {
    home: Utf8PathBuf,
    own: Option<Utf8PathBuf>,
    /// The oldest first; `None` before the folder was looked at.
    left: Option<Vec<Utf8PathBuf>>,
    bytes: u64,
}

impl Past {
    /// Returns those below a `.quorate` folder, all but `own`, which is being written.
    pub fn new(home: &Utf8Path, own: Option<&Utf8Path>) -> Self {
        Self {
            home: home.to_owned(),
            own: own.map(Utf8Path::to_owned),
            left: None,
            bytes: PAST_LIMIT,
        }
    }
}

impl Iterator for Past {
    type Item = Vec<Record>;

    fn next(&mut self) -> Option<Vec<Record>> {
        let compares = |path: &Utf8PathBuf| {
            let name = path.file_name().unwrap_or_default();
            name.contains("-plan") || name.contains("-apply")
        };
        let left = self.left.get_or_insert_with(|| {
            let mut found = list(&self.home).unwrap_or_default();
            found.retain(|path| compares(path) && self.own.as_ref() != Some(path));
            found
        });
        loop {
            let path = left.pop()?;
            let size = std::fs::metadata(&path).map_or(0, |metadata| metadata.len());
            let Some(rest) = self.bytes.checked_sub(size) else {
                // A limit that smaller ones behind it could still keep would leave a gap.
                left.clear();
                return None;
            };
            self.bytes = rest;
            if let Ok((records, _)) = read(&path) {
                return Some(records);
            }
        }
    }
}

/// Why a journal cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file cannot be read.
    #[error("cannot read the journal {path}: {source}")]
    Read {
        /// The file.
        path: Utf8PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It was written by a newer quorate whose events this one would misread.
    #[error(
        "the journal {path} has version {version}; this quorate reads up to {VERSION}: use the quorate that wrote it, or a newer one"
    )]
    Newer {
        /// The file.
        path: Utf8PathBuf,
        /// Its version.
        version: u64,
    },
    /// It is no file, or too large for one.
    #[error("{path} is no journal: {what}")]
    NoFile {
        /// The path.
        path: Utf8PathBuf,
        /// What it is instead.
        what: String,
    },
    /// A run's output that ended before it began: mistakes of the input, or a shard without hosts.
    #[error("{path} holds no run: {said}")]
    NoRun {
        /// The file.
        path: Utf8PathBuf,
        /// The first thing that was said instead.
        said: String,
    },
    /// No line of it is a record.
    #[error("{path} is no journal: none of its lines is an event")]
    NotAJournal {
        /// The file.
        path: Utf8PathBuf,
    },
}

/// Returns a journal's records, and a warning for each thing in it that could not be read: a last line cut off by a
/// crash, events that only a newer quorate knows.
pub fn read(path: &Utf8Path) -> Result<(Vec<Record>, Vec<String>), JournalError> {
    let failed = |source| JournalError::Read {
        path: path.to_owned(),
        source,
    };
    // Asked before it is opened: a pipe would wait for a writer, and a device may have no end.
    let metadata = std::fs::metadata(path).map_err(failed)?;
    let what = if !metadata.is_file() {
        Some("it is no regular file".to_string())
    } else if metadata.len() > LARGEST {
        let size = metadata.len();
        Some(format!(
            "it has {size} bytes, and {LARGEST} are read at most"
        ))
    } else {
        None
    };
    if let Some(what) = what {
        return Err(JournalError::NoFile {
            path: path.to_owned(),
            what,
        });
    }
    let mut reader = BufReader::new(bounded::open(path).map_err(failed)?);
    let (mut records, mut warnings) = (Vec::new(), Vec::new());
    let mut number = 0usize;
    // A file that is none would give millions.
    let mut unnamed = 0usize;
    let mut said = None;
    let mut warn = |warning: String| {
        if warnings.len() < MOST_WARNINGS {
            warnings.push(warning);
        } else {
            unnamed += 1;
        }
    };
    let mut line = Vec::new();
    loop {
        line.clear();
        let n = io::Read::take(&mut reader, LONGEST_LINE)
            .read_until(b'\n', &mut line)
            .map_err(failed)?;
        if n == 0 {
            break;
        }
        number += 1;
        if n as u64 == LONGEST_LINE && !line.ends_with(b"\n") {
            reader.skip_until(b'\n').map_err(failed)?;
            warn(format!(
                "{path}:{number}: longer than {LONGEST_LINE} bytes; passed over"
            ));
            continue;
        }
        match parse(&line) {
            Ok(record) => records.push(record),
            Err(Problem::Newer(version)) => {
                return Err(JournalError::Newer {
                    path: path.to_owned(),
                    version,
                });
            }
            Err(Problem::Blank) => {}
            Err(Problem::Diagnostic(message)) if said.is_none() => said = Some(message),
            Err(Problem::Diagnostic(_)) => {}
            Err(Problem::Unreadable) if !line.ends_with(b"\n") => {
                warn(format!(
                    "{path}:{number}: the last line is cut off: the run was killed while writing it"
                ));
            }
            Err(Problem::Unreadable) => warn(format!("{path}:{number}: no event; passed over")),
            Err(Problem::Unknown(event)) => {
                warn(format!(
                    "{path}:{number}: this quorate does not know the event `{event}`; passed over"
                ));
            }
        }
    }
    if unnamed > 0 {
        warnings.push(format!(
            "{path}: {unnamed} more lines that are no events; passed over"
        ));
    }
    if records.is_empty() {
        let path = path.to_owned();
        return Err(match said {
            Some(said) => JournalError::NoRun { path, said },
            None => JournalError::NotAJournal { path },
        });
    }
    Ok((records, warnings))
}

enum Problem {
    Blank,
    Diagnostic(String),
    Unreadable,
    Newer(u64),
    Unknown(String),
}

/// What each record begins with.
#[derive(Deserialize)]
struct Head {
    v: u64,
    event: Option<String>,
    /// What --output json says before a run begins has these instead of an event.
    severity: Option<String>,
    message: Option<String>,
}

/// So much is shown of an event's name that nobody knows.
const LONGEST_NAME: usize = 80;

fn parse(line: &[u8]) -> Result<Record, Problem> {
    if line.iter().all(u8::is_ascii_whitespace) {
        return Err(Problem::Blank);
    }
    // What is no record may be large, and is not kept while it is looked at.
    let head: Head = serde_json::from_slice(line).map_err(|_| Problem::Unreadable)?;
    if head.v > u64::from(VERSION) {
        return Err(Problem::Newer(head.v));
    }
    if let (None, Some(_), Some(message)) = (&head.event, head.severity, head.message) {
        return Err(Problem::Diagnostic(printable(&message, false).to_string()));
    }
    let event = head.event.map(|event| {
        let event: String = event.chars().take(LONGEST_NAME).collect();
        printable(&event, false)
    });
    serde_json::from_slice(line).map_err(|error| match event {
        // serde's words where a name is none of the enum's; anything else is a known event that is not as it has to be.
        Some(event) if error.to_string().starts_with("unknown variant") => Problem::Unknown(event),
        _ => Problem::Unreadable,
    })
}
