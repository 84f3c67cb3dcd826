//! Whom a connection trusts.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use quorate::transport::TransportError;
use quorate::transport::ssh::{HostKeyPolicy, SshOptions};

use crate::bad_server::{BadServer, Vice, rand10};
use crate::help::{self, connect, refused, target, within};
use crate::sshd::{Sshd, keygen};

async fn refusal(sshd: &Sshd, options: &SshOptions) -> (String, String) {
    let error = refused(options, &target(sshd.port, &[&sshd.user_key("ed25519")])).await;
    let help = error.help();
    match error {
        TransportError::HostKey { reason, .. } => (reason, help),
        other => panic!("{other:?}"),
    }
}

async fn accepted(sshd: &Sshd, options: &SshOptions) {
    if let Err(error) = connect(options, &target(sshd.port, &[&sshd.user_key("ed25519")])).await {
        panic!("{error:?}\n{}", sshd.log());
    }
}

#[tokio::test]
async fn an_unknown_host_shows_its_fingerprint() {
    let sshd = Sshd::start();
    let options = sshd.options();
    let known = sshd.known_hosts("# nothing\n");
    let (reason, help) = refusal(&sshd, &options).await;
    let output = Command::new("ssh-keygen")
        .args(["-lf", sshd.path("host_ed25519.pub").as_str()])
        .output()
        .unwrap();
    let fingerprint = String::from_utf8_lossy(&output.stdout)
        .split(' ')
        .nth(1)
        .unwrap()
        .to_owned();
    assert_eq!(
        reason,
        format!(
            "its ssh-ed25519 key {fingerprint} is not known: `[127.0.0.1]:{}` is not in {known}",
            sshd.port
        )
    );
    assert!(
        help.contains("ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub")
            && help.ends_with(&format!("and writes them to {known} after a yes")),
        "{help}"
    );
}

#[tokio::test]
async fn every_way_to_write_a_host_down_is_understood() {
    let sshd = Sshd::start();
    let options = sshd.options();
    let ed25519 = sshd.host_key("ed25519");
    let port = sshd.port;
    for lines in [
        format!("[127.0.0.1]:{port} {ed25519}"),
        format!("other,[127.0.0.1]:{port} {ed25519} a # comment"),
        format!("[127.0.0.?]:{port}\t{ed25519}"),
        format!("* {ed25519}"),
        format!("# comment\n\n@unknown-marker * {ed25519}\n[127.*]:{port} {ed25519}"),
        // Without the port, as ssh accepts it too.
        format!("127.0.0.1 {ed25519}"),
        // The right key is the second of two.
        format!("{{host}} {}\n{{host}} {ed25519}", sshd.host_key("rsa")),
        format!(
            "{{host}} ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ\n{{host}} {ed25519}"
        ),
        // Known by another key than the one it would show first.
        format!("{{host}} {}", sshd.host_key("rsa")),
        format!("{{host}} {}", sshd.host_key("ecdsa")),
        format!("{{host}} broken\n{{host}} ssh-ed25519 %%%\n{{host}} {ed25519}"),
    ] {
        sshd.known_hosts(&lines);
        accepted(&sshd, &options).await;
    }
    for lines in [
        format!("!127.0.0.1,!{{host}},* {ed25519}"),
        format!("[127.0.0.2]:{port} {ed25519}"),
        format!("{{host}}x {ed25519}"),
        format!("[127.0.0.1]:22 {ed25519}"),
    ] {
        sshd.known_hosts(&lines);
        let (reason, _) = refusal(&sshd, &options).await;
        assert!(reason.contains("is not known"), "{lines}: {reason}");
    }
}

#[tokio::test]
async fn hashed_names_are_found() {
    let sshd = Sshd::start();
    let options = sshd.options();
    let known = sshd.path("known_hosts");
    let status = Command::new("ssh-keygen")
        .args(["-q", "-H", "-f", known.as_str()])
        .status()
        .unwrap();
    assert!(status.success());
    assert!(fs::read_to_string(&known).unwrap().starts_with("|1|"));
    accepted(&sshd, &options).await;
    // And a changed one behind a hash is a changed one.
    let text = fs::read_to_string(&known).unwrap();
    let hashed = text.split(' ').next().unwrap();
    fs::write(&known, format!("{hashed} ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ\n")).unwrap();
    let (reason, _) = refusal(&sshd, &options).await;
    assert!(reason.contains(&format!("{known}:1")), "{reason}");
}

