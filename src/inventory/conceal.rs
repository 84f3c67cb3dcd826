//! Findings as they may be shown: a snippet prints whole lines of a file, and a secret may stand beside the mistake.

use std::ops::Range;
use std::sync::Arc;

use super::input::COMMAND_LINE;
use super::yaml::{self, Kind, Node, Schema, Vaulted};
use super::{extra, ini};
use crate::model::{Diagnostics, Seal, Source, Span};

/// Returns the findings with the values of all variables that `secret` names made stars of the same length, so that
/// places and carets stay. Of a file that was encrypted the names alone are left.
///
/// Where a file's syntax is broken, the rest of the line behind a secret's name, and deeper lines below it, count as its
/// value: what is too much there costs a look into the file.
pub fn conceal(found: &Diagnostics, secret: &dyn Fn(&str) -> bool) -> Diagnostics {
    let mut shown: Vec<(Arc<Source>, Arc<Source>)> = Vec::new();
    let mut found = found.clone();
    for finding in &mut found.0 {
        let Some(span) = &mut finding.span else {
            continue;
        };
        let known = shown
            .iter()
            .find(|(from, _)| Arc::ptr_eq(from, &span.source));
        let source = match known {
            Some((_, to)) => to.clone(),
            None => {
                let to = starred(&span.source, secret);
                shown.push((span.source.clone(), to.clone()));
                to
            }
        };
        *span = Span {
            source,
            range: span.range.clone(),
        };
    }
    found
}

fn starred(source: &Arc<Source>, secret: &dyn Fn(&str) -> bool) -> Arc<Source> {
    let ranges = if source.seal == Seal::Text {
        all_but_names(source)
    } else {
        values(source, secret)
    };
    if ranges.is_empty() {
        return source.clone();
    }
    let mut text = source.text.clone().into_bytes();
    for range in ranges {
        for byte in text.get_mut(range).into_iter().flatten() {
            if !byte.is_ascii_whitespace() {
                *byte = b'*';
            }
        }
    }
    // Whole characters became stars, each of as many as it had bytes.
    let text = String::from_utf8_lossy(&text).into_owned();
    Arc::new(Source::new(source.path.clone(), text))
}

/// Returns what stands between the keys of a decrypted file, comments too; everything where its syntax is broken.
fn all_but_names(source: &Arc<Source>) -> Vec<Range<usize>> {
    let (node, _) = yaml::parse_with(source, Schema::Ansible, Vaulted::Kept);
    let mut names = Vec::new();
    if let Some(node) = &node {
        keys(node, &mut names);
    }
    names.sort_by_key(|range| range.start);
    let mut ranges = Vec::new();
    let mut at = 0;
    for name in names {
        if name.start >= at {
            ranges.push(at..name.start);
            at = name.end;
            // The colon is no secret, and shows what the name is.
            at += usize::from(source.text[at..].starts_with(':'));
        }
    }
    ranges.push(at..source.text.len());
    ranges
}

fn keys(node: &Node, names: &mut Vec<Range<usize>>) {
    match &node.kind {
        Kind::Scalar(_) => {}
        Kind::Seq(items) => items.iter().for_each(|item| keys(item, names)),
        Kind::Map(entries) => {
            for entry in entries {
                names.push(entry.key_span.range.clone());
                keys(&entry.value, names);
            }
        }
    }
}

/// Returns where the values of secrets stand.
fn values(source: &Arc<Source>, secret: &dyn Fn(&str) -> bool) -> Vec<Range<usize>> {
    if source.path == COMMAND_LINE && extra::is_pairs(&source.text) {
        let (words, open) = extra::words(&source.text);
        let pairs = words.into_iter().filter_map(|(start, word)| {
            let (name, value) = word.split_once('=')?;
            let from = start + name.len() + 1;
            secret(name).then(|| from..from + value.len())
        });
        let broken = open.map(|_| loose(&source.text, secret));
        return pairs.chain(broken.into_iter().flatten()).collect();
    }
    if ini::is_ini(source) {
        return loose(&source.text, secret);
    }
    let (node, found) = yaml::parse_with(source, Schema::Ansible, Vaulted::Kept);
    let mut ranges = Vec::new();
    if let Some(node) = &node {
        below(node, secret, &mut ranges);
    }
    // A template of a role is no YAML, and broken as such means nothing.
    if found.has_errors()
        && matches!(
            source.path.extension(),
            None | Some("yml" | "yaml" | "json")
        )
    {
        ranges.extend(loose(&source.text, secret));
    }
    ranges
}

fn below(node: &Node, secret: &dyn Fn(&str) -> bool, ranges: &mut Vec<Range<usize>>) {
    match &node.kind {
        Kind::Scalar(_) => {}
        Kind::Seq(items) => items.iter().for_each(|item| below(item, secret, ranges)),
        Kind::Map(entries) => {
            for entry in entries {
                if secret(&entry.key) {
                    ranges.push(entry.value.span.range.clone());
                } else {
                    below(&entry.value, secret, ranges);
                }
            }
        }
    }
}

/// Returns what stands behind `NAME:` or `NAME=`, without understanding the text around it.
fn loose(text: &str, secret: &dyn Fn(&str) -> bool) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    let mut at = 0;
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    while let Some(start) = text[at..].find(is_name).map(|n| at + n) {
        let end = text[start..]
            .find(|c| !is_name(c))
            .map_or(text.len(), |n| start + n);
        at = end;
        if !secret(&text[start..end]) {
            continue;
        }
        let behind = text[end..]
            .trim_start_matches(['"', '\''])
            .trim_start_matches([' ', '\t']);
        if let Some(value) = behind.strip_prefix([':', '=']) {
            let from = text.len() - value.len();
            at = from + value_length(value, indent(text, start));
            ranges.push(from..at);
        }
    }
    ranges
}

/// Returns how far in the line of a place begins.
fn indent(text: &str, at: usize) -> usize {
    let line = &text[text[..at].rfind('\n').map_or(0, |n| n + 1)..];
    line.len() - line.trim_start_matches(' ').len()
}

/// Returns how long a value is: to its closing quote where it has one, else to the end of its line and of the deeper
/// ones below.
fn value_length(value: &str, indent: usize) -> usize {
    let trimmed = value.trim_start_matches([' ', '\t']);
    let head = value.len() - trimmed.len();
    if let Some(quote) = trimmed.chars().next().filter(|c| matches!(c, '"' | '\''))
        && let Some(end) = trimmed[1..].find([quote, '\n'])
        && trimmed[1 + end..].starts_with(quote)
    {
        return head + end + 2;
    }
    let mut length = 0;
    for line in value.split_inclusive('\n') {
        let blank = line.trim().is_empty();
        if length > 0 && !blank && line.len() - line.trim_start_matches(' ').len() <= indent {
            break;
        }
        length += line.len();
    }
    length
}
