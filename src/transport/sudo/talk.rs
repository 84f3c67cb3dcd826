//! Telling sudo's words from the command's, and what they mean.

use crate::transport::Chunk;

/// How much is kept of what comes before the marker: more than any lecture or login message.
const KEPT: usize = 64 << 10;

pub(super) const WRONG_PASSWORD: &str = "sudo does not accept the password";
pub(super) const WRONG_PASSWORD_HELP: &str = "correct ansible_become_password";

/// What sudo did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    /// It has asked for the password, so often in all.
    Prompts(u32),
    /// It has started the command.
    Ready,
}

/// One stream, up to its marker.
#[derive(Debug, Default)]
struct Stream {
    held: Vec<u8>,
    open: bool,
}

impl Stream {
    /// Returns what of the stream belongs to the command.
    fn hear(&mut self, bytes: Vec<u8>, line: &[u8]) -> Vec<u8> {
        if self.open {
            return bytes;
        }
        self.held.extend_from_slice(&bytes);
        if let Some(at) = find(&self.held, line) {
            self.open = true;
            let rest = self.held.split_off(at + line.len());
            self.held.truncate(at);
            return rest;
        }
        let excess = self.held.len().saturating_sub(KEPT);
        self.held.drain(..excess);
        Vec::new()
    }
}

/// What has been said before the command began.
#[derive(Debug)]
pub(super) struct Talk {
    line: Vec<u8>,
    prompt: String,
    shell: String,
    missing: String,
    out: Stream,
    err: Stream,
    prompts: u32,
    begun: bool,
}

impl Talk {
    pub(super) fn new(marker: &str) -> Self {
        Self {
            line: format!("{marker}\n").into_bytes(),
            prompt: format!("{marker}-password:"),
            shell: format!("{marker}-shell\n"),
            missing: format!("{marker}-missing"),
            out: Stream::default(),
            err: Stream::default(),
            prompts: 0,
            begun: false,
        }
    }

    /// Returns whether the login shell has run our script, which looks for sudo.
    pub(super) fn has_begun(&self) -> bool {
        // Once the command's own output begins nothing more is held.
        self.begun || self.out.open
    }

    /// Returns whether the command has begun.
    pub(super) fn is_ready(&self) -> bool {
        self.out.open
    }

    /// Returns what of the chunk belongs to the command, and what it shows.
    pub(super) fn hear(&mut self, chunk: Chunk) -> (Option<Chunk>, Option<Event>) {
        match chunk {
            Chunk::Stdout(bytes) => {
                let before = self.out.open;
                let own = self.out.hear(bytes, &self.line);
                let event = (!before && self.out.open).then_some(Event::Ready);
                (some(own).map(Chunk::Stdout), event)
            }
            Chunk::Stderr(bytes) => {
                if self.err.open {
                    return (Some(Chunk::Stderr(bytes)), None);
                }
                let own = self.err.hear(bytes, &self.line);
                let text = String::from_utf8_lossy(&self.err.held);
                self.begun |= text.contains(&self.shell);
                let prompts = u32::try_from(text.matches(&self.prompt).count()).unwrap_or(u32::MAX);
                let event = (prompts > self.prompts).then_some(Event::Prompts(prompts));
                self.prompts = self.prompts.max(prompts);
                (some(own).map(Chunk::Stderr), event)
            }
            sent @ Chunk::Sent(_) => (Some(sent), None),
        }
    }

    /// Returns why the login shell did not run our script, and what to do.
    pub(super) fn shell_verdict(&self, login: &str, status: u32) -> (String, String) {
        let mut said = last_line(&String::from_utf8_lossy(&self.err.held));
        if said.is_empty() {
            said = last_line(&String::from_utf8_lossy(&self.out.held));
        }
        let said = if said.is_empty() {
            format!("it ended without a word (exit status {status})")
        } else {
            format!("it said `{said}`")
        };
        let help = if said.contains("restricted") {
            format!(
                "it is a restricted one: give {login} another one on the host (usermod -s /bin/bash {login}), or log in as another user"
            )
        } else {
            format!(
                "on the host, `getent passwd {login}` shows its shell, and `su {login} -c true` tries it: it has to run a command, and its start-up files (~/.bashrc) must not end it"
            )
        };
        (
            format!("the login shell did not run the command: {said}"),
            help,
        )
    }

