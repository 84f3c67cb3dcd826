//! Room on the disks, against what will be written to them.

use std::collections::{BTreeMap, BTreeSet};

use super::{Finding, Host, Level};
use crate::cluster::spec::{ClusterSpec, Origin};
use crate::host::fact::{Disk, Preflight};
use crate::host::{Content, Effect};
use crate::model::Value;
use crate::plan::HostPlan;

const MIB: u64 = 1 << 20;
/// An archive that is imported lies in containerd's store as it is, and once more unpacked.
const STORED: u64 = 2;
/// The same of an archive that was packed: what it holds unpacks to about three times its size.
const STORED_PACKED: u64 = 4;
/// What another packed archive unpacks to.
const UNPACKED: u64 = 3;
/// What kubeadm pulls where no archives are brought, packed and unpacked: the images of 1.36 are about 250 MiB packed on a control
/// plane and 60 MiB on a worker, and unpack to three times that. An estimate, on the small side.
const PULLED: (u64, u64) = (900 * MIB, 250 * MIB);
/// etcd makes two segments of its log of 64 MiB each at once (etcd 3.6, wal.SegmentSizeBytes); its data come on top.
const ETCD: u64 = 200 * MIB;
/// Unpacked programs of a package: kubelet, kubeadm and kubectl are some 60 MiB each, containerd a little more.
const PACKAGE: u64 = 60 * MIB;
/// Logs of pods and of the system, to begin with.
const LOGS: u64 = 50 * MIB;

const CONTAINERD: &str = "/var/lib/containerd";
const KUBELET: &str = "/var/lib/kubelet";

pub(super) fn findings(spec: &ClusterSpec, host: &Host<'_>, found: &mut Vec<Finding>) {
    let Some(preflight) = &host.observed.preflight else {
        return;
    };
    let mut told: Vec<&str> = Vec::new();
    for disk in preflight.disks.iter().filter(|disk| disk.read_only) {
        if !told.contains(&disk.mount.as_str()) {
            told.push(&disk.mount);
            found.push(host.finding(
                "ReadOnly",
                Level::Fault,
                format!("{} is mounted read-only there, and {} has to be written", disk.mount, disk.path),
                format!("`mount -o remount,rw {}`; `dmesg` says whether the kernel did it for a fault of the disk", disk.mount),
            ));
        }
    }
    let needs = needs(spec, host, preflight);
    for (mount, (paths, need)) in &needs {
        let Some(disk) = preflight.disks.iter().find(|disk| disk.mount == *mount) else {
            continue;
        };
        if disk.free.saturating_mul(1024) < *need {
            found.push(host.finding(
                "DiskSpace",
                Level::Fault,
                format!(
                    "{} MiB are free on {mount} ({}), and about {} MiB will be written",
                    disk.free / 1024,
                    paths.join(", "),
                    need / MIB
                ),
                format!("free some (`du -xh {mount} | sort -h | tail` shows what is large), or mount a larger disk there"),
            ));
        }
    }
    if found
        .iter()
        .any(|f| f.name == "DiskSpace" && f.host == host.spec.name)
        || !host.spec.roles.node()
    {
        return;
    }
    let signals = [
        ("imagefs.available", CONTAINERD, 15),
        ("nodefs.available", KUBELET, 10),
    ];
    for (signal, path, percent) in signals {
        let Some(disk) = preflight.disks.iter().find(|disk| disk.path == path) else {
            continue;
        };
        let Some(least) = threshold(&host.wish.kubelet, signal, percent, disk.total) else {
            continue;
        };
        let need = needs.get(&disk.mount).map_or(0, |(_, need)| *need);
        let left = disk.free.saturating_sub(need / 1024);
        if left < least {
            found.push(host.finding(
                "DiskPressure",
                Level::Warning,
                format!(
                    "about {} MiB of {} will be free on {} for {path}, and below {} MiB the kubelet ends pods ({signal})",
                    left / 1024,
                    disk.total / 1024,
                    disk.mount,
                    least / 1024
                ),
                "free some, or lower the limit with `kubeadm: {KubeletConfiguration: {evictionHard: ...}}`",
            ));
            return;
        }
    }
}

