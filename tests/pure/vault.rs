//! Encrypted files: those that ansible-vault and age wrote open here, and nothing of them shows. The fixtures' README says
//! where they come from.

use camino::Utf8PathBuf;
use quorate::event::Event;
use quorate::inventory::{Inventory, conceal, load, load_with};
use quorate::model::{Diagnostics, Masks, Secret, Value};
use quorate::plan::Diff;
use quorate::vault::age::{self, NoIdentity, Readers};
use quorate::vault::{Closed, Key, Keys, Kind, ansible, kind};

fn dir() -> Utf8PathBuf {
    Utf8PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/vault"))
}

fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(dir().join(name)).unwrap()
}

fn secret(text: &str) -> Secret<Vec<u8>> {
    Secret::new(text.as_bytes().to_vec())
}

fn passwords(texts: &[&str]) -> Keys {
    let key = |text: &&str| Key {
        key: secret(text),
        from: format!("pw{}", text.len()),
    };
    Keys {
        passwords: texts.iter().map(key).collect(),
        ..Keys::default()
    }
}

fn identities(names: &[&str], keys: &Keys) -> Keys {
    let read = |name: &&str| age::identities(&bytes(name), name, keys).unwrap();
    Keys {
        identities: names.iter().flat_map(read).collect(),
        ..Keys::default()
    }
}

fn opened(keys: &Keys, bytes: &[u8]) -> Result<String, Closed> {
    let opened = keys.open(bytes)?;
    Ok(String::from_utf8(opened.content.expose().clone()).unwrap())
}

fn closed(keys: &Keys, bytes: &[u8]) -> String {
    opened(keys, bytes).unwrap_err().to_string()
}

#[test]
fn what_ansible_vault_wrote_opens() {
    let keys = passwords(&["correct horse"]);
    for (name, plain) in [
        ("whole.yml", "whole.plain"),
        ("labelled.yml", "whole.plain"),
        ("sixteen.yml", "sixteen.plain"),
    ] {
        let plain = String::from_utf8(bytes(plain)).unwrap();
        assert_eq!(opened(&keys, &bytes(name)), Ok(plain), "{name}");
    }
    assert_eq!(opened(&keys, &bytes("empty.yml")), Ok(String::new()));
    let label = |name| keys.open(&bytes(name)).unwrap().label;
    assert_eq!(label("labelled.yml").as_deref(), Some("prod"));
    assert_eq!(label("whole.yml"), None);
    // The label picks no password: any that fits will do.
    let both = passwords(&["battery staple", "correct horse"]);
    let found = both.open(&bytes("labelled.yml")).unwrap().password;
    assert!(found.is_some_and(|p| p.expose() == b"correct horse"));
}

#[test]
fn what_is_written_in_the_form_of_ansible_vault_opens() {
    for (content, label) in [
        ("", None),
        ("a: 1\n", Some("prod")),
        ("sixteen bytes ..", None),
    ] {
        let text = ansible::seal(content.as_bytes(), b"pw", label);
        let version = if label.is_some() {
            "1.2;AES256;prod\n"
        } else {
            "1.1;AES256\n"
        };
        assert!(
            text.starts_with(&format!("$ANSIBLE_VAULT;{version}")),
            "{text}"
        );
        assert!(text.lines().all(|line| line.len() <= 80));
        let keys = passwords(&["pw"]);
        let found = keys.open(text.as_bytes()).unwrap();
        assert_eq!(found.content.expose(), content.as_bytes());
        assert_eq!(found.label.as_deref(), label);
    }
    let once = ansible::seal(b"x", b"pw", None);
    assert_ne!(once, ansible::seal(b"x", b"pw", None), "a salt of its own");
}

#[test]
fn what_age_wrote_opens() {
    let plain = String::from_utf8(bytes("whole.plain")).unwrap();
    let keys = identities(&["other.key", "age.key"], &Keys::default());
    assert_eq!(opened(&keys, &bytes("binary.yml.age")), Ok(plain.clone()));
    assert_eq!(opened(&keys, &bytes("armored.yml.age")), Ok(plain.clone()));
    let password = passwords(&["correct horse"]);
    assert_eq!(
        opened(&password, &bytes("passphrase.yml.age")),
        Ok(plain.clone())
    );
    // An identity may itself have a passphrase.
    let keys = identities(&["age-encrypted.key"], &password);
    assert_eq!(opened(&keys, &bytes("binary.yml.age")), Ok(plain));
    assert!(age::has_passphrase(&bytes("passphrase.yml.age")));
    assert!(!age::has_passphrase(&bytes("binary.yml.age")));
}

