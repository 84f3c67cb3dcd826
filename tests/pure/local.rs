//! Modules for accounts, mounts, lines, timers and fetched files: what is planned, and what two real shells make of it.

use quorate::event::{ChangeKind, Status};
use quorate::host::record::End;
use quorate::host::{Effect, Facts, Observed};
use quorate::plan::{HostPlan, wave};
use quorate::role::{HostRoles, Library, Registered, StepResult};
use quorate::template::Scope;

use super::role::{effects, mistakes, only};
use super::sandbox::{SHELLS, Sandbox};
use super::simulated::{Entry, Model, text};

const APP: &str = "user app YXBwOng6MTAwMDoxMDAwOlRoZSBBcHA6L2hvbWUvYXBwOi9iaW4vc2g= YXBwCg== YXBwIGFkbSBkb2NrZXIK";

fn model() -> Model {
    let mut model = Model::bare();
    let config = "# a file\nPort 22\n#Root yes\nUse yes\nPort 23\n";
    model.files.insert("/etc/config".into(), text(config));
    model
        .files
        .insert("/srv/data".into(), Entry::Directory { mode: 0o755 });
    let sha = quorate::model::Sha256::of("fetched");
    let fetched = Entry::File {
        bytes: None,
        sha,
        mode: 0o644,
        owner: "root".into(),
        group: "root".into(),
    };
    model.files.insert("/opt/fetched".into(), fetched);
    model.units.insert("old.timer".into(), (true, true, 1));
    model.more = vec![
        APP.into(),
        "group adm 4".into(),
        "mount /srv/data L2Rldi9zZGIx ext4".into(),
    ];
    model
}

fn planned(tasks: &str, model: &Model) -> Result<HostPlan, String> {
    let (roles, scope) = only(tasks);
    let facts = roles
        .facts(&scope)
        .unwrap_or_else(|e| panic!("{tasks}\n{e:?}"));
    let plan = roles.plan(&scope, &model.observe(&facts), &Registered::default());
    plan.map_err(|e| e.iter().map(ToString::to_string).collect())
}

