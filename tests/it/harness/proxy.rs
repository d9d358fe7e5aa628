//! A proxy in this process, which must have let go of everything when its test is over.

use super::{AT_ONCE, Client, DEADLINE, NameServer, eventually, kernel, panics, within};
use millpond::admin::{ReloadError, Reloaded};
use millpond::config::load::{fingerprint, load};
use millpond::reason::{CloseReason, DiscardReason, RejectReason};
use millpond::registry::{EndpointState, ListenerState, Registry, UpstreamState};
use millpond::supervisor::{Beginning, Supervisor};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use tempfile::TempDir;

/// A configuration to be: one listener, one upstream.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    protocol: &'static str,
    workers: usize,
    runtime: String,
    endpoints: Vec<String>,
    listener: String,
    upstream: String,
    resolver: String,
}

impl Setup {
    /// An HTTP listener in front of these endpoints, with one worker.
    pub(crate) fn http(endpoints: impl IntoIterator<Item = SocketAddr>) -> Self {
        let endpoints = endpoints.into_iter().map(|address| format!("\"{address}\"")).collect();
        let [runtime, listener, upstream, resolver] = [const { String::new() }; 4];
        Self { protocol: "http", workers: 1, runtime, endpoints, listener, upstream, resolver }
    }

    /// A TCP listener.
    pub(crate) fn tcp(endpoints: impl IntoIterator<Item = SocketAddr>) -> Self {
        Self { protocol: "tcp", ..Self::http(endpoints) }
    }

    pub(crate) fn workers(self, workers: usize) -> Self {
        Self { workers, ..self }
    }

    /// Adds a line to `[runtime]`.
    pub(crate) fn runtime(mut self, line: &str) -> Self {
        self.runtime.push_str(&format!("{line}\n"));
        self
    }

    /// Adds an endpoint with a weight.
    pub(crate) fn weighted(mut self, address: SocketAddr, weight: u16) -> Self {
        self.endpoints.push(format!("{{ address = \"{address}\", weight = {weight} }}"));
        self
    }

    /// Adds an endpoint as it is written: a table in braces.
    pub(crate) fn endpoint(mut self, written: &str) -> Self {
        self.endpoints.push(written.to_owned());
        self
    }

    /// Names are asked for from this server, whenever a test may wait for it.
    pub(crate) fn asking(mut self, server: &NameServer) -> Self {
        self.resolver = server.resolver();
        self.upstream("discovery.ttl_min = \"20ms\"\ndiscovery.grace = \"300ms\"")
    }

    /// Adds a line to `[[listener]]`.
    pub(crate) fn listener(mut self, line: &str) -> Self {
        self.listener.push_str(&format!("{line}\n"));
        self
    }

    /// Adds a line to `[[upstream]]`.
    pub(crate) fn upstream(mut self, line: &str) -> Self {
        self.upstream.push_str(&format!("{line}\n"));
        self
    }

    /// The configuration, with every port 0.
    pub(crate) fn text(&self) -> String {
        let Self { protocol, workers, runtime, endpoints, listener, upstream, resolver } = self;
        format!(
            "[runtime]\nworkers = {workers}\n{runtime}[admin]\nlisten = \"127.0.0.1:0\"\n\
             [[listener]]\nname = \"web\"\nbind = \"127.0.0.1:0\"\nprotocol = \"{protocol}\"\nupstream = \"app\"\n\
             {listener}\
             [[upstream]]\nname = \"app\"\nendpoints = [{}]\n{upstream}{resolver}",
            endpoints.join(", "),
        )
    }

    #[track_caller]
    pub(crate) fn start(&self) -> Proxy {
        Proxy::start(&self.text())
    }
}

/// A running proxy. Dropped when its clients are gone, it stops and panics if anything is left over.
#[derive(Debug)]
pub(crate) struct Proxy {
    supervisor: Supervisor,
    directory: TempDir,
}

impl Proxy {
    /// Starts it from a configuration text.
    #[track_caller]
    pub(crate) fn start(text: &str) -> Self {
        Self::start_with(text, |_| {})
    }

