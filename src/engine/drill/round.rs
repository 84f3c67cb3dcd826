//! One round: measure, take away, bring back, wait until all is well.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::super::lock::Lock;
use super::super::session::{Problem, Session, nonce};
use super::away::{self, Restorer};
use super::listen::{Round, meanwhile};
use super::stream::{Source, ask, now};
use super::{CONNECT, Drill, LINES, Stop};
use crate::cluster::drill::redundancy::{self, Seen};
use crate::cluster::drill::wish::Holding;
use crate::cluster::drill::{By, Course, Heard, Probe, Refusal, Timeline, measure, script};
use crate::event::{Category, Event, Mark, Status};
use crate::model::HostName;

/// Before anything is taken away requests have to be good for so long.
const BASELINE_MS: i64 = 3000;
/// How long requests are made before it. For five seconds after the first one haproxy takes the address for one that has just
/// come (role haproxy), and gives clients that host's own API server: clients that were always there have that behind them.
const WARM_UP_MS: i64 = 6000;
/// How long that may take to come about.
const BASELINE: Duration = Duration::from_secs(20);
/// How long kubectl may take to open a watch.
const WATCH: Duration = Duration::from_secs(15);
/// How long a host may take to come back: a server's own boot takes minutes.
const RETURN: Duration = Duration::from_secs(600);
/// How long the rest may take after it: the kubelet waits up to five minutes before it starts a container that was
/// killed again and again.
const RECOVERY: Duration = Duration::from_secs(420);
/// How long requests may go on failing after all is well.
const SETTLE: Duration = Duration::from_secs(60);
/// How often hosts are looked at while all is awaited. Looking costs them time that the requests need too.
const PAUSE: Duration = Duration::from_secs(2);
/// How long the cut of a network waits, so that the answer gets out before it (target.sh).
const LEAD_MS: i64 = 1000;
impl Drill<'_> {
    pub(super) async fn round(&mut self, number: u32, seen: &Seen) -> Result<(), Stop> {
        let holders = redundancy::holders(self.site, seen);
        let target = self.wish.target(&holders).map_err(Stop::Refused)?;
        let Some(prober) = self.site.prober(&target).cloned() else {
            return Err(nobody_left(&target));
        };
        let watcher = self.site.watcher(&target).cloned();
        let act = format!("round {number} of {}", self.wish.times);
        self.act(&act, std::slice::from_ref(&target)).await;
        self.settings
            .emit(Event::DrillStarted {
                round: number,
                target: target.clone(),
                holder: match holders.as_slice() {
                    [holder] => Some(holder.clone()),
                    _ => None,
                },
                prober: prober.clone(),
                watcher: watcher.clone(),
            })
            .await;
        let mut round = Round {
            number,
            target,
            timeline: Timeline::default(),
            fresh: Vec::new(),
            prober: prober.clone(),
            lost: None,
            streams: Vec::new(),
            said: mpsc::channel(LINES),
            boot: None,
            restorer: None,
        };
        let outcome = match self.listen_to_all(&mut round, &prober, watcher.as_ref()) {
            Ok(()) => self.course(&mut round, seen).await,
            Err(stop) => Err(stop),
        };
        round.silence(self).await;
        let (course, stop) = outcome?;
        self.tell(&round, &course).await;
        stop.map_or(Ok(()), Err)
    }

    fn listen_to_all(
        &self,
        round: &mut Round,
        prober: &HostName,
        watcher: Option<&HostName>,
    ) -> Result<(), Stop> {
        let life = self.life();
        let word = nonce();
        let request = script::prober(self.site, life, &word);
        round.follow(&self.session(prober)?, Source::Prober, request, word);
        if let Some(watcher) = watcher {
            let word = nonce();
            let request = script::watcher(self.site, life, &word);
            round.follow(&self.session(watcher)?, Source::Watcher, request, word);
        }
        for host in self.site.disturbed() {
            self.follow_holder(round, &self.session(&host)?);
        }
        Ok(())
    }

    fn follow_holder(&self, round: &mut Round, session: &Session) {
        if let Some(vip) = self.site.vip {
            let word = nonce();
            let request = script::holder(vip, self.life(), &word);
            round.follow(session, Source::Holder, request, word);
        }
    }

    /// How long a script may live that nobody stops, in seconds: longer than a round.
    fn life(&self) -> u64 {
        u64::from(self.wish.seconds) + (RETURN + RECOVERY + SETTLE * 2).as_secs()
    }

    /// Goes through the round. What was taken away is brought back before this returns, whatever happens in between.
    async fn course(
        &mut self,
        round: &mut Round,
        seen: &Seen,
    ) -> Result<(Course, Option<Stop>), Stop> {
        self.baseline(round).await?;
        self.check_cancel()?;
        let title = format!("drill : {}", self.wish.by.as_str());
        let started = Instant::now();
        let target = round.target.clone();
        let (at, mut stop) = self.take_away(round, seen, &title).await?;
        let mut course = Course {
            away: at,
            back: None,
            redundant: None,
            cut_off: self.wish.by.breaks_connections(),
        };
        if matches!(self.wish.by, By::Reboot | By::Command(_)) {
            round.timeline.holds(&target, at, false);
        }
        if stop.is_none() && self.wish.by.is_timed() {
            let away = Duration::from_secs(self.wish.seconds.into());
            round.listen(self, Instant::now() + away, |_| false).await;
        }
        let back = self.bring_back(round, &mut course).await;
        let (status, detail) = match &back {
            Ok(()) => (Status::Changed, Vec::new()),
            Err(why) => (Status::Failed, vec![why.clone()]),
        };
        let help = "bring it back by hand; the timer quorate-drill-restore.timer on it, if there is one, says when it would come back by itself";
        self.settings
            .emit(Event::StepFinished {
                host: target.clone(),
                title,
                status,
                category: Category::Wait,
                seconds: started.elapsed().as_secs_f64(),
                detail,
                help: back.is_err().then(|| help.into()),
            })
            .await;
        if self.settings.cancel.is_asked() {
            return Ok((course, Some(Stop::Interrupted)));
        }
        let recovered = self.recover(round, &mut course).await;
        if let (Err(message), None) = (recovered, &stop) {
            let help = "`quorate status` shows it; `quorate apply` mends what has drifted".into();
            stop = Some(Stop::Failed { message, help });
        }
        if self.settings.cancel.is_asked() {
            stop = Some(Stop::Interrupted);
        }
        if let (Some(why), None) = (&round.lost, &stop) {
            stop = Some(Stop::Failed {
                message: format!("the requests from {} broke off: {why}", round.prober),
                help: "the figures of this round are not whole; run the drill again".into(),
            });
        }
        Ok((course, stop))
    }

    /// Waits until requests are good and the watch is open.
    async fn baseline(&mut self, round: &mut Round) -> Result<(), Stop> {
        let good = |round: &Round| {
            let now = now();
            let probes = &round.timeline.probes;
            let begun = probes.iter().any(|p| p.at < now - WARM_UP_MS);
            let recent = probes
                .iter()
                .filter(|p| p.at >= now - BASELINE_MS && p.at <= now);
            begun && recent.clone().count() > 0 && recent.clone().all(Probe::is_good)
        };
        let deadline = Instant::now() + BASELINE;
        let clean = round
            .listen(self, deadline, |r| r.lost.is_some() || good(r))
            .await;
        self.check_cancel()?;
        let endpoint = &self.site.endpoint;
        if let Some(why) = &round.lost {
            return Err(Stop::Refused(Refusal {
                hosts: vec![round.prober.clone()],
                message: format!("no requests can be made from {}: {why}", round.prober),
                help: "a drill that cannot measure takes nothing away; mend that first".into(),
            }));
        }
        if !clean {
            let made = round.timeline.probes.len();
            let failed = round.timeline.probes.iter().filter(|p| !p.is_good());
            return Err(Stop::Refused(Refusal {
                hosts: vec![round.prober.clone()],
                message: format!(
                    "requests at {endpoint} from {} are not clean for {} s before anything is taken away: {} of {made} failed",
                    round.prober,
                    BASELINE_MS / 1000,
                    failed.count()
                ),
                help: format!(
                    "try `curl -k https://{endpoint}/readyz` there: is the host overloaded?"
                ),
            }));
        }
        let deadline = Instant::now() + WATCH;
        let watching = round
            .listen(self, deadline, |r| r.timeline.is_watching())
            .await;
        self.check_cancel()?;
        if !watching {
            self.settings
                .emit(Event::Warning {
                    host: None,
                    message: "no watch could be opened: this round measures requests alone".into(),
                })
                .await;
        }
        // What failed before the baseline is no part of the round.
        let begin = now() - BASELINE_MS;
        round.timeline.probes.retain(|p| p.at >= begin);
        Ok(())
    }

    /// Takes the target away, and returns when; with a reason to stop where that is uncertain. An error says that
    /// nothing was taken away.
    async fn take_away(
        &mut self,
        round: &mut Round,
        seen: &Seen,
        title: &str,
    ) -> Result<(i64, Option<Stop>), Stop> {
        let target = round.target.clone();
        let session = self.session(&target)?;
        if self.wish.by.breaks_connections() {
            let word = nonce();
            let said = ask(&session, script::report(&word), &word).await;
            round.boot = said.ok().and_then(|said| identity(&said));
        }
        self.settings
            .emit(Event::StepStarted {
                host: target.clone(),
                title: title.into(),
            })
            .await;
        if let By::Command(line) = &self.wish.by {
            return Ok((now(), self.run_command(round, line).await.err()));
        }
        let interfaces = seen
            .get(&target)
            .map_or(&[][..], |s| s.interfaces.as_slice());
        let word = nonce();
        let (by, seconds) = (&self.wish.by, self.wish.seconds);
        let request = script::take_away(self.site, by, seconds, &target, interfaces, &word);
        let Some(request) = request else {
            return Err(nobody_left(&target));
        };
        let said = meanwhile(self, round, ask(&session, request, &word)).await;
        let at = now();
        let lead = if matches!(by, By::Isolate | By::Reboot) {
            LEAD_MS
        } else {
            0
        };
        if self.wish.by.breaks_connections()
            && let Some(place) = self.places.get_mut(&target)
        {
            // The old connection hangs; a new one tells sooner that the host is back.
            place.session = None;
        }
        match said {
            Ok(said) => match said.into_iter().find_map(cannot) {
                Some(why) => Err(Stop::Refused(Refusal {
                    hosts: vec![target.clone()],
                    message: format!("{title} cannot be done on {target}: {why}"),
                    help: "nothing was taken away; mend that, or choose another way with `--by`"
                        .into(),
                })),
                None => Ok((at + lead, None)),
            },
            // Its answer was lost: it may be gone, so it has to be brought back.
            Err(problem) => Ok((at, Some(lost(&target, problem)))),
        }
    }

    async fn run_command(&mut self, round: &mut Round, line: &str) -> Result<(), Stop> {
        let target = round.target.clone();
        let address = self.site.addresses.get(&target).copied();
        let failed = |what: &str, why: String| Stop::Failed {
            message: format!("the command that {what} {target} did not work: {why}"),
            help: "it gets QUORATE_HOST and QUORATE_ADDRESS in its environment; try it by hand"
                .into(),
        };
        let mut leash = None;
        if let Some(restore) = &self.wish.restore {
            // First: from now on the host comes back even if this program dies.
            let restorer = Restorer::arm(restore, &target, address)
                .map_err(|error| failed("brings back", error.to_string()))?;
            leash = Some(
                restorer
                    .leash()
                    .map_err(|error| failed("brings back", error.to_string()))?,
            );
            round.restorer = Some(restorer);
        }
        if let Some(place) = self.places.get_mut(&target) {
            place.session = None;
        }
        meanwhile(self, round, away::run(line, &target, address, leash))
            .await
            .map_err(|why| failed("takes away", why))
    }

    /// Waits until the target is back, and helps where that is possible; an error is one sentence.
    async fn bring_back(&mut self, round: &mut Round, course: &mut Course) -> Result<(), String> {
        let target = round.target.clone();
        if let Some(restorer) = round.restorer.take() {
            meanwhile(self, round, restorer.restore())
                .await
                .map_err(|why| format!("the command of --restore did not work: {why}"))?;
        }
        let hurried = self.settings.cancel.is_asked();
        let deadline = Instant::now() + RETURN;
        loop {
            let looked = self.is_back(round, course, hurried).await;
            if looked {
                break;
            }
            if Instant::now() > deadline {
                return Err(format!(
                    "{target} did not come back within {} s",
                    RETURN.as_secs()
                ));
            }
            round
                .listen_on(self, Instant::now() + Duration::from_millis(500))
                .await;
        }
        self.hold_again(round).await
    }

    /// Looks whether the target is back, and notes when it went and came.
    async fn is_back(&mut self, round: &mut Round, course: &mut Course, hurried: bool) -> bool {
        let target = round.target.clone();
        if self.wish.by == By::KillApi {
            let looked = self.look(std::slice::from_ref(&target), CONNECT);
            let seen = looked.await;
            let api = seen.get(&target).and_then(|s| s.api.as_ref());
            if !api.is_some_and(|api| api.ready) {
                return false;
            }
        }
        let Ok(session) = self.reach(round).await else {
            return false;
        };
        let word = nonce();
        let request = if hurried {
            script::release(&word)
        } else {
            script::report(&word)
        };
        let Ok(said) = meanwhile(self, round, ask(&session, request, &word)).await else {
            if let Some(place) = self.places.get_mut(&target) {
                place.session = None;
            }
            return false;
        };
        let boot = identity(&said);
        let rebooted = round.boot.is_some() && boot.is_some() && boot != round.boot;
        if said.contains(&Heard::Pending) || (self.wish.by == By::Reboot && !rebooted) {
            return false;
        }
        // What a host has noted is of an earlier drill where this one's command ran on the controller.
        if !matches!(self.wish.by, By::Command(_)) {
            for heard in &said {
                match heard {
                    Heard::Away(at) => course.away = *at,
                    Heard::Back(at) => course.back = Some(*at),
                    _ => {}
                }
            }
        }
        // Where nothing on the host says when it came back, it is when it could be reached.
        course.back.get_or_insert_with(now);
        if rebooted {
            self.locks.swap_remove(&target);
        }
        if self.wish.by.breaks_connections() {
            // Its stream from before is away, or hangs until TCP tries again.
            round.timeline.asks_anew(&target);
            self.follow_holder(round, &session);
        }
        true
    }

    async fn reach(&mut self, round: &mut Round) -> Result<Session, Problem> {
        let target = round.target.clone();
        let session = self.places.get(&target).and_then(|p| p.session.clone());
        if let Some(session) = session {
            return Ok(session);
        }
        let settings = self.settings;
        let Some(place) = settings.targets.get(&target) else {
            return Err(super::no_answer(CONNECT));
        };
        let open = tokio::time::timeout(CONNECT, Session::open(settings, place));
        let session = meanwhile(self, round, open)
            .await
            .map_err(|_| super::no_answer(CONNECT))??;
        if let Some(place) = self.places.get_mut(&target) {
            place.session = Some(session.clone());
        }
        Ok(session)
    }

    /// Takes the target's lock again where it was lost with the connection.
    async fn hold_again(&mut self, round: &mut Round) -> Result<(), String> {
        let target = round.target.clone();
        if self.locks.get(&target).is_some_and(Lock::is_held) {
            return Ok(());
        }
        let session = self.reach(round).await.map_err(|p| p.message)?;
        let taken = meanwhile(self, round, Lock::take_again(&session, self.settings)).await;
        let lock = taken.map_err(|problem| problem.message)?;
        self.locks.insert(target, lock);
        Ok(())
    }

    /// Waits until all is well and stays so; an error is one sentence.
    async fn recover(&mut self, round: &mut Round, course: &mut Course) -> Result<(), String> {
        let deadline = Instant::now() + RECOVERY;
        let hosts = self.site.disturbed();
        loop {
            let missing = {
                let seen = self.look_while(round, &hosts).await;
                redundancy::missing(self.site, &seen)
            };
            if self.settings.cancel.is_asked() {
                return Ok(());
            }
            if missing.is_empty() {
                let settled = course.redundant.is_some();
                course.redundant.get_or_insert_with(now);
                // Well before and after the requests had time to tell.
                if settled {
                    return Ok(());
                }
                self.settle(round).await;
                continue;
            }
            course.redundant = None;
            let text = redundancy::sentence(&missing);
            if Instant::now() > deadline {
                return Err(format!(
                    "not everything was well again {} s after {} came back: {text}",
                    RECOVERY.as_secs(),
                    round.target
                ));
            }
            self.settings
                .emit(Event::Progress {
                    host: round.target.clone(),
                    text,
                    of: None,
                })
                .await;
            round.listen(self, Instant::now() + PAUSE, |_| false).await;
        }
    }

    async fn look_while(&mut self, round: &mut Round, hosts: &[HostName]) -> Seen {
        // The streams' queue is long enough for the seconds that a look takes.
        let seen = self.look(hosts, CONNECT).await;
        round.take_all(self).await;
        seen
    }

    /// Waits until requests have been good for as long as ends an outage.
    async fn settle(&self, round: &mut Round) {
        let begun = now();
        let deadline = Instant::now() + SETTLE;
        round
            .listen(self, deadline, |r| {
                let at = now();
                r.lost.is_some()
                    || (at - begun > measure::CLEAN_MS && measure::is_clean(&r.timeline.probes, at))
            })
            .await;
    }

    /// Says what the round found.
    async fn tell(&self, round: &Round, course: &Course) {
        let marks = [
            (Mark::TakenAway, Some(course.away)),
            (Mark::BroughtBack, course.back),
            (Mark::Redundant, course.redundant),
        ];
        for (mark, at) in marks {
            if let Some(at) = at {
                self.mark(&round.target, mark, at).await;
            }
        }
        // What was broken off has no figures.
        if !self.settings.cancel.is_asked() {
            let mut result = round.timeline.result(round.number, &round.target, course);
            if self.site.holding == Holding::Each {
                // By routing several hosts have the address, and all is well.
                result.doubled = 0.0;
            }
            self.settings.emit(Event::DrillFinished { result }).await;
        }
    }

    pub(super) async fn mark(&self, host: &HostName, mark: Mark, at: i64) {
        let Ok(when) = jiff::Timestamp::from_millisecond(at) else {
            return;
        };
        self.settings
            .emit(Event::DrillMark {
                host: host.clone(),
                mark,
                when,
            })
            .await;
    }
}

fn identity(said: &[Heard]) -> Option<String> {
    said.iter().find_map(|heard| match heard {
        Heard::Identity(text) => Some(text.clone()),
        _ => None,
    })
}

fn cannot(heard: Heard) -> Option<String> {
    match heard {
        Heard::Cannot(why) => Some(why),
        _ => None,
    }
}

fn lost(target: &HostName, problem: Problem) -> Stop {
    Stop::Failed {
        message: format!(
            "{target} did not say whether it was taken away: {}",
            problem.message
        ),
        help: problem.help.unwrap_or_else(|| "run the drill again".into()),
    }
}

fn nobody_left(target: &HostName) -> Stop {
    Stop::Refused(Refusal {
        hosts: vec![target.clone()],
        message: format!("without {target} there is no node to make requests from"),
        help: "a drill takes a cluster of at least two nodes".into(),
    })
}
