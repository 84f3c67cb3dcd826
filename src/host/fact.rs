//! What can be asked of a host: the closed list of questions, and what came back.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::local::{MountState, UserState};
use crate::model::{Endpoint, Mode, Sha256};

mod kubernetes;
mod preflight;

pub use kubernetes::{
    Api, ClientCertificate, EtcdMember, Kubeconfig, Kubernetes, ManifestState, Marker, NodeState,
    OwnNode, Written,
};
pub use preflight::{Disk, Firewall, Listener, Preflight, Questions, Resolved, Rules};

/// One question. [`Fact::System`] is always asked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fact {
    /// Operating system, kernel, name, addresses, memory, clock, pending handlers.
    System,
    /// Kind, mode, owner and size of a path, without reading it.
    Path(String),
    /// Kind, mode, owner, size and digest of a path.
    File(String),
    /// As [`Fact::File`], for a file too large to hash each time: the digest comes from quorate's own record while inode,
    /// size, mtime and ctime are those of the record.
    LargeFile(String),
    /// The bytes of a file, up to 256 KiB.
    Content(String),
    /// A package's version.
    Package(String),
    /// A systemd unit's state.
    Unit(String),
    /// A kernel parameter's live value.
    Sysctl(String),
    /// Whether a kernel module is loaded or built in.
    Module(String),
    /// Active swap devices.
    Swap,
    /// The names of all images in containerd's `k8s.io` namespace.
    Images,
    /// A user of the host.
    User(String),
    /// A group of the host.
    Group(String),
    /// What is mounted at a path.
    Mount(String),
    /// Whether something listens on this TCP port.
    Listening(u16),
    /// Whether a container of this static pod runs, by the pod's whole name: `haproxy-cp1`.
    Pod(String),
    /// Whether a BGP session with each of these stands: a TCP connection to its port 179 (RFC 4271, 8.2.1).
    BgpSessions(Vec<IpAddr>),
    /// Membership in a Kubernetes cluster, what kubeadm wrote here, the API server's word on nodes, etcd's on members. The
    /// address is the node's own: its API server is asked there.
    Kubernetes {
        /// The node's cluster address.
        address: String,
        /// The API server's port.
        port: u16,
        /// The node's name: what its Node says is asked by it.
        node: String,
    },
    /// Drop-ins of the kubelet's, the container runtime's and the load balancer's services, and files of the kubelet's flags
    /// (systemd.unit(5); kubernetes.io, Configuring each kubelet in your cluster using kubeadm).
    Additions,
    /// Who answers at the address that is to become the cluster's own, asked by one connect and the neighbour table. A
    /// host that carries the address or belongs to a cluster is not asked: it would meet itself.
    Claimed {
        /// The virtual address.
        address: IpAddr,
        /// The port that one connect is tried at.
        port: u16,
    },
    /// How the control plane's endpoint answers from here, asked where the load balancer is somebody else's.
    Endpoint(Endpoint),
    /// What server-side apply would change of a manifest, as kubectl on a control plane tells.
    Addon {
        /// `address:port` of the API server that is asked.
        server: String,
        /// Its name, for the answer.
        name: String,
        /// Its URL; empty where `text` is it.
        url: String,
        /// Its text.
        text: String,
    },
    /// What may keep a host from becoming a part of a cluster. A host that is one is not asked.
    Preflight(Questions),
}

/// What server-side apply would change of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AddonState {
    /// Nothing.
    AsWritten,
    /// Something: what kubectl diff printed, or what it lacks in the cluster to compare with.
    Differs(String),
    /// Nobody could tell, for this reason.
    Unknown(String),
}

/// How an endpoint answers from one host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reach {
    /// Its name means nothing here (getent(1)).
    Unresolved,
    /// A connection is refused, or ended before anything was said.
    Refused,
    /// No answer within two seconds.
    Silent,
    /// A connection is accepted; the host knows no CA yet to ask more by.
    Accepts,
    /// Who answers has no certificate of this cluster's CA, or speaks no TLS.
    Foreign,
    /// `/healthz` answered with this HTTP status.
    Answers(u16),
}

impl Reach {
    /// Returns whether the API answers there and is well.
    pub fn is_well(self) -> bool {
        self == Self::Answers(200)
    }
}

