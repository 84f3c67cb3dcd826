//! What each host did when: connections, questions, steps, and whom it waited for in between.

use std::fmt::Write as _;

use indexmap::IndexMap;

use crate::event::{Category, Event, ExecKind, Record, Status};
use crate::model::HostName;
use crate::report::text::seconds;

use super::Escaped;

/// A shorter pause between two things is nobody's wait, in milliseconds.
const LEAST_WAIT: i64 = 150;
/// A pause is shown if it is at least this part of the whole run: one in so many.
const LEAST_PART: i64 = 200;

/// What a host was doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doing {
    /// It was asked.
    Read,
    /// It got files.
    Receive,
    /// A step.
    Step(Category, Status),
    /// Nothing: another host was not done.
    Wait,
}

/// A time in which a host did one thing; milliseconds after the run's beginning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) doing: Doing,
    pub(super) title: String,
    pub(super) from: i64,
    pub(super) to: i64,
}

/// What hosts did, gathered out of the stream.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    first: Option<i64>,
    last: i64,
    lanes: IndexMap<HostName, Vec<Span>>,
    /// The wave that was sent to a host and has not begun, and the step that is under way there.
    sent: IndexMap<HostName, i64>,
    under_way: IndexMap<HostName, (String, i64)>,
}

impl Timeline {
    /// Adds a record.
    pub(super) fn add(&mut self, record: &Record) {
        let first = *self.first.get_or_insert(record.at.as_millisecond());
        let now = record.at.as_millisecond() - first;
        self.last = self.last.max(now);
        match &record.event {
            Event::RunStarted { hosts, .. } => {
                for host in hosts {
                    self.lanes.entry(host.clone()).or_default();
                }
            }
            Event::Connected { host, seconds } => {
                self.span(host, Doing::Read, "connect", before(now, *seconds), now);
            }
            Event::Probed { host, seconds } => {
                self.span(host, Doing::Read, "read", before(now, *seconds), now);
            }
            Event::ExecStarted {
                host,
                kind: ExecKind::Wave,
                ..
            } => {
                self.sent.insert(host.clone(), now);
            }
            Event::StepStarted { host, title } => {
                if let Some(from) = self.sent.shift_remove(host) {
                    self.span(host, Doing::Receive, "receive the wave", from, now);
                }
                self.under_way.insert(host.clone(), (title.clone(), now));
            }
            Event::StepFinished {
                host,
                title,
                status,
                category,
                seconds,
                ..
            } => {
                let begun = self.under_way.shift_remove(host);
                let from = begun.map_or_else(|| before(now, *seconds), |(_, at)| at);
                self.span(host, Doing::Step(*category, *status), title, from, now);
            }
            _ => {}
        }
    }

    fn span(&mut self, host: &HostName, doing: Doing, title: &str, from: i64, to: i64) {
        let lane = self.lanes.entry(host.clone()).or_default();
        lane.push(Span {
            doing,
            title: title.to_string(),
            from,
            to,
        });
    }

    /// Returns each host's spans with its waits between them. A step without an end, of a run that was killed, lasts to the
    /// last word of the journal.
    pub(super) fn lanes(&self) -> IndexMap<HostName, Vec<Span>> {
        let mut lanes = self.lanes.clone();
        for (host, (title, from)) in &self.under_way {
            lanes.entry(host.clone()).or_default().push(Span {
                doing: Doing::Step(Category::Own, Status::Failed),
                title: format!("{title} (no end of it was seen)"),
                from: *from,
                to: self.last,
            });
        }
        let least = LEAST_WAIT.max(self.last / LEAST_PART);
        let waits: Vec<(HostName, Vec<Span>)> = lanes
            .iter()
            .map(|(host, lane)| (host.clone(), waits(host, lane, &lanes, least)))
            .collect();
        for (host, waits) in waits {
            if let Some(lane) = lanes.get_mut(&host) {
                lane.extend(waits);
                lane.sort_by_key(|span| (span.from, span.to));
            }
        }
        lanes
    }

