//! keepalived and haproxy as static pods: what an inventory makes of them, in both profiles.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use quorate::cluster::load_balancer::{
    Carrier, facts_of_others, facts_of_ours, found_of_others, found_of_ours, parts,
};
use quorate::cluster::spec::{ClusterSpec, Way};
use quorate::host::record::End;
use quorate::host::{Content, Effect, Expect, Fact, Facts, Known, Run, WriteFile, probe};
use quorate::inventory::{Input, Inventory};
use quorate::model::{HostName, Mode};
use quorate::role::{HostRoles, Library, Registered};
use serde_json::{Value, json};

use super::role::{AllThere, scope};
use super::sandbox::{SHELLS, Sandbox, step};
use super::seed_inventory::HOSTS;
use super::simulated::Model;

fn spec(more: &str) -> ClusterSpec {
    let all = format!(
        "kubernetes_version: \"1.36.3\"\napiserver_vip: 10.0.0.10\nload_balancer: keepalived-haproxy-pods\nkubernetes_source: files\nkubernetes_files: /srv\n{more}"
    );
    let input = Input::from_text("hosts.yml", HOSTS).with_group_vars("all", "all.yml", &all);
    let (inventory, found) = Inventory::build(&input);
    assert!(!found.has_errors(), "{found:#?}");
    let (library, _) = Library::builtin();
    let (spec, found) = ClusterSpec::build(&inventory, &library.used_names());
    assert!(!found.has_errors(), "{found:#?}");
    spec.unwrap()
}

/// What the roles of a bare host do, with these variables over those of the inventory.
fn effects(spec: &ClusterSpec, host: &str, over: Value) -> Vec<Effect> {
    let host = &spec.hosts[&HostName::new(host).unwrap()];
    let (library, _) = Library::builtin();
    let mut names = vec!["hosts", "container_runtime", "kubernetes"];
    if host.roles.load_balancer {
        let parts = parts(spec.load_balancer.way).unwrap();
        names.splice(..0, parts.first.iter().copied());
        names.extend(parts.roles);
    }
    let roles = names.iter().map(|n| library.get(n).unwrap()).collect();
    let roles = HostRoles::new(roles, Arc::new(AllThere));
    let mut variables = spec.variables(host);
    variables.insert("inventory_hostname".into(), json!(host.name.as_str()));
    variables.insert("interface".into(), json!("eth1"));
    variables.extend(over.as_object().cloned().unwrap());
    let scope = scope(Value::Object(variables));
    let observed = Model::bare().observe(&roles.facts(&scope).unwrap());
    let plan = roles
        .plan(&scope, &observed, &Registered::default())
        .unwrap();
    assert!(!plan.more);
    let steps = plan.steps.iter();
    let handlers = plan.handlers.iter().flat_map(|h| &h.steps);
    steps
        .chain(handlers)
        .flat_map(|s| &s.changes)
        .map(|c| c.effect.clone())
        .collect()
}

/// Path and text of every file that is written, in order.
fn written(effects: &[Effect]) -> Vec<(&str, &str)> {
    let file = |effect| match effect {
        &Effect::WriteFile(WriteFile {
            ref path,
            content: Content::Inline(ref bytes),
            ..
        }) => Some((path.as_str(), std::str::from_utf8(bytes).unwrap())),
        _ => None,
    };
    effects.iter().filter_map(file).collect()
}

fn text<'a>(effects: &'a [Effect], path: &str) -> &'a str {
    let all = written(effects);
    all.iter()
        .find(|(p, _)| *p == path)
        .unwrap_or_else(|| panic!("no {path}"))
        .1
}

const HAPROXY: &str = "/etc/kubernetes/manifests/haproxy.yaml";
const KEEPALIVED: &str = "/etc/kubernetes/manifests/keepalived.yaml";

