//! Options of `ssh`, as ansible_ssh_common_args and a ProxyCommand have them: those that say how a host is reached are read,
//! those that change nothing for quorate are passed over, and the rest is refused by name.

use crate::model::shlex;

/// Options of ssh_config(5) without effect on quorate, which keeps one connection of its own per host, asks nothing on the
/// way and has its own output.
const HARMLESS: &[&str] = &[
    "batchmode",
    "checkhostip",
    "compression",
    "connectionattempts",
    "controlmaster",
    "controlpath",
    "controlpersist",
    "exitonforwardfailure",
    "gssapiauthentication",
    "gssapidelegatecredentials",
    "hashknownhosts",
    "kbdinteractiveauthentication",
    "loglevel",
    "passwordauthentication",
    "preferredauthentications",
    "pubkeyauthentication",
    "sendenv",
    "serveralivecountmax",
    "tcpkeepalive",
    "updatehostkeys",
    "verifyhostkeydns",
    "visualhostkey",
];

/// Options that are read, for the nearest name.
const READ: &[&str] = &[
    "CertificateFile",
    "ConnectTimeout",
    "GlobalKnownHostsFile",
    "HostKeyAlias",
    "HostName",
    "IdentitiesOnly",
    "IdentityAgent",
    "IdentityFile",
    "Port",
    "ProxyCommand",
    "ProxyJump",
    "ServerAliveInterval",
    "StrictHostKeyChecking",
    "User",
    "UserKnownHostsFile",
];

/// Flags of ssh(1) without a value and without effect on quorate.
const HARMLESS_FLAGS: &str = "4CKTakqnvxy";

/// Flags of ssh(1) with a value that are read; `-W` in a ProxyCommand alone.
const READ_FLAGS: &str = "FJilop";

/// Flags of ssh(1) with a value that are not.
const OTHER_FLAGS: &str = "BDEILOQRSWbcemw";

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
    /// Whether it is asked for by a ProxyCommand: then ~/.ssh/config counts for it as for a call of its own.
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
            "hostkeyalias" => first(&mut self.host_key_alias, value.to_owned()),
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

/// Returns the hosts of a ProxyJump: `[user@]host[:port]` or `ssh://[user@]host[:port]`, with commas between them.
fn proxy_jump(value: &str) -> Result<Vec<JumpHost>, ArgError> {
    if value.eq_ignore_ascii_case("none") {
        return Ok(Vec::new());
    }
    let jump = |text: &str| {
        let (host, args) = destination(text, true)?;
        Ok(JumpHost {
            host,
            args,
            by_command: false,
        })
    };
    value.split(',').map(|text| jump(text.trim())).collect()
}

/// Returns the host and what is said of it in `[user@]host`, with `[:port]` where that may be.
fn destination(text: &str, with_port: bool) -> Result<(String, SshArgs), ArgError> {
    let wrong = || {
        ArgError::new(
            format!("`{text}` is no host to jump over"),
            "write [USER@]HOST[:PORT]",
        )
    };
    let (bare, with_port) = match text.strip_prefix("ssh://") {
        Some(rest) => (rest.trim_end_matches('/'), true),
        None => (text, with_port),
    };
    let (user, place) = match bare.rsplit_once('@') {
        Some((user, place)) => (Some(user), place),
        None => (None, bare),
    };
    let (host, number) = match place.strip_prefix('[').and_then(|p| p.split_once(']')) {
        Some((host, "")) => (host, None),
        Some((host, rest)) => (host, Some(rest.strip_prefix(':').ok_or_else(wrong)?)),
        None if with_port && place.matches(':').count() == 1 => match place.split_once(':') {
            Some((host, number)) => (host, Some(number)),
            None => (place, None),
        },
        None => (place, None),
    };
    let unfit = |c: char| c.is_whitespace() || c.is_control() || "/@[]\"'`$&;|<>(){}\\".contains(c);
    if host.is_empty()
        || host.starts_with('-')
        || host.contains(unfit)
        || user.is_some_and(|user| user.is_empty() || user.starts_with('-'))
    {
        return Err(wrong());
    }
    let args = SshArgs {
        user: user.map(str::to_owned),
        port: number.map(port).transpose()?,
        ..SshArgs::default()
    };
    Ok((host.to_owned(), args))
}

