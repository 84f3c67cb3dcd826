//! A journal that somebody else has written: in the place of each text that would steer a terminal, and would be markup in
//! a page.

use std::collections::BTreeSet;
use std::io::Write as _;

use quorate::engine::journal::{self, JournalError};
use quorate::event::{Record, is_hostile};
use quorate::report::{Json, Options, Plain, Pretty, Surface, letter, page};
use serde_json::Value;

use super::{Buffer, report, unstyled};

/// Ends attributes, elements, comments and styles, and a line of a terminal.
const TEXT: &str = "\u{1b}[2J\u{9b}1m\u{202e}\u{61c}\u{e0041}\n\"'`--></title></style></pre><script>alert(1)</script><img src=x onerror=alert(1)>&lt;javascript:alert(1)\r\u{0}";

const JOURNALS: [&str; 7] = [
    "apply",
    "drill",
    "plan",
    "lab-converged-apply",
    "lab-drift-apply",
    "lab-drift-plan",
    "lab-exec",
];

/// Puts the text in the place of each string that may be any, one after another; returns how many there were.
fn poison(line: &str) -> (String, usize) {
    fn strings(value: &Value, at: &str, found: &mut Vec<String>) {
        match value {
            Value::String(_) => found.push(at.to_owned()),
            Value::Array(items) => {
                for (n, item) in items.iter().enumerate() {
                    strings(item, &format!("{at}/{n}"), found);
                }
            }
            Value::Object(map) => {
                for (key, item) in map {
                    strings(item, &format!("{at}/{key}"), found);
                }
            }
            _ => {}
        }
    }
    let mut value: Value = serde_json::from_str(line).unwrap();
    let mut places = Vec::new();
    strings(&value, "", &mut places);
    let mut count = 0;
    for place in places {
        let slot = value.pointer_mut(&place).unwrap();
        let before = std::mem::replace(slot, TEXT.into());
        if serde_json::from_value::<Record>(value.clone()).is_ok() {
            count += 1;
        } else {
            *value.pointer_mut(&place).unwrap() = before;
        }
    }
    (value.to_string(), count)
}

