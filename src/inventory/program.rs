//! Programs that are run here, on the controller, for what they print: inventory scripts, and those that print a password.

use std::io::Read;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use super::yaml::MAX_BYTES;

/// How long a program may take. It may ask a cloud about thousands of hosts, or a person for a password.
pub const DEADLINE: Duration = Duration::from_secs(120);
/// How often a program that has closed its output is asked whether it is gone.
const POLL: Duration = Duration::from_millis(5);

/// What a program gave.
#[derive(Debug)]
pub struct Output {
    /// Its standard output, of which one byte more than may be read is kept.
    pub stdout: Vec<u8>,
    /// Its standard error, where that was asked for (`Stdio::piped`); else empty.
    pub stderr: Vec<u8>,
    /// Whether it said that all is well.
    pub success: bool,
    /// How it ended, in words: `exit code 3`.
    pub ending: String,
}

/// Why a program gave nothing.
#[derive(Debug)]
pub enum Failure {
    /// It cannot be started.
    Start(std::io::Error),
    /// It was ended after so many seconds.
    Deadline(u64),
}

/// Returns what a program gave. Its standard error goes where the command says; its standard input is this program's.
///
/// # Errors
/// It cannot be started, or does not end in time; then it is ended.
pub fn run(mut command: Command, deadline: Duration) -> Result<Output, Failure> {
    let end = Instant::now() + deadline;
    command.stdout(Stdio::piped());
    let mut child = command.spawn().map_err(Failure::Start)?;
    let stdout = child.stdout.take().map(collect);
    let stderr = child.stderr.take().map(collect);
    let left = || end.saturating_duration_since(Instant::now());
    let read = |pipe: Option<mpsc::Receiver<Vec<u8>>>| match pipe {
        Some(pipe) => pipe.recv_timeout(left()).ok(),
        None => Some(Vec::new()),
    };
    let outputs = read(stdout).zip(read(stderr));
    let status = outputs.is_some().then(|| wait(&mut child, end)).flatten();
    let (Some((stdout, stderr)), Some(status)) = (outputs, status) else {
        // It may be gone in this very moment.
        let _ = child.kill();
        let _ = child.wait();
        return Err(Failure::Deadline(deadline.as_secs()));
    };
    Ok(Output {
        stdout,
        stderr,
        success: status.success(),
        ending: ending(status),
    })
}

/// Reads a pipe to its end on a thread of its own: a program that writes much to the one blocks while nobody reads it.
fn collect(pipe: impl Read + Send + 'static) -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::sync_channel(1);
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // What was read before an error is what there is.
        let _ = pipe.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes);
        // Nobody waits any more behind the deadline.
        let _ = sender.send(bytes);
    });
    receiver
}

fn wait(child: &mut Child, end: Instant) -> Option<ExitStatus> {
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) if Instant::now() < end => thread::sleep(POLL),
            _ => return None,
        }
    }
}

fn ending(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt as _;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "an unknown ending".into(),
    }
}
