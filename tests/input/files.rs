//! Inventory files: their YAML, their keys, and which of them are read.

use crate::bed::{Bed, HOSTS, HOSTS_FILE, VARS, VARS_FILE};

#[test]
fn no_inventory() {
    let bed = Bed::empty();
    insta::assert_snapshot!(bed.refused());
    for arguments in [
        &["inventory", "list"][..],
        &["inventory", "graph"],
        &["vars", "explain", "cp1"],
        &["exec", "--", "true"],
        &["status"],
    ] {
        let outcome = bed.run(arguments);
        assert_eq!((outcome.exit, outcome.out.as_str()), (4, ""));
        assert_eq!(outcome.err, bed.refused(), "{arguments:?}");
    }
}

#[test]
fn the_first_inventory_of_the_message_is_sound() {
    let text = Bed::empty().refused();
    let lines = text.lines().skip_while(|line| line.trim() != "all:");
    let lines = lines.take_while(|line| !line.contains("quorate validate"));
    // The message is indented as a whole.
    let margin = text
        .lines()
        .find(|l| l.trim() == "all:")
        .unwrap()
        .find('a')
        .unwrap();
    let first: String = lines
        .map(|line| format!("{}\n", line.get(margin..).unwrap_or_default()))
        .collect();
    let bed = Bed::empty().file(HOSTS_FILE, &first);
    assert_eq!(bed.warned(), "", "{first}");
}

#[test]
fn an_inventory_that_was_named_and_is_not_there() {
    insta::assert_snapshot!(Bed::sound().refused_with(&["-i", "inventry"]));
}

#[test]
fn a_file_of_another_name_beside() {
    let bed = Bed::empty().file("hosts.yml", HOSTS);
    insta::assert_snapshot!(bed.refused());
}

#[test]
fn an_empty_folder() {
    let bed = Bed::empty().file("inventory/README.md", "nothing here");
    insta::assert_snapshot!(bed.refused());
}

#[test]
fn an_empty_file() {
    insta::assert_snapshot!(Bed::empty().file("inventory/hosts.yml", "").refused());
}

#[test]
fn a_folder_of_several_files_and_one_is_wrong() {
    let bed = Bed::sound()
        .file(
            "inventory/more/20-workers.yml",
            "kube_node:\n  hosts:\n    w2: { ansible_host: 127.0.0.8, ip: 10.0.0.22 }\n",
        )
        .file("inventory/10-more.yaml", "kube_node:\n  hosts\n");
    insta::assert_snapshot!(bed.refused());
}

/// An INI inventory in the name of a YAML one, and everything that INI takes and means otherwise.
#[test]
fn ini() {
    let bed = Bed::empty().file(
        "inventory/hosts.yml",
        "[kube_control_plane]\ncp1 ip=10.0.0.11\n",
    );
    insta::assert_snapshot!(bed.refused());
    let bed = Bed::empty().file(
        "inventory/hosts.ini",
        "[kube_control_plane]\ncp1 ip = 10.0.0.11\ncp2 ip=10.0.0.12 note=\"open\ncp3: ip=10.0.0.13\n\
         [kube node]\nw1\n[kube_node:childs]\nw2\n[kube_nod:vars]\na=1\n\
         [k8s_cluster:children]\nkube_nodes\nkube_control_plane\n\
         [all:vars]\napiserver_vip 10.0.0.10\nkubernetes_version=1.36\n",
    );
    insta::assert_snapshot!("ini_with_mistakes", bed.refused());
}

/// The same cluster in INI, in a file without an ending.
#[test]
fn a_sound_inventory_in_ini() {
    let bed = Bed::empty().file(
        "inventory",
        "cp1 ansible_host=127.0.0.1 ip=10.0.0.11\ncp2 ansible_host=127.0.0.2 ip=10.0.0.12\ncp3 ansible_host=127.0.0.3 ip=10.0.0.13\n\
         [kube_control_plane]\ncp[1:3]\n[kube_node]\nw1 ansible_host=127.0.0.4 ip=10.0.0.21 node_labels=\"{'disk': 'ssd'}\"\n\
         [all:vars]\nansible_port={port}\nansible_user = root\nkubernetes_version = 1.36.3\nkubernetes_source=present\napiserver_vip=10.0.0.10\n",
    );
    let outcome = bed.run(&["validate"]);
    assert_eq!(
        (outcome.exit, outcome.err.as_str()),
        (0, ""),
        "{}",
        outcome.out
    );
    bed.nobody_came();
}

#[test]
fn tabs() {
    let bed = Bed::sound().replace(HOSTS_FILE, "    cp2", "\tcp2");
    insta::assert_snapshot!(bed.refused());
}

