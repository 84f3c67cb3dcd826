//! An act of the workflow as the steps of one host's wave.
//!
//! kubeadm runs as the transient unit `quorate-kubeadm.service`: it outlives the connection, and a later run attaches to it.
//! Before it starts, a marker says what was begun, by which run, with which configuration; after it, that it is done.

use crate::event::Category;
use crate::host::fact::Marker;
use crate::host::{Content, Effect, Expect, Run, WriteFile};
use crate::model::{Mode, Secret, Sha256};
use crate::plan::{Change, HostPlan, Step};

/// Where kubeadm's configuration lies while it runs. /run is memory: its secrets never reach a disk.
pub const CONFIG: &str = "/run/quorate/kubeadm.yaml";
/// Where a joining host finds the cluster's CA before kubeadm has brought it.
const CA: &str = "/run/quorate/ca.crt";
/// The kubeconfig that a joining host discovers the cluster by (v1beta4 `discovery.file`). It holds no secret.
pub const DISCOVERY: &str = "/run/quorate/discovery.conf";
/// What kubeadm leaves on a host, as the probe looks for it.
pub const TRACES: [&str; 9] = [
    KUBELET_CONF,
    "/etc/kubernetes/bootstrap-kubelet.conf",
    "/etc/kubernetes/admin.conf",
    "/etc/kubernetes/manifests/kube-apiserver.yaml",
    "/etc/kubernetes/manifests/etcd.yaml",
    "/etc/kubernetes/manifests/kube-controller-manager.yaml",
    "/etc/kubernetes/manifests/kube-scheduler.yaml",
    "/var/lib/etcd/member",
    "/var/lib/kubelet/config.yaml",
];
/// The kubelet's own kubeconfig: it writes it when it asks for its certificate.
const KUBELET_CONF: &str = "/etc/kubernetes/kubelet.conf";
/// The kubelet's certificate, by which it registers its Node (kubernetes.io, TLS bootstrapping).
const KUBELET_CERTIFICATE: &str = "/var/lib/kubelet/pki/kubelet-client-current.pem";
/// The marker of what was begun.
pub const MARKER: &str = "/var/lib/quorate/kubeadm";
/// The unit that kubeadm runs as, without prefix and suffix.
const UNIT: &str = "kubeadm";
/// kubeadm's own deadlines add up to less: 4 min for the control plane, 5 for TLS bootstrap, 2 for etcd
/// (v1beta4 `timeouts`).
const KUBEADM_SECONDS: u64 = 1200;
/// How long the endpoint may take to answer; the load balancer marks a new backend up within a second.
const ENDPOINT_SECONDS: u64 = 120;
/// How long nodes and system pods may take to be ready once all have joined.
const READY_SECONDS: u64 = 300;

/// The step that brings admin.conf back.
pub const ADMIN_CONF: &str = "admin_conf";
/// The step that brings the cluster's CA back.
pub const CA_CERTIFICATE: &str = "ca_certificate";
/// The step that keeps what kubeadm made.
pub(super) const RECORD: &str = "cluster : what kubeadm made is kept";
/// The step that runs kubeadm, whose last words tell which run had started it.
pub const KUBEADM: &str = "kubeadm";

/// A manifest that is applied once, after init.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// The file or URL, as the inventory names it.
    pub name: String,
    /// Its text; `None` for a URL, which the host fetches.
    pub text: Option<String>,
}

/// What `kubeadm init` needs.
#[derive(Debug, Clone)]
pub struct Init<'a> {
    /// The documents.
    pub config: &'a Secret<String>,
    /// Their digest without secrets.
    pub digest: &'a str,
    /// This run.
    pub run: &'a str,
    /// `host:port` of the control-plane endpoint.
    pub endpoint: &'a str,
    /// Applied after init, in order.
    pub manifests: &'a [Manifest],
    /// The digest of the ClusterConfiguration (`drift::digest`).
    pub made_from: &'a str,
    /// Whether an init was begun before.
    pub resume: bool,
    /// The marker as it was seen: written over only while it is still that.
    pub seen: Option<&'a Marker>,
}

