//! A static pod that refuses one of its flags is not waited for: kubeadm's init and a roll-out, under dash and busybox.

use quorate::cluster::drift::steps::{RollOut, roll_out};
use quorate::cluster::drift::{Difference, Place, Wanted};
use quorate::host::record::End;
use quorate::model::Secret;

use super::resume::{init, kubeadm};
use super::sandbox::{SHELLS, Sandbox};

const LOG: &str =
    "/var/log/pods/kube-system_kube-apiserver-cp1_0123456789abcdef/kube-apiserver/0.log";

/// What is waited for here is not waited for long.
const SLEEP: &str = "case $1 in 2 | 0.5) set -- 0.02 ;; esac; exec /bin/sleep \"$1\"";

/// busybox's find goes by whole seconds.
const LATER: &str = "/bin/touch -d '+5 seconds'";

/// What kube-apiserver 1.36.3 and etcd 3.6 say last, as containerd keeps it, and what of it stands in the manifest.
fn refusals() -> [(&'static str, &'static str, bool); 8] {
    [
        (
            "Error: unknown flag: --no-such-flag",
            "--no-such-flag=1",
            true,
        ),
        (
            "Error: unknown flag: --no-such-flag",
            "--no-such-flag-but-another=1",
            false,
        ),
        (
            "Error: invalid argument \"abc\" for \"--event-ttl\" flag: time: invalid duration \"abc\"",
            "--event-ttl=abc",
            true,
        ),
        (
            "Error: invalid argument \"abc\" for \"-v, --v\" flag: strconv.ParseInt: parsing \"abc\": invalid syntax",
            "--v=abc",
            true,
        ),
        (
            "Error: invalid argument \"abc\" for \"--event-ttl\" flag: time: invalid duration \"abc\"",
            "--event-ttl=2h",
            false,
        ),
        (
            "flag provided but not defined: -no-such",
            "--no-such=1",
            true,
        ),
        (
            "invalid value \"abc\" for flag -heartbeat-interval: parse error",
            "--heartbeat-interval=abc",
            true,
        ),
        (
            "Error: context deadline exceeded",
            "--no-such-flag=1",
            false,
        ),
    ]
}

/// A kubeadm that waits for a pod which refuses a flag is ended: not one whose pod was refused before its manifest was written
/// anew, and not one whose pod fails otherwise.
#[test]
fn kubeadm_is_not_waited_for_when_a_pod_refuses_a_flag() {
    for (kind, (said, flag, ends)) in SHELLS
        .into_iter()
        .flat_map(|kind| refusals().map(|row| (kind, row)))
    {
        let sandbox = Sandbox::new(kind);
        sandbox.write("/var/lib/quorate/kubeadm", "init r1 digest\n");
        let marker = std::fs::File::open(sandbox.path("/var/lib/quorate/kubeadm")).unwrap();
        let earlier = std::time::SystemTime::now() - std::time::Duration::from_secs(5);
        marker.set_modified(earlier).unwrap();
        sandbox.tool("sleep", SLEEP);
        let log = sandbox.path(LOG);
        std::fs::create_dir_all(log.parent().unwrap()).unwrap();
        let manifests = sandbox.path("/etc/kubernetes/manifests");
        std::fs::create_dir_all(&manifests).unwrap();
        // kubeadm waits until the watch has looked ten times, or is ended.
        let watched = sandbox.root().join("looked");
        sandbox.tool(
            "tail",
            &format!("echo >>{}; exec /usr/bin/tail \"$@\"", watched.display()),
        );
        sandbox.tool(
            "kubeadm",
            &format!(
                "[ $1 = init ] || exit 0\nprintf '    - kube-apiserver\\n    - {flag}\\n' >{manifest}\n\
                 printf '%s\\n' '2026-11-28T19:00:00.1Z stderr F {said}' >{log}; {LATER} {log}\n\
                 n=0; until [ \"$(wc -l <{watched} 2>/dev/null || echo 0)\" -ge 10 ] || [ $((n += 1)) -gt 500 ]; do /bin/sleep 0.02; done\necho >>@/waited",
                manifest = manifests.join("kube-apiserver.yaml").display(),
                log = log.display(),
                watched = watched.display(),
            ),
        );
        let (end, status, output) = sandbox.one(kubeadm(init(false, &[])));
        let what = format!("{kind:?} {said} {flag}: {status} {output}");
        assert_eq!(end == End::Failed, ends, "{what}");
        assert_eq!(sandbox.path("/waited").exists(), !ends, "{what}");
        let name = flag.split('=').next().unwrap();
        let told = format!("kube-apiserver does not take {name}");
        assert_eq!(output.contains(&told), ends, "{what}");
        if ends {
            assert!(output.contains(&format!("\n{said}")), "{what}");
        }
    }
}

