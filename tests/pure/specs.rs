//! meta/argument_specs.yml: what is wrong with a variable is told before anybody is contacted.

use std::sync::Arc;

use camino::Utf8Path;
use quorate::inventory::yaml::{Schema, parse};
use quorate::model::Source;
use quorate::role::{HostRoles, Library, Registered};
use quorate::template::{Binding, Scope};
use serde_json::{Value, json};

use super::role::{AllThere, scope};
use super::simulated::Model;

const SPEC: &str = "\
argument_specs:
  main:
    short_description: all of it
    options:
      text: { type: str }
      number: { type: int, default: 3 }
      ratio: { type: float }
      flag: { type: bool }
      where: { type: path }
      level: { type: str, choices: [debug, info, warn] }
      words: { type: list, elements: str, choices: [a, b] }
      secret: { type: int, no_log: true }
      lists: { type: dict, elements: { type: list, elements: str, required: true } }
      any: { type: raw }
      plain: { description: text where nothing else is said }
      app:
        type: dict
        options:
          port: { type: int, required: true }
          hosts: { type: list, elements: dict, options: { name: { type: str, required: true } } }
";

/// Returns what is said of one role with this spec and these variables of the inventory.
fn said(spec: &str, variables: Value) -> Vec<String> {
    let texts = [
        ("tasks/main.yml", "- command: x\n"),
        ("meta/argument_specs.yml", spec),
    ];
    let (library, found) = Library::from_texts("r", texts);
    if found.has_errors() {
        return found.iter().map(ToString::to_string).collect();
    }
    let mut scope = Scope::new();
    for (name, value) in variables.as_object().cloned().unwrap_or_default() {
        scope.set(name, Binding::template(value, None, []));
    }
    let roles = HostRoles::new(vec![library.get("r").unwrap()], Arc::new(AllThere));
    let errors = roles.facts(&scope).err().unwrap_or_default();
    errors.iter().map(ToString::to_string).collect()
}

#[test]
fn values_are_what_the_spec_says() {
    let good = [
        json!({}),
        json!({"text": "x", "number": 4, "ratio": 0.5, "flag": true, "where": "/etc", "level": "info"}),
        json!({"text": 3, "number": "4", "ratio": "0.15", "flag": "no", "words": ["a"], "any": [1]}),
        json!({"text": "{{ facts.os }}", "level": "{{ facts.os }}", "number": null}),
        json!({"app": {"port": 1, "hosts": [{"name": "a"}]}}),
    ];
    for variables in good {
        assert_eq!(said(SPEC, variables.clone()), [""; 0], "{variables}");
    }
    let bad = [
        json!({"text": ["x"]}),
        json!({"number": "abc"}),
        json!({"number": 1.5}),
        json!({"number": "{{ other }}", "other": "abc"}),
        json!({"ratio": "much"}),
        json!({"flag": "maybe"}),
        json!({"where": 3}),
        json!({"level": "inof"}),
        json!({"words": "a"}),
        json!({"words": ["a", 3, ["b"]]}),
        json!({"lists": {"a": "b", "b": ["c"]}}),
        json!({"lists": {"a": null, "b": [null, ["c"]]}}),
        json!({"secret": "hunter2"}),
        json!({"plain": {}}),
        json!({"app": {"prot": 1}}),
        json!({"app": {"port": "x", "hosts": [{"name": "a"}, {"nam": "b"}]}}),
    ];
    let mut all = String::new();
    for variables in bad {
        let said = said(SPEC, variables.clone());
        assert!(!said.is_empty(), "{variables}");
        all.push_str(&format!("{variables}\n"));
        said.iter()
            .for_each(|line| all.push_str(&format!("    {line}\n")));
    }
    assert!(
        !all.replace("{\"secret\":\"hunter2\"}", "")
            .contains("hunter2")
    );
    insta::assert_snapshot!("values", all);
}

#[test]
fn a_needed_variable_is_asked_for() {
    let spec = "argument_specs: {main: {options: {port: {type: int, required: true}}}}\n";
    insta::assert_snapshot!(said(spec, json!({})).join("\n"));
    assert_eq!(said(spec, json!({"port": 1})), [""; 0]);
}

