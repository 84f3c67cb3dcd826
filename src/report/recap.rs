//! The recap: failures first, one line a host, where the time went, the cluster, the journal.

use std::fmt::Write as _;

use indexmap::IndexMap;

use crate::event::{ExitCode, Failure, Health, HostRecap, Recap, TimeSplit, printable};
use crate::model::HostName;

use super::screen::FOLD_ABOVE;
use super::text::{BOLD, DIM, GREEN, RED, YELLOW, bytes, count, indent, names, paint, seconds};

/// How many hosts a failure names.
const NAMED: usize = 8;
/// How many hosts a line of the recap names that is for all with the same figures.
const IN_A_ROW: usize = 3;

/// Returns the recap, styled. `journal` is where the journal lies; `verbose` adds the bytes that were sent.
pub fn render(recap: &Recap, journal: Option<&str>, verbose: bool) -> String {
    let mut out = String::new();
    for failure in &recap.failures {
        out.push_str(&render_failure(failure));
        out.push('\n');
    }
    let stop = Standstill::of(recap, NAMED);
    if recap.interrupted {
        let _ = writeln!(out, "{}", paint(RED, "interrupted"));
        out.extend(stop.iter().map(Standstill::lines));
        out.push('\n');
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
        out.extend(
            stop.iter()
                .filter(|_| !recap.interrupted)
                .map(Standstill::lines),
        );
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

/// Where a run stopped that did not come to its end.
pub(super) struct Standstill {
    /// What was under way.
    pub(super) said: Vec<String>,
    /// What to do next.
    pub(super) help: &'static str,
}

impl Standstill {
    /// Returns it for a run that was interrupted, or that changed hosts and was killed; up to `most` hosts are named of each step.
    pub(super) fn of(recap: &Recap, most: usize) -> Option<Self> {
        let killed = !recap.finished && recap.command == "apply";
        if !recap.interrupted && !killed {
            return None;
        }
        let mut said = Vec::new();
        if !recap.under_way.is_empty() {
            let hosts = names(&recap.under_way, most);
            said.push(format!(
                "stopped behind the step that was under way on {hosts}"
            ));
        }
        if killed {
            let mut alike: IndexMap<&str, Vec<HostName>> = IndexMap::new();
            for (host, title) in &recap.unended {
                alike.entry(title).or_default().push(host.clone());
            }
            let unseen = alike.iter().map(|(title, hosts)| {
                format!(
                    "the end of `{title}` on {} was not seen",
                    names(hosts, most)
                )
            });
            said.extend(unseen);
        }
        let help = match &recap.drill {
            Some(_) => {
                "whom the drill took away comes back by itself, when its time is over at the latest: `quorate status` shows it"
            }
            None => "run the same command again; it goes on from where the hosts are",
        };
        Some(Self { said, help })
    }

    fn lines(&self) -> String {
        let mut out = String::new();
        for text in &self.said {
            indent(&mut out, "  ", &printable(text, false));
        }
        help_lines(&mut out, self.help);
        out
    }
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

/// One line of the recap: a host, or many hosts with the same figures.
struct Row<'a> {
    hosts: Vec<HostName>,
    /// The figures, which all of them have; of what each has of its own it holds the sum.
    host: HostRecap,
    least: &'a HostRecap,
    most: &'a HostRecap,
}

/// Returns the hosts' rows: one each, or where there are many one for all with the same figures.
fn rows(recap: &Recap, verbose: bool) -> Vec<Row<'_>> {
    let folds = recap.hosts.len() > FOLD_ABOVE && !verbose;
    let mut rows: IndexMap<_, Row<'_>> = IndexMap::new();
    for (place, (name, host)) in recap.hosts.iter().enumerate() {
        let counts = [
            host.ok,
            host.changed,
            host.failed,
            host.skipped,
            host.rescued,
        ];
        let trips = [host.sessions, host.execs];
        let key = (counts, trips, host.health, if folds { 0 } else { place });
        let row = rows.entry(key).or_insert_with(|| Row {
            hosts: Vec::new(),
            host: HostRecap {
                bytes: 0,
                ..host.clone()
            },
            least: host,
            most: host,
        });
        row.hosts.push(name.clone());
        row.host.bytes += host.bytes;
        if host.seconds < row.least.seconds {
            row.least = host;
        }
        if host.seconds > row.most.seconds {
            row.most = host;
        }
    }
    let mut rows: Vec<Row<'_>> = rows.into_values().collect();
    if folds {
        // What is not well comes last, where the eye is when the run is over.
        rows.sort_by_key(|row| row.host.health);
    }
    rows
}

fn host_lines(out: &mut String, recap: &Recap, verbose: bool) {
    let rows = rows(recap, verbose);
    let cells: Vec<[String; 8]> = rows.iter().map(cells).collect();
    let width = |column: usize| {
        cells
            .iter()
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: [usize; 8] = std::array::from_fn(width);
    for (row, Row { host, .. }) in cells.iter().zip(&rows) {
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
    if rows.len() < recap.hosts.len() {
        let hosts = recap.hosts.len();
        let said = format!("{hosts} hosts, those with the same figures in one line; -v lists each");
        let _ = writeln!(out, "{}", paint(DIM, said));
    }
}

fn cells(row: &Row<'_>) -> [String; 8] {
    let host = &row.host;
    let (least, most) = (seconds(row.least.seconds), seconds(row.most.seconds));
    [
        names(&row.hosts, IN_A_ROW),
        format!("ok={}", host.ok),
        format!("changed={}", host.changed),
        format!("failed={}", host.failed),
        match host.rescued {
            0 => format!("skipped={}", host.skipped),
            rescued => format!("skipped={} rescued={rescued}", host.skipped),
        },
        count(host.sessions, "session"),
        count(host.execs, "exec"),
        if least == most {
            most
        } else {
            format!("{least} to {most}")
        },
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
