//! What our scripts do to files under dash with the distribution's utilities, and under busybox with its own.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use quorate::host::record::End;
use quorate::host::script::{self, Handler, Step, Wave};
use quorate::host::{Content, Effect, Expect, Fact, Facts, Known, Run, WriteFile};
use quorate::model::{Mode, Sha256};

use super::sandbox::{NONCE, SHELLS, Sandbox, account, step};

pub(super) fn file(path: &str, text: &str, expect: Expect) -> WriteFile {
    WriteFile {
        path: path.into(),
        content: Content::inline(text),
        mode: Mode::PUBLIC,
        owner: account("-un"),
        group: account("-gn"),
        expect,
        validate: None,
        backup: false,
        large: false,
    }
}

pub(super) fn write(path: &str, text: &str, expect: Expect) -> Effect {
    Effect::WriteFile(file(path, text, expect))
}

pub(super) fn shell(text: &str) -> Effect {
    Effect::Run(Run::new(["/bin/sh", "-c", text]))
}

fn names(sandbox: &Sandbox, folder: &str) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(sandbox.path(folder))
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn files_are_written_once() {
    for kind in SHELLS {
        let sandbox = Sandbox::new(kind);
        let effect = write("/etc/a/b/c d", "one\n", Expect::Absent);
        assert_eq!(sandbox.one(effect.clone()).0, End::Changed);
        assert_eq!(sandbox.read("/etc/a/b/c d").as_deref(), Some("one\n"));
        assert_eq!(
            (
                sandbox.mode("/etc/a/b/c d"),
                sandbox.mode("/etc/a"),
                sandbox.mode("/etc/a/b")
            ),
            (0o644, 0o755, 0o755)
        );
        assert_eq!(sandbox.one(effect).0, End::Ok);
        let mut private = file("/etc/a/b/c d", "one\n", Expect::Any);
        private.mode = Mode::PRIVATE;
        assert_eq!(sandbox.one(Effect::WriteFile(private)).0, End::Changed);
        assert_eq!(sandbox.mode("/etc/a/b/c d"), 0o600);
        assert_eq!(names(&sandbox, "/etc/a/b"), ["c d"]);
        assert_eq!(
            names(&sandbox, "/run"),
            ["quorate"],
            "the work folder stays"
        );
    }
}

#[test]
fn what_goes_wrong_keeps_the_old_file() {
    for kind in SHELLS {
        let sandbox = Sandbox::new(kind);
        sandbox.write("/etc/x", "old");
        let kept = |outcome: (End, i32, String), word: &str| {
            assert_eq!(outcome.0, End::Failed, "{kind:?} {word}: {outcome:?}");
            assert!(outcome.2.contains(word), "{kind:?}: {outcome:?}");
            assert_eq!(sandbox.read("/etc/x").as_deref(), Some("old"));
            assert_eq!(names(&sandbox, "/etc"), ["x"]);
        };
        kept(
            sandbox.one(write("/etc/x", "new", Expect::Content(Sha256::of("other")))),
            "somebody else",
        );
        kept(
            sandbox.one(write("/etc/x", "new", Expect::Absent)),
            "somebody else",
        );
        let mut refused = file("/etc/x", "new", Expect::Any);
        refused.validate = Some("echo checked; ! grep -q new %s".into());
        let noted = Step {
            notify: vec!["r.h".into()],
            ..step(0, Effect::WriteFile(refused))
        };
        kept(sandbox.steps(vec![noted]).end(0).unwrap(), "checked");
        assert!(
            !sandbox.path("/var/lib/quorate/handlers/r.h").exists(),
            "nothing changed, nothing is notified"
        );
        sandbox.tool(
            "dd",
            &format!(
                "[ -e @/full ] && {{ printf ne; exit 1; }}\nexec {} dd \"$@\"",
                kind.real()
            ),
        );
        fs::write(sandbox.root().join("full"), "").unwrap();
        // The first dd of all reads the script itself.
        sandbox.tool(
            "dd",
            &format!(
                "case \"$*\" in *\"bs=3 \"*) printf ne; exit 1 ;; esac\nexec {} dd \"$@\"",
                kind.real()
            ),
        );
        kept(
            sandbox.one(write("/etc/x", "new", Expect::Any)),
            "could not be written",
        );
        sandbox.tool(
            "dd",
            &format!(
                "case \"$*\" in *\"bs=3 \"*) printf ne; exit 0 ;; esac\nexec {} dd \"$@\"",
                kind.real()
            ),
        );
        kept(
            sandbox.one(write("/etc/x", "new", Expect::Any)),
            "did not arrive whole",
        );
    }
}

