//! The read-only gate: enforces that a plan changes nothing.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::mpsc;

use super::{Chunk, Connect, Exit, Target, Transport, TransportError};
use crate::host::{Kind, Request};

/// Makes connections that run probes and nothing else.
pub struct ReadOnlyConnector {
    inner: Arc<dyn Connect>,
}

impl ReadOnlyConnector {
    /// Returns the gate in front of `inner`.
    pub fn new(inner: Arc<dyn Connect>) -> Self {
        Self { inner }
    }
}

impl Connect for ReadOnlyConnector {
    fn connect<'a>(
        &'a self,
        target: &'a Target,
    ) -> BoxFuture<'a, Result<Arc<dyn Transport>, TransportError>> {
        async move {
            let inner = self.inner.connect(target).await?;
            Ok(Arc::new(ReadOnly { inner }) as Arc<dyn Transport>)
        }
        .boxed()
    }
}

struct ReadOnly {
    inner: Arc<dyn Transport>,
}

impl Transport for ReadOnly {
    fn exec<'a>(
        &'a self,
        request: Request,
        live: Option<mpsc::Receiver<Vec<u8>>>,
        output: mpsc::Sender<Chunk>,
    ) -> BoxFuture<'a, Result<Exit, TransportError>> {
        match request.kind() {
            Kind::Probe => self.inner.exec(request, live, output),
            Kind::Wave | Kind::Lock | Kind::Stop | Kind::Command => {
                async { Err(TransportError::ReadOnly) }.boxed()
            }
        }
    }

    fn close<'a>(&'a self) -> BoxFuture<'a, ()> {
        self.inner.close()
    }
}
