//! kubeadm's own state changed by hand: found, named by its field, mended by apply alone.

use std::fmt::Write as _;

use crate::driver::{CONTROL_PLANES, HOSTS, Lab, VIP, on};

/// One thing that somebody does by hand.
struct Drift {
    host: &'static str,
    script: &'static str,
    /// What plan says of it.
    told: &'static str,
    /// Which hosts apply touches.
    touched: &'static [&'static str],
}

const KUBECTL: &str = "export KUBECONFIG=/etc/kubernetes/admin.conf; ";
/// Edits a ConfigMap of kube-system by sed.
const EDIT: &str = "edit() { kubectl -n kube-system get cm \"$1\" -o yaml | sed \"$2\" | kubectl replace -f - ; }; ";

/// Makes the API server's certificate anew from the cluster's configuration, edited by sed.
const CERTIFICATE: &str = "certificate() { kubectl -n kube-system get cm kubeadm-config -o 'jsonpath={.data.ClusterConfiguration}' | sed \"$1\" >/tmp/certificate.yaml && rm /etc/kubernetes/pki/apiserver.crt /etc/kubernetes/pki/apiserver.key && kubeadm init phase certs apiserver --config /tmp/certificate.yaml; }; ";

const fn drift(
    host: &'static str,
    script: &'static str,
    told: &'static str,
    touched: &'static [&'static str],
) -> Drift {
    Drift {
        host,
        script,
        told,
        touched,
    }
}

