//! site.yml: plays, which give hosts roles and tasks beside those of the built-in workflow.
//!
//! A play becomes roles of the hosts that it means, and its tasks are compared, planned and applied in the host's own wave like
//! those of the built-in roles. Its `stage` says where in the workflow it stands.

use std::collections::BTreeSet;
use std::sync::Arc;

use camino::Utf8Path;
use indexmap::IndexMap;

use super::files;
use super::keyword;
use super::library::{Library, Role, Within};
use super::reader::{self, Sort};
use super::serial::{self, Amount, Serial};
use super::task::Condition;
use crate::inventory::yaml::{self, Entry, Node, Schema};
use crate::inventory::{Level, Variable, Variables};
use crate::model::{Diagnostic, Diagnostics, Source, Span, nearest};

/// The names that the file may have.
const NAMES: [&str; 2] = ["site.yml", "site.yaml"];
/// Whether a host is a member of the cluster, for conditions.
pub const MEMBER: &str = "is_member";
/// Whether all hosts that were reached are members, for conditions.
pub const WHOLE: &str = "cluster_is_whole";

/// Where in the workflow a play stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// In front of the host's built-in roles.
    Before,
    /// Behind them on the host of `kubeadm init`, which waits for it.
    BeforeInit,
    /// On that host, once it is initialised.
    AfterInit,
    /// Behind the built-in roles of every other node, whose join waits for it.
    BeforeJoin,
    /// On every other node, once it has joined.
    AfterJoin,
    /// Once all nodes are in the cluster.
    After,
}

/// The stages by their names in the file.
pub(super) const STAGES: [(&str, Stage); 6] = [
    ("before", Stage::Before),
    ("before_init", Stage::BeforeInit),
    ("after_init", Stage::AfterInit),
    ("before_join", Stage::BeforeJoin),
    ("after_join", Stage::AfterJoin),
    ("after", Stage::After),
];

/// The keywords of a play.
pub(super) const KEYWORDS: [&str; 14] = [
    "name",
    "hosts",
    "stage",
    "roles",
    "pre_tasks",
    "tasks",
    "post_tasks",
    "handlers",
    "vars",
    "tags",
    "serial",
    "max_fail_percentage",
    "become",
    "gather_facts",
];

/// Ansible's words for plays, and what to write instead.
const REFUSED: [(&str, &str); 15] = [
    (
        "any_errors_fatal",
        "write `max_fail_percentage: 0`, and `serial` for how many hosts at once",
    ),
    ("become_user", "write it at the tasks that need it"),
    (
        "connection",
        "leave it out: every host is reached by SSH; nothing runs on the controller",
    ),
    (
        "environment",
        "set it in the command: `argv: [env, NAME=value, ...]`",
    ),
    (
        "force_handlers",
        "a handler that was notified is never lost",
    ),
    ("ignore_errors", "use `failed_when: false` on a command"),
    (
        "ignore_unreachable",
        "leave it out: a host that is not reached stops no other",
    ),
    ("import_playbook", "write its plays into this file"),
    ("no_log", "write it at the tasks, or in a block around them"),
    ("order", "leave it out: hosts go in the inventory's order"),
    ("remote_user", "write `ansible_user` into the inventory"),
    ("run_once", "name one host: `hosts: kube_control_plane[0]`"),
    ("strategy", "leave it out: each host goes on by itself"),
    (
        "vars_files",
        "write them into group_vars/, or use `include_vars` in a role",
    ),
    ("vars_prompt", "use `-e NAME=VALUE`, or a vault"),
];

impl Stage {
    /// Returns whether its tasks stand in front of the built-in roles'.
    pub fn is_first(self) -> bool {
        self == Self::Before
    }