#[test]
fn mistakes_in_a_spec_are_named_with_their_place() {
    let cases = [
        "main: {}\n",
        "argument_specs: {man: {}}\n",
        "argument_specs: {main: {options: [a]}}\n",
        "argument_specs: {main: {options: {a: int}}}\n",
        "argument_specs: {main: {options: {a: {type: itn}}}}\n",
        "argument_specs: {main: {options: {a: {typ: int}}}}\n",
        "argument_specs: {main: {options: {a: {type: int, required: 3}}}}\n",
        "argument_specs: {main: {options: {a: {type: int, default: x}}}}\n",
        "argument_specs: {main: {options: {a: {choices: x}}}}\n",
        "argument_specs: {main: {options: {a: {form: wrod}}}}\n",
        "argument_specs: {main: {options: {a: {form: word, default: a b}}}}\n",
    ];
    let mut all = String::new();
    for spec in cases {
        let said = said(spec, json!({}));
        assert!(!said.is_empty(), "{spec}");
        all.push_str(spec);
        said.iter()
            .for_each(|line| all.push_str(&format!("    {line}\n")));
    }
    insta::assert_snapshot!("mistakes", all);
}

/// `-e` and INI files know text alone: what stands for a whole number or a truth is that to a built-in role, whoever wrote it, and
/// when it is needed.
#[test]
fn text_is_what_the_spec_of_a_built_in_role_has_it_for() {
    let (library, _) = Library::builtin();
    let builtin = library.get("container_runtime").unwrap();
    // An unchanged copy of it (`roles eject`) does the same.
    let folder = tempfile::tempdir().unwrap();
    let folder = Utf8Path::from_path(folder.path()).unwrap();
    for (path, file) in builtin.contents() {
        let path = folder.join("roles/container_runtime").join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &*file.source.as_ref().unwrap().text).unwrap();
    }
    let (library, found) = Library::load(folder);
    assert!(!found.has_errors(), "{found:?}");
    let copy = library.get("container_runtime").unwrap();
    assert!(copy.is_own() && builtin.is_builtin());
    for role in [builtin, copy] {
        let roles = HostRoles::new(vec![role], Arc::new(AllThere));
        text_is_a_truth_to(&roles);
    }
}

fn text_is_a_truth_to(roles: &HostRoles) {
    for flag in [
        json!("False"),
        json!("no"),
        json!("OFF"),
        json!(0),
        json!("{{ 'f' }}"),
        json!(false),
    ] {
        let mut scope = super::role::cluster();
        let binding = Binding::template(flag.clone(), None, []);
        scope.set("containerd_systemd_cgroup", binding);
        let facts = roles.facts(&scope).unwrap();
        let observed = Model::bare().observe(&facts);
        let plan = roles.plan(&scope, &observed, &Registered::default());
        let told = format!("{:?}", plan.unwrap().steps);
        assert!(told.contains("SystemdCgroup = false"), "{flag}");
    }
}

/// As in Ansible, a spec changes nothing of what a role of the user's sees.
#[test]
fn a_users_role_sees_what_was_written() {
    let spec = "argument_specs: {main: {options: {flag: {type: bool}, vlan: {type: int}, one: {type: bool}}}}\n";
    let texts = [
        (
            "tasks/main.yml",
            "- copy: {dest: /x, content: '{{ flag }} {{ vlan }} {{ one }}'}\n",
        ),
        ("meta/argument_specs.yml", spec),
    ];
    let (library, found) = Library::from_texts("r", texts);
    assert!(!found.has_errors(), "{found:?}");
    let roles = HostRoles::new(vec![library.get("r").unwrap()], Arc::new(AllThere));
    let scope = super::role::scope(json!({"flag": "no", "vlan": "007", "one": 1}));
    let observed = Model::bare().observe(&roles.facts(&scope).unwrap());
    let plan = roles.plan(&scope, &observed, &Registered::default());
    let told = format!("{:?}", plan.unwrap().steps);
    assert!(told.contains("after: \"no 007 1\""), "{told}");
}

/// A line without a value in a program's configuration is nobody's wish.
#[test]
fn null_is_no_value_of_a_built_in_role() {
    let (library, _) = Library::builtin();
    let role = library.get("container_runtime").unwrap();
    let roles = HostRoles::new(vec![role], Arc::new(AllThere));
    let mut scope = super::role::cluster();
    scope.set(
        "containerd_systemd_cgroup",
        Binding::template(Value::Null, None, []),
    );
    let errors = roles.facts(&scope).unwrap_err();
    let said = errors.iter().map(ToString::to_string).collect::<String>();
    assert!(
        said.contains("`containerd_systemd_cgroup` takes true or false, not null (leave it out for the default)"),
        "{said}"
    );
}

