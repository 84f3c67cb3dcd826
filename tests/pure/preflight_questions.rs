//! What a host is asked before it may become a part of a cluster, under dash and busybox.

use std::os::unix::fs::symlink;

use quorate::host::fact::{Disk, Firewall, Listener, Questions, Resolved, Rules};
use quorate::host::{Fact, Facts, probe};

use super::preflight::address;
use super::sandbox::{NONCE, SHELLS, Sandbox};

fn questions() -> Facts {
    Facts::from([Fact::Preflight(Questions {
        node: true,
        endpoint: Some("api.example".into()),
        in_hosts: false,
        ports: vec![6443, 8443, 10250],
        modules: vec!["overlay".into(), "no_such".into()],
    })])
}

#[test]
fn a_host_is_asked_what_may_keep_it_out() {
    for kind in SHELLS {
        let sandbox = Sandbox::new(kind);
        // 6443 on all addresses of IPv6, 8443 on 127.0.0.1; 10250 is a connection and no listener.
        sandbox.write(
            "/proc/net/tcp",
            "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
             \x20  0: 0100007F:20FB 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4242 1\n\
             \x20  1: 0100007F:280A 0100007F:1234 01 00000000:00000000 00:00000000 00000000     0        0 4243 1\n",
        );
        sandbox.write(
            "/proc/net/tcp6",
            "  sl  local_address                         remote_address                        st\n\
             \x20  0: 00000000000000000000000000000000:192B 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4444 1\n",
        );
        for (pid, fd, target) in [("1", "0", "/dev/null"), ("812", "3", "socket:[4242]")] {
            sandbox.write(&format!("/proc/{pid}/comm"), "nginx: a b\n");
            std::fs::create_dir_all(sandbox.path(&format!("/proc/{pid}/fd"))).unwrap();
            symlink(target, sandbox.path(&format!("/proc/{pid}/fd/{fd}"))).unwrap();
        }
        sandbox.write("/sys/module/overlay/x", "");
        sandbox.write("/etc/ufw/ufw.conf", "# x\nENABLED=yes\n");
        sandbox.write("/proc/self/mounts", "/dev/x / ext4 ro,relatime 0 0\n");
        sandbox.tool("modprobe", "exit 1");
        sandbox.tool(
            "getent",
            "case $2 in api.example) echo '10.0.0.100 STREAM api.example'; echo '10.0.0.100 DGRAM'; echo '10.0.0.9 STREAM' ;; *) exit 2 ;; esac",
        );
        sandbox.tool("df", "echo Filesystem 1024-blocks Used Available Capacity Mounted on; for p do case $p in -*) ;; *) echo /dev/x 1000 400 600 40% / ;; esac; done");
        sandbox.tool("nft", "echo '{\"nftables\": []}'");
        sandbox.tool(
            "iptables-nft-save",
            "printf '%s\\n' '# x' '*nat' ':A B' COMMIT '*filter' ':INPUT DROP [0:0]' COMMIT",
        );
        sandbox.tool("iptables-legacy-save", "exit 1");
        sandbox.tool(
            "systemctl",
            "case $* in show-environment) printf '%s\\n' HTTPS_PROXY=http://u:secret@p:3128 \"NO_PROXY=$'10.0.0.0/8,*.local'\" ;; *containerd*) echo 'Environment=no_proxy=a \"http_proxy=http://p\"' ;; *kubelet*) echo Environment= ;; *) exit 3 ;; esac",
        );
        let before = sandbox.tree();
        let (answer, _) = sandbox.exec(&probe::request(&questions(), NONCE), usize::MAX);
        assert_eq!(sandbox.tree(), before, "{kind:?}");
        let text = String::from_utf8_lossy(&answer);
        assert!(!text.contains("secret"), "{kind:?}: {text}");
        let seen = probe::parse(&questions(), NONCE, &answer).unwrap();
        let seen = seen.preflight.unwrap_or_else(|| panic!("{kind:?}: {text}"));
        let listener = |port, address: &str, process: Option<(u32, &str)>| Listener {
            port,
            address: address.parse().unwrap(),
            process: process.map(|(pid, name)| (pid, name.into())),
        };
        assert_eq!(
            seen.listeners,
            [
                listener(8443, "127.0.0.1", Some((812, "nginx: a b"))),
                listener(6443, "::", None)
            ],
            "{kind:?}"
        );
        assert_eq!(seen.missing_modules, ["no_such"], "{kind:?}");
        let addresses = ["10.0.0.100", "10.0.0.9"].map(|a| a.parse().unwrap());
        assert_eq!(seen.endpoint, Some(Resolved::To(addresses.to_vec())));
        assert!(
            matches!(seen.own_name, Some((_, Resolved::Unknown))),
            "{kind:?}"
        );
        assert_eq!(seen.disks.len(), 7, "{kind:?}");
        let disk = Disk {
            path: "/var".into(),
            mount: "/".into(),
            total: 1000,
            free: 600,
            read_only: true,
        };
        assert!(seen.disks.contains(&disk), "{kind:?}: {:?}", seen.disks);
        assert_eq!(seen.firewall, Some(Firewall::Ufw));
        let rules = [
            Rules::Nft("{\"nftables\": []}\n".into()),
            Rules::Iptables("*filter\n:INPUT DROP [0:0]\nCOMMIT\n".into()),
        ];
        assert_eq!(seen.rules, rules, "{kind:?}");
        let proxied: Vec<&str> = seen.proxied.iter().map(String::as_str).collect();
        assert_eq!(proxied, ["containerd", "systemd"], "{kind:?}");
        assert_eq!(seen.no_proxy["systemd"], "10.0.0.0/8,*.local");
        assert_eq!(seen.no_proxy["containerd"], "a", "{kind:?}");
    }
}

