//! The event loop over all clients.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::net::SocketAddrV4;
use std::time::{Duration, Instant};

use bench_tools::args;
use bench_tools::http::Expected;
use bench_tools::sys::{self, Epoll};

use crate::client::{Client, Outcome};
use crate::tally::Tally;

/// How often requests that take too long are looked for.
const SWEEP: Duration = Duration::from_millis(250);
/// A client whose request failed waits so long, so that a dead target is not hammered.
const AFTER_ERROR: Duration = Duration::from_millis(10);

pub(crate) struct Plan {
    pub(crate) target: SocketAddrV4,
    pub(crate) request: Vec<u8>,
    pub(crate) expected: Expected,
    pub(crate) clients: usize,
    pub(crate) requests: u64,
    pub(crate) time: Duration,
    pub(crate) reconnect: bool,
    pub(crate) reset: bool,
    pub(crate) sources: usize,
    pub(crate) think: Duration,
    pub(crate) timeout: Duration,
}

pub(crate) struct Generator {
    plan: Plan,
    epoll: Epoll,
    clients: Vec<Client>,
    /// Clients that are silent until a time.
    asleep: BinaryHeap<Reverse<(Instant, usize)>>,
    /// Clients that will send another request.
    active: usize,
    /// Requests begun.
    begun: u64,
    next_sweep: Instant,
    tally: Tally,
    buffer: Box<[u8]>,
}

impl Generator {
    pub(crate) fn new(plan: Plan) -> io::Result<Self> {
        Ok(Self {
            epoll: Epoll::new()?,
            clients: (0..plan.clients).map(|_| Client::new()).collect(),
            asleep: BinaryHeap::new(),
            active: plan.clients,
            begun: 0,
            next_sweep: Instant::now() + SWEEP,
            tally: Tally::new(),
            buffer: vec![0; 64 * 1024].into(),
            plan,
        })
    }

    /// Runs until the requests or the time are used up and none is under way.
    pub(crate) fn run(mut self) -> io::Result<Tally> {
        self.start();
        while self.active > 0 {
            for index in 0..self.epoll.wait(Some(self.until_next_deadline()))? {
                let token = self.epoll.token(index);
                self.progress(token);
            }
            self.wake();
            self.sweep();
        }
        self.tally.end();
        Ok(self.tally)
    }

    /// Slow clients start one after the other, or they would speak in chorus for ever.
    fn start(&mut self) {
        let (now, count) = (Instant::now(), self.plan.clients as u32);
        for token in 0..self.plan.clients {
            self.asleep.push(Reverse((now + self.plan.think * token as u32 / count, token)));
        }
    }

    fn progress(&mut self, token: usize) {
        let outcome = self.clients[token].progress(
            &self.plan.request,
            self.plan.expected,
            &mut self.buffer,
            &self.epoll,
            token,
        );
        self.conclude(token, outcome);
    }

    fn conclude(&mut self, token: usize, outcome: Outcome) {
        let client = &mut self.clients[token];
        match outcome {
            Outcome::Pending => {}
            Outcome::Answered => {
                self.tally.count_answer(client.began.elapsed());
                if self.plan.reconnect {
                    client.hang_up();
                }
                if self.plan.think.is_zero() {
                    self.begin(token);
                } else {
                    self.asleep.push(Reverse((Instant::now() + self.plan.think, token)));
                }
            }
            Outcome::Failed(kind) => {
                self.tally.count_error(kind);
                client.hang_up();
                self.asleep.push(Reverse((Instant::now() + AFTER_ERROR.max(self.plan.think), token)));
            }
            // The client is asleep already.
            Outcome::Unasked => self.tally.count_error("unasked_bytes"),
        }
    }

    /// Begins the next request of a client, or lets it go where all are used up.
    fn begin(&mut self, token: usize) {
        let over = self.begun >= self.plan.requests || self.tally.elapsed() >= self.plan.time;
        let client = &mut self.clients[token];
        if over || self.tally.is_hopeless() {
            client.hang_up();
            self.active -= 1;
            return;
        }
        self.begun += 1;
        client.began = Instant::now();
        let outcome = if client.is_connected() {
            client.send(&self.plan.request, &self.epoll, token)
        } else {
            self.connect(token)
        };
        self.conclude(token, outcome);
    }

    fn connect(&mut self, token: usize) -> Outcome {
        let source = args::loopback_source(token, self.plan.sources);
        let attached = sys::connect(self.plan.target, source, false).and_then(|stream| {
            stream.set_nodelay(true)?;
            if self.plan.reset {
                sys::reset_on_close(&stream)?;
            }
            self.clients[token].attach(stream, &self.epoll, token)
        });
        self.tally.count_connection();
        match attached {
            Ok(()) => Outcome::Pending,
            Err(_) => Outcome::Failed("connect"),
        }
    }

    fn wake(&mut self) {
        while self.asleep.peek().is_some_and(|first| first.0.0 <= Instant::now()) {
            if let Some(Reverse((_, token))) = self.asleep.pop() {
                self.begin(token);
            }
        }
    }

    fn sweep(&mut self) {
        let now = Instant::now();
        if now < self.next_sweep {
            return;
        }
        self.next_sweep = now + SWEEP;
        for token in 0..self.clients.len() {
            let client = &self.clients[token];
            if client.is_busy() && now.duration_since(client.began) > self.plan.timeout {
                self.conclude(token, Outcome::Failed("timeout"));
            }
        }
    }

    fn until_next_deadline(&self) -> Duration {
        let wake = self.asleep.peek().map_or(self.next_sweep, |first| first.0.0);
        wake.min(self.next_sweep).saturating_duration_since(Instant::now())
    }
}
