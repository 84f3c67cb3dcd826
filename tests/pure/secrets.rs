//! Where secrets go on a host: into the files that they are for, and into no argument, environment or file beside.
//!
//! Each stand-in writes down the arguments and environments of all processes at the moment in which it runs, its own
//! shell's and that shell's among them.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use quorate::cluster::act::{self, Init, Join};
use quorate::cluster::kubeadm::{CertificateKey, Token};
use quorate::host::Effect;
use quorate::model::{Masks, Secret};
use quorate::plan::{HostPlan, wave};
use quorate::role::{HostRoles, Library, Registered, Unsaid};
use serde_json::json;

use super::hostile::{Files, closed, joined};
use super::kube_vip::{member, planned};
use super::role::{cluster, scope};
use super::sandbox::{SHELLS, Sandbox};
use super::simulated::Model;

/// Nobody else's process holds such a word.
const WORD: &str = "c4n4ry";
const TOKEN: &str = "c4n4ry.c4n4ryc4n4rytokn";

/// Takes what could be seen of any process by any user, and by the same one.
const LOOK: &str = "for p in /proc/[0-9]*; do cat $p/cmdline $p/environ 2>/dev/null; echo; done | tr '\\0' ' ' >>@/seen\n";

fn roles(names: &[&str], scope: quorate::template::Scope, sandbox: &Sandbox) -> HostPlan {
    let (library, found) = Library::builtin();
    assert!(!found.has_errors());
    let roles = names
        .iter()
        .map(|name| library.get(name).unwrap())
        .collect();
    plan(HostRoles::new(roles, files(sandbox)), scope)
}

fn files(sandbox: &Sandbox) -> Arc<Files> {
    let path = camino::Utf8Path::from_path(sandbox.root())
        .unwrap()
        .join("an-archive");
    fs::write(&path, "bytes").unwrap();
    Arc::new(Files(path))
}

fn plan(roles: HostRoles, scope: quorate::template::Scope) -> HostPlan {
    let facts = roles.facts(&scope).unwrap_or_else(|e| panic!("{e:?}"));
    let observed = Model::bare().observe(&facts);
    roles
        .plan(&scope, &observed, &Registered::default())
        .unwrap_or_else(|e| panic!("{e:?}"))
}

/// All that a run brings to hosts that is secret.
fn plans(sandbox: &Sandbox) -> Vec<HostPlan> {
    let token: Token = TOKEN.parse().unwrap();
    let key: CertificateKey = "c4".repeat(32).parse().unwrap();
    let config = Secret::new(format!(
        "token: {TOKEN}\ncertificateKey: {}\nother: {WORD}\n",
        "c4".repeat(32)
    ));
    drop((token, key));
    let seed = cluster()
        .with("load_balancer_profile", json!("seed"))
        .with("auth_pass", json!(WORD))
        .with(
            "http_proxy",
            json!(format!("http://me:{WORD}@proxy.example:3128")),
        )
        .with(
            "https_proxy",
            json!(format!("http://me:{WORD}@proxy.example:3128")),
        );
    let tasks = format!(
        "- copy: {{ dest: /etc/own, content: 'x {WORD}', mode: '0600' }}\n\
         - command: {{ argv: [cat], stdin: '{WORD}' }}\n  register: said\n\
         - shell: {{ cmd: 'tr a b', stdin: '{WORD}' }}\n  no_log: true\n"
    );
    let (library, found) = Library::from_texts("r", [("tasks/main.yml", tasks.as_str())]);
    assert!(!found.has_errors(), "{found:?}");
    let own = HostRoles::new(vec![library.get("r").unwrap()], files(sandbox));
    let init = Init {
        made_from: "d d",
        config: &config,
        digest: "d",
        run: "r1",
        endpoint: "vip.example:8443",
        manifests: &[],
        resume: false,
        seen: None,
    };
    let join = Join {
        config: &config,
        digest: "d",
        run: "r1",
        endpoint: "vip.example:8443",
        ca: "ca",
        control_plane: None,
        made_from: Some("d d"),
        resume: false,
        seen: None,
    };
    vec![
        roles(&["keepalived", "container_runtime"], seed, sandbox),
        planned(
            &format!(
                "load_balancer: kube-vip-bgp\nbgp_peers: [\"10.77.0.2:65001:{WORD}:false\"]\n"
            ),
            member(),
        ),
        plan(own, scope(json!({}))),
        begun(act::init(&init)),
        begun(act::join(&join)),
        act::mint(&config, "c4n4ry", true),
    ]
}

