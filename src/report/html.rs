//! A journal as one page of HTML for a person: what was found, the availability strip of a drill, the topology, the hosts.
//! It loads nothing from anywhere, and its policy forbids it to.

mod changes;
mod hosts;
mod standing;
mod strip;
mod timeline;
mod topology;
mod view;

use std::fmt::{Display, Write as _};

use crate::event::{DrillRecap, ExitCode, Recap, Record, Spread, printable};

use super::drill;
use super::recap::Standstill;
use super::text::seconds;
use view::View;

const STYLE: &str = include_str!("html/page.css");

/// Text that may stand between tags and in attributes.
struct Escaped<'a>(&'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// Returns the page. `name` is the journal's, for the foot.
pub fn page(records: &[Record], name: &str) -> String {
    // What hosts have said neither steers a browser nor forges a tag.
    let records: Vec<Record> = records.iter().map(Record::to_printable).collect();
    let recap = Recap::of(&records);
    let view = View::of(&records);
    let mut out = String::with_capacity(64 << 10);
    let title = format!("{} · {}", view.command, view.cluster);
    let _ = write!(
        out,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <title>{}</title>\n<style>{STYLE}</style></head><body>\n",
        Escaped(&title)
    );
    let mut body = String::with_capacity(64 << 10);
    failures(&mut body, &recap);
    standstill(&mut body, &recap);
    if let Some(found) = &recap.drill {
        figures(&mut body, found);
        for round in &view.rounds {
            strip::round(&mut body, round);
        }
        topology::drill(&mut body, &found.plan, view.rounds.last());
        rounds(&mut body, found);
    }
    if recap.is_read_only() {
        changes::plan(&mut body, &view.plan, &recap);
    } else if recap.drill.is_none() {
        changes::done(&mut body, &view, &recap);
    }
    standing::render(&mut body, &view);
    // A drill's hosts do nothing but be probed: its strip is its timeline.
    if recap.drill.is_none() {
        view.timeline.render(&mut body);
    }
    hosts::render(&mut body, &view, &recap);
    navigation(&mut out, &body);
    out.push_str("<main>\n");
    head(&mut out, &view, &recap);
    out.push_str(&body);
    let _ = write!(
        out,
        "<footer>journal {} · run {} · quorate {} · {}</footer>\n</main></body></html>\n",
        Escaped(&printable(name, false)),
        Escaped(&view.run),
        Escaped(&view.version),
        Escaped(&view.user)
    );
    out
}

/// Adds links to the parts that the page has, for keyboards and small screens.
fn navigation(out: &mut String, body: &str) {
    let parts = [
        ("failures", "what went wrong"),
        ("stopped", "where it stopped"),
        ("rounds", "rounds"),
        ("changes", "changes"),
        ("cluster", "cluster"),
        ("timeline", "timeline"),
        ("hosts", "hosts"),
        ("warnings", "warnings"),
    ];
    let there = |id: &str| body.contains(&format!(" id=\"{id}\""));
    out.push_str("<nav aria-label=\"parts of the page\">");
    for (id, text) in parts.iter().filter(|(id, _)| there(id)) {
        let _ = write!(out, "<a href=\"#{id}\">{text}</a>");
    }
    out.push_str("</nav>\n");
}

fn head(out: &mut String, view: &View, recap: &Recap) {
    let exit = recap.exit();
    let (class, word) = match exit {
        _ if !recap.finished => ("bad", "the run did not end"),
        ExitCode::Done => ("good", "done"),
        ExitCode::Changes => ("warn", "changes found"),
        ExitCode::Refused => ("bad", "refused"),
        ExitCode::Unreachable => ("bad", "a host could not be reached"),
        ExitCode::Interrupted => ("warn", "interrupted"),
        ExitCode::Failed | ExitCode::Input => ("bad", "failed"),
    };
    let at = view
        .begun
        .map(|at| at.strftime("%-d %B %Y, %H:%M:%S UTC").to_string());
    let _ = write!(
        out,
        "<header><h1>{} <span class=\"chip {class}\">{word}</span></h1>\n<p class=\"sub\">cluster <b>{}</b> · {} · {}</p>\n",
        Escaped(&view.command),
        Escaped(&view.cluster),
        at.unwrap_or_default(),
        seconds(recap.seconds)
    );
    if let Some(plan) = recap.drill.as_ref().map(|d| &d.plan) {
        let line = drill::headline(plan);
        // The command stands in the title already.
        let line = line
            .split_once(": ")
            .map_or(line.as_str(), |(_, rest)| rest);
        let _ = writeln!(out, "<p class=\"sub\">{}</p>", Escaped(line));
    }
    if let Some(cluster) = &recap.cluster {
        let class = if recap.healthy == Some(true) {
            "good"
        } else {
            "warn"
        };
        let _ = writeln!(out, "<p class=\"cluster {class}\">{}</p>", Escaped(cluster));
    }
    out.push_str("</header>\n");
}