/// Returns what will be written to each file system, in bytes, with the paths.
fn needs(
    spec: &ClusterSpec,
    host: &Host<'_>,
    preflight: &Preflight,
) -> BTreeMap<String, (Vec<String>, u64)> {
    let roles = host.spec.roles;
    let mut writes: Vec<(String, u64)> = host.plan.map(of_plan).unwrap_or_default();
    if roles.node() {
        writes.push(("/var".into(), LOGS));
        let pulled = |images: &&BTreeSet<String>| images.iter().any(|i| i.contains("/kube-proxy:"));
        if spec.kubernetes_source == Origin::Packages && !host.observed.images().is(pulled) {
            let pulled = if roles.control_plane {
                PULLED.0
            } else {
                PULLED.1
            };
            writes.push((CONTAINERD.into(), pulled));
        }
    }
    if roles.control_plane {
        writes.push(("/var/lib/etcd".into(), ETCD));
    }
    let mut needs: BTreeMap<String, (Vec<String>, u64)> = BTreeMap::new();
    for (path, bytes) in writes.iter().filter(|(_, bytes)| *bytes > 0) {
        let Some(disk) = holding(&preflight.disks, path) else {
            continue;
        };
        let (paths, sum) = needs.entry(disk.mount.clone()).or_default();
        if !paths.contains(&disk.path) {
            paths.push(disk.path.clone());
        }
        *sum = sum.saturating_add(*bytes);
    }
    needs
}

/// Returns the nearest of the paths that were asked for, at or above `path`.
fn holding<'a>(disks: &'a [Disk], path: &str) -> Option<&'a Disk> {
    let above = |disk: &&Disk| {
        let rest = path.strip_prefix(disk.path.trim_end_matches('/'));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    disks
        .iter()
        .filter(above)
        .max_by_key(|disk| disk.path.len())
}

/// Returns what the steps of a plan write, and where.
fn of_plan(plan: &HostPlan) -> Vec<(String, u64)> {
    let changes = plan.steps.iter().flat_map(|step| &step.changes);
    changes
        .filter_map(|change| match &change.effect {
            Effect::WriteFile(file) => Some((file.path.clone(), file.content.length())),
            Effect::ImportImage { archive, .. } => {
                let packed = match archive {
                    Content::File { path, .. } => matches!(path.extension(), Some("zst" | "gz")),
                    Content::Inline(_) => false,
                };
                let factor = if packed { STORED_PACKED } else { STORED };
                Some((CONTAINERD.into(), archive.length().saturating_mul(factor)))
            }
            Effect::Unpack { archive, into } => {
                Some((into.clone(), archive.length().saturating_mul(UNPACKED)))
            }
            Effect::InstallPackages(names) => Some(("/".into(), names.len() as u64 * PACKAGE)),
            _ => None,
        })
        .collect()
}

/// Returns below how many KiB the kubelet ends pods: what `evictionHard` says, else the kubelet's default (kubernetes.io, Node-pressure
/// Eviction). With `evictionHard` what it does not name is without a limit.
fn threshold(kubelet: &Value, signal: &str, percent: u64, total: u64) -> Option<u64> {
    let Some(Value::Object(limits)) = kubelet.get("evictionHard") else {
        return Some(total / 100 * percent);
    };
    let limit = limits.get(signal)?.as_str()?;
    if let Some(percent) = limit.strip_suffix('%') {
        let percent: f64 = percent.trim().parse().ok()?;
        return (0.0..=100.0)
            .contains(&percent)
            .then(|| (total as f64 * percent / 100.0) as u64);
    }
    let units = [("Ki", 1), ("Mi", 1 << 10), ("Gi", 1 << 20), ("Ti", 1 << 30)];
    let (unit, factor) = units.iter().find(|(unit, _)| limit.ends_with(unit))?;
    let number: u64 = limit.strip_suffix(unit)?.parse().ok()?;
    number.checked_mul(*factor)
}
