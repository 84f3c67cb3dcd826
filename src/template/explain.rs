//! What is said where something could not be rendered.

use super::engine::Fault;
use super::jinja;
use super::place::within;
use super::scope::Scope;
use crate::model::{Diagnostic, Span, nearest};

/// Why something could not be rendered.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    pub(super) diagnostic: Diagnostic,
    /// Whether it is only that a variable is not defined: `is defined` and `default` may ask for that.
    pub(super) undefined: bool,
}

/// What is known where something failed, and nowhere else.
pub(super) const FAILED: [&str; 2] = ["ansible_failed_task", "ansible_failed_result"];

impl Scope {
    pub(super) fn undefined(&self, name: &str, text: &str, span: Option<&Span>) -> Failure {
        let at = text.find(name).unwrap_or(0);
        let place = span.map(|s| within(s, text, at..at + name.len()).unwrap_or_else(|| s.clone()));
        let mut diagnostic =
            Diagnostic::error(format!("the variable `{name}` is not defined")).at(place);
        if let Some(near) = nearest(name, self.names()) {
            diagnostic = diagnostic.help(format!("did you mean `{near}`?"));
        } else if FAILED.contains(&name) {
            diagnostic = diagnostic.help(format!(
                "nothing has failed there: write `{name}.… | default(value=…)`, or `when: {name} is defined`"
            ));
        } else if name.starts_with("ansible_") {
            diagnostic = diagnostic
                .help("Ansible's facts are not gathered; what is known of a host is in `facts`");
        } else {
            diagnostic = diagnostic.help(format!(
                "set it, as in group_vars/all.yml, or write `{name} | default(value=…)`"
            ));
        }
        Failure {
            diagnostic,
            undefined: true,
        }
    }

    pub(super) fn explain(
        &self,
        fault: Fault,
        text: &str,
        span: Option<&Span>,
        missing: Vec<(String, Failure)>,
    ) -> Failure {
        let place = span.map(|s| within(s, text, fault.range.clone()).unwrap_or_else(|| s.clone()));
        let quoted = fault
            .message
            .split('`')
            .nth(1)
            .unwrap_or_default()
            .to_owned();
        if fault.message.starts_with("Variable `") {
            // It is set, but its own value needs something that is not: that is what has to be told.
            if let Some((_, failure)) = missing.into_iter().find(|(name, _)| *name == quoted) {
                return failure;
            }
            let failure = self.undefined(&quoted, text, span);
            return Failure {
                diagnostic: failure.diagnostic.at(place),
                undefined: true,
            };
        }
        if fault.message.starts_with("Field `") {
            let fields: Vec<&str> = fault
                .message
                .split_once("Available fields: ")
                .map_or(Vec::new(), |(_, f)| f.split(", ").collect());
            let mut diagnostic =
                Diagnostic::error(format!("there is no field `{quoted}`")).at(place);
            if let Some(near) = nearest(&quoted, fields.iter().copied()) {
                diagnostic = diagnostic.help(format!("did you mean `{near}`?"));
            } else if !fields.is_empty() {
                diagnostic = diagnostic.help(format!("the fields are: {}", fields.join(", ")));
            }
            return Failure {
                diagnostic,
                undefined: true,
            };
        }
        if fault.message.contains("undefined") && !fault.message.starts_with('`') {
            // An index by a name that only the rendering knows: Tera cannot say which.
            let part = text.get(fault.range.clone()).unwrap_or(text).trim();
            let diagnostic = Diagnostic::error(format!("`{part}` is not defined")).at(place);
            return Failure {
                diagnostic,
                undefined: true,
            };
        }
        let message = jinja::plain(fault.message.trim_end_matches('.'));
        let diagnostic =
            Diagnostic::error(format!("the template cannot be rendered: {message}")).at(place);
        let diagnostic = match jinja::hint(text, &fault) {
            Some(hint) => diagnostic.help(hint),
            None => diagnostic,
        };
        Failure {
            diagnostic,
            undefined: false,
        }
    }
}

/// Returns whether an expression deals with `name` not being defined.
pub(super) fn asks_whether_defined(expression: &str, name: &str) -> bool {
    expression.match_indices(name).any(|(i, _)| {
        let before = expression[..i].chars().next_back();
        let rest = &expression[i + name.len()..];
        let whole = !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '.')
            && !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_');
        let rest = rest
            .trim_start_matches(|c: char| c.is_alphanumeric() || "_.?[]\"'".contains(c))
            .trim_start();
        let test = rest
            .strip_prefix("is")
            .map(str::trim_start)
            .map(|r| r.strip_prefix("not").map_or(r, str::trim_start));
        whole
            && (test.is_some_and(|t| t.starts_with("defined") || t.starts_with("undefined"))
                || rest
                    .strip_prefix('|')
                    .is_some_and(|r| r.trim_start().starts_with("default")))
    })
}

/// How errors begin that hold whatever the variables are: what Tera finds before it renders.
const UNKNOWN: &str = "the template cannot be rendered: Unknown ";

/// Returns whether an error says that a filter, a test or a function is not there.
pub fn is_unknown(error: &Diagnostic) -> bool {
    error.message.starts_with(UNKNOWN)
}

/// Returns whether an error says that a variable, or a part of one, is not defined.
pub fn is_undefined(error: &Diagnostic) -> bool {
    error.message.ends_with("` is not defined")
}
