//! What can be done to a host: the closed list of effects, each with its guard, its idempotent rendering to sh and
//! what is known after it.

mod after;
mod kind;
mod words;

use std::fmt;
use std::sync::Arc;

use camino::Utf8PathBuf;

use super::local::{Account, Fetch};
use super::request::Segment;
use super::sh;
use crate::model::{Mode, Sha256};

/// Bytes for a file on a host.
#[derive(Clone, PartialEq, Eq)]
pub enum Content {
    /// Held in memory.
    Inline(Arc<Vec<u8>>),
    /// A file on the controller.
    File {
        /// Where it lies.
        path: Utf8PathBuf,
        /// Its length in bytes.
        length: u64,
        /// Its digest.
        sha256: Sha256,
    },
}

impl Content {
    /// Returns a content held in memory.
    pub fn inline(bytes: impl Into<Vec<u8>>) -> Self {
        Self::Inline(Arc::new(bytes.into()))
    }

    /// Returns its length in bytes.
    pub fn length(&self) -> u64 {
        match self {
            Self::Inline(bytes) => bytes.len() as u64,
            Self::File { length, .. } => *length,
        }
    }

    /// Returns its digest.
    pub fn sha256(&self) -> Sha256 {
        match self {
            Self::Inline(bytes) => Sha256::of(bytes.as_slice()),
            Self::File { sha256, .. } => *sha256,
        }
    }

    fn segment(&self) -> Segment {
        match self {
            Self::Inline(bytes) => Segment::Bytes(bytes.clone()),
            Self::File { path, length, .. } => Segment::File {
                path: path.clone(),
                length: *length,
            },
        }
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inline(bytes) => write!(
                f,
                "Inline({} bytes, {})",
                bytes.len(),
                self.sha256().short()
            ),
            Self::File { path, .. } => write!(f, "File({path})"),
        }
    }
}

/// What a file must still be when it is written: the guard against somebody else's change since the probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// An earlier effect may write it: anything.
    Any,
    /// Nothing lies there.
    Absent,
    /// Nothing lies there, or what lies there stays as it is.
    AbsentOrKept,
    /// This content.
    Content(Sha256),
}

/// What is to be done with a systemd unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum UnitAct {
    /// Start it unless it runs.
    Started,
    /// Stop it if it runs.
    Stopped,
    /// Restart it, unless this wave has started it.
    Restarted,
    /// Reload it, or restart where it cannot, unless this wave has started it.
    Reloaded,
    /// Start it at boot.
    Enabled,
    /// Do not start it at boot.
    Disabled,
    /// Make starting it impossible.
    Masked,
    /// Take that back.
    Unmasked,
}

impl UnitAct {
    fn word(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Stopped => "stopped",
            Self::Restarted => "restarted",
            Self::Reloaded => "reloaded",
            Self::Enabled => "enabled",
            Self::Disabled => "disabled",
            Self::Masked => "masked",
            Self::Unmasked => "unmasked",
        }
    }

    fn verb(self) -> &'static str {
        match self {
            Self::Started => "start",
            Self::Stopped => "stop",
            Self::Restarted => "restart",
            Self::Reloaded => "reload",
            Self::Enabled => "enable",
            Self::Disabled => "disable",
            Self::Masked => "mask",
            Self::Unmasked => "unmask",
        }
    }
}

/// What a command is tried for, again and again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Until {
    /// A shell condition over `$rc`, the exit status, and `$out`, the output without its last line ends.
    pub condition: String,
    /// How often it is tried at most.
    pub tries: u32,
    /// Seconds between two tries.
    pub delay: u32,
}

/// A command to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// The words, without a shell in between. They hold no secret: any user of the host can read them.
    pub argv: Vec<String>,
    /// What it is called in plans and reports; `None` shows its words.
    pub label: Option<String>,
    /// Where to run it.
    pub chdir: Option<String>,
    /// Nothing is done where this path is there.
    pub creates: Option<String>,
    /// Nothing is done where this path is not there.
    pub removes: Option<String>,
    /// Standard input.
    pub stdin: Option<Content>,
    /// Run by this user instead of root.
    pub user: Option<String>,
    /// What it is tried for; `None` runs it once.
    pub until: Option<Until>,
    /// A name under which it runs as a transient unit that outlives the connection, and its deadline in seconds.
    pub unit: Option<(String, u64)>,
}

