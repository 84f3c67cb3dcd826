//! The JSON Schemas: they are sound, take what the program takes, and refuse what it refuses.

use quorate::cluster::spec;
use quorate::role::schema;
use serde_json::Value;

fn validator(schema: &Value) -> jsonschema::Validator {
    jsonschema::meta::validate(schema).unwrap_or_else(|e| panic!("no schema: {e}"));
    jsonschema::validator_for(schema).unwrap()
}

fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap_or_else(|e| panic!("{text}\n{e}"))
}

fn files(pattern: &str) -> Vec<(String, Value)> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/");
    let (before, after) = pattern.split_once('*').unwrap();
    let mut found = Vec::new();
    for entry in std::fs::read_dir(format!("{root}{before}")).unwrap() {
        let path = format!("{}{after}", entry.unwrap().path().display());
        if let Ok(text) = std::fs::read_to_string(&path) {
            found.push((path, yaml(&text)));
        }
    }
    assert!(!found.is_empty(), "nothing is like {pattern}");
    found
}

fn takes(schema: &Value, pattern: &str) {
    let validator = validator(schema);
    for (path, value) in files(pattern) {
        let errors: Vec<String> = validator
            .iter_errors(&value)
            .map(|e| format!("{}: {e}", e.instance_path()))
            .collect();
        assert!(errors.is_empty(), "{path}: {errors:#?}");
    }
}

#[test]
fn what_lies_in_this_repository_is_taken() {
    takes(&schema::tasks(), "roles/*/tasks/main.yml");
    takes(&schema::handlers(), "roles/*/handlers/main.yml");
    takes(&spec::schema::inventory(), "inventory/*/hosts.yml");
    takes(&spec::schema::variables(), "inventory/*/group_vars/all.yml");
}

#[test]
fn what_the_program_takes_and_refuses() {
    for (schema, text, is_good) in [
        (schema::tasks(), "- package: vim\n", true),
        (
            schema::tasks(),
            "- ansible.builtin.package: {name: vim}\n  become: true\n",
            true,
        ),
        (
            schema::tasks(),
            "- block: [{command: x, until: rc == 0}]\n  rescue: [{debug: {msg: no}}]\n  when: [a, b]\n",
            true,
        ),
        (schema::tasks(), "- set_fact: {anything: 1}\n", true),
        (schema::tasks(), "", true),
        (schema::tasks(), "- pakage: vim\n", false),
        (schema::tasks(), "- package: {nam: vim}\n", false),
        (schema::tasks(), "- command: x\n  delegate_to: cp1\n", false),
        (schema::tasks(), "- block: [{pakage: vim}]\n", false),
        (schema::tasks(), "tasks: []\n", false),
        (
            schema::handlers(),
            "- name: restart\n  service: {name: x, state: restarted}\n  listen: web\n",
            true,
        ),
        (
            schema::handlers(),
            "- service: {name: x, state: restarted}\n",
            false,
        ),
        (
            schema::site(),
            "- hosts: all\n  serial: 30%\n  roles: [a, {role: b, vars: {c: 1}}]\n  tasks: [{command: x}]\n",
            true,
        ),
        (schema::site(), "- roles: [a]\n", false),
        (schema::site(), "- hosts: all\n  stage: after_jion\n", false),
        (schema::site(), "- hosts: all\n  strategy: free\n", false),
        (schema::site(), "- hosts: all\n  serial: 0\n", false),
        (
            schema::site(),
            "- hosts: all\n  tasks: [{pakage: x}]\n",
            false,
        ),
        (
            spec::schema::variables(),
            "apiserver_src_port: 70000\n",
            false,
        ),
        (
            spec::schema::variables(),
            "apiserver_src_port: '{{ port }}'\n",
            true,
        ),
        (
            spec::schema::variables(),
            "load_balancer: keepalived\n",
            false,
        ),
        (
            spec::schema::variables(),
            "load_balancer: '{{ way }}'\n",
            true,
        ),
        (spec::schema::variables(), "my_own: {a: [1]}\n", true),
        (
            spec::schema::inventory(),
            "kube_node:\n  hosts:\n    w1: {ip: 10.0.0.1}\n    w2:\n  children: {more: {}}\n",
            true,
        ),
        (
            spec::schema::inventory(),
            "kube_node:\n  host:\n    w1:\n",
            false,
        ),
        (
            spec::schema::inventory(),
            "kube_node:\n  hosts:\n    w1: {ansible_port: often}\n",
            true,
        ),
        (
            spec::schema::inventory(),
            "kube_node:\n  hosts:\n    w1: {ansible_port: 0}\n",
            false,
        ),
    ] {
        let value = if text.is_empty() {
            Value::Null
        } else {
            yaml(text)
        };
        assert_eq!(validator(&schema).is_valid(&value), is_good, "{text}");
    }
}