impl std::fmt::Display for Reach {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unresolved => f.write_str("its name does not resolve"),
            Self::Refused => f.write_str("connection refused"),
            Self::Silent => f.write_str("no answer"),
            Self::Accepts => f.write_str("connection accepted"),
            Self::Foreign => f.write_str("not this cluster's certificate"),
            Self::Answers(200) => f.write_str("well"),
            Self::Answers(code) => write!(f, "HTTP {code}"),
        }
    }
}

/// A set of questions for one host.
pub type Facts = BTreeSet<Fact>;

/// What a host is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct System {
    /// Whose eyes saw it (`id -u`): others than root's see neither keys nor markers.
    pub user: Option<u32>,
    /// os-release(5) `ID`, such as `debian`.
    pub os: String,
    /// os-release(5) `ID_LIKE`, space separated.
    pub os_like: String,
    /// os-release(5) `VERSION_ID`.
    pub os_version: String,
    /// `uname -m`.
    pub machine: String,
    /// `uname -r`.
    pub kernel: String,
    /// `uname -n`.
    pub hostname: String,
    /// machine-id(5).
    pub machine_id: String,
    /// The machine's own UUID by its firmware (SMBIOS 7.2.1); empty where it has none, or others than root ask.
    pub product_uuid: String,
    /// Interface and address with its prefix length, in the order of `ip -o address`.
    pub addresses: Vec<(String, IpAddr, u8)>,
    /// The link-layer addresses of all interfaces, lower case.
    pub links: Vec<String>,
    /// Interfaces that carry nothing: `operstate` is down, lowerlayerdown or notpresent (sysfs-class-net, RFC 2863).
    pub down: Vec<String>,
    /// MiB of memory.
    pub memory_mib: u64,
    /// Processors online.
    pub processors: u32,
    /// MiB free under /var.
    pub free_mib: u64,
    /// Seconds since 1970 by the host's clock.
    pub clock: i64,
    /// `apt-get`, `dnf`, `yum`, `zypper` or nothing that is known.
    pub package_manager: String,
    /// Whether systemd is process 1.
    pub systemd: bool,
}

/// What lies at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Link,
    /// A socket, device or pipe.
    Other,
}

/// A path's state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileState {
    /// What it is.
    pub kind: FileKind,
    /// Its permissions.
    pub mode: Mode,
    /// Owner's name, or number where it has none.
    pub owner: String,
    /// Group's name, or number where it has none.
    pub group: String,
    /// Bytes.
    pub size: u64,
    /// Digest of a regular file's content.
    pub sha256: Option<Sha256>,
    /// A link's target.
    pub target: Option<String>,
}

impl FileState {
    /// Returns whether it is a symbolic link.
    pub fn is_link(&self) -> bool {
        self.kind == FileKind::Link
    }
}

/// A systemd unit's state (systemctl(1) `show`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitState {
    /// `loaded`, `not-found`, `masked`, ...
    pub load: String,
    /// `active`, `inactive`, `failed`, `activating`, ...
    pub active: String,
    /// `enabled`, `disabled`, `static`, `masked`, or empty.
    pub file: String,
    /// Whether the unit's file changed since systemd read it.
    pub needs_reload: bool,
}

impl UnitState {
    /// Returns whether the unit runs.
    pub fn is_active(&self) -> bool {
        matches!(self.active.as_str(), "active" | "reloading")
    }

    /// Returns whether the unit runs or is starting.
    pub fn is_starting_or_active(&self) -> bool {
        self.is_active() || self.active == "activating"
    }

    /// Returns whether it starts at boot; a unit that cannot be enabled counts as enabled.
    pub fn is_enabled(&self) -> bool {
        matches!(
            self.file.as_str(),
            "enabled" | "enabled-runtime" | "static" | "alias" | "indirect" | "generated"
        )
    }
}

