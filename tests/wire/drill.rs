//! A drill over hosts that answer by a closure: what is asked of whom, in which order, and how it ends.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use indexmap::IndexMap;
use quorate::cluster::Shape;
use quorate::cluster::drill::{By, Holding, Site, Target as Wanted, Wish};
use quorate::engine::{self, Cancel, Settings};
use quorate::event::{DrillRound, Event, ExitCode, Mark, Recap, Record};
use quorate::host::{Fact, Kind};
use quorate::model::{Endpoint, HostName, Sha256};
use quorate::transport::fake::{Call, FakeConnector, Reply};
use quorate::transport::{Access, Elevation, Target};
use tokio::sync::mpsc;

use crate::engine::framed;
use crate::help::told;

const VIP: &str = "10.77.0.100";
const CONTROL_PLANES: [&str; 3] = ["cp1", "cp2", "cp3"];

fn names(names: &[&str]) -> Vec<HostName> {
    names.iter().map(|n| HostName::new(n).unwrap()).collect()
}

fn address(host: &str) -> String {
    let number = host.chars().last().unwrap();
    format!("10.77.0.1{number}")
}

fn now() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

/// What the hosts of a test are like.
#[derive(Default)]
struct Model {
    /// What the script that takes the target away says instead of doing it.
    cannot: Option<&'static str>,
    /// A unit that does not run on cp2.
    stopped: bool,
    /// Somebody else holds the lock.
    locked: bool,
    /// Whether all requests fail.
    dead: bool,
    /// Whether the user asks to stop when the target is taken away.
    interrupted: bool,
    /// Whether an earlier drill has left its notes.
    earlier: bool,
    /// Whether something was taken away.
    away: AtomicBool,
    /// The calls of the scripts, in order: `cp1 isolate`.
    scripts: Mutex<Vec<String>>,
}