#[tokio::test]
async fn a_changed_key_is_never_accepted() {
    let sshd = Sshd::start();
    let other = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";
    for policy in [HostKeyPolicy::Strict, HostKeyPolicy::AcceptNew] {
        let options = SshOptions {
            host_key_policy: policy,
            ..sshd.options()
        };
        let known = sshd.known_hosts(&format!("# first\n{{host}} {other}\n"));
        let (reason, help) = refusal(&sshd, &options).await;
        assert!(
            reason.contains(&format!(
                "is not the ssh-ed25519 key on record in {known}:2"
            )),
            "{reason}"
        );
        assert!(
            help.contains(&format!(
                "ssh-keygen -R '[127.0.0.1]:{}' -f {known}",
                sshd.port
            )),
            "{help}"
        );
        assert_eq!(fs::read_to_string(&known).unwrap().lines().count(), 2);
    }
}

#[tokio::test]
async fn a_revoked_key_is_never_accepted() {
    let sshd = Sshd::start();
    let key = sshd.host_key("ed25519");
    for policy in [HostKeyPolicy::Strict, HostKeyPolicy::AcceptNew] {
        let options = SshOptions {
            host_key_policy: policy,
            ..sshd.options()
        };
        let known = sshd.known_hosts(&format!("{{host}} {key}\n@revoked * {key}\n"));
        let (reason, _) = refusal(&sshd, &options).await;
        assert!(
            reason.contains(&format!("is revoked by {known}:2")),
            "{reason}"
        );
    }
}

#[tokio::test]
async fn new_keys_are_written_once() {
    let sshd = Sshd::start();
    let known = sshd.path("new/known_hosts");
    let options = SshOptions {
        known_hosts: vec![known.clone()],
        host_key_policy: HostKeyPolicy::AcceptNew,
        ..sshd.options()
    };
    let connections = (0..8).map(|_| accepted(&sshd, &options));
    within(futures::future::join_all(connections)).await;
    let line = format!("[127.0.0.1]:{} {}\n", sshd.port, sshd.host_key("ed25519"));
    assert_eq!(fs::read_to_string(&known).unwrap(), line);
    assert_eq!(
        fs::metadata(&known).unwrap().permissions().mode() & 0o777,
        0o600
    );
    // A file without a newline at its end keeps its last line.
    fs::write(&known, "other ssh-ed25519 AAAA").unwrap();
    accepted(&sshd, &options).await;
    assert_eq!(
        fs::read_to_string(&known).unwrap(),
        format!("other ssh-ed25519 AAAA\n{line}")
    );
    let strict = SshOptions {
        host_key_policy: HostKeyPolicy::Strict,
        ..options
    };
    accepted(&sshd, &strict).await;
}

#[tokio::test]
async fn files_that_cannot_be_used_are_named() {
    let sshd = Sshd::start();
    let directory = sshd.path("directory");
    fs::create_dir(&directory).unwrap();
    let options = SshOptions {
        known_hosts: vec![directory.clone()],
        ..sshd.options()
    };
    let (reason, _) = refusal(&sshd, &options).await;
    assert!(
        reason.starts_with(&format!("{directory} cannot be read")),
        "{reason}"
    );
    let under_file = sshd.path("sshd_config/known_hosts");
    let options = SshOptions {
        known_hosts: vec![under_file.clone()],
        host_key_policy: HostKeyPolicy::AcceptNew,
        ..options
    };
    let (reason, _) = refusal(&sshd, &options).await;
    assert!(
        reason.contains(&format!("cannot be written to {under_file}")),
        "{reason}"
    );
}

/// What never ends takes no memory, and a pipe without a writer no time.
#[tokio::test]
async fn files_without_an_end_are_refused() {
    let sshd = Sshd::start();
    let (pipe, large) = (sshd.path("pipe"), sshd.path("large"));
    help::pipe(&pipe);
    fs::File::create(&large)
        .unwrap()
        .set_len((16 << 20) + 1)
        .unwrap();
    for (file, why) in [
        (pipe, "it is no regular file"),
        ("/dev/zero".into(), "it is no regular file"),
        (large, "it is larger than 16 MiB"),
    ] {
        // Behind one that says nothing, as ssh's users have it.
        let options = SshOptions {
            known_hosts: vec!["/dev/null".into(), file.clone()],
            ..sshd.options()
        };
        let (reason, _) = within(refusal(&sshd, &options)).await;
        assert_eq!(reason, format!("{file} cannot be read: {why}"));
    }
    let options = SshOptions {
        known_hosts: vec!["/dev/null".into()],
        ..sshd.options()
    };
    let (reason, _) = refusal(&sshd, &options).await;
    assert!(reason.contains("is not in /dev/null"), "{reason}");
    let options = SshOptions {
        host_key_policy: HostKeyPolicy::AcceptNew,
        ..options
    };
    accepted(&sshd, &options).await;
}

