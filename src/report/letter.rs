//! A run as plain text for mail: 72 columns, what went wrong first, no colours.

use std::fmt::Write as _;

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use crate::event::{ChangeKind, Event, ExitCode, Health, Recap, Record, Status, printable};

use super::drill;
use super::plan::{NOT_IN_IT, PlanView, Stands, change_line};
use super::recap::Standstill;
use super::text::{count, seconds};

/// Mail that is quoted once or twice still has room in 80 columns (RFC 3676, 4.2: 78 at most).
const COLUMNS: usize = 72;
/// How many lines of a failed command's output are told.
const TAIL: usize = 12;

/// Returns the text. `name` is the journal's.
pub fn letter(records: &[Record], name: &str) -> String {
    let records: Vec<Record> = records.iter().map(Record::to_printable).collect();
    let recap = Recap::of(&records);
    let mut plan = PlanView::default();
    records.iter().for_each(|record| plan.add(record));
    let mut out = String::new();
    head(&mut out, &records, &recap);
    failures(&mut out, &recap);
    standstill(&mut out, &recap);
    warnings(&mut out, &records);
    if recap.is_read_only() {
        differences(&mut out, &plan, &recap);
    } else {
        changes(&mut out, &records);
    }
    if let Some(found) = &recap.drill {
        section(&mut out, "Drill");
        line(&mut out, 2, 4, &drill::headline(&found.plan));
        for round in &found.rounds {
            let text = format!(
                "{} {}: {}",
                round.round,
                round.target,
                drill::sentence(round)
            );
            line(&mut out, 2, 4, &text);
        }
        for text in drill::spreads(found) {
            line(&mut out, 2, 4, &text);
        }
    }
    hosts(&mut out, &plan, &recap);
    if let Some(cluster) = &recap.cluster {
        section(&mut out, "Cluster");
        line(&mut out, 2, 2, &printable(cluster, false));
    }
    out.push('\n');
    line(
        &mut out,
        0,
        2,
        &format!("journal: {}", printable(name, false)),
    );
    out
}

fn section(out: &mut String, title: &str) {
    let _ = write!(out, "\n{title}\n{}\n", "-".repeat(title.width()));
}

fn head(out: &mut String, records: &[Record], recap: &Recap) {
    let result = match recap.exit() {
        _ if !recap.finished => "did not end".to_string(),
        exit => {
            let word = match exit {
                ExitCode::Done if recap.has_changes() => "done",
                ExitCode::Done => "nothing to change",
                ExitCode::Changes => "differences found",
                ExitCode::Unreachable => "a host could not be reached",
                ExitCode::Refused => "refused",
                ExitCode::Interrupted => "interrupted",
                ExitCode::Failed | ExitCode::Input => "failed",
            };
            format!("{word} (exit {})", exit.code())
        }
    };
    let started = records.iter().find_map(|record| match &record.event {
        Event::RunStarted {
            cluster,
            user,
            version,
            ..
        } => Some((record.at, cluster, user, version)),
        _ => None,
    });
    let Some((at, cluster, user, version)) = started else {
        line(
            out,
            0,
            2,
            &format!("a run whose journal lost its beginning: {result}"),
        );
        return;
    };
    let title = format!("{} of cluster {cluster}: {result}", recap.command);
    line(out, 0, 2, &title);
    let user = user.split(" (process").next().unwrap_or_default();
    let text = format!(
        "{}, by {user}, quorate {version}, {}",
        at.strftime("%-d %B %Y, %H:%M:%S UTC"),
        seconds(recap.seconds)
    );
    line(out, 0, 2, &text);
}

fn failures(out: &mut String, recap: &Recap) {
    if recap.failures.is_empty() {
        return;
    }
    section(out, "What went wrong");
    for failure in &recap.failures {
        let hosts: Vec<&str> = failure.hosts.iter().map(|host| host.as_str()).collect();
        let on = match hosts.is_empty() {
            true => String::new(),
            false => format!("{}: ", hosts.join(", ")),
        };
        line(out, 2, 4, &format!("{on}{}", failure.title));
        let lines: Vec<&str> = failure
            .detail
            .iter()
            .flat_map(|text| text.lines())
            .collect();
        for text in &lines[lines.len().saturating_sub(TAIL)..] {
            line(out, 4, 6, text);
        }
        if let Some(help) = &failure.help {
            line(out, 4, 6, &format!("help: {help}"));
        }
    }
}

fn standstill(out: &mut String, recap: &Recap) {
    let Some(stop) = Standstill::of(recap, usize::MAX) else {
        return;
    };
    section(out, "Where it stopped");
    stop.said.iter().for_each(|text| line(out, 2, 4, text));
    line(out, 2, 4, &format!("help: {}", stop.help));
}

fn warnings(out: &mut String, records: &[Record]) {
    let said = records.iter().filter_map(|record| match &record.event {
        Event::Warning { host, message } => Some(match host {
            Some(host) => format!("{host}: {message}"),
            None => message.clone(),
        }),
        _ => None,
    });
    let said: Vec<String> = said.collect();
    if !said.is_empty() {
        section(out, "Warnings");
        said.iter().for_each(|text| line(out, 2, 4, text));
    }
}

