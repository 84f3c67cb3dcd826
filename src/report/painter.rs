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

/// Remembers what is on the terminal.
#[derive(Debug, Default)]
pub(super) struct Painter {
    /// The width of each line of the display as it was drawn.
    drawn: Vec<usize>,
}

impl Painter {
    /// Returns what to write so that `above` scrolls by and `lines` stand below it, on a terminal of `size`.
    pub(super) fn paint(&mut self, above: &str, lines: &[String], size: Size) -> String {
        // Drawn as one, where the terminal can, so that nothing flickers.
        let mut out = String::from("\x1b[?2026h");
        // After a resize a line may have been wrapped: the terminal has moved the cursor down with it.
        let rows: usize = self
            .drawn
            .iter()
            .map(|width| width.div_ceil(size.columns.max(1)).max(1))
            .sum();
        if rows > 1 {
            let _ = write!(out, "\x1b[{}A", rows - 1);
        }
        out.push('\r');
        // Lines are cleared as they are written over: erasing the whole screen first would flicker, and makes tmux
        // keep each draw in its history.
        for line in above.lines() {
            out.push_str(line);
            out.push_str("\x1b[K\r\n");
        }
        self.drawn.clear();
        // One column stays free, or some terminals wrap; one row stays free for what scrolls by.
        for line in lines.iter().take(size.rows.saturating_sub(1).max(1)) {
            if !self.drawn.is_empty() {
                out.push_str("\x1b[K\r\n");
            }
            let (line, width) = cut(line, size.columns.saturating_sub(1));
            out.push_str(&line);
            self.drawn.push(width);
        }
        out.push_str("\x1b[J\x1b[?2026l");
        out
    }
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
        assert_eq!(
            plain(&painter.paint("", &lines(&["a", "b"]), size)),
            "\ra^[K\r\nb^[J"
        );
        assert_eq!(
            plain(&painter.paint("up\n", &lines(&["c"]), size)),
            "^[1A\rup^[K\r\nc^[J"
        );
        assert_eq!(plain(&painter.paint("", &[], size)), "\r^[J");
    }

    #[test]
    fn knows_that_a_narrower_terminal_wrapped_its_lines() {
        let mut painter = Painter::default();
        let wide = "x".repeat(70);
        painter.paint("", &lines(&[&wide, "b"]), Size::default());
        let narrow = Size {
            columns: 30,
            rows: 24,
        };
        // 70 columns take three rows of 30, the second line one more.
        assert!(plain(&painter.paint("", &lines(&["a"]), narrow)).starts_with("^[3A"));
    }

    #[test]
    fn stays_inside() {
        let mut painter = Painter::default();
        let size = Size {
            columns: 10,
            rows: 3,
        };
        let out = painter.paint("", &lines(&["0123456789abc", "b", "c", "d"]), size);
        assert_eq!(plain(&out), "\r01234567…^[K\r\nb^[J");
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
