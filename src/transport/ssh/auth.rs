//! Proving who logs in: key files and an SSH agent.

use std::fmt::Write;
use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};
use russh::MethodKind;
use russh::client::{AuthResult, Handle};
use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::AgentClient;
use russh::keys::{Algorithm, HashAlg, PrivateKey, PrivateKeyWithHashAlg, PublicKey};
use tokio::net::UnixStream;

use super::client::Client;
use super::identity::{Identity, IdentityError, load};
use super::options::SshOptions;

/// The answer to one attempt.
enum Answer {
    Accepted,
    Refused,
    /// Further attempts on this connection lead nowhere.
    Over,
}

/// One run of attempts on one connection; an agent is spoken to by this connection alone.
pub(super) struct Login<'a> {
    handle: &'a mut Handle<Client>,
    user: &'a str,
    options: &'a SshOptions,
    agent: Option<(AgentClient<UnixStream>, Vec<AgentIdentity>)>,
    rsa_hash: Option<Option<HashAlg>>,
    tried: Vec<String>,
}

impl<'a> Login<'a> {
    pub(super) fn new(
        handle: &'a mut Handle<Client>,
        user: &'a str,
        options: &'a SshOptions,
    ) -> Self {
        Self {
            handle,
            user,
            options,
            agent: None,
            rsa_hash: None,
            tried: Vec::new(),
        }
    }

    /// Logs in with the keys configured for the target, or with the agent's and the usual files where there are none.
    ///
    /// Returns what was tried and why it did not do.
    pub(super) async fn run(mut self, keys: &[Utf8PathBuf]) -> Result<(), String> {
        let answer = if keys.is_empty() {
            self.by_default().await
        } else {
            self.by_files(keys).await
        };
        match answer {
            Answer::Accepted => Ok(()),
            Answer::Refused | Answer::Over if self.tried.is_empty() => Err(
                "no key at all: none is configured, no agent runs, and ~/.ssh holds none"
                    .to_owned(),
            ),
            Answer::Refused | Answer::Over => Err(self.tried.join("; ")),
        }
    }

    async fn by_default(&mut self) -> Answer {
        self.open_agent().await;
        let held: Vec<AgentIdentity> = self
            .agent
            .as_ref()
            .map(|(_, held)| held.clone())
            .unwrap_or_default();
        for identity in held {
            match self.by_agent(&identity).await {
                Answer::Refused => {}
                end => return end,
            }
        }
        let options = self.options;
        for path in &options.identities {
            match load(path) {
                Err(IdentityError::Missing(_)) => {}
                Err(error) => self.tried.push(error.to_string()),
                Ok(Identity::Key(key)) => match self.by_key(path, key).await {
                    Answer::Refused => {}
                    end => return end,
                },
                Ok(Identity::Agent { key, note }) => {
                    // Its key was offered above if the agent holds it.
                    if !self.holds(&key) {
                        self.tried.push(note);
                    }
                }
            }
        }
        Answer::Refused
    }

    async fn by_files(&mut self, keys: &[Utf8PathBuf]) -> Answer {
        for path in keys {
            let answer = match load(path) {
                Err(error) => {
                    self.tried.push(error.to_string());
                    Answer::Refused
                }
                Ok(Identity::Key(key)) => self.by_key(path, key).await,
                Ok(Identity::Agent { key, note }) => {
                    self.open_agent().await;
                    if self.holds(&key) {
                        self.by_agent(&AgentIdentity::from(*key)).await
                    } else {
                        self.tried.push(note);
                        Answer::Refused
                    }
                }
            };
            match answer {
                Answer::Refused => {}
                end => return end,
            }
        }
        Answer::Refused
    }

    async fn open_agent(&mut self) {
        let (None, Some(socket)) = (&self.agent, &self.options.agent) else {
            return;
        };
        let mut agent = match AgentClient::connect_uds(socket).await {
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
            held.iter()
                .any(|identity| identity.public_key().key_data() == key.key_data())
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

    async fn by_key(&mut self, path: &Utf8Path, key: Arc<PrivateKey>) -> Answer {
        let hash = self.rsa_hash(&key.algorithm()).await;
        let name = format!("{path} ({})", key.algorithm());
        let key = PrivateKeyWithHashAlg::new(key, hash);
        let result = self.handle.authenticate_publickey(self.user, key).await;
        self.judge(name, result.map_err(|error| super::client::explain(&error)))
    }

    async fn by_agent(&mut self, identity: &AgentIdentity) -> Answer {
        let key = identity.public_key().into_owned();
        let hash = self.rsa_hash(&key.algorithm()).await;
        let Some((agent, _)) = &mut self.agent else {
            return Answer::Refused;
        };
        let result = match identity {
            AgentIdentity::PublicKey { .. } => {
                self.handle
                    .authenticate_publickey_with(self.user, key.clone(), hash, agent)
                    .await
            }
            AgentIdentity::Certificate { certificate, .. } => {
                self.handle
                    .authenticate_certificate_with(self.user, certificate.clone(), hash, agent)
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
                    "{name} was accepted, but the host also wants one of {remaining_methods:?}"
                ));
                return Answer::Over;
            }
            Ok(AuthResult::Failure {
                remaining_methods, ..
            }) => {
                self.tried.push(name);
                if !remaining_methods.is_empty()
                    && !remaining_methods.contains(&MethodKind::PublicKey)
                {
                    self.tried.push(format!(
                        "the host takes no keys, only {remaining_methods:?}"
                    ));
                    return Answer::Over;
                }
            }
            Err(reason) => self.tried.push(format!("{name}: {reason}")),
        }
        if self.handle.is_closed() {
            self.tried
                .push("then the host closed the connection (sshd_config: MaxAuthTries)".to_owned());
            return Answer::Over;
        }
        Answer::Refused
    }
}
