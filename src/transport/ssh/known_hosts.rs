//! Who a host is: known_hosts, read and matched as sshd(8) says under "SSH_KNOWN_HOSTS FILE FORMAT".
//!
//! Neither russh's own check (it takes @revoked for trust) nor ssh-key's parser (it cuts lines at `#`) will do. Keys are
//! compared as the bytes on the wire, so that a key type nobody can parse is still told apart.

use std::collections::BTreeSet;
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::sync::Mutex;

use camino::{Utf8Path, Utf8PathBuf};
use russh::keys::ssh_key::certificate::CertType;
use russh::keys::{Algorithm, Certificate, HashAlg, PublicKey, PublicKeyOrCertificate};

use super::options::HostKeyPolicy;
use crate::inventory::ssh_args::is_plain_name;
use crate::transport::TransportError;
use book::{KnownFile, Line};
use pattern::names;

pub(in crate::transport::ssh) use pattern::glob;

pub(super) use append::Book;
pub(super) use book::Shelf;

mod append;
mod book;
mod pattern;

/// SSH's port (RFC 4253, section 4.2); names with another one are written `[name]:port`.
const DEFAULT_PORT: u16 = 22;

/// Serialises what this process writes, so that two connections to one new host record it once.
pub(super) static WRITING: Mutex<()> = Mutex::new(());

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
    /// The file that a user who trusts the key may have it written to.
    pub(super) trusted_in: Option<String>,
}

impl Refusal {
    pub(super) fn new(reason: impl Into<String>, help: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            help: help.into(),
            trusted_in: None,
        }
    }

    /// Returns it as the error of a connection to `address`.
    pub(super) fn of(self, address: &str) -> TransportError {
        TransportError::HostKey {
            address: address.to_owned(),
            reason: self.reason,
            help: self.help,
            trusted_in: self.trusted_in,
        }
    }
}

/// What known_hosts says of a key that a host shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It is not on record, and nothing on record speaks against it.
    New,
    /// It is on record.
    Known,
    /// It is not on record, and need not be: an authority on record has signed the host's certificate for it.
    Certified,
    /// It is not on record, and need not be: another of the host's keys is certified.
    Unneeded,
    /// Another key is on record for the host.
    Changed {
        /// Where: `file:line`.
        place: String,
        /// The file alone.
        file: Utf8PathBuf,
        /// The type of the key on record, as known_hosts spells it.
        algorithm: String,
    },
    /// It is marked @revoked.
    Revoked {
        /// Where: `file:line`.
        place: String,
    },
}

impl Standing {
    /// Returns whether what is on record speaks against the key.
    pub fn contradicts(&self) -> bool {
        matches!(self, Self::Changed { .. } | Self::Revoked { .. })
    }
}

/// What is on record about one host.
#[derive(Debug, Clone)]
pub(super) struct Known {
    name: String,
    plain: String,
    files: Vec<Utf8PathBuf>,
    policy: HostKeyPolicy,
    /// Whether ssh's configuration or the inventory names the files, and not the user.
    listed: bool,
    records: Vec<Record>,
}

impl Known {
    /// Returns what the files say about the host. A file that does not exist says nothing.
    ///
    /// Fails on a file that exists and cannot be read: it might hold the key. Fails on a name that means more than one host there.
    pub(super) fn load(
        shelf: &Shelf,
        (files, listed): (&[Utf8PathBuf], bool),
        policy: HostKeyPolicy,
        address: &str,
        port: u16,
    ) -> Result<Self, Refusal> {
        if !is_plain_name(address) {
            return Err(Refusal::new(
                format!("`{address}` cannot stand in known_hosts as a host's name"),
                "correct ansible_host or HostKeyAlias: letters, digits, `.`, `-`, `_` and `:`",
            ));
        }
        let plain = address.to_ascii_lowercase();
        let name = if port == DEFAULT_PORT {
            plain.clone()
        } else {
            format!("[{plain}]:{port}")
        };
        let known = Self {
            name,
            plain,
            files: files.to_vec(),
            policy,
            listed,
            records: Vec::new(),
        };
        known.gather(|file| shelf.open(file))
    }

