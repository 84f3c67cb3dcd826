//! `make test`: the whole story once, and what is cheap on the cluster that stands then. In the order of their names.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use crate::cluster::{digest, holders, incarnation, one_exec_each, snapshot, sshd_counts};
use crate::driver::{CONTROL_PLANES, HOSTS, Lab, Run, VIP, command, on, poll};
use crate::kill::{Point, kill_and_go_on, killed_at_each_moment};

const MINUTE: Duration = Duration::from_secs(60);

impl Lab {
    /// No token, certificate key or private key in what was said or kept.
    pub(crate) fn keeps_secrets(&self, run: &Run) {
        let said = format!("{}\n{}", run.shown(), run.journal.text);
        let mut secrets = vec!["PRIVATE KEY".to_string()];
        let ids = self.kubectl(&["-n", "kube-system", "get", "secrets", "-o", "jsonpath={range .items[?(@.type=='bootstrap.kubernetes.io/token')]}{.data.token-secret}{'\\n'}{end}"]).out;
        for encoded in ids.lines() {
            let decoded =
                command(5, ["sh", "-c", &format!("echo {encoded} | base64 -d")]).good("base64");
            assert_eq!(decoded.len(), 16, "a token's secret");
            secrets.push(decoded);
        }
        let admin = fs::read_to_string(self.kubeconfig()).expect("the kubeconfig");
        let key = admin
            .lines()
            .find_map(|l| l.trim().strip_prefix("client-key-data: "));
        secrets.push(key.expect("the admin's key")[..40].to_string());
        for secret in secrets {
            assert!(
                !said.contains(&secret),
                "a secret is shown or kept: {}…",
                &secret[..4]
            );
        }
        // A certificate key is 64 hex digits in a row, and so is nothing else that is worth showing.
        let hex = said
            .split(|c: char| !c.is_ascii_hexdigit())
            .find(|w| w.len() == 64);
        assert_eq!(hex, None, "64 hex digits: a certificate key?");
        let mode = fs::metadata(&run.journal.path)
            .expect("the journal")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "the journal's mode");
    }
}

/// a. Bare hosts to a cluster that works.
#[test]
fn a_bootstrap_from_bare() {
    let lab = Lab::take("bootstrap from bare");
    lab.bare();
    // Every command line on two hosts, while kubeadm runs there: sampled until the file goes.
    for host in ["cp1", "cp2"] {
        on(host, "touch /tmp/sample; (while [ -e /tmp/sample ]; do cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' ' >>/tmp/argv; sleep 0.3; done) >/dev/null 2>&1 &").good("the sampler");
    }
    let run = lab.quorate(&["apply"]).run().expect(0);
    assert!(run.out.contains("4 of 4 nodes Ready"), "{}", run.out);
    for host in HOSTS {
        let line = run
            .out
            .lines()
            .find(|l| l.starts_with(host) && l.contains(" : ok="));
        let line = line.unwrap_or_else(|| panic!("no recap line of {host}\n{}", run.out));
        assert!(
            line.contains("failed=0") && line.contains("1 session"),
            "{line}"
        );
    }
    assert!(
        run.out.contains("kubeadm") && run.out.contains("transfer"),
        "{}",
        run.out
    );
    eprintln!("    peak memory of the controller: {} MiB", run.peak / 1024);
    assert!(
        run.peak < 60 * 1024,
        "the controller took {} MiB",
        run.peak / 1024
    );
    assert_eq!(holders(), 1, "the VIP is on exactly one host");
    let mode = fs::metadata(lab.kubeconfig())
        .expect("the kubeconfig")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600, "the kubeconfig's mode");
    let config = fs::read_to_string(lab.kubeconfig()).unwrap();
    assert!(
        config.contains("vip.mycluster.local:8443") || config.contains(&format!("{VIP}:8443")),
        "the kubeconfig leads to the VIP"
    );
    assert_eq!(
        lab.kubectl(&["get", "--raw", "/readyz"])
            .good("the API at the VIP"),
        "ok"
    );
    lab.is_whole(&HOSTS);
    lab.has_three_voting_members();
    lab.pods_reach_services(&HOSTS);
    lab.keeps_secrets(&run);
    for host in ["cp1", "cp2"] {
        let argv = on(host, "rm /tmp/sample; cat /tmp/argv").good("sampled command lines");
        assert!(argv.contains("kubeadm "), "kubeadm was seen on {host}");
        let token = argv.split_whitespace().find(|w| is_token(w));
        assert_eq!(token, None, "a token in a command line of {host}");
        assert!(
            !argv.contains("--token") && !argv.contains("--certificate-key"),
            "{host}"
        );
    }
    let replay = lab.quorate(&["replay"]).arg(&run.journal.path).run();
    assert!(replay.out.contains("4 of 4 nodes Ready"), "{}", replay.out);
}

