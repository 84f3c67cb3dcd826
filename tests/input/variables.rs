//! Variables: their names, types and values, wherever they were set.

use crate::bed::{Bed, HOSTS, HOSTS_FILE, VARS_FILE};

/// Returns what is said of these further lines of group_vars/all.yml.
fn refused(lines: &str) -> String {
    Bed::sound().vars(lines).refused()
}

#[test]
fn an_unknown_name_near_a_known_one() {
    insta::assert_snapshot!(refused("apiserver_src_prot: 6444\n"));
}

#[test]
fn an_unknown_name_that_nothing_uses() {
    let bed = Bed::sound().vars("my_own_thing: 1\n");
    insta::assert_snapshot!(bed.warned());
    insta::assert_snapshot!(
        "strict_variables",
        refused("my_own_thing: 1\nstrict_variables: true\n")
    );
}

#[test]
fn an_unknown_connection_variable() {
    insta::assert_snapshot!(refused("ansible_prot: 2222\n"));
}

#[test]
fn wrong_types() {
    insta::assert_snapshot!(refused(
        "apiserver_src_port: high\ncni_manifest: { a: 1 }\nnode_labels: [a]\nvrrp_unicast: 7\nkubeadm: text\nload_balancer: keepalivd-haproxy\n"
    ));
}

#[test]
fn ports_out_of_range() {
    insta::assert_snapshot!(refused(
        "apiserver_src_port: 66000\napiserver_dest_port: 0\n"
    ));
}

#[test]
fn what_is_required_is_missing() {
    let bed = Bed::sound().file(VARS_FILE, "ansible_port: {port}\n");
    insta::assert_snapshot!(bed.refused());
}

#[test]
fn an_undefined_variable_in_a_value() {
    insta::assert_snapshot!(refused(
        "control_plane_endpoint: \"{{ endpoint_name }}:8443\"\n"
    ));
}

#[test]
fn an_undefined_variable_near_a_known_one() {
    insta::assert_snapshot!(refused(
        "control_plane_endpoint: \"api:{{ apiserver_dest_prt }}\"\n"
    ));
}

#[test]
fn a_value_that_is_made_of_itself() {
    insta::assert_snapshot!(refused(
        "cluster_name: \"{{ a }}\"\na: \"{{ b }}\"\nb: \"{{ a }}\"\n"
    ));
}

#[test]
fn a_version_that_no_kubernetes_has() {
    let said = Bed::sound()
        .replace(VARS_FILE, "\"1.36.3\"", "\"9.9.9\"")
        .refused();
    assert!(
        said.contains("there is no Kubernetes 9: major 1 is expected"),
        "{said}"
    );
    assert!(
        said.contains("--> inventory/group_vars/all.yml:3:21"),
        "{said}"
    );
}

#[test]
fn a_version_without_quotes() {
    let bed = Bed::sound().replace(VARS_FILE, "\"1.36.3\"", "1.30");
    insta::assert_snapshot!(bed.refused());
    let bed = Bed::sound().replace(VARS_FILE, "\"1.36.3\"", "v1.36");
    insta::assert_snapshot!("a_version_without_its_patch", bed.refused());
    let bed = Bed::sound().replace(VARS_FILE, "\"1.36.3\"", "latest");
    insta::assert_snapshot!("a_version_by_name", bed.refused());
}

#[test]
fn router_ids() {
    for (id, name) in [
        ("0", "router_id_0"),
        ("256", "router_id_256"),
        ("-1", "router_id_negative"),
        ("fifty", "router_id_word"),
    ] {
        insta::assert_snapshot!(
            name,
            refused(&format!("load_balancer_profile: seed\nrouter_id: {id}\n"))
        );
    }
    let bed = Bed::sound().vars("router_id: 255\n");
    assert_eq!(bed.warned(), "");
}

#[test]
fn a_password_of_which_eight_would_count() {
    insta::assert_snapshot!(refused(
        "load_balancer_profile: seed\nauth_pass: correct-horse\n"
    ));
    // The profile `fast` has no place for one.
    insta::assert_snapshot!(
        "a_password_that_nobody_reads",
        Bed::sound().vars("auth_pass: horse\n").warned()
    );
}

