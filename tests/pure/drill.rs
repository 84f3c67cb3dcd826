//! A drill's decisions: what may be asked for, who is the target, what is missing, and what the requests mean.

use quorate::cluster::drill::measure::{self, Course};
use quorate::cluster::drill::record::heard;
use quorate::cluster::drill::redundancy::{self, HostSeen, Seen};
use quorate::cluster::drill::{By, Heard, Holding, Probe, Site, Target, Timeline, Wish, script};
use quorate::event::{Tenure, WatchGap};
use quorate::host::fact::{Api, EtcdMember, NodeState};
use quorate::host::{Fact, Kind, probe};
use quorate::model::{Endpoint, HostName};

fn host(name: &str) -> HostName {
    HostName::new(name).unwrap()
}

fn hosts(names: &[&str]) -> Vec<HostName> {
    names.iter().map(|name| host(name)).collect()
}

/// Requests each 50 ms from 0 to `end`; those that begin in one of `down` get no answer.
fn requests(end: i64, down: &[(i64, i64)]) -> Vec<Probe> {
    let probe = |at| {
        let fails = down.iter().any(|(from, to)| at >= *from && at < *to);
        let (code, took) = if fails { (0, 500) } else { (200, 12) };
        Probe { at, code, took }
    };
    (0..=end / 50).map(|n| probe(n * 50)).collect()
}

/// Start, end and failed requests of each outage.
fn gaps(probes: &[Probe]) -> Vec<(i64, Option<i64>, u32)> {
    measure::gaps(probes)
        .iter()
        .map(|gap| (gap.from, gap.until, gap.failed))
        .collect()
}

#[test]
fn outages() {
    type Case<'a> = (
        &'a str,
        i64,
        &'a [(i64, i64)],
        &'a [(i64, Option<i64>, u32)],
    );
    let cases: [Case<'_>; 8] = [
        ("none", 10_000, &[], &[]),
        (
            "one request",
            20_000,
            &[(3000, 3050)],
            &[(3000, Some(3050), 1)],
        ),
        ("0.6 s", 20_000, &[(3000, 3600)], &[(3000, Some(3600), 12)]),
        (
            "a good one in between is no end",
            20_000,
            &[(3000, 3600), (5000, 5100)],
            &[(3000, Some(5100), 14)],
        ),
        (
            "exactly five clean seconds are one",
            30_000,
            &[(3000, 3600), (8600, 8700)],
            &[(3000, Some(3600), 12), (8600, Some(8700), 2)],
        ),
        (
            "the last fifty milliseconds are missing",
            30_000,
            &[(3000, 3600), (8550, 8700)],
            &[(3000, Some(8700), 15)],
        ),
        (
            "the requests end before five seconds are over",
            8000,
            &[(3000, 3600)],
            &[(3000, None, 12)],
        ),
        (
            "never good again",
            6000,
            &[(3000, 9000)],
            &[(3000, None, 61)],
        ),
    ];
    for (name, end, down, wanted) in cases {
        let mut probes = requests(end, down);
        assert_eq!(gaps(&probes), wanted, "{name}");
        // They come in the order of their ends, which is another one.
        probes.sort_by_key(|p| p.at + i64::from(p.took));
        assert_eq!(gaps(&probes), wanted, "{name}, shuffled");
    }
    assert_eq!(gaps(&[]), []);
    assert_eq!(
        measure::gaps(&requests(6000, &[(3000, 9000)]))[0].length(),
        3000
    );
    // Good requests behind it are no part of it, however few.
    assert_eq!(
        measure::gaps(&requests(8000, &[(3000, 3600)]))[0].length(),
        600
    );
}

#[test]
fn a_round_ends_when_five_seconds_were_clean() {
    type Case<'a> = (&'a [(i64, i64)], i64, bool);
    let cases: [Case<'_>; 6] = [
        (&[], 4000, false),
        (&[], 6000, true),
        (&[(3000, 3600)], 8500, false),
        (&[(3000, 3600)], 8650, true),
        // No requests at all are no clean ones.
        (&[], 9000, false),
        (&[(5900, 6000)], 6000, false),
    ];
    for (down, now, wanted) in cases {
        let end = if now == 9000 { 6000 } else { now };
        assert_eq!(
            measure::is_clean(&requests(end, down), now),
            wanted,
            "{down:?} {now}"
        );
    }
}

