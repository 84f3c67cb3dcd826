//! What `ssh -G HOST` prints: one option a line, in lower case, with ssh's defaults for all that nothing was said of.

use crate::inventory::ssh_args::{ArgError, SshArgs};

/// The identity files that ssh tries by itself (ssh_config(5), IdentityFile; those of older versions too).
const USUAL_KEYS: &[&str] = &[
    "~/.ssh/id_rsa",
    "~/.ssh/id_ecdsa",
    "~/.ssh/id_ecdsa_sk",
    "~/.ssh/id_ed25519",
    "~/.ssh/id_ed25519_sk",
    "~/.ssh/id_xmss",
    "~/.ssh/id_dsa",
];

/// Among ssh's own identity files since 8.2, and hardly ever in a list that somebody has written.
const USUAL_SIGN: &str = "~/.ssh/id_ecdsa_sk";

/// ssh's own GlobalKnownHostsFile.
const SYSTEM_KNOWN_HOSTS: &str = "/etc/ssh/ssh_known_hosts /etc/ssh/ssh_known_hosts2";

/// Options that say whom to trust and that quorate does not read, with what to do instead.
const UNREAD: &[(&str, &str)] = &[
    (
        "revokedhostkeys",
        "name revoked keys in known_hosts, with the marker @revoked",
    ),
    (
        "knownhostscommand",
        "write the keys that it prints into a known_hosts file",
    ),
];

/// What ssh says of a host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Answer {
    /// What is set. Its defaults are left out, but for `user`, `port` and `host_name`, which ssh always gives.
    pub(super) args: SshArgs,
    /// Options about host keys that are not read: name and what to do.
    pub(super) unread: Vec<(&'static str, &'static str)>,
}

/// Returns what the lines say.
///
/// # Errors
/// An option asks for what quorate does not do: a program as ProxyCommand.
pub(super) fn parse(text: &str) -> Result<Answer, ArgError> {
    let lines = || {
        text.lines()
            .filter_map(|line| line.trim_end().split_once(' '))
            .map(|(name, value)| (name, value.trim()))
    };
    let keys: Vec<&str> = lines()
        .filter(|(name, _)| *name == "identityfile")
        .map(|(_, value)| value)
        .collect();
    let usual = keys.contains(&USUAL_SIGN) && keys.iter().all(|key| USUAL_KEYS.contains(key));
    // Newer versions may print the command that they have made of it as well.
    let has_jump = lines().any(|(name, _)| name == "proxyjump");
    let mut answer = Answer::default();
    for (name, value) in lines() {
        let is_default = match name {
            "identityfile" => usual,
            "proxycommand" => has_jump,
            "userknownhostsfile" => is_usual_known_hosts(value),
            "globalknownhostsfile" => value == SYSTEM_KNOWN_HOSTS,
            "stricthostkeychecking" => value == "ask",
            "connecttimeout" => value == "none" || value == "0",
            "serveraliveinterval" => value == "0",
            "identitiesonly" => value == "no" || value == "false",
            _ => false,
        };
        if is_default {
            continue;
        }
        answer.args.set(name, value)?;
        let unread = UNREAD.iter().find(|(unread, _)| *unread == name);
        answer
            .unread
            .extend(unread.filter(|_| !value.eq_ignore_ascii_case("none")));
    }
    Ok(answer)
}