#[test]
fn a_mount_point_is_written_in_place() {
    for kind in SHELLS {
        let sandbox = Sandbox::new(kind);
        sandbox.write("/etc/hosts", "old");
        fs::set_permissions(
            sandbox.path("/etc/hosts"),
            fs::Permissions::from_mode(0o600),
        )
        .unwrap();
        let prefix = kind.real();
        sandbox.tool(
            "mv",
            &format!("case \"$*\" in */hosts) exit 1 ;; esac\nexec {prefix} mv \"$@\""),
        );
        let (end, _, output) = sandbox.one(write("/etc/hosts", "new", Expect::Any));
        assert_eq!(
            (end, sandbox.read("/etc/hosts").as_deref()),
            (End::Changed, Some("new")),
            "{kind:?} {output}"
        );
        assert_eq!(
            (names(&sandbox, "/etc"), sandbox.mode("/etc/hosts")),
            (vec!["hosts".to_string()], 0o644)
        );
    }
}

#[test]
fn a_full_disk_puts_back_what_was_written_in_place() {
    for kind in SHELLS {
        let sandbox = Sandbox::new(kind);
        sandbox.write("/etc/hosts", "old");
        let prefix = kind.real();
        sandbox.tool(
            "mv",
            &format!("case \"$*\" in */hosts) exit 1 ;; esac\nexec {prefix} mv \"$@\""),
        );
        sandbox.tool(
            "cat",
            &format!("case \"$*\" in *-new) printf n; exit 1 ;; esac\nexec {prefix} cat \"$@\""),
        );
        let (end, _, output) = sandbox.one(write("/etc/hosts", "new", Expect::Any));
        assert_eq!(
            (end, sandbox.read("/etc/hosts").as_deref()),
            (End::Failed, Some("old")),
            "{kind:?} {output}"
        );
        assert_eq!(names(&sandbox, "/etc"), ["hosts"]);
    }
}

#[test]
fn files_links_and_directories_do_not_take_each_others_place_by_accident() {
    for kind in SHELLS {
        let sandbox = Sandbox::new(kind);
        sandbox.write("/etc/d/keep", "k");
        assert_eq!(
            sandbox.one(write("/etc/d", "new", Expect::Any)).0,
            End::Failed
        );
        let link = |path: &str, target: &str| Effect::Link {
            path: path.into(),
            target: target.into(),
        };
        assert_eq!(sandbox.one(link("/etc/d", "x")).0, End::Failed);
        assert_eq!(names(&sandbox, "/etc/d"), ["keep"]);
        sandbox.write("/etc/target", "t");
        assert_eq!(sandbox.one(link("/etc/l", "target")).0, End::Changed);
        assert_eq!(sandbox.one(link("/etc/l", "target")).0, End::Ok);
        assert_eq!(
            sandbox.one(write("/etc/l", "own", Expect::Absent)).0,
            End::Changed
        );
        assert_eq!(
            (
                sandbox.read("/etc/target").unwrap(),
                sandbox.read("/etc/l").unwrap()
            ),
            ("t".into(), "own".into())
        );
        let directory = Effect::Directory {
            path: "/etc/n/m".into(),
            mode: Some(Mode::PRIVATE),
            owner: None,
            group: None,
        };
        assert_eq!(sandbox.one(directory.clone()).0, End::Changed);
        assert_eq!(
            (sandbox.mode("/etc/n"), sandbox.mode("/etc/n/m")),
            (0o755, 0o600)
        );
        assert_eq!(sandbox.one(directory).0, End::Ok);
        assert_eq!(
            sandbox
                .one(Effect::Remove {
                    path: "/etc/n".into()
                })
                .0,
            End::Changed
        );
        assert_eq!(
            sandbox
                .one(Effect::Remove {
                    path: "/etc/n".into()
                })
                .0,
            End::Ok
        );
    }
}

