//! What a list of connections asks of a pool.

use super::Pool;
use crate::pool::identity::Identity;
use std::rc::Rc;

/// Some of the idle connections of a pool.
#[derive(Debug)]
pub struct IdlePage {
    /// Their names.
    pub connections: Vec<Rc<Identity>>,
    /// Where the next page begins; `None`: this was the last one.
    pub next: Option<usize>,
}

impl Pool {
    /// The idle connections at `from` and on, as far as they are within `places` of it; 0 is the first.
    /// What comes and goes between two pages may be missed, or met twice.
    pub fn idle_page(&self, from: usize, places: usize) -> IdlePage {
        let idle = self.idle.borrow();
        let (connections, next) = idle.page(from, places);
        IdlePage { connections: connections.map(|c| Rc::clone(c.identity())).collect(), next }
    }
}
