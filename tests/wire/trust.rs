//! `quorate hosts trust`: what hosts show, what is on record, and what is written.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};

use camino::{Utf8Path, Utf8PathBuf};
use quorate::transport::ssh::{
    HostKeyPolicy, HostKeys, SshConnector, SshOptions, Standing, removal, trust,
};

use crate::help::{connect, target, within};
use crate::sshd::{Sshd, keygen};

const KINDS: [&str; 3] = ["ed25519", "ecdsa", "rsa"];
/// A key that no host of these tests has.
const OTHER: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";

async fn look(sshd: &Sshd, options: &SshOptions) -> HostKeys {
    let connector = SshConnector::new(options.clone());
    let target = target(sshd.port, &[]);
    within(connector.host_keys(&target)).await.unwrap()
}

fn standings(host: &HostKeys) -> Vec<&'static str> {
    let word = |standing: &Standing| match standing {
        Standing::New => "new",
        Standing::Known => "known",
        Standing::Certified => "certified",
        Standing::Unneeded => "not needed",
        Standing::Changed { .. } => "changed",
        Standing::Revoked { .. } => "revoked",
    };
    host.keys.iter().map(|key| word(&key.standing)).collect()
}

fn fingerprint(sshd: &Sshd, kind: &str) -> String {
    let path = sshd.path(&format!("host_{kind}.pub"));
    let output = Command::new("ssh-keygen")
        .args(["-lf", path.as_str()])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.split(' ').nth(1).unwrap().to_owned()
}

#[tokio::test]
async fn all_types_are_shown_and_written_once() {
    let sshd = Sshd::start();
    let file = sshd.path("new/known_hosts");
    let options = SshOptions {
        known_hosts: vec![file.clone()],
        ..sshd.options()
    };
    let host = look(&sshd, &options).await;
    let shown: Vec<_> = host
        .keys
        .iter()
        .map(|k| (k.kind, k.fingerprint.clone()))
        .collect();
    let wanted: Vec<_> = KINDS.iter().map(|k| (*k, fingerprint(&sshd, k))).collect();
    assert_eq!(shown, wanted);
    assert_eq!(standings(&host), ["new"; 3]);
    assert!(!file.exists(), "looking writes nothing");
    // The same host may stand in the inventory twice.
    let hosts = [host.clone(), host];
    let trusted = trust(&hosts).unwrap();
    assert_eq!((trusted.keys, trusted.left_out.len()), (3, 0));
    let lines = KINDS.map(|kind| format!("[127.0.0.1]:{} {}\n", sshd.port, sshd.host_key(kind)));
    assert_eq!(fs::read_to_string(&file).unwrap(), lines.concat());
    let mode = |path: &Utf8PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&file), mode(&sshd.path("new"))), (0o600, 0o700));
    // What is there meanwhile is not written again, and a stale look adds nothing.
    assert_eq!(trust(&hosts).unwrap().keys, 0);
    assert_eq!(standings(&look(&sshd, &options).await), ["known"; 3]);
    let target = target(sshd.port, &[&sshd.user_key("ed25519")]);
    assert!(connect(&options, &target).await.is_ok());
}

/// With the keys of both on record each would pass for the other.
#[tokio::test]
async fn two_hosts_under_one_name_are_not_written() {
    let another_key = |root: &Utf8Path| {
        let path = root.join("host_ed25519");
        fs::remove_file(&path).unwrap();
        fs::remove_file(root.join("host_ed25519.pub")).unwrap();
        keygen(&path, "ed25519", "");
    };
    let (one, two) = (Sshd::start(), Sshd::prepared("", another_key));
    let file = one.path("new_known_hosts");
    let connector = SshConnector::new(SshOptions {
        known_hosts: vec![file.clone()],
        ..one.options()
    });
    let mut hosts = Vec::new();
    for sshd in [&one, &two] {
        let mut target = target(sshd.port, &[]);
        target.access.host_key_name = Some("fleet".into());
        hosts.push(within(connector.host_keys(&target)).await.unwrap());
    }
    let trusted = trust(&hosts).unwrap();
    assert_eq!(
        (trusted.keys, trusted.left_out),
        (0, vec!["fleet".to_string(); 2])
    );
    assert_eq!(fs::read_to_string(&file).unwrap_or_default(), "");
    // One of them alone is.
    assert_eq!(trust(&hosts[..1]).unwrap().keys, 3);
}

