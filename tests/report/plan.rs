//! A plan as a person, a program, a file and a mail get it.

use quorate::event::{
    ChangeKind, Event, ExitCode, PlanFile, PlanFileError, PlanOrigin, PlannedChange, Recap, Record,
    Reporter as _, Trouble, planned_steps,
};
use quorate::model::Sha256;
use quorate::report::{Json, Options, PlanView, PlanWriter, letter, metrics};

use super::{Buffer, at, host, journal, report, started, trouble, unchanged, unstyled};

fn change(kind: ChangeKind, what: &str, why: &str) -> PlannedChange {
    PlannedChange {
        digest: Some(Sha256::of(what)),
        guard: Some("unless it is so by then".into()),
        ..PlannedChange::new(kind, what, why)
    }
}

fn planned(name: &str, title: &str, changes: Vec<PlannedChange>) -> Event {
    Event::Planned {
        host: host(name),
        title: title.into(),
        changes,
        disturbs: false,
        since: None,
    }
}

fn ended(exit: u8) -> Event {
    Event::RunFinished { exit, seconds: 1.0 }
}

/// A plan of all kinds on two hosts; a third cannot be reached.
fn of_all_kinds() -> Vec<Record> {
    let mut events = vec![
        started("plan", &["cp1", "cp2", "w1"]),
        unchanged("cp1"),
        unchanged("cp2"),
    ];
    // Not in the order in which they are shown.
    for kind in ChangeKind::ALL.into_iter().rev() {
        let what = format!("{} it", kind.as_str());
        events.push(planned("cp1", kind.as_str(), vec![change(kind, &what, "")]));
    }
    events.push(planned(
        "cp2",
        "a service",
        vec![
            change(ChangeKind::Change, "enable kubelet", "is disabled"),
            change(ChangeKind::Start, "start kubelet", "is inactive"),
        ],
    ));
    events.push(trouble("w1", Trouble::Unreachable));
    events.push(ended(3));
    events.into_iter().map(|event| at(10, event)).collect()
}

fn view(records: &[Record], options: &Options) -> String {
    let mut view = PlanView::default();
    records.iter().for_each(|record| view.add(record));
    unstyled(&view.render(&Recap::of(records), options))
}

#[test]
fn grouped_by_host_and_kind_with_guards() {
    let options = Options {
        detailed: true,
        ..Options::default()
    };
    insta::assert_snapshot!("plan_of_all_kinds", view(&of_all_kinds(), &options));
    let quiet = view(&of_all_kinds(), &Options::default());
    assert!(!quiet.contains("guard"), "{quiet}");
    insta::assert_snapshot!("plan_detailed", view(&journal("plan"), &options));
}

/// Unknown is not "unchanged": whoever cannot be read makes it exit code 3, in figures and in words.
#[test]
fn a_host_that_could_not_be_read_is_not_unchanged() {
    let mut records = vec![
        at(0, started("plan", &["cp1", "w1"])),
        at(1, unchanged("cp1")),
        at(2, trouble("w1", Trouble::Unreachable)),
    ];
    records.push(at(3, ended(3)));
    assert_eq!(Recap::of(&records).exit(), ExitCode::Unreachable);
    let text = view(&records, &Options::default());
    assert!(
        text.contains("0 hosts would change, 1 unchanged, 1 could not be read"),
        "{text}"
    );
    let object = object(&records);
    assert_eq!(object["exit"], 3);
    assert_eq!(object["complete"], false);
    assert_eq!(object["hosts"]["w1"]["state"], "failed");
    assert!(letter(&records, "x").contains("w1: unknown, it could not be read"));
    let text = metrics(&records);
    assert!(
        text.contains("quorate_host_reachable{cluster=\"kubernetes\",host=\"w1\"} 0"),
        "{text}"
    );
    assert!(
        !text.contains("quorate_drifted_items{cluster=\"kubernetes\",host=\"w1\"}"),
        "{text}"
    );
}

/// Returns the last line of `--output json`.
fn object(records: &[Record]) -> serde_json::Value {
    let buffer = Buffer::default();
    report(&mut Json::new(Box::new(buffer.clone())), records);
    serde_json::from_str(buffer.text().lines().last().unwrap()).unwrap()
}

/// What programs rely on: whoever changes this snapshot in another way than by adding to it breaks them.
#[test]
fn the_object_of_a_plan() {
    let object = object(&journal("plan"));
    insta::assert_snapshot!(
        "plan_object",
        serde_json::to_string_pretty(&object).unwrap()
    );
}

#[test]
fn an_apply_has_no_object_of_a_plan() {
    let buffer = Buffer::default();
    report(&mut Json::new(Box::new(buffer.clone())), &journal("apply"));
    assert!(!buffer.text().contains("\"event\":\"plan\""));
}