/// What `kubeadm join` needs.
#[derive(Debug, Clone)]
pub struct Join<'a> {
    /// The document.
    pub config: &'a Secret<String>,
    /// Its digest without secrets.
    pub digest: &'a str,
    /// This run.
    pub run: &'a str,
    /// `host:port` of the control-plane endpoint.
    pub endpoint: &'a str,
    /// The cluster's CA certificate in PEM.
    pub ca: &'a str,
    /// The node's address and the port of its own API server, for a control plane.
    pub control_plane: Option<(&'a str, u16)>,
    /// The digest of the ClusterConfiguration that the cluster keeps (`drift::digest`), for a control plane.
    pub made_from: Option<&'a str>,
    /// Whether a join was begun before.
    pub resume: bool,
    /// The marker as it was seen: written over only while it is still that.
    pub seen: Option<&'a Marker>,
}

/// Returns the steps of init.
pub fn init(input: &Init) -> HostPlan {
    let mut steps = begin(input.config, input.digest, input.run, "init", input.seen);
    steps.push(kubeadm(
        "init",
        input.run,
        input.resume,
        "--upload-certs --skip-token-print --skip-certificate-key-print",
        "",
    ));
    steps.push(endpoint_answers(
        input.endpoint,
        "/etc/kubernetes/pki/ca.crt",
    ));
    steps.extend(input.manifests.iter().map(apply));
    steps.push(read(
        "cluster : kubeconfig",
        "/etc/kubernetes/admin.conf",
        ADMIN_CONF,
    ));
    steps.push(read(
        "cluster : certificate authority",
        "/etc/kubernetes/pki/ca.crt",
        CA_CERTIFICATE,
    ));
    steps.push(super::drift::steps::record(input.made_from));
    steps.push(done("init", input.run, input.digest));
    HostPlan {
        steps,
        ..HostPlan::default()
    }
}

/// Returns the steps of a join.
pub fn join(input: &Join) -> HostPlan {
    let (act, kick) = match input.control_plane {
        Some((address, port)) => ("join", kubelet_kick(address, port)),
        None => ("join-worker", String::new()),
    };
    let mut steps = vec![Step::new(
        "cluster : endpoint",
        Category::Own,
        vec![
            Change::new(
                file(CA, input.ca, Mode::PRIVATE, None),
                "to verify the endpoint by",
            ),
            Change::new(
                file(DISCOVERY, &discovery(input.endpoint), Mode::PRIVATE, None),
                "to join by",
            ),
        ],
    )];
    steps.push(endpoint_answers(input.endpoint, CA));
    steps.extend(begin(
        input.config,
        input.digest,
        input.run,
        act,
        input.seen,
    ));
    steps.push(kubeadm("join", input.run, input.resume, "", &kick));
    let made_from = input.made_from.filter(|_| input.control_plane.is_some());
    steps.extend(made_from.map(super::drift::steps::record));
    steps.push(done(act, input.run, input.digest));
    HostPlan {
        steps,
        ..HostPlan::default()
    }
}

/// A kubeconfig without a user: kubeadm adds the token.
fn discovery(endpoint: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\nclusters:\n- name: cluster\n  cluster:\n    server: https://{endpoint}\n    certificate-authority: {CA}\n\
         contexts:\n- name: discovery\n  context:\n    cluster: cluster\n    user: nobody\ncurrent-context: discovery\nusers:\n- name: nobody\n  user: {{}}\n"
    )
}

/// Returns the steps that bring a token, and with `certificates` an encrypted copy of the control plane's certificates,
/// into a live cluster; `config` names both.
pub fn mint(config: &Secret<String>, token_id: &str, certificates: bool) -> HostPlan {
    const FILE: &str = "/run/quorate/mint.yaml";
    let script = format!(
        "kubeadm token create --config {FILE} >/dev/null &&\n\
         {{ [ \"$1\" = no ] || kubeadm init phase upload-certs --upload-certs --skip-certificate-key-print --config {FILE}; }}\n\
         status=$?\nrm -f {FILE}\nexit $status"
    );
    let argument = if certificates { "certificates" } else { "no" };
    let mut written = Step::new(
        "cluster : join configuration",
        Category::Own,
        vec![Change::new(
            file(FILE, config.expose(), Mode::PRIVATE, None),
            "a new token for this run",
        )],
    );
    written.secret = true;
    let mut run = Run::new(["/bin/sh", "-c", &script, "sh", argument]);
    run.label = Some("kubeadm token create and upload-certs".into());
    let steps = vec![
        written,
        Step::new(
            "cluster : token and certificate key",
            Category::Kubeadm,
            vec![Change::new(Effect::Run(run), "hosts are to join")],
        ),
        // A join that comes before the controller manager has signed cluster-info waits 5 s at a time.
        wait(
            "cluster : token is signed",
            "the controller manager signs cluster-info with the new token",
            &format!(
                "kubectl --kubeconfig /etc/kubernetes/admin.conf -n kube-public get configmap cluster-info -o yaml | grep -q jws-kubeconfig-{token_id}"
            ),
            60,
        ),
        read(
            "cluster : certificate authority",
            "/etc/kubernetes/pki/ca.crt",
            CA_CERTIFICATE,
        ),
        read(
            "cluster : kubeconfig",
            "/etc/kubernetes/admin.conf",
            ADMIN_CONF,
        ),
    ];
    HostPlan {
        steps,
        ..HostPlan::default()
    }
}

