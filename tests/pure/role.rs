//! The built-in roles, as a user's inventory would use them.

use std::sync::Arc;

use camino::Utf8Path;
use quorate::host::{Fact, Facts};
use quorate::model::{Diagnostics, Masks, Sha256};
use quorate::plan::HostPlan;
use quorate::role::{
    ControllerFile, ControllerFiles, FileError, HostRoles, ImageArchive, Kinds, Library, Registered,
};
use quorate::template::{Binding, Scope};
use serde_json::{Value, json};

/// Files that are all there, each with its path as content.
pub(crate) struct AllThere;

impl ControllerFiles for AllThere {
    fn file(&self, path: &Utf8Path) -> Result<ControllerFile, FileError> {
        Ok(ControllerFile {
            path: path.to_path_buf(),
            length: 5 << 20,
            sha256: Sha256::of(path.as_str()),
        })
    }

    fn images(&self, folder: &Utf8Path) -> Result<Vec<ImageArchive>, FileError> {
        let archive = |file: &str, name: &str| -> Result<ImageArchive, FileError> {
            let file = self.file(&folder.join(file))?;
            Ok(ImageArchive {
                file,
                names: vec![name.to_string()],
            })
        };
        Ok(vec![
            archive("coredns.tar", "registry.k8s.io/coredns/coredns:v1.13.1")?,
            archive(
                "kube-apiserver.tar",
                "registry.k8s.io/kube-apiserver:v1.36.3",
            )?,
            archive("haproxy.tar", "docker.io/library/haproxy:3.2.4")?,
            archive("keepalived.tar", "docker.io/osixia/keepalived:2.0.20")?,
        ])
    }
}

/// Returns what a plan would do, and why.
pub(crate) fn effects(plan: &HostPlan) -> Vec<String> {
    let changes = plan.steps.iter().flat_map(|s| &s.changes);
    changes
        .map(|c| format!("{} [{}]", c.effect.describe(), c.why))
        .collect()
}

/// Returns what is wrong in tasks, found in reading them or in their first rendering.
fn wrong<'a>(texts: impl IntoIterator<Item = (&'a str, &'a str)>, scope: &Scope) -> Diagnostics {
    let (library, found) = Library::from_texts("r", texts);
    if found.has_errors() {
        return found;
    }
    let roles = HostRoles::new(vec![library.get("r").unwrap()], Arc::new(AllThere));
    roles.facts(scope).err().unwrap_or_default()
}

/// Returns the first that is wrong in tasks on a host that knows nothing of its own.
pub(crate) fn found(tasks: &str) -> Option<String> {
    let found = wrong([("tasks/main.yml", tasks)], &scope(json!({})));
    found.iter().next().map(ToString::to_string)
}

/// Returns each role's tasks with what is wrong in them, found in reading them or in their first rendering; `more` are other
/// files of the role.
pub(crate) fn mistakes(
    cases: &[&str],
    more: &[(&str, &str)],
    scope: impl Fn(&str) -> Scope,
) -> String {
    let mut all = String::new();
    for tasks in cases {
        let texts = [("tasks/main.yml", *tasks)];
        let texts = texts.into_iter().chain(more.iter().copied());
        let found = wrong(texts, &scope(tasks));
        assert!(found.has_errors(), "nothing is wrong with {tasks}");
        all.push_str(&format!("{tasks}\n"));
        for finding in found.iter() {
            all.push_str(&format!("    {finding}\n"));
        }
    }
    all
}

pub(crate) fn scope(values: Value) -> Scope {
    let mut scope = Scope::new();
    for (name, value) in values.as_object().cloned().unwrap_or_default() {
        scope.set(name, Binding::template(value, None, []));
    }
    scope
}

pub(crate) fn cluster() -> Scope {
    scope(variables())
}

/// The same host, its load balancer in static pods.
pub(crate) fn pods() -> Scope {
    let mut variables = variables();
    variables["load_balancer"] = "keepalived-haproxy-pods".into();
    scope(variables)
}

