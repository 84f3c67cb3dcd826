//! site.yml: what plays make of hosts' roles, and every mistake with its place.

use std::sync::Arc;

use quorate::event::Status;
use quorate::host::{Content, Effect};
use quorate::plan::{HostPlan, Pace};
use quorate::role::site::{MEMBER, WHOLE};
use quorate::role::{HostRoles, Library, Registered, Role, Site, Stage, StepResult};
use quorate::template::Scope;
use serde_json::{Value, json};

use super::role::{AllThere, scope};
use super::simulated::Model;

/// A role with a default, a variable of its own, a handler and a template.
fn library() -> Library {
    let tasks = "- name: motd\n  copy: {dest: '/etc/{{ file }}', content: '{{ text }}'}\n  notify: told\n  tags: [motd]\n";
    let handlers = "- name: told\n  command: tell\n";
    let texts = [
        ("tasks/main.yml", tasks),
        ("handlers/main.yml", handlers),
        ("defaults/main.yml", "text: a default\n"),
        ("vars/main.yml", "file: motd\n"),
    ];
    let (library, found) = Library::from_texts("greeting", texts);
    assert!(!found.has_errors(), "{found:?}");
    library
}

fn site(text: &str) -> Site {
    let (site, found) = Site::from_text(text, &library());
    assert!(!found.has_errors(), "{found:#?}");
    site
}

fn plan(roles: Vec<Arc<Role>>, values: Value, registered: &Registered) -> HostPlan {
    let roles = HostRoles::new(roles, Arc::new(AllThere));
    let scope: Scope = scope(values);
    let facts = roles.facts(&scope).unwrap_or_else(|e| panic!("{e:#?}"));
    let observed = Model::bare().observe(&facts);
    roles.plan(&scope, &observed, registered).unwrap()
}

