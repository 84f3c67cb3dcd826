//! What a host's own roles say, as a digest: what a plan cannot show of them is bound by it.

use std::collections::BTreeSet;

use camino::Utf8Path;

use super::HostRoles;
use super::task::Task;
use crate::model::{Sha256, Value};
use crate::template::Scope;

/// The argument that names a file of the controller.
const SOURCE: &str = "src";

impl HostRoles {
    /// Returns a digest of what the roles say on this host: their tasks and files, the variables that they name, and the files of
    /// the controller that they send. Built-in roles are the program's.
    pub fn definition(&self, scope: &Scope) -> Sha256 {
        let mut bytes = Vec::new();
        let mut add = |part: &[u8]| {
            bytes.extend((part.len() as u64).to_le_bytes());
            bytes.extend(part);
        };
        let digest = |path: &Utf8Path| {
            self.files
                .file(path)
                .ok()
                .map(|file| file.sha256.to_string())
        };
        let mut texts: BTreeSet<&str> = BTreeSet::new();
        let mut sent: BTreeSet<String> = BTreeSet::new();
        for role in self.roles.iter().filter(|role| !role.is_builtin()) {
            add(role.name.as_bytes());
            let tasks = || role.tasks.iter().chain(&role.handlers);
            texts.extend(tasks().map(|task| task.span.source.text.as_str()));
            tasks().for_each(|task| sent.extend(sources(task, scope)));
            for (path, file) in role.contents() {
                add(path.as_bytes());
                match &file.bytes {
                    Some(bytes) => add(bytes),
                    None => add(digest(&file.path).unwrap_or_default().as_bytes()),
                }
            }
        }
        texts.into_iter().for_each(|text| add(text.as_bytes()));
        for name in self.used_names() {
            if name == "hostvars"
                && let Some(all) = scope.digest_of_hosts()
            {
                add(all.to_string().as_bytes());
            } else if let Some(Ok(value)) = scope.get(&name) {
                add(name.as_bytes());
                add(value.to_string().as_bytes());
            }
        }
        for path in &sent {
            if let Some(digest) = digest(Utf8Path::new(path)) {
                add(path.as_bytes());
                add(digest.as_bytes());
            }
        }
        Sha256::of(bytes)
    }
}

/// Returns the files outside of its role that a task may send: the one that it names, or, where that is not known before
/// something is looked at or done, whatever its loop and variables could make of it.
fn sources(task: &Task, scope: &Scope) -> Vec<String> {
    let Some(source) = task.args.get(SOURCE) else {
        return Vec::new();
    };
    let text = source.value.as_str().unwrap_or_default();
    let mut found = Vec::new();
    match scope.render_text(text, None) {
        Ok(path) => found.push(path),
        Err(_) => {
            let loops = task.items.iter().map(|items| items.to_value());
            for item in items(task, scope) {
                let scope = scope.with(task.control.var.clone(), item);
                found.extend(scope.render_text(text, None).ok());
            }
            let own = task.vars.values().map(|v| v.value.clone());
            let named = task.used_names().into_iter();
            let named = named.filter_map(|name| scope.get(&name)?.ok());
            loops
                .chain(own)
                .chain(named)
                .for_each(|value| texts(&value, &mut found));
        }
    }
    found.retain(|path| path.starts_with('/'));
    found
}

/// Returns what the task goes over, as far as it is known.
fn items(task: &Task, scope: &Scope) -> Vec<Value> {
    let Some(items) = task.items.as_ref().map(|items| items.to_value()) else {
        return Vec::new();
    };
    match scope.render_value(&items, &|_| None) {
        Ok(Value::Array(items)) => items,
        _ => Vec::new(),
    }
}

fn texts(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) => found.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| texts(item, found)),
        Value::Object(map) => map.values().for_each(|value| texts(value, found)),
        _ => {}
    }
}