#[test]
fn a_key_that_cannot_be_read() {
    insta::assert_snapshot!(refused("ansible_ssh_private_key_file: keys/id_ed25519\n"));
    let bed = Bed::sound().vars("ansible_ssh_private_key_file: inventory\n");
    insta::assert_snapshot!("a_key_that_is_a_folder", bed.refused());
    let bed = Bed::sound()
        .file("id", "this is no key\n")
        .vars("ansible_ssh_private_key_file: ~/id\n");
    insta::assert_snapshot!("a_key_that_is_none", bed.refused());
    let bed = bed.file("id", "-----BEGIN OPENSSH PRIVATE KEY-----\n");
    insta::assert_snapshot!("a_key_that_others_may_read", bed.refused());
}

#[test]
fn options_of_ssh_that_are_not_there() {
    insta::assert_snapshot!(
        "options_of_ssh",
        refused(
            "ansible_ssh_common_args: -C -o ForwardAgent=yes -o ProxyJmp=bastion\nansible_ssh_extra_args: -o ProxyCommand='nc %h %p'\n"
        )
    );
    insta::assert_snapshot!("another_connection", refused("ansible_connection: local\n"));
}

#[test]
fn kubeadm_documents() {
    insta::assert_snapshot!(refused(
        "kubeadm:\n  ClusterConfiguraton: {}\n  InitConfiguration: []\n  ClusterConfiguration:\n    kubernetesVersion: v1.35.0\n    controlPlaneEndpoint: else:1\n    netwrking: {}\n"
    ));
    for (lines, place, message) in [
        (
            "kubeadm: { ClusterConfiguration: { apiServer: 7 } }\n",
            "6:47",
            "kubeadm.ClusterConfiguration.apiServer is a number; a map is expected",
        ),
        (
            "kubeadm:\n  ClusterConfiguration:\n    apiServer:\n      certSANs: x\n",
            "9:17",
            "kubeadm.ClusterConfiguration.apiServer.certSANs is text; a list is expected",
        ),
    ] {
        let said = refused(lines);
        assert!(said.contains(message), "{said}");
        let place = format!("--> inventory/group_vars/all.yml:{place}\n");
        assert!(said.contains(&place), "{said}");
    }
    insta::assert_snapshot!(
        "ignored_preflight",
        refused("ignore_preflight_errors: [all, Port-6443]\n")
    );
}

#[test]
fn a_manifest_that_is_not_there() {
    insta::assert_snapshot!(refused("cni_manifest: cni.yaml\n"));
}

#[test]
fn files_that_are_not_there() {
    let bed = Bed::sound().replace(
        VARS_FILE,
        "kubernetes_source: present",
        "kubernetes_source: files",
    );
    insta::assert_snapshot!(bed.refused());
    let bed = bed.vars("kubernetes_files: ../airgap\n");
    insta::assert_snapshot!("a_folder_of_files_that_is_not_there", bed.refused());
    let bed = bed.file("airgap/bin/kubeadm", "x");
    insta::assert_snapshot!("a_folder_of_files_that_is_half_full", bed.refused());
}

#[test]
fn jinja_where_tera_is_read() {
    for (name, value) in [
        ("jinja_default", "apiserver_vip | default('x')"),
        ("jinja_bool", "'yes' | bool"),
        ("jinja_lookup", "lookup('env', 'HOME')"),
        ("jinja_method", "apiserver_vip.split('.')"),
        ("jinja_filter_unknown", "apiserver_vip | ipaddr"),
        ("jinja_regex", "apiserver_vip | regex_replace('a', 'b')"),
    ] {
        insta::assert_snapshot!(
            name,
            refused(&format!("cluster_name: \"{{{{ {value} }}}}\"\n"))
        );
    }
}

#[test]
fn a_template_that_does_not_end() {
    insta::assert_snapshot!(refused("cluster_name: \"{{ apiserver_vip\"\n"));
}

