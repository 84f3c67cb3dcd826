//! A live cluster's load balancer is moved: what is next by what the hosts look like, and what is done on them.

use std::collections::BTreeSet;

use quorate::cluster::load_balancer::{
    Remains, TAKING_DOWN, facts_of_others, has_own, leftovers, remains, remains_of_any,
};
use quorate::cluster::migrate::steps::{BRIDGE, Mover, bridge_unit, make_ready, release, switch};
use quorate::cluster::migrate::{self, Stage};
use quorate::cluster::next::{forbidden, forecast};
use quorate::cluster::spec::Way;
use quorate::cluster::{Act, Decision, HostView, Moving, Shape, Standing, View, next};
use quorate::event::Category;
use quorate::host::fact::{Api, EtcdMember, Kubernetes, NodeState};
use quorate::host::record::End;
use quorate::host::script::Report;
use quorate::host::{Effect, UnitAct};
use quorate::model::{Endpoint, HostName, Sha256};
use quorate::plan::{Change, HandlerPlan, HostPlan, Step};

use super::sandbox::{SHELLS, Sandbox};
use super::simulated::{Model, text};

const HOSTS: [&str; 3] = ["cp1", "cp2", "cp3"];
const CHECK: &str = "/etc/keepalived/check_apiserver.sh";

fn name(text: &str) -> HostName {
    HostName::new(text).unwrap()
}

fn shape() -> Shape {
    let names: Vec<HostName> = HOSTS.iter().map(|n| name(n)).collect();
    Shape {
        control_planes: names.clone(),
        workers: Vec::new(),
        load_balancers: names,
        vip_before_init: false,
        endpoint: Endpoint::new("vip.example", 8443).unwrap(),
        version: "1.36.3".into(),
        lasting: Default::default(),
    }
}

fn services() -> Remains {
    Remains {
        from: Some(Way::KeepalivedHaproxy),
        to: Way::KeepalivedHaproxyPods,
        manifests: Vec::new(),
        pods: vec!["kube-vip"],
        units: vec!["keepalived", "haproxy"],
        paths: Vec::new(),
    }
}

/// A host of a live cluster: with something of the old way, with a bridge, with the address.
fn seen(old: bool, bridge: bool, holds: bool) -> HostView {
    let member = |n: &str| EtcdMember {
        id: String::new(),
        name: n.into(),
        learner: false,
        peers: Vec::new(),
    };
    let node = |n: &str| NodeState {
        name: n.into(),
        status: "Ready".into(),
        roles: "control-plane".into(),
        version: "v1.36.3".into(),
    };
    HostView {
        standing: Standing::Prepared,
        kubernetes: Kubernetes {
            ca: Some(Sha256::of("ca")),
            traces: vec![
                "/etc/kubernetes/kubelet.conf".into(),
                "/etc/kubernetes/manifests/kube-apiserver.yaml".into(),
                "/etc/kubernetes/manifests/etcd.yaml".into(),
            ],
            api: Some(Api {
                pod_subnet: None,
                service_subnet: None,
                live: true,
                ready: true,
                configured: true,
                endpoint: Some("vip.example:8443".into()),
                version: Some("v1.36.3".into()),
                nodes: Some(HOSTS.iter().map(|n| node(n)).collect()),
                leads: None,
                members: Some(HOSTS.iter().map(|n| member(n)).collect()),
                ..Api::default()
            }),
            ..Kubernetes::default()
        },
        address: None,
        ours: true,
        holds_vip: holds,
        vip_answered_by: None,
        reach: None,
        silent: None,
        links: Vec::new(),
        config: "config".into(),
        credential_due: None,
        busy: false,
        moving: Moving {
            old: old.then(services),
            bridge,
            ..Moving::default()
        },
        drift: Vec::new(),
        cluster_drift: Vec::new(),
        joined: false,
    }
}

fn view(hosts: [HostView; 3]) -> View {
    let mut view = View::default();
    for (n, host) in HOSTS.iter().zip(hosts) {
        view.hosts.insert(name(n), host);
    }
    view.choose_api();
    view
}

/// `o` something old, `b` a bridge, `v` the address.
fn seen_as(marks: [&str; 3]) -> View {
    view(marks.map(|m| seen(m.contains('o'), m.contains('b'), m.contains('v'))))
}

