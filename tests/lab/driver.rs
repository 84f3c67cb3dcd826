//! Drives the lab and the program: one test at a time, everything with a deadline.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::journal::Journal;

pub(crate) const CONTROL_PLANES: [&str; 3] = ["cp1", "cp2", "cp3"];
pub(crate) const HOSTS: [&str; 4] = ["cp1", "cp2", "cp3", "w1"];
pub(crate) const VIP: &str = "10.77.0.100";

/// A bootstrap takes about a minute; a machine under load may take several.
pub(crate) const RUN_DEADLINE: Duration = Duration::from_secs(420);
/// How often a condition is looked at.
const POLL: Duration = Duration::from_millis(50);

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Returns the repository's folder.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Looks until `condition` gives something, or fails with what it waited for.
pub(crate) fn poll<T>(
    what: &str,
    deadline: Duration,
    mut condition: impl FnMut() -> Option<T>,
) -> T {
    let end = Instant::now() + deadline;
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(
            Instant::now() < end,
            "waited {} s for: {what}",
            deadline.as_secs()
        );
        std::thread::sleep(POLL);
    }
}

/// What a command said.
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    #[track_caller]
    pub(crate) fn good(self, what: &str) -> String {
        assert_eq!(self.code, Some(0), "{what}\n{}\n{}", self.out, self.err);
        self.out
    }
}

