//! Plan files that cannot be carried out: said before anybody is contacted, each with what to do.

use quorate::event::{PlanFile, PlanOrigin};
use quorate::model::HostName;

use crate::bed::Bed;

fn plan(edit: impl Fn(&mut PlanOrigin)) -> String {
    let host = |name: &&str| HostName::new(name).unwrap();
    let mut origin = PlanOrigin {
        cluster: "kubernetes".into(),
        endpoint: "10.0.0.10:8443".into(),
        inventory: ["cp1", "cp2", "cp3", "w1"].iter().map(host).collect(),
        limit: None,
        shard: None,
        tags: vec!["kernel".into()],
        skip_tags: Vec::new(),
        extra_vars: Vec::new(),
    };
    edit(&mut origin);
    PlanFile {
        run: "5f3a9c0d11e2b847".into(),
        at: "2026-11-14T10:11:12Z".parse().unwrap(),
        version: "0.1.0".into(),
        origin,
        hosts: Default::default(),
    }
    .to_text()
    .unwrap()
}

#[test]
fn what_is_no_plan_of_this_inventory() {
    let sound = plan(|_| ());
    let cases = [
        ("missing", None, &[][..]),
        ("empty", Some(String::new()), &[]),
        (
            "foreign",
            Some("{\"terraform_version\": \"1\"}".into()),
            &[],
        ),
        ("edited", Some(sound.replace("\"cp3\"", "\"cp4\"")), &[]),
        (
            "newer",
            Some(sound.replace("\"quorate_plan\": 1", "\"quorate_plan\": 9")),
            &[],
        ),
        (
            "other_cluster",
            Some(plan(|origin| {
                origin.cluster = "other".into();
                origin.endpoint = "10.9.9.9:6443".into();
            })),
            &[],
        ),
        (
            "other_hosts",
            Some(plan(|origin| {
                origin.inventory[3] = HostName::new("w2").unwrap();
            })),
            &[],
        ),
        (
            "limited_elsewhere",
            Some(plan(|origin| {
                origin.limit = Some("q".into());
                origin.inventory[3] = HostName::new("q").unwrap();
            })),
            &[],
        ),
        ("other_tags", Some(sound.clone()), &["-t", "hosts"]),
        ("other_limit", Some(sound.clone()), &["-l", "cp1"]),
    ];
    for (name, text, arguments) in cases {
        let mut bed = Bed::sound();
        if let Some(text) = text {
            bed = bed.bytes("plan.json", text.as_bytes());
        }
        let outcome = bed.run(&[&["apply", "plan.json"], arguments].concat());
        assert_eq!((outcome.exit, outcome.out.as_str()), (4, ""), "{name}");
        assert!(!bed.path(".quorate").exists(), "a journal of nothing");
        bed.nobody_came();
        insta::assert_snapshot!(format!("plan_file_{name}"), outcome.err);
    }
}

/// A plan that was made with `-e`, and an apply whose input is wrong without it: nobody is contacted, names alone are told.
#[test]
fn a_plan_with_other_extra_variables() {
    let text = plan(|origin| origin.extra_vars = vec!["a_word".into(), "vip".into()]);
    let bed = Bed::sound()
        .vars("cluster_name: \"{{ a_word }}\"\n")
        .bytes("plan.json", text.as_bytes());
    let outcome = bed.run(&["apply", "plan.json"]);
    assert_eq!((outcome.exit, outcome.out.as_str()), (4, ""));
    let hint = "the plan was made with `-e` of a_word, vip, which this run lacks";
    assert!(outcome.err.contains(hint), "{}", outcome.err);
    let outcome = bed.run(&["apply", "plan.json", "-e", "other=1"]);
    assert!(!outcome.err.contains("was made with"), "{}", outcome.err);
    bed.nobody_came();
}

#[test]
fn files_that_could_not_be_written_are_found_before_anybody_is_contacted() {
    // Not /dev/null: whoever breaks this would break the machine.
    let bed = Bed::sound().file("notes.txt", "mine");
    let made = std::process::Command::new("mkfifo")
        .arg(bed.path("pipe"))
        .status()
        .unwrap();
    assert!(made.success());
    for arguments in [
        &["plan", "--out", "no-such-folder/plan.json"][..],
        &["plan", "--out", "inventory"],
        &["plan", "--out", "pipe"],
        &["plan", "--out", "notes.txt"],
        &["plan", "--metrics", "pipe"],
        &["plan", "--metrics", "no-such-folder/q.prom"],
        &["status", "--metrics", "no-such-folder/q.prom"],
    ] {
        let outcome = bed.run(arguments);
        assert_eq!(
            (outcome.exit, outcome.out.as_str()),
            (4, ""),
            "{arguments:?}"
        );
        assert!(outcome.err.contains("help"), "{}", outcome.err);
    }
    assert_eq!(
        std::fs::read_to_string(bed.path("notes.txt")).unwrap(),
        "mine"
    );
    bed.nobody_came();
}
