//! Plays of a site.yml on hosts that belong to no cluster: the engine, its journal and its reporters, without a workflow.
//!
//! Everything that `quorate apply` does for a host is done here by the same code, from reading files to the recap. What is
//! left out is what only a cluster has: its variables, the built-in roles and kubeadm.

use std::collections::BTreeMap;
use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};
use indexmap::IndexMap;
use jiff::Timestamp;
use quorate::cluster::act::Manifest;
use quorate::cluster::kubeadm::Credentials;
use quorate::cluster::spec::connections;
use quorate::cluster::{Lasting, Shape};
use quorate::engine::journal::{self, Journal};
use quorate::engine::{self, Cancel, Config, Desired, Patience, Settings};
use quorate::event::Status;
use quorate::host::{Fact, Facts, Observed};
use quorate::inventory::{self, Variables};
use quorate::model::{Diagnostics, Endpoint, HostName, Secret, Sha256};
use quorate::plan::{HostPlan, Step};
use quorate::report::{self, Reporters};
use quorate::role::{Disk, HostRoles, Library, Registered, Site, StepResult};
use quorate::template::{self, Scope};
use quorate::transport::ssh::SshOptions;
use quorate::transport::{self, Access, Counters, Elevation, Target};
use tokio::sync::mpsc;

/// As `quorate` has it: how many events may wait for who prints them.
const EVENTS: usize = 1024;
/// `quorate apply -f`, as it is without.
const FORKS: usize = 50;

/// Returns the exit code of `apply` on all hosts of an inventory.
pub(crate) async fn apply(words: &[String]) -> u8 {
    let arguments = Arguments::read(words);
    let (desired, targets) = read(&arguments);
    let options = SshOptions {
        known_hosts: vec![arguments.known_hosts],
        ..SshOptions::from_environment()
    };
    let (events, receiver) = mpsc::channel(EVENTS);
    let (_asked, cancel) = Cancel::new();
    let settings = Settings {
        desired: Arc::new(desired),
        connect: transport::stack(options, false, Arc::new(Counters::default())),
        ours: Arc::new(targets.keys().cloned().collect()),
        targets: Arc::new(targets),
        forks: FORKS,
        run: format!("{:016x}", std::process::id()),
        command: "apply".into(),
        cluster: "none".into(),
        owner: "a benchmark".into(),
        break_lock: false,
        approved: None,
        extra_vars: Vec::new(),
        patience: Patience::USUAL,
        events,
        cancel,
    };
    let home = journal::home(&arguments.inventory);
    let journal = Journal::create(&home, "apply", Timestamp::now()).expect("a journal");
    let options = report::Options {
        journal: Some(journal.path().to_owned()),
        ..report::Options::default()
    };
    let reporter = report::reporter(&options, true);
    let reporters = Reporters::new()
        .with("journal", Box::new(journal))
        .with("output", reporter);
    let work = async {
        engine::apply(&settings).await;
        drop(settings);
    };
    let (recap, ()) = tokio::join!(reporters.follow(receiver), work);
    recap.map_or(1, |recap| recap.exit().code())
}

struct Arguments {
    inventory: Utf8PathBuf,
    known_hosts: Utf8PathBuf,
    extra: Vec<String>,
}

impl Arguments {
    fn read(words: &[String]) -> Self {
        let mut read = Self {
            inventory: Utf8PathBuf::new(),
            known_hosts: Utf8PathBuf::new(),
            extra: Vec::new(),
        };
        for pair in words.chunks(2) {
            match pair {
                [flag, value] if flag == "-i" => read.inventory = value.into(),
                [flag, value] if flag == "--known-hosts" => read.known_hosts = value.into(),
                [flag, value] if flag == "-e" => read.extra.push(value.clone()),
                other => panic!("what is {other:?}?"),
            }
        }
        read
    }
}

fn sound(found: &Diagnostics) {
    assert!(!found.has_errors(), "{found:#?}");
}

