//! From options of ssh to a target: paths with their tokens, and what each option becomes here.

use std::time::Duration;

use camino::Utf8PathBuf;

use super::options::HostKeyPolicy;
use crate::inventory::ssh_args::{SshArgs, StrictHostKeys};
use crate::model::HostName;
use crate::transport::{Access, AgentChoice, Elevation, Target};

/// SSH's port (RFC 4253, section 4.2).
const DEFAULT_PORT: u16 = 22;

/// Returns the host as it is reached, without jump hosts and as the login user. `host` is what ssh would be called with.
pub fn place(name: HostName, host: &str, args: &SshArgs) -> Target {
    let tokens = Tokens {
        original: host,
        address: args.host_name.as_deref().unwrap_or(host),
        port: args.port.unwrap_or(DEFAULT_PORT),
        user: args.user.clone().unwrap_or_else(own_user),
    };
    let paths = |names: &[String]| names.iter().map(|name| tokens.path(name)).collect();
    let seconds = |seconds: Option<u32>| {
        seconds
            .filter(|seconds| *seconds > 0)
            .map(|seconds| Duration::from_secs(u64::from(seconds)))
    };
    let access = Access {
        certificates: paths(&args.certificate_files),
        identities_only: args.identities_only.unwrap_or_default(),
        agent: agent(args.identity_agent.as_deref(), &tokens),
        password: None,
        host_key_name: args.host_key_alias.clone(),
        known_hosts: args.user_known_hosts.as_deref().map(paths),
        system_known_hosts: args.global_known_hosts.as_deref().map(paths),
        host_key_policy: args.strict_host_keys.map(|strict| match strict {
            StrictHostKeys::Yes => HostKeyPolicy::Strict,
            StrictHostKeys::AcceptNew => HostKeyPolicy::AcceptNew,
        }),
        connect_timeout: seconds(args.connect_timeout),
        alive_interval: seconds(args.alive_interval),
    };
    Target {
        name,
        address: tokens.address.to_owned(),
        port: tokens.port,
        keys: paths(&args.identity_files),
        user: tokens.user,
        elevation: Elevation::None,
        access,
        jumps: Vec::new(),
    }
}

/// Returns the name that a user has here: ssh logs in with it where nothing else is said.
pub(super) fn own_user() -> String {
    let name = std::env::var("USER").ok().filter(|name| !name.is_empty());
    name.unwrap_or_else(|| "root".into())
}

/// Returns the path with `~/` replaced by the user's home.
pub(super) fn in_home(path: &str) -> Utf8PathBuf {
    let home = std::env::var("HOME").unwrap_or_default();
    match path.strip_prefix("~/") {
        Some(rest) if !home.is_empty() => Utf8PathBuf::from(home).join(rest),
        _ => path.into(),
    }
}

fn agent(said: Option<&str>, tokens: &Tokens<'_>) -> AgentChoice {
    match said {
        None | Some("SSH_AUTH_SOCK") => AgentChoice::Usual,
        Some(none) if none.eq_ignore_ascii_case("none") => AgentChoice::None,
        Some(variable) if variable.starts_with('$') && !variable.contains('/') => {
            let name = variable.trim_matches(['$', '{', '}']);
            std::env::var(name).map_or(AgentChoice::None, |path| AgentChoice::Socket(path.into()))
        }
        Some(path) => AgentChoice::Socket(tokens.path(path)),
    }
}

/// What tokens in paths stand for (ssh_config(5), TOKENS).
struct Tokens<'a> {
    original: &'a str,
    address: &'a str,
    port: u16,
    user: String,
}

impl Tokens<'_> {
    fn path(&self, path: &str) -> Utf8PathBuf {
        let mut text = String::with_capacity(path.len());
        let mut chars = path.chars();
        while let Some(c) = chars.next() {
            if c != '%' {
                text.push(c);
                continue;
            }
            match chars.next() {
                Some('%') => text.push('%'),
                Some('d') => text += &std::env::var("HOME").unwrap_or_default(),
                Some('h') => text += self.address,
                Some('n') => text += self.original,
                Some('p') => text += &self.port.to_string(),
                Some('r') => text += &self.user,
                Some('u') => text += &own_user(),
                // One that is not replaced names a file that is not there, and is shown.
                Some(other) => text.extend(['%', other]),
                None => text.push('%'),
            }
        }
        in_home(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_replaced() {
        let (args, errors) = SshArgs::parse(
            "-i /k/%r@%h:%p-%n -i %%x%C% -l me -p 7 -o HostName=10.0.0.1 -o IdentityAgent=none -o ConnectTimeout=0",
        );
        assert_eq!(errors, []);
        let name = HostName::new("cp1").unwrap();
        let target = place(name, "cp1", &args);
        assert_eq!(target.keys, ["/k/me@10.0.0.1:7-cp1", "%x%C%"]);
        assert_eq!(
            (target.name.as_str(), target.address.as_str(), target.port),
            ("cp1", "10.0.0.1", 7)
        );
        assert_eq!(target.access.agent, AgentChoice::None);
        assert_eq!(target.access.connect_timeout, None);
    }
}
