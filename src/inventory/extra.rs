//! Variables from the command line: `-e K=V`, `-e '{json}'`, and files given as `-e @FILE`.

use std::sync::Arc;

use super::input::COMMAND_LINE;
use super::variable::{Level, Variable, Variables, layer};
use super::yaml::{self, Kind, Node, Scalar, Schema, Vaulted};
use crate::model::{Diagnostic, Diagnostics, Source, Span, Value};

/// Returns what all values of `-e` set; the last one wins.
pub(super) fn read(
    sources: &[Arc<Source>],
    vaulted: Vaulted<'_>,
    diagnostics: &mut Diagnostics,
) -> Variables {
    let mut variables = Variables::new();
    for source in sources {
        let from_file = source.path != COMMAND_LINE;
        let what = if from_file {
            format!("-e @{}", source.path)
        } else {
            "-e".to_owned()
        };
        if !from_file && is_pairs(&source.text) {
            pairs(source, &what, &mut variables, diagnostics);
            continue;
        }
        let Some(entries) = yaml::parse_map(
            source,
            Schema::Ansible,
            vaulted,
            "`-e` takes a map of variables",
            diagnostics,
        ) else {
            continue;
        };
        for entry in entries {
            layer(
                &mut variables,
                [super::graph::set(entry, Level::Extra, &what, diagnostics)],
            );
        }
    }
    variables
}

/// Returns whether a value of `-e` sets variables as `NAME=VALUE`, and is no map in JSON or YAML.
pub(super) fn is_pairs(text: &str) -> bool {
    !text.trim_start().starts_with(['{', '['])
}

/// Reads `a=1 b="two words"`: values are text, whatever they look like, as in Ansible.
fn pairs(
    source: &Arc<Source>,
    what: &str,
    variables: &mut Variables,
    diagnostics: &mut Diagnostics,
) {
    let span = |from: usize, to: usize| Span {
        source: source.clone(),
        range: from..to,
    };
    let (words, open) = words(&source.text);
    if let Some(at) = open {
        let end = source.text.len();
        diagnostics.push(
            Diagnostic::error("the quote that opens here is not closed")
                .at(span(at, end))
                .help("close it; one that is part of the value stands in the other kind, or behind a backslash"),
        );
        return;
    }
    for (start, word) in words {
        let Some((name, raw)) = word.split_once('=').filter(|(name, _)| !name.is_empty()) else {
            diagnostics.push(
                Diagnostic::error(format!("`{word}` sets no variable"))
                    .at(span(start, start + word.len()))
                    .help("`-e` takes NAME=VALUE, a map in JSON or YAML, or @FILE"),
            );
            continue;
        };
        let at = span(start + name.len() + 1, start + word.len());
        let text = unquote(raw);
        let kind = Kind::Scalar(Scalar {
            value: Value::String(text.clone()),
            text,
            plain: true,
        });
        let variable = Variable::new(Node { kind, span: at }, Level::Extra, what)
            .named_at(span(start, start + name.len()));
        layer(variables, [(name.to_owned(), variable)]);
    }
}

/// Returns the words of a text with their byte offsets, and the offset of a quote that nothing closes; quotes and
/// `{{ }}` keep white space together. Such a quote is refused, as `split_args` of Ansible's parsing/splitter.py does.
pub(super) fn words(text: &str) -> (Vec<(usize, &str)>, Option<usize>) {
    let mut words = Vec::new();
    let mut start = None;
    let mut quote: Option<(usize, char)> = None;
    let mut braces = 0_usize;
    let mut escaped = false;
    for (i, c) in text.char_indices() {
        if escaped {
            escaped = false;
            continue;
        }
        match (quote, c) {
            (_, '\\') => escaped = true,
            (Some((_, open)), c) if c == open => quote = None,
            (None, '"' | '\'') => quote = Some((i, c)),
            (None, '{') => braces += 1,
            (None, '}') => braces = braces.saturating_sub(1),
            (None, c) if c.is_whitespace() && braces == 0 => {
                if let Some(begin) = start.take() {
                    words.push((begin, &text[begin..i]));
                }
                continue;
            }
            _ => {}
        }
        start.get_or_insert(i);
    }
    if let Some(begin) = start {
        words.push((begin, &text[begin..]));
    }
    (words, quote.map(|(at, _)| at))
}

fn unquote(raw: &str) -> String {
    for quote in ['"', '\''] {
        if raw.len() >= 2 && raw.starts_with(quote) && raw.ends_with(quote) {
            return raw[1..raw.len() - 1].replace(&format!("\\{quote}"), &quote.to_string());
        }
    }
    raw.to_owned()
}
