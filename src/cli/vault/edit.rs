//! `quorate vault edit`: the content lies in a private folder while the editor runs, in memory where there is a place for that,
//! and nothing of it is left behind, however it ends.

use std::fs::{self, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

use camino::{Utf8Path, Utf8PathBuf};
use color_eyre::eyre::{Result, WrapErr as _, eyre};
use tempfile::TempDir;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::file::{self, Encrypted, problem};
use super::{Recipients, open, seal, told, unlock, warn};
use crate::cli::WrongInput;
use crate::cli::request::Locks;
use crate::event::ExitCode;
use crate::model::{Diagnostic, Diagnostics, Secret};
use crate::report::Options;
use crate::vault::age::Readers;
use crate::vault::{Keys, Kind};

/// The editor without $EDITOR, as in Ansible.
const EDITOR: &str = "vi";
/// Memory that is a folder, on every Linux.
const MEMORY: &str = "/dev/shm";

/// In which form a changed content is written.
enum Form {
    Age(Readers),
    Ansible(Secret<Vec<u8>>),
}

/// How an editor ended.
enum Ending {
    Status(ExitStatus),
    /// This program was told to end.
    Stopped,
}

/// The signals that would end this program.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
    quit: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
            quit: signal(SignalKind::quit())?,
        })
    }
}

/// Edits a file.
pub(super) fn edit(
    path: &Utf8Path,
    recipients: &Recipients,
    locks: &Locks,
    options: &Options,
) -> Result<ExitCode> {
    let keys = unlock(locks)?;
    let opened = open(&[path.to_owned()], &keys)?;
    let Some(encrypted) = opened.into_iter().next() else {
        return Ok(ExitCode::Done);
    };
    let form = form(&encrypted, recipients, &keys).map_err(WrongInput)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    // From here on no signal ends this program before it has tidied up.
    let signals = {
        let _inside = runtime.enter();
        Signals::new()?
    };
    // Before anybody types: whether it can be written at all.
    let (temporary, target) = file::beside(path)?;
    let folder = private(options)?;
    let content = encrypted.opened.content.expose();
    let copy = copy(&folder, path, content)?;
    let (ending, interrupted) = runtime.block_on(editor(&copy, signals))?;
    let stopped = if interrupted {
        ExitCode::Interrupted
    } else {
        ExitCode::Failed
    };
    let failed = match ending {
        Ending::Stopped => return Ok(ExitCode::Interrupted),
        Ending::Status(status) => (!status.success()).then_some(status),
    };
    if let Some(status) = failed {
        let warning = Diagnostic::warning(format!("the editor failed ({status})"));
        let help = format!("{path} is as it was; $EDITOR names another editor");
        warn(options, warning.help(help));
        return Ok(stopped);
    }
    let edited = Secret::new(fs::read(&copy).wrap_err("cannot read what was edited")?);
    folder
        .close()
        .wrap_err("cannot remove the private folder")?;
    if edited.expose() == content {
        told(options, path, "unchanged", "")?;
        return Ok(ExitCode::Done);
    }
    let bytes = match &form {
        Form::Age(readers) => seal(edited.expose(), readers, encrypted.is_armored)?,
        Form::Ansible(password) => encrypted.seal_ansible(edited.expose(), password),
    };
    file::finish(temporary, &target, &bytes)?;
    told(options, path, "changed", "")?;
    Ok(ExitCode::Done)
}