/// What costs no control plane a restart.
const CHEAP: &[Drift] = &[
    drift(
        "cp1",
        "edit kubelet-config 's/rotateCertificates: true/rotateCertificates: false/'",
        "KubeletConfiguration (rotateCertificates is false, is to be true)",
        &["cp1"],
    ),
    drift(
        "cp2",
        "edit kubelet-config 's/^    syncFrequency: 0s/    syncFrequency: 0s\\n    maxPods: 7/'",
        "KubeletConfiguration (maxPods is 7, and nothing asks for it)",
        &["cp1"],
    ),
    drift(
        "cp1",
        "edit kubeadm-config 's/scheduler: {}/scheduler: {extraArgs: [{name: v, value: \"5\"}]}/'",
        "ClusterConfiguration (scheduler.extraArgs.v is 5, and nothing asks for it)",
        &["cp1"],
    ),
    drift(
        "cp1",
        "edit kubeadm-config 's/certificateValidityPeriod: 8760h0m0s/certificateValidityPeriod: 24h0m0s/'",
        "ClusterConfiguration (certificateValidityPeriod is 24h0m0s, is to be 8760h0m0s)",
        &["cp1"],
    ),
    drift(
        "cp1",
        "edit kubeadm-config 's/^\\( *\\)- vip.mycluster.local/&\\n\\1- old.example/'",
        "ClusterConfiguration (apiServer.certSANs is 10.77.0.100 10.77.0.11 10.77.0.12 10.77.0.13 old.example vip.mycluster.local, is to be 10.77.0.100 10.77.0.11 10.77.0.12 10.77.0.13 vip.mycluster.local)",
        &["cp1"],
    ),
    drift(
        "cp1",
        "edit kube-proxy 's/mode: \"\"/mode: ipvs/'",
        "KubeProxyConfiguration (mode is ipvs, and nothing asks for it)",
        &["cp1"],
    ),
    drift(
        "cp1",
        "edit kube-proxy 's/clusterCIDR: .*/clusterCIDR: 10.99.0.0\\/16/'",
        "KubeProxyConfiguration (clusterCIDR is 10.99.0.0/16, is to be 10.244.0.0/16)",
        &["cp1"],
    ),
    drift(
        "w1",
        "sed -i 's/^failSwapOn: false/failSwapOn: true/' /var/lib/kubelet/config.yaml",
        "kubelet (failSwapOn is true, is to be false)",
        &["w1"],
    ),
    drift(
        "w1",
        "printf 'maxPods: 9\\n' >>/var/lib/kubelet/config.yaml",
        "kubelet (maxPods is 9, and nothing asks for it)",
        &["w1"],
    ),
    drift(
        "cp3",
        "sed -i 's/10.96.0.10/10.96.0.11/' /var/lib/kubelet/config.yaml",
        "kubelet (clusterDNS is [\"10.96.0.11\"], is to be [\"10.96.0.10\"])",
        &["cp3"],
    ),
    drift(
        "w1",
        "sed -i 's/\"$/ --v=3\"/' /var/lib/kubelet/kubeadm-flags.env",
        "kubelet's flags (--v is 3, and nothing asks for it)",
        &["w1"],
    ),
    drift(
        "w1",
        "sed -i 's/--node-ip=[0-9.]*/--node-ip=10.77.0.99/' /var/lib/kubelet/kubeadm-flags.env",
        "kubelet's flags (--node-ip is 10.77.0.99, is to be 10.77.0.21)",
        &["w1"],
    ),
    drift(
        "w1",
        "sed -i 's,server: .*,server: https://10.77.0.12:6443,' /etc/kubernetes/kubelet.conf && systemctl restart kubelet",
        "kubelet.conf (server is https://10.77.0.12:6443, is to be https://vip.mycluster.local:8443)",
        &["w1"],
    ),
    drift(
        "cp3",
        "certificate '/^apiServer:/,/certSANs:/s/ *certSANs:/&\\n  - old.example\\n  - 192.0.2.7/'",
        "API server's certificate (subjectAltName is old.example, and nothing asks for it)",
        &["cp3"],
    ),
    drift(
        "cp1",
        "rm /etc/kubernetes/pki/apiserver.crt",
        "API server's certificate (file is not there, is to be what kubeadm writes)",
        &["cp1"],
    ),
    drift(
        "cp2",
        "certificate '/- 10.77.0.100/d'",
        "API server's certificate (subjectAltName is not there, is to be 10.77.0.100)",
        &["cp2"],
    ),
    drift(
        "cp1",
        "kubectl label node cp2 node.kubernetes.io/exclude-from-external-load-balancers-",
        "label (node.kubernetes.io/exclude-from-external-load-balancers is not there, is to be empty)",
        &["cp1"],
    ),
    drift(
        "cp1",
        "kubectl taint node cp3 node-role.kubernetes.io/control-plane-",
        "taint (node-role.kubernetes.io/control-plane is not there, is to be NoSchedule)",
        &["cp1"],
    ),
    drift(
        "cp1",
        "kubectl taint node w1 node-role.kubernetes.io/control-plane=:NoSchedule",
        "taint (node-role.kubernetes.io/control-plane is NoSchedule, and nothing asks for it)",
        &["cp1"],
    ),
    drift(
        "w1",
        "systemctl stop containerd",
        "start containerd",
        &["w1"],
    ),
    drift(
        "w1",
        "systemctl disable kubelet 2>/dev/null",
        "enable kubelet",
        &["w1"],
    ),
    drift(
        "w1",
        "ctr -n k8s.io images ls -q | grep coredns | xargs ctr -n k8s.io images rm --sync",
        "coredns",
        &["w1"],
    ),
    drift(
        "w1",
        "rm /etc/sysctl.d/90-quorate.conf",
        "90-quorate.conf",
        &["w1"],
    ),
    drift(
        "cp2",
        "dpkg -r --force-depends openssl",
        "install openssl",
        &["cp2"],
    ),
    drift(
        "cp2",
        "printf '# by hand\\n' >>/etc/haproxy/haproxy.cfg",
        "/etc/haproxy/haproxy.cfg",
        &["cp2"],
    ),
    drift(
        "cp3",
        "chown nobody:nogroup /etc/keepalived/keepalived.conf",
        "set owner root, group root of /etc/keepalived/keepalived.conf",
        &["cp3"],
    ),
    drift(
        "w1",
        "rm /usr/local/bin/kubectl",
        "/usr/local/bin/kubectl",
        &["w1"],
    ),
    drift(
        "w1",
        "chmod 600 /usr/local/bin/kubeadm",
        "/usr/local/bin/kubeadm",
        &["w1"],
    ),
    drift(
        "w1",
        "sed -i '/vip.mycluster.local/d' /etc/hosts 2>/dev/null || { grep -v vip.mycluster.local /etc/hosts >/tmp/hosts; cat /tmp/hosts >/etc/hosts; }",
        "/etc/hosts",
        &["w1"],
    ),
];