    /// Adds the chart, a lane a host, and below each lane what it shows, as a table.
    pub(super) fn render(&self, out: &mut String) {
        let lanes = self.lanes();
        let end = self.last.max(1);
        if lanes.values().flatten().next().is_none() {
            return;
        }
        out.push_str(
            "<section id=\"timeline\"><h2>Timeline <span>what each host did, and whom it waited for</span></h2>\n",
        );
        out.push_str("<div class=\"axis\"><span></span><div>");
        for (place, text) in ticks(end) {
            let _ = write!(out, "<i style=\"left:{place:.2}%\">{text}</i>");
        }
        out.push_str("</div></div>\n");
        for (host, spans) in lanes.iter().filter(|(_, spans)| !spans.is_empty()) {
            lane(out, host, spans, end);
        }
        out.push_str("<p class=\"legend\">");
        for (class, word) in [
            ("read", "connect, read"),
            ("transfer", "transfer"),
            ("packages", "packages"),
            ("kubeadm", "kubeadm"),
            ("waits", "wait for a condition"),
            ("own", "other steps"),
            ("fail", "failed"),
            ("idle", "waits for another host"),
        ] {
            let _ = write!(out, "<span><i class=\"{class}\"></i>{word}</span> ");
        }
        out.push_str("</p></section>\n");
    }
}

fn lane(out: &mut String, host: &HostName, spans: &[Span], end: i64) {
    let waited: i64 = of(spans, |doing| doing == Doing::Wait);
    let failed = spans
        .iter()
        .any(|span| matches!(span.doing, Doing::Step(_, Status::Failed)));
    let note = match waited {
        0 => String::new(),
        ms => format!(", waited {}", time(ms)),
    };
    let _ = write!(
        out,
        "<details class=\"lane\"><summary><b{}>{}</b><span class=\"track\" aria-hidden=\"true\">",
        if failed { " class=\"bad\"" } else { "" },
        Escaped(host.as_str())
    );
    for span in spans {
        let (left, width) = (percent(span.from, end), percent(span.to - span.from, end));
        let _ = write!(
            out,
            "<i class=\"{}\" style=\"left:{left:.2}%;width:{width:.2}%\" title=\"{}\"></i>",
            class(span.doing),
            Escaped(&format!("{}, {}", span.title, time(span.to - span.from)))
        );
    }
    let busy = of(spans, |doing| doing != Doing::Wait);
    let _ = writeln!(
        out,
        "</span><em>busy {}{note}</em></summary><div class=\"wide\"><table><thead><tr><th class=\"n\">at<th class=\"n\">took<th>what</tr></thead><tbody>",
        time(busy)
    );
    for span in spans {
        let _ = writeln!(
            out,
            "<tr><td class=\"n\">{}<td class=\"n\">{}<td><i class=\"dot {}\"></i>{}</tr>",
            time(span.from),
            time(span.to - span.from),
            class(span.doing),
            Escaped(&span.title)
        );
    }
    out.push_str("</tbody></table></div></details>\n");
}

fn of(spans: &[Span], wanted: impl Fn(Doing) -> bool) -> i64 {
    let chosen = spans.iter().filter(|span| wanted(span.doing));
    // Saturates, as `before` does.
    chosen.fold(0i64, |sum, span| sum.saturating_add(span.to - span.from))
}

fn class(doing: Doing) -> &'static str {
    match doing {
        Doing::Read => "read",
        Doing::Receive => "transfer",
        Doing::Wait => "idle",
        Doing::Step(_, Status::Failed) => "fail",
        Doing::Step(Category::Packages, _) => "packages",
        Doing::Step(Category::Transfer, _) => "transfer",
        Doing::Step(Category::Kubeadm, _) => "kubeadm",
        Doing::Step(Category::Wait, _) => "waits",
        Doing::Step(Category::Own, _) => "own",
    }
}