/// What is known of one host. What was not asked, or may have changed since, is unknown.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Observed {
    /// What the host is.
    pub system: System,
    /// Handlers that were notified and have not run.
    pub pending: BTreeSet<String>,
    /// Names of all swap devices in use.
    pub swaps: Option<Vec<String>>,
    /// Membership.
    pub kubernetes: Option<Kubernetes>,
    /// The link-layer address that answers at the address of [`Fact::Claimed`]; `None` where nobody answers or the host
    /// was not asked.
    pub claimed_by: Option<String>,
    /// How the endpoint answers from here; `None` where it was not asked, or nothing here can ask.
    pub reach: Option<Reach>,
    /// What may keep the host from becoming a part of a cluster; `None` where it was not asked.
    pub preflight: Option<Preflight>,
    /// Files that add to the services of [`Fact::Additions`], and are not quorate's by what stands in them; `None` where it was
    /// not asked.
    pub additions: Option<Vec<String>>,
    /// When the question was sent and when its answer was there, in milliseconds since 1970 by the controller's clock.
    pub asked: Option<(i64, i64)>,
    pub(super) files: BTreeMap<String, Option<FileState>>,
    pub(super) contents: BTreeMap<String, Vec<u8>>,
    pub(super) packages: BTreeMap<String, Option<String>>,
    pub(super) units: BTreeMap<String, UnitState>,
    pub(super) sysctls: BTreeMap<String, Option<String>>,
    pub(super) modules: BTreeMap<String, bool>,
    pub(super) users: BTreeMap<String, Option<UserState>>,
    pub(super) groups: BTreeMap<String, Option<u32>>,
    pub(super) mounts: BTreeMap<String, Option<MountState>>,
    pub(super) images: Option<BTreeSet<String>>,
    pub(super) ports: BTreeMap<u16, bool>,
    pub(super) pods: BTreeMap<String, bool>,
    pub(super) sessions: BTreeMap<IpAddr, BgpSession>,
    /// Manifests by their names.
    pub addons: BTreeMap<String, AddonState>,
}

/// How a BGP session is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BgpSession {
    /// It stands.
    Up,
    /// It does not.
    Down,
    /// It does not, and an AS number is not agreed on.
    OtherAs,
}

/// What is known of one thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known<T> {
    /// Not asked, or it may have changed since: known after apply.
    Unknown,
    /// This is how it was seen, or how it will be after the effects before.
    Is(T),
}

impl<T> Known<T> {
    fn of(value: Option<T>) -> Self {
        value.map_or(Self::Unknown, Self::Is)
    }

    /// Returns whether it is known and `test` holds.
    pub fn is(&self, test: impl FnOnce(&T) -> bool) -> bool {
        match self {
            Self::Is(value) => test(value),
            Self::Unknown => false,
        }
    }
}

impl Observed {
    /// Returns what lies at `path`; `Is(None)` where nothing does.
    pub fn file(&self, path: &str) -> Known<Option<&FileState>> {
        Known::of(self.files.get(path).map(Option::as_ref))
    }

    /// Returns a file's bytes, empty where there is no file.
    pub fn content(&self, path: &str) -> Known<&[u8]> {
        match self.files.get(path) {
            Some(None) => Known::Is(&[]),
            _ => Known::of(self.contents.get(path).map(Vec::as_slice)),
        }
    }

    /// Returns a package's version; `Is(None)` where it is not installed.
    pub fn package(&self, name: &str) -> Known<Option<&str>> {
        Known::of(self.packages.get(name).map(Option::as_deref))
    }

    /// Returns a unit's state.
    pub fn unit(&self, name: &str) -> Known<&UnitState> {
        Known::of(self.units.get(name))
    }

    /// Returns a kernel parameter's value, white space folded; `Is(None)` where the kernel has none.
    pub fn sysctl(&self, key: &str) -> Known<Option<&str>> {
        Known::of(self.sysctls.get(key).map(Option::as_deref))
    }

    /// Returns whether a kernel module is loaded or built in.
    pub fn module(&self, name: &str) -> Known<bool> {
        Known::of(self.modules.get(name).copied())
    }

    /// Returns a user; `Is(None)` where there is none of that name.
    pub fn user(&self, name: &str) -> Known<Option<&UserState>> {
        Known::of(self.users.get(name).map(Option::as_ref))
    }

    /// Returns a group's number; `Is(None)` where there is none of that name.
    pub fn group(&self, name: &str) -> Known<Option<u32>> {
        Known::of(self.groups.get(name).copied())
    }

    /// Returns what is mounted at a path; `Is(None)` where nothing is.
    pub fn mount(&self, path: &str) -> Known<Option<&MountState>> {
        Known::of(self.mounts.get(path).map(Option::as_ref))
    }

    /// Returns the names of all images.
    pub fn images(&self) -> Known<&BTreeSet<String>> {
        Known::of(self.images.as_ref())
    }

    /// Returns whether something listens on a TCP port.
    pub fn listens(&self, port: u16) -> Known<bool> {
        Known::of(self.ports.get(&port).copied())
    }

