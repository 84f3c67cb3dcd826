//! `make lab-long`: stories that need bare hosts of their own.

use std::time::Duration;

use crate::cluster::digest;
use crate::driver::{Lab, command, on, poll};

fn stop(host: &str) {
    let container = format!("quorate-lab-{host}");
    command(60, ["docker", "stop", "-t", "1", container.as_str()]).good("the host goes down");
}

fn start(lab: &Lab, host: &str) {
    let container = format!("quorate-lab-{host}");
    command(60, ["docker", "start", container.as_str()]).good("the host comes up");
    poll("sshd answers again", Duration::from_secs(60), || {
        let run = lab.quorate(&["exec", "--limit", host, "--", "true"]).run();
        (run.code == Some(0)).then_some(())
    });
}

/// A control plane down before init: the others are prepared, init is refused. A worker down: the rest goes on. Each comes
/// back and joins.
#[test]
fn hosts_down_before_init() {
    let lab = Lab::take("hosts down before init");
    lab.bare();
    stop("cp3");
    let run = lab.quorate(&["apply"]).run().expect(5).shows("cp3");
    for host in ["cp1", "cp2", "w1"] {
        assert_eq!(
            on(
                host,
                "test -x /usr/local/bin/kubeadm && test ! -e /var/lib/quorate/kubeadm"
            )
            .code,
            Some(0),
            "{host} is prepared and no more"
        );
    }
    assert!(!run.journal.has_act("init"));
    start(&lab, "cp3");
    stop("w1");
    lab.quorate(&["apply"]).run().expect(3).shows("w1");
    lab.is_whole(&["cp1", "cp2", "cp3"]);
    lab.has_three_voting_members();
    let ca = digest("cp1", "/etc/kubernetes/pki/ca.crt");
    start(&lab, "w1");
    lab.quorate(&["apply"]).run().expect(0);
    lab.is_good(&ca);
}

/// Something else listens on the API server's port: kubeadm's own words are shown; mended, the next run goes on.
#[test]
fn a_taken_port_stops_init() {
    let lab = Lab::take("6443 is taken");
    lab.bare();
    on(
        "cp1",
        "systemd-run -q --unit=squatter systemd-socket-activate -l 6443 /bin/cat",
    )
    .good("a listener");
    let run = lab.quorate(&["apply"]).run().expect(1).shows("Port-6443");
    assert!(run.shown().contains("kubeadm init"), "{}", run.shown());
    on("cp1", "systemctl stop squatter").good("the port is free");
    lab.quorate(&["apply"]).run().expect(0);
    let ca = digest("cp1", "/etc/kubernetes/pki/ca.crt");
    lab.is_good(&ca);
}

/// All hosts go down at once and come back: a cluster again, without quorate.
#[test]
fn all_hosts_rebooted() {
    let lab = Lab::take("all hosts rebooted");
    lab.converged();
    let ca = digest("cp1", "/etc/kubernetes/pki/ca.crt");
    command(
        120,
        [
            "docker",
            "restart",
            "-t",
            "5",
            "quorate-lab-cp1",
            "quorate-lab-cp2",
            "quorate-lab-cp3",
            "quorate-lab-w1",
        ],
    )
    .good("restarted");
    poll(
        "plan finds nothing and all are Ready",
        Duration::from_secs(240),
        || {
            let run = lab.quorate(&["plan"]).run();
            (run.code == Some(0) && run.out.contains("4 of 4 nodes Ready")).then_some(())
        },
    );
    lab.is_good(&ca);
}

/// The controller dies in the middle of a drill: the host comes back by itself.
#[test]
fn a_drill_whose_controller_dies() {
    crate::drill::survives_the_controller();
}

/// Ctrl-C in the middle of a drill: brought back before the program ends.
#[test]
fn a_drill_interrupted() {
    crate::drill::is_interrupted();
}

/// The other ways to take a host away, one round each.
#[test]
fn drills_in_every_way() {
    crate::drill::goes_every_way();
}
