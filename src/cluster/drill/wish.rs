//! What a drill is to do, and to whom.

use std::net::IpAddr;

use indexmap::IndexMap;

use crate::cluster::next::Refusal;
use crate::host::Fact;
use crate::model::{Endpoint, HostName, nearest};

/// How a target is taken away, by name; anything else is the user's own command.
const NAMES: [&str; 4] = ["isolate", "stop-service", "kill-api", "reboot"];
/// The name that stands for whoever holds the virtual address.
const HOLDER: &str = "holder";

/// `--target`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Whoever holds the virtual address when a round begins.
    Holder,
    /// This host.
    Host(HostName),
}

/// `--by`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum By {
    /// Its network is cut; a timer on the host gives it back.
    Isolate,
    /// The load balancer's units are stopped; a timer on the host starts them again.
    StopService,
    /// The process of its API server is killed; the kubelet starts it again.
    KillApi,
    /// It is booted again.
    Reboot,
    /// The user's own command, run on the controller.
    Command(String),
}

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// Who.
    pub target: Target,
    /// How.
    pub by: By,
    /// The command that brings back what the user's own command took away.
    pub restore: Option<String>,
    /// How many rounds; at least 1.
    pub times: u32,
    /// For how many seconds, where quorate decides that.
    pub seconds: u32,
    /// Whether the user agreed, by `--yes` or when asked.
    pub agreed: bool,
}

/// Who carries the virtual address when all is well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holding {
    /// Exactly one host.
    One,
    /// Each host that is well, and routers choose (BGP).
    Each,
    /// Nobody here: the load balancer is somebody else's.
    Nobody,
}

/// The cluster as a drill sees it.
#[derive(Debug, Clone)]
pub struct Site {
    /// Where clients reach the API.
    pub endpoint: Endpoint,
    /// The virtual address.
    pub vip: Option<IpAddr>,
    /// Who carries it.
    pub holding: Holding,
    /// Control planes, in inventory order.
    pub control_planes: Vec<HostName>,
    /// The other nodes.
    pub workers: Vec<HostName>,
    /// Hosts that carry the load balancer; empty where it is somebody else's.
    pub load_balancers: Vec<HostName>,
    /// systemd units of the load balancer; empty where it runs as pods.
    pub units: Vec<String>,
    /// What has to run on each of those hosts, units and pods, by name and by the question that tells.
    pub parts: IndexMap<HostName, Vec<(String, Fact)>>,
    /// The port that a load balancer listens on, where that tells whether it is well.
    pub frontend: Option<u16>,
    /// Each host's cluster address.
    pub addresses: IndexMap<HostName, IpAddr>,
}

impl By {
    /// Returns what `text` names. A word that is nearly one of the names is an error: as a command it would do nothing
    /// that anybody wants.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        Ok(match text {
            "isolate" => Self::Isolate,
            "stop-service" => Self::StopService,
            "kill-api" => Self::KillApi,
            "reboot" => Self::Reboot,
            "" => {
                return Err(format!(
                    "a way is missing: {}, or a command",
                    NAMES.join(", ")
                ));
            }
            word if !word.contains(|c: char| c.is_whitespace() || c == '/') => {
                if let Some(near) = nearest(word, NAMES.iter().copied()) {
                    return Err(format!(
                        "did you mean `{near}`? A command of your own of that name needs its path"
                    ));
                }
                Self::Command(word.to_string())
            }
            command => Self::Command(command.to_string()),
        })
    }

    /// Returns its name; of the user's own command the program alone, since a password may be among its words.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Isolate => NAMES[0],
            Self::StopService => NAMES[1],
            Self::KillApi => NAMES[2],
            Self::Reboot => NAMES[3],
            Self::Command(command) => {
                let mut words = command.split_whitespace();
                words
                    .find(|word| !word.contains('='))
                    .unwrap_or("a command")
            }
        }
    }

    /// Returns whether quorate decides for how long the target is away.
    pub fn is_timed(&self) -> bool {
        matches!(self, Self::Isolate | Self::StopService | Self::Command(_))
    }

    /// Returns whether connections to the target break.
    pub fn breaks_connections(&self) -> bool {
        matches!(self, Self::Isolate | Self::Reboot | Self::Command(_))
    }
}

impl Target {
    /// Returns what `text` names.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text == HOLDER {
            return Ok(Self::Holder);
        }
        HostName::new(text)
            .map(Self::Host)
            .map_err(|error| error.to_string())
    }
}

