//! How many bytes all buffers of the process may take.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Counts the memory of buffers, lent or free, against a limit. It is asked only when memory comes from
/// the allocator or goes back to it: a buffer that is lent again costs nothing here.
#[derive(Debug)]
pub struct BufferMemory {
    limit: AtomicUsize,
    used: AtomicUsize,
}

impl Default for BufferMemory {
    /// Without a limit.
    fn default() -> Self {
        Self { limit: AtomicUsize::new(usize::MAX), used: AtomicUsize::new(0) }
    }
}

impl BufferMemory {
    /// Another limit, in bytes. What is lent already stays so.
    pub fn set_limit(&self, bytes: usize) {
        self.limit.store(bytes, Relaxed);
    }

    /// The limit, in bytes.
    pub fn limit(&self) -> usize {
        self.limit.load(Relaxed)
    }

    /// What is taken of it, in bytes. More than the limit only by the smallest buffers, which are lent
    /// whatever it is.
    pub fn used(&self) -> usize {
        self.used.load(Relaxed)
    }

    /// Takes this many bytes. `false`: there are not as many left.
    pub(super) fn take(&self, bytes: usize) -> bool {
        if self.used.fetch_add(bytes, Relaxed).saturating_add(bytes) > self.limit() {
            self.used.fetch_sub(bytes, Relaxed);
            return false;
        }
        true
    }

    /// Takes them although there may not be as many left.
    pub(super) fn take_regardless(&self, bytes: usize) {
        self.used.fetch_add(bytes, Relaxed);
    }

    /// Gives them back.
    pub(super) fn give_back(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Relaxed);
    }

    /// Whether so much is left that a worker may keep free buffers: the last quarter is for those who need it
    /// now, in whichever worker.
    pub(super) fn is_ample(&self) -> bool {
        self.used() <= self.limit() / 4 * 3
    }
}
