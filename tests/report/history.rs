//! What journals tell when they are read one after the other.

use camino::Utf8Path;
use quorate::engine::journal::{self, Journal};
use quorate::event::{
    Category, ChangeKind, Event, History, PlannedChange, Record, RunSummary, Seen, Status, Trouble,
};
use quorate::report::{Entry, Reporters, history, history_lines};

use super::{Buffer, at, host, started, step, trouble, unstyled};
use quorate::report::Json;

fn entry(name: &str, records: &[Record], problems: &[&str]) -> Entry {
    Entry {
        journal: format!(".quorate/journal/{name}.jsonl"),
        run: Some(RunSummary::of(records)),
        problems: problems.iter().map(|p| (*p).to_string()).collect(),
    }
}

#[test]
fn runs_as_a_list() {
    let cut = super::journal("apply");
    let killed = &cut[..cut.len() - 1];
    let refused = [
        at(0, started("apply", &["cp1"])),
        at(
            5,
            Event::Refused {
                hosts: vec![host("cp1")],
                message: "cp1 has a half state\nand more".into(),
                help: None,
            },
        ),
        at(
            9,
            Event::RunFinished {
                exit: 5,
                seconds: 0.1,
            },
        ),
    ];
    let broken = Entry {
        journal: ".quorate/journal/broken.jsonl".into(),
        run: None,
        problems: vec!["none of its lines is an event".into()],
    };
    let entries = [
        entry("lab-drift-plan", &super::journal("lab-drift-plan"), &[]),
        entry("lab-drift-apply", &super::journal("lab-drift-apply"), &[]),
        entry("apply", &super::journal("apply"), &[]),
        entry("killed", killed, &["line 71: the last line is cut off"]),
        entry("refused", &refused, &[]),
        broken,
    ];
    insta::assert_snapshot!("history", unstyled(&history(&entries)));
    let lines = history_lines(&entries);
    for line in lines.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(line["v"], 1);
        assert!(line["journal"].is_string() && line["problems"].is_array());
    }
    insta::assert_snapshot!("history_lines", lines);
}

/// A run: its hour, its command, and what it said.
fn run(hour: i64, command: &str, events: Vec<Event>) -> Vec<Record> {
    let mut start = started(command, &["cp1", "cp2"]);
    if let Event::RunStarted { run, .. } = &mut start {
        *run = format!("run{hour}");
    }
    let events = std::iter::once(start).chain(events);
    events.map(|event| at(hour * 3_600_000, event)).collect()
}

fn differs(name: &str, title: &str) -> Event {
    Event::Planned {
        host: host(name),
        title: title.into(),
        changes: vec![PlannedChange::new(ChangeKind::Change, "write /etc/x", "")],
        disturbs: false,
        since: None,
    }
}

fn as_written(names: &[&str], title: &str) -> Event {
    Event::AsWritten {
        hosts: names.iter().map(|name| host(name)).collect(),
        titles: vec![title.into()],
    }
}

