//! What needs no host: the inventory, the roles and where a variable comes from, for a person and as JSON.
//!
//! `inventory list` and `inventory host` are JSON in Ansible's shape always. The others give, with `--output json`, an
//! object a line, `v` first as in the stream of events.

use color_eyre::eyre::Result;
use serde_json::json;

use super::WrongInput;
use super::project;
use super::request::{InventoryView, Request};
use super::run::{print, warn, wrong};
use crate::cluster::spec;
use crate::event::{ExitCode, VERSION, printable, tame_json};
use crate::inventory::{self, Origin, Variable};
use crate::model::{Diagnostic, MASK, Value, nearest};
use crate::report::Output;

pub(super) fn inventory(request: &Request, view: &InventoryView) -> Result<ExitCode> {
    let inventory = load(request)?;
    let text = match view {
        InventoryView::List => inventory::to_json(&inventory.to_list(&masked)),
        InventoryView::Graph if is_json(request) => {
            let groups = inventory.descendants("all").into_iter().map(|group| {
                let children: Vec<_> = group.children.iter().map(|c| c.as_str()).collect();
                let hosts: Vec<_> = group.hosts.iter().map(|h| h.as_str()).collect();
                line(json!({
                    "v": VERSION, "group": group.name.as_str(), "children": children, "hosts": hosts,
                }))
            });
            groups.collect()
        }
        InventoryView::Graph => inventory.to_graph("all").map_err(wrong)?,
        InventoryView::Host(name) => match inventory.hosts.get(name.as_str()) {
            Some(host) => inventory::to_json(&host.to_vars(&masked)),
            None => return Err(wrong(inventory.no_such_host(name)).into()),
        },
    };
    print(request, &text)?;
    Ok(ExitCode::Done)
}

/// Reads the inventory alone; warnings are printed, errors end the run.
fn load(request: &Request) -> Result<inventory::Inventory> {
    let (inventory, found) = project::inventory(request);
    if found.has_errors() {
        return Err(WrongInput(found).into());
    }
    warn(request, &found);
    Ok(inventory)
}

pub(super) fn is_json(request: &Request) -> bool {
    request.report.output == Output::Json
}

pub(super) fn line(value: Value) -> String {
    tame_json(&format!("{value}\n"))
}

/// Returns a variable's value as it may be shown.
fn masked(name: &str, variable: &Variable) -> Value {
    if spec::known::is_secret(name) {
        MASK.into()
    } else {
        variable.shown()
    }
}

pub(super) fn roles_list(request: &Request) -> Result<ExitCode> {
    let (library, found) = project::library(request);
    warn(request, &found);
    let roles = library.iter().map(|role| {
        if is_json(request) {
            line(json!({
                "v": VERSION, "role": role.name, "description": role.meta.description,
                "builtin": role.is_builtin(), "place": role.place().as_str(),
            }))
        } else {
            printable(
                &format!("{:<20} {}\n", role.name, role.meta.description),
                true,
            )
        }
    });
    print(request, &roles.collect::<String>())?;
    Ok(if found.has_errors() {
        ExitCode::Input
    } else {
        ExitCode::Done
    })
}

pub(super) fn roles_show(request: &Request, name: &str) -> Result<ExitCode> {
    let (library, _) = project::library(request);
    let role = library.get(name).map_err(wrong)?;
    let mut text = String::new();
    for (path, file) in role.contents() {
        text.push_str(&format!(
            "# {}/{path}\n{}\n",
            role.place(),
            file.source.as_ref().map_or("(binary)", |s| s.text.as_str())
        ));
    }
    // Tabs are the files' own.
    let lines = text.split('\t').map(|part| printable(part, true));
    let text = lines.collect::<Vec<_>>().join("\t");
    print(request, &text)?;
    Ok(ExitCode::Done)
}

pub(super) fn explain(request: &Request, host: &str, name: Option<&str>) -> Result<ExitCode> {
    let inventory = load(request)?;
    let Some(host) = inventory.hosts.get(host) else {
        return Err(wrong(inventory.no_such_host(host)).into());
    };
    let asked = |n: &str, name: &str| match host.vars.contains_key(name) {
        true => n == name,
        false => spec::known::stands_for(n) == Some(name),
    };
    let chosen = host
        .vars
        .iter()
        .filter(|(n, _)| name.is_none_or(|name| asked(n, name)));
    let text: String = chosen
        .map(|(variable, value)| match is_json(request) {
            true => line(explained(host, variable, value)),
            false => printable(&told(host, variable, value), true),
        })
        .collect();
    let text = match name {
        Some(name) if text.is_empty() => unset(request, host, name)?,
        _ => text,
    };
    print(request, &text)?;
    Ok(ExitCode::Done)
}

/// Returns a variable with its places for a person.
fn told(host: &inventory::Host, name: &str, variable: &Variable) -> String {
    let shown = match masked(name, variable) {
        Value::String(text) if text == MASK => text,
        value => value.to_string(),
    };
    let place = |origin: &Origin| match &origin.span {
        Some(span) => format!("{span} ({})", origin.what),
        None => origin.what.clone(),
    };
    let mut text = format!("{name} = {shown}\n");
    if let Some(own) = spec::known::stands_for(name) {
        text.push_str(&format!("  means  {own}\n"));
    }
    if let Some(why) = spec::not_read(host, name) {
        text.push_str(&format!("  not read: {why}\n"));
    }
    text.push_str(&format!("  set by {}\n", place(&variable.origin)));
    for overrode in &variable.overrode {
        text.push_str(&format!("  over   {}\n", place(overrode)));
    }
    text
}

fn explained(host: &inventory::Host, name: &str, variable: &Variable) -> Value {
    let place = |origin: &Origin| {
        let at = origin.span.as_ref().map(|span| span.line_column());
        json!({
            "what": origin.what,
            "level": origin.level,
            "file": origin.span.as_ref().map(|span| span.source.path.as_str()),
            "line": at.map(|(line, _)| line),
            "column": at.map(|(_, column)| column),
        })
    };
    json!({
        "v": VERSION, "host": host.name.as_str(), "variable": name, "value": masked(name, variable),
        "means": spec::known::stands_for(name),
        "not_read": spec::not_read(host, name),
        "set_by": place(&variable.origin),
        "over": variable.overrode.iter().map(place).collect::<Vec<_>>(),
    })
}

/// Returns what is to be said of a variable that is known and not set; one that is neither is wrong input.
fn unset(request: &Request, host: &inventory::Host, name: &str) -> Result<String> {
    let known = spec::known::find(name).ok_or_else(|| {
        let error = Diagnostic::error(format!("{} has no variable `{name}`", host.name));
        let names = spec::known::KNOWN.iter().map(|known| known.name);
        let near = nearest(name, names.chain(host.vars.keys().map(String::as_str)));
        wrong(error.help(near.map_or_else(
            || "`quorate inventory host` shows them all".into(),
            |near| format!("did you mean `{near}`?"),
        )))
    })?;
    let default = Some(known.default).filter(|default| !default.is_empty());
    Ok(if is_json(request) {
        line(json!({
            "v": VERSION, "host": host.name.as_str(), "variable": name, "value": null,
            "set_by": null, "over": [], "default": default,
        }))
    } else {
        let default = default.unwrap_or("none");
        format!("{name} is not set for {}\n  default {default}\n", host.name)
    })
}
