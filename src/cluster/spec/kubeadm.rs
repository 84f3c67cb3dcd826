//! The user's kubeadm documents, with the places of what is wrong with them.

use super::read::{self, Findings, Got};
use crate::cluster::kubeadm::{UserDocuments, refused_preflight_error};
use crate::cluster::preflight::NAMES;
use crate::model::{Diagnostic, Value, nearest};

pub(super) fn read(got: Got<Value>, findings: &mut Findings) -> Option<UserDocuments> {
    match UserDocuments::read(&got.value, &|pointer| got.at(pointer)) {
        Ok(documents) => Some(documents),
        Err(found) => {
            found
                .0
                .into_iter()
                .for_each(|finding| findings.push(finding));
            None
        }
    }
}

/// Returns the checks that may be ignored.
pub(super) fn read_ignored(got: Got<Value>, findings: &mut Findings) -> Option<Vec<String>> {
    let got = read::texts("ignore_preflight_errors", got, findings)?;
    let mut ignored = Vec::new();
    for (i, name) in got.value.iter().enumerate() {
        match refused_preflight_error("ignore_preflight_errors", name) {
            Some(problem) => findings.push(problem.at(got.at(&format!("/{i}")))),
            None => {
                let is = |known: &&str| known.eq_ignore_ascii_case(name);
                if let Some(near) = nearest(name, NAMES).filter(|_| !NAMES.iter().any(is)) {
                    let message = format!("`ignore_preflight_errors`: no check is called `{name}`");
                    let warning = Diagnostic::warning(message).at(got.at(&format!("/{i}")));
                    findings.push(warning.help(format!("did you mean `{near}`?")));
                }
                ignored.push(name.clone());
            }
        }
    }
    Some(ignored)
}