fn tenure(name: &str, from: f64, until: impl Into<Option<f64>>) -> Tenure {
    Tenure {
        host: host(name),
        from,
        until: until.into(),
    }
}

#[test]
fn who_held_the_address_when() {
    let mut timeline = Timeline::default();
    let (cp1, cp2) = (host("cp1"), host("cp2"));
    assert!(timeline.holds(&cp1, 1000, true), "news");
    assert!(
        !timeline.holds(&cp2, 1000, false),
        "a no at the start is none"
    );
    assert!(!timeline.holds(&cp1, 1500, true));
    assert!(timeline.holds(&cp2, 4600, true));
    assert!(timeline.holds(&cp1, 24_500, false));
    assert!(timeline.holds(&cp1, 26_000, true));
    assert!(timeline.holds(&cp2, 26_100, false));
    let course = Course {
        away: 4000,
        back: Some(24_000),
        redundant: Some(27_000),
        cut_off: true,
    };
    timeline.probes = requests(40_000, &[(4000, 4700), (26_000, 26_100)]);
    let result = timeline.result(1, &cp1, &course);
    // What cp1 carried while it was cut off is nobody's business; what it still carried afterwards is.
    assert_eq!(
        result.holders,
        [
            tenure("cp1", -3.0, 0.0),
            tenure("cp2", 0.6, 22.1),
            tenure("cp1", 20.0, 20.5),
            tenure("cp1", 22.0, None),
        ]
    );
    assert_eq!(result.doubled, 0.6);
    assert_eq!((result.outage, result.open), (0.7, false));
    assert_eq!(result.later, [0.1]);
    assert_eq!((result.failed, result.probes), (16, 801));
    assert_eq!((result.away, result.redundant), (Some(20.0), Some(23.0)));
    assert_eq!(result.pause, 0.05);
    // Where clients reach the target all the time, two holders are two.
    let reachable = Course {
        cut_off: false,
        ..course
    };
    let doubled = timeline.result(1, &cp1, &reachable).doubled;
    assert_eq!(doubled, 20.0);
    // It never came back.
    let gone = Course {
        back: None,
        redundant: None,
        ..course
    };
    let result = timeline.result(1, &cp1, &gone);
    assert_eq!(
        result.holders,
        [tenure("cp1", -3.0, 0.0), tenure("cp2", 0.6, 22.1)]
    );
    assert_eq!((result.away, result.redundant), (None, None));
}

/// Who was cut off as the holder and has let go of the address unseen: his first word says so.
#[test]
fn a_target_is_asked_anew_when_it_is_back() {
    let (cp1, cp2) = (host("cp1"), host("cp2"));
    let told = |words: &[(i64, bool)]| {
        let mut timeline = Timeline::default();
        timeline.holds(&cp1, 1000, true);
        timeline.holds(&cp2, 9600, true);
        timeline.asks_anew(&cp1);
        for (at, holds) in words {
            timeline.holds(&cp1, *at, *holds);
        }
        let course = Course {
            away: 4000,
            back: Some(19_000),
            redundant: Some(20_000),
            cut_off: true,
        };
        let result = timeline.result(1, &cp1, &course);
        (result.holders, result.doubled)
    };
    let (before, other) = (tenure("cp1", -3.0, 0.0), tenure("cp2", 5.6, None));
    assert_eq!(
        told(&[(19_900, false)]),
        (vec![before.clone(), other.clone()], 0.0)
    );
    // What the stream from before has to say comes late.
    assert_eq!(
        told(&[(19_900, false), (9000, false)]),
        (vec![before.clone(), other.clone()], 0.0)
    );
    // It has it still: two hosts do.
    let (holders, doubled) = told(&[(19_900, true), (21_000, false)]);
    assert_eq!(holders, [before, other, tenure("cp1", 15.0, 17.0)]);
    assert_eq!(doubled, 2.0);
}

