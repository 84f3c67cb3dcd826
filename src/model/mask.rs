//! Decrypted values, to be found in texts that are about to be shown or written down.

use std::fmt;
use std::ops::Range;

use aho_corasick::AhoCorasick;
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
#[derive(Clone, Default)]
pub struct Masks {
    long: Vec<Secret<String>>,
    /// Those that count as a word alone, the longest first.
    short: Vec<Secret<String>>,
    /// Finds the long ones in one pass over a text, however many there are. `None` where there are none, or where it could not be
    /// made: then no text is shown.
    search: Option<AhoCorasick>,
}

impl fmt::Debug for Masks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Masks({})", self.long.len() + self.short.len())
    }
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
        let is_long = |text: &String| text.chars().count() >= LONG;
        let (long, short): (Vec<String>, Vec<String>) = texts.into_iter().partition(is_long);
        let search = AhoCorasick::new(&long).ok().filter(|_| !long.is_empty());
        Self {
            long: long.into_iter().map(Secret::new).collect(),
            short: short.into_iter().map(Secret::new).collect(),
            search,
        }
    }

    /// Returns the masks of both.
    pub fn and(&self, other: &Self) -> Self {
        let all = [self, other].into_iter();
        let all = all.flat_map(|masks| masks.long.iter().chain(&masks.short));
        Self::sorted(all.map(|text| text.expose().clone()).collect())
    }

    /// Returns whether there is nothing to hide.
    pub fn is_empty(&self) -> bool {
        self.long.is_empty() && self.short.is_empty()
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
        let mut text = match &self.search {
            Some(search) => covered(text, search),
            None if !self.long.is_empty() => return MASK.to_owned(),
            None => text.to_owned(),
        };
        for secret in self.short.iter().map(Secret::expose) {
            if secret.chars().count() >= shortest && text.contains(secret.as_str()) {
                text = words_replaced(&text, secret);
            }
        }
        text
    }
}

/// Returns the text with one mask in the place of all that lies within one of the values, or within several that overlap.
fn covered(text: &str, search: &AhoCorasick) -> String {
    let mut parts: Vec<Range<usize>> = Vec::new();
    let mut found: Vec<Range<usize>> = search
        .find_overlapping_iter(text)
        .map(|m| m.range())
        .collect();
    found.sort_by_key(|part| part.start);
    for part in found {
        match parts.last_mut() {
            Some(last) if part.start < last.end => last.end = last.end.max(part.end),
            _ => parts.push(part),
        }
    }
    replaced(text, parts)
}

/// Returns the text with a mask in the place of a value where it is no part of a longer word.
fn words_replaced(text: &str, secret: &str) -> String {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let alone = |part: &Range<usize>| {
        let inside = text[..part.start].ends_with(is_word) && secret.starts_with(is_word)
            || text[part.end..].starts_with(is_word) && secret.ends_with(is_word);
        !inside
    };
    let found = text.match_indices(secret);
    let found = found.map(|(at, _)| at..at + secret.len());
    replaced(text, found.filter(alone))
}

/// Returns the text with masks in the place of parts, which are in order and do not overlap.
fn replaced(text: &str, parts: impl IntoIterator<Item = Range<usize>>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut done = 0;
    for part in parts {
        out.push_str(&text[done..part.start]);
        out.push_str(MASK);
        done = part.end;
    }
    out.push_str(&text[done..]);
    out
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
