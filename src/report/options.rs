//! Which reporter the user gets.

use std::io::{self, IsTerminal, Write};

use anstream::{AutoStream, ColorChoice};
use camino::Utf8PathBuf;

use crate::event::Reporter;

use super::live::Live;
use super::pretty::Surface;
use super::{Json, Plain, Pretty};

/// `--output`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Output {
    /// Pretty on a terminal, plain elsewhere.
    #[default]
    Auto,
    /// For a person.
    Pretty,
    /// One line an event, for grep.
    Plain,
    /// One line of JSON an event, for programs.
    Json,
}

/// `--color`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set.
    #[default]
    Auto,
    /// Everywhere.
    Always,
    /// Nowhere.
    Never,
}

impl Color {
    fn choice(self, stream: &impl anstream::stream::RawStream) -> ColorChoice {
        match self {
            Self::Auto => AutoStream::choice(stream),
            Self::Always => ColorChoice::AlwaysAnsi,
            Self::Never => ColorChoice::Never,
        }
    }

    /// Returns standard output; styles written to it are stripped where they are not wanted.
    pub fn stdout(self) -> Box<dyn Write + Send> {
        let stdout = io::stdout();
        let choice = self.choice(&stdout);
        Box::new(AutoStream::new(stdout, choice))
    }

    /// Returns standard error; styles written to it are stripped where they are not wanted.
    pub fn stderr(self) -> Box<dyn Write + Send> {
        let stderr = io::stderr();
        let choice = self.choice(&stderr);
        Box::new(AutoStream::new(stderr, choice))
    }

    /// Returns whether styles reach standard output.
    pub fn on_stdout(self) -> bool {
        self.choice(&io::stdout()) != ColorChoice::Never
    }

    /// Returns whether styles reach standard error.
    pub fn on_stderr(self) -> bool {
        self.choice(&io::stderr()) != ColorChoice::Never
    }
}

/// How a run is shown.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// `--output`.
    pub output: Output,
    /// `--color`.
    pub color: Color,
    /// -1 with `-q`, else how often `-v` was given.
    pub verbosity: i8,
    /// `--diff`.
    pub diff: bool,
    /// `--detailed`: the guard of each change too.
    pub detailed: bool,
    /// Where the journal lies, for the recap's last line.
    pub journal: Option<Utf8PathBuf>,
}

/// Returns the reporter for standard output. `live` says whether a display that moves may be used on a terminal; a
/// replay wants none.
pub fn reporter(options: &Options, live: bool) -> Box<dyn Reporter> {
    // A dumb terminal cannot move its cursor.
    let terminal =
        io::stdout().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
    match options.output {
        Output::Json => Box::new(Json::new(Box::new(io::stdout()))),
        Output::Plain => Box::new(Plain::new(options.color.stdout(), options.clone())),
        Output::Auto if live && !terminal => {
            Box::new(Plain::new(options.color.stdout(), options.clone()))
        }
        Output::Auto | Output::Pretty => {
            let surface = if live && terminal && options.verbosity >= 0 {
                Surface::Live(Live::new(options.color.on_stdout()))
            } else {
                Surface::Stream(options.color.stdout())
            };
            Box::new(Pretty::new(surface, options.clone(), live))
        }
    }
}
