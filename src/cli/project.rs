//! All that a command reads before it contacts anybody: inventory, cluster, roles and files, with every mistake at once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use camino::{Utf8Path, Utf8PathBuf};
use indexmap::IndexMap;
use percent_encoding::percent_decode_str;
use serde_json::json;

mod desired;
mod drift;
mod kubeconfig;
mod manifests;
mod plays;
mod preflight;

use super::request::{Command, Request};
use super::{controller, keys};
use crate::cluster::act::{self, Manifest};
use crate::cluster::kubeadm::{self, Credentials, Join, KubeadmInput};
use crate::cluster::load_balancer::{Group, kube_vip, settings};
use crate::cluster::preflight::Wish;
use crate::cluster::spec::{self, ClusterSpec, Connection, HostSpec, Outline, Profile, known};
use crate::cluster::{Lasting, Shape, load_balancer};
use crate::engine::Desired;
use crate::engine::journal;
use crate::host::fact::Kubernetes;
use crate::host::{Fact, Facts, Observed};
use crate::inventory::{self, Inventory, Variables};
use crate::model::{Diagnostic, Diagnostics, HostName, Map, Masks, Severity, Sha256, Value};
use crate::role::site::{MEMBER, WHOLE};
use crate::role::{Branches, Disk, HostRoles, Kinds, Library, Selection, Site, Unsaid};
use crate::template::{self, Binding, Scope};
use plays::Plays;

/// The roles of every node of the cluster, in order.
const NODE_ROLES: [&str; 3] = ["hosts", "container_runtime", "kubernetes"];

/// What was read.
pub(super) struct Project {
    pub(super) inventory: Inventory,
    pub(super) spec: ClusterSpec,
    /// How hosts outside of the cluster are reached that some play is for.
    others: IndexMap<HostName, Connection>,
    shape: Shape,
    hosts: BTreeMap<HostName, HostDesired>,
    manifests: Vec<Manifest>,
    /// Decrypted values and those of secret variables, which no text may hold that is shown or recorded.
    pub(super) masks: Masks,
    /// Whether somebody asked for differences (`--diff`).
    diffs: bool,
    /// Whether some tasks are left out (`--tags`, `--skip-tags`).
    is_selective: bool,
    /// The folder `.quorate`.
    home: Utf8PathBuf,
    parts: Option<load_balancer::Parts>,
    plays: Plays,
    /// Questions that hang on what a host is.
    learned: Mutex<BTreeMap<HostName, Facts>>,
}

/// What is wanted of one host.
struct HostDesired {
    roles: HostRoles,
    scope: Scope,
    /// Names and values of variables that must not be shown.
    secrets: Vec<(String, String)>,
    facts: Facts,
    input: Option<KubeadmInput>,
    digest: String,
    wish: Wish,
}

/// Returns all roles: the binary's, and those beside the inventory.
pub(super) fn library(request: &Request) -> (Library, Diagnostics) {
    Library::load(&beside(&request.inventory))
}

/// Returns the inventory, and everything that is wrong with it or with the keys of its secrets.
pub(super) fn inventory(request: &Request) -> (Inventory, Diagnostics) {
    let mut found = keys::check(&request.locks);
    let (inventory, wrong) = inventory::load_with(&request.inventory, &request.extra_vars, &|| {
        keys::unlock(&request.locks)
    });
    found.extend(wrong);
    (inventory, found)
}

/// Returns the folder that an inventory lies in: roles and site files are beside it.
pub(super) fn beside(inventories: &[Utf8PathBuf]) -> Utf8PathBuf {
    let first = inventories
        .first()
        .map_or(Utf8Path::new("inventory"), |path| path);
    let folder = if first.is_dir() {
        Some(first)
    } else {
        first.parent()
    };
    match folder {
        Some(folder) if !folder.as_str().is_empty() => folder.to_owned(),
        _ => Utf8PathBuf::from("."),
    }
}

