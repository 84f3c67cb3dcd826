//! ansible-vault's format, versions 1.1 and 1.2 (with a label), cipher AES256: AES-256 in counter mode under a key of
//! PBKDF2, with an HMAC. Source: `parsing/vault/__init__.py` of ansible-core 2.19.

use std::fmt::Write as _;

use aes::Aes256;
use ctr::Ctr128BE;
use ctr::cipher::{KeyIvInit, StreamCipher};
use hmac::{Hmac, KeyInit, Mac};
use rand::RngCore as _;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::{Closed, Keys, Kind, Opened};
use crate::model::Secret;

/// With what each such text begins.
pub const HEADER: &str = "$ANSIBLE_VAULT";
/// The only cipher that there is today (`CIPHER_ALLOWLIST`).
const CIPHER: &str = "AES256";
/// Rounds of PBKDF2 (`_create_key_cryptography`).
const ROUNDS: u32 = 10_000;
/// Bytes of a key, of which there are two, behind one another, with a counter's start behind them.
const KEY: usize = 32;
/// Bytes of a block of AES.
const BLOCK: usize = 16;
/// Bytes of a salt (`_get_salt`).
const SALT: usize = 32;
/// Digits in a line (`format_vaulttext_envelope`).
const LINE: usize = 80;

type Cipher = Ctr128BE<Aes256>;

/// The parts of an encrypted text.
struct Parts {
    label: Option<String>,
    salt: Vec<u8>,
    mac: Vec<u8>,
    ciphertext: Vec<u8>,
}

/// Returns the content of an encrypted text. All passwords are tried, whatever the label says, as Ansible does.
pub(super) fn open(bytes: &[u8], keys: &Keys) -> Result<Opened, Closed> {
    let parts = parse(bytes).map_err(|reason| Closed::Damaged {
        kind: Kind::Ansible,
        reason,
    })?;
    if keys.passwords.is_empty() {
        return Err(Closed::NoKey {
            kind: Kind::Ansible,
            password: true,
        });
    }
    for password in &keys.passwords {
        if let Some(content) = decrypt(&parts, password.key.expose()) {
            return Ok(Opened {
                content,
                password: Some(password.key.clone()),
                label: parts.label,
            });
        }
    }
    Err(Closed::WrongKey {
        kind: Kind::Ansible,
        password: true,
        tried: keys.passwords.iter().map(|p| p.from.clone()).collect(),
    })
}

/// Returns the text that ansible-vault would write: version 1.2 with a label, else 1.1.
pub fn seal(content: &[u8], password: &[u8], label: Option<&str>) -> String {
    let mut salt = [0; SALT];
    rand::rng().fill_bytes(&mut salt);
    let (mut cipher, mac) = keys(password, &salt);
    let padding = BLOCK - content.len() % BLOCK;
    let mut ciphertext = content.to_vec();
    // PKCS #7: as many bytes as are missing, each with their number.
    ciphertext.resize(content.len() + padding, u8::try_from(padding).unwrap_or(0));
    cipher.apply_keystream(&mut ciphertext);
    let mac = mac.chain_update(&ciphertext).finalize().into_bytes();
    let inner = format!("{}\n{}\n{}", hex(&salt), hex(&mac), hex(&ciphertext));
    let mut text = match label {
        Some(label) => format!("{HEADER};1.2;{CIPHER};{label}\n"),
        None => format!("{HEADER};1.1;{CIPHER}\n"),
    };
    for line in hex(inner.as_bytes()).as_bytes().chunks(LINE) {
        text.extend(line.iter().map(|byte| char::from(*byte)));
        text.push('\n');
    }
    text
}

fn parse(bytes: &[u8]) -> Result<Parts, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it holds bytes that are no text")?;
    let mut words = text.split_ascii_whitespace();
    let mut header = words.next().unwrap_or_default().split(';').map(str::trim);
    if header.next() != Some(HEADER) {
        return Err(format!("it does not begin with {HEADER};1.1;{CIPHER}"));
    }
    let version = header.next().unwrap_or_default();
    if !matches!(version, "1.1" | "1.2") {
        return Err(format!("its version is `{version}`; 1.1 and 1.2 are known"));
    }
    let cipher = header.next().unwrap_or_default();
    if cipher != CIPHER {
        return Err(format!("its cipher is `{cipher}`; {CIPHER} is known"));
    }
    let label = header.next().filter(|label| !label.is_empty());
    let digits: String = words.collect();
    let inner = unhex(digits.as_bytes())?;
    let mut lines = inner.splitn(3, |byte| *byte == b'\n');
    let mut next = |what: &str| match lines.next() {
        Some(line) if !line.is_empty() => unhex(line),
        _ => Err(format!("its {what} is missing")),
    };
    let (salt, mac, ciphertext) = (next("salt")?, next("HMAC")?, next("content")?);
    Ok(Parts {
        label: label.map(str::to_owned),
        salt,
        mac,
        ciphertext,
    })
}

/// Returns the content, unless the password is another one.
fn decrypt(parts: &Parts, password: &[u8]) -> Option<Secret<Vec<u8>>> {
    let (mut cipher, mac) = keys(password, &parts.salt);
    mac.chain_update(&parts.ciphertext)
        .verify_slice(&parts.mac)
        .ok()?;
    let mut content = Zeroizing::new(parts.ciphertext.clone());
    cipher.apply_keystream(&mut content);
    let padding = usize::from(*content.last()?);
    let length = content.len().checked_sub(padding)?;
    let padded = (1..=BLOCK).contains(&padding)
        && content[length..].iter().all(|b| usize::from(*b) == padding);
    content.truncate(length);
    padded.then(|| Secret::new(std::mem::take(&mut *content)))
}

/// Returns the cipher and the HMAC that a password and a salt give.
fn keys(password: &[u8], salt: &[u8]) -> (Cipher, Hmac<Sha256>) {
    let mut derived = Zeroizing::new([0; 2 * KEY + BLOCK]);
    pbkdf2::pbkdf2_hmac::<Sha256>(password, salt, ROUNDS, &mut *derived);
    let (mut key, mut second, mut start) = (
        Zeroizing::new([0; KEY]),
        Zeroizing::new([0; KEY]),
        Zeroizing::new([0; BLOCK]),
    );
    key.copy_from_slice(&derived[..KEY]);
    second.copy_from_slice(&derived[KEY..2 * KEY]);
    start.copy_from_slice(&derived[2 * KEY..]);
    let cipher = Cipher::new(&(*key).into(), &(*start).into());
    // An HMAC takes a key of any length: padded to a block it is the same key.
    let mut block = Zeroizing::new([0; 64]);
    block[..KEY].copy_from_slice(&*second);
    (cipher, Hmac::<Sha256>::new(&(*block).into()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unhex(digits: &[u8]) -> Result<Vec<u8>, String> {
    if digits.len() % 2 == 1 {
        return Err("it ends in the middle of a byte".into());
    }
    let digit = |byte: u8| char::from(byte).to_digit(16);
    digits
        .chunks(2)
        .map(|pair| match (digit(pair[0]), digit(pair[1])) {
            (Some(high), Some(low)) => u8::try_from(high * 16 + low).ok(),
            _ => None,
        })
        .collect::<Option<_>>()
        .ok_or_else(|| "it holds something else than hexadecimal digits".into())
}
