//! Manifests against the cluster: what kubectl on a host says, under two shells, and what is read from it.

use quorate::cluster::addons;
use quorate::host::{AddonState, Fact, Facts};

use super::sandbox::{SHELLS, Sandbox};

const NOT_FOUND: &str = "Error from server (NotFound): namespaces \"x\" not found";
const DIFF: &str = "diff -u -N /run/quorate-diff.a/LIVE-1/apps.v1.DaemonSet.kube-system.lab.cni /run/quorate-diff.a/MERGED-2/apps.v1.DaemonSet.kube-system.lab.cni
--- /run/quorate-diff.a/LIVE-1/apps.v1.DaemonSet.kube-system.lab.cni\t2026-11-23 08:00:00.1 +0000
+++ /run/quorate-diff.a/MERGED-2/apps.v1.DaemonSet.kube-system.lab.cni\t2026-11-23 08:00:00.2 +0000
@@ -1,2 +1,2 @@
-  a: 1
+  a: 2
diff -u -N /run/quorate-diff.a/LIVE-1/rbac.authorization.k8s.io.v1.ClusterRole..cni /run/quorate-diff.a/MERGED-2/rbac.authorization.k8s.io.v1.ClusterRole..cni
--- /run/quorate-diff.a/LIVE-1/rbac.authorization.k8s.io.v1.ClusterRole..cni\t2026
+++ /run/quorate-diff.a/MERGED-2/rbac.authorization.k8s.io.v1.ClusterRole..cni\t2026
@@ -0,0 +1 @@
+kind: ClusterRole
";

fn addon(name: &str, url: &str, text: &str) -> Fact {
    Fact::Addon {
        server: "10.0.0.11:6443".into(),
        name: name.into(),
        url: url.into(),
        text: text.into(),
    }
}

/// Does what the manifest's text says; its words go to a file.
const KUBECTL: &str = r#"echo "$*" >>@/calls
: >"$TMPDIR/left" || exit 9
case $* in *"-f https"*) text=same ;; *) text=$(cat) ;; esac
case $text in
same) ;;
"it's"*) printf '%s\n' "$text"; exit 1 ;;
busy) [ -e @/tried ] || { : >@/tried; echo 'unexpected EOF'; exit 3; } ;;
gone) echo 'Error from server (NotFound): namespaces "x" not found'; exit 3 ;;
*) echo 'Warning: something'; echo 'error: it is broken' >&2; exit 3 ;;
esac"#;

#[test]
fn what_kubectl_says_of_each_manifest() {
    let odd = "it's \"odd\" $(touch /tmp/never)\n\ta: b\\n\n";
    let facts = Facts::from([
        addon("same.yml", "", "same"),
        addon("odd name.yml", "", odd),
        addon("gone.yml", "", "gone"),
        addon("busy.yml", "", "busy"),
        addon("broken.yml", "", "broken"),
        addon("https://a.example/b.yml", "https://a.example/b.yml", ""),
    ]);
    for shell in SHELLS {
        let sandbox = Sandbox::new(shell);
        sandbox.tool("kubectl", KUBECTL);
        // Of a host that is no control plane nothing is known, which is not "as written".
        let silent = sandbox.probe(&facts).addons;
        assert_eq!(silent.len(), facts.len());
        let is_unknown = |state: &AddonState| matches!(state, AddonState::Unknown(_));
        assert!(silent.values().all(is_unknown));
        sandbox.write("/etc/kubernetes/admin.conf", "");
        // But for when a folder was changed last.
        let tree = || -> Vec<_> {
            let all = sandbox.tree().into_iter();
            all.map(|(path, (mode, _, bytes))| (path, mode, bytes))
                .collect()
        };
        let before = tree();
        let seen = sandbox.probe(&facts).addons;
        let state = |name: &str| seen[name].clone();
        assert_eq!(seen.len(), facts.len());
        assert_eq!(state("same.yml"), AddonState::AsWritten);
        // Asked once more.
        assert_eq!(state("busy.yml"), AddonState::AsWritten);
        assert_eq!(state("https://a.example/b.yml"), AddonState::AsWritten);
        // The shell ends what it holds without the last line feeds.
        let said = format!("{}\n", odd.trim_end_matches('\n'));
        assert_eq!(state("odd name.yml"), AddonState::Differs(said));
        assert_eq!(
            state("gone.yml"),
            AddonState::Differs(format!("{NOT_FOUND}\n"))
        );
        let broken = AddonState::Unknown("kubectl diff: error: it is broken".into());
        assert_eq!(state("broken.yml"), broken);
        let calls = sandbox.read("/calls").unwrap();
        assert_eq!(calls.lines().count(), facts.len() + 1);
        let own = "--server=https://10.0.0.11:6443 ";
        assert!(calls.lines().all(|line| line.contains(own)), "{calls}");
        let words = "diff --server-side --force-conflicts --field-manager=quorate -f ";
        for line in calls.lines() {
            let source = line.split_once(words).unwrap().1;
            assert!(["-", "https://a.example/b.yml"].contains(&source), "{line}");
        }
        // Nothing of it stays on the host.
        for path in ["/calls", "/tried"] {
            std::fs::remove_file(sandbox.path(path)).unwrap();
        }
        assert_eq!(tree(), before);
    }
}

#[test]
fn objects_are_named_as_people_know_them() {
    let both = "DaemonSet kube-system/lab.cni, ClusterRole cni differ";
    for (said, told) in [
        (DIFF, both),
        (
            "diff -u -N /a/v1.ConfigMap.x.y /b/v1.ConfigMap.x.y\n-a\n",
            "ConfigMap x/y differs",
        ),
        (NOT_FOUND, NOT_FOUND),
        ("\n\n", "no reason is told"),
        ("diff ", "diff"),
    ] {
        assert_eq!(addons::told(said), told, "{said}");
    }
}

#[test]
fn a_difference_is_the_same_in_every_run() {
    let other = DIFF
        .replace("quorate-diff.a", "quorate-diff.b")
        .replace("\t2026", "\t2027");
    assert_eq!(addons::shown(DIFF), addons::shown(&other));
    insta::assert_snapshot!("difference", addons::shown(DIFF));
}
