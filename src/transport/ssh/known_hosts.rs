//! Who a host is: known_hosts, read and matched as sshd(8) says under "SSH_KNOWN_HOSTS FILE FORMAT".
//!
//! Neither russh's own check (it takes @revoked for trust) nor ssh-key's parser (it cuts lines at `#`) will do. Keys are
//! compared as the bytes on the wire, so that a key type nobody can parse is still told apart.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::sync::Mutex;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use camino::{Utf8Path, Utf8PathBuf};
use hmac::{Hmac, KeyInit, Mac};
use russh::keys::ssh_key::certificate::CertType;
use russh::keys::{Algorithm, Certificate, HashAlg, PublicKey, PublicKeyOrCertificate};
use sha1::Sha1;

use super::options::HostKeyPolicy;

/// SSH's port (RFC 4253, section 4.2); names with another one are written `[name]:port`.
const DEFAULT_PORT: u16 = 22;

/// Serialises what this process writes, so that two connections to one new host record it once.
static WRITING: Mutex<()> = Mutex::new(());

/// What a line's marker says of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Marker {
    None,
    Authority,
    Revoked,
}

/// One line that names the host.
#[derive(Debug, Clone)]
struct Record {
    file: Utf8PathBuf,
    line: usize,
    marker: Marker,
    /// The key type as written, for the order of algorithms.
    algorithm: String,
    blob: Vec<u8>,
    /// Whether the line names the host without its port, where it has an unusual one.
    portless: bool,
}

/// Why a host's key is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub(super) struct Refusal {
    pub(super) reason: String,
    pub(super) help: String,
}

/// What is on record about one host.
#[derive(Debug, Clone)]
pub(super) struct Known {
    name: String,
    plain: String,
    files: Vec<Utf8PathBuf>,
    policy: HostKeyPolicy,
    records: Vec<Record>,
}

impl Known {
    /// Returns what the files say about the host. A file that does not exist says nothing.
    ///
    /// Fails on a file that exists and cannot be read: it might hold the key.
    pub(super) fn load(
        files: &[Utf8PathBuf],
        policy: HostKeyPolicy,
        address: &str,
        port: u16,
    ) -> Result<Self, Refusal> {
        let plain = address.to_ascii_lowercase();
        let name = if port == DEFAULT_PORT {
            plain.clone()
        } else {
            format!("[{plain}]:{port}")
        };
        let mut known = Self {
            name,
            plain,
            files: files.to_vec(),
            policy,
            records: Vec::new(),
        };
        for file in files {
            match std::fs::read(file) {
                Ok(bytes) => known.read(file, &String::from_utf8_lossy(&bytes)),
                Err(error)
                    if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {}
                Err(error) => {
                    return Err(Refusal {
                        reason: format!("{file} cannot be read: {error}"),
                        help: format!("make {file} readable, or name another known_hosts file"),
                    });
                }
            }
        }
        Ok(known)
    }

    fn read(&mut self, file: &Utf8Path, text: &str) {
        for (index, line) in text.lines().enumerate() {
            let mut fields = line.split_ascii_whitespace().peekable();
            let marker = match fields.peek() {
                None => continue,
                Some(word) if word.starts_with('#') => continue,
                Some(&"@cert-authority") => Marker::Authority,
                Some(&"@revoked") => Marker::Revoked,
                // ssh skips lines with a marker that it does not know.
                Some(word) if word.starts_with('@') => continue,
                Some(_) => Marker::None,
            };
            if marker != Marker::None {
                fields.next();
            }
            let (Some(hosts), Some(algorithm), Some(key)) =
                (fields.next(), fields.next(), fields.next())
            else {
                continue;
            };
            let portless = if names(hosts, &self.name) {
                false
            } else if self.name != self.plain && names(hosts, &self.plain) {
                true
            } else {
                continue;
            };
            let Ok(blob) = STANDARD
                .decode(key)
                .or_else(|_| STANDARD_NO_PAD.decode(key))
            else {
                continue;
            };
            self.records.push(Record {
                file: file.to_owned(),
                line: index + 1,
                marker,
                algorithm: algorithm.to_owned(),
                blob,
                portless,
            });
        }
    }

