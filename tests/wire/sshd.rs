//! OpenSSH's own server, for one test: its own keys, port and configuration, as the user who runs the tests.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use quorate::transport::ssh::{HostKeyPolicy, SshOptions};
use tempfile::TempDir;

const SSHD: &str = "/usr/sbin/sshd";

/// A running sshd. Stopped by its process id when dropped.
pub(crate) struct Sshd {
    child: Child,
    directory: TempDir,
    pub(crate) port: u16,
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Sshd {
    pub(crate) fn start() -> Self {
        Self::with("")
    }

    /// Starts it with further lines of configuration, which win over its own; `{root}` stands for its directory.
    pub(crate) fn with(further: &str) -> Self {
        Self::prepared(further, |_| {})
    }

    /// Starts it with this PATH for its commands.
    pub(crate) fn with_path(search: &str) -> Self {
        Self::launch(search, "", |_| {})
    }

    /// Starts it with further lines of configuration, and what `prepare` has put into its directory.
    pub(crate) fn prepared(further: &str, prepare: impl FnOnce(&Utf8Path)) -> Self {
        Self::launch("/usr/local/bin:/usr/bin:/bin", further, prepare)
    }

    pub(crate) fn launch(search: &str, further: &str, prepare: impl FnOnce(&Utf8Path)) -> Self {
        assert!(
            fs::metadata(SSHD).is_ok(),
            "{SSHD} is missing: install openssh-server (`make test` does)"
        );
        let directory = TempDir::new().unwrap();
        let path = |name: &str| Utf8PathBuf::try_from(directory.path().join(name)).unwrap();
        for entry in fs::read_dir(keys()).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), directory.path().join(entry.file_name())).unwrap();
        }
        let keys: String = ["ed25519", "ecdsa", "rsa"]
            .iter()
            .map(|kind| fs::read_to_string(path(&format!("user_{kind}.pub"))).unwrap())
            .collect();
        fs::write(path("authorized_keys"), keys).unwrap();
        prepare(&path(""));
        // A privileged sshd wants its separation directory, which only a service start makes.
        if fs::metadata("/run/sshd").is_err() {
            let _ = fs::create_dir("/run/sshd");
        }
        // The port may be taken between looking and binding: try again with another one.
        for _ in 0..5 {
            let port = free_port();
            let root = path("");
            let root = root.as_str().trim_end_matches('/');
            // sshd takes the first value of each keyword.
            let further = further.replace("{root}", root);
            // Of this one it takes the last.
            let startups = if further.contains("MaxStartups") {
                ""
            } else {
                "MaxStartups 100:30:200"
            };
            let configuration = format!(
                "{further}\nPort {port}\nListenAddress 127.0.0.1\n\
                 HostKey {root}/host_ed25519\nHostKey {root}/host_ecdsa\nHostKey {root}/host_rsa\n\
                 AuthorizedKeysFile {root}/authorized_keys\nPidFile {root}/pid\nStrictModes no\n\
                 UsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin yes\n\
                 {startups}\nSetEnv HOME={root} PATH={search}\n"
            );
            fs::write(path("sshd_config"), configuration).unwrap();
            let log = fs::File::create(path("log")).unwrap();
            let mut child = Command::new(SSHD)
                .args(["-D", "-e", "-f", path("sshd_config").as_str()])
                .stdin(Stdio::null())
                .stderr(log)
                .spawn()
                .unwrap();
            if answers(port, &mut child) {
                return Self {
                    child,
                    directory,
                    port,
                };
            }
            let _ = child.kill();
            let _ = child.wait();
        }
        panic!(
            "sshd does not start: {}",
            fs::read_to_string(path("log")).unwrap_or_default()
        );
    }

    pub(crate) fn path(&self, name: &str) -> Utf8PathBuf {
        Utf8PathBuf::try_from(self.directory.path().join(name)).unwrap()
    }

    /// Returns what sshd has logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// Ends the connections that it has, and goes on listening.
    pub(crate) fn end_sessions(&self) {
        let sessions = Command::new("pgrep")
            .args(["-P", &self.child.id().to_string()])
            .output()
            .unwrap();
        let sessions = String::from_utf8_lossy(&sessions.stdout).into_owned();
        assert!(!sessions.trim().is_empty(), "no session to end");
        for session in sessions.split_whitespace() {
            let status = Command::new("kill").arg(session).status().unwrap();
            assert!(status.success());
        }
    }

    /// Returns one of the keys that may log in: ed25519, ecdsa or rsa.
    pub(crate) fn user_key(&self, kind: &str) -> Utf8PathBuf {
        self.path(&format!("user_{kind}"))
    }

    /// Returns the public half of a host key, as type and base64.
    pub(crate) fn host_key(&self, kind: &str) -> String {
        let text = fs::read_to_string(self.path(&format!("host_{kind}.pub"))).unwrap();
        text.split_whitespace()
            .take(2)
            .collect::<Vec<_>>()
            .join(" ")
    }

    /// Writes a known_hosts file; `{host}` stands for this server's name in it.
    pub(crate) fn known_hosts(&self, lines: &str) -> Utf8PathBuf {
        let path = self.path("known_hosts");
        fs::write(
            &path,
            lines.replace("{host}", &format!("[127.0.0.1]:{}", self.port)),
        )
        .unwrap();
        path
    }

    /// Returns options that know this server by its ed25519 key.
    pub(crate) fn options(&self) -> SshOptions {
        let known = self.known_hosts(&format!("{{host}} {}\n", self.host_key("ed25519")));
        SshOptions {
            known_hosts: vec![known],
            host_key_policy: HostKeyPolicy::Strict,
            ..SshOptions::default()
        }
    }
}

/// Returns a directory with host and user keys of every kind, made once: an RSA key takes seconds.
fn keys() -> Utf8PathBuf {
    static MADE: Mutex<()> = Mutex::new(());
    let _making = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    let keys = Utf8PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("ssh-keys");
    if keys.exists() {
        return keys;
    }
    // Another test process may do the same: whoever is first wins.
    let fresh = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    for kind in ["ed25519", "ecdsa", "rsa"] {
        for owner in ["host", "user"] {
            let path = fresh.path().join(format!("{owner}_{kind}"));
            keygen(&Utf8PathBuf::try_from(path).unwrap(), kind, "");
        }
    }
    let _ = fs::rename(fresh.path(), &keys);
    keys
}

pub(crate) fn keygen(path: &Utf8PathBuf, kind: &str, passphrase: &str) {
    let status = Command::new("ssh-keygen")
        .args([
            "-q",
            "-t",
            kind,
            "-N",
            passphrase,
            "-C",
            "test",
            "-f",
            path.as_str(),
        ])
        .status()
        .unwrap();
    assert!(status.success());
    assert_eq!(
        fs::metadata(path).unwrap().permissions().mode() & 0o777,
        0o600
    );
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

fn answers(port: u16, child: &mut Child) -> bool {
    let deadline = Instant::now() + Duration::from_secs(20);
    while Instant::now() < deadline {
        if let Ok(Some(_)) = child.try_wait() {
            return false;
        }
        let attempt = std::net::TcpStream::connect_timeout(
            &([127, 0, 0, 1], port).into(),
            Duration::from_millis(200),
        );
        if attempt.is_ok() {
            return true;
        }
        std::thread::yield_now();
    }
    false
}
