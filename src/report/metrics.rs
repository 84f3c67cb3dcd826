//! `--metrics FILE`: a run as metrics for node_exporter's textfile collector, written when the run is over.
//!
//! Format: <https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format>.

use std::fmt::Write as _;
use std::io;

use camino::Utf8PathBuf;
use indexmap::IndexMap;
use jiff::Timestamp;

use crate::event::{Event, Part, Recap, Record, Reporter, Seen};
use crate::model::HostName;

use super::plan::{PlanView, Stands};
use super::plan_file::write_atomically;

/// The collector runs as a user of its own.
const MODE: u32 = 0o644;

/// Writes a run's metrics as a file.
pub struct Metrics {
    path: Utf8PathBuf,
    run: Measured,
}

/// What metrics are made of.
#[derive(Default)]
struct Measured {
    cluster: String,
    recap: Recap,
    plan: PlanView,
    seen: IndexMap<HostName, Seen>,
    ended: Option<Timestamp>,
}

impl Metrics {
    /// Returns a reporter that writes to `path`.
    pub fn new(path: Utf8PathBuf) -> Self {
        Self {
            path,
            run: Measured::default(),
        }
    }
}

impl Reporter for Metrics {
    fn record(&mut self, record: &Record) -> io::Result<()> {
        self.run.add(record);
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        write_atomically(&self.path, &self.run.text(), MODE)
    }
}

/// Returns the metrics of these records.
pub fn metrics<'a>(records: impl IntoIterator<Item = &'a Record>) -> String {
    let mut run = Measured::default();
    records.into_iter().for_each(|record| run.add(record));
    run.text()
}

type Labels<'a> = Vec<(&'static str, &'a str)>;

impl Measured {
    fn add(&mut self, record: &Record) {
        self.recap.add(record);
        if self.recap.is_read_only() {
            self.plan.add(record);
        }
        self.ended = Some(record.at);
        match &record.event {
            Event::RunStarted { cluster, .. } => self.cluster.clone_from(cluster),
            Event::HostSeen { host, seen } => {
                self.seen.insert(host.clone(), seen.clone());
            }
            _ => {}
        }
    }

    fn text(&self) -> String {
        let mut out = String::new();
        let command: Labels<'_> = vec![("command", &self.recap.command)];
        let ended = self.ended.map_or(0.0, |at| at.as_duration().as_secs_f64());
        let run = [
            (
                "quorate_last_run_timestamp_seconds",
                "When the last run ended.",
                ended,
            ),
            (
                "quorate_last_run_duration_seconds",
                "How long it took.",
                self.recap.seconds,
            ),
            (
                "quorate_last_run_exit_code",
                "How it ended: 0 done, 1 failed, 2 differences, 3 unreachable, 5 refused, 130 interrupted.",
                f64::from(self.recap.exit_code()),
            ),
        ];
        for (name, help, value) in run {
            self.family(&mut out, name, help, [(command.clone(), value)]);
        }
        self.hosts(&mut out);
        self.certificates(&mut out);
        if let Some(healthy) = self.recap.healthy {
            self.family(
                &mut out,
                "quorate_cluster_healthy",
                "Whether the cluster was seen to be as it should be.",
                [(Vec::new(), flag(healthy))],
            );
        }
        out
    }

    fn hosts(&self, out: &mut String) {
        let unread = |name: &HostName| {
            self.recap
                .hosts
                .get(name)
                .is_some_and(|host| host.health == crate::event::Health::Unreachable)
        };
        self.family(
            out,
            "quorate_host_reachable",
            "Whether the host could be reached.",
            self.recap
                .hosts
                .keys()
                .map(|name| (host(name), flag(!unread(name)))),
        );
        if self.recap.is_read_only() {
            let read = self.plan.hosts(&self.recap);
            let read = read.filter(|(.., s)| matches!(s, Stands::Changing | Stands::Unchanged));
            self.family(
                out,
                "quorate_drifted_items",
                "Tasks that are not as written. A host that could not be read has none of these.",
                read.map(|(name, steps, _)| (host(name), number(steps.len()))),
            );
        } else if self.recap.command == "apply" {
            let hosts = self.recap.hosts.iter();
            self.family(
                out,
                "quorate_changed_items",
                "Tasks that the last apply changed.",
                hosts.map(|(name, recap)| (host(name), f64::from(recap.changed))),
            );
        }
        let carriers = self
            .seen
            .iter()
            .filter(|(_, seen)| seen.parts.contains(&Part::LoadBalancer) || seen.vip.is_some());
        self.family(
            out,
            "quorate_vip_holder",
            "Whether the host holds the virtual address.",
            carriers.map(|(name, seen)| (host(name), flag(seen.vip.is_some()))),
        );
    }

    fn certificates(&self, out: &mut String) {
        let each = || {
            self.seen.iter().flat_map(|(name, seen)| {
                seen.certificates.iter().map(move |certificate| {
                    let mut labels = host(name);
                    labels.push(("certificate", certificate.name.as_str()));
                    (labels, certificate)
                })
            })
        };
        self.family(
            out,
            "quorate_certificate_expiry_timestamp_seconds",
            "When the certificate ends.",
            each().map(|(labels, c)| (labels, c.not_after.as_duration().as_secs_f64())),
        );
        #[expect(clippy::cast_precision_loss, reason = "days of a century")]
        self.family(
            out,
            "quorate_certificate_expiry_days",
            "Whole days until the certificate ends, by the host's own clock.",
            each().map(|(labels, c)| (labels, c.days as f64)),
        );
    }

    /// Adds a gauge with its samples; nothing where there are none.
    fn family<'a>(
        &'a self,
        out: &mut String,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Labels<'a>, f64)>,
    ) {
        let mut samples = samples.into_iter().peekable();
        if samples.peek().is_none() {
            return;
        }
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} gauge");
        for (labels, value) in samples {
            let _ = write!(out, "{name}{{cluster=\"{}\"", escaped(&self.cluster));
            for (label, text) in labels {
                let _ = write!(out, ",{label}=\"{}\"", escaped(text));
            }
            let _ = writeln!(out, "}} {value}");
        }
    }
}

fn host(name: &HostName) -> Labels<'_> {
    vec![("host", name.as_str())]
}

fn flag(is: bool) -> f64 {
    f64::from(u8::from(is))
}

fn number(n: usize) -> f64 {
    f64::from(u32::try_from(n).unwrap_or(u32::MAX))
}

/// Returns a label's value as the format asks for it.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}