fn variables() -> Value {
    let mut variables = json!({
        "inventory_hostname": "cp1", "node_name": "cp1", "groups": {}, "group_names": ["kube_control_plane"], "hostvars": {},
        "ip": "10.77.0.11", "cluster_name": "kubernetes", "kubernetes_version": "1.36.3",
        "kubernetes_source": "files", "kubernetes_files": "/srv/files", "container_runtime_source": "files",
        "control_plane_endpoint": "api.example.org:8443", "control_plane_endpoint_host": "api.example.org",
        "control_plane_endpoint_port": 8443, "control_plane_endpoint_is_name": true, "apiserver_vip": "10.77.0.100",
        "apiserver_dest_port": 8443, "apiserver_src_port": 6443, "load_balancer": "keepalived-haproxy",
        "load_balancer_profile": "fast", "state": "MASTER", "router_id": 77, "priority": 200, "weight": -101,
        "listens_for_vrrp": true, "auth_pass": "x1y2z3w4", "vrrp_unicast": false, "vrrp_peers": ["10.77.0.12", "10.77.0.13"],
        "load_balancer_backends": [{"name": "cp1", "address": "10.77.0.11"}, {"name": "cp2", "address": "10.77.0.12"}],
        "pod_subnet": "10.244.0.0/16", "service_subnet": "10.96.0.0/12",
        "is_control_plane": true, "is_worker": false, "is_load_balancer": true,
        "image_repository": "", "http_proxy": "", "https_proxy": "", "no_proxy": "",
        "haproxy_image": "haproxy:3.2.4", "keepalived_image": "osixia/keepalived:2.0.20",
    });
    for name in ["has_firewalld", "has_ufw"] {
        variables[name] = false.into();
    }
    variables["firewall_openings"] = json!([]);
    variables
}

#[test]
fn builtin_roles_are_read_and_planned() {
    let (library, diagnostics) = Library::builtin();
    assert!(!diagnostics.has_errors(), "{diagnostics:#?}");
    // Those of another way have other variables, and tests of their own.
    let here = |r: &&Arc<quorate::role::Role>| r.name != "kube_vip";
    let roles = library.iter().filter(here).cloned().collect();
    let roles = HostRoles::new(roles, Arc::new(AllThere));
    let facts = roles
        .facts(&cluster())
        .map_err(|d| d.iter().map(|d| d.to_string()).collect::<Vec<_>>())
        .unwrap();
    let observed = super::simulated::Model::bare().observe(&facts);
    let start = std::time::Instant::now();
    let plan = roles
        .plan(&cluster(), &observed, &Registered::default())
        .unwrap();
    println!("planned in {:?}", start.elapsed());
    assert!(facts.len() > 40 && plan.handlers.len() == 7 && plan.known_after_apply.is_empty());
    assert!(!plan.steps.is_empty());
}

/// A host with one role `r` of these tasks.
pub(crate) fn only(tasks: &str) -> (HostRoles, Scope) {
    with([("tasks/main.yml", tasks)])
}

pub(crate) fn with<'a>(texts: impl IntoIterator<Item = (&'a str, &'a str)>) -> (HostRoles, Scope) {
    let (library, diagnostics) = Library::from_texts("r", texts);
    assert!(!diagnostics.has_errors(), "{diagnostics:#?}");
    let roles = HostRoles::new(vec![library.get("r").unwrap()], Arc::new(AllThere));
    (roles, scope(json!({ "ansible_user": "admin" })))
}

