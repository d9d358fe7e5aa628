//! How a server of this crate lives and ends.

use std::io;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::args::Failure;
use crate::sys::{self, StopSignals};

/// A loop that serves until it fails.
pub type Loop = Box<dyn FnOnce() -> io::Result<()> + Send>;

/// Runs each of `loops` in a thread of its own and returns once SIGTERM or SIGINT comes or `life` is
/// over; an error of a loop ends the wait with that error.
///
/// The limit on descriptors is raised to what the process may have.
pub fn until_stopped(life: Duration, loops: Vec<Loop>) -> Result<(), Failure> {
    sys::raise_file_limit()?;
    let signals = StopSignals::block(life)?;
    let (ended, end) = mpsc::channel();
    for serve in loops {
        let ended = ended.clone();
        // The receiver is gone only when the process is about to end.
        thread::spawn(move || drop(ended.send(serve())));
    }
    thread::spawn(move || {
        signals.wait();
        drop(ended.send(Ok(())));
    });
    match end.recv() {
        Ok(result) => result.map_err(Failure::from),
        Err(_) => Err(Failure::Work("every serving thread has panicked".into())),
    }
}
