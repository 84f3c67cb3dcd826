//! The ways to hold the API's address, and their profiles.

use std::fmt;

use super::known::WAYS;

/// How the control planes are reached under one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Way {
    /// keepalived and haproxy as services of the load-balancer hosts.
    KeepalivedHaproxy,
    /// keepalived and haproxy as static pods of the control planes.
    KeepalivedHaproxyPods,
    /// kube-vip as a static pod, announcing the address by ARP.
    KubeVipArp,
    /// kube-vip as a static pod, announcing the address by BGP.
    KubeVipBgp,
    /// A load balancer that somebody else runs.
    External,
}

impl Way {
    /// Returns all ways, in the order of [`WAYS`].
    pub const ALL: [Self; 5] = [
        Self::KeepalivedHaproxy,
        Self::KeepalivedHaproxyPods,
        Self::KubeVipArp,
        Self::KubeVipBgp,
        Self::External,
    ];

    /// Returns the way's name in the inventory.
    pub fn name(self) -> &'static str {
        WAYS.iter()
            .zip(Self::ALL)
            .find(|(_, way)| *way == self)
            .map_or("", |(name, _)| name)
    }

    /// Returns the way of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        WAYS.iter()
            .zip(Self::ALL)
            .find(|(n, _)| **n == name)
            .map(|(_, way)| way)
    }

    /// Returns whether kube-vip holds the address.
    pub fn uses_kube_vip(self) -> bool {
        matches!(self, Self::KubeVipArp | Self::KubeVipBgp)
    }

    /// Returns whether quorate holds a virtual address.
    pub fn has_vip(self) -> bool {
        self != Self::External
    }

    /// Returns whether neighbours find the address by asking on the link (ARP, RFC 826): it has to lie in their network.
    pub fn is_on_the_link(self) -> bool {
        self.uses_vrrp() || self == Self::KubeVipArp
    }

    /// Returns whether keepalived holds the address.
    pub fn uses_vrrp(self) -> bool {
        matches!(self, Self::KeepalivedHaproxy | Self::KeepalivedHaproxyPods)
    }

    /// Returns whether hosts other than the control planes may hold the address: static pods need a kubelet that is
    /// part of the cluster.
    pub fn takes_other_hosts(self) -> bool {
        matches!(self, Self::KeepalivedHaproxy)
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Which values a way works with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Profile {
    /// Tuned: fails over within a second.
    Fast,
    /// Those of kubeadm's document on highly available clusters, word for word.
    Seed,
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Fast => "fast",
            Self::Seed => "seed",
        })
    }
}