#[test]
fn extra_variables() {
    let bed = Bed::sound()
        .file("extra.yml", "apiserver_src_prot: 1\n")
        .file("list.yml", "- a\n");
    for (name, value) in [
        ("extra_without_a_value", "cluster_name"),
        ("extra_of_a_wrong_type", "apiserver_src_port=high"),
        ("extra_near_a_known_name", "apiserver_vipp=10.0.0.9"),
        ("extra_file_missing", "@extras.yml"),
        ("extra_file_with_a_mistake", "@extra.yml"),
        ("extra_file_that_is_a_list", "@list.yml"),
        ("extra_broken_json", "{\"a\": "),
        ("extra_quote_without_an_end", "cluster_name='b"),
    ] {
        insta::assert_snapshot!(name, bed.refused_with(&["-e", value]));
    }
    assert_eq!(
        bed.run(&["validate", "-e", "apiserver_src_port=6444"]).exit,
        0
    );
}

#[test]
fn a_host_by_a_group_s_name() {
    let bed = Bed::sound().file("inventory/more.yml", "w1:\n  hosts:\n    cp1:\n");
    insta::assert_snapshot!(bed.warned());
}

#[test]
fn a_host_that_kubernetes_would_not_have() {
    let bed = Bed::sound().replace(HOSTS_FILE, "    w1:", "    Worker_1:");
    insta::assert_snapshot!(bed.refused());
}

/// A snippet shows whole lines, and a password may stand in one beside the mistake.
#[test]
fn a_secret_beside_a_mistake_is_not_shown() {
    let inline = "{ ansible_become_password: hunter2, ansible_host";
    let hosts = |value: &str| {
        Bed::sound().replace(
            HOSTS_FILE,
            "{ ansible_host: 127.0.0.1",
            &format!("{value}: 127.0.0.1"),
        )
    };
    let seed = "load_balancer_profile: seed\n";
    for (bed, arguments) in [
        (hosts(&inline.replace("_host", "_hots")), &[][..]),
        (
            hosts(&inline.replace("hunter2", "'hunter2, x'")).vars("apiserver_src_prot: 1\n"),
            &[],
        ),
        // The second of two is in no tree, and the broken file has none at all.
        (
            Bed::sound().vars("auth_pass: horse\nauth_pass: hunter2\n"),
            &[],
        ),
        (hosts(&inline.replace("hunter2, ", "hunter2, [")), &[]),
        (Bed::sound().vars("ansible_sudo_pass: \"hunter2\n"), &[]),
        (
            Bed::sound().vars(&format!("{seed}auth_pass: |\n  hunter2 hunter2\n")),
            &[],
        ),
        (Bed::sound().vars(seed), &["-e", "auth_pass=hunter2hunter2"]),
        (Bed::sound().vars(seed), &["-e", "foo='x auth_pass=hunter2"]),
        (
            Bed::sound().vars(seed),
            &["-e", "{\"auth_pass\": \"hunter2hunter2\"}"],
        ),
        (
            Bed::sound().vars(seed),
            &["-e", "{\"auth_pass\": \"hunter2\", "],
        ),
        (Bed::sound(), &["-e", "auth_pass='hunter2 ключ' ip=1"]),
    ] {
        let outcome = bed.run(&[&["validate"], arguments].concat());
        assert!(!outcome.err.contains("hunter2"), "{}", outcome.err);
        assert!(outcome.err.contains("error: ") || outcome.err.contains("warning: "));
    }
    let said = hosts(&inline.replace("_host", "_hots"))
        .run(&["validate"])
        .err;
    assert!(
        said.contains("cp1: { ansible_become_password: *******, ansible_hots: 127.0.0.1"),
        "{said}"
    );
}

#[test]
fn a_manifest_that_nobody_can_fetch() {
    insta::assert_snapshot!(refused("cni_manifest: [\"ftp://example.org/cni.yml\"]\n"));
}

#[test]
fn a_port_of_haproxy_s_health_that_is_taken() {
    for vars in [
        "haproxy_health_port: 8443\n",
        "haproxy_health_port: 6443\n",
        "apiserver_dest_port: 8404\n",
    ] {
        let said = refused(vars);
        assert!(said.contains("`haproxy_health_port` is"), "{said}");
        assert_eq!(said.matches("error:").count(), 1, "{said}");
    }
    insta::assert_snapshot!(refused("haproxy_health_port: 8443\n"));
}

