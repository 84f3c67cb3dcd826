//! From answers about single hosts to the whole way over jump hosts.

use std::collections::HashMap;
use std::fmt;

use camino::Utf8PathBuf;

use super::SshConfig;
use super::answer::Answer;
use crate::inventory::ssh_args::{ArgError, JumpHost, SshArgs};

/// How many hosts may lie on the way: more of them are a mistake.
const LONGEST: usize = 8;

/// A question to ssh.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Query {
    pub(super) file: SshConfig,
    pub(super) host: String,
    pub(super) user: Option<String>,
    pub(super) port: Option<u16>,
}

/// A host on the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hop {
    pub(super) host: String,
    pub(super) args: SshArgs,
}

/// How far the answers lead.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// To the host: the hosts before it, and itself as the last.
    Whole(Vec<Hop>),
    /// To these questions.
    Missing(Vec<Query>),
    /// To a host that ssh has no answer for, which was told.
    Lost,
}

impl fmt::Display for SshConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Own => f.write_str("ssh's configuration"),
            Self::File(file) => write!(f, "{file}"),
            Self::None => f.write_str("no configuration"),
        }
    }
}

/// Returns the way to a host, as far as it is known.
///
/// # Errors
/// The way leads in a circle, or over too many hosts.
pub(super) fn route(
    config: &SshConfig,
    host: &str,
    args: &SshArgs,
    answers: &HashMap<Query, Option<Answer>>,
) -> Result<Route, ArgError> {
    let mut walk = Walk {
        answers,
        missing: Vec::new(),
        lost: false,
    };
    let hops = walk.to(config, host, args, false, &mut Vec::new())?;
    if !walk.missing.is_empty() {
        return Ok(Route::Missing(walk.missing));
    }
    Ok(if walk.lost {
        Route::Lost
    } else {
        Route::Whole(hops)
    })
}

struct Walk<'a> {
    answers: &'a HashMap<Query, Option<Answer>>,
    missing: Vec<Query>,
    lost: bool,
}

impl Walk<'_> {
    /// Returns the hosts to jump over and the host itself. Behind another jump host (`direct`) its own way does not count.
    fn to(
        &mut self,
        config: &SshConfig,
        host: &str,
        args: &SshArgs,
        direct: bool,
        trail: &mut Vec<Query>,
    ) -> Result<Vec<Hop>, ArgError> {
        let file = match args.config.as_deref() {
            // `--ssh-config none` is for all that anybody else says.
            _ if *config == SshConfig::None => SshConfig::None,
            None => config.clone(),
            Some(none) if none.eq_ignore_ascii_case("none") || none == "/dev/null" => {
                SshConfig::None
            }
            Some(path) => SshConfig::File(home(path)),
        };
        let query = Query {
            file,
            host: host.to_owned(),
            user: args.user.clone(),
            port: args.port,
        };
        if trail.contains(&query) {
            return Err(ArgError {
                message: format!("the jump host `{host}` is reached over itself"),
                help: format!("leave it out of the pattern that names it: Host * !{host}"),
            });
        }
        if trail.len() > LONGEST {
            return Err(ArgError {
                message: format!("more than {LONGEST} jump hosts lie on the way"),
                help: "look at ProxyJump of each of them".into(),
            });
        }
        let Some(answer) = self.answers.get(&query) else {
            self.missing.push(query);
            return Ok(Vec::new());
        };
        let Some(answer) = answer else {
            self.lost = true;
            return Ok(Vec::new());
        };
        let merged = args.clone().or(answer.args.clone());
        let mut hops = Vec::new();
        let jumps = merged.jumps.as_deref().filter(|_| !direct);
        trail.push(query);
        for (at, jump) in jumps.unwrap_or_default().iter().enumerate() {
            let args = jump_args(jump, host, &merged);
            // ssh hands its `-F` on to the jump hosts of ProxyJump; a command has its own.
            let config = match trail.last() {
                Some(query) if !jump.by_command => &query.file,
                _ => config,
            };
            hops.extend(self.to(&config.clone(), &jump.host, &args, at > 0, trail)?);
        }
        trail.pop();
        hops.push(Hop {
            host: host.to_owned(),
            args: merged,
        });
        Ok(hops)
    }
}