/// Reads inventory, roles and plays, and renders what is asked of each host.
fn read(arguments: &Arguments) -> (Plays, IndexMap<HostName, Target>) {
    let inventories = [arguments.inventory.clone()];
    let (inventory, found) = inventory::load(&inventories, &arguments.extra);
    sound(&found);
    let folder = arguments.inventory.parent().unwrap_or(Utf8Path::new("."));
    let (library, found) = Library::load(folder);
    sound(&found);
    let (site, found) = Site::load(folder, &library);
    sound(&found);
    let (connections, found) = connections(&inventory);
    sound(&found);
    let disk = Arc::new(Disk::new(folder.to_owned()));
    let scopes = template::host_scopes(&inventory);
    let mut hosts = BTreeMap::new();
    for (name, host) in &inventory.hosts {
        let plays = site.plays.iter().filter(|play| {
            let chosen = inventory.select(&play.hosts.0);
            chosen.is_ok_and(|chosen| chosen.contains(&name))
        });
        let roles = plays.flat_map(|play| play.roles(inventory.hosts.len()));
        let roles = HostRoles::new(roles.collect(), disk.clone())
            .fixed(inventory.extra.keys().cloned())
            .diffs(false);
        let scope = template::host_scope(host, &Variables::default(), &scopes);
        let facts = roles.facts(&scope).unwrap_or_else(|found| {
            panic!("{found:#?}");
        });
        let wanted = Wanted {
            roles,
            scope,
            facts,
        };
        hosts.insert(name.clone(), wanted);
    }
    let targets = connections.into_iter().map(|(name, connection)| {
        let target = Target {
            name: name.clone(),
            address: connection.host,
            port: connection.port.unwrap_or(22),
            user: connection.user.unwrap_or_else(|| "root".into()),
            keys: connection.private_key_file.into_iter().collect(),
            elevation: Elevation::None,
            access: Access::default(),
            jumps: Vec::new(),
        };
        (name, target)
    });
    let targets = targets.collect();
    let shape = Shape {
        control_planes: Vec::new(),
        workers: Vec::new(),
        load_balancers: Vec::new(),
        vip_before_init: false,
        endpoint: Endpoint::new("none.example", 6443).expect("an endpoint"),
        version: "1.36.3".into(),
        lasting: Lasting::default(),
    };
    (Plays { shape, hosts }, targets)
}

struct Wanted {
    roles: HostRoles,
    scope: Scope,
    facts: Facts,
}

/// What is wanted: the plays, and no cluster.
struct Plays {
    shape: Shape,
    hosts: BTreeMap<HostName, Wanted>,
}

const NONE: &str = "there is no cluster";

impl Desired for Plays {
    fn shape(&self) -> &Shape {
        &self.shape
    }
    fn vip(&self) -> Option<std::net::IpAddr> {
        None
    }
    fn has_network(&self) -> bool {
        false
    }
    fn node(&self, _: &HostName) -> Option<(String, String, u16)> {
        None
    }
    fn facts(&self, host: &HostName) -> Facts {
        let facts = self.hosts.get(host).map(|wanted| wanted.facts.clone());
        facts.unwrap_or_default()
    }
    fn balancers(&self, _: &HostName) -> Vec<(&'static str, Fact)> {
        Vec::new()
    }
    fn settled(&self, _: &HostName) -> Option<Step> {
        None
    }
    fn plan(
        &self,
        host: &HostName,
        observed: &Observed,
        registered: &Registered,
    ) -> Result<HostPlan, String> {
        let wanted = self.hosts.get(host).ok_or(NONE)?;
        let plan = wanted.roles.plan(&wanted.scope, observed, registered);
        plan.map_err(|found| format!("{found:?}"))
    }
    fn judge(
        &self,
        host: &HostName,
        observed: &Observed,
        registered: &Registered,
        step: &Step,
        result: &StepResult,
    ) -> Result<Status, String> {
        let wanted = self.hosts.get(host).ok_or(NONE)?;
        let (roles, scope) = (&wanted.roles, &wanted.scope);
        let status = roles.judge(scope, observed, registered, step, result);
        status.map_err(|found| format!("{found:?}"))
    }
    fn credentials(&self) -> Result<Credentials, String> {
        Err(NONE.into())
    }
    fn init(&self, _: &HostName, _: &Credentials) -> Result<Config, String> {
        Err(NONE.into())
    }
    fn join(&self, _: &HostName, _: &Credentials) -> Result<Config, String> {
        Err(NONE.into())
    }
    fn mint(&self, _: &HostName, _: &Credentials) -> Result<Secret<String>, String> {
        Err(NONE.into())
    }
    fn digest(&self, _: &HostName) -> String {
        String::new()
    }
    fn manifests(&self) -> &[Manifest] {
        &[]
    }
    fn keep_kubeconfig(&self, _: &str) -> Result<String, String> {
        Err(NONE.into())
    }
    fn has_kubeconfig(&self, _: Option<Sha256>) -> bool {
        true
    }
}
