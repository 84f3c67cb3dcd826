//! The modules of the role language: one small file each, listed here.
//!
//! A module reads its arguments into an [`Action`]; the action says which facts it needs, and what is to be done where
//! they are as observed. It never speaks to a host.

mod assert;
mod binaries;
mod blockinfile;
pub(super) mod command;
mod container_images;
mod copy;
mod debug;
mod fail;
mod file;
mod get_url;
mod group;
mod hostname;
mod image_pull;
mod include_vars;
mod lineinfile;
mod meta;
mod modprobe;
mod mount;
mod package;
mod repository;
mod service;
mod set_fact;
mod swap;
mod sysctl;
mod systemd_timer;
mod target;
mod template;
mod unarchive;
mod user;

use super::args::Args;
use crate::event::Category;
use crate::host::{Facts, Known, Observed};
use crate::model::Map;
use crate::plan::Change;

/// A module.
pub(super) struct Module {
    /// Its name.
    pub(super) name: &'static str,
    /// Names of Ansible's modules that it stands for.
    pub(super) aliases: &'static [&'static str],
    /// All its arguments, or [`ANY`].
    pub(super) arguments: &'static [&'static str],
    /// The argument that a bare text stands for, as in `command: sync`.
    pub(super) bare: Option<&'static str>,
    /// What its time counts as.
    pub(super) category: Category,
    /// Reads arguments; complaints are in `args.errors`.
    pub(super) read: fn(&mut Args<'_>) -> Option<Box<dyn Action>>,
}

/// The arguments of a module that takes any.
const ANY: &[&str] = &[];

impl Module {
    /// Returns whether it has an argument of that name.
    pub(super) fn has_argument(&self, name: &str) -> bool {
        self.arguments == ANY || self.arguments.contains(&name)
    }

    /// Returns whether the host has no part in it: it is about the role's own course.
    pub(super) fn is_local(&self) -> bool {
        let local = [
            "assert",
            "debug",
            "fail",
            "include_vars",
            "meta",
            "set_fact",
        ];
        local.contains(&self.name)
    }
}

/// All modules.
pub(super) const MODULES: &[Module] = &[
    assert::MODULE,
    binaries::MODULE,
    blockinfile::MODULE,
    command::MODULE,
    command::SHELL,
    container_images::MODULE,
    copy::MODULE,
    debug::MODULE,
    fail::MODULE,
    file::MODULE,
    get_url::MODULE,
    group::MODULE,
    hostname::MODULE,
    image_pull::MODULE,
    include_vars::MODULE,
    lineinfile::MODULE,
    meta::MODULE,
    modprobe::MODULE,
    mount::MODULE,
    package::MODULE,
    repository::DEB822,
    repository::YUM,
    service::MODULE,
    set_fact::MODULE,
    swap::MODULE,
    sysctl::MODULE,
    systemd_timer::MODULE,
    template::MODULE,
    unarchive::MODULE,
    user::MODULE,
];

/// Ansible's collections whose modules have a namesake here.
pub(super) const COLLECTIONS: [&str; 4] = [
    "ansible.builtin.",
    "ansible.posix.",
    "ansible.legacy.",
    "community.general.",
];

/// Returns the module of that name, be it Ansible's full one.
pub(super) fn find(name: &str) -> Option<&'static Module> {
    let bare = COLLECTIONS
        .iter()
        .find_map(|c| name.strip_prefix(c))
        .unwrap_or(name);
    MODULES
        .iter()
        .find(|m| m.name == bare || m.aliases.contains(&bare))
}

/// Returns all names of modules, for suggestions.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    MODULES
        .iter()
        .flat_map(|m| std::iter::once(m.name).chain(m.aliases.iter().copied()))
}

/// The questions that a task has.
#[derive(Debug, Default)]
pub(super) struct Questions {
    /// What is asked.
    pub(super) facts: Facts,
    /// Whether texts are asked for only to show how they differ.
    pub(super) diffs: bool,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing, for this reason.
    Nothing(String),
    /// These changes.
    Changes(Vec<Change>),
    /// These each time that the task is reached: nothing shows whether they were done.
    Always(Vec<Change>),
    /// This file has to be read first, and an earlier effect may change it.
    Unseen(String),
    /// It cannot be done, for this reason.
    Refused(String),
}

impl Verdict {
    /// Returns changes, or nothing for that reason where there are none.
    pub(super) fn of(changes: Vec<Change>, reason: impl Into<String>) -> Self {
        if changes.is_empty() {
            Self::Nothing(reason.into())
        } else {
            Self::Changes(changes)
        }
    }
}

/// Arguments that make sense.
pub(super) trait Action {
    /// Adds what it needs to know.
    fn facts(&self, _questions: &mut Questions) {}
    /// Returns what is to be done where things are as `look` says.
    fn plan(&self, look: &Look<'_>) -> Verdict;
    /// Returns the variables that it sets for the tasks behind it.
    fn sets(&self) -> Option<&Map> {
        None
    }
    /// Returns words that any user of the host can read whether or not something is to be done: of commands that others
    /// run later, and of those that its plan has only where the host is known.
    fn words(&self) -> Vec<&str> {
        Vec::new()
    }
    /// Returns what it has to say to who reads the run.
    fn says(&self) -> Option<String> {
        None
    }
    /// Returns whether notified handlers run before the next task.
    fn flushes(&self) -> bool {
        false
    }
}

/// What is known when a task is reached.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look<'a> {
    /// After all effects before.
    pub(super) now: &'a Observed,
    /// The same, as if packages brought no files: what an edit of a file starts from. The file's guard on the host
    /// finds out where a package did bring it.
    pub(super) steady: &'a Observed,
}

impl std::ops::Deref for Look<'_> {
    type Target = Observed;

    fn deref(&self) -> &Observed {
        self.now
    }
}

impl Look<'_> {
    /// Returns a file's text for editing, empty where there is no file, and the look that it comes from.
    fn text(&self, path: &str) -> Option<(&Observed, String)> {
        [self.now, self.steady]
            .into_iter()
            .find_map(|look| match look.content(path) {
                Known::Is(bytes) => Some((look, String::from_utf8_lossy(bytes).into_owned())),
                Known::Unknown => None,
            })
    }
}

/// Why a change is planned whose outcome an earlier effect decides.
pub(super) const LATER: &str = "(known after apply)";