/// Returns the step that says of a full member that kubeadm came to its end.
pub fn finish(act: &str, run: &str, digest: &str, seen: Option<&Marker>) -> HostPlan {
    let marker = marker(act, run, digest, true, guard(seen));
    HostPlan {
        steps: vec![Step::new(
            "cluster : marker",
            Category::Own,
            vec![Change::new(marker, "kubeadm is done")],
        )],
        ..HostPlan::default()
    }
}

/// Returns the step that reads admin.conf, for a user whose copy is not there.
pub fn kubeconfig() -> HostPlan {
    HostPlan {
        steps: vec![read(
            "cluster : kubeconfig",
            "/etc/kubernetes/admin.conf",
            ADMIN_CONF,
        )],
        ..HostPlan::default()
    }
}

/// Name, node, phase, time of deletion, and each container's readiness.
const POD_COLUMNS: &str = ":.metadata.name,:.spec.nodeName,:.status.phase,:.metadata.deletionTimestamp,:.status.containerStatuses[*].ready";

/// Returns the steps that wait on a control plane until the cluster is whole: the endpoint answers, `nodes` nodes are
/// there and, where there is a network, Ready with kube-proxy and CoreDNS. What a dead host has left in the API (a pod
/// that terminates for ever) is not waited for.
pub fn verify(endpoint: &str, nodes: &[&str], network: bool) -> HostPlan {
    let kubectl = "kubectl --request-timeout=10s --kubeconfig /etc/kubernetes/admin.conf";
    let all = nodes.join(" ");
    let status = if network { "Ready" } else { "(Not)?Ready" };
    let listed = format!(
        "seen=$({kubectl} get nodes --no-headers) || exit 1; for node in {all}; do printf '%s\\n' \"$seen\" | grep -qE \"^$node +{status}[ ,]\" || {{ echo \"$node is not Ready\"; exit 1; }}; done"
    );
    let what = if network {
        "all nodes are Ready"
    } else {
        "all nodes are listed"
    };
    let mut steps = vec![
        endpoint_answers(endpoint, "/etc/kubernetes/pki/ca.crt"),
        wait("cluster : nodes", what, &listed, READY_SECONDS),
    ];
    if network {
        let pods = format!(
            "seen=$({kubectl} -n kube-system get pods -l 'k8s-app in (kube-dns,kube-proxy)' --no-headers -o custom-columns={POD_COLUMNS}) || exit 1; [ -n \"$seen\" ] || exit 1; ! printf '%s\\n' \"$seen\" | awk -v nodes=' {all} ' '$4 == \"<none>\" && ($2 == \"<none>\" || index(nodes, \" \" $2 \" \")) && ($3 != \"Running\" || $5 !~ /true/ || $5 ~ /false/) {{ print $1 \" on \" $2 \": \" ($3 == \"Running\" ? \"not ready\" : $3) }}' | grep ."
        );
        steps.push(wait(
            "cluster : system pods",
            "kube-proxy and CoreDNS are Running",
            &pods,
            READY_SECONDS,
        ));
    }
    HostPlan {
        steps,
        ..HostPlan::default()
    }
}

/// Returns the step that waits until the API answers at the endpoint, three times in a row, with its certificate verified.
pub fn endpoint_answers(endpoint: &str, ca: &str) -> Step {
    let condition = format!(
        "for i in 1 2 3; do curl -sSf --noproxy '*' --max-time 3 --cacert {ca} -o /dev/null https://{endpoint}/healthz || exit 1; done"
    );
    wait(
        "cluster : endpoint answers",
        &format!("https://{endpoint}/healthz answers three times in a row"),
        &condition,
        ENDPOINT_SECONDS,
    )
}