#[test]
fn what_became_of_the_watch() {
    let gap = |states: &[(i64, bool)]| {
        let mut timeline = Timeline::default();
        for (at, open) in states {
            timeline.watches(*at, *open);
        }
        timeline.watch_gap(4000)
    };
    let found = |broke, usable| Some(WatchGap { broke, usable });
    assert_eq!(gap(&[]), None);
    assert_eq!(gap(&[(1000, true), (2000, false)]), None, "it broke before");
    assert_eq!(gap(&[(1000, true)]), found(None, None));
    assert_eq!(gap(&[(1000, true), (7100, false)]), found(Some(3.1), None));
    assert_eq!(
        gap(&[(1000, true), (7100, false), (7400, true), (9000, false)]),
        found(Some(3.1), Some(3.4))
    );
}

#[test]
fn lines_of_the_scripts() {
    let probe = |at, code, took| Some(Heard::Probe(Probe { at, code, took }));
    let cases = [
        ("probe 10500 200 0.012345", probe(10_488, 200, 12)),
        ("probe 10500 000 0.500999", probe(10_000, 0, 500)),
        ("probe 10500 200 1.5", probe(9000, 200, 1500)),
        ("probe 10500 200", None),
        ("probe x 200 0.1", None),
        ("holder 5 yes", Some(Heard::Holder(5, true))),
        ("holder 5 no", Some(Heard::Holder(5, false))),
        ("watch 5 closed", Some(Heard::Watch(5, false))),
        ("armed eth0", Some(Heard::Armed)),
        ("cannot do it", Some(Heard::Cannot("do it".into()))),
        ("away 7", Some(Heard::Away(7))),
        ("away soon", None),
        ("identity a-1", Some(Heard::Identity("a-1".into()))),
        ("end", Some(Heard::End)),
        ("", None),
        ("something else", None),
    ];
    for (line, wanted) in cases {
        assert_eq!(heard(line), wanted, "{line}");
    }
    assert_eq!(Heard::Back(5).shifted(-3), Heard::Back(2));
    assert_eq!(Heard::Pending.shifted(9), Heard::Pending);
}

const UNITS: [&str; 2] = ["keepalived", "haproxy"];

fn part(unit: &str) -> (String, Fact) {
    (unit.into(), Fact::Unit(unit.into()))
}

fn site() -> Site {
    Site {
        endpoint: Endpoint::new("vip.example", 8443).unwrap(),
        vip: Some("10.77.0.100".parse().unwrap()),
        holding: Holding::One,
        control_planes: hosts(&["cp1", "cp2", "cp3"]),
        workers: hosts(&["w1"]),
        load_balancers: hosts(&["cp1", "cp2", "cp3"]),
        units: vec!["keepalived".into(), "haproxy".into()],
        parts: ["cp1", "cp2", "cp3"]
            .map(|name| (HostName::new(name).unwrap(), UNITS.map(part).to_vec()))
            .into_iter()
            .collect(),
        frontend: Some(8443),
        addresses: Default::default(),
    }
}

fn wish(target: Target, by: By) -> Wish {
    Wish {
        target,
        by,
        restore: None,
        times: 1,
        seconds: 20,
        agreed: false,
    }
}

#[test]
fn ways_are_named_and_commands_are_commands() {
    for (text, wanted) in [
        ("isolate", By::Isolate),
        (" stop-service ", By::StopService),
        ("kill-api", By::KillApi),
        ("reboot", By::Reboot),
        ("./power off", By::Command("./power off".into())),
        ("poweroff.sh", By::Command("poweroff.sh".into())),
        // A word with a path is a command, whatever it looks like.
        ("/root/isolat", By::Command("/root/isolat".into())),
    ] {
        assert_eq!(By::parse(text), Ok(wanted), "{text}");
    }
    for (text, sign) in [
        ("isolat", "`isolate`"),
        ("kill_api", "`kill-api`"),
        ("", "missing"),
    ] {
        let error = By::parse(text).unwrap_err();
        assert!(error.contains(sign), "{text}: {error}");
    }
    assert_eq!(Target::parse("holder"), Ok(Target::Holder));
    assert_eq!(Target::parse("cp1"), Ok(Target::Host(host("cp1"))));
    assert!(Target::parse("a b").is_err());
}

