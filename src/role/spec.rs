//! meta/argument_specs.yml: what a role's variables may be, in Ansible's format ("Role argument validation").

use super::args::describe;
use super::form::{FORMS, Form};
use super::library::Role;
use crate::inventory::yaml::{Entry, Node};
use crate::model::{Diagnostic, Diagnostics, Map, Span, Value, nearest};
use crate::template::{Convert, Scope};

/// What a value is; Ansible's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Str,
    Int,
    Float,
    Bool,
    List,
    Dict,
    Path,
    Raw,
}

const KINDS: [(&str, Kind); 8] = [
    ("str", Kind::Str),
    ("int", Kind::Int),
    ("float", Kind::Float),
    ("bool", Kind::Bool),
    ("list", Kind::List),
    ("dict", Kind::Dict),
    ("path", Kind::Path),
    ("raw", Kind::Raw),
];

/// The keys of an option; those behind `no_log` are for readers alone.
const KEYS: [&str; 14] = [
    "type",
    "elements",
    "form",
    "required",
    "choices",
    "minimum",
    "maximum",
    "default",
    "options",
    "no_log",
    "description",
    "short_description",
    "version_added",
    "aliases",
];

/// What is said of one variable, or of one key of a map.
#[derive(Debug, Clone)]
pub(super) struct Argument {
    pub(super) name: String,
    span: Span,
    kind: Kind,
    /// What the items of a list are, and the values of a map whose keys are not named; Ansible says it of lists alone.
    elements: Option<Kind>,
    /// The same in more words; Ansible takes the name of a type alone.
    element: Option<Box<Self>>,
    /// How every text in it looks; Ansible has no such word.
    form: Option<Form>,
    required: bool,
    choices: Vec<Value>,
    /// The least and the largest number; Ansible has no such words.
    minimum: Option<f64>,
    maximum: Option<f64>,
    /// The keys of a map, or of the maps in a list; all keys where none is named.
    options: Vec<Self>,
    no_log: bool,
}

impl Kind {
    fn expected(self) -> &'static str {
        match self {
            Self::Str => "text",
            Self::Int => "a whole number",
            Self::Float => "a number",
            Self::Bool => "true or false",
            Self::List => "a list",
            Self::Dict => "a map",
            Self::Path => "a path",
            Self::Raw => "anything",
        }
    }

    /// Returns whether a value is one. As in Ansible text counts that reads as what is wanted, because `-e NAME=VALUE` gives text.
    fn takes(self, value: &Value) -> bool {
        match (self, value) {
            (Self::Raw, _) | (Self::List, Value::Array(_)) | (Self::Dict, Value::Object(_)) => true,
            (Self::Str | Self::Path, value) => {
                value.is_string()
                    || (self == Self::Str && (value.is_number() || value.is_boolean()))
            }
            (Self::Int, Value::Number(number)) => !number.is_f64(),
            (Self::Float, Value::Number(_)) | (Self::Bool, Value::Bool(_)) => true,
            (Self::Int, text) => whole(text).is_some(),
            (Self::Bool, text) => truth(text).is_some(),
            (Self::Float, Value::String(text)) => text.parse::<f64>().is_ok_and(f64::is_finite),
            _ => false,
        }
    }
}

/// Returns what the file says of the role's entry point `main`, with what is wrong with it added to `diagnostics`.
pub(super) fn read(node: &Node, diagnostics: &mut Diagnostics) -> Vec<Argument> {
    let mut reader = Reader(diagnostics);
    let specs = match node.get("argument_specs") {
        Some(entry) => &entry.value,
        None => {
            reader
                .0
                .complain("`argument_specs` is expected", &node.span, None);
            return Vec::new();
        }
    };
    let Some(main) = specs.get("main").map(|e| &e.value) else {
        let help = "a role has one entry point here, tasks/main.yml".to_string();
        reader
            .0
            .complain("`argument_specs` has no `main`", &specs.span, help);
        return Vec::new();
    };
    match main.get("options") {
        Some(entry) => reader.options(&entry.value),
        None => Vec::new(),
    }
}

