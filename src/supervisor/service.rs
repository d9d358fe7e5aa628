//! What the service manager is told, and when.

use super::Tokens;
use crate::command::{Command, Crew};
use crate::registry::{Registry, Running};
use crate::source::level::Level;
use crate::sys::service_manager::{self, ServiceManager};
use std::io;
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How often it is told how the service is, at least.
const STATUS_EVERY: Duration = Duration::from_secs(5);

/// Between two looks whether the process is about to end.
const LOOK: Duration = Duration::from_millis(100);

/// The service manager, where there is one, and how often it wants to hear that the service lives.
#[derive(Clone, Debug, Default)]
pub struct Service {
    manager: Option<Arc<ServiceManager>>,
    watchdog: Option<Duration>,
}

impl Service {
    /// The one that has started this process, if any has.
    ///
    /// # Errors
    /// When NOTIFY_SOCKET names nothing that there could be.
    pub fn from_environment() -> io::Result<Self> {
        let variable = |name: &str| std::env::var(name).ok();
        let manager = ServiceManager::from_environment(&variable)?.map(Arc::new);
        Ok(Self { manager, watchdog: service_manager::watchdog(&variable, std::process::id()) })
    }

    /// The service is there.
    pub(super) fn ready(&self) {
        self.tell(&["READY=1"]);
    }

    /// The configuration is read again; [`Self::ready`] follows, whatever comes of it.
    pub(super) fn reloading(&self) {
        self.tell(&["RELOADING=1", &format!("MONOTONIC_USEC={}", service_manager::monotonic_us())]);
    }

    /// The service is about to end.
    pub(super) fn stopping(&self) {
        self.tell(&["STOPPING=1", "STATUS=draining"]);
    }

    /// Another process is the service from now on.
    pub(super) fn is_now(&self, pid: u32) {
        self.tell(&[&format!("MAINPID={pid}")]);
    }

    fn tell(&self, lines: &[&str]) {
        if let Some(manager) = &self.manager
            && let Err(error) = manager.tell(lines)
        {
            tracing::warn!(%error, ?lines, "the service manager does not hear");
        }
    }

    /// Tells how the service is for as long as it runs, and that it lives, as often as is wanted: but only while
    /// every worker answers.
    pub(super) fn follow(&self, tokens: &Tokens, crew: &Crew) -> io::Result<Option<JoinHandle<()>>> {
        if self.manager.is_none() {
            return Ok(None);
        }
        let every = self.watchdog.map_or(STATUS_EVERY, |watchdog| (watchdog / 2).min(STATUS_EVERY));
        let follower = Follower {
            service: self.clone(),
            tokens: tokens.clone(),
            crew: crew.clone(),
            every,
            before: None,
        };
        thread::Builder::new().name("service".into()).spawn(move || follower.run()).map(Some)
    }
}

struct Follower {
    service: Service,
    tokens: Tokens,
    crew: Crew,
    every: Duration,
    /// When it was looked last, and how many requests there were.
    before: Option<(Instant, u64)>,
}

impl Follower {
    fn run(mut self) {
        let mut next = Instant::now();
        loop {
            if self.tokens.over.is_cancelled() || self.tokens.registry.succession.is_handed_over() {
                return;
            }
            if Instant::now() < next {
                thread::sleep(LOOK.min(self.every));
                continue;
            }
            next = Instant::now() + self.every;
            let status = format!("STATUS={}", self.status());
            match self.silent_workers() {
                0 if self.service.watchdog.is_some() => self.service.tell(&["WATCHDOG=1", &status]),
                0 => self.service.tell(&[&status]),
                silent => {
                    tracing::error!(silent, within = ?self.every / 2, "workers do not answer");
                    self.service.tell(&[&format!("STATUS={silent} workers do not answer")]);
                }
            }
        }
    }

    /// How many workers have not answered in time, or have ended before theirs.
    fn silent_workers(&self) -> usize {
        let workers = self.crew.senders();
        let (answer, answers) = mpsc::channel();
        for (_, worker) in &workers {
            // A queue that is full is not waited for: nobody answers to that.
            let _ = worker.try_send(Command::Ping(answer.clone()));
        }
        drop(answer);
        let end = Instant::now() + self.every / 2;
        let in_time = || answers.recv_timeout(end.saturating_duration_since(Instant::now())).ok();
        let answered = std::iter::from_fn(in_time).take(workers.len()).count();
        let registry = &self.tokens.registry;
        // In a drain workers end when they have nothing left to do.
        let wanted = if registry.is_draining() { 0 } else { registry.running().config.runtime.workers };
        match registry.is_draining() {
            true => self.crew.senders().len().saturating_sub(answered),
            false => wanted.max(workers.len()).saturating_sub(answered),
        }
    }

    /// One line: what is wrong, if anything is, and what there is to do.
    fn status(&mut self) -> String {
        let registry = Arc::clone(&self.tokens.registry);
        let running = registry.running();
        let sessions: u64 = running.all_listeners().map(|listener| listener.gauge(|w| &w.sessions)).sum();
        let requests: u64 =
            running.all_listeners().map(|listener| listener.total(|w| &w.requests_total)).sum();
        let now = Instant::now();
        let before = self.before.replace((now, requests));
        let rate = before.map(|(at, before)| {
            let seconds = now.saturating_duration_since(at).as_secs_f64();
            (requests.saturating_sub(before) as f64 / seconds.max(0.001)).round()
        });
        let rate = rate.map(|rate| format!(", {rate} requests/s")).unwrap_or_default();
        let trouble = trouble(&registry, &running).map(|what| format!("{what}; ")).unwrap_or_default();
        format!("{trouble}{sessions} sessions{rate}")
    }
}

