//! Manifests of the inventory: compared with what the cluster has, and applied where it has them otherwise.

use crate::cluster::one_exec_each;
use crate::driver::{CONTROL_PLANES, HOSTS, Invocation, Lab, VIP, on};

const MANIFEST: &str = "apiVersion: v1
kind: Namespace
metadata: {name: extra}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: extra}
data: {vip: \"{{ apiserver_vip }}\"}
";

fn with(lab: &Lab, word: &str) -> Invocation {
    lab.quorate(&[word])
        .arg("-e")
        .arg("{\"manifests\": [\"extra.yml.tera\"]}")
}

fn kubectl(script: &str) {
    let script = format!("export KUBECONFIG=/etc/kubernetes/admin.conf; kubectl {script}");
    on("cp2", &script).good("kubectl");
}

/// Each is made by hand, found by its object, and mended by apply alone.
const DRIFT: [(&str, &str); 4] = [
    (
        "-n extra patch cm settings -p '{\"data\": {\"vip\": \"other\"}}'",
        "apply extra.yml (ConfigMap extra/settings differs)",
    ),
    (
        "-n extra delete cm settings",
        "apply extra.yml (ConfigMap extra/settings differs)",
    ),
    ("delete ns extra --wait", "namespaces \"extra\" not found"),
    (
        "-n kube-system delete cm lab-cni",
        "apply cni.yaml (ConfigMap kube-system/lab-cni differs)",
    ),
];

pub(crate) fn drift(lab: &Lab) {
    lab.converged();
    lab.file("lab/extra.yml.tera", MANIFEST);
    with(lab, "plan")
        .run()
        .expect(2)
        .shows("namespaces \"extra\" not found");
    let run = with(lab, "apply").run().expect(0);
    assert_eq!(
        run.journal.changed_hosts().len(),
        1,
        "one control plane applies it"
    );
    let vip = "-n extra get cm settings -o jsonpath={.data.vip}";
    let asked = format!("export KUBECONFIG=/etc/kubernetes/admin.conf; kubectl {vip}");
    assert_eq!(on("cp2", &asked).good("the ConfigMap"), VIP);
    for (by_hand, told) in DRIFT {
        kubectl(by_hand);
        let run = with(lab, "plan").arg("--diff").run().expect(2).shows(told);
        if by_hand.contains("patch") {
            let run = run.shows("-  vip: other");
            assert!(!run.out.contains("/run/quorate-diff"), "{}", run.out);
        }
        let run = with(lab, "apply").run().expect(0);
        let changed: Vec<String> = run
            .journal
            .steps("changed")
            .into_iter()
            .map(|(_, t)| t)
            .collect();
        let applied = |title: &String| title.starts_with("cluster : apply ");
        assert!(changed.iter().any(applied), "{changed:?}");
        let run = with(lab, "plan").run().expect(0);
        one_exec_each(&run.journal);
    }
    // What others have added is theirs.
    kubectl("-n extra label cm settings somebody=else");
    with(lab, "plan").run().expect(0);
    for host in CONTROL_PLANES {
        let left = on(host, "ls -d /run/quorate-diff.* 2>/dev/null");
        assert_eq!(left.out, "", "{host}");
    }
    kubectl("delete ns extra --wait");
    lab.plan_is_empty();
    lab.is_whole(&HOSTS);
}