struct Reader<'d>(&'d mut Diagnostics);

impl Reader<'_> {
    fn wrong(&mut self, entry: &Entry, expected: &str) {
        self.0.push(entry.wrong(expected));
    }

    fn options(&mut self, node: &Node) -> Vec<Argument> {
        let Some(entries) = node.as_map() else {
            let message = format!("`options` takes a map, not {}", node.describe());
            self.0.complain(message, &node.span, None);
            return Vec::new();
        };
        entries.iter().map(|entry| self.option(entry)).collect()
    }

    fn option(&mut self, option: &Entry) -> Argument {
        let mut argument = Argument {
            name: option.key.clone(),
            span: option.key_span.clone(),
            kind: Kind::Str,
            elements: None,
            element: None,
            form: None,
            required: false,
            choices: Vec::new(),
            minimum: None,
            maximum: None,
            options: Vec::new(),
            no_log: false,
        };
        let Some(entries) = option.value.as_map() else {
            self.wrong(option, "a map with `type` in it");
            return argument;
        };
        let mut default = None;
        for entry in entries {
            let flag = || entry.value.as_scalar().and_then(|s| s.value.as_bool());
            match entry.key.as_str() {
                "type" => argument.kind = self.kind(entry).unwrap_or(Kind::Raw),
                "elements" if entry.value.as_map().is_some() => {
                    argument.element = Some(Box::new(self.option(entry)));
                }
                "elements" => argument.elements = self.kind(entry),
                "form" => argument.form = self.one_of(entry, "a form", "forms", &FORMS),
                "required" | "no_log" => match (flag(), entry.key.as_str()) {
                    (Some(flag), "required") => argument.required = flag,
                    (Some(flag), _) => argument.no_log = flag,
                    (None, _) => self.wrong(entry, "true or false"),
                },
                "choices" => match entry.value.as_seq() {
                    Some(choices) => {
                        argument.choices = choices.iter().map(Node::to_value).collect();
                    }
                    None => self.wrong(entry, "a list"),
                },
                key @ ("minimum" | "maximum") => match (entry.value.to_value().as_f64(), key) {
                    (Some(number), "minimum") => argument.minimum = Some(number),
                    (Some(number), _) => argument.maximum = Some(number),
                    (None, _) => self.wrong(entry, "a number"),
                },
                "options" => argument.options = self.options(&entry.value),
                "default" => default = Some(entry),
                key if KEYS.contains(&key) => {}
                key => {
                    let near = nearest(key, KEYS).map(|n| format!("did you mean `{n}`?"));
                    let help = near.unwrap_or_else(|| format!("it has {}", KEYS.join(", ")));
                    let message = format!("an option has no `{key}`");
                    self.0.complain(message, &entry.key_span, help);
                }
            }
        }
        if let Some(element) = &mut argument.element {
            element.no_log |= argument.no_log;
        }
        let is_template = |e: &&Entry| !e.value.as_str().is_some_and(crate::template::is_template);
        if let Some(entry) = default.filter(is_template)
            && !entry.value.is_null()
        {
            let mut found = Vec::new();
            argument.check(&entry.value.to_value(), &argument.name, &mut found);
            for (message, help) in found {
                self.0
                    .complain(format!("the default: {message}"), &entry.value.span, help);
            }
        }
        argument
    }

    fn kind(&mut self, entry: &Entry) -> Option<Kind> {
        self.one_of(entry, "a type", "types", &KINDS)
    }

    /// Returns what a word stands for.
    fn one_of<T: Copy>(
        &mut self,
        entry: &Entry,
        one: &str,
        all: &str,
        known: &[(&str, T)],
    ) -> Option<T> {
        let text = entry.value.as_str();
        let found = known.iter().find(|(name, _)| Some(*name) == text);
        if found.is_none() {
            let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
            let near = text.and_then(|t| nearest(t, names.iter().copied()));
            let help = match near {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("the {all} are {}", names.join(", ")),
            };
            let message = format!(
                "`{}` takes {one}, not {}",
                entry.key,
                entry.value.describe()
            );
            self.0.complain(message, &entry.value.span, help);
        }
        found.map(|(_, found)| *found)
    }
}

