//! What a worker has of the configuration that runs: its upstreams and its listeners. A reload changes
//! that between two turns of its sessions.

use super::{Worker, vital};
use crate::command::{Orders, Place};
use crate::config::model::UpstreamClose;
use crate::forward::acquire;
use crate::listener::accept::{self, Accepting};
use crate::listener::inlet::{Door, Inlet};
use crate::pool::Pool;
use crate::pool::connection::Detached;
use crate::reason::{CloseReason, DiscardReason};
use crate::registry::{EndpointState, ListenerState, Running, UpstreamState};
use crate::session::Entry;
use crate::upstream::group::{Belongings, Group};
use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// How often it is looked whether what is leaving is over.
const SWEEP: Duration = Duration::from_millis(250);

/// What a worker has of the configuration that runs.
#[derive(Debug, Default)]
pub(super) struct Stage {
    groups: RefCell<Vec<Rc<Group>>>,
    entrances: RefCell<Vec<Entrance>>,
    /// Pools of endpoints that were removed, which still have leases.
    leaving: RefCell<Belongings>,
    leaving_doors: RefCell<Vec<LeavingDoor>>,
    sweeping: Cell<bool>,
}

/// One listening address, with the sockets on which this worker accepts.
#[derive(Debug)]
struct Entrance {
    inlet: Rc<Inlet>,
    closing: CancellationToken,
    sockets: Vec<Accepting>,
}

#[derive(Debug)]
struct LeavingDoor {
    state: Arc<ListenerState>,
    deadline: Instant,
}

impl Stage {
    /// The pools that have been used.
    pub(super) fn pools(&self) -> Vec<Rc<Pool>> {
        let groups = self.groups.borrow();
        let pools = groups.iter().flat_map(|group| group.pools()).cloned();
        pools.chain(self.leaving.borrow().pools()).collect()
    }

    /// Nobody comes in any more: what waits in the accept queues is the last, and responses are the last on
    /// their connections.
    pub(super) async fn close(&self) {
        let entrances: Vec<Entrance> = self.entrances.take();
        for Entrance { closing, sockets, .. } in &entrances {
            closing.cancel();
            for socket in sockets {
                socket.ended().await;
            }
        }
        // Requests that the kernel holds already are served too: the runtime hears of them in a turn.
        for _ in 0..2 {
            tokio::task::yield_now().await;
        }
        entrances.iter().for_each(|entrance| entrance.inlet.door().say_close());
        self.entrances.replace(entrances);
    }

    /// Leaves its listening sockets to others, and has every session end with its next response.
    pub(super) fn leave(&self) {
        for entrance in &mut *self.entrances.borrow_mut() {
            entrance.inlet.door().say_close();
            entrance.sockets.drain(..).for_each(|socket| socket.leave());
        }
    }

    /// Sessions end at once if they do nothing.
    pub(super) fn end_idle(&self) {
        self.entrances.borrow().iter().for_each(|entrance| entrance.inlet.door().end_idle());
    }
}

impl Worker {
    /// Goes on with what runs now. What it does not change is left as it is.
    ///
    /// # Errors
    /// When a listening socket cannot be registered with the runtime; whoever came to it finds nobody.
    pub(super) fn adopt(self: &Rc<Self>, orders: Orders) -> io::Result<()> {
        let Orders { running, places, .. } = orders;
        let deadline = Instant::now() + running.config.runtime.shutdown_timeout;
        self.adopt_upstreams(&running, deadline);
        let adopted = self.adopt_listeners(&running, places, deadline);
        if !self.stage.sweeping.replace(true) {
            vital::spawn(Rc::clone(self).sweep());
        }
        adopted
    }

    fn adopt_upstreams(self: &Rc<Self>, running: &Running, deadline: Instant) {
        let old = self.stage.groups.take();
        let kept =
            |group: &&Rc<Group>| running.upstreams.iter().any(|state| Arc::ptr_eq(group.state(), state));
        let mut known = self.stage.leaving.take();
        known.add(old.iter().filter(|group| !kept(group)));
        let groups = running.upstreams.iter().map(|state| {
            let same = old.iter().find(|group| Arc::ptr_eq(group.state(), state));
            let group = same.cloned().unwrap_or_else(|| self.group(Arc::clone(state), &mut known));
            group.pools().for_each(|pool| pool.share_anew());
            group
        });
        let groups = groups.collect();
        known.leave(deadline);
        self.stage.groups.replace(groups);
        self.stage.leaving.replace(known);
    }

    /// This worker's view of an upstream; what is to be kept warm is dialled from now on.
    fn group(&self, upstream: Arc<UpstreamState>, known: &mut Belongings) -> Rc<Group> {
        let (min_idle, endpoints) = (upstream.config.pool.min_idle, upstream.endpoints.len());
        let budget = Arc::clone(&self.registry.budget);
        let seed = super::random_seed();
        let group = Group::new(upstream, budget, self.index, Rc::clone(&self.timers), seed, known);
        if min_idle > 0 {
            for endpoint in 0..endpoints {
                acquire::pool(&group, endpoint);
            }
        }
        group
    }

