//! What a probe sees under both shells, and that it changes nothing.

use quorate::host::fact::Reach;
use quorate::host::record::WaveRecord;
use quorate::host::script::Wave;
use quorate::host::{Expect, Fact, Facts, FileKind, Known, probe};
use quorate::model::{Endpoint, Sha256};

use super::sandbox::{NONCE, SHELLS, Sandbox, step};
use super::shell::write;

#[test]
fn a_probe_sees_how_an_endpoint_answers() {
    let open = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let shut = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (accepts, refuses) = (open.local_addr().unwrap(), shut.local_addr().unwrap());
    drop(shut);
    for kind in SHELLS {
        let sandbox = Sandbox::new(kind);
        for (endpoint, reach) in [
            (accepts.to_string(), Reach::Accepts),
            (refuses.to_string(), Reach::Refused),
            ("no-such-name.invalid:6443".into(), Reach::Unresolved),
        ] {
            let endpoint: Endpoint = endpoint.parse().unwrap();
            let seen = sandbox.probe(&Facts::from([Fact::Endpoint(endpoint.clone())]));
            assert_eq!(seen.reach, Some(reach), "{kind:?} {endpoint}");
        }
    }
}

#[test]
fn a_probe_changes_nothing_and_sees_what_is_there() {
    for kind in SHELLS {
        let sandbox = Sandbox::new(kind);
        sandbox.write("/etc/a b", "text\n");
        sandbox.write("/etc/empty", "");
        sandbox.write("/packages", "curl\n");
        sandbox.write("/images", "a.io/b:1\n");
        sandbox.write("/proc/swaps", "Filename Type\n/dev/sda2 partition 1 0 -2\n");
        sandbox.write("/proc/sys/net/a", "1\t2\n");
        std::os::unix::fs::symlink("a b", sandbox.path("/etc/l")).unwrap();
        let mut facts = Facts::from([Fact::System, Fact::Swap, Fact::Images]);
        for path in ["/etc/a b", "/etc/empty", "/etc/l", "/etc/none", "/etc"] {
            facts.extend([
                Fact::File(path.into()),
                Fact::LargeFile(path.into()),
                Fact::Content(path.into()),
                Fact::Path(path.into()),
            ]);
        }
        facts.extend(["curl", "wget"].map(|p| Fact::Package(p.into())));
        facts.extend(["net.a", "net.b"].map(|k| Fact::Sysctl(k.into())));
        facts.extend([
            Fact::Unit("u".into()),
            Fact::Module("no_such".into()),
            Fact::Listening(1),
        ]);
        let before = sandbox.tree();
        let seen = sandbox.probe(&facts);
        assert_eq!(sandbox.tree(), before, "{kind:?}");
        assert_eq!(
            seen.content("/etc/a b"),
            Known::Is(b"text\n".as_slice()),
            "{kind:?}"
        );
        assert_eq!(
            seen.content("/etc/empty"),
            Known::Is(b"".as_slice()),
            "{kind:?}"
        );
        assert!(seen.file("/etc/none").is(|s| s.is_none()));
        assert!(
            seen.file("/etc/a b")
                .is(|s| s.is_some_and(|s| s.sha256 == Some(Sha256::of("text\n")) && s.size == 5))
        );
        assert!(seen.file("/etc/l").is(|s| {
            s.is_some_and(|s| s.kind == FileKind::Link && s.target.as_deref() == Some("a b"))
        }));
        assert!(
            seen.file("/etc")
                .is(|s| s.is_some_and(|s| s.kind == FileKind::Directory))
        );
        assert_eq!(seen.package("curl"), Known::Is(Some("1.0")), "{kind:?}");
        assert_eq!(seen.package("wget"), Known::Is(None));
        assert_eq!(
            (seen.sysctl("net.a"), seen.sysctl("net.b")),
            (Known::Is(Some("1 2")), Known::Is(None))
        );
        assert_eq!(
            seen.swaps.as_deref(),
            Some(["/dev/sda2".to_string()].as_slice())
        );
        assert!(seen.images().is(|i| i.contains("a.io/b:1")));
        assert!(seen.unit("u").is(|u| u.is_active() && u.is_enabled()));
        assert_eq!(
            (seen.module("no_such"), seen.listens(1)),
            (Known::Is(false), Known::Is(false))
        );
    }
}

#[test]
fn facts_at_the_end_of_a_wave_are_read() {
    for kind in SHELLS {
        let sandbox = Sandbox::new(kind);
        let facts = Facts::from([Fact::System, Fact::File("/etc/a".into())]);
        let steps = vec![step(0, write("/etc/a", "1", Expect::Any))];
        let outcome = sandbox.wave(&Wave {
            run: "r".into(),
            steps,
            facts: facts.clone(),
            ..Wave::default()
        });
        let mut parser = probe::Parser::new(&facts);
        for record in &outcome.records {
            if let WaveRecord::Fact(line) = record {
                parser.line(line).unwrap();
            }
        }
        let seen = parser.finish();
        assert!(
            seen.file("/etc/a")
                .is(|s| s.is_some_and(|s| s.sha256 == Some(Sha256::of("1")))),
            "{kind:?} {outcome:?}"
        );
        assert!(outcome.stdout.ends_with(b"finished\n"));
    }
}

/// Drop-ins and flags that are not quorate's; a file of flags that sets none is nobody's doing.
#[test]
fn what_somebody_adds_to_a_service_is_told() {
    for kind in SHELLS {
        let sandbox = Sandbox::new(kind);
        let units = "/etc/systemd/system";
        let kubeadm = format!("{units}/kubelet.service.d/10-kubeadm.conf");
        sandbox.write(&kubeadm, "# Written by quorate (role kubernetes)\n");
        let proxy = format!("{units}/containerd.service.d/proxy.conf");
        sandbox.write(&proxy, "[Service]\nEnvironment=HTTP_PROXY=a\n");
        let odd = format!("{units}/kubelet.service.d/y@z+w é\nw.conf");
        sandbox.write(&odd, "[Service]\n");
        sandbox.write("/etc/default/kubelet", "KUBELET_EXTRA_ARGS=\"\"\n");
        sandbox.write("/etc/sysconfig/kubelet", "KUBELET_EXTRA_ARGS=--v=5\n");
        let facts = Facts::from([Fact::Additions]);
        let (answer, _) = sandbox.exec(&probe::request(&facts, NONCE), usize::MAX);
        let observed = probe::parse(&facts, NONCE, &answer).unwrap();
        assert_eq!(
            observed.additions.unwrap(),
            [
                format!("{units}/kubelet.service.d/y@z+w ???w.conf").as_str(),
                proxy.as_str(),
                "/etc/sysconfig/kubelet"
            ],
            "{kind:?}"
        );
    }
}