#[test]
fn a_key_twice() {
    let bed = Bed::sound().vars("apiserver_vip: 10.0.0.9\n");
    insta::assert_snapshot!(bed.refused());
    let bed = Bed::sound().replace(HOSTS_FILE, "cp3:", "cp2:");
    insta::assert_snapshot!("a_host_twice", bed.refused());
}

#[test]
fn an_unknown_key_of_a_group() {
    let bed = Bed::sound().replace(HOSTS_FILE, "kube_node:\n  hosts:", "kube_node:\n  host:");
    insta::assert_snapshot!(bed.refused());
}

#[test]
fn hosts_as_a_list() {
    let bed = Bed::sound().file(
        HOSTS_FILE,
        "kube_control_plane:\n  hosts:\n    - cp1\n    - cp2\n",
    );
    insta::assert_snapshot!(bed.refused());
}

#[test]
fn a_range_that_runs_down() {
    let bed = Bed::sound().replace(HOSTS_FILE, "    w1:", "    w[3:1]:");
    insta::assert_snapshot!(bed.refused());
}

#[test]
fn a_quote_without_an_end() {
    let bed = Bed::sound().vars("cluster_name: \"mine\napiserver_src_port: 6443\n");
    insta::assert_snapshot!(bed.refused());
}

#[test]
fn no_text_at_all() {
    let bed = Bed::sound().bytes(VARS_FILE, b"cluster_name: \xff\xfe\n");
    insta::assert_snapshot!(bed.refused());
}

#[test]
fn vaulted() {
    let bed = Bed::sound().vars("auth_pass: !vault |\n  $ANSIBLE_VAULT;1.1;AES256\n  3132\n");
    insta::assert_snapshot!(bed.refused());
    let bed = Bed::sound().file(
        "inventory/group_vars/kube_node.yml",
        "$ANSIBLE_VAULT;1.1;AES256\n3132\n",
    );
    insta::assert_snapshot!("a_vaulted_file", bed.refused());
}

#[test]
fn variables_of_a_group_that_is_not_there() {
    let bed = Bed::sound().file(
        "inventory/group_vars/kube_nodes.yml",
        "node_labels: { disk: ssd }\n",
    );
    insta::assert_snapshot!(bed.warned());
    let bed = Bed::sound().file("inventory/host_vars/cpq1.yml", "priority: 90\n");
    insta::assert_snapshot!("variables_of_a_host_that_is_not_there", bed.warned());
}

#[test]
fn a_loop_of_groups() {
    let text = format!("{HOSTS}a:\n  children:\n    b:\nb:\n  children:\n    a:\n");
    insta::assert_snapshot!(Bed::sound().file(HOSTS_FILE, &text).refused());
}

#[test]
fn two_inventories_that_disagree() {
    // As in Ansible the later one wins, and `vars explain` tells.
    let bed = Bed::sound()
        .file(
            "other/hosts.yml",
            "all:\n  vars:\n    cluster_name: other\n",
        )
        .file("other/group_vars/all.yml", "apiserver_vip: 10.0.0.99\n");
    let both = ["-i", "inventory", "-i", "other"];
    assert_eq!(bed.run(&[&["validate"], &both[..]].concat()).exit, 0);
    let told = bed.run(&[&["vars", "explain", "cp1", "apiserver_vip"], &both[..]].concat());
    insta::assert_snapshot!(told.out);
    // And where they make nonsense together, the place of each is known.
    let bed = bed.file(
        "other/hosts.yml",
        "kube_node:\n  hosts:\n    w9: { ansible_host: 127.0.0.8, ip: 10.0.0.11 }\n",
    );
    insta::assert_snapshot!("two_inventories_with_one_address", bed.refused_with(&both));
}

#[test]
fn a_variable_by_its_other_name() {
    let bed = Bed::sound().file(
        "inventory/host_vars/cp1.yml",
        "kube_pods_subnet: 10.233.64.0/18\n",
    );
    let explain = |name| bed.run(&["vars", "explain", "cp1", name]).out;
    let told = explain("pod_subnet") + &explain("kube_pods_subnet");
    insta::assert_snapshot!(told);
}

