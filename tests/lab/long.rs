//! `make lab-long`: stories that need bare hosts of their own.

use std::time::Duration;

use crate::cluster::digest;
use crate::driver::{CONTROL_PLANES, Lab, VIP, command, on, on_for, on_until, poll};
use crate::moves::PODS;

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

/// Something else listens on the API server's port: that is told with its holder before anything is changed; mended, the next
/// run goes on.
#[test]
fn a_taken_port_stops_init() {
    let lab = Lab::take("6443 is taken");
    lab.bare();
    on(
        "cp1",
        "systemd-run -q --unit=squatter systemd-socket-activate --accept -l 6443 /bin/cat",
    )
    .good("a listener");
    let plan = lab.quorate(&["plan"]).run().expect(1).shows("Port-6443");
    assert!(plan.shown().contains("systemd-socket"), "{}", plan.shown());
    let run = lab.quorate(&["apply"]).run().expect(1).shows("Port-6443");
    assert!(!run.journal.has_act("prepare"), "nothing was begun");
    on("cp1", "systemctl stop squatter").good("the port is free");
    lab.quorate(&["apply"]).run().expect(0);
    let ca = digest("cp1", "/etc/kubernetes/pki/ca.crt");
    lab.is_good(&ca);
}

/// The address that is to become the cluster's is somebody else's, or on a host that has no load balancer: refused before
/// anything is changed.
#[test]
fn a_taken_vip_stops_everything() {
    let lab = Lab::take("somebody has the VIP");
    lab.bare();
    // This machine's end of the lab's network answers for it: no host of the inventory.
    let bridge = command(
        10,
        [
            "sh",
            "-c",
            "ip -o route get 10.77.0.11 | sed 's/.* dev \\([^ ]*\\).*/\\1/'",
        ],
    )
    .good("the lab's network is on an interface of this machine");
    let (bridge, address) = (bridge.trim(), format!("{VIP}/32"));
    command(10, ["ip", "address", "add", &address, "dev", bridge]).good("the VIP is taken");
    let link = std::fs::read_to_string(format!("/sys/class/net/{bridge}/address"));
    let plan = lab.quorate(&["plan"]).run();
    let apply = lab.quorate(&["apply"]).run();
    command(10, ["ip", "address", "del", &address, "dev", bridge]).good("the VIP is free");
    let link = link.expect("the interface has a link-layer address");
    plan.expect(5).shows(link.trim());
    let run = apply.expect(5).shows(link.trim());
    assert!(!run.journal.has_act("prepare"), "nothing was begun");

    on("w1", &format!("ip address add {address} dev eth0")).good("the VIP is on the worker");
    lab.quorate(&["apply"])
        .run()
        .expect(5)
        .shows("w1 carries apiserver_vip");
    on("w1", &format!("ip address del {address} dev eth0")).good("the VIP is free");
    lab.quorate(&["plan"]).run().expect(2);
}

