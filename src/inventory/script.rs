//! Inventory scripts: programs that print groups and hosts as JSON. Source: `plugins/inventory/script.py` of ansible-core 2.19.

use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use indexmap::IndexMap;
use serde_json::json;

use super::program::{self, DEADLINE, Failure, Output};
use crate::model::{Diagnostic, Map, Source, Value};

/// What is put behind a script's path where a place in its output is named.
const LIST: &str = " --list";
/// How many of the last lines of standard error are shown.
const LINES: usize = 5;

/// Returns whether a file is a program: it may be executed, and begins as one does. On a file system that calls everything
/// executable, as a shared folder's, the rest are inventories.
pub(super) fn is_script(path: &Utf8Path) -> bool {
    let executable = path
        .metadata()
        .is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0);
    let begins = || {
        let mut head = [0; 4];
        let mut file = std::fs::File::open(path).ok()?;
        let length = file.read(&mut head).ok()?;
        let head = head.get(..length)?;
        Some(head.starts_with(b"#!") || head == b"\x7fELF")
    };
    executable && begins().unwrap_or(false)
}

/// Returns the path of the script whose output a source is, or the source's own.
pub(super) fn file(path: &Utf8Path) -> Utf8PathBuf {
    path.as_str()
        .strip_suffix(LIST)
        .unwrap_or(path.as_str())
        .into()
}

/// Runs a script, and returns what it says as the text of a YAML inventory. Without `_meta.hostvars` it is asked for each host.
pub(super) fn read(path: &Utf8Path) -> Result<Source, Diagnostic> {
    read_within(path, DEADLINE)
}

pub(super) fn read_within(path: &Utf8Path, deadline: Duration) -> Result<Source, Diagnostic> {
    let script = Script {
        path,
        seconds: deadline.as_secs(),
        end: Instant::now() + deadline,
    };
    let mut listed = script.ask(&["--list"])?;
    let known = match listed.shift_remove("_meta") {
        None => None,
        Some(Value::Object(mut meta)) => match meta.shift_remove("hostvars") {
            None => None,
            Some(Value::Object(vars)) => Some(vars),
            Some(other) => return Err(script.shape("`_meta.hostvars`", "a map", &other)),
        },
        Some(other) => return Err(script.shape("`_meta`", "a map", &other)),
    };
    let mut groups = IndexMap::new();
    for (name, group) in listed {
        groups.insert(name.clone(), script.group(&name, group)?);
    }
    let mut seen = Map::new();
    let mut all = Map::new();
    for (name, group) in groups {
        let mut hosts = Map::new();
        for host in group.hosts {
            // A host's variables stand where it is named first.
            let vars = match (seen.contains_key(&host), &known) {
                (true, _) => Value::Null,
                (false, Some(known)) => known.get(&host).cloned().unwrap_or_default(),
                (false, None) => Value::Object(script.ask(&["--host", &host])?),
            };
            seen.insert(host.clone(), Value::Null);
            hosts.insert(host, vars);
        }
        let children: Map = group.children.into_iter().map(|c| (c, json!({}))).collect();
        all.insert(
            name,
            json!({ "hosts": hosts, "vars": group.vars, "children": children }),
        );
    }
    let text = serde_json::to_string_pretty(&Value::Object(all)).unwrap_or_default();
    Ok(Source::new(format!("{path}{LIST}"), text))
}

struct Script<'p> {
    path: &'p Utf8Path,
    seconds: u64,
    end: Instant,
}

#[derive(Default)]
struct Group {
    hosts: Vec<String>,
    vars: Map,
    children: Vec<String>,
}

