//! What of an effect stands in the arguments of programs on the host, where any of its users can read it while they run.

use super::Effect;

impl Effect {
    /// Returns these texts; contents of files and standard input are not among them.
    pub fn words(&self) -> Vec<&str> {
        let mut words: Vec<&str> = Vec::new();
        match self {
            Self::WriteFile(file) => {
                words.extend([&*file.path, &*file.owner, &*file.group]);
                words.extend(file.validate.as_deref());
            }
            Self::Directory {
                path, owner, group, ..
            }
            | Self::Attributes {
                path, owner, group, ..
            } => {
                words.push(path);
                words.extend(owner.iter().chain(group).map(String::as_str));
            }
            Self::Link { path, target } => words.extend([&**path, &**target]),
            Self::Sysctl { key, value } => words.extend([&**key, &**value]),
            Self::Remove { path } | Self::Mount(path) | Self::Unmount(path) => words.push(path),
            Self::LoadModule(name) | Self::Hostname(name) | Self::Unit(_, name) => words.push(name),
            Self::InstallPackages(names)
            | Self::RemovePackages(names)
            | Self::PullImages { names, .. }
            | Self::ImportImage { names, .. } => words.extend(names.iter().map(String::as_str)),
            Self::Unpack { into, .. } => words.push(into),
            Self::Run(run) => {
                words.extend(run.argv.iter().map(String::as_str));
                let places = [&run.chdir, &run.creates, &run.removes, &run.user];
                words.extend(places.into_iter().flatten().map(String::as_str));
            }
            Self::Account(account) => {
                words.push(&account.name);
                words.extend(account.flags.iter().map(String::as_str));
            }
            Self::Fetch(fetch) => {
                words.extend([&*fetch.url, &*fetch.path, &*fetch.owner, &*fetch.group]);
            }
            Self::DaemonReload | Self::SwapOff | Self::Fail(_) | Self::Wait { .. } => {}
        }
        words
    }
}
