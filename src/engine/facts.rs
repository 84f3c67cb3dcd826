//! The facts at the end of a wave.

use crate::host::probe::Parser;
use crate::host::{Facts, Observed};

/// Takes fact lines as they come; a line that cannot be read spoils the answer, not the run.
pub(super) struct FactReader<'a> {
    parser: Parser<'a>,
}

impl<'a> FactReader<'a> {
    pub(super) fn new(facts: &'a Facts) -> Self {
        Self {
            parser: Parser::new(facts),
        }
    }

    pub(super) fn line(&mut self, line: &str) {
        let _ = self.parser.line(line);
    }

    pub(super) fn finish(&mut self) -> Observed {
        std::mem::replace(&mut self.parser, Parser::new(const { &Facts::new() })).finish()
    }
}
