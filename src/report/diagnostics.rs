//! All mistakes of the user's input at once, each with its place, its line and its cure.

use std::fmt::Write as _;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use crate::event::{is_hostile, printable, tame_json};
use crate::model::{Diagnostic, Diagnostics, Severity};

use super::text::{RED, YELLOW, count, paint};

/// So many errors are shown, and so many warnings; how many there are is said. Nobody reads more, and each costs a look
/// through its file, which may be large.
const MOST: usize = 100;
/// So many findings are told to programs.
const MOST_TOLD: usize = 1000;
/// So many characters of a message are shown.
const LONGEST_MESSAGE: usize = 4000;
/// A longer line is shown without its text: no terminal shows it, and the renderer goes through it for each finding.
const LONGEST_LINE: usize = 16 << 10;

/// Returns the findings as a person reads them, errors last (nearest to the prompt), with their number at the end.
/// Empty where there is none.
pub fn render(diagnostics: &Diagnostics, color: bool) -> String {
    let renderer = if color {
        Renderer::styled()
    } else {
        Renderer::plain()
    };
    let mut out = String::new();
    for severity in [Severity::Warning, Severity::Error] {
        let all = diagnostics.iter().filter(|d| d.severity == severity);
        for diagnostic in all.take(MOST) {
            out.push_str(&one(diagnostic, &renderer));
            out.push_str("\n\n");
        }
    }
    let number = |severity| {
        diagnostics
            .iter()
            .filter(|d| d.severity == severity)
            .count() as u64
    };
    let (errors, warnings) = (number(Severity::Error), number(Severity::Warning));
    let mut parts = Vec::new();
    if errors > 0 {
        parts.push((RED, count(errors, "error")));
    }
    if warnings > 0 {
        parts.push((YELLOW, count(warnings, "warning")));
    }
    let parts: Vec<String> = parts
        .into_iter()
        .map(|(style, text)| if color { paint(style, text) } else { text })
        .collect();
    let more = errors.max(warnings) > MOST as u64;
    if !parts.is_empty() {
        let of_each = if more {
            format!("; the first {MOST} of each are shown")
        } else {
            String::new()
        };
        let _ = writeln!(out, "{}{of_each}", parts.join(", "));
    }
    out
}

fn one(diagnostic: &Diagnostic, renderer: &Renderer) -> String {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let message = shown(&diagnostic.message);
    let title = level.primary_title(message);
    let mut group = match &diagnostic.span {
        Some(span) => {
            let text = &span.source.text;
            let (start, end) = inside(text, span.range.start, span.range.end);
            let path = printable(span.source.path.as_str(), false);
            let (first, text, start, end) = around(text, start, end);
            let snippet = Snippet::source(tame(text))
                .line_start(first)
                .path(path)
                .annotation(AnnotationKind::Primary.span(start..end));
            title.element(snippet)
        }
        None => Group::with_title(title),
    };
    if let Some(help) = &diagnostic.help {
        group = group.element(Level::HELP.message(shown(help)));
    }
    renderer.render(&[group])
}

/// Returns a message as it is shown.
fn shown(text: &str) -> String {
    printable(&short(text), true)
}

/// Returns a message that a person can read: names and values in it are as long as their file has them.
fn short(text: &str) -> String {
    match text.char_indices().nth(LONGEST_MESSAGE) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Returns the range cut to the text, its character boundaries and its first line: a span over a whole block would
/// print the block.
fn inside(text: &str, start: usize, end: usize) -> (usize, usize) {
    let floor = |mut at: usize| {
        at = at.min(text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let start = floor(start);
    let end = floor(end).max(start);
    let line = text[start..].find('\n').map_or(text.len(), |n| start + n);
    (start, end.min(line))
}

/// Returns a line without what steers a terminal and the renderer leaves as it is; each character keeps its length, and so
/// the range its place.
fn tame(line: &str) -> String {
    let stand_in = |c: char| match c.len_utf8() {
        2 if is_hostile(c) => '·',
        3 if is_hostile(c) => char::REPLACEMENT_CHARACTER,
        4 if is_hostile(c) => '🛇',
        _ => c,
    };
    line.chars().map(stand_in).collect()
}

/// Returns the lines around a range with the number of the first of them, and the range in them: the renderer goes through
/// all that it gets.
fn around(text: &str, start: usize, end: usize) -> (usize, &str, usize, usize) {
    // The end of a text lies behind the end of its last line, and not on a line of its own.
    let within = text[..start]
        .strip_suffix('\n')
        .filter(|_| start == text.len());
    let from = within
        .unwrap_or(&text[..start])
        .rfind('\n')
        .map_or(0, |at| at + 1);
    let to = text[end..].find('\n').map_or(text.len(), |at| end + at);
    let first = text[..from].matches('\n').count() + 1;
    if to - from > LONGEST_LINE {
        return (first, "(a line that is too long to be shown)", 0, 0);
    }
    (first, &text[from..to], start - from, end - from)
}

/// Returns the findings as JSON lines: `severity`, `message`, and where known `file`, `line`, `column`, `help`.
pub fn json(diagnostics: &Diagnostics) -> String {
    let mut out = String::new();
    for diagnostic in diagnostics.iter().take(MOST_TOLD) {
        let place = diagnostic
            .span
            .as_ref()
            .map(|span| (span.source.path.as_str(), span.line_column()));
        let value = serde_json::json!({
            "v": crate::event::VERSION,
            "severity": match diagnostic.severity { Severity::Error => "error", Severity::Warning => "warning" },
            "message": short(&diagnostic.message),
            "file": place.map(|(file, _)| file),
            "line": place.map(|(_, (line, _))| line),
            "column": place.map(|(_, (_, column))| column),
            "help": diagnostic.help.as_deref().map(short),
        });
        let _ = writeln!(out, "{}", tame_json(&value.to_string()));
    }
    let left = diagnostics.iter().count().saturating_sub(MOST_TOLD);
    if left > 0 {
        let message = format!("{left} more findings");
        let value = serde_json::json!({"v": crate::event::VERSION, "severity": "error", "message": message,
            "file": null, "line": null, "column": null, "help": null});
        let _ = writeln!(out, "{value}");
    }
    out
}
