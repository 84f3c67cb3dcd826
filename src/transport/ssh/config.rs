//! What ssh's own configuration says of the hosts, asked of `ssh -G`: no parser of ours would read Match, Include and tokens as
//! ssh does. Hosts of which no file says anything are not asked for.

mod answer;
mod files;
mod route;
mod scan;

use std::collections::{HashMap, HashSet};
use std::process::Stdio;
use std::time::Duration;

use camino::Utf8PathBuf;
use futures::StreamExt;
use indexmap::IndexMap;
use tokio::process::Command;
use tokio::time::timeout;

use self::answer::Answer;
use self::files::Files;
use self::route::{Query, Route};
use super::place;
use crate::inventory::ssh_args::SshArgs;
use crate::model::{Diagnostic, Diagnostics, HostName};
use crate::transport::Target;

/// How long one `ssh -G` may take: 13 ms, and as long as the programs of `Match exec` take.
const DEADLINE: Duration = Duration::from_secs(20);

/// How many of them run at once.
const AT_ONCE: usize = 8;

/// Where ssh's configuration is read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub enum SshConfig {
    /// ssh's own files: ~/.ssh/config and /etc/ssh/ssh_config.
    #[default]
    Own,
    /// This file alone, as with `ssh -F`.
    File(Utf8PathBuf),
    /// Nowhere.
    None,
}

/// A host, and what is said of it elsewhere than in ssh's configuration.
#[derive(Debug, Clone)]
pub struct Ask {
    /// Its name in the inventory.
    pub name: HostName,
    /// The name or address that ssh would be called with.
    pub host: String,
    /// What the inventory and the command line say; it wins.
    pub args: SshArgs,
}

/// How a host is reached, all told.
#[derive(Debug, Clone)]
pub struct Way {
    /// What counts for the host.
    pub args: SshArgs,
    /// The hosts to jump over, from here on.
    pub jumps: Vec<Target>,
}

/// Returns how the hosts are reached, with what is wrong: an error means that at least one of them is missing.
pub async fn ways(config: &SshConfig, asks: &[Ask]) -> (IndexMap<HostName, Way>, Diagnostics) {
    let mut found = Findings::default();
    let mut files = Files::default();
    let mut answers: HashMap<Query, Option<Answer>> = HashMap::new();
    let mut ways = IndexMap::new();
    // Each round asks for the jump hosts that the one before has found; a route without an end is an error.
    loop {
        ways.clear();
        let mut missing = Vec::new();
        for ask in asks {
            match route::route(config, &ask.host, &ask.args, &answers) {
                Ok(Route::Whole(mut hops)) => {
                    let Some(own) = hops.pop() else { continue };
                    let jump = |hop: &route::Hop| {
                        let name = jump_name(&hop.host).unwrap_or_else(|| ask.name.clone());
                        place(name, &hop.host, &hop.args)
                    };
                    let jumps = hops.iter().map(jump).collect();
                    let args = own.args;
                    ways.insert(ask.name.clone(), Way { args, jumps });
                }
                Ok(Route::Missing(queries)) => missing.extend(queries),
                Ok(Route::Lost) => {}
                Err(error) => found.push(
                    Diagnostic::error(format!("`{}`: {}", ask.name, error.message))
                        .help(error.help),
                ),
            }
        }
        let mut seen = HashSet::new();
        missing.retain(|query| !answers.contains_key(query) && seen.insert(query.clone()));
        if missing.is_empty() {
            return (ways, found.all);
        }
        let (asked, unasked): (Vec<Query>, Vec<Query>) = missing
            .into_iter()
            .partition(|query| !found.no_program && files.concern(&query.file, &query.host));
        answers.extend(
            unasked
                .into_iter()
                .map(|query| (query, Some(Answer::default()))),
        );
        let running = asked.into_iter().map(|query| async {
            let result = ask_ssh(&query).await;
            (query, result)
        });
        let mut running = futures::stream::iter(running).buffer_unordered(AT_ONCE);
        while let Some((query, result)) = running.next().await {
            let answer = found.take(&query, result);
            answers.insert(query, answer);
        }
    }
}