fn said(decision: &Decision) -> String {
    let act = |act: &Act| match act {
        Act::Release { host, bridged } => {
            format!("release {host}{}", if *bridged { " bridged" } else { "" })
        }
        Act::Switch { host, holds } => {
            format!("switch {host}{}", if *holds { "" } else { " (takes)" })
        }
        other => format!("{other:?}"),
    };
    match decision {
        Decision::Do(acts) => acts.iter().map(act).collect::<Vec<_>>().join(", "),
        Decision::Refuse(refusal) => format!("refused: {}", refusal.message),
        Decision::Fail { message, .. } => format!("fails: {message}"),
        Decision::Done { .. } => "done".into(),
        Decision::Wait => "waits".into(),
    }
}

#[test]
fn what_is_next_is_read_off_the_hosts() {
    for (marks, expected) in [
        (["", "v", ""], "done"),
        (["o", "ov", "o"], "release cp1, release cp3"),
        (["", "ov", "o"], "release cp3"),
        (["", "ov", ""], "switch cp2"),
        // Killed in the middle of the switch, before and after the old way was gone.
        (["", "obv", ""], "switch cp2"),
        (["", "bv", ""], "switch cp2"),
        // A bridge serves: an old one elsewhere goes, whatever it holds.
        (["o", "bv", ""], "release cp1 bridged"),
        (["ov", "bv", ""], "release cp1 bridged"),
        // Begun, and the holder went down: somebody has to serve.
        (["", "o", "o"], "release cp3"),
        (["", "", "o"], "switch cp3 (takes)"),
        // The new way holds it already, and something old is left elsewhere.
        (["v", "o", ""], "release cp2"),
        (
            ["o", "o", "o"],
            "refused: the load balancer is not moved: no host holds the address",
        ),
        (
            ["ov", "ov", "o"],
            "refused: the load balancer is not moved: cp1, cp2 hold the address at once",
        ),
        (
            ["", "bv", "bv"],
            "refused: the load balancer is not moved: cp2, cp3 serve by a bridge at once",
        ),
    ] {
        let found = said(&next(&shape(), &seen_as(marks)));
        assert_eq!(found, expected, "{marks:?}");
    }
}

#[test]
fn a_move_needs_all_its_hosts_and_a_healthy_beginning() {
    let change = |change: &dyn Fn(&mut HostView), marks: [&str; 3]| {
        let mut view = seen_as(marks);
        change(view.hosts.get_mut(&name("cp3")).unwrap());
        view
    };
    let begins = ["o", "ov", "o"];
    type Case<'a> = (&'a dyn Fn(&mut HostView), &'a str);
    let cases: [Case; 4] = [
        (&|h| h.ours = false, "cp3 is not in this run's --limit"),
        (
            &|h| h.standing = Standing::Unknown("no route".into()),
            "cp3 cannot be looked at: the address may be there",
        ),
        (
            &|h| h.kubernetes.api.as_mut().unwrap().ready = false,
            "the API server of cp3 is not ready, and a move needs all of them",
        ),
        (
            &|h| h.moving.lacks = Some("nftables".into()),
            "cp3 lacks nftables",
        ),
    ];
    for (edit, expected) in cases {
        let refusal = forbidden(&shape(), &change(edit, begins)).unwrap();
        assert_eq!(
            refusal.message,
            format!("the load balancer is not moved: {expected}")
        );
        assert!(!refusal.help.is_empty());
    }
    // To other hosts a live cluster is not moved.
    let mut fewer = shape();
    fewer.load_balancers.pop();
    let refusal = forbidden(&fewer, &seen_as(["", "", "v"])).unwrap();
    assert!(refusal.message.starts_with("cp3 carries apiserver_vip"));
    // Begun it goes on without a third API server.
    let view = change(
        &|h| h.kubernetes.api.as_mut().unwrap().ready = false,
        ["", "bv", ""],
    );
    assert_eq!(said(&next(&shape(), &view)), "switch cp2");
    // What is being made ready is waited for; what could not be made ready stops the move.
    let view = change(&|h| h.standing = Standing::Preparing, begins);
    assert_eq!(said(&next(&shape(), &view)), "waits");
    let view = change(
        &|h| h.standing = Standing::Failed("no image".into()),
        begins,
    );
    assert!(
        said(&next(&shape(), &view)).contains("cp3 is not ready for it (no image)"),
        "{}",
        said(&next(&shape(), &view))
    );
    // A kubeconfig is a part of being ready.
    let view = change(&|h| h.credential_due = Some("none yet".into()), begins);
    let sign = Decision::Do(vec![Act::Sign { host: name("cp3") }]);
    assert_eq!(next(&shape(), &view), sign);
}

