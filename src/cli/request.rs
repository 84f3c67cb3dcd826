//! What the user asked for, as plain values: nothing below the command line knows clap.

use camino::Utf8PathBuf;

use crate::cluster::drill::Wish;
use crate::model::Shard;
use crate::report::Options;
use crate::transport::ssh::SshConfig;

/// A command with its options.
#[derive(Debug, Clone)]
pub struct Request {
    /// What to do.
    pub command: Command,
    /// `-i`: files and folders, in order; never empty.
    pub inventory: Vec<Utf8PathBuf>,
    /// `-l`: a pattern of hosts.
    pub limit: Option<String>,
    /// `--shard`: a stable part of those hosts.
    pub shard: Option<Shard>,
    /// `-t`: tags to run, split at commas.
    pub tags: Vec<String>,
    /// `--skip-tags`: tags to leave out, split at commas.
    pub skip_tags: Vec<String>,
    /// `-e`: each as it was typed, `K=V` or `@FILE`, in order.
    pub extra_vars: Vec<String>,
    /// `-f`: how many hosts at once; at least 1.
    pub forks: usize,
    /// `-C`: apply as plan.
    pub check: bool,
    /// `-b`: become root.
    pub r#become: bool,
    /// `-u`: the login user.
    pub user: Option<String>,
    /// `-k`: ask for the SSH password.
    pub ask_password: bool,
    /// `-K`: ask for the sudo password.
    pub ask_become_password: bool,
    /// `--output`, `--color`, `-v`, `-q`, `-D`.
    pub report: Options,
    /// What opens encrypted files.
    pub locks: Locks,
    /// `--yes`: destroy and disturb without asking.
    pub yes: bool,
    /// `--host-key`.
    pub host_key: HostKey,
    /// Whether `--host-key` was given: then it counts over what ssh's configuration says.
    pub host_key_given: bool,
    /// `--ssh-config`.
    pub ssh_config: SshConfig,
    /// `--known-hosts`.
    pub known_hosts: Option<Utf8PathBuf>,
    /// `--break-lock`: take over a lock that another controller holds.
    pub break_lock: bool,
    /// `--metrics`: the file to write the run's metrics to.
    pub metrics: Option<Utf8PathBuf>,
}

/// A command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// `validate`.
    Validate,
    /// `inventory`.
    Inventory(InventoryView),
    /// `plan`; `apply --check` is [`Command::Apply`] with [`Request::check`].
    Plan {
        /// `--out`: the file to write the plan to.
        out: Option<Utf8PathBuf>,
    },
    /// `apply`.
    Apply {
        /// The plan file that alone may be carried out.
        plan: Option<Utf8PathBuf>,
    },
    /// `status`.
    Status,
    /// `exec -- CMD`: the words of the command; never empty.
    Exec(Vec<String>),
    /// `hosts trust`.
    HostsTrust,
    /// `drill failover`.
    DrillFailover(Wish),
    /// `roles list`.
    RolesList,
    /// `roles show NAME`.
    RolesShow(String),
    /// `roles eject NAME`.
    RolesEject(String),
    /// `vars explain HOST [NAME]`.
    VarsExplain {
        /// The host.
        host: String,
        /// One variable; all without it.
        name: Option<String>,
    },
}

/// Where the keys of encrypted files are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Locks {
    /// `--vault-password-file`: files with a password, and programs that print one.
    pub password_files: Vec<Utf8PathBuf>,
    /// `--ask-vault-pass`: ask for a password.
    pub ask: bool,
    /// `--age-identity`: files of private keys of age's.
    pub identities: Vec<Utf8PathBuf>,
}

/// What of the inventory to show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InventoryView {
    /// Everything, as `ansible-inventory --list` does.
    List,
    /// Groups as a tree.
    Graph,
    /// One host's merged variables.
    Host(String),
}

/// What to do about a host key that is not in known_hosts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum HostKey {
    /// Refuse the host.
    #[default]
    Strict,
    /// Write it down and go on; a key that differs from a known one is refused all the same.
    AcceptNew,
}

impl Request {
    /// Returns the command's name, as it stands in events and in the journal's file name.
    pub fn name(&self) -> &'static str {
        match &self.command {
            Command::Validate => "validate",
            Command::Inventory(_) => "inventory",
            Command::Plan { .. } => "plan",
            Command::Apply { .. } if self.check => "apply --check",
            Command::Apply { .. } => "apply",
            Command::Status => "status",
            Command::Exec(_) => "exec",
            Command::HostsTrust => "hosts trust",
            Command::DrillFailover(_) => "drill failover",
            Command::RolesList | Command::RolesShow(_) | Command::RolesEject(_) => "roles",
            Command::VarsExplain { .. } => "vars",
        }
    }
}
