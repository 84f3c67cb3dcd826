//! kube-vip by ARP and by BGP, on bare hosts of its own. Without an archive of its image in the lab's files it is skipped, and
//! says so; `make lab-long` says so once more at its end.

use std::time::{Duration, Instant};

use crate::cluster::{digest, holders, one_exec_each};
use crate::driver::{CONTROL_PLANES, HOSTS, Invocation, Lab, VIP, command, on, poll, root};

const MANIFEST: &str = "/etc/kubernetes/manifests/kube-vip.yaml";
const KUBECONFIG: &str = "/etc/kubernetes/kube-vip.conf";
/// A lease of 5 s and a start of the pod; a machine under load takes longer.
const MOVED: Duration = Duration::from_secs(60);
/// Two failed checks a second apart, and BGP's own way; 1.8 to 3.0 s by hand.
const WITHDRAWN: Duration = Duration::from_secs(10);

/// Whether the lab has an archive of the image.
pub(crate) fn has_image() -> bool {
    let folder = root().join("vagrant/.lab/files/images");
    let there = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let found = there
        .filter_map(|e| e.file_name().into_string().ok())
        .any(|name| name.starts_with("kube-vip-"));
    if !found {
        eprintln!("    skipped: no kube-vip image");
    }
    found
}

/// The program with one of the two ways and more variables.
pub(crate) fn by(lab: &Lab, way: &str, variables: &[&str], words: &[&str]) -> Invocation {
    let way = format!("load_balancer={way}");
    let call = lab.quorate(words).arg("-e").arg(way);
    variables.iter().fold(call, |c, v| c.arg("-e").arg(v))
}

fn kubeconfig_of(host: &str) -> String {
    let script = format!("sed -n '/hostPath:/{{n;s/.*path: //p;q}}' {MANIFEST}");
    on(host, &script).good("the manifest").trim().to_string()
}

/// Bare hosts to a cluster, and nothing more to do.
fn bootstrap(lab: &Lab, way: &str, variables: &[&str]) {
    lab.bare();
    let run = by(lab, way, variables, &["apply"]).run().expect(0);
    assert!(run.out.contains("4 of 4 nodes Ready"), "{}", run.out);
    lab.is_whole(&HOSTS);
    lab.has_three_voting_members();
    for host in CONTROL_PLANES {
        let names = on(host, "ls -A /etc/kubernetes/manifests | paste -sd' ' -").good("manifests");
        assert_eq!(
            names.trim(),
            "etcd.yaml kube-apiserver.yaml kube-controller-manager.yaml kube-scheduler.yaml kube-vip.yaml"
        );
        let mode = on(host, &format!("stat -c %a {MANIFEST}")).good("a mode");
        assert_eq!(mode.trim(), "600", "{host}");
    }
    let worker = on("w1", "ctr -n k8s.io images ls -q | grep kube-vip");
    assert_eq!(worker.out, "", "a worker has no image of it");
    lab.keeps_secrets(&run);
    nothing_is_left_to_do(lab, way, variables);
}

fn nothing_is_left_to_do(lab: &Lab, way: &str, variables: &[&str]) {
    let again = by(lab, way, variables, &["apply"]).run().expect(0);
    assert_eq!(again.journal.steps("changed"), Vec::new());
    one_exec_each(&again.journal);
    let plan = by(lab, way, variables, &["plan"]).run().expect(0);
    assert_eq!(plan.journal.planned(), Vec::new());
}

/// `kubectl` as kube-vip on a host.
fn may(host: &str, what: &str) -> bool {
    let script = format!(
        "kubectl --kubeconfig {KUBECONFIG} --server https://{} auth can-i {what}",
        address(host)
    );
    on(host, &script).out.trim() == "yes"
}

fn address(host: &str) -> String {
    on(
        host,
        "ip -o -4 addr show eth0 | awk '{ split($4, a, \"/\"); print a[1]; exit }'",
    )
    .good("an address")
    .trim()
    .to_string()
        + ":6443"
}

