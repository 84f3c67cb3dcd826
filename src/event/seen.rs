//! How a host was seen to stand in its cluster.

use std::net::IpAddr;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a host is in its cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// It runs an API server.
    ControlPlane,
    /// It carries the load balancer.
    LoadBalancer,
    /// It runs pods alone.
    Worker,
}

impl Part {
    /// Returns it in words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ControlPlane => "control plane",
            Self::LoadBalancer => "load balancer",
            Self::Worker => "worker",
        }
    }
}

/// A certificate on a host, and how long it is good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Certificate {
    /// Whose it is: `apiserver`, `kube-vip`.
    pub name: String,
    /// When it ends.
    pub not_after: Timestamp,
    /// Whole days until then, by the host's own clock; negative where it has ended.
    pub days: i64,
}

/// How a host was seen. What nobody could say is absent, which is not the same as "down".
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Seen {
    /// What it is to be, by the inventory.
    pub parts: Vec<Part>,
    /// The virtual address that it holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vip: Option<IpAddr>,
    /// Its node, such as `Ready v1.36.3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Its API server, such as `ready`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api: Option<String>,
    /// Its member of etcd, such as `leader`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etcd: Option<String>,
    /// What is not as it should be, each in a few words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ill: Vec<String>,
    /// Certificates that were looked at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<Certificate>,
}

impl Seen {
    pub(super) fn texts(&mut self) -> impl Iterator<Item = &mut String> {
        let said = [&mut self.node, &mut self.api, &mut self.etcd];
        let names = self.certificates.iter_mut().map(|c| &mut c.name);
        said.into_iter().flatten().chain(&mut self.ill).chain(names)
    }
}
