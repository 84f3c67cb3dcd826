//! Connections to jump hosts: one for each, shared by all targets behind it, and made anew when it has broken.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use russh::client::Msg;
use russh::{ChannelOpenFailure, ChannelStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::channel::Session;
use super::client::explain;
use crate::transport::{Target, TransportError};

/// How many channels of all jump hosts may be in the opening at once: a jump host makes as many connections then, and small ones
/// are many people's. Open ones are not counted (sshd has no limit for them but its files, 1,024 by default).
const OPENING: usize = 32;

type Dialled = Shared<BoxFuture<'static, Result<Arc<Session>, TransportError>>>;

/// The jump hosts of a run.
pub(super) struct Jumps {
    dialled: Mutex<HashMap<String, Dialled>>,
    opening: Semaphore,
}

impl Default for Jumps {
    fn default() -> Self {
        Self {
            dialled: Mutex::default(),
            opening: Semaphore::new(OPENING),
        }
    }
}

impl fmt::Debug for Jumps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Jumps")
    }
}

impl Jumps {
    /// Returns the connection to the jump host that `way` names with all before it: the one there is, the one in the making,
    /// or a new one. Whoever waits for one gets its error too; the next one tries again, unless the host was reached and said no.
    pub(super) async fn get(
        &self,
        way: &str,
        jump: &Target,
        dial: impl FnOnce() -> BoxFuture<'static, Result<Arc<Session>, TransportError>>,
    ) -> Result<Arc<Session>, TransportError> {
        let dialled = {
            let mut all = self.dialled.lock().unwrap_or_else(PoisonError::into_inner);
            match all.get(way).filter(|dialled| is_good(dialled)) {
                Some(dialled) => dialled.clone(),
                None => {
                    // A task of its own: whoever asked first may give up while others wait.
                    let task = tokio::spawn(dial());
                    let lost = jump.name.to_string();
                    let dialled = task
                        .map(|result| {
                            result.unwrap_or_else(|error| {
                                Err(TransportError::Lost {
                                    address: lost,
                                    reason: error.to_string(),
                                })
                            })
                        })
                        .boxed()
                        .shared();
                    all.insert(way.to_owned(), dialled.clone());
                    dialled
                }
            }
        };
        dialled.await.map_err(|error| match error {
            // The host before it has a name already.
            error @ TransportError::Jump { .. } => error,
            error => TransportError::Jump {
                name: jump.name.to_string(),
                error: Box::new(error),
            },
        })
    }

    /// Returns a stream to the target over a jump host.
    pub(super) async fn stream(
        &self,
        over: &Session,
        target: &Target,
        address: &str,
        limit: Duration,
    ) -> Result<ChannelStream<Msg>, TransportError> {
        let name = &over.name;
        let unreachable = |reason: String| TransportError::Unreachable {
            address: address.to_owned(),
            reason,
            help: format!(
                "see it from there: `ssh {name}`, then `nc -vz {} {}`",
                target.address, target.port
            ),
        };
        let _opening = self.opening.acquire().await;
        let host = target.address.trim_matches(['[', ']']);
        let opened =
            over.handle
                .channel_open_direct_tcpip(host, u32::from(target.port), "127.0.0.1", 0);
        match timeout(limit, opened).await {
            Ok(Ok(channel)) => Ok(channel.into_stream()),
            Ok(Err(russh::Error::ChannelOpenFailure(reason))) => Err(unreachable(match reason {
                ChannelOpenFailure::ConnectFailed => format!(
                    "the jump host {name} gets no connection to it: refused there, not known there by that name, or no way"
                ),
                ChannelOpenFailure::AdministrativelyProhibited => format!(
                    "the jump host {name} may not connect to it (sshd_config there: AllowTcpForwarding, PermitOpen)"
                ),
                other => format!("the jump host {name} does not connect to it ({other:?})"),
            })),
            Ok(Err(_)) if over.handle.is_closed() => Err(TransportError::Jump {
                name: name.clone(),
                error: Box::new(over.lost()),
            }),
            Ok(Err(error)) => Err(unreachable(format!(
                "the jump host {name}: {}",
                explain(&error)
            ))),
            Err(_) => Err(unreachable(format!(
                "the jump host {name} got no connection to it within {} s",
                limit.as_secs_f32()
            ))),
        }
    }
}

/// Returns whether a connection is in the making or stands, or whether its error is one that trying again does not mend.
fn is_good(dialled: &Dialled) -> bool {
    match dialled.peek() {
        None => true,
        Some(Ok(session)) => !session.handle.is_closed(),
        Some(Err(error)) => is_final(error),
    }
}

fn is_final(error: &TransportError) -> bool {
    match error {
        // Trying again would look like guessing: sshd bans those who fail often (PerSourcePenalties).
        TransportError::HostKey { .. } | TransportError::Authentication { .. } => true,
        TransportError::Jump { error, .. } => is_final(error),
        _ => false,
    }
}
