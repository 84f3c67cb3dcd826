//! Proving who logs in: certificates, key files, an SSH agent, a password. The order is ssh's, but for one thing: keys that are
//! configured come before all others of the agent, so that an agent with many keys does not use up the host's patience.

use std::collections::HashSet;
use std::fmt::Write;
use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};
use russh::client::{AuthResult, Handle, KeyboardInteractiveAuthResponse};
use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::AgentClient;
use russh::keys::{Algorithm, Certificate, HashAlg, PrivateKey, PrivateKeyWithHashAlg, PublicKey};
use russh::{MethodKind, MethodSet};
use tokio::net::UnixStream;

use super::certificate::{self, AgentSigner, FileSigner};
use super::client::{Client, explain};
use super::identity::{Identity, IdentityError, load};
use super::options::SshOptions;
use crate::model::Secret;
use crate::transport::{TOO_MANY, Target};

/// How often a host may ask in keyboard-interactive: a password, and words without a question around it.
const ROUNDS: usize = 4;

/// The answer to one attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Accepted,
    Refused,
    /// Further attempts of this kind lead nowhere.
    Over,
}

/// What signs for a key.
enum Hand {
    File(Arc<PrivateKey>),
    Agent(PublicKey),
}

/// One run of attempts on one connection; an agent is spoken to by this connection alone.
pub(super) struct Login<'a> {
    handle: &'a mut Handle<Client>,
    target: &'a Target,
    options: &'a SshOptions,
    agent: Option<(AgentClient<UnixStream>, Vec<AgentIdentity>)>,
    agent_asked: bool,
    rsa_hash: Option<Option<HashAlg>>,
    /// The methods that the host goes on with, as far as it has said so.
    methods: Option<MethodSet>,
    offered: HashSet<Vec<u8>>,
    tried: Vec<String>,
}

impl<'a> Login<'a> {
    pub(super) fn new(
        handle: &'a mut Handle<Client>,
        target: &'a Target,
        options: &'a SshOptions,
    ) -> Self {
        Self {
            handle,
            target,
            options,
            agent: None,
            agent_asked: false,
            rsa_hash: None,
            methods: None,
            offered: HashSet::new(),
            tried: Vec::new(),
        }
    }

    /// Logs in: with the certificates and keys that are configured for the target, then with its password, or else with the agent's
    /// other keys and the usual files.
    ///
    /// Returns what was tried and why it did not do.
    pub(super) async fn run(mut self) -> Result<(), String> {
        let mut answer = self.by_configured().await;
        if answer != Answer::Accepted && !self.handle.is_closed() {
            let password = self.target.access.password.clone();
            answer = match password {
                Some(password) => self.by_password(&password).await,
                None if answer == Answer::Refused => self.by_others().await,
                None => answer,
            };
        }
        match answer {
            Answer::Accepted => Ok(()),
            Answer::Refused | Answer::Over if self.tried.is_empty() => Err(
                "no key at all: none is configured, no agent runs, and ~/.ssh holds none"
                    .to_owned(),
            ),
            Answer::Refused | Answer::Over => Err(self.tried.join("; ")),
        }
    }

    async fn by_configured(&mut self) -> Answer {
        let target = self.target;
        for path in &target.access.certificates {
            match self.by_certificate(path).await {
                Answer::Refused => {}
                end => return end,
            }
        }
        for path in &target.keys {
            match self.by_file(path, false).await {
                Answer::Refused => {}
                end => return end,
            }
        }
        Answer::Refused
    }

    /// The agent's other keys and, where none is configured, the usual files: first those of them that the agent holds.
    async fn by_others(&mut self) -> Answer {
        let usual: &[Utf8PathBuf] = if self.target.keys.is_empty() {
            &self.options.identities
        } else {
            &[]
        };
        self.open_agent().await;
        for path in usual {
            let held = match load(path) {
                Ok(Identity::Agent { key, .. }) => self.holds(&key),
                Ok(Identity::Key(key)) => self.holds(key.public_key()),
                Err(_) => false,
            };
            if held {
                match self.by_file(path, true).await {
                    Answer::Refused => {}
                    end => return end,
                }
            }
        }
        if !self.target.access.identities_only {
            let held = self.agent.as_ref().map(|(_, held)| held.clone());
            for identity in held.unwrap_or_default() {
                match self.by_agent(&identity).await {
                    Answer::Refused => {}
                    end => return end,
                }
            }
        }
        for path in usual {
            match self.by_file(path, true).await {
                Answer::Refused => {}
                end => return end,
            }
        }
        Answer::Refused
    }