    /// Returns the host key algorithms to offer, those on record first: a host with several keys shows the one that is asked for.
    pub(super) fn order(&self, algorithms: &[Algorithm]) -> Vec<Algorithm> {
        let rank = |algorithm: &Algorithm| {
            let position = self
                .records
                .iter()
                .filter(|record| {
                    record.marker == Marker::None && key_type(algorithm) == record.algorithm
                })
                .map(|record| u8::from(record.portless))
                .min();
            position.unwrap_or(2)
        };
        let mut ordered = algorithms.to_vec();
        ordered.sort_by_key(rank);
        ordered
    }

    /// Returns whether a certificate authority is on record for the host.
    pub(super) fn has_authority(&self) -> bool {
        self.records
            .iter()
            .any(|record| record.marker == Marker::Authority)
    }

    /// Returns whether the key that the host has proved to hold is to be trusted; records it where the policy says so.
    pub(super) fn check(&self, shown: &PublicKeyOrCertificate) -> Result<(), Refusal> {
        match shown {
            PublicKeyOrCertificate::PublicKey { key, .. } => self.check_key(key),
            PublicKeyOrCertificate::Certificate(certificate) => self.check_certificate(certificate),
        }
    }

    fn check_revoked(&self, key: &PublicKey) -> Result<Vec<u8>, Refusal> {
        let blob = key.to_bytes().map_err(|error| Refusal {
            reason: format!("the key cannot be read: {error}"),
            help: "give the host a key of type ed25519".to_owned(),
        })?;
        let revoked = self
            .records
            .iter()
            .find(|record| record.marker == Marker::Revoked && record.blob == blob);
        match revoked {
            None => Ok(blob),
            Some(Record { file, line, .. }) => Err(Refusal {
                reason: format!("its {} is revoked by {file}:{line}", describe(key)),
                help: "give the host a new key; nobody may trust this one again".to_owned(),
            }),
        }
    }

    fn check_key(&self, key: &PublicKey) -> Result<(), Refusal> {
        let blob = self.check_revoked(key)?;
        let of_host = || {
            self.records
                .iter()
                .filter(|record| record.marker == Marker::None)
        };
        if of_host().any(|record| record.blob == blob) {
            return Ok(());
        }
        // A line without the port may vouch for the host (as for ssh), but it is no evidence of a change.
        let type_name = key_type(&key.algorithm());
        let mut differing: Vec<&Record> = of_host().filter(|record| !record.portless).collect();
        differing.sort_by_key(|record| record.algorithm != type_name);
        if let Some(Record {
            file,
            line,
            algorithm,
            ..
        }) = differing.first()
        {
            return Err(Refusal {
                reason: format!(
                    "its {} is not the {algorithm} key on record in {file}:{line}: the host was set up anew, or somebody else answers",
                    describe(key)
                ),
                help: format!(
                    "if the host was set up anew, remove the old key: ssh-keygen -R '{}' -f {file}",
                    self.name
                ),
            });
        }
        match self.policy {
            HostKeyPolicy::AcceptNew => self.record(key, &blob),
            HostKeyPolicy::Strict => Err(self.unknown(key)),
        }
    }

    fn unknown(&self, key: &PublicKey) -> Refusal {
        let files = match self.files.as_slice() {
            [] => "no known_hosts file is set".to_owned(),
            files => format!("`{}` is not in {}", self.name, join(files)),
        };
        let first = self
            .files
            .first()
            .map_or("~/.ssh/known_hosts", |file| file.as_str());
        let port = match self.name.rsplit_once("]:") {
            Some((_, port)) => format!("-p {port} "),
            None => String::new(),
        };
        Refusal {
            reason: format!("its {} is not known: {files}", describe(key)),
            help: format!(
                "compare it with `ssh-keygen -lf /etc/ssh/ssh_host_{}_key.pub` on the host's console, then: ssh-keyscan {port}{} >> {first}",
                short_type(&key.algorithm()),
                self.plain
            ),
        }
    }

