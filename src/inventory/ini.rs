//! INI inventories to groups and hosts, as Ansible reads them (plugins/inventory/ini.py, ansible-core 2.19).

use std::sync::Arc;

use indexmap::{IndexMap, IndexSet};

use super::graph::{Graph, UNGROUPED};
use super::python;
use super::yaml::{Entry, Kind, Node, Scalar};
use crate::model::{Diagnostic, Diagnostics, GroupName, Source, Span, Value, nearest};

/// Returns whether a file is an INI inventory: by its name, or, where that says nothing, by its first line that is no comment.
/// A section's header is one; so is a host, which YAML would end with a colon. No YAML inventory begins with a section's header:
/// as Ansible does, such a file is read as INI also where its name says YAML.
pub(super) fn is_ini(source: &Source) -> bool {
    match source.path.extension() {
        Some("yml" | "yaml" | "json") => begins_with_a_section(&source.text),
        Some("ini") => true,
        _ => first_line(&source.text).is_some_and(|line| {
            let line = line.split(" #").next().unwrap_or_default().trim_end();
            let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let sets = |text: &str| text.trim_start_matches(word).starts_with('=');
            section(line).is_some()
                || line.split_whitespace().nth(1).is_some_and(sets)
                || !(line.ends_with(':')
                    || line.contains(": ")
                    || line.starts_with(['{', '-', '%', '"', '\'', '?', '[', '$']))
        }),
    }
}

/// Returns whether the name of an INI inventory says YAML.
pub(super) fn is_misnamed(source: &Source) -> bool {
    matches!(source.path.extension(), Some("yml" | "yaml" | "json"))
}

/// Returns whether the first line that is no comment is a section's header.
fn begins_with_a_section(text: &str) -> bool {
    first_line(text).is_some_and(|line| section(line).is_some())
}

fn first_line(text: &str) -> Option<&str> {
    text.lines()
        .map(str::trim)
        .find(|line| !line.is_empty() && !line.starts_with(['#', ';']))
}

/// What the lines of a section are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Of {
    Hosts,
    Children,
    Vars,
}

/// Returns the group and the kind of `[group:kind]`, which may have a comment behind it.
fn section(line: &str) -> Option<(&str, Option<&str>)> {
    let (inside, rest) = line.strip_prefix('[')?.split_once(']')?;
    let rest = rest.trim_start();
    let (group, kind) = match inside.split_once(':') {
        Some((group, kind)) => (group, Some(kind)),
        None => (inside, None),
    };
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let fits = !group.is_empty()
        && !group.contains(char::is_whitespace)
        && kind.is_none_or(|k| !k.is_empty() && k.chars().all(is_word))
        && (rest.is_empty() || rest.starts_with('#'));
    fits.then_some((group, kind))
}

/// Adds what an INI inventory says.
pub(super) fn read(graph: &mut Graph, source: &Arc<Source>, diagnostics: &mut Diagnostics) {
    let mut file = File {
        declared: graph.groups.keys().cloned().collect(),
        graph,
        source,
        diagnostics,
        named: IndexMap::new(),
    };
    let mut group = GroupName::new(UNGROUPED).ok();
    let mut of = Of::Hosts;
    let mut start = 0;
    for full in source.text.split_inclusive('\n') {
        let line = full.trim();
        let at = start + (full.len() - full.trim_start().len());
        start += full.len();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        let span = file.span(at, line);
        if let Some((name, kind)) = section(line) {
            group = file.section(name, kind, &span).map(|(name, kind)| {
                of = kind;
                name
            });
        } else if line.starts_with('[') && line.ends_with(']') {
            file.error(
                span,
                "this is no section".to_owned(),
                "write [GROUP], [GROUP:vars] or [GROUP:children], without spaces",
            );
            group = None;
        } else if let Some(group) = &group {
            match of {
                Of::Hosts => file.host(group, line, at),
                Of::Children => file.child(group, line, span),
                Of::Vars => file.variable(group, line, at),
            }
        }
    }
    file.finish();
}

struct File<'f> {
    graph: &'f mut Graph,
    source: &'f Arc<Source>,
    diagnostics: &'f mut Diagnostics,
    /// Groups of earlier inventories, and those with a section of hosts or children.
    declared: IndexSet<GroupName>,
    /// Groups that are named elsewhere, and have to be declared: where, and as what.
    named: IndexMap<GroupName, (Span, String)>,
}