    /// The same after something was done in the directory of its configuration file.
    #[track_caller]
    pub(crate) fn start_with(text: &str, first: impl FnOnce(&Path)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("test.toml");
        fs::write(&file, text).unwrap();
        first(directory.path());
        let fingerprint = fingerprint(&file);
        let loaded = load(&file, &|_| None).unwrap_or_else(|problems| panic!("{problems}\n{text}"));
        let beginning = Beginning { file: Some((file, fingerprint)), ..Beginning::default() };
        let started = Supervisor::begin(loaded.config, beginning);
        Self { supervisor: started.unwrap_or_else(|error| panic!("{error}")), directory }
    }

    /// Its configuration file.
    pub(crate) fn file(&self) -> PathBuf {
        self.directory.path().join("test.toml")
    }

    /// Writes another configuration and reloads it.
    pub(crate) fn try_reload(&self, text: &str) -> Result<Reloaded, ReloadError> {
        fs::write(self.file(), text).unwrap();
        self.supervisor.reloader().reload()
    }

    /// The same, which succeeds.
    #[track_caller]
    pub(crate) fn reload(&self, setup: &Setup) -> Reloaded {
        let text = setup.text();
        let done = self.try_reload(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        assert_eq!(done.notes, [""; 0]);
        done
    }

    /// An HTTP proxy with defaults and one worker.
    #[track_caller]
    pub(crate) fn http(endpoint: SocketAddr) -> Self {
        Setup::http([endpoint]).start()
    }

    pub(crate) fn supervisor(&self) -> &Supervisor {
        &self.supervisor
    }

    pub(crate) fn registry(&self) -> &Registry {
        self.supervisor.registry()
    }

    /// Where its first listener listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.listener().address.0
    }

    /// The first listener.
    pub(crate) fn listener(&self) -> Arc<ListenerState> {
        Arc::clone(&self.registry().running().listeners[0])
    }

    /// An upstream.
    pub(crate) fn upstream(&self, index: usize) -> Arc<UpstreamState> {
        Arc::clone(&self.registry().running().upstreams[index])
    }

    /// An endpoint of the first upstream.
    pub(crate) fn endpoint(&self, index: usize) -> Arc<EndpointState> {
        Arc::clone(&self.upstream(0).endpoints[index])
    }

    /// Connections to the first endpoint established so far.
    pub(crate) fn opened(&self) -> u64 {
        self.endpoint(0).total(|w| &w.opened_total)
    }

    /// Leases of the first endpoint's that were served by a connection used before.
    pub(crate) fn reused(&self) -> u64 {
        self.endpoint(0).total(|w| &w.reused_total)
    }

    /// Requests sent again to the first endpoint.
    pub(crate) fn retries(&self) -> u64 {
        self.endpoint(0).total(|w| &w.retries_total)
    }

    /// A client whose session this worker has; the kernel chooses the worker.
    #[track_caller]
    pub(crate) fn client_of(&self, worker: usize) -> Client {
        let accepted = || self.listener().workers.iter().map(|w| w.sessions_total.get()).collect::<Vec<_>>();
        loop {
            let before = accepted();
            let client = Client::connect(self.address());
            eventually("a worker accepts", || accepted() != before);
            if accepted()[worker] > before[worker] {
                return client;
            }
        }
    }

    /// Idle connections to the first endpoint.
    pub(crate) fn idle(&self) -> u64 {
        self.endpoint(0).gauge(|w| &w.idle)
    }

    /// Requests waiting for a connection to the first endpoint.
    pub(crate) fn waiting(&self) -> u64 {
        self.endpoint(0).gauge(|w| &w.waiting)
    }

    /// Connections to the first endpoint closed for this reason.
    pub(crate) fn discards(&self, reason: DiscardReason) -> u64 {
        self.endpoint(0).workers.iter().map(|w| w.discards.get(reason.index())).sum()
    }

    /// Sessions ended for this reason.
    pub(crate) fn closes(&self, reason: CloseReason) -> u64 {
        self.listener().workers.iter().map(|w| w.closes.get(reason.index())).sum()
    }