/// The built-in roles' specs name each default once, with the value that it has.
#[test]
fn every_default_of_a_built_in_role_has_a_spec() {
    let (library, found) = Library::builtin();
    assert!(!found.has_errors(), "{found:?}");
    for role in library.iter() {
        let read = |wanted: &str| -> Value {
            let file = role.contents().find(|(path, _)| *path == wanted);
            let source: Arc<Source> = match file.and_then(|(_, f)| f.source.clone()) {
                Some(source) => source,
                None => return json!({}),
            };
            parse(&source, Schema::Core)
                .0
                .map_or(json!({}), |n| n.to_value())
        };
        let defaults = read("defaults/main.yml");
        let options = read("meta/argument_specs.yml")["argument_specs"]["main"]["options"].clone();
        let options = options.as_object().cloned().unwrap_or_default();
        let defaults = defaults.as_object().cloned().unwrap_or_default();
        let names: Vec<&String> = defaults.keys().collect();
        assert_eq!(options.keys().collect::<Vec<_>>(), names, "{}", role.name);
        for (name, option) in options {
            if let Some(default) = option.get("default") {
                assert_eq!(*default, defaults[&name], "{} {name}", role.name);
            }
        }
    }
}

#[test]
fn dependencies_are_refused_and_a_circle_is_told() {
    let said = |meta: &str| {
        let texts = [
            ("tasks/main.yml", "- command: x\n"),
            ("meta/main.yml", meta),
        ];
        let (_, found) = Library::from_texts("r", texts);
        found
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join("\n")
    };
    assert_eq!(said("dependencies: []\n"), "");
    let all = [
        said("dependencies: [other, {role: more}]\n"),
        said("dependencies: [r]\n"),
    ];
    insta::assert_snapshot!("dependencies", all.join("\n"));
    let bed = tempfile::tempdir().unwrap();
    let folder = camino::Utf8Path::from_path(bed.path()).unwrap();
    for (role, needs) in [("a", "b"), ("b", "{role: c}"), ("c", "a"), ("d", "a")] {
        for (file, text) in [
            ("tasks/main.yml", "- command: x\n".to_string()),
            ("meta/main.yml", format!("dependencies: [{needs}]\n")),
        ] {
            let path = folder.join("roles").join(role).join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
    }
    let (_, found) = Library::load(folder);
    let messages: Vec<&str> = found.iter().map(|d| d.message.as_str()).collect();
    assert_eq!(
        messages,
        [
            "the role `a` needs itself: a → b → c → a",
            "the role `b` needs itself: b → c → a → b",
            "the role `c` needs itself: c → a → b → c",
            "the role `d` wants the role `a` before it: roles have no `dependencies` here",
        ]
    );
}

/// What hangs on facts is looked at once they are there, and before anything is made of it.
#[test]
fn a_value_of_facts_is_looked_at_when_they_are_known() {
    let plan = |port: &str| {
        let port = format!("port: \"{{{{ {port} }}}}\"\n");
        let specs =
            "argument_specs:\n  main:\n    options:\n      port: {type: int, maximum: 99}\n";
        let texts = [
            ("tasks/main.yml", "- command: echo {{ port }}\n"),
            ("defaults/main.yml", port.as_str()),
            ("meta/argument_specs.yml", specs),
        ];
        let (library, found) = Library::from_texts("r", texts);
        assert!(!found.has_errors(), "{found:?}");
        let roles = HostRoles::new(vec![library.get("r").unwrap()], Arc::new(AllThere));
        let scope = scope(json!({}));
        let facts = roles.facts(&scope).unwrap();
        let observed = Model::bare().observe(&facts);
        let plan = roles.plan(&scope, &observed, &Registered::default());
        plan.map(|plan| plan.steps.len())
            .map_err(|found| found.0[0].message.clone())
    };
    assert_eq!(plan("facts.processors"), Ok(1));
    assert_eq!(
        plan("facts.processors ~ '; touch x'").unwrap_err(),
        "`port` takes a whole number, not the text `0; touch x`"
    );
    assert!(plan("facts.processors + 1000").is_err());
}