#[test]
fn what_is_written_in_the_form_of_age_opens() {
    let keys = identities(&["age.key", "other.key"], &Keys::default());
    let recipients = |n: usize| {
        keys.identities[..n]
            .iter()
            .map(|k| k.key.recipient())
            .collect()
    };
    for armored in [true, false] {
        let sealed = age::seal(b"a: 1\n", &Readers::Recipients(recipients(2)), armored).unwrap();
        assert_eq!(
            (kind(&sealed), age::is_armored(&sealed)),
            (Some(Kind::Age), armored)
        );
        for one in ["age.key", "other.key"] {
            let keys = identities(&[one], &Keys::default());
            assert_eq!(opened(&keys, &sealed).as_deref(), Ok("a: 1\n"));
        }
    }
    let sealed = age::seal(b"x", &Readers::Recipients(recipients(1)), true).unwrap();
    let other = identities(&["other.key"], &Keys::default());
    assert_eq!(
        closed(&other, &sealed),
        "it is encrypted with age, and none of the keys opens it (tried: other.key)"
    );
}

#[test]
fn what_stays_closed_says_why() {
    let (none, wrong) = (Keys::default(), passwords(&["wrong", "also wrong"]));
    let whole = bytes("whole.yml");
    assert_eq!(
        closed(&none, &whole),
        "it is encrypted with ansible-vault, and no key was given"
    );
    assert_eq!(
        closed(&wrong, &whole),
        "it is encrypted with ansible-vault, and none of the keys opens it (tried: pw5, pw10)"
    );
    // A password is no private key, and the other way round.
    let help = |keys: &Keys, name| opened(keys, &bytes(name)).unwrap_err().help();
    assert!(help(&wrong, "binary.yml.age").contains("--age-identity"));
    assert!(help(&none, "passphrase.yml.age").contains("--ask-vault-pass"));
    assert!(help(&none, "whole.yml").contains("ANSIBLE_VAULT_PASSWORD_FILE"));

    let text = String::from_utf8(whole).unwrap();
    let keys = passwords(&["correct horse"]);
    for (damage, reason) in [
        (
            text.replace("1.1", "1.0"),
            "its version is `1.0`; 1.1 and 1.2 are known",
        ),
        (
            text.replace("AES256", "AES"),
            "its cipher is `AES`; AES256 is known",
        ),
        (
            text.replacen("\n6", "\nx", 1),
            "it holds something else than hexadecimal digits",
        ),
        (
            text[..text.len() - 2].to_owned(),
            "it ends in the middle of a byte",
        ),
        (text[..26].to_owned(), "its salt is missing"),
        (text[..200].to_owned(), "its content is missing"),
    ] {
        let said = closed(&keys, damage.as_bytes());
        assert!(
            said.starts_with("it is encrypted with ansible-vault, and"),
            "{said}"
        );
        assert!(
            said.ends_with(&format!("damaged: {reason}")) || reason.starts_with("its content"),
            "{said}\n{reason}"
        );
    }
    let mut changed = bytes("binary.yml.age");
    let last = changed.len() - 1;
    changed[last] ^= 1;
    let keys = identities(&["age.key"], &Keys::default());
    assert_eq!(
        closed(&keys, &changed),
        "it is encrypted with age, and damaged: its content was cut off or changed"
    );
    assert_eq!(
        closed(&keys, &changed[..60]),
        "it is encrypted with age, and damaged: its header is not whole"
    );
}

#[test]
fn identities_are_read_line_by_line() {
    let read = |text: &str| {
        let found = age::identities(text.as_bytes(), "k", &Keys::default());
        found.map(|keys| keys.len()).map_err(|e| e.to_string())
    };
    let key = String::from_utf8(bytes("age.key")).unwrap();
    assert_eq!(read(&key), Ok(1));
    assert_eq!(read(&format!("{key}\n\n{key}")), Ok(2));
    assert_eq!(read(""), Err(NoIdentity::Empty.to_string()));
    assert_eq!(read("# a\nnonsense"), Err(NoIdentity::Line(2).to_string()));
    assert_eq!(
        read("AGE-PLUGIN-YUBIKEY-1"),
        Err(NoIdentity::Plugin(1).to_string())
    );
    let ssh = "-----BEGIN OPENSSH PRIVATE KEY-----\nx";
    assert_eq!(read(ssh), Err(NoIdentity::Ssh.to_string()));
    for text in ["ssh-ed25519 AAAA", "AGE-SECRET-KEY-1X", "age1x", ""] {
        let said = text.parse::<age::Recipient>().unwrap_err();
        assert!(text.is_empty() || !said.contains(text), "{said}");
    }
}

fn site() -> (Inventory, Diagnostics) {
    let keys = passwords(&["correct horse"]);
    load_with(&[dir().join("site")], &[], &|| {
        (keys.clone(), Diagnostics::default())
    })
}