/// Returns the jump host of a command that does nothing but reach the target over one: `ssh -W %h:%p [options] HOST`.
fn proxy_command(value: &str) -> Result<Vec<JumpHost>, ArgError> {
    if value.eq_ignore_ascii_case("none") {
        return Ok(Vec::new());
    }
    let refuse = |why: &str| {
        ArgError::new(
            format!("the ProxyCommand `{value}` is not run: {why}"),
            "quorate speaks SSH itself: use ProxyJump=[USER@]HOST[:PORT] for a host to jump over",
        )
    };
    let words = shlex::split(value).ok_or_else(|| refuse("a quote is not closed"))?;
    let mut words: &[String] = &words;
    if words.first().is_some_and(|word| word == "exec") {
        words = words.get(1..).unwrap_or_default();
    }
    let Some((program, words)) = words.split_first() else {
        return Err(refuse("it is empty"));
    };
    if program.rsplit('/').next() != Some("ssh") {
        return Err(refuse("it is no `ssh -W`"));
    }
    let mut errors = Vec::new();
    let mut reader = Reader::new(words, true);
    reader.run(&mut errors);
    if let Some(error) = errors.into_iter().next() {
        return Err(refuse(&error.message));
    }
    match reader.forward.as_deref() {
        Some("%h:%p" | "[%h]:%p") => {}
        Some(_) => return Err(refuse("`-W` has to be `-W %h:%p`")),
        None => return Err(refuse("it has no `-W %h:%p`")),
    }
    let [host] = reader.rest.as_slice() else {
        return Err(refuse("one host and no command stands in it"));
    };
    let (host, own) = destination(host, false)?;
    Ok(vec![JumpHost {
        host,
        args: own.or(reader.args),
        by_command: true,
    }])
}

/// Reads words as ssh(1) does: options may stand behind the host too.
struct Reader<'w> {
    words: std::slice::Iter<'w, String>,
    /// Whether this is a ProxyCommand's ssh, which has `-W` and a host.
    within: bool,
    args: SshArgs,
    forward: Option<String>,
    rest: Vec<String>,
}

impl<'w> Reader<'w> {
    fn new(words: &'w [String], within: bool) -> Self {
        Self {
            words: words.iter(),
            within,
            args: SshArgs::default(),
            forward: None,
            rest: Vec::new(),
        }
    }

    fn run(&mut self, errors: &mut Vec<ArgError>) {
        while let Some(word) = self.words.next() {
            let Some(flags) = word.strip_prefix('-').filter(|flags| !flags.is_empty()) else {
                self.rest.push(word.clone());
                continue;
            };
            if flags == "-" {
                self.rest.extend(self.words.by_ref().cloned());
                break;
            }
            if let Err(error) = self.flags(flags) {
                errors.push(error);
            }
        }
    }

    /// Takes a word of flags: `-q`, `-qi FILE`, `-oPort=22`.
    fn flags(&mut self, flags: &str) -> Result<(), ArgError> {
        for (at, flag) in flags.char_indices() {
            if HARMLESS_FLAGS.contains(flag) {
                continue;
            }
            let is_read = READ_FLAGS.contains(flag) || (self.within && flag == 'W');
            let value = if is_read || OTHER_FLAGS.contains(flag) {
                let joined = flags.get(at + flag.len_utf8()..);
                let joined = joined.filter(|rest| !rest.is_empty()).map(str::to_owned);
                joined.or_else(|| self.words.next().cloned())
            } else {
                None
            };
            if !is_read {
                return Err(ArgError::new(
                    format!("`-{flag}` is an option of ssh that quorate does not have"),
                    "leave it out; -o, -i, -p, -l, -J and -F are read",
                ));
            }
            let Some(value) = value else {
                return Err(ArgError::new(
                    format!("`-{flag}` needs a value"),
                    "look for a slip of the pen",
                ));
            };
            return self.valued(flag, &value);
        }
        Ok(())
    }

    fn valued(&mut self, flag: char, value: &str) -> Result<(), ArgError> {
        let name = match flag {
            'o' => return self.option(value),
            'F' => {
                first(&mut self.args.config, value.to_owned());
                return Ok(());
            }
            'W' => {
                self.forward = Some(value.to_owned());
                return Ok(());
            }
            'i' => "IdentityFile",
            'p' => "Port",
            'l' => "User",
            _ => "ProxyJump",
        };
        self.args.set(name, value).map(drop)
    }

    /// Takes `Name=Value` or `Name Value`.
    fn option(&mut self, text: &str) -> Result<(), ArgError> {
        let text = text.trim();
        let (name, value) = text
            .split_once(|c: char| c == '=' || c.is_whitespace())
            .unwrap_or((text, ""));
        let value = value.trim_start_matches(|c: char| c == '=' || c.is_whitespace());
        let value = value
            .strip_prefix('"')
            .and_then(|value| value.strip_suffix('"'))
            .unwrap_or(value);
        if value.is_empty() {
            return Err(ArgError::new(
                format!("`-o {text}` has no value"),
                "write -o Name=Value",
            ));
        }
        if self.args.set(name, value)? || HARMLESS.contains(&name.to_ascii_lowercase().as_str()) {
            return Ok(());
        }
        let help = match crate::model::nearest(name, READ.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("leave it out; {} are read", READ.join(", ")),
        };
        Err(ArgError::new(
            format!("`{name}` is an option of ssh that quorate does not have"),
            help,
        ))
    }
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
                "`ForwardAgent` is an option of ssh that quorate does not have / leave it out; CertificateFile, ConnectTimeout,",
            ),
            ("-o ProxyJmp=a", "did you mean `ProxyJump`?"),
            ("-o Port", "`-o Port` has no value"),
            (
                "-o Port=ssh",
                "a port is a number from 1 to 65535, not `ssh`",
            ),
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