    /// Takes in idle connections.
    pub(super) fn take_in(&self, connections: Vec<(Arc<EndpointState>, Detached)>, now: Instant) {
        for (endpoint, connection) in connections {
            match self.pool_to(&endpoint) {
                Some(pool) => pool.adopt(connection, now),
                // A reload has removed the endpoint in the meantime.
                None => connection.close(
                    DiscardReason::Drain.into(),
                    UpstreamClose::Auto,
                    &endpoint.workers[self.index],
                ),
            }
        }
    }

    fn pool_to(&self, endpoint: &Arc<EndpointState>) -> Option<Rc<Pool>> {
        let groups = self.stage.groups.borrow();
        groups.iter().find_map(|group| {
            let place = group.state().endpoints.iter().position(|other| Arc::ptr_eq(other, endpoint))?;
            Some(acquire::pool(group, place))
        })
    }

    /// An upstream without a listener.
    #[cfg(test)]
    pub(super) fn play(&self, upstream: Arc<UpstreamState>) -> Rc<Group> {
        let group = self.group(upstream, &mut Belongings::default());
        self.stage.groups.borrow_mut().push(Rc::clone(&group));
        group
    }

    fn adopt_listeners(
        self: &Rc<Self>,
        running: &Running,
        places: Vec<Vec<Place>>,
        deadline: Instant,
    ) -> io::Result<()> {
        let mut old = self.stage.entrances.take();
        let mut adopted = Ok(());
        let mut entrances = Vec::with_capacity(running.listeners.len());
        for (state, places) in running.listeners.iter().zip(places) {
            let group = Rc::clone(&self.stage.groups.borrow()[state.config.upstream]);
            // The same counters are the same listener.
            let same = old.iter().position(|e| Arc::ptr_eq(&e.inlet.state.workers, &state.workers));
            let mut entrance = match same {
                Some(place) => old.swap_remove(place).renewed(state, group),
                None => Entrance::new(&self.drain, state, group),
            };
            adopted = adopted.and(entrance.accept_on(self, places));
            entrances.push(entrance);
        }
        self.stage.entrances.replace(entrances);
        for entrance in old {
            let state = Arc::clone(&entrance.inlet.state);
            self.stage.leaving_doors.borrow_mut().push(LeavingDoor { state, deadline });
            tokio::task::spawn_local(entrance.close(Rc::clone(self)));
        }
        adopted
    }

    /// Ends what is leaving when its time is over, and lets go of what is gone.
    async fn sweep(self: Rc<Self>) {
        loop {
            tokio::time::sleep(SWEEP).await;
            let now = Instant::now();
            self.stage.leaving_doors.borrow_mut().retain(|door| {
                let is_over = door.deadline <= now;
                if is_over {
                    self.cut(|entry| Arc::ptr_eq(&entry.listener().workers, &door.state.workers));
                }
                !is_over && door.state.workers[self.index].sessions.get() > 0
            });
            let overdue = self.stage.leaving.borrow_mut().dismiss(now);
            for endpoint in overdue {
                self.cut(|entry| {
                    entry.connection().is_some_and(|connection| Arc::ptr_eq(&connection.endpoint, &endpoint))
                });
            }
            if self.stage.leaving.borrow().is_empty() && self.stage.leaving_doors.borrow().is_empty() {
                self.stage.sweeping.set(false);
                return;
            }
        }
    }

    fn cut(&self, which: impl Fn(&Entry) -> bool) {
        let page = self.sessions.page(0, usize::MAX);
        for entry in page.entries.iter().filter(|entry| which(entry)) {
            entry.abort(CloseReason::Drain);
        }
    }
}

impl Entrance {
    fn new(drain: &CancellationToken, state: &Arc<ListenerState>, group: Rc<Group>) -> Self {
        let inlet = Inlet::new(&Rc::<Door>::default(), Arc::clone(state), group);
        Self { inlet, closing: drain.child_token(), sockets: Vec::new() }
    }

    /// The same with another configuration or another upstream, if that is so.
    fn renewed(mut self, state: &Arc<ListenerState>, group: Rc<Group>) -> Self {
        if !Arc::ptr_eq(&self.inlet.state, state) || !Rc::ptr_eq(&self.inlet.group, &group) {
            self.inlet = Inlet::new(self.inlet.door(), Arc::clone(state), group);
        }
        self
    }

    /// Accepts on these sockets and no others.
    fn accept_on(&mut self, worker: &Rc<Worker>, places: Vec<Place>) -> io::Result<()> {
        self.sockets.retain(|accepting| {
            let stays = places.iter().any(|place| place.id == accepting.id());
            if !stays {
                accepting.leave();
            }
            stays
        });
        for Place { id, socket } in places {
            if let Some(socket) = socket {
                self.sockets.push(accept::start(worker, &self.inlet, id, socket, &self.closing)?);
            }
        }
        Ok(())
    }

    /// The listener was removed: who has come already is served, and then nobody any more.
    async fn close(self, worker: Rc<Worker>) {
        self.closing.cancel();
        for socket in &self.sockets {
            socket.ended().await;
        }
        for _ in 0..2 {
            tokio::task::yield_now().await;
        }
        self.inlet.door().end_idle();
        worker.timers.wake_all();
    }
}
