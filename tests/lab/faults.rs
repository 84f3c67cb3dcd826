//! What goes wrong with a load balancer on a live cluster or before one: seen, named, cured.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::cluster::{digest, holders};
use crate::drill::holder;
use crate::driver::{
    CONTROL_PLANES, HOSTS, Lab, Run, VIP, cut_off, is_back, on, on_for, on_until, poll, root,
};
use crate::kube_vip::{by, has_image};
use crate::moves::{ARP, PODS, SERVICES, nothing_is_left};

const BGP: &str = "kube-vip-bgp";

/// keepalived killed with SIGKILL leaves its address behind, and the next one takes it too.
pub(crate) fn killed_keepalived(lab: &Lab) {
    lab.converged();
    let holder = holder();
    on(holder, "systemctl kill -s KILL keepalived").good("keepalived is killed");
    poll("two hosts have the VIP", Duration::from_secs(20), || {
        (holders() == 2).then_some(())
    });
    let status = lab.quorate(&["status"]).run().expect(1);
    status
        .shows(&format!("{VIP} on 2 hosts"))
        .shows(&format!("{holder}: keepalived failed"));
    let plan = lab.quorate(&["plan"]).run().expect(2);
    assert!(
        plan.journal
            .planned()
            .iter()
            .all(|(host, _)| host == holder)
    );
    lab.quorate(&["apply"]).run().expect(0);
    poll("one holder", Duration::from_secs(10), || {
        (holders() == 1).then_some(())
    });
    lab.plan_is_empty();

    // Put there by hand, it is nobody's to take away: told, and never called well.
    let holder = crate::drill::holder();
    let other = CONTROL_PLANES.iter().find(|h| **h != holder).unwrap();
    let address = |verb: &str| {
        on(other, &format!("ip address {verb} {VIP}/32 dev lo")).good("an address");
    };
    address("add");
    let said = lab.quorate(&["plan"]).run().expect(1);
    said.shows("apply would fail: the virtual address is on 2 hosts")
        .shows("ip address del");
    lab.quorate(&["apply"])
        .run()
        .expect(1)
        .shows("ip address del");
    address("del");
    lab.plan_is_empty();
}

/// In the middle of the second control plane's join the address moves away from the first one, which serves on.
pub(crate) fn address_moves_in_a_join(lab: &Lab) {
    let (ca, run) = in_a_join(lab, || {
        let from = holder();
        on(from, "systemctl stop keepalived").good("keepalived stops");
        poll("another holder", Duration::from_secs(20), || {
            (holder() != from).then_some(())
        });
    });
    let joined = "cluster : kubeadm join".to_string();
    for host in ["cp2", "cp3", "w1"] {
        let step = (host.to_string(), joined.clone());
        assert!(run.journal.steps("changed").contains(&step), "{host}");
    }
    // What was stopped by hand is started again: by this run where it had work there still, else by the next.
    lab.quorate(&["apply"]).run().expect(0);
    lab.is_good(&ca);
}

/// For three quarters of a minute the second control plane hears none of the others, just as it becomes a member of etcd.
pub(crate) fn partition_in_a_join(lab: &Lab) {
    const TABLE: &str = "ip partition";
    let (ca, _) = in_a_join(lab, || {
        let others = "{ 10.77.0.11, 10.77.0.13, 10.77.0.21, 10.77.0.100 }";
        let chains = format!(
            "chain in {{ type filter hook input priority -500; ip saddr {others} drop; }}
             chain out {{ type filter hook output priority -500; ip daddr {others} drop; }}"
        );
        cut_off("cp2", 45, TABLE, &chains);
    });
    is_back("cp2", TABLE);
    poll("a run goes on", Duration::from_secs(240), || {
        let run = lab.quorate(&["apply"]).run();
        (run.code == Some(0)).then_some(())
    });
    lab.is_good(&ca);
}

