//! The YAML loader: types, places, mistakes.

use std::sync::Arc;

use quorate::inventory::yaml::{Schema, parse};
use quorate::model::{Source, Value};
use serde_json::json;

fn source(text: &str) -> Arc<Source> {
    Arc::new(Source::new("t.yml", text))
}

fn value(text: &str, schema: Schema) -> Value {
    let (node, diagnostics) = parse(&source(text), schema);
    assert!(!diagnostics.has_errors(), "{text}: {diagnostics:?}");
    node.map_or(Value::Null, |n| n.to_value())
}

fn messages(text: &str) -> Vec<String> {
    parse(&source(text), Schema::Ansible)
        .1
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[test]
fn scalars_have_the_types_of_each_schema() {
    // text, as Ansible reads it, as YAML 1.2 has it
    let table = [
        ("no", json!(false), json!("no")),
        ("on", json!(true), json!("on")),
        ("y", json!("y"), json!("y")),
        ("true", json!(true), json!(true)),
        ("0755", json!(493), json!("0755")),
        ("0o755", json!("0o755"), json!(493)),
        ("08", json!("08"), json!("08")),
        ("0", json!(0), json!(0)),
        ("-7", json!(-7), json!(-7)),
        ("+7", json!(7), json!(7)),
        ("1_000", json!(1000), json!("1_000")),
        ("0x1F", json!(31), json!(31)),
        ("0b11", json!(3), json!("0b11")),
        ("12:30", json!(750), json!("12:30")),
        ("12:30:45", json!(45045), json!("12:30:45")),
        ("1:60", json!("1:60"), json!("1:60")),
        ("-1:30.5", json!(-90.5), json!("-1:30.5")),
        ("1.30", json!(1.3), json!(1.3)),
        ("1.36.3", json!("1.36.3"), json!("1.36.3")),
        ("10.0.0.1", json!("10.0.0.1"), json!("10.0.0.1")),
        ("1e3", json!("1e3"), json!(1000.0)),
        ("1.0e+3", json!(1000.0), json!(1000.0)),
        ("1.0e3", json!("1.0e3"), json!(1000.0)),
        (".5", json!(0.5), json!(0.5)),
        (".", json!("."), json!(".")),
        ("~", json!(null), json!(null)),
        ("'no'", json!("no"), json!("no")),
        ("\"1.30\"", json!("1.30"), json!("1.30")),
        ("!!str 1.30", json!("1.30"), json!("1.30")),
        ("2001:db8::1", json!("2001:db8::1"), json!("2001:db8::1")),
        ("2020-01-02", json!("2020-01-02"), json!("2020-01-02")),
        (
            "00:11:22:33:44:55",
            json!("00:11:22:33:44:55"),
            json!("00:11:22:33:44:55"),
        ),
    ];
    for (text, ansible, core) in table {
        assert_eq!(
            value(&format!("k: {text}\n"), Schema::Ansible)["k"],
            ansible,
            "{text}"
        );
        assert_eq!(
            value(&format!("k: {text}\n"), Schema::Core)["k"],
            core,
            "{text}"
        );
    }
}

#[test]
fn places_and_texts_survive() {
    let (node, _) = parse(&source("a:\n  b: 1.30\n  c: [x, 'y']\n"), Schema::Ansible);
    let node = node.unwrap();
    let b = node.pointer("/a/b").unwrap();
    assert_eq!(b.span.to_string(), "t.yml:2:6");
    assert_eq!(b.as_scalar().unwrap().text, "1.30");
    assert_eq!(
        node.pointer("/a/c/1").unwrap().span.to_string(),
        "t.yml:3:10"
    );
    assert_eq!(node.get("a").unwrap().key_span.to_string(), "t.yml:1:1");
    let c = node.pointer("/a/c").unwrap();
    assert_eq!(&c.span.source.text[c.span.range.clone()], "[x, 'y']");
}

#[test]
fn merge_keys_and_aliases() {
    let text =
        "base: &b {x: 1, y: 2}\nown:\n  <<: *b\n  y: 3\nboth:\n  <<: [{x: 9}, *b]\nagain: *b\n";
    assert_eq!(
        value(text, Schema::Ansible),
        json!({"base": {"x": 1, "y": 2}, "own": {"x": 1, "y": 3}, "both": {"x": 9, "y": 2}, "again": {"x": 1, "y": 2}})
    );
}

#[test]
fn mistakes_are_named_with_their_place() {
    insta::assert_debug_snapshot!(
        [
            "a: 1\nb: 2\na: 3\nb: 4\n",
            "a:\n\tb: 1\n\tc: 2\n",
            "a: {{ b }}\n",
            "a: !vault |\n  $ANSIBLE_VAULT;1.1;AES256\n  00\nb: !foo 1\n",
            "a: [1, 2\nb: 3\n",
            "a: b: c\n",
            "a: 1\n---\nb: 2\n",
            "a: *x\n",
            "a: &x [1, *x]\n",
            "a: 99999999999999999999\n",
            "<<: 3\n",
            "a: @b\n",
            "a: .inf\n",
            "a: 'open\n",
            "a:\n  b: 1\n c: 2\n",
            "[1, 2]: x\n",
        ]
        .map(|text| (text, messages(text)))
    );
}

#[test]
fn bombs_are_refused() {
    let mut text = String::from("a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n");
    for i in 1..12 {
        let items = vec![format!("*a{}", i - 1); 10].join(", ");
        text.push_str(&format!("a{i}: &a{i} [{items}]\n"));
    }
    assert!(
        messages(&text)[0].contains("more than 500000 values"),
        "{:?}",
        messages(&text)
    );
    assert!(!messages(&format!("a: {}1{}\n", "[".repeat(5000), "]".repeat(5000))).is_empty());
    assert!(
        messages(&format!("a: {}1{}\n", "[".repeat(80), "]".repeat(80)))[0]
            .contains("more than 64 deep")
    );
}

#[test]
fn empty_files_are_nothing() {
    for text in ["", "# only a comment\n", "---\n", "\u{feff}"] {
        let (node, diagnostics) = parse(&source(text), Schema::Ansible);
        assert!(
            node.is_none() && !diagnostics.has_errors(),
            "{text:?} {node:?} {diagnostics:?}"
        );
    }
}

/// tests/pure/ansible/scalars.json holds what PyYAML, Ansible's reader, makes of each text.
#[test]
fn scalars_are_those_of_pyyaml() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/pure/ansible/scalars.json"
    );
    let expected: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let mut wrong = Vec::new();
    for (text, expected) in expected.as_object().unwrap() {
        let (node, diagnostics) = parse(&source(&format!("k: {text}\n")), Schema::Ansible);
        let found = node.map_or(Value::Null, |n| n.to_value()["k"].clone());
        if found != *expected || diagnostics.has_errors() {
            wrong.push(format!("{text}: {expected} but {found} {diagnostics:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
