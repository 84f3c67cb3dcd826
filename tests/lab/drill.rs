//! Drills on the cluster: what a client at the VIP sees, and that all is as before.

use std::fs;
use std::time::Duration;

use serde_json::Value;

use crate::cluster::holders;
use crate::driver::{CONTROL_PLANES, Lab, VIP, command, on, on_until, poll};

/// What is left of a drill on a host: nothing, ever.
const LEFT: &str = "nft list table netdev quorate_drill >/dev/null 2>&1 || systemctl is-active -q quorate-drill-restore.timer";

pub(crate) fn holder() -> &'static str {
    let carries = |host: &&&str| {
        on(host, &format!("ip -o address show to {VIP} | grep -q .")).code == Some(0)
    };
    poll(
        "the VIP is on exactly one host",
        Duration::from_secs(60),
        || {
            let found: Vec<&&str> = CONTROL_PLANES.iter().filter(carries).collect();
            match found.as_slice() {
                [one] => Some(**one),
                _ => None,
            }
        },
    )
}

#[track_caller]
fn nothing_is_left() {
    for host in CONTROL_PLANES {
        assert_eq!(
            on(host, &format!("! {{ {LEFT}; }}")).code,
            Some(0),
            "a drill left something on {host}"
        );
    }
    poll("the VIP on one host", Duration::from_secs(20), || {
        (holders() == 1).then_some(())
    });
}

fn seconds(result: &Value, field: &str) -> f64 {
    result[field]
        .as_f64()
        .unwrap_or_else(|| panic!("no {field} in {result}"))
}

/// A drill as soon as the cluster can bear one: a host that was booted a moment ago is not well yet, and a drill refuses
/// rightly. Returns who held the address.
pub(crate) fn drilled(lab: &Lab, words: &[&str]) -> (&'static str, crate::driver::Run) {
    poll(
        "the cluster can bear a drill",
        Duration::from_secs(180),
        || {
            let target = holder();
            let words = [&["drill", "failover", "--yes"], words].concat();
            let run = lab.quorate(&words).run();
            let early = run.code == Some(5)
                && (run.shown().contains("could not bear")
                    || run.shown().contains("are not clean"));
            (!early).then_some((target, run))
        },
    )
}

pub(crate) fn isolates_the_holder() {
    let lab = Lab::take("drill: isolate");
    lab.converged();
    let (target, run) = drilled(&lab, &["--for", "10"]);
    let run = run.expect(0).shows("fully redundant");
    let rounds = run.journal.drills();
    let [round] = rounds.as_slice() else {
        panic!("{rounds:?}");
    };
    eprintln!(
        "    outage {:.2} s, {} of {} requests failed, redundant after {:.1} s, requests up to {:.2} s apart",
        seconds(round, "outage"),
        round["failed"],
        round["probes"],
        seconds(round, "redundant"),
        seconds(round, "pause")
    );
    assert_eq!(round["target"], target);
    // How long it is belongs into docs/benchmarks.md; that there is one, and an end of it, is what is held here.
    let outage = seconds(round, "outage");
    assert!(outage > 0.05, "{round}");
    assert_eq!(round["open"], false);
    assert!(seconds(round, "away") > 9.0, "{round}");
    // More than twenty a second, for more than twenty seconds; a loaded machine may miss some.
    assert!(round["probes"].as_u64().unwrap() > 300, "{round}");
    let held: Vec<&str> = round["holders"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|t| t["host"].as_str())
        .collect();
    assert!(
        held[0] == target && held.iter().any(|h| *h != target),
        "{round}"
    );
    nothing_is_left();
    let replay = lab
        .quorate(&["replay"])
        .arg(&run.journal.path)
        .run()
        .expect(0);
    let line = format!("outage {outage:.2} s");
    assert!(
        run.out.contains(&line) && replay.out.contains(&line),
        "{line}\n{}",
        replay.out
    );
    let page = lab.inventory().join("drill.html");
    lab.quorate(&["report"])
        .arg(&run.journal.path)
        .arg("--html")
        .arg(&page)
        .run()
        .expect(0);
    let html = fs::read_to_string(page).unwrap();
    assert!(
        html.contains("bar failed") && html.contains(VIP),
        "the strip"
    );
    lab.plan_is_empty();
}

