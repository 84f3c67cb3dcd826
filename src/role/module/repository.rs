//! `deb822_repository` and `yum_repository`: sources of packages with the key that signs them.

use super::target::Target;
use super::{Action, LATER, Look, Module, Questions, Verdict};
use crate::event::Category;
use crate::host::{Content, Effect, Fact, Known, Run};
use crate::plan::Change;
use crate::role::args::Args;

/// sources.list(5), "DEB822-STYLE FORMAT".
pub(super) const DEB822: Module = Module {
    name: "deb822_repository",
    aliases: &[],
    arguments: &[
        "name",
        "types",
        "uris",
        "suites",
        "components",
        "architectures",
        "signed_by",
        "key",
        "enabled",
        "state",
    ],
    bare: None,
    category: Category::Packages,
    read: read_deb822,
};

/// dnf.conf(5), "REPO OPTIONS".
pub(super) const YUM: Module = Module {
    name: "yum_repository",
    aliases: &[],
    arguments: &[
        "name",
        "description",
        "baseurl",
        "gpgkey",
        "gpgcheck",
        "enabled",
        "state",
    ],
    bare: None,
    category: Category::Packages,
    read: read_yum,
};

/// How an armored key begins (RFC 9580, 6.2).
const ARMOR: &str = "-----BEGIN PGP PUBLIC KEY BLOCK-----";

#[derive(Debug)]
struct Repository {
    path: String,
    /// The file; none where it is not to be.
    target: Option<Target>,
    /// What reads the lists of this source alone; none where that happens by itself.
    fetch: Option<Run>,
    /// The package managers that read such files.
    managers: &'static [&'static str],
}

/// Returns the name of a file without its ending, and whether it is to be there.
fn begin(args: &mut Args<'_>) -> Option<(String, bool)> {
    let name = args.required("name");
    let present = args.choice("state", &["present", "absent"]);
    let (name, present) = (name?, present? == "present");
    // apt reads no file with other characters in its name (sources.list(5)).
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    if name.starts_with('.') || !name.chars().all(plain) {
        let help = "letters, digits, `-`, `_` and `.`: it names the file".to_string();
        args.complain("name", format!("`{name}` is no name of a repository"), help);
        return None;
    }
    Some((name, present))
}

/// Returns a list of single words.
fn words(args: &mut Args<'_>, name: &str) -> Option<Vec<String>> {
    let list = args.list(name)?;
    let is_word = |word: &String| !word.is_empty() && !word.contains(char::is_whitespace);
    if let Some(word) = list.iter().find(|word| !is_word(word)) {
        let message = format!("`{name}`: `{}` is no single word", word.escape_debug());
        args.complain(name, message, None);
        return None;
    }
    Some(list)
}

fn read_deb822(args: &mut Args<'_>) -> Option<Box<dyn Action>> {
    let (name, present) = begin(args)?;
    let path = format!("/etc/apt/sources.list.d/{name}.sources");
    let managers = &["apt"];
    if !present {
        return Some(Box::new(Repository::absent(path, managers)));
    }
    let types = match args.has("types") {
        true => words(args, "types")?,
        false => vec!["deb".into()],
    };
    for needed in ["uris", "suites"] {
        if !args.has(needed) {
            args.missing(needed);
        }
    }
    let (uris, suites) = (words(args, "uris"), words(args, "suites"));
    let mut text = format!("Types: {}\n", types.join(" "));
    let key = key(args);
    let (uris, suites) = (uris?, suites?);
    text.push_str(&format!(
        "URIs: {}\nSuites: {}\n",
        uris.join(" "),
        suites.join(" ")
    ));
    for (field, name) in [
        ("Components", "components"),
        ("Architectures", "architectures"),
    ] {
        if args.has(name) {
            let all = words(args, name)?;
            text.push_str(&format!("{field}: {}\n", all.join(" ")));
        }
    }
    let exact = suites.iter().all(|suite| suite.ends_with('/'));
    if !exact && !args.has("components") {
        let help = "a suite that is a path ends in `/` and has none".to_string();
        args.complain("suites", "a suite needs `components`", help);
        return None;
    }
    if !args.flag("enabled").unwrap_or(true) {
        text.push_str("Enabled: no\n");
    }
    text.push_str(&format!("Signed-By:{}", key?));
    let lists = format!("Dir::Etc::sourcelist=sources.list.d/{name}.sources");
    let fetch = [
        "apt-get",
        "update",
        "-q",
        "-o",
        &lists,
        "-o",
        "Dir::Etc::sourceparts=-",
        "-o",
        "APT::Get::List-Cleanup=0",
    ];
    Some(Box::new(Repository {
        target: Some(Target::new(path.clone(), Content::inline(text))),
        path,
        fetch: Some(Run::new(fetch)),
        managers,
    }))
}

