//! The load balancer as static pods, on bare hosts of its own.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::cluster::{digest, one_exec_each};
use crate::driver::{CONTROL_PLANES, HOSTS, Invocation, Lab, VIP, on, poll};

const WAY: &str = "load_balancer=keepalived-haproxy-pods";
const MANIFESTS: &str = "/etc/kubernetes/manifests";
/// A check that fails twice, a second apart, and an election; a machine under load takes longer.
const MOVED: Duration = Duration::from_secs(15);

/// The program with this way and more variables.
fn with_pods(lab: &Lab, variables: &[&str], words: &[&str]) -> Invocation {
    let call = lab.quorate(words).arg("-e").arg(WAY);
    let each = variables.iter();
    each.fold(call, |call, variable| call.arg("-e").arg(variable))
}

/// The control planes that carry the VIP.
fn holding() -> Vec<&'static str> {
    let holds =
        |host: &&str| on(host, &format!("ip -o addr show | grep -qF ' {VIP}/'")).code == Some(0);
    CONTROL_PLANES.into_iter().filter(holds).collect()
}

/// What lies in the kubelet's folder, hidden files too: all of it would be started.
fn manifests(host: &str) -> String {
    on(host, &format!("ls -A {MANIFESTS} | paste -sd' ' -"))
        .good("the manifests")
        .trim()
        .to_string()
}

/// Bare hosts to a cluster, and nothing more to do.
fn bootstrap(lab: &Lab, variables: &[&str]) {
    lab.bare();
    let run = with_pods(lab, variables, &["apply"]).run().expect(0);
    assert!(run.out.contains("4 of 4 nodes Ready"), "{}", run.out);
    assert!(
        CONTROL_PLANES
            .iter()
            .any(|h| run.out.contains(&format!("{VIP} on {h}"))),
        "who holds the VIP is told\n{}",
        run.out
    );
    assert_eq!(holding().len(), 1, "the VIP is on exactly one host");
    for host in CONTROL_PLANES {
        assert_eq!(
            manifests(host),
            "etcd.yaml haproxy.yaml keepalived.yaml kube-apiserver.yaml kube-controller-manager.yaml kube-scheduler.yaml",
            "{host}"
        );
        let said = on(host, "dpkg -l keepalived haproxy 2>/dev/null | grep -c ^ii");
        assert_eq!(said.out.trim(), "0", "{host} has no package of them");
    }
    let on_worker = on(
        "w1",
        &format!(
            "ls {MANIFESTS}/haproxy.yaml /etc/haproxy; ctr -n k8s.io images ls -q | grep -E 'lab.quorate/(haproxy|keepalived)'"
        ),
    );
    assert_eq!(on_worker.out, "", "a worker has nothing of it");
    lab.is_whole(&HOSTS);
    lab.has_three_voting_members();

    let again = with_pods(lab, variables, &["apply"]).run().expect(0);
    assert_eq!(again.journal.steps("changed"), Vec::new());
    one_exec_each(&again.journal);
    plan_is_empty(lab, variables);
    let status = with_pods(lab, variables, &["status"]).run().expect(0);
    let lines = status.out.lines();
    let running = lines.filter(|l| l.contains("keepalived running, haproxy running"));
    assert_eq!(running.count(), 3, "{}", status.out);
    for host in HOSTS {
        assert_eq!(status.journal.execs().get(host), Some(&1), "{host}");
    }
}

fn plan_is_empty(lab: &Lab, variables: &[&str]) {
    let run = with_pods(lab, variables, &["plan"]).run().expect(0);
    assert_eq!(run.journal.planned(), Vec::new());
}

/// The manifest edited by hand on one host: named, mended, and nothing else.
fn an_edited_manifest_is_mended(lab: &Lab) {
    let path = format!("{MANIFESTS}/haproxy.yaml");
    let before = digest("cp3", &path);
    on("cp3", &format!("sed -i 's/cpu: 100m/cpu: 110m/' {path}")).good("an edit");
    assert_ne!(digest("cp3", &path), before, "the edit is one");
    let plan = with_pods(lab, &[], &["plan", "--diff"]).run().expect(2);
    let plan = plan.shows("cpu: 110m");
    let expected = [(
        "cp3".to_string(),
        "haproxy : haproxy's manifest".to_string(),
    )];
    assert_eq!(plan.journal.planned(), expected);
    let run = with_pods(lab, &[], &["apply"]).run().expect(0);
    assert_eq!(run.journal.steps("changed"), expected);
    assert_eq!(digest("cp3", &path), before);
    let names = manifests("cp3");
    assert_eq!(
        names.split(' ').count(),
        6,
        "nothing is left there: {names}"
    );
    plan_is_empty(lab, &[]);
}

