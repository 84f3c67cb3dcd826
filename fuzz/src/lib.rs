//! What several fuzz targets do and check.

use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, Mutex};

use quorate::cluster::spec::{ClusterSpec, connections};
use quorate::event::is_hostile;
use quorate::inventory::{Input, Inventory};
use quorate::model::Diagnostics;
use quorate::report::diagnostics;

/// Reads an inventory as `validate` does.
pub fn inventory(input: &Input) {
    let (inventory, found) = Inventory::build(input);
    places(&found);
    places(&ClusterSpec::build(&inventory, &BTreeSet::new()).1);
    places(&connections(&inventory).1);
    let list = inventory.to_list(&|_, variable| variable.shown());
    quorate::inventory::to_json(&list);
    quorate::inventory::to_yaml(&list);
}

/// Checks that each finding's place lies in its file, and that showing it steers no terminal.
pub fn places(found: &Diagnostics) {
    for diagnostic in found.iter() {
        if let Some(span) = &diagnostic.span {
            assert!(
                span.source.text.get(span.range.clone()).is_some(),
                "{diagnostic:?}"
            );
        }
    }
    tame(&diagnostics::render(found, false));
    diagnostics::json(found);
}

/// Checks that a text steers no terminal.
pub fn tame(text: &str) {
    let hostile = text.chars().find(|c| *c != '\n' && is_hostile(*c));
    assert_eq!(hostile, None, "{text:?}");
}

/// A writer whose content can be looked at afterwards.
#[derive(Clone, Default)]
pub struct Buffer(Arc<Mutex<Vec<u8>>>);

impl io::Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .lock()
            .map_err(|_| io::ErrorKind::Other)?
            .extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Buffer {
    /// Returns what was written, as text.
    pub fn text(&self) -> String {
        let bytes = self.0.lock().map(|bytes| bytes.clone()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}