/// A control plane that is yet to join never had the old way: by it no move was begun, and all that a beginning needs is asked.
#[test]
fn a_host_that_never_had_the_old_way_begins_no_move() {
    let mut view = seen_as(["ov", "o", ""]);
    view.hosts
        .get_mut(&name("cp1"))
        .unwrap()
        .kubernetes
        .api
        .as_mut()
        .unwrap()
        .ready = false;
    // A member without it: the move was begun, and goes on whoever is ill.
    assert_eq!(said(&next(&shape(), &view)), "release cp2");
    let (_, api) = view.api.as_mut().unwrap();
    api.nodes
        .as_mut()
        .unwrap()
        .retain(|node| node.name != "cp3");
    assert_eq!(
        said(&next(&shape(), &view)),
        "refused: the load balancer is not moved: the API server of cp1 is not ready, and a move needs all of them"
    );
}

#[test]
fn a_plan_tells_the_move_in_its_order() {
    let told = |marks| -> Vec<String> {
        let acts = forecast(&shape(), &seen_as(marks)).acts;
        let short = |what: &str| what.split(' ').take(3).collect::<Vec<_>>().join(" ");
        acts.iter()
            .map(|(host, what, _)| format!("{host} {}", short(what)))
            .collect()
    };
    assert_eq!(
        told(["o", "ov", "o"]),
        [
            "cp1 1. take the",
            "cp3 2. take the",
            "cp2 3. switch to",
            "cp1 4. bring the",
            "cp3 5. bring the"
        ]
    );
    assert_eq!(
        told(["", "bv", ""]),
        ["cp2 1. switch to", "cp1 2. bring the", "cp3 3. bring the"]
    );
    assert_eq!(told(["", "v", ""]), Vec::<String>::new());
    let acts = forecast(&shape(), &seen_as(["o", "ov", "o"])).acts;
    assert!(acts[2].1.contains(migrate::OUTAGE));
    assert_eq!(
        acts[0].2,
        "load_balancer: keepalived-haproxy -> keepalived-haproxy-pods"
    );
}

/// A host of the walk. Ways do not hear each other: each elects a holder among its own.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Walker {
    old: bool,
    left: bool,
    bridge: bool,
    new: bool,
}

#[derive(Debug, Clone, Copy)]
enum Op {
    Begin,
    Stop,
    Clean,
    Bridge,
    Start,
    End,
}

#[derive(Clone)]
struct World {
    hosts: [Walker; 3],
    /// Who holds the address by the old way and by the new one.
    holders: [Option<usize>; 2],
}

impl World {
    fn elect(&mut self) {
        for (way, holder) in self.holders.iter_mut().enumerate() {
            let runs = |host: &Walker| if way == 0 { host.old } else { host.new };
            if !holder.is_some_and(|h| runs(&self.hosts[h])) {
                *holder = self.hosts.iter().position(runs);
            }
        }
    }

    fn holding(&self) -> BTreeSet<usize> {
        let bridges = (0..3).filter(|n| self.hosts[*n].bridge);
        bridges.chain(self.holders.into_iter().flatten()).collect()
    }

    fn view(&self) -> View {
        let holding = self.holding();
        let mut number = 0;
        view(self.hosts.map(|host| {
            let holds = holding.contains(&number);
            number += 1;
            seen(host.old || host.left, host.bridge, holds)
        }))
    }

    fn step(&mut self, host: usize, op: Op) {
        let at = &mut self.hosts[host];
        match op {
            Op::Begin => at.left = true,
            Op::Stop => at.old = false,
            Op::Clean => at.left = false,
            Op::Bridge => at.bridge = true,
            Op::Start => at.new = true,
            Op::End => at.bridge = false,
        }
        self.elect();
        assert_eq!(
            self.holding().len(),
            1,
            "{op:?} on {host}: {:?} {:?}",
            self.hosts,
            self.holders
        );
    }

