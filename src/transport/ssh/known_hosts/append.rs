//! Writing to a known_hosts file.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use camino::Utf8Path;

use super::{book, pattern};

/// How long another process may hold the file: it appends a few lines.
const HELD: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(10);

/// A known_hosts file that is open for appending, held against other processes of ours until it is dropped.
#[derive(Debug)]
pub(in crate::transport::ssh) struct Book {
    file: File,
    /// What stands in it.
    pub(super) text: String,
}

impl Book {
    /// Opens the file; it is made (0600, its folder 0700) where it is not there.
    pub(in crate::transport::ssh) fn open(path: &Utf8Path) -> io::Result<Self> {
        let folder = path.parent().filter(|folder| !folder.as_str().is_empty());
        if let Some(folder) = folder {
            std::fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(folder)?;
        }
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .open(path)?;
        hold(&file)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(Self {
            file,
            text: String::from_utf8_lossy(&bytes).into_owned(),
        })
    }

    /// Fails where the file may be run, or where a line of it is none of known_hosts: somebody's script may have any name. ssh's own
    /// file is nobody's script, whatever stands in it.
    pub(super) fn is_for_keys(&self, path: &Utf8Path) -> io::Result<()> {
        let metadata = self.file.metadata()?;
        if !metadata.is_file() || path.ends_with(".ssh/known_hosts") {
            return Ok(());
        }
        if metadata.permissions().mode() & 0o111 != 0 {
            return Err(refused("it is a program: its mode lets it be run".into()));
        }
        match book::other_line(&self.text) {
            None => Ok(()),
            Some(number) => Err(refused(format!(
                "it is no file for host keys: line {number} is none of known_hosts"
            ))),
        }
    }

    /// Appends a line for each key of the host: hashed names where the file has such already.
    pub(in crate::transport::ssh) fn lines<'a>(
        &self,
        name: &str,
        keys: impl Iterator<Item = (&'a str, &'a [u8])>,
    ) -> String {
        let hashed = has_hashed(&self.text);
        keys.map(|(kind, blob)| {
            let name = if hashed {
                pattern::hash(name)
            } else {
                name.to_owned()
            };
            format!("{name} {kind} {}\n", STANDARD.encode(blob))
        })
        .collect()
    }

    /// Appends the lines in one write, so that whoever reads meanwhile sees all of them or none. A write that fails halfway
    /// is taken back: half a key would count as another key.
    pub(in crate::transport::ssh) fn append(&mut self, lines: &str) -> io::Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        let before = self.file.metadata()?.len();
        let start = match self.text.ends_with('\n') || self.text.is_empty() {
            true => "",
            false => "\n",
        };
        let text = format!("{start}{lines}");
        let is_file = self.file.metadata()?.is_file();
        // /dev/null, which ssh's users name where nothing is to be kept, cannot be synchronised.
        let written = self.file.write_all(text.as_bytes());
        let written = written.and_then(|()| {
            if is_file {
                self.file.sync_all()
            } else {
                Ok(())
            }
        });
        if written.is_err() {
            let _ = self.file.set_len(before);
        }
        written?;
        self.text.push_str(&text);
        Ok(())
    }
}

/// Fails where a file that an inventory or ssh's configuration names is to get new keys, and neither its name nor its folder's says
/// `known_hosts`, or where it would be new elsewhere than in ~/.ssh or such a folder: a line of known_hosts is a command in a
/// shell's start-up file, and a login in authorized_keys. Where a link leads counts, and not its name.
pub(super) fn is_known_hosts(path: &Utf8Path) -> io::Result<()> {
    let real = match path.canonicalize_utf8() {
        Ok(real) => real,
        Err(_) if path.symlink_metadata().is_ok() => {
            return Err(refused("it is a link that leads nowhere".into()));
        }
        // Folders that are not there are made, and then it is a way on.
        Err(_) if path.as_str().split('/').any(|part| part == "..") => {
            return Err(refused(
                "it is not there, and `..` is on the way to it".into(),
            ));
        }
        // Nothing is there yet; its folder may be a link.
        Err(_) => match path.parent().map(Utf8Path::canonicalize_utf8) {
            Some(Ok(folder)) => folder.join(path.file_name().unwrap_or_default()),
            _ => path.to_owned(),
        },
    };
    let says = |part: Option<&str>| part.is_some_and(|name| name.contains("known_hosts"));
    let folder = real.parent().and_then(Utf8Path::file_name);
    if real == "/dev/null" || says(folder) {
        return Ok(());
    }
    if says(real.file_name()) {
        // A new file is read by somebody in many a folder: each of ~/.bashrc.d is run.
        if real.exists() || folder == Some(".ssh") {
            return Ok(());
        }
        let message =
            format!("it is not there; if it is to keep host keys, make it: `touch {real}`");
        return Err(refused(message));
    }
    let leads = match real == path {
        true => String::new(),
        false => format!(" (it leads to {real})"),
    };
    Err(refused(format!(
        "by its name it is no file for host keys{leads}: it has to have `known_hosts` in it"
    )))
}