/// What lies there from before, a manifest and a refusal of one of its flags, says nothing of this run.
#[test]
fn an_older_refusal_ends_no_kubeadm() {
    for kind in SHELLS {
        let sandbox = Sandbox::new(kind);
        sandbox.tool("sleep", SLEEP);
        sandbox.write(
            "/etc/kubernetes/manifests/kube-apiserver.yaml",
            "    - --no-such-flag=1\n",
        );
        sandbox.write(
            LOG,
            "2026-11-28T19:00:00.1Z stderr F Error: unknown flag: --no-such-flag\n",
        );
        let looked = sandbox.root().join("looked");
        sandbox.tool(
            "find",
            &format!("echo >>{}; exec /usr/bin/find \"$@\"", looked.display()),
        );
        sandbox.tool(
            "kubeadm",
            &format!(
                "n=0; until [ \"$(wc -l <{looked} 2>/dev/null || echo 0)\" -ge 20 ] || [ $((n += 1)) -gt 500 ]; do /bin/sleep 0.02; done",
                looked = looked.display()
            ),
        );
        sandbox.write("/var/lib/quorate/kubeadm", "init r1 digest\n");
        let (end, _, output) = sandbox.one(kubeadm(init(false, &[])));
        assert_eq!(end, End::Changed, "{kind:?}: {output}");
        let looks = sandbox.read("/looked").unwrap_or_default();
        assert!(
            looks.lines().count() >= 20,
            "{kind:?}: the watch did not look"
        );
    }
}

fn rolled_out() -> quorate::plan::HostPlan {
    let wanted = Wanted {
        is_control_plane: true,
        ..Wanted::default()
    };
    roll_out(&RollOut {
        config: &Secret::new("config".to_string()),
        digest: "digest",
        differences: &[Difference {
            place: Place::Manifest("kube-apiserver".into()),
            path: "--no-such-flag".into(),
            live: None,
            wanted: Some("1".into()),
        }],
        own: "10.77.0.11:6443".into(),
        others: Vec::new(),
        members: Vec::new(),
        wanted: &wanted,
    })
}

#[test]
fn a_roll_out_tells_what_it_brings_back() {
    let plan = rolled_out();
    let told: Vec<&String> = plan.steps.iter().flat_map(|step| &step.about).collect();
    assert_eq!(
        told,
        ["kube-apiserver --no-such-flag: is not there, is to be 1"]
    );
}

#[test]
fn a_roll_out_puts_a_pod_that_refuses_a_flag_back_at_once() {
    for kind in SHELLS {
        let sandbox = Sandbox::new(kind);
        let manifest = "/etc/kubernetes/manifests/kube-apiserver.yaml";
        sandbox.write(manifest, "kind: Pod\n    - kube-apiserver\n");
        let log = sandbox.path(LOG);
        std::fs::create_dir_all(log.parent().unwrap()).unwrap();
        sandbox.tool("sleep", SLEEP);
        sandbox.tool(
            "kubeadm",
            &format!(
                "printf 'kind: Pod\\n    - kube-apiserver\\n    - --no-such-flag=1\\n' >{}\n\
                 echo '2026-11-28T19:00:00.1Z stderr F Error: unknown flag: --no-such-flag' >{log}; {LATER} {log}",
                sandbox.path(manifest).display(),
                log = log.display()
            ),
        );
        let (end, _, output) = sandbox.one(kubeadm(rolled_out()));
        assert_eq!(end, End::Failed, "{kind:?}: {output}");
        let told = "kube-apiserver does not take --no-such-flag, which its manifest has";
        assert!(output.contains(told), "{kind:?}: {output}");
        assert!(
            output.contains("it is put back as it was"),
            "{kind:?}: {output}"
        );
        let kept = sandbox.read(manifest).unwrap();
        assert_eq!(kept, "kind: Pod\n    - kube-apiserver\n", "{kind:?}");
    }
}