    /// What is to be done now, as steps on hosts.
    fn todo(&self) -> Vec<(usize, Op)> {
        let at = |host: &HostName| HOSTS.iter().position(|n| *n == host.as_str()).unwrap();
        match migrate::stage(&shape(), &self.view()) {
            Stage::Refuse(refusal) => panic!("{refusal:?} {:?}", self.hosts),
            Stage::Settled => {
                let missing = (0..3).find(|n| !self.hosts[*n].new);
                missing.into_iter().map(|n| (n, Op::Start)).collect()
            }
            Stage::Next(acts) => acts
                .iter()
                .flat_map(|act| match act {
                    Act::Release { host, .. } => [Op::Begin, Op::Stop, Op::Clean]
                        .map(|op| (at(host), op))
                        .to_vec(),
                    Act::Switch { host, .. } => {
                        let left = self.hosts[at(host)];
                        let all = [
                            Op::Bridge,
                            Op::Begin,
                            Op::Stop,
                            Op::Clean,
                            Op::Start,
                            Op::End,
                        ];
                        let needed = |op: &Op| {
                            left.old || left.left || !matches!(op, Op::Begin | Op::Stop | Op::Clean)
                        };
                        let ops = all.into_iter().filter(needed);
                        ops.map(|op| (at(host), op)).collect()
                    }
                    other => panic!("{other:?}"),
                })
                .collect(),
        }
    }

    /// Runs a controller that is killed after so many steps; returns how many it made.
    fn run(&mut self, most: usize) -> usize {
        let mut made = 0;
        loop {
            let todo = self.todo();
            if todo.is_empty() {
                return made;
            }
            for (host, op) in todo {
                if made == most {
                    return made;
                }
                self.step(host, op);
                made += 1;
                assert!(made < 100, "it does not end");
            }
        }
    }
}

/// Wherever the controller is killed, once or twice: the next run goes on, the address is on exactly one host after every
/// step, and nothing old is left at the end.
#[test]
fn a_move_goes_on_from_wherever_it_was_killed() {
    let begin = |holder: usize| World {
        hosts: [Walker {
            old: true,
            ..Walker::default()
        }; 3],
        holders: [Some(holder), None],
    };
    let moved = Walker {
        new: true,
        ..Walker::default()
    };
    for holder in 0..3 {
        let mut world = begin(holder);
        let steps = world.run(usize::MAX);
        assert_eq!(world.hosts, [moved; 3]);
        assert_eq!(steps, 3 + 3 + 6 + 2);
        for first in 0..=steps {
            for second in 0..=steps {
                let mut world = begin(holder);
                world.run(first);
                world.run(second);
                world.run(usize::MAX);
                assert_eq!(world.hosts, [moved; 3], "{holder} {first} {second}");
                assert_eq!(world.run(usize::MAX), 0, "nothing is left to do");
            }
        }
    }
}

#[test]
fn what_another_way_left_is_told_from_what_is_not_ours() {
    let (services, pods, arp) = (
        Way::KeepalivedHaproxy,
        Way::KeepalivedHaproxyPods,
        Way::KubeVipArp,
    );
    let found = |way: Way, model: &Model| remains(way, &model.observe(&facts_of_others(way)));
    let mut model = Model::bare();
    for way in Way::ALL {
        assert_eq!(found(way, &model), None, "{way}");
    }
    // Somebody's own haproxy beside kube-vip.
    model.units.insert("haproxy".into(), (true, true, 1));
    model
        .files
        .insert("/etc/haproxy/haproxy.cfg".into(), text("theirs"));
    assert_eq!(found(arp, &model), None);
    for path in [CHECK, "/etc/keepalived/keepalived.conf"] {
        model.files.insert(path.into(), text("ours"));
    }
    model.units.insert("keepalived".into(), (true, true, 1));
    assert_eq!(found(services, &model), None, "its own");
    let old = found(pods, &model).unwrap();
    assert_eq!(old.from, Some(services));
    assert_eq!(old.units, ["keepalived", "haproxy"]);
    assert_eq!(old.pods, ["kube-vip"]);
    assert_eq!(
        old.paths,
        Vec::<&str>::new(),
        "the pods read the same files"
    );
    let old = found(arp, &model).unwrap();
    assert_eq!(old.pods, ["keepalived", "haproxy"]);
    assert_eq!(old.paths.len(), 3);
    assert_eq!(old.paths.last(), Some(&CHECK));
    // Stopped, and yet it would come at boot; then nothing of it.
    model.units.insert("keepalived".into(), (false, true, 1));
    model.units.insert("haproxy".into(), (false, false, 1));
    assert_eq!(found(pods, &model).unwrap().units, ["keepalived"]);
    model.units.insert("keepalived".into(), (false, false, 1));
    assert_eq!(found(pods, &model), None);
    // A takedown that was begun is one to be ended.
    model.files.insert(TAKING_DOWN.into(), text(""));
    let old = found(pods, &model).unwrap();
    assert_eq!((old.from, old.units.len()), (None, 0));
    model.files.remove(TAKING_DOWN);
    // The pods' manifests, and kube-vip's kubeconfig.
    model
        .files
        .insert("/etc/kubernetes/manifests/haproxy.yaml".into(), text("pod"));
    let old = found(services, &model).unwrap();
    assert_eq!(old.from, Some(pods));
    assert_eq!(old.pods, ["keepalived", "haproxy", "kube-vip"]);
    // Not the services', though their files have the same names.
    assert_eq!(found(arp, &model).unwrap().from, Some(pods));
    let mut model = Model::bare();
    model
        .files
        .insert("/etc/kubernetes/kube-vip.conf".into(), text("kubeconfig"));
    assert_eq!(found(pods, &model), None, "nothing is at work");
    let left = |way: Way, model: &Model| leftovers(way, &model.observe(&facts_of_others(way)));
    assert_eq!(left(pods, &model), ["/etc/kubernetes/kube-vip.conf"]);
    assert_eq!(left(arp, &model), Vec::<&str>::new());
    model.files.insert(
        "/etc/kubernetes/manifests/kube-vip.yaml".into(),
        text("pod"),
    );
    let old = found(pods, &model).unwrap();
    assert_eq!((old.from, old.paths.len()), (Some(arp), 1));
    assert_eq!(left(pods, &model), Vec::<&str>::new(), "all at once");
    for way in [Way::KubeVipBgp, Way::External] {
        assert_eq!(found(way, &model), None, "{way} is not moved to");
    }
    // What was not looked at is not gone.
    assert_eq!(remains(pods, &Default::default()), None);
}

