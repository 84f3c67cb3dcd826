//! A task's arguments, rendered, read by name with a place for every complaint.

use std::collections::BTreeSet;

use camino::Utf8PathBuf;

use super::files::{ControllerFile, ControllerFiles};
use super::keyword;
use super::library::{Role, RoleFile};
use super::scope;
use super::until::Polling;
use crate::host::{Content, sh};
use crate::inventory::Variables;
use crate::inventory::yaml::Node;
use crate::model::{Diagnostic, Diagnostics, Map, Mode, Sha256, Span, Value, nearest};
use crate::template::{self, Scope};

/// Renders the text of a role's template, with these variables over those of the task.
pub(super) type Render<'a> =
    &'a dyn Fn(&RoleFile, &[(String, Value)]) -> Result<String, Diagnostics>;

/// The arguments of one task, or of one item of its loop.
pub(super) struct Args<'a> {
    /// The module, for messages.
    pub(super) module: &'static str,
    /// The rendered values.
    pub(super) values: &'a Map,
    /// The arguments as they stand in the file, for places.
    pub(super) node: &'a Node,
    /// The role that the task is in: its templates and files.
    pub(super) role: &'a Role,
    /// Files beside the inventory or anywhere on the controller.
    pub(super) files: &'a dyn ControllerFiles,
    /// Renders templates in the task's scope.
    pub(super) render: Render<'a>,
    /// The variables that the task sees.
    pub(super) scope: &'a Scope,
    /// Whether `facts` are the host's own, and not those of one that stands for any.
    pub(super) host_known: bool,
    /// `become` and `become_user`.
    pub(super) run_as: Option<RunAs>,
    /// `until`, `retries` and `delay`, and the name by which they know the result.
    pub(super) polling: Option<(&'a Polling, &'a str)>,
    /// What is wrong.
    pub(super) errors: Diagnostics,
}

/// Whom a command runs as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RunAs {
    /// `become: true`, and what holds where nothing is said.
    Root,
    /// `become: false`.
    Login,
    /// `become_user`.
    User(String),
}

