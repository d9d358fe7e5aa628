//! The event loop over all clients.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::io;
use std::net::SocketAddrV4;
use std::time::{Duration, Instant};

use bench_tools::args;
use bench_tools::http::Expected;
use bench_tools::sys::{self, Epoll};

use crate::client::{Client, Outcome};
use crate::pace::Pace;
use crate::tally::Tally;

/// How often requests that take too long are looked for.
const SWEEP: Duration = Duration::from_millis(250);
/// An open loop gives up on a target that would need so many times the time.
const PATIENCE: u32 = 3;
/// A client whose request failed waits so long, so that a dead target is not hammered.
const AFTER_ERROR: Duration = Duration::from_millis(10);

pub(crate) struct Plan {
    pub(crate) target: SocketAddrV4,
    pub(crate) request: Vec<u8>,
    pub(crate) expected: Expected,
    pub(crate) clients: usize,
    pub(crate) requests: u64,
    /// Requests a second, in an open loop.
    pub(crate) rate: Option<f64>,
    /// What is due earlier in an open loop is not counted.
    pub(crate) settle: Duration,
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
    /// When requests are due, in an open loop, and the clients that wait for one.
    pace: Option<Pace>,
    free: VecDeque<usize>,
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
            pace: plan.rate.map(|rate| Pace::new(rate, plan.time)),
            free: VecDeque::new(),
            next_sweep: Instant::now() + SWEEP,
            tally: Tally::new(),
            buffer: vec![0; 64 * 1024].into(),
            plan,
        })
    }

    /// Runs until the requests or the time are used up and none is under way.
    pub(crate) fn run(mut self) -> io::Result<Tally> {
        self.start();
        if self.pace.is_some() {
            sys::wake_on_time()?;
        }
        while self.active > 0 {
            let timeout = self.until_next_deadline();
            let events = match self.pace {
                Some(_) => self.epoll.wait_exactly(timeout)?,
                None => self.epoll.wait(Some(timeout))?,
            };
            for index in 0..events {
                let token = self.epoll.token(index);
                self.progress(token);
            }
            self.wake();
            self.keep_pace();
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
                if self.pace.is_none() || client.began >= self.tally.began() + self.plan.settle {
                    self.tally.count_answer(client.began.elapsed());
                }
                if self.plan.reconnect {
                    client.hang_up();
                }
                if self.pace.is_some() {
                    self.free.push_back(token);
                } else if self.plan.think.is_zero() {
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
        self.send(token, Instant::now());
    }

    /// Sends a request whose latency is that since `began`.
    fn send(&mut self, token: usize, began: Instant) {
        let client = &mut self.clients[token];
        client.began = began;
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
            let Some(Reverse((_, token))) = self.asleep.pop() else { return };
            if self.pace.is_some() {
                self.free.push_back(token);
            } else {
                self.begin(token);
            }
        }
    }

    /// Sends what is due in an open loop, as far as clients are free, and ends it after the last.
    fn keep_pace(&mut self) {
        let Some(pace) = &mut self.pace else { return };
        let hopeless = self.tally.is_hopeless() || self.tally.elapsed() > self.plan.time * PATIENCE;
        if hopeless || pace.next().is_none() {
            if pace.next().is_some() {
                self.tally.count_error("never_sent");
                pace.stop();
            }
            self.active -= self.free.len();
            self.free.clear();
            return;
        }
        while let Some(&token) = self.free.front() {
            let Some(due) = self.pace.as_mut().and_then(|pace| pace.take(self.tally.elapsed())) else {
                return;
            };
            self.free.pop_front();
            self.tally.count_delay(self.tally.elapsed().saturating_sub(due));
            self.send(token, self.tally.began() + due);
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
        let due = self.pace.as_ref().filter(|_| !self.free.is_empty()).and_then(Pace::next);
        let first = due.map_or(wake, |due| wake.min(self.tally.began() + due));
        first.min(self.next_sweep).saturating_duration_since(Instant::now())
    }
}
