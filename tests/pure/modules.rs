//! A table per module: arguments and what is there -> effects, or the reason for none; and every mistake with its place.

use quorate::event::Status;
use quorate::host::{Effect, Expect, Fact, Facts, Observed};
use quorate::plan::HostPlan;
use quorate::role::{HostRoles, Library, Registered, Selection, StepResult};

use super::role::{AllThere, effects, mistakes, only, with};
use super::simulated::{Entry, Model, text};

fn plan_on(tasks: &str, model: &Model) -> HostPlan {
    let (roles, scope) = only(tasks);
    let facts = roles
        .facts(&scope)
        .unwrap_or_else(|e| panic!("{tasks}\n{e:?}"));
    roles
        .plan(&scope, &model.observe(&facts), &Registered::default())
        .unwrap_or_else(|e| panic!("{tasks}\n{e:?}"))
}

/// What the host would refuse is seen in the plan: no file or link takes a directory's place. Inside a block it is a step like
/// others, and what comes behind the directory's removal is not refused.
#[test]
fn a_directory_in_the_way_is_a_failure_of_the_plan() {
    let model = model();
    let said = |tasks: &str| {
        let (roles, scope) = only(tasks);
        let facts = roles.facts(&scope).unwrap();
        let plan = roles.plan(&scope, &model.observe(&facts), &Registered::default());
        plan.map(|plan| effects(&plan))
    };
    let refused = "/etc/d is a directory: it is not replaced by a";
    for (module, what) in [
        ("copy: {dest: /etc/d, content: b}", "file"),
        ("template: {src: t, dest: /etc/d}", "file"),
        ("file: {path: /etc/d, state: link, src: a}", "link"),
        (
            "get_url: {url: 'https://x.example/d', dest: /etc/d, checksum: 'sha256:0000000000000000000000000000000000000000000000000000000000000000'}",
            "file",
        ),
    ] {
        let (roles, scope) = with([
            ("tasks/main.yml", format!("- {module}\n").as_str()),
            ("templates/t", "x"),
        ]);
        let facts = roles.facts(&scope).unwrap();
        let found = roles
            .plan(&scope, &model.observe(&facts), &Registered::default())
            .unwrap_err();
        let found = found.iter().next().unwrap().to_string();
        assert!(found.contains(&format!("{refused} {what}")), "{found}");
    }
    let copy = "copy: {dest: /etc/d, content: b}";
    let removed = said(&format!(
        "- file: {{path: /etc/d, state: absent}}\n- {copy}\n"
    ));
    assert_eq!(removed.unwrap().len(), 2);
    let rescued = said(&format!(
        "- block: [{{{copy}}}]\n  rescue: [{{command: b}}]\n"
    ));
    let rescued = rescued.unwrap();
    assert!(rescued[0].contains("leads out of its block"), "{rescued:?}");
}

/// `state: file` says what has to be there; without a state the attributes of whatever is there are meant, as in Ansible.
#[test]
fn what_is_no_file_is_a_failure_of_the_plan() {
    let model = model();
    for (arguments, why) in [
        (
            "path: /etc/d, state: file",
            "/etc/d is a directory, not a file",
        ),
        (
            "path: /etc/d, state: file, mode: '0755'",
            "/etc/d is a directory, not a file",
        ),
        (
            "path: /etc/l, state: file, mode: '0644'",
            "/etc/l is a symbolic link: name the file",
        ),
        (
            "path: /etc/l, mode: '0644'",
            "/etc/l is a symbolic link: name the file",
        ),
        (
            "path: /etc/l, state: directory, mode: '0755'",
            "/etc/l is a symbolic link: name the directory",
        ),
        (
            "path: /etc/a, state: directory, mode: '0755'",
            "/etc/a is a file, where a directory is to be: a task before with `state: absent`",
        ),
        ("path: /etc/none, state: file", "/etc/none is absent"),
        ("path: /etc/a, state: file", ""),
        ("path: /etc/l, state: file", ""),
        ("path: /etc/none, state: file, mode: '0600'", ""),
        ("path: /etc/d, mode: '0700'", ""),
    ] {
        let (roles, scope) = only(&format!("- file: {{{arguments}}}\n"));
        let facts = roles.facts(&scope).unwrap();
        let plan = roles.plan(&scope, &model.observe(&facts), &Registered::default());
        let found = plan
            .err()
            .map(|found| found.iter().next().unwrap().to_string());
        assert_eq!(found.is_none(), why.is_empty(), "{arguments}: {found:?}");
        assert!(found.unwrap_or_default().contains(why), "{arguments}");
    }
    // Where a task before takes it away.
    let (roles, scope) =
        only("- file: {path: /etc/a, state: absent}\n- file: {path: /etc/a, state: directory}\n");
    let facts = roles.facts(&scope).unwrap();
    let plan = roles.plan(&scope, &model.observe(&facts), &Registered::default());
    assert_eq!(plan.unwrap().steps.len(), 2);
}

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