    /// Returns why the command did not begin, and what to do, from what sudo (or the login shell) said.
    pub(super) fn verdict(&self, login: &str, user: &str, password: bool) -> (String, String) {
        let text = String::from_utf8_lossy(&self.err.held)
            .replace(&self.prompt, "")
            .replace(&self.shell, "");
        let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
        let (reason, help): (String, String) = if text.contains(&self.missing) {
            (
                format!("{login} is not {user}, and sudo is not installed"),
                format!("install sudo on the host, or log in as {user}"),
            )
        } else if has(&["must have a tty", "no tty present"]) {
            (
                "sudo wants a terminal (requiretty), and a terminal would garble what is sent"
                    .into(),
                format!("add to sudoers: Defaults:{login} !requiretty"),
            )
        } else if has(&[
            "incorrect password",
            "Sorry, try again",
            "Authentication failed",
        ]) {
            (WRONG_PASSWORD.into(), WRONG_PASSWORD_HELP.into())
        } else if has(&[
            "is not in the sudoers file",
            "is not allowed to",
            "may not run sudo",
            "I'm sorry",
            "not allowed to execute",
        ]) {
            (
                format!("sudoers does not let {login} run commands as {user}"),
                format!("add to sudoers: {login} ALL=(ALL:ALL) ALL"),
            )
        } else if has(&[
            "a password is required",
            "a terminal is required",
            "interactive authentication is required",
        ]) && !password
        {
            (
                "sudo wants a password (or has no rule for this user)".into(),
                format!(
                    "set ansible_become_password, or add to sudoers: {login} ALL=(ALL:ALL) NOPASSWD: ALL"
                ),
            )
        } else if has(&["unknown user"]) {
            (
                format!("the host has no user {user}"),
                "correct ansible_become_user".into(),
            )
        } else if has(&["no new privileges", "setuid bit", "effective uid is not 0"]) {
            (
                last_line(&text),
                "sudo cannot gain rights there: look at its file mode, nosuid mounts and NoNewPrivileges".into(),
            )
        } else {
            let said = match last_line(&text) {
                empty if empty.is_empty() => last_line(&String::from_utf8_lossy(&self.out.held)),
                line => line,
            };
            let attempt = format!("try on the host, as {login}: sudo -u {user} true");
            if said.is_empty() {
                let help = format!(
                    "{attempt}; where that goes, a start-up file of the login shell (~/.bashrc) has redirected standard output"
                );
                ("it ended without a word".to_owned(), help)
            } else {
                (said, attempt)
            }
        };
        (reason, help)
    }
}

fn some(bytes: Vec<u8>) -> Option<Vec<u8>> {
    (!bytes.is_empty()).then_some(bytes)
}

fn find(text: &[u8], word: &[u8]) -> Option<usize> {
    text.windows(word.len()).position(|window| window == word)
}

fn last_line(text: &str) -> String {
    let line = text
        .lines()
        .rev()
        .map(str::trim)
        .find(|line| !line.is_empty());
    // Somebody else's words: no control characters from them.
    line.unwrap_or_default()
        .chars()
        .filter(|c| !c.is_control())
        .take(300)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn out(text: &str) -> Chunk {
        Chunk::Stdout(text.as_bytes().to_vec())
    }

    fn err(text: &str) -> Chunk {
        Chunk::Stderr(text.as_bytes().to_vec())
    }

    #[test]
    fn markers_may_be_torn_apart() {
        let mut talk = Talk::new("mark");
        assert_eq!(talk.hear(out("Welcome!\nma")), (None, None));
        assert_eq!(talk.hear(out("rk")), (None, None));
        assert_eq!(
            talk.hear(out("\nfirst")),
            (Some(out("first")), Some(Event::Ready))
        );
        assert_eq!(talk.hear(out("mark\n")), (Some(out("mark\n")), None));
        assert_eq!(
            talk.hear(err("warning\nmark\nown")),
            (Some(err("own")), None)
        );
        assert_eq!(talk.hear(err("more")), (Some(err("more")), None));
    }

    #[test]
    fn prompts_are_counted() {
        let mut talk = Talk::new("mark");
        assert_eq!(talk.hear(err("mark-pass")), (None, None));
        assert_eq!(talk.hear(err("word:")), (None, Some(Event::Prompts(1))));
        assert_eq!(talk.hear(err("\nSorry, try again.\n")), (None, None));
        assert_eq!(
            talk.hear(err("mark-password:")),
            (None, Some(Event::Prompts(2)))
        );
    }

    #[test]
    fn noise_is_bounded() {
        let mut talk = Talk::new("mark");
        for _ in 0..100 {
            assert_eq!(talk.hear(out(&"x".repeat(10_000))), (None, None));
        }
        assert!(talk.out.held.len() <= KEPT);
        assert_eq!(talk.hear(out("mark\n")).1, Some(Event::Ready));
    }

    #[test]
    fn every_refusal_is_told_apart() {
        for (text, password, words) in [
            ("mark-missing\n", false, "sudo is not installed"),
            (
                "sudo: sorry, you must have a tty to run sudo\n",
                false,
                "requiretty",
            ),
            (
                "sudo: no tty present and no askpass program specified\n",
                false,
                "requiretty",
            ),
            (
                "mark-password:\nSorry, try again.\n",
                true,
                "does not accept the password",
            ),
            (
                "sudo: 1 incorrect password attempt\n",
                true,
                "does not accept the password",
            ),
            ("a is not in the sudoers file.\n", true, "does not let a"),
            (
                "Sorry, user a is not allowed to execute '/bin/sh' as root on n.\n",
                true,
                "does not let a",
            ),
            (
                "sudo-rs: I'm sorry a. I'm afraid I can't do that\n",
                true,
                "does not let a",
            ),
            ("sudo: a password is required\n", false, "wants a password"),
            (
                "sudo: interactive authentication is required\n",
                false,
                "wants a password",
            ),
            ("sudo: unknown user root\n", false, "no user root"),
            (
                "sudo: effective uid is not 0, is sudo installed setuid root?\n",
                false,
                "effective uid",
            ),
            (
                "This account is currently not available.\u{1b}[0m\n\n",
                false,
                "not available.[0m",
            ),
            ("", false, "without a word"),
        ] {
            let mut talk = Talk::new("mark");
            talk.hear(err(text));
            let (reason, help) = talk.verdict("a", "root", password);
            assert!(reason.contains(words), "{text}: {reason}");
            assert!(!help.is_empty());
        }
    }
}
