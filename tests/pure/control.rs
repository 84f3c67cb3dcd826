//! What steers a role's own course: assert, fail, debug, set_fact, include_vars, meta, loop_control and listen.

use quorate::event::Status;
use quorate::host::{Effect, Fact};
use quorate::model::Masks;
use quorate::plan::HostPlan;
use quorate::role::{HostRoles, Registered, StepResult};
use quorate::template::{Binding, Scope};
use serde_json::json;

use super::role::{mistakes, only, with};
use super::simulated::Model;

fn plan(roles: &HostRoles, scope: &Scope, registered: &Registered) -> Result<HostPlan, String> {
    let text =
        |e: quorate::model::Diagnostics| -> String { e.iter().map(|d| format!("{d}\n")).collect() };
    let facts = roles.facts(scope).map_err(text)?;
    let observed = Model::bare().observe(&facts);
    roles.plan(scope, &observed, registered).map_err(text)
}

fn first(tasks: &str) -> Result<HostPlan, String> {
    let (roles, scope) = only(tasks);
    plan(&roles, &scope, &Registered::default())
}

fn commands(plan: &HostPlan) -> Vec<String> {
    let effects = plan.steps.iter().flat_map(|s| &s.changes);
    effects
        .map(|c| match &c.effect {
            Effect::Run(run) => run.argv.join(" "),
            other => other.describe(),
        })
        .collect()
}

fn notes(plan: &HostPlan) -> Vec<String> {
    let notes = plan.notes.iter();
    notes
        .map(|note| format!("{}: {}", note.title.trim_start_matches("r : "), note.text))
        .collect()
}

#[test]
fn assert_and_fail_refuse_before_anything_is_changed() {
    // Tasks, and what the host's plan is refused with; an empty text where it is not.
    let cases = [
        ("- assert: {that: facts.os == 'debian'}", ""),
        (
            "- assert: {that: [facts.os == 'debian', facts.memory_mib > 4000000]}",
            "`facts.memory_mib > 4000000` does not hold",
        ),
        (
            "- assert: {that: facts.os == 'x', fail_msg: 'needs x, not {{ facts.os }}'}",
            "needs x, not debian",
        ),
        ("- assert: {that: facts.os == 'x', msg: short}", "short"),
        ("- assert: {that: facts.os == 'x'}\n  when: false", ""),
        ("- assert: {that: '{{ facts.os == \"debian\" }}'}", ""),
        (
            "- fail: {msg: 'no {{ facts.os }}'}\n  when: facts.os == 'debian'",
            "no debian",
        ),
        ("- fail: {msg: x}\n  when: facts.os != 'debian'", ""),
        (
            "- command: before\n- fail: {msg: behind a command}",
            "behind a command",
        ),
    ];
    for (tasks, expected) in cases {
        match first(tasks) {
            Ok(_) => assert_eq!(expected, "", "{tasks}"),
            Err(said) => assert!(
                !expected.is_empty() && said.contains(expected),
                "{tasks}: {said}"
            ),
        }
    }
    // Before a host was asked nobody knows.
    let (roles, scope) = only(
        "- assert: {that: facts.os == 'x'}\n- assert: {that: 'facts.addresses[0].prefix == 24'}\n- fail: {msg: y}\n",
    );
    assert!(roles.facts(&scope).is_ok());
}

#[test]
fn a_failure_by_hand_inside_a_block_is_rescued() {
    let tasks = "- block:\n    - {name: a, command: a}\n    - {name: no, fail: {msg: \"it's not so\"}}\n    - {name: b, command: b}\n  rescue: [{name: m, command: 'm {{ ansible_failed_task.name }}'}]\n";
    let (roles, scope) = only(tasks);
    let mut registered = Registered::default();
    let one = plan(&roles, &scope, &registered).unwrap();
    assert_eq!(commands(&one), ["a", "fail: it's not so", "b"]);
    registered.record("r : a", Status::Changed, StepResult::default());
    registered.record("r : no", Status::Failed, StepResult::default());
    assert_eq!(
        commands(&plan(&roles, &scope, &registered).unwrap()),
        ["m no"]
    );
    for kind in super::sandbox::SHELLS {
        let sandbox = super::sandbox::Sandbox::new(kind);
        let (end, status, said) = sandbox.one(Effect::Fail("it's not so".into()));
        assert_eq!(
            (end, status, said.as_str()),
            (quorate::host::record::End::Failed, 1, "it's not so\n")
        );
    }
}

