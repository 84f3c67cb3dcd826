//! Journals: written, cut off, from other versions.

use camino::Utf8Path;
use quorate::engine::journal::{self, Journal, JournalError};
use quorate::event::{Event, ExitCode, Recap, Record, Reporter};
use quorate::report::Reporters;

use super::{at, host, journal as sample, report, started};

#[test]
fn a_journal_reads_back_as_it_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let home = Utf8Path::from_path(folder.path()).unwrap().join(".quorate");
    let records = sample("apply");
    let mut written = Journal::create(&home, "apply --check", records[0].at).unwrap();
    assert_eq!(
        written.path(),
        home.join("journal/20261114T101112Z-apply---check.jsonl")
    );
    report(&mut written, &records);
    let (read, warnings) = journal::read(written.path()).unwrap();
    assert_eq!((read, warnings), (records.clone(), Vec::<String>::new()));
    let second = Journal::create(&home, "apply --check", records[0].at).unwrap();
    assert_ne!(second.path(), written.path());

    use std::os::unix::fs::PermissionsExt as _;
    let mode = |path: &Utf8Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(written.path()), 0o600);
    assert_eq!((mode(&home), mode(&home.join("journal"))), (0o700, 0o700));
    assert_eq!(
        std::fs::read_to_string(home.join(".gitignore")).unwrap(),
        "*\n"
    );
}

#[test]
fn a_journal_is_beside_its_inventory() {
    for (inventory, home) in [
        ("inventory", ".quorate"),
        ("a/hosts.yml", "a/.quorate"),
        ("/b/inventory/", "/b/.quorate"),
        ("../b", "../.quorate"),
    ] {
        assert_eq!(journal::home(inventory.as_ref()), home);
    }
    // The folder itself, from within.
    let here = std::env::current_dir().unwrap();
    let beside = here.parent().unwrap().join(".quorate");
    assert_eq!(journal::home(".".as_ref()), *beside.to_str().unwrap());
    assert_eq!(journal::home("src/..".as_ref()), *beside.to_str().unwrap());
}

#[test]
fn a_journal_keeps_so_much_of_a_hosts_output_and_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let home = Utf8Path::from_path(folder.path()).unwrap();
    let output = |name: &str| Event::Output {
        host: host(name),
        stderr: false,
        line: "a short line".into(),
    };
    let mut records: Vec<Record> = (0..100_000).map(|_| at(0, output("a"))).collect();
    records.push(at(1, output("b")));
    let mut written = Journal::create(home, "exec", records[0].at).unwrap();
    report(&mut written, &records);
    let size = std::fs::metadata(written.path()).unwrap().len() as usize;
    assert!(
        (journal::OUTPUT_LIMIT / 2..=journal::OUTPUT_LIMIT).contains(&size),
        "{size}"
    );
    let (read, _) = journal::read(written.path()).unwrap();
    // Another host's is kept all the same.
    assert_eq!(read.last(), records.last());
}

#[test]
fn what_is_no_file_is_no_journal() {
    for path in ["/dev/zero", "/dev", "/proc/self/fd"] {
        let error = journal::read(path.as_ref()).unwrap_err();
        assert!(
            matches!(&error, JournalError::NoFile { .. }),
            "{path}: {error}"
        );
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(1 << 40).unwrap();
    let error = journal::read(Utf8Path::from_path(file.path()).unwrap()).unwrap_err();
    assert!(error.to_string().contains("are read at most"), "{error}");
}

/// Returns what reading a journal with this text gives.
fn read(text: &[u8]) -> Result<(Vec<Record>, Vec<String>), JournalError> {
    let folder = tempfile::tempdir().unwrap();
    let path = Utf8Path::from_path(folder.path()).unwrap().join("j.jsonl");
    std::fs::write(&path, text).unwrap();
    journal::read(&path)
}

/// Of these serde_json's quick way of reading gives a neighbour.
#[test]
fn a_duration_is_read_as_it_was_written() {
    for seconds in [5.991_166_942, 1.000_000_000_000_000_2, 0.1 + 0.2, 1e-7] {
        let event = Event::HostFinished {
            host: host("w1"),
            seconds,
        };
        let records = vec![at(0, started("apply", &["w1"])), at(1, event)];
        let text: String = records.iter().map(|r| r.to_line().unwrap()).collect();
        assert_eq!(read(text.as_bytes()).unwrap().0, records, "{text}");
    }
}

#[test]
fn a_journal_cut_off_anywhere_is_read_up_to_there() {
    let text: String = sample("apply")
        .iter()
        .map(|record| record.to_line().unwrap())
        .collect();
    let first = text.find('\n').unwrap() + 1;
    for end in (first..text.len()).step_by(37) {
        let (records, warnings) = read(&text.as_bytes()[..end]).unwrap();
        let whole = text[..end].matches('\n').count();
        // A line of which only its end is missing is whole.
        assert!(records.len() == whole || records.len() == whole + 1);
        assert_eq!(
            warnings.len(),
            usize::from(records.len() == whole && !text[..end].ends_with('\n')),
            "{warnings:?}"
        );
        assert!(!Recap::of(&records).finished || end + 1 >= text.len());
    }
}

#[test]
fn a_journal_of_another_version() {
    let good = at(0, started("apply", &["cp1"])).to_line().unwrap();
    let newer = format!(
        "{good}{{\"v\":1,\"seq\":1,\"at\":\"2026-11-14T10:00:00Z\",\"event\":\"teleported\",\"host\":\"cp1\"}}\n"
    );
    let (records, warnings) = read(newer.as_bytes()).unwrap();
    assert_eq!(records.len(), 1);
    assert!(
        warnings[0]
            .ends_with("j.jsonl:2: this quorate does not know the event `teleported`; passed over"),
        "{warnings:?}"
    );

    // A known event of which a part is none.
    let forged = format!("{good}{}", good.replace("cp1", "<b>"));
    let (_, warnings) = read(forged.as_bytes()).unwrap();
    assert!(
        warnings[0].ends_with("j.jsonl:2: no event; passed over"),
        "{warnings:?}"
    );

    let error = read(good.replace("\"v\":1", "\"v\":2").as_bytes())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("has version 2; this quorate reads up to 1"),
        "{error}"
    );
    let more = good.replace("\"cluster\"", "\"colour\":\"blue\",\"cluster\"");
    assert_eq!(read(more.as_bytes()).unwrap().0.len(), 1);
    assert!(matches!(
        read(b"not a journal\n"),
        Err(JournalError::NotAJournal { .. })
    ));
    assert!(matches!(read(b""), Err(JournalError::NotAJournal { .. })));
    let said = br#"{"v":1,"severity":"warning","message":"shard 1/4 holds none","file":null}"#;
    let error = read(said).unwrap_err();
    assert!(matches!(&error, JournalError::NoRun { said, .. } if said == "shard 1/4 holds none"));
    assert!(matches!(
        journal::read("/nonexistent".into()),
        Err(JournalError::Read { .. })
    ));
}

/// A reporter whose disk is full.
struct Full;

impl Reporter for Full {
    fn record(&mut self, _: &Record) -> std::io::Result<()> {
        Err(std::io::ErrorKind::StorageFull.into())
    }
    fn finish(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn an_output_that_cannot_be_written_is_a_failure_and_a_journal_is_none() {
    for (name, exit) in [("output", ExitCode::Failed), ("journal", ExitCode::Done)] {
        let mut reporters = Reporters::new().with(name, Box::new(Full));
        reporters.emit(Event::Warning {
            host: None,
            message: "a".into(),
        });
        assert_eq!(reporters.finish().exit(), exit, "{name}");
    }
}
