//! The availability strip: every request a thin bar, and below it who held the virtual address and how the watch fared.

use std::fmt::Write as _;

use crate::event::{DrillProbe, Mark};
use crate::report::drill;

use super::Escaped;
use super::view::Round;

/// Left of it stand the rows' names, in units of the drawing.
const LEFT: f64 = 74.0;
/// The drawing's width in its own units.
const WIDTH: f64 = 1000.0;
/// A request may take so long, in milliseconds: the height of the close-up.
const LIMIT: f64 = 500.0;
/// What is shown around an outage close up, in seconds.
const BEFORE: f64 = 0.75;
const AFTER: f64 = 1.75;
/// A close-up shows no more than so many seconds: longer outages are seen in the strip itself.
const CLOSE: f64 = 12.0;

/// What is on the time axis.
struct Axis {
    from: f64,
    to: f64,
}

impl Axis {
    fn x(&self, at: f64) -> f64 {
        let part = (at - self.from) / (self.to - self.from).max(0.001);
        LEFT + part.clamp(0.0, 1.0) * (WIDTH - LEFT - 8.0)
    }

    fn holds(&self, at: f64) -> bool {
        at >= self.from && at <= self.to
    }

    /// Returns a distance between ticks that leaves room for their figures.
    fn tick(&self) -> f64 {
        let length = self.to - self.from;
        [0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0]
            .into_iter()
            .find(|tick| length / tick <= 14.0)
            // A journal may say anything: never more lines than somebody can read.
            .unwrap_or_else(|| 300.0_f64.max(length / 14.0))
    }

    fn draw(&self, out: &mut String, top: f64, bottom: f64) {
        let tick = self.tick();
        let mut at = (self.from / tick).ceil() * tick;
        while at <= self.to {
            let x = self.x(at);
            // What is nearly zero is zero: no `-0`.
            let figure = if at.abs() < tick / 2.0 { 0.0 } else { at };
            let _ = write!(
                out,
                "<path class=\"grid\" d=\"M{x:.1} {top}V{bottom}\"/><text class=\"tick\" x=\"{x:.1}\" y=\"{}\">{figure} s</text>",
                bottom + 14.0
            );
            at += tick;
        }
    }
}

/// Adds a round's section.
pub(super) fn round(out: &mut String, round: &Round) {
    let Some(zero) = round.zero() else { return };
    let probes: Vec<(f64, DrillProbe)> = round
        .probes
        .iter()
        .map(|(at, probe)| (after(*at, zero), *probe))
        .collect();
    let _ = writeln!(
        out,
        "<section><h2>Round {} <span>{} is taken away; requests from {}{}</span></h2>",
        round.number,
        Escaped(round.target.as_str()),
        Escaped(round.prober.as_str()),
        round
            .watcher
            .as_ref()
            .map(|w| format!(", watch on {}", Escaped(w.as_str())))
            .unwrap_or_default()
    );
    if let Some(result) = &round.result {
        let _ = writeln!(
            out,
            "<p class=\"sub\">{}</p>",
            Escaped(&drill::sentence(result))
        );
    }
    whole(out, round, zero, &probes);
    if let Some(result) = round
        .result
        .as_ref()
        .filter(|r| r.failed > 0 && r.outage <= CLOSE - BEFORE - AFTER)
    {
        let failed = probes.iter().filter(|(_, p)| !p.is_good());
        let first = failed.map(|(at, _)| *at).fold(f64::INFINITY, f64::min);
        let axis = Axis {
            from: first.min(0.0).max(first - 3.0) - BEFORE,
            to: first + result.outage + AFTER,
        };
        close_up(out, round, zero, &probes, &axis);
    }
    out.push_str(
        "<p class=\"legend\"><i class=\"ok\"></i>answered <i class=\"slow\"></i>answered after 0.25 s or later <i class=\"failed\"></i>failed \
         <i class=\"vip\"></i>holds the virtual address</p></section>\n",
    );
}