    /// Offers a key file, with the certificate beside it first.
    async fn by_file(&mut self, path: &Utf8Path, is_usual: bool) -> Answer {
        let hand = match load(path) {
            Err(IdentityError::Missing(_)) if is_usual => return Answer::Refused,
            Err(error) => {
                // Its passphrase may have been given.
                match (error, self.options.keyring.get(path)) {
                    (IdentityError::Encrypted(_), Some(key)) => Hand::File(key),
                    (error, _) => {
                        self.tried.push(error.to_string());
                        return Answer::Refused;
                    }
                }
            }
            Ok(Identity::Key(key)) => Hand::File(key),
            Ok(Identity::Agent { key, note, .. }) => {
                self.open_agent().await;
                match self.options.keyring.get(path) {
                    _ if self.holds(&key) => Hand::Agent(*key),
                    Some(opened) => Hand::File(opened),
                    None => {
                        if !self.tried.contains(&note) {
                            self.tried.push(note);
                        }
                        return Answer::Refused;
                    }
                }
            }
        };
        let beside = Utf8PathBuf::from(format!("{path}-cert.pub"));
        match certificate::load(&beside) {
            Ok(None) => {}
            Err(note) => self.tried.push(note),
            Ok(Some(certificate)) => match self.sign_certificate(&beside, certificate, &hand).await
            {
                Answer::Refused => {}
                end => return end,
            },
        }
        match hand {
            Hand::File(key) => self.by_key(path, key).await,
            Hand::Agent(key) => self.by_agent(&AgentIdentity::from(key)).await,
        }
    }

    /// Offers a certificate file, with whichever configured key or key of the agent's is its own.
    async fn by_certificate(&mut self, path: &Utf8Path) -> Answer {
        let certificate = match certificate::load(path) {
            Ok(Some(certificate)) => certificate,
            Ok(None) => {
                self.tried.push(format!("{path} does not exist"));
                return Answer::Refused;
            }
            Err(note) => {
                self.tried.push(note);
                return Answer::Refused;
            }
        };
        let own = PublicKey::from(certificate.public_key().clone());
        self.open_agent().await;
        let hand = if self.holds(&own) {
            Some(Hand::Agent(own))
        } else {
            let files = self.target.keys.iter().chain(&self.options.identities);
            let mut keys = files.filter_map(|file| match load(file) {
                Ok(Identity::Key(key)) => Some(key),
                _ => self.options.keyring.get(file),
            });
            keys.find(|key| key.public_key().key_data() == own.key_data())
                .map(Hand::File)
        };
        match hand {
            Some(hand) => self.sign_certificate(path, certificate, &hand).await,
            None => {
                self.tried.push(format!(
                    "{path}: no key file and no key of the agent's is its own"
                ));
                Answer::Refused
            }
        }
    }

    async fn open_agent(&mut self) {
        if std::mem::replace(&mut self.agent_asked, true) {
            return;
        }
        let Some(socket) = self.options.agent_for(&self.target.access) else {
            return;
        };
        let mut agent = match AgentClient::connect_uds(&socket).await {
            Ok(agent) => agent,
            Err(error) => {
                self.tried
                    .push(format!("no agent answers at {socket}: {error}"));
                return;
            }
        };
        match agent.request_identities().await {
            Ok(held) if held.is_empty() => self
                .tried
                .push(format!("the agent at {socket} holds no key")),
            Ok(held) => self.agent = Some((agent, held)),
            Err(error) => self.tried.push(format!(
                "the agent at {socket} does not answer as agents do: {error}"
            )),
        }
    }

    fn holds(&self, key: &PublicKey) -> bool {
        self.agent.as_ref().is_some_and(|(_, held)| {
            held.iter().any(|identity| {
                matches!(identity, AgentIdentity::PublicKey { .. })
                    && identity.public_key().key_data() == key.key_data()
            })
        })
    }

