//! Roles beside the inventory, and what can be wrong with them.

use crate::bed::Bed;

/// Returns a folder in which the role `hosts` has these tasks.
fn bed(tasks: &str) -> Bed {
    Bed::sound().file("inventory/roles/hosts/tasks/main.yml", tasks)
}

fn refused(tasks: &str) -> String {
    bed(tasks).refused()
}

#[test]
fn an_unknown_module() {
    insta::assert_snapshot!(refused("- name: an editor\n  pakage:\n    name: vim\n"));
    insta::assert_snapshot!(
        "a_module_of_ansible",
        refused("- name: clone\n  ansible.builtin.git:\n    repo: https://example.org/x\n")
    );
}

#[test]
fn no_module_and_two() {
    insta::assert_snapshot!(refused(
        "- name: nothing\n  become: true\n- name: two\n  package: { name: vim }\n  service: { name: x }\n"
    ));
}

#[test]
fn an_unknown_argument() {
    insta::assert_snapshot!(refused("- name: an editor\n  package:\n    nam: vim\n"));
}

#[test]
fn a_missing_argument() {
    insta::assert_snapshot!(refused("- name: a file\n  copy:\n    content: x\n"));
}

#[test]
fn an_unknown_keyword() {
    insta::assert_snapshot!(refused(
        "- name: an editor\n  package: { name: vim }\n  wen: true\n"
    ));
}

#[test]
fn keywords_of_ansible_that_are_not_there() {
    for keyword in [
        "delegate_to: cp1",
        "run_once: true",
        "with_items: [1]",
        "ignore_errors: true",
        "become_user: x",
        "environment: {}",
        "async: 3",
    ] {
        let word = keyword.split(':').next().unwrap();
        insta::assert_snapshot!(
            format!("keyword_{word}"),
            refused(&format!(
                "- name: an editor\n  package: {{ name: vim }}\n  {keyword}\n"
            ))
        );
    }
}

#[test]
fn a_bad_mode() {
    insta::assert_snapshot!(refused(
        "- name: a file\n  copy: { content: x, dest: /etc/x, mode: \"9999\" }\n"
    ));
    insta::assert_snapshot!(
        "a_mode_without_quotes",
        refused("- name: a file\n  copy: { content: x, dest: /etc/x, mode: 644 }\n")
    );
}

#[test]
fn a_relative_destination() {
    insta::assert_snapshot!(refused(
        "- name: a file\n  copy: { content: x, dest: etc/x }\n"
    ));
}

#[test]
fn a_template_that_is_not_there() {
    let bed = bed("- name: a file\n  template: { src: motd.tera, dest: /etc/motd }\n")
        .file("inventory/roles/hosts/templates/mottd.tera", "x");
    insta::assert_snapshot!(bed.refused());
}

#[test]
fn a_template_with_an_undefined_variable() {
    let bed = bed("- name: a file\n  template: { src: motd.tera, dest: /etc/motd }\n").file(
        "inventory/roles/hosts/templates/motd.tera",
        "Welcome to\n{{ cluster_nam }}\n",
    );
    insta::assert_snapshot!(bed.refused());
}

#[test]
fn a_template_with_broken_syntax() {
    let bed = bed("- name: a file\n  template: { src: motd.tera, dest: /etc/motd }\n").file(
        "inventory/roles/hosts/templates/motd.tera",
        "{% if cluster_name %}\nx\n",
    );
    insta::assert_snapshot!(bed.refused());
}

#[test]
fn a_template_with_jinja() {
    let bed = bed("- name: a file\n  template: { src: motd.tera, dest: /etc/motd }\n").file(
        "inventory/roles/hosts/templates/motd.tera",
        "{{ cluster_name | default('x') }} {{ cluster_name.split('-') }}\n",
    );
    insta::assert_snapshot!(bed.refused());
}

#[test]
fn an_unknown_handler() {
    let bed = bed("- name: a file\n  copy: { content: x, dest: /etc/x }\n  notify: relod x\n")
        .file(
            "inventory/roles/hosts/handlers/main.yml",
            "- name: reload x\n  service: { name: x, state: reloaded }\n",
        );
    insta::assert_snapshot!(bed.refused());
    let far = bed.replace(
        "inventory/roles/hosts/tasks/main.yml",
        "relod x",
        "nosuchhandler",
    );
    let said = far.refused();
    assert!(said.contains("help: the handlers are `"), "{said}");
    assert!(said.contains("`reload x`"), "{said}");
    let said = refused("- name: a file\n  copy: { content: x, dest: /etc/x }\n  notify: nothing\n");
    assert!(said.contains("help: the handlers are `"), "{said}");
}

#[test]
fn a_choice_names_no_empty_word() {
    let said = refused("- name: x\n  service: { name: x, state: runs }\n");
    assert!(
        said.contains("`state` of `service` is one of `started`, `stopped`"),
        "{said}"
    );
}

#[test]
fn a_task_without_a_name() {
    // Ansible takes it as well; the module stands for it.
    assert_eq!(bed("- package: { name: vim }\n").warned(), "");
}

#[test]
fn tasks_that_are_no_list() {
    insta::assert_snapshot!(refused("name: an editor\npackage: { name: vim }\n"));
    insta::assert_snapshot!(
        "a_play_for_tasks",
        refused("- hosts: all\n  tasks:\n    - package: { name: vim }\n")
    );
}

