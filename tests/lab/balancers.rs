//! Load balancers beside the control planes: hosts of their own, and somebody else's. On bare hosts; w2 carries them.

use std::fs;
use std::time::Duration;

use crate::cluster::one_exec_each;
use crate::driver::{CONTROL_PLANES, HOSTS, Invocation, Lab, VIP, on, on_for, poll};

/// haproxy as somebody else would set it up: an address, three backends, nothing of this program.
const FOREIGN: &str = "defaults\\n mode tcp\\n timeout connect 1s\\n timeout client 1h\\n timeout server 1h\\n\
    frontend api\\n bind :8443\\n default_backend cps\\n\
    backend cps\\n option httpchk GET /healthz\\n default-server check check-ssl verify none inter 1s fall 2 rise 1\\n\
    server a 10.77.0.11:6443\\n server b 10.77.0.12:6443\\n server c 10.77.0.13:6443\\n";

fn external(lab: &Lab, endpoint: &str, words: &[&str]) -> Invocation {
    lab.quorate(words)
        .arg("-e")
        .arg("load_balancer=external")
        .arg("-e")
        .arg(format!("control_plane_endpoint={endpoint}"))
}

/// Somebody else's load balancer: asked before init and ever after, and never touched.
pub(crate) fn somebody_elses(lab: &Lab) {
    lab.bare();
    lab.lab(&["add", "w2"]);
    on_for(
        180,
        "w2",
        "apt-get update -q >/dev/null && apt-get install -qy --no-install-recommends haproxy >/dev/null && systemctl stop haproxy",
    )
    .good("haproxy is on w2");
    let endpoint = "10.77.0.22:8443";

    // A name that nobody knows: nothing is begun.
    let run = external(lab, "api.nowhere.invalid:8443", &["apply"]).run();
    let run = run.expect(5).shows("does not resolve on cp1, cp2, cp3, w1");
    assert!(!run.journal.has_act("prepare"), "nothing was begun");
    // Nobody listens yet: said, and no reason not to begin.
    let plan = external(lab, endpoint, &["plan"]).run();
    plan.expect(2)
        .shows("accepts no connection yet from cp1, cp2, cp3, w1");

    let start = format!("printf '{FOREIGN}' >/etc/haproxy/haproxy.cfg && systemctl start haproxy");
    on("w2", &start).good("somebody's load balancer");
    let run = external(lab, endpoint, &["apply"]).run().expect(0);
    assert!(run.out.contains("4 of 4 nodes Ready"), "{}", run.out);
    let run = run.shows("10.77.0.22:8443 answers from 4 nodes");
    lab.is_whole(&HOSTS);
    lab.has_three_voting_members();
    for host in CONTROL_PLANES {
        let said = on(host, "dpkg -l keepalived haproxy 2>/dev/null | grep -c ^ii");
        assert_eq!(said.out.trim(), "0", "{host} has no load balancer");
        let said = on(host, &format!("ip -o addr show | grep -F ' {VIP}/'"));
        assert_eq!(said.out, "", "{host} carries no virtual address");
    }
    lab.keeps_secrets(&run);
    let again = external(lab, endpoint, &["apply"]).run().expect(0);
    assert_eq!(again.journal.steps("changed"), Vec::new());
    one_exec_each(&again.journal);
    external(lab, endpoint, &["plan"]).run().expect(0);

    // A drill takes an API server behind it away; nothing of the load balancer's own can be taken by this program.
    let drill = |words: &[&str]| {
        let all = [&["drill", "failover", "--yes", "--for", "5"][..], words].concat();
        external(lab, endpoint, &all).run()
    };
    let run = drill(&["--target", "cp2", "--by", "kill-api"]).expect(0);
    assert!(run.out.contains(" requests failed"), "{}", run.out);
    lab.is_whole(&HOSTS);

    // It goes away: told by everybody who asks it, and mended by nobody here.
    on("w2", "systemctl stop haproxy").good("it is away");
    let status = external(lab, endpoint, &["status"]).run().expect(1);
    status.shows("does not answer from cp1 (connection refused)");
    // Nothing of it is this program's to change, and yet the exit code is not that of a cluster that serves.
    let apply = external(lab, endpoint, &["apply"]).run().expect(1);
    apply.shows("degraded").shows("does not answer from");
    on("w2", "systemctl start haproxy").good("it is back");
    poll(
        "the endpoint answers again",
        Duration::from_secs(30),
        || {
            let run = external(lab, endpoint, &["status"]).run();
            (run.code == Some(0)).then_some(())
        },
    );
}

/// keepalived and haproxy on hosts that are no control planes: a worker, and a host outside the cluster.
pub(crate) fn of_their_own(lab: &Lab) {
    lab.bare();
    lab.lab(&["add", "w2"]);
    let hosts = lab.inventory().join("hosts.yml");
    let text = fs::read_to_string(&hosts).unwrap();
    let more = "    load_balancer:\n      hosts:\n        w1:\n        w2:\n          ansible_host: 10.77.0.22\n";
    fs::write(&hosts, format!("{text}{more}")).unwrap();

    let run = lab.quorate(&["apply"]).run().expect(0);
    assert!(run.out.contains("4 of 4 nodes Ready"), "{}", run.out);
    lab.is_whole(&HOSTS);
    lab.has_three_voting_members();
    for host in CONTROL_PLANES {
        let said = on(host, "dpkg -l keepalived haproxy 2>/dev/null | grep -c ^ii");
        assert_eq!(said.out.trim(), "0", "{host} has no load balancer");
    }
    on("w2", "! command -v kubelet").good("a load balancer alone is no node");
    let holders = || -> Vec<&str> {
        let holds = |host: &&str| {
            on(host, &format!("ip -o addr show | grep -qF ' {VIP}/'")).code == Some(0)
        };
        ["w1", "w2"].into_iter().filter(holds).collect()
    };
    assert_eq!(holders().len(), 1, "one of the two holds the VIP");
    let again = lab.quorate(&["apply"]).run().expect(0);
    assert_eq!(again.journal.steps("changed"), Vec::new());
    one_exec_each(&again.journal);
    // The holder's keepalived ends: the other takes over, and apply mends what ended.
    let holder = holders()[0];
    on(holder, "systemctl stop keepalived").good("the holder's keepalived ends");
    poll(
        "the other one holds the VIP",
        Duration::from_secs(15),
        || {
            let now = holders();
            (now.len() == 1 && now[0] != holder).then_some(())
        },
    );
    lab.kubectl(&["get", "--raw", "/readyz"])
        .good("the API at the VIP");
    let run = lab.quorate(&["apply"]).run().expect(0);
    assert!(run.journal.changed_hosts().iter().eq([holder]));
    lab.quorate(&["plan"]).run().expect(0);
}