/// Returns what stands behind `Signed-By:`: a path, or the key itself, a line feed before each of its lines.
fn key(args: &mut Args<'_>) -> Option<String> {
    let file = args.text("key");
    let text = match (args.text("signed_by"), file) {
        (Some(_), Some(_)) => {
            let message = "`deb822_repository` takes `signed_by` or `key`, not both";
            args.complain("key", message, None);
            return None;
        }
        (None, None) => {
            let help = "`key: NAME` is a key in the role's files/; `signed_by` is a path of the host, or the key itself";
            args.complain(
                "name",
                "a repository without a key is not trusted",
                help.to_string(),
            );
            return None;
        }
        (Some(path), None) if path.starts_with('/') && !path.contains(char::is_whitespace) => {
            return Some(format!(" {path}\n"));
        }
        (Some(text), None) => text,
        (None, Some(name)) => {
            let found = args.role.file(&name).and_then(|file| file.source.as_ref());
            match found {
                Some(source) => source.text.clone(),
                None => {
                    let message = format!("the role has no text files/{name}");
                    let help = "an ASCII-armored key: `gpg --armor --export`".to_string();
                    args.complain("key", message, help);
                    return None;
                }
            }
        }
    };
    if !text.trim_start().starts_with(ARMOR) {
        let name = if args.has("key") { "key" } else { "signed_by" };
        let help = format!("an armored key begins with {ARMOR}");
        args.complain(name, format!("`{name}` is no public key"), help);
        return None;
    }
    // A line that is empty would end the paragraph (deb822(5)).
    let line = |line: &str| match line.trim_end() {
        "" => " .\n".to_string(),
        line => format!(" {line}\n"),
    };
    let lines: String = text.trim().lines().map(line).collect();
    Some(format!("\n{lines}"))
}

fn read_yum(args: &mut Args<'_>) -> Option<Box<dyn Action>> {
    let (name, present) = begin(args)?;
    let path = format!("/etc/yum.repos.d/{name}.repo");
    let managers = &["dnf", "yum"];
    if !present {
        return Some(Box::new(Repository::absent(path, managers)));
    }
    let description = args.text("description").unwrap_or_else(|| name.clone());
    if !args.has("baseurl") {
        args.missing("baseurl");
    }
    let urls = words(args, "baseurl");
    let check = args.flag("gpgcheck").unwrap_or(true);
    let keys = match args.has("gpgkey") {
        true => words(args, "gpgkey")?,
        false => Vec::new(),
    };
    if check && keys.is_empty() {
        let help =
            "`gpgkey` is a URL, or file:///etc/pki/rpm-gpg/NAME; `gpgcheck: false` trusts anybody";
        args.complain(
            "name",
            "a repository that is checked needs `gpgkey`",
            help.to_string(),
        );
        return None;
    }
    if description.contains(char::is_control) {
        args.complain("description", "`description` is one line", None);
        return None;
    }
    let number = u8::from;
    let enabled = args.flag("enabled").unwrap_or(true);
    let mut text = format!(
        "[{name}]\nname={description}\nbaseurl={}\nenabled={}\ngpgcheck={}\n",
        urls?.join("\n    "),
        number(enabled),
        number(check)
    );
    if !keys.is_empty() {
        text.push_str(&format!("gpgkey={}\n", keys.join("\n    ")));
    }
    Some(Box::new(Repository {
        target: Some(Target::new(path.clone(), Content::inline(text))),
        path,
        // dnf reads the lists of a source that it does not know yet by itself.
        fetch: None,
        managers,
    }))
}

impl Repository {
    /// Returns one that is not to be there.
    fn absent(path: String, managers: &'static [&'static str]) -> Self {
        Self {
            path,
            target: None,
            fetch: None,
            managers,
        }
    }
}

impl Action for Repository {
    fn facts(&self, questions: &mut Questions) {
        match &self.target {
            Some(target) => target.facts(questions),
            None => {
                questions.facts.insert(Fact::File(self.path.clone()));
            }
        }
    }

    fn words(&self) -> Vec<&str> {
        vec![&self.path]
    }

    fn plan(&self, look: &Look<'_>) -> Verdict {
        let manager = look.system.package_manager.as_str();
        if !self.managers.contains(&manager) {
            return Verdict::Refused(format!(
                "{} is read by {} alone, and this host has {}",
                self.path,
                self.managers.join(" and "),
                if manager.is_empty() {
                    "no package manager that is known"
                } else {
                    manager
                }
            ));
        }
        let Some(target) = &self.target else {
            let why = match look.file(&self.path) {
                Known::Is(None) => return Verdict::Nothing(format!("{} is absent", self.path)),
                Known::Is(Some(_)) => "is there",
                Known::Unknown => LATER,
            };
            let path = self.path.clone();
            return Verdict::of(
                vec![Change::new(Effect::Remove { path }, why)],
                String::new(),
            );
        };
        let mut changes: Vec<Change> = target.change(look).into_iter().collect();
        let writes = |c: &Change| matches!(c.effect, Effect::WriteFile(_));
        if changes.iter().any(writes) {
            let fetch = self.fetch.clone().map(Effect::Run);
            changes.extend(fetch.map(|run| Change::new(run, "its source changes")));
        }
        Verdict::of(changes, format!("{} is as written", self.path))
    }
}
