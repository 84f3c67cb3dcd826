//! THE SEAM between the command line and everything below it.

use camino::Utf8Path;
use color_eyre::eyre::{Result, bail};
use jiff::Timestamp;

use super::request::Request;
use crate::engine::journal::{self, Journal};
use crate::event::{Event, ExitCode};
use crate::report::{self, Reporters};

/// Does what was asked. Wrong input is returned as [`super::WrongInput`], which prints its findings and exits 4.
// SEAM: inventory, plan, cluster and engine are wired here, one arm for each `Command`.
pub(crate) async fn run(request: Request) -> Result<ExitCode> {
    bail!("`quorate {}` is not wired yet", request.name())
}

/// Returns the dispatcher of a run: the journal first, then what the user sees. A journal that cannot be created is a
/// warning. Send it events with [`Reporters::emit`], or give it the receiving end of a channel with
/// [`Reporters::follow`]; the exit code is that of the recap which both end in.
#[expect(dead_code, reason = "the seam's arms use it")]
pub(crate) fn reporters(request: &Request) -> Reporters {
    let inventory = request
        .inventory
        .first()
        .map_or(Utf8Path::new("inventory"), |path| path);
    let mut options = request.report.clone();
    match Journal::create(&journal::home(inventory), request.name(), Timestamp::now()) {
        Ok(journal) => {
            options.journal = Some(journal.path().to_owned());
            let reporter = report::reporter(&options, true);
            Reporters::new()
                .with("journal", Box::new(journal))
                .with("output", reporter)
        }
        Err(error) => {
            let mut reporters = Reporters::new().with("output", report::reporter(&options, true));
            let message = format!("no journal is kept of this run: {error}");
            reporters.emit(Event::Warning {
                host: None,
                message,
            });
            reporters
        }
    }
}