impl Run {
    /// Returns a command without conditions.
    pub fn new<I: IntoIterator>(argv: I) -> Self
    where
        I::Item: Into<String>,
    {
        Self {
            argv: argv.into_iter().map(Into::into).collect(),
            label: None,
            chdir: None,
            creates: None,
            removes: None,
            stdin: None,
            user: None,
            until: None,
            unit: None,
        }
    }
}

/// A file to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriteFile {
    /// Where.
    pub path: String,
    /// What.
    pub content: Content,
    /// Its permissions.
    pub mode: Mode,
    /// Its owner.
    pub owner: String,
    /// Its group.
    pub group: String,
    /// The guard.
    pub expect: Expect,
    /// A shell command that must succeed before the file is put in place; `%s` is the temporary file.
    pub validate: Option<String>,
    /// Whether the old content is kept beside it.
    pub backup: bool,
    /// Whether its digest is recorded on the host, so that later probes need not read it.
    pub large: bool,
}

/// One thing to do. Each is idempotent and looks at the host again before it acts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Writes a file atomically: temporary file beside it, owner, mode, validation, rename.
    WriteFile(WriteFile),
    /// Makes a directory with its parents.
    Directory {
        /// Where.
        path: String,
        /// Permissions; `None` leaves them.
        mode: Option<Mode>,
        /// Owner; `None` leaves it.
        owner: Option<String>,
        /// Group; `None` leaves it.
        group: Option<String>,
    },
    /// Sets permissions and owners of what is there.
    Attributes {
        /// Where.
        path: String,
        /// Permissions; `None` leaves them.
        mode: Option<Mode>,
        /// Owner; `None` leaves it.
        owner: Option<String>,
        /// Group; `None` leaves it.
        group: Option<String>,
    },
    /// Makes a symbolic link.
    Link {
        /// Where.
        path: String,
        /// Where it points to.
        target: String,
    },
    /// Removes a path with all below it.
    Remove {
        /// Which.
        path: String,
    },
    /// Installs packages, each by its name or as `name=VERSION` with `*` in it; the package lists are fetched anew only where
    /// the first try fails.
    InstallPackages(Vec<String>),
    /// Removes packages; their configuration stays.
    RemovePackages(Vec<String>),
    /// Does something with a systemd unit.
    Unit(UnitAct, String),
    /// Lets systemd read its unit files again.
    DaemonReload,
    /// Sets a kernel parameter now.
    Sysctl {
        /// Its name, as sysctl(8) takes it.
        key: String,
        /// Its value, white space folded.
        value: String,
    },
    /// Loads a kernel module now.
    LoadModule(String),
    /// Turns all swap off now.
    SwapOff,
    /// Sets the host's name.
    Hostname(String),
    /// Imports an image archive into containerd's `k8s.io` namespace.
    ImportImage {
        /// The archive.
        archive: Content,
        /// The image names that must be there afterwards.
        names: Vec<String>,
    },
    /// Pulls images from their registries into containerd's `k8s.io` namespace.
    PullImages {
        /// Their full names.
        names: Vec<String>,
        /// The folder that says how registries are reached (containerd's docs/hosts.md).
        hosts: String,
    },
    /// Unpacks a tar archive, once.
    Unpack {
        /// The archive.
        archive: Content,
        /// The directory.
        into: String,
    },
    /// Runs a command.
    Run(Run),
    /// Makes, changes or removes a user or group.
    Account(Account),
    /// Mounts at this path what /etc/fstab says.
    Mount(String),
    /// Unmounts what is mounted at this path.
    Unmount(String),
    /// Fetches a file.
    Fetch(Fetch),
    /// Fails, for this reason.
    Fail(String),
    /// Waits until a shell condition holds.
    Wait {
        /// What is waited for, as a person reads it.
        what: String,
        /// The condition: succeeds when it holds.
        condition: String,
        /// Deadline in seconds.
        seconds: u64,
    },
}

