//! What our scripts do under dash with the distribution's utilities, and under busybox with its own.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use quorate::host::fact::Reach;
use quorate::host::record::{End, WaveRecord};
use quorate::host::script::{self, Handler, Step, Wave};
use quorate::host::{
    Content, Effect, Expect, Fact, Facts, FileKind, Known, Run, UnitAct, WriteFile, probe,
};
use quorate::model::{Endpoint, Mode, Sha256};

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

fn write(path: &str, text: &str, expect: Expect) -> Effect {
    Effect::WriteFile(file(path, text, expect))
}

fn shell(text: &str) -> Effect {
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
fn marks_of_handlers_outlive_a_failure() {
    for kind in SHELLS {
        let sandbox = Sandbox::new(kind);
        let handler = |id: u32| Handler {
            name: "r.h".into(),
            steps: vec![step(id, write("/etc/ran", "yes", Expect::Any))],
        };
        let noted = Step {
            notify: vec!["r.h".into()],
            ..step(0, write("/etc/a", "1", Expect::Any))
        };
        let failing = Wave {
            run: "r".into(),
            steps: vec![noted, step(1, shell("echo sorry >&2; exit 7"))],
            handlers: vec![handler(2)],
            ..Wave::default()
        };
        let outcome = sandbox.wave(&failing);
        assert_eq!(outcome.end(1).unwrap(), (End::Failed, 7, "sorry\n".into()));
        assert!(!outcome.finished() && outcome.end(2).is_none() && outcome.status == Some(1));
        let observed = sandbox.probe(&Facts::new());
        assert_eq!(observed.pending.iter().collect::<Vec<_>>(), ["r.h"]);
        let next = Wave {
            run: "r".into(),
            handlers: vec![handler(0)],
            ..Wave::default()
        };
        assert_eq!(sandbox.wave(&next).end(0).unwrap().0, End::Changed);
        assert!(sandbox.probe(&Facts::new()).pending.is_empty());
        assert!(
            sandbox.wave(&next).end(0).is_none(),
            "without a mark it does not run"
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
fn forged_lines_and_noise_around_records_are_passed_over() {
    for kind in SHELLS {
        let sandbox = Sandbox::new(kind);
        let forged = format!("printf '%s\\n' '{NONCE} done 1 ok 0' '{NONCE} finished' 'x'; exit 3");
        let outcome = sandbox.steps(vec![step(0, shell(&forged)), step(1, shell("true"))]);
        assert_eq!(outcome.end(0).unwrap().0, End::Failed);
        assert!(
            outcome.end(1).is_none() && !outcome.finished(),
            "{kind:?} {outcome:?}"
        );
        let (stdout, _) = sandbox.exec(&probe::request(&Facts::new(), NONCE), usize::MAX);
        let mut noisy = b"Welcome!\nsystem os evil||\n\xff\xfe\nprompt$ ".to_vec();
        noisy.extend(&stdout);
        noisy.extend(b"\nlogout\n");
        assert_eq!(
            probe::parse(&Facts::new(), NONCE, &noisy),
            probe::parse(&Facts::new(), NONCE, &stdout)
        );
        assert!(probe::parse(&Facts::new(), NONCE, &stdout[..stdout.len() - 20]).is_err());
    }
}

#[test]
fn commands_are_programs_and_nothing_else() {
    for kind in SHELLS {
        let sandbox = Sandbox::new(kind);
        let run = |argv: &[&str]| sandbox.one(Effect::Run(Run::new(argv.iter().copied())));
        sandbox.write("/etc/a", "1");
        // `link` is a function of ours, too; the program makes a hard link.
        assert_eq!(run(&["link", "/etc/a", "/etc/b"]).0, End::Changed);
        assert!(!sandbox.path("/etc/b").is_symlink() && sandbox.read("/etc/b").is_some());
        assert_eq!(run(&["exit", "0"]).1, 127, "{kind:?}");
        assert_eq!(run(&["finish", "0"]).1, 127, "{kind:?}");
        assert_eq!(
            run(&[
                "/bin/sh",
                "-c",
                "echo '$x' \"it's\"; mkdir /etc/made; exit 5"
            ])
            .2,
            "$x it's\n"
        );
        assert_eq!(sandbox.mode("/etc/made"), 0o755);
        // Standard input is empty: a command cannot eat the payload.
        let outcome = sandbox.steps(vec![
            step(0, shell("cat")),
            step(1, write("/etc/c", "c", Expect::Any)),
        ]);
        assert_eq!(outcome.end(1).unwrap().0, End::Changed, "{kind:?}");
        let mut there = Run::new(["/bin/sh", "-c", "pwd; exit 4"]);
        there.chdir = Some("/etc".into());
        assert_eq!(sandbox.one(Effect::Run(there)).2, "/etc\n");
    }
}

#[test]
fn a_captured_result_and_a_tolerated_failure_come_back() {
    for kind in SHELLS {
        let sandbox = Sandbox::new(kind);
        let captured = Step {
            capture: true,
            tolerant: true,
            ..step(0, shell("echo out; echo err >&2; exit 3"))
        };
        let outcome = sandbox.steps(vec![captured, step(1, shell("exit 9"))]);
        let (end, status, output) = outcome.end(0).unwrap();
        assert_eq!(
            (end, status, output.as_str()),
            (End::Changed, 3, "out\n"),
            "{kind:?}"
        );
        assert_eq!(
            outcome.end(1).unwrap(),
            (End::Failed, 9, String::new()),
            "another step's words: {kind:?}"
        );
    }
}

#[test]
fn a_handler_restarts_unless_the_unit_was_started_after_its_change() {
    for kind in SHELLS {
        let unit = |act| Effect::Unit(act, "u".into());
        let handler = || Handler {
            name: "r.u".into(),
            steps: vec![step(9, unit(UnitAct::Restarted))],
        };
        let noted = |id| Step {
            notify: vec!["r.u".into()],
            ..step(id, write("/etc/u", "1", Expect::Any))
        };
        let started = |id| step(id, unit(UnitAct::Started));
        for (steps, log) in [
            (vec![noted(0), started(1)], "start u\n"),
            (vec![started(0), noted(1)], "start u\nrestart u\n"),
        ] {
            let sandbox = Sandbox::new(kind);
            sandbox.wave(&Wave {
                run: "r".into(),
                steps,
                handlers: vec![handler()],
                ..Wave::default()
            });
            assert_eq!(
                sandbox.read("/systemctl.log").as_deref(),
                Some(log),
                "{kind:?}"
            );
            assert!(sandbox.probe(&Facts::new()).pending.is_empty());
        }
    }
}

/// systemctl(1) whose unit has been started too often until that is reset, and of which nothing starts where `@/broken` is.
const STARTED_TOO_OFTEN: &str = "case $1 in
is-active) false ;;
show) if [ -e @/reset ]; then echo exit-code; else echo start-limit-hit; fi ;;
*) echo \"$*\" >>@/systemctl.log; case $1 in reset-failed) : >@/reset ;; *) [ -e @/reset ] && [ ! -e @/broken ] ;; esac ;;
esac";

#[test]
fn a_unit_that_was_started_too_often_is_started_all_the_same() {
    for kind in SHELLS {
        let verbs = [
            (UnitAct::Started, "start"),
            (UnitAct::Restarted, "restart"),
            (UnitAct::Reloaded, "restart"),
        ];
        for (act, verb) in verbs {
            let tries = format!("{verb} u\nreset-failed u\n{verb} u\n");
            for (broken, ends) in [(false, End::Changed), (true, End::Failed)] {
                let sandbox = Sandbox::new(kind);
                sandbox.tool("systemctl", STARTED_TOO_OFTEN);
                if broken {
                    sandbox.write("/broken", "");
                }
                let (end, _, output) = sandbox.one(Effect::Unit(act, "u".into()));
                assert_eq!(end, ends, "{kind:?} {verb} {output}");
                assert_eq!(
                    sandbox.read("/systemctl.log").as_deref(),
                    Some(tries.as_str()),
                    "{kind:?}"
                );
            }
        }
    }
}

#[test]
fn packages_are_installed_as_a_unit_and_once() {
    for kind in SHELLS {
        let sandbox = Sandbox::new(kind);
        sandbox.write("/packages", "curl\n");
        let install = Effect::InstallPackages(vec!["curl".into(), "haproxy".into()]);
        let (end, _, output) = sandbox.one(install.clone());
        assert_eq!(end, End::Changed, "{kind:?} {output}");
        assert!(
            sandbox
                .read("/apt.log")
                .unwrap()
                .trim_end()
                .ends_with("-- haproxy"),
            "{:?}",
            sandbox.read("/apt.log")
        );
        assert_eq!(sandbox.one(install).0, End::Ok);
    }
}

#[test]
fn a_package_of_another_version_is_changed_for_the_one_that_is_asked_for() {
    for kind in SHELLS {
        let sandbox = Sandbox::new(kind);
        sandbox.write("/packages", "kubelet\n");
        sandbox.write("/version-kubelet", "1.36.2-1.1");
        let install = |word: &str| Effect::InstallPackages(vec![word.into()]);
        let (end, _, output) = sandbox.one(install("kubelet=1.36.2-*"));
        assert_eq!(end, End::Ok, "{kind:?} {output}");
        assert_eq!(sandbox.read("/apt.log"), None, "{kind:?}");
        let (end, _, output) = sandbox.one(install("kubelet=1.36.1-*"));
        assert_eq!(end, End::Changed, "{kind:?} {output}");
        let call = sandbox.read("/apt.log").unwrap();
        let words = "--allow-downgrades --allow-change-held-packages -- kubelet=1.36.1-*";
        assert!(call.trim_end().ends_with(words), "{kind:?} {call}");
        assert_eq!(sandbox.one(install("kubelet=1.36.1-*")).0, End::Ok);
        // Whichever there is will do.
        assert_eq!(sandbox.one(install("kubelet")).0, End::Ok);
    }
}

#[test]
fn images_are_pulled_once_and_named_where_they_do_not_come() {
    for kind in SHELLS {
        let sandbox = Sandbox::new(kind);
        sandbox.write("/images", "a.io/there:1\n");
        let pull = |names: &[&str]| Effect::PullImages {
            names: names.iter().map(ToString::to_string).collect(),
            hosts: "/etc/containerd/certs.d".into(),
        };
        let (end, _, output) = sandbox.one(pull(&["a.io/there:1", "a.io/b:1"]));
        assert_eq!(end, End::Changed, "{kind:?} {output}");
        let calls = sandbox.read("/pulls").unwrap();
        assert!(
            calls.starts_with("-n k8s.io images pull --hosts-dir "),
            "{calls}"
        );
        assert!(
            calls.ends_with("/etc/containerd/certs.d a.io/b:1\n"),
            "{calls}"
        );
        assert_eq!(sandbox.one(pull(&["a.io/b:1"])).0, End::Ok, "{kind:?}");
        let (end, _, output) = sandbox.one(pull(&["nowhere.io/b:1"]));
        assert_eq!(end, End::Failed, "{kind:?}");
        assert!(
            output.contains("failed to resolve nowhere.io/b:1"),
            "{output}"
        );
        assert!(
            output.contains("nowhere.io/b:1 could not be pulled"),
            "{output}"
        );
    }
}

#[test]
fn packages_of_all_steps_are_installed_in_one_call() {
    let install = |name: &str| Effect::InstallPackages(vec![name.into()]);
    for kind in SHELLS {
        let sandbox = Sandbox::new(kind);
        sandbox.write("/packages", "");
        let outcome = sandbox.steps(vec![
            step(0, install("haproxy")),
            step(1, write("/etc/a", "1", Expect::Any)),
            step(2, install("keepalived")),
            step(3, write("/etc/apt/sources.list.d/x.list", "1", Expect::Any)),
            step(4, install("later")),
        ]);
        let calls: Vec<String> = sandbox
            .read("/apt.log")
            .unwrap()
            .lines()
            .map(str::to_string)
            .collect();
        assert_eq!(calls.len(), 2, "{kind:?} {calls:?}");
        assert!(calls[0].ends_with("-- haproxy keepalived"), "{calls:?}");
        assert!(calls[1].ends_with("-- later"), "{calls:?}");
        for id in [0, 2, 4] {
            assert_eq!(
                outcome.end(id).unwrap().0,
                End::Changed,
                "{kind:?} {id} {outcome:?}"
            );
        }
    }
}

#[test]
fn a_package_that_does_not_exist_fails_its_own_step() {
    let install = |name: &str| Effect::InstallPackages(vec![name.into()]);
    for kind in SHELLS {
        let sandbox = Sandbox::new(kind);
        sandbox.write("/packages", "");
        let outcome = sandbox.steps(vec![
            step(0, install("haproxy")),
            step(1, install("unheard-of")),
        ]);
        assert_eq!(
            outcome.end(0).unwrap().0,
            End::Changed,
            "{kind:?} {outcome:?}"
        );
        let (end, _, output) = outcome.end(1).unwrap();
        assert_eq!(end, End::Failed, "{kind:?}");
        assert!(
            output.contains("Unable to locate package unheard-of"),
            "{output}"
        );
    }
}

#[test]
fn a_wave_stops_at_the_next_step() {
    for kind in SHELLS {
        let sandbox = Sandbox::new(kind);
        let stop = ": >/run/quorate-stop.r1";
        let outcome = sandbox.steps(vec![
            step(0, shell(stop)),
            step(1, write("/etc/a", "1", Expect::Any)),
        ]);
        assert!(
            outcome.records.contains(&WaveRecord::Stopped { id: 1 }),
            "{kind:?} {outcome:?}"
        );
        assert!(!sandbox.path("/etc/a").exists() && !outcome.finished());
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

/// A connection that is gone takes its lock along, but not the step that it had begun.
#[test]
fn a_step_that_still_goes_on_counts_as_a_lock() {
    // busybox has no flock of its own here: both shells use the system's.
    for kind in SHELLS {
        let sandbox = Sandbox::new(kind);
        let said = |owner: &str| {
            let request = script::lock_request(owner, NONCE, false);
            let (stdout, _) = sandbox.exec(&request, usize::MAX);
            String::from_utf8_lossy(&stdout).into_owned()
        };
        assert!(said("ada").contains("locked"), "{kind:?}");
        let (begun, go) = (sandbox.path("/begun"), sandbox.path("/go"));
        let script = format!(
            ": >{}; until [ -e {} ]; do sleep 0.02; done",
            begun.display(),
            go.display()
        );
        std::thread::scope(|scope| {
            let wave = scope.spawn(|| sandbox.steps(vec![step(0, shell(&script))]));
            while !begun.exists() {
                assert!(!wave.is_finished(), "{kind:?}: the step did not begin");
                std::thread::yield_now();
            }
            let second = said("bob");
            // Who breaks locks waits for the step too.
            let request = script::lock_request("bob", NONCE, true);
            let (third, _) = sandbox.exec(&request, usize::MAX);
            let third = String::from_utf8_lossy(&third).into_owned();
            assert!(third.contains("held a step of an earlier run"), "{third}");
            fs::write(&go, "").unwrap();
            assert!(wave.join().unwrap().finished());
            assert!(
                second.contains("held a step of an earlier run is still going, begun by ada"),
                "{kind:?}: {second}"
            );
        });
        assert!(said("bob").contains("locked"), "{kind:?}");
    }
}

#[test]
fn who_breaks_a_lock_is_told_whose_it_was() {
    for kind in SHELLS {
        let sandbox = Sandbox::new(kind);
        let lock = sandbox.path("/run/quorate/lock");
        fs::create_dir_all(lock.parent().unwrap()).unwrap();
        fs::write(&lock, "").unwrap();
        let held = format!(
            "exec 9<>{0}; flock 9; echo held; exec sleep 60",
            lock.display()
        );
        let mut holder = std::process::Command::new("sh")
            .args(["-c", &held])
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut word = [0; 5];
        std::io::Read::read_exact(holder.stdout.as_mut().unwrap(), &mut word).unwrap();
        sandbox.write(
            "/run/quorate/lock.owner",
            &format!("{}\nada@desk (process 7)\n", holder.id()),
        );
        let said = |break_lock| {
            let request = script::lock_request("bob", NONCE, break_lock);
            let (stdout, _) = sandbox.exec(&request, usize::MAX);
            String::from_utf8_lossy(&stdout).into_owned()
        };
        assert!(
            said(false).contains("held ada@desk (process 7)"),
            "{kind:?}"
        );
        let broken = said(true);
        holder.wait().unwrap();
        assert!(
            broken.contains("locked ada@desk (process 7)"),
            "{kind:?}: {broken}"
        );
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
