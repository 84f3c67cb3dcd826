//! Options of `ssh`, as ansible_ssh_common_args and a ProxyCommand have them: those that say how a host is reached are read,
//! those that change nothing for quorate are passed over, and the rest is refused by name.

mod jump;
mod reader;

use self::jump::{proxy_command, proxy_jump};
use self::reader::Reader;
use crate::model::shlex;

/// What happens to an unknown host key (ssh_config(5), StrictHostKeyChecking).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StrictHostKeys {
    /// `yes`, and `ask`: quorate asks nobody.
    Yes,
    /// `accept-new`, and `no`: a changed key is refused by quorate all the same.
    AcceptNew,
}

/// A host on the way to another one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct JumpHost {
    /// Its name or address, or its name in ~/.ssh/config.
    pub host: String,
    /// What is said of it beside its name: user and port, and with a ProxyCommand its own options.
    pub args: SshArgs,
    /// Whether it stands in a ProxyCommand: then the target's `-F` does not count for it, and `%r` is the target's user.
    pub by_command: bool,
}

/// What options of ssh say of a host. What they do not say is `None` or empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct SshArgs {
    /// `-F`: the configuration file; `none` is none.
    pub config: Option<String>,
    /// `HostName`.
    pub host_name: Option<String>,
    /// `-l`, `User`.
    pub user: Option<String>,
    /// `-p`, `Port`.
    pub port: Option<u16>,
    /// `-i`, `IdentityFile`, in order.
    pub identity_files: Vec<String>,
    /// `CertificateFile`, in order.
    pub certificate_files: Vec<String>,
    /// `IdentitiesOnly`.
    pub identities_only: Option<bool>,
    /// `IdentityAgent`: a socket, `none` or `SSH_AUTH_SOCK`.
    pub identity_agent: Option<String>,
    /// `-J`, `ProxyJump` and a ProxyCommand of the form `ssh -W %h:%p HOST`, in order from here; empty: no jump.
    pub jumps: Option<Vec<JumpHost>>,
    /// `HostKeyAlias`.
    pub host_key_alias: Option<String>,
    /// `UserKnownHostsFile`; empty: none.
    pub user_known_hosts: Option<Vec<String>>,
    /// `GlobalKnownHostsFile`; empty: none.
    pub global_known_hosts: Option<Vec<String>>,
    /// `StrictHostKeyChecking`.
    pub strict_host_keys: Option<StrictHostKeys>,
    /// `ConnectTimeout`, in seconds.
    pub connect_timeout: Option<u32>,
    /// `ServerAliveInterval`, in seconds.
    pub alive_interval: Option<u32>,
}

/// Why an option is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArgError {
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: String,
}

impl ArgError {
    fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            help: help.into(),
        }
    }
}

impl SshArgs {
    /// Returns what the words of a text say, and every option that is refused.
    pub fn parse(text: &str) -> (Self, Vec<ArgError>) {
        let mut errors = Vec::new();
        let Some(words) = shlex::split(text) else {
            let error = ArgError::new(
                format!("`{text}` has a quote that is not closed"),
                "write it as for a shell",
            );
            return (Self::default(), vec![error]);
        };
        let mut reader = Reader::new(&words, false);
        reader.run(&mut errors);
        if let Some(word) = reader.rest.first() {
            errors.push(ArgError::new(
                format!("`{word}` is no option of ssh"),
                "options alone stand here; the host is `ansible_host`",
            ));
        }
        (reader.args, errors)
    }

