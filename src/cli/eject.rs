//! `quorate roles eject`: a built-in role as a folder beside the inventory, where it wins.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use camino::{Utf8Path, Utf8PathBuf};
use color_eyre::eyre::{Result, WrapErr as _};

use super::project;
use super::request::Request;
use super::run::{print, wrong};
use super::views::{is_json, line};
use crate::event::{ExitCode, VERSION};
use crate::model::Diagnostic;
use crate::role::{Library, Role};

/// Copies the role. What is there already is never written over.
pub(super) fn eject(request: &Request, name: &str) -> Result<ExitCode> {
    // What stands beside the inventory may be broken: it is not read.
    let (library, _) = Library::builtin();
    let role = library.get(name).map_err(|mut error| {
        error.message = format!("there is no built-in role `{name}`");
        wrong(error)
    })?;
    let beside = project::beside(&request.inventory);
    let missing = request.inventory.iter().find(|path| !path.exists());
    if missing.is_some() || !beside.is_dir() {
        let error = Diagnostic::error(match missing {
            Some(path) => format!("there is no inventory {path}"),
            None => format!("there is no folder {beside}"),
        });
        return Err(
            wrong(error.help("name the inventory whose role it is to be with `-i`")).into(),
        );
    }
    let folder = beside.join("roles").join(name);
    if fs::symlink_metadata(&folder).is_ok() {
        let error = Diagnostic::error(format!("{folder} is there already"));
        let help = "it is in the place of the built-in role; take it away to begin anew";
        return Err(wrong(error.help(help)).into());
    }
    let files = write(&role, &folder).wrap_err_with(|| format!("cannot write {folder}"))?;
    let text = if is_json(request) {
        line(serde_json::json!({
            "v": VERSION, "role": name, "place": folder.as_str(), "files": files,
        }))
    } else {
        format!(
            "{folder}: {} files; from now on they are the role `{name}`, as a whole\n",
            files.len()
        )
    };
    print(request, &text)?;
    Ok(ExitCode::Done)
}

/// Writes the role's files into a folder beside the one that is asked for, and gives it its name when it is whole. Returns
/// the paths in it.
fn write(role: &Role, folder: &Utf8Path) -> Result<Vec<String>> {
    let parent = folder.parent().unwrap_or(Utf8Path::new("."));
    fs::create_dir_all(parent)?;
    let new = tempfile::Builder::new()
        .prefix(".role")
        .tempdir_in(parent)?;
    // tempfile makes it 0700; a role is no secret.
    fs::set_permissions(new.path(), fs::Permissions::from_mode(0o755))?;
    let root = Utf8PathBuf::try_from(new.path().to_path_buf())?;
    let mut files = Vec::new();
    for (path, file) in role.contents() {
        let bytes = file.bytes.as_deref().map_or(&[][..], Vec::as_slice);
        let target = root.join(path);
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&target, bytes)?;
        files.push(path.to_string());
    }
    fs::rename(&root, folder)?;
    Ok(files)
}
