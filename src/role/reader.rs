//! The text of tasks/main.yml and handlers/main.yml to tasks: blocks are taken apart, and what they say goes to each task.

use super::args::{RunAs, is_variable};
use super::keyword;
use super::module::{self, Module, command};
use super::task::{Around, Condition, LoopControl, Part, Task, id};
use super::until::Polling;
use crate::inventory::yaml::{Entry, Kind, Node};
use crate::inventory::{Level, Variable, Variables};
use crate::model::{Diagnostics, Span, nearest};

/// Whether a file holds tasks or handlers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sort {
    Task,
    Handler,
}

/// Blocks inside one another; more is no role that somebody reads.
const MAX_DEPTH: usize = 16;

/// Returns the tasks of a file.
pub(super) fn read(
    node: &Node,
    role: &str,
    sort: Sort,
    diagnostics: &mut Diagnostics,
) -> Vec<Task> {
    let mut reader = Reader::new(role, sort, diagnostics);
    reader.list(node, &Shared::default(), &[]);
    reader.tasks
}

/// Returns the conditions of a `when`.
pub(super) fn conditions(node: &Node, diagnostics: &mut Diagnostics) -> Vec<Condition> {
    Reader::new("", Sort::Task, diagnostics).conditions("when", node)
}

/// What a block says of all its tasks, or a task of itself.
#[derive(Debug, Clone, Default)]
struct Shared {
    name: String,
    when: Vec<Condition>,
    notify: Vec<(String, Span)>,
    tags: Vec<String>,
    run_as: Option<(RunAs, Span)>,
    no_log: bool,
    vars: Variables,
}

impl Shared {
    /// Returns what holds for a task or block inside, which says `inner` of itself.
    fn with(&self, inner: Self) -> Self {
        let mut all = self.clone();
        all.name = inner.name;
        all.when.extend(inner.when);
        all.notify.extend(inner.notify);
        let new = |tag: &String| !self.tags.contains(tag);
        all.tags.extend(inner.tags.into_iter().filter(new));
        all.run_as = inner.run_as.or(all.run_as);
        all.no_log |= inner.no_log;
        all.vars.extend(inner.vars);
        all
    }
}

/// What a task says of its module's result and of its repetition.
#[derive(Debug, Default)]
struct Own {
    items: Option<Node>,
    control: LoopControl,
    listen: Vec<String>,
    register: Option<String>,
    changed_when: Option<Vec<Condition>>,
    failed_when: Option<Vec<Condition>>,
    polling: Option<Polling>,
}

struct Reader<'d> {
    diagnostics: &'d mut Diagnostics,
    role: &'d str,
    sort: Sort,
    /// The number of the task or block under way, from 1.
    number: usize,
    /// How many blocks there were.
    blocks: usize,
    tasks: Vec<Task>,
}

impl<'d> Reader<'d> {
    fn new(role: &'d str, sort: Sort, diagnostics: &'d mut Diagnostics) -> Self {
        Self {
            diagnostics,
            role,
            sort,
            number: 0,
            blocks: 0,
            tasks: Vec::new(),
        }
    }

    fn wrong(&mut self, key: &str, expected: &str, node: &Node) {
        self.diagnostics.complain(
            format!("`{key}` takes {expected}, not {}", node.describe()),
            &node.span,
            None,
        );
    }

    fn list(&mut self, node: &Node, outer: &Shared, around: &[Around]) {
        let Some(items) = node.as_seq() else {
            let what = match self.sort {
                Sort::Task => "tasks",
                Sort::Handler => "handlers",
            };
            let message = format!("a list of {what} is expected, not {}", node.describe());
            return self.diagnostics.complain(message, &node.span, None);
        };
        for item in items {
            if item.get("block").is_some() && self.sort == Sort::Task {
                self.block(item, outer, around);
                continue;
            }
            self.number += 1;
            let Some(task) = self.task(item, outer, around) else {
                continue;
            };
            let same = |t: &&Task| id(self.role, &t.name) == id(self.role, &task.name);
            if self.sort == Sort::Handler
                && let Some(other) = self.tasks.iter().find(same)
            {
                let line = other.span.line_column().0;
                let message = format!(
                    "the handler `{}` has the name of the one in line {line}",
                    task.name
                );
                self.diagnostics.complain(message, &task.span, None);
                continue;
            }
            self.tasks.push(task);
        }
    }