/// What costs one a restart of a static pod, half a minute for the API server's.
const STATIC_PODS: &[Drift] = &[
    drift(
        "cp3",
        "sed -i 's/    - --leader-elect=true/    - --leader-elect=true\\n    - --v=2/' /etc/kubernetes/manifests/kube-scheduler.yaml",
        "kube-scheduler (--v is 2, and nothing asks for it)",
        &["cp3"],
    ),
    drift(
        "cp2",
        "rm /etc/kubernetes/manifests/kube-scheduler.yaml",
        "kube-scheduler (manifest is not there, is to be what kubeadm writes)",
        &["cp2"],
    ),
    drift(
        "cp2",
        "sed -i 's/cpu: 200m/cpu: 100m/' /etc/kubernetes/manifests/kube-controller-manager.yaml",
        "kube-controller-manager (resources.requests.cpu is 100m, is to be 200m)",
        &["cp2"],
    ),
    drift(
        "cp3",
        "sed -i 's/--snapshot-count=10000/--snapshot-count=20000/' /etc/kubernetes/manifests/etcd.yaml",
        "etcd (--snapshot-count is 20000, is to be 10000)",
        &["cp3"],
    ),
    drift(
        "cp2",
        "sed -i 's/    - --allow-privileged=true/    - --allow-privileged=true\\n    - --profiling=false/' /etc/kubernetes/manifests/kube-apiserver.yaml",
        "kube-apiserver (--profiling is false, and nothing asks for it)",
        &["cp2"],
    ),
];

fn mended(lab: &Lab, table: &[Drift]) {
    for one in table {
        let script = format!("{KUBECTL}{EDIT}{CERTIFICATE}{}", one.script);
        on(one.host, &script).good(one.script);
        // A pod that somebody edited may be away for a moment: then its Node cannot be asked.
        let plan = lab.quorate(&["plan"]).run().expect(2);
        let shown = plan.shown();
        assert!(shown.contains(one.told), "{}\n{shown}", one.told);
        let run = lab.quorate(&["apply"]).run().expect(0);
        let mut other = String::new();
        for (host, step) in run.journal.steps("changed") {
            if !one.touched.contains(&host.as_str()) {
                let _ = writeln!(other, "{host}: {step}");
            }
        }
        assert_eq!(other, "", "{}: something else is touched", one.told);
        lab.plan_is_empty();
        eprintln!("    {}", one.told);
    }
}

/// Twenty kinds, one at a time.
pub(crate) fn by_hand(lab: &Lab) {
    lab.converged();
    mended(lab, CHEAP);
    mended(lab, STATIC_PODS);
    lab.is_whole(&HOSTS);
}

/// A file that changes the variable `kubeadm` for one test.
fn with(lab: &Lab, kubeadm: &str) -> std::path::PathBuf {
    let path = lab.folder().join("more.yml");
    let text =
        std::fs::read_to_string(crate::driver::root().join("inventory/lab/group_vars/all.yml"))
            .expect("the lab's variables");
    let own = text
        .split("\nkubeadm:\n")
        .nth(1)
        .expect("the lab's kubeadm");
    let own: Vec<&str> = own
        .lines()
        .take_while(|l| l.is_empty() || l.starts_with(' '))
        .collect();
    std::fs::write(&path, format!("kubeadm:\n{kubeadm}{}\n", own.join("\n"))).expect("more.yml");
    path
}

