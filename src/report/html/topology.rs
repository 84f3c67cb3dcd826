//! Who is who: clients, the virtual address, who held it and who took over, the hosts behind it.

use std::fmt::Write as _;

use crate::event::DrillPlan;
use crate::model::HostName;

use super::Escaped;
use super::view::Round;

/// The drawing's width, and the size of a host in it.
const WIDTH: f64 = 1000.0;
const BOX: (f64, f64) = (184.0, 58.0);
const GAP: f64 = 16.0;

/// Adds the topology of a drill, with what became of it in its last round.
pub(super) fn drill(out: &mut String, plan: &DrillPlan, round: Option<&Round>) {
    let mut hosts: Vec<&HostName> = plan.control_planes.iter().collect();
    let others = plan.load_balancers.iter().chain(&plan.workers);
    for host in others {
        if !hosts.contains(&host) {
            hosts.push(host);
        }
    }
    let (columns, rows) = grid(hosts.len());
    let top = 128.0;
    let height = top + rows * (BOX.1 + GAP) + 6.0;
    let _ = write!(
        out,
        "<section><h2>Topology</h2><div class=\"wide\"><svg viewBox=\"0 0 {WIDTH} {height:.0}\" role=\"img\" aria-label=\"topology\">"
    );
    let vip = plan.vip.map_or(String::new(), |vip| vip.to_string());
    let _ = write!(
        out,
        "<rect class=\"box\" x=\"300\" y=\"8\" width=\"120\" height=\"48\" rx=\"8\"/><text class=\"host\" x=\"360\" y=\"37\">clients</text>\
         <path class=\"flow\" d=\"M420 32H500\"/><path class=\"tip\" d=\"M500 32l-9 -5v10z\"/>\
         <rect class=\"address\" x=\"502\" y=\"8\" width=\"260\" height=\"48\" rx=\"24\"/><text class=\"host\" x=\"632\" y=\"29\">{}</text>\
         <text class=\"role\" x=\"632\" y=\"46\">{}</text>",
        Escaped(if vip.is_empty() { &plan.endpoint } else { &vip }),
        Escaped(if vip.is_empty() { "" } else { &plan.endpoint })
    );
    let place = |index: usize| {
        #[expect(clippy::cast_precision_loss, reason = "a screen's worth of hosts")]
        let (column, row) = ((index % columns) as f64, (index / columns) as f64);
        let in_row = columns.min(hosts.len() - index / columns * columns);
        #[expect(clippy::cast_precision_loss, reason = "a screen's worth of hosts")]
        let length = in_row as f64 * (BOX.0 + GAP) - GAP;
        let left = (WIDTH - length) / 2.0;
        (left + column * (BOX.0 + GAP), top + row * (BOX.1 + GAP))
    };
    let held = |host: &HostName| {
        let result = round.and_then(|r| r.result.as_ref());
        result.is_some_and(|r| r.holders.iter().any(|t| t.host == *host))
    };
    let holder = round.and_then(|r| r.holder.as_ref());
    // Lines first, so that they end behind the hosts.
    for (index, host) in hosts.iter().enumerate() {
        let first = Some(*host) == holder;
        if first || held(host) {
            let (x, y) = place(index);
            let class = if first { "flow" } else { "flow over" };
            let (from, to) = (632.0, x + BOX.0 / 2.0);
            let _ = write!(
                out,
                "<path class=\"{class}\" d=\"M{from} 56C{from} 92 {to:.1} 84 {to:.1} {y:.1}\"/>"
            );
        }
    }
    for (index, host) in hosts.iter().enumerate() {
        let (x, y) = place(index);
        let is_target = round.is_some_and(|r| r.target == **host);
        let class = if is_target { "box target" } else { "box" };
        let mut notes = Vec::new();
        if Some(*host) == holder {
            notes.push("held the address");
        } else if held(host) {
            notes.push("took it over");
        }
        if is_target {
            notes.push("taken away");
        }
        if round.is_some_and(|r| r.prober == **host) {
            notes.push("made the requests");
        }
        if round.is_some_and(|r| r.watcher.as_ref() == Some(*host)) {
            notes.push("kept the watch");
        }
        let middle = x + BOX.0 / 2.0;
        let _ = write!(
            out,
            "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{}\" height=\"{}\" rx=\"8\"/>\
             <text class=\"host\" x=\"{middle:.1}\" y=\"{:.1}\">{}</text><text class=\"role\" x=\"{middle:.1}\" y=\"{:.1}\">{}</text>\
             <text class=\"note\" x=\"{middle:.1}\" y=\"{:.1}\">{}</text>",
            BOX.0,
            BOX.1,
            y + 19.0,
            Escaped(host.as_str()),
            y + 34.0,
            Escaped(&roles(plan, host)),
            y + 49.0,
            Escaped(&notes.join(", "))
        );
    }
    out.push_str("</svg></div></section>\n");
}

fn roles(plan: &DrillPlan, host: &HostName) -> String {
    let mut roles = Vec::new();
    if plan.control_planes.contains(host) {
        roles.push("control plane");
    }
    if plan.load_balancers.contains(host) {
        roles.push("load balancer");
    }
    if roles.is_empty() {
        roles.push("worker");
    }
    roles.join(", ")
}

/// Returns columns, and rows as a height's factor.
fn grid(hosts: usize) -> (usize, f64) {
    const MOST: usize = 5;
    let columns = hosts.clamp(1, MOST);
    #[expect(clippy::cast_precision_loss, reason = "a screen's worth of hosts")]
    let rows = hosts.div_ceil(columns).max(1) as f64;
    (columns, rows)
}
