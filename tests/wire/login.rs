//! Ways to log in: agents with many keys, encrypted keys, certificates, passwords, keys in hardware.

use std::fs;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use camino::Utf8PathBuf;
use quorate::model::Secret;
use quorate::transport::ssh::{HostKeyPolicy, SshOptions, locked, unlock};
use quorate::transport::{Access, Target, TransportError};
use russh::keys::{Algorithm, PrivateKey};
use russh::server::{Auth, Config, Handler, Response};
use russh::{MethodKind, MethodSet};
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::bad_server::rand10;
use crate::help::{self, connect, exec, refused, request, target, within};
use crate::openssh::Agent;
use crate::sshd::{Sshd, keygen};

async fn enters(options: &SshOptions, target: &Target) {
    match connect(options, target).await {
        Ok(transport) => {
            let output = exec(&*transport, request("echo in")).await.unwrap();
            assert_eq!(output.stdout(), "in\n");
        }
        Err(error) => panic!("{error}"),
    }
}

fn run(program: &str, args: &[&str]) {
    let status = Command::new(program)
        .args(args)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success(), "{program} {args:?}");
}

/// Returns how many keys an error says were tried.
fn tried(error: &TransportError) -> usize {
    let text = error.to_string();
    text.matches("ed25519)").count()
}

#[tokio::test]
async fn the_configured_key_comes_before_seven_others_of_the_agent() {
    let sshd = Sshd::with("MaxAuthTries 6\n");
    let agent = Agent::start(&sshd).await;
    for n in 0..7 {
        let stranger = sshd.path(&format!("stranger{n}"));
        keygen(&stranger, "ed25519", "");
        agent.add(&stranger);
    }
    agent.add(&sshd.user_key("ed25519"));
    let options = SshOptions {
        agent: Some(agent.socket.clone()),
        ..sshd.options()
    };
    // Nothing says which: the host's patience ends first, as with ssh.
    let error = refused(&options, &target(sshd.port, &[])).await;
    assert!(error.to_string().contains("MaxAuthTries"), "{error}");
    let help = error.help();
    assert!(help.starts_with("name the right key alone"), "{help}");
    // The public half says which; the private one is the agent's alone.
    let public = sshd.path("only");
    fs::rename(sshd.path("user_ed25519"), sshd.path("hidden")).unwrap();
    fs::copy(sshd.path("user_ed25519.pub"), sshd.path("only.pub")).unwrap();
    for key in [sshd.path("user_ed25519.pub"), public.clone()] {
        enters(&options, &target(sshd.port, &[&key])).await;
    }
    // So does a usual file's public half.
    let usual = SshOptions {
        identities: vec![sshd.path("missing"), public],
        ..options.clone()
    };
    enters(&usual, &target(sshd.port, &[])).await;

    // Keys that are configured and refused: then the agent's others, or with IdentitiesOnly none.
    let wrong = sshd.path("stranger0.pub");
    let error = refused(&options, &target(sshd.port, &[&wrong])).await;
    assert!(tried(&error) > 1, "{error}");
    let alone = Target {
        access: Access {
            identities_only: true,
            ..Access::default()
        },
        ..target(sshd.port, &[&wrong])
    };
    let error = refused(&options, &alone).await;
    assert_eq!(tried(&error), 1, "{error}");
    // Without a configured key IdentitiesOnly leaves the usual files, and what the agent holds of them.
    let alone = Target {
        keys: Vec::new(),
        ..alone
    };
    assert_eq!(tried(&refused(&options, &alone).await), 0);
    enters(&usual, &alone).await;
}

