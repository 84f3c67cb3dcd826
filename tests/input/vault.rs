//! Encrypted files and their keys, as a user meets them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use camino::Utf8PathBuf;

use crate::bed::{Bed, HOSTS, HOSTS_FILE};
use crate::sshd::Sshd;

fn fixture(name: &str) -> Vec<u8> {
    let dir = Utf8PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/vault"));
    fs::read(dir.join(name)).unwrap()
}

fn seal(text: &str) -> Vec<u8> {
    quorate::vault::ansible::seal(text.as_bytes(), b"correct horse", None).into_bytes()
}

/// A sound inventory with a secret in each place where one may be.
fn bed() -> Bed {
    let inline = String::from_utf8(seal("inline-secret")).unwrap();
    let inline = inline.replace('\n', "\n  ");
    Bed::sound()
        .vars(&format!("ansible_become_password: !vault |\n  {inline}\n"))
        .bytes(
            "inventory/host_vars/cp1.yml",
            &seal("node_labels: { note: cp1-secret }\n"),
        )
        .bytes(
            "inventory/group_vars/kube_node.yml.age",
            &age("node_labels: { note: age-secret }\n"),
        )
        .bytes("extra.yml", &seal("cluster_name: extra-secret\n"))
        .file("pw", "correct horse\n")
        .bytes("age.key", &fixture("age.key"))
}

fn age(text: &str) -> Vec<u8> {
    use quorate::vault::{Keys, age};
    let keys = age::identities(&fixture("age.key"), "k", &Keys::default()).unwrap();
    let readers = age::Readers::Recipients(vec![keys[0].key.recipient()]);
    age::seal(text.as_bytes(), &readers, false).unwrap()
}

const KEYS: &[&str] = &[
    "--vault-password-file",
    "pw",
    "--age-identity",
    "age.key",
    "-e",
    "@extra.yml",
];

fn executable(bed: Bed, path: &str, text: &str) -> Bed {
    let bed = bed.file(path, text);
    fs::set_permissions(bed.path(path), fs::Permissions::from_mode(0o755)).unwrap();
    bed
}

#[test]
fn no_key() {
    insta::assert_snapshot!(bed().refused_with(&["-e", "@extra.yml"]));
}

#[test]
fn the_wrong_keys() {
    let bed = bed()
        .file("pw", "wrong")
        .bytes("age.key", &fixture("other.key"));
    insta::assert_snapshot!(bed.refused_with(KEYS));
}

#[test]
fn keys_that_cannot_be_had() {
    let bed = bed().file("age.key", "no key\n");
    insta::assert_snapshot!(bed.refused_with(KEYS));
    let bed = executable(bed, "pw", "#!/bin/sh\necho asked >&2\nexit 3\n");
    insta::assert_snapshot!("a_program_that_fails", bed.refused_with(KEYS));
    let bed = executable(bed, "pw", "no program\n");
    insta::assert_snapshot!("no_program", bed.refused_with(KEYS));
    let bed = bed
        .file("empty", "\n")
        .bytes("age.key", &fixture("age-encrypted.key"));
    let said = bed.refused_with(&[
        "--vault-password-file",
        "empty",
        "--age-identity",
        "nowhere",
    ]);
    insta::assert_snapshot!("no_files", said);
    let said = bed.refused_with(&["--age-identity", "age.key"]);
    insta::assert_snapshot!("an_identity_with_a_passphrase", said);
    let said = bed.refused_with(&["--ask-vault-pass"]);
    assert!(
        said.contains("`--ask-vault-pass` needs a terminal"),
        "{said}"
    );
}

#[test]
fn damaged_files() {
    let bed = bed()
        .bytes("inventory/host_vars/cp1.yml", &seal("a: 1\n")[..60])
        .bytes(
            "inventory/group_vars/kube_node.yml.age",
            &age("a: 1\n")[..60],
        );
    insta::assert_snapshot!(bed.refused_with(KEYS));
}

/// With the keys everything is read, and nothing of it is to be seen.
#[test]
fn secrets_are_read_and_not_shown() {
    let bed = bed();
    let run = |arguments: &[&str]| {
        let outcome = bed.run(&[arguments, KEYS].concat());
        assert_eq!(outcome.exit, 0, "{}", outcome.err);
        let all = outcome.out + &outcome.err;
        assert!(!all.contains("-secret"), "{all}");
        all
    };
    assert!(run(&["validate"]).contains("the input is sound"));
    let list = run(&["inventory", "list"]);
    assert_eq!(
        list.matches("\"cluster_name\": \"***\"").count(),
        4,
        "{list}"
    );
    assert_eq!(
        list.matches("\"node_labels\": \"***\"").count(),
        2,
        "{list}"
    );
    run(&["inventory", "host", "w1"]);
    run(&["vars", "explain", "cp1", "--output", "json"]);
    let explained = run(&["vars", "explain", "w1", "node_labels"]);
    assert_eq!(
        explained,
        "node_labels = ***\n  set by inventory/group_vars/kube_node.yml.age:1:14 (group_vars of kube_node)\n"
    );
    bed.nobody_came();
}