    /// Returns the variable that has to be true before it comes; `None` where nothing has to.
    pub fn waits_for(self) -> Option<&'static str> {
        match self {
            Self::Before | Self::BeforeInit | Self::BeforeJoin => None,
            Self::AfterInit | Self::AfterJoin => Some(MEMBER),
            Self::After => Some(WHOLE),
        }
    }

    /// Returns whether it is for a host of the cluster: `is_node`, and whether `kubeadm init` is its part (`is_first`) or a join.
    pub fn is_for(self, is_node: bool, is_first: bool) -> bool {
        match self {
            Self::Before | Self::After => true,
            Self::BeforeInit | Self::AfterInit => is_node && is_first,
            Self::BeforeJoin | Self::AfterJoin => is_node && !is_first,
        }
    }

    /// Returns its name in the file.
    pub fn name(self) -> &'static str {
        let found = STAGES.iter().find(|(_, stage)| *stage == self);
        found.map_or("after", |(name, _)| name)
    }
}

/// One play.
#[derive(Debug)]
pub struct Play {
    /// Its name: its own, or `play N`.
    pub name: String,
    /// The pattern of its hosts, and where it stands.
    pub hosts: (String, Span),
    /// Where in the workflow it stands.
    pub stage: Stage,
    serial: Option<Serial>,
    max_fail: Option<usize>,
    roles: Vec<Arc<Role>>,
    /// Names of the library's roles in it.
    named: BTreeSet<String>,
}

/// All plays, in order.
#[derive(Debug, Default)]
pub struct Site {
    /// They.
    pub plays: Vec<Play>,
}

impl Play {
    /// Returns what it gives to each of its hosts, of which there are so many, in order.
    pub fn roles(&self, hosts: usize) -> Vec<Arc<Role>> {
        let pace = serial::pace(&self.name, self.serial.as_ref(), self.max_fail, hosts);
        let Some(pace) = pace else {
            return self.roles.clone();
        };
        let paced = |role: &Arc<Role>| Arc::new(role.paced(pace.clone()));
        self.roles.iter().map(paced).collect()
    }

    /// Returns how many tasks it has.
    pub fn tasks(&self) -> usize {
        self.roles.iter().map(|r| r.task_names().count()).sum()
    }
}

impl Site {
    /// Returns the plays of `site.yml` in a folder, none where there is no such file, and everything that is wrong with them.
    /// `templates/` and `files/` beside it are for the tasks of its plays.
    pub fn load(folder: &Utf8Path, library: &Library) -> (Self, Diagnostics) {
        let mut diagnostics = Diagnostics::default();
        let found = NAMES.iter().map(|name| folder.join(name));
        let Some(path) = found.into_iter().find(|path| path.exists()) else {
            return (Self::default(), diagnostics);
        };
        let text = match files::text(&path) {
            Ok(text) => text,
            Err(reason) => {
                diagnostics.push(Diagnostic::error(format!(
                    "{path} cannot be read: {reason}"
                )));
                return (Self::default(), diagnostics);
            }
        };
        let beside = match files::parts(folder, &["files", "templates"]) {
            Ok(beside) => beside,
            Err((path, reason)) => {
                diagnostics.push(Diagnostic::error(format!(
                    "{path} cannot be read: {reason}"
                )));
                return (Self::default(), diagnostics);
            }
        };
        let source = Arc::new(Source::new(path, text));
        let site = read(
            &source,
            Within::new(folder, beside),
            library,
            &mut diagnostics,
        );
        (site, diagnostics)
    }

    /// Returns the plays of a text; for tests and previews.
    pub fn from_text(text: &str, library: &Library) -> (Self, Diagnostics) {
        let mut diagnostics = Diagnostics::default();
        let source = Arc::new(Source::new("site.yml", text));
        let within = Within::new(Utf8Path::new("."), Default::default());
        let site = read(&source, within, library, &mut diagnostics);
        (site, diagnostics)
    }

    /// Returns whether a play has the role.
    pub fn has_role(&self, name: &str) -> bool {
        self.plays.iter().any(|play| play.named.contains(name))
    }

    /// Returns the roles of all plays, their own tasks among them.
    pub fn roles(&self) -> impl Iterator<Item = &Arc<Role>> {
        self.plays.iter().flat_map(|play| &play.roles)
    }
}

