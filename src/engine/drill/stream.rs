//! What the scripts of a drill say, as it comes.

use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::super::lines::LineBuffer;
use super::super::session::{Problem, Session};
use crate::cluster::drill::record::{self, Heard};
use crate::host::{Request, record::framed};
use crate::model::HostName;
use crate::transport::Chunk;

/// How long a script of a drill may take that does one thing: a stop of units waits for them.
const ASK: Duration = Duration::from_secs(60);
/// How long a stream may take to end after its standard input has closed: a request's limit, and what is on its way.
const END: Duration = Duration::from_secs(5);

/// How many lines of a stream count: an hour's, where 25 requests a second begin and each says a line.
const MOST: usize = 100_000;
/// Bytes that a script may say which ends by itself.
const ANSWER: usize = 1 << 20;

/// What a stream is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    Prober,
    Watcher,
    Holder,
}

/// A line of a stream; its moment is by the controller's clock.
pub(super) struct Said {
    pub(super) source: Source,
    pub(super) host: HostName,
    pub(super) heard: Heard,
}

/// A script that runs until its standard input closes: when this is stopped or dropped, or the controller dies.
pub(super) struct Stream {
    input: mpsc::Sender<Vec<u8>>,
    task: JoinHandle<()>,
}

/// Returns the controller's time in milliseconds since 1970.
pub(super) fn now() -> i64 {
    Timestamp::now().as_millisecond()
}

impl Stream {
    /// Starts a script and hands over what it says. Its end comes as [`Heard::End`] or, where it broke, as
    /// [`Heard::Cannot`].
    pub(super) fn start(
        session: &Session,
        source: Source,
        request: Request,
        nonce: String,
        to: mpsc::Sender<Said>,
    ) -> Self {
        let (input, live) = mpsc::channel(1);
        let (sender, mut chunks) = mpsc::channel(64);
        let owned = session.clone();
        let task = tokio::spawn(async move {
            let host = owned.host.clone();
            let say = |heard| {
                let said = Said {
                    source,
                    host: host.clone(),
                    heard,
                };
                to.send(said)
            };
            let read = async {
                let mut lines = LineBuffer::default();
                let mut told = 0;
                // Until the host has said what time it is there, its clock counts as ours.
                let mut offset = 0;
                while let Some(chunk) = chunks.recv().await {
                    let Chunk::Stdout(bytes) = chunk else {
                        continue;
                    };
                    for line in lines.add(&bytes) {
                        told += 1;
                        if told > MOST {
                            return Err(Problem::protocol("its output does not end"));
                        }
                        let heard = framed(&nonce, &line).and_then(|line| record::heard(&line));
                        match heard {
                            Some(Heard::Clock(there)) => offset = now() - there,
                            // The end is told once, below.
                            None | Some(Heard::End) => {}
                            Some(heard) => drop(say(heard.shifted(offset)).await),
                        }
                    }
                }
                Ok(())
            };
            let held = owned.hold(request, Some(live), sender);
            let end = match tokio::try_join!(held, read) {
                Ok(_) => Heard::End,
                Err(problem) => Heard::Cannot(problem.message),
            };
            drop(say(end).await);
        });
        Self { input, task }
    }

    /// Closes its standard input.
    pub(super) fn stop(self) -> JoinHandle<()> {
        drop(self.input);
        self.task
    }
}

/// Waits for streams that were stopped; one that does not end is left.
pub(super) async fn ended(tasks: Vec<JoinHandle<()>>) {
    let handles: Vec<_> = tasks.iter().map(JoinHandle::abort_handle).collect();
    if tokio::time::timeout(END, futures::future::join_all(tasks))
        .await
        .is_err()
    {
        handles.iter().for_each(tokio::task::AbortHandle::abort);
    }
}

/// Runs a script that ends by itself, and returns what it said, its moments by the controller's clock.
pub(super) async fn ask(
    session: &Session,
    request: Request,
    nonce: &str,
) -> Result<Vec<Heard>, Problem> {
    let mut lines = LineBuffer::default();
    let mut said = Vec::new();
    let mut noise = String::new();
    let mut left = ANSWER;
    let run =
        session.run(request, |chunk| {
            match chunk {
                Chunk::Stdout(bytes) => {
                    let endless = || Problem::protocol("its output does not end");
                    left = left.checked_sub(bytes.len()).ok_or_else(endless)?;
                    said.extend(lines.add(&bytes).into_iter().filter_map(|line| {
                        framed(nonce, &line).and_then(|line| record::heard(&line))
                    }));
                }
                Chunk::Stderr(bytes) if noise.len() < 4096 => {
                    noise.push_str(&String::from_utf8_lossy(&bytes));
                }
                Chunk::Stderr(_) | Chunk::Sent(_) => {}
            }
            Ok(())
        });
    let exit = tokio::time::timeout(ASK, run).await.map_err(|_| {
        Problem::protocol(&format!(
            "a script of the drill did not end within {} s",
            ASK.as_secs()
        ))
    })??;
    if said.is_empty() {
        let noise = noise.trim();
        let noise = if noise.is_empty() { "nothing" } else { noise };
        return Err(Problem::protocol(&format!(
            "a script of the drill ended without a word (exit status {}); it said: {noise}",
            exit.status
        )));
    }
    let there = said.iter().find_map(|heard| match heard {
        Heard::Clock(at) => Some(*at),
        _ => None,
    });
    let offset = there.map_or(0, |there| now() - there);
    Ok(said.into_iter().map(|h| h.shifted(offset)).collect())
}
