//! Becoming another user by sudo(8), without a terminal and without a password in anybody's view.
//!
//! One command line does it all: where the login user is the wanted one already, nothing is needed; else sudo is looked
//! for and run. A marker on both streams shows where sudo's words end and the command's begin, so that an exit status
//! of the command is never taken for sudo's, nor the other way round.
//!
//! With a password, the password is sent when sudo's own prompt (of a random name) shows, and the payload when the
//! marker does. With NOPASSWD no prompt comes and no password is sent; a second prompt means a wrong one, and sudo is
//! left at once, before it can take payload for a second try.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use super::feed::Feed;
use super::tap::{pipe, tap};
use super::{Chunk, Connect, Elevation, Exit, Target, Transport, TransportError};
use crate::host::{Request, sh};
use crate::model::Secret;

mod talk;

use talk::{Event, Talk};

/// How long sudo may take until the command starts: a directory service that answers slowly, and PAM's pause of two
/// seconds after a wrong password, with room.
const LIMIT: Duration = Duration::from_secs(60);

/// Positional parameters: user, command, marker, then sudo's options.
///
/// It first says that it runs, so that the login shell's failures are not taken for sudo's. One line: csh takes no more
/// between quotes. Messages are matched in English, hence the locale. The command line of a login without a profile may lack
/// sbin. `-H` makes HOME that of the user, as it is on a login. What sudo runs is sh itself, not the user's own shell, which
/// may be nologin.
const SCRIPT: &str = concat!(
    r#"echo "$3-shell" >&2; "#,
    r#"export LC_ALL=C LANGUAGE= PATH="$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"; "#,
    r#"user=$1 command=$2 marker=$3; shift 3; "#,
    r#"if [ "$user" = root ]; then [ "$(id -u)" = 0 ]; else [ "$(id -un)" = "$user" ]; fi && exec /bin/sh -c "$command"; "#,
    r#"command -v sudo >/dev/null 2>&1 || { echo "$marker-missing" >&2; exit 127; }; "#,
    r#"exec sudo "$@" -H -u "$user" -- /bin/sh -c "$command""#,
);

/// Makes connections that use sudo where the target says so.
pub struct SudoConnector {
    inner: Arc<dyn Connect>,
}

impl SudoConnector {
    /// Returns the decorator of `inner`.
    pub fn new(inner: Arc<dyn Connect>) -> Self {
        Self { inner }
    }
}

impl Connect for SudoConnector {
    fn connect<'a>(
        &'a self,
        target: &'a Target,
    ) -> BoxFuture<'a, Result<Arc<dyn Transport>, TransportError>> {
        async move {
            let inner = self.inner.connect(target).await?;
            Ok(match &target.elevation {
                Elevation::None => inner,
                Elevation::Sudo { user, password } => Arc::new(Sudo {
                    inner,
                    login: target.user.clone(),
                    user: user.clone(),
                    password: password.clone(),
                }),
            })
        }
        .boxed()
    }
}

struct Sudo {
    inner: Arc<dyn Transport>,
    login: String,
    user: String,
    password: Option<Secret<String>>,
}

impl Transport for Sudo {
    fn exec<'a>(
        &'a self,
        request: Request,
        live: Option<mpsc::Receiver<Vec<u8>>>,
        output: mpsc::Sender<Chunk>,
    ) -> BoxFuture<'a, Result<Exit, TransportError>> {
        if !request.elevate() {
            return self.inner.exec(request, live, output);
        }
        match &self.password {
            None => self.without_password(request, live, output).boxed(),
            Some(password) => self.with_password(password, request, live, output).boxed(),
        }
    }

    fn close<'a>(&'a self) -> BoxFuture<'a, ()> {
        self.inner.close()
    }
}

