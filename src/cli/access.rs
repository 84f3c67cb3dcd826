//! How the hosts are reached, all told: the inventory, the command line, ssh's configuration, and what a person is asked for.

use camino::{Utf8Path, Utf8PathBuf};
use color_eyre::eyre::Result;
use indexmap::IndexMap;

use super::WrongInput;
use super::controller;
use super::request::Request;
use super::run::{ask_password, ssh_options, warn, wrong};
use crate::cluster::spec::Connection;
use crate::inventory::ssh_args::SshArgs;
use crate::model::{Diagnostic, HostName, Secret};
use crate::transport::ssh::{self, Ask, SshOptions, Way};
use crate::transport::{Elevation, Target};

/// How often a passphrase is asked for (ssh_config(5), NumberOfPasswordPrompts).
const PROMPTS: usize = 3;

/// The way to the hosts.
pub(super) struct Reach {
    pub(super) targets: IndexMap<HostName, Target>,
    pub(super) options: SshOptions,
}

/// Passwords that were typed, for hosts that have none in the inventory.
struct Passwords {
    ssh: Option<Secret<String>>,
    sudo: Option<Secret<String>>,
}

/// Returns how these hosts are reached. Asks `ssh -G` and a person; contacts nobody.
pub(super) async fn reach(
    request: &Request,
    connections: &[(&HostName, &Connection)],
) -> Result<Reach> {
    let passwords = ask_passwords(request)?;
    let asks: Vec<Ask> = connections
        .iter()
        .map(|(name, connection)| Ask {
            name: (*name).clone(),
            host: connection.host.clone(),
            args: args(request, connection),
        })
        .collect();
    let (mut ways, found) = ssh::ways(&request.ssh_config, &asks).await;
    if found.has_errors() {
        return Err(WrongInput(found).into());
    }
    warn(request, &found);
    let targets: IndexMap<HostName, Target> = connections
        .iter()
        .filter_map(|(name, connection)| {
            let way = ways.swap_remove(*name)?;
            let target = target(name, connection, way, request, &passwords);
            Some(((*name).clone(), target))
        })
        .collect();
    let options = ssh_options(request);
    open_keys(&options, &targets).await;
    Ok(Reach { targets, options })
}

/// Returns what is said of a host's way elsewhere than in ssh's configuration.
fn args(request: &Request, connection: &Connection) -> SshArgs {
    let key = connection.private_key_file.as_deref();
    let said = SshArgs {
        user: request.user.clone().or_else(|| connection.user.clone()),
        port: connection.port,
        identity_files: key
            .map(|path| controller::home(path).into_string())
            .into_iter()
            .collect(),
        ..SshArgs::default()
    };
    said.or(connection.args.clone())
}

fn target(
    name: &HostName,
    connection: &Connection,
    way: Way,
    request: &Request,
    passwords: &Passwords,
) -> Target {
    let mut target = ssh::place(name.clone(), &connection.host, &way.args);
    target.jumps = way.jumps;
    target.access.password = connection
        .password
        .clone()
        .or_else(|| passwords.ssh.clone());
    let root = request.r#become || connection.r#become.unwrap_or(target.user != "root");
    if root {
        let password = connection
            .become_password
            .clone()
            .or_else(|| passwords.sudo.clone());
        target.elevation = Elevation::Sudo {
            user: connection.become_user.clone(),
            password,
        };
    }
    // What was typed with the command counts for every host on the way.
    let Target { access, jumps, .. } = &mut target;
    for access in jumps
        .iter_mut()
        .map(|jump| &mut jump.access)
        .chain([access])
    {
        if request.known_hosts.is_some() {
            access.known_hosts = None;
        }
        if request.host_key_given {
            access.host_key_policy = None;
        }
    }
    target
}

/// Asks for the passwords that the command line says to ask for. With both, no answer to the second is the first, as in Ansible.
fn ask_passwords(request: &Request) -> Result<Passwords> {
    let ssh = if request.ask_password {
        match rpassword::prompt_password("SSH password: ") {
            Ok(password) => Some(Secret::new(password)),
            Err(error) => {
                let error = Diagnostic::error(format!("cannot ask for the SSH password: {error}"));
                let help = "`-k` needs a terminal; without one pass `ansible_password` in a file with `-e @FILE`, or use a key";
                return Err(wrong(error.help(help)).into());
            }
        }
    } else {
        None
    };
    let sudo = ask_password(request)?;
    let sudo = match (sudo, &ssh) {
        (Some(typed), Some(first)) if typed.expose().is_empty() => Some(first.clone()),
        (sudo, _) => sudo,
    };
    Ok(Passwords { ssh, sudo })
}

/// Asks for the passphrases of keys without which a host has no key, each once for the whole run. Where nobody can be asked, and
/// where no answer is right, the hosts' failures say what to do.
async fn open_keys(options: &SshOptions, targets: &IndexMap<HostName, Target>) {
    let targets: Vec<&Target> = targets.values().collect();
    for path in ssh::locked(options, &targets).await {
        if !ask_passphrase(options, &path) {
            return;
        }
    }
}

/// Returns whether there was somebody to ask. An empty answer leaves the key out, as with ssh.
fn ask_passphrase(options: &SshOptions, path: &Utf8Path) -> bool {
    for _ in 0..PROMPTS {
        let prompt = format!("Enter passphrase for key '{path}': ");
        match rpassword::prompt_password(prompt).map(Secret::new) {
            Ok(typed) if typed.expose().is_empty() => return true,
            Ok(typed) if ssh::unlock(options, path, &typed).is_ok() => return true,
            Ok(_) => {}
            Err(_) => return false,
        }
    }
    true
}

/// Reads the value of `--ssh-config`.
pub(super) fn ssh_config(file: Option<&Utf8PathBuf>) -> ssh::SshConfig {
    match file {
        None => ssh::SshConfig::Own,
        Some(none) if none == "none" => ssh::SshConfig::None,
        Some(file) => ssh::SshConfig::File(file.clone()),
    }
}
