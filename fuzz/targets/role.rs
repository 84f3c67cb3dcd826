//! A role's files, and plays: what is found in reading them and in planning them.
#![no_main]

use std::sync::Arc;

use camino::Utf8Path;
use libfuzzer_sys::fuzz_target;
use quorate::host::{Observed, probe};
use quorate::role::{
    ControllerFile, ControllerFiles, FileError, HostRoles, ImageArchive, Library, Registered, Site,
};
use quorate::template::{Binding, Scope};
use quorate_fuzz::places;
use serde_json::json;

/// Files that are all there.
struct AllThere;

impl ControllerFiles for AllThere {
    fn file(&self, path: &Utf8Path) -> Result<ControllerFile, FileError> {
        Ok(ControllerFile {
            path: path.to_path_buf(),
            length: 5 << 20,
            sha256: quorate::model::Sha256::of(path.as_str()),
        })
    }

    fn images(&self, _: &Utf8Path) -> Result<Vec<ImageArchive>, FileError> {
        Ok(Vec::new())
    }
}

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    // Loops that are meant to be long are Tera's (docs/limits.md).
    if text.contains("range") {
        return;
    }
    // Files of one role, each behind a line with its path.
    let mut files = vec![("tasks/main.yml", text)];
    if let Some(rest) = text.strip_prefix("%% ") {
        let file = |part| str::split_once(part, '\n').unwrap_or((part, ""));
        files = rest.split("\n%% ").map(file).collect();
    }
    let (library, found) = Library::from_texts("r", files);
    places(&found);
    let (_, found) = Site::from_text(text, &library);
    places(&found);
    let Ok(role) = library.get("r") else { return };
    let mut scope = Scope::new();
    scope.set("x", Binding::fixed(json!({"y": ["a", 1, null, true]})));
    scope.set("t", Binding::template(json!("{{ x }}"), None, []));
    let roles = HostRoles::new(vec![role], Arc::new(AllThere)).diffs(true);
    match roles.facts(&scope) {
        Err(found) => places(&found),
        Ok(facts) => {
            probe::request(&facts, "nonce");
            match roles.plan(&scope, &Observed::default(), &Registered::default()) {
                Err(found) => places(&found),
                Ok(plan) => {
                    let (wave, _) = quorate::plan::wave(&plan, "run", facts);
                    quorate::host::script::request(&wave, "nonce");
                }
            }
        }
    }
});
