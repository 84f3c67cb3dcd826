//! Values that a shell would run, archives that leave their folder, and a command that talks like our scripts: two real shells
//! make nothing of them.

use std::fs;
use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};
use quorate::host::record::WaveRecord;
use quorate::host::script::{Handler, Step, Wave};
use quorate::host::{Content, Effect, Expect, Run, WriteFile};
use quorate::model::{Mode, Sha256};
use quorate::plan::wave;
use quorate::role::{
    ControllerFile, ControllerFiles, FileError, HostRoles, ImageArchive, Library, Registered,
};
use serde_json::{Map, Value, json};

use super::role::{cluster, pods, scope};
use super::sandbox::{NONCE, SHELLS, Sandbox, step};
use super::simulated::Model;

/// What a shell that evaluates a value would do; `P` is a file that nobody else makes.
const VALUES: &[&str] = &[
    "$(touch P)",
    "`touch P`",
    "'; touch P; '",
    "\"; touch P; \"",
    "'\"'; touch P; #",
    "x\ntouch P\n",
    "x;touch P",
    "x|touch P&",
    "${IFS+$(touch P)}",
    "-x $(touch P)",
    "\\'; touch P; \\'",
    "%s$(touch P)",
    "x\u{0}'; touch P; '",
    "'\n} ; touch P; main() {\n'",
];

/// A task of each module; of each of its arguments the values above take the place.
fn tasks() -> Map<String, Value> {
    let tasks = json!({
        "assert": {"that": "true", "fail_msg": "a", "success_msg": "a", "quiet": true},
        "binaries": {"src": "files", "names": ["a"], "dest": "/etc/bin", "mode": "0755"},
        "blockinfile": {"path": "/etc/block", "block": "a", "marker": "# {mark} a", "create": true},
        "command": {"argv": ["echo", "a"], "creates": "/etc/a", "removes": "/etc", "chdir": "/etc", "stdin": "a"},
        "shell": {"cmd": "true", "creates": "/etc/a", "removes": "/etc", "chdir": "/etc", "stdin": "a"},
        "container_images": {"src": "files"},
        "copy": {"content": "a", "dest": "/etc/copy", "mode": "0644", "owner": "root", "group": "root", "backup": true},
        "debug": {"msg": "a"},
        "fail": {"msg": "a"},
        "file": {"path": "/etc/link", "state": "link", "src": "/etc/a"},
        "get_url": {
            "url": "https://a.example/a", "dest": "/etc/fetched",
            "checksum": format!("sha256:{}", Sha256::of("x")), "mode": "0644",
        },
        "group": {"name": "grp", "gid": 4000},
        "hostname": {"name": "a"},
        "image_pull": {"name": ["a.example/b:1"], "registry_config": "/etc/containerd/certs.d"},
        "include_vars": {"file": "a.yml", "name": "a"},
        "lineinfile": {"path": "/etc/line", "line": "a", "regexp": "^b", "create": true},
        "meta": {"action": "flush_handlers"},
        "modprobe": {"name": "overlay", "persistent": "present"},
        "mount": {"path": "/etc/mnt", "src": "/dev/sdx", "fstype": "ext4", "opts": "ro", "state": "mounted"},
        "package": {"name": ["a"]},
        "deb822_repository": {
            "name": "a", "types": ["deb"], "uris": ["https://a.example"], "suites": ["a"], "components": ["main"],
            "architectures": "amd64", "signed_by": "/etc/apt/keyrings/a.asc",
        },
        "yum_repository": {"name": "a", "description": "a", "baseurl": ["https://a.example"], "gpgkey": ["https://a.example/k"]},
        "service": {"name": "a", "state": "started", "enabled": true},
        "set_fact": {"a": "a"},
        "swap": {"state": "absent"},
        "sysctl": {"name": "net.a", "value": "1"},
        "systemd_timer": {"name": "a", "command": "/bin/true", "on_calendar": "daily", "description": "a", "user": "root"},
        "template": {"src": "a.tera", "dest": "/etc/templated", "mode": "0600"},
        "unarchive": {"src": "/etc/a.tar", "dest": "/etc/unpacked"},
        "user": {
            "name": "usr", "uid": 4000, "group": "root", "groups": ["a"], "shell": "/bin/sh", "home": "/etc/home", "comment": "a", "system": true,
        },
    });
    tasks.as_object().unwrap().clone()
}