fn read(
    source: &Arc<Source>,
    within: Within,
    library: &Library,
    diagnostics: &mut Diagnostics,
) -> Site {
    let (node, found) = yaml::parse(source, Schema::Core);
    let broken = found.has_errors();
    diagnostics.extend(found);
    let Some(node) = node.filter(|n| !broken && !n.is_null()) else {
        return Site::default();
    };
    let Some(nodes) = node.as_seq() else {
        let message = format!("a list of plays is expected, not {}", node.describe());
        diagnostics.complain(message, &node.span, None);
        return Site::default();
    };
    let mut reader = Reader {
        diagnostics,
        library,
        within,
    };
    let mut plays: IndexMap<String, Play> = IndexMap::new();
    for (at, node) in nodes.iter().enumerate() {
        let Some(play) = reader.play(node, at + 1) else {
            continue;
        };
        if plays.contains_key(&play.name) {
            let message = format!("there is another play `{}`", play.name);
            let help = "results and handlers are told apart by the names of plays".to_string();
            reader.diagnostics.complain(message, &node.span, help);
            continue;
        }
        plays.insert(play.name.clone(), play);
    }
    Site {
        plays: plays.into_values().collect(),
    }
}

/// Returns a text, or a list of texts; `None` where something else is among them.
fn texts(node: &Node) -> Option<Vec<&str>> {
    let nodes = node.as_seq().unwrap_or(std::slice::from_ref(node));
    nodes.iter().map(Node::as_str).collect()
}

struct Reader<'a> {
    diagnostics: &'a mut Diagnostics,
    library: &'a Library,
    within: Within,
}

/// What a play says of all its roles and tasks.
#[derive(Clone)]
struct Shared {
    vars: Variables,
    tags: Vec<String>,
    when: Vec<Condition>,
}

