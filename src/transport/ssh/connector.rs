//! Making a connection: TCP, handshake, host key, authentication, each with its deadline.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use russh::client::{Config, connect_stream};
use russh::keys::{Algorithm, EcdsaCurve, HashAlg};
use russh::{Preferred, cipher, compression};
use tokio::time::timeout;

use super::auth::Login;
use super::channel::{Session, SshTransport};
use super::client::{Client, ClientError, Fate};
use super::jumps::Jumps;
use super::known_hosts::{Known, Refusal, Shelf};
use super::options::SshOptions;
use super::reach::{self, seconds};
use super::wire::{Carrier, Wire};
use crate::transport::{Connect, Target, Transport, TransportError};

/// How much a host may send before it has to wait for us: a download fills a link of 50 ms at 300 MB/s.
const WINDOW: u32 = 16 << 20;

/// Messages of a channel that wait for its reader; with packets of 32 KiB as much as the window. Until it is full, a slow
/// reader does not hold up the connection's other channels.
const BACKLOG: usize = 512;

/// SSH's port (RFC 4253, section 4.2).
const SSH_PORT: u16 = 22;

/// Unanswered signs of life until a connection counts as lost.
const KEEPALIVES: usize = 3;

/// Host key algorithms, best first. SHA-1 signatures (`ssh-rsa`) are left out, as OpenSSH does since 8.8.
pub(super) const HOST_KEYS: [Algorithm; 6] = [
    Algorithm::Ed25519,
    Algorithm::Ecdsa {
        curve: EcdsaCurve::NistP256,
    },
    Algorithm::Ecdsa {
        curve: EcdsaCurve::NistP384,
    },
    Algorithm::Ecdsa {
        curve: EcdsaCurve::NistP521,
    },
    Algorithm::Rsa {
        hash: Some(HashAlg::Sha512),
    },
    Algorithm::Rsa {
        hash: Some(HashAlg::Sha256),
    },
];

/// AES-GCM first: with the instructions that every server has, it takes 40 % less time than ChaCha20.
pub(super) const CIPHERS: [cipher::Name; 5] = [
    cipher::AES_256_GCM,
    cipher::CHACHA20_POLY1305,
    cipher::AES_256_CTR,
    cipher::AES_192_CTR,
    cipher::AES_128_CTR,
];

/// What to do about a host that was reached, and then does not go on.
const SLOW: &str =
    "look at the host's load and at its sshd's log (journalctl -u ssh -u sshd), then run again";

/// Connects over SSH.
#[derive(Debug, Clone)]
pub struct SshConnector {
    pub(super) options: Arc<SshOptions>,
    jumps: Arc<Jumps>,
    shelf: Arc<Shelf>,
}

impl SshConnector {
    /// Returns a connector with these files, policies and deadlines.
    pub fn new(options: SshOptions) -> Self {
        Self {
            options: Arc::new(options),
            jumps: Arc::default(),
            shelf: Arc::default(),
        }
    }

    /// Returns the connection to the last jump host; `None` where there is none.
    pub(super) async fn jump(
        &self,
        jumps: &[Target],
    ) -> Result<Option<Arc<Session>>, TransportError> {
        let mut over = None;
        let mut way = String::new();
        for jump in jumps {
            // All that is said of it: two users of one host, or two keys, are two connections. Secrets show as stars.
            way.push_str(&format!("{jump:?}\n"));
            let (connector, target, before) = (self.clone(), jump.clone(), over.take());
            let dial =
                move || async move { connector.dial(&target, before).await.map(Arc::new) }.boxed();
            over = Some(self.jumps.get(&way, jump, dial).await?);
        }
        Ok(over)
    }

    /// Returns what carries the session.
    pub(super) async fn carrier(
        &self,
        target: &Target,
        address: &str,
        over: Option<&Session>,
        limit: Duration,
    ) -> Result<Carrier, TransportError> {
        if let Some(over) = over {
            let stream = self.jumps.stream(over, target, address, limit).await?;
            return Ok(Carrier::Jump(Box::new(stream)));
        }
        let unreachable = |reason: String| TransportError::Unreachable {
            address: address.to_owned(),
            reason,
            help: SLOW.to_owned(),
        };
        let host = target.address.trim_matches(['[', ']']);
        let stream = reach::tcp(host, target.port, limit)
            .await
            .map_err(|unreached| unreached.at(address))?;
        // Small packets leave at once: without it an exec waits 40 ms for an acknowledgement.
        stream
            .set_nodelay(true)
            .map_err(|error| unreachable(error.to_string()))?;
        Ok(Carrier::Tcp(stream))
    }

