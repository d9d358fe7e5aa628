//! Where requests are served: futures that serve one session's requests after another's.
//!
//! One takes too much memory for an idle session to keep it, and to allocate one for each request, to copy it there
//! and to free it would be 800 of 12,600 instructions. So a worker keeps those that are free.

use super::{End, HttpSession};
use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

/// Free runners that a worker keeps; more are dropped.
const KEPT: usize = 256;

/// One worker's free runners.
#[derive(Debug, Default)]
#[expect(clippy::vec_box, reason = "a session's task has room for a pointer, and none for a runner")]
pub struct Runners(RefCell<Vec<Box<Runner>>>);

/// Serves the sessions that are laid on its desk, one at a time.
struct Runner {
    desk: Rc<Desk>,
    future: Pin<Box<dyn Future<Output = Infallible>>>,
}

/// Where a session is laid, and lies again when its requests are served.
type Desk = Cell<Option<Work>>;

enum Work {
    Begun(Box<HttpSession>),
    Done(Box<HttpSession>, Option<End>),
}

/// A session's requests being served.
pub(super) struct Serving(Option<Box<Runner>>);

impl Runners {
    /// Serves the session's requests; ready with it when the client has not begun to send another.
    pub(super) fn serve(session: Box<HttpSession>) -> Serving {
        let free = session.worker.runners.0.borrow_mut().pop();
        let runner = free.unwrap_or_else(Runner::new);
        runner.desk.set(Some(Work::Begun(session)));
        Serving(Some(runner))
    }

    fn take_back(&self, runner: Box<Runner>) {
        let mut free = self.0.borrow_mut();
        if free.len() < KEPT {
            free.push(runner);
        }
    }
}

impl Runner {
    fn new() -> Box<Self> {
        let desk = Rc::new(Desk::default());
        let future = Box::pin(run(Rc::clone(&desk)));
        Box::new(Self { desk, future })
    }
}

async fn run(desk: Rc<Desk>) -> Infallible {
    loop {
        let mut session = poll_fn(|_| match desk.take() {
            Some(Work::Begun(session)) => Poll::Ready(session),
            // Whoever takes it from here polls again when there is more to do.
            done => {
                desk.set(done);
                Poll::Pending
            }
        })
        .await;
        let end = session.serve_requests().await;
        desk.set(Some(Work::Done(session, end)));
    }
}

impl Future for Serving {
    /// The session, and how it ends, if it does.
    type Output = (Box<HttpSession>, Option<End>);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let runner = self.0.as_mut().expect("polled after it was ready");
        let Poll::Pending = runner.future.as_mut().poll(cx);
        match runner.desk.take() {
            Some(Work::Done(session, end)) => {
                let runner = self.0.take();
                runner.into_iter().for_each(|runner| session.worker.runners.take_back(runner));
                Poll::Ready((session, end))
            }
            Some(Work::Begun(_)) => unreachable!("a runner begins with what lies on its desk"),
            None => Poll::Pending,
        }
    }
}

impl fmt::Debug for Runner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runner").finish_non_exhaustive()
    }
}
