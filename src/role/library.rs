//! Roles by name: those in the binary, and those beside the inventory, which win.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use camino::{Utf8Path, Utf8PathBuf};
use include_dir::{Dir, include_dir};
use indexmap::IndexMap;

use super::files::{self, Bytes, Folder};
use super::meta::{self, Meta};
use super::reader::{self, Sort};
use super::scope::Layers;
use super::spec::{self, Argument};
use super::task::{Condition, Task};
use crate::inventory::yaml::{self, Node, Schema};
use crate::inventory::{Level, Variable, Variables};
use crate::model::{Diagnostic, Diagnostics, Source, nearest};
use crate::plan::Pace;
use crate::template;

static BUILTIN: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/roles");

/// A file of a role.
#[derive(Debug, Clone)]
pub struct RoleFile {
    /// Where it lies; for a built-in role a path that only messages use.
    pub path: Utf8PathBuf,
    /// Its bytes; `None` where they are too many to hold.
    pub bytes: Option<Arc<Vec<u8>>>,
    /// Its text, where it is text.
    pub source: Option<Arc<Source>>,
}

/// A role.
#[derive(Debug, Clone)]
pub struct Role {
    /// Its name.
    pub name: String,
    /// What it is, in its own words.
    pub meta: Meta,
    /// defaults/main.yml.
    pub defaults: Variables,
    /// vars/main.yml.
    pub vars: Variables,
    /// meta/argument_specs.yml.
    pub(super) arguments: Vec<Argument>,
    /// The other files of vars/, for `include_vars`.
    includes: BTreeMap<String, Variables>,
    pub(super) tasks: Vec<Task>,
    pub(super) handlers: Vec<Task>,
    /// How the play that it is part of goes over its hosts.
    pub(super) pace: Option<Pace>,
    place: Utf8PathBuf,
    builtin: bool,
    /// Whether it is a user's in the place of one of the binary's.
    replaces: bool,
    files: BTreeMap<String, RoleFile>,
    /// `defaults` and `vars` as scopes have them, made when the first host needs them.
    layers: OnceLock<Layers>,
    /// What `used_names` returns: finding it reads every template.
    names: OnceLock<BTreeSet<String>>,
}

impl Role {
    /// Returns its folder: on the disk, or `roles/NAME (built in)`.
    pub fn place(&self) -> &Utf8Path {
        &self.place
    }

    /// Returns whether it is one of the binary's.
    pub fn is_builtin(&self) -> bool {
        self.builtin
    }

    /// Returns whether it is one of the binary's, or stands in the place of one, as an edited copy does.
    pub fn stands_for_a_builtin(&self) -> bool {
        self.builtin || self.replaces
    }

    /// Returns whether it is a user's own.
    pub fn is_own(&self) -> bool {
        !self.builtin
    }

    /// Returns all its files by their paths in its folder, for showing and ejecting.
    pub fn contents(&self) -> impl Iterator<Item = (&str, &RoleFile)> {
        self.files.iter().map(|(name, file)| (name.as_str(), file))
    }

    /// Returns the titles of its tasks, in order.
    pub fn task_names(&self) -> impl Iterator<Item = &str> {
        self.tasks.iter().map(|t| t.name.as_str())
    }

    /// Returns its variables as scopes have them.
    pub(super) fn layers(&self) -> &Layers {
        let made = || Layers::of(&self.defaults, &self.vars);
        self.layers.get_or_init(made)
    }

    pub(super) fn file(&self, src: &str) -> Option<&RoleFile> {
        self.files.get(&format!("files/{src}"))
    }

    pub(super) fn files(&self) -> impl Iterator<Item = &str> {
        self.files.keys().filter_map(|k| k.strip_prefix("files/"))
    }

    pub(super) fn template(&self, src: &str) -> Option<&RoleFile> {
        [format!("templates/{src}"), format!("templates/{src}.tera")]
            .iter()
            .find_map(|path| self.files.get(path))
    }

    pub(super) fn templates(&self) -> impl Iterator<Item = &str> {
        self.files
            .keys()
            .filter_map(|k| k.strip_prefix("templates/"))
    }

    /// Returns the variables of a file in its vars/.
    pub(super) fn variable_file(&self, file: &str) -> Option<&Variables> {
        self.includes
            .get(file.strip_prefix("vars/").unwrap_or(file))
    }