#[test]
fn manifests_and_configuration() {
    for profile in ["fast", "seed"] {
        let spec = spec(&format!(
            "load_balancer_profile: {profile}\nhaproxy_image: haproxy:3.2.4\n"
        ));
        let effects = effects(&spec, "cp2", json!({}));
        let mut all = String::new();
        let balancer = |p: &&(&str, &str)| {
            ["manifests/", "/etc/haproxy", "/etc/keepalived"]
                .iter()
                .any(|part| p.0.contains(part))
        };
        for (path, text) in written(&effects).iter().filter(balancer) {
            all.push_str(&format!("=== {path}\n{text}"));
        }
        insta::assert_snapshot!(format!("{profile}"), all);
    }
}

fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap_or_else(|e| panic!("{e}\n{text}"))
}

#[test]
fn a_pod_is_what_the_kubelet_and_the_programs_need() {
    let effects = effects(&spec(""), "cp1", json!({}));
    let haproxy = yaml(text(&effects, HAPROXY));
    let container = &haproxy["spec"]["containers"][0];
    // Without an API server a probe of the API would kill a healthy haproxy.
    assert_eq!(
        container["livenessProbe"]["httpGet"],
        json!({"host": "127.0.0.1", "port": 8404, "path": "/healthz", "scheme": "HTTP"})
    );
    assert_eq!(
        (
            &container["securityContext"]["runAsUser"],
            &container["securityContext"]["runAsNonRoot"],
            &container["securityContext"]["capabilities"],
        ),
        (&json!(99), &json!(true), &json!({"drop": ["ALL"]}))
    );
    let keepalived = yaml(text(&effects, KEEPALIVED));
    assert_eq!(
        keepalived["spec"]["containers"][0]["securityContext"]["capabilities"],
        json!({"drop": ["ALL"], "add": ["NET_ADMIN", "NET_RAW", "SETGID", "SYS_NICE"]})
    );
    for (pod, folder) in [(&haproxy, "/etc/haproxy"), (&keepalived, "/etc/keepalived")] {
        let spec = &pod["spec"];
        assert_eq!(spec["hostNetwork"], true);
        assert_eq!(spec["priorityClassName"], "system-node-critical");
        assert_eq!(spec["containers"][0]["imagePullPolicy"], "IfNotPresent");
        assert_eq!(spec["containers"][0]["volumeMounts"][0]["readOnly"], true);
        assert_eq!(
            spec["volumes"][0]["hostPath"],
            json!({"path": folder, "type": "Directory"})
        );
    }
    // haproxy is no root there, and has to read its file.
    let mode = |wanted: &str| {
        effects.iter().find_map(|e| match e {
            Effect::WriteFile(file) if file.path == wanted => Some(file.mode),
            Effect::Directory { path, mode, .. } if path == wanted => *mode,
            _ => None,
        })
    };
    assert_eq!(mode("/etc/haproxy/haproxy.cfg"), Some(Mode::PUBLIC));
    assert_eq!(mode("/etc/haproxy"), Some(Mode::EXECUTABLE));
    assert_eq!(
        mode("/etc/keepalived/check_apiserver.sh"),
        Some(Mode::EXECUTABLE)
    );
    let cfg = text(&effects, "/etc/haproxy/haproxy.cfg");
    assert!(!cfg.contains("\n    user "), "{cfg}");
    // A port of root's is root's in the pod too.
    let low = self::effects(&spec("apiserver_dest_port: 443\n"), "cp1", json!({}));
    let low = yaml(text(&low, HAPROXY));
    let security = &low["spec"]["containers"][0]["securityContext"];
    assert_eq!(
        (&security["runAsUser"], &security["capabilities"]),
        (
            &json!(0),
            &json!({"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]})
        )
    );
}

/// A manifest comes after all that it mounts and the image that it names, in either profile.
#[test]
fn a_manifest_comes_last() {
    for profile in ["fast", "seed"] {
        let spec = spec(&format!(
            "load_balancer_profile: {profile}\nhaproxy_image: haproxy:3.2.4\n"
        ));
        let effects = effects(&spec, "cp1", json!({}));
        let at = |what: &str| {
            let found = effects.iter().position(|e| e.describe().contains(what));
            found.unwrap_or_else(|| panic!("{profile}: no {what}"))
        };
        for (manifest, needs) in [
            (HAPROXY, vec!["haproxy.cfg", "haproxy:3.2.4"]),
            (
                KEEPALIVED,
                vec!["keepalived.conf", "check_apiserver.sh", "keepalived:2.0.20"],
            ),
        ] {
            for need in needs {
                assert!(at(need) < at(manifest), "{profile}: {need}, {manifest}");
            }
        }
    }
}

#[test]
fn what_changes_a_pod_s_files_changes_its_manifest() {
    let digest = |path: &str, more: &str, over: Value| {
        let effects = effects(&spec(more), "cp1", over);
        let manifest = yaml(text(&effects, path));
        let digest = manifest["metadata"]["annotations"]["quorate-config"].clone();
        let digest = digest.as_str().unwrap().to_string();
        assert_eq!(digest.len(), 12);
        digest
    };
    let changes = [
        ("", json!({"haproxy_maxconn": 7000}), [true, false]),
        (
            "",
            json!({"keepalived_advert_interval": "0.3"}),
            [false, true],
        ),
        // In haproxy.cfg it is the frontend's port, in the check the one that is asked.
        ("apiserver_dest_port: 9443\n", json!({}), [true, true]),
        ("vrrp_unicast: true\n", json!({}), [false, true]),
        ("cluster_name: other\n", json!({}), [false, false]),
    ];
    for (more, over, [haproxy, keepalived]) in changes {
        for (path, differs) in [(HAPROXY, haproxy), (KEEPALIVED, keepalived)] {
            let before = digest(path, "", json!({}));
            let after = digest(path, more, over.clone());
            assert_eq!(before != after, differs, "{path}: {more} {over}");
        }
    }
}

/// Which of the archives in the folder go to a host.
fn images(spec: &ClusterSpec, host: &str) -> BTreeSet<String> {
    let effects = effects(spec, host, json!({}));
    let names = |effect: &Effect| match effect {
        Effect::ImportImage { names, .. } => names.clone(),
        _ => Vec::new(),
    };
    effects.iter().flat_map(names).collect()
}

#[test]
fn images_go_where_the_pods_are() {
    let balancer = [
        "docker.io/library/haproxy:3.2.4",
        "docker.io/osixia/keepalived:2.0.20",
    ];
    let has = |all: &BTreeSet<String>| balancer.iter().filter(|b| all.contains(**b)).count();
    let pods = spec("");
    assert_eq!(has(&images(&pods, "cp1")), 2);
    assert_eq!(has(&images(&pods, "w1")), 0);
    assert_eq!(images(&pods, "w1").len(), 1, "CoreDNS goes everywhere");
    // Services need none of them, although they lie there.
    let services = spec("").load_balancer;
    assert_eq!(services.way, Way::KeepalivedHaproxyPods);
    let mut services = spec("");
    services.load_balancer.way = Way::KeepalivedHaproxy;
    for host in ["cp1", "w1"] {
        assert_eq!(has(&images(&services, host)), 0, "{host}");
    }
}

#[test]
fn an_image_that_no_archive_holds_is_told_before_anybody_is_contacted() {
    let spec = spec("haproxy_image: registry.example.org/haproxy:3.3\n");
    let host = &spec.hosts["cp1"];
    let (library, _) = Library::builtin();
    let roles = HostRoles::new(vec![library.get("haproxy").unwrap()], Arc::new(AllThere));
    let mut variables = spec.variables(host);
    variables.insert("inventory_hostname".into(), json!("cp1"));
    variables.insert("interface".into(), json!("eth1"));
    let found = roles.facts(&scope(Value::Object(variables))).unwrap_err();
    let found = found.iter().map(ToString::to_string).collect::<String>();
    assert!(
        found
            .contains("no archive in /srv/images holds the image registry.example.org/haproxy:3.3"),
        "{found}"
    );
}

/// A file in the kubelet's folder has no other beside it at any moment: the kubelet would start that one too.
#[test]
fn nothing_lies_beside_a_manifest() {
    for kind in SHELLS {
        let sandbox = Sandbox::new(kind);
        let account = |flag: &str| {
            let output = std::process::Command::new("id").arg(flag).output().unwrap();
            String::from_utf8(output.stdout).unwrap().trim().to_string()
        };
        let write = |text: &str, validate: Option<String>| {
            Effect::WriteFile(WriteFile {
                path: "/etc/kubernetes/manifests/haproxy.yaml".into(),
                content: Content::inline(text),
                mode: Mode::PRIVATE,
                owner: account("-un"),
                group: account("-gn"),
                expect: Expect::Any,
                validate,
                backup: true,
                large: false,
            })
        };
        assert_eq!(sandbox.one(write("old", None)).0, End::Changed);
        // Root's own group may write there, where a package made the folder.
        let folder = sandbox.path("/etc/kubernetes/manifests");
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o775)).unwrap();
        // Looked at in the middle of the write.
        let look = "ls -A /etc/kubernetes/manifests >/run/seen; ls -A /etc/kubernetes >>/run/seen; test -e %s";
        let (end, _, said) = sandbox.one(write("new", Some(look.into())));
        assert_eq!(end, End::Changed, "{kind:?} {said}");
        assert_eq!(
            sandbox.read("/run/seen").as_deref(),
            Some("haproxy.yaml\n.haproxy.yaml.quorate-new\nmanifests\n"),
            "{kind:?}"
        );
        // And the copy of the old one.
        let names = |folder: &str| -> Vec<String> {
            let entries = std::fs::read_dir(sandbox.path(folder)).unwrap();
            let mut names: Vec<String> = entries
                .map(|e| e.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            names
        };
        assert_eq!(names("/etc/kubernetes/manifests"), ["haproxy.yaml"]);
        let above = names("/etc/kubernetes");
        assert_eq!(above.len(), 2, "{above:?}");
        assert!(
            above[0].starts_with("haproxy.yaml.") && above[0].ends_with(".bak"),
            "{above:?}"
        );
    }
}

/// containerd's client, which knows two containers of cp1: haproxy's runs, keepalived's has ended.
const CTR: &str = r#"case "$*" in
*"tasks ls"*) echo "TASK PID STATUS"; echo "h1 12 RUNNING"; echo "k1 13 STOPPED" ;;
*"containers ls"*haproxy-cp1*) echo h1 ;;
*"containers ls"*keepalived-cp1*) echo k1 ;;
*"tasks kill"*) echo "$*" >>@/kills ;;
esac"#;

