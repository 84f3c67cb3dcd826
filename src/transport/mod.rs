//! Floor 3: one exec on one host, over SSH. Decorators add sudo, the read-only gate and counting.

mod access;
mod count;
pub mod fake;
mod feed;
mod gate;
pub mod ssh;
mod stack;
mod sudo;
mod tap;

use std::sync::Arc;

use camino::Utf8PathBuf;
use futures::future::BoxFuture;
use tokio::sync::mpsc;

use crate::host::Request;
use crate::model::{HostName, Secret};

pub use access::{Access, AgentChoice};
pub use count::{Counters, CountingConnector, Tally};
pub use gate::ReadOnlyConnector;
pub use stack::stack;
pub use sudo::SudoConnector;

/// Where a host is and how to get in.
#[derive(Debug, Clone)]
pub struct Target {
    /// The name in the inventory.
    pub name: HostName,
    /// Name or address to connect to (`ansible_host`).
    pub address: String,
    /// `ansible_port`.
    pub port: u16,
    /// `ansible_user`.
    pub user: String,
    /// `ansible_ssh_private_key_file`, IdentityFile; empty: the agent's keys, then the usual files in ~/.ssh.
    pub keys: Vec<Utf8PathBuf>,
    /// How root is reached.
    pub elevation: Elevation,
    /// What else is said of the way in.
    pub access: Access,
    /// The hosts to jump over, from here on. Their own `jumps` and `elevation` do not count.
    pub jumps: Vec<Target>,
}

impl Target {
    /// Returns `address:port`, with brackets around an IPv6 address.
    pub fn endpoint(&self) -> String {
        ssh::Address(&self.address, self.port).to_string()
    }
}

/// How a command becomes root's.
#[derive(Debug, Clone)]
pub enum Elevation {
    /// The login user's own rights.
    None,
    /// `sudo`, to `user`, with the password where one is needed.
    Sudo {
        /// `ansible_become_user`.
        user: String,
        /// `ansible_become_password`.
        password: Option<Secret<String>>,
    },
}

/// A piece of a command's output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chunk {
    /// Standard output.
    Stdout(Vec<u8>),
    /// Standard error.
    Stderr(Vec<u8>),
    /// So many bytes of standard input have been handed to the network, in all.
    Sent(u64),
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit {
    /// The exit status; 128 + n where signal n ended it.
    pub status: u32,
}

/// Why an exec did not give an exit status.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// Nobody answers at the address. Exit code 3.
    #[error("cannot reach {address}: {reason}")]
    Unreachable {
        /// `address:port`.
        address: String,
        /// Which of its causes it is: no name, no route, refused, no answer, no SSH server, turned away.
        reason: String,
        /// What to do.
        help: String,
    },
    /// The key that the host shows is not the one on record, or none is on record. Exit code 3.
    #[error("host key of {address} not accepted: {reason}")]
    HostKey {
        /// `address:port`.
        address: String,
        /// Unknown, changed or revoked; with fingerprint and file:line.
        reason: String,
        /// What to do.
        help: String,
        /// For an unknown key: the file that `quorate hosts trust` would write it to.
        trusted_in: Option<String>,
    },
    /// A host on the way was not reached, or let nobody in.
    #[error("jump host {name}: {error}")]
    Jump {
        /// The jump host, as it was named.
        name: String,
        /// What went wrong there.
        error: Box<TransportError>,
    },
    /// No key or password was accepted. Exit code 3.
    #[error("{user}@{address} was refused; tried {tried}")]
    Authentication {
        /// `address:port`.
        address: String,
        /// The login user.
        user: String,
        /// Which keys and methods were tried, or why one could not be read.
        tried: String,
    },
    /// The login user may not become root. Exit code 1.
    #[error("cannot become {user}: {reason}")]
    Elevation {
        /// The user to become.
        user: String,
        /// Not in sudoers, a wrong password, a password is needed, or requiretty.
        reason: String,
        /// What to do.
        help: String,
    },
    /// The login user's shell does not run commands. Exit code 1.
    #[error("cannot run commands as {user}: {reason}")]
    Login {
        /// The login user.
        user: String,
        /// What the shell said, or that it did not come to the command.
        reason: String,
        /// What to do.
        help: String,
    },
    /// The connection broke after it was made; the command's fate is unknown.
    #[error("lost the connection to {address}: {reason}")]
    Lost {
        /// `address:port`.
        address: String,
        /// What was seen.
        reason: String,
    },
    /// The read-only gate refused a request that is no probe.
    #[error("refused: this run is read-only, and the request is no probe")]
    ReadOnly,
    /// A file that was to be sent could not be read, or changed in between.
    #[error("cannot send {path}: {reason}")]
    Payload {
        /// The file on the controller.
        path: Utf8PathBuf,
        /// What the system said.
        reason: String,
    },
    /// Nothing came back for longer than the deadline.
    #[error("{address} did not answer within {seconds} s ({what})")]
    Deadline {
        /// `address:port`.
        address: String,
        /// The deadline that ran out.
        seconds: u64,
        /// What was waited for.
        what: String,
    },
}

