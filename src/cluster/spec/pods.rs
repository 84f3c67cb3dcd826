//! The images of keepalived and haproxy as static pods.

use super::reader::Reader;
use super::{Profile, Way};
use crate::model::Diagnostic;
use crate::role;

/// The document's own image, of both profiles: keepalived's makers publish none. It has curl, which the check needs (its
/// Dockerfile, since 2.0.17).
const KEEPALIVED: &str = "osixia/keepalived:2.0.20";

/// haproxy's own image: the document's with profile `seed`, else a release of the newest branch with long-term support
/// whose tag was seen in use (3.2, until 2030).
const fn haproxy(profile: Profile) -> &'static str {
    match profile {
        Profile::Seed => "haproxy:2.8",
        Profile::Fast => "haproxy:3.2.4",
    }
}

/// Returns the name of an image, which goes into manifests as it is.
pub(super) fn image(reader: &mut Reader<'_>, name: &str) -> Option<String> {
    let got = reader.text(name)?;
    if !role::is_image(&got.value) {
        let message = format!(
            "`{name}`: `{}` is no name of an image",
            got.value.escape_debug()
        );
        let help = "as in registry.example/haproxy:3.2.4";
        let error = Diagnostic::error(message).at(got.span);
        reader.findings.push(error.help(help));
        return None;
    }
    Some(got.value)
}

/// Returns keepalived's image and haproxy's. Every way has them: where images come as files, a way that runs no pods
/// leaves these out.
pub(super) fn read_images(reader: &mut Reader<'_>, way: Way, profile: Profile) -> (String, String) {
    let keepalived = image(reader, "keepalived_image");
    if keepalived.is_none() && way == Way::KeepalivedHaproxyPods && profile == Profile::Fast {
        let warning = Diagnostic::warning(format!(
            "`keepalived_image` is not set: {KEEPALIVED}, the image of kubeadm's document, is from 2020"
        ));
        reader.findings.push(warning.help(
            "name an image with a current keepalived and curl: docs/load-balancing.md shows how to make one",
        ));
    }
    let haproxy_set = image(reader, "haproxy_image");
    (
        keepalived.unwrap_or_else(|| KEEPALIVED.to_owned()),
        haproxy_set.unwrap_or_else(|| haproxy(profile).to_owned()),
    )
}
