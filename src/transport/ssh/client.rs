//! What russh asks of a client: whether the host's key is right, and to be told how the session ended.

use std::sync::{Arc, OnceLock};

use russh::Channel;
use russh::client::{ChannelOpenHandle, DisconnectReason, Handler, Msg, Session};
use russh::keys::PublicKeyOrCertificate;
use tokio::sync::watch;

use super::known_hosts::{Known, Refusal};

/// Why a session ended, kept for whoever finds it dead.
#[derive(Debug, Default)]
pub(super) struct Fate(OnceLock<String>);

impl Fate {
    /// Records the reason, unless one is known already.
    pub(super) fn decide(&self, reason: String) {
        let _ = self.0.set(reason);
    }

    /// Returns the reason, as far as one was seen.
    pub(super) fn reason(&self) -> String {
        self.0
            .get()
            .cloned()
            .unwrap_or_else(|| "the connection ended without a reason".to_owned())
    }
}

/// Why a session could not be made.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClientError {
    #[error("{0}")]
    HostKey(Refusal),
    #[error("the host opens channels that nobody asked for")]
    Unasked,
    #[error(transparent)]
    Russh(#[from] russh::Error),
}

/// russh's side of one session.
pub(super) struct Client {
    known: Known,
    accepted: Option<Vec<u8>>,
    fate: Arc<Fate>,
    /// Dropped with russh's task: whoever watches it sees the end of the session.
    _alive: watch::Sender<()>,
}

impl Client {
    /// Returns a client, and what closes when its session has ended.
    pub(super) fn new(known: Known, fate: Arc<Fate>) -> (Self, watch::Receiver<()>) {
        let (alive, ended) = watch::channel(());
        (
            Self {
                known,
                accepted: None,
                fate,
                _alive: alive,
            },
            ended,
        )
    }
}

impl Handler for Client {
    type Error = ClientError;

    async fn check_server_key(
        &mut self,
        shown: &PublicKeyOrCertificate,
    ) -> Result<bool, ClientError> {
        let blob = shown.public_key().to_bytes().map_err(russh::Error::from)?;
        // Also called on every rekeying: a host does not change its key in mid-session.
        if self.accepted.as_ref() != Some(&blob) {
            self.known.check(shown).map_err(ClientError::HostKey)?;
            self.accepted = Some(blob);
        }
        Ok(true)
    }

    // Nothing is forwarded here, so that a host has no channel to open (RFC 4254, 6.3.2 and 7.2). russh takes each, and keeps it:
    // without end they would take all memory.

    async fn server_channel_open_session(
        &mut self,
        _: Channel<Msg>,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), ClientError> {
        Err(ClientError::Unasked)
    }

    async fn server_channel_open_agent_forward(
        &mut self,
        _: Channel<Msg>,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), ClientError> {
        Err(ClientError::Unasked)
    }

    async fn server_channel_open_x11(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: u32,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), ClientError> {
        Err(ClientError::Unasked)
    }

    async fn server_channel_open_forwarded_tcpip(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: u32,
        _: &str,
        _: u32,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), ClientError> {
        Err(ClientError::Unasked)
    }

    async fn server_channel_open_forwarded_streamlocal(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), ClientError> {
        Err(ClientError::Unasked)
    }

    async fn server_channel_open_direct_tcpip(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: u32,
        _: &str,
        _: u32,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), ClientError> {
        Err(ClientError::Unasked)
    }

    async fn server_channel_open_direct_streamlocal(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), ClientError> {
        Err(ClientError::Unasked)
    }

    async fn disconnected(
        &mut self,
        reason: DisconnectReason<ClientError>,
    ) -> Result<(), ClientError> {
        let text = match reason {
            DisconnectReason::ReceivedDisconnect(info) => {
                format!("the host said: {}", cut(&info.message))
            }
            DisconnectReason::Error(ClientError::Russh(error)) => explain(&error),
            DisconnectReason::Error(error) => error.to_string(),
        };
        self.fate.decide(text);
        Ok(())
    }
}

/// So many characters of a host's own words stand in a sentence of ours.
const WORDS: usize = 300;

/// Returns the beginning of what a host says, which may be a packet long.
fn cut(said: &str) -> String {
    said.chars().take(WORDS).collect()
}

/// Returns what happened, in words that need no knowledge of russh.
pub(super) fn explain(error: &russh::Error) -> String {
    match error {
        russh::Error::Disconnect
        | russh::Error::HUP
        | russh::Error::RecvError
        | russh::Error::SendError => "the host closed the connection".to_owned(),
        russh::Error::KeepaliveTimeout => {
            "the host gave no sign of life for about a minute".to_owned()
        }
        russh::Error::Version => "no SSH server answers there".to_owned(),
        russh::Error::NoCommonAlgo { kind, ours, theirs } => {
            format!(
                "no common {kind:?} algorithm: the host offers {}, quorate {}",
                cut(&theirs.join(",")),
                ours.join(",")
            )
        }
        russh::Error::IO(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            "the host closed the connection".to_owned()
        }
        other => other.to_string(),
    }
}
