//! One event a line, as in the journal; behind a plan the plan as one object.

use std::io::{self, Write};

use crate::event::{Record, Reporter};

use super::plan_json::PlanObject;

/// Writes each record as a line of JSON, `v` first.
pub struct Json {
    out: Box<dyn Write + Send>,
    plan: PlanObject,
}

impl Json {
    /// Returns a reporter that writes to `out`.
    pub fn new(out: Box<dyn Write + Send>) -> Self {
        Self {
            out,
            plan: PlanObject::default(),
        }
    }
}

impl Reporter for Json {
    fn record(&mut self, record: &Record) -> io::Result<()> {
        self.out.write_all(record.to_line()?.as_bytes())?;
        if let Some(plan) = self.plan.add(record) {
            // Its texts are printable already.
            let line = serde_json::to_string(&plan)? + "\n";
            self.out.write_all(line.as_bytes())?;
        }
        // Whoever reads the other end wants to see the run as it goes.
        self.out.flush()
    }
}