impl Script<'_> {
    fn error(&self, what: &str) -> Diagnostic {
        Diagnostic::error(format!("the inventory script {} {what}", self.path))
    }

    fn shape(&self, part: &str, wanted: &str, found: &Value) -> Diagnostic {
        let found = match found {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::String(_) => "text",
            Value::Array(_) => "a list",
            Value::Object(_) => "a map",
        };
        let what = format!("prints {part} as {found}, and it is to be {wanted}");
        self.error(&what)
            .help("`--list` prints {\"GROUP\": {\"hosts\": [], \"vars\": {}, \"children\": []}, \"_meta\": {\"hostvars\": {}}}")
    }

    /// Returns the map that the script prints.
    fn ask(&self, arguments: &[&str]) -> Result<Map, Diagnostic> {
        // A name without a slash would be looked for in PATH.
        let path = match self.path.as_str().contains('/') {
            true => self.path.to_owned(),
            false => Utf8Path::new(".").join(self.path),
        };
        let mut command = Command::new(path);
        command
            .args(arguments)
            .stdin(Stdio::null())
            .stderr(Stdio::piped());
        let left = self.end.saturating_duration_since(Instant::now());
        let asked = arguments.join(" ");
        let output = match program::run(command, left) {
            Ok(output) => output,
            Err(Failure::Start(error)) => {
                let error = self.error(&format!("cannot be started: {error}"));
                return Err(error.help("its first line names the program that runs it; one that is no program is not executable (`chmod -x`)"));
            }
            Err(Failure::Deadline(_)) => {
                let what = format!("did not end within {} s (`{asked}`)", self.seconds);
                return Err(self.error(&what).help(
                    "run it by hand; if it is slow, write what it says into a file, and name that",
                ));
            }
        };
        if !output.success {
            let what = format!("failed: {} (`{asked}`)", output.ending);
            return Err(self.error(&what).help(said(&output)));
        }
        // For a host it may say nothing at all.
        if output.stdout.trim_ascii().is_empty() && arguments.len() > 1 {
            return Ok(Map::new());
        }
        match serde_json::from_slice(&output.stdout) {
            Ok(Value::Object(map)) => Ok(map),
            Ok(other) => Err(self.shape("all", "a map", &other)),
            // Not the text itself: what it prints may hold secrets.
            Err(error) => {
                let place = match (error.line(), error.column()) {
                    (0, _) => String::new(),
                    (line, column) => format!(" (line {line}, column {column})"),
                };
                let what = format!("prints something that is no JSON{place} (`{asked}`)");
                Err(self.error(&what).help(said(&output)))
            }
        }
    }

    /// Returns a group: a map with hosts, variables and children, or in older forms its hosts alone or the variables of the one host
    /// of that name.
    fn group(&self, name: &str, value: Value) -> Result<Group, Diagnostic> {
        let part = |section: &str| format!("`{section}` of the group `{name}`");
        let mut map = match value {
            Value::Object(map) => map,
            hosts @ Value::Array(_) => Map::from_iter([("hosts".to_owned(), hosts)]),
            other => return Err(self.shape(&format!("the group `{name}`"), "a map", &other)),
        };
        if !["hosts", "vars", "children"]
            .iter()
            .any(|s| map.contains_key(*s))
        {
            return Ok(Group {
                hosts: vec![name.to_owned()],
                vars: map,
                children: Vec::new(),
            });
        }
        let mut names = |section: &str| match map.shift_remove(section) {
            None => Ok(Vec::new()),
            Some(Value::Array(items)) => {
                let text = |item: Value| match item {
                    Value::String(text) => Ok(text),
                    other => Err(self.shape(&part(section), "a list of names", &other)),
                };
                items.into_iter().map(text).collect::<Result<Vec<_>, _>>()
            }
            Some(other) => Err(self.shape(&part(section), "a list", &other)),
        };
        let (hosts, children) = (names("hosts")?, names("children")?);
        let vars = match map.shift_remove("vars") {
            None => Map::new(),
            Some(Value::Object(vars)) => vars,
            Some(other) => return Err(self.shape(&part("vars"), "a map", &other)),
        };
        Ok(Group {
            hosts,
            vars,
            children,
        })
    }
}

/// Returns the last lines of what a script said.
fn said(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = text.lines().filter(|l| !l.trim().is_empty()).collect();
    match lines.get(lines.len().saturating_sub(LINES)..) {
        Some(last) if !last.is_empty() => format!("it said:\n{}", last.join("\n")),
        _ => "it said nothing: run it by hand".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_has_a_deadline() {
        let folder = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(folder.path().join("slow")).unwrap();
        std::fs::write(&path, "#!/bin/sh\necho '{\"g\": [\"h1\"'\nexec sleep 60\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        let start = Instant::now();
        let error = read_within(&path, Duration::from_millis(300)).unwrap_err();
        assert!(
            error.message.ends_with("did not end within 0 s (`--list`)"),
            "{error}"
        );
        assert!(start.elapsed() < Duration::from_secs(20));
    }
}
