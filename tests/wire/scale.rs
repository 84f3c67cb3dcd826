//! The whole program over many hosts: what a run costs each of them, and that what is wrong with one stays there. The figures
//! are printed by `make bench-scale`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use camino::Utf8Path;
use quorate::host::{Kind, Request, Segment};
use serde_json::Value;

use crate::fleet::{Fleet, Ill};
use crate::help::{connect, exec, target};
use crate::sshd::Sshd;

/// A run of the program over a fleet.
struct Run {
    status: Option<i32>,
    events: Vec<Value>,
    connections: u64,
    execs: u64,
    /// Seconds of wall time and of processor time, and the most memory in MiB: of the program alone.
    wall: f64,
    cpu: f64,
    peak: u64,
    stderr: String,
}

impl Run {
    fn of<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Value> + 'a {
        self.events
            .iter()
            .filter(move |event| event["event"] == kind)
    }

    /// Counts a kind of event by host.
    fn hosts<'a>(&'a self, kind: &'a str) -> BTreeMap<&'a str, usize> {
        let mut counts = BTreeMap::new();
        for event in self.of(kind) {
            *counts
                .entry(event["host"].as_str().unwrap_or("-"))
                .or_default() += 1;
        }
        counts
    }

    /// Returns the hosts on which the play's task ended so.
    fn words(&self, status: &str) -> BTreeSet<&str> {
        let ended = self.of("step_finished");
        let ended = ended.filter(|e| e["status"] == status && e["title"] == "word : The word");
        ended.filter_map(|e| e["host"].as_str()).collect()
    }

    fn text(&self) -> String {
        let telling = [
            "host_trouble",
            "warning",
            "planned",
            "refused",
            "cluster_failed",
            "step_finished",
        ];
        let told = telling.iter().flat_map(|kind| self.of(kind));
        let told: Vec<String> = told.take(20).map(Value::to_string).collect();
        format!("{:?}\n{}\n{}", self.status, told.join("\n"), self.stderr)
    }
}

/// Returns the processor time of this process's children that have ended, in seconds: proc_pid_stat(5), fields 16 and 17,
/// which count hundredths (USER_HZ).
fn children() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields = stat.rsplit_once(") ").unwrap().1.split(' ');
    let ticks: u32 = fields
        .skip(13)
        .take(2)
        .map(|n| n.parse::<u32>().unwrap())
        .sum();
    f64::from(ticks) / 100.0
}

/// Runs the program to its end, in a process of its own.
async fn run(fleet: &Fleet, arguments: &[&str]) -> Run {
    fleet.counted();
    // As the lab's tests do it: another build than the tests' own may be measured.
    let program = std::env::var("QUORATE_BIN");
    let program = program.unwrap_or_else(|_| env!("CARGO_BIN_EXE_quorate").to_owned());
    let mut command = Command::new(program);
    command
        .args(["-i", fleet.path("inventory").as_str()])
        .args(["--known-hosts", fleet.path("known_hosts").as_str()])
        .args(["--output", "json"])
        .args(arguments)
        .env("HOME", fleet.path("").as_str())
        .env_remove("SSH_AUTH_SOCK")
        .stdin(Stdio::null())
        .stdout(fs::File::create(fleet.path("stdout")).unwrap())
        .stderr(fs::File::create(fleet.path("stderr")).unwrap());
    let (status, wall, cpu, peak) = tokio::task::spawn_blocking(move || {
        let (before, started) = (children(), Instant::now());
        let mut child = command.spawn().unwrap();
        let path = format!("/proc/{}/status", child.id());
        let mut peak = 0;
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            let memory = fs::read_to_string(&path).unwrap_or_default();
            let high = memory.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let high = high.and_then(|rest| rest.trim().strip_suffix(" kB")?.parse().ok());
            peak = high.unwrap_or(peak);
            assert!(
                started.elapsed() < Duration::from_secs(600),
                "it does not end"
            );
            // A look at a process, not a wait for a condition of the test.
            std::thread::sleep(Duration::from_millis(5));
        };
        let wall = started.elapsed().as_secs_f64();
        (status.code(), wall, children() - before, peak / 1024)
    })
    .await
    .unwrap();
    let (connections, execs) = fleet.counted();
    let read = |name| fs::read_to_string(fleet.path(name)).unwrap();
    let parse = |line: &str| serde_json::from_str(line).unwrap_or(Value::String(line.into()));
    Run {
        status,
        events: read("stdout").lines().map(parse).collect(),
        connections,
        execs,
        wall,
        cpu,
        peak,
        stderr: read("stderr"),
    }
}

/// Returns a fleet of members that are all as written.
async fn converged(count: usize) -> Fleet {
    let fleet = Fleet::start(count).await;
    fleet.join();
    let made = run(&fleet, &["apply"]).await;
    assert_eq!(made.status, Some(0), "{}", made.text());
    fleet
}