/// Module and arguments; what is planned on the host below.
const TABLE: &[(&str, &[&str])] = &[
    ("package: curl", &[]),
    (
        "apt: {name: [curl, haproxy]}",
        &["install haproxy [not installed]"],
    ),
    (
        "ansible.builtin.dnf: {name: curl, state: absent}",
        &["remove packages curl [installed]"],
    ),
    ("package: {name: haproxy, state: absent}", &[]),
    ("package: {name: 'curl=1*'}", &[]),
    (
        "package: {name: ['curl=7.88-*', 'haproxy=3.*']}",
        &["install curl=7.88-*, haproxy=3.* [curl is 1, not 7.88-*; not installed]"],
    ),
    ("image_pull: registry.k8s.io/kube-apiserver:v1.36.3", &[]),
    (
        "image_pull: {name: [haproxy:3.2, registry.k8s.io/kube-apiserver:v1.36.3]}",
        &["pull docker.io/library/haproxy:3.2 [not there]"],
    ),
    ("service: {name: up, state: started, enabled: true}", &[]),
    (
        "systemd: {name: down, state: started, enabled: true}",
        &["enable down [is disabled]", "start down [is inactive]"],
    ),
    (
        "service: {name: up, state: stopped, enabled: false}",
        &["disable up [is enabled]", "stop up [is active]"],
    ),
    ("service: {name: down, state: stopped, enabled: false}", &[]),
    (
        "service: {name: up, state: restarted}",
        &["restart up [asked for]"],
    ),
    (
        "service: {name: stale, daemon_reload: true, enabled: true}",
        &["reload systemd's units [its file changed]"],
    ),
    (
        "service: {name: up, daemon_reload: true, state: started}",
        &[],
    ),
    (
        "service: {name: up, masked: true}",
        &["mask up [is enabled]"],
    ),
    ("copy: {dest: /etc/a, content: \"a\\n\"}", &[]),
    (
        "copy: {dest: /etc/a, content: b}",
        &["write /etc/a [content differs]"],
    ),
    (
        "copy: {dest: /etc/a, content: \"a\\n\", mode: \"0600\"}",
        &["set mode 0600 of /etc/a [mode is 0644]"],
    ),
    (
        "copy: {dest: /etc/a, content: \"a\\n\", mode: \"0644\", owner: root, group: adm}",
        &["set group adm of /etc/a [group is root]"],
    ),
    (
        "copy: {dest: /etc/none, content: b}",
        &["write /etc/none [is absent]"],
    ),
    (
        "copy: {dest: /etc/l, content: b}",
        &["write /etc/l [is a symbolic link]"],
    ),
    (
        "template: {src: t, dest: /etc/t}",
        &["write /etc/t [is absent]"],
    ),
    ("file: {path: /etc/d, state: directory}", &[]),
    (
        "file: {path: /etc/d, state: directory, mode: \"0700\"}",
        &["set mode 0700 of /etc/d [mode is 0755]"],
    ),
    (
        "file: {path: /etc/e/, state: directory}",
        &["make directory /etc/e [is absent]"],
    ),
    ("file: {path: /etc/a, mode: \"0644\"}", &[]),
    (
        "file: {path: /etc/none, mode: \"0644\"}",
        &["set mode 0644 of /etc/none [is absent]"],
    ),
    (
        "file: {path: /etc/a, state: absent}",
        &["remove /etc/a [is there]"],
    ),
    ("file: {path: /etc/none, state: absent}", &[]),
    ("file: {path: /etc/l, state: link, src: a}", &[]),
    (
        "file: {path: /etc/l, state: link, src: b}",
        &["link /etc/l to b [points to a]"],
    ),
    (
        "file: {path: /etc/a, state: link, src: b}",
        &["link /etc/a to b [is no link]"],
    ),
    (
        "file: {path: /etc/none, state: touch}",
        &["write /etc/none [is absent]"],
    ),
    ("file: {path: /etc/a, state: touch}", &[]),
    (
        "sysctl: {name: net.ipv4.ip_forward, value: 1}",
        &[
            "write /etc/sysctl.d/99-quorate.conf [is absent]",
            "set net.ipv4.ip_forward = 1 [is 0]",
        ],
    ),
    (
        "sysctl: {name: net.ipv4.ip_forward, value: \"0\", sysctl_file: /etc/sysctl.d/s.conf}",
        &[],
    ),
    (
        "sysctl: {name: no.such, value: \"1\", sysctl_file: /etc/sysctl.d/s.conf}",
        &[
            "write /etc/sysctl.d/s.conf [content differs]",
            "set no.such = 1 [is not there yet]",
        ],
    ),
    ("modprobe: overlay", &[]),
    (
        "modprobe: {name: br_netfilter}",
        &["load module br_netfilter [not loaded]"],
    ),
    (
        "modprobe: {name: overlay, persistent: present}",
        &["write /etc/modules-load.d/overlay.conf [is absent]"],
    ),
    ("hostname: cp1", &[]),
    ("hostname: {name: cp2}", &["set hostname cp2 [is cp1]"]),
    (
        "swap: absent",
        &[
            "turn swap off [in use: /dev/sda2]",
            "write /etc/fstab [content differs]",
        ],
    ),
    (
        "blockinfile: {path: /etc/hosts, block: 10.0.0.1 a}",
        &["write /etc/hosts [content differs]"],
    ),
    (
        "blockinfile: {path: /etc/none, block: a, create: true}",
        &["write /etc/none [is absent]"],
    ),
    ("blockinfile: {path: /etc/none, state: absent}", &[]),
    ("blockinfile: {path: /etc/block, block: in}", &[]),
    (
        "blockinfile: {path: /etc/block, block: other}",
        &["write /etc/block [content differs]"],
    ),
    (
        "blockinfile: {path: /etc/block, block: ''}",
        &["write /etc/block [content differs]"],
    ),
    ("command: {argv: [make, it], creates: /etc/a}", &[]),
    (
        "command: {argv: [make, it], creates: /etc/none}",
        &["run make it [/etc/none is absent]"],
    ),
    ("command: {cmd: rm 'a b', removes: /etc/none}", &[]),
    (
        "command: {cmd: rm 'a b', removes: /etc/a}",
        &["run rm 'a b' [/etc/a is there]"],
    ),
    ("command: sync now", &["run sync now [runs each time]"]),
    ("shell: a | b", &["run a | b [runs each time]"]),
    (
        "binaries: {src: /srv, names: [tool], dest: /usr/local/bin}",
        &["write /usr/local/bin/tool [is absent]"],
    ),
    (
        "unarchive: {src: /srv/x.tar.gz, dest: /opt/cni}",
        &["unpack into /opt/cni [not unpacked yet]"],
    ),
    (
        "container_images: {src: /srv}",
        &[
            "import registry.k8s.io/coredns/coredns:v1.13.1 [not there]",
            "import docker.io/library/haproxy:3.2.4 [not there]",
            "import docker.io/osixia/keepalived:2.0.20 [not there]",
        ],
    ),
    ("container_images: {src: /srv, include: ['kube-*']}", &[]),
    (
        "container_images: {src: /srv, exclude: ['coredns*', haproxy:3.2.4, 'keepalived:*']}",
        &[],
    ),
    (
        "container_images: {src: /srv, include: [osixia/keepalived:2.0.20, haproxy:3.2.4]}",
        &[
            "import docker.io/library/haproxy:3.2.4 [not there]",
            "import docker.io/osixia/keepalived:2.0.20 [not there]",
        ],
    ),
    (
        "container_images: {src: /srv, exclude: ['coredns*', haproxy:3.2, osixia/keepalived:2.0.20]}",
        &["import docker.io/library/haproxy:3.2.4 [not there]"],
    ),
];

