//! The descriptor budget: how many sockets this process may hold, and how many it holds.
//!
//! Clients are refused before the kernel would answer EMFILE, so that a refusal is an answer and
//! never a crash. The reserve keeps room for what is not counted here: listening sockets, epoll
//! instances, logs, the admin server, and the client that is accepted only to be refused.

mod scarcity;

use scarcity::Scarcity;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::Waker;

/// Counts the sockets of clients and of upstream connections, and the pipes, against a limit.
#[derive(Debug)]
pub struct Budget {
    nofile: usize,
    limit: AtomicUsize,
    used: AtomicUsize,
    clients: AtomicUsize,
    /// Descriptors of pipes, two each.
    pipes: AtomicUsize,
    scarcity: Scarcity,
}

impl Budget {
    /// Descriptors kept back for everything that is not a client or upstream connection.
    pub const RESERVE: usize = 64;

    /// A budget under RLIMIT_NOFILE `nofile`, with `fixed` descriptors taken for good (listening
    /// sockets, three for each worker's runtime).
    pub fn new(nofile: usize, fixed: usize) -> Self {
        Self {
            nofile,
            limit: AtomicUsize::new(Self::limit_of(nofile, fixed)),
            used: AtomicUsize::new(0),
            clients: AtomicUsize::new(0),
            pipes: AtomicUsize::new(0),
            scarcity: Scarcity::default(),
        }
    }

    /// Another number of descriptors is taken for good.
    pub fn set_fixed(&self, fixed: usize) {
        self.limit.store(Self::limit_of(self.nofile, fixed), Relaxed);
    }

    fn limit_of(nofile: usize, fixed: usize) -> usize {
        nofile.saturating_sub(fixed + Self::RESERVE).max(2)
    }

    /// RLIMIT_NOFILE, as it was given.
    pub fn nofile(&self) -> usize {
        self.nofile
    }

    /// Sockets that may be open at once.
    pub fn limit(&self) -> usize {
        self.limit.load(Relaxed)
    }

    /// Sockets open now.
    pub fn used(&self) -> usize {
        self.used.load(Relaxed)
    }

    /// Client sockets open now.
    pub fn clients(&self) -> usize {
        self.clients.load(Relaxed)
    }

    /// Takes one descriptor for a client. `false`: there is none, or the client could never be
    /// served because none would be left for its upstream connection.
    pub fn take_client(&self) -> bool {
        if self.used.fetch_add(1, Relaxed) + 2 > self.left_by_pipes() {
            self.used.fetch_sub(1, Relaxed);
            return false;
        }
        self.clients.fetch_add(1, Relaxed);
        true
    }

    /// Gives a client's descriptor back.
    pub fn release_client(&self) {
        self.clients.fetch_sub(1, Relaxed);
        self.used.fetch_sub(1, Relaxed);
        self.scarcity.given_back();
    }

    /// Whether an upstream connection could be opened now.
    pub fn has_room(&self) -> bool {
        self.used() < self.left_by_pipes()
    }

    /// Takes one descriptor for an upstream connection. `false`: there is none.
    pub fn take_upstream(&self) -> bool {
        if self.used.fetch_add(1, Relaxed) + 1 > self.left_by_pipes() {
            self.used.fetch_sub(1, Relaxed);
            return false;
        }
        true
    }

    /// Gives an upstream connection's descriptor back.
    pub fn release_upstream(&self) {
        self.used.fetch_sub(1, Relaxed);
        self.scarcity.given_back();
    }

    /// Takes the two descriptors of a pipe. `false`: more than half of all are in use. A pipe only saves
    /// time; it must not be what a client is refused for.
    pub fn take_pipe(&self) -> bool {
        if self.pipes.fetch_add(2, Relaxed) + 2 + self.used() > self.limit() / 2 {
            self.pipes.fetch_sub(2, Relaxed);
            return false;
        }
        true
    }

    /// Gives the descriptors of a pipe back.
    pub fn release_pipe(&self) {
        self.pipes.fetch_sub(2, Relaxed);
        self.scarcity.given_back();
    }

    /// A running request wants a descriptor, and there is none: what is idle is to give way. `waker` is woken when
    /// one is given back, by whomever.
    pub fn want(&self, waker: Waker) {
        self.scarcity.want(waker);
    }

    /// Whether somebody wants one.
    pub fn is_short(&self) -> bool {
        self.scarcity.is_there()
    }

    /// From now on this worker is woken when one is wanted.
    pub fn call_to_shed(&self, worker: usize, waker: &Waker) {
        self.scarcity.call(worker, waker);
    }

    /// Whether the caller is to close something idle, for one of those who want a descriptor.
    pub fn claim_shed(&self) -> bool {
        self.scarcity.claim()
    }

    /// Descriptors of pipes open now, those that wait to be used included.
    pub fn pipes(&self) -> usize {
        self.pipes.load(Relaxed)
    }

    fn left_by_pipes(&self) -> usize {
        self.limit().saturating_sub(self.pipes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_needs_room_for_its_upstream_connection_too() {
        let budget = Budget::new(Budget::RESERVE + 3, 0);
        assert!(budget.take_client());
        assert!(budget.take_client());
        assert!(!budget.take_client());
        assert!(budget.take_upstream());
        assert!(!budget.take_upstream());
        budget.release_upstream();
        budget.release_client();
        assert_eq!((budget.used(), budget.clients()), (1, 1));
    }

    #[test]
    fn pipes_leave_half_of_all_to_connections_and_are_no_sockets() {
        let budget = Budget::new(Budget::RESERVE + 12, 0);
        assert!(budget.take_pipe() && budget.take_upstream() && budget.take_upstream() && budget.take_pipe());
        assert!(!budget.take_pipe());
        assert_eq!(budget.used(), 2);
        let taken = std::iter::repeat_with(|| budget.take_upstream()).take_while(|taken| *taken).count();
        assert_eq!(taken, 12 - 2 * 2 - 2);
        budget.release_pipe();
        assert!(budget.take_client() && !budget.take_pipe());
    }
}
