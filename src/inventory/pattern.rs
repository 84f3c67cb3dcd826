//! Which hosts a pattern means: `--limit`, and `hosts` of a play (Ansible's "Patterns: targeting hosts and groups").

use indexmap::IndexSet;
use regex::Regex;

use super::Inventory;
use super::graph::ALL;
use crate::model::{Diagnostic, HostName, nearest};

impl Inventory {
    /// Returns the hosts that a pattern means, in the order of the pattern: `a:b`, `a,b`, `a:&b`, `a:!b`, globs,
    /// `~regex`, `group[0]`, `group[1:2]`. What means no host is an error with the nearest name. `@file` is read by
    /// [`super::limit`].
    pub fn select(&self, pattern: &str) -> Result<Vec<&HostName>, Diagnostic> {
        self.select_parts(&split(pattern), pattern)
    }

    /// Returns the hosts that the parts of `whole` mean together.
    pub(super) fn select_parts(
        &self,
        parts: &[&str],
        whole: &str,
    ) -> Result<Vec<&HostName>, Diagnostic> {
        if parts.is_empty() {
            // Not all hosts, as in Ansible: an empty file or shell variable is a mistake more often than a wish.
            let error = Diagnostic::error(format!("the pattern `{whole}` is empty"));
            return Err(error.help("write `all` for all hosts"));
        }
        let mut regular: Vec<&str> = parts
            .iter()
            .copied()
            .filter(|p| !p.starts_with(['&', '!']))
            .collect();
        if regular.is_empty() {
            regular.push(ALL);
        }
        let mut hosts: IndexSet<&HostName> = IndexSet::new();
        for part in regular {
            hosts.extend(self.matching(part)?);
        }
        for part in parts.iter().filter_map(|p| p.strip_prefix('&')) {
            let these: IndexSet<&HostName> = self.matching(part)?.into_iter().collect();
            hosts.retain(|h| these.contains(h));
        }
        for part in parts.iter().filter_map(|p| p.strip_prefix('!')) {
            let these: IndexSet<&HostName> = self.matching(part)?.into_iter().collect();
            hosts.retain(|h| !these.contains(h));
        }
        if hosts.is_empty() {
            let error = Diagnostic::error(format!("the pattern `{whole}` leaves no host"));
            return Err(error.help("`quorate inventory graph` shows the groups and their hosts"));
        }
        Ok(hosts.into_iter().collect())
    }

    /// Returns what one part of a pattern means. A part that means nothing is an error, even where others mean
    /// something: a typing error in `!w1` would otherwise change w1.
    fn matching(&self, part: &str) -> Result<Vec<&HostName>, Diagnostic> {
        if let Some((name, _)) = self.hosts.get_key_value(part) {
            return Ok(vec![name]);
        }
        let (expression, subscript) = subscript(part);
        let Some(hosts) = self.enumerate(expression)? else {
            let error = Diagnostic::error(format!("no host or group is called `{expression}`"));
            let known = self
                .hosts
                .keys()
                .map(HostName::as_str)
                .chain(self.groups.keys().map(|g| g.as_str()));
            if let Some(subscript) = part.strip_prefix(expression).filter(|s| s.contains(':')) {
                return Err(error.help(format!(
                    "`{subscript}` in a pattern counts the hosts of a group; for names write `{expression}*`, or each name with `:` between them"
                )));
            }
            return Err(match nearest(expression, known) {
                Some(near) => error.help(format!("did you mean `{near}`?")),
                None => error.help("`quorate inventory graph` shows the groups and their hosts"),
            });
        };
        let count = hosts.len();
        let out = || {
            let error = Diagnostic::error(format!(
                "`{part}` means no host: `{expression}` has {count}"
            ));
            error.help("hosts are counted from 0, and from the end with -1")
        };
        // Python's slices: an index below zero counts from the end.
        let at = |i: i64| {
            if i < 0 {
                i64::try_from(count).unwrap_or(i64::MAX).saturating_add(i)
            } else {
                i
            }
        };
        let (start, end) = match subscript {
            None => return Ok(hosts),
            Some((start, None)) => (at(start), at(start)),
            Some((start, Some(end))) => (at(start), at(end).min(at(-1))),
        };
        let start = usize::try_from(start).map_err(|_| out())?;
        let end = usize::try_from(end).map_err(|_| out())?;
        let slice = if start <= end {
            hosts.get(start..=end)
        } else {
            None
        };
        slice.map(<[_]>::to_vec).ok_or_else(out)
    }