/// `[a-z0-9]{6}.[a-z0-9]{16}`
fn is_token(word: &str) -> bool {
    let plain = |w: &str| {
        w.chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
    };
    word.split_once('.').is_some_and(|(id, secret)| {
        id.len() == 6 && secret.len() == 16 && plain(id) && plain(secret)
    })
}

/// b. A converged cluster costs one connection and one exec per host, one control plane one more, and nothing is changed.
#[test]
fn b_a_second_apply_changes_nothing() {
    let lab = Lab::take("second apply");
    lab.converged();
    let before = HOSTS.map(sshd_counts);
    let run = lab.quorate(&["apply"]).run().expect(0);
    assert_eq!(run.journal.steps("changed"), Vec::new());
    let changed: Vec<&str> = run
        .out
        .lines()
        .filter(|l| l.contains(" : ok=") && !l.contains("changed=0"))
        .collect();
    assert_eq!(changed, Vec::<&str>::new());
    let asked = one_exec_each(&run.journal);
    for (host, (logins, sessions)) in HOSTS.iter().zip(before) {
        let more = usize::from(*host == asked);
        assert_eq!(
            sshd_counts(host),
            (logins + 1, sessions + 1 + more),
            "{host}'s own log: logins, sessions"
        );
    }
    let trees = HOSTS.map(snapshot);
    let run = lab.quorate(&["plan", "--diff"]).run().expect(0);
    assert_eq!(run.journal.planned(), Vec::new());
    for (host, tree) in HOSTS.iter().zip(trees) {
        assert_same(host, &tree, &snapshot(host));
    }
    eprintln!("    plan: {:.2} s, {} MiB", run.seconds, run.peak / 1024);
}

#[track_caller]
fn assert_same(host: &str, before: &str, after: &str) {
    let (old, new): (BTreeSet<&str>, BTreeSet<&str>) =
        (before.lines().collect(), after.lines().collect());
    let difference: Vec<&&str> = old.symmetric_difference(&new).collect();
    assert!(
        difference.is_empty(),
        "a plan changed {host}: {difference:#?}"
    );
}

