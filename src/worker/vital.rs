//! Tasks without which a worker is of no use.
//!
//! The runtime keeps a task's panic to that task. For a session that is right: it alone is lost. But a worker
//! whose timers, accept loop, commands or pools' keepers are gone would live on and serve nobody, or serve
//! them wrongly. So it ends with the first of these, and the supervisor starts another in its place.

use std::future::Future;
use std::thread;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

thread_local! {
    /// A worker is a thread, and a thread is one worker at the most.
    static BROKEN: CancellationToken = CancellationToken::new();
}

/// Starts a task of this thread's worker whose panic ends the worker.
pub fn spawn<F>(task: F) -> JoinHandle<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    let guard = Guard(BROKEN.with(CancellationToken::clone));
    tokio::task::spawn_local(async move {
        let _guard = guard;
        task.await
    })
}

/// Waits until one of them has panicked.
pub(super) async fn broken() {
    let token = BROKEN.with(CancellationToken::clone);
    token.cancelled().await;
}

#[derive(Debug)]
struct Guard(CancellationToken);

impl Drop for Guard {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.cancel();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::task::LocalSet;

    /// Whether a worker would end with a task that does this.
    fn ends_with(task: impl Future<Output = ()> + Send + 'static) -> bool {
        let on_its_own_thread = thread::spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            LocalSet::new().block_on(&runtime, async {
                let over = spawn(task).await;
                let is_broken = tokio::time::timeout(Duration::ZERO, broken()).await.is_ok();
                assert_eq!(over.is_err(), is_broken);
                is_broken
            })
        });
        on_its_own_thread.join().unwrap()
    }

    #[test]
    fn a_panic_is_told_and_an_end_is_not() {
        assert!(!ends_with(async {}));
        assert!(ends_with(async { std::panic::panic_any("on purpose") }));
        assert!(!ends_with(async {}), "another thread is another worker");
    }

    #[test]
    fn a_task_that_is_dropped_has_not_panicked() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        LocalSet::new().block_on(&runtime, async {
            let task = spawn(std::future::pending::<()>());
            tokio::task::yield_now().await;
            task.abort();
            assert!(task.await.is_err());
            assert!(tokio::time::timeout(Duration::ZERO, broken()).await.is_err());
        });
    }
}
