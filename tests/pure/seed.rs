//! The built-in roles' texts: the seed profile against the document's own blocks, and every template, default and
//! condition rendered strictly.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Map, Value, json};
use tera::{Context, Tera};

const ROLES: [&str; 6] = [
    "vrrp",
    "hosts",
    "container_runtime",
    "kubernetes",
    "haproxy",
    "keepalived",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_path_buf()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

fn read_absolute(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

fn yaml(path: &str) -> Value {
    let options = serde_saphyr::options! { strict_booleans: true };
    serde_saphyr::from_str_with_options(&read(path), options)
        .unwrap_or_else(|e| panic!("{path}: {e}"))
}

fn render(text: &str, variables: &Map<String, Value>) -> Result<String, String> {
    let mut tera = Tera::default();
    tera.autoescape_on(Vec::<String>::new());
    tera.add_raw_template("t", text)
        .map_err(|e| e.to_string())?;
    tera.render("t", &Context::from_serialize(variables).unwrap())
        .map_err(|e| e.to_string())
}

/// What the cluster specification gives every template.
fn variables(extra: Value) -> Map<String, Value> {
    let Value::Object(mut variables) = json!({
        "inventory_hostname": "cp1", "groups": {}, "group_names": ["kube_control_plane"], "hostvars": {},
        "ip": "10.77.0.11", "interface": "eth0", "cluster_name": "kubernetes", "kubernetes_version": "1.36.3", "kubernetes_minor": "1.36",
        "kubernetes_source": "files", "kubernetes_files": "/srv/files", "container_runtime_source": "files",
        "control_plane_endpoint": "api.example.org:8443", "control_plane_endpoint_host": "api.example.org",
        "control_plane_endpoint_port": 8443, "control_plane_endpoint_is_name": true, "apiserver_vip": "10.77.0.100",
        "apiserver_dest_port": 8443, "apiserver_src_port": 6443, "load_balancer": "keepalived-haproxy",
        "load_balancer_profile": "fast", "state": "MASTER", "router_id": 77, "priority": 200, "weight": -101,
        "auth_pass": "x1y2z3w4", "vrrp_unicast": false, "vrrp_peers": ["10.77.0.12", "10.77.0.13"],
        "load_balancer_backends": [
            {"name": "cp1", "address": "10.77.0.11"}, {"name": "cp2", "address": "10.77.0.12"}, {"name": "cp3", "address": "10.77.0.13"},
        ],
        "pod_subnet": "10.244.0.0/16", "service_subnet": "10.96.0.0/12",
        "is_control_plane": true, "is_worker": false, "is_load_balancer": true,
        "image_repository": "", "http_proxy": "", "https_proxy": "", "no_proxy": "",
        "node_name": "cp1", "haproxy_image": "haproxy:2.8", "keepalived_image": "osixia/keepalived:2.0.20",
    }) else {
        unreachable!()
    };
    let Value::Object(extra) = extra else {
        unreachable!()
    };
    // json! takes no more names than these.
    variables.insert("listens_for_vrrp".into(), json!(true));
    let facts = json!({"os": "debian", "os_version": "12", "package_manager": "apt"});
    variables.insert("facts".into(), facts);
    let mirrors = json!({"docker.io": ["https://mirror.example"]});
    variables.insert("container_registry_mirrors".into(), mirrors);
    variables.extend(extra);
    // The module `template` makes it of the role's other templates.
    variables.insert("config_digest".into(), json!("0123456789ab"));
    variables
}

/// Renders every text inside a value; a text that is one expression alone keeps its type.
fn resolve(value: &Value, variables: &Map<String, Value>) -> Result<Value, String> {
    Ok(match value {
        Value::String(text) => {
            let inner = text
                .strip_prefix("{{")
                .and_then(|t| t.strip_suffix("}}"))
                .map(str::trim);
            // The one filter of this program's own that a loop of a role uses.
            let pairs = inner.and_then(|text| text.strip_suffix(" | dict2items"));
            if let Some(map) = pairs.and_then(|name| variables.get(name)?.as_object()) {
                let pairs = map
                    .iter()
                    .map(|(key, value)| json!({"key": key, "value": value}));
                return Ok(Value::Array(pairs.collect()));
            }
            match inner.and_then(|name| variables.get(name)) {
                Some(whole) => whole.clone(),
                None => Value::String(render(text, variables)?),
            }
        }
        Value::Array(items) => Value::Array(
            items
                .iter()
                .map(|i| resolve(i, variables))
                .collect::<Result<_, _>>()?,
        ),
        Value::Object(map) => Value::Object(
            map.iter()
                .map(|(k, v)| Ok((k.clone(), resolve(v, variables)?)))
                .collect::<Result<_, String>>()?,
        ),
        other => other.clone(),
    })
}

fn with_role(role: &str, mut variables: Map<String, Value>) -> Map<String, Value> {
    for file in ["defaults", "vars"] {
        let path = format!("roles/{role}/{file}/main.yml");
        if !root().join(&path).exists() {
            continue;
        }
        let Value::Object(defaults) = yaml(&path) else {
            panic!("{path} is no map")
        };
        for (name, value) in defaults {
            let value =
                resolve(&value, &variables).unwrap_or_else(|e| panic!("{path}: {name}: {e}"));
            variables.entry(name).or_insert(value);
        }
    }
    variables
}

fn template(role: &str, name: &str, variables: &Map<String, Value>) -> String {
    let path = format!("roles/{role}/templates/{name}.tera");
    render(&read(&path), &with_role(role, variables.clone()))
        .unwrap_or_else(|e| panic!("{path}: {e}"))
}

fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The document's block with its placeholders filled in.
fn fixture(name: &str, variables: &Map<String, Value>) -> String {
    let text = |name: &str| match &variables[name] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let mut block = read(&format!("tests/fixtures/seed/{name}"));
    let backends = variables["load_balancer_backends"].as_array().unwrap();
    let line = "server ${HOST1_ID} ${HOST1_ADDRESS}:${APISERVER_SRC_PORT} check verify none";
    let servers: Vec<String> = backends
        .iter()
        .map(|b| {
            line.replace("${HOST1_ID}", b["name"].as_str().unwrap())
                .replace("${HOST1_ADDRESS}", b["address"].as_str().unwrap())
        })
        .collect();
    // `# [...]` is the document's word for: and so on, one line per host.
    block = block
        .replace("# [...]", &servers[1..].join("\n"))
        .replace(line, &servers[0]);
    for placeholder in [
        "STATE",
        "INTERFACE",
        "ROUTER_ID",
        "PRIORITY",
        "AUTH_PASS",
        "APISERVER_VIP",
        "APISERVER_DEST_PORT",
        "APISERVER_SRC_PORT",
    ] {
        block = block.replace(
            &format!("${{{placeholder}}}"),
            &text(&placeholder.to_lowercase()),
        );
    }
    assert!(
        !block.contains("${"),
        "{name} has a placeholder that was not filled: {block}"
    );
    block
}

#[test]
fn the_seed_profile_is_the_document_word_for_word() {
    let variables = variables(json!({"load_balancer_profile": "seed"}));
    for (role, name) in [
        ("keepalived", "keepalived.conf"),
        ("keepalived", "check_apiserver.sh"),
        ("haproxy", "haproxy.cfg"),
        ("keepalived", "keepalived.yaml"),
        ("haproxy", "haproxy.yaml"),
    ] {
        assert_eq!(
            words(&template(role, &format!("seed/{name}"), &variables)),
            words(&fixture(name, &variables)),
            "{name}"
        );
    }
}

/// Two roles that read one variable have one default for it.
#[test]
fn the_check_asks_haproxy_where_its_health_is() {
    let port = |role: &str| {
        yaml(&format!("roles/{role}/defaults/main.yml"))["haproxy_health_port"].clone()
    };
    assert!(port("haproxy").is_number());
    assert_eq!(port("keepalived"), port("haproxy"));
}

/// The check of the profile `fast` under dash and busybox, with a stand-in for curl: haproxy's own health, the answer through
/// haproxy with whether it was reached, and which API servers answer.
#[test]
fn the_check_fails_where_another_host_would_serve_better() {
    use std::os::unix::fs::PermissionsExt as _;
    const CURL: &str = "#!/bin/sh\nfor url; do :; done\ncase $url in\n\
        http://127.0.0.1:8404/healthz) exit \"$HEALTH\" ;;\n\
        https://127.0.0.1:8443/readyz) printf %s \"$CONNECTED\"; exit \"$READY\" ;;\n\
        esac\nhost=${url#https://10.77.0.}\ncase \" $ANSWER \" in *\" ${host%%:*} \"*) ;; *) exit 28 ;; esac\n";
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("check");
    let text = template(
        "keepalived",
        "fast/check_apiserver.sh",
        &variables(json!({})),
    );
    std::fs::write(&script, text).unwrap();
    let curl = folder.path().join("curl");
    std::fs::write(&curl, CURL).unwrap();
    std::fs::set_permissions(&curl, std::fs::Permissions::from_mode(0o755)).unwrap();
    for (health, ready, connected, answer, passes, case) in [
        ("0", "0", "1", "", true, "all is well"),
        ("7", "0", "1", "11 12 13", false, "haproxy is away"),
        ("28", "0", "1", "11 12 13", false, "haproxy hangs"),
        ("0", "7", "0", "11 12 13", false, "its port is refused"),
        ("0", "28", "0", "11 12 13", false, "its port is dropped"),
        (
            "0",
            "35",
            "1",
            "11 12 13",
            true,
            "none is ready, all answer",
        ),
        ("0", "28", "1", "12 13", true, "none is ready, most answer"),
        ("0", "22", "1", "11", false, "cut off, but for its own"),
        ("0", "35", "1", "", false, "cut off from all"),
    ] {
        // An image of keepalived needs a shell and curl, and may have nothing else.
        for shell in [&["/bin/dash"][..], &["/bin/busybox", "sh"]] {
            let status = Command::new(shell[0])
                .args(&shell[1..])
                .arg(&script)
                .env("PATH", folder.path())
                .envs([("HEALTH", health), ("READY", ready)])
                .envs([("CONNECTED", connected), ("ANSWER", answer)])
                .status();
            assert_eq!(status.unwrap().success(), passes, "{shell:?}: {case}");
        }
    }
}

#[test]
fn the_profiles_have_the_same_files() {
    for role in ["haproxy", "keepalived"] {
        let names = |profile: &str| {
            let mut names: Vec<_> =
                std::fs::read_dir(root().join(format!("roles/{role}/templates/{profile}")))
                    .unwrap()
                    .map(|entry| entry.unwrap().file_name())
                    .collect();
            names.sort();
            names
        };
        assert_eq!(names("fast"), names("seed"), "{role}");
    }
}

/// Cases in which every condition and branch of the roles is met once.
fn cases() -> BTreeMap<&'static str, Map<String, Value>> {
    BTreeMap::from([
        ("files", variables(json!({}))),
        ("seed", variables(json!({"load_balancer_profile": "seed"}))),
        (
            "seed, unicast",
            variables(json!({"load_balancer_profile": "seed", "vrrp_unicast": true})),
        ),
        (
            "unicast",
            variables(json!({"vrrp_unicast": true, "state": "BACKUP", "priority": 150})),
        ),
        (
            "worker",
            variables(json!({"is_control_plane": false, "is_worker": true, "is_member": true})),
        ),
        (
            "packages",
            variables(
                json!({"kubernetes_source": "packages", "container_runtime_source": "packages"}),
            ),
        ),
        (
            "present",
            variables(
                json!({"kubernetes_source": "present", "container_runtime_source": "present"}),
            ),
        ),
        (
            "proxy",
            variables(
                json!({"http_proxy": "http://u:p%40@proxy:3128", "https_proxy": "http://proxy:3128", "no_proxy": "10.0.0.0/8"}),
            ),
        ),
        (
            "mirror",
            variables(json!({"image_repository": "registry.example.org/k8s"})),
        ),
        (
            "what is unset is null",
            variables(
                json!({"image_repository": null, "http_proxy": null, "https_proxy": null, "auth_pass": null, "no_proxy": "localhost"}),
            ),
        ),
        (
            "external",
            variables(
                json!({"load_balancer": "external", "apiserver_vip": null, "is_load_balancer": false}),
            ),
        ),
        (
            "pods",
            variables(json!({"load_balancer": "keepalived-haproxy-pods"})),
        ),
        (
            "pods, from a registry",
            variables(
                json!({"load_balancer": "keepalived-haproxy-pods", "kubernetes_source": "packages", "container_runtime_source": "packages"}),
            ),
        ),
        (
            "pods, seed",
            variables(
                json!({"load_balancer": "keepalived-haproxy-pods", "load_balancer_profile": "seed"}),
            ),
        ),
        (
            "pods, a port of root's",
            variables(
                json!({"load_balancer": "keepalived-haproxy-pods", "apiserver_dest_port": 443}),
            ),
        ),
        (
            "one backend",
            variables(
                json!({"load_balancer_backends": [{"name": "cp1", "address": "10.77.0.11"}]}),
            ),
        ),
    ])
}

fn is_true(when: &str, variables: &Map<String, Value>) -> Result<bool, String> {
    Ok(render(&format!("{{% if {when} %}}yes{{% endif %}}"), variables)? == "yes")
}

#[test]
fn every_task_of_every_role_renders() {
    let mut met = BTreeMap::new();
    for (case, variables) in cases() {
        for role in ROLES {
            let variables = with_role(role, variables.clone());
            let mut lists = vec![("tasks", yaml(&format!("roles/{role}/tasks/main.yml")))];
            let handlers = format!("roles/{role}/handlers/main.yml");
            if root().join(&handlers).exists() {
                lists.push(("handlers", yaml(&handlers)));
            }
            let names: Vec<String> = match lists.get(1) {
                Some((_, handlers)) => handlers
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|h| h["name"].as_str().unwrap().to_string())
                    .collect(),
                None => Vec::new(),
            };
            for (list, tasks) in &lists {
                for task in tasks.as_array().unwrap() {
                    let name = task["name"].as_str().unwrap();
                    let place = format!("{case}: {role}/{list}: {name}");
                    let mut variables = variables.clone();
                    if let Some(handler) = task.get("notify") {
                        let asked = match handler {
                            Value::Array(all) => all.clone(),
                            one => vec![one.clone()],
                        };
                        for handler in asked {
                            assert!(
                                names.iter().any(|n| n == handler.as_str().unwrap()),
                                "{place}: no handler {handler}"
                            );
                        }
                    }
                    let done = met.entry(format!("{role}: {name}")).or_insert(false);
                    if let Some(when) = task.get("when") {
                        let when = match when {
                            Value::Bool(value) => value.to_string(),
                            other => other.as_str().unwrap().to_string(),
                        };
                        if !is_true(&when, &variables)
                            .unwrap_or_else(|e| panic!("{place}: when: {e}"))
                        {
                            continue;
                        }
                    }
                    *done = true;
                    let items = match task.get("loop") {
                        Some(items) => resolve(items, &variables)
                            .unwrap()
                            .as_array()
                            .unwrap()
                            .clone(),
                        None => vec![Value::Null],
                    };
                    for item in items {
                        variables.insert("item".into(), item);
                        let task =
                            resolve(task, &variables).unwrap_or_else(|e| panic!("{place}: {e}"));
                        if let Some(src) = task.get("template").and_then(|t| t["src"].as_str()) {
                            let text =
                                template(role, src.strip_suffix(".tera").unwrap(), &variables);
                            assert!(
                                text.ends_with('\n') && !text.ends_with("\n\n"),
                                "{place}: {text}"
                            );
                        }
                    }
                }
            }
        }
    }
    // CNI plugins are off by default: this case is the lab's.
    let never: Vec<_> = met
        .iter()
        .filter(|(name, met)| !**met && !name.ends_with("CNI plugins"))
        .collect();
    assert!(never.is_empty(), "no case meets {never:?}");
}