#[test]
fn debug_says_something_and_changes_nothing() {
    let tasks = "- {name: a, debug: {msg: 'on {{ facts.os }}'}}\n\
                 - {name: b, debug: {var: facts.processors + 1}}\n\
                 - {name: c, debug: {msg: [1, x]}, loop: [p, q]}\n\
                 - {name: d, debug: {msg: secret}, no_log: true}\n\
                 - {name: e, debug: {msg: never}, when: false}\n\
                 - {name: f, assert: {that: true, success_msg: good}}\n";
    let plan = first(tasks).unwrap();
    assert!(plan.is_empty(), "{plan:?}");
    let expected = [
        "a: on debian",
        "b: facts.processors + 1 = 1",
        "c (p): [1,\"x\"]",
        "c (q): [1,\"x\"]",
        "d: (not shown: no_log)",
        "f: good",
    ];
    assert_eq!(notes(&plan), expected);
    let mut plan = plan;
    plan.mask(&[("auth_pass".into(), "debian".into())], &Masks::default());
    assert_eq!(notes(&plan)[0], "a: on ***");
}

#[test]
fn set_fact_holds_for_what_comes_behind() {
    let tasks = "- command: 'before {{ word }}'\n\
                 - set_fact: {word: 'set on {{ facts.os }}', number: '{{ 1 + 1 }}'}\n\
                 - command: 'behind {{ word }} {{ number * 2 }}'\n  vars: {word: loses}\n\
                 - set_fact: {list: '{{ list }}{{ item }}'}\n  loop: [a, b]\n\
                 - command: 'all {{ list }}'\n\
                 - set_fact: {word: never}\n  when: facts.os == 'x'\n\
                 - command: 'last {{ word }}'\n";
    let (roles, scope) = with([
        ("tasks/main.yml", tasks),
        ("vars/main.yml", "word: a var\nlist: l\n"),
    ]);
    let all = plan(&roles, &scope, &Registered::default()).unwrap();
    let expected = [
        "before a var",
        "behind set on debian 4",
        "all lab",
        "last set on debian",
    ];
    assert_eq!(commands(&all), expected);
    // -e wins over it, as over everything.
    let mut scope = scope;
    scope.set("word", Binding::fixed(json!("extra")));
    let fixed = roles.fixed(["word".to_string()]);
    let all = plan(&fixed, &scope, &Registered::default()).unwrap();
    assert_eq!(commands(&all)[1], "behind extra 4");
}

#[test]
fn set_fact_of_a_result_waits_for_it() {
    let tasks = "- {name: ask, command: ask, register: said}\n- set_fact: {number: '{{ said.stdout | int }}'}\n- file: {path: '/etc/{{ number + 1 }}', state: touch}\n";
    let (roles, scope) = only(tasks);
    let mut registered = Registered::default();
    let one = plan(&roles, &scope, &registered).unwrap();
    assert!(one.more && commands(&one) == ["ask"]);
    let result = StepResult {
        changed: true,
        rc: 0,
        stdout: "41\n".into(),
    };
    registered.record("r : ask", Status::Changed, result);
    let two = plan(&roles, &scope, &registered).unwrap();
    // Nobody could ask for that path before.
    let effect = &two.steps[0].changes[0].effect;
    assert_eq!(effect.describe(), "write /etc/42");
    assert_eq!(
        effect.guard().as_deref(),
        Some("unless something lies there by then")
    );
}

#[test]
fn include_vars_reads_what_the_host_needs() {
    let tasks = "- include_vars: '{{ facts.os }}.yml'\n\
                 - package: {name: '{{ daemon }}'}\n\
                 - include_vars: {file: vars/more.yml, name: more}\n\
                 - command: 'x {{ more.a }} {{ more.b }}'\n";
    let texts = [
        ("tasks/main.yml", tasks),
        ("vars/debian.yml", "daemon: 'd-{{ kind }}'\nkind: deb\n"),
        ("vars/fedora.yml", "daemon: rpm-d\n"),
        ("vars/more.yml", "a: 1\nb: '{{ a + 1 }}'\n"),
    ];
    let (roles, scope) = with(texts);
    let all = plan(&roles, &scope, &Registered::default()).unwrap();
    assert_eq!(commands(&all), ["install d-deb", "x 1 2"]);
    // What only the host's own facts say is asked when they are known.
    let first = roles.facts(&scope).unwrap();
    let observed = Model::bare().observe(&first);
    let all = roles
        .facts_of(&scope, &observed.system, &Registered::default())
        .unwrap();
    let asked: Vec<_> = all.difference(&first).collect();
    assert_eq!(asked, [&Fact::Package("d-deb".into())]);
}

#[test]
fn loop_control_names_things() {
    let tasks = "- name: each\n  command: 'x {{ i }} {{ thing.a }} {{ word }}'\n  loop: [{a: 1, b: long}, {a: 2, b: longer}]\n  loop_control: {loop_var: thing, index_var: i, label: 'number {{ thing.a }}'}\n  vars: {word: 'w{{ thing.a }}'}\n  register: said\n";
    let plan = first(tasks).unwrap();
    let titles: Vec<&str> = plan.steps.iter().map(|s| s.title.as_str()).collect();
    assert_eq!(titles, ["r : each (number 1)", "r : each (number 2)"]);
    assert_eq!(commands(&plan), ["x 0 1 w1", "x 1 2 w2"]);
}