impl Project {
    /// Reads everything. What is returned beside errors is `None`.
    pub(super) fn read(request: &Request) -> (Option<Self>, Diagnostics) {
        let (mut inventory, mut found) = self::inventory(request);
        found.extend(spec::adopt(&mut inventory));
        let masks = inventory.masks();
        // What a variable of quorate's own is for is known: an address or a version may be said, in whatever file it stood.
        let may_be_said = |name: &str| known::find(name).is_some() && !known::is_secret(name);
        let unsaid = Arc::new(unsaid(&inventory.variables_of(&|name| !may_be_said(name))));
        let (library, roles_found) = library(request);
        let is_partial = inventory.partial || roles_found.0.iter().any(is_about_variables);
        let folder = beside(&request.inventory);
        let (site, site_found) = Site::load(&folder, &library);
        // What tasks use, and which tags they have, is not known of those that could not be read.
        let is_site_read = !site_found.has_errors();
        let are_tasks_read = is_site_read && !roles_found.has_errors();
        found.extend(roles_found);
        found.extend(site_found);
        if are_tasks_read {
            controller::tags(request, library.iter().chain(site.roles()), &mut found);
        }
        let mut used = library.used_names();
        used.extend(site.roles().flat_map(|role| role.used_names()));
        let (outline, spec_found) = ClusterSpec::outline(&inventory, &used, are_tasks_read);
        found.extend(spec_found);
        controller::files(request, &inventory, &outline, &folder, &mut found);
        if !inventory.partial && is_site_read {
            found.extend(not_yet(&outline.spec, &library, &site));
        }
        let Outline { spec, stand_ins } = outline;
        let parts = load_balancer::parts(spec.load_balancer.way);
        // What a folder should hold is not asked where the folder is wrong: that was told. Which images, the version says.
        let there = spec.kubernetes_files.as_ref().is_none_or(|path| {
            !stand_ins.contains("kubernetes_files") && folder.join(path).is_dir()
        });
        let mut disk = Disk::new(folder.clone());
        if !there || stand_ins.contains("kubernetes_version") {
            disk = disk.without(spec.kubernetes_files.clone(), !there);
        }
        let disk = Arc::new(disk);
        let selection = Selection {
            tags: request.tags.iter().cloned().collect(),
            skip: request.skip_tags.iter().cloned().collect(),
        };
        let plays = Plays::assign(site, &inventory, &spec, &mut found);
        let scopes = spec.scopes(&inventory);
        let mut hosts = BTreeMap::new();
        let mut branches = Branches::default();
        let kinds = Arc::new(Kinds::default());
        let outside: Vec<&HostName> = plays.outside(&inventory, &spec).collect();
        let (others, wrong) = spec::connections_of(&inventory, &outside);
        found.extend(wrong);
        controller::keys(&inventory, &others, &mut found);
        for name in spec.hosts.keys().chain(outside) {
            let Some(entry) = inventory.hosts.get(name) else {
                continue;
            };
            // Hosts outside of the cluster get their plays and nothing else.
            let host = spec.hosts.get(name);
            let mut scope = template::host_scope(entry, &Variables::default(), &scopes);
            let mut roles = Vec::new();
            if let Some(host) = host {
                set(&mut scope, kube_vip::variables(&spec, host));
                if host.roles.load_balancer {
                    found.0.extend(settings::findings(
                        &spec,
                        host,
                        &library,
                        &scope,
                        &entry.vars,
                    ));
                }
                for role in role_names(&spec, host, parts.as_ref()) {
                    match library.get(role) {
                        Ok(role) => roles.push(role),
                        Err(error) => found.push(error),
                    }
                }
            }
            let roles = plays.around(name, roles);
            let roles = HostRoles::new(roles, disk.clone())
                .select(selection.clone())
                .fixed(inventory.extra.keys().cloned())
                .diffs(request.report.diff)
                .unsaid(unsaid.clone())
                .among(kinds.clone());
            // Whatever the host's state will say, its questions are among these.
            let mut any = scope.clone();
            if let Some(host) = host {
                set(&mut any, kube_vip::host_variables(&spec, host, true, None));
            }
            set(&mut any, membership(true, true));
            set(&mut any, preflight::firewalls(None));
            if request.command == Command::Validate {
                branches.add(roles.branches(&any));
            }
            let facts = match roles.facts(&any) {
                Ok(facts) => facts,
                Err(errors) => {
                    let known = errors.0.into_iter().filter(|error| {
                        // What could not be read may set it.
                        !(is_partial && template::is_undefined(error))
                    });
                    found.0.extend(known);
                    Facts::new()
                }
            };
            let node = host.filter(|host| host.roles.node());
            let input = node.map(|host| KubeadmInput::of(&spec, host));
            let digest = match input.as_ref().map(digest) {
                Some(Ok(digest)) => digest,
                Some(Err(errors)) => {
                    found.extend(errors);
                    String::new()
                }
                None => String::new(),
            };
            hosts.insert(
                name.clone(),
                HostDesired {
                    wish: preflight::wish(&spec, &library, &scope, input.as_ref()),
                    roles,
                    secrets: secrets(&scope, &entry.vars),
                    scope,
                    facts,
                    input,
                    digest,
                },
            );
        }
        disk.remember();
        found.extend(branches.warnings());
        let first = spec.control_planes().next();
        let scope = first.and_then(|host| Some(&hosts.get(&host.name)?.scope));
        let manifests = manifests::read(&inventory, &spec, &folder, scope, &mut found);
        // A mistake in what all hosts share shows once, also where its help differs from host to host.
        let mut seen = Diagnostics::default();
        for finding in found.0 {
            let is_same = |d: &Diagnostic| d.message == finding.message && d.span == finding.span;
            if !seen.0.iter().any(is_same) {
                seen.push(finding);
            }
        }
        // A secret that was not encrypted is one all the same.
        let plain = hosts.values().flat_map(|host| &host.secrets);
        let plain: BTreeSet<String> = plain
            .filter(|(name, _)| known::is_secret(name))
            .flat_map(|(name, value)| secret_parts(name, value))
            .collect();
        let masks = masks.and(&Masks::new(plain));
        // Values are rendered into what is said of them.
        let seen = seen.hide(&masks);
        // A stand-in is never acted on.
        if seen.has_errors() || !stand_ins.is_empty() {
            return (None, seen);
        }
        let names = |hosts: &mut dyn Iterator<Item = &HostSpec>| {
            hosts.map(|h| h.name.clone()).collect::<Vec<_>>()
        };
        let shape = Shape {
            control_planes: names(&mut spec.control_planes()),
            workers: names(&mut spec.workers().filter(|h| !h.roles.control_plane)),
            load_balancers: if parts.as_ref().is_some_and(|p| !p.roles.is_empty()) {
                names(&mut spec.load_balancers())
            } else {
                Vec::new()
            },
            vip_before_init: parts.as_ref().is_some_and(|p| p.vip_before_init),
            endpoint: spec.endpoint.clone(),
            version: spec.kubernetes_version.to_string(),
            lasting: Lasting {
                vip: parts.as_ref().and(spec.load_balancer.vip),
                port: Some(spec.load_balancer.src_port),
                pod_subnet: Some(spec.pod_subnet),
                service_subnet: Some(spec.service_subnet),
                group: group(&spec),
            },
        };
        let home = journal::home(
            request
                .inventory
                .first()
                .map_or(Utf8Path::new("inventory"), |p| p),
        );
        (
            Some(Self {
                inventory,
                masks,
                others,
                spec,
                shape,
                hosts,
                manifests,
                diffs: request.report.diff,
                is_selective: !request.tags.is_empty() || !request.skip_tags.is_empty(),
                home,
                parts,
                plays,
                learned: Mutex::default(),
            }),
            seen,
        )
    }

