//! Variables to typed values, with every mistake told once and with its place.

use std::collections::HashSet;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use super::known::is_secret;
use crate::inventory::yaml::Node;
use crate::inventory::{Host, Variable};
use crate::model::{Diagnostic, Diagnostics, Span, Value, nearest};
use crate::template::Scope;

/// Findings without repetition: a group's variable is read once per host, and told once.
#[derive(Debug, Default)]
pub(super) struct Findings {
    seen: HashSet<String>,
    diagnostics: Diagnostics,
}

impl Findings {
    pub(super) fn push(&mut self, diagnostic: Diagnostic) {
        if self.seen.insert(diagnostic.to_string()) {
            self.diagnostics.push(diagnostic);
        }
    }

    pub(super) fn has_errors(&self) -> bool {
        self.diagnostics.has_errors()
    }

    pub(super) fn into_diagnostics(self) -> Diagnostics {
        self.diagnostics
    }
}

/// A variable's rendered value with where it was set.
#[derive(Debug, Clone)]
pub(super) struct Got<T> {
    pub(super) value: T,
    pub(super) span: Option<Span>,
    node: Option<Arc<Node>>,
}

impl<T> Got<T> {
    pub(super) fn new(value: T, span: Option<Span>) -> Self {
        Self {
            value,
            span,
            node: None,
        }
    }

    pub(super) fn map<U>(self, f: impl FnOnce(T) -> U) -> Got<U> {
        Got {
            value: f(self.value),
            span: self.span,
            node: self.node,
        }
    }

    /// Returns the place of the part that a JSON pointer names.
    pub(super) fn at(&self, pointer: &str) -> Option<Span> {
        self.node
            .as_ref()
            .and_then(|n| n.pointer(pointer))
            .map(|n| n.span.clone())
            .or_else(|| self.span.clone())
    }

    /// Returns the place of a key of the map that a JSON pointer names.
    pub(super) fn key_at(&self, pointer: &str, key: &str) -> Option<Span> {
        let entry = self
            .node
            .as_ref()
            .and_then(|n| n.pointer(pointer))
            .and_then(|n| n.get(key));
        entry
            .map(|e| e.key_span.clone())
            .or_else(|| self.span.clone())
    }

    /// Returns the text of a scalar as the file has it: `1.30` where its value is 1.3.
    pub(super) fn written(&self, pointer: &str) -> Option<&str> {
        self.node
            .as_ref()?
            .pointer(pointer)?
            .as_scalar()
            .map(|s| s.text.as_str())
    }
}

/// A host with what its variables are rendered in.
#[derive(Debug)]
pub(super) struct Vars<'i> {
    pub(super) host: &'i Host,
    pub(super) scope: Scope,
}

impl Vars<'_> {
    /// Returns a variable, rendered; `None` if it is not set, is null, or cannot be rendered, which is told.
    pub(super) fn get(&self, name: &str, findings: &mut Findings) -> Option<Got<Value>> {
        let variable = self.variable(name)?;
        match self.scope.get(name)? {
            Ok(Value::Null) => None,
            Ok(value) => Some(Got {
                value,
                span: variable.origin.span.clone(),
                node: variable.node.clone(),
            }),
            Err(diagnostic) => {
                findings.push(diagnostic);
                None
            }
        }
    }

    /// Returns a variable as it was set.
    pub(super) fn variable(&self, name: &str) -> Option<&Variable> {
        self.host.vars.get(name)
    }
}

/// Returns what a value is, for messages.
pub(super) fn describe(value: &Value) -> String {
    match value {
        Value::Null => "nothing".into(),
        Value::Bool(boolean) => format!("the boolean {boolean}"),
        Value::Number(number) => format!("the number {number}"),
        Value::String(text) => format!("the text `{text}`"),
        Value::Array(_) => "a list".into(),
        Value::Object(_) => "a map".into(),
    }
}

fn wrong<T>(name: &str, expected: &str, got: &Got<Value>, findings: &mut Findings) -> Option<T> {
    let error = Diagnostic::error(format!(
        "`{name}` is {expected}, not {}",
        describe(&got.value)
    ))
    .at(got.span.clone());
    findings.push(error);
    None
}

pub(super) fn text(name: &str, got: Got<Value>, findings: &mut Findings) -> Option<Got<String>> {
    match &got.value {
        Value::String(text) => {
            let text = text.clone();
            Some(got.map(|_| text))
        }
        Value::Number(_) | Value::Bool(_) if is_secret(name) => {
            let error = Diagnostic::error(format!(
                "`{name}` is text, and without quotes it is read as something else"
            ));
            findings.push(error.at(got.span.clone()).help("put quotes around it"));
            None
        }
        // What was written counts where a number or a boolean was meant as text: a cluster called 007.
        Value::Number(_) | Value::Bool(_) => {
            let shown = got
                .written("")
                .map_or_else(|| got.value.to_string(), str::to_owned);
            let error = Diagnostic::error(format!(
                "`{name}` is text, and without quotes `{shown}` is read as {}",
                describe(&got.value)
            ));
            findings.push(
                error
                    .at(got.span.clone())
                    .help(format!("write \"{shown}\"")),
            );
            None
        }
        _ => wrong(name, "text", &got, findings),
    }
}

