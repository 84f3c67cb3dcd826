//! `quorate vault`: files are encrypted for age's recipients or with a passphrase, shown, edited, and given other keys. Files
//! of ansible-vault are read and edited as what they are.

mod edit;
mod file;

use camino::{Utf8Path, Utf8PathBuf};
use clap::{Args, Subcommand};
use color_eyre::eyre::{Result, WrapErr as _};
use serde_json::json;

use self::file::{Encrypted, problem};
use super::WrongInput;
use super::keys;
use super::request::Locks;
use crate::event::{ExitCode, VERSION};
use crate::model::{Diagnostic, Diagnostics, Secret};
use crate::report::{Options, Output, diagnostics};
use crate::vault::age::{self, Readers, Recipient};
use crate::vault::{Keys, Kind};

/// What to do.
#[derive(Debug, Subcommand)]
pub(super) enum Vault {
    /// Encrypt files in place, as armored age files
    Encrypt {
        /// The files
        #[arg(required = true, value_name = "FILE")]
        files: Vec<Utf8PathBuf>,
        #[command(flatten)]
        readers: For,
    },
    /// Print what encrypted files hold
    View {
        /// The files
        #[arg(required = true, value_name = "FILE")]
        files: Vec<Utf8PathBuf>,
    },
    /// Edit an encrypted file with $EDITOR; it is encrypted again if it was changed
    Edit {
        /// The file
        file: Utf8PathBuf,
        #[command(flatten)]
        recipients: Recipients,
    },
    /// Give encrypted files other keys
    Rekey {
        /// The files
        #[arg(required = true, value_name = "FILE")]
        files: Vec<Utf8PathBuf>,
        #[command(flatten)]
        readers: For,
        /// Make age files of ansible-vault's; those stay what they are otherwise
        #[arg(long)]
        to_age: bool,
    },
}

/// Who shall be able to read.
#[derive(Debug, Default, Args)]
pub(super) struct For {
    #[command(flatten)]
    recipients: Recipients,
    /// Ask for a passphrase, twice
    #[arg(short, long)]
    passphrase: bool,
    /// The passphrase; a program is run and its output taken
    #[arg(long, value_name = "FILE", conflicts_with = "passphrase")]
    new_vault_password_file: Option<Utf8PathBuf>,
}

#[derive(Debug, Default, Args)]
pub(super) struct Recipients {
    /// A public key of age's, age1…; may be given more than once
    #[arg(short, long, value_name = "AGE1")]
    recipient: Vec<Recipient>,
    /// A file with public keys, one in a line; may be given more than once
    #[arg(short = 'R', long, value_name = "FILE", env = "QUORATE_AGE_RECIPIENTS")]
    recipients_file: Vec<Utf8PathBuf>,
}

/// Does what was asked.
pub(super) fn run(vault: Vault, locks: &Locks, options: &Options) -> Result<ExitCode> {
    let told = keys::check(locks);
    if told.has_errors() {
        return Err(WrongInput(told).into());
    }
    match vault {
        Vault::Encrypt { files, readers } => encrypt(&files, &readers, locks, options),
        Vault::View { files } => view(&files, locks, options),
        Vault::Edit { file, recipients } => edit::edit(&file, &recipients, locks, options),
        Vault::Rekey {
            files,
            readers,
            to_age,
        } => rekey(&files, &readers, to_age, locks, options),
    }
}

/// Gets the keys, which are needed now.
fn unlock(locks: &Locks) -> Result<Keys, WrongInput> {
    let (keys, found) = keys::unlock(locks);
    if found.has_errors() {
        return Err(WrongInput(found));
    }
    Ok(keys)
}