#[test]
fn where_keys_come_from() {
    let bed = executable(bed(), "ask", "#!/bin/sh\necho 'correct horse'\n");
    let client = "#!/bin/sh\n[ \"$*\" = '--vault-id default' ] && echo 'correct horse'\n";
    let bed = executable(bed, "my-client.sh", client);
    let rest = ["validate", "--age-identity", "age.key", "-e", "@extra.yml"];
    for file in ["pw", "ask", "./my-client.sh"] {
        let outcome = bed.run(&[&rest[..], &["--vault-password-file", file]].concat());
        assert_eq!(outcome.exit, 0, "{file}: {}", outcome.err);
        let mut command = bed.command(&rest);
        let outcome = bed.outcome(command.env("ANSIBLE_VAULT_PASSWORD_FILE", file));
        assert_eq!(outcome.exit, 0, "{file}: {}", outcome.err);
    }
    let mut command = bed.command(&["validate", "--vault-pass-file", "pw"]);
    let outcome = bed.outcome(command.env("QUORATE_AGE_IDENTITY", "age.key"));
    assert_eq!(outcome.exit, 0, "{}", outcome.err);
    // Several, at both places of the command line.
    let bed = bed.file("wrong", "wrong");
    let before = ["--vault-password-file", "wrong", "validate"];
    let outcome = bed.run(&[&before[..], KEYS].concat());
    assert_eq!(outcome.exit, 0, "{}", outcome.err);
}

/// A program for the password is not run, and nobody is asked, where nothing is encrypted.
#[test]
fn keys_are_asked_for_only_where_something_is_encrypted() {
    let bed = executable(Bed::sound(), "pw", "#!/bin/sh\nexit 1\n");
    let outcome = bed.run(&[
        "validate",
        "--vault-password-file",
        "pw",
        "--ask-vault-pass",
    ]);
    assert_eq!((outcome.exit, outcome.err.as_str()), (0, ""));
}

/// What is wrong with a secret is said without it.
#[test]
fn a_secret_of_the_wrong_kind() {
    let bed = Bed::sound()
        .bytes(
            "inventory/group_vars/kube_control_plane.yml",
            &seal("apiserver_dest_port: hidden-port\nweight: 77\nload_balancer: hidden-way\nnode_labels: hidden-list\n"),
        )
        .vars("vrrp_unicast: \"{{ weight }}-{{ load_balancer }}\"\n")
        .file("pw", "correct horse");
    let said = bed.refused_with(&["--vault-password-file", "pw"]);
    insta::assert_snapshot!(said);
    let json = bed.run(&[
        "validate",
        "--output",
        "json",
        "--vault-password-file",
        "pw",
    ]);
    for text in [said, json.out + &json.err] {
        assert!(!text.contains("hidden") && !text.contains("77"), "{text}");
    }
}

/// As Ansible users have them: encrypted inventories and JSON.
#[test]
fn other_files_that_may_be_encrypted() {
    let bed = Bed::sound()
        .bytes(HOSTS_FILE, &seal(HOSTS))
        .bytes(
            "inventory/host_vars/w1.json.age",
            &age("{\"node_labels\": {\"a\": \"b\"}}"),
        )
        .file("inventory/host_vars/w1.yml", "node_taints: []\n")
        .file("pw", "correct horse")
        .bytes("age.key", &fixture("age.key"));
    let outcome = bed.run(&[
        "vars",
        "explain",
        "w1",
        "--vault-password-file",
        "pw",
        "--age-identity",
        "age.key",
    ]);
    assert_eq!(outcome.exit, 0, "{}", outcome.err);
    assert!(
        outcome.out.contains("node_taints = []") && outcome.out.contains("node_labels = ***"),
        "{}",
        outcome.out
    );
}

/// Files of roles are not decrypted, and say so.
#[test]
fn an_encrypted_file_of_a_role() {
    let bed = Bed::sound()
        .file(
            "inventory/roles/hosts/tasks/main.yml",
            "- debug: { msg: x }\n",
        )
        .bytes("inventory/roles/hosts/vars/main.yml", &seal("a: 1\n"));
    let said = bed.refused_with(&[]);
    assert!(
        said.contains("the file is encrypted with ansible-vault"),
        "{said}"
    );
    assert!(said.contains("keep the secret there"), "{said}");
}