/// A resolver that does not answer takes its two seconds: /etc/hosts comes before it, where the name will be written there.
#[test]
fn a_name_that_will_be_in_etc_hosts_is_looked_for_there_alone() {
    for kind in SHELLS {
        let sandbox = Sandbox::new(kind);
        sandbox.tool("getent", "exit 0");
        let facts = Facts::from([Fact::Preflight(Questions {
            node: true,
            endpoint: Some("api.example".into()),
            in_hosts: true,
            ports: Vec::new(),
            modules: Vec::new(),
        })]);
        let endpoint = || sandbox.probe(&facts).preflight.unwrap().endpoint;
        assert_eq!(endpoint(), Some(Resolved::Unknown), "{kind:?}");
        sandbox.write(
            "/etc/hosts",
            "10.0.0.8 x api.example.org # api.example\n10.0.0.9 x api.example # y\n",
        );
        let to = Resolved::To(vec![address("10.0.0.9")]);
        assert_eq!(endpoint(), Some(to), "{kind:?}");
    }
}

/// A converged host pays for nothing of this.
#[test]
fn a_member_is_not_asked() {
    for kind in SHELLS {
        for trace in [
            "/etc/kubernetes/kubelet.conf",
            "/etc/kubernetes/bootstrap-kubelet.conf",
            "/var/lib/quorate/kubeadm",
        ] {
            let sandbox = Sandbox::new(kind);
            sandbox.write(trace, "x\n");
            assert_eq!(
                sandbox.probe(&questions()).preflight,
                None,
                "{kind:?} {trace}"
            );
        }
        let sandbox = Sandbox::new(kind);
        let balancer = Facts::from([Fact::Preflight(Questions {
            node: false,
            endpoint: None,
            in_hosts: false,
            ports: vec![8443],
            modules: Vec::new(),
        })]);
        sandbox.write("/etc/kubernetes/kubelet.conf", "x\n");
        assert!(sandbox.probe(&balancer).preflight.is_some(), "{kind:?}");
        sandbox.write("/etc/keepalived/check_apiserver.sh", "x\n");
        assert_eq!(sandbox.probe(&balancer).preflight, None, "{kind:?}");
    }
}
