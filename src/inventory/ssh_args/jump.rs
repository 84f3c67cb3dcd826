//! Hosts to jump over: ProxyJump, and the ProxyCommands that are one.

use super::reader::Reader;
use super::{ArgError, JumpHost, SshArgs, port};
use crate::model::shlex;

/// Returns the hosts of a ProxyJump: `[user@]host[:port]` or `ssh://[user@]host[:port]`, with commas between them.
pub(super) fn proxy_jump(value: &str) -> Result<Vec<JumpHost>, ArgError> {
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
pub(super) fn proxy_command(value: &str) -> Result<Vec<JumpHost>, ArgError> {
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
