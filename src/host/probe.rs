//! Facts as one read-only POSIX sh script, and its answer parsed back. The only place that knows either.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::fact::*;
use super::local::{MountState, UserState};
use super::record::Lines;
use super::request::{Request, Segment};
use super::{script, sh};
use crate::model::{Mode, Sha256};

mod answers;
mod preflight;

use answers::{addon, addresses, client_certificate, names, node_of, not_after, own_node, said};

const PROBE: &str = concat!(
    include_str!("folders.sh"),
    include_str!("bad_as.sh"),
    include_str!("probe.sh")
);
/// Bytes of an answer that is none which are shown.
const LAST: usize = 1024;
/// Addresses of the host that talks most: kube-proxy with IPVS gives a node one for each service.
const MOST_ADDRESSES: usize = 16_384;
/// Seconds since 1970 that a host's clock may show: up to the year 9999.
const CLOCKS: std::ops::RangeInclusive<i64> = 0..=253_402_300_799;
/// Sent only where it is asked for: one control plane's question.
const ADDONS: &str = include_str!("addons.sh");
/// Sent with a run's first look alone.
const PREFLIGHT: &str = include_str!("preflight.sh");

/// Returns the request that asks all of `facts`. `nonce` marks the answer's lines: whatever else the host's shell prints
/// is passed over.
pub fn request(facts: &Facts, nonce: &str) -> Request {
    let text = format!(
        "{}\n{PROBE}\n{}",
        script::header(nonce),
        script::main(&format!("{}say end\n", calls(facts)))
    );
    Request::probe(
        script::bootstrap(text.len()),
        vec![Segment::Bytes(text.into_bytes().into())],
    )
}

/// Returns the shell lines that ask `facts`, for the end of a wave.
pub(super) fn section(facts: &Facts) -> (&'static str, String) {
    (PROBE, calls(facts))
}

/// Returns one call for each kind of question, with all its arguments.
fn calls(facts: &Facts) -> String {
    let mut groups: Vec<(&str, Vec<String>)> = Vec::new();
    let mut add = |call: &'static str, words: Vec<String>| match groups
        .iter_mut()
        .find(|(name, _)| *name == call)
    {
        Some((_, all)) => all.extend(words),
        None => groups.push((call, words)),
    };
    for fact in facts {
        match fact {
            Fact::System => {}
            Fact::Path(path) => add("probe_files", vec![path.clone()]),
            Fact::File(path) => {
                add("probe_files", vec![path.clone()]);
                add("probe_sums", vec![path.clone()]);
            }
            Fact::LargeFile(path) => {
                add("probe_files", vec![path.clone()]);
                add("probe_large", vec![path.clone()]);
            }
            Fact::Content(path) => add("probe_content", vec![path.clone()]),
            Fact::Package(name) => add("probe_packages", vec![name.clone()]),
            Fact::Unit(name) => add("probe_units", vec![name.clone()]),
            Fact::Sysctl(key) => add("probe_sysctls", vec![sysctl_path(key)]),
            Fact::Module(name) => add("probe_modules", vec![name.clone()]),
            Fact::User(name) => add("probe_users", vec![name.clone()]),
            Fact::Group(name) => add("probe_groups", vec![name.clone()]),
            Fact::Mount(path) => add("probe_mounts", vec![path.clone()]),
            Fact::Swap => add("probe_swap", Vec::new()),
            Fact::Images => add("probe_images", Vec::new()),
            Fact::Listening(port) => add("probe_ports", vec![port.to_string()]),
            Fact::Pod(name) => add("probe_pods", vec![name.clone()]),
            Fact::Kubernetes {
                address,
                port,
                node,
            } => add(
                "probe_kubernetes",
                vec![address.clone(), port.to_string(), node.clone()],
            ),
            Fact::Claimed { address, port } => {
                add("probe_claimed", vec![address.to_string(), port.to_string()])
            }
            Fact::BgpSessions(peers) => add(
                "probe_sessions",
                peers.iter().map(ToString::to_string).collect(),
            ),
            Fact::Endpoint(endpoint) => add(
                "probe_endpoint",
                vec![
                    endpoint.host().to_string(),
                    endpoint.port().to_string(),
                    endpoint.to_string(),
                ],
            ),
            Fact::Addon {
                server,
                name,
                url,
                text,
            } => add(
                "probe_addons",
                [server, name, url, text].map(String::clone).to_vec(),
            ),
            Fact::Additions => add("probe_additions", Vec::new()),
            Fact::Preflight(questions) => add("probe_preflight", preflight::words(questions)),
        }
    }
    let mut text = String::new();
    if groups.iter().any(|(call, _)| *call == "probe_preflight") {
        text.push_str(PREFLIGHT);
    }
    if groups.iter().any(|(call, _)| *call == "probe_addons") {
        text.push_str(ADDONS);
    }
    text.push_str("probe_system\n");
    for (call, words) in groups {
        text.push_str(&format!("{call} {}\n", sh::words(words)));
    }
    text
}