fn failures(out: &mut String, recap: &Recap) {
    for (number, failure) in recap.failures.iter().enumerate() {
        let hosts: Vec<&str> = failure.hosts.iter().map(|h| h.as_str()).collect();
        let _ = write!(
            out,
            "<section class=\"failure\"{}><h2>{} <span>{}</span></h2>",
            if number == 0 { " id=\"failures\"" } else { "" },
            Escaped(&failure.title),
            Escaped(&hosts.join(", "))
        );
        if !failure.detail.is_empty() {
            let _ = write!(out, "<pre>{}</pre>", Escaped(&failure.detail.join("\n")));
        }
        if let Some(help) = &failure.help {
            let _ = write!(out, "<p>{}</p>", Escaped(help));
        }
        out.push_str("</section>\n");
    }
}

/// Adds where a run stopped that did not come to its end.
fn standstill(out: &mut String, recap: &Recap) {
    let Some(stop) = Standstill::of(recap, usize::MAX) else {
        return;
    };
    out.push_str("<section id=\"stopped\" class=\"failure\"><h2>where it stopped</h2>");
    for text in &stop.said {
        let _ = write!(out, "<p>{}</p>", Escaped(text));
    }
    let _ = writeln!(out, "<p>{}</p></section>", Escaped(stop.help));
}

/// The figures that are looked for first.
fn figures(out: &mut String, found: &DrillRecap) {
    let rounds = &found.rounds;
    let Some(outage) = Spread::of(rounds.iter().map(|r| r.outage)) else {
        return;
    };
    let many = rounds.len() > 1;
    let range = |spread: Option<Spread>, digits: usize, unit: &str| match spread {
        Some(s) if many => format!("{:.digits$} to {:.digits$}{unit}", s.min, s.max),
        _ => String::new(),
    };
    let mut tiles = Vec::new();
    let open = rounds.iter().any(|r| r.open);
    let name = if many { "outage, median" } else { "outage" };
    let mut note = range(Some(outage), 2, " s");
    if open {
        note = format!("{note} or more").trim().to_string();
    }
    tiles.push((name, format!("{:.2} s", outage.median), note));
    let failed = Spread::of(rounds.iter().map(|r| f64::from(r.failed)));
    let made: u32 = rounds.iter().map(|r| r.probes).sum();
    let failed_all: u32 = rounds.iter().map(|r| r.failed).sum();
    let note = match range(failed, 0, " a round") {
        text if text.is_empty() => format!("of {made}"),
        text => format!("of {made}; {text}"),
    };
    tiles.push(("failed requests", failed_all.to_string(), note));
    let redundant = Spread::of(rounds.iter().filter_map(|r| r.redundant));
    if let Some(spread) = redundant {
        let name = if many {
            "fully redundant again, median"
        } else {
            "fully redundant again"
        };
        tiles.push((
            name,
            format!("{:.1} s", spread.median),
            range(redundant, 1, " s"),
        ));
    }
    let broke = rounds
        .iter()
        .filter(|r| r.watch.is_some_and(|w| w.broke.is_some()));
    let broke = broke.count();
    let watched = rounds.iter().filter(|r| r.watch.is_some()).count();
    if watched > 0 {
        let value = if broke == 0 {
            "held".into()
        } else if many {
            format!("broke {broke} of {watched}")
        } else {
            "broke".into()
        };
        let usable = Spread::of(rounds.iter().filter_map(|r| r.watch.and_then(|w| w.usable)));
        let note = usable.map_or(String::new(), |s| {
            format!("a new one delivered after {:.1} s", s.median)
        });
        tiles.push(("open watch", value, note));
    }
    for (name, value, note) in tiles {
        let _ = write!(
            out,
            "<div class=\"tile\"><span>{name}</span><b>{}</b><i>{}</i></div>",
            Escaped(&value),
            Escaped(&note)
        );
    }
}

fn rounds(out: &mut String, found: &DrillRecap) {
    if found.rounds.is_empty() {
        return;
    }
    out.push_str(
        "<section id=\"rounds\"><h2>Rounds</h2><div class=\"wide\"><table><thead><tr><th>round<th>target<th class=\"n\">outage<th class=\"n\">failed\
         <th class=\"n\">slow<th class=\"n\">back<th class=\"n\">redundant<th>virtual address<th>watch</tr></thead><tbody>\n",
    );
    for round in &found.rounds {
        let time = |value: Option<f64>| value.map_or("never".into(), |v| format!("{v:.1} s"));
        let later: String = round.later.iter().map(|l| format!(" + {l:.2}")).collect();
        let open = if round.open { " or more" } else { "" };
        let _ = writeln!(
            out,
            "<tr><td>{}<td>{}<td class=\"n\">{:.2}{later} s{open}<td class=\"n\">{} of {}<td class=\"n\">{}<td class=\"n\">{}<td class=\"n\">{}<td>{}<td>{}</tr>",
            round.round,
            Escaped(round.target.as_str()),
            round.outage,
            round.failed,
            round.probes,
            round.slow,
            time(round.away),
            time(round.redundant),
            Escaped(&drill::holders(&round.holders).unwrap_or_else(|| "-".into())),
            Escaped(&drill::watch(round.watch).unwrap_or_else(|| "-".into()))
        );
    }
    out.push_str("</tbody></table></div>\n");
    for line in drill::spreads(found) {
        let _ = writeln!(out, "<p class=\"sub\">{}</p>", Escaped(&line));
    }
    out.push_str("</section>\n");
}
