//! Reading inventories: precedence, origins, mistakes.

use std::fmt::Write as _;

use quorate::inventory::{Input, Inventory, Level, Variable, Variables, layer, load, merge};
use quorate::model::Diagnostics;
use serde_json::json;

fn findings(input: &Input) -> String {
    let (_, diagnostics) = Inventory::build(input);
    diagnostics
        .iter()
        .map(|d| format!("    {:?}: {d}\n", d.severity))
        .collect()
}

#[test]
fn variables_know_what_they_overrode() {
    let input = Input::from_text(
        "hosts.yml",
        "all:\n  vars: {x: 1}\n  children:\n    g: {hosts: {h: {x: 3}}, vars: {x: 2}}\n",
    )
    .with_group_vars("all", "group_vars/all.yml", "x: 4\n")
    .with_host_vars("h", "host_vars/h.yml", "x: 5\n")
    .with_extra("x=6");
    let (inventory, diagnostics) = Inventory::build(&input);
    assert_eq!(diagnostics, Diagnostics::default());
    let x = &inventory.hosts["h"].vars["x"];
    assert_eq!((&x.value, x.origin.level), (&json!("6"), Level::Extra));
    let told: Vec<_> = x
        .overrode
        .iter()
        .map(|o| format!("{} {}", o.what, o.span.as_ref().unwrap()))
        .collect();
    assert_eq!(
        told,
        [
            "host_vars of h host_vars/h.yml:1:4",
            "host h hosts.yml:4:24",
            "group_vars of all group_vars/all.yml:1:4",
            "vars of group g hosts.yml:4:39",
            "vars of group all hosts.yml:2:13",
        ]
    );
}

#[test]
fn layers_go_by_level_and_not_by_order() {
    let one = |value: i32, level, what: &str| {
        Variables::from_iter([(
            "x".to_owned(),
            Variable::computed(value.into(), level, what),
        )])
    };
    let merged = merge([
        one(1, Level::RoleVars, "role vars"),
        one(2, Level::RoleDefaults, "defaults"),
        one(3, Level::GroupVars, "group"),
        one(4, Level::GroupVars, "later group"),
        one(5, Level::Registered, "registered"),
    ]);
    let x = &merged["x"];
    assert_eq!(x.value, json!(5));
    let overrode: Vec<_> = x.overrode.iter().map(|o| o.what.as_str()).collect();
    assert_eq!(overrode, ["role vars", "later group", "group", "defaults"]);
    let mut base = merged;
    layer(&mut base, one(9, Level::HostVars, "host"));
    assert_eq!(base["x"].value, json!(5));
    assert_eq!(base["x"].overrode[1].what, "host");
}

#[test]
fn the_cluster_group_is_implied() {
    let text = "kube_control_plane: {hosts: {cp1: }}\nkube_node: {hosts: {w1: }}\n";
    let input = Input::from_text("i.yml", text).with_group_vars("k8s_cluster", "g.yml", "x: 1\n");
    let (inventory, _) = Inventory::build(&input);
    assert_eq!(inventory.hosts_of("k8s_cluster").len(), 2);
    assert_eq!(inventory.hosts["w1"].vars["x"].value, json!(1));
    assert!(inventory.is_in("cp1", "k8s_cluster") && inventory.is_in("cp1", "all"));
    assert!(!inventory.is_in("cp1", "kube_node"));
}

#[test]
fn ranges() {
    let hosts = |pattern: &str| {
        let input = Input::from_text("i.yml", format!("g:\n  hosts:\n    {pattern}:\n"));
        let (inventory, diagnostics) = Inventory::build(&input);
        match diagnostics.iter().next() {
            Some(d) => d.message.clone(),
            None => inventory
                .hosts
                .keys()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(" "),
        }
    };
    let table = [
        ("cp[1:3]", "cp1 cp2 cp3"),
        ("w[01:10:4]", "w01 w05 w09"),
        ("w[a:f:2]", "wa wc we"),
        ("r[1:2]n[a:b]", "r1na r1nb r2na r2nb"),
        ("w[:2]", "w0 w1 w2"),
        (
            "cp[8:11].example.org",
            "cp8.example.org cp9.example.org cp10.example.org cp11.example.org",
        ),
        ("w[1:]", "the range `[1:]` has no end"),
        ("w[3:1]", "the range `[3:1]` ends before it begins"),
        (
            "w[1:x]",
            "the range `[1:x]` has a bound that is neither a number nor a letter",
        ),
        ("w[1:2]:2222", "w1 w2"),
        (
            "w[1]",
            "`[1]` is no range: write it as `[1:3]` or `[1:9:2]`",
        ),
        (
            "w[1:2",
            "`w[1:2` opens a range with `[` and does not close it",
        ),
        (
            "w[1:9:0]",
            "the step of the range `[1:9:0]` is no number above 0",
        ),
        (
            "w[01:100]",
            "the bounds of the range `[01:100]` begin with 0 and differ in length",
        ),
        (
            "w[1:999999999]",
            "the range `[1:999999999]` stands for more than 10000 hosts",
        ),
        (
            "w[1:999][1:999]",
            "`w[1:999][1:999]` stands for more than 10000 hosts",
        ),
    ];
    for (pattern, expected) in table {
        assert_eq!(hosts(pattern), expected, "{pattern}");
    }
}

