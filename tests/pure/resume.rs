//! What a kubeadm that was begun before skips, decided on the host: under dash and busybox, with a stand-in for kubeadm.

use quorate::cluster::act::{self, Init, Join};
use quorate::host::Effect;
use quorate::host::record::End;
use quorate::model::Secret;
use quorate::plan::HostPlan;

use super::sandbox::{SHELLS, Sandbox};

const KUBELET: &str = "/etc/kubernetes/kubelet.conf";
const CERTIFICATE: &str = "/var/lib/kubelet/pki/kubelet-client-current.pem";
const BOOTSTRAP: &str = "/etc/kubernetes/bootstrap-kubelet.conf";
const SERVER: &str = "/etc/kubernetes/manifests/kube-apiserver.yaml";

pub(super) fn kubeadm(plan: HostPlan) -> Effect {
    let mut changes = plan.steps.into_iter().flat_map(|step| step.changes);
    let unit = |effect: &Effect| matches!(effect, Effect::Run(run) if run.unit.is_some());
    changes
        .find_map(|change| unit(&change.effect).then_some(change.effect))
        .expect("kubeadm runs as a unit")
}

fn join(resume: bool) -> Effect {
    kubeadm(act::join(&Join {
        made_from: Some("digest digest"),
        config: &Secret::new("config".to_string()),
        digest: "digest",
        run: "r1",
        endpoint: "vip.example:8443",
        ca: "ca",
        control_plane: None,
        resume,
        seen: None,
    }))
}

pub(super) fn init(resume: bool, manifests: &[act::Manifest]) -> HostPlan {
    act::init(&Init {
        made_from: "digest digest",
        config: &Secret::new("config".to_string()),
        digest: "digest",
        run: "r1",
        endpoint: "vip.example:8443",
        manifests,
        resume,
        seen: None,
    })
}

/// Returns what was asked of kubeadm and of the kubelet's unit, in order. With `late` the kubelet writes its kubeconfig
/// while it is stopped.
fn asked(sandbox: &Sandbox, effect: Effect, traces: &[&str], late: bool) -> Vec<String> {
    sandbox.tool(
        "kubeadm",
        "echo \"kubeadm $1 ${4:-} ${5:-} ${6:-} ${7:-}\" | tr -s ' ' >>@/asked",
    );
    let wrote = if late {
        format!(
            "[ \"$1\" != stop ] || : >{}; [ \"$1\" != stop ] || : >{}",
            sandbox.path(KUBELET).display(),
            sandbox.path(CERTIFICATE).display(),
        )
    } else {
        ":".into()
    };
    sandbox.tool(
        "systemctl",
        &format!(
            "case $*:$1 in *kubelet:st*|*kubelet:restart) echo \"$*\" >>@/asked; {wrote} ;; *:is-active) exit 3 ;; esac"
        ),
    );
    for trace in traces {
        sandbox.write(trace, "");
    }
    for folder in ["/etc/kubernetes", "/var/lib/kubelet/pki"] {
        std::fs::create_dir_all(sandbox.path(folder)).unwrap();
    }
    let (end, status, output) = sandbox.one(effect);
    assert_eq!((end, status), (End::Changed, 0), "{output}");
    let text = sandbox.read("/asked").unwrap_or_default();
    text.lines().map(|l| l.trim().to_string()).collect()
}