#[test]
fn status_asks_for_pods() {
    let pod = |name: &str| Fact::Pod(name.into());
    let facts = Facts::from([pod("haproxy-cp1"), pod("keepalived-cp1"), pod("other-cp1")]);
    for kind in SHELLS {
        let sandbox = Sandbox::new(kind);
        sandbox.tool("ctr", CTR);
        let seen = sandbox.probe(&facts);
        assert_eq!(seen.pod("haproxy-cp1"), Known::Is(true), "{kind:?}");
        assert_eq!(seen.pod("keepalived-cp1"), Known::Is(false), "{kind:?}");
        assert_eq!(seen.pod("other-cp1"), Known::Is(false), "{kind:?}");
        sandbox.tool("ctr", "echo 'no containerd' >&2; exit 1");
        let seen = sandbox.probe(&facts);
        assert_eq!(seen.pod("haproxy-cp1"), Known::Unknown, "{kind:?}");
    }
}

/// What a host waits for behind a change: a container newer than its manifest, or time enough without one.
#[test]
fn a_host_s_turn_is_over_when_its_pods_are_new() {
    let pods = parts(Way::KeepalivedHaproxyPods).unwrap();
    let carrier = Carrier {
        node: "cp1".into(),
        address: "10.0.0.11".parse().unwrap(),
        dest_port: 8443,
        bgp: None,
    };
    let gate = pods.settled.unwrap()(&carrier);
    let Effect::Wait { condition, .. } = &gate.changes[0].effect else {
        panic!("{gate:?}")
    };
    let condition = || Effect::Run(Run::new(["/bin/sh", "-c", condition]));
    for kind in SHELLS {
        let sandbox = Sandbox::new(kind);
        sandbox.tool("ctr", CTR);
        sandbox.tool("curl", "echo \"$*\" >>@/curls");
        let failed = || sandbox.steps(vec![step(0, condition())]).end(0).unwrap();
        let (end, _, said) = failed();
        assert!(
            end == End::Failed && said.contains("manifests/haproxy.yaml is not there"),
            "{kind:?} {said}"
        );
        for pod in ["haproxy", "keepalived"] {
            sandbox.write(&format!("/etc/kubernetes/manifests/{pod}.yaml"), "pod");
        }
        let (end, _, said) = failed();
        assert!(
            end == End::Failed && said.contains("haproxy-cp1 has not been started"),
            "{kind:?} {said}"
        );
        // haproxy is new; keepalived's manifest says the same in other words, and has lain there for a while.
        let tasks = "/run/containerd/io.containerd.runtime.v2.task/k8s.io";
        std::fs::create_dir_all(sandbox.path(&format!("{tasks}/h1"))).unwrap();
        let touch = |path: &str, seconds: u64| {
            let then = std::time::SystemTime::now() - std::time::Duration::from_secs(seconds);
            let file = std::fs::File::open(sandbox.path(path)).unwrap();
            file.set_modified(then).unwrap();
        };
        touch("/etc/kubernetes/manifests/haproxy.yaml", 5);
        touch("/etc/kubernetes/manifests/keepalived.yaml", 60);
        // Nobody waits here for what the tools below say at once.
        sandbox.tool("sleep", "exit 0");
        let (end, _, said) = failed();
        assert!(
            end == End::Failed && said.contains("keepalived-cp1 does not stay up"),
            "{kind:?} {said}"
        );
        sandbox.tool("ctr", &CTR.replace("STOPPED", "RUNNING"));
        let (end, _, said) = failed();
        assert_eq!(end, End::Changed, "{kind:?} {said}");
        let asked = sandbox.read("/curls").unwrap();
        assert!(asked.contains("https://10.0.0.11:8443/healthz"), "{asked}");
        // A container that is older than its manifest does not count.
        touch(&format!("{tasks}/h1"), 10);
        assert_eq!(failed().0, End::Failed, "{kind:?}");
    }
}

