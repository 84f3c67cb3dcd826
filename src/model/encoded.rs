//! Base64 (RFC 4648, both alphabets) within a longer text: where it may stand, over several lines too, and what it says.

use std::ops::Range;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// Reads what was cut out of the middle of a base64 as well.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Returns how many characters, padding not counted, so many bytes have as base64.
pub(super) fn length(bytes: usize) -> usize {
    (bytes * 8).div_ceil(6)
}

/// Returns the places of all that base64 may be in, of at least `least` characters. Words and paths are such places too.
pub(super) fn runs(text: &[u8], least: usize) -> Vec<Range<usize>> {
    let least = least.max(1);
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(next) = text.get(at..at + least) {
        if let Some(other) = next.iter().rposition(|byte| !is_letter(*byte)) {
            at += other + 1;
            continue;
        }
        let rest = &text[at + least..];
        let end = at + least + rest.iter().take_while(|byte| is_letter(**byte)).count();
        found.push(at..end);
        at = end;
    }
    found
}

/// Returns the places of base64 that goes on over the ends of lines, each as its parts in the lines. Lines may be indented, and
/// their ends may be JSON's `\n`; in a unified diff, of which both sides are read, they begin with a sign.
pub(super) fn wrapped(text: &[u8], least: usize) -> Vec<Vec<Range<usize>>> {
    let lines = lines(text);
    if lines.len() < 2 {
        return Vec::new();
    }
    let mut found = chains(text, &lines, None);
    let is_signed = |line: &Line| line.is_real && is_sign(text.get(line.place.start));
    if lines.iter().any(is_signed) {
        for other_side in [b'-', b'+'] {
            found.extend(chains(text, &lines, Some(other_side)));
        }
    }
    found.retain(|parts| parts.len() > 1 && parts.iter().map(Range::len).sum::<usize>() >= least);
    found
}

/// Returns what a place of base64, of these parts, says, read from its first, second, third and fourth character: letters of a word
/// may stand before it.
pub(super) fn decoded(text: &[u8], parts: &[Range<usize>]) -> impl Iterator<Item = Decoded> {
    let letters = parts.iter().flat_map(|part| &text[part.clone()]);
    let letters: Vec<u8> = letters
        .map(|byte| match byte {
            b'-' => b'+',
            b'_' => b'/',
            other => *other,
        })
        .collect();
    (0..4).filter_map(move |skipped| {
        let letters = letters.get(skipped..)?;
        // One character alone, behind all groups of four, is no byte.
        let whole = letters.len() - usize::from(letters.len() % 4 == 1);
        let bytes = LENIENT.decode(&letters[..whole]).ok()?;
        Some(Decoded { skipped, bytes })
    })
}

/// What some base64 says.
pub(super) struct Decoded {
    /// How many characters stand before what was read.
    skipped: usize,
    pub(super) bytes: Vec<u8>,
}

impl Decoded {
    /// Returns those of the parts that was read in which a part of the decoded bytes stands.
    pub(super) fn source<'a>(
        &self,
        bytes: Range<usize>,
        parts: &'a [Range<usize>],
    ) -> impl Iterator<Item = Range<usize>> + 'a {
        let first = self.skipped + bytes.start * 8 / 6;
        let end = self.skipped + length(bytes.end);
        let mut before = 0;
        let parts = parts.iter().filter(move |part| {
            let start = before;
            before += part.len();
            start < end && first < before
        });
        parts.cloned()
    }
}

struct Line {
    place: Range<usize>,
    /// Whether it begins where the text or a line of it does, not behind a `\n` of JSON.
    is_real: bool,
}

fn lines(text: &[u8]) -> Vec<Line> {
    let mut lines = Vec::new();
    let (mut start, mut is_real, mut at) = (0, true, 0);
    while let Some(byte) = text.get(at) {
        let escaped = *byte == b'\\' && matches!(text.get(at + 1), Some(b'n' | b'r'));
        if escaped || matches!(byte, b'\n' | b'\r') {
            let place = start..at;
            lines.push(Line { place, is_real });
            at += usize::from(escaped);
            (start, is_real) = (at + 1, !escaped);
        }
        at += 1;
    }
    let place = start..text.len();
    lines.push(Line { place, is_real });
    lines
}

/// Returns the parts of base64 at the ends of lines with those at the beginnings of the next; with a sign of a diff's other side,
/// behind the signs of this one.
fn chains(text: &[u8], lines: &[Line], other_side: Option<u8>) -> Vec<Vec<Range<usize>>> {
    let mut found = Vec::new();
    let mut open: Vec<Range<usize>> = Vec::new();
    for line in lines {
        let mut place = line.place.clone();
        let sign = text.get(place.clone()).and_then(<[u8]>::first);
        if other_side.is_some() && line.is_real && is_sign(sign) {
            if sign.copied() == other_side {
                continue;
            }
            place.start += 1;
        }
        let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\\');
        let content = &text[place.clone()];
        let before = content.iter().take_while(|byte| is_blank(byte)).count();
        place.start += before;
        let content = &text[place.clone()];
        let behind = content.iter().rev().take_while(|byte| is_blank(byte));
        place.end -= behind.count();
        let content = &text[place.clone()];
        let head = content.iter().take_while(|byte| is_letter(**byte)).count();
        if head > 0 {
            open.push(place.start..place.start + head);
        }
        if head < content.len() {
            found.push(std::mem::take(&mut open));
            let tail = content.iter().rev().take_while(|byte| is_letter(**byte));
            let tail = tail.count();
            if tail > 0 {
                open.push(place.end - tail..place.end);
            }
        }
    }
    found.push(open);
    found
}

/// Returns whether it is one of a diff's signs.
pub(super) fn is_sign(byte: Option<&u8>) -> bool {
    matches!(byte, Some(b'+' | b'-'))
}

fn is_letter(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_')
}
