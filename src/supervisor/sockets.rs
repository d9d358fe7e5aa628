//! The listening sockets of all listeners, and which worker accepts on which.
//!
//! With SO_REUSEPORT the kernel gives each client to one of a listener's sockets, and closing that socket
//! resets those that wait in its queue. So as long as a listener is there, none of its sockets is closed:
//! the sockets of a worker that goes are given to those that stay. What is kept here holds every socket
//! open; the workers accept on duplicates.

use crate::command::Place;
use crate::config::model;
use crate::listener::bind::{self, Bound};
use crate::metrics::accept_queue::AcceptQueues;
use crate::registry::ListenerState;
use crate::sys::sockopt;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{
    self,
    ErrorKind::{AddrInUse, PermissionDenied},
};
use std::net::TcpListener;
use std::sync::Arc;

/// The sockets of one address of a listener.
#[derive(Clone, Debug, Default)]
pub(super) struct Held {
    sockets: BTreeMap<u64, Arc<TcpListener>>,
    /// Which sockets each worker accepts on.
    places: BTreeMap<usize, BTreeSet<u64>>,
    next: u64,
    /// Whether every worker accepts on all of them, whatever the configuration says.
    is_shared: bool,
}

impl Held {
    /// Sockets just bound, on which nobody accepts yet.
    pub(super) fn new(bound: &mut Bound) -> Self {
        let mut held = Self::default();
        std::mem::take(&mut bound.sockets).into_iter().for_each(|socket| _ = held.add(socket));
        held
    }

    /// All of them.
    pub(super) fn all(&self) -> Vec<Arc<TcpListener>> {
        self.sockets.values().cloned().collect()
    }

    /// No other can be bound beside them: every worker accepts on all.
    pub(super) fn share_all(&mut self) {
        self.is_shared = true;
    }

    fn add(&mut self, socket: TcpListener) -> u64 {
        self.next += 1;
        self.sockets.insert(self.next, Arc::new(socket));
        self.next
    }

    /// Descriptors of the sockets, here and with the workers.
    pub(super) fn descriptors(&self) -> usize {
        self.sockets.len() + self.places.values().map(BTreeSet::len).sum::<usize>()
    }

    /// The same sockets for another listener, whose workers have none of them yet.
    pub(super) fn anew(&self) -> Self {
        Self { places: BTreeMap::new(), ..self.clone() }
    }

    /// Gives every socket to one of these workers, and every worker one at least. What they have
    /// already they keep; what is missing is bound. Where another user has made them, no other can be bound
    /// beside them: then all workers accept on all.
    ///
    /// # Errors
    /// When there is no descriptor.
    pub(super) fn share(
        &mut self,
        workers: &[usize],
        state: &ListenerState,
        config: &model::Listener,
    ) -> io::Result<()> {
        self.places.retain(|worker, _| workers.contains(worker));
        if !config.socket.reuse_port || self.is_shared {
            let all: BTreeSet<u64> = self.sockets.keys().copied().collect();
            self.places = workers.iter().map(|worker| (*worker, all.clone())).collect();
            return Ok(());
        }
        workers.iter().for_each(|worker| _ = self.places.entry(*worker).or_default());
        self.take_each_once();
        let given: BTreeSet<u64> = self.places.values().flatten().copied().collect();
        let free: Vec<u64> = self.sockets.keys().copied().filter(|id| !given.contains(id)).collect();
        for id in free {
            self.least().insert(id);
        }
        while self.least().is_empty() {
            let most = self.places.values_mut().max_by_key(|ids| ids.len()).filter(|ids| ids.len() > 1);
            let id = match most.and_then(BTreeSet::pop_last) {
                Some(id) => id,
                None => match self.bind_another(state, config) {
                    Ok(id) => id,
                    Err(error) if matches!(error.kind(), AddrInUse | PermissionDenied) => {
                        let (listener, address) = (&config.name, state.address);
                        tracing::info!(listener, %address, %error, "all workers share one listening socket");
                        self.is_shared = true;
                        return self.share(workers, state, config);
                    }
                    Err(error) => return Err(error),
                },
            };
            self.least().insert(id);
        }
        Ok(())
    }

    /// Leaves each socket to one worker, where several had it because they shared all.
    fn take_each_once(&mut self) {
        let mut taken = BTreeSet::new();
        for ids in self.places.values_mut() {
            ids.retain(|id| !taken.contains(id));
            taken.extend(ids.iter().copied());
        }
    }

    fn least(&mut self) -> &mut BTreeSet<u64> {
        self.places.values_mut().min_by_key(|ids| ids.len()).expect("there is a worker")
    }

    fn bind_another(&mut self, state: &ListenerState, config: &model::Listener) -> io::Result<u64> {
        // One that was bound without lets others in from now on.
        for socket in self.sockets.values() {
            socket2::SockRef::from(&**socket).set_reuse_port(true)?;
        }
        let socket = bind::open_beside(state.address, config, state.backlog)?;
        Ok(self.add(socket))
    }

