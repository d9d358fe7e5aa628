//! Where a client's connection becomes a session.

use super::http::HttpSession;
use super::respond::Answer;
use super::tcp::TcpSession;
use crate::close::linger;
use crate::close::policy::ClientState;
use crate::config::model::Protocol;
use crate::listener::inlet::Inlet;
use crate::reason::CloseReason;
use crate::session::{Refusal, Session};
use crate::worker::Worker;
use std::io::Read;
use std::rc::Rc;
use std::time::Instant;
use tokio::net::TcpStream;

/// Starts the session's task.
pub fn dispatch(worker: &Rc<Worker>, inlet: &Rc<Inlet>, stream: TcpStream, session: Session) {
    let (worker, inlet) = (Rc::clone(worker), Rc::clone(inlet));
    let entry = Rc::clone(session.entry());
    let task = match inlet.state.config.protocol {
        Protocol::Http => tokio::task::spawn_local(HttpSession::new(worker, inlet, stream, session).serve()),
        // Boxed, as the runtime copies what it runs: of 1,800 instructions of copying in a session of one message,
        // 500 are left, with the dial that is no task any more.
        Protocol::Tcp => {
            tokio::task::spawn_local(Box::pin(TcpSession::new(worker, inlet, stream, session).serve()))
        }
    };
    entry.served_by(task.abort_handle());
}

/// Turns a client away for a limit: an HTTP client with an answer, any other with a clean close.
pub fn refuse(worker: &Rc<Worker>, inlet: &Rc<Inlet>, mut stream: TcpStream, refusal: Refusal) {
    let Refusal { reason, retry_after } = refusal;
    let counters = &inlet.state.workers[worker.index];
    counters.rejects.inc(reason.index());
    counters.closes.inc(CloseReason::Refused.index());
    let config = &inlet.state.config;
    if config.protocol == Protocol::Http {
        let mut answer = Vec::new();
        Answer { reason, method: None, persist: false, retry_after }.write_to(&mut answer);
        // The send buffer of a new connection takes it whole, or the client is gone.
        let _ = stream.try_write(&answer);
    }
    let Some(counted) = worker.count_refused() else { return drop_gently(stream) };
    let (worker, config) = (Rc::clone(worker), std::sync::Arc::clone(config));
    tokio::task::spawn_local(async move {
        let _counted = counted;
        let timer = worker.timers.timer();
        timer.set(Instant::now() + config.timeout.linger);
        linger::close(&mut stream, ClientState::OPEN, &config, &timer, &worker.buffers).await;
    });
}

/// Closes at once, but not over bytes that have come already: those would make it a reset (RFC 2525
/// section 2.17), which destroys an answer that the client has not read yet.
fn drop_gently(stream: TcpStream) {
    /// A request head; a client that has sent more is not one that waits for an answer.
    const READS: usize = 8;
    // The runtime has not heard yet that there is something to read.
    let Ok(mut stream) = stream.into_std() else { return };
    let mut scrap = [0; 4096];
    let come = (0..READS).map_while(|_| stream.read(&mut scrap).ok().filter(|read| *read > 0));
    come.for_each(drop);
}