impl Model {
    fn facts(&self, host: &str) -> Vec<String> {
        let mut lines = vec![
            "system os debian||13".to_string(),
            format!("address eth0 {}/24", address(host)),
        ];
        if host == "cp1" {
            lines.push(format!("address eth0 {VIP}/32"));
        }
        let haproxy = if self.stopped && host == "cp2" {
            "failed"
        } else {
            "active"
        };
        if !host.starts_with('w') {
            lines.extend([
                "unit LoadState=loaded".to_string(),
                format!("unit ActiveState={haproxy}"),
                "unit ".into(),
                "unit LoadState=loaded".into(),
                "unit ActiveState=active".into(),
                "port 8443".into(),
                format!("kubernetes ca {}  -", Sha256::of("ca")),
            ]);
            let columns =
                r#"[{"name":"Name"},{"name":"Status"},{"name":"Roles"},{"name":"Version"}]"#;
            let rows: Vec<String> = ["cp1", "cp2", "cp3", "w1"]
                .map(|n| format!(r#"{{"cells":["{n}","Ready","",""]}}"#))
                .to_vec();
            let members: Vec<String> = CONTROL_PLANES
                .map(|n| format!(r#"{{"name":"{n}"}}"#))
                .to_vec();
            lines.extend([
                "http livez 200".to_string(),
                "http readyz 200".into(),
                format!(
                    r#"body {{"columnDefinitions":{columns},"rows":[{}]}}"#,
                    rows.join(",")
                ),
                "http nodes 200".into(),
                format!(r#"body {{"members":[{}]}}"#, members.join(",")),
                "http members 200".into(),
            ]);
        }
        lines.push("end".into());
        lines
    }

    fn answer(&self, call: &Call) -> Reply {
        let text = String::from_utf8_lossy(&call.stdin);
        match call.request.kind() {
            Kind::Probe => Reply::stdout(framed(call, self.facts(&call.host))),
            Kind::Lock if self.locked && call.host == "cp2" => {
                Reply::stdout(framed(call, ["held ada@elsewhere".to_string()]))
            }
            Kind::Lock => Reply::stdout(framed(call, ["locked".into()])).until_eof(),
            Kind::Stop | Kind::Wave => Reply::status(0),
            Kind::Command => {
                let call_line = text.rsplit("main() {\n").next().unwrap_or_default();
                let name = call_line.split_whitespace().next().unwrap_or_default();
                let script = format!("{} {name}", call.host);
                self.scripts.lock().unwrap().push(script);
                self.script(call, name)
            }
        }
    }

    fn script(&self, call: &Call, name: &str) -> Reply {
        let now = now();
        let mut lines = vec![format!("clock {now}")];
        match name {
            // All of the past and the future at once: the drill takes what its clock has come to.
            "prober" => {
                for n in -140..600_i64 {
                    let at = now + n * 50;
                    let down = self.dead || (300..1000).contains(&(at - now));
                    let said = if down { "000 0.500000" } else { "200 0.012000" };
                    let took = if down { 500 } else { 12 };
                    lines.push(format!("probe {} {said}", at + took));
                }
                return Reply::stdout(framed(call, lines)).until_eof();
            }
            "watcher" => {
                lines.extend([
                    format!("watch {} open", now - 1000),
                    format!("watch {} closed", now + 400),
                    format!("watch {} open", now + 900),
                ]);
                return Reply::stdout(framed(call, lines)).until_eof();
            }
            "holder" => {
                let has = if call.host == "cp1" { "yes" } else { "no" };
                lines.push(format!("holder {} {has}", now - 1000));
                if call.host == "cp2" {
                    lines.push(format!("holder {} yes", now + 600));
                    lines.push(format!("holder {} no", now + 1600));
                }
                return Reply::stdout(framed(call, lines)).until_eof();
            }
            "report" | "release" => {
                if self.earlier {
                    lines.push(format!("away {}", now - 100_000));
                    lines.push(format!("back {}", now - 90_000));
                }
                if self.away.load(Ordering::Relaxed) {
                    lines.insert(0, format!("back {}", now - 10));
                    lines.insert(0, format!("away {}", now - 20));
                }
                lines.push("identity boot-1".into());
            }
            _ => match self.cannot {
                Some(why) => lines.push(format!("cannot {why}")),
                None => {
                    self.away.store(true, Ordering::Relaxed);
                    lines.push("armed eth0".into());
                }
            },
        }
        lines.push("end".into());
        Reply::stdout(framed(call, lines))
    }
}

struct Outcome {
    events: Vec<Event>,
    recap: Recap,
    calls: Vec<Call>,
    model: Arc<Model>,
}

impl Outcome {
    fn rounds(&self) -> Vec<&DrillRound> {
        let events = self.events.iter();
        events
            .filter_map(|event| match event {
                Event::DrillFinished { result } => Some(result),
                _ => None,
            })
            .collect()
    }

    fn marks(&self) -> Vec<(String, Mark)> {
        let mark = |event: &Event| match event {
            Event::DrillMark { host, mark, .. } => Some((host.to_string(), *mark)),
            _ => None,
        };
        self.events.iter().filter_map(mark).collect()
    }

    fn scripts(&self) -> Vec<String> {
        self.model.scripts.lock().unwrap().clone()
    }

    fn refused(&self) -> &str {
        assert_eq!(self.recap.exit(), ExitCode::Refused, "{:#?}", self.events);
        self.recap.refused.as_deref().unwrap_or_default()
    }
}

const UNITS: [&str; 2] = ["keepalived", "haproxy"];

fn part(unit: &str) -> (String, Fact) {
    (unit.into(), Fact::Unit(unit.into()))
}

fn site() -> Site {
    Site {
        endpoint: Endpoint::new("vip.example", 8443).unwrap(),
        vip: Some(VIP.parse().unwrap()),
        holding: Holding::One,
        control_planes: names(&CONTROL_PLANES),
        workers: names(&["w1"]),
        load_balancers: names(&CONTROL_PLANES),
        units: vec!["keepalived".into(), "haproxy".into()],
        parts: ["cp1", "cp2", "cp3"]
            .map(|name| (HostName::new(name).unwrap(), UNITS.map(part).to_vec()))
            .into_iter()
            .collect(),
        frontend: Some(8443),
        addresses: ["cp1", "cp2", "cp3", "w1"]
            .map(|n| (HostName::new(n).unwrap(), address(n).parse().unwrap()))
            .into_iter()
            .collect(),
    }
}

fn wish(by: By) -> Wish {
    Wish {
        target: Wanted::Holder,
        by,
        restore: None,
        times: 1,
        seconds: 0,
        agreed: true,
    }
}

async fn drill(model: Model, wish: Wish) -> Outcome {
    let model = Arc::new(model);
    let (asked, cancel) = Cancel::new();
    let fake = FakeConnector::new({
        let model = model.clone();
        move |call| {
            let reply = model.answer(call);
            if model.interrupted && model.away.load(Ordering::Relaxed) {
                let _ = asked.send(true);
            }
            reply
        }
    });
    let hosts = names(&["cp1", "cp2", "cp3", "w1"]);
    let target = |host: &HostName| Target {
        name: host.clone(),
        address: host.to_string(),
        port: 22,
        user: "root".into(),
        keys: Vec::new(),
        elevation: Elevation::None,
        access: Access::default(),
        jumps: Vec::new(),
    };
    let targets: IndexMap<_, _> = hosts.iter().map(|h| (h.clone(), target(h))).collect();
    let (events, receiver) = mpsc::channel(16);
    let site = site();
    let shape = Shape {
        control_planes: site.control_planes.clone(),
        workers: site.workers.clone(),
        load_balancers: site.load_balancers.clone(),
        endpoint: site.endpoint.clone(),
        version: "1.36.3".into(),
        lasting: Default::default(),
        vip_before_init: true,
    };
    let settings = Settings {
        desired: Arc::new(crate::engine::Wanted {
            shape,
            disturbs: false,
            waves: 1,
            signs: false,
            moves: false,
            catches: quorate::plan::OnFailure::Stop,
            last: false,
            pace: None,
            manifests: Vec::new(),
            planned: Mutex::default(),
        }),
        connect: Arc::new(fake.clone()),
        targets: Arc::new(targets),
        ours: Arc::new(hosts.into_iter().collect()),
        forks: 50,
        run: "0123456789abcdef".into(),
        command: "drill failover".into(),
        cluster: "kubernetes".into(),
        owner: "me@here".into(),
        break_lock: false,
        approved: None,
        extra_vars: Vec::new(),
        patience: engine::Patience::NONE,
        events,
        cancel,
    };
    let work = async {
        engine::drill(&settings, &site, &wish).await;
        drop(settings);
    };
    let (events, records) = told(receiver, work).await;
    // What a journal keeps is what was told.
    for record in &records {
        let line = record.to_line().unwrap();
        let read: Record = serde_json::from_str(&line).unwrap();
        assert_eq!(&read, record, "{line}");
    }
    Outcome {
        recap: Recap::of(&records),
        events,
        calls: fake.calls(),
        model,
    }
}

#[tokio::test]
async fn a_round_from_the_first_look_to_the_result() {
    let outcome = drill(Model::default(), wish(By::Isolate)).await;
    assert_eq!(
        outcome.recap.exit(),
        ExitCode::Done,
        "{:#?}",
        outcome.events
    );
    let rounds = outcome.rounds();
    assert_eq!(rounds.len(), 1);
    let round = rounds[0];
    assert_eq!(
        (round.target.as_str(), round.failed, round.open),
        ("cp1", 14, false)
    );
    assert!((0.69..=0.71).contains(&round.outage), "{round:?}");
    assert!(round.redundant.is_some() && round.away.is_some());
    assert!(round.watch.is_some(), "{round:?}");
    let held: Vec<&str> = round.holders.iter().map(|t| t.host.as_str()).collect();
    assert!(held.contains(&"cp1") && held.contains(&"cp2"), "{held:?}");
    // Requests from the worker, the watch elsewhere than on the target, all holders looked at before it goes.
    let scripts = outcome.scripts();
    let place = |name: &str| {
        let found = scripts.iter().position(|s| s == name);
        found.unwrap_or_else(|| panic!("{name} in {scripts:?}"))
    };
    for first in [
        "w1 prober",
        "cp3 watcher",
        "cp1 holder",
        "cp2 holder",
        "cp3 holder",
    ] {
        assert!(place(first) < place("cp1 isolate"), "{scripts:?}");
    }
    assert_eq!(scripts.iter().filter(|s| s.ends_with("isolate")).count(), 1);
    let marks = outcome.marks();
    for mark in [Mark::TakenAway, Mark::BroughtBack, Mark::Redundant] {
        assert!(marks.contains(&("cp1".into(), mark)), "{marks:?}");
    }
    assert!(
        marks.contains(&("cp2".into(), Mark::VipGained)),
        "{marks:?}"
    );
    assert!(
        marks.contains(&("cp3".into(), Mark::WatchBroke)),
        "{marks:?}"
    );
    // The locks are those of apply.
    let locked: Vec<&str> = outcome
        .calls
        .iter()
        .filter(|c| c.request.kind() == Kind::Lock)
        .map(|c| c.host.as_str())
        .collect();
    assert_eq!(locked.len(), 3);
    assert!(!locked.contains(&"w1"));
    let drill = outcome.recap.drill.unwrap();
    assert_eq!((drill.plan.by.as_str(), drill.rounds.len()), ("isolate", 1));
    assert!(outcome.recap.cluster.unwrap().ends_with("fully redundant"));
}

#[tokio::test]
async fn nothing_is_taken_away_where_that_would_hurt() {
    let outcome = drill(
        Model {
            stopped: true,
            ..Model::default()
        },
        wish(By::Isolate),
    )
    .await;
    assert!(
        outcome.refused().contains("cp2: haproxy does not run"),
        "{}",
        outcome.refused()
    );
    let probes = |c: &Call| c.request.kind() == Kind::Probe;
    assert!(outcome.calls.iter().all(probes), "not even a lock");

    let outcome = drill(
        Model {
            locked: true,
            ..Model::default()
        },
        wish(By::Isolate),
    )
    .await;
    assert!(outcome.refused().contains("cp2 is locked"));
    assert_eq!(outcome.scripts(), Vec::<String>::new());

    let outcome = drill(
        Model {
            dead: true,
            ..Model::default()
        },
        wish(By::Isolate),
    )
    .await;
    assert!(
        outcome.refused().contains("are not clean for 3 s"),
        "{}",
        outcome.refused()
    );
    assert!(!outcome.scripts().iter().any(|s| s.ends_with("isolate")));

    let outcome = drill(
        Model {
            cannot: Some("nft is not there"),
            ..Model::default()
        },
        wish(By::Isolate),
    )
    .await;
    assert!(
        outcome
            .refused()
            .ends_with("cannot be done on cp1: nft is not there")
    );
    assert!(outcome.rounds().is_empty());
}

#[tokio::test]
async fn nobody_agreed_and_nobody_is_contacted() {
    let mut wish = wish(By::Reboot);
    wish.agreed = false;
    wish.times = 3;
    let outcome = drill(Model::default(), wish).await;
    assert_eq!(
        outcome.refused(),
        "the drill reboots the host that holds the virtual address, 3 times, and nobody agreed to that"
    );
    assert!(outcome.calls.is_empty());
}

#[tokio::test]
async fn an_interrupted_drill_brings_back_first() {
    let mut wish = wish(By::StopService);
    wish.seconds = 600;
    wish.times = 9;
    let outcome = drill(
        Model {
            interrupted: true,
            ..Model::default()
        },
        wish,
    )
    .await;
    assert_eq!(
        outcome.recap.exit(),
        ExitCode::Interrupted,
        "{:#?}",
        outcome.events
    );
    let scripts = outcome.scripts();
    assert_eq!(
        scripts[scripts.len() - 2..],
        ["cp1 stop_units".to_string(), "cp1 release".into()]
    );
    assert!(
        outcome.rounds().is_empty(),
        "what was broken off has no figures"
    );
    assert!(outcome.marks().contains(&("cp1".into(), Mark::BroughtBack)));
}

#[tokio::test]
async fn a_command_of_the_user_s_own() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log").to_string_lossy().into_owned();
    let line = |word: &str| format!("echo {word} $QUORATE_HOST $QUORATE_ADDRESS >>{log}");
    let mut good = wish(By::Command(line("off")));
    good.restore = Some(line("on"));
    let model = Model {
        earlier: true,
        ..Model::default()
    };
    let begun = now();
    let outcome = drill(model, good).await;
    assert_eq!(
        outcome.recap.exit(),
        ExitCode::Done,
        "{:#?}",
        outcome.events
    );
    for event in &outcome.events {
        if let Event::DrillMark {
            mark: Mark::TakenAway | Mark::BroughtBack,
            when,
            ..
        } = event
        {
            assert!(when.as_millisecond() >= begun, "{event:?}");
        }
    }
    assert_eq!(
        std::fs::read_to_string(&log).unwrap(),
        "off cp1 10.77.0.11\non cp1 10.77.0.11\n"
    );
    assert_eq!(outcome.rounds().len(), 1);

    // One that fails: said, and brought back all the same.
    std::fs::remove_file(&log).unwrap();
    let mut bad = wish(By::Command("echo the relay is stuck; exit 4".into()));
    bad.restore = Some(line("on"));
    let outcome = drill(Model::default(), bad).await;
    assert_eq!(outcome.recap.exit(), ExitCode::Failed);
    let failed = outcome.recap.failed.unwrap();
    assert!(failed.contains("the relay is stuck"), "{failed}");
    assert_eq!(
        std::fs::read_to_string(&log).unwrap(),
        "on cp1 10.77.0.11\n"
    );
}
