//! What a worker does for the control side, between two turns of its sessions.

mod list;

use super::{Worker, vital};
use crate::addr::{Ends, plain};
use crate::command::{Command, Holding, Peer, Receiver, Suspect};
use crate::pool::Pool;
use crate::reason::CloseReason;
use crate::session::{Entry, Phase};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Sessions looked at before those that are ready have their turn.
const PAGE: usize = 1000;

/// Serves commands for as long as the worker runs; tells when it is to leave, and by when it is to have
/// gone, and goes on.
pub(super) async fn serve(worker: Rc<Worker>, mut commands: Receiver) -> Option<Duration> {
    while let Some(command) = commands.recv().await {
        match command {
            Command::Run(orders) => {
                let answer = orders.answer.clone();
                let adopted = worker.adopt(orders);
                let _ = answer.send(adopted);
            }
            Command::Leave(patience) => {
                vital::spawn(serve_on(worker, commands));
                return Some(patience);
            }
            other => look(&worker, other).await,
        }
    }
    None
}

/// What is still asked of a worker that leaves.
async fn serve_on(worker: Rc<Worker>, mut commands: Receiver) {
    while let Some(command) = commands.recv().await {
        look(&worker, command).await;
    }
}

/// Looks after single sockets.
async fn look(worker: &Worker, command: Command) {
    match command {
        Command::Find { sockets, answer } => {
            // Whoever asked may have given up.
            let _ = answer.send(find(worker, &sockets).await);
        }
        Command::Reap { socket, stuck } => reap(worker, &socket, stuck).await,
        Command::List { answer } => list::list(worker, &answer).await,
        Command::Ping(answer) => {
            // It may have come too late.
            let _ = answer.send(());
        }
        #[cfg(debug_assertions)]
        Command::Fault(crate::command::Fault(fault)) => fault(),
        Command::Adopt(connections) => worker.take_in(connections, Instant::now()),
        Command::Lend { idle_for, to } => {
            let now = Instant::now();
            worker.stage.pools().iter().for_each(|pool| pool.lend(idle_for, &to, now));
        }
        // One that leaves runs what it ran.
        Command::Run(_) | Command::Leave(_) => {}
    }
}

/// Which of these sockets the worker holds.
async fn find(worker: &Worker, sockets: &[Suspect]) -> Vec<Holding> {
    let wanted = Wanted::new(sockets);
    let mut holders = Vec::new();
    for_each_session(worker, |entry| {
        holders.extend(wanted.held_by(entry).map(|socket| (Rc::clone(entry), socket)));
        ControlFlow::Continue(())
    })
    .await;
    // A deadline that has just passed is no deadline any more until its session has had its turn.
    tokio::task::yield_now().await;
    let holding = holders.iter().map(|(entry, socket)| holding(worker, entry, *socket));
    let pools = worker.stage.pools();
    sockets.iter().filter_map(|socket| find_idle(&pools, socket)).chain(holding).collect()
}

/// Closes the socket, if the worker holds it, and says so.
async fn reap(worker: &Worker, socket: &Suspect, stuck: Duration) {
    let (now, pools) = (Instant::now(), worker.stage.pools());
    if let Some(pool) = pools_of(&pools, socket).find(|pool| pool.reap_idle_from(socket.ends.local, now)) {
        worker.registry.close_wait.reaped();
        tracing::warn!(
            upstream = pool.config().name, endpoint = %socket.ends.remote, local = %socket.ends.local,
            close_wait = ?stuck, "reaped an idle connection to an endpoint"
        );
        return;
    }
    let sockets = [*socket];
    let wanted = Wanted::new(&sockets);
    for_each_session(worker, |entry| {
        if wanted.held_by(entry).next().is_none() {
            return ControlFlow::Continue(());
        }
        end_session(worker, entry, socket, stuck);
        ControlFlow::Break(())
    })
    .await;
}

/// Ends the session that holds the socket.
fn end_session(worker: &Worker, entry: &Entry, socket: &Suspect, stuck: Duration) {
    let connection = entry.connection();
    if socket.peer == Peer::Endpoint
        && let Some(connection) = &connection
    {
        connection.condemn();
    }
    if !entry.abort(CloseReason::Reaped) {
        return;
    }
    worker.registry.close_wait.reaped();
    tracing::warn!(
        socket = if socket.peer == Peer::Client { "client" } else { "endpoint" },
        listener = entry.listener().config.name,
        client = %entry.client(),
        upstream = connection.as_ref().map(|connection| connection.upstream.name.as_str()),
        endpoint = connection.as_ref().map(|connection| tracing::field::display(connection.endpoint.address)),
        phase = %entry.phase(),
        age = ?entry.age(Instant::now()),
        close_wait = ?stuck,
        "reaped a session"
    );
}

fn holding(worker: &Worker, entry: &Entry, socket: Suspect) -> Holding {
    let other = match socket.peer {
        Peer::Client => entry.connection().map(|c| Ends::new(c.local, c.endpoint.address.0)),
        Peer::Endpoint => Some(Ends::new(entry.listener().address.0, entry.client().0)),
    };
    Holding { socket, phase: entry.phase(), has_deadline: worker.timers.is_set(entry.timer()), other }
}

fn find_idle(pools: &[Rc<Pool>], socket: &Suspect) -> Option<Holding> {
    let found = pools_of(pools, socket).any(|pool| pool.has_idle_from(socket.ends.local));
    found.then_some(Holding { socket: *socket, phase: Phase::Idle, has_deadline: false, other: None })
}

/// The pools that could hold the socket.
fn pools_of<'a>(pools: &'a [Rc<Pool>], socket: &'a Suspect) -> impl Iterator<Item = &'a Rc<Pool>> {
    pools.iter().filter(|pool| {
        socket.peer == Peer::Endpoint && plain(pool.endpoint().address.0) == socket.ends.remote
    })
}

async fn for_each_session(worker: &Worker, mut each: impl FnMut(&Rc<Entry>) -> ControlFlow<()>) {
    let mut from = Some(0);
    while let Some(place) = from {
        let page = worker.sessions.page(place, PAGE);
        if page.entries.iter().try_for_each(&mut each).is_break() {
            return;
        }
        from = page.next;
        tokio::task::yield_now().await;
    }
}

/// Sockets by what a session knows of them. It does not know to which of a listener's addresses its
/// client came, where that is a wildcard.
struct Wanted {
    of_clients: HashMap<(u16, SocketAddr), Suspect>,
    of_endpoints: HashMap<Ends, Suspect>,
}

impl Wanted {
    fn new(sockets: &[Suspect]) -> Self {
        let of = |peer| sockets.iter().filter(move |socket| socket.peer == peer);
        Self {
            of_clients: of(Peer::Client).map(|s| ((s.ends.local.port(), s.ends.remote), *s)).collect(),
            of_endpoints: of(Peer::Endpoint).map(|s| (s.ends, *s)).collect(),
        }
    }

    /// Those that this session holds.
    fn held_by(&self, entry: &Entry) -> impl Iterator<Item = Suspect> {
        let client = (entry.listener().address.0.port(), plain(entry.client().0));
        let connection = entry.connection().filter(|_| !self.of_endpoints.is_empty());
        let ends = connection.map(|c| Ends::new(c.local, c.endpoint.address.0));
        let of_endpoint = ends.and_then(|ends| self.of_endpoints.get(&ends));
        [self.of_clients.get(&client), of_endpoint].into_iter().flatten().copied()
    }
}

#[cfg(test)]
mod tests;
