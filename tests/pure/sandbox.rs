//! Runs our scripts for real, in a folder that stands for `/`: paths in the script's text are rewritten, and what would reach
//! the machine (systemctl, apt-get, ctr, ...) is a small script in front of PATH.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use quorate::host::record::{End, Lines, WaveRecord, wave_record};
use quorate::host::script::{self, Step, Wave};
use quorate::host::{Effect, Facts, Observed, Request, Segment, probe};

pub(crate) const NONCE: &str = "n0nce5f3a";

/// A shell with its own utilities.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Shell {
    Dash,
    Busybox,
    /// What /bin/sh is in Red Hat's family.
    Bash,
}

pub(crate) const SHELLS: [Shell; 2] = [Shell::Dash, Shell::Busybox];

impl Shell {
    /// Returns what runs the program behind a stand-in.
    pub(crate) fn real(self) -> &'static str {
        match self {
            Self::Dash | Self::Bash => "/usr/bin/env PATH=/usr/bin:/bin",
            Self::Busybox => "busybox",
        }
    }
}

/// Returns what `id` says of who runs the tests: `-un`, `-gn`, `-u`.
pub(crate) fn account(flag: &str) -> String {
    let output = std::process::Command::new("id").arg(flag).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_string()
}

pub(crate) struct Sandbox {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) shell: Shell,
}

/// What a wave left.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) records: Vec<WaveRecord>,
    pub(crate) status: Option<i32>,
    pub(crate) stdout: Vec<u8>,
}

impl Outcome {
    /// Returns how the step of that number ended.
    pub(crate) fn end(&self, wanted: u32) -> Option<(End, i32, String)> {
        self.records.iter().find_map(|r| match r {
            WaveRecord::End {
                id,
                end,
                status,
                output,
                ..
            } if *id == wanted => Some((*end, *status, output.clone())),
            _ => None,
        })
    }

    pub(crate) fn finished(&self) -> bool {
        self.records.contains(&WaveRecord::Finished)
    }
}

/// Stand-ins. @ is the sandbox.
const TOOLS: &[(&str, &str)] = &[
    (
        "systemctl",
        "case $1 in\nis-active|is-enabled) for last do :; done; [ -e \"@/units/$last.$1\" ] ;;\nshow) for last do :; done; echo LoadState=loaded; echo ActiveState=active; echo UnitFileState=enabled; echo NeedDaemonReload=no ;;\n\
         *) echo \"$*\" >>@/systemctl.log; case $1 in start|restart) : >\"@/units/$2.is-active\" ;; stop) rm -f \"@/units/$2.is-active\" ;; esac ;;\nesac",
    ),
    (
        "systemd-run",
        // As systemd reads a command line: ${NAME} is put in, and $$ is one $.
        "while [ \"$1\" != /bin/sh ]; do shift; done\nfor word do\nword=$(printf '%s.' \"$word\" | sed 's/[$][$]/<dollar>/g; s/[$]{[^}]*}//g; s/<dollar>/$/g')\nset -- \"$@\" \"${word%.}\"\nshift\ndone\n\"$@\" &",
    ),
    ("journalctl", "exit 0"),
    (
        "dpkg-query",
        "for last do :; done\ncase $3 in *Package*) for p in $(cat @/packages); do for a do [ \"$a\" = \"$p\" ] && echo \"n0nce5f3a package $p ii |1.0\"; done; done ;; *) grep -qx \"$last\" @/packages && printf 'ii |%s' \"$(cat \"@/version-$last\" 2>/dev/null || echo 1.0)\" ;; esac",
    ),
    (
        "apt-get",
        "echo \"apt $*\" >>@/apt.log\nwhile [ $# -gt 0 ] && [ \"$1\" != -- ]; do shift; done\nshift\nfor p do [ \"$p\" != unheard-of ] || { echo \"E: Unable to locate package $p\"; exit 100; }; done\nfor p do n=${p%%=*}; [ \"$n\" != provided ] || n=provider; echo \"$n\" >>@/packages; [ \"$n\" = \"$p\" ] || echo \"${p#*=}\" | sed 's/[*]$/9/' >@/version-$n; done",
    ),
    (
        "ctr",
        "case \"$*\" in *import*) for last do :; done; cat \"$last\" >>@/images ;; *pull*) for last do :; done; case $last in *nowhere*) echo \"failed to resolve $last\"; exit 1 ;; esac; echo \"$last\" >>@/images; echo \"$*\" >>@/pulls ;; *ls*) cat @/images ;; esac",
    ),
    ("restorecon", "exit 0"),
];