    /// Reads a block's tasks with what the block says of them. `rescue` and `always` have its conditions too, as in Ansible.
    fn block(&mut self, node: &Node, outer: &Shared, around: &[Around]) {
        if around.len() == MAX_DEPTH {
            let message = format!("blocks are nested more than {MAX_DEPTH} deep");
            return self.diagnostics.complain(message, &node.span, None);
        }
        let mut shared = Shared::default();
        for entry in node.as_map().unwrap_or_default() {
            let key = entry.key.as_str();
            if matches!(key, "block" | "rescue" | "always") {
                continue;
            }
            if !self.shared(&mut shared, entry) {
                self.not_of_a_block(entry);
            }
        }
        let has = |key: &str| {
            let tasks = node.get(key).and_then(|e| e.value.as_seq());
            tasks.is_some_and(|tasks| !tasks.is_empty())
        };
        if node
            .get("block")
            .is_some_and(|e| e.value.as_seq().is_some_and(<[_]>::is_empty))
        {
            self.diagnostics
                .complain("this block has no tasks", &node.span, None);
        }
        self.blocks += 1;
        let (block, rescues, has_always) = (self.blocks, has("rescue"), has("always"));
        let shared = outer.with(shared);
        for (key, part) in [
            ("block", Part::Body),
            ("rescue", Part::Rescue),
            ("always", Part::Always),
        ] {
            let Some(entry) = node.get(key) else { continue };
            let here = Around {
                block,
                part,
                rescues,
                has_always,
            };
            self.list(&entry.value, &shared, &[around, &[here]].concat());
        }
    }

    fn not_of_a_block(&mut self, entry: &Entry) {
        let key = entry.key.as_str();
        if module::find(key).is_some() || keyword::KEYWORDS.contains(&key) {
            let message = format!("a block has no `{key}`");
            let help = "write it at the tasks inside".to_string();
            return self.diagnostics.complain(message, &entry.key_span, help);
        }
        self.unknown(entry, keyword::BLOCK);
    }

