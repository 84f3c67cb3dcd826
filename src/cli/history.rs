//! `quorate history`: the journals beside an inventory, a line a run.

use std::io::{self, Write as _};

use camino::Utf8Path;
use color_eyre::eyre::{Result, WrapErr as _};

use super::run::wrong;
use crate::engine::journal;
use crate::event::{ExitCode, Record, RunSummary};
use crate::model::Diagnostic;
use crate::report::{self, Entry, Options, Output};

/// Prints the last runs, the newest last.
pub(super) fn history(
    inventory: &Utf8Path,
    last: Option<u32>,
    options: &Options,
) -> Result<ExitCode> {
    let home = journal::home(inventory);
    let mut journals =
        journal::list(&home).wrap_err_with(|| format!("cannot list the journals in {home}"))?;
    if journals.is_empty() && !inventory.exists() {
        let error = Diagnostic::error(format!("there is no inventory `{inventory}`"));
        let help = "name the file or folder with `-i`: journals lie in `.quorate` beside it";
        return Err(wrong(error.help(help)).into());
    }
    if let Some(last) = last {
        let over = journals.len().saturating_sub(last as usize);
        journals.drain(..over);
    }
    let entries: Vec<Entry> = journals.iter().map(|path| entry(path)).collect();
    let text = match options.output {
        Output::Json => report::history_lines(&entries),
        _ if entries.is_empty() => format!("no run has left a journal in {home}/journal yet\n"),
        _ => report::history(&entries),
    };
    match options.color.stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(ExitCode::Done),
    }
}

/// Returns a journal's entry; one that cannot be read is listed all the same, and says why.
fn entry(path: &Utf8Path) -> Entry {
    let (run, problems) = match journal::read(path) {
        Ok((records, warnings)) => {
            let records: Vec<Record> = records.iter().map(Record::to_printable).collect();
            (Some(RunSummary::of(&records)), warnings)
        }
        Err(error) => (None, vec![error.to_string()]),
    };
    // The path stands below each problem already.
    let bare = |problem: String| {
        let line = problem.strip_prefix(&format!("{path}:"));
        let line = line.map(|rest| format!("line {rest}"));
        let none = problem.strip_prefix(&format!("{path} is "));
        line.or_else(|| none.map(Into::into)).unwrap_or(problem)
    };
    Entry {
        journal: path.to_string(),
        run,
        problems: problems.into_iter().map(bare).collect(),
    }
}