/// Returns the name of a jump host as it was given; an address of IPv6 is none, and gets dashes.
fn jump_name(host: &str) -> Option<HostName> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let name: String = host
        .chars()
        .map(|c| if fits(c) { c } else { '-' })
        .collect();
    HostName::new(&name).ok()
}

/// Findings, each told once.
#[derive(Default)]
struct Findings {
    all: Diagnostics,
    told: HashSet<String>,
    no_program: bool,
}

impl Findings {
    fn push(&mut self, diagnostic: Diagnostic) {
        if self.told.insert(diagnostic.to_string()) {
            self.all.push(diagnostic);
        }
    }

    /// Returns the answer; `None` where there is none, which is told.
    fn take(&mut self, query: &Query, result: Result<Answer, Silence>) -> Option<Answer> {
        let leave_out = "mend it, or leave ssh's configuration out with `--ssh-config none`";
        match result {
            Ok(answer) => {
                for (name, help) in &answer.unread {
                    let message = format!("`{name}` of ssh's configuration is not read");
                    self.push(Diagnostic::warning(message).help(*help));
                }
                Some(answer)
            }
            Err(Silence::NoProgram) if query.file == SshConfig::Own => {
                self.no_program = true;
                let warning = Diagnostic::warning(
                    "~/.ssh/config or /etc/ssh/ssh_config says how hosts are reached, and is not read: there is no program `ssh` here",
                );
                self.push(warning.help(
                    "install OpenSSH's client; `--ssh-config none` leaves the files out without a word",
                ));
                Some(Answer::default())
            }
            Err(Silence::NoProgram) => {
                let error = Diagnostic::error(format!(
                    "{} cannot be read: there is no program `ssh` here",
                    query.file
                ));
                self.push(error.help("install OpenSSH's client"));
                None
            }
            Err(Silence::Unfit(reason)) => {
                let error = Diagnostic::error(format!(
                    "{} cannot be read as ssh's configuration: {reason}",
                    query.file
                ));
                self.push(error.help("name the file itself"));
                None
            }
            Err(Silence::Failed(said)) => {
                let error = Diagnostic::error(format!("`ssh -G` fails: {said}"));
                self.push(error.help(leave_out));
                None
            }
            Err(Silence::Refused(error)) => {
                let message = format!(
                    "`{}`, in ssh's configuration: {}",
                    query.host, error.message
                );
                self.push(Diagnostic::error(message).help(error.help));
                None
            }
        }
    }
}

/// Why ssh gave no answer.
enum Silence {
    NoProgram,
    Unfit(String),
    Failed(String),
    Refused(crate::inventory::ssh_args::ArgError),
}

async fn ask_ssh(query: &Query) -> Result<Answer, Silence> {
    let mut command = Command::new("ssh");
    command.arg("-G");
    if let SshConfig::File(file) = &query.file {
        if let Some(reason) = files::unfit(file) {
            return Err(Silence::Unfit(reason));
        }
        command.args(["-F", file.as_str()]);
    }
    if let Some(user) = &query.user {
        command.args(["-l", user]);
    }
    if let Some(port) = query.port {
        command.args(["-p", &port.to_string()]);
    }
    command.args(["--", &query.host]);
    // A program of `Match exec` reads nothing of ours, and ends with us.
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = match timeout(DEADLINE, command.output()).await {
        Ok(Ok(output)) => output,
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(Silence::NoProgram);
        }
        Ok(Err(error)) => return Err(Silence::Failed(error.to_string())),
        Err(_) => {
            let seconds = DEADLINE.as_secs();
            let host = &query.host;
            return Err(Silence::Failed(format!(
                "no answer about `{host}` within {seconds} s; a `Match exec` may hang"
            )));
        }
    };
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        // It says this whenever it has no terminal.
        let said = said
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with("Pseudo-terminal"));
        return Err(Silence::Failed(said.collect::<Vec<_>>().join("; ")));
    }
    answer::parse(&String::from_utf8_lossy(&output.stdout)).map_err(Silence::Refused)
}