#[test]
fn what_differs_is_planned_and_nothing_else() {
    let digest = quorate::model::Sha256::of("fetched");
    let other = quorate::model::Sha256::of("other");
    let fetched = format!(
        "get_url: {{url: 'https://example.org/f', dest: /opt/fetched, checksum: 'sha256:{digest}'}}"
    );
    let moded = format!(
        "get_url: {{url: 'https://example.org/f', dest: /opt/fetched, checksum: 'sha256:{digest}', mode: '0755'}}"
    );
    let newer = format!(
        "get_url: {{url: 'https://example.org/f', dest: /opt/fetched, checksum: 'sha256:{other}'}}"
    );
    let cases: &[(&str, &[&str])] = &[
        ("group: {name: adm}", &[]),
        ("group: {name: adm, gid: 4}", &[]),
        (
            "group: {name: adm, gid: 5}",
            &["change group adm: --gid 5 [gid is 4]"],
        ),
        (
            "group: {name: web, system: true}",
            &["add group web [is absent]"],
        ),
        (
            "group: {name: adm, state: absent}",
            &["remove group adm [is there]"],
        ),
        ("group: {name: web, state: absent}", &[]),
        ("user: {name: app}", &[]),
        (
            "user: {name: app, uid: 1000, group: app, shell: /bin/sh, home: /home/app, comment: The App}",
            &[],
        ),
        (
            "user: {name: app, group: '1000', groups: [docker, adm]}",
            &[],
        ),
        ("user: {name: app, groups: adm, append: true}", &[]),
        (
            "user: {name: app, groups: adm}",
            &["change user app: --groups adm [groups is adm,docker]"],
        ),
        (
            "user: {name: app, groups: [web], append: true, shell: /bin/bash}",
            &[
                "change user app: --groups web --shell /bin/bash --append [groups is adm,docker, shell is /bin/sh]",
            ],
        ),
        (
            "user: {name: app, groups: []}",
            &["change user app: --groups '' [groups is adm,docker]"],
        ),
        (
            "user: {name: new, system: true}",
            &["add user new [is absent]"],
        ),
        (
            "user: {name: app, state: absent}",
            &["remove user app [is there]"],
        ),
        ("user: {name: new, state: absent}", &[]),
        (
            "mount: {path: /srv/data, src: /dev/sdb1, fstype: ext4, state: mounted}",
            &["write /etc/fstab [content differs]"],
        ),
        (
            "mount: {path: /, src: /dev/sda1, fstype: ext4, opts: x, state: present}",
            &["!/ is not for a role"],
        ),
        (
            "mount: {path: /srv/new, src: /dev/sdc1, fstype: xfs, opts: 'noatime,nofail', state: mounted}",
            &[
                "write /etc/fstab [content differs]",
                "make directory /srv/new [to mount it there]",
                "mount /srv/new [is not mounted]",
            ],
        ),
        (
            "mount: {path: /srv/data, state: unmounted}",
            &["unmount /srv/data [is mounted]"],
        ),
        ("mount: {path: /srv/none, state: absent}", &[]),
        (
            "mount: {path: /srv/data, src: /dev/sdz1, fstype: ext4, state: mounted}",
            &["!/dev/sdb1 is mounted at /srv/data, not /dev/sdz1"],
        ),
        (&fetched, &[]),
        (&moded, &["set mode 0755 of /opt/fetched [mode is 0644]"]),
        (
            &newer,
            &["fetch /opt/fetched from https://example.org/f [content differs]"],
        ),
        (
            "systemd_timer: {name: tidy, command: 'tidy \"all\"', on_calendar: daily}",
            &[
                "write /etc/systemd/system/tidy.service [is absent]",
                "write /etc/systemd/system/tidy.timer [is absent]",
                "reload systemd's units [its files change]",
                "enable tidy.timer [is not enabled]",
                "start tidy.timer [does not run]",
            ],
        ),
        ("systemd_timer: {name: none, state: absent}", &[]),
        (
            "systemd_timer: {name: old, state: absent}",
            &["stop old.timer [is there]", "disable old.timer [is there]"],
        ),
        ("lineinfile: {path: /etc/config, line: Use yes}", &[]),
        (
            "lineinfile: {path: /etc/config, line: New yes}",
            &["write /etc/config [content differs]"],
        ),
        (
            "lineinfile: {path: /etc/none, line: a}",
            &["!does not say `create: true`"],
        ),
        (
            "lineinfile: {path: /etc/none, line: a, create: true}",
            &["write /etc/none [is absent]"],
        ),
        ("lineinfile: {path: /etc/none, line: a, state: absent}", &[]),
        (
            "lineinfile: {path: /etc/config, regexp: '^Nothing', state: absent}",
            &[],
        ),
    ];
    for (task, expected) in cases {
        let tasks = format!("- {task}\n");
        let (library, found) = Library::from_texts("r", [("tasks/main.yml", tasks.as_str())]);
        assert!(!found.has_errors(), "{task} {found:?}");
        if let Some(refusal) = expected.first().and_then(|e| e.strip_prefix('!')) {
            let roles = HostRoles::new(
                vec![library.get("r").unwrap()],
                std::sync::Arc::new(super::role::AllThere),
            );
            let said = match roles.facts(&Scope::new()) {
                Err(errors) => errors.iter().map(ToString::to_string).collect(),
                Ok(_) => planned(&tasks, &model()).unwrap_err(),
            };
            assert!(said.contains(refusal), "{task}: {said}");
            continue;
        }
        let plan = planned(&tasks, &model()).unwrap_or_else(|e| panic!("{task}: {e}"));
        assert_eq!(effects(&plan), *expected, "{task}");
        // What nobody has seen is never taken for unchanged.
        let (roles, scope) = only(&tasks);
        if let Ok(blind) = roles.plan(&scope, &Observed::default(), &Registered::default()) {
            assert!(
                effects(&blind)
                    .iter()
                    .any(|e| e.ends_with("[(known after apply)]")),
                "{task}"
            );
        }
    }
}

/// A plan says of accounts, too, what comes and what goes.
#[test]
fn accounts_come_and_go() {
    for (task, kind) in [
        ("user: {name: carl}", ChangeKind::Create),
        ("group: {name: carl}", ChangeKind::Create),
        ("user: {name: app, comment: Another}", ChangeKind::Change),
        ("user: {name: app, state: absent}", ChangeKind::Remove),
        ("group: {name: adm, state: absent}", ChangeKind::Remove),
    ] {
        let plan = planned(&format!("- {task}\n"), &model()).unwrap();
        assert_eq!(plan.steps[0].changes[0].effect.kind(), kind, "{task}");
    }
}