/// What is said of a host that has heard enough.
const TOO_MANY: &str = "then the host closed the connection (sshd_config: MaxAuthTries)";

impl TransportError {
    /// Returns what to do about it.
    pub fn help(&self) -> String {
        match self {
            Self::HostKey {
                help,
                trusted_in: Some(file),
                ..
            } => format!(
                "{help}; `quorate hosts trust` shows the keys of all hosts, and writes them to {file} after a yes"
            ),
            Self::Unreachable { help, .. }
            | Self::HostKey { help, .. }
            | Self::Login { help, .. }
            | Self::Elevation { help, .. } => help.clone(),
            // The inventory's variables do not count for a jump host.
            Self::Jump { name, error } => match &**error {
                Self::Unreachable { .. } | Self::Deadline { .. } => format!(
                    "check that it is up, and HostName and Port of `{name}` in ssh's configuration"
                ),
                Self::Authentication { .. } => format!(
                    "set User and IdentityFile of `{name}` in ssh's configuration, or load the key into the agent with `ssh-add`"
                ),
                Self::HostKey {
                    help,
                    trusted_in: Some(_),
                    ..
                } => format!(
                    "{help}, and connect to it once with `ssh {name}`: `quorate hosts trust` writes the keys of hosts, and none of those on the way"
                ),
                error => error.help(),
            },
            Self::Authentication { tried, .. } if tried.contains(TOO_MANY) => {
                "name the right key alone, with ansible_ssh_private_key_file (the public half of one in the agent will do) or IdentityFile and IdentitiesOnly in ~/.ssh/config: a host counts each key that is offered".into()
            }
            Self::Authentication { user, .. } => format!(
                "one of these keys has to be in {user}'s authorized_keys on the host (ssh-copy-id); another key: set ansible_ssh_private_key_file, or load it into the agent with `ssh-add`; a password: `-k`, ansible_password; another user: ansible_user"
            ),
            Self::Lost { .. } => "run again: quorate looks at the host anew and goes on".into(),
            Self::ReadOnly => "this is a bug in quorate: please report it".into(),
            Self::Payload { .. } => "look at that file on this machine, then run again".into(),
            Self::Deadline { .. } => {
                "the host is overloaded or hangs: look at its console and its load, then run again"
                    .into()
            }
        }
    }
}

/// One connection to one host.
pub trait Transport: Send + Sync {
    /// Runs the request's command, sends its standard input while reading, and hands every piece of output to
    /// `output`, which is bounded: a slow reader slows the host. `live` carries further standard input after the request's own;
    /// end of file is sent when it closes.
    ///
    /// Returns the exit status, or why there is none.
    fn exec<'a>(
        &'a self,
        request: Request,
        live: Option<mpsc::Receiver<Vec<u8>>>,
        output: mpsc::Sender<Chunk>,
    ) -> BoxFuture<'a, Result<Exit, TransportError>>;

    /// Closes the connection in order.
    fn close<'a>(&'a self) -> BoxFuture<'a, ()>;
}

/// Makes connections.
pub trait Connect: Send + Sync {
    /// Returns a connection, authenticated and with the host's key checked.
    fn connect<'a>(
        &'a self,
        target: &'a Target,
    ) -> BoxFuture<'a, Result<Arc<dyn Transport>, TransportError>>;
}
