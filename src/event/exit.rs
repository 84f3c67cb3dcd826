//! Exit codes, in one place.

/// How the program ends; the number is the process's exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ExitCode {
    /// Done, or nothing to change.
    Done = 0,
    /// A host or the cluster failed.
    Failed = 1,
    /// `plan` (or `apply --check`) found changes.
    Changes = 2,
    /// A host could not be reached, nothing else failed.
    Unreachable = 3,
    /// The input is wrong; nobody was contacted.
    Input = 4,
    /// Refused, because it would be unsafe or someone else holds the lock.
    Refused = 5,
    /// Interrupted by the user.
    Interrupted = 130,
}

impl ExitCode {
    /// All codes; where several hold, the first of them rules.
    pub const PRECEDENCE: [Self; 7] = [
        Self::Input,
        Self::Interrupted,
        Self::Refused,
        Self::Failed,
        Self::Unreachable,
        Self::Changes,
        Self::Done,
    ];

    /// Returns the number.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// Returns the code with this number.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::PRECEDENCE
            .into_iter()
            .find(|exit| exit.code() == code)
    }

    /// Returns whichever of the two rules.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self::PRECEDENCE
            .into_iter()
            .find(|exit| *exit == self || *exit == other)
            .unwrap_or(self)
    }
}
