//! Where a client's connection becomes a session.

use super::http::HttpSession;
use super::respond::Answer;
use super::tcp::TcpSession;
use crate::close::linger;
use crate::close::policy::ClientState;
use crate::config::model::Protocol;
use crate::listener::inlet::Inlet;
use crate::reason::{CloseReason, RejectReason};
use crate::session::Session;
use crate::worker::Worker;
use std::rc::Rc;
use std::time::Instant;
use tokio::net::TcpStream;

/// Starts the session's task.
pub fn dispatch(worker: &Rc<Worker>, inlet: &Rc<Inlet>, stream: TcpStream, session: Session) {
    let (worker, inlet) = (Rc::clone(worker), Rc::clone(inlet));
    let entry = Rc::clone(session.entry());
    let task = match inlet.state.config.protocol {
        Protocol::Http => tokio::task::spawn_local(HttpSession::new(worker, inlet, stream, session).serve()),
        Protocol::Tcp => tokio::task::spawn_local(TcpSession::new(worker, inlet, stream, session).serve()),
    };
    entry.served_by(task.abort_handle());
}

/// Turns a client away for a limit: an HTTP client with a 503, any other with a clean close.
pub fn refuse(worker: &Rc<Worker>, inlet: &Rc<Inlet>, mut stream: TcpStream) {
    let counters = &inlet.state.workers[worker.index];
    counters.rejects.inc(RejectReason::ConnectionLimit.index());
    counters.closes.inc(CloseReason::Refused.index());
    let config = &inlet.state.config;
    if config.protocol == Protocol::Http {
        let mut answer = Vec::new();
        Answer { reason: RejectReason::ConnectionLimit, method: None, persist: false }.write_to(&mut answer);
        // The send buffer of a new connection takes it whole, or the client is gone.
        let _ = stream.try_write(&answer);
    }
    let Some(counted) = worker.count_refused() else { return };
    let (worker, config) = (Rc::clone(worker), std::sync::Arc::clone(config));
    tokio::task::spawn_local(async move {
        let _counted = counted;
        let timer = worker.timers.timer();
        timer.set(Instant::now() + config.timeout.linger);
        linger::close(&mut stream, ClientState::OPEN, &config, &timer, &worker.buffers).await;
    });
}
