//! age's format (age-encryption.org/v1), binary and armored. The cipher is the `age` crate's; this knows which keys to
//! try, and says what is wrong in this program's words.

use std::fmt;
use std::io::{Read as _, Write as _};
use std::sync::Arc;

use age::armor::{ArmoredReader, ArmoredWriter, Format};
use age::secrecy::SecretString;
use age::{DecryptError, Decryptor, Encryptor, scrypt, x25519};
use zeroize::Zeroizing;

use super::{Closed, Key, Keys, Kind, Opened};
use crate::model::Secret;

/// With what a binary file begins.
const BINARY: &[u8] = b"age-encryption.org/";
/// With what an armored one begins.
const ARMORED: &[u8] = b"-----BEGIN AGE ENCRYPTED FILE-----";
/// The work of a passphrase is 2 to this power: 256 MiB of memory and about a second, as age's own program has it.
const WORK: u8 = 18;
/// The most work that is done to open a file: 4 GiB of memory, the limit of age's own program.
const MOST_WORK: u8 = 22;

/// Bytes of a header that are looked at: a recipient has about a hundred.
const MOST_HEADER: u64 = 1 << 20;

/// A private key.
#[derive(Clone)]
pub struct Identity(Arc<x25519::Identity>);

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A public key that files are encrypted for, as text `age1...`.
#[derive(Clone, PartialEq, Eq)]
pub struct Recipient(x25519::Recipient);

impl fmt::Debug for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Who is to be able to read a file.
#[derive(Debug, Clone)]
pub enum Readers {
    /// Whoever has the private key of one of them; never empty.
    Recipients(Vec<Recipient>),
    /// Whoever knows the passphrase.
    Passphrase(Secret<Vec<u8>>),
}

impl Identity {
    /// Returns a new private key.
    pub fn generate() -> Self {
        Self(Arc::new(x25519::Identity::generate()))
    }

    /// Returns the public key that belongs to it.
    pub fn recipient(&self) -> Recipient {
        Recipient(self.0.to_public())
    }
}

impl std::str::FromStr for Recipient {
    type Err = String;

    /// Reads `age1...`; the error is a sentence without the text itself.
    fn from_str(text: &str) -> Result<Self, String> {
        if text.starts_with("ssh-") {
            return Err("SSH keys are not supported as recipients: `age-keygen` makes a key, whose `age1…` is one".into());
        }
        if text.starts_with("AGE-SECRET-KEY-") {
            return Err("this is a private key; its public one, `age1…`, is the recipient".into());
        }
        x25519::Recipient::from_str(text)
            .map(Self)
            .map_err(|error| format!("this is no recipient of age (`age1…`): {error}"))
    }
}

pub(super) fn is_age(bytes: &[u8]) -> bool {
    bytes.starts_with(BINARY) || bytes.trim_ascii_start().starts_with(ARMORED)
}

/// Returns whether an encrypted file is armored: text, that is.
pub fn is_armored(bytes: &[u8]) -> bool {
    bytes.trim_ascii_start().starts_with(ARMORED)
}

/// Returns whether a file is encrypted with a passphrase.
pub fn has_passphrase(bytes: &[u8]) -> bool {
    Decryptor::new(ArmoredReader::new(bytes)).is_ok_and(|decryptor| decryptor.is_scrypt())
}

/// Returns how many recipients a file has: for each there is a line in its header, which says nothing of who it is.
pub fn recipients(bytes: &[u8]) -> usize {
    let mut head = Vec::new();
    // What could not be read has none.
    let _ = ArmoredReader::new(bytes)
        .take(MOST_HEADER)
        .read_to_end(&mut head);
    let lines = head.split(|byte| *byte == b'\n');
    let lines = lines.take_while(|line| !line.starts_with(b"---"));
    // What age itself adds to keep programs from relying on the form is nobody's.
    lines
        .filter(|line| line.starts_with(b"-> ") && !is_grease(line))
        .count()
}

/// Returns whether a line of a header is there to be skipped (c2sp.org/age: a type that ends in `-grease`).
fn is_grease(line: &[u8]) -> bool {
    let kind = line[3..].split(|byte| *byte == b' ').next();
    kind.is_some_and(|kind| kind.ends_with(b"-grease"))
}

/// Returns the content of an age file.
pub(super) fn open(bytes: &[u8], keys: &Keys) -> Result<Opened, Closed> {
    let decryptor = || Decryptor::new(ArmoredReader::new(bytes));
    let password = decryptor().map_err(|error| damaged(&error))?.is_scrypt();
    let kind = Kind::Age;
    let mut tried = Vec::new();
    if password {
        for key in &keys.passwords {
            tried.push(key.from.clone());
            let Some(mut identity) = passphrase(&key.key).map(scrypt::Identity::new) else {
                continue;
            };
            identity.set_max_work_factor(MOST_WORK);
            let decryptor = decryptor().map_err(|error| damaged(&error))?;
            if let Some(content) = with(decryptor, &[&identity])? {
                return Ok(Opened {
                    content,
                    password: Some(key.key.clone()),
                    label: None,
                });
            }
        }
    } else {
        let identities: Vec<&dyn age::Identity> = keys
            .identities
            .iter()
            .map(|key| key.key.0.as_ref() as &dyn age::Identity)
            .collect();
        for key in &keys.identities {
            if !tried.contains(&key.from) {
                tried.push(key.from.clone());
            }
        }
        let decryptor = decryptor().map_err(|error| damaged(&error))?;
        if let Some(content) = with(decryptor, &identities)? {
            return Ok(Opened {
                content,
                password: None,
                label: None,
            });
        }
    }
    Err(if tried.is_empty() {
        Closed::NoKey { kind, password }
    } else {
        Closed::WrongKey {
            kind,
            password,
            tried,
        }
    })
}