#[tokio::test]
async fn an_encrypted_key_is_opened_once() {
    let sshd = Sshd::start();
    let known = sshd.options();
    for (kind, format) in [
        ("ed25519", "RFC4716"),
        ("ecdsa", "PKCS8"),
        ("rsa", "PKCS8"),
        ("rsa", "RFC4716"),
    ] {
        let path = sshd.path(&format!("{kind}-{format}"));
        fs::copy(sshd.user_key(kind), &path).unwrap();
        run(
            "ssh-keygen",
            &[
                "-q",
                "-p",
                "-m",
                format,
                "-P",
                "",
                "-N",
                "it's secret",
                "-f",
                path.as_str(),
            ],
        );
        assert!(!fs::read_to_string(&path).unwrap().is_empty());
        let options = SshOptions {
            keyring: quorate::transport::ssh::Keyring::default(),
            ..known.clone()
        };
        let host = target(sshd.port, &[&path]);
        let both = [&host, &target(sshd.port, &[&path])];
        assert_eq!(
            locked(&options, &both).await,
            std::slice::from_ref(&path),
            "{kind} {format}"
        );
        let error = refused(&options, &host).await;
        assert!(
            error
                .to_string()
                .contains("is encrypted, and its passphrase was not given: ssh-add"),
            "{error}"
        );
        let wrong = Secret::new("it's not".to_owned());
        assert!(unlock(&options, &path, &wrong).is_err());
        let right = Secret::new("it's secret".to_owned());
        assert!(unlock(&options, &path, &right).is_ok(), "{kind} {format}");
        enters(&options, &host).await;
    }
    // Nobody is asked where another configured key will do, or the agent holds it; and not for usual keys beside others.
    let (closed, open) = (sshd.path("ed25519-RFC4716"), sshd.user_key("ecdsa"));
    assert!(
        locked(&known, &[&target(sshd.port, &[&closed, &open])])
            .await
            .is_empty()
    );
    let usual = |identities: &[&Utf8PathBuf]| SshOptions {
        identities: identities.iter().map(|path| (*path).clone()).collect(),
        ..known.clone()
    };
    let nobody = target(sshd.port, &[]);
    assert_eq!(
        locked(&usual(&[&closed]), &[&nobody]).await,
        std::slice::from_ref(&closed)
    );
    assert!(
        locked(&usual(&[&closed, &open]), &[&nobody])
            .await
            .is_empty()
    );
    let agent = Agent::start(&sshd).await;
    agent.add(&sshd.user_key("ed25519"));
    let with_agent = SshOptions {
        agent: Some(agent.socket.clone()),
        ..usual(&[&closed])
    };
    assert!(
        locked(&with_agent, &[&nobody, &target(sshd.port, &[&closed])])
            .await
            .is_empty()
    );
    let rsa = sshd.path("rsa-RFC4716");
    assert_eq!(
        locked(&with_agent, &[&target(sshd.port, &[&rsa])]).await,
        [rsa]
    );
}