impl Args<'_> {
    /// Returns the place of an argument, else that of all arguments.
    pub(super) fn span(&self, name: &str) -> Span {
        self.node
            .get(name)
            .map_or_else(|| self.node.span.clone(), |e| e.value.span.clone())
    }

    /// Adds a complaint about an argument.
    pub(super) fn complain(
        &mut self,
        name: &str,
        message: impl Into<String>,
        help: impl Into<Option<String>>,
    ) {
        let span = self.span(name);
        self.errors.complain(message, &span, help);
    }

    /// Returns whom a command without root rights runs as: `ansible_user`.
    pub(super) fn login_user(&self) -> Option<String> {
        let user = self.scope.get("ansible_user")?.ok()?;
        user.as_str().map(str::to_string)
    }

    /// Returns an expression's value. One that asks for facts says nothing before the host is known.
    pub(super) fn evaluate(&mut self, name: &str, expression: &str) -> Option<Value> {
        let span = self.span(name);
        self.judged(
            expression,
            self.scope.eval(expression, Some(&span)),
            Value::Null,
        )
    }

    /// Returns whether the condition holds that is item `index` of an argument. One that asks for facts holds before the host is
    /// known.
    pub(super) fn condition(
        &mut self,
        name: &str,
        index: usize,
        condition: &Value,
    ) -> Option<bool> {
        let items = self.node.get(name).and_then(|e| e.value.as_seq());
        let span = items
            .and_then(|items| items.get(index))
            .map_or_else(|| self.span(name), |node| node.span.clone());
        match condition {
            Value::Bool(holds) => Some(*holds),
            Value::String(text) => self.judged(text, self.scope.eval_bool(text, Some(&span)), true),
            other => {
                let message = format!(
                    "`{name}` of `{}` takes conditions, not {}",
                    self.module,
                    describe(other)
                );
                self.errors.push(Diagnostic::error(message).at(span));
                None
            }
        }
    }

    /// Returns a value, or what stands for it where only the host can tell.
    fn judged<T>(
        &mut self,
        expression: &str,
        value: Result<T, Diagnostic>,
        otherwise: T,
    ) -> Option<T> {
        let names = template::names_in_expression(expression);
        let asks_host = ["facts", "interface"].iter().any(|n| names.contains(*n));
        match value {
            Ok(value) => Some(value),
            Err(_) if asks_host && !self.host_known => Some(otherwise),
            Err(error) => {
                self.errors.push(error);
                None
            }
        }
    }

    /// Returns the variables of a file in the role's vars/, rendered. Where the file's name cannot be known before the host is,
    /// those of all files in there stand for them.
    pub(super) fn variables(&mut self, name: &str, file: &str) -> Option<Map> {
        let role = self.role;
        let found = role.variable_file(file);
        let named = self.node.get(name).and_then(|e| e.value.as_str());
        let certain = self.host_known || !named.is_some_and(template::is_template);
        if found.is_none() && (certain || role.variable_files().next().is_none()) {
            let near = nearest(file, role.variable_files().map(|(name, _)| name));
            let help = near.map(|n| format!("did you mean `{n}`?"));
            let message = format!(
                "role `{}` has no file `{file}`: expected {}/vars/{file}",
                role.name,
                role.place()
            );
            self.complain(name, message, help);
            return None;
        }
        let variables: Variables = match found {
            Some(variables) => variables.clone(),
            None => role.variable_files().flat_map(|(_, v)| v.clone()).collect(),
        };
        let mut scope = self.scope.clone();
        scope::set(&mut scope, &variables, &BTreeSet::new());
        let mut values = Map::new();
        for name in variables.keys() {
            match scope.get(name) {
                Some(Ok(value)) => drop(values.insert(name.clone(), value)),
                Some(Err(error)) => self.errors.push(error),
                None => {}
            }
        }
        (!self.errors.has_errors()).then_some(values)
    }

    /// Returns whether the argument is there and is not null.
    pub(super) fn has(&self, name: &str) -> bool {
        self.values.get(name).is_some_and(|v| !v.is_null())
    }

    fn wrong(&mut self, name: &str, expected: &str) {
        let found = self
            .values
            .get(name)
            .map_or_else(|| "nothing".into(), describe);
        let message = format!(
            "`{name}` of `{}` takes {expected}, not {found}",
            self.module
        );
        self.complain(name, message, None);
    }

    /// Complains that a needed argument is missing.
    pub(super) fn missing(&mut self, name: &str) {
        let message = format!("`{}` needs `{name}`", self.module);
        self.complain(name, message, None);
    }

    /// Returns a text; numbers and booleans count as theirs.
    pub(super) fn text(&mut self, name: &str) -> Option<String> {
        match self.values.get(name)? {
            Value::Null => None,
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            Value::Bool(flag) => Some(flag.to_string()),
            _ => {
                self.wrong(name, "text");
                None
            }
        }
    }

    /// Returns a text that must be there and not empty.
    pub(super) fn required(&mut self, name: &str) -> Option<String> {
        if !self.has(name) {
            self.missing(name);
            return None;
        }
        let text = self.text(name)?;
        if text.is_empty() {
            self.wrong(name, "text that is not empty");
            return None;
        }
        Some(text)
    }

    /// Returns a boolean; the words `yes`, `no`, `true` and `false` count, since variables of an inventory may be text.
    pub(super) fn flag(&mut self, name: &str) -> Option<bool> {
        match self.values.get(name)? {
            Value::Null => None,
            Value::Bool(flag) => Some(*flag),
            Value::String(text) if matches!(text.as_str(), "true" | "yes" | "True") => Some(true),
            Value::String(text) if matches!(text.as_str(), "false" | "no" | "False") => Some(false),
            _ => {
                self.wrong(name, "true or false");
                None
            }
        }
    }

    /// Returns `validate`: the shell command that checks a file before it is put in place.
    pub(super) fn validator(&mut self) -> Option<String> {
        let validate = self.text("validate");
        if validate.as_ref().is_some_and(|v| !v.contains("%s")) {
            let message = "`validate` has no `%s`, which stands for the file to check";
            self.complain("validate", message, None);
        }
        validate
    }

    /// Returns a whole number that is not negative.
    pub(super) fn number(&mut self, name: &str) -> Option<u32> {
        let number = match self.values.get(name)? {
            Value::Null => return None,
            Value::Number(number) => number.as_u64().and_then(|n| u32::try_from(n).ok()),
            Value::String(text) => text.parse().ok(),
            _ => None,
        };
        if number.is_none() {
            self.wrong(name, "a whole number");
        }
        number
    }

    /// Returns one of `choices`, the first where the argument is missing.
    pub(super) fn choice(&mut self, name: &str, choices: &[&'static str]) -> Option<&'static str> {
        if !self.has(name) {
            return choices.first().copied();
        }
        let text = self.text(name)?;
        let found = choices.iter().find(|c| **c == text).copied();
        if found.is_none() {
            let near =
                nearest(&text, choices.iter().copied()).map(|n| format!("did you mean `{n}`?"));
            let message = format!(
                "`{name}` of `{}` is one of {}, not `{text}`",
                self.module,
                list_words(choices)
            );
            self.complain(name, message, near);
        }
        found
    }

    /// Returns a list of texts; one text counts as a list of one.
    pub(super) fn list(&mut self, name: &str) -> Option<Vec<String>> {
        match self.values.get(name)? {
            Value::Null => None,
            Value::String(text) => Some(vec![text.clone()]),
            Value::Array(items) => {
                let texts: Option<Vec<String>> = items
                    .iter()
                    .map(|item| match item {
                        Value::String(text) => Some(text.clone()),
                        Value::Number(number) => Some(number.to_string()),
                        _ => None,
                    })
                    .collect();
                if texts.is_none() {
                    self.wrong(name, "a list of texts");
                }
                texts
            }
            _ => {
                self.wrong(name, "text or a list of texts");
                None
            }
        }
    }

    /// Returns an absolute path on the host.
    pub(super) fn path(&mut self, name: &str) -> Option<String> {
        let text = self.required(name)?;
        self.sound(name, text)
    }

    /// Returns the absolute path of a file on the host. With a slash behind it Ansible would mean the folder that it is to be put
    /// into.
    pub(super) fn file_path(&mut self, name: &str) -> Option<String> {
        let text = self.required(name)?;
        if text.len() > 1 && text.ends_with('/') {
            let message = format!("`{}` names a folder", text.escape_debug());
            let help = format!(
                "write the file's own path, as in `{}NAME`",
                text.escape_debug()
            );
            self.complain(name, message, help);
            return None;
        }
        self.sound(name, text)
    }

    /// Returns an absolute path on the host, if there is one.
    pub(super) fn optional_path(&mut self, name: &str) -> Option<String> {
        if self.has(name) {
            self.path(name)
        } else {
            None
        }
    }

    fn sound(&mut self, name: &str, text: String) -> Option<String> {
        let path = if text.len() > 1 {
            text.trim_end_matches('/').to_string()
        } else {
            text
        };
        if !sh::is_sound_path(&path) || path.contains("//") {
            let message = format!("`{}` is no path that can be used here", path.escape_debug());
            let help =
                "a path is absolute, without `.`, `..`, `//`, backslashes and control characters";
            self.complain(name, message, help.to_string());
            return None;
        }
        Some(path)
    }

    /// Returns a mode. Only quoted octal digits are one: what YAML 1.2 makes of a bare `644` is not what is meant.
    pub(super) fn mode(&mut self, name: &str) -> Option<Mode> {
        let help = "write it as a quoted octal number, such as \"0644\"";
        match self.values.get(name)? {
            Value::Null => None,
            Value::String(text) => match text.parse() {
                Ok(mode) => Some(mode),
                Err(_) => {
                    let message = format!("`{text}` is not a file mode");
                    self.complain(name, message, help.to_string());
                    None
                }
            },
            other => {
                let message = format!("`{name}` is {}, not a file mode", describe(other));
                self.complain(name, message, help.to_string());
                None
            }
        }
    }

    /// Returns the name of an owner or group.
    pub(super) fn account(&mut self, name: &str) -> Option<String> {
        let text = self.text(name)?;
        let plain = |c: char| c.is_ascii_alphanumeric() || "_-.$".contains(c);
        if text.is_empty() || text.starts_with('-') || !text.chars().all(plain) {
            self.wrong(name, "the name of an account");
            return None;
        }
        Some(if text == "0" { "root".into() } else { text })
    }

    /// Returns a name that can stand in a shell word, a record and a file name: of a package, unit or module.
    pub(super) fn names(&mut self, name: &str) -> Option<Vec<String>> {
        let names = self.list(name)?;
        let mut seen = BTreeSet::new();
        let mut good = Vec::new();
        for text in names {
            if !is_name(&text) {
                let message = format!(
                    "`{}` cannot be a `{name}` of `{}`",
                    text.escape_debug(),
                    self.module
                );
                self.complain(name, message, "letters, digits and `.`, `_`, `+`, `:`, `@`, `=`, `~`, `*`, `-` can stand in it".to_string());
                return None;
            }
            if seen.insert(text.clone()) {
                good.push(text);
            }
        }
        Some(good)
    }

    /// Returns one such name.
    pub(super) fn name(&mut self, name: &str) -> Option<String> {
        self.required(name)?;
        self.names(name)?.into_iter().next()
    }

    /// Returns the bytes of `src`: a file of the role, or one on the controller.
    pub(super) fn source(&mut self, name: &str) -> Option<Content> {
        let src = self.required(name)?;
        let path = match self.role.file(&src) {
            Some(RoleFile {
                bytes: Some(bytes), ..
            }) => return Some(Content::inline(bytes.as_ref().clone())),
            Some(RoleFile { path, .. }) => path.clone(),
            None if src.starts_with('/') => Utf8PathBuf::from(&src),
            None => {
                let known: Vec<&str> = self.role.files().collect();
                let folder = format!("{}/", src.trim_end_matches('/'));
                if known.iter().any(|file| file.starts_with(&folder)) {
                    let message = format!(
                        "{}/files/{src} is a folder, and `{}` takes a file",
                        self.role.place(),
                        self.module
                    );
                    self.complain(name, message, keyword::FOLDER.to_string());
                    return None;
                }
                let near =
                    nearest(&src, known.iter().copied()).map(|n| format!("did you mean `{n}`?"));
                let message = format!(
                    "role `{}` has no file `{src}`: expected {}/files/{src}",
                    self.role.name,
                    self.role.place()
                );
                self.complain(name, message, near);
                return None;
            }
        };
        self.controller_file(name, &path)
            .map(ControllerFile::content)
    }

    /// Returns a file on the controller.
    pub(super) fn controller_file(
        &mut self,
        name: &str,
        path: &camino::Utf8Path,
    ) -> Option<ControllerFile> {
        match self.files.file(path) {
            Ok(file) => Some(file),
            Err(error) => {
                let message = format!("`{}` needs {path}: {error}", self.module);
                self.complain(name, message, None);
                None
            }
        }
    }

    /// Returns a template of the role, rendered with these variables over those of the task.
    pub(super) fn template(&mut self, name: &str, over: &[(String, Value)]) -> Option<String> {
        let src = self.required(name)?;
        self.rendered(name, &src, over)
    }

    /// Returns the digests of other templates of the role, as they are rendered, by the names of variables: a map from a
    /// name to one template or a list of them. Twelve hex digits: enough to tell two texts of one file apart, and short
    /// enough not to look like a key.
    pub(super) fn digests(&mut self, name: &str) -> Option<Vec<(String, Value)>> {
        let map = match self.values.get(name) {
            None | Some(Value::Null) => return Some(Vec::new()),
            Some(Value::Object(map)) => map.clone(),
            Some(_) => {
                self.wrong(name, "a map from names to templates");
                return None;
            }
        };
        let mut digests = Vec::new();
        for (variable, templates) in map {
            let templates = match templates {
                Value::String(one) => vec![Value::String(one)],
                Value::Array(all) => all,
                _ => vec![Value::Null],
            };
            let mut all = String::new();
            for template in templates {
                let Value::String(src) = template else {
                    self.wrong(name, "a map from names to templates");
                    return None;
                };
                all.push_str(&self.rendered(name, &src, &[])?);
                // Two texts are not one text that was cut elsewhere.
                all.push('\0');
            }
            digests.push((variable, Value::String(Sha256::of(all).short())));
        }
        Some(digests)
    }

    fn rendered(&mut self, name: &str, src: &str, over: &[(String, Value)]) -> Option<String> {
        let Some(template) = self.role.template(src) else {
            let known: Vec<&str> = self.role.templates().collect();
            let near = nearest(src, known.iter().copied()).map(|n| format!("did you mean `{n}`?"));
            let help = near.or_else(|| {
                src.ends_with(".j2")
                    .then(|| "templates are Tera here: name the file *.tera".to_string())
            });
            let message = format!(
                "role `{}` has no template `{src}`: expected {}/templates/{src}",
                self.role.name,
                self.role.place()
            );
            self.complain(name, message, help);
            return None;
        };
        match (self.render)(template, over) {
            Ok(text) => Some(text),
            Err(errors) => {
                self.errors.extend(errors);
                None
            }
        }
    }
}

/// Returns whether a text can be the name of a variable.
pub(super) fn is_variable(text: &str) -> bool {
    let mut chars = text.chars();
    chars
        .next()
        .is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn is_name(text: &str) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || "._+:@=~*\\-".contains(c);
    !text.is_empty() && text.len() < 256 && !text.starts_with('-') && text.chars().all(good)
}

/// Returns what a value is, for messages.
pub(super) fn describe(value: &Value) -> String {
    match value {
        Value::Null => "nothing".into(),
        Value::Bool(flag) => format!("the boolean {flag}"),
        Value::Number(number) => format!("the number {number}"),
        Value::String(text) => format!("the text `{text}`"),
        Value::Array(_) => "a list".into(),
        Value::Object(_) => "a map".into(),
    }
}

fn list_words(words: &[&str]) -> String {
    words
        .iter()
        // The choice of an argument that is left out.
        .filter(|w| !w.is_empty())
        .map(|w| format!("`{w}`"))
        .collect::<Vec<_>>()
        .join(", ")
}