#[test]
fn the_host_decides_what_a_resumed_join_skips() {
    let stopped = "stop kubelet";
    let after_preflight = "kubeadm join --skip-phases=preflight";
    let after_kubelet = "kubeadm join --skip-phases=preflight,kubelet-start";
    type Row<'a> = (&'a str, bool, &'a [&'a str], bool, &'a [&'a str]);
    let table: [Row; 6] = [
        (
            "a first join",
            false,
            &[BOOTSTRAP],
            false,
            &["kubeadm join"],
        ),
        (
            "begun, nothing left",
            true,
            &[],
            false,
            &[stopped, "kubeadm join"],
        ),
        (
            "its kubelet has no certificate yet: it must not get one now",
            true,
            &[BOOTSTRAP],
            false,
            &[stopped, after_preflight],
        ),
        (
            "it got one in the last moment",
            true,
            &[BOOTSTRAP],
            true,
            &[stopped, "restart kubelet", after_kubelet],
        ),
        (
            "it asked for one, and the token that asks is gone",
            true,
            &[KUBELET, SERVER],
            false,
            &[stopped, after_preflight],
        ),
        (
            "its Node may be Ready",
            true,
            &[KUBELET, CERTIFICATE, SERVER],
            false,
            &["restart kubelet", after_kubelet],
        ),
    ];
    for (kind, (what, resume, traces, late, expected)) in
        SHELLS.into_iter().flat_map(|k| table.map(|row| (k, row)))
    {
        let sandbox = Sandbox::new(kind);
        let seen = asked(&sandbox, join(resume), traces, late);
        assert_eq!(seen, expected, "{kind:?}: {what}");
    }
}

/// A question that nobody answered before the kubelet was started is asked again, three times in all, behind what is there already; what
/// the API refuses, what fails later and what took its time is not.
#[test]
fn a_join_that_was_not_answered_is_tried_again() {
    const CUT: &str = "error: error execution phase preflight: unable to fetch the kubeadm-config ConfigMap: Get \"https://vip.example:8443/api?timeout=10s\": net/http: request canceled (Client.Timeout exceeded while awaiting headers)";
    let refused = CUT.replace(
        "net/http: request canceled (Client.Timeout exceeded while awaiting headers)",
        "tls: failed to verify certificate: x509: certificate signed by unknown authority",
    );
    let certificates = CUT.replace(
        "phase preflight",
        "phase control-plane-prepare/download-certs",
    );
    let node = "error: error execution phase kubelet-start: cannot get Node \"cp2\": Get \"https://vip.example:8443/api/v1/nodes/cp2?timeout=10s\": net/http: TLS handshake timeout";
    let later = CUT.replace("phase preflight", "phase control-plane-join/etcd");
    let table = [
        ("once", CUT, 1, "0", 2, true),
        ("for ever", CUT, 9, "0", 3, false),
        ("asking for its Node", node, 1, "0", 2, true),
        (
            "asking for certificates",
            certificates.as_str(),
            1,
            "0",
            2,
            true,
        ),
        ("refused", refused.as_str(), 9, "0", 1, false),
        ("behind preflight", later.as_str(), 9, "0", 1, false),
        ("after a long time", CUT, 9, "300", 1, false),
    ];
    for (kind, (what, said, fails, took, attempts, joined)) in
        SHELLS.into_iter().flat_map(|k| table.map(|row| (k, row)))
    {
        let sandbox = Sandbox::new(kind);
        sandbox.write("/said", said);
        std::fs::create_dir_all(sandbox.path("/etc/kubernetes")).unwrap();
        sandbox.tool(
            "kubeadm",
            &format!("echo \"$*\" >>@/asked; : >@/took; : >{};  [ $(wc -l <@/asked) -gt {fails} ] && {{ echo joined; exit 0; }}; cat @/said; echo; echo 'To see the stack trace'; exit 1", sandbox.path(BOOTSTRAP).display()),
        );
        sandbox.tool("date", &format!("[ -e @/took ] && echo {took} || echo 0"));
        sandbox.tool("systemctl", "[ $1 != is-active ]");
        let (end, _, output) = sandbox.one(join(false));
        let asked = sandbox.read("/asked").unwrap_or_default();
        let again = |call: &str| call.ends_with("--skip-phases=preflight");
        assert!(asked.lines().skip(1).all(again), "{kind:?}: {asked}");
        assert_eq!(
            asked.lines().count(),
            attempts,
            "{kind:?}: {what}: {output}"
        );
        assert_eq!(end == End::Changed, joined, "{kind:?}: {what}: {output}");
    }
}

