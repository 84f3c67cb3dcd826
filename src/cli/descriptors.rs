//! Open files: each connection is one, and a process may have so many.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::WrongInput;
use super::request::{Command, Request};
use super::run::wrong;
use crate::model::{Diagnostic, Diagnostics};

/// What a run opens beside its connections: the journal, the terminal, files of the inventory, the runtime's own, and
/// known_hosts and keys while they are read (seen in /proc/PID/fd: 20), with room for files that are sent.
const OWN: u64 = 64;

/// How many hosts a run may have.
#[derive(Debug, PartialEq)]
struct Fit {
    forks: usize,
    found: Diagnostics,
}

/// Raises what this process may have open to what it is allowed, and returns `-f` so that its connections fit. Says so where
/// it had to be made smaller, and refuses a run whose connections do not fit at all.
pub(super) fn fit(
    request: &Request,
    hosts: usize,
    stay: usize,
) -> Result<(usize, Diagnostics), WrongInput> {
    let limit = raised();
    // A run that may change a host keeps its connection, and with it the host's lock, to the end.
    let keeps = matches!(request.command, Command::Apply { .. }) && !request.check;
    let stay = if keeps { hosts } else { stay };
    let Fit { forks, found } = of(limit, request.forks.min(hosts.max(1)), hosts, stay)?;
    // What was asked for stays where it fits: it is compared with no number of hosts.
    Ok((
        if found.0.is_empty() {
            request.forks
        } else {
            forks
        },
        found,
    ))
}

/// Returns how many files this process may have open, after it was given as many as it is allowed.
fn raised() -> u64 {
    let now = getrlimit(Resource::Nofile);
    let wanted = Rlimit {
        current: now.maximum,
        maximum: now.maximum,
    };
    let limit = match setrlimit(Resource::Nofile, wanted) {
        Ok(()) => now.maximum,
        Err(_) => now.current,
    };
    // None is no limit.
    limit.unwrap_or(u64::MAX)
}

/// `stay` connections are held to the end, `forks` more may be opened beside them.
fn of(limit: u64, forks: usize, hosts: usize, stay: usize) -> Result<Fit, WrongInput> {
    let room = limit.saturating_sub(OWN);
    let (stay, wanted) = (stay as u64, forks as u64);
    if stay > room || room == 0 {
        let all = stay == hosts as u64;
        // Who does not stay is asked one after the other, if need be.
        let needed = if all { stay } else { stay + 1 } + OWN;
        let error = Diagnostic::error(format!(
            "{hosts} hosts need {needed} open files{}, and this process may have {limit}",
            if all { ", a connection each" } else { "" },
        ));
        let parts = if all {
            ", or take the hosts in parts: `--shard 0/2`, then `--shard 1/2`"
        } else {
            ""
        };
        let help = format!("raise the limit (`ulimit -n`; LimitNOFILE= of a unit){parts}");
        return Err(wrong(error.help(help)));
    }
    // While hosts are being connected to, those that stay are among them.
    let free = if stay == hosts as u64 {
        room
    } else {
        room - stay
    };
    if wanted <= free {
        return Ok(Fit {
            forks,
            found: Diagnostics::default(),
        });
    }
    let forks = free.max(1);
    let message = format!(
        "this process may have {limit} open files: {forks} hosts at once, and not {wanted}"
    );
    let warning = Diagnostic::warning(message).help("`ulimit -n` raises it");
    Ok(Fit {
        forks: usize::try_from(forks).unwrap_or(1),
        found: Diagnostics(vec![warning]),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_fit_into_what_is_allowed() {
        // Limit, -f, hosts, connections that stay; how many at once, or none.
        for (limit, forks, hosts, stay, expected) in [
            (u64::MAX, 50, 5000, 5000, Some((50, false))),
            (1024, 50, 1000, 3, Some((50, false))),
            (1024, 1000, 1000, 3, Some((957, true))),
            (1024, 50, 960, 960, Some((50, false))),
            (1024, 50, 961, 961, None),
            (100, 50, 1000, 3, Some((33, true))),
            (64, 50, 1, 0, None),
            (20, 50, 4, 3, None),
        ] {
            let found = of(limit, forks, hosts, stay).ok();
            let found = found.map(|fit| (fit.forks, !fit.found.0.is_empty()));
            assert_eq!(found, expected, "{limit} {forks} {hosts} {stay}");
        }
        let refused =
            |limit, hosts, stay| of(limit, 50, hosts, stay).unwrap_err().0.0[0].to_string();
        assert!(refused(64, 203, 3).contains("203 hosts need 68 open files, and"));
        assert!(refused(1024, 961, 961).contains("961 hosts need 1025 open files, a connection"));
    }
}
