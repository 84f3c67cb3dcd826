//! What a plan tells of an effect: of which kind it is, what is looked at before it is done, and a digest of it all.

use super::{Effect, Expect, UnitAct};
use crate::event::ChangeKind;
use crate::host::local::AccountAct;
use crate::host::sh;
use crate::model::Sha256;

impl Effect {
    /// Returns what kind of change it is.
    pub fn kind(&self) -> ChangeKind {
        match self {
            Self::WriteFile(file) => match file.expect {
                Expect::Absent | Expect::AbsentOrKept => ChangeKind::Create,
                Expect::Any | Expect::Content(_) => ChangeKind::Change,
            },
            Self::Directory { .. }
            | Self::InstallPackages(_)
            | Self::ImportImage { .. }
            | Self::PullImages { .. }
            | Self::Unpack { .. } => ChangeKind::Create,
            Self::Remove { .. } | Self::RemovePackages(_) => ChangeKind::Remove,
            Self::Unit(UnitAct::Started, _) => ChangeKind::Start,
            Self::Unit(UnitAct::Stopped, _) => ChangeKind::Stop,
            Self::Unit(UnitAct::Restarted, _) => ChangeKind::Restart,
            Self::Unit(UnitAct::Reloaded, _) => ChangeKind::Reload,
            // systemd reads its own files again; no daemon of the host's does.
            Self::Unit(..) | Self::DaemonReload => ChangeKind::Change,
            Self::Attributes { .. }
            | Self::Link { .. }
            | Self::Sysctl { .. }
            | Self::LoadModule(_)
            | Self::SwapOff
            | Self::Hostname(_) => ChangeKind::Change,
            Self::Account(account) => match account.act {
                AccountAct::Add => ChangeKind::Create,
                AccountAct::Change => ChangeKind::Change,
                AccountAct::Remove => ChangeKind::Remove,
            },
            Self::Fetch(_) => ChangeKind::Create,
            Self::Mount(_) => ChangeKind::Start,
            Self::Unmount(_) => ChangeKind::Stop,
            Self::Run(_) | Self::Fail(_) | Self::Wait { .. } => ChangeKind::Run,
        }
    }

    /// Returns what is looked at once more on the host before it is done, as src/host/wave.sh does it; `None` where it is
    /// done in any case.
    pub fn guard(&self) -> Option<String> {
        let unless = |what: &str| Some(format!("unless {what} by then"));
        match self {
            Self::WriteFile(file) => {
                let mut guard = match file.expect {
                    Expect::Any => "whatever lies there by then".to_string(),
                    Expect::Absent => "only while nothing lies there".to_string(),
                    Expect::AbsentOrKept => "unless something lies there by then".to_string(),
                    Expect::Content(digest) => {
                        format!("only while its content is sha256 {}", digest.short())
                    }
                };
                if let Some(validate) = &file.validate {
                    guard.push_str(&format!(
                        ", and only if `{}` accepts the new content",
                        validate.replace("%s", "FILE")
                    ));
                }
                Some(guard)
            }
            Self::Directory { .. } => unless("it is there with these attributes"),
            Self::Attributes { .. } => unless("they are so"),
            Self::Link { .. } => Some(
                "unless it points there by then; a directory in its place is not replaced".into(),
            ),
            Self::Remove { .. } => unless("it is gone"),
            Self::InstallPackages(_) => unless("they are installed"),
            Self::RemovePackages(_) => unless("they are gone"),
            Self::Unit(act, _) => match act {
                UnitAct::Started => unless("it is active"),
                UnitAct::Stopped => unless("it is inactive"),
                UnitAct::Restarted | UnitAct::Reloaded => {
                    Some("unless the same wave has started it since".into())
                }
                UnitAct::Enabled => unless("it is enabled"),
                UnitAct::Disabled => unless("it is disabled"),
                UnitAct::Masked => unless("it is masked"),
                UnitAct::Unmasked => unless("it is not masked"),
            },
            Self::DaemonReload => None,
            Self::Sysctl { .. } => unless("it has that value"),
            Self::LoadModule(_) => unless("it is loaded"),
            Self::SwapOff => unless("no swap is in use"),
            Self::Hostname(_) => unless("it is its name"),
            Self::ImportImage { .. } => unless("containerd has it"),
            Self::PullImages { .. } => unless("containerd has them"),
            Self::Unpack { archive, .. } => Some(format!(
                "unless the archive sha256 {} was unpacked there",
                archive.sha256().short()
            )),
            Self::Run(run) => {
                let creates = run
                    .creates
                    .as_ref()
                    .map(|path| format!("unless {path} is there"));
                let removes = run
                    .removes
                    .as_ref()
                    .map(|path| format!("only while {path} is there"));
                let both: Vec<String> = creates.into_iter().chain(removes).collect();
                (!both.is_empty()).then(|| both.join(", "))
            }
            Self::Account(_) => unless("it is so"),
            Self::Mount(_) => unless("it is mounted"),
            Self::Unmount(_) => unless("nothing is mounted there"),
            Self::Fetch(_) => unless("a file of that digest lies there"),
            Self::Fail(_) => None,
            Self::Wait { .. } => unless("it holds"),
        }
    }

    /// Returns the digest of all that it does, guards and contents among it. Nothing can be read back out of it.
    pub fn digest(&self) -> Sha256 {
        let content = match self {
            Self::WriteFile(file) => Some(file.content.sha256()),
            Self::ImportImage { archive, .. } | Self::Unpack { archive, .. } => {
                Some(archive.sha256())
            }
            Self::Run(run) => run.stdin.as_ref().map(super::Content::sha256),
            _ => None,
        };
        let content = content.map_or_else(String::new, |digest| digest.to_string());
        Sha256::of(sh::words([self.render(), content]))
    }
}