fn refused(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}

/// Waits for others of ours to be done with the file. Where the file system has no locks, none is needed that much.
fn hold(file: &File) -> io::Result<()> {
    let deadline = Instant::now() + HELD;
    loop {
        match file.try_lock() {
            Ok(()) | Err(TryLockError::Error(_)) => return Ok(()),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => std::thread::sleep(LOOK),
            Err(error @ TryLockError::WouldBlock) => return Err(error.into()),
        }
    }
}

/// Returns whether names in the file are hashed (ssh_config(5), HashKnownHosts): then new ones are, too.
fn has_hashed(text: &str) -> bool {
    text.lines().any(|line| {
        let fields = line.split_ascii_whitespace();
        let mut hosts = fields.skip_while(|field| field.starts_with('@'));
        hosts.next().is_some_and(|hosts| hosts.starts_with("|1|"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashed_files_stay_hashed() {
        for (text, hashed) in [
            ("", false),
            ("# |1|\nhost ssh-rsa AAAA\n", false),
            ("host ssh-rsa AAAA\n|1|a|b ssh-rsa AAAA\n", true),
            ("@revoked |1|a|b ssh-rsa AAAA", true),
        ] {
            assert_eq!(has_hashed(text), hashed, "{text}");
        }
    }

    #[test]
    fn only_a_file_for_host_keys_gets_some() {
        let folder = tempfile::tempdir().unwrap();
        let folder = camino::Utf8PathBuf::try_from(folder.path().to_owned()).unwrap();
        let at = |name: &str| folder.join(name);
        std::fs::create_dir(at("known_hosts.d")).unwrap();
        std::fs::create_dir(at(".ssh")).unwrap();
        std::fs::write(at(".bashrc"), "").unwrap();
        std::fs::write(at("my_known_hosts2"), "").unwrap();
        let link = |to: &str, name: &str| std::os::unix::fs::symlink(at(to), at(name)).unwrap();
        link(".bashrc", "known_hosts");
        link(".profile", "known_hosts3");
        link("my_known_hosts2", "keys");
        link(".", "known_hosts.e");
        for (name, fits) in [
            ("my_known_hosts2", true),
            ("new_known_hosts", false),
            (".ssh/known_hosts_work", true),
            (".bashrc.d/known_hosts", false),
            ("keys", true),
            ("known_hosts.d/cp1", true),
            (".bashrc", false),
            (".profile", false),
            ("known_hosts", false),
            ("known_hosts3", false),
            ("known_hosts.e/.bashrc", false),
            ("known_hosts.e/.profile", false),
            ("known_hosts.d/../.profile", false),
            ("missing/../known_hosts.e/.bashrc", false),
            ("known_hosts.d/missing/../cp1", false),
        ] {
            assert_eq!(is_known_hosts(&at(name)).is_ok(), fits, "{name}");
        }
        assert!(is_known_hosts(Utf8Path::new("/dev/null")).is_ok());
        assert!(!at(".profile").exists());
    }

    #[test]
    fn a_script_gets_no_keys_whatever_its_name_is() {
        let folder = tempfile::tempdir().unwrap();
        let folder = camino::Utf8PathBuf::try_from(folder.path().to_owned()).unwrap();
        let key =
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJGwkmMD2dgWFzNuFX6CHrN4DD2ZnPBXNxCDSkO8cC1T";
        let keys = format!("# ours\n\nhost {key}\n@revoked * {key} of cp1\n");
        for (name, text, mode, fits) in [
            ("known_hosts", keys.as_str(), 0o644, true),
            ("known_hosts", "", 0o600, true),
            (
                "known_hosts",
                "old 2048 65537 1234567 of SSH 1\n",
                0o600,
                true,
            ),
            ("known_hosts", "@reboot root /bin/true\n", 0o600, false),
            ("known_hosts", keys.as_str(), 0o744, false),
            ("known_hosts", "#!/bin/sh\n", 0o601, false),
            ("known_hosts", "ssh-keyscan cp1\n", 0o644, false),
            ("known_hosts", "sh ssh-ed25519 AAAA\n", 0o644, false),
            ("known_hosts", "echo ssh-keyscan home\n", 0o644, false),
            (".ssh/known_hosts", "<<<<<<< mine\n", 0o600, true),
            (".ssh/known_hosts.sh", "cp x y\n", 0o600, false),
        ] {
            let path = folder.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let book = Book::open(&path).unwrap();
            assert_eq!(
                book.is_for_keys(&path).is_ok(),
                fits,
                "{name} {mode:o} {text}"
            );
        }
    }

    #[test]
    fn a_device_takes_what_nobody_keeps() {
        let mut book = Book::open(Utf8Path::new("/dev/null")).unwrap();
        book.append("host ssh-rsa AAAA\n").unwrap();
    }
}
