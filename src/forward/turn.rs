//! What one direction of a flow may do before the worker's other sessions have their turn.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll};

/// The bytes that one direction moves, at the least, before the worker's other sessions have their turn:
/// well under a millisecond of work at what splice(2) costs. Between 1 and 4 MiB no difference in CPU time
/// was beyond the noise.
pub(super) const TURN: u64 = 2 * 1024 * 1024;

/// Pending, to be polled again once the runtime has looked at the other sockets.
pub(super) fn yield_turn<T>(cx: &mut Context<'_>) -> Poll<T> {
    // Unlike a mere wake-up, this waits for the next turn of the runtime's I/O driver.
    let yielded = pin!(tokio::task::yield_now()).poll(cx);
    debug_assert!(yielded.is_pending(), "it is ready only when polled again");
    Poll::Pending
}