/// Returns a sysctl's path under /proc/sys (sysctl(8): `.` separates, unless `/` does).
fn sysctl_path(key: &str) -> String {
    if key.contains('/') {
        key.to_string()
    } else {
        key.replace('.', "/")
    }
}

/// What a host answered is no answer to the questions.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the host's answer is not complete: {0}")]
pub struct ProbeError(pub String);

/// Returns what `output` says of `facts`.
///
/// Lines without the nonce are passed over; a line with it that cannot be read, or an answer without its end, is an error.
pub fn parse(facts: &Facts, nonce: &str, output: &[u8]) -> Result<Observed, ProbeError> {
    let mut parser = Parser::new(facts);
    let mut ended = false;
    for line in Lines::new(nonce, output) {
        ended |= line == "end";
        parser.line(&line)?;
    }
    if !ended {
        let last = String::from_utf8_lossy(&output[output.len().saturating_sub(LAST)..]);
        let last = last.lines().rev().take(3).collect::<Vec<_>>();
        return Err(ProbeError(format!(
            "its end is missing; last lines: {}",
            last.into_iter().rev().collect::<Vec<_>>().join(" / ")
        )));
    }
    Ok(parser.finish())
}

/// Takes the lines of an answer one by one.
pub struct Parser<'a> {
    facts: &'a Facts,
    observed: Observed,
    units: Vec<UnitState>,
    body: Vec<u8>,
    kubernetes: Kubernetes,
    api: Option<Api>,
    swaps: Vec<String>,
    swaps_listed: bool,
    images: std::collections::BTreeSet<String>,
    images_listed: bool,
    pods_listed: bool,
}

impl<'a> Parser<'a> {
    /// Returns a parser of the answer to `facts`.
    pub fn new(facts: &'a Facts) -> Self {
        Self {
            facts,
            observed: Observed::default(),
            units: Vec::new(),
            body: Vec::new(),
            kubernetes: Kubernetes::default(),
            api: None,
            swaps: Vec::new(),
            swaps_listed: false,
            images: Default::default(),
            images_listed: false,
            pods_listed: false,
        }
    }

