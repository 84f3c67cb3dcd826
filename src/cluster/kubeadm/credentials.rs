//! The two secrets of a join: bootstrap token and certificate key.

use std::str::FromStr;

use rand::TryRngCore;
use rand::rngs::OsRng;

use crate::model::Secret;

/// Length of a token's public half (kubeadm token, kubernetes.io reference: `[a-z0-9]{6}.[a-z0-9]{16}`).
const TOKEN_ID: usize = 6;
/// Length of a token's secret half.
const TOKEN_SECRET: usize = 16;
/// Bytes of a certificate key: an AES-256 key (kubeadm certs certificate-key, kubernetes.io reference).
const KEY_BYTES: usize = 32;
/// What a token is made of.
const ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";

/// Why there is no credential.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// The operating system gave no random bytes.
    #[error("the operating system gives no random bytes: {0}")]
    Random(String),
    /// The text is no token. It is not shown.
    #[error("not a bootstrap token: [a-z0-9]{{6}}.[a-z0-9]{{16}} is expected")]
    Token,
    /// The text is no certificate key. It is not shown.
    #[error("not a certificate key: 64 hex digits are expected")]
    CertificateKey,
}

/// A bootstrap token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token(Secret<String>);

/// The key under which the control plane's certificates are uploaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateKey(Secret<String>);

/// What an init writes and a join of the same run presents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The token.
    pub token: Token,
    /// The certificate key.
    pub certificate_key: CertificateKey,
}

impl Credentials {
    /// Returns new ones.
    pub fn generate() -> Result<Self, CredentialError> {
        Ok(Self {
            token: Token::generate()?,
            certificate_key: CertificateKey::generate()?,
        })
    }
}

impl Token {
    /// Returns a new token.
    pub fn generate() -> Result<Self, CredentialError> {
        let mut text = String::with_capacity(TOKEN_ID + 1 + TOKEN_SECRET);
        while text.len() < TOKEN_ID + 1 + TOKEN_SECRET {
            if text.len() == TOKEN_ID {
                text.push('.');
            }
            let [byte] = random::<1>()?;
            // Bytes from 252 on would make the first letters likelier than the others: 252 is the last multiple of 36.
            if byte < 252 {
                text.push(char::from(ALPHABET[usize::from(byte) % ALPHABET.len()]));
            }
        }
        Ok(Self(Secret::new(text)))
    }

    /// Returns the token's public half, by which `kubeadm token list` shows it.
    pub fn id(&self) -> &str {
        &self.0.expose()[..TOKEN_ID]
    }

    /// Returns the whole token.
    pub fn secret(&self) -> &Secret<String> {
        &self.0
    }
}

impl FromStr for Token {
    type Err = CredentialError;
    fn from_str(text: &str) -> Result<Self, CredentialError> {
        let good = |part: &str, length| {
            part.len() == length && part.bytes().all(|b| ALPHABET.contains(&b))
        };
        match text.split_once('.') {
            Some((id, secret)) if good(id, TOKEN_ID) && good(secret, TOKEN_SECRET) => {
                Ok(Self(Secret::new(text.into())))
            }
            _ => Err(CredentialError::Token),
        }
    }
}

impl CertificateKey {
    /// Returns a new key.
    pub fn generate() -> Result<Self, CredentialError> {
        let bytes = random::<KEY_BYTES>()?;
        Ok(Self(Secret::new(
            bytes.iter().map(|b| format!("{b:02x}")).collect(),
        )))
    }

    /// Returns the key in hex.
    pub fn secret(&self) -> &Secret<String> {
        &self.0
    }
}

impl FromStr for CertificateKey {
    type Err = CredentialError;
    fn from_str(text: &str) -> Result<Self, CredentialError> {
        let good = text.len() == 2 * KEY_BYTES
            && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if good {
            Ok(Self(Secret::new(text.into())))
        } else {
            Err(CredentialError::CertificateKey)
        }
    }
}

fn random<const N: usize>() -> Result<[u8; N], CredentialError> {
    let mut bytes = [0; N];
    OsRng
        .try_fill_bytes(&mut bytes)
        .map_err(|e| CredentialError::Random(e.to_string()))?;
    Ok(bytes)
}
