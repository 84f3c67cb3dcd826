//! What would be changed or was, with its differences; and since when it differs.

use std::fmt::Write as _;

use crate::event::{ChangeKind, PlannedChange, Recap, Status};
use crate::report::plan::{PlanView, Stands, Step};
use crate::report::text::count;

use super::Escaped;
use super::view::View;

/// So many hosts' differences are unfolded; of more, a person looks for the one they want.
const UNFOLDED: usize = 8;

/// Adds a plan: each host with what would happen there, by kind.
pub(super) fn plan(out: &mut String, plan: &PlanView, recap: &Recap) {
    let counts = plan.counts();
    let total: usize = counts.iter().map(|(_, n)| n).sum();
    let _ = write!(out, "<section id=\"changes\"><h2>Differences");
    if total > 0 {
        let parts: Vec<String> = counts
            .iter()
            .map(|(kind, n)| format!("{n} to {}", verb(*kind)))
            .collect();
        let _ = write!(out, " <span>{}</span>", parts.join(", "));
    }
    out.push_str("</h2>\n");
    let changing = plan.hosts(recap).filter(|(.., s)| *s == Stands::Changing);
    let open = if changing.count() <= UNFOLDED {
        " open"
    } else {
        ""
    };
    let mut unchanged = Vec::new();
    for (host, steps, stands) in plan.hosts(recap) {
        let name = Escaped(host.as_str());
        match stands {
            Stands::Changing => {
                let n = count(steps.len() as u64, "difference");
                let _ = writeln!(
                    out,
                    "<details class=\"host\"{open}><summary>{name} <span>{n}</span></summary>"
                );
                for kind in ChangeKind::ALL {
                    let of_kind: Vec<&Step> = steps.iter().filter(|s| s.kind == kind).collect();
                    if !of_kind.is_empty() {
                        let _ = writeln!(out, "<h3>{}</h3>", kind.as_str());
                        of_kind.iter().for_each(|step| planned(out, step));
                    }
                }
                out.push_str("</details>\n");
            }
            Stands::Failed | Stands::Unread => {
                let _ = writeln!(
                    out,
                    "<p class=\"unknown\"><b>{name}</b> could not be read: whether it is as written is not known</p>"
                );
            }
            Stands::Unfit => {
                let _ = writeln!(
                    out,
                    "<p class=\"unknown\"><b>{name}</b> could not be planned: the failures say why</p>"
                );
            }
            Stands::Unchanged => unchanged.push(host.as_str()),
            Stands::Asked => {}
        }
    }
    if !unchanged.is_empty() {
        let _ = writeln!(
            out,
            "<p class=\"sub\">As written: {}</p>",
            Escaped(&unchanged.join(", "))
        );
    }
    out.push_str("</section>\n");
}

fn verb(kind: ChangeKind) -> &'static str {
    match kind {
        ChangeKind::Undecided => "be decided",
        kind => kind.as_str(),
    }
}

fn planned(out: &mut String, step: &Step) {
    let class = if step.disturbs {
        "change disturbs"
    } else {
        "change"
    };
    let _ = write!(
        out,
        "<article class=\"{class}\"><h4>{}",
        Escaped(&step.title)
    );
    if step.disturbs {
        out.push_str(" <span class=\"chip bad\">disturbs the path to the API</span>");
    }
    match &step.since {
        Some(since) if since.different.is_none() => {
            out.push_str(" <span class=\"chip warn\">new since the last run</span>");
        }
        Some(_) => out.push_str(" <span class=\"chip dim\">seen before</span>"),
        None => {}
    }
    out.push_str("</h4>\n");
    if let Some(since) = &step.since {
        let _ = writeln!(out, "<p class=\"sub\">{}</p>", Escaped(&since.sentence()));
    }
    step.changes.iter().for_each(|change| one(out, change));
    out.push_str("</article>\n");
}

fn one(out: &mut String, change: &PlannedChange) {
    let _ = write!(out, "<p><code>{}</code>", Escaped(&change.what));
    if !change.why.is_empty() {
        let why = change.why.trim_start_matches('(').trim_end_matches(')');
        let _ = write!(out, " <span class=\"why\">{}</span>", Escaped(why));
    }
    out.push_str("</p>\n");
    if let Some(guard) = &change.guard {
        let _ = writeln!(out, "<p class=\"guard\">{}</p>", Escaped(guard));
    }
    if let Some(text) = &change.diff {
        diff(out, text);
    }
}

/// Adds a unified diff. Signs stay in the text, for those who see no colours.
fn diff(out: &mut String, text: &str) {
    out.push_str("<pre class=\"diff\" tabindex=\"0\">");
    for line in text.lines() {
        let class = match line {
            _ if line.starts_with("---") || line.starts_with("+++") => "file",
            _ if line.starts_with("@@") => "at",
            _ if line.starts_with('+') => "add",
            _ if line.starts_with('-') => "del",
            _ => "",
        };
        // A block of its own: a line end behind it would be an empty line.
        let _ = write!(out, "<span class=\"{class}\">{}</span>", Escaped(line));
    }
    out.push_str("</pre>\n");
}

/// Adds what a run changed, with the differences where the run was asked for them.
pub(super) fn done(out: &mut String, view: &View, recap: &Recap) {
    let changed = |steps: &[super::view::Step]| {
        let changed = steps.iter().filter(|s| s.status == Status::Changed);
        changed.count()
    };
    let total: usize = view.steps.values().map(|steps| changed(steps)).sum();
    if total == 0 {
        return;
    }
    let _ = writeln!(
        out,
        "<section id=\"changes\"><h2>Changes <span>{}</span></h2>",
        count(total as u64, "step")
    );
    let planned: Vec<_> = view.plan.hosts(recap).collect();
    for (host, steps) in view.steps.iter().filter(|(_, steps)| changed(steps) > 0) {
        let _ = writeln!(
            out,
            "<details class=\"host\"{}><summary>{} <span>{} changed</span></summary>",
            // What fits on a screen is there to be seen.
            if total <= 12 { " open" } else { "" },
            Escaped(host.as_str()),
            changed(steps)
        );
        let known = planned.iter().find(|(name, ..)| *name == host);
        for step in steps.iter().filter(|s| s.status == Status::Changed) {
            let _ = writeln!(
                out,
                "<article class=\"change\"><h4>{}</h4>",
                Escaped(&step.title)
            );
            for line in &step.detail {
                let _ = writeln!(out, "<p><code>{}</code></p>", Escaped(line));
            }
            let same = known.and_then(|(_, steps, _)| steps.iter().find(|p| p.title == step.title));
            for text in same
                .iter()
                .flat_map(|p| &p.changes)
                .filter_map(|c| c.diff.as_ref())
            {
                diff(out, text);
            }
            out.push_str("</article>\n");
        }
        out.push_str("</details>\n");
    }
    out.push_str("</section>\n");
}
