//! Giving idle connections to the new process.

use super::successor::{STEP, Successor};
use crate::pool::heir::Lent;
use crate::reason::DiscardReason;
use crate::sys::fd_passing::MAX_DESCRIPTORS;
use crate::upgrade::{FromNew, FromOld, Link, LinkError};
use std::collections::BTreeSet;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Connections in one message.
pub(super) const BATCH: usize = MAX_DESCRIPTORS;

/// How often it is looked whether more may come.
const LOOK: Duration = Duration::from_millis(100);

/// The thread that gives away what becomes idle while this process drains.
#[derive(Debug)]
pub(super) struct Giving {
    given: Arc<AtomicUsize>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Giving {
    pub(super) fn start(successor: Successor, heritage: Receiver<Lent>) -> Self {
        let (given, is_over) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (count, over) = (Arc::clone(&given), Arc::clone(&is_over));
        let started = thread::Builder::new().name("giving".into()).spawn(move || {
            give_on(successor, &heritage, &count, &over);
        });
        // Without a thread the connections are closed, as in a drain without a successor.
        let thread = started.inspect_err(|error| tracing::error!(%error, "no thread for the hand-over")).ok();
        Self { given, is_over, thread }
    }

    /// How many it has given away.
    pub(super) fn given(&self) -> usize {
        self.given.load(Relaxed)
    }

    /// Nothing more comes.
    pub(super) fn finish(mut self) {
        self.is_over.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            // It has no result.
            let _ = thread.join();
        }
        tracing::info!(connections = self.given(), "given to the new process while this one drained");
    }
}

fn give_on(mut successor: Successor, heritage: &Receiver<Lent>, given: &AtomicUsize, is_over: &AtomicBool) {
    let mut takes_more = true;
    loop {
        let mut batch = match heritage.recv_timeout(LOOK) {
            Ok(first) => vec![first],
            Err(RecvTimeoutError::Timeout) if !is_over.load(Relaxed) => {
                successor.look();
                continue;
            }
            Err(_) => return,
        };
        batch.extend(heritage.try_iter().take(BATCH - 1));
        if !takes_more {
            batch.into_iter().for_each(|lent| lent.close(DiscardReason::Drain));
            continue;
        }
        match transfer(successor.link(), batch, STEP, &|| false) {
            Ok((taken, refused)) => {
                given.fetch_add(taken.len(), Relaxed);
                taken.into_iter().for_each(Lent::let_go);
                refused.into_iter().for_each(|lent| lent.close(DiscardReason::Drain));
            }
            Err((error, batch)) => {
                tracing::error!(%error, "the new process takes no more connections");
                // It may have them, and have used them.
                batch.into_iter().for_each(Lent::let_go);
                takes_more = false;
            }
        }
    }
}

/// Connections that the new process has taken, and those that it has not.
pub(super) type Transferred = (Vec<Lent>, Vec<Lent>);

/// Sends connections to the new process and waits until it has them. What is sent stays open here.
///
/// # Errors
/// With all of them, when that cannot be done: it may have some.
pub(super) fn transfer(
    link: &Link<FromOld, FromNew>,
    batch: Vec<Lent>,
    patience: Duration,
    has_to_end: &dyn Fn() -> bool,
) -> Result<Transferred, (LinkError, Vec<Lent>)> {
    let now = Instant::now();
    let connections = batch.iter().map(|lent| lent.describe(now)).collect();
    let descriptors: Vec<_> = batch.iter().map(|lent| lent.stream().as_fd()).collect();
    let said = link.say(&FromOld::Connections { connections }, &descriptors, patience);
    drop(descriptors);
    let heard = said.and_then(|()| link.hear(patience, has_to_end));
    let refused: BTreeSet<usize> = match heard {
        Ok((FromNew::Taken { refused }, _)) => refused.into_iter().collect(),
        Ok(_) => return Err((LinkError::Gone, batch)),
        Err(error) => return Err((error, batch)),
    };
    let (mut taken, mut back) = (Vec::new(), Vec::new());
    for (place, lent) in batch.into_iter().enumerate() {
        if refused.contains(&place) { back.push(lent) } else { taken.push(lent) }
    }
    Ok((taken, back))
}
