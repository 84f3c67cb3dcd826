//! Where a part of a text stands in the file that the text came from.

use std::ops::Range;

use crate::model::Span;

/// Returns the place of a part of a text whose whole place is `span`. The file may hold the text as it is, or indented
/// (block scalars): then its lines are looked for one by one. `None` where escapes changed it.
pub(super) fn within(span: &Span, text: &str, part: Range<usize>) -> Option<Span> {
    let file = span.source.text.get(span.range.clone())?;
    let at = |start: usize| {
        let start = span.range.start + start;
        Some(Span {
            source: span.source.clone(),
            range: start..start + part.len(),
        })
    };
    if let Some(offset) = file.find(text) {
        return at(offset + part.start);
    }
    let mut cursor = 0;
    let mut line_start = 0;
    for line in text.split_inclusive('\n') {
        let content = line.trim();
        if !content.is_empty() {
            let found = cursor + file.get(cursor..)?.find(content)?;
            if part.start < line_start + line.len() {
                let inside =
                    (part.start - line_start).saturating_sub(line.len() - line.trim_start().len());
                return at(found + inside);
            }
            cursor = found + content.len();
        }
        line_start += line.len();
    }
    None
}
