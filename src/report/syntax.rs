//! A unified diff in colours: what was added and removed, in it keys and comments, and the part of a line that differs.

use std::fmt::Write as _;

use anstyle::{Effects, Style};

use super::text::{BOLD, CYAN, GREEN, RED};

/// How a file is written, as far as colours need to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Language {
    Yaml,
    Json,
    /// `key = value`, `key value`, `[section]`, comments behind `#` or `;`.
    Conf,
    /// Comments behind `#` alone.
    Shell,
}

/// A shorter shared part does not make two lines the same line with a difference.
const LEAST_SHARED: usize = 4;

/// Returns the lines of a unified diff, styled.
pub(super) fn diff(text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().collect();
    let name = lines.iter().find_map(|line| line.strip_prefix("+++ "));
    let language = name.map_or(Language::Conf, language);
    let header = |at: usize| {
        lines[at].starts_with("--- ") && lines.get(at + 1).is_some_and(|l| l.starts_with("+++ "))
            || lines[at].starts_with("+++ ") && (at == 0 || !lines[at - 1].starts_with('+'))
    };
    let mut out = Vec::with_capacity(lines.len());
    let mut at = 0;
    while at < lines.len() {
        let line = lines[at];
        if at < 2 && header(at) {
            out.push(plain(BOLD, line));
            at += 1;
        } else if line.starts_with("@@") {
            out.push(plain(CYAN, line));
            at += 1;
        } else if line.starts_with(['-', '+']) {
            let run = |from: usize, sign| {
                let same = lines[from..].iter().take_while(|l| l.starts_with(sign));
                same.count()
            };
            let gone = run(at, '-');
            let come = run(at + gone, '+');
            for index in 0..gone + come {
                let line = lines[at + index];
                // Line by line where as many come as go: else nobody knows which belongs to which.
                let pair = match gone == come {
                    true if index < gone => Some(lines[at + gone + index]),
                    true => Some(lines[at + index - gone]),
                    false => None,
                };
                out.push(changed(line, pair, language));
            }
            at += gone + come;
        } else {
            out.push(styled(line, 1, Style::new(), language, None));
            at += 1;
        }
    }
    out
}

fn language(path: &str) -> Language {
    let name = path.rsplit('/').next().unwrap_or(path);
    match name.rsplit_once('.').map(|(_, end)| end) {
        Some("yaml" | "yml") => Language::Yaml,
        Some("json") => Language::Json,
        Some("sh" | "bash") => Language::Shell,
        _ if path.contains("/manifests/") => Language::Yaml,
        // kubeconfigs are YAML: admin.conf, kubelet.conf.
        Some("conf") if path.starts_with("/etc/kubernetes/") => Language::Yaml,
        _ => Language::Conf,
    }
}

fn plain(style: Style, text: &str) -> String {
    format!("{style}{text}{style:#}")
}

fn changed(line: &str, pair: Option<&str>, language: Language) -> String {
    let base = if line.starts_with('-') { RED } else { GREEN };
    let differs = pair.and_then(|pair| differing(line.get(1..)?, pair.get(1..)?));
    styled(
        line,
        1,
        base,
        language,
        differs.map(|(from, to)| (from + 1, to + 1)),
    )
}

/// Returns which bytes of `one` are not in `other` at the same end; `None` where too little is shared to tell.
fn differing(one: &str, other: &str) -> Option<(usize, usize)> {
    let head: usize = one
        .chars()
        .zip(other.chars())
        .take_while(|(a, b)| a == b)
        .map(|(a, _)| a.len_utf8())
        .sum();
    let tail: usize = one[head..]
        .chars()
        .rev()
        .zip(other[head..].chars().rev())
        .take_while(|(a, b)| a == b)
        .map(|(a, _)| a.len_utf8())
        .sum();
    // Whole words: half a number says nothing.
    let word = |c: &char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
    let before: usize = one[..head]
        .chars()
        .rev()
        .take_while(word)
        .map(char::len_utf8)
        .sum();
    let behind: usize = one[one.len() - tail..]
        .chars()
        .take_while(word)
        .map(char::len_utf8)
        .sum();
    let (from, to) = (head - before, one.len() - tail + behind);
    let shared = one[..from].trim().len() + one[to..].trim().len();
    (shared >= LEAST_SHARED).then_some((from, to))
}