#[test]
fn the_host_decides_whether_a_resumed_init_skips_preflight() {
    let flags = "--upload-certs --skip-token-print --skip-certificate-key-print";
    for (resume, traces, skip) in [
        (false, &[SERVER][..], ""),
        (true, &[][..], ""),
        (true, &[SERVER][..], " --skip-phases=preflight"),
    ] {
        let sandbox = Sandbox::new(SHELLS[0]);
        let seen = asked(&sandbox, kubeadm(init(resume, &[])), traces, false);
        assert_eq!(seen, [format!("kubeadm init {flags}{skip}")]);
    }
}

/// What a container engine makes where a mount's file is lost: an empty folder goes, one with something in it does not, and neither
/// does a first init touch any.
#[test]
fn an_empty_folder_in_the_place_of_a_kubeconfig_goes() {
    let (lost, kept) = (
        "/etc/kubernetes/super-admin.conf",
        "/etc/kubernetes/admin.conf",
    );
    for (kind, resume) in SHELLS.into_iter().flat_map(|k| [(k, true), (k, false)]) {
        let sandbox = Sandbox::new(kind);
        std::fs::create_dir_all(sandbox.path(lost)).unwrap();
        sandbox.write(&format!("{kept}/mine"), "");
        asked(&sandbox, kubeadm(init(resume, &[])), &[SERVER], false);
        assert_eq!(sandbox.path(lost).exists(), !resume, "{kind:?}");
        assert!(sandbox.path(kept).join("mine").exists(), "{kind:?}");
    }
}

/// A connection that is cut is tried again, with the manifest that came over standard input; a mistake in it is not.
#[test]
fn a_manifest_is_applied_again_when_the_connection_is_cut() {
    let manifest = act::Manifest {
        name: "cni.yaml".into(),
        text: Some("kind: DaemonSet\n".into()),
    };
    let plan = init(false, &[manifest]);
    let mut changes = plan.steps.into_iter().flat_map(|step| step.changes);
    let apply = changes
        .find_map(|c| match c.effect {
            Effect::Run(run) if run.stdin.is_some() => Some(Effect::Run(run)),
            _ => None,
        })
        .unwrap();
    for kind in SHELLS {
        let sandbox = Sandbox::new(kind);
        sandbox.tool("sleep", ":");
        sandbox.tool(
            "kubectl",
            "for last do :; done; cat \"$last\" >>@/applied; [ $(wc -l <@/applied) -ge 3 ] || { echo 'read: connection reset by peer'; exit 1; }; echo serverside-applied",
        );
        let (end, status, _) = sandbox.one(apply.clone());
        assert_eq!((end, status), (End::Changed, 0), "{kind:?}");
        assert_eq!(
            sandbox.read("/applied").unwrap(),
            "kind: DaemonSet\n".repeat(3)
        );
        sandbox.tool(
            "kubectl",
            "echo once >>@/mistakes; echo 'unknown field'; exit 1",
        );
        let (end, status, said) = sandbox.one(apply.clone());
        assert_eq!(
            (end, status, said.trim()),
            (End::Failed, 1, "unknown field")
        );
        assert_eq!(sandbox.read("/mistakes").unwrap(), "once\n");
    }
}

/// The script asks for what the probe sees, and for nothing else.
#[test]
fn the_traces_are_those_of_the_probe() {
    let probe = include_str!("../../src/host/probe.sh");
    let start = probe
        .find("for path in /etc/kubernetes/kubelet.conf")
        .unwrap();
    let list = &probe[start + "for path in ".len()..];
    let list = list[..list.find("; do").unwrap()].replace("\\\n", " ");
    let seen: Vec<&str> = list.split_whitespace().collect();
    assert_eq!(seen, act::TRACES);
}
