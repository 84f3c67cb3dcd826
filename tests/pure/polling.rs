//! `until`, `retries` and `delay`: from a role's text to two shells.

use quorate::host::record::{End, WaveRecord};
use quorate::host::script::Step;
use quorate::host::{Effect, Run};
use quorate::role::Registered;
use quorate::template::Scope;

use super::role::{mistakes, only};
use super::sandbox::{SHELLS, Sandbox, step};
use super::simulated::Model;

fn run(tasks: &str) -> Run {
    let (roles, scope) = only(tasks);
    let facts = roles.facts(&scope).unwrap_or_else(|e| panic!("{e:?}"));
    let observed = Model::bare().observe(&facts);
    let plan = roles.plan(&scope, &observed, &Registered::default());
    let plan = plan.unwrap_or_else(|e| panic!("{e:?}"));
    match &plan.steps[0].changes[0].effect {
        Effect::Run(run) => run.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn how_often_and_how_long() {
    let cases = [
        ("- command: x\n  until: result.rc == 0", 3, 5),
        ("- command: x\n  retries: 7", 7, 5),
        (
            "- command: x\n  retries: '{{ n }}'\n  delay: 0\n  vars: {n: 2}",
            2,
            0,
        ),
        (
            "- command: x\n  register: r\n  until: r.stdout == word\n  delay: 1\n  vars: {word: y}",
            3,
            1,
        ),
    ];
    for (tasks, tries, delay) in cases {
        let until = run(tasks).until.unwrap();
        assert_eq!((until.tries, until.delay), (tries, delay), "{tasks}");
    }
    assert_eq!(run("- command: x").until, None);
}

#[test]
fn a_command_is_tried_until_it_says_the_word() {
    let tasks = "- shell: echo x >>/etc/tries; wc -l </etc/tries; [ \"$(wc -l </etc/tries)\" -lt 9 ]\n  register: said\n  until: said.stdout | int >= 3 and said is succeeded\n  retries: {n}\n  delay: 0\n";
    for kind in SHELLS {
        let sandbox = Sandbox::new(kind);
        let found = run(&tasks.replace("{n}", "5"));
        let caught = Step {
            capture: true,
            ..step(0, Effect::Run(found))
        };
        let outcome = sandbox.steps(vec![caught]);
        let (end, status, output) = outcome.end(0).unwrap();
        assert_eq!(
            (end, status, output.trim()),
            (End::Changed, 0, "3"),
            "{kind:?}"
        );
        let tries = |r: &&WaveRecord| matches!(r, WaveRecord::Progress { text, .. } if text.starts_with("try "));
        assert_eq!(outcome.records.iter().filter(tries).count(), 2, "{kind:?}");
        // Never: what the last try said comes back, with why it is a failure.
        let sandbox = Sandbox::new(kind);
        let (end, status, output) = sandbox.one(Effect::Run(run(&tasks.replace("{n}", "2"))));
        assert_eq!((end, status), (End::Failed, 1), "{kind:?}");
        assert!(
            output.contains("2\n") && output.contains("Tried 2 times"),
            "{kind:?} {output}"
        );
    }
}

#[test]
fn standard_input_is_there_for_each_try() {
    for kind in SHELLS {
        let sandbox = Sandbox::new(kind);
        let tasks = "- shell: {cmd: 'cat >>/etc/fed; false', stdin: 'word '}\n  until: result.rc == 0\n  retries: 3\n  delay: 0\n";
        let (end, ..) = sandbox.one(Effect::Run(run(tasks)));
        assert_eq!(end, End::Failed);
        assert_eq!(
            sandbox.read("/etc/fed").as_deref(),
            Some("word word word "),
            "{kind:?}"
        );
    }
}

#[test]
fn a_stop_is_heeded_between_two_tries() {
    for kind in SHELLS {
        let sandbox = Sandbox::new(kind);
        let tasks = "- shell: ': >/run/quorate-stop.r1; false'\n  until: result.rc == 0\n  retries: 100\n  delay: 60\n";
        let outcome = sandbox.steps(vec![step(0, Effect::Run(run(tasks)))]);
        assert!(
            outcome.records.contains(&WaveRecord::Stopped { id: 0 }),
            "{kind:?} {outcome:?}"
        );
    }
}

#[test]
fn mistakes_are_named_with_their_place() {
    let cases = [
        "- command: x\n  until: result.stderr == ''",
        "- command: x\n  until: result.rc == 0 and (result.stdout",
        "- command: x\n  until: '{{ result.rc == 0 }}'",
        "- command: x\n  register: r\n  until: result.rc == 0",
        "- command: x\n  until: [a]",
        "- command: x\n  until: result.rc == 0\n  retries: many",
        "- command: x\n  retries: 0",
        "- command: x\n  retries: 100000\n  delay: 60",
        "- copy: {dest: /etc/a, content: x}\n  until: result.rc == 0",
    ];
    let all = mistakes(&cases, &[], |_| Scope::new());
    insta::assert_snapshot!("mistakes", all);
}