#[test]
fn roles_say_what_they_are() {
    for role in ROLES {
        let meta = yaml(&format!("roles/{role}/meta/main.yml"));
        assert!(
            meta["description"].is_string() && meta["disturbs_api"].is_boolean(),
            "{role}"
        );
    }
}

/// Needs keepalived and haproxy on this machine: `cargo test --test pure -- --ignored`.
#[test]
#[ignore = "needs keepalived and haproxy"]
fn the_tools_accept_what_is_rendered() {
    // keepalived refuses `lo`.
    let interface = std::fs::read_dir("/sys/class/net")
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .find(|name| {
            name != "lo"
                && read_absolute(&format!("/sys/class/net/{name}/operstate")).trim() == "up"
        })
        .expect("an interface that is up");
    for (case, mut variables) in cases() {
        if variables["load_balancer"] == "external" {
            continue;
        }
        variables.insert("interface".into(), json!(interface));
        let folder = tempfile::tempdir().unwrap();
        let write = |role: &str, name: &str| {
            let profile = variables["load_balancer_profile"].as_str().unwrap();
            let path = folder.path().join(name);
            std::fs::write(
                &path,
                template(role, &format!("{profile}/{name}"), &variables),
            )
            .unwrap();
            path
        };
        let said = |command: &mut Command| {
            let output = command.output().unwrap();
            (
                output.status.code(),
                String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned(),
            )
        };
        let haproxy = said(
            Command::new("haproxy")
                .args(["-c", "-f"])
                .arg(write("haproxy", "haproxy.cfg")),
        );
        assert_eq!(haproxy.0, Some(0), "{case}: {}", haproxy.1);
        assert!(
            variables["load_balancer_profile"] == "seed" || !haproxy.1.contains("WARNING"),
            "{case}: {}",
            haproxy.1
        );

        // The script's path is the document's; here it lies beside the configuration, owned by root and executable.
        let script = write("keepalived", "check_apiserver.sh");
        said(Command::new("chmod").arg("0755").arg(&script));
        let syntax = said(Command::new("sh").arg("-n").arg(&script));
        assert_eq!(syntax.0, Some(0), "{case}: {}", syntax.1);
        let configuration = write("keepalived", "keepalived.conf");
        let text = std::fs::read_to_string(&configuration).unwrap();
        std::fs::write(
            &configuration,
            text.replace(
                "/etc/keepalived/check_apiserver.sh",
                script.to_str().unwrap(),
            ),
        )
        .unwrap();
        let keepalived = said(
            Command::new("keepalived")
                .args(["-t", "-f"])
                .arg(&configuration),
        );
        let expected = if variables["load_balancer_profile"] == "seed" {
            [Some(6), Some(0)]
        } else {
            [Some(0), Some(0)]
        };
        assert!(expected.contains(&keepalived.0), "{case}: {keepalived:?}");
        assert!(!keepalived.1.contains("kipping"), "{case}: {keepalived:?}");
        println!("{case}: haproxy {haproxy:?} keepalived {keepalived:?}");
    }
}