/// Found without a host, by `validate` and by all others: in a handler, behind a result, in a loop and where a fact decides; not in what
/// another command takes, nor in a task that no host can take.
#[test]
fn a_secret_is_found_in_the_words_of_a_command() {
    let tasks = "- name: told {{ app_word }}\n  command: \"echo {{ app_word }}\"\n\
        - {name: given, command: { argv: [cat], stdin: \"{{ app_word }}\" }, register: given}\n\
        - {name: behind, shell: \"echo {{ given.stdout }} {{ app_word }}\"}\n\
        - {name: of many, command: \"echo {{ item }}\", loop: [a, \"{{ app_word }}\"]}\n\
        - {name: of some, command: \"echo {{ app_word }}\", when: facts.os == 'x'}\n\
        - {name: of none, command: \"echo {{ app_word }}\", when: kubernetes_version == '1.0.0'}\n\
        - {name: timed, systemd_timer: { name: t, on_calendar: daily, command: 'echo \"{{ app_word }}\"' }}\n\
        - {name: mounted, mount: { path: /mnt, src: //nas/a, fstype: cifs, opts: \"password={{ app_word }}\", state: present }}\n\
        - {name: checked, lineinfile: { path: /etc/a, line: \"{{ app_word }}\", validate: \"check {{ app_word }} %s\" }}\n\
        - {name: a line, lineinfile: { path: /etc/a, line: \"{{ app_word }}\" }}\n\
        - {name: owned, blockinfile: { path: /etc/a, block: b, owner: \"{{ app_word }}\" }}\n\
        - {name: set, sysctl: { name: kernel.hostname, value: \"{{ app_word }}\" }}\n\
        - {name: no more, systemd_timer: { name: t, state: absent, command: \"echo {{ app_word }}\" }}\n\
        - {name: written, copy: { dest: /etc/app.conf, content: \"{{ app_word }}\" }, notify: late}\n";
    let handlers = "- {name: late, command: \"echo {{ app_word }}\"}\n";
    let bed = Bed::sound()
        .bytes(
            "inventory/group_vars/kube_control_plane.yml",
            &seal("app_word: hidden-word\n"),
        )
        .bytes(
            "inventory/group_vars/kube_node.yml",
            &seal("app_word: hidden-word\n"),
        )
        .file("inventory/roles/hosts/tasks/main.yml", tasks)
        .file("inventory/roles/hosts/handlers/main.yml", handlers)
        .file("pw", "correct horse");
    let said = bed.refused_with(&["--vault-password-file", "pw"]);
    assert!(!said.contains("hidden"), "{said}");
    let found: Vec<&str> = said
        .lines()
        .filter(|l| l.contains("in the words of its command"))
        .map(|l| l.split('`').nth(1).unwrap())
        .collect();
    let expected = [
        "hosts : told {{ app_word }}",
        "hosts : behind",
        "hosts : of many",
        "hosts : of some",
        "hosts : timed",
        "hosts : mounted",
        "hosts : checked",
        "hosts : owned",
        "hosts : set",
        "hosts : late",
    ];
    assert_eq!(found, expected, "{said}");
}

/// A value that stands in a role by itself, or in a plain variable, is nobody's secret; what a task makes of the variable is.
#[test]
fn an_innocent_word_of_an_encrypted_file_is_no_secret_elsewhere() {
    let tasks = "- {name: owned, copy: { dest: /etc/app, content: \"{{ db_user }}\", owner: root } }\n\
        - {name: plain, command: \"id {{ login }}\"}\n\
        - {name: loop, command: \"id {{ item }}\", loop: [root, \"{{ login }}\"]}\n\
        - {name: told, command: \"id {{ db_user }}\"}\n\
        - {name: made, command: \"id x-{{ db_user | upper | lower }}\", vars: { a: b }}\n\
        - {name: through, command: \"id {{ through }}\", vars: { through: \"{{ db_user }}\" }}\n\
        - {name: kept, set_fact: { kept: \"{{ db_user }}\" }}\n\
        - {name: from kept, command: \"id {{ kept }}\"}\n\
        - {name: own, command: \"curl -u {{ ansible_become_password }} {{ bgp_peers }}\"}\n";
    let bed = Bed::sound()
        .bytes(
            "inventory/group_vars/kube_control_plane.yml",
            &seal("db_user: root\nflag: \"true\"\nport: 6443\nfolder: /etc\n"),
        )
        .bytes(
            "inventory/group_vars/kube_node.yml",
            &seal("db_user: root\n"),
        )
        .vars("login: root\nansible_become_password: plain-word\nbgp_peers: []\n")
        .file("inventory/roles/hosts/tasks/main.yml", tasks)
        .file("pw", "correct horse");
    let said = bed.refused_with(&["--vault-password-file", "pw"]);
    let found: Vec<&str> = said
        .lines()
        .filter(|l| l.contains("in the words of its command"))
        .map(|l| l.split('`').nth(1).unwrap())
        .collect();
    let expected = ["told", "made", "through", "from kept", "own"];
    assert_eq!(
        found,
        expected.map(|name| format!("hosts : {name}")),
        "{said}"
    );
    assert!(
        said.contains("the value of `db_user`") && said.contains("`ansible_become_password`"),
        "{said}"
    );
}

