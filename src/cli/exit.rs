//! From whatever ended the program to its exit code. The codes themselves are [`ExitCode`]'s.

use color_eyre::eyre::Report;

use crate::engine::journal::JournalError;
use crate::event::ExitCode;
use crate::model::Diagnostics;

/// The user's input is wrong: every finding at once, and exit code 4.
#[derive(Debug, thiserror::Error)]
#[error("the input is wrong")]
pub struct WrongInput(pub Diagnostics);

/// Returns how an error ends the program.
pub(super) fn of_error(error: &Report) -> ExitCode {
    if error.is::<WrongInput>() || error.is::<JournalError>() {
        ExitCode::Input
    } else {
        ExitCode::Failed
    }
}

/// Returns how clap's answer ends the program: help and version are no errors, wrong arguments are wrong input.
pub(super) fn of_usage(error: &clap::Error) -> ExitCode {
    if error.use_stderr() {
        ExitCode::Input
    } else {
        ExitCode::Done
    }
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(exit: ExitCode) -> Self {
        Self::from(exit.code())
    }
}
