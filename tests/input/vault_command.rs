//! `quorate vault`: what it does to files, and what it leaves alone.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use camino::Utf8PathBuf;
use quorate::model::Secret;
use quorate::vault::{Key, Keys, Kind, age, ansible, kind};

use crate::bed::{Bed, Outcome};

fn fixture(name: &str) -> Vec<u8> {
    let dir = Utf8PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/vault"));
    fs::read(dir.join(name)).unwrap()
}

fn identity(name: &str) -> age::Identity {
    let mut keys = age::identities(&fixture(name), name, &Keys::default()).unwrap();
    keys.remove(0).key
}

fn recipient(name: &str) -> String {
    format!("{:?}", identity(name).recipient())
}

/// Two pairs of keys, two passwords, and a file in the clear.
fn bed() -> Bed {
    Bed::empty()
        .bytes("age.key", &fixture("age.key"))
        .bytes("other.key", &fixture("other.key"))
        .file("pw", "correct horse\n")
        .file("pw2", "battery staple\n")
        .file("vars.yml", "a: secret-a\n")
        .file("run/empty", "")
}

fn seal(text: &str, names: &[&str], armored: bool) -> Vec<u8> {
    let recipients = names.iter().map(|n| identity(n).recipient()).collect();
    age::seal(
        text.as_bytes(),
        &age::Readers::Recipients(recipients),
        armored,
    )
    .unwrap()
}

/// Returns a file's content, opened with one of the fixtures' keys.
fn content(bed: &Bed, path: &str, key: &str) -> Option<String> {
    let mut keys = Keys::default();
    if key.ends_with(".key") {
        keys.identities = age::identities(&fixture(key), key, &Keys::default()).unwrap();
    } else {
        keys.passwords = vec![Key {
            key: Secret::new(key.as_bytes().to_vec()),
            from: "test".into(),
        }];
    }
    let opened = keys.open(&fs::read(bed.path(path)).unwrap()).ok()?;
    Some(String::from_utf8(opened.content.expose().clone()).unwrap())
}

fn ok(bed: &Bed, arguments: &[&str]) -> String {
    let outcome = bed.run(arguments);
    assert_eq!(outcome.exit, 0, "{arguments:?}: {}", outcome.err);
    assert_eq!(outcome.err, "", "{arguments:?}");
    outcome.out
}

fn refused(bed: &Bed, arguments: &[&str]) -> String {
    let outcome = bed.run(arguments);
    assert_eq!(
        (outcome.exit, outcome.out.as_str()),
        (4, ""),
        "{arguments:?}: {}",
        outcome.err
    );
    outcome.err
}

fn mode(bed: &Bed, path: &str) -> u32 {
    fs::metadata(bed.path(path)).unwrap().permissions().mode() & 0o777
}

