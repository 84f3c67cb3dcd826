//! What a wave does under both shells beside files: commands, handlers and units, what comes back of them, and its lock.

use std::fs;

use quorate::host::record::{End, WaveRecord};
use quorate::host::script::{self, Handler, Step, Wave};
use quorate::host::{Effect, Expect, Facts, Run, UnitAct, probe};

use super::sandbox::{NONCE, SHELLS, Sandbox, step};
use super::shell::{shell, write};

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

/// A daemon that was started again and again until systemd gave up is no reason to start it no more, once its cause is mended.
#[test]
fn a_unit_that_has_failed_is_started_as_a_new_one() {
    const FAILED: &str = "case $1 in
is-active) echo failed; false ;;
*) echo \"$*\" >>@/systemctl.log; [ $1 = reset-failed ] || [ -e @/reset ]; case $1 in reset-failed) : >@/reset ;; esac ;;
esac";
    for kind in SHELLS {
        for (act, log) in [
            (UnitAct::Started, "reset-failed u\nstart u\n"),
            (UnitAct::Restarted, "reset-failed u\nrestart u\n"),
        ] {
            let sandbox = Sandbox::new(kind);
            sandbox.tool("systemctl", FAILED);
            let (end, _, output) = sandbox.one(Effect::Unit(act, "u".into()));
            assert_eq!(end, End::Changed, "{kind:?} {output}");
            assert_eq!(sandbox.read("/systemctl.log").as_deref(), Some(log));
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
