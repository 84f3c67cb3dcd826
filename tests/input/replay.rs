//! Journals of real runs in the lab, as a person sees them.

use std::path::Path;

use crate::bed::Bed;

/// Returns what `replay` prints of a journal in tests/data, and its exit code.
fn replay(journal: &str, arguments: &[&str]) -> (i32, String) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/data/{journal}.jsonl"));
    let path = path.to_str().unwrap();
    let outcome = Bed::empty().run(&[&["replay", path], arguments].concat());
    assert_eq!(outcome.err, "");
    (outcome.exit, outcome.out.replace(path, "JOURNAL"))
}

#[test]
fn three_drifts_as_a_plan() {
    let (exit, text) = replay("lab-drift-plan", &[]);
    assert_eq!(exit, 2);
    insta::assert_snapshot!(text);
}

#[test]
fn three_drifts_mended() {
    let (exit, text) = replay("lab-drift-apply", &["--output", "plain"]);
    assert_eq!(exit, 0);
    insta::assert_snapshot!(text);
}

#[test]
fn nothing_to_do() {
    let (exit, text) = replay("lab-converged-apply", &[]);
    assert_eq!(exit, 0);
    insta::assert_snapshot!(text);
}

/// A journal that ends in the middle of a line: what is there is shown, and that the rest is not.
#[test]
fn a_run_that_was_killed_while_it_wrote() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/lab-drift-apply.jsonl");
    let whole = std::fs::read(path).unwrap();
    let bed = Bed::empty().bytes("cut.jsonl", &whole[..whole.len() * 3 / 4]);
    let outcome = bed.run(&["replay", "cut.jsonl"]);
    assert_eq!(outcome.exit, 1, "{}", outcome.err);
    insta::assert_snapshot!(format!(
        "{}\n--- standard error\n{}",
        outcome.out, outcome.err
    ));
}

/// Of a run that was killed it is known how long it took up to its last record.
#[test]
fn a_run_without_an_end_has_its_time() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/apply.jsonl");
    let whole = std::fs::read_to_string(path).unwrap();
    let cut: Vec<&str> = whole.lines().take(40).collect();
    let bed = Bed::empty().file("cut.jsonl", &(cut.join("\n") + "\n"));
    for arguments in [&[][..], &["--output", "plain"]] {
        let outcome = bed.run(&[&["replay", "cut.jsonl"], arguments].concat());
        assert_eq!(outcome.exit, 1, "{}", outcome.err);
        let said = outcome.out;
        let ended = "the run did not end: its journal stops here\n  the end of `kubeadm join` on cp2 was not seen\n  help: run ";
        assert!(said.contains(ended) && said.contains("\n51 s = "), "{said}");
        assert!(!said.contains(" 0.0 s\n"), "{said}");
    }
}

#[test]
fn a_command_s_output() {
    let (exit, text) = replay("lab-exec", &[]);
    assert_eq!(exit, 0);
    insta::assert_snapshot!(text);
}