/// What somebody ought to see to first.
fn trouble(registry: &Registry, running: &Running) -> Option<String> {
    if registry.is_draining() {
        return Some("draining".to_owned());
    }
    let all =
        || running.upstreams.iter().flat_map(|up| up.endpoints.iter().map(move |e| (&up.config.name, e)));
    let down: Vec<String> = all()
        .filter(|(_, endpoint)| !endpoint.is_up())
        .map(|(upstream, endpoint)| format!("{upstream} {}", endpoint.address))
        .collect();
    if let Some(first) = down.first() {
        return Some(format!("{} of {} endpoints down ({first})", down.len(), all().count()));
    }
    let short = |ports: &Arc<crate::source::ports::SourcePorts>| ports.level() >= Level::ReuseOnly;
    if let Some((upstream, endpoint)) = all().find(|(_, endpoint)| endpoint.sources().iter().any(short)) {
        return Some(format!("few source ports left towards {upstream} {}", endpoint.address));
    }
    registry.reloads.status().last_error.map(|_| "the configuration file has mistakes".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command;
    use crate::observe::fixture;
    use std::os::unix::net::UnixDatagram;
    use tempfile::TempDir;

    const WATCHDOG: Duration = Duration::from_millis(200);

    /// A service manager that hears, and what it was told last.
    struct Manager {
        socket: UnixDatagram,
        service: Service,
        _directory: TempDir,
    }

    impl Manager {
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("notify");
            let socket = UnixDatagram::bind(&path).unwrap();
            socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            let name = path.display().to_string();
            let variable = move |wanted: &str| (wanted == "NOTIFY_SOCKET").then(|| name.clone());
            let manager = ServiceManager::from_environment(&variable).unwrap().map(Arc::new);
            Self { socket, service: Service { manager, watchdog: Some(WATCHDOG) }, _directory: directory }
        }

        fn hears(&self) -> String {
            let mut heard = [0; 500];
            let length = self.socket.recv(&mut heard).expect("it is told something");
            String::from_utf8(heard[..length].to_vec()).unwrap()
        }
    }

    /// A worker that answers as long as the sender is there, and one that hangs.
    fn workers() -> (Crew, thread::JoinHandle<()>, command::Receiver) {
        let ((lives, mut commands), (hangs, unread)) = (command::channel(), command::channel());
        let answering = thread::spawn(move || {
            while let Some(command) = commands.blocking_recv() {
                let Command::Ping(answer) = command else { panic!("{command:?}") };
                let _ = answer.send(());
            }
        });
        (Crew::new(vec![(0, lives), (1, hangs)]), answering, unread)
    }

    #[test]
    fn the_service_lives_only_while_every_worker_answers() {
        let manager = Manager::new();
        let registry = fixture::registry();
        let wanted = registry.running().config.runtime.workers;
        assert_eq!(wanted, 2, "the fixture's workers");
        let tokens = Tokens::new(&registry, Vec::new(), manager.service.clone());
        let (crew, answering, mut hanging) = workers();
        let follower = manager.service.follow(&tokens, &crew).unwrap().unwrap();
        assert_eq!(manager.hears(), "STATUS=1 workers do not answer");
        assert_eq!(manager.hears(), "STATUS=1 workers do not answer");
        let mended = thread::spawn(move || {
            while let Some(Command::Ping(answer)) = hanging.blocking_recv() {
                let _ = answer.send(());
            }
        });
        while !manager.hears().starts_with("WATCHDOG=1\nSTATUS=") {}
        tokens.over.cancel();
        follower.join().unwrap();
        drop(crew);
        answering.join().unwrap();
        mended.join().unwrap();
    }

    #[test]
    fn a_worker_that_has_ended_does_not_answer() {
        let manager = Manager::new();
        let tokens = Tokens::new(&fixture::registry(), Vec::new(), manager.service.clone());
        let (crew, answering, hanging) = workers();
        drop(hanging);
        let follower = manager.service.follow(&tokens, &crew).unwrap().unwrap();
        assert_eq!(manager.hears(), "STATUS=1 workers do not answer");
        tokens.over.cancel();
        follower.join().unwrap();
        drop(crew);
        answering.join().unwrap();
    }

    #[test]
    fn what_is_wrong_comes_first() {
        let registry = fixture::registry();
        let running = registry.running();
        assert_eq!(trouble(&registry, &running), None);
        registry.reloads.failed(1, &[], "no".into());
        assert_eq!(trouble(&registry, &running).unwrap(), "the configuration file has mistakes");
        let endpoint = &running.upstreams[0].endpoints[0];
        let now = Instant::now();
        while endpoint.is_up() {
            endpoint.report(false, now);
        }
        let text = trouble(&registry, &running).unwrap();
        assert!(text.starts_with("1 of ") && text.contains(&endpoint.address.to_string()), "{text}");
        registry.draining.store(true, std::sync::atomic::Ordering::Relaxed);
        assert_eq!(trouble(&registry, &running).unwrap(), "draining");
    }
}