/// A digest of other templates follows their text as it is rendered, in the host's own scope.
#[test]
fn digests_of_templates_are_variables() {
    let written = |one: &str, two: &str, word: &str| {
        let tasks = "- template: {src: m, dest: /etc/m, digests: {d: [one, \"{{ second }}\"], e: one}}\n  vars: {second: two}\n";
        let (roles, mut scope) = with([
            ("tasks/main.yml", tasks),
            ("templates/m.tera", "{{ d }} {{ e }}"),
            ("templates/one.tera", one),
            ("templates/two.tera", two),
        ]);
        scope.set("word", quorate::template::Binding::fixed(word.into()));
        let facts = roles.facts(&scope).unwrap();
        let observed = Model::bare().observe(&facts);
        let plan = roles
            .plan(&scope, &observed, &Registered::default())
            .unwrap();
        let Effect::WriteFile(file) = &plan.steps[0].changes[0].effect else {
            panic!("{plan:?}")
        };
        let quorate::host::Content::Inline(bytes) = &file.content else {
            panic!("{file:?}")
        };
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        let (d, e) = text.split_once(' ').unwrap();
        assert!(d.len() == 12 && e.len() == 12 && d != e, "{text}");
        (d.to_string(), e.to_string())
    };
    let (d, e) = written("a{{ word }}", "b", "1");
    assert_eq!(written("a1", "b", "2"), (d.clone(), e.clone()));
    let other = written("a{{ word }}", "b", "2");
    assert!(other.0 != d && other.1 != e);
    let other = written("a1", "c", "1");
    assert!(other.0 != d && other.1 == e);
    // What moves from one to the other is a change too.
    assert!(written("a", "1b", "1").0 != d);
}

