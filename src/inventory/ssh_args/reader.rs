//! The words of a command line of ssh(1).

use super::{ArgError, SshArgs, first};
use crate::model::nearest;

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

/// Reads words as ssh(1) does: options may stand behind the host too.
pub(super) struct Reader<'w> {
    words: std::slice::Iter<'w, String>,
    /// Whether this is a ProxyCommand's ssh, which has `-W` and a host.
    within: bool,
    pub(super) args: SshArgs,
    /// The value of `-W`.
    pub(super) forward: Option<String>,
    /// What is no option: the host, a command.
    pub(super) rest: Vec<String>,
}

impl<'w> Reader<'w> {
    pub(super) fn new(words: &'w [String], within: bool) -> Self {
        Self {
            words: words.iter(),
            within,
            args: SshArgs::default(),
            forward: None,
            rest: Vec::new(),
        }
    }

    pub(super) fn run(&mut self, errors: &mut Vec<ArgError>) {
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
        let help = match nearest(name, READ.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "leave it out; docs/connections.md names those that are read".to_owned(),
        };
        Err(ArgError::new(
            format!("`{name}` is an option of ssh that quorate does not have"),
            help,
        ))
    }
}
