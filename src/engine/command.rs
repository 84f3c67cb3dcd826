//! `quorate exec`: the user's own command on the chosen hosts.

use futures::StreamExt as _;

use super::Settings;
use super::journal::{Allowance, OUTPUT_LIMIT};
use super::look::start;
use super::session::{Problem, Session};
use super::state::trouble;
use crate::event::{Category, Event, Status};
use crate::host::{Kind, Request, sh};
use crate::model::HostName;
use crate::transport::Chunk;

/// Runs `words` as one command on every host, and hands its output over line by line.
pub async fn command(settings: &Settings, words: &[String]) {
    start(settings).await;
    let targets: Vec<_> = settings
        .targets
        .values()
        .filter(|t| settings.is_ours(&t.name))
        .cloned()
        .collect();
    let runs = targets.into_iter().map(|target| {
        let settings = settings.clone();
        let line = match words {
            [one] => one.clone(),
            many => sh::words(many),
        };
        async move {
            let started = std::time::Instant::now();
            let mut cancel = settings.cancel.clone();
            let outcome = tokio::select! {
                outcome = one(&settings, &target, &line) => Some(outcome),
                () = cancel.asked() => None,
            };
            let seconds = started.elapsed().as_secs_f64();
            match outcome {
                Some(Err(problem)) => trouble(&settings, &target.name, problem).await,
                Some(Ok(status)) => {
                    let event = Event::StepFinished {
                        host: target.name.clone(),
                        title: format!("exec : {line}"),
                        status: if status == 0 {
                            Status::Ok
                        } else {
                            Status::Failed
                        },
                        category: Category::Own,
                        seconds,
                        detail: if status == 0 {
                            Vec::new()
                        } else {
                            vec![format!("exit status {status}")]
                        },
                        help: None,
                    };
                    settings.emit(event).await;
                }
                None => {}
            }
            settings
                .emit(Event::HostFinished {
                    host: target.name,
                    seconds,
                })
                .await;
        }
    });
    futures::stream::iter(runs)
        .buffer_unordered(settings.forks.max(1))
        .collect::<Vec<()>>()
        .await;
    if settings.cancel.is_asked() {
        settings
            .emit(Event::Interrupted { hosts: Vec::new() })
            .await;
    }
}

async fn one(
    settings: &Settings,
    target: &crate::transport::Target,
    line: &str,
) -> Result<u32, Problem> {
    let session = Session::open(settings, target).await?;
    let request = Request::new(
        Kind::Command,
        format!("exec /bin/sh -c {}", sh::login_word(line)),
        Vec::new(),
    );
    // Bounded: a host that prints faster than it is read waits.
    let (sender, mut chunks) = tokio::sync::mpsc::channel(64);
    let mut output = Output {
        settings,
        host: &target.name,
        kept: Allowance::default(),
        told: false,
    };
    let printer = async {
        let mut rest = [Vec::new(), Vec::new()];
        while let Some(chunk) = chunks.recv().await {
            let (stderr, bytes) = match chunk {
                Chunk::Stdout(bytes) => (false, bytes),
                Chunk::Stderr(bytes) => (true, bytes),
                Chunk::Sent(_) => continue,
            };
            for line in lines(&mut rest[usize::from(stderr)], &bytes) {
                output.line(stderr, line).await;
            }
        }
        for (stderr, rest) in [(false, &rest[0]), (true, &rest[1])] {
            if !rest.is_empty() {
                let line = String::from_utf8_lossy(rest).into_owned();
                output.line(stderr, line).await;
            }
        }
    };
    let (exit, ()) = tokio::join!(session.hold(request, None, sender), printer);
    session.close().await;
    Ok(exit?.status)
}

/// Hands over a host's output, and says once from where on the journal does not keep it.
struct Output<'a> {
    settings: &'a Settings,
    host: &'a HostName,
    kept: Allowance,
    told: bool,
}

impl Output<'_> {
    async fn line(&mut self, stderr: bool, line: String) {
        if !self.kept.keeps(&line) && !self.told {
            self.told = true;
            let message = format!(
                "the journal keeps the first {} KiB of its output; the rest is shown and not recorded",
                OUTPUT_LIMIT >> 10
            );
            let host = Some(self.host.clone());
            self.settings.emit(Event::Warning { host, message }).await;
        }
        let event = Event::Output {
            host: self.host.clone(),
            stderr,
            line,
        };
        self.settings.emit(event).await;
    }
}

/// Returns the whole lines of a stream; what is left stays in `rest`. A line is cut at 64 KiB.
fn lines(rest: &mut Vec<u8>, bytes: &[u8]) -> Vec<String> {
    let mut lines = Vec::new();
    for piece in bytes.split_inclusive(|b| *b == b'\n') {
        rest.extend(&piece[..piece.len().min((1usize << 16).saturating_sub(rest.len()))]);
        if piece.ends_with(b"\n") {
            lines.push(
                String::from_utf8_lossy(rest)
                    .trim_end_matches(['\n', '\r'])
                    .to_string(),
            );
            rest.clear();
        }
    }
    lines
}
