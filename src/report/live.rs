//! The moving display on a terminal. The one file that touches indicatif.

use std::io;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::Timestamp;

use crate::event::Record;

use super::screen::Screen;

/// How often the display is drawn anew: its clocks count seconds.
const TICK: Duration = Duration::from_millis(200);
/// At most so many times a second, however fast events come.
const DRAWS_PER_SECOND: u8 = 10;

/// The display and the thread that keeps its clocks going.
pub struct Live {
    shared: Arc<Shared>,
    stop: Sender<()>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    area: MultiProgress,
    color: bool,
    state: Mutex<State>,
}

struct State {
    screen: Screen,
    /// One a line: indicatif cuts each to the width of the terminal.
    bars: Vec<ProgressBar>,
}

impl Live {
    /// Returns a display on standard output.
    pub fn new(color: bool) -> Self {
        let area =
            MultiProgress::with_draw_target(ProgressDrawTarget::stdout_with_hz(DRAWS_PER_SECOND));
        let state = Mutex::new(State {
            screen: Screen::default(),
            bars: Vec::new(),
        });
        let shared = Arc::new(Shared { area, color, state });
        let (stop, stopped) = channel();
        let thread = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || {
                while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(TICK) {
                    shared.draw();
                }
            }
        });
        Self {
            shared,
            stop,
            thread: Some(thread),
        }
    }

    /// Takes one record; the next tick shows it.
    pub(super) fn record(&mut self, record: &Record) {
        self.shared.lock().screen.add(record);
    }

    /// Prints lines above the display.
    pub(super) fn print(&mut self, text: &str) -> io::Result<()> {
        self.shared
            .area
            .println(self.shared.strip(text.trim_end_matches('\n')))
    }

    /// Takes the display away.
    pub(super) fn end(&mut self) -> io::Result<()> {
        let _ = self.stop.send(());
        if let Some(thread) = self.thread.take() {
            thread
                .join()
                .map_err(|_| io::Error::other("the display's thread panicked"))?;
        }
        self.shared.area.clear()
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A display is never worth a second panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn strip(&self, text: &str) -> String {
        if self.color {
            text.to_string()
        } else {
            anstream::adapter::strip_str(text).to_string()
        }
    }

    fn draw(&self) {
        let mut state = self.lock();
        let lines = state.screen.lines(Timestamp::now());
        while state.bars.len() > lines.len() {
            if let Some(bar) = state.bars.pop() {
                self.area.remove(&bar);
            }
        }
        for (i, line) in lines.iter().enumerate() {
            let line = self.strip(line);
            match state.bars.get(i) {
                Some(bar) => bar.set_message(line),
                None => {
                    let style = ProgressStyle::with_template("{wide_msg}")
                        .unwrap_or_else(|_| ProgressStyle::default_spinner());
                    let bar = self.area.add(ProgressBar::new_spinner().with_style(style));
                    bar.set_message(line);
                    state.bars.push(bar);
                }
            }
        }
    }
}
