//! Long flows and long bodies without copies: from socket to socket through a pipe, by splice(2).
//!
//! Measured over loopback in several runs on a busy machine, so that only the ratios mean much, in CPU
//! time for each GiB, with one flow and with 32: a copying loop took 720
//! and 790 ms with buffers of 64 KiB, 500 and 540 ms with 256 KiB; splice(2) took 420 and 370 ms with
//! pipes of 64 KiB, 360 and 270 ms with 512 KiB, and no less with 1 MiB. Where packets of 1500 bytes
//! came one by one, it was 1300 and 1440 ms for copying with 256 KiB and 1100 and 1060 ms for splice(2).
//! What is short or interactive is copied, as a pipe costs it more system calls than it saves.

use crate::budget::Budget;
use crate::buffer::{Lent, SMALL};
use crate::sys::splice::{Pipe, is_unsupported};
use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::Interest;
use tokio::net::TcpStream;

/// The size of a pipe, in bytes. A packet of any size takes one of its slots of 4 KiB.
pub const PIPE: usize = 512 * 1024;
/// What a flow may put in a pipe while its target is slower than its source: as much as a copying one
/// would hold in its buffer.
const FIRST_STEP: usize = 64 * 1024;
/// Pipes that a worker has at most: what is in them is the kernel's memory, but on our account.
pub const PIPES: usize = 32;
/// Free pipes kept by a worker; more are closed.
const KEPT: usize = 8;

/// The bytes that a flow moves, in reads that are not [short](SHORT), before it is called long.
const LONG: usize = 512 * 1024;
/// Its streak grows no further, so that a flow that has become interactive is soon seen as such.
const STREAK_MAX: usize = 4 * LONG;
/// Fewer bytes than this at a time are the mark of a flow that is waited for.
const SHORT: usize = SMALL;

/// One worker's pipes.
#[derive(Debug)]
pub struct Pipes {
    free: RefCell<Vec<Owned>>,
    lent: Cell<usize>,
    budget: Arc<Budget>,
}

/// A pipe within the budget.
#[derive(Debug)]
struct Owned {
    pipe: Pipe,
    budget: Arc<Budget>,
}

impl Drop for Owned {
    fn drop(&mut self) {
        self.budget.release_pipe();
    }
}

impl Pipes {
    /// None yet.
    pub fn new(budget: Arc<Budget>) -> Rc<Self> {
        Rc::new(Self { free: RefCell::default(), lent: Cell::new(0), budget })
    }

    /// Whether there is a free pipe.
    pub fn has_free(&self) -> bool {
        !self.free.borrow().is_empty()
    }

    /// Closes a free pipe; `false`: there is none.
    pub fn shed(&self) -> bool {
        let free = self.free.borrow_mut().pop();
        free.is_some()
    }

    fn lend(self: &Rc<Self>) -> Result<LentPipe, NoPipe> {
        if self.lent.get() == PIPES {
            return Err(NoPipe::AllLent);
        }
        let free = self.free.borrow_mut().pop();
        let owned = free.map_or_else(|| self.open(), Ok)?;
        self.lent.set(self.lent.get() + 1);
        Ok(LentPipe { owned: Some(owned), pipes: Rc::clone(self) })
    }

    fn open(&self) -> Result<Owned, NoPipe> {
        if !self.budget.take_pipe() {
            return Err(NoPipe::Refused);
        }
        match Pipe::with_capacity(PIPE) {
            Ok(pipe) => Ok(Owned { pipe, budget: Arc::clone(&self.budget) }),
            Err(error) => {
                self.budget.release_pipe();
                tracing::debug!(%error, "no pipe for a long flow, which is copied");
                Err(NoPipe::Refused)
            }
        }
    }
}

/// Why a flow is copied although it is long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NoPipe {
    /// Soon one may be free.
    AllLent,
    /// The kernel or the budget has none.
    Refused,
}

/// A pipe on loan, for as long as bytes are in it.
#[derive(Debug)]
struct LentPipe {
    owned: Option<Owned>,
    pipes: Rc<Pipes>,
}

impl LentPipe {
    fn pipe(&mut self) -> &mut Pipe {
        &mut self.owned.as_mut().expect("taken by drop alone").pipe
    }
}