#[test]
fn conditions() {
    insta::assert_snapshot!(refused(
        "- name: a\n  package: { name: vim }\n  when: unknown_thing\n- name: b\n  package: { name: vim }\n  when: \"{{ cluster_name }}\"\n- name: c\n  package: { name: vim }\n  when: cluster_name =\n"
    ));
    insta::assert_snapshot!(
        "facts_of_ansible",
        refused("- name: a\n  package: { name: vim }\n  when: ansible_os_family == 'Debian'\n")
    );
}

#[test]
fn a_command_with_an_open_quote() {
    insta::assert_snapshot!(refused("- name: a\n  command: echo 'a\n"));
}

#[test]
fn a_tab() {
    insta::assert_snapshot!(refused("- name: a\n\tpackage: { name: vim }\n"));
}

#[test]
fn a_role_of_another_name_is_read_too() {
    let bed = Bed::sound().file(
        "inventory/roles/mine/tasks/main.yml",
        "- name: an editor\n  pakage:\n    name: vim\n",
    );
    insta::assert_snapshot!(bed.refused());
}

#[test]
fn an_empty_role() {
    let bed = Bed::sound().file("inventory/roles/hosts/README.md", "x");
    insta::assert_snapshot!(bed.refused());
}

#[test]
fn a_loop_over_a_text() {
    insta::assert_snapshot!(refused(
        "- name: each\n  package: { name: \"{{ item }}\" }\n  loop: cluster_name\n"
    ));
}

#[test]
fn an_argument_of_a_wrong_type() {
    insta::assert_snapshot!(refused(
        "- name: a user\n  user: { name: app, uid: many }\n"
    ));
}

#[test]
fn roles_that_need_each_other() {
    let bed = bed("- package: { name: vim }\n")
        .file(
            "inventory/roles/hosts/meta/main.yml",
            "dependencies: [mine]\n",
        )
        .file(
            "inventory/roles/mine/tasks/main.yml",
            "- package: { name: vim }\n",
        )
        .file(
            "inventory/roles/mine/meta/main.yml",
            "dependencies:\n  - role: hosts\n",
        );
    insta::assert_snapshot!(bed.refused());
}

#[test]
fn a_variable_that_a_role_s_spec_refuses() {
    let bed = Bed::sound().vars("haproxy_maxconn: abc\nsysctls: [{ name: a.b }]\n");
    insta::assert_snapshot!(bed.refused());
    let said = Bed::sound().refused_with(&["-e", "haproxy_maxconn=many"]);
    assert!(
        said.contains("takes a whole number, not the text `many`"),
        "{said}"
    );
    assert_eq!(
        Bed::sound()
            .run(&["validate", "-e", "haproxy_maxconn=9000"])
            .exit,
        0
    );
}

#[test]
fn an_undefined_variable_in_a_branch_that_no_host_takes() {
    let bed = bed(
        "- name: never\n  package: { name: \"{{ nothing }}\" }\n  when: cluster_name == 'other'\n\
         - name: elsewhere\n  package: { name: \"{{ of_workers }}\" }\n  when: is_worker\n",
    )
    .file("inventory/group_vars/kube_node.yml", "of_workers: vim\n");
    insta::assert_snapshot!(bed.warned());
}

#[test]
fn a_built_in_role_is_copied_beside_the_inventory_once() {
    let bed = Bed::sound();
    let eject = |name: &str| bed.run(&["roles", "eject", name]);
    let outcome = eject("hosts");
    assert_eq!((outcome.exit, outcome.err.as_str()), (0, ""));
    assert!(
        outcome.out.starts_with("inventory/roles/hosts: "),
        "{}",
        outcome.out
    );
    // It is the role now, and says the same.
    let shown = bed.run(&["roles", "show", "hosts"]).out;
    assert!(shown.starts_with("# inventory/roles/hosts/"), "{shown}");
    let sound = bed.run(&["validate"]);
    assert_eq!((sound.exit, sound.err.as_str()), (0, ""));
    let path = bed.path("inventory/roles/hosts/tasks/main.yml");
    let built_in = concat!(env!("CARGO_MANIFEST_DIR"), "/roles/hosts/tasks/main.yml");
    assert_eq!(
        std::fs::read(&path).unwrap(),
        std::fs::read(built_in).unwrap()
    );
    // What somebody has changed since stays.
    std::fs::write(&path, "- name: mine\n  command: x\n").unwrap();
    let outcome = eject("hosts");
    assert_eq!(outcome.exit, 4);
    assert!(outcome.err.contains("is there already"), "{}", outcome.err);
    assert!(std::fs::read_to_string(&path).unwrap().contains("mine"));
    let outcome = eject("hsts");
    assert_eq!(outcome.exit, 4);
    let said = ["there is no built-in role `hsts`", "did you mean `hosts`?"];
    assert!(
        said.iter().all(|said| outcome.err.contains(said)),
        "{}",
        outcome.err
    );
    for nowhere in ["nowhere/hosts.yml", "nowhere"] {
        let outcome = bed.run(&["roles", "eject", "vrrp", "-i", nowhere]);
        assert_eq!(outcome.exit, 4);
        let said = format!("there is no inventory {nowhere}");
        assert!(outcome.err.contains(&said), "{}", outcome.err);
    }
    let left: Vec<_> = std::fs::read_dir(bed.path("inventory/roles"))
        .unwrap()
        .collect();
    assert_eq!(left.len(), 1);
}
