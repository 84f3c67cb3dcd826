//! The keys of encrypted files: password files and programs, a question on the terminal, age's private keys.

use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use camino::{Utf8Path, Utf8PathBuf};

use super::request::Locks;
use crate::inventory::program;
use crate::model::{Diagnostic, Diagnostics, Secret};
use crate::vault::age::{self, NoIdentity};
use crate::vault::{Closed, Key, Keys};

/// Returns what is wrong with the files that flags name, before anything of them is needed.
pub(super) fn check(locks: &Locks) -> Diagnostics {
    let files = [
        ("--vault-password-file", &locks.password_files),
        ("--age-identity", &locks.identities),
    ];
    let mut found = Diagnostics::default();
    for (flag, path) in files
        .iter()
        .flat_map(|(flag, paths)| paths.iter().map(move |path| (flag, path)))
    {
        if !path.exists() {
            let error = Diagnostic::error(format!("`{flag}`: there is no file {path}"));
            found.push(
                error.help("look at the path; a relative one begins where quorate is called"),
            );
        } else if path.is_dir() {
            let error = Diagnostic::error(format!("`{flag}`: {path} is a folder"));
            found.push(error.help("name the file in it"));
        }
    }
    found
}

/// Returns all keys, and what is wrong with them. Programs are run and a person is asked here; files that are not there were
/// told of by [`check`].
pub(super) fn unlock(locks: &Locks) -> (Keys, Diagnostics) {
    let mut keys = Keys::default();
    let mut found = Diagnostics::default();
    for path in &locks.password_files {
        let from = format!("--vault-password-file {path}");
        if !path.is_file() && !is_pipe(path) {
            keys.lost_password = true;
            continue;
        }
        match password(path) {
            Ok(key) => keys.passwords.push(Key { key, from }),
            Err((message, help)) => {
                keys.lost_password = true;
                found.push(Diagnostic::error(format!("`{from}`: {message}")).help(help));
            }
        }
    }
    if locks.ask {
        match ask("Vault password: ") {
            Ok(key) => keys.passwords.push(Key {
                key,
                from: "--ask-vault-pass".into(),
            }),
            Err(error) => {
                keys.lost_password = true;
                found.push(error);
            }
        }
    }
    for path in &locks.identities {
        let from = format!("--age-identity {path}");
        let read = std::fs::read(path).map(Secret::new);
        let bytes = match read {
            Ok(bytes) => bytes,
            Err(error) => {
                keys.lost_identity = true;
                if path.is_file() {
                    let error = Diagnostic::error(format!("`{from}`: cannot be read: {error}"));
                    found.push(error.help("look at the file's permissions"));
                }
                continue;
            }
        };
        match age::identities(bytes.expose(), &from, &keys) {
            Ok(identities) => keys.identities.extend(identities),
            Err(error) => {
                keys.lost_identity = true;
                let told = matches!(&error, NoIdentity::Closed(closed) if keys.is_told(closed));
                if !told {
                    let error = Diagnostic::error(format!("`{from}`: {error}")).help(help(&error));
                    found.push(error);
                }
            }
        }
    }
    (keys, found)
}

fn help(error: &NoIdentity) -> String {
    match error {
        NoIdentity::Closed(closed @ Closed::Damaged { .. }) => closed.help(),
        NoIdentity::Closed(closed) => {
            format!("an identity may have a passphrase: {}", closed.help())
        }
        _ => "an identity file is what `age-keygen -o FILE` writes".into(),
    }
}

fn is_pipe(path: &Utf8Path) -> bool {
    // As in `--vault-password-file <(pass show vault)`.
    path.exists() && !path.is_dir()
}

/// Returns the password that a file holds, or that it prints where it may be executed, as Ansible has it: without white space
/// around it, respectively without the ends of lines.
pub(super) fn password(path: &Utf8Path) -> Result<Secret<Vec<u8>>, (String, &'static str)> {
    let permissions = path.metadata().map(|m| m.permissions().mode());
    let password = if permissions.is_ok_and(|mode| mode & 0o111 != 0) && path.is_file() {
        let bytes = printed(path)?;
        let ends = |byte: &u8| matches!(byte, b'\r' | b'\n');
        let bytes = bytes.expose().as_slice();
        let start = bytes.iter().take_while(|byte| ends(byte)).count();
        let tail = bytes[start..]
            .iter()
            .rev()
            .take_while(|byte| ends(byte))
            .count();
        Secret::new(bytes[start..bytes.len() - tail].to_vec())
    } else {
        let bytes = std::fs::read(path).map(Secret::new);
        let bytes = bytes.map_err(|error| {
            let message = format!("cannot be read: {error}");
            (message, "look at the file's permissions")
        })?;
        Secret::new(bytes.expose().trim_ascii().to_vec())
    };
    if password.expose().is_empty() {
        return Err((
            "the password is empty".into(),
            "write the password into the file, on its first line",
        ));
    }
    Ok(password)
}

/// Returns what a program prints. It may ask on the terminal itself.
fn printed(path: &Utf8Path) -> Result<Secret<Vec<u8>>, (String, &'static str)> {
    // A name without a slash would be looked for in PATH.
    let path = if path.as_str().contains('/') {
        path.to_owned()
    } else {
        Utf8PathBuf::from(".").join(path)
    };
    let mut command = Command::new(&path);
    // Ansible's protocol for programs that know several passwords.
    if path
        .file_stem()
        .is_some_and(|stem| stem.ends_with("-client"))
    {
        command.args(["--vault-id", "default"]);
    }
    command.stderr(Stdio::inherit());
    match program::run(command, program::DEADLINE) {
        Ok(output) if output.success => Ok(Secret::new(output.stdout)),
        Ok(output) => Err((
            format!("the program failed: {}", output.ending),
            "run it by hand: it prints the password and nothing else",
        )),
        Err(program::Failure::Start(error)) => Err((
            format!("the program cannot be started: {error}"),
            "a file with a password must not be executable (`chmod -x`); a program begins with `#!` and its interpreter",
        )),
        Err(program::Failure::Deadline(seconds)) => Err((
            format!("the program did not end within {seconds} s"),
            "run it by hand: it prints the password and ends",
        )),
    }
}

/// Asks for a password on the terminal.
pub(super) fn ask(prompt: &str) -> Result<Secret<Vec<u8>>, Diagnostic> {
    match rpassword::prompt_password(prompt) {
        Ok(text) if text.trim().is_empty() => {
            let error = Diagnostic::error("the password is empty");
            Err(error.help("type it at the question"))
        }
        // Ansible takes white space around it away too.
        Ok(text) => Ok(Secret::new(
            Secret::new(text).expose().trim().as_bytes().to_vec(),
        )),
        Err(error) => {
            let error = Diagnostic::error(format!("cannot ask for the vault password: {error}"));
            Err(error.help(
                "`--ask-vault-pass` needs a terminal; without one use `--vault-password-file FILE`",
            ))
        }
    }
}