#[test]
fn the_payload_stays_aligned_where_steps_have_nothing_to_do() {
    for kind in SHELLS {
        let sandbox = Sandbox::new(kind);
        sandbox.write("/etc/same", "as it is");
        sandbox.write("/images", "a.io/there:1\n");
        let large = "L".repeat((2 << 20) + 77);
        let mut big = file("/etc/big", &large, Expect::Any);
        big.large = true;
        let image = |name: &str| Effect::ImportImage {
            archive: Content::inline(format!("{name}\n")),
            names: vec![name.into()],
        };
        let mut fed = Run::new(["/bin/sh", "-c", "cat >\"$1\"", "sh", "/etc/fed"]);
        fed.stdin = Some(Content::inline("fed"));
        let mut unfed = fed.clone();
        unfed.creates = Some("/etc/same".into());
        let wave = Wave {
            run: "r".into(),
            steps: vec![
                step(0, write("/etc/same", "as it is", Expect::Any)),
                step(1, image("a.io/there:1")),
                step(2, Effect::WriteFile(big.clone())),
                step(3, Effect::Run(unfed)),
                step(4, write("/etc/empty", "", Expect::Any)),
                step(5, Effect::Run(fed)),
                step(6, image("a.io/new:1")),
            ],
            handlers: vec![Handler {
                name: "r.no".into(),
                steps: vec![step(7, write("/etc/no", "no", Expect::Any))],
            }],
            gates: vec![step(8, write("/etc/last", "last", Expect::Any))],
            ..Wave::default()
        };
        let outcome = sandbox.wave(&wave);
        let ends: Vec<End> = (0..7)
            .map(|i| {
                outcome
                    .end(i)
                    .unwrap_or_else(|| panic!("{kind:?} {i}: {outcome:?}"))
                    .0
            })
            .collect();
        use End::{Changed, Ok};
        assert_eq!(
            ends,
            [Ok, Ok, Changed, Ok, Changed, Changed, Changed],
            "{kind:?}"
        );
        assert!(outcome.finished() && outcome.end(7).is_none());
        assert_eq!(sandbox.read("/etc/big").unwrap(), large);
        for (path, text) in [
            ("/etc/empty", ""),
            ("/etc/fed", "fed"),
            ("/etc/last", "last"),
            ("/images", "a.io/there:1\na.io/new:1\n"),
        ] {
            assert_eq!(sandbox.read(path).as_deref(), Some(text), "{kind:?} {path}");
        }
        // The record of a large file is believed, so that nobody reads it again.
        let sums = sandbox.read("/var/lib/quorate/sums").unwrap();
        let other = Sha256::of("other");
        sandbox.write(
            "/var/lib/quorate/sums",
            &sums.replace(&Sha256::of(&large).to_string(), &other.to_string()),
        );
        let seen = |fact: Fact| match sandbox.probe(&Facts::from([fact])).file("/etc/big") {
            Known::Is(Some(state)) => state.sha256,
            other => panic!("{other:?}"),
        };
        assert_eq!(
            seen(Fact::LargeFile("/etc/big".into())),
            Some(other),
            "{kind:?}"
        );
        assert_eq!(
            seen(Fact::File("/etc/big".into())),
            Some(Sha256::of(&large)),
            "{kind:?}"
        );
        sandbox.write("/etc/big", "somebody else's");
        assert_eq!(
            seen(Fact::LargeFile("/etc/big".into())),
            Some(Sha256::of("somebody else's")),
            "{kind:?}"
        );
    }
}

/// What arrived whole stays and has its record; nothing is left of the file that was on its way.
#[test]
fn an_upload_that_is_cut_leaves_whole_files_alone() {
    const LENGTH: usize = 300_000;
    let large = |path: &str, letter: &str| {
        let text = letter.repeat(LENGTH);
        let large = true;
        Effect::WriteFile(WriteFile {
            large,
            ..file(path, &text, Expect::Any)
        })
    };
    for kind in SHELLS {
        let sandbox = Sandbox::new(kind);
        let wave = Wave {
            run: "r1".into(),
            steps: vec![
                step(0, large("/etc/first", "a")),
                step(1, large("/etc/second", "b")),
            ],
            ..Wave::default()
        };
        let request = script::request(&wave, NONCE);
        let (mut idle, stdin) = sandbox.start(&request);
        idle.kill().unwrap();
        idle.wait().unwrap();
        sandbox.exec(&request, stdin.len() - LENGTH / 2);
        let whole = Sha256::of("a".repeat(LENGTH));
        let sums = sandbox.read("/var/lib/quorate/sums").unwrap();
        assert!(sums.contains(&whole.to_string()), "{kind:?}: {sums}");
        let large = ["/etc/first", "/etc/second"].map(|path| Fact::LargeFile(path.into()));
        let seen = sandbox.probe(&Facts::from(large));
        let first = seen.file("/etc/first");
        assert!(
            first.is(|f| f.is_some_and(|f| f.sha256 == Some(whole))),
            "{kind:?}"
        );
        assert!(seen.file("/etc/second").is(|f| f.is_none()), "{kind:?}");
        let left = names(&sandbox, "/etc");
        assert!(
            !left.iter().any(|name| name.contains("second")),
            "{kind:?}: {left:?}"
        );
    }
}

#[test]
fn a_script_that_was_cut_off_does_nothing() {
    for kind in SHELLS {
        let sandbox = Sandbox::new(kind);
        let steps = vec![
            step(0, write("/etc/a", "1", Expect::Any)),
            step(
                1,
                Effect::Remove {
                    path: "/etc/b".into(),
                },
            ),
        ];
        sandbox.write("/etc/b", "stays");
        let request = script::request(
            &Wave {
                run: "r".into(),
                steps,
                ..Wave::default()
            },
            NONCE,
        );
        let before = sandbox.tree();
        let length = request.stdin()[0].length() as usize;
        for limit in (0..length).step_by(997) {
            let (stdout, _) = sandbox.exec(&request, limit);
            assert!(
                !String::from_utf8_lossy(&stdout).contains(NONCE),
                "{kind:?} after {limit} bytes"
            );
            assert_eq!(sandbox.tree(), before, "{kind:?} after {limit} bytes");
        }
    }
}
