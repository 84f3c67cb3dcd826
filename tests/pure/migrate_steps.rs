//! What is done on hosts when a load balancer is moved: made ready, bridged, freed, and nothing old that stays.

use quorate::cluster::load_balancer::{Remains, TAKING_DOWN};
use quorate::cluster::migrate::steps::{BRIDGE, Mover, bridge_unit, make_ready, release, switch};
use quorate::cluster::spec::Way;
use quorate::event::Category;
use quorate::host::record::End;
use quorate::host::script::Report;
use quorate::host::{Effect, UnitAct};
use quorate::plan::{Change, HandlerPlan, HostPlan, Step};

use super::migrate::services;
use super::migrate_remains::CHECK;
use super::sandbox::{SHELLS, Sandbox};

pub(super) fn mover() -> Mover {
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