/// Ports of roles on which somebody else listens, with the place of whichever variable is set.
#[test]
fn ports_of_roles_that_are_taken() {
    let kube_vip = "load_balancer: kube-vip-arp\n";
    for (vars, place, message) in [
        (
            "haproxy_health_port: 10250\n".to_string(),
            "6:22",
            "`haproxy_health_port` cannot be 10250: the kubelet listens there",
        ),
        (
            "haproxy_health_port: \"2381\"\n".to_string(),
            "6:22",
            "`haproxy_health_port` cannot be 2381: etcd's metrics listens there",
        ),
        (
            "load_balancer: keepalived-haproxy-pods\nkeepalived_image: example.org/keepalived:2\nhaproxy_health_port: 22\n".to_string(),
            "8:22",
            "`haproxy_health_port` cannot be 22: SSH listens there",
        ),
        (
            format!("{kube_vip}kube_vip_prometheus: \":6443\"\n"),
            "7:22",
            "`kube_vip_prometheus` is 6443, and so is `apiserver_src_port`",
        ),
        (
            format!("{kube_vip}apiserver_src_port: 2112\n"),
            "7:21",
            "`kube_vip_prometheus` is 2112, and so is `apiserver_src_port`",
        ),
        (
            format!("{kube_vip}kube_vip_prometheus: 127.0.0.1:10250\n"),
            "7:22",
            "`kube_vip_prometheus` cannot be 10250: the kubelet listens there",
        ),
        (
            format!("{kube_vip}kube_vip_prometheus: 6443\n"),
            "7:22",
            "`kube_vip_prometheus` is an address and a port, not `6443`",
        ),
        (
            format!("{kube_vip}kube_vip_prometheus: \"\"\n"),
            "7:22",
            "`kube_vip_prometheus` is an address and a port, not ``",
        ),
        (
            format!("{kube_vip}kube_vip_prometheus: \":0\"\n"),
            "7:22",
            "`kube_vip_prometheus` is an address and a port, not `:0`",
        ),
    ] {
        let said = refused(&vars);
        assert!(said.contains(&format!("error: {message}\n")), "{said}");
        assert!(said.contains(&format!("{VARS_FILE}:{place}\n")), "{said}");
        assert_eq!(said.matches("error:").count(), 1, "{said}");
    }
    for vars in [
        "load_balancer: kube-vip-arp\nkube_vip_prometheus: 127.0.0.1:2113\n",
        "load_balancer: kube-vip-arp\nkube_vip_prometheus: \"[::1]:2113\"\nhaproxy_health_port: 10250\n",
        "kube_vip_prometheus: \":6443\"\n",
    ] {
        assert_eq!(Bed::sound().vars(vars).warned(), "", "{vars}");
    }
}

#[test]
fn periods_and_failures_of_nothing() {
    for name in [
        "kube_vip_health_period",
        "kube_vip_health_timeout",
        "kube_vip_health_failures",
    ] {
        let said = refused(&format!(
            "load_balancer: kube-vip-bgp\nbgp_peers: [\"10.0.0.1:65001::false\"]\n{name}: 0\n"
        ));
        let message = format!("error: `{name}` takes 1 or more, not the number 0\n");
        assert!(said.contains(&message), "{said}");
        let place = format!("{VARS_FILE}:8:{}\n", name.len() + 3);
        assert!(said.contains(&place), "{said}");
    }
}

/// Adverts that are shorter than what bore a busy host are warned of, and variables that profile `seed` does not read.
#[test]
fn adverts_that_hosts_and_networks_may_not_bear() {
    let warned = |vars: &str| Bed::sound().vars(vars).warned();
    for vars in ["0.01", "0.1", "\"0.14\""] {
        let said = warned(&format!("keepalived_advert_interval: {vars}\n"));
        assert_eq!(said.matches("warning:").count(), 1, "{said}");
        let number = vars.trim_matches('"');
        let message = format!("warning: `keepalived_advert_interval` is {number} s: ");
        assert!(said.contains(&message), "{said}");
        assert!(said.contains(&format!("{VARS_FILE}:6:29\n")), "{said}");
    }
    for vars in ["0.15", "1", "\"0.2\""] {
        let said = warned(&format!("keepalived_advert_interval: {vars}\n"));
        assert_eq!(said, "");
    }
    assert_eq!(
        warned("load_balancer: kube-vip-arp\nkeepalived_advert_interval: 0.1\n"),
        ""
    );
    insta::assert_snapshot!(warned("keepalived_advert_interval: 0.1\n"));
    insta::assert_snapshot!(
        "with_the_profile_seed",
        warned(
            "load_balancer_profile: seed\nkeepalived_advert_interval: 0.1\nhaproxy_maxconn: 9\nweight: -5\n"
        )
    );
}