#[tokio::test]
async fn certificates_log_in() {
    let keys = TempDir::new().unwrap();
    let path = |name: &str| Utf8PathBuf::try_from(keys.path().join(name)).unwrap();
    let authority = path("ca");
    keygen(&authority, "ed25519", "");
    let sshd = Sshd::with(&format!("TrustedUserCAKeys {authority}.pub\n"));
    fs::write(sshd.path("authorized_keys"), "").unwrap();
    let options = sshd.options();
    let sign = |key: &Utf8PathBuf, validity: &str| {
        let user = crate::help::user();
        let public = format!("{key}.pub");
        let args = [
            "-q",
            "-s",
            authority.as_str(),
            "-I",
            "somebody",
            "-n",
            &user,
            "-V",
            validity,
            &public,
        ];
        run("ssh-keygen", &args);
    };
    // Beside the key, of each kind; RSA keys sign with SHA-2.
    for kind in ["ed25519", "ecdsa", "rsa"] {
        let key = path(kind);
        keygen(&key, kind, "");
        let error = refused(&options, &target(sshd.port, &[&key])).await;
        assert!(!error.to_string().contains("certificate"), "{error}");
        sign(&key, "-1d:+1d");
        enters(&options, &target(sshd.port, &[&key])).await;
    }
    // Elsewhere, by CertificateFile, with a configured key or the agent's.
    let (key, elsewhere) = (path("ed25519"), path("elsewhere"));
    fs::rename(path("ed25519-cert.pub"), &elsewhere).unwrap();
    let with = |keys: &[&Utf8PathBuf]| Target {
        access: Access {
            certificates: vec![elsewhere.clone()],
            ..Access::default()
        },
        ..target(sshd.port, keys)
    };
    enters(&options, &with(&[&key])).await;
    let error = refused(&options, &with(&[])).await;
    assert!(
        error
            .to_string()
            .contains("no key file and no key of the agent's is its own"),
        "{error}"
    );
    let agent = Agent::start(&sshd).await;
    let signing = SshOptions {
        agent: Some(agent.socket.clone()),
        ..options.clone()
    };
    for kind in ["ed25519", "rsa"] {
        // ssh-add takes a certificate along.
        agent.add(&path(kind));
    }
    enters(&signing, &with(&[])).await;
    enters(&signing, &target(sshd.port, &[])).await;
    // Past, and a host's: said, and not offered.
    sign(&key, "-2d:-1d");
    let error = refused(&options, &target(sshd.port, &[&key])).await;
    assert!(
        error
            .to_string()
            .contains("ed25519-cert.pub has expired: have it signed anew"),
        "{error}"
    );
    run(
        "ssh-keygen",
        &[
            "-q",
            "-h",
            "-s",
            authority.as_str(),
            "-I",
            "h",
            &format!("{key}.pub"),
        ],
    );
    let error = refused(&options, &target(sshd.port, &[&key])).await;
    assert!(
        error
            .to_string()
            .contains("is a host's certificate, and no user's"),
        "{error}"
    );
}

/// Neither a certificate nor the public half beside a key that is not there is read for ever.
#[tokio::test]
async fn certificates_without_an_end_are_refused() {
    let sshd = Sshd::start();
    let path = |name: &str| sshd.path(name);
    for name in ["pipe", "gone.pub", "here-cert.pub"] {
        help::pipe(&path(name));
    }
    let large = fs::File::create(path("large")).unwrap();
    large.set_len((1 << 20) + 1).unwrap();
    for (file, why) in [
        (path("pipe"), "it is no regular file"),
        ("/dev/zero".into(), "it is no regular file"),
        (path("large"), "it is larger than 1 MiB"),
    ] {
        let target = Target {
            access: Access {
                certificates: vec![file.clone()],
                ..Access::default()
            },
            ..target(sshd.port, &[&path("gone")])
        };
        let error = within(refused(&sshd.options(), &target)).await.to_string();
        let expected = format!("{file} cannot be read: {why}");
        assert!(error.contains(&expected), "{error}");
        assert!(error.contains("gone does not exist"), "{error}");
    }
    // The certificate beside a key that is well.
    fs::copy(sshd.user_key("ed25519"), path("here")).unwrap();
    let target = target(sshd.port, &[&path("here")]);
    within(enters(&sshd.options(), &target)).await;
}

const PASSWORD: &str = "pass word";

/// A server that takes a password.
#[derive(Clone)]
struct Guard {
    /// What it asks in keyboard-interactive: the prompt, and whether what is typed shows.
    prompts: &'static [(&'static str, bool)],
    given: Arc<AtomicUsize>,
}

impl Handler for Guard {
    type Error = russh::Error;

    async fn auth_password(&mut self, user: &str, password: &str) -> Result<Auth, russh::Error> {
        self.given.fetch_add(1, Ordering::SeqCst);
        Ok(if user == crate::help::user() && password == PASSWORD {
            Auth::Accept
        } else {
            Auth::reject()
        })
    }