    /// Checks what [`Certificate::validate`] leaves open too: type, principals, critical options (PROTOCOL.certkeys).
    fn check_certificate(&self, certificate: &Certificate) -> Result<(), Refusal> {
        self.check_revoked(&PublicKey::from(certificate.public_key().clone()))?;
        let authority = PublicKey::from(certificate.signature_key().clone());
        let blob = self.check_revoked(&authority)?;
        let refuse = |reason: &str| {
            Err(Refusal {
                reason: format!("its host certificate `{}` {reason}", certificate.key_id()),
                help: "have the host's certificate signed anew, or put the host's own key in known_hosts".to_owned(),
            })
        };
        if !self
            .records
            .iter()
            .any(|record| record.marker == Marker::Authority && record.blob == blob)
        {
            return refuse(&format!(
                "is signed by {}, which is no @cert-authority for this host",
                describe(&authority)
            ));
        }
        if certificate.cert_type() != CertType::Host {
            return refuse("is not made out for hosts");
        }
        if certificate
            .validate([&authority.fingerprint(HashAlg::Sha256)])
            .is_err()
        {
            return refuse("is not valid now, or its signature is wrong");
        }
        let principals = certificate.valid_principals();
        if !principals
            .iter()
            .any(|pattern| glob(&pattern.to_ascii_lowercase(), &self.plain))
        {
            return refuse(&format!(
                "is made out for {principals:?}, not for `{}`",
                self.plain
            ));
        }
        if !certificate.critical_options().is_empty() {
            return refuse("has critical options that nobody knows");
        }
        Ok(())
    }

    /// Appends the key in one write, so that whoever reads meanwhile sees the whole line or nothing.
    fn record(&self, key: &PublicKey, blob: &[u8]) -> Result<(), Refusal> {
        let Some(file) = self.files.first() else {
            return Err(self.unknown(key));
        };
        let _writing = WRITING
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        // Another connection may have recorded this host since, with this key or another one.
        let strict = Self {
            policy: HostKeyPolicy::Strict,
            records: Vec::new(),
            ..self.clone()
        };
        let mut now = strict;
        let before = std::fs::read(file).unwrap_or_default();
        now.read(file, &String::from_utf8_lossy(&before));
        if now
            .records
            .iter()
            .any(|record| !record.portless && record.marker == Marker::None)
        {
            return now.check_key(key);
        }
        let start = if before.is_empty() || before.ends_with(b"\n") {
            ""
        } else {
            "\n"
        };
        let line = format!(
            "{start}{} {} {}\n",
            self.name,
            key_type(&key.algorithm()),
            STANDARD.encode(blob)
        );
        append(file, &line).map_err(|error| Refusal {
            reason: format!(
                "its {} is new and cannot be written to {file}: {error}",
                describe(key)
            ),
            help: format!("make {file} writable, or name another known_hosts file"),
        })
    }
}

/// Reads `bytes` and asks them about a host, with a key and without.
#[cfg(fuzzing)]
pub(super) fn fuzz(bytes: &[u8], address: &str, port: u16) {
    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";
    let Ok(mut known) = Known::load(&[], HostKeyPolicy::Strict, address, port) else {
        return;
    };
    known.read("known_hosts".into(), &String::from_utf8_lossy(bytes));
    known.order(&[Algorithm::Ed25519]);
    known.has_authority();
    if let Ok(key) = PublicKey::from_openssh(KEY) {
        let _ = known.check_key(&key);
    }
}

fn append(file: &Utf8Path, line: &str) -> std::io::Result<()> {
    if let Some(directory) = file
        .parent()
        .filter(|directory| !directory.as_str().is_empty())
    {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)?;
    }
    let mut file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(file)?;
    file.write_all(line.as_bytes())
}

/// Returns whether a line's host field names the host: a list of patterns, of which a negated one that matches rules the
/// line out, or one hashed name (`|1|salt|HMAC-SHA1`).
fn names(field: &str, name: &str) -> bool {
    let mut found = false;
    for pattern in field.split(',') {
        if let Some(hashed) = pattern.strip_prefix("|1|") {
            found |= hashed_is(hashed, name);
        } else if let Some(negated) = pattern.strip_prefix('!') {
            if glob(&negated.to_ascii_lowercase(), name) {
                return false;
            }
        } else {
            found |= glob(&pattern.to_ascii_lowercase(), name);
        }
    }
    found
}

fn hashed_is(hashed: &str, name: &str) -> bool {
    let Some((salt, hash)) = hashed.split_once('|') else {
        return false;
    };
    let (Ok(salt), Ok(hash)) = (STANDARD.decode(salt), STANDARD.decode(hash)) else {
        return false;
    };
    Hmac::<Sha1>::new_from_slice(&salt)
        .is_ok_and(|mac| mac.chain_update(name).verify_slice(&hash).is_ok())
}