#[test]
fn numbers_of_roles_that_no_program_takes() {
    insta::assert_snapshot!(refused(
        "keepalived_advert_interval: 0.001\nkeepalived_check_limit: 0\nhaproxy_maxconn: -5\nhaproxy_health_port: 70000\n"
    ));
}

#[test]
fn a_load_balancer_alone() {
    let bed = Bed::sound().file(
        HOSTS_FILE,
        &format!("{HOSTS}load_balancer:\n  hosts:\n    w1:\n"),
    );
    insta::assert_snapshot!(bed.warned());
}

/// Kubespray's names where they mean the same.
#[test]
fn names_of_kubespray() {
    let named = "ansible_port: {port}\nansible_user: root\nkube_version: v1.36.3\nkubernetes_source: present\nkube_vip_address: 10.0.0.10\nkube_pods_subnet: 10.99.0.0/16\nkube_service_addresses: 10.98.0.0/16\nkube_apiserver_port: 6444\nkube_image_repo: registry.example\n";
    let bed = Bed::sound().file(VARS_FILE, named);
    let outcome = bed.run(&["validate"]);
    assert_eq!((outcome.exit, outcome.err.as_str()), (0, ""));
    // They are checked as quorate's own are, at their own place.
    let wrong = bed.replace(VARS_FILE, "10.99.0.0/16", "10.98.0.0/16");
    insta::assert_snapshot!(wrong.refused());
    let both = Bed::sound().vars(
        "kube_version: 1.35.0\nloadbalancer_apiserver: {address: 10.0.0.1, port: 6443}\nkube_network_plugin: calico\n",
    );
    insta::assert_snapshot!("both_names", both.warned());
    // What has no effect is not shown as if it had one.
    let not_read = |name: &str| {
        let explain = ["vars", "explain", "cp1", name];
        let outcome = both.run(&explain);
        assert_eq!((outcome.exit, outcome.err.as_str()), (0, ""));
        let mut lines = outcome.out.lines();
        let told = lines.find_map(|line| line.strip_prefix("  not read: "));
        let json = both.run(&[&explain[..], &["--output", "json"]].concat());
        let json: serde_json::Value = serde_json::from_str(&json.out).unwrap();
        assert_eq!(json["not_read"].as_str(), told, "{json}");
        told.map(str::to_owned)
    };
    for (name, why) in [
        ("kube_version", Some("`kubernetes_version` is set")),
        (
            "kube_network_plugin",
            Some("name the manifest of the network in `cni_manifest`"),
        ),
        ("kubernetes_version", None),
        ("ansible_user", None),
    ] {
        assert_eq!(not_read(name).as_deref(), why, "{name}");
    }
    let explained =
        Bed::sound()
            .file(VARS_FILE, named)
            .run(&["vars", "explain", "cp1", "kube_version"]);
    assert!(!explained.out.contains("not read"), "{}", explained.out);
}

/// `no_log` of a spec: neither the message nor the line of the file below it has the value, nor that of a map around it.
#[test]
fn a_value_that_a_spec_keeps_out() {
    let spec = "argument_specs:\n  main:\n    options:\n      app_pin: { type: int, no_log: true }\n      app_port: { type: int }\n      \
        app_login: { type: dict, options: { pin: { type: int, no_log: true } } }\n";
    let said = Bed::sound()
        .file(
            "inventory/roles/hosts/tasks/main.yml",
            "- debug: { msg: x }\n",
        )
        .file("inventory/roles/hosts/meta/argument_specs.yml", spec)
        .vars("app_pin: hunter2\napp_port: many\napp_login: { pin: hunter3 }\n")
        .refused();
    assert!(!said.contains("hunter"), "{said}");
    assert!(said.contains("app_port: many"), "{said}");
    assert!(
        said.contains("it is set at inventory/group_vars/all.yml:6:10"),
        "{said}"
    );
    assert!(
        said.contains("`app_login.pin` takes a whole number"),
        "{said}"
    );
}

