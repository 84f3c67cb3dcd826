//! `drill failover`: takes a host away, measures what a client sees, and sees to it that all is well again.

mod away;
mod listen;
mod round;
mod stream;

use std::time::{Duration, Instant};

use futures::StreamExt as _;
use indexmap::IndexMap;

use super::Settings;
use super::lock::Lock;
use super::look::{announce, refuse};
use super::session::{Problem, Session};
use super::state::trouble;
use crate::cluster::drill::redundancy::{self, HostSeen, Seen};
use crate::cluster::drill::{Refusal, Site, Wish};
use crate::event::{DrillPlan, Event};
use crate::model::HostName;

/// How long a host may take to answer while it is looked at again and again.
const LOOK: Duration = Duration::from_secs(20);
/// How long a connection may take that is tried again and again: a host that is away answers nothing.
const CONNECT: Duration = Duration::from_secs(4);
/// How many lines of the streams may wait.
const LINES: usize = 4096;

/// Why a drill ends before its last round.
enum Stop {
    /// It would be unsafe to begin; nothing was taken away in this round.
    Refused(Refusal),
    /// Something did not come back, or could not be measured.
    Failed { message: String, help: String },
    /// The user asked to stop.
    Interrupted,
}

/// A host, and since when it is used.
struct Place {
    session: Option<Session>,
    since: Instant,
}

struct Drill<'a> {
    settings: &'a Settings,
    site: &'a Site,
    wish: &'a Wish,
    places: IndexMap<HostName, Place>,
    locks: IndexMap<HostName, Lock>,
}

/// Takes the target away as often as is wished, and measures.
pub async fn drill(settings: &Settings, site: &Site, wish: &Wish) {
    announce(settings).await;
    let plan = DrillPlan {
        by: wish.by.as_str().to_string(),
        rounds: wish.times,
        seconds: wish.seconds,
        endpoint: site.endpoint.to_string(),
        vip: site.vip,
        control_planes: site.control_planes.clone(),
        load_balancers: site.load_balancers.clone(),
        workers: site.workers.clone(),
    };
    settings.emit(Event::DrillPlanned { plan }).await;
    if !wish.agreed {
        let refusal = Refusal {
            hosts: Vec::new(),
            message: format!("{}, and nobody agreed to that", wish.sentence()),
            help: "say yes when asked on a terminal, or give `--yes`".into(),
        };
        return refuse(settings, refusal).await;
    }
    let mut drill = Drill {
        settings,
        site,
        wish,
        places: IndexMap::new(),
        locks: IndexMap::new(),
    };
    let stop = drill.rounds().await.err();
    match stop {
        None => {}
        Some(Stop::Refused(refusal)) => refuse(settings, refusal).await,
        Some(Stop::Failed { message, help }) => {
            settings
                .emit(Event::ClusterFailed {
                    message,
                    help: Some(help),
                })
                .await;
        }
        Some(Stop::Interrupted) => {
            settings
                .emit(Event::Interrupted { hosts: Vec::new() })
                .await
        }
    }
    drill.close().await;
}

