//! Text of the stream. What a host says is hostile: it must neither steer a terminal nor forge a line.

use std::fmt::Write as _;
use std::io;

use serde::Serialize;

use super::{Event, Record, Since};

/// Returns whether `c` could steer a terminal or turn text around: control characters (C0, C1, DEL), line separators,
/// and the marks that reorder or hide text (Unicode's `Default_Ignorable_Code_Point`, but for what joins letters and emoji).
pub fn is_hostile(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Returns `text` with hostile characters spelled out, such as `\u{1b}`; tabs become spaces. Line ends stay only
/// if `lines`.
pub fn printable(text: &str, lines: bool) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\t' => out.push_str("    "),
            '\n' if lines => out.push('\n'),
            '\r' if chars.peek().is_none_or(|next| *next == '\n') => {}
            c if is_hostile(c) => out.extend(c.escape_default()),
            c => out.push(c),
        }
    }
    out
}

/// Returns JSON with the hostile characters of its strings escaped: outside of them it has none but line ends.
pub fn tame_json(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if c != '\n' && is_hostile(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a string cannot fail.
                let _ = write!(out, "\\u{unit:04x}");
            }
        } else {
            out.push(c);
        }
    }
    out
}

/// Writes JSON whose strings hold no hostile character, so that a journal can be shown with cat(1).
struct Escaping;

impl serde_json::ser::Formatter for Escaping {
    fn write_string_fragment<W: io::Write + ?Sized>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(at) = rest.find(is_hostile) {
            writer.write_all(&rest.as_bytes()[..at])?;
            let Some(c) = rest[at..].chars().next() else {
                break;
            };
            // JSON's escapes are of UTF-16 (RFC 8259, section 7).
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(writer, "\\u{unit:04x}")?;
            }
            rest = &rest[at + c.len_utf8()..];
        }
        writer.write_all(rest.as_bytes())
    }
}

impl Record {
    /// Returns the record as one line of JSON with its line end, hostile characters escaped.
    pub fn to_line(&self) -> io::Result<String> {
        let mut out = Vec::with_capacity(256);
        self.serialize(&mut serde_json::Serializer::with_formatter(
            &mut out, Escaping,
        ))?;
        out.push(b'\n');
        String::from_utf8(out).map_err(io::Error::other)
    }

    /// Returns the record with all its text [`printable`].
    #[must_use]
    pub fn to_printable(&self) -> Self {
        let mut record = self.clone();
        record.event.texts(|text, lines| {
            if text.contains(is_hostile) {
                *text = printable(text, lines);
            }
        });
        record
    }
}

impl Event {
    /// Calls `f` with each text of the event, and whether it may have several lines.
    fn texts(&mut self, mut f: impl FnMut(&mut String, bool)) {
        match self {
            Self::RunStarted {
                run,
                command,
                cluster,
                user,
                version,
                hosts: _,
            } => {
                [run, command, cluster, user, version]
                    .into_iter()
                    .for_each(|text| f(text, false));
            }
            Self::ActStarted { act, hosts: _ } => f(act, false),
            Self::AsWritten { titles, .. } => titles.iter_mut().for_each(|title| f(title, false)),
            Self::Planned {
                title,
                changes,
                since,
                ..
            } => {
                f(title, false);
                for change in changes {
                    f(&mut change.what, false);
                    f(&mut change.why, false);
                    change.diff.iter_mut().for_each(|diff| f(diff, true));
                    change.guard.iter_mut().for_each(|guard| f(guard, false));
                }
                let runs = since.iter_mut().flat_map(Since::runs_mut);
                for run in runs {
                    f(&mut run.run, false);
                    f(&mut run.command, false);
                }
            }
            Self::StepStarted { title, .. } => f(title, false),
            Self::StepFinished {
                title,
                detail,
                help,
                ..
            } => {
                f(title, false);
                detail.iter_mut().chain(help).for_each(|text| f(text, true));
            }
            Self::Progress { text, .. } | Self::Output { line: text, .. } => f(text, false),
            Self::HostTrouble { message, help, .. }
            | Self::Refused { message, help, .. }
            | Self::ClusterFailed { message, help } => {
                f(message, true);
                help.iter_mut().for_each(|text| f(text, true));
            }
            Self::Warning { message, .. } => f(message, true),
            Self::HostSeen { seen, .. } => seen.texts().for_each(|text| f(text, false)),
            Self::Cluster { summary, .. } => f(summary, true),
            Self::DrillPlanned { plan } => {
                f(&mut plan.by, false);
                f(&mut plan.endpoint, false);
            }
            Self::Connected { .. }
            | Self::ExecStarted { .. }
            | Self::Unsent { .. }
            | Self::Probed { .. }
            | Self::Unchanged { .. }
            | Self::DrillStarted { .. }
            | Self::DrillProbes { .. }
            | Self::DrillMark { .. }
            | Self::DrillFinished { .. }
            | Self::Interrupted { .. }
            | Self::HostFinished { .. }
            | Self::RunFinished { .. } => {}
        }
    }
}