/// By ARP: one holder; a kubeconfig of its own with few rights, signed again where it is lost.
pub(crate) fn arp(lab: &Lab) {
    if !has_image() {
        return;
    }
    let way = "kube-vip-arp";
    bootstrap(lab, way, &[]);
    assert_eq!(holders(), 1, "the VIP is on exactly one host");
    for host in CONTROL_PLANES {
        assert_eq!(kubeconfig_of(host), KUBECONFIG, "{host}");
        let mode = on(host, &format!("stat -c %a {KUBECONFIG}")).good("a mode");
        assert_eq!(mode.trim(), "600", "{host}");
        let lease = "lease.coordination.k8s.io/plndr-cp-lock -n kube-system";
        assert!(may(host, &format!("update {lease}")), "{host}");
        for more in [
            "get secrets -A",
            "update lease.coordination.k8s.io/other -n kube-system",
            "list nodes",
            "get pods -n kube-system",
        ] {
            assert!(!may(host, more), "kube-vip on {host} may {more}");
        }
    }
    let status = by(lab, way, &[], &["status"]).run().expect(0);
    let lines = status.out.lines();
    let shown =
        lines.filter(|l| l.contains("kube-vip running") && l.contains("kube-vip's certificate 36"));
    assert_eq!(shown.count(), 3, "{}", status.out);

    // Lost on one host: foretold, signed there again, and its pod alone is new.
    let before = CONTROL_PLANES.map(|h| digest(h, KUBECONFIG));
    on("cp3", &format!("rm {KUBECONFIG}")).good("the kubeconfig is lost");
    by(lab, way, &[], &["plan"])
        .run()
        .expect(2)
        .shows("sign a kubeconfig for the load balancer");
    let run = by(lab, way, &[], &["apply"]).run().expect(0);
    assert!(
        run.journal.changed_hosts().iter().eq(["cp3"]),
        "{:?}",
        run.journal.changed_hosts()
    );
    let after = CONTROL_PLANES.map(|h| digest(h, KUBECONFIG));
    assert_eq!(before[..2], after[..2]);
    assert!(after[2].len() == 64 && before[2] != after[2]);
    poll("one holder again", MOVED, || (holders() == 1).then_some(()));
    nothing_is_left_to_do(lab, way, &[]);

    // The manifest edited by hand: named and mended.
    let whole = digest("cp2", MANIFEST);
    on(
        "cp2",
        &format!("sed -i 's/plndr-cp-lock/other-lock/' {MANIFEST}"),
    )
    .good("an edit");
    by(lab, way, &[], &["plan", "--diff"])
        .run()
        .expect(2)
        .shows("other-lock");
    by(lab, way, &[], &["apply"]).run().expect(0);
    assert_eq!(digest("cp2", MANIFEST), whole);
    poll("one holder again", MOVED, || (holders() == 1).then_some(()));
    one_that_cannot_start_costs_one_host(lab, way);
    // Its kubeconfig given up: the file and its key go, once nothing names it any more.
    let admin = ["kube_vip_kubeconfig=admin"];
    by(lab, way, &admin, &["apply"]).run().expect(0);
    for host in CONTROL_PLANES {
        assert_eq!(digest(host, KUBECONFIG), "", "{host}");
    }
    nothing_is_left_to_do(lab, way, &admin);
    lab.bare();
}

/// A pod that ends at once, and is begun again and again: it costs one host, which is not the address's.
fn one_that_cannot_start_costs_one_host(lab: &Lab, way: &str) {
    let holder =
        |host: &&str| on(host, &format!("ip -o addr show | grep -qF ' {VIP}/'")).code == Some(0);
    let holder = CONTROL_PLANES.into_iter().find(holder).expect("a holder");
    lab.quorate(&["roles", "eject", "kube_vip"]).run().expect(0);
    let role = lab.inventory().join("roles/kube_vip");
    let template = role.join("templates/kube-vip.yaml.tera");
    let text = std::fs::read_to_string(&template).expect("the template");
    let worse = text.replace("- manager", "- managr");
    assert_ne!(text, worse);
    std::fs::write(&template, worse).expect("a worse one");
    let first = by(lab, way, &[], &["apply"]).run();
    let second = by(lab, way, &[], &["apply"]).run();
    std::fs::remove_dir_all(role).expect("the built-in role counts again");
    let first = first
        .expect(1)
        .shows("does not stay up")
        .shows("unknown command \"managr\"");
    let changed = first.journal.changed_hosts();
    assert_eq!(changed.len(), 1, "{changed:?}");
    assert!(!changed.contains(holder), "who has the address is the last");
    let second = second
        .expect(1)
        .shows("while one load balancer is down no other is touched");
    assert_eq!(second.journal.steps("changed"), Vec::new());
    let run = by(lab, way, &[], &["apply"]).run().expect(0);
    assert_eq!(run.journal.changed_hosts(), changed);
    poll("one holder", MOVED, || (holders() == 1).then_some(()));
}

/// By ARP with admin.conf: the switch from super-admin.conf, and no kubeconfig of its own.
pub(crate) fn arp_with_admin_conf(lab: &Lab) {
    if !has_image() {
        return;
    }
    let variables = ["kube_vip_kubeconfig=admin", "load_balancer_profile=seed"];
    bootstrap(lab, "kube-vip-arp", &variables);
    assert_eq!(holders(), 1, "the VIP is on exactly one host");
    for host in CONTROL_PLANES {
        assert_eq!(kubeconfig_of(host), "/etc/kubernetes/admin.conf", "{host}");
        assert_eq!(digest(host, KUBECONFIG), "", "{host}");
    }
    lab.bare();
}