/// c. Three drifts on three hosts: named, mended, and nothing else.
#[test]
fn c_three_drifts() {
    let lab = Lab::take("three drifts");
    lab.converged();
    on("cp1", "echo '# by hand' >>/etc/haproxy/haproxy.cfg").good("haproxy.cfg is edited");
    // systemd starts no unit more than five times in ten seconds, whoever asks (systemd.unit(5), StartLimitBurst=).
    let too_often = "for n in 1 2 3 4 5 6 7 8; do systemctl restart keepalived || break; done; [ \"$(systemctl show -p Result --value keepalived)\" = start-limit-hit ]";
    on("cp2", too_often).good("keepalived is started too often, and does not run");
    on("cp3", "echo 0 >/proc/sys/net/ipv4/ip_forward").good("a sysctl is changed");
    let units = |hosts: [&'static str; 3]| {
        hosts.map(|h| {
            ["haproxy", "keepalived", "containerd", "kubelet"].map(|u| (h, u, incarnation(h, u)))
        })
    };
    let before = units(CONTROL_PLANES);
    let trees = CONTROL_PLANES.map(snapshot);

    let plan = lab
        .quorate(&["plan", "--diff"])
        .run()
        .expect(2)
        .shows("# by hand");
    for (host, tree) in CONTROL_PLANES.iter().zip(trees) {
        assert_same(host, &tree, &snapshot(host));
    }
    let planned: BTreeSet<(String, String)> = plan.journal.planned().into_iter().collect();
    let named = |host: &str, word: &str| {
        planned
            .iter()
            .any(|(h, t)| h == host && t.to_lowercase().contains(word))
    };
    assert!(
        named("cp1", "haproxy's configuration") && named("cp1", "reload haproxy"),
        "{planned:?}"
    );
    assert!(named("cp2", "keepalived runs"), "{planned:?}");
    assert!(named("cp3", "kernel parameters"), "{planned:?}");
    assert!(named("cp1", "has read its configuration"), "{planned:?}");
    assert_eq!(planned.len(), 5, "exactly these: {planned:?}");

    let apply = lab.quorate(&["apply"]).run().expect(0);
    let changed: BTreeSet<(String, String)> = apply.journal.steps("changed").into_iter().collect();
    assert_eq!(changed, planned, "mended is what was planned");
    assert_eq!(
        on("cp1", "grep -c 'by hand' /etc/haproxy/haproxy.cfg")
            .out
            .trim(),
        "0"
    );
    assert_eq!(
        on("cp3", "cat /proc/sys/net/ipv4/ip_forward").out.trim(),
        "1"
    );
    for (host, unit, old) in before.into_iter().flatten() {
        let new = incarnation(host, unit);
        if (host, unit) == ("cp2", "keepalived") {
            assert!(new.contains("ActiveState=active"), "{new}");
        } else {
            // A reload keeps the main process and the invocation; a restart would not.
            assert_eq!(new, old, "{unit} on {host}");
        }
    }
    for (host, reloads) in [("cp1", 1), ("cp2", 0), ("cp3", 0)] {
        let count = apply
            .journal
            .steps("changed")
            .iter()
            .filter(|(h, t)| h == host && t.contains("reload haproxy"))
            .count();
        assert_eq!(count, reloads, "reloads of haproxy on {host}");
    }
    lab.plan_is_empty();
}

/// Configuration that haproxy refuses never becomes the file.
#[test]
fn d_a_refused_haproxy_configuration_leaves_the_old() {
    let lab = Lab::take("haproxy -c refuses");
    lab.converged();
    let before = (
        digest("cp1", "/etc/haproxy/haproxy.cfg"),
        incarnation("cp1", "haproxy"),
    );
    // A role of the user's own, copied from the built-in one, whose template haproxy does not understand.
    lab.quorate(&["roles", "eject", "haproxy"]).run().expect(0);
    let role = lab.inventory().join("roles/haproxy");
    let template = role.join("templates/fast/haproxy.cfg.tera");
    let text = fs::read_to_string(&template).expect("the template");
    fs::write(&template, format!("{text}\nno-such-word\n")).expect("a worse one");
    let run = lab.quorate(&["apply", "--limit", "cp1"]).run().expect(1);
    fs::remove_dir_all(role).expect("the built-in role counts again");
    let run = run
        .shows("refused by its validator")
        .shows("haproxy's configuration");
    assert!(run.journal.steps("changed").is_empty());
    assert_eq!(
        (
            digest("cp1", "/etc/haproxy/haproxy.cfg"),
            incarnation("cp1", "haproxy")
        ),
        before
    );
    let left = on("cp1", "ls -A /etc/haproxy | grep quorate").out;
    assert_eq!(left, "", "no temporary file stays");
    lab.plan_is_empty();
}