/// Returns a line in `base`, its text from byte `from` on coloured by its language, the bytes in `marked` underlined.
fn styled(
    line: &str,
    from: usize,
    base: Style,
    language: Language,
    marked: Option<(usize, usize)>,
) -> String {
    let from = if line.is_char_boundary(from) { from } else { 0 };
    let (head, text) = line.split_at(from.min(line.len()));
    let parts = parts(text, language);
    let style_at = |byte: usize| {
        let mut effects = Effects::new();
        if byte >= head.len() {
            let at = byte - head.len();
            effects |= match parts {
                Parts { comment, .. } if at >= comment => Effects::DIMMED,
                Parts { key, .. } if key.0 <= at && at < key.1 => Effects::BOLD,
                _ => Effects::new(),
            };
        }
        if marked.is_some_and(|(from, to)| from <= byte && byte < to) {
            effects |= Effects::UNDERLINE;
        }
        base.effects(effects)
    };
    let mut out = String::with_capacity(line.len() + 32);
    let mut now: Option<Style> = None;
    for (byte, c) in line.char_indices() {
        let style = style_at(byte);
        if now != Some(style) {
            if let Some(now) = now {
                let _ = write!(out, "{now:#}");
            }
            let _ = write!(out, "{style}");
            now = Some(style);
        }
        out.push(c);
    }
    if let Some(now) = now {
        let _ = write!(out, "{now:#}");
    }
    out
}

/// Where a line's key lies, and from where on it is a comment.
struct Parts {
    key: (usize, usize),
    comment: usize,
}

fn parts(text: &str, language: Language) -> Parts {
    let start = text.len() - text.trim_start().len();
    let body = &text[start..];
    let comments: &[char] = match language {
        Language::Conf => &['#', ';', '!'],
        Language::Yaml | Language::Shell => &['#'],
        Language::Json => &[],
    };
    if body.starts_with(comments) {
        return Parts {
            key: (0, 0),
            comment: start,
        };
    }
    let comment = match language {
        Language::Json => None,
        _ => text.find(" #").map(|at| at + 1),
    };
    let comment = comment.unwrap_or(text.len());
    let key = match language {
        Language::Shell => None,
        Language::Yaml => {
            let dashes = body.len() - body.trim_start_matches("- ").len();
            let rest = &body[dashes..];
            let end = rest
                .find(": ")
                .or_else(|| rest.trim_end().strip_suffix(':').map(str::len));
            end.map(|end| (start + dashes, start + dashes + end))
        }
        Language::Json => {
            let end = body.find("\":").map(|end| end + 1);
            end.filter(|_| body.starts_with('"'))
                .map(|end| (start, start + end))
        }
        Language::Conf if body.starts_with('[') => Some((start, text.len())),
        Language::Conf => {
            let end = body.find([' ', '\t', '=']).unwrap_or(body.len());
            Some((start, start + end))
        }
    };
    Parts {
        key: key.unwrap_or((0, 0)),
        comment,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shows styles as letters: b(old), d(im), u(nderlined), r(ed), g(reen).
    fn shown(text: &str) -> String {
        let mut out = text.to_string();
        for (code, letter) in [
            ("\x1b[0m", "}"),
            ("\x1b[1m", "b{"),
            ("\x1b[2m", "d{"),
            ("\x1b[4m", "u{"),
            ("\x1b[31m", "r{"),
            ("\x1b[32m", "g{"),
            ("\x1b[36m", "c{"),
        ] {
            out = out.replace(code, letter);
        }
        out
    }

    #[test]
    fn keys_comments_and_what_differs() {
        let text = "--- /etc/haproxy/haproxy.cfg\n+++ /etc/haproxy/haproxy.cfg\n@@ -1,3 +1,3 @@\n global\n-    maxconn 1000\n+    maxconn 4000\n # by us\n";
        let lines: Vec<String> = diff(text).iter().map(|line| shown(line)).collect();
        assert_eq!(
            lines,
            [
                "b{--- /etc/haproxy/haproxy.cfg}",
                "b{+++ /etc/haproxy/haproxy.cfg}",
                "c{@@ -1,3 +1,3 @@}",
                " b{global}",
                "r{-    }b{r{maxconn}r{ }u{r{1000}",
                "g{+    }b{g{maxconn}g{ }u{g{4000}",
                " d{# by us}",
            ]
        );
    }

    #[test]
    fn styles_never_change_the_text() {
        for name in [
            "/etc/a.yaml",
            "/etc/a.json",
            "/etc/a.sh",
            "/etc/a.cfg",
            "/etc/kubernetes/admin.conf",
        ] {
            let text = format!(
                "--- {name}\n+++ {name}\n@@ -1 +1 @@\n-- a: \"ä#\" # x\n-\n+  - b: c\n+{{\"a\": 1}}\n+\n--- no header\n \n"
            );
            let lines = diff(&text);
            let plain: Vec<String> = lines
                .iter()
                .map(|line| anstream::adapter::strip_str(line).to_string())
                .collect();
            assert_eq!(plain, text.lines().collect::<Vec<_>>(), "{name}");
        }
    }

    #[test]
    fn lines_that_share_nothing_are_not_compared() {
        assert_eq!(differing("abc", "xyz"), None);
        assert_eq!(differing("    a", "    b"), None);
        assert_eq!(differing("key: one", "key: two"), Some((5, 8)));
        assert_eq!(differing("äöüß 1", "äöüß 2"), Some((9, 10)));
    }
}
