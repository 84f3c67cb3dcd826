//! What the tests share: targets, requests, and running an exec within a time limit.

use std::future::Future;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use quorate::event::{Event, Record, VERSION};
use quorate::host::{Kind, Request, Segment};
use quorate::model::HostName;
use quorate::transport::ssh::{SshConnector, SshOptions};
use quorate::transport::{
    Access, Chunk, Connect, Elevation, Exit, Target, Transport, TransportError,
};
use tokio::sync::mpsc;

/// No test may take longer, on a loaded machine either.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// Runs the future, and fails the test when it takes too long.
pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, future)
        .await
        .expect("the test took too long")
}

/// Makes a named pipe. Whoever opens it, and should not, finds it empty, and does not hold the test.
pub(crate) fn pipe(path: &Utf8Path) {
    let made = std::process::Command::new("mkfifo").arg(path).status();
    assert!(made.unwrap().success());
    let path = path.to_owned();
    std::thread::spawn(move || std::fs::write(path, ""));
}

/// Everything an exec gave.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Output {
    pub(crate) status: u32,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
    pub(crate) sent: Vec<u64>,
}

impl Output {
    pub(crate) fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    pub(crate) fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }
}

pub(crate) fn request(command: &str) -> Request {
    Request::new(Kind::Command, command.to_owned(), Vec::new())
}

pub(crate) fn with_stdin(command: &str, stdin: impl Into<Vec<u8>>) -> Request {
    Request::new(
        Kind::Wave,
        command.to_owned(),
        vec![Segment::Bytes(Arc::new(stdin.into()))],
    )
}

pub(crate) async fn exec(
    transport: &dyn Transport,
    request: Request,
) -> Result<Output, TransportError> {
    exec_live(transport, request, None).await
}

pub(crate) async fn exec_live(
    transport: &dyn Transport,
    request: Request,
    live: Option<mpsc::Receiver<Vec<u8>>>,
) -> Result<Output, TransportError> {
    let (sender, mut receiver) = mpsc::channel(8);
    let mut output = Output::default();
    let reading = async {
        while let Some(chunk) = receiver.recv().await {
            match chunk {
                Chunk::Stdout(bytes) => output.stdout.extend(bytes),
                Chunk::Stderr(bytes) => output.stderr.extend(bytes),
                Chunk::Sent(sent) => output.sent.push(sent),
            }
        }
    };
    let running = async { transport.exec(request, live, sender).await };
    let (result, ()) = within(async { tokio::join!(running, reading) }).await;
    let Exit { status } = result?;
    output.status = status;
    Ok(output)
}

pub(crate) fn target(port: u16, keys: &[&Utf8PathBuf]) -> Target {
    Target {
        name: HostName::new("node").unwrap(),
        address: "127.0.0.1".to_owned(),
        port,
        user: user(),
        keys: keys.iter().map(|key| (*key).clone()).collect(),
        elevation: Elevation::None,
        access: Access::default(),
        jumps: Vec::new(),
    }
}

/// The user that runs the tests, and so the one that may log in to the test's sshd.
pub(crate) fn user() -> String {
    let output = std::process::Command::new("id")
        .arg("-un")
        .output()
        .expect("id");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

pub(crate) async fn connect(
    options: &SshOptions,
    target: &Target,
) -> Result<Arc<dyn Transport>, TransportError> {
    within(SshConnector::new(options.clone()).connect(target)).await
}

/// Returns the error of a connection that must not come about.
pub(crate) async fn refused(options: &SshOptions, target: &Target) -> TransportError {
    match connect(options, target).await {
        Ok(_) => panic!("the connection should have been refused"),
        Err(error) => error,
    }
}

/// Runs `work`, which drops its sender at its end, and returns all that it told: as events, and as a journal's records.
pub(crate) async fn told(
    mut receiver: mpsc::Receiver<Event>,
    work: impl Future<Output = ()>,
) -> (Vec<Event>, Vec<Record>) {
    let collect = async {
        let mut all = Vec::new();
        while let Some(event) = receiver.recv().await {
            all.push(event);
        }
        all
    };
    let (events, ()) = within(async { tokio::join!(collect, work) }).await;
    let record = |(seq, event): (usize, &Event)| Record {
        v: VERSION,
        seq: seq as u64,
        at: jiff::Timestamp::UNIX_EPOCH,
        event: event.clone(),
    };
    let records: Vec<Record> = events.iter().enumerate().map(record).collect();
    records.iter().for_each(is_as_the_schema_says);
    (events, records)
}

/// Whatever a run tells is what `quorate schema events` promises.
fn is_as_the_schema_says(record: &Record) {
    static SCHEMA: LazyLock<jsonschema::Validator> =
        LazyLock::new(|| jsonschema::validator_for(&quorate::report::schema::events()).unwrap());
    let line = record.to_line().unwrap();
    let value = serde_json::from_str(&line).unwrap();
    if let Err(error) = SCHEMA.validate(&value) {
        panic!("{line}: {error}");
    }
}
