//! The stream below a session, TCP or a jump host's channel: it can be cut, it acknowledges at once, and a stuck write ends it.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use russh::ChannelStream;
use russh::client::Msg;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::{Instant, Sleep};

/// How long a write may stay unsent. russh's own keepalive is not looked at while it writes, and TCP gives up only after 15 minutes.
const WRITE_STALL: Duration = Duration::from_secs(60);

/// How much is kept of what the host says first: a few lines, of which one says that it is an SSH server.
const GREETING: usize = 1024;

/// What the host said first, for whoever finds out that it is no SSH server or takes no login.
#[derive(Debug, Default)]
pub(super) struct Greeting(Mutex<Vec<u8>>);

impl Greeting {
    /// Returns what was heard so far.
    pub(super) fn heard(&self) -> Vec<u8> {
        let heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        heard.clone()
    }

    /// Returns whether there is room for more.
    fn hear(&self, bytes: &[u8]) -> bool {
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let room = GREETING.saturating_sub(heard.len());
        heard.extend(bytes.iter().take(room));
        heard.len() < GREETING
    }
}

/// Cuts the wire when it is dropped, and with it russh's session task, whatever that waits for.
#[derive(Debug)]
pub(super) struct Cutter(
    #[expect(dead_code, reason = "dropping it is its use")] oneshot::Sender<()>,
);

/// What carries a session.
pub(super) enum Carrier {
    /// A connection of its own.
    Tcp(TcpStream),
    /// A channel of a jump host's connection.
    Jump(Box<ChannelStream<Msg>>),
}

/// A stream that ends when its [`Cutter`] does.
pub(super) struct Wire {
    stream: Carrier,
    cut: oneshot::Receiver<()>,
    stall: Option<Pin<Box<Sleep>>>,
    greeting: Arc<Greeting>,
    /// Whether the greeting is not full.
    listens: bool,
}

impl Wire {
    /// Returns the stream with its cutter.
    pub(super) fn new(stream: Carrier) -> (Self, Cutter) {
        let (sender, cut) = oneshot::channel();
        (
            Self {
                stream,
                cut,
                stall: None,
                greeting: Arc::default(),
                listens: true,
            },
            Cutter(sender),
        )
    }

    /// Returns what the host says first.
    pub(super) fn greeting(&self) -> Arc<Greeting> {
        self.greeting.clone()
    }

    fn poll_cut(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if !self.cut.is_terminated() && Pin::new(&mut self.cut).poll(cx).is_pending() {
            return Ok(());
        }
        Err(io::Error::new(
            io::ErrorKind::ConnectionAborted,
            "the connection was given up",
        ))
    }

    fn watch_stall<T>(
        &mut self,
        cx: &mut Context<'_>,
        result: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if result.is_ready() {
            self.stall = None;
            return result;
        }
        let stall = self.stall.get_or_insert_with(|| {
            Box::pin(tokio::time::sleep_until(Instant::now() + WRITE_STALL))
        });
        ready!(stall.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "nothing could be sent for 60 s",
        )))
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.poll_cut(cx)?;
        let before = buf.filled().len();
        let result = match &mut self.stream {
            Carrier::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Carrier::Jump(stream) => Pin::new(stream.as_mut()).poll_read(cx, buf),
        };
        if self.listens && result.is_ready() {
            let heard = buf.filled().get(before..).unwrap_or_default();
            self.listens = self.greeting.hear(heard);
        }
        // Linux falls back to delayed acknowledgements after a few packets; they cost 40 ms each on request and answer.
        #[cfg(any(target_os = "linux", target_os = "android"))]
        if let (true, Carrier::Tcp(stream)) = (result.is_ready(), &self.stream) {
            let _ = stream.set_quickack(true);
        }
        result
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_cut(cx)?;
        let result = match &mut self.stream {
            Carrier::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Carrier::Jump(stream) => Pin::new(stream.as_mut()).poll_write(cx, buf),
        };
        self.watch_stall(cx, result)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_cut(cx)?;
        let result = match &mut self.stream {
            Carrier::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Carrier::Jump(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
        };
        self.watch_stall(cx, result)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Carrier::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Carrier::Jump(stream) => Pin::new(stream.as_mut()).poll_shutdown(cx),
        }
    }
}
