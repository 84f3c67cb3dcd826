//! What real Ansible makes of the inventories in tests/pure/ansible: `NAME.list.json` and `NAME.graph` beside them are
//! the output of `ansible-inventory --list` and `--graph` of ansible-core 2.19.

use camino::Utf8PathBuf;
use quorate::inventory::{Inventory, limit, load};
use quorate::model::Value;

fn dir() -> Utf8PathBuf {
    Utf8PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/pure/ansible"))
}

fn read(paths: &[&str], extra: &[&str]) -> Inventory {
    let paths: Vec<_> = paths.iter().map(|p| dir().join(p)).collect();
    let extra: Vec<_> = extra.iter().map(ToString::to_string).collect();
    let (inventory, diagnostics) = load(&paths, &extra);
    assert!(!diagnostics.has_errors(), "{diagnostics:#?}");
    inventory
}

fn same(name: &str, paths: &[&str], extra: &[&str]) {
    let inventory = read(paths, extra);
    let text = std::fs::read_to_string(dir().join(format!("{name}.list.json"))).unwrap();
    let mut expected: Value = serde_json::from_str(&text).unwrap();
    // A key for Ansible's own loader of this output.
    expected["_meta"]
        .as_object_mut()
        .unwrap()
        .shift_remove("profile");
    let found = inventory.to_list(&|_, variable| variable.value.clone());
    assert_eq!(
        serde_json::to_string_pretty(&found).unwrap(),
        serde_json::to_string_pretty(&expected).unwrap(),
        "{name}"
    );
    let graph = std::fs::read_to_string(dir().join(format!("{name}.graph"))).unwrap();
    assert_eq!(inventory.to_graph("all").unwrap(), graph, "{name}");
}

#[test]
fn lists_and_graphs_are_those_of_ansible() {
    same("basic", &["basic/hosts.yml"], &[]);
    same("folder", &["folder"], &[]);
    same("several", &["several/one", "several/two/hosts.yml"], &[]);
    same("diamond", &["diamond/hosts"], &[]);
    same("ini", &["ini/hosts.ini"], &[]);
    same("ini-plain", &["ini/plain"], &[]);
    same("vagrant", &["vagrant/vagrant_ansible_inventory"], &[]);
    same("misnamed", &["misnamed/hosts.yml"], &[]);
    same("script-hosts", &["script/hosts.sh"], &[]);
    same("script-old", &["script/old.sh"], &[]);
    same(
        "extra",
        &["diamond/hosts"],
        &[
            "v=extra n=5 q=\"two words\"",
            "{\"l\": {\"a\": [1]}, \"b\": 2}",
        ],
    );
}

#[test]
fn patterns_mean_what_they_mean_to_ansible() {
    let inventory = read(&["basic/hosts.yml"], &[]);
    let text = std::fs::read_to_string(dir().join("basic.patterns.json")).unwrap();
    let expected: Value = serde_json::from_str(&text).unwrap();
    for (pattern, hosts) in expected.as_object().unwrap() {
        let found = inventory.select(pattern);
        match hosts.as_array().unwrap().as_slice() {
            [] => assert!(found.is_err(), "{pattern}: {found:?}"),
            hosts => {
                let found: Vec<_> = found
                    .unwrap_or_else(|d| panic!("{pattern}: {d}"))
                    .iter()
                    .map(|h| h.as_str())
                    .collect();
                assert_eq!(
                    found,
                    hosts
                        .iter()
                        .map(|h| h.as_str().unwrap())
                        .collect::<Vec<_>>(),
                    "{pattern}"
                );
            }
        }
    }
}

#[test]
fn limits_come_in_the_order_of_the_inventory() {
    let inventory = read(&["basic/hosts.yml"], &[]);
    let file = dir().join("basic.limit");
    let names = |pattern: &str| {
        limit(&inventory, pattern).map(|h| {
            h.iter()
                .map(|h| h.to_string())
                .collect::<Vec<_>>()
                .join(" ")
        })
    };
    assert_eq!(names("w01,cp1").as_deref(), Ok("cp1 w01"));
    assert_eq!(names(&format!("@{file},!cp3")).as_deref(), Ok("cp1 w01"));
    let error = |pattern: &str| {
        names(pattern)
            .unwrap_err()
            .iter()
            .map(ToString::to_string)
            .collect::<String>()
    };
    assert_eq!(
        error("kube_nod"),
        "no host or group is called `kube_nod` (did you mean `kube_node`?)"
    );
    assert_eq!(
        error("all:!w0l"),
        "no host or group is called `w0l` (did you mean `w01`?)"
    );
    assert_eq!(
        error("delta:&lone"),
        "the pattern `delta:&lone` leaves no host (`quorate inventory graph` shows the groups and their hosts)"
    );
    assert_eq!(
        error("delta[3]"),
        "`delta[3]` means no host: `delta` has 1 (hosts are counted from 0, and from the end with -1)"
    );
    assert_eq!(
        error("~("),
        "`~(` is no pattern (after `~` stands a regular expression; otherwise `*`, `?` and `[…]` are wildcards)"
    );
    assert!(error("@/nowhere").starts_with("there is no list of hosts /nowhere"));
    assert_eq!(
        error(""),
        "the pattern `` is empty (write `all` for all hosts)"
    );
}