#[tokio::test]
async fn host_certificates_are_checked_to_the_end() {
    let directory = tempfile::TempDir::new().unwrap();
    let path = |name: &str| camino::Utf8PathBuf::try_from(directory.path().join(name)).unwrap();
    keygen(&path("ca"), "ed25519", "");
    let authority = fs::read_to_string(path("ca.pub")).unwrap();
    let sign = |kind: &[&str]| {
        keygen(&path("host"), "ed25519", "");
        let mut arguments = vec!["-q", "-s"];
        let ca = path("ca");
        let host = path("host.pub");
        arguments.push(ca.as_str());
        arguments.extend(kind);
        arguments.extend(["-I", "node", host.as_str()]);
        assert!(
            Command::new("ssh-keygen")
                .args(arguments)
                .status()
                .unwrap()
                .success()
        );
        let certificate = russh::keys::load_openssh_certificate(path("host-cert.pub")).unwrap();
        let key = russh::keys::load_secret_key(path("host"), None).unwrap();
        for name in ["host", "host.pub", "host-cert.pub"] {
            fs::remove_file(path(name)).unwrap();
        }
        (key, certificate)
    };
    let cases: [(&[&str], Option<&str>); 6] = [
        (&["-h", "-n", "127.0.0.1"], None),
        (&["-h", "-n", "other,127.*"], None),
        (&["-h", "-n", "other"], Some("not for `127.0.0.1`")),
        (&["-h"], Some("not for `127.0.0.1`")),
        (&["-n", "127.0.0.1"], Some("not made out for hosts")),
        (
            &["-h", "-n", "127.0.0.1", "-V", "20200101:20200102"],
            Some("not valid now"),
        ),
    ];
    for (arguments, refusal) in cases {
        let (key, certificate) = sign(arguments);
        let server = BadServer::with(Vice::None, |config| {
            config.keys = vec![key];
            config.certificates = vec![certificate];
        })
        .await;
        let options = server.options();
        let known = &options.known_hosts[0];
        fs::write(known, format!("@cert-authority * {authority}")).unwrap();
        let target = target(server.port, &[&server.user_key()]);
        match (connect(&options, &target).await, refusal) {
            (Ok(_), None) => {}
            (Err(TransportError::HostKey { reason, .. }), Some(words))
                if reason.contains(words) => {}
            (Ok(_), Some(words)) => panic!("{arguments:?} should be refused: {words}"),
            (Err(error), _) => panic!("{arguments:?}: {error}"),
        }
        // Another authority is none, and a revoked one neither.
        let stranger =
            russh::keys::PrivateKey::random(&mut rand10(), russh::keys::Algorithm::Ed25519)
                .unwrap();
        let stranger = stranger.public_key().to_openssh().unwrap();
        fs::write(known, format!("@cert-authority * {stranger}\n")).unwrap();
        let error = refused(&options, &target).await;
        assert!(
            error
                .to_string()
                .contains("no @cert-authority for this host"),
            "{error}"
        );
        fs::write(
            known,
            format!("@cert-authority * {authority}@revoked * {authority}"),
        )
        .unwrap();
        let error = refused(&options, &target).await;
        let words = "signed by an authority that is revoked by";
        assert!(error.to_string().contains(words), "{error}");
    }
}

/// `hosts trust` has no table row for a host on the way, and would name itself again and again.
#[tokio::test]
async fn an_unknown_jump_host_is_no_matter_of_hosts_trust() {
    let sshd = Sshd::start();
    let options = sshd.options();
    sshd.known_hosts("# nothing\n");
    let target = target(sshd.port, &[&sshd.user_key("ed25519")]);
    let error = TransportError::Jump {
        name: "bastion".into(),
        error: Box::new(refused(&options, &target).await),
    };
    let help = error.help();
    assert!(
        help.contains("connect to it once with `ssh bastion`"),
        "{help}"
    );
    assert!(!help.contains("after a yes"), "{help}");
}
