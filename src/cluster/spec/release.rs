//! Versions of Kubernetes and containerd.

use super::Version;
use super::read::{self, Findings, Got};
use super::reader::Reader;
use crate::model::{Diagnostic, Value};

pub(super) fn read_version(reader: &mut Reader<'_>) -> Option<Version> {
    let Some(got) = reader.get("kubernetes_version") else {
        reader.missing(
            "kubernetes_version",
            "set it in group_vars/all.yml, exact and quoted: kubernetes_version: \"1.36.3\"",
        );
        return None;
    };
    let version = read_exact("kubernetes_version", &got, &mut reader.findings)?;
    // kubeadm's v1beta4, the one form that is written, is there from 1.31 on (kubernetes.io, kubeadm configuration).
    if version.major > 1 {
        let error = Diagnostic::error(format!(
            "`kubernetes_version` is {version}, and there is no Kubernetes {}: major 1 is expected",
            version.major
        ))
        .at(got.span);
        reader
            .findings
            .push(error.help("write the exact version of a release, as in \"1.36.3\""));
        return None;
    }
    if version < Version::new(1, 31, 0) {
        let error = Diagnostic::error(format!(
            "Kubernetes {version} is too old: 1.31 is the first with kubeadm's v1beta4"
        ))
        .at(got.span);
        reader
            .findings
            .push(error.help("choose a release that is still maintained"));
        return None;
    }
    Some(version)
}

pub(super) fn read_exact(name: &str, got: &Got<Value>, findings: &mut Findings) -> Option<Version> {
    let error = match &got.value {
        Value::String(text) => match text.parse::<Version>() {
            Ok(version) => return Some(version),
            Err(error) => Diagnostic::error(format!("`{name}`: `{text}` {error}")),
        },
        Value::Number(number) => {
            let written = got.written("").unwrap_or_default();
            let error = Diagnostic::error(format!(
                "`{name}` has no quotes, and YAML reads {written} as the number {number}"
            ));
            error.help("write the exact version, three numbers with quotes, as in \"1.36.3\"")
        }
        other => Diagnostic::error(format!(
            "`{name}` is a version, not {}",
            read::describe(other)
        ))
        .help("write three numbers with quotes, as in \"1.36.3\""),
    };
    findings.push(error.at(got.span.clone()));
    None
}

pub(super) fn read_containerd(
    reader: &mut Reader<'_>,
    kubernetes: Option<Version>,
) -> Option<Version> {
    let got = reader.get("containerd_version")?;
    let version = read_exact("containerd_version", &got, &mut reader.findings)?;
    if version.major < 2 && kubernetes.is_some_and(|k| k >= Version::new(1, 36, 0)) {
        let error = Diagnostic::error(format!(
            "containerd {version} is too old for Kubernetes 1.36 and newer"
        ))
        .at(got.span);
        reader.findings.push(error.help("choose 2.0 or newer"));
    }
    Some(version)
}
