//! A fleet of hosts behind one SSH server: real TCP and a real SSH protocol on loopback, and behind it hosts that are
//! [`host::Host`]s. Each has an address of its own in 127.0.0.0/8, all of which Linux answers at.

#[path = "fleet/host.rs"]
mod host;
#[path = "fleet/words.rs"]
mod words;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use camino::Utf8PathBuf;
use russh::keys::{Algorithm, PrivateKey};
use russh::server::{Auth, ChannelOpenHandle, Config, Handler, Msg, Session, VerifiedPublicKey};
use russh::{Channel, ChannelId};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use host::{Cluster, Host};

/// How many hosts of the fleet are control planes.
const CONTROL_PLANES: usize = 3;
/// How much of what comes behind a script is kept.
const KEPT: usize = 1 << 20;
/// Hosts in one of the fleet's networks.
const NETWORK: usize = 250;

/// What is wrong with a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ill {
    /// It hangs up before a word was said.
    Down,
    /// Each step fails there.
    Failing,
    /// It answers after so long.
    Slow(Duration),
}

/// What all hosts of a fleet share.
struct Shared {
    cluster: Cluster,
    hosts: Vec<Mutex<Host>>,
    ill: Mutex<HashMap<usize, Ill>>,
    is_member: std::sync::atomic::AtomicBool,
    connections: AtomicU64,
    execs: AtomicU64,
}