    /// Returns what the files say of the host now.
    pub(super) fn again(&self) -> Result<Self, Refusal> {
        let known = Self {
            records: Vec::new(),
            ..self.clone()
        };
        known.gather(|file| KnownFile::open(file).map(Arc::new))
    }

    fn gather(
        mut self,
        open: impl Fn(&Utf8Path) -> io::Result<Arc<KnownFile>>,
    ) -> Result<Self, Refusal> {
        for file in self.files.clone() {
            match open(&file) {
                Ok(lines) => self.read(&file, &lines),
                Err(error)
                    if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {}
                Err(error) => {
                    return Err(Refusal::new(
                        format!("{file} cannot be read: {error}"),
                        format!("make {file} readable, or name another known_hosts file"),
                    ));
                }
            }
        }
        Ok(self)
    }

    fn read(&mut self, file: &Utf8Path, book: &KnownFile) {
        let own = book.lines_of(&self.name).into_iter().map(|l| (l, false));
        let mut lines: Vec<(&Line, bool)> = own.collect();
        if self.name != self.plain {
            let seen: BTreeSet<usize> = lines.iter().map(|(line, _)| line.number).collect();
            let portless = book.lines_of(&self.plain).into_iter();
            lines.extend(
                portless
                    .filter(|l| !seen.contains(&l.number))
                    .map(|l| (l, true)),
            );
            lines.sort_by_key(|(line, _)| line.number);
        }
        let record = |(line, portless): (&Line, bool)| Record {
            file: file.to_owned(),
            line: line.number,
            marker: line.marker,
            algorithm: line.algorithm.clone(),
            blob: line.blob.clone(),
            portless,
        };
        self.records.extend(lines.into_iter().map(record));
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

    /// Returns the file that new keys go to.
    pub(super) fn file(&self) -> Option<&Utf8Path> {
        self.files.first().map(Utf8PathBuf::as_path)
    }

    /// Returns the host's name as known_hosts writes it.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Returns what is on record of each of the keys that the host shows.
    ///
    /// A key is a changed one where another of its type is on record, and where none on record is shown at all: who holds
    /// none of the host's keys would offer one of another type.
    pub(super) fn standing(&self, shown: &[PublicKey]) -> Result<Vec<Standing>, Refusal> {
        let blobs = shown.iter().map(blob).collect::<Result<Vec<_>, _>>()?;
        let marked = |marker: Marker| self.records.iter().filter(move |r| r.marker == marker);
        // A line without the port may vouch for the host (as for ssh), but it is no evidence of a change.
        let of_host = || marked(Marker::None).filter(|record| !record.portless);
        let is_shown = |record: &&Record| blobs.contains(&record.blob);
        let is_host = of_host().any(|record| is_shown(&record));
        let standing = shown.iter().zip(&blobs).map(|(key, blob)| {
            let here = |record: &&Record| record.blob == *blob;
            if let Some(record) = marked(Marker::Revoked).find(here) {
                return Standing::Revoked {
                    place: record.place(),
                };
            }
            if marked(Marker::None).any(|record| here(&record)) {
                return Standing::Known;
            }
            let type_name = key_type(&key.algorithm());
            let mut differing = of_host().filter(|record| !is_shown(record));
            let same_type = differing.clone().find(|r| r.algorithm == type_name);
            match same_type.or_else(|| differing.next().filter(|_| !is_host)) {
                Some(record) => Standing::Changed {
                    place: record.place(),
                    file: record.file.clone(),
                    algorithm: record.algorithm.clone(),
                },
                None => Standing::New,
            }
        });
        Ok(standing.collect())
    }

    /// Returns whether the key that the host has proved to hold is to be trusted; records it where the policy says so.
    pub(super) fn check(&self, shown: &PublicKeyOrCertificate) -> Result<(), Refusal> {
        match shown {
            PublicKeyOrCertificate::PublicKey { key, .. } => self.check_key(key),
            PublicKeyOrCertificate::Certificate(certificate) => {
                let key = PublicKey::from(certificate.public_key().clone());
                let signer = PublicKey::from(certificate.signature_key().clone());
                self.check_revoked(&key)?;
                self.check_authority(&signer)?;
                // As ssh does: the key in a certificate that will not do may be on record by itself.
                self.check_certificate(certificate).or_else(|refusal| {
                    match self.standing(&[key])?.first() {
                        Some(Standing::Known) => Ok(()),
                        _ => Err(refusal),
                    }
                })
            }
        }
    }

    /// Returns whether an authority on record vouches for the host, whatever is on record about its keys themselves.
    pub(super) fn check_by_certificate(&self, shown: &Certificate) -> Result<(), Refusal> {
        self.check_revoked(&PublicKey::from(shown.public_key().clone()))?;
        self.check_authority(&PublicKey::from(shown.signature_key().clone()))?;
        self.check_certificate(shown)
    }

    fn check_revoked(&self, key: &PublicKey) -> Result<(), Refusal> {
        let blob = blob(key)?;
        let revoked = self.revoked(&blob);
        revoked.map_or(Ok(()), |record| Err(revoked_by(key, &record.place())))
    }

    /// The same of the authority that signed a host's key.
    fn check_authority(&self, authority: &PublicKey) -> Result<(), Refusal> {
        let blob = blob(authority)?;
        let refused = |record: &Record| {
            Refusal::new(
                format!(
                    "its certificate is signed by an authority that is revoked by {}: {}",
                    record.place(),
                    describe(authority)
                ),
                "have the host's key signed by another authority; nobody may trust this one again",
            )
        };
        self.revoked(&blob)
            .map_or(Ok(()), |record| Err(refused(record)))
    }

    fn revoked(&self, blob: &[u8]) -> Option<&Record> {
        let mut records = self.records.iter();
        records.find(|record| record.marker == Marker::Revoked && record.blob == blob)
    }

    fn check_key(&self, key: &PublicKey) -> Result<(), Refusal> {
        let standing = self.standing(std::slice::from_ref(key))?;
        match standing.first() {
            Some(Standing::Known | Standing::Certified | Standing::Unneeded) => Ok(()),
            Some(Standing::Revoked { place }) => Err(revoked_by(key, place)),
            Some(Standing::Changed {
                place,
                file,
                algorithm,
            }) => Err(Refusal::new(
                format!(
                    "its {} is not the {algorithm} key on record in {place}: the host was set up anew, or somebody else answers",
                    describe(key)
                ),
                format!(
                    "if the host was set up anew, remove the old key: {}",
                    removal(&self.name, file)
                ),
            )),
            Some(Standing::New) | None => match self.policy {
                HostKeyPolicy::AcceptNew => self.record(key),
                HostKeyPolicy::Strict => Err(self.unknown(key)),
            },
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
        Refusal {
            reason: format!("its {} is not known: {files}", describe(key)),
            help: format!(
                "compare it with `ssh-keygen -lf /etc/ssh/ssh_host_{}_key.pub` on the host's console",
                short_type(&key.algorithm())
            ),
            trusted_in: Some(first.to_owned()),
        }
    }

    /// Checks what [`Certificate::validate`] leaves open too: type, principals, critical options (PROTOCOL.certkeys).
    fn check_certificate(&self, certificate: &Certificate) -> Result<(), Refusal> {
        let authority = PublicKey::from(certificate.signature_key().clone());
        let blob = blob(&authority)?;
        let refuse = |reason: &str| {
            Err(Refusal::new(
                format!("its host certificate `{}` {reason}", certificate.key_id()),
                "have the host's certificate signed anew, or put the host's own key in known_hosts",
            ))
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

    /// Opens a file for new keys.
    pub(super) fn open(&self, file: &Utf8Path) -> io::Result<Book> {
        if !self.listed {
            return Book::open(file);
        }
        append::is_known_hosts(file)?;
        let book = Book::open(file)?;
        book.is_for_keys(&file.canonicalize_utf8()?)?;
        Ok(book)
    }

    /// Appends the key to the first file.
    fn record(&self, key: &PublicKey) -> Result<(), Refusal> {
        let Some(file) = self.files.first() else {
            return Err(self.unknown(key));
        };
        let blob = blob(key)?;
        let failed = |error: std::io::Error| {
            let help = match error.kind() {
                ErrorKind::InvalidInput => {
                    "name another file, or say it yourself: `--known-hosts FILE`".to_owned()
                }
                _ => format!("make {file} writable, or name another known_hosts file"),
            };
            let key = describe(key);
            let reason = format!("its {key} is new and cannot be written to {file}: {error}");
            Refusal::new(reason, help)
        };
        let _writing = WRITING
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut book = self.open(file).map_err(failed)?;
        // Another connection may have recorded this host since, with this key or another one.
        let mut now = Self {
            policy: HostKeyPolicy::Strict,
            records: Vec::new(),
            ..self.clone()
        };
        now.read(file, &KnownFile::read(&book.text));
        if now
            .records
            .iter()
            .any(|record| !record.portless && record.marker == Marker::None)
        {
            return now.check_key(key);
        }
        let kind = key_type(&key.algorithm());
        let lines = book.lines(&self.name, std::iter::once((kind.as_str(), &*blob)));
        book.append(&lines).map_err(failed)
    }
}

/// Reads `bytes` and asks them about a host, with a key and without.
#[cfg(fuzzing)]
pub(super) fn fuzz(bytes: &[u8], address: &str, port: u16) {
    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";
    let Ok(mut known) = Known::load(
        &Shelf::default(),
        (&[], false),
        HostKeyPolicy::Strict,
        address,
        port,
    ) else {
        return;
    };
    known.read(
        "known_hosts".into(),
        &KnownFile::read(&String::from_utf8_lossy(bytes)),
    );
    known.order(&[Algorithm::Ed25519]);
    known.has_authority();
    if let Ok(key) = PublicKey::from_openssh(KEY) {
        let _ = known.check_key(&key);
    }
}

impl Record {
    fn place(&self) -> String {
        format!("{}:{}", self.file, self.line)
    }
}

/// Returns the command that removes what a file says of a host.
pub(super) fn removal(name: &str, file: &Utf8Path) -> String {
    format!("ssh-keygen -R '{name}' -f {file}")
}

/// Returns the key as it stands on the wire.
fn blob(key: &PublicKey) -> Result<Vec<u8>, Refusal> {
    key.to_bytes().map_err(|error| {
        Refusal::new(
            format!("the key cannot be read: {error}"),
            "give the host a key of type ed25519",
        )
    })
}

fn revoked_by(key: &PublicKey, place: &str) -> Refusal {
    Refusal::new(
        format!("its {} is revoked by {place}", describe(key)),
        "give the host a new key; nobody may trust this one again",
    )
}

/// Returns the key type as known_hosts spells it: RSA keys are `ssh-rsa` whatever hash they sign with (RFC 8332).
pub(super) fn key_type(algorithm: &Algorithm) -> String {
    match algorithm {
        Algorithm::Rsa { .. } => "ssh-rsa".to_owned(),
        other => other.to_string(),
    }
}

pub(super) fn short_type(algorithm: &Algorithm) -> &'static str {
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
    fn no_line_breaks_the_reader() {
        let mut known = Known {
            listed: false,
            name: "host".into(),
            plain: "host".into(),
            files: Vec::new(),
            policy: HostKeyPolicy::Strict,
            records: Vec::new(),
        };
        let book = KnownFile::read(
            "\n#\n@\n@revoked\n@revoked host\nhost\nhost a\nhost a =\n\0\u{feff}\nhost ssh-ed25519 AAAA\n",
        );
        known.read("f".into(), &book);
        assert_eq!(known.records.len(), 1);
        assert_eq!(known.records.first().map(|record| record.line), Some(10));
    }

    #[test]
    fn known_algorithms_come_first() {
        let mut known = Known {
            listed: false,
            name: "[host]:2222".into(),
            plain: "host".into(),
            files: Vec::new(),
            policy: HostKeyPolicy::Strict,
            records: Vec::new(),
        };
        let book = KnownFile::read(
            "host ecdsa-sha2-nistp256 AAAA\n[host]:2222 ssh-rsa AAAA\n@revoked * ssh-ed25519 AAAA\n",
        );
        known.read("f".into(), &book);
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