#[test]
fn what_cannot_be_asked_for() {
    let at = |name: &str| Target::Host(host(name));
    let outside = || Site {
        load_balancers: hosts(&["lb1", "lb2"]),
        ..site()
    };
    let external = || Site {
        holding: Holding::Nobody,
        vip: None,
        load_balancers: Vec::new(),
        units: Vec::new(),
        ..site()
    };
    let pods = || Site {
        units: Vec::new(),
        ..site()
    };
    let command = || By::Command("./off".into());
    let cases: [(Target, By, Site, Option<&str>); 14] = [
        (Target::Holder, By::Isolate, site(), None),
        (at("cp2"), By::KillApi, site(), None),
        (
            at("w1"),
            By::Isolate,
            site(),
            Some("neither a control plane"),
        ),
        (
            at("nobody"),
            By::Isolate,
            site(),
            Some("neither a control plane"),
        ),
        (Target::Holder, By::Isolate, external(), Some("name a host")),
        (at("cp1"), By::Isolate, external(), None),
        (at("cp1"), By::StopService, external(), Some("has none")),
        (Target::Holder, By::StopService, pods(), Some("has none")),
        (Target::Holder, By::Isolate, pods(), None),
        (at("lb1"), By::KillApi, outside(), Some("no control plane")),
        (
            Target::Holder,
            By::KillApi,
            outside(),
            Some("without an API server"),
        ),
        (
            at("cp1"),
            By::StopService,
            outside(),
            Some("no load balancer"),
        ),
        (at("lb1"), By::StopService, outside(), None),
        (Target::Holder, command(), site(), None),
    ];
    for (target, by, site, wanted) in cases {
        let wish = wish(target, by);
        let said = wish.objection(&site);
        match wanted {
            None => assert_eq!(said, None, "{wish:?}"),
            Some(sign) => assert!(
                said.as_ref().is_some_and(|s| s.contains(sign)),
                "{wish:?}: {said:?}"
            ),
        }
    }
    let mut with_restore = wish(Target::Holder, By::Reboot);
    with_restore.restore = Some("./on".into());
    assert!(
        with_restore
            .objection(&site())
            .unwrap()
            .contains("--restore")
    );
    with_restore.by = command();
    assert_eq!(with_restore.objection(&site()), None);
}

#[test]
fn the_target_is_the_one_holder() {
    let holder = wish(Target::Holder, By::Isolate);
    assert_eq!(holder.target(&hosts(&["cp2"])), Ok(host("cp2")));
    let none = holder.target(&[]).unwrap_err();
    assert!(none.message.ends_with("it is on no host"), "{none:?}");
    let two = holder.target(&hosts(&["cp1", "cp2"])).unwrap_err();
    assert_eq!(two.hosts, hosts(&["cp1", "cp2"]));
    let named = wish(Target::Host(host("cp3")), By::Isolate);
    assert_eq!(named.target(&hosts(&["cp1"])), Ok(host("cp3")));
}

#[test]
fn who_measures() {
    let site = site();
    let name = |host: Option<&HostName>| host.map(ToString::to_string);
    assert_eq!(name(site.prober(&host("cp1"))).as_deref(), Some("w1"));
    assert_eq!(name(site.watcher(&host("cp1"))).as_deref(), Some("cp3"));
    assert_eq!(name(site.watcher(&host("cp3"))).as_deref(), Some("cp2"));
    let alone = Site {
        workers: Vec::new(),
        control_planes: hosts(&["cp1", "cp2"]),
        ..site
    };
    assert_eq!(name(alone.prober(&host("cp2"))).as_deref(), Some("cp1"));
    assert_eq!(name(alone.prober(&host("cp1"))).as_deref(), Some("cp2"));
    assert_eq!(alone.disturbed(), hosts(&["cp1", "cp2", "cp3"]));
    let outside = Site {
        load_balancers: hosts(&["lb1"]),
        ..alone
    };
    assert_eq!(outside.boot_units(&host("lb1")), ["keepalived", "haproxy"]);
    assert_eq!(outside.boot_units(&host("cp1")), ["kubelet"]);
}