    /// Returns these with what others say where these say nothing; others' keys come behind these.
    #[must_use]
    pub fn or(mut self, other: Self) -> Self {
        self.identity_files.extend(other.identity_files);
        self.certificate_files.extend(other.certificate_files);
        Self {
            config: self.config.or(other.config),
            host_name: self.host_name.or(other.host_name),
            user: self.user.or(other.user),
            port: self.port.or(other.port),
            identity_files: self.identity_files,
            certificate_files: self.certificate_files,
            identities_only: self.identities_only.or(other.identities_only),
            identity_agent: self.identity_agent.or(other.identity_agent),
            jumps: self.jumps.or(other.jumps),
            host_key_alias: self.host_key_alias.or(other.host_key_alias),
            user_known_hosts: self.user_known_hosts.or(other.user_known_hosts),
            global_known_hosts: self.global_known_hosts.or(other.global_known_hosts),
            strict_host_keys: self.strict_host_keys.or(other.strict_host_keys),
            connect_timeout: self.connect_timeout.or(other.connect_timeout),
            alive_interval: self.alive_interval.or(other.alive_interval),
        }
    }

    /// Takes one option of ssh_config(5), unless an earlier one has said the same.
    ///
    /// Returns whether it is one that is read.
    ///
    /// # Errors
    /// Its value is none of those that it can have, or asks for what quorate does not do.
    pub fn set(&mut self, name: &str, value: &str) -> Result<bool, ArgError> {
        let number = || {
            value.parse::<u32>().map_err(|_| {
                ArgError::new(
                    format!("`{name}` is a number of seconds, not `{value}`"),
                    "write whole seconds",
                )
            })
        };
        match name.to_ascii_lowercase().as_str() {
            "hostname" => first(&mut self.host_name, value.to_owned()),
            "user" => first(&mut self.user, value.to_owned()),
            "port" => first(&mut self.port, port(value)?),
            "identityfile" => {
                if !value.eq_ignore_ascii_case("none") {
                    self.identity_files.push(value.to_owned());
                }
            }
            "certificatefile" => self.certificate_files.push(value.to_owned()),
            "identitiesonly" => first(&mut self.identities_only, boolean(name, value)?),
            "identityagent" => first(&mut self.identity_agent, value.to_owned()),
            "proxyjump" => {
                let jumps = proxy_jump(value)?;
                first(&mut self.jumps, jumps);
            }
            "proxycommand" => {
                // The first of ProxyJump and ProxyCommand counts.
                if self.jumps.is_none() {
                    self.jumps = Some(proxy_command(value)?);
                }
            }
            "hostkeyalias" => first(&mut self.host_key_alias, alias(value)?),
            "userknownhostsfile" => first(&mut self.user_known_hosts, files(value)),
            "globalknownhostsfile" => first(&mut self.global_known_hosts, files(value)),
            "stricthostkeychecking" => first(&mut self.strict_host_keys, strict(value)?),
            "connecttimeout" => first(&mut self.connect_timeout, number()?),
            "serveraliveinterval" => first(&mut self.alive_interval, number()?),
            _ => return Ok(false),
        }
        Ok(true)
    }
}

fn first<T>(slot: &mut Option<T>, value: T) {
    slot.get_or_insert(value);
}

/// Returns whether a host can stand in known_hosts under this name: there blanks, commas and line ends divide, and `*`, `?`, `!`,
/// `|`, `@` and `#` have a meaning of their own (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT).
pub fn is_plain_name(name: &str) -> bool {
    let plain = |c: char| c.is_alphanumeric() || ".-_:%[]".contains(c);
    !name.is_empty() && !name.starts_with('-') && name.chars().all(plain)
}

fn alias(value: &str) -> Result<String, ArgError> {
    if is_plain_name(value) {
        return Ok(value.to_owned());
    }
    Err(ArgError::new(
        format!("`HostKeyAlias` is a name in known_hosts, not `{value}`"),
        "write one name of letters, digits, `.`, `-`, `_` and `:`",
    ))
}

fn port(value: &str) -> Result<u16, ArgError> {
    let number = value.parse::<u16>().ok().filter(|port| *port > 0);
    number.ok_or_else(|| {
        ArgError::new(
            format!("a port is a number from 1 to 65535, not `{value}`"),
            "look for a slip of the pen",
        )
    })
}