/// Nothing but what the bed laid there, in its own folder and in that for secrets.
fn nothing_left(bed: &Bed) {
    let names = |path: &str| {
        let entries = fs::read_dir(bed.path(path)).unwrap();
        let mut names: Vec<_> = entries
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    assert_eq!(names("run"), ["empty"]);
    assert!(
        names("").iter().all(|name| !name.contains("quorate-vault")),
        "{:?}",
        names("")
    );
}

#[test]
fn encrypt_and_view() {
    let (bed, key) = (bed(), recipient("age.key"));
    fs::set_permissions(bed.path("vars.yml"), fs::Permissions::from_mode(0o644)).unwrap();
    let said = ok(&bed, &["vault", "encrypt", "vars.yml", "-r", &key]);
    assert_eq!(said, "vars.yml: encrypted for 1 recipient\n");
    assert_eq!(mode(&bed, "vars.yml"), 0o600);
    let bytes = fs::read(bed.path("vars.yml")).unwrap();
    assert!(kind(&bytes) == Some(Kind::Age) && age::is_armored(&bytes));
    assert_eq!(
        content(&bed, "vars.yml", "age.key").as_deref(),
        Some("a: secret-a\n")
    );
    let view = ["vault", "view", "vars.yml", "--age-identity", "age.key"];
    assert_eq!(ok(&bed, &view), "a: secret-a\n");
    nothing_left(&bed);

    let list = format!("# both\n{key}\n\n{}\n", recipient("other.key"));
    let bed = bed
        .file("vars.yml", "b: 1\n")
        .file("two.yml", "c: 2\n")
        .file("team", &list);
    let said = ok(
        &bed,
        &["vault", "encrypt", "vars.yml", "two.yml", "-R", "team"],
    );
    assert_eq!(said.matches("encrypted for 2 recipients").count(), 2);
    for (file, key) in [("vars.yml", "age.key"), ("two.yml", "other.key")] {
        assert!(content(&bed, file, key).is_some(), "{file}");
    }
    let both = [
        "vault",
        "view",
        "vars.yml",
        "two.yml",
        "--age-identity",
        "age.key",
    ];
    assert_eq!(ok(&bed, &both), "b: 1\nc: 2\n");

    // The password that opens files encrypts them, where nothing else is said.
    for flag in ["--new-vault-password-file", "--vault-password-file"] {
        let bed = self::bed();
        let said = ok(&bed, &["vault", "encrypt", "vars.yml", flag, "pw"]);
        assert_eq!(said, "vars.yml: encrypted with a passphrase\n");
        assert!(content(&bed, "vars.yml", "correct horse").is_some());
    }
    let bed = bed.bytes("ansible.yml", &fixture("labelled.yml"));
    let said = ok(
        &bed,
        &[
            "vault",
            "view",
            "ansible.yml",
            "--vault-password-file",
            "pw",
        ],
    );
    assert_eq!(said.as_bytes(), fixture("whole.plain"));
}

/// Every mistake at once, and no file is touched.
#[test]
fn what_is_refused() {
    let (key, bed) = (recipient("age.key"), bed());
    let bed = bed
        .bytes("done.yml", &seal("x: 1\n", &["age.key"], true))
        .bytes("done2.yml", &fixture("whole.yml"))
        .file("list", "age1nonsense\nssh-ed25519 AAAA\n")
        .file("nobody", "# nobody\n");
    let before = fs::read(bed.path("vars.yml")).unwrap();
    let mut said = String::new();
    for arguments in [
        &["encrypt", "vars.yml"][..],
        &[
            "encrypt",
            "vars.yml",
            "done.yml",
            "done2.yml",
            "nowhere.yml",
            "run",
            "-r",
            &key,
        ],
        &["encrypt", "vars.yml", "-R", "list", "-R", "nolist"],
        &["encrypt", "vars.yml", "-R", "nobody"],
        &[
            "encrypt",
            "vars.yml",
            "-r",
            &key,
            "--new-vault-password-file",
            "pw",
        ],
        &[
            "encrypt",
            "vars.yml",
            "--new-vault-password-file",
            "nowhere",
        ],
        &["view", "vars.yml", "done.yml"],
        &["view", "done.yml", "--age-identity", "other.key"],
        &["view", "done2.yml", "--vault-password-file", "pw2"],
        &["view", "done.yml", "--age-identity", "nowhere"],
        &["edit", "vars.yml"],
        &["rekey", "done.yml", "--age-identity", "age.key"],
        &[
            "rekey",
            "done2.yml",
            "-r",
            &key,
            "--vault-password-file",
            "pw",
        ],
    ] {
        let error = refused(&bed, &[&["vault"], arguments].concat());
        let arguments = arguments.join(" ").replace(&key, "AGE1");
        said.push_str(&format!("$ quorate vault {arguments}\n{error}\n"));
    }
    insta::assert_snapshot!(said);
    for bad in ["age1nonsense", "ssh-ed25519 AAAA", "AGE-SECRET-KEY-1X"] {
        refused(&bed, &["vault", "encrypt", "vars.yml", "-r", bad]);
    }
    assert_eq!(fs::read(bed.path("vars.yml")).unwrap(), before);
    assert!(refused(&bed, &["vault", "encrypt", "vars.yml", "--passphrase"]).contains("terminal"));
    nothing_left(&bed);
}

fn script(bed: Bed, text: &str) -> Bed {
    let bed = bed.file("ed", &format!("#!/bin/sh\n{text}\n"));
    fs::set_permissions(bed.path("ed"), fs::Permissions::from_mode(0o755)).unwrap();
    bed
}

fn edit(bed: &Bed, arguments: &[&str]) -> Outcome {
    let mut command = bed.command(&[&["vault", "edit"], arguments].concat());
    let run = bed.path("run");
    bed.outcome(
        command
            .env("EDITOR", "./ed --wait")
            .env("XDG_RUNTIME_DIR", run),
    )
}

#[test]
fn edit_changes_what_was_changed() {
    // The editor sees a private folder, and the file's own name.
    let look = "f=$2\nstat -c %a \"$f\" \"${f%/*}\" > seen\necho \"$1 ${f##*/}\" >> seen\necho 'b: secret-b' >> \"$f\"";
    for (file, bytes, key, flags) in [
        (
            "v.yml.age",
            seal("a: 1\n", &["age.key"], false),
            "age.key",
            &["--age-identity", "age.key"][..],
        ),
        (
            "v.yml",
            seal("a: 1\n", &["age.key"], true),
            "age.key",
            &["--age-identity", "age.key"],
        ),
        (
            "v.yml",
            ansible::seal(b"a: 1\n", b"correct horse", Some("prod")).into_bytes(),
            "correct horse",
            &["--vault-password-file", "pw"],
        ),
    ] {
        let bed = script(bed().bytes(file, &bytes), look);
        let outcome = edit(&bed, &[&[file], flags].concat());
        assert_eq!(
            (outcome.exit, outcome.err.as_str()),
            (0, ""),
            "{}",
            outcome.out
        );
        assert_eq!(outcome.out, format!("{file}: changed\n"));
        let seen = fs::read_to_string(bed.path("seen")).unwrap();
        assert_eq!(seen, "600\n700\n--wait v.yml\n");
        let after = fs::read(bed.path(file)).unwrap();
        assert_eq!(
            (kind(&after), age::is_armored(&after)),
            (kind(&bytes), age::is_armored(&bytes))
        );
        assert_eq!(
            after.starts_with(b"$ANSIBLE_VAULT;1.2;AES256;prod\n"),
            bytes.starts_with(b"$")
        );
        assert_eq!(
            content(&bed, file, key).as_deref(),
            Some("a: 1\nb: secret-b\n"),
            "{file}"
        );
        assert_eq!(mode(&bed, file), 0o600);
        nothing_left(&bed);
    }
}

#[test]
fn edit_leaves_alone_what_was_not_changed() {
    let bytes = seal("a: 1\n", &["age.key"], true);
    let bed = script(bed().bytes("v.yml", &bytes), "touch \"$2\"");
    let flags = ["v.yml", "--age-identity", "age.key"];
    let outcome = edit(&bed, &flags);
    assert_eq!(
        (outcome.exit, outcome.out.as_str()),
        (0, "v.yml: unchanged\n")
    );
    // An editor that fails changes nothing, whatever it wrote, and neither does one that is not there.
    let bed = script(bed, "echo 'b: 2' >> \"$2\"\nexit 1");
    let outcome = edit(&bed, &flags);
    assert_eq!((outcome.exit, outcome.out.as_str()), (1, ""));
    assert!(
        outcome.err.contains("the editor failed (exit status: 1)"),
        "{}",
        outcome.err
    );
    let bed = script(bed, "mv \"$2\" \"$2.new\"");
    assert_eq!(edit(&bed, &flags).exit, 1);
    fs::remove_file(bed.path("ed")).unwrap();
    assert_eq!(edit(&bed, &flags).exit, 1);
    assert_eq!(fs::read(bed.path("v.yml")).unwrap(), bytes);
    nothing_left(&bed);
}

#[test]
fn edit_asks_for_the_recipients_that_age_does_not_tell() {
    let bytes = seal("a: 1\n", &["age.key", "other.key"], true);
    let bed = script(bed().bytes("v.yml", &bytes), "echo 'b: 2' >> \"$2\"");
    let outcome = edit(&bed, &["v.yml", "--age-identity", "age.key"]);
    assert_eq!(outcome.exit, 4);
    insta::assert_snapshot!(outcome.err);
    let (one, two) = (recipient("age.key"), recipient("other.key"));
    let outcome = edit(
        &bed,
        &["v.yml", "--age-identity", "age.key", "-r", &one, "-r", &two],
    );
    assert_eq!(outcome.exit, 0, "{}", outcome.err);
    for key in ["age.key", "other.key"] {
        assert_eq!(content(&bed, "v.yml", key).as_deref(), Some("a: 1\nb: 2\n"));
    }
    // Of a file for one of two private keys it is not known which.
    let bed = bed.bytes("v.yml", &seal("a: 1\n", &["other.key"], true));
    let outcome = edit(
        &bed,
        &[
            "v.yml",
            "--age-identity",
            "age.key",
            "--age-identity",
            "other.key",
        ],
    );
    assert_eq!(outcome.exit, 4);
    assert!(outcome.err.contains("one recipient"), "{}", outcome.err);
}

/// Ctrl-C reaches the editor too, which ends by it; the other signals end the editor with this program.
#[test]
fn an_interrupted_edit_leaves_nothing_behind() {
    for (signal, to_group) in [("INT", true), ("TERM", false), ("HUP", false)] {
        let bytes = seal("a: 1\n", &["age.key"], true);
        let wait = "echo 'b: 2' >> \"$2\"\necho there > seen\nexec sleep 60";
        let bed = script(bed().bytes("v.yml", &bytes), wait);
        let mut child = Command::new(env!("CARGO_BIN_EXE_quorate"))
            .args(["vault", "edit", "v.yml", "--age-identity", "age.key"])
            .current_dir(bed.root())
            .env("EDITOR", "./ed --wait")
            .env("XDG_RUNTIME_DIR", bed.path("run"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .unwrap();
        let end = Instant::now() + Duration::from_secs(30);
        while fs::read_to_string(bed.path("seen")).unwrap_or_default() != "there\n" {
            assert!(Instant::now() < end, "the editor did not start");
            std::thread::sleep(Duration::from_millis(5));
        }
        let target = format!("{}{}", if to_group { "-" } else { "" }, child.id());
        let kill = Command::new("kill")
            .args(["-s", signal, "--", &target])
            .status();
        assert!(kill.unwrap().success());
        let status = child.wait().unwrap();
        assert_eq!(status.code(), Some(130), "{signal}");
        assert_eq!(fs::read(bed.path("v.yml")).unwrap(), bytes);
        nothing_left(&bed);
    }
}

#[test]
fn rekey() {
    let other = recipient("other.key");
    let bed = bed()
        .bytes("v.yml", &seal("a: 1\n", &["age.key"], false))
        .bytes("w.yml", &seal("b: 2\n", &["age.key"], true))
        .bytes("l.yml", &fixture("labelled.yml"));
    let said = ok(
        &bed,
        &[
            "vault",
            "rekey",
            "v.yml",
            "w.yml",
            "--age-identity",
            "age.key",
            "-r",
            &other,
        ],
    );
    assert_eq!(
        said,
        "v.yml: rekeyed for 1 recipient\nw.yml: rekeyed for 1 recipient\n"
    );
    for (file, armored) in [("v.yml", false), ("w.yml", true)] {
        assert_eq!(age::is_armored(&fs::read(bed.path(file)).unwrap()), armored);
        assert!(
            content(&bed, file, "other.key").is_some() && content(&bed, file, "age.key").is_none()
        );
    }
    // A file of ansible-vault stays one, with its label, until somebody asks for another form.
    let old = ["vault", "rekey", "l.yml", "--vault-password-file", "pw"];
    ok(
        &bed,
        &[&old[..], &["--new-vault-password-file", "pw2"]].concat(),
    );
    let text = fs::read_to_string(bed.path("l.yml")).unwrap();
    assert!(
        text.starts_with("$ANSIBLE_VAULT;1.2;AES256;prod\n"),
        "{text}"
    );
    let plain = String::from_utf8(fixture("whole.plain")).unwrap();
    assert_eq!(
        content(&bed, "l.yml", "battery staple"),
        Some(plain.clone())
    );
    let to_age = [
        "vault",
        "rekey",
        "l.yml",
        "--vault-password-file",
        "pw2",
        "--to-age",
        "-r",
        &other,
    ];
    ok(&bed, &to_age);
    assert_eq!(content(&bed, "l.yml", "other.key"), Some(plain));
    nothing_left(&bed);
}

/// A file behind a link is replaced, not the link.
#[test]
fn links_stay() {
    let bed = bed().file("real/vars.yml", "a: 1\n");
    std::os::unix::fs::symlink("real/vars.yml", bed.path("link.yml")).unwrap();
    ok(
        &bed,
        &["vault", "encrypt", "link.yml", "-r", &recipient("age.key")],
    );
    assert!(
        fs::symlink_metadata(bed.path("link.yml"))
            .unwrap()
            .is_symlink()
    );
    assert!(content(&bed, "real/vars.yml", "age.key").is_some());
}
