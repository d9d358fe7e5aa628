//! One thread of the origin.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{self, ErrorKind};
use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use bench_tools::sys::{EXCLUSIVE, Epoll, READ, WRITE};

use crate::connection::{Answers, Connection, End};

#[derive(Clone, Copy)]
pub(crate) struct Times {
    /// Before each answer.
    pub(crate) delay: Duration,
    /// Before the first answer of a connection, if that is longer.
    pub(crate) first: Duration,
    /// Before a silent connection is closed; zero: never.
    pub(crate) silence: Duration,
}

#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) accepted: AtomicU64,
    pub(crate) requests: AtomicU64,
    pub(crate) refused: AtomicU64,
}

pub(crate) struct EventLoop {
    epoll: Epoll,
    listener: TcpListener,
    answers: Arc<Answers>,
    times: Times,
    counters: Arc<Counters>,
    /// By descriptor.
    slots: Vec<Option<Slot>>,
    /// Counts the connections, so that a deadline never meets the successor of its descriptor.
    serial: u64,
    /// When answers are due, and when silent connections are to be closed.
    due: BinaryHeap<Reverse<Deadline>>,
    silent: BinaryHeap<Reverse<Deadline>>,
    buffer: Box<[u8]>,
}

struct Slot {
    connection: Connection,
    serial: u64,
    heard: Option<Instant>,
}

/// Ordered by time first.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Deadline {
    at: Instant,
    token: usize,
    serial: u64,
}

impl EventLoop {
    pub(crate) fn new(
        listener: TcpListener,
        answers: Arc<Answers>,
        times: Times,
        counters: Arc<Counters>,
    ) -> io::Result<Self> {
        let epoll = Epoll::new()?;
        epoll.add(&listener, descriptor(&listener), READ | EXCLUSIVE)?;
        Ok(Self {
            epoll,
            listener,
            answers,
            times,
            counters,
            slots: Vec::new(),
            serial: 0,
            due: BinaryHeap::new(),
            silent: BinaryHeap::new(),
            buffer: vec![0; 64 * 1024].into(),
        })
    }

    pub(crate) fn run(&mut self) -> io::Result<()> {
        loop {
            for index in 0..self.epoll.wait(self.until_next_deadline())? {
                let token = self.epoll.token(index);
                if token == descriptor(&self.listener) {
                    self.accept()?;
                } else {
                    let outcome = self.progress(token);
                    self.close_at_end(token, outcome);
                }
            }
            self.answer_due();
            self.close_silent();
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        let stream = match self.listener.accept() {
            Ok((stream, _)) => stream,
            // Another thread was faster, or the client is gone again.
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::ConnectionAborted) => {
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        let token = descriptor(&stream);
        self.epoll.add(&stream, token, READ)?;
        self.serial += 1;
        self.slots.resize_with(self.slots.len().max(token + 1), || None);
        self.slots[token] =
            Some(Slot { connection: Connection::new(stream), serial: self.serial, heard: None });
        self.counters.accepted.fetch_add(1, Relaxed);
        if !self.times.silence.is_zero() {
            let at = Instant::now() + self.times.silence;
            self.silent.push(Reverse(Deadline { at, token, serial: self.serial }));
        }
        Ok(())
    }

    fn progress(&mut self, token: usize) -> Result<(), End> {
        let Some(slot) = self.slots.get_mut(token).and_then(Option::as_mut) else { return Ok(()) };
        if slot.connection.is_blocked() {
            slot.connection.flush()?;
            return self.watch(token, true);
        }
        let count = slot.connection.read(&mut self.buffer, &self.answers)?;
        if !self.times.silence.is_zero() {
            slot.heard = Some(Instant::now());
        }
        let first = if slot.connection.is_unanswered() { self.times.first } else { Duration::ZERO };
        let delay = first.max(self.times.delay);
        let serial = slot.serial;
        if delay.is_zero() {
            return self.answer(token, count, false);
        }
        let at = Instant::now() + delay;
        self.due.extend((0..count).map(|_| Reverse(Deadline { at, token, serial })));
        Ok(())
    }

    fn answer(&mut self, token: usize, count: usize, was_blocked: bool) -> Result<(), End> {
        let Some(slot) = self.slots[token].as_mut() else { return Ok(()) };
        self.counters.requests.fetch_add(count as u64, Relaxed);
        slot.connection.answer(count, &self.answers)?;
        self.watch(token, was_blocked)
    }

    /// Watches for what the connection waits for now, if that has changed.
    fn watch(&self, token: usize, was_blocked: bool) -> Result<(), End> {
        let Some(slot) = &self.slots[token] else { return Ok(()) };
        let blocked = slot.connection.is_blocked();
        if blocked != was_blocked {
            let interest = if blocked { WRITE } else { READ };
            self.epoll.modify(&slot.connection.stream, token, interest)?;
        }
        Ok(())
    }

    fn answer_due(&mut self) {
        while let Some(deadline) = pop_past(&mut self.due) {
            if self.is_current(&deadline) {
                let blocked =
                    self.slots[deadline.token].as_ref().is_some_and(|slot| slot.connection.is_blocked());
                let outcome = self.answer(deadline.token, 1, blocked);
                self.close_at_end(deadline.token, outcome);
            }
        }
    }

    fn close_silent(&mut self) {
        while let Some(mut deadline) = pop_past(&mut self.silent) {
            if !self.is_current(&deadline) {
                continue;
            }
            let heard = self.slots[deadline.token].as_ref().and_then(|slot| slot.heard);
            match heard.map(|at| at + self.times.silence).filter(|&at| at > deadline.at) {
                // It spoke since: look again when it would be silent for long enough.
                Some(at) => {
                    deadline.at = at;
                    self.silent.push(Reverse(deadline));
                }
                None => self.slots[deadline.token] = None,
            }
        }
    }

    fn close_at_end(&mut self, token: usize, outcome: Result<(), End>) {
        let Err(end) = outcome else { return };
        if matches!(end, End::Refused) {
            self.counters.refused.fetch_add(1, Relaxed);
        }
        self.slots[token] = None;
    }

    fn is_current(&self, deadline: &Deadline) -> bool {
        self.slots[deadline.token].as_ref().is_some_and(|slot| slot.serial == deadline.serial)
    }

    fn until_next_deadline(&self) -> Option<Duration> {
        let next = [self.due.peek(), self.silent.peek()].into_iter().flatten().map(|first| first.0.at).min();
        next.map(|at| at.saturating_duration_since(Instant::now()))
    }
}

fn pop_past(deadlines: &mut BinaryHeap<Reverse<Deadline>>) -> Option<Deadline> {
    let past = deadlines.peek().is_some_and(|first| first.0.at <= Instant::now());
    if past { deadlines.pop().map(|first| first.0) } else { None }
}

fn descriptor(socket: &impl AsRawFd) -> usize {
    usize::try_from(socket.as_raw_fd()).expect("an open descriptor is not negative")
}