impl Wish {
    /// Returns one sentence on what is about to happen, for a question or a refusal.
    pub fn sentence(&self) -> String {
        let whom = match &self.target {
            Target::Holder => "the host that holds the virtual address".to_string(),
            Target::Host(host) => host.to_string(),
        };
        let seconds = self.seconds;
        let what = match &self.by {
            By::Isolate => format!("cuts {whom} off the network for {seconds} s"),
            By::StopService => format!("stops the load balancer on {whom} for {seconds} s"),
            By::KillApi => format!("kills the API server on {whom}"),
            By::Reboot => format!("reboots {whom}"),
            By::Command(_) => {
                let program = self.by.as_str();
                format!("runs `{program}` against {whom}, for {seconds} s")
            }
        };
        let times = match self.times {
            1 => String::new(),
            n => format!(", {n} times"),
        };
        format!("the drill {what}{times}")
    }

    /// Returns what is wrong with the wish for this site, before anybody is contacted.
    pub fn objection(&self, site: &Site) -> Option<String> {
        if let Target::Host(host) = &self.target
            && !site.control_planes.contains(host)
            && !site.load_balancers.contains(host)
        {
            return Some(format!(
                "`--target {host}` is neither a control plane nor a load balancer of this cluster"
            ));
        }
        if self.target == Target::Holder && site.holding != Holding::One {
            return Some(
                "`--target holder`: the virtual address is not on exactly one host with this load balancer; name a host"
                    .into(),
            );
        }
        let host = match &self.target {
            Target::Host(host) => Some(host),
            Target::Holder => None,
        };
        match &self.by {
            By::StopService if site.units.is_empty() => Some(
                "`--by stop-service` stops systemd units, and this load balancer has none".into(),
            ),
            By::StopService if host.is_some_and(|h| !site.load_balancers.contains(h)) => {
                Some("`--by stop-service`: the target carries no load balancer".into())
            }
            By::KillApi if host.is_some_and(|h| !site.control_planes.contains(h)) => {
                Some("`--by kill-api`: the target is no control plane".into())
            }
            By::KillApi
                if host.is_none()
                    && !site
                        .load_balancers
                        .iter()
                        .all(|h| site.control_planes.contains(h)) =>
            {
                Some(
                    "`--by kill-api`: the virtual address may be on a host without an API server; name a control plane with `--target`"
                        .into(),
                )
            }
            By::Command(_) => None,
            _ if self.restore.is_some() => {
                Some("`--restore` belongs to a command of your own in `--by`".into())
            }
            _ => None,
        }
    }

    /// Returns the host to be taken away, among those that carry the virtual address now.
    pub fn target(&self, holders: &[HostName]) -> Result<HostName, Refusal> {
        match (&self.target, holders) {
            (Target::Host(host), _) => Ok(host.clone()),
            (Target::Holder, [holder]) => Ok(holder.clone()),
            (Target::Holder, holders) => Err(Refusal {
                hosts: holders.to_vec(),
                message: format!(
                    "the virtual address is to be on exactly one host; it is on {}",
                    list(holders)
                ),
                help: "`quorate apply` mends it; or name a host with `--target`".into(),
            }),
        }
    }
}

impl Site {
    /// Returns where requests are made from: a worker sees the address as clients do; a control plane may become its
    /// holder. Never the target.
    pub fn prober(&self, target: &HostName) -> Option<&HostName> {
        let others = self.control_planes.iter().rev();
        self.workers
            .iter()
            .chain(others)
            .find(|host| *host != target)
    }

    /// Returns where the watch is open: a control plane, because admin.conf lies there alone; never the target.
    pub fn watcher(&self, target: &HostName) -> Option<&HostName> {
        self.control_planes.iter().rev().find(|h| *h != target)
    }

    /// Returns the hosts that a drill disturbs, and so locks: each host once.
    pub fn disturbed(&self) -> Vec<HostName> {
        let mut hosts: Vec<HostName> = self
            .control_planes
            .iter()
            .chain(&self.load_balancers)
            .cloned()
            .collect();
        hosts.sort();
        hosts.dedup();
        hosts
    }

    /// Returns the units that have to come back when the host boots.
    pub fn boot_units(&self, host: &HostName) -> Vec<&str> {
        let mut units = Vec::new();
        if self.load_balancers.contains(host) {
            units.extend(self.units.iter().map(String::as_str));
        }
        if self.control_planes.contains(host) || self.workers.contains(host) {
            units.push("kubelet");
        }
        units
    }
}

/// Returns names as a sentence has them; `no host` for none.
pub(super) fn list(hosts: &[HostName]) -> String {
    if hosts.is_empty() {
        return "no host".into();
    }
    let names: Vec<&str> = hosts.iter().map(HostName::as_str).collect();
    names.join(", ")
}
