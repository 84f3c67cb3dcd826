//! Certificates to log in with, and who signs for them.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use camino::Utf8Path;
use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::AgentClient;
use russh::keys::signature::Signer as _;
use russh::keys::ssh_encoding::Encode as _;
use russh::keys::ssh_key::certificate::CertType;
use russh::keys::ssh_key::private::KeypairData;
use russh::keys::{Certificate, HashAlg, PrivateKey, PublicKey};
use russh::{AgentAuthError, Signer};
use tokio::net::UnixStream;

use crate::bounded;

/// Bytes of the largest file that is read; a certificate with many principals takes some KiB.
const LARGEST: u64 = 1 << 20;

/// Returns the certificate in the file, `None` where there is no file, or why it cannot be used.
pub(super) fn load(path: &Utf8Path) -> Result<Option<Certificate>, String> {
    let bytes = match bounded::read(path, LARGEST) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("{path} cannot be read: {error}")),
    };
    let text = String::from_utf8_lossy(&bytes);
    let certificate = Certificate::from_openssh(text.trim())
        .map_err(|error| format!("{path} holds no certificate: {error}"))?;
    if certificate.cert_type() != CertType::User {
        return Err(format!("{path} is a host's certificate, and no user's"));
    }
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    if certificate.valid_before() <= now {
        return Err(format!("{path} has expired: have it signed anew"));
    }
    if certificate.valid_after() > now {
        return Err(format!("{path} is not valid yet: look at the clocks"));
    }
    Ok(Some(certificate))
}

/// A private key that signs for its certificate. russh's own way takes SHA-1 for RSA keys, which no host accepts any more.
pub(super) struct FileSigner(pub(super) Arc<PrivateKey>);

impl Signer for FileSigner {
    type Error = AgentAuthError;

    async fn auth_sign(
        &mut self,
        _key: &AgentIdentity,
        hash: Option<HashAlg>,
        mut to_sign: Vec<u8>,
    ) -> Result<Vec<u8>, AgentAuthError> {
        let failed = |error: russh::keys::ssh_key::Error| AgentAuthError::Key(error.into());
        let signature = match self.0.key_data() {
            KeypairData::Rsa(pair) => (pair, hash).try_sign(&to_sign),
            _ => self.0.try_sign(&to_sign),
        };
        let signature = signature.map_err(|error| failed(error.into()))?;
        let mut bytes = Vec::new();
        signature
            .encode(&mut bytes)
            .and_then(|()| bytes.encode(&mut to_sign))
            .map_err(|error| failed(error.into()))?;
        Ok(to_sign)
    }
}

/// An agent that holds the plain key of a certificate in a file.
pub(super) struct AgentSigner<'a>(
    pub(super) &'a mut AgentClient<UnixStream>,
    pub(super) PublicKey,
);

impl Signer for AgentSigner<'_> {
    type Error = AgentAuthError;

    async fn auth_sign(
        &mut self,
        _key: &AgentIdentity,
        hash: Option<HashAlg>,
        to_sign: Vec<u8>,
    ) -> Result<Vec<u8>, AgentAuthError> {
        let plain = AgentIdentity::from(self.1.clone());
        self.0
            .sign_request(&plain, hash, to_sign)
            .await
            .map_err(AgentAuthError::from)
    }
}