pub(crate) fn is_refused() {
    let lab = Lab::take("drill: refused");
    lab.converged();
    let run = lab
        .quorate(&["drill", "failover"])
        .run()
        .expect(5)
        .shows("nobody agreed");
    assert!(
        run.journal.connections().is_empty(),
        "somebody was contacted"
    );
    on("cp2", "systemctl stop haproxy").good("haproxy is stopped");
    let run = lab.quorate(&["drill", "failover", "--yes"]).run();
    on("cp2", "systemctl start haproxy").good("haproxy is started");
    let run = run.expect(5).shows("cp2: haproxy does not run");
    assert_eq!(
        run.journal.execs_of("lock") + run.journal.execs_of("command"),
        0
    );
    lab.plan_is_empty();
}

/// Starts a drill and waits until the holder is cut off.
fn cut_off(lab: &Lab, words: &[&str]) -> (&'static str, crate::driver::Running) {
    let target = holder();
    let running = lab
        .quorate(&[&["drill", "failover", "--yes"], words].concat())
        .start();
    let cut = "nft list table netdev quorate_drill | grep -q drop";
    on_until(target, "the network is cut", 60, cut);
    (target, running)
}

pub(crate) fn survives_the_controller() {
    let lab = Lab::take("drill: the controller is killed");
    lab.converged();
    let (target, running) = cut_off(&lab, &["--for", "15"]);
    assert!(running.kill().killed);
    assert_eq!(on(target, LEFT).code, Some(0), "it is cut off still");
    on_until(
        target,
        "its network is back",
        30,
        &format!("! {{ {LEFT}; }}"),
    );
    nothing_is_left();
    // The lock of the dead controller goes after its last beat.
    poll("another drill", Duration::from_secs(200), || {
        let run = lab
            .quorate(&["drill", "failover", "--for", "5", "--yes"])
            .run();
        (run.code == Some(0)).then_some(())
    });
    nothing_is_left();
    lab.plan_is_empty();
}

pub(crate) fn is_interrupted() {
    let lab = Lab::take("drill: interrupted");
    lab.converged();
    let (_, running) = cut_off(&lab, &["--for", "12", "--times", "3"]);
    running.signal("INT");
    running.end().expect(130);
    nothing_is_left();
    // By name: the address may be on its way back to the first host still.
    let target = holder();
    let running = lab
        .quorate(&[
            "drill",
            "failover",
            "--target",
            target,
            "--by",
            "stop-service",
            "--for",
            "300",
            "--yes",
        ])
        .start();
    on_until(
        target,
        "keepalived is stopped",
        60,
        "! systemctl is-active -q keepalived",
    );
    running.signal("INT");
    let run = running.end().expect(130);
    assert!(run.seconds < 120.0, "it waited for the timer");
    let units = "systemctl is-active -q keepalived haproxy";
    assert_eq!(on(target, units).code, Some(0), "started again");
    nothing_is_left();
    lab.plan_is_empty();
}

pub(crate) fn goes_every_way() {
    let lab = Lab::take("drill: every way");
    lab.converged();
    let ways: [&[&str]; 4] = [
        &["--by", "stop-service", "--for", "10"],
        &["--by", "kill-api"],
        &[
            "--by",
            "vagrant/lab freeze",
            "--restore",
            "vagrant/lab thaw",
            "--for",
            "10",
        ],
        &["--by", "reboot"],
    ];
    for way in ways {
        if way[1] == "reboot" {
            // A container does not come up again by itself after its own `systemctl reboot` everywhere.
            let policy = command(
                10,
                [
                    "docker",
                    "inspect",
                    "-f",
                    "{{.HostConfig.RestartPolicy.Name}}",
                    "quorate-lab-cp1",
                ],
            );
            eprintln!("    restart policy: {}", policy.out.trim());
        }
        let run = lab
            .quorate(&[&["drill", "failover", "--yes"], way].concat())
            .run()
            .expect(0);
        let rounds = run.journal.drills();
        eprintln!(
            "    {}: outage {:.2} s, {} of {} requests failed",
            way[1],
            seconds(rounds[0], "outage"),
            rounds[0]["failed"],
            rounds[0]["probes"]
        );
        assert_eq!(rounds[0]["open"], false, "{way:?}: {}", rounds[0]);
        nothing_is_left();
    }
    lab.plan_is_empty();
}
