//! The recap, and each host's steps.

use std::fmt::Write as _;

use crate::event::{Health, Recap, Status, TimeSplit};
use crate::report::plan::{NOT_IN_IT, is_stopped};
use crate::report::text::{count, seconds};

use super::Escaped;
use super::view::{Step, View};

/// Adds where the time went, a line for each host, and what was done on it.
pub(super) fn render(out: &mut String, view: &View, recap: &Recap) {
    if !view.warnings.is_empty() {
        out.push_str("<section id=\"warnings\"><h2>Warnings</h2><ul>");
        for warning in &view.warnings {
            let _ = write!(out, "<li>{}</li>", Escaped(warning));
        }
        out.push_str("</ul></section>\n");
    }
    if recap.hosts.is_empty() {
        return;
    }
    out.push_str("<section id=\"hosts\"><h2>Hosts</h2>");
    time(out, &recap.wall);
    out.push_str(
        "<div class=\"wide\"><table><thead><tr><th>host<th class=\"n\">ok<th class=\"n\">changed<th class=\"n\">failed<th class=\"n\">skipped\
         <th class=\"n\">sessions<th class=\"n\">execs<th class=\"n\">time<th></tr></thead><tbody>\n",
    );
    // What would be done there is in no journal of a run that was refused, or stopped.
    let stopped = is_stopped(recap);
    for (name, host) in &recap.hosts {
        let (class, word) = match host.health {
            Health::Good if host.changed > 0 && recap.is_read_only() => ("warn", "would change"),
            Health::Good if host.changed > 0 => ("warn", "changed"),
            Health::Good if view.plan.is_asked_alone(name, recap) => ("dim", NOT_IN_IT),
            Health::Good if stopped => ("", "not changed"),
            Health::Good => ("good", "as written"),
            Health::Unreachable => ("bad", "unreachable"),
            Health::Failed => ("bad", "failed"),
        };
        // A command that changes nothing by its nature says nothing of what is written.
        let chip = if class != "bad"
            && !matches!(recap.command.as_str(), "apply" | "apply --check" | "plan")
        {
            String::new()
        } else {
            format!("<span class=\"chip {class}\">{word}</span>")
        };
        let rescued = match host.rescued {
            0 => String::new(),
            rescued => format!(" <span class=\"chip warn\">{rescued} rescued</span>"),
        };
        let _ = writeln!(
            out,
            "<tr><td><b>{}</b><td class=\"n\">{}<td class=\"n\">{}<td class=\"n\">{}<td class=\"n\">{}<td class=\"n\">{}<td class=\"n\">{}<td class=\"n\">{}<td>{chip}{rescued}</tr>",
            Escaped(name.as_str()),
            host.ok,
            host.changed,
            host.failed,
            host.skipped,
            host.sessions,
            host.execs,
            seconds(host.seconds)
        );
    }
    out.push_str("</tbody></table></div>\n");
    for (name, steps) in view.steps.iter().filter(|(_, steps)| !steps.is_empty()) {
        let failed = steps.iter().any(|s| s.status == Status::Failed);
        let open = if failed { " open" } else { "" };
        let _ = writeln!(
            out,
            "<details{open}><summary>{} <span>{}</span></summary><table><tbody>",
            Escaped(name.as_str()),
            count(steps.len() as u64, "step")
        );
        steps.iter().for_each(|step| one(out, step));
        out.push_str("</tbody></table></details>\n");
    }
    out.push_str("</section>\n");
}

fn one(out: &mut String, step: &Step) {
    let (class, word) = match step.status {
        Status::Ok => ("good", "ok"),
        Status::Changed => ("warn", "changed"),
        Status::Skipped => ("dim", "skipped"),
        Status::Failed => ("bad", "failed"),
        Status::Rescued => ("warn", "rescued"),
    };
    let _ = write!(
        out,
        "<tr><td><span class=\"chip {class}\">{word}</span><td>{}",
        Escaped(&step.title)
    );
    if !step.detail.is_empty() {
        let _ = write!(out, "<pre>{}</pre>", Escaped(&step.detail.join("\n")));
    }
    let _ = writeln!(out, "<td class=\"n\">{}</tr>", seconds(step.seconds));
}

/// Adds a bar of where the time went; nothing where all of it is the program's own.
fn time(out: &mut String, split: &TimeSplit) {
    let parts = [
        ("packages", split.packages),
        ("transfer", split.transfer),
        ("kubeadm", split.kubeadm),
        ("waits", split.wait),
        ("own", split.own),
    ];
    let total = split.total();
    if total <= 0.0 || parts[..4].iter().all(|(_, s)| *s < 0.05) {
        return;
    }
    out.push_str("<div class=\"split\">");
    for (name, part) in parts.iter().filter(|(_, part)| *part > 0.0) {
        let _ = write!(
            out,
            "<div class=\"{name}\" style=\"flex-grow:{:.3}\"></div>",
            part / total
        );
    }
    out.push_str("</div><p class=\"legend\">");
    for (name, part) in parts.iter().filter(|(_, part)| *part > 0.0) {
        let _ = write!(out, "<i class=\"{name}\"></i>{name} {} ", seconds(*part));
    }
    out.push_str("</p>\n");
}
