//! The host keys that a host shows, beside what is on record about it; and writing them down once somebody has said yes.

use std::borrow::Cow;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use camino::{Utf8Path, Utf8PathBuf};
use russh::client::{Config, Handler, connect_stream};
use russh::keys::{Algorithm, Certificate, HashAlg, PublicKey, PublicKeyOrCertificate};
use russh::{AlgorithmKind, Preferred};
use tokio::time::timeout;

use super::connector::{Address, CIPHERS, HOST_KEYS, SshConnector};
use super::known_hosts::{Book, Known, Refusal, Standing, WRITING, key_type, short_type};
use super::options::HostKeyPolicy;
use super::reach;
use super::wire::Wire;
use crate::transport::{Target, TransportError};

/// The keys of one host.
#[derive(Debug, Clone)]
pub struct HostKeys {
    /// The host as known_hosts writes it: `name`, or `[name]:port`.
    pub name: String,
    /// A key for each type that the host offers: ed25519, ecdsa, rsa.
    pub keys: Vec<ShownKey>,
    /// Why the host's certificate does not do, where an authority is on record for it and it shows one.
    pub certificate: Option<String>,
    known: Known,
}

/// A key that a host has proved to hold.
#[derive(Debug, Clone)]
pub struct ShownKey {
    /// `ed25519`, `ecdsa` or `rsa`.
    pub kind: &'static str,
    /// `SHA256:` and 43 characters, as ssh-keygen -l shows it.
    pub fingerprint: String,
    /// What is on record.
    pub standing: Standing,
    key: PublicKey,
}

/// What was written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trusted {
    /// How many keys were added.
    pub keys: usize,
    /// Hosts (as [`HostKeys::name`]) of which nothing was written, since what is on record has changed meanwhile.
    pub left_out: Vec<String>,
}

/// Why nothing could be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// There is no file to write to.
    #[error("no known_hosts file is set")]
    NoFile,
    /// It cannot be read or written.
    #[error("{file} cannot be written: {reason}")]
    File {
        /// The file.
        file: Utf8PathBuf,
        /// What the system said.
        reason: String,
    },
    /// Another known_hosts file, or a key, cannot be read.
    #[error("{0}")]
    Unreadable(String),
}

impl HostKeys {
    /// Returns the known_hosts file that its new keys go to.
    pub fn file(&self) -> Option<&Utf8Path> {
        self.known.file()
    }

    /// Returns whether its new keys may be added: a host with a changed or revoked key is nobody to learn keys from.
    pub fn is_sound(&self) -> bool {
        !self.keys.iter().any(|key| key.standing.contradicts())
    }

    /// Returns the keys that are to be added to known_hosts.
    pub fn new_keys(&self) -> impl Iterator<Item = &ShownKey> {
        let is_sound = self.is_sound();
        self.keys
            .iter()
            .filter(move |key| is_sound && key.standing == Standing::New)
    }
}

impl SshConnector {
    /// Returns all host keys that the target shows, one handshake for each type; nobody logs in.
    pub async fn host_keys(&self, target: &Target) -> Result<HostKeys, TransportError> {
        let address = Address(&target.address, target.port).to_string();
        let refused = |refusal: Refusal| refusal.of(&address);
        let known = self.known(target).await.map_err(refused)?;
        let mut keys = Vec::new();
        let mut lacking = None;
        for kind in ["ed25519", "ecdsa", "rsa"] {
            match self.shown(target, kind, false).await? {
                Ok((key, _)) => keys.push(key),
                Err(unreached) => lacking = Some(unreached),
            }
        }
        if let (true, Some(unreached)) = (keys.is_empty(), lacking) {
            return Err(unreached);
        }
        let standing = known.standing(&keys).map_err(refused)?;
        let mut host = HostKeys {
            name: known.name().to_owned(),
            keys: Vec::new(),
            certificate: None,
            known: known.clone(),
        };
        for (key, standing) in keys.into_iter().zip(standing) {
            host.keys.push(ShownKey {
                kind: short_type(&key.algorithm()),
                fingerprint: key.fingerprint(HashAlg::Sha256).to_string(),
                standing,
                key,
            });
        }
        if known.has_authority()
            && let Ok((_, Some(shown))) = self.shown(target, "", true).await?
        {
            match known.check_by_certificate(&shown) {
                Ok(()) => host.vouch(&PublicKey::from(shown.public_key().clone())),
                Err(refusal) => host.certificate = Some(refusal.reason),
            }
        }
        Ok(host)
    }

