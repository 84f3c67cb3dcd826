//! Blocks: what they hand on to their tasks, and where a failure inside leads; on paper and in real shells.

use std::sync::Arc;

use quorate::event::Status;
use quorate::host::record::End;
use quorate::host::script::{Handler, Step, Wave};
use quorate::host::{Effect, Fact, Facts, Known, Run};
use quorate::plan::{HostPlan, OnFailure, wave};
use quorate::role::{Disk, HostRoles, Library, Registered, Selection, StepResult};
use quorate::template::Scope;

use super::role::{only, with};
use super::sandbox::{SHELLS, Sandbox, step};
use super::simulated::Model;

fn plan(roles: &HostRoles, scope: &Scope, registered: &Registered) -> Result<HostPlan, String> {
    let facts = roles.facts(scope).unwrap_or_else(|e| panic!("{e:?}"));
    let observed = Model::bare().observe(&facts);
    roles
        .plan(scope, &observed, registered)
        .map_err(|e| e.iter().map(ToString::to_string).collect())
}

fn titles(plan: &HostPlan) -> Vec<&str> {
    plan.steps
        .iter()
        .map(|s| s.title.trim_start_matches("r : "))
        .collect()
}

#[test]
fn tasks_have_what_their_blocks_say() {
    let tasks = "\
- name: outer
  when: facts.os == 'debian'
  tags: [a]
  vars: {x: outer, y: outer}
  become_user: nobody
  no_log: true
  block:
    - name: one
      command: 'one {{ x }} {{ y }}'
    - block:
        - name: two
          command: 'two {{ x }} {{ y }}'
          become: true
          tags: [b]
        - name: never
          command: never
          when: x == 'outer'
      vars: {x: inner}
      when: y == 'outer'
- name: three
  command: three
";
    let (roles, scope) = only(tasks);
    let all = plan(&roles, &scope, &Registered::default()).unwrap();
    assert_eq!(titles(&all), ["one", "two", "three"]);
    assert_eq!(all.skipped, 1);
    let run = |i: usize| match &all.steps[i].changes[0].effect {
        Effect::Run(run) => (run.argv.join(" "), run.user.clone()),
        other => panic!("{other:?}"),
    };
    assert_eq!(run(0), ("one outer outer".into(), Some("nobody".into())));
    assert_eq!(run(1), ("two inner outer".into(), None));
    assert_eq!(run(2), ("three".into(), None));
    assert_eq!(
        all.steps.iter().map(|s| s.secret).collect::<Vec<_>>(),
        [true, true, false]
    );
    for (tag, chosen) in [("a", &["one", "two"][..]), ("b", &["two"])] {
        let selection = Selection {
            tags: [tag.to_string()].into(),
            skip: Default::default(),
        };
        let roles = roles.clone().select(selection);
        let some = plan(&roles, &scope, &Registered::default()).unwrap();
        assert_eq!(titles(&some), chosen, "{tag}");
    }
}

#[test]
fn a_block_that_does_not_apply_leaves_all_of_it_out() {
    let tasks = "- when: false\n  block: [{command: a}]\n  rescue: [{command: b}]\n  always: [{command: c}]\n";
    let (roles, scope) = only(tasks);
    let plan = plan(&roles, &scope, &Registered::default()).unwrap();
    assert!(plan.is_empty() && plan.skipped == 2, "{plan:?}");
}

const BLOCK: &str = "\
- name: block
  block:
    - name: a
      command: a
    - name: b
      command: b
  rescue:
    - name: mend
      command: 'mend {{ ansible_failed_task.name }} {{ ansible_failed_result.rc }}'
  always:
    - name: clean
      command: clean
- name: after
  command: after
";