impl Effect {
    /// Returns what it does in a few words, such as `write /etc/hosts`.
    pub fn describe(&self) -> String {
        match self {
            Self::WriteFile(file) => format!("write {}", file.path),
            Self::Directory { path, .. } => format!("make directory {path}"),
            Self::Attributes {
                path,
                mode,
                owner,
                group,
            } => {
                let mut what = Vec::new();
                what.extend(mode.map(|m| format!("mode {m}")));
                what.extend(owner.as_ref().map(|o| format!("owner {o}")));
                what.extend(group.as_ref().map(|g| format!("group {g}")));
                format!("set {} of {path}", what.join(", "))
            }
            Self::Link { path, target } => format!("link {path} to {target}"),
            Self::Remove { path } => format!("remove {path}"),
            Self::InstallPackages(names) => format!("install {}", names.join(", ")),
            Self::RemovePackages(names) => format!("remove packages {}", names.join(", ")),
            Self::Unit(act, name) => format!("{} {name}", act.verb()),
            Self::DaemonReload => "reload systemd's units".into(),
            Self::Sysctl { key, value } => format!("set {key} = {value}"),
            Self::LoadModule(name) => format!("load module {name}"),
            Self::SwapOff => "turn swap off".into(),
            Self::Hostname(name) => format!("set hostname {name}"),
            Self::ImportImage { names, .. } => format!("import {}", names.join(", ")),
            Self::PullImages { names, .. } => format!("pull {}", names.join(", ")),
            Self::Unpack { into, .. } => format!("unpack into {into}"),
            Self::Run(run) => match &run.label {
                Some(label) => format!("run {label}"),
                None => format!("run {}", sh::words(&run.argv)),
            },
            Self::Account(account) => account.describe(),
            Self::Mount(path) => format!("mount {path}"),
            Self::Unmount(path) => format!("unmount {path}"),
            Self::Fetch(fetch) => format!("fetch {} from {}", fetch.path, fetch.url),
            Self::Fail(reason) => format!("fail: {reason}"),
            Self::Wait { what, .. } => format!("wait: {what}"),
        }
    }

    /// Returns the payload that it reads, in order.
    pub(super) fn payload(&self) -> Option<Segment> {
        match self {
            Self::WriteFile(file) => Some(file.content.segment()),
            Self::ImportImage { archive, .. } | Self::Unpack { archive, .. } => {
                Some(archive.segment())
            }
            Self::Run(run) => run.stdin.as_ref().map(Content::segment),
            _ => None,
        }
    }

    /// Returns its shell command: one list that succeeds when the effect holds.
    pub(super) fn render(&self) -> String {
        match self {
            Self::WriteFile(file) => render_write(file),
            Self::Directory {
                path,
                mode,
                owner,
                group,
            } => format!("directory {}", attributes(path, mode, owner, group)),
            Self::Attributes {
                path,
                mode,
                owner,
                group,
            } => format!("attributes {}", attributes(path, mode, owner, group)),
            Self::Link { path, target } => format!("link {}", sh::words([path, target])),
            Self::Remove { path } => format!("absent {}", sh::quote(path)),
            Self::InstallPackages(names) => format!("packages {}", sh::words(names)),
            Self::RemovePackages(names) => format!("packages_absent {}", sh::words(names)),
            Self::Unit(act, name) => format!("unit {} {}", act.word(), sh::quote(name)),
            Self::DaemonReload => "unit daemon-reloaded -".into(),
            Self::Sysctl { key, value } => {
                let path = if key.contains('/') {
                    key.clone()
                } else {
                    key.replace('.', "/")
                };
                format!("sysctl_set {}", sh::words([path.as_str(), value]))
            }
            Self::LoadModule(name) => format!("module_load {}", sh::quote(name)),
            Self::SwapOff => "swap_off".into(),
            Self::Hostname(name) => format!("set_hostname {}", sh::quote(name)),
            Self::ImportImage { archive, names } => {
                format!(
                    "image {} {} {}",
                    archive.length(),
                    archive.sha256().short(),
                    sh::words(names)
                )
            }
            Self::PullImages { names, hosts } => {
                format!("pull {} {}", sh::quote(hosts), sh::words(names))
            }
            Self::Unpack { archive, into } => {
                format!(
                    "unpack {} {} {}",
                    archive.length(),
                    sh::quote(into),
                    archive.sha256()
                )
            }
            Self::Run(run) => render_run(run),
            Self::Account(account) => account.render(),
            Self::Mount(path) => format!("mount_now {}", sh::quote(path)),
            Self::Unmount(path) => format!("unmount_now {}", sh::quote(path)),
            Self::Fetch(fetch) => fetch.render(),
            Self::Fail(reason) => {
                format!("{{ printf '%s\\n' {}; return 1; }}", sh::quote(reason))
            }
            Self::Wait {
                what,
                condition,
                seconds,
            } => {
                format!(
                    "{{ condition={}; wait_for {seconds} {}; }}",
                    sh::quote(condition),
                    sh::quote(what)
                )
            }
        }
    }
}