/// Returns a worker's name, counted from 1.
fn worker(n: usize) -> String {
    format!("w{n}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_hosts_cost_one_connection_and_one_exec_each_and_fail_alone() {
    const HOSTS: usize = 200;
    let fleet = converged(HOSTS).await;
    // These hosts have no kubeconfig to give: an apply asks for it, once on one of them.
    for (command, execs) in [("plan", 200), ("apply", 201)] {
        let quiet = run(&fleet, &[command]).await;
        assert_eq!(quiet.status, Some(0), "{command}: {}", quiet.text());
        assert_eq!((quiet.connections, quiet.execs), (200, execs), "{command}");
    }

    // A change of one file: the probe, the lock, and one wave; at the end one host is asked twice how the cluster is.
    let waves = fleet.waves();
    let changed = run(&fleet, &["apply", "-e", "fleet_word=second"]).await;
    assert_eq!(changed.status, Some(0), "{}", changed.text());
    assert_eq!((changed.connections, changed.execs), (200, 602));
    assert_eq!(fleet.waves() - waves, 202);
    assert_eq!(changed.words("changed").len(), HOSTS);

    // One in a hundred is down, one in a hundred fails, one in a hundred is slow: each of them alone.
    let slow = Ill::Slow(Duration::from_millis(300));
    let ills = [Ill::Down, Ill::Down, Ill::Failing, Ill::Failing, slow, slow];
    fleet.ail(ills.iter().enumerate().map(|(n, ill)| (50 + n, *ill)));
    let ill = run(&fleet, &["apply", "-e", "fleet_word=third"]).await;
    assert_eq!(ill.status, Some(1), "{}", ill.text());
    // Three hosts are control planes: the 51st is the 48th worker.
    let down: Vec<String> = (48..=49).map(worker).collect();
    let failing: Vec<String> = (50..=51).map(worker).collect();
    assert!(ill.hosts("host_trouble").into_keys().eq(down.iter()));
    assert_eq!(
        ill.words("failed"),
        failing.iter().map(String::as_str).collect::<BTreeSet<_>>()
    );
    assert_eq!(ill.words("changed").len(), HOSTS - 4);

    // What was not done there is done when they are well again, and nothing else.
    fleet.ail([]);
    let mended = run(&fleet, &["apply", "-e", "fleet_word=third"]).await;
    assert_eq!(mended.status, Some(0), "{}", mended.text());
    let ill = down.iter().chain(&failing).map(String::as_str);
    assert_eq!(mended.words("changed"), ill.collect::<BTreeSet<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shards_hold_each_host_once_and_the_control_planes_together() {
    let fleet = converged(23).await;
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for index in 0..4 {
        let shard = format!("{index}/4");
        let part = run(&fleet, &["plan", "--shard", &shard]).await;
        assert_eq!(part.status, Some(0), "{}", part.text());
        let planned: Vec<&str> = part
            .of("unchanged")
            .filter_map(|e| e["host"].as_str())
            .collect();
        let control_planes = planned.iter().filter(|host| host.starts_with("cp"));
        assert_eq!(
            control_planes.count(),
            if index == 0 { 3 } else { 0 },
            "{shard}"
        );
        for host in planned {
            *seen.entry(host.to_owned()).or_default() += 1;
        }
    }
    assert_eq!(seen.len(), 23);
    assert!(seen.values().all(|count| *count == 1), "{seen:?}");

    let none = run(&fleet, &["plan", "--limit", "w1", "--shard", "0/4"]).await;
    assert_eq!((none.status, none.connections), (Some(0), 0));
    assert!(
        none.stderr.contains("shard 0/4 holds none of the one host"),
        "{}",
        none.stderr
    );
    let wrong = run(&fleet, &["plan", "--shard", "4/4"]).await;
    assert_eq!(wrong.status, Some(4));
    assert!(
        wrong.stderr.contains("the last of 4 is 3/4"),
        "{}",
        wrong.stderr
    );
}

/// Figures, not a test: `make bench-scale`. QUORATE_HOSTS says how many hosts; 1000 without it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a benchmark"]
async fn bench_hosts() {
    let count = std::env::var("QUORATE_HOSTS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(1000);
    let fleet = converged(count).await;
    let hosts = count as f64;
    println!("{count} hosts, 3 of them control planes");
    println!(
        "{:34} {:>7} {:>7} {:>9} {:>7} {:>10} {:>12} {:>6}",
        "", "wall", "CPU", "CPU/host", "peak", "peak/host", "connections", "execs"
    );
    let figure = |what: &str, run: &Run| {
        println!(
            "{what:34} {:5.2} s {:5.2} s {:6.2} ms {:3} MiB {:6.0} KiB {:12} {:6}",
            run.wall,
            run.cpu,
            run.cpu * 1000.0 / hosts,
            run.peak,
            run.peak as f64 * 1024.0 / hosts,
            run.connections,
            run.execs
        );
    };
    for (what, arguments) in [
        ("validate", &["validate"][..]),
        ("plan, nothing to change", &["plan"]),
        ("plan, nothing to change", &["plan"]),
        ("plan, nothing to change", &["plan"]),
        ("apply, nothing to change", &["apply"]),
        ("apply, nothing to change, -f 200", &["apply", "-f", "200"]),
        ("apply of a file", &["apply", "-e", "fleet_word=second"]),
    ] {
        let run = run(&fleet, arguments).await;
        assert_eq!(run.status, Some(0), "{}", run.text());
        figure(what, &run);
    }
    let every = |ill: Ill| (100..count).step_by(100).map(move |n| (n, ill));
    let slow = Ill::Slow(Duration::from_secs(2));
    for (what, ill, word) in [
        ("apply of a file, 1 % down", Ill::Down, "third"),
        ("apply of a file, 1 % fail", Ill::Failing, "fourth"),
        ("apply of a file, 1 % slow by 2 s", slow, "fifth"),
    ] {
        fleet.ail(every(ill));
        let run = run(&fleet, &["apply", "-e", &format!("fleet_word={word}")]).await;
        figure(what, &run);
    }
}

/// Bytes that no compression makes smaller.
fn noise(path: &Utf8Path, mebibytes: usize) {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut block = Vec::with_capacity(1 << 20);
    let mut file = fs::File::create(path).unwrap();
    for _ in 0..mebibytes {
        block.clear();
        while block.len() < 1 << 20 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            block.extend(state.to_le_bytes());
        }
        file.write_all(&block).unwrap();
    }
}

/// Figures: a file of 200 MiB to one host over OpenSSH's server, by scp and by a wave of ours, in turns.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a benchmark"]
async fn bench_one_upload() {
    // scp speaks SFTP.
    let sshd = Sshd::with("Subsystem sftp internal-sftp");
    let (file, key) = (sshd.path("large"), sshd.user_key("ed25519"));
    noise(&file, 200);
    let known = sshd.options().known_hosts.remove(0);
    for round in 1..=3 {
        let copied = sshd.path("by-scp");
        let started = Instant::now();
        let status = Command::new("scp")
            .args(["-q", "-P", &sshd.port.to_string(), "-i", key.as_str()])
            .args([
                "-o",
                &format!("UserKnownHostsFile={known}"),
                "-o",
                "IdentitiesOnly=yes",
            ])
            .args([file.as_str(), &format!("127.0.0.1:{copied}")])
            .stdin(Stdio::null())
            .status()
            .unwrap();
        assert!(status.success());
        let scp = started.elapsed();
        assert_eq!(fs::metadata(&copied).unwrap().len(), 200 << 20);
        let started = Instant::now();
        let transport = connect(&sshd.options(), &target(sshd.port, &[&key]))
            .await
            .unwrap();
        let length = 200 << 20;
        let segment = Segment::File {
            path: file.clone(),
            length,
        };
        let copied = sshd.path("by-quorate");
        // As a wave's script receives it.
        let command =
            format!("umask 022; dd bs=1048576 count=200 iflag=fullblock status=none >{copied}");
        let output = exec(
            &*transport,
            Request::new(Kind::Wave, command, vec![segment]),
        )
        .await
        .unwrap();
        transport.close().await;
        let ours = started.elapsed();
        assert_eq!(output.status, 0, "{}", output.stderr());
        assert_eq!(fs::metadata(&copied).unwrap().len(), 200 << 20);
        println!(
            "round {round}: 200 MiB by scp {:.2} s, by quorate {:.2} s",
            scp.as_secs_f64(),
            ours.as_secs_f64()
        );
    }
}

/// Figures: a large file to fifty hosts. QUORATE_MIB says how large; 2048 without it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a benchmark"]
async fn bench_fifty_uploads() {
    let mebibytes: u64 = std::env::var("QUORATE_MIB")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(2048);
    let fleet = converged(53).await;
    let inventory = fleet.path("inventory");
    fs::create_dir_all(inventory.join("files")).unwrap();
    let image = fs::File::create(inventory.join("files/image")).unwrap();
    image.set_len(mebibytes << 20).unwrap();
    let play = "- name: image\n  hosts: kube_node\n  stage: before\n  tasks:\n    - name: The image\n      copy: { src: image, dest: /opt/image, mode: \"0644\" }\n";
    fs::write(inventory.join("site.yml"), play).unwrap();
    for what in ["sent", "there already"] {
        let run = run(&fleet, &["apply"]).await;
        assert_eq!(run.status, Some(0), "{}", run.text());
        let sent: u64 = run
            .of("exec_started")
            .filter_map(|e| e["bytes"].as_u64())
            .sum();
        println!(
            "{mebibytes} MiB to 50 hosts, {what}: {:.1} s, CPU {:.1} s, peak {} MiB, {} MiB announced",
            run.wall,
            run.cpu,
            run.peak,
            sent >> 20
        );
    }
}
