//! `plan --out`: the plan as a file of digests, written when the plan is whole.

use std::fs::Permissions;
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};

use camino::{Utf8Path, Utf8PathBuf};

use crate::event::{Event, ExitCode, PlanFile, PlanOrigin, Recap, Record, Reporter, planned_steps};

/// Writes the plan of a run as a file, at its end; nothing where the run was refused, failed or was interrupted.
pub struct PlanWriter {
    path: Utf8PathBuf,
    origin: PlanOrigin,
    events: Vec<Event>,
    recap: Recap,
    head: Option<(String, jiff::Timestamp, String)>,
}

impl PlanWriter {
    /// Returns a reporter that writes to `path`.
    pub fn new(path: Utf8PathBuf, origin: PlanOrigin) -> Self {
        Self {
            path,
            origin,
            events: Vec::new(),
            recap: Recap::default(),
            head: None,
        }
    }
}

impl Reporter for PlanWriter {
    fn record(&mut self, record: &Record) -> io::Result<()> {
        self.recap.add(record);
        match &record.event {
            Event::RunStarted { run, version, .. } => {
                self.head = Some((run.clone(), record.at, version.clone()));
            }
            Event::Unchanged { .. } | Event::Planned { .. } => {
                self.events.push(record.event.clone())
            }
            _ => {}
        }
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        let whole = matches!(
            self.recap.exit(),
            ExitCode::Done | ExitCode::Changes | ExitCode::Unreachable
        );
        let Some((run, at, version)) = self.head.take().filter(|_| whole) else {
            return Ok(());
        };
        let file = PlanFile {
            run,
            at,
            version,
            origin: self.origin.clone(),
            hosts: planned_steps(&self.events),
        };
        write_atomically(&self.path, &file.to_text()?, 0o600)
    }
}

/// Writes a file so that a reader finds the old one or the new one whole, never a part. The temporary file lies beside it
/// and begins with a dot, so that whoever collects files by their ending passes it over.
pub(super) fn write_atomically(path: &Utf8Path, text: &str, mode: u32) -> io::Result<()> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let temporary = path.with_file_name(format!(".{name}.{}.new", std::process::id()));
    // Of a run with the same number that was killed in the middle.
    let _ = std::fs::remove_file(&temporary);
    let written = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&temporary)
        .and_then(|mut file| {
            // Whatever the umask says: others are to read metrics, and nobody else a plan.
            file.set_permissions(Permissions::from_mode(mode))?;
            file.write_all(text.as_bytes())?;
            file.sync_data()
        })
        .and_then(|()| std::fs::rename(&temporary, path));
    if written.is_err() {
        // What is left of it is of no use to anybody.
        let _ = std::fs::remove_file(&temporary);
    }
    written
}
