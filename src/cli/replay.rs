//! `quorate replay` and `quorate report`: a journal through the same reporters, or as a page, without the run.

use std::io::{self, Write as _};

use camino::{Utf8Path, Utf8PathBuf};
use color_eyre::eyre::{Result, WrapErr as _};

use super::run::wrong;
use crate::engine::journal::{self, JournalError};
use crate::event::{self, Event, ExitCode, Recap, Record};
use crate::model::Diagnostic;
use crate::report::{self, Options};

/// Prints the journal's recap and returns the exit code of its run.
pub(super) fn replay(path: &Utf8Path, mut options: Options) -> Result<ExitCode> {
    let records = read(path, &options)?;
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

/// Tells the journals, as one run, as one page of HTML, as text, or both.
pub(super) fn report(
    paths: &[Utf8PathBuf],
    html: Option<&Utf8Path>,
    text: bool,
    options: &Options,
) -> Result<ExitCode> {
    let named = |path: &Utf8PathBuf| path.file_name().unwrap_or(path.as_str()).to_owned();
    let mut runs = Vec::new();
    for path in paths {
        match read(path, options) {
            Ok(records) => runs.push((named(path), records)),
            // A shard without hosts; alone it is what was asked for.
            Err(error) if paths.len() > 1 && is_no_run(&error) => {
                let _ = writeln!(options.color.stderr(), "warning: {error}; left out");
            }
            Err(error) => return Err(error),
        }
    }
    if runs.is_empty() {
        let help = "name the journal of a run, or what it printed with --output json";
        return Err(wrong(Diagnostic::error("none of them holds a run").help(help)).into());
    }
    let name = match paths {
        [path] => named(path),
        paths => format!(
            "{} and {} more",
            paths.first().map(named).unwrap_or_default(),
            paths.len() - 1
        ),
    };
    let records = event::merge(runs).map_err(|found| {
        let help = "name the journals of one command, as the shards of one run leave them";
        wrong(Diagnostic::error(found.to_string()).help(help))
    })?;
    match html {
        Some(html) if html == "-" => print(&report::page(&records, &name))?,
        Some(html) => std::fs::write(html, report::page(&records, &name))
            .wrap_err_with(|| format!("cannot write {html}"))?,
        None => {}
    }
    if text {
        print(&report::letter(&records, &name))?;
    }
    Ok(ExitCode::Done)
}

/// Prints to somebody who may have seen enough of it.
fn print(text: &str) -> Result<()> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

fn is_no_run(error: &color_eyre::Report) -> bool {
    matches!(error.downcast_ref(), Some(JournalError::NoRun { .. }))
}

fn read(path: &Utf8Path, options: &Options) -> Result<Vec<Record>> {
    let (records, warnings) = journal::read(path)?;
    for warning in &warnings {
        // A warning nobody can read is no reason to stop.
        let _ = writeln!(options.color.stderr(), "warning: {warning}");
    }
    Ok(records)
}
