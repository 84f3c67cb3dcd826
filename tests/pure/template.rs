//! Rendering: types, scopes, mistakes.

use std::sync::Arc;

use quorate::inventory::{Input, Inventory};
use quorate::model::{Source, Span, Value};
use quorate::template::{Binding, Hosts, Scope, names_in_expression, names_in_text};
use serde_json::json;

/// Returns the scope of the one host of an inventory.
fn scope(vars: &str) -> Scope {
    let vars = vars
        .lines()
        .map(|l| format!("        {l}\n"))
        .collect::<String>();
    let text = format!("all:\n  hosts:\n    cp1:\n{vars}");
    let (inventory, diagnostics) = Inventory::build(&Input::from_text("i.yml", text));
    assert!(!diagnostics.has_errors(), "{diagnostics:?}");
    let mut scope = Scope::new();
    for (name, variable) in &inventory.hosts["cp1"].vars {
        scope.set(
            name,
            Binding::template(
                variable.value.clone(),
                variable.origin.span.clone(),
                variable.texts(),
            ),
        );
    }
    scope
}

fn file(text: &str) -> Arc<Source> {
    Arc::new(Source::new("t.j2", text))
}

fn nowhere(_: &str) -> Option<Span> {
    None
}

#[test]
fn a_lone_expression_keeps_its_type() {
    let scope = scope(
        "n: 5\nf: 1.5\nt: yes\nl: [1, {a: 2}]\nm: {z: 1, a: 2}\nnothing:\ns: '007'\nalias: '{{ l }}'\n",
    );
    let table = [
        ("{{ n }}", json!(5)),
        ("{{ n + 1 }}", json!(6)),
        ("{{ f }}", json!(1.5)),
        ("{{ t }}", json!(true)),
        ("{{- l -}}", json!([1, {"a": 2}])),
        ("{{ alias[1].a }}", json!(2)),
        ("{{ alias }}", json!([1, {"a": 2}])),
        ("{{ m }}", json!({"z": 1, "a": 2})),
        ("{{ nothing }}", json!(null)),
        ("{{ s }}", json!("007")),
        ("{{ n }} ", json!("5 ")),
        ("{{ n }}{{ n }}", json!("55")),
        ("{{ n if t else s }}", json!(5)),
        ("{{ missing | default(value=[]) }}", json!([])),
        ("{{ '}}' }}", json!("}}")),
        ("{{ [x for x in [1, 2, 3] if x > n - 4] }}", json!([2, 3])),
        ("plain", json!("plain")),
        ("{% if t %}yes{% endif %}", json!("yes")),
    ];
    for (text, expected) in table {
        assert_eq!(
            scope.render_value(&json!(text), &nowhere),
            Ok(expected),
            "{text}"
        );
    }
    let Value::Object(map) = scope.render_value(&json!("{{ m }}"), &nowhere).unwrap() else {
        panic!()
    };
    assert_eq!(
        map.keys().collect::<Vec<_>>(),
        ["z", "a"],
        "a map that is handed on keeps its order"
    );
    assert_eq!(
        scope.render_value(&json!({"a": ["{{ n }}", {"b": "x{{ n }}"}]}), &nowhere),
        Ok(json!({"a": [5, {"b": "x5"}]}))
    );
}

#[test]
fn values_are_rendered_when_they_are_needed() {
    let scope = scope(
        "host: 'h{{ n }}'\nn: 1\nurl: 'https://{{ host }}:{{ port }}'\nport: '{{ 6000 + 443 }}'\nbroken: '{{ nobody }}'\n",
    );
    assert_eq!(
        scope.render_text("{{ url }}/x", None).unwrap(),
        "https://h1:6443/x"
    );
    assert_eq!(scope.get("port"), Some(Ok(json!(6443))));
    assert_eq!(
        scope
            .render_text(
                "{{ broken | default(value=1) }}{{ broken is defined }}",
                None
            )
            .unwrap(),
        "1false"
    );
    assert_eq!(
        scope
            .render_text("{{ broken }}", None)
            .unwrap_err()
            .to_string(),
        "i.yml:8:21: the variable `nobody` is not defined (set it, as in group_vars/all.yml, or write `nobody | default(value=…)`)"
    );
    assert_eq!(scope.get("nobody"), None);
}