#[test]
fn lines_are_edited_as_ansible_does() {
    let before = "# a file\nPort 22\n#Root yes\nUse yes\nPort 23\n";
    let cases = [
        (
            "line: Port 24, regexp: '^Port '",
            "# a file\nPort 22\n#Root yes\nUse yes\nPort 24\n",
        ),
        (
            "line: Root no, regexp: '^#?Root'",
            "# a file\nPort 22\nRoot no\nUse yes\nPort 23\n",
        ),
        (
            "line: New, insertafter: '^Port'",
            "# a file\nPort 22\n#Root yes\nUse yes\nPort 23\nNew\n",
        ),
        (
            "line: New, insertbefore: '^Port'",
            "# a file\nPort 22\n#Root yes\nUse yes\nNew\nPort 23\n",
        ),
        (
            "line: New, insertafter: '^#Root'",
            "# a file\nPort 22\n#Root yes\nNew\nUse yes\nPort 23\n",
        ),
        (
            "line: New, insertbefore: BOF",
            "New\n# a file\nPort 22\n#Root yes\nUse yes\nPort 23\n",
        ),
        (
            "line: New, insertbefore: nothing",
            "# a file\nPort 22\n#Root yes\nUse yes\nPort 23\nNew\n",
        ),
        (
            "line: New, search_string: 'oot ye'",
            "# a file\nPort 22\nNew\nUse yes\nPort 23\n",
        ),
        (
            "line: New, regexp: nothing, insertafter: EOF",
            "# a file\nPort 22\n#Root yes\nUse yes\nPort 23\nNew\n",
        ),
        (
            "regexp: '^Port', state: absent",
            "# a file\n#Root yes\nUse yes\n",
        ),
        (
            "line: Use yes, state: absent",
            "# a file\nPort 22\n#Root yes\nPort 23\n",
        ),
    ];
    for (arguments, after) in cases {
        let plan = planned(
            &format!("- lineinfile: {{path: /etc/config, {arguments}}}\n"),
            &model(),
        )
        .unwrap();
        let diff = plan.steps[0].changes[0].diff.clone().unwrap();
        assert_eq!(
            (diff.before.as_deref(), diff.after.as_str()),
            (Some(before), after),
            "{arguments}"
        );
        // What was edited stays as it is.
        let mut model = model();
        model.files.insert("/etc/config".into(), text(after));
        let again = planned(
            &format!("- lineinfile: {{path: /etc/config, {arguments}}}\n"),
            &model,
        )
        .unwrap();
        assert!(again.is_empty(), "{arguments}: {again:?}");
    }
}

/// What a task before brings is looked at when it is there: neither refused as absent nor taken for absent.
#[test]
fn a_file_that_a_task_before_may_bring_is_known_after_apply() {
    let edit = |path: &str| format!("- {{name: edit, lineinfile: {{path: {path}, line: a}}}}\n");
    let copy = |path: &str| format!("- {{name: edit, copy: {{content: a, dest: {path}}}}}\n");
    for (before, then, is_later) in [
        ("- package: {name: cron}\n", edit("/etc/default/cron"), true),
        ("- user: {name: carl}\n", edit("/home/carl/.profile"), true),
        (
            "- user: {name: carl, home: /srv/c}\n",
            edit("/srv/c/.profile"),
            true,
        ),
        ("- user: {name: carl}\n", copy("/home/carl/.profile"), true),
        (
            "- user: {name: carl, create_home: false}\n",
            copy("/home/carl/.profile"),
            false,
        ),
        (
            "- file: {path: /opt/l, state: link, src: /opt/real}\n",
            copy("/opt/l/f"),
            true,
        ),
    ] {
        let plan = planned(&format!("{before}{then}"), &model()).unwrap();
        let waits = !plan.known_after_apply.is_empty();
        let why = |s: &quorate::plan::Step| s.changes[0].why.clone();
        let later = plan
            .steps
            .get(1)
            .is_some_and(|s| why(s).contains("known after apply"));
        assert_eq!(waits || later, is_later, "{before}{then}: {plan:#?}");
    }
    // A link is not followed, and said to be one.
    let mut linked = model();
    let link = Entry::Link {
        target: "/etc/config".into(),
    };
    linked.files.insert("/etc/l".into(), link);
    for module in [
        "lineinfile: {path: /etc/l, line: a}",
        "blockinfile: {path: /etc/l, block: a}",
    ] {
        let refused = planned(&format!("- {module}\n"), &linked).unwrap_err();
        let why = "/etc/l is a symbolic link: name the file that it leads to";
        assert!(refused.contains(why), "{refused}");
    }
    // Nothing before it could bring it.
    let refused = planned(&edit("/etc/default/cron"), &model()).unwrap_err();
    assert!(refused.contains("does not say `create: true`"), "{refused}");
}

