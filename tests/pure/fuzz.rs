//! Nothing that a user can write makes a reader panic, and no place lies outside its file.

use std::collections::BTreeSet;

use proptest::prelude::*;
use quorate::cluster::spec::{ClusterSpec, connections};
use quorate::inventory::{Input, Inventory};
use quorate::model::Diagnostics;
use quorate::template::{Binding, Scope};
use serde_json::json;

fn places(diagnostics: &Diagnostics) {
    for diagnostic in diagnostics.iter() {
        if let Some(span) = &diagnostic.span {
            let text = &span.source.text;
            assert!(
                span.range.start <= span.range.end && span.range.end <= text.len(),
                "{diagnostic:?}"
            );
            assert!(text.get(span.range.clone()).is_some(), "{diagnostic:?}");
        }
    }
}

/// Pieces of which most mistakes are made.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "kube_control_plane",
        "kube_node",
        "hosts",
        "vars",
        "children",
        ":",
        ": ",
        "\n",
        "\n  ",
        "\n    ",
        "{",
        "}",
        "[",
        "]",
        ",",
        "- ",
        "a",
        "cp[1:3]",
        "&x ",
        "*x",
        "!vault ",
        "!!int ",
        "'",
        "\"",
        "|\n",
        ">-\n",
        "\t",
        "#",
        "<<: ",
        "1",
        "0x",
        "1:30",
        ".5",
        "é",
        "\u{feff}",
        "ip",
        "10.0.0.1",
        "apiserver_vip",
        "kubernetes_version",
        "1.36.3",
        "{{ ip }}",
        "{{",
        "}}",
        "{%",
        "%}",
        "---\n",
        "ansible_host",
        "kubeadm",
        "node_taints",
        "bgp_peers",
        "weight",
        "-1",
        "priority",
        "router_id",
        "load_balancer",
        "external",
        "=",
        "\\",
        " ",
        "[g]\n",
        "[g:vars]\n",
        "[all:children]\n",
        "w1 a=",
        "'\\x",
        "('",
        "1_0",
        "True",
    ]);
    prop::collection::vec(piece, 0..30).prop_map(|p| p.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn inventories(name in prop::sample::select(vec!["i.yml", "i.ini", "i"]), hosts in pieces(), vars in pieces(), extra in pieces()) {
        let input = Input::from_text(name, hosts)
            .with_group_vars("all", "all.yml", vars)
            .with_extra(extra);
        let (inventory, diagnostics) = Inventory::build(&input);
        places(&diagnostics);
        places(&ClusterSpec::build(&inventory, &BTreeSet::new()).1);
        places(&connections(&inventory).1);
    }

    #[test]
    fn variables(lines in prop::collection::vec((prop::sample::select(quorate::cluster::spec::KNOWN), pieces()), 0..4)) {
        let vars: String = lines.iter().map(|(v, text)| format!("{}: {}\n", v.name, text.replace('\n', " "))).collect();
        let input = Input::from_text("i.yml", "kube_control_plane: {hosts: {cp1: {ip: 10.0.0.1}, cp2: {ip: 10.0.0.2}}}\n")
            .with_group_vars("all", "all.yml", format!("{vars}x: 1\n"));
        let (inventory, unread) = Inventory::build(&input);
        places(&unread);
        let (spec, diagnostics) = ClusterSpec::build(&inventory, &BTreeSet::new());
        places(&diagnostics);
        // Of what stands in an unread file nothing is told to be missing.
        assert!(spec.is_some() || diagnostics.has_errors() || unread.has_errors());
        assert!(spec.is_none() || !diagnostics.has_errors());
    }

    #[test]
    fn patterns(pattern in "[a-z0-9:!&~*?\\[\\]()@,. -]{0,12}") {
        let text = "g: {hosts: {a: , b1: , b2: }}\nh: {hosts: {b1: }}\n";
        let (inventory, _) = Inventory::build(&Input::from_text("i.yml", text));
        if let Ok(hosts) = inventory.select(&pattern) {
            assert!(!hosts.is_empty());
        }
    }

    #[test]
    fn templates(text in prop::collection::vec(prop::sample::select(vec![
        "{{ ", " }}", "{% ", " %}", "x", "y.z", "if ", "for i in ", "endif", "endfor", "| ", "default(value=", "(", ")", "'", "\"", "~ ", "+ ",
        "1 ", "[", "]", "{", "}", "é", "\n", "{# ", " #}", "is ", "not ", "defined ", "lookup(", "to_json", "b64decode", "set ", "= ", ".",
    ]), 0..20)) {
        let mut scope = Scope::new();
        scope.set("x", Binding::template(json!({"a": ["{{ y }}"]}), None, []));
        scope.set("y", Binding::template(json!("{{ x }}"), None, []));
        let text = text.concat();
        let input = Input::from_text("t", text.clone());
        if let Err(diagnostic) = scope.render(&input.inventories[0]) {
            places(&Diagnostics(vec![diagnostic]));
        }
        let _ = scope.render_value(&json!(text), &|_| None);
        let _ = scope.eval_bool(&text, None);
    }
}
