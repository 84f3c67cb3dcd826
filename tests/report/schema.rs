//! The JSON Schemas of what programs read: each line that is written is taken, and what is not like one is refused.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use camino::Utf8Path;
use quorate::engine::journal::Journal;
use quorate::event::{Certificate, Event, ExecKind, Mark, Part, PlannedChange, Record, Seen};
use quorate::model::{HostName, Sha256};
use quorate::report::{Json, Reporters, schema};
use serde_json::{Value, json};

use super::{Buffer, at, host, journal, report, started};

fn validator(schema: &Value) -> jsonschema::Validator {
    jsonschema::meta::validate(schema).unwrap();
    jsonschema::validator_for(schema).unwrap()
}

/// Fails if a line is not as the schema says; returns the names of the events in them.
fn takes(validator: &jsonschema::Validator, text: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for line in text.lines() {
        let value: Value = serde_json::from_str(line).unwrap();
        let errors: Vec<String> = validator
            .iter_errors(&value)
            .map(|e| format!("{}: {e}", e.instance_path()))
            .collect();
        assert!(errors.is_empty(), "{line}: {errors:#?}");
        names.insert(value["event"].as_str().unwrap().to_string());
    }
    assert!(!names.is_empty());
    names
}

const SAMPLES: [&str; 7] = [
    "apply",
    "drill",
    "plan",
    "lab-converged-apply",
    "lab-drift-apply",
    "lab-drift-plan",
    "lab-exec",
];

fn sample(name: &str) -> String {
    let path = format!("{}/tests/data/{name}.jsonl", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).unwrap()
}

/// What no sample holds.
fn others() -> Vec<Record> {
    let ip = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 10));
    let when = at(0, Event::Interrupted { hosts: Vec::new() }).at;
    let events = vec![
        Event::Warning {
            host: None,
            message: "m".into(),
        },
        Event::Refused {
            hosts: vec![host("cp1")],
            message: "m".into(),
            help: Some("h".into()),
        },
        Event::ClusterFailed {
            message: "m".into(),
            help: None,
        },
        Event::Interrupted {
            hosts: vec![host("cp1")],
        },
        Event::Progress {
            host: host("cp1"),
            text: "sent".into(),
            of: Some((1, 2)),
        },
        Event::AsWritten {
            hosts: vec![host("cp1")],
            titles: vec!["t".into()],
        },
        Event::HostTrouble {
            host: host("cp1"),
            trouble: quorate::event::Trouble::HostKey,
            message: "m".into(),
            help: None,
        },
        Event::ExecStarted {
            host: host("cp1"),
            kind: ExecKind::Lock,
            bytes: u64::MAX,
        },
        Event::Unsent {
            host: host("cp1"),
            bytes: 1,
        },
        Event::DrillMark {
            host: host("cp1"),
            mark: Mark::VipGained,
            when,
        },
        Event::HostSeen {
            host: host("cp1"),
            seen: Seen {
                parts: vec![Part::ControlPlane],
                vip: Some(ip),
                node: Some("Ready v1.36.3".into()),
                ill: vec!["haproxy is down".into()],
                certificates: vec![Certificate {
                    name: "apiserver".into(),
                    not_after: when,
                    days: -1,
                }],
                ..Seen::default()
            },
        },
        Event::Planned {
            host: host("cp1"),
            title: "t".into(),
            changes: vec![PlannedChange {
                diff: Some("d".into()),
                guard: Some("g".into()),
                digest: Some(Sha256::of("x")),
                ..PlannedChange::default()
            }],
            disturbs: true,
            since: Some(quorate::event::Since::default()),
        },
    ];
    events.into_iter().map(|event| at(1, event)).collect()
}

/// Names of the events that the schema knows.
fn known(schema: &Value) -> BTreeSet<String> {
    let events = schema["$defs"]["record"]["oneOf"].as_array().unwrap();
    let name = |event: &Value| event["properties"]["event"]["const"].clone();
    events
        .iter()
        .map(|event| name(event).as_str().unwrap().to_string())
        .collect()
}

#[test]
fn each_event_is_written_as_the_schema_says() {
    let schema = schema::events();
    let validator = validator(&schema);
    let mut seen = BTreeSet::new();
    for name in SAMPLES {
        seen.extend(takes(&validator, &sample(name)));
    }
    let text: String = others().iter().map(|r| r.to_line().unwrap()).collect();
    seen.extend(takes(&validator, &text));
    // An event that nothing here holds would be tried by nothing.
    assert_eq!(seen, known(&schema));
}

#[test]
fn a_journal_and_a_plans_output_are_lines_of_it() {
    let validators = [validator(&schema::events()), validator(&schema::plan())];
    for name in SAMPLES {
        let folder = tempfile::tempdir().unwrap();
        let home = Utf8Path::from_path(folder.path()).unwrap().join(".quorate");
        let records = journal(name);
        let mut written = Journal::create(&home, name, records[0].at).unwrap();
        report(&mut written, &records);
        takes(
            &validators[0],
            &std::fs::read_to_string(written.path()).unwrap(),
        );
        let buffer = Buffer::default();
        let mut json = Json::new(Box::new(buffer.clone()));
        report(&mut json, &records);
        let text = buffer.text();
        let names = takes(&validators[0], &text);
        assert_eq!(names.contains("plan"), name.ends_with("plan"), "{name}");
        if let Some(last) = text.lines().last().filter(|_| names.contains("plan")) {
            takes(&validators[1], last);
        }
    }
}