    /// Returns the hosts that plays are for although they are not of the cluster.
    pub(super) fn others(&self) -> impl Iterator<Item = &HostName> {
        self.others.keys()
    }

    /// Returns the hosts of the cluster, with how each is reached.
    pub(super) fn members(&self) -> Vec<(&HostName, &Connection)> {
        let hosts = self.spec.hosts.iter();
        hosts.map(|(name, host)| (name, &host.connection)).collect()
    }

    /// Returns the hosts that a run may change: those of the cluster, and behind them the others.
    pub(super) fn reached(&self) -> Vec<(&HostName, &Connection)> {
        let mut all = self.members();
        all.extend(&self.others);
        all
    }

    /// Returns where the user's kubeconfig lies.
    pub(super) fn kubeconfig(&self) -> Utf8PathBuf {
        self.home.join(format!("{}.kubeconfig", self.spec.name))
    }

    /// Returns the systemd units of the load balancer.
    pub(super) fn units(&self) -> Vec<String> {
        let units = self.parts.iter().flat_map(|p| p.units);
        units.map(|unit| (*unit).to_string()).collect()
    }

    /// Returns what has to run on each host that carries the load balancer.
    pub(super) fn load_balancer_parts(&self) -> IndexMap<HostName, Vec<(String, Fact)>> {
        let part = |(name, fact): (&str, Fact)| (name.to_string(), fact);
        self.spec
            .load_balancers()
            .map(|host| (host.name.clone(), self.balancers(&host.name)))
            .map(|(host, parts)| (host, parts.into_iter().map(part).collect()))
            .collect()
    }

