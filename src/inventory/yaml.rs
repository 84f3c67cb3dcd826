//! YAML to a tree in which every node knows its place. Role files are read with the same loader.
//!
//! The tree is built from the parser's events and not through serde, because only the events say whether a scalar was
//! quoted, and what its text was: `1.30` must be told from `"1.30"`, and Ansible's YAML 1.1 from YAML 1.2.

mod scalar;
mod sealed;
mod syntax;

use std::collections::HashMap;
use std::sync::Arc;

use serde_saphyr::granit_parser::{Event, Parser, ScalarStyle, ScanError, Span as ParserSpan, Tag};

pub use sealed::Vaulted;

use crate::model::{Diagnostic, Diagnostics, Map, Source, Span, Value};

/// How plain scalars get their types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schema {
    /// YAML 1.1 as PyYAML, and so Ansible, reads it: `no`, `0755` and `12:30` are a boolean and two numbers.
    /// Source: PyYAML's `resolver.py`.
    Ansible,
    /// The core schema of YAML 1.2 (yaml.org/spec/1.2.2, 10.3), for role files. A decimal with a leading zero stays
    /// text, since whoever writes `0644` means neither 420 nor 644.
    Core,
}

/// A value of a file with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// The value.
    pub kind: Kind,
    /// Where it stands. A value that came through an alias has the place of its definition.
    pub span: Span,
}

/// What a node can be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// Null, a boolean, a number or text.
    Scalar(Scalar),
    /// A list.
    Seq(Vec<Node>),
    /// A map, in the order of the text.
    Map(Vec<Entry>),
}

/// A scalar, with what its type hides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scalar {
    /// The typed value.
    pub value: Value,
    /// The text as it was written, without quotes: `1.30` where `value` is the number 1.3.
    pub text: String,
    /// Whether it was written without quotes.
    pub plain: bool,
}

/// A key with its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key's text, whatever its type would be.
    pub key: String,
    /// Where the key stands.
    pub key_span: Span,
    /// The value.
    pub value: Node,
}

impl Entry {
    /// Returns the finding that its value is none of what its key takes.
    pub fn wrong(&self, expected: &str) -> Diagnostic {
        let found = self.value.describe();
        let message = format!("`{}` takes {expected}, not {found}", self.key);
        Diagnostic::error(message).at(self.value.span.clone())
    }
}

impl Node {
    /// Returns the value without its places.
    pub fn to_value(&self) -> Value {
        match &self.kind {
            Kind::Scalar(scalar) => scalar.value.clone(),
            Kind::Seq(items) => Value::Array(items.iter().map(Node::to_value).collect()),
            Kind::Map(entries) => Value::Object(
                entries
                    .iter()
                    .map(|e| (e.key.clone(), e.value.to_value()))
                    .collect::<Map>(),
            ),
        }
    }

    /// Returns the entries, where the node is a map.
    pub fn as_map(&self) -> Option<&[Entry]> {
        match &self.kind {
            Kind::Map(entries) => Some(entries),
            _ => None,
        }
    }

    /// Returns the items, where the node is a list.
    pub fn as_seq(&self) -> Option<&[Node]> {
        match &self.kind {
            Kind::Seq(items) => Some(items),
            _ => None,
        }
    }

    /// Returns the scalar, where the node is one.
    pub fn as_scalar(&self) -> Option<&Scalar> {
        match &self.kind {
            Kind::Scalar(scalar) => Some(scalar),
            _ => None,
        }
    }

    /// Returns the text, where the node is a string.
    pub fn as_str(&self) -> Option<&str> {
        self.as_scalar().and_then(|s| s.value.as_str())
    }

    /// Returns whether the node is null or nothing at all.
    pub fn is_null(&self) -> bool {
        self.as_scalar().is_some_and(|s| s.value.is_null())
    }

    /// Returns the entry of a map with that key.
    pub fn get(&self, key: &str) -> Option<&Entry> {
        self.as_map()?.iter().find(|e| e.key == key)
    }

    /// Returns the node that a JSON pointer (RFC 6901) names; the empty pointer names the node itself.
    pub fn pointer(&self, pointer: &str) -> Option<&Node> {
        pointer.split('/').skip(1).try_fold(self, |node, token| {
            let token = token.replace("~1", "/").replace("~0", "~");
            match &node.kind {
                Kind::Map(entries) => entries.iter().find(|e| e.key == token).map(|e| &e.value),
                Kind::Seq(items) => items.get(token.parse::<usize>().ok()?),
                Kind::Scalar(_) => None,
            }
        })
    }

