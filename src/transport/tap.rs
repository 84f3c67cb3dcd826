//! Looking at an exec's output while it goes by.

use futures::future::BoxFuture;
use tokio::sync::mpsc;

use super::{Chunk, Exit, TransportError};

/// Chunks between an exec and its tap. Small: the reader behind the tap has its own queue.
const BACKLOG: usize = 4;

/// Returns a sender for the exec, and its receiver for [`tap`].
pub(super) fn pipe() -> (mpsc::Sender<Chunk>, mpsc::Receiver<Chunk>) {
    mpsc::channel(BACKLOG)
}

/// Runs the exec to its end while `see` passes each chunk on, changed or not, or swallows it.
pub(super) async fn tap(
    exec: BoxFuture<'_, Result<Exit, TransportError>>,
    mut chunks: mpsc::Receiver<Chunk>,
    output: &mpsc::Sender<Chunk>,
    mut see: impl FnMut(Chunk) -> Option<Chunk>,
) -> Result<Exit, TransportError> {
    let passing = async {
        while let Some(chunk) = chunks.recv().await {
            if let Some(chunk) = see(chunk) {
                // Nobody listens any more: the exec is read to its end all the same.
                let _ = output.send(chunk).await;
            }
        }
    };
    let (result, ()) = tokio::join!(exec, passing);
    result
}