/// Returns the variables that are not what their text is: `-e swap_off=false` is no text to a condition, and `False` none to a
/// program's configuration. What is a number with a point stays as it is written.
pub(super) fn typed(arguments: &[Argument]) -> impl Iterator<Item = (&str, Convert)> {
    arguments.iter().filter_map(|Argument { name, kind, .. }| {
        let convert: Convert = match kind {
            Kind::Int => whole,
            Kind::Bool => truth,
            _ => return None,
        };
        Some((name.as_str(), convert))
    })
}

fn whole(value: &Value) -> Option<Value> {
    value.as_str()?.parse::<i64>().ok().map(Value::from)
}

/// As Ansible reads them (`ansible.module_utils.parsing.convert_bool`).
fn truth(value: &Value) -> Option<Value> {
    const TRUE: [&str; 6] = ["true", "yes", "on", "1", "y", "t"];
    const FALSE: [&str; 6] = ["false", "no", "off", "0", "n", "f"];
    let text = match value {
        Value::String(text) => text.to_lowercase(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    let is = |words: [&str; 6]| words.contains(&text.as_str());
    (is(TRUE) || is(FALSE)).then(|| Value::Bool(is(TRUE)))
}

/// What is wrong, and what to do about it.
type Finding = (String, Option<String>);

/// Adds what is wrong with the variables that the role's tasks will see. What cannot be worked out before the host is known is
/// passed over.
pub(super) fn check(role: &Role, scope: &Scope, diagnostics: &mut Diagnostics) {
    let place = role.place();
    for argument in &role.arguments {
        let name = &argument.name;
        if !scope.contains(name) {
            if argument.required {
                let message = format!("role `{}` needs the variable `{name}`", role.name);
                let help = format!(
                    "set it in group_vars/ or host_vars/: it takes {}",
                    argument.kind.expected()
                );
                diagnostics.push(
                    Diagnostic::error(message)
                        .at(argument.span.clone())
                        .help(help),
                );
            }
            continue;
        }
        let Some(Ok(value)) = scope.get(name) else {
            continue;
        };
        let mut found = Vec::new();
        argument.check(&value, name, &mut found);
        // As in Ansible, null is nothing to complain of. What the roles of this program make of it is a line without a value.
        if role.is_builtin() && value.is_null() && !argument.required && argument.kind != Kind::Raw
        {
            let message = format!("`{name}` takes {}, not null", argument.kind.expected());
            found.push((message, Some("leave it out for the default".into())));
        }
        for (message, help) in found {
            let help = help.unwrap_or_else(|| format!("{place}/meta/argument_specs.yml says so"));
            let (span, help) = match scope.span(name) {
                // The line that sets it shows what is not to be shown.
                Some(span) if argument.hides() => (
                    Some(argument.span.clone()),
                    format!("it is set at {span}; {help}"),
                ),
                span => (span, help),
            };
            diagnostics.push(Diagnostic::error(message).at(span).help(help));
        }
    }
}

impl Argument {
    /// Returns whether the value, or a part of it, is not to be shown.
    fn hides(&self) -> bool {
        self.no_log || self.options.iter().any(Self::hides)
    }

    /// Adds what is wrong with a value; `name` is what it is called, such as `sysctls[0].name`.
    fn check(&self, value: &Value, name: &str, found: &mut Vec<Finding>) {
        if value.is_null() {
            return if self.required {
                found.push((format!("`{name}` is needed, and is null"), None));
            };
        }
        if !self.kind.takes(value) {
            let message = format!(
                "`{name}` takes {}, not {}",
                self.kind.expected(),
                self.shown(value)
            );
            return found.push((message, None));
        }
        if !self.choices.is_empty() && self.kind != Kind::List {
            self.choose(value, name, found);
        }
        self.limit(value, name, found);
        if let Some((form, text)) = self
            .form
            .and_then(|form| Some((form, form.refuses(value)?)))
        {
            let message = format!(
                "`{name}` takes {}, not {}",
                form.expected(),
                self.shown(&text)
            );
            found.push((message, None));
        }
        match value {
            Value::Array(items) => {
                for (i, item) in items.iter().enumerate() {
                    self.item(item, &format!("{name}[{i}]"), found);
                }
            }
            Value::Object(map) if !self.options.is_empty() => self.keys(map, name, found),
            Value::Object(map) if self.elements.is_some() || self.element.is_some() => {
                for (key, value) in map {
                    self.item(value, &format!("{name}.{key}"), found);
                }
            }
            _ => {}
        }
    }

    /// Numbers in text count as those.
    fn limit(&self, value: &Value, name: &str, found: &mut Vec<Finding>) {
        let number = match value {
            Value::String(text) => text.trim().parse().ok(),
            other => other.as_f64(),
        };
        let Some(number) = number.filter(|_| matches!(self.kind, Kind::Int | Kind::Float)) else {
            return;
        };
        let expected = match (self.minimum, self.maximum) {
            (Some(least), _) if number < least => format!("{least} or more"),
            (_, Some(most)) if number > most => format!("{most} or less"),
            _ => return,
        };
        let message = format!("`{name}` takes {expected}, not {}", self.shown(value));
        found.push((message, None));
    }

    fn item(&self, item: &Value, name: &str, found: &mut Vec<Finding>) {
        if let Some(element) = &self.element {
            return element.check(item, name, found);
        }
        if let Some(kind) = self.elements.filter(|kind| !kind.takes(item)) {
            let message = format!(
                "`{name}` takes {}, not {}",
                kind.expected(),
                self.shown(item)
            );
            return found.push((message, None));
        }
        if !self.choices.is_empty() {
            self.choose(item, name, found);
        }
        if let (Value::Object(map), false) = (item, self.options.is_empty()) {
            self.keys(map, name, found);
        }
    }

    fn keys(&self, map: &Map, name: &str, found: &mut Vec<Finding>) {
        let known = || self.options.iter().map(|o| o.name.as_str());
        for key in map.keys().filter(|key| !known().any(|k| k == *key)) {
            let near = nearest(key, known()).map(|n| format!("did you mean `{n}`?"));
            let help = near
                .unwrap_or_else(|| format!("it has {}", known().collect::<Vec<_>>().join(", ")));
            found.push((format!("`{name}` has no key `{key}`"), Some(help)));
        }
        for option in &self.options {
            match map.get(&option.name) {
                Some(value) => option.check(value, &format!("{name}.{}", option.name), found),
                None if option.required => {
                    found.push((format!("`{name}` needs the key `{}`", option.name), None));
                }
                None => {}
            }
        }
    }

    fn choose(&self, value: &Value, name: &str, found: &mut Vec<Finding>) {
        let text = |value: &Value| match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let words: Vec<String> = self.choices.iter().map(text).collect();
        let word = text(value);
        if words.contains(&word) {
            return;
        }
        let near = nearest(&word, words.iter().map(String::as_str));
        let help = near.map(|n| format!("did you mean `{n}`?"));
        let listed: Vec<String> = words.iter().map(|w| format!("`{w}`")).collect();
        let message = format!(
            "`{name}` is one of {}, not {}",
            listed.join(", "),
            self.shown(value)
        );
        found.push((message, help));
    }

    fn shown(&self, value: &Value) -> String {
        match value {
            Value::String(text) if !self.no_log && text.chars().count() <= 80 => describe(value),
            Value::String(_) => "the text that is there".into(),
            _ if self.no_log => "what is there".into(),
            other => describe(other),
        }
    }
}
