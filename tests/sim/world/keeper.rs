//! Keepers of the pools, who come when they are called and not otherwise; and what has come to rest.

use super::World;
use super::backend::Disturbed;
use millpond::forward::acquire;
use millpond::pool::Pool;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Wake, Waker};
use std::time::Instant;

/// Raised by whoever wakes what it stands for.
#[derive(Debug)]
pub(super) struct Flag(AtomicBool);

impl Flag {
    pub(super) fn raised() -> Arc<Self> {
        Arc::new(Self(AtomicBool::new(true)))
    }

    pub(super) fn raise(&self) {
        self.0.store(true, Relaxed);
    }

    pub(super) fn lower(&self) -> bool {
        self.0.swap(false, Relaxed)
    }
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.raise();
    }
}

pub(super) struct Keeper {
    pub(super) pool: Rc<Pool>,
    pub(super) worker: usize,
    pub(super) backend: usize,
    warm_at: Instant,
    /// When it comes without being called.
    pub(super) next: Option<Instant>,
    call: Pin<Box<dyn Future<Output = ()>>>,
    flag: Arc<Flag>,
    waker: Waker,
}

/// Rounds in which everything has to come to rest.
const ROUNDS: usize = 200;

impl World<'_> {
    /// The pool of an endpoint in a worker, with its keeper.
    pub(super) fn pool(&mut self, worker: usize, endpoint: usize) -> Rc<Pool> {
        let pool = Rc::clone(self.workers[worker].group.pool(endpoint));
        if pool.wants_keeper() {
            let (flag, backend) = (Flag::raised(), self.backend_of(endpoint));
            let waker = Waker::from(Arc::clone(&flag));
            let (warm_at, call) = (self.now(), Box::pin(std::future::ready(())));
            let pool = Rc::clone(&pool);
            self.keepers.push(Keeper { pool, worker, backend, warm_at, next: None, call, flag, waker });
        }
        pool
    }

    /// Lets everybody do what there is to do, until nobody is called any more.
    pub(super) async fn settle(&mut self) {
        self.note_begun();
        for _ in 0..ROUNDS {
            // The runtime hears of what came on sockets, and of what is due.
            for _ in 0..3 {
                tokio::task::yield_now().await;
            }
            self.note_told();
            let worked = [self.end_dials(), self.wake_keepers(), self.shed(), self.wake_sessions()];
            if worked == [false; 4] {
                return self.sweep();
            }
        }
        panic!("it does not come to rest");
    }

    fn note_told(&mut self) {
        let now = self.now();
        for backend in &mut self.backends {
            for end in backend.ends.values_mut().filter(|end| end.disturbed == Some(Disturbed::Sent)) {
                end.disturbed = Some(Disturbed::Told);
                if !end.is_leased && end.uses > 0 {
                    backend.closed.push((now, now.duration_since(end.idle_since)));
                }
            }
        }
    }

    /// Whether one was called.
    fn wake_keepers(&mut self) -> bool {
        let (now, dialler) = (self.now(), self.dialler());
        let mut woken = false;
        for keeper in &mut self.keepers {
            while keeper.flag.lower() {
                let mut context = Context::from_waker(&keeper.waker);
                if keeper.pool.is_dismissed() || keeper.call.as_mut().poll(&mut context).is_pending() {
                    continue;
                }
                woken = true;
                keeper.next = acquire::attend(&keeper.pool, &mut keeper.warm_at, now, &dialler);
                let (pool, next) = (Rc::clone(&keeper.pool), keeper.next);
                keeper.call = Box::pin(async move { pool.called(next).await });
                keeper.flag.raise();
            }
        }
        self.keepers.retain(|keeper| !keeper.pool.is_dismissed());
        self.note_begun();
        woken
    }

    /// Closes what has been idle longest for each descriptor that is wanted, as workers do; whether one was.
    fn shed(&mut self) -> bool {
        let mut has_shed = false;
        while self.budget.is_short() {
            let idle =
                self.keepers.iter().filter_map(|keeper| Some((keeper.pool.idle_since()?, &keeper.pool)));
            let Some((_, pool)) = idle.min_by_key(|(since, _)| *since) else { break };
            if !self.budget.claim_shed() {
                break;
            }
            pool.shed();
            has_shed = true;
        }
        self.note_begun();
        has_shed
    }

    /// What our side has closed is over; pools of endpoints that are left are let go.
    fn sweep(&mut self) {
        let now = self.now();
        for worker in &self.workers {
            worker.leaving.borrow_mut().dismiss(now);
        }
        self.reap();
    }

    pub(super) fn reap(&mut self) {
        let now = self.now();
        self.backends.iter_mut().for_each(|backend| backend.reap(now));
    }
}
