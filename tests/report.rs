//! What a run looks like, from committed journals and made-up records.

#![expect(clippy::unwrap_used, reason = "tests")]

#[path = "report/drill.rs"]
mod drill;
#[path = "report/fleet.rs"]
mod fleet;
#[path = "report/history.rs"]
mod history;
#[path = "report/hostile.rs"]
mod hostile;
#[path = "report/journal.rs"]
mod journals;
#[path = "report/plan.rs"]
mod plan;
#[path = "report/schema.rs"]
mod schema;
#[path = "report/stopped.rs"]
mod stopped;

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use jiff::{SignedDuration, Timestamp};
use quorate::engine::journal;
use quorate::event::{
    Category, Event, ExitCode, Recap, Record, Reporter, Status, TimeSplit, Trouble, VERSION,
};
use quorate::model::{Diagnostic, Diagnostics, HostName, Source, Span};
use quorate::report::{
    Json, Options, Plain, PlanView, Pretty, Reporters, Surface, diagnostics, render_recap,
};

/// A writer whose content can be looked at afterwards.
#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Buffer {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

fn unstyled(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}

fn journal(name: &str) -> Vec<Record> {
    let path = format!("{}/tests/data/{name}.jsonl", env!("CARGO_MANIFEST_DIR"));
    let (records, warnings) = journal::read(path.as_ref()).unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    records
}

fn host(name: &str) -> HostName {
    HostName::new(name).unwrap()
}

/// Returns the record of an event `ms` milliseconds after the start.
fn at(ms: i64, event: Event) -> Record {
    let start: Timestamp = "2026-11-14T10:00:00Z".parse().unwrap();
    Record {
        v: VERSION,
        seq: 0,
        at: start + SignedDuration::from_millis(ms),
        event,
    }
}

fn started(command: &str, hosts: &[&str]) -> Event {
    Event::RunStarted {
        run: "00".into(),
        command: command.into(),
        cluster: "kubernetes".into(),
        user: "ada".into(),
        version: "0.1.0".into(),
        hosts: hosts.iter().map(|name| host(name)).collect(),
    }
}

fn step(name: &str, status: Status, category: Category, seconds: f64) -> Event {
    Event::StepFinished {
        host: host(name),
        title: "a step".into(),
        status,
        category,
        seconds,
        detail: vec!["its last line".into()],
        help: None,
    }
}

fn trouble(name: &str, trouble: Trouble) -> Event {
    Event::HostTrouble {
        host: host(name),
        trouble,
        message: "no answer in 10 s".into(),
        help: None,
    }
}

fn planned(name: &str) -> Event {
    Event::Planned {
        host: host(name),
        title: "haproxy : service".into(),
        changes: Vec::new(),
        disturbs: false,
        since: None,
    }
}

fn report(reporter: &mut dyn Reporter, records: &[Record]) {
    records
        .iter()
        .for_each(|record| reporter.record(record).unwrap());
    reporter.finish().unwrap();
}

#[test]
fn recap_of_an_apply() {
    let recap = Recap::of(&journal("apply"));
    insta::assert_snapshot!(
        "recap",
        unstyled(&render_recap(
            &recap,
            Some(".quorate/journal/x.jsonl"),
            false
        ))
    );
    insta::assert_snapshot!("recap_verbose", unstyled(&render_recap(&recap, None, true)));
}

#[test]
fn recap_line_is_the_contract_s() {
    let mut records = vec![at(0, started("apply", &["cp1"]))];
    records.push(at(
        0,
        Event::Unchanged {
            host: host("cp1"),
            ok: 21,
            skipped: 2,
            unshown: None,
        },
    ));
    records.push(at(
        0,
        Event::Connected {
            host: host("cp1"),
            seconds: 0.1,
        },
    ));
    for kind in [
        quorate::event::ExecKind::Probe,
        quorate::event::ExecKind::Wave,
        quorate::event::ExecKind::Lock,
    ] {
        records.push(at(
            0,
            Event::ExecStarted {
                host: host("cp1"),
                kind,
                bytes: 1,
            },
        ));
    }
    for _ in 0..3 {
        records.push(at(0, step("cp1", Status::Changed, Category::Own, 0.1)));
    }
    records.push(at(
        1900,
        Event::HostFinished {
            host: host("cp1"),
            seconds: 1.9,
        },
    ));
    let text = unstyled(&render_recap(&Recap::of(&records), None, false));
    let line = text.lines().next().unwrap();
    assert_eq!(
        line,
        "cp1 : ok=21 changed=3 failed=0 skipped=2 · 1 session · 2 execs · 1.9 s"
    );
}

