//! What is wrong between hosts: clocks, and things that must not be there twice.

use std::collections::BTreeMap;

use super::{Finding, Host, Level};

/// Beyond this no certificate of the cluster is valid on the host behind: kubeadm and the controller manager's signer date
/// them back by five minutes (kubeadm 1.36, constants.CertificateBackdate; `--cluster-signing` in pkg/controller/certificates).
const SKEW_FAULT_MS: i64 = 300_000;
/// etcd complains of one second between its members (etcd 3.6, rafthttp, `prober found high clock drift`); clocks that are being
/// corrected are further apart for a moment.
const SKEW_WARNING_MS: i64 = 2_000;
/// Between the hosts and the controller nothing hangs on it but days and times that are shown.
const CONTROLLER_WARNING_MS: i64 = 60_000;

pub(super) fn findings(hosts: &[Host<'_>], found: &mut Vec<Finding>) {
    clocks(hosts, found);
    duplicates(hosts, found);
}

/// How far a host's clock is ahead of the controller's: no less and no more than these milliseconds. Its second was read
/// between the question and the answer.
fn offset(host: &Host<'_>) -> Option<(i64, i64)> {
    let (sent, answered) = host.observed.asked?;
    // 0 is what could not be read.
    let clock = Some(host.observed.system.clock).filter(|clock| *clock != 0);
    let clock = clock?.checked_mul(1000)?;
    Some((
        clock.checked_sub(answered)?,
        clock.checked_add(999)?.checked_sub(sent)?,
    ))
}

/// Returns how far two clocks are apart for sure.
fn apart(a: (i64, i64), b: (i64, i64)) -> i64 {
    (a.0 - b.1).max(b.0 - a.1).max(0)
}

fn clocks(hosts: &[Host<'_>], found: &mut Vec<Finding>) {
    let all: Vec<(&Host<'_>, (i64, i64))> = hosts
        .iter()
        .filter_map(|host| Some((host, offset(host)?)))
        .collect();
    let controller = (0, 0);
    for (host, own) in &all {
        let others = all
            .iter()
            .filter(|(other, _)| other.spec.name != host.spec.name);
        let Some((other, theirs)) = others.max_by_key(|(_, theirs)| apart(*own, *theirs)) else {
            continue;
        };
        let skew = apart(*own, *theirs);
        // Of two, the one that is to join a cluster of another time, else the one that is further from the controller's.
        let is_named = match (host.is_new(), other.is_new()) {
            (true, false) => true,
            (false, true) => false,
            _ => {
                let (mine, others) = (apart(*own, controller), apart(*theirs, controller));
                mine > others || (mine == others && host.spec.name > other.spec.name)
            }
        };
        if skew < SKEW_WARNING_MS || !is_named {
            continue;
        }
        let level = match skew >= SKEW_FAULT_MS && (host.is_new() || other.is_new()) {
            true => Level::Fault,
            false => Level::Warning,
        };
        let side = if own.0 > theirs.1 {
            "ahead of"
        } else {
            "behind"
        };
        let consequence = match level {
            Level::Warning => "etcd and the lifetime of leases suffer",
            _ => "certificates of one are not valid yet on the other",
        };
        found.push(host.finding(
            "ClockSkew",
            level,
            format!(
                "its clock is at least {} {side} that of {}: {consequence}",
                duration(skew),
                other.spec.name
            ),
            SYNCHRONISE,
        ));
    }
    // Where the hosts agree, it is the controller's clock that is another.
    if found.iter().any(|f| f.name == "ClockSkew") {
        return;
    }
    let first = all.iter().find(|(host, _)| host.ours);
    if let Some((host, own)) = first
        && apart(*own, controller) >= CONTROLLER_WARNING_MS
    {
        let side = if own.0 > 0 { "ahead of" } else { "behind" };
        found.push(host.finding(
            "ClockSkew",
            Level::Warning,
            format!(
                "its clock, as those of the others, is at least {} {side} this machine's",
                duration(apart(*own, controller))
            ),
            "`timedatectl` here and there tells which of them is synchronised",
        ));
    }
}

const SYNCHRONISE: &str = "`timedatectl set-ntp true` on it, or `chronyc makestep` where chrony runs; `timedatectl` tells whether it is synchronised";

/// Returns milliseconds in words, such as `7 min 4 s`.
fn duration(ms: i64) -> String {
    let seconds = ms / 1000;
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

fn duplicates(hosts: &[Host<'_>], found: &mut Vec<Finding>) {
    let groups = |key: &dyn Fn(&Host<'_>) -> String| {
        let mut groups: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (index, host) in hosts.iter().enumerate() {
            let key = key(host);
            if !key.is_empty() {
                groups.entry(key).or_default().push(index);
            }
        }
        groups.retain(|_, group| {
            let new = |i: &usize| hosts.get(*i).is_some_and(Host::is_new);
            group.len() > 1 && group.iter().any(new)
        });
        groups
    };
    let named = |group: &[usize], but: usize| {
        let others = group.iter().filter(|i| **i != but);
        let names = others.filter_map(|i| Some(hosts.get(*i)?.spec.name.to_string()));
        names.collect::<Vec<_>>().join(", ")
    };
    // Who is the second of its kind is told; a new one rather than a member.
    let mut each = |groups: BTreeMap<String, Vec<usize>>,
                    tell: &dyn Fn(&Host<'_>, &str, &str) -> Finding| {
        for (key, group) in groups {
            let new = |i: &&usize| hosts.get(**i).is_some_and(Host::is_new);
            if let Some(last) = group.iter().rev().find(new)
                && let Some(host) = hosts.get(*last)
            {
                found.push(tell(host, &key, &named(&group, *last)));
            }
        }
    };
    let system = |host: &Host<'_>| host.observed.system.clone();
    each(
        groups(&|host| {
            let mut links = system(host).links;
            links.retain(|link| link.chars().any(|c| !matches!(c, '0' | ':')));
            links.sort();
            match links.is_empty() || system(host).machine_id.is_empty() {
                true => String::new(),
                false => format!("{} {}", system(host).machine_id, links.join(" ")),
            }
        }),
        &|host, _, others| {
            host.finding(
                "DuplicateMachine",
                Level::Unsafe,
                format!("it is the same machine as {others}: machine-id and all link-layer addresses are the same"),
                "`ansible_host` or `ansible_port` of one of them is wrong: what is done to one would be done to the other",
            )
        },
    );
    each(
        groups(&|host| system(host).machine_id),
        &|host, id, others| {
            let uuid = system(host).product_uuid;
            let twin = hosts.iter().any(|other| {
                other.spec.name != host.spec.name
                    && other.observed.system.machine_id == id
                    && other.observed.system.product_uuid == uuid
            });
            let level = match twin && !uuid.is_empty() {
                true => Level::Fault,
                false => Level::Warning,
            };
            host.finding(
                "DuplicateMachineId",
                level,
                format!("its machine-id {id} is that of {others} too: DHCP and network plugins take them for one"),
                "`rm -f /etc/machine-id /var/lib/dbus/machine-id && systemd-machine-id-setup`, and a reboot",
            )
        },
    );
    each(
        groups(&|host| system(host).product_uuid),
        &|host, uuid, others| {
            host.finding(
                "DuplicateProductUuid",
                Level::Warning,
                format!("its product_uuid {uuid} is that of {others} too, which some network plugins do not bear"),
                "a UUID of its own from whoever makes the machines (`dmidecode -s system-uuid` shows it); containers of one machine share it",
            )
        },
    );
    each(
        groups(&|host| system(host).hostname),
        &|host, name, others| {
            host.finding(
                "DuplicateHostname",
                Level::Warning,
                format!("its host name `{name}` is that of {others} too"),
                format!("`hostnamectl set-hostname {}`: nodes are named by the inventory, logs by the host", host.spec.node_name),
            )
        },
    );
    // One machine under two names has all the rest twice as well.
    let same: Vec<_> = found
        .iter()
        .filter(|f| f.name == "DuplicateMachine")
        .map(|f| f.host.clone())
        .collect();
    found.retain(|f| {
        !same.contains(&f.host) || f.name == "DuplicateMachine" || !f.name.starts_with("Duplicate")
    });
}
