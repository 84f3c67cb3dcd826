//! A live cluster is moved from one way of the load balancer to another, while a client asks at the VIP and the holders are
//! looked at ten times a second.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::cluster::{holders, one_exec_each};
use crate::driver::{CONTROL_PLANES, HOSTS, Invocation, Lab, VIP, on, on_until, poll};
use crate::kube_vip::has_image;

pub(crate) const SERVICES: &str = "keepalived-haproxy";
pub(crate) const PODS: &str = "keepalived-haproxy-pods";
pub(crate) const ARP: &str = "kube-vip-arp";
/// kube-vip has no port of its own: the cluster keeps its endpoint.
const ENDPOINT: &str = "control_plane_endpoint=vip.mycluster.local:8443";
/// What a client may miss in one move, in seconds.
const OUTAGE: f64 = 3.0;
/// So long without a failure is the end of an outage, in seconds.
const CLEAN: f64 = 1.0;
const STOP: &str = "/tmp/moves.stop";
const LOG: &str = "/tmp/moves.log";

fn to(lab: &Lab, way: &str, words: &[&str]) -> Invocation {
    let call = lab
        .quorate(words)
        .arg("-e")
        .arg(format!("load_balancer={way}"));
    match way {
        ARP => call.arg("-e").arg(ENDPOINT),
        _ => call,
    }
}

/// Starts a script on a host that goes on by itself until it is told to stop.
fn background(host: &str, body: &str) {
    let script = format!(
        "rm -f {STOP} {LOG}; : >{LOG}; setsid sh -c 'while [ ! -e {STOP} ]; do {body}; done' >/dev/null 2>&1 </dev/null &"
    );
    on(host, &script).good("a script in the background");
}

/// Its lines, the first word of each a time in seconds.
fn lines(host: &str) -> Vec<(f64, String)> {
    let text = on(host, &format!("cat {LOG}")).good("its log");
    let mut lines: Vec<(f64, String)> = text
        .lines()
        .filter_map(|line| {
            let (time, rest) = line.split_once(' ')?;
            Some((time.parse().ok()?, rest.trim().to_string()))
        })
        .collect();
    lines.sort_by(|a, b| a.0.total_cmp(&b.0));
    lines
}

fn watch() {
    let probe = format!(
        "t=$(date +%s.%N); (c=$(curl -sk --noproxy \"*\" -m 0.5 -o /dev/null -w \"%{{http_code}}\" https://{VIP}:8443/readyz); echo \"$t $c\" >>{LOG}) & sleep 0.035"
    );
    background("w1", &probe);
    let holder = format!(
        "echo \"$(date +%s.%N) $(ip -o address show to {VIP} | while read -r a b c; do printf \"%s \" \"$b\"; done)\" >>{LOG}; sleep 0.1"
    );
    for host in CONTROL_PLANES {
        background(host, &holder);
    }
}

