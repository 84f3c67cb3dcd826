//! A server on loopback that misbehaves as it is told.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use quorate::transport::ssh::{HostKeyPolicy, SshOptions};
use russh::keys::{Algorithm, Certificate, PrivateKey};
use russh::server::{Auth, ChannelOpenHandle, Config, Handler, Msg, Session, VerifiedPublicKey};
use russh::{Channel, ChannelId, Disconnect, Limits};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use camino::Utf8PathBuf;

/// What the server does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Vice {
    /// Nothing: it echoes, then exits with 0.
    None,
    /// Takes the connection and says nothing.
    Silence,
    /// Sends its banner and then nothing.
    BannerOnly,
    /// Speaks another protocol.
    Http,
    /// Sends lines before its banner, as RFC 4253 lets it, without end.
    Preamble,
    /// Sends its banner a byte at a time, and never its end.
    Drip,
    /// Sends noise behind its banner.
    Noise,
    /// Announces a packet of four GiB.
    HugePacket,
    /// Takes no key.
    PasswordOnly,
    /// Never answers authentication.
    AuthSilence,
    /// Takes the key and wants more.
    MoreAuth,
    /// Refuses channels.
    NoChannel,
    /// Never answers a channel.
    ChannelSilence,
    /// Never answers an exec.
    ExecSilence,
    /// Refuses an exec.
    ExecRefused,
    /// Closes the channel in the middle of output, without a status.
    ClosesChannel,
    /// Says goodbye in the middle of output.
    Disconnects,
    /// Says goodbye with a long text that would steer a terminal.
    Farewell,
    /// Opens channels of its own without end.
    Opens,
    /// Writes without end.
    Endless,
    /// Writes to standard error without end.
    EndlessErrors,
    /// Writes a byte at a time, and nothing else ever.
    Trickle,
    /// Never reads: its window stays shut.
    Stuck,
    /// Never gives a status nor output.
    Idle,
}

/// A server that ends with the test.
pub(crate) struct BadServer {
    task: JoinHandle<()>,
    directory: TempDir,
    pub(crate) port: u16,
    pub(crate) key: PrivateKey,
    /// Connections that are open now.
    pub(crate) open: Arc<AtomicUsize>,
}

impl Drop for BadServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl BadServer {
    pub(crate) async fn start(vice: Vice) -> Self {
        Self::with(vice, |_| {}).await
    }

    pub(crate) async fn with(vice: Vice, change: impl FnOnce(&mut Config)) -> Self {
        let key = PrivateKey::random(&mut rand10(), Algorithm::Ed25519).unwrap();
        let mut config = Config {
            keys: vec![key.clone()],
            auth_rejection_time: Duration::ZERO,
            nodelay: true,
            window_size: if vice == Vice::Stuck {
                64 << 10
            } else {
                2 << 20
            },
            ..Config::default()
        };
        change(&mut config);
        let config = Arc::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let open = Arc::new(AtomicUsize::new(0));
        let count = open.clone();
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (config, count) = (config.clone(), count.clone());
                count.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(async move {
                    serve(vice, config, stream).await;
                    count.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Self {
            task,
            directory: TempDir::new().unwrap(),
            port,
            key,
            open,
        }
    }

    pub(crate) fn path(&self, name: &str) -> Utf8PathBuf {
        Utf8PathBuf::try_from(self.directory.path().join(name)).unwrap()
    }

    /// Returns a fresh key that may log in (as any does here).
    pub(crate) fn user_key(&self) -> Utf8PathBuf {
        let path = self.path("user");
        let key = PrivateKey::random(&mut rand10(), Algorithm::Ed25519).unwrap();
        key.write_openssh_file(path.as_std_path(), Default::default())
            .unwrap();
        path
    }

    pub(crate) fn options(&self) -> SshOptions {
        let known = self.path("known_hosts");
        let line = self.key.public_key().to_openssh().unwrap();
        std::fs::write(&known, format!("[127.0.0.1]:{} {line}\n", self.port)).unwrap();
        SshOptions {
            known_hosts: vec![known],
            host_key_policy: HostKeyPolicy::Strict,
            connect_timeout: Duration::from_secs(1),
            reply_timeout: Duration::from_secs(1),
            idle_timeout: Some(Duration::from_secs(2)),
            ..SshOptions::default()
        }
    }

    /// Waits until every connection is closed on the server's side too.
    pub(crate) async fn is_left_alone(&self) {
        let closed = async {
            while self.open.load(Ordering::SeqCst) > 0 {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), closed)
            .await
            .expect("a connection was left open");
    }
}

/// russh's keys come from another version of rand than ours.
pub(crate) fn rand10() -> impl russh::keys::signature::rand_core::CryptoRng {
    russh::keys::key::safe_rng()
}

async fn serve(vice: Vice, config: Arc<Config>, mut stream: TcpStream) {
    let first = match vice {
        Vice::Silence => Some(&b""[..]),
        Vice::BannerOnly => Some(&b"SSH-2.0-OpenSSH_9.2\r\n"[..]),
        Vice::Http => Some(&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..]),
        Vice::Preamble | Vice::Drip => Some(&b""[..]),
        Vice::Noise | Vice::HugePacket => Some(&b"SSH-2.0-OpenSSH_9.2\r\n"[..]),
        _ => None,
    };
    if let Some(first) = first {
        let _ = stream.write_all(first).await;
        match vice {
            Vice::Http => return,
            Vice::Preamble => {
                while stream.write_all(&[b'x'; 1000]).await.is_ok() {
                    let _ = stream.write_all(b"\r\n").await;
                }
            }
            Vice::Noise => {
                let noise: Vec<u8> = (0..1_u32 << 16)
                    .map(|n| n.wrapping_mul(n).to_le_bytes()[1])
                    .collect();
                while stream.write_all(&noise).await.is_ok() {}
            }
            Vice::HugePacket => {
                let _ = stream.write_all(&[0xff; 4]).await;
                while stream.write_all(&[0; 1 << 16]).await.is_ok() {}
            }
            Vice::Drip => loop {
                if stream.write_all(b"S").await.is_err() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            },
            _ => {}
        }
        // Ends when the client hangs up.
        let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
        return;
    }
    if let Ok(session) = russh::server::run_stream(
        config,
        stream,
        Bad {
            vice,
            kept: Vec::new(),
        },
    )
    .await
    {
        let _ = session.await;
    }
}

struct Bad {
    vice: Vice,
    kept: Vec<(Option<Channel<Msg>>, Option<ChannelOpenHandle>)>,
}

impl Handler for Bad {
    type Error = russh::Error;