impl Drop for LentPipe {
    fn drop(&mut self) {
        self.pipes.lent.set(self.pipes.lent.get() - 1);
        let mut free = self.pipes.free.borrow_mut();
        // What is left in the pipe of a flow that was cut must never reach another one.
        let empty = self.owned.take().filter(|owned| owned.pipe.held() == 0);
        if free.len() < KEPT {
            free.extend(empty);
        }
    }
}

/// One direction's way around copying.
#[derive(Debug)]
pub struct Bypass {
    pipes: Rc<Pipes>,
    pipe: Option<LentPipe>,
    streak: usize,
    step: usize,
    unsupported: bool,
}

impl Bypass {
    /// For a flow of which nothing is known.
    pub fn new(pipes: &Rc<Pipes>) -> Self {
        Self { pipes: Rc::clone(pipes), pipe: None, streak: 0, step: FIRST_STEP, unsupported: false }
    }

    /// For a flow that is known to be long.
    pub fn for_long(pipes: &Rc<Pipes>) -> Self {
        Self { streak: LONG, ..Self::new(pipes) }
    }

    /// Takes note of bytes that came at once.
    pub fn saw(&mut self, bytes: usize) {
        self.streak = match bytes {
            0..SHORT => self.streak / 2,
            _ => (self.streak + bytes).min(STREAK_MAX),
        };
    }

    /// Whether [`Self::fill`] is worth its system call.
    pub fn is_wanted(&self) -> bool {
        self.streak >= LONG && !self.unsupported
    }

    /// Whether bytes are in a pipe.
    pub fn holds_bytes(&self) -> bool {
        self.pipe.is_some()
    }

    /// Takes up to `most` bytes from `source` into a pipe; 0 means that reading, in the ordinary way, has to tell why
    /// there are none: only read(2) gets past urgent data.
    ///
    /// # Errors
    /// The socket's own.
    pub fn fill(&mut self, source: &TcpStream, most: usize) -> io::Result<usize> {
        let mut lent = match self.pipes.lend() {
            Ok(lent) => lent,
            Err(NoPipe::AllLent) => return Ok(0),
            Err(NoPipe::Refused) => {
                self.streak = 0;
                return Ok(0);
            }
        };
        match lent.pipe().fill(source, self.step.min(most)) {
            Ok(0) => Ok(0),
            Ok(bytes) => {
                self.saw(bytes);
                self.pipe = Some(lent);
                Ok(bytes)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            Err(error) if is_unsupported(&error) => {
                self.unsupported = true;
                Ok(0)
            }
            Err(error) => Err(error),
        }
    }

    /// Passes bytes on to `target`, or into `buffer` if the target cannot be spliced to; ready with how
    /// many the target got.
    ///
    /// # Errors
    /// The socket's own.
    pub fn poll_drain(
        &mut self,
        cx: &mut Context<'_>,
        target: Option<&TcpStream>,
        buffer: &mut Lent,
    ) -> Poll<io::Result<usize>> {
        let Some(lent) = &mut self.pipe else { return Poll::Ready(Ok(0)) };
        let pipe = lent.pipe();
        let result = match target {
            Some(target) if !self.unsupported => ready!(poll_drain(pipe, cx, target, &mut self.step)),
            _ => Err(io::Error::from_raw_os_error(libc::EINVAL)),
        };
        let moved = match result {
            Err(error) if is_unsupported(&error) => {
                self.unsupported = true;
                let read = pipe.read(buffer.space())?;
                buffer.advance(read);
                0
            }
            result => result?,
        };
        if pipe.held() == 0 {
            self.pipe = None;
        }
        Poll::Ready(Ok(moved))
    }
}

fn poll_drain(
    pipe: &mut Pipe,
    cx: &mut Context<'_>,
    target: &TcpStream,
    step: &mut usize,
) -> Poll<io::Result<usize>> {
    loop {
        let Poll::Ready(ready) = target.poll_write_ready(cx) else {
            *step = FIRST_STEP;
            return Poll::Pending;
        };
        ready?;
        match target.try_io(Interest::WRITABLE, || pipe.drain(target)) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            result => {
                *step = (*step * 2).min(PIPE);
                return Poll::Ready(result);
            }
        }
    }
}