/// Ends the watch, says what it saw, and returns the longest outage in seconds and the moments at which two hosts held the
/// address.
fn watched(what: &str) -> (f64, Vec<String>) {
    // What comes after the run counts too, and so does what was under way when the watch was to end.
    let asked = || lines("w1").len();
    let so_far = asked();
    poll("more requests", Duration::from_secs(30), || {
        (asked() > so_far + 50).then_some(())
    });
    for host in HOSTS {
        on(host, &format!(": >{STOP}")).good("the watch ends");
    }
    on_until("w1", "all requests have ended", 10, "! pgrep -x curl");
    let probes = lines("w1");
    let begin = probes.first().map_or(0.0, |p| p.0);
    let seconds = probes.last().map_or(0.0, |p| p.0) - begin;
    let failed = probes.iter().filter(|p| p.1 != "200").count();
    eprintln!(
        "    {what}: {} probes in {seconds:.0} s ({:.0} a second), {failed} failed",
        probes.len(),
        probes.len() as f64 / seconds
    );
    assert!(
        probes.len() as f64 / seconds >= 5.0,
        "too few probes to tell"
    );
    // From the first failure to the first success behind the last one.
    let mut longest: f64 = 0.0;
    let mut outage: Option<(f64, f64)> = None;
    let mut end = |outage: Option<(f64, f64)>| {
        if let Some((from, until)) = outage {
            eprintln!(
                "      outage of {:.2} s, {:.1} s after the beginning",
                until - from,
                from - begin
            );
            longest = longest.max(until - from);
        }
    };
    let mut failing = false;
    for (time, code) in &probes {
        if code != "200" {
            outage = match outage {
                Some((from, until)) if failing || time - until < CLEAN => Some((from, *time)),
                other => {
                    end(other);
                    Some((*time, *time))
                }
            };
            failing = true;
        } else if failing {
            outage = outage.map(|(from, _)| (from, *time));
            failing = false;
        }
    }
    end(outage);

    // Who held the address when; a host holds it for sure between two samples that both show it.
    let seen: Vec<(&str, Vec<(f64, String)>)> =
        CONTROL_PLANES.map(|host| (host, lines(host))).into();
    let mut changes: Vec<(f64, String)> = Vec::new();
    for (host, samples) in &seen {
        let mut before = None;
        for (time, devices) in samples {
            if before != Some(devices) {
                let shown = if devices.is_empty() { "-" } else { devices };
                changes.push((*time, format!("{host}: {shown}")));
                before = Some(devices);
            }
        }
    }
    changes.sort_by(|a, b| a.0.total_cmp(&b.0));
    for (time, change) in &changes {
        eprintln!("      {:7.2} s  {change}", time - begin);
    }
    let holds = |samples: &[(f64, String)], time: f64| {
        let next = samples.partition_point(|s| s.0 <= time);
        let at = |i: usize| samples.get(i).is_some_and(|s| !s.1.is_empty());
        next > 0 && at(next - 1) && at(next)
    };
    let mut both = Vec::new();
    for (time, _) in seen.iter().flat_map(|(_, samples)| samples) {
        let found: BTreeSet<&str> = seen
            .iter()
            .filter(|(_, samples)| holds(samples, *time))
            .map(|(host, _)| *host)
            .collect();
        if found.len() > 1 {
            both.push(format!("{:.2} s: {found:?}", time - begin));
        }
    }
    for moment in &both {
        eprintln!("      two holders at {moment}");
    }
    (longest, both)
}

/// Nothing of a move, nor of the ways that are not this one. A cluster that was moved to kube-vip keeps its port by a redirect.
pub(crate) fn nothing_is_left(lab: &Lab, way: &str, redirected: bool) {
    let unit = |unit: &str| {
        format!("! systemctl is-active -q {unit} && ! systemctl is-enabled -q {unit} 2>/dev/null")
    };
    let file = |path: &str| format!("test ! -e {path}");
    let mut checks = vec![
        unit("quorate-bridge"),
        "! nft list table ip quorate_bridge >/dev/null 2>&1".into(),
        format!("! ip -o address show dev lo | grep -qF ' {VIP}/'"),
        file("/var/lib/quorate/taking-down"),
    ];
    if way != SERVICES {
        checks.extend(["keepalived", "haproxy"].map(unit));
    }
    let pods: &[&str] = match way {
        SERVICES => &["keepalived", "haproxy", "kube-vip"],
        PODS => &["kube-vip"],
        _ => &["keepalived", "haproxy"],
    };
    for pod in pods {
        checks.push(file(&format!("/etc/kubernetes/manifests/{pod}.yaml")));
        checks.push(format!(
            "! ctr -n k8s.io containers ls -q \"labels.\\\"io.kubernetes.pod.name\\\"==\\\"{pod}-$(hostname)\\\"\" | while read -r id; do ctr -n k8s.io tasks ls | grep \"^$id .*RUNNING\"; done | grep -q ."
        ));
    }
    if way == ARP {
        checks.extend(
            [
                "/etc/keepalived/keepalived.conf",
                "/etc/keepalived/check_apiserver.sh",
                "/etc/haproxy/haproxy.cfg",
            ]
            .map(file),
        );
    } else {
        checks.extend(
            [
                "/etc/kubernetes/kube-vip.conf",
                "/etc/systemd/system/quorate-apiserver-redirect.service",
            ]
            .map(file),
        );
    }
    checks.push(if redirected {
        "nft list table ip quorate_redirect >/dev/null".into()
    } else {
        "! nft list table ip quorate_redirect >/dev/null 2>&1".into()
    });
    for host in CONTROL_PLANES {
        for check in &checks {
            let said = on(host, check);
            assert_eq!(said.code, Some(0), "{host}: {check}\n{}", said.err);
        }
    }
    if way != ARP {
        let words = [
            "-n",
            "kube-system",
            "get",
            "role,rolebinding,lease",
            "-o",
            "name",
        ];
        let said = lab.kubectl(&words).good("what kube-system has");
        assert!(
            !said.contains("kube-vip") && !said.contains("plndr"),
            "{said}"
        );
    }
}

