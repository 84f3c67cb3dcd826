//! A question on the terminal.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use super::request::Request;

/// Returns whether somebody is there who can be asked.
pub(super) fn can_ask() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks on the terminal, if there is one; whatever is not yes is no.
pub(super) fn agrees(request: &Request, question: &str) -> bool {
    if !can_ask() {
        return false;
    }
    let mut out = request.report.color.stderr();
    let asked = out.write_all(format!("{question} [y/N] ").as_bytes());
    if asked.and_then(|()| out.flush()).is_err() {
        return false;
    }
    let mut answer = String::new();
    let read = io::stdin().lock().read_line(&mut answer);
    read.is_ok() && matches!(answer.trim().to_lowercase().as_str(), "y" | "yes")
}