/// Returns a step that waits until a shell condition holds, `seconds` at most.
pub(super) fn wait(title: &str, what: &str, condition: &str, seconds: u64) -> Step {
    let effect = Effect::Wait {
        what: what.into(),
        condition: condition.into(),
        seconds,
    };
    Step::new(
        title,
        Category::Wait,
        vec![Change::new(effect, "a condition")],
    )
}

/// Configuration and marker. The marker is guarded: two controllers that both saw none cannot both begin.
fn begin(
    config: &Secret<String>,
    digest: &str,
    run: &str,
    act: &str,
    seen: Option<&Marker>,
) -> Vec<Step> {
    let validate = "kubeadm config validate --config %s".to_string();
    let mut written = Step::new(
        "cluster : kubeadm configuration",
        Category::Own,
        vec![Change::new(
            file(CONFIG, config.expose(), Mode::PRIVATE, Some(validate)),
            "for kubeadm",
        )],
    );
    written.secret = true;
    let marker = marker(act, run, digest, false, guard(seen));
    vec![
        written,
        Step::new(
            "cluster : marker",
            Category::Own,
            vec![Change::new(marker, "kubeadm begins")],
        ),
    ]
}

fn done(act: &str, run: &str, digest: &str) -> Step {
    let begun = Expect::Content(Sha256::of(text(act, run, digest, false)));
    Step::new(
        "cluster : marker",
        Category::Own,
        vec![Change::new(
            marker(act, run, digest, true, begun),
            "kubeadm is done",
        )],
    )
}

/// The marker's one line, as the probe reads it back.
fn text(act: &str, run: &str, digest: &str, done: bool) -> String {
    format!("{act} {run} {digest}{}\n", if done { " done" } else { "" })
}

fn guard(seen: Option<&Marker>) -> Expect {
    match seen {
        None => Expect::Absent,
        Some(m) => Expect::Content(Sha256::of(text(&m.act, &m.run, &m.config, m.done))),
    }
}

fn marker(act: &str, run: &str, digest: &str, done: bool, expect: Expect) -> Effect {
    let text = text(act, run, digest, done);
    let effect = file(MARKER, &text, Mode::PRIVATE, None);
    match effect {
        Effect::WriteFile(file) => Effect::WriteFile(WriteFile { expect, ..file }),
        other => other,
    }
}

/// What undoes a kubeadm that was begun on a host, with the marker of it.
pub const START_OVER: &str = "kubeadm reset -f && rm -f /var/lib/quorate/kubeadm";

/// Returns whether a step's title is that of kubeadm itself.
pub fn is_kubeadm(title: &str) -> bool {
    matches!(title.strip_prefix(TITLE), Some("init" | "join"))
}

const TITLE: &str = "cluster : kubeadm ";

/// The last words of the pods that kubeadm waits for, of those that have said anything since it began.
const SAID: &str = r#"for pod in etcd kube-apiserver kube-controller-manager kube-scheduler; do
  last_words "$pod" 2 /var/lib/quorate/kubeadm
done"#;

