//! Floor 0: encrypted texts and the keys that open them: ansible-vault's format and age's. Pure but for random numbers;
//! whoever calls it reads files and asks for passwords.

pub mod age;
pub mod ansible;

use std::fmt;

use crate::model::Secret;

/// In which format something is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// ansible-vault, with a password.
    Ansible,
    /// age, with recipients or a passphrase.
    Age,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ansible => "ansible-vault",
            Self::Age => "age",
        })
    }
}

/// Returns how a file's content is encrypted, by its first bytes; `None` for what is not.
pub fn kind(bytes: &[u8]) -> Option<Kind> {
    if bytes.starts_with(ansible::HEADER.as_bytes()) {
        Some(Kind::Ansible)
    } else if age::is_age(bytes) {
        Some(Kind::Age)
    } else {
        None
    }
}

/// What may open encrypted texts, each with the words for where it comes from.
#[derive(Debug, Clone, Default)]
pub struct Keys {
    /// Passwords of ansible-vault; of age files and age identities that have a passphrase too.
    pub passwords: Vec<Key<Secret<Vec<u8>>>>,
    /// age's private keys.
    pub identities: Vec<Key<age::Identity>>,
    /// Whether a password that was named could not be had: then it is no news that there is none.
    pub lost_password: bool,
    /// Whether a private key that was named could not be read.
    pub lost_identity: bool,
}

/// A key.
#[derive(Debug, Clone)]
pub struct Key<K> {
    /// The key itself.
    pub key: K,
    /// Where it comes from, such as `--age-identity key.txt`.
    pub from: String,
}

/// Why an encrypted text stays closed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Closed {
    /// There is nothing to try.
    #[error("it is encrypted with {kind}, and no key was given")]
    NoKey {
        /// The format.
        kind: Kind,
        /// Whether a password opens it, and no private key.
        password: bool,
    },
    /// Nothing of what was tried opens it.
    #[error("it is encrypted with {kind}, and none of the keys opens it (tried: {})", tried.join(", "))]
    WrongKey {
        /// The format.
        kind: Kind,
        /// Whether a password opens it, and no private key.
        password: bool,
        /// Where the keys come from.
        tried: Vec<String>,
    },
    /// It is not whole, or not of the format that its first line promises.
    #[error("it is encrypted with {kind}, and damaged: {reason}")]
    Damaged {
        /// The format.
        kind: Kind,
        /// What is wrong, without any of its content.
        reason: String,
    },
}

impl Closed {
    /// Returns what to do next.
    pub fn help(&self) -> String {
        match self {
            Self::NoKey { kind, password } => flags(*kind, *password).into(),
            Self::WrongKey { kind, password, .. } => format!(
                "look which key it was encrypted for; {}",
                flags(*kind, *password)
            ),
            Self::Damaged { .. } => {
                "take it from where it was whole, such as version control, or encrypt it again"
                    .into()
            }
        }
    }
}

fn flags(kind: Kind, password: bool) -> &'static str {
    match (kind, password) {
        (Kind::Ansible, _) => {
            "`--vault-password-file FILE` (or ANSIBLE_VAULT_PASSWORD_FILE) names the password, `--ask-vault-pass` asks for it"
        }
        (Kind::Age, true) => {
            "`--vault-password-file FILE` names its passphrase, `--ask-vault-pass` asks for it"
        }
        (Kind::Age, false) => {
            "`--age-identity FILE` (or QUORATE_AGE_IDENTITY) names the private key"
        }
    }
}

/// What was encrypted, and with which of the keys.
#[derive(Debug)]
pub struct Opened {
    /// The content.
    pub content: Secret<Vec<u8>>,
    /// The password, where it was one.
    pub password: Option<Secret<Vec<u8>>>,
    /// The label of an ansible-vault text of version 1.2.
    pub label: Option<String>,
}

impl Keys {
    /// Returns whether a reason is told by what was said of the keys themselves.
    pub fn is_told(&self, closed: &Closed) -> bool {
        match closed {
            Closed::NoKey { password: true, .. } => self.lost_password,
            Closed::NoKey { .. } => self.lost_identity,
            _ => false,
        }
    }

    /// Returns the content of an encrypted text.
    ///
    /// # Errors
    /// There is no key, none that fits, or the text is damaged. Text that is not encrypted at all counts as damaged.
    pub fn open(&self, bytes: &[u8]) -> Result<Opened, Closed> {
        match kind(bytes) {
            Some(Kind::Age) => age::open(bytes, self),
            _ => ansible::open(bytes, self),
        }
    }
}
