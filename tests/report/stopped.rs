//! What a run is told as that did not come to its end.

use quorate::event::{Category, Event, Recap, Record, Status, Trouble};
use quorate::report::{letter, page, render_recap};

use super::{at, host, started, step, trouble, unstyled};

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
