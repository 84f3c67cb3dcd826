//! Decrypted values, to be found in texts that are about to be shown or written down.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::Secret;

/// What stands in the place of a secret.
pub const MASK: &str = "***";

/// A shorter value is not looked for in texts: `3` and `no` stand in too many of them.
const SHORTEST: usize = 4;
/// A shorter value counts only as a whole word: `root` is not to be found in `rootfs`.
const LONG: usize = 8;

/// Values that must not stand in a text. Whoever prints or records a text that a decrypted value may have got into asks
/// here first; variables themselves are masked by what they are, whatever their value.
#[derive(Debug, Clone, Default)]
pub struct Masks {
    /// The longest first, so that a value inside another one leaves nothing of it.
    texts: Vec<Secret<String>>,
}

impl Masks {
    /// Returns the masks of these values. Of a text of several lines each longer line is looked for too, since texts are
    /// shown line by line; and so are the forms that a value has in JSON and as base64.
    pub fn new(values: impl IntoIterator<Item = String>) -> Self {
        let mut texts: Vec<String> = Vec::new();
        for value in values {
            let value = value.trim().to_owned();
            let lines = value.lines().map(str::trim);
            if lines.clone().count() > 1 {
                texts.extend(lines.filter(|l| l.len() >= LONG).map(str::to_owned));
            }
            let quoted = serde_json::to_string(&value).unwrap_or_default();
            let quoted = quoted.trim_matches('"');
            if quoted != value {
                texts.push(quoted.to_owned());
            }
            if value.len() >= SHORTEST {
                texts.push(BASE64.encode(&value));
            }
            texts.extend((0..3).filter_map(|before| inner_base64(&value, before)));
            texts.push(value);
        }
        Self::sorted(texts)
    }

    fn sorted(mut texts: Vec<String>) -> Self {
        texts.retain(|text| !text.is_empty());
        texts.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        texts.dedup();
        Self {
            texts: texts.into_iter().map(Secret::new).collect(),
        }
    }

    /// Returns the masks of both.
    pub fn and(&self, other: &Self) -> Self {
        let all = self.texts.iter().chain(&other.texts);
        Self::sorted(all.map(|text| text.expose().clone()).collect())
    }

    /// Returns whether there is nothing to hide.
    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// Returns the text with `***` in the place of each value of four characters or more; one of less than eight counts
    /// as a whole word alone.
    pub fn hide(&self, text: &str) -> String {
        self.with(text, SHORTEST)
    }

    /// As [`Masks::hide`], with the shortest values too: for what is said of a secret itself.
    pub fn hide_all(&self, text: &str) -> String {
        self.with(text, 1)
    }

    fn with(&self, text: &str, shortest: usize) -> String {
        let mut text = text.to_owned();
        for secret in &self.texts {
            let secret = secret.expose();
            let length = secret.chars().count();
            if length >= shortest && text.contains(secret.as_str()) {
                text = replaced(&text, secret, length < LONG);
            }
        }
        text
    }
}

/// Returns what all base64 (RFC 4648) of longer texts has in common where this value stands `before` bytes, modulo three, from their
/// beginning: without the characters that its neighbours have a part in. `None` where too little is left to tell it by.
fn inner_base64(value: &str, before: usize) -> Option<String> {
    let mut bytes = vec![0; before];
    bytes.extend(value.as_bytes());
    // 24 bits are four characters: of a byte that is not whole, two stand in a character with another one's.
    let first = (before * 8).div_ceil(6);
    let last = bytes.len() * 8 / 6;
    let text = BASE64.encode(&bytes);
    let inner = text.get(first..last)?;
    (inner.len() >= LONG).then(|| inner.to_owned())
}

fn replaced(text: &str, secret: &str, word: bool) -> String {
    if !word {
        return text.replace(secret, MASK);
    }
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut out = String::with_capacity(text.len());
    let mut done = 0;
    for (at, _) in text.match_indices(secret) {
        let end = at + secret.len();
        let inside = text[..at].ends_with(is_word) && secret.starts_with(is_word)
            || text[end..].starts_with(is_word) && secret.ends_with(is_word);
        if !inside {
            out.push_str(&text[done..at]);
            out.push_str(MASK);
            done = end;
        }
    }
    out.push_str(&text[done..]);
    out
}
