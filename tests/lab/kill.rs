//! Kills the controller, and kubeadm itself, at points that are seen on the hosts; a second run must go on from there.

use crate::cluster::digest;
use crate::driver::{Lab, on, on_until, poll};
use std::time::Duration;

/// Bare hosts to the point; packages and images come before it.
const SECONDS: u32 = 240;
const CA: &str = "/etc/kubernetes/pki/ca.crt";

/// A point in the making of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Point {
    /// The load balancer is up on all control planes and the VIP on one of them; init has not begun.
    LoadBalancer,
    /// In init: the CA is written, no manifest is.
    Certificates,
    /// In init: the static pods are written, no API server answers.
    Manifests,
    /// In init: the API server answers, kubeadm's configuration is not in it.
    Api,
    /// The second control plane has joined, the third has not begun.
    BetweenJoins,
    /// In the second control plane's join: its kubelet was started, its etcd is no member yet or just became one.
    Join,
}

impl Point {
    /// Where and how it is seen.
    fn seen(self) -> (&'static str, &'static str) {
        match self {
            Self::LoadBalancer => (
                "cp1",
                "systemctl is-active -q haproxy keepalived && timeout 1 bash -c ': </dev/tcp/10.77.0.100/8443'",
            ),
            Self::Certificates => ("cp1", "[ -e /etc/kubernetes/pki/ca.crt ]"),
            Self::Manifests => (
                "cp1",
                "[ -e /etc/kubernetes/manifests/etcd.yaml ] && [ -e /etc/kubernetes/manifests/kube-scheduler.yaml ]",
            ),
            Self::Api => (
                "cp1",
                "[ \"$(curl -sk --max-time 1 https://10.77.0.11:6443/livez)\" = ok ]",
            ),
            Self::BetweenJoins => ("cp2", "grep -q ' done$' /var/lib/quorate/kubeadm"),
            Self::Join => (
                "cp2",
                "[ -e /etc/kubernetes/kubelet.conf ] || [ -e /etc/kubernetes/manifests/etcd.yaml ]",
            ),
        }
    }

    /// The host that kubeadm runs on at that point.
    fn host(self) -> &'static str {
        self.seen().0
    }
}

/// Kills at that point, with `unit` kubeadm too, and runs again.
pub(crate) fn kill_and_go_on(lab: &Lab, point: Point, unit: bool) {
    lab.bare();
    let mut running = lab.quorate(&["apply"]).start();
    let (host, condition) = point.seen();
    if point == Point::LoadBalancer {
        // haproxy listens on each control plane; the VIP comes with keepalived.
        for other in ["cp2", "cp3"] {
            on_until(
                other,
                "the load balancer",
                SECONDS,
                "systemctl is-active -q haproxy keepalived",
            );
        }
    }
    // On the host itself, so that nothing lies between the point and kubeadm's end; the controller looks after its unit only
    // every five seconds.
    let killed = format!("{{ {condition}; }} && systemctl kill -s KILL quorate-kubeadm.service");
    let condition = if unit { &killed } else { condition };
    on_until(host, &format!("{point:?}"), SECONDS, condition);
    assert!(
        running.is_running(),
        "the run ended before {point:?} was seen"
    );
    let run = running.kill();
    assert!(run.killed, "{point:?}: {:?}", run.code);
    let ca = digest("cp1", CA);
    let begun = on("cp1", "cat /var/lib/quorate/kubeadm").out;
    match point {
        Point::LoadBalancer => {
            assert_eq!(begun, "", "init had begun already: the point was missed")
        }
        Point::BetweenJoins => {
            let third = on("cp3", "cat /var/lib/quorate/kubeadm").out;
            assert_eq!(
                third, "",
                "the third join had begun already: the point was missed"
            );
        }
        _ => assert!(begun.starts_with("init "), "no marker of init: {begun}"),
    }
    if point == Point::Api && unit {
        let config = "kubectl --kubeconfig /etc/kubernetes/super-admin.conf -n kube-system get configmap kubeadm-config";
        assert_ne!(
            on("cp1", config).code,
            Some(0),
            "the configuration is uploaded already: the point was missed"
        );
    }
    if unit {
        let active = "systemctl is-active -q quorate-kubeadm.service";
        assert_ne!(on(point.host(), active).code, Some(0), "kubeadm runs still");
    }
    let again = lab.quorate(&["apply"]).run().expect(0);
    lab.keeps_secrets(&again);
    let ca_now = digest("cp1", CA);
    if point != Point::LoadBalancer {
        assert_ne!(ca, "", "no CA at {point:?}");
        assert_eq!(ca, ca_now, "a second init: another CA");
    }
    poll("the VIP on one host", Duration::from_secs(20), || {
        (crate::cluster::holders() == 1).then_some(())
    });
    lab.is_good(&ca_now);
}
