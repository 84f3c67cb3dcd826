//! site.yml: plays around the workflow, each at its stage, and then part of the state like everything else.

use std::fs;

use crate::cluster::one_exec_each;
use crate::driver::{HOSTS, Lab, on};

const SITE: &str = r#"
- name: everybody
  hosts: k8s_cluster
  stage: before
  vars: { text: a node of the lab }
  tasks:
    - name: motd
      template: { src: motd, dest: /etc/motd }
    - name: no kubelet yet
      shell: { cmd: "! command -v kubelet && touch /var/tmp/before", creates: /var/tmp/before }

- name: before init
  hosts: kube_control_plane
  stage: before_init
  tasks:
    - name: kubeadm and no cluster
      shell: { cmd: "command -v kubeadm && test ! -e /etc/kubernetes/admin.conf && touch /var/tmp/before-init", creates: /var/tmp/before-init }

- name: after init
  hosts: kube_control_plane
  stage: after_init
  tasks:
    - name: the cluster answers
      shell: { cmd: "kubectl --kubeconfig /etc/kubernetes/admin.conf get --raw /readyz > /var/tmp/after-init", creates: /var/tmp/after-init }

- name: before join
  hosts: k8s_cluster
  stage: before_join
  tasks:
    - name: no membership yet
      shell: { cmd: "test ! -e /etc/kubernetes/kubelet.conf && touch /var/tmp/before-join", creates: /var/tmp/before-join }

- name: after join
  hosts: k8s_cluster
  stage: after_join
  tasks:
    - name: the kubelet runs
      shell: { cmd: "systemctl is-active kubelet > /var/tmp/after-join", creates: /var/tmp/after-join }

- name: all are there
  hosts: kube_control_plane[0]
  tasks:
    # kubeadm has ended everywhere; the last kubelet tells the API of its Node a moment later.
    - name: all have told of themselves
      shell: { cmd: "test $(kubectl --kubeconfig /etc/kubernetes/admin.conf get nodes -o name | wc -l) -eq 4" }
      register: told
      until: told.rc == 0
      retries: 30
      delay: 1
      changed_when: false
    - name: nodes
      shell: { cmd: "kubectl --kubeconfig /etc/kubernetes/admin.conf get nodes -o name > /var/tmp/nodes", creates: /var/tmp/nodes }

- name: rolling
  hosts: k8s_cluster
  serial: 1
  tasks:
    - name: it begins
      shell: { cmd: "date +%s%N > /var/tmp/from", creates: /var/tmp/from }
      register: begun
    - name: it ends
      shell: { cmd: "date +%s%N > /var/tmp/to", creates: /var/tmp/to }
      when: not begun.failed
"#;

fn clean(lab: &Lab) {
    let _ = fs::remove_file(lab.inventory().join("site.yml"));
    let _ = fs::remove_dir_all(lab.inventory().join("templates"));
}

/// From bare hosts with a play at each stage; then one connection and one exec a host, and what a play wrote is mended.
pub(crate) fn around(lab: &Lab) {
    lab.bare();
    lab.file("lab/site.yml", SITE);
    lab.file(
        "lab/templates/motd.tera",
        "{{ inventory_hostname }}: {{ text }}\n",
    );
    lab.quorate(&["apply"]).run().expect(0);
    let there = |host: &str| {
        let listed = on(
            host,
            "cd /var/tmp && ls before* after* from to nodes 2>/dev/null",
        );
        listed.out.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(there("cp1"), "after-init before before-init from nodes to");
    for host in &HOSTS[1..] {
        assert_eq!(
            there(host),
            "after-join before before-join from to",
            "{host}"
        );
    }
    let nodes = on("cp1", "cat /var/tmp/nodes").good("the nodes");
    assert_eq!(nodes.lines().count(), HOSTS.len(), "{nodes}");
    // One host after the other, over two waves each.
    let mut spans: Vec<(u128, u128)> = HOSTS
        .iter()
        .map(|host| {
            let said = on(host, "cat /var/tmp/from /var/tmp/to").good("its times");
            let times: Vec<u128> = said
                .lines()
                .map(|l| l.trim().parse().expect("a time"))
                .collect();
            (times[0], times[1])
        })
        .collect();
    spans.sort_unstable();
    assert!(
        spans.windows(2).all(|pair| pair[0].1 < pair[1].0),
        "{spans:?}"
    );

    let run = lab.quorate(&["plan"]).run().expect(0);
    one_exec_each(&run.journal);

    on("w1", "echo other >/etc/motd").good("somebody edits it");
    lab.quorate(&["plan"])
        .run()
        .expect(2)
        .shows("everybody : motd");
    let run = lab.quorate(&["apply"]).run().expect(0);
    assert_eq!(
        run.journal.changed_hosts().into_iter().collect::<Vec<_>>(),
        ["w1"]
    );
    assert_eq!(
        on("w1", "cat /etc/motd").good("mended").trim(),
        "w1: a node of the lab"
    );

    // A play that fails on one host is over before the next one is tried.
    let bad = "- name: bad\n  hosts: kube_control_plane\n  serial: 1\n  tasks: [{name: it fails, command: 'false'}]\n";
    lab.file("lab/site.yml", bad);
    let run = lab.quorate(&["apply"]).run().expect(1);
    let run = run.shows("too many hosts have failed in the play `bad`");
    assert_eq!(run.journal.steps("failed").len(), 1);
    clean(lab);
    lab.quorate(&["apply"]).run().expect(0);
    lab.plan_is_empty();
}
