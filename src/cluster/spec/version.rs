//! Exact versions.

use std::fmt;
use std::str::FromStr;

/// An exact version, `X.Y.Z`, without pre-releases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// The first number.
    pub major: u32,
    /// The second number.
    pub minor: u32,
    /// The third number.
    pub patch: u32,
}

/// Why a text is no exact version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VersionError {
    /// It begins with `v`, as tags do.
    #[error("begins with `v`; write `{0}`")]
    Prefix(String),
    /// It is not three numbers.
    #[error("is no exact version; write three numbers, as in \"1.36.3\"")]
    Form,
}

impl Version {
    /// Returns the version of these numbers.
    pub const fn new(major: u32, minor: u32, patch: u32) -> Self {
        Self { major, minor, patch }
    }

    /// Returns `X.Y`, which package repositories are named after.
    pub fn minor_release(&self) -> String {
        format!("{}.{}", self.major, self.minor)
    }
}

impl FromStr for Version {
    type Err = VersionError;
    fn from_str(text: &str) -> Result<Self, VersionError> {
        if let Some(rest) = text.strip_prefix('v')
            && rest.parse::<Self>().is_ok()
        {
            return Err(VersionError::Prefix(rest.into()));
        }
        let number = |part: &str| {
            let plain = !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()) && (part == "0" || !part.starts_with('0'));
            if plain { part.parse().map_err(|_| VersionError::Form) } else { Err(VersionError::Form) }
        };
        match text.split('.').collect::<Vec<_>>()[..] {
            [major, minor, patch] => Ok(Self { major: number(major)?, minor: number(minor)?, patch: number(patch)? }),
            _ => Err(VersionError::Form),
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}