/// ssh prints `true` and `false` where it reads `yes` and `no`.
fn boolean(name: &str, value: &str) -> Result<bool, ArgError> {
    match value.to_ascii_lowercase().as_str() {
        "yes" | "true" => Ok(true),
        "no" | "false" => Ok(false),
        _ => Err(ArgError::new(
            format!("`{name}` is yes or no, not `{value}`"),
            "write one of these",
        )),
    }
}

fn strict(value: &str) -> Result<StrictHostKeys, ArgError> {
    match value.to_ascii_lowercase().as_str() {
        "yes" | "true" | "ask" => Ok(StrictHostKeys::Yes),
        "accept-new" | "no" | "off" | "false" => Ok(StrictHostKeys::AcceptNew),
        _ => Err(ArgError::new(
            format!("`StrictHostKeyChecking` is yes, ask, accept-new or no, not `{value}`"),
            "write one of these",
        )),
    }
}

fn files(value: &str) -> Vec<String> {
    let names = shlex::split(value)
        .unwrap_or_else(|| value.split_whitespace().map(str::to_owned).collect());
    let is_none = names.len() == 1 && names.iter().all(|name| name.eq_ignore_ascii_case("none"));
    if is_none { Vec::new() } else { names }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(text: &str) -> SshArgs {
        let (args, errors) = SshArgs::parse(text);
        assert_eq!(errors, [], "{text}");
        args
    }

    fn error(text: &str) -> String {
        let (_, errors) = SshArgs::parse(text);
        let [error] = &errors[..] else {
            return format!("{} errors: {text}", errors.len());
        };
        format!("{} / {}", error.message, error.help)
    }

    fn jump(host: &str, user: Option<&str>, port: Option<u16>) -> JumpHost {
        JumpHost {
            host: host.into(),
            args: SshArgs {
                user: user.map(str::to_owned),
                port,
                ..SshArgs::default()
            },
            by_command: false,
        }
    }

    #[test]
    fn what_matters_is_read() {
        let read = args(
            "-q -C -o ControlMaster=auto -o ControlPersist=60s -oPort=2222 -l me -i a -o 'IdentityFile b c' -vi d \
             -F conf -o IdentitiesOnly=yes -o UserKnownHostsFile=/dev/null -o StrictHostKeyChecking=no \
             -o ConnectTimeout=7 -o ServerAliveInterval=9 -o HostKeyAlias=x -p 99",
        );
        let expected = SshArgs {
            config: Some("conf".into()),
            user: Some("me".into()),
            // The first counts.
            port: Some(2222),
            identity_files: vec!["a".into(), "b c".into(), "d".into()],
            identities_only: Some(true),
            host_key_alias: Some("x".into()),
            user_known_hosts: Some(vec!["/dev/null".into()]),
            strict_host_keys: Some(StrictHostKeys::AcceptNew),
            connect_timeout: Some(7),
            alive_interval: Some(9),
            ..SshArgs::default()
        };
        assert_eq!(read, expected);
    }

    #[test]
    fn jumps_in_all_their_forms() {
        for (text, expected) in [
            ("-J bastion", vec![jump("bastion", None, None)]),
            (
                "-o ProxyJump=me@a:22,ssh://b:2222/,[fd00::1]:5",
                vec![
                    jump("a", Some("me"), Some(22)),
                    jump("b", None, Some(2222)),
                    jump("fd00::1", None, Some(5)),
                ],
            ),
            ("-J a@b@c", vec![jump("c", Some("a@b"), None)]),
            ("-J fd00::1", vec![jump("fd00::1", None, None)]),
            ("-J none -J x", vec![]),
            ("-o ProxyCommand=none", vec![]),
        ] {
            assert_eq!(args(text).jumps, Some(expected), "{text}");
        }
    }

    #[test]
    fn a_proxy_command_that_is_a_jump() {
        let plain = |host: &str, user: Option<&str>| JumpHost {
            by_command: true,
            ..jump(host, user, None)
        };
        for (text, expected) in [
            (
                r#"-o ProxyCommand="ssh -W %h:%p -q user@bastion""#,
                plain("bastion", Some("user")),
            ),
            (
                r#"-o ProxyCommand="ssh bastion -W [%h]:%p""#,
                plain("bastion", None),
            ),
            (
                "-o 'ProxyCommand exec /usr/bin/ssh -qW %h:%p -l me bastion'",
                plain("bastion", Some("me")),
            ),
        ] {
            assert_eq!(args(text).jumps, Some(vec![expected]), "{text}");
        }
        // Kubespray's.
        let read = args(
            "-o 'ProxyCommand=ssh -F /dev/null -o UserKnownHostsFile=/dev/null -o StrictHostKeyChecking=no -W %h:%p -p 22 me@1.2.3.4 -i key'",
        );
        let jumps = read.jumps.unwrap_or_default();
        let [hop] = &jumps[..] else {
            panic!("{jumps:?}");
        };
        assert_eq!(hop.host, "1.2.3.4");
        assert_eq!(hop.args.config.as_deref(), Some("/dev/null"));
        assert_eq!(hop.args.identity_files, ["key"]);
        assert_eq!(
            (hop.args.user.as_deref(), hop.args.port),
            (Some("me"), Some(22))
        );
    }

    #[test]
    fn the_rest_is_refused_by_name() {
        for (text, expected) in [
            (
                "-L 80:a:80",
                "`-L` is an option of ssh that quorate does not have / leave it out; -o, -i, -p, -l, -J and -F are read",
            ),
            (
                "-o ForwardAgent=yes",
                "`ForwardAgent` is an option of ssh that quorate does not have / leave it out; docs/connections.md names those that are read",
            ),
            ("-o ProxyJmp=a", "did you mean `ProxyJump`?"),
            ("-o Port", "`-o Port` has no value"),
            (
                "-o Port=ssh",
                "a port is a number from 1 to 65535, not `ssh`",
            ),
            (
                "-o 'HostKeyAlias=@cert-authority *'",
                "`HostKeyAlias` is a name in known_hosts, not `@cert-authority *`",
            ),
            ("-o HostKeyAlias=a,b", "not `a,b`"),
            ("-o 'HostKeyAlias=touch x #'", "not `touch x #`"),
            ("-p", "`-p` needs a value"),
            (
                "-o 'ProxyCommand=nc -x p %h %p'",
                "is not run: it is no `ssh -W` / quorate speaks SSH itself: use ProxyJump=",
            ),
            (
                "-o 'ProxyCommand=ssh b nc %h %p'",
                "is not run: it has no `-W %h:%p`",
            ),
            (
                "-o 'ProxyCommand=ssh -W %h:22 b'",
                "`-W` has to be `-W %h:%p`",
            ),
            (
                "-o 'ProxyCommand=ssh -D 5 -W %h:%p b'",
                "is not run: `-D` is an option",
            ),
            ("-J a,,b", "`` is no host to jump over"),
            (
                "-J -oProxyCommand=x",
                "`-oProxyCommand=x` is no host to jump over",
            ),
            ("-J 'a;b'", "is no host to jump over"),
            ("host", "`host` is no option of ssh"),
            ("-o 'a", "has a quote that is not closed"),
            ("-W %h:%p", "`-W` is an option of ssh"),
        ] {
            let error = error(text);
            assert!(error.contains(expected), "{text}: {error}");
        }
        // Every one of them is told.
        assert_eq!(SshArgs::parse("-A -t -o Tunnel=yes").1.len(), 3);
    }

    #[test]
    fn the_first_counts_and_keys_add_up() {
        let merged = args("-i a -p 1").or(args("-i b -p 2 -l me"));
        assert_eq!(merged.identity_files, ["a", "b"]);
        assert_eq!((merged.port, merged.user.as_deref()), (Some(1), Some("me")));
    }
}