    /// Returns what the node is, for messages: `a list`, `the number 3`.
    pub fn describe(&self) -> String {
        match &self.kind {
            Kind::Seq(_) => "a list".into(),
            Kind::Map(_) => "a map".into(),
            Kind::Scalar(scalar) => describe_scalar(&scalar.value, &scalar.text),
        }
    }
}

fn describe_scalar(value: &Value, text: &str) -> String {
    match value {
        Value::Null => "nothing".into(),
        Value::Bool(_) => format!("the boolean `{text}`"),
        Value::Number(_) => format!("the number {text}"),
        // A key or another file that lies in the inventory's folder is not to be read out.
        _ if text.chars().count() > 80 => "a long text".into(),
        _ => format!("the text `{text}`"),
    }
}

/// Bytes of a file that are read at most. An inventory of 5,000 hosts has less than 2 MiB.
pub(super) const MAX_BYTES: usize = 8 << 20;
/// Nodes of a file, aliases written out: some twenty per host for 25,000 hosts.
const MAX_NODES: usize = 500_000;
/// Maps and lists inside one another; kubeadm's deepest document has seven levels.
const MAX_DEPTH: usize = 64;

/// Returns the entries of a text that is to be a map, or nothing, with what is wrong with it added to `diagnostics`.
/// `expected` is the beginning of the sentence for a text that is something else, such as `a file of variables is a map`.
pub fn parse_map(
    source: &Arc<Source>,
    schema: Schema,
    vaulted: Vaulted<'_>,
    expected: &str,
    diagnostics: &mut Diagnostics,
) -> Option<Vec<Entry>> {
    let (node, found) = parse_with(source, schema, vaulted);
    diagnostics.extend(found);
    let node = node?;
    let described = node.describe();
    match node.kind {
        Kind::Map(entries) => Some(entries),
        _ => {
            let error = Diagnostic::error(format!("{expected}, not {described}"));
            diagnostics.push(error.at(node.span));
            None
        }
    }
}

/// Returns the tree of the one document in `source`, and all that is wrong with it; encrypted values are refused. `None` is an empty document, or one
/// whose syntax is broken; a tree comes back beside errors where the parser could go on (duplicate keys, tags).
pub fn parse(source: &Arc<Source>, schema: Schema) -> (Option<Node>, Diagnostics) {
    parse_with(source, schema, Vaulted::Refused)
}

/// As [`parse`]; `vaulted` says what becomes of values behind `!vault`.
pub fn parse_with<'s>(
    source: &'s Arc<Source>,
    schema: Schema,
    vaulted: Vaulted<'s>,
) -> (Option<Node>, Diagnostics) {
    let mut diagnostics = Diagnostics::default();
    if source.text.len() > MAX_BYTES {
        diagnostics.push(
            Diagnostic::error(format!(
                "the file has {} bytes; {MAX_BYTES} are read at most",
                source.text.len()
            ))
            .at(Span {
                source: source.clone(),
                range: 0..0,
            }),
        );
        return (None, diagnostics);
    }
    if let Some(refusal) = sealed::refuse_file(source) {
        diagnostics.push(refusal);
        return (None, diagnostics);
    }
    let mut builder = Builder {
        source,
        schema,
        vaulted,
        sealed: None,
        parser: Parser::new_from_str_with_options(&source.text, syntax::options()),
        anchors: HashMap::new(),
        nodes: 0,
        diagnostics,
    };
    let node = builder.document().unwrap_or(None);
    (node, builder.diagnostics)
}

/// Reading cannot go on; why is among the diagnostics.
struct Stop;

struct Builder<'s> {
    source: &'s Arc<Source>,
    schema: Schema,
    vaulted: Vaulted<'s>,
    /// The source as decrypted values point to it.
    sealed: Option<Arc<Source>>,
    parser: Parser<'s, serde_saphyr::granit_parser::StrInput<'s>>,
    /// Finished nodes by anchor; one that is missing is still being built, so that its alias is a loop.
    anchors: HashMap<usize, (Node, usize)>,
    nodes: usize,
    diagnostics: Diagnostics,
}

impl<'s> Builder<'s> {
    fn document(&mut self) -> Result<Option<Node>, Stop> {
        let mut root = None;
        let mut documents = 0;
        while let Some((event, span)) = self.next()? {
            match event {
                Event::StreamStart | Event::DocumentEnd => {}
                Event::DocumentStart(..) => {
                    documents += 1;
                    if documents > 1 {
                        let at = self.span(&span);
                        self.diagnostics.push(
                            Diagnostic::error("a second document begins here; one is expected")
                                .at(at)
                                .help("a file holds one document: put the rest into a file of its own"),
                        );
                        return Ok(root);
                    }
                }
                Event::StreamEnd => break,
                event => root = Some(self.node(event, &span, 0)?),
            }
        }
        // An empty document is one null scalar without text.
        Ok(root.filter(|n: &Node| !(n.is_null() && n.span.range.is_empty())))
    }