/// The server with its inventory, key and known_hosts, until it is dropped.
pub(crate) struct Fleet {
    shared: Arc<Shared>,
    directory: TempDir,
    task: JoinHandle<()>,
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Returns the last three bytes of a host's addresses.
fn place(number: usize) -> (usize, usize, usize) {
    (
        1 + number / NETWORK / 256,
        number / NETWORK % 256,
        number % NETWORK + 1,
    )
}

fn number(address: IpAddr) -> Option<usize> {
    let IpAddr::V4(address) = address else {
        return None;
    };
    let [_, a, b, c] = address.octets().map(usize::from);
    Some(((a.checked_sub(1)? * 256) + b) * NETWORK + c.checked_sub(1)?)
}

fn name(number: usize) -> String {
    match number.checked_sub(CONTROL_PLANES) {
        None => format!("cp{}", number + 1),
        Some(worker) => format!("w{}", worker + 1),
    }
}

impl Fleet {
    /// Starts `count` hosts, three of them control planes, with nothing on them but the programs of a node.
    pub(crate) async fn start(count: usize) -> Self {
        let directory = TempDir::new().unwrap();
        let key =
            PrivateKey::random(&mut russh::keys::key::safe_rng(), Algorithm::Ed25519).unwrap();
        let config = Arc::new(Config {
            keys: vec![key.clone()],
            auth_rejection_time: Duration::ZERO,
            nodelay: true,
            ..Config::default()
        });
        let listener = listen();
        let port = listener.local_addr().unwrap().port();
        let node = |n: usize| {
            let (a, b, c) = place(n);
            (name(n), format!("10.{a}.{b}.{c}"))
        };
        let shared = Arc::new(Shared {
            cluster: Cluster {
                version: "1.36.3".into(),
                endpoint: "vip.fleet.example:8443".into(),
                vip: "10.255.0.1".into(),
                nodes: (0..count).map(node).collect(),
                control_planes: CONTROL_PLANES,
            },
            hosts: (0..count).map(|_| Mutex::new(Host::bare())).collect(),
            ill: Mutex::default(),
            is_member: false.into(),
            connections: AtomicU64::new(0),
            execs: AtomicU64::new(0),
        });
        let accepting = shared.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(accepting.clone(), config.clone(), stream));
            }
        });
        let fleet = Self {
            shared,
            directory,
            task,
        };
        let user =
            PrivateKey::random(&mut russh::keys::key::safe_rng(), Algorithm::Ed25519).unwrap();
        user.write_openssh_file(fleet.path("key").as_std_path(), Default::default())
            .unwrap();
        let public = key.public_key().to_openssh().unwrap();
        let mut known = String::new();
        for n in 0..count {
            let (a, b, c) = place(n);
            let _ = writeln!(known, "[127.{a}.{b}.{c}]:{port} {public}");
        }
        std::fs::write(fleet.path("known_hosts"), known).unwrap();
        fleet.write_inventory(count, port);
        fleet
    }

    fn write_inventory(&self, count: usize, port: u16) {
        let mut text = String::from("all:\n  children:\n    kube_control_plane:\n      hosts:\n");
        for n in 0..count {
            if n == CONTROL_PLANES {
                text.push_str("    kube_node:\n      hosts:\n");
            }
            let (a, b, c) = place(n);
            let _ = writeln!(
                text,
                "        {}: {{ ansible_host: 127.{a}.{b}.{c}, ip: 10.{a}.{b}.{c} }}",
                name(n)
            );
        }
        let inventory = self.path("inventory");
        std::fs::create_dir_all(inventory.join("group_vars")).unwrap();
        std::fs::write(inventory.join("hosts.yml"), text).unwrap();
        let vars = format!(
            "ansible_user: root\nansible_port: {port}\nansible_ssh_private_key_file: \"{}\"\n\
             kubernetes_version: \"1.36.3\"\nkubernetes_source: present\ncontainer_runtime_source: present\n\
             fleet_word: first\ncontrol_plane_endpoint: {}\napiserver_vip: {}\ninterface: eth0\n",
            self.path("key"),
            self.shared.cluster.endpoint,
            self.shared.cluster.vip,
        );
        std::fs::write(inventory.join("group_vars/all.yml"), vars).unwrap();
        // A role of the user's own on all of them, with one file.
        let tasks = inventory.join("roles/word/tasks");
        std::fs::create_dir_all(&tasks).unwrap();
        let copy = "- name: The word\n  copy:\n    content: \"{{ fleet_word }}\\n\"\n    dest: /etc/fleet\n    mode: \"0644\"\n";
        std::fs::write(tasks.join("main.yml"), copy).unwrap();
        let site = "- name: words\n  hosts: all\n  stage: before\n  roles: [word]\n";
        std::fs::write(inventory.join("site.yml"), site).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> Utf8PathBuf {
        Utf8PathBuf::try_from(self.directory.path().join(name)).unwrap()
    }

    /// Makes all hosts members of one cluster.
    pub(crate) fn join(&self) {
        self.shared.is_member.store(true, Ordering::SeqCst);
    }

    /// Makes hosts ill; all others are well.
    pub(crate) fn ail(&self, ill: impl IntoIterator<Item = (usize, Ill)>) {
        *lock(&self.shared.ill) = ill.into_iter().collect();
    }

    /// Returns how many connections and execs there were since the last call.
    pub(crate) fn counted(&self) -> (u64, u64) {
        let take = |count: &AtomicU64| count.swap(0, Ordering::SeqCst);
        (take(&self.shared.connections), take(&self.shared.execs))
    }

    /// Returns how many waves the hosts have been told in all.
    pub(crate) fn waves(&self) -> u64 {
        self.shared.hosts.iter().map(|host| lock(host).waves).sum()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap()
}

/// Returns a listener on all addresses of loopback, with room for many who come at once.
fn listen() -> TcpListener {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from(([0, 0, 0, 0], 0))).unwrap();
    socket.listen(4096).unwrap()
}

async fn serve(shared: Arc<Shared>, config: Arc<Config>, stream: TcpStream) {
    let Some(number) = stream.local_addr().ok().and_then(|a| number(a.ip())) else {
        return;
    };
    if number >= shared.hosts.len() {
        return;
    }
    shared.connections.fetch_add(1, Ordering::SeqCst);
    if lock(&shared.ill).get(&number) == Some(&Ill::Down) {
        return;
    }
    let handler = Connection {
        shared,
        number,
        execs: HashMap::new(),
    };
    if let Ok(session) = russh::server::run_stream(config, stream, handler).await {
        let _ = session.await;
    }
}