const HANDLERS: &str = "- {name: one, command: h1, listen: all of them}\n- {name: two, command: h2, listen: [all of them, second]}\n- {name: second, command: h3}\n";

#[test]
fn handlers_listen() {
    for (notify, expected) in [
        ("one", &["r.one"][..]),
        ("all of them", &["r.one", "r.two"]),
        ("second", &["r.two", "r.second"]),
        ("[two, all of them]", &["r.one", "r.two"]),
    ] {
        let tasks = format!("- command: x\n  notify: {notify}\n");
        let (roles, scope) = with([
            ("tasks/main.yml", tasks.as_str()),
            ("handlers/main.yml", HANDLERS),
        ]);
        let plan = plan(&roles, &scope, &Registered::default()).unwrap();
        let ids: Vec<&str> = plan.handlers.iter().map(|h| h.id.as_str()).collect();
        assert_eq!(ids, expected, "{notify}");
    }
    let tasks = "- command: x\n  notify: all of thm\n";
    let (roles, scope) = with([("tasks/main.yml", tasks), ("handlers/main.yml", HANDLERS)]);
    let said = plan(&roles, &scope, &Registered::default()).unwrap_err();
    assert!(said.contains("did you mean `all of them`?"), "{said}");
}

#[test]
fn flush_handlers_ends_the_wave_where_one_waits() {
    let tasks = "- {name: a, command: a, notify: one}\n- meta: flush_handlers\n- {name: b, command: b, notify: one}\n- meta: flush_handlers\n";
    let (roles, scope) = with([("tasks/main.yml", tasks), ("handlers/main.yml", HANDLERS)]);
    let mut registered = Registered::default();
    let ran = |plan: &HostPlan| {
        let handlers = plan.handlers.iter().map(|h| h.id.clone());
        (commands(plan), handlers.collect::<Vec<_>>(), plan.more)
    };
    let strings = |words: &[&str]| words.iter().map(|w| w.to_string()).collect::<Vec<_>>();
    let one = plan(&roles, &scope, &registered).unwrap();
    assert_eq!(ran(&one), (strings(&["a"]), strings(&["r.one"]), true));
    registered.record("r : a", Status::Changed, StepResult::default());
    let two = plan(&roles, &scope, &registered).unwrap();
    assert_eq!(ran(&two), (strings(&["b"]), strings(&["r.one"]), true));
    registered.record("r : b", Status::Changed, StepResult::default());
    let three = plan(&roles, &scope, &registered).unwrap();
    assert!(three.is_empty() && !three.more, "{three:?}");
    // What an earlier run left pending runs there as well.
    let facts = roles.facts(&scope).unwrap();
    let mut model = Model::bare();
    model.pending.insert("r.two".into());
    let plan = roles
        .plan(&scope, &model.observe(&facts), &Registered::default())
        .unwrap();
    assert_eq!(
        ran(&plan),
        (strings(&["a"]), strings(&["r.one", "r.two"]), true)
    );
}

#[test]
fn mistakes_are_named_with_their_place() {
    let cases = [
        "- assert: {taht: x}",
        "- assert: {that: nothing == 1}",
        "- assert: {that: 3}",
        "- assert: {that: '1 +'}",
        "- assert: {fail_msg: x}",
        "- fail: {msg: ''}",
        "- fail: {msg: '{{ nothing }}'}",
        "- debug: {msg: a, var: b}",
        "- debug: {var: nothing}",
        "- set_fact: {cacheable: true, a: 1}",
        "- set_fact: {a-b: 1}",
        "- set_fact: {a: '{{ nothing }}'}",
        "- set_fact: x=1",
        "- include_vars: fedroa.yml",
        "- include_vars: {dir: x}",
        "- meta: end_host",
        "- meta: flush_handler",
        "- command: x\n  loop: [1]\n  loop_control: {loop_vra: y}",
        "- command: x\n  loop: [1]\n  loop_control: {loop_var: 'a b'}",
        "- command: x\n  loop: [1]\n  loop_control: item",
        "- command: '{{ item }}'\n  loop: [1]\n  loop_control: {loop_var: y}",
        "- command: x\n  listen: y",
        "- assert: {that: true}\n  changed_when: true",
        "- command: x\n  until: 3",
    ];
    let more = [("vars/fedora.yml", "a: 1\n")];
    let all = mistakes(&cases, &more, |_| Scope::new());
    insta::assert_snapshot!("mistakes", all);
}

#[test]
fn a_fact_that_a_block_asks_is_asked_once_for_all() {
    let tasks = "- set_fact: {where: /etc/app}\n- block: [{copy: {dest: '{{ where }}/a', content: x}}]\n  always: [{file: {path: '{{ where }}/b', state: absent}}]\n";
    let (roles, scope) = only(tasks);
    let facts = roles.facts(&scope).unwrap();
    for path in ["/etc/app/a", "/etc/app/b"] {
        assert!(facts.contains(&Fact::File(path.into())), "{path}");
    }
}