/// Returns the cluster's CA, and how the run ended in which something happened while cp2 was about to be a member of etcd.
fn in_a_join(lab: &Lab, happens: impl FnOnce()) -> (String, Run) {
    lab.bare();
    let mut running = lab.quorate(&["apply"]).start();
    let joins = "[ -e /etc/kubernetes/bootstrap-kubelet.conf ] || [ -e /etc/kubernetes/manifests/etcd.yaml ]";
    on_until("cp2", "a join", 240, joins);
    assert!(running.is_running(), "the run ended before a join was seen");
    let ca = digest("cp1", "/etc/kubernetes/pki/ca.crt");
    happens();
    let run = running.end();
    eprintln!("    the run ended with {:?}", run.code);
    (ca, run)
}

/// An interface that is not there, and one that is down: named, before anything is done on that host.
pub(crate) fn interfaces(lab: &Lab) {
    lab.bare();
    let folder = lab.inventory().join("host_vars");
    let file = folder.join("cp2.yml");
    fs::create_dir_all(&folder).unwrap();
    fs::write(&file, "interface: quorate9\n").unwrap();
    let run = lab.quorate(&["apply"]).run().expect(1);
    let run = run.shows("`cp2` has no interface `quorate9` with an address");
    assert!(!run.journal.has_act("init"));
    assert!(
        run.journal
            .steps("changed")
            .iter()
            .all(|(host, _)| host != "cp2")
    );
    on(
        "cp2",
        "ip link add quorate9 type bridge && ip address add 10.77.0.212/24 dev quorate9 noprefixroute",
    )
    .good("an interface that is down");
    let plan = lab.quorate(&["plan"]).run().expect(1);
    plan.shows("quorate9 on `cp2`, which `apiserver_vip` 10.77.0.100 is to be on, is down");
    fs::remove_file(&file).unwrap();
    on("cp2", "ip link delete quorate9").good("it is gone");
    lab.quorate(&["plan"]).run().expect(2);
}

/// The files lack kube-vip's image: said before anybody is contacted.
pub(crate) fn image_missing(lab: &Lab) {
    let files = lab.file("files/README", "no images").with_file_name("");
    let there = root().join("vagrant/.lab/files");
    let _ = fs::remove_dir_all(files.join("images"));
    fs::create_dir_all(files.join("images")).unwrap();
    let link = |from: &Path, to: &Path, left_out: &str| {
        for entry in fs::read_dir(from).unwrap().flatten() {
            let link = to.join(entry.file_name());
            if !entry.file_name().to_string_lossy().starts_with(left_out) {
                let _ = fs::remove_file(&link);
                std::os::unix::fs::symlink(fs::canonicalize(entry.path()).unwrap(), link).unwrap();
            }
        }
    };
    link(&there, &files, "images");
    link(&there.join("images"), &files.join("images"), "kube-vip");
    let folder = format!("kubernetes_files={}", files.display());
    for words in [&["plan"][..], &["apply"]] {
        let run = by(lab, ARP, &[&folder], words).run().expect(4);
        let run = run.shows("holds the image ghcr.io/kube-vip/kube-vip:");
        assert!(!run.journal.has_act("probe"), "nobody is contacted");
    }
}

const SUPER_ADMIN: &str = "/etc/kubernetes/super-admin.conf";
const POD: &str = "/etc/kubernetes/manifests/kube-vip.yaml";

