//! Kills the controller, and kubeadm itself, at points that are seen on the hosts; a second run must go on from there.

use crate::cluster::digest;
use crate::driver::{Lab, RUN_DEADLINE, Run, Running, cut_off, is_back, on, on_until, poll};
use crate::journal::Moment;
use std::collections::{BTreeMap, BTreeSet};
use std::thread::ScopedJoinHandle;
use std::time::{Duration, Instant};

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

/// What befalls a run in its middle.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Blow {
    /// The controller dies: SIGKILL.
    Killed,
    /// The network of the host that the last record names is cut for half a minute.
    Cut,
    /// That host reboots.
    Rebooted,
}

/// Bootstraps again and again, each time with a blow when the journal has one record more than the last time, until a run ends before
/// its blow: after each a second run goes on from there. QUORATE_TORTURE_STEP takes that many records at once, and
/// QUORATE_TORTURE_FROM begins at that one.
pub(crate) fn at_every_record(lab: &Lab, blow: Blow) {
    let number = |name: &str, default: usize| {
        let value = std::env::var(name).ok().map(|text| text.parse());
        value.map_or(default, |number| number.expect("a number of records"))
    };
    let step = number("QUORATE_TORTURE_STEP", 1).max(1);
    let mut record = number("QUORATE_TORTURE_FROM", 1);
    let mut blows = 0;
    while strike(lab, blow, record) {
        blows += 1;
        record += step;
    }
    eprintln!("    {blow:?}: {blows} runs of up to {record} records went on");
    assert!(blows > 0, "no run was long enough");
}

/// Whether the blow came before the run's end.
fn strike(lab: &Lab, blow: Blow, record: usize) -> bool {
    lab.bare();
    let mut running = lab.quorate(&["apply"]).start();
    let deadline = Duration::from_secs(SECONDS.into());
    let reached = poll(&format!("record {record}"), deadline, || {
        if !running.is_running() {
            return Some(None);
        }
        let hosts = running.journal().hosts();
        (hosts.len() >= record).then(|| Some(hosts[record - 1].clone()))
    });
    let Some(host) = reached else {
        running.end().expect(0);
        return false;
    };
    let host = host.unwrap_or_else(|| "cp1".to_string());
    eprintln!("    {blow:?} at record {record}, {host}");
    befalls(lab, blow, running, &host);
    let ca = digest("cp1", CA);
    // What the first run has left running on the hosts is waited for by the second, or refused while it lasts.
    let again = poll("a second run goes on", deadline, || {
        let run = lab.quorate(&["apply"]).run();
        (run.code == Some(0)).then_some(run)
    });
    lab.keeps_secrets(&again);
    is_the_same_cluster(lab, &ca, &format!("record {record}"));
    true
}

/// One bootstrap of many runs: the controller of each dies at the first moment that none before it died at, until a run has no
/// such moment any more and comes to its end.
pub(crate) fn killed_at_each_moment(lab: &Lab) {
    lab.bare();
    let mut struck = BTreeSet::new();
    let mut ca = String::new();
    let mut blows = 0;
    let mut refused = None;
    let end = loop {
        let mut running = lab.quorate(&["apply"]).start();
        let deadline = Duration::from_secs(SECONDS.into());
        let moment = poll("a moment that is new", deadline, || {
            let is_over = !running.is_running();
            let moments = running.journal().moments();
            let new = moments.iter().find(|moment| !struck.contains(*moment));
            match new.cloned() {
                Some(moment) if !is_over => Some(Some((moment, moments))),
                _ => is_over.then_some(None),
            }
        });
        let run = match moment {
            // It may end by itself behind its last record.
            Some(_) => running.kill_or_end(),
            None => running.end(),
        };
        if run.code == Some(0) {
            break run;
        }
        let Some((moment, moments)) = moment.filter(|_| run.code.is_none()) else {
            assert_may_be_refused(&run, &mut refused);
            continue;
        };
        refused = None;
        blows += 1;
        eprintln!("    killed at {moment}");
        let failed = moments.iter().find(|moment| is_failed_step(moment));
        assert!(failed.is_none(), "a step failed: {failed:?}");
        struck.extend(moments);
        assert_is_the_first(&mut ca, &format!("{moment}"));
    };
    eprintln!(
        "    {blows} runs were killed, {} moments seen",
        struck.len()
    );
    assert!(blows > 0, "no run was long enough");
    lab.keeps_secrets(&end);
    is_the_same_cluster(lab, &ca, "the end");
}