    /// Complains of a word that is neither a module nor one of `keywords`.
    fn unknown(&mut self, entry: &Entry, keywords: &[&'static str]) {
        let key = entry.key.as_str();
        if let Some((what, instead)) = keyword::refused(key) {
            return self
                .diagnostics
                .complain(what, &entry.key_span, instead.to_string());
        }
        let known = keywords.iter().copied().chain(module::names());
        let near = nearest(key, known).map(|n| format!("did you mean `{n}`?"));
        let modules = || module::names().collect::<Vec<_>>().join(", ");
        let help = near.unwrap_or_else(|| format!("the modules are {}", modules()));
        let message = format!("`{key}` is neither a module nor a keyword of a task");
        self.diagnostics.complain(message, &entry.key_span, help);
    }

    fn task(&mut self, node: &Node, outer: &Shared, around: &[Around]) -> Option<Task> {
        let Some(entries) = node.as_map() else {
            self.wrong("task", "a map", node);
            return None;
        };
        let before = self.diagnostics.0.len();
        let mut module: Option<(&'static Module, &Entry)> = None;
        for entry in entries {
            let key = entry.key.as_str();
            if keyword::KEYWORDS.contains(&key) {
                continue;
            }
            let Some(found) = module::find(key) else {
                self.stranger(entry);
                continue;
            };
            if let Some((first, _)) = module {
                let message = format!(
                    "a task has one module: this one has `{}` already",
                    first.name
                );
                self.diagnostics.complain(message, &entry.key_span, None);
            }
            module = Some((found, entry));
        }
        let Some((module, entry)) = module else {
            if self.diagnostics.0.len() == before {
                self.diagnostics
                    .complain("this task has no module", &node.span, None);
            }
            return None;
        };
        let args = self.args(module, &entry.value)?;
        let span = entry.key_span.clone();
        let (mut shared, mut own) = (Shared::default(), Own::default());
        for entry in entries {
            if !self.shared(&mut shared, entry) {
                self.own(&mut own, module, entry);
            }
        }
        let mut shared = outer.with(shared);
        self.check_user(module, &shared);
        if shared.name.is_empty() {
            if self.sort == Sort::Handler {
                let message = "a handler needs a `name`, by which tasks notify it";
                self.diagnostics.complain(message, &node.span, None);
            }
            shared.name = format!("{} (task {})", module.name, self.number);
        }
        if self.sort == Sort::Handler && module.is_local() {
            let message = format!("a handler cannot be a `{}`", module.name);
            let help = "handlers do something on the host; write it as a task".to_string();
            self.diagnostics.complain(message, &span, help);
        }
        if self.sort == Sort::Handler && (own.items.is_some() && own.register.is_some()) {
            let message = "a handler cannot `register`: nothing comes after it";
            self.diagnostics.complain(message, &span, None);
        }
        let task = Task {
            name: shared.name,
            span,
            module,
            args,
            when: shared.when,
            items: own.items,
            control: own.control,
            notify: shared.notify,
            listen: own.listen,
            register: own.register,
            tags: shared.tags,
            run_as: shared.run_as.map(|(who, _)| who),
            changed_when: own.changed_when,
            failed_when: own.failed_when,
            polling: own.polling,
            no_log: shared.no_log,
            vars: shared.vars,
            around: around.to_vec(),
        };
        if self.sort == Sort::Handler && (task.failed_when.is_some() || task.is_judged()) {
            let message = "a handler cannot be judged: `failed_when`, and `changed_when` with a condition, are for tasks";
            let help = "its command says itself whether it has failed: `shell: COMMAND || true`";
            self.diagnostics
                .complain(message, &task.span, help.to_string());
        }
        (self.diagnostics.0.len() == before).then_some(task)
    }

    /// Complains of a word in a task that is none of a task's.
    fn stranger(&mut self, entry: &Entry) {
        match entry.key.as_str() {
            key @ ("rescue" | "always") => {
                let message = format!("`{key}` is part of a block");
                let help = "write it beside `block`, whose tasks it follows".to_string();
                self.diagnostics.complain(message, &entry.key_span, help);
            }
            // A task that has one is read as a block.
            "block" => {
                let help = "a handler is one task: write several handlers".to_string();
                self.diagnostics
                    .complain("a handler is no block", &entry.key_span, help);
            }
            _ => self.unknown(entry, keyword::KEYWORDS),
        }
    }

    /// Everything but a command is done by root.
    fn check_user(&mut self, module: &'static Module, shared: &Shared) {
        if matches!(module.name, "command" | "shell") || module.is_local() {
            return;
        }
        let name = module.name;
        match &shared.run_as {
            None | Some((RunAs::Root, _)) => {}
            Some((RunAs::Login, span)) => {
                let message = format!("`become: false` is for `command` only: `{name}` needs root");
                self.diagnostics.complain(message, span, None);
            }
            Some((RunAs::User(_), span)) => {
                let message =
                    format!("`become_user` is for `command` and `shell` only, not for `{name}`");
                let help = "the other modules run as root: leave it out".to_string();
                self.diagnostics.complain(message, span, help);
            }
        }
    }

    fn args(&mut self, module: &'static Module, node: &Node) -> Option<Node> {
        match &node.kind {
            Kind::Map(entries) => {
                let known = |e: &&Entry| !module.has_argument(&e.key);
                let strangers: Vec<&Entry> = entries.iter().filter(known).collect();
                for entry in &strangers {
                    let instead = keyword::argument(module.name, &entry.key).map(str::to_string);
                    let near = || {
                        nearest(&entry.key, module.arguments.iter().copied())
                            .map(|n| format!("did you mean `{n}`?"))
                    };
                    let all = || format!("it has {}", module.arguments.join(", "));
                    let help = instead.or_else(near).unwrap_or_else(all);
                    let message = format!("`{}` has no argument `{}`", module.name, entry.key);
                    self.diagnostics.complain(message, &entry.key_span, help);
                }
                strangers.is_empty().then(|| node.clone())
            }
            Kind::Scalar(_) if node.is_null() => {
                let message = format!("`{}` has no arguments", module.name);
                self.diagnostics.complain(message, &node.span, None);
                None
            }
            Kind::Scalar(_) => match module.bare {
                Some(name) => {
                    if name == "cmd"
                        && let Some((argument, value)) = node.as_str().and_then(command::free_form)
                    {
                        let message = format!(
                            "`{argument}=` in the text of a command is a word of it here, and no argument"
                        );
                        let help = command::instead(&argument, &value);
                        self.diagnostics.complain(message, &node.span, help);
                    }
                    let entry = Entry {
                        key: name.into(),
                        key_span: node.span.clone(),
                        value: node.clone(),
                    };
                    Some(Node {
                        kind: Kind::Map(vec![entry]),
                        span: node.span.clone(),
                    })
                }
                None => {
                    let help = "write the arguments as a map, one in a line".to_string();
                    let message = format!("`{}` takes a map, not {}", module.name, node.describe());
                    self.diagnostics.complain(message, &node.span, help);
                    None
                }
            },
            Kind::Seq(_) => {
                self.wrong(module.name, "a map", node);
                None
            }
        }
    }

    /// Reads a keyword that blocks have as well; returns whether it is one.
    fn shared(&mut self, shared: &mut Shared, entry: &Entry) -> bool {
        let (key, node) = (entry.key.as_str(), &entry.value);
        match key {
            "name" => match node.as_scalar().filter(|s| !s.value.is_null()) {
                Some(scalar) => shared.name = scalar.text.trim().replace(['\n', '\r'], " "),
                None => self.wrong(key, "text", node),
            },
            "when" => shared.when = self.conditions(key, node),
            "notify" => shared.notify = self.texts(key, node),
            "tags" => {
                let texts = self.texts(key, node);
                let tags = texts.iter().flat_map(|(text, _)| text.split(','));
                shared.tags = tags.map(|tag| tag.trim().to_string()).collect();
            }
            "no_log" => shared.no_log = self.flag(key, node),
            "become" => {
                let login = !self.flag(key, node);
                if login || shared.run_as.is_none() {
                    let who = if login { RunAs::Login } else { RunAs::Root };
                    shared.run_as = Some((who, node.span.clone()));
                }
            }
            "become_user" => {
                let who = match node.as_str().filter(|t| is_account(t)) {
                    Some("root") => Some(RunAs::Root),
                    Some(text) => Some(RunAs::User(text.to_string())),
                    None => {
                        self.wrong(key, "the name of an account", node);
                        None
                    }
                };
                shared.run_as = who.map(|who| (who, node.span.clone()));
            }
            "vars" => match node.as_map() {
                Some(entries) => {
                    let what = format!("vars of task {} of role {}", self.number, self.role);
                    let variable =
                        |e: &Entry| Variable::new(e.value.clone(), Level::RoleVars, what.clone());
                    let variables = entries.iter().map(|e| (e.key.clone(), variable(e)));
                    shared.vars = variables.collect();
                }
                None => self.wrong(key, "a map", node),
            },
            _ => return false,
        }
        true
    }

    /// Reads a keyword that tasks alone have.
    fn own(&mut self, own: &mut Own, module: &'static Module, entry: &Entry) {
        let (key, node) = (entry.key.as_str(), &entry.value);
        let is_command = matches!(module.name, "command" | "shell");
        match key {
            "loop" => match &node.kind {
                Kind::Seq(_) => own.items = Some(node.clone()),
                Kind::Scalar(_) if node.as_str().is_some() => own.items = Some(node.clone()),
                _ => self.wrong(key, "a list or an expression", node),
            },
            "loop_control" => self.loop_control(&mut own.control, node),
            "listen" if self.sort == Sort::Handler => {
                let texts = self.texts(key, node);
                own.listen = texts.into_iter().map(|(text, _)| text).collect();
            }
            "listen" => {
                let help = "tasks `notify`; write `listen` at the handler".to_string();
                self.diagnostics
                    .complain("`listen` is for handlers", &entry.key_span, help);
            }
            "register" => match node.as_str().filter(|t| is_variable(t)) {
                Some(text) => own.register = Some(text.to_string()),
                None => self.wrong(key, "the name of a variable", node),
            },
            "changed_when" if is_command => own.changed_when = Some(self.conditions(key, node)),
            // An empty list judges nothing, as in Ansible.
            "failed_when" if is_command => {
                own.failed_when = Some(self.conditions(key, node)).filter(|all| !all.is_empty());
            }
            "until" if is_command => match node.as_str() {
                Some(text) => {
                    let polling = own.polling.get_or_insert_default();
                    polling.until = Some((text.to_string(), node.span.clone()));
                }
                None => self.wrong(key, "one expression", node),
            },
            "retries" if is_command => {
                own.polling.get_or_insert_default().retries = Some(node.clone());
            }
            "delay" if is_command => {
                own.polling.get_or_insert_default().delay = Some(node.clone());
            }
            "until" | "retries" | "delay" => {
                let message = format!(
                    "`{key}` is for `command` and `shell` only, not for `{}`",
                    module.name
                );
                let help =
                    "the other modules wait by themselves where there is something to wait for";
                self.diagnostics
                    .complain(message, &entry.key_span, help.to_string());
            }
            "changed_when" | "failed_when" => {
                let message = format!(
                    "`{key}` is for `command` and `shell` only, not for `{}`",
                    module.name
                );
                let help = "the other modules know themselves whether they changed something";
                self.diagnostics
                    .complain(message, &node.span, help.to_string());
            }
            _ => {}
        }
    }

    fn loop_control(&mut self, control: &mut LoopControl, node: &Node) {
        let Some(entries) = node.as_map() else {
            return self.wrong("loop_control", "a map", node);
        };
        for entry in entries {
            let (key, value) = (entry.key.as_str(), &entry.value);
            let name = value.as_str().filter(|t| is_variable(t));
            match (key, name, value.as_str()) {
                ("loop_var", Some(name), _) => control.var = name.to_string(),
                ("index_var", Some(name), _) => control.index = Some(name.to_string()),
                ("loop_var" | "index_var", None, _) => {
                    self.wrong(key, "the name of a variable", value)
                }
                ("label", _, Some(text)) => {
                    control.label = Some((text.to_string(), value.span.clone()));
                }
                ("label", ..) => self.wrong(key, "text", value),
                _ => {
                    let known = ["loop_var", "index_var", "label"];
                    let near = nearest(key, known).map(|n| format!("did you mean `{n}`?"));
                    let help = near.unwrap_or_else(|| format!("it has {}", known.join(", ")));
                    let message = format!("`loop_control` has no `{key}`");
                    self.diagnostics.complain(message, &entry.key_span, help);
                }
            }
        }
    }

    fn flag(&mut self, key: &str, node: &Node) -> bool {
        match node.as_scalar().and_then(|s| s.value.as_bool()) {
            Some(flag) => flag,
            None => {
                self.wrong(key, "true or false", node);
                // The careful reading of both keywords that are read so.
                true
            }
        }
    }

    fn conditions(&mut self, key: &str, node: &Node) -> Vec<Condition> {
        let nodes = node.as_seq().unwrap_or(std::slice::from_ref(node));
        let mut conditions = Vec::new();
        for node in nodes {
            match node.as_scalar() {
                Some(scalar) if scalar.value.is_boolean() => {
                    conditions.push(Condition::Literal(scalar.value.as_bool() == Some(true)))
                }
                Some(scalar) if scalar.value.is_string() => {
                    conditions.push(Condition::Expression(
                        scalar.text.clone(),
                        node.span.clone(),
                    ));
                }
                _ => self.wrong(key, "an expression", node),
            }
        }
        conditions
    }

    fn texts(&mut self, key: &str, node: &Node) -> Vec<(String, Span)> {
        let nodes = node.as_seq().unwrap_or(std::slice::from_ref(node));
        let mut texts = Vec::new();
        for node in nodes {
            match node.as_str() {
                Some(text) => texts.push((text.to_string(), node.span.clone())),
                None => self.wrong(key, "text or a list of texts", node),
            }
        }
        texts
    }
}

fn is_account(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with('-')
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_-.$".contains(c))
}