/// kube-vip without the kubeconfig that it begins with. Lost in the middle of init, kubeadm makes it anew; locked away afterwards,
/// as kubeadm advises, nobody asks for it; and a manifest that asks for it still is seen and put right.
pub(crate) fn without_super_admin_conf(lab: &Lab) {
    if !has_image() {
        return;
    }
    lab.bare();
    let variables = ["kube_vip_kubeconfig=admin"];
    let quorate = |words: &[&str]| by(lab, ARP, &variables, words);
    let mut running = quorate(&["apply"]).start();
    let api_up = "[ \"$(curl -sk --max-time 1 https://10.77.0.11:6443/livez)\" = ok ]";
    let killed = format!("{api_up} && systemctl kill -s KILL quorate-kubeadm.service");
    on_until("cp1", "the API server", 240, &killed);
    assert!(running.is_running(), "init was over before it was killed");
    running.kill();
    let ca = digest("cp1", "/etc/kubernetes/pki/ca.crt");
    // What its pod finds when it starts anew.
    on(
        "cp1",
        &format!("grep -q {SUPER_ADMIN} {POD} && rm {SUPER_ADMIN} && pkill -KILL -x kube-vip"),
    )
    .good("super-admin.conf is lost");
    quorate(&["apply"]).run().expect(0);
    lab.is_whole(&HOSTS);
    assert_eq!(digest("cp1", "/etc/kubernetes/pki/ca.crt"), ca);
    assert_eq!(holders(), 1);

    let kept = format!("{SUPER_ADMIN}.kept");
    on("cp1", &format!("mv {SUPER_ADMIN} {kept}")).good("it is locked away");
    let plan = quorate(&["plan"]).run().expect(0);
    assert_eq!(plan.journal.planned(), Vec::new());

    on(
        "cp1",
        &format!("sed -i 's,/etc/kubernetes/admin.conf$,{SUPER_ADMIN},' {POD}"),
    )
    .good("a manifest that was never switched");
    poll(
        "kube-vip on cp1 has nothing to ask with",
        Duration::from_secs(90),
        || {
            let status = quorate(&["status"]).run();
            let told = format!("{}{}", status.out, status.err).contains("kube-vip not running");
            (status.code == Some(1) && told).then_some(())
        },
    );
    quorate(&["plan", "--diff"])
        .run()
        .expect(2)
        .shows(SUPER_ADMIN);
    let run = quorate(&["apply"]).run().expect(0);
    assert!(run.journal.changed_hosts().iter().eq(["cp1"]));
    poll("one holder again", Duration::from_secs(60), || {
        (holders() == 1).then_some(())
    });
    on("cp1", &format!("test ! -e {SUPER_ADMIN}")).good("nothing stands in its place");
    quorate(&["plan"]).run().expect(0);
    lab.bare();
}

/// `kubeadm reset` on all hosts, by hand: it knows nothing of services, nor of who has the address.
fn reset() {
    for host in HOSTS.iter().rev() {
        on_for(
            180,
            host,
            "kubeadm reset -f >/tmp/reset.log 2>&1 || { tail /tmp/reset.log >&2; exit 1; }; rm /var/lib/quorate/kubeadm",
        )
        .good("kubeadm reset");
    }
}

/// The same hosts carry a cluster by one way after another: nothing of the way before stays.
pub(crate) fn reset_between_the_ways(lab: &Lab) {
    lab.bootstrapped();
    let ways: &[&str] = if has_image() {
        &[PODS, ARP, BGP, SERVICES]
    } else {
        &[PODS, SERVICES]
    };
    for way in ways {
        eprintln!("    === kubeadm reset, then {way}");
        reset();
        if *way == BGP {
            lab.lab(&["router"]);
        }
        let run = by(lab, way, &[], &["apply"]).run().expect(0);
        assert!(run.out.contains("4 of 4 nodes Ready"), "{}", run.out);
        lab.is_whole(&HOSTS);
        lab.has_three_voting_members();
        let wanted = if *way == BGP { 3 } else { 1 };
        poll(
            "the VIP is where it belongs",
            Duration::from_secs(30),
            || (holders() == wanted).then_some(()),
        );
        if *way == BGP {
            for host in CONTROL_PLANES {
                on(
                    host,
                    "! systemctl is-active -q keepalived && ! systemctl is-active -q haproxy && ! test -e /etc/keepalived/check_apiserver.sh",
                )
                .good("nothing of keepalived");
            }
        } else {
            nothing_is_left(lab, way, false);
        }
        let again = by(lab, way, &[], &["apply"]).run().expect(0);
        assert_eq!(again.journal.steps("changed"), Vec::new(), "{way}");
        if *way == BGP {
            lab.lab(&["router", "off"]);
        }
    }
}
