//! What a syntax error of the parser means to whoever wrote the file.

use std::sync::Arc;

use serde_saphyr::granit_parser::{ErrorKind, Options, ScanError};

use crate::model::{Diagnostic, Diagnostics, Source, Span};

/// Returns the parser's options: no comments, since nobody reads them, and its own nesting limits.
pub(super) fn options() -> Options {
    let mut options = Options::default();
    options.set_emit_comments(false);
    options
}

/// Returns the findings behind a syntax error. One error ends a file's reading, so that for tabs, where one is seldom
/// alone, every line is named.
pub(super) fn explain(source: &Arc<Source>, error: &ScanError) -> Diagnostics {
    let mark = error.marker();
    let offset = mark
        .byte_offset()
        .unwrap_or_else(|| offset(&source.text, mark.line(), mark.col()));
    let at = Span {
        source: source.clone(),
        range: offset..offset,
    };
    let tabs = tabs(source);
    if matches!(
        error.kind(),
        ErrorKind::TabNotAllowed | ErrorKind::TabInBlockIndentation
    ) && !tabs.is_empty()
    {
        return Diagnostics(
            tabs.into_iter()
                .map(|span| {
                    Diagnostic::error("a tab stands in the indentation")
                        .at(span)
                        .help("indent with spaces")
                })
                .collect(),
        );
    }
    let mut diagnostic = Diagnostic::error(format!("not YAML: {}", error.info())).at(at);
    if let Some(help) = help(
        &source.text,
        offset,
        error.kind(),
        error.info().contains("quoted scalar"),
    ) {
        diagnostic = diagnostic.help(help);
    } else if let Some(tab) = tabs.first() {
        diagnostic = diagnostic.help(format!(
            "line {} is indented with a tab: indent with spaces",
            tab.line_column().0
        ));
    }
    Diagnostics(vec![diagnostic])
}

/// Returns the tabs in the indentation of lines.
fn tabs(source: &Arc<Source>) -> Vec<Span> {
    let mut start = 0;
    let mut tabs = Vec::new();
    for line in source.text.split_inclusive('\n') {
        let indentation = line.len() - line.trim_start_matches([' ', '\t']).len();
        if let Some(tab) = line[..indentation].find('\t')
            && !line.trim().is_empty()
        {
            tabs.push(Span {
                source: source.clone(),
                range: start + tab..start + tab + 1,
            });
        }
        start += line.len();
    }
    tabs
}

fn help(text: &str, offset: usize, kind: &ErrorKind, in_quotes: bool) -> Option<&'static str> {
    let mut at = offset.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    let line_start = text[..at].rfind('\n').map_or(0, |i| i + 1);
    let line = text[line_start..].lines().next().unwrap_or_default();
    let value = line.split_once(": ").map_or("", |(_, v)| v.trim_start());
    if value.starts_with("{{") || value.starts_with("{%") {
        return Some("a value that begins with `{{` needs quotes around the whole of it");
    }
    if value.starts_with(['@', '`', '%']) {
        return Some("a value that begins with this character needs quotes");
    }
    if value.starts_with('*') || value.starts_with('&') {
        return Some(
            "`*` and `&` begin an alias and an anchor: put quotes around text that begins with one",
        );
    }
    if value.contains(": ") {
        return Some("text with a colon and a space in it needs quotes");
    }
    match kind {
        _ if in_quotes => Some("look above for a quote that is opened and not closed"),
        ErrorKind::InvalidIndentation
        | ErrorKind::ExpectedBlockMappingKey
        | ErrorKind::SimpleKeyExpected => Some(
            "look at the indentation of this line and the one above, and for a missing colon or quote",
        ),
        _ => None,
    }
}

/// Returns the byte offset of a line (from 1) and a column (from 0, in characters).
fn offset(text: &str, line: usize, column: usize) -> usize {
    let start: usize = text
        .split_inclusive('\n')
        .take(line.saturating_sub(1))
        .map(str::len)
        .sum();
    let rest = text.get(start..).unwrap_or_default();
    start
        + rest
            .char_indices()
            .nth(column)
            .map_or(rest.len(), |(i, _)| i)
}