#[test]
fn mistakes_in_several_files_show_at_once() {
    let bed = Bed::sound()
        .replace(HOSTS_FILE, "kube_node:\n  hosts:", "kube_node:\n  host:")
        .file(
            VARS_FILE,
            &VARS.replace("apiserver_vip: 10.0.0.10", "apiserver_vipp: 10.0.0.10"),
        )
        .file("inventory/host_vars/cp1.yml", "priority: high\n")
        .file(
            "inventory/group_vars/kube_control_plane.yml",
            "router_id: 51\nrouter_id: 52\n",
        )
        .file(
            "inventory/roles/hosts/tasks/main.yml",
            "- name: nothing\n  pakage:\n    name: vim\n",
        );
    insta::assert_snapshot!(bed.refused_with(&["-e", "cluster_name"]));
}

/// Mistakes of every kind, those that hang on variables which are wrong themselves among them: each once, and no other.
#[test]
fn mistakes_of_every_kind_show_at_once() {
    let bed = Bed::sound()
        .replace(VARS_FILE, "apiserver_vip: 10.0.0.10", "router_id: 300")
        .replace(VARS_FILE, "\"1.36.3\"", "1.36")
        .replace(HOSTS_FILE, "127.0.0.2", "a/b")
        .replace(HOSTS_FILE, "ip: 10.0.0.13", "ip: cp3")
        .replace(
            VARS_FILE,
            "kubernetes_source: present",
            "kubernetes_source: files",
        )
        .vars("kubernetes_files: nowhere\n")
        .vars("ansible_ssh_private_key_file: /nonexistent/key\n")
        .vars("cni_manifest: [gone.yml]\n")
        .vars("kubeadm: { ClusterConfiguration: { apiServer: 7 } }\n")
        .file(
            "inventory/roles/hosts/tasks/main.yml",
            "- name: a file\n  template: { src: motd.tera, dest: /etc/motd }\n\
             - name: a mode\n  copy: { content: x, dest: /etc/x, mode: wide }\n\
             - name: another\n  copy: { content: x, dest: /etc/x }\n  notify: nobody\n\
             - name: unknown\n  pakage: { name: vim }\n",
        )
        .file(
            "inventory/roles/hosts/templates/motd.tera",
            "{{ apiserver_vip }} {{ kubernetes_version }} {{ undefined_name }}\n",
        )
        .file(
            "inventory/roles/haproxy/tasks/main.yml",
            "- name: a file\n  copy: { src: nothing.txt, dest: /etc/x }\n",
        );
    insta::assert_snapshot!(bed.refused());
    let unread = Bed::sound()
        .file("inventory/group_vars/kube_node.yml", "a: [\n")
        .file(
            "inventory/roles/hosts/tasks/main.yml",
            "- name: a mode\n  copy: { content: x, dest: /etc/x, mode: wide }\n\
             - name: perhaps it is set there\n  copy: { content: \"{{ undefined_name }}\", dest: /etc/x }\n",
        )
        .vars("ansible_ssh_private_key_file: /nonexistent/key\ncni_manifest: [gone.yml]\n");
    insta::assert_snapshot!(
        "mistakes_beside_a_file_that_cannot_be_read",
        unread.refused()
    );
}

/// What hangs on a wrong variable is not complained of as well.
#[test]
fn a_mistake_and_not_its_consequences() {
    for (lines, message) in [
        (
            "apiserver_dest_port: 99999\ncontrol_plane_endpoint: \"api.example.org:{{ apiserver_dest_port }}\"\n",
            "`apiserver_dest_port` is",
        ),
        (
            "container_runtime_source: file\n",
            "`container_runtime_source` is",
        ),
    ] {
        let said = Bed::sound().vars(lines).refused();
        assert!(said.contains(message), "{said}");
        assert!(said.ends_with("\n1 error\n"), "{said}");
    }
    let bed = Bed::sound().replace(
        VARS_FILE,
        "kubernetes_source: present",
        "kubernetes_source: file",
    );
    let said = bed.refused();
    assert!(said.ends_with("\n1 error\n"), "{said}");
    let bed = Bed::sound().file(
        "inventory/roles/keepalived/defaults/main.yml",
        "keepalived_check_limit: 3\nkeepalived_check_limit: 4\n",
    );
    let said = bed.refused();
    assert!(!said.contains("is not defined"), "{said}");
}

