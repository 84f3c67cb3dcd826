//! What may keep a host from becoming a part of a cluster: what is asked before anything changes, and the answers.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// What is asked of a host beside the facts that are always asked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Questions {
    /// Whether it is to be a node, and not a load balancer alone: by that the host tells whether it was asked before.
    pub node: bool,
    /// The endpoint's name, where it is one.
    pub endpoint: Option<String>,
    /// Whether only what /etc/hosts has of that name counts: it will be written there.
    pub in_hosts: bool,
    /// TCP ports that have to be free.
    pub ports: Vec<u16>,
    /// Kernel modules that will be loaded.
    pub modules: Vec<String>,
}

/// What a host answered that is to become a part of a cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Preflight {
    /// The file systems of the paths that a cluster writes to.
    pub disks: Vec<Disk>,
    /// Who listens on the ports that have to be free.
    pub listeners: Vec<Listener>,
    /// Modules that are neither loaded nor there to be loaded (modprobe(8), `--dry-run`).
    pub missing_modules: Vec<String>,
    /// The host's own name, and what it makes of it; `None` where nothing here can ask.
    pub own_name: Option<(String, Resolved)>,
    /// What the host makes of the endpoint's name; `None` where it is none, or nothing here can ask.
    pub endpoint: Option<Resolved>,
    /// The version of cgroups (cgroups(7)), 1 or 2.
    pub cgroup: Option<u8>,
    /// Whether SELinux enforces its policy.
    pub enforces: bool,
    /// Booleans of that policy, as far as it has those that were asked for.
    pub booleans: BTreeMap<String, bool>,
    /// For whom a proxy is set: `systemd`, which hands it to all that it starts, `containerd`, `kubelet`.
    pub proxied: BTreeSet<String>,
    /// Whom each of them reaches without it (`NO_PROXY`).
    pub no_proxy: BTreeMap<String, String>,
    /// Who writes the rules of the host's firewall, as far as that is seen.
    pub firewall: Option<Firewall>,
    /// The kernel's rules, as each program prints them.
    pub rules: Vec<Rules>,
}

/// The file system that a path is on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// The path; nothing need be there yet.
    pub path: String,
    /// Where the file system is mounted.
    pub mount: String,
    /// Its size in KiB.
    pub total: u64,
    /// How much is free for root, in KiB.
    pub free: u64,
    /// Whether it is mounted read-only.
    pub read_only: bool,
}

/// A socket that listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// Its port.
    pub port: u16,
    /// Its address; unspecified where it listens on all.
    pub address: IpAddr,
    /// The process that holds it, and that one's name (proc(5), `comm`); `None` where it was not seen.
    pub process: Option<(u32, String)>,
}

/// What a host makes of a name (getent(1)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolved {
    /// These addresses.
    To(Vec<IpAddr>),
    /// Nothing.
    Unknown,
    /// It has no answer within two seconds.
    Silent,
}

/// Who writes the rules of a host's firewall.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Firewall {
    /// firewalld.
    Firewalld,
    /// ufw.
    Ufw,
}

/// Rules of the kernel's packet filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rules {
    /// `nft -j list ruleset`.
    Nft(String),
    /// The table `filter` by iptables-save(8).
    Iptables(String),
    /// More than 256 KiB of them, which were not sent.
    TooLong,
}