/// Returns how the file is encrypted again: for whom it was before.
fn form(encrypted: &Encrypted, recipients: &Recipients, keys: &Keys) -> Result<Form, Diagnostics> {
    match (&encrypted.opened.password, encrypted.kind) {
        (Some(password), Kind::Ansible) => return Ok(Form::Ansible(password.clone())),
        (Some(password), Kind::Age) => {
            return Ok(Form::Age(Readers::Passphrase(password.clone())));
        }
        (None, _) => {}
    }
    let named = recipients.all()?;
    if !named.is_empty() {
        return Ok(Form::Age(Readers::Recipients(named)));
    }
    // The one key that opened it is the only one it was encrypted for.
    match (encrypted.recipients, keys.identities.as_slice()) {
        (1, [own]) => Ok(Form::Age(Readers::Recipients(vec![own.key.recipient()]))),
        (1, _) => Err(Diagnostics(vec![problem(
            format!(
                "{} has one recipient, and age does not tell which of your keys it is",
                encrypted.path
            ),
            "name one private key alone, or the recipient with `--recipient age1…`",
        )])),
        (n, _) => Err(Diagnostics(vec![problem(
            format!(
                "{} has {n} recipients, and age does not tell who they are",
                encrypted.path
            ),
            "name them all with `--recipients-file FILE` (or QUORATE_AGE_RECIPIENTS) or `--recipient age1…`",
        )])),
    }
}

/// Returns a folder that nobody else can look into, in memory if there is a place.
fn private(options: &Options) -> Result<TempDir> {
    let runtime = std::env::var("XDG_RUNTIME_DIR").ok();
    let places = runtime.as_deref().into_iter().chain([MEMORY]);
    let builder = || {
        let mut builder = tempfile::Builder::new();
        builder
            .prefix("quorate-vault-")
            .permissions(Permissions::from_mode(0o700));
        builder
    };
    for place in places.filter(|place| Utf8Path::new(place).is_absolute()) {
        if let Ok(folder) = builder().tempdir_in(place) {
            return Ok(folder);
        }
    }
    let place = std::env::temp_dir();
    let warning = Diagnostic::warning(format!(
        "the content lies in {} while you edit, which may be a disk",
        place.display()
    ));
    warn(
        options,
        warning.help("set XDG_RUNTIME_DIR to a folder of yours in memory"),
    );
    builder()
        .tempdir_in(&place)
        .wrap_err("cannot make a private folder")
}

/// Writes the content into the folder, under the file's own name, by which an editor knows what it is.
fn copy(folder: &TempDir, path: &Utf8Path, content: &[u8]) -> Result<Utf8PathBuf> {
    let name = path.file_name().unwrap_or("vault.yml");
    let name = name.strip_suffix(".age").unwrap_or(name);
    let folder = Utf8Path::from_path(folder.path()).ok_or_else(|| eyre!("no UTF-8 path"))?;
    let copy = folder.join(name);
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    let mut file = options.open(&copy).wrap_err("cannot write the copy")?;
    file.write_all(content).wrap_err("cannot write the copy")?;
    Ok(copy)
}

/// Runs the editor. An interrupt from the keyboard is the editor's own affair; a request to end ends both.
async fn editor(copy: &Utf8Path, mut signals: Signals) -> Result<(Ending, bool)> {
    let editor = std::env::var("EDITOR").unwrap_or_default();
    let editor = Some(editor).filter(|e| !e.trim().is_empty());
    let editor = editor.unwrap_or_else(|| EDITOR.to_owned());
    // Through a shell, since $EDITOR may have arguments, as git has it.
    let mut child = tokio::process::Command::new("sh")
        .args(["-c", &format!("exec {editor} \"$1\""), "sh", copy.as_str()])
        .kill_on_drop(true)
        .spawn()
        .wrap_err("cannot start the editor")?;
    let mut interrupted = false;
    loop {
        tokio::select! {
            // Signals first: an editor that ended by the same Ctrl-C may be seen in the same moment.
            biased;
            Some(()) = signals.interrupt.recv() => interrupted = true,
            Some(()) = signals.terminate.recv() => break,
            Some(()) = signals.hangup.recv() => break,
            Some(()) = signals.quit.recv() => break,
            status = child.wait() => {
                let status = status?;
                // Or a moment earlier than its signal, which the kernel hands to one process after the other.
                interrupted |= status.signal() == Some(SignalKind::interrupt().as_raw_value());
                return Ok((Ending::Status(status), interrupted));
            }
        }
    }
    // It may be gone in this very moment.
    let _ = child.kill().await;
    Ok((Ending::Stopped, true))
}