    /// Returns whether a container of a static pod runs.
    pub fn pod(&self, name: &str) -> Known<bool> {
        Known::of(self.pods.get(name).copied())
    }

    /// Returns whether BGP sessions with all of these stand.
    pub fn peers_with(&self, all: &[IpAddr]) -> Known<bool> {
        let each: Option<Vec<BgpSession>> =
            all.iter().map(|p| self.sessions.get(p).copied()).collect();
        Known::of(each.map(|each| each.into_iter().all(|s| s == BgpSession::Up)))
    }

    /// Returns whether a BGP session with at least one of these stands.
    pub fn any_peer_of(&self, all: &[IpAddr]) -> Known<bool> {
        let each: Option<Vec<BgpSession>> =
            all.iter().map(|p| self.sessions.get(p).copied()).collect();
        Known::of(each.map(|each| each.contains(&BgpSession::Up)))
    }

    /// Returns those of these BGP peers with which no session stands, as far as they were asked for.
    pub fn peers_without(&self, all: &[IpAddr]) -> Vec<IpAddr> {
        let down = |peer: &&IpAddr| {
            let session = self.sessions.get(peer);
            session.is_some_and(|session| *session != BgpSession::Up)
        };
        all.iter().filter(down).copied().collect()
    }

    /// Returns those of these BGP peers with which an AS number is not agreed on.
    pub fn peers_of_another_as(&self, all: &[IpAddr]) -> Vec<IpAddr> {
        let other = |peer: &&IpAddr| self.sessions.get(peer) == Some(&BgpSession::OtherAs);
        all.iter().filter(other).copied().collect()
    }

    /// Returns the interface that carries `address`, with the prefix length.
    pub fn interface_of(&self, address: IpAddr) -> Option<(&str, u8)> {
        self.system
            .addresses
            .iter()
            .find(|(_, a, _)| *a == address)
            .map(|(i, _, p)| (i.as_str(), *p))
    }

    /// Forgets what a command that may write anywhere could have changed: files and units.
    pub(super) fn forget(&mut self) {
        self.files.clear();
        self.contents.clear();
        self.units.clear();
    }

    /// Forgets what a package may bring: files and units that were not there. Those that are there stay as they are
    /// (dpkg's `--force-confold`), and what is written is compared with them on the host once more.
    pub(super) fn forget_absent(&mut self) {
        self.files.retain(|_, state| state.is_some());
        self.units.retain(|_, unit| unit.load == "loaded");
    }

    /// Forgets what lies below `path`.
    pub(super) fn forget_below(&mut self, path: &str) {
        let below = |p: &str| {
            p.strip_prefix(path)
                .is_some_and(|rest| rest.starts_with('/'))
        };
        self.files.retain(|p, _| !below(p));
        self.contents.retain(|p, _| !below(p));
    }

    /// Forgets that directories above `path` are absent: what is made in them makes them.
    pub(super) fn forget_parents(&mut self, path: &str) {
        let above = |p: &str| {
            path.strip_prefix(p)
                .is_some_and(|rest| rest.starts_with('/'))
        };
        self.files.retain(|p, state| state.is_some() || !above(p));
    }

    /// Takes over all that a later look saw.
    pub fn update(&mut self, newer: Observed) {
        self.system = newer.system;
        self.pending = newer.pending;
        self.swaps = newer.swaps.or(self.swaps.take());
        self.kubernetes = newer.kubernetes.or(self.kubernetes.take());
        self.reach = newer.reach.or(self.reach.take());
        self.preflight = newer.preflight.or(self.preflight.take());
        self.additions = newer.additions.or(self.additions.take());
        // It belongs to the clock in `system`.
        self.asked = newer.asked;
        for path in newer.files.keys() {
            self.contents.remove(path);
        }
        self.files.extend(newer.files);
        self.contents.extend(newer.contents);
        self.packages.extend(newer.packages);
        self.units.extend(newer.units);
        self.sysctls.extend(newer.sysctls);
        self.modules.extend(newer.modules);
        self.users.extend(newer.users);
        self.groups.extend(newer.groups);
        self.mounts.extend(newer.mounts);
        self.images = newer.images.or(self.images.take());
        self.ports.extend(newer.ports);
        self.pods.extend(newer.pods);
        self.sessions.extend(newer.sessions);
        self.addons.extend(newer.addons);
    }
}