/// A variable that is set and renders to nothing: nothing is put in its place.
#[test]
fn what_is_made_of_null_is_no_value() {
    for (lines, name) in [
        (
            "other: null\napiserver_dest_port: 8443\ncontrol_plane_endpoint: \"{{ other }}\"\nload_balancer: external\n",
            "control_plane_endpoint",
        ),
        (
            "other: null\nkubernetes_source: \"{{ other }}\"\n",
            "kubernetes_source",
        ),
    ] {
        let bed = Bed::sound();
        let bed = if name == "kubernetes_source" {
            bed.replace(VARS_FILE, "kubernetes_source: present\n", "")
        } else {
            bed
        };
        let said = bed.vars(lines).refused();
        assert!(said.contains(&format!("`{name}` has no value")), "{said}");
    }
    for name in ["apiserver_vip: 10.0.0.10", "kubernetes_version: \"1.36.3\""] {
        let variable = name.split(':').next().unwrap();
        let bed = Bed::sound().replace(
            VARS_FILE,
            name,
            &format!("other: null\n{variable}: \"{{{{ other }}}}\""),
        );
        let said = bed.refused();
        assert!(
            said.contains(&format!("`{variable}` has no value")),
            "{said}"
        );
    }
    // With somebody else's load balancer no virtual address is missing, and the endpoint is read.
    let said = refused_endpoint("{{ apiserver_vip }}:not-a-port");
    assert!(said.contains("`not-a-port` is not a port"), "{said}");
}

fn refused_endpoint(endpoint: &str) -> String {
    let lines = format!("load_balancer: external\ncontrol_plane_endpoint: \"{endpoint}\"\n");
    Bed::sound().vars(&lines).refused()
}

/// Whatever is wrong with an INI inventory, its secrets are not shown.
#[test]
fn secrets_of_ini_are_not_shown() {
    for (name, text) in [
        (
            "inventory/hosts.ini",
            "[kube_control_plane]\ncp1 ansible_host=127.0.0.1 ip=10.77.0.999 ansible_become_password=hunter2 auth_pass=hunter2 oops\n",
        ),
        (
            "inventory/hosts.ini",
            "[kube_control_plane]\ncp1 ip=10.0.0.11\n[all:vars]\nansible_become_password: hunter2\n",
        ),
        (
            "inventory/hosts.ini",
            "[kube_control_plane]\ncp1 ip=10.0.0.11 ansible_become_password= \"hunter2\"\n",
        ),
        (
            "inventory",
            "[kube_control_plane]\ncp1 ip=10.0.0.11\n[all:children]\nansible_become_password=hunter2\n",
        ),
    ] {
        let said = Bed::empty().file(name, text).refused();
        assert!(!said.contains("hunter2"), "{said}");
        assert!(said.contains("***"), "{said}");
    }
}

#[test]
fn manifests_that_are_none() {
    // Beside the folder of the inventory, whose files are all read.
    let bed = Bed::sound()
        .vars("cni_manifest: [../m/empty.yml, ../m/pipe.yml, ../m/text.yml]\n")
        .file("m/empty.yml", "# nothing\n---\n")
        .file("m/text.yml", "kind: [\n");
    let made = std::process::Command::new("mkfifo")
        .arg(bed.path("m/pipe.yml"))
        .status();
    assert!(made.unwrap().success());
    insta::assert_snapshot!(bed.refused());
}

/// What lies in a folder is read to its end, so that it has to have one.
#[test]
fn what_is_no_regular_file() {
    for (name, folder) in [("inventory", ""), ("file of variables", "group_vars/")] {
        let bed = Bed::sound();
        let path = bed.path(&format!("inventory/{folder}kube_node"));
        let made = std::process::Command::new("mkfifo").arg(&path).status();
        assert!(made.unwrap().success());
        let said = bed.refused();
        assert!(
            said.contains(&format!(
                "the {name} inventory/{folder}kube_node is no regular file"
            )),
            "{said}"
        );
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
        assert_eq!(bed.refused(), said);
    }
}

/// A role's file that cannot be read is no file that is not there.
#[test]
fn what_is_no_regular_file_of_a_role() {
    let bed = Bed::sound().file("inventory/roles/mine/tasks/main.yml", "- command: x\n");
    let path = bed.path("inventory/roles/mine/meta");
    std::fs::create_dir(&path).unwrap();
    let made = std::process::Command::new("mkfifo")
        .arg(path.join("argument_specs.yml"))
        .status();
    assert!(made.unwrap().success());
    let said = bed.refused();
    assert!(
        said.contains("inventory/roles/mine/meta/argument_specs.yml is no regular file"),
        "{said}"
    );
}

#[test]
fn what_has_no_end_or_is_too_long() {
    let bed = Bed::sound().bytes("long.yml", &vec![b'#'; (8 << 20) + 1]);
    for arguments in [
        ["-e", "@/dev/zero"],
        ["-e", "@long.yml"],
        ["-i", "long.yml"],
        ["-l", "@long.yml"],
    ] {
        let said = bed.refused_with(&arguments);
        assert!(
            said.contains("larger than the 8 MiB that are read"),
            "{said}"
        );
    }
}