pub(super) fn boolean(name: &str, got: Got<Value>, findings: &mut Findings) -> Option<Got<bool>> {
    let value = match &got.value {
        Value::Bool(boolean) => *boolean,
        // `-e NAME=true` gives text.
        Value::String(text) => match text.as_str() {
            "true" | "True" | "yes" => true,
            "false" | "False" | "no" => false,
            _ => return wrong(name, "true or false", &got, findings),
        },
        _ => return wrong(name, "true or false", &got, findings),
    };
    Some(got.map(|_| value))
}

pub(super) fn integer(
    name: &str,
    low: i64,
    high: i64,
    got: Got<Value>,
    findings: &mut Findings,
) -> Option<Got<i64>> {
    let number = match &got.value {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    };
    match number {
        Some(number) if (low..=high).contains(&number) => Some(got.map(|_| number)),
        _ => wrong(
            name,
            &format!("a whole number from {low} to {high}"),
            &got,
            findings,
        ),
    }
}

pub(super) fn port(name: &str, got: Got<Value>, findings: &mut Findings) -> Option<Got<u16>> {
    let got = integer(name, 1, i64::from(u16::MAX), got, findings)?;
    let port = u16::try_from(got.value).ok()?;
    Some(got.map(|_| port))
}

pub(super) fn one_of(
    name: &str,
    words: &[&'static str],
    got: Got<Value>,
    findings: &mut Findings,
) -> Option<Got<&'static str>> {
    let text = got.value.as_str().unwrap_or_default().to_owned();
    if let Some(word) = words.iter().find(|w| **w == text) {
        return Some(got.map(|_| *word));
    }
    let mut error = Diagnostic::error(format!(
        "`{name}` is one of {}, not {}",
        list(words),
        describe(&got.value)
    ))
    .at(got.span.clone());
    if let Some(near) = nearest(&text, words.iter().copied()) {
        error = error.help(format!("did you mean `{near}`?"));
    }
    findings.push(error);
    None
}

/// Returns words as a person would list them.
pub(super) fn list(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [one] => format!("`{one}`"),
        [head @ .., last] => {
            let head: Vec<String> = head.iter().map(|w| format!("`{w}`")).collect();
            format!("{} and `{last}`", head.join(", "))
        }
    }
}

/// Returns an IPv4 address that a host or a cluster can have.
pub(super) fn address(name: &str, got: Got<Value>, findings: &mut Findings) -> Option<Got<IpAddr>> {
    let parsed = got.value.as_str().and_then(|t| t.parse::<IpAddr>().ok());
    let Some(address) = parsed else {
        let slash = got
            .value
            .as_str()
            .and_then(|t| t.split_once('/'))
            .filter(|(a, _)| a.parse::<IpAddr>().is_ok());
        if let Some((address, _)) = slash {
            let error = Diagnostic::error(format!(
                "`{name}` is an address alone, without the prefix of its network"
            ));
            findings.push(error.at(got.span.clone()).help(format!("write {address}")));
            return None;
        }
        return wrong(name, "an IP address", &got, findings);
    };
    if let Some(problem) = unusable(address) {
        findings.push(
            Diagnostic::error(format!("`{name}` cannot be {address}: {problem}"))
                .at(got.span.clone()),
        );
        return None;
    }
    Some(got.map(|_| address))
}

/// Returns why an address cannot be a host's or a cluster's.
pub(super) fn unusable(address: IpAddr) -> Option<&'static str> {
    let IpAddr::V4(v4) = address else {
        return Some("IPv6 is not built yet");
    };
    if v4.is_loopback() {
        Some("it is every host's own loopback")
    } else if v4.is_unspecified() || v4.octets()[0] == 0 {
        Some("it is no host's address")
    } else if v4.is_multicast() || v4.octets()[0] >= 240 {
        Some("it is no single host's address")
    } else {
        None
    }
}

/// Returns a list of texts; one text is a list of one, and commas part it.
pub(super) fn texts(
    name: &str,
    got: Got<Value>,
    findings: &mut Findings,
) -> Option<Got<Vec<String>>> {
    let values = match &got.value {
        Value::String(text) => text
            .split(',')
            .map(str::trim)
            .filter(|t| !t.is_empty())
            .map(str::to_owned)
            .collect(),
        Value::Array(items) => {
            let mut values = Vec::new();
            for (i, item) in items.iter().enumerate() {
                let Some(text) = item.as_str() else {
                    let error = Diagnostic::error(format!(
                        "`{name}` is a list of texts, and here is {}",
                        describe(item)
                    ));
                    findings.push(
                        error
                            .at(got.at(&format!("/{i}")))
                            .help("put quotes around it"),
                    );
                    return None;
                };
                values.push(text.to_owned());
            }
            values
        }
        _ => return wrong(name, "a list of texts", &got, findings),
    };
    Some(got.map(|_| values))
}

/// Returns a value that its own type reads from text.
pub(super) fn parsed<T: FromStr>(
    name: &str,
    got: Got<Value>,
    findings: &mut Findings,
) -> Option<Got<T>>
where
    T::Err: std::fmt::Display,
{
    let got = text(name, got, findings)?;
    match got.value.parse() {
        Ok(value) => Some(got.map(|_| value)),
        Err(error) => {
            findings.push(Diagnostic::error(format!("`{name}`: {error}")).at(got.span));
            None
        }
    }
}
