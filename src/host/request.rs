//! What one exec sends to a host.

use std::fmt;
use std::sync::Arc;

use camino::Utf8PathBuf;

/// What an exec is for. Only [`Kind::Probe`] passes the read-only gate of the transport.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Asks facts; changes nothing. Only the fact vocabulary can make one.
    Probe,
    /// Applies steps.
    Wave,
    /// Holds the host's lock for as long as its standard input beats.
    Lock,
    /// Tells a running wave to stop at its next step.
    Stop,
    /// The user's own command (`quorate exec`).
    Command,
}

/// A part of an exec's standard input.
#[derive(Clone, PartialEq, Eq)]
pub enum Segment {
    /// Bytes held in memory. They may be secret: never shown.
    Bytes(Arc<Vec<u8>>),
    /// A file on the controller, sent as it is.
    File {
        /// Where it lies.
        path: Utf8PathBuf,
        /// Its length in bytes when the request was made; sending another length is an error.
        length: u64,
    },
}

impl Segment {
    /// Returns the number of bytes that the segment sends.
    pub fn length(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File { length, .. } => *length,
        }
    }
}

impl fmt::Debug for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => write!(f, "Bytes({})", bytes.len()),
            Self::File { path, length } => write!(f, "File({path}, {length})"),
        }
    }
}

/// One exec: a command that anybody on the host may see, and what is sent to its standard input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    kind: Kind,
    command: String,
    stdin: Vec<Segment>,
    elevate: bool,
}

impl Request {
    /// Returns a request that changes nothing. Private to the vocabulary: what it renders is read-only by its tests.
    pub(in crate::host) fn probe(command: String, stdin: Vec<Segment>) -> Self {
        Self {
            kind: Kind::Probe,
            command,
            stdin,
            elevate: true,
        }
    }

    /// Returns a request that may change the host.
    pub fn new(kind: Kind, command: String, stdin: Vec<Segment>) -> Self {
        let kind = if kind == Kind::Probe {
            Kind::Command
        } else {
            kind
        };
        Self {
            kind,
            command,
            stdin,
            elevate: true,
        }
    }

    /// Returns the request, run as the login user even where the host's variables ask for sudo.
    #[must_use]
    pub fn as_login_user(mut self) -> Self {
        self.elevate = false;
        self
    }

    /// Returns what it is for.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Returns the command line for the remote login shell. It holds no secret.
    pub fn command(&self) -> &str {
        &self.command
    }

    /// Returns what is sent to standard input, in order. End of file follows, unless the caller keeps it open.
    pub fn stdin(&self) -> &[Segment] {
        &self.stdin
    }

    /// Returns whether the command is to run as root, by sudo where the host's variables say so.
    pub fn elevate(&self) -> bool {
        self.elevate
    }

    /// Returns the number of bytes sent to standard input.
    pub fn length(&self) -> u64 {
        self.stdin.iter().map(Segment::length).sum()
    }
}
