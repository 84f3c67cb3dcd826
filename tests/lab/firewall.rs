//! Hosts with a firewall in service.

use crate::cluster::digest;
use crate::drill::drilled;
use crate::driver::{Lab, on, on_for};

/// A firewall as its package leaves it: SSH alone comes in.
const FIREWALLD: &str = "apt-get install -yqq --no-install-recommends firewalld >&2 && systemctl start firewalld && firewall-cmd --state";
const UFW: &str = "apt-get install -yqq --no-install-recommends ufw >&2 && ufw allow 22/tcp && ufw --force enable && ufw status verbose";

/// Where each runs.
const HOSTS: [(&str, &str); 4] = [
    ("cp1", FIREWALLD),
    ("cp2", FIREWALLD),
    ("cp3", UFW),
    ("w1", UFW),
];

/// What a firewall lets in, without what was written for the cluster.
fn own(host: &str) -> String {
    let firewalld = "firewall-cmd --list-all-zones";
    let ufw = "ufw status | grep -v quorate | grep .";
    on(
        host,
        if host == "cp1" || host == "cp2" {
            firewalld
        } else {
            ufw
        },
    )
    .good("the firewall's rules")
}

/// firewalld on two control planes, ufw on the third and on the worker: named before anything is changed; with `prepare_firewall`
/// the cluster is made behind them, its address moves from one kind to the other, and nothing else is opened.
pub(crate) fn in_service(lab: &Lab) {
    lab.bare();
    for (host, firewall) in HOSTS {
        on_for(180, host, firewall).good("a firewall in service");
    }
    let before = HOSTS.map(|(host, _)| own(host));
    let plan = lab.quorate(&["plan"]).run().expect(1).shows("Firewall");
    for (host, _) in HOSTS {
        assert!(plan.shown().contains(host), "{}", plan.shown());
    }
    let run = lab
        .quorate(&["apply"])
        .run()
        .expect(1)
        .shows("prepare_firewall");
    assert!(!run.journal.has_act("prepare"), "nothing was begun");

    let variables = std::fs::read_to_string(lab.inventory().join("group_vars/all.yml")).unwrap();
    let variables = format!(
        "{variables}
prepare_firewall: true
"
    );
    lab.file("lab/group_vars/all.yml", &variables);
    lab.quorate(&["apply"]).run().expect(0);
    let ca = digest("cp1", "/etc/kubernetes/pki/ca.crt");
    lab.is_good(&ca);
    lab.pods_reach_services(&HOSTS.map(|(host, _)| host));
    assert_eq!(HOSTS.map(|(host, _)| own(host)), before, "the user's own");
    for _ in ["there", "and back"] {
        drilled(lab, &["--for", "8"]).1.expect(0);
    }
    // Both reload their rules by themselves, with what was written for the cluster among them.
    on("cp1", "firewall-cmd --reload").good("firewalld reloads");
    on("cp3", "ufw reload").good("ufw reloads");
    lab.is_good(&ca);
}
