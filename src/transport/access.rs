//! What may be said of one host's way in beside its address: keys, password, whom to trust, deadlines.

use std::time::Duration;

use camino::Utf8PathBuf;

use super::ssh::HostKeyPolicy;
use crate::model::Secret;

/// Which agent signs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum AgentChoice {
    /// That of the options: SSH_AUTH_SOCK's.
    #[default]
    Usual,
    /// None (`IdentityAgent none`).
    None,
    /// The one at this socket.
    Socket(Utf8PathBuf),
}

/// What is said of one host; where nothing is said, [`super::ssh::SshOptions`] counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Access {
    /// Certificates to log in with (`CertificateFile`), before all keys.
    pub certificates: Vec<Utf8PathBuf>,
    /// Of the agent's keys those alone that are configured (`IdentitiesOnly`).
    pub identities_only: bool,
    /// Which agent signs (`IdentityAgent`).
    pub agent: AgentChoice,
    /// `ansible_password`, or the answer to `-k`. With one, only keys that are configured are tried before it.
    pub password: Option<Secret<String>>,
    /// The name in known_hosts (`HostKeyAlias`), without the port.
    pub host_key_name: Option<String>,
    /// The user's known_hosts files (`UserKnownHostsFile`).
    pub known_hosts: Option<Vec<Utf8PathBuf>>,
    /// The system's known_hosts files (`GlobalKnownHostsFile`).
    pub system_known_hosts: Option<Vec<Utf8PathBuf>>,
    /// What happens to an unknown host key (`StrictHostKeyChecking`).
    pub host_key_policy: Option<HostKeyPolicy>,
    /// `ConnectTimeout`.
    pub connect_timeout: Option<Duration>,
    /// `ServerAliveInterval`.
    pub alive_interval: Option<Duration>,
}
