//! A network with a delay: TCP connections on loopback that take a round trip of so many milliseconds.
//!
//! Each direction is late by half of it, and nothing else: as much as the sockets take goes through at once, no matter how
//! much is under way. The three packets that open a connection take their time too. Loss, a narrow link and TCP's slow start
//! are not there: a real network is slower than this one.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// What went through since it was last asked for.
#[derive(Default)]
struct Counts {
    connections: AtomicU64,
    to_hosts: AtomicU64,
    from_hosts: AtomicU64,
    /// How often bytes went to a host after some had come from it: what cannot be shorter than a round trip each.
    turns: AtomicU64,
}

/// Pieces under way in one direction, at most: far more than half a round trip holds.
const UNDER_WAY: usize = 4096;
const PIECE: usize = 64 << 10;

/// Listens on each port and passes on to its target. Who connects to the control port is told the counts, which begin anew.
pub(crate) async fn proxy(words: &[String]) -> u8 {
    let [control, rtt, pairs @ ..] = words else {
        eprintln!("peers proxy CONTROL_PORT RTT_MS LISTEN:TARGET...");
        return 64;
    };
    let half = Duration::from_micros(rtt.parse::<u64>().expect("milliseconds") * 500);
    let counts = Arc::new(Counts::default());
    for pair in pairs {
        let (from, to) = pair.split_once(':').expect("LISTEN:TARGET");
        let to: u16 = to.parse().expect("a port");
        let listener = listen(from).await;
        let counts = counts.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                counts.connections.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(carry(client, to, half, counts.clone()));
            }
        });
    }
    let control = listen(control).await;
    println!("ready");
    while let Ok((mut asker, _)) = control.accept().await {
        let taken = |count: &AtomicU64| count.swap(0, Ordering::Relaxed);
        let text = format!(
            "{{\"connections\":{},\"to_hosts\":{},\"from_hosts\":{},\"turns\":{}}}\n",
            taken(&counts.connections),
            taken(&counts.to_hosts),
            taken(&counts.from_hosts),
            taken(&counts.turns),
        );
        // Who asked and is gone wanted no answer.
        let _ = asker.write_all(text.as_bytes()).await;
    }
    0
}

async fn listen(port: &str) -> TcpListener {
    let port: u16 = port.parse().expect("a port");
    TcpListener::bind(("127.0.0.1", port))
        .await
        .unwrap_or_else(|error| panic!("port {port}: {error}"))
}

async fn carry(client: TcpStream, to: u16, half: Duration, counts: Arc<Counts>) {
    // The client believes itself connected at once; over a network it would know after a round trip, and the host half of one
    // later.
    tokio::time::sleep(half * 2).await;
    let accepted = Instant::now();
    let (from_client, to_client) = client.into_split();
    let (sent, under_way) = mpsc::channel(UNDER_WAY);
    let last_from_host = Arc::new(AtomicBool::new(true));
    let reading = read(from_client, sent, half, {
        let (counts, last) = (counts.clone(), last_from_host.clone());
        move |n| {
            counts.to_hosts.fetch_add(n, Ordering::Relaxed);
            if last.swap(false, Ordering::Relaxed) {
                counts.turns.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    let rest = async {
        tokio::time::sleep_until(accepted + half).await;
        let Ok(host) = TcpStream::connect(("127.0.0.1", to)).await else {
            return;
        };
        let _ = host.set_nodelay(true);
        let (from_host, to_host) = host.into_split();
        let (back, coming) = mpsc::channel(UNDER_WAY);
        let answers = read(from_host, back, half, move |n| {
            counts.from_hosts.fetch_add(n, Ordering::Relaxed);
            last_from_host.store(true, Ordering::Relaxed);
        });
        tokio::join!(write(to_host, under_way), answers, write(to_client, coming));
    };
    tokio::join!(reading, rest);
}

type Piece = (Instant, Vec<u8>);

async fn read(
    mut from: OwnedReadHalf,
    to: mpsc::Sender<Piece>,
    half: Duration,
    count: impl Fn(u64),
) {
    let mut buffer = vec![0; PIECE];
    while let Ok(n) = from.read(&mut buffer).await {
        if n == 0 {
            return;
        }
        count(n as u64);
        let piece = buffer.get(..n).unwrap_or_default().to_vec();
        if to.send((Instant::now() + half, piece)).await.is_err() {
            return;
        }
    }
}

/// Writes each piece when its time has come; the end of all takes as long.
async fn write(mut to: OwnedWriteHalf, mut pieces: mpsc::Receiver<Piece>) {
    let mut due: VecDeque<Piece> = VecDeque::new();
    while let Some(first) = pieces.recv().await {
        due.push_back(first);
        while let Some((at, piece)) = due.pop_front() {
            tokio::time::sleep_until(at).await;
            if to.write_all(&piece).await.is_err() {
                return;
            }
            while let Ok(next) = pieces.try_recv() {
                due.push_back(next);
            }
        }
    }
    let _ = to.shutdown().await;
}