    /// Requests and clients refused for this reason.
    pub(crate) fn rejects(&self, reason: RejectReason) -> u64 {
        self.listener().workers.iter().map(|w| w.rejects.get(reason.index())).sum()
    }

    /// Waits until no connection is leased: a client has its response a moment before that.
    #[track_caller]
    pub(crate) fn rested(&self) -> &Self {
        let running = self.registry().running();
        eventually("all leases end", || {
            running.endpoints().all(|endpoint| endpoint.gauge(|w| &w.leased) == 0)
        });
        self
    }

    /// Sessions, leases, connects and waiting requests, which are none when all clients are gone.
    pub(crate) fn busy(&self) -> [u64; 5] {
        let (registry, running) = (self.registry(), self.registry().running());
        let endpoints = || running.endpoints();
        [
            running.listeners.iter().map(|listener| listener.gauge(|w| &w.sessions)).sum(),
            endpoints().map(|endpoint| endpoint.gauge(|w| &w.leased)).sum(),
            endpoints().map(|endpoint| endpoint.gauge(|w| &w.connecting)).sum(),
            endpoints().map(|endpoint| endpoint.gauge(|w| &w.waiting)).sum(),
            registry.budget.clients() as u64,
        ]
    }

    /// Waits until all that it did is over.
    #[track_caller]
    pub(crate) fn settle(&self) {
        let mut busy = self.busy();
        let start = std::time::Instant::now();
        while busy != [0; 5] {
            let [sessions, leased, connecting, waiting, clients] = busy;
            assert!(
                start.elapsed() < DEADLINE,
                "left over: {sessions} sessions, {leased} leases, {connecting} connects, {waiting} waiting, \
                 {clients} clients in the budget"
            );
            thread::sleep(super::STEP);
            busy = self.busy();
        }
    }

    /// Nothing of it is left in CLOSE_WAIT, and that is its own doing, not the reaper's.
    #[track_caller]
    fn assert_not_reaped(&self) {
        let (registry, running) = (self.registry(), self.registry().running());
        within(AT_ONCE, "no CLOSE_WAIT is left", || {
            let sockets = kernel::in_close_wait();
            let is_ours = |local, remote| {
                running.listeners.iter().any(|listener| listener.address.0 == local)
                    || running.endpoints().any(|endpoint| endpoint.address.0 == remote)
            };
            !sockets.iter().any(|socket| is_ours(socket.local, socket.remote))
        });
        let closes = running.listeners.iter().flat_map(|listener| &*listener.workers);
        let discards = running.endpoints().flat_map(|endpoint| &endpoint.workers);
        let reaped = [
            registry.close_wait.reaped_total(),
            closes.map(|w| w.closes.get(CloseReason::Reaped.index())).sum(),
            discards.map(|w| w.discards.get(DiscardReason::Reaped.index())).sum(),
        ];
        assert_eq!(reaped, [0; 3], "sockets, sessions and connections that the reaper closed");
    }

    fn stop(&self) {
        self.supervisor.stop();
        let (ended, has_ended) = mpsc::channel();
        let supervisor = self.supervisor.clone();
        thread::spawn(move || {
            supervisor.wait();
            // The test may have given up.
            let _ = ended.send(());
        });
        if !thread::panicking() {
            has_ended.recv_timeout(DEADLINE).expect("a proxy that is told to stop stops");
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if thread::panicking() {
            self.stop();
            return;
        }
        self.settle();
        let running = self.registry().running();
        eventually("a descriptor in the budget for each pooled connection, and no other", || {
            let idle: u64 = running.endpoints().map(|endpoint| endpoint.gauge(|w| &w.idle)).sum();
            self.registry().budget.used() as u64 == idle
        });
        self.assert_not_reaped();
        self.stop();
        assert_eq!(self.registry().budget.used(), 0, "descriptors in the budget of a stopped proxy");
        assert_eq!(panics::seen(), [""; 0], "a proxy of this process has panicked");
    }
}
