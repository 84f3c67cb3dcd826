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
    let creates = args.optional_path("creates");
    let removes = args.optional_path("removes");
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