    fn host(&self, host: &HostName) -> Result<&HostDesired, String> {
        self.hosts
            .get(host)
            .ok_or_else(|| format!("{host} is not in the cluster"))
    }

    /// Returns what the host's templates see, now that it was looked at.
    fn scope(&self, host: &HostName, observed: &Observed, is_whole: bool) -> Result<Scope, String> {
        let mut scope = self.host(host)?.scope.clone();
        if let Some(spec) = self.spec.hosts.get(host) {
            let first = self.shape.control_planes.first() == Some(host);
            let seen = kube_vip::host_variables(&self.spec, spec, first, Some(observed));
            set(&mut scope, seen);
        }
        set(&mut scope, membership(is_member(observed), is_whole));
        set(&mut scope, preflight::firewalls(Some(observed)));
        Ok(scope)
    }

    fn input(&self, host: &HostName) -> Result<&KubeadmInput, String> {
        self.host(host)?
            .input
            .as_ref()
            .ok_or_else(|| format!("{host} is no node"))
    }
}

/// Returns the variables that only the host's own state and the cluster's tell. Before a host is asked they are such that every
/// task applies, since its questions are collected then.
fn membership(is_member: bool, is_whole: bool) -> Map {
    Map::from_iter([
        (MEMBER.to_owned(), json!(is_member)),
        (WHOLE.to_owned(), json!(is_whole)),
    ])
}

/// Returns whether a host was seen to be a member of a cluster.
fn is_member(observed: &Observed) -> bool {
    let kubernetes = observed.kubernetes.as_ref();
    kubernetes.is_some_and(Kubernetes::is_member)
}

/// Sets what the cluster or the host says, over what anybody else does.
fn set(scope: &mut Scope, variables: Map) {
    for (name, value) in variables {
        scope.set(name, Binding::fixed(value));
    }
}

/// Returns what the user may count on and what this version does not do yet: silence would be a promise.
fn not_yet(spec: &ClusterSpec, library: &Library, site: &Site) -> Diagnostics {
    let mut found = Diagnostics::default();
    for role in library.iter().filter(|r| !r.is_builtin()) {
        let applied = site.has_role(&role.name)
            || NODE_ROLES.contains(&role.name.as_str())
            || load_balancer::parts(spec.load_balancer.way)
                .is_some_and(|p| p.first.iter().chain(p.roles).any(|r| *r == role.name));
        if !applied {
            let warning =
                Diagnostic::warning(format!("the role `{}` is applied to no host", role.name));
            found.push(warning.help("name it in a play of site.yml beside the inventory, or give it the name of a built-in role, whose place it takes then"));
        }
    }
    found
}

/// Returns the VRRP group that the load balancers are to be in.
fn group(spec: &ClusterSpec) -> Option<Group> {
    let balancer = &spec.load_balancer;
    let vrrp = balancer.vrrp.as_ref()?;
    let fast = balancer.profile == Profile::Fast;
    Some(Group {
        id: vrrp.router_id,
        // The document's own text has no version and no peers.
        version: if fast { 3 } else { 2 },
        unicast: fast && vrrp.unicast,
    })
}

/// Returns whether a role's own variables could not all be read.
fn is_about_variables(finding: &Diagnostic) -> bool {
    let Some(span) = &finding.span else {
        return false;
    };
    let path = span.source.path.as_str();
    finding.severity == Severity::Error
        && ["/defaults/", "/vars/"]
            .iter()
            .any(|folder| path.contains(folder))
}

