//! The steps of a move on one host: the bridge, the takedown of the old way, and the end of the bridge.

use std::net::IpAddr;

use super::super::act::{file, wait};
use super::super::load_balancer::{Remains, TAKING_DOWN, kube_vip};
use super::super::spec::Way;
use crate::event::Category;
use crate::host::script::Report;
use crate::host::{Effect, Run, UnitAct, sh};
use crate::model::Mode;
use crate::plan::{Change, HostPlan, Step};

/// The unit that is the bridge. It lies in memory and is gone after a boot, as its table and its address are.
pub const BRIDGE: &str = "quorate-bridge";
const BRIDGE_FILE: &str = "/run/systemd/system/quorate-bridge.service";
/// nftables' table of the bridge.
const TABLE: &str = "quorate_bridge";
/// How long the pods of the old way may take to end: the kubelet looks at its folder each 20 s at the latest
/// (`fileCheckFrequency`), and a pod has 30 s to end.
const GONE_SECONDS: u64 = 120;
/// How long the new way may take to hold the address: a lease that nobody renews runs out in 15 s (kube-vip's default).
const HELD_SECONDS: u64 = 120;

/// A host in a move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mover {
    /// Its node's name.
    pub node: String,
    /// Its own address, where its API server listens.
    pub address: IpAddr,
    /// The virtual address.
    pub vip: IpAddr,
    /// The port at the virtual address.
    pub dest_port: u16,
    /// The API server's port.
    pub src_port: u16,
    /// Whether the new way has a listener of its own at `dest_port` on the host's address.
    pub frontend: bool,
}

/// The step that lets units start which were kept from it while another way served.
pub const UNMASK: &str = "load balancer : its units may start";

/// Leaves of a plan what makes a host ready for the new way and disturbs nobody: packages, whose units are kept from
/// starting (Debian's start on installation), and images. `roles` are the new way's, `units` its services.
pub fn make_ready(plan: &mut HostPlan, roles: &[&str], units: &[&str]) {
    let of_balancer = |name: &str, separator: &str| {
        roles.iter().any(|role| {
            let rest = name.strip_prefix(role);
            rest.is_some_and(|rest| rest.starts_with(separator))
        })
    };
    plan.steps.retain_mut(|step| {
        if step.title == UNMASK {
            return false;
        }
        if !of_balancer(&step.title, " : ") {
            return true;
        }
        step.disturbs = false;
        // What changes nothing looks whether the way can be set up here: before anything is taken down for it.
        step.report == Report::Ok
            || matches!(step.category, Category::Packages | Category::Transfer)
    });
    plan.handlers
        .retain(|handler| !of_balancer(&handler.id, "."));
    let installs = |unit: &&&str| {
        let effects = plan.steps.iter().flat_map(|s| &s.changes);
        let mut packages = effects.filter_map(|change| match &change.effect {
            Effect::InstallPackages(names) => Some(names),
            _ => None,
        });
        packages.any(|names| names.iter().any(|name| name == **unit))
    };
    let changes: Vec<Change> = units
        .iter()
        .filter(installs)
        .map(|unit| {
            let effect = Effect::Unit(UnitAct::Masked, (*unit).to_string());
            Change::new(effect, "the old way serves still")
        })
        .collect();
    if !changes.is_empty() {
        let title = "load balancer : its units do not start yet";
        let step = Step::new(title, Category::Own, changes);
        plan.put_first([step]);
    }
}

/// Returns the step that removes files of a way that is not at work any more.
pub fn clean(paths: &[&str]) -> Step {
    let why = "of another way";
    let remove = |path: &&str| {
        Change::new(
            Effect::Remove {
                path: (*path).into(),
            },
            why,
        )
    };
    let mut changes: Vec<Change> = paths.iter().map(remove).collect();
    changes.extend(units_changed(paths, why));
    let title = "load balancer : nothing of another way is left";
    Step::new(title, Category::Own, changes)
}

fn units_changed(paths: &[&str], why: &str) -> Option<Change> {
    let any = paths.iter().any(|path| path.ends_with(".service"));
    any.then(|| Change::new(Effect::DaemonReload, why))
}

/// Returns the steps that take the old way down on a host that does not hold the address. `bridged` says that another
/// host serves by a bridge: then an address that is here is one too many, and goes.
pub fn release(host: &Mover, remains: &Remains, bridged: bool) -> HostPlan {
    let mut steps = Vec::new();
    if !bridged {
        let script = format!(
            "if {}; then echo '{} is on this host by now: run again'; exit 1; fi",
            carries(host, ""),
            host.vip
        );
        steps.push(quiet("load balancer : the address is elsewhere", script));
    }
    steps.extend(take_down(host, remains, ""));
    HostPlan {
        steps,
        ..HostPlan::default()
    }
}