#[test]
fn fstab_has_one_line_for_a_path() {
    let fstab = |text_before: &str, arguments: &str| {
        let mut model = Model::bare();
        model.files.insert("/etc/fstab".into(), text(text_before));
        let plan = planned(&format!("- mount: {{path: /srv/a, {arguments}}}\n"), &model).unwrap();
        let diff = plan.steps.first().and_then(|s| s.changes[0].diff.clone());
        diff.map(|d| d.after)
    };
    let wanted = "src: /dev/x, fstype: ext4, state: present";
    let line = "/dev/x /srv/a ext4 defaults 0 0\n";
    assert_eq!(fstab("", wanted).as_deref(), Some(line));
    assert_eq!(fstab("/dev/x\t/srv/a\text4 defaults 0 0\n", wanted), None);
    let two = "# /dev/x /srv/a\n/dev/y /srv/a ext3 ro 0 0\n/dev/q /srv/ab xfs ro 0 0\n/dev/z /srv/a ext3 ro 0 0\n";
    let one = "# /dev/x /srv/a\n/dev/x /srv/a ext4 defaults 0 0\n/dev/q /srv/ab xfs ro 0 0\n";
    assert_eq!(fstab(two, wanted).as_deref(), Some(one));
    let none = "# /dev/x /srv/a\n/dev/q /srv/ab xfs ro 0 0\n";
    assert_eq!(fstab(two, "state: absent").as_deref(), Some(none));
}

#[test]
fn mistakes_are_named_with_their_place() {
    let cases = [
        "- lineinfile: {path: /etc/a, line: \"a\\nb\"}",
        "- lineinfile: {path: /etc/a, line: a, regexp: '('}",
        "- lineinfile: {path: /etc/a, line: a, regexp: '(?=x)'}",
        "- lineinfile: {path: /etc/a, regexp: a}",
        "- lineinfile: {path: /etc/a, line: a, regexp: a, search_string: a}",
        "- lineinfile: {path: /etc/a, line: a, insertafter: a, insertbefore: b}",
        "- lineinfile: {path: /etc/a, line: a, backrefs: true}",
        "- user: {name: a, password: x}",
        "- user: {name: 'a b'}",
        "- user: {name: a, uid: x}",
        "- user: {name: a, shell: sh}",
        "- user: {uid: 3}",
        "- group: {name: a, gid: -1}",
        "- group: {name: '-a'}",
        "- cron: {name: a, job: b}",
        "- systemd_timer: {name: a, on_calendar: daily}",
        "- systemd_timer: {name: a.timer, command: x, on_calendar: daily}",
        "- systemd_timer: {name: a, command: \"a\\nb\", on_calendar: daily}",
        "- mount: {path: /srv/a, state: mounted}",
        "- mount: {path: /srv/a, src: x, fstype: y}",
        "- mount: {path: /srv/a, src: 'x y', fstype: ext4, state: present}",
        "- mount: {path: /srv/a, state: remounted}",
        "- get_url: {url: 'https://example.org', dest: /a}",
        "- get_url: {url: 'https://example.org', dest: /a, checksum: 'md5:0'}",
        "- get_url: {url: 'ftp://example.org', dest: /a, checksum: 'sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'}",
        "- get_url: {url: 'https://a:b@example.org', dest: /a, checksum: 'sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'}",
        "- unarchive: {src: /opt/a.tar, dest: /opt/a, remote_src: true}",
        "- unarchive: {src: a.tar, dest: /opt/a, remote_src: true, creates: /opt/a/b}",
        "- unarchive: {src: /opt/a.tar, dest: /opt/a, creates: /opt/a/b}",
    ];
    let all = mistakes(&cases, &[], |_| Scope::new());
    insta::assert_snapshot!("mistakes", all);
}