fn differences(out: &mut String, plan: &PlanView, recap: &Recap) {
    section(out, "Differences");
    let mut none = true;
    for (host, steps, stands) in plan.hosts(recap) {
        match stands {
            Stands::Changing => line(out, 2, 4, host.as_str()),
            Stands::Failed | Stands::Unread => {
                line(out, 2, 4, &format!("{host}: unknown, it could not be read"));
            }
            Stands::Unfit => {
                line(
                    out,
                    2,
                    4,
                    &format!("{host}: unknown, it could not be planned"),
                );
            }
            Stands::Unchanged | Stands::Asked => continue,
        }
        none = false;
        for kind in ChangeKind::ALL {
            for step in steps.iter().filter(|step| step.kind == kind) {
                let disturbs = match step.disturbs {
                    true => " (disturbs the path to the API)",
                    false => "",
                };
                let text = format!("{}: {}{disturbs}", kind.as_str(), step.title);
                line(out, 4, 6, &text);
                for change in &step.changes {
                    line(out, 6, 8, &change_line(change));
                }
                if let Some(since) = &step.since {
                    line(out, 6, 8, &since.sentence());
                }
            }
        }
    }
    if none {
        line(out, 2, 2, "none: all is as written");
    }
}

fn changes(out: &mut String, records: &[Record]) {
    let changed: Vec<_> = records
        .iter()
        .filter_map(|record| match &record.event {
            Event::StepFinished {
                host,
                title,
                status: Status::Changed,
                detail,
                ..
            } => Some((host, title, detail)),
            _ => None,
        })
        .collect();
    if changed.is_empty() {
        return;
    }
    section(out, "Changes");
    let mut hosts: Vec<_> = changed.iter().map(|(host, ..)| *host).collect();
    hosts.sort();
    hosts.dedup();
    for host in hosts {
        line(out, 2, 4, host.as_str());
        for (_, title, detail) in changed.iter().filter(|(of, ..)| *of == host) {
            line(out, 4, 6, title);
            detail.iter().for_each(|text| line(out, 6, 8, text));
        }
    }
}

fn hosts(out: &mut String, plan: &PlanView, recap: &Recap) {
    if recap.hosts.is_empty() {
        return;
    }
    section(out, "Hosts");
    let word = match recap.is_read_only() {
        true => "would change",
        false => "changed",
    };
    for (name, host) in &recap.hosts {
        let mut parts = Vec::new();
        if plan.is_asked_alone(name, recap) {
            parts.push(NOT_IN_IT.to_owned());
        }
        if host.ok + host.changed > 0 {
            parts.push(format!("{} as written", host.ok));
            parts.push(format!("{word} {}", host.changed));
        }
        if host.failed > 0 {
            parts.push(format!("{} failed", host.failed));
        }
        if host.rescued > 0 {
            parts.push(format!("{} rescued", host.rescued));
        }
        match host.health {
            Health::Good => parts.push(seconds(host.seconds)),
            Health::Unreachable => parts.push("could not be reached".into()),
            Health::Failed => parts.push("failed".into()),
        }
        line(out, 2, 4, &format!("{name}: {}", parts.join(", ")));
    }
    if recap.warnings > 0 {
        line(out, 2, 4, &count(recap.warnings, "warning"));
    }
}

/// Adds text that is indented by `first`, its further lines by `further`, none wider than [`COLUMNS`]. A word that is wider
/// goes over several lines.
fn line(out: &mut String, first: usize, further: usize, text: &str) {
    let mut indent = first;
    for text in text.lines().chain(text.is_empty().then_some("")) {
        // Leading blanks are somebody's own indentation.
        let blanks = text.len() - text.trim_start_matches(' ').len();
        let mut row = " ".repeat(indent) + &text[..blanks.min(COLUMNS / 4)];
        let mut bare = true;
        for word in text.split(' ').filter(|word| !word.is_empty()) {
            let gap = usize::from(!bare);
            if !bare && row.width() + gap + word.width() > COLUMNS {
                let _ = writeln!(out, "{}", row.trim_end());
                row = " ".repeat(further);
                bare = true;
            }
            if !bare {
                row.push(' ');
            }
            for c in word.chars() {
                if row.width() + c.width().unwrap_or(0) > COLUMNS {
                    let _ = writeln!(out, "{}", row.trim_end());
                    row = " ".repeat(further);
                }
                row.push(c);
            }
            bare = false;
        }
        let _ = writeln!(out, "{}", row.trim_end());
        indent = further;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrapped(text: &str) -> String {
        let mut out = String::new();
        line(&mut out, 2, 4, text);
        out
    }

    #[test]
    fn lines_are_wrapped() {
        assert_eq!(wrapped("a b"), "  a b\n");
        assert_eq!(wrapped(""), "\n");
        assert_eq!(wrapped("a\n  b"), "  a\n      b\n");
        let long = wrapped(&"word ".repeat(40));
        assert!(long.lines().all(|line| line.width() <= COLUMNS), "{long}");
        assert_eq!(long.lines().count(), 3);
        let wide = wrapped(&"/a-path-without-a-blank".repeat(10));
        assert!(wide.lines().all(|line| line.width() <= COLUMNS), "{wide}");
    }
}
