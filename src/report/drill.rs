//! A drill as a person reads it: a line for each round, then the spread.

use std::fmt::Write as _;

use crate::event::{DrillPlan, DrillRecap, DrillRound, Spread, Tenure, WatchGap, printable};

use super::text::{BOLD, DIM, GREEN, RED, YELLOW, count, paint};

/// From how many rounds on a median is one to compare with others.
const FIRM: usize = 10;

/// Returns the drill's results, styled; each round as far as it got.
pub(super) fn render(drill: &DrillRecap) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "{}", paint(BOLD, headline(&drill.plan)));
    for round in &drill.rounds {
        let style = if round.open {
            RED
        } else if round.failed > 0 {
            YELLOW
        } else {
            GREEN
        };
        let _ = writeln!(
            out,
            "  {:>2}  {} : {}",
            round.round,
            paint(style, &round.target),
            sentence(round)
        );
        for line in [holders(&round.holders), watch(round.watch)]
            .into_iter()
            .flatten()
        {
            let _ = writeln!(out, "      {}", paint(DIM, line));
        }
    }
    for line in spreads(drill) {
        let _ = writeln!(out, "  {line}");
    }
    out
}

/// Returns what the drill was to be.
pub(super) fn headline(plan: &DrillPlan) -> String {
    let seconds = if matches!(plan.by.as_str(), "kill-api" | "reboot") {
        String::new()
    } else {
        format!(" for {} s", plan.seconds)
    };
    let vip = plan.vip.map(|vip| format!(", virtual address {vip}"));
    format!(
        "drill failover: {}{seconds}, {}, requests at {}{}",
        printable(&plan.by, false),
        count(plan.rounds, "round"),
        printable(&plan.endpoint, false),
        vip.unwrap_or_default()
    )
}

/// Returns what a client saw in a round.
pub(super) fn sentence(round: &DrillRound) -> String {
    let mut parts = vec![outage(round)];
    parts.push(format!(
        "{} of {} requests failed",
        round.failed, round.probes
    ));
    if round.slow > 0 {
        parts.push(format!("{} slow", round.slow));
    }
    parts.push(match round.away {
        Some(away) => format!("back after {away:.1} s"),
        None => "never came back".into(),
    });
    parts.push(match round.redundant {
        Some(redundant) => format!("fully redundant after {redundant:.1} s"),
        None => "not fully redundant".into(),
    });
    if round.doubled > 0.0 {
        parts.push(format!("two holders for {:.2} s", round.doubled));
    }
    // Requests are to be 0.04 s apart; what is much coarser is said.
    if round.pause > 0.2 {
        parts.push(format!("requests up to {:.2} s apart", round.pause));
    }
    parts.join(" · ")
}

fn outage(round: &DrillRound) -> String {
    if round.failed == 0 {
        return "no outage".into();
    }
    let open = if round.open && round.later.is_empty() {
        " or more"
    } else {
        ""
    };
    let mut text = format!("outage {:.2} s{open}", round.outage);
    for (i, later) in round.later.iter().enumerate() {
        let open = if round.open && i + 1 == round.later.len() {
            " or more"
        } else {
            ""
        };
        let _ = write!(text, ", later {later:.2} s{open}");
    }
    text
}

/// Returns who held the virtual address when.
pub(super) fn holders(tenures: &[Tenure]) -> Option<String> {
    let one = |tenure: &Tenure| {
        let from = (tenure.from > 0.0).then(|| format!(" from {:.2} s", tenure.from));
        let until = tenure.until.map(|until| format!(" to {until:.2} s"));
        format!(
            "{}{}{}",
            tenure.host,
            from.unwrap_or_default(),
            until.unwrap_or_default()
        )
    };
    // By BGP several hold it at once: who was there from the beginning is told by name.
    let mut tenures: Vec<&Tenure> = tenures.iter().collect();
    tenures.sort_by(|a, b| {
        let begun = a.from.max(0.0).total_cmp(&b.from.max(0.0));
        begun.then_with(|| a.host.cmp(&b.host))
    });
    let all: Vec<String> = tenures.into_iter().map(one).collect();
    (!all.is_empty()).then(|| format!("held by {}", all.join(", ")))
}

/// Returns what became of the open watch.
pub(super) fn watch(gap: Option<WatchGap>) -> Option<String> {
    Some(match gap? {
        WatchGap { broke: None, .. } => "the open watch held".into(),
        WatchGap {
            broke: Some(broke),
            usable: Some(usable),
        } => format!(
            "the open watch broke after {broke:.2} s, a new one delivered after {usable:.2} s"
        ),
        WatchGap {
            broke: Some(broke),
            usable: None,
        } => format!("the open watch broke after {broke:.2} s, no new one delivered"),
    })
}

/// Returns the spread over all rounds; empty for a single one.
pub(super) fn spreads(drill: &DrillRecap) -> Vec<String> {
    let rounds = &drill.rounds;
    if rounds.len() < 2 {
        return Vec::new();
    }
    let mut lines = Vec::new();
    if let Some(spread) = Spread::of(rounds.iter().map(|r| r.outage)) {
        lines.push(format!(
            "outage: median {:.2} s, least {:.2} s, most {:.2} s",
            spread.median, spread.min, spread.max
        ));
    }
    if let Some(spread) = Spread::of(rounds.iter().map(|r| f64::from(r.failed))) {
        lines.push(format!(
            "failed requests: median {}, least {}, most {}",
            spread.median, spread.min, spread.max
        ));
    }
    if rounds.len() < FIRM {
        lines.push(format!(
            "{}: a median to compare with others takes {FIRM} or more",
            count(rounds.len() as u64, "round")
        ));
    }
    lines
}
