//! JSON Schemas (draft 2020-12) of the files that the role language is written in, made from the tables that read them.

use serde_json::json;

use super::keyword;
use super::module::{self, Module};
use super::site;
use crate::model::{Map, Value};

/// The draft that all schemas are written in.
pub const DRAFT: &str = "https://json-schema.org/draft/2020-12/schema";

/// Returns the schema of tasks/main.yml.
pub fn tasks() -> Value {
    json!({
        "$schema": DRAFT,
        "title": "tasks/main.yml of a role of quorate",
        "$ref": "#/$defs/tasks",
        "$defs": definitions(),
    })
}

/// Returns the schema of handlers/main.yml.
pub fn handlers() -> Value {
    json!({
        "$schema": DRAFT,
        "title": "handlers/main.yml of a role of quorate",
        "$ref": "#/$defs/handlers",
        "$defs": definitions(),
    })
}

/// Returns the schema of site.yml.
pub fn site() -> Value {
    let tasks = json!({ "$ref": "#/$defs/tasks" });
    let role = json!({
        "type": "object",
        "properties": {
            "role": { "type": "string" }, "name": { "type": "string" },
            "vars": { "type": "object" },
            "tags": texts(), "when": condition(),
        },
        "additionalProperties": false,
    });
    let of = |keyword: &str| match keyword {
        "name" => json!({ "type": "string" }),
        "hosts" | "tags" => texts(),
        "stage" => json!({ "enum": site::STAGES.map(|(name, _)| name) }),
        "roles" => {
            json!({ "type": "array", "items": { "anyOf": [{ "type": "string" }, role.clone()] } })
        }
        "pre_tasks" | "tasks" | "post_tasks" => tasks.clone(),
        "handlers" => json!({ "$ref": "#/$defs/handlers" }),
        "vars" => json!({ "type": "object" }),
        "serial" => json!({ "anyOf": [
            amount(),
            { "type": "array", "items": amount(), "minItems": 1 },
        ] }),
        "max_fail_percentage" => json!({ "type": "integer", "minimum": 0, "maximum": 100 }),
        "become" => json!({ "const": true }),
        _ => json!({ "type": "boolean" }),
    };
    let properties: Map = site::KEYWORDS
        .iter()
        .map(|keyword| ((*keyword).to_string(), of(keyword)))
        .collect();
    json!({
        "$schema": DRAFT,
        "title": "site.yml of quorate",
        "type": ["array", "null"],
        "items": {
            "type": "object",
            "required": ["hosts"],
            "properties": properties,
            "additionalProperties": false,
        },
        "$defs": definitions(),
    })
}

/// A number of hosts, or a part of them.
fn amount() -> Value {
    json!({ "anyOf": [
        { "type": "integer", "minimum": 1 },
        { "type": "string", "pattern": "^[1-9][0-9]*%$" },
    ] })
}

/// A text, or a list of texts.
fn texts() -> Value {
    json!({ "type": ["string", "array"], "items": { "type": "string" } })
}

/// An expression, a truth value, or a list of such.
fn condition() -> Value {
    json!({ "type": ["string", "boolean", "array"], "items": { "type": ["string", "boolean"] } })
}

/// Tasks, handlers and blocks.
fn definitions() -> Value {
    let list = |of: Value| json!({ "type": ["array", "null"], "items": of });
    let reference = |name: &str| json!({ "$ref": format!("#/$defs/{name}") });
    let mut block = keywords(keyword::BLOCK);
    for part in ["block", "rescue", "always"] {
        block.insert(part.into(), reference("tasks"));
    }
    let handler = object(keywords(keyword::KEYWORDS), Some(&["name"]));
    let mut task = keywords(keyword::KEYWORDS);
    task.remove("listen");
    json!({
        "tasks": list(json!({
            "if": { "required": ["block"] },
            "then": { "type": "object", "properties": block, "additionalProperties": false },
            "else": object(task, None),
        })),
        "handlers": list(handler),
    })
}

/// Returns what a task may be: keywords and one module.
fn object(keywords: Map, required: Option<&[&str]>) -> Value {
    let mut properties = keywords;
    for module in module::MODULES {
        let arguments = arguments(module);
        for name in std::iter::once(module.name).chain(module.aliases.iter().copied()) {
            properties.insert(name.into(), arguments.clone());
        }
    }
    // Ansible's full names.
    let full = module::COLLECTIONS.map(|c| c.replace('.', "\\."));
    let names: Vec<&str> = module::names().collect();
    let full = format!("^({})({})$", full.join("|"), names.join("|"));
    let command = |name: &str| {
        let full = module::COLLECTIONS.map(|c| json!({ "required": [format!("{c}{name}")] }));
        [vec![json!({ "required": [name] })], full.to_vec()].concat()
    };
    let commands = [command("command"), command("shell")].concat();
    let commands = json!({ "anyOf": commands });
    let of_commands = ["until", "retries", "delay", "changed_when", "failed_when"];
    let of_commands: Map = of_commands
        .into_iter()
        .map(|keyword| (keyword.to_string(), commands.clone()))
        .collect();
    let mut schema = json!({
        "type": "object",
        "properties": properties,
        "patternProperties": { full: {} },
        "additionalProperties": false,
        "dependentSchemas": of_commands,
    });
    if let Some(required) = required {
        schema["required"] = json!(required);
    }
    schema
}

