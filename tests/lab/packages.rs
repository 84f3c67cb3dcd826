//! Kubernetes from a signed repository of packages and images from a registry, both on a host of the lab.

use crate::cluster::one_exec_each;
use crate::driver::{HOSTS, Invocation, Lab, on, on_for, root};

fn with_packages(lab: &Lab, word: &str) -> Invocation {
    let variables = root().join("vagrant/packages.yml");
    let call = lab.quorate(&[word]).arg("-e");
    call.arg(format!("@{}", variables.display()))
}

/// Bare hosts to a cluster; a version that was changed by hand; an upgrade of the host that changes none; an image that no registry has.
pub(crate) fn and_a_registry(lab: &Lab) {
    lab.lab(&["packages"]);
    lab.bare();

    // Static pods whose image does not come: named on each host, and nothing is begun with kubeadm.
    let run = with_packages(lab, "apply")
        .arg("-e")
        .arg("load_balancer=keepalived-haproxy-pods")
        .arg("-e")
        .arg("haproxy_image=lab.quorate/nothere:1")
        .run()
        .expect(1)
        .shows("lab.quorate/nothere:1 could not be pulled by this host");
    assert!(!run.journal.has_act("init"), "kubeadm has not begun");

    let run = with_packages(lab, "apply").run().expect(0);
    assert!(run.out.contains("4 of 4 nodes Ready"), "{}", run.out);
    lab.is_whole(&HOSTS);
    lab.has_three_voting_members();
    lab.keeps_secrets(&run);
    for host in HOSTS {
        on(host, "test ! -e /usr/local/bin/kubelet && test ! -e /usr/local/bin/containerd && dpkg -l containerd.io kubelet | grep -c ^ii").good("from packages alone");
    }
    let again = with_packages(lab, "apply").run().expect(0);
    assert_eq!(again.journal.steps("changed"), Vec::new());
    one_exec_each(&again.journal);

    // The repository has a later patch, and whoever upgrades the host does not get it.
    on_for(120, "w1", "apt-get update -q >/dev/null && apt-get upgrade -y -q >/dev/null 2>&1 && dpkg-query -W -f '${Version}' kubelet | grep -q '^1.36.3-'")
        .good("the version is held");
    with_packages(lab, "plan").run().expect(0);

    // Somebody puts an older one on a node: named with both versions, and mended there alone.
    on_for(
        120,
        "w1",
        "apt-get install -y -q --allow-downgrades kubelet=1.36.2-1.1 >/dev/null 2>&1",
    )
    .good("another version by hand");
    with_packages(lab, "plan")
        .run()
        .expect(2)
        .shows("kubelet is 1.36.2-1.1, not 1.36.3-*");
    let run = with_packages(lab, "apply").run().expect(0);
    assert!(run.journal.changed_hosts().iter().eq(["w1"]));
    with_packages(lab, "plan").run().expect(0);
    lab.is_whole(&HOSTS);

    lab.lab(&["packages", "off"]);
    // What comes next brings files.
    lab.bare();
}