#[test]
fn text_for_mail_is_72_columns_wide() {
    for name in [
        "plan",
        "apply",
        "drill",
        "lab-drift-plan",
        "lab-drift-apply",
        "lab-converged-apply",
        "lab-exec",
    ] {
        let text = letter(&journal(name), &format!("{name}.jsonl"));
        let widest = text.lines().map(|line| line.chars().count()).max();
        assert!(widest <= Some(72), "{text}");
        assert!(!text.contains('\x1b'), "{text}");
        if matches!(name, "plan" | "apply" | "drill") {
            insta::assert_snapshot!(format!("letter_{name}"), text);
        }
    }
}

#[test]
fn a_run_as_metrics() {
    insta::assert_snapshot!("metrics_plan", metrics(&journal("plan")));
    insta::assert_snapshot!("metrics_apply", metrics(&journal("apply")));
}

/// The exposition format, as far as quorate uses it: a family is announced once, before its samples, and all are numbers.
#[test]
fn metrics_can_be_parsed() {
    let mut records = journal("plan");
    if let Event::RunStarted { cluster, .. } = &mut records[0].event {
        *cluster = "a \"b\" \\ c".into();
    }
    let text = metrics(&records);
    let mut families = Vec::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert_eq!(kind, "gauge");
            assert!(!families.contains(&name.to_string()), "{name} twice");
            families.push(name.to_string());
        } else if !line.starts_with("# HELP ") {
            let (name, rest) = line.split_once('{').unwrap();
            assert_eq!(Some(name), families.last().map(String::as_str));
            let (labels, value) = rest.rsplit_once("} ").unwrap();
            assert!(labels.starts_with(r#"cluster="a \"b\" \\ c""#), "{line}");
            value.parse::<f64>().unwrap();
        }
    }
    assert!(families.len() > 6, "{text}");
}

fn origin() -> PlanOrigin {
    PlanOrigin {
        cluster: "kubernetes".into(),
        endpoint: "10.0.0.10:8443".into(),
        inventory: vec![host("cp1"), host("cp2"), host("w1")],
        limit: None,
        shard: None,
        tags: vec!["haproxy".into()],
        skip_tags: Vec::new(),
        extra_vars: vec!["word".into()],
    }
}

/// Writes the plan of these records and returns the file's text; `None` where none was written.
fn written(records: &[Record]) -> Option<String> {
    let folder = tempfile::tempdir().unwrap();
    let path = camino::Utf8Path::from_path(folder.path())
        .unwrap()
        .join("plan.json");
    report(&mut PlanWriter::new(path.clone(), origin()), records);
    let text = std::fs::read_to_string(&path).ok()?;
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    // Nothing is left beside it.
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    Some(text)
}

#[test]
fn a_plan_file_holds_digests_alone() {
    let text = written(&journal("plan")).unwrap();
    for word in ["maxconn", "4000", "@@"] {
        assert!(!text.contains(word), "{text}");
    }
    let file = PlanFile::parse(&text).unwrap();
    assert_eq!(file.origin, origin());
    let hosts: Vec<_> = file
        .hosts
        .iter()
        .map(|(h, s)| (h.as_str(), s.len()))
        .collect();
    assert_eq!(hosts, [("cp1", 2), ("cp2", 2), ("cp3", 2), ("w1", 0)]);
    assert_eq!(file.differences(&file.hosts), Vec::<String>::new());
}

#[test]
fn no_plan_file_of_a_plan_that_is_none() {
    let refused = Event::Refused {
        hosts: Vec::new(),
        message: "no".into(),
        help: None,
    };
    for event in [
        refused,
        Event::Interrupted { hosts: Vec::new() },
        trouble("cp1", Trouble::Unfit),
    ] {
        let mut records = of_all_kinds();
        let last = records.len() - 1;
        records.insert(last, at(10, event));
        assert_eq!(written(&records), None);
    }
    // Without a host that was not reached it is one all the same: the file does not name it.
    let file = PlanFile::parse(&written(&of_all_kinds()).unwrap()).unwrap();
    assert_eq!(
        file.hosts.keys().map(|h| h.as_str()).collect::<Vec<_>>(),
        ["cp1", "cp2"]
    );
}

