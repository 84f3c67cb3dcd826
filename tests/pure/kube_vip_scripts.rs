//! What hosts run for kube-vip, under dash and busybox: its kubeconfig put in place and looked at, its pod and sessions waited for.

use quorate::cluster::load_balancer::Carrier;
use quorate::cluster::load_balancer::kube_vip::{self, sign};
use quorate::host::{Effect, Fact, Facts, probe};
use quorate::plan::Step;

use super::kube_vip::{MANIFEST, built};

/// Of the certificate in tests/fixtures/kube-vip/kube-vip.conf, by openssl(1).
const NOT_AFTER: i64 = 1_826_899_078;

/// Runs a script for hosts under both shells, with its absolute paths in a folder of its own and stand-ins on PATH.
fn under_both_shells(
    script: &str,
    tools: &[(&str, &str)],
    check: impl Fn(&std::path::Path, i32, &str),
) {
    use std::os::unix::fs::PermissionsExt as _;
    for shell in [&["dash"][..], &["busybox", "sh"]] {
        let root = tempfile::tempdir().unwrap();
        let path = root.path();
        for folder in ["bin", "etc/kubernetes/manifests", "run/quorate"] {
            std::fs::create_dir_all(path.join(folder)).unwrap();
        }
        for (name, text) in tools {
            let tool = path.join("bin").join(name);
            std::fs::write(&tool, format!("#!/bin/sh\n{text}\n")).unwrap();
            std::fs::set_permissions(&tool, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        let manifest = "metadata:\n  annotations:\n    quorate/revision: \"0123456789abcdef\"\n";
        std::fs::write(
            path.join("etc/kubernetes/manifests/kube-vip.yaml"),
            manifest,
        )
        .unwrap();
        std::fs::write(path.join("etc/kubernetes/kube-vip.conf"), "old\n").unwrap();
        let root_text = path.to_str().unwrap();
        let script = script
            .replace("/etc/kubernetes", &format!("{root_text}/etc/kubernetes"))
            .replace("/run/quorate", &format!("{root_text}/run/quorate"));
        let output = std::process::Command::new(shell[0])
            .args(&shell[1..])
            .args(["-c", &script])
            .env(
                "PATH",
                format!("{root_text}/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
            )
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr);
        check(path, output.status.code().unwrap(), &said);
    }
}

#[test]
fn a_kubeconfig_is_put_in_place_whole_or_not_at_all() {
    use std::os::unix::fs::PermissionsExt as _;
    let (spec, ..) = built("load_balancer: kube-vip-arp\n");
    let plan = sign::steps(&spec, &spec.hosts["cp1"]);
    let script = plan
        .steps
        .iter()
        .flat_map(|s| &s.changes)
        .find_map(|c| match &c.effect {
            Effect::Run(run) if run.argv[2].contains("kubeadm kubeconfig") => {
                Some(run.argv[2].clone())
            }
            _ => None,
        })
        .unwrap();
    under_both_shells(
        &script,
        &[("kubeadm", "echo 'kind: Config'")],
        |root, code, said| {
            assert_eq!((code, said), (0, ""));
            let file = root.join("etc/kubernetes/kube-vip.conf");
            assert_eq!(
                std::fs::read_to_string(&file).unwrap(),
                format!("# quorate: rights {}\nkind: Config\n", sign::note(&spec))
            );
            assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        },
    );
    under_both_shells(
        &script,
        &[("kubeadm", "echo half; echo no CA >&2; exit 1")],
        |root, code, said| {
            assert_eq!((code, said), (1, "no CA\n"));
            let folder = root.join("etc/kubernetes");
            assert_eq!(
                std::fs::read_to_string(folder.join("kube-vip.conf")).unwrap(),
                "old\n"
            );
            assert_eq!(
                std::fs::read_dir(folder).unwrap().count(),
                2,
                "nothing half is left"
            );
        },
    );
}

/// Where a container's task lies that began with it.
const TASK: &str = "/run/quorate/containerd/io.containerd.runtime.v2.task/k8s.io/abc";

/// containerd's client: `tasks` says how its one task is, `containers` which are there.
fn ctr(tasks: &str, containers: &str) -> String {
    format!("case \"$*\" in *'tasks ls'*) {tasks} ;; *) {containers} ;; esac")
}

/// Returns the condition of the step that a host of kube-vip is waited for with, for [`under_both_shells`].
fn waited_for(step: fn(&Carrier) -> Step) -> String {
    let step = step(&Carrier {
        node: "cp1".into(),
        address: "10.77.0.11".parse().unwrap(),
        dest_port: 6443,
        bgp: Some((65000, vec![("10.77.0.2".parse().unwrap(), 65001)])),
    });
    let Effect::Wait { condition, .. } = &step.changes[0].effect else {
        panic!("{step:?}")
    };
    condition.replace("/run/containerd", "/run/quorate/containerd")
}

#[test]
fn the_pod_of_the_manifest_is_waited_for() {
    let condition = waited_for(kube_vip::runs);
    let (yes, no) = (
        "echo '0123456789abcdef true'",
        "echo '0123456789abcdef false'",
    );
    let table = [
        // What the API says of the pod, which containers there are, whether the manifest is older than their tasks.
        (yes, "echo abc", true, 0),
        (no, "echo abc", true, 1),
        ("echo 'fedcba9876543210 true'", "echo abc", true, 1),
        ("echo ' '", "echo abc", true, 1),
        ("echo refused >&2; exit 1", "echo abc", true, 1),
        (yes, "echo abc", false, 1),
        (yes, "true", false, 1),
    ];
    for (answer, containers, older, expected) in table {
        // Times are set, not waited for.
        let (file, other) = if older {
            (MANIFEST, TASK)
        } else {
            (TASK, MANIFEST)
        };
        let script = format!(
            "mkdir -p {TASK}; touch -d '2001-01-01 00:00:00' {file}; touch {other}\n{condition}"
        );
        let ctr = ctr("echo 'abc 12 RUNNING'", containers);
        let tools = [("kubectl", answer), ("ctr", &ctr), ("sleep", "exit 0")];
        under_both_shells(&script, &tools, |_, code, said| {
            assert_eq!(code, expected, "{answer}, {containers}, {older}: {said}");
        });
    }
    // One that ends at once, and is begun again, runs at the first look and not at the second.
    let script = format!(
        "mkdir -p {TASK}; touch -d '2001-01-01 00:00:00' {MANIFEST}; touch {TASK}\n{condition}"
    );
    let once = "[ -e \"$0.seen\" ] || echo 'abc 12 RUNNING'; : >\"$0.seen\"";
    let ctr = ctr(once, "echo abc");
    let tools = [("kubectl", yes), ("ctr", &ctr), ("sleep", "exit 0")];
    under_both_shells(&script, &tools, |_, code, said| {
        assert_eq!(code, 1, "{said}");
        assert!(said.contains("kube-vip-cp1 does not stay up"), "{said}");
    });
}

/// By BGP the API answers on the host itself whatever its routers think: a session has to stand too.
#[test]
fn a_session_is_waited_for_before_the_next_hosts_turn() {
    let condition = waited_for(kube_vip::announces);
    let script = format!(
        "mkdir -p {TASK}; touch -d '2001-01-01 00:00:00' {MANIFEST}; touch {TASK}\n{condition}"
    );
    let sessions = "0 0 10.77.0.11:40000 10.77.0.2:179";
    for (sessions, expected) in [(sessions, 0), ("", 1)] {
        let tools = [
            ("kubectl", "echo '0123456789abcdef true'"),
            ("ctr", &ctr("echo 'abc 12 RUNNING'", "echo abc")),
            ("sleep", "exit 0"),
            ("ss", &format!("printf '%s' '{sessions}'")),
        ];
        under_both_shells(&script, &tools, |_, code, said| {
            assert_eq!(code, expected, "{said}");
            let told =
                "no BGP session of cp1 (bgp_local_as 65000) with 10.77.0.2 (AS 65001) stands: is";
            assert_eq!(said.contains(told), expected == 1, "{said}");
        });
    }
}

/// The probe's own lines over a kubeconfig as kubeadm writes it: what is read back, and that the key is not.
#[test]
fn a_kubeconfig_is_looked_at_without_its_key() {
    let script = include_str!("../../src/host/probe.sh");
    let from = script
        .find("  if [ -f /etc/kubernetes/kube-vip.conf ]")
        .unwrap();
    let block = &script[from..];
    let block = &block[..block.find("\n  fi\n").unwrap() + 6];
    let text = include_str!("../fixtures/kube-vip/kube-vip.conf");
    let script = format!(
        "say() {{ echo \"N0NCE $*\"; }}\ncat >/etc/kubernetes/kube-vip.conf <<'END'\n{text}END\n{block}say end\n"
    );
    under_both_shells(&script, &[], |_, code, said| {
        assert_eq!(code, 0, "{said}");
        let key = text
            .lines()
            .find_map(|l| l.trim().strip_prefix("client-key-data: "));
        assert!(!said.contains(key.unwrap()));
        let fact = Fact::Kubernetes {
            address: "10.77.0.11".into(),
            port: 6443,
            node: "cp1".into(),
        };
        let observed = probe::parse(&Facts::from([fact]), "N0NCE", said.as_bytes()).unwrap();
        let kubeconfig = observed.kubernetes.unwrap().kube_vip.unwrap();
        assert_eq!(kubeconfig.rights.as_deref(), Some("0123456789ab"));
        assert_eq!(kubeconfig.client.unwrap().not_after, NOT_AFTER);
        assert!(kubeconfig.ca.is_some());
    });
    // One without a client, as BGP has it: seen as that.
    let bare = "apiVersion: v1\nusers: []\n";
    let script = script.replace(text, bare);
    under_both_shells(&script, &[], |_, _, said| {
        assert!(said.contains("N0NCE kubernetes kubeconfig - - -"), "{said}");
    });
}
