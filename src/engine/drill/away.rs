//! The user's own command, on the controller: it takes a host away, and another one brings it back.

use std::io::{PipeWriter, Read as _, Seek as _, Write as _};
use std::net::IpAddr;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, Command};

use crate::model::HostName;

/// How long the user's command may take: a management controller needs seconds to power a host off.
const COMMAND: Duration = Duration::from_secs(120);

/// Whoever brings back what the user's command took away: a process of its own that waits for the end of its standard
/// input. That comes when it is asked to, and also when this program dies, however it dies.
///
/// The command outlives this program too, and a host that is brought back before it is taken away stays away. So the restorer
/// is told the command's process, and waits for its end before it does its work, or ends it.
pub(super) struct Restorer {
    child: Child,
    held: PipeWriter,
    output: std::fs::File,
}

/// A way to tell the restorer of the command that takes away; it waits while one is held.
pub(super) struct Leash(PipeWriter);

/// The first line is the command's process; a second one says that it has had its time. `$2` is how many seconds it gets
/// where nobody is left to say so.
const RESTORE: &str = r#"pid= word=
read -r pid
read -r word
if [ -n "$pid" ] && kill -0 "$pid" 2>/dev/null; then
  tries=0
  while [ "$word" != late ] && [ $tries -lt "$2" ] && kill -0 "$pid" 2>/dev/null; do
    sleep 1
    tries=$((tries + 1))
  done
  kill -s KILL -- "-$pid" 2>/dev/null
fi
exec /bin/sh -c "$1" </dev/null"#;
/// Begins when the restorer knows of it: without a word this program has died.
const AWAY: &str = r#"read -r go || exit 1
exec /bin/sh -c "$1" </dev/null"#;

fn shell(host: &HostName, address: Option<IpAddr>) -> Command {
    let mut command = Command::new("/bin/sh");
    command
        .env("QUORATE_HOST", host.as_str())
        .env(
            "QUORATE_ADDRESS",
            address.map_or(String::new(), |a| a.to_string()),
        )
        // A Ctrl-C is for this program alone: it sees to the order.
        .process_group(0);
    command
}

impl Restorer {
    /// Starts it; it waits.
    pub(super) fn arm(
        line: &str,
        host: &HostName,
        address: Option<IpAddr>,
    ) -> std::io::Result<Self> {
        let output = tempfile::tempfile()?;
        let (asked, held) = std::io::pipe()?;
        let seconds = COMMAND.as_secs().to_string();
        let child = shell(host, address)
            .args(["-c", RESTORE, "sh", line, &seconds])
            .stdin(asked)
            .stdout(output.try_clone()?)
            .stderr(output.try_clone()?)
            .spawn()?;
        Ok(Self {
            child,
            held,
            output,
        })
    }

    /// Returns what the command that takes away is to be told of by.
    pub(super) fn leash(&self) -> std::io::Result<Leash> {
        self.held.try_clone().map(Leash)
    }

    /// Lets it bring the host back, and waits for it; an error is one sentence.
    pub(super) async fn restore(self) -> Result<(), String> {
        let Self {
            mut child,
            held,
            mut output,
        } = self;
        drop(held);
        let ended = tokio::time::timeout(COMMAND, child.wait()).await;
        let mut said = || tail(&mut output);
        match ended {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(format!("it ended with {status}; it said: {}", said())),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("it did not end within {} s", COMMAND.as_secs())),
        }
    }
}

impl Leash {
    fn tell(&mut self, word: &str) -> std::io::Result<()> {
        writeln!(self.0, "{word}")
    }
}

fn tail(file: &mut std::fs::File) -> String {
    let mut text = Vec::new();
    let read = file
        .rewind()
        .and_then(|()| file.take(4096).read_to_end(&mut text));
    match read {
        Ok(0) | Err(_) => "nothing".into(),
        Ok(_) => String::from_utf8_lossy(&text).trim().replace('\n', " / "),
    }
}

/// Runs the user's command to its end; an error is one sentence. Where it does not come to its end in time the restorer ends it.
pub(super) async fn run(
    line: &str,
    host: &HostName,
    address: Option<IpAddr>,
    leash: Option<Leash>,
) -> Result<(), String> {
    run_within(COMMAND, line, host, address, leash).await
}