/// Returns the pauses of a host between two things that it did, each with the host whose end came last before it went on:
/// the run's decisions follow on what hosts say, so that is who was waited for.
fn waits(
    host: &HostName,
    lane: &[Span],
    lanes: &IndexMap<HostName, Vec<Span>>,
    least: i64,
) -> Vec<Span> {
    let mut lane: Vec<&Span> = lane.iter().collect();
    lane.sort_by_key(|span| (span.from, span.to));
    let mut found = Vec::new();
    let mut free = match lane.first() {
        Some(span) => span.to,
        None => return found,
    };
    for span in lane {
        if span.from - free >= least {
            let others = lanes.iter().filter(|(other, _)| *other != host);
            let ends = others.flat_map(|(other, spans)| spans.iter().map(move |s| (other, s)));
            let last = ends
                .filter(|(_, s)| free < s.to && s.to <= span.from)
                .max_by_key(|(_, s)| s.to);
            let title = match last {
                Some((other, s)) => format!("waits for {other}: {}", s.title),
                None => "waits for the run".into(),
            };
            found.push(Span {
                doing: Doing::Wait,
                title,
                from: free,
                to: span.from,
            });
        }
        free = free.max(span.to);
    }
    found
}

/// Returns places on the axis in percent, and what stands there: up to six of a round length.
fn ticks(end: i64) -> Vec<(f64, String)> {
    const STEPS: [i64; 14] = [
        100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 30_000, 60_000, 120_000, 300_000,
        600_000, 1_800_000,
    ];
    let step = STEPS.into_iter().find(|step| end / step <= 6);
    let step = step.unwrap_or(end / 6 + 1);
    let places = (0..).map(|n| n * step).take_while(|at| *at <= end);
    // The last would stand over the edge.
    let places = places.filter(|at| percent(*at, end) <= 97.0);
    places.map(|at| (percent(at, end), time(at))).collect()
}

fn time(ms: i64) -> String {
    seconds(f64::from(i32::try_from(ms).unwrap_or(i32::MAX)) / 1000.0)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "milliseconds of a run, as a part of a line"
)]
fn percent(ms: i64, end: i64) -> f64 {
    (ms as f64 / end as f64 * 100.0).clamp(0.0, 100.0)
}

fn before(now: i64, seconds: f64) -> i64 {
    // Saturates, which is what is wanted of a journal that somebody made up.
    #[expect(clippy::cast_possible_truncation, reason = "milliseconds")]
    let ms = (seconds * 1000.0) as i64;
    now.saturating_sub(ms.max(0)).max(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_that_somebody_made_up_saturate() {
        assert_eq!(before(1000, 0.4), 600);
        assert_eq!(before(1000, f64::MAX), 0);
        assert_eq!(before(-5, f64::MAX), 0);
    }

    fn span(from: i64, to: i64) -> Span {
        Span {
            doing: Doing::Step(Category::Own, Status::Changed),
            title: format!("{from}"),
            from,
            to,
        }
    }

    #[test]
    fn who_waited_for_whom() {
        let name = |text: &str| HostName::new(text).unwrap_or_else(|_| unreachable!());
        let lanes = IndexMap::from([
            (name("a"), vec![span(0, 100), span(1000, 1100)]),
            (name("b"), vec![span(0, 900)]),
            (
                name("c"),
                vec![span(0, 500), span(550, 600), span(1200, 1300)],
            ),
        ]);
        let said = |host: &str| {
            let waits = waits(&name(host), &lanes[&name(host)], &lanes, 150);
            let said = waits.iter().map(|w| (w.title.clone(), w.from, w.to));
            said.collect::<Vec<_>>()
        };
        assert_eq!(said("a"), [("waits for b: 0".to_string(), 100, 1000)]);
        assert_eq!(said("b"), []);
        assert_eq!(said("c"), [("waits for a: 1000".to_string(), 600, 1200)]);
    }

    #[test]
    fn the_axis_is_round() {
        let texts = |end| ticks(end).into_iter().map(|(_, t)| t).collect::<Vec<_>>();
        assert_eq!(
            texts(5_449),
            ["0.0 s", "1.0 s", "2.0 s", "3.0 s", "4.0 s", "5.0 s"]
        );
        assert_eq!(texts(78_000).len(), 4);
        assert!(texts(86_400_000).len() <= 8);
    }
}