/// What hosts say, titles, differences and the journal: a real run over SSH.
#[test]
fn a_run_shows_and_records_no_secret() {
    let sshd = Sshd::start();
    // The address that this machine would speak from; nothing is sent.
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.connect("192.0.2.1:9").unwrap();
    let ip = socket.local_addr().unwrap().ip();
    let hosts = format!("kube_control_plane: {{ hosts: {{ cp1: {{ ip: {ip} }} }} }}\n");
    let user = std::process::Command::new("id")
        .arg("-un")
        .output()
        .unwrap();
    let user = String::from_utf8(user.stdout).unwrap();
    let vars = format!(
        "ansible_host: 127.0.0.1\nansible_port: {}\nansible_user: {}\nansible_become: false\nansible_ssh_private_key_file: {}\n\
         ansible_become_password: plain-sudo-word\nhttp_proxy: \"http://me:proxy%40word@192.0.2.9:3128\"\n\
         kubernetes_version: \"1.36.3\"\nkubernetes_source: present\nload_balancer: external\ncontrol_plane_endpoint: \"{ip}:6443\"\n\
         ignore_preflight_errors: [NumCPU, Mem, SystemVerification, DiskSpace, KernelModule, MaskedUnit]\n",
        sshd.port,
        user.trim(),
        sshd.user_key("ed25519"),
    );
    let known = format!("[127.0.0.1]:{} {}\n", sshd.port, sshd.host_key("ed25519"));
    let target = sshd.path("app.conf");
    let tasks = format!(
        "- name: write {{{{ app_word }}}} {{{{ ansible_become_password }}}}\n  copy: {{ dest: \"{target}\", content: \"word = {{{{ app_word }}}}\\nrest\\n\", mode: \"0600\" }}\n"
    );
    fs::write(&target, "word = hidden-old-word\nold rest\n").unwrap();
    let bed = Bed::empty()
        .file(HOSTS_FILE, &hosts)
        .file("inventory/group_vars/all/vars.yml", &vars)
        .bytes(
            "inventory/group_vars/all/vault.yml",
            &seal("app_word: hidden-new-word\n"),
        )
        .file("inventory/roles/hosts/tasks/main.yml", &tasks)
        .file("known", &known)
        .file("pw", "correct horse");
    let keys = [
        "--known-hosts",
        "known",
        "--vault-password-file",
        "pw",
        "--diff",
        "-vv",
    ];
    // A secret variable's value is one, encrypted or not.
    let words = [
        "--",
        "echo",
        "x hidden-new-word plain-sudo-word proxy%40word proxy@word bWU6cHJveHlAd29yZA==",
    ];
    let said = bed.run(&[&["exec"], &keys[..], &words].concat());
    assert_eq!(said.exit, 0, "{}{}", said.out, said.err);
    assert!(
        said.out.contains("cp1 | x *** *** *** *** ***\n"),
        "{}",
        said.out
    );
    if user.trim() != "root" {
        // A plan asks the host what root alone may read.
        return;
    }
    let planned = bed.run(&[&["plan"], &keys[..]].concat());
    let plan = planned.out + &planned.err;
    assert!(
        plan.contains("write ***") && plan.contains("word = ***"),
        "{plan}"
    );
    assert!(plan.contains("old rest"), "{plan}");
    let mut all = plan + &said.out;
    for entry in fs::read_dir(bed.path(".quorate/journal")).unwrap() {
        all += &fs::read_to_string(entry.unwrap().path()).unwrap();
    }
    assert!(!all.contains("hidden"), "{all}");

    // A plan that is kept names its steps as they are shown.
    let kept = bed.run(&[&["plan", "--out", "plan.json"], &keys[..]].concat());
    assert_eq!(kept.exit, 2, "{}{}", kept.out, kept.err);
    let plan = fs::read_to_string(bed.path("plan.json")).unwrap();
    assert!(
        plan.contains("write ***") && !plan.contains("hidden"),
        "{plan}"
    );

    let shell = "- name: tell {{ app_word }}\n  command: \"echo {{ app_word }}\"\n";
    let bed = bed.file("inventory/roles/hosts/tasks/main.yml", shell);
    let refused = bed.run(&[&["plan"], &keys[..]].concat());
    let said = refused.out + &refused.err;
    assert!(
        said.contains("in the words of its command") && !said.contains("hidden"),
        "{said}"
    );
}
