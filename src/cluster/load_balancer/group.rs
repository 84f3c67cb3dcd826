//! Which VRRP group keepalived is in, as its configuration says: hosts of two groups do not hear each other.

use std::fmt;

/// keepalived's configuration, of the service and of the pod.
pub const CONFIGURATION: &str = "/etc/keepalived/keepalived.conf";

/// By what hosts of one group know each other's adverts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Group {
    /// `virtual_router_id`.
    pub id: u8,
    /// `vrrp_version`: adverts of 2 and 3 differ (RFC 3768, RFC 9568).
    pub version: u8,
    /// Whether adverts go to single hosts.
    pub unicast: bool,
}

impl Group {
    /// Returns what a configuration says (keepalived.conf(5)); `None` where it has no instance.
    pub fn read(text: &str) -> Option<Self> {
        let lines = || {
            text.lines()
                .map(|line| line.split(['!', '#']).next().unwrap_or_default())
        };
        let value = |name: &str| {
            lines().find_map(|line| {
                let mut words = line.split_whitespace();
                (words.next() == Some(name)).then(|| words.next())?
            })
        };
        Some(Self {
            id: value("virtual_router_id")?.parse().ok()?,
            // Without a word it speaks version 2.
            version: value("vrrp_version").map_or(Some(2), |text| text.parse().ok())?,
            unicast: lines().any(|line| line.trim_start().starts_with("unicast_peer")),
        })
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let to = if self.unicast { "single hosts" } else { "all" };
        write!(f, "group {} by VRRP {} to {to}", self.id, self.version)
    }
}