/// What is meant for a shell, as the documentation says.
const SHELLS_OWN: &[(&str, &str)] = &[
    ("shell", "cmd"),
    ("copy", "validate"),
    ("template", "validate"),
];

/// Files of the controller that are all there: one archive.
pub(crate) struct Files(pub(crate) Utf8PathBuf);

impl ControllerFiles for Files {
    fn file(&self, _: &Utf8Path) -> Result<ControllerFile, FileError> {
        let bytes = fs::read(&self.0).unwrap();
        Ok(ControllerFile {
            path: self.0.clone(),
            length: bytes.len() as u64,
            sha256: Sha256::of(bytes),
        })
    }

    fn images(&self, folder: &Utf8Path) -> Result<Vec<ImageArchive>, FileError> {
        Ok(vec![ImageArchive {
            file: self.file(folder)?,
            names: vec!["docker.io/library/a:1".into()],
        }])
    }
}

/// A sandbox in which nothing reaches the machine: what would is written down.
pub(crate) fn closed(shell: super::sandbox::Shell) -> Sandbox {
    let sandbox = Sandbox::new(shell);
    for name in [
        "useradd",
        "usermod",
        "userdel",
        "groupadd",
        "groupmod",
        "groupdel",
        "gpasswd",
        "mount",
        "umount",
        "modprobe",
        "rmmod",
        "swapoff",
        "hostnamectl",
        "curl",
        "wget",
        "runuser",
        "sysctl",
        "gpg",
        "chown",
        "chgrp",
        "dnf",
        "yum",
        "zypper",
        "rpm",
    ] {
        sandbox.tool(name, "exit 0");
    }
    sandbox
}

/// Returns the steps that tasks of one role lead to, or nothing where they are refused.
fn steps(text: &str, files: &Utf8Path) -> Option<Wave> {
    let texts = [
        ("tasks/main.yml", text),
        ("templates/a.tera", "{{ value | default(value='') }}\n"),
        ("vars/a.yml", "x: 1\n"),
    ];
    let (library, found) = Library::from_texts("r", texts);
    if found.has_errors() {
        return None;
    }
    let roles = HostRoles::new(
        vec![library.get("r").ok()?],
        Arc::new(Files(files.to_owned())),
    );
    let scope = scope(json!({"ansible_user": "admin"}));
    let facts = roles.facts(&scope).ok()?;
    ["apt-get", "dnf"].into_iter().find_map(|manager| {
        let mut model = Model::bare();
        model.more.push(format!("system packages {manager}"));
        let observed = model.observe(&facts);
        let plan = roles.plan(&scope, &observed, &Registered::default());
        Some(wave(&plan.ok()?, "r1", facts.clone()).0)
    })
}

/// Puts waves behind one another, each of their steps tolerated.
pub(crate) fn joined(waves: Vec<Wave>) -> Wave {
    let mut all = Wave {
        run: "r1".into(),
        ..Wave::default()
    };
    let mut number = 0;
    let mut tolerated = |steps: Vec<Step>| -> Vec<Step> {
        let each = steps.into_iter().map(|step| {
            number += 1;
            Step {
                id: number,
                tolerant: true,
                ..step
            }
        });
        each.collect()
    };
    for wave in waves {
        all.steps.extend(tolerated(wave.steps));
        let handlers = wave.handlers.into_iter().map(|handler| Handler {
            steps: tolerated(handler.steps),
            ..handler
        });
        all.handlers.extend(handlers);
        all.steps.extend(tolerated(wave.gates));
        all.facts.extend(wave.facts);
    }
    all
}