fn encrypt(
    files: &[Utf8PathBuf],
    readers: &For,
    locks: &Locks,
    options: &Options,
) -> Result<ExitCode> {
    let mut found = Diagnostics::default();
    let mut plain = Vec::new();
    for path in files {
        match file::read(path) {
            Ok(bytes) => match crate::vault::kind(bytes.expose()) {
                None => plain.push((path, bytes)),
                Some(kind) => {
                    let what = format!("{path} is encrypted with {kind} already");
                    found.push(problem(what, "`quorate vault rekey` gives it other keys"));
                }
            },
            Err(error) => found.push(error),
        }
    }
    let readers = collected(readers.readers(), &mut found);
    // As with ansible-vault: the password that opens files encrypts them too, where nothing else is said.
    let readers = match readers {
        Some(None) => match unlock(locks)?.passwords.into_iter().next() {
            Some(password) => Some(Readers::Passphrase(password.key)),
            None => {
                found.push(for_whom());
                None
            }
        },
        Some(readers) => readers,
        None => None,
    };
    let Some(readers) = readers.filter(|_| !found.has_errors()) else {
        return Err(WrongInput(found).into());
    };
    // All are encrypted before the first is written.
    let mut sealed = Vec::new();
    for (path, bytes) in plain {
        sealed.push((path, seal(bytes.expose(), &readers, true)?));
    }
    for (path, bytes) in sealed {
        file::replace(path, &bytes)?;
        told(options, path, "encrypted", &describe(&readers))?;
    }
    Ok(ExitCode::Done)
}

fn view(files: &[Utf8PathBuf], locks: &Locks, options: &Options) -> Result<ExitCode> {
    for encrypted in open(files, &unlock(locks)?)? {
        let mut out = options.color.stdout();
        match out.write_all(encrypted.opened.content.expose()) {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => break,
            written => written.wrap_err("cannot write to standard output")?,
        }
    }
    Ok(ExitCode::Done)
}

/// Opens all files, or says of all what is wrong.
fn open(files: &[Utf8PathBuf], keys: &Keys) -> Result<Vec<Encrypted>, WrongInput> {
    let mut found = Diagnostics::default();
    let mut opened = Vec::new();
    for path in files {
        match Encrypted::open(path, keys) {
            Ok(encrypted) => opened.push(encrypted),
            Err(error) => found.push(error),
        }
    }
    if found.has_errors() {
        return Err(WrongInput(found));
    }
    Ok(opened)
}

fn rekey(
    files: &[Utf8PathBuf],
    readers: &For,
    to_age: bool,
    locks: &Locks,
    options: &Options,
) -> Result<ExitCode> {
    let opened = open(files, &unlock(locks)?)?;
    let mut found = Diagnostics::default();
    let readers = match collected(readers.readers(), &mut found) {
        Some(None) => {
            found.push(for_whom());
            None
        }
        Some(readers) => readers,
        None => None,
    };
    if matches!(readers, Some(Readers::Recipients(_))) && !to_age {
        for encrypted in opened.iter().filter(|e| e.kind == Kind::Ansible) {
            let what = format!(
                "{} is a file of ansible-vault, which knows no recipients",
                encrypted.path
            );
            found.push(problem(
                what,
                "`--to-age` makes an age file of it, which Ansible cannot read; `--passphrase` gives it another password",
            ));
        }
    }
    let Some(readers) = readers.filter(|_| !found.has_errors()) else {
        return Err(WrongInput(found).into());
    };
    let mut sealed = Vec::new();
    for encrypted in &opened {
        let content = encrypted.opened.content.expose();
        let bytes = match (&readers, encrypted.kind) {
            (Readers::Passphrase(password), Kind::Ansible) if !to_age => {
                encrypted.seal_ansible(content, password)
            }
            (readers, Kind::Ansible) => seal(content, readers, true)?,
            (readers, Kind::Age) => seal(content, readers, encrypted.is_armored)?,
        };
        sealed.push((&encrypted.path, bytes));
    }
    for (path, bytes) in sealed {
        file::replace(path, &bytes)?;
        told(options, path, "rekeyed", &describe(&readers))?;
    }
    Ok(ExitCode::Done)
}

fn seal(content: &[u8], readers: &Readers, armored: bool) -> Result<Vec<u8>> {
    age::seal(content, readers, armored)
        .map_err(|error| color_eyre::eyre::eyre!("cannot encrypt: {error}"))
}

fn for_whom() -> Diagnostic {
    problem(
        "nobody could read what is written: there is no recipient and no passphrase".into(),
        "`--recipient age1…` or `--recipients-file FILE` names who may read (`age-keygen` makes keys), `--passphrase` asks for a passphrase",
    )
}