    /// Returns the hosts of all groups that an expression matches, and the hosts that it matches itself; `None` if it
    /// matches neither.
    fn enumerate(&self, expression: &str) -> Result<Option<Vec<&HostName>>, Diagnostic> {
        let matcher = Matcher::new(expression)?;
        let mut found = false;
        let mut hosts: IndexSet<&HostName> = IndexSet::new();
        for group in self.groups.keys().filter(|g| matcher.is_match(g.as_str())) {
            found = true;
            hosts.extend(self.hosts_of(group.as_str()));
        }
        if !found || matcher.is_pattern() {
            hosts.extend(self.hosts.keys().filter(|h| matcher.is_match(h.as_str())));
        }
        Ok((found || !hosts.is_empty()).then(|| hosts.into_iter().collect()))
    }
}

enum Matcher {
    Name(String),
    Regex(Regex),
}

impl Matcher {
    fn new(expression: &str) -> Result<Self, Diagnostic> {
        let regex = match expression.strip_prefix('~') {
            // Python's `match`: anchored at the start alone.
            Some(regex) => format!("^(?:{regex})"),
            None if expression.contains(['*', '?', '[']) => glob(expression),
            None => return Ok(Self::Name(expression.to_owned())),
        };
        Regex::new(&regex).map(Self::Regex).map_err(|_| {
            let error = Diagnostic::error(format!("`{expression}` is no pattern"));
            error.help(
                "after `~` stands a regular expression; otherwise `*`, `?` and `[…]` are wildcards",
            )
        })
    }

    fn is_match(&self, name: &str) -> bool {
        match self {
            Self::Name(wanted) => wanted == name,
            Self::Regex(regex) => regex.is_match(name),
        }
    }

    fn is_pattern(&self) -> bool {
        matches!(self, Self::Regex(_))
    }
}

/// Returns the regular expression of a glob (Python's `fnmatch.translate`).
fn glob(pattern: &str) -> String {
    let mut regex = String::from("^");
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '*' => regex.push_str(".*"),
            '?' => regex.push('.'),
            '[' => {
                let rest: String = chars.clone().collect();
                // The first `]` is a member of the set where it stands right at its beginning.
                let body_start = usize::from(rest.starts_with('!'));
                let search = rest
                    .get(body_start + 1..)
                    .and_then(|r| r.find(']'))
                    .map(|i| i + body_start + 1);
                match search {
                    Some(end) => {
                        let body = &rest[body_start..end];
                        regex.push('[');
                        if body_start == 1 {
                            regex.push('^');
                        }
                        regex.push_str(
                            &body
                                .replace('\\', "\\\\")
                                .replace('[', "\\[")
                                .replace('^', "\\^")
                                .replace("&&", "&\\&"),
                        );
                        regex.push(']');
                        for _ in 0..rest[..=end].chars().count() {
                            chars.next();
                        }
                    }
                    None => regex.push_str("\\["),
                }
            }
            other => regex.push_str(&regex::escape(&other.to_string())),
        }
    }
    regex.push('$');
    regex
}

/// Returns the parts of a pattern: at commas, or at colons where there is no comma and no bracket around them.
pub(super) fn split(pattern: &str) -> Vec<&str> {
    let separator = if pattern.contains(',') { ',' } else { ':' };
    let mut parts = Vec::new();
    let (mut start, mut depth) = (0, 0_usize);
    for (i, c) in pattern.char_indices() {
        match c {
            '[' | '(' => depth += 1,
            ']' | ')' => depth = depth.saturating_sub(1),
            c if c == separator && (depth == 0 || c == ',') => {
                parts.push(&pattern[start..i]);
                start = i + 1;
            }
            _ => {}
        }
    }
    parts.push(&pattern[start..]);
    parts
        .into_iter()
        .map(str::trim)
        .filter(|p| !p.is_empty())
        .collect()
}

type Subscript = (i64, Option<i64>);

/// Returns the expression and the subscript of `group[0]` or `group[1:2]`; `group[1:]` goes to the end.
fn subscript(part: &str) -> (&str, Option<Subscript>) {
    let none = (part, None);
    if part.starts_with('~') {
        return none;
    }
    let Some((expression, range)) = part.strip_suffix(']').and_then(|p| p.rsplit_once('[')) else {
        return none;
    };
    if expression.is_empty() {
        return none;
    }
    let digits = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
    if digits(range.strip_prefix('-').unwrap_or(range)) {
        return range
            .parse()
            .map_or(none, |i| (expression, Some((i, None))));
    }
    match range.split_once(':') {
        Some((start, end)) if digits(start) && (end.is_empty() || digits(end)) => {
            let end = if end.is_empty() { Ok(-1) } else { end.parse() };
            match (start.parse(), end) {
                (Ok(start), Ok(end)) => (expression, Some((start, Some(end)))),
                _ => none,
            }
        }
        _ => none,
    }
}