    /// Returns the files of its vars/ but for main.yml, with their variables.
    pub(super) fn variable_files(&self) -> impl Iterator<Item = (&str, &Variables)> {
        self.includes.iter().map(|(name, v)| (name.as_str(), v))
    }

    /// Returns the tags of its tasks.
    pub fn tags(&self) -> impl Iterator<Item = &str> {
        let tags = self.tasks.iter().flat_map(|task| &task.tags);
        tags.map(String::as_str)
    }

    /// Returns the variables that its tasks, handlers, templates and own variables name.
    pub fn used_names(&self) -> BTreeSet<String> {
        self.names.get_or_init(|| self.find_names()).clone()
    }

    fn find_names(&self) -> BTreeSet<String> {
        let mut names: BTreeSet<String> = self.arguments.iter().map(|a| a.name.clone()).collect();
        for task in self.tasks.iter().chain(&self.handlers) {
            names.extend(task.used_names());
        }
        for (path, file) in self.contents() {
            if let (true, Some(source)) = (path.starts_with("templates/"), &file.source) {
                names.extend(template::names_in_text(&source.text));
            }
        }
        let included = self.includes.values().flat_map(Variables::values);
        for variable in self
            .defaults
            .values()
            .chain(self.vars.values())
            .chain(included)
        {
            names.extend(template::names_in_value(&variable.value));
        }
        names
    }

    /// Returns it as a part of a play. `vars` of the play lose against the role's own, `params` win over them; `tags` and
    /// conditions are for every task.
    pub(super) fn in_play(
        &self,
        vars: &Variables,
        params: &Variables,
        tags: &[String],
        when: &[Condition],
    ) -> Self {
        let mut role = self.clone();
        role.layers = OnceLock::new();
        role.names = OnceLock::new();
        for (name, variable) in vars {
            if !role.vars.contains_key(name) {
                role.vars.insert(name.clone(), variable.clone());
            }
        }
        let params = params.iter().map(|(n, v)| (n.clone(), v.clone()));
        role.vars.extend(params);
        for task in &mut role.tasks {
            let new = tags.iter().filter(|tag| !task.tags.contains(tag));
            let new: Vec<String> = new.cloned().collect();
            task.tags.extend(new);
            task.when.splice(..0, when.iter().cloned());
        }
        role
    }

    /// Returns it for a play that goes over its hosts at this pace.
    pub(super) fn paced(&self, pace: Pace) -> Self {
        let mut role = self.clone();
        role.pace = Some(pace);
        role
    }

    fn bare(name: String, place: Utf8PathBuf, files: BTreeMap<String, RoleFile>) -> Self {
        Self {
            name,
            meta: Meta::default(),
            arguments: Vec::new(),
            defaults: Variables::new(),
            vars: Variables::new(),
            includes: BTreeMap::new(),
            tasks: Vec::new(),
            handlers: Vec::new(),
            pace: None,
            place,
            builtin: false,
            replaces: false,
            files,
            layers: OnceLock::new(),
            names: OnceLock::new(),
        }
    }

    fn read(folder: Folder, builtin: bool, diagnostics: &mut Diagnostics) -> Self {
        let files = held(&folder.place, folder.files);
        let mut role = Self::bare(folder.name, folder.place, files);
        role.builtin = builtin;
        let meta = role.document("meta", diagnostics);
        if let Some(node) = &meta {
            role.meta = Meta::read(node, diagnostics);
        }
        let apart = ["meta/argument_specs.yml", "meta/argument_specs.yaml"];
        let apart = apart.iter().find_map(|path| role.files.get(*path));
        let specs = match apart {
            Some(file) => Self::parsed(file, diagnostics),
            None => meta.filter(|node| node.get("argument_specs").is_some()),
        };
        if let Some(node) = specs {
            role.arguments = spec::read(&node, diagnostics);
        }
        role.defaults = role.variables("defaults", Level::RoleDefaults, diagnostics);
        role.vars = role.variables("vars", Level::RoleVars, diagnostics);
        role.includes = role.includes(diagnostics);
        if let Some(node) = role.document("handlers", diagnostics) {
            role.handlers = reader::read(&node, &role.name, Sort::Handler, diagnostics);
        }
        match role.document("tasks", diagnostics) {
            Some(node) => role.tasks = reader::read(&node, &role.name, Sort::Task, diagnostics),
            None if role.handlers.is_empty() && role.yaml("tasks").is_none() => {
                diagnostics.push(Diagnostic::error(format!(
                    "role `{}` has no tasks: expected {}/tasks/main.yml",
                    role.name, role.place
                )));
            }
            None => {}
        }
        role
    }