impl Reader<'_> {
    fn play(&mut self, node: &Node, number: usize) -> Option<Play> {
        let Some(entries) = node.as_map() else {
            let message = format!("a play is a map, not {}", node.describe());
            self.diagnostics.complain(message, &node.span, None);
            return None;
        };
        let before = self.diagnostics.0.len();
        for entry in entries {
            self.check(entry);
        }
        if node.get("import_playbook").is_some() {
            return None;
        }
        let is_sound = self.diagnostics.0.len() == before;
        let name = node.get("name").and_then(|e| self.text(e));
        let name = name.map_or_else(
            || format!("play {number}"),
            |n| n.replace(['\n', '\r'], " "),
        );
        let hosts = self.hosts(node);
        let stage = match node.get("stage") {
            Some(entry) => self.stage(entry),
            None => Some(Stage::After),
        };
        let vars = node.get("vars").map(|e| self.vars(e, &name));
        let tags = node.get("tags").map(|e| self.tags(e));
        let gate = stage.and_then(Stage::waits_for);
        let gate = gate.map(|name| Condition::Expression(name.into(), node.span.clone()));
        let shared = Shared {
            vars: vars.unwrap_or_default(),
            tags: tags.unwrap_or_default(),
            when: gate.into_iter().collect(),
        };
        let serial = node.get("serial").and_then(|e| self.serial(e));
        let max_fail = node.get("max_fail_percentage");
        let max_fail = max_fail.and_then(|e| self.whole(e, 0, 100));
        let mut named = BTreeSet::new();
        let before = self.tasks(node, &name, &["pre_tasks"], &shared);
        let mut roles: Vec<Role> = before.into_iter().collect();
        if let Some(entry) = node.get("roles") {
            roles.extend(self.roles(entry, &shared, &mut named));
        }
        roles.extend(self.tasks(node, &name, &["tasks", "post_tasks", "handlers"], &shared));
        if is_sound
            && roles.is_empty()
            && !["roles", "tasks"].iter().any(|key| node.get(key).is_some())
        {
            let help = "give it `roles` or `tasks`".to_string();
            self.diagnostics
                .complain(format!("the play `{name}` does nothing"), &node.span, help);
        }
        Some(Play {
            name,
            hosts: hosts?,
            stage: stage?,
            serial,
            max_fail,
            roles: roles.into_iter().map(Arc::new).collect(),
            named,
        })
    }

    /// Complains of a word that is no keyword of a play, and of what a play cannot say.
    fn check(&mut self, entry: &Entry) {
        let key = entry.key.as_str();
        let bare = key.strip_prefix("ansible.builtin.").unwrap_or(key);
        if let Some((_, instead)) = REFUSED.iter().find(|(name, _)| *name == bare) {
            let message = format!("`{bare}` is not part of a play");
            return self
                .diagnostics
                .complain(message, &entry.key_span, instead.to_string());
        }
        match key {
            "become" if entry.value.to_value() != true => {
                let help = "tasks run as root; `become: false` is for single commands".to_string();
                let message = "a play cannot do without root";
                self.diagnostics.complain(message, &entry.value.span, help);
            }
            // Facts are always there.
            _ if KEYWORDS.contains(&key) => {}
            _ => {
                let near = nearest(key, KEYWORDS).map(|n| format!("did you mean `{n}`?"));
                let help = near.unwrap_or_else(|| format!("it has {}", KEYWORDS.join(", ")));
                let message = format!("`{key}` is no keyword of a play");
                self.diagnostics.complain(message, &entry.key_span, help);
            }
        }
    }

    fn wrong(&mut self, entry: &Entry, expected: &str) {
        self.diagnostics.push(entry.wrong(expected));
    }

    fn text(&mut self, entry: &Entry) -> Option<String> {
        let text = entry.value.as_str().map(str::trim);
        let text = text.filter(|text| !text.is_empty()).map(str::to_string);
        if text.is_none() {
            self.wrong(entry, "text");
        }
        text
    }

    fn hosts(&mut self, node: &Node) -> Option<(String, Span)> {
        let Some(entry) = node.get("hosts") else {
            let help = "`hosts: k8s_cluster` means all nodes".to_string();
            let message = "a play needs `hosts`";
            self.diagnostics.complain(message, &node.span, help);
            return None;
        };
        match texts(&entry.value) {
            Some(texts) if !texts.is_empty() => Some((texts.join(","), entry.value.span.clone())),
            _ => {
                self.wrong(entry, "a pattern, or a list of patterns");
                None
            }
        }
    }

    fn stage(&mut self, entry: &Entry) -> Option<Stage> {
        let text = self.text(entry)?;
        let found = STAGES.iter().find(|(name, _)| *name == text);
        if found.is_none() {
            let names = STAGES.map(|(name, _)| name);
            let near = nearest(&text, names).map(|n| format!("did you mean `{n}`?"));
            let help = near.unwrap_or_else(|| format!("the stages are {}", names.join(", ")));
            let message = format!("there is no stage `{text}`");
            self.diagnostics.complain(message, &entry.value.span, help);
        }
        found.map(|(_, stage)| *stage)
    }

    fn vars(&mut self, entry: &Entry, play: &str) -> Variables {
        let Some(entries) = entry.value.as_map() else {
            self.wrong(entry, "a map");
            return Variables::new();
        };
        let what = format!("vars of the play `{play}`");
        let variable = |e: &Entry| Variable::new(e.value.clone(), Level::RoleVars, what.clone());
        entries
            .iter()
            .map(|e| (e.key.clone(), variable(e)))
            .collect()
    }

    fn tags(&mut self, entry: &Entry) -> Vec<String> {
        let Some(texts) = texts(&entry.value) else {
            self.wrong(entry, "text or a list of texts");
            return Vec::new();
        };
        let tags = texts.iter().flat_map(|text| text.split(','));
        tags.map(|tag| tag.trim().to_string()).collect()
    }

    fn serial(&mut self, entry: &Entry) -> Option<Serial> {
        let Some(nodes) = entry.value.as_seq() else {
            let amount = self.amount(entry)?;
            return Some(Serial {
                amounts: vec![amount],
                in_step: false,
            });
        };
        if nodes.is_empty() {
            self.wrong(entry, "a number of hosts, or a list of at least one");
            return None;
        }
        let each = nodes.iter().map(|node| Entry {
            value: node.clone(),
            ..entry.clone()
        });
        // All of them, so that each mistake is told.
        let amounts: Vec<Option<Amount>> = each.map(|entry| self.amount(&entry)).collect();
        Some(Serial {
            amounts: amounts.into_iter().collect::<Option<_>>()?,
            in_step: true,
        })
    }

    fn amount(&mut self, entry: &Entry) -> Option<Amount> {
        let percent = entry.value.as_str().and_then(|text| text.strip_suffix('%'));
        let Some(percent) = percent else {
            return self.whole(entry, 1, 100_000).map(Amount::Hosts);
        };
        let percent = percent.trim().parse().ok();
        let percent = percent
            .filter(|n| (1..=100).contains(n))
            .map(Amount::Percent);
        if percent.is_none() {
            self.wrong(entry, "a number of hosts, or 1% to 100%");
        }
        percent
    }

    fn whole(&mut self, entry: &Entry, least: u64, most: u64) -> Option<usize> {
        let number = entry.value.to_value().as_u64();
        let number = number.filter(|n| (least..=most).contains(n));
        if number.is_none() {
            self.wrong(entry, &format!("a whole number from {least} to {most}"));
        }
        number.and_then(|n| usize::try_from(n).ok())
    }

    /// Returns the role that some lists of a play's own tasks are, where it has any of them.
    fn tasks(&mut self, node: &Node, play: &str, keys: &[&str], shared: &Shared) -> Option<Role> {
        let mut read = |key: &str, sort: Sort| {
            let entry = node.get(key).filter(|_| keys.contains(&key))?;
            let list = (!entry.value.is_null()).then_some(&entry.value);
            Some(list.map_or_else(Vec::new, |list| {
                reader::read(list, play, sort, self.diagnostics)
            }))
        };
        let lists = ["pre_tasks", "tasks", "post_tasks"].map(|key| read(key, Sort::Task));
        let handlers = read("handlers", Sort::Handler);
        if lists.iter().all(Option::is_none) && handlers.is_none() {
            return None;
        }
        let tasks = lists.into_iter().flatten().flatten().collect();
        let handlers = handlers.unwrap_or_default();
        let role = self.within.role(play, tasks, handlers);
        Some(role.in_play(&shared.vars, &Variables::new(), &shared.tags, &shared.when))
    }

    fn roles(&mut self, entry: &Entry, shared: &Shared, named: &mut BTreeSet<String>) -> Vec<Role> {
        let Some(nodes) = entry.value.as_seq() else {
            self.wrong(entry, "a list of roles");
            return Vec::new();
        };
        let mut roles = Vec::new();
        for node in nodes {
            roles.extend(self.role(node, shared, named));
        }
        roles
    }

    /// Reads one entry of `roles`: a name, or a map of `role`, `vars`, `tags` and `when`.
    fn role(&mut self, node: &Node, shared: &Shared, named: &mut BTreeSet<String>) -> Option<Role> {
        let (mut params, mut shared) = (Variables::new(), shared.clone());
        let mut name = node
            .as_str()
            .map(|text| (text.to_string(), node.span.clone()));
        for entry in node.as_map().unwrap_or_default() {
            match entry.key.as_str() {
                "role" | "name" => {
                    name = self
                        .text(entry)
                        .map(|text| (text, entry.value.span.clone()));
                }
                "vars" => params = self.vars(entry, "its role"),
                "tags" => shared.tags.extend(self.tags(entry)),
                "when" => shared
                    .when
                    .extend(reader::conditions(&entry.value, self.diagnostics)),
                key => {
                    let help = match keyword::refused(key) {
                        Some((_, instead)) => instead.to_string(),
                        None => {
                            "it has role, vars, tags and when: variables stand under `vars`".into()
                        }
                    };
                    let message = format!("`{key}` is no keyword of a role in a play");
                    self.diagnostics.complain(message, &entry.key_span, help);
                }
            }
        }
        let Some((name, span)) = name else {
            let message = format!("a role's name is expected, not {}", node.describe());
            self.diagnostics.complain(message, &node.span, None);
            return None;
        };
        match self.library.get(&name) {
            Ok(role) => {
                named.insert(name);
                Some(role.in_play(&shared.vars, &params, &shared.tags, &shared.when))
            }
            Err(error) => {
                self.diagnostics.push(error.at(span));
                None
            }
        }
    }
}