#[test]
fn mistakes_are_told_with_their_place() {
    let texts = [
        "",
        "[]\n",
        "- a\n",
        "plugin: aws_ec2\n",
        "[kube_node]\nw1\n",
        "#!/bin/sh\necho\n",
        "g: {hosts: [a, b]}\n",
        "g: {hosts: {a: 1}}\n",
        "g: {host: {a: }}\n",
        "g: {hosts: {a: }, weather: 1}\n",
        "g: 1\n",
        "g: {vars: [1], hosts: {a: }}\n",
        "g: {hosts: {a b: }}\n",
        "g h: {hosts: {a: }}\n",
        "a: {children: {b: {children: {c: {children: {a: }}}}}, hosts: {h: }}\n",
        "a: {children: {a: }, hosts: {h: }}\n",
        "g: {hosts: {a: {my-var: 1, 2x: 1}}}\n",
        "g: {hosts: {g: }}\n",
        "g: {hosts: {a: }, vars: {ansible_group_priority: high}}\n",
        "g: {hosts: {a: , a: }}\nh: {hosts: {b: {x: 1, x: 2}}}\n",
        "g: {hosts: {'2001:db8::1': }}\n",
        "g:\n",
    ];
    let mut report = String::new();
    for text in texts {
        report.push_str(&format!(
            "{text:?}\n{}",
            findings(&Input::from_text("i.yml", text))
        ));
    }
    let files = Input::from_text("i.yml", "kube_node: {hosts: {web: , w1: }}\n")
        .with_group_vars("kube-node", "group_vars/kube-node.yml", "x: 1\n")
        .with_group_vars("other", "group_vars/other.yml", "x: 1\n")
        .with_group_vars("kube_node", "group_vars/kube_node.yml", "- x\n")
        .with_host_vars("wbe", "host_vars/wbe.yml", "x: 1\n")
        .with_host_vars("w2", "host_vars/w2.yml", "x: 1\n")
        .with_extra("x")
        .with_extra("[1]")
        .with_extra("{\"a\": }");
    report.push_str(&format!("files\n{}", findings(&files)));
    insta::assert_snapshot!(report);
}

#[test]
fn what_cannot_be_read_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let path = camino::Utf8PathBuf::from_path_buf(dir.path().to_owned()).unwrap();
    let told = |paths: &[&str], extra: &[&str]| {
        let paths: Vec<_> = paths.iter().map(|p| path.join(p)).collect();
        let extra: Vec<_> = extra.iter().map(ToString::to_string).collect();
        let (_, diagnostics) = load(&paths, &extra);
        let found: Vec<_> = diagnostics
            .iter()
            .map(|d| d.to_string().replace(path.as_str(), "DIR"))
            .collect();
        found.join("\n")
    };
    assert!(
        told(&["nothing"], &[]).starts_with("there is no inventory: `DIR/nothing` does not exist")
    );
    std::fs::create_dir_all(path.join("empty")).unwrap();
    assert!(told(&["empty"], &[]).starts_with("the folder DIR/empty holds no inventory file"));
    std::fs::write(path.join("latin.yml"), b"g: {hosts: {a: {x: \"\xe9\"}}}\n").unwrap();
    assert_eq!(
        told(&["latin.yml"], &[]),
        "DIR/latin.yml:1:21: the file is not UTF-8 text (save it as UTF-8)"
    );
    std::fs::write(path.join("h.yml"), "g: {hosts: {a: }}\n").unwrap();
    std::fs::create_dir_all(path.join("group_vars/g")).unwrap();
    std::fs::write(path.join("group_vars/g/a.yml"), "x: 1\n").unwrap();
    std::fs::write(path.join("group_vars/g.yml"), "x: 2\n").unwrap();
    assert_eq!(
        told(&["h.yml"], &[]),
        "DIR/group_vars/g.yml is not read, because DIR/group_vars/g is (as in Ansible, one of them counts: move the file into the folder, or remove it)"
    );
    assert!(
        told(&["h.yml"], &["@/nowhere.yml"]).contains("there is no file of variables /nowhere.yml")
    );
    assert!(told(&["h.yml"], &["@"]).contains("a file of variables has no name"));
}

/// Each host and each group is looked up, and not looked for: a search among all of them would take a minute.
#[test]
fn a_group_may_have_many_thousand_hosts_or_groups() {
    const MANY: usize = 30_000;
    let mut text = String::from("[big]\n");
    for n in 0..MANY / 10_000 {
        let _ = writeln!(text, "h{n}-[1:10000]");
    }
    text.push_str("[parent:children]\n");
    for n in 0..MANY {
        let _ = writeln!(text, "g{n}");
    }
    for n in 0..MANY {
        let _ = writeln!(text, "[g{n}]");
    }
    let (inventory, found) = Inventory::build(&Input::from_text("hosts.ini", text));
    assert!(!found.has_errors(), "{found:?}");
    assert_eq!(inventory.groups["big"].hosts.len(), MANY);
    assert_eq!(inventory.groups["parent"].children.len(), MANY);
    assert_eq!(inventory.hosts_of("all").len(), MANY);
    // Named again, a host is no second one.
    let twice = "[big]\na\nb\na\n[other]\nb\n";
    let (inventory, _) = Inventory::build(&Input::from_text("hosts.ini", twice));
    let names = inventory.groups["big"].hosts.iter().map(|h| h.as_str());
    assert_eq!(names.collect::<Vec<_>>(), ["a", "b"]);
}