impl File<'_> {
    fn span(&self, start: usize, text: &str) -> Span {
        Span {
            source: self.source.clone(),
            range: start..start + text.len(),
        }
    }

    fn error(&mut self, at: Span, message: String, help: &str) {
        let error = Diagnostic::error(message).at(at);
        self.diagnostics.push(error.help(help));
    }

    fn group_name(&mut self, name: &str, at: &Span) -> Option<GroupName> {
        match GroupName::new(name) {
            Ok(name) => Some(name),
            Err(error) => {
                // Not the text itself: it may be a secret in the wrong section, and the snippet knows which are.
                let message = format!("this is no group name: {error}");
                self.diagnostics
                    .push(Diagnostic::error(message).at(at.clone()));
                None
            }
        }
    }

    fn section(&mut self, name: &str, kind: Option<&str>, at: &Span) -> Option<(GroupName, Of)> {
        const KINDS: [&str; 3] = ["hosts", "children", "vars"];
        let of = match kind {
            None | Some("hosts") => Of::Hosts,
            Some("children") => Of::Children,
            Some("vars") => Of::Vars,
            Some(other) => {
                let help = nearest(other, KINDS).map_or_else(
                    || "a section is [GROUP], [GROUP:vars] or [GROUP:children]".to_owned(),
                    |near| format!("did you mean [{name}:{near}]?"),
                );
                self.error(
                    at.clone(),
                    format!("[{name}:{other}] is of no kind that there is"),
                    &help,
                );
                return None;
            }
        };
        let name = self.group_name(name, at)?;
        self.graph.group(&name, Some(at));
        if of == Of::Vars {
            let asks = format!("[{name}:vars]");
            self.named
                .entry(name.clone())
                .or_insert_with(|| (at.clone(), asks));
        } else {
            self.declared.insert(name.clone());
        }
        Some((name, of))
    }

    /// `name[:port] [key=value...]`, split as a POSIX shell does, with comments.
    fn host(&mut self, group: &GroupName, line: &str, at: usize) {
        let words = match words(line) {
            Ok(words) => words,
            Err((offset, message)) => {
                let span = self.span(at + offset, &line[offset..]);
                self.error(
                    span,
                    message.to_owned(),
                    "close it; one that is part of the value stands in the other kind, or behind a backslash",
                );
                return;
            }
        };
        let mut words = words.into_iter();
        let Some(name) = words.next() else { return };
        let place = self.span(at + name.start, &line[name.start..name.end]);
        if name.text.ends_with(':') || name.text == "---" {
            self.error(
                place,
                format!("`{}` is no host of an INI inventory", name.text),
                "a YAML inventory has the ending .yml",
            );
            return;
        }
        let mut entries = Vec::new();
        for word in words {
            let span = self.span(at + word.start, &line[word.start..word.end]);
            let pair = word.text.split_once('=').filter(|(key, _)| !key.is_empty());
            let Some((key, value)) = pair else {
                self.error(
                    span,
                    "this sets no variable".to_owned(),
                    "behind a host stand variables as NAME=VALUE, without spaces around `=`; a value with spaces stands in quotes",
                );
                break;
            };
            // By the text with its quotes, which may stand in the name as well.
            let raw = &line[word.start..word.end];
            let (name, rest) = raw.split_once('=').unwrap_or((raw, ""));
            entries.push(Entry {
                key: key.to_owned(),
                key_span: self.span(at + word.start, name),
                value: node(value, self.span(at + word.end - rest.len(), rest)),
            });
        }
        let span = self.span(at, line);
        let host = Entry {
            key: name.text,
            key_span: place,
            value: Node {
                kind: Kind::Map(entries),
                span: span.clone(),
            },
        };
        let hosts = section_of("hosts", host, span);
        self.graph
            .read_hosts(group, hosts, self.source, self.diagnostics);
    }

    fn variable(&mut self, group: &GroupName, line: &str, at: usize) {
        let span = self.span(at, line);
        let pair = line.split_once('=');
        let Some((key, value)) = pair.filter(|(key, _)| !key.trim().is_empty()) else {
            self.error(
                span,
                "this sets no variable".to_owned(),
                "a section of variables has lines NAME=VALUE",
            );
            return;
        };
        let (name, text) = (key.trim(), value.trim());
        let begin = key.len() + 1 + (value.len() - value.trim_start().len());
        let entry = Entry {
            key: name.to_owned(),
            key_span: self.span(at, name),
            value: node(text, self.span(at + begin, text)),
        };
        let vars = section_of("vars", entry, span);
        self.graph.read_vars(group, vars, self.diagnostics);
    }

    fn child(&mut self, parent: &GroupName, line: &str, at: Span) {
        let name = line.split_once('#').map_or(line, |(name, _)| name).trim();
        if name.contains([':', ']']) || name.contains(char::is_whitespace) {
            self.error(
                at,
                "this is no group".to_owned(),
                "a section of children has the name of one group in each line",
            );
            return;
        }
        let Some(child) = self.group_name(name, &at) else {
            return;
        };
        let asks = format!("[{parent}:children]");
        self.named
            .entry(child.clone())
            .or_insert_with(|| (at.clone(), asks));
        self.graph.group(&child, None);
        self.graph.add_child(parent, child, at, self.diagnostics);
    }

    /// A group that is named has to have a section of its own, here or in another file, as Ansible asks for.
    fn finish(self) {
        for (name, (at, asks)) in self.named {
            if self.declared.contains(&name) {
                continue;
            }
            let near = nearest(name.as_str(), self.declared.iter().map(GroupName::as_str));
            let error = Diagnostic::error(format!(
                "{asks} names `{name}`, and no section is of that group"
            ));
            self.diagnostics.push(error.at(at).help(match near {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("write [{name}], with its hosts or nothing below it"),
            }));
        }
    }
}