/// A sandbox with stand-ins for what changes accounts and mounts.
fn sandbox(kind: super::sandbox::Shell) -> Sandbox {
    let sandbox = Sandbox::new(kind);
    std::fs::write(
        sandbox.root().join("passwd"),
        "root:x:0:0:root:/root:/bin/sh\n",
    )
    .unwrap();
    std::fs::write(sandbox.root().join("group"), "root:x:0:\nadm:x:4:\n").unwrap();
    sandbox.tool("getent", "grep \"^$2:\" \"@/$1\"");
    sandbox.tool("id", "for last do :; done\ncase $1 in -u) echo 0 ;; -gn) echo app ;; -Gn) cat \"@/groups.$last\" ;; esac");
    sandbox.tool("useradd", "echo \"useradd $*\" >>@/log\nfor last do :; done\necho \"$last:x:1000:1000:The App:/home/$last:/bin/sh\" >>@/passwd\necho \"app adm\" >\"@/groups.$last\"");
    sandbox.tool(
        "usermod",
        "echo \"usermod $*\" >>@/log\nsed -i 's,/bin/sh$,/bin/bash,' @/passwd",
    );
    sandbox.tool(
        "userdel",
        "echo \"userdel $*\" >>@/log\nfor last do :; done\nsed -i \"/^$last:/d\" @/passwd",
    );
    sandbox.tool(
        "groupadd",
        "echo \"groupadd $*\" >>@/log\nfor last do :; done\necho \"$last:x:77:\" >>@/group",
    );
    sandbox.tool(
        "groupdel",
        "echo \"groupdel $*\" >>@/log\nfor last do :; done\nsed -i \"/^$last:/d\" @/group",
    );
    sandbox.write("/proc/self/mounts", "/dev/sda1 / ext4 rw 0 0\n");
    sandbox.write("/etc/fstab", "/dev/sda1 / ext4 defaults 0 1\n");
    sandbox.tool(
        "mount",
        "echo \"mount $*\" >>@/log\necho \"/dev/sdb1 $1 ext4 rw 0 0\" >>@/proc/self/mounts",
    );
    sandbox.tool("umount", "echo \"umount $*\" >>@/log\ngrep -v \" $1 \" @/proc/self/mounts >@/mounts.new; cat @/mounts.new >@/proc/self/mounts");
    sandbox
}

/// Plans from what the sandbox says, runs the wave, and returns the ends with the next plan.
fn apply(sandbox: &Sandbox, tasks: &str) -> (Vec<End>, Vec<String>) {
    let (roles, scope) = only(tasks);
    let facts: Facts = roles.facts(&scope).unwrap_or_else(|e| panic!("{e:?}"));
    let mut registered = Registered::default();
    let plan = roles
        .plan(&scope, &sandbox.probe(&facts), &registered)
        .unwrap_or_else(|e| panic!("{e:?}"));
    let (script, steps) = wave(&plan, "r", facts.clone());
    let outcome = sandbox.wave(&script);
    let ends: Vec<_> = (0..steps.len())
        .filter_map(|id| outcome.end(id as u32))
        .collect();
    for (step, end) in steps.iter().zip(&ends) {
        assert_ne!(
            end.0,
            End::Failed,
            "{:?} {}: {end:?}",
            sandbox.shell,
            step.title
        );
        registered.record(&step.title, Status::Ok, StepResult::default());
    }
    let next = roles.plan(&scope, &sandbox.probe(&facts), &Registered::default());
    let left = effects(&next.unwrap_or_else(|e| panic!("{e:?}")));
    (ends.into_iter().map(|e| e.0).collect(), left)
}

#[test]
fn accounts_are_made_changed_and_removed_once() {
    for kind in SHELLS {
        let sandbox = sandbox(kind);
        let log = || sandbox.read("/log").unwrap_or_default();
        let make = "- group: {name: web, system: true}\n- user: {name: app, groups: [adm], comment: The App}\n";
        assert_eq!(
            apply(&sandbox, make),
            (vec![End::Changed; 2], vec![]),
            "{kind:?}"
        );
        assert_eq!(
            log(),
            "groupadd --system web\nuseradd --groups adm --comment The App --create-home app\n",
            "{kind:?}"
        );
        let change = "- user: {name: app, shell: /bin/bash}\n";
        assert_eq!(apply(&sandbox, change).1, [""; 0], "{kind:?}");
        assert!(
            log().ends_with("usermod --shell /bin/bash app\n"),
            "{kind:?} {}",
            log()
        );
        // Who is there by the time is left alone.
        let again = |effect: &Effect| sandbox.one(effect.clone()).0;
        let plan = planned(
            "- user: {name: app, state: absent, remove: true}\n",
            &model(),
        )
        .unwrap();
        let gone = &plan.steps[0].changes[0].effect;
        assert_eq!(
            (again(gone), again(gone)),
            (End::Changed, End::Ok),
            "{kind:?}"
        );
        assert!(
            log().ends_with("userdel --remove app\n"),
            "{kind:?} {}",
            log()
        );
        let absent = "- group: {name: web, state: absent}\n- group: {name: none, state: absent}\n";
        assert_eq!(
            apply(&sandbox, absent),
            (vec![End::Changed], vec![]),
            "{kind:?}"
        );
    }
}