    /// Takes one line, without its nonce.
    pub fn line(&mut self, line: &str) -> Result<(), ProbeError> {
        let bad = || {
            ProbeError(format!(
                "cannot read `{}`",
                line.chars().take(200).collect::<String>()
            ))
        };
        let (kind, rest) = line.split_once(' ').unwrap_or((line, ""));
        match kind {
            "system" => self.system(rest),
            "address" => {
                let (interface, address) = rest.split_once(' ').ok_or_else(bad)?;
                let (address, prefix) = address.split_once('/').unwrap_or((address, "32"));
                let interface = interface.split('@').next().unwrap_or(interface);
                if let (Ok(address), Ok(prefix)) = (address.parse(), prefix.parse()) {
                    let addresses = &mut self.observed.system.addresses;
                    if addresses.len() == MOST_ADDRESSES {
                        let said = format!("it says that it has over {MOST_ADDRESSES} addresses");
                        return Err(ProbeError(said));
                    }
                    addresses.push((interface.to_string(), address, prefix));
                }
            }
            "link-address" => self.observed.system.links.push(rest.to_string()),
            "down" => self.observed.system.down.push(rest.to_string()),
            "claimed" => self.observed.claimed_by = Some(rest.to_string()),
            "session" => {
                let (peer, state) = rest.split_once(' ').ok_or_else(bad)?;
                let peer = peer.parse().map_err(|_| bad())?;
                let session = match state {
                    "up" => BgpSession::Up,
                    "as" => BgpSession::OtherAs,
                    _ => BgpSession::Down,
                };
                self.observed.sessions.insert(peer, session);
            }
            "addon" => {
                let (name, state) = addon(rest).ok_or_else(bad)?;
                self.observed.addons.insert(name, state);
            }
            "endpoint" => self.observed.reach = Some(reach(rest).ok_or_else(bad)?),
            "pending" => {
                self.observed.pending.insert(rest.to_string());
            }
            "stat" => {
                let (path, state) = stat(rest).ok_or_else(bad)?;
                self.observed.files.insert(path, Some(state));
            }
            "link" => {
                let (path, target) = rest.rsplit_once(' ').ok_or_else(bad)?;
                let target = decode(target).ok_or_else(bad)?;
                if let Some(Some(state)) = self.observed.files.get_mut(path) {
                    state.target = Some(
                        String::from_utf8_lossy(&target)
                            .trim_end_matches('\n')
                            .to_string(),
                    );
                }
            }
            "sum" => {
                let (digest, path) = rest.split_once("  ").ok_or_else(bad)?;
                let digest = digest.parse().map_err(|_| bad())?;
                if let Some(Some(state)) = self.observed.files.get_mut(path) {
                    state.sha256 = Some(digest);
                }
            }
            "content" => {
                let (path, text) = rest.rsplit_once(' ').ok_or_else(bad)?;
                let text = decode(text).ok_or_else(bad)?;
                self.observed
                    .contents
                    .insert(path.trim_end().to_string(), text);
            }
            "package" => {
                let (name, rest) = rest.split_once(' ').ok_or_else(bad)?;
                let (status, version) = rest.split_once('|').ok_or_else(bad)?;
                // dpkg-query(1) db:Status-Abbrev: desired action, then state; `i` is installed.
                if status.as_bytes().get(1) == Some(&b'i') {
                    self.observed
                        .packages
                        .insert(name.to_string(), Some(version.to_string()));
                }
            }
            "unit" => self.unit(rest),
            "sysctl" => {
                let (key, value) = rest.split_once(' ').ok_or_else(bad)?;
                self.observed
                    .sysctls
                    .insert(key.to_string(), Some(value.trim().to_string()));
            }
            "module" => {
                self.observed.modules.insert(rest.to_string(), true);
            }
            "user" | "group" | "mount" => self.local(kind, rest).ok_or_else(bad)?,
            "swap" => self.swaps.push(rest.to_string()),
            "swaps-listed" => self.swaps_listed = true,
            "image" => {
                self.images.insert(rest.to_string());
            }
            "images-listed" => self.images_listed = true,
            "port" => {
                self.observed
                    .ports
                    .insert(rest.parse().map_err(|_| bad())?, true);
            }
            "pod" => {
                self.observed.pods.insert(rest.to_string(), true);
            }
            "pods-listed" => self.pods_listed = true,
            "addition" => {
                let additions = self.observed.additions.get_or_insert_default();
                additions.push(rest.to_string());
            }
            "preflight" => {
                let preflight = self.observed.preflight.get_or_insert_default();
                preflight::read(preflight, rest).ok_or_else(bad)?;
            }
            "kubernetes" => self.kubernetes(rest).ok_or_else(bad)?,
            "body" => self.body.extend(rest.as_bytes()),
            "http" => {
                let (what, status) = rest.split_once(' ').ok_or_else(bad)?;
                let body = std::mem::take(&mut self.body);
                self.http(what, status, &body);
            }
            "end" => {}
            _ => return Err(bad()),
        }
        Ok(())
    }

    fn system(&mut self, rest: &str) {
        let (what, value) = rest.split_once(' ').unwrap_or((rest, ""));
        let system = &mut self.observed.system;
        match what {
            "os" => {
                let mut parts = value.split('|').map(str::to_string);
                system.os = parts.next().unwrap_or_default();
                system.os_like = parts.next().unwrap_or_default();
                system.os_version = parts.next().unwrap_or_default();
            }
            "uname" => {
                let mut parts = value.split(' ').map(str::to_string);
                system.machine = parts.next().unwrap_or_default();
                system.kernel = parts.next().unwrap_or_default();
                system.hostname = parts.next().unwrap_or_default();
            }
            "user" => system.user = value.parse().ok(),
            "machine_id" => system.machine_id = value.to_string(),
            "product_uuid" => system.product_uuid = value.trim().to_ascii_lowercase(),
            "processors" => system.processors = value.parse().unwrap_or(0),
            "memory" => system.memory_mib = value.parse().unwrap_or(0u64) / 1024,
            "free" => system.free_mib = value.parse().unwrap_or(0u64) / 1024,
            "clock" => {
                let clock = value.parse().ok().filter(|at| CLOCKS.contains(at));
                system.clock = clock.unwrap_or(0);
            }
            "packages" => system.package_manager = value.trim_end_matches("-get").to_string(),
            "systemd" => system.systemd = true,
            _ => {}
        }
    }

