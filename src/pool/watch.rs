//! Watching idle connections: the readiness of any of them is queued for the pool's keeper.
//!
//! A waker of its own a connection costs no task; checking a connection in costs one store of it.

use super::handover::Handover;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Wake, Waker};

/// The keys of idle connections that something happened to.
#[derive(Debug)]
pub struct WatchQueue {
    fired: Mutex<Vec<usize>>,
    /// Whether the keeper waits for a descriptor.
    wants_descriptor: AtomicBool,
    handover: Arc<Handover>,
    worker: usize,
}

impl WatchQueue {
    /// A queue for the keeper of this worker's pool.
    pub fn new(handover: Arc<Handover>, worker: usize) -> Arc<Self> {
        Arc::new(Self { fired: Mutex::default(), wants_descriptor: AtomicBool::new(false), handover, worker })
    }

    /// Takes the keys that fired since the last call.
    pub fn take(&self) -> Vec<usize> {
        std::mem::take(&mut self.fired.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What is to be woken when there may be a descriptor; `None`: it is about to be.
    pub fn want_descriptor(self: &Arc<Self>) -> Option<Waker> {
        let wanted_already = self.wants_descriptor.swap(true, Ordering::Relaxed);
        (!wanted_already).then(|| Waker::from(Arc::clone(self)))
    }

    /// Whether it still is.
    pub fn wants_descriptor(&self) -> bool {
        self.wants_descriptor.load(Ordering::Relaxed)
    }

    fn push(&self, key: usize) {
        self.fired.lock().unwrap_or_else(PoisonError::into_inner).push(key);
        self.handover.wake(self.worker);
    }
}

/// There may be a descriptor.
impl Wake for WatchQueue {
    fn wake(self: Arc<Self>) {
        self.wants_descriptor.store(false, Ordering::Relaxed);
        self.handover.wake(self.worker);
    }
}

/// Watches one connection while it is idle.
#[derive(Debug)]
pub struct IdleWatch {
    inner: Arc<Inner>,
    waker: Waker,
}

#[derive(Debug)]
struct Inner {
    queue: Arc<WatchQueue>,
    key: AtomicUsize,
    fired: AtomicBool,
}

impl IdleWatch {
    /// A watch that reports to `queue`.
    pub fn new(queue: Arc<WatchQueue>) -> Self {
        let inner = Arc::new(Inner { queue, key: AtomicUsize::new(0), fired: AtomicBool::new(false) });
        Self { waker: Waker::from(Arc::clone(&inner)), inner }
    }

    /// The waker to register, reporting the connection as `key` from now on.
    pub fn arm(&self, key: usize) -> &Waker {
        self.inner.key.store(key, Ordering::Relaxed);
        self.inner.fired.store(false, Ordering::Relaxed);
        &self.waker
    }

    /// Whether something happened since it was armed.
    pub fn has_fired(&self) -> bool {
        self.inner.fired.load(Ordering::Relaxed)
    }
}

impl Wake for Inner {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.fired.store(true, Ordering::Relaxed);
        self.queue.push(self.key.load(Ordering::Relaxed));
    }
}