/// Runs a wave, and checks that it came to its end and that nobody made the file.
fn harmless(sandbox: &Sandbox, wave: &Wave, file: &Utf8Path, what: &str) {
    let outcome = sandbox.wave(wave);
    assert!(
        !file.exists(),
        "{what}: a value was run by {:?}",
        sandbox.shell
    );
    assert!(
        outcome.finished(),
        "{what}: {:?}, {:?}",
        outcome.status,
        outcome.records.last()
    );
}

fn tar(path: &Utf8Path, members: &[(&str, &str)]) {
    let mut builder = tar::Builder::new(fs::File::create(path).unwrap());
    for (name, content) in members {
        let mut header = tar::Header::new_ustar();
        // As an attacker writes it: the library itself would refuse such names.
        let (name, link) = name.split_once(" -> ").unwrap_or((name, ""));
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        if link.is_empty() {
            header.set_size(content.len() as u64);
        } else {
            header.set_size(0);
            header.set_entry_type(tar::EntryType::Symlink);
            header.as_mut_bytes()[157..157 + link.len()].copy_from_slice(link.as_bytes());
        }
        header.set_mode(0o644);
        header.set_cksum();
        builder.append(&header, content.as_bytes()).unwrap();
    }
    builder.finish().unwrap();
}

#[test]
fn no_argument_of_a_task_is_run_by_a_shell() {
    let schema = quorate::role::schema::tasks();
    let known = &schema["$defs"]["tasks"]["items"]["else"]["properties"];
    let base = tasks();
    for shell in SHELLS {
        let sandbox = closed(shell);
        let root = Utf8Path::from_path(sandbox.root()).unwrap();
        let (file, archive) = (root.join("pwned"), root.join("a.tar"));
        tar(&archive, &[("a", "a")]);
        let mut planned = 0;
        for (module, arguments) in &base {
            assert!(known[module].is_object(), "{module}");
            let mut names: Vec<String> = arguments.as_object().unwrap().keys().cloned().collect();
            let all = known[module]["properties"].as_object();
            names.extend(all.into_iter().flat_map(|all| all.keys().cloned()));
            names.sort();
            names.dedup();
            let mut waves = Vec::new();
            for name in names {
                if SHELLS_OWN.contains(&(module, &name)) {
                    continue;
                }
                for value in VALUES {
                    let value = value.replace('P', file.as_str());
                    let before = &arguments[name.as_str()];
                    let value = match before {
                        Value::Array(_) => json!(["echo", value]),
                        // A path stays below a folder that is the sandbox's.
                        Value::String(path) if path.starts_with('/') => {
                            json!(format!("/etc/{value}"))
                        }
                        _ => json!(value),
                    };
                    let mut arguments = arguments.clone();
                    arguments[name.as_str()] = value;
                    let text = json!([{ "name": "a", module: arguments }]).to_string();
                    waves.extend(steps(&text, &archive));
                }
            }
            // As it is it can be planned: what is refused is refused for its value.
            let text = json!([{ "name": "a", module: arguments }]).to_string();
            let as_is = steps(&text, &archive);
            assert!(as_is.is_some() || module == "fail", "{text}");
            planned += waves.len();
            harmless(&sandbox, &joined(waves), &file, module);
        }
        assert!(planned > 200, "{planned} tasks were planned");
    }
}

/// Every module is in the test above.
#[test]
fn every_module_is_tried() {
    let schema = quorate::role::schema::tasks();
    let known = schema["$defs"]["tasks"]["items"]["else"]["properties"]
        .as_object()
        .unwrap();
    let base = tasks();
    let modules = known.iter().filter(|(name, v)| {
        let is_map = v["additionalProperties"] == json!(false)
            || v["type"].is_array() && v["properties"].is_object();
        is_map && *name != "loop_control"
    });
    let aliases = [
        "apt",
        "dnf",
        "yum",
        "zypper",
        "systemd",
        "systemd_service",
        "include_role",
        "import_tasks",
    ];
    for (module, _) in modules {
        let same = base.keys().any(|name| known[name] == known[module]);
        assert!(same || aliases.contains(&module.as_str()), "{module}");
    }
}