/// Returns the steps that take the old way down where no cluster lives, and nobody is served.
pub fn vacate(host: &Mover, remains: &Remains) -> Vec<Step> {
    take_down(host, remains, "")
}

/// Returns the steps that move the host that serves: `place` is what its roles say of the new way, and `settled` what that
/// way waits for. `holds` says that the address was seen here.
pub fn switch(
    host: &Mover,
    remains: Option<&Remains>,
    place: HostPlan,
    settled: Option<Step>,
    holds: bool,
) -> HostPlan {
    let mut plan = place;
    let mut steps = Vec::new();
    if holds {
        let script = format!(
            "{} || {{ echo '{} is not on this host any more: run again'; exit 1; }}",
            carries(host, ""),
            host.vip
        );
        steps.push(quiet("load balancer : the address is here", script));
    }
    // The bridge leads to this host's own API server; one that is up already serves as well as it can.
    let ready = format!(
        "systemctl is-active -q {BRIDGE} || curl -sSf --noproxy '*' --max-time 3 --cacert /etc/kubernetes/pki/ca.crt -o /dev/null https://{}/readyz ||\n\
         {{ echo 'the API server of this host is not ready, and it is to serve alone meanwhile: bring it back and run again'; exit 1; }}",
        std::net::SocketAddr::new(host.address, host.src_port)
    );
    steps.push(quiet("load balancer : its API server is ready", ready));
    steps.push(bridge(host));
    steps.extend(
        remains
            .into_iter()
            .flat_map(|remains| take_down(host, remains, " && $2 != \"lo\"")),
    );
    steps.append(&mut plan.steps);
    plan.steps = steps;
    plan.gates.extend(settled);
    plan.gates.push(wait(
        "load balancer : the new way holds the address",
        &format!(
            "{} is on an interface of this host beside the bridge",
            host.vip
        ),
        &carries(host, " && $2 != \"lo\""),
        HELD_SECONDS,
    ));
    if host.frontend {
        let url = std::net::SocketAddr::new(host.address, host.dest_port);
        plan.gates.push(wait(
            "load balancer : the new way answers",
            "the API answers through this host's own load balancer",
            &format!("curl -sSf --noproxy '*' --max-time 3 --cacert /etc/kubernetes/pki/ca.crt -o /dev/null https://{url}/healthz"),
            HELD_SECONDS,
        ));
    }
    // Where a takedown was cut off nobody knows any more what it was of.
    let unknown = |old: &Remains| old.from.is_none_or(|from| from == Way::KubeVipArp);
    if host.frontend && remains.is_none_or(unknown) {
        plan.gates.push(kube_vip::sign::forget());
    }
    plan.gates.push(bridge_end());
    plan
}

/// A shell condition: the address is on an interface of this host, of those that awk's `more` lets pass.
fn carries(host: &Mover, more: &str) -> String {
    format!(
        "ip -o address show to {} | awk '$2 != \"\"{more} {{ found = 1 }} END {{ exit !found }}'",
        host.vip
    )
}

/// The unit that serves the address without any load balancer: on `lo`, where neither keepalived nor kube-vip looks when it
/// starts, with its port redirected to the host's own API server. Hosts answer for an address on whichever interface
/// (arp_ignore 0, ip-sysctl.rst).
pub fn bridge_unit(host: &Mover) -> String {
    let (family, length) = match host.vip {
        IpAddr::V4(_) => ("ip", 32),
        IpAddr::V6(_) => ("ip6", 128),
    };
    let (vip, dest) = (host.vip, host.dest_port);
    let mut starts = Vec::new();
    let mut stops = vec![format!(
        "ExecStopPost=-ip address del {vip}/{length} dev lo"
    )];
    if host.dest_port != host.src_port {
        let to = std::net::SocketAddr::new(host.address, host.src_port);
        let rule = format!("{family} daddr {vip} tcp dport {dest} dnat to {to}");
        // Before kube-proxy's and everybody else's: dstnat is -100.
        let chain = |hook: &str| {
            format!(
                "chain {hook} {{ type nat hook {hook} priority -110; policy accept; {rule}; }};"
            )
        };
        starts.push(format!("ExecStartPre=-nft delete table {family} {TABLE}"));
        starts.push(format!(
            "ExecStart=nft 'table {family} {TABLE} {{ {} {} }}'",
            chain("prerouting"),
            chain("output")
        ));
        stops.push(format!("ExecStopPost=-nft delete table {family} {TABLE}"));
    }
    starts.push(format!(
        "ExecStart=ip address replace {vip}/{length} dev lo"
    ));
    format!(
        "# Written by quorate: serves the API's address while the load balancer is moved.\n[Unit]\nDescription=quorate: the API's address while the load balancer is moved\n\n\
         [Service]\nType=oneshot\nRemainAfterExit=yes\n{}\n{}\n",
        starts.join("\n"),
        stops.join("\n")
    )
}

