//! What a drill's scripts say, line by line.

use super::measure::Probe;

/// Milliseconds since 1970 that are a moment of a drill: up to the year 9999. Nothing that is reckoned from such ones is
/// too large.
const MOMENTS: std::ops::RangeInclusive<i64> = 0..=253_402_300_799_999;

/// A line of one of the scripts. Moments are milliseconds since 1970 by the host's clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// What time it is there.
    Clock(i64),
    /// A request ended.
    Probe(Probe),
    /// Whether the host carries the virtual address.
    Holder(i64, bool),
    /// Whether a watch delivers.
    Watch(i64, bool),
    /// The host is about to be taken away, or is.
    Armed,
    /// It could not be done; nothing was.
    Cannot(String),
    /// The host was taken away.
    Away(i64),
    /// It was brought back.
    Back(i64),
    /// The timer that brings it back still runs.
    Pending,
    /// Which boot this is.
    Identity(String),
    /// The script came to its end.
    End,
}

/// Returns what a framed line says; `None` for one that says nothing.
pub fn heard(line: &str) -> Option<Heard> {
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    let at = |text: &str| {
        text.trim()
            .parse::<i64>()
            .ok()
            .filter(|at| MOMENTS.contains(at))
    };
    Some(match word {
        "clock" => Heard::Clock(at(rest)?),
        "probe" => {
            let mut words = rest.split(' ');
            let end = at(words.next()?)?;
            let code = words.next()?.parse().ok()?;
            let took = millis(words.next()?)?;
            Heard::Probe(Probe {
                at: end - i64::from(took),
                code,
                took,
            })
        }
        "holder" => {
            let (ms, has) = rest.split_once(' ')?;
            Heard::Holder(at(ms)?, has == "yes")
        }
        "watch" => {
            let (ms, state) = rest.split_once(' ')?;
            Heard::Watch(at(ms)?, state == "open")
        }
        "armed" => Heard::Armed,
        "cannot" => Heard::Cannot(words(rest)),
        "away" => Heard::Away(at(rest)?),
        "back" => Heard::Back(at(rest)?),
        "pending" => Heard::Pending,
        "identity" => Heard::Identity(words(rest)),
        "end" => Heard::End,
        _ => return None,
    })
}

impl Heard {
    /// Returns it with its moment moved by `offset` milliseconds, from the host's clock to the controller's.
    #[must_use]
    pub fn shifted(self, offset: i64) -> Self {
        match self {
            Self::Probe(probe) => Self::Probe(Probe {
                at: probe.at + offset,
                ..probe
            }),
            Self::Holder(at, has) => Self::Holder(at + offset, has),
            Self::Watch(at, open) => Self::Watch(at + offset, open),
            Self::Away(at) => Self::Away(at + offset),
            Self::Back(at) => Self::Back(at + offset),
            other => other,
        }
    }
}

/// Returns a host's own words, as many as stand in a message.
fn words(text: &str) -> String {
    text.chars().take(500).collect()
}

/// Reads curl's `time_total`, seconds with six digits, as milliseconds.
fn millis(text: &str) -> Option<u32> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let whole: u32 = whole.parse().ok()?;
    let digits: String = part.chars().chain("000".chars()).take(3).collect();
    whole.checked_mul(1000)?.checked_add(digits.parse().ok()?)
}