    fn next(&mut self) -> Result<Option<(Event<'s>, ParserSpan)>, Stop> {
        match self.parser.next_event() {
            None => Ok(None),
            Some(Ok(pair)) => Ok(Some(pair)),
            Some(Err(error)) => Err(self.syntax(&error)),
        }
    }

    fn syntax(&mut self, error: &ScanError) -> Stop {
        self.diagnostics.extend(syntax::explain(self.source, error));
        Stop
    }

    fn span(&self, span: &ParserSpan) -> Span {
        let range = span.byte_range().unwrap_or(0..0);
        Span {
            source: self.source.clone(),
            range,
        }
    }

    fn error(&mut self, message: impl Into<String>, span: Span) {
        self.diagnostics.push(Diagnostic::error(message).at(span));
    }

    fn node(&mut self, event: Event<'s>, span: &ParserSpan, depth: usize) -> Result<Node, Stop> {
        let at = self.span(span);
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            self.error(
                format!("the file holds more than {MAX_NODES} values, its aliases written out"),
                at,
            );
            return Err(Stop);
        }
        if depth > MAX_DEPTH {
            self.error(
                format!("lists and maps stand more than {MAX_DEPTH} deep in one another"),
                at,
            );
            return Err(Stop);
        }
        let first = self.nodes;
        let (anchor, node) = match event {
            Event::Alias(id) => return self.alias(id, at),
            Event::Scalar(text, style, anchor, tag) => {
                (anchor, self.scalar(&text, style, tag.as_deref(), span))
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.collection_tag(tag.as_deref(), span, "seq");
                let mut items = Vec::new();
                let end = loop {
                    match self.next()? {
                        Some((Event::SequenceEnd, end)) => break end,
                        Some((event, span)) => items.push(self.node(event, &span, depth + 1)?),
                        None => return Err(Stop),
                    }
                };
                (
                    anchor,
                    Node {
                        kind: Kind::Seq(items),
                        span: self.until(at, &end),
                    },
                )
            }
            Event::MappingStart(_, anchor, tag) => {
                self.collection_tag(tag.as_deref(), span, "map");
                let (entries, end) = self.entries(&at, depth)?;
                (
                    anchor,
                    Node {
                        kind: Kind::Map(entries),
                        span: self.until(at, &end),
                    },
                )
            }
            _ => {
                self.error("this is no value", at);
                return Err(Stop);
            }
        };
        if anchor > 0 {
            self.anchors
                .insert(anchor, (node.clone(), self.nodes - first + 1));
        }
        Ok(node)
    }

    /// Returns the span from `start` to the end of a collection, without the white space and comments behind it.
    fn until(&self, start: Span, end: &ParserSpan) -> Span {
        let stop = end
            .byte_range()
            .map_or(start.range.end, |r| r.end)
            .max(start.range.end);
        let text = self
            .source
            .text
            .get(start.range.start..stop)
            .unwrap_or_default();
        let stop = start.range.start + text.trim_end().len();
        Span {
            range: start.range.start..stop.max(start.range.start),
            ..start
        }
    }

    fn alias(&mut self, id: usize, at: Span) -> Result<Node, Stop> {
        let Some((node, size)) = self.anchors.get(&id) else {
            self.error("the alias stands inside the very value that it names", at);
            return Err(Stop);
        };
        let (node, size) = (node.clone(), *size);
        self.nodes += size;
        if self.nodes > MAX_NODES {
            self.error(
                format!("the file holds more than {MAX_NODES} values, its aliases written out"),
                at,
            );
            return Err(Stop);
        }
        Ok(node)
    }

    fn entries(&mut self, map: &Span, depth: usize) -> Result<(Vec<Entry>, ParserSpan), Stop> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut merged: Vec<Entry> = Vec::new();
        let mut seen: HashMap<String, Span> = HashMap::new();
        let end = loop {
            let (event, span) = match self.next()? {
                Some((Event::MappingEnd, end)) => break end,
                Some(pair) => pair,
                None => return Err(Stop),
            };
            let merge =
                matches!(&event, Event::Scalar(text, ScalarStyle::Plain, ..) if text == "<<");
            let key = self.node(event, &span, depth + 1)?;
            let Some((event, span)) = self.next()? else {
                return Err(Stop);
            };
            let value = self.node(event, &span, depth + 1)?;
            if merge {
                self.merge(value, &mut merged);
                continue;
            }
            let Kind::Scalar(scalar) = key.kind else {
                self.complex_key(map, key.span);
                continue;
            };
            if let Some(before) = seen.get(&scalar.text) {
                let line = before.line_column().0;
                self.diagnostics.push(
                    Diagnostic::error(format!(
                        "the key `{}` stands here a second time; the first is in line {line}",
                        scalar.text
                    ))
                    .at(key.span)
                    .help("keep one of the two"),
                );
                continue;
            }
            seen.insert(scalar.text.clone(), key.span.clone());
            entries.push(Entry {
                key: scalar.text,
                key_span: key.span,
                value,
            });
        };
        // Own keys win over merged ones (yaml.org/type/merge.html); merged ones come first, as PyYAML has it.
        merged.retain(|e| !seen.contains_key(&e.key));
        merged.extend(entries);
        Ok((merged, end))
    }

    fn merge(&mut self, value: Node, merged: &mut Vec<Entry>) {
        let span = value.span;
        let maps = match value.kind {
            Kind::Map(entries) => vec![entries],
            Kind::Seq(items) if items.iter().all(|i| i.as_map().is_some()) => items
                .into_iter()
                .filter_map(|i| {
                    if let Kind::Map(e) = i.kind {
                        Some(e)
                    } else {
                        None
                    }
                })
                .collect(),
            _ => {
                self.error("`<<` takes a map or a list of maps", span);
                return;
            }
        };
        // The first of several maps wins (yaml.org/type/merge.html).
        for entry in maps.into_iter().flatten() {
            if !merged.iter().any(|e| e.key == entry.key) {
                merged.push(entry);
            }
        }
    }

    fn complex_key(&mut self, map: &Span, key: Span) {
        let template = self
            .source
            .text
            .get(map.range.start..)
            .is_some_and(|t| t.starts_with("{{"));
        let diagnostic = if template {
            Diagnostic::error("a value that begins with `{{` reads as a map")
                .at(map.clone())
                .help("put quotes around the whole value: \"{{ … }}\"")
        } else {
            Diagnostic::error("a key has to be text, not a list or a map").at(key)
        };
        self.diagnostics.push(diagnostic);
    }

    fn scalar(
        &mut self,
        text: &str,
        style: ScalarStyle,
        tag: Option<&Tag>,
        span: &ParserSpan,
    ) -> Node {
        let at = self.span(span);
        let plain = style == ScalarStyle::Plain;
        let value = match tag {
            None if plain => scalar::resolve(text, self.schema),
            None => Ok(Value::String(text.into())),
            Some(tag) => match tag.core_suffix() {
                Some("str") => Ok(Value::String(text.into())),
                Some(core @ ("int" | "float" | "bool" | "null")) => {
                    scalar::tagged(text, core, self.schema)
                }
                _ if tag.original() == "!" => Ok(Value::String(text.into())),
                _ if sealed::is_vault(tag) => return self.vaulted(text, tag, span),
                _ => {
                    self.refuse_tag(tag, span);
                    Ok(Value::Null)
                }
            },
        };
        let value = value.unwrap_or_else(|message| {
            self.error(message, at.clone());
            Value::Null
        });
        Node {
            kind: Kind::Scalar(Scalar {
                value,
                text: text.into(),
                plain,
            }),
            span: at,
        }
    }

    fn collection_tag(&mut self, tag: Option<&Tag>, span: &ParserSpan, core: &str) {
        if let Some(tag) = tag
            && !tag.is_yaml_core_schema_tag(core)
        {
            self.refuse_tag(tag, span);
        }
    }

    fn refuse_tag(&mut self, tag: &Tag, span: &ParserSpan) {
        let at = span
            .tag_span()
            .map_or_else(|| self.span(span), |tag| self.span(&tag));
        let name = tag.original();
        let diagnostic = Diagnostic::error(format!("the tag `{name}` is not read")).at(at);
        self.diagnostics.push(match name.as_str() {
            "!vault" | "!vault-encrypted" => diagnostic.help(sealed::NOT_HERE),
            "!unsafe" => diagnostic.help("write the text with `{% raw %}…{% endraw %}` to keep it from being rendered"),
            _ => diagnostic.help("tags other than !!str, !!int, !!float, !!bool, !!null, !!seq and !!map have no meaning here"),
        });
    }
}