/// Puts what Ansible decrypts in the place of what it shows encrypted.
fn open_all(shown: &mut Value, opened: &Value) {
    if shown.get("__ansible_vault").is_some() {
        *shown = opened.clone();
    } else if let Some(map) = shown.as_object_mut() {
        for (key, value) in map {
            open_all(value, &opened[key.as_str()]);
        }
    }
}

#[test]
fn an_inventory_with_secrets_is_that_of_ansible() {
    let (inventory, found) = site();
    assert_eq!(found, Diagnostics::default());
    let mut expected: Value = serde_json::from_slice(&bytes("list.json")).unwrap();
    let opened: Value = serde_json::from_slice(&bytes("opened.json")).unwrap();
    open_all(&mut expected["_meta"]["hostvars"], &opened);
    expected["_meta"]
        .as_object_mut()
        .unwrap()
        .shift_remove("profile");
    // quorate's own group over the nodes.
    let mut found = inventory.to_list(&|_, variable| variable.value.clone());
    found.as_object_mut().unwrap().shift_remove("k8s_cluster");
    assert_eq!(found["_meta"], expected["_meta"]);
    for group in ["kube_control_plane", "kube_node"] {
        assert_eq!(found[group], expected[group]);
    }
    for host in ["cp1", "w1"] {
        for (name, value) in opened[host].as_object().unwrap() {
            assert_eq!(
                &inventory.hosts[host].vars[name].value, value,
                "{host} {name}"
            );
        }
    }
}

#[test]
fn a_secret_is_shown_nowhere() {
    let (inventory, _) = site();
    let shown = inventory.to_list(&|_, variable| variable.shown());
    let w1 = &shown["_meta"]["hostvars"]["w1"];
    assert_eq!(
        w1["database"],
        serde_json::json!({"host": "db.example.org", "password": "***"})
    );
    for name in ["api_token", "attempts", "flag", "list", "note", "spaces"] {
        assert_eq!(w1[name], "***", "{name}");
    }
    assert_eq!(w1["ansible_host"], "192.0.2.21");
    let text = format!(
        "{shown} {:?}",
        inventory.hosts["w1"].vars["api_token"].origin
    );
    for secret in ["hunter2", "t0ken", "one-secret", "lines of it"] {
        assert!(!text.contains(secret), "{secret}");
    }
    let masks = inventory.masks();
    let said = masks.hide("postgres://app:hunter2-inline@db, attempts 7, t0ken-of-w1, ' spaces '");
    assert_eq!(said, "postgres://app:***@db, attempts 7, ***, ' *** '");
    // A group's value that every host overrides is one as well.
    assert_eq!(masks.hide("t0ken-of-all"), "***");
}

#[test]
fn without_a_key_all_is_named_and_nothing_else_is_missed() {
    let (inventory, found) = load(&[dir().join("site")], &[]);
    assert!(inventory.partial);
    let mut said: Vec<_> = found
        .iter()
        .map(|d| d.span.as_ref().unwrap().to_string())
        .collect();
    said.sort();
    let site = dir().join("site");
    let mut expected: Vec<String> = [
        "group_vars/all/vars.yml:3:21",
        "group_vars/all/vars.yml:10:15",
        "group_vars/all/vars.yml:16:17",
        "group_vars/all/vault.yml:1:1",
        "host_vars/w1.yml:1:1",
    ]
    .map(|place| site.join(place).into())
    .to_vec();
    expected.sort();
    assert_eq!(said.len(), expected.len(), "{found:#?}");
    for (said, expected) in said.iter().zip(&expected) {
        let file = expected.rsplitn(3, ':').last().unwrap();
        assert!(said.starts_with(file), "{said} {expected}");
    }
    assert!(
        found
            .iter()
            .all(|d| d.message.ends_with("no key was given")),
        "{found:#?}"
    );
}

/// A finding about a decrypted file shows the names in it and nothing else.
#[test]
fn a_snippet_of_a_decrypted_file_shows_names_alone() {
    let folder = tempfile::tempdir().unwrap();
    let root = Utf8PathBuf::from_path_buf(folder.path().to_owned()).unwrap();
    std::fs::create_dir(root.join("group_vars")).unwrap();
    std::fs::write(root.join("hosts.yml"), "g:\n  hosts:\n    h1:\n").unwrap();
    let text = "# hidden-comment\nfirst: hidden-a\nlist:\n  - hidden-b\nfirst: 'hidden c'\nbig: 99999999999999999999\n";
    let sealed = ansible::seal(text.as_bytes(), b"pw", None);
    std::fs::write(root.join("group_vars/g.yml"), sealed).unwrap();
    let keys = passwords(&["pw"]);
    let unlock = || (keys.clone(), Diagnostics::default());
    let (_, found) = load_with(std::slice::from_ref(&root), &[], &unlock);
    let shown = quorate::report::diagnostics::render(&conceal(&found, &|_| false), false);
    let shown = shown.replace(root.as_str(), "DIR");
    insta::assert_snapshot!(shown);
    assert!(
        !shown.contains("hidden") && !shown.contains("9999"),
        "{shown}"
    );
    let debug = format!("{found:?}");
    assert!(!debug.contains("hidden"), "{debug}");

    let sealed = ansible::seal(b"a: [hidden\nb: hidden\n", b"pw", None);
    std::fs::write(root.join("group_vars/g.yml"), sealed).unwrap();
    let (_, found) = load_with(std::slice::from_ref(&root), &[], &unlock);
    let shown = quorate::report::diagnostics::render(&conceal(&found, &|_| false), false);
    insta::assert_snapshot!("a_broken_one", shown.replace(root.as_str(), "DIR"));
    assert!(!shown.contains("hidden"), "{shown}");
}

