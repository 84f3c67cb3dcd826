//! Values behind `!vault`.

use std::sync::Arc;

use serde_saphyr::granit_parser::{Span as ParserSpan, Tag};

use super::{Builder, Kind, Node, Scalar};
use crate::model::{Diagnostic, Seal, Source, Span, Value};
use crate::vault::{self, Closed, Keys};

/// What becomes of encrypted values.
#[derive(Debug, Clone, Copy)]
pub enum Vaulted<'k> {
    /// They are a mistake, as in files of roles.
    Refused,
    /// They are left alone: their text is what stands there.
    Kept,
    /// They are decrypted; one that stays closed is a mistake, and null.
    Opened(&'k Keys),
}

/// What to do about something encrypted in a file whose secrets are not read.
pub(super) const NOT_HERE: &str = "encrypted values are read in inventories, group_vars/, host_vars/ and `-e @FILE`: keep the secret there";

/// Returns the finding about a file that is encrypted as a whole, where those are not read.
pub(super) fn refuse_file(source: &Arc<Source>) -> Option<Diagnostic> {
    let kind = vault::kind(source.text.as_bytes())?;
    let at = Span {
        source: source.clone(),
        range: 0..source.text.lines().next().map_or(0, str::len),
    };
    let error = Diagnostic::error(format!("the file is encrypted with {kind}"));
    Some(error.at(at).help(NOT_HERE))
}

pub(super) fn is_vault(tag: &Tag) -> bool {
    matches!(tag.original().as_str(), "!vault" | "!vault-encrypted")
}

impl Builder<'_> {
    /// Returns the value behind `!vault`: text, always, as Ansible has it.
    pub(super) fn vaulted(&mut self, text: &str, tag: &Tag, span: &ParserSpan) -> Node {
        let mut at = self.span(span);
        let mut value = Value::Null;
        match self.vaulted {
            Vaulted::Refused => self.refuse_tag(tag, span),
            Vaulted::Kept => value = Value::String(text.into()),
            Vaulted::Opened(keys) => {
                let source = self.source;
                let sealed = self
                    .sealed
                    .get_or_insert_with(|| match source.seal {
                        // In a file that was encrypted itself all is a secret already.
                        Seal::Text => source.clone(),
                        _ => Arc::new(source.sealed(Seal::Values)),
                    })
                    .clone();
                match open(text, keys) {
                    Ok(content) => value = Value::String(content),
                    Err(closed) if keys.is_told(&closed) => {}
                    Err(closed) => {
                        let what = closed.to_string();
                        let what = what.strip_prefix("it is").unwrap_or(&what).to_owned();
                        let error = Diagnostic::error(format!("the value is{what}"));
                        // At the tag, whose line has the name in it.
                        let tag = span.tag_span().map_or(at.clone(), |tag| self.span(&tag));
                        self.diagnostics.push(error.at(tag).help(closed.help()));
                    }
                }
                at.source = sealed;
            }
        }
        let text = value.as_str().unwrap_or_default().to_owned();
        Node {
            kind: Kind::Scalar(Scalar {
                value,
                text,
                plain: false,
            }),
            span: at,
        }
    }
}

fn open(text: &str, keys: &Keys) -> Result<String, Closed> {
    let opened = keys.open(text.as_bytes())?;
    let content = opened.content.expose();
    String::from_utf8(content.clone()).map_err(|_| Closed::Damaged {
        kind: vault::Kind::Ansible,
        reason: "its content is no UTF-8 text".into(),
    })
}
