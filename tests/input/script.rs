//! Inventories that a program prints, and what `vagrant ssh-config` prints.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::bed::{Bed, HOSTS, HOSTS_FILE, VARS};

fn program(bed: Bed, path: &str, text: &str) -> Bed {
    let bed = bed.file(path, text);
    fs::set_permissions(bed.path(path), fs::Permissions::from_mode(0o755)).unwrap();
    bed
}

fn prints(json: &str) -> Bed {
    let text = format!("#!/bin/sh\ncat <<'END'\n{json}\nEND\n");
    program(Bed::empty(), "inventory/cloud.sh", &text)
}

const SOUND: &str = r#"{
  "kube_control_plane": { "hosts": ["cp1"] },
  "all": { "vars": { "ansible_port": {port}, "ansible_user": "root", "kubernetes_version": "1.36.3",
    "kubernetes_source": "present", "apiserver_vip": "10.0.0.10", "ansible_become_password": "hidden-word" } },
  "_meta": { "hostvars": { "cp1": { "ansible_host": "127.0.0.1", "ip": "10.0.0.11" } } }
}"#;

#[test]
fn a_script_in_the_folder_and_by_its_name() {
    let bed = prints(SOUND);
    for arguments in [&["validate"][..], &["validate", "-i", "inventory/cloud.sh"]] {
        let outcome = bed.run(arguments);
        assert_eq!(outcome.exit, 0, "{}", outcome.err);
    }
    let list = bed.run(&["inventory", "list"]);
    assert!(
        list.out.contains("\"ansible_become_password\": \"***\""),
        "{}",
        list.out
    );
    let told = bed.run(&["vars", "explain", "cp1", "ip"]).out;
    assert!(told.contains("set by inventory/cloud.sh --list:"), "{told}");
    bed.nobody_came();
    // Without a path before its name it is not looked for in PATH.
    let bed = program(bed, "true", "#!/bin/sh\nexec ./inventory/cloud.sh\n");
    assert_eq!(bed.run(&["validate", "-i", "true"]).exit, 0);
}

/// What else lies in the folder: variables beside, and files that a shared folder calls executable.
#[test]
fn a_script_beside_other_inventories() {
    let json = r#"{ "kube_node": { "hosts": ["w9"] }, "_meta": { "hostvars": { "w9": { "ansible_host": "127.0.0.9", "ip": "10.0.0.29" } } } }"#;
    let bed = prints(json).file("inventory/group_vars/all.yml", VARS);
    let bed = program(bed, HOSTS_FILE, HOSTS);
    let outcome = bed.run(&["validate"]);
    assert_eq!(
        outcome.out,
        "5 hosts, 1 control plane: the input is sound. Nobody was contacted.\n"
            .replace("1 control plane", "3 control planes"),
        "{}",
        outcome.err
    );
}

#[test]
fn scripts_that_fail() {
    let mut said = String::new();
    for script in [
        "#!/bin/sh\nfor n in 1 2 3 4 5 6; do echo \"trouble $n\" >&2; done\nexit 3\n",
        "#!/bin/sh\nkill -9 $$\n",
        "#!/bin/sh\necho '{\"a\": hidden}'\necho why >&2\n",
        "#!/bin/sh\n",
        "#!/nowhere/python\n",
        "#!/bin/sh\n[ $1 = --host ] && { echo \"no $2\" >&2; exit 1; }\necho '{\"g\": [\"h1\"]}'\n",
    ] {
        let bed = program(Bed::empty(), "inventory/cloud.sh", script);
        said.push_str(&format!("{script}\n{}\n", bed.refused()));
    }
    for json in [
        "[]",
        "{\"g\": 3}",
        "{\"g\": {\"hosts\": {\"h1\": {}}}}",
        "{\"g\": {\"hosts\": [3]}}",
        "{\"g\": {\"vars\": []}}",
        "{\"_meta\": []}",
        "{\"_meta\": {\"hostvars\": []}}",
        "{}",
    ] {
        said.push_str(&format!("{json}\n{}\n", prints(json).refused()));
    }
    insta::assert_snapshot!(said);
    let bed = Bed::empty().file("inventory/hosts", "#!/bin/sh\n");
    insta::assert_snapshot!("a_script_that_may_not_be_executed", bed.refused());
}

/// Mistakes in what it says have their place there, and show no secret.
#[test]
fn a_script_that_says_something_wrong() {
    let json = SOUND
        .replace("\"ip\"", "\"interfac\": \"x\", \"ip\"")
        .replace("\"1.36.3\"", "1.36")
        .replace("\"hidden-word\"", "77777");
    insta::assert_snapshot!(prints(&json).refused());
}

const VAGRANT: &str = "\
Host cp1
  HostName 127.0.0.1
  User vagrant
  Port {port}
  UserKnownHostsFile /dev/null
  StrictHostKeyChecking no
  PasswordAuthentication no
  IdentityFile \"DIR/my key\"
  IdentitiesOnly yes
  LogLevel FATAL

Host w1
  HostName 127.0.0.1
  User vagrant
  Port 2200
";

#[test]
fn what_vagrant_prints() {
    let groups = "kube_control_plane: { hosts: { cp1: { ip: 10.0.0.11 } } }\nkube_node: { hosts: { w1: { ip: 10.0.0.21 } } }\n";
    let bed = Bed::sound();
    let vagrant = VAGRANT.replace("DIR", bed.root().as_str());
    let vars = VARS.replace("ansible_port: {port}\nansible_user: root\n", "");
    let bed = bed
        .file(HOSTS_FILE, groups)
        .file("inventory/group_vars/all.yml", &vars)
        .file("inventory/vagrant", &vagrant)
        .file("my key", "");
    fs::set_permissions(bed.path("my key"), fs::Permissions::from_mode(0o600)).unwrap();
    let shown = bed.run(&["inventory", "host", "cp1"]);
    assert_eq!(shown.exit, 0, "{}", shown.err);
    for line in [
        "\"ansible_host\": \"127.0.0.1\"",
        "\"ansible_port\": PORT",
        "\"ansible_user\": \"vagrant\"",
        "\"ansible_ssh_private_key_file\": \"DIR/my key\"",
    ] {
        assert!(shown.out.contains(line), "{line}: {}", shown.out);
    }
    let told = bed.run(&["vars", "explain", "w1", "ansible_port"]).out;
    assert_eq!(
        told,
        "ansible_port = 2200\n  set by inventory/vagrant:15:8 (host w1)\n"
    );
    let graph = bed.run(&["inventory", "graph"]).out;
    assert!(
        graph.contains("|--@ungrouped:\n  |--@k8s_cluster"),
        "{graph}"
    );
    // It is not for everybody's ~/.ssh/config.
    let bed = bed.file("inventory/vagrant", "Host *\n  User x\nHost a b\n");
    insta::assert_snapshot!(bed.refused());
}
