//! One connection, and one channel of it per exec.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use russh::client::{Handle, Msg};
use russh::{Channel, ChannelMsg, ChannelReadHalf, ChannelWriteHalf, Disconnect, Sig};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::time::{sleep, timeout};

use super::client::{Client, Fate, explain};
use super::options::SshOptions;
use super::wire::Cutter;
use crate::host::Request;
use crate::transport::feed::{Feed, Gone, Sink};
use crate::transport::{Chunk, Exit, Transport, TransportError};

/// How many execs run at a time on a connection. sshd's MaxSessions is 10, but it counts sessions that are still being
/// buried: refusals were seen from 6 on.
const CHANNELS: usize = 4;

/// How long output may stay silent after the exit status before the exec counts as ended. Something that the command
/// left in the background can hold the channel open for ever.
const LINGER: Duration = Duration::from_secs(5);

/// The longest single argument of execve(2), MAX_ARG_STRLEN: the login shell gets the command as one, with its zero byte.
const LONGEST_COMMAND: usize = (128 << 10) - 1;

/// How long an orderly goodbye may take.
const GOODBYE: Duration = Duration::from_secs(2);

/// RFC 4254, section 5.2: SSH_EXTENDED_DATA_STDERR.
const STDERR: u32 = 1;

/// What an exec needs of its connection.
pub(super) struct Session {
    pub(super) handle: Handle<Client>,
    /// The host's name in the inventory, or as a jump host.
    pub(super) name: String,
    pub(super) address: String,
    /// The jump host that carries it.
    pub(super) over: Option<Arc<Session>>,
    pub(super) fate: Arc<Fate>,
    /// Closes when russh's task has ended.
    pub(super) ended: watch::Receiver<()>,
    pub(super) options: Arc<SshOptions>,
    /// Dropped last: it ends russh's task even if that is stuck.
    pub(super) _cutter: Cutter,
}

impl Session {
    pub(super) fn lost(&self) -> TransportError {
        let reason = match self.gone() {
            Some(over) => format!(
                "its jump host {} ({}) is gone: {}",
                over.name,
                over.address,
                over.fate.reason()
            ),
            None => self.fate.reason(),
        };
        TransportError::Lost {
            address: self.address.clone(),
            reason,
        }
    }

    /// Returns the first jump host on the way that is gone: with it those behind it are lost, however well they are.
    fn gone(&self) -> Option<&Self> {
        let over = self.over.as_deref()?;
        over.gone()
            .or_else(|| over.handle.is_closed().then_some(over))
    }

    fn deadline(&self, limit: Duration, what: &str) -> TransportError {
        TransportError::Deadline {
            address: self.address.clone(),
            seconds: limit.as_secs(),
            what: what.to_owned(),
        }
    }

    /// The command has not been started.
    fn refused(&self, reason: String) -> TransportError {
        TransportError::Unreachable {
            address: self.address.clone(),
            reason,
            help: "look at its sshd_config (MaxSessions, ForceCommand, the user's authorized_keys) and at its log: journalctl -u ssh -u sshd".to_owned(),
        }
    }
}

/// A connection over SSH.
pub struct SshTransport {
    session: Arc<Session>,
    channels: Arc<Semaphore>,
}

impl SshTransport {
    pub(super) fn new(session: Session) -> Self {
        Self {
            session: Arc::new(session),
            channels: Arc::new(Semaphore::new(CHANNELS)),
        }
    }
}

impl Transport for SshTransport {
    fn exec<'a>(
        &'a self,
        request: Request,
        live: Option<mpsc::Receiver<Vec<u8>>>,
        output: mpsc::Sender<Chunk>,
    ) -> BoxFuture<'a, Result<Exit, TransportError>> {
        async move {
            if request.command().len() > LONGEST_COMMAND {
                let length = request.command().len();
                return Err(self.session.refused(format!(
                    "a command of {length} bytes is more than Linux takes"
                )));
            }
            let feed = Feed::open(&request).await?;
            let permit = self
                .channels
                .clone()
                .acquire_owned()
                .await
                .map_err(|_| self.session.lost())?;
            let (_alive, cancelled) = oneshot::channel::<()>();
            let session = self.session.clone();
            // In its own task: a channel that nobody drains would block the connection, and a dropped future cannot close one.
            let task = tokio::spawn(async move {
                let result = run(&session, request.command(), feed, live, output, cancelled).await;
                drop(permit);
                result
            });
            task.await.unwrap_or_else(|error| {
                Err(TransportError::Lost {
                    address: self.session.address.clone(),
                    reason: error.to_string(),
                })
            })
        }
        .boxed()
    }

    fn close<'a>(&'a self) -> BoxFuture<'a, ()> {
        async move {
            self.session.fate.decide("quorate closed it".to_owned());
            let goodbye = async {
                let _ = self
                    .session
                    .handle
                    .disconnect(Disconnect::ByApplication, "", "")
                    .await;
                // russh ends its task once the message is out.
                while self.session.ended.clone().changed().await.is_ok() {}
            };
            let _ = timeout(GOODBYE, goodbye).await;
        }
        .boxed()
    }
}

