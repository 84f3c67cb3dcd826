//! The command line as clap reads it.

use std::ffi::OsString;

use camino::Utf8PathBuf;
use clap::builder::styling::{AnsiColor, Styles};
use clap::{
    ArgAction, ArgGroup, Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand,
    ValueEnum,
};
use clap_complete::Shell;

use super::access;
use super::levels::Levels;
use super::request::{self, InventoryView, Request};
use super::vault::Vault;
use crate::cluster::drill::{By, Target, Wish};
use crate::model::Shard;
use crate::report::{Color, Options, Output};

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

const EXIT_CODES: &str = "\
Exit codes:
  0    done, or nothing to change
  1    a host or the cluster failed
  2    plan found changes
  3    a host could not be reached, nothing else failed
  4    the input is wrong: nobody was contacted
  5    refused: unsafe, or someone else holds the lock
  130  interrupted";

const CHOICE: &str = "Which hosts, which variables";
const ACCESS: &str = "How to get in";
const SHOWN: &str = "What is shown";
const SECRETS: &str = "What opens encrypted files";

/// Brings Linux hosts to a highly available kubeadm cluster over SSH
#[derive(Debug, Parser)]
#[command(name = "quorate", version, styles = STYLES, after_help = EXIT_CODES, subcommand_required = true,
    arg_required_else_help = true, max_term_width = 110)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Command,
    #[command(flatten)]
    pub(super) common: Common,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Read everything, contact nobody, print every mistake
    Validate,
    /// Show the merged inventory
    #[command(subcommand)]
    Inventory(Inventory),
    /// Show what apply would do; changes nothing
    Plan {
        /// Write the plan to this file, as digests: `apply FILE` does that and nothing else
        #[arg(long, value_name = "FILE", conflicts_with = "check")]
        out: Option<Utf8PathBuf>,
        /// Show what is looked at once more on the host before each change
        #[arg(long)]
        detailed: bool,
        #[command(flatten)]
        told: Told,
    },
    /// Converge hosts and cluster
    Apply {
        /// Do what this plan says, and only if all is still as the plan saw it
        #[arg(value_name = "FILE", conflicts_with = "check")]
        plan: Option<Utf8PathBuf>,
        #[command(flatten)]
        told: Told,
    },
    /// Show the cluster's health on one screen
    Status {
        #[command(flatten)]
        told: Told,
    },
    /// Run one command on the chosen hosts
    Exec {
        /// The command and its arguments
        #[arg(last = true, required = true, value_name = "CMD")]
        words: Vec<String>,
    },
    /// See who the hosts are before they are trusted
    #[command(subcommand)]
    Hosts(Hosts),
    /// Take something away on purpose, and measure what clients see
    #[command(subcommand)]
    Drill(Drill),
    /// Print the recap of a journal again; contacts nobody
    Replay {
        /// A file in .quorate/journal/
        journal: Utf8PathBuf,
    },
    /// Tell a journal, or several as one, as a page to look at, or as text for mail; contacts nobody
    #[command(group(ArgGroup::new("form").required(true).multiple(true).args(["html", "text"])))]
    Report {
        /// A file in .quorate/journal/; of several, such as those of shards, one run is made
        #[arg(required = true, value_name = "JOURNAL")]
        journals: Vec<Utf8PathBuf>,
        /// The page to write, one file without anything from elsewhere; `-` prints it
        #[arg(long, value_name = "FILE")]
        html: Option<Utf8PathBuf>,
        /// Print it as plain text of 72 columns
        #[arg(long)]
        text: bool,
    },
    /// List the runs that left a journal beside the inventory: when, who, what changed, how it ended; contacts nobody
    History {
        /// Only the last N
        #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        last: Option<u32>,
    },
    /// Show the built-in roles, or copy one to change it
    #[command(subcommand)]
    Roles(Roles),
    /// Tell where a variable comes from
    #[command(subcommand)]
    Vars(Vars),
    /// Encrypt, show and edit files with secrets
    #[command(subcommand)]
    Vault(Vault),
    /// Print the JSON Schema of a kind of file or of output, for editors and checks
    Schema {
        /// The kind of file or of output
        of: SchemaOf,
    },
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Show the progress display without hosts
    #[command(hide = true)]
    DemoProgress(Demo),
}

