//! `quorate replay`: a journal through the same reporters, without the run.

use std::io::{self, Write as _};

use camino::Utf8Path;
use color_eyre::eyre::Result;

use crate::engine::journal;
use crate::event::{ExitCode, Recap};
use crate::report::{self, Options};

/// Prints the journal's recap and returns the exit code of its run.
pub(super) fn replay(path: &Utf8Path, mut options: Options) -> Result<ExitCode> {
    let (records, warnings) = journal::read(path)?;
    for warning in &warnings {
        // A warning nobody can read is no reason to stop.
        let _ = writeln!(options.color.stderr(), "warning: {warning}");
    }
    options.journal = Some(path.to_owned());
    let mut reporter = report::reporter(&options, false);
    let shown = records
        .iter()
        .try_for_each(|record| reporter.record(record))
        .and_then(|()| reporter.finish());
    match shown {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(error.into()),
        _ => {}
    }
    let recap = Recap::of(&records);
    // A run that did not get to its end is no success, however well it began.
    Ok(if recap.finished {
        recap.exit()
    } else {
        recap.exit().and(ExitCode::Failed)
    })
}