#[tokio::test]
async fn what_is_on_record_is_compared_key_by_key() {
    let sshd = Sshd::start();
    let options = sshd.options();
    let key = |kind: &str| sshd.host_key(kind);
    let port = sshd.port;
    for (lines, wanted) in [
        (
            format!("{{host}} {}", key("ed25519")),
            ["known", "new", "new"],
        ),
        (
            format!("{{host}} {OTHER}"),
            ["changed", "changed", "changed"],
        ),
        // Several keys of a type: one of them is enough.
        (
            format!("{{host}} {OTHER}\n{{host}} {}", key("ed25519")),
            ["known", "new", "new"],
        ),
        // Another type is right, and this one is another key all the same.
        (
            format!("{{host}} {}\n{{host}} {OTHER}", key("rsa")),
            ["changed", "new", "known"],
        ),
        // Known by a key that it does not show: who offers others instead is not to be learned from.
        (
            format!(
                "{{host}} ecdsa-sha2-nistp384 {}",
                key("rsa").split(' ').nth(1).unwrap()
            ),
            ["new", "new", "known"],
        ),
        (
            "{host} ssh-dss AAAAB3NzaC1kc3M=".to_owned(),
            ["changed", "changed", "changed"],
        ),
        (
            format!("{{host}} {0}\n@revoked * {0}", key("ecdsa")),
            ["new", "revoked", "new"],
        ),
        // Without its port a line vouches, and proves no change.
        (format!("127.0.0.1 {}", key("rsa")), ["new", "new", "known"]),
        (format!("127.0.0.1 {OTHER}"), ["new", "new", "new"]),
        (
            format!("!127.0.0.1,![127.0.0.1]:{port},* {}", key("rsa")),
            ["new", "new", "new"],
        ),
        (
            format!("[127.0.*]:{port} {}", key("rsa")),
            ["new", "new", "known"],
        ),
    ] {
        sshd.known_hosts(&lines);
        let before = fs::read(&options.known_hosts[0]).unwrap();
        let host = look(&sshd, &options).await;
        assert_eq!(standings(&host), wanted, "{lines}");
        let trusted = trust(std::slice::from_ref(&host)).unwrap();
        let new = wanted.iter().filter(|word| **word == "new").count();
        let sound = !wanted.contains(&"changed") && !wanted.contains(&"revoked");
        assert_eq!(trusted.keys, if sound { new } else { 0 }, "{lines}");
        let after = fs::read(&options.known_hosts[0]).unwrap();
        assert!(after.starts_with(&before), "nothing is replaced");
        assert!(sound || after == before, "{lines}");
    }
}

#[tokio::test]
async fn a_change_between_the_look_and_the_yes_is_seen() {
    let sshd = Sshd::start();
    let options = sshd.options();
    sshd.known_hosts("# nothing\n");
    let host = look(&sshd, &options).await;
    let file = sshd.known_hosts(&format!("{{host}} {OTHER}\n"));
    let trusted = trust(std::slice::from_ref(&host)).unwrap();
    assert_eq!(
        (trusted.keys, trusted.left_out),
        (0, vec![host.name.clone()])
    );
    assert_eq!(fs::read_to_string(&file).unwrap().lines().count(), 1);
    // And the command that is told for it does it.
    let line = removal(&host, &file);
    assert!(
        Command::new("sh")
            .args(["-c", &line])
            .output()
            .unwrap()
            .status
            .success()
    );
    assert_eq!(trust(&[host]).unwrap().keys, 3);
}

#[tokio::test]
async fn hashed_files_get_hashed_names() {
    let sshd = Sshd::start();
    let options = sshd.options();
    let file = sshd.known_hosts(&format!("elsewhere {OTHER}\n"));
    let status = Command::new("ssh-keygen")
        .args(["-q", "-H", "-f", file.as_str()])
        .output()
        .unwrap()
        .status;
    assert!(status.success());
    let host = look(&sshd, &options).await;
    assert_eq!(trust(&[host]).unwrap().keys, 3);
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.lines().all(|line| line.starts_with("|1|")), "{text}");
    // ssh-keygen finds them, and so do we.
    let found = Command::new("ssh-keygen")
        .args([
            "-F",
            &format!("[127.0.0.1]:{}", sshd.port),
            "-f",
            file.as_str(),
        ])
        .output()
        .unwrap();
    let found = String::from_utf8_lossy(&found.stdout).into_owned();
    assert_eq!(found.matches("found: line").count(), 3, "{found}");
    assert_eq!(standings(&look(&sshd, &options).await), ["known"; 3]);
    // --host-key accept-new keeps them hashed, too.
    let file = sshd.known_hosts(&format!("|1|a|b {OTHER}\n"));
    let options = SshOptions {
        host_key_policy: HostKeyPolicy::AcceptNew,
        ..options
    };
    let target = target(sshd.port, &[&sshd.user_key("ed25519")]);
    assert!(connect(&options, &target).await.is_ok());
    let text = fs::read_to_string(&file).unwrap();
    assert_eq!(text.matches("|1|").count(), 2, "{text}");
}