fn role_names(
    spec: &ClusterSpec,
    host: &HostSpec,
    parts: Option<&load_balancer::Parts>,
) -> Vec<&'static str> {
    let firewall: &[&str] = if spec.prepare_firewall {
        &["firewall"]
    } else {
        &[]
    };
    let node: &[&str] = if host.roles.node() { &NODE_ROLES } else { &[] };
    let parts = parts.filter(|_| host.roles.load_balancer);
    let balancer = parts.map_or(&[][..], |p| p.roles);
    // A load balancer of services comes up while images are still on their way: it is what init waits for.
    let at = if parts.is_some_and(|p| p.behind_node) {
        node.len()
    } else {
        node.len().min(1)
    };
    let first = parts.map_or(&[][..], |p| p.first);
    [firewall, first, &node[..at], balancer, &node[at..]].concat()
}

/// Returns what of a secret variable's value must not be shown: of a proxy's address the password in it, as it stands there and as a
/// client says it (RFC 3986, 2.1; with the user before it, of which RFC 7617 makes base64), of BGP peers theirs.
fn secret_parts(name: &str, value: &str) -> Vec<String> {
    match name {
        "http_proxy" | "https_proxy" => {
            let account = value.split_once("//").map_or(value, |(_, rest)| rest);
            let account = account.rsplit_once('@').map(|(account, _)| account);
            let parts = account.and_then(|account| Some((account, account.split_once(':')?.1)));
            let said = |text| percent_decode_str(text).decode_utf8_lossy().into_owned();
            parts.map_or_else(Vec::new, |(account, password)| {
                vec![password.to_owned(), said(password), said(account)]
            })
        }
        "bgp_peers" => {
            let peers = value.split(['\n', ',']);
            let passwords = peers.filter_map(|peer| peer.split(':').nth(2));
            passwords.map(str::to_owned).collect()
        }
        _ => vec![value.to_owned()],
    }
}

/// Returns a variable's text, or those of its list, one in a line.
fn text_of(value: &Value) -> String {
    let items = value.as_array().into_iter().flatten();
    let items: Vec<&str> = items.filter_map(Value::as_str).collect();
    value.as_str().map_or_else(|| items.join("\n"), Into::into)
}

/// Returns what no command may have among its words: of these variables the decrypted values, and the plain ones of those that are
/// secret by what they are.
fn unsaid(variables: &[(&str, &inventory::Variable)]) -> Unsaid {
    let mut names = BTreeSet::new();
    let mut values = Vec::new();
    for (name, variable) in variables {
        let mut found = variable.secrets();
        if let (true, Some(node)) = (known::is_secret(name), &variable.node) {
            let mut parts = secret_parts(name, &text_of(&node.to_value()));
            parts.retain(|part| !part.is_empty());
            found.extend(parts);
        }
        if !found.is_empty() {
            names.insert((*name).to_string());
            values.extend(found);
        }
    }
    Unsaid::new(Masks::new(values), names)
}

/// Returns the scope's variables that must not be shown, with their values.
fn secrets(scope: &Scope, vars: &Variables) -> Vec<(String, String)> {
    let decrypted = |name: &str| vars.get(name).is_some_and(|v| !v.secrets().is_empty());
    let text = |name: &str| {
        let value = scope.get(name)?.ok()?;
        Some((name.to_string(), text_of(&value)))
    };
    let names = scope
        .names()
        .filter(|name| known::is_secret(name) || decrypted(name));
    names.filter_map(text).collect()
}

/// The digest that a marker carries: of what init or join would be told, but for secrets.
fn digest(input: &KubeadmInput) -> Result<String, Diagnostics> {
    let credentials = credentials().map_err(|error| Diagnostics(vec![Diagnostic::error(error)]))?;
    let pin = Join {
        discovery: act::DISCOVERY.into(),
    };
    let join = kubeadm::join(
        input,
        &pin,
        &credentials.token,
        Some(&credentials.certificate_key),
    )?;
    let mut text = join.config_digest().to_string();
    if input.node.is_control_plane {
        text.push_str(
            &kubeadm::init(input, &credentials)?
                .config_digest()
                .to_string(),
        );
    }
    Ok(Sha256::of(text).to_string())
}

fn credentials() -> Result<Credentials, String> {
    Credentials::generate().map_err(|error| error.to_string())
}