#[test]
fn a_pod_reads_again_what_was_put_back() {
    for (profile, signals) in [("fast", ["SIGUSR2", "SIGHUP"]), ("seed", ["SIGTERM"; 2])] {
        let spec = spec(&format!(
            "load_balancer_profile: {profile}\nhaproxy_image: haproxy:3.2.4\n"
        ));
        let runs: Vec<Effect> = effects(&spec, "cp1", json!({}))
            .into_iter()
            .filter(|e| matches!(e, Effect::Run(run) if run.argv.iter().any(|w| w.contains("tasks kill"))))
            .collect();
        assert_eq!(runs.len(), 2);
        for kind in SHELLS {
            let sandbox = Sandbox::new(kind);
            sandbox.tool("ctr", CTR);
            for run in &runs {
                assert_eq!(sandbox.one(run.clone()).0, End::Changed);
            }
            let killed = sandbox.read("/kills").unwrap();
            let [haproxy, keepalived] = signals;
            assert_eq!(
                killed,
                format!(
                    "-n k8s.io tasks kill --signal {haproxy} h1\n-n k8s.io tasks kill --signal {keepalived} k1\n"
                ),
                "{kind:?}"
            );
            sandbox.tool("ctr", "exit 1");
            assert_eq!(
                sandbox.one(runs[0].clone()).0,
                End::Changed,
                "no containerd"
            );
        }
    }
}