/// Returns the record of an unpacked archive on the host.
pub fn unpacked(archive: &Content) -> String {
    format!("/var/lib/quorate/unpacked/{}", archive.sha256())
}

fn attributes(
    path: &str,
    mode: &Option<Mode>,
    owner: &Option<String>,
    group: &Option<String>,
) -> String {
    let mode = mode.map_or_else(|| "-".to_string(), |m| m.to_string());
    sh::words([
        path,
        &mode,
        owner.as_deref().unwrap_or("-"),
        group.as_deref().unwrap_or("-"),
    ])
}

fn render_write(file: &WriteFile) -> String {
    let expect = match file.expect {
        Expect::Any => "any".to_string(),
        Expect::Absent => "absent".to_string(),
        Expect::AbsentOrKept => "kept".to_string(),
        Expect::Content(digest) => digest.to_string(),
    };
    let words = sh::words([
        file.path.as_str(),
        &file.content.length().to_string(),
        &file.content.sha256().to_string(),
        &file.mode.to_string(),
        &file.owner,
        &file.group,
        &expect,
        if file.backup { "backup" } else { "-" },
        if file.large { "large" } else { "-" },
    ]);
    let validate = sh::quote(file.validate.as_deref().unwrap_or_default());
    format!("{{ validate={validate}; put {words}; }}")
}

fn render_run(run: &Run) -> String {
    let mut text = String::from("{\n");
    if let Some(stdin) = &run.stdin {
        text.push_str(&format!(
            "receive {} >\"$work/stdin\" || return 1\n",
            stdin.length()
        ));
    }
    let mut conditions = Vec::new();
    conditions.extend(
        run.creates
            .as_ref()
            .map(|p| format!("[ ! -e {} ]", sh::quote(p))),
    );
    conditions.extend(
        run.removes
            .as_ref()
            .map(|p| format!("[ -e {} ]", sh::quote(p))),
    );
    let condition = if conditions.is_empty() {
        "true".to_string()
    } else {
        conditions.join(" && ")
    };
    text.push_str(&format!("if {condition}; then\nchanging || return 1\n"));
    let mut words: Vec<&str> = run.argv.iter().map(String::as_str).collect();
    if let Some(user) = &run.user {
        words.splice(0..0, ["runuser", "-u", user, "--"]);
    }
    // A shell of its own: our functions and the shell's builtins are not what was meant by their names.
    let mut shell = vec!["/bin/sh", "-c"];
    match &run.chdir {
        Some(directory) => shell.extend([
            "umask 022; cd -- \"$1\" && shift && exec \"$@\"",
            "sh",
            directory,
        ]),
        None => shell.extend(["umask 022; exec \"$@\"", "sh"]),
    }
    words.splice(0..0, shell);
    let words = sh::words(words);
    match &run.unit {
        Some((name, seconds)) => {
            text.push_str(&format!("long {} {seconds} {words}\n", sh::quote(name)))
        }
        None => {
            let stdin = if run.stdin.is_some() {
                "\"$work/stdin\""
            } else {
                "/dev/null"
            };
            let command = format!("{words} <{stdin} 3<&- 4>&- 5>&-\n");
            match &run.until {
                None => text.push_str(&command),
                Some(until) => text.push_str(&format!(
                    "attempt() {{ {command}}}\ncondition={} && poll {} {}\n",
                    sh::quote(&until.condition),
                    until.tries,
                    until.delay
                )),
            }
        }
    }
    text.push_str("fi\n}");
    text
}
