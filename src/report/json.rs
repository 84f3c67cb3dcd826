//! One event a line, as in the journal.

use std::io::{self, Write};

use crate::event::{Record, Reporter};

/// Writes each record as a line of JSON, `v` first.
pub struct Json {
    out: Box<dyn Write + Send>,
}

impl Json {
    /// Returns a reporter that writes to `out`.
    pub fn new(out: Box<dyn Write + Send>) -> Self {
        Self { out }
    }
}

impl Reporter for Json {
    fn record(&mut self, record: &Record) -> io::Result<()> {
        self.out.write_all(record.to_line()?.as_bytes())?;
        // Whoever reads the other end wants to see the run as it goes.
        self.out.flush()
    }
}