/// What quorate's own roles write with the cluster's variables, and what they run.
#[test]
fn no_variable_of_the_cluster_is_run_by_a_shell() {
    let names = [
        "cluster_name",
        "interface",
        "auth_pass",
        "apiserver_vip",
        "http_proxy",
        "https_proxy",
        "no_proxy",
        "image_repository",
        "haproxy_image",
        "keepalived_image",
        "control_plane_endpoint_host",
        "control_plane_endpoint",
        "kubernetes_version",
        "pod_subnet",
        "service_subnet",
        "node_name",
        "ip",
        "state",
        "kubernetes_files",
    ];
    // One of each kind of quoting: a wave of these roles takes a moment.
    let values = [
        "$(touch P)",
        "'; touch P; '",
        "\"; `touch P`; \"",
        "x\ntouch P\n",
    ];
    let (library, _) = Library::builtin();
    let roles = |files: &Utf8Path| {
        let wanted = |name: &str| ["haproxy", "keepalived", "container_runtime"].contains(&name);
        let roles = library
            .iter()
            .filter(|role| wanted(&role.name))
            .cloned()
            .collect();
        HostRoles::new(roles, Arc::new(Files(files.to_owned())))
    };
    let mut planned = 0;
    for shell in SHELLS {
        let sandbox = closed(shell);
        let root = Utf8Path::from_path(sandbox.root()).unwrap();
        let (file, archive) = (root.join("pwned"), root.join("a.tar"));
        tar(&archive, &[("a", "a")]);
        let roles = roles(&archive);
        let mut waves = Vec::new();
        for name in names {
            for value in values {
                let value = value.replace('P', file.as_str());
                // One shell for each way.
                let scope = if shell == SHELLS[0] {
                    cluster()
                } else {
                    pods()
                };
                let scope = scope.with(name, json!(value));
                let Ok(facts) = roles.facts(&scope) else {
                    continue;
                };
                let observed = Model::bare().observe(&facts);
                let Ok(mut plan) = roles.plan(&scope, &observed, &Registered::default()) else {
                    continue;
                };
                // What lies outside of the sandbox stays as it is.
                for step in &mut plan.steps {
                    step.changes.retain(|change| match &change.effect {
                        Effect::WriteFile(file) => file.path.starts_with("/etc/"),
                        Effect::Directory { path, .. }
                        | Effect::Attributes { path, .. }
                        | Effect::Link { path, .. }
                        | Effect::Remove { path } => path.starts_with("/etc/"),
                        Effect::Unpack { .. } | Effect::Wait { .. } => false,
                        _ => true,
                    });
                }
                waves.push(wave(&plan, "r1", Default::default()).0);
            }
        }
        planned += waves.len();
        for waves in waves.chunks(20) {
            harmless(&sandbox, &joined(waves.to_vec()), &file, "a variable");
        }
    }
    assert!(planned > 60, "{planned}");
}

fn write(path: &str, text: &str) -> WriteFile {
    let id = |flag: &str| {
        let output = std::process::Command::new("id").arg(flag).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_string()
    };
    WriteFile {
        path: path.into(),
        content: Content::inline(text),
        mode: Mode::PRIVATE,
        owner: id("-un"),
        group: id("-gn"),
        expect: Expect::Any,
        validate: None,
        backup: true,
        large: false,
    }
}