#[test]
fn a_play_is_roles_of_its_hosts() {
    let site = site(
        "- name: greet\n  hosts: [kube_node, 'cp*']\n  gather_facts: true\n  become: true\n  vars: {text: by the play, file: not this}\n  tags: [base, 'a, b']\n  pre_tasks: [{name: first, command: one}]\n  roles: [greeting, {role: greeting, vars: {text: by the role's entry, file: issue}, tags: more, when: 1 == 1}, {role: greeting, when: 1 == 2}]\n  tasks: [{name: second, command: two, notify: at the end}]\n  post_tasks: [{name: third, command: three}]\n  handlers: [{name: at the end, command: four}]\n",
    );
    let play = &site.plays[0];
    assert_eq!(play.name, "greet");
    assert_eq!(play.hosts.0, "kube_node,cp*");
    assert_eq!(play.stage, Stage::After);
    let roles = play.roles(2);
    let names: Vec<&str> = roles.iter().map(|r| r.name.as_str()).collect();
    assert_eq!(
        names,
        ["greet", "greeting", "greeting", "greeting", "greet"]
    );
    let tags: Vec<&str> = roles[2].tags().collect();
    assert_eq!(tags, ["motd", "base", "a", "b", "more"]);
    let ready = json!({MEMBER: true, WHOLE: true, "text": "by the inventory"});
    let plan = plan(roles, ready, &Registered::default());
    let titles: Vec<&str> = plan.steps.iter().map(|s| s.title.as_str()).collect();
    assert_eq!(
        titles,
        [
            "greet : first",
            "greeting : motd",
            "greeting : motd #2",
            "greet : second",
            "greet : third"
        ]
    );
    let content = |at: usize| match &plan.steps[at].changes[0].effect {
        Effect::WriteFile(file) => (
            file.path.clone(),
            match &file.content {
                Content::Inline(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
                _ => None,
            },
        ),
        other => panic!("{other:?}"),
    };
    // The play's variables win over the inventory's and lose against the role's own; those of the entry win over both.
    let by = |path: &str, text: &str| (path.to_string(), Some(text.to_string()));
    assert_eq!(content(1), by("/etc/motd", "by the play"));
    assert_eq!(content(2), by("/etc/issue", "by the role's entry"));
    let handlers: Vec<&str> = plan.handlers.iter().map(|h| h.id.as_str()).collect();
    assert_eq!(handlers, ["greeting.told", "greet.at-the-end"]);
    assert!(plan.paces.is_empty());
}

#[test]
fn stages_wait_for_membership_and_for_the_whole() {
    let text = |stage: &str| {
        format!("- hosts: all\n  stage: {stage}\n  tasks: [{{name: t, command: x}}]\n")
    };
    // Stage; for the host of init, for another node, for a load balancer; before it is a member, as one, when all are.
    for (stage, hosts, times) in [
        ("before", [true, true, true], [1, 1, 1]),
        ("before_init", [true, false, false], [1, 1, 1]),
        ("after_init", [true, false, false], [0, 1, 1]),
        ("before_join", [false, true, false], [1, 1, 1]),
        ("after_join", [false, true, false], [0, 1, 1]),
        ("after", [true, true, true], [0, 0, 1]),
    ] {
        let site = site(&text(stage));
        let play = &site.plays[0];
        assert_eq!((play.name.as_str(), play.stage.name()), ("play 1", stage));
        let is_for = [(true, true), (true, false), (false, false)]
            .map(|(node, first)| play.stage.is_for(node, first));
        assert_eq!(is_for, hosts, "{stage}");
        let steps = [(false, false), (true, false), (true, true)].map(|(member, whole)| {
            let values = json!({MEMBER: member, WHOLE: whole});
            plan(play.roles(1), values, &Registered::default())
                .steps
                .len()
        });
        assert_eq!(steps, times, "{stage}");
    }
}

#[test]
fn how_many_hosts_at_once() {
    let pace = |keys: &str, hosts: usize| {
        let text =
            format!("- hosts: all\n  stage: before\n{keys}  tasks: [{{name: t, command: x}}]\n");
        let roles = site(&text).plays[0].roles(hosts);
        let mut paces = plan(roles, json!({}), &Registered::default()).paces;
        let pace = paces.pop();
        assert!(paces.is_empty());
        pace.map(
            |Pace {
                 batches, in_step, ..
             }| {
                assert_eq!(in_step, keys.contains('['), "{keys}");
                let batches = batches.iter().map(|batch| (batch.at_once, batch.may_fail));
                batches.collect::<Vec<_>>()
            },
        )
    };
    // Ansible's: a batch of which all have failed ends the play; else the percentage has to be exceeded.
    for (keys, hosts, expected) in [
        ("", 10, None),
        ("  serial: 1\n", 10, Some(vec![(1, 0)])),
        ("  serial: 3\n", 10, Some(vec![(3, 2)])),
        ("  serial: 30%\n", 10, Some(vec![(3, 2)])),
        ("  serial: 5%\n", 10, Some(vec![(1, 0)])),
        ("  serial: '100%'\n", 0, Some(vec![(1, 0)])),
        (
            "  serial: 4\n  max_fail_percentage: 0\n",
            10,
            Some(vec![(4, 0)]),
        ),
        (
            "  serial: 4\n  max_fail_percentage: 50\n",
            10,
            Some(vec![(4, 2)]),
        ),
        (
            "  serial: [1, 30%, 5]\n",
            10,
            Some(vec![(1, 0), (3, 2), (5, 4)]),
        ),
        (
            "  serial: [2, '100%']\n  max_fail_percentage: 50\n",
            10,
            Some(vec![(2, 1), (10, 5)]),
        ),
        ("  max_fail_percentage: 20\n", 10, Some(vec![(10, 2)])),
    ] {
        assert_eq!(pace(keys, hosts), expected, "{keys} of {hosts}");
    }
    // A play without steps holds nobody up.
    let text = "- hosts: all\n  serial: 1\n  tasks: [{name: t, command: x}]\n";
    let roles = site(text).plays[0].roles(3);
    let none = plan(
        roles,
        json!({MEMBER: false, WHOLE: false}),
        &Registered::default(),
    );
    assert!(none.paces.is_empty() && none.steps.is_empty());
}

#[test]
fn what_a_play_has_done_is_kept_where_built_in_roles_begin_anew() {
    let mut registered = Registered::default();
    for title in [
        "greet : first",
        "greet",
        "greeting : motd",
        "kube_vip : manifest",
    ] {
        registered.record(title, Status::Changed, StepResult::default());
    }
    let kept = ["greet".to_string()].into();
    registered.keep(&kept);
    assert!(registered.get("greet : first").is_some());
    for title in ["greet", "greeting : motd", "kube_vip : manifest"] {
        assert!(registered.get(title).is_none(), "{title}");
    }
}

#[test]
fn mistakes_are_named_with_their_place() {
    let cases = [
        "plays: []\n",
        "- a play\n",
        "- hosts: all\n",
        "- tasks: []\n",
        "- hosts: {a: b}\n  roles: []\n",
        "- hosts: all\n  role: greeting\n",
        "- hosts: all\n  roles: greeting\n",
        "- hosts: all\n  roles: [greting]\n",
        "- hosts: all\n  roles: [{name: greeting, text: hello}]\n",
        "- hosts: all\n  roles: [{vars: {}}]\n",
        "- hosts: all\n  roles: [{role: greeting, delegate_to: cp1}]\n",
        "- hosts: all\n  stage: after_jion\n  roles: []\n",
        "- hosts: all\n  stage: 3\n  roles: []\n",
        "- hosts: all\n  serial: 0\n  roles: []\n",
        "- hosts: all\n  serial: [1, 0, all]\n  roles: []\n",
        "- hosts: all\n  serial: []\n  roles: []\n",
        "- hosts: all\n  serial: 130%\n  roles: []\n",
        "- hosts: all\n  max_fail_percentage: often\n  roles: []\n",
        "- hosts: all\n  become: false\n  roles: []\n",
        "- hosts: all\n  strategy: free\n  roles: []\n",
        "- import_playbook: other.yml\n",
        "- hosts: all\n  vars: [a]\n  tags: {a: b}\n  roles: []\n",
        "- {name: same, hosts: all, roles: []}\n- {name: same, hosts: all, roles: []}\n",
        "- hosts: all\n  tasks:\n    - swpa: {state: absent}\n",
        "- hosts: all\n  handlers: [{command: x}]\n  tasks: []\n",
    ];
    let mut all = String::new();
    for text in cases {
        let (_, found) = Site::from_text(text, &library());
        assert!(found.has_errors(), "nothing is wrong with {text}");
        all.push_str(text);
        for finding in found.iter() {
            all.push_str(&format!("    {finding}\n"));
        }
    }
    insta::assert_snapshot!("mistakes", all);
}

#[test]
fn an_empty_file_has_no_plays() {
    for text in ["", "---\n", "# nothing yet\n", "[]\n"] {
        assert!(site(text).plays.is_empty(), "{text:?}");
    }
}