    async fn auth_keyboard_interactive<'a>(
        &'a mut self,
        _user: &str,
        _submethods: &str,
        response: Option<Response<'a>>,
    ) -> Result<Auth, russh::Error> {
        let Some(mut response) = response else {
            return Ok(Auth::Partial {
                name: "".into(),
                instructions: "".into(),
                prompts: self
                    .prompts
                    .iter()
                    .map(|(text, echo)| ((*text).into(), *echo))
                    .collect(),
            });
        };
        self.given.fetch_add(1, Ordering::SeqCst);
        let right = response
            .next()
            .is_some_and(|typed| *typed == *PASSWORD.as_bytes());
        Ok(if right { Auth::Accept } else { Auth::reject() })
    }
}

struct Gate {
    task: tokio::task::JoinHandle<()>,
    port: u16,
    given: Arc<AtomicUsize>,
    options: SshOptions,
    _folder: TempDir,
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Gate {
    async fn start(methods: &[MethodKind], prompts: &'static [(&'static str, bool)]) -> Self {
        let key = PrivateKey::random(&mut rand10(), Algorithm::Ed25519).unwrap();
        let public = key.public_key().to_openssh().unwrap();
        let config = Arc::new(Config {
            keys: vec![key],
            methods: MethodSet::from(methods),
            auth_rejection_time: Duration::ZERO,
            ..Config::default()
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let given = Arc::new(AtomicUsize::new(0));
        let guard = Guard {
            prompts,
            given: given.clone(),
        };
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let running = russh::server::run_stream(config.clone(), stream, guard.clone());
                tokio::spawn(async move {
                    if let Ok(session) = running.await {
                        let _ = session.await;
                    }
                });
            }
        });
        let folder = TempDir::new().unwrap();
        let known = Utf8PathBuf::try_from(folder.path().join("known")).unwrap();
        fs::write(&known, format!("[127.0.0.1]:{port} {public}\n")).unwrap();
        Self {
            task,
            port,
            given,
            options: SshOptions {
                known_hosts: vec![known],
                host_key_policy: HostKeyPolicy::Strict,
                ..SshOptions::default()
            },
            _folder: folder,
        }
    }

    async fn with(&self, password: &str, keys: &[&Utf8PathBuf]) -> Result<(), String> {
        self.given.store(0, Ordering::SeqCst);
        let target = Target {
            access: Access {
                password: Some(Secret::new(password.to_owned())),
                ..Access::default()
            },
            ..target(self.port, keys)
        };
        let result = within(connect(&self.options, &target)).await;
        result.map(drop).map_err(|error| error.to_string())
    }

    fn given(&self) -> usize {
        self.given.load(Ordering::SeqCst)
    }
}

#[tokio::test]
async fn a_password_is_given_once_in_the_way_that_the_host_takes() {
    use MethodKind::{KeyboardInteractive, Password, PublicKey};
    let folder = TempDir::new().unwrap();
    let key = Utf8PathBuf::try_from(folder.path().join("key")).unwrap();
    keygen(&key, "ed25519", "");
    for (methods, way) in [
        (&[Password][..], "the password"),
        (
            &[KeyboardInteractive],
            "the password (keyboard-interactive)",
        ),
        (&[PublicKey, Password, KeyboardInteractive], "the password"),
    ] {
        let gate = Gate::start(methods, &[("Password: ", false)]).await;
        assert_eq!(gate.with(PASSWORD, &[]).await, Ok(()), "{methods:?}");
        // A configured key comes first.
        assert_eq!(gate.with(PASSWORD, &[&key]).await, Ok(()), "{methods:?}");
        let error = gate.with("wrong", &[]).await.unwrap_err();
        assert!(
            error.ends_with(&format!("tried {way}")),
            "{methods:?}: {error}"
        );
        assert!(!error.contains("wrong"), "{error}");
        assert_eq!(gate.given(), 1, "{methods:?}");
    }
    let gate = Gate::start(&[KeyboardInteractive], &[("Verification code: ", true)]).await;
    let error = gate.with(PASSWORD, &[]).await.unwrap_err();
    assert!(
        error.contains("the host asks `Verification code`, which quorate has no answer for"),
        "{error}"
    );
    assert_eq!(gate.given(), 0);
    let gate = Gate::start(&[PublicKey], &[]).await;
    let error = gate.with(PASSWORD, &[]).await.unwrap_err();
    assert!(
        error.contains("the host takes no password, only"),
        "{error}"
    );
    // Without a password nobody is asked for one.
    let gate = Gate::start(&[Password], &[]).await;
    let error = refused(&gate.options, &target(gate.port, &[&key])).await;
    assert!(
        error.to_string().contains("the host takes no keys, only"),
        "{error}"
    );
    assert_eq!(gate.given(), 0);
}