    fn local(&mut self, kind: &str, rest: &str) -> Option<()> {
        let mut parts = rest.split(' ');
        let name = parts.next()?.to_string();
        let mut text = || Some(String::from_utf8_lossy(&decode(parts.next()?)?).into_owned());
        match kind {
            "user" => {
                let user = UserState::read(&text()?, &text()?, &text()?)?;
                self.observed.users.insert(name, Some(user));
            }
            "group" => {
                let gid = parts.next()?.parse().ok()?;
                self.observed.groups.insert(name, Some(gid));
            }
            _ => {
                let source = text()?;
                let kind = parts.next()?.to_string();
                let mount = MountState { source, kind };
                self.observed.mounts.insert(name, Some(mount));
            }
        }
        Some(())
    }

    /// systemctl(1) `show` separates units by an empty line and sorts no property.
    fn unit(&mut self, rest: &str) {
        if rest.is_empty() {
            self.units.push(UnitState::default());
            return;
        }
        if self.units.is_empty() {
            self.units.push(UnitState::default());
        }
        let (Some((property, value)), Some(unit)) = (rest.split_once('='), self.units.last_mut())
        else {
            return;
        };
        match property {
            "LoadState" => unit.load = value.to_string(),
            "ActiveState" => unit.active = value.to_string(),
            "UnitFileState" => unit.file = value.to_string(),
            "NeedDaemonReload" => unit.needs_reload = value == "yes",
            _ => {}
        }
    }

    fn kubernetes(&mut self, rest: &str) -> Option<()> {
        let (what, value) = rest.split_once(' ').unwrap_or((rest, ""));
        let kubernetes = &mut self.kubernetes;
        match what {
            "ca" => kubernetes.ca = value.split(' ').next()?.parse().ok(),
            "trace" => kubernetes.traces.push(value.to_string()),
            "process" => kubernetes.processes.push(value.to_string()),
            "copy" => kubernetes.copies.push(value.to_string()),
            "server" => kubernetes.server = said(value),
            "node" => kubernetes.node = said(value),
            "kubelet" => kubernetes.node = decode(value).and_then(|pem| node_of(&pem)),
            "port" => kubernetes.port = value.parse().ok(),
            "marker" => {
                // Power that goes soon after it was written leaves an empty file: that is a word, and not "no marker".
                let mut parts = value.split(' ').map(str::to_string);
                let mut part = || parts.next().unwrap_or_default();
                kubernetes.marker = Some(Marker {
                    act: part(),
                    run: part(),
                    config: part(),
                    done: part() == "done",
                });
            }
            "running" => kubernetes.kubeadm_running = true,
            "kubeconfig" => {
                let mut parts = value.split(' ');
                let (ca, client) = (parts.next()?, parts.next()?);
                kubernetes.kube_vip = Some(Kubeconfig {
                    ca: decode(ca).map(Sha256::of),
                    client: decode(client).and_then(|pem| client_certificate(&pem)),
                    rights: parts.next().filter(|r| *r != "-").map(str::to_string),
                });
            }
            "certificate" => {
                let pem = decode(value)?;
                kubernetes.certificate_expiry = not_after(&pem);
                kubernetes.certificate_addresses = addresses(&pem);
                kubernetes.certificate_names = names(&pem);
            }
            "manifest" => {
                let (component, texts) = value.split_once(' ')?;
                let state = match texts.split_once(' ') {
                    None if texts == "=" => ManifestState::AsMade,
                    None => ManifestState::Unrecorded(text(texts)?),
                    Some((live, made)) => ManifestState::Edited {
                        live: text(live)?,
                        made: text(made)?,
                    },
                };
                let manifests = &mut kubernetes.written.manifests;
                manifests.insert(component.to_string(), state);
            }
            "made-from" => kubernetes.written.made_from = said(value),
            "kubelet-config" => kubernetes.written.kubelet = Some(text(value)?),
            "kubelet-flags" => kubernetes.written.kubelet_flags = Some(value.to_string()),
            _ => return None,
        }
        Some(())
    }

    fn http(&mut self, what: &str, status: &str, body: &[u8]) {
        // A node without an API server of its own asks through the endpoint.
        if what == "node" {
            self.kubernetes.own_node = own_node(body).filter(|_| status == answers::OK);
            return;
        }
        answers::note(self.api.get_or_insert_default(), what, status, body);
    }