/// The committed journals, with the text in each place.
fn poisoned() -> Vec<(&'static str, Vec<Record>)> {
    let mut all = Vec::new();
    for name in JOURNALS {
        let path = format!("{}/tests/data/{name}.jsonl", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(path).unwrap();
        let mut count = 0;
        let mut file = tempfile::NamedTempFile::new().unwrap();
        for line in text.lines() {
            let (line, places) = poison(line);
            count += places;
            writeln!(file, "{line}").unwrap();
        }
        assert!(count > 4, "{name}: {count} places");
        let path = camino::Utf8Path::from_path(file.path()).unwrap();
        let (records, warnings) = journal::read(path).unwrap();
        assert_eq!(warnings, [""; 0]);
        all.push((name, records));
    }
    all
}

fn tame(what: &str, text: &str) {
    for (n, line) in text.lines().enumerate() {
        let found = line.chars().find(|c| is_hostile(*c));
        assert_eq!(found, None, "{what}, line {}: {line:?}", n + 1);
    }
}

#[test]
fn no_text_of_a_journal_steers_a_terminal() {
    for (name, records) in poisoned() {
        for verbosity in [-1, 0, 2] {
            let options = || Options {
                verbosity,
                diff: true,
                detailed: true,
                ..Options::default()
            };
            let buffer = Buffer::default();
            report(
                &mut Plain::new(Box::new(buffer.clone()), options()),
                &records,
            );
            tame(&format!("{name}, plain"), &buffer.text());
            let buffer = Buffer::default();
            let surface = Surface::Stream(Box::new(buffer.clone()));
            report(&mut Pretty::new(surface, options(), false), &records);
            let text = buffer.text();
            tame(&format!("{name}, pretty"), &unstyled(&text));
            // Styles are of quorate's own, and change colours alone.
            for part in text.split('\u{1b}').skip(1) {
                let end = part.find(|c: char| !c.is_ascii_digit() && c != '[' && c != ';');
                assert!(part[end.unwrap()..].starts_with('m'), "{name}: {part:?}");
            }
        }
        let buffer = Buffer::default();
        report(&mut Json::new(Box::new(buffer.clone())), &records);
        tame(&format!("{name}, JSON"), &buffer.text());
        tame(&format!("{name}, letter"), &letter(&records, "j.jsonl"));
    }
}

/// All markup of the page is its own: its elements and attributes are these, and no address leads out of it.
#[test]
fn no_text_of_a_journal_is_markup() {
    let element =
        regex::Regex::new(r#"<(/?[A-Za-z!][A-Za-z0-9]*)((?:[^>"']|"[^"]*"|'[^']*')*)>"#).unwrap();
    let attribute = regex::Regex::new(r#"([A-Za-z-]+)(?:="([^"]*)")?"#).unwrap();
    let style = regex::Regex::new(r"^(?:(?:left|width|flex-grow):[0-9.]+%?;?)*$").unwrap();
    let mut names = BTreeSet::new();
    let mut attributes = BTreeSet::new();
    for (journal, records) in poisoned() {
        let html = page(&records, "<script>\"'.jsonl");
        tame(journal, &html);
        // The page's own style sheet is no text of a journal's.
        let start = html.find("<style>").unwrap();
        let end = html.find("</style>").unwrap();
        let rest = format!("{}{}", &html[..start], &html[end + 8..]);
        let mut left = rest.clone();
        for found in element.captures_iter(&rest) {
            names.insert(found[1].trim_start_matches('/').to_lowercase());
            for found in attribute.captures_iter(&found[2]) {
                attributes.insert(found[1].to_string());
                let value = found.get(2).map_or("", |v| v.as_str());
                match &found[1] {
                    "style" => assert!(style.is_match(value), "{journal}: {value}"),
                    "href" => assert!(value.starts_with('#'), "{journal}: {value}"),
                    _ => {}
                }
            }
            left = left.replacen(&found[0], "", 1);
        }
        assert!(!left.contains('<'), "{journal}: {left}");
    }
    for name in ["script", "img", "iframe", "object", "link", "base", "form"] {
        assert!(!names.contains(name), "{names:?}");
    }
    assert!(
        attributes
            .iter()
            .all(|a| !a.starts_with("on") && a != "src"),
        "{attributes:?}"
    );
    assert!(names.contains("details") && attributes.contains("style"));
}

fn read(write: impl FnOnce(&mut std::fs::File)) -> Result<(usize, Vec<String>), JournalError> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    write(file.as_file_mut());
    let path = camino::Utf8Path::from_path(file.path()).unwrap();
    let (records, warnings) = journal::read(path)?;
    Ok((records.len(), warnings))
}

const LINE: &[u8] = b"{\"v\":1,\"seq\":0,\"at\":\"2026-11-28T00:00:00Z\",\"event\":\"run_finished\",\"exit\":0,\"seconds\":1.0}\n";

#[test]
fn a_million_lines_that_are_none_are_counted_and_not_kept() {
    let (records, warnings) = read(|file| {
        file.write_all(LINE).unwrap();
        file.write_all(&b"x\n".repeat(1 << 20)).unwrap();
    })
    .unwrap();
    assert_eq!((records, warnings.len()), (1, 21));
    assert!(
        warnings[20].ends_with(": 1048556 more lines that are no events; passed over"),
        "{warnings:?}"
    );
}

#[test]
fn a_line_without_an_end_is_passed_over() {
    // A hole of 300 MiB costs nothing on the disk.
    let (records, warnings) = read(|file| {
        file.write_all(LINE).unwrap();
        std::io::Seek::seek(file, std::io::SeekFrom::Current(300 << 20)).unwrap();
        file.write_all(b"\n").unwrap();
        file.write_all(LINE).unwrap();
    })
    .unwrap();
    assert_eq!((records, warnings.len()), (2, 1));
    assert!(
        warnings[0].ends_with(":2: longer than 67108864 bytes; passed over"),
        "{warnings:?}"
    );
    let error = read(|file| file.set_len((1 << 30) + 1).unwrap()).unwrap_err();
    assert!(
        error.to_string().contains("1073741824 are read at most"),
        "{error}"
    );
}

/// An event that nobody knows is named, in so many characters that can be shown.
#[test]
fn an_unknown_event_with_a_long_name() {
    let name = "\\u001b[2J".repeat(10_000);
    let (_, warnings) = read(|file| {
        file.write_all(LINE).unwrap();
        writeln!(file, "{{\"v\":1,\"seq\":1,\"event\":\"{name}\"}}").unwrap();
    })
    .unwrap();
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].len() < 1000, "{}", warnings[0].len());
    tame("a warning", &warnings[0]);
}

/// A snippet shows a line of somebody's file. Found by the fuzz target `inventory_ini`.
#[test]
fn no_line_of_a_file_steers_a_terminal() {
    use quorate::model::{Diagnostic, Diagnostics, Source, Span};
    use quorate::report::diagnostics;
    let text = "a: \u{84}\u{9b}31m\u{1b}[2J\u{7f}\u{ad}\u{61c}\u{202e}\u{feff}\u{e0041}\u{0}é [\n";
    let source = std::sync::Arc::new(Source::new("in\u{9b}1m.yml", text));
    let at = text.find('[').unwrap();
    for range in [at..at + 1, 3..5, 0..text.len()] {
        let span = Span {
            source: source.clone(),
            range,
        };
        let found = Diagnostics(vec![
            Diagnostic::error("no \u{9b}1m").at(span).help("\u{1b}c"),
        ]);
        tame("a finding", &diagnostics::render(&found, false));
        tame("a finding as JSON", &diagnostics::json(&found));
    }
}