impl Sudo {
    async fn without_password(
        &self,
        request: Request,
        live: Option<mpsc::Receiver<Vec<u8>>>,
        output: mpsc::Sender<Chunk>,
    ) -> Result<Exit, TransportError> {
        let marker = marker();
        let command = self.command(&request, &marker, "-n");
        let request = Request::new(request.kind(), command, request.stdin().to_vec());
        let mut talk = Talk::new(&marker);
        let begun = AtomicBool::new(false);
        // What sudo says of itself is kept back until the command speaks, or the exec ends.
        let (ready, mut started) = watch::channel(false);
        let (sender, chunks) = pipe();
        let exec = self.inner.exec(request, live, sender);
        let exec = tap(exec, chunks, &output, |chunk| {
            let (chunk, event) = talk.hear(chunk);
            begun.store(talk.has_begun(), Ordering::Relaxed);
            if event == Some(Event::Ready) {
                ready.send_replace(true);
            }
            chunk
        });
        let overdue = async {
            if timeout(LIMIT, started.wait_for(|started| *started))
                .await
                .is_err()
            {
                return;
            }
            std::future::pending().await
        };
        let result = tokio::select! {
            result = exec => result,
            () = overdue => return Err(self.overdue(begun.load(Ordering::Relaxed))),
        };
        self.conclude(result, &talk)
    }

    async fn with_password(
        &self,
        password: &Secret<String>,
        request: Request,
        live: Option<mpsc::Receiver<Vec<u8>>>,
        output: mpsc::Sender<Chunk>,
    ) -> Result<Exit, TransportError> {
        if password.expose().contains(['\n', '\0']) {
            return Err(self.refused(
                "the password holds a line break",
                "set another become password",
            ));
        }
        // Before anything is started: a missing file must not cost a password prompt.
        let feed = Feed::open(&request).await?;
        let marker = marker();
        let options = format!("-k -S -p {marker}-password:");
        let command = self.command(&request, &marker, &options);
        let request = Request::new(request.kind(), command, Vec::new());

        let (mut stdin, inner_live) = mpsc::channel::<Vec<u8>>(2);
        let mut talk = Talk::new(&marker);
        let begun = AtomicBool::new(false);
        let (say, events) = watch::channel((0_u32, false));
        let own = password.expose().len() as u64 + 1;
        let mut asked = 0;
        let (sender, chunks) = pipe();
        let exec = self.inner.exec(request, Some(inner_live), sender);
        let exec = tap(exec, chunks, &output, |chunk| {
            let (chunk, event) = talk.hear(chunk);
            begun.store(talk.has_begun(), Ordering::Relaxed);
            match event {
                Some(Event::Prompts(prompts)) => {
                    asked = prompts;
                    say.send_modify(|state| state.0 = prompts);
                }
                Some(Event::Ready) => say.send_modify(|state| state.1 = true),
                None => {}
            }
            match chunk {
                // The password is no part of the payload.
                Some(Chunk::Sent(sent)) if asked > 0 => Some(sent.saturating_sub(own))
                    .filter(|sent| *sent > 0)
                    .map(Chunk::Sent),
                chunk => chunk,
            }
        });

        let (sent, _progress) = watch::channel(0);
        let speaking = async {
            match timeout(LIMIT, converse(events, &stdin, password)).await {
                Err(_) => return Err(self.overdue(begun.load(Ordering::Relaxed))),
                Ok(Conversation::Wrong) => return Err(self.wrong_password()),
                // The exec has ended, and says why.
                Ok(Conversation::Over) => return Ok(()),
                Ok(Conversation::Ready) => {}
            }
            feed.run(&mut stdin, live, &sent).await?;
            // Closing it is the end of file.
            drop(stdin);
            Ok(())
        };
        let result = {
            tokio::pin!(exec, speaking);
            let mut spoken = false;
            loop {
                tokio::select! {
                    result = &mut exec => break result,
                    said = &mut speaking, if !spoken => {
                        said?;
                        spoken = true;
                    }
                }
            }
        };
        self.conclude(result, &talk)
    }

    fn command(&self, request: &Request, marker: &str, options: &str) -> String {
        // On both streams, so that each shows by itself where the command's own output begins.
        let command = format!("echo {marker}; echo {marker} >&2; {}", request.command());
        format!(
            "exec /bin/sh -c {} quorate {} {} {marker} {options}",
            sh::login_word(SCRIPT),
            sh::login_word(&self.user),
            sh::login_word(&command)
        )
    }

    fn conclude(
        &self,
        result: Result<Exit, TransportError>,
        talk: &Talk,
    ) -> Result<Exit, TransportError> {
        match result {
            Ok(exit) if !talk.has_begun() => {
                let (reason, help) = talk.shell_verdict(&self.login, exit.status);
                Err(self.no_shell(reason, help))
            }
            Ok(_) if !talk.is_ready() => {
                let (reason, help) = talk.verdict(&self.login, &self.user, self.password.is_some());
                Err(self.refused(&reason, &help))
            }
            other => other,
        }
    }