fn bridge(host: &Mover) -> Step {
    let changes = vec![
        Change::new(
            file(BRIDGE_FILE, &bridge_unit(host), Mode::PUBLIC, None),
            "to serve meanwhile",
        ),
        Change::new(Effect::DaemonReload, "its file is new"),
        Change::new(
            Effect::Unit(UnitAct::Started, BRIDGE.into()),
            "to serve meanwhile",
        ),
    ];
    disturbing("load balancer : a bridge", changes)
}

fn bridge_end() -> Step {
    let changes = vec![
        Change::new(
            Effect::Unit(UnitAct::Stopped, BRIDGE.into()),
            "the new way serves",
        ),
        Change::new(
            Effect::Remove {
                path: BRIDGE_FILE.into(),
            },
            "the new way serves",
        ),
        Change::new(Effect::DaemonReload, "its file is gone"),
    ];
    disturbing("load balancer : the end of the bridge", changes)
}

/// The old way goes: what would start it first, then what runs, then what it left. `kept` is awk's condition on the
/// interfaces that the address is taken off.
fn take_down(host: &Mover, remains: &Remains, kept: &str) -> Vec<Step> {
    const WHY: &str = "of the old way";
    let mut changes = vec![Change::new(
        file(TAKING_DOWN, "", Mode::PRIVATE, None),
        "until it is done",
    )];
    let remove = |path: &str| Change::new(Effect::Remove { path: path.into() }, WHY);
    let unit = |act: UnitAct, unit: &str| Change::new(Effect::Unit(act, unit.into()), WHY);
    changes.extend(remains.manifests.iter().map(|path| remove(path)));
    for name in &remains.units {
        changes.push(unit(UnitAct::Disabled, name));
        changes.push(unit(UnitAct::Stopped, name));
    }
    let mut steps = vec![disturbing(
        "load balancer : the old one is taken down",
        changes,
    )];
    if !remains.pods.is_empty() {
        steps.push(wait(
            "load balancer : the old pods are gone",
            "no container of the old way runs",
            &gone(&remains.pods.join(" "), &host.node),
            GONE_SECONDS,
        ));
    }
    // keepalived that was killed leaves the address.
    steps.push(address_off(host, kept));
    let mut changes: Vec<Change> = remains.paths.iter().map(|path| remove(path)).collect();
    changes.extend(units_changed(&remains.paths, WHY));
    changes.push(Change::new(
        Effect::Remove {
            path: TAKING_DOWN.into(),
        },
        "it is done",
    ));
    steps.push(disturbing("load balancer : nothing is left", changes));
    steps
}

/// Returns the step that takes the address off all interfaces.
pub fn no_address(host: &Mover) -> Step {
    address_off(host, "")
}

/// `kept` is awk's condition on the interfaces that the address is taken off.
fn address_off(host: &Mover, kept: &str) -> Step {
    let script = format!(
        "ip -o address show to {vip} | awk '$2 != \"\"{kept} {{ print $4, $2 }}' | while read -r address device; do\n\
         ip address del \"$address\" dev \"$device\" || exit 1\ndone",
        vip = host.vip
    );
    quiet("load balancer : no address is left", script)
}

/// A shell condition: no container of these static pods runs. What it prints says which does.
fn gone(pods: &str, node: &str) -> String {
    format!(
        r#"node={node}
if ! tasks=$(ctr -n k8s.io tasks ls 2>/dev/null); then
  # Another runtime's tools differ, and containerd may not have been started yet; the programs bear their pods' names.
  for pod in {pods}; do
    for process in /proc/[0-9]*/comm; do
      name=
      {{ read -r name <"$process"; }} 2>/dev/null
      [ "$name" != "$pod" ] || {{ echo "$pod-$node still runs"; exit 1; }}
    done
  done
  exit 0
fi
for pod in {pods}; do
  for id in $(ctr -n k8s.io containers ls -q "labels.\"io.cri-containerd.kind\"==container,labels.\"io.kubernetes.pod.namespace\"==kube-system,labels.\"io.kubernetes.pod.name\"==\"$pod-$node\""); do
    ! printf '%s\n' "$tasks" | grep -q "^$id .*RUNNING" || {{ echo "$pod-$node still runs"; exit 1; }}
  done
done"#,
        node = sh::quote(node),
    )
}

fn disturbing(title: &str, changes: Vec<Change>) -> Step {
    let mut step = Step::new(title, Category::Own, changes);
    step.disturbs = true;
    step
}

/// A step of one shell script.
fn quiet(title: &str, script: String) -> Step {
    let mut run = Run::new(["/bin/sh", "-c", &script]);
    run.label = Some(title.trim_start_matches("load balancer : ").into());
    disturbing(title, vec![Change::new(Effect::Run(run), "of a move")])
}
