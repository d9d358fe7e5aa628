//! Deadlines of a worker: one wheel, one sleeping task, and handles that cost a store to move.

pub mod wheel;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::Context;
use std::time::{Duration, Instant};
use tokio::sync::Notify;
pub use wheel::TimerId;
use wheel::{Tick, Wheel};

/// The wheel's resolution. A deadline fires up to this much late, never early.
pub const RESOLUTION: Duration = Duration::from_millis(16);

/// A driver that wakes so much later than it wanted to has stood still, or its thread is overloaded.
pub const LATE: Duration = Duration::from_millis(250);
/// How often the sockets are looked at then: each look finds 1,024 of them (tokio's `max_io_events_per_tick`).
pub const LOOKS: usize = 64;

/// The time by the clock of the runtime that timers sleep by; a test can stop that one.
pub fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// The name of no timer.
pub const NO_TIMER: TimerId = TimerId::MAX;

/// The deadlines of one worker.
#[derive(Debug)]
pub struct Timers {
    wheel: RefCell<Wheel>,
    base: Instant,
    sleeping_until: Cell<Tick>,
    earlier: Notify,
}

impl Timers {
    /// No deadlines; ticks count from `now`.
    pub fn new(now: Instant) -> Rc<Self> {
        Rc::new(Self {
            wheel: RefCell::new(Wheel::new()),
            base: now,
            sleeping_until: Cell::new(Tick::MAX),
            earlier: Notify::new(),
        })
    }

    /// A timer that is not set.
    pub fn timer(self: &Rc<Self>) -> Timer {
        let id = self.wheel.borrow_mut().insert();
        Timer { timers: Rc::clone(self), id }
    }

    /// Whether this timer is set and has not fired yet.
    pub fn is_set(&self, id: TimerId) -> bool {
        self.wheel.borrow().is_set(id)
    }

    /// Wakes every task that waits for one of these timers, so that it looks around: a drain began.
    pub fn wake_all(&self) {
        let wakers = self.wheel.borrow().wakers();
        wakers.into_iter().for_each(std::task::Waker::wake);
    }

    /// Fires what is due, for as long as the worker runs. What came in time counts, even if nobody has looked at it
    /// yet: tasks that have something to read run first, and move or end their deadlines.
    pub async fn drive(self: Rc<Self>) {
        loop {
            let next = self.wheel.borrow().next_visit();
            self.sleeping_until.set(next.unwrap_or(Tick::MAX));
            match next {
                None => self.earlier.notified().await,
                Some(tick) => {
                    tokio::select! {
                        () = tokio::time::sleep_until(self.instant(tick).into()) => {}
                        () = self.earlier.notified() => {}
                    }
                }
            }
            if let Some(late) = next.and_then(|tick| self.lateness(tick)) {
                look_around(late).await;
            }
            let now = self.floor(now());
            let fired = self.wheel.borrow_mut().advance(now);
            fired.into_iter().for_each(std::task::Waker::wake);
        }
    }

    /// For how long this tick has been over; `None`: it is still to come.
    fn lateness(&self, tick: Tick) -> Option<Duration> {
        now().checked_duration_since(self.instant(tick))
    }

    fn instant(&self, tick: Tick) -> Instant {
        self.base + RESOLUTION * u32::try_from(tick).unwrap_or(u32::MAX)
    }

    fn floor(&self, at: Instant) -> Tick {
        // In whole milliseconds, which 64 bits hold: dividing 128 bits is a function call.
        const MS: u64 = RESOLUTION.as_millis() as u64;
        let since = at.saturating_duration_since(self.base);
        (since.as_secs() * 1000 + u64::from(since.subsec_millis())) / MS
    }

    fn set(&self, id: TimerId, at: Instant) {
        let tick = self.floor(at) + 1;
        self.wheel.borrow_mut().set(id, tick);
        if tick < self.sleeping_until.get() {
            self.sleeping_until.set(tick);
            self.earlier.notify_one();
        }
    }
}

/// Has the runtime ask the kernel which sockets are ready, and runs what waits for those. After SIGCONT the clock has
/// gone on and epoll_wait(2) was interrupted (signal(7)), so that the runtime knows the time, and of no socket.
async fn look_around(late: Duration) {
    let looks = if late > LATE { LOOKS } else { 1 };
    for _ in 0..looks {
        // Wakes this task behind those that the next look wakes.
        tokio::task::yield_now().await;
    }
}

/// One deadline, which can be moved any number of times.
#[derive(Debug)]
pub struct Timer {
    timers: Rc<Timers>,
    id: TimerId,
}

impl Timer {
    /// Its name among its worker's timers, until it is dropped.
    pub fn id(&self) -> TimerId {
        self.id
    }

    /// Moves the deadline to `at`. Later than before costs one store.
    pub fn set(&self, at: Instant) {
        self.timers.set(self.id, at);
    }

    /// No deadline.
    pub fn clear(&self) {
        self.timers.wheel.borrow_mut().clear(self.id);
    }

    /// Whether the deadline has passed since it was set; if not, the task is woken when it does.
    pub fn poll_expired(&self, cx: &Context<'_>) -> bool {
        self.timers.wheel.borrow_mut().poll_fired(self.id, cx.waker())
    }

    /// Waits for the deadline.
    pub async fn expired(&self) {
        std::future::poll_fn(|cx| match self.poll_expired(cx) {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        })
        .await
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.timers.wheel.borrow_mut().remove(self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timer_is_set_until_it_fires_or_is_cleared() {
        let timers = Timers::new(Instant::now());
        let (timer, other) = (timers.timer(), timers.timer());
        assert!(!timers.is_set(timer.id()) && !timers.is_set(NO_TIMER));
        timer.set(Instant::now() + Duration::from_secs(60));
        assert!(timers.is_set(timer.id()) && !timers.is_set(other.id()));
        timer.clear();
        assert!(!timers.is_set(timer.id()));
        timer.set(Instant::now());
        timers.wheel.borrow_mut().advance(Tick::MAX / 2);
        assert!(!timers.is_set(timer.id()));
    }

    #[tokio::test(flavor = "current_thread")]
    async fn an_earlier_deadline_wakes_the_sleeping_driver() {
        let local = tokio::task::LocalSet::new();
        local
            .run_until(async {
                let timers = Timers::new(Instant::now());
                tokio::task::spawn_local(Rc::clone(&timers).drive());
                let (late, early) = (timers.timer(), timers.timer());
                let start = Instant::now();
                late.set(start + Duration::from_secs(60));
                tokio::task::yield_now().await;
                early.set(start + Duration::from_millis(40));
                early.expired().await;
                let waited = start.elapsed();
                assert!(waited >= Duration::from_millis(40) && waited < Duration::from_secs(30));
            })
            .await;
    }
}
