//! What `vagrant ssh-config` prints: hosts, and how they are reached. Such a file has no groups: those stand in an inventory beside it.

use std::sync::Arc;

use super::graph::{Graph, UNGROUPED};
use super::yaml::{Entry, Kind, Node, Scalar};
use crate::model::{Diagnostic, Diagnostics, GroupName, Source, Span, Value};

/// ssh's names for what variables say. The rest is not read.
const NAMES: &[(&str, &str)] = &[
    ("hostname", "ansible_host"),
    ("port", "ansible_port"),
    ("user", "ansible_user"),
    ("identityfile", "ansible_ssh_private_key_file"),
];

/// Returns whether a file begins as `vagrant ssh-config` does: `Host NAME`.
pub(super) fn is_ssh_config(source: &Source) -> bool {
    let mut lines = source.text.lines().map(str::trim);
    let first = lines.find(|line| !line.is_empty() && !line.starts_with('#'));
    first.is_some_and(|line| {
        let mut words = line.split_whitespace();
        let host = words.next().is_some_and(|w| w.eq_ignore_ascii_case("host"));
        host && words.next().is_some_and(|name| !name.contains(['=', ':']))
    })
}

/// Adds the hosts of the file.
pub(super) fn read(graph: &mut Graph, source: &Arc<Source>, diagnostics: &mut Diagnostics) {
    let Ok(group) = GroupName::new(UNGROUPED) else {
        return;
    };
    let mut host: Option<Entry> = None;
    let mut hosts = Vec::new();
    let mut start = 0;
    for full in source.text.split_inclusive('\n') {
        let line = full.trim();
        let at = start + (full.len() - full.trim_start().len());
        start += full.len();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (word, value) = line
            .split_once(|c: char| c.is_whitespace() || c == '=')
            .unwrap_or((line, ""));
        let offset = at + line.len() - value.trim_start().len();
        let value = value.trim();
        let span = |from: usize, text: &str| Span {
            source: source.clone(),
            range: from..from + text.len(),
        };
        if word.eq_ignore_ascii_case("host") {
            hosts.extend(host.take());
            if value.contains(['*', '?', '!', ' ']) || value.is_empty() {
                let error = Diagnostic::error("one host is named here, without a pattern");
                diagnostics.push(error.at(span(at, line)).help(
                    "an inventory of this form is what `vagrant ssh-config` prints; a configuration of ssh's own is named by `--ssh-config FILE`",
                ));
                continue;
            }
            host = Some(Entry {
                key: value.to_owned(),
                key_span: span(offset, value),
                value: Node {
                    kind: Kind::Map(Vec::new()),
                    span: span(at, line),
                },
            });
            continue;
        }
        let name = NAMES.iter().find(|(ssh, _)| word.eq_ignore_ascii_case(ssh));
        let (Some((_, name)), Some(host)) = (name, &mut host) else {
            continue;
        };
        if let Kind::Map(entries) = &mut host.value.kind
            // The first counts, as with ssh.
            && !entries.iter().any(|entry| entry.key == *name)
        {
            entries.push(Entry {
                key: (*name).to_owned(),
                key_span: span(at, word),
                value: node(value, span(offset, value)),
            });
        }
    }
    hosts.extend(host);
    let span = Span {
        source: source.clone(),
        range: 0..0,
    };
    let section = Entry {
        key: "hosts".into(),
        key_span: span.clone(),
        value: Node {
            kind: Kind::Map(hosts),
            span,
        },
    };
    graph.read_hosts(&group, section, source, diagnostics);
}

fn node(text: &str, span: Span) -> Node {
    let bare = text
        .strip_prefix('"')
        .and_then(|t| t.strip_suffix('"'))
        .unwrap_or(text);
    let number = bare.parse::<u64>().ok().filter(|_| bare == text);
    Node {
        kind: Kind::Scalar(Scalar {
            value: number.map_or_else(|| Value::String(bare.to_owned()), Value::from),
            text: bare.to_owned(),
            plain: bare == text,
        }),
        span,
    }
}
