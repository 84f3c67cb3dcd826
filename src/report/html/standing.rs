//! How the hosts stand in their cluster: who holds the address, whose API server and etcd are well, which certificates end.

use std::fmt::Write as _;

use crate::event::{Part, Seen};

use super::Escaped;
use super::view::View;

/// From so few days on a certificate's end is a warning: the last third of a kubeadm certificate's year is four months; a
/// month is what is left to act.
const FEW_DAYS: i64 = 30;

/// Adds a card a host; nothing where no host was seen.
pub(super) fn render(out: &mut String, view: &View) {
    if view.seen.is_empty() {
        return;
    }
    out.push_str("<section id=\"cluster\"><h2>Cluster");
    let holders: Vec<&str> = view
        .seen
        .iter()
        .filter(|(_, seen)| seen.vip.is_some())
        .map(|(host, _)| host.as_str())
        .collect();
    if let Some(vip) = view.seen.values().find_map(|seen| seen.vip) {
        let _ = write!(
            out,
            " <span>virtual address {vip} on {}</span>",
            Escaped(&holders.join(", "))
        );
    }
    out.push_str("</h2>\n<div class=\"cards\">\n");
    for (host, seen) in &view.seen {
        let class = match seen {
            Seen { ill, .. } if !ill.is_empty() => "card ill",
            Seen { vip: Some(_), .. } => "card holder",
            _ => "card",
        };
        let parts: Vec<&str> = seen.parts.iter().map(|part| part.as_str()).collect();
        let _ = write!(
            out,
            "<div class=\"{class}\"><h3>{}</h3><p class=\"sub\">{}</p><dl>",
            Escaped(host.as_str()),
            parts.join(", ")
        );
        if seen.vip.is_some() {
            out.push_str("<dt>address</dt><dd class=\"vip\">holds it</dd>");
        }
        let rows = [
            ("node", &seen.node, true),
            (
                "API server",
                &seen.api,
                seen.parts.contains(&Part::ControlPlane),
            ),
            ("etcd", &seen.etcd, seen.parts.contains(&Part::ControlPlane)),
        ];
        for (name, value, _) in rows.iter().filter(|(_, value, of)| *of && value.is_some()) {
            let value = value.as_deref().unwrap_or_default();
            let _ = write!(out, "<dt>{name}</dt><dd>{}</dd>", Escaped(value));
        }
        for certificate in &seen.certificates {
            let class = if certificate.days < FEW_DAYS {
                " class=\"bad\""
            } else {
                ""
            };
            let _ = write!(
                out,
                "<dt>{}</dt><dd{class}>certificate for {} days</dd>",
                Escaped(&certificate.name),
                certificate.days
            );
        }
        for what in &seen.ill {
            let _ = write!(
                out,
                "<dt>not well</dt><dd class=\"bad\">{}</dd>",
                Escaped(what)
            );
        }
        out.push_str("</dl></div>\n");
    }
    out.push_str("</div></section>\n");
}
