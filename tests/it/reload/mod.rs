//! A configuration that is replaced while everything runs.

mod endpoints;
mod files;
mod kept;
mod listeners;
mod process;
mod watch;
mod workers;

use crate::harness::{Client, Origin, Proxy, Setup};
use libtest_mimic::Trial;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread::{self, JoinHandle};

pub(crate) fn tests() -> Vec<Trial> {
    let all = [
        kept::tests(),
        endpoints::tests(),
        listeners::tests(),
        workers::tests(),
        files::tests(),
        watch::tests(),
        process::tests(),
    ];
    all.into_iter().flatten().collect()
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// Clients that send one request after the other until they are told to stop. Anything but the whole
/// response is a panic of theirs.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    served: Arc<AtomicUsize>,
    clients: Vec<JoinHandle<()>>,
}

impl Load {
    /// Clients that keep their connections, as long as the proxy does.
    pub(crate) fn keeping(proxy: SocketAddr, clients: usize) -> Self {
        Self::start(clients, move |stop, served| {
            let mut client = Client::connect(proxy);
            while !stop.load(Relaxed) {
                let response = client.get("/");
                assert_eq!(response.status(), 200, "{:?}", response.reason());
                served.fetch_add(1, Relaxed);
                if response.says_close() {
                    client.expect_eof();
                    client = Client::connect(proxy);
                }
            }
        })
    }

    /// Clients that connect for each request.
    pub(crate) fn reconnecting(proxy: SocketAddr, clients: usize) -> Self {
        Self::start(clients, move |stop, served| {
            while !stop.load(Relaxed) {
                let mut client = Client::connect(proxy);
                client.send("GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
                assert_eq!(client.response().status(), 200);
                client.expect_eof();
                served.fetch_add(1, Relaxed);
            }
        })
    }

    fn start(clients: usize, each: impl Fn(&AtomicBool, &AtomicUsize) + Clone + Send + 'static) -> Self {
        let (stop, served) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let client = || {
            let (each, stop, served) = (each.clone(), Arc::clone(&stop), Arc::clone(&served));
            thread::spawn(move || each(&stop, &served))
        };
        let clients = (0..clients).map(|_| client()).collect();
        Self { stop, served, clients }
    }

    /// Waits until so many more requests were served.
    #[track_caller]
    pub(crate) fn more(&self, requests: usize) {
        let wanted = self.served.load(Relaxed) + requests;
        crate::harness::eventually("more requests are served", || {
            assert!(self.clients.iter().all(|client| !client.is_finished()), "a client has failed");
            self.served.load(Relaxed) >= wanted
        });
    }

    /// Ends it, and tells how many requests there were.
    #[track_caller]
    pub(crate) fn end(self) -> usize {
        self.stop.store(true, Relaxed);
        for client in self.clients {
            client.join().expect("every request is served");
        }
        self.served.load(Relaxed)
    }
}

/// Addresses of removed, added and kept things, in words.
fn addresses(things: &[millpond::config::diff::Thing]) -> Vec<String> {
    things.iter().map(|thing| thing.address.clone().unwrap_or_default()).collect()
}

/// A second listener in front of the same upstream.
fn with_listener(setup: &Setup, lines: &str) -> String {
    format!("{}\n[[listener]]\nname = \"other\"\nupstream = \"app\"\n{lines}\n", setup.text())
}

/// Where the listener of this name listens.
#[track_caller]
fn listens(proxy: &Proxy, name: &str) -> SocketAddr {
    let running = proxy.registry().running();
    let found = running.listeners.iter().find(|listener| listener.config.name == name);
    found.unwrap_or_else(|| panic!("no listener {name}")).address.0
}

/// Origins that answer with ok.
fn origins<const N: usize>() -> [Origin; N] {
    [(); N].map(|()| Origin::saying("ok"))
}
