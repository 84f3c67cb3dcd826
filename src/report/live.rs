//! The moving display on a terminal: a thread draws it, so that its clocks run while nothing happens.

use std::io::{self, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use jiff::Timestamp;
use tokio::signal::unix::{SignalKind, signal};

use crate::event::Record;

use super::painter::{Painter, Size};
use super::screen::Screen;

/// How often the display is drawn: often enough to look alive, seldom enough to cost nothing over a slow line.
const TICK: Duration = Duration::from_millis(120);

/// The display and the thread that draws it.
pub struct Live {
    shared: Arc<Shared>,
    stop: Sender<()>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    color: bool,
    resized: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    screen: Screen,
    painter: Painter,
    size: Size,
    /// What is to scroll by with the next draw.
    above: String,
    /// Why the last draw failed.
    error: Option<io::Error>,
}

impl Live {
    /// Returns a display on standard output, drawn from the first record on.
    pub fn new(color: bool) -> Self {
        let shared = Arc::new(Shared {
            color,
            resized: AtomicBool::new(true),
            state: Mutex::default(),
        });
        watch_size(&shared);
        let (stop, stopped) = channel();
        let thread = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || {
                while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(TICK) {
                    shared.draw(true);
                }
            }
        });
        Self {
            shared,
            stop,
            thread: Some(thread),
        }
    }

    /// Takes one record; the next draw shows it.
    pub(super) fn record(&mut self, record: &Record) {
        self.shared.lock().screen.add(record);
    }

    /// Has lines scroll by above the display with the next draw.
    pub(super) fn print(&mut self, text: &str) -> io::Result<()> {
        let mut state = self.shared.lock();
        state.above.push_str(text);
        state.error.take().map_or(Ok(()), Err)
    }

    /// Takes the display away.
    pub(super) fn end(&mut self) -> io::Result<()> {
        let Some(thread) = self.thread.take() else {
            return Ok(());
        };
        // If the thread is gone already, so is its end of the channel.
        let _ = self.stop.send(());
        thread
            .join()
            .map_err(|_| io::Error::other("the display's thread panicked"))?;
        self.shared.draw(false);
        self.shared.lock().error.take().map_or(Ok(()), Err)
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        // Nobody is left to hear of it.
        let _ = self.end();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A display is never worth a second panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Draws the display, or without `shown` what stands above it alone.
    fn draw(&self, shown: bool) {
        let size = self
            .resized
            .swap(false, Ordering::Relaxed)
            .then(terminal_size);
        let mut state = self.lock();
        if let Some(size) = size {
            state.size = size;
        }
        let size = state.size;
        let lines = if shown {
            state.screen.lines(Timestamp::now(), size)
        } else {
            Vec::new()
        };
        let above = std::mem::take(&mut state.above);
        let mut text = state.painter.paint(&above, &lines, size);
        if !self.color {
            text = without_color(&text);
        }
        let mut stdout = io::stdout().lock();
        let written = stdout
            .write_all(text.as_bytes())
            .and_then(|()| stdout.flush());
        if let Err(error) = written {
            state.error.get_or_insert(error);
        }
    }
}

/// Returns the text without its colours, but with the cursor's moves.
fn without_color(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("\x1b[") {
        out.push_str(&rest[..at]);
        let sequence = &rest[at..];
        let end = sequence
            .char_indices()
            .skip(2)
            .find(|(_, c)| c.is_ascii_alphabetic());
        let end = end.map_or(sequence.len(), |(i, _)| i + 1);
        if !sequence[..end].ends_with('m') {
            out.push_str(&sequence[..end]);
        }
        rest = &sequence[end..];
    }
    out.push_str(rest);
    out
}

/// Has the size read anew whenever the terminal says that it changed.
fn watch_size(shared: &Arc<Shared>) {
    let Ok(runtime) = tokio::runtime::Handle::try_current() else {
        return;
    };
    let shared = Arc::downgrade(shared);
    runtime.spawn(async move {
        let Ok(mut changes) = signal(SignalKind::window_change()) else {
            return;
        };
        while changes.recv().await.is_some() {
            let Some(shared) = shared.upgrade() else {
                return;
            };
            shared.resized.store(true, Ordering::Relaxed);
        }
    });
}

/// Returns the size of the terminal behind standard output. It is asked once and after each resize.
fn terminal_size() -> Size {
    let Some((columns, rows)) = terminal_size::terminal_size_of(io::stdout()) else {
        return Size::default();
    };
    // Some serial lines say 0 by 0.
    if columns.0 == 0 || rows.0 == 0 {
        return Size::default();
    }
    Size {
        columns: columns.0.into(),
        rows: rows.0.into(),
    }
}