#[test]
fn a_file_system_is_mounted_and_unmounted_once() {
    for kind in SHELLS {
        let sandbox = sandbox(kind);
        let mount = "- mount: {path: /etc/data, src: /dev/sdb1, fstype: ext4, state: mounted}\n";
        let (ends, left) = apply(&sandbox, mount);
        assert_eq!((ends, left), (vec![End::Changed], vec![]), "{kind:?}");
        let fstab = "/dev/sda1 / ext4 defaults 0 1\n/dev/sdb1 /etc/data ext4 defaults 0 0\n";
        assert_eq!(
            sandbox.read("/etc/fstab").as_deref(),
            Some(fstab),
            "{kind:?}"
        );
        let absent = "- mount: {path: /etc/data, state: absent}\n";
        assert_eq!(apply(&sandbox, absent).1, [""; 0], "{kind:?}");
    }
}

#[test]
fn a_fetched_file_is_what_was_meant_or_nothing() {
    let digest = quorate::model::Sha256::of("fetched");
    let task = |sum: &str| {
        format!(
            "- get_url: {{url: 'https://example.org/f', dest: /etc/new/f, checksum: 'sha256:{sum}', owner: {{u}}, group: {{g}}}}\n"
        )
    };
    let account = |flag: &str| {
        let output = std::process::Command::new("id").arg(flag).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_string()
    };
    let owned = |text: String| {
        text.replace("{u}", &account("-un"))
            .replace("{g}", &account("-gn"))
    };
    let plan = |tasks: &str| match planned(tasks, &Model::bare()).unwrap().steps[0].changes[0]
        .effect
        .clone()
    {
        Effect::Fetch(fetch) => Effect::Fetch(fetch),
        other => panic!("{other:?}"),
    };
    for kind in SHELLS {
        let sandbox = Sandbox::new(kind);
        let curl =
            "echo \"$*\" >>@/log\nwhile [ \"$1\" != -o ]; do shift; done\nprintf fetched >\"$2\"";
        sandbox.tool("curl", curl);
        let good = plan(&owned(task(&digest.to_string())));
        let (end, status, said) = sandbox.one(good.clone());
        assert_eq!((end, status), (End::Changed, 0), "{kind:?} {said}");
        assert_eq!(sandbox.read("/etc/new/f").as_deref(), Some("fetched"));
        assert_eq!(sandbox.mode("/etc/new/f"), 0o644);
        assert_eq!(sandbox.one(good).0, End::Ok);
        let bad = plan(&owned(task(
            &quorate::model::Sha256::of("other").to_string(),
        )));
        sandbox.tool("curl", &format!("{curl}; exit 22"));
        let (end, _, said) = sandbox.one(bad.clone());
        assert!(
            end == End::Failed && said.contains("could not be fetched"),
            "{kind:?} {said}"
        );
        sandbox.tool("curl", curl);
        let (end, _, said) = sandbox.one(bad);
        assert!(
            end == End::Failed && said.contains("is unchanged"),
            "{kind:?} {said}"
        );
        assert_eq!(sandbox.read("/etc/new/f").as_deref(), Some("fetched"));
        let files = std::fs::read_dir(sandbox.path("/etc/new")).unwrap().count();
        assert_eq!(files, 1, "{kind:?}: nothing is left beside it");
    }
}

#[test]
fn accounts_and_mounts_are_seen() {
    for kind in SHELLS {
        let sandbox = sandbox(kind);
        std::fs::write(
            sandbox.root().join("passwd"),
            "app:x:1000:1000:The App:/home/app:/bin/sh\n",
        )
        .unwrap();
        std::fs::write(sandbox.root().join("groups.app"), "app adm\n").unwrap();
        let line = format!(
            "/dev/sdb1 {}/etc/data xfs rw 0 0\n",
            sandbox.root().display()
        );
        sandbox.write("/proc/self/mounts", &line);
        let tasks = "- user: {name: app}\n- user: {name: none, state: absent}\n- group: {name: adm, gid: 4}\n- mount: {path: /etc/data, state: unmounted}\n";
        let (roles, scope) = only(tasks);
        let facts = roles.facts(&scope).unwrap();
        let observed = sandbox.probe(&facts);
        let plan = roles
            .plan(&scope, &observed, &Registered::default())
            .unwrap();
        assert_eq!(
            effects(&plan),
            ["unmount /etc/data [is mounted]"],
            "{kind:?}"
        );
    }
}