/// What `haproxy -c` takes and haproxy does not: an address that no host has. systemd calls the reload done all the same.
#[test]
fn d_a_reload_that_haproxy_does_not_carry_out() {
    let lab = Lab::take("haproxy goes on with its old configuration");
    lab.converged();
    lab.quorate(&["roles", "eject", "haproxy"]).run().expect(0);
    let role = lab.inventory().join("roles/haproxy");
    let template = role.join("templates/fast/haproxy.cfg.tera");
    let text = fs::read_to_string(&template).expect("the template");
    let more = "listen other\n    mode tcp\n    bind 192.0.2.9:8999\n";
    fs::write(&template, format!("{text}\n{more}")).expect("a worse one");
    let first = lab.quorate(&["apply"]).run();
    // The handler's mark is still there: the same host once more, and no other.
    let second = lab.quorate(&["apply"]).run();
    fs::remove_dir_all(role).expect("the built-in role counts again");
    let first = first.expect(1).shows("goes on with its old configuration");
    let changed = first.journal.changed_hosts();
    assert_eq!(changed.len(), 1, "{changed:?}");
    second.expect(1).shows("goes on with its old configuration");
    let run = lab.quorate(&["apply"]).run().expect(0);
    assert_eq!(run.journal.changed_hosts(), changed);
    lab.plan_is_empty();
}

/// A full disk in the middle of a write: the old file stays.
#[test]
fn d_a_full_disk_leaves_the_old_file() {
    let lab = Lab::take("disk full");
    lab.converged();
    let hold = digest("cp1", "/etc/haproxy/haproxy.cfg");
    on("cp1", "mkdir -p /tmp/keep && cp -a /etc/haproxy/. /tmp/keep && mount -t tmpfs -o size=16k tmpfs /etc/haproxy && cp -a /tmp/keep/haproxy.cfg /etc/haproxy/ && (dd if=/dev/zero of=/etc/haproxy/filler bs=4k 2>/dev/null; true)")
        .good("a small and full disk");
    let run = lab
        .quorate(&["apply", "-e", "haproxy_maxconn=7999", "--limit", "cp1"])
        .run();
    let after = digest("cp1", "/etc/haproxy/haproxy.cfg");
    let left = on("cp1", "ls -A /etc/haproxy").out;
    on("cp1", "umount /etc/haproxy && rm -r /tmp/keep").good("the disk is as it was");
    run.expect(1)
        .shows("No space left on device")
        .shows("free space");
    assert_eq!(after, hold, "the old file");
    assert_eq!(left, "filler\nhaproxy.cfg\n", "no temporary file stays");
    lab.plan_is_empty();
}

/// A package that nobody has: said with what to do.
#[test]
fn d_a_package_that_does_not_exist() {
    let lab = Lab::take("no such package");
    lab.converged();
    let variables =
        r#"{"host_packages": ["iptables", "curl", "openssl", "no-such-package-of-ours"]}"#;
    let run = lab
        .quorate(&["apply", "--limit", "w1", "-e", variables])
        .run()
        .expect(1);
    run.shows("Unable to locate package no-such-package-of-ours")
        .shows("check the package's name");
    lab.plan_is_empty();
}