/// As a shell's `-e @<(pass show cluster)` is.
#[test]
fn variables_may_come_through_a_pipe() {
    let bed = Bed::sound();
    let mut command = bed.command(&["inventory", "host", "cp1", "-e", "@/dev/stdin"]);
    let outcome = bed.outcome(command.write_stdin("from_pipe: 1\n"));
    assert!(outcome.out.contains("\"from_pipe\": 1"), "{}", outcome.err);
}

/// A tar archive with one file in it.
fn tar(name: &str, text: &str) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(text.len() as u64);
    builder
        .append_data(&mut header, name, text.as_bytes())
        .unwrap();
    builder.into_inner().unwrap()
}

/// What lies beside the inventory is found however that is named, and from wherever: files that are too large to be held,
/// images, programs, manifests and templates alike.
#[test]
fn files_beside_an_inventory_that_is_named_in_each_way() {
    let large = vec![b'x'; (1 << 20) + 1];
    let tasks = "- copy: { src: large, dest: /etc/large }\n\
                 - unarchive: { src: deep/large.tar, dest: /opt/large }\n\
                 - template: { src: small.tera, dest: /etc/small }\n";
    let mut bed = Bed::sound()
        .replace(VARS_FILE, "kubernetes_source: present", "kubernetes_source: files")
        .vars("kubernetes_files: ../airgap\ncni_manifest: ../cni/cni.yaml\nmanifests: [../cni/more.yaml.tera]\n")
        .file("cni/cni.yaml", "{ apiVersion: v1, kind: Namespace, metadata: { name: a } }\n")
        .file("cni/more.yaml.tera", "{ apiVersion: v1, kind: Namespace, metadata: { name: b } }\n")
        .file("inventory/roles/r/tasks/main.yml", tasks)
        .file("inventory/roles/r/templates/small.tera", "{{ cluster_name }}\n")
        .bytes("inventory/roles/r/files/large", &large)
        .bytes("inventory/roles/r/files/deep/large.tar", &large)
        .file(
            "inventory/site.yml",
            "- hosts: all\n  roles: [r]\n  tasks:\n    - copy: { src: own, dest: /etc/own }\n    - template: { src: small.conf, dest: /etc/own-small }\n",
        )
        .file("inventory/templates/small.conf", "{{ cluster_name }}\n")
        .bytes("inventory/files/own", &large);
    for program in [
        "kubeadm",
        "kubelet",
        "kubectl",
        "containerd",
        "containerd-shim-runc-v2",
        "ctr",
        "runc",
    ] {
        bed = bed.file(&format!("airgap/bin/{program}"), "#!/bin/sh\n");
    }
    // All that kubeadm needs, in one archive.
    let names = [
        "kube-apiserver:v1.36.3",
        "kube-controller-manager:v1.36.3",
        "kube-scheduler:v1.36.3",
        "kube-proxy:v1.36.3",
        "coredns/coredns:v1.13.1",
        "pause:3.10.2",
        "etcd:3.6.6-0",
    ]
    .map(|name| format!("\"registry.k8s.io/{name}\""));
    let manifest = format!("[{{\"RepoTags\":[{}]}}]", names.join(","));
    bed = bed.bytes("airgap/images/all.tar", &tar("manifest.json", &manifest));
    let root = bed.root().to_owned();
    let name = root.file_name().unwrap();
    let cases = [
        (".", "inventory".to_owned()),
        (".", "./inventory".to_owned()),
        (".", "inventory/hosts.yml".to_owned()),
        (".", format!("{root}/inventory")),
        ("inventory", ".".to_owned()),
        ("inventory", "hosts.yml".to_owned()),
        ("inventory", "../inventory".to_owned()),
        ("inventory/roles", "../hosts.yml".to_owned()),
        ("..", format!("{name}/inventory")),
        ("/", format!("{root}/inventory/hosts.yml")),
    ];
    for (folder, inventory) in cases {
        let mut command = bed.command(&["validate", "-i", &inventory]);
        // What one run has learned of the files is no help to the next one.
        command.current_dir(root.join(folder));
        let outcome = bed.outcome(&mut command);
        assert_eq!(
            (outcome.exit, outcome.err.as_str()),
            (0, ""),
            "{inventory} in {folder}: {}",
            outcome.out
        );
    }
    // And it is these that are looked at.
    std::fs::write(root.join("airgap/images/all.tar"), "none").unwrap();
    let outcome = bed.run(&["validate"]);
    let said = "is no archive of container images";
    assert!(
        outcome.exit == 4 && outcome.err.contains(said),
        "{}",
        outcome.err
    );
    bed.nobody_came();
}
