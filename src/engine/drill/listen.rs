//! A round's streams: what they say becomes its timeline, and events.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::super::session::Session;
use super::Drill;
use super::away::Restorer;
use super::stream::{Said, Source, Stream, ended};
use crate::cluster::drill::{Heard, Probe, Timeline};
use crate::event::{Event, Mark};
use crate::host::Request;
use crate::model::HostName;

/// How many requests one event carries at most: a second's.
const BATCH: usize = 25;

/// A round while it goes on.
pub(super) struct Round {
    pub(super) number: u32,
    pub(super) target: HostName,
    pub(super) timeline: Timeline,
    /// Requests that no event has told yet.
    pub(super) fresh: Vec<Probe>,
    pub(super) prober: HostName,
    /// Why no more requests come.
    pub(super) lost: Option<String>,
    pub(super) streams: Vec<Stream>,
    pub(super) said: (mpsc::Sender<Said>, mpsc::Receiver<Said>),
    /// Which boot the target was in before.
    pub(super) boot: Option<String>,
    pub(super) restorer: Option<Restorer>,
}

impl Round {
    pub(super) fn follow(
        &mut self,
        session: &Session,
        source: Source,
        request: Request,
        word: String,
    ) {
        let to = self.said.0.clone();
        self.streams
            .push(Stream::start(session, source, request, word, to));
    }

    /// Takes what the streams say until `done`, the deadline, or the user's wish to stop. Returns whether it is done.
    pub(super) async fn listen(
        &mut self,
        drill: &Drill<'_>,
        deadline: Instant,
        done: impl Fn(&Self) -> bool,
    ) -> bool {
        let mut cancel = drill.settings.cancel.clone();
        loop {
            if done(self) {
                return true;
            }
            if drill.settings.cancel.is_asked() || Instant::now() >= deadline {
                return false;
            }
            let tick = deadline.min(Instant::now() + Duration::from_millis(100));
            tokio::select! {
                Some(said) = self.said.1.recv() => self.hear(drill, said).await,
                () = tokio::time::sleep_until(tick) => {}
                () = cancel.asked() => {}
            }
        }
    }

    /// Takes what the streams say until then, whatever the user wishes.
    pub(super) async fn listen_on(&mut self, drill: &Drill<'_>, until: Instant) {
        meanwhile(drill, self, tokio::time::sleep_until(until)).await;
    }

    pub(super) async fn take_all(&mut self, drill: &Drill<'_>) {
        while let Ok(said) = self.said.1.try_recv() {
            self.hear(drill, said).await;
        }
    }

    async fn hear(&mut self, drill: &Drill<'_>, said: Said) {
        let host = &said.host;
        match (said.source, said.heard) {
            (Source::Prober, Heard::Probe(probe)) => {
                self.timeline.probes.push(probe);
                self.fresh.push(probe);
                if self.fresh.len() >= BATCH {
                    self.flush(drill).await;
                }
            }
            (Source::Prober, Heard::Cannot(why)) => self.lost = Some(why),
            (Source::Prober, Heard::End) => {
                self.lost.get_or_insert_with(|| "they ended".into());
            }
            (Source::Watcher, Heard::Watch(at, open)) if self.timeline.watches(at, open) => {
                let mark = if open {
                    Mark::WatchUsable
                } else {
                    Mark::WatchBroke
                };
                drill.mark(host, mark, at).await;
            }
            (Source::Watcher, Heard::Cannot(why)) => {
                let message = format!("the watch on {host}: {why}");
                drill
                    .settings
                    .emit(Event::Warning {
                        host: Some(host.clone()),
                        message,
                    })
                    .await;
            }
            (Source::Holder, Heard::Holder(at, has)) if self.timeline.holds(host, at, has) => {
                let mark = if has { Mark::VipGained } else { Mark::VipLost };
                drill.mark(host, mark, at).await;
            }
            _ => {}
        }
    }

    async fn flush(&mut self, drill: &Drill<'_>) {
        let fresh = std::mem::take(&mut self.fresh);
        let Some(first) = fresh.iter().map(|p| p.at).min() else {
            return;
        };
        let Ok(start) = jiff::Timestamp::from_millisecond(first) else {
            return;
        };
        drill
            .settings
            .emit(Event::DrillProbes {
                host: self.prober.clone(),
                start,
                probes: fresh.iter().map(|p| p.event(first)).collect(),
            })
            .await;
    }

    /// Ends all streams, and takes the last that they say.
    pub(super) async fn silence(&mut self, drill: &Drill<'_>) {
        let tasks = self.streams.drain(..).map(Stream::stop).collect();
        let lost = self.lost.clone();
        meanwhile(drill, self, ended(tasks)).await;
        self.take_all(drill).await;
        self.lost = lost;
        self.flush(drill).await;
    }
}

/// Awaits `work`, and takes what the streams say in the meantime.
pub(super) async fn meanwhile<T>(
    drill: &Drill<'_>,
    round: &mut Round,
    work: impl Future<Output = T>,
) -> T {
    tokio::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return done,
            Some(said) = round.said.1.recv() => round.hear(drill, said).await,
        }
    }
}