#[test]
fn masks_hide_values_in_texts() {
    let masks = |values: &[&str]| Masks::new(values.iter().map(ToString::to_string));
    for (values, text, hidden) in [
        (&["longsecret"][..], "xlongsecretx", "x***x"),
        (&["root"], "root rootfs root: /root", "*** rootfs ***: /***"),
        (&["abc"], "abc", "abc"),
        (
            &["aaaa-bbbb", "aaaa-bbbb-cccc"],
            "aaaa-bbbb-cccc aaaa-bbbb",
            "*** ***",
        ),
        (
            &["say \"hi\" now"],
            r#"{"x":"say \"hi\" now"}"#,
            r#"{"x":"***"}"#,
        ),
        (&["longsecret"], "bG9uZ3NlY3JldA==", "***"),
        (&["-----BEGIN\nMIIEvQIB\nx\n"], "+MIIEvQIB\n-x", "+***\n-x"),
        (&["", "\n"], "nothing", "nothing"),
    ] {
        assert_eq!(masks(values).hide(text), hidden, "{values:?}");
    }
    assert_eq!(
        masks(&["3", "no"]).hide_all("not the number 3, no"),
        "not the number ***, ***"
    );
    let event = Event::StepStarted {
        host: quorate::model::HostName::new("longsecret").unwrap(),
        title: "set longsecret".into(),
    };
    let Event::StepStarted { host, title } = event.hide(&masks(&["longsecret"])) else {
        panic!("another event");
    };
    assert_eq!((host.as_str(), title.as_str()), ("longsecret", "set ***"));
}

/// What stands on the host is an older secret, which nobody here knows.
#[test]
fn a_difference_hides_the_older_value_too() {
    let mut diff = Diff {
        name: "/etc/app".into(),
        before: Some("user = app\npass = oldvalue # x\nport = 1\n".into()),
        after: "user = app\npass = newvalue1 # x\nport = 2\n".into(),
    };
    diff.mask(&[], &Masks::new(["newvalue1".to_owned()]));
    let shown = diff.unified();
    assert!(!shown.contains("value"), "{shown}");
    assert!(
        shown.contains("-port = 1") && shown.contains("+port = 2"),
        "{shown}"
    );
    let mut diff = Diff {
        name: "/etc/app".into(),
        before: Some("oldvalue\n".into()),
        after: "newvalue1\n".into(),
    };
    diff.mask(&[], &Masks::new(["newvalue1".to_owned()]));
    assert!(
        diff.unified()
            .contains("+(a secret that is not shown differs)")
    );
}

#[test]
fn a_command_with_a_decrypted_word_is_found() {
    use quorate::host::Effect;
    use quorate::host::effect::{Content, Expect, Run, WriteFile};
    use quorate::host::local::{Account, AccountAct, AccountKind};
    use quorate::model::Mode;
    let masks = Masks::new(["hidden-word".to_owned()]);
    let file = |content: &str, validate: &str| {
        Effect::WriteFile(WriteFile {
            path: "/etc/x".into(),
            content: Content::inline(content),
            mode: Mode::PRIVATE,
            owner: "root".into(),
            group: "root".into(),
            expect: Expect::Absent,
            validate: Some(validate.into()),
            backup: false,
            large: false,
        })
    };
    let account = |flag: &str| {
        Effect::Account(Account {
            kind: AccountKind::User,
            act: AccountAct::Add,
            name: "alice".into(),
            flags: vec!["--comment".into(), flag.into()],
        })
    };
    for (effect, expected) in [
        (Effect::Run(Run::new(["echo", "x=hidden-word"])), true),
        (Effect::Run(Run::new(["echo", "x"])), false),
        (file("hidden-word", "grep x %s"), false),
        (file("x", "grep hidden-word %s"), true),
        (account("a hidden-word"), true),
        (account("Alice"), false),
    ] {
        let found = effect.words().iter().any(|word| masks.finds(word));
        assert_eq!(found, expected, "{effect:?}");
    }
}