#[test]
fn facts_and_items_are_not_templates() {
    let scope = scope("n: 1\n").with("item", json!("{{ n }}"));
    assert_eq!(scope.render_text("{{ item }}", None).unwrap(), "{{ n }}");
}

#[test]
fn hostvars_hold_what_can_be_rendered() {
    let one = scope("ip: 10.0.0.{{ n }}\nn: 1\nbroken: '{{ nobody }}'\n");
    let two = scope("ip: 10.0.0.2\n");
    let hosts = Arc::new(Hosts::new([
        ("cp1".to_owned(), one),
        ("cp2".to_owned(), two),
    ]));
    let scope = hosts.get("cp2").unwrap().clone().with_hosts(hosts.clone());
    assert_eq!(
        scope
            .render_text(
                "{% for h in ['cp1', 'cp2'] %}{{ hostvars[h].ip }} {% endfor %}",
                None
            )
            .unwrap(),
        "10.0.0.1 10.0.0.2 "
    );
    let error = scope
        .render_text("{{ hostvars['cp1'].broken }}", None)
        .unwrap_err();
    assert_eq!(error.message, "`broken` is not defined");
}

#[test]
fn filters() {
    let scope = scope("s: \"it's\"\nm: {b: [1, 'no'], a: '1.30'}\nl: [{ip: a}, {ip: b}]\n");
    let table = [
        ("{{ 'a b' | b64encode }}", "YSBi"),
        ("{{ 'YSBi' | b64decode }}", "a b"),
        (
            "{{ '' | sha256 }}",
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        ),
        ("{{ s | quote }}", r#"'it'"'"'s'"#),
        (
            "{{ 'plain' | quote }}{{ 5 | quote }}{{ '' | quote }}",
            "plain5''",
        ),
        ("{{ m | to_json }}", r#"{"b":[1,"no"],"a":"1.30"}"#),
        ("{{ m | to_nice_yaml }}", "b:\n- 1\n- \"no\"\na: \"1.30\"\n"),
        ("{{ l | map(attribute='ip') | join(sep=',') }}", "a,b"),
        (
            "{{ '/etc/x/y.conf' | basename }} {{ '/etc/x/y.conf' | dirname }}",
            "y.conf /etc/x",
        ),
    ];
    for (text, expected) in table {
        assert_eq!(
            scope.render_text(text, None).as_deref(),
            Ok(expected),
            "{text}"
        );
    }
}

#[test]
fn maps_are_written_in_one_order() {
    let scope = scope("m: {c: 1, a: 2, b: 3, e: 4, d: 5}\n");
    let text = "{% for e in m | dict2items %}{{ e.key }}={{ e.value }} {% endfor %}";
    let first = scope.render_text(text, None).unwrap();
    assert!(
        ["a=2 b=3 c=1 d=5 e=4 ", "c=1 a=2 b=3 e=4 d=5 "].contains(&first.as_str()),
        "{first}"
    );
    // What ends a tag is not what begins it; a property test found that.
    assert!(scope.render_text("{%}", None).is_err());
    // A loop over the map itself is either in the text's order or refused.
    match scope.render_text("{% for k, v in m %}{{ k }}={{ v }} {% endfor %}", None) {
        Ok(text) => assert_eq!(text, "c=1 a=2 b=3 e=4 d=5 "),
        Err(error) => assert!(
            error
                .message
                .ends_with("the order of a map's entries is not fixed")
        ),
    }
}

/// Variables that are made of one another double with each step: an end is made of that before the memory is gone.
#[test]
fn what_grows_without_end_is_refused() {
    for doubled in [
        "'{{ A }}{{ A }}'",
        "'{{ A ~ A }}'",
        "['{{ A }}', '{{ A }}']",
        "'{{ [A, A] }}'",
        "{a: '{{ A }}', b: '{{ A }}'}",
    ] {
        let steps = (0..40).map(|n| {
            let step = doubled.replace('A', &format!("a{n}"));
            format!("a{}: {step}\n", n + 1)
        });
        let scope = scope(&format!("a0: xx\n{}", steps.collect::<String>()));
        let error = scope.get("a40").unwrap().unwrap_err();
        assert!(
            error.message.contains("it gives more than 16 MiB"),
            "{doubled}: {error}"
        );
        assert!(scope.get("a10").unwrap().is_ok(), "{doubled}");
    }
}

#[test]
fn conditions() {
    let scope = scope("t: true\nn: 3\nl: []\ns: 'yes'\n");
    let table: [(&str, Result<bool, &str>); 16] = [
        ("t", Ok(true)),
        ("not t", Ok(false)),
        ("n > 2 and t", Ok(true)),
        ("s == 'yes'", Ok(true)),
        ("'a' in l", Ok(false)),
        ("x is defined", Ok(false)),
        ("x is not defined", Ok(true)),
        ("x is defined and x.y", Ok(false)),
        ("x | default(value=true)", Ok(true)),
        ("true", Ok(true)),
        ("x", Err("the variable `x` is not defined")),
        ("not x", Err("the variable `x` is not defined")),
        ("x or t", Err("the variable `x` is not defined")),
        (
            "s",
            Err("the condition gives the text `yes`, not a boolean"),
        ),
        ("n", Err("the condition gives `3`, not a boolean")),
        (
            "{{ t }}",
            Err("a condition is an expression already, without braces"),
        ),
    ];
    for (text, expected) in table {
        assert_eq!(
            scope.eval_bool(text, None).map_err(|d| d.message),
            expected.map_err(str::to_owned),
            "{text}"
        );
    }
}

#[test]
fn mistakes_are_named_with_their_place() {
    let scope = scope(
        "apiserver_vip: 10.0.0.1\nm: {first: 1}\na: '{{ b }}'\nb: '{{ a }}'\nl: [1]\nfolded: |\n  one\n  two {{ nobody }}\n",
    );
    let report: String = [
        "line\n  {{ apiserver_vpi }}\n",
        "{{ m.frist }}",
        "{{ m.other }}",
        "{{ a }}",
        "{{ folded }}",
        "{{ m.first",
        "{{ s | default('x') }}",
        "{{ l | join(',') }}",
        "{{ s | bool }}",
        "{{ lookup('env', 'HOME') }}",
        "{{ 'a' + 'b' }}",
        "{% for k, v in m.items() %}{% endfor %}",
        "{% macro x() %}{% endmacro %}",
        "{{ l is sequence }}",
        "{{ l | selectattr('x') }}",
        "{{ '%s' | format(l) }}",
        "{{ 'x' | b64decode }}",
        "{{ range(3) }}",
        "{{ l | map(attribute='x') }}",
        "{{ nothing_like_it }}",
        "{% if l %}",
        "{% include 'x' %}",
        "{%- include x -%}",
        "{% include 'text' %}",
        "{% extends 'x' %}{{ l }}",
        "a {% extends 'x' %}",
        "{% from 'x' import y with context %}",
        "{% raw %}{% include 'x' %}{% endraw %}{{ l | nothing_like_it }}",
        "{{ throw(message='no') }}",
        "{{ l.0 }}",
        "ä {{ 1 + m.first.1.0 | str }}",
        "{{ 5 | sha256 }}",
        "{{ l | upper }}",
        "{{ true | upper }}",
        "{{ 'x' | round }}",
        "{{ m | upper }}",
        "{{ 'x' | abs }}",
        "{{ l + m }}",
        "{% for x in 5 %}{% endfor %}",
        "{{ {'a': {'b': l}} | to_json }}",
        "{{ {'a': '{'}}",
        "{{ [1, '{' }}",
    ]
    .map(|text| format!("{text}\n  {}\n", scope.render(&file(text)).unwrap_err()))
    .concat();
    insta::assert_snapshot!(report);
}

#[test]
fn names_are_those_from_outside() {
    let names = |text| {
        names_in_text(text)
            .into_iter()
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(
        names("{% for x in list %}{{ x }}{{ y.z }}{% endfor %}{% set q = 1 %}{{ q }}"),
        "list y"
    );
    assert_eq!(names("no template: y"), "");
    assert_eq!(names("{{ broken"), "");
    assert_eq!(
        names_in_expression("a.b > 1 and 'c' in d")
            .into_iter()
            .collect::<Vec<_>>(),
        ["a", "d"]
    );
}