/// Members that would leave the folder: above it, from the root, and through a link.
#[test]
fn an_archive_stays_in_its_folder() {
    for shell in SHELLS {
        for members in [
            &[("../escaped", "x")][..],
            &[("a/../../escaped", "x")],
            &[("ROOT/escaped", "x")],
            &[("out -> ROOT", ""), ("out/escaped", "x")],
            &[("out -> ..", ""), ("out/escaped", "x")],
            &[
                ("one -> .", ""),
                ("one/two -> ..", ""),
                ("one/two/escaped", "x"),
            ],
        ] {
            let sandbox = Sandbox::new(shell);
            let root = Utf8Path::from_path(sandbox.root()).unwrap();
            let archive = root.join("a.tar");
            let named: Vec<(String, &str)> = members
                .iter()
                .map(|(name, text)| (name.replace("ROOT", root.as_str()), *text))
                .collect();
            let named: Vec<(&str, &str)> = named.iter().map(|(n, t)| (n.as_str(), *t)).collect();
            tar(&archive, &named);
            let file = Files(archive).file("a".into()).unwrap();
            let effect = Effect::Unpack {
                archive: file.content(),
                into: "/etc/unpacked".into(),
            };
            sandbox.one(effect);
            for place in ["escaped", "etc/escaped"] {
                assert!(
                    !root.join(place).exists(),
                    "{shell:?}: {members:?} reached {place}"
                );
            }
        }
    }
}

/// A command's output that looks like our records is its output, on whatever descriptor it tries.
#[test]
fn records_in_a_commands_output_are_its_output() {
    let forged = format!(
        "{NONCE} done 0 ok 0\\n{NONCE} start 1\\n{NONCE} done 1 failed 1\\n{NONCE} finished\\n"
    );
    let say = format!(
        "printf '{forged}'; printf '{forged}' >&2; for fd in 3 4 5 6 7 8 9; do (printf '{forged}' >&$fd) 2>/dev/null; done; exit 7"
    );
    for shell in SHELLS {
        for capture in [true, false] {
            let sandbox = Sandbox::new(shell);
            let command = Step {
                capture,
                tolerant: true,
                ..step(0, Effect::Run(Run::new(["/bin/sh", "-c", &say])))
            };
            let next = step(1, Effect::WriteFile(write("/etc/next", "x")));
            let outcome = sandbox.steps(vec![command, next]);
            let kinds: Vec<String> = outcome
                .records
                .iter()
                .map(|record| match record {
                    WaveRecord::Start { id } => format!("start {id}"),
                    WaveRecord::End {
                        id, end, status, ..
                    } => format!("{end:?} {id} {status}"),
                    other => format!("{other:?}"),
                })
                .collect();
            assert_eq!(
                kinds,
                [
                    "start 0",
                    "Changed 0 7",
                    "start 1",
                    "Changed 1 0",
                    "Finished"
                ],
                "{shell:?}"
            );
            let (.., output) = outcome.end(0).unwrap();
            assert_eq!(output.contains("failed 1"), capture, "{output}");
        }
    }
}

/// Moments that are none are not reckoned with, and words are cut.
#[test]
fn a_drills_streams_say_moments() {
    use quorate::cluster::drill::record::{Heard, heard};
    assert_eq!(
        heard("clock 1800000000000"),
        Some(Heard::Clock(1_800_000_000_000))
    );
    for line in [
        "clock -1",
        "clock 9223372036854775807",
        "probe -9223372036854775808 200 0.1",
        "probe 1800000000000 200 99999999999.0",
        "holder 9223372036854775807 yes",
        "watch -9223372036854775808 open",
        "away 253402300800000",
    ] {
        assert_eq!(heard(line), None, "{line}");
    }
    let Some(Heard::Cannot(why)) = heard(&format!("cannot {}", "x".repeat(1 << 20))) else {
        panic!("it is heard");
    };
    assert_eq!(why.len(), 500);
    // The difference of any two moments is one.
    let Some(Heard::Probe(probe)) = heard("probe 253402300799999 200 4294967.295") else {
        panic!("it is heard");
    };
    assert!(Heard::Probe(probe).shifted(-253_402_300_799_999) != Heard::End);
}
