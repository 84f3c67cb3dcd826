//! Reads ssh's configuration files, with what they include, for the scan.

use std::collections::HashMap;
use std::io::ErrorKind;

use camino::{Utf8Path, Utf8PathBuf};

use super::SshConfig;
use super::scan::Scan;
use crate::bounded;
use crate::transport::ssh::known_hosts::glob;

/// How deep includes may lie (OpenSSH's READCONF_MAX_DEPTH).
const DEPTH: usize = 16;

/// How many files are looked at; with more of them ssh is asked.
const MANY: usize = 256;

/// Bytes of the largest file that is read.
const LARGEST: u64 = 1 << 20;

/// The system's folder of ssh's configuration.
const SYSTEM: &str = "/etc/ssh";

/// What is known of each set of files.
#[derive(Debug, Default)]
pub(super) struct Files(HashMap<Option<Utf8PathBuf>, Scan>);

impl Files {
    /// Returns whether ssh may have something to say of the host.
    pub(super) fn concern(&mut self, config: &SshConfig, host: &str) -> bool {
        let file = match config {
            SshConfig::None => return false,
            SshConfig::Own => None,
            SshConfig::File(file) => Some(file.clone()),
        };
        let scan = self.0.entry(file.clone()).or_insert_with(|| scan(file));
        scan.concerns(host)
    }
}

fn scan(file: Option<Utf8PathBuf>) -> Scan {
    let mut reading = Reading {
        scan: Scan::default(),
        left: MANY,
    };
    let homes = homes();
    let folder = |home: &Utf8PathBuf| home.join(".ssh");
    if let Some(file) = file {
        // ssh says itself that it is not there.
        if !file.exists() {
            reading.scan.give_up();
        }
        let base = homes.first().map_or_else(Utf8PathBuf::new, folder);
        reading.file(&file, &base, 0);
        return reading.scan;
    }
    for home in &homes {
        let base = folder(home);
        reading.file(&base.join("config"), &base, 0);
    }
    let system = Utf8Path::new(SYSTEM);
    reading.file(&system.join("ssh_config"), system, 0);
    reading.scan
}

/// Returns the user's homes: ssh takes the account's, whatever HOME says. An account that /etc/passwd does not have (LDAP) has
/// that of HOME.
fn homes() -> Vec<Utf8PathBuf> {
    use std::os::unix::fs::MetadataExt as _;
    let account = || {
        let user = std::fs::metadata("/proc/self").ok()?.uid().to_string();
        let accounts = std::fs::read_to_string("/etc/passwd").ok()?;
        let fields = accounts
            .lines()
            .map(|line| line.split(':').collect::<Vec<_>>())
            .find(|fields| fields.get(2) == Some(&user.as_str()))?;
        fields.get(5).map(Utf8PathBuf::from)
    };
    let variable = std::env::var("HOME").ok().filter(|home| !home.is_empty());
    let mut homes: Vec<Utf8PathBuf> = account().into_iter().collect();
    homes.extend(variable.map(Utf8PathBuf::from));
    homes.dedup();
    homes
}

/// Returns why a file is none to be read as ssh's configuration: one that never ends would be read for ever.
pub(super) fn unfit(path: &Utf8Path) -> Option<String> {
    bounded::unfit(path, LARGEST)
}

/// Returns a file's text, none where it is not there; `None` where it cannot be read, or is none to be read.
fn read(path: &Utf8Path) -> Option<String> {
    match bounded::read(path, LARGEST) {
        Ok(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Some(String::new())
        }
        Err(_) => None,
    }
}

struct Reading {
    scan: Scan,
    left: usize,
}

impl Reading {
    fn file(&mut self, path: &Utf8Path, base: &Utf8Path, depth: usize) {
        if depth > DEPTH || self.left == 0 {
            return self.scan.give_up();
        }
        self.left -= 1;
        let Some(text) = read(path) else {
            return self.scan.give_up();
        };
        for include in self.scan.add(&text) {
            match expand(&include, base) {
                Some(files) => {
                    for file in files {
                        self.file(&file, base, depth + 1);
                    }
                }
                None => self.scan.give_up(),
            }
        }
    }
}

/// Returns the files that an `Include` names; `None` where that takes more than a look into one folder.
fn expand(pattern: &str, base: &Utf8Path) -> Option<Vec<Utf8PathBuf>> {
    if pattern.contains(['%', '$', '[', '{', '\\']) {
        return None;
    }
    let path = match pattern.strip_prefix("~/") {
        Some(rest) => base.parent()?.join(rest),
        None if pattern.starts_with('~') => return None,
        None => base.join(pattern),
    };
    let wild = |text: &str| text.contains(['*', '?']);
    let (folder, name) = (path.parent()?, path.file_name()?);
    if wild(folder.as_str()) {
        return None;
    }
    if !wild(name) {
        return Some(vec![path.clone()]);
    }
    let entries = match folder.read_dir_utf8() {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Some(Vec::new()),
        Err(_) => return None,
    };
    let files = entries
        .map_while(Result::ok)
        .filter(|entry| glob(name, entry.file_name()))
        .map(|entry| entry.path().to_owned());
    Some(files.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn includes_are_followed() {
        let folder = tempfile::tempdir().unwrap();
        let folder = Utf8PathBuf::try_from(folder.path().to_owned()).unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, text).unwrap();
            path
        };
        let at = |name: &str| folder.join(name);
        write("empty/note.txt", "Host *\nUser nobody\n");
        write("full/a.conf", "Host cp*\nUser root\n");
        write("self", &format!("Include {}\n", at("self")));
        for (text, host, expected) in [
            (format!("Include {}/*.conf\n", at("empty")), "cp1", false),
            (format!("Include {}/*.conf\n", at("nowhere")), "cp1", false),
            (format!("Include {}/*.conf\n", at("full")), "cp1", true),
            (format!("Include {}/*.conf\n", at("full")), "w1", false),
            (format!("Include {}/*/*.conf\n", at("")), "w1", true),
            ("Include %d/x\n".to_owned(), "w1", true),
            (format!("Include {}\n", at("self")), "w1", true),
        ] {
            let file = write("config", &text);
            let concerned = Files::default().concern(&SshConfig::File(file), host);
            assert_eq!(concerned, expected, "{host}: {text}");
        }
        assert!(Files::default().concern(&SshConfig::File(at("missing")), "w1"));
        assert!(Files::default().concern(&SshConfig::File("/dev/zero".into()), "w1"));
        // As with ssh, a configuration that says nothing.
        assert!(!Files::default().concern(&SshConfig::File("/dev/null".into()), "w1"));
        assert!(!Files::default().concern(&SshConfig::None, "w1"));
    }
}
