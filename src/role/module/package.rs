//! `package`: packages of the distribution, each by its name or as `name=VERSION`, where `*` in the version stands for anything
//! (apt-get(8): "install").

use super::{Action, LATER, Look, Module, Questions, Verdict};
use crate::event::Category;
use crate::host::{Effect, Fact, Known};
use crate::plan::Change;
use crate::role::args::Args;
use crate::role::{glob, keyword};

pub(super) const MODULE: Module = Module {
    name: "package",
    aliases: &["apt", "dnf", "yum", "zypper"],
    arguments: &["name", "state"],
    bare: Some("name"),
    category: Category::Packages,
    read,
};

#[derive(Debug)]
struct Packages {
    packages: Vec<Package>,
    present: bool,
}

#[derive(Debug, Clone)]
struct Package {
    name: String,
    version: Option<String>,
}

impl Package {
    fn read(text: &str) -> Result<Self, &'static str> {
        let (name, version) = match text.split_once('=') {
            Some((name, version)) => (name, Some(version)),
            None => (text, None),
        };
        // deb-src-control(5), "Package", and what RPM's names and an architecture have beside. To apt a last `-` means that it goes.
        let mut characters = name.chars();
        let begins = characters.next().is_some_and(|c| c.is_ascii_alphanumeric());
        let goes_on = characters.all(|c| c.is_ascii_alphanumeric() || "+.-_:~".contains(c));
        if !begins || !goes_on || name.ends_with('-') {
            return Err("has no package's name");
        }
        // What Debian's and RPM's versions consist of (deb-version(7)), and the wildcard: it goes through a shell.
        let allowed = |c: char| c.is_ascii_alphanumeric() || ".+-~:_^*".contains(c);
        let none = |v: &str| v.is_empty() || v.ends_with('-') || !v.chars().all(allowed);
        if version.is_some_and(none) {
            return Err("has no version behind `=`");
        }
        Ok(Self {
            name: name.to_string(),
            version: version.map(str::to_string),
        })
    }

    /// Returns the word that the host's script takes.
    fn word(&self) -> String {
        match &self.version {
            Some(version) => format!("{}={version}", self.name),
            None => self.name.clone(),
        }
    }

    /// Returns why the package is not as wanted, where its version is `installed`; `None` where it is.
    fn differs(&self, installed: Option<&str>, present: bool) -> Option<String> {
        match (installed, present) {
            (None, true) => Some("not installed".to_string()),
            (Some(_), false) => Some("installed".to_string()),
            (None, false) => None,
            (Some(installed), true) => {
                let wanted = self.version.as_deref()?;
                // What was installed earlier in this run has the version that was asked for.
                let fits = installed.is_empty() || glob::matches(wanted, installed);
                (!fits).then(|| format!("{} is {installed}, not {wanted}", self.name))
            }
        }
    }
}

fn read(args: &mut Args<'_>) -> Option<Box<dyn Action>> {
    if !args.has("name") {
        args.missing("name");
    }
    let names = args.names("name");
    if args.text("state").as_deref() == Some("latest") {
        let message = "`state: latest` is not part of this language";
        args.complain("state", message, keyword::LATEST.to_string());
        return None;
    }
    let state = args.choice("state", &["present", "absent", "installed", "removed"]);
    let present = matches!(state?, "present" | "installed");
    let mut packages = Vec::new();
    for text in names? {
        match Package::read(&text) {
            Ok(package) if package.version.is_some() && !present => args.complain(
                "name",
                format!("`{text}` names a version, and is to be removed"),
                "name the package alone: whichever version is there goes".to_string(),
            ),
            Ok(package) => packages.push(package),
            Err(what) => args.complain(
                "name",
                format!("`{text}` {what}"),
                "write the name alone, or a version too: `kubelet=1.36.3-*`".to_string(),
            ),
        }
    }
    Some(Box::new(Packages { packages, present }))
}

impl Action for Packages {
    fn facts(&self, questions: &mut Questions) {
        let names = self.packages.iter().map(|package| package.name.clone());
        questions.facts.extend(names.map(Fact::Package));
    }

    fn plan(&self, look: &Look<'_>) -> Verdict {
        let mut words = Vec::new();
        let mut reasons: Vec<String> = Vec::new();
        for package in &self.packages {
            let reason = match look.package(&package.name) {
                // What is not known is left to the host, which installs nothing twice.
                Known::Unknown => None,
                Known::Is(version) => match package.differs(version, self.present) {
                    Some(reason) => Some(reason),
                    None => continue,
                },
            };
            words.push(package.word());
            reasons.extend(reason.filter(|reason| !reasons.contains(reason)));
        }
        if words.is_empty() {
            let state = if self.present { "installed" } else { "absent" };
            let all: Vec<String> = self.packages.iter().map(Package::word).collect();
            return Verdict::Nothing(format!("{state}: {}", all.join(", ")));
        }
        let effect = if self.present {
            Effect::InstallPackages(words)
        } else {
            Effect::RemovePackages(words)
        };
        let why = match reasons.is_empty() {
            true => LATER.to_string(),
            false => reasons.join("; "),
        };
        Verdict::Changes(vec![Change::new(effect, why)])
    }
}
