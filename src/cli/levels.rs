//! Flags that may stand before the subcommand and after it: what both places say counts.
//!
//! To clap the deepest place with a flag is the only one (`ArgMatcher::fill_in_global_values`). Read so,
//! `-e a=1 plan -e b=2` would plan without `a`, and `-l cp1 apply -l cp2` would work on a host that nobody meant.

use std::any::Any;
use std::ffi::OsString;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, Error};

/// The places of a command line at which flags may stand, the program's own first.
pub(super) struct Levels(Vec<ArgMatches>);

impl Levels {
    /// Reads the command line place by place. A flag that may be given once alone and stands in two places is an error,
    /// as it is where it stands twice in one.
    pub(super) fn read(command: Command, words: &[OsString]) -> Result<Self, Error> {
        let global: Vec<Arg> = command
            .get_arguments()
            .filter(|argument| argument.is_global_set())
            .map(|argument| argument.clone().global(false))
            .collect();
        let mut apart = everywhere(
            command.mut_args(|argument| argument.global(false)),
            &global,
            true,
        );
        let mut levels = vec![apart.try_get_matches_from_mut(words)?];
        while let Some((_, next)) = levels.last_mut().and_then(ArgMatches::remove_subcommand) {
            levels.push(next);
        }
        let levels = Self(levels);
        for argument in &global {
            let once = matches!(argument.get_action(), ArgAction::Set);
            if once && levels.with(argument.get_id().as_str()).count() > 1 {
                let name = argument.get_long().unwrap_or(argument.get_id().as_str());
                let message = format!(
                    "the argument '--{name}' cannot be used both before and after the command"
                );
                return Err(apart.error(ErrorKind::ArgumentConflict, message));
            }
        }
        Ok(levels)
    }

    /// Returns all values of a flag, in the order of the command line; `None` where it is not given there.
    pub(super) fn all<T: Any + Clone + Send + Sync>(&self, id: &str) -> Option<Vec<T>> {
        let mut given = self.with(id).peekable();
        given.peek()?;
        let values = given.filter_map(|level| level.get_many::<T>(id));
        Some(values.flatten().cloned().collect())
    }

    /// Returns how often a flag without a value is given.
    pub(super) fn count(&self, id: &str) -> u8 {
        let counts = self.with(id).map(|level| level.get_count(id));
        counts.fold(0, u8::saturating_add)
    }

    /// Returns the places at which a flag is given.
    fn with(&self, id: &str) -> impl Iterator<Item = &ArgMatches> {
        self.0
            .iter()
            .filter(move |level| level.value_source(id) == Some(ValueSource::CommandLine))
    }
}

/// Returns the command with the flags as each place's own.
fn everywhere(command: Command, flags: &[Arg], top: bool) -> Command {
    let command = if top { command } else { command.args(flags) };
    command.mut_subcommands(|subcommand| everywhere(subcommand, flags, false))
}
