//! From a name to a connection, and what is in the way of it: each cause with its cure.

use std::io;
use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout_at};

use super::client::explain;
use crate::event::printable;
use crate::transport::TransportError;

/// How much is told of what something that is no SSH server says.
const SAID: usize = 80;

/// Somebody listens and wants nothing of us.
const CLOSED: &str = "it closed the connection before it said a word";

/// Why there is no connection, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unreached {
    reason: String,
    help: String,
}

impl Unreached {
    fn new(reason: impl Into<String>, help: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            help: help.into(),
        }
    }

    /// Returns it as the error of the host at `address`.
    pub(super) fn at(self, address: &str) -> TransportError {
        TransportError::Unreachable {
            address: address.to_owned(),
            reason: self.reason,
            help: self.help,
        }
    }
}

/// Returns a TCP connection; name and connection share one deadline.
pub(super) async fn tcp(host: &str, port: u16, limit: Duration) -> Result<TcpStream, Unreached> {
    let deadline = Instant::now() + limit;
    let addresses: Vec<_> = match timeout_at(deadline, lookup_host((host, port))).await {
        Ok(Ok(addresses)) => addresses.collect(),
        Ok(Err(error)) => return Err(unresolved(host, &error.to_string())),
        Err(_) => {
            let words = format!("no name server answers within {}", seconds(limit));
            return Err(unresolved(host, &words));
        }
    };
    match timeout_at(deadline, TcpStream::connect(addresses.as_slice())).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(refused(host, port, &error, limit)),
        Err(_) => Err(silent(host, limit)),
    }
}

fn unresolved(host: &str, words: &str) -> Unreached {
    let words = words
        .strip_prefix("failed to lookup address information: ")
        .unwrap_or(words);
    Unreached::new(
        format!("the name `{host}` does not resolve: {words}"),
        "correct ansible_host, or put the name into DNS or into /etc/hosts of this machine",
    )
}

fn silent(host: &str, limit: Duration) -> Unreached {
    Unreached::new(
        format!(
            "no answer within {}: the host is down, or a firewall drops what is sent to it",
            seconds(limit)
        ),
        format!("is it up, and ansible_host right? Try: ping {host}"),
    )
}

/// Returns what the system's refusal of a connection means.
fn refused(host: &str, port: u16, error: &io::Error, limit: Duration) -> Unreached {
    use io::ErrorKind::{
        ConnectionRefused, HostUnreachable, NetworkUnreachable, PermissionDenied, TimedOut,
    };
    match error.kind() {
        ConnectionRefused => Unreached::new(
            format!("connection refused: a machine answers, but nothing listens on port {port}"),
            "is sshd running there (`systemctl status ssh sshd`), and ansible_port right?",
        ),
        HostUnreachable => Unreached::new(
            "no route to host: no machine has that address now, or a router or firewall turns the packets away",
            format!("is it up, and ansible_host right? Try: ping {host}"),
        ),
        NetworkUnreachable => Unreached::new(
            "network is unreachable: this machine has no route to that address",
            format!(
                "connect this machine to that network (a VPN?); `ip route get {host}` shows its way"
            ),
        ),
        TimedOut => silent(host, limit),
        PermissionDenied => Unreached::new(
            format!("this machine does not let anybody connect there: {error}"),
            "look at this machine's own firewall: `nft list ruleset`",
        ),
        _ => Unreached::new(
            error.to_string(),
            "check that the host is up and that ansible_host and ansible_port are right",
        ),
    }
}

fn is_closed(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(
        error.kind(),
        BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof
    )
}