/// What a schema is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum SchemaOf {
    /// A YAML inventory
    Inventory,
    /// A file in group_vars/ or host_vars/
    Vars,
    /// tasks/main.yml of a role
    Tasks,
    /// handlers/main.yml of a role
    Handlers,
    /// site.yml
    Site,
    /// A line of `--output json` or of a journal
    Events,
    /// The last line of `plan --output json`
    Plan,
}

/// Who else is told of a run.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct Told {
    /// Write the run as metrics to this file, for node_exporter's textfile collector
    #[arg(long, value_name = "FILE")]
    metrics: Option<Utf8PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(super) enum Inventory {
    /// Everything, as JSON in the shape of ansible-inventory --list
    List,
    /// The groups as a tree
    Graph,
    /// One host's merged variables
    Host {
        /// The host
        name: String,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum Hosts {
    /// Show the host keys of all hosts for comparison, and write the new ones to known_hosts after a yes (or with --yes)
    Trust,
}

#[derive(Debug, Subcommand)]
pub(super) enum Drill {
    /// Take the holder of the virtual address away for a moment, and measure what a client there sees
    Failover(Failover),
}

/// How long a host is away unless the user says otherwise, in seconds: longer than kube-vip's slowest defaults need to
/// elect another holder (18.5 s), and shorter than a node may be silent (node-monitor-grace-period: 40 s, from 1.32 on 50 s).
const AWAY_SECONDS: u32 = 20;

#[derive(Debug, Args)]
pub(super) struct Failover {
    /// Who: holder (whoever holds the virtual address when a round begins) or a host
    #[arg(long, value_name = "holder|HOST", default_value = "holder", value_parser = Target::parse)]
    target: Target,
    /// How: isolate, stop-service, kill-api, reboot, or a command of your own, run here with QUORATE_HOST and
    /// QUORATE_ADDRESS in its environment
    #[arg(long, value_name = "HOW", default_value = "isolate", value_parser = By::parse)]
    by: By,
    /// The command that brings back what your own command took away; it also runs when quorate dies
    #[arg(long, value_name = "COMMAND", value_parser = command_line)]
    restore: Option<String>,
    /// How many rounds
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    times: u32,
    /// For how long the host is away (not for kill-api and reboot)
    #[arg(long = "for", value_name = "SECONDS", default_value_t = AWAY_SECONDS,
        value_parser = clap::value_parser!(u32).range(5..=600))]
    seconds: u32,
}