/// Ends kubeadm where a pod that it waits for can never serve: its own wait is four minutes long (v1beta4
/// `timeouts.controlPlaneComponentHealthCheck`). kubeadm writes a manifest even where the same lies there, so that an older
/// one's is not looked at. A kubeadm that was ended so is taken up again like one that was killed there.
const WATCH: &str = r#"kubeadm=$!
(
while sleep 2 && kill -0 "$kubeadm"; do
  for pod in etcd kube-apiserver kube-controller-manager kube-scheduler; do
    [ -n "$(find "/etc/kubernetes/manifests/$pod.yaml" -newer /var/lib/quorate/kubeadm)" ] || continue
    if refused "$pod"; then kill "$kubeadm"; exit; fi
  done
done
) 2>/dev/null &
watch=$!
wait "$kubeadm"
status=$?
kill "$watch" 2>/dev/null"#;
/// Whether kubeadm join ended where its kubelet has not begun yet, because the API did not answer one question: it asks for its
/// configuration, the certificates and its Node first, gives an answer 10 s and does not ask again (kubeadm 1.36, util/config/cluster.go and
/// cmd/phases/join/kubelet.go; older ones ask for other things behind the kubelet's start, in the same phase). In the lab one bootstrap in thirty met that, while
/// kube-proxy came up on the first control plane. Two more attempts, and none after two minutes: a token that is not known is waited for
/// by kubeadm itself, five minutes long.
const UNHEARD: &str = r#"begun=$(date +%s)
tries=0
unheard() {
  tries=$((tries + 1))
  [ $status -ne 0 ] && [ $tries -lt 3 ] && [ $(($(date +%s) - begun)) -lt 120 ] || return 1
  tail -n 5 "/proc/$$/fd/1" 2>/dev/null |
    grep -qE 'error execution phase ((preflight|control-plane-prepare/download-certs): |kubelet-start: (cannot get Node|unable to fetch the kubeadm-config)).*(Client\.Timeout|i/o timeout|handshake timeout|timed out|deadline exceeded|connection re|EOF|no route to host)' || return 1
  echo 'quorate: the API did not answer, and the kubelet was not started: kubeadm join is tried again'
}
"#;
/// The shell function `refused`.
pub(super) const REFUSED: &str = include_str!("refused.sh");
/// The shell function `last_words`.
pub(super) const LAST_WORDS: &str = include_str!("last_words.sh");

/// kubeadm as a unit's script. Its configuration goes when it ends or is stopped, not when the connection does; that of a
/// later run, which may have come in between, stays.
///
/// Its last word names the run that started it: whoever attaches learns whose token is in the cluster.
fn kubeadm(verb: &str, run: &str, resume: bool, flags: &str, beside: &str) -> Step {
    let chosen = skip(verb);
    let skip = if resume { &chosen } else { "" };
    let once = format!("kubeadm {verb} --config {CONFIG} {flags} $skip &\n{WATCH}");
    let kubeadm = match verb {
        "join" => format!("{UNHEARD}while :; do\n{once}\nunheard || break\n{chosen}done"),
        _ => once,
    };
    let script = format!(
        "sum() {{ cksum {CONFIG} 2>/dev/null; }}\nmine=$(sum)\ntrap '[ \"$(sum)\" != \"$mine\" ] || rm -f {CONFIG}' EXIT\ntrap 'exit 143' TERM\nskip=\n{REFUSED}{LAST_WORDS}{skip}{beside}{kubeadm}\nif [ $status -ne 0 ]; then\n{SAID}\nfi\necho '{}'\nexit $status",
        started_by(run)
    );
    let mut run = Run::new(["/bin/sh", "-c", &script]);
    run.label = Some(format!("kubeadm {verb}"));
    run.unit = Some((UNIT.into(), KUBEADM_SECONDS));
    let why = if resume {
        "begun before, not done"
    } else {
        "not a member yet"
    };
    let mut step = Step::new(
        format!("{TITLE}{verb}"),
        Category::Kubeadm,
        vec![Change::new(Effect::Run(run), why)],
    );
    step.register = Some(KUBEADM.into());
    step
}

/// Returns the lines that choose the phases to skip of a kubeadm that was begun before. The host decides, at the last moment:
/// an earlier run's kubeadm and the kubelet that it started may have gone on since the host was looked at.
///
/// Preflight would refuse kubeadm's own traces. kubelet-start has the one refusal that skipping preflight does not lift
/// (kubeadm 1.36, cmd/phases/join/kubelet.go): `a Node with name "cp2" and status "Ready" already exists`. A kubelet holds
/// its certificate before its Node is registered, so one without it, once stopped, cannot become Ready; one with it has been
/// started already and needs but another look at its Node. kubelet.conf alone is no sign: it is written as soon as the
/// certificate is asked for (pkg/kubelet/certificate/bootstrap), and the file with the token that asks goes when kubeadm's
/// wait for it fails. The phases behind finish what is missing.
///
/// A kubeconfig that was lost under a running static pod (kube-vip has super-admin.conf until init is done) has an empty folder
/// in its place as soon as the container starts anew: containerd makes what a mount lacks, and the kubelet looks at a volume's
/// type only once in a pod's life. kubeadm refuses the folder and would make the file.
fn skip(verb: &str) -> String {
    let mut lines = format!(
        "for trace in {}; do [ ! -e \"$trace\" ] || skip=--skip-phases=preflight; done\n",
        TRACES.join(" ")
    );
    if verb == "init" {
        lines.push_str(
            "for file in /etc/kubernetes/admin.conf /etc/kubernetes/super-admin.conf; do [ ! -d \"$file\" ] || rmdir \"$file\"; done\n",
        );
    }
    if verb == "join" {
        lines.push_str(&format!(
            "started() {{ [ -e {KUBELET_CONF} ] && [ -e {KUBELET_CERTIFICATE} ]; }}\n\
             started || systemctl stop kubelet\n\
             if started; then skip=--skip-phases=preflight,kubelet-start; systemctl restart kubelet; fi\n"
        ));
    }
    lines
}

