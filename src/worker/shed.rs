//! What a worker gives up while descriptors are wanted for what runs: first pipes that wait to be used, which only
//! save time, then idle connections, those first that have been idle longest.

use super::Worker;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

/// Gives up one thing for each descriptor that is wanted, in whichever worker, for as long as the worker runs.
pub(super) async fn serve(worker: Rc<Worker>) {
    let budget = &worker.registry.budget;
    poll_fn(|cx| {
        budget.call_to_shed(worker.index, cx.waker());
        while budget.is_short() && worker.has_something_to_shed() && budget.claim_shed() {
            worker.shed_one();
        }
        Poll::Pending
    })
    .await
}

impl Worker {
    fn has_something_to_shed(&self) -> bool {
        self.pipes.has_free() || self.stage.pools().iter().any(|pool| pool.idle_since().is_some())
    }

    fn shed_one(&self) {
        if self.pipes.shed() {
            return;
        }
        let pools = self.stage.pools();
        let idle = pools.iter().filter_map(|pool| Some((pool.idle_since()?, pool)));
        if let Some((_, pool)) = idle.min_by_key(|(since, _)| *since) {
            pool.shed();
        }
    }
}
