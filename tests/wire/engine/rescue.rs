//! Steps that fail: what becomes of their host, and of blocks that rescue it or clean up behind it.

use std::sync::Mutex;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use quorate::event::ExitCode;
use quorate::host::Kind;
use quorate::plan::OnFailure;
use quorate::transport::fake::{Call, Reply};

use super::{Bench, Model, WRITING, framed, name, obey};

#[tokio::test]
async fn a_failing_step_stops_its_host_alone() {
    let outcome = Bench::new(&["a", "b"])
        .run("apply", |model, call| match call.request.kind() {
            Kind::Wave if call.host == "a" => {
                let output = BASE64.encode("No space left on device");
                Reply::stdout(framed(
                    call,
                    ["start 0".into(), format!("done 0 failed 1 {output}")],
                ))
            }
            _ => obey(model, call),
        })
        .await;
    assert_eq!(outcome.exit(), ExitCode::Failed);
    let failure = &outcome.recap.failures[0];
    assert_eq!(failure.title, "example : file 1");
    assert_eq!(failure.detail, ["No space left on device"]);
    assert_eq!(
        failure.help.as_deref(),
        Some("free space on the host and run again; the old file is as it was")
    );
    let b = &outcome.recap.hosts[&name("b")];
    assert_eq!((b.changed, b.failed, b.ok), (1, 0, 2));
}

/// The host's first wave ends behind a step that failed, with its facts, as the script does it.
fn fails_once(model: &Mutex<Model>, call: &Call) -> Reply {
    let first = call.request.kind() == Kind::Wave
        && String::from_utf8_lossy(&call.stdin).contains("run_step 0 plain caught");
    if !first {
        return obey(model, call);
    }
    let failed = format!("done 0 failed 3 {}", BASE64.encode("it is refused"));
    let mut lines = vec!["start 0".to_string(), failed];
    lines.extend(model.lock().unwrap().facts(&call.host));
    lines.push("finished".into());
    Reply::stdout(framed(call, lines))
}

#[tokio::test]
async fn a_failure_that_is_rescued_is_a_wave_more_and_no_failed_host() {
    let mut bench = Bench::new(&["a"]);
    bench.catches = OnFailure::Rescue;
    let outcome = bench.run("apply", fails_once).await;
    assert_eq!(outcome.exit(), ExitCode::Done, "{}", outcome.text());
    assert_eq!(outcome.waves(), ["a", "a"]);
    let a = &outcome.recap.hosts[&name("a")];
    // The rescue alone has changed something.
    assert_eq!((a.changed, a.failed, a.rescued), (1, 0, 1));
    let recap = quorate::report::render_recap(&outcome.recap, None, false);
    assert!(recap.contains("failed=0 skipped=0 rescued=1"), "{recap}");
    assert_eq!(outcome.recap.warnings, 1);
    let notes = outcome.text();
    assert!(notes.contains("note before it: before it"), "{notes}");
    assert!(notes.contains("note behind it: behind it"), "{notes}");
    assert!(!notes.contains("not reached"), "{notes}");
    let warned = "`example : try` failed, its block's `rescue` follows: it is refused";
    assert!(outcome.text().contains(warned), "{}", outcome.text());
}

#[tokio::test]
async fn what_a_failure_left_out_is_waited_for_behind_the_rescue() {
    let mut bench = Bench::cluster(&["cp1", "cp2"]).converged();
    bench.catches = OnFailure::Rescue;
    bench.disturbs = true;
    let outcome = bench.run("apply", fails_once).await;
    assert_eq!(outcome.exit(), ExitCode::Done, "{}", outcome.text());
    // One after the other, each with its rescue; the run's last act is a wave as well.
    let script = |c: &Call| String::from_utf8_lossy(&c.stdin).into_owned();
    let waves = outcome.calls.iter();
    let own: Vec<&Call> = waves
        .filter(|c| c.request.kind() == Kind::Wave && script(c).contains(WRITING))
        .collect();
    let hosts: Vec<&str> = own.iter().map(|c| c.host.as_str()).collect();
    assert_eq!(hosts, ["cp1", "cp1", "cp2", "cp2"]);
    for wave in own {
        let gate = "https://vip.example:8443/healthz";
        assert!(script(wave).contains(gate), "{}", wave.host);
    }
}

#[tokio::test]
async fn a_failure_that_nothing_rescues_is_cleaned_behind_and_fails_its_host() {
    let mut bench = Bench::new(&["a"]);
    bench.catches = OnFailure::Always;
    let outcome = bench.run("apply", fails_once).await;
    assert_eq!(outcome.exit(), ExitCode::Failed, "{}", outcome.text());
    assert_eq!(outcome.waves(), ["a", "a"]);
    assert_eq!(outcome.recap.failures[0].title, "example : try");
    let a = &outcome.recap.hosts[&name("a")];
    assert_eq!((a.changed, a.failed), (1, 1));
}
