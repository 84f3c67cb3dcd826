//! The framed lines that our scripts print, and what they mean.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

/// The longest line of a host that is read; what is longer is cut.
pub const LINE_LIMIT: usize = 1 << 20;

/// The lines of an output that begin with the nonce, without it.
pub struct Lines<'a> {
    nonce: &'a str,
    rest: &'a [u8],
}

impl<'a> Lines<'a> {
    /// Returns the lines of `output` that carry `nonce`.
    pub fn new(nonce: &'a str, output: &'a [u8]) -> Self {
        Self {
            nonce,
            rest: output,
        }
    }
}

impl Iterator for Lines<'_> {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        while !self.rest.is_empty() {
            let end = self.rest.iter().position(|b| *b == b'\n');
            let line = &self.rest[..end.unwrap_or(self.rest.len())];
            self.rest = &self.rest[end.map_or(self.rest.len(), |e| e + 1)..];
            // A line without its end was cut off by a lost connection.
            if let (Some(_), Some(text)) = (end, framed(self.nonce, line)) {
                return Some(text);
            }
        }
        None
    }
}

/// Returns what stands behind the nonce in `line`. A prompt or banner without a line end may stand before it.
pub fn framed(nonce: &str, line: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(line);
    let at = text.find(nonce)?;
    text[at + nonce.len()..]
        .strip_prefix(' ')
        .map(|rest| rest.trim_end_matches('\r').to_string())
}

/// How a step ended on the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Nothing was to be done.
    Ok,
    /// Something was done.
    Changed,
    /// Something did not work.
    Failed,
}

/// A line of a running wave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WaveRecord {
    /// Step `id` begins.
    Start {
        /// The step.
        id: u32,
    },
    /// Step `id` says how far it is.
    Progress {
        /// The step.
        id: u32,
        /// One line.
        text: String,
    },
    /// Step `id` ended.
    End {
        /// The step.
        id: u32,
        /// How.
        end: End,
        /// Exit status of what failed, or of the captured command.
        status: i32,
        /// The last lines of its output, or all of a captured command's standard output.
        output: String,
    },
    /// The wave stopped before step `id`, as it was asked to.
    Stopped {
        /// The first step that was not begun.
        id: u32,
    },
    /// A line of the facts at the end.
    Fact(String),
    /// All steps were run.
    Finished,
}

/// Returns what a framed line of a wave means, or `None` for one that means nothing.
pub fn wave_record(line: &str) -> Option<WaveRecord> {
    let (kind, rest) = line.split_once(' ').unwrap_or((line, ""));
    Some(match kind {
        "start" => WaveRecord::Start {
            id: rest.parse().ok()?,
        },
        "progress" => {
            let (id, text) = rest.split_once(' ')?;
            WaveRecord::Progress {
                id: id.parse().ok()?,
                text: text.to_string(),
            }
        }
        "done" => {
            let mut parts = rest.split(' ');
            let id = parts.next()?.parse().ok()?;
            let end = match parts.next()? {
                "ok" => End::Ok,
                "changed" => End::Changed,
                "failed" => End::Failed,
                _ => return None,
            };
            let status = parts.next()?.parse().ok()?;
            let output = BASE64.decode(parts.next().unwrap_or("")).ok()?;
            WaveRecord::End {
                id,
                end,
                status,
                output: String::from_utf8_lossy(&output).into_owned(),
            }
        }
        "stopped" => WaveRecord::Stopped {
            id: rest.parse().ok()?,
        },
        "finished" => WaveRecord::Finished,
        _ => WaveRecord::Fact(line.to_string()),
    })
}