/// The nodes that the router sends packets for the VIP to.
fn announced() -> Vec<String> {
    let script = format!("ip route show {VIP} | grep -oE 'via [0-9.]+' | cut -d' ' -f2 | sort");
    let said = on("rt1", &script).good("the router's routes");
    said.lines().map(str::to_string).collect()
}

/// A wrong AS number from the beginning: told by its peer after init, and by each run after that; nobody joins.
fn nobody_joins_over_a_wrong_number(lab: &Lab, way: &str) {
    lab.bare();
    let other = ["{\"bgp_peers\": [\"10.77.0.2:65009::false\"]}"];
    let told = "10.77.0.2 (AS 65009) stands: 10.77.0.2 refuses an AS number";
    by(lab, way, &other, &["apply"]).run().expect(1).shows(told);
    let again = by(lab, way, &other, &["apply"]).run().expect(5);
    let again = again
        .shows("nobody has learnt the way to the cluster's address")
        .shows("not agreed with 10.77.0.2 on an AS number");
    assert_eq!(again.journal.steps("changed"), Vec::new());
    for host in ["cp2", "cp3", "w1"] {
        let traces = on(host, "ls /etc/kubernetes/kubelet.conf 2>/dev/null").out;
        assert_eq!(traces, "", "{host} has not begun to join");
    }
    // With the right one the run goes on from there.
    by(lab, way, &[], &["apply"]).run().expect(0);
    lab.is_whole(&HOSTS);
}

/// By BGP: every control plane announces, and one whose API server is dead does not.
pub(crate) fn bgp(lab: &Lab) {
    if !has_image() {
        return;
    }
    let way = "kube-vip-bgp";
    lab.lab(&["router"]);
    nobody_joins_over_a_wrong_number(lab, way);
    bootstrap(lab, way, &[]);
    assert_eq!(holders(), 3, "the VIP is on lo of every control plane");
    let all = ["10.77.0.11", "10.77.0.12", "10.77.0.13"];
    poll("all announce", MOVED, || (announced() == all).then_some(()));
    for host in CONTROL_PLANES {
        let text = on(host, &format!("cat {KUBECONFIG}")).good("a kubeconfig");
        assert!(
            !text.contains("client-"),
            "{host}: without Services it has no rights"
        );
    }
    let run = by(lab, way, &[], &["status"]).run().expect(0);
    assert!(run.out.contains(&format!("{VIP} on 3 of 3")), "{}", run.out);

    // The API server's process of one node frozen: the node lives, and is announced no more.
    on("cp3", "pkill -STOP -x kube-apiserver").good("cp3's API server stands still");
    let start = Instant::now();
    poll("cp3 is withdrawn", WITHDRAWN, || {
        (announced() == all[..2]).then_some(())
    });
    eprintln!("    withdrawn after {:.1} s", start.elapsed().as_secs_f64());
    on("cp3", "pkill -CONT -x kube-apiserver").good("it goes on");
    poll("cp3 is back", Duration::from_secs(120), || {
        (announced() == all).then_some(())
    });
    lab.is_whole(&HOSTS);

    // A peer of another AS: the first host's turn ends the change, and the others go on announcing.
    let other = ["{\"bgp_peers\": [\"10.77.0.2:65009::false\"]}"];
    let run = by(lab, way, &other, &["apply"]).run().expect(1);
    let run = run
        .shows("no BGP session of cp")
        .shows("with 10.77.0.2 (AS 65009) stands: 10.77.0.2 refuses an AS number");
    assert_eq!(
        run.journal.changed_hosts().len(),
        1,
        "one host after the other"
    );
    assert_eq!(announced().len(), 2, "the others announce");
    // The same once more, and a plan of it: nobody else is touched.
    let plan = by(lab, way, &other, &["plan"]).run().expect(2);
    plan.shows("apply changes it only when cp")
        .shows("not agreed with 10.77.0.2 on an AS number");
    let again = by(lab, way, &other, &["apply"]).run().expect(1);
    let again = again.shows("while one load balancer is down no other is touched");
    assert_eq!(again.journal.steps("changed"), Vec::new());
    assert_eq!(announced().len(), 2, "the others announce");
    by(lab, way, &other, &["status"])
        .run()
        .expect(1)
        .shows("not agreed with 10.77.0.2 on an AS number");
    by(lab, way, &[], &["apply"]).run().expect(0);
    poll("all announce again", Duration::from_secs(120), || {
        (announced() == all).then_some(())
    });
    let _ = command(
        60,
        [
            root().join("vagrant/lab").as_os_str(),
            "router".as_ref(),
            "off".as_ref(),
        ],
    );
    lab.bare();
}
