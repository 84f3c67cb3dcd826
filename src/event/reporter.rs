//! What receives the stream.

use std::io;

use super::Record;

/// Receives every record of a run in order: the journal, the terminal, a file of JSON lines.
///
/// Whoever calls it drops a reporter that returns an error, and goes on without it.
pub trait Reporter: Send {
    /// Takes one record.
    fn record(&mut self, record: &Record) -> io::Result<()>;

    /// Ends the report; nothing is recorded after it.
    fn finish(&mut self) -> io::Result<()> {
        Ok(())
    }
}