/// Plans, lets the steps named in `fails` fail, and plans again, as the engine does; returns each wave's steps, and why the host
/// failed at the end, if it did.
fn waves(tasks: &str, fails: &[&str]) -> (Vec<Vec<String>>, Option<String>) {
    let (roles, scope) = only(tasks);
    let mut registered = Registered::default();
    let mut waves = Vec::new();
    for _ in 0..10 {
        let plan = match plan(&roles, &scope, &registered) {
            Ok(plan) => plan,
            Err(message) => return (waves, Some(message)),
        };
        if let Some(title) = plan.lost {
            assert!(
                plan.steps.is_empty(),
                "{title} is lost, and yet: {:?}",
                plan.steps
            );
            return (waves, Some(title));
        }
        if plan.steps.is_empty() {
            break;
        }
        let mut done = Vec::new();
        let mut more = plan.more;
        for step in &plan.steps {
            let name = step.title.trim_start_matches("r : ").to_string();
            let failed = fails.contains(&name.as_str());
            let status = if failed {
                Status::Failed
            } else {
                Status::Changed
            };
            let rc = if failed { 3 } else { 0 };
            let result = StepResult {
                changed: true,
                rc,
                stdout: String::new(),
            };
            registered.record(&step.title, status, result);
            let Effect::Run(run) = &step.changes[0].effect else {
                panic!("{step:?}")
            };
            done.push(run.argv.join(" "));
            if failed && step.on_failure == OnFailure::Stop {
                waves.push(done);
                return (waves, Some(name));
            }
            if failed {
                more = true;
                break;
            }
        }
        waves.push(done);
        if !more {
            break;
        }
    }
    (waves, None)
}

