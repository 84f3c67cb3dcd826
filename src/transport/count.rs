//! Counts what goes over the wire: round trips are quorate's currency.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::mpsc;

use super::tap::{pipe, tap};
use super::{Chunk, Connect, Exit, Target, Transport, TransportError};
use crate::host::{Kind, Request};

/// Counters shared by all connections of a run.
#[derive(Debug, Default)]
pub struct Counters {
    connections: AtomicU64,
    probes: AtomicU64,
    waves: AtomicU64,
    locks: AtomicU64,
    stops: AtomicU64,
    commands: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
}

/// What the counters showed at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Connections that were made.
    pub connections: u64,
    /// Execs of [`Kind::Probe`].
    pub probes: u64,
    /// Execs of [`Kind::Wave`].
    pub waves: u64,
    /// Execs of [`Kind::Lock`].
    pub locks: u64,
    /// Execs of [`Kind::Stop`].
    pub stops: u64,
    /// Execs of [`Kind::Command`].
    pub commands: u64,
    /// Bytes of standard output and standard error.
    pub bytes_in: u64,
    /// Bytes of standard input.
    pub bytes_out: u64,
}

impl Tally {
    /// Returns the execs of all kinds.
    pub fn execs(&self) -> u64 {
        self.probes + self.waves + self.locks + self.stops + self.commands
    }
}

impl Counters {
    /// Returns what they show now.
    pub fn tally(&self) -> Tally {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Tally {
            connections: read(&self.connections),
            probes: read(&self.probes),
            waves: read(&self.waves),
            locks: read(&self.locks),
            stops: read(&self.stops),
            commands: read(&self.commands),
            bytes_in: read(&self.bytes_in),
            bytes_out: read(&self.bytes_out),
        }
    }

    fn of(&self, kind: Kind) -> &AtomicU64 {
        match kind {
            Kind::Probe => &self.probes,
            Kind::Wave => &self.waves,
            Kind::Lock => &self.locks,
            Kind::Stop => &self.stops,
            Kind::Command => &self.commands,
        }
    }
}

/// Makes connections that count.
pub struct CountingConnector {
    inner: Arc<dyn Connect>,
    counters: Arc<Counters>,
}

impl CountingConnector {
    /// Returns the decorator of `inner`.
    pub fn new(inner: Arc<dyn Connect>, counters: Arc<Counters>) -> Self {
        Self { inner, counters }
    }
}

impl Connect for CountingConnector {
    fn connect<'a>(
        &'a self,
        target: &'a Target,
    ) -> BoxFuture<'a, Result<Arc<dyn Transport>, TransportError>> {
        async move {
            let inner = self.inner.connect(target).await?;
            self.counters.connections.fetch_add(1, Ordering::Relaxed);
            let counters = self.counters.clone();
            Ok(Arc::new(Counting { inner, counters }) as Arc<dyn Transport>)
        }
        .boxed()
    }
}

struct Counting {
    inner: Arc<dyn Transport>,
    counters: Arc<Counters>,
}

impl Transport for Counting {
    fn exec<'a>(
        &'a self,
        request: Request,
        live: Option<mpsc::Receiver<Vec<u8>>>,
        output: mpsc::Sender<Chunk>,
    ) -> BoxFuture<'a, Result<Exit, TransportError>> {
        async move {
            self.counters
                .of(request.kind())
                .fetch_add(1, Ordering::Relaxed);
            let (sender, chunks) = pipe();
            let exec = self.inner.exec(request, live, sender);
            let mut sent_before = 0;
            let count = |chunk: Chunk| {
                match &chunk {
                    Chunk::Stdout(bytes) | Chunk::Stderr(bytes) => {
                        let length = bytes.len() as u64;
                        self.counters.bytes_in.fetch_add(length, Ordering::Relaxed);
                    }
                    Chunk::Sent(sent) => {
                        let more = sent.saturating_sub(sent_before);
                        self.counters.bytes_out.fetch_add(more, Ordering::Relaxed);
                        sent_before = *sent;
                    }
                }
                Some(chunk)
            };
            tap(exec, chunks, &output, count).await
        }
        .boxed()
    }

    fn close<'a>(&'a self) -> BoxFuture<'a, ()> {
        self.inner.close()
    }
}
