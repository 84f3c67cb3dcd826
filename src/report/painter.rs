//! Draws a few lines at the bottom of a terminal over and over, and prints others above them. Pure: it returns what to
//! write.
//!
//! indicatif was tried: it fills each line with blanks up to the edge instead of ending it, so that a terminal that
//! reflows on a resize joins the display with what scrolled by, and the next draw eats lines of that.

use std::fmt::Write as _;

use unicode_width::UnicodeWidthChar as _;

/// Columns and rows of a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) columns: usize,
    pub(super) rows: usize,
}

impl Default for Size {
    fn default() -> Self {
        Self {
            columns: 80,
            rows: 24,
        }
    }
}

/// A row of the terminal as it was drawn.
#[derive(Debug, Default, Clone, Copy)]
struct Row {
    /// Columns of text in it, which the next draw must cover.
    text: usize,
    /// Columns written to since it was empty; a terminal that gets narrower wraps them, blank or not.
    cells: usize,
}

/// Remembers what is on the terminal.
#[derive(Debug, Default)]
pub(super) struct Painter {
    drawn: Vec<Row>,
    size: Size,
}

impl Painter {
    /// Returns what to write so that `above` scrolls by and `lines` stand below it, on a terminal of `size`.
    ///
    /// Old text is covered with blanks, as many as it takes. Erasing instead would flicker, would make tmux keep each
    /// draw in its history, and would leave rows that wrap into empty ones when the terminal gets narrower.
    pub(super) fn paint(&mut self, above: &str, lines: &[String], size: Size) -> String {
        // Drawn as one, where the terminal can.
        let mut out = String::from("\x1b[?2026h");
        let columns = size.columns.max(1);
        let rows: usize = self
            .drawn
            .iter()
            .map(|row| row.cells.div_ceil(columns).max(1))
            .sum();
        if rows > 1 {
            let _ = write!(out, "\x1b[{}A", rows - 1);
        }
        out.push('\r');
        let mut old = std::mem::take(&mut self.drawn);
        if size != self.size {
            // Which text is in which row now is the terminal's secret: begin anew.
            out.push_str("\x1b[J");
            old.clear();
            self.size = size;
        }
        let mut old = old.into_iter();
        for line in above.lines() {
            let width = width(line);
            let wrapped = width.div_ceil(columns).max(1);
            let row = old.nth(wrapped - 1).unwrap_or_default();
            cover(&mut out, line, width - (wrapped - 1) * columns, row);
            out.push_str("\r\n");
        }
        // One column stays free, or some terminals wrap; one row stays free for what scrolls by.
        for line in lines.iter().take(size.rows.saturating_sub(1).max(1)) {
            if !self.drawn.is_empty() {
                out.push_str("\r\n");
            }
            let (line, width) = cut(line, columns - 1);
            let row = old.next().unwrap_or_default();
            cover(&mut out, &line, width, row);
            let cells = row.cells.max(width);
            self.drawn.push(Row { text: width, cells });
        }
        if old.next().is_some() {
            // The display got shorter.
            out.push_str(if self.drawn.is_empty() {
                "\x1b[J"
            } else {
                "\r\n\x1b[J\x1b[1A"
            });
        }
        out.push_str("\x1b[?2026l");
        out
    }
}

/// Writes a line over a row.
fn cover(out: &mut String, line: &str, width: usize, row: Row) {
    out.push_str(line);
    out.extend(std::iter::repeat_n(' ', row.text.saturating_sub(width)));
}

/// Returns the width of a styled text in columns.
pub(super) fn width(text: &str) -> usize {
    cut(text, usize::MAX).1
}

/// Returns as much of a styled text as has room in `columns`, with a mark where it was cut, and its width.
pub(super) fn cut(text: &str, columns: usize) -> (String, usize) {
    let mut out = String::with_capacity(text.len());
    let mut width = 0;
    // Where to cut, should the text turn out too long for the mark to follow.
    let mut last = (0, 0);
    let mut styled = false;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c == '\x1b' {
            // Only our own styles are in here: `ESC [ ... m`.
            styled = true;
            out.push(c);
            for c in chars.by_ref() {
                out.push(c);
                if c == 'm' {
                    break;
                }
            }
            continue;
        }
        let wide = c.width().unwrap_or(0);
        if width + wide > columns {
            out.truncate(last.0);
            if columns > 0 {
                out.push('…');
                width = last.1 + 1;
            }
            if styled {
                out.push_str("\x1b[0m");
            }
            break;
        }
        width += wide;
        out.push(c);
        if width < columns {
            last = (out.len(), width);
        }
    }
    (out, width)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_string()).collect()
    }

    fn plain(text: &str) -> String {
        text.replace("\x1b[?2026h", "")
            .replace("\x1b[?2026l", "")
            .replace('\x1b', "^")
    }

    #[test]
    fn draws_over_what_it_drew() {
        let mut painter = Painter::default();
        let size = Size::default();
        let mut paint =
            |above: &str, texts: &[&str]| plain(&painter.paint(above, &lines(texts), size));
        assert_eq!(paint("", &["abc", "def"]), "\rabc\r\ndef");
        // Shorter text covers longer.
        assert_eq!(paint("", &["x", "def"]), "^[1A\rx  \r\ndef");
        assert_eq!(paint("up\n", &["x", "d"]), "^[1A\rup\r\nx  \r\nd");
        // A shorter display leaves nothing behind, nor does its end.
        assert_eq!(paint("", &["x"]), "^[1A\rx\r\n^[J^[1A");
        assert_eq!(paint("a\n", &[]), "\ra\r\n");
        assert_eq!(paint("", &["x", "y", "z"]), "\rx\r\ny\r\nz");
        assert_eq!(paint("a\n", &[]), "^[2A\ra\r\n^[J");
    }

    #[test]
    fn what_scrolls_by_may_wrap() {
        let mut painter = Painter::default();
        let size = Size {
            columns: 10,
            rows: 24,
        };
        painter.paint("", &[], size);
        painter.paint("", &lines(&["aaaaaa", "bbbbbb", "cccccc"]), size);
        let out = plain(&painter.paint("0123456789ab\n", &lines(&["a", "b", "c"]), size));
        assert_eq!(out, "^[2A\r0123456789ab    \r\na     \r\nb\r\nc");
    }

    #[test]
    fn knows_that_a_narrower_terminal_wrapped_its_lines() {
        let mut painter = Painter::default();
        let wide = "x".repeat(70);
        painter.paint("", &lines(&[&wide, "b"]), Size::default());
        painter.paint("", &lines(&["a", "b"]), Size::default());
        let narrow = Size {
            columns: 30,
            rows: 24,
        };
        // The 70 columns, blank by now, take three rows of 30, the second line one more.
        assert_eq!(
            plain(&painter.paint("", &lines(&["a"]), narrow)),
            "^[3A\r^[Ja"
        );
    }

    #[test]
    fn stays_inside() {
        let mut painter = Painter::default();
        let size = Size {
            columns: 10,
            rows: 3,
        };
        let out = painter.paint("", &lines(&["0123456789abc", "b", "c", "d"]), size);
        assert_eq!(plain(&out), "\r^[J01234567…\r\nb");
    }

    #[test]
    fn cuts_styles_whole_and_wide_characters_not_at_all() {
        assert_eq!(
            cut("\x1b[31mabc\x1b[0m", 2),
            ("\x1b[31ma…\x1b[0m".to_string(), 2)
        );
        assert_eq!(cut("\u{4e2d}\u{6587}", 3), ("\u{4e2d}…".to_string(), 3));
        assert_eq!(cut("abc", 3), ("abc".to_string(), 3));
    }
}
