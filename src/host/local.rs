//! Accounts and mounts: what is seen of them, and what is done with them.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::sh;
use crate::model::{Mode, Sha256};

/// A user, as passwd(5) and id(1) have it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserState {
    /// Its number.
    pub uid: u32,
    /// The number of its own group.
    pub gid: u32,
    /// The name of its own group.
    pub group: String,
    /// All its groups by name, its own among them.
    pub groups: BTreeSet<String>,
    /// The comment field.
    pub comment: String,
    /// Its home directory.
    pub home: String,
    /// Its login shell.
    pub shell: String,
}

impl UserState {
    /// Reads a line of passwd(5), the name of the user's group, and the names of all its groups.
    pub(super) fn read(entry: &str, group: &str, groups: &str) -> Option<Self> {
        let fields: Vec<&str> = entry.trim_end().split(':').collect();
        let [_, _, uid, gid, comment, home, shell] = fields.as_slice() else {
            return None;
        };
        Some(Self {
            uid: uid.parse().ok()?,
            gid: gid.parse().ok()?,
            group: group.trim().to_string(),
            groups: groups.split_whitespace().map(str::to_string).collect(),
            comment: (*comment).to_string(),
            home: (*home).to_string(),
            shell: (*shell).to_string(),
        })
    }
}

/// What is mounted somewhere, as proc_pid_mounts(5) has it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountState {
    /// The device or whatever stands for it.
    pub source: String,
    /// The kind of file system.
    pub kind: String,
}

/// Users or groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountKind {
    /// passwd(5).
    User,
    /// group(5).
    Group,
}

/// What is done with an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountAct {
    /// Make it, unless it is there.
    Add,
    /// Change it.
    Change,
    /// Remove it, if it is there.
    Remove,
}

/// An account to make, change or remove by useradd(8), groupadd(8) and their kin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Of which kind.
    pub kind: AccountKind,
    /// What is done.
    pub act: AccountAct,
    /// Its name.
    pub name: String,
    /// The program's options. They hold no secret: any user of the host can read them.
    pub flags: Vec<String>,
}

impl Account {
    pub(super) fn describe(&self) -> String {
        let kind = match self.kind {
            AccountKind::User => "user",
            AccountKind::Group => "group",
        };
        let (name, flags) = (&self.name, sh::words(&self.flags));
        match self.act {
            AccountAct::Add => format!("add {kind} {name}"),
            AccountAct::Change => format!("change {kind} {name}: {flags}"),
            AccountAct::Remove => format!("remove {kind} {name}"),
        }
    }

    /// Returns the user's home, as far as the options say: useradd(8) has it below /home, where nothing else is said.
    pub(super) fn home(&self) -> Option<String> {
        let says = |flag: &str| self.flags.iter().any(|word| word == flag);
        if self.kind != AccountKind::User || says("--no-create-home") {
            return None;
        }
        let mut flags = self.flags.iter();
        let named = flags.find(|flag| matches!(flag.as_str(), "--home-dir" | "--home"));
        let named = named.and_then(|_| flags.next()).cloned();
        Some(named.unwrap_or_else(|| format!("/home/{}", self.name)))
    }

    pub(super) fn render(&self) -> String {
        let kind = match self.kind {
            AccountKind::User => "user",
            AccountKind::Group => "group",
        };
        let act = match self.act {
            AccountAct::Add => "add",
            AccountAct::Change => "mod",
            AccountAct::Remove => "del",
        };
        let words = [kind, act, &self.name].into_iter();
        let words = words.chain(self.flags.iter().map(String::as_str));
        format!("account {}", sh::words(words))
    }
}

/// A file that the host fetches by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetch {
    /// Where from: http or https, without a password.
    pub url: String,
    /// Where to.
    pub path: String,
    /// What it must be.
    pub sha256: Sha256,
    /// Its permissions.
    pub mode: Mode,
    /// Its owner.
    pub owner: String,
    /// Its group.
    pub group: String,
}

impl Fetch {
    pub(super) fn render(&self) -> String {
        let (digest, mode) = (self.sha256.to_string(), self.mode.to_string());
        let words = [
            &self.url,
            &self.path,
            &digest,
            &mode,
            &self.owner,
            &self.group,
        ];
        format!("fetch {}", sh::words(words))
    }
}
