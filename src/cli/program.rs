//! From `main` to the exit code.

use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};

use clap::CommandFactory as _;
use color_eyre::config::{HookBuilder, Theme};
use color_eyre::eyre::{Report, Result};

use super::args::{Cli, SchemaOf, Task};
use super::exit::{self, WrongInput};
use super::{demo, history, replay, run, vault};
use crate::cluster::spec;
use crate::event::{ExitCode, printable};
use crate::model::{Diagnostic, Diagnostics};
use crate::report::{self, Color, Options, Output, diagnostics};
use crate::role;

const ERROR: anstyle::Style = anstyle::AnsiColor::Red.on_default().bold();

/// Runs the program and returns its exit code.
pub fn main() -> std::process::ExitCode {
    keep_memory_private();
    let words: Vec<_> = std::env::args_os().collect();
    let cli = match Cli::read(&words) {
        Ok(cli) => cli,
        Err(error) => {
            // Help into a closed pipe is no failure.
            let _ = error.print();
            return exit::of_usage(&error).into();
        }
    };
    let options = cli.common.options();
    install_hooks(options.color);
    // The hook has printed the panic; what is left is the exit code, which would be 101 otherwise.
    let result = catch_unwind(AssertUnwindSafe(|| start(cli, options.clone())));
    let exit = match result {
        Ok(Ok(exit)) => exit,
        Ok(Err(error)) => fail(&error, &options),
        Err(_) => ExitCode::Failed,
    };
    exit.into()
}

/// Lets no core dump be written: memory holds passwords and keys. A limit of zero keeps files from being written; a program
/// that dumps are piped to gets none of a process that is not dumpable (core(5)), and other processes of the same user
/// cannot look into it (PR_SET_DUMPABLE(2const)), as ssh-agent(1) has it.
fn keep_memory_private() {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    // Whoever may not lower a limit is in a sandbox that keeps it already.
    let _ = setrlimit(Resource::Core, none);
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};
        let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    }
}

/// Returns the command line's definition, for completions and documentation.
pub fn command() -> clap::Command {
    Cli::command()
}

fn start(cli: Cli, options: Options) -> Result<ExitCode> {
    let locks = cli.common.locks();
    match cli.command.into_task(&cli.common) {
        Task::Vault(vault) => vault::run(vault, &locks, &options),
        Task::Run(request) => runtime()?.block_on(run::run(*request)),
        Task::Replay(journal) => replay::replay(&journal, options),
        Task::Report {
            journals,
            html,
            text,
        } => replay::report(&journals, html.as_deref(), text, &options),
        Task::History { inventory, last } => history::history(&inventory, last, &options),
        Task::Completions(shell) => completions(shell),
        Task::Schema(of) => schema(of),
        Task::Demo(demo) => runtime()?.block_on(demo::demo(demo, options)),
    }
}

fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
}

fn completions(shell: clap_complete::Shell) -> Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command(), "quorate", &mut script);
    written(&script)
}

fn schema(of: SchemaOf) -> Result<ExitCode> {
    let schema = match of {
        SchemaOf::Inventory => spec::schema::inventory(),
        SchemaOf::Vars => spec::schema::variables(),
        SchemaOf::Tasks => role::schema::tasks(),
        SchemaOf::Handlers => role::schema::handlers(),
        SchemaOf::Site => role::schema::site(),
        SchemaOf::Events => report::schema::events(),
        SchemaOf::Plan => report::schema::plan(),
    };
    written(format!("{schema:#}\n").as_bytes())
}

/// Writes to standard output; who reads no further has had enough.
fn written(bytes: &[u8]) -> Result<ExitCode> {
    match io::stdout().write_all(bytes) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(ExitCode::Done),
    }
}

/// Prints an error and returns its exit code.
fn fail(error: &Report, options: &Options) -> ExitCode {
    let text = match error.downcast_ref::<WrongInput>() {
        Some(WrongInput(findings)) if options.output == Output::Json => diagnostics::json(findings),
        Some(WrongInput(findings)) => {
            diagnostics::render(&run::concealed(findings), options.color.on_stderr())
        }
        None if options.output == Output::Json => {
            diagnostics::json(&Diagnostics(vec![Diagnostic::error(causes(error))]))
        }
        None if options.verbosity > 0 => format!("error: {}\n", tame(&format!("{error:?}"))),
        // Where in the code it came from is for -v.
        None => format!(
            "{ERROR}error:{ERROR:#} {}\n",
            printable(&causes(error), true)
        ),
    };
    // There is nobody left to tell if standard error is closed.
    let _ = options.color.stderr().write_all(text.as_bytes());
    exit::of_error(error)
}

/// Returns a text in which colours (ECMA-48, SGR) are all that a terminal is told: a path in it may be somebody else's.
fn tame(text: &str) -> String {
    let mut pieces = text.split("\u{1b}[");
    let mut out = printable(pieces.next().unwrap_or_default(), true);
    for piece in pieces {
        let end = piece.find(|c: char| !(c.is_ascii_digit() || c == ';'));
        let colour = end.and_then(|end| Some((&piece[..end], piece[end..].strip_prefix('m')?)));
        match colour {
            Some((colour, rest)) => {
                out.push_str(&format!("\u{1b}[{colour}m{}", printable(rest, true)));
            }
            None => out.push_str(&format!("\\u{{1b}}[{}", printable(piece, true))),
        }
    }
    out
}

/// Returns the chain of causes on one line. A cause that stands in the text before it already is not told again.
fn causes(error: &Report) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

fn install_hooks(color: Color) {
    let theme = if color.on_stderr() {
        Theme::dark()
    } else {
        Theme::new()
    };
    let installed = HookBuilder::default()
        .theme(theme)
        .display_env_section(false)
        .panic_section(concat!(
            "This is a bug in quorate ",
            env!("CARGO_PKG_VERSION"),
            ". Please report it with the text above, the command, and the journal in .quorate/journal/:\n",
            env!("CARGO_PKG_REPOSITORY"),
            "/issues\nEvery run looks at the hosts before it does anything: run the same command again to go on.",
        ))
        .install();
    // Without the hooks errors are merely less pretty.
    drop(installed);
}

#[cfg(test)]
mod tests {
    use super::tame;

    #[test]
    fn colours_alone_are_left() {
        let text = "\u{1b}[31mred\u{1b}[0m \u{1b}[2J\u{1b}]0;x\u{7}\nnext\u{1b}[";
        assert_eq!(
            tame(text),
            "\u{1b}[31mred\u{1b}[0m \\u{1b}[2J\\u{1b}]0;x\\u{7}\nnext\\u{1b}["
        );
    }
}
