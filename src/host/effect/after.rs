//! What is known of a host after an effect: the plan goes on from there without a trip.

use super::{Content, Effect, Expect, UnitAct, WriteFile, unpacked};
use crate::host::fact::{FileKind, FileState, Observed, UnitState};
use crate::model::Mode;

impl Effect {
    /// Changes what is known to what will be after the effect.
    pub fn apply(&self, observed: &mut Observed) {
        if let Self::WriteFile(WriteFile { path, .. })
        | Self::Link { path, .. }
        | Self::Directory { path, .. } = self
        {
            observed.forget_parents(path);
        }
        if let Self::WriteFile(WriteFile { path, .. })
        | Self::Link { path, .. }
        | Self::Remove { path } = self
            && path.contains("/systemd/system/")
        {
            observed.units.clear();
        }
        match self {
            Self::WriteFile(file) if file.expect == Expect::AbsentOrKept => {
                observed.files.remove(&file.path);
                observed.contents.remove(&file.path);
            }
            Self::WriteFile(file) => {
                let state = FileState {
                    kind: FileKind::File,
                    mode: file.mode,
                    owner: file.owner.clone(),
                    group: file.group.clone(),
                    size: file.content.length(),
                    sha256: Some(file.content.sha256()),
                    target: None,
                };
                observed.files.insert(file.path.clone(), Some(state));
                match &file.content {
                    Content::Inline(bytes) => {
                        observed.contents.insert(file.path.clone(), bytes.to_vec())
                    }
                    Content::File { .. } => observed.contents.remove(&file.path),
                };
            }
            Self::Directory {
                path,
                mode,
                owner,
                group,
            }
            | Self::Attributes {
                path,
                mode,
                owner,
                group,
            } => {
                let directory = matches!(self, Self::Directory { .. });
                let state = observed.files.get(path).cloned().flatten();
                if state.is_none() && !directory {
                    return;
                }
                let mut state = state.unwrap_or(FileState {
                    kind: FileKind::Directory,
                    mode: Mode::EXECUTABLE,
                    owner: "root".into(),
                    group: "root".into(),
                    size: 0,
                    sha256: None,
                    target: None,
                });
                state.mode = mode.unwrap_or(state.mode);
                state.owner = owner.clone().unwrap_or(state.owner);
                state.group = group.clone().unwrap_or(state.group);
                observed.files.insert(path.clone(), Some(state));
            }
            Self::Link { path, target } => {
                // What lies below is another folder's.
                observed.forget_below(path);
                let state = FileState {
                    kind: FileKind::Link,
                    mode: Mode::EXECUTABLE,
                    owner: "root".into(),
                    group: "root".into(),
                    size: 0,
                    sha256: None,
                    target: Some(target.clone()),
                };
                observed.files.insert(path.clone(), Some(state));
            }
            Self::Remove { path } => {
                let below = format!("{path}/");
                let gone = |p: &String| p == path || p.starts_with(&below);
                observed
                    .files
                    .iter_mut()
                    .filter(|(p, _)| gone(p))
                    .for_each(|(_, state)| *state = None);
                observed.contents.retain(|p, _| !gone(p));
                observed.files.insert(path.clone(), None);
            }
            Self::InstallPackages(names) => {
                observed.forget_absent();
                for word in names {
                    let name = word.split('=').next().unwrap_or(word);
                    // Which version is known after apply.
                    observed
                        .packages
                        .insert(name.to_string(), Some(String::new()));
                }
            }
            Self::RemovePackages(names) => {
                observed.forget();
                for name in names {
                    observed.packages.insert(name.clone(), None);
                }
            }
            Self::Unit(act, name) => {
                // Of one whose file was just written the rest stays unknown.
                if let Some(unit) = observed.units.get_mut(name) {
                    apply_unit(*act, unit);
                }
            }
            Self::DaemonReload => observed
                .units
                .values_mut()
                .for_each(|unit| unit.needs_reload = false),
            Self::Sysctl { key, value } => {
                observed.sysctls.insert(key.clone(), Some(value.clone()));
            }
            Self::LoadModule(name) => {
                observed.modules.insert(name.clone(), true);
            }
            Self::SwapOff => observed.swaps = Some(Vec::new()),
            Self::Hostname(name) => observed.system.hostname.clone_from(name),
            Self::ImportImage { names, .. } | Self::PullImages { names, .. } => {
                if let Some(images) = &mut observed.images {
                    images.extend(names.iter().cloned());
                }
            }
            Self::Unpack { archive, into } => {
                observed.forget();
                let state = |kind| FileState {
                    kind,
                    mode: Mode::PRIVATE,
                    owner: "root".into(),
                    group: "root".into(),
                    size: 0,
                    sha256: None,
                    target: None,
                };
                observed
                    .files
                    .insert(unpacked(archive), Some(state(FileKind::File)));
                observed
                    .files
                    .insert(into.clone(), Some(state(FileKind::Directory)));
            }
            Self::Run(_) => observed.forget(),
            Self::Account(account) => {
                // A user brings a group of its name, and may change its other groups' members.
                let known = observed.users.remove(&account.name).flatten();
                observed.groups.remove(&account.name);
                let known = known.map(|user| user.home);
                for home in known.into_iter().chain(account.home()) {
                    // useradd(8) fills it from /etc/skel, userdel(8) takes it away.
                    observed.files.remove(&home);
                    observed.forget_below(&home);
                }
            }
            Self::Mount(path) | Self::Unmount(path) => {
                observed.mounts.remove(path);
                // What lies below is another file system's.
                observed.forget_below(path);
            }
            Self::Fetch(fetch) => {
                observed.forget_parents(&fetch.path);
                let state = FileState {
                    kind: FileKind::File,
                    mode: fetch.mode,
                    owner: fetch.owner.clone(),
                    group: fetch.group.clone(),
                    size: 0,
                    sha256: Some(fetch.sha256),
                    target: None,
                };
                observed.contents.remove(&fetch.path);
                observed.files.insert(fetch.path.clone(), Some(state));
            }
            Self::Fail(_) | Self::Wait { .. } => {}
        }
    }
}

fn apply_unit(act: UnitAct, unit: &mut UnitState) {
    match act {
        UnitAct::Started | UnitAct::Restarted | UnitAct::Reloaded => unit.active = "active".into(),
        UnitAct::Stopped => unit.active = "inactive".into(),
        UnitAct::Enabled => unit.file = "enabled".into(),
        UnitAct::Disabled | UnitAct::Unmasked => unit.file = "disabled".into(),
        UnitAct::Masked => unit.file = "masked".into(),
    }
    if matches!(act, UnitAct::Unmasked) {
        unit.load = "loaded".into();
    }
}
