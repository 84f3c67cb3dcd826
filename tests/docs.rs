//! The documentation against the program: the table of variables, the roles' variables, and links between pages.
//!
//! `UPDATE_DOCS=1 cargo test --test docs` writes the table anew.

#![expect(clippy::panic, clippy::unwrap_used, reason = "tests")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use quorate::cluster::spec::ROLE_NAMES;
use quorate::cluster::spec::known::{ALIASES, KNOWN, NOT_READ, Of, Type};
use quorate::event::ExitCode;

const BEGIN: &str = "<!-- variables: written by `UPDATE_DOCS=1 cargo test --test docs` -->\n";
const END: &str = "<!-- end of variables -->\n";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn kind(kind: Type) -> String {
    match kind {
        Type::Text => "text".into(),
        Type::Secret => "text, never shown".into(),
        Type::Bool => "true or false".into(),
        Type::Integer(low, high) => format!("{low} to {high}"),
        Type::Address => "address".into(),
        Type::Subnet => "network".into(),
        Type::Endpoint => "host:port".into(),
        Type::Enum(words) => words
            .iter()
            .map(|w| format!("`{w}`"))
            .collect::<Vec<_>>()
            .join(", "),
        Type::Version => "X.Y.Z".into(),
        Type::List => "list".into(),
        Type::Labels | Type::Map => "map".into(),
        Type::Taints => "list of taints".into(),
    }
}

fn tables() -> String {
    let mut text = String::new();
    for (of, title) in [
        (Of::Cluster, "The cluster: all its hosts agree on the value"),
        (Of::Host, "Each host by itself"),
        (Of::Connection, "How a host is reached"),
    ] {
        let _ = write!(
            text,
            "\n### {title}\n\n| variable | value | default | |\n|---|---|---|---|\n"
        );
        for v in KNOWN.iter().filter(|v| v.of == of) {
            let _ = writeln!(
                text,
                "| `{}` | {} | {} | {} |",
                v.name,
                kind(v.kind),
                v.default,
                v.doc
            );
        }
    }
    text.push_str("\nOther names that mean the same: ");
    let aliases: Vec<_> = ALIASES
        .iter()
        .map(|(alias, name)| format!("`{alias}` (`{name}`)"))
        .collect();
    let _ = write!(
        text,
        "{}.\n\nNot read, and said so:\n\n| variable | instead |\n|---|---|\n",
        aliases.join(", ")
    );
    for (name, instead) in NOT_READ {
        let _ = writeln!(text, "| `{name}` | {instead} |");
    }
    text.push('\n');
    text
}

#[test]
fn the_table_of_variables_is_the_catalogue() {
    let path = root().join("docs/inventory.md");
    let page = read(&path);
    let (head, rest) = page.split_once(BEGIN).unwrap();
    let (table, tail) = rest.split_once(END).unwrap();
    let wanted = tables();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, format!("{head}{BEGIN}{wanted}{END}{tail}")).unwrap();
        return;
    }
    assert!(
        table == wanted,
        "docs/inventory.md is not what KNOWN says: UPDATE_DOCS=1 cargo test --test docs"
    );
}

#[test]
fn every_default_of_a_built_in_role_is_on_the_roles_page() {
    let page = read("docs/roles.md");
    for role in std::fs::read_dir(root().join("roles")).unwrap() {
        let role = role.unwrap();
        let name = role.file_name().into_string().unwrap();
        assert!(
            page.contains(&format!("`{name}`")),
            "docs/roles.md does not name the role {name}"
        );
        let defaults =
            std::fs::read_to_string(role.path().join("defaults/main.yml")).unwrap_or_default();
        for line in defaults.lines().filter(|l| !l.starts_with([' ', '#', '-'])) {
            // What follows from the inventory cannot be set.
            if let Some((variable, _)) = line
                .split_once(':')
                .filter(|(name, _)| !ROLE_NAMES.contains(name))
            {
                assert!(
                    page.contains(&format!("`{variable}`")),
                    "docs/roles.md does not name {variable} of {name}"
                );
            }
        }
    }
}

#[test]
fn every_exit_code_is_explained() {
    let page = read("docs/plan-and-drift.md");
    for exit in ExitCode::PRECEDENCE {
        assert!(
            page.contains(&format!("\n| {} |", exit.code())),
            "docs/plan-and-drift.md has no row for {}",
            exit.code()
        );
    }
}

fn pages(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            pages(&path, found);
        } else if path.extension().is_some_and(|e| e == "md") {
            found.push(path);
        }
    }
}

/// Returns a heading's anchor as the usual renderers of Markdown make it.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().to_lowercase().replace(' ', "-");
    kept.chars()
        .filter(|c| c.is_alphanumeric() || "-_".contains(*c))
        .collect()
}