/// Returns what a module takes.
fn arguments(module: &Module) -> Value {
    let properties: Map = module
        .arguments
        .iter()
        .map(|name| ((*name).to_string(), argument(module.name, name)))
        .collect();
    let mut schema = json!({ "type": "object" });
    if !properties.is_empty() {
        schema["properties"] = Value::Object(properties);
        schema["additionalProperties"] = json!(false);
    }
    match module.bare.map(|name| argument(module.name, name)) {
        None => schema,
        Some(bare) if bare == json!({}) => {
            schema["type"] = json!(["object", "string", "number", "boolean"]);
            schema
        }
        Some(bare) => json!({ "anyOf": [schema, bare] }),
    }
}

/// The words that an argument may be: the module, the argument, and those that the module reads.
const CHOICES: &[(&str, &str, &[&str])] = &[
    ("blockinfile", "state", PRESENCE),
    ("deb822_repository", "state", PRESENCE),
    (
        "file",
        "state",
        &["file", "directory", "absent", "link", "touch"],
    ),
    ("group", "state", PRESENCE),
    ("lineinfile", "state", PRESENCE),
    ("meta", "action", &["flush_handlers"]),
    ("modprobe", "persistent", &["disabled", "present"]),
    ("modprobe", "state", &["present"]),
    (
        "mount",
        "state",
        &["mounted", "present", "unmounted", "absent"],
    ),
    (
        "package",
        "state",
        &["present", "absent", "installed", "removed"],
    ),
    (
        "service",
        "state",
        &["", "started", "stopped", "restarted", "reloaded"],
    ),
    ("swap", "state", &["absent"]),
    ("sysctl", "state", &["present"]),
    ("systemd_timer", "state", PRESENCE),
    ("user", "state", PRESENCE),
    ("yum_repository", "state", PRESENCE),
];

const PRESENCE: &[&str] = &["present", "absent"];

/// Returns what an argument of a module may be, as `Args` reads it: its words, or `{}` for what is read as text or more.
fn argument(module: &str, name: &str) -> Value {
    let template = || json!({ "type": "string", "pattern": TEMPLATE });
    let choices = CHOICES.iter().find(|(m, n, _)| (*m, *n) == (module, name));
    if let Some((_, _, words)) = choices {
        return json!({ "anyOf": [{ "enum": words }, { "type": "null" }, template()] });
    }
    match name {
        "append" | "backup" | "create" | "create_home" | "daemon_reload" | "enabled"
        | "gpgcheck" | "masked" | "persistent" | "quiet" | "remote_src" | "remove" | "system" => {
            json!({ "anyOf": [
                { "type": ["boolean", "null"] },
                { "enum": ["true", "yes", "True", "false", "no", "False"] },
                template(),
            ] })
        }
        "uid" | "gid" | "dump" | "passno" => {
            json!({ "anyOf": [number(0, "^\\+?[0-9]+$"), { "type": "null" }] })
        }
        "mode" => json!({
            "type": ["string", "null"],
            "pattern": format!("^(0o)?0?[0-7]{{1,4}}$|{TEMPLATE}"),
        }),
        _ => json!({}),
    }
}

/// What makes a text a template (`template::is_template`).
const TEMPLATE: &str = "\\{[{%#]";

/// The name of a variable.
fn variable() -> Value {
    json!({ "type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]*$" })
}

/// A whole number, as itself, as text, or as what a template makes.
fn number(least: u32, text: &str) -> Value {
    json!({ "anyOf": [
        { "type": "integer", "minimum": least, "maximum": u32::MAX },
        { "type": "string", "pattern": format!("{text}|{TEMPLATE}") },
    ] })
}

fn keywords(names: &[&str]) -> Map {
    let of = |name: &str| match name {
        "when" | "changed_when" | "failed_when" => condition(),
        "notify" | "listen" | "tags" => texts(),
        "become" | "no_log" => json!({ "type": "boolean" }),
        "vars" => json!({ "type": "object" }),
        "loop_control" => json!({
            "type": "object",
            "properties": {
                "loop_var": variable(), "index_var": variable(), "label": { "type": "string" },
            },
            "additionalProperties": false,
        }),
        "register" => variable(),
        "become_user" => json!({ "type": "string", "pattern": "^[A-Za-z0-9_.$][A-Za-z0-9_.$-]*$" }),
        // An expression already, without braces.
        "until" => json!({ "type": "string", "not": { "pattern": TEMPLATE } }),
        "loop" => json!({ "type": ["array", "string"] }),
        "retries" => number(1, "^\\+?0*[1-9][0-9]*$"),
        "delay" => number(0, "^\\+?[0-9]+$"),
        // A name may look like a number.
        "name" => json!({ "type": ["string", "number", "boolean"] }),
        _ => json!({ "type": "string" }),
    };
    let entry = |name: &&str| ((*name).to_string(), of(name));
    names.iter().map(entry).collect()
}