/// After `kubeadm reset` of all hosts, or before the first init: nobody is served by what another way has left.
#[test]
fn where_no_cluster_lives_another_way_just_goes() {
    let bare = || {
        let mut view = seen_as(["o", "o", "ov"]);
        for host in view.hosts.values_mut() {
            host.kubernetes = Kubernetes::default();
        }
        view.api = None;
        view
    };
    assert!(migrate::is_vacant(&shape(), &bare()));
    type Spoil = (&'static str, fn(&mut HostView));
    let spoils: [Spoil; 6] = [
        ("a CA", |h| h.kubernetes.ca = Some(Sha256::of("ca"))),
        ("a trace", |h| {
            h.kubernetes.traces = vec!["/etc/kubernetes/kubelet.conf".into()];
        }),
        ("a marker", |h| {
            h.kubernetes.marker = Some(quorate::host::fact::Marker {
                act: "init".into(),
                run: "r".into(),
                config: "config".into(),
                done: false,
            });
        }),
        ("kubeadm", |h| h.kubernetes.kubeadm_running = true),
        ("a bridge", |h| h.moving.bridge = true),
        ("down", |h| h.standing = Standing::Unknown("down".into())),
    ];
    for (what, spoil) in spoils {
        let mut view = bare();
        spoil(view.hosts.get_mut(&name("cp3")).unwrap());
        assert!(!migrate::is_vacant(&shape(), &view), "{what}");
        let said = migrate::without_cluster(&view.hosts[0]).unwrap();
        assert!(said.contains("yet a host shows a cluster"), "{said}");
    }
    let mut view = bare();
    view.hosts.shift_remove(&name("cp3"));
    assert!(!migrate::is_vacant(&shape(), &view), "not looked at");
    assert!(!migrate::is_vacant(&shape(), &seen_as(["", "", "v"])));

    // An address where nothing tells that it is ours: who joins would be led to itself.
    let mut view = bare();
    for host in view.hosts.values_mut() {
        host.moving.old = None;
    }
    let mut shape = shape();
    shape.lasting.vip = Some("10.77.0.100".parse().unwrap());
    let refusal = forbidden(&shape, &view).unwrap();
    assert_eq!(refusal.hosts, [name("cp3")]);
    assert!(refusal.help.contains("10.77.0.100/32"), "{}", refusal.help);
    let holder = view.hosts.get_mut(&name("cp3")).unwrap();
    holder.moving.marked = true;
    assert_eq!(forbidden(&shape, &view), None, "it is taken off");
    view.hosts.get_mut(&name("cp3")).unwrap().moving.marked = false;
    shape.vip_before_init = true;
    assert_eq!(forbidden(&shape, &view), None, "looked at before init");
    // Files alone are left as they are while a cluster may live: by them the address is known.
    let mut host = seen_as(["", "", ""]).hosts[0].clone();
    assert_eq!(migrate::without_cluster(&host), None);
    host.moving.left = Some(services());
    assert!(migrate::without_cluster(&host).is_some());

    // BGP too, which a live cluster is not moved from or to; and files alone, which a reset leaves.
    let found =
        |way: Way, model: &Model| remains_of_any(way, &model.observe(&facts_of_others(way)));
    let mut model = Model::bare();
    for way in Way::ALL {
        assert_eq!(found(way, &model), None, "{way}");
    }
    let own = |way: Way, model: &Model| has_own(way, &model.observe(&facts_of_others(way)));
    for path in [CHECK, "/etc/keepalived/keepalived.conf"] {
        model.files.insert(path.into(), text("ours"));
    }
    assert_eq!(found(Way::KeepalivedHaproxyPods, &model), None, "its own");
    assert!(own(Way::KeepalivedHaproxyPods, &model) && !own(Way::KubeVipBgp, &model));
    let old = found(Way::KubeVipBgp, &model).unwrap();
    assert_eq!(old.paths, ["/etc/keepalived/keepalived.conf", CHECK]);
    model.units.insert("keepalived".into(), (true, true, 1));
    let old = found(Way::KubeVipBgp, &model).unwrap();
    assert_eq!(old.from, Some(Way::KeepalivedHaproxy));
    assert_eq!(old.units, ["keepalived"]);
    let steps = migrate::steps::vacate(&mover(), &old);
    let titles: Vec<&str> = steps.iter().map(|s| s.title.as_str()).collect();
    assert_eq!(
        titles,
        [
            "load balancer : the old one is taken down",
            "load balancer : the old pods are gone",
            "load balancer : no address is left",
            "load balancer : nothing is left",
        ]
    );
    // Somebody's own haproxy stays.
    let haproxy = "/etc/haproxy/haproxy.cfg";
    let mut model = Model::bare();
    model.units.insert("haproxy".into(), (true, true, 1));
    assert_eq!(found(Way::KubeVipBgp, &model), None);
    let theirs = "frontend theirs\n    bind :80\n";
    model.files.insert(haproxy.into(), text(theirs));
    assert_eq!(found(Way::KubeVipBgp, &model), None);
    // The package's own, which has no port: a run was stopped behind its installation.
    let package = "global\n\tdaemon\ndefaults\n\tmode http\n";
    model.files.insert(haproxy.into(), text(package));
    assert_eq!(found(Way::KubeVipBgp, &model).unwrap().units, ["haproxy"]);
    // A run that was stopped between haproxy and keepalived: only what stands in the file tells whose it is.
    let ours = text("# Written by quorate (role haproxy)");
    model.files.insert(haproxy.into(), ours);
    let old = found(Way::KubeVipBgp, &model).unwrap();
    assert_eq!(old.units, ["haproxy"]);
    assert_eq!(old.paths, [haproxy]);
    let old = found(Way::KeepalivedHaproxyPods, &model).unwrap();
    assert_eq!((old.units, old.paths), (vec!["haproxy"], vec![]));
}

fn mover() -> Mover {
    Mover {
        node: "cp1".into(),
        address: "10.0.0.11".parse().unwrap(),
        vip: "10.0.0.10".parse().unwrap(),
        dest_port: 8443,
        src_port: 6443,
        frontend: true,
    }
}

fn titles(plan: &HostPlan) -> Vec<&str> {
    let all = plan.steps.iter().chain(&plan.gates);
    all.map(|s| s.title.strip_prefix("load balancer : ").unwrap_or(&s.title))
        .collect()
}

#[test]
fn the_holder_is_bridged_before_and_freed_after() {
    let write = Step::new("haproxy : haproxy's manifest", Category::Own, Vec::new());
    let place = HostPlan {
        steps: vec![write],
        ..HostPlan::default()
    };
    let settled = Step::new("load balancer : static pods", Category::Wait, Vec::new());
    let plan = switch(&mover(), Some(&services()), place, Some(settled), true);
    assert_eq!(
        titles(&plan),
        [
            "the address is here",
            "its API server is ready",
            "a bridge",
            "the old one is taken down",
            "the old pods are gone",
            "no address is left",
            "nothing is left",
            "haproxy : haproxy's manifest",
            "static pods",
            "the new way holds the address",
            "the new way answers",
            "the end of the bridge",
        ]
    );
    assert!(plan.disturbs());
    // Cut off behind the takedown: of whatever it was, nothing stays in the cluster.
    let plan = switch(&mover(), None, HostPlan::default(), None, true);
    let last = titles(&plan).split_off(5);
    assert_eq!(
        last,
        ["kube-vip has no rights any more", "the end of the bridge"]
    );
    // kube-vip has no listener of its own, and a bridge of one port needs no redirection.
    let mut host = mover();
    host.frontend = false;
    let plan = switch(&host, None, HostPlan::default(), None, false);
    assert_eq!(
        titles(&plan),
        [
            "its API server is ready",
            "a bridge",
            "the new way holds the address",
            "the end of the bridge"
        ]
    );
    host.dest_port = host.src_port;
    assert!(!bridge_unit(&host).contains("nft"));
    insta::assert_snapshot!("bridge", bridge_unit(&mover()));
}

#[test]
fn made_ready_nothing_starts_and_nobody_is_disturbed() {
    let install = |names: &[&str]| {
        let names = names.iter().map(|n| (*n).to_string()).collect();
        Change::new(Effect::InstallPackages(names), "absent")
    };
    let step = |title: &str, category, changes| {
        let mut step = Step::new(title, category, changes);
        step.disturbs = true;
        step
    };
    let mut look = step("keepalived : a look", Category::Own, Vec::new());
    look.report = Report::Ok;
    let mut plan = HostPlan {
        steps: vec![
            look,
            step("hosts : names", Category::Own, Vec::new()),
            step(
                "haproxy : package",
                Category::Packages,
                vec![install(&["haproxy"])],
            ),
            step("haproxy : configuration", Category::Own, Vec::new()),
            step(
                "keepalived : package",
                Category::Packages,
                vec![install(&["curl"])],
            ),
        ],
        handlers: vec![HandlerPlan {
            id: "haproxy.reload-haproxy".into(),
            pending: false,
            steps: Vec::new(),
        }],
        ..HostPlan::default()
    };
    make_ready(
        &mut plan,
        &["haproxy", "keepalived"],
        &["keepalived", "haproxy"],
    );
    let titles: Vec<&str> = plan.steps.iter().map(|s| s.title.as_str()).collect();
    assert_eq!(
        titles,
        [
            "load balancer : its units do not start yet",
            "keepalived : a look",
            "hosts : names",
            "haproxy : package",
            "keepalived : package"
        ]
    );
    assert_eq!(
        plan.steps[0].changes,
        [Change::new(
            Effect::Unit(UnitAct::Masked, "haproxy".into()),
            "the old way serves still"
        )],
        "keepalived is installed already"
    );
    assert!(plan.handlers.is_empty());
    assert!(plan.steps[2].disturbs && !plan.steps[1].disturbs && !plan.steps[3].disturbs);
}

/// ip(8) with a table of its own: device and address, a line each.
const IP: &str = r#"case "$1 $2 $3" in
"-o address show") while read -r device address; do case $address in "$5"/*) echo "2: $device    inet $address scope global $device" ;; esac; done <@/addresses ;;
"address del "*) grep -vx "$5 $3" @/addresses >@/rest; mv @/rest @/addresses ;;
*) echo "ip $*"; exit 1 ;;
esac"#;

/// systemctl(1) that says how a unit is, as the real one does.
const SYSTEMCTL: &str = r#"for last do :; done
case $1 in
is-active | is-enabled) [ -e "@/units/$last.$1" ] && { [ $1 = is-active ] && echo active; exit 0; }; exit 3 ;;
esac
echo "$*" >>@/systemctl.log
case "$*" in
*disable*) rm -f "@/units/$last.is-enabled" ;;
stop*) rm -f "@/units/$last.is-active" ;;
start*) : >"@/units/$last.is-active" ;;
esac"#;

/// The steps of a takedown as scripts, for real.
#[test]
fn nothing_of_the_old_way_stays() {
    const MANIFEST: &str = "/etc/kubernetes/manifests/keepalived.yaml";
    let old = Remains {
        from: Some(Way::KeepalivedHaproxyPods),
        to: Way::KubeVipArp,
        manifests: vec![MANIFEST],
        pods: vec!["haproxy", "keepalived"],
        units: vec!["keepalived"],
        paths: vec!["/etc/keepalived/keepalived.conf", CHECK],
    };
    let effects = |plan: &HostPlan| -> Vec<Effect> {
        let steps = plan.steps.iter().flat_map(|s| &s.changes);
        steps.map(|c| c.effect.clone()).collect()
    };
    for kind in SHELLS {
        let sandbox = Sandbox::new(kind);
        sandbox.tool("ip", IP);
        sandbox.tool("systemctl", SYSTEMCTL);
        sandbox.tool("ctr", "case \"$*\" in *'tasks ls'*) echo 'TASK PID STATUS'; cat @/tasks ;; *'containers ls'*haproxy-cp1*) echo h1 ;; esac");
        sandbox.write("/tasks", "h1 12 STOPPED\n");
        sandbox.write(
            "/addresses",
            "lo 127.0.0.1/8\neth0 10.0.0.11/24\neth0 10.0.0.10/32\n",
        );
        for path in [MANIFEST, "/etc/keepalived/keepalived.conf", CHECK] {
            sandbox.write(path, "old");
        }
        sandbox.write("/units/keepalived.is-active", "");
        sandbox.write("/units/keepalived.is-enabled", "");
        // By now the address is here: nothing is touched.
        let plan = release(&mover(), &old, false);
        let first = sandbox.one(effects(&plan)[0].clone());
        assert_eq!(first.0, End::Failed, "{kind:?}");
        assert!(
            first.2.contains("10.0.0.10 is on this host by now"),
            "{first:?}"
        );
        // Another host serves by a bridge: the address goes.
        for effect in effects(&release(&mover(), &old, true)) {
            let (end, _, said) = sandbox.one(effect.clone());
            assert_ne!(end, End::Failed, "{kind:?} {effect:?} {said}");
        }
        assert_eq!(
            sandbox.read("/addresses").unwrap(),
            "lo 127.0.0.1/8\neth0 10.0.0.11/24\n"
        );
        for path in [
            MANIFEST,
            "/etc/keepalived/keepalived.conf",
            CHECK,
            TAKING_DOWN,
        ] {
            assert_eq!(sandbox.read(path), None, "{kind:?} {path}");
        }
        assert_eq!(sandbox.read("/units/keepalived.is-active"), None);
        assert!(
            sandbox
                .read("/systemctl.log")
                .unwrap()
                .contains("disable keepalived")
        );

        // On the holder the bridge's own address stays.
        sandbox.write("/addresses", "lo 10.0.0.10/32\neth0 10.0.0.10/32\n");
        sandbox.tool("curl", "[ -e @/ready ]");
        let plan = switch(&mover(), Some(&old), HostPlan::default(), None, true);
        // The bridge would lead to an API server that does not answer.
        let (end, _, said) = sandbox.one(effects(&plan)[1].clone());
        assert_eq!(end, End::Failed, "{kind:?}");
        assert!(
            said.contains("is not ready, and it is to serve alone"),
            "{said}"
        );
        sandbox.write("/ready", "");
        for effect in effects(&plan) {
            let (end, _, said) = sandbox.one(effect.clone());
            assert_ne!(end, End::Failed, "{kind:?} {effect:?} {said}");
        }
        assert_eq!(sandbox.read("/addresses").unwrap(), "lo 10.0.0.10/32\n");
        assert!(
            sandbox
                .read("/systemctl.log")
                .unwrap()
                .contains(&format!("start {BRIDGE}"))
        );
        // A pod that still runs is waited for, by name.
        sandbox.write("/tasks", "h1 12 RUNNING\n");
        let waits = effects(&plan).into_iter().find_map(|e| match e {
            Effect::Wait { condition, .. } => Some(condition),
            _ => None,
        });
        let run = quorate::host::Run::new(["/bin/sh", "-c", waits.unwrap().as_str()]);
        let (end, _, said) = sandbox.one(Effect::Run(run.clone()));
        assert_eq!(end, End::Failed);
        assert!(said.contains("haproxy-cp1 still runs"), "{said}");
        // containerd was not started yet, and no program of that name runs.
        sandbox.tool("ctr", "echo 'cannot access socket' >&2; exit 1");
        let (end, _, said) = sandbox.one(Effect::Run(run));
        assert_ne!(end, End::Failed, "{kind:?} {said}");
    }
}
