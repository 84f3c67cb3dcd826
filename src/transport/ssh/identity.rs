//! Private keys in files: read, and told apart from what is none.

use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};
use russh::keys::{Algorithm, PrivateKey, PublicKey, decode_secret_key, load_public_key};

use crate::bounded;
use crate::model::Secret;

/// Longer than any key (an RSA key of 16,384 bits takes 13 KiB); a device or a log must not be read in whole.
const LONGEST: u64 = 64 << 10;

/// What a key file holds.
#[derive(Debug)]
pub(super) enum Identity {
    /// A key that can sign.
    Key(Arc<PrivateKey>),
    /// A key that only an agent can use: the file is encrypted, holds the public half alone, or names a security key.
    Agent {
        /// The public half.
        key: Box<PublicKey>,
        /// Why the file alone will not do, with what to do.
        note: String,
        /// Whether a passphrase opens the file.
        locked: bool,
    },
}

/// Why a key file is of no use: the text names it and says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum IdentityError {
    #[error("{0} does not exist")]
    Missing(Utf8PathBuf),
    #[error("{path} cannot be read: {reason}")]
    Unreadable { path: Utf8PathBuf, reason: String },
    #[error(
        "{path} may be read by others (mode {mode:04o}), so that its key counts as known to all: chmod 600 {path}"
    )]
    Open { path: Utf8PathBuf, mode: u32 },
    #[error(
        "{0} is encrypted, and its passphrase was not given: ssh-add {0}, or run quorate on a terminal, where it asks for it"
    )]
    Encrypted(Utf8PathBuf),
    #[error("{path} holds no private key that can be used: {reason}")]
    NoKey { path: Utf8PathBuf, reason: String },
}

/// Returns the key in the file, or why there is none.
pub(super) fn load(path: &Utf8Path) -> Result<Identity, IdentityError> {
    let unreadable = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => IdentityError::Missing(path.to_owned()),
        _ => IdentityError::Unreadable {
            path: path.to_owned(),
            reason: error.to_string(),
        },
    };
    // Looked at before it is opened: opening a named pipe would wait for a writer.
    let metadata = match std::fs::metadata(path).map_err(unreadable) {
        // As with ssh, the public half beside it will do for a key of the agent's.
        Err(IdentityError::Missing(_)) => {
            return public_half(&beside(path)).map_err(|_| IdentityError::Missing(path.to_owned()));
        }
        metadata => metadata?,
    };
    if !metadata.is_file() {
        return Err(IdentityError::NoKey {
            path: path.to_owned(),
            reason: "it is no regular file".to_owned(),
        });
    }
    let bytes = bounded::read(path, LONGEST).map_err(unreadable)?;
    let text = String::from_utf8(bytes).map_err(|_| IdentityError::NoKey {
        path: path.to_owned(),
        reason: "it is no text".to_owned(),
    })?;
    if !text.contains("-----BEGIN") && !text.starts_with("PuTTY-User-Key-File-") {
        return public_half(path);
    }
    // ssh refuses such a file as well, and for the same reason.
    let mode = metadata.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(IdentityError::Open {
            path: path.to_owned(),
            mode,
        });
    }
    decode(path, &text)
}

fn public_half(path: &Utf8Path) -> Result<Identity, IdentityError> {
    match public(path) {
        Some(key) => Ok(Identity::Agent {
            key: Box::new(key),
            note: format!(
                "{path} is a public key, and the agent does not hold its private half: ssh-add it"
            ),
            locked: false,
        }),
        None => Err(IdentityError::NoKey {
            path: path.to_owned(),
            reason: "it does not look like one".to_owned(),
        }),
    }
}

/// Returns the public key in the file; `None` where there is none.
fn public(path: &Utf8Path) -> Option<PublicKey> {
    bounded::read(path, LONGEST).ok()?;
    load_public_key(path).ok()
}

fn decode(path: &Utf8Path, text: &str) -> Result<Identity, IdentityError> {
    let note = || IdentityError::Encrypted(path.to_owned()).to_string();
    if text.contains("BEGIN OPENSSH PRIVATE KEY") {
        return match PrivateKey::from_openssh(text) {
            // The public half of this format is never encrypted.
            Ok(key) if is_hardware(&key.algorithm()) => Ok(Identity::Agent {
                key: Box::new(key.public_key().clone()),
                note: format!(
                    "{path} belongs to a security key, which an agent has to talk to: ssh-add {path}"
                ),
                locked: false,
            }),
            Ok(key) if key.is_encrypted() => Ok(Identity::Agent {
                key: Box::new(key.public_key().clone()),
                note: note(),
                locked: true,
            }),
            Ok(key) => Ok(Identity::Key(Arc::new(key))),
            Err(error) => Err(IdentityError::NoKey {
                path: path.to_owned(),
                reason: error.to_string(),
            }),
        };
    }
    // russh reports an encrypted PKCS#8 file as broken DER: the header tells.
    if text.contains("BEGIN ENCRYPTED PRIVATE KEY") || text.contains("Proc-Type: 4,ENCRYPTED") {
        return match public(&beside(path)) {
            Some(key) => Ok(Identity::Agent {
                key: Box::new(key),
                note: note(),
                locked: true,
            }),
            None => Err(IdentityError::Encrypted(path.to_owned())),
        };
    }
    match decode_secret_key(text, None) {
        Ok(key) => Ok(Identity::Key(Arc::new(key))),
        Err(russh::keys::Error::KeyIsEncrypted) => Err(IdentityError::Encrypted(path.to_owned())),
        Err(error) => Err(IdentityError::NoKey {
            path: path.to_owned(),
            reason: error.to_string(),
        }),
    }
}

/// Returns the key of an encrypted file; `None` where the passphrase does not open it.
pub(super) fn open(path: &Utf8Path, passphrase: &Secret<String>) -> Option<PrivateKey> {
    let bytes = bounded::read(path, LONGEST).ok()?;
    let text = Secret::new(String::from_utf8(bytes).ok()?);
    decode_secret_key(text.expose(), Some(passphrase.expose())).ok()
}

fn beside(path: &Utf8Path) -> Utf8PathBuf {
    Utf8PathBuf::from(format!("{path}.pub"))
}

fn is_hardware(algorithm: &Algorithm) -> bool {
    matches!(
        algorithm,
        Algorithm::SkEd25519 | Algorithm::SkEcdsaSha2NistP256
    )
}