/// What roles write into a shell's text, units, YAML, TOML, XML and sources of packages closes no quotes and begins no line there.
#[test]
fn values_of_a_form_that_a_role_does_not_take() {
    let bed = || {
        Bed::sound()
            .replace(
                VARS_FILE,
                "kubernetes_source: present",
                "kubernetes_source: packages",
            )
            .vars("prepare_firewall: true\n")
    };
    let ports =
        bed().vars("firewall_extra_ports:\n  - 8472/udp\n  - 30000-32767/tcp\n  - 9899/sctp\n");
    assert_eq!(ports.warned(), "");
    let ports = bed().vars("firewall_extra_ports: [\"8472; touch x; echo/udp\"]\n");
    insta::assert_snapshot!(ports.refused());
    for (variable, value) in [
        (
            "firewall_extra_ports",
            "[8472/udp, \"1/tcp\\\"/><x y=\\\"\"]",
        ),
        ("firewall_extra_ports", "[8472/udp, 40-30/tcp]"),
        ("firewall_extra_ports", "[\"{{ cluster_name }}/udp\"]"),
        ("pause_image", "\"x'\\n[plugins]\""),
        ("containerd_registry_config", "\"/etc/x'\\n\""),
        ("containerd_bin_dir", "/usr/local/bin /x"),
        ("containerd_cni_bin_dir", "\"/x']\\n\""),
        (
            "containerd_repository",
            "\"https://a.example\\nTrusted: yes\"",
        ),
        ("containerd_repository_key", "\"https://a.example /x\""),
        ("containerd_repository_suite", "\"a\\nTrusted: yes\""),
        (
            "containerd_repository_components",
            "\"main\\nTrusted: yes\"",
        ),
        ("containerd_suites", "{ \"12\": \"a\\nTrusted: yes\" }"),
        (
            "container_registry_mirrors",
            "{ docker.io: [\"https://a\\\"]\\n\"] }",
        ),
        ("container_registry_mirrors", "{ \"a\\nb\": [https://a] }"),
        (
            "kubernetes_repository",
            "\"https://a.example\\nTrusted: yes\"",
        ),
        ("kubernetes_bin_dir", "\"/x\\nExecStartPre=/y\""),
    ] {
        let bed = bed().vars(&format!("{variable}: {value}\n"));
        let outcome = bed.run(&["validate"]);
        assert_eq!(outcome.exit, 4, "{variable}: {value}");
        let error = format!("error: `{variable}` takes ");
        let at = "\n --> inventory/group_vars/all.yml:";
        let said = outcome.err.contains(&error) && outcome.err.contains(at);
        assert!(said, "{variable}: {value}: {}", outcome.err);
    }
    for value in ["\"x\\nhostPID: true\"", "\"a: b\"", "Node"] {
        let bed = bed().vars(&format!(
            "load_balancer: kube-vip-arp\nkube_vip_priority_class: {value}\n"
        ));
        let outcome = bed.run(&["validate"]);
        let said = outcome
            .err
            .contains("`kube_vip_priority_class` takes a name");
        assert!(outcome.exit == 4 && said, "{value}: {}", outcome.err);
    }
    // Addresses and images as people have them.
    let sound = bed().vars(
        "pause_image: registry.example:5000/a/pause@sha256:00ff\n\
         containerd_repository: \"https://user:p%20w@mirror.example/docker/linux/{{ facts.os }}\"\n\
         containerd_repository_components: main contrib\n\
         kubernetes_repository: https://mirror.example/k8s?a=b&c=~d\n\
         container_registry_mirrors: { docker.io: [\"https://mirror.example:5000/v2/\"], _default: [] }\n",
    );
    assert_eq!(sound.warned(), "");
}
