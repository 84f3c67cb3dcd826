//! What a run is told as that did not come to its end, or was for some of the hosts alone.

use quorate::event::{Category, Event, Recap, Record, Status, Trouble};
use quorate::report::{letter, page, render_recap};

use super::{at, host, started, step, trouble, unchanged, unstyled};

fn ended(exit: u8) -> Event {
    Event::RunFinished { exit, seconds: 1.0 }
}

/// Returns what a run says of where it stopped: at the terminal, as text, and on the page.
fn stopped(records: &[Record]) -> [String; 3] {
    let recap = Recap::of(records);
    [
        unstyled(&render_recap(&recap, None, false)),
        letter(records, "x"),
        page(records, "x"),
    ]
    .map(|text| text.split_whitespace().collect::<Vec<_>>().join(" "))
}

fn begun(name: &str, title: &str) -> Event {
    Event::StepStarted {
        host: host(name),
        title: title.into(),
    }
}

#[test]
fn a_run_that_was_stopped_names_the_hosts_and_what_to_do() {
    let again = "run the same command again; it goes on from where the hosts are";
    let records = [
        at(0, started("apply", &["h1", "h2", "h3", "h4"])),
        at(1, begun("h1", "a step")),
        at(2, step("h1", Status::Changed, Category::Own, 0.1)),
        at(
            3,
            Event::Interrupted {
                hosts: vec![host("h1"), host("h3"), host("h2")],
            },
        ),
        at(4, ended(130)),
    ];
    for text in stopped(&records) {
        let said = "stopped behind the step that was under way on h1, h3, h2";
        assert!(text.contains(said) && text.contains(again), "{text}");
        assert!(!text.contains("was not seen"), "{text}");
    }
    // Nothing was under way.
    let records = [
        at(0, started("apply", &["h1"])),
        at(1, Event::Interrupted { hosts: Vec::new() }),
        at(2, ended(130)),
    ];
    for text in stopped(&records) {
        assert!(!text.contains("under way"), "{text}");
        assert!(text.contains(again), "{text}");
    }
}

#[test]
fn a_run_that_was_killed_names_the_steps_without_an_end() {
    let killed = |command| {
        vec![
            at(0, started(command, &["h1", "h2", "h3", "h4"])),
            at(1, begun("h1", "a step")),
            at(2, begun("h2", "the next one")),
            at(3, step("h1", Status::Changed, Category::Own, 0.1)),
            at(4, begun("h1", "the next one")),
            at(5, begun("h3", "a step")),
            at(6, begun("h4", "a step")),
            at(7, trouble("h4", Trouble::Lost)),
        ]
    };
    let again = "run the same command again; it goes on from where the hosts are";
    for text in stopped(&killed("apply")) {
        let said = "the end of `the next one` on h2, h1 was not seen";
        let other = "the end of `a step` on h3 was not seen";
        assert!(text.contains(said) && text.contains(other), "{text}");
        assert!(text.contains(again), "{text}");
    }
    let mut whole = killed("apply");
    whole.push(at(8, ended(1)));
    for records in [killed("exec"), whole] {
        for text in stopped(&records) {
            assert!(!text.contains(again), "{text}");
        }
    }
}

/// A control plane outside of `--limit` is asked, and nothing of it is compared.
#[test]
fn a_host_outside_of_the_limit_is_not_as_written_but_not_in_the_run() {
    let probed = |name| Event::Probed {
        host: host(name),
        seconds: 0.1,
    };
    for command in ["apply", "plan"] {
        let mut records = vec![
            at(0, started(command, &["cp1", "cp2", "h1"])),
            at(1, probed("cp1")),
            at(2, probed("cp2")),
            at(3, probed("h1")),
            at(4, unchanged("h1")),
            at(5, unchanged("cp2")),
            at(6, step("cp2", Status::Changed, Category::Own, 0.1)),
        ];
        let chips = |records: &[Record]| {
            let page = page(records, "x");
            let hosts = &page[page.find("<section id=\"hosts\">").unwrap()..];
            let rows = hosts
                .lines()
                .filter_map(|line| line.split_once("<tr><td><b>"));
            let row = |(_, row): (&str, &str)| {
                let name = &row[..row.find("</b>").unwrap()];
                let chip = row.rsplit_once("\">").map_or("", |(_, chip)| chip);
                format!("{name}: {}", chip.split('<').next().unwrap_or_default())
            };
            rows.map(row).collect::<Vec<_>>()
        };
        let changed = match command {
            "plan" => "cp2: would change",
            _ => "cp2: changed",
        };
        // Without an end nothing is known of the rest.
        let cut = ["cp1: not in this run", changed, "h1: not changed"];
        assert_eq!(chips(&records), cut);
        // Nor of anybody where nobody was compared.
        let mut refused = records[..4].to_vec();
        refused.push(at(
            4,
            Event::Refused {
                hosts: Vec::new(),
                message: "another version".into(),
                help: None,
            },
        ));
        refused.push(at(5, ended(5)));
        let none = ["cp1: not changed", "cp2: not changed", "h1: not changed"];
        assert_eq!(chips(&refused), none);
        assert!(!letter(&refused, "x").contains("not in this run"));
        records.push(at(7, ended(0)));
        let whole = ["cp1: not in this run", changed, "h1: as written"];
        assert_eq!(chips(&records), whole);
        let text = letter(&records, "x");
        assert!(text.contains("  cp1: not in this run, "), "{text}");
        assert!(!text.contains("h1: not in this run"), "{text}");
    }
}