/// ssh prints them with the home it found.
fn is_usual_known_hosts(value: &str) -> bool {
    let Some((first, second)) = value.split_once(' ') else {
        return false;
    };
    let home = first.strip_suffix("/.ssh/known_hosts");
    home.is_some() && home == second.strip_suffix("/.ssh/known_hosts2")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::ssh_args::{JumpHost, StrictHostKeys};

    /// What OpenSSH 9.2 prints of a host that nothing is said of, without the lists of algorithms.
    const NOTHING: &str = "\
host nothing
user root
hostname nothing
port 22
addressfamily any
batchmode no
canonicalizefallbacklocal yes
identitiesonly no
proxyusefdpass no
stricthostkeychecking ask
tcpkeepalive yes
serveralivecountmax 3
serveraliveinterval 0
identityfile ~/.ssh/id_rsa
identityfile ~/.ssh/id_ecdsa
identityfile ~/.ssh/id_ecdsa_sk
identityfile ~/.ssh/id_ed25519
identityfile ~/.ssh/id_ed25519_sk
identityfile ~/.ssh/id_xmss
identityfile ~/.ssh/id_dsa
canonicaldomains none
globalknownhostsfile /etc/ssh/ssh_known_hosts /etc/ssh/ssh_known_hosts2
userknownhostsfile /root/.ssh/known_hosts /root/.ssh/known_hosts2
sendenv LANG
sendenv LC_*
connecttimeout none
escapechar ~
ipqos lowdelay throughput
";

    fn always() -> SshArgs {
        SshArgs {
            user: Some("root".into()),
            host_name: Some("nothing".into()),
            port: Some(22),
            ..SshArgs::default()
        }
    }

    #[test]
    fn defaults_say_nothing() {
        let answer = parse(NOTHING);
        let expected = Answer {
            args: always(),
            unread: Vec::new(),
        };
        assert_eq!(answer, Ok(expected));
    }

    #[test]
    fn what_is_set_is_read() {
        let set = |lines: &str, change: fn(&mut SshArgs)| {
            let mut expected = always();
            change(&mut expected);
            // ssh prints an option once: what is set stands in place of its default.
            let names: Vec<&str> = lines.lines().filter_map(|l| l.split(' ').next()).collect();
            let rest = NOTHING
                .lines()
                .filter(|line| !names.contains(&line.split(' ').next().unwrap_or_default()))
                .fold(String::new(), |all, line| all + line + "\n");
            let answer = parse(&(rest + lines)).map(|answer| answer.args);
            assert_eq!(answer, Ok(expected), "{lines}");
        };
        set("hostname 10.0.0.1", |a| {
            a.host_name = Some("10.0.0.1".into())
        });
        set("user bob", |a| a.user = Some("bob".into()));
        set("port 2222", |a| a.port = Some(2222));
        set("identityfile ~/.ssh/id_ed25519", |a| {
            a.identity_files = vec!["~/.ssh/id_ed25519".into()];
        });
        set("identityfile ~/.ssh/a b\nidentityfile /tmp/%r", |a| {
            a.identity_files = vec!["~/.ssh/a b".into(), "/tmp/%r".into()];
        });
        set("identityfile none", |_| {});
        set("certificatefile ~/.ssh/a-cert.pub", |a| {
            a.certificate_files = vec!["~/.ssh/a-cert.pub".into()];
        });
        set("identitiesonly yes", |a| a.identities_only = Some(true));
        set("identityagent none", |a| {
            a.identity_agent = Some("none".into())
        });
        set("stricthostkeychecking false", |a| {
            a.strict_host_keys = Some(StrictHostKeys::AcceptNew);
        });
        set("stricthostkeychecking true", |a| {
            a.strict_host_keys = Some(StrictHostKeys::Yes);
        });
        set("userknownhostsfile /dev/null", |a| {
            a.user_known_hosts = Some(vec!["/dev/null".into()]);
        });
        set("userknownhostsfile none", |a| {
            a.user_known_hosts = Some(vec![])
        });
        set("globalknownhostsfile /a /b", |a| {
            a.global_known_hosts = Some(vec!["/a".into(), "/b".into()]);
        });
        set("hostkeyalias al", |a| a.host_key_alias = Some("al".into()));
        set("connecttimeout 5\nserveraliveinterval 7", |a| {
            a.connect_timeout = Some(5);
            a.alive_interval = Some(7);
        });
        set("proxyjump u@b1:2201,b2\nproxycommand ssh -J x", |a| {
            let jump = |host: &str, user: Option<&str>, port| JumpHost {
                host: host.into(),
                args: SshArgs {
                    user: user.map(str::to_owned),
                    port,
                    ..SshArgs::default()
                },
                by_command: false,
            };
            a.jumps = Some(vec![
                jump("b1", Some("u"), Some(2201)),
                jump("b2", None, None),
            ]);
        });
    }

    #[test]
    fn what_cannot_be_done_is_said() {
        let text = format!("{NOTHING}proxycommand nc -X connect %h %p\n");
        let error = parse(&text).map_err(|error| error.message);
        assert_eq!(
            error,
            Err("the ProxyCommand `nc -X connect %h %p` is not run: it is no `ssh -W`".into())
        );
        let text = format!("{NOTHING}revokedhostkeys /etc/ssh/revoked\n");
        let unread = parse(&text).map(|answer| answer.unread.first().map(|u| u.0));
        assert_eq!(unread, Ok(Some("revokedhostkeys")));
        // No line breaks the reader.
        assert!(parse("\n \nuser\n\u{0}\n=\nport 1 2").is_err());
    }
}