#[test]
fn a_plan_file_that_is_none() {
    let text = written(&journal("plan")).unwrap();
    let cases = [
        (String::new(), PlanFileError::Foreign),
        ("{}".into(), PlanFileError::Foreign),
        ("[1]".into(), PlanFileError::Foreign),
        (text[..text.len() / 2].into(), PlanFileError::Foreign),
        (
            text.replace("\"quorate_plan\": 1", "\"quorate_plan\": 2"),
            PlanFileError::Newer(2),
        ),
        (text.replace("\"cp1\"", "\"cp9\""), PlanFileError::Edited),
        (
            text.replace("haproxy : service", "haproxy : servicf"),
            PlanFileError::Edited,
        ),
        (text.replace("\"limit\": null,", ""), PlanFileError::Edited),
    ];
    for (text, error) in cases {
        assert_eq!(PlanFile::parse(&text), Err(error), "{text}");
    }
    // White space is nobody's edit.
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert!(PlanFile::parse(&value.to_string()).is_ok());
}

#[test]
fn what_does_not_hold_any_more_is_named() {
    let file = PlanFile::parse(&written(&of_all_kinds()).unwrap()).unwrap();
    let steps = |records: &[Record]| planned_steps(records.iter().map(|r| &r.event));
    let differences = |edit: &dyn Fn(&mut Vec<Record>)| {
        let mut records = of_all_kinds();
        edit(&mut records);
        file.differences(&steps(&records))
    };
    let title = |record: &Record, wanted: &str| matches!(&record.event, Event::Planned { title, .. } if title == wanted);
    assert_eq!(differences(&|_| ()), Vec::<String>::new());
    assert_eq!(
        differences(&|records| records.retain(|r| !title(r, "create"))),
        ["cp1: `create` has nothing to do any more"]
    );
    assert_eq!(
        differences(&|records| records.push(at(
            20,
            planned("cp2", "new", vec![change(ChangeKind::Run, "run x", "")])
        ))),
        ["cp2: `new` is not in the plan"]
    );
    // The acts of the cluster have one title.
    let act = [change(ChangeKind::Run, "roll out kube-apiserver", "")];
    assert_eq!(
        differences(&|records| records.push(at(20, planned("cp2", "cluster", act.to_vec())))),
        ["cp2: `cluster: roll out kube-apiserver` is not in the plan"]
    );
    // Another digest is another content, or another thing found; so is another reason.
    for edit in [
        |change: &mut PlannedChange| change.digest = Some(Sha256::of("other")),
        |change: &mut PlannedChange| change.why = "is masked".into(),
    ] {
        let found = differences(&|records| {
            for record in records {
                if let Event::Planned { title, changes, .. } = &mut record.event
                    && title == "a service"
                {
                    edit(&mut changes[0]);
                }
            }
        });
        assert_eq!(
            found,
            ["cp2: `a service` found something else than the plan saw, or would do something else"]
        );
    }
    assert_eq!(
        differences(&|records| records.retain(|r| r.event.host() != Some(&host("cp2")))),
        ["cp2 was read for the plan and cannot be read now"]
    );
    // Who was not read for the plan may be as written, and no more.
    assert_eq!(
        differences(&|records| records.push(at(20, unchanged("w1")))),
        Vec::<String>::new()
    );
    assert_eq!(
        differences(&|records| records.push(at(
            20,
            planned("w1", "late", vec![change(ChangeKind::Run, "run x", "")])
        ))),
        ["w1 was not read for the plan, and has something to do now: `late`"]
    );
    // What is decided later is bound by what the tasks say now.
    let unshown = |text: Option<&str>| {
        planned_steps(&[Event::Unchanged {
            host: host("w1"),
            ok: 1,
            skipped: 0,
            unshown: text.map(Sha256::of),
        }])
    };
    let file = PlanFile {
        hosts: unshown(Some("a")),
        ..file.clone()
    };
    assert_eq!(file.differences(&unshown(Some("a"))), Vec::<String>::new());
    for other in [Some("b"), None] {
        let found = file.differences(&unshown(other));
        assert!(
            found[0].contains("is decided or run without being shown"),
            "{found:?}"
        );
    }
    // What the workflow says of its reasons may count days; what it would do counts.
    let act = |why: &str| {
        let changes = vec![PlannedChange::new(ChangeKind::Join, "kubeadm join", why)];
        planned_steps(&[planned("w1", "cluster", changes)])
    };
    assert_eq!(act("a"), act("b"));
}

#[test]
fn metrics_that_cannot_be_written_leave_the_old_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = camino::Utf8Path::from_path(folder.path()).unwrap();
    let mut reporter = quorate::report::Metrics::new(path.join("missing/q.prom"));
    assert!(reporter.finish().is_err());
    let mut reporter = quorate::report::Metrics::new(path.join("q.prom"));
    report(&mut reporter, &journal("plan"));
    let text = std::fs::read_to_string(path.join("q.prom")).unwrap();
    assert_eq!(text, metrics(&journal("plan")));
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(path.join("q.prom"))
        .unwrap()
        .permissions();
    assert_eq!(mode.mode() & 0o777, 0o644);
    assert_eq!(std::fs::read_dir(path).unwrap().count(), 1);
}