/// Returns a section as a YAML inventory has it, with one entry.
fn section_of(key: &str, entry: Entry, span: Span) -> Entry {
    Entry {
        key: key.to_owned(),
        key_span: span.clone(),
        value: Node {
            kind: Kind::Map(vec![entry]),
            span,
        },
    }
}

/// Returns a value: a Python literal, or else the text as it is.
fn node(text: &str, span: Span) -> Node {
    let value = python::literal(text).unwrap_or_else(|| Value::String(text.to_owned()));
    typed(value, text, &span)
}

fn typed(value: Value, text: &str, span: &Span) -> Node {
    let kind = match value {
        Value::Array(items) => Kind::Seq(items.into_iter().map(|item| inner(item, span)).collect()),
        Value::Object(map) => Kind::Map(
            map.into_iter()
                .map(|(key, value)| Entry {
                    key,
                    key_span: span.clone(),
                    value: inner(value, span),
                })
                .collect(),
        ),
        value => Kind::Scalar(Scalar {
            plain: value.as_str().is_none_or(|value| value == text),
            text: text.to_owned(),
            value,
        }),
    };
    Node {
        kind,
        span: span.clone(),
    }
}

/// A part of a list or map: its text is what its value is.
fn inner(value: Value, span: &Span) -> Node {
    let text = match &value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    typed(value, &text, span)
}

/// A word of a line, without its quotes, and where it stands with them.
struct Word {
    start: usize,
    end: usize,
    text: String,
}

/// Splits as Python's `shlex.split(line, comments=True)` does: a `#` begins a comment even in the middle of a word. The error is
/// the place of a quote that nothing closes.
fn words(line: &str) -> Result<Vec<Word>, (usize, &'static str)> {
    let mut words: Vec<Word> = Vec::new();
    let mut word: Option<Word> = None;
    let mut chars = line.char_indices().peekable();
    while let Some((i, c)) = chars.next() {
        match c {
            '#' => break,
            c if c.is_ascii_whitespace() => words.extend(word.take()),
            _ => {
                let word = word.get_or_insert(Word {
                    start: i,
                    end: i,
                    text: String::new(),
                });
                match c {
                    '\\' => {
                        let (_, next) = chars
                            .next()
                            .ok_or((i, "there is nothing behind the backslash"))?;
                        word.text.push(next);
                    }
                    '"' | '\'' => loop {
                        let (_, inner) = chars
                            .next()
                            .ok_or((i, "the quote that opens here is not closed"))?;
                        match inner {
                            end if end == c => break,
                            '\\' if c == '"' => match chars.next() {
                                Some((_, next @ ('"' | '\\'))) => word.text.push(next),
                                Some((_, next)) => word.text.extend(['\\', next]),
                                None => return Err((i, "the quote that opens here is not closed")),
                            },
                            inner => word.text.push(inner),
                        }
                    },
                    c => word.text.push(c),
                }
                word.end = chars.peek().map_or(line.len(), |(next, _)| *next);
            }
        }
    }
    words.extend(word);
    Ok(words)
}