/// One bootstrap of many runs: at each moment of a host it meets a blow, unless one lasts there still, and the runs go on as far as
/// they can; until a run meets none and comes to its end.
pub(crate) fn each_host_at_each_moment(lab: &Lab, blow: Blow) {
    lab.bare();
    let mut struck = BTreeSet::new();
    let mut ca = String::new();
    let mut refused = None;
    let (mut runs, mut blows) = (0, 0);
    let end = loop {
        let mut running = lab.quorate(&["apply"]).start();
        let mut fallen = 0;
        std::thread::scope(|scope| {
            let mut lasting = BTreeMap::new();
            poll("the run's end", RUN_DEADLINE, || {
                lasting.retain(|_, blow: &mut ScopedJoinHandle<()>| !blow.is_finished());
                if !running.is_running() {
                    return Some(());
                }
                let moments = running.journal().moments();
                for moment in &moments {
                    let host = moment.befalls().to_string();
                    if struck.contains(moment) || lasting.contains_key(&host) {
                        continue;
                    }
                    eprintln!("    {blow:?} at {moment}, {host}");
                    let same = moments.iter().filter(|other| other.befalls() == host);
                    struck.extend(same.cloned());
                    fallen += 1;
                    let on = host.clone();
                    lasting.insert(host, scope.spawn(move || befall(lab, blow, &on)));
                }
                None
            });
        });
        let run = running.end();
        // Some hosts may not be reached, or be in a state that forbids to go on; nothing else ends a run.
        assert!(
            matches!(run.code, Some(0 | 1 | 3 | 5)),
            "{:?}: {}",
            run.code,
            run.shown()
        );
        runs += 1;
        blows += fallen;
        assert_is_the_first(&mut ca, &format!("run {runs}"));
        match (fallen, run.code) {
            (0, Some(0)) => break run,
            (0, _) => assert_may_be_refused(&run, &mut refused),
            _ => refused = None,
        }
    };
    eprintln!(
        "    {blow:?}: {blows} in {runs} runs, {} moments seen",
        struck.len()
    );
    assert!(blows > 0, "no run was long enough");
    lab.keeps_secrets(&end);
    is_the_same_cluster(lab, &ca, "the end");
}

/// The CA, once there is one, stays.
fn assert_is_the_first(ca: &mut String, when: &str) {
    let now = digest("cp1", CA);
    assert!(ca.is_empty() || *ca == now, "a second init, at {when}");
    *ca = now;
}

/// A run that ended by itself and did not come to its end: a dead run's lock, or what it has left running, may refuse others, but not
/// for long.
fn assert_may_be_refused(run: &Run, since: &mut Option<Instant>) {
    let since = since.get_or_insert_with(Instant::now);
    let seconds = u64::from(SECONDS);
    assert!(
        since.elapsed().as_secs() < seconds,
        "it does not go on: {}",
        run.shown()
    );
}

/// That a run was killed before it must not make a step fail. kubeadm may, where an API server is slow: it is resumed.
fn is_failed_step(moment: &Moment) -> bool {
    let said = moment.to_string();
    said.starts_with("step_finished ")
        && said.ends_with(" failed")
        && !said.contains(" cluster : kubeadm ")
}

fn is_the_same_cluster(lab: &Lab, ca: &str, when: &str) {
    let ca_now = digest("cp1", CA);
    assert!(
        ca.is_empty() || ca == ca_now,
        "a second init: another CA, at {when}"
    );
    poll("the VIP on one host", Duration::from_secs(20), || {
        (crate::cluster::holders() == 1).then_some(())
    });
    lab.is_good(&ca_now);
}

/// Returns when the blow is over.
fn befalls(lab: &Lab, blow: Blow, running: Running, host: &str) {
    match blow {
        Blow::Killed => {
            running.kill();
        }
        Blow::Cut | Blow::Rebooted => {
            befall(lab, blow, host);
            running.end();
        }
    }
}

/// A blow to a host alone; returns when it is over.
fn befall(lab: &Lab, blow: Blow, host: &str) {
    match blow {
        Blow::Killed => unreachable!("the controller is no host"),
        Blow::Cut => {
            const TABLE: &str = "netdev torture";
            let chains =
                "chain in { type filter hook ingress device \"eth0\" priority -500; policy drop; }
             chain out { type filter hook egress device \"eth0\" priority -500; policy drop; }";
            cut_off(host, 30, TABLE, chains);
            is_back(host, TABLE);
        }
        Blow::Rebooted => {
            lab.lab(&["reboot", host]);
        }
    }
}
