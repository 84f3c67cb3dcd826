//! site.yml beside the inventory, and what can be wrong with it.

use crate::bed::Bed;

const SITE: &str = "inventory/site.yml";

fn refused(text: &str) -> String {
    Bed::sound().file(SITE, text).refused()
}

#[test]
fn a_word_that_no_play_has() {
    insta::assert_snapshot!(refused(
        "- name: all of them\n  host: all\n  tasks:\n    - name: an editor\n      package: { name: vim }\n"
    ));
}

#[test]
fn a_role_that_is_not_there() {
    insta::assert_snapshot!(refused("- hosts: all\n  roles: [hsts]\n"));
}

#[test]
fn hosts_that_are_not_there() {
    insta::assert_snapshot!(refused(
        "- hosts: kube_nodes\n  tasks:\n    - package: { name: vim }\n"
    ));
}

#[test]
fn mistakes_inside_are_told_with_those_of_the_inventory() {
    let bed = Bed::sound().file(
        SITE,
        "- hosts: all\n  stage: after_jion\n  tasks:\n    - pakage: { name: vim }\n",
    );
    insta::assert_snapshot!(bed.vars("apiserver_vpi: 10.0.0.9\n").refused());
}

#[test]
fn a_variable_that_is_not_there() {
    insta::assert_snapshot!(refused(
        "- hosts: w1\n  tasks:\n    - name: an editor\n      package: { name: '{{ editor }}' }\n"
    ));
}

/// Who uses a variable, a role or a tag is not known where site.yml or a role could not be read: that one mistake is all that is told.
#[test]
fn a_file_that_cannot_be_read_makes_nothing_unused() {
    let bed = || Bed::sound().vars("my_packages: [vim]\nmy_mode: fast\n");
    let play = "- hosts: w1\n  tags: [night]\n  roles: [editors]\n";
    let tasks = "- package: { name: '{{ my_packages }}' }\n- debug: { msg: '{{ my_mode }}' }\n";
    let role = "inventory/roles/editors/tasks/main.yml";
    let broken = bed().file(SITE, &format!("{play}  vars: {{ a: [}}\n"));
    let broken_role = bed().file(SITE, play).file(role, &format!("{tasks}- [\n"));
    for bed in [broken.file(role, tasks), broken_role] {
        for tags in [&[][..], &["--tags", "night"]] {
            let found = bed.refused_with(tags);
            assert_eq!(found.matches("error: ").count(), 1, "{found}");
            assert!(!found.contains("warning: "), "{found}");
        }
        // A slip of the pen is one all the same.
        let found = bed.vars("apiserver_vpi: 10.0.0.9\n").refused();
        assert!(found.contains("did you mean `apiserver_vip`?"), "{found}");
    }
    let sound = bed().file(SITE, play).file(role, tasks);
    assert_eq!(sound.warned(), "");
}

#[test]
fn a_template_beside_the_file() {
    let task = "- hosts: all\n  tasks:\n    - template: { src: motd, dest: /etc/motd }\n";
    let bed = Bed::sound().file(SITE, task).file(
        "inventory/templates/motd.tera",
        "{{ inventory_hostname }}\n",
    );
    let outcome = bed.run(&["validate"]);
    assert_eq!((outcome.exit, outcome.err.as_str()), (0, ""));
    insta::assert_snapshot!(refused(task));
}

#[test]
fn roles_and_hosts_that_nobody_uses() {
    let role = "- name: motd\n  copy: { dest: /etc/motd, content: hello }\n  tags: [motd]\n";
    let bed = || Bed::sound().file("inventory/roles/greeting/tasks/main.yml", role);
    insta::assert_snapshot!("a_role_of_no_play", bed().warned());
    let named = bed().file(
        SITE,
        "- hosts: kube_node\n  roles: [greeting]\n  tags: night\n",
    );
    assert_eq!(named.run(&["validate"]).err, "");
    // Tags of plays are tags, with blanks around a comma too; and so it is with names of hosts.
    for tag in ["night", "motd", "night, motd", " night ,motd "] {
        for flag in ["--tags", "--skip-tags"] {
            let outcome = named.run(&["validate", flag, tag, "--limit", "w1, cp1"]);
            assert_eq!((outcome.exit, outcome.err.as_str()), (0, ""), "{tag}");
        }
    }
    let stranger = "bastion:\n  hosts:\n    b1: { ansible_host: 127.0.0.9 }\n";
    let bed = bed()
        .file("inventory/more.yml", stranger)
        .file(SITE, "- hosts: all\n  stage: before_join\n  roles: [greeting]\n- hosts: w1\n  stage: before_init\n  roles: [greeting]\n- hosts: cp1\n  stage: after_join\n  roles: [greeting]\n");
    insta::assert_snapshot!("hosts_that_are_left_out", bed.warned());
}

/// A host outside of the cluster counts where a play is for it: how it is reached is checked too, and whoever has no play is not
/// looked at.
#[test]
fn hosts_outside_of_the_cluster() {
    let more = "storage:\n  hosts:\n    s1: { ansible_host: 127.0.0.9 }\nwindows:\n  hosts:\n    win1: { ansible_connection: winrm }\n";
    let bed = |hosts: &str| {
        let site = format!(
            "- hosts: {hosts}\n  tasks:\n    - copy: {{ dest: /etc/motd, content: '{{{{ inventory_hostname }}}}' }}\n      name: motd\n"
        );
        Bed::sound()
            .file("inventory/more.yml", more)
            .file(SITE, &site)
    };
    let valid = |bed: &Bed, arguments: &[&str]| {
        let outcome = bed.run(&[&["validate"], arguments].concat());
        assert_eq!((outcome.exit, outcome.err.as_str()), (0, ""));
        bed.nobody_came();
        outcome.out
    };
    assert!(valid(&bed("cp1"), &[]).starts_with("4 hosts, 3 control planes: "));
    let storage = bed("storage:cp1");
    assert!(
        valid(&storage, &["--limit", "storage"])
            .starts_with("4 hosts, 3 control planes, 1 host outside of the cluster: ")
    );
    assert_eq!(
        valid(&storage, &["--output", "json"]),
        "{\"v\":1,\"hosts\":4,\"control_planes\":3,\"others\":1}\n"
    );
    // They have no part in the cluster's state.
    let status = storage.run(&["status", "--limit", "storage"]);
    assert_eq!(status.exit, 4, "{}", status.err);
    storage.nobody_came();
    insta::assert_snapshot!(bed("all").refused());
}