#[test]
fn a_difference_shows_no_secret_of_either_side() {
    use quorate::plan::Diff;
    let secrets = [("auth_pass".to_string(), "hunter2".to_string())];
    let masked = |before: &str, after: &str| {
        let mut diff = Diff {
            name: "/etc/keepalived/keepalived.conf".into(),
            before: Some(before.into()),
            after: after.into(),
        };
        diff.mask(&secrets, &Masks::default());
        diff.unified()
    };
    let shown = masked("a\nauth_pass oldone\nb\n", "a\nauth_pass hunter2\nc\n");
    assert!(
        !shown.contains("oldone") && !shown.contains("hunter2"),
        "{shown}"
    );
    assert!(shown.contains("-b\n") && shown.contains("+c\n"), "{shown}");
    // What differs in the secret alone is a difference all the same.
    let shown = masked("auth_pass oldone\n", "auth_pass hunter2\n");
    assert!(
        shown.contains("+(a secret that is not shown differs)"),
        "{shown}"
    );
    assert!(masked("", "x hunter2 y\n").contains("+x *** y"));
}

#[test]
fn hosts_that_are_alike_are_asked_alike_and_others_are_not() {
    let tasks = "- copy: {content: x, dest: '/etc/{{ folder }}/a'}\n\
                 - copy: {content: x, dest: '/etc/{{ facts.os }}/b'}\n\
                 - copy: {content: x, dest: /etc/c}\n  when: extra is defined and extra\n\
                 - copy: {content: x, dest: '/etc/{{ own }}/d'}\n  when: folder == 'three'\n";
    let texts = [
        ("tasks/main.yml", tasks),
        (
            "defaults/main.yml",
            "folder: \"{{ place | default(value='none') }}\"\nown: mine\n",
        ),
    ];
    let (library, found) = Library::from_texts("r", texts);
    assert!(!found.has_errors(), "{found:#?}");
    let role = library.get("r").unwrap();
    let hosts = [
        json!({"inventory_hostname": "a"}),
        json!({"inventory_hostname": "b"}),
        json!({"inventory_hostname": "c", "folder": "one"}),
        json!({"inventory_hostname": "d", "place": "two"}),
        json!({"inventory_hostname": "e", "place": "two", "extra": true}),
        json!({"inventory_hostname": "f", "place": "two", "extra": false}),
        json!({"inventory_hostname": "g", "folder": "three"}),
        json!({"inventory_hostname": "h", "folder": "three", "own": "{{ inventory_hostname }}"}),
        json!({"inventory_hostname": "i", "folder": "three", "own": "{{ inventory_hostname }}"}),
        json!({"inventory_hostname": "j"}),
    ];
    let (unknown, known) = (Arc::new(Kinds::default()), Arc::new(Kinds::default()));
    let system = |os: &str| {
        let bare = super::simulated::Model::bare().observe(&Facts::from([Fact::System]));
        quorate::host::System {
            os: os.into(),
            ..bare.system
        }
    };
    for host in hosts {
        let alone = HostRoles::new(vec![role.clone()], Arc::new(AllThere));
        let scope = scope(host);
        let among = alone.clone().among(unknown.clone());
        assert_eq!(among.facts(&scope), alone.facts(&scope));
        let among = alone.clone().among(known.clone());
        for os in ["debian", "ubuntu"] {
            let none = Registered::default();
            let facts = alone.facts_of(&scope, &system(os), &none).unwrap();
            assert_eq!(among.own_facts_of(&scope, &system(os)).unwrap(), facts);
        }
    }
    // Three are alike; of the others each says something else, or nothing.
    assert_eq!(unknown.count(), 8);
}

#[test]
fn a_handler_is_not_judged() {
    let said = |more: &str| {
        let handler = format!("- {{name: h, command: y, {more}}}\n");
        let texts = [
            ("tasks/main.yml", "- {command: x, notify: h}\n"),
            ("handlers/main.yml", handler.as_str()),
        ];
        let (_, found) = Library::from_texts("r", texts);
        found
            .0
            .iter()
            .map(|d| d.message.clone())
            .collect::<String>()
    };
    for more in [
        "failed_when: false",
        "failed_when: \"result.rc > 1\"",
        "changed_when: \"result.rc == 2\"",
    ] {
        assert!(
            said(more).starts_with("a handler cannot be judged"),
            "{more}"
        );
    }
    assert_eq!(said("changed_when: false"), "");
}