/// An exec whose standard input is still coming.
#[derive(Default)]
struct Exec {
    /// How long the script is.
    length: usize,
    stdin: Vec<u8>,
    is_lock: bool,
}

struct Connection {
    shared: Arc<Shared>,
    number: usize,
    execs: HashMap<ChannelId, Exec>,
}

/// Returns the word that marks a script's records.
fn nonce(script: &str) -> &str {
    let line = script.lines().find_map(|line| line.strip_prefix("nonce="));
    line.unwrap_or_default().trim_matches('\'')
}

impl Handler for Connection {
    type Error = russh::Error;

    async fn auth_publickey(
        &mut self,
        _: &str,
        _: VerifiedPublicKey<'_>,
    ) -> Result<Auth, Self::Error> {
        Ok(Auth::Accept)
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        reply.accept().await;
        // Dropped receivers make russh hand data to `data` alone.
        drop(channel);
        Ok(())
    }

    async fn exec_request(
        &mut self,
        channel: ChannelId,
        command: &[u8],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        self.shared.execs.fetch_add(1, Ordering::SeqCst);
        let command = String::from_utf8_lossy(command);
        let length = command
            .split("dd bs=")
            .nth(1)
            .and_then(|rest| rest.split(' ').next());
        let length = length.and_then(|length| length.parse().ok()).unwrap_or(0);
        self.execs.insert(
            channel,
            Exec {
                length,
                ..Exec::default()
            },
        );
        session.channel_success(channel)
    }

    async fn data(
        &mut self,
        channel: ChannelId,
        data: &[u8],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        let Some(exec) = self.execs.get_mut(&channel) else {
            return Ok(());
        };
        // What no host looks at is not kept: large files are known by the digests in the script.
        let room = (exec.length + KEPT).saturating_sub(exec.stdin.len());
        exec.stdin.extend(&data[..data.len().min(room)]);
        let is_whole = exec.length > 0 && exec.stdin.len() >= exec.length;
        if is_whole && !exec.is_lock {
            let script = String::from_utf8_lossy(&exec.stdin[..exec.length]);
            if script.contains("\nsay \"locked$broken\"\n") {
                exec.is_lock = true;
                session.data(channel, format!("{} locked\n", nonce(&script)).into_bytes())?;
            }
        }
        Ok(())
    }

    async fn channel_eof(
        &mut self,
        channel: ChannelId,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        let exec = self.execs.remove(&channel).unwrap_or_default();
        let ill = lock(&self.shared.ill).get(&self.number).copied();
        let mut answer = String::new();
        if exec.length > 0 && !exec.is_lock {
            let (script, payload) = exec.stdin.split_at(exec.length.min(exec.stdin.len()));
            let script = String::from_utf8_lossy(script);
            let lines = lock(&self.shared.hosts[self.number]).answer(
                self.number,
                &self.shared.cluster,
                self.shared.is_member.load(Ordering::SeqCst),
                &script,
                payload,
                ill == Some(Ill::Failing),
            );
            let word = nonce(&script);
            lines.iter().for_each(|line| {
                let _ = writeln!(answer, "{word} {line}");
            });
        }
        let wait = match ill {
            Some(Ill::Slow(wait)) => wait,
            _ => Duration::ZERO,
        };
        let handle = session.handle();
        tokio::spawn(async move {
            tokio::time::sleep(wait).await;
            if !answer.is_empty() {
                let _ = handle.data(channel, answer.into_bytes()).await;
            }
            let _ = handle.exit_status_request(channel, 0).await;
            let _ = handle.eof(channel).await;
            let _ = handle.close(channel).await;
        });
        Ok(())
    }
}