    /// Returns the best hash the host takes for RSA (RFC 8332); SHA-512 where it does not say.
    async fn rsa_hash(&mut self, algorithm: &Algorithm) -> Option<HashAlg> {
        if !matches!(algorithm, Algorithm::Rsa { .. }) {
            return None;
        }
        if let Some(hash) = self.rsa_hash {
            return hash;
        }
        let hash = match self.handle.best_supported_rsa_hash().await {
            Ok(Some(best)) => best,
            Ok(None) | Err(_) => Some(HashAlg::Sha512),
        };
        self.rsa_hash = Some(hash);
        hash
    }

    /// Returns whether a key or certificate is offered for the first time.
    fn is_new(&mut self, blob: Result<Vec<u8>, russh::keys::ssh_key::Error>) -> bool {
        blob.is_ok_and(|blob| self.offered.insert(blob))
    }

    async fn by_key(&mut self, path: &Utf8Path, key: Arc<PrivateKey>) -> Answer {
        if !self.is_new(key.public_key().to_bytes()) {
            return Answer::Refused;
        }
        let hash = self.rsa_hash(&key.algorithm()).await;
        let name = format!("{path} ({})", key.algorithm());
        let key = PrivateKeyWithHashAlg::new(key, hash);
        let user = &self.target.user;
        let result = self.handle.authenticate_publickey(user, key).await;
        self.judge(name, result.map_err(|error| explain(&error)))
    }

    async fn sign_certificate(
        &mut self,
        path: &Utf8Path,
        certificate: Certificate,
        hand: &Hand,
    ) -> Answer {
        if !self.is_new(certificate.to_bytes()) {
            return Answer::Refused;
        }
        let hash = self.rsa_hash(&certificate.algorithm()).await;
        let name = format!("{path} (certificate `{}`)", certificate.key_id());
        let user = &self.target.user;
        let result = match (hand, &mut self.agent) {
            (Hand::File(key), _) => {
                let mut signer = FileSigner(key.clone());
                self.handle
                    .authenticate_certificate_with(user, certificate, hash, &mut signer)
                    .await
            }
            (Hand::Agent(key), Some((agent, _))) => {
                let mut signer = AgentSigner(agent, key.clone());
                self.handle
                    .authenticate_certificate_with(user, certificate, hash, &mut signer)
                    .await
            }
            (Hand::Agent(_), None) => return Answer::Refused,
        };
        self.judge(name, result.map_err(|error| error.to_string()))
    }

    async fn by_agent(&mut self, identity: &AgentIdentity) -> Answer {
        let blob = match identity {
            AgentIdentity::PublicKey { key, .. } => key.to_bytes(),
            AgentIdentity::Certificate { certificate, .. } => certificate.to_bytes(),
        };
        if !self.is_new(blob) {
            return Answer::Refused;
        }
        let key = identity.public_key().into_owned();
        let hash = self.rsa_hash(&key.algorithm()).await;
        let Some((agent, _)) = &mut self.agent else {
            return Answer::Refused;
        };
        let user = &self.target.user;
        let result = match identity {
            AgentIdentity::PublicKey { .. } => {
                self.handle
                    .authenticate_publickey_with(user, key.clone(), hash, agent)
                    .await
            }
            AgentIdentity::Certificate { certificate, .. } => {
                self.handle
                    .authenticate_certificate_with(user, certificate.clone(), hash, agent)
                    .await
            }
        };
        let mut name = format!(
            "agent key {} ({})",
            key.fingerprint(HashAlg::Sha256),
            key.algorithm()
        );
        if !identity.comment().is_empty() {
            let _ = write!(name, " {}", identity.comment());
        }
        self.judge(name, result.map_err(|error| error.to_string()))
    }

    fn judge(&mut self, name: String, result: Result<AuthResult, String>) -> Answer {
        match result {
            Ok(AuthResult::Success) => return Answer::Accepted,
            Ok(AuthResult::Failure {
                partial_success: true,
                remaining_methods,
            }) => {
                self.tried.push(format!(
                    "{name} was accepted, but the host also wants one of {}",
                    listed(&remaining_methods)
                ));
                self.methods = Some(remaining_methods);
                return Answer::Over;
            }
            Ok(AuthResult::Failure {
                remaining_methods, ..
            }) => {
                self.tried.push(name);
                if !remaining_methods.is_empty() {
                    let takes_keys = remaining_methods.contains(&MethodKind::PublicKey);
                    if !takes_keys && self.target.access.password.is_none() {
                        self.tried.push(format!(
                            "the host takes no keys, only {}",
                            listed(&remaining_methods)
                        ));
                    }
                    self.methods = Some(remaining_methods);
                    if !takes_keys {
                        return Answer::Over;
                    }
                }
            }
            Err(reason) => self.tried.push(format!("{name}: {reason}")),
        }
        if self.closed() {
            return Answer::Over;
        }
        Answer::Refused
    }