/// Two ways on one host would both take the VIP and the port.
#[test]
fn another_way_at_work_is_named() {
    let (pods, services) = (Way::KeepalivedHaproxyPods, Way::KeepalivedHaproxy);
    let found = |way: Way, model: &Model| {
        let facts = facts_of_others(way);
        found_of_others(way, &model.observe(&facts))
    };
    let mut model = Model::bare();
    for way in [pods, services, Way::External] {
        assert_eq!(found(way, &model), None, "{way}");
    }
    model.units.insert("keepalived".into(), (false, true, 0));
    assert_eq!(found(pods, &model), None, "installed and not running");
    model.units.insert("haproxy".into(), (true, true, 1));
    let said = found(pods, &model).unwrap();
    assert!(
        said.starts_with("haproxy.service runs, which is `load_balancer: keepalived-haproxy`'s"),
        "{said}"
    );
    assert_eq!(found(services, &model), None, "its own units");
    model
        .files
        .insert(KEEPALIVED.into(), super::simulated::text("pod"));
    let said = found(services, &model).unwrap();
    assert!(
        said.starts_with("/etc/kubernetes/manifests/keepalived.yaml is there"),
        "{said}"
    );
    // What was not looked at is nothing found.
    assert_eq!(found_of_others(pods, &Default::default()), None);
}