/// A run that ended early, whose plan has as few words as one can have.
#[test]
fn a_plan_of_nothing_is_a_plan() {
    let end = Event::RunFinished {
        exit: 130,
        seconds: 0.0,
    };
    for events in [
        vec![started("plan", &[]), end.clone()],
        vec![
            started("apply --check", &["cp1"]),
            Event::Interrupted { hosts: Vec::new() },
            end,
        ],
    ] {
        let buffer = Buffer::default();
        let mut reporters =
            Reporters::new().with("output", Box::new(Json::new(Box::new(buffer.clone()))));
        events.into_iter().for_each(|event| {
            reporters.emit(event);
        });
        drop(reporters);
        let text = buffer.text();
        takes(&validator(&schema::events()), &text);
        takes(&validator(&schema::plan()), text.lines().last().unwrap());
    }
}

/// Each line of the samples is refused where a word that it needs is gone, or is of another kind.
#[test]
fn what_is_not_like_a_line_is_refused() {
    let schema = schema::events();
    let validator = validator(&schema);
    let mut tried = 0;
    let mut events = BTreeSet::new();
    for line in SAMPLES.iter().flat_map(|name| {
        let lines: Vec<String> = sample(name).lines().map(str::to_string).collect();
        lines
    }) {
        let value: Value = serde_json::from_str(&line).unwrap();
        if !events.insert(value["event"].as_str().unwrap().to_string()) {
            continue;
        }
        let needed = needed(&schema, &value);
        for (key, of) in value.as_object().unwrap() {
            let mut without = value.clone();
            without.as_object_mut().unwrap().shift_remove(key);
            assert_eq!(
                validator.is_valid(&without),
                !needed.contains(key),
                "{without}"
            );
            let mut other = value.clone();
            other[key] = match of {
                Value::String(_) => json!(7),
                _ => json!("text"),
            };
            assert!(!validator.is_valid(&other), "{other}");
            tried += 2;
        }
    }
    assert!(tried > 100, "{tried}");
    for line in [
        json!({}),
        json!("plan"),
        json!({"v": 2, "seq": 0, "at": "2026-11-14T10:11:12Z", "event": "run_finished", "exit": 0, "seconds": 1.0}),
        json!({"v": 1, "seq": 0, "at": "2026-11-14T10:11:12Z", "event": "run_ended", "exit": 0, "seconds": 1.0}),
        json!({"v": 1, "seq": 0, "at": "2026-11-14T10:11:12Z", "event": "run_finished", "exit": 256, "seconds": 1.0}),
        json!({"v": 1, "seq": -1, "at": "2026-11-14T10:11:12Z", "event": "run_finished", "exit": 0, "seconds": 1.0}),
        json!({"v": 1, "seq": 0, "at": "2026-11-14T10:11:12Z", "event": "interrupted", "hosts": ["cp 1"]}),
        json!({"v": 1, "event": "plan"}),
    ] {
        assert!(!validator.is_valid(&line), "{line}");
    }
    // Fields are added while `v` is 1: whoever checks must not fall over them.
    let more = json!({"v": 1, "seq": 0, "at": "2026-11-14T10:11:12Z", "event": "run_finished", "exit": 0, "seconds": 1.0, "more": 1});
    assert!(validator.is_valid(&more));
}

/// Returns the words that the schema asks for in a line.
fn needed(schema: &Value, line: &Value) -> BTreeSet<String> {
    let record = &schema["$defs"]["record"];
    let events = record["oneOf"].as_array().unwrap();
    let event = events
        .iter()
        .find(|e| e["properties"]["event"]["const"] == line["event"]);
    let flat = event.and_then(|e| e["$ref"].as_str());
    assert_eq!(flat, None, "a flattened type is not written out");
    let words = [record, event.unwrap()].map(|s| s["required"].as_array().unwrap().clone());
    let words = words.iter().flatten();
    words.map(|w| w.as_str().unwrap().to_string()).collect()
}

#[test]
fn every_word_is_described() {
    fn walk(value: &Value, place: &str, bare: &mut Vec<String>) {
        if let Some(properties) = value["properties"].as_object() {
            for (name, of) in properties {
                let described = of["description"].as_str().is_some_and(|d| !d.is_empty());
                if !described && of.get("const").is_none() && of.get("$ref").is_none() {
                    bare.push(format!("{place}/{name}"));
                }
            }
        }
        match value {
            Value::Object(map) => map
                .iter()
                .for_each(|(key, of)| walk(of, &format!("{place}/{key}"), bare)),
            Value::Array(list) => list.iter().for_each(|of| walk(of, place, bare)),
            _ => {}
        }
    }
    for schema in [schema::events(), schema::plan()] {
        let mut bare = Vec::new();
        // `event` in the condition is no word of its own.
        let definitions = json!({ "$defs": schema["$defs"].clone() });
        walk(&definitions, "", &mut bare);
        assert!(bare.is_empty(), "{bare:#?}");
        // Links of the documentation are words here.
        assert!(!schema.to_string().contains("[`"), "{schema:#}");
    }
}

/// A name's pattern says what the program takes, and no more.
#[test]
fn names_are_names() {
    let schema = schema::events();
    let pattern = schema["$defs"]["HostName"]["pattern"].as_str().unwrap();
    let name = validator(&json!({ "pattern": pattern }));
    for text in ["cp1", "a.b-c_D9", "", "cp 1", "ü", "a\n", "a/b", "-"] {
        assert_eq!(
            name.is_valid(&json!(text)),
            HostName::new(text).is_ok(),
            "{text:?}"
        );
    }
}