/// The whole round: requests, holders, watch.
fn whole(out: &mut String, round: &Round, zero: i64, probes: &[(f64, DrillProbe)]) {
    let times = probes.iter().map(|(at, _)| *at);
    let marks = round.marks.iter().map(|(at, ..)| after(*at, zero));
    let from = times.clone().fold(0.0, f64::min) - 0.2;
    let to = times.chain(marks).fold(1.0, f64::max) + 0.2;
    let axis = Axis { from, to };
    let holders = holders(round);
    // Lists of tenures have a row for each host, so that two at once show.
    #[expect(clippy::cast_precision_loss, reason = "a handful of hosts")]
    let rows = holders.len() as f64;
    let (top, bars) = (40.0, 46.0);
    let holding = top + bars + 10.0;
    let watching = holding + rows * 18.0 + 4.0;
    let watched = round.result.as_ref().and_then(|r| r.watch);
    let bottom = watching + if watched.is_some() { 18.0 } else { 0.0 };
    open_svg(out, bottom + 22.0, "requests over the whole round");
    axis.draw(out, top, bottom);
    label(out, "requests", top + bars / 2.0);
    bars_of(out, &axis, probes, |probe| {
        if probe.is_good() {
            (top + 14.0, top + bars)
        } else {
            (top, top + bars)
        }
    });
    let mut y = holding;
    for (host, spans) in &holders {
        label(out, host, y + 6.0);
        for (from, until) in spans {
            span(out, "vip", &axis, *from, until.unwrap_or(to), y);
        }
        y += 18.0;
    }
    if let Some(watch) = watched {
        label(out, "watch", watching + 6.0);
        let broke = watch.broke.unwrap_or(to);
        span(out, "open", &axis, from, broke, watching);
        if watch.broke.is_some() {
            let usable = watch.usable.unwrap_or(to);
            span(out, "shut", &axis, broke, usable, watching);
            span(out, "open", &axis, usable, to, watching);
        }
    }
    moments(out, round, zero, &axis, bottom);
    out.push_str("</svg></div>\n");
}

/// The outage close up: a bar is as high as its request took long.
fn close_up(out: &mut String, round: &Round, zero: i64, probes: &[(f64, DrillProbe)], axis: &Axis) {
    let (top, height) = (40.0, 80.0);
    let bottom = top + height;
    open_svg(out, bottom + 22.0, "requests around the outage");
    axis.draw(out, top, bottom);
    label(out, "0.5 s", top + 4.0);
    label(out, "close up", bottom - 6.0);
    let shown: Vec<(f64, DrillProbe)> = probes
        .iter()
        .filter(|(at, _)| axis.holds(*at))
        .copied()
        .collect();
    bars_of(out, axis, &shown, |probe| {
        let part = if probe.is_good() {
            (f64::from(probe.2) / LIMIT).clamp(0.05, 1.0)
        } else {
            1.0
        };
        (bottom - part * height, bottom)
    });
    moments(out, round, zero, axis, bottom);
    out.push_str("</svg></div>\n");
}

fn open_svg(out: &mut String, height: f64, what: &str) {
    let _ = write!(
        out,
        "<div class=\"wide\"><svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{what}\">"
    );
}

fn label(out: &mut String, text: &str, y: f64) {
    let _ = write!(
        out,
        "<text class=\"name\" x=\"{}\" y=\"{y:.1}\">{}</text>",
        LEFT - 8.0,
        Escaped(&short(text))
    );
}

/// Returns a name cut to what fits left of the strip.
fn short(name: &str) -> String {
    const MOST: usize = 11;
    if name.chars().count() <= MOST {
        return name.to_string();
    }
    let cut: String = name.chars().take(MOST - 1).collect();
    format!("{cut}…")
}