    /// Returns what the host shows where keys of one type alone are asked for, or certificates of any; the inner error says
    /// that it has none.
    async fn shown(
        &self,
        target: &Target,
        kind: &str,
        certificates: bool,
    ) -> Result<Result<Shown, TransportError>, TransportError> {
        let address = Address(&target.address, target.port).to_string();
        let own = target.access.connect_timeout;
        let limit = own.unwrap_or(self.options.connect_timeout);
        // A key that nobody has looked at is not written down on the way either, whatever ssh's configuration says.
        let mut jumps = target.jumps.clone();
        for jump in &mut jumps {
            jump.access.host_key_policy = Some(HostKeyPolicy::Strict);
        }
        let over = self.jump(&jumps).await?;
        let carrier = self
            .carrier(target, &address, over.as_deref(), limit)
            .await?;
        let (wire, _cutter) = Wire::new(carrier);
        let greeting = wire.greeting();
        let wanted: Vec<Algorithm> = HOST_KEYS
            .into_iter()
            .filter(|algorithm| certificates || short_type(algorithm) == kind)
            .collect();
        let config = Config {
            preferred: Preferred {
                host_key_certificates: if certificates {
                    Cow::Owned(wanted.clone())
                } else {
                    Cow::Borrowed(&[])
                },
                key: Cow::Owned(wanted),
                cipher: Cow::Borrowed(&CIPHERS),
                ..Preferred::DEFAULT
            },
            ..Config::default()
        };
        let seen = Arc::new(Mutex::new(None));
        let witness = Witness(seen.clone());
        let end = timeout(limit, connect_stream(Arc::new(config), wire, witness)).await;
        let seen = seen.lock().unwrap_or_else(PoisonError::into_inner).take();
        match (seen, end) {
            (Some(shown), _) => Ok(Ok(shown)),
            (None, Ok(Err(error))) => {
                let unreached = reach::ended(&greeting.heard(), &error).at(&address);
                let is_lacking = matches!(
                    error,
                    russh::Error::NoCommonAlgo {
                        kind: AlgorithmKind::Key,
                        ..
                    }
                );
                if is_lacking {
                    Ok(Err(unreached))
                } else {
                    Err(unreached)
                }
            }
            (None, Ok(Ok(_)) | Err(_)) => {
                Err(reach::overdue(&greeting.heard(), limit).at(&address))
            }
        }
    }
}

impl HostKeys {
    /// Takes note that an authority vouches for the host, by the certificate of that key.
    fn vouch(&mut self, signed: &PublicKey) {
        for key in &mut self.keys {
            if key.standing == Standing::New {
                key.standing = if key.key.key_data() == signed.key_data() {
                    Standing::Certified
                } else {
                    Standing::Unneeded
                };
            }
        }
    }
}

/// A host's key, and the certificate that it was shown in.
type Shown = (PublicKey, Option<Certificate>);

/// Takes a host's key down and goes: the handshake has proved by then that the host holds it.
struct Witness(Arc<Mutex<Option<Shown>>>);

impl Handler for Witness {
    type Error = russh::Error;

    async fn check_server_key(
        &mut self,
        shown: &PublicKeyOrCertificate,
    ) -> Result<bool, russh::Error> {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *seen = Some(match shown {
            PublicKeyOrCertificate::PublicKey { key, .. } => (key.clone(), None),
            PublicKeyOrCertificate::Certificate(certificate) => (
                PublicKey::from(certificate.public_key().clone()),
                Some(certificate.clone()),
            ),
        });
        Ok(false)
    }
}

/// Adds the new keys of these hosts to known_hosts, in one write to each file. What is on record is looked at once more.
pub fn trust(hosts: &[HostKeys]) -> Result<Trusted, TrustError> {
    let unreadable = |refusal: Refusal| TrustError::Unreadable(refusal.reason);
    let _writing = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
    let mut books: BTreeMap<&Utf8Path, (Book, String)> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    let ambiguous = ambiguous(hosts);
    let mut trusted = Trusted::default();
    for host in hosts.iter().filter(|host| host.new_keys().next().is_some()) {
        let file = host.file().ok_or(TrustError::NoFile)?;
        let (book, lines) = match books.entry(file) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                let book = host
                    .known
                    .open(file)
                    .map_err(|error| failed(file, &error))?;
                entry.insert((book, String::new()))
            }
        };
        let known = host.known.again().map_err(unreadable)?;
        let keys: Vec<PublicKey> = host.keys.iter().map(|shown| shown.key.clone()).collect();
        let now = known.standing(&keys).map_err(unreadable)?;
        let is_fit = |standing: &Standing| matches!(standing, Standing::New | Standing::Known);
        if ambiguous.contains(host.name.as_str()) || !now.iter().all(is_fit) {
            trusted.left_out.push(host.name.clone());
            continue;
        }
        let fresh = host
            .keys
            .iter()
            .zip(&now)
            .filter(|(shown, now)| shown.standing == Standing::New && **now == Standing::New);
        for (shown, _) in fresh {
            let blob = shown
                .key
                .to_bytes()
                .map_err(|error| TrustError::Unreadable(error.to_string()))?;
            // The same host may stand in the inventory under two names.
            if seen.insert((file, &host.name, blob.clone())) {
                let kind = key_type(&shown.key.algorithm());
                let line = book.lines(&host.name, std::iter::once((kind.as_str(), &*blob)));
                lines.push_str(&line);
            }
        }
    }
    for (file, (book, lines)) in &mut books {
        book.append(lines).map_err(|error| failed(file, &error))?;
        trusted.keys += lines.lines().count();
    }
    Ok(trusted)
}

/// Returns the names under which hosts have shown different keys of one type: with both on record each would pass for the other.
fn ambiguous(hosts: &[HostKeys]) -> BTreeSet<&str> {
    let mut first: BTreeMap<(&str, &str), &PublicKey> = BTreeMap::new();
    let shown = hosts
        .iter()
        .flat_map(|host| host.keys.iter().map(move |shown| (host, shown)));
    shown
        .filter(|(host, shown)| {
            let one = first.entry((&host.name, shown.kind)).or_insert(&shown.key);
            one.key_data() != shown.key.key_data()
        })
        .map(|(host, _)| host.name.as_str())
        .collect()
}

fn failed(file: &Utf8Path, error: &std::io::Error) -> TrustError {
    TrustError::File {
        file: file.to_owned(),
        reason: error.to_string(),
    }
}

/// Returns the command that removes what a file says of the host.
pub fn removal(host: &HostKeys, file: &Utf8Path) -> String {
    super::known_hosts::removal(&host.name, file)
}
