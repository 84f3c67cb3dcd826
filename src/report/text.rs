//! Small pieces of text and their styles. Styles are always written; the stream strips them where they are not wanted.

use std::fmt::Display;

use anstyle::{AnsiColor, Style};

use crate::event::Status;
use crate::model::HostName;

pub(super) const BOLD: Style = Style::new().bold();
pub(super) const DIM: Style = Style::new().dimmed();
pub(super) const GREEN: Style = AnsiColor::Green.on_default();
pub(super) const YELLOW: Style = AnsiColor::Yellow.on_default();
pub(super) const RED: Style = AnsiColor::Red.on_default();
pub(super) const CYAN: Style = AnsiColor::Cyan.on_default();

/// Returns `text` in `style`.
pub(super) fn paint(style: Style, text: impl Display) -> String {
    format!("{style}{text}{style:#}")
}

/// Returns a duration as `1.9 s` or, from ten seconds on, `78 s`.
pub(super) fn seconds(seconds: f64) -> String {
    // 9.95 would be rounded to "10.0".
    if seconds < 9.95 {
        format!("{:.1} s", seconds.max(0.0))
    } else {
        format!("{seconds:.0} s")
    }
}

/// Returns a duration as `1:18` or `1:02:03`, for a clock that runs.
pub(super) fn clock(seconds: i64) -> String {
    let seconds = seconds.max(0);
    let (h, m, s) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if h > 0 {
        format!("{h}:{m:02}:{s:02}")
    } else {
        format!("{m}:{s:02}")
    }
}

/// Returns `1 session`, `2 sessions`.
pub(super) fn count(n: impl Into<u64>, noun: &str) -> String {
    let n = n.into();
    let s = if n == 1 { "" } else { "s" };
    format!("{n} {noun}{s}")
}

/// Returns a size as `12.3 MiB`.
pub(super) fn bytes(n: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if n < 1024 {
        return format!("{n} B");
    }
    // Precise to far more digits than are shown.
    #[expect(clippy::cast_precision_loss)]
    let mut value = n as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// Returns up to `most` names, and how many more there are: `cp1, cp2 and 3 more`.
pub(super) fn names(hosts: &[HostName], most: usize) -> String {
    let shown = if hosts.len() <= most {
        hosts.len()
    } else {
        most.saturating_sub(1).max(1)
    };
    let mut text = hosts[..shown]
        .iter()
        .map(HostName::as_str)
        .collect::<Vec<_>>()
        .join(", ");
    if shown < hosts.len() {
        text.push_str(&format!(" and {} more", hosts.len() - shown));
    }
    text
}

/// Returns a status as one word and its style.
pub(super) fn status(status: Status) -> (&'static str, Style) {
    match status {
        Status::Ok => ("ok", GREEN),
        Status::Changed => ("changed", YELLOW),
        Status::Skipped => ("skipped", DIM),
        Status::Failed => ("failed", RED),
        Status::Rescued => ("rescued", YELLOW),
    }
}

/// Adds each line of `text` to `out` behind `prefix`.
pub(super) fn indent(out: &mut String, prefix: &str, text: &str) {
    for line in text.lines() {
        out.push_str(prefix);
        out.push_str(line);
        out.push('\n');
    }
}
