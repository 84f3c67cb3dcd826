//! Encrypted files on their way to texts, and the keys, which are asked for when the first such file is met.

use std::sync::Arc;

use camino::Utf8Path;

use crate::model::{Diagnostic, Diagnostics, Seal, Source, Span};
use crate::vault::{self, Keys, Kind};

/// Gets the keys, and says what is wrong with them: files are read, programs run, a person is asked. Called once at most, and
/// only where something is encrypted.
pub type Unlock<'u> = &'u dyn Fn() -> (Keys, Diagnostics);

pub(super) struct Locks<'u> {
    unlock: Unlock<'u>,
    keys: Option<Keys>,
}

impl<'u> Locks<'u> {
    pub(super) fn new(unlock: Unlock<'u>) -> Self {
        Self { unlock, keys: None }
    }

    /// Returns the keys; what is wrong with them is told the first time.
    fn keys(&mut self, diagnostics: &mut Diagnostics) -> &Keys {
        let unlock = self.unlock;
        self.keys.get_or_insert_with(|| {
            let (keys, found) = unlock();
            diagnostics.extend(found);
            keys
        })
    }

    /// Returns the keys for values inside files that are no secret as a whole: none where there are no such values.
    pub(super) fn for_values<'s>(
        mut self,
        mut sources: impl Iterator<Item = &'s Arc<Source>>,
        diagnostics: &mut Diagnostics,
    ) -> Keys {
        if sources.any(|source| source.text.contains(vault::ansible::HEADER)) {
            self.keys(diagnostics);
        }
        self.keys.unwrap_or_default()
    }

    /// Returns the content of an encrypted file; `None` where it stays closed, which is then told.
    pub(super) fn open(
        &mut self,
        path: &Utf8Path,
        bytes: &[u8],
        diagnostics: &mut Diagnostics,
    ) -> Option<Arc<Source>> {
        let keys = self.keys(diagnostics);
        let closed = match keys.open(bytes) {
            Ok(opened) => match std::str::from_utf8(opened.content.expose()) {
                Ok(text) => {
                    let source = Source {
                        path: path.to_owned(),
                        text: text.to_owned(),
                        seal: Seal::Text,
                    };
                    return Some(Arc::new(source));
                }
                Err(_) => vault::Closed::Damaged {
                    kind: vault::kind(bytes).unwrap_or(Kind::Age),
                    reason: "its content is no UTF-8 text".into(),
                },
            },
            Err(closed) => closed,
        };
        if !keys.is_told(&closed) {
            let what = closed.to_string();
            let what = what.strip_prefix("it is").unwrap_or(&what);
            let error = Diagnostic::error(format!("the file is{what}"));
            diagnostics.push(error.at(head(path, bytes)).help(closed.help()));
        }
        None
    }
}

/// Returns the place of an encrypted file's first line, which says in the clear what it is.
fn head(path: &Utf8Path, bytes: &[u8]) -> Span {
    let line = bytes.split(|b| *b == b'\n').next().unwrap_or_default();
    let text = String::from_utf8_lossy(line).into_owned();
    let range = 0..text.len();
    Span {
        source: Arc::new(Source::new(path, text)),
        range,
    }
}