/// The API at the holder's own haproxy refused: the check fails there, and the VIP goes where it passes.
fn a_failing_check_moves_the_vip() {
    let first = holding();
    let [holder] = first[..] else {
        panic!("{first:?} hold the VIP")
    };
    let rule = "INPUT -i lo -p tcp --dport 8443 -j REJECT --reject-with tcp-reset";
    on(holder, &format!("iptables -I {rule}")).good("the check is made to fail");
    let start = Instant::now();
    let moved = poll("the VIP moves", MOVED, || {
        let now = holding();
        (now.len() == 1 && now[0] != holder).then(|| now[0])
    });
    let seconds = start.elapsed().as_secs_f64();
    on(holder, &format!("iptables -D {rule}")).good("the check passes again");
    eprintln!("    a failing check moved the VIP from {holder} to {moved}: {seconds:.1} s");
    // The first one has the highest priority.
    poll("the VIP comes back", MOVED, || {
        (holding() == [holder]).then_some(())
    });
}

/// A new configuration is a new pod, on the one host that is asked for.
fn a_new_configuration_restarts_the_pod(lab: &Lab) {
    let annotation = || {
        let path = "jsonpath={.metadata.annotations.quorate-config}";
        let words = ["-n", "kube-system", "get", "pod", "haproxy-cp3", "-o", path];
        lab.kubectl(&words).good("the pod's digest")
    };
    let before = annotation();
    assert_eq!(before.len(), 12, "{before}");
    let words = ["apply", "--limit", "cp3"];
    let run = with_pods(lab, &["haproxy_maxconn=7999"], &words)
        .run()
        .expect(0);
    assert_eq!(
        run.journal.changed_hosts(),
        BTreeSet::from(["cp3".to_string()])
    );
    // The host's turn was over only when the pod was new.
    let wanted = on(
        "cp3",
        &format!("sed -n 's/.*quorate-config: \"\\(.*\\)\"/\\1/p' {MANIFESTS}/haproxy.yaml"),
    );
    let wanted = wanted.good("the manifest's digest").trim().to_string();
    assert_ne!(wanted, before);
    poll("the mirror pod follows", MOVED, || {
        (annotation() == wanted).then_some(())
    });
}

/// A configuration that haproxy does not bear: it costs one host, which is not the address's, however often the run is repeated.
fn a_bad_configuration_costs_one_host(lab: &Lab) {
    // What the story before has left on one host.
    with_pods(lab, &[], &["apply"]).run().expect(0);
    let [holder] = holding()[..] else {
        panic!("one host holds the VIP")
    };
    lab.quorate(&["roles", "eject", "haproxy"]).run().expect(0);
    let role = lab.inventory().join("roles/haproxy");
    let template = role.join("templates/fast/haproxy.cfg.tera");
    let text = std::fs::read_to_string(&template).expect("the template");
    std::fs::write(&template, format!("{text}\nno-such-word\n")).expect("a worse one");
    let first = with_pods(lab, &[], &["apply"]).run();
    let plan = with_pods(lab, &[], &["plan"]).run();
    let second = with_pods(lab, &[], &["apply"]).run();
    std::fs::remove_dir_all(role).expect("the built-in role counts again");
    let first = first.expect(1).shows("unknown keyword 'no-such-word'");
    let changed = first.journal.changed_hosts();
    assert_eq!(changed.len(), 1, "{changed:?}");
    assert!(!changed.contains(holder), "who has the address is the last");
    plan.expect(2).shows("haproxy not running");
    let second = second
        .expect(1)
        .shows("while one load balancer is down no other is touched");
    assert_eq!(second.journal.steps("changed"), Vec::new());
    lab.is_whole(&HOSTS);
    // Mended, the one that is down comes first.
    let run = with_pods(lab, &[], &["apply"]).run().expect(0);
    assert_eq!(run.journal.changed_hosts(), changed);
    plan_is_empty(lab, &[]);
}

/// The whole story with profile fast.
pub(crate) fn fast(lab: &Lab) {
    bootstrap(lab, &[]);
    an_edited_manifest_is_mended(lab);
    a_failing_check_moves_the_vip();
    a_new_configuration_restarts_the_pod(lab);
    a_bad_configuration_costs_one_host(lab);
    // Services on hosts where pods have the ports would be another story.
    lab.bare();
}

/// The document's own manifests and values.
pub(crate) fn seed(lab: &Lab) {
    bootstrap(lab, &["load_balancer_profile=seed"]);
    lab.bare();
}