/// Returns what is said of a jump host, with a command's `%r` replaced.
fn jump_args(jump: &JumpHost, host: &str, of: &SshArgs) -> SshArgs {
    let mut args = jump.args.clone();
    if jump.by_command
        && let Some(user) = args.user.take()
    {
        let login = of
            .user
            .clone()
            .unwrap_or_else(super::super::place::own_user);
        args.user = Some(user.replace("%r", &login).replace("%n", host));
    }
    args
}

fn home(path: &str) -> Utf8PathBuf {
    super::super::place::in_home(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(text: &str) -> SshArgs {
        let (args, errors) = SshArgs::parse(text);
        assert_eq!(errors, []);
        args
    }

    /// Answers as if these hosts stood in ssh's configuration, each with options; all other hosts are unknown to it.
    fn ask(config: &[(&str, &str)], host: &str, own: &str) -> Result<String, String> {
        let mut answers = HashMap::new();
        for _ in 0..20 {
            match route(&SshConfig::Own, host, &args(own), &answers) {
                Ok(Route::Missing(queries)) => {
                    assert!(!queries.is_empty());
                    for query in queries {
                        let said = config.iter().find(|(name, _)| *name == query.host);
                        let said = said.filter(|_| query.file == SshConfig::Own);
                        let answer = Answer {
                            args: said.map_or_else(SshArgs::default, |(_, text)| args(text)),
                            unread: Vec::new(),
                        };
                        assert_eq!(answers.insert(query, Some(answer)), None);
                    }
                }
                Ok(Route::Whole(hops)) => {
                    let mut all = String::new();
                    for hop in &hops {
                        if let Some(user) = &hop.args.user {
                            all += &format!("{user}@");
                        }
                        all += hop.args.host_name.as_deref().unwrap_or(&hop.host);
                        if let Some(port) = hop.args.port {
                            all += &format!(":{port}");
                        }
                        all += " ";
                    }
                    return Ok(all.trim_end().to_owned());
                }
                Ok(Route::Lost) => return Err("lost".into()),
                Err(error) => return Err(error.message),
            }
        }
        Err("no end".into())
    }

    #[test]
    fn the_way_leads_over_jump_hosts() {
        let config: &[(&str, &str)] = &[
            ("cp1", "-J bastion -o HostName=10.0.0.1 -l conf"),
            ("bastion", "-o HostName=192.0.2.1 -p 2222 -l jump"),
            ("inner", "-J bastion -l in"),
            ("two", "-J bastion,inner"),
            ("deep", "-J inner"),
            ("self", "-J self"),
            ("a", "-J b"),
            ("b", "-J a"),
        ];
        let ok = |text: &str| Ok(text.to_owned());
        for (host, own, expected) in [
            ("plain", "", ok("plain")),
            ("plain", "-l me -p 5", ok("me@plain:5")),
            // The configuration's own, and what wins over it.
            ("cp1", "", ok("jump@192.0.2.1:2222 conf@10.0.0.1")),
            ("cp1", "-l me -J none", ok("me@10.0.0.1")),
            ("cp1", "-J x@other:7", ok("x@other:7 conf@10.0.0.1")),
            // A list: the second is reached over the first, whatever stands in its own block.
            ("two", "", ok("jump@192.0.2.1:2222 in@inner two")),
            // A jump host with a jump host.
            ("deep", "", ok("jump@192.0.2.1:2222 in@inner deep")),
            (
                "plain",
                "-o 'ProxyCommand=ssh -q -W %h:%p inner' -l me",
                ok("jump@192.0.2.1:2222 in@inner me@plain"),
            ),
            (
                "plain",
                "-o 'ProxyCommand=ssh -F none -W %h:%p %r@inner' -l me",
                ok("me@inner me@plain"),
            ),
            ("cp1", "-F none", ok("cp1")),
            (
                "self",
                "",
                Err("the jump host `self` is reached over itself".into()),
            ),
            (
                "a",
                "",
                Err("the jump host `a` is reached over itself".into()),
            ),
        ] {
            assert_eq!(ask(config, host, own), expected, "{host} {own}");
        }
    }
}