fn whole() -> Seen {
    let node = |name: &str| NodeState {
        name: name.into(),
        status: "Ready".into(),
        roles: String::new(),
        version: "v1.36.3".into(),
    };
    let member = |name: &str| EtcdMember {
        id: String::new(),
        name: name.into(),
        learner: false,
        peers: Vec::new(),
    };
    let api = Api {
        live: true,
        ready: true,
        configured: true,
        nodes: Some(["cp1", "cp2", "cp3", "w1"].map(node).to_vec()),
        members: Some(["cp1", "cp2", "cp3"].map(member).to_vec()),
        ..Api::default()
    };
    ["cp1", "cp2", "cp3"]
        .map(|name| {
            let seen = HostSeen {
                holds_vip: name == "cp1",
                listens: Some(true),
                api: Some(api.clone()),
                ..HostSeen::default()
            };
            (host(name), seen)
        })
        .into_iter()
        .collect()
}

fn change(edit: impl Fn(&mut Site, &mut Seen)) -> String {
    let (mut site, mut seen) = (site(), whole());
    edit(&mut site, &mut seen);
    redundancy::sentence(&redundancy::missing(&site, &seen))
}

/// Changes what every API server says.
fn everywhere(seen: &mut Seen, edit: impl Fn(&mut Api)) {
    for state in seen.values_mut() {
        edit(state.api.as_mut().unwrap());
    }
}

#[test]
fn what_is_missing_is_named() {
    assert_eq!(change(|_, _| {}), "");
    type Case = (&'static str, &'static str, fn(&mut Site, &mut Seen));
    let cases: [Case; 15] = [
        (
            "unreachable",
            "cp2: cannot be looked at: no route",
            |_, seen| {
                seen[&host("cp2")] = HostSeen::unreachable("no route");
            },
        ),
        ("not looked at", "cp3: was not looked at", |_, seen| {
            seen.shift_remove(&host("cp3"));
        }),
        ("unit", "cp2: haproxy does not run", |_, seen| {
            seen[&host("cp2")].stopped = vec!["haproxy".into()];
        }),
        ("port", "cp3: nothing listens on port 8443", |_, seen| {
            seen[&host("cp3")].listens = Some(false);
        }),
        (
            "one load balancer",
            "cp1: load balancers: 1 of at least 2; nobody could take over",
            |site, _| site.load_balancers.truncate(1),
        ),
        (
            "no holder",
            "10.77.0.100 is to be on exactly one host; it is on no host",
            |_, seen| seen[&host("cp1")].holds_vip = false,
        ),
        (
            "two holders",
            "10.77.0.100 is to be on exactly one host; it is on cp1, cp2",
            |_, seen| seen[&host("cp2")].holds_vip = true,
        ),
        (
            "BGP: each",
            "cp2: does not carry 10.77.0.100; cp3: does not carry 10.77.0.100",
            |site, _| site.holding = Holding::Each,
        ),
        ("no API", "cp1: has no API server", |_, seen| {
            seen[&host("cp1")].api = None;
        }),
        (
            "not ready",
            "cp2: its API server is not ready",
            |_, seen| {
                seen[&host("cp2")].api.as_mut().unwrap().ready = false;
            },
        ),
        (
            "etcd",
            "cp3: its member of etcd does not answer",
            |_, seen| {
                seen[&host("cp3")].api.as_mut().unwrap().members = None;
            },
        ),
        (
            "learner",
            "etcd has 2 voting members of at least 3; cp3: its member of etcd has no vote",
            |_, seen| everywhere(seen, |api| api.members.as_mut().unwrap()[2].learner = true),
        ),
        (
            "two members",
            "etcd has 2 voting members of at least 3; cp3: is no member of etcd",
            |_, seen| everywhere(seen, |api| api.members.as_mut().unwrap().truncate(2)),
        ),
        ("NotReady", "w1: its node is NotReady", |_, seen| {
            everywhere(seen, |api| {
                api.nodes.as_mut().unwrap()[3].status = "NotReady".into()
            });
        }),
        (
            "no word",
            "no API server says which nodes are Ready",
            |_, seen| {
                everywhere(seen, |api| api.nodes = None);
            },
        ),
    ];
    for (name, wanted, edit) in cases {
        assert_eq!(change(edit), wanted, "{name}");
    }
    // Somebody else's load balancer is somebody else's business.
    let external = change(|site, seen| {
        site.holding = Holding::Nobody;
        site.load_balancers.clear();
        seen[&host("cp1")].holds_vip = false;
    });
    assert_eq!(external, "");
}

