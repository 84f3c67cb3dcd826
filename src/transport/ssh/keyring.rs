//! Encrypted key files: which have to be opened with a passphrase, and those that were.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use russh::keys::agent::client::AgentClient;
use russh::keys::{PrivateKey, PublicKey};
use tokio::time::timeout;

use super::identity::{self, Identity};
use super::options::SshOptions;
use crate::model::Secret;
use crate::transport::Target;

/// How long an agent may take to name its keys.
const AGENT: Duration = Duration::from_secs(5);

/// Keys that were opened, by their files; shared by all who have a clone.
#[derive(Clone, Default)]
pub struct Keyring(Arc<Mutex<HashMap<Utf8PathBuf, Arc<PrivateKey>>>>);

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keyring")
    }
}

impl Keyring {
    /// Returns the opened key of a file.
    pub(super) fn get(&self, path: &Utf8Path) -> Option<Arc<PrivateKey>> {
        let keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        keys.get(path).cloned()
    }
}

/// The passphrase opens nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("wrong passphrase")]
pub struct WrongPassphrase;

/// Opens an encrypted key file, for all connections with these options.
///
/// # Errors
/// The passphrase is another one.
pub fn unlock(
    options: &SshOptions,
    path: &Utf8Path,
    passphrase: &Secret<String>,
) -> Result<(), WrongPassphrase> {
    let key = identity::open(path, passphrase).ok_or(WrongPassphrase)?;
    let mut keys = options
        .keyring
        .0
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    keys.insert(path.to_owned(), Arc::new(key));
    Ok(())
}

/// Returns the key files without whose passphrase a host or jump host is left without a key: those that are configured, unless one
/// of them can be used as it is; the usual ones where neither the agent nor another file has any key. None for hosts with a
/// password. Each once, in order.
pub async fn locked(options: &SshOptions, targets: &[&Target]) -> Vec<Utf8PathBuf> {
    let mut found: Vec<Utf8PathBuf> = Vec::new();
    let mut seen = HashSet::new();
    let mut agents: HashMap<Option<Utf8PathBuf>, Vec<PublicKey>> = HashMap::new();
    let all = targets
        .iter()
        .flat_map(|target| target.jumps.iter().chain([*target]));
    for target in all {
        let access = &target.access;
        let socket = options.agent_for(access);
        let asked = (target.keys.clone(), socket.clone(), access.identities_only);
        if access.password.is_some() || !seen.insert(asked) {
            continue;
        }
        let is_usual = target.keys.is_empty();
        let files = if is_usual {
            &options.identities
        } else {
            &target.keys
        };
        let loaded: Vec<_> = files
            .iter()
            .map(|path| (path, identity::load(path)))
            .collect();
        let is_plain = |key: &Result<Identity, _>| matches!(key, Ok(Identity::Key(_)));
        let is_locked = |key: &Result<Identity, identity::IdentityError>| match key {
            Ok(Identity::Agent { locked, .. }) => *locked,
            Err(identity::IdentityError::Encrypted(_)) => true,
            _ => false,
        };
        if loaded.iter().any(|(_, key)| is_plain(key))
            || !loaded.iter().any(|(_, key)| is_locked(key))
        {
            continue;
        }
        if !agents.contains_key(&socket) {
            agents.insert(socket.clone(), held(socket.as_deref()).await);
        }
        let held = agents.get(&socket).map_or(&[][..], Vec::as_slice);
        let in_agent = |key: &Result<Identity, _>| match key {
            Ok(Identity::Agent { key, .. }) => {
                held.iter().any(|held| held.key_data() == key.key_data())
            }
            _ => false,
        };
        let any_held = is_usual && !access.identities_only && !held.is_empty();
        if any_held || loaded.iter().any(|(_, key)| in_agent(key)) {
            continue;
        }
        for (path, _) in loaded.iter().filter(|(_, key)| is_locked(key)) {
            if !found.contains(path) {
                found.push((*path).clone());
            }
        }
    }
    found
}

/// Returns the keys that an agent holds; none where it does not answer, which authentication tells of.
async fn held(socket: Option<&Utf8Path>) -> Vec<PublicKey> {
    let Some(socket) = socket else {
        return Vec::new();
    };
    let ask = async {
        let mut agent = AgentClient::connect_uds(socket).await.ok()?;
        agent.request_identities().await.ok()
    };
    let held = timeout(AGENT, ask).await.ok().flatten().unwrap_or_default();
    held.iter()
        .map(|identity| identity.public_key().into_owned())
        .collect()
}
