//! The scripts that a drill runs on hosts, rendered here alone. Each is one exec; what it says is in [`super::record`].

use std::net::IpAddr;

use super::wish::{By, Site};
use crate::host::{Request, script, sh};
use crate::model::HostName;

const COMMON: &str = include_str!("common.sh");
const PROBER: &str = include_str!("prober.sh");
const WATCH: &str = include_str!("watch.sh");
const HOLDER: &str = include_str!("holder.sh");
const TARGET: &str = include_str!("target.sh");

/// A request starts so often, in milliseconds: 25 a second. Lanes pause when they begin anew, which leaves 23.
pub const STEP_MS: u32 = 40;
/// A request may take so long, in milliseconds.
pub const LIMIT_MS: u32 = 500;
/// Where the cluster's CA lies on each node (kubeadm).
const CA: &str = "/etc/kubernetes/pki/ca.crt";
/// Where each node's kubelet has its own certificate and key.
const CLIENT: &str = "/var/lib/kubelet/pki/kubelet-client-current.pem";

fn assign(values: &[(&str, String)]) -> String {
    values
        .iter()
        .map(|(name, value)| format!("{name}={}\n", sh::quote(value)))
        .collect()
}

/// Returns curl's arguments that lead the endpoint's name to the virtual address, whatever the host resolves it to.
fn resolve(site: &Site) -> String {
    match site.vip.filter(|_| site.endpoint.address().is_none()) {
        Some(vip) => {
            let (host, port) = (site.endpoint.host(), site.endpoint.port());
            sh::words(["--resolve".to_string(), format!("{host}:{port}:{vip}")])
        }
        None => String::new(),
    }
}

/// Returns the request that makes requests at the API's address for at most `life` seconds, while its standard input is
/// open: one `probe END STATUS SECONDS` each.
pub fn prober(site: &Site, life: u64, nonce: &str) -> Request {
    let values = assign(&[
        ("url", format!("https://{}/readyz", site.endpoint)),
        ("ca", CA.into()),
        ("client", CLIENT.into()),
        ("step", STEP_MS.to_string()),
        ("limit", LIMIT_MS.to_string()),
        ("life", life.to_string()),
    ]);
    let call = format!("prober {}\n", resolve(site));
    script::command(&format!("{COMMON}{PROBER}{values}"), &call, nonce)
}

/// Returns the request that keeps a watch open, and tells when it breaks: `watch MS open` and `watch MS closed`.
pub fn watcher(site: &Site, life: u64, nonce: &str) -> Request {
    let values = assign(&[
        ("url", format!("https://{}/readyz", site.endpoint)),
        ("server", format!("https://{}", site.endpoint)),
        ("ca", CA.into()),
        ("life", life.to_string()),
    ]);
    let call = format!("watcher {}\n", resolve(site));
    script::command(&format!("{COMMON}{WATCH}{values}"), &call, nonce)
}

/// Returns the request that tells whether the host carries the virtual address: `holder MS yes` or `no`.
pub fn holder(vip: IpAddr, life: u64, nonce: &str) -> Request {
    let values = assign(&[("vip", vip.to_string()), ("life", life.to_string())]);
    script::command(&format!("{COMMON}{HOLDER}{values}"), "holder\n", nonce)
}

/// Returns the request that takes a host away; `None` where that is not done on the host. `interfaces` are those that
/// carry its addresses. Its answer is `armed` or `cannot WHY`.
pub fn take_away(
    site: &Site,
    by: &By,
    seconds: u32,
    host: &HostName,
    interfaces: &[String],
    nonce: &str,
) -> Option<Request> {
    let call = match by {
        By::Isolate => format!("isolate {seconds} {}\n", sh::words(interfaces)),
        By::StopService => format!("stop_units {seconds} {}\n", sh::words(&site.units)),
        By::KillApi => "kill_api\n".to_string(),
        By::Reboot => format!("reboot_host {}\n", sh::words(site.boot_units(host))),
        By::Command(_) => return None,
    };
    Some(target(&call, nonce))
}

/// Returns the request that brings back at once what a timer would bring back later, and reports.
pub fn release(nonce: &str) -> Request {
    target("release\n", nonce)
}

/// Returns the request that tells when the host was taken away and brought back, and which boot this is.
pub fn report(nonce: &str) -> Request {
    target("report\n", nonce)
}

fn target(call: &str, nonce: &str) -> Request {
    script::command(&format!("{COMMON}{TARGET}"), call, nonce)
}