async fn run_within(
    limit: Duration,
    line: &str,
    host: &HostName,
    address: Option<IpAddr>,
    mut leash: Option<Leash>,
) -> Result<(), String> {
    let told = |error: std::io::Error| error.to_string();
    let mut output = tempfile::tempfile().map_err(told)?;
    let mut child = shell(host, address)
        .args(["-c", AWAY, "sh", line])
        .stdin(Stdio::piped())
        .stdout(output.try_clone().map_err(told)?)
        .stderr(output.try_clone().map_err(told)?)
        .spawn()
        .map_err(told)?;
    if let (Some(leash), Some(pid)) = (&mut leash, child.id()) {
        leash.tell(&pid.to_string()).map_err(told)?;
    }
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(b"go\n").await.map_err(told)?;
    }
    match tokio::time::timeout(limit, child.wait()).await {
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => Err(format!(
            "it ended with {status}; it said: {}",
            tail(&mut output)
        )),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => {
            if let Some(leash) = &mut leash {
                leash.tell("late").map_err(told)?;
            }
            Err(format!("it did not end within {} s", limit.as_secs()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_the_command_says_is_told() {
        let (host, address) = (HostName::new("cp1").unwrap(), "10.0.0.1".parse().ok());
        let say = "echo off $QUORATE_HOST $QUORATE_ADDRESS";
        assert_eq!(run(say, &host, address, None).await, Ok(()));
        let error = run(&format!("{say}; exit 3"), &host, address, None)
            .await
            .unwrap_err();
        assert!(
            error.contains("exit status: 3") && error.ends_with("off cp1 10.0.0.1"),
            "{error}"
        );
        let restorer = Restorer::arm("echo no; exit 1", &host, None).unwrap();
        assert!(
            restorer
                .restore()
                .await
                .unwrap_err()
                .ends_with("it said: no")
        );
    }

    #[tokio::test]
    async fn a_host_comes_back_when_nobody_asks_any_more() {
        let folder = tempfile::tempdir().unwrap();
        let sign = folder.path().join("back");
        let line = format!("echo $QUORATE_HOST >{}.new; mv {0}.new {0}", sign.display());
        let restorer = Restorer::arm(&line, &HostName::new("cp1").unwrap(), None).unwrap();
        assert!(!sign.exists(), "it waits");
        // As the end of this process would: nobody says that it is time.
        drop(restorer);
        let end = std::time::Instant::now() + Duration::from_secs(20);
        while !sign.exists() {
            assert!(std::time::Instant::now() < end, "the host stays away");
            tokio::task::yield_now().await;
        }
        assert_eq!(std::fs::read_to_string(sign).unwrap(), "cp1\n");
    }

    /// A file that both commands write lines to.
    struct Log(tempfile::TempDir);

    impl Log {
        fn say(&self, word: &str) -> String {
            format!("echo {word} >>{}", self.0.path().join("log").display())
        }

        async fn is(&self, lines: &str) {
            let end = std::time::Instant::now() + Duration::from_secs(20);
            let read = || std::fs::read_to_string(self.0.path().join("log")).unwrap_or_default();
            while read() != lines {
                assert!(std::time::Instant::now() < end, "{:?}", read());
                tokio::task::yield_now().await;
            }
        }
    }

    #[tokio::test]
    async fn a_host_is_not_brought_back_before_it_is_away() {
        let log = Log(tempfile::tempdir().unwrap());
        let gate = log.0.path().join("gate");
        let away = format!(
            "{}; while [ ! -e {} ]; do sleep 0.01; done; {}",
            log.say("begun"),
            gate.display(),
            log.say("away")
        );
        let host = HostName::new("cp1").unwrap();
        let restorer = Restorer::arm(&log.say("back"), &host, None).unwrap();
        let leash = restorer.leash().unwrap();
        let run = tokio::spawn(async move { run(&away, &host, None, Some(leash)).await });
        log.is("begun\n").await;
        // As the end of this process would, in the middle of the command.
        run.abort();
        assert!(run.await.unwrap_err().is_cancelled());
        drop(restorer);
        std::fs::write(gate, "").unwrap();
        log.is("begun\naway\nback\n").await;
    }

    #[tokio::test]
    async fn a_command_that_does_not_end_is_ended_before_the_host_comes_back() {
        let log = Log(tempfile::tempdir().unwrap());
        let away = format!("{}; sleep 60; {}", log.say("begun"), log.say("away"));
        let host = HostName::new("cp1").unwrap();
        let restorer = Restorer::arm(&log.say("back"), &host, None).unwrap();
        let leash = restorer.leash().unwrap();
        let ran = tokio::join!(
            run_within(Duration::from_secs(1), &away, &host, None, Some(leash)),
            log.is("begun\n")
        );
        assert!(ran.0.unwrap_err().contains("did not end within 1 s"));
        assert_eq!(restorer.restore().await, Ok(()));
        log.is("begun\nback\n").await;
    }
}