#[test]
fn hosts_that_fail_alike_are_named_together() {
    let names: Vec<String> = (1..=12).map(|n| format!("w{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut records = vec![at(0, started("apply", &names))];
    records.extend(
        names
            .iter()
            .map(|name| at(10, trouble(name, Trouble::Unreachable))),
    );
    let recap = Recap::of(&records);
    assert_eq!(recap.failures.len(), 1);
    let text = unstyled(&render_recap(&recap, None, false));
    assert!(
        text.starts_with(
            "failed: w1, w2, w3, w4, w5, w6, w7 and 5 more: unreachable\n    no answer"
        ),
        "{text}"
    );
}

#[test]
fn plain_lines() {
    for (name, verbosity, diff, level) in [
        ("apply", 0, false, ""),
        ("apply", -1, false, "_quiet"),
        ("plan", 0, true, ""),
        ("plan", 2, false, "_verbose"),
    ] {
        let buffer = Buffer::default();
        let options = Options {
            verbosity,
            diff,
            ..Options::default()
        };
        report(
            &mut Plain::new(Box::new(buffer.clone()), options),
            &journal(name),
        );
        insta::assert_snapshot!(format!("plain_{name}{level}"), buffer.text());
    }
}

#[test]
fn pretty_lines() {
    for (name, diff) in [("apply", false), ("plan", true)] {
        let buffer = Buffer::default();
        let options = Options {
            diff,
            ..Options::default()
        };
        let surface = Surface::Stream(Box::new(buffer.clone()));
        report(&mut Pretty::new(surface, options, true), &journal(name));
        insta::assert_snapshot!(format!("pretty_{name}"), unstyled(&buffer.text()));
    }
}

#[test]
fn json_lines_are_the_journal_s() {
    let buffer = Buffer::default();
    let records = journal("apply");
    report(&mut Json::new(Box::new(buffer.clone())), &records);
    let path = format!("{}/tests/data/apply.jsonl", env!("CARGO_MANIFEST_DIR"));
    assert!(
        buffer
            .text()
            .lines()
            .all(|line| line.starts_with(r#"{"v":1,"seq":"#))
    );
    assert_eq!(
        buffer.text().lines().count(),
        std::fs::read_to_string(path).unwrap().lines().count()
    );
}

#[test]
fn many_hosts_with_one_plan_are_one_entry() {
    let names: Vec<String> = (1..=30).map(|n| format!("w{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut records = vec![at(0, started("plan", &names))];
    records.extend(names[..28].iter().map(|name| at(10, planned(name))));
    records.push(at(15, unchanged("w29")));
    records.push(at(20, trouble("w30", Trouble::Unreachable)));
    let mut view = PlanView::default();
    records.iter().for_each(|record| view.add(record));
    insta::assert_snapshot!(unstyled(&view.render(&Recap::of(&records), &Options::default())), @r"
    w1, w2, w3, w4, w5, w6, w7, w8, w9, w10, w11 and 17 more
      change
        ~ haproxy : service

    in all: change 28
    plan: 28 hosts would change, 1 unchanged, 1 could not be read
    ");
}

fn unchanged(name: &str) -> Event {
    Event::Unchanged {
        host: host(name),
        ok: 3,
        skipped: 0,
        unshown: None,
    }
}

/// Of a host that was not looked at nothing is said, however the run ended.
#[test]
fn a_plan_knows_whom_it_has_not_read() {
    let probed = |name: &str| Event::Probed {
        host: host(name),
        seconds: 0.1,
    };
    let ended = Event::RunFinished {
        exit: 0,
        seconds: 1.0,
    };
    let interrupted = Event::Interrupted { hosts: Vec::new() };
    let summary = |events: Vec<Event>| {
        let mut records = vec![at(0, started("plan", &["a", "b", "c"]))];
        records.extend(events.into_iter().map(|event| at(10, event)));
        let mut view = PlanView::default();
        records.iter().for_each(|record| view.add(record));
        unstyled(&view.render(&Recap::of(&records), &Options::default()))
    };
    for (events, text) in [
        (Vec::new(), "0 hosts would change, 0 unchanged, 3 not read"),
        (
            vec![probed("a")],
            "0 hosts would change, 0 unchanged, 3 not read",
        ),
        (
            vec![probed("a"), unchanged("a"), probed("b"), planned("b")],
            "1 host would change, 1 unchanged, 1 not read",
        ),
        (
            vec![probed("a"), interrupted, ended.clone()],
            "0 hosts would change, 0 unchanged, 3 not read",
        ),
        // A control plane that `--limit` does not choose is asked and not planned.
        (
            vec![
                probed("a"),
                unchanged("a"),
                probed("b"),
                trouble("c", Trouble::Lost),
                ended,
            ],
            "0 hosts would change, 1 unchanged, 1 could not be read",
        ),
    ] {
        let shown = summary(events);
        assert!(shown.ends_with(&format!("plan: {text}\n")), "{shown}");
    }
}

#[test]
fn diffs_have_colours() {
    let mut view = PlanView::default();
    let records = journal("plan");
    records.iter().for_each(|record| view.add(record));
    let options = Options {
        diff: true,
        ..Options::default()
    };
    let text = view.render(&Recap::of(&records), &options);
    assert!(text.contains("\x1b[31m-    \x1b[0m"), "{text:?}");
    assert!(text.contains("\x1b[32m+    \x1b[0m"), "{text:?}");
}

#[test]
fn findings_are_shown_all_at_once() {
    let text = "all:\n  hosts:\n    cp1:\n      apiserver_vpi: 10.0.0.10\n    ключ: [\n";
    let source = Arc::new(Source::new("inventory/hosts.yml", text));
    let span = |word: &str| {
        let start = text.find(word).unwrap();
        Span {
            source: source.clone(),
            range: start..start + word.len(),
        }
    };
    let mut findings = Diagnostics::default();
    findings.push(
        Diagnostic::error("nothing knows the variable `apiserver_vpi`")
            .at(span("apiserver_vpi"))
            .help("did you mean `apiserver_vip`?"),
    );
    findings
        .push(Diagnostic::warning("a host's name has characters outside ASCII").at(span("ключ")));
    findings.push(
        Diagnostic::error("`kubernetes_version` is required").help("set it in group_vars/all.yml"),
    );
    // A place outside the text, and one across lines, must not panic.
    findings.push(Diagnostic::error("the list is not closed").at(Span {
        source: source.clone(),
        range: 9999..10_000,
    }));
    findings.push(Diagnostic::error("not a map").at(Span {
        source: source.clone(),
        range: 0..text.len(),
    }));
    let shown = diagnostics::render(&findings, false);
    assert!(!shown.contains('\x1b'));
    insta::assert_snapshot!("diagnostics", shown);
    assert!(diagnostics::render(&findings, true).contains("\x1b["));
    assert_eq!(diagnostics::render(&Diagnostics::default(), true), "");
    let json = diagnostics::json(&findings);
    let first: serde_json::Value = serde_json::from_str(json.lines().next().unwrap()).unwrap();
    assert_eq!(
        (first["line"].as_u64(), first["column"].as_u64()),
        (Some(4), Some(7))
    );
    assert_eq!(first["severity"], "error");
}

#[test]
fn exit_codes_in_their_order() {
    use ExitCode::*;
    let failed = || step("a", Status::Failed, Category::Own, 1.0);
    let unreachable = || trouble("b", Trouble::Unreachable);
    let locked = || trouble("b", Trouble::Locked);
    let refused = || Event::Refused {
        hosts: vec![host("a")],
        message: "two identities".into(),
        help: None,
    };
    let cluster_failed = || Event::ClusterFailed {
        message: "no /healthz".into(),
        help: None,
    };
    let interrupted = || Event::Interrupted {
        hosts: vec![host("a")],
    };
    let seen = |healthy| Event::Cluster {
        summary: "seen".into(),
        healthy,
    };
    let changed = || step("a", Status::Changed, Category::Own, 1.0);
    let cases: Vec<(&str, Vec<Event>, ExitCode)> = vec![
        ("apply", vec![], Done),
        ("apply", vec![changed()], Done),
        ("apply", vec![planned("a"), changed()], Done),
        ("plan", vec![planned("a")], Changes),
        ("apply --check", vec![planned("a")], Changes),
        ("plan", vec![planned("a"), unreachable()], Unreachable),
        ("apply", vec![unreachable()], Unreachable),
        ("apply", vec![trouble("b", Trouble::HostKey)], Unreachable),
        (
            "apply",
            vec![trouble("b", Trouble::Authentication)],
            Unreachable,
        ),
        ("apply", vec![trouble("b", Trouble::Elevation)], Failed),
        ("apply", vec![unreachable(), failed()], Failed),
        ("apply", vec![unreachable(), cluster_failed()], Failed),
        ("apply", vec![failed(), refused()], Refused),
        ("apply", vec![failed(), locked()], Refused),
        (
            "apply",
            vec![failed(), refused(), unreachable(), interrupted()],
            Interrupted,
        ),
        ("status", vec![seen(true)], Done),
        ("status", vec![seen(false)], Failed),
        ("apply", vec![seen(false)], Done),
    ];
    for (command, events, exit) in cases {
        let mut records = vec![at(0, started(command, &["a", "b"]))];
        records.extend(events.iter().map(|event| at(1, event.clone())));
        let recap = Recap::of(&records);
        assert_eq!(recap.exit(), exit, "{command} {events:?}");
        assert_eq!(recap.exit_code(), exit.code());
    }
    // 4 > 130 > 5 > 1 > 3 > 2 > 0, whichever comes first.
    let codes = [4, 130, 5, 1, 3, 2, 0].map(|code| ExitCode::from_code(code).unwrap());
    for (i, ruling) in codes.iter().enumerate() {
        for other in &codes[i..] {
            assert_eq!((ruling.and(*other), other.and(*ruling)), (*ruling, *ruling));
        }
    }
    assert_eq!(ExitCode::from_code(7), None);
}

#[test]
fn wall_time_is_counted_once() {
    let s = |seconds: i64| seconds * 1000;
    let records = [
        at(0, started("apply", &["a", "b"])),
        // a installs from 0 to 10, b sends from 4 to 14: 4..14 counts as transfer.
        at(s(10), step("a", Status::Changed, Category::Packages, 10.0)),
        at(s(14), step("b", Status::Changed, Category::Transfer, 10.0)),
        // Waiting under kubeadm is kubeadm; own steps never count before what is left.
        at(s(20), step("a", Status::Changed, Category::Wait, 5.0)),
        at(s(22), step("b", Status::Changed, Category::Kubeadm, 4.0)),
        at(s(23), step("a", Status::Ok, Category::Own, 20.0)),
        // Longer than the run: cut to it.
        at(s(25), step("a", Status::Ok, Category::Wait, 2.0)),
        at(
            s(30),
            Event::RunFinished {
                exit: 0,
                seconds: 30.0,
            },
        ),
    ];
    let recap = Recap::of(&records);
    let expected = TimeSplit {
        packages: 4.0,
        transfer: 10.0,
        kubeadm: 4.0,
        wait: 5.0,
        own: 7.0,
    };
    assert_eq!(recap.wall, expected);
    assert!((recap.wall.total() - recap.seconds).abs() < 1e-9);
    assert!((recap.hosts["a"].time.wait - 7.0).abs() < 1e-9);
}

#[test]
fn the_split_s_figures_add_up() {
    for tenths in 0..200_i64 {
        let ms = tenths * 137;
        let records = [
            at(0, started("apply", &["a"])),
            at(ms / 3, step("a", Status::Changed, Category::Packages, 99.0)),
            at(ms / 2, step("a", Status::Changed, Category::Kubeadm, 0.7)),
            at(
                ms,
                Event::RunFinished {
                    exit: 0,
                    seconds: SignedDuration::from_millis(ms).as_secs_f64(),
                },
            ),
        ];
        let text = unstyled(&render_recap(&Recap::of(&records), None, false));
        let line = text.lines().last().unwrap();
        let Some((total, parts)) = line.split_once(" s = ") else {
            continue;
        };
        let sum: f64 = parts
            .split(" + ")
            .map(|part| part.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
            .sum();
        assert!((sum - total.parse::<f64>().unwrap()).abs() < 0.05, "{line}");
    }
}

#[test]
fn a_host_cannot_steer_the_terminal_or_forge_a_line() {
    let hostile =
        "ok\x1b]0;title\x07\x1b[2J\u{9b}31m\u{202e}x\ncp2 | forged\r\n12:00:00Z cp2 failed";
    let records = [
        at(0, started("exec", &["cp1"])),
        at(
            1,
            Event::Output {
                host: host("cp1"),
                stderr: false,
                line: hostile.into(),
            },
        ),
        at(
            2,
            Event::RunFinished {
                exit: 0,
                seconds: 1.0,
            },
        ),
    ];
    let buffer = Buffer::default();
    report(
        &mut Plain::new(Box::new(buffer.clone()), Options::default()),
        &records,
    );
    assert_eq!(
        buffer.text(),
        "cp1 | ok\\u{1b}]0;title\\u{7}\\u{1b}[2J\\u{9b}31m\\u{202e}x\\ncp2 | forged\\n12:00:00Z cp2 failed\n"
    );
    // The journal keeps it, spelled so that cat(1) is safe too.
    let line = records[1].to_line().unwrap();
    assert!(
        !line.trim_end().contains(quorate::event::is_hostile),
        "{line}"
    );
    assert_eq!(serde_json::from_str::<Record>(&line).unwrap(), records[1]);
}

/// A reporter that fails from its third record on.
struct Failing(u32, io::ErrorKind);

impl Reporter for Failing {
    fn record(&mut self, _: &Record) -> io::Result<()> {
        self.0 += 1;
        if self.0 > 2 {
            Err(self.1.into())
        } else {
            Ok(())
        }
    }
}

#[test]
fn a_reporter_that_fails_warns_once_and_stops_nothing() {
    for (kind, warnings) in [
        (io::ErrorKind::StorageFull, 1),
        (io::ErrorKind::BrokenPipe, 0),
    ] {
        let buffer = Buffer::default();
        let mut reporters = Reporters::new()
            .with("journal", Box::new(Failing(0, kind)))
            .with("output", Box::new(Json::new(Box::new(buffer.clone()))));
        reporters.emit(started("apply", &["cp1"]));
        for _ in 0..10 {
            reporters.emit(step("cp1", Status::Ok, Category::Own, 0.1));
        }
        let recap = reporters.finish();
        assert_eq!(
            (recap.warnings, recap.hosts["cp1"].ok, recap.exit_code()),
            (warnings, 10, 0)
        );
        let text = buffer.text();
        assert_eq!(
            text.matches("the journal cannot be written any more")
                .count(),
            warnings as usize
        );
        let numbers: Vec<u64> = text
            .lines()
            .map(|line| serde_json::from_str::<Record>(line).unwrap().seq)
            .collect();
        let mut sorted = numbers.clone();
        sorted.sort_unstable();
        assert_eq!(
            sorted,
            (0..numbers.len() as u64).collect::<Vec<_>>(),
            "without a gap"
        );
        assert!(
            text.lines()
                .last()
                .unwrap()
                .contains(r#""event":"run_finished","exit":0"#)
        );
    }
}

#[tokio::test]
async fn events_come_through_a_channel() {
    let buffer = Buffer::default();
    let reporters = Reporters::new().with("output", Box::new(Json::new(Box::new(buffer.clone()))));
    let (events, receiver) = tokio::sync::mpsc::channel(1);
    let follow = tokio::spawn(reporters.follow(receiver));
    events.send(started("plan", &["cp1"])).await.unwrap();
    events.send(planned("cp1")).await.unwrap();
    drop(events);
    assert_eq!(follow.await.unwrap().unwrap().exit(), ExitCode::Changes);
    // The last is the plan as one object.
    assert_eq!(buffer.text().lines().count(), 4);
}

#[test]
fn the_output_of_exec_stands_alone() {
    let records = [
        at(0, started("exec", &["cp1", "w1"])),
        at(
            1,
            Event::Output {
                host: host("cp1"),
                stderr: false,
                line: "up 3 days".into(),
            },
        ),
        at(
            1,
            Event::Output {
                host: host("w1"),
                stderr: true,
                line: "nope".into(),
            },
        ),
        at(
            2,
            Event::RunFinished {
                exit: 0,
                seconds: 1.0,
            },
        ),
    ];
    let buffer = Buffer::default();
    report(
        &mut Plain::new(Box::new(buffer.clone()), Options::default()),
        &records,
    );
    assert_eq!(buffer.text(), "cp1 | up 3 days\nw1 | nope\n");
}

#[test]
fn progress_that_says_nothing_new_is_left_out() {
    let buffer = Buffer::default();
    let mut reporters =
        Reporters::new().with("output", Box::new(Json::new(Box::new(buffer.clone()))));
    let progress = |name: &str, text: &str, of| Event::Progress {
        host: host(name),
        text: text.into(),
        of,
    };
    for n in 0..=1000 {
        reporters.emit(progress("cp1", "sent", Some((n, 1000))));
    }
    for text in ["a", "a", "b", "a"] {
        reporters.emit(progress("cp2", text, None));
    }
    let text = buffer.text();
    assert!(
        text.contains("[0,1000]") && text.contains("[1000,1000]"),
        "the first and the last are there"
    );
    assert!(text.matches("cp1").count() < 20, "{text}");
    assert_eq!(text.matches("cp2").count(), 3);
}