fn model() -> Model {
    let mut model = Model::bare();
    model.packages.insert("curl".into());
    model.units.insert("up".into(), (true, true, 1));
    model.units.insert("containerd".into(), (true, true, 1));
    model.units.insert("down".into(), (false, false, 0));
    model.units.insert("stale".into(), (true, true, 1));
    model.stale.insert("stale".into());
    model.modules.insert("overlay".into());
    model
        .images
        .insert("registry.k8s.io/kube-apiserver:v1.36.3".into());
    model.files.insert("/etc/a".into(), text("a\n"));
    model
        .files
        .insert("/etc/d".into(), Entry::Directory { mode: 0o755 });
    model
        .files
        .insert("/etc/l".into(), Entry::Link { target: "a".into() });
    model.files.insert(
        "/etc/sysctl.d/s.conf".into(),
        text("# ours\nnet.ipv4.ip_forward = 0\n"),
    );
    let block = "first\n# BEGIN ANSIBLE MANAGED BLOCK\nin\n# END ANSIBLE MANAGED BLOCK\nlast\n";
    model.files.insert("/etc/block".into(), text(block));
    model
}

/// Of a unit whose file is to be written nothing is known: neither whether it is enabled nor, behind that, whether it runs.
#[test]
fn a_unit_whose_file_is_written_is_known_after_apply() {
    let tasks = "\
- copy: { dest: /etc/systemd/system/up.service, content: \"[Service]\\n\", mode: \"0644\" }
- service: { name: up, enabled: true }
- service: { name: up, state: started }
";
    let (roles, scope) = with([("tasks/main.yml", tasks)]);
    let facts = roles.facts(&scope).unwrap();
    let plan = roles
        .plan(&scope, &model().observe(&facts), &Registered::default())
        .unwrap();
    assert_eq!(
        effects(&plan)[1..],
        [
            "enable up [(known after apply)]",
            "start up [(known after apply)]"
        ]
    );
}

