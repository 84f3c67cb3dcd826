//! Floor 2: roles/<name>/ to typed tasks, and tasks to a host's plan. Pure, but for `files`.

mod archive;
mod args;
mod branch;
mod exposed;
mod fate;
mod files;
mod glob;
mod host;
mod item;
mod keyword;
mod kinds;
mod library;
mod meta;
mod module;
mod reader;
mod result;
pub mod schema;
mod scope;
mod select;
mod serial;
pub mod site;
mod spec;
mod task;
mod until;
mod walk;

pub use archive::is_image;
pub use branch::Branches;
pub use files::{ControllerFile, ControllerFiles, Disk, FileError, ImageArchive};
pub use host::HostRoles;
pub use kinds::Kinds;
pub use library::{Library, Role, RoleFile};
pub use meta::Meta;
pub use result::{Registered, StepResult};
pub use scope::fact_values;
pub use select::Selection;
pub use site::{Play, Site, Stage};
