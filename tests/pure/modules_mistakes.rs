//! Mistakes in the text of a role: each with its place, and what Ansible has with an alternative.

use quorate::role::{HostRoles, Library};

use super::role::{AllThere, mistakes, only};

/// Ansible's arguments, modules and keywords that are none here are told with what to write instead.
#[test]
fn what_ansible_has_is_told_with_an_alternative() {
    let cases = [
        ("copy: {src: d, dest: /a}", "write one `copy` with a `loop`"),
        (
            "copy: {src: d/, dest: /a}",
            "write one `copy` with a `loop`",
        ),
        (
            "copy: {src: d/e, dest: /a}",
            "write one `copy` with a `loop`",
        ),
        (
            "lineinfile: {path: /a/, line: b, create: true}",
            "`/a/NAME`",
        ),
        (
            "blockinfile: {path: /a/, block: b, create: true}",
            "`/a/NAME`",
        ),
        ("file: {path: /a/, state: touch}", "`/a/NAME`"),
        ("file: {path: /a/, state: file}", "`/a/NAME`"),
        ("file: {path: /a/, state: link, src: b}", "`/a/NAME`"),
        ("copy: {src: d/x, dest: /a}", "did you mean `d/a`?"),
        (
            "copy: {src: /a, dest: /b, remote_src: true}",
            "cp -a SRC DEST",
        ),
        (
            "ansible.builtin.copy: {content: a, dest: /b, force: false}",
            "`creates`",
        ),
        ("file: {dest: /a, state: directory}", "write `path`"),
        ("file: {path: /a, recurse: true}", "chown -R"),
        (
            "apt: {name: a, update_cache: true}",
            "lists are fetched anew",
        ),
        ("package: {name: a, state: latest}", "name a version"),
        ("sysctl: {name: a, value: 1, reload: true}", "set at once"),
        ("ansible.posix.selinux: {state: permissive}", "setenforce"),
        ("add_host: {name: a}", "inventory script"),
        ("group_by: {key: a}", "`when` over `facts`"),
        ("pip: {name: a}", "`package`"),
        ("known_hosts: {name: a}", "hosts trust"),
        ("find: {paths: /a}", "command: find"),
        ("tempfile: {state: file}", "written atomically"),
        ("alternatives: {name: a, path: /b}", "update-alternatives"),
        ("pam_limits: {domain: a}", "/etc/security/limits.d"),
        (
            "community.general.timezone: {name: UTC}",
            "/usr/share/zoneinfo",
        ),
        (
            "command: a\n  ignore_unreachable: true",
            "max_fail_percentage",
        ),
        ("command: a\n  collections: [a.b]", "leave it out"),
        ("command: a\n  debugger: on_failed", "leave it out"),
    ];
    for (task, help) in cases {
        let tasks = format!("- {task}\n");
        let texts = [
            ("tasks/main.yml", tasks.as_str()),
            ("files/d/a", "x"),
            ("files/d/e/b", "x"),
        ];
        let (library, mut found) = Library::from_texts("r", texts);
        if !found.has_errors() {
            let (_, scope) = only("- command: x");
            let roles = vec![library.get("r").unwrap()];
            let roles = HostRoles::new(roles, std::sync::Arc::new(AllThere));
            found = roles.facts(&scope).unwrap_err();
        }
        let said = found.iter().next().and_then(|e| e.help.clone());
        assert!(
            said.is_some_and(|said| said.contains(help)),
            "{task}: {found:?}"
        );
    }
}

#[test]
fn mistakes_are_named_with_their_place() {
    let cases = [
        "- copyy: {dest: /a}",
        "- command: touch /a creates=/a",
        "- shell: ls executable=/bin/bash",
        "- command: {cmd: touch /a, creates: '/a*'}",
        "- copy: {dst: /a, content: x}",
        "- copy: {content: x}",
        "- copy: {dest: etc/a, content: x}",
        "- copy: {dest: /etc/../a, content: x}",
        "- copy: {dest: /a, content: x, mode: 644}",
        "- copy: {dest: /a, content: x, mode: rw}",
        "- copy: {dest: /a, content: x, src: y}",
        "- copy: {dest: /a, src: y}",
        "- copy: {dest: /a, content: x, validate: check}",
        "- template: {src: nothing.j2, dest: /a}",
        "- template: {src: nothing.j2, dest: /a, digests: [x]}",
        "- template: {src: nothing.j2, dest: /a, digests: {x: other}}",
        "- file: {path: /etc, state: absent}",
        "- file: {path: /a/b, state: abset}",
        "- service: {name: a}",
        "- service: {name: 'a*', state: started}",
        "- package: {name: 'a='}",
        "- package: {name: '=1'}",
        "- package: {name: 'bash-'}",
        "- package: {name: 'bash=5*-'}",
        "- package: {name: 'a$(id)'}",
        "- package: {name: 'a=1*', state: absent}",
        "- image_pull: {name: '-x'}",
        "- image_pull: {registry_config: /etc}",
        "- package: {name: 'a; rm -rf /'}",
        "- sysctl: {name: ../x, value: 1}",
        "- modprobe: {name: a/b}",
        "- hostname: -x",
        "- command: \"echo 'x\"",
        "- command: {argv: []}",
        "- command: x\n  become: false\n- file: {path: /a/b, state: directory}\n  become: false",
        "- command: x\n  delegate_to: cp1",
        "- block: []",
        "- command: x\n  with_items: [a]",
        "- command: x\n  whenn: true",
        "- command: x\n  when: \"{{ a }}\"",
        "- command: x\n  when: a",
        "- command: x\n  loop: 3",
        "- command: x\n  loop: ansible_user",
        "- command: x\n  notify: nobody",
        "- command: \"{{ nothing }}\"",
        "- copy: {dest: /a, content: x}\n  changed_when: false",
        "- command: x\n  register: a-b",
        "- command: x\n  copy: {dest: /a, content: y}",
        "- name: nothing",
        "- 3",
        "a: b",
        "- swap: present",
        "- blockinfile: {path: /a, block: x, marker: x}",
        "- container_images: {src: /srv, include: [a.io/none:1]}",
    ];
    let (_, usual) = only("- command: x");
    let all = mistakes(&cases, &[], |tasks| {
        if tasks.contains("become") {
            quorate::template::Scope::new()
        } else {
            usual.clone()
        }
    });
    insta::assert_snapshot!("mistakes", all);
}

#[test]
fn nothing_makes_the_reader_panic() {
    let words = [
        "- ", "copy", ":", " ", "{", "}", "[", "]", "\n", "  ", "when", "'", "\"", "{{", "}}",
        "loop", "item", "#", "&a", "*a", "~", "é",
    ];
    let mut seed = 7_u64;
    for _ in 0..3000 {
        let mut text = String::new();
        for _ in 0..12 {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            text.push_str(words[(seed >> 33) as usize % words.len()]);
        }
        let (library, _) = Library::from_texts(
            "r",
            [
                ("tasks/main.yml", text.as_str()),
                ("meta/main.yml", text.as_str()),
                ("handlers/main.yml", text.as_str()),
            ],
        );
        let roles = HostRoles::new(
            vec![library.get("r").unwrap()],
            std::sync::Arc::new(super::role::AllThere),
        );
        let _ = roles.facts(&quorate::template::Scope::new());
    }
}
