//! A request's standard input, handed on piece by piece.

use std::future::Future;

use camino::Utf8PathBuf;
use tokio::fs::File;
use tokio::io::AsyncReadExt;
use tokio::sync::{mpsc, watch};

use super::TransportError;
use crate::host::{Request, Segment};

/// How much is read from a file, or copied from memory, at a time: eight SSH packets, so that reading costs little and
/// an exec holds little memory.
const PIECE: usize = 256 << 10;

/// How many bytes go by between two progress reports.
const REPORT: u64 = 1 << 20;

/// The reader of the input is gone: no error by itself, the exit status tells.
#[derive(Debug, Clone, Copy)]
pub(super) struct Gone;

/// Where standard input goes.
pub(super) trait Sink: Send {
    /// Hands on a piece; waits while the reader is slow.
    fn put(&mut self, piece: Vec<u8>) -> impl Future<Output = Result<(), Gone>> + Send;
}

impl Sink for mpsc::Sender<Vec<u8>> {
    async fn put(&mut self, piece: Vec<u8>) -> Result<(), Gone> {
        self.send(piece).await.map_err(|_| Gone)
    }
}

/// The input of one request, its files opened and their lengths checked.
#[derive(Debug)]
pub(super) struct Feed {
    pieces: Vec<(Segment, Option<File>)>,
}

impl Feed {
    /// Returns the request's input. Nothing has been sent yet when this fails on a file that is missing or of another length.
    pub(super) async fn open(request: &Request) -> Result<Self, TransportError> {
        let mut pieces = Vec::with_capacity(request.stdin().len());
        for segment in request.stdin() {
            let file = match segment {
                Segment::Bytes(_) => None,
                Segment::File { path, length } => {
                    let failed = |error: std::io::Error| payload(path, error.to_string());
                    let file = File::open(path).await.map_err(failed)?;
                    let found = file.metadata().await.map_err(failed)?.len();
                    if found != *length {
                        return Err(payload(
                            path,
                            format!("it had {length} bytes, and has {found} now"),
                        ));
                    }
                    Some(file)
                }
            };
            pieces.push((segment.clone(), file));
        }
        Ok(Self { pieces })
    }

    /// Sends everything, then what `live` brings until it closes, and counts in `sent`.
    ///
    /// Returns early and without error when the reader is gone; fails when a file changes while it is sent.
    pub(super) async fn run(
        self,
        sink: &mut impl Sink,
        live: Option<mpsc::Receiver<Vec<u8>>>,
        sent: &watch::Sender<u64>,
    ) -> Result<(), TransportError> {
        let mut count = 0_u64;
        for (segment, file) in self.pieces {
            let done = match (segment, file) {
                (Segment::Bytes(bytes), _) => memory(&bytes, sink, &mut count, sent).await,
                (Segment::File { path, length }, Some(mut file)) => {
                    stream(&path, length, &mut file, sink, &mut count, sent).await?
                }
                // Feed::open gave every file segment its file.
                (Segment::File { .. }, None) => Ok(()),
            };
            if done.is_err() {
                return Ok(());
            }
        }
        if let Some(mut live) = live {
            while let Some(piece) = live.recv().await {
                let length = piece.len() as u64;
                if sink.put(piece).await.is_err() {
                    return Ok(());
                }
                add(&mut count, length, sent);
            }
        }
        sent.send_replace(count);
        Ok(())
    }
}

fn payload(path: &Utf8PathBuf, reason: String) -> TransportError {
    TransportError::Payload {
        path: path.clone(),
        reason,
    }
}

fn add(count: &mut u64, length: u64, sent: &watch::Sender<u64>) {
    let before = *count;
    *count += length;
    // Woken only each REPORT, yet always current for whoever looks.
    sent.send_if_modified(|shown| {
        *shown = *count;
        before / REPORT != *count / REPORT
    });
}

async fn memory(
    bytes: &[u8],
    sink: &mut impl Sink,
    count: &mut u64,
    sent: &watch::Sender<u64>,
) -> Result<(), Gone> {
    for piece in bytes.chunks(PIECE) {
        sink.put(piece.to_vec()).await?;
        add(count, piece.len() as u64, sent);
    }
    Ok(())
}

async fn stream(
    path: &Utf8PathBuf,
    length: u64,
    file: &mut File,
    sink: &mut impl Sink,
    count: &mut u64,
    sent: &watch::Sender<u64>,
) -> Result<Result<(), Gone>, TransportError> {
    let mut left = length;
    loop {
        // One byte past the end shows a file that grew.
        let want = usize::try_from(left.saturating_add(1))
            .unwrap_or(PIECE)
            .min(PIECE);
        let mut piece = vec![0; want];
        let read = file
            .read(&mut piece)
            .await
            .map_err(|error| payload(path, error.to_string()))?;
        piece.truncate(read);
        match (read as u64, left) {
            (0, 0) => return Ok(Ok(())),
            (0, _) => {
                return Err(payload(
                    path,
                    format!("it became shorter than {length} bytes while it was sent"),
                ));
            }
            (read, left) if read > left => {
                return Err(payload(
                    path,
                    format!("it became longer than {length} bytes while it was sent"),
                ));
            }
            (read, _) => {
                left -= read;
                if sink.put(piece).await.is_err() {
                    return Ok(Err(Gone));
                }
                add(count, read, sent);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::host::Kind;

    /// Takes a piece, lets others go on while it holds it, and is gone after so many.
    struct Slow {
        held: Arc<AtomicUsize>,
        most: Arc<AtomicUsize>,
        left: usize,
    }

    impl Sink for Slow {
        async fn put(&mut self, piece: Vec<u8>) -> Result<(), Gone> {
            let held = self.held.fetch_add(piece.capacity(), Ordering::SeqCst) + piece.capacity();
            self.most.fetch_max(held, Ordering::SeqCst);
            tokio::task::yield_now().await;
            self.held.fetch_sub(piece.capacity(), Ordering::SeqCst);
            self.left = self.left.checked_sub(1).ok_or(Gone)?;
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_large_file_for_fifty_hosts_is_read_in_blocks() {
        const HOSTS: usize = 50;
        let folder = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::try_from(folder.path().join("image")).unwrap();
        let length = 2 << 30;
        std::fs::File::create(&path)
            .unwrap()
            .set_len(length)
            .unwrap();
        let (held, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let feeds = (0..HOSTS).map(|_| {
            let segment = Segment::File {
                path: path.clone(),
                length,
            };
            let request = Request::new(Kind::Wave, "cat".into(), vec![segment]);
            let mut sink = Slow {
                held: held.clone(),
                most: most.clone(),
                left: 40,
            };
            async move {
                let feed = Feed::open(&request).await.unwrap();
                let (sent, told) = watch::channel(0);
                feed.run(&mut sink, None, &sent).await.unwrap();
                assert_eq!(*told.borrow(), 40 * PIECE as u64);
            }
        });
        futures::future::join_all(feeds).await;
        let most = most.load(Ordering::SeqCst);
        assert!(
            (2 * PIECE..=HOSTS * PIECE).contains(&most),
            "{most} bytes at once"
        );
    }
}