struct ChannelSink<'a>(&'a ChannelWriteHalf<Msg>);

impl Sink for ChannelSink<'_> {
    async fn put(&mut self, piece: Vec<u8>) -> Result<(), Gone> {
        self.0.data_bytes(piece).await.map_err(|_| Gone)
    }
}

async fn run(
    session: &Session,
    command: &str,
    feed: Feed,
    live: Option<mpsc::Receiver<Vec<u8>>>,
    output: mpsc::Sender<Chunk>,
    cancelled: oneshot::Receiver<()>,
) -> Result<Exit, TransportError> {
    let (mut reader, writer) = open(session).await?.split();
    let result = tokio::select! {
        result = converse(session, command, feed, live, output, &mut reader, &writer) => result,
        // The answer goes nowhere: whoever asked is gone.
        _ = cancelled => Err(session.deadline(Duration::ZERO, "cancelled")),
    };
    // Without effect where the host has closed it already.
    let _ = timeout(GOODBYE, writer.close()).await;
    result
}

async fn open(session: &Session) -> Result<Channel<Msg>, TransportError> {
    let limit = session.options.reply_timeout;
    match timeout(limit, session.handle.channel_open_session()).await {
        Ok(Ok(channel)) => Ok(channel),
        Ok(Err(russh::Error::ChannelOpenFailure(reason))) => Err(session.refused(format!(
            "the host refuses a further session ({reason:?}; sshd_config: MaxSessions)"
        ))),
        Ok(Err(_)) if session.handle.is_closed() => Err(session.lost()),
        Ok(Err(error)) => Err(session.refused(explain(&error))),
        Err(_) => Err(session.deadline(limit, "opening a session")),
    }
}

async fn converse(
    session: &Session,
    command: &str,
    feed: Feed,
    live: Option<mpsc::Receiver<Vec<u8>>>,
    output: mpsc::Sender<Chunk>,
    reader: &mut ChannelReadHalf,
    writer: &ChannelWriteHalf<Msg>,
) -> Result<Exit, TransportError> {
    let limit = session.options.reply_timeout;
    writer
        .exec(true, command)
        .await
        .map_err(|_| session.lost())?;
    let early = match timeout(limit, answer(session, reader)).await {
        Ok(early) => early?,
        Err(_) => return Err(session.deadline(limit, "the answer to exec")),
    };
    let (sent, progress) = watch::channel(0);
    let feeding = async {
        let mut sink = ChannelSink(writer);
        feed.run(&mut sink, live, &sent).await?;
        let _ = writer.eof().await;
        Ok::<(), TransportError>(())
    };
    let pump = Pump {
        session,
        output,
        progress,
        reported: 0,
        status: None,
    };
    let reading = pump.run(early, reader);
    tokio::pin!(feeding, reading);
    // The feeder never ends an exec, except by its own error: a command may exit before it has read everything.
    let mut fed = false;
    loop {
        tokio::select! {
            result = &mut reading => return result,
            result = &mut feeding, if !fed => {
                result?;
                fed = true;
            }
        }
    }
}

/// Waits for the host's answer to the exec request; returns what came before it.
async fn answer(
    session: &Session,
    reader: &mut ChannelReadHalf,
) -> Result<Vec<ChannelMsg>, TransportError> {
    let mut early = Vec::new();
    loop {
        match reader.wait().await {
            Some(ChannelMsg::Success) => return Ok(early),
            Some(ChannelMsg::Failure) => {
                return Err(session.refused("the host refuses to run commands".to_owned()));
            }
            Some(ChannelMsg::Close) if early.is_empty() => {
                return Err(session
                    .refused("the host closed the session before it ran the command".to_owned()));
            }
            // Nothing comes before the answer from any server known; what does is output all the same.
            Some(message) if early.len() < 64 => early.push(message),
            Some(_) => return Ok(early),
            None => return Err(session.lost()),
        }
    }
}