/// Runs a command to its end, which `timeout` brings about if need be.
pub(crate) fn command(seconds: u32, words: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Said {
    let output = Command::new("timeout")
        .args(["-k", "5", &seconds.to_string()])
        .args(words)
        .env("DOCKER_HOST", "unix:///var/run/docker.sock")
        .stdin(Stdio::null())
        .output()
        .expect("timeout(1) runs");
    Said {
        code: output.status.code(),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Runs a script as root on a host, beside SSH.
pub(crate) fn on(host: &str, script: &str) -> Said {
    on_for(60, host, script)
}

/// The same with another deadline, for a script that waits on the host.
pub(crate) fn on_for(seconds: u32, host: &str, script: &str) -> Said {
    let container = format!("quorate-lab-{host}");
    command(
        seconds,
        ["docker", "exec", container.as_str(), "sh", "-c", script],
    )
}

/// Waits on the host, in steps too short to miss a point that passes, until a shell condition holds.
#[track_caller]
pub(crate) fn on_until(host: &str, what: &str, seconds: u32, condition: &str) {
    let script = format!("until {{ {condition}; }} >/dev/null 2>&1; do sleep 0.02; done");
    let said = on_for(seconds, host, &script);
    assert_eq!(
        said.code,
        Some(0),
        "waited {seconds} s on {host} for: {what}\n{}",
        said.err
    );
}

/// Has a host drop what the chains of a table say, such as `ip partition`, for so many seconds. A timer of systemd's own accuracy would be
/// up to a minute late (systemd.timer(5)).
pub(crate) fn cut_off(host: &str, seconds: u32, table: &str, chains: &str) {
    let cut = format!(
        "systemd-run -q --on-active={seconds} --timer-property=AccuracySec=100ms nft delete table {table} && nft -f - <<'RULES'\ntable {table} {{\n{chains}\n}}\nRULES"
    );
    on(host, &cut).good("the network is cut");
}

/// Waits until that is over.
pub(crate) fn is_back(host: &str, table: &str) {
    on_until(
        host,
        "the network is back",
        60,
        &format!("! nft list table {table}"),
    );
}

/// The lab, held by one test.
pub(crate) struct Lab {
    _turn: MutexGuard<'static, ()>,
    folder: PathBuf,
}

impl Lab {
    /// Waits for its turn. Inventory, journals and kubeconfig of the tests lie in a folder of their own.
    pub(crate) fn take(test: &str) -> Self {
        let turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("lab");
        let inventory = folder.join("inventory/lab");
        // Nothing that a test before has left, such as plays.
        let _ = fs::remove_dir_all(&inventory);
        fs::create_dir_all(&inventory).unwrap();
        // The inventory names the lab's key and files by their place beside itself.
        let link = folder.join("vagrant");
        let _ = fs::remove_file(&link);
        std::os::unix::fs::symlink(root().join("vagrant"), &link).unwrap();
        let source = root().join("inventory/lab/.");
        command(
            10,
            [
                OsStr::new("cp"),
                OsStr::new("-r"),
                source.as_os_str(),
                inventory.as_os_str(),
            ],
        )
        .good("the lab's inventory is copied");
        eprintln!("--- {test}");
        Self {
            _turn: turn,
            folder,
        }
    }

    /// Runs a command of the lab's driver.
    pub(crate) fn lab(&self, words: &[&str]) -> String {
        let driver = root().join("vagrant/lab");
        let words = words.iter().map(|w| OsStr::new(*w));
        command(300, std::iter::once(driver.as_os_str()).chain(words)).good("vagrant/lab")
    }

    /// Four bare hosts, and nothing that an earlier cluster left on this side.
    pub(crate) fn bare(&self) {
        let _ = command(60, ["docker", "rm", "-f", "-v", "quorate-lab-w2"]);
        self.lab(&[&["reset"][..], &HOSTS].concat());
        let _ = fs::remove_file(self.kubeconfig());
    }

    /// Where the tests' own files lie.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// A cluster of four that needs nothing: the one that is there, mended where need be, or a new one.
    pub(crate) fn converged(&self) {
        let run = self.quorate(&["apply"]).run();
        if run.code != Some(0) || !run.out.contains("4 of 4 nodes Ready") {
            self.bootstrapped();
        }
    }

    /// A new cluster.
    pub(crate) fn bootstrapped(&self) {
        self.bare();
        self.quorate(&["apply"]).run().expect(0);
    }

    pub(crate) fn inventory(&self) -> PathBuf {
        self.folder.join("inventory/lab")
    }

    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.folder.join("inventory/.quorate/kubernetes.kubeconfig")
    }

    fn journals(&self) -> PathBuf {
        self.folder.join("inventory/.quorate/journal")
    }

    /// Writes a file for one test, and returns its place.
    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.join("inventory").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    /// The program with the lab's inventory, to be run.
    pub(crate) fn quorate(&self, words: &[&str]) -> Invocation {
        let program =
            std::env::var_os("QUORATE_BIN").unwrap_or_else(|| env!("CARGO_BIN_EXE_quorate").into());
        let mut command = Command::new(program);
        let (name, rest) = words.split_first().expect("a command");
        command
            .arg(name)
            .arg("-i")
            .arg(self.inventory())
            .arg("--known-hosts")
            .arg(root().join("vagrant/.lab/known_hosts"))
            .args(rest)
            .current_dir(&self.folder)
            .env_remove("QUORATE_INVENTORY")
            .env_remove("SSH_AUTH_SOCK")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Invocation {
            command,
            words: words.join(" "),
            journals: self.journals(),
        }
    }
}

/// A call of the program.
pub(crate) struct Invocation {
    command: Command,
    words: String,
    journals: PathBuf,
}

impl Invocation {
    pub(crate) fn arg(mut self, word: impl AsRef<OsStr>) -> Self {
        self.command.arg(word);
        self
    }

    /// Starts it.
    pub(crate) fn start(mut self) -> Running {
        let mut child = self.command.spawn().expect("quorate starts");
        let out = follow(child.stdout.take());
        let err = follow(child.stderr.take());
        Running {
            child,
            out,
            err,
            words: self.words,
            journals: self.journals,
            started: Instant::now(),
            peak: 0,
        }
    }

    /// Runs it to its end.
    pub(crate) fn run(self) -> Run {
        self.start().end()
    }
}

fn follow(stream: Option<impl std::io::Read + Send + 'static>) -> JoinHandle<String> {
    let mut stream = stream.expect("a pipe");
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// The program while it runs.
pub(crate) struct Running {
    child: Child,
    out: JoinHandle<String>,
    err: JoinHandle<String>,
    words: String,
    journals: PathBuf,
    started: Instant,
    /// The most memory that was seen, in KiB.
    peak: u64,
}

impl Running {
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal to this process, by its id.
    pub(crate) fn signal(&self, name: &str) {
        let id = self.id().to_string();
        command(5, ["kill", "-s", name, id.as_str()]).good("the controller is signalled");
    }

    /// Whether it runs still.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_none()
    }

    /// Its journal as far as it is written: found by the process id in its first record.
    pub(crate) fn journal(&self) -> Journal {
        let mark = format!("(process {})", self.id());
        Journal::find(&self.journals, &mark)
    }

    /// SIGKILL: no handler runs, nothing is given back.
    pub(crate) fn kill(self) -> Run {
        let run = self.kill_or_end();
        assert!(
            run.code.is_none(),
            "the controller ended before the point was seen"
        );
        run
    }

    /// SIGKILL, unless it has ended by itself meanwhile: only then the run has a code.
    pub(crate) fn kill_or_end(mut self) -> Run {
        self.child.kill().expect("killed");
        self.end()
    }

    /// Waits for its end.
    pub(crate) fn end(mut self) -> Run {
        let status_file = format!("/proc/{}/status", self.id());
        let words = self.words.clone();
        let mut peak = self.peak;
        let child = &mut self.child;
        let end = Instant::now() + RUN_DEADLINE;
        let status = loop {
            let memory = fs::read_to_string(&status_file).unwrap_or_default();
            peak = peak.max(high_water(&memory));
            if let Some(status) = child.try_wait().expect("a child") {
                break status;
            }
            if Instant::now() > end {
                let _ = child.kill();
                let _ = child.wait();
                panic!(
                    "`quorate {words}` did not end within {} s",
                    RUN_DEADLINE.as_secs()
                );
            }
            std::thread::sleep(POLL);
        };
        let journal = self.journal();
        let run = Run {
            code: status.code(),
            killed: status.signal() == Some(9),
            out: self.out.join().expect("output"),
            err: self.err.join().expect("output"),
            seconds: self.started.elapsed().as_secs_f64(),
            peak,
            journal,
            words,
        };
        let last = run
            .out
            .lines()
            .rev()
            .find(|l| l.contains(" in all") || l.contains("packages"));
        eprintln!(
            "    quorate {} -> {}, {:.1} s {}",
            run.words,
            run.code.map_or("killed".into(), |c| c.to_string()),
            run.seconds,
            last.map_or(String::new(), |l| format!("({l})"))
        );
        run
    }
}

/// Reads `VmHWM` in KiB, proc(5).
fn high_water(status: &str) -> u64 {
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    line.and_then(|l| l.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

/// The program after its end.
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) killed: bool,
    pub(crate) out: String,
    pub(crate) err: String,
    pub(crate) seconds: f64,
    pub(crate) peak: u64,
    pub(crate) journal: Journal,
    words: String,
}

impl Run {
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(
            self.code,
            Some(code),
            "`quorate {}` was to exit {code}, and ended with\n{}\n--- all that it said\n{}\n{}\njournal: {}",
            self.words,
            self.ending(),
            self.out,
            self.err,
            self.journal.path.display()
        );
        self
    }

    /// What went wrong and how the run ended: a log that is cut behind its beginning still tells why.
    fn ending(&self) -> String {
        let said: Vec<&str> = self.out.lines().chain(self.err.lines()).collect();
        let steps = [" started ", " changed ", " checked ", " ok "];
        let beyond = |line: &&&str| !steps.iter().any(|word| line.contains(word));
        let told: Vec<&str> = said.iter().filter(beyond).copied().collect();
        told[told.len().saturating_sub(60)..].join("\n")
    }

    /// All that a user saw.
    pub(crate) fn shown(&self) -> String {
        format!("{}\n{}", self.out, self.err)
    }

    #[track_caller]
    pub(crate) fn shows(self, text: &str) -> Self {
        assert!(
            self.shown().contains(text),
            "`quorate {}` was to say `{text}`\n{}",
            self.words,
            self.shown()
        );
        self
    }
}