#[test]
fn what_the_way_leaves_is_what_it_writes() {
    let leaves = parts(Way::KeepalivedHaproxyPods).unwrap().leaves;
    let effects = effects(&spec(""), "cp1", json!({}));
    let known: BTreeSet<&str> = leaves
        .manifests
        .iter()
        .chain(leaves.paths)
        .copied()
        .collect();
    let balancer = |path: &&str| {
        ["/etc/kubernetes/", "/etc/haproxy/", "/etc/keepalived/"]
            .iter()
            .any(|p| path.starts_with(p))
    };
    let written: BTreeSet<&str> = written(&effects)
        .into_iter()
        .map(|(path, _)| path)
        .filter(balancer)
        .collect();
    assert_eq!(known, written);
    assert!(leaves.address);
}

/// With somebody else's load balancer, what quorate made for another way is seen; what anybody else made is not ours.
#[test]
fn a_load_balancer_of_ours_under_somebody_elses_is_seen() {
    let facts = facts_of_ours();
    let encode = |text: &str| BASE64.encode(text);
    let ours = encode("#!/bin/sh\n# Written by quorate (role keepalived)\n");
    let theirs = encode("#!/bin/sh\n");
    let script = "content /etc/keepalived/check_apiserver.sh";
    let manifest = "content /etc/kubernetes/manifests/kube-vip.yaml";
    let unit = |state: &str| format!("unit ActiveState={state}");
    let cases = [
        (vec![], None),
        (
            vec![format!("{script} {ours}"), unit("active")],
            Some(".service runs, which quorate made for `load_balancer: keepalived-haproxy`"),
        ),
        (vec![format!("{script} {ours}"), unit("inactive")], None),
        (vec![format!("{script} {theirs}"), unit("active")], None),
        (
            vec![format!("{manifest} {ours}")],
            Some("/etc/kubernetes/manifests/kube-vip.yaml is there, which quorate made for"),
        ),
        (vec![format!("{manifest} {theirs}")], None),
    ];
    for (lines, said) in cases {
        let answer: String = lines.iter().map(|l| format!("n {l}\n")).collect();
        let observed = probe::parse(&facts, "n", format!("{answer}n end\n").as_bytes()).unwrap();
        let found = found_of_ours(&observed);
        assert_eq!(found.is_some(), said.is_some(), "{lines:?}: {found:?}");
        assert!(
            found.unwrap_or_default().contains(said.unwrap_or_default()),
            "{lines:?}"
        );
    }
}
