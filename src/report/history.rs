//! Runs as `history` lists them, out of their journals.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::event::{ExitCode, RunSummary, VERSION, printable};

use super::text::{DIM, GREEN, RED, YELLOW, names, paint, seconds};

/// How many hosts a line names.
const NAMED: usize = 6;

/// One journal.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Entry {
    /// Where it lies.
    pub journal: String,
    /// The run; `None` where nothing of it can be read.
    pub run: Option<RunSummary>,
    /// What is wrong with the journal: cut off, no journal at all, of a newer version.
    pub problems: Vec<String>,
}

/// Returns a line a run, styled: when, command, who, result, how long, what changed; below it what is wrong with its journal.
pub fn history(entries: &[Entry]) -> String {
    let rows: Vec<[String; 5]> = entries.iter().map(cells).collect();
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.max().unwrap_or(0)
    };
    let widths: [usize; 5] = std::array::from_fn(width);
    let mut out = String::new();
    for (entry, row) in entries.iter().zip(&rows) {
        let cell = |column: usize| format!("{:<width$}", row[column], width = widths[column]);
        let line = format!(
            "{}  {}  {}  {}  {:>width$}  {}",
            cell(0),
            cell(1),
            cell(2),
            paint(style(entry), cell(3)),
            row[4],
            changes(entry),
            width = widths[4]
        );
        let _ = writeln!(out, "{}", line.trim_end());
        if let Some(reason) = entry.run.as_ref().and_then(|run| run.reason.as_ref()) {
            let first = printable(reason.lines().next().unwrap_or_default(), false);
            let _ = writeln!(out, "    {first}");
        }
        for problem in &entry.problems {
            let _ = writeln!(
                out,
                "    {}",
                paint(
                    YELLOW,
                    format_args!("journal: {}", printable(problem, false))
                )
            );
        }
        let _ = writeln!(out, "    {}", paint(DIM, printable(&entry.journal, false)));
    }
    out
}

fn cells(entry: &Entry) -> [String; 5] {
    let Some(run) = &entry.run else {
        let dash = || "-".to_string();
        return [dash(), dash(), dash(), "not readable".into(), dash()];
    };
    let at = run
        .at
        .map(|at| at.strftime("%Y-%m-%d %H:%M:%SZ").to_string());
    let text = |text: &str| match text {
        "" => "-".to_string(),
        text => printable(text, false),
    };
    // The process number is for whoever finds a host locked.
    let user = run.user.split(" (process").next().unwrap_or_default();
    [
        at.unwrap_or_else(|| "-".into()),
        text(&run.command),
        text(user),
        result(run),
        seconds(run.seconds),
    ]
}

fn result(run: &RunSummary) -> String {
    let Some(exit) = run.exit else {
        return "did not end".into();
    };
    let word = match ExitCode::from_code(exit) {
        Some(ExitCode::Done) => "done",
        Some(ExitCode::Changes) => "differences",
        Some(ExitCode::Unreachable) => "unreachable",
        Some(ExitCode::Refused) => "refused",
        Some(ExitCode::Interrupted) => "interrupted",
        Some(ExitCode::Input) => "wrong input",
        Some(ExitCode::Failed) | None => "failed",
    };
    format!("{word} ({exit})")
}

fn style(entry: &Entry) -> anstyle::Style {
    let exit = entry.run.as_ref().and_then(|run| run.exit);
    match exit.and_then(ExitCode::from_code) {
        Some(ExitCode::Done) => GREEN,
        Some(ExitCode::Changes) => YELLOW,
        _ => RED,
    }
}

fn changes(entry: &Entry) -> String {
    let Some(run) = &entry.run else {
        return String::new();
    };
    let mut parts = Vec::new();
    if !run.changed.is_empty() {
        let word = if run.is_read_only() {
            "would change"
        } else {
            "changed"
        };
        let mut each: Vec<String> = run
            .changed
            .iter()
            .take(NAMED)
            .map(|(host, n)| format!("{host} {n}"))
            .collect();
        if run.changed.len() > NAMED {
            each.push(format!("{} more", run.changed.len() - NAMED));
        }
        parts.push(format!("{word} {}", each.join(", ")));
    }
    if !run.failed.is_empty() {
        parts.push(paint(
            RED,
            format_args!("failed {}", names(&run.failed, NAMED)),
        ));
    }
    if !run.unreachable.is_empty() {
        parts.push(paint(
            RED,
            format_args!("unreachable {}", names(&run.unreachable, NAMED)),
        ));
    }
    parts.join("; ")
}

/// Returns a line of JSON a run.
pub fn history_lines(entries: &[Entry]) -> String {
    let mut out = String::new();
    for entry in entries {
        let run = entry.run.as_ref();
        let mut line =
            json!({ "v": VERSION, "journal": entry.journal, "problems": entry.problems });
        if let (Value::Object(line), Ok(Value::Object(run))) =
            (&mut line, serde_json::to_value(run))
        {
            line.extend(run);
        }
        let _ = writeln!(out, "{line}");
    }
    out
}
