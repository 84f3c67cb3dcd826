//! The pin of a cluster's CA.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;

use crate::model::Sha256;

/// Why there is no pin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// No `BEGIN CERTIFICATE` block with base64 in it.
    #[error("no PEM certificate in ca.crt")]
    Pem,
    /// The block does not hold an X.509 certificate.
    #[error("the certificate in ca.crt is not X.509 in DER")]
    Der,
    /// The text is no pin.
    #[error("not a pin of a CA: `sha256:` and 64 hex digits are expected")]
    Hash,
}

/// The digest of a CA's public key, `sha256:<hex>`, as `discovery.bootstrapToken.caCertHashes` takes it: of the DER of
/// its SubjectPublicKeyInfo (RFC 7469).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CaCertHash(Sha256);

impl CaCertHash {
    /// Returns the pin of a key with this digest.
    pub fn new(digest: Sha256) -> Self {
        Self(digest)
    }

    /// Returns the pin of the first certificate in a PEM file, such as /etc/kubernetes/pki/ca.crt.
    pub fn of_pem(pem: &str) -> Result<Self, CertificateError> {
        let block = pem
            .split_once("-----BEGIN CERTIFICATE-----")
            .and_then(|(_, rest)| rest.split_once("-----END CERTIFICATE-----"))
            .map(|(block, _)| block.split_ascii_whitespace().collect::<String>())
            .ok_or(CertificateError::Pem)?;
        let der = base64::engine::general_purpose::STANDARD
            .decode(block)
            .map_err(|_| CertificateError::Pem)?;
        let key = public_key(&der).ok_or(CertificateError::Der)?;
        Ok(Self(Sha256::of(key)))
    }
}

impl fmt::Display for CaCertHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.0)
    }
}

impl FromStr for CaCertHash {
    type Err = CertificateError;
    fn from_str(text: &str) -> Result<Self, CertificateError> {
        let hex = text.strip_prefix("sha256:").ok_or(CertificateError::Hash)?;
        hex.parse().map(Self).map_err(|_| CertificateError::Hash)
    }
}

/// Tag of an ASN.1 SEQUENCE (X.690).
const SEQUENCE: u8 = 0x30;
/// Tag of the explicit `[0]` before a TBSCertificate's version, which version 1 leaves out (RFC 5280, 4.1).
const VERSION: u8 = 0xa0;

/// Returns SubjectPublicKeyInfo, header and all. In a TBSCertificate (RFC 5280, 4.1) it stands after version, serial
/// number, signature algorithm, issuer, validity and subject.
fn public_key(certificate: &[u8]) -> Option<&[u8]> {
    let signed = element(certificate)?;
    let inner = element(signed.content)?;
    if signed.tag != SEQUENCE || inner.tag != SEQUENCE {
        return None;
    }
    let mut rest = inner.content;
    if rest.first() == Some(&VERSION) {
        rest = element(rest)?.rest;
    }
    for _ in 0..5 {
        rest = element(rest)?.rest;
    }
    let key = element(rest)?;
    (key.tag == SEQUENCE).then_some(key.whole)
}

/// A DER element and what follows it.
struct Element<'a> {
    tag: u8,
    /// Tag, length and content.
    whole: &'a [u8],
    content: &'a [u8],
    rest: &'a [u8],
}

/// Splits the first DER element off.
fn element(der: &[u8]) -> Option<Element<'_>> {
    let (&tag, &first) = (der.first()?, der.get(1)?);
    let (header, length) = if first < 0x80 {
        (2, usize::from(first))
    } else {
        let count = usize::from(first & 0x7f);
        if count == 0 || count > 4 {
            return None;
        }
        let length = der
            .get(2..2 + count)?
            .iter()
            .fold(0usize, |sum, byte| sum << 8 | usize::from(*byte));
        (2 + count, length)
    };
    let end = header.checked_add(length)?;
    Some(Element {
        tag,
        whole: der.get(..end)?,
        content: der.get(header..end)?,
        rest: der.get(end..)?,
    })
}