/// The schema takes of a keyword what the reader of roles takes, and refuses what it refuses.
#[test]
fn keywords_are_as_strict_as_the_program() {
    let validator = validator(&schema::tasks());
    for (of_task, is_good) in [
        ("command: x\n  retries: abc", false),
        ("command: x\n  retries: 0", false),
        ("command: x\n  retries: '0'", false),
        ("command: x\n  retries: 1.5", false),
        ("command: x\n  retries: -1", false),
        ("command: x\n  retries: true", false),
        ("command: x\n  retries: '3'", true),
        ("command: x\n  retries: '{{ 1 + 2 }}'", true),
        ("shell: x\n  delay: 0", true),
        ("shell: x\n  delay: soon", false),
        ("ansible.builtin.shell: x\n  delay: 1", true),
        ("package: {name: x}\n  retries: 3", false),
        ("package: {name: x}\n  changed_when: true", false),
        ("command: x\n  failed_when: [a, b]", true),
        ("command: x\n  failed_when: {a: b}", false),
        ("command: x\n  until: result.rc == 0", true),
        ("command: x\n  until: '{{ result.rc == 0 }}'", false),
        ("command: x\n  until: true", false),
        ("command: x\n  register: a b", false),
        ("command: x\n  register: said_1", true),
        ("command: x\n  become_user: -x", false),
        ("command: x\n  become_user: alice", true),
        ("command: x\n  listen: web", false),
        ("command: x\n  loop: 3", false),
        (
            "command: x\n  loop: [1]\n  loop_control: {loop_var: each, index_var: i, label: a}",
            true,
        ),
        (
            "command: x\n  loop: [1]\n  loop_control: {loop_var: a-b}",
            false,
        ),
        ("command: x\n  loop: [1]\n  loop_control: {pause: 3}", false),
        ("command: x\n  loop: [1]\n  loop_control: {label: 3}", false),
        ("ansible.builtin.pakage: x", false),
        ("service: {name: x, enabled: maybe}", false),
        ("service: {name: x, enabled: 1}", false),
        ("service: {name: x, enabled: yes}", true),
        ("service: {name: x, enabled: '{{ 1 == 1 }}'}", true),
        ("service: {name: x, state: start}", false),
        ("systemd: {name: x, state: started, masked:}", true),
        ("service: {name: x, state: '', enabled: true}", true),
        ("user: {name: x, uid: abc}", false),
        ("user: {name: x, uid: -1}", false),
        ("user: {name: x, uid: '1000'}", true),
        ("user: {name: x, uid: '{{ 1000 + 1 }}', state:}", true),
        ("group: {name: x, gid: true}", false),
        ("copy: {dest: /a, content: b, mode: 644}", false),
        ("copy: {dest: /a, content: b, mode: u=rw}", false),
        ("copy: {dest: /a, content: b, mode: '99'}", false),
        ("copy: {dest: /a, content: b, mode: '12345'}", false),
        (
            "copy: {dest: /a, content: b, mode: '04755', backup: true}",
            true,
        ),
        ("copy: {dest: /a, content: b, mode: '0o644'}", true),
        ("copy: {dest: /a, content: b, mode: '{{ \"0644\" }}'}", true),
        ("file: {path: /a/b, state: dir}", false),
        ("file: {path: /a/b, state: '{{ \"directory\" }}'}", true),
        ("file: {path: /a/b, state: [directory]}", false),
        ("meta: end_play", false),
        ("meta: flush_handlers", true),
        ("meta: {action: flush_handlers}", true),
        ("swap: absent", true),
        ("swap: present", false),
        ("package: {name: x, state: latest}", false),
        ("modprobe: {name: x, persistent: true}", false),
        ("modprobe: {name: x, persistent: present}", true),
        (
            "mount: {path: /a/b, src: c, fstype: d, state: present, passno: x}",
            false,
        ),
        ("mount: {path: /a/b, src: c, fstype: d, state: up}", false),
        ("lineinfile: {path: /a, line: b, create: perhaps}", false),
        ("lineinfile: {path: /a, line: b, state: gone}", false),
        ("blockinfile: {path: /a, block: b, state: gone}", false),
        ("sysctl: {name: a, value: 1, state: absent}", false),
        (
            "systemd_timer: {name: a, command: b, on_calendar: c, persistent: often}",
            false,
        ),
        ("systemd_timer: {name: a, state: gone}", false),
        (
            "yum_repository: {name: a, baseurl: 'https://a.example', gpgcheck: sometimes}",
            false,
        ),
        ("deb822_repository: {name: a, state: gone}", false),
        ("unarchive: {src: a, dest: /b, remote_src: far}", false),
        ("assert: {that: [true], quiet: 7}", false),
    ] {
        let text = format!("- {of_task}\n");
        assert_eq!(validator.is_valid(&yaml(&text)), is_good, "{text}");
        let found = super::role::found(&text);
        assert_eq!(found.is_none(), is_good, "{text}{found:?}");
    }
}

#[test]
fn nothing_is_without_a_description() {
    let schema = spec::schema::variables();
    let properties = schema["properties"].as_object().unwrap();
    assert!(properties.len() > 60, "{}", properties.len());
    for (name, of) in properties {
        assert!(
            of["description"].as_str().is_some_and(|d| !d.is_empty()),
            "{name}"
        );
    }
}