    fn yaml(&self, part: &str) -> Option<&RoleFile> {
        ["yml", "yaml"]
            .iter()
            .find_map(|end| self.files.get(&format!("{part}/main.{end}")))
    }

    fn document(&self, part: &str, diagnostics: &mut Diagnostics) -> Option<Node> {
        Self::parsed(self.yaml(part)?, diagnostics)
    }

    fn parsed(file: &RoleFile, diagnostics: &mut Diagnostics) -> Option<Node> {
        let Some(source) = &file.source else {
            diagnostics.push(Diagnostic::error(format!(
                "{} is no UTF-8 text, or too large",
                file.path
            )));
            return None;
        };
        let (node, found) = yaml::parse(source, Schema::Core);
        let broken = found.has_errors();
        diagnostics.extend(found);
        node.filter(|n| !broken && !n.is_null())
    }

    fn variables(&self, part: &str, level: Level, diagnostics: &mut Diagnostics) -> Variables {
        match self.document(part, diagnostics) {
            Some(node) => self.map(node, part, level, diagnostics),
            None => Variables::new(),
        }
    }

    fn includes(&self, diagnostics: &mut Diagnostics) -> BTreeMap<String, Variables> {
        let mut includes = BTreeMap::new();
        for (path, file) in &self.files {
            let Some(name) = path.strip_prefix("vars/") else {
                continue;
            };
            let is_yaml = name.ends_with(".yml") || name.ends_with(".yaml");
            if !is_yaml || matches!(name, "main.yml" | "main.yaml") {
                continue;
            }
            let variables = match Self::parsed(file, diagnostics) {
                Some(node) => self.map(node, path, Level::RoleVars, diagnostics),
                None => Variables::new(),
            };
            includes.insert(name.to_string(), variables);
        }
        includes
    }

    fn map(
        &self,
        node: Node,
        part: &str,
        level: Level,
        diagnostics: &mut Diagnostics,
    ) -> Variables {
        let Some(entries) = node.as_map() else {
            diagnostics.push(
                Diagnostic::error(format!(
                    "a map of variables is expected, not {}",
                    node.describe()
                ))
                .at(node.span),
            );
            return Variables::new();
        };
        let what = format!("{part} of role {}", self.name);
        entries
            .iter()
            .map(|e| {
                (
                    e.key.clone(),
                    Variable::new(e.value.clone(), level, what.clone()),
                )
            })
            .collect()
    }
}

/// Returns the files of a folder as roles have them.
fn held(place: &Utf8Path, files: BTreeMap<String, Bytes>) -> BTreeMap<String, RoleFile> {
    let file = |(name, bytes): (String, Bytes)| {
        let path = place.join(&name);
        let file = match bytes {
            Bytes::Left(path) => RoleFile {
                path,
                bytes: None,
                source: None,
            },
            Bytes::Held(bytes) => {
                let text = std::str::from_utf8(&bytes).ok().map(str::to_string);
                let source = text.map(|text| Arc::new(Source::new(path.clone(), text)));
                RoleFile {
                    path,
                    bytes: Some(Arc::new(bytes)),
                    source,
                }
            }
        };
        (name, file)
    };
    files.into_iter().map(file).collect()
}

/// What the tasks of plays see of the folder that their file lies in.
pub(super) struct Within {
    place: Utf8PathBuf,
    files: BTreeMap<String, RoleFile>,
}

impl Within {
    /// Returns the folder with the files of its `templates/` and `files/`.
    pub(super) fn new(place: &Utf8Path, files: BTreeMap<String, Bytes>) -> Self {
        Self {
            files: held(place, files),
            place: place.to_owned(),
        }
    }

