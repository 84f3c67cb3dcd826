//! What is wrong with the user's input, and where.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use camino::Utf8PathBuf;
use zeroize::Zeroize as _;

use super::Masks;

/// A file's text as it was read, for snippets.
#[derive(PartialEq, Eq)]
pub struct Source {
    /// The path as the user named it.
    pub path: Utf8PathBuf,
    /// The whole text.
    pub text: String,
    /// What of it was encrypted.
    pub seal: Seal,
}

/// What of a source was encrypted, and must not be shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Seal {
    /// Nothing.
    #[default]
    None,
    /// The whole file: the text is its content.
    Text,
    /// The values with spans into it; the text holds them encrypted, as it was read.
    Values,
}

impl Source {
    /// Returns a text that was not encrypted.
    pub fn new(path: impl Into<Utf8PathBuf>, text: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            text: text.into(),
            seal: Seal::None,
        }
    }

    /// Returns the same text with another seal.
    #[must_use]
    pub fn sealed(&self, seal: Seal) -> Self {
        Self {
            path: self.path.clone(),
            text: self.text.clone(),
            seal,
        }
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self.seal {
            Seal::Text => "***",
            Seal::None | Seal::Values => self.text.as_str(),
        };
        f.debug_struct("Source")
            .field("path", &self.path)
            .field("text", &text)
            .field("seal", &self.seal)
            .finish()
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        if self.seal == Seal::Text {
            self.text.zeroize();
        }
    }
}

/// A place in a source: bytes `range` of its text.
#[derive(Clone, PartialEq, Eq)]
pub struct Span {
    /// The file.
    pub source: Arc<Source>,
    /// Byte offsets into the text, end exclusive.
    pub range: Range<usize>,
}

impl Span {
    /// Returns whether a colon stands behind it: names of variables are told of, their values are not.
    fn is_name(&self) -> bool {
        let behind = self.source.text.get(self.range.end..);
        behind.is_some_and(|text| text.starts_with(':'))
    }

    /// Returns whether what stands there was encrypted.
    pub fn is_secret(&self) -> bool {
        self.source.seal != Seal::None
    }

    /// Returns line and column, both from 1, the column in characters.
    pub fn line_column(&self) -> (usize, usize) {
        let mut start = self.range.start.min(self.source.text.len());
        while !self.source.text.is_char_boundary(start) {
            start -= 1;
        }
        let before = &self.source.text[..start];
        let line_start = before.rfind('\n').map_or(0, |i| i + 1);
        (
            before.matches('\n').count() + 1,
            before[line_start..].chars().count() + 1,
        )
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (line, column) = self.line_column();
        write!(f, "{}:{line}:{column}", self.source.path)
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Whether a finding stops the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth a look; the run goes on.
    Warning,
    /// The input is wrong: exit code 4, nobody is contacted.
    Error,
}

/// One finding about the user's input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Whether it stops the run.
    pub severity: Severity,
    /// What was expected and what was found, in one sentence without a final period.
    pub message: String,
    /// Where; `None` for what is missing altogether.
    pub span: Option<Span>,
    /// What to do next.
    pub help: Option<String>,
}

impl Diagnostic {
    /// Returns an error without a place or help.
    pub fn error(message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            message: message.into(),
            span: None,
            help: None,
        }
    }

    /// Returns a warning without a place or help.
    pub fn warning(message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(message)
        }
    }

    fn hide(&mut self, masks: &Masks) {
        let secret = self.span.as_ref().filter(|span| span.is_secret());
        let own = secret.filter(|span| span.source.seal == Seal::Text && !span.is_name());
        let own = own.and_then(|span| span.source.text.get(span.range.clone()));
        let own = own.map(|text| Masks::new([text.trim_matches(['"', '\'']).to_owned()]));
        for text in [Some(&mut self.message), self.help.as_mut()]
            .into_iter()
            .flatten()
        {
            // What is said of a secret may hold a short one, which is no reason to mask that word everywhere.
            *text = match secret {
                Some(_) => masks.hide_all(text),
                None => quoted(&masks.hide(text), masks),
            };
            if let Some(own) = &own {
                *text = own.hide_all(text);
            }
        }
    }

    /// Returns the finding with its place.
    #[must_use]
    pub fn at(mut self, span: impl Into<Option<Span>>) -> Self {
        self.span = span.into();
        self
    }

    /// Returns the finding with what to do next.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// Hides short secrets where something is quoted: a value of another file may have been rendered into it.
fn quoted(text: &str, masks: &Masks) -> String {
    let parts = text.split('`').enumerate();
    let parts: Vec<String> = parts
        .map(|(n, part)| match n % 2 {
            0 => part.to_owned(),
            _ => masks.hide_all(part),
        })
        .collect();
    parts.join("`")
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(span) = &self.span {
            write!(f, "{span}: ")?;
        }
        f.write_str(&self.message)?;
        match &self.help {
            Some(help) => write!(f, " ({help})"),
            None => Ok(()),
        }
    }
}

/// All findings of one reading, in the order in which they were found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Diagnostics(pub Vec<Diagnostic>);

impl Diagnostics {
    /// Adds a finding.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.0.push(diagnostic);
    }

    /// Adds an error at a place.
    pub fn complain(
        &mut self,
        message: impl Into<String>,
        span: &Span,
        help: impl Into<Option<String>>,
    ) {
        let mut error = Diagnostic::error(message).at(span.clone());
        error.help = help.into();
        self.push(error);
    }

    /// Adds all findings of another reading.
    pub fn extend(&mut self, other: Diagnostics) {
        self.0.extend(other.0);
    }

    /// Returns whether one of them stops the run.
    pub fn has_errors(&self) -> bool {
        self.0.iter().any(|d| d.severity == Severity::Error)
    }

    /// Returns the findings without decrypted values in what they say.
    #[must_use]
    pub fn hide(mut self, masks: &Masks) -> Self {
        for finding in &mut self.0 {
            finding.hide(masks);
        }
        self
    }

    /// Returns the findings.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.0.iter()
    }
}

/// Returns the name among `known` that `name` was most likely meant to be: at most two edits away
/// (Damerau-Levenshtein), and fewer edits than half its length.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Two edits change a length by two characters, of four bytes at most; a name may be as long as its file.
    let near = |candidate: &&str| candidate.len().abs_diff(name.len()) <= 8;
    known
        .into_iter()
        .filter(near)
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
        .filter(|(distance, candidate)| {
            *distance <= 2 && distance * 2 < candidate.chars().count().max(2)
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}