    /// What this worker is told of its sockets; those that it had `before` it has.
    ///
    /// # Errors
    /// When there is no descriptor.
    pub(super) fn places(&self, worker: usize, before: Option<&Self>) -> io::Result<Vec<Place>> {
        let had = before.and_then(|held| held.places.get(&worker));
        let ids = self.places.get(&worker).into_iter().flatten();
        ids.map(|id| {
            let has = had.is_some_and(|had| had.contains(id));
            let socket = if has { None } else { Some(self.sockets[id].try_clone()?) };
            Ok(Place { id: *id, socket })
        })
        .collect()
    }

    /// Says which worker accepts from which queue.
    pub(super) fn name_queues(&self, queues: &AcceptQueues) {
        let inodes = self.sockets.iter().filter_map(|(id, socket)| {
            // Without an inode, which it always has, a queue is not told of.
            let inode = sockopt::inode(&**socket).ok()?;
            let mut workers =
                self.places.iter().filter(|(_, ids)| ids.contains(id)).map(|(worker, _)| *worker);
            Some((inode, workers.next().filter(|_| workers.next().is_none())))
        });
        queues.belong(inodes);
    }

    /// Gives all of them the options that the listener has now.
    ///
    /// # Errors
    /// What the kernel says to the first that it refuses.
    pub(super) fn adapt(&self, config: &model::Listener, backlog: u32) -> io::Result<()> {
        self.sockets.values().try_for_each(|socket| bind::adapt(socket, config, backlog))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::fixture;
    use crate::registry::PerWorker;

    fn state(reuse_port: bool) -> (Held, ListenerState, Arc<model::Listener>) {
        let mut config = (*fixture::config().listeners[1]).clone();
        config.bind = vec!["127.0.0.1:0".parse().unwrap()];
        config.socket.reuse_port = reuse_port;
        let config = Arc::new(config);
        let mut bound = bind::bind_listeners(&[Arc::clone(&config)], 2).unwrap().remove(0);
        let state = ListenerState {
            address: bound.address,
            bind: bound.bind,
            config: Arc::clone(&config),
            upstream: "app".into(),
            backlog: bound.backlog,
            workers: Arc::new(PerWorker::new(2)),
            clients: Default::default(),
            queues: Arc::default(),
            tcp_states: Arc::default(),
        };
        (Held::new(&mut bound), state, config)
    }

    fn spread(held: &Held) -> Vec<usize> {
        held.places.values().map(BTreeSet::len).collect()
    }

    #[test]
    fn no_socket_is_lost_when_workers_come_and_go() {
        let (mut held, state, config) = state(true);
        let plan: [(&[usize], usize, &[usize]); 6] = [
            (&[0, 1], 2, &[1, 1]),
            (&[0], 2, &[2]),
            (&[0, 1, 2], 3, &[1, 1, 1]),
            (&[0], 3, &[3]),
            (&[0, 3], 3, &[2, 1]),
            (&[3], 3, &[3]),
        ];
        for (workers, sockets, expected) in plan {
            let before = held.clone();
            held.share(workers, &state, &config).unwrap();
            assert_eq!((held.sockets.len(), &spread(&held)[..]), (sockets, expected), "{workers:?}");
            let all: BTreeSet<u64> = held.places.values().flatten().copied().collect();
            assert_eq!(all.len(), sockets, "each belongs to one worker");
            for worker in workers {
                let places = held.places(*worker, Some(&before)).unwrap();
                let had = before.places.get(worker).cloned().unwrap_or_default();
                assert!(places.iter().all(|place| place.socket.is_none() == had.contains(&place.id)));
            }
        }
    }

    #[test]
    fn descriptors_are_those_that_a_start_counts() {
        for reuse_port in [true, false] {
            let (mut held, state, config) = state(reuse_port);
            held.share(&[0, 1], &state, &config).unwrap();
            let mut whole = fixture::config();
            whole.listeners = vec![config];
            assert_eq!(held.descriptors() + 3 * 3, crate::supervisor::fixed_descriptors(&whole));
        }
    }

    #[test]
    fn without_reuse_port_all_workers_share_what_there_is() {
        let (mut held, state, config) = state(false);
        held.share(&[0, 1, 2], &state, &config).unwrap();
        assert_eq!(spread(&held), [held.sockets.len(); 3]);
        let mut alone = (*config).clone();
        alone.socket.reuse_port = true;
        held.share(&[0, 1, 2], &state, &alone).unwrap();
        assert_eq!(spread(&held), [1, 1, 1], "each its own, once the configuration says so");
    }

    #[test]
    fn what_another_user_has_made_is_shared_by_all_workers() {
        let (mut held, state, config) = state(true);
        held.share_all();
        held.share(&[0, 1, 2], &state, &config).unwrap();
        assert_eq!(spread(&held), [held.sockets.len(); 3]);
    }
}