/// sudo: without rights, and with a password that nobody else may see.
#[test]
fn d_sudo_without_rights_and_with_a_password() {
    let lab = Lab::take("sudo");
    lab.converged();
    let nosudo = lab.file(
        "nosudo/hosts.yml",
        "all:\n  hosts:\n    w1:\n      ansible_user: nosudo\n",
    );
    let run = lab.quorate(&["plan", "-i"]).arg(&nosudo).run().expect(1);
    let run = run.shows("no root rights").shows("sudoers");
    assert!(run.out.contains("failed: w1"), "w1 alone: {}", run.out);

    const PASSWORD: &str = "quorate-lab";
    let secret = lab.file(
        "password.yml",
        &format!("ansible_become_password: {PASSWORD}\n"),
    );
    on("cp2", "systemctl stop keepalived").good("something to do");
    on("cp2", "touch /tmp/sample; : >/tmp/argv; (while [ -e /tmp/sample ]; do cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' ' >>/tmp/argv; sleep 0.05; done) >/dev/null 2>&1 &").good("the sampler");
    let file = format!("@{}", secret.display());
    let running = lab
        .quorate(&["apply", "-e", "ansible_user=pwuser", "-e", &file])
        .start();
    let own = fs::read(format!("/proc/{}/cmdline", running.id())).unwrap_or_default();
    let run = running.end().expect(0);
    let argv = on("cp2", "rm /tmp/sample; cat /tmp/argv").good("sampled command lines");
    assert!(argv.contains("sudo "), "sudo was seen");
    assert_eq!(
        run.journal.steps("changed").len(),
        1,
        "{:?}",
        run.journal.steps("changed")
    );
    for (place, text) in [
        ("a command line on the host", argv.as_str()),
        ("our own command line", &String::from_utf8_lossy(&own)),
        ("the journal", &run.journal.text),
        ("the output", &run.shown()),
    ] {
        // The lab's containers and images carry the same word in other names; nobody passes it alone.
        let found = text
            .split(|c: char| !(c.is_ascii_alphanumeric() || "-_/.:".contains(c)))
            .any(|w| w == PASSWORD);
        assert!(!found, "the password is in {place}");
    }
    fs::remove_file(secret).unwrap();
}

/// Another version or endpoint on a live cluster: refused before any host is touched.
#[test]
fn d_another_version_or_endpoint_is_refused() {
    let lab = Lab::take("another version or endpoint");
    lab.converged();
    for (variable, named) in [
        ("kubernetes_version=1.36.2", "v1.36.3"),
        (
            "control_plane_endpoint=other.mycluster.local:8443",
            "vip.mycluster.local:8443",
        ),
    ] {
        let run = lab
            .quorate(&["apply", "-e", variable])
            .run()
            .expect(5)
            .shows(named);
        assert_eq!(run.journal.execs_of("wave"), 0, "{variable}: no wave");
        assert_eq!(run.journal.execs_of("lock"), 0, "{variable}: no lock");
        lab.quorate(&["plan", "-e", variable]).run().expect(5);
    }
}

/// g. Two controllers: the second is told who the first is.
#[test]
fn e_two_controllers_at_once() {
    let lab = Lab::take("two controllers");
    lab.converged();
    for host in ["cp1", "cp2"] {
        on(host, "echo '# by hand' >>/etc/haproxy/haproxy.cfg").good("haproxy.cfg is edited");
    }
    let mut first = lab.quorate(&["apply"]).start();
    poll("the first holds its locks", MINUTE, || {
        assert!(first.is_running(), "the first ended too soon");
        first.journal().has_act("prepare").then_some(())
    });
    // It stands still with its locks held: the load balancers go one after the other, so cp2 waits.
    first.signal("STOP");
    let second = lab.quorate(&["apply"]).run();
    first.signal("CONT");
    let name = format!("(process {})", first.id());
    let first = first.end().expect(0);
    let second = second
        .expect(5)
        .shows("another run is changing this host")
        .shows(&name);
    assert_eq!(
        second.journal.execs_of("wave"),
        0,
        "the second changes nothing"
    );
    assert_eq!(
        first.journal.changed_hosts(),
        BTreeSet::from(["cp1".to_string(), "cp2".to_string()])
    );
    lab.plan_is_empty();
}

/// h. One dead host on a live cluster holds up nothing on another.
#[test]
fn e_a_dead_host_does_not_block_the_rest() {
    let lab = Lab::take("a dead host on a live cluster");
    lab.converged();
    command(60, ["docker", "stop", "-t", "1", "quorate-lab-w1"]).good("w1 is down");
    on("cp3", "echo '# by hand' >>/etc/haproxy/haproxy.cfg").good("haproxy.cfg is edited");
    let run = lab.quorate(&["apply"]).run();
    command(60, ["docker", "start", "quorate-lab-w1"]).good("w1 is up");
    poll("w1's sshd answers", Duration::from_secs(60), || {
        let run = lab.quorate(&["exec", "-l", "w1", "--", "true"]).run();
        (run.code == Some(0)).then_some(())
    });
    let run = run.expect(3).shows("unreachable");
    assert_eq!(
        run.journal.changed_hosts(),
        BTreeSet::from(["cp3".to_string()])
    );
    lab.is_whole(&HOSTS);
    lab.plan_is_empty();
}