#[derive(Debug, Subcommand)]
pub(super) enum Roles {
    /// Their names and what they do
    List,
    /// One role's files
    Show {
        /// The role
        name: String,
    },
    /// Copy a built-in role beside the inventory, where it wins
    Eject {
        /// The role
        name: String,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum Vars {
    /// A value, where it was set, and what it overrode
    Explain {
        /// The host
        host: String,
        /// The variable; all without it
        name: Option<String>,
    },
}

#[derive(Debug, Args)]
pub(super) struct Demo {
    /// How many hosts
    #[arg(long, default_value_t = 5)]
    pub(super) hosts: u32,
    /// How many times faster than a real run
    #[arg(long, default_value_t = 1.0)]
    pub(super) speed: f64,
    /// Let one host fail and one be unreachable
    #[arg(long)]
    pub(super) fail: bool,
    /// Show a plan instead of an apply
    #[arg(long)]
    pub(super) plan: bool,
}

#[derive(Debug, Args)]
pub(super) struct Common {
    /// Inventory file or folder; may be given more than once
    #[arg(short, long, global = true, value_name = "PATH", env = "QUORATE_INVENTORY", default_value = "inventory",
        help_heading = CHOICE)]
    inventory: Vec<Utf8PathBuf>,
    /// Hosts to work on: a:b, a:&b, a:!b, globs, @file
    #[arg(short, long, global = true, value_name = "PATTERN", help_heading = CHOICE)]
    limit: Option<String>,
    /// Only a part of those hosts, the same one each time; counted from 0. Control planes and load balancers are all in 0/N
    #[arg(long, global = true, value_name = "I/N", help_heading = CHOICE)]
    shard: Option<Shard>,
    /// Only tasks with one of these tags
    #[arg(short, long, global = true, value_delimiter = ',', help_heading = CHOICE)]
    tags: Vec<String>,
    /// No task with one of these tags
    #[arg(long, global = true, value_name = "TAGS", value_delimiter = ',', help_heading = CHOICE)]
    skip_tags: Vec<String>,
    /// Variables that win over all others; may be given more than once
    #[arg(short, long, global = true, value_name = "K=V|@FILE", help_heading = CHOICE)]
    extra_vars: Vec<String>,
    /// How many hosts at once
    #[arg(short, long, global = true, value_name = "N", default_value_t = 50,
        value_parser = clap::value_parser!(u16).range(1..), help_heading = CHOICE)]
    forks: u16,
    /// Make apply a plan: show what would be done, do nothing
    #[arg(short = 'C', long, global = true)]
    check: bool,
    /// Show the content of each change
    #[arg(short = 'D', long, global = true, help_heading = SHOWN)]
    diff: bool,
    /// Become root with sudo
    #[arg(short, long, global = true, help_heading = ACCESS)]
    r#become: bool,
    /// Log in as this user
    #[arg(short, long, global = true, value_name = "NAME", help_heading = ACCESS)]
    user: Option<String>,
    /// Ask for the SSH password
    #[arg(short = 'k', long, global = true, help_heading = ACCESS)]
    ask_pass: bool,
    /// Ask for the sudo password
    #[arg(short = 'K', long, global = true, help_heading = ACCESS)]
    ask_become_pass: bool,
    /// The password of ansible-vault files, and of age files that have a passphrase; a program is run and its output taken
    #[arg(long, alias = "vault-pass-file", global = true, value_name = "FILE", env = "ANSIBLE_VAULT_PASSWORD_FILE",
        help_heading = SECRETS)]
    vault_password_file: Vec<Utf8PathBuf>,
    /// Ask for that password
    #[arg(short = 'J', long, alias = "ask-vault-password", global = true, help_heading = SECRETS)]
    ask_vault_pass: bool,
    /// Private keys of age files, as age-keygen makes them
    #[arg(long, global = true, value_name = "FILE", env = "QUORATE_AGE_IDENTITY", help_heading = SECRETS)]
    age_identity: Vec<Utf8PathBuf>,
    /// Say more; twice for every exec
    #[arg(short, long, global = true, action = ArgAction::Count, help_heading = SHOWN)]
    verbose: u8,
    /// Show failures and the recap alone
    #[arg(short, long, global = true, conflicts_with = "verbose", help_heading = SHOWN)]
    quiet: bool,
    /// auto is pretty on a terminal and plain elsewhere
    #[arg(long, global = true, value_name = "HOW", value_enum, default_value_t, help_heading = SHOWN)]
    output: OutputArg,
    /// auto is colours on a terminal unless NO_COLOR is set
    #[arg(long, global = true, value_name = "WHEN", value_enum, default_value_t, help_heading = SHOWN)]
    color: ColorArg,
    /// Do what destroys or disturbs without asking
    #[arg(long, global = true)]
    yes: bool,
    /// What to do about a host key that is not known: strict, unless ssh's configuration says otherwise
    #[arg(long, global = true, value_name = "POLICY", value_enum, help_heading = ACCESS)]
    host_key: Option<HostKeyArg>,
    /// ssh's configuration is read from here alone, as with ssh -F; none is nowhere
    #[arg(long, global = true, value_name = "FILE|none", help_heading = ACCESS)]
    ssh_config: Option<Utf8PathBuf>,
    /// Known hosts are read from here instead of ~/.ssh/known_hosts
    #[arg(long, global = true, value_name = "FILE", help_heading = ACCESS)]
    known_hosts: Option<Utf8PathBuf>,
    /// Take over a lock that another controller holds
    #[arg(long, global = true)]
    break_lock: bool,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum OutputArg {
    #[default]
    Auto,
    Pretty,
    Plain,
    Json,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum ColorArg {
    #[default]
    Auto,
    Always,
    Never,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum HostKeyArg {
    #[default]
    Strict,
    AcceptNew,
}

/// What is to be done: by the seam to the engine, or here at once.
pub(super) enum Task {
    Run(Box<Request>),
    Replay(Utf8PathBuf),
    Report {
        journals: Vec<Utf8PathBuf>,
        html: Option<Utf8PathBuf>,
        text: bool,
    },
    History {
        inventory: Utf8PathBuf,
        last: Option<u32>,
    },
    Vault(Vault),
    Completions(Shell),
    Schema(SchemaOf),
    Demo(Demo),
}

impl Cli {
    /// Reads a command line, whose first word is the program's name.
    pub(super) fn read(words: &[OsString]) -> Result<Self, clap::Error> {
        let mut cli = Self::from_arg_matches(&definition().try_get_matches_from(words)?)?;
        cli.common.join(&Levels::read(definition(), words)?);
        Ok(cli)
    }
}

/// Returns the command line's definition. Without a usage of their own, an error names the arguments that were there as if
/// they had to be.
fn definition() -> clap::Command {
    [
        ("plan", ""),
        ("apply", " [FILE]"),
        ("status", ""),
        ("validate", ""),
        ("history", ""),
    ]
    .into_iter()
    .fold(Cli::command(), |all, (name, words)| {
        all.mut_subcommand(name, |one| {
            one.override_usage(format!("quorate {name} [OPTIONS]{words}"))
        })
    })
}

impl Command {
    /// Returns the task.
    pub(super) fn into_task(self, common: &Common) -> Task {
        let detailed = matches!(self, Self::Plan { detailed: true, .. });
        let metrics = match &self {
            Self::Plan { told, .. } | Self::Apply { told, .. } | Self::Status { told } => {
                told.metrics.clone()
            }
            _ => None,
        };
        let command = match self {
            Self::History { last } => {
                let inventory = common.inventory.first().cloned();
                return Task::History {
                    inventory: inventory.unwrap_or_else(|| "inventory".into()),
                    last,
                };
            }
            Self::Replay { journal } => return Task::Replay(journal),
            Self::Report {
                journals,
                html,
                text,
            } => {
                return Task::Report {
                    journals,
                    html,
                    text,
                };
            }
            Self::Vault(vault) => return Task::Vault(vault),
            Self::Completions { shell } => return Task::Completions(shell),
            Self::Schema { of } => return Task::Schema(of),
            Self::DemoProgress(demo) => return Task::Demo(demo),
            Self::Validate => request::Command::Validate,
            Self::Inventory(Inventory::List) => request::Command::Inventory(InventoryView::List),
            Self::Inventory(Inventory::Graph) => request::Command::Inventory(InventoryView::Graph),
            Self::Inventory(Inventory::Host { name }) => {
                request::Command::Inventory(InventoryView::Host(name))
            }
            Self::Plan { out, .. } => request::Command::Plan { out },
            Self::Apply { plan, .. } => request::Command::Apply { plan },
            Self::Status { .. } => request::Command::Status,
            Self::Exec { words } => request::Command::Exec(words),
            Self::Hosts(Hosts::Trust) => request::Command::HostsTrust,
            Self::Drill(Drill::Failover(failover)) => {
                request::Command::DrillFailover(failover.wish(common.yes))
            }
            Self::Roles(Roles::List) => request::Command::RolesList,
            Self::Roles(Roles::Show { name }) => request::Command::RolesShow(name),
            Self::Roles(Roles::Eject { name }) => request::Command::RolesEject(name),
            Self::Vars(Vars::Explain { host, name }) => {
                request::Command::VarsExplain { host, name }
            }
        };
        let mut request = common.request(command);
        request.report.detailed = detailed;
        request.metrics = metrics;
        Task::Run(Box::new(request))
    }
}

impl Failover {
    fn wish(self, agreed: bool) -> Wish {
        Wish {
            target: self.target,
            by: self.by,
            restore: self.restore,
            times: self.times,
            seconds: self.seconds,
            agreed,
        }
    }
}

impl Common {
    /// Takes what repeatable flags say at all places of the command line.
    fn join(&mut self, levels: &Levels) {
        for (id, values) in [
            ("inventory", &mut self.inventory),
            ("vault_password_file", &mut self.vault_password_file),
            ("age_identity", &mut self.age_identity),
        ] {
            if let Some(all) = levels.all(id) {
                *values = all;
            }
        }
        for (id, values) in [
            ("tags", &mut self.tags),
            ("skip_tags", &mut self.skip_tags),
            ("extra_vars", &mut self.extra_vars),
        ] {
            if let Some(all) = levels.all(id) {
                *values = all;
            }
        }
        self.verbose = levels.count("verbose");
    }

    fn request(&self, command: request::Command) -> Request {
        Request {
            command,
            inventory: self.inventory.clone(),
            limit: self.limit.clone(),
            shard: self.shard,
            tags: trimmed(&self.tags),
            skip_tags: trimmed(&self.skip_tags),
            extra_vars: self.extra_vars.clone(),
            forks: usize::from(self.forks),
            check: self.check,
            report: self.options(),
            r#become: self.r#become,
            user: self.user.clone(),
            ask_become_password: self.ask_become_pass,
            locks: self.locks(),
            yes: self.yes,
            ask_password: self.ask_pass,
            host_key_given: self.host_key.is_some(),
            ssh_config: access::ssh_config(self.ssh_config.as_ref()),
            host_key: match self.host_key.unwrap_or_default() {
                HostKeyArg::Strict => request::HostKey::Strict,
                HostKeyArg::AcceptNew => request::HostKey::AcceptNew,
            },
            known_hosts: self.known_hosts.clone(),
            break_lock: self.break_lock,
            metrics: None,
        }
    }

    /// Returns what opens encrypted files.
    pub(super) fn locks(&self) -> request::Locks {
        request::Locks {
            password_files: self.vault_password_file.clone(),
            ask: self.ask_vault_pass,
            identities: self.age_identity.clone(),
        }
    }

    /// Returns how a run is to be shown.
    pub(super) fn options(&self) -> Options {
        Options {
            output: match self.output {
                OutputArg::Auto => Output::Auto,
                OutputArg::Pretty => Output::Pretty,
                OutputArg::Plain => Output::Plain,
                OutputArg::Json => Output::Json,
            },
            color: match self.color {
                ColorArg::Auto => Color::Auto,
                ColorArg::Always => Color::Always,
                ColorArg::Never => Color::Never,
            },
            verbosity: if self.quiet {
                -1
            } else {
                i8::try_from(self.verbose).unwrap_or(i8::MAX)
            },
            diff: self.diff,
            detailed: false,
            journal: None,
        }
    }
}

/// Returns the words without the blanks around them, which people put behind a comma.
fn trimmed(words: &[String]) -> Vec<String> {
    words.iter().map(|word| word.trim().to_owned()).collect()
}

/// Reads a command of the user's own.
fn command_line(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("a command is missing".into()),
        line => Ok(line.to_owned()),
    }
}