#[test]
fn links_between_pages_lead_somewhere() {
    let mut all = vec![
        root().join("README.md"),
        root().join("CONTRIBUTING.md"),
        root().join("SECURITY.md"),
        root().join("vagrant/README.md"),
    ];
    pages(&root().join("docs"), &mut all);
    let mut wrong = Vec::new();
    for page in all {
        let text = read(&page);
        for link in text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            if link.contains("://") || link.contains('`') || link.contains(char::is_whitespace) {
                continue;
            }
            let (path, fragment) = link.split_once('#').unwrap_or((link, ""));
            let target = if path.is_empty() {
                page.clone()
            } else {
                page.parent().unwrap().join(path)
            };
            let there = target.exists()
                && (fragment.is_empty()
                    || read(&target).lines().any(|l| {
                        l.starts_with('#') && anchor(l.trim_start_matches('#')) == fragment
                    }));
            if !there {
                wrong.push(format!(
                    "{}: {link}",
                    page.strip_prefix(root()).unwrap().display()
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Returns the commands of a text that call quorate: from the word to the line's end, continued lines joined, without
/// what the shell makes of them.
fn calls(text: &str) -> Vec<Vec<String>> {
    let joined = text.replace("\\\n", " ");
    let mut found = Vec::new();
    for line in joined
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'))
    {
        for piece in line.split([';', '{', '}', '|']) {
            let piece = piece.split('>').next().unwrap();
            let words: Vec<&str> = piece.split_whitespace().collect();
            let start = words.iter().position(|word| {
                let word = word.trim_start_matches("ExecStart=");
                word == "quorate" || word == "/usr/local/bin/quorate"
            });
            if let Some(start) = start {
                let words = words[start..]
                    .iter()
                    .map(|w| w.trim_matches('"').to_string());
                found.push(words.collect());
            }
        }
    }
    found
}

#[test]
fn examples_call_what_there_is() {
    let mut checked = 0;
    for path in [
        "docs/examples/systemd/quorate-drift.service",
        "docs/examples/systemd/drift-mail",
        "docs/examples/ci/github-actions.yml",
        "docs/examples/ci/gitlab-ci.yml",
    ] {
        for call in calls(&read(path)) {
            let read = quorate::cli::command().try_get_matches_from(&call);
            assert!(read.is_ok(), "{path}: {call:?}: {}", read.unwrap_err());
            checked += 1;
        }
    }
    assert!(checked >= 7, "{checked} calls");
    for path in ["github-actions.yml", "gitlab-ci.yml"] {
        let text = read(format!("docs/examples/ci/{path}"));
        let parsed = serde_saphyr::from_str::<serde_json::Value>(&text);
        assert!(parsed.is_ok_and(|value| value.is_object()), "{path}");
    }
}

/// Returns the names of tests in a page: `folder/file::function`.
fn named_tests(page: &str) -> Vec<(String, String)> {
    let words = page.split('`').skip(1).step_by(2);
    let named = words.filter_map(|word| word.split_once("::"));
    // Whatever the folder is called: one that is not there is a mistake in the name.
    let ours = named.filter(|(file, _)| file.contains('/'));
    ours.map(|(file, test)| (file.into(), test.into()))
        .collect()
}

/// Returns those of them that are not there.
fn missing_tests(named: Vec<(String, String)>) -> Vec<String> {
    let mut missing = Vec::new();
    for (file, test) in named {
        let path = root().join("tests").join(format!("{file}.rs"));
        let text = std::fs::read_to_string(path).unwrap_or_default();
        // An attribute stands right before it, whatever else does.
        let found = text.match_indices(&format!("fn {test}(")).any(|(at, _)| {
            let before = text[..at].trim_end().trim_end_matches("async").trim_end();
            let attributes = before.rsplit("\n\n").next().unwrap_or_default();
            attributes.contains("test]")
                || attributes.contains("test(")
                || attributes.contains("proptest!")
        });
        if !found {
            missing.push(format!("{file}::{test}"));
        }
    }
    missing
}

#[test]
fn tests_that_the_reliability_page_names_are_there() {
    let named = named_tests(&read("docs/reliability.md"));
    assert!(named.len() > 60, "{}", named.len());
    let missing = missing_tests(named);
    assert!(missing.is_empty(), "no such tests: {missing:#?}");
}

#[test]
fn a_test_that_is_named_wrongly_is_missed() {
    let page = "`pure/files::roles_beside_the_inventory_win`, `a::b`, `src/main.rs`; \
                `pure/files::nothing`, `pure/nothing::roles_beside_the_inventory_win`, \
                `nothing/files::roles_beside_the_inventory_win`";
    let missing = missing_tests(named_tests(page));
    assert_eq!(
        missing,
        [
            "pure/files::nothing",
            "pure/nothing::roles_beside_the_inventory_win",
            "nothing/files::roles_beside_the_inventory_win"
        ]
    );
}

/// systemd's own word on the units, where there is one.
#[test]
fn the_units_are_units() {
    let folder = tempfile::tempdir().unwrap();
    let mut units = Vec::new();
    for name in [
        "quorate-drift.service",
        "quorate-drift.timer",
        "quorate-drift-mail.service",
    ] {
        // What is not installed here is not what is asked.
        let text = read(format!("docs/examples/systemd/{name}"))
            .replace("/usr/local/bin/quorate", "/bin/true")
            .replace("/usr/local/lib/quorate/drift-mail", "/bin/true");
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        units.push(path);
    }
    let verify = std::process::Command::new("systemd-analyze")
        .args(["verify", "--man=no"])
        .args(&units)
        .output();
    let Ok(output) = verify else {
        // A machine without systemd cannot say.
        return;
    };
    let said = String::from_utf8_lossy(&output.stderr);
    let ours: Vec<&str> = said
        .lines()
        .filter(|line| line.contains("quorate"))
        .collect();
    assert!(output.status.success() && ours.is_empty(), "{said}");
}
