//! Decrypted values, to be found in texts that are about to be shown or written down.

use std::fmt;
use std::ops::Range;

use aho_corasick::AhoCorasick;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::{Secret, encoded};

/// What stands in the place of a secret.
pub const MASK: &str = "***";

/// A shorter value is not looked for in texts: `3` and `no` stand in too many of them.
const SHORTEST: usize = 4;
/// A shorter value counts only as a whole word: `root` is not to be found in `rootfs`.
const LONG: usize = 8;
/// How often base64 is decoded that stands within what base64 said: a pull secret is one of a JSON with another one in it.
const DEPTH: usize = 3;

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
    /// Finds the short ones that are looked for in all texts.
    words: Option<AhoCorasick>,
    /// How many characters of base64 the shortest of all these has.
    least: usize,
}

impl fmt::Debug for Masks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Masks({})", self.long.len() + self.short.len())
    }
}

impl Masks {
    /// Returns the masks of these values. Of a text of several lines each longer line is looked for too, since texts are
    /// shown line by line; and so is the form that a value has in JSON. All these are found within base64 as well.
    pub fn new(values: impl IntoIterator<Item = String>) -> Self {
        let mut texts: Vec<String> = Vec::new();
        for value in values {
            let value = value.trim().to_owned();
            let lines = value.lines().map(str::trim);
            if lines.clone().count() > 1 {
                texts.extend(lines.filter(|l| l.len() >= LONG).map(str::to_owned));
            }
            let quoted = serde_json::to_string(&value).unwrap_or_default();
            let quoted = quoted.strip_prefix('"').and_then(|q| q.strip_suffix('"'));
            texts.extend(quoted.filter(|q| *q != value).map(str::to_owned));
            // Letters may stand before it, among which a short one is no word.
            if (SHORTEST..LONG).contains(&value.len()) {
                texts.push(BASE64.encode(&value));
            }
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
        let is_word = |text: &&String| text.chars().count() >= SHORTEST;
        let words: Vec<&String> = short.iter().filter(is_word).collect();
        let shortest = long.iter().chain(words.iter().copied()).map(String::len);
        let least = encoded::length(shortest.min().unwrap_or_default());
        let search = AhoCorasick::new(&long).ok().filter(|_| !long.is_empty());
        let words = AhoCorasick::new(&words).ok().filter(|_| !words.is_empty());
        Self {
            long: long.into_iter().map(Secret::new).collect(),
            short: short.into_iter().map(Secret::new).collect(),
            search,
            words,
            least,
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

    /// Returns whether [`Masks::hide`] would hide a part of the text.
    pub fn finds(&self, text: &str) -> bool {
        !self.is_empty() && self.hide(text) != text
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
        if self.search.is_none() && !self.long.is_empty() {
            return MASK.to_owned();
        }
        let mut found: Vec<Range<usize>> = Vec::new();
        if let Some(search) = &self.search {
            found.extend(search.find_overlapping_iter(text).map(|m| m.range()));
        }
        let mut encoded = Vec::new();
        self.find_encoded(text.as_bytes(), 0, &mut encoded);
        found.extend(encoded.into_iter().map(|part| shown_part(text, part)));
        let mut text = replaced(text, joined(found));
        // Without a search all are looked for one by one.
        let is_without = |words: &AhoCorasick| !words.is_match(&text);
        if shortest == SHORTEST && self.words.as_ref().is_some_and(is_without) {
            return text;
        }
        for secret in self.short.iter().map(Secret::expose) {
            if secret.chars().count() >= shortest && text.contains(secret.as_str()) {
                text = words_replaced(&text, secret);
            }
        }
        text
    }

    /// Finds the parts of base64 with one of the values in it, or a part of one, after having decoded so many already.
    fn find_encoded(&self, text: &[u8], depth: usize, found: &mut Vec<Range<usize>>) {
        if depth == DEPTH || self.least == 0 {
            return;
        }
        for run in encoded::runs(text, self.least) {
            self.find_within(text, &[run], depth, found);
        }
        for parts in encoded::wrapped(text, self.least) {
            self.find_within(text, &parts, depth, found);
        }
    }

    fn find_within(
        &self,
        text: &[u8],
        parts: &[Range<usize>],
        depth: usize,
        found: &mut Vec<Range<usize>>,
    ) {
        for decoded in encoded::decoded(text, parts) {
            let bytes = &decoded.bytes;
            let mut inner: Vec<Range<usize>> = Vec::new();
            if let Some(search) = &self.search {
                inner.extend(search.find_overlapping_iter(bytes).map(|m| m.range()));
            }
            if let Some(words) = &self.words
                && words.is_match(bytes)
            {
                inner.extend(words_within(bytes, words));
            }
            self.find_encoded(bytes, depth + 1, &mut inner);
            found.extend(
                joined(inner)
                    .into_iter()
                    .flat_map(|part| decoded.source(part, parts)),
            );
        }
    }
}

/// Returns the parts in order, those that overlap as one.
fn joined(mut parts: Vec<Range<usize>>) -> Vec<Range<usize>> {
    parts.sort_by_key(|part| part.start);
    let mut all: Vec<Range<usize>> = Vec::new();
    for part in parts {
        match all.last_mut() {
            Some(last) if part.start < last.end => last.end = last.end.max(part.end),
            _ => all.push(part),
        }
    }
    all
}

/// Returns the part of a text to be masked for some base64: with its padding, without the sign of a diff's line.
fn shown_part(text: &str, part: Range<usize>) -> Range<usize> {
    let bytes = text.as_bytes();
    let begins = part.start == 0 || bytes.get(part.start - 1) == Some(&b'\n');
    let sign = begins && part.len() > 1 && encoded::is_sign(bytes.get(part.start));
    let behind = bytes.get(part.end..).unwrap_or_default();
    let padding = behind.iter().take(2).take_while(|byte| **byte == b'=');
    part.start + usize::from(sign)..part.end + padding.count()
}

/// Returns the places of short values in what some base64 said, as far as it is a text: in bytes at random they stand by chance.
fn words_within(bytes: &[u8], words: &AhoCorasick) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut start = 0;
    for chunk in bytes.utf8_chunks() {
        let mut at = start;
        let is_other = |c: char| c.is_ascii_control() && !c.is_ascii_whitespace();
        for text in chunk.valid().split(is_other) {
            if text.len() >= LONG || text.len() == bytes.len() {
                let places = words.find_overlapping_iter(text).map(|m| m.range());
                let places = places.filter(|place| is_alone(text, place));
                found.extend(places.map(|place| place.start + at..place.end + at));
            }
            at += text.len() + 1;
        }
        start += chunk.valid().len() + chunk.invalid().len();
    }
    found
}

/// Returns whether a part of a text is no part of a longer word.
fn is_alone(text: &str, part: &Range<usize>) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let word = &text[part.clone()];
    let inside = text[..part.start].ends_with(is_word) && word.starts_with(is_word)
        || text[part.end..].starts_with(is_word) && word.ends_with(is_word);
    !inside
}

/// Returns the text with a mask in the place of a value where it is no part of a longer word.
fn words_replaced(text: &str, secret: &str) -> String {
    let found = text.match_indices(secret);
    let found = found.map(|(at, _)| at..at + secret.len());
    replaced(text, found.filter(|part| is_alone(text, part)))
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
