//! `command` and `shell`: what no other module can say.

use super::{Action, LATER, Look, Module, Questions, Verdict};
use crate::event::Category;
use crate::host::{Content, Effect, Fact, Known, Run};
use crate::model::shlex;
use crate::plan::Change;
use crate::role::args::{Args, RunAs};
use crate::role::until;

pub(super) const MODULE: Module = Module {
    name: "command",
    aliases: &[],
    arguments: &["cmd", "argv", "creates", "removes", "chdir", "stdin"],
    bare: Some("cmd"),
    category: Category::Own,
    read,
};

pub(super) const SHELL: Module = Module {
    name: "shell",
    aliases: &[],
    arguments: &["cmd", "creates", "removes", "chdir", "stdin"],
    bare: Some("cmd"),
    category: Category::Own,
    read,
};

#[derive(Debug)]
pub(super) struct Command(pub(super) Run);

fn read(args: &mut Args<'_>) -> Option<Box<dyn Action>> {
    let argv = words(args);
    let creates = one_path(args, "creates");
    let removes = one_path(args, "removes");
    let chdir = args.optional_path("chdir");
    let stdin = args.text("stdin").map(Content::inline);
    let user = match args.run_as.clone() {
        None | Some(RunAs::Root) => None,
        Some(RunAs::User(user)) => Some(user),
        Some(RunAs::Login) => {
            let user = args.login_user();
            if user.is_none() {
                args.complain(
                    "",
                    "`become: false` runs the command as the login user: `ansible_user` is not set",
                    None,
                );
            }
            user
        }
    };
    let until = match args.polling {
        Some((polling, register)) => Some(until::read(args, polling, register)?),
        None => None,
    };
    let run = Run {
        label: label(args.module, argv.as_deref()),
        creates,
        removes,
        chdir,
        stdin,
        user: user.filter(|u| u != "root"),
        until,
        ..Run::new(argv?)
    };
    Some(Box::new(Command(run)))
}

/// Returns what a plan calls a shell's command: its text, or the first line of several, without the shell around it.
fn label(module: &str, argv: Option<&[String]>) -> Option<String> {
    let text = match argv? {
        [.., text] if module == "shell" => text,
        [shell, c, text] if shell == "/bin/sh" && c == "-c" && text.contains('\n') => text,
        _ => return None,
    };
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let first = lines.next()?;
    let more = if lines.next().is_some() { " …" } else { "" };
    Some(format!("{first}{more}"))
}

/// Returns a path that is looked for. Ansible takes a pattern there (glob(7)); here one file is.
fn one_path(args: &mut Args<'_>, name: &str) -> Option<String> {
    let path = args.optional_path(name)?;
    if path.contains(['*', '?', '[']) {
        let message = format!("`{name}` takes the path of one file, not the pattern `{path}`");
        let help =
            format!("name one file, or ask in a `shell`: `ls {path} >/dev/null 2>&1 || COMMAND`");
        args.complain(name, message, help);
        return None;
    }
    Some(path)
}

fn words(args: &mut Args<'_>) -> Option<Vec<String>> {
    let found = match (args.has("argv"), args.has("cmd")) {
        (true, false) => args.list("argv")?,
        (false, true) if args.module == "shell" => {
            vec!["/bin/sh".into(), "-c".into(), args.required("cmd")?]
        }
        (false, true) => {
            let text = args.required("cmd")?;
            match shlex::split(&text) {
                Some(words) => words,
                None => {
                    args.complain("cmd", format!("a quote is not closed in `{text}`"), None);
                    return None;
                }
            }
        }
        (true, true) => {
            args.complain("argv", "`command` takes `argv` or `cmd`, not both", None);
            return None;
        }
        (false, false) => {
            args.missing("cmd");
            return None;
        }
    };
    if found.first().is_none_or(String::is_empty) || found.iter().any(|w| w.contains('\0')) {
        args.complain("cmd", "there is no command to run", None);
        return None;
    }
    Some(found)
}

/// What Ansible takes out of a command that is one text, wherever it stands in it (parsing/splitter.py and the action plugins'
/// RAW_PARAM_MODULES): here it would be a word of the command.
const FREE_FORM: [&str; 8] = [
    "creates",
    "removes",
    "chdir",
    "stdin",
    "executable",
    "warn",
    "stdin_add_newline",
    "strip_empty_ends",
];

/// Returns which of these a command's text has, with its value, as far as a text without templates shows. In a shell's text of several
/// lines it is an assignment of the shell's.
pub(in crate::role) fn free_form(text: &str) -> Option<(String, String)> {
    if text.trim_end().contains('\n') {
        return None;
    }
    shlex::split(text)?.iter().find_map(|word| {
        let (name, value) = word.split_once('=')?;
        FREE_FORM
            .contains(&name)
            .then(|| (name.to_string(), value.to_string()))
    })
}

/// Returns what to write instead of such an argument.
pub(in crate::role) fn instead(name: &str, value: &str) -> String {
    match MODULE.arguments.contains(&name) {
        // A text is split at spaces, those within a template too: the rest of the value is not known here.
        true if value.contains("{{") => {
            format!("write a map, with `cmd` and `{name}` in lines of their own")
        }
        true => format!("write a map, with `cmd` and `{name}: {value}` in lines of their own"),
        false => "leave it out: there is no such argument here".to_string(),
    }
}

impl Action for Command {
    fn facts(&self, questions: &mut Questions) {
        questions.facts.extend(
            self.0
                .creates
                .iter()
                .chain(&self.0.removes)
                .cloned()
                .map(Fact::Path),
        );
    }

    fn plan(&self, look: &Look<'_>) -> Verdict {
        let run = &self.0;
        let mut why = None;
        for (path, there) in [(&run.creates, false), (&run.removes, true)] {
            let Some(path) = path else { continue };
            match look.file(path) {
                Known::Unknown => why = Some(LATER.to_string()),
                Known::Is(state) if state.is_some() != there => {
                    return Verdict::Nothing(format!(
                        "{path} is {}",
                        if there { "absent" } else { "there" }
                    ));
                }
                Known::Is(_) => {
                    why = why.or(Some(format!(
                        "{path} is {}",
                        if there { "there" } else { "absent" }
                    )))
                }
            }
        }
        let change = |why: String| vec![Change::new(Effect::Run(run.clone()), why)];
        match why {
            Some(why) => Verdict::Changes(change(why)),
            None => Verdict::Always(change("runs each time".into())),
        }
    }
}