fn collected<T>(result: Result<T, Diagnostics>, found: &mut Diagnostics) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(errors) => {
            found.extend(errors);
            None
        }
    }
}

impl For {
    /// Returns who shall be able to read; `None` where nothing is said of it.
    fn readers(&self) -> Result<Option<Readers>, Diagnostics> {
        let asks = self.passphrase || self.new_vault_password_file.is_some();
        let Recipients {
            recipient,
            recipients_file,
        } = &self.recipients;
        let given = !(recipient.is_empty() && recipients_file.is_empty());
        if asks && given {
            return Err(Diagnostics(vec![problem(
                "a file is encrypted for recipients or with a passphrase, not both".into(),
                "leave out the one or the other (QUORATE_AGE_RECIPIENTS names recipients too)",
            )]));
        }
        if let Some(path) = &self.new_vault_password_file {
            let key = keys::password(path).map_err(|(message, help)| {
                let what = format!("`--new-vault-password-file {path}`: {message}");
                Diagnostics(vec![problem(what, help)])
            })?;
            return Ok(Some(Readers::Passphrase(key)));
        }
        if self.passphrase {
            return twice().map(|key| Some(Readers::Passphrase(key)));
        }
        let recipients = self.recipients.all()?;
        Ok((!recipients.is_empty()).then_some(Readers::Recipients(recipients)))
    }
}

/// Asks for a new passphrase, twice.
fn twice() -> Result<Secret<Vec<u8>>, Diagnostics> {
    let ask = |prompt| keys::ask(prompt).map_err(|error| Diagnostics(vec![error]));
    let first = ask("New passphrase: ")?;
    if ask("Once more: ")? != first {
        return Err(Diagnostics(vec![problem(
            "the two are not the same".into(),
            "nothing was written: try again",
        )]));
    }
    Ok(first)
}

impl Recipients {
    /// Returns all recipients, those of the files too.
    fn all(&self) -> Result<Vec<Recipient>, Diagnostics> {
        let mut found = Diagnostics::default();
        let mut all = self.recipient.clone();
        for path in &self.recipients_file {
            let text = match std::fs::read_to_string(path) {
                Ok(text) => text,
                Err(error) => {
                    let what = format!("`--recipients-file {path}`: cannot be read: {error}");
                    found.push(problem(what, "look at the path"));
                    continue;
                }
            };
            let before = all.len();
            for (n, line) in text.lines().map(str::trim).enumerate() {
                if line.is_empty() || line.starts_with('#') {
                    continue;
                }
                match line.parse() {
                    Ok(recipient) => all.push(recipient),
                    Err(error) => {
                        let what = format!("`--recipients-file {path}`, line {}: {error}", n + 1);
                        found.push(problem(what, "a line is a public key of age's, `age1…`"));
                    }
                }
            }
            if all.len() == before && !found.has_errors() {
                let what = format!("`--recipients-file {path}`: it names nobody");
                found.push(problem(what, "a line is a public key of age's, `age1…`"));
            }
        }
        if found.has_errors() {
            Err(found)
        } else {
            Ok(all)
        }
    }
}

fn describe(readers: &Readers) -> String {
    match readers {
        Readers::Recipients(recipients) => match recipients.len() {
            1 => "for 1 recipient".into(),
            n => format!("for {n} recipients"),
        },
        Readers::Passphrase(_) => "with a passphrase".into(),
    }
}

/// Says what was done to a file.
fn told(options: &Options, path: &Utf8Path, what: &str, how: &str) -> Result<()> {
    let line = if options.output == Output::Json {
        format!(
            "{}\n",
            json!({ "v": VERSION, "file": path.as_str(), "done": what })
        )
    } else if how.is_empty() {
        format!("{path}: {what}\n")
    } else {
        format!("{path}: {what} {how}\n")
    };
    match options.color.stdout().write_all(line.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// Shows a warning.
fn warn(options: &Options, warning: Diagnostic) {
    let found = Diagnostics(vec![warning]);
    let text = if options.output == Output::Json {
        diagnostics::json(&found)
    } else {
        diagnostics::render(&found, options.color.on_stderr())
    };
    // There is nobody left to tell if standard error is closed.
    let _ = options.color.stderr().write_all(text.as_bytes());
}