/// What is waited for behind kubeadm does not come here.
fn begun(mut plan: HostPlan) -> HostPlan {
    let unit = |effect: &Effect| matches!(effect, Effect::Run(run) if run.unit.is_some());
    let last = plan
        .steps
        .iter()
        .position(|step| step.changes.iter().any(|c| unit(&c.effect)));
    plan.steps.truncate(last.unwrap() + 1);
    plan
}

fn walk(folder: &Path, found: &mut Vec<(PathBuf, u32)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let meta = fs::symlink_metadata(&path).unwrap();
        if meta.is_dir() {
            walk(&path, found);
        } else if meta.is_file()
            && String::from_utf8_lossy(&fs::read(&path).unwrap()).contains(WORD)
        {
            found.push((path, meta.mode() & 0o777));
        }
    }
}

#[test]
fn secrets_reach_their_files_and_no_process() {
    for shell in SHELLS {
        let sandbox = closed(shell);
        for tool in [
            "kubeadm",
            "systemctl",
            "keepalived",
            "kubelet",
            "kubectl",
            "haproxy",
            "tr",
            "cat",
            "containerd",
        ] {
            let real = if ["tr", "cat"].contains(&tool) {
                format!("exec /bin/{tool} \"$@\"")
            } else {
                "exit 0".into()
            };
            // Not with the stand-in itself in PATH.
            sandbox.tool(tool, &format!("PATH=/usr/bin:/bin\n{LOOK}{real}"));
        }
        let mut waves = Vec::new();
        for mut plan in plans(&sandbox) {
            for step in &mut plan.steps {
                step.changes.retain(|change| match &change.effect {
                    Effect::WriteFile(file) => ["/etc/", "/run/", "/var/lib/quorate"]
                        .iter()
                        .any(|f| file.path.starts_with(f)),
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
        let wave = joined(waves);
        let request = quorate::host::script::request(&wave, super::sandbox::NONCE);
        assert!(!request.command().contains(WORD));
        let outcome = sandbox.wave(&wave);
        assert!(outcome.finished(), "{outcome:?}");
        let seen = sandbox.read("/seen").unwrap();
        assert!(
            seen.contains("--config"),
            "kubeadm was not seen at work: {seen}"
        );
        let at = seen.find(WORD).map(|at| {
            seen[at.saturating_sub(400)..]
                .chars()
                .take(800)
                .collect::<String>()
        });
        assert_eq!(at, None);

        // On the disk: what is theirs, for root alone; kubeadm's configuration is gone with its step.
        let mut found = Vec::new();
        for folder in ["etc", "run", "var"] {
            walk(&sandbox.root().join(folder), &mut found);
        }
        found.sort();
        let root = sandbox.root().to_owned();
        let places: Vec<String> = found
            .iter()
            .map(|(path, mode)| {
                format!("/{} {mode:o}", path.strip_prefix(&root).unwrap().display())
            })
            .collect();
        assert_eq!(
            places,
            [
                "/etc/keepalived/keepalived.conf 600",
                "/etc/kubernetes/kube-vip-bgp.yaml 600",
                "/etc/own 600",
                "/etc/systemd/system/containerd.service.d/quorate-proxy.conf 600",
            ],
            "{shell:?}"
        );
        // What comes back is the output of the command that was asked for it, and nothing else.
        let said: Vec<_> = outcome
            .records
            .iter()
            .filter(|r| format!("{r:?}").contains(WORD))
            .collect();
        assert_eq!(said.len(), 1, "{said:?}");
    }
}

/// The forms in which a secret of several lines, or one that is written into JSON, may come back.
#[test]
fn forms_of_a_secret() {
    let masks = Masks::new([format!("{WORD}\"\\ \u{e9}\nsecond {WORD} line\n")]);
    for text in [
        serde_json::to_string(&format!("{WORD}\"\\ \u{e9}\nsecond {WORD} line")).unwrap(),
        format!("a second {WORD} line b"),
    ] {
        assert!(!masks.hide(&text).contains(WORD), "{text}");
    }
}

/// What hangs on a fact is in no command before the host is known, and the plan finds it: in the unit of a timer that is as
/// written too, whose effects have no such words.
#[test]
fn words_that_hang_on_a_fact_are_found_by_the_plan() {
    for task in [
        "systemd_timer: {name: t, on_calendar: daily, command: WORDS}",
        "mount: {path: /mnt, src: //nas/a, fstype: cifs, opts: WORDS, state: present}",
        "sysctl: {name: vm.swappiness, value: WORDS}",
    ] {
        let hidden = "\"{{ app_word if facts.hostname == 'h' else 'b' }}\"";
        let tasks = format!("- {}\n", task.replace("WORDS", hidden));
        let (library, found) = Library::from_texts("r", [("tasks/main.yml", tasks.as_str())]);
        assert!(!found.has_errors(), "{found:?}");
        let masks = Masks::new([WORD.to_string()]);
        let unsaid = Arc::new(Unsaid::new(masks, ["app_word".to_string()].into()));
        let sandbox = closed(SHELLS[0]);
        let roles = HostRoles::new(vec![library.get("r").unwrap()], files(&sandbox)).unsaid(unsaid);
        let scope = scope(json!({"app_word": WORD}));
        let facts = roles.facts(&scope).unwrap_or_else(|e| panic!("{e:?}"));
        let mut observed = Model::bare().observe(&facts);
        let mut plan = |name: &str| {
            observed.system.hostname = name.into();
            let plan = roles.plan(&scope, &observed, &Registered::default());
            plan.map_err(|found| found.iter().next().unwrap().to_string())
        };
        assert!(plan("other").is_ok(), "{task}");
        let found = plan("h").unwrap_err();
        assert!(
            found.contains("in the words of its command") && found.contains("app_word"),
            "{found}"
        );
    }
}

#[test]
fn a_secret_within_what_is_told_as_base64() {
    let masks = Masks::new(["correct horse".to_owned()]);
    for before in ["", "a", "ab", "abc", "key: "] {
        for after in ["", "\n", "xy", " battery staple"] {
            let text = BASE64.encode(format!("{before}correct horse{after}"));
            let hidden = masks.hide(&text);
            assert!(hidden.contains("***"), "{before:?} {after:?}: {hidden}");
            // What is left at its ends tells a byte at most.
            assert!(hidden.len() + 8 < text.len() + 3, "{hidden}");
        }
    }
}

/// A secret inside another one leaves nothing of it, and one of less than eight characters counts as a word alone, also where another
/// begins within it.
#[test]
fn secrets_beside_and_inside_one_another() {
    let masks = Masks::new(["pass", "passphrase-1", "ass word 22"].map(str::to_owned));
    for (text, hidden) in [
        ("passphrase-1", "***"),
        ("a pass b", "a *** b"),
        ("passenger", "passenger"),
        ("pass word 22", "p***"),
        ("passphrase-1ass word 22", "******"),
        ("passphrase-12", "***2"),
        ("xpass", "xpass"),
        ("pass,pass", "***,***"),
        ("\u{e9}pass pass", "\u{e9}pass ***"),
    ] {
        assert_eq!(masks.hide(text), hidden, "{text}");
    }
    assert!(!format!("{masks:?}").contains("pass"));
}
