//! The terminal while it is taken over, and how it is given back.

use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::{Hide, Show};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::{Frame, Terminal};
use std::io::{self, Stdout};
use std::mem::ManuallyDrop;
use std::panic;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

/// Whether the terminal is ours now. One for the process, as the terminal is, and as a panic hook
/// can reach nothing else.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// The terminal, taken over. Dropped, or in a panic, it is as it was before.
#[derive(Debug)]
pub(super) struct Screen {
    /// Never dropped: it would show the cursor, which is done here, and panic if it cannot because the
    /// terminal is gone.
    terminal: ManuallyDrop<Terminal<CrosstermBackend<Stdout>>>,
}

impl Screen {
    /// Takes the terminal over: no echo, no signals by keys, a screen of its own without a cursor.
    pub(super) fn take() -> io::Result<Self> {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            // Otherwise the message would be written to a screen that is gone a moment later.
            give_back();
            before(info);
        }));
        let terminal = Terminal::new(CrosstermBackend::new(io::stdout()))?;
        TAKEN.store(true, SeqCst);
        let screen = Self { terminal: ManuallyDrop::new(terminal) };
        enable_raw_mode()?;
        execute!(io::stdout(), EnterAlternateScreen, Hide)?;
        Ok(screen)
    }

    /// Draws one picture.
    pub(super) fn draw(&mut self, picture: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        self.terminal.draw(picture).map(drop)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

fn give_back() {
    if TAKEN.swap(false, SeqCst) {
        // If the terminal is gone, nobody needs either.
        let _ = execute!(io::stdout(), LeaveAlternateScreen, Show);
        let _ = disable_raw_mode();
    }
}
