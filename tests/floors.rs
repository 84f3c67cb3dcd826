//! A module uses only the floors below it. This table is the architecture; an arrow that runs up fails here.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot read the source should fail"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Each module of the crate and its floor.
const FLOORS: &[(&str, u8)] = &[
    // Pure.
    ("model", 0),
    ("event", 0),
    ("vault", 0),
    ("host", 1),
    ("inventory", 1),
    ("template", 2),
    ("role", 2),
    ("plan", 2),
    ("cluster", 3),
    // IO.
    ("bounded", 0),
    ("transport", 3),
    ("engine", 4),
    ("report", 4),
    ("cli", 5),
];

/// Uses of a module on the same floor, each with its reason.
const BESIDE: &[(&str, &str, &str)] = &[
    ("event", "model", "events name hosts"),
    ("vault", "model", "keys and what they open are secrets"),
    (
        "role",
        "template",
        "arguments and files of roles are templates",
    ),
    ("role", "plan", "a role's tasks become a plan's steps"),
];

/// Modules that use less than their floor would let them, and all that they use.
const ONLY: &[(&str, &[&str])] = &[("report", &["event", "model"]), ("model", &[])];

/// Returns every Rust file below `folder`.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            found.push(path);
        }
    }
    found
}

/// Returns the modules that `text` names behind `crate::`, those in braces too; comments do not count.
fn used(text: &str) -> BTreeSet<String> {
    let code: String = text
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .collect::<Vec<_>>()
        .join("\n");
    let mut modules = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        // `my_crate::` is another word; `$crate::` in a macro is this one.
        if code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let rest = code[at + "crate::".len()..].trim_start();
        let Some(list) = rest.strip_prefix('{') else {
            modules.insert(word(rest));
            continue;
        };
        let mut depth = 1;
        let mut first = true;
        for (i, c) in list.char_indices() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 1 => first = true,
                c if first && depth == 1 && !c.is_whitespace() => {
                    modules.insert(word(&list[i..]));
                    first = false;
                }
                _ => {}
            }
            if depth == 0 {
                break;
            }
        }
    }
    modules
}

fn word(text: &str) -> String {
    text.chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect()
}

/// Returns why `from` may not use `to`.
fn objection(from: &str, to: &str, floors: &BTreeMap<&str, u8>) -> Option<String> {
    let (Some(own), Some(other)) = (floors.get(from), floors.get(to)) else {
        return Some(format!("`{from}` or `{to}` has no floor; add it to FLOORS"));
    };
    if from == to {
        return None;
    }
    if let Some((_, only)) = ONLY.iter().find(|(module, _)| *module == from) {
        return (!only.contains(&to))
            .then(|| format!("`{from}` may use {only:?} alone, not `{to}`"));
    }
    let beside = BESIDE.iter().any(|(a, b, _)| (*a, *b) == (from, to));
    (other > own || other == own && !beside)
        .then(|| format!("`{from}` (floor {own}) may not use `{to}` (floor {other})"))
}

#[test]
fn no_arrow_runs_up() {
    let floors: BTreeMap<_, _> = FLOORS.iter().copied().collect();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut objections = Vec::new();
    for file in files(&source) {
        let inside = file.strip_prefix(&source).unwrap();
        let module = word(&inside.to_string_lossy());
        if module == "lib" || module == "main" {
            continue;
        }
        for target in used(&fs::read_to_string(&file).unwrap()) {
            let objection = objection(&module, &target, &floors);
            objections.extend(objection.map(|text| format!("src/{}: {text}", inside.display())));
        }
    }
    assert!(objections.is_empty(), "\n{}\n", objections.join("\n"));
}

#[test]
fn every_form_of_use_is_seen() {
    let text = "use crate::model::HostName;\n// use crate::cli::no;\nlet x = crate::event::Event::A;\n\
                use crate::{plan, role::{a, b}, host::Mode};\npub(crate) fn f() {}\n$crate::yaml::x!()";
    let seen: Vec<_> = used(text).into_iter().collect();
    assert_eq!(seen, ["event", "host", "model", "plan", "role", "yaml"]);
}

#[test]
fn the_table_objects() {
    let floors: BTreeMap<_, _> = FLOORS.iter().copied().collect();
    for (from, to) in [
        ("cli", "engine"),
        ("engine", "transport"),
        ("event", "model"),
        ("role", "plan"),
    ] {
        assert_eq!(objection(from, to, &floors), None);
    }
    let refused = [
        ("model", "event"),
        ("plan", "role"),
        ("host", "cluster"),
        ("report", "engine"),
        ("report", "host"),
        ("engine", "report"),
        ("role", "nowhere"),
    ];
    for (from, to) in refused {
        assert!(objection(from, to, &floors).is_some(), "{from} -> {to}");
    }
}