fn string(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap();
    [&length.to_be_bytes()[..], bytes].concat()
}

/// Takes a string of SSH's (RFC 4251, section 5) off the front.
fn take<'a>(bytes: &mut &'a [u8]) -> &'a [u8] {
    let (length, rest) = bytes.split_at(4);
    let length = u32::from_be_bytes(length.try_into().unwrap()) as usize;
    let (text, rest) = rest.split_at(length);
    *bytes = rest;
    text
}

const HARDWARE: &[u8] = b"sk-ssh-ed25519@openssh.com";

/// An agent with a security key, as far as the wire shows: it signs what a token would (PROTOCOL.u2f of OpenSSH).
async fn hardware_agent(listener: tokio::net::UnixListener, key: PrivateKey, blob: Vec<u8>) {
    use russh::keys::signature::Signer;
    use sha2::{Digest, Sha256};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    while let Ok((mut stream, _)) = listener.accept().await {
        while let Ok(length) = stream.read_u32().await {
            let mut body = vec![0; length as usize];
            stream.read_exact(&mut body).await.unwrap();
            let answer = match body.first() {
                Some(11) => [&[12, 0, 0, 0, 1][..], &string(&blob), &string(b"token")].concat(),
                Some(13) => {
                    let mut rest = &body[1..];
                    assert_eq!(take(&mut rest), blob);
                    let data = Sha256::digest(take(&mut rest));
                    // A person was there; the third signature of this token.
                    let state = [1, 0, 0, 0, 3];
                    let signed = [&Sha256::digest(b"ssh:")[..], &state, &data].concat();
                    let signature = key.try_sign(&signed).unwrap();
                    let parts = [
                        string(HARDWARE),
                        string(signature.as_bytes()),
                        state.to_vec(),
                    ];
                    [&[14][..], &string(&parts.concat())].concat()
                }
                _ => vec![5],
            };
            stream.write_all(&string(&answer)).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_security_key_signs_through_the_agent() {
    use base64::Engine as _;

    let sshd = Sshd::start();
    let key = PrivateKey::random(&mut rand10(), Algorithm::Ed25519).unwrap();
    let public = key.public_key().key_data().ed25519().unwrap().0;
    let blob = [string(HARDWARE), string(&public), string(b"ssh:")].concat();
    let line = format!(
        "{} {} token\n",
        String::from_utf8_lossy(HARDWARE),
        base64::engine::general_purpose::STANDARD.encode(&blob)
    );
    let file = sshd.path("id_ed25519_sk.pub");
    fs::write(&file, &line).unwrap();
    fs::write(sshd.path("authorized_keys"), &line).unwrap();
    let socket = sshd.path("agent");
    let listener = tokio::net::UnixListener::bind(&socket).unwrap();
    let agent = tokio::spawn(hardware_agent(listener, key, blob));
    let options = SshOptions {
        agent: Some(socket),
        ..sshd.options()
    };
    enters(&options, &target(sshd.port, &[])).await;
    enters(&options, &target(sshd.port, &[&file])).await;
    agent.abort();
}