fn nothing_is_to_do(lab: &Lab, way: &str) {
    let again = to(lab, way, &["apply"]).run().expect(0);
    assert_eq!(again.journal.steps("changed"), Vec::new());
    one_exec_each(&again.journal);
    let plan = to(lab, way, &["plan"]).run().expect(0);
    assert_eq!(plan.journal.planned(), Vec::new());
}

fn moved(lab: &Lab, from: &str, way: &str) {
    let what = format!("{from} -> {way}");
    eprintln!("    === {what}");
    to(lab, way, &["plan"])
        .run()
        .expect(2)
        .shows("expected outage")
        .shows(&what);
    to(lab, way, &["apply", "--limit", "cp1,cp2"])
        .run()
        .expect(5)
        .shows("cp3 is not in this run's --limit");
    watch();
    let run = to(lab, way, &["apply"]).run();
    let (outage, both) = watched(&what);
    for (host, step) in run.journal.steps("changed") {
        eprintln!("      {host}  {step}");
    }
    let run = run.expect(0);
    assert!(run.out.contains("4 of 4 nodes Ready"), "{}", run.out);
    // A figure and no condition: how much a busy machine adds is not this program's.
    eprintln!("    {what}: the longest outage {outage:.2} s, aim {OUTAGE} s");
    assert_eq!(both, Vec::<String>::new(), "{what}: two holders");
    poll("one holder", Duration::from_secs(30), || {
        (holders() == 1).then_some(())
    });
    nothing_is_left(lab, way, way == ARP);
    nothing_is_to_do(lab, way);
    lab.is_whole(&HOSTS);
}

/// One live cluster through the ways.
pub(crate) fn through_the_ways(lab: &Lab) {
    lab.bootstrapped();
    moved(lab, SERVICES, PODS);
    let last = if has_image() {
        moved(lab, PODS, ARP);
        ARP
    } else {
        PODS
    };
    // As on hosts that never had services: what brings their packages must not wait for them to run.
    for host in CONTROL_PLANES {
        on(host, "apt-get purge -yqq haproxy keepalived 2>&1").good("no packages");
    }
    moved(lab, last, SERVICES);
}

/// The controller is killed while the holder serves by the bridge: clients are served, the next run goes on.
pub(crate) fn goes_on(lab: &Lab) {
    lab.converged();
    let running = to(lab, PODS, &["apply"]).start();
    let bridged = || {
        let up = |host: &&&str| on(host, "systemctl is-active -q quorate-bridge").code == Some(0);
        CONTROL_PLANES.iter().find(up)
    };
    let holder = poll("a bridge", Duration::from_secs(180), bridged);
    assert!(running.kill().killed);
    let asks = format!(
        "for i in 1 2 3 4 5; do curl -sfk --noproxy '*' -m 1 -o /dev/null https://{VIP}:8443/readyz || exit 1; done"
    );
    on("w1", &asks).good("the VIP answers by the bridge");
    on_until(
        holder,
        "the VIP is there",
        1,
        &format!("ip -o address show to {VIP} | grep -q ."),
    );
    let shown = to(lab, PODS, &["status"]).run().shown();
    eprintln!("{shown}");
    // The lock of the dead controller goes after its last beat.
    poll("the next run", Duration::from_secs(200), || {
        (to(lab, PODS, &["apply"]).run().code == Some(0)).then_some(())
    });
    nothing_is_left(lab, PODS, false);
    nothing_is_to_do(lab, PODS);
    moved(lab, PODS, SERVICES);
    lab.plan_is_empty();
}
