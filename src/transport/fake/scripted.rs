//! A transport that answers by a closure.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::mpsc;

use crate::host::{Request, Segment};
use crate::transport::{Chunk, Connect, Exit, Target, Transport, TransportError};

/// What a fake host was asked.
#[derive(Debug, Clone)]
pub struct Call {
    /// The host's name in the inventory.
    pub host: String,
    /// The request.
    pub request: Request,
    /// Its standard input; files are read in. Live input is not part of it.
    pub stdin: Vec<u8>,
}

/// What a fake host answers.
#[derive(Debug, Clone)]
pub struct Reply {
    output: Vec<Chunk>,
    result: Result<Exit, TransportError>,
    takes: u64,
    until_eof: bool,
    for_ever: bool,
}

impl Reply {
    /// Returns the answer of a command that writes this to standard output and succeeds.
    pub fn stdout(text: impl Into<Vec<u8>>) -> Self {
        Self::status(0).and_stdout(text)
    }

    /// Returns the answer of a command that ends with this status.
    pub fn status(status: u32) -> Self {
        Self {
            output: Vec::new(),
            result: Ok(Exit { status }),
            takes: u64::MAX,
            until_eof: false,
            for_ever: false,
        }
    }

    /// Returns the answer of an exec that gets no exit status.
    pub fn error(error: TransportError) -> Self {
        Self {
            result: Err(error),
            ..Self::status(0)
        }
    }

    /// Returns the answer of an exec that ends only when it is dropped.
    pub fn never() -> Self {
        Self {
            for_ever: true,
            ..Self::status(0)
        }
    }

    /// Returns the answer of an exec that does not end behind it, unless it is dropped.
    #[must_use]
    pub fn and_never(mut self) -> Self {
        self.for_ever = true;
        self
    }

    /// Returns the answer with more standard output.
    #[must_use]
    pub fn and_stdout(mut self, text: impl Into<Vec<u8>>) -> Self {
        self.output.push(Chunk::Stdout(text.into()));
        self
    }

    /// Returns the answer with more standard error.
    #[must_use]
    pub fn and_stderr(mut self, text: impl Into<Vec<u8>>) -> Self {
        self.output.push(Chunk::Stderr(text.into()));
        self
    }

    /// Returns the answer of a command that takes so many bytes of its standard input at most.
    #[must_use]
    pub fn taking(mut self, bytes: u64) -> Self {
        self.takes = bytes;
        self
    }

    /// Returns the answer, which comes to its end when live input does: that of a command that reads all of its input.
    #[must_use]
    pub fn until_eof(mut self) -> Self {
        self.until_eof = true;
        self
    }
}

type Answer = dyn Fn(&Call) -> Reply + Send + Sync;
type Dial = dyn Fn(&Target) -> Result<(), TransportError> + Send + Sync;

/// Makes fake connections, and remembers every call.
#[derive(Clone)]
pub struct FakeConnector {
    dial: Arc<Dial>,
    answer: Arc<Answer>,
    calls: Arc<Mutex<Vec<Call>>>,
}

impl FakeConnector {
    /// Returns a connector whose hosts all answer by `answer`.
    pub fn new(answer: impl Fn(&Call) -> Reply + Send + Sync + 'static) -> Self {
        Self {
            dial: Arc::new(|_| Ok(())),
            answer: Arc::new(answer),
            calls: Arc::default(),
        }
    }

    /// Returns the connector, which asks `dial` first whether a host can be reached.
    #[must_use]
    pub fn with_dial(
        mut self,
        dial: impl Fn(&Target) -> Result<(), TransportError> + Send + Sync + 'static,
    ) -> Self {
        self.dial = Arc::new(dial);
        self
    }

    /// Returns all calls so far, of all hosts, in the order in which they came.
    pub fn calls(&self) -> Vec<Call> {
        self.calls
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Connect for FakeConnector {
    fn connect<'a>(
        &'a self,
        target: &'a Target,
    ) -> BoxFuture<'a, Result<Arc<dyn Transport>, TransportError>> {
        async move {
            (self.dial)(target)?;
            Ok(Arc::new(FakeTransport {
                host: target.name.to_string(),
                answer: self.answer.clone(),
                calls: self.calls.clone(),
                closed: AtomicBool::new(false),
            }) as Arc<dyn Transport>)
        }
        .boxed()
    }
}

/// A fake connection.
pub struct FakeTransport {
    host: String,
    answer: Arc<Answer>,
    calls: Arc<Mutex<Vec<Call>>>,
    closed: AtomicBool,
}

impl FakeTransport {
    async fn run(
        &self,
        request: Request,
        live: Option<mpsc::Receiver<Vec<u8>>>,
        output: mpsc::Sender<Chunk>,
    ) -> Result<Exit, TransportError> {
        if self.closed.load(Ordering::Relaxed) {
            return Err(TransportError::Lost {
                address: self.host.clone(),
                reason: "the connection is closed".into(),
            });
        }
        let mut stdin = Vec::new();
        for segment in request.stdin() {
            match segment {
                Segment::Bytes(bytes) => stdin.extend_from_slice(bytes),
                Segment::File { path, .. } => {
                    let bytes =
                        tokio::fs::read(path)
                            .await
                            .map_err(|error| TransportError::Payload {
                                path: path.clone(),
                                reason: error.to_string(),
                            })?;
                    stdin.extend(bytes);
                }
            }
        }
        let call = Call {
            host: self.host.clone(),
            request,
            stdin,
        };
        self.calls
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(call.clone());
        let reply = (self.answer)(&call);
        let taken = reply.takes.min(call.stdin.len() as u64);
        if taken > 0 {
            let _ = output.send(Chunk::Sent(taken)).await;
        }
        for chunk in reply.output {
            let _ = output.send(chunk).await;
        }
        if let (true, Some(mut live)) = (reply.until_eof, live) {
            while live.recv().await.is_some() {}
        }
        if reply.for_ever {
            return std::future::pending().await;
        }
        reply.result
    }
}

impl Transport for FakeTransport {
    fn exec<'a>(
        &'a self,
        request: Request,
        live: Option<mpsc::Receiver<Vec<u8>>>,
        output: mpsc::Sender<Chunk>,
    ) -> BoxFuture<'a, Result<Exit, TransportError>> {
        self.run(request, live, output).boxed()
    }

    fn close<'a>(&'a self) -> BoxFuture<'a, ()> {
        async { self.closed.store(true, Ordering::Relaxed) }.boxed()
    }
}
