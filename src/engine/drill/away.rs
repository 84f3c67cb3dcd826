//! The user's own command, on the controller: it takes a host away, and another one brings it back.

use std::io::{Read as _, Seek as _};
use std::net::IpAddr;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};

use crate::model::HostName;

/// How long the user's command may take: a management controller needs seconds to power a host off.
const COMMAND: Duration = Duration::from_secs(120);

/// Whoever brings back what the user's command took away: a process of its own that waits for the end of its standard
/// input. That comes when it is asked to, and also when this program dies, however it dies.
pub(super) struct Restorer {
    child: Child,
    output: std::fs::File,
}

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
        let child = shell(host, address)
            .args([
                "-c",
                "cat >/dev/null; exec /bin/sh -c \"$1\" </dev/null",
                "sh",
                line,
            ])
            .stdin(Stdio::piped())
            .stdout(output.try_clone()?)
            .stderr(output.try_clone()?)
            .spawn()?;
        Ok(Self { child, output })
    }

    /// Lets it bring the host back, and waits for it; an error is one sentence.
    pub(super) async fn restore(mut self) -> Result<(), String> {
        drop(self.child.stdin.take());
        let ended = tokio::time::timeout(COMMAND, self.child.wait()).await;
        let mut said = || tail(&mut self.output);
        match ended {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(format!("it ended with {status}; it said: {}", said())),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("it did not end within {} s", COMMAND.as_secs())),
        }
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

/// Runs the user's command to its end; an error is one sentence.
pub(super) async fn run(
    line: &str,
    host: &HostName,
    address: Option<IpAddr>,
) -> Result<(), String> {
    let mut output = tempfile::tempfile().map_err(|error| error.to_string())?;
    let clone = |file: &std::fs::File| file.try_clone().map_err(|error| error.to_string());
    let mut child = shell(host, address)
        .args(["-c", line])
        .stdin(Stdio::null())
        .stdout(clone(&output)?)
        .stderr(clone(&output)?)
        .spawn()
        .map_err(|error| error.to_string())?;
    match tokio::time::timeout(COMMAND, child.wait()).await {
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => Err(format!(
            "it ended with {status}; it said: {}",
            tail(&mut output)
        )),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("it did not end within {} s", COMMAND.as_secs())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_the_command_says_is_told() {
        let (host, address) = (HostName::new("cp1").unwrap(), "10.0.0.1".parse().ok());
        let say = "echo off $QUORATE_HOST $QUORATE_ADDRESS";
        assert_eq!(run(say, &host, address).await, Ok(()));
        let error = run(&format!("{say}; exit 3"), &host, address)
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
}