/// Adds one path for each kind of request, failed ones last and so on top.
fn bars_of(
    out: &mut String,
    axis: &Axis,
    probes: &[(f64, DrillProbe)],
    height: impl Fn(DrillProbe) -> (f64, f64),
) {
    // Bars touch where there is no room between them, and stay thin where there is.
    #[expect(clippy::cast_precision_loss, reason = "a few thousand requests")]
    let room = (WIDTH - LEFT) / (probes.len().max(1) as f64);
    let width = (room * 0.75).clamp(0.7, 4.0);
    type Kind = (&'static str, fn(DrillProbe) -> bool);
    let kinds: [Kind; 3] = [
        ("ok", |p| p.is_good() && !p.is_slow()),
        ("slow", DrillProbe::is_slow),
        ("failed", |p| !p.is_good()),
    ];
    for (class, is) in kinds {
        let mut path = String::new();
        for (at, probe) in probes.iter().filter(|(_, p)| is(*p)) {
            let (from, to) = height(*probe);
            let _ = write!(path, "M{:.1} {from:.1}V{to:.1}", axis.x(*at));
        }
        if !path.is_empty() {
            let _ = write!(
                out,
                "<path class=\"bar {class}\" stroke-width=\"{width:.2}\" d=\"{path}\"/>"
            );
        }
    }
}

fn span(out: &mut String, class: &str, axis: &Axis, from: f64, to: f64, y: f64) {
    let (from, to) = (axis.x(from), axis.x(to));
    let _ = write!(
        out,
        "<rect class=\"{class}\" x=\"{from:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"11\" rx=\"2\"/>",
        y - 3.0,
        (to - from).max(1.0)
    );
}

/// Each host's times as holder, in seconds.
type Holders = Vec<(String, Vec<(f64, Option<f64>)>)>;

fn holders(round: &Round) -> Holders {
    let mut all: Holders = Vec::new();
    for tenure in round.result.iter().flat_map(|r| &r.holders) {
        let span = (tenure.from, tenure.until);
        match all
            .iter_mut()
            .find(|(host, _)| host == tenure.host.as_str())
        {
            Some((_, spans)) => spans.push(span),
            None => all.push((tenure.host.to_string(), vec![span])),
        }
    }
    all
}

/// Adds what happened when, in two rows, so that neighbours do not cover each other.
fn moments(out: &mut String, round: &Round, zero: i64, axis: &Axis, bottom: f64) {
    let gained: Vec<String> = round
        .marks
        .iter()
        .filter(|(at, _, mark)| *mark == Mark::VipGained && *at >= zero)
        .map(|(at, host, _)| format!("{at} {host}"))
        .collect();
    let mut shown: Vec<(f64, String)> = Vec::new();
    for (at, host, mark) in &round.marks {
        let text = match mark {
            Mark::TakenAway => format!("{host} taken away"),
            Mark::BroughtBack => format!("{host} back"),
            Mark::Redundant => "redundant".into(),
            Mark::VipGained if gained.contains(&format!("{at} {host}")) => {
                format!("VIP to {host}")
            }
            _ => continue,
        };
        shown.push((after(*at, zero), text));
    }
    shown.sort_by(|a, b| a.0.total_cmp(&b.0));
    // Where the text of each row ends.
    let mut ends = [f64::MIN; 3];
    for (at, text) in shown.iter().filter(|(at, _)| axis.holds(*at)) {
        let x = axis.x(*at);
        // Eleven units high, a character is about six wide.
        #[expect(clippy::cast_precision_loss, reason = "a few words")]
        let width = text.chars().count() as f64 * 6.0 + 10.0;
        // Near the right edge it stands on the other side of its line.
        let flipped = x + width > WIDTH;
        let start = if flipped { x - width } else { x };
        let row = ends.iter().position(|end| *end <= start).unwrap_or(2);
        ends[row] = start + width;
        #[expect(clippy::cast_precision_loss, reason = "three rows")]
        let y = 10.0 + row as f64 * 12.0;
        let (dx, anchor) = if flipped {
            (-3.0, "end")
        } else {
            (3.0, "start")
        };
        let _ = write!(
            out,
            "<path class=\"mark\" d=\"M{x:.1} {:.1}V{bottom}\"/><text class=\"moment\" text-anchor=\"{anchor}\" x=\"{:.1}\" y=\"{y:.1}\">{}</text>",
            y - 8.0,
            x + dx,
            Escaped(text)
        );
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "minutes in milliseconds: far below 2^52"
)]
fn after(at: i64, zero: i64) -> f64 {
    (at - zero) as f64 / 1000.0
}