#[test]
fn since_when_a_thing_is_not_as_written() {
    let done = |status| step("cp1", status, Category::Own, 0.1);
    // The title that `step` gives.
    let Event::StepFinished { title, .. } = done(Status::Ok) else {
        unreachable!()
    };
    let t = title.as_str();
    let cases: [(&str, Vec<Vec<Record>>, &str); 10] = [
        ("no journal", vec![], "-"),
        (
            "made so by an apply",
            vec![run(1, "apply", vec![done(Status::Changed)])],
            "as written in the apply of 2026-11-14 11:00Z",
        ),
        (
            "found so by a later plan",
            vec![
                run(1, "apply", vec![done(Status::Changed)]),
                run(2, "plan", vec![as_written(&["cp2", "cp1"], t)]),
            ],
            "as written in the plan of 2026-11-14 12:00Z",
        ),
        (
            "differs since the first of two plans",
            vec![
                run(1, "apply", vec![done(Status::Ok)]),
                run(2, "plan", vec![differs("cp1", t)]),
                run(3, "apply --check", vec![differs("cp1", t)]),
            ],
            "as written in the apply of 2026-11-14 11:00Z, different since the plan of 2026-11-14 12:00Z",
        ),
        (
            "mended in between",
            vec![
                run(2, "plan", vec![differs("cp1", t)]),
                run(3, "apply", vec![done(Status::Changed)]),
            ],
            "as written in the apply of 2026-11-14 13:00Z",
        ),
        (
            "tried to mend, and failed",
            vec![
                run(1, "plan", vec![as_written(&["cp1"], t)]),
                run(2, "apply", vec![done(Status::Failed)]),
            ],
            "as written in the plan of 2026-11-14 11:00Z, different since the apply of 2026-11-14 12:00Z",
        ),
        (
            "tried to mend, and rescued",
            vec![
                run(1, "plan", vec![as_written(&["cp1"], t)]),
                run(2, "apply", vec![done(Status::Rescued)]),
            ],
            "as written in the plan of 2026-11-14 11:00Z, different since the apply of 2026-11-14 12:00Z",
        ),
        (
            "never as written",
            vec![run(2, "plan", vec![differs("cp1", t)])],
            "different since the plan of 2026-11-14 12:00Z",
        ),
        (
            "another host, and a run that compares nothing",
            vec![
                run(1, "plan", vec![as_written(&["cp2"], t)]),
                run(2, "status", vec![as_written(&["cp1"], t)]),
            ],
            "-",
        ),
        (
            "a journal without its beginning",
            vec![run(1, "apply", vec![done(Status::Changed)]).split_off(1)],
            "-",
        ),
    ];
    for (name, runs, wanted) in cases {
        let mut past = History::default();
        runs.iter()
            .rev()
            .for_each(|records| past.add_older(records));
        let since = past.since(&host("cp1"), t);
        let said = since.map_or_else(|| "-".into(), |since| since.sentence());
        assert_eq!(said, wanted, "{name}");
    }
}

/// Of what Kubernetes says no run names what is as written: a comparison that does not name a difference has not found it.
#[test]
fn since_when_kubernetes_says_something_else() {
    let label = |what: &str| Event::Planned {
        host: host("cp1"),
        title: "cluster".into(),
        changes: vec![PlannedChange::new(ChangeKind::RollOut, what, "")],
        disturbs: false,
        since: None,
    };
    let compared = |hour, command: &str, exit, found: Vec<Event>| {
        let looked = Event::Unchanged {
            host: host("cp1"),
            ok: 1,
            skipped: 0,
            unshown: None,
        };
        let seen = Event::HostSeen {
            host: host("cp1"),
            seen: Seen::default(),
        };
        let end = Event::RunFinished { exit, seconds: 1.0 };
        let events = [looked].into_iter().chain(found).chain([seen, end]);
        run(hour, command, events.collect())
    };
    let cases: [(&str, Vec<Vec<Record>>, &str); 5] = [
        ("no journal", vec![], "-"),
        (
            "an apply that came to a good end",
            vec![compared(1, "apply", 0, vec![])],
            "as written in the apply of 2026-11-14 11:00Z",
        ),
        (
            "one that did not",
            vec![
                compared(1, "plan", 0, vec![]),
                compared(2, "apply", 1, vec![]),
            ],
            "as written in the plan of 2026-11-14 11:00Z",
        ),
        (
            "found twice, and something else before",
            vec![
                compared(1, "plan", 2, vec![label("another")]),
                compared(2, "plan", 2, vec![label("label it")]),
                compared(3, "plan", 2, vec![label("label it"), label("another")]),
            ],
            "as written in the plan of 2026-11-14 11:00Z, different since the plan of 2026-11-14 12:00Z",
        ),
        (
            "mended in between",
            vec![
                compared(1, "plan", 2, vec![label("label it")]),
                compared(2, "apply", 0, vec![]),
            ],
            "as written in the apply of 2026-11-14 12:00Z",
        ),
    ];
    let changes = [PlannedChange::new(ChangeKind::RollOut, "label it", "")];
    let name = quorate::event::name_of("cluster", &changes);
    for (what, runs, wanted) in cases {
        let mut past = History::default();
        for records in runs.iter().rev() {
            if !past.is_settled(&host("cp1"), &name) {
                past.add_older(records);
            }
        }
        let since = past.since(&host("cp1"), &name);
        let said = since.map_or_else(|| "-".into(), |since| since.sentence());
        assert_eq!(said, wanted, "{what}");
    }
}