    fn closed(&mut self) -> bool {
        let closed = self.handle.is_closed();
        if closed {
            self.tried.push(TOO_MANY.to_owned());
        }
        closed
    }

    /// Gives the password once, in the way that the host takes: a second try of the same one may lock the account.
    async fn by_password(&mut self, password: &Secret<String>) -> Answer {
        let user = &self.target.user;
        let methods = match self.methods.take() {
            Some(methods) => methods,
            // ssh asks in the same way; it does not count as an attempt.
            None => match self.handle.authenticate_none(user).await {
                Ok(AuthResult::Success) => return Answer::Accepted,
                Ok(AuthResult::Failure {
                    remaining_methods, ..
                }) => remaining_methods,
                Err(error) => {
                    self.tried.push(explain(&error));
                    return Answer::Over;
                }
            },
        };
        let (name, result) = if methods.contains(&MethodKind::Password) {
            let given = password.expose().clone();
            let result = self.handle.authenticate_password(user, given).await;
            ("the password", result)
        } else if methods.contains(&MethodKind::KeyboardInteractive) {
            let name = "the password (keyboard-interactive)";
            match self.converse(password).await {
                Ok(result) => (name, result),
                Err(note) => {
                    self.tried.push(format!("{name}: {note}"));
                    return Answer::Over;
                }
            }
        } else {
            self.tried.push(format!(
                "the host takes no password, only {}",
                listed(&methods)
            ));
            return Answer::Over;
        };
        match result {
            Ok(AuthResult::Success) => Answer::Accepted,
            Ok(AuthResult::Failure {
                partial_success: true,
                remaining_methods,
            }) => {
                self.tried.push(format!(
                    "{name} was accepted, but the host also wants one of {}",
                    listed(&remaining_methods)
                ));
                Answer::Over
            }
            Ok(AuthResult::Failure { .. }) => {
                self.tried.push(name.to_owned());
                Answer::Over
            }
            Err(error) => {
                self.tried.push(format!("{name}: {}", explain(&error)));
                Answer::Over
            }
        }
    }

    /// Answers a host's questions where they are one for a password; an error says what else it asked.
    async fn converse(
        &mut self,
        password: &Secret<String>,
    ) -> Result<Result<AuthResult, russh::Error>, String> {
        let user = &self.target.user;
        let mut given = false;
        let mut said = self
            .handle
            .authenticate_keyboard_interactive_start(user, None)
            .await;
        for _ in 0..ROUNDS {
            let prompts = match said {
                Ok(KeyboardInteractiveAuthResponse::Success) => return Ok(Ok(AuthResult::Success)),
                Ok(KeyboardInteractiveAuthResponse::Failure {
                    remaining_methods,
                    partial_success,
                }) => {
                    return Ok(Ok(AuthResult::Failure {
                        remaining_methods,
                        partial_success,
                    }));
                }
                Ok(KeyboardInteractiveAuthResponse::InfoRequest { prompts, .. }) => prompts,
                Err(error) => return Ok(Err(error)),
            };
            let answers = match prompts.as_slice() {
                [] => Vec::new(),
                // What is typed in the open is no password.
                [prompt] if !prompt.echo && !given => {
                    given = true;
                    vec![password.expose().clone()]
                }
                [prompt, ..] => {
                    return Err(format!(
                        "the host asks `{}`, which quorate has no answer for",
                        prompt.prompt.trim().trim_end_matches(':')
                    ));
                }
            };
            said = self
                .handle
                .authenticate_keyboard_interactive_respond(answers)
                .await;
        }
        Err("the host's questions do not end".into())
    }
}

/// Returns methods as sshd_config spells them.
fn listed(methods: &MethodSet) -> String {
    let names: Vec<&str> = methods.iter().map(Into::into).collect();
    names.join(", ")
}