#[test]
fn a_host_is_seen_by_its_answer() {
    let mut site = site();
    let addresses = [("cp1", "10.77.0.11"), ("w1", "10.77.0.21")];
    site.addresses = addresses
        .map(|(name, ip)| (host(name), ip.parse().unwrap()))
        .into_iter()
        .collect();
    let facts = redundancy::facts(&site, &host("cp1"), 6443);
    let answer = "n address lo 127.0.0.1/8\nn address eth0 10.77.0.11/24\nn address eth0 10.77.0.100/32\n\
        n unit LoadState=loaded\nn unit ActiveState=failed\nn unit \nn unit LoadState=loaded\nn unit ActiveState=active\n\
        n port 8443\nn http readyz 200\nn end\n";
    let observed = probe::parse(&facts, "n", answer.as_bytes()).unwrap();
    let seen = HostSeen::of(&site, &host("cp1"), &observed);
    // Facts are asked in the order of their names: haproxy first.
    assert_eq!(seen.stopped, ["haproxy"]);
    assert_eq!(
        (seen.holds_vip, seen.listens, seen.interfaces.as_slice()),
        (true, Some(true), &["eth0".to_string()][..])
    );
    assert!(seen.api.unwrap().ready);
    // Where it is static pods, they are asked for.
    let pod = Fact::Pod("haproxy-cp1".into());
    site.parts = [(host("cp1"), vec![("haproxy".to_string(), pod.clone())])]
        .into_iter()
        .collect();
    let facts = redundancy::facts(&site, &host("cp1"), 6443);
    assert!(facts.contains(&pod));
    for (answer, stopped) in [
        ("", &["haproxy".to_string()][..]),
        ("n pod haproxy-cp1\n", &[]),
    ] {
        let answer = format!("{answer}n pods-listed\nn end\n");
        let observed = probe::parse(&facts, "n", answer.as_bytes()).unwrap();
        assert_eq!(
            HostSeen::of(&site, &host("cp1"), &observed).stopped,
            stopped
        );
    }
    // A worker is asked for nothing but itself.
    assert_eq!(redundancy::facts(&site, &host("w1"), 6443).len(), 1);
}

#[test]
fn no_request_of_a_drill_passes_for_a_probe() {
    let site = site();
    let away = |by: &By| script::take_away(&site, by, 10, &host("cp1"), &[], "n");
    let mut requests = vec![
        script::prober(&site, 10, "n"),
        script::watcher(&site, 10, "n"),
        script::holder("10.0.0.1".parse().unwrap(), 10, "n"),
        script::release("n"),
        script::report("n"),
    ];
    requests.extend(
        [By::Isolate, By::StopService, By::KillApi, By::Reboot]
            .iter()
            .filter_map(away),
    );
    assert_eq!(requests.len(), 9);
    assert!(
        requests
            .iter()
            .all(|r| r.kind() == Kind::Command && r.elevate())
    );
    assert!(away(&By::Command("x".into())).is_none());
}
