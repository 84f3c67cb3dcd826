//! What a task says around its module: how a result is judged, conditions, loops and variables.

use quorate::event::Status;
use quorate::host::{Fact, Facts};
use quorate::role::{HostRoles, Registered, Selection, StepResult};

use super::modules::written;
use super::role::{effects, with};
use super::simulated::Model;

#[test]
fn a_list_of_failed_when_is_joined_with_and() {
    let tasks = "- command: ask\n  failed_when: ['result.rc > 1', '\"bad\" in result.stdout']\n";
    let (roles, scope) = with([("tasks/main.yml", tasks)]);
    let observed = Model::bare().observe(&roles.facts(&scope).unwrap());
    let none = Registered::default();
    let plan = roles.plan(&scope, &observed, &none).unwrap();
    for (rc, stdout, failed) in [(2, "bad", true), (2, "good", false), (1, "bad", false)] {
        let result = StepResult {
            changed: true,
            rc,
            stdout: stdout.into(),
        };
        let judged = roles.judge(&scope, &observed, &none, &plan.steps[0], &result);
        assert_eq!(judged.unwrap() == Status::Failed, failed, "{rc} {stdout}");
    }
}

#[test]
fn results_end_the_wave_and_are_judged() {
    let tasks = "- command: ask\n  register: said\n  changed_when: '\"new\" in said.stdout'\n  failed_when: said.rc > 1\n  notify: h\n\
                 - copy: {dest: /etc/x, content: '{{ said.stdout }}'}\n  when: said.rc == 0\n";
    let handlers = "- name: h\n  command: handle\n";
    let (roles, scope) = with([("tasks/main.yml", tasks), ("handlers/main.yml", handlers)]);
    let observed = Model::bare().observe(&roles.facts(&scope).unwrap());
    let none = Registered::default();
    let first = roles.plan(&scope, &observed, &none).unwrap();
    assert!(first.more && first.steps.len() == 1 && first.handlers.is_empty());
    assert_eq!(first.known_after_apply, ["r : copy (task 2)"]);
    let step = &first.steps[0];
    assert!(step.tolerant && step.notify.is_empty() && step.register.as_deref() == Some("said"));
    let result = |rc: i32, stdout: &str| StepResult {
        changed: true,
        rc,
        stdout: stdout.into(),
    };
    for (rc, stdout, status) in [
        (0, "new\n", Status::Changed),
        (0, "old", Status::Ok),
        (1, "old", Status::Ok),
        (2, "new", Status::Failed),
    ] {
        let judged = roles
            .judge(&scope, &observed, &none, step, &result(rc, stdout))
            .unwrap();
        assert_eq!(judged, status, "{rc} {stdout}");
    }
    let mut registered = Registered::default();
    registered.record(&step.title, Status::Changed, result(0, "new\n"));
    let second = roles.plan(&scope, &observed, &registered).unwrap();
    assert_eq!(
        effects(&second),
        [
            "run true [the command changed something]",
            "write /etc/x [is absent]"
        ]
    );
    assert_eq!(second.handlers.len(), 1);
    assert!(!second.more);
    registered.record("r : command (task 1)", Status::Ok, result(1, ""));
    let other = roles.plan(&scope, &observed, &registered).unwrap();
    assert!(other.is_empty() && other.skipped == 1, "{other:?}");
}

#[test]
fn loops_conditions_and_variables() {
    let tasks = "- name: each\n  copy: {dest: '/etc/{{ item.name }}', content: '{{ text }} {{ item.n }}'}\n  loop: '{{ files }}'\n  when: [item.n > 1, facts.os == 'debian']\n  vars: {text: 'n = {{ own }}'}\n  no_log: true\n\
                 - command: 'on {{ interface }}'\n  loop: [a, a]\n  changed_when: false\n  tags: [t]\n";
    let texts = [
        ("tasks/main.yml", tasks),
        (
            "defaults/main.yml",
            "files: [{name: x, n: 1}, {name: y, n: 2}]\nown: default\nansible_user: loses\n",
        ),
        ("vars/main.yml", "own: vars\n"),
        ("meta/main.yml", "disturbs_api: true\n"),
    ];
    let (roles, mut scope) = with(texts);
    scope.set("ip", quorate::template::Binding::fixed("10.77.0.11".into()));
    scope.set("own", quorate::template::Binding::fixed("inventory".into()));
    let plan = |roles: &HostRoles| {
        let facts = roles.facts(&scope).unwrap();
        assert!(
            facts.contains(&Fact::File("/etc/y".into()))
                || !facts.contains(&Fact::File("/etc/x".into()))
        );
        roles
            .plan(
                &scope,
                &Model::bare().observe(&facts),
                &Registered::default(),
            )
            .unwrap()
    };
    let all = plan(&roles);
    let titles: Vec<&str> = all.steps.iter().map(|s| s.title.as_str()).collect();
    assert_eq!(
        titles,
        [
            "r : each (y)",
            "r : command (task 2) (a)",
            "r : command (task 2) (a) #2"
        ]
    );
    assert_eq!(all.skipped, 1);
    assert_eq!(
        written(&all).0,
        "n = vars 2",
        "a role's vars win over the inventory's"
    );
    assert!(all.steps.iter().all(|s| s.disturbs) && all.disturbs());
    assert_eq!(
        all.steps[0].planned()[0].diff.as_deref(),
        Some("(content is not shown)")
    );
    assert_eq!(effects(&all)[1], "run on eth1 [runs each time]");
    let fixed = plan(&roles.clone().fixed(["own".to_string()]));
    assert_eq!(
        written(&fixed).0,
        "n = inventory 2",
        "-e wins over a role's vars"
    );
    let chosen = plan(&roles.clone().select(Selection {
        tags: ["t".to_string()].into(),
        skip: Default::default(),
    }));
    assert_eq!(chosen.steps.len(), 2);
    assert_eq!(
        Facts::from([Fact::System]),
        roles
            .select(Selection {
                tags: ["t".to_string()].into(),
                skip: Default::default()
            })
            .facts(&scope)
            .unwrap()
    );
}