/// Tasks; what fails; each wave's steps; why the host failed.
type Case<'a> = (&'a str, &'a [&'a str], &'a [&'a [&'a str]], Option<String>);

#[test]
fn a_failure_leads_to_rescue_and_always() {
    let lost = |title: &str| Some(format!("r : {title}"));
    let cases: &[Case<'_>] = &[
        (BLOCK, &[], &[&["a", "b", "clean", "after"]], None),
        (
            BLOCK,
            &["a"],
            &[&["a"], &["mend a 3", "clean", "after"]],
            None,
        ),
        (
            BLOCK,
            &["b"],
            &[&["a", "b"], &["mend b 3", "clean", "after"]],
            None,
        ),
        (
            BLOCK,
            &["b", "mend"],
            &[&["a", "b"], &["mend b 3"], &["clean"]],
            lost("mend"),
        ),
        (
            BLOCK,
            &["clean"],
            &[&["a", "b", "clean"]],
            Some("clean".into()),
        ),
        (
            BLOCK,
            &["a", "clean"],
            &[&["a"], &["mend a 3", "clean"]],
            Some("clean".into()),
        ),
        (
            BLOCK,
            &["after"],
            &[&["a", "b", "clean", "after"]],
            Some("after".into()),
        ),
        (
            "- block: [{name: a, command: a}]\n  always: [{name: c, command: c}]\n- command: after\n",
            &["a"],
            &[&["a"], &["c"]],
            lost("a"),
        ),
        (
            "- block:\n    - block: [{name: a, command: a}]\n      always: [{name: c, command: c}]\n    - command: b\n  rescue: [{name: m, command: m}]\n",
            &["a"],
            &[&["a"], &["c", "m"]],
            None,
        ),
        (
            "- block: [{name: a, command: a, loop: [1, 2]}]\n  rescue: [{name: m, command: m}]\n",
            &["a (1)"],
            &[&["a"], &["m"]],
            None,
        ),
    ];
    for (tasks, fails, expected, failed) in cases {
        let (seen, why) = waves(tasks, fails);
        assert_eq!(seen, *expected, "{tasks} {fails:?}");
        assert_eq!(why, *failed, "{tasks} {fails:?}");
    }
}

#[test]
fn a_rescue_is_no_change_of_a_plan_and_is_asked_for_all_the_same() {
    let tasks = "- block: [{command: a}]\n  rescue:\n    - copy: {dest: /etc/mended, content: x}\n      when: ansible_failed_result.rc == 2\n";
    let (roles, scope) = only(tasks);
    let facts = roles.facts(&scope).unwrap();
    assert!(facts.contains(&Fact::File("/etc/mended".into())));
    let plan = plan(&roles, &scope, &Registered::default()).unwrap();
    assert_eq!(titles(&plan), ["command (task 1)"]);
    assert!(!plan.more && plan.known_after_apply.is_empty() && plan.catches());
}

#[test]
fn what_is_not_to_be_logged_is_not_handed_to_the_rescue() {
    let tasks = "- block: [{name: a, command: a, no_log: true}]\n  rescue: [{debug: {var: ansible_failed_result.stdout}}]\n";
    let (roles, scope) = only(tasks);
    let mut registered = Registered::default();
    let result = StepResult {
        changed: true,
        rc: 2,
        stdout: "hunter2".into(),
    };
    registered.record("r : a", Status::Failed, result);
    let plan = plan(&roles, &scope, &registered).unwrap();
    assert_eq!(plan.notes[0].text, "ansible_failed_result.stdout = ");
}

#[test]
fn a_judged_failure_is_rescued_too() {
    let tasks = "- block:\n    - {name: a, command: a, register: said, failed_when: said.rc > 1}\n    - {name: b, command: b}\n  rescue: [{name: m, command: m}]\n";
    let (roles, scope) = only(tasks);
    let mut registered = Registered::default();
    let first = plan(&roles, &scope, &registered).unwrap();
    assert_eq!(titles(&first), ["a"]);
    assert_eq!(first.steps[0].on_failure, OnFailure::Rescue);
    let result = StepResult {
        changed: true,
        rc: 2,
        stdout: String::new(),
    };
    registered.record("r : a", Status::Failed, result);
    assert_eq!(titles(&plan(&roles, &scope, &registered).unwrap()), ["m"]);
}

#[test]
fn mistakes_in_blocks_are_named_with_their_place() {
    let cases = [
        "- block: []",
        "- block: 3",
        "- block: [{command: a}]\n  loop: [1]",
        "- block: [{command: a}]\n  register: x",
        "- block: [{command: a}]\n  command: b",
        "- block: [{command: a}]\n  whne: true",
        "- block: [{command: a}]\n  delegate_to: x",
        "- block: [{command: a}]\n  rescue: {command: b}",
        "- rescue: [{command: a}]",
        "- command: a\n  always: [{command: b}]",
        "- block: [{copy: {dest: /etc/a, content: x}}]\n  become: false",
        "- block: [{copy: {dest: /etc/a, content: x}}]\n  become_user: nobody",
        "- block: [{comand: a}]",
    ];
    let mut all = String::new();
    for tasks in cases {
        let (_, found) = Library::from_texts("r", [("tasks/main.yml", tasks)]);
        assert!(found.has_errors(), "nothing is wrong with {tasks}");
        all.push_str(&format!("{tasks}\n"));
        found
            .iter()
            .for_each(|d| all.push_str(&format!("    {d}\n")));
    }
    let handler = "- name: h\n  block: [{command: a}]\n";
    let texts = [
        ("tasks/main.yml", "- command: a\n"),
        ("handlers/main.yml", handler),
    ];
    let (_, found) = Library::from_texts("r", texts);
    all.push_str(&format!("handlers: {handler}    {}\n", found.0[0]));
    insta::assert_snapshot!("mistakes", all);
}

fn shell(text: &str) -> Effect {
    Effect::Run(Run::new(["/bin/sh", "-c", text]))
}

/// The wave ends behind the failure: neither steps nor handlers nor gates, but the facts. Marks stay for the next wave.
#[test]
fn a_caught_failure_ends_the_steps_and_tells_the_facts() {
    for kind in SHELLS {
        let sandbox = Sandbox::new(kind);
        let mut fed = Run::new(["/bin/sh", "-c", "cat >/etc/fed"]);
        fed.stdin = Some(quorate::host::Content::inline("never read"));
        let first = Wave {
            run: "r".into(),
            steps: vec![
                Step {
                    notify: vec!["r.h".into()],
                    ..step(0, shell("echo one >/etc/one"))
                },
                Step {
                    caught: true,
                    ..step(1, shell("echo half >/etc/two; echo sorry; exit 3"))
                },
                step(2, Effect::Run(fed)),
            ],
            handlers: vec![Handler {
                name: "r.h".into(),
                steps: vec![step(3, shell("echo ran >/etc/handled"))],
            }],
            gates: vec![step(4, shell("echo gate >/etc/gate"))],
            facts: Facts::from([Fact::System, Fact::File("/etc/two".into())]),
        };
        let outcome = sandbox.wave(&first);
        assert!(outcome.finished(), "{kind:?} {outcome:?}");
        assert_eq!(outcome.end(1).unwrap(), (End::Failed, 3, "sorry\n".into()));
        for id in [2, 3, 4] {
            assert!(outcome.end(id).is_none(), "{kind:?} {id}");
        }
        for path in ["/etc/fed", "/etc/handled", "/etc/gate"] {
            assert_eq!(sandbox.read(path), None, "{kind:?} {path}");
        }
        let told = String::from_utf8_lossy(&outcome.stdout).into_owned();
        assert!(
            told.contains("pending r.h") && told.contains("/etc/two"),
            "{kind:?} {told}"
        );
        let second = Wave {
            run: "r".into(),
            steps: vec![step(
                0,
                Effect::Remove {
                    path: "/etc/two".into(),
                },
            )],
            handlers: first.handlers.clone(),
            ..Wave::default()
        };
        let outcome = sandbox.wave(&second);
        assert_eq!(outcome.end(0).unwrap().0, End::Changed);
        assert_eq!(outcome.end(3).unwrap().0, End::Changed);
        assert!(sandbox.probe(&Facts::new()).pending.is_empty());
    }
}

/// A role from its text to two shells and back: the new configuration is refused, and the old one is put back.
#[test]
fn a_role_rescues_itself_on_a_host() {
    let tasks = "\
- name: try
  block:
    - name: the new file
      copy: {dest: /etc/app.conf, content: \"new\\n\"}
      notify: reload
    - name: it works
      command: grep -q old /etc/app.conf
  rescue:
    - name: the old file
      copy: {dest: /etc/app.conf, content: \"old\\n\"}
  always:
    - name: a note
      shell: echo '{{ ansible_failed_task.name }}' >/etc/note
      when: ansible_failed_task is defined
";
    let account = |flag: &str| {
        let output = std::process::Command::new("id").arg(flag).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_string()
    };
    let owned = format!(
        "owner: {}, group: {}, dest:",
        account("-un"),
        account("-gn")
    );
    let tasks = tasks.replace("dest:", &owned);
    for kind in SHELLS {
        let sandbox = Sandbox::new(kind);
        sandbox.write("/etc/app.conf", "older\n");
        let handlers = "- name: reload\n  shell: cat /etc/app.conf >/etc/loaded\n";
        let (roles, scope) = with([
            ("tasks/main.yml", tasks.as_str()),
            ("handlers/main.yml", handlers),
        ]);
        let facts = roles.facts(&scope).unwrap();
        let mut registered = Registered::default();
        let mut observed = sandbox.probe(&facts);
        let mut waves = Vec::new();
        loop {
            let plan = roles.plan(&scope, &observed, &registered).unwrap();
            if plan.is_empty() {
                break;
            }
            let (script, steps) = wave(&plan, "r", facts.clone());
            let outcome = sandbox.wave(&script);
            assert!(outcome.finished(), "{kind:?} {outcome:?}");
            for (id, step) in steps.iter().enumerate() {
                if let Some((end, rc, stdout)) = outcome.end(id as u32) {
                    let status = match end {
                        End::Ok => Status::Ok,
                        End::Changed => Status::Changed,
                        End::Failed => Status::Failed,
                    };
                    let changed = end == End::Changed;
                    registered.record(
                        &step.title,
                        status,
                        StepResult {
                            changed,
                            rc,
                            stdout,
                        },
                    );
                }
            }
            observed = sandbox.probe(&facts);
            waves.push(titles(&plan).join(", "));
        }
        assert_eq!(
            waves,
            ["the new file, it works", "the old file, a note"],
            "{kind:?}"
        );
        assert_eq!(sandbox.read("/etc/app.conf").as_deref(), Some("old\n"));
        assert_eq!(sandbox.read("/etc/note").as_deref(), Some("it works\n"));
        assert_eq!(sandbox.read("/etc/loaded").as_deref(), Some("old\n"));
        assert!(observed.file("/etc/app.conf").is(|state| state.is_some()));
        assert_eq!(observed.file("/etc/elsewhere"), Known::Unknown);
    }
}

/// What a plan cannot show is bound by what the tasks and their variables say.
#[test]
fn what_a_plan_does_not_show_has_a_digest() {
    let hides = |tasks: &str| {
        let (roles, scope) = only(tasks);
        plan(&roles, &scope, &Registered::default())
            .unwrap()
            .hides()
    };
    let waits = "- {name: a, command: a, register: r, changed_when: false}\n- {name: b, command: 'b {{ r.rc }}'}\n";
    let quiet = "- {name: a, command: a, changed_when: false}\n";
    let caught = "- block: [{name: a, command: a}]\n  rescue: [{name: b, command: b}]\n";
    for (tasks, expected) in [
        ("- {name: a, command: a}\n", false),
        (waits, true),
        (quiet, true),
        (caught, true),
    ] {
        assert_eq!(hides(tasks), expected, "{tasks}");
    }
    let digest = |tasks: &str, value: &str| {
        let (roles, scope) = only(tasks);
        roles.definition(&scope.with("v", value.into()))
    };
    let tasks = "- {name: a, command: 'a {{ v }}'}\n";
    assert_eq!(digest(tasks, "1"), digest(tasks, "1"));
    assert_ne!(digest(tasks, "1"), digest(tasks, "2"), "a variable");
    assert_ne!(
        digest(tasks, "1"),
        digest("- {name: a, command: 'b {{ v }}'}\n", "1"),
        "a task"
    );
}

/// What an undecided task takes of other hosts' variables is a part of it too.
#[test]
fn what_a_plan_cannot_show_is_bound_by_the_variables_of_other_hosts() {
    let digest = |template: &str, value: &str| {
        let tasks = "- {name: a, command: a, register: r, changed_when: false}\n- {name: b, template: {src: b, dest: '/opt/{{ r.stdout }}'}}\n";
        let (roles, scope) = with([("tasks/main.yml", tasks), ("templates/b.tera", template)]);
        let other = super::role::scope(serde_json::json!({ "v": value }));
        let hosts = quorate::template::Hosts::new([("other".to_owned(), other)]);
        roles.definition(&scope.with_hosts(Arc::new(hosts)))
    };
    let asks = "{{ hostvars[\"other\"].v }}";
    assert_eq!(digest(asks, "one"), digest(asks, "one"));
    assert_ne!(digest(asks, "one"), digest(asks, "other"));
    assert_eq!(digest("no", "one"), digest("no", "other"), "nobody asks");
}

/// A file of the controller that an undecided task sends is a part of what a plan is bound by.
#[test]
fn what_a_plan_cannot_show_is_bound_by_the_files_that_are_sent() {
    let folder = tempfile::tempdir().unwrap();
    let base = camino::Utf8PathBuf::from_path_buf(folder.path().into()).unwrap();
    let path = base.join("sent");
    let digest = |tasks: &str, text: &str| {
        std::fs::write(&path, text).unwrap();
        let (library, diagnostics) = Library::from_texts("r", [("tasks/main.yml", tasks)]);
        assert!(!diagnostics.has_errors(), "{diagnostics:#?}");
        let disk = Arc::new(Disk::with_cache(&base, None));
        let roles = HostRoles::new(vec![library.get("r").unwrap()], disk);
        roles.definition(&super::role::scope(serde_json::json!({ "named": path })))
    };
    let waits = "- {name: a, command: a, register: r, changed_when: false}\n";
    for copy in [
        format!("{{src: {path}, dest: /opt/a}}"),
        "{src: '{{ named }}', dest: '/opt/{{ r.stdout }}'}".to_owned(),
        format!("{{src: '{{{{ item }}}}', dest: '/opt/{{{{ r.stdout }}}}'}}\n  loop: [{path}]"),
        format!(
            "{{src: '{base}/{{{{ item }}}}', dest: '/opt/{{{{ r.stdout }}}}'}}\n  loop: [other, sent]"
        ),
        "{src: '{{ own }}{{ r.stdout }}', dest: /opt/a}\n  vars: {own: '{{ named }}'}".to_owned(),
    ] {
        let tasks = format!("{waits}- name: b\n  copy: {copy}\n");
        assert_eq!(digest(&tasks, "one"), digest(&tasks, "one"), "{tasks}");
        assert_ne!(digest(&tasks, "one"), digest(&tasks, "other"), "{tasks}");
    }
}

/// Where nothing failed the two names are not defined, as in Ansible: `default` stands in for them, also for a part of them.
#[test]
fn what_failed_is_undefined_where_nothing_did() {
    let form = "ansible_failed_task.name | default(value=\"nothing\")";
    let result = "ansible_failed_result.rc | default(value=7)";
    let tasks = format!(
        "- block: [{{name: a, command: a}}]\n  always:\n    - name: said\n      command: 'say {{{{ {form} }}}} {{{{ {result} }}}}'\n    - {{name: of some, command: c, when: ansible_failed_task is defined}}\n"
    );
    let (roles, scope) = only(&tasks);
    let words = |plan: &HostPlan| -> Vec<String> {
        let run = |s: &quorate::plan::Step| match &s.changes[0].effect {
            Effect::Run(run) => run.argv.join(" "),
            other => panic!("{other:?}"),
        };
        plan.steps.iter().map(run).collect()
    };
    let none = Registered::default();
    assert_eq!(
        words(&plan(&roles, &scope, &none).unwrap()),
        ["a", "say nothing 7"]
    );
    let mut failed = Registered::default();
    let said = StepResult {
        rc: 3,
        ..StepResult::default()
    };
    failed.record("r : a", Status::Failed, said);
    assert_eq!(
        words(&plan(&roles, &scope, &failed).unwrap()),
        ["say a 3", "c"]
    );
}

/// Two tasks of one title are told apart by a number, which stays what it is when the other one is not chosen, or not reached: by
/// it later runs know since when a task differs.
#[test]
fn a_title_s_number_stays() {
    let tasks = "\
- {name: same, command: one, tags: [a]}
- {name: same, command: two, tags: [b]}
- {name: 'of {{ n }}', command: three, tags: 'c, a', vars: {n: 1}}
- {name: 'of 1', command: four, tags: [b]}
- {name: each, command: five, tags: [a], loop: [x, y]}
- {name: each, command: six, tags: [b], loop: [y, z]}
";
    let (roles, scope) = only(tasks);
    let chosen = |tag: &str| {
        let tags = [tag.to_string()].into();
        let skip = Default::default();
        let roles = roles.clone().select(Selection { tags, skip });
        let found = plan(&roles, &scope, &Registered::default()).unwrap();
        let titles: Vec<String> = titles(&found).into_iter().map(String::from).collect();
        titles
    };
    assert_eq!(chosen("a"), ["same", "of 1", "each (x)", "each (y)"]);
    assert_eq!(
        chosen("b"),
        ["same #2", "of 1 #2", "each (y) #2", "each (z)"]
    );

    let tasks = "- block:\n    - {name: a, command: a}\n    - {name: same, command: b}\n  always: [{name: same, command: c}]\n";
    let (roles, scope) = only(tasks);
    let whole = plan(&roles, &scope, &Registered::default()).unwrap();
    assert_eq!(titles(&whole), ["a", "same", "same #2"]);
    let mut failed = Registered::default();
    failed.record("r : a", Status::Failed, StepResult::default());
    let cleaned = plan(&roles, &scope, &failed).unwrap();
    assert_eq!(titles(&cleaned), ["same #2"]);
}

/// What is not defined because of `--tags` is not to be set in the inventory.
#[test]
fn the_task_that_the_tags_left_out_is_named() {
    let tasks = "\
- {name: ask, command: one, register: said, tags: [a]}
- {name: set, set_fact: {made: 1}, tags: [c, never]}
- {name: use, copy: {dest: /a, content: '{{ said.stdout }}'}, tags: [b]}
- {name: use more, copy: {dest: /b, content: '{{ made }}'}, tags: [b]}
- {name: use nothing, copy: {dest: /b, content: '{{ nobody }}'}, tags: [b]}
";
    let (roles, scope) = only(tasks);
    let tags = ["b".to_string()].into();
    let skip = Default::default();
    let found = roles.select(Selection { tags, skip }).facts(&scope);
    let found = found.unwrap_err();
    let help: Vec<&str> = found.iter().map(|e| e.help.as_deref().unwrap()).collect();
    let left = "sets it, and the chosen tags leave that task out";
    assert!(
        help[0].starts_with(&format!("`r : ask` in line 1 {left}")),
        "{help:?}"
    );
    assert!(
        help[1].starts_with(&format!("`r : set` in line 2 {left}")),
        "{help:?}"
    );
    assert!(help[2].starts_with("set it, as in"), "{help:?}");
}