/// Somebody else's VRRP group has our number: nothing of ours starts beside it.
#[test]
fn another_vrrp_group_has_our_number() {
    let lab = Lab::take("another VRRP group has our number");
    lab.bare();
    let config = "vrrp_instance other {\n interface eth0\n virtual_router_id 77\n priority 100\n advert_int 1\n virtual_ipaddress { 10.77.0.99/32 }\n}\n";
    on_for(120, "w1", "apt-get update -q >/dev/null && apt-get install -qy --no-install-recommends keepalived >/dev/null && systemctl disable -q --now keepalived")
        .good("keepalived is on w1");
    on(
        "w1",
        &format!("printf '{config}' >/run/other.conf && systemd-run -q --unit other-vrrp keepalived -n -f /run/other.conf -p /run/other.pid -r /run/other-vrrp.pid"),
    )
    .good("another group is at work");
    let run = lab
        .quorate(&["apply", "-e", "router_id=77"])
        .run()
        .expect(1)
        .shows(
            "another VRRP group on eth0 has the number 77 too: its adverts come from 10.77.0.21",
        );
    assert!(!run.journal.has_act("init"), "no init beside it");
    for host in CONTROL_PLANES {
        on(host, "! systemctl is-active -q keepalived").good("keepalived has not started");
    }
    on("w1", "systemctl stop other-vrrp").good("the other group is gone");
    lab.quorate(&["apply", "-e", "router_id=77"])
        .run()
        .expect(0);
    on("cp1", "! nft list table ip quorate_vrrp").good("nothing listens any more");
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
    for host in ["cp1", "cp2", "cp3", "w1"] {
        on_until(host, "sshd", 60, "[ -n \"$(ss -ltnH 'sport = :22')\" ]");
    }
    // The API servers are not there yet: it waits for one.
    let run = lab.quorate(&["apply"]).run().expect(0);
    let run = run.shows("wait for an API server");
    assert!(run.out.contains("4 of 4 nodes Ready"), "{}", run.shown());
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

/// The load balancer as static pods, by the document's own manifests.
#[test]
fn static_pods_of_the_document() {
    crate::pods::seed(&Lab::take("static pods, profile seed"));
}

/// kube-vip by ARP: a holder, and a kubeconfig of its own.
#[test]
fn kube_vip_by_arp() {
    crate::kube_vip::arp(&Lab::take("kube-vip by ARP"));
}

/// The same with admin.conf and the document's own times.
#[test]
fn kube_vip_by_arp_with_admin_conf() {
    crate::kube_vip::arp_with_admin_conf(&Lab::take("kube-vip by ARP, with admin.conf"));
}

/// kube-vip by BGP, with a router of Debian's.
#[test]
fn kube_vip_by_bgp() {
    crate::kube_vip::bgp(&Lab::take("kube-vip by BGP"));
}

#[test]
fn an_external_load_balancer() {
    crate::balancers::somebody_elses(&Lab::take("somebody else's load balancer"));
}

#[test]
fn load_balancers_of_their_own() {
    crate::balancers::of_their_own(&Lab::take("load balancers on hosts of their own"));
}

/// Every core and the disk of each control plane busy for ten minutes: the VIP stays where it is.
#[test]
fn a_busy_host_keeps_the_vip() {
    let lab = Lab::take("no failover without a failure, under load");
    lab.converged();
    the_vip_stays();
}

/// The same with static pods.
#[test]
fn busy_static_pods_keep_the_vip() {
    let lab = Lab::take("no failover without a failure, under load, with static pods");
    lab.converged();
    let pods = |word| {
        lab.quorate(&[word])
            .arg("-e")
            .arg(format!("load_balancer={PODS}"))
    };
    pods("apply").run().expect(0);
    the_vip_stays();
    lab.quorate(&["apply"]).run().expect(0);
}

fn the_vip_stays() {
    const SECONDS: u32 = 600;
    for host in CONTROL_PLANES {
        let load = format!(
            "(timeout {} ip monitor address >/run/vip.log 2>&1 &)
             for n in $(seq $(nproc)); do systemd-run -q --unit load-cpu-$n --property RuntimeMaxSec={SECONDS} sh -c 'while :; do :; done'; done
             systemd-run -q --unit load-disk --property RuntimeMaxSec={SECONDS} sh -c 'while :; do dd if=/dev/zero of=/var/tmp/load bs=1M count=64 conv=fsync; done'",
            SECONDS + 5
        );
        on(host, &load).good("the host is busy");
    }
    on_for(SECONDS + 30, "cp1", &format!("sleep {SECONDS}")).good("ten minutes");
    for host in CONTROL_PLANES {
        let moved = on(host, &format!("grep -cF ' {VIP}/' /run/vip.log"));
        on(host, "systemctl stop 'load-*'; rm -f /var/tmp/load").good("the load ends");
        assert_eq!(moved.out.trim(), "0", "the VIP came to or left {host}");
    }
}

/// A live cluster goes through the ways of the load balancer.
#[test]
fn a_live_cluster_is_moved() {
    crate::moves::through_the_ways(&Lab::take("a live cluster is moved"));
}

/// The controller dies in the middle of a move.
#[test]
fn a_move_goes_on() {
    crate::moves::goes_on(&Lab::take("a move goes on"));
}

/// keepalived killed with SIGKILL: a stale address, found and cured.
#[test]
fn a_killed_keepalived() {
    crate::faults::killed_keepalived(&Lab::take("keepalived killed with SIGKILL"));
}

#[test]
fn an_address_that_moves_in_a_join() {
    crate::faults::address_moves_in_a_join(&Lab::take("the address moves in a join"));
}

#[test]
fn a_partition_in_a_join() {
    crate::faults::partition_in_a_join(&Lab::take("a partition in a join"));
}

#[test]
fn an_interface_absent_or_down() {
    crate::faults::interfaces(&Lab::take("an interface absent or down"));
}

#[test]
fn an_image_that_is_missing() {
    crate::faults::image_missing(&Lab::take("kube-vip's image is missing"));
}

/// kube-vip without super-admin.conf: in the middle of init, and for good.
#[test]
fn super_admin_conf_is_absent() {
    crate::faults::without_super_admin_conf(&Lab::take("super-admin.conf is absent"));
}

/// `kubeadm reset` on the same hosts, and a cluster by another way.
#[test]
fn another_way_after_a_reset() {
    crate::faults::reset_between_the_ways(&Lab::take("another way after a reset"));
}

/// kubeadm's own state and the hosts', changed by hand in more than twenty ways.
#[test]
fn drift_by_hand() {
    crate::drift::by_hand(&Lab::take("drift by hand"));
}

/// A flag across three control planes.
#[test]
fn drift_is_rolled_out() {
    crate::drift::rolled_out(&Lab::take("a flag is rolled out"));
}

/// A flag that no API server knows.
#[test]
fn drift_that_does_not_come_up() {
    crate::drift::put_back(&Lab::take("a flag that does not exist"));
}

/// Plays of the user's own at every stage of a bootstrap, and behind it.
#[test]
fn plays_around_a_bootstrap() {
    crate::plays::around(&Lab::take("plays around a bootstrap"));
}

/// Manifests that the cluster has otherwise.
#[test]
fn drift_of_manifests() {
    crate::manifests::drift(&Lab::take("drift of manifests"));
}

/// Kubernetes and containerd from signed packages, images from a registry.
#[test]
fn kubernetes_from_packages() {
    crate::packages::and_a_registry(&Lab::take("Kubernetes from packages"));
}

/// firewalld and ufw, in service while the cluster is made.
#[test]
fn firewalls_in_service() {
    crate::firewall::in_service(&Lab::take("firewalls in service"));
}
