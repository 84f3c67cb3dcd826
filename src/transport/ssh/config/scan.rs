//! Whether ssh's configuration files say anything of a host that quorate would read: `ssh -G` takes 13 ms, and most hosts stand
//! in no file. It errs on the side of asking.

use super::super::known_hosts::glob;
use crate::model::shlex;

/// Options that mean nothing to quorate, whatever they say: its own ciphers, no forwarding, no shared sockets, no terminal.
const MEANINGLESS: &[&str] = &[
    "addkeystoagent",
    "addressfamily",
    "batchmode",
    "checkhostip",
    "ciphers",
    "clearallforwardings",
    "compression",
    "connectionattempts",
    "controlmaster",
    "controlpath",
    "controlpersist",
    "escapechar",
    "forwardagent",
    "forwardx11",
    "forwardx11timeout",
    "forwardx11trusted",
    "gssapiauthentication",
    "gssapidelegatecredentials",
    "hashknownhosts",
    "hostkeyalgorithms",
    "ipqos",
    "kexalgorithms",
    "localforward",
    "loglevel",
    "macs",
    "numberofpasswordprompts",
    "permitlocalcommand",
    "preferredauthentications",
    "pubkeyacceptedalgorithms",
    "pubkeyacceptedkeytypes",
    "remoteforward",
    "requesttty",
    "sendenv",
    "serveralivecountmax",
    "setenv",
    "tcpkeepalive",
    "updatehostkeys",
    "visualhostkey",
    "xauthlocation",
];

/// What is known of the files that were read.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Scan {
    /// Something may hold for any host: it stands before the first `Host`, or behind a `Match`.
    always: bool,
    /// Patterns of the `Host` lines above options that are read.
    patterns: Vec<String>,
}

impl Scan {
    /// Takes a file's text; returns the patterns of its `Include` lines.
    pub(super) fn add(&mut self, text: &str) -> Vec<String> {
        let mut includes = Vec::new();
        // The patterns of the block; `None` is any host.
        let mut block: Option<Vec<String>> = None;
        for line in text.lines() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (name, value) = line
                .split_once(|c: char| c.is_whitespace() || c == '=')
                .unwrap_or((line, ""));
            let value = value.trim_start_matches(|c: char| c == '=' || c.is_whitespace());
            match name.to_ascii_lowercase().as_str() {
                "host" => {
                    block = shlex::split(value).map(|patterns| {
                        let positive = patterns.into_iter().filter(|p| !p.starts_with('!'));
                        positive.map(|p| p.to_ascii_lowercase()).collect()
                    });
                }
                "match" => block = None,
                // What it includes may begin with options of its own, which hold where this block does.
                "include" => match shlex::split(value) {
                    Some(names) => includes.extend(names),
                    None => self.always = true,
                },
                name if MEANINGLESS.contains(&name) => {}
                _ => match &block {
                    Some(patterns) => self.patterns.extend(patterns.iter().cloned()),
                    None => self.always = true,
                },
            }
        }
        includes
    }

    /// Says that a file could not be looked at: ssh has to be asked.
    pub(super) fn give_up(&mut self) {
        self.always = true;
    }

    /// Returns whether ssh may have something to say of the host.
    pub(super) fn concerns(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        self.always || self.patterns.iter().any(|pattern| glob(pattern, &host))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_asked_for_where_something_may_hold_for_it() {
        // Debian's own file, and others.
        for (text, host, expected) in [
            ("", "a", false),
            (
                "Include /etc/ssh/ssh_config.d/*.conf\nHost *\n    SendEnv LANG LC_*\n    HashKnownHosts yes\n    GSSAPIAuthentication yes\n",
                "a",
                false,
            ),
            (
                "Host github.com\n  IdentityFile ~/.ssh/github\n",
                "cp1",
                false,
            ),
            (
                "Host github.com\n  IdentityFile ~/.ssh/github\n",
                "GitHub.com",
                true,
            ),
            ("host=cp*\n\tuser=root\n", "cp1", true),
            ("Host cp* !cp1\n  User root\n", "cp2", true),
            ("Host !cp1\n  User root\n", "cp2", false),
            ("Host \"cp 1\" 10.0.0.?\nPort 22\n", "10.0.0.7", true),
            (
                "Host cp*\n  ForwardAgent yes\nHost w*\n  User root",
                "cp1",
                false,
            ),
            ("User root\nHost nowhere\n", "cp1", true),
            ("Host nowhere\nMatch user bob\n  Port 23\n", "cp1", true),
            (
                "Host nowhere\nMatch exec \"true\"\n  SendEnv X\n",
                "cp1",
                false,
            ),
            ("Host nowhere\nMatch all\nProxyJump b\n", "cp1", true),
            // What nobody knows may matter.
            ("Host *\n  SomethingNew yes\n", "cp1", true),
            ("Host 'a\n  Port 3\n", "cp1", true),
        ] {
            let mut scan = Scan::default();
            scan.add(text);
            assert_eq!(scan.concerns(host), expected, "{host}: {text}");
        }
    }

    #[test]
    fn includes_are_named() {
        let mut scan = Scan::default();
        let includes = scan.add("Include a \"b c\"\nHost x\n  Include ~/d/*\n");
        assert_eq!(includes, ["a", "b c", "~/d/*"]);
        assert!(!scan.concerns("y"));
        scan.add("Port 22\n");
        assert!(scan.concerns("y"));
    }
}