    /// Returns all that was seen; what was asked and did not answer is absent, not unknown.
    pub fn finish(mut self) -> Observed {
        let mut unit = 0;
        for fact in self.facts {
            match fact {
                Fact::Path(path) | Fact::File(path) | Fact::LargeFile(path) => {
                    self.observed.files.entry(path.clone()).or_insert(None);
                }
                Fact::Addon { name, .. } => {
                    let silent =
                        AddonState::Unknown("the host has no kubectl, or no admin.conf".into());
                    self.observed.addons.entry(name.clone()).or_insert(silent);
                }
                Fact::Package(name) => {
                    self.observed.packages.entry(name.clone()).or_insert(None);
                }
                Fact::Unit(name) => {
                    if let Some(state) = self.units.get(unit) {
                        self.observed.units.insert(name.clone(), state.clone());
                    }
                    unit += 1;
                }
                Fact::Sysctl(key) => {
                    let value = self.observed.sysctls.remove(&sysctl_path(key)).flatten();
                    self.observed.sysctls.insert(key.clone(), value);
                }
                Fact::User(name) => {
                    self.observed.users.entry(name.clone()).or_insert(None);
                }
                Fact::Group(name) => {
                    self.observed.groups.entry(name.clone()).or_insert(None);
                }
                Fact::Mount(path) => {
                    self.observed.mounts.entry(path.clone()).or_insert(None);
                }
                Fact::Additions => {
                    self.observed.additions.get_or_insert_default();
                }
                Fact::Module(name) => {
                    self.observed.modules.entry(name.clone()).or_insert(false);
                }
                Fact::Listening(port) => {
                    self.observed.ports.entry(*port).or_insert(false);
                }
                Fact::Kubernetes { .. } => {
                    self.kubernetes.api = self.api.take();
                    self.observed.kubernetes = Some(std::mem::take(&mut self.kubernetes));
                }
                Fact::Images if self.images_listed => {
                    self.observed.images = Some(std::mem::take(&mut self.images))
                }
                Fact::Swap if self.swaps_listed => {
                    self.observed.swaps = Some(std::mem::take(&mut self.swaps))
                }
                Fact::Pod(name) if self.pods_listed => {
                    self.observed.pods.entry(name.clone()).or_insert(false);
                }
                Fact::System
                | Fact::Content(_)
                | Fact::Images
                | Fact::Swap
                | Fact::Pod(_)
                | Fact::Claimed { .. }
                | Fact::Endpoint(_)
                | Fact::Preflight(_)
                | Fact::BgpSessions(_) => {}
            }
        }
        self.observed
    }
}

fn text(encoded: &str) -> Option<String> {
    Some(String::from_utf8_lossy(&decode(encoded)?).into_owned())
}

fn decode(text: &str) -> Option<Vec<u8>> {
    BASE64.decode(text).ok()
}

/// Reads how an endpoint answered: `unresolved`, `connect` with the status of timeout(1) or of the connect, or `curl` with
/// curl's exit code (curl(1), EXIT CODES) and the HTTP status.
fn reach(text: &str) -> Option<Reach> {
    let words: Vec<&str> = text.split(' ').collect();
    Some(match words.as_slice() {
        ["unresolved"] => Reach::Unresolved,
        ["connect", "0"] => Reach::Accepts,
        ["connect", "124"] => Reach::Silent,
        ["connect", _] => Reach::Refused,
        ["curl", "0", status] => Reach::Answers(status.parse().ok()?),
        ["curl", "6", _] => Reach::Unresolved,
        ["curl", "28", _] => Reach::Silent,
        // 35 and 60: the handshake or the certificate; 1 and 8: what answers speaks something else.
        ["curl", "1" | "8" | "35" | "51" | "60", _] => Reach::Foreign,
        ["curl", _, _] => Reach::Refused,
        _ => return None,
    })
}

/// Reads `%f %s %U %G %u %g %n` of stat(1): raw mode in hex, size, names, numbers, path.
fn stat(text: &str) -> Option<(String, FileState)> {
    let mut parts = text.splitn(7, ' ');
    let raw = u32::from_str_radix(parts.next()?, 16).ok()?;
    let size = parts.next()?.parse().ok()?;
    let (owner, group, uid, gid) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let path = parts.next()?.to_string();
    let named = |name: &str, id: &str| {
        if name == "UNKNOWN" {
            id.to_string()
        } else {
            name.to_string()
        }
    };
    // inode(7): the file type's bits.
    let kind = match raw & 0o170_000 {
        0o100_000 => FileKind::File,
        0o040_000 => FileKind::Directory,
        0o120_000 => FileKind::Link,
        _ => FileKind::Other,
    };
    let mode = Mode::new(raw & 0o7777).ok()?;
    let state = FileState {
        kind,
        mode,
        owner: named(owner, uid),
        group: named(group, gid),
        size,
        sha256: None,
        target: None,
    };
    Some((path, state))
}
