//! The texts that make up an inventory, before anything is understood of them.

use std::sync::Arc;

use camino::Utf8PathBuf;

use crate::model::{Diagnostics, Source};
use crate::vault::Keys;

/// Everything that was read for one inventory.
#[derive(Debug, Default)]
pub struct Input {
    /// The inventory files, in the order in which they count: later ones win.
    pub inventories: Vec<Arc<Source>>,
    /// The files of group_vars/ and host_vars/, in the order in which they count.
    pub vars: Vec<VarsFile>,
    /// The values of `-e`, in the order of the command line.
    pub extra: Vec<Arc<Source>>,
    /// What opens encrypted values in them.
    pub keys: Keys,
    /// What could not be read.
    pub diagnostics: Diagnostics,
}

/// A file of group_vars/ or host_vars/.
#[derive(Debug, Clone)]
pub struct VarsFile {
    /// What its variables belong to.
    pub owner: Owner,
    /// Which `-i` it lies beside, counted from 0.
    pub place: usize,
    /// Its text.
    pub source: Arc<Source>,
}

/// What a file of variables belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    /// The group of that name.
    Group(String),
    /// The host of that name.
    Host(String),
}

/// The path that stands for a value given with `-e` itself, not in a file.
pub const COMMAND_LINE: &str = "--extra-vars";

impl Input {
    /// Returns an input of one inventory text, for tests and previews.
    pub fn from_text(path: impl Into<Utf8PathBuf>, text: impl Into<String>) -> Self {
        let source = Arc::new(Source::new(path, text));
        Self {
            inventories: vec![source],
            ..Self::default()
        }
    }

    /// Returns the input with a file of group_vars/ added.
    #[must_use]
    pub fn with_group_vars(
        self,
        group: &str,
        path: impl Into<Utf8PathBuf>,
        text: impl Into<String>,
    ) -> Self {
        self.with_vars(Owner::Group(group.into()), path.into(), text.into())
    }

    /// Returns the input with a file of host_vars/ added.
    #[must_use]
    pub fn with_host_vars(
        self,
        host: &str,
        path: impl Into<Utf8PathBuf>,
        text: impl Into<String>,
    ) -> Self {
        self.with_vars(Owner::Host(host.into()), path.into(), text.into())
    }

    fn with_vars(mut self, owner: Owner, path: Utf8PathBuf, text: String) -> Self {
        self.vars.push(VarsFile {
            owner,
            place: 0,
            source: Arc::new(Source::new(path, text)),
        });
        self
    }

    /// Returns the input with a value of `-e` added.
    #[must_use]
    pub fn with_extra(mut self, text: impl Into<String>) -> Self {
        self.extra.push(Arc::new(Source::new(COMMAND_LINE, text)));
        self
    }
}
