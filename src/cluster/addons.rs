//! Manifests that the inventory names: what of them the cluster has otherwise, as kubectl diff tells it, and the act that
//! applies them.

use super::next::Act;
use super::view::{Shape, View};
use crate::host::AddonState;

/// Returns the manifests that are not as written, with what kubectl said of each, by their names.
pub fn due(view: &View) -> impl Iterator<Item = (&str, &str)> {
    view.addons.iter().filter_map(|(name, state)| match state {
        AddonState::Differs(text) => Some((name.as_str(), text.as_str())),
        AddonState::AsWritten | AddonState::Unknown(_) => None,
    })
}

/// Returns the manifests of which nothing could be told, with the reason.
pub fn unknown(view: &View) -> impl Iterator<Item = (&str, &str)> {
    view.addons.iter().filter_map(|(name, state)| match state {
        AddonState::Unknown(reason) => Some((name.as_str(), reason.as_str())),
        AddonState::AsWritten | AddonState::Differs(_) => None,
    })
}

/// Returns the act that applies what is not as written; `None` where all is, or where the run may change no control plane.
pub fn act(shape: &Shape, view: &View) -> Option<Act> {
    let manifests: Vec<String> = due(view).map(|(name, _)| name.to_string()).collect();
    if manifests.is_empty() {
        return None;
    }
    let host = view.may_configure(shape)?.clone();
    Some(Act::Apply { host, manifests })
}

/// Returns what differs by what kubectl diff printed: the objects, as `Kind namespace/name`, or its own last words.
///
/// It compares files that are called `GROUP.VERSION.KIND.NAMESPACE.NAME` (kubectl's pkg/cmd/diff, `InfoObject.Name`).
pub fn told(said: &str) -> String {
    let mut found: Vec<String> = Vec::new();
    for line in said.lines().filter(|line| line.starts_with("diff ")) {
        let file = line.rsplit('/').next().unwrap_or_default();
        let parts: Vec<&str> = file.split('.').collect();
        let kind = parts.iter().position(|p| p.starts_with(char::is_uppercase));
        let Some((kind, rest)) = kind.and_then(|at| parts[at..].split_first()) else {
            continue;
        };
        let object = match rest.split_first() {
            Some((&"", name)) => format!("{kind} {}", name.join(".")),
            Some((namespace, name)) => format!("{kind} {namespace}/{}", name.join(".")),
            None => (*kind).to_string(),
        };
        if !found.contains(&object) {
            found.push(object);
        }
    }
    if found.is_empty() {
        return last(said).to_string();
    }
    match found.as_slice() {
        [one] => format!("{one} differs"),
        all => format!("{} differ", all.join(", ")),
    }
}

/// Returns what kubectl diff printed without its files' places and times, which differ from run to run.
pub fn shown(said: &str) -> String {
    let line = |line: &str| {
        let mut words = line.split(['\t', ' ']);
        match (words.next(), words.next()) {
            (Some("diff"), _) => None,
            (Some(sign @ ("---" | "+++")), Some(path)) => {
                let name = path.rsplit('/').next().unwrap_or(path);
                let side = if sign == "---" {
                    "the cluster"
                } else {
                    "the manifest"
                };
                Some(format!("{sign} {name} ({side})\n"))
            }
            _ => Some(format!("{line}\n")),
        }
    };
    said.lines().filter_map(line).collect()
}

/// Returns the last line that says something.
fn last(said: &str) -> &str {
    let mut lines = said.lines().rev().map(str::trim);
    lines
        .find(|line| !line.is_empty())
        .unwrap_or("no reason is told")
}