/// Needs containerd 2 and systemd-analyze on the PATH.
#[test]
#[ignore = "needs containerd and systemd-analyze"]
fn containerd_and_systemd_accept_what_is_rendered() {
    let folder = tempfile::tempdir().unwrap();
    let variables = variables(json!({
        "containerd_systemd_cgroup": false, "containerd_disable_apparmor": true, "containerd_restrict_oom_score_adj": true,
        "containerd_cni_bin_dir": "/usr/lib/cni", "image_repository": "registry.example.org/k8s",
        "containerd_bin_dir": "/bin", "kubernetes_bin_dir": "/bin", "http_proxy": "http://u:p%40@proxy:3128", "https_proxy": "", "no_proxy": "a,b",
    }));
    let said = |command: &mut Command| {
        let output = command.output().unwrap();
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.success(), "{text}");
        text
    };
    let path = folder.path().join("config.toml");
    std::fs::write(
        &path,
        template("container_runtime", "config.toml", &variables),
    )
    .unwrap();
    let dump = said(
        Command::new("containerd")
            .arg("--config")
            .arg(&path)
            .args(["config", "dump"]),
    );
    for line in [
        "sandbox = 'registry.example.org/k8s/pause:3.10.2'",
        "config_path = '/etc/containerd/certs.d'",
        "disable_apparmor = true",
        "restrict_oom_score_adj = true",
        "bin_dirs = ['/usr/lib/cni']",
        "SystemdCgroup = false",
        "runtime_type = 'io.containerd.runc.v2'",
        "default_runtime_name = 'runc'",
    ] {
        assert!(dump.contains(line), "{line} is not in {dump}");
    }

    for (role, unit, dropin) in [
        ("container_runtime", "containerd.service", "proxy.conf"),
        ("kubernetes", "kubelet.service", "10-kubeadm.conf"),
    ] {
        let path = folder.path().join(unit);
        // The programs are not on this machine.
        let here = |text: String| {
            text.replace("/bin/containerd", "/bin/true")
                .replace("/bin/kubelet", "/bin/true")
        };
        std::fs::write(&path, here(template(role, unit, &variables))).unwrap();
        std::fs::create_dir(folder.path().join(format!("{unit}.d"))).unwrap();
        std::fs::write(
            folder.path().join(format!("{unit}.d/x.conf")),
            here(template(role, dropin, &variables)),
        )
        .unwrap();
        let text = said(
            Command::new("systemd-analyze")
                .args(["verify", "--man=no", "--recursive-errors=no"])
                .arg(&path),
        );
        assert!(!text.contains(unit), "{text}");
    }
}