    async fn dial(
        &self,
        target: &Target,
        over: Option<Arc<Session>>,
    ) -> Result<Session, TransportError> {
        let address = Address(&target.address, target.port).to_string();
        let limit = target
            .access
            .connect_timeout
            .unwrap_or(self.options.connect_timeout);
        let unreachable = |reason: String| TransportError::Unreachable {
            address: address.clone(),
            reason,
            help: SLOW.to_owned(),
        };
        let host_key = |refusal: Refusal| refusal.of(&address);

        let known = self.known(target).await.map_err(host_key)?;
        let carrier = self
            .carrier(target, &address, over.as_deref(), limit)
            .await?;

        // From here on the cutter ends whatever russh has started, on every way out of this function.
        let (wire, cutter) = Wire::new(carrier);
        let greeting = wire.greeting();
        let config = Arc::new(self.config(&known, target));
        let fate = Arc::new(Fate::default());
        let (client, ended) = Client::new(known, fate.clone());
        let mut handle = match timeout(limit, connect_stream(config, wire, client)).await {
            Ok(Ok(handle)) => handle,
            Ok(Err(ClientError::HostKey(refusal))) => return Err(host_key(refusal)),
            Ok(Err(error @ ClientError::Unasked)) => return Err(unreachable(error.to_string())),
            Ok(Err(ClientError::Russh(error))) => {
                return Err(reach::ended(&greeting.heard(), &error).at(&address));
            }
            Err(_) => return Err(reach::overdue(&greeting.heard(), limit).at(&address)),
        };

        let login = Login::new(&mut handle, target, &self.options);
        match timeout(limit, login.run()).await {
            Ok(Ok(())) => {}
            Ok(Err(tried)) => {
                return Err(TransportError::Authentication {
                    address,
                    user: target.user.clone(),
                    tried,
                });
            }
            Err(_) => {
                return Err(unreachable(format!(
                    "it was reached, but authentication was not over within {}: the host or the agent does not answer",
                    seconds(limit)
                )));
            }
        }
        Ok(Session {
            handle,
            name: target.name.to_string(),
            address,
            over,
            fate,
            ended,
            options: self.options.clone(),
            _cutter: cutter,
        })
    }

    pub(super) async fn known(&self, target: &Target) -> Result<Known, Refusal> {
        let (access, shelf) = (&target.access, self.shelf.clone());
        let (address, port) = match &access.host_key_name {
            // An alias stands without the port (ssh_config(5), HostKeyAlias).
            Some(alias) => (alias.clone(), SSH_PORT),
            None => (
                target.address.trim_matches(['[', ']']).to_owned(),
                target.port,
            ),
        };
        let policy = access
            .host_key_policy
            .unwrap_or(self.options.host_key_policy);
        let files = self.options.known_hosts_for(access);
        let listed = access.known_hosts.is_some();
        let load = move || Known::load(&shelf, (&files, listed), policy, &address, port);
        tokio::task::spawn_blocking(load)
            .await
            .unwrap_or_else(|error| {
                Err(Refusal::new(
                    error.to_string(),
                    "this is a defect of quorate: please report it",
                ))
            })
    }

    fn config(&self, known: &Known, target: &Target) -> Config {
        let alive = target.access.alive_interval;

        let authorities = if known.has_authority() {
            HOST_KEYS.to_vec()
        } else {
            Vec::new()
        };
        Config {
            nodelay: true,
            window_size: WINDOW,
            channel_buffer_size: BACKLOG,
            keepalive_interval: Some(alive.unwrap_or(self.options.keepalive_interval)),
            keepalive_max: KEEPALIVES,
            // Not russh's inactivity timeout: it fires by chance when a slow reader has held up the session. Keepalive, the
            // wire's write deadline and the cutter do its work.
            inactivity_timeout: None,
            preferred: Preferred {
                key: Cow::Owned(known.order(&HOST_KEYS)),
                host_key_certificates: Cow::Owned(authorities),
                cipher: Cow::Borrowed(&CIPHERS),
                // Payloads are compressed already.
                compression: Cow::Borrowed(&[compression::NONE]),
                ..Preferred::DEFAULT
            },
            ..Config::default()
        }
    }
}

impl Connect for SshConnector {
    fn connect<'a>(
        &'a self,
        target: &'a Target,
    ) -> BoxFuture<'a, Result<Arc<dyn Transport>, TransportError>> {
        async move {
            let over = self.jump(&target.jumps).await?;
            let session = self.dial(target, over).await?;
            Ok(Arc::new(SshTransport::new(session)) as Arc<dyn Transport>)
        }
        .boxed()
    }
}

/// `address:port`, with brackets around an IPv6 address.
pub(in crate::transport) struct Address<'a>(
    pub(in crate::transport) &'a str,
    pub(in crate::transport) u16,
);

impl fmt::Display for Address<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(address, port) = self;
        if address.contains(':') && !address.starts_with('[') {
            write!(f, "[{address}]:{port}")
        } else {
            write!(f, "{address}:{port}")
        }
    }
}
