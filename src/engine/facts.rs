//! The facts at the end of a wave.

use crate::host::probe::Parser;
use crate::host::{Facts, Observed};

/// Takes fact lines as they come; a line that cannot be read spoils the answer, not the run: a fact that is missing
/// would read as "not there".
pub(super) struct FactReader<'a> {
    parser: Parser<'a>,
    spoiled: bool,
}

impl<'a> FactReader<'a> {
    pub(super) fn new(facts: &'a Facts) -> Self {
        Self {
            parser: Parser::new(facts),
            spoiled: false,
        }
    }

    pub(super) fn line(&mut self, line: &str) {
        self.spoiled |= self.parser.line(line).is_err();
    }

    pub(super) fn finish(&mut self) -> Option<Observed> {
        let parser = std::mem::replace(&mut self.parser, Parser::new(const { &Facts::new() }));
        (!self.spoiled).then(|| parser.finish())
    }
}