/// Returns the line with which a run's own kubeadm ends.
pub fn started_by(run: &str) -> String {
    format!("quorate: started by run {run}")
}

/// A joining control plane's kubelet asks its own API server for a certificate. The first attempt comes before etcd has
/// joined and fails; the kubelet's next comes only 10 s later. One restart at the first /livez asks at once.
fn kubelet_kick(address: &str, port: u16) -> String {
    format!(
        "(\n\
         tries=0\n\
         until [ \"$(curl -sk --noproxy '*' --max-time 1 https://{address}:{port}/livez)\" = ok ]; do\n\
         tries=$((tries + 1))\n\
         [ $tries -lt 1500 ] || exit 0\n\
         sleep 0.2\n\
         done\n\
         [ -e {KUBELET_CERTIFICATE} ] || systemctl restart kubelet\n\
         ) >/dev/null 2>&1 &\n"
    )
}

/// Returns the steps that apply those of the manifests that are named.
pub fn apply_again(manifests: &[Manifest], named: &[String]) -> HostPlan {
    let due = manifests.iter().filter(|m| named.contains(&m.name));
    let mut steps: Vec<Step> = due.map(apply).collect();
    for change in steps.iter_mut().flat_map(|step| &mut step.changes) {
        change.why = "the cluster has it otherwise".into();
    }
    HostPlan {
        steps,
        ..HostPlan::default()
    }
}

/// Server-side apply (kubectl-apply(1)) by the field manager `quorate`: applying again changes nothing, so that a connection
/// that is cut, as the load balancer may do while the first API server settles, is tried again.
pub(super) fn apply(manifest: &Manifest) -> Step {
    const APPLY: &str = r#"kept=
if [ "$1" = - ]; then
  kept=$(mktemp) && cat >"$kept" || exit 1
  set -- "$kept"
fi
for try in 1 2 3 4 5; do
  said=$(kubectl --kubeconfig=/etc/kubernetes/admin.conf apply --server-side --force-conflicts --field-manager=quorate -f "$1" 2>&1)
  status=$?
  [ $status -ne 0 ] || break
  case $said in
  *'connection re'* | *EOF* | *timeout* | *etcdserver* | *'currently unable'*) sleep 2 ;;
  *) break ;;
  esac
done
printf '%s\n' "$said"
[ -z "$kept" ] || rm -f "$kept"
exit $status"#;
    let source = match manifest.text {
        Some(_) => "-",
        None => manifest.name.as_str(),
    };
    let mut run = Run::new(["/bin/sh", "-c", APPLY, "sh", source]);
    run.label = Some(format!("kubectl apply --server-side -f {source}"));
    let text = manifest.text.as_ref();
    run.stdin = text.map(|text| Content::inline(text.as_bytes()));
    Step::new(
        format!("cluster : apply {}", manifest.name),
        Category::Own,
        vec![Change::new(Effect::Run(run), "after init")],
    )
}

fn read(title: &str, path: &str, register: &str) -> Step {
    let mut step = Step::new(
        title,
        Category::Own,
        vec![Change::new(
            Effect::Run(Run::new(["cat", path])),
            "for the controller",
        )],
    );
    step.register = Some(register.into());
    step.report = crate::host::script::Report::Ok;
    step.secret = true;
    step
}

/// Returns the effect that writes a file of root's, whatever lies there.
pub(super) fn file(path: &str, text: &str, mode: Mode, validate: Option<String>) -> Effect {
    Effect::WriteFile(WriteFile {
        path: path.into(),
        content: Content::inline(text.as_bytes()),
        mode,
        owner: "root".into(),
        group: "root".into(),
        expect: Expect::Any,
        validate,
        backup: false,
        large: false,
    })
}