/// Returns whether `*` (any run) and `?` (any one) in the pattern can be filled to give the text.
fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    // Where the last `*` was, and how much of the text it has taken so far.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(&c) if c == b'?' || Some(&c) == text.get(t) => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((at, taken)) => {
                    p = at + 1;
                    t = taken + 1;
                    star = Some((at, taken + 1));
                }
                None => return false,
            },
        }
    }
    pattern
        .get(p..)
        .is_some_and(|rest| rest.iter().all(|&c| c == b'*'))
}

/// Returns the key type as known_hosts spells it: RSA keys are `ssh-rsa` whatever hash they sign with (RFC 8332).
fn key_type(algorithm: &Algorithm) -> String {
    match algorithm {
        Algorithm::Rsa { .. } => "ssh-rsa".to_owned(),
        other => other.to_string(),
    }
}

fn short_type(algorithm: &Algorithm) -> &'static str {
    match algorithm {
        Algorithm::Rsa { .. } => "rsa",
        Algorithm::Ecdsa { .. } => "ecdsa",
        _ => "ed25519",
    }
}

fn describe(key: &PublicKey) -> String {
    format!(
        "{} key {}",
        key_type(&key.algorithm()),
        key.fingerprint(HashAlg::Sha256)
    )
}

fn join(files: &[Utf8PathBuf]) -> String {
    let names: Vec<&str> = files.iter().map(|file| file.as_str()).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_match_as_ssh_does() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("**", "abc", true),
            ("a*c", "abbc", true),
            ("a*c", "abbd", false),
            ("*.example.com", "a.b.example.com", true),
            ("*.example.com", "example.com", false),
            ("?", "", false),
            ("10.0.?.*", "10.0.1.23", true),
            ("[*]:2222", "[host]:2222", true),
            ("a*b*c", "aXbXbXc", true),
        ] {
            assert_eq!(glob(pattern, text), expected, "{pattern} {text}");
        }
        // No pattern takes more than the product of the lengths.
        assert!(!glob(&"*a".repeat(50), &"a".repeat(49)));
    }

    #[test]
    fn host_fields_are_lists_with_negation() {
        assert!(names("a,b", "b"));
        assert!(names("HOST", "host"));
        assert!(!names("!b,*", "b"));
        assert!(!names("*,!b", "b"));
        assert!(!names("!a", "b"));
        // ssh-keygen -H of "host", and hashes that are broken.
        assert!(!names("|1|", "host"));
        assert!(!names("|1|AAAA", "host"));
        assert!(!names("|1|%|%", "host"));
    }

    #[test]
    fn no_line_breaks_the_reader() {
        let mut known = Known {
            name: "host".into(),
            plain: "host".into(),
            files: Vec::new(),
            policy: HostKeyPolicy::Strict,
            records: Vec::new(),
        };
        known.read("f".into(), "\n#\n@\n@revoked\n@revoked host\nhost\nhost a\nhost a =\n\0\u{feff}\nhost ssh-ed25519 AAAA\n");
        assert_eq!(known.records.len(), 1);
        assert_eq!(known.records.first().map(|record| record.line), Some(10));
    }

    #[test]
    fn known_algorithms_come_first() {
        let mut known = Known {
            name: "[host]:2222".into(),
            plain: "host".into(),
            files: Vec::new(),
            policy: HostKeyPolicy::Strict,
            records: Vec::new(),
        };
        known.read("f".into(), "host ecdsa-sha2-nistp256 AAAA\n[host]:2222 ssh-rsa AAAA\n@revoked * ssh-ed25519 AAAA\n");
        let all = [
            Algorithm::Ed25519,
            Algorithm::Ecdsa {
                curve: russh::keys::EcdsaCurve::NistP256,
            },
            Algorithm::Rsa {
                hash: Some(HashAlg::Sha512),
            },
            Algorithm::Rsa {
                hash: Some(HashAlg::Sha256),
            },
        ];
        let ordered: Vec<String> = known.order(&all).iter().map(Algorithm::to_string).collect();
        assert_eq!(
            ordered,
            [
                "rsa-sha2-512",
                "rsa-sha2-256",
                "ecdsa-sha2-nistp256",
                "ssh-ed25519"
            ]
        );
    }
}
