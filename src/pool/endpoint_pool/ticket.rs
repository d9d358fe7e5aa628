//! Waiting for a connection.

use super::Pool;
use crate::pool::lease::Lease;
use crate::pool::waiters;
use crate::timer;
use crate::upstream::connect::ConnectError;
use std::rc::Rc;
use std::task::{Context, Poll};

/// A place in the queue for a connection; given up when dropped.
#[derive(Debug)]
pub struct Ticket {
    pub(super) pool: Rc<Pool>,
    pub(super) key: Option<waiters::Key>,
}

impl Ticket {
    /// Does not wait for a connection that comes back any more, however few ports are left.
    pub fn insist(&self) {
        if let Some(key) = self.key {
            self.pool.waiters.borrow_mut().insist(key);
        }
    }

    /// Takes no connection that was used before, as long as a dial or a question is under way.
    pub fn want_fresh(&self) {
        if let Some(key) = self.key {
            self.pool.waiters.borrow_mut().want_fresh(key);
        }
    }

    /// The connection, or why there is none.
    pub fn poll(&mut self, cx: &Context<'_>) -> Poll<Result<Lease, ConnectError>> {
        let Some(key) = self.key else { return Poll::Pending };
        let polled = self.pool.waiters.borrow_mut().poll(key, cx.waker());
        polled.map(|delivery| {
            self.key = None;
            delivery.map(|connection| Lease::new(connection, Rc::clone(&self.pool)))
        })
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let Some(key) = self.key else { return };
        let given = self.pool.waiters.borrow_mut().leave(key);
        self.pool.publish();
        if let Some(Ok(connection)) = given {
            self.pool.take_back(connection, timer::now());
        }
    }
}
