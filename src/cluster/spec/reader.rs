//! Variables that a whole cluster shares.

use camino::{Utf8Component, Utf8Path, Utf8PathBuf};

use super::read::{self, Findings, Got, Vars};
use crate::model::{Diagnostic, Span, Value};
use crate::template::names_in_value;

/// Reads variables that a whole cluster shares.
pub(super) struct Reader<'i> {
    /// The cluster's hosts, control planes first.
    pub(super) members: Vec<Vars<'i>>,
    /// Whether something of the inventory could not be read.
    pub(super) partial: bool,
    pub(super) findings: Findings,
}

/// Returns whether two values of a variable mean the same. A folder named by way of `inventory_dir`, which two inventories
/// beside each other have each their own of, is one folder.
fn is_same(name: &str, one: &Value, two: &Value) -> bool {
    match (one.as_str(), two.as_str()) {
        (Some(one), Some(two)) if name == "kubernetes_files" => straight(one) == straight(two),
        _ => one == two,
    }
}

/// Returns a path without `.` and `..`, as far as its text tells.
fn straight(path: &str) -> Utf8PathBuf {
    let mut straight = Utf8PathBuf::new();
    for component in Utf8Path::new(path).components() {
        let is_up = component == Utf8Component::ParentDir;
        let last = straight.components().next_back();
        if is_up && matches!(last, Some(Utf8Component::Normal(_))) {
            straight.pop();
        } else if component != Utf8Component::CurDir {
            straight.push(component);
        }
    }
    straight
}

impl Reader<'_> {
    /// Returns the value that all hosts agree on. Hosts for which it is not set do not disagree: a group_vars file of
    /// the control planes is enough.
    pub(super) fn get(&mut self, name: &str) -> Option<Got<Value>> {
        let mut first: Option<(&Vars<'_>, Got<Value>)> = None;
        for member in &self.members {
            let Some(got) = member.get(name, &mut self.findings) else {
                continue;
            };
            match &first {
                None => first = Some((member, got)),
                Some((other, agreed)) if !is_same(name, &agreed.value, &got.value) => {
                    let (one, two) = (&other.host.name, &member.host.name);
                    let place = agreed
                        .span
                        .as_ref()
                        .map_or_else(String::new, |s| format!(" ({s})"));
                    let error = Diagnostic::error(format!(
                        "`{name}` is one for a whole cluster, and differs between {one}{place} and {two}"
                    ));
                    self.findings.push(
                        error
                            .at(got.span)
                            .help("set it once, in group_vars/all.yml"),
                    );
                }
                Some(_) => {}
            }
        }
        first.map(|(_, got)| got)
    }

    /// Returns whether a variable is set, and with one of `wrong` in its text: then it is no wonder if it is wrong too.
    pub(super) fn hangs_on(&self, name: &str, wrong: &[&str]) -> bool {
        self.members
            .iter()
            .filter_map(|member| member.variable(name))
            .any(|variable| {
                let names = names_in_value(&variable.value);
                wrong.iter().any(|name| names.contains(*name))
            })
    }

    /// Returns whether a variable is set.
    pub(super) fn is_set(&self, name: &str) -> bool {
        let mut members = self.members.iter();
        members.any(|member| member.variable(name).is_some_and(|v| !v.value.is_null()))
    }

    /// Returns where a variable is set.
    pub(super) fn place(&self, name: &str) -> Option<Span> {
        let mut members = self.members.iter();
        members.find_map(|member| member.variable(name)?.origin.span.clone())
    }

    pub(super) fn text(&mut self, name: &str) -> Option<Got<String>> {
        let got = self.get(name)?;
        let got = read::text(name, got, &mut self.findings)?;
        if got.value.trim().is_empty() {
            self.findings.push(
                Diagnostic::error(format!("`{name}` is empty"))
                    .at(got.span)
                    .help("leave it out, or give it a value"),
            );
            return None;
        }
        Some(got)
    }

    pub(super) fn boolean(&mut self, name: &str) -> Option<bool> {
        let got = self.get(name)?;
        read::boolean(name, got, &mut self.findings).map(|g| g.value)
    }

    pub(super) fn integer(&mut self, name: &str, low: i64, high: i64) -> Option<Got<i64>> {
        let got = self.get(name)?;
        read::integer(name, low, high, got, &mut self.findings)
    }

    pub(super) fn port(&mut self, name: &str) -> Option<Got<u16>> {
        let got = self.get(name)?;
        read::port(name, got, &mut self.findings)
    }

    pub(super) fn one_of(
        &mut self,
        name: &str,
        words: &[&'static str],
    ) -> Option<Got<&'static str>> {
        let got = self.get(name)?;
        read::one_of(name, words, got, &mut self.findings)
    }

    pub(super) fn texts(&mut self, name: &str) -> Option<Got<Vec<String>>> {
        let got = self.get(name)?;
        read::texts(name, got, &mut self.findings)
    }

    /// Adds that a variable is not set.
    pub(super) fn missing(&mut self, name: &str, help: &str) {
        self.missing_for(name, None, help);
    }

    /// Adds that a variable is not set, at the place that asks for it.
    pub(super) fn missing_for(&mut self, name: &str, asks: Option<Span>, help: &str) {
        // Whoever set it wrongly was told so already, and what could not be read may set it.
        if !self.partial && !self.is_set(name) {
            self.findings.push(
                Diagnostic::error(format!("`{name}` is not set"))
                    .at(asks)
                    .help(help),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::straight;

    #[test]
    fn paths_are_compared_without_detours() {
        for (path, expected) in [
            ("inventory/lab/../../files", "files"),
            ("./inventory/more/../../files/", "files"),
            ("../a/../files", "../files"),
            ("../../files", "../../files"),
            ("/srv/./files", "/srv/files"),
            ("/../files", "/../files"),
        ] {
            assert_eq!(straight(path), expected, "{path}");
        }
    }
}
