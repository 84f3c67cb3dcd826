//! `quorate replay`: a journal through the same reporters, without the run.

use std::io::{self, Write as _};

use camino::Utf8Path;
use color_eyre::eyre::Result;

use crate::engine::journal;
use crate::event::{Event, ExitCode, Recap};
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
    // What the run itself said counts too: of a record that cannot be read, such as the first, the fold knows nothing.
    let said = records.iter().rev().find_map(|record| match record.event {
        Event::RunFinished { exit, .. } => ExitCode::from_code(exit),
        _ => None,
    });
    // A run that did not get to its end is no success, however well it began.
    Ok(recap.exit().and(said.unwrap_or(ExitCode::Failed)))
}