/// Returns what the end of a handshake means, from what was heard before it: `greeting`.
pub(super) fn ended(greeting: &[u8], error: &russh::Error) -> Unreached {
    let text = String::from_utf8_lossy(greeting);
    let mut lines = text.lines();
    if lines.clone().any(|line| line.starts_with("SSH-")) {
        let help = match error {
            russh::Error::NoCommonAlgo { .. } => {
                "give the host a newer OpenSSH, or let its sshd_config allow one of quorate's"
            }
            _ => "sshd's log on the host says why: journalctl -u ssh -u sshd",
        };
        return Unreached::new(format!("no SSH handshake: {}", explain(error)), help);
    }
    // What sshd says instead of its version (sshd.c; the second since 9.8).
    if text.contains("Exceeded MaxStartups") {
        return Unreached::new(
            "sshd there takes no further login now (MaxStartups): too many have not finished",
            "run again in a minute; `ss -tn state established '( sport = :ssh )'` on the host shows who holds the places, MaxStartups in its sshd_config sets how many there are",
        );
    }
    if text.contains("Not allowed at this time") {
        return Unreached::new(
            "sshd there refuses this machine for a while (PerSourcePenalties): logins from here have failed, or were not finished",
            "wait a few minutes and mend what failed before (user, keys), or name this machine in PerSourcePenaltyExemptList of its sshd_config",
        );
    }
    match lines.find(|line| !line.trim().is_empty()) {
        Some(line) => {
            let line: String = printable(line, false).chars().take(SAID).collect();
            Unreached::new(
                format!("what answers is no SSH server: it said `{line}`"),
                "correct ansible_port: sshd's usual one is 22",
            )
        }
        None if matches!(error, russh::Error::Version) => Unreached::new(
            "what answers is no SSH server",
            "correct ansible_port: sshd's usual one is 22",
        ),
        None => Unreached::new(
            match error {
                // A close shows as the one or the other, by who was quicker.
                russh::Error::Disconnect | russh::Error::HUP => CLOSED.to_owned(),
                russh::Error::IO(error) if is_closed(error) => CLOSED.to_owned(),
                error => format!("{} before it said a word", explain(error)),
            },
            "sshd turns this machine away (MaxStartups, PerSourcePenalties, hosts.deny, fail2ban), or something else listens there: journalctl -u ssh -u sshd on the host",
        ),
    }
}

/// Returns what a handshake that takes too long means.
pub(super) fn overdue(greeting: &[u8], limit: Duration) -> Unreached {
    let help = if greeting.starts_with(b"SSH-1.") && !greeting.starts_with(b"SSH-1.99") {
        "it speaks SSH 1 alone: give the host an SSH server that speaks 2.0"
    } else if greeting.starts_with(b"SSH-") {
        "the host is overloaded or hangs: look at its console, and run again"
    } else {
        "the host hangs, or something else listens there: look at its console, and at ansible_port"
    };
    Unreached::new(
        format!(
            "it took the connection, but no SSH handshake within {}",
            seconds(limit)
        ),
        help,
    )
}

pub(super) fn seconds(limit: Duration) -> String {
    format!("{} s", limit.as_secs_f32())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_of_the_system_has_its_words() {
        let limit = Duration::from_secs(10);
        for (code, words, cure) in [
            (111, "nothing listens on port 22", "ansible_port"),
            (113, "no route to host", "ping node"),
            (101, "network is unreachable", "ip route get node"),
            (110, "no answer within 10 s", "ping node"),
            (13, "does not let anybody connect", "firewall"),
            (24, "Too many open files", "ansible_host"),
        ] {
            let error = io::Error::from_raw_os_error(code);
            let Unreached { reason, help } = refused("node", 22, &error, limit);
            assert!(reason.contains(words), "{code}: {reason}");
            assert!(help.contains(cure), "{code}: {help}");
        }
    }

    #[test]
    fn what_is_heard_before_the_end_tells_why() {
        let closed = || russh::Error::Disconnect;
        for (greeting, error, words, cure) in [
            (
                "",
                closed(),
                "it closed the connection before it said a word",
                "MaxStartups",
            ),
            (
                "Exceeded MaxStartups\r\n",
                closed(),
                "(MaxStartups)",
                "run again",
            ),
            (
                "Not allowed at this time\r\n",
                closed(),
                "(PerSourcePenalties)",
                "ExemptList",
            ),
            (
                "\r\nHTTP/1.1 400 \u{1b}[2J\r\n",
                closed(),
                "said `HTTP/1.1 400 \\u{1b}[2J`",
                "ansible_port",
            ),
            (
                "",
                russh::Error::Version,
                "is no SSH server",
                "ansible_port",
            ),
            (
                "Hello\r\nSSH-2.0-x\r\n",
                closed(),
                "no SSH handshake: the host closed",
                "journalctl",
            ),
        ] {
            let Unreached { reason, help } = ended(greeting.as_bytes(), &error);
            assert!(reason.contains(words), "{greeting:?}: {reason}");
            assert!(help.contains(cure), "{greeting:?}: {help}");
        }
    }
}