    /// Returns the role that the tasks of a play are.
    pub(super) fn role(&self, play: &str, tasks: Vec<Task>, handlers: Vec<Task>) -> Role {
        let mut role = Role::bare(play.to_string(), self.place.clone(), self.files.clone());
        role.tasks = tasks;
        role.handlers = handlers;
        role
    }
}

/// All roles that can be named.
#[derive(Debug, Default, Clone)]
pub struct Library {
    roles: IndexMap<String, Arc<Role>>,
}

impl Library {
    /// Returns the roles of the binary.
    pub fn builtin() -> (Self, Diagnostics) {
        let mut library = Self::default();
        let mut diagnostics = Diagnostics::default();
        for dir in BUILTIN.dirs() {
            let name = dir.path().to_string_lossy().into_owned();
            let mut files = BTreeMap::new();
            embedded(dir, &name, &mut files);
            let place = Utf8PathBuf::from(format!("roles/{name} (built in)"));
            library.add(Role::read(
                Folder { name, place, files },
                true,
                &mut diagnostics,
            ));
        }
        (library, diagnostics)
    }

    /// Returns the roles of the binary and of the folder `roles` in `beside`, of which those in the folder win, and
    /// what is wrong with any of them.
    pub fn load(beside: &Utf8Path) -> (Self, Diagnostics) {
        let (mut library, mut diagnostics) = Self::builtin();
        let roles = if beside.as_str().is_empty() {
            Utf8PathBuf::from("roles")
        } else {
            beside.join("roles")
        };
        match files::folders(&roles) {
            Ok(folders) => {
                for folder in folders {
                    let mut role = Role::read(folder, false, &mut diagnostics);
                    role.replaces = library.get(&role.name).is_ok();
                    library.add(role);
                }
            }
            Err((path, reason)) => diagnostics.push(Diagnostic::error(format!(
                "the roles in {path} cannot be read: {reason}"
            ))),
        }
        meta::refuse_dependencies(library.iter(), &mut diagnostics);
        (library, diagnostics)
    }

    /// Returns a library of one role from texts by path, such as `tasks/main.yml`; for tests and previews.
    pub fn from_texts<'a>(
        name: &str,
        texts: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> (Self, Diagnostics) {
        let files = texts
            .into_iter()
            .map(|(path, text)| (path.to_string(), Bytes::Held(text.as_bytes().to_vec())))
            .collect();
        let mut diagnostics = Diagnostics::default();
        let folder = Folder {
            name: name.into(),
            place: Utf8PathBuf::from(format!("roles/{name}")),
            files,
        };
        let mut library = Self::default();
        library.add(Role::read(folder, false, &mut diagnostics));
        meta::refuse_dependencies(library.iter(), &mut diagnostics);
        (library, diagnostics)
    }

    fn add(&mut self, role: Role) {
        self.roles.insert(role.name.clone(), Arc::new(role));
    }

    /// Returns the library with the roles of another, which win.
    #[must_use]
    pub fn over(mut self, other: Self) -> Self {
        self.roles.extend(other.roles);
        self
    }

    /// Returns the role of that name, or an error with the nearest name.
    pub fn get(&self, name: &str) -> Result<Arc<Role>, Diagnostic> {
        if let Some(role) = self.roles.get(name) {
            return Ok(role.clone());
        }
        let mut error = Diagnostic::error(format!(
            "there is no role `{name}`: neither built in nor in roles/ beside the inventory"
        ));
        error.help = nearest(name, self.roles.keys().map(String::as_str))
            .map(|n| format!("did you mean `{n}`?"));
        Err(error)
    }

    /// Returns all roles.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Role>> {
        self.roles.values()
    }

    /// Returns the variables that any role names: whoever sets one of them has not mistyped it.
    pub fn used_names(&self) -> BTreeSet<String> {
        self.iter().flat_map(|role| role.used_names()).collect()
    }
}

fn embedded(dir: &Dir<'_>, role: &str, files: &mut BTreeMap<String, Bytes>) {
    for file in dir.files() {
        let path = file.path().to_string_lossy();
        let name = path
            .strip_prefix(role)
            .and_then(|p| p.strip_prefix('/'))
            .unwrap_or(&path);
        files.insert(name.to_string(), Bytes::Held(file.contents().to_vec()));
    }
    dir.dirs().for_each(|dir| embedded(dir, role, files));
}