impl Drill<'_> {
    async fn rounds(&mut self) -> Result<(), Stop> {
        let all: Vec<HostName> = self.settings.targets.keys().cloned().collect();
        self.act("probe", &all).await;
        let seen = self.look(&all, LOOK).await;
        self.check_cancel()?;
        self.demand_redundancy(&seen)?;
        if !self.lock().await {
            return Ok(());
        }
        for number in 1..=self.wish.times {
            // Under the locks, and after the round before: nobody else may have changed anything.
            let seen = self.look(&self.site.disturbed(), LOOK).await;
            self.check_cancel()?;
            self.demand_redundancy(&seen)?;
            self.round(number, &seen).await?;
        }
        let seen = self.look(&self.site.disturbed(), LOOK).await;
        self.say_how_it_is(&seen).await;
        Ok(())
    }

    fn check_cancel(&self) -> Result<(), Stop> {
        if self.settings.cancel.is_asked() {
            return Err(Stop::Interrupted);
        }
        Ok(())
    }

    fn demand_redundancy(&self, seen: &Seen) -> Result<(), Stop> {
        let missing = redundancy::missing(self.site, seen);
        if missing.is_empty() {
            return Ok(());
        }
        let mut hosts: Vec<HostName> = missing.iter().flat_map(|m| m.hosts.clone()).collect();
        hosts.sort();
        hosts.dedup();
        Err(Stop::Refused(Refusal {
            hosts,
            message: format!(
                "the cluster could not bear the loss of a host: {}",
                redundancy::sentence(&missing)
            ),
            help: "mend that first (`quorate status` shows it, `quorate apply` mends drift), then run the drill again".into(),
        }))
    }

    async fn act(&self, act: &str, hosts: &[HostName]) {
        self.settings
            .emit(Event::ActStarted {
                act: act.into(),
                hosts: hosts.to_vec(),
            })
            .await;
    }

    /// Takes the locks of all hosts that are disturbed, as apply does; says who holds one.
    async fn lock(&mut self) -> bool {
        let takes = self.site.disturbed().into_iter().filter_map(|host| {
            let session = self.places.get(&host)?.session.clone()?;
            let settings = self.settings;
            Some(async move { (host, Lock::take(&session, settings).await) })
        });
        let taken = futures::future::join_all(takes).await;
        let mut good = true;
        for (host, result) in taken {
            match result {
                Ok(lock) => {
                    self.locks.insert(host, lock);
                }
                Err(problem) => {
                    good = false;
                    trouble(self.settings, &host, problem).await;
                }
            }
        }
        good
    }

    /// Asks hosts, all at once; whoever does not answer in time is unreachable, and connected to anew the next time.
    async fn look(&mut self, hosts: &[HostName], connect: Duration) -> Seen {
        let looks = hosts.iter().filter_map(|host| {
            let target = self.settings.targets.get(host)?;
            let session = self.places.get(host).and_then(|p| p.session.clone());
            let (settings, site) = (self.settings, self.site);
            Some(async move {
                let port = settings.desired.node(host).map_or(0, |(_, _, port)| port);
                let facts = redundancy::facts(site, host, port);
                let looked = async {
                    let session = match session {
                        Some(session) => session,
                        None => tokio::time::timeout(connect, Session::open(settings, target))
                            .await
                            .map_err(|_| no_answer(connect))??,
                    };
                    let observed = tokio::time::timeout(LOOK, session.probe(&facts))
                        .await
                        .map_err(|_| no_answer(LOOK))??;
                    Ok::<_, Problem>((session, observed))
                };
                (host.clone(), looked.await)
            })
        });
        let forks = self.settings.forks.max(1);
        let looked: Vec<_> = futures::stream::iter(looks)
            .buffer_unordered(forks)
            .collect()
            .await;
        let mut seen = Seen::new();
        for (host, result) in looked {
            let place = self.places.entry(host.clone()).or_insert_with(|| Place {
                session: None,
                since: Instant::now(),
            });
            let state = match result {
                Ok((session, observed)) => {
                    place.session = Some(session);
                    HostSeen::of(self.site, &host, &observed)
                }
                Err(problem) => {
                    place.session = None;
                    HostSeen::unreachable(problem.message)
                }
            };
            seen.insert(host, state);
        }
        seen
    }

    fn session(&self, host: &HostName) -> Result<Session, Stop> {
        let session = self.places.get(host).and_then(|p| p.session.clone());
        session.ok_or_else(|| Stop::Failed {
            message: format!("{host} cannot be reached"),
            help: "look at the host, then run the drill again".into(),
        })
    }

    async fn say_how_it_is(&self, seen: &Seen) {
        let missing = redundancy::missing(self.site, seen);
        let mut summary = match (
            self.site.vip,
            redundancy::holders(self.site, seen).as_slice(),
        ) {
            (Some(vip), [holder]) => format!("{vip} on {holder}"),
            (Some(vip), holders) => format!("{vip} on {} hosts", holders.len()),
            (None, _) => format!("{} answers", self.site.endpoint),
        };
        if missing.is_empty() {
            summary.push_str(" · fully redundant");
        } else {
            summary = format!("{summary} · {}", redundancy::sentence(&missing));
        }
        let healthy = missing.is_empty();
        self.settings
            .emit(Event::Cluster { summary, healthy })
            .await;
        if !healthy {
            self.settings
                .emit(Event::ClusterFailed {
                    message: "the cluster is not as it was before the drill".into(),
                    help: Some(
                        "`quorate status` shows it; `quorate apply` mends what has drifted".into(),
                    ),
                })
                .await;
        }
    }

    /// Gives all locks back and closes all connections.
    async fn close(mut self) {
        let locks = std::mem::take(&mut self.locks);
        futures::future::join_all(locks.into_values().map(Lock::release)).await;
        let sessions = self.places.values().filter_map(|p| p.session.clone());
        futures::future::join_all(sessions.map(|s| async move { s.close().await })).await;
        for (host, place) in &self.places {
            self.settings
                .emit(Event::HostFinished {
                    host: host.clone(),
                    seconds: place.since.elapsed().as_secs_f64(),
                })
                .await;
        }
    }
}

fn no_answer(limit: Duration) -> Problem {
    Problem {
        trouble: crate::event::Trouble::Unreachable,
        message: format!("no answer within {} s", limit.as_secs()),
        help: None,
    }
}