/// The journals are read when the first difference asks for them, and a reload was never "as written".
#[test]
fn a_difference_says_since_when() {
    let told = |kind: ChangeKind| {
        let buffer = Buffer::default();
        let (asked, was_asked) = std::sync::mpsc::channel();
        let mut reporters = Reporters::new()
            .with_history(
                [
                    // What never was as written has no since.
                    run(2, "plan", vec![differs("cp1", "c")]),
                    run(1, "apply", vec![as_written(&["cp1"], "a")]),
                ]
                .into_iter()
                .inspect(move |_| asked.send(()).unwrap()),
            )
            .with("output", Box::new(Json::new(Box::new(buffer.clone()))));
        reporters.emit(started("plan", &["cp1"]));
        reporters.emit(as_written(&["cp1"], "b"));
        assert!(was_asked.try_recv().is_err(), "read without need");
        let mut event = differs("cp1", "a");
        if let Event::Planned { changes, .. } = &mut event {
            changes[0].kind = kind;
        }
        reporters.emit(event.clone());
        reporters.emit(event);
        reporters.emit(differs("cp1", "c"));
        reporters.emit(trouble("cp1", Trouble::Lost));
        let times = was_asked.try_iter().count();
        assert!(!buffer.text().contains("\"since\":{\"different\""));
        (
            times,
            buffer
                .text()
                .matches("\"as_written\":{\"run\":\"run1\"")
                .count(),
        )
    };
    assert_eq!(told(ChangeKind::Change), (2, 2));
    // The other difference asks.
    assert_eq!(told(ChangeKind::Reload), (2, 0));
}

/// Of a year of nightly plans those are read that say something, each once.
#[test]
fn no_more_journals_are_opened_than_it_takes() {
    let folder = tempfile::tempdir().unwrap();
    let home = Utf8Path::from_path(folder.path()).unwrap();
    const RUNS: i64 = 850;
    for n in 0..RUNS {
        // One task has differed for three runs, one for none, one has never been as written, and one is new.
        let mut events = vec![as_written(&["cp1", "cp2"], "now"), differs("cp1", "never")];
        events.push(match n < RUNS - 3 {
            true => as_written(&["cp1"], "lately"),
            false => differs("cp1", "lately"),
        });
        let records = run(n, "plan", events);
        let mut written = Journal::create(home, "plan", records[0].at).unwrap();
        super::report(&mut written, &records);
    }
    let opened = |titles: &[&str]| {
        let buffer = Buffer::default();
        let (read, was_read) = std::sync::mpsc::channel();
        let past = journal::Past::new(home, None).inspect(move |_| read.send(()).unwrap());
        let mut reporters = Reporters::new()
            .with_history(past)
            .with("output", Box::new(Json::new(Box::new(buffer.clone()))));
        reporters.emit(started("plan", &["cp1"]));
        titles
            .iter()
            .for_each(|title| reporters.emit(differs("cp1", title)));
        let said = buffer.text();
        (was_read.try_iter().count(), said)
    };
    assert_eq!(opened(&[]).0, 0);
    let (count, said) = opened(&["now", "now"]);
    assert_eq!(count, 1);
    assert_eq!(
        said.matches(&format!("\"as_written\":{{\"run\":\"run{}\"", RUNS - 1))
            .count(),
        2,
        "{said}"
    );
    let (count, said) = opened(&["now", "lately", "lately"]);
    assert_eq!(count, 4);
    let since = format!("\"as_written\":{{\"run\":\"run{}\"", RUNS - 4);
    assert!(said.contains(&since), "{said}");
    let since = format!("\"different\":{{\"run\":\"run{}\"", RUNS - 3);
    assert!(said.contains(&since), "{said}");
    // A task that no run has named is a new one after some runs that would have.
    assert_eq!(opened(&["new", "another new"]).0, 20);
    // What all of them say differs is asked of all.
    assert_eq!(opened(&["never"]).0, RUNS as usize);
}