    fn refused(&self, reason: &str, help: &str) -> TransportError {
        TransportError::Elevation {
            user: self.user.clone(),
            reason: reason.to_owned(),
            help: help.to_owned(),
        }
    }

    fn wrong_password(&self) -> TransportError {
        self.refused(talk::WRONG_PASSWORD, talk::WRONG_PASSWORD_HELP)
    }

    fn no_shell(&self, reason: String, help: String) -> TransportError {
        TransportError::Login {
            user: self.login.clone(),
            reason,
            help,
        }
    }

    fn overdue(&self, begun: bool) -> TransportError {
        if !begun {
            return self.no_shell(
                format!(
                    "the login shell did not come to the command within {} s",
                    LIMIT.as_secs()
                ),
                format!(
                    "something in its start-up files (~/.bashrc, /etc/profile.d) waits: log in as {} and run `sh -c true`",
                    self.login
                ),
            );
        }
        self.refused(
            &format!(
                "sudo neither asked for the password nor ran the command within {} s",
                LIMIT.as_secs()
            ),
            "try `sudo -k true` there: a question of its own (a second factor, another prompt) cannot be answered from here",
        )
    }
}

enum Conversation {
    Ready,
    Wrong,
    Over,
}

/// Gives the password when it is asked for, once.
async fn converse(
    mut events: watch::Receiver<(u32, bool)>,
    stdin: &mpsc::Sender<Vec<u8>>,
    password: &Secret<String>,
) -> Conversation {
    let mut answered = false;
    loop {
        let (prompts, ready) = *events.borrow_and_update();
        if ready {
            return Conversation::Ready;
        }
        if prompts > 1 {
            return Conversation::Wrong;
        }
        if prompts == 1 && !answered {
            answered = true;
            let mut line = password.expose().clone().into_bytes();
            line.push(b'\n');
            if stdin.send(line).await.is_err() {
                return Conversation::Over;
            }
        }
        if events.changed().await.is_err() {
            return Conversation::Over;
        }
    }
}

/// Returns a word that no output holds by chance.
fn marker() -> String {
    format!("quorate-{:032x}", rand::random::<u128>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Kind;
    use crate::model::HostName;
    use crate::transport::fake::LocalConnector;

    /// A host without sudo: its script looks for a program that no machine has.
    struct WithoutSudo(LocalConnector);

    impl Connect for WithoutSudo {
        fn connect<'a>(
            &'a self,
            _: &'a Target,
        ) -> BoxFuture<'a, Result<Arc<dyn Transport>, TransportError>> {
            async { Ok(Arc::new(Renamed(self.0.transport())) as Arc<dyn Transport>) }.boxed()
        }
    }

    struct Renamed(crate::transport::fake::LocalTransport);

    impl Transport for Renamed {
        fn exec<'a>(
            &'a self,
            request: Request,
            live: Option<mpsc::Receiver<Vec<u8>>>,
            output: mpsc::Sender<Chunk>,
        ) -> BoxFuture<'a, Result<Exit, TransportError>> {
            let command = request.command().replace("sudo", "no-such-sudo");
            self.0.exec(
                Request::new(request.kind(), command, request.stdin().to_vec()),
                live,
                output,
            )
        }

        fn close<'a>(&'a self) -> BoxFuture<'a, ()> {
            self.0.close()
        }
    }

    #[tokio::test]
    async fn a_host_without_sudo_says_so() {
        let target = Target {
            name: HostName::new("node").unwrap(),
            address: "node".into(),
            port: 22,
            user: "operator".into(),
            keys: Vec::new(),
            elevation: Elevation::Sudo {
                user: "somebody-else".into(),
                password: None,
            },
            access: crate::transport::Access::default(),
            jumps: Vec::new(),
        };
        let connector = SudoConnector::new(Arc::new(WithoutSudo(LocalConnector::default())));
        let transport = connector.connect(&target).await.unwrap();
        let (sender, _output) = mpsc::channel(8);
        let request = Request::new(Kind::Command, "true".into(), Vec::new());
        let error = transport.exec(request, None, sender).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot become somebody-else: operator is not somebody-else, and sudo is not installed"
        );
    }
}