const FLAG: &str = "  ClusterConfiguration:\n    apiServer:\n      extraArgs: [{name: event-ttl, value: 2h0m0s}]\n      certSANs: [extra.example]\n";
const BAD: &str =
    "  ClusterConfiguration:\n    apiServer:\n      extraArgs: [{name: no-such-flag, value: x}]\n";
const FIXED: &str = "  ClusterConfiguration:\n    networking: {dnsDomain: other.local}\n";

/// A flag and a name of the API server across three control planes, while a client asks at the VIP and tries again once.
pub(crate) fn rolled_out(lab: &Lab) {
    lab.converged();
    let more = with(lab, FLAG);
    let call = |word| {
        lab.quorate(&[word])
            .arg("-e")
            .arg(format!("@{}", more.display()))
    };
    call("plan")
        .run()
        .expect(2)
        .shows("apiServer.extraArgs.event-ttl is not there, is to be 2h0m0s")
        .shows("subjectAltName is not there, is to be extra.example");
    on(
        "w1",
        &format!(
            "rm -f /tmp/asks /tmp/stop; (ask() {{ curl -sfk --noproxy '*' -m 2 -o /dev/null https://{VIP}:8443/readyz; }}; while [ ! -e /tmp/stop ]; do ask && echo good || {{ ask && echo again || echo lost; }}; sleep 0.05; done >/tmp/asks) >/dev/null 2>&1 &"
        ),
    )
    .good("a client asks");
    let run = call("apply").run();
    on("w1", ": >/tmp/stop").good("the client ends");
    let asked = on("w1", "sort /tmp/asks | uniq -c").good("what it saw");
    eprintln!(
        "    while it was rolled out: {}",
        asked.split_whitespace().collect::<Vec<_>>().join(" ")
    );
    run.expect(0);
    assert!(!asked.contains("lost"), "{asked}");
    for host in CONTROL_PLANES {
        on(host, "grep -q -- --event-ttl=2h0m0s /etc/kubernetes/manifests/kube-apiserver.yaml && tr '\\0' ' ' </proc/$(pgrep -xo kube-apiserver)/cmdline | grep -q -- --event-ttl=2h0m0s").good("the flag is at work");
        on(host, "openssl x509 -in /etc/kubernetes/pki/apiserver.crt -noout -text | grep -q DNS:extra.example").good("the name");
    }
    call("plan").run().expect(0);
    // And back.
    lab.quorate(&["apply"]).run().expect(0);
    lab.plan_is_empty();
    lab.is_whole(&HOSTS);
}

/// A flag that does not exist: the first control plane is put back as it was, and no other is touched.
pub(crate) fn put_back(lab: &Lab) {
    lab.converged();
    let more = with(lab, BAD);
    let call = |word| {
        lab.quorate(&[word])
            .arg("-e")
            .arg(format!("@{}", more.display()))
    };
    call("apply")
        .run()
        .expect(1)
        .shows("put back as it was")
        .shows("no-such-flag");
    for host in CONTROL_PLANES {
        on(
            host,
            "! grep -q no-such-flag /etc/kubernetes/manifests/kube-apiserver.yaml",
        )
        .good("as it was");
    }
    // What the cluster keeps names it still: the next run with the right one mends that.
    lab.quorate(&["apply"]).run().expect(0);
    lab.plan_is_empty();
    let more = with(lab, FIXED);
    let call = |word| {
        lab.quorate(&[word])
            .arg("-e")
            .arg(format!("@{}", more.display()))
    };
    for word in ["plan", "apply"] {
        call(word)
            .run()
            .expect(5)
            .shows("networking.dnsDomain")
            .shows("cannot change");
    }
    lab.is_whole(&HOSTS);
}
