//! Files of this machine that somebody else may have named: read whole, and never for ever. A device that does not end would take
//! all memory, and a named pipe without a writer would hold whoever opens it.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};

use camino::Utf8Path;
use rustix::fs::OFlags;

const NO_FILE: &str = "it is no regular file";
/// Where ssh's users send what is not to be kept.
const NOWHERE: &str = "/dev/null";

/// Opens a regular file. Reading it never waits for what is still to come, as /proc/kmsg would.
///
/// Fails where it is none.
pub(crate) fn open(path: &Utf8Path) -> io::Result<File> {
    // Looked at before it is opened: opening a named pipe would wait for a writer.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::other(NO_FILE));
    }
    let flags = OFlags::NONBLOCK.bits() as i32;
    OpenOptions::new().read(true).custom_flags(flags).open(path)
}

/// Returns a file's bytes, none of /dev/null, whatever it is called.
///
/// Fails where it is no regular file, and where it has more than `most` bytes.
pub(crate) fn read(path: &Utf8Path, most: u64) -> io::Result<Vec<u8>> {
    let metadata = std::fs::metadata(path)?;
    if let Some(reason) = misfit(&metadata, most) {
        return Err(io::Error::other(reason));
    }
    if !metadata.is_file() {
        return Ok(Vec::new());
    }
    let mut bytes = Vec::new();
    // Files of /proc say that they are empty, and some of them do not end.
    open(path)?.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(io::Error::other(too_large(most)));
    }
    Ok(bytes)
}

/// Returns why a file that is there is none for [`read`], without reading it.
pub(crate) fn unfit(path: &Utf8Path, most: u64) -> Option<String> {
    misfit(&path.metadata().ok()?, most)
}

fn misfit(metadata: &Metadata, most: u64) -> Option<String> {
    if !metadata.is_file() {
        return (!is_nowhere(metadata)).then(|| NO_FILE.to_owned());
    }
    (metadata.len() > most).then(|| too_large(most))
}

fn too_large(most: u64) -> String {
    match most >> 20 {
        0 => format!("it is larger than {} KiB", most >> 10),
        size => format!("it is larger than {size} MiB"),
    }
}

fn is_nowhere(metadata: &Metadata) -> bool {
    let is_same = |nowhere: Metadata| nowhere.rdev() == metadata.rdev();
    metadata.file_type().is_char_device() && std::fs::metadata(NOWHERE).is_ok_and(is_same)
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use camino::Utf8PathBuf;

    use super::*;

    #[test]
    fn only_files_are_read_and_no_more_of_them_than_is_allowed() {
        let folder = tempfile::tempdir().unwrap();
        let folder = Utf8PathBuf::try_from(folder.path().to_owned()).unwrap();
        let said = |path: &Utf8Path, most| match read(path, most) {
            Ok(bytes) => format!("{} bytes", bytes.len()),
            Err(error) => error.to_string(),
        };
        let file = folder.join("file");
        std::fs::write(&file, vec![b'x'; 2048]).unwrap();
        assert_eq!(said(&file, 2048), "2048 bytes");
        assert_eq!(said(&file, 2047), "it is larger than 1 KiB");
        std::fs::write(&file, vec![b'x'; (1 << 20) + 1]).unwrap();
        assert_eq!(said(&file, 1 << 20), "it is larger than 1 MiB");
        let pipe = folder.join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        for path in [&pipe, &folder, Utf8Path::new("/dev/zero")] {
            assert_eq!(said(path, 10), "it is no regular file", "{path}");
            assert!(unfit(path, 10).is_some(), "{path}");
        }
        // Nothing says beforehand how long it is.
        assert_eq!(
            said("/proc/self/maps".into(), 1024),
            "it is larger than 1 KiB"
        );
        let link = folder.join("link");
        std::os::unix::fs::symlink(NOWHERE, &link).unwrap();
        for path in [&link, Utf8Path::new(NOWHERE)] {
            assert_eq!(said(path, 10), "0 bytes", "{path}");
            assert_eq!(unfit(path, 10), None, "{path}");
        }
        let error = read(&folder.join("none"), 10).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }
}