    async fn auth_publickey(
        &mut self,
        _: &str,
        _: VerifiedPublicKey<'_>,
    ) -> Result<Auth, Self::Error> {
        match self.vice {
            Vice::AuthSilence => std::future::pending().await,
            Vice::PasswordOnly => Ok(Auth::Reject {
                proceed_with_methods: Some((&[russh::MethodKind::Password][..]).into()),
                partial_success: false,
            }),
            Vice::MoreAuth => Ok(Auth::Reject {
                proceed_with_methods: Some((&[russh::MethodKind::KeyboardInteractive][..]).into()),
                partial_success: true,
            }),
            _ => Ok(Auth::Accept),
        }
    }

    async fn auth_openssh_certificate(
        &mut self,
        _: &str,
        _: &Certificate,
    ) -> Result<Auth, Self::Error> {
        Ok(Auth::Accept)
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        match self.vice {
            Vice::NoChannel => drop(reply),
            Vice::ChannelSilence => self.kept.push((None, Some(reply))),
            Vice::Stuck => {
                // Nobody receives from it, and so its window is never opened again.
                self.kept.push((Some(channel), None));
                reply.accept().await;
            }
            _ => {
                reply.accept().await;
                // Dropped receivers make russh hand data to `data` alone.
                drop(channel);
            }
        }
        Ok(())
    }

    async fn exec_request(
        &mut self,
        channel: ChannelId,
        _: &[u8],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        match self.vice {
            Vice::ExecSilence => return Ok(()),
            Vice::ExecRefused => return session.channel_failure(channel),
            _ => session.channel_success(channel)?,
        }
        let handle = session.handle();
        match self.vice {
            Vice::ClosesChannel => {
                session.data(channel, b"half a reco".to_vec())?;
                session.close(channel)?;
            }
            Vice::Disconnects => {
                session.data(channel, b"half a reco".to_vec())?;
                tokio::spawn(async move {
                    let _ = handle
                        .disconnect(Disconnect::ByApplication, "going down".into(), "".into())
                        .await;
                });
            }
            Vice::Farewell => {
                let text = "\u{1b}[2J\u{202e}bye ".repeat(2000);
                tokio::spawn(async move {
                    let _ = handle
                        .disconnect(Disconnect::ByApplication, text, "".into())
                        .await;
                });
            }
            Vice::Opens => {
                tokio::spawn(async move {
                    while handle
                        .channel_open_forwarded_tcpip("a", 1, "b", 2)
                        .await
                        .is_ok()
                    {}
                });
            }
            Vice::Endless => {
                tokio::spawn(async move {
                    while handle.data(channel, vec![b'y'; 30_000]).await.is_ok() {}
                });
            }
            Vice::EndlessErrors => {
                tokio::spawn(async move {
                    while handle
                        .extended_data(channel, 1, vec![b'y'; 30_000])
                        .await
                        .is_ok()
                    {}
                });
            }
            Vice::Trickle => {
                tokio::spawn(async move {
                    while handle.data(channel, vec![b'y']).await.is_ok() {
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                });
            }
            _ => {}
        }
        Ok(())
    }

    async fn data(
        &mut self,
        channel: ChannelId,
        data: &[u8],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        if self.vice == Vice::None {
            session.data(channel, data.to_vec())?;
        }
        Ok(())
    }

    async fn channel_eof(
        &mut self,
        channel: ChannelId,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        if self.vice == Vice::None {
            session.exit_status_request(channel, 0)?;
            session.eof(channel)?;
            session.close(channel)?;
        }
        Ok(())
    }
}

/// Limits that make keys be exchanged anew all the time.
pub(crate) fn hasty() -> Limits {
    Limits::new(1 << 20, 1 << 20, Duration::from_secs(3600))
}
