//! `mount`: a file system in /etc/fstab, and where it is mounted now.

use super::target::Target;
use super::{Action, LATER, Look, Module, Questions, Verdict};
use crate::event::Category;
use crate::host::{Content, Effect, Fact, FileKind, Known};
use crate::plan::Change;
use crate::role::args::Args;

pub(super) const MODULE: Module = Module {
    name: "mount",
    aliases: &[],
    arguments: &["path", "src", "fstype", "opts", "dump", "passno", "state"],
    bare: None,
    category: Category::Own,
    read,
};

const FSTAB: &str = "/etc/fstab";

/// Ansible's four.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// In the file, and mounted.
    Mounted,
    /// In the file.
    Present,
    /// Not mounted; the file stays.
    Unmounted,
    /// Neither.
    Absent,
}

#[derive(Debug)]
struct Mount {
    path: String,
    /// The line of fstab(5), where one is wanted.
    line: Option<String>,
    source: Option<String>,
    state: State,
}

fn read(args: &mut Args<'_>) -> Option<Box<dyn Action>> {
    let path = args.path("path")?;
    let words = ["mounted", "present", "unmounted", "absent"];
    args.required("state")?;
    let state = match args.choice("state", &words)? {
        "mounted" => State::Mounted,
        "present" => State::Present,
        "unmounted" => State::Unmounted,
        _ => State::Absent,
    };
    if path == "/" {
        args.complain("path", "/ is not for a role to mount", None);
        return None;
    }
    let wanted = matches!(state, State::Mounted | State::Present);
    let (source, line) = if wanted {
        let (source, kind) = (args.required("src"), args.required("fstype"));
        let options = args.text("opts").unwrap_or_else(|| "defaults".into());
        let number = |args: &mut Args<'_>, name| args.number(name).unwrap_or(0);
        let (dump, passno) = (number(args, "dump"), number(args, "passno"));
        let (source, kind) = (source?, kind?);
        let line = format!("{source} {path} {kind} {options} {dump} {passno}");
        (Some(source), Some(line))
    } else {
        (None, None)
    };
    // fstab(5) writes a blank as \040; whoever has one there knows that.
    let fields = line.as_deref().map_or(2, |l| l.split(' ').count() - 4);
    let odd = |c: char| c.is_whitespace() || c.is_control() || c == '#';
    if fields != 2 || path.contains(odd) || line.as_ref().is_some_and(|l| l.contains(['\t', '\n']))
    {
        args.complain("path", "path, src, fstype and opts hold no blanks", None);
        return None;
    }
    Some(Box::new(Mount {
        path,
        line,
        source,
        state,
    }))
}

impl Mount {
    /// Returns the file's text with one line for the path, or none.
    fn edit(&self, before: &str) -> String {
        let mine = |text: &str| {
            !text.trim_start().starts_with('#')
                && text.split_whitespace().nth(1) == Some(self.path.as_str())
        };
        let same = |text: &str| {
            let line = self.line.as_deref().unwrap_or_default();
            text.split_whitespace().eq(line.split_whitespace())
        };
        let mut placed = false;
        let mut text = String::new();
        for line in before.lines() {
            let kept = match (mine(line), &self.line) {
                (false, _) => Some(line),
                (true, Some(wanted)) if !placed => {
                    placed = true;
                    Some(if same(line) { line } else { wanted.as_str() })
                }
                (true, _) => None,
            };
            if let Some(line) = kept {
                text.push_str(line);
                text.push('\n');
            }
        }
        match &self.line {
            Some(line) if !placed => text + line + "\n",
            _ => text,
        }
    }
}

impl Action for Mount {
    fn facts(&self, questions: &mut Questions) {
        questions.facts.extend([
            Fact::File(FSTAB.into()),
            Fact::Content(FSTAB.into()),
            Fact::File(self.path.clone()),
            Fact::Mount(self.path.clone()),
        ]);
    }

    fn words(&self) -> Vec<&str> {
        // mount(8) gives them to the helpers of file systems as arguments.
        self.line.as_deref().into_iter().collect()
    }

    fn plan(&self, look: &Look<'_>) -> Verdict {
        let mut changes = Vec::new();
        let path = self.path.clone();
        if self.state != State::Unmounted {
            let Some((seen, before)) = look.text(FSTAB) else {
                return Verdict::Unseen(FSTAB.into());
            };
            let target = Target::new(FSTAB, Content::inline(self.edit(&before)));
            changes.extend(target.change(seen));
        }
        let is_directory = look
            .file(&path)
            .is(|s| s.is_some_and(|s| s.kind == FileKind::Directory));
        let mounted = look.mount(&path);
        match (self.state, mounted) {
            (State::Present, _) => {}
            (State::Mounted, Known::Is(Some(now))) => {
                let by_name = |s: &&String| s.starts_with('/') && !s.starts_with("/dev/disk/");
                let other = self
                    .source
                    .as_ref()
                    .filter(by_name)
                    .filter(|s| **s != now.source);
                // Taking it away could take somebody's files with it.
                if let Some(wanted) =
                    other.filter(|_| now.kind != "none" && now.source.starts_with("/dev/"))
                {
                    return Verdict::Refused(format!(
                        "{} is mounted at {path}, not {wanted}: unmount it first",
                        now.source
                    ));
                }
            }
            (State::Mounted, seen) => {
                let why = if seen == Known::Unknown {
                    LATER
                } else {
                    "is not mounted"
                };
                if !is_directory {
                    let make = Effect::Directory {
                        path: path.clone(),
                        mode: None,
                        owner: None,
                        group: None,
                    };
                    changes.push(Change::new(make, "to mount it there"));
                }
                changes.push(Change::new(Effect::Mount(path.clone()), why));
            }
            (State::Unmounted | State::Absent, Known::Is(None)) => {}
            (State::Unmounted | State::Absent, seen) => {
                let why = if seen == Known::Unknown {
                    LATER
                } else {
                    "is mounted"
                };
                changes.push(Change::new(Effect::Unmount(path.clone()), why));
            }
        }
        Verdict::of(changes, format!("{path} is as written"))
    }
}
