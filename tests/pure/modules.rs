//! A table per module: arguments and what is there -> effects, or the reason for none.

use quorate::host::{Effect, Expect, Observed};
use quorate::plan::HostPlan;
use quorate::role::Registered;

use super::role::{effects, only, with};
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

pub(super) fn written(plan: &HostPlan) -> (String, Expect) {
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