/// e. A control plane that was booted again comes back by itself.
#[test]
fn f_a_host_rebooted() {
    let lab = Lab::take("a host rebooted");
    lab.converged();
    lab.lab(&["reboot", "cp2"]);
    poll(
        "plan finds nothing and all are Ready",
        Duration::from_secs(180),
        || {
            let run = lab.quorate(&["plan"]).run();
            (run.code == Some(0) && run.out.contains("4 of 4 nodes Ready")).then_some(())
        },
    );
    lab.is_whole(&HOSTS);
    lab.has_three_voting_members();
    assert_eq!(holders(), 1, "the VIP is on exactly one host");
}

/// f. A worker added to the inventory: only it changes.
#[test]
fn g_a_second_worker() {
    let lab = Lab::take("a second worker");
    lab.converged();
    lab.lab(&["add", "w2"]);
    // As the inventory's own comment says; the next test begins with a fresh copy.
    let hosts = lab.inventory().join("hosts.yml");
    let text = fs::read_to_string(&hosts).unwrap();
    let text = text
        .replace("# w2:", "w2:")
        .replace("#   ansible_host: 10.77.0.22", "  ansible_host: 10.77.0.22");
    fs::write(&hosts, text).unwrap();
    let plan = lab.quorate(&["plan"]).run().expect(2);
    let hosts: BTreeSet<String> = plan.journal.planned().into_iter().map(|(h, _)| h).collect();
    assert_eq!(hosts, BTreeSet::from(["w2".to_string()]), "the plan");
    let run = lab
        .quorate(&["apply"])
        .run()
        .expect(0)
        .shows("5 of 5 nodes Ready");
    let all = ["cp1", "cp2", "cp3", "w1", "w2"];
    lab.is_whole(&all);
    lab.pods_reach_services(&all);
    lab.quorate(&["plan"]).run().expect(0);
    // Away with it, as a person would.
    lab.kubectl(&["delete", "node", "w2"]).good("the node goes");
    command(60, ["docker", "rm", "-f", "-v", "quorate-lab-w2"]).good("the host goes");
    // A new token is made for the join, on a control plane; nothing else is done there.
    let on_others: Vec<(String, String)> = run
        .journal
        .steps("changed")
        .into_iter()
        .filter(|(h, t)| h != "w2" && !t.starts_with("cluster : "))
        .collect();
    assert_eq!(on_others, Vec::new(), "only w2 changes");
}

/// d. The controller killed in init, and kubeadm with it.
#[test]
fn h_killed_with_kubeadm_in_init() {
    kill_and_go_on(
        &Lab::take("killed with kubeadm in init, after the certificates"),
        Point::Certificates,
        true,
    );
}

/// d. The controller killed in a control plane's join, and kubeadm with it.
#[test]
fn h_killed_with_kubeadm_in_a_join() {
    kill_and_go_on(
        &Lab::take("killed with kubeadm in a join"),
        Point::Join,
        true,
    );
}

/// The controller killed at each moment of a bootstrap, one run after the other.
#[test]
fn h_killed_at_each_moment() {
    killed_at_each_moment(&Lab::take("killed at each moment"));
}

/// The network of the VIP's holder is cut: measured, taken over, given back.
#[test]
fn f_drill_isolates_the_holder() {
    crate::drill::isolates_the_holder();
}

/// A drill takes nothing away from a cluster that could not bear it, and nothing unasked.
#[test]
fn f_drill_is_refused() {
    crate::drill::is_refused();
}

/// The load balancer as static pods. The last one: it leaves bare hosts, where the next cluster may be of another way.
#[test]
fn i_static_pods() {
    crate::pods::fast(&Lab::take("the load balancer as static pods"));
}