impl Sandbox {
    pub(crate) fn new(shell: Shell) -> Self {
        let sandbox = Self {
            dir: tempfile::tempdir().unwrap(),
            shell,
        };
        for folder in [
            "etc",
            "run",
            "var/lib",
            "bin",
            "units",
            "proc/sys/net",
            "sys/module",
            "lib/modules",
        ] {
            fs::create_dir_all(sandbox.root().join(folder)).unwrap();
        }
        for (file, text) in [
            ("packages", ""),
            ("images", ""),
            ("proc/swaps", "Filename\n"),
            ("proc/sys/net/a", "0\n"),
        ] {
            fs::write(sandbox.root().join(file), text).unwrap();
        }
        if shell == Shell::Busybox {
            let done = Command::new("busybox")
                .args(["--install", "-s"])
                .arg(sandbox.root().join("bin"))
                .status();
            assert!(
                done.expect("busybox is needed: apt-get install busybox")
                    .success()
            );
        }
        for (name, text) in TOOLS {
            sandbox.tool(name, text);
        }
        sandbox
    }

    pub(crate) fn root(&self) -> &Path {
        self.dir.path()
    }

    /// Puts a stand-in in front of PATH.
    pub(crate) fn tool(&self, name: &str, text: &str) {
        let path = self.root().join("bin").join(name);
        let _ = fs::remove_file(&path);
        let text = text.replace('@', &self.root().to_string_lossy());
        // `$@` of the shell was written as the sandbox by the line above.
        let text = text.replace(&format!("${}", self.root().to_string_lossy()), "$@");
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.root().join(path.trim_start_matches('/'))
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(crate) fn read(&self, path: &str) -> Option<String> {
        fs::read(self.path(path))
            .ok()
            .map(|b| String::from_utf8_lossy(&b).into_owned())
    }

    pub(crate) fn mode(&self, path: &str) -> u32 {
        fs::metadata(self.path(path)).unwrap().mode() & 0o7777
    }

    /// Returns everything below `etc`, `var` and `run`, with modes and content.
    pub(crate) fn tree(&self) -> BTreeMap<String, (u32, i64, Vec<u8>)> {
        let mut tree = BTreeMap::new();
        for part in ["etc", "var", "run", "units", "proc"] {
            walk(&self.root().join(part), &mut tree);
        }
        tree
    }

    fn rewrite(&self, text: &str) -> String {
        let root = self.root().to_string_lossy().into_owned();
        let mut text = text.to_string();
        for part in [
            "/etc/",
            "/var/lib/quorate",
            "/var/lib/kubelet",
            "/var/log/pods",
            "/run/",
            "/proc/",
            "/sys/module",
            "/lib/modules",
        ] {
            text = text.replace(part, &format!("\u{1}{part}"));
        }
        // What stood behind a part that was rewritten already, such as /proc/sys/module, is one path.
        let text = text
            .replace("/proc\u{1}/sys", "/proc/sys")
            // A shell's own folder is no stand-in's.
            .replace("\u{1}/proc/$$", "/proc/$$")
            .replace('\u{1}', &root);
        let bin = self.root().join("bin").to_string_lossy().into_owned();
        text.replacen(
            "PATH=/usr/local/sbin:",
            &format!("PATH={bin}:/usr/local/sbin:"),
            1,
        )
    }

    /// Runs a request, of whose standard input only `limit` bytes arrive.
    pub(crate) fn exec(&self, request: &Request, limit: usize) -> (Vec<u8>, Option<i32>) {
        let (mut child, mut stdin) = self.start(request);
        stdin.truncate(limit);
        let mut pipe = child.stdin.take().unwrap();
        let writer = std::thread::spawn(move || drop(pipe.write_all(&stdin)));
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        let root = self.root().to_string_lossy().into_owned();
        let text = String::from_utf8_lossy(&output.stdout).replace(&root, "");
        if std::env::var_os("SHOW").is_some() {
            eprintln!("{text}\n{}", String::from_utf8_lossy(&output.stderr));
        }
        (text.into_bytes(), output.status.code())
    }

    /// Starts a request, and returns what is to be written to its standard input.
    pub(crate) fn start(&self, request: &Request) -> (Child, Vec<u8>) {
        let mut stdin = Vec::new();
        let mut command = request.command().to_string();
        for (i, segment) in request.stdin().iter().enumerate() {
            let bytes = match segment {
                Segment::Bytes(bytes) => bytes.to_vec(),
                Segment::File { path, .. } => fs::read(path).unwrap(),
            };
            if i == 0 {
                let text = self.rewrite(std::str::from_utf8(&bytes).unwrap());
                command = command.replace(
                    &format!("bs={} ", bytes.len()),
                    &format!("bs={} ", text.len()),
                );
                stdin.extend(text.into_bytes());
            } else {
                stdin.extend(bytes);
            }
        }
        let (shell, args): (&str, &[&str]) = match self.shell {
            Shell::Dash => ("dash", &["-c"]),
            Shell::Busybox => ("busybox", &["sh", "-c"]),
            Shell::Bash => ("bash", &["--posix", "-c"]),
        };
        let inner = match self.shell {
            Shell::Dash => "dash",
            Shell::Busybox => "busybox sh",
            Shell::Bash => "bash --posix",
        };
        let command = command.replacen("/bin/sh", inner, 1);
        let path = format!(
            "{}:/usr/sbin:/usr/bin:/sbin:/bin",
            self.root().join("bin").display()
        );
        let child = Command::new(shell)
            .args(args)
            .arg(&command)
            .env("PATH", path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("{shell} is needed: {e}"));
        (child, stdin)
    }

    pub(crate) fn wave(&self, wave: &Wave) -> Outcome {
        let (stdout, status) = self.exec(&script::request(wave, NONCE), usize::MAX);
        let records = Lines::new(NONCE, &stdout)
            .filter_map(|l| wave_record(&l))
            .collect();
        Outcome {
            records,
            status,
            stdout,
        }
    }

    pub(crate) fn steps(&self, steps: Vec<Step>) -> Outcome {
        self.wave(&Wave {
            run: "r1".into(),
            steps,
            ..Wave::default()
        })
    }

    /// Runs one step with one effect.
    pub(crate) fn one(&self, effect: Effect) -> (End, i32, String) {
        self.steps(vec![step(0, effect)])
            .end(0)
            .expect("the step has no record")
    }

    pub(crate) fn probe(&self, facts: &Facts) -> Observed {
        let (stdout, _) = self.exec(&probe::request(facts, NONCE), usize::MAX);
        probe::parse(facts, NONCE, &stdout).unwrap()
    }
}

pub(crate) fn step(id: u32, effect: Effect) -> Step {
    Step {
        id,
        effects: vec![effect],
        ..Step::default()
    }
}

fn walk(path: &Path, tree: &mut BTreeMap<String, (u32, i64, Vec<u8>)>) {
    let meta = fs::symlink_metadata(path).unwrap();
    let bytes = if meta.is_file() {
        fs::read(path).unwrap()
    } else {
        Vec::new()
    };
    tree.insert(
        path.to_string_lossy().into_owned(),
        (meta.mode(), meta.mtime(), bytes),
    );
    if meta.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            walk(&entry.unwrap().path(), tree);
        }
    }
}