/// Returns an sshd whose host keys are certified by a key of type `authority`, and that key; `arguments` are ssh-keygen's.
fn certified(authority: &str, arguments: &[&str]) -> (Sshd, String) {
    let lines = KINDS.map(|kind| format!("HostCertificate {{root}}/host_{kind}-cert.pub\n"));
    let sshd = Sshd::prepared(&lines.concat(), |folder| {
        let ca = folder.join("ca");
        keygen(&ca, authority, "");
        for key in KINDS.map(|kind| folder.join(format!("host_{kind}.pub"))) {
            let mut all = vec!["-q", "-s", ca.as_str(), "-I", "node"];
            all.extend(arguments);
            all.push(key.as_str());
            let output = Command::new("ssh-keygen").args(&all).output().unwrap();
            assert!(output.status.success(), "{output:?}");
        }
    });
    let authority = fs::read_to_string(sshd.path("ca.pub")).unwrap();
    let words: Vec<_> = authority.split_whitespace().take(2).collect();
    (sshd, words.join(" "))
}

#[tokio::test]
async fn certificates_of_a_real_sshd_vouch_for_it() {
    for authority in ["ed25519", "ecdsa", "rsa"] {
        let (sshd, ca) = certified(authority, &["-h", "-n", "127.0.0.1"]);
        let options = sshd.options();
        let login = target(sshd.port, &[&sshd.user_key("ed25519")]);
        let file = sshd.known_hosts(&format!("@cert-authority 127.* {ca}\n"));
        if let Err(error) = connect(&options, &login).await {
            panic!("{authority}: {error}\n{}", sshd.log());
        }
        let host = look(&sshd, &options).await;
        assert_eq!(
            standings(&host),
            ["certified", "not needed", "not needed"],
            "{authority}"
        );
        assert_eq!(
            (host.certificate.clone(), host.new_keys().count()),
            (None, 0)
        );
        assert_eq!(trust(&[host]).unwrap().keys, 0);
        assert_eq!(fs::read_to_string(&file).unwrap().lines().count(), 1);
        // A revoked authority vouches for nobody; the keys are as new as any.
        sshd.known_hosts(&format!("@cert-authority * {ca}\n@revoked * {ca}\n"));
        let host = look(&sshd, &options).await;
        assert!(host.certificate.as_ref().unwrap().contains("is revoked by"));
        assert!(connect(&options, &login).await.is_err());
    }
}

#[tokio::test]
async fn a_certificate_that_does_not_do_leaves_the_key_itself() {
    for (arguments, words) in [
        (&["-h", "-n", "other"][..], "not for `127.0.0.1`"),
        (
            &["-h", "-n", "127.0.0.1", "-V", "20200101:20200102"],
            "not valid now",
        ),
        (
            &["-h", "-n", "127.0.0.1", "-V", "20990101:20990102"],
            "not valid now",
        ),
        (
            &["-h", "-n", "127.0.0.1", "-O", "critical:who@example.com=x"],
            "critical options",
        ),
    ] {
        let (sshd, ca) = certified("ed25519", arguments);
        let options = sshd.options();
        let login = target(sshd.port, &[&sshd.user_key("ed25519")]);
        let authority = format!("@cert-authority * {ca}\n");
        sshd.known_hosts(&authority);
        let error = match connect(&options, &login).await {
            Ok(_) => panic!("{arguments:?} should be refused"),
            Err(error) => error.to_string(),
        };
        assert!(error.contains(words), "{error}");
        let host = look(&sshd, &options).await;
        assert_eq!(standings(&host), ["new"; 3]);
        assert!(host.certificate.as_ref().unwrap().contains(words));
        // As ssh: the key inside counts by itself, once it is on record.
        assert_eq!(trust(&[host]).unwrap().keys, 3);
        if let Err(error) = connect(&options, &login).await {
            panic!("{arguments:?}: {error}");
        }
        sshd.known_hosts(&format!("{authority}{{host}} {OTHER}\n"));
        assert!(connect(&options, &login).await.is_err());
    }
}

/// Writes an inventory of these hosts, by name and port.
fn inventory(folder: &tempfile::TempDir, hosts: &[(&str, u16)]) -> Utf8PathBuf {
    let path = Utf8PathBuf::try_from(folder.path().join("hosts.yml")).unwrap();
    let lines: String = hosts
        .iter()
        .map(|(name, port)| {
            format!("    {name}: {{ansible_host: 127.0.0.1, ansible_port: {port}}}\n")
        })
        .collect();
    fs::write(&path, format!("all:\n  hosts:\n{lines}")).unwrap();
    path
}