/// Returns the content, unless none of the keys fits.
fn with<R: std::io::Read>(
    decryptor: Decryptor<R>,
    identities: &[&dyn age::Identity],
) -> Result<Option<Secret<Vec<u8>>>, Closed> {
    let mut reader = match decryptor.decrypt(identities.iter().copied()) {
        Ok(reader) => reader,
        // For a passphrase the one, for private keys the other.
        Err(DecryptError::DecryptionFailed | DecryptError::NoMatchingKeys) => return Ok(None),
        Err(error) => return Err(damaged(&error)),
    };
    let mut content = Zeroizing::new(Vec::new());
    match reader.read_to_end(&mut content) {
        Ok(_) => Ok(Some(Secret::new(std::mem::take(&mut *content)))),
        Err(_) => Err(Closed::Damaged {
            kind: Kind::Age,
            reason: "its content was cut off or changed".into(),
        }),
    }
}

fn damaged(error: &DecryptError) -> Closed {
    let reason = match error {
        DecryptError::UnknownFormat => "its version of age's format is not known".into(),
        DecryptError::ExcessiveWork { required, .. } => {
            format!("its passphrase asks for work of 2^{required}; 2^{MOST_WORK} is done at most")
        }
        DecryptError::InvalidMac => "its header was changed".into(),
        _ => "its header is not whole".into(),
    };
    Closed::Damaged {
        kind: Kind::Age,
        reason,
    }
}

fn passphrase(password: &Secret<Vec<u8>>) -> Option<SecretString> {
    let text = std::str::from_utf8(password.expose()).ok()?;
    Some(SecretString::from(text.to_owned()))
}

/// Returns the content as an age file, armored or binary, or why there is none.
///
/// # Errors
/// A sentence, where there are no recipients or the passphrase is no text.
pub fn seal(content: &[u8], readers: &Readers, armored: bool) -> Result<Vec<u8>, String> {
    let encryptor = match readers {
        Readers::Recipients(recipients) => {
            let recipients = recipients.iter().map(|r| &r.0 as &dyn age::Recipient);
            Encryptor::with_recipients(recipients).map_err(|error| error.to_string())?
        }
        Readers::Passphrase(password) => {
            let text = passphrase(password).ok_or("the passphrase is no UTF-8 text")?;
            let mut recipient = scrypt::Recipient::new(text);
            recipient.set_work_factor(WORK);
            Encryptor::with_recipients(std::iter::once(&recipient as &dyn age::Recipient))
                .map_err(|error| error.to_string())?
        }
    };
    let format = if armored {
        Format::AsciiArmor
    } else {
        Format::Binary
    };
    let write = || {
        let output = ArmoredWriter::wrap_output(Vec::new(), format)?;
        let mut writer = encryptor.wrap_output(output)?;
        writer.write_all(content)?;
        writer.finish()?.finish()
    };
    write().map_err(|error: std::io::Error| error.to_string())
}

/// Why a file of private keys cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoIdentity {
    /// It is encrypted itself, and stays so.
    #[error("{0}")]
    Closed(#[from] Closed),
    /// A line is no private key.
    #[error("line {0} is no private key of age (`AGE-SECRET-KEY-1…`)")]
    Line(usize),
    /// It is a key of SSH's.
    #[error("SSH keys are not supported as identities: `age-keygen` makes one")]
    Ssh,
    /// A key of a plugin's.
    #[error("line {0} is a key of an age plugin, and plugins are not run")]
    Plugin(usize),
    /// There is none in it.
    #[error("it holds no private key")]
    Empty,
}

/// Returns the private keys of an identity file: one in a line, with comments, as age-keygen writes it. The file may itself be
/// encrypted with a passphrase, which is then among the passwords of `keys`.
pub fn identities(bytes: &[u8], from: &str, keys: &Keys) -> Result<Vec<Key<Identity>>, NoIdentity> {
    let opened;
    let plain = if is_age(bytes) {
        opened = open(bytes, keys)?;
        opened.content.expose().as_slice()
    } else {
        bytes
    };
    let text = String::from_utf8_lossy(plain);
    let text = Zeroizing::new(text.into_owned());
    if text.contains("PRIVATE KEY-----") {
        return Err(NoIdentity::Ssh);
    }
    let mut identities = Vec::new();
    for (n, line) in text.lines().map(str::trim).enumerate() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if line.starts_with("AGE-PLUGIN-") {
            return Err(NoIdentity::Plugin(n + 1));
        }
        let key = line
            .parse::<x25519::Identity>()
            .map_err(|_| NoIdentity::Line(n + 1))?;
        identities.push(Key {
            key: Identity(Arc::new(key)),
            from: from.to_owned(),
        });
    }
    if identities.is_empty() {
        return Err(NoIdentity::Empty);
    }
    Ok(identities)
}
