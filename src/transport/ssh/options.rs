//! What can be set about SSH.

use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};

use super::keyring::Keyring;
use crate::transport::{Access, AgentChoice};

/// The identity files that `ssh` tries by itself, in its order (ssh_config(5), IdentityFile), without those that need hardware.
const IDENTITIES: [&str; 3] = ["id_rsa", "id_ecdsa", "id_ed25519"];

/// The system's known_hosts files (ssh_config(5), GlobalKnownHostsFile).
const SYSTEM: [&str; 2] = ["/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2"];

/// What happens to a host whose key is not on record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HostKeyPolicy {
    /// It is refused, with the key's fingerprint and how to trust it.
    #[default]
    Strict,
    /// Its key is written to the first known_hosts file. A changed or revoked key is refused all the same.
    AcceptNew,
}

/// Files, policies and deadlines of SSH.
#[derive(Debug, Clone)]
pub struct SshOptions {
    /// known_hosts files. All are read; new keys go to the first.
    pub known_hosts: Vec<Utf8PathBuf>,
    /// What happens to a host that none of them knows.
    pub host_key_policy: HostKeyPolicy,
    /// Private keys to try for a target that names none, after the agent's. Those that do not exist are passed over.
    pub identities: Vec<Utf8PathBuf>,
    /// The agent's socket.
    pub agent: Option<Utf8PathBuf>,
    /// Encrypted keys that were opened with their passphrases.
    pub keyring: Keyring,
    /// The deadline of each of: name and TCP, handshake, authentication.
    pub connect_timeout: Duration,
    /// The deadline for opening a channel, and again for the host's answer to an exec request.
    pub reply_timeout: Duration,
    /// How long an exec may neither send nor receive anything. None: as long as the connection lives.
    pub idle_timeout: Option<Duration>,
    /// How often a silent host is asked for a sign of life; after three unanswered ones the connection counts as lost.
    pub keepalive_interval: Duration,
}

impl Default for SshOptions {
    /// Returns options with no file at all and the usual deadlines.
    fn default() -> Self {
        Self {
            known_hosts: Vec::new(),
            host_key_policy: HostKeyPolicy::Strict,
            identities: Vec::new(),
            agent: None,
            keyring: Keyring::default(),
            // A host that boots answers late; ten seconds is past any network, and short for a person.
            connect_timeout: Duration::from_secs(10),
            // sshd forks and the login shell reads its files: slow on a loaded host, never this slow.
            reply_timeout: Duration::from_secs(30),
            // Waits report progress; what is silent this long hangs.
            idle_timeout: Some(Duration::from_secs(30 * 60)),
            // Below the shortest NAT timeouts in the field (30 s for some firewalls).
            keepalive_interval: Duration::from_secs(15),
        }
    }
}

impl SshOptions {
    /// Returns the options that a user of `ssh` expects: the known_hosts files and identities below `home`, the system's
    /// known_hosts, and the agent at `agent` (the value of SSH_AUTH_SOCK).
    pub fn for_user(home: Option<&Utf8Path>, agent: Option<Utf8PathBuf>) -> Self {
        let mut options = Self {
            agent,
            ..Self::default()
        };
        if let Some(home) = home {
            let directory = home.join(".ssh");
            options.known_hosts.push(directory.join("known_hosts"));
            options.known_hosts.push(directory.join("known_hosts2"));
            options.identities = IDENTITIES.iter().map(|name| directory.join(name)).collect();
        }
        // ssh_config(5), GlobalKnownHostsFile.
        options.known_hosts.extend(SYSTEM.map(Utf8PathBuf::from));
        options
    }

    /// Returns the known_hosts files for one host: what is said of it, else these. New keys go to the first.
    pub(super) fn known_hosts_for(&self, access: &Access) -> Vec<Utf8PathBuf> {
        let (system, own): (Vec<_>, Vec<_>) = self
            .known_hosts
            .iter()
            .cloned()
            .partition(|file| SYSTEM.contains(&file.as_str()));
        let mut files = access.known_hosts.clone().unwrap_or(own);
        if files.is_empty() {
            // No new key is to go into the system's files.
            files.push("/dev/null".into());
        }
        files.extend(access.system_known_hosts.clone().unwrap_or(system));
        files
    }

    /// Returns the socket of the agent that signs for one host.
    pub(super) fn agent_for(&self, access: &Access) -> Option<Utf8PathBuf> {
        match &access.agent {
            AgentChoice::Usual => self.agent.clone(),
            AgentChoice::None => None,
            AgentChoice::Socket(socket) => Some(socket.clone()),
        }
    }

    /// Returns [`SshOptions::for_user`] with HOME and SSH_AUTH_SOCK of this process.
    pub fn from_environment() -> Self {
        let variable = |name: &str| {
            std::env::var(name)
                .ok()
                .filter(|v| !v.is_empty())
                .map(Utf8PathBuf::from)
        };
        Self::for_user(variable("HOME").as_deref(), variable("SSH_AUTH_SOCK"))
    }
}
