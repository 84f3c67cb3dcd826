//! The recap: failures first, one line a host, where the time went, the cluster, the journal.

use std::fmt::Write as _;

use crate::event::{ExitCode, Failure, Health, HostRecap, Recap, TimeSplit, printable};

use super::text::{BOLD, DIM, GREEN, RED, YELLOW, bytes, count, indent, names, paint, seconds};

/// How many hosts a failure names.
const NAMED: usize = 8;

/// Returns the recap, styled. `journal` is where the journal lies; `verbose` adds the bytes that were sent.
pub fn render(recap: &Recap, journal: Option<&str>, verbose: bool) -> String {
    let mut out = String::new();
    for failure in &recap.failures {
        out.push_str(&render_failure(failure));
        out.push('\n');
    }
    if recap.interrupted {
        let _ = writeln!(out, "{}", paint(RED, "interrupted"));
        if !recap.under_way.is_empty() {
            let _ = writeln!(
                out,
                "  a step was under way on {}",
                names(&recap.under_way, NAMED)
            );
        }
        out.push_str("  help: run the same command again; it goes on from where the hosts are\n\n");
    }
    host_lines(&mut out, recap, verbose);
    if let Some(drill) = &recap.drill {
        out.push_str(&super::drill::render(drill));
    }
    let unchanged = recap.hosts.values().all(|host| host.changed == 0);
    if recap.command == "apply" && recap.finished && recap.exit() == ExitCode::Done && unchanged {
        let said = match recap.healthy {
            _ if recap.warnings > 0 => paint(BOLD, "nothing changed; see the warnings above"),
            Some(false) => paint(
                YELLOW,
                "nothing changed: the hosts are as written, the cluster is not well",
            ),
            _ => paint(GREEN, "nothing changed: all is as written"),
        };
        let _ = writeln!(out, "{said}");
    }
    if !recap.finished {
        out.push_str("the run did not end: its journal stops here\n");
    }
    let _ = writeln!(out, "{}", time_line(recap.seconds, &recap.wall));
    if let Some(cluster) = &recap.cluster {
        let style = match recap.healthy {
            Some(true) => GREEN,
            Some(false) => YELLOW,
            None => BOLD,
        };
        let _ = writeln!(out, "{}", paint(style, printable(cluster, true)));
    }
    if let Some(journal) = journal {
        let _ = writeln!(out, "{}", paint(DIM, format_args!("journal: {journal}")));
    }
    out
}

/// Returns one failure: where, what, the last lines, what to do.
pub(super) fn render_failure(failure: &Failure) -> String {
    let mut out = paint(RED, "failed");
    if !failure.hosts.is_empty() {
        let _ = write!(out, ": {}", paint(BOLD, names(&failure.hosts, NAMED)));
    }
    let _ = writeln!(out, ": {}", printable(&failure.title, false));
    for text in &failure.detail {
        indent(&mut out, "    ", &printable(text, true));
    }
    if let Some(help) = &failure.help {
        help_lines(&mut out, &printable(help, true));
    }
    out
}

/// Adds what to do next, further lines under the first.
pub(super) fn help_lines(out: &mut String, help: &str) {
    for (i, line) in help.lines().enumerate() {
        let head = if i == 0 { "  help: " } else { "        " };
        let _ = writeln!(out, "{head}{line}");
    }
}

fn host_lines(out: &mut String, recap: &Recap, verbose: bool) {
    let rows: Vec<[String; 8]> = recap
        .hosts
        .iter()
        .map(|(name, host)| cells(name.as_str(), host))
        .collect();
    let width = |column: usize| {
        rows.iter()
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: [usize; 8] = std::array::from_fn(width);
    for (row, host) in rows.iter().zip(recap.hosts.values()) {
        let cell = |column: usize| format!("{:<width$}", row[column], width = widths[column]);
        let colored = |column: usize, style, on: bool| {
            if on {
                paint(style, cell(column))
            } else {
                cell(column)
            }
        };
        let name_style = match (host.health, host.changed) {
            (Health::Good, 0) => GREEN,
            (Health::Good, _) => YELLOW,
            _ => RED,
        };
        let _ = write!(
            out,
            "{} : {} {} {} {} · {} · {} · {:>width$}",
            paint(name_style, cell(0)),
            colored(1, GREEN, host.ok > 0),
            colored(2, YELLOW, host.changed > 0),
            colored(3, RED, host.failed > 0),
            cell(4),
            cell(5),
            cell(6),
            row[7],
            width = widths[7],
        );
        if verbose {
            let _ = write!(out, " · {} sent", bytes(host.bytes));
        }
        match host.health {
            Health::Good => {}
            Health::Unreachable => out.push_str(&paint(RED, " · unreachable")),
            Health::Failed => out.push_str(&paint(RED, " · failed")),
        }
        out.push('\n');
    }
}

fn cells(name: &str, host: &HostRecap) -> [String; 8] {
    [
        name.to_string(),
        format!("ok={}", host.ok),
        format!("changed={}", host.changed),
        format!("failed={}", host.failed),
        format!("skipped={}", host.skipped),
        count(host.sessions, "session"),
        count(host.execs, "exec"),
        seconds(host.seconds),
    ]
}

/// Returns `78 s = packages 9 + transfer 21 + kubeadm 38 + waits 6 + own 4`, with figures that add up.
fn time_line(total: f64, split: &TimeSplit) -> String {
    let parts = [
        ("packages", split.packages),
        ("transfer", split.transfer),
        ("kubeadm", split.kubeadm),
        ("waits", split.wait),
        ("own", split.own),
    ];
    if parts[..4].iter().all(|(_, seconds)| *seconds < 0.05) {
        return format!("{} in all", seconds(total));
    }
    // Tenths below ten seconds, whole seconds from there on.
    let unit = if total < 9.95 { 10.0 } else { 1.0 };
    let digits = usize::from(unit > 1.0);
    let total = (total * unit).round();
    let terms: Vec<String> = parts
        .iter()
        .zip(round_to_sum(
            &parts.map(|(_, seconds)| seconds * unit),
            total,
        ))
        .map(|((name, _), figure)| format!("{name} {:.digits$}", figure / unit))
        .collect();
    format!("{:.digits$} s = {}", total / unit, terms.join(" + "))
}

/// Returns the values rounded so that they add up to `total`: the largest remainders are rounded up.
fn round_to_sum(values: &[f64; 5], total: f64) -> [f64; 5] {
    let mut floors = values.map(f64::floor);
    let mut order: [usize; 5] = std::array::from_fn(|i| i);
    order.sort_by(|a, b| values[*b].fract().total_cmp(&values[*a].fract()));
    for index in order {
        if floors.iter().sum::<f64>() < total {
            floors[index] += 1.0;
        }
    }
    floors
}

/// Returns whether a recap is shown at the end: the output of a user's own command stands alone unless it failed.
pub(super) fn wanted(recap: &Recap, verbosity: i8) -> bool {
    recap.command != "exec" || verbosity > 0 || !recap.failures.is_empty() || recap.interrupted
}