/// Hands output on until the channel ends.
struct Pump<'a> {
    session: &'a Session,
    output: mpsc::Sender<Chunk>,
    progress: watch::Receiver<u64>,
    reported: u64,
    status: Option<u32>,
}

impl Pump<'_> {
    async fn run(
        mut self,
        early: Vec<ChannelMsg>,
        reader: &mut ChannelReadHalf,
    ) -> Result<Exit, TransportError> {
        for message in early {
            if self.take(message).await {
                return self.end(false).await;
            }
        }
        let mut feeding = true;
        let mut sent_before = 0;
        loop {
            let limit = if self.status.is_some() {
                Some(LINGER)
            } else {
                self.session.options.idle_timeout
            };
            let silence = async {
                match limit {
                    Some(limit) => sleep(limit).await,
                    None => std::future::pending().await,
                }
            };
            let message = tokio::select! {
                message = reader.wait() => message,
                changed = self.progress.changed(), if feeding => {
                    feeding = changed.is_ok();
                    self.report().await;
                    continue;
                }
                () = silence => {
                    if self.status.is_some() {
                        return self.end(false).await;
                    }
                    // A heartbeat on standard input is a sign of life, although it wakes nobody here.
                    let sent = *self.progress.borrow();
                    if sent != sent_before {
                        sent_before = sent;
                        continue;
                    }
                    return Err(self.session.deadline(limit.unwrap_or_default(), "any sign of the command"));
                }
            };
            match message {
                None => return self.end(true).await,
                Some(message) => {
                    if self.take(message).await {
                        return self.end(false).await;
                    }
                }
            }
        }
    }

    /// Returns whether that was the channel's last message.
    async fn take(&mut self, message: ChannelMsg) -> bool {
        let chunk = match message {
            ChannelMsg::Data { data } => Chunk::Stdout(data.to_vec()),
            ChannelMsg::ExtendedData { data, ext: STDERR } => Chunk::Stderr(data.to_vec()),
            ChannelMsg::ExitStatus { exit_status } => {
                self.status = Some(exit_status);
                return false;
            }
            ChannelMsg::ExitSignal { signal_name, .. } => {
                self.status = Some(128 + number(&signal_name));
                return false;
            }
            ChannelMsg::Close => return true,
            _ => return false,
        };
        // Nobody listens any more: the rest is read and dropped, the status still counts.
        let _ = self.output.send(chunk).await;
        false
    }

    async fn report(&mut self) {
        let sent = *self.progress.borrow_and_update();
        if sent > self.reported {
            self.reported = sent;
            let _ = self.output.send(Chunk::Sent(sent)).await;
        }
    }

    async fn end(mut self, dead: bool) -> Result<Exit, TransportError> {
        self.report().await;
        match self.status {
            Some(status) => Ok(Exit { status }),
            None if dead => Err(self.session.lost()),
            None => Err(TransportError::Lost {
                address: self.session.address.clone(),
                reason: "the host closed the session without an exit status".to_owned(),
            }),
        }
    }
}

/// Returns the signal's number on Linux (signal(7)); 0 for one that it does not have. RFC 4254, section 6.10, has the names.
fn number(signal: &Sig) -> u32 {
    match signal {
        Sig::HUP => 1,
        Sig::INT => 2,
        Sig::QUIT => 3,
        Sig::ILL => 4,
        Sig::ABRT => 6,
        Sig::FPE => 8,
        Sig::KILL => 9,
        Sig::USR1 => 10,
        Sig::SEGV => 11,
        Sig::PIPE => 13,
        Sig::ALRM => 14,
        Sig::TERM => 15,
        Sig::Custom(name) => match name.trim_end_matches("@openssh.com") {
            "TRAP" => 5,
            "BUS" => 7,
            "USR2" => 12,
            "XCPU" => 24,
            "XFSZ" => 25,
            "SYS" => 31,
            _ => 0,
        },
    }
}
