//! File modes.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A file's permission bits, 0 to 0o7777 (chmod(1)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mode(u32);

/// Why a text is no mode.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a file mode; write it as a quoted octal number, such as \"0644\"")]
pub struct ModeError {
    text: String,
}

impl Mode {
    /// A file that its owner alone may read and write.
    pub const PRIVATE: Mode = Mode(0o600);
    /// A file that everybody may read.
    pub const PUBLIC: Mode = Mode(0o644);
    /// A program, or a directory, that everybody may use.
    pub const EXECUTABLE: Mode = Mode(0o755);

    /// Returns the mode with these permission bits; bits above 0o7777 are an error.
    pub fn new(bits: u32) -> Result<Self, ModeError> {
        if bits > 0o7777 {
            return Err(ModeError {
                text: format!("{bits:o}"),
            });
        }
        Ok(Self(bits))
    }

    /// Returns the permission bits.
    pub fn bits(self) -> u32 {
        self.0
    }
}

impl FromStr for Mode {
    type Err = ModeError;
    fn from_str(text: &str) -> Result<Self, ModeError> {
        let error = || ModeError {
            text: text.to_string(),
        };
        let digits = text.strip_prefix("0o").unwrap_or(text);
        if digits.is_empty() || digits.len() > 5 {
            return Err(error());
        }
        let bits = u32::from_str_radix(digits, 8).map_err(|_| error())?;
        Self::new(bits).map_err(|_| error())
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

impl TryFrom<String> for Mode {
    type Error = ModeError;
    fn try_from(text: String) -> Result<Self, ModeError> {
        text.parse()
    }
}

impl From<Mode> for String {
    fn from(mode: Mode) -> String {
        mode.to_string()
    }
}