fn quorate(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_quorate"))
        .args(["hosts", "trust"])
        .args(arguments)
        .env_remove("QUORATE_INVENTORY")
        .output()
        .unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn the_command_shows_all_and_writes_after_a_yes_alone() {
    // Of the same keys, as two machines from one image.
    let (one, two) = (Sshd::start(), Sshd::start());
    let folder = tempfile::tempdir().unwrap();
    let hosts = inventory(&folder, &[("cp1", one.port), ("cp2", two.port)]);
    let file = Utf8PathBuf::try_from(folder.path().join("known_hosts")).unwrap();
    let with = |more: &[&str]| {
        let mut all = vec!["-i", hosts.as_str(), "--known-hosts", file.as_str()];
        all.extend(more);
        quorate(&all)
    };
    let plain = |output: &Output| {
        let mut text = stdout(output)
            .replace(file.as_str(), "FILE")
            .replace(&one.port.to_string(), "PORT1")
            .replace(&two.port.to_string(), "PORT2");
        for kind in KINDS {
            text = text.replace(&fingerprint(&one, kind), &format!("SHA256:{kind:.<43}"));
        }
        text
    };
    let output = with(&[]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(!file.exists());
    insta::assert_snapshot!("trust_new", plain(&output));

    let output = with(&["--output", "json", "--limit", "cp2"]);
    assert_eq!(output.status.code(), Some(2));
    let lines: Vec<serde_json::Value> = stdout(&output)
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0]["keys"][0]["known_hosts"], "new");
    assert_eq!(
        lines[0]["keys"][0]["fingerprint"],
        fingerprint(&one, "ed25519").as_str()
    );
    assert_eq!(
        (&lines[1]["new"], &lines[1]["written"]),
        (&3.into(), &0.into())
    );

    let output = with(&["--yes"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(stdout(&output).ends_with(&format!("\n6 keys written to {file}\n")));
    assert_eq!(fs::read_to_string(&file).unwrap().lines().count(), 6);
    let output = with(&[]);
    assert_eq!(output.status.code(), Some(0));
    assert!(stdout(&output).ends_with("\nnothing to write\n"));
    let output = with(&["--limit", "cp1", "--output", "json"]);
    assert!(stdout(&output).contains(r#""known_hosts":"known","shared_with":[]"#));
}

#[test]
fn the_command_names_changed_revoked_and_unreachable_hosts() {
    let (one, two, three) = (Sshd::start(), Sshd::start(), Sshd::start());
    let nobody = crate::sshd::free_port();
    let folder = tempfile::tempdir().unwrap();
    let hosts = inventory(
        &folder,
        &[
            ("cp1", one.port),
            ("cp2", two.port),
            ("cp3", three.port),
            ("w1", nobody),
        ],
    );
    let file = Utf8PathBuf::try_from(folder.path().join("known_hosts")).unwrap();
    let before = format!(
        "[127.0.0.1]:{} {OTHER}\n@revoked [127.0.0.1]:{} {}\n",
        one.port,
        two.port,
        two.host_key("rsa"),
    );
    fs::write(&file, &before).unwrap();
    let output = quorate(&[
        "-i",
        hosts.as_str(),
        "--known-hosts",
        file.as_str(),
        "--yes",
    ]);
    let mut text = stdout(&output).replace(file.as_str(), "FILE");
    for (n, port) in [one.port, two.port, three.port, nobody].iter().enumerate() {
        text = text.replace(&port.to_string(), &format!("PORT{n}"));
    }
    for kind in KINDS {
        text = text.replace(&fingerprint(&one, kind), &format!("SHA256:{kind:.<43}"));
    }
    insta::assert_snapshot!("trust_troubles", text);
    // Unsafe outranks unreachable; the sound host's keys are written all the same, and nothing else.
    assert_eq!(output.status.code(), Some(5));
    let lines = KINDS.map(|kind| format!("[127.0.0.1]:{} {}\n", three.port, three.host_key(kind)));
    assert_eq!(
        fs::read_to_string(&file).unwrap(),
        format!("{before}{}", lines.concat())
    );
    let output = quorate(&[
        "-i",
        hosts.as_str(),
        "--known-hosts",
        file.as_str(),
        "-l",
        "w1",
    ]);
    assert_eq!(output.status.code(), Some(3));
    let output = quorate(&["-i", hosts.as_str(), "-l", "nobody"]);
    assert_eq!(output.status.code(), Some(4));
}
