//! Many hosts: a recap that folds, and the journals of several runs told as one.

use quorate::event::{Event, ExitCode, MergeError, Recap, Record, Trouble, merge};
use quorate::report::{letter, page, render_recap};

use super::{at, host, started, unstyled};

fn named(names: &[String]) -> Vec<&str> {
    names.iter().map(String::as_str).collect()
}

/// A run over hosts, of which each is as written, one would change and one is not reached.
fn run(begin: i64, hosts: &[&str], changes: Option<&str>, down: Option<&str>) -> Vec<Record> {
    let mut records = vec![at(begin, started("plan", hosts))];
    for (n, name) in (0..).zip(hosts) {
        let ms = begin + 10 + n;
        let name = host(name);
        if down == Some(name.as_str()) {
            records.push(at(
                ms,
                Event::HostTrouble {
                    host: name,
                    trouble: Trouble::Unreachable,
                    message: "no route to host".into(),
                    help: None,
                },
            ));
            continue;
        }
        let seconds = 0.1;
        records.push(at(
            ms,
            Event::Connected {
                host: name.clone(),
                seconds,
            },
        ));
        records.push(at(
            ms,
            Event::Unchanged {
                host: name.clone(),
                ok: 21,
                skipped: 2,
                unshown: None,
            },
        ));
        if changes == Some(name.as_str()) {
            records.push(at(
                ms,
                Event::Planned {
                    host: name.clone(),
                    title: "motd".into(),
                    changes: Vec::new(),
                    disturbs: false,
                    since: None,
                },
            ));
        }
        let seconds = 0.4 + f64::from(u32::try_from(n).unwrap()) / 1000.0;
        records.push(at(
            ms,
            Event::HostFinished {
                host: name,
                seconds,
            },
        ));
    }
    let exit = Recap::of(&records).exit_code();
    let lasted = Event::RunFinished { exit, seconds: 2.0 };
    records.push(at(begin + 2000, lasted));
    records
}

#[test]
fn a_thousand_hosts_fold_and_those_that_are_not_well_stay_in_sight() {
    let names: Vec<String> = (1..=1000).map(|n| format!("w{n}")).collect();
    let recap = Recap::of(&run(0, &named(&names), Some("w7"), Some("w500")));
    let text = unstyled(&render_recap(&recap, None, false));
    let rows = text.lines().filter(|line| line.contains(" : ok="));
    let rows: Vec<String> = rows
        .map(|row| row.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(
        rows,
        [
            "w1, w2 and 996 more : ok=21 changed=0 failed=0 skipped=2 · 1 session · 0 execs · 0.4 s to 1.4 s",
            "w7 : ok=21 changed=1 failed=0 skipped=2 · 1 session · 0 execs · 0.4 s",
            "w500 : ok=0 changed=0 failed=0 skipped=0 · 0 sessions · 0 execs · 0.0 s · unreachable",
        ]
    );
    assert!(
        text.contains("1000 hosts, those with the same figures in one line"),
        "{text}"
    );
    // Nobody is lost: each host has its own line where it is asked for, and few hosts always do.
    let verbose = unstyled(&render_recap(&recap, None, true));
    let lines = verbose.lines().filter(|line| line.contains(" : ok="));
    assert_eq!(lines.count(), 1000);
    let few = Recap::of(&run(0, &named(&names[..20]), None, None));
    let text = unstyled(&render_recap(&few, None, false));
    assert_eq!(
        text.lines().filter(|line| line.contains(" : ok=")).count(),
        20
    );
    let json = serde_json::to_value(&recap).unwrap();
    assert_eq!(json["hosts"].as_object().unwrap().len(), 1000);
    assert_eq!(json["hosts"]["w999"]["ok"], 21);
}

fn shard(run: &str, mut records: Vec<Record>) -> (String, Vec<Record>) {
    if let Some(Event::RunStarted { run: own, .. }) = records.first_mut().map(|r| &mut r.event) {
        *own = run.into();
    }
    (format!("{run}.jsonl"), records)
}

#[test]
fn the_journals_of_shards_are_one_run() {
    let first = shard("a1", run(500, &["cp1", "w1", "w2"], None, None));
    let second = shard("b2", run(0, &["cp1", "w3", "w4"], Some("w4"), None));
    let third = shard("c3", run(100, &["w5"], None, Some("w5")));
    let one = merge(vec![first.clone(), second.clone(), third]).unwrap();
    let recap = Recap::of(&one);
    let hosts: Vec<&str> = recap.hosts.keys().map(|h| h.as_str()).collect();
    assert_eq!(hosts, ["cp1", "w3", "w4", "w5", "w1", "w2"]);
    assert_eq!(recap.exit(), ExitCode::Unreachable);
    assert!(
        recap.finished && (recap.seconds - 2.5).abs() < 0.001,
        "{}",
        recap.seconds
    );
    assert_eq!(recap.hosts["cp1"].sessions, 2);
    assert_eq!(recap.hosts["w4"].changed, 1);
    let starts = one
        .iter()
        .filter(|r| matches!(r.event, Event::RunStarted { .. }));
    assert_eq!(starts.count(), 1);
    assert!(one.is_sorted_by_key(|r| r.at) && one.iter().map(|r| r.seq).eq(0..one.len() as u64));
    let text = letter(&one, "a1.jsonl and 2 more");
    for name in hosts {
        assert!(text.contains(name), "{text}");
    }
    assert!(page(&one, "x").contains("run b2 c3 a1"));

    // One that was killed leaves no end to the whole.
    let mut killed = second.clone();
    killed.1.pop();
    let one = merge(vec![first.clone(), killed]).unwrap();
    assert!(!Recap::of(&one).finished);
    // One alone is what it was.
    assert_eq!(merge(vec![first.clone()]).unwrap(), first.1);
}

#[test]
fn what_is_no_run_of_shards_is_refused() {
    let of = |run: &str, command: &str| {
        let records = vec![at(0, started(command, &["a"]))];
        shard(run, records)
    };
    let apart = merge(vec![of("a", "plan"), of("b", "apply")]).unwrap_err();
    assert_eq!(
        apart.to_string(),
        "a.jsonl is `plan of kubernetes`, and b.jsonl is `apply of kubernetes`: they are not told as one"
    );
    let twice = merge(vec![of("a", "plan"), of("b", "plan"), of("a", "plan")]).unwrap_err();
    assert_eq!(twice, MergeError::Twice("a.jsonl".into(), "a.jsonl".into()));
    let none = merge(vec![("x".into(), Vec::new()), of("b", "plan")]).unwrap_err();
    assert_eq!(none, MergeError::NoStart("x".into()));
}
