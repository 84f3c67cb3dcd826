//! A transport that runs the commands on this machine, with a shell of choice.

use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{ChildStdin, Command};
use tokio::sync::{mpsc, watch};

use crate::host::Request;
use crate::transport::feed::{Feed, Gone, Sink};
use crate::transport::{Chunk, Connect, Exit, Target, Transport, TransportError};

/// How much is read from a command at a time: a pipe's capacity on Linux (pipe(7)).
const PIECE: usize = 64 << 10;

/// Makes [`LocalTransport`]s, whatever the target.
#[derive(Debug, Clone)]
pub struct LocalConnector {
    shell: Vec<String>,
    variables: Vec<(String, String)>,
}

impl Default for LocalConnector {
    fn default() -> Self {
        Self::new(&["/bin/sh"])
    }
}

impl LocalConnector {
    /// Returns a connector whose commands run in this shell, such as `["/bin/sh"]` or `["busybox", "sh"]`.
    pub fn new(shell: &[&str]) -> Self {
        Self {
            shell: shell.iter().map(|&word| word.to_owned()).collect(),
            variables: Vec::new(),
        }
    }

    /// Returns the connector with an environment variable for its commands.
    #[must_use]
    pub fn with_variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Returns a connection.
    pub fn transport(&self) -> LocalTransport {
        LocalTransport {
            connector: self.clone(),
        }
    }
}

impl Connect for LocalConnector {
    fn connect<'a>(
        &'a self,
        _: &'a Target,
    ) -> BoxFuture<'a, Result<Arc<dyn Transport>, TransportError>> {
        async { Ok(Arc::new(self.transport()) as Arc<dyn Transport>) }.boxed()
    }
}

/// Runs `SHELL -c COMMAND` on this machine. A dropped exec kills its shell.
#[derive(Debug, Clone)]
pub struct LocalTransport {
    connector: LocalConnector,
}

impl LocalTransport {
    async fn run(
        &self,
        request: Request,
        live: Option<mpsc::Receiver<Vec<u8>>>,
        output: mpsc::Sender<Chunk>,
    ) -> Result<Exit, TransportError> {
        let failed = |reason: String| TransportError::Unreachable {
            address: "this machine".to_owned(),
            reason,
            help: String::new(),
        };
        let feed = Feed::open(&request).await?;
        let Some((program, arguments)) = self.connector.shell.split_first() else {
            return Err(failed("no shell is set".to_owned()));
        };
        let mut child = Command::new(program)
            .args(arguments)
            .arg("-c")
            .arg(request.command())
            .envs(
                self.connector
                    .variables
                    .iter()
                    .map(|(name, value)| (name, value)),
            )
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| failed(error.to_string()))?;
        let (Some(stdin), Some(stdout), Some(stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(failed("the command has no pipes".to_owned()));
        };
        let (sent, progress) = watch::channel(0);
        let feeding = async {
            let mut sink = Pipe(stdin);
            feed.run(&mut sink, live, &sent).await
            // The pipe closes here: end of file.
        };
        let reading = async {
            tokio::join!(
                drain(stdout, &output, Chunk::Stdout),
                drain(stderr, &output, Chunk::Stderr)
            );
            child.wait().await
        };
        tokio::pin!(feeding, reading);
        let mut fed = false;
        let status = loop {
            tokio::select! {
                status = &mut reading => break status,
                result = &mut feeding, if !fed => {
                    result?;
                    fed = true;
                }
            }
        };
        let status = status.map_err(|error| failed(error.to_string()))?;
        let all = *progress.borrow();
        if all > 0 {
            let _ = output.send(Chunk::Sent(all)).await;
        }
        let code = status
            .code()
            .unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
        Ok(Exit {
            status: u32::try_from(code).unwrap_or(u32::MAX),
        })
    }
}

struct Pipe(ChildStdin);

impl Sink for Pipe {
    async fn put(&mut self, piece: Vec<u8>) -> Result<(), Gone> {
        self.0.write_all(&piece).await.map_err(|_| Gone)
    }
}

async fn drain(
    mut from: impl AsyncRead + Unpin,
    to: &mpsc::Sender<Chunk>,
    wrap: fn(Vec<u8>) -> Chunk,
) {
    let mut buffer = vec![0; PIECE];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        if let Some(bytes) = buffer.get(..read) {
            let _ = to.send(wrap(bytes.to_vec())).await;
        }
    }
}

impl Transport for LocalTransport {
    fn exec<'a>(
        &'a self,
        request: Request,
        live: Option<mpsc::Receiver<Vec<u8>>>,
        output: mpsc::Sender<Chunk>,
    ) -> BoxFuture<'a, Result<Exit, TransportError>> {
        self.run(request, live, output).boxed()
    }

    fn close<'a>(&'a self) -> BoxFuture<'a, ()> {
        async {}.boxed()
    }
}