#[test]
fn modules_plan_what_differs_and_nothing_else() {
    for (task, expected) in TABLE {
        let texts = [
            ("tasks/main.yml", format!("- {task}\n")),
            ("templates/t.tera", "x\n".to_string()),
        ];
        let (roles, scope) = with(texts.iter().map(|(p, t)| (*p, t.as_str())));
        let facts = roles
            .facts(&scope)
            .unwrap_or_else(|e| panic!("{task}\n{e:?}"));
        let plan = roles
            .plan(&scope, &model().observe(&facts), &Registered::default())
            .unwrap_or_else(|e| panic!("{task}\n{e:?}"));
        assert_eq!(effects(&plan), *expected, "{task}");
        assert_eq!(plan.ok, u32::from(expected.is_empty()), "{task}");
        // What nobody has seen is planned with that reason, never taken for unchanged.
        let blind = roles.plan(&scope, &Observed::default(), &Registered::default());
        if let Ok(blind) = blind {
            let reasons = blind
                .steps
                .iter()
                .flat_map(|s| &s.changes)
                .filter(|c| c.why == "(known after apply)")
                .count();
            let own = ["command", "shell", "hostname", "state: restarted"]
                .iter()
                .any(|w| task.contains(w));
            assert!(own || reasons > 0, "{task}: {:?}", effects(&blind));
        }
    }
}

fn written(plan: &HostPlan) -> (String, Expect) {
    let write = plan
        .steps
        .iter()
        .flat_map(|s| &s.changes)
        .find_map(|c| match &c.effect {
            Effect::WriteFile(file) => Some(file),
            _ => None,
        });
    let file = write.expect("no file is written");
    let diff = plan
        .steps
        .iter()
        .flat_map(|s| &s.changes)
        .find_map(|c| c.diff.clone())
        .unwrap();
    (diff.after, file.expect)
}

#[test]
fn edits_leave_the_rest_of_a_file_alone() {
    let cases = [
        (
            "blockinfile: {path: /etc/block, block: \"a\\nb\"}",
            "first\n# BEGIN ANSIBLE MANAGED BLOCK\na\nb\n# END ANSIBLE MANAGED BLOCK\nlast\n",
        ),
        (
            "blockinfile: {path: /etc/block, state: absent}",
            "first\nlast\n",
        ),
        (
            "blockinfile: {path: /etc/hosts, block: \"10.0.0.1 a\\n\", marker: '# {mark} q'}",
            "127.0.0.1 localhost\n# BEGIN q\n10.0.0.1 a\n# END q\n",
        ),
        (
            "swap: {state: absent}",
            "/dev/sda1 / ext4 defaults 0 1\n# /dev/sda2 none swap sw 0 0\n",
        ),
        (
            "sysctl: {name: net.ipv4.ip_forward, value: 1, sysctl_file: /etc/sysctl.d/s.conf}",
            "# ours\nnet.ipv4.ip_forward = 1\n",
        ),
        (
            "sysctl: {name: a.b, value: '1   2', sysctl_file: /etc/sysctl.d/s.conf}",
            "# ours\nnet.ipv4.ip_forward = 0\na.b = 1 2\n",
        ),
    ];
    for (task, expected) in cases {
        let (after, expect) = written(&plan_on(&format!("- {task}\n"), &model()));
        assert_eq!(after, expected, "{task}");
        assert!(matches!(expect, Expect::Content(_)), "{task}");
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

#[test]
fn a_word_of_a_command_that_is_no_argument() {
    for task in [
        "- shell: echo \"a creates=/b\"",
        "- command: {cmd: dd if=/dev/zero creates=/a}",
        "- shell: |\n    chdir=/tmp\n    ls \"$chdir\"\n",
    ] {
        let (roles, scope) = with([("tasks/main.yml", task)]);
        let observed = Model::bare().observe(&roles.facts(&scope).unwrap());
        let plan = roles
            .plan(&scope, &observed, &Registered::default())
            .unwrap();
        assert_eq!(plan.steps.len(), 1, "{task}");
    }
}

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
